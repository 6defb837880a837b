package ack

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	util "github.com/alibabacloud-go/tea-utils/v2/service"
	"github.com/alibabacloud-go/tea/tea"
	"k8s.io/utils/clock"

	"github.com/crossplane/upjet/v2/pkg/metrics"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

const (
	// listPage is the largest page of nodes ACK gives.
	listPage = 100
	// maxPages bounds a list whose total grows while it is read.
	maxPages = 100
)

// client is an API on the vendor's SDK.
type client struct {
	sdk    *cs.Client
	bucket *cloud.Bucket
	region string
	clock  clock.Clock
}

var _ API = &client{}

// call the SDK, which knows no contexts. A call that is abandoned goes on in the
// background until its time-out, and its outcome is unknown.
func call[T any](ctx context.Context, c *client, operation string, f func(headers map[string]*string, rt *util.RuntimeOptions) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var zero T
	if err := c.bucket.Wait(ctx, operation); err != nil {
		return zero, err
	}

	start := c.clock.Now()
	ch := make(chan result, 1)
	go func() {
		v, err := f(map[string]*string{}, &util.RuntimeOptions{Autoretry: tea.Bool(false)})
		ch <- result{v, err}
	}()

	var r result
	select {
	case r = <-ch:
		r.err = classify(operation, r.err)
	case <-ctx.Done():
		r = result{err: &cloud.Error{Class: cloud.Unknown, Operation: operation, Message: "the answer did not come in time"}}
	}

	metrics.ExternalAPICalls.WithLabelValues("ack", operation).Inc()
	metrics.ExternalAPITime.WithLabelValues(operation).Observe(c.clock.Since(start).Seconds())
	c.bucket.Observe(r.err)
	if r.err != nil {
		return zero, r.err
	}
	return r.value, nil
}

// incomplete answers are as good as none.
func incomplete(operation string) error {
	return &cloud.Error{Class: cloud.Unknown, Operation: operation, Status: http.StatusOK, Message: "the answer is incomplete"}
}

func (c *client) CreateCluster(ctx context.Context, in ClusterInput) (Created, error) {
	const op = "CreateCluster"
	req := &cs.CreateClusterRequest{
		Name:                      tea.String(in.Name),
		RegionId:                  tea.String(c.region),
		ClusterType:               tea.String("ManagedKubernetes"),
		Profile:                   tea.String("Default"),
		ClusterSpec:               tea.String(in.Spec),
		Vpcid:                     tea.String(in.VPCID),
		VswitchIds:                tea.StringSlice(in.VSwitchIDs),
		ServiceCidr:               tea.String(in.ServiceCIDR),
		ProxyMode:                 tea.String("ipvs"),
		EndpointPublicAccess:      tea.Bool(in.PublicEndpoint),
		SnatEntry:                 tea.Bool(in.SNATEntry),
		IsEnterpriseSecurityGroup: tea.Bool(true),
		DeletionProtection:        tea.Bool(in.DeletionProtection),
		Tags:                      tags(in.Tags),
	}
	if in.KubernetesVersion != "" {
		req.KubernetesVersion = tea.String(in.KubernetesVersion)
	}
	if len(in.PodVSwitchIDs) > 0 {
		req.PodVswitchIds = tea.StringSlice(in.PodVSwitchIDs)
	} else {
		req.ContainerCidr = tea.String(in.ContainerCIDR)
		req.NodeCidrMask = tea.String(strconv.Itoa(int(in.NodeCIDRMask)))
	}
	for _, a := range in.Addons {
		addon := &cs.Addon{Name: tea.String(a.Name), Disabled: tea.Bool(a.Disabled)}
		if a.Config != "" {
			addon.Config = tea.String(a.Config)
		}
		req.Addons = append(req.Addons, addon)
	}
	out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.CreateClusterResponse, error) {
		return c.sdk.CreateClusterWithOptions(req, h, rt)
	})
	if err != nil {
		return Created{}, err
	}
	if out.Body == nil || tea.StringValue(out.Body.ClusterId) == "" {
		return Created{}, incomplete(op)
	}
	return Created{ID: tea.StringValue(out.Body.ClusterId), TaskID: tea.StringValue(out.Body.TaskId)}, nil
}

