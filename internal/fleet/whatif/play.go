package whatif

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A play is a copy of the world in which time passes.
type play struct {
	ctx   context.Context
	begin time.Time
	in    scheduler.Input
	plans []planner.Input
	// members by name, those of all pools.
	members map[string]*member
	// coming nodes and clusters.
	coming []arrival
	// replicas wanted by binding before anything was changed.
	replicas map[string]int32
	// made clusters, by name.
	made []string
	// inUse are the replicas that reservations had in elastic members when the
	// play began, by pool and place of the hold; reserved the same by name.
	inUse    map[string][]int32
	reserved map[string]int32
	serial   int
}

// An arrival is a node of an offering, or a cluster if offering is empty, that
// is on its way.
type arrival struct {
	due      time.Time
	plan     int
	member   string
	offering string
}

// A decided is what a round decided about the play.
type decided struct {
	out   scheduler.Output
	plans []planner.Output
}

func newPlay(ctx context.Context, w World) *play {
	p := &play{ctx: ctx, begin: w.Input.Now, in: w.Input, members: map[string]*member{}, inUse: map[string][]int32{}, reserved: map[string]int32{}, replicas: map[string]int32{}}
	p.in.Bindings = slices.Clone(w.Input.Bindings)
	for i := range p.in.Bindings {
		b := &p.in.Bindings[i]
		b.Assigned, b.Reported = maps.Clone(b.Assigned), maps.Clone(b.Reported)
		p.replicas[b.ID] = b.Replicas
	}
	p.in.Pools = slices.Clone(w.Input.Pools)
	for i := range p.in.Pools {
		pool := &p.in.Pools[i]
		pool.Members, pool.Virtual, pool.Holds = slices.Clone(pool.Members), slices.Clone(pool.Virtual), slices.Clone(pool.Holds)
		for j := range pool.Members {
			m := &pool.Members[j]
			if p.members[m.Name] == nil {
				p.members[m.Name] = &member{name: m.Name, snapshot: m.Snapshot, simulator: m.Simulator}
			}
		}
	}
	for i := range w.Plans {
		in := w.Plans[i]
		in.Plan, in.Members = in.Plan.DeepCopy(), maps.Clone(in.Members)
		// What exists at the clouds is played from here on.
		for j := range in.Plan.Spec.Market.Offerings {
			m := &in.Plan.Spec.Market.Offerings[j]
			m.Nodes, m.Desired = nil, nil
		}
		in.Plan.Spec.Market.Members = nil
		for _, r := range in.Reservations {
			p.reserved[r.Name] = r.Held - r.Free
		}
		p.plans = append(p.plans, in)
	}
	for i := range p.in.Pools {
		for _, h := range p.in.Pools[i].Holds {
			p.inUse[p.in.Pools[i].Name] = append(p.inUse[p.in.Pools[i].Name], p.using(&p.in.Pools[i], h.Bindings))
		}
	}
	return p
}

// using returns how many replicas of some bindings are assigned to elastic
// members of a pool.
func (p *play) using(pool *scheduler.Pool, ids []string) int32 {
	n := int32(0)
	for i := range p.in.Bindings {
		b := &p.in.Bindings[i]
		if !slices.Contains(ids, b.ID) {
			continue
		}
		for _, m := range pool.Members {
			if m.Elastic {
				n += b.Assigned[m.Name]
			}
		}
	}
	return n
}

func (p *play) binding(id string) *scheduler.Binding {
	i := slices.IndexFunc(p.in.Bindings, func(b scheduler.Binding) bool { return b.ID == id })
	if i < 0 {
		return nil
	}
	return &p.in.Bindings[i]
}

