package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// BurstSpec asks for capacity in an emergency.
// +kubebuilder:validation:XValidation:rule="has(self.until) != has(self.for)",message="set exactly one of until and for"
type BurstSpec struct {
	// PoolRef names a RegionPool of the Burst's namespace. It need not exist
	// yet.
	// +kubebuilder:validation:XValidation:rule="size(self.name) > 0",message="poolRef.name is empty"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="poolRef cannot be changed"
	PoolRef corev1.LocalObjectReference `json:"poolRef"`

	// Amount that is guaranteed while the Burst is active.
	Amount fleetv1alpha1.Amount `json:"amount"`

	// Targets are the workloads that may use it. The other workloads of the pool
	// may not.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	Targets []fleetv1alpha1.WorkloadTarget `json:"targets"`

	// Prefer these elastic clusters, in this order, whatever they cost.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	Prefer []string `json:"prefer,omitempty"`

	// Until the Burst ends.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// For is how long the Burst lasts, counted from its creation.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="for must be above 0"
	For *metav1.Duration `json:"for,omitempty"`

	// MaxCost is the money the Burst may spend in all, above 0.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="maxCost must be above 0"
	MaxCost *resource.Quantity `json:"maxCost,omitempty"`

	// Elastic is a cluster that joins the pool for the time of the Burst.
	// +optional
	Elastic *ElasticCluster `json:"elastic,omitempty"`
}

// BurstStatus tells how a Burst stands.
type BurstStatus struct {
	xpv2.ConditionedStatus `json:",inline"`

	// Phase: Waiting, Filling, Filled, Capped or Ended.
	// +optional
	Phase string `json:"phase,omitempty"`

	// Until the Burst ends.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// Nodes that are held for it.
	// +optional
	Nodes int32 `json:"nodes,omitempty"`

	// Running replicas of the targets on rented capacity, and how many more fit
	// into what is held.
	// +optional
	Running int32 `json:"running,omitempty"`
	// +optional
	Free int32 `json:"free,omitempty"`

	// HourlyCost of what is held, and Spent so far.
	// +optional
	HourlyCost string `json:"hourlyCost,omitempty"`
	// +optional
	Spent string `json:"spent,omitempty"`

	// Message for a person.
	// +optional
	Message string `json:"message,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced
// +kubebuilder:printcolumn:name="POOL",type="string",JSONPath=".spec.poolRef.name"
// +kubebuilder:printcolumn:name="PHASE",type="string",JSONPath=".status.phase"
// +kubebuilder:printcolumn:name="NODES",type="integer",JSONPath=".status.nodes"
// +kubebuilder:printcolumn:name="RUNNING",type="integer",JSONPath=".status.running"
// +kubebuilder:printcolumn:name="UNTIL",type="string",JSONPath=".status.until"
// +kubebuilder:printcolumn:name="COST/H",type="string",JSONPath=".status.hourlyCost"

// A Burst is the emergency claim: so much capacity, for these services, until
// then.
type Burst struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   BurstSpec   `json:"spec"`
	Status BurstStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A BurstList contains Bursts.
type BurstList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Burst `json:"items"`
}

func init() { SchemeBuilder.Register(&Burst{}, &BurstList{}) }
