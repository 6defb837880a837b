package tke

import (
	"context"
	"slices"
	"strings"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// virtualNodes to create, one for each subnet.
func virtualNodes(subnetIDs []string, t map[string]string) []*tke.VirtualNodeSpec {
	all := make([]*tke.VirtualNodeSpec, 0, len(subnetIDs))
	for _, s := range subnetIDs {
		all = append(all, &tke.VirtualNodeSpec{SubnetId: common.StringPtr(s), Tags: tags(t)})
	}
	return all
}

// CreateVirtualNodePool with a virtual node in each subnet.
func (c *Client) CreateVirtualNodePool(ctx context.Context, clusterID string, in VirtualNodePoolInput) (string, error) {
	req := tke.NewCreateClusterVirtualNodePoolRequest()
	req.ClusterId, req.Name = common.StringPtr(clusterID), common.StringPtr(in.Name)
	req.VirtualNodes = virtualNodes(in.SubnetIDs, in.Tags)
	if len(in.SecurityGroupIDs) > 0 {
		req.SecurityGroupIds = common.StringPtrs(in.SecurityGroupIDs)
	}
	req.Labels, req.Taints = labels(in.Labels), taints(in.Taints)
	req.DeletionProtection = common.BoolPtr(false)
	resp := tke.NewCreateClusterVirtualNodePoolResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return "", err
	}
	if resp.Response == nil || deref(resp.Response.NodePoolId) == "" {
		return "", incomplete(req.GetAction())
	}
	return *resp.Response.NodePoolId, nil
}

// ConfigureVirtualNodePool changes what is set.
func (c *Client) ConfigureVirtualNodePool(ctx context.Context, clusterID, id string, in VirtualNodePoolChange) error {
	req := tke.NewModifyClusterVirtualNodePoolRequest()
	req.ClusterId, req.NodePoolId = common.StringPtr(clusterID), common.StringPtr(id)
	if in.Labels != nil {
		req.Labels = labels(in.Labels)
	}
	if in.Taints != nil {
		req.Taints = taints(in.Taints)
	}
	req.DeletionProtection = in.DeletionProtection
	return c.send(ctx, req, tke.NewModifyClusterVirtualNodePoolResponse())
}

// ListVirtualNodePools of a cluster, all of them.
func (c *Client) ListVirtualNodePools(ctx context.Context, clusterID string) ([]VirtualNodePool, error) {
	req := tke.NewDescribeClusterVirtualNodePoolsRequest()
	req.ClusterId = common.StringPtr(clusterID)
	resp := tke.NewDescribeClusterVirtualNodePoolsResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return nil, c.proven(ctx, clusterID, err)
	}
	if resp.Response == nil || resp.Response.TotalCount == nil || len(resp.Response.NodePoolSet) != int(*resp.Response.TotalCount) { //nolint:gosec // A few pools.
		return nil, incomplete(req.GetAction())
	}
	var all []VirtualNodePool
	for _, np := range resp.Response.NodePoolSet {
		if np != nil {
			all = append(all, VirtualNodePool{
				ID: deref(np.NodePoolId), Name: deref(np.Name), State: deref(np.LifeState), SubnetIDs: texts(np.SubnetIds),
				Labels: labelMap(np.Labels), Taints: taintList(np.Taints),
			})
		}
	}
	return all, nil
}

// AddVirtualNodes to a pool, one for each subnet.
func (c *Client) AddVirtualNodes(ctx context.Context, clusterID, poolID string, subnetIDs []string, t map[string]string) error {
	req := tke.NewCreateClusterVirtualNodeRequest()
	req.ClusterId, req.NodePoolId = common.StringPtr(clusterID), common.StringPtr(poolID)
	req.VirtualNodes = virtualNodes(subnetIDs, t)
	return c.send(ctx, req, tke.NewCreateClusterVirtualNodeResponse())
}

// ListVirtualNodes of a pool.
func (c *Client) ListVirtualNodes(ctx context.Context, clusterID, poolID string) ([]VirtualNode, error) {
	req := tke.NewDescribeClusterVirtualNodeRequest()
	req.ClusterId, req.NodePoolId = common.StringPtr(clusterID), common.StringPtr(poolID)
	resp := tke.NewDescribeClusterVirtualNodeResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return nil, c.virtualProven(ctx, clusterID, poolID, err)
	}
	if resp.Response == nil || resp.Response.TotalCount == nil || len(resp.Response.Nodes) != int(*resp.Response.TotalCount) { //nolint:gosec // A few nodes.
		return nil, incomplete(req.GetAction())
	}
	var all []VirtualNode
	for _, n := range resp.Response.Nodes {
		if n != nil && deref(n.Name) != "" {
			all = append(all, VirtualNode{Name: *n.Name, SubnetID: deref(n.SubnetId), Phase: deref(n.Phase), Created: parseTime(deref(n.CreatedTime))})
		}
	}
	slices.SortFunc(all, func(a, b VirtualNode) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// virtualProven returns the error that says that the pool or its cluster is gone,
// if that is so.
func (c *Client) virtualProven(ctx context.Context, clusterID, poolID string, why error) error {
	if !maybeGone(why) {
		return why
	}
	all, err := c.ListVirtualNodePools(ctx, clusterID)
	switch {
	case cloud.Is(err, cloud.Gone):
		return err
	case err == nil && !slices.ContainsFunc(all, func(p VirtualNodePool) bool { return p.ID == poolID }):
		return absent("DescribeClusterVirtualNodePools", CodeNodePoolAbsent, "the cloud lists no virtual node pool "+poolID)
	}
	return unproven(why)
}

// DrainVirtualNode cordons it and evicts its pods.
func (c *Client) DrainVirtualNode(ctx context.Context, clusterID, name string) error {
	req := tke.NewDrainClusterVirtualNodeRequest()
	req.ClusterId, req.NodeName = common.StringPtr(clusterID), common.StringPtr(name)
	return c.send(ctx, req, tke.NewDrainClusterVirtualNodeResponse())
}

// DeleteVirtualNodes with force or without.
func (c *Client) DeleteVirtualNodes(ctx context.Context, clusterID string, names []string, force bool) error {
	req := tke.NewDeleteClusterVirtualNodeRequest()
	req.ClusterId, req.NodeNames, req.Force = common.StringPtr(clusterID), common.StringPtrs(names), common.BoolPtr(force)
	return c.send(ctx, req, tke.NewDeleteClusterVirtualNodeResponse())
}

// DeleteVirtualNodePool with its nodes.
func (c *Client) DeleteVirtualNodePool(ctx context.Context, clusterID, id string, force bool) error {
	req := tke.NewDeleteClusterVirtualNodePoolRequest()
	req.ClusterId, req.NodePoolIds, req.Force = common.StringPtr(clusterID), common.StringPtrs([]string{id}), common.BoolPtr(force)
	if err := c.send(ctx, req, tke.NewDeleteClusterVirtualNodePoolResponse()); err != nil {
		return c.virtualProven(ctx, clusterID, id, err)
	}
	return nil
}
