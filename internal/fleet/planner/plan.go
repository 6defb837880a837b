package planner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Make makes a plan. An error says that the context ended, or that the input
// contradicts itself; nothing of the plan may be used then. A demand that cannot
// be simulated is refused with the reason.
func Make(ctx context.Context, in Input) (Output, error) {
	p := &plan{ctx: ctx, in: in, memory: in.Memory.clone(), members: map[string]*member{}, offerings: map[string]*offering{}, limits: map[string]bool{}}
	if err := p.load(); err != nil {
		return Output{}, err
	}
	p.forget()
	p.expireEndings()
	p.expireOrders()
	p.trim()
	p.keepMinimum()
	for i := range in.Demands {
		if err := p.meet(&in.Demands[i]); err != nil {
			return Output{}, err
		}
	}
	p.settleOrders()
	p.release()
	p.want()
	p.rememberEndings()
	return p.output(), nil
}

type plan struct {
	ctx     context.Context
	in      Input
	memory  Memory
	members map[string]*member
	// order of members and offerings as in the spec.
	order     []*member
	offerings map[string]*offering
	stock     []*offering

	// limits that forbade something.
	limits  map[string]bool
	refused []fleetv1alpha1.Refusal
	short   int32
	planned int32
	next    time.Time
}

type member struct {
	fleetv1alpha1.PlanMember
	Member
	fee int64
	// fork on which demand is packed.
	fork                  *snapshot.Fork
	prevWanted, prevKnown bool
	wanted                bool
	demanded              bool
	reason                string
	nodes                 int32
	nodesReady            int32
}

// built members answer, or did.
func (m *member) built() bool { return m.State != scheduler.Absent && m.State != scheduler.Joining }

// exists reports whether the cluster is there, or about to be.
func (m *member) exists() bool { return m.State != scheduler.Absent || m.prevWanted }

type offering struct {
	fleetv1alpha1.Offering
	member *member
	price  int64

	// nodes of the offering by what can be expected of them.
	ready, starting, broken, listed, leaving []string
	// nodes wanted, not counting those listed for release or leaving.
	want, prev int32
	known      bool
	// outstanding nodes were ordered and are not seen yet; promised ones of
	// them may take demand.
	outstanding int32
	// failing says until when it is not ordered, because nodes of it arrived
	// and did not become Ready.
	failing time.Time

	// Of the promised nodes those that demand was packed on, and nodes that
	// are ordered now.
	usedStarting, usedListed, usedOutstanding, ordered int32
	templates                                          int
	released                                           []string
	cancelled                                          int32
}

// registered nodes exist in the member.
func (o *offering) registered() int32 {
	return int32(len(o.ready) + len(o.starting) + len(o.broken) + len(o.listed) + len(o.leaving))
}

// kept nodes exist and stay.
func (o *offering) kept() int32 { return int32(len(o.ready) + len(o.starting) + len(o.broken)) }

// billed nodes are paid for, or will be: those wanted and those not gone yet,
// which may be more than are wanted after a maximum was lowered.
func (o *offering) billed() int32 {
	return max(o.want, o.kept()) + int32(len(o.listed)+len(o.leaving))
}

