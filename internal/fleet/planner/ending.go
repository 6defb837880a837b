package planner

import "time"

// What is given up is not gone from the cloud at once: an order that is
// withdrawn may have become a machine already, and a cluster is deleted long
// after it left the federation. Until then both count against the hard caps. The
// host reports what exists; where it does not, they count for a time.

// A Withdrawal is ordered nodes that were given up.
type Withdrawal struct {
	// Nodes given up.
	Nodes int32 `json:"nodes"`
	// Until when they count.
	Until time.Time `json:"until"`
}

// expireEndings forgets what does not count any more, and notes which elastic
// clusters exist and since when others do not.
func (p *plan) expireEndings() {
	for name, w := range p.memory.Withdrawn {
		if p.offerings[name] == nil || !w.Until.After(p.in.Now) {
			delete(p.memory.Withdrawn, name)
			continue
		}
		p.wake(w.Until)
	}
	for name := range p.memory.Clusters {
		if p.members[name] == nil {
			delete(p.memory.Clusters, name)
		}
	}
	for _, m := range p.order {
		until, known := p.memory.Clusters[m.Name]
		switch {
		case !m.Elastic:
		case m.exists():
			if !known || !until.IsZero() {
				p.memory.Clusters[m.Name] = time.Time{}
			}
		case !known:
		case until.IsZero():
			until = p.in.Now.Add(p.in.Settings.ClusterEnds)
			p.memory.Clusters[m.Name] = until
			p.wake(until)
		case !until.After(p.in.Now):
			delete(p.memory.Clusters, m.Name)
		default:
			p.wake(until)
		}
	}
}

// rememberEndings keeps what this plan gave up, and which clusters it makes.
func (p *plan) rememberEndings() {
	for _, m := range p.order {
		if m.Elastic && m.wanted {
			p.memory.Clusters[m.Name] = time.Time{}
		}
	}
	for _, o := range p.stock {
		if p.unseen(o) == 0 {
			continue
		}
		until := p.in.Now.Add(p.in.Settings.NodesEnd)
		p.memory.Withdrawn[o.Name] = Withdrawal{Nodes: p.memory.Withdrawn[o.Name].Nodes + p.unseen(o), Until: until}
		p.wake(until)
	}
}

// unseen returns how many nodes of those that this plan gave up the host cannot
// tell about: it does not report, or had not seen the order.
func (p *plan) unseen(o *offering) int32 {
	if o.reported < 0 {
		return o.cancelled
	}
	return max(0, min(o.cancelled-o.seen, o.prev-o.reported))
}

// withdrawn nodes of an offering may still be billed: the cloud has them, or was
// asked for them, or nobody can tell.
func (p *plan) withdrawn(o *offering) int32 {
	return p.memory.Withdrawn[o.Name].Nodes + p.unseen(o) + max(0, o.reported-o.billed())
}

// ending returns the nodes and clusters that were given up and may still be
// billed, and what they cost an hour in millionths. The cluster of a member that
// is ordered again is the one that counts for it.
func (p *plan) ending(again *member) (nodes, clusters int32, cost int64) {
	for _, o := range p.stock {
		n := p.withdrawn(o)
		nodes += n
		cost += int64(n) * o.capPrice
	}
	for _, m := range p.order {
		if m != again && p.isEnding(m) {
			clusters++
			cost += m.fee
		}
	}
	return nodes, clusters, cost
}

// isEnding reports whether the cluster of a member that was let go may still be
// billed.
func (p *plan) isEnding(m *member) bool {
	if !m.Elastic || p.occupied(m) {
		return false
	}
	if exists, known := p.existsAtCloud(m); known {
		return exists
	}
	return p.memory.Clusters[m.Name].After(p.in.Now)
}
