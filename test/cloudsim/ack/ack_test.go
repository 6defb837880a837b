package ack_test

import (
	"errors"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/google/go-cmp/cmp"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	region = "cn-hangzhou"
	zone   = "cn-hangzhou-h"
	lag    = 11 * time.Second
)

// A sim with the client and the shorthands the tests of this package share.
type sim struct {
	*simtest.Sim
	t  *testing.T
	cs *cs.Client
}

func start(t *testing.T, o simtest.Options) *sim {
	t.Helper()
	s := simtest.Start(t, o)
	return &sim{Sim: s, t: t, cs: s.Client(t)}
}

// code of an error: the API's code, "unknown" for an answer that was none, and
// empty for success.
func code(err error) string {
	var e *tea.SDKError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return tea.StringValue(e.Code)
	}
	return "unknown"
}

func clusterRequest(uid string) *cs.CreateClusterRequest {
	return &cs.CreateClusterRequest{
		Name: tea.String("rp-" + uid), RegionId: tea.String(region), ClusterType: tea.String("ManagedKubernetes"), Profile: tea.String("Default"),
		ClusterSpec: tea.String("ack.pro.small"), Vpcid: tea.String("vpc-1"), VswitchIds: []*string{tea.String("vsw-1")},
		ServiceCidr: tea.String("172.19.0.0/20"), ContainerCidr: tea.String("10.0.0.0/16"), NodeCidrMask: tea.String("25"),
		Addons:    []*cs.Addon{{Name: tea.String("flannel")}, {Name: tea.String("nginx-ingress-controller"), Disabled: tea.Bool(true)}},
		SnatEntry: tea.Bool(false),
		Tags:      []*cs.Tag{{Key: tea.String("regionpool.io/uid"), Value: tea.String(uid)}},
	}
}

func poolRequest(name string, desired int64) *cs.CreateClusterNodePoolRequest {
	return &cs.CreateClusterNodePoolRequest{
		NodepoolInfo: &cs.CreateClusterNodePoolRequestNodepoolInfo{Name: &name},
		ScalingGroup: &cs.CreateClusterNodePoolRequestScalingGroup{
			InstanceTypes: []*string{tea.String("ecs.g7.xlarge")}, VswitchIds: []*string{tea.String("vsw-1")}, DesiredSize: &desired,
			SystemDiskSize: tea.Int64(100),
			Tags:           []*cs.CreateClusterNodePoolRequestScalingGroupTags{{Key: tea.String("regionpool.io/uid"), Value: tea.String("uid-" + name)}},
		},
		KubernetesConfig: &cs.CreateClusterNodePoolRequestKubernetesConfig{Labels: []*cs.Tag{{Key: tea.String("tier"), Value: tea.String("burst")}}},
	}
}

// cluster creates a cluster and waits until it runs.
func (s *sim) cluster(uid string) string {
	s.t.Helper()
	r, err := s.cs.CreateCluster(clusterRequest(uid))
	if err != nil {
		s.t.Fatalf("CreateCluster(...): %v", err)
	}
	s.Step(5 * time.Minute)
	return *r.Body.ClusterId
}

// pool creates a node pool and waits until its nodes are ready.
func (s *sim) pool(cluster, name string, desired int64) string {
	s.t.Helper()
	r, err := s.cs.CreateClusterNodePool(&cluster, poolRequest(name, desired))
	if err != nil {
		s.t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	s.Step(2 * time.Minute)
	return *r.Body.NodepoolId
}

func (s *sim) state(cluster string) string {
	s.t.Helper()
	r, err := s.cs.DescribeClusterDetail(&cluster)
	if err != nil {
		return code(err)
	}
	return *r.Body.State
}

func (s *sim) task(id string) (state, code string) {
	s.t.Helper()
	r, err := s.cs.DescribeTaskInfo(&id)
	if err != nil {
		s.t.Fatalf("DescribeTaskInfo(...): %v", err)
	}
	if r.Body.Error != nil {
		code = tea.StringValue(r.Body.Error.Code)
	}
	return *r.Body.State, code
}

// poolShape is what tests look at of a node pool.
type poolShape struct {
	State                                       string
	Desired, Total, Serving, Initial, Rem, Fail int64
}

func (s *sim) shape(cluster, pool string) poolShape {
	s.t.Helper()
	r, err := s.cs.DescribeClusterNodePoolDetail(&cluster, &pool)
	if err != nil {
		return poolShape{State: code(err)}
	}
	st := r.Body.Status
	return poolShape{
		State: *st.State, Desired: tea.Int64Value(r.Body.ScalingGroup.DesiredSize), Total: *st.TotalNodes, Serving: *st.ServingNodes, Initial: *st.InitialNodes,
		Rem: *st.RemovingNodes, Fail: *st.FailedNodes,
	}
}

// nodes lists the instances of a pool that lists show after the lag.
func (s *sim) nodes(cluster, pool string) []string {
	s.t.Helper()
	s.Step(lag)
	r, err := s.cs.DescribeClusterNodes(&cluster, &cs.DescribeClusterNodesRequest{NodepoolId: &pool, PageSize: tea.String("100")})
	if err != nil {
		s.t.Fatalf("DescribeClusterNodes(...): %v", err)
	}
	out := []string{}
	for _, n := range r.Body.Nodes {
		out = append(out, *n.InstanceId)
	}
	return out
}

func (s *sim) fault(r faults.Rule) {
	s.t.Helper()
	if _, err := s.Admin.SetFault(s.t.Context(), r); err != nil {
		s.t.Fatalf("SetFault(...): %v", err)
	}
}

func (s *sim) stock(it stock.Item) {
	s.t.Helper()
	if err := s.Admin.SetStock(s.t.Context(), it); err != nil {
		s.t.Fatalf("SetStock(...): %v", err)
	}
}

func (s *sim) books() ledger.Report {
	s.t.Helper()
	r, err := s.Admin.Ledger(s.t.Context())
	if err != nil {
		s.t.Fatalf("Ledger(...): %v", err)
	}
	return r
}

// live counts live objects by kind.
func live(r ledger.Report) map[ledger.Kind]int {
	out := map[ledger.Kind]int{}
	for _, o := range r.Live {
		out[o.Kind]++
	}
	return out
}

func (s *sim) resize(cluster, pool string, desired int64) (string, error) {
	s.t.Helper()
	r, err := s.cs.ModifyClusterNodePool(&cluster, &pool, &cs.ModifyClusterNodePoolRequest{ScalingGroup: &cs.ModifyClusterNodePoolRequestScalingGroup{DesiredSize: &desired}})
	if err != nil {
		return "", err
	}
	return *r.Body.TaskId, nil
}

func (s *sim) remove(cluster, pool string, drain, release bool, ids ...string) (string, error) {
	s.t.Helper()
	r, err := s.cs.RemoveNodePoolNodes(&cluster, &pool, &cs.RemoveNodePoolNodesRequest{InstanceIds: tea.StringSlice(ids), DrainNode: &drain, ReleaseNode: &release})
	if err != nil {
		return "", err
	}
	return *r.Body.TaskId, nil
}

func check(t *testing.T, reason string, want, got any, o ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, o...); diff != "" {
		t.Errorf("\n%s\n-want, +got:\n%s", reason, diff)
	}
}

func (s *sim) accepted(action string) int {
	s.t.Helper()
	es, err := s.Admin.Requests(s.t.Context(), requestlog.Filter{Action: action})
	if err != nil {
		s.t.Fatalf("Requests(...): %v", err)
	}
	n := 0
	for _, e := range es {
		if e.Accepted {
			n++
		}
	}
	return n
}
