package simulation

// buffers are what quick runs work on. One run at a time has them.
type buffers struct {
	ints    arena[int64]
	bools   arena[bool]
	table   []int64
	hit     []bool
	found   []int32
	effects effects
}

// reset takes back all that was given out.
func (b *buffers) reset() {
	b.ints.free, b.bools.free = b.ints.all, b.bools.all
}

// An arena gives out slices for the time of a run.
type arena[T any] struct{ all, free []T }

// take returns a slice of n zeroes.
func (a *arena[T]) take(n int) []T {
	if n > len(a.free) {
		a.all = make([]T, 2*(len(a.all)+n))
		a.free = a.all
	}
	out := a.free[:n:n]
	a.free = a.free[n:]
	clear(out)
	return out
}

// maxTable is the widest range of raw scores that is normalized beforehand:
// a division for each node and copy is what costs most otherwise.
const maxTable = 1 << 10

// tabulate returns fn of each value between lowest and highest, or nil if that
// is too many. The table is good until the next.
func (b *buffers) tabulate(lowest, highest int64, fn func(int64) int64) []int64 {
	if highest < lowest || highest-lowest >= maxTable {
		return nil
	}
	b.table = b.table[:0]
	for raw := lowest; raw <= highest; raw++ {
		b.table = append(b.table, fn(raw))
	}
	return b.table
}
