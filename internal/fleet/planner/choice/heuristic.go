package choice

import (
	"math"
	"math/bits"
	"slices"
)

const (
	// attempts at packing everything, each with values corrected by the one
	// before.
	attempts = 30
	// tolledAttempts are made with each toll, and tollSteps to find the smallest.
	tolledAttempts = 8
	tollSteps      = 4
	// maxSubsets of new members that are tried each for itself.
	maxSubsets = 16
)

// approximate packs greedily, several times, and improves the best result.
func approximate(p *Problem) *Solution {
	var best *Solution
	keep := func(s *Solution) {
		if best == nil || p.better(s, best) {
			best = s
		}
	}
	promised := slices.ContainsFunc(p.Kinds, func(k Kind) bool { return k.Promised && k.Max > 0 })
	subsets := p.subsets()
	tolls := tolls(p)
	for _, closed := range subsets {
		for t, toll := range tolls {
			q := p.tolled(toll)
			g := newGreedy(q, closed)
			g.adaptive = t > 0
			for i := range max(4, attempts/len(subsets)/len(tolls)) {
				g.style = i % (styles - 1)
				if i%8 == 5 {
					g.style = styles - 1
				}
				nodes := g.construct()
				if promised {
					nodes = repair(p, nodes, closed)
				}
				if p.Spread > 0 {
					// To improve does not look at zones.
					keep(p.price(tidy(slices.Clone(nodes))))
				}
				keep(p.price(improve(q, nodes, closed).Nodes))
				g.correct(nodes)
				if promised && best.rented(p) == 0 && !best.Short(p) {
					// Everything has room on what is promised.
					return best
				}
			}
		}
	}
	if best.Short(p) {
		if p.Nodes > 0 {
			p.withFewer(subsets, keep)
		}
		for _, closed := range subsets {
			for rule := range rules {
				keep(improve(p, newGreedy(p, closed).byImportance(rule), closed))
			}
		}
	}
	return polish(p, best)
}

// tolls on nodes with which packing is tried. With one, fewer and larger nodes
// are taken: many small ones may look as good and leave nothing to share.
func tolls(p *Problem) []int64 {
	dearest := int64(0)
	for i := range p.Kinds {
		dearest = max(dearest, p.Kinds[i].Cost)
	}
	return []int64{0, dearest / 64, dearest / 16}
}

// tolled returns the problem with a toll on every node that is rented.
func (p *Problem) tolled(toll int64) *Problem {
	q := *p
	q.Kinds = slices.Clone(p.Kinds)
	for i := range q.Kinds {
		if !q.Kinds[i].Promised {
			q.Kinds[i].Cost += toll
		}
	}
	return &q
}

// withFewer packs with a toll on every node, so that fewer and larger ones are
// taken, and looks for the smallest toll with which everything has a place.
func (p *Problem) withFewer(subsets []map[int]bool, keep func(*Solution)) {
	cost := int64(1)
	for i := range p.Kinds {
		cost = max(cost, p.Kinds[i].Cost)
	}
	pack := func(toll int64) bool {
		// How many nodes everything needs is only seen without the limit.
		q := p.tolled(toll)
		q.Nodes = Unlimited
		all := false
		for _, closed := range subsets {
			g := newGreedy(q, closed)
			for i := range max(2, tolledAttempts/len(subsets)) {
				g.style = i % (styles - 1)
				nodes := g.construct()
				if t := p.price(improve(q, nodes, closed).Nodes); t.rented(p) <= p.Nodes {
					keep(t)
					all = all || !t.Short(p)
				}
				g.correct(nodes)
			}
		}
		return all
	}
	low, high := int64(0), max(1, cost/32)
	for !pack(high) {
		if high > 64*cost {
			return
		}
		low, high = high, 4*high
	}
	for range tollSteps {
		if mid := (low + high) / 2; pack(mid) {
			high = mid
		} else {
			low = mid
		}
	}
}

