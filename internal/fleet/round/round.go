// Package round is what all who make rounds have in common: what the scheduler
// finds becomes what the planner plans with, and what the planner grants is added
// to what the scheduler decided. The loop of the fleet and the questions of
// package whatif decide alike because both do it here. Like scheduler and
// planner, it is pure: it writes nothing.
package round

import (
	"context"
	"fmt"
	"maps"
	"slices"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// A Round is what the scheduler decided, to which plans add.
type Round struct {
	bindings  map[string]*scheduler.Binding
	out       *scheduler.Output
	decisions map[string]*scheduler.Decision
}

// New returns the round in which the scheduler decided about bindings. Plans
// change the output.
func New(bindings []scheduler.Binding, out *scheduler.Output) *Round {
	r := &Round{bindings: make(map[string]*scheduler.Binding, len(bindings)), out: out}
	for i := range bindings {
		r.bindings[bindings[i].ID] = &bindings[i]
	}
	return r
}

// Plan makes the plan of a pool. Of the input everything is given that a round
// does not find: it completes the forks and replicas of members, demands, what is
// on virtual nodes, the replicas of the pool, and what reservations hold. What the
// plan grants is added to the decisions, and counted in its status. Errors are
// those of planner.Make.
func (r *Round) Plan(ctx context.Context, in planner.Input) (planner.Output, error) {
	name := in.Plan.Name
	replicas := r.summarize(&in)
	in.Members = maps.Clone(in.Members)
	for member, m := range in.Members {
		m.Fork, m.Replicas = r.out.Forks[member], replicas[member]
		in.Members[member] = m
	}
	in.Demands, in.OnVirtual = nil, nil
	for i := range r.out.Demands {
		if r.out.Demands[i].Pool == name {
			in.Demands = append(in.Demands, r.out.Demands[i])
		}
	}
	for i := range r.out.OnVirtual {
		if r.out.OnVirtual[i].Pool == name {
			in.OnVirtual = append(in.OnVirtual, r.out.OnVirtual[i])
		}
	}
	in.Reservations = slices.Clone(in.Reservations)
	for i := range in.Reservations {
		res := &in.Reservations[i]
		res.Free = r.out.Held[res.Name]
		res.Held = res.Used + res.Free
		res.Running = r.running(res)
	}
	made, err := planner.Make(ctx, in)
	if err != nil {
		return made, fmt.Errorf("cannot plan the capacity of %s: %w", name, err)
	}
	if len(made.Grants) > 0 {
		r.grant(made.Grants)
		r.recount(&in, &made)
	}
	return made, nil
}

// summarize counts the replicas of a pool, and returns them by member.
func (r *Round) summarize(in *planner.Input) map[string]int32 {
	in.Replicas, in.Returning = fleetv1alpha1.ReplicaSummary{}, false
	byMember := map[string]int32{}
	for i := range r.out.Decisions {
		d := &r.out.Decisions[i]
		if b := r.bindings[d.Binding]; b == nil || b.Pool != in.Plan.Name {
			continue
		}
		in.Replicas.Own += d.Own
		in.Replicas.Cloud += d.Cloud
		in.Replicas.Pending += d.Pending
		in.Returning = in.Returning || d.Returning
		for _, t := range d.Targets {
			byMember[t.Member] += t.Replicas
		}
	}
	return byMember
}

// grant adds what the planner granted on virtual nodes. Where the replicas of a
// binding do not tolerate them nothing is: they would not run.
func (r *Round) grant(grants []planner.Grant) {
	for _, g := range grants {
		b := r.bindings[g.Binding]
		if b == nil || !b.Tolerates[g.Member] || b.Refused[g.Member] != "" {
			continue
		}
		if d := r.decision(g.Binding); d != nil {
			d.Grant(b, g.Member, g.Count)
		}
	}
}

// decision about a binding; nil if there is none. Few rounds ask for any.
func (r *Round) decision(id string) *scheduler.Decision {
	if r.decisions == nil {
		r.decisions = make(map[string]*scheduler.Decision, len(r.out.Decisions))
		for i := range r.out.Decisions {
			r.decisions[r.out.Decisions[i].Binding] = &r.out.Decisions[i]
		}
	}
	return r.decisions[id]
}

// running returns how many replicas of the targets of a reservation are on
// rented capacity.
func (r *Round) running(res *planner.Reservation) int32 {
	n := int32(0)
	for _, id := range res.Bindings {
		if d := r.decision(id); d != nil {
			n += d.Cloud
		}
	}
	return n
}

// recount makes the status of a plan count what was granted as assigned.
func (r *Round) recount(in *planner.Input, made *planner.Output) {
	replicas := r.summarize(in)
	made.Status.Replicas = in.Replicas
	for i := range made.Status.Members {
		m := &made.Status.Members[i]
		m.Replicas = replicas[m.Name]
	}
	for i := range in.Reservations {
		res := &in.Reservations[i]
		st := made.Reservations[res.Name]
		st.Running = r.running(res)
		made.Reservations[res.Name] = st
	}
}
