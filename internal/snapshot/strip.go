package snapshot

import (
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Transform returns what the informers of a Member do to an object before they
// keep it.
func Transform() cache.TransformFunc { return stripForCache }

// stripForCache is the informers' transform: it drops from an object what no
// kube-scheduler plugin reads, so that a million pods fit in memory. It changes
// the object in place, which an informer's transform may do.
func stripForCache(obj any) (any, error) {
	switch o := obj.(type) {
	case *corev1.Pod:
		if !isStripped(o.ManagedFields) {
			stripPod(o)
			o.ManagedFields = stripped
			interned.pod(o)
		}
	case *corev1.Node:
		if !isStripped(o.ManagedFields) {
			stripNode(o)
			o.ManagedFields = stripped
			interned.node(o)
		}
	case *corev1.Service:
		stripMeta(&o.ObjectMeta)
		o.Spec = corev1.ServiceSpec{Selector: o.Spec.Selector}
		o.Status = corev1.ServiceStatus{}
	case *corev1.ReplicationController:
		stripMeta(&o.ObjectMeta)
		o.Spec = corev1.ReplicationControllerSpec{Selector: o.Spec.Selector}
		o.Status = corev1.ReplicationControllerStatus{}
	case *appsv1.ReplicaSet:
		stripMeta(&o.ObjectMeta)
		o.Spec = appsv1.ReplicaSetSpec{Selector: o.Spec.Selector}
		o.Status = appsv1.ReplicaSetStatus{}
	case *appsv1.StatefulSet:
		stripMeta(&o.ObjectMeta)
		o.Spec = appsv1.StatefulSetSpec{Selector: o.Spec.Selector}
		o.Status = appsv1.StatefulSetStatus{}
	default:
		// Volumes keep their annotations: volume binding and CSI migration
		// read them.
		if acc, err := meta.Accessor(obj); err == nil {
			acc.SetManagedFields(nil)
		}
	}
	return obj, nil
}

// stripped marks what went through the transform: client-go does that twice with
// what it streams as a list, and what is shared must not be written again.
var stripped = make([]metav1.ManagedFieldsEntry, 0, 1)

func isStripped(m []metav1.ManagedFieldsEntry) bool {
	return cap(m) > 0 && &m[:1][0] == &stripped[:1][0]
}

func stripMeta(m *metav1.ObjectMeta) {
	m.ManagedFields = nil
	m.GenerateName = ""

	maps.DeleteFunc(m.Annotations, func(k, _ string) bool {
		domain, _, _ := strings.Cut(k, "/")
		return domain != "regionpool.io" && !strings.HasSuffix(domain, ".regionpool.io") && k != corev1.PodDeletionCost
	})
	if len(m.Annotations) == 0 {
		m.Annotations = nil
	}
}

func stripNode(n *corev1.Node) {
	stripMeta(&n.ObjectMeta)
	n.OwnerReferences = nil
	conds := make([]corev1.NodeCondition, 0, len(n.Status.Conditions))
	for _, c := range n.Status.Conditions {
		conds = append(conds, corev1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason})
	}
	n.Status = corev1.NodeStatus{
		Capacity:         n.Status.Capacity,
		Allocatable:      n.Status.Allocatable,
		Conditions:       conds,
		Images:           n.Status.Images,
		Features:         n.Status.Features,
		DeclaredFeatures: n.Status.DeclaredFeatures,
	}
}

func stripPod(p *corev1.Pod) {
	stripMeta(&p.ObjectMeta)
	p.Finalizers = nil
	if ref := metav1.GetControllerOf(p); ref != nil {
		p.OwnerReferences = []metav1.OwnerReference{*ref}
	} else {
		p.OwnerReferences = nil
	}
	stripContainers(p.Spec.InitContainers)
	stripContainers(p.Spec.Containers)
	p.Spec.EphemeralContainers = nil
	p.Spec.ImagePullSecrets = nil
	p.Spec.SecurityContext = nil
	p.Spec.DNSConfig = nil
	p.Spec.HostAliases = nil
	p.Spec.ReadinessGates = nil
	p.Spec.Volumes = schedulerVolumes(p.Spec.Volumes)

	st := corev1.PodStatus{
		Phase:                       p.Status.Phase,
		Conditions:                  podConditions(p),
		NominatedNodeName:           p.Status.NominatedNodeName,
		ResourceClaimStatuses:       p.Status.ResourceClaimStatuses,
		InitContainerStatuses:       resourceStatuses(p.Status.InitContainerStatuses, p.Spec.InitContainers),
		ContainerStatuses:           resourceStatuses(p.Status.ContainerStatuses, p.Spec.Containers),
		ExtendedResourceClaimStatus: p.Status.ExtendedResourceClaimStatus,
	}
	if p.Spec.Resources != nil {
		st.Resources, st.AllocatedResources = p.Status.Resources, p.Status.AllocatedResources
	}
	p.Status = st
}

