package scheduler

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A Component is the pods of a group that are made from one template.
type Component struct {
	// Name that the workload gives it, for a person.
	Name string
	// Count of its pods in one group, > 0.
	Count int32
	// Template of one pod. It has no components of its own.
	Template *Template
}

// GroupOf returns the template of a replica that is a group of pods.
func GroupOf(cs ...Component) *Template {
	out := *cs[0].Template
	out.Components = cs
	return &out
}

// Size is how many pods a replica is.
func (t *Template) Size() int32 {
	if !t.Grouped() {
		return 1
	}
	sum := int32(0)
	for _, c := range t.Components {
		sum += c.Count
	}
	return sum
}

// Grouped reports whether a replica is a group of pods that has a place in one
// member as a whole, or none.
func (t *Template) Grouped() bool { return t != nil && len(t.Components) > 0 }

// Requests of a replica, all its pods together.
func (t *Template) Requests() corev1.ResourceList {
	if !t.Grouped() {
		return requested(&t.Spec.Spec)
	}
	out := corev1.ResourceList{}
	for _, c := range t.Components {
		for name, q := range requested(&c.Template.Spec.Spec) {
			sum := out[name]
			q.Mul(int64(c.Count))
			sum.Add(q)
			out[name] = sum
		}
	}
	return out
}

// Copies are pods that are alike.
type Copies struct {
	// Component that they are, by name.
	Component string
	Pod       *corev1.Pod
	Count     int
}

// Group returns the pods of a replica that is a group, as a member with the
// supplied objects would store them. An error says why it would refuse one.
func (t *Template) Group(objs *snapshot.Objects) ([]Copies, error) {
	out := make([]Copies, 0, len(t.Components))
	for _, c := range t.Components {
		pod, err := c.Template.Pod(objs)
		if err != nil {
			return nil, fmt.Errorf("component %s: %w", c.Name, err)
		}
		out = append(out, Copies{Component: c.Name, Pod: pod, Count: int(c.Count)})
	}
	return out, nil
}

// PlaceGroups puts up to n groups of pods on a fork, one after the other, each
// whole: of the first group that has no place for one of its pods nothing is left
// on the fork. The result counts groups in Placed, and pods in Nodes and Pods. An
// error is one of the simulator; what was placed is still on the fork then.
func PlaceGroups(ctx context.Context, s simulation.Simulator, f *snapshot.Fork, group []Copies, n int) (simulation.Result, error) {
	out := simulation.Result{Nodes: map[string]int{}}
	for range n {
		mark := f.Mark()
		var pods []*corev1.Pod
		nodes := maps.Clone(out.Nodes)
		for _, c := range group {
			res, err := s.Place(ctx, f, c.Pod, c.Count)
			if err != nil {
				f.Commit(mark)
				return out, err
			}
			if res.Placed < c.Count {
				f.Revert(mark)
				f.Commit(mark)
				out.Reasons, out.Plugins = res.Reasons, res.Plugins
				out.Message = fmt.Sprintf("%d of %d pods of component %s have no place: %s", c.Count-res.Placed, c.Count, c.Component, res.Message)
				return out, nil
			}
			pods = append(pods, res.Pods...)
			for name, k := range res.Nodes {
				nodes[name] += k
			}
		}
		f.Commit(mark)
		out.Placed++
		out.Nodes, out.Pods = nodes, append(out.Pods, pods...)
	}
	return out, nil
}

// placeOn puts up to n replicas of a binding on the fork of a member. Of a
// workload whose replicas are single pods they are copies of the supplied one.
func (r *round) placeOn(w *work, m *member, pod *corev1.Pod, n int32) (simulation.Result, error) {
	if !w.Template.Grouped() {
		return m.Simulator.Place(r.ctx, m.fork, pod, int(n))
	}
	group := r.group(w, m)
	if group == nil {
		return simulation.Result{}, nil
	}
	return PlaceGroups(r.ctx, m.Simulator, m.fork, group, int(n))
}

// group returns the pods of a replica of a binding as a member would store them,
// or nil if it would not. They stay off virtual nodes: those are granted for
// single pods.
func (r *round) group(w *work, m *member) []Copies {
	group, ok := w.groups[m]
	if ok {
		return group
	}
	group, err := w.Template.Group(m.Snapshot.Objects())
	if err != nil {
		w.refusals[m.Name] = err.Error()
	}
	for i := range group {
		group[i].Pod = keptOff(group[i].Pod, m.virtualNodes)
	}
	if w.groups == nil {
		w.groups = map[*member][]Copies{}
	}
	w.groups[m] = group
	return group
}

// whole returns how many replicas a number of pods are.
func (w *work) whole(pods int32) int32 { return pods / w.Template.Size() }

