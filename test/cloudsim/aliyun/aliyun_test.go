package aliyun_test

import (
	"errors"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/eci"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/slb"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
	"github.com/google/go-cmp/cmp"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

const (
	region = "cn-hangzhou"
	zone   = "cn-hangzhou-h"
	uidTag = "regionpool.io/uid"
	lag    = 11 * time.Second
)

// A sim with clients of all products.
type sim struct {
	*simtest.Sim
	t   *testing.T
	cs  *cs.Client
	ecs *ecs.Client
	vpc *vpc.Client
	slb *slb.Client
	eci *eci.Client
}

func start(t *testing.T, configure func(*config.Config)) *sim {
	t.Helper()
	s := &sim{Sim: simtest.Start(t, simtest.Options{Configure: configure}), t: t}
	s.cs = s.Client(t)
	var errs [4]error
	s.ecs, errs[0] = ecs.NewClientWithOptions(region, sdk.NewConfig(), s.Credential())
	s.vpc, errs[1] = vpc.NewClientWithOptions(region, sdk.NewConfig(), s.Credential())
	s.slb, errs[2] = slb.NewClientWithOptions(region, sdk.NewConfig(), s.Credential())
	s.eci, errs[3] = eci.NewClientWithOptions(region, sdk.NewConfig(), s.Credential())
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatalf("Cannot make clients: %v", err)
	}
	return s
}

// code of an error: the API's code, "unknown" for an answer that was none, and
// empty for success.
func code(err error) string {
	var e *sdkerrors.ServerError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.ErrorCode()
	}
	return "unknown"
}

func check(t *testing.T, reason string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("\n%s\n-want, +got:\n%s", reason, diff)
	}
}

func (s *sim) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("A call failed: %v", err)
	}
}

// call a typed API: made is the request, direct points it at the simulator.
func call[Q any, R any](s *sim, f func(*Q) (*R, error), q *Q, r *requests.RpcRequest) *R {
	s.t.Helper()
	s.Direct(r)
	out, err := f(q)
	s.must(err)
	return out
}

// cluster with everything that costs extra, and two nodes.
func (s *sim) cluster() (cluster, pool string) {
	s.t.Helper()
	k, err := s.cs.CreateCluster(&cs.CreateClusterRequest{
		Name: tea.String("rp-1"), RegionId: tea.String(region), ClusterType: tea.String("ManagedKubernetes"), ClusterSpec: tea.String("ack.pro.small"),
		Vpcid: tea.String("vpc-1"), VswitchIds: []*string{tea.String("vsw-1"), tea.String("vsw-2")}, ServiceCidr: tea.String("172.19.0.0/20"),
		ContainerCidr: tea.String("10.0.0.0/16"), SnatEntry: tea.Bool(true), EndpointPublicAccess: tea.Bool(true),
		Addons: []*cs.Addon{{Name: tea.String("ack-virtual-node")}, {Name: tea.String("nginx-ingress-controller"), Disabled: tea.Bool(true)}},
		Tags:   []*cs.Tag{{Key: tea.String(uidTag), Value: tea.String("uid-cluster")}},
	})
	s.must(err)
	s.Step(5 * time.Minute)
	p, err := s.cs.CreateClusterNodePool(k.Body.ClusterId, &cs.CreateClusterNodePoolRequest{
		NodepoolInfo: &cs.CreateClusterNodePoolRequestNodepoolInfo{Name: tea.String("general")},
		ScalingGroup: &cs.CreateClusterNodePoolRequestScalingGroup{
			InstanceTypes: []*string{tea.String("ecs.g7.xlarge")}, VswitchIds: []*string{tea.String("vsw-1")}, DesiredSize: tea.Int64(2), SystemDiskSize: tea.Int64(100),
			Tags: []*cs.CreateClusterNodePoolRequestScalingGroupTags{{Key: tea.String(uidTag), Value: tea.String("uid-pool")}},
		},
		KubernetesConfig: &cs.CreateClusterNodePoolRequestKubernetesConfig{},
	})
	s.must(err)
	s.Step(3 * time.Minute)
	return *k.Body.ClusterId, *p.Body.NodepoolId
}

func (s *sim) live(kind ledger.Kind) []ledger.Object {
	return s.Cloud.Ledger.Live(func(o ledger.Object) bool { return o.Kind == kind })
}

func (s *sim) instances(change func(*ecs.DescribeInstancesRequest)) *ecs.DescribeInstancesResponse {
	s.t.Helper()
	r := ecs.CreateDescribeInstancesRequest()
	if change != nil {
		change(r)
	}
	return call(s, s.ecs.DescribeInstances, r, r.RpcRequest)
}

// deleteInstance returns the code of the answer.
func (s *sim) deleteInstance(id string, force bool) string {
	r := ecs.CreateDeleteInstanceRequest()
	r.InstanceId, r.Force = id, requests.NewBoolean(force)
	s.Direct(r.RpcRequest)
	_, err := s.ecs.DeleteInstance(r)
	return code(err)
}

func (s *sim) deleteCluster(id string) {
	s.t.Helper()
	_, err := s.cs.DeleteCluster(&id, &cs.DeleteClusterRequest{})
	s.must(err)
	s.Step(15 * time.Minute)
}
