package tke

import (
	"context"
	"net/netip"
	"slices"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// CreateCluster that is managed, without nodes.
func (c *Client) CreateCluster(ctx context.Context, in ClusterInput) (string, error) {
	req := tke.NewCreateClusterRequest()
	req.ClusterType = common.StringPtr("MANAGED_CLUSTER")
	req.ClusterBasicSettings = &tke.ClusterBasicSettings{
		ClusterName:             common.StringPtr(in.Name),
		VpcId:                   common.StringPtr(in.VPCID),
		SubnetId:                common.StringPtr(in.SubnetID),
		ClusterLevel:            common.StringPtr(in.Level),
		AutoUpgradeClusterLevel: &tke.AutoUpgradeClusterLevel{IsAutoUpgrade: common.BoolPtr(in.AutoUpgradeLevel)},
		TagSpecification:        []*tke.TagSpecification{{ResourceType: common.StringPtr("cluster"), Tags: tags(in.Tags)}},
	}
	if in.KubernetesVersion != "" {
		req.ClusterBasicSettings.ClusterVersion = common.StringPtr(in.KubernetesVersion)
	}
	req.ClusterAdvancedSettings = &tke.ClusterAdvancedSettings{
		IPVS:               common.BoolPtr(true),
		ContainerRuntime:   common.StringPtr("containerd"),
		DeletionProtection: common.BoolPtr(in.DeletionProtection),
	}
	req.ClusterCIDRSettings = &tke.ClusterCIDRSettings{
		ServiceCIDR:          common.StringPtr(in.ServiceCIDR),
		MaxClusterServiceNum: common.Uint64Ptr(services(in.ServiceCIDR)),
	}
	if len(in.ENISubnetIDs) > 0 {
		req.ClusterAdvancedSettings.NetworkType = common.StringPtr("VPC-CNI")
		req.ClusterAdvancedSettings.VpcCniType = common.StringPtr("tke-route-eni")
		req.ClusterAdvancedSettings.IsNonStaticIpMode = common.BoolPtr(true)
		req.ClusterCIDRSettings.EniSubnetIds = common.StringPtrs(in.ENISubnetIDs)
	} else {
		req.ClusterAdvancedSettings.NetworkType = common.StringPtr("GR")
		req.ClusterCIDRSettings.ClusterCIDR = common.StringPtr(in.ClusterCIDR)
		if in.MaxPodsPerNode > 0 {
			req.ClusterCIDRSettings.MaxNodePodNum = common.Uint64Ptr(uint64(in.MaxPodsPerNode))
		}
	}

	resp := tke.NewCreateClusterResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return "", err
	}
	if resp.Response == nil || deref(resp.Response.ClusterId) == "" {
		return "", incomplete(req.GetAction())
	}
	return *resp.Response.ClusterId, nil
}

// services that a range has addresses for, within what TKE takes: a power of two
// from 32 to 32768.
func services(cidr string) uint64 {
	p, err := netip.ParsePrefix(cidr)
	if err != nil || !p.Addr().Is4() {
		return 256
	}
	return min(max(uint64(1)<<(32-p.Bits()), 32), 32768)
}

// clusters that match, all pages.
func (c *Client) clusters(ctx context.Context, ids []string, filters []*tke.Filter) ([]*tke.Cluster, error) {
	const op = "DescribeClusters"
	return pages(op, func(cl *tke.Cluster) string { return deref(cl.ClusterId) }, func(offset, limit int) ([]*tke.Cluster, *int, error) {
		req := tke.NewDescribeClustersRequest()
		req.ClusterIds, req.Filters = common.StringPtrs(ids), filters
		req.Offset, req.Limit = common.Int64Ptr(int64(offset)), common.Int64Ptr(int64(limit))
		resp := tke.NewDescribeClustersResponse()
		if err := c.send(ctx, req, resp); err != nil {
			return nil, nil, err
		}
		if resp.Response == nil {
			return nil, nil, incomplete(op)
		}
		return resp.Response.Clusters, count(resp.Response.TotalCount), nil
	})
}

func filter(name string, values ...string) *tke.Filter {
	return &tke.Filter{Name: common.StringPtr(name), Values: common.StringPtrs(values)}
}

// GetCluster by id.
func (c *Client) GetCluster(ctx context.Context, id string) (*Cluster, error) {
	all, err := c.clusters(ctx, []string{id}, nil)
	if err != nil {
		return nil, err
	}
	for _, cl := range all {
		if deref(cl.ClusterId) == id {
			return cluster(cl), nil
		}
	}
	return nil, absent("DescribeClusters", CodeClusterAbsent, "the cloud lists no cluster "+id)
}

// proven returns the error that says that the cluster is gone, if it is; else it
// returns the error that made one look, of class Unknown if it claimed absence.
func (c *Client) proven(ctx context.Context, clusterID string, why error) error {
	if !maybeGone(why) {
		return why
	}
	if _, err := c.GetCluster(ctx, clusterID); cloud.IsCode(err, CodeClusterAbsent) {
		return err
	}
	return unproven(why)
}

func cluster(cl *tke.Cluster) *Cluster {
	out := &Cluster{
		ID: deref(cl.ClusterId), Name: deref(cl.ClusterName), State: deref(cl.ClusterStatus), Version: deref(cl.ClusterVersion),
		Level: deref(cl.ClusterLevel), AutoUpgradeLevel: deref(cl.AutoUpgradeClusterLevel), DeletionProtection: deref(cl.DeletionProtection),
		Nodes: i32(cl.ClusterNodeNum), Tags: map[string]string{}, Created: parseTime(deref(cl.CreatedTime)),
	}
	if n := cl.ClusterNetworkSettings; n != nil {
		out.VPCID = deref(n.VpcId)
	}
	for _, s := range cl.TagSpecification {
		if s == nil {
			continue
		}
		for k, v := range tagMap(s.Tags) {
			out.Tags[k] = v
		}
	}
	return out
}

