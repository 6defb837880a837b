package tke_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	region = "ap-guangzhou"
	zone   = "ap-guangzhou-3"
	lag    = 4 * time.Second
)

// A sim with the client and the shorthands the tests of this package share.
type sim struct {
	*simtest.Sim
	t   *testing.T
	tke *tke.Client
	any *common.Client
}

func start(t *testing.T, o simtest.Options) *sim {
	t.Helper()
	s := simtest.Start(t, o)
	return &sim{Sim: s, t: t, tke: s.TKEClient(t, region), any: s.TencentClient(region)}
}

// code of an error, and empty for success.
func code(err error) string {
	var e *tcerrors.TencentCloudSDKError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.GetCode()
	}
	return "unknown"
}

func p[T any](v T) *T { return &v }

func clusterRequest(uid string) *tke.CreateClusterRequest {
	r := tke.NewCreateClusterRequest()
	r.ClusterType = p("MANAGED_CLUSTER")
	r.ClusterBasicSettings = &tke.ClusterBasicSettings{
		ClusterName: p("rp-" + uid), VpcId: p("vpc-gz1"), ClusterLevel: p("L5"), ClusterVersion: p("1.34.1"),
		TagSpecification: []*tke.TagSpecification{{ResourceType: p("cluster"), Tags: []*tke.Tag{{Key: p("regionpool.io/uid"), Value: p(uid)}}}},
	}
	r.ClusterCIDRSettings = &tke.ClusterCIDRSettings{ClusterCIDR: p("172.16.0.0/16"), MaxNodePodNum: p(uint64(64)), MaxClusterServiceNum: p(uint64(1024))}
	r.ClusterAdvancedSettings = &tke.ClusterAdvancedSettings{IPVS: p(true), NetworkType: p("GR"), ContainerRuntime: p("containerd")}
	return r
}

// A pool that is asked for.
type pool struct {
	name          string
	desired, max  int
	types         []string
	subnets       []string
	charge        string
	policy, retry string
}

