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

// A part of the replicas that are assigned to a member: those on its virtual
// nodes, those on nodes that leave, or the others.
type part struct {
	name             string
	virtual, leaving bool
	n                int32
	ready            int32
	// held parts lose nothing now: pods beside them would be deleted first.
	held bool
}

// parts of what is assigned, by member name. Only of workloads that delete the
// pods on virtual nodes and on nodes that leave first these are parts of their
// own.
func (r *round) parts(w *work) []part {
	var out []part
	for _, name := range sorted(w.target) {
		p := part{name: name, n: w.target[name], ready: r.ready(w, name)}
		if m := r.members[name]; m != nil && m.usable() && w.steerable() {
			if v := r.virtual(w, m); v.total > 0 {
				v.ready = min(v.ready, p.ready)
				out = append(out, part{name: name, virtual: true, n: v.total, ready: v.ready})
				p.n -= v.total
				p.ready = min(p.ready-v.ready, p.n)
			}
		}
		if l := r.leaving(w, name); l.total > 0 {
			l.total = min(l.total, p.n)
			l.ready = min(l.ready, l.total, p.ready)
			p.n -= l.total
			p.ready = min(p.ready-l.ready, p.n)
			out = append(out, part{name: name, leaving: true, n: l.total, ready: l.ready, held: p.ready < p.n})
		}
		out = append(out, p)
	}
	return out
}

// cut takes away replicas beyond those wanted: from draining members and nodes
// that leave first, then from virtual nodes, then from the dearest tier down.
// Replicas that are not Ready go freely, Ready ones only while at least as many
// as are wanted stay Ready elsewhere. What cannot go yet stays until it can; if
// its substitutes do not become Ready in time, they go instead.
func (r *round) cut(w *work) {
	excess := total(w.target) - r.replacedIn(w) - w.Replicas
	if excess <= 0 {
		w.state.ExcessSince, w.state.ToNodes = nil, false
		return
	}
	parts := r.parts(w)
	budget := -w.Replicas
	for _, p := range parts {
		budget += p.ready
	}
	budget = max(0, budget)
	draining := false
	for _, v := range r.victims(w, excess, parts) {
		p := parts[v.part]
		if p.held {
			draining = true
			continue
		}
		free := p.n - p.ready
		if w.Workload.Kind == "StatefulSet" {
			// Its last pods go, Ready or not; only those that do not exist are
			// surely not Ready.
			free = w.absent(r.members[p.name], p.ready)
		}
		unready := min(v.n, free)
		hurts := min(v.n-unready, budget)
		if p.ready <= budget {
			hurts = v.n - unready
		}
		budget -= min(hurts, p.ready)
		w.target[p.name] -= unready + hurts
		if p.virtual {
			w.gone[p.name] += unready + hurts
		}
		excess -= unready + hurts
		if (p.leaving || r.stateOf(p.name) == Draining) && v.n > unready+hurts {
			draining = true
		}
	}
	w.moving = excess
	if excess == 0 {
		w.state.ExcessSince, w.state.ToNodes = nil, false
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
		// A member or node that leaves does not become a place to stay because
		// the others are slow.
		w.blocked = fmt.Sprintf("%d substitutes are not Ready", excess)
		return
	}
	r.undo(w, excess)
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
func (r *round) undo(w *work, excess int32) {
	undone := int32(0)
	for i := len(w.pool.members) - 1; i >= 0 && excess > 0; i-- {
		m := w.pool.members[i]
		if m.State != Serving {
			continue
		}
		n := min(excess, w.target[m.Name]-r.ready(w, m.Name))
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
	part int
	n    int32
}

// victims says which parts the excess should come from in the end.
func (r *round) victims(w *work, excess int32, parts []part) []victim {
	type rank struct {
		part  int
		class int
		tier  int32
		price float64
	}
	var ranks []rank
	for i, p := range parts {
		m := r.members[p.name]
		switch {
		case m == nil || p.n == 0:
			continue
		case r.stateOf(p.name) == Frozen && w.Replicas > 0:
			// It is cut only when nothing at all is wanted.
			continue
		}
		rk := rank{part: i, tier: m.Tier, price: m.Price}
		switch {
		case m.State == Draining, p.leaving:
			rk.class = 2
		case p.virtual:
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
			group = append(group, victim{part: rk.part})
		}
		for excess > 0 {
			best := -1
			for k := range group {
				if parts[group[k].part].n-group[k].n <= 0 {
					continue
				}
				if best < 0 || better(parts, group[k], group[best]) {
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

// better says which of two equally dear parts should lose a replica: one that
// is not Ready first, then one of the larger part.
func better(parts []part, a, b victim) bool {
	pa, pb := parts[a.part], parts[b.part]
	ua := pa.n-pa.ready-a.n > 0
	ub := pb.n-pb.ready-b.n > 0
	if ua != ub {
		return ua
	}
	return pa.n-a.n > pb.n-b.n
}
