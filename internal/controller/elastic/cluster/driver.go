// Package cluster reconciles rented clusters of any cloud.
package cluster

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// A Kind of clusters: those of one cloud.
type Kind struct {
	GVK    schema.GroupVersionKind
	Object client.Object
	List   resource.ManagedList
	// Pools are the kinds that a cluster waits for when it is deleted.
	Pools []Pool
	// Open a driver for one reconcile of a cluster.
	Open OpenFn
}

// An OpenFn makes a driver with the credentials of a ProviderConfig.
type OpenFn func(spec *v1alpha1.ProviderConfigSpec, raw []byte, cr elastic.Cluster) (Driver, error)

// A Pool is a kind of resources that belong to a cluster.
type Pool struct {
	GVK    schema.GroupVersionKind
	Object client.Object
	// List makes an empty list.
	List func() resource.ManagedList
	// ClusterName of a pool, or empty if the object is none.
	ClusterName func(o client.Object) string
}

// A Driver is what a cloud does for one Cluster, in one reconcile. All errors
// are *cloud.Error. No call blocks until the cloud has done the work; calls that
// start something return the id of a task, or an empty string if the cloud has
// none for it.
type Driver interface {
	elastic.Tasks
	// Find clusters that have the name of the resource, or its tag.
	Find(ctx context.Context) ([]elastic.Thing, error)
	// Get a cluster, or nil if the cloud says that there is none by the very code
	// that it has for this.
	Get(ctx context.Context, id string) (*State, error)
	// Create the cluster, without nodes and unprotected.
	Create(ctx context.Context) (id, task string, err error)
	// Kubeconfig of a cluster that works.
	Kubeconfig(ctx context.Context, id string) (kube.Kubeconfig, error)
	// Protect the cluster from deletion, or no longer. It is read back.
	Protect(ctx context.Context, id string, on bool) (task string, err error)
	// Tag adds tags or changes their values.
	Tag(ctx context.Context, id string, tags map[string]string) error
	// Change what State.Differs says.
	Change(ctx context.Context, s *State) (task string, err error)
	// Dismantle what has to go before the cluster. It returns what is being waited
	// for, or an empty string when nothing is left.
	Dismantle(ctx context.Context, s *State) (string, error)
	// Delete the cluster with what the cloud made for it.
	Delete(ctx context.Context, id string) (task string, err error)
	// Inventory of what the cloud made for the cluster while it exists.
	Inventory(ctx context.Context, id string) ([]string, error)
	// Remains of a cluster that is gone: what is billed, or in the way, and
	// carries its tag. A cloud that cannot tell returns nothing.
	Remains(ctx context.Context, id string) ([]string, error)
}

// A State of a cluster at its cloud.
type State struct {
	ID string
	// Word of the cloud for its state, and what it means.
	Word  string
	Phase elastic.Phase
	// Version of Kubernetes.
	Version string
	// Endpoint of the API server.
	Endpoint string
	// NoEndpoint says why the API server cannot be reached yet although the
	// cluster runs. Empty if it can.
	NoEndpoint string
	// Unaddressed says that the API server has no address, by the cloud's own
	// word: it never had one, or it was taken away.
	Unaddressed bool
	// Pending says that something is being made that nobody waits for.
	Pending            bool
	SecurityGroupID    string
	DeletionProtection bool
	Tags               map[string]string
	Created            time.Time
	// Differs names what Change has to change, beside protection and tags.
	Differs string
}
