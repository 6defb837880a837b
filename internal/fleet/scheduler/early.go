package scheduler

import (
	"fmt"

	fwk "k8s.io/kube-scheduler/framework"
)

// settleHome keeps replicas that the round gave a place in the cloud from going
// there as long as a self-built member has a node with room for one, and only
// what is on its way to that member makes it full. Its kube-scheduler binds pods
// that come at the same moment in an order of its own, or refuses one of them,
// and then there is room after all. The place in the cloud is booked meanwhile.
//
// A workload waits for SettleTime at most, however much is on its way. Targets of
// reservations, and workloads that start as a whole, do not wait.
func (r *round) settleHome(w *work) error {
	since := w.state.SettlingSince
	w.state.SettlingSince = nil
	if w.placed == 0 || len(w.holds) > 0 || w.alone() {
		return nil
	}
	n := int32(0)
	for _, m := range w.pool.members {
		n += w.sent(m)
	}
	if n == 0 {
		return nil
	}
	if since == nil {
		since = at(r.in.Now)
	}
	due := since.Add(r.in.Settings.SettleTime)
	if !due.After(r.in.Now) {
		return nil
	}
	early, err := r.early(w)
	if err != nil || !early {
		return err
	}
	for _, m := range w.pool.members {
		w.target[m.Name] -= w.sent(m)
	}
	w.settling, w.state.SettlingSince = n, since
	r.wake(due)
	return nil
}

// sent returns how many replicas the round gave a place in a member, if it is an
// elastic one.
func (w *work) sent(m *member) int32 {
	if !m.Elastic {
		return 0
	}
	return max(0, w.target[m.Name]-w.Assigned[m.Name])
}

// onWayHome returns how many replicas of a binding are assigned to self-built
// members and have no node yet.
func (w *work) onWayHome() int32 {
	n := int32(0)
	for _, m := range w.pool.members {
		if !m.Elastic && m.usable() {
			n += max(0, w.target[m.Name]-int32(m.Snapshot.Workload(w.Workload).Scheduled))
		}
	}
	return n
}

// early reports whether a self-built member has room for a replica of a binding
// as long as what is on its way there is not there.
func (r *round) early(w *work) (bool, error) {
	bound := r.boundAt(w.pool)
	for _, m := range w.pool.members {
		if m.Elastic || !w.takes(m) {
			continue
		}
		pod := r.replica(w, m)
		if pod == nil {
			continue
		}
		need := requested(&pod.Spec)
		if need.Cpu().MilliValue() > bound.widestCPU || need.Memory().Value() > bound.widestMemory {
			continue
		}
		if bound.slots-r.homeOf(w.pool).slots <= int64(w.onWayHome()) {
			// Nothing is on its way that may come before or after its own: what the
			// round found is so.
			return false, nil
		}
		res, err := m.Simulator.Place(r.ctx, m.Snapshot.Fork(), keptOff(pod, m.virtualNodes), 1)
		if r.ctx.Err() != nil {
			return false, fmt.Errorf("cannot simulate %s in %s: %w", w.ID, m.Name, err)
		}
		// One that cannot be simulated has no place there.
		if err == nil && res.Placed > 0 {
			return true, nil
		}
	}
	return false, nil
}

// boundAt returns what is free at home as long as nothing that is on its way is
// there.
func (r *round) boundAt(p *pool) *home {
	if p.bound == nil {
		p.bound = countHome(p, func(m *member) []fwk.NodeInfo { return m.Snapshot.Nodes() })
	}
	return p.bound
}
