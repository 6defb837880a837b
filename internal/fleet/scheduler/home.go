package scheduler

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	fwk "k8s.io/kube-scheduler/framework"
)

// returnHome starts to move replicas of a binding from the cloud to self-built
// members when these have had room, with headroom, for the whole stabilization
// window. A step adds replicas at home; cutting in the cloud is the business of
// cut, in a later round, when the new ones are Ready.
func (r *round) returnHome(w *work) error {
	if !w.Divided || w.Held || w.Template == nil || !w.Movable {
		return nil
	}
	cloud := int32(0)
	for _, m := range w.pool.members {
		if m.Elastic && m.State == Serving {
			cloud += w.target[m.Name]
		}
	}
	if cloud == 0 {
		w.state.noRoom()
		if w.state.NotBefore != nil && !w.state.NotBefore.After(r.in.Now) {
			w.state.NotBefore = nil
		}
		return nil
	}
	if w.settling > 0 {
		// It is known in a moment whether there is room.
		return nil
	}
	if w.moving > 0 {
		w.returning = !r.drains(w) && !w.state.ToNodes
		return nil
	}
	if w.unmet > 0 || w.waiting > 0 || total(w.target)-r.replacedIn(w) != w.Replicas {
		// Replicas that have no place come first, and they found none.
		w.state.noRoom()
		return nil
	}
	found := map[string]int32{}
	room := min(cloud, r.headroom(w))
	if room > 0 {
		var err error
		if room, err = r.fill(w, room, func(m *member) bool { return !m.Elastic }, found); err != nil {
			return err
		}
	}
	window := w.pool.StabilizationWindow
	w.state.sawRoom(r.in.Now, room, window)
	if room <= 0 {
		return nil
	}
	if w.state.NotBefore != nil && w.state.NotBefore.After(r.in.Now) {
		r.wake(*w.state.NotBefore)
		return nil
	}
	if due := w.state.roomDue(window); due.After(r.in.Now) && !w.Rebalance {
		r.wake(due)
		return nil
	}
	step := min(w.state.Room, max(1, w.Replicas*r.in.Settings.StepPercent/100))
	for _, m := range w.pool.members {
		n := min(step-w.moving, found[m.Name])
		if n > 0 {
			w.target[m.Name] += n
			w.moving += n
		}
	}
	w.returning = true
	w.state.NotBefore = nil
	w.state.ExcessSince = at(r.in.Now)
	w.state.tookRoom(w.moving)
	r.wake(r.in.Now.Add(r.in.Settings.MoveTimeout))
	return nil
}

// noRoom ends the window.
func (s *State) noRoom() {
	s.RoomSince, s.Room, s.GrownSince, s.Grown = nil, 0, nil, 0
}

// sawRoom books the room at home that was seen. Room that has been there for a
// window is never more than the least that was seen in it, so what became free
// later is booked apart, with a window of its own. Only growth by a quarter is:
// lesser changes come and go with every pod, and each would be written.
func (s *State) sawRoom(now time.Time, room int32, window time.Duration) {
	if room <= 0 {
		s.noRoom()
		return
	}
	if s.RoomSince == nil {
		s.noRoom()
		s.RoomSince, s.Room = at(now), room
	}
	s.Room, s.Grown = min(s.Room, room), min(s.Grown, room)
	s.tidyRoom()
	if base := max(s.Room, s.Grown); room >= base+max(1, base/4) {
		s.GrownSince, s.Grown = at(now), room
	}
	if s.GrownSince != nil && !s.GrownSince.Add(window).After(now) {
		s.promoteRoom()
	}
}

// roomDue is when the room may be used. What became free soon after the first,
// such as the pods of one rollout, is waited for so that all move together.
func (s *State) roomDue(window time.Duration) time.Time {
	if s.GrownSince != nil && s.GrownSince.Sub(*s.RoomSince) <= window/4 {
		return s.GrownSince.Add(window)
	}
	return s.RoomSince.Add(window)
}

// tookRoom books replicas that move home.
func (s *State) tookRoom(n int32) {
	s.Room -= n
	s.Grown -= n
	s.tidyRoom()
	if s.Room <= 0 {
		s.promoteRoom()
	}
}