// subsets of new members, each as a set of those that stay closed.
func (p *Problem) subsets() []map[int]bool {
	var fresh []int
	for m := range p.Members {
		if !p.Members[m].free() {
			fresh = append(fresh, m)
		}
	}
	var out []map[int]bool
	if 1<<len(fresh) <= maxSubsets {
		for open := range 1 << len(fresh) {
			closed := map[int]bool{}
			for i, m := range fresh {
				if open&(1<<i) == 0 {
					closed[m] = true
				}
			}
			if p.Clusters < 0 || bits.OnesCount(uint(open)) <= int(p.Clusters) || len(fresh) == 0 {
				out = append(out, closed)
			}
		}
		return out
	}
	// All, none, and each alone.
	all := map[int]bool{}
	for _, m := range fresh {
		all[m] = true
	}
	out = append(out, map[int]bool{}, all)
	for _, open := range fresh {
		closed := map[int]bool{}
		for _, m := range fresh {
			closed[m] = m != open
		}
		out = append(out, closed)
	}
	return out
}

// A ledger is what limits still allow.
type ledger struct {
	p      *Problem
	closed map[int]bool
	left   []int32
	avail  []int32
	nodes  int32
	money  int64
	free   int32
	opened []bool
	// zones has the nodes of each zone, turn how many of a kind were taken.
	zones []int32
	turn  []int32
}

func newLedger(p *Problem, closed map[int]bool) *ledger {
	l := &ledger{
		p: p, closed: closed, opened: make([]bool, len(p.Members)), zones: slices.Clone(p.Zones), turn: make([]int32, len(p.Kinds)),
		nodes: math.MaxInt32, money: math.MaxInt64, free: math.MaxInt32,
	}
	for k := range p.Shapes {
		l.left = append(l.left, p.Shapes[k].Count)
	}
	for i := range p.Kinds {
		l.avail = append(l.avail, p.Kinds[i].Max)
	}
	for m := range p.Members {
		l.opened[m] = p.Members[m].free()
	}
	if p.Nodes >= 0 {
		l.nodes = p.Nodes
	}
	if p.Money >= 0 {
		l.money = p.Money
	}
	if p.Clusters >= 0 {
		l.free = p.Clusters
	}
	return l
}

// allowed returns how many more nodes of a kind the limits allow.
func (l *ledger) allowed(kind int) int32 {
	k := &l.p.Kinds[kind]
	n := l.avail[kind]
	if k.Promised || n == 0 {
		return n
	}
	if l.closed[k.Member] {
		return 0
	}
	money := l.money
	if !l.opened[k.Member] {
		m := &l.p.Members[k.Member]
		if m.Clusters > l.free {
			return 0
		}
		money -= m.Money
	}
	if money < 0 {
		return 0
	}
	n = min(n, l.nodes)
	if k.Money > 0 {
		n = int32(min(int64(n), money/k.Money))
	}
	return n
}

// next is the zone of the next node of a kind, or -1.
func (l *ledger) next(kind int) int {
	z := l.p.Kinds[kind].Zones
	if l.p.Spread == 0 || len(z) == 0 {
		return -1
	}
	return z[int(l.turn[kind])%len(z)]
}

// uneven is what the next node of a kind adds to the cost of the spread.
func (l *ledger) uneven(kind int) float64 {
	z := l.next(kind)
	if z < 0 {
		return 0
	}
	before := imbalance(l.zones)
	l.zones[z]++
	after := imbalance(l.zones)
	l.zones[z]--
	return float64(l.p.Spread * (after - before))
}

func (l *ledger) spend(n Node) {
	k := &l.p.Kinds[n.Kind]
	l.avail[n.Kind] -= n.Count
	for i, f := range n.Fill {
		l.left[i] -= f * n.Count
	}
	if k.Promised {
		return
	}
	for range n.Count {
		if z := l.next(n.Kind); z >= 0 {
			l.zones[z]++
		}
		l.turn[n.Kind]++
	}
	l.nodes -= n.Count
	l.money -= k.Money * int64(n.Count)
	if m := &l.p.Members[k.Member]; !l.opened[k.Member] {
		l.opened[k.Member] = true
		l.money -= m.Money
		l.free -= m.Clusters
	}
}

// A greedy packs node by node.
type greedy struct {
	p      *Problem
	closed map[int]bool
	style  int
	// value of a replica of each shape.
	value []float64
	// cost of a node of each kind. That of promised ones follows what they turn
	// out to hold, so that what suits them best goes there.
	cost     []float64
	adaptive bool
	// fills are what each kind would be filled with, good while as many are
	// left of each shape.
	fills [][]int32
	worth []float64
}

// The styles differ in what a replica is thought to take from a node: a part of
// what is left of all its resources, of the scarcest, or of what there was.
const styles = 3

