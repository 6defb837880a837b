package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A plannedCapacity is a plan with what was made of it.
type plannedCapacity struct {
	plan *fleetv1alpha1.CapacityPlan
	out  planner.Output
}

// memoryOf returns what an earlier plan asked to keep. What cannot be read is
// forgotten: delays start anew.
func memoryOf(p *fleetv1alpha1.CapacityPlan) planner.Memory {
	m := planner.Memory{}
	if raw := p.Annotations[AnnotationMemory]; raw != "" {
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			return planner.Memory{}
		}
	}
	return m
}

// plan makes all plans.
func (f *Fleet) plan(ctx context.Context, v *view, seen time.Time) ([]plannedCapacity, error) {
	var out []plannedCapacity
	for i, p := range v.plans {
		pool := &v.input.Pools[i]
		in := planner.Input{Now: v.now, SeenAt: seen, Plan: p.merged, Members: map[string]planner.Member{}, Simulator: f.simulator, Settings: f.Planner}
		in.Memory = memoryOf(p.plan)
		replicas := v.summarize(p.plan, &in)
		in.Objects = objects(pool)
		for _, m := range pool.Members {
			pm := planner.Member{State: m.State, Snapshot: m.Snapshot, Fork: v.out.Forks[m.Name], Simulator: m.Simulator, Replicas: replicas[m.Name]}
			if v.clusters[m.Name].terminating() {
				// It is going: nothing is ordered for it, but nor is it made.
				pm.State = scheduler.Draining
			}
			in.Members[m.Name] = pm
		}
		for _, d := range v.out.Demands {
			if d.Pool == p.plan.Name {
				in.Demands = append(in.Demands, d)
			}
		}
		for _, o := range v.out.OnVirtual {
			if o.Pool == p.plan.Name {
				in.OnVirtual = append(in.OnVirtual, o)
			}
		}
		for _, r := range p.reservations {
			in.Reservations = append(in.Reservations, r.planned(v))
		}
		v.planned = append(v.planned, in)
		made, err := planner.Make(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("cannot plan the capacity of %s: %w", p.plan.Name, err)
		}
		if len(made.Grants) > 0 {
			v.grant(made.Grants)
			v.recount(p.plan, &made.Status)
		}
		out = append(out, plannedCapacity{plan: p.plan, out: made})
	}
	return out, nil
}

// grant adds to the decisions of the round what the planner granted on virtual
// nodes. Where the replicas of a binding do not tolerate them nothing is: they
// would not run.
func (v *view) grant(grants []planner.Grant) {
	models := map[string]*scheduler.Binding{}
	for i := range v.input.Bindings {
		models[v.input.Bindings[i].ID] = &v.input.Bindings[i]
	}
	at := map[string]int{}
	for i := range v.out.Decisions {
		at[v.out.Decisions[i].Binding] = i
	}
	for _, g := range grants {
		b := models[g.Binding]
		if b == nil || !b.Tolerates[g.Member] || b.Refused[g.Member] != "" {
			continue
		}
		if i, ok := at[g.Binding]; ok {
			v.out.Decisions[i].Grant(b, g.Member, g.Count)
		}
	}
}

// summarize counts the replicas of a pool, and returns them by member.
func (v *view) summarize(p *fleetv1alpha1.CapacityPlan, in *planner.Input) map[string]int32 {
	byMember := map[string]int32{}
	for i := range v.out.Decisions {
		d := &v.out.Decisions[i]
		if v.bindings[d.Binding].pool() != p.Name {
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

// recount makes a status count what was granted as assigned.
func (v *view) recount(p *fleetv1alpha1.CapacityPlan, st *fleetv1alpha1.CapacityPlanStatus) {
	in := planner.Input{}
	replicas := v.summarize(p, &in)
	st.Replicas = in.Replicas
	for i := range st.Members {
		st.Members[i].Replicas = replicas[st.Members[i].Name]
	}
}

// objects are those of the first member that serves.
func objects(p *scheduler.Pool) *snapshot.Objects {
	for _, m := range p.Members {
		if m.State == scheduler.Serving && m.Snapshot != nil {
			return m.Snapshot.Objects()
		}
	}
	return nil
}
