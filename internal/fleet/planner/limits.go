package planner

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// Limits that can forbid capacity, as they are named in conditions.
const (
	limitNodes    = "LimitNodes"
	limitClusters = "LimitClusters"
	limitCost     = "LimitHourlyCost"
	limitMax      = "OfferingMax"
	noOffering    = "NoOfferingFits"
)

// trim withdraws orders that did not arrive yet and that the limits, which may
// have been lowered, do not allow: the dearest first. Nodes that are there are
// left alone, except above the offering's own maximum.
func (p *plan) trim() {
	for _, o := range p.stock {
		if o.want > o.Max {
			n := min(o.outstanding, o.want-o.Max)
			o.outstanding -= n
			o.cancelled += n
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

// cost an hour of what is, or will be, paid for, in millionths: nodes and pods
// on virtual ones by the higher of the declared and the reported price, and
// control planes.
func (p *plan) cost() int64 {
	sum := p.granted + p.awaited
	for _, o := range p.stock {
		sum += int64(o.billed()) * o.capPrice
	}
	for _, o := range p.virtual {
		sum += o.podsCost
	}
	for _, m := range p.order {
		if p.occupied(m) {
			sum += m.fee
		}
	}
	return sum
}

// moneyLeft returns how much an hour the limit still allows, if there is one.
// It may be negative.
func (p *plan) moneyLeft() (int64, bool) {
	l := p.in.Plan.Spec.Limits.HourlyCost
	if l == nil {
		return 0, false
	}
	_, _, ending := p.ending(nil)
	return micro(*l) - p.cost() - ending, true
}

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
		case o.capPrice > 0 && left/o.capPrice < int64(n):
			n, by = int32(left/o.capPrice), limitCost
		}
	}
	return max(0, n), by
}

// keepMinimum orders the nodes that are kept even when idle, as far as the
// limits allow.
func (p *plan) keepMinimum() {
	for _, o := range p.stock {
		if avoid, _ := p.avoid(o); avoid || o.member.State == scheduler.Frozen || o.member.State == scheduler.Draining {
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

// forbids names the limit that allows no new cluster, if one does.
func (p *plan) forbids(m *member) string {
	l := p.in.Plan.Spec.Limits
	_, clusters, cost := p.ending(m)
	switch {
	case l.Clusters != nil && p.clusters()+clusters >= *l.Clusters:
		return limitClusters
	case l.HourlyCost != nil && p.cost()+cost+m.fee > micro(*l.HourlyCost):
		return limitCost
	}
	return ""
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
