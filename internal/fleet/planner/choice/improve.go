package choice

import (
	"cmp"
	"slices"
)

const (
	// polishRounds parts of a solution are solved exactly, each within
	// polishBudget steps and with the replicas of at most polishNodes nodes.
	polishRounds   = 16
	polishFailures = 2
	polishBudget   = 150_000
	polishNodes    = 8
	polishStates   = 2_000
)

// improve empties nodes into what is left on others, and takes the cheapest
// kind that holds what is on a node.
func improve(p *Problem, nodes []Node, closed map[int]bool) *Solution {
	nodes = consolidate(p, nodes)
	l := newLedger(p, closed)
	for _, n := range nodes {
		l.spend(n)
	}
	var out []Node
	for _, n := range nodes {
		for n.Count > 0 {
			k := &p.Kinds[n.Kind]
			best := n.Kind
			if !k.Promised {
				for c := range p.Kinds {
					if better := p.holdsCheaper(c, best, &n); better && l.opened[p.Kinds[c].Member] && l.swap(n.Kind, c) {
						best = c
					}
				}
			}
			one := Node{Kind: best, Fill: n.Fill, Count: n.Count}
			if best != n.Kind {
				one.Count = min(n.Count, l.avail[best])
				if d := p.Kinds[best].Money - k.Money; d > 0 {
					one.Count = int32(min(int64(one.Count), l.money/d))
				}
				l.avail[best] -= one.Count
				l.avail[n.Kind] += one.Count
				l.money += (k.Money - p.Kinds[best].Money) * int64(one.Count)
			}
			out = append(out, one)
			n.Count -= one.Count
		}
	}
	return p.price(tidy(merge(p, drop(p, out), l)))
}

// merge puts what is on two nodes onto a larger one, if that costs no more.
func merge(p *Problem, nodes []Node, l *ledger) []Node {
	nodes = tidy(nodes)
	for again := true; again; {
		again = false
		used := make([][]int64, len(nodes))
		for i, n := range nodes {
			used[i] = p.used(n.Fill)
		}
		gone := make([]bool, len(nodes))
		var made []Node
		for a := range nodes {
			for b := a; b < len(nodes) && !gone[a]; b++ {
				if gone[b] || p.Kinds[nodes[a].Kind].Promised || p.Kinds[nodes[b].Kind].Promised {
					continue
				}
				count := min(nodes[a].Count, nodes[b].Count)
				if a == b {
					count = nodes[a].Count / 2
				}
				c := -1
				if count > 0 {
					c = p.larger(nodes[a], nodes[b], used[a], used[b], l)
				}
				if c < 0 {
					continue
				}
				count = min(count, l.avail[c])
				fill := slices.Clone(nodes[a].Fill)
				for i, f := range nodes[b].Fill {
					fill[i] += f
				}
				made = append(made, Node{Kind: c, Fill: fill, Count: count})
				l.avail[c] -= count
				for _, i := range []int{a, b} {
					l.avail[nodes[i].Kind] += count
					l.money += p.Kinds[nodes[i].Kind].Money * int64(count)
					nodes[i].Count -= count
				}
				l.money -= p.Kinds[c].Money * int64(count)
				again = true
				gone[a], gone[b] = nodes[a].Count == 0, nodes[b].Count == 0
			}
		}
		nodes = tidy(append(slices.DeleteFunc(nodes, func(n Node) bool { return n.Count == 0 }), made...))
	}
	return nodes
}

