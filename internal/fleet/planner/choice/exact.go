package choice

import (
	"cmp"
	"math"
	"slices"
)

// exactBudget is how many steps an exact search may take: about a tenth of a
// second. maxStates is how many states of coverage it may have.
const (
	exactBudget = 3_000_000
	maxStates   = 1 << 17
	maxPatterns = 4_000
	maxZones    = 8
	maxNew      = 16
)

// A label is a way to reach a state: so many replicas of each shape covered.
type label struct {
	cost, money   int64
	nodes, used   int32
	state, parent int32
	kind, pattern int32
	zones         uint64
	opened        uint16
	clusters      int32
	dead          bool
}

// search is an exact search.
type search struct {
	p      *Problem
	budget int

	// digits has the coverage of each state, stride by how much a replica of a
	// shape moves it.
	digits []int32
	stride []int32
	// patterns of each kind: the fills to which nothing can be added.
	patterns [][]int32
	kinds    []int

	labels []label
	best   [][]int32
	// What can decide between two labels, besides their cost. The next node of a
	// kind with several zones is in the one that is next in turn.
	byMoney, byNodes, byClusters, byUsed bool
	turns                                int32
	fresh                                []int

	// No label matters that costs more than known, what the replicas that it
	// does not cover cost at least included; -1 if nothing is known that places
	// all replicas.
	known int64
	least []int64
}

// exact solves a problem if that takes no more than the budget.
//
// Kinds are taken in the order of what waiting for them costs, and nodes are
// always filled until nothing more fits. That loses no solution: a replica that
// another node was to take as well is taken by the first, for which waiting
// costs least.
func exact(p *Problem, budget int) (*Solution, bool) {
	s := &search{p: p, budget: budget, known: -1}
	s.turns = 1
	if !s.prepare() {
		return nil, false
	}
	s.bound()
	if !s.run() {
		return nil, false
	}
	return s.solution(), true
}

