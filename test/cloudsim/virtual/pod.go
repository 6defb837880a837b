package virtual

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
)

const (
	// ConditionCreated of a pod says whether the instance behind it could be
	// made. It is the condition ECI sets.
	ConditionCreated corev1.PodConditionType = "ContainerInstanceCreated"
	// ReasonNoStock is the reason of the condition and of the event when there
	// is no capacity.
	ReasonNoStock = "NoStock"
	// ReasonFailed is the reason of the status of a pod that cannot run on a
	// virtual node, or whose instance is gone. It is what a virtual kubelet
	// reports when its provider fails a pod.
	ReasonFailed = "ProviderFailed"

	gpuResource corev1.ResourceName = "nvidia.com/gpu"
)

// Capacity of a virtual node: more than anybody will use.
func Capacity() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("1000000"),
		corev1.ResourceMemory:           resource.MustParse("4000Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("4000Ti"),
		corev1.ResourcePods:             resource.MustParse("5000"),
		gpuResource:                     resource.MustParse("10000"),
	}
}

// requests of a pod: the sum over its containers, or the largest init container
// if that is more. A pod that requests no CPU or no memory gets the default.
func requests(p *corev1.Pod, c *config.Virtual) (cpu, memoryGiB, gpu float64) {
	of := func(l corev1.ResourceList, n corev1.ResourceName) float64 {
		q := l[n]
		return q.AsApproximateFloat64()
	}
	total := func(n corev1.ResourceName) float64 {
		sum, largest := 0.0, 0.0
		for _, k := range p.Spec.Containers {
			sum += of(effective(k), n)
		}
		for _, k := range p.Spec.InitContainers {
			largest = max(largest, of(effective(k), n))
		}
		return max(sum, largest)
	}
	cpu, memoryGiB, gpu = total(corev1.ResourceCPU), total(corev1.ResourceMemory)/(1<<30), total(gpuResource)
	if cpu == 0 {
		cpu = c.DefaultCPU
	}
	if memoryGiB == 0 {
		memoryGiB = c.DefaultMemoryGiB
	}
	return cpu, memoryGiB, gpu
}

// effective requests of a container: the API server copies limits where there
// are no requests, but not every pod comes from one.
func effective(k corev1.Container) corev1.ResourceList {
	out := k.Resources.Limits.DeepCopy()
	if out == nil {
		out = corev1.ResourceList{}
	}
	for n, q := range k.Resources.Requests {
		out[n] = q
	}
	return out
}

func images(p *corev1.Pod) []string {
	seen, out := map[string]bool{}, []string{}
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, k := range list {
			if !seen[k.Image] {
				seen[k.Image] = true
				out = append(out, k.Image)
			}
		}
	}
	return out
}

func ofKind(p *corev1.Pod, kind string) bool {
	o := metav1.GetControllerOf(p)
	return o != nil && o.Kind == kind
}

// unsupported returns why a pod cannot run without a machine of its own.
func unsupported(p *corev1.Pod) string {
	switch {
	case ofKind(p, "DaemonSet"):
		return "pods of DaemonSets are not supported on virtual nodes"
	case p.Spec.HostNetwork:
		return "hostNetwork is not supported on virtual nodes"
	case p.Spec.HostPID, p.Spec.HostIPC:
		return "namespaces of the host are not supported on virtual nodes"
	}
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, k := range list {
			if k.SecurityContext != nil && k.SecurityContext.Privileged != nil && *k.SecurityContext.Privileged {
				return "privileged containers are not supported on virtual nodes"
			}
		}
	}
	return ""
}

func condition(t corev1.PodConditionType, s corev1.ConditionStatus, reason, message string, at time.Time) corev1.PodCondition {
	return corev1.PodCondition{Type: t, Status: s, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(at)}
}

// reason of a status, or of the instance that could not be made.
func reason(s corev1.PodStatus) string {
	for _, c := range s.Conditions {
		if c.Type == ConditionCreated && c.Status == corev1.ConditionFalse {
			return c.Reason
		}
	}
	return s.Reason
}

// failed is the status of a pod that will never run.
func failed(why string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodFailed, Reason: ReasonFailed, Message: why}
}

// pending is the status of a pod whose instance is being made, or with a reason
// cannot be made now.
func pending(reason, message string, at time.Time) corev1.PodStatus {
	c := condition(ConditionCreated, corev1.ConditionTrue, "", "", at)
	if reason != "" {
		c = condition(ConditionCreated, corev1.ConditionFalse, reason, message, at)
	}
	return corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{c}}
}

// started is the status of a pod that runs and is ready.
func started(p *corev1.Pod, ip string, at time.Time) corev1.PodStatus {
	now := metav1.NewTime(at)
	s := corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, HostIP: ip, HostIPs: []corev1.HostIP{{IP: ip}}, StartTime: &now,
	}
	for _, t := range []corev1.PodConditionType{ConditionCreated, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		s.Conditions = append(s.Conditions, condition(t, corev1.ConditionTrue, "", "", at))
	}
	for _, g := range p.Spec.ReadinessGates {
		s.Conditions = append(s.Conditions, condition(g.ConditionType, corev1.ConditionTrue, "", "", at))
	}
	yes := true
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}}
	for _, k := range p.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{Name: k.Name, Image: k.Image, Ready: true, Started: &yes, State: running})
	}
	for _, k := range p.Spec.InitContainers {
		c := corev1.ContainerStatus{Name: k.Name, Image: k.Image, Ready: true, State: ended}
		if k.RestartPolicy != nil && *k.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			c.Started, c.State = &yes, running
		}
		s.InitContainerStatuses = append(s.InitContainerStatuses, c)
	}
	return s
}

// succeeded is the status of a pod that has done its work.
func succeeded(p *corev1.Pod, ip string, at time.Time) corev1.PodStatus {
	s := started(p, ip, at)
	s.Phase = corev1.PodSucceeded
	for i := range s.Conditions {
		switch c := &s.Conditions[i]; c.Type {
		case corev1.PodReady, corev1.ContainersReady:
			c.Status, c.Reason = corev1.ConditionFalse, "PodCompleted"
		}
	}
	now := metav1.NewTime(at)
	for i := range s.ContainerStatuses {
		c := &s.ContainerStatuses[i]
		c.Ready, c.Started = false, nil
		c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}}
	}
	return s
}
