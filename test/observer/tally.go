package observer

import (
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// A tally keeps the books of an Observer. It is fed with what the watches say
// and is not safe for concurrent use.
type tally struct {
	clock clock.PassiveClock
	skew  time.Duration

	members   map[string]*member
	workloads map[types.NamespacedName]*workload

	// dirty is set when capacity must be computed again.
	dirty         bool
	pdbViolations int
	budgetLosses  []budgetLoss
	violations    []Violation
}

type member struct {
	cloud     bool
	connected bool
	pods      map[types.NamespacedName]*corev1.Pod
	nodes     map[string]*corev1.Node
	local     map[types.NamespacedName]*appsv1.Deployment
	budgets   map[types.NamespacedName]*budget
}

type workload struct {
	namespace string
	selector  labels.Selector
	template  corev1.PodSpec
	desired   int
	// ready and pods by member.
	ready map[string]int
	pods  map[string]int

	losses []loss
	gains  []gain

	peak, peakCloud, needed, floor int
}

// A loss is a Ready replica that disappeared. It is judged one skew later.
type loss struct {
	at time.Time
	// removed is when the deletion was asked for, if that is known, in the
	// second resolution of the API.
	removed time.Time
	member  string
	pod     string
	// before and after are the Ready replicas around it.
	before, after int
}

// A gain is a replica that turned Ready. used gains have made up for a loss.
type gain struct {
	at     time.Time
	since  time.Time
	member string
	used   bool
}

func newTally(c clock.PassiveClock, skew time.Duration) *tally {
	return &tally{clock: c, skew: skew, members: map[string]*member{}, workloads: map[types.NamespacedName]*workload{}}
}

func key(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func (t *tally) addMember(name string, cloud bool) {
	t.members[name] = &member{
		cloud: cloud,
		pods:  map[types.NamespacedName]*corev1.Pod{}, nodes: map[string]*corev1.Node{},
		local: map[types.NamespacedName]*appsv1.Deployment{}, budgets: map[types.NamespacedName]*budget{},
	}
	t.dirty = true
}

func (t *tally) connected(name string) {
	if m := t.members[name]; m != nil {
		m.connected = true
	}
}

// dropMember takes everything that ran there for gone.
func (t *tally) dropMember(name string) {
	m := t.members[name]
	if m == nil {
		return
	}
	for _, p := range m.pods {
		t.dropPod(name, p)
	}
	delete(t.members, name)
	t.dirty = true
}

func (t *tally) setDemand(d *appsv1.Deployment) {
	w := t.workloads[key(d)]
	if w == nil {
		w = &workload{namespace: d.Namespace, ready: map[string]int{}, pods: map[string]int{}}
		t.workloads[key(d)] = w
	}
	w.desired = 1
	if d.Spec.Replicas != nil {
		w.desired = int(*d.Spec.Replicas)
	}
	w.template = d.Spec.Template.Spec
	first := w.selector == nil
	w.selector = selector(d.Spec.Selector)
	if first {
		t.recount(key(d), w)
	}
	t.dirty = true
}

func (t *tally) dropDemand(d *appsv1.Deployment) {
	if w := t.workloads[key(d)]; w != nil {
		w.desired = 0
		t.dirty = true
	}
}

// recount the pods of a workload that was not known before.
func (t *tally) recount(k types.NamespacedName, w *workload) {
	for name, m := range t.members {
		for _, p := range m.pods {
			if p.Namespace != k.Namespace || !w.selector.Matches(labels.Set(p.Labels)) {
				continue
			}
			if present(p) {
				w.pods[name]++
			}
			if ready(p) {
				w.ready[name]++
			}
		}
	}
	w.peak = max(w.peak, total(w.ready))
	w.peakCloud = max(w.peakCloud, t.cloudPods(w))
}

func (t *tally) setPod(name string, p *corev1.Pod) {
	m := t.members[name]
	if m == nil {
		return
	}
	old := m.pods[key(p)]
	m.pods[key(p)] = p
	if old != nil && old.UID != p.UID {
		t.change(name, old, nil)
		old = nil
	}
	t.change(name, old, p)
}

func (t *tally) dropPod(name string, p *corev1.Pod) {
	m := t.members[name]
	if m == nil || m.pods[key(p)] == nil {
		return
	}
	old := m.pods[key(p)]
	delete(m.pods, key(p))
	// The last state may carry the time of the deletion.
	if p.UID == old.UID {
		t.change(name, old, p)
		old = p
	}
	t.change(name, old, nil)
}

// change books the step from one state of a pod to the next. Either may be nil.
func (t *tally) change(name string, from, to *corev1.Pod) {
	t.dirty = true
	p := to
	if p == nil {
		p = from
	}
	for k, w := range t.workloads {
		if k.Namespace != p.Namespace || !w.selector.Matches(labels.Set(p.Labels)) {
			continue
		}
		w.pods[name] += one(present(to)) - one(present(from))
		before := total(w.ready)
		w.ready[name] += one(ready(to)) - one(ready(from))
		after := total(w.ready)
		now := t.clock.Now()
		switch {
		case after < before:
			if after < w.desired {
				w.losses = append(w.losses, loss{at: now, removed: removedAt(to, from, now), member: name, pod: p.Name, before: before, after: after})
			}
		case after > before:
			w.gains = append(w.gains, gain{at: now, since: readySince(to), member: name})
		}
		w.peak = max(w.peak, after)
		w.peakCloud = max(w.peakCloud, t.cloudPods(w))
	}
}

func (t *tally) setNode(name string, n *corev1.Node) {
	if m := t.members[name]; m != nil {
		m.nodes[n.Name] = n
		t.dirty = true
	}
}

func (t *tally) dropNode(name string, n *corev1.Node) {
	if m := t.members[name]; m != nil {
		delete(m.nodes, n.Name)
		t.dirty = true
	}
}

func (t *tally) setLocal(name string, d *appsv1.Deployment) {
	if m := t.members[name]; m != nil {
		m.local[key(d)] = d
	}
}

func (t *tally) dropLocal(name string, d *appsv1.Deployment) {
	if m := t.members[name]; m != nil {
		delete(m.local, key(d))
	}
}

func (t *tally) dropBudget(name string, b *policyv1.PodDisruptionBudget) {
	if m := t.members[name]; m != nil {
		delete(m.budgets, key(b))
	}
}

// settle computes capacity and judges what is old enough.
func (t *tally) settle() {
	if t.dirty {
		t.dirty = false
		for k, w := range t.workloads {
			w.needed = max(w.needed, w.desired-t.room(k, w))
		}
	}
	ripe := t.clock.Now().Add(-t.skew)
	for k, w := range t.workloads {
		t.judge(k, w, ripe)
	}
	t.judgeBudgets(ripe)
}

// room is how many replicas of a workload the self-built members could hold.
func (t *tally) room(k types.NamespacedName, w *workload) int {
	room := 0
	for _, m := range t.members {
		if m.cloud {
			continue
		}
		var others []*corev1.Pod
		for _, p := range m.pods {
			if p.Namespace != k.Namespace || !w.selector.Matches(labels.Set(p.Labels)) {
				others = append(others, p)
			}
		}
		room += roomFor(&w.template, slices.Collect(maps.Values(m.nodes)), others)
	}
	return room
}

// judge decides the losses that are older than a skew. A loss counts unless
// demand had fallen, or a substitute in another cluster was Ready before the
// replica was removed: its watch may tell us a little later.
func (t *tally) judge(k types.NamespacedName, w *workload, ripe time.Time) {
	for len(w.losses) > 0 && !w.losses[0].at.After(ripe) {
		l := w.losses[0]
		w.losses = w.losses[1:]
		if l.after >= w.desired || w.substituted(l, t.skew) {
			continue
		}
		w.floor++
		t.violations = append(t.violations, Violation{
			Time: l.at, Subject: k.String(),
			Detail: fmt.Sprintf("Ready pod %s of %s disappeared: %d Ready before, %d after, %d wanted", l.pod, l.member, l.before, l.after, w.desired),
		})
	}
	w.gains = slices.DeleteFunc(w.gains, func(g gain) bool { return g.used || g.at.Before(ripe.Add(-t.skew)) })
}

// substituted finds a replica that turned Ready elsewhere before the lost one
// was removed and that was seen after the loss.
func (w *workload) substituted(l loss, skew time.Duration) bool {
	for i := range w.gains {
		g := &w.gains[i]
		if g.used || g.member == l.member || !g.at.After(l.at) || g.at.After(l.at.Add(skew)) || g.since.After(l.removed) {
			continue
		}
		g.used = true
		return true
	}
	return false
}

// cloudPods are the pods of a workload in the cloud, without substitutes that
// are there for pods on virtual nodes: those move inside their cluster, make
// before break.
func (t *tally) cloudPods(w *workload) int {
	n, all, virtual := 0, 0, 0
	for name, c := range w.pods {
		all += c
		if m := t.members[name]; m != nil && m.cloud {
			n += c
			virtual += m.virtualPods(w)
		}
	}
	return n - min(virtual, max(0, all-w.desired))
}

// virtualPods counts the pods of a workload on virtual nodes.
func (m *member) virtualPods(w *workload) int {
	if !slices.ContainsFunc(slices.Collect(maps.Values(m.nodes)), isVirtual) {
		return 0
	}
	n := 0
	for _, p := range m.pods {
		if node := m.nodes[p.Spec.NodeName]; node != nil && isVirtual(node) && p.Namespace == w.namespace && present(p) && w.selector.Matches(labels.Set(p.Labels)) {
			n++
		}
	}
	return n
}

// isVirtual says whether a node is no machine: it is there while nothing is
// rented.
func isVirtual(n *corev1.Node) bool {
	return n.Labels["type"] == "virtual-kubelet" || n.Labels[corev1.LabelInstanceTypeStable] == "eklet"
}

func (t *tally) state() State {
	s := State{Time: t.clock.Now(), PDBViolations: t.pdbViolations, Violations: slices.Clone(t.violations)}
	for _, name := range slices.Sorted(maps.Keys(t.members)) {
		m := t.members[name]
		v := Member{Name: name, Cloud: m.cloud, Connected: m.connected, Pods: len(m.pods)}
		for _, n := range m.nodes {
			v.Nodes += one(nodeReady(n) && !isVirtual(n))
		}
		if m.cloud {
			s.Nodes.Cloud += v.Nodes
		} else {
			s.Nodes.Own += v.Nodes
		}
		s.Members = append(s.Members, v)
	}
	for k, w := range t.workloads {
		v := Workload{
			Namespace: k.Namespace, Name: k.Name, Desired: w.desired, Ready: counts(w.ready), Pods: counts(w.pods),
			PeakReplicas: w.peak, PeakCloudReplicas: w.peakCloud, NeededCloudReplicas: w.needed, ReadyFloorViolations: w.floor,
		}
		for name, n := range v.Ready {
			if m := t.members[name]; m != nil && m.cloud {
				v.Cloud += n
				v.Virtual += m.virtualPods(w)
			} else {
				v.Own += n
			}
		}
		v.Pending = max(0, v.Desired-v.Own-v.Cloud)
		s.Workloads = append(s.Workloads, v)
	}
	slices.SortFunc(s.Workloads, func(a, b Workload) int {
		return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
	})
	return s
}

func (t *tally) reset() {
	t.pdbViolations, t.budgetLosses, t.violations = 0, nil, nil
	for k, w := range t.workloads {
		if w.desired == 0 && total(w.pods) == 0 {
			delete(t.workloads, k)
			continue
		}
		w.peak, w.peakCloud, w.needed, w.floor = total(w.ready), t.cloudPods(w), 0, 0
		w.losses, w.gains = nil, nil
	}
	t.dirty = true
}

// present pods count as replicas, Ready or not.
func present(p *corev1.Pod) bool { return p != nil && p.DeletionTimestamp == nil && !terminal(p) }

// ready pods serve. One that is being deleted is on its way out.
func ready(p *corev1.Pod) bool { return present(p) && !readySince(p).IsZero() }

func readySince(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			if c.LastTransitionTime.IsZero() {
				return time.Unix(0, 0)
			}
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// removedAt is when the deletion of a pod was asked for: the deletion timestamp
// lies the grace period later. Otherwise, it is now.
func removedAt(to, from *corev1.Pod, now time.Time) time.Time {
	for _, p := range []*corev1.Pod{to, from} {
		if p != nil && p.DeletionTimestamp != nil {
			var grace int64
			if p.DeletionGracePeriodSeconds != nil {
				grace = *p.DeletionGracePeriodSeconds
			}
			return p.DeletionTimestamp.Add(-time.Duration(grace) * time.Second)
		}
	}
	return now
}

func selector(s *metav1.LabelSelector) labels.Selector {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return sel
}

func total(byMember map[string]int) int {
	n := 0
	for _, c := range byMember {
		n += c
	}
	return n
}

// counts returns a copy without zeros.
func counts(byMember map[string]int) map[string]int {
	out := maps.Clone(byMember)
	maps.DeleteFunc(out, func(_ string, n int) bool { return n == 0 })
	return out
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
