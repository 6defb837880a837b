package planner

import (
	"fmt"
	"slices"
)

// meet finds room for all demand: first on nodes that take pods, then on nodes
// that are promised, and then on nodes to order. Meanwhile replicas start on
// virtual nodes.
func (p *plan) meet() error {
	var needs []*need
	for _, d := range p.in.Demands {
		n := p.newNeed(d)
		p.prepare(n)
		needs = append(needs, n)
	}
	soft, allowed, err := p.bridge(needs)
	if err != nil {
		return err
	}
	all := slices.Concat(needs, soft)
	disentangle(all)
	if err := p.packAll(all); err != nil {
		return err
	}
	for _, n := range needs {
		p.buildFor(n)
	}
	rest, err := p.startThere(allowed)
	if err != nil {
		return err
	}
	for _, n := range slices.Concat(needs, rest) {
		p.short += n.left
		if r := p.reserved[n.Reservation]; r != nil && n.left > 0 {
			r.short += n.left
		}
	}
	return nil
}

// settle places a need on nodes that take pods already.
func (p *plan) settle(n *need) error {
	for _, m := range p.preferred(n) {
		if n.left == 0 || n.pods[m] == nil || m.fork.NumNodes() == 0 {
			continue
		}
		mark := m.fork.Mark()
		res, err := n.placeOn(p.ctx, m)
		if err != nil {
			if p.ctx.Err() != nil {
				return fmt.Errorf("cannot simulate %s in %s: %w", n.who, m.Name, err)
			}
			// One workload that cannot be simulated must not stop all others.
			m.fork.Revert(mark)
			m.fork.Commit(mark)
			delete(n.pods, m)
			n.why[m] = "cannot be simulated: " + err.Error()
			continue
		}
		m.fork.Commit(mark)
		n.left -= int32(res.Placed)
	}
	return nil
}

// preferred returns the members in the order in which a need wants them.
func (p *plan) preferred(n *need) []*member {
	out := slices.Clone(p.order)
	rank := func(m *member) int {
		if i := slices.Index(n.Prefer, m.Name); i >= 0 {
			return i
		}
		return len(n.Prefer)
	}
	slices.SortStableFunc(out, func(a, b *member) int { return rank(a) - rank(b) })
	return out
}

// pack finds nodes for needs, the most important first. Plain ones that follow
// each other are packed together.
func (p *plan) pack(needs []*need) error {
	for i := 0; i < len(needs); {
		j := i + 1
		for needs[i].plain && !needs[i].whole && j < len(needs) && needs[j].plain && !needs[j].whole && slices.Equal(needs[i].Prefer, needs[j].Prefer) {
			j++
		}
		var err error
		switch {
		case needs[i].whole:
			err = p.packWhole(needs[i])
		case needs[i].plain:
			err = p.packTogether(needs[i:j])
		default:
			err = p.packAlone(needs[i])
		}
		if err != nil {
			return err
		}
		i = j
	}
	return nil
}

// packTogether packs plain needs, onto the nodes of members they prefer as far
// as these have any.
func (p *plan) packTogether(needs []*need) error {
	var odd []*need
	only := []*member{nil}
	for i := len(needs[0].Prefer) - 1; i >= 0; i-- {
		if m := p.members[needs[0].Prefer[i]]; m != nil && m.Elastic {
			only = slices.Insert(only, 0, m)
		}
	}
	for _, m := range only {
		more, err := p.choose(needs, m)
		if err != nil {
			return err
		}
		odd = append(odd, more...)
	}
	for _, n := range odd {
		if err := p.packAlone(n); err != nil {
			return err
		}
	}
	return nil
}

// packWhole settles and packs a need whose replicas start together: nothing is
// ordered, or kept, for a part of them.
func (p *plan) packWhole(n *need) error {
	before := p.save([]*need{n})
	err := p.settle(n)
	switch {
	case err != nil:
	case n.plain:
		err = p.packTogether([]*need{n})
	default:
		err = p.packAlone(n)
	}
	if err != nil {
		return err
	}
	if n.left == 0 {
		before.forget()
		return nil
	}
	limits, refused := p.limits, p.refused
	before.restore(p)
	p.limits, p.refused = limits, refused
	return nil
}

// packAlone packs a need that looks at other pods too: onto promised nodes, and
// then onto nodes to order.
func (p *plan) packAlone(n *need) error {
	if n.Template.Grouped() {
		return p.packGroups(n)
	}
	only := []*member{nil}
	for i := len(n.Prefer) - 1; i >= 0; i-- {
		if m := p.members[n.Prefer[i]]; m != nil && m.Elastic {
			only = slices.Insert(only, 0, m)
		}
	}
	for _, m := range only {
		if err := p.packOnto(n, m); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) packOnto(n *need, only *member) error {
	if n.left == 0 {
		return nil
	}
	if only == nil {
		// Promised nodes may have room by now.
		if err := p.settle(n); err != nil {
			return err
		}
	}
	for c := range categories {
		for _, o := range p.stock {
			used, have := o.promised(c)
			if n.left == 0 || n.pods[o.member] == nil || only != nil && o.member != only || have-*used <= 0 {
				continue
			}
			t, err := p.open(o, n, n.left, have-*used)
			if err != nil {
				return err
			}
			*used += t.nodes
			n.left -= t.placed
			p.keepOpened(o, &t, n)
		}
	}
	return p.orderMore(n, only)
}

// Categories of promised nodes, those that will be there first first.
const (
	starting = iota
	listed
	outstanding
	categories
)

// promised returns how many promised nodes of a category demand was packed on,
// and how many there are.
func (o *offering) promised(category int) (used *int32, have int32) {
	switch category {
	case starting:
		return &o.usedStarting, int32(len(o.starting))
	case listed:
		return &o.usedListed, int32(len(o.listed)) - o.spoilt
	}
	return &o.usedOutstanding, o.outstanding
}

// An opened node is promised or ordered, and is on the fork of its member.
type opened struct {
	name string
	*offering
}

// reserved is what a plan found for a reservation.
type reserved struct {
	// coming replicas are on promised nodes, short ones on none.
	coming, short int32
	// nodes by name that they are on.
	nodes map[string]bool
}

// hold notes that replicas of a reservation are on a promised node.
func (p *plan) hold(n *need, node string, count int32) {
	if r := p.reserved[n.Reservation]; r != nil && count > 0 {
		r.coming += count
		r.nodes[node] = true
	}
}