// larger returns the cheapest kind that holds what is on two nodes for no more
// than they cost, or -1.
func (p *Problem) larger(a, b Node, usedA, usedB []int64, l *ledger) int {
	x, y := &p.Kinds[a.Kind], &p.Kinds[b.Kind]
	best := -1
next:
	for c := range p.Kinds {
		k := &p.Kinds[c]
		if k.Promised || l.avail[c] == 0 || !l.opened[k.Member] || k.Cost > x.Cost+y.Cost || k.Money > x.Money+y.Money || k.Wait > min(x.Wait, y.Wait) {
			continue
		}
		if best >= 0 && k.Cost >= p.Kinds[best].Cost {
			continue
		}
		for d, room := range k.Room {
			if usedA[d]+usedB[d] > room {
				continue next
			}
		}
		for i := range a.Fill {
			if !k.Takes[i] && a.Fill[i]+b.Fill[i] > 0 {
				continue next
			}
		}
		best = c
	}
	return best
}

// used returns what the replicas on a node take.
func (p *Problem) used(fill []int32) []int64 {
	var out []int64
	for i, f := range fill {
		if out == nil {
			out = make([]int64, len(p.Shapes[i].Size))
		}
		for d, s := range p.Shapes[i].Size {
			out[d] += s * int64(f)
		}
	}
	return out
}

// swap reports whether one node of a kind may be replaced by one of another.
func (l *ledger) swap(from, to int) bool {
	return l.avail[to] > 0 && l.money >= l.p.Kinds[to].Money-l.p.Kinds[from].Money
}

// holdsCheaper reports whether nodes of kind c hold what is on n for less than
// those of kind than.
func (p *Problem) holdsCheaper(c, than int, n *Node) bool {
	a, b := &p.Kinds[c], &p.Kinds[than]
	if a.Promised || c == than {
		return false
	}
	waiting := int64(0)
	for i, f := range n.Fill {
		if f > 0 && !a.Takes[i] {
			return false
		}
		if !p.Shapes[i].Soft {
			waiting += int64(f)
		}
	}
	if a.Cost+waiting*a.Wait >= b.Cost+waiting*b.Wait {
		return false
	}
	return p.holds(a, n.Fill)
}

func (p *Problem) holds(k *Kind, fill []int32) bool {
	for d, room := range k.Room {
		for i, f := range fill {
			room -= p.Shapes[i].Size[d] * int64(f)
		}
		if room < 0 {
			return false
		}
	}
	return true
}

// drop nodes whose replicas could stay where they are for less.
func drop(p *Problem, nodes []Node) []Node {
	return slices.DeleteFunc(nodes, func(n Node) bool {
		outside := int64(0)
		for i, f := range n.Fill {
			if f > 0 && !p.Shapes[i].Soft {
				return false
			}
			outside += int64(f) * p.Shapes[i].Outside
		}
		return !p.Kinds[n.Kind].Promised && outside <= p.Kinds[n.Kind].Cost
	})
}

// consolidate takes nodes that hold least for their cost, and moves what is on
// them to others, if all of it finds room there.
func consolidate(p *Problem, nodes []Node) []Node {
	type bin struct {
		Node
		room []int64
		full float64
	}
	var bins []*bin
	for _, n := range nodes {
		k := &p.Kinds[n.Kind]
		room := slices.Clone(k.Room)
		full := 0.0
		for d := range room {
			for i, f := range n.Fill {
				room[d] -= p.Shapes[i].Size[d] * int64(f)
			}
			if k.Room[d] > 0 {
				full = max(full, 1-float64(room[d])/float64(k.Room[d]))
			}
		}
		for range n.Count {
			bins = append(bins, &bin{Node: Node{Kind: n.Kind, Fill: n.Fill, Count: 1}, room: room, full: full})
		}
	}
	order := slices.Clone(bins)
	slices.SortStableFunc(order, func(a, b *bin) int { return cmp.Compare(a.full, b.full) })
	for _, b := range order[:min(len(order), 16)] {
		if p.Kinds[b.Kind].Promised {
			continue
		}
		moves := map[*bin][]int32{}
		rest := slices.Clone(b.Fill)
		for i := range rest {
			for _, to := range bins {
				if rest[i] == 0 {
					break
				}
				if to == b || to.Count == 0 || !p.Kinds[to.Kind].Takes[i] {
					continue
				}
				room := to.room
				if m := moves[to]; m != nil {
					room = slices.Clone(room)
					for j, f := range m {
						for d, s := range p.Shapes[j].Size {
							room[d] -= s * int64(f)
						}
					}
				}
				if n := fits(room, p.Shapes[i].Size, rest[i]); n > 0 {
					if moves[to] == nil {
						moves[to] = make([]int32, len(rest))
					}
					moves[to][i] += n
					rest[i] -= n
				}
			}
		}
		if slices.ContainsFunc(rest, func(n int32) bool { return n > 0 }) {
			continue
		}
		for to, m := range moves {
			to.Fill, to.room = slices.Clone(to.Fill), slices.Clone(to.room)
			for i, f := range m {
				to.Fill[i] += f
				for d, s := range p.Shapes[i].Size {
					to.room[d] -= s * int64(f)
				}
			}
		}
		b.Count = 0
	}
	var out []Node
	for _, b := range bins {
		if b.Count > 0 {
			out = append(out, b.Node)
		}
	}
	return tidy(out)
}