// decide makes one round of the scheduler and the planner, as the fleet does.
func (p *play) decide() (*decided, error) {
	out, err := scheduler.Run(p.ctx, p.in)
	if err != nil {
		return nil, fmt.Errorf("cannot place workloads: %w", err)
	}
	d := &decided{out: out}
	for i := range p.plans {
		made, err := planner.Make(p.ctx, p.planned(i, &out))
		if err != nil {
			return nil, fmt.Errorf("cannot plan the capacity of %s: %w", p.plans[i].Plan.Name, err)
		}
		p.grant(&out, made.Grants)
		d.plans = append(d.plans, made)
	}
	return d, nil
}

// planned completes the input of a plan with what a round found.
func (p *play) planned(i int, out *scheduler.Output) planner.Input {
	in := p.plans[i]
	in.Now, in.SeenAt = p.in.Now, p.in.Now
	in.Demands, in.OnVirtual, in.Replicas, in.Returning = nil, nil, fleetv1alpha1.ReplicaSummary{}, false
	replicas := map[string]int32{}
	for j := range out.Decisions {
		d := &out.Decisions[j]
		if p.binding(d.Binding).Pool != in.Plan.Name {
			continue
		}
		in.Replicas.Own += d.Own
		in.Replicas.Cloud += d.Cloud
		in.Replicas.Pending += d.Pending
		in.Returning = in.Returning || d.Returning
		for _, t := range d.Targets {
			replicas[t.Member] += t.Replicas
		}
	}
	for _, d := range out.Demands {
		if d.Pool == in.Plan.Name {
			in.Demands = append(in.Demands, d)
		}
	}
	for _, v := range out.OnVirtual {
		if v.Pool == in.Plan.Name {
			in.OnVirtual = append(in.OnVirtual, v)
		}
	}
	in.Members = maps.Clone(in.Members)
	for name, m := range in.Members {
		m.Replicas, m.Fork = replicas[name], out.Forks[name]
		in.Members[name] = m
	}
	in.Reservations = slices.Clone(in.Reservations)
	for j := range in.Reservations {
		r := &in.Reservations[j]
		r.Free = out.Held[r.Name]
		r.Held = p.reserved[r.Name] + r.Free
	}
	return in
}

// grant adds to the decisions what a plan granted on virtual nodes.
func (p *play) grant(out *scheduler.Output, grants []planner.Grant) {
	for _, g := range grants {
		b := p.binding(g.Binding)
		if b == nil || !b.Tolerates[g.Member] || b.Refused[g.Member] != "" {
			continue
		}
		for i := range out.Decisions {
			if out.Decisions[i].Binding == g.Binding {
				out.Decisions[i].Grant(b, g.Member, g.Count)
			}
		}
	}
}

// apply does what a round decided, and lets the members follow. It reports
// whether that changed anything.
func (p *play) apply(o *decided) (bool, error) {
	changed := false
	for i := range o.out.Decisions {
		d := &o.out.Decisions[i]
		b := p.binding(d.Binding)
		changed = changed || d.Changed || !d.State.Equal(b.State)
		b.State = d.State
		if d.Changed {
			b.LastScheduled = p.in.Now
			b.Rebalance = false
			b.Assigned = map[string]int32{}
			for _, t := range d.Targets {
				b.Assigned[t.Member] = t.Replicas
			}
		}
	}
	for i := range o.plans {
		if p.follow(i, &o.plans[i]) {
			changed = true
		}
	}
	for i := range p.in.Pools {
		p.spend(&p.in.Pools[i])
	}
	run, err := p.run()
	return changed || run, err
}

// spend takes what targets use of what is held for them.
func (p *play) spend(pool *scheduler.Pool) {
	for i := range pool.Holds {
		h := &pool.Holds[i]
		used := p.using(pool, h.Bindings)
		more := used - p.inUse[pool.Name][i]
		h.Count = max(0, h.Count-more)
		p.inUse[pool.Name][i] = used
		p.reserved[h.Reservation] += more
	}
}

