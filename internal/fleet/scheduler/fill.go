package scheduler

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// fill places up to n replicas tier by tier in the members that may take them,
// spends their forks, adds what was placed to into, and returns how many were
// placed.
func (r *round) fill(w *work, n int32, may func(*member) bool, into map[string]int32) (int32, error) {
	placed := int32(0)
	for i := 0; i < len(w.pool.members) && placed < n; {
		tier := w.pool.members[i].Tier
		var candidates []*member
		for ; i < len(w.pool.members) && w.pool.members[i].Tier == tier; i++ {
			if m := w.pool.members[i]; may(m) && w.takes(m) {
				candidates = append(candidates, m)
			}
		}
		got, err := r.fillTier(w, n-placed, candidates, into)
		if err != nil {
			return placed, err
		}
		placed += got
	}
	return placed, nil
}

// takes reports whether a member may get replicas of the binding. If not, it
// notes why.
func (w *work) takes(m *member) bool {
	switch {
	case m.Elastic && w.StaysHome != "":
		w.refusals[m.Name] = w.StaysHome
	case m.State == Frozen || m.State == Joining || m.State == Draining:
		w.refusals[m.Name] = m.Reason
	case !m.usable():
	case w.Refused[m.Name] != "":
		w.refusals[m.Name] = w.Refused[m.Name]
	default:
		return true
	}
	return false
}

// fillTier divides replicas over the members of one tier: each goes where most
// room is left, so that a tier fills evenly; among equals, where the workload
// has the fewest, so that losing one member costs it least.
func (r *round) fillTier(w *work, n int32, candidates []*member, into map[string]int32) (int32, error) {
	if len(candidates) == 0 {
		return 0, nil
	}
	if len(candidates) == 1 {
		return r.put(w, candidates[0], n, into)
	}
	// Room beyond what is asked for is not looked at: it costs time, and all
	// members that have it are equally good.
	rooms, have := make([]int32, len(candidates)), make([]int32, len(candidates))
	err := each(len(candidates), w.Template.Grouped(), func(i int) error {
		room, err := r.room(w, candidates[i], n)
		rooms[i] = int32(room.Placed)
		return err
	})
	if err != nil {
		return 0, err
	}
	for i, m := range candidates {
		have[i] = into[m.Name]
	}
	gives := divide(n, rooms, have)
	err = each(len(candidates), w.Template.Grouped(), func(i int) (err error) {
		if gives[i] > 0 {
			rooms[i], err = r.simulate(w, candidates[i], gives[i])
		} else {
			rooms[i] = 0
		}
		return err
	})
	placed := int32(0)
	for i, m := range candidates {
		if rooms[i] > 0 {
			into[m.Name] += rooms[i]
			placed += rooms[i]
		}
	}
	return placed, err
}

// divide up to n replicas: each goes where most room is left, and among equals
// where the fewest are.
func divide(n int32, rooms, have []int32) []int32 {
	sum := int32(0)
	for _, room := range rooms {
		sum += room
	}
	if sum <= n {
		return slices.Clone(rooms)
	}
	gives := make([]int32, len(rooms))
	for range n {
		best := -1
		for i := range rooms {
			left := rooms[i] - gives[i]
			if left <= 0 {
				continue
			}
			if best < 0 || left > rooms[best]-gives[best] ||
				left == rooms[best]-gives[best] && have[i]+gives[i] < have[best]+gives[best] {
				best = i
			}
		}
		gives[best]++
	}
	return gives
}

func (r *round) put(w *work, m *member, n int32, into map[string]int32) (int32, error) {
	placed, err := r.simulate(w, m, n)
	if err != nil {
		return 0, err
	}
	if placed > 0 {
		into[m.Name] += placed
	}
	return placed, nil
}

