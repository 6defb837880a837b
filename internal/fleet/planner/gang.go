package planner

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
)

// placeOn places what is left of a need on the nodes of a member that take pods.
func (n *need) placeOn(ctx context.Context, m *member) (simulation.Result, error) {
	if !n.Template.Grouped() {
		return m.Simulator.Place(ctx, m.fork, n.pods[m], int(n.left))
	}
	group, err := n.Template.Group(m.fork.Base().Objects())
	if err != nil {
		n.why[m] = err.Error()
		return simulation.Result{}, nil
	}
	return scheduler.PlaceGroups(ctx, m.Simulator, m.fork, group, int(n.left))
}

// packGroups packs a need whose replicas are groups of pods, one group after the
// other, each as a whole onto nodes of one member: of the one where what must be
// ordered for it costs least. Nothing is ordered for a part of a group.
func (p *plan) packGroups(n *need) error {
	for n.left > 0 {
		var best *member
		var least int64
		limits := map[string]bool{}
		var refused []fleetv1alpha1.Refusal
		for _, m := range p.preferred(n) {
			if n.pods[m] == nil || best != nil && slices.Contains(n.Prefer, best.Name) && !slices.Contains(n.Prefer, m.Name) {
				continue
			}
			fee := int64(0)
			if !p.occupied(m) {
				fee = p.weights.ofMoney(m.fee, "")
			}
			before := p.save(nil)
			packed, err := p.packGroup(n, m)
			if err != nil {
				return err
			}
			cost := int64(0)
			for _, o := range p.stock {
				if more := o.ordered - before.offerings[o].ordered; more > 0 {
					cost += int64(more)*p.nodeCost(o) + fee
					fee = 0
				}
			}
			if packed && (best == nil || cost < least) {
				best, least = m, cost
			}
			maps.Copy(limits, p.limits)
			refused = append(refused, p.refused...)
			before.restore(p)
		}
		if best == nil {
			maps.Copy(p.limits, limits)
			for _, r := range refused {
				p.refused = append(slices.DeleteFunc(p.refused, func(o fleetv1alpha1.Refusal) bool { return o.Name == r.Name }), r)
			}
			return nil
		}
		r := p.reserved[n.Reservation]
		coming := int32(0)
		if r != nil {
			coming = r.coming
		}
		if _, err := p.packGroup(n, best); err != nil {
			return err
		}
		if r != nil {
			// Its pods were counted one by one.
			r.coming = min(r.coming, coming+1)
		}
		n.left--
	}
	return nil
}

// packGroup packs one group onto nodes of a member: those it has, promised ones,
// and then nodes to order. It reports whether all of the group has a place.
func (p *plan) packGroup(n *need, m *member) (bool, error) {
	for _, c := range n.Template.Components {
		d := n.Demand
		d.Template, d.Count, d.Prefer = c.Template, c.Count, nil
		one := p.newNeed(d)
		one.who += ", component " + c.Name + ","
		p.prepare(one)
		one.plain = false
		maps.DeleteFunc(one.pods, func(o *member, _ *corev1.Pod) bool { return o != m })
		if err := p.packOnto(one, nil); err != nil {
			return false, err
		}
		if one.left > 0 {
			return false, nil
		}
	}
	return true, nil
}
