package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
)

// Tags that created cloud resources carry.
const (
	// TagOwner is on every created cloud resource. Its value is the UID of the
	// managed resource.
	TagOwner = "regionpool.io/uid"

	// TagLeaks is on created cloud resources whose claim wants leaks to be
	// deleted, with the value LeaksDelete.
	TagLeaks = "regionpool.io/leaks"

	// LeaksDelete is the value of TagLeaks.
	LeaksDelete = "delete"

	// LeaksKeep is not a tag: it is remembered of owners whose things are meant
	// to outlive them.
	LeaksKeep = "keep"
)

// TypeCapacityAvailable is the condition of a node pool that is False when the
// cloud has no stock or no quota for the wanted nodes.
const TypeCapacityAvailable xpv2.ConditionType = "CapacityAvailable"

// A CapacityType says how machines are rented.
// +kubebuilder:validation:Enum=OnDemand;Spot
type CapacityType string

// Ways to rent machines.
const (
	// CapacityOnDemand machines are ours until they are given back.
	CapacityOnDemand CapacityType = "OnDemand"
	// CapacitySpot machines are cheaper, and the cloud may take them away.
	CapacitySpot CapacityType = "Spot"
)

// An Operation is a long-running task of a cloud. It is kept in an annotation
// or the status, never only in memory, so that a restart resumes it.
type Operation struct {
	// Type of the operation, such as Create, Modify or Delete.
	Type string `json:"type"`

	// TaskID of the cloud, if it has tasks.
	// +optional
	TaskID string `json:"taskId,omitempty"`

	// StartedAt is when the call was made.
	StartedAt metav1.Time `json:"startedAt"`

	// Stage the cloud reports.
	// +optional
	Stage string `json:"stage,omitempty"`
}

// SizeFrom names the offering of a CapacityPlan that says how many nodes are
// wanted.
type SizeFrom struct {
	// CapacityPlanRef names a CapacityPlan in the namespace of the node pool.
	CapacityPlanRef corev1.LocalObjectReference `json:"capacityPlanRef"`

	// Offering of the plan.
	// +kubebuilder:validation:MinLength=1
	Offering string `json:"offering"`
}

// A NodeDrain tells how far the drain of a node has come.
type NodeDrain struct {
	// Node that is being released.
	Node string `json:"node"`

	// InstanceID of the node.
	InstanceID string `json:"instanceId"`

	// StartedAt is when the node was cordoned.
	StartedAt metav1.Time `json:"startedAt"`

	// BlockedBy says which pods or budgets hold the drain.
	// +optional
	BlockedBy string `json:"blockedBy,omitempty"`
}

// A Shortage is machines that the cloud did not deliver.
type Shortage struct {
	// InstanceType and Zone that are short; empty if the cloud did not say.
	// +optional
	InstanceType string `json:"instanceType,omitempty"`
	// +optional
	Zone string `json:"zone,omitempty"`

	// Reason is OutOfStock, Quota or Reclaimed; NotSold if the region does not
	// know the type or the zone, NoAddresses if its subnets are full.
	Reason string `json:"reason"`

	// Message of the cloud.
	// +optional
	Message string `json:"message,omitempty"`

	// Since is when the shortage was first seen.
	Since metav1.Time `json:"since"`
}

// NodePoolObservation is what was last seen of a node pool.
type NodePoolObservation struct {
	// ID of the node pool.
	// +optional
	ID string `json:"id,omitempty"`

	// ClusterID the pool belongs to.
	// +optional
	ClusterID string `json:"clusterId,omitempty"`

	// Region of the pool.
	// +optional
	Region string `json:"region,omitempty"`

	// State the cloud reports.
	// +optional
	State string `json:"state,omitempty"`

	// Wanted number of nodes after clamping.
	// +optional
	Wanted int32 `json:"wanted"`

	// Desired size as the cloud has it.
	// +optional
	Desired int32 `json:"desired"`

	// Nodes that exist in the cloud.
	// +optional
	Nodes int32 `json:"nodes"`

	// Ready nodes, by Kubernetes: what clouds call healthy is the life cycle of
	// the machine.
	// +optional
	Ready int32 `json:"ready"`

	// Shortages that keep the pool from its desired size.
	// +optional
	// +listType=atomic
	Shortages []Shortage `json:"shortages,omitempty"`

	// Draining nodes.
	// +optional
	// +listType=map
	// +listMapKey=node
	Draining []NodeDrain `json:"draining,omitempty"`

	// Operation that is under way.
	// +optional
	Operation *Operation `json:"operation,omitempty"`
}

// ClusterObservation is what was last seen of a cluster.
type ClusterObservation struct {
	// ID of the cluster.
	// +optional
	ID string `json:"id,omitempty"`

	// State the cloud reports.
	// +optional
	State string `json:"state,omitempty"`

	// KubernetesVersion of the control plane.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// APIEndpoint of the cluster.
	// +optional
	APIEndpoint string `json:"apiEndpoint,omitempty"`

	// SecurityGroupID made for the nodes.
	// +optional
	SecurityGroupID string `json:"securityGroupId,omitempty"`

	// DeletionProtection as read back.
	// +optional
	DeletionProtection bool `json:"deletionProtection,omitempty"`

	// KubeconfigExpiresAt is when the published kubeconfig ends. It is renewed
	// well before.
	// +optional
	KubeconfigExpiresAt *metav1.Time `json:"kubeconfigExpiresAt,omitempty"`

	// Operation that is under way.
	// +optional
	Operation *Operation `json:"operation,omitempty"`

	// Leftovers are billed things of this cluster that still exist while it is
	// being deleted.
	// +optional
	Leftovers []string `json:"leftovers,omitempty"`
}
