package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// Names that fleet and provider agree on in the workload plane.
const (
	// SchedulerName is the scheduler of Karmada bindings that fleet places.
	SchedulerName = "regionpool"

	// LabelPool is carried by workloads (which pool they run in), by Karmada
	// Clusters and by the policies of a pool. On a Cluster and a policy the
	// value is the name of the CapacityPlan in the workload plane.
	LabelPool = "regionpool.io/pool"

	// LabelOffering is carried by cloud nodes: the offering they were ordered
	// as.
	LabelOffering = "regionpool.io/offering"

	// TaintDraining is put on a Karmada Cluster that is about to leave: fleet
	// moves its replicas away, make before break, and places nothing new.
	TaintDraining = "federation.regionpool.io/draining"

	// AnnotationSchedulerConfiguration of a Karmada Cluster is the
	// KubeSchedulerConfiguration of its kube-scheduler, as YAML. Without it the
	// cluster is taken to have kube-scheduler's defaults.
	AnnotationSchedulerConfiguration = "fleet.regionpool.io/scheduler-configuration"

	// TaintReleasing is put on a node (as a cordon with a reason) that is about
	// to be given back to the cloud.
	TaintReleasing = "regionpool.io/releasing"

	// ReleasingPool is the value of TaintReleasing on the nodes of a pool that
	// goes while its cluster stays: fleet gives their replicas a place elsewhere,
	// make before break.
	ReleasingPool = "pool"
)

// A PlanMember is a cluster of the pool as the planner sees it.
type PlanMember struct {
	// Name of the Karmada Cluster.
	Name string `json:"name"`

	// Tier in which replicas are placed: 0 first. Self-built clusters are tier
	// 0, elastic ones 1 and up.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Tier int32 `json:"tier"`

	// Elastic members are rented: their nodes cost money and come and go.
	// +kubebuilder:default=false
	Elastic bool `json:"elastic"`

	// Warm elastic members keep their control plane when they are empty.
	// +kubebuilder:default=false
	Warm bool `json:"warm"`

	// HourlyCost of the control plane while it exists.
	// +optional
	HourlyCost *resource.Quantity `json:"hourlyCost,omitempty"`
}

// An Offering is one kind of node that can be ordered: one node pool of one
// elastic member.
type Offering struct {
	// Name of the offering, unique in the plan.
	Name string `json:"name"`

	// Member whose nodes these are.
	Member string `json:"member"`

	// InstanceType the capacity was computed from: the smallest of the pool.
	// +optional
	InstanceType string `json:"instanceType,omitempty"`

	// InstanceTypes in the order in which the cloud tries them.
	// +optional
	// +listType=atomic
	InstanceTypes []string `json:"instanceTypes,omitempty"`

	// CapacityType says how the nodes are rented.
	// +optional
	// +kubebuilder:default=OnDemand
	CapacityType elasticv1alpha1.CapacityType `json:"capacityType,omitempty"`

	// StartSeconds is how long a node takes from the order until Ready, or a pod
	// on a virtual node until it runs.
	// +optional
	// +kubebuilder:default=90
	// +kubebuilder:validation:Minimum=0
	StartSeconds int32 `json:"startSeconds,omitempty"`

	// Virtual makes this an offering of virtual nodes.
	// +optional
	Virtual *VirtualCapacity `json:"virtual,omitempty"`

	// Source says where it is rented.
	// +optional
	Source *OfferingSource `json:"source,omitempty"`

	// Region and Zones of the nodes.
	// +optional
	Region string `json:"region,omitempty"`
	// +optional
	Zones []string `json:"zones,omitempty"`

	// Allocatable resources of one node: what pods can use.
	Allocatable corev1.ResourceList `json:"allocatable"`

	// Labels and Taints of the nodes.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Taints []corev1.Taint `json:"taints,omitempty"`

	// HourlyPrice of one node, in the currency of the pool.
	HourlyPrice resource.Quantity `json:"hourlyPrice"`

	// Min nodes are kept even when idle. Max nodes are never passed.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Min int32 `json:"min"`
	// +kubebuilder:validation:Minimum=0
	Max int32 `json:"max"`
}

// PlanLimits are hard caps: they are never passed, whatever the demand says.
type PlanLimits struct {
	// Nodes in the cloud, all offerings together.
	// +optional
	Nodes *int32 `json:"nodes,omitempty"`

	// Clusters in the cloud.
	// +optional
	Clusters *int32 `json:"clusters,omitempty"`

	// HourlyCost of nodes and control planes together.
	// +optional
	HourlyCost *resource.Quantity `json:"hourlyCost,omitempty"`
}

