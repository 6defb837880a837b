package snapshot

import (
	"fmt"
	"sort"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// An Object is an API object of a member other than its nodes and pods.
type Object interface {
	metav1.Object
	runtime.Object
}

// A Kind names one of the kinds, besides nodes and pods, that a snapshot
// holds because a kube-scheduler plugin (or, for PodDisruptionBudgets, whoever
// moves replicas) reads it.
type Kind int

// The kinds a snapshot holds.
const (
	Namespaces Kind = iota
	Services
	ReplicationControllers
	ReplicaSets
	StatefulSets
	PersistentVolumes
	PersistentVolumeClaims
	StorageClasses
	CSINodes
	CSIDrivers
	CSIStorageCapacities
	VolumeAttachments
	PodDisruptionBudgets
	ResourceClaims
	ResourceClaimTemplates
	ResourceSlices
	DeviceClasses
	// What a member's API server changes in a pod when it is created.
	LimitRanges
	RuntimeClasses
	PriorityClasses

	// NumKinds is the number of kinds; valid kinds are 0 <= k < NumKinds.
	NumKinds
)

// KindOf returns the kind of the supplied object, and false if a snapshot does
// not hold objects of its type.
func KindOf(o Object) (Kind, bool) {
	switch o.(type) {
	case *corev1.Namespace:
		return Namespaces, true
	case *corev1.Service:
		return Services, true
	case *corev1.ReplicationController:
		return ReplicationControllers, true
	case *appsv1.ReplicaSet:
		return ReplicaSets, true
	case *appsv1.StatefulSet:
		return StatefulSets, true
	case *corev1.PersistentVolume:
		return PersistentVolumes, true
	case *corev1.PersistentVolumeClaim:
		return PersistentVolumeClaims, true
	case *storagev1.StorageClass:
		return StorageClasses, true
	case *storagev1.CSINode:
		return CSINodes, true
	case *storagev1.CSIDriver:
		return CSIDrivers, true
	case *storagev1.CSIStorageCapacity:
		return CSIStorageCapacities, true
	case *storagev1.VolumeAttachment:
		return VolumeAttachments, true
	case *policyv1.PodDisruptionBudget:
		return PodDisruptionBudgets, true
	case *resourcev1.ResourceClaim:
		return ResourceClaims, true
	case *resourcev1.ResourceClaimTemplate:
		return ResourceClaimTemplates, true
	case *resourcev1.ResourceSlice:
		return ResourceSlices, true
	case *resourcev1.DeviceClass:
		return DeviceClasses, true
	case *corev1.LimitRange:
		return LimitRanges, true
	case *nodev1.RuntimeClass:
		return RuntimeClasses, true
	case *schedulingv1.PriorityClass:
		return PriorityClasses, true
	}
	return NumKinds, false
}

// A Set is an immutable set of objects of one kind, ordered by namespace and
// name. Two snapshots of one member share the Set (the same pointer) of every
// kind that did not change between them.
type Set struct {
	items []Object
}

// Items returns the objects, ordered by namespace and name. Neither the slice
// nor the objects may be changed. A nil Set is empty.
func (s *Set) Items() []Object {
	if s == nil {
		return nil
	}
	return s.items
}

// Get returns the named object, or nil. The namespace is empty for objects that
// have none.
func (s *Set) Get(namespace, name string) Object {
	items := s.Items()
	i := sort.Search(len(items), func(i int) bool {
		return !before(items[i].GetNamespace(), items[i].GetName(), namespace, name)
	})
	if i < len(items) && items[i].GetNamespace() == namespace && items[i].GetName() == name {
		return items[i]
	}
	return nil
}

func newSet(items []Object) *Set {
	sort.Slice(items, func(i, j int) bool {
		return before(items[i].GetNamespace(), items[i].GetName(), items[j].GetNamespace(), items[j].GetName())
	})
	return &Set{items: items}
}

func before(ns1, n1, ns2, n2 string) bool {
	if ns1 != ns2 {
		return ns1 < ns2
	}
	return n1 < n2
}

// Objects are the immutable objects of a snapshot other than nodes and pods.
type Objects struct {
	sets [NumKinds]*Set
}

// NewObjects returns the supplied objects, ordered. It returns an error if an
// object is of a type that snapshots do not hold.
func NewObjects(objs ...Object) (*Objects, error) {
	var byKind [NumKinds][]Object
	for _, o := range objs {
		k, ok := KindOf(o)
		if !ok {
			return nil, fmt.Errorf("a snapshot does not hold objects of type %T", o)
		}
		byKind[k] = append(byKind[k], o)
	}
	out := &Objects{}
	for k := range byKind {
		if len(byKind[k]) > 0 {
			out.sets[k] = newSet(byKind[k])
		}
	}
	return out, nil
}

// Set returns the objects of one kind. The result is nil, which is an empty
// set, if there are none. A nil Objects is empty.
func (o *Objects) Set(k Kind) *Set {
	if o == nil {
		return nil
	}
	return o.sets[k]
}
