package planner

import (
	"context"
	"slices"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Make makes a plan. An error says that the context ended, or that the input
// contradicts itself; nothing of the plan may be used then. A demand that cannot
// be simulated is refused with the reason.
func Make(ctx context.Context, in Input) (Output, error) {
	p := &plan{
		ctx: ctx, in: in, memory: in.Memory.clone(), weights: readWeights(in.Plan.Spec.Weights),
		members: map[string]*member{}, offerings: map[string]*offering{}, limits: map[string]bool{}, takes: map[string]verdict{}, reserved: map[string]*reserved{},
	}
	if err := p.load(); err != nil {
		return Output{}, err
	}
	p.forget()
	p.expireEndings()
	p.strike()
	p.expireOrders()
	p.trim()
	p.keepMinimum()
	if err := p.meet(); err != nil {
		return Output{}, err
	}
	p.settleOrders()
	p.release()
	p.want()
	p.rememberEndings()
	p.rememberBuilding()
	return p.output(), nil
}

type plan struct {
	ctx     context.Context
	in      Input
	memory  Memory
	members map[string]*member
	weights weights
	// order of members and offerings as in the spec; those of virtual nodes are
	// in virtual, the others in stock.
	order     []*member
	offerings map[string]*offering
	stock     []*offering
	virtual   []*offering

	// opened nodes are promised or ordered, and on the forks.
	opened []opened
	// takes remembers which replicas a node of an offering takes.
	takes map[string]verdict
	// grants that are made, and what they cost; awaited is what replicas will
	// cost that start on virtual nodes of a cluster that is being made.
	grants           []Grant
	granted, awaited int64
	// reserved is what was found for reservations, by name.
	reserved map[string]*reserved

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
	// virtuals are the offerings of virtual nodes it has.
	virtuals []scheduler.Virtual
}

// built members answer, or did.
func (m *member) built() bool { return m.State != scheduler.Absent && m.State != scheduler.Joining }

// exists reports whether the cluster is there, or about to be.
func (m *member) exists() bool { return m.State != scheduler.Absent || m.prevWanted }

type offering struct {
	fleetv1alpha1.Offering
	member *member
	// price by which it is chosen, and that counts against the limit, in
	// millionths.
	price, capPrice int64
	priceNote       string
	market          *fleetv1alpha1.OfferingMarket
	// reported nodes exist at the cloud or were asked for; -1 if the host does
	// not say.
	reported int32
	// avoidUntil is until when the cloud is thought to be short of it; unknown
	// says that it cannot deliver it at all.
	avoidUntil time.Time
	unknown    bool
	// pods on its virtual nodes, and what they cost.
	pods     int32
	podsCost int64
	// grantCost is what those cost that start there now.
	grantCost int64
	// allowed pods may start there, as far as money allows; expected ones will
	// when its cluster is there.
	allowed, expected int32

	// nodes of the offering by what can be expected of them.
	ready, starting, broken, listed, leaving []string
	// spoilt nodes of those listed are broken.
	spoilt int32
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
	// cancelled orders of this plan; the host had seen so many of them.
	cancelled, seen int32
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
		p.readMarket(o)
		if o.Virtual != nil {
			p.offerings[o.Name] = o
			p.virtual = append(p.virtual, o)
			m.virtuals = append(m.virtuals, o.asVirtual())
			continue
		}
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
	for _, o := range p.virtual {
		p.countPods(o)
	}
	for i := range p.in.Reservations {
		p.reserved[p.in.Reservations[i].Name] = &reserved{nodes: map[string]bool{}}
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
		o.cancelled += o.outstanding
		o.want -= o.outstanding
		o.outstanding = 0
		delete(p.memory.Orders, o.Name)
		until := p.in.Now.Add(p.in.Settings.Avoid)
		p.memory.Avoid[o.Name] = until
		p.wake(until)
	}
}
