package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
)

// A ProviderConfigType says what kind of API a ProviderConfig gives access to.
type ProviderConfigType string

const (
	// TypeAlibabaCloud is an Alibaba Cloud account.
	TypeAlibabaCloud ProviderConfigType = "AlibabaCloud"
	// TypeTencentCloud is a Tencent Cloud account.
	TypeTencentCloud ProviderConfigType = "TencentCloud"
	// TypeKarmada is the API server of a Karmada control plane.
	TypeKarmada ProviderConfigType = "Karmada"
)

// ProviderCredentials says where the credentials come from.
type ProviderCredentials struct {
	// Source of the credentials. InjectedIdentity is RAM Roles for Service
	// Accounts (RRSA) for AlibabaCloud, the OIDC role that TKE gives to a service
	// account for TencentCloud, and the pod's own service account for Karmada.
	// +kubebuilder:validation:Enum=Secret;InjectedIdentity;Environment;Filesystem
	Source xpv2.CredentialsSource `json:"source"`

	xpv2.CommonCredentialSelectors `json:",inline"`
}

// RateLimit is a token bucket shared by everything that uses this account.
type RateLimit struct {
	// QPS is the sustained number of calls a second.
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	QPS int32 `json:"qps,omitempty"`

	// Burst is the number of calls that may be made at once.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	Burst int32 `json:"burst,omitempty"`
}

// ProviderConfigSpec holds the credentials of a cloud account or of a Karmada
// API.
// +kubebuilder:validation:XValidation:rule="self.credentials.source != 'Secret' || has(self.credentials.secretRef)",message="credentials.secretRef is required when credentials.source is Secret"
// +kubebuilder:validation:XValidation:rule="self.credentials.source != 'Environment' || has(self.credentials.env)",message="credentials.env is required when credentials.source is Environment"
// +kubebuilder:validation:XValidation:rule="self.credentials.source != 'Filesystem' || has(self.credentials.fs)",message="credentials.fs is required when credentials.source is Filesystem"
type ProviderConfigSpec struct {
	// Type of the API these credentials are for.
	// +kubebuilder:validation:Enum=AlibabaCloud;TencentCloud;Karmada
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="type cannot be changed: create another ProviderConfig"
	Type ProviderConfigType `json:"type"`

	// Credentials of the account. For AlibabaCloud the value is JSON:
	// {"accessKeyId":"…","accessKeySecret":"…","securityToken":"…"}, where
	// securityToken is optional. For TencentCloud it is
	// {"secretId":"…","secretKey":"…","token":"…"}, where token is optional. For
	// Karmada it is a kubeconfig.
	Credentials ProviderCredentials `json:"credentials"`

	// Endpoint overrides the address of the cloud's API, as host:port or URL.
	// The default is the vendor's endpoint of the region.
	// +optional
	Endpoint string `json:"endpoint,omitempty"`

	// RateLimit of calls to the cloud's API, for the whole account.
	// +optional
	// +kubebuilder:default={qps: 5, burst: 10}
	RateLimit *RateLimit `json:"rateLimit,omitempty"`
}

// A Leak is a billed thing in the account that carries our tag, while the
// managed resource that it belongs to is gone.
type Leak struct {
	// Kind of the thing: Cluster, Instance, ContainerGroup, Disk, LoadBalancer,
	// NATGateway, Address, NetworkInterface or SecurityGroup.
	Kind string `json:"kind"`

	// ID in the cloud.
	ID string `json:"id"`

	// Region it is in.
	Region string `json:"region"`

	// Owner is the UID of the managed resource it was made for, or the id of the
	// cluster it belongs to.
	Owner string `json:"owner"`

	// Since is when it was first seen without its owner.
	Since metav1.Time `json:"since"`

	// Deleting says that it is deleted, because its claim asked for that.
	// +optional
	Deleting bool `json:"deleting,omitempty"`
}

// An Owner is a managed resource that makes things in an account. It is
// remembered for some time after it is gone, so that what it may have left
// behind is known to have been ours.
type Owner struct {
	// UID of the managed resource: the value of the owner tag.
	UID string `json:"uid"`

	// ClusterID of a cluster. What the cloud made for it carries this id.
	// +optional
	ClusterID string `json:"clusterId,omitempty"`

	// Leaks is delete if what it leaves behind is to be deleted, and keep if its
	// management policies let that outlive it. Otherwise it is reported.
	// +optional
	Leaks string `json:"leaks,omitempty"`

	// Gone is when it was first seen not to exist any more.
	// +optional
	Gone *metav1.Time `json:"gone,omitempty"`
}