// bookGroups books the pods of groups that were assigned to a member and are not
// seen there yet, as far as they fit: the promise holds for each of them.
func (r *round) bookGroups(w *work, m *member) error {
	group, missing := r.group(w, m), w.unseenPods(m)
	for i, c := range group {
		if missing[i] <= 0 {
			continue
		}
		mark := m.fork.Mark()
		_, err := m.Simulator.Place(r.ctx, m.fork, c.Pod, int(missing[i]))
		if err != nil {
			m.fork.Revert(mark)
		}
		m.fork.Commit(mark)
		if r.ctx.Err() != nil {
			return fmt.Errorf("cannot simulate %s in %s: %w", w.ID, m.Name, r.ctx.Err())
		}
		m.changes++
	}
	return nil
}

// bookHeldGroups puts groups of pods of a hold on real nodes of a member, each as a
// whole and on as few nodes as there is room on, as bookHold does with single pods.
func (r *round) bookHeldGroups(h *hold, m *member) error {
	group, ok := h.groups[m]
	if !ok {
		// A group that the member would not store has no place there.
		group, _ = h.Template.Group(m.Snapshot.Objects())
		for i := range group {
			group[i].Pod = keptOff(group[i].Pod, m.virtualNodes)
		}
		if h.groups == nil {
			h.groups = map[*member][]Copies{}
		}
		h.groups[m] = group
	}
	for len(group) > 0 && h.held < h.left {
		mark := m.fork.Mark()
		pods, err := r.packGroup(m, group)
		if pods == nil {
			m.fork.Revert(mark)
		}
		m.fork.Commit(mark)
		if err != nil && r.ctx.Err() != nil {
			return fmt.Errorf("cannot simulate what %s holds in %s: %w", h.Reservation, m.Name, err)
		}
		if pods == nil {
			return nil
		}
		h.held++
		h.placed[m] = append(h.placed[m], pods...)
	}
	return nil
}

// packGroup puts a group of pods on nodes of a member, the fullest first. It returns
// no pods if one of them has no place.
func (r *round) packGroup(m *member, group []Copies) ([]*corev1.Pod, error) {
	var out []*corev1.Pod
	for _, c := range group {
		left := c.Count
		for _, node := range m.fullestFirst(c.Pod) {
			if left == 0 {
				break
			}
			res, err := m.Simulator.Place(r.ctx, m.fork, onlyOn(c.Pod, node), left)
			if err != nil {
				return nil, err
			}
			left -= res.Placed
			out = append(out, res.Pods...)
		}
		if left > 0 {
			return nil, nil
		}
	}
	return out, nil
}

// unseenPods returns how many pods of each component of the groups that are
// assigned to a member are not there yet.
func (w *work) unseenPods(m *member) []int32 {
	out := make([]int32, len(w.Template.Components))
	rep, n := w.Reported[m.Name], w.target[m.Name]
	counts := m.Snapshot.Workload(w.Workload)
	left := n*w.Template.Size() - int32(counts.Total) - rep.Succeeded
	if left <= 0 || rep.Finished || counts.Total == 0 && w.reported(m.Name) >= n {
		// Pods that belong to something in between are not recognized: then what
		// the member reports counts.
		return out
	}
	have := w.seenPods(m, counts.Total > 0)
	for i := len(out) - 1; i >= 0 && left > 0; i-- {
		out[i] = min(left, max(0, n*w.Template.Components[i].Count-have[i]))
		left -= out[i]
	}
	return out
}

// seenPods counts the pods of a workload in a member by component: the one that
// asks for as much, among those that lack pods.
func (w *work) seenPods(m *member, any bool) []int32 {
	have := make([]int32, len(w.Template.Components))
	if !any {
		return have
	}
	count := func(p *corev1.Pod) {
		if k, ok := snapshot.WorkloadOf(p); !ok || k != w.Workload || p.DeletionTimestamp != nil {
			return
		}
		for i := range w.Template.Components {
			c := &w.Template.Components[i]
			if have[i] < w.target[m.Name]*c.Count && sameRequests(requested(&p.Spec), requested(&c.Template.Spec.Spec)) {
				have[i]++
				return
			}
		}
	}
	for _, ni := range m.Snapshot.Nodes() {
		for _, pi := range ni.GetPods() {
			count(pi.GetPod())
		}
	}
	for _, p := range m.Snapshot.Pending() {
		count(p)
	}
	return have
}

func sameRequests(a, b corev1.ResourceList) bool {
	for name := range b {
		if q := a[name]; q.Cmp(b[name]) != 0 {
			return false
		}
	}
	return true
}

// sliced reports whether a binding is a gang that is divided.
func (b *Binding) sliced() bool { return b.Together && b.Template.Grouped() }

// restartable reports whether replicas may be placed anew although they were
// assigned: those of movable workloads, and a gang that never ran as a whole. It
// has done no work, and its parts would hold room for ever.
func (w *work) restartable() bool { return w.Movable || (w.Gang || w.sliced()) && !w.state.Whole }

