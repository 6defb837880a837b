package lifecycle

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// A Pace says when resources are reconciled next. The managed reconciler knows
// two answers only: the poll interval, and an exponential back-off that grows to
// a minute. The latter is too slow, and too fast, for a deletion with many
// steps, for a creation that waits for a list, and for errors that need a
// person.
type Pace struct {
	mu    sync.Mutex
	after map[types.NamespacedName]time.Duration
}

// After asks that the resource be reconciled after d instead of the reconciler's
// own choice. It holds for the reconcile that is under way.
func (p *Pace) After(o client.Object, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.after == nil {
		p.after = make(map[types.NamespacedName]time.Duration)
	}
	p.after[client.ObjectKeyFromObject(o)] = d
}

// Wrap a reconciler so that it keeps the pace.
func (p *Pace) Wrap(inner reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
		p.take(req.NamespacedName)
		res, err := inner.Reconcile(ctx, req)
		d, ok := p.take(req.NamespacedName)
		if err != nil || !ok || res.IsZero() {
			return res, err
		}
		return reconcile.Result{RequeueAfter: d}, nil
	})
}

func (p *Pace) take(nn types.NamespacedName) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.after[nn]
	delete(p.after, nn)
	return d, ok
}

// Jitter spreads polls that would otherwise stay in step, by a tenth.
func Jitter(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/20 + rand.N(d/10)
}

// Holds keep what has failed for good from being tried again at once. They are
// not durable: a restart means one more try.
type Holds struct {
	// Recheck is how long an error is believed.
	Recheck time.Duration
	// Clock to wait by.
	Clock clock.PassiveClock

	mu sync.Mutex
	of map[types.UID]hold
}

type hold struct {
	key   string
	err   error
	until time.Time
}

// Note the outcome of a call that was made for a resource. The key says what
// was asked for, such as the generation of the resource: if it changes the hold
// ends. Note returns the error it was given.
func (h *Holds) Note(uid types.UID, key string, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !cloud.Terminal(err) {
		delete(h.of, uid)
		return err
	}
	if h.of == nil {
		h.of = make(map[types.UID]hold)
	}
	now := h.Clock.Now()
	// Resources that are gone do not come to ask.
	maps.DeleteFunc(h.of, func(_ types.UID, o hold) bool { return !now.Before(o.until) })
	h.of[uid] = hold{key: key, err: err, until: now.Add(h.Recheck)}
	return err
}

// Held returns the error that the same call ended with a short while ago, and
// how long it is believed.
//
//lint:ignore ST1008 The error is the value.
func (h *Holds) Held(uid types.UID, key string) (error, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, ok := h.of[uid]
	if !ok {
		return nil, 0
	}
	left := o.until.Sub(h.Clock.Now())
	if o.key != key || left <= 0 {
		delete(h.of, uid)
		return nil, 0
	}
	return o.err, left
}
