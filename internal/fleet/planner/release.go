package planner

import (
	"cmp"
	"slices"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// settleOrders restocks nodes that were to be released and are needed again,
// and withdraws ordered nodes that have not been needed for the delay.
func (p *plan) settleOrders() {
	for name := range p.memory.Surplus {
		if p.offerings[name] == nil {
			delete(p.memory.Surplus, name)
		}
	}
	for _, o := range p.stock {
		if o.usedListed > 0 {
			// Those listed last are the least likely to be cordoned already.
			n := len(o.listed) - int(o.usedListed)
			o.ready = append(o.ready, o.listed[n:]...)
			o.listed = o.listed[:n]
			o.want += o.usedListed
		}
		surplus := min(o.outstanding-o.usedOutstanding, o.want-min(o.Min, o.Max))
		if surplus <= 0 || o.member.State == scheduler.Frozen {
			delete(p.memory.Surplus, o.Name)
			continue
		}
		due := p.since(p.memory.Surplus, o.Name).Add(p.in.Plan.Spec.ScaleDown.NodeIdle.Duration)
		if due.After(p.in.Now) {
			p.wake(due)
			continue
		}
		o.want -= surplus
		o.outstanding -= surplus
		o.cancelled += surplus
		delete(p.memory.Surplus, o.Name)
	}
	// Orders made in this plan are on their way from now on.
	for _, o := range p.stock {
		count := o.outstanding + o.ordered
		built := o.member.built()
		if ord, ok := p.memory.Orders[o.Name]; count == 0 {
			delete(p.memory.Orders, o.Name)
		} else if ok {
			ord.Count = count
			p.memory.Orders[o.Name] = ord
		} else {
			p.memory.Orders[o.Name] = Order{Count: count, Since: p.in.Now, Built: built}
			patience := p.in.Settings.Build
			if built {
				patience = p.in.Settings.Arrival
			}
			p.wake(p.in.Now.Add(patience))
		}
	}
}

// release lists nodes that have carried no load for the delay, those idle for
// longest first.
func (p *plan) release() {
	type idle struct {
		node string
		key  string
	}
	seen := map[string]bool{}
	for _, o := range p.stock {
		m := o.member
		if m.Snapshot == nil {
			continue
		}
		if m.State == scheduler.Frozen || m.State == scheduler.Joining {
			// Its timers go on.
			for _, name := range slices.Concat(o.ready, o.starting, o.broken) {
				seen[m.Name+"/"+name] = true
			}
			continue
		}
		candidates := slices.Concat(o.ready, o.broken)
		if o.usedStarting == 0 {
			// Which of the starting nodes demand will run on is not known; if
			// any, none is idle.
			candidates = append(candidates, o.starting...)
		}
		var idles []idle
		for _, name := range candidates {
			ni := m.fork.Node(name)
			broken := slices.Contains(o.broken, name)
			if ni == nil {
				// Off the fork, so nothing was promised to it.
				ni = m.Snapshot.Node(name)
			}
			if ni == nil || carriesLoad(ni, broken) {
				continue
			}
			if slices.Contains(o.listed, name) {
				continue
			}
			key := m.Name + "/" + name
			seen[key] = true
			due := p.since(p.memory.Idle, key).Add(p.in.Plan.Spec.ScaleDown.NodeIdle.Duration)
			if due.After(p.in.Now) {
				p.wake(due)
				continue
			}
			idles = append(idles, idle{node: name, key: key})
		}
		slices.SortFunc(idles, func(a, b idle) int {
			return cmp.Or(p.memory.Idle[a.key].Compare(p.memory.Idle[b.key]), cmp.Compare(a.node, b.node))
		})
		// After a maximum was lowered there are more nodes than are wanted:
		// these go first, and no other has to go for them.
		extra := o.kept() + o.outstanding + o.ordered - o.want
		for _, i := range idles {
			switch {
			case extra > 0:
				extra--
			case o.want > min(o.Min, o.Max):
				o.want--
			default:
				continue
			}
			for _, kept := range []*[]string{&o.ready, &o.starting, &o.broken} {
				*kept = slices.DeleteFunc(slices.Clone(*kept), func(n string) bool { return n == i.node })
			}
			o.listed = append(o.listed, i.node)
			o.released = append(o.released, i.node)
			// Demand may take it back in the next plan: then it is idle anew.
			delete(seen, i.key)
		}
	}
	for key := range p.memory.Idle {
		if !seen[key] {
			delete(p.memory.Idle, key)
		}
	}
}

// want says which members should exist.
func (p *plan) want() {
	for name := range p.memory.Unused {
		if p.members[name] == nil {
			delete(p.memory.Unused, name)
		}
	}
	for _, m := range p.order {
		if !m.Elastic {
			m.wanted, m.reason = true, "self-built"
			continue
		}
		nodes, minimum, billed := int32(0), int32(0), int32(0)
		for _, o := range p.stock {
			if o.member == m {
				nodes += o.want
				billed += o.billed()
				minimum += o.Min
			}
		}
		switch {
		case nodes > 0 || m.demanded:
			m.wanted, m.reason = true, "its nodes are needed"
		case m.Replicas > 0:
			m.wanted, m.reason = true, "replicas run there"
		case m.Warm:
			m.wanted, m.reason = true, "it is kept warm"
		case minimum > 0:
			m.wanted, m.reason = true, "it keeps a minimum of nodes"
		case billed > 0:
			m.wanted, m.reason = true, "its nodes are being given back"
		}
		if m.wanted && !p.occupied(m) {
			// Warmth is no reason to pass a limit.
			if by := p.forbids(m); by != "" {
				m.wanted, m.reason = false, p.describe(by)+" is reached"
				p.limits[by] = true
				continue
			}
		}
		if m.wanted {
			if !m.exists() {
				m.demanded = true
			}
			delete(p.memory.Unused, m.Name)
			continue
		}
		if !m.prevWanted && (m.prevKnown || m.State == scheduler.Absent) {
			delete(p.memory.Unused, m.Name)
			if m.reason == "" {
				m.reason = "nothing needs it"
			}
			continue
		}
		if m.State == scheduler.Frozen {
			m.wanted, m.reason = true, "it does not answer"
			continue
		}
		since := p.since(p.memory.Unused, m.Name)
		due := since.Add(p.in.Plan.Spec.ScaleDown.ClusterIdle.Duration)
		if due.After(p.in.Now) {
			p.wake(due)
			m.wanted, m.reason = true, "unused since "+since.UTC().Format("2006-01-02T15:04:05Z")
			continue
		}
		delete(p.memory.Unused, m.Name)
		m.reason = "nothing needs it"
	}
}
