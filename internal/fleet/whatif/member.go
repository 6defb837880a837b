package whatif

import (
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

// A member of the play.
type member struct {
	name string
	// snapshot of what there is; nil if the member is not there.
	snapshot  *snapshot.Snapshot
	simulator simulation.Simulator
	// virtual offerings of all pools.
	virtual []scheduler.Virtual

	// edit is what changes are made to; nil before the first.
	edit *snapshot.Edit
	// stale says that the snapshot is not what there is.
	stale bool
	// starting pods, by UID.
	starting map[types.UID]start
}

// A start is a pod that runs when it is due.
type start struct {
	pod *corev1.Pod
	due time.Time
}

// change returns the member for change.
func (m *member) change() *snapshot.Edit {
	if m.edit == nil {
		m.edit = m.snapshot.Edit()
	}
	m.stale = true
	return m.edit
}

// refresh makes the snapshot what there is.
func (m *member) refresh() {
	if m.stale && m.edit != nil {
		m.snapshot = m.edit.Snapshot()
	}
	m.stale = false
}

// nodes that are there.
func (m *member) nodes() []*corev1.Node {
	if m.snapshot == nil {
		return nil
	}
	out := make([]*corev1.Node, 0, m.snapshot.NumNodes())
	for _, ni := range m.snapshot.Nodes() {
		out = append(out, ni.Node())
	}
	return out
}

func (m *member) node(name string) *corev1.Node {
	if m.snapshot == nil {
		return nil
	}
	if ni := m.snapshot.Node(name); ni != nil {
		return ni.Node()
	}
	return nil
}

// podsOn a node.
func (m *member) podsOn(node string) []*corev1.Pod {
	var out []*corev1.Pod
	if m.snapshot != nil && m.snapshot.Node(node) != nil {
		for _, pi := range m.snapshot.Node(node).GetPods() {
			out = append(out, pi.GetPod())
		}
	}
	return out
}

// offering of a real node that was ordered, or nothing.
func (m *member) offering(n *corev1.Node) string {
	if n == nil || scheduler.OfferingOf(n, m.virtual) != "" {
		return ""
	}
	return n.Labels[fleetv1alpha1.LabelOffering]
}

// count the nodes of an offering.
func (m *member) count(offering string) int {
	c := 0
	for _, n := range m.nodes() {
		if m.offering(n) == offering {
			c++
		}
	}
	return c
}

// rented nodes.
func (m *member) rented() int32 {
	c := int32(0)
	for _, n := range m.nodes() {
		if m.offering(n) != "" {
			c++
		}
	}
	return c
}

// idle reports whether nothing but virtual nodes, which are always there, and
// what belongs to nodes is left.
func (m *member) idle() bool {
	if m.rented() > 0 || slices.ContainsFunc(m.snapshot.Pending(), isLoad) {
		return false
	}
	return !slices.ContainsFunc(m.nodes(), func(n *corev1.Node) bool { return slices.ContainsFunc(m.podsOn(n.Name), isLoad) })
}

// isLoad tells pods that somebody needs from those that come with a node.
func isLoad(p *corev1.Pod) bool { return p.Namespace != metav1.NamespaceSystem && !ofNode(p) }

// ofNode tells pods that are on every node, or of the node itself.
func ofNode(p *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(p)
	return ref != nil && (ref.Kind == "DaemonSet" || ref.Kind == "Node")
}

// removeNode gives a node back, unless it carries load.
func (m *member) removeNode(name string) bool {
	if m.node(name) == nil || slices.ContainsFunc(m.podsOn(name), isLoad) {
		return false
	}
	m.change().DeleteNode(name)
	return true
}

// addNode adds a node that is Ready, with a name of its own.
func (m *member) addNode(s planner.Shape, name string, now time.Time) {
	n := s.Node.DeepCopy()
	n.Name, n.UID, n.CreationTimestamp = name, types.UID(name), metav1.NewTime(now)
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	n.Labels[corev1.LabelHostname] = name
	setReady(n)
	m.change().SetNode(n)
	for i, d := range s.Daemons {
		d := *d
		d.Name = fmt.Sprintf("%s-%d", name, i)
		d.UID, d.Spec.NodeName = types.UID(d.Name), name
		m.change().SetPod(&d)
	}
}

// begin makes pods that are leaving gone, as they are by the time anything else
// happens, and notes which ones start. Those that were made before patience and do
// not run will not.
func (m *member) begin(patience time.Time, s starts) {
	if m.snapshot == nil {
		return
	}
	var leaving []*corev1.Pod
	m.starting = map[types.UID]start{}
	for _, ni := range m.snapshot.Nodes() {
		of := scheduler.OfferingOf(ni.Node(), m.virtual)
		for _, pi := range ni.GetPods() {
			switch p := pi.GetPod(); {
			case p.DeletionTimestamp != nil:
				leaving = append(leaving, p)
			case !isRunning(p) && p.CreationTimestamp.After(patience):
				m.starting[p.UID] = start{pod: p, due: p.CreationTimestamp.Add(s.seconds[of])}
			}
		}
	}
	for _, p := range m.snapshot.Pending() {
		if p.DeletionTimestamp != nil {
			leaving = append(leaving, p)
		}
	}
	for _, p := range leaving {
		m.change().DeletePod(p)
	}
	m.refresh()
}

func isRunning(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
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
	for _, n := range m.nodes() {
		if due, ok := s.due(n, now); ok {
			note(due)
		}
	}
	for _, st := range m.starting {
		note(st.due)
	}
	return next
}

// wake makes nodes and pods Ready that are due.
func (m *member) wake(now time.Time, s starts) bool {
	woke := false
	for _, n := range m.nodes() {
		if due, ok := s.due(n, now); ok && !due.After(now) {
			n = n.DeepCopy()
			setReady(n)
			m.change().SetNode(n)
			woke = true
		}
	}
	for id, st := range m.starting {
		if !st.due.After(now) {
			delete(m.starting, id)
			m.change().SetPod(ready(st.pod))
			woke = true
		}
	}
	return woke
}

func ready(p *corev1.Pod) *corev1.Pod {
	out := *p
	out.Status.Phase = corev1.PodRunning
	out.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return &out
}
