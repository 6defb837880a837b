// Package choice decides which nodes to rent for replicas that only care about
// the node they run on. It knows nothing of Kubernetes: sizes are vectors of
// numbers, money is an integer.
//
// # What is best
//
// As many replicas as possible have a place, those of the first shape before
// those of the second, and so on. Of all choices that place as many, the one
// with the lowest cost wins, of those the one with the fewest nodes. No node is
// rented that holds nothing, though it might even out the zones.
//
// # How it is found
//
// Small problems are solved exactly, by dynamic programming over how many
// replicas of each shape are covered. Larger ones are packed greedily with
// values for the shapes that are corrected from one attempt to the next, and
// improved by solving parts of them exactly. Both are deterministic.
package choice

import (
	"cmp"
	"slices"
)

// A Shape is replicas that are alike.
type Shape struct {
	// Size in each resource, >= 0.
	Size []int64
	// Count of replicas.
	Count int32
	// Soft replicas have a place already, which costs Outside each. The others
	// must be placed if they can.
	Soft    bool
	Outside int64
}

// A Kind is nodes that are alike.
type Kind struct {
	// Room in each resource.
	Room []int64
	// Takes says for each shape whether it may run there.
	Takes []bool
	// Max number of nodes.
	Max int32
	// Promised nodes are on their way already: they cost nothing, and are in no
	// limit.
	Promised bool
	// Cost of a node, by which nodes are compared, and Money of it, which counts
	// against the limit. Of a promised node it only says what it is worth.
	Cost, Money int64
	// Wait is what it costs to place a replica there that is not Soft.
	Wait int64
	// Member that the nodes are of.
	Member int
	// Zones of the nodes, in turn; indices into Problem.Zones.
	Zones []int
}

// A Member is a cluster. Fee and Money are as of a Kind; they are due, and
// Clusters count, with the first node.
type Member struct {
	Fee, Money int64
	Clusters   int32
}

func (m Member) free() bool { return m.Fee == 0 && m.Money == 0 && m.Clusters == 0 }

// Unlimited is a limit that forbids nothing.
const Unlimited = -1

// A Problem is replicas to place and nodes to rent.
type Problem struct {
	// Shapes, the most important first.
	Shapes []Shape
	// Private resources are the last ones: a node has one of each, and a replica
	// that asks for it keeps others away, but takes nothing of the node.
	Private int
	Kinds   []Kind
	Members []Member
	// Limits; Unlimited if there is none. Others are >= 0.
	Nodes, Clusters int32
	Money           int64
	// Spread is the cost of each node by which the fullest zone has more than
	// the emptiest. Zones has the nodes that each has already.
	Spread int64
	Zones  []int32
}

// A Node is one or several nodes with the same replicas.
type Node struct {
	// Kind by index.
	Kind int
	// Fill has the replicas of each shape.
	Fill []int32
	// Count of such nodes.
	Count int32
}

// A Solution of a problem.
type Solution struct {
	// Nodes that are used, promised ones included.
	Nodes []Node
	// Left has for each shape the replicas that are not placed.
	Left []int32
	// Cost as defined by the problem.
	Cost int64
	// Exact says that no choice is better.
	Exact bool
}

// Short reports whether replicas have no place that should have one.
func (s *Solution) Short(p *Problem) bool {
	for i, n := range s.Left {
		if n > 0 && !p.Shapes[i].Soft {
			return true
		}
	}
	return false
}

// rented returns the number of nodes that are not promised.
func (s *Solution) rented(p *Problem) int32 {
	n := int32(0)
	for _, x := range s.Nodes {
		if !p.Kinds[x.Kind].Promised {
			n += x.Count
		}
	}
	return n
}

// Better compares two solutions of a problem.
func (p *Problem) better(a, b *Solution) bool {
	for k := range p.Shapes {
		if !p.Shapes[k].Soft && a.Left[k] != b.Left[k] {
			return a.Left[k] < b.Left[k]
		}
	}
	if a.Cost != b.Cost {
		return a.Cost < b.Cost
	}
	return a.rented(p) < b.rented(p)
}