// A ProviderConfigStatus counts the users of a configuration, and lists what
// leaked in its account.
type ProviderConfigStatus struct {
	xpv2.ProviderConfigStatus `json:",inline"`

	// Regions of the account that are swept: those in which something was ever
	// made.
	// +optional
	// +listType=set
	Regions []string `json:"regions,omitempty"`

	// Owners of things in the account.
	// +optional
	// +listType=map
	// +listMapKey=uid
	Owners []Owner `json:"owners,omitempty"`

	// Leaks in the account; the first hundred.
	// +optional
	// +listType=atomic
	Leaks []Leak `json:"leaks,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,provider}
// +kubebuilder:printcolumn:name="TYPE",type="string",JSONPath=".spec.type"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:printcolumn:name="SECRET-NAME",type="string",JSONPath=".spec.credentials.secretRef.name",priority=1

// A ProviderConfig gives the managed resources of its namespace access to a
// cloud account or to a Karmada API. Its credentials come from a Secret of that
// namespace: the provider's own identity, environment and files are for whoever
// may write a ClusterProviderConfig.
// +kubebuilder:validation:XValidation:rule="self.spec.credentials.source == 'Secret'",message="spec.credentials.source must be Secret in a ProviderConfig: other sources need a ClusterProviderConfig"
type ProviderConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ProviderConfigSpec   `json:"spec"`
	Status ProviderConfigStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A ProviderConfigList contains ProviderConfigs.
type ProviderConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ProviderConfig `json:"items"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories={crossplane,provider}
// +kubebuilder:printcolumn:name="TYPE",type="string",JSONPath=".spec.type"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:printcolumn:name="SECRET-NAME",type="string",JSONPath=".spec.credentials.secretRef.name",priority=1

// A ClusterProviderConfig gives the managed resources of all namespaces access
// to a cloud account or to a Karmada API.
type ClusterProviderConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ProviderConfigSpec   `json:"spec"`
	Status ProviderConfigStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A ClusterProviderConfigList contains ClusterProviderConfigs.
type ClusterProviderConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterProviderConfig `json:"items"`
}

// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,provider}
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:printcolumn:name="CONFIG-KIND",type="string",JSONPath=".providerConfigRef.kind"
// +kubebuilder:printcolumn:name="CONFIG-NAME",type="string",JSONPath=".providerConfigRef.name"
// +kubebuilder:printcolumn:name="RESOURCE-KIND",type="string",JSONPath=".resourceRef.kind"
// +kubebuilder:printcolumn:name="RESOURCE-NAME",type="string",JSONPath=".resourceRef.name"

// A ProviderConfigUsage records that a managed resource uses a ProviderConfig
// or a ClusterProviderConfig. One kind serves both.
type ProviderConfigUsage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	xpv2.TypedProviderConfigUsage `json:",inline"`
}

// +kubebuilder:object:root=true

// A ProviderConfigUsageList contains ProviderConfigUsages.
type ProviderConfigUsageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ProviderConfigUsage `json:"items"`
}

// Kinds of this package.
var (
	ProviderConfigKind             = "ProviderConfig"
	ProviderConfigGroupKind        = schema.GroupKind{Group: Group, Kind: ProviderConfigKind}
	ProviderConfigGroupVersionKind = SchemeGroupVersion.WithKind(ProviderConfigKind)

	ClusterProviderConfigKind             = "ClusterProviderConfig"
	ClusterProviderConfigGroupKind        = schema.GroupKind{Group: Group, Kind: ClusterProviderConfigKind}
	ClusterProviderConfigGroupVersionKind = SchemeGroupVersion.WithKind(ClusterProviderConfigKind)

	ProviderConfigUsageKind                 = "ProviderConfigUsage"
	ProviderConfigUsageGroupVersionKind     = SchemeGroupVersion.WithKind(ProviderConfigUsageKind)
	ProviderConfigUsageListGroupVersionKind = SchemeGroupVersion.WithKind(ProviderConfigUsageKind + "List")
)

func init() {
	SchemeBuilder.Register(
		&ProviderConfig{}, &ProviderConfigList{},
		&ClusterProviderConfig{}, &ClusterProviderConfigList{},
		&ProviderConfigUsage{}, &ProviderConfigUsageList{},
	)
}