// readyConditions are those of most pods, and shared by them.
var readyConditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}

// podConditions keeps what is asked of the conditions: whether a pod is Ready
// (not since when), since when it is unschedulable, and whether it is resized.
func podConditions(p *corev1.Pod) []corev1.PodCondition {
	var out []corev1.PodCondition
	ready := false
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady:
			ready = c.Status == corev1.ConditionTrue
		case c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue, c.Type == corev1.PodResizePending, c.Type == corev1.PodResizeInProgress:
			out = append(out, c)
		}
	}
	if !ready {
		return out
	}
	if out == nil {
		return readyConditions
	}
	return append(out, readyConditions...)
}

// stripContainers keeps what NodeResourcesFit, NodePorts and ImageLocality read.
func stripContainers(cs []corev1.Container) {
	for i := range cs {
		c := &cs[i]
		*c = corev1.Container{Name: c.Name, Image: c.Image, Ports: c.Ports, Resources: c.Resources, RestartPolicy: c.RestartPolicy}
	}
}

// resourceStatuses keeps of container statuses what the resources of a pod that
// is being resized in place are computed from. Kubelet reports resources of all
// containers; those that are as the spec says change no sum.
func resourceStatuses(statuses []corev1.ContainerStatus, cs []corev1.Container) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for _, s := range statuses {
		if s.Resources == nil {
			continue
		}
		i := slices.IndexFunc(cs, func(c corev1.Container) bool { return c.Name == s.Name })
		if i < 0 {
			continue
		}
		spec := cs[i].Resources.Requests
		if equality.Semantic.DeepEqual(s.Resources.Requests, spec) && (s.AllocatedResources == nil || equality.Semantic.DeepEqual(s.AllocatedResources, spec)) {
			continue
		}
		out = append(out, corev1.ContainerStatus{Name: s.Name, Resources: s.Resources, AllocatedResources: s.AllocatedResources})
	}
	return out
}

// schedulerVolumes drops the volumes that live on any node (config maps,
// secrets, empty dirs and the like).
func schedulerVolumes(vs []corev1.Volume) []corev1.Volume {
	var out []corev1.Volume
	for _, v := range vs {
		s := &v.VolumeSource
		if s.ConfigMap != nil || s.Secret != nil || s.EmptyDir != nil || s.Projected != nil || s.DownwardAPI != nil || s.HostPath != nil {
			continue
		}
		out = append(out, v)
	}
	return out
}

// sameForScheduling reports whether an update of a pod changed nothing that a
// plugin reads. Both pods are stripped.
func sameForScheduling(a, b *corev1.Pod) bool {
	if (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) || !maps.Equal(a.Labels, b.Labels) {
		return false
	}
	as, bs := a.Status, b.Status
	as.Conditions, bs.Conditions = nil, nil
	as.Phase, bs.Phase = "", ""
	if !equality.Semantic.DeepEqual(as, bs) {
		return false
	}
	// API servers since 1.33 count a pod's spec changes in its generation.
	if a.Generation != 0 && a.Generation == b.Generation && a.Spec.NodeName == b.Spec.NodeName {
		return true
	}
	return equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

// sameNode reports whether an update of a node changed nothing that a plugin
// reads; a heartbeat is such an update. Both nodes are stripped.
func sameNode(a, b *corev1.Node) bool {
	return (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil) &&
		maps.Equal(a.Labels, b.Labels) &&
		maps.Equal(a.Annotations, b.Annotations) &&
		equality.Semantic.DeepEqual(a.Spec, b.Spec) &&
		equality.Semantic.DeepEqual(a.Status, b.Status)
}

// sameObject reports whether an update changed nothing but bookkeeping. Both
// objects are stripped.
func sameObject(a, b Object) bool {
	switch a := a.(type) {
	case *corev1.Namespace:
		b, ok := b.(*corev1.Namespace)
		return ok && maps.Equal(a.Labels, b.Labels)
	case *corev1.Service:
		b, ok := b.(*corev1.Service)
		return ok && maps.Equal(a.Spec.Selector, b.Spec.Selector)
	case *corev1.ReplicationController:
		b, ok := b.(*corev1.ReplicationController)
		return ok && maps.Equal(a.Spec.Selector, b.Spec.Selector)
	case *appsv1.ReplicaSet:
		b, ok := b.(*appsv1.ReplicaSet)
		return ok && equality.Semantic.DeepEqual(a.Spec.Selector, b.Spec.Selector)
	case *appsv1.StatefulSet:
		b, ok := b.(*appsv1.StatefulSet)
		return ok && equality.Semantic.DeepEqual(a.Spec.Selector, b.Spec.Selector)
	}
	return a.GetResourceVersion() != "" && a.GetResourceVersion() == b.GetResourceVersion()
}