// polish takes parts of a solution, those that cost most for what they hold
// first, and solves them exactly.
func polish(p *Problem, s *Solution) *Solution {
	failed := 0
	for round := range polishRounds {
		part, rest := p.part(s, round)
		if part == nil || failed > polishFailures {
			break
		}
		sub := p.without(s, part, rest)
		better, ok := exact(sub, polishBudget)
		if !ok {
			failed++
			continue
		}
		joined := p.price(tidy(append(rest, better.Nodes...)))
		if p.better(joined, s) {
			s = joined
		}
	}
	return s
}

// part chooses nodes whose replicas, with those that have no place, are few
// enough to be placed anew exactly.
func (p *Problem) part(s *Solution, round int) (part, rest []Node) {
	type ranked struct {
		Node
		waste float64
	}
	var all []ranked
	for _, n := range s.Nodes {
		k := &p.Kinds[n.Kind]
		full := 0.0
		for d, room := range k.Room {
			used := int64(0)
			for i, f := range n.Fill {
				used += p.Shapes[i].Size[d] * int64(f)
			}
			if room > 0 {
				full = max(full, float64(used)/float64(room))
			}
		}
		for range min(n.Count, polishNodes) {
			one := n
			one.Count = 1
			all = append(all, ranked{one, 1 - full})
		}
		if more := n.Count - polishNodes; more > 0 {
			n.Count = more
			rest = append(rest, n)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return -cmp.Compare(a.waste, b.waste) })
	counts := slices.Clone(s.Left)
	states := func(add []int32) int {
		n := 1
		for i := range counts {
			n = min(polishStates+1, n*int(counts[i]+add[i]+1))
		}
		return n
	}
	// The first rounds begin with the worst node, later ones with the others.
	taken := make([]bool, len(all))
	for j := range all {
		at := (j + round*(1+len(all)/polishRounds)) % len(all)
		if j == 0 && round > 0 {
			// One bad node is always among them.
			if states(all[0].Fill) <= polishStates {
				taken[0] = true
				part = append(part, all[0].Node)
				for i, f := range all[0].Fill {
					counts[i] += f
				}
			}
		}
		if taken[at] || len(part) >= polishNodes || states(all[at].Fill) > polishStates {
			continue
		}
		taken[at] = true
		part = append(part, all[at].Node)
		for i, f := range all[at].Fill {
			counts[i] += f
		}
	}
	for j := range all {
		if !taken[j] {
			rest = append(rest, all[j].Node)
		}
	}
	if len(part) == 0 {
		return nil, nil
	}
	return part, rest
}

