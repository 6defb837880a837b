package scheduler

import (
	"slices"
	"strings"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

func (r *round) output() Output {
	out := Output{Forks: map[string]*snapshot.Fork{}, Held: map[string]int32{}, Missing: map[string]int32{}, Next: r.next}
	for name, m := range r.members {
		if m.fork != nil {
			out.Forks[name] = m.fork
		}
	}
	// What reservations are for comes first, then what they hold: a reservation
	// is a promise.
	var targeted, others []Demand
	decisions := make([]Decision, len(r.work))
	chunked(len(r.work), func(i int) {
		if w := r.work[i]; w.rests {
			decisions[i] = r.decision(w)
		}
	})
	out.Decisions = decisions[:0]
	for i, w := range r.work {
		if w.rests {
			out.Decisions = append(out.Decisions, decisions[i])
			continue
		}
		if w.Held {
			continue
		}
		out.Decisions = append(out.Decisions, r.decision(w))
		out.OnVirtual = append(out.OnVirtual, r.movable(w)...)
		if w.unmet <= 0 || w.StaysHome != "" {
			continue
		}
		d := Demand{Binding: w.ID, Pool: w.Pool, Workload: w.Workload, Template: w.Template, Count: w.unmet, Refused: w.Refused, Tolerates: w.Tolerates, Outage: w.outage, Grounded: w.grounded(), Together: w.Together}
		if len(w.holds) == 0 {
			// Room on rented nodes is kept for them by the planner, what is held for
			// them without it.
			d.Count += w.withheld
			others = append(others, d)
			continue
		}
		for _, h := range w.holds {
			d.Prefer = append(d.Prefer, h.Prefer...)
		}
		w.use(w.unmet)
		targeted = append(targeted, d)
	}
	out.Demands = slices.Concat(targeted, r.missing(&out), others)
	return out
}

func (r *round) decision(w *work) Decision {
	d := Decision{
		Binding: w.ID, State: w.state, Waiting: w.waiting, Settling: w.settling, Unmet: w.unmet, Moving: w.moving, Returning: w.returning,
		Blocked: w.blocked, Outage: w.outage, Notes: w.notes, Refusals: w.refusals,
	}
	sum := int32(0)
	if len(w.target) > 0 {
		d.Targets = make([]Target, 0, len(w.target))
	}
	for name, n := range w.target {
		if n > 0 || !w.Divided {
			d.Targets = append(d.Targets, Target{Member: name, Replicas: n})
		}
	}
	slices.SortFunc(d.Targets, func(a, b Target) int { return strings.Compare(a.Member, b.Member) })
	if w.rests {
		d.Own = w.Replicas
		d.Message = explain(w.Binding, &d)
		return d
	}
	for _, t := range d.Targets {
		name, n := t.Member, t.Replicas
		sum += n
		m := r.members[name]
		if m == nil || !m.Elastic {
			d.Own += n
			continue
		}
		d.Cloud += n
		if v := r.virtual(w, m); v.total > 0 {
			if d.Virtual == nil {
				d.Virtual = map[string]int32{}
			}
			d.Virtual[name] = v.total
		}
	}
	if w.Divided {
		d.Replaced = r.replacedIn(w)
		d.Pending = max(0, w.Replicas-sum+d.Replaced)
	}
	d.Changed = changed(w.Binding, d.Targets)
	if d.Cloud > 0 || d.Unmet > 0 {
		d.Return = w.pool.returns(w.Template)
	}
	if w.placed > 0 {
		d.State.Why = limits(w.Binding, &d)
	}
	if d.Cloud == 0 {
		d.State.Why = ""
	}
	d.Message = explain(w.Binding, &d)
	return d
}

// Grant adds replicas that the planner granted on virtual nodes of a member to
// the decision about a binding. It takes at most what is unmet, and returns how
// many it took.
func (d *Decision) Grant(b *Binding, member string, n int32) int32 {
	n = min(n, d.Unmet)
	if n <= 0 || b.apart(d, n) {
		return 0
	}
	i, ok := slices.BinarySearchFunc(d.Targets, member, func(t Target, name string) int {
		switch {
		case t.Member < name:
			return -1
		case t.Member > name:
			return 1
		}
		return 0
	})
	if ok {
		d.Targets[i].Replicas += n
	} else {
		d.Targets = slices.Insert(d.Targets, i, Target{Member: member, Replicas: n})
	}
	if d.Virtual == nil {
		d.Virtual = map[string]int32{}
	}
	d.Virtual[member] += n
	d.Unmet -= n
	d.Cloud += n
	sum := int32(0)
	for _, t := range d.Targets {
		sum += t.Replicas
	}
	d.Pending = max(0, b.Replicas-sum+d.Replaced)
	d.Changed = changed(b, d.Targets)
	d.State.Why = limits(b, d)
	d.Message = explain(b, d)
	return n
}
