package scheduler

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	fwk "k8s.io/kube-scheduler/framework"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// DeletionCost is the value of the annotation
// controller.kubernetes.io/pod-deletion-cost that pods on virtual nodes get, so
// that their ReplicaSet deletes them before others that are as Ready.
const DeletionCost = "-1000"

// notVirtualWeight is the weight of the preference for real nodes: the highest
// there is.
const notVirtualWeight = 100

// Tolerant returns the variant of a template that runs in a member with virtual
// nodes: it tolerates them, and prefers others. It has the tolerations and the
// affinity that are to replace the template's own, and is the same otherwise.
func Tolerant(t *corev1.PodTemplateSpec, vs []Virtual) corev1.PodTemplateSpec {
	out := *t.DeepCopy()
	not := map[string][]string{}
	for _, v := range vs {
		for _, tol := range v.Tolerations {
			if !slices.ContainsFunc(out.Spec.Tolerations, func(have corev1.Toleration) bool { return equality.Semantic.DeepEqual(have, tol) }) {
				out.Spec.Tolerations = append(out.Spec.Tolerations, tol)
			}
		}
		for k, value := range v.NodeLabels {
			not[k] = append(not[k], value)
		}
	}
	if len(not) == 0 {
		return out
	}
	prefer := corev1.PreferredSchedulingTerm{Weight: notVirtualWeight}
	for _, k := range slices.Sorted(maps.Keys(not)) {
		slices.Sort(not[k])
		prefer.Preference.MatchExpressions = append(prefer.Preference.MatchExpressions, corev1.NodeSelectorRequirement{
			Key: k, Operator: corev1.NodeSelectorOpNotIn, Values: slices.Compact(not[k]),
		})
	}
	a := nodeAffinity(&out.Spec)
	a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution, prefer)
	return out
}

// nodeAffinity returns the node affinity of a pod for change.
func nodeAffinity(s *corev1.PodSpec) *corev1.NodeAffinity {
	if s.Affinity == nil {
		s.Affinity = &corev1.Affinity{}
	}
	if s.Affinity.NodeAffinity == nil {
		s.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	return s.Affinity.NodeAffinity
}

// keptOff returns a pod that does not go to the supplied nodes, whatever it
// tolerates.
func keptOff(p *corev1.Pod, nodes map[string]string) *corev1.Pod {
	if len(nodes) == 0 {
		return p
	}
	out := p.DeepCopy()
	a := nodeAffinity(&out.Spec)
	if a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		a.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
	}
	terms := a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	for i := range terms {
		for _, name := range slices.Sorted(maps.Keys(nodes)) {
			terms[i].MatchFields = append(terms[i].MatchFields, corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{name}})
		}
	}
	return out
}

// virtualPods are the pods of a workload on virtual nodes of a member.
// Terminating ones do not count.
type virtualPods struct {
	total, ready int32
	// steered pods are deleted before those on real nodes.
	steered map[string]int32
	// mine may become so, and move: they have no deletion cost of the user's,
	// and are Ready or new. Both by offering.
	mine map[string]int32
}

// OfferingOf returns the offering of virtual nodes that a node belongs to, or
// nothing if it is a real one.
func OfferingOf(n *corev1.Node, vs []Virtual) string {
	for i := range vs {
		v := &vs[i]
		all := len(v.NodeLabels) > 0
		for k, value := range v.NodeLabels {
			all = all && n.Labels[k] == value
		}
		if all {
			return v.Offering
		}
	}
	return ""
}

// loadVirtual finds the virtual nodes of the members and what runs there.
func (r *round) loadVirtual() {
	for _, p := range r.in.Pools {
		for _, v := range p.Virtual {
			m := r.members[v.Member]
			if m != nil && !slices.ContainsFunc(m.virtuals, func(o Virtual) bool { return o.Offering == v.Offering }) {
				m.virtuals = append(m.virtuals, v)
			}
		}
	}
	for _, m := range r.members {
		if len(m.virtuals) == 0 || m.Snapshot == nil {
			continue
		}
		m.virtualNodes, m.onVirtual = map[string]string{}, map[snapshot.WorkloadKey]virtualPods{}
		for _, ni := range m.Snapshot.Nodes() {
			o := OfferingOf(ni.Node(), m.virtuals)
			if o == "" {
				continue
			}
			m.virtualNodes[ni.Node().Name] = o
			if Leaves(ni.Node()) {
				continue
			}
			for _, pi := range ni.GetPods() {
				m.countVirtual(o, pi.GetPod(), r.in.Now.Add(-r.in.Settings.MoveTimeout))
			}
		}
	}
}

// countVirtual counts a pod. One that was made before patience and is not Ready
// will not move: no node is wanted for it.
func (m *member) countVirtual(offering string, p *corev1.Pod, patience time.Time) {
	k, ok := snapshot.WorkloadOf(p)
	if !ok || p.DeletionTimestamp != nil {
		return
	}
	v, ok := m.onVirtual[k]
	if !ok {
		v.steered, v.mine = map[string]int32{}, map[string]int32{}
	}
	v.total++
	ready := isReady(p)
	if ready {
		v.ready++
	}
	movable := ready || p.CreationTimestamp.After(patience)
	switch p.Annotations[corev1.PodDeletionCost] {
	case DeletionCost:
		v.steered[offering]++
		if movable {
			v.mine[offering]++
		}
	case "":
		if movable {
			v.mine[offering]++
		}
	}
	m.onVirtual[k] = v
}

// isVirtual reports whether a node of the member's fork is a virtual one.
func (m *member) isVirtual(ni fwk.NodeInfo) bool {
	_, ok := m.virtualNodes[ni.Node().Name]
	return ok
}

