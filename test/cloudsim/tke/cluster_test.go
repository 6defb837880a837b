package tke_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

func TestClusterLife(t *testing.T) {
	s := start(t, simtest.Options{})
	r, err := s.tke.CreateCluster(clusterRequest("u1"))
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	c := *r.Response.ClusterId
	if !strings.HasPrefix(c, "cls-") || len(c) != 12 {
		t.Errorf("The id %q does not have the form of the vendor's", c)
	}
	check(t, "Lists trail a create.", 0, len(s.listed()))
	check(t, "The status does not.", "Trading", s.state(c))
	s.Step(lag)
	check(t, "A few seconds later it is listed.", 1, len(s.listed()))
	s.Step(5 * time.Second)
	check(t, "It is paid for first.", "Creating", s.state(c))
	s.Step(8 * time.Minute)
	check(t, "It takes its time.", "Creating", s.state(c))
	s.Step(3 * time.Minute)
	check(t, "About ten minutes.", "Running", s.state(c))

	got := s.listed()[0]
	check(t, "What it was asked to be.", &tke.Cluster{
		ClusterId: &c, ClusterName: p("rp-u1"), ClusterVersion: p("1.34.1"), ClusterType: p("MANAGED_CLUSTER"), ClusterStatus: p("Running"),
		ClusterNodeNum: p(uint64(0)), ClusterLevel: p("L5"), DeletionProtection: p(false), ContainerRuntime: p("containerd"),
		TagSpecification: []*tke.TagSpecification{{ResourceType: p("cluster"), Tags: []*tke.Tag{{Key: p("regionpool.io/uid"), Value: p("u1")}}}},
		ClusterNetworkSettings: &tke.ClusterNetworkSettings{
			ClusterCIDR: p("172.16.0.0/16"), VpcId: p("vpc-gz1"), MaxNodePodNum: p(uint64(64)), MaxClusterServiceNum: p(uint64(1024)), Ipvs: p(true),
			Cni: p(true),
		},
	}, got, cmpopts.IgnoreFields(tke.Cluster{}, "CreatedTime", "Property", "ClusterDescription", "ClusterOs", "ProjectId", "ClusterMaterNodeNum", "ImageId",
		"OsCustomizeType", "EnableExternalNode", "AutoUpgradeClusterLevel", "QGPUShareEnable", "RuntimeVersion", "ClusterEtcdNodeNum"),
		cmpopts.IgnoreFields(tke.ClusterNetworkSettings{}, "IgnoreClusterCIDRConflict", "KubeProxyMode", "ServiceCIDR", "Subnets", "IgnoreServiceCIDRConflict",
			"IsDualStack", "Ipv6ServiceCIDR", "CiliumMode"))
	books := live(s.books())
	check(t, "What is billed, and what is there for nothing.", map[ledger.Kind]int{ledger.Cluster: 1, ledger.SecurityGroup: 1, ledger.ENI: 1}, books)

	if err := s.drop(c, nil); err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	check(t, "It goes.", "Deleting", s.state(c))
	oneOf(t, "It cannot be deleted twice.", code(s.drop(c, nil)), "FailedOperation.ClusterState", "InternalError.ClusterState")
	s.Step(3*time.Minute + lag)
	check(t, "It is gone.", "gone", s.state(c))
	check(t, "A cluster that is gone is no error for lists.", 0, len(s.listed()))
	oneOf(t, "But it is for a deletion.", code(s.drop(c, nil)), "InternalError.ClusterNotFound", "FailedOperation.ClusterNotFound", "ResourceNotFound")
	check(t, "Network parts linger, as parts that go.", []ledger.Kind{}, leaked(s.books()))
	s.Step(5 * time.Minute)
	check(t, "Then nothing is left.", map[ledger.Kind]int{}, live(s.books()))
}

