package controller

import (
	"context"
	"encoding/json"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/fleet/whatif"
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
	r := round.New(v.input.Bindings, &v.out)
	for i, p := range v.plans {
		pool := &v.input.Pools[i]
		in := planner.Input{
			Now: v.now, SeenAt: seen, Plan: p.merged, Memory: memoryOf(p.plan), Members: map[string]planner.Member{}, Reservations: p.planned,
			Simulator: f.simulator, Objects: objects(pool), Settings: f.Planner,
		}
		for _, m := range pool.Members {
			pm := planner.Member{State: m.State, Snapshot: m.Snapshot, Simulator: m.Simulator}
			if v.clusters[m.Name].terminating() {
				// It is going: nothing is ordered for it, but nor is it made.
				pm.State = scheduler.Draining
			}
			in.Members[m.Name] = pm
		}
		v.planned = append(v.planned, whatif.Plan{Input: in, Bare: p.plan, Reserving: p.reservations})
		made, err := r.Plan(ctx, in)
		if err != nil {
			return nil, err
		}
		out = append(out, plannedCapacity{plan: p.plan, out: made})
	}
	return out, nil
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