// price computes the cost of nodes, and what is left.
func (p *Problem) price(nodes []Node) *Solution {
	s := &Solution{Nodes: nodes, Left: make([]int32, len(p.Shapes))}
	for k := range p.Shapes {
		s.Left[k] = p.Shapes[k].Count
	}
	opened := make([]bool, len(p.Members))
	zones := slices.Clone(p.Zones)
	turn := map[int]int{}
	for _, n := range nodes {
		kind := &p.Kinds[n.Kind]
		for k, f := range n.Fill {
			s.Left[k] -= f * n.Count
			if !p.Shapes[k].Soft {
				s.Cost += int64(f) * int64(n.Count) * kind.Wait
			}
		}
		if kind.Promised {
			continue
		}
		s.Cost += kind.Cost * int64(n.Count)
		if !opened[kind.Member] {
			opened[kind.Member] = true
			s.Cost += p.Members[kind.Member].Fee
		}
		for range n.Count {
			if len(kind.Zones) > 0 {
				zones[kind.Zones[turn[n.Kind]%len(kind.Zones)]]++
				turn[n.Kind]++
			}
		}
	}
	for k := range p.Shapes {
		if p.Shapes[k].Soft {
			s.Cost += int64(s.Left[k]) * p.Shapes[k].Outside
		}
	}
	s.Cost += p.Spread * imbalance(zones)
	return s
}

func imbalance(zones []int32) int64 {
	if len(zones) == 0 {
		return 0
	}
	return int64(slices.Max(zones) - slices.Min(zones))
}

// Solve a problem.
func Solve(p *Problem) *Solution {
	if s, ok := exact(p, exactBudget); ok {
		return s
	}
	return approximate(p)
}

// Fits returns how many more of a shape have room, at most limit.
func fits(room, size []int64, limit int32) int32 {
	n := limit
	for d, s := range size {
		if s <= 0 {
			continue
		}
		if m := room[d] / s; m < int64(n) {
			n = int32(max(0, m))
		}
	}
	return n
}

// tidy joins nodes that are alike, those of the first kinds first.
func tidy(nodes []Node) []Node {
	slices.SortStableFunc(nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), -slices.Compare(a.Fill, b.Fill))
	})
	var out []Node
	for _, n := range nodes {
		if i := len(out) - 1; i >= 0 && out[i].Kind == n.Kind && slices.Equal(out[i].Fill, n.Fill) {
			out[i].Count += n.Count
			continue
		}
		if n.Count > 0 {
			out = append(out, n)
		}
	}
	return out
}

// Alone returns what it would cost to have all that a solution rents on nodes
// of one kind, however many, packed greedily. It is false if some of it does not
// fit there.
func Alone(p *Problem, s *Solution, kind int) (int64, bool) {
	sub := &Problem{Shapes: slices.Clone(p.Shapes), Private: p.Private, Kinds: []Kind{p.Kinds[kind]}, Members: p.Members, Nodes: Unlimited, Clusters: Unlimited, Money: Unlimited, Zones: p.Zones}
	total := int32(0)
	for i := range sub.Shapes {
		sub.Shapes[i].Count, sub.Shapes[i].Soft = 0, false
		for _, n := range s.Nodes {
			if !p.Kinds[n.Kind].Promised {
				sub.Shapes[i].Count += n.Fill[i] * n.Count
			}
		}
		total += sub.Shapes[i].Count
	}
	sub.Kinds[0].Max = total
	out := sub.price(newGreedy(sub, nil).construct())
	return out.Cost, !slices.ContainsFunc(out.Left, func(n int32) bool { return n > 0 })
}

// Rented replicas of a solution are on nodes that are not promised.
func Rented(p *Problem, s *Solution) (replicas int32, cost int64) {
	opened := map[int]bool{}
	for _, n := range s.Nodes {
		k := &p.Kinds[n.Kind]
		if k.Promised {
			continue
		}
		for i, f := range n.Fill {
			replicas += f * n.Count
			if !p.Shapes[i].Soft {
				cost += int64(f) * int64(n.Count) * k.Wait
			}
		}
		cost += k.Cost * int64(n.Count)
		if !opened[k.Member] {
			opened[k.Member] = true
			cost += p.Members[k.Member].Fee
		}
	}
	return replicas, cost
}