func (s *search) prepare() bool {
	p := s.p
	states, total := 1, int64(0)
	for i := range p.Shapes {
		s.stride = append(s.stride, int32(states))
		states *= int(p.Shapes[i].Count) + 1
		if states > maxStates {
			return false
		}
		total += int64(p.Shapes[i].Count)
	}
	s.digits = make([]int32, states*len(p.Shapes))
	for v := range states {
		for k := range p.Shapes {
			s.digits[v*len(p.Shapes)+k] = int32(v) / s.stride[k] % (p.Shapes[k].Count + 1)
		}
	}
	if p.Spread > 0 && len(p.Zones) > maxZones || slices.ContainsFunc(p.Zones, func(n int32) bool { return int64(n)+total > 255 }) && p.Spread > 0 {
		return false
	}
	for m := range p.Members {
		if !p.Members[m].free() {
			s.fresh = append(s.fresh, m)
		}
	}
	if len(s.fresh) > maxNew {
		return false
	}
	s.byMoney = p.Money >= 0
	s.byNodes = p.Nodes >= 0 && int64(p.Nodes) < total
	s.byClusters = p.Clusters >= 0
	s.patterns = make([][]int32, len(p.Kinds))
	for i := range p.Kinds {
		if p.Kinds[i].Max <= 0 {
			continue
		}
		s.kinds = append(s.kinds, i)
		if !s.enumerate(i) {
			return false
		}
	}
	slices.SortStableFunc(s.kinds, func(a, b int) int {
		x, y := &p.Kinds[a], &p.Kinds[b]
		promised := func(k *Kind) int {
			if k.Promised {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(promised(x), promised(y)), cmp.Compare(x.Wait, y.Wait))
	})
	return true
}

// bound finds out what is not worth looking at.
func (s *search) bound() {
	p := s.p
	var best *Solution
	for _, closed := range p.subsets() {
		g := newGreedy(p, closed)
		for i := range styles {
			g.style = i
			nodes := g.construct()
			for _, t := range []*Solution{p.price(tidy(slices.Clone(nodes))), improve(p, nodes, closed)} {
				if !t.Short(p) && (best == nil || t.Cost < best.Cost) {
					best = t
				}
			}
			g.correct(nodes)
		}
	}
	if best == nil {
		return
	}
	s.known = best.Cost
	shapes := len(p.Shapes)
	s.least = make([]int64, len(s.digits)/max(1, shapes))
	if shapes == 0 {
		return
	}
	for d := range p.Shapes[0].Size {
		// The least that a unit of the resource costs, and what promised nodes
		// have of it for nothing.
		each, promised, some := math.Inf(1), int64(0), false
		for i := range p.Kinds {
			k := &p.Kinds[i]
			switch {
			case k.Max <= 0 || k.Room[d] <= 0:
			case k.Promised:
				promised += k.Room[d] * int64(k.Max)
			default:
				each, some = min(each, float64(k.Cost)/float64(k.Room[d])), true
			}
		}
		if !some {
			continue
		}
		for v := range s.least {
			rest := -promised
			for j := range p.Shapes {
				if !p.Shapes[j].Soft {
					rest += p.Shapes[j].Size[d] * int64(p.Shapes[j].Count-s.digits[v*shapes+j])
				}
			}
			if rest > 0 {
				// A little less, because of rounding.
				s.least[v] = max(s.least[v], int64(float64(rest)*each*(1-1e-9))-1)
			}
		}
	}
}

// enumerate the patterns of a kind.
func (s *search) enumerate(kind int) bool {
	p, k := s.p, &s.p.Kinds[kind]
	room := slices.Clone(k.Room)
	fill := make([]int32, len(p.Shapes))
	var walk func(i int) bool
	walk = func(i int) bool {
		if i == len(p.Shapes) {
			some := false
			for j := range p.Shapes {
				some = some || fill[j] > 0
				if k.Takes[j] && fill[j] < p.Shapes[j].Count && fits(room, p.Shapes[j].Size, 1) > 0 {
					return true
				}
			}
			if some {
				s.patterns[kind] = append(s.patterns[kind], fill...)
			}
			return len(s.patterns[kind]) <= maxPatterns*len(p.Shapes)
		}
		most := int32(0)
		if k.Takes[i] {
			most = fits(room, p.Shapes[i].Size, p.Shapes[i].Count)
		}
		for n := most; n >= 0; n-- {
			if s.budget--; s.budget < 0 {
				return false
			}
			fill[i] = n
			for d, size := range p.Shapes[i].Size {
				room[d] -= size * int64(n)
			}
			ok := walk(i + 1)
			for d, size := range p.Shapes[i].Size {
				room[d] += size * int64(n)
			}
			if !ok {
				return false
			}
		}
		fill[i] = 0
		return true
	}
	return walk(0)
}

func (s *search) run() bool {
	p, shapes := s.p, len(s.p.Shapes)
	total := int32(0)
	for i := range p.Shapes {
		total += p.Shapes[i].Count
	}
	s.best = make([][]int32, len(s.digits)/max(1, shapes))
	if shapes == 0 {
		s.best = make([][]int32, 1)
	}
	zones := uint64(0)
	if p.Spread > 0 {
		for z, n := range p.Zones {
			zones |= uint64(n) << (8 * z)
		}
	}
	s.labels = append(s.labels, label{parent: -1, zones: zones})
	s.best[0] = []int32{0}
	for _, kind := range s.kinds {
		k := &p.Kinds[kind]
		s.byUsed, s.turns = k.Max < total, 1
		if p.Spread > 0 && !k.Promised {
			s.turns = int32(max(1, len(k.Zones)))
		}
		// Labels from which nodes of this kind are added.
		var front []int32
		for v := range s.best {
			front = append(front, s.best[v]...)
		}
		for _, at := range front {
			s.labels[at].used = 0
		}
		for n := int32(0); n < k.Max && len(front) > 0; n++ {
			var next []int32
			for _, at := range front {
				if s.labels[at].dead {
					continue
				}
				if !s.extend(at, kind, n, &next) {
					return false
				}
			}
			front = next
		}
		if s.byUsed || s.turns > 1 {
			s.settle()
		}
	}
	return true
}

// extend adds a node of a kind to a label, with every pattern.
func (s *search) extend(at int32, kind int, n int32, next *[]int32) bool {
	p, shapes := s.p, len(s.p.Shapes)
	k := &p.Kinds[kind]
	from := s.labels[at]
	base := label{cost: from.cost, money: from.money, nodes: from.nodes, used: n + 1, parent: at, kind: int32(kind), zones: from.zones, opened: from.opened, clusters: from.clusters}
	if !k.Promised {
		base.cost += k.Cost
		base.money += k.Money
		base.nodes++
		if i := slices.Index(s.fresh, k.Member); i >= 0 && base.opened&(1<<i) == 0 {
			m := &p.Members[k.Member]
			base.opened |= 1 << i
			base.cost += m.Fee
			base.money += m.Money
			base.clusters += m.Clusters
		}
		if p.Money >= 0 && base.money > p.Money || p.Nodes >= 0 && base.nodes > p.Nodes || p.Clusters >= 0 && base.clusters > p.Clusters {
			return true
		}
		if p.Spread > 0 && len(k.Zones) > 0 {
			base.zones += 1 << (8 * k.Zones[int(n)%len(k.Zones)])
		}
	}
	have := s.digits[int(from.state)*shapes : (int(from.state)+1)*shapes]
	pats := s.patterns[kind]
	s.budget -= len(pats) / max(1, shapes)
	if s.budget < 0 {
		return false
	}
	for i := 0; i+shapes <= len(pats); i += shapes {
		state, waiting := from.state, int64(0)
		for j, f := range pats[i : i+shapes] {
			if f = min(f, p.Shapes[j].Count-have[j]); f > 0 {
				state += f * s.stride[j]
				if !p.Shapes[j].Soft {
					waiting += int64(f)
				}
			}
		}
		if state == from.state {
			continue
		}
		l := base
		l.state, l.pattern = state, int32(i)
		l.cost += waiting * k.Wait
		if s.known >= 0 && l.cost+s.least[state] > s.known {
			continue
		}
		s.insert(l, next)
	}
	return true
}

// dominates reports whether nothing that b leads to is better than what a does.
func (s *search) dominates(a, b *label) bool {
	return a.cost <= b.cost && a.zones == b.zones && a.opened|b.opened == a.opened &&
		(a.cost < b.cost || a.nodes <= b.nodes) &&
		(!s.byMoney || a.money <= b.money) && (!s.byNodes || a.nodes <= b.nodes) &&
		(!s.byClusters || a.clusters <= b.clusters) && (!s.byUsed || a.used <= b.used) &&
		(s.turns == 1 || a.used%s.turns == b.used%s.turns)
}

func (s *search) insert(l label, next *[]int32) {
	list := s.best[l.state]
	s.budget -= len(list) / 4
	for _, i := range list {
		if s.dominates(&s.labels[i], &l) {
			return
		}
	}
	kept := list[:0]
	for _, i := range list {
		if s.dominates(&l, &s.labels[i]) {
			s.labels[i].dead = true
			continue
		}
		kept = append(kept, i)
	}
	at := int32(len(s.labels))
	s.labels = append(s.labels, l)
	s.best[l.state] = append(kept, at)
	*next = append(*next, at)
}

// settle drops labels that were kept only because they used fewer nodes of a
// kind, when that does not count any more.
func (s *search) settle() {
	s.byUsed, s.turns = false, 1
	for v, list := range s.best {
		var kept []int32
		for _, i := range list {
			s.labels[i].used = 0
			if slices.ContainsFunc(kept, func(j int32) bool { return s.dominates(&s.labels[j], &s.labels[i]) }) {
				continue
			}
			kept = slices.DeleteFunc(kept, func(j int32) bool { return s.dominates(&s.labels[i], &s.labels[j]) })
			kept = append(kept, i)
		}
		s.best[v] = kept
	}
}

// solution returns the best label as a solution.
func (s *search) solution() *Solution {
	p, shapes := s.p, len(s.p.Shapes)
	bestAt, bestCost := int32(-1), int64(0)
	for v := range s.best {
		for _, i := range s.best[v] {
			l := &s.labels[i]
			cost := l.cost
			for k := range p.Shapes {
				if p.Shapes[k].Soft {
					cost += int64(p.Shapes[k].Count-s.digits[v*shapes+k]) * p.Shapes[k].Outside
				}
			}
			if p.Spread > 0 {
				zones := make([]int32, len(p.Zones))
				for z := range zones {
					zones[z] = int32(l.zones >> (8 * z) & 255)
				}
				cost += p.Spread * imbalance(zones)
			}
			if bestAt < 0 || s.compare(l, cost, &s.labels[bestAt], bestCost) < 0 {
				bestAt, bestCost = i, cost
			}
		}
	}
	var nodes []Node
	for at := bestAt; s.labels[at].parent >= 0; at = s.labels[at].parent {
		l := &s.labels[at]
		from := s.labels[l.parent].state
		n := Node{Kind: int(l.kind), Fill: make([]int32, shapes), Count: 1}
		for k := range p.Shapes {
			n.Fill[k] = s.digits[int(l.state)*shapes+k] - s.digits[int(from)*shapes+k]
		}
		nodes = append(nodes, n)
	}
	out := p.price(tidy(nodes))
	out.Exact = true
	return out
}

func (s *search) compare(a *label, costA int64, b *label, costB int64) int {
	shapes := len(s.p.Shapes)
	for k := range s.p.Shapes {
		if s.p.Shapes[k].Soft {
			continue
		}
		x, y := s.digits[int(a.state)*shapes+k], s.digits[int(b.state)*shapes+k]
		if x != y {
			return cmp.Compare(y, x)
		}
	}
	return cmp.Or(cmp.Compare(costA, costB), cmp.Compare(a.nodes, b.nodes))
}
