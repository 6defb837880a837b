package tke

import (
	"context"
	"strings"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"
	"k8s.io/client-go/tools/clientcmd"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// CreateEndpoint of the API server.
func (c *Client) CreateEndpoint(ctx context.Context, clusterID string, in EndpointInput) error {
	req := tke.NewCreateClusterEndpointRequest()
	req.ClusterId, req.IsExtranet = common.StringPtr(clusterID), common.BoolPtr(in.Public)
	if in.Public {
		req.SecurityGroup = common.StringPtr(in.SecurityGroupID)
	} else {
		req.SubnetId = common.StringPtr(in.SubnetID)
	}
	return c.send(ctx, req, tke.NewCreateClusterEndpointResponse())
}

// GetEndpoint tells the state of an endpoint, and its address once there is one.
func (c *Client) GetEndpoint(ctx context.Context, clusterID string, public bool) (*Endpoint, error) {
	req := tke.NewDescribeClusterEndpointStatusRequest()
	req.ClusterId, req.IsExtranet = common.StringPtr(clusterID), common.BoolPtr(public)
	resp := tke.NewDescribeClusterEndpointStatusResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return nil, c.proven(ctx, clusterID, err)
	}
	if resp.Response == nil || deref(resp.Response.Status) == "" {
		return nil, incomplete(req.GetAction())
	}
	e := &Endpoint{State: *resp.Response.Status, Message: cloud.Stable(deref(resp.Response.ErrorMsg))}
	if e.State != EndpointCreated {
		return e, nil
	}

	all := tke.NewDescribeClusterEndpointsRequest()
	all.ClusterId = req.ClusterId
	got := tke.NewDescribeClusterEndpointsResponse()
	if err := c.send(ctx, all, got); err != nil {
		return nil, c.proven(ctx, clusterID, err)
	}
	if got.Response == nil {
		return nil, incomplete(all.GetAction())
	}
	e.Address = address(deref(got.Response.ClusterIntranetEndpoint))
	if public {
		e.Address = address(deref(got.Response.ClusterExternalEndpoint))
	}
	return e, nil
}

// address of an API server as a URL. TKE has been seen to write it with and
// without the scheme.
func address(s string) string {
	s = strings.TrimRight(strings.TrimSpace(s), "/")
	if s == "" || strings.HasPrefix(s, "https://") {
		return s
	}
	return "https://" + s
}

// DeleteEndpoint and its load balancer.
func (c *Client) DeleteEndpoint(ctx context.Context, clusterID string, public bool) error {
	req := tke.NewDeleteClusterEndpointRequest()
	req.ClusterId, req.IsExtranet = common.StringPtr(clusterID), common.BoolPtr(public)
	return c.send(ctx, req, tke.NewDeleteClusterEndpointResponse())
}

// Kubeconfig of the cluster's administrator.
func (c *Client) Kubeconfig(ctx context.Context, clusterID string, public bool) ([]byte, error) {
	const op = "DescribeClusterKubeconfig"
	e, err := c.GetEndpoint(ctx, clusterID, public)
	if err != nil {
		return nil, err
	}
	if e.Address == "" {
		msg := "the API server has no address yet: its endpoint is " + e.State
		return nil, &cloud.Error{Class: cloud.WrongState, Operation: op, Code: CodeNoEndpoint, Message: msg}
	}
	req := tke.NewDescribeClusterKubeconfigRequest()
	req.ClusterId, req.IsExtranet = common.StringPtr(clusterID), common.BoolPtr(public)
	resp := tke.NewDescribeClusterKubeconfigResponse()
	if err := c.send(ctx, req, resp); err != nil {
		return nil, c.proven(ctx, clusterID, err)
	}
	if resp.Response == nil || deref(resp.Response.Kubeconfig) == "" {
		return nil, incomplete(op)
	}
	out, ok := redirect([]byte(*resp.Response.Kubeconfig), e.Address)
	if !ok {
		return nil, incomplete(op)
	}
	return out, nil
}

// redirect a kubeconfig to another address of its server.
func redirect(kubeconfig []byte, server string) ([]byte, bool) {
	cfg, err := clientcmd.Load(kubeconfig)
	if err != nil || len(cfg.Clusters) == 0 {
		return nil, false
	}
	for _, cl := range cfg.Clusters {
		cl.Server = server
	}
	out, err := clientcmd.Write(*cfg)
	return out, err == nil
}
