package joint

import (
	"cmp"
	"slices"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// counts of replicas by workload.
type counts [4]int8

// A Score is what a placement is worth: the replicas that run nowhere by
// priority, the highest first, but the lowest, and the weighted sum of the rest.
type Score struct {
	Unplaced []int64
	Sum      int64
	// Nowhere is how many replicas run nowhere, of all priorities.
	Nowhere int64
}

func (s *Score) compare(o *Score) int {
	return cmp.Or(slices.Compare(s.Unplaced, o.Unplaced), cmp.Compare(s.Sum, o.Sum))
}

// Figure is the score as one number: a replica counts as much as a hundred of
// the next lower priority.
func (s *Score) Figure(wt scheduler.Weights) float64 {
	out, each := float64(s.Sum), float64(wt.Unplaced)
	for _, n := range slices.Backward(s.Unplaced) {
		each *= 100
		out += float64(n) * each
	}
	return out
}

// A referee knows what fits in each member.
type referee struct {
	*Case
	weights scheduler.Weights
	// order in which pods come.
	order []int
	// fits has what each member holds, with the holes that it breaks.
	fits []map[counts]int
	// classes of priority of what waits, the highest first.
	classes []int
}

func newReferee(c *Case, wt scheduler.Weights) *referee {
	r := &referee{Case: c, weights: wt}
	for w := range c.Workloads {
		r.order = append(r.order, w)
		if c.Missing(w) > 0 {
			r.classes = append(r.classes, c.Workloads[w].Priority)
		}
	}
	slices.SortStableFunc(r.order, func(a, b int) int { return cmp.Compare(c.Workloads[b].Priority, c.Workloads[a].Priority) })
	slices.SortFunc(r.classes, func(a, b int) int { return cmp.Compare(b, a) })
	r.classes = slices.Compact(r.classes)
	for m := range c.Members {
		fits := map[counts]int{}
		f := newFleet(c, m)
		for _, w := range r.order {
			for range c.Workloads[w].Promised[m] {
				f.place(c, w)
			}
		}
		for i := range f.nodes {
			f.nodes[i].bare = 0
		}
		r.hold(m, 0, f, counts{}, fits)
		r.fits = append(r.fits, fits)
	}
	return r
}

// hold finds out what a member holds, workload by workload as their pods come.
func (r *referee) hold(m, at int, f *fleet, n counts, fits map[counts]int) {
	if at == len(r.order) {
		fits[n] = f.broken()
		return
	}
	w := r.order[at]
	r.hold(m, at+1, f, n, fits)
	if !r.open(m, w) {
		return
	}
	f = f.clone()
	for range r.Missing(w) {
		if !f.place(r.Case, w) {
			return
		}
		n[w]++
		r.hold(m, at+1, f, n, fits)
	}
}

// milli is what a replica counts as, in thousandths of a core: a core for 4 GiB,
// ten for a device.
func milli(w *Workload) int64 {
	return max(100, w.MilliCPU, w.MiB*1000/4096, w.GPU*10_000)
}

// local is what counts in a member costs there: distance from tier 0, and holes.
func (r *referee) local(m int, n counts, holes int) int64 {
	sum := int64(holes) * r.weights.Hole
	for w := range r.Workloads {
		sum += r.weights.Cloud * milli(&r.Workloads[w]) / 1000 * int64(n[w]) * int64(r.Members[m].Tier)
	}
	return sum
}

// final is what is added when all members are filled: left replicas, and the most
// that a workload which spreads has in one member.
func (r *referee) final(local int64, left, most counts) *Score {
	s := &Score{Sum: local, Unplaced: make([]int64, max(0, len(r.classes)-1))}
	for w := range r.Workloads {
		x := &r.Workloads[w]
		if r.Missing(w) == 0 {
			continue
		}
		if x.Skew > 0 {
			s.Sum += r.weights.Spread * int64(most[w])
		}
		running := min(int64(left[w]), int64(x.Leaving))
		nowhere := int64(left[w]) - running
		s.Sum += r.weights.Moving * running
		s.Nowhere += nowhere
		if class := slices.Index(r.classes, x.Priority); class < len(s.Unplaced) {
			s.Unplaced[class] += nowhere
		} else {
			s.Sum += r.weights.Unplaced * nowhere
		}
	}
	return s
}

// grow notes what workloads have in a member now.
func (r *referee) grow(most counts, m int, n counts) counts {
	for w := range r.Workloads {
		if r.Workloads[w].Skew == 0 {
			continue
		}
		have := r.assigned(m, w) + int(n[w])
		if r.Members[m].Draining {
			have = r.leaving(m, w)
		}
		most[w] = max(most[w], int8(have))
	}
	return most
}

// leaving replicas run in the first member that drains.
func (r *referee) leaving(m, w int) int {
	if m == slices.IndexFunc(r.Members, func(m Member) bool { return m.Draining }) {
		return r.Workloads[w].Leaving
	}
	return 0
}

// Optimum finds the best score by trying everything that each member holds.
func (r *referee) Optimum() *Score {
	type state struct{ left, most counts }
	start := state{}
	for w := range r.Workloads {
		start.left[w] = int8(r.Missing(w))
	}
	states := map[state]int64{start: 0}
	for m := range r.Members {
		next := map[state]int64{}
		for s, sum := range states {
			for n, holes := range r.fits[m] {
				t, ok := state{s.left, r.grow(s.most, m, n)}, true
				for w := range n {
					t.left[w] -= n[w]
					ok = ok && t.left[w] >= 0
				}
				if !ok {
					continue
				}
				total := sum + r.local(m, n, holes)
				if old, ok := next[t]; !ok || total < old {
					next[t] = total
				}
			}
		}
		states = next
	}
	var best *Score
	for s, sum := range states {
		if x := r.final(sum, s.left, s.most); best == nil || x.compare(best) < 0 {
			best = x
		}
	}
	return best
}

// Judge returns the score of a placement, or false if a member does not hold what
// it gets.
func (r *referee) Judge(placed []counts) (*Score, bool) {
	left, most, sum := counts{}, counts{}, int64(0)
	for w := range r.Workloads {
		left[w] = int8(r.Missing(w))
	}
	for m, n := range placed {
		holes, ok := r.fits[m][n]
		if !ok {
			return nil, false
		}
		for w := range n {
			left[w] -= n[w]
			if left[w] < 0 {
				return nil, false
			}
		}
		most = r.grow(most, m, n)
		sum += r.local(m, n, holes)
	}
	return r.final(sum, left, most), true
}
