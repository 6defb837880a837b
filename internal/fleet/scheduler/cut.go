package scheduler

import (
	"cmp"
	"fmt"
	"slices"
)

// ready returns how many of the replicas assigned to a member are Ready. What
// a member says can be older than the assignment, so it is never more than
// assigned. Of a member that does not answer none counts: it may run them, but
// that is no reason to cut others.
func (r *round) ready(w *work, name string) int32 {
	if s := r.stateOf(name); s == Frozen || s == Absent {
		return 0
	}
	m := r.members[name]
	n := w.Reported[name].Ready
	if m.Snapshot != nil {
		_, n = w.seen(m)
	}
	return min(n, w.target[name])
}

// cut takes away replicas beyond those wanted: from draining members first,
// then from the dearest tier down. Replicas that are not Ready go freely, Ready
// ones only while at least as many as are wanted stay Ready elsewhere. What
// cannot go yet stays until it can; if its substitutes do not become Ready in
// time, they go instead.
func (r *round) cut(w *work) {
	excess := total(w.target) - w.Replicas
	if excess <= 0 {
		w.state.ExcessSince = nil
		return
	}
	ready := map[string]int32{}
	for name := range w.target {
		ready[name] = r.ready(w, name)
	}
	victims := r.victims(w, excess, ready)
	budget := max(0, total(ready)-w.Replicas)
	draining := false
	for _, v := range victims {
		free := w.target[v.name] - ready[v.name]
		if w.Workload.Kind == "StatefulSet" {
			// Its last pods go, Ready or not; only those that do not exist are
			// surely not Ready.
			free = w.absent(r.members[v.name], ready[v.name])
		}
		unready := min(v.n, free)
		hurts := min(v.n-unready, budget)
		if ready[v.name] <= budget {
			hurts = v.n - unready
		}
		budget -= min(hurts, ready[v.name])
		w.target[v.name] -= unready + hurts
		excess -= unready + hurts
		if r.stateOf(v.name) == Draining && v.n > unready+hurts {
			draining = true
		}
	}
	w.moving = excess
	if excess == 0 {
		w.state.ExcessSince = nil
		return
	}
	if w.state.ExcessSince == nil {
		w.state.ExcessSince = at(r.in.Now)
	}
	due := w.state.ExcessSince.Add(r.in.Settings.MoveTimeout)
	if due.After(r.in.Now) {
		r.wake(due)
		return
	}
	if draining {
		// A member that leaves does not become a place to stay because the
		// others are slow.
		w.blocked = fmt.Sprintf("%d substitutes are not Ready", excess)
		return
	}
	r.undo(w, excess, ready)
}

// absent returns how many of the replicas assigned to a member have no pod.
func (w *work) absent(m *member, ready int32) int32 {
	pods := w.target[m.Name]
	if m.Snapshot != nil {
		pods, _ = w.seen(m)
	}
	return max(0, w.target[m.Name]-max(pods, ready))
}

// undo gives up a move whose substitutes do not become Ready: they go, and the
// replicas they were for stay where they are.
func (r *round) undo(w *work, excess int32, ready map[string]int32) {
	undone := int32(0)
	for i := len(w.pool.members) - 1; i >= 0 && excess > 0; i-- {
		m := w.pool.members[i]
		if m.State != Serving {
			continue
		}
		n := min(excess, w.target[m.Name]-min(ready[m.Name], w.target[m.Name]))
		if n <= 0 {
			continue
		}
		w.target[m.Name] -= n
		excess -= n
		undone += n
	}
	w.moving = excess
	if undone == 0 {
		return
	}
	w.state = State{NotBefore: at(r.in.Now.Add(max(w.pool.StabilizationWindow, r.in.Settings.MoveTimeout)))}
	w.notes = append(w.notes, fmt.Sprintf("%d moves undone: the substitutes did not become Ready", undone))
}

type victim struct {
	name string
	n    int32
}

// victims says from which members the excess should go in the end.
func (r *round) victims(w *work, excess int32, ready map[string]int32) []victim {
	type rank struct {
		name  string
		class int
		tier  int32
		price float64
	}
	var ranks []rank
	for _, name := range sorted(w.target) {
		m := r.members[name]
		switch {
		case m == nil || w.target[name] == 0:
			continue
		case r.stateOf(name) == Frozen && w.Replicas > 0:
			// It is cut only when nothing at all is wanted.
			continue
		}
		rk := rank{name: name, tier: m.Tier, price: m.Price}
		if m.State == Draining {
			rk.class = 1
		}
		ranks = append(ranks, rk)
	}
	compare := func(a, b rank) int {
		return cmp.Or(cmp.Compare(b.class, a.class), cmp.Compare(b.tier, a.tier), cmp.Compare(b.price, a.price))
	}
	slices.SortStableFunc(ranks, compare)

	var out []victim
	for i := 0; i < len(ranks) && excess > 0; {
		j := i
		for j < len(ranks) && compare(ranks[i], ranks[j]) == 0 {
			j++
		}
		group := make([]victim, 0, j-i)
		for _, rk := range ranks[i:j] {
			group = append(group, victim{name: rk.name})
		}
		for excess > 0 {
			best := -1
			for k := range group {
				if w.target[group[k].name]-group[k].n <= 0 {
					continue
				}
				if best < 0 || better(w, ready, group[k], group[best]) {
					best = k
				}
			}
			if best < 0 {
				break
			}
			group[best].n++
			excess--
		}
		for _, v := range group {
			if v.n > 0 {
				out = append(out, v)
			}
		}
		i = j
	}
	return out
}

// better says which of two equally dear members should lose a replica: one that
// is not Ready first, then one of the larger part.
func better(w *work, ready map[string]int32, a, b victim) bool {
	ua := w.target[a.name]-ready[a.name]-a.n > 0
	ub := w.target[b.name]-ready[b.name]-b.n > 0
	if ua != ub {
		return ua
	}
	return w.target[a.name]-a.n > w.target[b.name]-b.n
}
