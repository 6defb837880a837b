package snapshot

import "maps"

// A countsView is the counts of all workloads at one moment: a base that many
// snapshots share, and what changed since. It is immutable.
type countsView struct {
	base, changed map[WorkloadKey]Counts
}

func (v countsView) get(k WorkloadKey) Counts {
	if n, ok := v.changed[k]; ok {
		return n
	}
	return v.base[k]
}

// all returns the counts of the workloads that have any.
func (v countsView) all() map[WorkloadKey]Counts {
	out := maps.Clone(v.base)
	if out == nil {
		out = map[WorkloadKey]Counts{}
	}
	for k, n := range v.changed {
		if n == (Counts{}) {
			delete(out, k)
		} else {
			out[k] = n
		}
	}
	return out
}

// A countsLog makes views at a cost that does not grow with the number of
// workloads: what changed is folded into a new base only once it is a good part
// of it.
type countsLog struct {
	view countsView
}

// minFold is how many changed workloads are not worth a new base.
const minFold = 64

func (l *countsLog) set(k WorkloadKey, n Counts) {
	if l.view.changed == nil {
		l.view.changed = map[WorkloadKey]Counts{}
	}
	l.view.changed[k] = n
}

// freeze returns the present view.
func (l *countsLog) freeze() countsView {
	if len(l.view.changed) > max(minFold, len(l.view.base)/64) {
		l.view = countsView{base: l.view.all()}
		return l.view
	}
	v := l.view
	l.view.changed = maps.Clone(v.changed)
	return v
}