// tidyRoom forgets growth that is none any more.
func (s *State) tidyRoom() {
	if s.Grown <= s.Room || s.Grown <= 0 {
		s.GrownSince, s.Grown = nil, 0
	}
}

// promoteRoom makes the later window the only one.
func (s *State) promoteRoom() {
	s.RoomSince, s.Room, s.GrownSince, s.Grown = s.GrownSince, s.Grown, nil, 0
}

// drains reports whether the binding still has replicas in a draining member, or
// on nodes that leave.
func (r *round) drains(w *work) bool {
	for name, n := range w.target {
		if n > 0 && (r.stateOf(name) == Draining || r.leaving(w, name).total > 0) {
			return true
		}
	}
	return false
}

// A home is what the self-built members of a pool have and what of it is free,
// all together; widest is the most that a single node has free.
type home struct {
	changes                        int64
	cpu, memory                    int64
	freeCPU, freeMemory            int64
	widestCPU, widestMemory, slots int64
}

// homeOf returns what is free at home. It is counted again only when something
// changed there: at rest no binding changes anything.
func (r *round) homeOf(p *pool) *home {
	changes := int64(0)
	for _, m := range p.members {
		changes += m.changes
	}
	if p.home != nil && p.home.changes == changes {
		return p.home
	}
	p.home = countHome(p, func(m *member) []fwk.NodeInfo {
		// List cannot fail on a fork.
		nodes, _ := m.fork.List()
		return nodes
	})
	p.home.changes = changes
	return p.home
}

// countHome counts what is free on the nodes of the self-built members of a pool.
func countHome(p *pool, nodes func(*member) []fwk.NodeInfo) *home {
	h := &home{}
	for _, m := range p.members {
		if m.Elastic || !m.usable() {
			continue
		}
		for _, ni := range nodes(m) {
			if !takesPods(ni) || m.isVirtual(ni) {
				continue
			}
			a, q := ni.GetAllocatable(), ni.GetRequested()
			freeCPU, freeMemory := a.GetMilliCPU()-q.GetMilliCPU(), a.GetMemory()-q.GetMemory()
			h.cpu += a.GetMilliCPU()
			h.memory += a.GetMemory()
			h.freeCPU += freeCPU
			h.freeMemory += freeMemory
			if slots := int64(a.GetAllowedPodNumber() - len(ni.GetPods())); slots > 0 {
				h.slots += slots
				h.widestCPU, h.widestMemory = max(h.widestCPU, freeCPU), max(h.widestMemory, freeMemory)
			}
		}
	}
	return h
}

// headroom returns how many replicas the self-built members can take at most and
// still have the headroom free. CPU and memory are looked at, all members
// together: of a device that comes in ones a percentage means little, and a
// workload that needs the last one would never come home.
func (r *round) headroom(w *work) int32 {
	var pod *corev1.Pod
	for _, m := range w.pool.members {
		if pod == nil && !m.Elastic && m.usable() {
			pod = r.replica(w, m)
		}
	}
	if pod == nil {
		return 0
	}
	h := r.homeOf(w.pool)
	req := resource.PodRequests(pod, resource.PodResourcesOptions{})
	cpu, memory := req.Cpu().MilliValue(), req.Memory().Value()
	if cpu > h.widestCPU || memory > h.widestMemory {
		// No node takes one: there is nothing to simulate.
		return 0
	}
	if w.Template.Grouped() {
		sum := w.Template.Requests()
		cpu, memory = sum.Cpu().MilliValue(), sum.Memory().Value()
	}
	fits := func(total, free, each int64) int64 {
		if each <= 0 {
			return int64(w.Replicas)
		}
		return max(0, (free-total*int64(w.pool.HeadroomPercent)/100)/each)
	}
	return int32(min(int64(w.Replicas), h.slots, fits(h.cpu, h.freeCPU, cpu), fits(h.memory, h.freeMemory, memory)))
}

// takesPods reports whether a node is Ready and not cordoned.
func takesPods(ni fwk.NodeInfo) bool {
	n := ni.Node()
	return n != nil && !n.Spec.Unschedulable && !slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue
	})
}
