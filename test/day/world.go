// Package day is a region whose days pass in seconds: members in which pods
// start, run and end after their delays, placed by a simulation of each member's
// kube-scheduler, cloud nodes that come after a delay and are billed while they
// exist, and workloads whose demand follows a published, seeded day. Fleet's own
// scheduler and planner run on its clock, and so can others.
//
// # What is simplified
//
// Pods have a place or none: nothing crashes, no image is pulled. A ReplicaSet
// deletes pods without a node first, then those that are not Ready, then the
// youngest. A command to a member that is silent arrives when it answers again,
// as Karmada's does.
package day

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Namespace of all workloads.
const Namespace = "day"

// Delays of a world.
type Delays struct {
	// PodStart is from a pod's node until it is Ready, PodStop from its deletion
	// until it is gone.
	PodStart, PodStop time.Duration
	// NodeStart is from the order of a node until it is Ready.
	NodeStart time.Duration
}

// DefaultDelays are those of small images, the default grace period, and of
// instances of ACK and TKE.
var DefaultDelays = Delays{PodStart: 20 * time.Second, PodStop: 30 * time.Second, NodeStart: 90 * time.Second}

// A World is the members of a region at a moment.
type World struct {
	Now     time.Time
	Delays  Delays
	Members []*Member

	services map[string]*Service
	sim      simulation.Simulator
	serial   int
}

// A Member is a cluster.
type Member struct {
	Name string
	// Elastic members have nodes that are rented.
	Elastic bool
	// Silent since then, if not zero: it runs what it runs, but nobody sees it,
	// and no command arrives. Use Hush and Answer.
	Silent time.Time

	nodes  map[string]*corev1.Node
	orders []order
	pods   map[string][]*pod
	// told is what the member was told to run, wants what has arrived.
	told, wants map[string]int32
	// shown is what it showed when it was last looked at, fresh that nothing
	// has changed since.
	shown *snapshot.Snapshot
	fresh bool
	// waits says that its kube-scheduler has something to look at.
	waits bool
	// nodeSeconds that were billed.
	nodeSeconds float64
	// cut pods by service since the beginning: those that were Ready, and those
	// that were not yet.
	cut, cutWaiting map[string]int32
}

// An order is a node that is on its way.
type order struct {
	offering *fleetv1alpha1.Offering
	ready    time.Time
}

// A pod with what happens to it next.
type pod struct {
	*corev1.Pod
	ready, gone time.Time
}

// NewWorld returns a world without members.
func NewWorld(now time.Time, d Delays, s simulation.Simulator) *World {
	return &World{Now: now, Delays: d, services: map[string]*Service{}, sim: s}
}

// AddMember adds a member with equal nodes of its own.
func (w *World) AddMember(name string, elastic bool, nodes int, allocatable corev1.ResourceList) *Member {
	m := &Member{Name: name, Elastic: elastic, nodes: map[string]*corev1.Node{}, pods: map[string][]*pod{}, told: map[string]int32{}, wants: map[string]int32{}, cut: map[string]int32{}, cutWaiting: map[string]int32{}}
	for i := range nodes {
		n := newNode(fmt.Sprintf("%s-%02d", name, i), allocatable, w.Now)
		m.nodes[n.Name] = n
	}
	w.Members = append(w.Members, m)
	return m
}

// AddService makes a workload known.
func (w *World) AddService(s *Service) { w.services[s.Name] = s }

