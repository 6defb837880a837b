package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A WorkloadTarget selects workloads of the workload plane. What is empty
// matches all.
// +kubebuilder:validation:XValidation:rule="has(self.name) || (has(self.matchLabels) && size(self.matchLabels) > 0)",message="set name or matchLabels: the target would match every workload"
type WorkloadTarget struct {
	// Namespace of the workloads.
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`

	// Kind of the workloads.
	// +kubebuilder:default=Deployment
	Kind string `json:"kind,omitempty"`

	// Name of one workload.
	// +optional
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name,omitempty"`

	// MatchLabels that the workloads carry.
	// +optional
	// +kubebuilder:validation:MaxProperties=10
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// An Amount of capacity: exactly one of its fields.
// +kubebuilder:validation:XValidation:rule="[has(self.replicas), has(self.nodes), has(self.resources)].exists_one(x, x)",message="set exactly one of replicas, nodes and resources"
type Amount struct {
	// Replicas of each targeted workload, beside those that run at home and those
	// that were on rented capacity when the reservation began.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Replicas *int32 `json:"replicas,omitempty"`

	// Nodes of the cheapest offering that the targets can use.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5000
	Nodes *int32 `json:"nodes,omitempty"`

	// Resources: cpu, memory, nvidia.com/gpu.
	// +optional
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",message="resources is empty"
	Resources corev1.ResourceList `json:"resources,omitempty"`
}

// CapacityReservationSpec asks for capacity before pods need it.
type CapacityReservationSpec struct {
	// Pool whose members it is reserved in: the name of the CapacityPlan.
	// +kubebuilder:validation:MinLength=1
	Pool string `json:"pool"`

	// Amount that is guaranteed while the reservation is active.
	Amount Amount `json:"amount"`

	// Targets may use it; the other workloads of the pool may not.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	Targets []WorkloadTarget `json:"targets"`

	// Prefer these members, in this order, whatever they cost.
	// +optional
	// +listType=atomic
	Prefer []string `json:"prefer,omitempty"`

	// Until the reservation ends. Later is never too late to extend it: nothing
	// moves.
	Until metav1.Time `json:"until"`

	// MaxCost is the money that the reservation may spend in all. It ends when
	// that is spent.
	// +optional
	MaxCost *resource.Quantity `json:"maxCost,omitempty"`

	// Members and Offerings that join the pool while the reservation is active,
	// and until what runs on them has gone.
	// +optional
	// +listType=map
	// +listMapKey=name
	Members []PlanMember `json:"members,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=name
	Offerings []Offering `json:"offerings,omitempty"`

	// Market of those offerings: see the CapacityPlan.
	// +optional
	Market Market `json:"market,omitempty"`
}

// A ReservationPhase says in a word how a reservation stands.
// +kubebuilder:validation:Enum=Waiting;Filling;Filled;Capped;Ended
type ReservationPhase string

// Phases of a reservation.
const (
	// ReservationWaiting means that the pool does not exist yet, or that no
	// workload matches.
	ReservationWaiting ReservationPhase = "Waiting"
	// ReservationFilling means that capacity for it is on its way.
	ReservationFilling ReservationPhase = "Filling"
	// ReservationFilled means that all of it is there, used or not.
	ReservationFilled ReservationPhase = "Filled"
	// ReservationCapped means that a limit or the market forbids a part of it.
	ReservationCapped ReservationPhase = "Capped"
	// ReservationEnded means that time or money is over: it holds nothing.
	ReservationEnded ReservationPhase = "Ended"
)

// CapacityReservationStatus is what the fleet writes.
type CapacityReservationStatus struct {
	// ObservedGeneration of the spec this status was computed from.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase of the reservation.
	// +optional
	Phase ReservationPhase `json:"phase,omitempty"`

	// Message for a person: what is missing and why, or why it ended.
	// +optional
	Message string `json:"message,omitempty"`

	// Targets that were found, as namespace/name.
	// +optional
	// +listType=set
	Targets []string `json:"targets,omitempty"`

	// Baselines are the replicas of each target, by its binding, that were on
	// rented capacity when the reservation began: they use nothing of it.
	// +optional
	Baselines map[string]int32 `json:"baselines,omitempty"`

	// Replicas of the targets that run on rented capacity, and that still fit
	// into what is reserved.
	// +optional
	Running int32 `json:"running,omitempty"`
	// +optional
	Free int32 `json:"free,omitempty"`

	// Nodes that are held for it, Ready and on their way.
	// +optional
	Nodes int32 `json:"nodes,omitempty"`

	// HourlyCost of what is held, and Spent so far at the last change of it.
	// +optional
	HourlyCost string `json:"hourlyCost,omitempty"`
	// +optional
	Spent string `json:"spent,omitempty"`

	// MembersInUse are members it brought that still have nodes or replicas.
	// +optional
	// +listType=set
	MembersInUse []string `json:"membersInUse,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="POOL",type="string",JSONPath=".spec.pool"
// +kubebuilder:printcolumn:name="PHASE",type="string",JSONPath=".status.phase"
// +kubebuilder:printcolumn:name="UNTIL",type="string",JSONPath=".spec.until"
// +kubebuilder:printcolumn:name="COST/H",type="string",JSONPath=".status.hourlyCost"

// A CapacityReservation holds capacity of a pool for some workloads, until a
// time. The planner counts it as demand: there are no placeholder pods.
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

func init() { SchemeBuilder.Register(&CapacityReservation{}, &CapacityReservationList{}) }