func (c *client) GetCluster(ctx context.Context, id string) (*Cluster, error) {
	const op = "DescribeClusterDetail"
	out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DescribeClusterDetailResponse, error) {
		return c.sdk.DescribeClusterDetailWithOptions(tea.String(id), h, rt)
	})
	if err != nil {
		return nil, err
	}
	cl := &wireCluster{}
	if err := convert(out.Body, cl); err != nil || cl.ID == "" {
		return nil, incomplete(op)
	}
	return cl.cluster(), nil
}

func (c *client) ListClusters(ctx context.Context, name string) ([]Cluster, error) {
	// The name filter of the API is fuzzy.
	return c.listClusters(ctx, name, func(cl *wireCluster) bool { return cl.Name == name })
}

// listClusters of the region, all pages. An empty name filters nothing.
func (c *client) listClusters(ctx context.Context, name string, match func(*wireCluster) bool) ([]Cluster, error) {
	const op = "DescribeClustersForRegion"
	var all []Cluster
	for page := int64(1); page <= maxPages; page++ {
		req := &cs.DescribeClustersForRegionRequest{PageNumber: tea.Int64(page), PageSize: tea.Int64(listPage / 2)}
		if name != "" {
			req.Name = tea.String(name)
		}
		out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DescribeClustersForRegionResponse, error) {
			return c.sdk.DescribeClustersForRegionWithOptions(tea.String(c.region), req, h, rt)
		})
		if err != nil {
			return nil, err
		}
		body := &struct {
			Clusters []wireCluster `json:"clusters"`
			Page     *wirePage     `json:"page_info"`
		}{}
		if err := convert(out.Body, body); err != nil || body.Page == nil {
			return nil, incomplete(op)
		}
		for _, cl := range body.Clusters {
			if match(&cl) {
				all = append(all, *cl.cluster())
			}
		}
		if len(body.Clusters) == 0 || int(page)*listPage/2 >= body.Page.Total {
			break
		}
	}
	// Pages may overlap when the list changes while it is read.
	slices.SortFunc(all, func(a, b Cluster) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(all, func(a, b Cluster) bool { return a.ID == b.ID }), nil
}

func (c *client) SetDeletionProtection(ctx context.Context, id string, on bool) (string, error) {
	out, err := call(ctx, c, "ModifyCluster", func(h map[string]*string, rt *util.RuntimeOptions) (*cs.ModifyClusterResponse, error) {
		return c.sdk.ModifyClusterWithOptions(tea.String(id), &cs.ModifyClusterRequest{DeletionProtection: tea.Bool(on)}, h, rt)
	})
	if err != nil || out.Body == nil {
		return "", err
	}
	return tea.StringValue(out.Body.TaskId), nil
}

func (c *client) TagCluster(ctx context.Context, id string, t map[string]string) error {
	req := &cs.TagResourcesRequest{
		RegionId: tea.String(c.region), ResourceType: tea.String("CLUSTER"),
		ResourceIds: []*string{tea.String(id)}, Tags: tags(t),
	}
	_, err := call(ctx, c, "TagResources", func(h map[string]*string, rt *util.RuntimeOptions) (*cs.TagResourcesResponse, error) {
		return c.sdk.TagResourcesWithOptions(req, h, rt)
	})
	return err
}

func (c *client) DeleteCluster(ctx context.Context, id string) (string, error) {
	req := &cs.DeleteClusterRequest{}
	for _, kind := range []string{"SLB", "ALB", "SLS_Data", "SLS_ControlPlane", "PrivateZone"} {
		req.DeleteOptions = append(req.DeleteOptions, &cs.DeleteClusterRequestDeleteOptions{ResourceType: tea.String(kind), DeleteMode: tea.String("delete")})
	}
	out, err := call(ctx, c, "DeleteCluster", func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DeleteClusterResponse, error) {
		return c.sdk.DeleteClusterWithOptions(tea.String(id), req, h, rt)
	})
	if err != nil || out.Body == nil {
		return "", err
	}
	return tea.StringValue(out.Body.TaskId), nil
}

