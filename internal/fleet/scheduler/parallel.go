package scheduler

import (
	"context"
	"runtime"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
)

// known and keep read and write what a binding keeps by member.
func known(w *work, of map[*member]*corev1.Pod, m *member) (*corev1.Pod, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pod, ok := of[m]
	return pod, ok
}

func keep(w *work, of map[*member]*corev1.Pod, m *member, pod *corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of[m] = pod
}

// refuse notes why a member takes no more replicas.
func (w *work) refuse(m *member, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusals[m.Name] = why
}

// each calls fn for numbers below n, at the same time unless in turn is asked for,
// and returns the error of the lowest that has one.
func each(n int, inTurn bool, fn func(i int) error) error {
	errs := make([]error, n)
	workers := min(n, runtime.GOMAXPROCS(0))
	if inTurn {
		workers = 1
	}
	workqueue.ParallelizeUntil(context.Background(), workers, n, func(i int) { errs[i] = fn(i) })
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

// chunk is how many bindings are looked at together: to look at one takes about a
// microsecond.
const chunk = 128

// chunked calls fn for numbers below n, at the same time.
func chunked(n int, fn func(i int)) {
	workqueue.ParallelizeUntil(context.Background(), min(runtime.GOMAXPROCS(0), n/chunk+1), n, fn, workqueue.WithChunkSize(chunk))
}
