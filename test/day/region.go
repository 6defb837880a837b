package day

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// pool of all workloads.
const pool = "day"

// A Fleet places the workloads of a world, and orders and gives back its nodes,
// by fleet's own scheduler and planner.
type Fleet struct {
	World *World
	Plan  *fleetv1alpha1.CapacityPlan
	// Bindings of the services, in the same order.
	Bindings []*scheduler.Binding
	// Scheduler and Planner settings.
	Scheduler scheduler.Settings
	Planner   planner.Settings
	// Decided is called with what each round decided, before it is applied.
	Decided func(scheduler.Output)

	memory planner.Memory
	next   time.Time
}

// NewFleet returns a fleet for a world and its services. Elastic members are in
// the tiers after the self-built ones.
func NewFleet(w *World, services []*Service, offerings ...fleetv1alpha1.Offering) *Fleet {
	f := &Fleet{World: w, Plan: &fleetv1alpha1.CapacityPlan{}, Scheduler: scheduler.DefaultSettings, Planner: planner.DefaultSettings}
	f.Plan.Name = pool
	// A bound on real time would make each day another one.
	f.Scheduler.JointTime, f.Scheduler.JointSteps = 0, jointSteps
	// The defaults of the API.
	down := &f.Plan.Spec.ScaleDown
	down.StabilizationWindow.Duration, down.HeadroomPercent = 5*time.Minute, 5
	down.NodeIdle.Duration, down.ClusterIdle.Duration = 10*time.Minute, time.Hour
	f.Plan.Spec.Offerings = offerings
	tier := int32(0)
	for _, m := range w.Members {
		pm := fleetv1alpha1.PlanMember{Name: m.Name, Elastic: m.Elastic, Warm: m.Elastic}
		if m.Elastic {
			tier++
			pm.Tier = tier
		}
		f.Plan.Spec.Members = append(f.Plan.Spec.Members, pm)
	}
	for i, s := range services {
		w.AddService(s)
		f.Bindings = append(f.Bindings, &scheduler.Binding{
			ID: Namespace + "/" + s.Name, Pool: pool, Divided: true, Movable: true, Created: w.Now.Add(time.Duration(i) * time.Millisecond),
			Workload: snapshot.WorkloadKey{Namespace: Namespace, Kind: s.Kind, Name: s.Name}, Template: s.Template, Assigned: map[string]int32{},
		})
	}
	return f
}

// NewOffering returns an offering of nodes of a member.
func NewOffering(name, member string, cpu, memory, price string, limit int32) fleetv1alpha1.Offering {
	return fleetv1alpha1.Offering{
		Name: name, Member: member, Max: limit, HourlyPrice: resource.MustParse(price), StartSeconds: 90, Allocatable: Allocatable(cpu, memory),
		Labels: map[string]string{fleetv1alpha1.LabelOffering: name},
	}
}

// Allocatable of a node.
func Allocatable(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory), corev1.ResourcePods: resource.MustParse("110")}
}

// Seen is what a round sees: the input of the scheduler, and that of the plan.
func (f *Fleet) Seen() (scheduler.Input, planner.Input) {
	in := scheduler.Input{Now: f.World.Now, Settings: f.Scheduler}
	planned := planner.Input{
		Now: f.World.Now, SeenAt: f.World.Now, Plan: f.Plan, Memory: f.memory, Members: map[string]planner.Member{}, Simulator: f.World.sim, Settings: f.Planner,
	}
	down := f.Plan.Spec.ScaleDown
	p := scheduler.Pool{Name: pool, StabilizationWindow: down.StabilizationWindow.Duration, HeadroomPercent: down.HeadroomPercent}
	if o := f.Plan.Spec.Outage; o != nil && o.ReplaceAfter != nil {
		p.ReplaceAfter = o.ReplaceAfter.Duration
	}
	for _, pm := range f.Plan.Spec.Members {
		m := f.World.Member(pm.Name)
		sm := scheduler.Member{Name: m.Name, Tier: pm.Tier, Elastic: pm.Elastic, State: scheduler.Serving, Snapshot: m.Snapshot(), Simulator: f.World.sim}
		if !m.Silent.IsZero() {
			sm.State, sm.Reason, sm.Since = scheduler.Frozen, "its API does not answer", m.Silent
		}
		for i := range f.Plan.Spec.Offerings {
			if o := &f.Plan.Spec.Offerings[i]; o.Member == m.Name {
				sm.Price = max(sm.Price, o.HourlyPrice.AsApproximateFloat64()/o.Allocatable.Cpu().AsApproximateFloat64())
				sm.Releasing = append(sm.Releasing, f.status(o.Name).Release...)
			}
		}
		p.Members = append(p.Members, sm)
		planned.Members[m.Name] = planner.Member{State: sm.State, Snapshot: sm.Snapshot, Simulator: sm.Simulator}
	}
	in.Pools = []scheduler.Pool{p}
	for _, b := range f.Bindings {
		in.Bindings = append(in.Bindings, *b)
	}
	return in, planned
}

