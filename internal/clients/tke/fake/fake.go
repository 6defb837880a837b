// Package fake is an API of TKE for unit tests of controllers.
package fake

import (
	"context"
	"fmt"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/internal/clients/tke"
)

var _ tke.API = &API{}

// API answers by the functions that a test sets, and writes down calls that
// change something. A function that is not set answers with nothing.
type API struct {
	MockCreateCluster            func(in tke.ClusterInput) (string, error)
	MockGetCluster               func(id string) (*tke.Cluster, error)
	MockGetClusterStatus         func(id string) (*tke.ClusterStatus, error)
	MockListClusters             func(name string, tags map[string]string) ([]tke.Cluster, error)
	MockSetProtection            func(id string, on bool) error
	MockTagCluster               func(id string, tags map[string]string) error
	MockSetClusterLevel          func(id, level string, auto bool) error
	MockDeleteCluster            func(id string) error
	MockListLevels               func(id string) ([]tke.Level, error)
	MockCreateEndpoint           func(clusterID string, in tke.EndpointInput) error
	MockGetEndpoint              func(clusterID string, public bool) (*tke.Endpoint, error)
	MockDeleteEndpoint           func(clusterID string, public bool) error
	MockKubeconfig               func(clusterID string, public bool) ([]byte, error)
	MockCreateNodePool           func(clusterID string, in tke.NodePoolInput) (string, error)
	MockGetNodePool              func(clusterID, id string) (*tke.NodePool, error)
	MockListNodePools            func(clusterID, name string, tags map[string]string) ([]tke.NodePool, error)
	MockSetDesired               func(id string, n int32) error
	MockSetBounds                func(id string, lowest, highest int32) error
	MockSetInstanceTypes         func(id string, types []string) error
	MockConfigureNodePool        func(id string, in tke.NodePoolChange) error
	MockDeleteNodePool           func(id string) error
	MockGetScalingGroup          func(id string) (*tke.ScalingGroup, error)
	MockListInstances            func(clusterID, poolID string) ([]tke.Instance, error)
	MockTerminateInstances       func(clusterID string, ids []string) (*tke.Terminated, error)
	MockListActivities           func(scalingGroupID string, since time.Time) ([]tke.Activity, error)
	MockCreateVirtualNodePool    func(clusterID string, in tke.VirtualNodePoolInput) (string, error)
	MockConfigureVirtualNodePool func(id string, in tke.VirtualNodePoolChange) error
	MockListVirtualNodePools     func(clusterID string) ([]tke.VirtualNodePool, error)
	MockAddVirtualNodes          func(poolID string, subnetIDs []string) error
	MockListVirtualNodes         func(clusterID, poolID string) ([]tke.VirtualNode, error)
	MockDrainVirtualNode         func(name string) error
	MockDeleteVirtualNodes       func(names []string, force bool) error
	MockDeleteVirtualNodePool    func(id string, force bool) error

	// Calls that change something, in order.
	Calls []string
}

func (a *API) called(format string, args ...any) {
	a.Calls = append(a.Calls, fmt.Sprintf(format, args...))
}

// CreateCluster calls the mock.
func (a *API) CreateCluster(_ context.Context, in tke.ClusterInput) (string, error) {
	a.called("CreateCluster")
	if a.MockCreateCluster == nil {
		return "", nil
	}
	return a.MockCreateCluster(in)
}

// GetCluster calls the mock.
func (a *API) GetCluster(_ context.Context, id string) (*tke.Cluster, error) {
	if a.MockGetCluster == nil {
		return &tke.Cluster{ID: id}, nil
	}
	return a.MockGetCluster(id)
}

// GetClusterStatus calls the mock.
func (a *API) GetClusterStatus(_ context.Context, id string) (*tke.ClusterStatus, error) {
	if a.MockGetClusterStatus == nil {
		return &tke.ClusterStatus{}, nil
	}
	return a.MockGetClusterStatus(id)
}

// ListClusters calls the mock.
func (a *API) ListClusters(_ context.Context, name string, tags map[string]string) ([]tke.Cluster, error) {
	if a.MockListClusters == nil {
		return nil, nil
	}
	return a.MockListClusters(name, tags)
}

