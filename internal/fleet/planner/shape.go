package planner

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A Shape is a node that does not exist yet, and the daemon pods that would run
// on it.
type Shape struct {
	Node    *corev1.Node
	Daemons []*corev1.Pod
}

// Shapes returns the nodes that would come if count more of an offering were
// ordered, as plans picture them. Of the input only the plan, the memory and the
// snapshots of the members are looked at. An error says that the plan has no
// such offering of real nodes, or contradicts itself.
func Shapes(in Input, name string, count int) ([]Shape, error) {
	p := &plan{in: in, memory: in.Memory.clone(), members: map[string]*member{}, offerings: map[string]*offering{}, reserved: map[string]*reserved{}}
	if err := p.load(); err != nil {
		return nil, err
	}
	o := p.offerings[name]
	if o == nil || o.Virtual != nil {
		return nil, fmt.Errorf("plan %s has no offering %q of nodes", in.Plan.Name, name)
	}
	out := make([]Shape, 0, count)
	for i := range count {
		n, daemons := p.templateAt(o, i)
		out = append(out, Shape{Node: n, Daemons: daemons})
	}
	return out, nil
}

// VirtualNodes returns the virtual nodes of an offering that a cluster has as soon
// as it is there: one in each zone, or one where the zones are not known. Each has
// room for as many pods of the largest size as the offering has in all. An error
// says that the plan has no such offering of virtual nodes, or contradicts itself.
func VirtualNodes(in Input, name string) ([]*corev1.Node, error) {
	p := &plan{in: in, memory: in.Memory.clone(), members: map[string]*member{}, offerings: map[string]*offering{}, reserved: map[string]*reserved{}}
	if err := p.load(); err != nil {
		return nil, err
	}
	o := p.offerings[name]
	if o == nil || o.Virtual == nil {
		return nil, fmt.Errorf("plan %s has no offering %q of virtual nodes", in.Plan.Name, name)
	}
	room := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(int64(o.Max), resource.DecimalSI)}
	for resourceName, q := range o.Allocatable {
		if resourceName != corev1.ResourcePods {
			q = q.DeepCopy()
			q.Mul(int64(o.Max))
			room[resourceName] = q
		}
	}
	out := make([]*corev1.Node, 0, max(1, len(o.Zones)))
	for i := range cap(out) {
		id := "virtual." + o.Name + "." + strconv.Itoa(i)
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: id, UID: types.UID(id), Labels: maps.Clone(o.Labels)}}
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		maps.Copy(n.Labels, o.Virtual.NodeLabels)
		n.Labels[corev1.LabelHostname] = id
		if len(o.Zones) > 0 {
			n.Labels[corev1.LabelTopologyZone] = o.zoneLabel(o.Zones[i])
		}
		if n.Labels[corev1.LabelTopologyRegion] = cmp.Or(n.Labels[corev1.LabelTopologyRegion], o.regionLabel()); n.Labels[corev1.LabelTopologyRegion] == "" {
			delete(n.Labels, corev1.LabelTopologyRegion)
		}
		n.Spec.Taints = o.Taints
		n.Status.Allocatable, n.Status.Capacity = room, room
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		out = append(out, n)
	}
	return out, nil
}
