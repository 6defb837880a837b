// Package nodepool reconciles the node pools of rented clusters, of any cloud.
// The number of nodes is ours: it grows in one call, and shrinks by draining
// chosen nodes.
package nodepool

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// A Kind of node pools: those of one cloud.
type Kind struct {
	GVK    schema.GroupVersionKind
	Object client.Object
	// List makes an empty list.
	List func() resource.ManagedList
	// Cluster is the kind of the clusters that the pools belong to, and NewCluster
	// makes an empty one.
	Cluster    schema.GroupVersionKind
	NewCluster func() elastic.Cluster
	// Phase that a state of a cluster means.
	Phase func(state string) elastic.Phase
	// Open a driver for one reconcile of a pool. The cluster is nil if it is gone.
	Open func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string, cr elastic.NodePool, cl elastic.Cluster) (Driver, error)
}

// Presence of a pool at the cloud.
type Presence int

const (
	// Present pools are there.
	Present Presence = iota
	// Absent pools are not, says the cloud by the very code that it has for this.
	Absent
	// ClusterAbsent says the same of the whole cluster.
	ClusterAbsent
)

// A Driver is what a cloud does for one NodePool, in one reconcile. All errors
// are *cloud.Error. No call blocks until the cloud has done the work; calls that
// start something return the id of a task, or an empty string if the cloud has
// none for it.
type Driver interface {
	elastic.Tasks
	// Find pools of a cluster that have the name of the resource, or its tag. A
	// cluster that is gone has none.
	Find(ctx context.Context, clusterID string) ([]elastic.Thing, error)
	// Get a pool. The state is nil unless it is present.
	Get(ctx context.Context, clusterID, id string) (*State, Presence, error)
	// ClusterGone reports whether the cloud says, asked for the cluster itself,
	// that there is none.
	ClusterGone(ctx context.Context, clusterID string) (bool, error)
	// Create the pool with its nodes.
	Create(ctx context.Context, clusterID string, size int32) (id, task string, err error)
	// Configure changes what State.Differs, which is anything but the number of
	// nodes.
	Configure(ctx context.Context, clusterID string, s *State) (task string, err error)
	// SetDesired number of nodes. Below the number that is there the cloud would
	// choose what to remove, and not drain it.
	SetDesired(ctx context.Context, clusterID, id string, n int32) (task string, err error)
	// Machines of the pool.
	Machines(ctx context.Context, clusterID, id string) ([]Machine, error)
	// Remove machines, release them, and lower the desired number. The caller has
	// drained them.
	Remove(ctx context.Context, clusterID, id string, machines []string) (task string, err error)
	// Unprotect the pool, if it is protected from deletion.
	Unprotect(ctx context.Context, clusterID, id string) error
	// Delete a pool that has no nodes.
	Delete(ctx context.Context, clusterID, id string) (task string, err error)
	// Kubeconfig of the pool's cluster.
	Kubeconfig(ctx context.Context, clusterID string) (kube.Kubeconfig, error)
	// NodeSelector selects the nodes of a pool in its cluster.
	NodeSelector(id string) string
	// Shortages that the cloud tells of without being asked to scale: what it could
	// not deliver since a time. Clouds that answer in tasks return nothing.
	Shortages(ctx context.Context, s *State, since time.Time) ([]v1alpha1.Shortage, error)
	// Shortage that an error of the cloud tells of: type and zone, if it names
	// them.
	Shortage(err error) v1alpha1.Shortage
	// Noticed says where the cloud has told that it will take a machine back, and
	// in which words. Nil if it has not.
	Noticed(n *corev1.Node) *v1alpha1.Shortage
	// Places where machines are ordered, for a person.
	Places() string
}

// A Phase of a node pool: what its state means to us.
type Phase string

// Phases of a node pool.
const (
	PhaseBuilding     Phase = "Building"
	PhaseActive       Phase = "Active"
	PhaseScaling      Phase = "Scaling"
	PhaseDeleting     Phase = "Deleting"
	PhaseDeleteFailed Phase = "DeleteFailed"
	// PhaseBusy pools are doing something else, and take no changes.
	PhaseBusy Phase = "Busy"
)

// A State of a node pool at its cloud.
type State struct {
	ID string
	// Word of the cloud for its state, and what it means.
	Word  string
	Phase Phase
	Tags  map[string]string
	// Desired number of nodes that the cloud works towards, Total machines that
	// there are, and those of them that are being removed.
	Desired, Total, Removing int32
	// AutoScaling says that the cloud's own scaler owns the number of nodes.
	AutoScaling bool
	// Protected from deletion.
	Protected bool
	// Differs says that Configure has something to change.
	Differs bool
	// Group is the id of the scaling group, for clouds that show it.
	Group string
}

// there is the number of machines that stay.
func (s *State) there() int32 { return s.Total - s.Removing }

// A Machine of a pool.
type Machine struct {
	ID string
	// Name of the node that it became, if the cloud knows.
	Name    string
	Created time.Time
	// Removing says that the cloud is taking it back already.
	Removing bool
}
