package cloud

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Penalties after the cloud has throttled an account.
const (
	minPenalty = 250 * time.Millisecond
	maxPenalty = 10 * time.Second
)

// Buckets are the token buckets of the accounts in use. All clients of an
// account share one, as the cloud counts their calls together.
type Buckets struct {
	clock clock.Clock

	mu sync.Mutex
	of map[string]*Bucket
}

// NewBuckets returns an empty set of buckets.
func NewBuckets(c clock.Clock) *Buckets {
	return &Buckets{clock: c, of: make(map[string]*Bucket)}
}

// For an account. The latest limits win.
func (b *Buckets) For(account string, qps float64, burst int) *Bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	bu := b.of[account]
	if bu == nil {
		bu = &Bucket{clock: b.clock, limiter: rate.NewLimiter(rate.Limit(qps), burst)}
		b.of[account] = bu
		return bu
	}
	if bu.limiter.Limit() != rate.Limit(qps) {
		bu.limiter.SetLimit(rate.Limit(qps))
	}
	if bu.limiter.Burst() != burst {
		bu.limiter.SetBurst(burst)
	}
	return bu
}

// A Bucket limits the calls of one account.
type Bucket struct {
	clock   clock.Clock
	limiter *rate.Limiter

	mu      sync.Mutex
	penalty time.Duration
	until   time.Time
}

type backgroundKey struct{}

// Background marks calls that can be left out: they get a token only while at
// least half of them are there, so that they never delay other calls.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// Wait for a token. The error is definite: nothing was sent.
func (b *Bucket) Wait(ctx context.Context, operation string) error {
	if ctx.Value(backgroundKey{}) != nil && b.limiter.Tokens() < float64(b.limiter.Burst())/2 {
		return &Error{Class: Throttled, Operation: operation, Message: "other calls go first"}
	}

	b.mu.Lock()
	d := b.until.Sub(b.clock.Now())
	b.mu.Unlock()

	if d > 0 {
		select {
		case <-b.clock.After(d):
		case <-ctx.Done():
			return &Error{Class: Throttled, Operation: operation, Message: "the cloud asked to slow down"}
		}
	}
	if err := b.limiter.Wait(ctx); err != nil {
		return &Error{Class: Throttled, Operation: operation, Message: "the rate limit of the ProviderConfig leaves no call in time"}
	}
	return nil
}

// Observe the outcome of a call: all calls of the account pause for a while
// after one was throttled, longer each time.
func (b *Bucket) Observe(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !Is(err, Throttled) {
		b.penalty = 0
		return
	}
	b.penalty = min(max(2*b.penalty, minPenalty), maxPenalty)
	// Jitter keeps the callers from coming back all at once.
	b.until = b.clock.Now().Add(b.penalty/2 + rand.N(b.penalty/2))
}