func (c *client) Kubeconfig(ctx context.Context, id string, ttl time.Duration, private bool) (*Kubeconfig, error) {
	const op = "DescribeClusterUserKubeconfig"
	req := &cs.DescribeClusterUserKubeconfigRequest{TemporaryDurationMinutes: tea.Int64(int64(ttl.Minutes())), PrivateIpAddress: tea.Bool(private)}
	out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DescribeClusterUserKubeconfigResponse, error) {
		return c.sdk.DescribeClusterUserKubeconfigWithOptions(tea.String(id), req, h, rt)
	})
	if err != nil {
		return nil, err
	}
	if out.Body == nil || tea.StringValue(out.Body.Config) == "" {
		return nil, incomplete(op)
	}
	k := &Kubeconfig{Config: []byte(tea.StringValue(out.Body.Config)), Expires: c.clock.Now().Add(ttl)}
	if t, err := time.Parse(time.RFC3339, tea.StringValue(out.Body.Expiration)); err == nil {
		k.Expires = t
	}
	return k, nil
}

func (c *client) ClusterResources(ctx context.Context, id string) ([]Resource, error) {
	out, err := call(ctx, c, "DescribeClusterResources", func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DescribeClusterResourcesResponse, error) {
		return c.sdk.DescribeClusterResourcesWithOptions(tea.String(id), &cs.DescribeClusterResourcesRequest{WithAddonResources: tea.Bool(true)}, h, rt)
	})
	if err != nil {
		return nil, err
	}
	all := make([]Resource, 0, len(out.Body))
	for _, r := range out.Body {
		all = append(all, Resource{ID: tea.StringValue(r.InstanceId), Type: tea.StringValue(r.ResourceType), State: tea.StringValue(r.State)})
	}
	return all, nil
}

func (c *client) GetAddon(ctx context.Context, clusterID, name string) (*AddonInstance, error) {
	const op = "GetClusterAddonInstance"
	out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.GetClusterAddonInstanceResponse, error) {
		return c.sdk.GetClusterAddonInstanceWithOptions(tea.String(clusterID), tea.String(name), h, rt)
	})
	if err != nil {
		return nil, err
	}
	if out.Body == nil || tea.StringValue(out.Body.State) == "" {
		return nil, incomplete(op)
	}
	return &AddonInstance{Name: name, State: tea.StringValue(out.Body.State)}, nil
}

func (c *client) InstallAddon(ctx context.Context, clusterID string, a Addon) (string, error) {
	body := &cs.InstallClusterAddonsRequestBody{Name: tea.String(a.Name)}
	if a.Config != "" {
		body.Config = tea.String(a.Config)
	}
	out, err := call(ctx, c, "InstallClusterAddons", func(h map[string]*string, rt *util.RuntimeOptions) (*cs.InstallClusterAddonsResponse, error) {
		return c.sdk.InstallClusterAddonsWithOptions(tea.String(clusterID), &cs.InstallClusterAddonsRequest{Body: []*cs.InstallClusterAddonsRequestBody{body}}, h, rt)
	})
	if err != nil || out.Body == nil {
		return "", err
	}
	return tea.StringValue(out.Body.TaskId), nil
}

func (c *client) CreateNodePool(ctx context.Context, clusterID string, in NodePoolInput) (Created, error) {
	const op = "CreateClusterNodePool"
	req := &cs.CreateClusterNodePoolRequest{
		NodepoolInfo: &cs.CreateClusterNodePoolRequestNodepoolInfo{Name: tea.String(in.Name), Type: tea.String("ess")},
		AutoScaling:  &cs.CreateClusterNodePoolRequestAutoScaling{Enable: tea.Bool(false)},
		ScalingGroup: &cs.CreateClusterNodePoolRequestScalingGroup{
			InstanceTypes:      tea.StringSlice(in.InstanceTypes),
			VswitchIds:         tea.StringSlice(in.VSwitchIDs),
			InstanceChargeType: tea.String("PostPaid"),
			DesiredSize:        tea.Int64(int64(in.DesiredSize)),
			MultiAzPolicy:      tea.String(in.MultiAZPolicy),
			ScalingPolicy:      tea.String("release"),
			SystemDiskCategory: tea.String(in.DiskCategory),
			SystemDiskSize:     tea.Int64(int64(in.DiskSizeGiB)),
		},
		KubernetesConfig: &cs.CreateClusterNodePoolRequestKubernetesConfig{
			Labels: tags(in.Labels), Taints: taints(in.Taints), Runtime: tea.String("containerd"),
		},
	}
	if in.Spot {
		req.ScalingGroup.SpotStrategy = tea.String("SpotAsPriceGo")
	}
	for _, t := range tags(in.Tags) {
		req.ScalingGroup.Tags = append(req.ScalingGroup.Tags, &cs.CreateClusterNodePoolRequestScalingGroupTags{Key: t.Key, Value: t.Value})
	}
	out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.CreateClusterNodePoolResponse, error) {
		return c.sdk.CreateClusterNodePoolWithOptions(tea.String(clusterID), req, h, rt)
	})
	if err != nil {
		return Created{}, err
	}
	if out.Body == nil || tea.StringValue(out.Body.NodepoolId) == "" {
		return Created{}, incomplete(op)
	}
	return Created{ID: tea.StringValue(out.Body.NodepoolId), TaskID: tea.StringValue(out.Body.TaskId)}, nil
}

