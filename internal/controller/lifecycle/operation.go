package lifecycle

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/upjet/v2/pkg/controller/handler"
)

// AnnotationOperation holds the operation that Create has started, as JSON.
// Create may write annotations but no status.
const AnnotationOperation = "regionpool.io/operation"

// SaveOperation in an annotation.
func SaveOperation(o metav1.Object, op any) {
	b, err := json.Marshal(op)
	if err != nil {
		return
	}
	meta.AddAnnotations(o, map[string]string{AnnotationOperation: string(b)})
}

// LoadOperation from the annotation. It returns nil if there is none.
func LoadOperation[T any](o metav1.Object) *T {
	s := o.GetAnnotations()[AnnotationOperation]
	if s == "" {
		return nil
	}
	op := new(T)
	if err := json.Unmarshal([]byte(s), op); err != nil {
		return nil
	}
	return op
}

const (
	// pollTimeout of one look at a task.
	pollTimeout = 10 * time.Second
	// pollParallel looks at tasks at once.
	pollParallel = 4
	// pollFor is how long a task is watched without news from its resource.
	pollFor = 30 * time.Minute
)

// A DoneFn asks the cloud whether a task has ended.
type DoneFn func(ctx context.Context) (bool, error)

// A Poller watches the tasks of managed resources and has a resource reconciled
// the moment its task ends. What it knows need not survive a restart: tasks are
// in the resources, and each reconcile names the task to watch anew.
type Poller struct {
	// Interval between two looks at a task.
	Interval time.Duration
	// Clock to wait by.
	Clock clock.WithTicker
	// Requeue the resource. It is an upjet event handler, which holds the work
	// queue of the controller.
	Requeue *handler.EventHandler

	mu      sync.Mutex
	watched map[types.NamespacedName]watched
}

type watched struct {
	task  string
	done  DoneFn
	since time.Time
}

// Watch a task of a resource, instead of any other it had.
func (p *Poller) Watch(nn types.NamespacedName, task string, done DoneFn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watched == nil {
		p.watched = make(map[types.NamespacedName]watched)
	}
	p.watched[nn] = watched{task: task, done: done, since: p.Clock.Now()}
}

// Forget the task of a resource.
func (p *Poller) Forget(nn types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watched, nn)
}

// Start to poll, until the context ends.
func (p *Poller) Start(ctx context.Context) error {
	t := p.Clock.NewTicker(p.Interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
			p.poll(ctx)
		}
	}
}

func (p *Poller) poll(ctx context.Context) {
	p.mu.Lock()
	all := make(map[types.NamespacedName]watched, len(p.watched))
	for nn, w := range p.watched {
		if p.Clock.Since(w.since) > pollFor {
			delete(p.watched, nn)
			continue
		}
		all[nn] = w
	}
	p.mu.Unlock()

	g := errgroup.Group{}
	g.SetLimit(pollParallel)
	for nn, w := range all {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, pollTimeout)
			defer cancel()
			// An error is no news. The resource's own reconcile will report it.
			if done, err := w.done(ctx); err != nil || !done {
				return nil
			}
			p.mu.Lock()
			if p.watched[nn].task == w.task {
				delete(p.watched, nn)
			}
			p.mu.Unlock()
			p.Requeue.RequestReconcile(handler.NoRateLimiter, nn, nil)
			return nil
		})
	}
	_ = g.Wait()
}