// GetClusterStatus shows states that GetCluster does not.
func (c *Client) GetClusterStatus(ctx context.Context, id string) (*ClusterStatus, error) {
	req := tke.NewDescribeClusterStatusRequest()
	req.ClusterIds = common.StringPtrs([]string{id})
	resp := tke.NewDescribeClusterStatusResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return nil, c.proven(ctx, id, err)
	}
	if resp.Response == nil || resp.Response.TotalCount == nil {
		return nil, incomplete(req.GetAction())
	}
	for _, s := range resp.Response.ClusterStatusSet {
		if s != nil && deref(s.ClusterId) == id {
			return &ClusterStatus{
				State: deref(s.ClusterState), Initialising: i32(s.ClusterInitNodeNum), Running: i32(s.ClusterRunningNodeNum),
				Failed: i32(s.ClusterFailedNodeNum), Closing: i32(s.ClusterClosingNodeNum), DeletionProtection: deref(s.ClusterDeletionProtection),
			}, nil
		}
	}
	if _, err := c.GetCluster(ctx, id); err != nil {
		return nil, err
	}
	return nil, incomplete(req.GetAction())
}

// ListClusters that have exactly this name and all these tags.
func (c *Client) ListClusters(ctx context.Context, name string, want map[string]string) ([]Cluster, error) {
	// The filter by name takes parts of names. Tags are compared here.
	all, err := c.clusters(ctx, nil, []*tke.Filter{filter("ClusterName", name)})
	if err != nil {
		return nil, err
	}
	var out []Cluster
	for _, cl := range all {
		if got := cluster(cl); got.Name == name && contains(got.Tags, want) {
			out = append(out, *got)
		}
	}
	return out, nil
}

// SetDeletionProtection of a cluster.
func (c *Client) SetDeletionProtection(ctx context.Context, id string, on bool) error {
	if on {
		req := tke.NewEnableClusterDeletionProtectionRequest()
		req.ClusterId = common.StringPtr(id)
		return c.send(ctx, req, tke.NewEnableClusterDeletionProtectionResponse())
	}
	req := tke.NewDisableClusterDeletionProtectionRequest()
	req.ClusterId = common.StringPtr(id)
	return c.send(ctx, req, tke.NewDisableClusterDeletionProtectionResponse())
}

// TagCluster adds tags or changes their values.
func (c *Client) TagCluster(ctx context.Context, id string, t map[string]string) error {
	type pair struct{ TagKey, TagValue string }
	var all []pair
	for _, k := range tags(t) {
		all = append(all, pair{TagKey: *k.Key, TagValue: *k.Value})
	}
	// The account is left out: it is the caller's.
	name := "qcs::ccs:" + c.region + ":uin/:cluster/" + id
	out, err := ask[struct {
		FailedResources []struct{ Resource, Code, Message string }
	}](ctx, c, "tag", "TagResources", map[string]any{"ResourceList": []string{name}, "Tags": all})
	if err != nil {
		return err
	}
	for _, f := range out.FailedResources {
		return &cloud.Error{Class: classOf(f.Code), Operation: "TagResources", Code: f.Code, Message: cloud.Stable(f.Message)}
	}
	return nil
}

// SetClusterLevel changes the billing class of the control plane.
func (c *Client) SetClusterLevel(ctx context.Context, id, level string, auto bool) error {
	req := tke.NewModifyClusterAttributeRequest()
	req.ClusterId, req.ClusterLevel = common.StringPtr(id), common.StringPtr(level)
	req.AutoUpgradeClusterLevel = &tke.AutoUpgradeClusterLevel{IsAutoUpgrade: common.BoolPtr(auto)}
	return c.send(ctx, req, tke.NewModifyClusterAttributeResponse())
}

// DeleteCluster with its nodes, disks and load balancers.
func (c *Client) DeleteCluster(ctx context.Context, id string) error {
	req := tke.NewDeleteClusterRequest()
	req.ClusterId, req.InstanceDeleteMode = common.StringPtr(id), common.StringPtr("terminate")
	for _, kind := range []string{"CBS", "CLB"} {
		req.ResourceDeleteOptions = append(req.ResourceDeleteOptions, &tke.ResourceDeleteOption{
			ResourceType: common.StringPtr(kind), DeleteMode: common.StringPtr("terminate"),
		})
	}
	return c.send(ctx, req, tke.NewDeleteClusterResponse())
}

// ListLevels that a cluster can have.
func (c *Client) ListLevels(ctx context.Context, id string) ([]Level, error) {
	req := tke.NewDescribeClusterLevelAttributeRequest()
	if id != "" {
		req.ClusterID = common.StringPtr(id)
	}
	resp := tke.NewDescribeClusterLevelAttributeResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return nil, err
	}
	if resp.Response == nil {
		return nil, incomplete(req.GetAction())
	}
	var all []Level
	for _, l := range resp.Response.Items {
		if l != nil {
			all = append(all, Level{Name: deref(l.Name), Nodes: i32(l.NodeCount), Pods: i32(l.PodCount), Enabled: deref(l.Enable)})
		}
	}
	slices.SortFunc(all, func(a, b Level) int { return int(a.Nodes) - int(b.Nodes) })
	return all, nil
}