func newGreedy(p *Problem, closed map[int]bool) *greedy {
	g := &greedy{p: p, closed: closed, value: make([]float64, len(p.Shapes)), fills: make([][]int32, len(p.Kinds)), worth: make([]float64, len(p.Kinds))}
	for k := range p.Kinds {
		g.cost = append(g.cost, float64(p.Kinds[k].Cost))
	}
	for i := range p.Shapes {
		best := math.Inf(1)
		for k := range p.Kinds {
			kind := &p.Kinds[k]
			if kind.Takes[i] && (!kind.Promised || kind.Cost > 0) && fits(kind.Room, p.Shapes[i].Size, 1) > 0 {
				best = min(best, math.Max(float64(kind.Cost), 1)*p.share(kind.Room, p.Shapes[i].Size))
			}
		}
		if math.IsInf(best, 1) {
			best = 1
		}
		g.value[i] = best
	}
	return g
}

// share returns the largest part of a room that a size takes.
func (p *Problem) share(room, size []int64) float64 {
	out := 1e-9
	for d, s := range size[:len(size)-p.Private] {
		if s > 0 && room[d] > 0 {
			out = max(out, float64(s)/float64(room[d]))
		}
	}
	return out
}

// construct packs all that the limits allow.
func (g *greedy) construct() []Node {
	p := g.p
	l := newLedger(p, g.closed)
	for k := range g.fills {
		g.fills[k] = nil
	}
	var nodes []Node
	for {
		best, ratio := -1, -1.0
		for k := range p.Kinds {
			if l.allowed(k) == 0 {
				continue
			}
			g.refresh(k, l.left)
			if g.worth[k] <= 0 {
				continue
			}
			promised := p.Kinds[k].Promised
			if !promised && !g.pays(k) {
				continue
			}
			r := g.worth[k] / max(g.costOf(k, l), 1e-3)
			if first := promised && (best < 0 || !p.Kinds[best].Promised); first || r > ratio && (promised || best < 0 || !p.Kinds[best].Promised) {
				best, ratio = k, r
			}
		}
		if best < 0 {
			return nodes
		}
		n := Node{Kind: best, Fill: slices.Clone(g.fills[best]), Count: l.allowed(best)}
		for i, f := range n.Fill {
			if f > 0 {
				n.Count = min(n.Count, l.left[i]/f)
			}
		}
		if l.next(best) >= 0 && !p.Kinds[best].Promised {
			// The next may be better in another zone.
			n.Count = 1
		}
		l.spend(n)
		nodes = append(nodes, n)
	}
}

// costOf a node of a kind, with what waiting there costs.
func (g *greedy) costOf(kind int, l *ledger) float64 {
	k := &g.p.Kinds[kind]
	cost := g.cost[kind]
	for i, f := range g.fills[kind] {
		if !g.p.Shapes[i].Soft {
			cost += float64(f) * float64(k.Wait)
		}
	}
	if !k.Promised {
		cost = max(0, cost+l.uneven(kind))
	}
	if !k.Promised && !l.opened[k.Member] {
		// The fee is shared by all that will be there; it decides between
		// subsets of members, not between nodes.
		cost += float64(g.p.Members[k.Member].Fee) / 16
	}
	return cost
}

// pays reports whether a node has something on it that must be placed, or is
// cheaper than what it takes over.
func (g *greedy) pays(kind int) bool {
	outside := int64(0)
	for i, f := range g.fills[kind] {
		if f > 0 && !g.p.Shapes[i].Soft {
			return true
		}
		outside += int64(f) * g.p.Shapes[i].Outside
	}
	return outside > g.p.Kinds[kind].Cost
}

// refresh fills a kind anew if the last fill is not to be had any more.
func (g *greedy) refresh(kind int, left []int32) {
	good := g.fills[kind] != nil
	for i, f := range g.fills[kind] {
		good = good && f <= left[i]
	}
	if good {
		return
	}
	g.fills[kind], g.worth[kind] = g.fill(kind, left)
}

