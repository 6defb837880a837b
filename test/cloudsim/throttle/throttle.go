// Package throttle limits calls for each account and API, as the clouds'
// gateways do. Buckets run in real time: the callers under test do.
package throttle

import (
	"sync"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// A Limiter holds one token bucket for each account and API.
type Limiter struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	qps     float64
	burst   int
	buckets map[[2]string]*rate.Limiter
}

// New returns a Limiter that allows qps calls a second after a burst. A qps of
// 0 or less never limits.
func New(c clock.PassiveClock, qps float64, burst int) *Limiter {
	return &Limiter{clock: c, qps: qps, burst: burst, buckets: map[[2]string]*rate.Limiter{}}
}

// Allow takes a token and reports whether there was one.
func (l *Limiter) Allow(account, api string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.qps <= 0 {
		return true
	}
	k := [2]string{account, api}
	b := l.buckets[k]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(l.qps), l.burst)
		l.buckets[k] = b
	}
	return b.AllowN(l.clock.Now(), 1)
}

// Reset refills all buckets.
func (l *Limiter) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets = map[[2]string]*rate.Limiter{}
}