// onVirtualNodes returns how many of the copies that were placed are on virtual
// nodes.
func (m *member) onVirtualNodes(res simulation.Result) int32 {
	n := 0
	for name := range m.virtualNodes {
		n += res.Nodes[name]
	}
	return int32(n)
}

// virtual returns how many of the replicas assigned to a member are on virtual
// nodes or will be, and how many of them are Ready.
func (r *round) virtual(w *work, m *member) virtualPods {
	v := m.onVirtual[w.Workload]
	v.total = min(max(0, v.total+w.bound[m.Name]-w.gone[m.Name]), w.target[m.Name])
	v.ready = min(v.ready, v.total)
	return v
}

// steerable workloads delete the pods first that cost least to delete. Only
// those can leave virtual nodes without leaving the member.
func (w *work) steerable() bool {
	return w.Workload.Kind == "Deployment" || w.Workload.Kind == "ReplicaSet"
}

// toNodes starts to move replicas of a binding from virtual nodes of a member
// to its real nodes, as far as these have room and its kube-scheduler would put
// them there. A step adds replicas; cutting those on virtual nodes is the
// business of cut, in a later round, when the new ones are Ready.
func (r *round) toNodes(w *work) error {
	if !w.Divided || w.Held || w.Template == nil || !w.steerable() {
		return nil
	}
	if w.moving > 0 || w.unmet > 0 || w.waiting > 0 || total(w.target)-r.replacedIn(w) != w.Replicas {
		return nil
	}
	step := max(1, w.Replicas*r.in.Settings.StepPercent/100)
	home := w.goingHome()
	for i := len(w.pool.members) - 1; i >= 0 && w.moving < step; i-- {
		m := w.pool.members[i]
		if len(m.virtuals) == 0 || !m.usable() || w.Refused[m.Name] != "" {
			continue
		}
		n := int32(0)
		for _, v := range m.virtuals {
			if v.Moves {
				n += m.onVirtual[w.Workload].steered[v.Offering]
			}
		}
		if n = min(n, w.target[m.Name]); n <= 0 {
			continue
		}
		if pods, _ := w.seen(m); pods > w.target[m.Name] {
			// The last ones that were cut are not gone yet. To add as many now
			// would keep them.
			continue
		}
		if v := r.virtual(w, m); v.ready < v.total {
			// Cutting one that is not Ready could as well take its substitute.
			continue
		}
		// Those that go home soon need not move twice.
		stay := min(n, home)
		home -= stay
		if n -= stay; n <= 0 {
			continue
		}
		if w.state.NotBefore != nil && w.state.NotBefore.After(r.in.Now) {
			r.wake(*w.state.NotBefore)
			return nil
		}
		room, err := r.roomOnNodes(w, m, min(n, step-w.moving))
		if err != nil {
			return err
		}
		if room > 0 {
			w.target[m.Name] += room
			w.moving += room
		}
	}
	if w.moving > 0 {
		w.state.ToNodes, w.state.NotBefore, w.state.ExcessSince = true, nil, at(r.in.Now)
		r.wake(r.in.Now.Add(r.in.Settings.MoveTimeout))
	}
	return nil
}

// goingHome returns how many replicas will return home soon.
func (w *work) goingHome() int32 {
	if w.state.RoomSince == nil {
		return 0
	}
	return max(w.state.Room, w.state.Grown)
}

// roomOnNodes places up to n replicas of a binding on the real nodes of a
// member, but no more than its kube-scheduler would put there: the preference
// for real nodes is one among others, and replicas that end up on virtual nodes
// again would move for ever.
func (r *round) roomOnNodes(w *work, m *member, n int32) (int32, error) {
	kept := maps.Clone(w.refusals)
	defer func() { w.refusals = kept }()
	mark := m.fork.Mark()
	room, err := r.simulate(w, m, n)
	if err != nil || room == 0 {
		m.fork.Commit(mark)
		return 0, err
	}
	m.fork.Revert(mark)
	pod := r.stored(w, m)
	if pod == nil {
		m.fork.Commit(mark)
		return 0, nil
	}
	res, ok, err := r.run(w, m, pod, room)
	if err != nil {
		return 0, err
	}
	m.fork.Revert(mark)
	m.fork.Commit(mark)
	if !ok {
		return 0, nil
	}
	room = int32(res.Placed) - m.onVirtualNodes(res)
	if room <= 0 {
		return 0, nil
	}
	return r.simulate(w, m, room)
}

// movable returns the replicas of a binding on virtual nodes for which real
// nodes may be ordered: not those that move already, or will go home.
func (r *round) movable(w *work) []VirtualReplicas {
	if !w.Divided || w.Template == nil || !w.steerable() {
		return nil
	}
	var out []VirtualReplicas
	skip := max(0, w.moving) + w.goingHome()
	for i := len(w.pool.members) - 1; i >= 0; i-- {
		m := w.pool.members[i]
		if len(m.virtuals) == 0 || !m.usable() {
			continue
		}
		left, gone := w.target[m.Name], w.gone[m.Name]
		for _, v := range m.virtuals {
			n := m.onVirtual[w.Workload].mine[v.Offering]
			cut := min(n, gone)
			gone -= cut
			n = min(n-cut, left)
			left -= n
			moving := min(n, skip)
			skip -= moving
			if n -= moving; n > 0 {
				out = append(out, VirtualReplicas{Binding: w.ID, Pool: w.Pool, Member: m.Name, Offering: v.Offering, Template: w.Template, Count: n, Refused: w.Refused})
			}
		}
	}
	return out
}
