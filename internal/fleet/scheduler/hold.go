package scheduler

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/resource"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A hold is room that a reservation keeps.
type hold struct {
	*Hold
	pool *pool
	// targets that are in the round.
	targets []*work
	// left is how many replicas it should still hold room for; held of them
	// have it.
	left, held int32
	pods       map[*member]*corev1.Pod
	groups     map[*member][]Copies
	placed     map[*member][]*corev1.Pod
}

func (r *round) loadHolds() {
	if !slices.ContainsFunc(r.in.Pools, func(p Pool) bool { return len(p.Holds) > 0 }) {
		return
	}
	byID := make(map[string]*work, len(r.work))
	for _, w := range r.work {
		byID[w.ID] = w
	}
	for i := range r.in.Pools {
		p := r.pools[r.in.Pools[i].Name]
		for j := range p.Holds {
			h := &hold{Hold: &p.Holds[j], pool: p, left: p.Holds[j].Count, pods: map[*member]*corev1.Pod{}, placed: map[*member][]*corev1.Pod{}}
			for _, id := range h.Bindings {
				if w := byID[id]; w != nil && w.pool == p {
					h.targets = append(h.targets, w)
					w.holds = append(w.holds, h)
				}
			}
			r.holds = append(r.holds, h)
		}
	}
}

func (r *round) bookHolds() error {
	for _, h := range r.holds {
		if err := r.bookHold(h); err != nil {
			return err
		}
	}
	return nil
}

// bookHold puts replicas of a hold on real nodes of elastic members, preferred
// ones first.
func (r *round) bookHold(h *hold) error {
	if h.Template == nil {
		return nil
	}
	members := slices.Clone(h.pool.members)
	slices.SortStableFunc(members, func(a, b *member) int { return h.rank(a) - h.rank(b) })
	for _, m := range members {
		if h.left <= h.held || !m.Elastic || !m.usable() || h.refused()[m.Name] != "" {
			continue
		}
		if h.Template.Grouped() {
			if err := r.bookHeldGroups(h, m); err != nil {
				return err
			}
			continue
		}
		pod, ok := h.pods[m]
		if !ok {
			// One that the member would not store has no place there.
			if p, err := h.Template.Pod(m.Snapshot.Objects()); err == nil {
				pod = keptOff(p, m.virtualNodes)
			}
			h.pods[m] = pod
		}
		if pod == nil {
			continue
		}
		for _, node := range m.fullestFirst(pod) {
			if h.held == h.left {
				break
			}
			mark := m.fork.Mark()
			res, err := m.Simulator.Place(r.ctx, m.fork, onlyOn(pod, node), int(h.left-h.held))
			if err != nil {
				if r.ctx.Err() != nil {
					return fmt.Errorf("cannot simulate what %s holds in %s: %w", h.Reservation, m.Name, err)
				}
				m.fork.Revert(mark)
				m.fork.Commit(mark)
				break
			}
			m.fork.Commit(mark)
			h.held += int32(res.Placed)
			h.placed[m] = append(h.placed[m], res.Pods...)
		}
	}
	return nil
}

// fullestFirst returns the names of a member's real nodes. A kube-scheduler would
// spread what is held over all of them, and none would ever be empty; so it is
// packed, and the others can go. Nodes that are too full for the pod are left
// out: they would be the first of all, and to simulate each takes long.
func (m *member) fullestFirst(pod *corev1.Pod) []string {
	type node struct {
		name string
		cpu  int64
	}
	// List cannot fail on a fork.
	infos, _ := m.fork.List()
	nodes := make([]node, 0, len(infos))
	need := requested(&pod.Spec)
	cpu, memory := need.Cpu().MilliValue(), need.Memory().Value()
	for _, ni := range infos {
		have, used := ni.GetAllocatable(), ni.GetRequested()
		full := cpu > 0 && have.GetMilliCPU()-used.GetMilliCPU() < cpu || memory > 0 && have.GetMemory()-used.GetMemory() < memory ||
			len(ni.GetPods()) >= have.GetAllowedPodNumber()
		if !m.isVirtual(ni) && !full {
			nodes = append(nodes, node{ni.Node().Name, ni.GetRequested().GetMilliCPU()})
		}
	}
	slices.SortFunc(nodes, func(a, b node) int {
		return cmp.Or(cmp.Compare(b.cpu, a.cpu), cmp.Compare(a.name, b.name))
	})
	out := make([]string, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, n.name)
	}
	return out
}

// onlyOn returns a pod that goes to one node.
func onlyOn(p *corev1.Pod, name string) *corev1.Pod {
	out := p.DeepCopy()
	a := nodeAffinity(&out.Spec)
	if a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		a.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
	}
	terms := a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	for i := range terms {
		terms[i].MatchFields = append(terms[i].MatchFields, corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{name}})
	}
	return out
}

