package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// ClusterParameters of a TKE managed cluster. It is created without nodes;
// NodePools and VirtualNodePools add them. Once it exists only level, endpoint,
// deletion protection and tags can be changed.
// +kubebuilder:validation:XValidation:rule="has(self.clusterCIDR) || (has(self.eniSubnetIds) && size(self.eniSubnetIds) > 0)",message="set clusterCIDR (GlobalRouter) or eniSubnetIds (VPC-CNI)"
// +kubebuilder:validation:XValidation:rule="!(has(self.clusterCIDR) && has(self.eniSubnetIds))",message="clusterCIDR (GlobalRouter) and eniSubnetIds (VPC-CNI) exclude each other"
// +kubebuilder:validation:XValidation:rule="!has(self.clusterCIDR) || !isCIDR(self.clusterCIDR) || !isCIDR(self.serviceCIDR) || (!cidr(self.clusterCIDR).containsCIDR(self.serviceCIDR) && !cidr(self.serviceCIDR).containsCIDR(self.clusterCIDR))",message="serviceCIDR and clusterCIDR overlap"
// +kubebuilder:validation:XValidation:rule="!self.endpointPublicAccess || has(self.endpointSecurityGroupId)",message="endpointPublicAccess needs endpointSecurityGroupId"
type ClusterParameters struct {
	// Region of the cluster, such as ap-guangzhou.
	// +kubebuilder:validation:Pattern=`^[a-z]{2,}-[a-z0-9-]+$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="region cannot be changed"
	Region string `json:"region"`

	// VPCID of the cluster's network.
	// +kubebuilder:validation:Pattern=`^vpc-.+`
	// +kubebuilder:validation:MaxLength=64
	VPCID string `json:"vpcId"`

	// SubnetID of the API server's private address.
	// +kubebuilder:validation:Pattern=`^subnet-.+`
	// +kubebuilder:validation:MaxLength=64
	SubnetID string `json:"subnetId"`

	// ClusterCIDR selects GlobalRouter and is the range of pod addresses.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="clusterCIDR is no CIDR"
	// +kubebuilder:validation:MaxLength=18
	ClusterCIDR *string `json:"clusterCIDR,omitempty"`

	// ENISubnetIDs selects VPC-CNI and gives pods addresses of the VPC.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=64
	ENISubnetIDs []string `json:"eniSubnetIds,omitempty"`

	// ServiceCIDR is the range of Service addresses.
	// +kubebuilder:default="172.19.0.0/20"
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="serviceCIDR is no CIDR"
	// +kubebuilder:validation:MaxLength=18
	ServiceCIDR string `json:"serviceCIDR,omitempty"`

	// MaxPodsPerNode is the size of each node's pod range, with GlobalRouter.
	// +kubebuilder:default=64
	// +kubebuilder:validation:Enum=32;64;128;256
	MaxPodsPerNode int32 `json:"maxPodsPerNode,omitempty"`

	// Level is the billing class of the control plane, by the number of nodes
	// it may have.
	// +kubebuilder:default=L50
	// +kubebuilder:validation:Enum=L5;L20;L50;L100;L200;L500;L1000;L3000;L5000
	Level string `json:"level,omitempty"`

	// AutoUpgradeLevel lets the cloud raise the level when nodes need it.
	// +kubebuilder:default=false
	AutoUpgradeLevel bool `json:"autoUpgradeLevel,omitempty"`

	// KubernetesVersion of the control plane. The default is TKE's newest.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// EndpointPublicAccess buys a public address for the API server. TKE refuses
	// it while the cluster has neither a node nor a virtual node.
	// +kubebuilder:default=false
	EndpointPublicAccess bool `json:"endpointPublicAccess,omitempty"`

	// EndpointSecurityGroupID guards the public address.
	// +optional
	// +kubebuilder:validation:Pattern=`^sg-.+`
	EndpointSecurityGroupID *string `json:"endpointSecurityGroupId,omitempty"`

	// DeletionProtection of the cluster. It is switched off, and read back,
	// when this resource is deleted.
	// +kubebuilder:default=false
	DeletionProtection bool `json:"deletionProtection,omitempty"`

	// Tags of the cluster, beside the owner tag.
	// +optional
	// +kubebuilder:validation:MaxProperties=15
	Tags map[string]string `json:"tags,omitempty"`
}

// A ClusterSpec is the desired state of a Cluster.
type ClusterSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`
	ForProvider              ClusterParameters `json:"forProvider"`
}

// A ClusterStatus is the observed state of a Cluster.
type ClusterStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`
	AtProvider                 elasticv1alpha1.ClusterObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || self.spec.forProvider.vpcId == oldSelf.spec.forProvider.vpcId",message="vpcId cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.vpcId"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || self.spec.forProvider.subnetId == oldSelf.spec.forProvider.subnetId",message="subnetId cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.subnetId"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.clusterCIDR) ? has(oldSelf.spec.forProvider.clusterCIDR) && self.spec.forProvider.clusterCIDR == oldSelf.spec.forProvider.clusterCIDR : !has(oldSelf.spec.forProvider.clusterCIDR))",message="clusterCIDR cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.clusterCIDR"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.eniSubnetIds) ? has(oldSelf.spec.forProvider.eniSubnetIds) && self.spec.forProvider.eniSubnetIds == oldSelf.spec.forProvider.eniSubnetIds : !has(oldSelf.spec.forProvider.eniSubnetIds))",message="eniSubnetIds cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.eniSubnetIds"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.serviceCIDR) ? has(oldSelf.spec.forProvider.serviceCIDR) && self.spec.forProvider.serviceCIDR == oldSelf.spec.forProvider.serviceCIDR : !has(oldSelf.spec.forProvider.serviceCIDR))",message="serviceCIDR cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.serviceCIDR"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.maxPodsPerNode) ? has(oldSelf.spec.forProvider.maxPodsPerNode) && self.spec.forProvider.maxPodsPerNode == oldSelf.spec.forProvider.maxPodsPerNode : !has(oldSelf.spec.forProvider.maxPodsPerNode))",message="maxPodsPerNode cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.maxPodsPerNode"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.kubernetesVersion) ? has(oldSelf.spec.forProvider.kubernetesVersion) && self.spec.forProvider.kubernetesVersion == oldSelf.spec.forProvider.kubernetesVersion : !has(oldSelf.spec.forProvider.kubernetesVersion))",message="kubernetesVersion cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.kubernetesVersion"
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,managed}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="EXTERNAL-NAME",type="string",JSONPath=".metadata.annotations.crossplane\\.io/external-name"
// +kubebuilder:printcolumn:name="STATE",type="string",JSONPath=".status.atProvider.state"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A Cluster is a TKE managed cluster. Its connection secret holds a kubeconfig.
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ClusterSpec   `json:"spec"`
	Status ClusterStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A ClusterList contains Clusters.
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cluster `json:"items"`
}

// Cluster kind.
var (
	ClusterKind             = "Cluster"
	ClusterGroupKind        = schema.GroupKind{Group: Group, Kind: ClusterKind}
	ClusterGroupVersionKind = SchemeGroupVersion.WithKind(ClusterKind)
)

func init() { SchemeBuilder.Register(&Cluster{}, &ClusterList{}) }
