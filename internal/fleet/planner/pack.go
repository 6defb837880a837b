package planner

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// defaultPods is how many pods a kubelet takes unless it is told otherwise.
var defaultPods = resource.NewQuantity(110, resource.DecimalSI)

// orderMore orders new nodes for what is left of a need, of the offering that
// costs least for each replica, again and again until nothing is left or
// nothing more is allowed. What each offering takes is found by simulation.
func (p *plan) orderMore(n *need, only *member) error {
	blocked := map[string]bool{}
	for n.left > 0 {
		best := -1
		refused := map[string]string{}
		var seen []trial
		for _, o := range p.stock {
			if only != nil && o.member != only {
				continue
			}
			t, err := p.consider(n, o, blocked, refused)
			if err != nil {
				return err
			}
			if t == nil {
				continue
			}
			seen = append(seen, *t)
			if best < 0 || t.cheaper(&seen[best]) {
				best = len(seen) - 1
			}
		}
		if best < 0 {
			if only == nil {
				for limit := range blocked {
					p.limits[limit] = p.limits[limit] || !n.soft
				}
				p.note(refused)
			}
			return nil
		}
		o := seen[best].offering
		t, err := p.open(o, n, n.left, seen[best].nodes)
		if err != nil {
			return err
		}
		if t.placed == 0 {
			return fmt.Errorf("cannot repeat the packing of %s onto %s", n.who, o.Name)
		}
		o.ordered += t.nodes
		o.want += t.nodes
		o.member.demanded = true
		n.left -= t.placed
		p.planned += t.placed
		p.keepOpened(o, &t, n)
		for _, s := range seen {
			if s.offering != o {
				refused[s.offering.Name] = fmt.Sprintf("dearer: %s a replica, %s costs %s", money(s.cost/int64(s.placed)), o.Name, money(seen[best].cost/int64(seen[best].placed)))
			}
		}
		p.note(refused)
	}
	return nil
}

// consider tries what new nodes of an offering take of a need. It returns nil
// and notes why, if they are not to be had or are of no use.
func (p *plan) consider(n *need, o *offering, blocked map[string]bool, refused map[string]string) (*trial, error) {
	if n.pods[o.member] == nil {
		if why := n.why[o.member]; why != "" {
			refused[o.Name] = why
		}
		blocked[noOffering] = true
		return nil, nil
	}
	if avoid, why := p.avoid(o); avoid || n.Outage != "" {
		if !avoid {
			why = n.Outage
		}
		refused[o.Name] = why
		blocked[noOffering] = true
		return nil, nil
	}
	room, by := p.room(o)
	if room == 0 {
		refused[o.Name] = p.describe(by) + " is reached"
		blocked[by] = true
		return nil, nil
	}
	t, err := p.try(o, n, n.left, room)
	if err != nil {
		return nil, err
	}
	if blank := p.blank(o); len(blank) > 0 {
		if p.learn(o, blank) && t.placed > 0 {
			if t, err = p.try(o, n, n.left, room); err != nil {
				return nil, err
			}
		}
		// Another would be as useless, except in another zone.
		if t.placed > 0 && len(blank) >= len(o.Zones) {
			refused[o.Name] = useless(blank[0].Node().Name)
			blocked[noOffering] = true
			return nil, nil
		}
	}
	if t.placed == 0 {
		refused[o.Name] = "does not fit: " + t.message
		blocked[noOffering] = true
		return nil, nil
	}
	t.cost = int64(t.nodes) * p.nodeCost(o)
	if !p.occupied(o.member) {
		t.cost += p.weights.ofMoney(o.member.fee, "")
	}
	if n.soft && t.cost >= int64(t.placed)*n.outside {
		refused[o.Name] = fmt.Sprintf("%s cost no less than they do on virtual nodes", n.who)
		return nil, nil
	}
	if !n.soft {
		t.cost += int64(t.placed) * p.weights.ofWaiting(o)
	}
	if p.weights.spread > 0 {
		zones := p.zones()
		before := zones.imbalance()
		zones.add(o, o.templates, t.nodes)
		t.cost += p.weights.spread * (zones.imbalance() - before)
	}
	if t.placed < n.left {
		blocked[by] = true
	}
	return &t, nil
}

