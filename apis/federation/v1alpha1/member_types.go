package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
)

// A SecretKeyReference names a key of a Secret in the namespace of the
// resource.
type SecretKeyReference struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Key in the Secret.
	// +kubebuilder:default=kubeconfig
	Key string `json:"key,omitempty"`
}

// A ClusterReference names the managed resource of a cloud cluster in the
// namespace of the Member.
type ClusterReference struct {
	// APIVersion of the cluster's kind.
	// +kubebuilder:default="ack.regionpool.io/v1alpha1"
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the cluster.
	// +kubebuilder:default=Cluster
	Kind string `json:"kind,omitempty"`

	// Name of the cluster.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// A Tier says who owns a member.
// +kubebuilder:validation:Enum=SelfBuilt;Elastic
type Tier string

// Tiers of a pool.
const (
	TierSelfBuilt Tier = "SelfBuilt"
	TierElastic   Tier = "Elastic"
)

// A LeavePolicy says what happens to the replicas of a member that leaves.
// +kubebuilder:validation:Enum=Drain;Retain
type LeavePolicy string

const (
	// LeaveDrain moves the replicas to other members first.
	LeaveDrain LeavePolicy = "Drain"
	// LeaveRetain leaves the objects running in the member, no longer managed
	// by the federation.
	LeaveRetain LeavePolicy = "Retain"
)

// MemberParameters describe a cluster's membership in the federation. The name
// of the Karmada Cluster is the external name of the Member.
// +kubebuilder:validation:XValidation:rule="has(self.kubeconfigSecretRef) != has(self.clusterRef)",message="set exactly one of kubeconfigSecretRef and clusterRef"
type MemberParameters struct {
	// KubeconfigSecretRef gives access to the member. It is used once, to make
	// a service account in the member that the federation then uses.
	// +optional
	KubeconfigSecretRef *SecretKeyReference `json:"kubeconfigSecretRef,omitempty"`

	// ClusterRef names a cloud cluster whose connection secret gives access.
	// Deletion of that cluster and its node pools waits for this Member.
	// +optional
	ClusterRef *ClusterReference `json:"clusterRef,omitempty"`

	// Pool this member belongs to: the name of the CapacityPlan in the
	// workload plane.
	// +optional
	Pool string `json:"pool,omitempty"`

	// Tier of the member.
	// +kubebuilder:default=SelfBuilt
	Tier Tier `json:"tier,omitempty"`

	// Provider, Region and Zones are shown by Karmada and can be used in
	// spread constraints.
	// +optional
	Provider string `json:"provider,omitempty"`
	// +optional
	Region string `json:"region,omitempty"`
	// +optional
	Zones []string `json:"zones,omitempty"`

	// Labels of the Karmada Cluster.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Taints of the Karmada Cluster.
	// +optional
	Taints []corev1.Taint `json:"taints,omitempty"`

	// SchedulerConfiguration is what the member's kube-scheduler is started
	// with, if that is not its default: a KubeSchedulerConfiguration of
	// kubescheduler.config.k8s.io/v1 as YAML. Fleet simulates the profiles it
	// has; extenders and plugins that kube-scheduler does not bring along cannot
	// be simulated, and nothing more is placed on a member that has them.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	SchedulerConfiguration string `json:"schedulerConfiguration,omitempty"`

	// OnLeave says what happens to the replicas when the Member is deleted. A
	// Member with Retain waits for all members of its pool with Drain, so that
	// their replicas have somewhere to go.
	// +kubebuilder:default=Drain
	OnLeave LeavePolicy `json:"onLeave,omitempty"`

	// DrainTimeout after which the member leaves although replicas remain on
	// it. Without it the drain waits for ever and says what blocks it.
	// +optional
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`
}

// A DrainStatus tells how far a drain has come.
type DrainStatus struct {
	// StartedAt is when the drain began; the time-out counts from here.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// Bindings and Replicas that are still on the member.
	// +optional
	Bindings int32 `json:"bindings,omitempty"`
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// BlockedBy says what holds the drain, if anything.
	// +optional
	BlockedBy string `json:"blockedBy,omitempty"`
}

// MemberObservation is what was last seen of a member.
type MemberObservation struct {
	// ClusterID is the UID of the member's kube-system namespace.
	// +optional
	ClusterID string `json:"clusterID,omitempty"`

	// APIEndpoint of the member.
	// +optional
	APIEndpoint string `json:"apiEndpoint,omitempty"`

	// KubernetesVersion of the member.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// Drain is set while the member leaves.
	// +optional
	Drain *DrainStatus `json:"drain,omitempty"`
}

// A MemberSpec is the desired state of a Member.
type MemberSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`
	ForProvider              MemberParameters `json:"forProvider"`
}

// A MemberStatus is the observed state of a Member.
type MemberStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`
	AtProvider                 MemberObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,managed}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="EXTERNAL-NAME",type="string",JSONPath=".metadata.annotations.crossplane\\.io/external-name"
// +kubebuilder:printcolumn:name="TIER",type="string",JSONPath=".spec.forProvider.tier"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A Member is a cluster's membership in a Karmada federation: it joins as soon
// as the cluster's API answers, drains before it leaves, and leaves.
type Member struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MemberSpec   `json:"spec"`
	Status MemberStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A MemberList contains Members.
type MemberList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Member `json:"items"`
}

// Member kind.
var (
	MemberKind             = "Member"
	MemberGroupKind        = schema.GroupKind{Group: Group, Kind: MemberKind}
	MemberGroupVersionKind = SchemeGroupVersion.WithKind(MemberKind)
)

func init() { SchemeBuilder.Register(&Member{}, &MemberList{}) }
