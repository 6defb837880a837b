package tke

import (
	"context"
	"slices"
	"strings"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// maxTerminated instances in a call.
const maxTerminated = 100

// CreateNodePool with its scaling group.
func (c *Client) CreateNodePool(ctx context.Context, clusterID string, in NodePoolInput) (string, error) {
	req := tke.NewCreateClusterNodePoolRequest()
	group, launch, err := scaling(in)
	if err != nil {
		return "", &cloud.Error{Class: cloud.Invalid, Operation: req.GetAction(), Message: "the parameters cannot be written"}
	}
	req.ClusterId, req.Name = common.StringPtr(clusterID), common.StringPtr(in.Name)
	req.AutoScalingGroupPara, req.LaunchConfigurePara = common.StringPtr(group), common.StringPtr(launch)
	req.EnableAutoscale, req.DeletionProtection = common.BoolPtr(false), common.BoolPtr(false)
	req.Labels, req.Taints, req.Tags = labels(in.Labels), taints(in.Taints), tags(in.Tags)
	resp := tke.NewCreateClusterNodePoolResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return "", err
	}
	if resp.Response == nil || deref(resp.Response.NodePoolId) == "" {
		return "", incomplete(req.GetAction())
	}
	return *resp.Response.NodePoolId, nil
}

// GetNodePool by id. Where the detail says that there is none, the list decides.
func (c *Client) GetNodePool(ctx context.Context, clusterID, id string) (*NodePool, error) {
	req := tke.NewDescribeClusterNodePoolDetailRequest()
	req.ClusterId, req.NodePoolId = common.StringPtr(clusterID), common.StringPtr(id)
	resp := tke.NewDescribeClusterNodePoolDetailResponse()
	err := c.send(ctx, req, resp)
	if maybeGone(err) {
		return c.listed(ctx, clusterID, id)
	}
	if err != nil {
		return nil, err
	}
	if resp.Response == nil || resp.Response.NodePool == nil || deref(resp.Response.NodePool.NodePoolId) != id {
		return nil, incomplete(req.GetAction())
	}
	return nodePool(resp.Response.NodePool), nil
}

// listed returns a node pool as the list shows it.
func (c *Client) listed(ctx context.Context, clusterID, id string) (*NodePool, error) {
	all, err := c.ListNodePools(ctx, clusterID, "", nil)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].ID == id {
			return &all[i], nil
		}
	}
	return nil, absent("DescribeClusterNodePools", CodeNodePoolAbsent, "the cloud lists no node pool "+id)
}

// ListNodePools of a cluster that have exactly this name and all these tags.
func (c *Client) ListNodePools(ctx context.Context, clusterID, name string, want map[string]string) ([]NodePool, error) {
	req := tke.NewDescribeClusterNodePoolsRequest()
	req.ClusterId = common.StringPtr(clusterID)
	resp := tke.NewDescribeClusterNodePoolsResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return nil, c.proven(ctx, clusterID, err)
	}
	if resp.Response == nil || resp.Response.TotalCount == nil || len(resp.Response.NodePoolSet) != int(*resp.Response.TotalCount) {
		return nil, incomplete(req.GetAction())
	}
	var all []NodePool
	for _, np := range resp.Response.NodePoolSet {
		if np == nil || (name != "" && deref(np.Name) != name) {
			continue
		}
		if got := nodePool(np); contains(got.Tags, want) {
			all = append(all, *got)
		}
	}
	return all, nil
}

func nodePool(np *tke.NodePool) *NodePool {
	out := &NodePool{
		ID: deref(np.NodePoolId), Name: deref(np.Name), State: deref(np.LifeState), ScalingGroupID: deref(np.AutoscalingGroupId),
		ScalingGroupState: deref(np.AutoscalingGroupStatus), Labels: labelMap(np.Labels), Taints: taintList(np.Taints), Tags: tagMap(np.Tags),
		DeletionProtection: deref(np.DeletionProtection), Desired: i32(np.DesiredNodesNum), Min: i32(np.MinNodesNum), Max: i32(np.MaxNodesNum),
	}
	out.AutoScaling = out.ScalingGroupState == "enabled" || out.ScalingGroupState == "enabling"
	if s := np.NodeCountSummary; s != nil {
		if n := s.AutoscalingAdded; n != nil {
			out.Joining, out.Initialising, out.Normal, out.Total = i32(n.Joining), i32(n.Initializing), i32(n.Normal), i32(n.Total)
		}
		if n := s.ManuallyAdded; n != nil {
			out.Joining += i32(n.Joining)
			out.Initialising += i32(n.Initializing)
			out.Normal += i32(n.Normal)
			out.Total += i32(n.Total)
		}
	}
	return out
}

// SetDesired number of nodes.
func (c *Client) SetDesired(ctx context.Context, clusterID, id string, n int32) error {
	req := tke.NewModifyNodePoolDesiredCapacityAboutAsgRequest()
	req.ClusterId, req.NodePoolId = common.StringPtr(clusterID), common.StringPtr(id)
	req.DesiredCapacity = common.Int64Ptr(int64(n))
	return c.send(ctx, req, tke.NewModifyNodePoolDesiredCapacityAboutAsgResponse())
}

// modify a node pool.
func (c *Client) modify(ctx context.Context, clusterID, id string, set func(*tke.ModifyClusterNodePoolRequest)) error {
	req := tke.NewModifyClusterNodePoolRequest()
	req.ClusterId, req.NodePoolId = common.StringPtr(clusterID), common.StringPtr(id)
	set(req)
	return c.send(ctx, req, tke.NewModifyClusterNodePoolResponse())
}

