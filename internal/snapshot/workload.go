package snapshot

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A WorkloadKey names the workload that pods belong to.
type WorkloadKey struct {
	// Namespace of the workload and its pods.
	Namespace string
	// Kind of the workload, e.g. Deployment, StatefulSet, Job, CloneSet.
	Kind string
	// Name of the workload.
	Name string
}

// Counts says how many pods of a workload a member has, and in which state.
// Pods that succeeded or failed are not counted at all.
type Counts struct {
	// Total pods that are not terminating.
	Total int
	// Scheduled pods: of Total, those that have a node.
	Scheduled int
	// Ready pods: of Scheduled, those whose condition Ready is true.
	Ready int
	// Unschedulable pods: of Total, those without a node of which the
	// member's kube-scheduler said so (condition PodScheduled is false with
	// reason Unschedulable).
	Unschedulable int
	// Gated pods: of Total, those held back by a scheduling gate.
	Gated int
	// Terminating pods: those with a deletion timestamp. They are in no other
	// count, but they hold their node's resources until they are gone.
	Terminating int
}

func (c Counts) plus(o Counts, sign int) Counts {
	c.Total += sign * o.Total
	c.Scheduled += sign * o.Scheduled
	c.Ready += sign * o.Ready
	c.Unschedulable += sign * o.Unschedulable
	c.Gated += sign * o.Gated
	c.Terminating += sign * o.Terminating
	return c
}

// countsOf returns the contribution of one pod to the counts of its workload.
func countsOf(p *corev1.Pod) Counts {
	if p.DeletionTimestamp != nil {
		return Counts{Terminating: 1}
	}
	c := Counts{Total: 1}
	if p.Spec.NodeName != "" {
		c.Scheduled = 1
		for i := range p.Status.Conditions {
			if p.Status.Conditions[i].Type == corev1.PodReady && p.Status.Conditions[i].Status == corev1.ConditionTrue {
				c.Ready = 1
			}
		}
		return c
	}
	if len(p.Spec.SchedulingGates) > 0 {
		c.Gated = 1
		return c
	}
	for i := range p.Status.Conditions {
		cond := &p.Status.Conditions[i]
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse && cond.Reason == corev1.PodReasonUnschedulable {
			c.Unschedulable = 1
		}
	}
	return c
}

// WorkloadOf returns the workload that owns the supplied pod: its controller,
// or the Deployment of its ReplicaSet. A ReplicaSet made by a Deployment is
// named <deployment>-<pod-template-hash>, and its pods carry the hash as a
// label; that is how the Deployment is found without reading the ReplicaSet.
// Pods that belong to something in between that cannot be told by its name are
// known by the label that their workload's controller puts on them. It returns
// false for a pod that has no controller.
func WorkloadOf(p *corev1.Pod) (WorkloadKey, bool) {
	for _, o := range labelledOwners {
		if name := p.Labels[o.label]; name != "" {
			return WorkloadKey{Namespace: p.Namespace, Kind: o.kind, Name: name}, true
		}
	}
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil {
		return WorkloadKey{}, false
	}
	k := WorkloadKey{Namespace: p.Namespace, Kind: ref.Kind, Name: ref.Name}
	if hash := p.Labels["pod-template-hash"]; ref.Kind == "ReplicaSet" && hash != "" {
		if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && name != "" {
			k.Kind, k.Name = "Deployment", name
		}
	}
	return k, true
}

// sameWorkload reports whether two states of a pod belong to the same workload:
// a controller may adopt a pod, or release it.
func sameWorkload(a, b *corev1.Pod) bool {
	wa, _ := WorkloadOf(a)
	wb, _ := WorkloadOf(b)
	return wa == wb
}

// labelledOwners are the labels of pods whose controller is a StatefulSet or a
// pod of their workload.
var labelledOwners = []struct{ label, kind string }{
	{"leaderworkerset.sigs.k8s.io/name", "LeaderWorkerSet"},
	{"sparkoperator.k8s.io/app-name", "SparkApplication"},
}