// ScaleDown says when rented capacity is given back.
type ScaleDown struct {
	// StabilizationWindow is how long the self-built clusters must have had
	// room, without a break, before running replicas move home.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="stabilizationWindow must be a duration of 0 or more, such as 10m"
	StabilizationWindow metav1.Duration `json:"stabilizationWindow,omitempty"`

	// HeadroomPercent of the self-built allocatable that must stay free after
	// replicas have moved home.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=90
	HeadroomPercent int32 `json:"headroomPercent"`

	// NodeIdle is how long a cloud node must have been empty before it is
	// released.
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="nodeIdle must be a duration of 0 or more, such as 10m"
	NodeIdle metav1.Duration `json:"nodeIdle,omitempty"`

	// ClusterIdle is how long an elastic cluster must have been without nodes
	// and demand before it is released.
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="clusterIdle must be a duration of 0 or more, such as 10m"
	ClusterIdle metav1.Duration `json:"clusterIdle,omitempty"`
}

// Outage says what becomes of replicas in a member that does not answer.
type Outage struct {
	// ReplaceAfter is how long a member must have been silent before its
	// replicas are replaced elsewhere; without it they never are. They stay
	// assigned to it, and when it answers again as many are cut as are too many,
	// the dearest first. Replicas with an identity, such as those of a
	// StatefulSet, and Jobs are not replaced: nobody knows that they do not run.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m')",message="replaceAfter must be a duration of 1m or more, such as 10m"
	ReplaceAfter *metav1.Duration `json:"replaceAfter,omitempty"`
}

// CapacityPlanSpec is what the host plane writes: what can be rented, at what
// price, within which limits.
type CapacityPlanSpec struct {
	// Members of the pool, self-built and elastic.
	// +listType=map
	// +listMapKey=name
	Members []PlanMember `json:"members"`

	// Offerings that can be ordered.
	// +optional
	// +listType=map
	// +listMapKey=name
	Offerings []Offering `json:"offerings,omitempty"`

	// Limits of the pool.
	// +optional
	Limits PlanLimits `json:"limits,omitempty"`

	// ScaleDown delays.
	// +optional
	ScaleDown ScaleDown `json:"scaleDown,omitempty"`

	// Outage of a member.
	// +optional
	Outage *Outage `json:"outage,omitempty"`

	// Weights by which offerings are compared.
	// +optional
	// +kubebuilder:default={}
	Weights Weights `json:"weights,omitempty"`

	// PlacementWeights by which placements of waiting workloads are compared.
	// +optional
	// +kubebuilder:default={}
	PlacementWeights PlacementWeights `json:"placementWeights,omitempty"`

	// Overflow says which workloads may leave the self-built clusters.
	// +optional
	// +kubebuilder:default=Always
	Overflow OverflowMode `json:"overflow,omitempty"`

	// Market is what the clouds say of the offerings.
	// +optional
	Market Market `json:"market,omitempty"`
}

