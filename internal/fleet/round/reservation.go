package round

import (
	"slices"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// StaysHome is why a workload may not leave the self-built members of a pool
// with overflow Reserved.
const StaysHome = "only workloads that an active reservation targets may leave home"

// DrainsBecause is why a member drains that only reservations brought which have
// ended.
const DrainsBecause = "the reservation that brought it has ended"

// A Target is a workload that a reservation selects.
type Target struct {
	// Binding by ID, and its workload as namespace/name.
	Binding, Name string
	// Template of a replica.
	Template *scheduler.Template
}

// A Reservation is a CapacityReservation, and what is known of its targets.
type Reservation struct {
	*fleetv1alpha1.CapacityReservation
	// Ended says why it holds nothing any more; Merge sets it.
	Ended string
	// Targets that were found.
	Targets []Target
	// Baselines are the replicas that targets had in elastic members when each
	// was first seen, by ID: they use nothing of what is held.
	Baselines map[string]int32
}

// Names of the targets.
func (r *Reservation) Names() []string {
	var out []string
	for _, t := range r.Targets {
		out = append(out, t.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Merge notes which reservations of a plan have ended, the oldest being first, and
// returns the plan with what they bring: see planner.Merge. Without reservations
// it is the plan itself.
func Merge(plan *fleetv1alpha1.CapacityPlan, rs []*Reservation, now time.Time, m planner.Memory) *fleetv1alpha1.CapacityPlan {
	if len(rs) == 0 {
		return plan
	}
	bare := make([]*fleetv1alpha1.CapacityReservation, 0, len(rs))
	for _, r := range rs {
		r.Ended = planner.Ended(r.CapacityReservation, m, now)
		bare = append(bare, r.CapacityReservation)
	}
	return planner.Merge(plan, bare, now, m)
}

// Over reports whether a member was brought by reservations that have ended, and
// is not one of the plan without them.
func Over(plan *fleetv1alpha1.CapacityPlan, rs []*Reservation, member string) bool {
	is := func(m fleetv1alpha1.PlanMember) bool { return m.Name == member }
	return !slices.ContainsFunc(plan.Spec.Members, is) &&
		!slices.ContainsFunc(rs, func(r *Reservation) bool { return r.Ended == "" && slices.ContainsFunc(r.Spec.Members, is) })
}

// Reserved has the targets of reservations that have not ended, by ID.
func Reserved(rs []*Reservation) map[string]bool {
	out := map[string]bool{}
	for _, r := range rs {
		for _, t := range r.Targets {
			out[t.Binding] = out[t.Binding] || r.Ended == ""
		}
	}
	return out
}

// Hold returns what the reservations of a merged plan hold in a pool, and how a
// plan sees them, both in the order of the reservations: the oldest is first, and
// what its targets use is not of another. Used are the replicas that bindings have
// in elastic members, by ID.
func Hold(merged *fleetv1alpha1.CapacityPlan, rs []*Reservation, used map[string]int32) ([]scheduler.Hold, []planner.Reservation) {
	var holds []scheduler.Hold
	var planned []planner.Reservation
	// What of used older reservations account for.
	counted := map[string]int32{}
	for _, r := range rs {
		p := planner.Reservation{CapacityReservation: r.CapacityReservation, Targets: r.Names()}
		for _, t := range r.Targets {
			p.Bindings = append(p.Bindings, t.Binding)
		}
		if r.Ended == "" && len(r.Targets) > 0 {
			p.Template = r.Targets[0].Template
			mine := map[string]int32{}
			for _, t := range r.Targets {
				counted[t.Binding] = max(counted[t.Binding], r.Baselines[t.Binding])
				mine[t.Binding] = max(0, used[t.Binding]-counted[t.Binding])
			}
			holds = append(holds, r.holds(&p, merged, mine, counted)...)
		}
		planned = append(planned, p)
	}
	return holds, planned
}

// holds of a reservation: one for each target if it is an amount of replicas,
// or else one for all. What the targets use of it is given; what it holds is
// added to what is accounted for.
func (r *Reservation) holds(p *planner.Reservation, merged *fleetv1alpha1.CapacityPlan, used, counted map[string]int32) []scheduler.Hold {
	var out []scheduler.Hold
	if n := r.Spec.Amount.Replicas; n != nil {
		for _, t := range r.Targets {
			take := min(*n, used[t.Binding])
			counted[t.Binding] += *n
			p.Wanted += *n
			p.Used += take
			out = append(out, scheduler.Hold{Reservation: r.Name, Bindings: []string{t.Binding}, Template: t.Template, Count: *n - take, Prefer: r.Spec.Prefer})
		}
		return out
	}
	one := p.Template.Requests()
	p.Wanted = planner.HoldReplicas(r.Spec.Amount, one, merged.Spec.Offerings)
	h := scheduler.Hold{Reservation: r.Name, Bindings: p.Bindings, Template: p.Template, Count: p.Wanted, Prefer: r.Spec.Prefer}
	for _, t := range r.Targets {
		each := max(1, int64(planner.HoldReplicas(fleetv1alpha1.Amount{Resources: t.Template.Requests()}, one, nil)))
		if t.Template == p.Template {
			each = 1
		}
		take := min(int64(h.Count), int64(used[t.Binding])*each)
		counted[t.Binding] += int32((take + each - 1) / each)
		h.Count -= int32(take)
		p.Used += int32(take)
	}
	return append(out, h)
}
