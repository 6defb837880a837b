package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// CapacityPlanParameters are written to the twin in the workload plane, whose
// name is the external name.
type CapacityPlanParameters struct {
	fleetv1alpha1.CapacityPlanSpec `json:",inline"`
}

// CapacityPlanObservation is what the fleet says in the twin.
type CapacityPlanObservation struct {
	fleetv1alpha1.CapacityPlanStatus `json:",inline"`
}

// A CapacityPlanSpec is the desired state of a CapacityPlan.
type CapacityPlanSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`
	ForProvider              CapacityPlanParameters `json:"forProvider"`
}

// A CapacityPlanStatus is the observed state of a CapacityPlan.
type CapacityPlanStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`
	AtProvider                 CapacityPlanObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,managed}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="EXTERNAL-NAME",type="string",JSONPath=".metadata.annotations.crossplane\\.io/external-name"
// +kubebuilder:printcolumn:name="PHASE",type="string",JSONPath=".status.atProvider.phase"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A CapacityPlan is the host plane's twin of the CapacityPlan in the workload
// plane: it carries the spec there and the fleet's wishes back. Node pools
// follow it by reference.
type CapacityPlan struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   CapacityPlanSpec   `json:"spec"`
	Status CapacityPlanStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A CapacityPlanList contains CapacityPlans.
type CapacityPlanList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CapacityPlan `json:"items"`
}

// CapacityPlan kind.
var (
	CapacityPlanKind             = "CapacityPlan"
	CapacityPlanGroupKind        = schema.GroupKind{Group: Group, Kind: CapacityPlanKind}
	CapacityPlanGroupVersionKind = SchemeGroupVersion.WithKind(CapacityPlanKind)
)

func init() { SchemeBuilder.Register(&CapacityPlan{}, &CapacityPlanList{}) }