func (p *plan) load() error {
	status := &p.in.Plan.Status
	for _, pm := range p.in.Plan.Spec.Members {
		m := &member{PlanMember: pm, Member: p.in.Members[pm.Name]}
		if pm.HourlyCost != nil {
			m.fee = micro(*pm.HourlyCost)
		}
		if i := slices.IndexFunc(status.Members, func(s fleetv1alpha1.PlanMemberStatus) bool { return s.Name == pm.Name }); i >= 0 {
			m.prevKnown, m.prevWanted = true, status.Members[i].Wanted
		}
		if m.Simulator == nil {
			m.Simulator = p.in.Simulator
		}
		m.fork = m.Fork
		if m.fork == nil || m.State == scheduler.Joining && m.Snapshot != nil && m.Snapshot.NumNodes() == 0 {
			m.fork = snapshot.NewWithObjects(nil, nil, p.in.Objects).Fork()
		}
		p.members[pm.Name] = m
		p.order = append(p.order, m)
	}
	for _, spec := range p.in.Plan.Spec.Offerings {
		m, ok := p.members[spec.Member]
		if !ok || !m.Elastic {
			continue
		}
		o := &offering{Offering: spec, member: m, price: micro(spec.HourlyPrice)}
		var listed []string
		if i := slices.IndexFunc(status.Offerings, func(s fleetv1alpha1.OfferingStatus) bool { return s.Name == spec.Name }); i >= 0 {
			o.known, o.prev, listed = true, status.Offerings[i].Nodes, status.Offerings[i].Release
		}
		p.classify(o, listed)
		o.want = o.prev
		if kept := o.kept(); kept > o.want || !o.known {
			// Nodes that someone else ordered, or that came after their order
			// was withdrawn, are taken over: they may carry load already.
			o.want = min(kept, max(o.want, o.Max))
		}
		o.outstanding = max(0, o.want-o.kept())
		p.offerings[o.Name] = o
		p.stock = append(p.stock, o)
	}
	for _, m := range p.order {
		if err := p.countNodes(m); err != nil {
			return err
		}
	}
	return nil
}

// wake asks for a plan at the supplied time.
func (p *plan) wake(t time.Time) {
	if t.After(p.in.Now) && (p.next.IsZero() || t.Before(p.next)) {
		p.next = t
	}
}

// since returns when something began, and remembers now if it just did.
func (p *plan) since(m map[string]time.Time, key string) time.Time {
	t, ok := m[key]
	if !ok {
		t = p.in.Now
		m[key] = t
	}
	return t
}

// expireOrders withdraws orders that did not arrive in time, so that another
// offering is tried.
func (p *plan) expireOrders() {
	for name, until := range p.memory.Avoid {
		if p.offerings[name] == nil || !until.After(p.in.Now) {
			delete(p.memory.Avoid, name)
			continue
		}
		p.wake(until)
	}
	for name := range p.memory.Orders {
		if p.offerings[name] == nil {
			delete(p.memory.Orders, name)
		}
	}
	for _, o := range p.stock {
		if o.member.State == scheduler.Frozen {
			continue
		}
		built := o.member.built()
		ord, ok := p.memory.Orders[o.Name]
		switch {
		case o.outstanding == 0:
			delete(p.memory.Orders, o.Name)
			continue
		case !ok || o.outstanding < ord.Count || ord.Built != built:
			ord = Order{Count: o.outstanding, Since: p.in.Now, Built: built}
			p.memory.Orders[o.Name] = ord
		}
		patience := p.in.Settings.Build
		if built {
			patience = p.in.Settings.Arrival
		}
		due := ord.Since.Add(patience)
		if due.After(p.in.Now) {
			p.wake(due)
			continue
		}
		o.cancelled = o.outstanding
		o.want -= o.outstanding
		o.outstanding = 0
		delete(p.memory.Orders, o.Name)
		until := p.in.Now.Add(p.in.Settings.Avoid)
		p.memory.Avoid[o.Name] = until
		p.wake(until)
	}
}

// trim withdraws orders that did not arrive yet and that the limits, which may
// have been lowered, do not allow: the dearest first. Nodes that are there are
// left alone, except above the offering's own maximum.
func (p *plan) trim() {
	for _, o := range p.stock {
		if o.want > o.Max {
			o.outstanding = max(0, o.outstanding-(o.want-o.Max))
			o.want = o.Max
		}
	}
	for p.over() {
		var dearest *offering
		for _, o := range p.stock {
			if o.outstanding > 0 && o.member.State != scheduler.Frozen && (dearest == nil || o.price > dearest.price) {
				dearest = o
			}
		}
		if dearest == nil {
			return
		}
		dearest.outstanding--
		dearest.want--
		dearest.cancelled++
	}
}

