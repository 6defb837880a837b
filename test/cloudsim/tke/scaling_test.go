package tke_test

import (
	"strings"
	"testing"
	"time"

	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

func TestStockOut(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	np := s.pool(c, pool{name: "general", desired: 1})
	s.shelf("S5.LARGE8", false, 0)
	check(t, "The call says nothing.", "", code(s.resize(c, np, 3)))
	check(t, "At first the activity does not either.", "RUNNING", s.activities(c, np)[0].StatusCode)
	s.Step(20 * time.Second)
	a := s.activities(c, np)[0]
	check(t, "Soon it does.", "FAILED", a.StatusCode)
	if !strings.Contains(a.StatusMessage, "Insufficient resources of S5.LARGE8 in ap-guangzhou-3") {
		t.Errorf("The message should name type and zone: %q", a.StatusMessage)
	}
	check(t, "In detail too.", []string{"ResourceInsufficient.SpecifiedInstanceType", zone, "S5.LARGE8", "POSTPAID_BY_HOUR"},
		[]string{a.DetailedStatusMessageSet[0].Code, a.DetailedStatusMessageSet[0].Zone, a.DetailedStatusMessageSet[0].InstanceType, a.DetailedStatusMessageSet[0].InstanceChargeType})
	check(t, "The pool is normal, and wants what it wanted.", shape{State: "normal", Desired: 3, Up: 1, Total: 1}, s.shape(c, np))
	s.Step(2 * time.Minute)
	acts := s.activities(c, np)
	check(t, "It tries again by itself, in vain.", true, len(acts) > 2 && acts[0].StatusCode == "FAILED")

	s.shelf("S5.LARGE8", false, 1)
	s.Step(30 * time.Second)
	acts = s.activities(c, np)
	check(t, "One is there.", "PARTIALLY_SUCCESSFUL", func() string {
		for _, a := range acts {
			if len(a.ActivityRelatedInstanceSet) == 1 && a.StatusCode == "RUNNING" {
				s.Step(time.Minute)
				return s.find(c, np, a.ActivityId).StatusCode
			}
			if a.StatusCode == "PARTIALLY_SUCCESSFUL" {
				return a.StatusCode
			}
		}
		return ""
	}())
	s.shelf("S5.LARGE8", false, 10)
	s.Step(4 * time.Minute)
	check(t, "More fill it up.", shape{State: "normal", Desired: 3, Up: 3, Total: 3}, s.shape(c, np))
}

func (s *sim) find(c, np, id string) activity {
	for _, a := range s.activities(c, np) {
		if a.ActivityId == id {
			return a
		}
	}
	return activity{}
}

// ended is the last activity that has ended.
func (s *sim) ended(c, np string) activity {
	for _, a := range s.activities(c, np) {
		if a.StatusCode != "RUNNING" {
			return a
		}
	}
	return activity{DetailedStatusMessageSet: []struct{ Code, Zone, InstanceType, InstanceChargeType string }{{}}}
}

func TestPartialFill(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	s.shelf("S5.LARGE8", false, 2)
	np := s.pool(c, pool{name: "general", desired: 4})
	check(t, "What there is comes.", shape{State: "normal", Desired: 4, Up: 2, Total: 2}, s.shape(c, np))
	acts := s.activities(c, np)
	first := acts[len(acts)-1]
	check(t, "The first activity found two.", []any{"PARTIALLY_SUCCESSFUL", 2}, []any{first.StatusCode, len(first.ActivityRelatedInstanceSet)})
	check(t, "A lower size ends it.", "", code(s.resize(c, np, 2)))
	n := len(s.activities(c, np))
	s.Step(5 * time.Minute)
	check(t, "Without another try.", n, len(s.activities(c, np)))
}

func TestNoRetry(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	s.shelf("S5.LARGE8", false, 0)
	np := s.pool(c, pool{name: "general", desired: 1, retry: "NO_RETRY"})
	s.shelf("S5.LARGE8", false, 5)
	s.Step(5 * time.Minute)
	check(t, "A group that does not retry stays as it is.", shape{State: "normal", Desired: 1}, s.shape(c, np))
	check(t, "It tried once.", 1, len(s.activities(c, np)))
}

func TestFallback(t *testing.T) {
	cases := map[string]struct {
		reason string
		pool   pool
		empty  []stock.Key
		want   []string
	}{
		"First":     {reason: "The first type in the first subnet.", pool: pool{types: []string{"S5.LARGE8", "SA5.LARGE8"}, subnets: []string{"subnet-gz1", "subnet-gz2"}}, want: []string{"S5.LARGE8", "100003"}},
		"OtherZone": {reason: "The same type elsewhere.", pool: pool{types: []string{"S5.LARGE8", "SA5.LARGE8"}, subnets: []string{"subnet-gz1", "subnet-gz2"}}, empty: []stock.Key{{Zone: zone, Type: "S5.LARGE8"}}, want: []string{"S5.LARGE8", "100006"}},
		"OtherType": {reason: "Another type.", pool: pool{types: []string{"S5.LARGE8", "SA5.LARGE8"}, subnets: []string{"subnet-gz1"}}, empty: []stock.Key{{Zone: zone, Type: "S5.LARGE8"}}, want: []string{"SA5.LARGE8", "100003"}},
		"Spot":      {reason: "Spot has a stock of its own.", pool: pool{charge: "SPOTPAID"}, empty: []stock.Key{{Zone: zone, Type: "S5.LARGE8"}}, want: []string{"S5.LARGE8", "100003"}},
		"SpotNone":  {reason: "It does not turn to another.", pool: pool{charge: "SPOTPAID"}, empty: []stock.Key{{Zone: zone, Type: "S5.LARGE8", Spot: true}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			c := s.cluster("u1")
			for _, k := range tc.empty {
				k.Region = region
				if err := s.Admin.SetStock(t.Context(), stock.Item{Key: k}); err != nil {
					t.Fatalf("SetStock(...): %v", err)
				}
			}
			tc.pool.name, tc.pool.desired = "general", 1
			s.pool(c, tc.pool)
			var got []string
			for _, name := range s.Memory.Cluster(c).Nodes() {
				n, _ := s.Memory.Cluster(c).Node(name)
				got = append(got, n.Labels["node.kubernetes.io/instance-type"], n.Labels["topology.kubernetes.io/zone"])
			}
			check(t, tc.reason, tc.want, got)
		})
	}
}

func TestModifyInstanceTypes(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	s.shelf("S5.LARGE8", false, -1)
	np := s.pool(c, pool{name: "general", desired: 2})
	a := s.ended(c, np)
	check(t, "What is not on sale says so.", []string{"FAILED", "InvalidParameterValue.InsufficientOffering"}, []string{a.StatusCode, a.DetailedStatusMessageSet[0].Code})
	r := tke.NewModifyNodePoolInstanceTypesRequest()
	r.ClusterId, r.NodePoolId, r.InstanceTypes = &c, &np, []*string{p("X1.TINY")}
	_, err := s.tke.ModifyNodePoolInstanceTypes(r)
	check(t, "An unknown type.", "InvalidParameter.Param", code(err))
	r.InstanceTypes = []*string{p("SA5.LARGE8")}
	_, err = s.tke.ModifyNodePoolInstanceTypes(r)
	check(t, "The first type must stay.", "InvalidParameter.Param", code(err))
	r.InstanceTypes = []*string{p("S5.LARGE8"), p("SA5.LARGE8")}
	if _, err := s.tke.ModifyNodePoolInstanceTypes(r); err != nil {
		t.Fatalf("ModifyNodePoolInstanceTypes(...): %v", err)
	}
	s.Step(4 * time.Minute)
	check(t, "Another type helps, in the same pool.", shape{State: "normal", Desired: 2, Up: 2, Total: 2}, s.shape(c, np))
}

func TestSubnetFull(t *testing.T) {
	s := start(t, simtest.Options{})
	q := clusterRequest("u1")
	q.ClusterBasicSettings.VpcId = p("vpc-gz2")
	q.ClusterBasicSettings.ClusterLevel = p("L20")
	r, err := s.tke.CreateCluster(q)
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	s.Step(11 * time.Minute)
	c := *r.Response.ClusterId
	nq := poolRequest(c, pool{name: "general", desired: 15, subnets: []string{"subnet-gz3"}})
	edit(nq.AutoScalingGroupPara, "VpcId", "vpc-gz2")
	a, err := s.tke.CreateClusterNodePool(nq)
	if err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	s.Step(5 * time.Minute)
	check(t, "A subnet of 16 addresses has room for 13.", int64(13), s.shape(c, *a.Response.NodePoolId).Total)
	check(t, "The rest is short of addresses.", "ResourceInsufficient.SubnetIp", s.ended(c, *a.Response.NodePoolId).DetailedStatusMessageSet[0].Code)
}

func TestNodeFaults(t *testing.T) {
	cases := map[string]struct {
		reason string
		rule   faults.Rule
		charge string
		after  time.Duration
		want   []string // states of the instances
	}{
		"Never":     {reason: "A node that never comes is failed after a quarter of an hour.", rule: faults.Rule{Kind: faults.NodeNeverReady}, after: 16 * time.Minute, want: []string{"failed"}},
		"NeverYet":  {reason: "Until then it is on its way.", rule: faults.Rule{Kind: faults.NodeNeverReady}, after: 10 * time.Minute, want: []string{"initializing"}},
		"Offline":   {reason: "A node falls silent.", rule: faults.Rule{Kind: faults.NodeOffline}, after: 5 * time.Minute, want: []string{"failed"}},
		"Flap":      {reason: "And comes back.", rule: faults.Rule{Kind: faults.NodeFlap}, after: 6 * time.Minute, want: []string{"running"}},
		"Two":       {reason: "Two come for one.", rule: faults.Rule{Kind: faults.Desired1Starts2, Action: "CreateClusterNodePool"}, after: 6 * time.Minute, want: []string{"running", "running"}},
		"SpotQuota": {reason: "No quota for spot.", rule: faults.Rule{Kind: faults.Quota, Action: "Node"}, charge: "SPOTPAID", after: 5 * time.Minute, want: []string{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			s.fault(tc.rule)
			c := s.cluster("u1")
			r, err := s.tke.CreateClusterNodePool(poolRequest(c, pool{name: "general", desired: 1, charge: tc.charge}))
			if err != nil {
				t.Fatalf("CreateClusterNodePool(...): %v", err)
			}
			s.Step(tc.after)
			s.nodes(c)
			q := tke.NewDescribeClusterInstancesRequest()
			q.ClusterId = &c
			a, err := s.tke.DescribeClusterInstances(q)
			if err != nil {
				t.Fatalf("DescribeClusterInstances(...): %v", err)
			}
			got := []string{}
			for _, i := range a.Response.InstanceSet {
				got = append(got, *i.InstanceState)
			}
			check(t, tc.reason, tc.want, got)
			if name == "SpotQuota" {
				check(t, "It shows in the activity.", "LimitExceeded.SpotQuota", s.ended(c, *r.Response.NodePoolId).DetailedStatusMessageSet[0].Code)
			}
		})
	}
}

func TestSpotReclaim(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	np := s.pool(c, pool{name: "general", desired: 1, charge: "SPOTPAID"})
	id := s.nodes(c)[0]
	name := s.Memory.Cluster(c).Nodes()[0]
	for _, o := range s.books().Live {
		if o.Kind == ledger.CVM {
			check(t, "Spot is cheap.", true, o.Hourly < 0.2)
		}
	}
	if err := s.Admin.NodeEvent(t.Context(), id, "reclaim"); err != nil {
		t.Fatalf("NodeEvent(...): %v", err)
	}
	s.Step(119 * time.Second)
	cond, ok := s.Memory.Cluster(c).NodeCondition(name, "SpotTermination")
	check(t, "There are two minutes, and a condition says so.", []any{true, "True"}, []any{ok, string(cond.Status)})
	check(t, "In which the node is there.", []string{name}, s.Memory.Cluster(c).Nodes())
	s.Step(2 * time.Second)
	check(t, "Then it is gone.", []string{}, s.Memory.Cluster(c).Nodes())
	s.Step(5 * time.Minute)
	ids := s.nodes(c)
	check(t, "And replaced.", true, len(ids) == 1 && ids[0] != id)
	check(t, "The size is what it was.", int64(1), s.shape(c, np).Desired)
}

func TestEqualSubnets(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	q := poolRequest(c, pool{name: "general", desired: 4, subnets: []string{"subnet-gz1", "subnet-gz2"}})
	edit(q.AutoScalingGroupPara, "MultiZoneSubnetPolicy", "EQUALITY")
	if _, err := s.tke.CreateClusterNodePool(q); err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	s.Step(5 * time.Minute)
	got := map[string]int{}
	for _, name := range s.Memory.Cluster(c).Nodes() {
		n, _ := s.Memory.Cluster(c).Node(name)
		got[n.Labels["topology.kubernetes.io/zone"]]++
	}
	check(t, "Half of them in each zone.", map[string]int{"100003": 2, "100006": 2}, got)
}
