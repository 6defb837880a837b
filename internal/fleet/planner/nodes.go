package planner

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// startupTaints are on nodes that are not Ready for pods yet.
var startupTaints = []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeNetworkUnavailable, "node.cloudprovider.kubernetes.io/uninitialized"}

func isReady(n *corev1.Node) bool {
	ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	return ready && !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return slices.Contains(startupTaints, t.Key) })
}

func isLeaving(n *corev1.Node) bool {
	return n.DeletionTimestamp != nil || slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == fleetv1alpha1.TaintReleasing
	})
}

// carriesLoad reports whether a node has pods that somebody needs. Those of
// daemon sets and of the node itself are on every node, and add-ons of
// kube-system go where nodes are. On a node that is broken, pods that terminate
// will never be gone.
func carriesLoad(ni fwk.NodeInfo, broken bool) bool {
	for _, pi := range ni.GetPods() {
		p := pi.GetPod()
		if onEveryNode(p) || p.Namespace == metav1.NamespaceSystem || broken && p.DeletionTimestamp != nil {
			continue
		}
		return true
	}
	return false
}

// onEveryNode reports whether a pod belongs to its node: it is of a daemon set,
// or a mirror pod, whose controller is the Node.
func onEveryNode(p *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(p)
	return ref != nil && (ref.Kind == "DaemonSet" || ref.Kind == "Node")
}

// fail notes that a node of an offering is broken.
func (o *offering) fail(until time.Time) {
	if until.After(o.failing) {
		o.failing = until
	}
}

// classify sorts the nodes of an offering by what can be expected of them.
func (p *plan) classify(o *offering, listed []string) {
	if o.member.Snapshot == nil {
		return
	}
	for _, ni := range o.member.Snapshot.Nodes() {
		n := ni.Node()
		if n.Labels[fleetv1alpha1.LabelOffering] != o.Name {
			continue
		}
		due := n.CreationTimestamp.Add(p.in.Settings.Arrival)
		ready := isReady(n) && hasDevices(n, o.Allocatable)
		broken := !ready && !due.After(p.in.Now)
		switch {
		case isLeaving(n):
			o.leaving = append(o.leaving, n.Name)
		case slices.Contains(listed, n.Name) && !carriesLoad(ni, broken) && broken:
			// It will not be taken back: those that may be are the last.
			o.listed = slices.Insert(o.listed, 0, n.Name)
			o.spoilt++
			o.fail(due.Add(p.in.Settings.Avoid))
		case slices.Contains(listed, n.Name) && !carriesLoad(ni, broken):
			o.listed = append(o.listed, n.Name)
		case ready:
			o.ready = append(o.ready, n.Name)
		case broken:
			o.broken = append(o.broken, n.Name)
			o.fail(due.Add(p.in.Settings.Avoid))
		default:
			p.wake(due)
			o.starting = append(o.starting, n.Name)
		}
	}
	if len(o.ready) > 0 || !o.failing.After(p.in.Now) {
		// Where some become Ready, one that does not is replaced.
		o.failing = time.Time{}
		return
	}
	p.wake(o.failing)
}

// countNodes counts the nodes of a member, and prepares its fork: nodes that
// will be modelled as promised ones are taken off.
func (p *plan) countNodes(m *member) error {
	if m.Snapshot == nil {
		return nil
	}
	for _, ni := range m.Snapshot.Nodes() {
		if m.isVirtual(ni.Node()) {
			continue
		}
		m.nodes++
		if isReady(ni.Node()) {
			m.nodesReady++
		}
	}
	for _, o := range p.stock {
		if o.member != m {
			continue
		}
		for _, name := range slices.Concat(o.starting, o.listed, o.leaving, o.broken) {
			if m.fork.Node(name) == nil {
				continue
			}
			if err := m.fork.RemoveNode(name); err != nil {
				return fmt.Errorf("cannot prepare node %s of %s: %w", name, m.Name, err)
			}
		}
	}
	return nil
}

// template returns a node of an offering that does not exist yet, and the
// daemon pods that will run on it: those of a Ready node of the same offering,
// or else of any node of the member.
func (p *plan) template(o *offering) (*corev1.Node, []*corev1.Pod) {
	i := o.templates
	o.templates++
	return p.templateAt(o, i)
}

func (p *plan) templateAt(o *offering, i int) (*corev1.Node, []*corev1.Pod) {
	name := fmt.Sprintf("promised.%s.%d", o.Name, i)
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{
			corev1.LabelHostname:   name,
			corev1.LabelOSStable:   "linux",
			corev1.LabelArchStable: "amd64",
		}},
		Spec: corev1.NodeSpec{Taints: o.Taints},
		Status: corev1.NodeStatus{
			Allocatable: o.Allocatable.DeepCopy(),
			Capacity:    o.Allocatable.DeepCopy(),
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	if _, ok := n.Status.Allocatable[corev1.ResourcePods]; !ok {
		n.Status.Allocatable[corev1.ResourcePods] = *defaultPods
	}
	if o.InstanceType != "" {
		n.Labels[corev1.LabelInstanceTypeStable] = o.InstanceType
	}
	if r := o.regionLabel(); r != "" {
		n.Labels[corev1.LabelTopologyRegion] = r
	}
	if len(o.Zones) > 0 {
		n.Labels[corev1.LabelTopologyZone] = o.zoneLabel(o.Zones[i%len(o.Zones)])
	}
	maps.Copy(n.Labels, o.Labels)
	n.Labels[fleetv1alpha1.LabelOffering] = o.Name

	if l, ok := p.memory.Lessons[o.Name]; ok {
		// What the daemon pods take is not in it.
		limit(n.Status.Allocatable, l.Free)
		return n, nil
	}
	var model fwk.NodeInfo
	alike := false
	if o.member.Snapshot != nil {
		for _, ni := range o.member.Snapshot.Nodes() {
			if !isReady(ni.Node()) || o.member.isVirtual(ni.Node()) {
				continue
			}
			alike = slices.Contains(o.ready, ni.Node().Name)
			if alike || model == nil {
				model = ni
			}
			if alike {
				break
			}
		}
	}
	if model == nil {
		return n, nil
	}
	if alike {
		limit(n.Status.Allocatable, model.Node().Status.Allocatable)
	}
	var daemons []*corev1.Pod
	for _, pi := range model.GetPods() {
		if !onEveryNode(pi.GetPod()) {
			continue
		}
		d := *pi.GetPod()
		d.UID = types.UID(name + "/" + string(d.UID))
		d.Spec.NodeName = name
		daemons = append(daemons, &d)
	}
	return n, daemons
}