// SetDeletionProtection calls the mock.
func (a *API) SetDeletionProtection(_ context.Context, id string, on bool) error {
	a.called("SetDeletionProtection %t", on)
	if a.MockSetProtection == nil {
		return nil
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

// SetClusterLevel calls the mock.
func (a *API) SetClusterLevel(_ context.Context, id, level string, auto bool) error {
	a.called("SetClusterLevel %s %t", level, auto)
	if a.MockSetClusterLevel == nil {
		return nil
	}
	return a.MockSetClusterLevel(id, level, auto)
}

// DeleteCluster calls the mock.
func (a *API) DeleteCluster(_ context.Context, id string) error {
	a.called("DeleteCluster %s", id)
	if a.MockDeleteCluster == nil {
		return nil
	}
	return a.MockDeleteCluster(id)
}

// ListLevels calls the mock.
func (a *API) ListLevels(_ context.Context, id string) ([]tke.Level, error) {
	if a.MockListLevels == nil {
		return nil, nil
	}
	return a.MockListLevels(id)
}

// CreateEndpoint calls the mock.
func (a *API) CreateEndpoint(_ context.Context, clusterID string, in tke.EndpointInput) error {
	a.called("CreateEndpoint public=%t", in.Public)
	if a.MockCreateEndpoint == nil {
		return nil
	}
	return a.MockCreateEndpoint(clusterID, in)
}

// GetEndpoint calls the mock.
func (a *API) GetEndpoint(_ context.Context, clusterID string, public bool) (*tke.Endpoint, error) {
	if a.MockGetEndpoint == nil {
		return &tke.Endpoint{State: tke.EndpointNotFound}, nil
	}
	return a.MockGetEndpoint(clusterID, public)
}

// DeleteEndpoint calls the mock.
func (a *API) DeleteEndpoint(_ context.Context, clusterID string, public bool) error {
	a.called("DeleteEndpoint public=%t", public)
	if a.MockDeleteEndpoint == nil {
		return nil
	}
	return a.MockDeleteEndpoint(clusterID, public)
}

// Kubeconfig calls the mock.
func (a *API) Kubeconfig(_ context.Context, clusterID string, public bool) ([]byte, error) {
	if a.MockKubeconfig == nil {
		return nil, nil
	}
	return a.MockKubeconfig(clusterID, public)
}

// CreateNodePool calls the mock.
func (a *API) CreateNodePool(_ context.Context, clusterID string, in tke.NodePoolInput) (string, error) {
	a.called("CreateNodePool %d", in.Desired)
	if a.MockCreateNodePool == nil {
		return "", nil
	}
	return a.MockCreateNodePool(clusterID, in)
}

// GetNodePool calls the mock.
func (a *API) GetNodePool(_ context.Context, clusterID, id string) (*tke.NodePool, error) {
	if a.MockGetNodePool == nil {
		return &tke.NodePool{ID: id}, nil
	}
	return a.MockGetNodePool(clusterID, id)
}

// ListNodePools calls the mock.
func (a *API) ListNodePools(_ context.Context, clusterID, name string, tags map[string]string) ([]tke.NodePool, error) {
	if a.MockListNodePools == nil {
		return nil, nil
	}
	return a.MockListNodePools(clusterID, name, tags)
}

// SetDesired calls the mock.
func (a *API) SetDesired(_ context.Context, _, id string, n int32) error {
	a.called("SetDesired %d", n)
	if a.MockSetDesired == nil {
		return nil
	}
	return a.MockSetDesired(id, n)
}

// SetBounds calls the mock.
func (a *API) SetBounds(_ context.Context, _, id string, lowest, highest int32) error {
	a.called("SetBounds %d %d", lowest, highest)
	if a.MockSetBounds == nil {
		return nil
	}
	return a.MockSetBounds(id, lowest, highest)
}

// SetInstanceTypes calls the mock.
func (a *API) SetInstanceTypes(_ context.Context, _, id string, types []string) error {
	a.called("SetInstanceTypes %s", strings.Join(types, ","))
	if a.MockSetInstanceTypes == nil {
		return nil
	}
	return a.MockSetInstanceTypes(id, types)
}

// ConfigureNodePool calls the mock.
func (a *API) ConfigureNodePool(_ context.Context, _, id string, in tke.NodePoolChange) error {
	a.called("ConfigureNodePool")
	if a.MockConfigureNodePool == nil {
		return nil
	}
	return a.MockConfigureNodePool(id, in)
}

// DeleteNodePool calls the mock.
func (a *API) DeleteNodePool(_ context.Context, _, id string) error {
	a.called("DeleteNodePool %s", id)
	if a.MockDeleteNodePool == nil {
		return nil
	}
	return a.MockDeleteNodePool(id)
}

// GetScalingGroup calls the mock.
func (a *API) GetScalingGroup(_ context.Context, id string) (*tke.ScalingGroup, error) {
	if a.MockGetScalingGroup == nil {
		return &tke.ScalingGroup{ID: id}, nil
	}
	return a.MockGetScalingGroup(id)
}

// ListInstances calls the mock.
func (a *API) ListInstances(_ context.Context, clusterID, poolID string) ([]tke.Instance, error) {
	if a.MockListInstances == nil {
		return nil, nil
	}
	return a.MockListInstances(clusterID, poolID)
}

// TerminateInstances calls the mock. Without one it accepts all.
func (a *API) TerminateInstances(_ context.Context, clusterID string, ids []string) (*tke.Terminated, error) {
	a.called("TerminateInstances %v", ids)
	if a.MockTerminateInstances == nil {
		return &tke.Terminated{Accepted: ids}, nil
	}
	return a.MockTerminateInstances(clusterID, ids)
}

// ListActivities calls the mock.
func (a *API) ListActivities(_ context.Context, scalingGroupID string, since time.Time) ([]tke.Activity, error) {
	if a.MockListActivities == nil {
		return nil, nil
	}
	return a.MockListActivities(scalingGroupID, since)
}

// CreateVirtualNodePool calls the mock.
func (a *API) CreateVirtualNodePool(_ context.Context, clusterID string, in tke.VirtualNodePoolInput) (string, error) {
	a.called("CreateVirtualNodePool %s", strings.Join(in.SubnetIDs, ","))
	if a.MockCreateVirtualNodePool == nil {
		return "", nil
	}
	return a.MockCreateVirtualNodePool(clusterID, in)
}

// ConfigureVirtualNodePool calls the mock.
func (a *API) ConfigureVirtualNodePool(_ context.Context, _, id string, in tke.VirtualNodePoolChange) error {
	a.called("ConfigureVirtualNodePool")
	if a.MockConfigureVirtualNodePool == nil {
		return nil
	}
	return a.MockConfigureVirtualNodePool(id, in)
}

// ListVirtualNodePools calls the mock.
func (a *API) ListVirtualNodePools(_ context.Context, clusterID string) ([]tke.VirtualNodePool, error) {
	if a.MockListVirtualNodePools == nil {
		return nil, nil
	}
	return a.MockListVirtualNodePools(clusterID)
}

// AddVirtualNodes calls the mock.
func (a *API) AddVirtualNodes(_ context.Context, _, poolID string, subnetIDs []string, _ map[string]string) error {
	a.called("AddVirtualNodes %s", strings.Join(subnetIDs, ","))
	if a.MockAddVirtualNodes == nil {
		return nil
	}
	return a.MockAddVirtualNodes(poolID, subnetIDs)
}

// ListVirtualNodes calls the mock.
func (a *API) ListVirtualNodes(_ context.Context, clusterID, poolID string) ([]tke.VirtualNode, error) {
	if a.MockListVirtualNodes == nil {
		return nil, nil
	}
	return a.MockListVirtualNodes(clusterID, poolID)
}

// DrainVirtualNode calls the mock.
func (a *API) DrainVirtualNode(_ context.Context, _, name string) error {
	a.called("DrainVirtualNode %s", name)
	if a.MockDrainVirtualNode == nil {
		return nil
	}
	return a.MockDrainVirtualNode(name)
}

// DeleteVirtualNodes calls the mock.
func (a *API) DeleteVirtualNodes(_ context.Context, _ string, names []string, force bool) error {
	a.called("DeleteVirtualNodes %s force=%t", strings.Join(names, ","), force)
	if a.MockDeleteVirtualNodes == nil {
		return nil
	}
	return a.MockDeleteVirtualNodes(names, force)
}

// DeleteVirtualNodePool calls the mock.
func (a *API) DeleteVirtualNodePool(_ context.Context, _, id string, force bool) error {
	a.called("DeleteVirtualNodePool %s force=%t", id, force)
	if a.MockDeleteVirtualNodePool == nil {
		return nil
	}
	return a.MockDeleteVirtualNodePool(id, force)
}