// follow makes the clouds do what a plan wants.
func (p *play) follow(i int, o *planner.Output) bool {
	in := &p.plans[i]
	changed := o.Urgent
	was := in.Plan.Status.Offerings
	in.Plan.Status, in.Memory = o.Status, o.Memory
	for _, st := range o.Status.Offerings {
		spec := offeringOf(in.Plan, st.Name)
		if spec == nil || spec.Virtual != nil {
			continue
		}
		m := p.members[spec.Member]
		if m == nil || p.state(spec.Member) == scheduler.Frozen {
			continue
		}
		ordered := -m.count(st.Name)
		for j := range was {
			if was[j].Name == st.Name {
				ordered += int(was[j].Nodes)
			}
		}
		for _, name := range st.Release {
			changed = m.removeNode(name) || changed
		}
		p.releasing(spec.Member, st.Name, st.Release)
		missing := int(st.Nodes) - m.count(st.Name) - p.underWay(i, st.Name)
		for k := range missing {
			changed = true
			since := p.in.Now
			if p.in.Now.Equal(p.begin) && k < ordered {
				since = o.Memory.Orders[st.Name].Since
			}
			p.order(i, spec, since)
		}
		for ; missing < 0 && p.cancel(i, st.Name); missing++ {
			changed = true
		}
	}
	for _, st := range o.Status.Members {
		changed = p.keep(i, st) || changed
	}
	return changed
}

// releasing notes the nodes of an offering that are about to be given back.
func (p *play) releasing(name, offering string, nodes []string) {
	m := p.members[name]
	p.each(name, func(pm *scheduler.Member) {
		pm.Releasing = slices.DeleteFunc(slices.Clone(pm.Releasing), func(n string) bool { return m.offering(n) == offering || m.offering(n) == "" })
		for _, n := range nodes {
			if m.has(n) {
				pm.Releasing = append(pm.Releasing, n)
			}
		}
	})
}

// each calls a function for a member in each pool that has it.
func (p *play) each(name string, fn func(*scheduler.Member)) {
	for i := range p.in.Pools {
		for j := range p.in.Pools[i].Members {
			if m := &p.in.Pools[i].Members[j]; m.Name == name {
				fn(m)
			}
		}
	}
}

func (p *play) state(name string) scheduler.MemberState {
	state := scheduler.Absent
	p.each(name, func(m *scheduler.Member) { state = m.State })
	return state
}

// order puts a node of an offering on its way, where it has been since the
// supplied time.
func (p *play) order(i int, o *fleetv1alpha1.Offering, since time.Time) {
	if built := p.build(i, o.Member); built.After(p.in.Now) {
		since = built
	}
	due := since.Add(time.Duration(o.StartSeconds) * time.Second)
	if due.Before(p.in.Now) {
		due = p.in.Now
	}
	p.coming = append(p.coming, arrival{due: due, plan: i, member: o.Member, offering: o.Name})
}

// build makes sure that the cluster of a member is there or on its way, and
// returns when it is there.
func (p *play) build(i int, name string) time.Time {
	if s := p.state(name); s != scheduler.Absent && s != scheduler.Joining {
		return p.in.Now
	}
	if j := slices.IndexFunc(p.coming, func(a arrival) bool { return a.offering == "" && a.member == name }); j >= 0 {
		return p.coming[j].due
	}
	p.made = append(p.made, name)
	due := p.in.Now.Add(ClusterTime)
	p.coming = append(p.coming, arrival{due: due, plan: i, member: name})
	return due
}

// keep makes a cluster exist or go, as a plan wants it. It reports whether that
// changed anything.
func (p *play) keep(i int, st fleetv1alpha1.PlanMemberStatus) bool {
	in := &p.plans[i]
	j := slices.IndexFunc(in.Plan.Spec.Members, func(m fleetv1alpha1.PlanMember) bool { return m.Name == st.Name })
	if j < 0 || !in.Plan.Spec.Members[j].Elastic {
		return false
	}
	n := len(p.coming)
	switch s := p.state(st.Name); {
	case st.Wanted:
		p.build(i, st.Name)
		return len(p.coming) != n
	case s == scheduler.Absent || s == scheduler.Joining:
		p.coming = slices.DeleteFunc(p.coming, func(a arrival) bool { return a.member == st.Name })
		return len(p.coming) != n
	case s == scheduler.Serving && p.members[st.Name].idle():
		p.setState(st.Name, scheduler.Absent, "it is let go")
		p.members[st.Name].set(nil, nil)
		return true
	}
	return false
}

