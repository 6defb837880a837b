package whatif

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A member of the play. Its nodes and pods are taken from the snapshot when they
// are to change first.
type member struct {
	name      string
	snapshot  *snapshot.Snapshot
	simulator simulation.Simulator

	opened bool
	nodes  []*corev1.Node
	// pods of all nodes, and those without one.
	pods []*corev1.Pod
	// stale says that the snapshot is not what nodes and pods are.
	stale bool
	// starting pods run when they are due.
	starting map[types.UID]time.Time
}

// open takes nodes and pods out of the snapshot. Pods that are leaving are gone
// by the time anything else happens.
func (m *member) open() {
	if m.opened {
		return
	}
	m.opened = true
	if m.snapshot == nil {
		return
	}
	for _, ni := range m.snapshot.Nodes() {
		m.nodes = append(m.nodes, ni.Node())
		for _, pi := range ni.GetPods() {
			m.pods = append(m.pods, pi.GetPod())
		}
	}
	m.pods = append(m.pods, m.snapshot.Pending()...)
	n := len(m.pods)
	m.pods = slices.DeleteFunc(m.pods, func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
	m.stale = m.stale || n != len(m.pods)
}

func (m *member) set(nodes []*corev1.Node, pods []*corev1.Pod) {
	m.opened, m.nodes, m.pods, m.stale = true, nodes, pods, true
}

// refresh makes a snapshot of what there is.
func (m *member) refresh() {
	m.open()
	m.snapshot = snapshot.NewWithObjects(m.nodes, m.pods, m.snapshot.Objects())
	m.stale = false
}

func (m *member) has(node string) bool {
	m.open()
	return slices.ContainsFunc(m.nodes, func(n *corev1.Node) bool { return n.Name == node })
}

// offering of a node, or nothing.
func (m *member) offering(node string) string {
	m.open()
	for _, n := range m.nodes {
		if n.Name == node {
			return n.Labels[fleetv1alpha1.LabelOffering]
		}
	}
	return ""
}

// count the nodes of an offering.
func (m *member) count(offering string) int {
	m.open()
	c := 0
	for _, n := range m.nodes {
		if n.Labels[fleetv1alpha1.LabelOffering] == offering {
			c++
		}
	}
	return c
}

// rented nodes.
func (m *member) rented() int32 {
	m.open()
	c := int32(0)
	for _, n := range m.nodes {
		if n.Labels[fleetv1alpha1.LabelOffering] != "" {
			c++
		}
	}
	return c
}

// idle reports whether nothing but virtual nodes, which are always there, and
// what belongs to nodes is left.
func (m *member) idle() bool {
	return m.rented() == 0 && !slices.ContainsFunc(m.pods, isLoad)
}

// isLoad tells pods that somebody needs from those that come with a node.
func isLoad(p *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(p)
	return p.Namespace != metav1.NamespaceSystem && (ref == nil || ref.Kind != "DaemonSet" && ref.Kind != "Node")
}

// removeNode gives a node back, unless it carries load.
func (m *member) removeNode(name string) bool {
	on := func(p *corev1.Pod) bool { return p.Spec.NodeName == name }
	if !m.has(name) || slices.ContainsFunc(m.pods, func(p *corev1.Pod) bool { return on(p) && isLoad(p) }) {
		return false
	}
	m.nodes = slices.DeleteFunc(m.nodes, func(n *corev1.Node) bool { return n.Name == name })
	m.pods = slices.DeleteFunc(m.pods, on)
	m.stale = true
	return true
}

// addNode adds a node that is Ready, with a name of its own.
func (m *member) addNode(s planner.Shape, name string, now time.Time) {
	m.open()
	n := s.Node.DeepCopy()
	n.Name, n.UID, n.CreationTimestamp = name, types.UID(name), metav1.NewTime(now)
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	n.Labels[corev1.LabelHostname] = name
	setReady(n)
	m.nodes = append(m.nodes, n)
	for i, d := range s.Daemons {
		d := *d
		d.Name = fmt.Sprintf("%s-%d", name, i)
		d.UID, d.Spec.NodeName = types.UID(d.Name), name
		m.pods = append(m.pods, &d)
	}
	m.stale = true
}

// setReady makes a node take pods.
func setReady(n *corev1.Node) {
	n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable || t.Key == corev1.TaintNodeNetworkUnavailable
	})
	n.Status.Conditions = slices.DeleteFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue})
}

func isReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// starts has for offerings how long a node, or a pod on a virtual one, takes.
type starts struct {
	seconds map[string]time.Duration
	virtual []scheduler.Virtual
	// arrival is for how long a node that is not Ready may still become so.
	arrival time.Duration
}

func (p *play) starts(name string) starts {
	s := starts{seconds: map[string]time.Duration{}}
	for i := range p.plans {
		for _, o := range p.plans[i].Plan.Spec.Offerings {
			if o.Member == name {
				s.seconds[o.Name] = time.Duration(o.StartSeconds) * time.Second
				s.arrival = p.plans[i].Settings.Arrival
			}
		}
	}
	for i := range p.in.Pools {
		for _, v := range p.in.Pools[i].Virtual {
			if v.Member == name {
				s.virtual = append(s.virtual, v)
			}
		}
	}
	return s
}

// due is when a node that is not Ready will be; it is not ok if it is, or if it
// came so long ago that it is broken.
func (s starts) due(n *corev1.Node, now time.Time) (time.Time, bool) {
	of := n.Labels[fleetv1alpha1.LabelOffering]
	if isReady(n) || of == "" || !n.CreationTimestamp.Add(s.arrival).After(now) {
		return time.Time{}, false
	}
	return n.CreationTimestamp.Add(s.seconds[of]), true
}

// next is when a node or pod of the member will be Ready; zero if none will.
func (m *member) next(now time.Time, s starts) time.Time {
	var next time.Time
	note := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if m.snapshot == nil {
		return next
	}
	m.open()
	for _, n := range m.nodes {
		if due, ok := s.due(n, now); ok {
			note(due)
		}
	}
	for _, due := range m.starting {
		note(due)
	}
	return next
}

// wake makes nodes and pods Ready that are due.
func (m *member) wake(now time.Time, s starts) bool {
	woke := false
	for i, n := range m.nodes {
		if due, ok := s.due(n, now); ok && !due.After(now) {
			m.nodes[i] = n.DeepCopy()
			setReady(m.nodes[i])
			woke = true
		}
	}
	for i, p := range m.pods {
		if due, ok := m.starting[p.UID]; ok && !due.After(now) {
			delete(m.starting, p.UID)
			m.pods[i] = ready(p)
			woke = true
		}
	}
	m.stale = m.stale || woke
	return woke
}

func ready(p *corev1.Pod) *corev1.Pod {
	out := *p
	out.Status.Phase = corev1.PodRunning
	out.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return &out
}

// run lets the members have the pods that are assigned to them. It reports
// whether that changed anything.
func (p *play) run() (bool, error) {
	changed := false
	names := make([]string, 0, len(p.members))
	for name := range p.members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := p.members[name]
		if s := p.state(name); s != scheduler.Serving && s != scheduler.Draining || m.snapshot == nil || m.simulator == nil {
			continue
		}
		m.open()
		s := p.starts(name)
		acted := m.wake(p.in.Now, s)
		p.show(m)
		var err error
		for i := range p.in.Bindings {
			var did bool
			if did, err = p.runOne(m, &p.in.Bindings[i], s); err != nil {
				return false, err
			}
			acted = acted || did
			p.show(m)
		}
		bound, err := p.bind(m, s)
		if err != nil {
			return false, err
		}
		p.show(m)
		changed = changed || acted || bound
	}
	return changed, nil
}

// runOne makes as many pods of a workload in a member as are assigned.
func (p *play) runOne(m *member, b *scheduler.Binding, s starts) (bool, error) {
	if !b.Divided || b.Held || b.Template == nil {
		return false, nil
	}
	r := b.Reported[m.name]
	if r.Finished {
		return false, nil
	}
	size := b.Template.Size()
	have := int32(m.snapshot.Workload(b.Workload).Total) / size
	want := max(0, b.Assigned[m.name]-r.Succeeded)
	if have == 0 && r.Ready > 0 && !scheduler.Recognizes(b.Workload.Kind) {
		// Its pods belong to something in between: which they are is not known.
		did := r.Ready != want
		r.Ready = want
		b.Reported[m.name] = r
		return did, nil
	}
	if have > want {
		m.cut(b.Workload, int((have-want)*size))
	}
	if have < want {
		if err := p.start(m, b, int(want-have), s); err != nil {
			return false, err
		}
	}
	return have != want, nil
}