// fill one node with the replicas that are worth most for what they take.
func (g *greedy) fill(kind int, left []int32) ([]int32, float64) {
	p, k := g.p, &g.p.Kinds[kind]
	out := make([]int32, len(p.Shapes))
	room := slices.Clone(k.Room)
	worth := 0.0
	open := make([]int, 0, len(p.Shapes))
	for i := range p.Shapes {
		if k.Takes[i] && left[i] > 0 {
			open = append(open, i)
		}
	}
	for {
		best, most, density := -1, int32(0), -1.0
		kept := open[:0]
		for _, i := range open {
			size := p.Shapes[i].Size
			n := fits(room, size, left[i]-out[i])
			if n == 0 {
				continue
			}
			kept = append(kept, i)
			take := 1e-12
			for d, s := range size[:len(size)-p.Private] {
				if s == 0 {
					continue
				}
				switch g.style {
				case 0:
					take += float64(s) / float64(room[d])
				case 1:
					take = max(take, float64(s)/float64(room[d]))
				default:
					take += float64(s) / float64(k.Room[d])
				}
			}
			if r := g.value[i] / take; r > density {
				best, most, density = i, n, r
			}
		}
		open = kept
		if best < 0 {
			return out, worth
		}
		// A few at a time: what is scarce changes on the way.
		n := max(1, most/4)
		out[best] += n
		worth += float64(n) * g.value[best]
		for d, s := range p.Shapes[best].Size {
			room[d] -= s * int64(n)
		}
	}
}

// correct the values: replicas that ended on nodes that are badly filled were
// worth more than was thought.
func (g *greedy) correct(nodes []Node) {
	sum, weight := make([]float64, len(g.value)), make([]float64, len(g.value))
	held, count := make([]float64, len(g.cost)), make([]float64, len(g.cost))
	for _, n := range nodes {
		if g.cost[n.Kind] <= 0 {
			continue
		}
		worth := 0.0
		for i, f := range n.Fill {
			worth += float64(f) * g.value[i]
		}
		if worth <= 0 {
			continue
		}
		held[n.Kind] += worth * float64(n.Count)
		count[n.Kind] += float64(n.Count)
		for i, f := range n.Fill {
			w := float64(f) * float64(n.Count)
			sum[i] += w * g.value[i] * g.cost[n.Kind] / worth
			weight[i] += w
		}
	}
	for k, n := range count {
		if n > 0 && g.adaptive && g.p.Kinds[k].Promised {
			g.cost[k] = (g.cost[k] + held[k]/n) / 2
		}
	}
	for i := range g.value {
		if weight[i] > 0 {
			g.value[i] = (g.value[i] + sum[i]/weight[i]) / 2
		}
		if placed := int32(weight[i]); placed < g.p.Shapes[i].Count && !g.p.Shapes[i].Soft {
			// Those that found no place are to be placed sooner.
			g.value[i] *= 1.3
		}
	}
}

// The rules by which nodes are chosen when not everything can be placed: least
// cost, least money, and fewest nodes for a replica.
const rules = 3

// byImportance packs shape after shape, and what is left on nodes is used by
// the following ones.
func (g *greedy) byImportance(rule int) []Node {
	p := g.p
	l := newLedger(p, g.closed)
	var nodes []Node
	rooms := [][]int64{}
	for i := range p.Shapes {
		size := p.Shapes[i].Size
		for j := range nodes {
			k := &p.Kinds[nodes[j].Kind]
			if !k.Takes[i] {
				continue
			}
			n := fits(rooms[j], size, l.left[i])
			nodes[j].Fill[i] += n
			l.left[i] -= n
			for d, s := range size {
				rooms[j][d] -= s * int64(n)
			}
		}
		for l.left[i] > 0 {
			best, score := -1, math.Inf(1)
			for k := range p.Kinds {
				kind := &p.Kinds[k]
				if !kind.Takes[i] || l.allowed(k) == 0 {
					continue
				}
				n := float64(fits(kind.Room, size, l.left[i]))
				if n == 0 {
					continue
				}
				cost := float64(kind.Cost) + n*float64(kind.Wait)
				switch {
				case kind.Promised:
					cost = -1
				case rule == 1:
					cost = float64(kind.Money)
				case rule == 2:
					cost = 1 + float64(kind.Cost)*1e-12
				}
				if p.Shapes[i].Soft && !kind.Promised && n*float64(p.Shapes[i].Outside) <= float64(kind.Cost) {
					continue
				}
				if cost/n < score {
					best, score = k, cost/n
				}
			}
			if best < 0 {
				break
			}
			n := Node{Kind: best, Fill: make([]int32, len(p.Shapes)), Count: 1}
			n.Fill[i] = fits(p.Kinds[best].Room, size, l.left[i])
			room := slices.Clone(p.Kinds[best].Room)
			for d, s := range size {
				room[d] -= s * int64(n.Fill[i])
			}
			l.spend(n)
			nodes, rooms = append(nodes, n), append(rooms, room)
		}
	}
	return nodes
}