// Member by name, or nil.
func (w *World) Member(name string) *Member {
	for _, m := range w.Members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

func newNode(name string, allocatable corev1.ResourceList, now time.Time) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}, CreationTimestamp: metav1.NewTime(now)},
		Status: corev1.NodeStatus{
			Allocatable: allocatable, Capacity: allocatable,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

// Tell a member how many replicas of a workload to run.
func (w *World) Tell(member, service string, replicas int32) {
	w.Member(member).told[service] = replicas
}

// Order nodes of an offering.
func (w *World) Order(m *Member, o *fleetv1alpha1.Offering, n int) {
	for range n {
		m.orders = append(m.orders, order{offering: o, ready: w.Now.Add(w.Delays.NodeStart)})
	}
}

// Cancel up to n orders of an offering, the latest first.
func (m *Member) Cancel(offering string, n int) {
	for i := len(m.orders) - 1; i >= 0 && n > 0; i-- {
		if m.orders[i].offering.Name == offering {
			m.orders = slices.Delete(m.orders, i, i+1)
			n--
		}
	}
}

// Ordered nodes of an offering: those that exist, and those on their way.
func (m *Member) Ordered(offering string) (exist, coming int) {
	for _, n := range m.nodes {
		if n.Labels[fleetv1alpha1.LabelOffering] == offering {
			exist++
		}
	}
	for _, o := range m.orders {
		if o.offering.Name == offering {
			coming++
		}
	}
	return exist, coming
}

// GiveBack a node. It reports false, and nothing happens, if pods are on it.
func (m *Member) GiveBack(node string) bool {
	if m.nodes[node] == nil || m.load(node) > 0 {
		return false
	}
	delete(m.nodes, node)
	m.fresh = false
	return true
}

func (m *Member) load(node string) int {
	n := 0
	for _, ps := range m.pods {
		for _, p := range ps {
			if p.Spec.NodeName == node {
				n++
			}
		}
	}
	return n
}

// Objects are the nodes that exist, by name, and the pods of all workloads. Neither may be
// changed.
func (m *Member) Objects() (map[string]*corev1.Node, map[string]*corev1.Pod) {
	pods := map[string]*corev1.Pod{}
	for _, ps := range m.pods {
		for _, p := range ps {
			pods[p.Name] = p.Pod
		}
	}
	return m.nodes, pods
}

// Sum of what pods request of a resource, in thousandths, or of the pods themselves:
// of those that have a node, and of those that wait for one.
func Sum(pods map[string]*corev1.Pod, name corev1.ResourceName) (on, waiting int64) {
	for _, p := range pods {
		q := int64(1)
		if name != corev1.ResourcePods {
			r := p.Spec.Containers[0].Resources.Requests[name]
			q = r.MilliValue()
		}
		if p.Spec.NodeName != "" {
			on += q
		} else {
			waiting += q
		}
	}
	return on, waiting
}

// Nodes that exist, by name.
func (m *Member) Nodes() []string { return slices.Sorted(maps.Keys(m.nodes)) }

// Hush makes a member silent.
func (w *World) Hush(m *Member) {
	m.Snapshot()
	m.Silent = w.Now
}

// Answer makes a member answer again.
func (w *World) Answer(m *Member) { m.Silent, m.fresh, m.waits = time.Time{}, false, true }

// Count of a workload's pods in a member that are not leaving: all, those on a
// node, and those that are Ready.
func (m *Member) Count(service string) (pods, placed, ready int32) {
	for _, p := range m.pods[service] {
		if p.DeletionTimestamp != nil {
			continue
		}
		pods++
		if p.Spec.NodeName != "" {
			placed++
		}
		if len(p.Status.Conditions) > 0 && p.Status.Conditions[0].Type == corev1.PodReady {
			ready++
		}
	}
	return pods, placed, ready
}

// Snapshot of what a member shows. While it is silent that is what it showed
// last.
func (m *Member) Snapshot() *snapshot.Snapshot {
	if m.shown != nil && (m.fresh || !m.Silent.IsZero()) {
		return m.shown
	}
	m.shown, m.fresh = m.truth(), true
	return m.shown
}

// truth is what really is in a member.
func (m *Member) truth() *snapshot.Snapshot {
	nodes := make([]*corev1.Node, 0, len(m.nodes))
	for _, name := range m.Nodes() {
		nodes = append(nodes, m.nodes[name])
	}
	var pods []*corev1.Pod
	for _, s := range slices.Sorted(maps.Keys(m.pods)) {
		for _, p := range m.pods[s] {
			pods = append(pods, p.Pod)
		}
	}
	return snapshot.NewWithObjects(nodes, pods, nil)
}

// Advance lets time pass. Nothing may happen in between: see Next.
func (w *World) Advance(to time.Time) {
	for _, m := range w.Members {
		billed := len(m.orders)
		for _, n := range m.nodes {
			if n.Labels[fleetv1alpha1.LabelOffering] != "" {
				billed++
			}
		}
		m.nodeSeconds += float64(billed) * to.Sub(w.Now).Seconds()
	}
	w.Now = to
}

// NodeHours billed in all members, from the order of a node until it is gone.
func (w *World) NodeHours() float64 {
	sum := 0.0
	for _, m := range w.Members {
		sum += m.nodeSeconds / 3600
	}
	return sum
}

// Next is when something happens by itself; zero if nothing does.
func (w *World) Next() time.Time {
	var next time.Time
	see := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, m := range w.Members {
		for _, o := range m.orders {
			see(o.ready)
		}
		for _, ps := range m.pods {
			for _, p := range ps {
				if p.DeletionTimestamp != nil {
					see(p.gone)
				} else {
					see(p.ready)
				}
			}
		}
	}
	return next
}

// Settle does what happens now: nodes come, pods become Ready or are gone,
// controllers and kube-schedulers do their work. It reports whether anything
// changed. An error says that the context ended.
func (w *World) Settle(ctx context.Context) (bool, error) {
	changed := false
	for _, m := range w.Members {
		c := w.nodesCome(m)
		c = w.podsChange(m) || c
		c = w.control(m) || c
		if c {
			m.fresh, m.waits = false, true
		}
		bound, err := w.schedule(ctx, m)
		if err != nil {
			return changed, err
		}
		changed = changed || c || bound
	}
	return changed, nil
}

func (w *World) nodesCome(m *Member) bool {
	before := len(m.orders)
	m.orders = slices.DeleteFunc(m.orders, func(o order) bool {
		if o.ready.After(w.Now) {
			return false
		}
		w.serial++
		n := newNode(fmt.Sprintf("%s-n%04d", o.offering.Name, w.serial), o.offering.Allocatable, w.Now)
		n.Labels[fleetv1alpha1.LabelOffering] = o.offering.Name
		m.nodes[n.Name] = n
		return true
	})
	return len(m.orders) != before
}

func (w *World) podsChange(m *Member) bool {
	changed := false
	for s, ps := range m.pods {
		before := len(ps)
		ps = slices.DeleteFunc(ps, func(p *pod) bool { return p.DeletionTimestamp != nil && !p.gone.After(w.Now) })
		changed = changed || len(ps) != before
		for _, p := range ps {
			if p.DeletionTimestamp == nil && !p.ready.IsZero() && !p.ready.After(w.Now) {
				c := *p.Pod
				c.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(w.Now)}}
				p.Pod, p.ready = &c, time.Time{}
				changed = true
			}
		}
		m.pods[s] = ps
	}
	return changed
}