// start makes pods of a workload. Those that have no place wait.
func (p *play) start(m *member, b *scheduler.Binding, n int, s starts) error {
	t := *b.Template
	if b.Tolerates[m.name] && len(s.virtual) > 0 && !t.Grouped() {
		t.Spec = scheduler.Tolerant(&t.Spec, s.virtual)
	}
	pods, err := p.pods(m, &t, n)
	if err != nil {
		return fmt.Errorf("cannot play %s in %s: %w", b.ID, m.name, err)
	}
	for _, pod := range pods {
		made := *pod
		p.serial++
		made.Name = fmt.Sprintf("%s-whatif-%d", b.Workload.Name, p.serial)
		made.UID = types.UID(m.name + "/" + made.Name)
		made.CreationTimestamp = metav1.NewTime(p.in.Now)
		m.add(&made, s, p.in.Now)
	}
	return nil
}

// pods of n replicas, on the nodes to which the member's kube-scheduler binds
// them.
func (p *play) pods(m *member, t *scheduler.Template, n int) ([]*corev1.Pod, error) {
	if t.Grouped() {
		group, err := t.Group(m.snapshot.Objects())
		if err != nil {
			return nil, err
		}
		res, err := scheduler.PlaceGroups(p.ctx, m.simulator, m.snapshot.Fork(), group, n)
		if err != nil {
			return nil, err
		}
		for range n - res.Placed {
			for _, c := range group {
				res.Pods = append(res.Pods, slices.Repeat([]*corev1.Pod{c.Pod}, c.Count)...)
			}
		}
		return res.Pods, nil
	}
	pod, err := t.Pod(m.snapshot.Objects())
	if err != nil {
		return nil, err
	}
	res, err := m.simulator.Place(p.ctx, m.snapshot.Fork(), pod, n)
	if err != nil {
		return nil, err
	}
	return append(res.Pods, slices.Repeat([]*corev1.Pod{pod}, n-res.Placed)...), nil
}

// add a pod: one on a real node runs at once, one on a virtual node soon.
func (m *member) add(pod *corev1.Pod, s starts, now time.Time) {
	m.stale = true
	if pod.Spec.NodeName == "" {
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(now),
		}}
		m.pods = append(m.pods, pod)
		return
	}
	of := ""
	for _, n := range m.nodes {
		if n.Name == pod.Spec.NodeName {
			of = scheduler.OfferingOf(n, s.virtual)
		}
	}
	if of == "" {
		m.pods = append(m.pods, ready(pod))
		return
	}
	pod.Annotations = map[string]string{corev1.PodDeletionCost: scheduler.DeletionCost}
	if m.starting == nil {
		m.starting = map[types.UID]time.Time{}
	}
	m.starting[pod.UID] = now.Add(s.seconds[of])
	m.pods = append(m.pods, pod)
}

// cut ends pods of a workload, in about the order of its controller: those
// without a node, those that do not run, those that cost least to delete, and
// the newest.
func (m *member) cut(k snapshot.WorkloadKey, n int) {
	var of []*corev1.Pod
	for _, p := range m.pods {
		if w, ok := snapshot.WorkloadOf(p); ok && w == k {
			of = append(of, p)
		}
	}
	rank := func(p *corev1.Pod) int {
		switch {
		case p.Spec.NodeName == "":
			return 0
		case !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}):
			return 1
		case p.Annotations[corev1.PodDeletionCost] == scheduler.DeletionCost:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(of, func(a, b *corev1.Pod) int {
		return cmp.Or(rank(a)-rank(b), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
	})
	gone := map[types.UID]bool{}
	for _, p := range of[:min(n, len(of))] {
		gone[p.UID] = true
		delete(m.starting, p.UID)
	}
	m.pods = slices.DeleteFunc(m.pods, func(p *corev1.Pod) bool { return gone[p.UID] })
	m.stale = true
}

// bind gives pods that wait a node, in the order of the member's queue.
func (p *play) bind(m *member, s starts) (bool, error) {
	bound := false
	f := m.snapshot.Fork()
	for _, pod := range m.snapshot.Pending() {
		if len(pod.Spec.SchedulingGates) > 0 {
			continue
		}
		res, err := m.simulator.Place(p.ctx, f, pod, 1)
		if err != nil && p.ctx.Err() != nil {
			return false, fmt.Errorf("cannot play a pod that waits in %s: %w", m.name, err)
		}
		if err != nil || res.Placed == 0 {
			// Its own kube-scheduler has no place for it either.
			continue
		}
		now := *pod
		now.Spec.NodeName = res.Pods[0].Spec.NodeName
		m.pods = slices.DeleteFunc(m.pods, func(o *corev1.Pod) bool { return o.UID == pod.UID })
		m.add(&now, s, p.in.Now)
		bound = true
	}
	return bound, nil
}
