package observer

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// roomFor says how many pods like the supplied one the nodes could hold beside
// the pods that are there, which are those of other workloads. It is plain
// first fit over requests and the number of pods; affinity is not looked at, so
// that it shares nothing with the simulation it judges.
func roomFor(like *corev1.PodSpec, nodes []*corev1.Node, others []*corev1.Pod) int {
	used := map[string]corev1.ResourceList{}
	count := map[string]int64{}
	for _, p := range others {
		if p.Spec.NodeName == "" || terminal(p) {
			continue
		}
		if used[p.Spec.NodeName] == nil {
			used[p.Spec.NodeName] = corev1.ResourceList{}
		}
		add(used[p.Spec.NodeName], requests(&p.Spec))
		count[p.Spec.NodeName]++
	}

	want := requests(like)
	room := 0
	for _, n := range nodes {
		if !takes(n, like) {
			continue
		}
		fits := int64(math.MaxInt32)
		if pods, ok := n.Status.Allocatable[corev1.ResourcePods]; ok {
			fits = pods.Value() - count[n.Name]
		}
		for name, w := range want {
			if w.IsZero() {
				continue
			}
			free := n.Status.Allocatable[name].DeepCopy()
			free.Sub(used[n.Name][name])
			fits = min(fits, quotient(free, w))
		}
		room += int(max(fits, 0))
	}
	return room
}

// quotient is how often w goes into free, in thousandths so that CPU counts.
func quotient(free, w resource.Quantity) int64 {
	if free.Sign() <= 0 {
		return 0
	}
	// MilliValue overflows for memory of petabytes only.
	return free.MilliValue() / w.MilliValue()
}

// takes says whether a pod may run on a node at all.
func takes(n *corev1.Node, p *corev1.PodSpec) bool {
	if n.Spec.Unschedulable || !nodeReady(n) {
		return false
	}
	for k, v := range p.NodeSelector {
		if n.Labels[k] != v {
			return false
		}
	}
	for i := range n.Spec.Taints {
		t := &n.Spec.Taints[i]
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !tolerates(p.Tolerations, t) {
			return false
		}
	}
	return true
}

func tolerates(ts []corev1.Toleration, t *corev1.Taint) bool {
	for i := range ts {
		switch tol := &ts[i]; {
		case tol.Effect != "" && tol.Effect != t.Effect:
		case tol.Key == "" && tol.Operator == corev1.TolerationOpExists:
			return true
		case tol.Key != t.Key:
		case tol.Operator == corev1.TolerationOpExists, tol.Value == t.Value:
			return true
		}
	}
	return false
}

// requests of a pod, as the kube-scheduler counts them: the containers together,
// or the largest init container, and the overhead.
func requests(p *corev1.PodSpec) corev1.ResourceList {
	sum := corev1.ResourceList{}
	for i := range p.Containers {
		add(sum, p.Containers[i].Resources.Requests)
	}
	for i := range p.InitContainers {
		c := &p.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(sum, c.Resources.Requests)
			continue
		}
		for name, q := range c.Resources.Requests {
			if have := sum[name]; q.Cmp(have) > 0 {
				sum[name] = q
			}
		}
	}
	add(sum, p.Overhead)
	return sum
}

func add(to, more corev1.ResourceList) {
	for name, q := range more {
		sum := to[name].DeepCopy()
		sum.Add(q)
		to[name] = sum
	}
}

func terminal(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