func TestDescribeClustersFilters(t *testing.T) {
	s := start(t, simtest.Options{})
	for _, uid := range []string{"u1", "u10", "x"} {
		if _, err := s.tke.CreateCluster(clusterRequest(uid)); err != nil {
			t.Fatalf("CreateCluster(...): %v", err)
		}
	}
	s.Step(lag)
	f := func(name string, values ...string) *tke.Filter {
		return &tke.Filter{Name: &name, Values: pointers(values)}
	}
	cases := map[string]struct {
		reason string
		filter []*tke.Filter
		want   []string
	}{
		"Name":      {reason: "A part of the name is enough.", filter: []*tke.Filter{f("ClusterName", "rp-u1")}, want: []string{"rp-u1", "rp-u10"}},
		"Tags":      {reason: "A tag is matched in full.", filter: []*tke.Filter{f("Tags", "regionpool.io/uid:u1")}, want: []string{"rp-u1"}},
		"TagsTwo":   {reason: "Values are alternatives.", filter: []*tke.Filter{f("Tags", "regionpool.io/uid:u1", "regionpool.io/uid:x")}, want: []string{"rp-u1", "rp-x"}},
		"TagKey":    {reason: "By key.", filter: []*tke.Filter{f("tag-key", "regionpool.io/uid")}, want: []string{"rp-u1", "rp-u10", "rp-x"}},
		"TagValue":  {reason: "By value.", filter: []*tke.Filter{f("tag-value", "u10")}, want: []string{"rp-u10"}},
		"TagColon":  {reason: "By key and value.", filter: []*tke.Filter{f("tag:regionpool.io/uid", "x")}, want: []string{"rp-x"}},
		"Status":    {reason: "By state.", filter: []*tke.Filter{f("ClusterStatus", "Running")}, want: []string{}},
		"VPC":       {reason: "By VPC.", filter: []*tke.Filter{f("vpc-id", "vpc-gz1")}, want: []string{"rp-u1", "rp-u10", "rp-x"}},
		"Both":      {reason: "Filters must all match.", filter: []*tke.Filter{f("ClusterName", "u1"), f("Tags", "regionpool.io/uid:x")}, want: []string{}},
		"OtherType": {reason: "By type.", filter: []*tke.Filter{f("ClusterType", "INDEPENDENT_CLUSTER")}, want: []string{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := []string{}
			for _, c := range s.listed(tc.filter...) {
				got = append(got, *c.ClusterName)
			}
			slices.Sort(got)
			check(t, tc.reason, tc.want, got)
		})
	}
	r := tke.NewDescribeClustersRequest()
	r.Filters = []*tke.Filter{f("nonsense", "x")}
	_, err := s.tke.DescribeClusters(r)
	check(t, "An unknown filter.", "InvalidParameter.Param", code(err))

	r = tke.NewDescribeClustersRequest()
	r.Limit, r.Offset = p(int64(2)), p(int64(2))
	a, err := s.tke.DescribeClusters(r)
	if err != nil {
		t.Fatalf("DescribeClusters(...): %v", err)
	}
	check(t, "Pages.", []int{1, 3}, []int{len(a.Response.Clusters), int(*a.Response.TotalCount)})
	r.Limit = p(int64(101))
	_, err = s.tke.DescribeClusters(r)
	check(t, "Pages have a limit.", "InvalidParameter.Param", code(err))

	other, err := s.TKEClient(t, "ap-shanghai").DescribeClusters(tke.NewDescribeClustersRequest())
	if err != nil {
		t.Fatalf("DescribeClusters(...): %v", err)
	}
	check(t, "Another region has clusters of its own.", 0, len(other.Response.Clusters))
}

func pointers(all []string) []*string {
	var out []*string
	for i := range all {
		out = append(out, &all[i])
	}
	return out
}

func TestCreateClusterRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*tke.CreateClusterRequest)
		want   []string
	}{
		"NoType":        {reason: "The type is required.", change: func(r *tke.CreateClusterRequest) { r.ClusterType = nil }, want: []string{"MissingParameter"}},
		"Independent":   {reason: "Masters of one's own.", change: func(r *tke.CreateClusterRequest) { r.ClusterType = p("INDEPENDENT_CLUSTER") }, want: []string{"InvalidParameter"}},
		"NoVPC":         {reason: "The VPC is required.", change: func(r *tke.CreateClusterRequest) { r.ClusterBasicSettings.VpcId = nil }, want: []string{"MissingParameter"}},
		"OtherVPC":      {reason: "The VPC must exist.", change: func(r *tke.CreateClusterRequest) { r.ClusterBasicSettings.VpcId = p("vpc-sh1") }, want: []string{"FailedOperation.VpcRecodrNotFound", "InternalError.VpcRecodrNotFound"}},
		"Version":       {reason: "The version must exist.", change: func(r *tke.CreateClusterRequest) { r.ClusterBasicSettings.ClusterVersion = p("1.2.3") }, want: []string{"InvalidParameter"}},
		"Level":         {reason: "The level must exist.", change: func(r *tke.CreateClusterRequest) { r.ClusterBasicSettings.ClusterLevel = p("L7") }, want: []string{"InvalidParameter"}},
		"NoCIDR":        {reason: "GR needs a CIDR.", change: func(r *tke.CreateClusterRequest) { r.ClusterCIDRSettings.ClusterCIDR = nil }, want: []string{"MissingParameter"}},
		"CIDRText":      {reason: "It must be one.", change: func(r *tke.CreateClusterRequest) { r.ClusterCIDRSettings.ClusterCIDR = p("x") }, want: []string{"InvalidParameter.CidrInvalid"}},
		"CIDRPublic":    {reason: "It must be private.", change: func(r *tke.CreateClusterRequest) { r.ClusterCIDRSettings.ClusterCIDR = p("8.8.0.0/16") }, want: []string{"InvalidParameter.InvalidPrivateNetworkCIDR"}},
		"CIDRSmall":     {reason: "It must not be too small.", change: func(r *tke.CreateClusterRequest) { r.ClusterCIDRSettings.ClusterCIDR = p("172.16.0.0/25") }, want: []string{"InvalidParameter.CIDRMaskSizeOutOfRange"}},
		"CIDRInVPC":     {reason: "It must not be the VPC's.", change: func(r *tke.CreateClusterRequest) { r.ClusterCIDRSettings.ClusterCIDR = p("10.0.128.0/20") }, want: []string{"InvalidParameter.CidrConflictWithVpcCidr"}},
		"Network":       {reason: "An unknown network.", change: func(r *tke.CreateClusterRequest) { r.ClusterAdvancedSettings.NetworkType = p("flannel") }, want: []string{"InvalidParameter"}},
		"CNINoSubnet":   {reason: "VPC-CNI needs subnets.", change: func(r *tke.CreateClusterRequest) { r.ClusterAdvancedSettings.NetworkType = p("VPC-CNI") }, want: []string{"MissingParameter"}},
		"TagResource":   {reason: "Tags are for clusters.", change: func(r *tke.CreateClusterRequest) { r.ClusterBasicSettings.TagSpecification[0].ResourceType = p("vm") }, want: []string{"InvalidParameter"}},
		"OtherSubnet":   {reason: "The subnet must be in the VPC.", change: func(r *tke.CreateClusterRequest) { r.ClusterBasicSettings.SubnetId = p("subnet-gz3") }, want: []string{"InvalidParameter.Param"}},
		"TooManyOfThem": {reason: "The quota.", change: func(*tke.CreateClusterRequest) {}, want: []string{"FailedOperation.QuotaMaxClsLimit", "InternalError.QuotaMaxClsLimit"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{Configure: func(c *config.Config) {
				if name == "TooManyOfThem" {
					c.Tencent.Accounts[0].Quotas.Clusters = 1
				}
			}})
			if name == "TooManyOfThem" {
				s.cluster("u0")
			}
			r := clusterRequest("u1")
			tc.change(r)
			_, err := s.tke.CreateCluster(r)
			oneOf(t, tc.reason, code(err), tc.want...)
		})
	}
}

func TestSharedCIDR(t *testing.T) {
	s := start(t, simtest.Options{Configure: func(c *config.Config) { c.Tencent.Switches.RejectSharedCIDR = true }})
	s.cluster("u1")
	_, err := s.tke.CreateCluster(clusterRequest("u2"))
	check(t, "Pods of two clusters of a VPC must not overlap.", "InvalidParameter.CidrConflictWithOtherCluster", code(err))
	r := clusterRequest("u2")
	r.ClusterCIDRSettings.IgnoreClusterCIDRConflict = p(true)
	_, err = s.tke.CreateCluster(r)
	check(t, "Unless the caller does not mind.", "", code(err))
}

func TestNoClientToken(t *testing.T) {
	s := start(t, simtest.Options{})
	s.cluster("u1")
	s.cluster("u1")
	check(t, "Two calls make two clusters, which the books show.", 1, len(s.books().Duplicates))
	err := s.call("tke", "CreateCluster", map[string]any{"ClusterType": "MANAGED_CLUSTER", "ClientToken": "x"}, nil)
	check(t, "There is no token to prevent it.", "UnknownParameter", code(err))
}