func (c *client) GetNodePool(ctx context.Context, clusterID, id string) (*NodePool, error) {
	const op = "DescribeClusterNodePoolDetail"
	out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DescribeClusterNodePoolDetailResponse, error) {
		return c.sdk.DescribeClusterNodePoolDetailWithOptions(tea.String(clusterID), tea.String(id), h, rt)
	})
	if err != nil {
		return nil, err
	}
	np := &wireNodePool{}
	if err := convert(out.Body, np); err != nil || np.Info.ID == "" {
		return nil, incomplete(op)
	}
	return np.nodePool(), nil
}

func (c *client) ListNodePools(ctx context.Context, clusterID, name string) ([]NodePool, error) {
	const op = "DescribeClusterNodePools"
	out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DescribeClusterNodePoolsResponse, error) {
		return c.sdk.DescribeClusterNodePoolsWithOptions(tea.String(clusterID), &cs.DescribeClusterNodePoolsRequest{}, h, rt)
	})
	if err != nil {
		return nil, err
	}
	body := &struct {
		Pools []wireNodePool `json:"nodepools"`
	}{}
	if out.Body == nil {
		return nil, incomplete(op)
	}
	if err := convert(out.Body, body); err != nil {
		return nil, incomplete(op)
	}
	var all []NodePool
	for _, np := range body.Pools {
		if np.Info.Name == name {
			all = append(all, *np.nodePool())
		}
	}
	return all, nil
}

func (c *client) modifyNodePool(ctx context.Context, clusterID, id string, req *cs.ModifyClusterNodePoolRequest) (string, error) {
	out, err := call(ctx, c, "ModifyClusterNodePool", func(h map[string]*string, rt *util.RuntimeOptions) (*cs.ModifyClusterNodePoolResponse, error) {
		return c.sdk.ModifyClusterNodePoolWithOptions(tea.String(clusterID), tea.String(id), req, h, rt)
	})
	if err != nil || out.Body == nil {
		return "", err
	}
	return tea.StringValue(out.Body.TaskId), nil
}

func (c *client) SetDesiredSize(ctx context.Context, clusterID, id string, n int32) (string, error) {
	return c.modifyNodePool(ctx, clusterID, id, &cs.ModifyClusterNodePoolRequest{
		ScalingGroup: &cs.ModifyClusterNodePoolRequestScalingGroup{DesiredSize: tea.Int64(int64(n))},
	})
}

func (c *client) ConfigureNodePool(ctx context.Context, clusterID, id string, in NodePoolChange) (string, error) {
	sg := &cs.ModifyClusterNodePoolRequestScalingGroup{MultiAzPolicy: in.MultiAZPolicy, SystemDiskCategory: in.DiskCategory}
	if in.InstanceTypes != nil {
		sg.InstanceTypes = tea.StringSlice(in.InstanceTypes)
	}
	if in.VSwitchIDs != nil {
		sg.VswitchIds = tea.StringSlice(in.VSwitchIDs)
	}
	if in.DiskSizeGiB != nil {
		sg.SystemDiskSize = tea.Int64(int64(*in.DiskSizeGiB))
	}
	if in.Tags != nil {
		sg.Tags = tags(in.Tags)
	}
	req := &cs.ModifyClusterNodePoolRequest{ScalingGroup: sg}
	if in.Labels != nil || in.Taints != nil {
		req.KubernetesConfig = &cs.ModifyClusterNodePoolRequestKubernetesConfig{}
		if in.Labels != nil {
			req.KubernetesConfig.Labels = tags(in.Labels)
		}
		if in.Taints != nil {
			req.KubernetesConfig.Taints = taints(in.Taints)
		}
		req.UpdateNodes = tea.Bool(true)
	}
	return c.modifyNodePool(ctx, clusterID, id, req)
}