func (p *plan) over() bool {
	l := p.in.Plan.Spec.Limits
	return l.Nodes != nil && p.billedNodes() > *l.Nodes || l.HourlyCost != nil && p.cost() > micro(*l.HourlyCost)
}

func (p *plan) billedNodes() int32 {
	n := int32(0)
	for _, o := range p.stock {
		n += o.billed()
	}
	return n
}

// occupied reports whether a cluster exists, or will for this plan.
func (p *plan) occupied(m *member) bool {
	return m.Elastic && (m.exists() || m.demanded || slices.ContainsFunc(p.stock, func(o *offering) bool { return o.member == m && o.want > 0 }))
}

func (p *plan) clusters() int32 {
	n := int32(0)
	for _, m := range p.order {
		if p.occupied(m) {
			n++
		}
	}
	return n
}

// cost an hour of what is, or will be, paid for, in millionths.
func (p *plan) cost() int64 {
	sum := int64(0)
	for _, o := range p.stock {
		sum += int64(o.billed()) * o.price
	}
	for _, m := range p.order {
		if p.occupied(m) {
			sum += m.fee
		}
	}
	return sum
}

// Limits that can forbid capacity, as they are named in conditions.
const (
	limitNodes    = "LimitNodes"
	limitClusters = "LimitClusters"
	limitCost     = "LimitHourlyCost"
	limitMax      = "OfferingMax"
	noOffering    = "NoOfferingFits"
)

// room returns how many more nodes of an offering the limits allow, and which
// limit allows no more.
func (p *plan) room(o *offering) (int32, string) {
	l := p.in.Plan.Spec.Limits
	n, by := o.Max-o.billed()-p.withdrawn(o), limitMax
	nodes, clusters, cost := p.ending(o.member)
	if l.Clusters != nil && !p.occupied(o.member) && p.clusters()+clusters >= *l.Clusters {
		return 0, limitClusters
	}
	if l.Nodes != nil {
		if left := *l.Nodes - p.billedNodes() - nodes; left < n {
			n, by = left, limitNodes
		}
	}
	if l.HourlyCost != nil {
		left := micro(*l.HourlyCost) - p.cost() - cost
		if !p.occupied(o.member) {
			left -= o.member.fee
		}
		switch {
		case left < 0:
			return 0, limitCost
		case o.price > 0 && left/o.price < int64(n):
			n, by = int32(left/o.price), limitCost
		}
	}
	return max(0, n), by
}

// keepMinimum orders the nodes that are kept even when idle, as far as the
// limits allow.
func (p *plan) keepMinimum() {
	for _, o := range p.stock {
		if _, avoid := p.avoid(o); avoid || o.member.State == scheduler.Frozen || o.member.State == scheduler.Draining {
			continue
		}
		if missing := min(o.Min, o.Max) - o.want; missing > 0 {
			n, by := p.room(o)
			if n < missing {
				p.limits[by] = true
			}
			o.want += min(n, missing)
			o.outstanding += min(n, missing)
		}
	}
}

// micro returns a quantity in millionths, rounded up.
func micro(q resource.Quantity) int64 { return q.ScaledValue(resource.Micro) }

// describe names a limit as a person reads it.
func (p *plan) describe(limit string) string {
	l := p.in.Plan.Spec.Limits
	switch limit {
	case limitNodes:
		return fmt.Sprintf("limits.nodes %d", ptr.Deref(l.Nodes, 0))
	case limitClusters:
		return fmt.Sprintf("limits.clusters %d", ptr.Deref(l.Clusters, 0))
	case limitCost:
		return fmt.Sprintf("limits.hourlyCost %s", l.HourlyCost)
	case limitMax:
		return "the maximum of the offering"
	}
	return limit
}