func useless(node string) string {
	return fmt.Sprintf("node %s of it is empty and does not take them", node)
}

// nodeCost is what a node costs when it is compared with others.
func (p *plan) nodeCost(o *offering) int64 { return p.weights.ofMoney(o.price, o.CapacityType) }

// try is open, taken back.
func (p *plan) try(o *offering, need *need, n, limit int32) (trial, error) {
	mark, at := o.member.fork.Mark(), o.templates
	t, err := p.open(o, need, n, limit)
	o.member.fork.Revert(mark)
	o.member.fork.Commit(mark)
	o.templates = at
	return t, err
}

// note remembers why offerings were not chosen; the last reason counts.
func (p *plan) note(refused map[string]string) {
	for _, o := range slices.Concat(p.stock, p.virtual) {
		why, ok := refused[o.Name]
		if !ok {
			continue
		}
		if o.priceNote != "" {
			why += " (" + o.priceNote + ")"
		}
		p.refused = slices.DeleteFunc(p.refused, func(r fleetv1alpha1.Refusal) bool { return r.Name == o.Name })
		p.refused = append(p.refused, fleetv1alpha1.Refusal{Name: o.Name, Reason: why})
	}
}

// A trial is what nodes of one offering can take of a demand.
type trial struct {
	offering *offering
	nodes    int32
	placed   int32
	cost     int64
	message  string
	// on says how many are on each node.
	on map[string]int
}

// cheaper compares the cost of a replica; of equals the one that places more,
// and then the one on fewer nodes, is the better.
func (t *trial) cheaper(o *trial) bool {
	a, b := t.cost*int64(o.placed), o.cost*int64(t.placed)
	switch {
	case a != b:
		return a < b
	case t.placed != o.placed:
		return t.placed > o.placed
	}
	return t.nodes < o.nodes
}

// keepOpened remembers the nodes that a need was packed on.
func (p *plan) keepOpened(o *offering, t *trial, n *need) {
	for _, name := range t.names() {
		p.opened = append(p.opened, opened{name, o})
		p.hold(n, name, int32(t.on[name]))
	}
}

func (t *trial) names() []string { return slices.Sorted(maps.Keys(t.on)) }

// open adds nodes of an offering to the fork of its member, as many as n copies
// of a pod need and at most limit, and places the pods. Nodes that get none are
// taken off again.
func (p *plan) open(o *offering, need *need, n, limit int32) (trial, error) {
	t := trial{offering: o, on: map[string]int{}}
	per, misses := int32(0), 0
	for n > 0 && limit > 0 {
		batch := int32(1)
		if per > 0 {
			// As many as are surely needed: a scheduler spreads pods over all
			// nodes it sees.
			batch = min(limit, max(1, n/per))
		}
		var names []string
		for range batch {
			node, daemons := p.template(o)
			if err := o.member.fork.AddNode(node, daemons...); err != nil {
				return t, fmt.Errorf("cannot add a node of %s: %w", o.Name, err)
			}
			names = append(names, node.Name)
		}
		res, err := o.member.Simulator.Place(p.ctx, o.member.fork, need.pods[o.member], int(n))
		if err != nil {
			return t, fmt.Errorf("cannot simulate on a node of %s: %w", o.Name, err)
		}
		used := int32(0)
		for _, name := range names {
			if res.Nodes[name] > 0 {
				used++
				t.on[name] += res.Nodes[name]
				continue
			}
			if err := o.member.fork.RemoveNode(name); err != nil {
				return t, fmt.Errorf("cannot remove a node of %s: %w", o.Name, err)
			}
		}
		t.nodes += used
		t.placed += int32(res.Placed)
		n -= int32(res.Placed)
		limit -= used
		t.message = res.Message
		if used == 0 {
			// A node in the next zone may do where one in this did not.
			if misses++; misses >= max(1, len(o.Zones)) {
				break
			}
			continue
		}
		misses = 0
		per = max(per, int32(res.Placed)/used)
	}
	return t, nil
}
