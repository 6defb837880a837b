package planner

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// defaultPods is how many pods a kubelet takes unless it is told otherwise.
var defaultPods = resource.NewQuantity(110, resource.DecimalSI)

// meet packs one demand: onto what is left on promised nodes, onto promised
// nodes that nobody needs yet, and then onto nodes to order.
func (p *plan) meet(d *scheduler.Demand) error {
	left := d.Count
	pods := map[*member]*corev1.Pod{}
	var able []*member
	why := map[*member]string{}
	for _, m := range p.order {
		if !m.Elastic {
			continue
		}
		ok, reason := p.usable(m, d)
		if !ok {
			why[m] = reason
			continue
		}
		pod, err := d.Template.Pod(m.fork.Base().Objects())
		if err != nil {
			why[m] = err.Error()
			continue
		}
		pods[m] = pod
		able = append(able, m)
	}
	for _, m := range able {
		mark := m.fork.Mark()
		res, err := m.Simulator.Place(p.ctx, m.fork, pods[m], int(left))
		if err != nil {
			if p.ctx.Err() != nil {
				return fmt.Errorf("cannot simulate %s in %s: %w", d.Binding, m.Name, err)
			}
			// One workload that cannot be simulated must not stop all others.
			m.fork.Revert(mark)
			m.fork.Commit(mark)
			delete(pods, m)
			why[m] = "cannot be simulated: " + err.Error()
			continue
		}
		m.fork.Commit(mark)
		left -= int32(res.Placed)
		if left == 0 {
			return nil
		}
	}
	for _, kind := range []func(*offering) (*int32, int32){
		func(o *offering) (*int32, int32) { return &o.usedStarting, int32(len(o.starting)) },
		func(o *offering) (*int32, int32) { return &o.usedListed, int32(len(o.listed)) },
		func(o *offering) (*int32, int32) { return &o.usedOutstanding, o.outstanding },
	} {
		for _, o := range p.stock {
			used, have := kind(o)
			if left == 0 || pods[o.member] == nil || have-*used <= 0 {
				continue
			}
			t, err := p.open(o, pods[o.member], left, have-*used)
			if err != nil {
				return err
			}
			*used += t.nodes
			left -= t.placed
		}
	}
	return p.orderMore(d, left, pods, why)
}

// orderMore orders new nodes for what is left of a demand, of the offering that
// costs least for each replica, again and again until nothing is left or
// nothing more is allowed.
func (p *plan) orderMore(d *scheduler.Demand, left int32, pods map[*member]*corev1.Pod, why map[*member]string) error {
	blocked := map[string]bool{}
	for left > 0 {
		best := -1
		refused := map[string]string{}
		var seen []trial
		for _, o := range p.stock {
			pod := pods[o.member]
			if pod == nil {
				refused[o.Name] = why[o.member]
				blocked[noOffering] = true
				continue
			}
			if until, ok := p.avoid(o); ok {
				refused[o.Name] = fmt.Sprintf("what was ordered did not arrive; not tried before %s", until.UTC().Format("15:04:05Z"))
				blocked[noOffering] = true
				continue
			}
			room, by := p.room(o)
			if room == 0 {
				refused[o.Name] = p.describe(by) + " is reached"
				blocked[by] = true
				continue
			}
			t, err := p.try(o, pod, left, room)
			if err != nil {
				return err
			}
			if blank := p.blank(o); len(blank) > 0 {
				if p.learn(o, blank) && t.placed > 0 {
					if t, err = p.try(o, pod, left, room); err != nil {
						return err
					}
				}
				// Another would be as useless, except in another zone.
				if t.placed > 0 && len(blank) >= len(o.Zones) {
					refused[o.Name] = fmt.Sprintf("node %s of it is empty and does not take them", blank[0].Node().Name)
					blocked[noOffering] = true
					continue
				}
			}
			if t.placed == 0 {
				refused[o.Name] = "does not fit: " + t.message
				blocked[noOffering] = true
				continue
			}
			t.cost = int64(t.nodes) * o.price
			if !p.occupied(o.member) {
				t.cost += o.member.fee
			}
			if t.placed < left {
				blocked[by] = true
			}
			seen = append(seen, t)
			if best < 0 || t.cheaper(&seen[best]) {
				best = len(seen) - 1
			}
		}
		if best < 0 {
			p.short += left
			for limit := range blocked {
				p.limits[limit] = true
			}
			p.note(refused)
			return nil
		}
		o := seen[best].offering
		t, err := p.open(o, pods[o.member], left, seen[best].nodes)
		if err != nil {
			return err
		}
		if t.placed == 0 {
			return fmt.Errorf("cannot repeat the packing of %s onto %s", d.Binding, o.Name)
		}
		o.ordered += t.nodes
		o.want += t.nodes
		o.member.demanded = true
		left -= t.placed
		p.planned += t.placed
		for _, s := range seen {
			if s.offering != o {
				refused[s.offering.Name] = fmt.Sprintf("dearer: %s a replica, %s costs %s", money(s.cost/int64(s.placed)), o.Name, money(seen[best].cost/int64(seen[best].placed)))
			}
		}
		p.note(refused)
	}
	return nil
}

// try is open, taken back.
func (p *plan) try(o *offering, pod *corev1.Pod, n, limit int32) (trial, error) {
	mark, at := o.member.fork.Mark(), o.templates
	t, err := p.open(o, pod, n, limit)
	o.member.fork.Revert(mark)
	o.member.fork.Commit(mark)
	o.templates = at
	return t, err
}

// note remembers why offerings were not chosen; the last reason counts.
func (p *plan) note(refused map[string]string) {
	for _, o := range p.stock {
		why, ok := refused[o.Name]
		if !ok {
			continue
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

// open adds nodes of an offering to the fork of its member, as many as n copies
// of a pod need and at most limit, and places the pods. Nodes that get none are
// taken off again.
func (p *plan) open(o *offering, pod *corev1.Pod, n, limit int32) (trial, error) {
	t := trial{offering: o}
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
		res, err := o.member.Simulator.Place(p.ctx, o.member.fork, pod, int(n))
		if err != nil {
			return t, fmt.Errorf("cannot simulate on a node of %s: %w", o.Name, err)
		}
		used := int32(0)
		for _, name := range names {
			if res.Nodes[name] > 0 {
				used++
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
