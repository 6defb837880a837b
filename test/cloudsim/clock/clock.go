// Package clock is the simulator's virtual time.
//
// In running mode one real second is Factor virtual seconds. In manual mode
// time stands still until Step is called, and everything that falls due inside
// the step is executed synchronously and in order, so that tests of long state
// machines take no time and give the same result on every run.
package clock

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// A Virtual clock. Its callbacks run one after another, in the order of their
// due times, in one goroutine: Run's in running mode, Step's caller in manual
// mode. A callback must not block.
type Virtual struct {
	real func() time.Time

	mu      sync.Mutex
	factor  float64 // virtual seconds in a real second; 0 is manual mode
	anchorR time.Time
	anchorV time.Time
	queue   events
	seq     uint64
	wake    chan struct{}

	// running serialises the callbacks of Run and Step.
	running sync.Mutex
}

var _ clock.WithTickerAndDelayedExecution = &Virtual{}

// New returns a clock that starts at the current wall time and runs factor
// times as fast. A factor of 0 makes it manual. Run must be called for
// callbacks of a running clock to be executed.
func New(factor float64) *Virtual {
	now := time.Now()
	return &Virtual{real: time.Now, factor: factor, anchorR: now, anchorV: now, wake: make(chan struct{}, 1)}
}

// NewManual returns a clock that stands at the supplied time until Step.
func NewManual(at time.Time) *Virtual {
	return &Virtual{real: time.Now, anchorR: at, anchorV: at, wake: make(chan struct{}, 1)}
}

// Now returns the virtual time.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now()
}

func (v *Virtual) now() time.Time {
	if v.factor == 0 {
		return v.anchorV
	}
	return v.anchorV.Add(time.Duration(float64(v.real().Sub(v.anchorR)) * v.factor))
}

// Wall returns the time a client of the simulated cloud reads on its own
// clock: the real time, or in manual mode the virtual one. Timestamps in API
// answers are wall time, since the clients under test run in real time.
func (v *Virtual) Wall() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.factor == 0 {
		return v.anchorV
	}
	return v.real()
}

// Since returns the virtual time elapsed since t.
func (v *Virtual) Since(t time.Time) time.Duration { return v.Now().Sub(t) }

// Factor returns the virtual seconds in one real second, 0 in manual mode.
func (v *Virtual) Factor() float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.factor
}

// SetFactor changes the pace from now on. 0 switches to manual mode.
func (v *Virtual) SetFactor(f float64) {
	v.mu.Lock()
	v.anchorV = v.now()
	v.anchorR = v.real()
	v.factor = f
	v.mu.Unlock()
	v.kick()
}

// Real converts a virtual duration to the real time it takes. It is 0 in
// manual mode.
func (v *Virtual) Real(d time.Duration) time.Duration {
	f := v.Factor()
	if f == 0 {
		return 0
	}
	return time.Duration(float64(d) / f)
}

// Step moves the virtual time forward by d and executes all that falls due on
// the way, each callback at its own due time when the clock is manual. It
// returns when they are done.
func (v *Virtual) Step(d time.Duration) {
	v.running.Lock()
	defer v.running.Unlock()

	v.mu.Lock()
	target := v.now().Add(d)
	for {
		if len(v.queue) == 0 || v.queue[0].at.After(target) {
			break
		}
		e := heap.Pop(&v.queue).(*event)
		if e.at.After(v.now()) {
			v.set(e.at)
		}
		v.mu.Unlock()
		e.f()
		v.mu.Lock()
	}
	if target.After(v.now()) {
		v.set(target)
	}
	v.mu.Unlock()
	v.kick()
}

// set moves the virtual time; v.mu must be held.
func (v *Virtual) set(t time.Time) {
	v.anchorV = t
	v.anchorR = v.real()
}

// Run executes callbacks as they fall due until the context is done. It idles
// while the clock is manual.
func (v *Virtual) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := v.runDue()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-v.wake:
		case <-timer.C:
		}
	}
}

// runDue executes what is due and returns the real time until the next event.
func (v *Virtual) runDue() time.Duration {
	v.running.Lock()
	defer v.running.Unlock()
	for {
		v.mu.Lock()
		if v.factor == 0 || len(v.queue) == 0 {
			v.mu.Unlock()
			return time.Hour
		}
		now := v.now()
		if next := v.queue[0].at; next.After(now) {
			wait := time.Duration(float64(next.Sub(now)) / v.factor)
			v.mu.Unlock()
			return max(wait, 50*time.Microsecond)
		}
		e := heap.Pop(&v.queue).(*event)
		v.mu.Unlock()
		e.f()
	}
}

func (v *Virtual) kick() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// AfterFunc runs f once d of virtual time has passed. f runs in the clock's
// own goroutine and must not block.
func (v *Virtual) AfterFunc(d time.Duration, f func()) clock.Timer {
	t := &timer{v: v, f: f}
	t.Reset(d)
	return t
}

// NewTimer returns a timer of virtual time.
func (v *Virtual) NewTimer(d time.Duration) clock.Timer {
	c := make(chan time.Time, 1)
	t := &timer{v: v, c: c}
	t.f = func() {
		select {
		case c <- v.Now():
		default:
		}
	}
	t.Reset(d)
	return t
}

// After returns a channel that receives once d of virtual time has passed.
func (v *Virtual) After(d time.Duration) <-chan time.Time { return v.NewTimer(d).C() }

// Sleep blocks for d of virtual time. In manual mode another goroutine has to
// step the clock.
func (v *Virtual) Sleep(d time.Duration) { <-v.After(d) }

// Tick returns the channel of a ticker that cannot be stopped.
func (v *Virtual) Tick(d time.Duration) <-chan time.Time { return v.NewTicker(d).C() }

// NewTicker returns a ticker of virtual time.
func (v *Virtual) NewTicker(d time.Duration) clock.Ticker {
	k := &ticker{c: make(chan time.Time, 1)}
	k.t = &timer{v: v}
	k.t.f = func() {
		select {
		case k.c <- v.Now():
		default:
		}
		k.t.Reset(d)
	}
	k.t.Reset(d)
	return k
}

type event struct {
	at    time.Time
	seq   uint64
	f     func()
	index int
}

type timer struct {
	v *Virtual
	f func()
	c chan time.Time
	e *event
}

func (t *timer) C() <-chan time.Time { return t.c }

// Stop cancels the timer and reports whether it was still pending.
func (t *timer) Stop() bool {
	t.v.mu.Lock()
	defer t.v.mu.Unlock()
	return t.stop()
}

func (t *timer) stop() bool {
	if t.e == nil || t.e.index < 0 {
		return false
	}
	heap.Remove(&t.v.queue, t.e.index)
	return true
}

// Reset re-arms the timer and reports whether it was still pending.
func (t *timer) Reset(d time.Duration) bool {
	t.v.mu.Lock()
	was := t.stop()
	t.v.seq++
	t.e = &event{at: t.v.now().Add(max(d, 0)), seq: t.v.seq, f: t.f}
	heap.Push(&t.v.queue, t.e)
	t.v.mu.Unlock()
	t.v.kick()
	return was
}

type ticker struct {
	t *timer
	c chan time.Time
}

func (k *ticker) C() <-chan time.Time { return k.c }
func (k *ticker) Stop()               { k.t.Stop() }

// events is a heap by due time, then by order of creation.
type events []*event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].seq < q[j].seq
	}
	return q[i].at.Before(q[j].at)
}
func (q events) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *events) Push(x any) {
	e := x.(*event)
	e.index = len(*q)
	*q = append(*q, e)
}
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.index = -1
	return e
}