// rank of a member: that of its place among the preferred ones, or the last.
func (h *hold) rank(m *member) int {
	if i := slices.Index(h.Prefer, m.Name); i >= 0 {
		return i
	}
	return len(h.Prefer)
}

// refused members are those of its first target.
func (h *hold) refused() map[string]string {
	if len(h.targets) == 0 {
		return nil
	}
	return h.targets[0].Refused
}

// release takes a hold off the forks.
func (h *hold) release() {
	for m, pods := range h.placed {
		for _, p := range pods {
			// It cannot fail: nobody else takes them off.
			_ = m.fork.RemovePod(p.Spec.NodeName, p)
		}
	}
	clear(h.placed)
	h.held = 0
}

// units returns how many replicas of the hold n replicas of a target are, by
// the resource of which they need most.
func (h *hold) units(w *work, n int32) int32 {
	if h.Template == nil || w.Template == nil || w.Template == h.Template {
		return n
	}
	a := w.Template.Requests()
	b := h.Template.Requests()
	ratio := 0.0
	for name, q := range a {
		if each := b[name]; !each.IsZero() {
			ratio = max(ratio, q.AsApproximateFloat64()/each.AsApproximateFloat64())
		}
	}
	if ratio == 0 {
		return n
	}
	return int32(math.Ceil(float64(n)*ratio - 1e-9))
}

func requested(s *corev1.PodSpec) corev1.ResourceList {
	return resource.PodRequests(&corev1.Pod{Spec: *s}, resource.PodResourcesOptions{})
}

// use spends holds of a binding on replicas of it that run, or will, in elastic
// members.
func (w *work) use(n int32) {
	for _, h := range w.holds {
		if n <= 0 {
			return
		}
		units := h.units(w, n)
		if units <= h.left {
			h.left -= units
			h.held = min(h.held, h.left)
			return
		}
		n -= int32(int64(n) * int64(h.left) / int64(units))
		h.left, h.held = 0, 0
	}
}

// fillHeld fills a binding with the room that is held for it.
func (r *round) fillHeld(w *work, n int32) (int32, error) {
	if len(w.holds) == 0 {
		return r.fill(w, n, func(*member) bool { return true }, w.target)
	}
	for _, h := range w.holds {
		h.release()
	}
	before := w.inCloud()
	placed, err := r.fillPreferred(w, n)
	if err != nil {
		return placed, err
	}
	w.use(w.inCloud() - before)
	for _, h := range w.holds {
		if err := r.bookHold(h); err != nil {
			return placed, err
		}
	}
	return placed, nil
}

// fillPreferred fills the members at home, those that the reservations of a
// binding prefer, and then all others.
func (r *round) fillPreferred(w *work, n int32) (int32, error) {
	steps := []func(*member) bool{func(m *member) bool { return !m.Elastic }}
	for _, h := range w.holds {
		for _, name := range h.Prefer {
			steps = append(steps, func(m *member) bool { return m.Elastic && m.Name == name })
		}
	}
	steps = append(steps, func(*member) bool { return true })
	placed := int32(0)
	for _, may := range steps {
		got, err := r.fill(w, n-placed, may, w.target)
		placed += got
		if err != nil || placed == n {
			return placed, err
		}
	}
	return placed, nil
}

// inCloud returns how many replicas are assigned to elastic members.
func (w *work) inCloud() int32 {
	n := int32(0)
	for _, m := range w.pool.members {
		if m.Elastic {
			n += w.target[m.Name]
		}
	}
	return n
}

// rooms that it has. Of what is used by now the room is taken by those who use
// it.
func (h *hold) rooms() []HeldRoom {
	var out []HeldRoom
	left := int(h.held)
	for _, m := range h.pool.members {
		if len(h.placed[m]) == 0 {
			continue
		}
		size := int(h.Template.Size())
		if n := min(len(h.placed[m])/size, left); n > 0 {
			out = append(out, HeldRoom{Member: m.Name, Bindings: h.Bindings, Pods: h.placed[m][:n*size]})
			left -= n
		}
	}
	return out
}

// missing notes what reservations hold, and returns the demand for what they do
// not.
func (r *round) missing(out *Output) []Demand {
	var ds []Demand
	for _, h := range r.holds {
		out.Held[h.Reservation] += h.held
		out.HeldRooms = append(out.HeldRooms, h.rooms()...)
		n := h.left - h.held
		if n <= 0 || h.Template == nil {
			continue
		}
		out.Missing[h.Reservation] += n
		d := Demand{Pool: h.pool.Name, Reservation: h.Reservation, Template: h.Template, Count: n, Prefer: h.Prefer, Refused: h.refused()}
		if len(h.targets) > 0 {
			d.Workload, d.Tolerates = h.targets[0].Workload, h.targets[0].Tolerates
		} else {
			d.Workload = snapshot.WorkloadKey{Namespace: h.Template.Namespace}
		}
		ds = append(ds, d)
	}
	return ds
}
