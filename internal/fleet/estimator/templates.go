package estimator

import (
	"context"
	"fmt"
	"sync"
	"time"

	karmadautil "github.com/karmada-io/karmada/pkg/util"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/fleet/controller"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

const (
	// readTimeout is how long a workload may take to be read.
	readTimeout = 2 * time.Second
	// readAgain is how soon a workload that could not be read is tried again.
	readAgain = time.Second
	// reads is how many workloads are read at a time.
	reads = 16
)

// A workload is what is known of what a binding is for.
type workload struct {
	// template of a replica: its own if that is known, or one of what its
	// binding says that it needs.
	template *scheduler.Template
	known    bool
	// silent workloads have replicas that need not come: they are suspended, or
	// the member decides how many there are.
	silent bool
}

// templates read workloads, each version of one once.
type templates struct {
	reader client.Reader
	clock  clock.PassiveClock
	slots  chan struct{}

	mu   sync.Mutex
	byID map[string]*reading
}

// A reading of a version of a workload. Its results are good when ready is
// closed.
type reading struct {
	version  string
	ready    chan struct{}
	workload workload
	failed   bool
	at       time.Time
}

func newTemplates(r client.Reader, c clock.PassiveClock) *templates {
	return &templates{reader: r, clock: c, slots: make(chan struct{}, reads), byID: map[string]*reading{}}
}

func (t *templates) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// prefetch starts to read the workload of a binding, if that is not done.
func (t *templates) prefetch(a *assigned) *reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	version := fmt.Sprintf("%s/%s", a.ref.UID, a.ref.ResourceVersion)
	if r := t.byID[a.id]; r != nil && r.version == version {
		select {
		case <-r.ready:
			if !r.failed || t.clock.Since(r.at) < readAgain {
				return r
			}
		default:
			return r
		}
	}
	r := &reading{version: version, ready: make(chan struct{})}
	t.byID[a.id] = r
	go t.read(a, r)
	return r
}

// get returns the workload of a binding. If it cannot be read before the context
// ends, what its binding says that a replica needs is all that is known.
func (t *templates) get(ctx context.Context, a *assigned) workload {
	r := t.prefetch(a)
	select {
	case <-r.ready:
		return r.workload
	case <-ctx.Done():
		return fallback(a)
	}
}

func fallback(a *assigned) workload {
	return workload{template: controller.TemplateFor(a.ref.Namespace, a.needs)}
}

func (t *templates) read(a *assigned, r *reading) {
	defer close(r.ready)
	t.slots <- struct{}{}
	defer func() { <-t.slots }()
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	r.workload = fallback(a)
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.FromAPIVersionAndKind(a.ref.APIVersion, a.ref.Kind))
	err := t.reader.Get(ctx, client.ObjectKey{Namespace: a.ref.Namespace, Name: a.ref.Name}, u)
	r.at, r.failed = t.clock.Now(), err != nil
	if err != nil {
		return
	}
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	r.workload.silent = suspended || u.GetLabels()[karmadautil.RetainReplicasLabel] == karmadautil.RetainReplicasValue
	// What cannot be understood is what Karmada's interpreter understood of it.
	if tpl, err := controller.TemplateOf(u); err == nil && tpl != nil {
		r.workload.template, r.workload.known = tpl, true
	}
}