func TestProtection(t *testing.T) {
	s := start(t, simtest.Options{})
	r := clusterRequest("u1")
	r.ClusterAdvancedSettings.DeletionProtection = p(true)
	a, err := s.tke.CreateCluster(r)
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	s.Step(11 * time.Minute)
	c := *a.Response.ClusterId
	check(t, "A protected cluster stays.", "OperationDenied.ClusterInDeletionProtection", code(s.drop(c, nil)))
	q := tke.NewDisableClusterDeletionProtectionRequest()
	q.ClusterId = &c
	if _, err := s.tke.DisableClusterDeletionProtection(q); err != nil {
		t.Fatalf("DisableClusterDeletionProtection(...): %v", err)
	}
	st := tke.NewDescribeClusterStatusRequest()
	st.ClusterIds = []*string{&c}
	b, err := s.tke.DescribeClusterStatus(st)
	if err != nil {
		t.Fatalf("DescribeClusterStatus(...): %v", err)
	}
	check(t, "It can be read back.", false, *b.Response.ClusterStatusSet[0].ClusterDeletionProtection)
	e := tke.NewEnableClusterDeletionProtectionRequest()
	e.ClusterId = &c
	if _, err := s.tke.EnableClusterDeletionProtection(e); err != nil {
		t.Fatalf("EnableClusterDeletionProtection(...): %v", err)
	}
	check(t, "On again.", "OperationDenied.ClusterInDeletionProtection", code(s.drop(c, nil)))
	if _, err := s.tke.DisableClusterDeletionProtection(q); err != nil {
		t.Fatalf("DisableClusterDeletionProtection(...): %v", err)
	}
	check(t, "Without, it goes.", "", code(s.drop(c, nil)))
	q.ClusterId = p("cls-nobody")
	_, err = s.tke.DisableClusterDeletionProtection(q)
	check(t, "An unknown cluster.", "ResourceNotFound", code(err))
}

// TestNotFound checks that every API has codes of its own for a cluster that is
// not there, and that the choice among several is the seed's.
func TestNotFound(t *testing.T) {
	c := "cls-nobody"
	cases := map[string]struct {
		params map[string]any
		want   []string
	}{
		"DescribeClusterInstances":      {want: []string{"InvalidParameter.ClusterNotFound"}},
		"DeleteCluster":                 {params: map[string]any{"InstanceDeleteMode": "terminate"}, want: []string{"InternalError.ClusterNotFound", "FailedOperation.ClusterNotFound", "ResourceNotFound"}},
		"DescribeClusterNodePoolDetail": {params: map[string]any{"NodePoolId": "np-x"}, want: []string{"InternalError.ClusterNotFound", "ResourceNotFound.ClusterNotFound", "InternalError.DbRecordNotFound"}},
		"DescribeClusterNodePools":      {want: []string{"ResourceNotFound.ClusterNotFound", "InternalError.DbRecordNotFound"}},
		"DeleteClusterNodePool":         {params: map[string]any{"NodePoolIds": []string{"np-x"}, "KeepInstance": false}, want: []string{"FailedOperation.RecordNotFound", "InternalError.DbRecordNotFound", "InternalError.Param"}},
		"DescribeClusterEndpointStatus": {want: []string{"InternalError.ClusterNotFound"}},
		"DescribeClusterKubeconfig":     {want: []string{"InvalidParameter.ClusterNotFound", "ResourceNotFound.ClusterNotFound"}},
		"DescribeClusterEndpoints":      {want: []string{"ResourceNotFound.ClusterNotFound"}},
		"DeleteClusterInstances":        {params: map[string]any{"InstanceIds": []string{"ins-x"}, "InstanceDeleteMode": "terminate"}, want: []string{"FailedOperation.ClusterNotFound", "InternalError.ClusterNotFound"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			params := map[string]any{"ClusterId": c}
			for k, v := range tc.params {
				params[k] = v
			}
			seen := map[string]bool{}
			for range 40 {
				got := code(s.call("tke", name, params, nil))
				oneOf(t, "The codes that are documented, or were seen.", got, tc.want...)
				seen[got] = true
			}
			check(t, "Each of them turns up.", len(tc.want), len(seen))
		})
	}
	t.Run("Seed", func(t *testing.T) {
		var runs [2][]string
		for n := range runs {
			s := start(t, simtest.Options{Seed: 7})
			for range 10 {
				runs[n] = append(runs[n], code(s.drop(c, nil)))
			}
		}
		check(t, "One seed, one sequence.", runs[0], runs[1])
	})
}