// without returns the problem that is left when the rest of a solution stays.
func (p *Problem) without(s *Solution, part, rest []Node) *Problem {
	l := newLedger(p, nil)
	for _, n := range rest {
		l.spend(n)
	}
	sub := *p
	sub.Shapes = slices.Clone(p.Shapes)
	for i := range sub.Shapes {
		sub.Shapes[i].Count = s.Left[i]
		for _, n := range part {
			sub.Shapes[i].Count += n.Fill[i] * n.Count
		}
	}
	sub.Kinds = slices.Clone(p.Kinds)
	for i := range sub.Kinds {
		sub.Kinds[i].Max = l.avail[i]
	}
	sub.Members = slices.Clone(p.Members)
	for m := range sub.Members {
		if l.opened[m] {
			sub.Members[m] = Member{}
		}
	}
	if p.Nodes >= 0 {
		sub.Nodes = l.nodes
	}
	if p.Money >= 0 {
		sub.Money = l.money
	}
	if p.Clusters >= 0 {
		sub.Clusters = l.free
	}
	if p.Spread > 0 {
		sub.Zones = slices.Clone(p.Zones)
		for _, n := range rest {
			k := &p.Kinds[n.Kind]
			for i := range n.Count {
				if len(k.Zones) > 0 && !k.Promised {
					sub.Zones[k.Zones[int(i)%len(k.Zones)]]++
				}
			}
		}
	}
	return &sub
}

const (
	// repairs is for how many replicas without a place repair looks, and
	// repairSteps how many nodes it looks at.
	repairs     = 100
	repairSteps = 2_000_000
)

// repair finds room for a few replicas that have none, or only on nodes to rent:
// another replica makes room for each of them, and goes to a third node.
func repair(p *Problem, nodes []Node, closed map[int]bool) []Node {
	l := newLedger(p, closed)
	var bins []Node
	var rooms [][]int64
	for _, n := range nodes {
		k := &p.Kinds[n.Kind]
		if !k.Promised {
			// These are chosen anew.
			continue
		}
		l.spend(n)
		for range n.Count {
			room := slices.Clone(k.Room)
			for d, u := range p.used(n.Fill) {
				room[d] -= u
			}
			bins = append(bins, Node{Kind: n.Kind, Fill: slices.Clone(n.Fill), Count: 1})
			rooms = append(rooms, room)
		}
	}
	left := int32(0)
	for _, n := range l.left {
		left += n
	}
	if left == 0 || left > repairs {
		return nodes
	}
	move := func(i, bin int, n int32) {
		bins[bin].Fill[i] += n
		for d, s := range p.Shapes[i].Size {
			rooms[bin][d] -= s * int64(n)
		}
	}
	steps := 0
	find := func(i, not int) int {
		for b := range bins {
			if steps++; b != not && p.Kinds[bins[b].Kind].Takes[i] && fits(rooms[b], p.Shapes[i].Size, 1) > 0 {
				return b
			}
		}
		return -1
	}
	for i := range l.left {
	next:
		for l.left[i] > 0 {
			if b := find(i, -1); b >= 0 {
				move(i, b, 1)
				l.left[i]--
				continue
			}
			for b := range bins {
				if !p.Kinds[bins[b].Kind].Takes[i] || steps > repairSteps {
					continue
				}
				for j, f := range bins[b].Fill {
					if f == 0 || j == i {
						continue
					}
					move(j, b, -1)
					if fits(rooms[b], p.Shapes[i].Size, 1) > 0 {
						if to := find(j, b); to >= 0 {
							move(i, b, 1)
							move(j, to, 1)
							l.left[i]--
							continue next
						}
					}
					move(j, b, 1)
				}
			}
			break
		}
	}
	rest := *p
	rest.Shapes, rest.Kinds = slices.Clone(p.Shapes), slices.Clone(p.Kinds)
	for i := range rest.Shapes {
		rest.Shapes[i].Count = l.left[i]
	}
	for i := range rest.Kinds {
		if rest.Kinds[i].Promised {
			rest.Kinds[i].Max = 0
		}
	}
	return append(tidy(bins), newGreedy(&rest, closed).construct()...)
}
