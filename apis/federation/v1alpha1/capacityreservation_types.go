package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// CapacityReservationParameters are written to the twin in the workload plane, whose
// name is the external name.
type CapacityReservationParameters struct {
	fleetv1alpha1.CapacityReservationSpec `json:",inline"`
}

// CapacityReservationObservation is what the fleet says in the twin.
type CapacityReservationObservation struct {
	fleetv1alpha1.CapacityReservationStatus `json:",inline"`
}

// A CapacityReservationSpec is the desired state of a CapacityReservation.
type CapacityReservationSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`
	ForProvider              CapacityReservationParameters `json:"forProvider"`
}

// A CapacityReservationStatus is the observed state of a CapacityReservation.
type CapacityReservationStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`
	AtProvider                 CapacityReservationObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={crossplane,managed}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="EXTERNAL-NAME",type="string",JSONPath=".metadata.annotations.crossplane\\.io/external-name"
// +kubebuilder:printcolumn:name="PHASE",type="string",JSONPath=".status.atProvider.phase"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A CapacityReservation is the host plane's twin of the CapacityReservation in
// the workload plane: it carries the spec there and the status back.
type CapacityReservation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   CapacityReservationSpec   `json:"spec"`
	Status CapacityReservationStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A CapacityReservationList contains CapacityReservations.
type CapacityReservationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CapacityReservation `json:"items"`
}

// CapacityReservation kind.
var (
	CapacityReservationKind             = "CapacityReservation"
	CapacityReservationGroupKind        = schema.GroupKind{Group: Group, Kind: CapacityReservationKind}
	CapacityReservationGroupVersionKind = SchemeGroupVersion.WithKind(CapacityReservationKind)
)

func init() { SchemeBuilder.Register(&CapacityReservation{}, &CapacityReservationList{}) }
