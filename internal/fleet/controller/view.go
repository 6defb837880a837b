package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/fleet/whatif"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// AnnotationMemory is where a CapacityPlan keeps what later plans must know:
// since when nodes have been idle, orders under way.
const AnnotationMemory = "fleet.regionpool.io/memory"

// A view is everything a round looks at.
type view struct {
	now      time.Time
	bindings map[string]binding
	plans    []*poolPlan
	clusters map[string]*cluster
	// reservations of all pools, the oldest first.
	reservations []*round.Reservation
	// known pools have a plan; unsure ones are left out of the round, because it
	// is not known yet what their members have.
	known, unsure map[string]bool
	// strangers are workloads of bindings that fleet does not place.
	strangers map[snapshot.WorkloadKey]bool
	// tolerates has the members in which replicas of a binding tolerate virtual
	// nodes, by ID.
	tolerates map[string]map[string]bool
	input     scheduler.Input
	out       scheduler.Output
	// planned are the inputs of the plans.
	planned []whatif.Plan
	// unsettled says that pools were left out because it is not known yet what
	// their members have.
	unsettled bool
	// readAgain is when a workload that could not be read is tried again.
	readAgain time.Time
}

// A poolPlan is a plan as it was written, and with what its reservations bring.
type poolPlan struct {
	plan, merged *fleetv1alpha1.CapacityPlan
	reservations []*round.Reservation
	// planned are the reservations as the planner sees them.
	planned []planner.Reservation
}

// view reads the world.
func (f *Fleet) view(ctx context.Context) (*view, error) {
	v := &view{
		now: f.Clock.Now(), bindings: map[string]binding{}, clusters: map[string]*cluster{}, known: map[string]bool{}, unsure: map[string]bool{},
		strangers: map[snapshot.WorkloadKey]bool{}, tolerates: map[string]map[string]bool{},
	}
	v.input = scheduler.Input{Now: v.now, Settings: f.Scheduler}
	if err := f.readPlans(ctx, v); err != nil {
		return nil, err
	}
	if err := f.readReservations(ctx, v); err != nil {
		return nil, err
	}
	v.merge()
	bs, err := f.readBindings(ctx, v)
	if err != nil {
		return nil, err
	}
	if err := f.readClusters(ctx, v, bs); err != nil {
		return nil, err
	}
	f.members.ensure(ctx, v.clusters)
	if err := f.templates.load(ctx, bs); err != nil {
		return nil, err
	}
	pools := map[string][]*cluster{}
	home := map[string]bool{}
	v.plans = slices.DeleteFunc(v.plans, func(p *poolPlan) bool {
		var of []binding
		assigned := map[string]int32{}
		for _, b := range bs {
			if b.pool() != p.plan.Name {
				continue
			}
			of = append(of, b)
			for _, c := range b.spec.Clusters {
				assigned[c.Name] += b.share(f.templates.get(b.id()), c)
			}
		}
		pool, cs, ok := f.pool(v, p, assigned)
		if !ok {
			v.unsettled, v.unsure[p.plan.Name] = true, true
			return true
		}
		reserved := f.hold(p, of, &pool)
		for _, b := range of {
			home[b.id()] = p.merged.Spec.Overflow == fleetv1alpha1.OverflowReserved && !reserved[b.id()]
		}
		v.input.Pools = append(v.input.Pools, pool)
		pools[p.plan.Name] = cs
		return false
	})
	if err := f.override(ctx, v, bs); err != nil {
		return nil, err
	}
	refusals := refusals{}
	for _, b := range bs {
		cs, ok := pools[b.pool()]
		if !ok {
			continue
		}
		t := f.templates.get(b.id())
		if t == nil {
			continue
		}
		v.readAgain = earlier(v.readAgain, t.retryAt)
		v.bindings[b.id()] = b
		m := b.model(t, refusals.of(b, cs))
		m.Tolerates = v.tolerates[b.id()]
		if home[b.id()] {
			m.StaysHome = round.StaysHome
		}
		v.input.Bindings = append(v.input.Bindings, m)
	}
	return v, nil
}