// await finds out which of the replicas without a place fit as soon as pods
// that are leaving are gone: those that terminate, and those of replicas that
// were cut a moment ago. Nothing is ordered for them.
func (r *round) await() error {
	if !slices.ContainsFunc(r.active, func(w *work) bool { return w.unmet > 0 }) {
		return nil
	}
	surplus := map[string]map[snapshot.WorkloadKey]int32{}
	for _, w := range r.active {
		due := w.LastScheduled.Add(r.in.Settings.LeaveGrace)
		if !w.Divided || w.Held || !changed(w.Binding, targets(w.target)) && !due.After(r.in.Now) {
			continue
		}
		for name, m := range r.members {
			if !m.usable() {
				continue
			}
			// Pods without a node are cut first, and hold no room.
			if n := int32(m.Snapshot.Workload(w.Workload).Scheduled) - w.target[name]*w.Template.Size(); n > 0 {
				if surplus[name] == nil {
					surplus[name] = map[snapshot.WorkloadKey]int32{}
				}
				surplus[name][w.Workload] = n
				r.wake(due)
			}
		}
	}
	freed := map[*member]bool{}
	marks := r.mark()
	defer revert(marks)
	for m := range marks {
		if r.removeLeaving(m, surplus[m.Name]) {
			freed[m] = true
		}
	}
	if len(freed) == 0 {
		return nil
	}
	for _, w := range r.active {
		if w.unmet == 0 {
			continue
		}
		// Why it does not fit now is more to the point than why not then.
		kept := maps.Clone(w.refusals)
		n, err := r.fillFreed(w, freed)
		if err != nil {
			return err
		}
		w.refusals = kept
		w.unmet -= n
		w.waiting = n
	}
	return nil
}

// fillFreed returns how many of the replicas of a binding without a place fit
// where pods have left. Of replicas that start together none holds room while one
// has no place, so it counts how many more fit than before.
func (r *round) fillFreed(w *work, freed map[*member]bool) (int32, error) {
	if !w.Together {
		return r.fill(w, w.unmet, func(m *member) bool { return freed[m] }, map[string]int32{})
	}
	marks := r.mark()
	n, err := r.fill(w, w.missing, func(*member) bool { return true }, map[string]int32{})
	if err != nil || n < w.missing {
		revert(marks)
		return max(0, n-w.placed), err
	}
	for m, mark := range marks {
		m.fork.Commit(mark)
	}
	return w.unmet, nil
}

// mark all forks.
func (r *round) mark() map[*member]snapshot.Mark {
	marks := map[*member]snapshot.Mark{}
	for _, m := range r.members {
		if m.usable() {
			marks[m] = m.fork.Mark()
		}
	}
	return marks
}

// revert what was done to forks since they were marked.
func revert(marks map[*member]snapshot.Mark) {
	for m, mark := range marks {
		m.fork.Revert(mark)
		m.fork.Commit(mark)
	}
}

// removeLeaving takes pods that are leaving off the fork.
func (r *round) removeLeaving(m *member, surplus map[snapshot.WorkloadKey]int32) bool {
	type leaver struct {
		node string
		pod  *corev1.Pod
	}
	var leavers []leaver
	// List cannot fail on a fork, and its slice is not to be read while the
	// fork changes.
	nodes, _ := m.fork.List()
	for _, ni := range nodes {
		for _, pi := range ni.GetPods() {
			p := pi.GetPod()
			if p.DeletionTimestamp != nil {
				// The deletion timestamp is when the grace period ends. A pod
				// that is still there long after does not leave by itself.
				due := p.DeletionTimestamp.Add(r.in.Settings.LeaveGrace)
				if p.DeletionTimestamp.After(r.in.Now.Add(2 * r.in.Settings.LeaveGrace)) {
					// One that takes its time does not help: a new node is there
					// sooner.
					continue
				}
				if due.After(r.in.Now) {
					leavers = append(leavers, leaver{ni.Node().Name, p})
					r.wake(due)
				}
				continue
			}
			k, ok := snapshot.WorkloadOf(p)
			if ok && surplus[k] > 0 {
				surplus[k]--
				leavers = append(leavers, leaver{ni.Node().Name, p})
			}
		}
	}
	for _, l := range leavers {
		// It cannot fail: the pod was on the node a moment ago.
		_ = m.fork.RemovePod(l.node, l.pod)
	}
	return len(leavers) > 0
}

// targets are the members that have replicas.
func targets(m map[string]int32) []Target {
	var out []Target
	for _, name := range sorted(m) {
		if m[name] != 0 {
			out = append(out, Target{Member: name, Replicas: m[name]})
		}
	}
	return out
}

// at is a pointer to a time, for states.
func at(t time.Time) *time.Time { return &t }
