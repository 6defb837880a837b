package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

const (
	// fewEntries are so few that all of them are searched together.
	fewEntries = 8
	// neighbours is how many others give way when one entry of many is to get
	// more, and neighbourSteps how many placements are tried then.
	neighbours     = 3
	neighbourSteps = 300
	// repairs is how often others make room for entries that are short after they
	// were filled in another order.
	repairs = 4
)

// A joint is the placement of a batch: bindings that wait and follow each other
// in the order of priority and age.
type joint struct {
	r       *round
	entries []*entry
	lanes   []*lane
	// classes of priority that there are.
	classes int
	// best placement found: counts for each entry and each of its lanes, with
	// its cost.
	best     [][]int32
	bestCost cost
	// The search ends at the deadline, and after so many steps.
	deadline time.Time
	steps    int
}

// An entry is a binding of a batch.
type entry struct {
	*work
	// class of its priority, 0 the highest.
	class int
	// milli is what a replica counts as.
	milli int64
	// lanes that may take replicas, in the order in which they are filled, and
	// what the workload has there already. Elsewhere is the most that it has in
	// any other member.
	lanes             []int
	have              []int32
	elsewhere         int32
	spreads, sociable bool
	// claims of its replicas are more than pods on a fork.
	claims bool
	// first says that nothing of the batch was in its lanes when it was filled.
	first bool
	// least is a cost below which it cannot be placed.
	least cost
}

// placeTogether places a batch: first one binding after the other, then, if that
// is not the best for all of them, better. What was placed is on the forks.
func (r *round) placeTogether(works []*work) error {
	if len(works) == 0 {
		return nil
	}
	j := r.join(works)
	defer func() {
		for _, l := range j.lanes {
			l.fork.Commit(l.mark)
		}
	}()
	began := time.Now()
	at := j.roots()
	used := make([]bool, len(j.lanes))
	for i, e := range j.entries {
		e.first = !slices.ContainsFunc(e.lanes, func(l int) bool { return used[l] })
		counts := make([]int32, len(e.lanes))
		if err := j.fill(i, at, counts); err != nil {
			return err
		}
		for k, l := range e.lanes {
			used[l] = used[l] || counts[k] > 0
		}
		j.best = append(j.best, counts)
	}
	j.bestCost = j.total(j.best)
	if err := j.addHoles(j.bestCost, at); err != nil {
		return err
	}
	first := j.best
	if j.least().less(j.bestCost) {
		if err := j.improve(time.Since(began)); err != nil {
			return err
		}
	}
	return j.settle(first)
}

func (j *joint) roots() []*spot {
	out := make([]*spot, 0, len(j.lanes))
	for _, l := range j.lanes {
		out = append(out, l.root)
	}
	return out
}

// fill adds to the counts of an entry what it is missing, tier by tier, as far as
// there is room where at stands, and moves that on.
func (j *joint) fill(entry int, at []*spot, counts []int32) error {
	e := j.entries[entry]
	left := e.missing
	for _, n := range counts {
		left -= n
	}
	for i := 0; i < len(e.lanes) && left > 0; {
		n := i + 1
		for n < len(e.lanes) && j.lanes[e.lanes[n]].Tier == j.lanes[e.lanes[i]].Tier {
			n++
		}
		rooms, have := make([]int32, n-i), make([]int32, n-i)
		err := each(n-i, false, func(k int) (err error) {
			l := e.lanes[i+k]
			// One that is alone gets all that it has room for.
			rooms[k], _, err = j.room(j.lanes[l], at[l], entry, left, n-i > 1)
			have[k] = e.have[i+k] + counts[i+k]
			return err
		})
		if err != nil {
			return err
		}
		for k, give := range divide(left, rooms, have) {
			l := e.lanes[i+k]
			at[l] = at[l].step(entry, give)
			counts[i+k] += give
			left -= give
		}
		i = n
	}
	return nil
}

