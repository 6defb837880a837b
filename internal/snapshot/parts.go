package snapshot

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// A partsKey tells what a PodInfo is computed from, by identity: pods that were
// interned have the same containers and affinity if their templates are equal.
type partsKey struct {
	containers, initContainers *corev1.Container
	numContainers, numInit     int
	// affinity and namespace are set only if there are terms about pods, which
	// belong to the namespace.
	affinity  *corev1.Affinity
	namespace string
}

// sharedParts are the parsed terms and summed requests of pods that have them in
// common, and how many these are.
type sharedParts struct {
	info framework.PodInfo
	pods int
}

// partsKeyOf returns false for a pod that has something that few have and that
// its requests are computed from besides.
func partsKeyOf(p *corev1.Pod) (partsKey, bool) {
	if len(p.Spec.Containers) == 0 || p.Spec.Overhead != nil || p.Spec.Resources != nil ||
		p.Status.ContainerStatuses != nil || p.Status.InitContainerStatuses != nil || p.Status.Resources != nil {
		return partsKey{}, false
	}
	k := partsKey{containers: &p.Spec.Containers[0], numContainers: len(p.Spec.Containers), numInit: len(p.Spec.InitContainers)}
	if k.numInit > 0 {
		k.initContainers = &p.Spec.InitContainers[0]
	}
	if a := p.Spec.Affinity; a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil) {
		k.affinity, k.namespace = a, p.Namespace
	}
	return k, true
}

// parse computes what a PodInfo needs besides its pod, or takes it from another
// pod of the template.
func (c *content) parse(pi *framework.PodInfo) {
	p := pi.Pod
	k, shareable := partsKeyOf(p)
	if c.parts == nil || !shareable {
		parsePod(pi)
		return
	}
	s := c.parts[k]
	if s == nil {
		s = &sharedParts{info: framework.PodInfo{Pod: p}}
		parsePod(&s.info)
		s.info.Pod = nil
		c.parts[k] = s
	}
	s.pods++
	*pi = s.info
	pi.Pod = p
}

// parsePod computes all of a PodInfo. Terms that cannot be parsed are left out,
// as kube-scheduler does: API servers do not check all of them.
func parsePod(pi *framework.PodInfo) {
	parsed, _ := framework.NewPodInfo(pi.Pod)
	parsed.CalculateResource()
	*pi = *parsed
}

// release is told that a pod that was parsed is gone.
func (c *content) release(p *corev1.Pod) {
	k, shareable := partsKeyOf(p)
	if !shareable {
		return
	}
	if s := c.parts[k]; s != nil {
		if s.pods--; s.pods == 0 {
			delete(c.parts, k)
		}
	}
}
