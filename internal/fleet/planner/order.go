package planner

import (
	"maps"
	"slices"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// packAll finds nodes for all needs, those that take pods already first. If a part
// of replicas that start together has none, it is done again without keeping or
// ordering any for the others.
func (p *plan) packAll(needs []*need) error {
	if !slices.ContainsFunc(needs, func(n *need) bool { return n.Together }) {
		return p.settleAndPack(needs)
	}
	before := p.save(needs)
	if err := p.settleAndPack(needs); err != nil {
		return err
	}
	short := false
	for _, n := range needs {
		n.whole = n.Together && n.left > 0
		short = short || n.whole
	}
	if !short {
		before.forget()
		return nil
	}
	before.restore(p)
	return p.settleAndPack(needs)
}

// settleAndPack settles all needs that may be settled in part, and packs what is
// left of them and all others.
func (p *plan) settleAndPack(needs []*need) error {
	for _, n := range needs {
		if n.whole {
			continue
		}
		if err := p.settle(n); err != nil {
			return err
		}
	}
	return p.packBest(needs)
}

// packBest finds nodes for all needs. Those that look at other pods come first,
// though they may be less important: what they leave of their nodes is then used
// by all others, which are packed together. If not everything has a place that
// way, it is done again strictly by importance.
func (p *plan) packBest(needs []*need) error {
	order := slices.Clone(needs)
	slices.SortStableFunc(order, func(a, b *need) int {
		switch {
		case a.plain == b.plain || a.soft || b.soft:
			return 0
		case a.plain:
			return 1
		}
		return -1
	})
	if slices.Equal(order, needs) {
		return p.pack(needs)
	}
	before := p.save(needs)
	if err := p.pack(order); err != nil {
		return err
	}
	if !slices.ContainsFunc(needs, func(n *need) bool { return n.left > 0 && !n.soft }) {
		before.forget()
		return nil
	}
	before.restore(p)
	return p.pack(needs)
}

// A saved plan is one to which it is possible to return.
type saved struct {
	marks     map[*member]snapshot.Mark
	demanded  map[*member]bool
	offerings map[*offering]offering
	left      map[*need]int32
	plain     map[*need]bool
	reserved  map[string]reserved
	opened    int
	planned   int32
	limits    map[string]bool
	refused   []fleetv1alpha1.Refusal
}

func (p *plan) save(needs []*need) *saved {
	s := &saved{
		marks: map[*member]snapshot.Mark{}, demanded: map[*member]bool{}, offerings: map[*offering]offering{}, left: map[*need]int32{}, plain: map[*need]bool{}, reserved: map[string]reserved{},
		opened: len(p.opened), planned: p.planned, limits: maps.Clone(p.limits), refused: slices.Clone(p.refused),
	}
	for _, m := range p.order {
		s.marks[m], s.demanded[m] = m.fork.Mark(), m.demanded
	}
	for _, o := range p.stock {
		s.offerings[o] = *o
	}
	for _, n := range needs {
		s.left[n], s.plain[n] = n.left, n.plain
	}
	for name, r := range p.reserved {
		s.reserved[name] = reserved{coming: r.coming, short: r.short, nodes: maps.Clone(r.nodes)}
	}
	return s
}

// forget that it is possible to return.
func (s *saved) forget() {
	for m, mark := range s.marks {
		m.fork.Commit(mark)
	}
}

func (s *saved) restore(p *plan) {
	for m, mark := range s.marks {
		m.fork.Revert(mark)
		m.demanded = s.demanded[m]
	}
	s.forget()
	for o, was := range s.offerings {
		*o = was
	}
	for n, left := range s.left {
		n.left, n.plain = left, s.plain[n]
	}
	for name, r := range s.reserved {
		*p.reserved[name] = r
	}
	p.opened, p.planned, p.limits, p.refused = p.opened[:s.opened], s.planned, s.limits, s.refused
}
