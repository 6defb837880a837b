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
	// Components of a replica that is a group of pods; Spec and Options are
	// those of the first. See GroupOf.
	Components []Component
}

// Pod returns a replica as a member with the supplied objects would store it.
// An error says why the member would refuse it.
func (t *Template) Pod(objs *snapshot.Objects) (*corev1.Pod, error) { return t.pod(objs, t.Options) }

func (t *Template) pod(objs *snapshot.Objects, options []simulation.PodOption) (*corev1.Pod, error) {
	p, err := simulation.NewPod(&t.Spec, t.Namespace, objs, options...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a replica: %w", err)
	}
	return p, nil
}

// replica returns a replica of the template as a member would store it, or nil
// if it would not. Where the variant for virtual nodes runs, it is a sibling of
// those.
func (r *round) replica(w *work, m *member) *corev1.Pod {
	pod, ok := known(w, w.own, m)
	if !ok {
		options := w.Template.Options
		if w.Tolerates[m.Name] && len(m.virtuals) > 0 {
			if s := r.stored(w, m); s != nil {
				options = append(options[:len(options):len(options)], simulation.SiblingOf(s))
			}
		}
		var err error
		if pod, err = w.Template.pod(m.Snapshot.Objects(), options); err != nil {
			w.refuse(m, err.Error())
		}
		keep(w, w.own, m, pod)
	}
	return pod
}

// stored returns a replica as it really is in a member: of the variant that
// tolerates virtual nodes where it has any.
func (r *round) stored(w *work, m *member) *corev1.Pod {
	if !w.Tolerates[m.Name] || len(m.virtuals) == 0 {
		return r.replica(w, m)
	}
	pod, ok := known(w, w.stored, m)
	if !ok {
		t := Template{Namespace: w.Template.Namespace, Spec: Tolerant(&w.Template.Spec, m.virtuals), Options: w.Template.Options}
		var err error
		if pod, err = t.Pod(m.Snapshot.Objects()); err != nil {
			w.refuse(m, err.Error())
		}
		keep(w, w.stored, m, pod)
	}
	return pod
}

// simulate places up to n replicas of a binding on the real nodes of the fork of
// a member. A replica that the member's API server would refuse has no place
// there.
func (r *round) simulate(w *work, m *member, n int32) (int32, error) {
	res, err := r.simulated(w, m, n)
	return int32(res.Placed), err
}

// simulated is simulate, and returns what was placed where.
func (r *round) simulated(w *work, m *member, n int32) (simulation.Result, error) {
	pod, ok := known(w, w.real, m)
	if !ok {
		pod = r.replica(w, m)
	}
	if pod == nil {
		return simulation.Result{}, nil
	}
	mark := m.fork.Mark()
	res, ok, err := r.run(w, m, pod, n)
	if !ok || err != nil {
		return simulation.Result{}, err
	}
	if m.onVirtualNodes(res) > 0 {
		// It tolerates virtual nodes by itself.
		pod = keptOff(pod, m.virtualNodes)
		keep(w, w.real, m, pod)
		m.fork.Revert(mark)
		if res, ok, err = r.run(w, m, pod, n); !ok || err != nil {
			return simulation.Result{}, err
		}
	}
	m.fork.Commit(mark)
	return res, nil
}

// room finds out how many of n replicas of a binding have a place on the real nodes
// of the fork of a member, which stays as it is. Where it is enough to count them
// the result does not say where they would be.
func (r *round) room(w *work, m *member, n int32) (simulation.Result, error) {
	if c, ok := m.Simulator.(simulation.Counter); ok && !r.naive && len(m.virtualNodes) == 0 && !w.Template.Grouped() {
		pod := r.replica(w, m)
		if pod == nil {
			return simulation.Result{}, nil
		}
		// Of fewer the simulation has to say why, and of an error what it is.
		if k, ok, err := c.Room(r.ctx, m.fork, pod, int(n)); ok && err == nil && k == int(n) {
			return simulation.Result{Placed: k}, nil
		}
	}
	mark := m.fork.Mark()
	defer func() {
		m.fork.Revert(mark)
		m.fork.Commit(mark)
	}()
	return r.simulated(w, m, n)
}

// book places up to n replicas of a binding that were assigned to a member
// where its kube-scheduler will, virtual nodes included.
func (r *round) book(w *work, m *member, n int32) error {
	pod := r.stored(w, m)
	if pod == nil {
		return nil
	}
	mark := m.fork.Mark()
	res, ok, err := r.run(w, m, pod, n)
	if !ok || err != nil {
		return err
	}
	m.fork.Commit(mark)
	w.bound[m.Name] += m.onVirtualNodes(res)
	return nil
}

// run places copies of a pod of a binding on the fork of a member. It is not ok
// if they cannot be simulated; nothing is on the fork then.
func (r *round) run(w *work, m *member, pod *corev1.Pod, n int32) (simulation.Result, bool, error) {
	mark := m.fork.Mark()
	res, err := r.placeOn(w, m, pod, n)
	if err != nil {
		if r.ctx.Err() != nil {
			return res, false, fmt.Errorf("cannot simulate %s in %s: %w", w.ID, m.Name, err)
		}
		// One workload that cannot be simulated must not stop all others.
		m.fork.Revert(mark)
		m.fork.Commit(mark)
		w.refuse(m, "cannot be simulated: "+err.Error())
		return res, false, nil
	}
	m.fork.Commit(mark)
	if res.Placed > 0 {
		m.changes++
	}
	if res.Message != "" {
		w.refuse(m, refusal(&res))
	}
	return res, true, nil
}
