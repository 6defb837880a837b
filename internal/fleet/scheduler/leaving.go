package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Leaves reports whether a node goes because its pool does, while its member
// stays. Replicas leave it as they leave a member that drains.
func Leaves(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == fleetv1alpha1.TaintReleasing && t.Value == fleetv1alpha1.ReleasingPool
	})
}

// leavers are the pods of a workload on nodes of a member that leave.
// Terminating ones do not count, nor do those with a deletion cost of the
// user's: others would be deleted in their place.
type leavers struct{ total, ready int32 }

// loadLeavers finds what runs on nodes that leave.
func (r *round) loadLeavers() {
	for _, m := range r.members {
		if !m.Elastic || m.Snapshot == nil {
			continue
		}
		for _, ni := range m.Snapshot.Nodes() {
			if !Leaves(ni.Node()) {
				continue
			}
			for _, pi := range ni.GetPods() {
				p := pi.GetPod()
				k, ok := snapshot.WorkloadOf(p)
				if cost := p.Annotations[corev1.PodDeletionCost]; !ok || p.DeletionTimestamp != nil || cost != "" && cost != DeletionCost {
					continue
				}
				if m.onLeaving == nil {
					m.onLeaving = map[snapshot.WorkloadKey]leavers{}
				}
				l := m.onLeaving[k]
				l.total++
				if isReady(p) {
					l.ready++
				}
				m.onLeaving[k] = l
			}
		}
	}
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func (w *work) toleratesLeaving() bool {
	leaving := corev1.Taint{Key: fleetv1alpha1.TaintReleasing, Value: fleetv1alpha1.ReleasingPool, Effect: corev1.TaintEffectNoSchedule}
	return w.Template != nil && corev1helpers.TolerationsTolerateTaint(klog.Background(), w.Template.Spec.Spec.Tolerations, &leaving, false)
}

// leaving returns how many of the replicas assigned to a member are on nodes that
// leave, and how many of them are Ready. What was cut and is not gone yet is
// there: pods on these nodes are deleted first. A workload that tolerates the
// taint of these nodes is left to its eviction: substitutes would land there too.
func (r *round) leaving(w *work, name string) leavers {
	m := r.members[name]
	if m == nil || m.onLeaving == nil || !m.usable() || !w.Movable || !w.steerable() || w.toleratesLeaving() {
		return leavers{}
	}
	l := m.onLeaving[w.Workload]
	pods, _ := w.seen(m)
	l.total = max(0, min(l.total-max(0, pods-w.target[name]), w.target[name]))
	l.ready = min(l.ready, l.total)
	return l
}