// OfferingStatus is what the planner wants of an offering.
type OfferingStatus struct {
	// Name of the offering.
	Name string `json:"name"`

	// Nodes wanted. Of an offering of virtual nodes: replicas placed there.
	Nodes int32 `json:"nodes"`

	// HourlyPrice that the planner counts with, of a node or of the pods.
	// +optional
	HourlyPrice string `json:"hourlyPrice,omitempty"`

	// AvoidUntil is until when it is not ordered, because the cloud did not
	// deliver.
	// +optional
	AvoidUntil *metav1.Time `json:"avoidUntil,omitempty"`

	// Registered nodes, and how many of them are Ready.
	// +optional
	Registered int32 `json:"registered,omitempty"`
	// +optional
	Ready int32 `json:"ready,omitempty"`

	// Release names the nodes to give back first, chosen because they are
	// empty. Their number may be smaller than registered minus nodes.
	// +optional
	// +listType=set
	Release []string `json:"release,omitempty"`

	// Reason why this many nodes are wanted, or why not more.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// PlanMemberStatus is what the fleet sees of a member, and whether it should
// exist.
type PlanMemberStatus struct {
	// Name of the member.
	Name string `json:"name"`

	// Wanted says whether an elastic member should exist. Self-built members
	// are always wanted.
	Wanted bool `json:"wanted"`

	// Joined members are in the federation and answer.
	// +optional
	Joined bool `json:"joined,omitempty"`

	// Nodes that are Ready.
	// +optional
	Nodes int32 `json:"nodes,omitempty"`

	// Replicas assigned to the member.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// Reason why the member is wanted or not.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// OwnCloud is a number split into its self-built and its rented part.
type OwnCloud struct {
	Own   int32 `json:"own"`
	Cloud int32 `json:"cloud"`
}

// ReplicaSummary counts the replicas of all workloads of the pool.
type ReplicaSummary struct {
	OwnCloud `json:",inline"`
	// Pending replicas have no place yet.
	Pending int32 `json:"pending"`
}

// A Refusal is an alternative that was not chosen, and why.
type Refusal struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// A Decision is the last thing the planner decided.
type Decision struct {
	// Time at which the demand that led to the decision was seen.
	Time metav1.MicroTime `json:"time"`

	// Summary for a person, one line.
	Summary string `json:"summary"`

	// Refused alternatives, with reasons.
	// +optional
	Refused []Refusal `json:"refused,omitempty"`
}

// A PlanPhase says in a word what the pool is doing.
// +kubebuilder:validation:Enum=Home;Bursting;Spilled;Returning;Releasing;Capped
type PlanPhase string

// Phases of a pool.
const (
	// PhaseHome means that everything runs in the self-built clusters.
	PhaseHome PlanPhase = "Home"
	// PhaseBursting means that replicas wait for cloud capacity on its way.
	PhaseBursting PlanPhase = "Bursting"
	// PhaseSpilled means that some replicas run in the cloud and none waits.
	PhaseSpilled PlanPhase = "Spilled"
	// PhaseReturning means that replicas are moving home.
	PhaseReturning PlanPhase = "Returning"
	// PhaseReleasing means that empty cloud capacity is being given back.
	PhaseReleasing PlanPhase = "Releasing"
	// PhaseCapped means that replicas wait and a limit forbids more capacity.
	PhaseCapped PlanPhase = "Capped"
)

// CapacityPlanStatus is what the fleet writes.
type CapacityPlanStatus struct {
	// ObservedGeneration of the spec this status was computed from.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase of the pool.
	// +optional
	Phase PlanPhase `json:"phase,omitempty"`

	// Offerings and the number of nodes wanted of each.
	// +optional
	// +listType=map
	// +listMapKey=name
	Offerings []OfferingStatus `json:"offerings,omitempty"`

	// Members as the fleet sees them.
	// +optional
	// +listType=map
	// +listMapKey=name
	Members []PlanMemberStatus `json:"members,omitempty"`

	// Nodes that are Ready.
	// +optional
	Nodes OwnCloud `json:"nodes,omitempty"`

	// Replicas of all workloads of the pool.
	// +optional
	Replicas ReplicaSummary `json:"replicas,omitempty"`

	// HourlyCost of what is wanted now.
	// +optional
	HourlyCost string `json:"hourlyCost,omitempty"`

	// LastDecision of the planner.
	// +optional
	LastDecision *Decision `json:"lastDecision,omitempty"`

	// Conditions: CapacitySufficient (are all replicas placed or on their way;
	// reason names the limit that forbids more).
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Conditions of a CapacityPlan.
const (
	// ConditionCapacitySufficient is False while replicas wait and nothing more
	// can be ordered.
	ConditionCapacitySufficient = "CapacitySufficient"
)

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cap
// +kubebuilder:printcolumn:name="PHASE",type="string",JSONPath=".status.phase"
// +kubebuilder:printcolumn:name="OWN",type="integer",JSONPath=".status.replicas.own"
// +kubebuilder:printcolumn:name="CLOUD",type="integer",JSONPath=".status.replicas.cloud"
// +kubebuilder:printcolumn:name="PENDING",type="integer",JSONPath=".status.replicas.pending"
// +kubebuilder:printcolumn:name="COST/H",type="string",JSONPath=".status.hourlyCost"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A CapacityPlan is where the planes meet: the host writes what can be rented,
// the fleet writes what is wanted. It is named after the pool; the bindings of
// the ClusterPropagationPolicy of the same name are the demand.
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

func init() { SchemeBuilder.Register(&CapacityPlan{}, &CapacityPlanList{}) }