// remember notes whether a gang runs as a whole. It stays noted until the gang
// has lost its place.
func (r *round) remember(w *work) {
	if !w.Gang && !w.sliced() {
		return
	}
	assigned, run := false, int32(0)
	for name, n := range w.target {
		m := r.members[name]
		if n == 0 || r.stateOf(name) == Absent {
			continue
		}
		assigned = true
		if m == nil || m.Snapshot == nil || w.Template == nil {
			continue
		}
		counts := m.Snapshot.Workload(w.Workload)
		if run += w.whole(int32(counts.Scheduled)); counts.Total == 0 {
			run += w.reported(name)
		}
	}
	w.state.Whole = assigned && (w.state.Whole || run > 0 && run >= w.Replicas)
}

// reported returns how many of the replicas of a gang that are assigned to a
// member run, as the member reports. That of one that is divided does not count
// slices: if any of it runs, all of it does.
func (w *work) reported(name string) int32 {
	n := w.Reported[name].Ready
	if w.sliced() && n > 0 {
		return w.target[name]
	}
	return n
}

// takeBack takes a divided gang that never ran as a whole from the members that it
// still has if it lost its place in others. What a silent member has stays: nobody
// knows what runs there.
func (r *round) takeBack(w *work) {
	if !w.sliced() || w.state.Whole || total(w.target) >= w.Replicas {
		return
	}
	for _, name := range sorted(w.target) {
		if n := w.target[name]; n > 0 && r.stateOf(name) == Serving {
			w.target[name] = 0
			w.notes = append(w.notes, fmt.Sprintf("%d taken back from %s, because all start together", n, name))
		}
	}
}

// alone reports whether a binding has rules of its own for where its replicas go.
func (w *work) alone() bool { return w.Together || w.Template.Grouped() }

// grounded reports whether the unmet replicas of a binding may not be granted
// apart from all others.
func (w *work) grounded() bool { return w.Template.Grouped() || w.Together && w.unmet < w.Replicas }

// fillMissing fills a binding, all of it or nothing if its replicas start
// together. It returns how many replicas have a place.
func (r *round) fillMissing(w *work, n int32) (int32, error) {
	if !w.Together {
		return r.fillHeld(w, n)
	}
	for _, h := range w.holds {
		h.release()
	}
	cloud := w.inCloud()
	placed, err := r.fillTogether(w, n)
	if err != nil {
		return placed, err
	}
	if placed == n {
		w.use(w.inCloud() - cloud)
	}
	for _, h := range w.holds {
		if err := r.bookHold(h); err != nil {
			return placed, err
		}
	}
	return placed, nil
}

// fillTogether fills a binding whose replicas start together, or leaves nothing of
// it on the forks. It returns how many replicas had a place. A divided gang is
// filled tier by tier, at first into each member alone: its slices talk to each
// other.
func (r *round) fillTogether(w *work, n int32) (int32, error) {
	if w.sliced() && n > 1 {
		members := w.pool.members
		for i, m := range members {
			placed, err := r.allOrNone(w, n, func() (int32, error) {
				return r.fill(w, n, func(o *member) bool { return o == m }, w.target)
			})
			if err != nil || placed == n {
				return placed, err
			}
			if i+1 < len(members) && members[i+1].Tier == m.Tier {
				continue
			}
			placed, err = r.allOrNone(w, n, func() (int32, error) {
				return r.fill(w, n, func(o *member) bool { return o.Tier <= m.Tier }, w.target)
			})
			if err != nil || placed == n {
				return placed, err
			}
		}
	}
	return r.allOrNone(w, n, func() (int32, error) { return r.fillInOrder(w, n) })
}

// allOrNone takes what was placed of a binding off the forks again, unless it is n
// replicas.
func (r *round) allOrNone(w *work, n int32, place func() (int32, error)) (int32, error) {
	marks := map[*member]snapshot.Mark{}
	for _, m := range w.pool.members {
		if m.usable() {
			marks[m] = m.fork.Mark()
		}
	}
	before, cloud := maps.Clone(w.target), w.inCloud()
	placed, err := place()
	w.withheld = 0
	if placed < n {
		w.withheld = w.inCloud() - cloud
	}
	for m, mark := range marks {
		if placed < n {
			m.fork.Revert(mark)
		}
		m.fork.Commit(mark)
	}
	if placed < n {
		w.target = before
	}
	return placed, err
}

// fillInOrder fills the members that the holds of a binding prefer first, if it
// has any.
func (r *round) fillInOrder(w *work, n int32) (int32, error) {
	if len(w.holds) > 0 {
		return r.fillPreferred(w, n)
	}
	return r.fill(w, n, func(*member) bool { return true }, w.target)
}

// apart reports whether a number of replicas may not be added to a decision,
// because the others have no place yet and all start together.
func (b *Binding) apart(d *Decision, n int32) bool {
	return b.Template.Grouped() || b.Together && n < b.Replicas-sumOf(d.Targets)
}

func sumOf(ts []Target) int32 {
	sum := int32(0)
	for _, t := range ts {
		sum += t.Replicas
	}
	return sum
}