func (p *play) setState(name string, s scheduler.MemberState, why string) {
	p.each(name, func(m *scheduler.Member) { m.State, m.Reason = s, why })
	for i := range p.plans {
		if m, ok := p.plans[i].Members[name]; ok {
			m.State = s
			p.plans[i].Members[name] = m
		}
	}
}

// underWay counts the nodes of an offering that are on their way.
func (p *play) underWay(i int, offering string) int {
	n := 0
	for _, a := range p.coming {
		if a.plan == i && a.offering == offering {
			n++
		}
	}
	return n
}

// cancel takes back the order of the node that would come last.
func (p *play) cancel(i int, offering string) bool {
	last := -1
	for j, a := range p.coming {
		if a.plan == i && a.offering == offering && (last < 0 || a.due.After(p.coming[last].due)) {
			last = j
		}
	}
	if last < 0 {
		return false
	}
	p.coming = slices.Delete(p.coming, last, last+1)
	return true
}

// next is when time alone changes something.
func (p *play) next(o *decided) time.Time {
	next := o.out.Next
	note := func(t time.Time) {
		if t.After(p.in.Now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for i := range o.plans {
		note(o.plans[i].Next)
	}
	for _, a := range p.coming {
		note(a.due)
	}
	for _, m := range p.members {
		note(m.next(p.in.Now, p.starts(m.name)))
	}
	return next
}

// advance goes to a time and lets come what is due.
func (p *play) advance(to time.Time) error {
	p.in.Now = to
	due := []arrival{}
	p.coming = slices.DeleteFunc(p.coming, func(a arrival) bool {
		if a.due.After(to) {
			return false
		}
		due = append(due, a)
		return true
	})
	// A cluster comes before its nodes.
	slices.SortStableFunc(due, func(a, b arrival) int { return len(a.offering) - len(b.offering) })
	for _, a := range due {
		if err := p.arrive(a); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) arrive(a arrival) error {
	m := p.members[a.member]
	in := &p.plans[a.plan]
	if a.offering == "" {
		if m.simulator == nil {
			m.simulator = in.Simulator
		}
		m.snapshot = snapshot.NewWithObjects(nil, nil, in.Objects)
		p.setState(a.member, scheduler.Serving, "")
		m.stale = true
		p.show(m)
		return nil
	}
	shapes, err := planner.Shapes(*in, a.offering, 1)
	if err != nil {
		return err
	}
	for _, s := range shapes {
		p.serial++
		m.addNode(s, fmt.Sprintf("whatif-%s-%d", a.offering, p.serial), p.in.Now)
	}
	p.show(m)
	return nil
}

// show makes what a member has now what rounds see.
func (p *play) show(m *member) {
	if !m.stale {
		return
	}
	m.refresh()
	p.each(m.name, func(pm *scheduler.Member) { pm.Snapshot, pm.Simulator = m.snapshot, m.simulator })
	for i := range p.plans {
		if pm, ok := p.plans[i].Members[m.name]; ok {
			pm.Snapshot, pm.Simulator = m.snapshot, m.simulator
			p.plans[i].Members[m.name] = pm
		}
	}
}

func offeringOf(plan *fleetv1alpha1.CapacityPlan, name string) *fleetv1alpha1.Offering {
	for i := range plan.Spec.Offerings {
		if plan.Spec.Offerings[i].Name == name {
			return &plan.Spec.Offerings[i]
		}
	}
	return nil
}
