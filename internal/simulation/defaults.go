package simulation

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// setDefaults gives a pod the API defaults that a scheduler plugin can see. It
// follows SetObjectDefaults_Pod of k8s.io/kubernetes/pkg/apis/core/v1, which
// also sets the many that none can see: how the pod is run, probed and mounted.
func setDefaults(p *corev1.Pod) {
	if p.Spec.SchedulerName == "" {
		p.Spec.SchedulerName = corev1.DefaultSchedulerName
	}
	for _, cs := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range cs {
			c := &cs[i]
			roundUp(c.Resources.Limits)
			roundUp(c.Resources.Requests)
			fill(&c.Resources.Requests, c.Resources.Limits)
			for j := range c.Ports {
				if c.Ports[j].Protocol == "" {
					c.Ports[j].Protocol = corev1.ProtocolTCP
				}
				if p.Spec.HostNetwork && c.Ports[j].HostPort == 0 {
					c.Ports[j].HostPort = c.Ports[j].ContainerPort
				}
			}
		}
	}
	roundUp(p.Spec.Overhead)
	if p.Spec.Resources != nil {
		roundUp(p.Spec.Resources.Limits)
		roundUp(p.Spec.Resources.Requests)
		setPodLevelDefaults(p)
	}
}

// setPodLevelDefaults completes resources that are set for the pod as a whole.
func setPodLevelDefaults(p *corev1.Pod) {
	r := p.Spec.Resources
	if len(r.Limits) == 0 && len(r.Requests) == 0 {
		return
	}
	limits := maps.Clone(r.Limits)
	for k, v := range resourcehelper.AggregateContainerLimits(p, resourcehelper.PodResourcesOptions{}) {
		// A huge page limit of containers is one of the pod, unless the pod has
		// a limit or a request of its own for it.
		if !strings.HasPrefix(string(k), corev1.ResourceHugePagesPrefix) || !resourcehelper.IsSupportedPodLevelResource(k) {
			continue
		}
		_, limited := r.Limits[k]
		_, requested := r.Requests[k]
		if limited || requested {
			continue
		}
		if limits == nil {
			limits = corev1.ResourceList{}
		}
		limits[k] = v
	}
	r.Limits = limits
	if len(r.Limits) == 0 {
		return
	}
	overcommitted := corev1.ResourceList{}
	for k, v := range resourcehelper.AggregateContainerRequests(p, resourcehelper.PodResourcesOptions{}) {
		if resourcehelper.IsSupportedPodLevelResource(k) && !strings.HasPrefix(string(k), corev1.ResourceHugePagesPrefix) {
			overcommitted[k] = v
		}
	}
	fill(&r.Requests, overcommitted)
	supported := corev1.ResourceList{}
	for k, v := range r.Limits {
		if resourcehelper.IsSupportedPodLevelResource(k) {
			supported[k] = v
		}
	}
	fill(&r.Requests, supported)
}

// roundUp rounds quantities up to thousandths, as the API does.
func roundUp(l corev1.ResourceList) {
	for k, v := range l {
		v.RoundUp(resource.Milli)
		l[k] = v
	}
}
