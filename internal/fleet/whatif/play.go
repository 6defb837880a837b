package whatif

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A play is a copy of the world in which time passes.
type play struct {
	ctx   context.Context
	begin time.Time
	in    scheduler.Input
	// at has the place of bindings in the input, by ID.
	at    map[string]int
	plans []Plan
	// members by name, those of all pools.
	members map[string]*member
	// simulators of the play, by those of the world.
	simulators map[*simulation.Scheduler]*simulation.Scheduler
	// coming nodes and clusters.
	coming []arrival
	// replicas wanted by binding before anything was changed, and those that were.
	replicas map[string]int32
	scaled   map[string]bool
	// built has how long clusters took, by place, before the play.
	built map[string]planner.Built
	// made clusters, in the order in which they were ordered.
	made   []Cluster
	serial int64
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

func newPlay(ctx context.Context, w World) (*play, error) {
	p := &play{
		ctx: ctx, begin: w.Input.Now, in: w.Input, at: map[string]int{}, members: map[string]*member{},
		simulators: map[*simulation.Scheduler]*simulation.Scheduler{}, replicas: map[string]int32{}, scaled: map[string]bool{}, built: map[string]planner.Built{},
	}
	p.in.Bindings = slices.Clone(w.Input.Bindings)
	for i := range p.in.Bindings {
		b := &p.in.Bindings[i]
		b.Assigned, b.Reported = maps.Clone(b.Assigned), maps.Clone(b.Reported)
		p.at[b.ID], p.replicas[b.ID] = i, b.Replicas
	}
	p.in.Pools = slices.Clone(w.Input.Pools)
	for i := range p.in.Pools {
		pool := &p.in.Pools[i]
		pool.Members, pool.Virtual = slices.Clone(pool.Members), slices.Clone(pool.Virtual)
		for j := range pool.Members {
			m := &pool.Members[j]
			if err := p.apart(&m.Simulator); err != nil {
				return nil, err
			}
			if p.members[m.Name] == nil {
				p.members[m.Name] = &member{name: m.Name, snapshot: m.Snapshot, simulator: m.Simulator}
			}
		}
		for _, v := range pool.Virtual {
			if m := p.members[v.Member]; m != nil {
				m.virtual = append(m.virtual, v)
			}
		}
	}
	for i := range w.Plans {
		in := w.Plans[i]
		in.Plan, in.Members = in.Plan.DeepCopy(), maps.Clone(in.Members)
		forgetMarket(in.Plan)
		if err := p.apart(&in.Simulator); err != nil {
			return nil, err
		}
		for name, m := range in.Members {
			m.Fork = nil
			if err := p.apart(&m.Simulator); err != nil {
				return nil, err
			}
			in.Members[name] = m
		}
		if in.Bare != nil {
			in.Bare = in.Bare.DeepCopy()
		}
		in.Reserving = slices.Clone(in.Reserving)
		for j, r := range in.Reserving {
			own := *r
			own.CapacityReservation = r.CapacityReservation.DeepCopy()
			in.Reserving[j] = &own
		}
		for place, b := range in.Memory.Built {
			if b.At.After(p.built[place].At) {
				p.built[place] = b
			}
		}
		p.plans = append(p.plans, in)
	}
	for _, m := range p.members {
		m.begin(p.begin.Add(-w.Input.Settings.MoveTimeout), p.starts(m.name))
		p.tell(m)
	}
	return p, nil
}

// forgetMarket forgets what exists at the clouds: it is played from here on.
func forgetMarket(plan *fleetv1alpha1.CapacityPlan) {
	for j := range plan.Spec.Market.Offerings {
		m := &plan.Spec.Market.Offerings[j]
		m.Nodes, m.Desired = nil, nil
	}
	plan.Spec.Market.Members = nil
}

// apart replaces a simulator by one of the play's own: rounds of the fleet go on
// meanwhile, and find what theirs have loaded.
func (p *play) apart(s *simulation.Simulator) error {
	live, ok := (*s).(*simulation.Scheduler)
	if !ok {
		return nil
	}
	if p.simulators[live] == nil {
		own, err := live.Sibling()
		if err != nil {
			p.close()
			return fmt.Errorf("cannot make a simulator: %w", err)
		}
		p.simulators[live] = own
	}
	*s = p.simulators[live]
	return nil
}

// close frees what simulators hold.
func (p *play) close() {
	for _, s := range p.simulators {
		s.Close()
	}
}

func (p *play) binding(id string) *scheduler.Binding {
	if i, ok := p.at[id]; ok {
		return &p.in.Bindings[i]
	}
	return nil
}

// decide makes one round of the scheduler and the planner, as the fleet does.
func (p *play) decide() (*decided, error) {
	p.reserve()
	out, err := scheduler.Run(p.ctx, p.in)
	if err != nil {
		return nil, fmt.Errorf("cannot place workloads: %w", err)
	}
	d := &decided{out: out}
	r := round.New(p.in.Bindings, &d.out)
	for i := range p.plans {
		in := p.plans[i].Input
		in.Now, in.SeenAt = p.in.Now, p.in.Now
		made, err := r.Plan(p.ctx, in)
		if err != nil {
			return nil, err
		}
		d.plans = append(d.plans, made)
	}
	return d, nil
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
	run, err := p.run()
	return changed || run, err
}

// follow makes the clouds do what a plan wants.
func (p *play) follow(i int, o *planner.Output) bool {
	in := &p.plans[i]
	changed := o.Urgent
	was := in.Plan.Status.Offerings
	in.Plan.Status, in.Memory = o.Status, o.Memory
	for _, r := range in.Reserving {
		st, baselines := o.Reservations[r.Name], r.Status.Baselines
		r.Status = st
		r.Status.Baselines = baselines
	}
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
		changed = p.exist(i, st) || changed
	}
	return changed
}

