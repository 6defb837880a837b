package scheduler

import (
	"slices"
)

// interchangeable kinds have replicas of which one more is only one more. Of any
// other a replica may be the only one of its index, and a second one, while the
// first may still run behind a broken line, breaks what the index promises.
var interchangeable = []string{"Deployment", "ReplicaSet", "ReplicationController", "CloneSet", "Rollout"}

// replaced returns how many of the replicas assigned to a member do not count as
// running any more, because it has been silent for as long as the user said.
// They stay assigned: the member may run them, and when it answers again they
// are there, and what is too many is cut as after any other move.
func (r *round) replaced(w *work, name string) int32 {
	m := r.members[name]
	after := w.pool.ReplaceAfter
	if after <= 0 || m == nil || m.State != Frozen || m.Since.IsZero() || w.target[name] == 0 || w.Replicas == 0 ||
		!w.Movable || !slices.Contains(interchangeable, w.Workload.Kind) {
		return 0
	}
	if due := m.Since.Add(after); due.After(r.in.Now) {
		r.wake(due)
		return 0
	}
	return w.target[name]
}

// replacedIn all members.
func (r *round) replacedIn(w *work) int32 {
	n := int32(0)
	if w.pool.ReplaceAfter <= 0 {
		return n
	}
	for name := range w.target {
		n += r.replaced(w, name)
	}
	return n
}