func poolRequest(cluster string, q pool) *tke.CreateClusterNodePoolRequest {
	if q.types == nil {
		q.types = []string{"S5.LARGE8"}
	}
	if q.subnets == nil {
		q.subnets = []string{"subnet-gz1"}
	}
	if q.max == 0 {
		q.max = 20
	}
	group := map[string]any{"VpcId": "vpc-gz1", "SubnetIds": q.subnets, "MinSize": 0, "MaxSize": q.max, "DesiredCapacity": q.desired}
	if q.policy != "" {
		group["TerminationPolicies"] = []string{q.policy}
	}
	if q.retry != "" {
		group["RetryPolicy"] = q.retry
	}
	launch := map[string]any{
		"InstanceType": q.types[0], "SystemDisk": map[string]any{"DiskType": "CLOUD_PREMIUM", "DiskSize": 50}, "InternetAccessible": map[string]any{"PublicIpAssigned": false},
	}
	if len(q.types) > 1 {
		launch["InstanceTypes"] = q.types
	}
	if q.charge != "" {
		launch["InstanceChargeType"] = q.charge
	}
	if q.charge == "SPOTPAID" {
		launch["InstanceMarketOptions"] = map[string]any{"MarketType": "spot", "SpotOptions": map[string]any{"MaxPrice": "10", "SpotInstanceType": "one-time"}}
	}
	r := tke.NewCreateClusterNodePoolRequest()
	r.ClusterId, r.Name, r.EnableAutoscale = &cluster, &q.name, p(false)
	r.AutoScalingGroupPara, r.LaunchConfigurePara = p(text(group)), p(text(launch))
	r.InstanceAdvancedSettings = &tke.InstanceAdvancedSettings{}
	r.Labels = []*tke.Label{{Name: p("regionpool.io/offering"), Value: p("tke-general")}}
	r.Tags = []*tke.Tag{{Key: p("regionpool.io/uid"), Value: p("uid-" + q.name)}}
	return r
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// cluster creates a cluster and waits until it runs.
func (s *sim) cluster(uid string) string {
	s.t.Helper()
	r, err := s.tke.CreateCluster(clusterRequest(uid))
	if err != nil {
		s.t.Fatalf("CreateCluster(...): %v", err)
	}
	s.Step(11 * time.Minute)
	return *r.Response.ClusterId
}

// pool creates a node pool and waits until its nodes are ready.
func (s *sim) pool(cluster string, q pool) string {
	s.t.Helper()
	r, err := s.tke.CreateClusterNodePool(poolRequest(cluster, q))
	if err != nil {
		s.t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	s.Step(5 * time.Minute)
	return *r.Response.NodePoolId
}

// state of a cluster as DescribeClusterStatus has it, "gone" if there is none.
func (s *sim) state(cluster string) string {
	s.t.Helper()
	r := tke.NewDescribeClusterStatusRequest()
	r.ClusterIds = []*string{&cluster}
	a, err := s.tke.DescribeClusterStatus(r)
	switch {
	case err != nil:
		return code(err)
	case len(a.Response.ClusterStatusSet) == 0:
		return "gone"
	}
	return *a.Response.ClusterStatusSet[0].ClusterState
}

// A shape of a node pool.
type shape struct {
	State                                     string
	Desired, Joining, Initializing, Up, Total int64
}

func (s *sim) shape(cluster, id string) shape {
	s.t.Helper()
	r := tke.NewDescribeClusterNodePoolDetailRequest()
	r.ClusterId, r.NodePoolId = &cluster, &id
	a, err := s.tke.DescribeClusterNodePoolDetail(r)
	if err != nil {
		return shape{State: code(err)}
	}
	np, n := a.Response.NodePool, a.Response.NodePool.NodeCountSummary.AutoscalingAdded
	return shape{State: *np.LifeState, Desired: *np.DesiredNodesNum, Joining: *n.Joining, Initializing: *n.Initializing, Up: *n.Normal, Total: *n.Total}
}

func (s *sim) resize(cluster, id string, n int64) error {
	s.t.Helper()
	r := tke.NewModifyNodePoolDesiredCapacityAboutAsgRequest()
	r.ClusterId, r.NodePoolId, r.DesiredCapacity = &cluster, &id, &n
	_, err := s.tke.ModifyNodePoolDesiredCapacityAboutAsg(r)
	return err
}

// nodes returns the ids of the instances that are listed.
func (s *sim) nodes(cluster string) []string {
	s.t.Helper()
	s.Step(lag)
	r := tke.NewDescribeClusterInstancesRequest()
	r.ClusterId, r.Limit = &cluster, p(int64(100))
	a, err := s.tke.DescribeClusterInstances(r)
	if err != nil {
		s.t.Fatalf("DescribeClusterInstances(...): %v", err)
	}
	out := []string{}
	for _, i := range a.Response.InstanceSet {
		out = append(out, *i.InstanceId)
	}
	return out
}

// listed returns the clusters DescribeClusters lists.
func (s *sim) listed(f ...*tke.Filter) []*tke.Cluster {
	s.t.Helper()
	r := tke.NewDescribeClustersRequest()
	r.Filters = f
	a, err := s.tke.DescribeClusters(r)
	if err != nil {
		s.t.Fatalf("DescribeClusters(...): %v", err)
	}
	return a.Response.Clusters
}

func (s *sim) drop(cluster string, change func(*tke.DeleteClusterRequest)) error {
	s.t.Helper()
	r := tke.NewDeleteClusterRequest()
	r.ClusterId, r.InstanceDeleteMode = &cluster, p("terminate")
	if change != nil {
		change(r)
	}
	_, err := s.tke.DeleteCluster(r)
	return err
}

func (s *sim) dropPool(cluster, id string, keep bool) error {
	s.t.Helper()
	r := tke.NewDeleteClusterNodePoolRequest()
	r.ClusterId, r.NodePoolIds, r.KeepInstance = &cluster, []*string{&id}, &keep
	_, err := s.tke.DeleteClusterNodePool(r)
	return err
}

// versions of the products the vendor's SDK has no types of here.
var versions = map[string]string{
	"as": "2018-04-19", "vpc": "2017-03-12", "clb": "2018-03-17", "cbs": "2017-03-12", "cvm": "2017-03-12", "tag": "2018-08-13", "tke": "2018-05-25",
}

// call any action of any product, and decode the answer.
func (s *sim) call(product, action string, params map[string]any, into any) error {
	s.t.Helper()
	r := tchttp.NewCommonRequest(product, versions[product], action)
	if err := r.SetActionParameters(params); err != nil {
		s.t.Fatalf("SetActionParameters(...): %v", err)
	}
	a := tchttp.NewCommonResponse()
	if err := s.any.Send(r, a); err != nil {
		return err
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(a.GetBody(), &struct{ Response any }{Response: into})
}

type activity struct {
	ActivityId, ActivityType, StatusCode, StatusMessage string
	DetailedStatusMessageSet                            []struct{ Code, Zone, InstanceType, InstanceChargeType string }
	ActivityRelatedInstanceSet                          []struct{ InstanceId, InstanceStatus string }
}

func filters(pairs ...string) []map[string]any {
	var out []map[string]any
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, map[string]any{"Name": pairs[i], "Values": []string{pairs[i+1]}})
	}
	return out
}

// activities of a pool, newest first.
func (s *sim) activities(cluster, id string) []activity {
	s.t.Helper()
	r := tke.NewDescribeClusterNodePoolDetailRequest()
	r.ClusterId, r.NodePoolId = &cluster, &id
	a, err := s.tke.DescribeClusterNodePoolDetail(r)
	if err != nil {
		s.t.Fatalf("DescribeClusterNodePoolDetail(...): %v", err)
	}
	var out struct{ ActivitySet []activity }
	if err := s.call("as", "DescribeAutoScalingActivities", map[string]any{
		"Filters": filters("auto-scaling-group-id", *a.Response.NodePool.AutoscalingGroupId),
	}, &out); err != nil {
		s.t.Fatalf("DescribeAutoScalingActivities(...): %v", err)
	}
	return out.ActivitySet
}

func (s *sim) books() ledger.Report {
	s.t.Helper()
	r, err := s.Admin.Ledger(s.t.Context())
	if err != nil {
		s.t.Fatalf("Ledger(...): %v", err)
	}
	return r
}

func live(r ledger.Report) map[ledger.Kind]int {
	out := map[ledger.Kind]int{}
	for _, o := range r.Live {
		out[o.Kind]++
	}
	return out
}

func leaked(r ledger.Report) []ledger.Kind {
	out := []ledger.Kind{}
	for _, o := range r.Leaked {
		out = append(out, o.Kind)
	}
	slices.Sort(out)
	return out
}

func (s *sim) fault(r faults.Rule) {
	s.t.Helper()
	if _, err := s.Admin.SetFault(s.t.Context(), r); err != nil {
		s.t.Fatalf("SetFault(...): %v", err)
	}
}

// shelf sets what is left of a type in all zones of the region.
func (s *sim) shelf(kind string, spot bool, n int) {
	s.t.Helper()
	if err := s.Admin.SetStock(s.t.Context(), stock.Item{Key: stock.Key{Region: region, Type: kind, Spot: spot}, Count: n}); err != nil {
		s.t.Fatalf("SetStock(...): %v", err)
	}
}

func (s *sim) requests(f requestlog.Filter) []requestlog.Entry {
	s.t.Helper()
	es, err := s.Admin.Requests(s.t.Context(), f)
	if err != nil {
		s.t.Fatalf("Requests(...): %v", err)
	}
	return es
}

func (s *sim) accepted(action string) int {
	n := 0
	for _, e := range s.requests(requestlog.Filter{Action: action}) {
		if e.Accepted {
			n++
		}
	}
	return n
}

func check(t *testing.T, reason string, want, got any, o ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, o...); diff != "" {
		t.Errorf("\n%s\n-want, +got:\n%s", reason, diff)
	}
}

// oneOf checks that a code is among those that are documented.
func oneOf(t *testing.T, reason, got string, want ...string) {
	t.Helper()
	if !slices.Contains(want, got) {
		t.Errorf("\n%s\nwant one of %s, got %q", reason, strings.Join(want, ", "), got)
	}
}

func decode(text string) map[string]any {
	m := map[string]any{}
	_ = json.Unmarshal([]byte(text), &m)
	return m
}
