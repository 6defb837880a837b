// Package fake is an API of ACK for unit tests of controllers.
package fake

import (
	"context"
	"fmt"
	"time"

	"regionpool.io/provider-regionpool/internal/clients/ack"
)

var _ ack.API = &API{}

// API answers by the functions that a test sets, and writes down calls that
// change something. A function that is not set answers with nothing.
type API struct {
	MockCreateCluster     func(in ack.ClusterInput) (ack.Created, error)
	MockGetCluster        func(id string) (*ack.Cluster, error)
	MockListClusters      func(name string) ([]ack.Cluster, error)
	MockSetProtection     func(id string, on bool) (string, error)
	MockTagCluster        func(id string, tags map[string]string) error
	MockDeleteCluster     func(id string) (string, error)
	MockKubeconfig        func(id string) (*ack.Kubeconfig, error)
	MockClusterResources  func(id string) ([]ack.Resource, error)
	MockGetAddon          func(name string) (*ack.AddonInstance, error)
	MockInstallAddon      func(a ack.Addon) (string, error)
	MockCreateNodePool    func(clusterID string, in ack.NodePoolInput) (ack.Created, error)
	MockGetNodePool       func(clusterID, id string) (*ack.NodePool, error)
	MockListNodePools     func(clusterID, name string) ([]ack.NodePool, error)
	MockSetDesiredSize    func(id string, n int32) (string, error)
	MockConfigureNodePool func(id string, in ack.NodePoolChange) (string, error)
	MockRemoveNodes       func(id string, instanceIDs []string) (string, error)
	MockDeleteNodePool    func(id string) (string, error)
	MockListNodes         func(clusterID, poolID string) ([]ack.Node, error)
	MockGetTask           func(id string) (*ack.Task, error)

	// Calls that change something, in order.
	Calls []string
}

func (a *API) called(format string, args ...any) {
	a.Calls = append(a.Calls, fmt.Sprintf(format, args...))
}

// CreateCluster calls the mock.
func (a *API) CreateCluster(_ context.Context, in ack.ClusterInput) (ack.Created, error) {
	a.called("CreateCluster")
	if a.MockCreateCluster == nil {
		return ack.Created{}, nil
	}
	return a.MockCreateCluster(in)
}

// GetCluster calls the mock.
func (a *API) GetCluster(_ context.Context, id string) (*ack.Cluster, error) {
	if a.MockGetCluster == nil {
		return &ack.Cluster{ID: id}, nil
	}
	return a.MockGetCluster(id)
}

// ListClusters calls the mock.
func (a *API) ListClusters(_ context.Context, name string) ([]ack.Cluster, error) {
	if a.MockListClusters == nil {
		return nil, nil
	}
	return a.MockListClusters(name)
}

// SetDeletionProtection calls the mock.
func (a *API) SetDeletionProtection(_ context.Context, id string, on bool) (string, error) {
	a.called("SetDeletionProtection %t", on)
	if a.MockSetProtection == nil {
		return "", nil
	}
	return a.MockSetProtection(id, on)
}

// TagCluster calls the mock.
func (a *API) TagCluster(_ context.Context, id string, tags map[string]string) error {
	a.called("TagCluster")
	if a.MockTagCluster == nil {
		return nil
	}
	return a.MockTagCluster(id, tags)
}

// DeleteCluster calls the mock.
func (a *API) DeleteCluster(_ context.Context, id string) (string, error) {
	a.called("DeleteCluster %s", id)
	if a.MockDeleteCluster == nil {
		return "", nil
	}
	return a.MockDeleteCluster(id)
}

// Kubeconfig calls the mock.
func (a *API) Kubeconfig(_ context.Context, id string, _ time.Duration, _ bool) (*ack.Kubeconfig, error) {
	if a.MockKubeconfig == nil {
		return &ack.Kubeconfig{}, nil
	}
	return a.MockKubeconfig(id)
}

// ClusterResources calls the mock.
func (a *API) ClusterResources(_ context.Context, id string) ([]ack.Resource, error) {
	if a.MockClusterResources == nil {
		return nil, nil
	}
	return a.MockClusterResources(id)
}

// GetAddon calls the mock.
func (a *API) GetAddon(_ context.Context, _, name string) (*ack.AddonInstance, error) {
	if a.MockGetAddon == nil {
		return &ack.AddonInstance{Name: name, State: "active"}, nil
	}
	return a.MockGetAddon(name)
}

// InstallAddon calls the mock.
func (a *API) InstallAddon(_ context.Context, _ string, in ack.Addon) (string, error) {
	a.called("InstallAddon %s", in.Name)
	if a.MockInstallAddon == nil {
		return "", nil
	}
	return a.MockInstallAddon(in)
}

// CreateNodePool calls the mock.
func (a *API) CreateNodePool(_ context.Context, clusterID string, in ack.NodePoolInput) (ack.Created, error) {
	a.called("CreateNodePool %d", in.DesiredSize)
	if a.MockCreateNodePool == nil {
		return ack.Created{}, nil
	}
	return a.MockCreateNodePool(clusterID, in)
}

// GetNodePool calls the mock.
func (a *API) GetNodePool(_ context.Context, clusterID, id string) (*ack.NodePool, error) {
	if a.MockGetNodePool == nil {
		return &ack.NodePool{ID: id}, nil
	}
	return a.MockGetNodePool(clusterID, id)
}

// ListNodePools calls the mock.
func (a *API) ListNodePools(_ context.Context, clusterID, name string) ([]ack.NodePool, error) {
	if a.MockListNodePools == nil {
		return nil, nil
	}
	return a.MockListNodePools(clusterID, name)
}

// SetDesiredSize calls the mock.
func (a *API) SetDesiredSize(_ context.Context, _, id string, n int32) (string, error) {
	a.called("SetDesiredSize %d", n)
	if a.MockSetDesiredSize == nil {
		return "", nil
	}
	return a.MockSetDesiredSize(id, n)
}

// ConfigureNodePool calls the mock.
func (a *API) ConfigureNodePool(_ context.Context, _, id string, in ack.NodePoolChange) (string, error) {
	a.called("ConfigureNodePool")
	if a.MockConfigureNodePool == nil {
		return "", nil
	}
	return a.MockConfigureNodePool(id, in)
}

// RemoveNodes calls the mock.
func (a *API) RemoveNodes(_ context.Context, _, id string, instanceIDs []string) (string, error) {
	a.called("RemoveNodes %v", instanceIDs)
	if a.MockRemoveNodes == nil {
		return "", nil
	}
	return a.MockRemoveNodes(id, instanceIDs)
}

// DeleteNodePool calls the mock.
func (a *API) DeleteNodePool(_ context.Context, _, id string) (string, error) {
	a.called("DeleteNodePool %s", id)
	if a.MockDeleteNodePool == nil {
		return "", nil
	}
	return a.MockDeleteNodePool(id)
}

// ListNodes calls the mock.
func (a *API) ListNodes(_ context.Context, clusterID, poolID string) ([]ack.Node, error) {
	if a.MockListNodes == nil {
		return nil, nil
	}
	return a.MockListNodes(clusterID, poolID)
}

// GetTask calls the mock.
func (a *API) GetTask(_ context.Context, id string) (*ack.Task, error) {
	if a.MockGetTask == nil {
		return &ack.Task{ID: id, State: "success"}, nil
	}
	return a.MockGetTask(id)
}