func (c *client) RemoveNodes(ctx context.Context, clusterID, id string, instanceIDs []string) (string, error) {
	req := &cs.RemoveNodePoolNodesRequest{
		InstanceIds: tea.StringSlice(instanceIDs), ReleaseNode: tea.Bool(true), DrainNode: tea.Bool(false), Concurrency: tea.Bool(true),
	}
	out, err := call(ctx, c, "RemoveNodePoolNodes", func(h map[string]*string, rt *util.RuntimeOptions) (*cs.RemoveNodePoolNodesResponse, error) {
		return c.sdk.RemoveNodePoolNodesWithOptions(tea.String(clusterID), tea.String(id), req, h, rt)
	})
	if err != nil || out.Body == nil {
		return "", err
	}
	return tea.StringValue(out.Body.TaskId), nil
}

func (c *client) DeleteNodePool(ctx context.Context, clusterID, id string) (string, error) {
	out, err := call(ctx, c, "DeleteClusterNodepool", func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DeleteClusterNodepoolResponse, error) {
		return c.sdk.DeleteClusterNodepoolWithOptions(tea.String(clusterID), tea.String(id), &cs.DeleteClusterNodepoolRequest{}, h, rt)
	})
	if err != nil || out.Body == nil {
		return "", err
	}
	return tea.StringValue(out.Body.TaskId), nil
}

func (c *client) ListNodes(ctx context.Context, clusterID, poolID string) ([]Node, error) {
	const op = "DescribeClusterNodes"
	seen := map[string]Node{}
	for page := 1; page <= maxPages; page++ {
		req := &cs.DescribeClusterNodesRequest{
			NodepoolId: tea.String(poolID), State: tea.String("all"),
			PageNumber: tea.String(strconv.Itoa(page)), PageSize: tea.String(strconv.Itoa(listPage)),
		}
		out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DescribeClusterNodesResponse, error) {
			return c.sdk.DescribeClusterNodesWithOptions(tea.String(clusterID), req, h, rt)
		})
		if err != nil {
			return nil, err
		}
		if out.Body == nil || out.Body.Page == nil {
			return nil, incomplete(op)
		}
		for _, n := range out.Body.Nodes {
			node := Node{
				InstanceID: tea.StringValue(n.InstanceId), Name: tea.StringValue(n.NodeName), InstanceType: tea.StringValue(n.InstanceType),
				State: tea.StringValue(n.State), Status: tea.StringValue(n.NodeStatus), Message: tea.StringValue(n.ErrorMessage),
				Created: parseTime(tea.StringValue(n.CreationTime)),
			}
			if node.InstanceID != "" && (n.NodepoolId == nil || *n.NodepoolId == poolID) {
				seen[node.InstanceID] = node
			}
		}
		if len(out.Body.Nodes) == 0 || page*listPage >= int(tea.Int32Value(out.Body.Page.TotalCount)) {
			break
		}
	}
	all := make([]Node, 0, len(seen))
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		all = append(all, seen[id])
	}
	return all, nil
}

func (c *client) GetTask(ctx context.Context, id string) (*Task, error) {
	const op = "DescribeTaskInfo"
	out, err := call(ctx, c, op, func(h map[string]*string, rt *util.RuntimeOptions) (*cs.DescribeTaskInfoResponse, error) {
		return c.sdk.DescribeTaskInfoWithOptions(tea.String(id), h, rt)
	})
	if err != nil {
		return nil, err
	}
	if out.Body == nil || tea.StringValue(out.Body.State) == "" {
		return nil, incomplete(op)
	}
	t := &Task{ID: id, State: tea.StringValue(out.Body.State), Stage: tea.StringValue(out.Body.CurrentStage)}
	if out.Body.Error != nil {
		t.Code, t.Message = tea.StringValue(out.Body.Error.Code), tea.StringValue(out.Body.Error.Message)
	}
	return t, nil
}