// Round makes one round and applies it.
func (f *Fleet) Round(ctx context.Context) error {
	in, planned := f.Seen()
	out, err := scheduler.Run(ctx, in)
	if err != nil {
		return fmt.Errorf("cannot place: %w", err)
	}
	if f.Decided != nil {
		f.Decided(out)
	}
	made, err := round.New(in.Bindings, &out).Plan(ctx, planned)
	if err != nil {
		return err
	}
	f.apply(out)
	f.plan(made)
	f.next = out.Next
	if !made.Next.IsZero() && (f.next.IsZero() || made.Next.Before(f.next)) {
		f.next = made.Next
	}
	return nil
}

func (f *Fleet) status(offering string) fleetv1alpha1.OfferingStatus {
	i := slices.IndexFunc(f.Plan.Status.Offerings, func(s fleetv1alpha1.OfferingStatus) bool { return s.Name == offering })
	if i < 0 {
		return fleetv1alpha1.OfferingStatus{}
	}
	return f.Plan.Status.Offerings[i]
}

// apply what was decided: Karmada tells the members.
func (f *Fleet) apply(out scheduler.Output) {
	byID := map[string]*scheduler.Binding{}
	for _, b := range f.Bindings {
		byID[b.ID] = b
	}
	for _, d := range out.Decisions {
		b := byID[d.Binding]
		b.State = d.State
		if d.Changed {
			b.LastScheduled = f.World.Now
		}
		before := b.Assigned
		b.Assigned = map[string]int32{}
		for _, t := range d.Targets {
			b.Assigned[t.Member] = t.Replicas
			f.World.Tell(t.Member, b.Workload.Name, t.Replicas)
		}
		for name := range before {
			if _, ok := b.Assigned[name]; !ok {
				f.World.Tell(name, b.Workload.Name, 0)
			}
		}
	}
}

// plan nodes: order them, and give them back.
func (f *Fleet) plan(made planner.Output) {
	f.memory, f.Plan.Status = made.Memory, made.Status
	for i := range f.Plan.Spec.Offerings {
		o := &f.Plan.Spec.Offerings[i]
		m, st := f.World.Member(o.Member), f.status(o.Name)
		for _, n := range st.Release {
			m.GiveBack(n)
		}
		exist, coming := m.Ordered(o.Name)
		leaving := 0
		for _, n := range st.Release {
			if m.nodes[n] != nil {
				leaving++
			}
		}
		switch missing := int(st.Nodes) - (exist - leaving) - coming; {
		case missing > 0:
			f.World.Order(m, o, missing)
		case missing < 0:
			m.Cancel(o.Name, -missing)
		}
	}
}

// jointSteps bound the scheduler's search in a round, in place of its time.
const jointSteps = 100

// quantum is for how long changes are gathered before a round. A real fleet takes
// milliseconds; the simulated world needs fewer rounds that way.
const quantum = time.Second

// Run the world with a fleet until a moment. Look is called whenever time is
// about to pass, with how long nothing will change.
func (f *Fleet) Run(ctx context.Context, until time.Time, look func(time.Duration) error) error {
	w := f.World
	due := true
	for w.Now.Before(until) {
		changed, err := w.Settle(ctx)
		if err != nil {
			return err
		}
		if due || changed || !f.next.IsZero() && !f.next.After(w.Now) {
			if err := f.Round(ctx); err != nil {
				return err
			}
			if due, err = w.Settle(ctx); err != nil {
				return err
			}
		}
		to := until
		for _, t := range []time.Time{w.Next(), f.next} {
			if !t.IsZero() && t.Before(to) {
				to = t
			}
		}
		if soon := w.Now.Add(quantum); due || to.Before(soon) {
			to = soon
		}
		if to.After(until) {
			to = until
		}
		if look != nil {
			if err := look(to.Sub(w.Now)); err != nil {
				return err
			}
		}
		w.Advance(to)
	}
	return nil
}