func TestLevels(t *testing.T) {
	s := start(t, simtest.Options{})
	a, err := s.tke.DescribeClusterLevelAttribute(tke.NewDescribeClusterLevelAttributeRequest())
	if err != nil {
		t.Fatalf("DescribeClusterLevelAttribute(...): %v", err)
	}
	check(t, "L5 has 5 nodes.", []any{"L5", uint64(5)}, []any{*a.Response.Items[0].Name, *a.Response.Items[0].NodeCount})
	v, err := s.tke.DescribeVersions(tke.NewDescribeVersionsRequest())
	if err != nil {
		t.Fatalf("DescribeVersions(...): %v", err)
	}
	check(t, "Versions.", "1.34.1", *v.Response.VersionInstanceSet[2].Version)

	c := s.cluster("u1")
	_, err = s.tke.CreateClusterNodePool(poolRequest(c, pool{name: "large", desired: 6}))
	check(t, "A level limits the nodes.", "LimitExceeded", code(err))
	np := s.pool(c, pool{name: "small", desired: 4})
	check(t, "Also later.", "LimitExceeded", code(s.resize(c, np, 6)))

	before := s.books().CostByKind[ledger.Cluster]
	m := tke.NewModifyClusterAttributeRequest()
	m.ClusterId, m.ClusterLevel = &c, p("L20")
	if _, err := s.tke.ModifyClusterAttribute(m); err != nil {
		t.Fatalf("ModifyClusterAttribute(...): %v", err)
	}
	check(t, "A higher level does not cost in hindsight.", before, s.books().CostByKind[ledger.Cluster], cmpopts.EquateApprox(0, 1e-9))
	s.Step(time.Hour)
	check(t, "But from now on.", before+0.4, s.books().CostByKind[ledger.Cluster], cmpopts.EquateApprox(0, 1e-6))
	check(t, "It allows more nodes.", "", code(s.resize(c, np, 6)))
	m.ClusterLevel, m.AutoUpgradeClusterLevel = nil, &tke.AutoUpgradeClusterLevel{IsAutoUpgrade: p(true)}
	if _, err := s.tke.ModifyClusterAttribute(m); err != nil {
		t.Fatalf("ModifyClusterAttribute(...): %v", err)
	}
	mp := tke.NewModifyClusterNodePoolRequest()
	mp.ClusterId, mp.NodePoolId, mp.MaxNodesNum = &c, &np, p(int64(100))
	if _, err := s.tke.ModifyClusterNodePool(mp); err != nil {
		t.Fatalf("ModifyClusterNodePool(...): %v", err)
	}
	s.Step(10 * time.Second)
	check(t, "It may rise by itself.", "", code(s.resize(c, np, 30)))
	s.Step(lag)
	check(t, "And does.", "L50", *s.listed()[0].ClusterLevel)
}

func TestDispatch(t *testing.T) {
	s := start(t, simtest.Options{})
	check(t, "An unknown action.", "InvalidAction", code(s.call("tke", "MakeCoffee", nil, nil)))
	check(t, "An unknown product.", "NoSuchProduct", code(s.call("coffee", "DescribeClusters", nil, nil)))
	versions["tke"] = "2022-05-01"
	check(t, "Another version.", "NoSuchVersion", code(s.call("tke", "DescribeClusters", nil, nil)))
	versions["tke"] = "2018-05-25"
	_, err := s.TKEClient(t, "eu-nowhere").DescribeClusters(tke.NewDescribeClustersRequest())
	check(t, "An unknown region.", "UnsupportedRegion", code(err))
	_, err = s.TKEClient(t, "").DescribeClusters(tke.NewDescribeClustersRequest())
	check(t, "No region.", "MissingParameter", code(err))
	check(t, "An unknown parameter.", "UnknownParameter", code(s.call("tke", "DescribeClusters", map[string]any{"Coffee": 1}, nil)))
	check(t, "A parameter of the wrong type.", "InvalidParameter", code(s.call("tke", "DescribeClusters", map[string]any{"ClusterIds": "cls-1"}, nil)))
	got := s.requests(requestlog.Filter{Service: "tke", Action: "MakeCoffee"})
	check(t, "The log names product, action and code.", []any{"tke", "InvalidAction", true, false, 200},
		[]any{got[0].Service, got[0].Code, got[0].Verified, got[0].Accepted, got[0].Status})
}