// settle puts the best placement on the forks.
func (j *joint) settle(first [][]int32) error {
	at := j.roots()
	for i, e := range j.entries {
		for k, n := range j.best[i] {
			l := e.lanes[k]
			at[l] = at[l].step(i, n)
			name := j.lanes[l].Name
			if n > 0 {
				e.target[name] += n
				e.placed += n
			}
			if n < first[i][k] {
				e.refusals[name] = "its room serves other workloads better"
			}
		}
	}
	good := make([]bool, len(j.lanes))
	err := each(len(j.lanes), false, func(k int) (err error) {
		good[k], err = j.stand(j.lanes[k], at[k])
		return err
	})
	if err != nil {
		return err
	}
	for k, l := range j.lanes {
		if !good[k] {
			if err := j.refit(l, at[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// refit puts on the fork what still has a place of what leads to a spot. Claims
// are simulated again, and what they get may differ. A round must not fail for
// it, or nothing would be placed any more.
func (j *joint) refit(l *lane, s *spot) error {
	l.back(0)
	var path []*spot
	for t := s; t.up != nil; t = t.up {
		path = append(path, t)
	}
	for _, t := range slices.Backward(path) {
		e := j.entries[t.entry]
		got, err := j.r.simulate(e.work, l.member, t.n)
		if err != nil {
			return err
		}
		e.target[l.Name] -= t.n - got
		e.placed -= t.n - got
	}
	return nil
}

// join makes a batch of bindings. Its forks must not be changed by others before
// it has been placed.
func (r *round) join(works []*work) *joint {
	j := &joint{r: r}
	index := map[*member]int{}
	for i, w := range works {
		if i == 0 || w.Priority != works[i-1].Priority {
			j.classes++
		}
		spec := &w.Template.Spec.Spec
		e := &entry{
			work: w, class: j.classes - 1, milli: milliCores(spec),
			spreads: spreads(spec), sociable: sociable(spec), claims: claims(spec),
		}
		for _, m := range w.pool.members {
			if !w.takes(m) {
				e.elsewhere = max(e.elsewhere, w.target[m.Name])
				continue
			}
			l, ok := index[m]
			if !ok {
				l = len(j.lanes)
				index[m] = l
				j.lanes = append(j.lanes, newLane(m))
			}
			j.lanes[l].hole = max(j.lanes[l].hole, w.pool.weights.Hole)
			e.lanes = append(e.lanes, l)
			e.have = append(e.have, w.target[m.Name])
		}
		j.entries = append(j.entries, e)
	}
	return j
}

// improve looks for a better placement than the first one, which took so long.
func (j *joint) improve(took time.Duration) error {
	t := j.r.in.Settings.JointTime
	if t > 0 && j.anyShort() {
		// To fill them again takes as long as it took, and so does each time to
		// find out what becomes of it.
		t = max(t, 5*took)
	}
	j.limit(t)
	j.steps = j.r.in.Settings.JointSteps
	// Why something has no room now is more to the point than why not in some
	// placement that was tried.
	for _, e := range j.entries {
		kept := maps.Clone(e.refusals)
		defer func() { e.refusals = kept }()
	}
	return j.search()
}

// limit the time from now on, unless there is no limit or less is left.
func (j *joint) limit(t time.Duration) {
	if t <= 0 {
		return
	}
	if end := time.Now().Add(t); j.deadline.IsZero() || end.Before(j.deadline) {
		j.deadline = end
	}
}

// over reports whether the search has to end.
func (j *joint) over() bool {
	return j.steps <= 0 || !j.deadline.IsZero() && time.Now().After(j.deadline)
}

// search looks for a better placement: among all of them if the entries are few,
// and otherwise by filling in another order, and by letting a few entries make
// room for one at a time.
func (j *joint) search() error {
	if err := j.bound(); err != nil || !j.least().less(j.bestCost) {
		return err
	}
	if len(j.entries) <= fewEntries {
		return j.try(nil, j.steps)
	}
	for _, order := range j.orders() {
		if err := j.refill(order); err != nil {
			return err
		}
		if !j.anyShort() {
			break
		}
	}
	j.limit(j.r.in.Settings.JointTime)
	for turn, found := 0, true; found || turn < neighbours; turn++ {
		found = false
		for _, i := range j.deprived() {
			if j.over() {
				return nil
			}
			free := j.around(i, turn)
			if free == nil {
				continue
			}
			before := slices.Clone(j.bestCost)
			if err := j.try(free, neighbourSteps); err != nil {
				return err
			}
			found = found || j.bestCost.less(before)
		}
	}
	return nil
}

// short reports whether an entry has replicas without a place.
func (j *joint) short(i int) bool { return sum(j.best[i]) < j.entries[i].missing }

func (j *joint) anyShort() bool {
	for i := range j.entries {
		if j.short(i) {
			return true
		}
	}
	return false
}

// bound finds out at which cost each entry could be placed if it were alone. Of
// many entries it looks only at those that are short: it takes as long as to fill
// them.
func (j *joint) bound() error {
	for i, e := range j.entries {
		own := j.cost(e, j.best[i])
		if e.sociable || !e.least.less(own) || len(j.entries) > fewEntries && !j.short(i) {
			continue
		}
		if e.first {
			// Spreading is all that the first filling does not look at, and
			// whoever spreads is sociable.
			e.least = own
			continue
		}
		if j.over() {
			return nil
		}
		left := e.missing
		counts := make([]int32, len(e.lanes))
		for k, l := range e.lanes {
			room, _, err := j.room(j.lanes[l], j.lanes[l].root, i, e.missing, true)
			if err != nil {
				return err
			}
			counts[k] = min(left, room)
			left -= counts[k]
		}
		e.least = j.cost(e, counts)
	}
	return nil
}

// deprived are the entries that are placed at more than the least cost, the most
// important first.
func (j *joint) deprived() []int {
	type loss struct {
		i    int
		more cost
	}
	var out []loss
	for i, e := range j.entries {
		own := j.cost(e, j.best[i])
		if e.least.less(own) {
			own.sub(e.least)
			out = append(out, loss{i, own})
		}
	}
	slices.SortStableFunc(out, func(a, b loss) int { return slices.Compare(b.more, a.more) })
	is := make([]int, 0, len(out))
	for _, l := range out {
		is = append(is, l.i)
	}
	return is
}

// around returns an entry with others that take room it could use: the next few
// in each turn, those with more members to choose from first.
func (j *joint) around(i, turn int) []bool {
	e := j.entries[i]
	var others []int
	for k, o := range j.entries {
		if k == i {
			continue
		}
		for n, l := range o.lanes {
			if j.best[k][n] > 0 && slices.Contains(e.lanes, l) {
				others = append(others, k)
				break
			}
		}
	}
	// The later one is, the less has to be simulated again.
	slices.SortFunc(others, func(a, b int) int {
		return cmp.Or(cmp.Compare(len(j.entries[b].lanes), len(j.entries[a].lanes)), cmp.Compare(b, a))
	})
	if turn*neighbours >= len(others) {
		return nil
	}
	free := make([]bool, len(j.entries))
	free[i] = true
	for _, k := range others[turn*neighbours : min(len(others), (turn+1)*neighbours)] {
		free[k] = true
	}
	return free
}

// orders in which entries may be filled: those with fewer members to choose from
// first, and of those with as many the larger first, or the older.
func (j *joint) orders() [][]int {
	older := make([]int, len(j.entries))
	for i := range older {
		older[i] = i
	}
	// Room is looked for in as many lanes as were found to have some, as far as
	// that is known.
	lanes := make([]int, len(j.entries))
	for i, e := range j.entries {
		for _, l := range e.lanes {
			if known, ok := j.lanes[l].root.rooms[i]; !ok || known.n > 0 {
				lanes[i]++
			}
		}
	}
	choices := func(a, b int) int { return cmp.Compare(lanes[a], lanes[b]) }
	slices.SortStableFunc(older, choices)
	larger := slices.Clone(older)
	slices.SortStableFunc(larger, func(a, b int) int {
		return cmp.Or(choices(a, b), cmp.Compare(j.entries[b].milli, j.entries[a].milli))
	})
	return [][]int{older, larger}
}

// refill fills the entries in another order, and finds out what becomes of it
// when their pods come in the true one. If some have no place then, others that
// may go to a later tier make room, and it is tried again.
func (j *joint) refill(order []int) error {
	want := make([][]int32, len(j.entries))
	at := j.roots()
	for _, i := range order {
		if j.over() {
			return nil
		}
		want[i] = make([]int32, len(j.entries[i].lanes))
		if err := j.fill(i, at, want[i]); err != nil {
			return err
		}
	}
	for range repairs {
		counts, err := j.come(want)
		if err != nil || counts == nil {
			return err
		}
		moved := false
		for i, e := range j.entries {
			if lost := sum(want[i]) - sum(counts[i]); lost > 0 {
				moved = j.makeRoom(e, lost, want) || moved
			}
		}
		if !moved {
			return nil
		}
	}
	return nil
}

// come finds out what of the wanted counts has a place when the pods come in
// their order; what has none goes where there is room. It returns the counts, or
// nil if there was no time.
func (j *joint) come(want [][]int32) ([][]int32, error) {
	at := j.roots()
	counts := make([][]int32, len(j.entries))
	for i, e := range j.entries {
		if j.over() {
			return nil, nil
		}
		counts[i] = make([]int32, len(e.lanes))
		for k, n := range want[i] {
			if n == 0 {
				continue
			}
			l := e.lanes[k]
			got, _, err := j.room(j.lanes[l], at[l], i, n, false)
			if err != nil {
				return nil, err
			}
			counts[i][k] = got
		}
		for k, n := range counts[i] {
			at[e.lanes[k]] = at[e.lanes[k]].step(i, n)
		}
		if slices.Equal(counts[i], want[i]) {
			continue
		}
		if err := j.fill(i, at, counts[i]); err != nil {
			return nil, err
		}
	}
	total := j.total(counts)
	if !total.less(j.bestCost) {
		return counts, nil
	}
	if err := j.addHoles(total, at); err != nil {
		return nil, err
	}
	if total.less(j.bestCost) {
		j.best, j.bestCost = slices.Clone(counts), total
	}
	return counts, nil
}

// makeRoom for n replicas of an entry: as many that are as large, of the last
// entries that share a lane with it, are wanted in a later tier instead.
func (j *joint) makeRoom(e *entry, n int32, want [][]int32) bool {
	moved := false
	for i := len(j.entries) - 1; i >= 0 && n > 0; i-- {
		o := j.entries[i]
		last := len(o.lanes) - 1
		if o.work == e.work || o.milli < e.milli || last < 0 {
			continue
		}
		for k, l := range o.lanes {
			if j.lanes[l].Tier >= j.lanes[o.lanes[last]].Tier || !slices.Contains(e.lanes, l) {
				continue
			}
			give := min(n, want[i][k])
			want[i][k] -= give
			want[i][last] += give
			n -= give
			moved = moved || give > 0
		}
	}
	return moved
}

func sum(counts []int32) int32 {
	n := int32(0)
	for _, c := range counts {
		n += c
	}
	return n
}
