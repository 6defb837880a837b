package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
)

// A template is what a binding's workload makes its pods from.
type template struct {
	// version of the workload, as the binding names it.
	version string
	pods    *scheduler.Template
	divided bool
	// gang workloads are one replica; together ones start all at once.
	gang, together bool
	// slices are the replicas if Karmada does not count them, or 0.
	slices int32
	// templated workloads have their pod template where all have it: an
	// override finds it.
	templated bool
	// labels of the workload.
	labels map[string]string
	// problem says why there are no pods.
	problem string
	// retryAt is when the workload is read again after it could not be, tries
	// how often it could not.
	retryAt time.Time
	tries   int
}

const (
	// readTimeout is how long a round waits for a workload, or for the
	// credentials of a member.
	readTimeout = 2 * time.Second
	// readAgain is how soon a workload that cannot be read is tried again at
	// most; it doubles from retryAfter.
	readAgain = 30 * time.Second
)

// templates keeps the pod templates of bindings. A workload is read when its
// binding names a version of it that is not known, so each change is read once.
type templates struct {
	reader client.Reader
	clock  clock.PassiveClock

	mu   sync.Mutex
	byID map[string]*template
}

func newTemplates(r client.Reader, c clock.PassiveClock) *templates {
	return &templates{reader: r, clock: c, byID: map[string]*template{}}
}

// load makes sure that the templates of all bindings are known, and forgets
// others.
func (t *templates) load(ctx context.Context, bs []binding) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	keep := map[string]bool{}
	for _, b := range bs {
		id := b.id()
		keep[id] = true
		version := fmt.Sprintf("%s/%s", b.spec.Resource.UID, b.spec.Resource.ResourceVersion)
		have := t.get(id)
		if have != nil && have.version == version && (have.retryAt.IsZero() || have.retryAt.After(t.clock.Now())) {
			continue
		}
		g.Go(func() error {
			tpl, err := t.read(ctx, b.spec, have != nil && have.version == version)
			if err != nil {
				tpl = t.unread(have, version, err)
			}
			tpl.version = version
			t.mu.Lock()
			defer t.mu.Unlock()
			t.byID[id] = tpl
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("cannot read workloads: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.byID {
		if !keep[id] {
			delete(t.byID, id)
		}
	}
	return nil
}

func (t *templates) get(id string) *template {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// unread is what is known of a workload that cannot be read: what was known,
// for a replica that is taken for none would lose the room promised to it.
func (t *templates) unread(have *template, version string, err error) *template {
	out := &template{}
	if have != nil && !apierrors.IsNotFound(err) {
		*out = *have
	}
	if have == nil || have.version != version {
		out.tries = 0
	} else {
		out.tries = have.tries + 1
	}
	if out.pods == nil {
		out.problem = err.Error()
	}
	out.retryAt = t.clock.Now().Add(min(readAgain, retryAfter<<min(out.tries, 10)))
	return out
}

// read a workload. Unless it was tried before, the API server may answer from its
// cache, once that has the version that the binding names: it need not ask etcd.
// An error says that it may pass.
func (t *templates) read(ctx context.Context, spec *workv1alpha2.ResourceBindingSpec, again bool) (*template, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	ref := spec.Resource
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
	o := &client.GetOptions{}
	if !again {
		o.Raw = &metav1.GetOptions{ResourceVersion: ref.ResourceVersion}
	}
	if err := t.reader.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, u, o); err != nil {
		return nil, fmt.Errorf("cannot read %s %s/%s: %w", ref.Kind, ref.Namespace, ref.Name, err)
	}
	tpl, err := decode(u)
	if err != nil {
		return &template{problem: err.Error(), labels: u.GetLabels()}, nil
	}
	how, err := shapeOf(u, spec, tpl)
	if err != nil {
		return &template{problem: err.Error(), labels: u.GetLabels()}, nil
	}
	if how.slices > 0 {
		if err := t.revised(ctx, u, spec); err != nil {
			return nil, err
		}
	}
	templated := tpl != nil && tpl == how.pods
	if tpl = how.pods; tpl == nil && spec.ReplicaRequirements != nil {
		// A kind without a pod template: what Karmada's interpreter says its
		// replicas need is all that is known.
		tpl = TemplateFor(ref.Namespace, spec.ReplicaRequirements)
	}
	out := &template{pods: tpl, divided: how.gang || tpl != nil && hasReplicas(u), gang: how.gang, together: how.together, slices: how.slices, templated: templated, labels: u.GetLabels()}
	kind, grouped := groupKinds[groupKindOf(&ref)]
	if tpl == nil && (spec.IsWorkload() || grouped) {
		out.problem = fmt.Sprintf("%s %s/%s has no pod template that fleet understands", ref.Kind, ref.Namespace, ref.Name)
	}
	if out.problem != "" && grouped && kind.parts == nil {
		out.problem += "; does Karmada have the feature gate MultiplePodTemplatesScheduling?"
	}
	return out, nil
}

// hasReplicas tells workloads that are divided, also while they have none, from
// those that run wherever they are, such as daemon sets.
func hasReplicas(u *unstructured.Unstructured) bool {
	for _, f := range []string{"replicas", "parallelism"} {
		if _, ok, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", f); ok {
			return true
		}
	}
	return false
}

// decode finds the pod template where all workload kinds of Kubernetes, and
// most others, have it. It returns nil if there is none.
func decode(u *unstructured.Unstructured) (*scheduler.Template, error) {
	out, err := podTemplate(u, object(u.Object, "spec", "template"))
	if out == nil || err != nil {
		return nil, err
	}
	claims, ok, _ := unstructured.NestedSlice(u.Object, "spec", "volumeClaimTemplates")
	if !ok {
		return out, nil
	}
	var list struct {
		Items []corev1.PersistentVolumeClaim `json:"items"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(map[string]any{"items": claims}, &list); err != nil {
		return nil, fmt.Errorf("cannot read the claim templates of %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	out.Options = append(out.Options, simulation.WithClaimTemplates(list.Items...))
	return out, nil
}

// podTemplate reads a pod template of a workload. It returns nil if there is none.
func podTemplate(u *unstructured.Unstructured, raw map[string]any) (*scheduler.Template, error) {
	out := &scheduler.Template{Namespace: u.GetNamespace()}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &out.Spec); err != nil {
		return nil, fmt.Errorf("cannot read the pod template of %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	if len(out.Spec.Spec.Containers) == 0 {
		return nil, nil
	}
	out.Options = []simulation.PodOption{simulation.OwnedBy(u.GetAPIVersion(), u.GetKind(), u.GetName())}
	return out, nil
}

func required(r *workv1alpha2.ReplicaRequirements) corev1.PodTemplateSpec {
	out := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace},
		Spec: corev1.PodSpec{
			PriorityClassName: r.PriorityClassName,
			Containers:        []corev1.Container{{Name: "replica", Resources: corev1.ResourceRequirements{Requests: r.ResourceRequest}}},
		},
	}
	if c := r.NodeClaim; c != nil {
		out.Spec.NodeSelector = c.NodeSelector
		out.Spec.Tolerations = c.Tolerations
		if c.HardNodeAffinity != nil {
			out.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: c.HardNodeAffinity}}
		}
	}
	return out
}
