package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
)

// VirtualNodePoolParameters of a pool of super nodes: one for each subnet. They
// cost nothing while no pod runs on them.
type VirtualNodePoolParameters struct {
	// ClusterRef names a Cluster in the namespace of the pool.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="clusterRef cannot be changed"
	ClusterRef corev1.LocalObjectReference `json:"clusterRef"`

	// SubnetIDs of the pods. The default is the cluster's subnet. A subnet that is
	// added gets a virtual node. One that is taken away keeps its own: pods may
	// run there, and empty it costs nothing.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^subnet-.+`
	SubnetIDs []string `json:"subnetIds,omitempty"`

	// SecurityGroupIDs of the pods. The default is the VPC's. They cannot be
	// changed once the pool exists.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^sg-.+`
	SecurityGroupIDs []string `json:"securityGroupIds,omitempty"`

	// Labels and Taints of the virtual nodes.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Taints []corev1.Taint `json:"taints,omitempty"`

	// Tags of the virtual nodes, beside the owner tag.
	// +optional
	// +kubebuilder:validation:MaxProperties=15
	Tags map[string]string `json:"tags,omitempty"`
}

// VirtualNodePoolObservation is what was last seen of the pool.
type VirtualNodePoolObservation struct {
	// ID of the pool.
	// +optional
	ID string `json:"id,omitempty"`

	// ClusterID the pool belongs to.
	// +optional
	ClusterID string `json:"clusterId,omitempty"`

	// Region of the pool.
	// +optional
	Region string `json:"region,omitempty"`

	// State TKE reports.
	// +optional
	State string `json:"state,omitempty"`

	// Nodes are the virtual nodes.
	// +optional
	// +listType=set
	Nodes []string `json:"nodes,omitempty"`

	// DrainingSince is when the nodes of a pool that is being deleted were
	// cordoned.
	// +optional
	DrainingSince *metav1.Time `json:"drainingSince,omitempty"`
}

// A VirtualNodePoolSpec is the desired state of a VirtualNodePool.
type VirtualNodePoolSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`
	ForProvider              VirtualNodePoolParameters `json:"forProvider"`
}

// A VirtualNodePoolStatus is the observed state of a VirtualNodePool.
type VirtualNodePoolStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`
	AtProvider                 VirtualNodePoolObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.securityGroupIds) ? has(oldSelf.spec.forProvider.securityGroupIds) && self.spec.forProvider.securityGroupIds == oldSelf.spec.forProvider.securityGroupIds : !has(oldSelf.spec.forProvider.securityGroupIds))",message="securityGroupIds cannot be changed: add another virtual node pool",fieldPath=".spec.forProvider.securityGroupIds"
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,managed}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="EXTERNAL-NAME",type="string",JSONPath=".metadata.annotations.crossplane\\.io/external-name"
// +kubebuilder:printcolumn:name="STATE",type="string",JSONPath=".status.atProvider.state"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A VirtualNodePool is a pool of super nodes of a TKE Cluster: pods on them
// start in seconds and are billed one by one.
type VirtualNodePool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   VirtualNodePoolSpec   `json:"spec"`
	Status VirtualNodePoolStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A VirtualNodePoolList contains VirtualNodePools.
type VirtualNodePoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualNodePool `json:"items"`
}

// VirtualNodePool kind.
var (
	VirtualNodePoolKind             = "VirtualNodePool"
	VirtualNodePoolGroupKind        = schema.GroupKind{Group: Group, Kind: VirtualNodePoolKind}
	VirtualNodePoolGroupVersionKind = SchemeGroupVersion.WithKind(VirtualNodePoolKind)
)

func init() { SchemeBuilder.Register(&VirtualNodePool{}, &VirtualNodePoolList{}) }
