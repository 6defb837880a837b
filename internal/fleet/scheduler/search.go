package scheduler

import (
	"slices"
)

// manyShares is how many shares of an entry are tried in full; of more, only some
// are.
const manyShares = 1000

// A share is counts for the lanes of an entry, and what they cost.
type share struct {
	counts []int32
	cost   cost
}

// A search tries shares, entry by entry in the order in which the pods will come,
// and leaves out what cannot be better than the best.
type search struct {
	*joint
	// free entries may change, the others keep their counts. All are free if it
	// is nil.
	free  []bool
	fixed [][]int32
	// at is where the search stands in each lane, with these counts at this cost.
	at     []*spot
	counts [][]int32
	sum    cost
	// least has for each entry what it and those after it cost at least.
	least []cost
	// limit is how many shares may still be tried.
	limit int
}

// try looks for a better placement in which only free entries change.
func (j *joint) try(free []bool, limit int) error {
	s := &search{
		joint: j, at: j.roots(), free: free, fixed: j.best, limit: limit, sum: make(cost, j.classes),
		counts: make([][]int32, len(j.entries)), least: make([]cost, len(j.entries)+1),
	}
	s.least[len(j.entries)] = make(cost, j.classes)
	for i := len(j.entries) - 1; i >= 0; i-- {
		c := slices.Clone(s.least[i+1])
		if free == nil || free[i] {
			c.add(j.entries[i].least)
		} else {
			c.add(j.cost(j.entries[i], j.best[i]))
		}
		s.least[i] = c
	}
	return s.walk(0)
}

// walk tries all shares of entry i and those after it.
func (s *search) walk(i int) error {
	if i == len(s.entries) {
		return s.arrive()
	}
	if s.free != nil && !s.free[i] {
		return s.take(i, share{s.fixed[i], s.cost(s.entries[i], s.fixed[i])})
	}
	e := s.entries[i]
	rooms := make([]int32, len(e.lanes))
	for k, l := range e.lanes {
		room, ok, err := s.room(s.lanes[l], s.at[l], i, e.missing, false)
		if !ok || err != nil {
			return err
		}
		rooms[k] = room
	}
	for _, sh := range s.shares(e, rooms) {
		if s.limit <= 0 || s.over() {
			return nil
		}
		s.limit--
		s.steps--
		if !s.promising(sh.cost, s.least[i+1]) {
			// The others cost more still, or as much.
			return nil
		}
		if err := s.take(i, sh); err != nil {
			return err
		}
	}
	return nil
}

// promising reports whether a placement with these costs on top could be better
// than the best.
func (s *search) promising(costs ...cost) bool {
	total := slices.Clone(s.sum)
	for _, c := range costs {
		total.add(c)
	}
	return total.less(s.bestCost)
}

// take goes on with a share of entry i.
func (s *search) take(i int, sh share) error {
	e := s.entries[i]
	for k, l := range e.lanes {
		s.at[l] = s.at[l].step(i, sh.counts[k])
	}
	s.sum.add(sh.cost)
	s.counts[i] = sh.counts
	err := s.walk(i + 1)
	s.sum.sub(sh.cost)
	for k, l := range e.lanes {
		if sh.counts[k] > 0 {
			s.at[l] = s.at[l].up
		}
	}
	return err
}

// arrive compares a placement of all entries with the best.
func (s *search) arrive() error {
	total := slices.Clone(s.sum)
	for k, l := range s.lanes {
		if s.free == nil && len(l.gifted) == 0 {
			// All that was asked for has room.
			continue
		}
		if !total.less(s.bestCost) {
			return nil
		}
		n, ok, err := s.holes(l, s.at[k])
		if !ok || err != nil {
			return err
		}
		total[len(total)-1] += n * l.hole
	}
	if total.less(s.bestCost) {
		s.best, s.bestCost = slices.Clone(s.counts), total
	}
	return nil
}

// shares of an entry in lanes with these rooms, the cheapest first. If there are
// too many, it is filled tier by tier, with less in one lane than there could be.
func (s *search) shares(e *entry, rooms []int32) []share {
	all := 1
	for _, n := range rooms {
		if all *= int(n) + 1; all > manyShares {
			break
		}
	}
	var out []share
	add := func(counts []int32) {
		out = append(out, share{counts, s.cost(e, counts)})
	}
	if all > manyShares {
		add(s.divided(e, rooms))
		for k, n := range rooms {
			for _, part := range []int32{0, n / 4, n / 2, n - n/4} {
				less := slices.Clone(rooms)
				less[k] = part
				add(s.divided(e, less))
			}
		}
	} else {
		counts := make([]int32, len(rooms))
		var each func(k int, left int32)
		each = func(k int, left int32) {
			if k == len(rooms) {
				add(slices.Clone(counts))
				return
			}
			for n := min(left, rooms[k]); n >= 0; n-- {
				counts[k] = n
				each(k+1, left-n)
			}
		}
		each(0, e.missing)
	}
	slices.SortStableFunc(out, func(a, b share) int { return slices.Compare(a.cost, b.cost) })
	return out
}

// divided is how an entry is filled tier by tier in lanes with these rooms.
func (s *search) divided(e *entry, rooms []int32) []int32 {
	out := make([]int32, 0, len(rooms))
	left := e.missing
	for i := 0; i < len(rooms); {
		n := i + 1
		for n < len(rooms) && s.lanes[e.lanes[n]].Tier == s.lanes[e.lanes[i]].Tier {
			n++
		}
		for _, give := range divide(left, rooms[i:n], e.have[i:n]) {
			out = append(out, give)
			left -= give
		}
		i = n
	}
	return out
}