func (f *Fleet) readPlans(ctx context.Context, v *view) error {
	list := &fleetv1alpha1.CapacityPlanList{}
	if err := f.Client.List(ctx, list); err != nil {
		return fmt.Errorf("cannot list capacity plans: %w", err)
	}
	keep := map[string]bool{}
	f.unclaim(list.Items)
	for i := range list.Items {
		p := &list.Items[i]
		f.claim(ctx, f.plans.latest(p.Name, p).(*fleetv1alpha1.CapacityPlan))
		if c := f.claims[p.Name]; c != nil && c.refused != "" && c.next.After(v.now) {
			v.readAgain = earlier(v.readAgain, c.next)
		}
		if !f.serves(p.Name) {
			continue
		}
		f.warn(p, list.Items)
		keep[p.Name] = true
		v.known[p.Name] = true
		v.plans = append(v.plans, &poolPlan{plan: f.plans.latest(p.Name, p).(*fleetv1alpha1.CapacityPlan)})
	}
	f.plans.keep(keep)
	for name := range f.statusWritten {
		if !keep[name] {
			delete(f.statusWritten, name)
		}
	}
	return nil
}

func (f *Fleet) readBindings(ctx context.Context, v *view) ([]binding, error) {
	var out []binding
	keep := map[string]bool{}
	add := func(o client.Object) {
		b := bindingOf(o)
		if !b.ours() {
			if ref := &b.spec.Resource; b.spec.SchedulerName != fleetv1alpha1.SchedulerName {
				v.strangers[snapshot.WorkloadKey{Namespace: ref.Namespace, Kind: ref.Kind, Name: ref.Name}] = true
			}
			return
		}
		if !f.serves(b.pool()) {
			return
		}
		keep[b.id()] = true
		now, expected := f.flights.over(b.id(), func() client.Object { return f.bindings.latest(b.id(), o) })
		b = bindingOf(now)
		if b.expected = expected; !expected {
			b = f.readings.of(b)
		}
		out = append(out, b)
	}
	rbs := &workv1alpha2.ResourceBindingList{}
	if err := f.Client.List(ctx, rbs, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("cannot list resource bindings: %w", err)
	}
	for i := range rbs.Items {
		add(&rbs.Items[i])
	}
	crbs := &workv1alpha2.ClusterResourceBindingList{}
	if err := f.Client.List(ctx, crbs, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("cannot list cluster resource bindings: %w", err)
	}
	for i := range crbs.Items {
		add(&crbs.Items[i])
	}
	f.bindings.keep(keep)
	maps.DeleteFunc(f.readings, func(id string, _ *reading) bool { return !keep[id] })
	return out, nil
}

// readClusters reads the clusters that a plan names or a binding is in, or all.
func (f *Fleet) readClusters(ctx context.Context, v *view, bs []binding) error {
	list := &clusterv1alpha1.ClusterList{}
	if err := f.Client.List(ctx, list); err != nil {
		return fmt.Errorf("cannot list clusters: %w", err)
	}
	byName := make(map[string]*clusterv1alpha1.Cluster, len(list.Items))
	for i := range list.Items {
		byName[list.Items[i].Name] = &list.Items[i]
	}
	use := func(name, pool string) {
		switch c := byName[name]; {
		case v.clusters[name] != nil:
		case c != nil:
			v.clusters[name] = &cluster{Cluster: *c, exists: true}
		default:
			v.clusters[name] = absent(name, pool)
		}
	}
	for _, p := range v.plans {
		for _, m := range p.merged.Spec.Members {
			use(m.Name, p.plan.Name)
		}
	}
	for _, b := range bs {
		for _, c := range b.spec.Clusters {
			use(c.Name, b.pool())
		}
	}
	if f.AllClusters {
		for name := range byName {
			use(name, "")
		}
	}
	return nil
}

