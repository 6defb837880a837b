package cloud

import (
	"context"
	"sync"
	"time"
)

// A Life is a server's time from one reset to the next. It runs what a server
// does later, under the server's lock, unless its life has ended by then.
type Life struct {
	cloud *Cloud
	lock  sync.Locker
	ctx   context.Context // Bounds work of the backend, which no request waits for.
	epoch int
}

// NewLife returns the Life of a server with the supplied lock.
func NewLife(ctx context.Context, c *Cloud, lock sync.Locker) *Life {
	return &Life{cloud: c, lock: lock, ctx: ctx}
}

// Begin anew: what was to come does not. The lock is held, as for all methods.
func (l *Life) Begin() { l.epoch++ }

// Epoch tells lives apart.
func (l *Life) Epoch() int { return l.epoch }

// After runs f under the lock once d of virtual time has passed.
func (l *Life) After(d time.Duration, f func()) {
	epoch := l.epoch
	l.cloud.Clock.AfterFunc(d, func() {
		l.lock.Lock()
		defer l.lock.Unlock()
		if l.epoch == epoch {
			f()
		}
	})
}

// Work runs something that may block, and then done under the lock.
func (l *Life) Work(do func(ctx context.Context) error, done func(error)) {
	epoch := l.epoch
	run := func() {
		err := do(l.ctx)
		l.lock.Lock()
		defer l.lock.Unlock()
		if l.epoch == epoch {
			done(err)
		}
	}
	if l.cloud.Backend.Blocking() {
		go run()
		return
	}
	l.cloud.Clock.AfterFunc(0, run)
}