// releasing notes the nodes of an offering that are about to be given back.
func (p *play) releasing(name, offering string, nodes []string) {
	m := p.members[name]
	p.each(name, func(pm *scheduler.Member) {
		pm.Releasing = slices.DeleteFunc(slices.Clone(pm.Releasing), func(n string) bool {
			of := m.offering(m.node(n))
			return of == offering || of == ""
		})
		for _, n := range nodes {
			if m.node(n) != nil {
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
	takes, why := p.buildTime(i, name)
	due := p.in.Now.Add(takes)
	if since, ok := p.plans[i].Memory.Building[name]; ok && since.Before(p.in.Now) {
		due = since.Add(takes)
	}
	if due.Before(p.in.Now) {
		due = p.in.Now
	}
	p.made = append(p.made, Cluster{Name: name, ReadyAfter: since(p, due), Takes: metav1.Duration{Duration: takes}, Because: why})
	p.coming = append(p.coming, arrival{due: due, plan: i, member: name})
	return due
}

// buildTime is how long the cluster of a member takes to be made, and why that is
// thought.
func (p *play) buildTime(i int, name string) (time.Duration, string) {
	place := planner.Place(p.plans[i].Plan, name)
	if b, ok := p.built[place]; ok {
		return time.Duration(b.Seconds) * time.Second, fmt.Sprintf("as long as %s took, which was there at %s", b.Member, b.At.UTC().Format(time.RFC3339))
	}
	return ClusterTime, fmt.Sprintf("assumed: no cluster was seen being made in %s", place)
}

// exist makes a cluster exist or go, as a plan wants it. It reports whether that
// changed anything.
func (p *play) exist(i int, st fleetv1alpha1.PlanMemberStatus) bool {
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
	case s == scheduler.Serving && p.members[st.Name].snapshot != nil && p.members[st.Name].idle():
		p.setState(st.Name, scheduler.Absent, "it is let go")
		p.end(p.members[st.Name])
		return true
	}
	return false
}

// end the cluster of a member.
func (p *play) end(m *member) {
	m.snapshot, m.edit, m.stale, m.starting = nil, nil, false, nil
	p.tell(m)
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
		m.snapshot, m.starting = snapshot.NewWithObjects(nil, nil, in.Objects), map[types.UID]start{}
		for i := range in.Plan.Spec.Offerings {
			o := &in.Plan.Spec.Offerings[i]
			if o.Member != a.member || o.Virtual == nil {
				continue
			}
			nodes, err := planner.VirtualNodes(in.Input, o.Name)
			if err != nil {
				return err
			}
			for _, n := range nodes {
				m.change().SetNode(n)
			}
		}
		p.setState(a.member, scheduler.Serving, "")
		m.refresh()
		p.tell(m)
		return nil
	}
	shapes, err := planner.Shapes(in.Input, a.offering, 1)
	if err != nil {
		return err
	}
	for _, s := range shapes {
		p.addNode(m, s, a.offering)
	}
	p.show(m)
	return nil
}

// addNode adds a node to a member.
func (p *play) addNode(m *member, s planner.Shape, of string) {
	p.serial++
	m.addNode(s, fmt.Sprintf("whatif-%s-%d", of, p.serial), p.in.Now)
}

// show makes what a member has now what rounds see.
func (p *play) show(m *member) {
	if m.stale {
		m.refresh()
		p.tell(m)
	}
}

// tell rounds what a member has.
func (p *play) tell(m *member) {
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
