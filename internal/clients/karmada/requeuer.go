package karmada

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// A Requeuer lets things that happen outside the host plane requeue a managed
// resource. It is a source of the controller: give its Start to source.Func.
type Requeuer struct {
	mu    sync.RWMutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// Start implements source.Source by keeping the controller's queue.
func (r *Requeuer) Start(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = q
	return nil
}

// After requeues the managed resource after the duration, at the latest: it may
// be reconciled earlier for other reasons. Before the controller starts it does
// nothing, because everything is reconciled at the start anyway.
func (r *Requeuer) After(nn types.NamespacedName, d time.Duration) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.queue != nil {
		r.queue.AddAfter(reconcile.Request{NamespacedName: nn}, d)
	}
}

// Now requeues the managed resource.
func (r *Requeuer) Now(nn types.NamespacedName) { r.After(nn, 0) }
