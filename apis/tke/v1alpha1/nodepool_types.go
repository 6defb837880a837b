package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// A Disk of a node.
type Disk struct {
	// Type of the disk, such as CLOUD_PREMIUM.
	// +kubebuilder:default=CLOUD_PREMIUM
	// +kubebuilder:validation:MaxLength=64
	Type string `json:"type,omitempty"`

	// SizeGiB of the disk.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=50
	// +kubebuilder:validation:Maximum=1024
	SizeGiB int32 `json:"sizeGiB,omitempty"`
}

// NodePoolParameters of a TKE node pool. The number of nodes is ours: the
// vendor's autoscaler is off.
// +kubebuilder:validation:XValidation:rule="has(self.size) != has(self.sizeFrom)",message="set exactly one of size and sizeFrom"
// +kubebuilder:validation:XValidation:rule="self.min <= self.max",message="min is above max"
// +kubebuilder:validation:XValidation:rule="!has(self.size) || (self.size >= self.min && self.size <= self.max)",message="size is outside min and max"
type NodePoolParameters struct {
	// ClusterRef names a Cluster in the namespace of the node pool.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="clusterRef cannot be changed"
	ClusterRef corev1.LocalObjectReference `json:"clusterRef"`

	// InstanceTypes in the order in which they are tried.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	InstanceTypes []string `json:"instanceTypes"`

	// CapacityType says how the machines are rented. It cannot be changed.
	// +kubebuilder:default=OnDemand
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="capacityType cannot be changed"
	CapacityType elasticv1alpha1.CapacityType `json:"capacityType,omitempty"`

	// SubnetIDs of the nodes. The default is the cluster's. They cannot be changed
	// once the pool exists.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^subnet-.+`
	SubnetIDs []string `json:"subnetIds,omitempty"`

	// SecurityGroupIDs of the nodes. The default is the VPC's. They cannot be
	// changed once the pool exists.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^sg-.+`
	SecurityGroupIDs []string `json:"securityGroupIds,omitempty"`

	// Size is the number of nodes wanted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Size *int32 `json:"size,omitempty"`

	// SizeFrom follows a CapacityPlan, clamped by min and max.
	// +optional
	SizeFrom *elasticv1alpha1.SizeFrom `json:"sizeFrom,omitempty"`

	// Min and Max number of nodes.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Min int32 `json:"min"`
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2000
	Max int32 `json:"max"`

	// Labels and Taints of the nodes.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Taints []corev1.Taint `json:"taints,omitempty"`

	// SystemDisk of each node. It cannot be changed once the pool exists.
	// +optional
	// +kubebuilder:default={type: CLOUD_PREMIUM, sizeGiB: 100}
	SystemDisk *Disk `json:"systemDisk,omitempty"`

	// DrainTimeout after which a node that cannot be drained is left alone and
	// the blocking pods are named. Nodes are never released with pods on them
	// that a PodDisruptionBudget protects.
	// +kubebuilder:default="15m"
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`

	// Tags of the nodes, beside the owner tag.
	// +optional
	// +kubebuilder:validation:MaxProperties=15
	Tags map[string]string `json:"tags,omitempty"`
}

// A NodePoolSpec is the desired state of a NodePool.
type NodePoolSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`
	ForProvider              NodePoolParameters `json:"forProvider"`
}

// A NodePoolStatus is the observed state of a NodePool.
type NodePoolStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`
	AtProvider                 elasticv1alpha1.NodePoolObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.subnetIds) ? has(oldSelf.spec.forProvider.subnetIds) && self.spec.forProvider.subnetIds == oldSelf.spec.forProvider.subnetIds : !has(oldSelf.spec.forProvider.subnetIds))",message="subnetIds cannot be changed: add another node pool",fieldPath=".spec.forProvider.subnetIds"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.securityGroupIds) ? has(oldSelf.spec.forProvider.securityGroupIds) && self.spec.forProvider.securityGroupIds == oldSelf.spec.forProvider.securityGroupIds : !has(oldSelf.spec.forProvider.securityGroupIds))",message="securityGroupIds cannot be changed: add another node pool",fieldPath=".spec.forProvider.securityGroupIds"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.systemDisk) ? has(oldSelf.spec.forProvider.systemDisk) && self.spec.forProvider.systemDisk == oldSelf.spec.forProvider.systemDisk : !has(oldSelf.spec.forProvider.systemDisk))",message="systemDisk cannot be changed: add another node pool",fieldPath=".spec.forProvider.systemDisk"
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,managed}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="EXTERNAL-NAME",type="string",JSONPath=".metadata.annotations.crossplane\\.io/external-name"
// +kubebuilder:printcolumn:name="WANTED",type="integer",JSONPath=".status.atProvider.wanted"
// +kubebuilder:printcolumn:name="NODES",type="integer",JSONPath=".status.atProvider.nodes"
// +kubebuilder:printcolumn:name="NODES-READY",type="integer",JSONPath=".status.atProvider.ready"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A NodePool is a pool of CVM nodes of a TKE Cluster. It grows at once and
// shrinks by draining chosen nodes.
type NodePool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   NodePoolSpec   `json:"spec"`
	Status NodePoolStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A NodePoolList contains NodePools.
type NodePoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodePool `json:"items"`
}

// NodePool kind.
var (
	NodePoolKind             = "NodePool"
	NodePoolGroupKind        = schema.GroupKind{Group: Group, Kind: NodePoolKind}
	NodePoolGroupVersionKind = SchemeGroupVersion.WithKind(NodePoolKind)
)

func init() { SchemeBuilder.Register(&NodePool{}, &NodePoolList{}) }
