package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// parallel is how many assignments are being written at most. An API server
	// that is busy answers each of them late, so that fewer would leave fleet
	// waiting.
	parallel = 64
	// telling is the same for the statuses that say so. They are fewer, so that
	// assignments, which workloads wait for, are first when there are many.
	telling = 16
)

// A flight is a decision about a binding on its way into the API.
type flight struct {
	// base is the binding as the API had it, expected what becomes of it.
	base, expected client.Object
	// again says that a later round decided otherwise meanwhile.
	again bool
}

// flights are the decisions that are being written while rounds go on. A round
// takes them for written: what they promise is not promised to others, and
// nothing is decided anew about a binding before its flight has landed. It is
// safe for concurrent use.
type flights struct {
	assigning, telling chan struct{}

	wg   sync.WaitGroup
	mu   sync.Mutex
	byID map[string]*flight
	errs []error
}

func newFlights() *flights {
	return &flights{assigning: make(chan struct{}, parallel), telling: make(chan struct{}, telling), byID: map[string]*flight{}}
}

// start a flight of a binding that has none.
func (f *flights) start(id string, base, expected client.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byID[id] = &flight{base: base, expected: expected}
	f.wg.Add(1)
}

// advance notes what the API has now of a binding in flight, and what it still
// becomes.
func (f *flights) advance(id string, base, expected client.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byID[id].base, f.byID[id].expected = base, expected
}

// land ends a flight. It reports whether the binding has to be looked at again,
// and whether the error is the first since failed was called.
func (f *flights) land(id string, err error) (again, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.wg.Done()
	again = f.byID[id].again
	delete(f.byID, id)
	if err != nil {
		f.errs = append(f.errs, err)
	}
	return again, err != nil && len(f.errs) == 1
}

// again has a round asked for when the flight of a binding lands. It reports
// whether there is one.
func (f *flights) again(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := f.byID[id]
	if have != nil {
		have.again = true
	}
	return have != nil
}

// over returns a binding as it is when its flight has landed, and whether it is
// expected only: unless newest knows of something that the decision was not made
// for. Newest is asked after the flight was looked for, so that one which lands
// meanwhile is not missed.
func (f *flights) over(id string, newest func() client.Object) (client.Object, bool) {
	f.mu.Lock()
	var base, expected client.Object
	if have := f.byID[id]; have != nil {
		base, expected = have.base, have.expected
	}
	f.mu.Unlock()
	out := newest()
	if base == nil || older(base, out) && moved(base, out) || base.GetUID() != out.GetUID() {
		return out, false
	}
	return expected, true
}

// failed returns what could not be written since it was last called.
func (f *flights) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := f.errs
	f.errs = nil
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("cannot write %d decisions, the first: %w", len(errs), errs[0])
}

// in runs a function when one of the slots is free.
func in(ctx context.Context, slots chan struct{}, fn func() error) error {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
		return fn()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// moved reports whether a binding is another one, or more than its status has
// changed: a decision about the former is none about the latter.
func moved(was, is client.Object) bool {
	return is.GetUID() != was.GetUID() || is.GetGeneration() != was.GetGeneration() ||
		!maps.Equal(is.GetAnnotations(), was.GetAnnotations()) || !maps.Equal(is.GetLabels(), was.GetLabels())
}

// errMoved says that a binding is not what was decided about any more.
var errMoved = errors.New("the binding has changed")