// pool translates a plan for a round. It is not ok if it is not known yet what
// a member has.
func (f *Fleet) pool(v *view, of *poolPlan, assigned map[string]int32) (scheduler.Pool, []*cluster, bool) {
	p := of.merged
	out := scheduler.Pool{
		Name: p.Name, StabilizationWindow: p.Spec.ScaleDown.StabilizationWindow.Duration, HeadroomPercent: p.Spec.ScaleDown.HeadroomPercent,
		Virtual: virtuals(p), Weights: weights(p.Spec.PlacementWeights),
	}
	if o := p.Spec.Outage; o != nil && o.ReplaceAfter != nil {
		out.ReplaceAfter = o.ReplaceAfter.Duration
	}
	var clusters []*cluster
	last := int32(0)
	named := map[string]bool{}
	for _, pm := range p.Spec.Members {
		c := v.clusters[pm.Name]
		if !f.members.settled(c) || !pm.Elastic && f.joining(v, p, c) {
			return out, nil, false
		}
		m := scheduler.Member{Name: pm.Name, Tier: pm.Tier, Elastic: pm.Elastic}
		f.observe(&m, c, assigned[pm.Name])
		if m.State == scheduler.Serving && round.Over(of.plan, of.reservations, pm.Name) {
			m.State, m.Reason = scheduler.Draining, round.DrainsBecause
		}
		for _, o := range p.Spec.Offerings {
			if o.Member == pm.Name && o.Virtual == nil {
				m.Price = max(m.Price, o.HourlyPrice.AsApproximateFloat64()/max(1, o.Allocatable.Cpu().AsApproximateFloat64()))
			}
		}
		for _, s := range p.Status.Offerings {
			if slices.ContainsFunc(p.Spec.Offerings, func(o fleetv1alpha1.Offering) bool { return o.Name == s.Name && o.Member == pm.Name }) {
				m.Releasing = append(m.Releasing, s.Release...)
			}
		}
		last = max(last, pm.Tier)
		named[pm.Name] = true
		out.Members = append(out.Members, m)
		clusters = append(clusters, c)
	}
	// Members that left the plan, but still have replicas, come last.
	for name := range assigned {
		if named[name] {
			continue
		}
		c := v.clusters[name]
		if !f.members.settled(c) {
			return out, nil, false
		}
		m := scheduler.Member{Name: name, Tier: last + 1}
		f.observe(&m, c, assigned[name])
		if m.State == scheduler.Serving {
			m.State, m.Reason = scheduler.Frozen, "it is not a member of the pool any more"
		}
		out.Members = append(out.Members, m)
		clusters = append(clusters, c)
	}
	return out, clusters, true
}

// weights of a pool; a plan that the API has not defaulted has those of the
// scheduler.
func weights(w fleetv1alpha1.PlacementWeights) *scheduler.Weights {
	d := &scheduler.DefaultWeights
	return &scheduler.Weights{
		Unplaced: ptr.Deref(w.Unplaced, d.Unplaced), Moving: ptr.Deref(w.Moving, d.Moving), Cloud: ptr.Deref(w.Cloud, d.Cloud),
		Spread: ptr.Deref(w.Spread, d.Spread), Hole: ptr.Deref(w.Hole, d.Hole),
	}
}

// joining reports whether a self-built member may still be on its way into the
// federation, because its plan is new. To place without it would rent what is
// not needed a second later.
func (f *Fleet) joining(v *view, p *fleetv1alpha1.CapacityPlan, c *cluster) bool {
	if v.now.Sub(p.CreationTimestamp.Time) > syncPatience {
		return false
	}
	live := f.members.byName[c.Name]
	return !c.exists || !c.ready() && (live == nil || !live.Synced())
}

// observe says what may be done with a member.
func (f *Fleet) observe(m *scheduler.Member, c *cluster, assigned int32) {
	live := f.members.byName[m.Name]
	if live != nil {
		m.Snapshot, m.Simulator = live.look()
	}
	switch {
	case !c.exists:
		m.State, m.Reason = scheduler.Absent, "it has not joined"
	case c.terminating():
		m.State, m.Reason = scheduler.Absent, "it leaves the federation"
	case !c.ready():
		m.State, m.Reason = scheduler.Frozen, "Karmada does not find it ready"
		if cond := meta.FindStatusCondition(c.Status.Conditions, clusterv1alpha1.ClusterConditionReady); cond != nil {
			m.Since = cond.LastTransitionTime.Time
		}
	case live == nil:
		m.State, m.Reason = scheduler.Frozen, "its API cannot be watched"
	case !live.Contact().Reachable:
		m.State, m.Reason, m.Since = scheduler.Frozen, "its API does not answer", live.Contact().Since
	case !live.Synced():
		m.State, m.Reason = scheduler.Frozen, "it is not known yet what it has"
	case c.draining():
		m.State, m.Reason = scheduler.Draining, "it is leaving"
	case live.misconfigured != "":
		m.State, m.Reason = scheduler.Frozen, live.misconfigured
	default:
		m.State = scheduler.Serving
	}
	if m.State == scheduler.Frozen && m.Elastic && assigned == 0 && !c.draining() {
		m.State = scheduler.Joining
	}
}