// SetBounds of the number of nodes.
func (c *Client) SetBounds(ctx context.Context, clusterID, id string, lowest, highest int32) error {
	return c.modify(ctx, clusterID, id, func(req *tke.ModifyClusterNodePoolRequest) {
		req.MinNodesNum, req.MaxNodesNum = common.Int64Ptr(int64(lowest)), common.Int64Ptr(int64(highest))
	})
}

// SetInstanceTypes in the order in which they are tried. The first type that a
// pool was created with cannot be taken from it, says the vendor.
func (c *Client) SetInstanceTypes(ctx context.Context, clusterID, id string, types []string) error {
	req := tke.NewModifyNodePoolInstanceTypesRequest()
	req.ClusterId, req.NodePoolId = common.StringPtr(clusterID), common.StringPtr(id)
	req.InstanceTypes = common.StringPtrs(types)
	return c.send(ctx, req, tke.NewModifyNodePoolInstanceTypesResponse())
}

// ConfigureNodePool changes what is set, on nodes that exist as well.
func (c *Client) ConfigureNodePool(ctx context.Context, clusterID, id string, in NodePoolChange) error {
	return c.modify(ctx, clusterID, id, func(req *tke.ModifyClusterNodePoolRequest) {
		if in.Labels != nil {
			req.Labels = labels(in.Labels)
		}
		if in.Taints != nil {
			req.Taints = taints(in.Taints)
		}
		if in.Tags != nil {
			req.Tags = tags(in.Tags)
		}
		if in.Labels != nil || in.Taints != nil {
			req.IgnoreExistedNode = common.BoolPtr(false)
		}
		req.DeletionProtection, req.EnableAutoscale = in.DeletionProtection, in.AutoScaling
	})
}

// DeleteNodePool with the nodes that are left in it.
func (c *Client) DeleteNodePool(ctx context.Context, clusterID, id string) error {
	req := tke.NewDeleteClusterNodePoolRequest()
	req.ClusterId, req.NodePoolIds = common.StringPtr(clusterID), common.StringPtrs([]string{id})
	req.KeepInstance = common.BoolPtr(false)
	err := c.send(ctx, req, tke.NewDeleteClusterNodePoolResponse())
	if !maybeGone(err) {
		return err
	}
	if _, gone := c.listed(ctx, clusterID, id); cloud.Is(gone, cloud.Gone) {
		return gone
	}
	return unproven(err)
}

// ListInstances of a pool, all pages.
func (c *Client) ListInstances(ctx context.Context, clusterID, poolID string) ([]Instance, error) {
	const op = "DescribeClusterInstances"
	all, err := pages(op, func(i *tke.Instance) string { return deref(i.InstanceId) }, func(offset, limit int) ([]*tke.Instance, *int, error) {
		req := tke.NewDescribeClusterInstancesRequest()
		req.ClusterId, req.InstanceRole = common.StringPtr(clusterID), common.StringPtr("WORKER")
		req.Offset, req.Limit = common.Int64Ptr(int64(offset)), common.Int64Ptr(int64(limit))
		if poolID != "" {
			req.Filters = []*tke.Filter{filter("nodepool-id", poolID)}
		}
		resp := tke.NewDescribeClusterInstancesResponse()
		if err := c.send(ctx, req, resp); err != nil {
			return nil, nil, err
		}
		if resp.Response == nil {
			return nil, nil, incomplete(op)
		}
		return resp.Response.InstanceSet, count(resp.Response.TotalCount), nil
	})
	if err != nil {
		return nil, c.proven(ctx, clusterID, err)
	}
	out := make([]Instance, 0, len(all))
	for _, i := range all {
		if poolID != "" && deref(i.NodePoolId) != poolID {
			continue
		}
		out = append(out, Instance{
			ID: *i.InstanceId, State: deref(i.InstanceState), NodePoolID: deref(i.NodePoolId), Address: deref(i.LanIP),
			Message: cloud.Stable(deref(i.FailedReason)), Created: parseTime(deref(i.CreatedTime)),
		})
	}
	return out, nil
}

// TerminateInstances of a pool and lower its desired number by as many.
func (c *Client) TerminateInstances(ctx context.Context, clusterID string, ids []string) (*Terminated, error) {
	out := &Terminated{}
	for chunk := range slices.Chunk(ids, maxTerminated) {
		req := tke.NewDeleteClusterInstancesRequest()
		req.ClusterId, req.InstanceIds = common.StringPtr(clusterID), common.StringPtrs(chunk)
		req.InstanceDeleteMode = common.StringPtr("terminate")
		// Without it TKE leaves machines alone that have not joined yet.
		req.ForceDelete = common.BoolPtr(true)
		resp := tke.NewDeleteClusterInstancesResponse()
		if err := c.send(ctx, req, resp); err != nil {
			return out, err
		}
		if resp.Response == nil {
			return out, incomplete(req.GetAction())
		}
		out.Accepted = append(out.Accepted, texts(resp.Response.SuccInstanceIds)...)
		out.Failed = append(out.Failed, texts(resp.Response.FailedInstanceIds)...)
		out.NotFound = append(out.NotFound, texts(resp.Response.NotFoundInstanceIds)...)
	}
	return out, nil
}

func texts(ps []*string) []string {
	var all []string
	for _, p := range ps {
		if s := strings.TrimSpace(deref(p)); s != "" {
			all = append(all, s)
		}
	}
	return all
}
