package scheduler

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A Template is what the replicas of a workload are made from.
type Template struct {
	// Namespace of the pods.
	Namespace string
	// Spec of the pods.
	Spec corev1.PodTemplateSpec
	// Options say whose pods they are, and which claims they get.
	Options []simulation.PodOption
}

// Pod returns a replica as a member with the supplied objects would store it.
// An error says why the member would refuse it.
func (t *Template) Pod(objs *snapshot.Objects) (*corev1.Pod, error) {
	p, err := simulation.NewPod(&t.Spec, t.Namespace, objs, t.Options...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a replica: %w", err)
	}
	return p, nil
}

// replica returns a replica as a member would store it, or nil if it would not.
func (r *round) replica(w *work, m *member) *corev1.Pod {
	pod, ok := w.pods[m]
	if !ok {
		p, err := w.Template.Pod(m.Snapshot.Objects())
		if err != nil {
			w.refusals[m.Name] = err.Error()
		}
		pod = p
		w.pods[m] = p
	}
	return pod
}

// simulate places up to n replicas of a binding on the fork of a member. A
// replica that the member's API server would refuse has no place there.
func (r *round) simulate(w *work, m *member, n int32) (int32, error) {
	pod := r.replica(w, m)
	if pod == nil {
		return 0, nil
	}
	mark := m.fork.Mark()
	res, err := m.Simulator.Place(r.ctx, m.fork, pod, int(n))
	if err != nil {
		if r.ctx.Err() != nil {
			return 0, fmt.Errorf("cannot simulate %s in %s: %w", w.ID, m.Name, err)
		}
		// One workload that cannot be simulated must not stop all others.
		m.fork.Revert(mark)
		m.fork.Commit(mark)
		w.refusals[m.Name] = "cannot be simulated: " + err.Error()
		return 0, nil
	}
	m.fork.Commit(mark)
	if res.Message != "" {
		w.refusals[m.Name] = res.Message
	}
	return int32(res.Placed), nil
}
