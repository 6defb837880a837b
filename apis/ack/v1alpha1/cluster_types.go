package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// An Addon of an ACK cluster.
type Addon struct {
	// Name of the add-on.
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name"`

	// Config of the add-on, as JSON.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Config string `json:"config,omitempty"`

	// Disabled add-ons are not installed although ACK would by default.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}

// VirtualNodes of an ACK cluster: one for each zone of the vSwitches.
type VirtualNodes struct {
	// VSwitchIDs of the pods. The default is the cluster's.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^vsw-.+`
	VSwitchIDs []string `json:"vSwitchIds,omitempty"`
}

// ClusterParameters of an ACK managed cluster. It is created without nodes;
// NodePools add them. Once it exists only deletion protection and tags can be
// changed, and virtual nodes be added.
// +kubebuilder:validation:XValidation:rule="has(self.containerCIDR) || (has(self.podVSwitchIds) && size(self.podVSwitchIds) > 0)",message="set containerCIDR (Flannel) or podVSwitchIds (Terway)"
// +kubebuilder:validation:XValidation:rule="!(has(self.containerCIDR) && has(self.podVSwitchIds))",message="containerCIDR (Flannel) and podVSwitchIds (Terway) exclude each other"
// +kubebuilder:validation:XValidation:rule="!has(self.containerCIDR) || !isCIDR(self.containerCIDR) || !isCIDR(self.serviceCIDR) || (!cidr(self.containerCIDR).containsCIDR(self.serviceCIDR) && !cidr(self.serviceCIDR).containsCIDR(self.containerCIDR))",message="serviceCIDR and containerCIDR overlap"
type ClusterParameters struct {
	// Region of the cluster, such as cn-hangzhou.
	// +kubebuilder:validation:Pattern=`^[a-z]{2,}-[a-z0-9-]+$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="region cannot be changed"
	Region string `json:"region"`

	// VPCID of the cluster's network.
	// +kubebuilder:validation:Pattern=`^vpc-.+`
	// +kubebuilder:validation:MaxLength=64
	VPCID string `json:"vpcId"`

	// VSwitchIDs of the control plane.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^vsw-.+`
	VSwitchIDs []string `json:"vSwitchIds"`

	// PodVSwitchIDs selects Terway and gives pods addresses of the VPC.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=64
	PodVSwitchIDs []string `json:"podVSwitchIds,omitempty"`

	// ContainerCIDR selects Flannel and is the range of pod addresses.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="containerCIDR is no CIDR"
	// +kubebuilder:validation:MaxLength=18
	ContainerCIDR *string `json:"containerCIDR,omitempty"`

	// ServiceCIDR is the range of Service addresses.
	// +kubebuilder:default="172.19.0.0/20"
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="serviceCIDR is no CIDR"
	// +kubebuilder:validation:MaxLength=18
	ServiceCIDR string `json:"serviceCIDR,omitempty"`

	// NodeCIDRMask is the size of each node's pod range, with Flannel.
	// +kubebuilder:default=25
	// +kubebuilder:validation:Minimum=24
	// +kubebuilder:validation:Maximum=28
	NodeCIDRMask int32 `json:"nodeCIDRMask,omitempty"`

	// ClusterSpec is the billing class of the control plane: ack.standard is
	// free, ack.pro.small is billed by the hour.
	// +kubebuilder:default=ack.pro.small
	// +kubebuilder:validation:Enum=ack.standard;ack.pro.small
	ClusterSpec string `json:"clusterSpec,omitempty"`

	// KubernetesVersion of the control plane. The default is ACK's.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// Addons to install or to leave out. Flannel or Terway and the CSI add-ons
	// are installed in any case; nginx-ingress-controller, which buys a load
	// balancer, is left out unless named here.
	// +optional
	// +kubebuilder:validation:MaxItems=30
	Addons []Addon `json:"addons,omitempty"`

	// VirtualNodes installs the add-on ack-virtual-node: pods on virtual nodes
	// start in seconds and are billed one by one.
	// +optional
	VirtualNodes *VirtualNodes `json:"virtualNodes,omitempty"`

	// EndpointPublicAccess buys a public address for the API server.
	// +kubebuilder:default=false
	EndpointPublicAccess bool `json:"endpointPublicAccess,omitempty"`

	// SNATEntry buys a NAT gateway for the VPC.
	// +kubebuilder:default=false
	SNATEntry bool `json:"snatEntry,omitempty"`

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
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || self.spec.forProvider.vSwitchIds == oldSelf.spec.forProvider.vSwitchIds",message="vSwitchIds cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.vSwitchIds"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.podVSwitchIds) ? has(oldSelf.spec.forProvider.podVSwitchIds) && self.spec.forProvider.podVSwitchIds == oldSelf.spec.forProvider.podVSwitchIds : !has(oldSelf.spec.forProvider.podVSwitchIds))",message="podVSwitchIds cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.podVSwitchIds"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.containerCIDR) ? has(oldSelf.spec.forProvider.containerCIDR) && self.spec.forProvider.containerCIDR == oldSelf.spec.forProvider.containerCIDR : !has(oldSelf.spec.forProvider.containerCIDR))",message="containerCIDR cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.containerCIDR"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.serviceCIDR) ? has(oldSelf.spec.forProvider.serviceCIDR) && self.spec.forProvider.serviceCIDR == oldSelf.spec.forProvider.serviceCIDR : !has(oldSelf.spec.forProvider.serviceCIDR))",message="serviceCIDR cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.serviceCIDR"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.nodeCIDRMask) ? has(oldSelf.spec.forProvider.nodeCIDRMask) && self.spec.forProvider.nodeCIDRMask == oldSelf.spec.forProvider.nodeCIDRMask : !has(oldSelf.spec.forProvider.nodeCIDRMask))",message="nodeCIDRMask cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.nodeCIDRMask"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.clusterSpec) ? has(oldSelf.spec.forProvider.clusterSpec) && self.spec.forProvider.clusterSpec == oldSelf.spec.forProvider.clusterSpec : !has(oldSelf.spec.forProvider.clusterSpec))",message="clusterSpec cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.clusterSpec"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.kubernetesVersion) ? has(oldSelf.spec.forProvider.kubernetesVersion) && self.spec.forProvider.kubernetesVersion == oldSelf.spec.forProvider.kubernetesVersion : !has(oldSelf.spec.forProvider.kubernetesVersion))",message="kubernetesVersion cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.kubernetesVersion"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.addons) ? has(oldSelf.spec.forProvider.addons) && self.spec.forProvider.addons == oldSelf.spec.forProvider.addons : !has(oldSelf.spec.forProvider.addons))",message="addons cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.addons"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.endpointPublicAccess) ? has(oldSelf.spec.forProvider.endpointPublicAccess) && self.spec.forProvider.endpointPublicAccess == oldSelf.spec.forProvider.endpointPublicAccess : !has(oldSelf.spec.forProvider.endpointPublicAccess))",message="endpointPublicAccess cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.endpointPublicAccess"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || (has(self.spec.forProvider.snatEntry) ? has(oldSelf.spec.forProvider.snatEntry) && self.spec.forProvider.snatEntry == oldSelf.spec.forProvider.snatEntry : !has(oldSelf.spec.forProvider.snatEntry))",message="snatEntry cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.snatEntry"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.atProvider) || !has(oldSelf.status.atProvider.id) || !has(self.spec.forProvider.virtualNodes) || !has(oldSelf.spec.forProvider.virtualNodes) || self.spec.forProvider.virtualNodes == oldSelf.spec.forProvider.virtualNodes",message="vSwitchIds of virtualNodes cannot be changed: give the new cluster another name",fieldPath=".spec.forProvider.virtualNodes"
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,managed}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="EXTERNAL-NAME",type="string",JSONPath=".metadata.annotations.crossplane\\.io/external-name"
// +kubebuilder:printcolumn:name="STATE",type="string",JSONPath=".status.atProvider.state"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A Cluster is an ACK managed cluster. Its connection secret holds a
// kubeconfig.
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
