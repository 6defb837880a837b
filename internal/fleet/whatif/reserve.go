package whatif

import (
	"maps"
	"slices"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// reserve makes pools, plans and bindings what their reservations make of them
// now, as the fleet does before each round: what targets use is not held any more,
// and what a reservation brought that has ended drains, and leaves the plan when
// it is not in use.
func (p *play) reserve() {
	for i := range p.plans {
		in := &p.plans[i]
		if len(in.Reserving) == 0 || in.Bare == nil {
			continue
		}
		at := slices.IndexFunc(p.in.Pools, func(pool scheduler.Pool) bool { return pool.Name == in.Plan.Name })
		if at < 0 {
			continue
		}
		pool := &p.in.Pools[at]
		in.Bare.Status = in.Plan.Status
		in.Plan = round.Merge(in.Bare, in.Reserving, p.in.Now, in.Memory)
		forgetMarket(in.Plan)
		p.withdraw(i, pool)
		pool.Holds, in.Reservations = round.Hold(in.Plan, in.Reserving, p.used(pool))
		reserved := round.Reserved(in.Reserving)
		for j := range p.in.Bindings {
			if b := &p.in.Bindings[j]; b.Pool == pool.Name {
				b.StaysHome = ""
				if in.Plan.Spec.Overflow == fleetv1alpha1.OverflowReserved && !reserved[b.ID] {
					b.StaysHome = round.StaysHome
				}
			}
		}
	}
}

// used are the replicas that bindings have in the elastic members of a pool.
func (p *play) used(pool *scheduler.Pool) map[string]int32 {
	out := map[string]int32{}
	for i := range p.in.Bindings {
		b := &p.in.Bindings[i]
		for _, m := range pool.Members {
			if m.Elastic && b.Pool == pool.Name {
				out[b.ID] += b.Assigned[m.Name]
			}
		}
	}
	return out
}

// withdraw drains the members that reservations brought which have ended, and
// ends those that the plan has no more. What was ordered of an offering that it
// has no more does not come.
func (p *play) withdraw(i int, pool *scheduler.Pool) {
	in := &p.plans[i]
	for j := range pool.Members {
		m := &pool.Members[j]
		if m.State == scheduler.Serving && round.Over(in.Bare, in.Reserving, m.Name) {
			p.setState(m.Name, scheduler.Draining, round.DrainsBecause)
		}
	}
	member := func(name string) bool {
		return slices.ContainsFunc(in.Plan.Spec.Members, func(m fleetv1alpha1.PlanMember) bool { return m.Name == name })
	}
	p.coming = slices.DeleteFunc(p.coming, func(a arrival) bool {
		return a.plan == i && (!member(a.member) || a.offering != "" && offeringOf(in.Plan, a.offering) == nil)
	})
	pool.Virtual = slices.DeleteFunc(pool.Virtual, func(v scheduler.Virtual) bool { return offeringOf(in.Plan, v.Offering) == nil })
	for name := range maps.Clone(in.Members) {
		m := p.members[name]
		if member(name) || m == nil || slices.ContainsFunc(p.in.Bindings, func(b scheduler.Binding) bool { return b.Assigned[name] > 0 }) {
			continue
		}
		delete(in.Members, name)
		pool.Members = slices.DeleteFunc(pool.Members, func(m scheduler.Member) bool { return m.Name == name })
		if p.state(name) == scheduler.Absent {
			p.end(m)
		}
	}
}
