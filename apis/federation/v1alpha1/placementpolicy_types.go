package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
)

// A PlacementMode says who divides replicas over the members.
// +kubebuilder:validation:Enum=Simulated;Overflow
type PlacementMode string

const (
	// ModeSimulated lets fleet place replicas by simulating the members'
	// kube-scheduler.
	ModeSimulated PlacementMode = "Simulated"
	// ModeOverflow lets Karmada's own scheduler place them by its
	// overflowAffinities. It needs no fleet.
	ModeOverflow PlacementMode = "Overflow"
)

// A KindSelector names a kind.
type KindSelector struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// A PlacementTier is a set of members that are filled before the next tier.
type PlacementTier struct {
	// Name of the tier.
	Name string `json:"name"`

	// Members of the tier: names of Karmada Clusters. They need not exist yet.
	// +kubebuilder:validation:MinItems=1
	Members []string `json:"members"`
}

// PlacementPolicyParameters say which workloads a pool schedules, and how. The
// name of the Karmada ClusterPropagationPolicy is the external name.
type PlacementPolicyParameters struct {
	// Pool this policy belongs to: the name of the CapacityPlan in the workload
	// plane.
	// +kubebuilder:validation:MinLength=1
	Pool string `json:"pool"`

	// Mode of placement.
	// +kubebuilder:default=Simulated
	Mode PlacementMode `json:"mode,omitempty"`

	// Workloads of the pool, by label.
	Workloads metav1.LabelSelector `json:"workloads"`

	// Kinds of workloads that have replicas. Kinds that Karmada's API does not
	// serve do no harm.
	// +kubebuilder:default={{apiVersion: "apps/v1", kind: "Deployment"}, {apiVersion: "apps/v1", kind: "StatefulSet"}, {apiVersion: "apps/v1", kind: "ReplicaSet"}, {apiVersion: "batch/v1", kind: "Job"}, {apiVersion: "apps.kruise.io/v1alpha1", kind: "CloneSet"}, {apiVersion: "leaderworkerset.x-k8s.io/v1", kind: "LeaderWorkerSet"}, {apiVersion: "batch.volcano.sh/v1alpha1", kind: "Job"}, {apiVersion: "ray.io/v1", kind: "RayCluster"}, {apiVersion: "ray.io/v1", kind: "RayJob"}, {apiVersion: "sparkoperator.k8s.io/v1beta2", kind: "SparkApplication"}, {apiVersion: "flink.apache.org/v1beta1", kind: "FlinkDeployment"}, {apiVersion: "kubeflow.org/v1", kind: "PyTorchJob"}, {apiVersion: "kubeflow.org/v1", kind: "TFJob"}, {apiVersion: "kubeflow.org/v2beta1", kind: "MPIJob"}}
	// +kubebuilder:validation:MinItems=1
	Kinds []KindSelector `json:"kinds,omitempty"`

	// Companions are kinds that go whole to every member when they carry the
	// same labels.
	// +kubebuilder:default={{apiVersion: "v1", kind: "Service"}, {apiVersion: "policy/v1", kind: "PodDisruptionBudget"}}
	// +optional
	Companions []KindSelector `json:"companions,omitempty"`

	// Tiers in the order in which they are filled. In mode Simulated the members
	// are those whose Member names the pool, and the CapacityPlan has their tiers.
	// +kubebuilder:validation:MinItems=1
	Tiers []PlacementTier `json:"tiers"`
}

// PlacementPolicyObservation is what was last seen of the policy.
type PlacementPolicyObservation struct {
	// Bindings that follow the policy.
	// +optional
	Bindings int32 `json:"bindings,omitempty"`
}

// A PlacementPolicySpec is the desired state of a PlacementPolicy.
type PlacementPolicySpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`
	ForProvider              PlacementPolicyParameters `json:"forProvider"`
}

// A PlacementPolicyStatus is the observed state of a PlacementPolicy.
type PlacementPolicyStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`
	AtProvider                 PlacementPolicyObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,managed}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="EXTERNAL-NAME",type="string",JSONPath=".metadata.annotations.crossplane\\.io/external-name"
// +kubebuilder:printcolumn:name="MODE",type="string",JSONPath=".spec.forProvider.mode"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A PlacementPolicy hands the selected workloads to the pool's scheduler.
type PlacementPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PlacementPolicySpec   `json:"spec"`
	Status PlacementPolicyStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A PlacementPolicyList contains PlacementPolicies.
type PlacementPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PlacementPolicy `json:"items"`
}

// PlacementPolicy kind.
var (
	PlacementPolicyKind             = "PlacementPolicy"
	PlacementPolicyGroupKind        = schema.GroupKind{Group: Group, Kind: PlacementPolicyKind}
	PlacementPolicyGroupVersionKind = SchemeGroupVersion.WithKind(PlacementPolicyKind)
)

func init() { SchemeBuilder.Register(&PlacementPolicy{}, &PlacementPolicyList{}) }