// control makes and deletes pods, as a Deployment's controllers do.
func (w *World) control(m *Member) bool {
	if m.Silent.IsZero() {
		maps.Copy(m.wants, m.told)
	}
	changed := false
	for _, s := range slices.Sorted(maps.Keys(m.wants)) {
		n := m.wants[s]
		var alive []*pod
		for _, p := range m.pods[s] {
			if p.DeletionTimestamp == nil {
				alive = append(alive, p)
			}
		}
		for have := int32(len(alive)); have < n; have++ {
			if p := w.create(m, w.services[s], have); p != nil {
				m.pods[s] = append(m.pods[s], p)
				changed = true
			}
		}
		if w.services[s].Kind == "StatefulSet" {
			slices.Reverse(alive)
		} else {
			slices.SortStableFunc(alive, goesFirst)
		}
		for i := range max(0, len(alive)-int(n)) {
			p := alive[i]
			changed = true
			if p.Spec.NodeName == "" || !p.ready.IsZero() {
				m.cutWaiting[s]++
			} else {
				m.cut[s]++
			}
			if p.Spec.NodeName == "" {
				m.pods[s] = slices.DeleteFunc(m.pods[s], func(o *pod) bool { return o == p })
				continue
			}
			c := *p.Pod
			p.gone = w.Now.Add(w.Delays.PodStop)
			c.DeletionTimestamp = &metav1.Time{Time: p.gone}
			p.Pod = &c
		}
	}
	return changed
}

// goesFirst orders pods as a ReplicaSet deletes them.
func goesFirst(a, b *pod) int {
	rank := func(p *pod) int {
		switch {
		case p.Spec.NodeName == "":
			return 0
		case !p.ready.IsZero():
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
}

// create a pod; nil if the index of a StatefulSet's is still leaving.
func (w *World) create(m *Member, s *Service, index int32) *pod {
	w.serial++
	p := s.pod.DeepCopy()
	p.UID = types.UID(fmt.Sprintf("%s-%06d", s.Name, w.serial))
	p.Name = string(p.UID)
	if s.Kind == "StatefulSet" {
		p.Name = fmt.Sprintf("%s-%d", s.Name, index)
		if slices.ContainsFunc(m.pods[s.Name], func(o *pod) bool { return o.Name == p.Name }) {
			return nil
		}
	}
	p.CreationTimestamp = metav1.NewTime(w.Now)
	return &pod{Pod: p}
}

// schedule does what the member's kube-scheduler does with the pods that wait.
func (w *World) schedule(ctx context.Context, m *Member) (bool, error) {
	if !m.waits {
		return false, nil
	}
	m.waits = false
	waiting := map[string][]*pod{}
	for s, ps := range m.pods {
		for _, p := range ps {
			if p.Spec.NodeName == "" && p.DeletionTimestamp == nil {
				waiting[s] = append(waiting[s], p)
			}
		}
	}
	if len(waiting) == 0 {
		return false, nil
	}
	names := slices.SortedFunc(maps.Keys(waiting), func(a, b string) int {
		return cmp.Or(waiting[a][0].CreationTimestamp.Compare(waiting[b][0].CreationTimestamp.Time), cmp.Compare(a, b))
	})
	fork := m.truth().Fork()
	changed := false
	for _, s := range names {
		ps := waiting[s]
		res, err := w.sim.Place(ctx, fork, ps[0].Pod, len(ps))
		if err != nil {
			return changed, fmt.Errorf("cannot place %s in %s: %w", s, m.Name, err)
		}
		for i, p := range ps {
			c := *p.Pod
			switch {
			case i < res.Placed:
				c.Spec.NodeName = res.Pods[i].Spec.NodeName
				c.Status.Conditions = nil
				p.ready = w.Now.Add(w.Delays.PodStart)
			case len(c.Status.Conditions) > 0:
				continue
			default:
				c.Status.Conditions = []corev1.PodCondition{{
					Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(w.Now),
				}}
			}
			p.Pod = &c
			changed = true
		}
	}
	if changed {
		m.fresh = false
	}
	return changed, nil
}
