package elastic

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

// A Cluster is the managed resource of a cluster, of any cloud.
type Cluster interface {
	resource.ModernManaged
	// GetObservation returns the status, to read and to change.
	GetObservation() *v1alpha1.ClusterObservation
	GetRegion() string
	// GetDeletionProtection and GetTags that are wanted.
	GetDeletionProtection() bool
	GetTags() map[string]string
}

// A NodePool is the managed resource of a node pool, of any cloud.
type NodePool interface {
	resource.ModernManaged
	// GetObservation returns the status, to read and to change.
	GetObservation() *v1alpha1.NodePoolObservation
	// GetClusterName of the Cluster in the same namespace.
	GetClusterName() string
	GetSizing() v1alpha1.Sizing
	GetInstanceTypes() []string
	GetCapacityType() v1alpha1.CapacityType
}

// A Phase of a cluster: what its state, which each cloud words differently,
// means to us.
type Phase string

// Phases of a cluster.
const (
	// PhaseBuilding clusters take no changes.
	PhaseBuilding Phase = "Building"
	// PhaseRunning clusters take any.
	PhaseRunning Phase = "Running"
	// PhaseScaling clusters take node pools.
	PhaseScaling Phase = "Scaling"
	// PhaseChanging clusters work, and take no changes.
	PhaseChanging Phase = "Changing"
	// PhaseFailed clusters could not be built. They never worked, and may be
	// billed.
	PhaseFailed Phase = "Failed"
	// PhaseDeleting clusters are going, PhaseDeleteFailed ones did not make it.
	PhaseDeleting     Phase = "Deleting"
	PhaseDeleteFailed Phase = "DeleteFailed"
	// PhaseOther is for states in which a cluster may work or not.
	PhaseOther Phase = "Other"
)

// Broken clusters have no API server that could ever answer.
func (p Phase) Broken() bool { return p == PhaseFailed || p == PhaseDeleteFailed }

// Usable clusters have an API server that should answer.
func (p Phase) Usable() bool {
	return p == PhaseRunning || p == PhaseScaling || p == PhaseChanging
}

// Members of the federation that are the cluster, or may be before it is gone,
// by name. One that was created after the cluster was deleted does not join it:
// it waits for the next cluster of that name. The cluster must not wait for it.
func Members(ctx context.Context, c client.Reader, kind schema.GroupVersionKind, namespace, cluster string, deleted *metav1.Time) ([]federationv1alpha1.Member, error) {
	l := &federationv1alpha1.MemberList{}
	if err := c.List(ctx, l, client.InNamespace(namespace)); err != nil {
		return nil, errors.Wrap(err, "cannot list Members")
	}
	return slices.DeleteFunc(l.Items, func(m federationv1alpha1.Member) bool {
		next := deleted != nil && m.GetCreationTimestamp().After(deleted.Time)
		return next || ClusterOfMember(&m, kind) != cluster
	}), nil
}

// ClusterOfMember is the name of the Cluster of a kind that a Member is, or
// empty.
func ClusterOfMember(m *federationv1alpha1.Member, kind schema.GroupVersionKind) string {
	ref := m.Spec.ForProvider.ClusterRef
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != kind.GroupVersion().String() {
		return ""
	}
	return ref.Name
}
