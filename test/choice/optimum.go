package choice

import (
	"slices"
)

// scale of costs: hundredths of money times hundredths of weight times minutes
// make ten-thousandths.
const scale = 10_000

// An Answer is how many nodes of each offering to rent, which replicas have a
// place then, and what it costs in ten-thousandths, by the weights.
type Answer struct {
	Nodes  []int
	Placed []int
	Cost   int
}

// better compares answers: replicas of the first workload count before those of
// the second, and cost comes last.
func (a *Answer) better(b *Answer) bool {
	if b == nil {
		return true
	}
	if d := slices.Compare(a.Placed, b.Placed); d != 0 {
		return d > 0
	}
	return a.Cost < b.Cost
}

// coverage is what a set of nodes can hold: numbers of replicas by workload,
// each with the least that waiting for it costs.
type coverage map[[4]int8]int

// Optimum finds the best answer by trying every number of nodes of every
// offering.
func Optimum(c *Case) *Answer {
	s := &searcher{Case: c, nodes: make([]int, len(c.Offerings)), patterns: make([][][4]int8, len(c.Offerings))}
	for o := range c.Offerings {
		s.patterns[o] = s.fills(o)
	}
	s.try(0, coverage{[4]int8{}: 0})
	return s.best
}

// Judge returns what the given nodes are good for, or false if they pass a
// limit.
func Judge(c *Case, nodes []int) (*Answer, bool) {
	s := &searcher{Case: c, nodes: nodes, patterns: make([][][4]int8, len(c.Offerings))}
	cov := coverage{[4]int8{}: 0}
	for o, n := range nodes {
		if n > c.Offerings[o].Max || n > 0 && c.Offerings[o].OutOfStock {
			return nil, false
		}
		s.patterns[o] = s.fills(o)
		for range n {
			cov = s.add(cov, o)
		}
	}
	if !s.allowed() {
		return nil, false
	}
	s.leaf(cov)
	return s.best, true
}

type searcher struct {
	*Case
	nodes    []int
	patterns [][][4]int8
	best     *Answer
}

// fills are all numbers of replicas that one node of an offering holds.
func (s *searcher) fills(o int) [][4]int8 {
	var out [][4]int8
	var walk func(w int, cpu, mib, gpu int64, f [4]int8)
	walk = func(w int, cpu, mib, gpu int64, f [4]int8) {
		if w == len(s.Workloads) {
			out = append(out, f)
			return
		}
		x := &s.Workloads[w]
		for n := int64(0); n <= int64(x.Replicas); n++ {
			if n*x.MilliCPU > cpu || n*x.MiB > mib || n*x.GPU > gpu || n > 0 && !s.runs(w, o) || n > 1 && x.Apart {
				break
			}
			f[w] = int8(n)
			walk(w+1, cpu-n*x.MilliCPU, mib-n*x.MiB, gpu-n*x.GPU, f)
		}
	}
	of := &s.Offerings[o]
	walk(0, of.MilliCPU, of.MiB, of.GPU, [4]int8{})
	if s.Wait > 0 {
		return out
	}
	// Where nobody waits, only the fullest matter.
	return slices.DeleteFunc(slices.Clone(out), func(f [4]int8) bool {
		return slices.ContainsFunc(out, func(g [4]int8) bool { return f != g && covers(g, f) })
	})
}

func covers(a, b [4]int8) bool {
	return a[0] >= b[0] && a[1] >= b[1] && a[2] >= b[2] && a[3] >= b[3]
}

// add a node of an offering to a coverage.
func (s *searcher) add(cov coverage, o int) coverage {
	out := coverage{}
	for v, cost := range cov {
		for _, f := range s.patterns[o] {
			sum, waiting := v, 0
			for w := range s.Workloads {
				more := min(f[w], int8(s.Workloads[w].Replicas)-v[w])
				sum[w] += more
				waiting += int(more)
			}
			total := cost + waiting*s.Wait*s.Offerings[o].StartMinutes*scale/100
			if old, ok := out[sum]; !ok || total < old {
				out[sum] = total
			}
		}
	}
	if s.Wait > 0 {
		return out
	}
	for v := range out {
		for u := range out {
			if u != v && covers(u, v) {
				delete(out, v)
				break
			}
		}
	}
	return out
}

func (s *searcher) try(o int, cov coverage) {
	if o == len(s.Offerings) {
		s.leaf(cov)
		return
	}
	defer func() { s.nodes[o] = 0 }()
	for n := 0; ; n++ {
		s.nodes[o] = n
		if !s.allowed() {
			return
		}
		s.try(o+1, cov)
		if n == s.Offerings[o].Max || s.Offerings[o].OutOfStock {
			return
		}
		cov = s.add(cov, o)
	}
}

// allowed reports whether the limits allow the nodes.
func (s *searcher) allowed() bool {
	total, clusters, money := 0, 0, 0
	for i, cl := range s.Clusters {
		used := cl.Exists
		for o, n := range s.nodes {
			used = used || s.Offerings[o].Cluster == i && n > 0
		}
		if used {
			clusters++
			money += cl.Fee
		}
	}
	for o, n := range s.nodes {
		total += n
		money += n * s.Offerings[o].Price
	}
	if total == 0 {
		return true
	}
	return (s.MaxNodes < 0 || total <= s.MaxNodes) && (s.MaxClusters < 0 || clusters <= s.MaxClusters) && (s.MaxMoney < 0 || money <= s.MaxMoney)
}

// leaf compares what the nodes are good for with the best so far.
func (s *searcher) leaf(cov coverage) {
	cost := 0
	for i, cl := range s.Clusters {
		used := false
		for o, n := range s.nodes {
			used = used || s.Offerings[o].Cluster == i && n > 0
		}
		if used && !cl.Exists {
			cost += cl.Fee * s.Price
		}
	}
	zones := make([]int, len(zoneNames))
	known := make([]bool, len(zoneNames))
	for o, n := range s.nodes {
		of := &s.Offerings[o]
		weight := s.Price
		if of.Spot {
			weight += s.Interruption
		}
		cost += n * of.Price * weight
		for _, z := range of.Zones {
			known[z] = true
		}
		for i := range n {
			zones[of.Zones[i%len(of.Zones)]]++
		}
	}
	least, most := -1, 0
	for z, n := range zones {
		if known[z] && (least < 0 || n < least) {
			least = n
		}
		most = max(most, n)
	}
	cost += (most - max(0, least)) * s.Spread * scale / 100
	for v, waiting := range cov {
		a := &Answer{Nodes: slices.Clone(s.nodes), Cost: cost + waiting}
		for w := range s.Workloads {
			a.Placed = append(a.Placed, int(v[w]))
		}
		if a.better(s.best) && !s.idle(a) {
			s.best = a
		}
	}
}

// idle reports whether an answer has a node that is not needed. Such a node may
// even out the zones, but the planner rents none that holds nothing.
func (s *searcher) idle(a *Answer) bool {
	if s.Spread == 0 {
		return false
	}
	for drop, n := range a.Nodes {
		if n == 0 {
			continue
		}
		cov := coverage{[4]int8{}: 0}
		for o, n := range a.Nodes {
			if o == drop {
				n--
			}
			for range n {
				cov = s.add(cov, o)
			}
		}
		for v := range cov {
			enough := true
			for w, placed := range a.Placed {
				enough = enough && int(v[w]) >= placed
			}
			if enough {
				return true
			}
		}
	}
	return false
}
