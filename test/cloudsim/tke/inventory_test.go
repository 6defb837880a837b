package tke_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// must call an action that is expected to work.
func (s *sim) must(product, action string, params map[string]any, into any) {
	s.t.Helper()
	if err := s.call(product, action, params, into); err != nil {
		s.t.Fatalf("%s(...): %v", action, err)
	}
}

func TestNetworkInventory(t *testing.T) {
	s := start(t, simtest.Options{})
	type subnet struct {
		SubnetId, VpcId, Zone, CidrBlock             string
		AvailableIpAddressCount, TotalIpAddressCount int
	}
	var subnets struct{ SubnetSet []subnet }
	s.must("vpc", "DescribeSubnets", map[string]any{"SubnetIds": []string{"subnet-gz1"}, "Limit": "10", "Offset": "0"}, &subnets)
	check(t, "A subnet with its zone and addresses.", []subnet{{
		SubnetId: "subnet-gz1", VpcId: "vpc-gz1", Zone: zone, CidrBlock: "10.0.0.0/20", AvailableIpAddressCount: 4093, TotalIpAddressCount: 4093,
	}}, subnets.SubnetSet)
	s.must("vpc", "DescribeSubnets", map[string]any{"Filters": filters("vpc-id", "vpc-gz1")}, &subnets)
	check(t, "The subnets of a VPC.", 2, len(subnets.SubnetSet))
	s.must("vpc", "DescribeSubnets", map[string]any{"Filters": filters("zone", "ap-guangzhou-6")}, &subnets)
	check(t, "The subnets of a zone.", 1, len(subnets.SubnetSet))
	check(t, "An unknown subnet.", "ResourceNotFound", code(s.call("vpc", "DescribeSubnets", map[string]any{"SubnetIds": []string{"subnet-x"}}, nil)))

	var vpcs struct {
		VpcSet []struct{ VpcId, CidrBlock string }
	}
	s.must("vpc", "DescribeVpcs", nil, &vpcs)
	check(t, "VPCs.", 2, len(vpcs.VpcSet))

	c := s.cluster("u1")
	s.pool(c, pool{name: "general", desired: 2})
	sp := s.superPool(c, "subnet-gz1")
	names, _ := s.phases(c, sp)
	s.bind(c, names[0], "web-0")
	s.must("vpc", "DescribeSubnets", map[string]any{"SubnetIds": []string{"subnet-gz1"}}, &subnets)
	check(t, "Nodes and pods on super nodes need addresses.", 4090, subnets.SubnetSet[0].AvailableIpAddressCount)

	var groups struct {
		SecurityGroupSet []struct{ SecurityGroupId, SecurityGroupName string }
	}
	s.must("vpc", "DescribeSecurityGroups", map[string]any{"Filters": filters("tag:tke-clusterId", c)}, &groups)
	check(t, "A cluster has a security group.", "tke-worker-security-for-"+c, groups.SecurityGroupSet[0].SecurityGroupName)
	s.must("vpc", "DescribeSecurityGroups", nil, &groups)
	check(t, "Another was there before.", 2, len(groups.SecurityGroupSet))
	var enis struct {
		NetworkInterfaceSet []struct{ NetworkInterfaceId string }
	}
	s.must("vpc", "DescribeNetworkInterfaces", map[string]any{"Filters": filters("tag:tke-clusterId", c)}, &enis)
	check(t, "And an interface.", 1, len(enis.NetworkInterfaceSet))
	var none struct{ TotalCount int }
	s.must("vpc", "DescribeNatGateways", map[string]any{"Filters": filters("vpc-id", "vpc-gz1")}, &none)
	s.must("vpc", "DescribeAddresses", map[string]any{"Filters": filters("tag:tke-clusterId", c)}, &none)
	check(t, "TKE makes no NAT gateways and no addresses.", 0, none.TotalCount)

	check(t, "An endpoint.", "", code(s.open(c, false)))
	s.Step(time.Minute)
	if _, err := s.Memory.Cluster(c).Hooks.EnsureLoadBalancer(c, "svc", "default/web"); err != nil {
		t.Fatalf("EnsureLoadBalancer(...): %v", err)
	}
	type balancer struct {
		LoadBalancerId, LoadBalancerName, LoadBalancerType string
		Tags                                               []struct{ TagKey, TagValue string }
	}
	var lbs struct{ LoadBalancerSet []balancer }
	s.must("clb", "DescribeLoadBalancers", map[string]any{"Filters": filters("tag:tke-clusterId", c)}, &lbs)
	check(t, "Both balancers.", []string{"INTERNAL", "OPEN"}, []string{lbs.LoadBalancerSet[0].LoadBalancerType, lbs.LoadBalancerSet[1].LoadBalancerType})
	check(t, "One of a Service.", "default/web", lbs.LoadBalancerSet[1].LoadBalancerName)
	if err := s.drop(c, nil); err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	s.Step(10 * time.Minute)
	s.must("clb", "DescribeLoadBalancers", map[string]any{"Filters": filters("tag-key", "tke-clusterId")}, &lbs)
	check(t, "The Service's outlives its cluster.", 1, len(lbs.LoadBalancerSet))
	s.must("clb", "DeleteLoadBalancer", map[string]any{"LoadBalancerIds": []string{lbs.LoadBalancerSet[0].LoadBalancerId}}, nil)
	check(t, "Until somebody deletes it.", map[ledger.Kind]int{}, live(s.books()))
	check(t, "Once.", "InvalidParameter.LBIdNotFound", code(s.call("clb", "DeleteLoadBalancer", map[string]any{"LoadBalancerIds": []string{"lb-x"}}, nil)))
}

func TestLeftBehind(t *testing.T) {
	s := start(t, simtest.Options{})
	s.fault(faults.Rule{Kind: faults.LeaveBehind})
	c := s.cluster("u1")
	s.pool(c, pool{name: "general"})
	check(t, "An endpoint.", "", code(s.open(c, false)))
	s.Step(time.Minute)
	ids := map[ledger.Kind]string{}
	for _, o := range s.books().Live {
		ids[o.Kind] = o.ID
	}
	group := map[string]any{"SecurityGroupId": ids[ledger.SecurityGroup]}
	check(t, "What a cluster needs stays.", "UnsupportedOperation.InvalidState", code(s.call("vpc", "DeleteSecurityGroup", group, nil)))
	check(t, "Deletion.", "", code(s.drop(c, nil)))
	s.Step(10 * time.Minute)
	check(t, "All that can be left is left.", []ledger.Kind{ledger.ASGroup, ledger.EndpointCLB, ledger.ENI, ledger.LaunchConfig, ledger.SecurityGroup}, leaked(s.books()))
	var launch struct {
		LaunchConfigurationSet []struct{ LaunchConfigurationId string }
	}
	s.must("as", "DescribeLaunchConfigurations", map[string]any{"Filters": filters("tag-key", "tke-clusterId")}, &launch)
	s.must("as", "DeleteAutoScalingGroup", map[string]any{"AutoScalingGroupId": ids[ledger.ASGroup]}, nil)
	s.must("as", "DeleteLaunchConfiguration", map[string]any{"LaunchConfigurationId": launch.LaunchConfigurationSet[0].LaunchConfigurationId}, nil)
	s.must("vpc", "DeleteSecurityGroup", group, nil)
	s.must("vpc", "DeleteNetworkInterface", map[string]any{"NetworkInterfaceId": ids[ledger.ENI]}, nil)
	s.must("clb", "DeleteLoadBalancer", map[string]any{"LoadBalancerIds": []string{ids[ledger.EndpointCLB]}}, nil)
	check(t, "And can be cleaned up.", map[ledger.Kind]int{}, live(s.books()))
	for action, params := range map[string]map[string]any{
		"DeleteSecurityGroup": group, "DeleteNetworkInterface": {"NetworkInterfaceId": "eni-x"}, "DeleteNatGateway": {"NatGatewayId": "nat-x"},
	} {
		check(t, "Once.", "ResourceNotFound", code(s.call("vpc", action, params, nil)))
	}
	check(t, "An address.", "InvalidAddressId.NotFound", code(s.call("vpc", "ReleaseAddresses", map[string]any{"AddressIds": []string{"eip-x"}}, nil)))
}

func TestControllers(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	h := s.Memory.Cluster(c).Hooks
	first, err := h.EnsureLoadBalancer(c, "svc", "default/web")
	if err != nil {
		t.Fatalf("EnsureLoadBalancer(...): %v", err)
	}
	again, err := h.EnsureLoadBalancer(c, "svc", "default/web")
	check(t, "A Service has one balancer.", []any{first, nil}, []any{again, err})
	disk, err := h.EnsureVolume(c, "pvc", "default/data", 20)
	if err != nil {
		t.Fatalf("EnsureVolume(...): %v", err)
	}
	same, err := h.EnsureVolume(c, "pvc", "default/data", 20)
	check(t, "A claim has one disk.", []any{disk, nil}, []any{same, err})
	h.ReleaseLoadBalancer(c, "svc")
	h.ReleaseVolume(c, "pvc")
	h.ReleaseVolume(c, "pvc")
	check(t, "They give them back.", []int{0, 0}, []int{live(s.books())[ledger.ServiceCLB], live(s.books())[ledger.CBS]})
	if _, err := h.EnsureVolume("cls-x", "pvc", "default/data", 20); err == nil {
		t.Errorf("A cluster that does not exist has no disks")
	}
	if _, err := h.EnsureLoadBalancer("cls-x", "svc", "default/web"); err == nil {
		t.Errorf("A cluster that does not exist has no balancers")
	}
}

func TestMachineInventory(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	np := s.pool(c, pool{name: "general", desired: 2})
	type machine struct {
		InstanceId, InstanceType, InstanceState, InstanceChargeType string
		PrivateIpAddresses                                          []string
		Tags                                                        []struct{ Key, Value string }
	}
	var cvms struct{ InstanceSet []machine }
	s.must("cvm", "DescribeInstances", map[string]any{"Filters": filters("tag:regionpool.io/uid", "uid-general")}, &cvms)
	check(t, "Nodes carry the tags of their pool.", []any{2, "RUNNING", "S5.LARGE8"}, []any{len(cvms.InstanceSet), cvms.InstanceSet[0].InstanceState, cvms.InstanceSet[0].InstanceType})
	s.must("cvm", "DescribeInstances", map[string]any{"Filters": filters("tag:tke-clusterId", c)}, &cvms)
	check(t, "And that of their cluster.", 2, len(cvms.InstanceSet))

	type volume struct {
		DiskId, DiskUsage, DiskState, InstanceId string
		DiskSize                                 int
	}
	var disks struct{ DiskSet []volume }
	s.must("cbs", "DescribeDisks", map[string]any{"Filters": filters("tag:tke-clusterId", c)}, &disks)
	check(t, "Disks too.", []any{2, "SYSTEM_DISK", "ATTACHED", 50},
		[]any{len(disks.DiskSet), disks.DiskSet[0].DiskUsage, disks.DiskSet[0].DiskState, disks.DiskSet[0].DiskSize})
	check(t, "One in use stays.", "InvalidDisk.Busy", code(s.call("cbs", "TerminateDisks", map[string]any{"DiskIds": []string{disks.DiskSet[0].DiskId}}, nil)))

	id := cvms.InstanceSet[0].InstanceId
	s.must("cvm", "TerminateInstances", map[string]any{"InstanceIds": []string{id}}, nil)
	s.Step(time.Second)
	check(t, "A node that is terminated is gone at once.", 1, len(s.Memory.Cluster(c).Nodes()))
	s.Step(4 * time.Minute)
	check(t, "The group replaces it.", shape{State: "normal", Desired: 2, Up: 2, Total: 2}, s.shape(c, np))
	check(t, "Once.", "InvalidInstanceId.NotFound", code(s.call("cvm", "TerminateInstances", map[string]any{"InstanceIds": []string{id}}, nil)))

	if _, err := s.Memory.Cluster(c).Hooks.EnsureVolume(c, "pvc", "default/data", 20); err != nil {
		t.Fatalf("EnsureVolume(...): %v", err)
	}
	if err := s.drop(c, func(r *tke.DeleteClusterRequest) { r.InstanceDeleteMode = p("retain") }); err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	s.Step(10 * time.Minute)
	s.must("cbs", "DescribeDisks", map[string]any{"Filters": filters("disk-state", "UNATTACHED")}, &disks)
	check(t, "The claim's disk is left.", 1, len(disks.DiskSet))
	s.must("cbs", "TerminateDisks", map[string]any{"DiskIds": []string{disks.DiskSet[0].DiskId}}, nil)

	var groups struct {
		AutoScalingGroupSet []struct {
			AutoScalingGroupId, LaunchConfigurationId string
			Tags                                      []struct{ Key, Value string }
		}
	}
	s.must("as", "DescribeAutoScalingGroups", map[string]any{"Filters": filters("tag:tke-clusterId", c)}, &groups)
	check(t, "So is the scaling group.", 1, len(groups.AutoScalingGroupSet))
	g := groups.AutoScalingGroupSet[0]
	launch := map[string]any{"LaunchConfigurationId": g.LaunchConfigurationId}
	check(t, "It uses its launch configuration.", "ResourceInUse.LaunchConfigurationIdInUse", code(s.call("as", "DeleteLaunchConfiguration", launch, nil)))
	s.must("as", "DeleteAutoScalingGroup", map[string]any{"AutoScalingGroupId": g.AutoScalingGroupId}, nil)
	s.must("as", "DeleteLaunchConfiguration", launch, nil)
	s.must("cvm", "DescribeInstances", map[string]any{"Filters": filters("tag:tke-clusterId", c)}, &cvms)
	check(t, "And the nodes.", 2, len(cvms.InstanceSet))
	s.must("cvm", "TerminateInstances", map[string]any{"InstanceIds": []string{cvms.InstanceSet[0].InstanceId, cvms.InstanceSet[1].InstanceId}}, nil)
	check(t, "Then nothing is left.", map[ledger.Kind]int{}, live(s.books()))
}

func TestScalingGroups(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	s.shelf("S5.LARGE8", false, 1)
	s.pool(c, pool{name: "general", desired: 2})
	type group struct {
		AutoScalingGroupId, VpcId, InActivityStatus string
		DesiredCapacity, InstanceCount, MaxSize     int
		SubnetIdSet                                 []string
	}
	var groups struct{ AutoScalingGroupSet []group }
	s.must("as", "DescribeAutoScalingGroups", map[string]any{"Filters": filters("tag:regionpool.io/uid", "uid-general")}, &groups)
	check(t, "A group knows what it has and what it wants.", []group{{VpcId: "vpc-gz1", DesiredCapacity: 2, InstanceCount: 1, MaxSize: 20, SubnetIdSet: []string{"subnet-gz1"}}},
		groups.AutoScalingGroupSet, cmpopts.IgnoreFields(group{}, "AutoScalingGroupId", "InActivityStatus"))
	check(t, "It is not deleted under a node pool.", "ResourceInUse.InstanceInGroup",
		code(s.call("as", "DeleteAutoScalingGroup", map[string]any{"AutoScalingGroupId": groups.AutoScalingGroupSet[0].AutoScalingGroupId}, nil)))
	var acts struct {
		TotalCount  int
		ActivitySet []activity
	}
	s.must("as", "DescribeAutoScalingActivities", map[string]any{"Filters": filters("activity-status-code", "FAILED"), "Limit": 1}, &acts)
	check(t, "Activities by state, in pages.", []any{true, 1}, []any{acts.TotalCount > 1, len(acts.ActivitySet)})
	s.must("as", "DescribeAutoScalingActivities", map[string]any{"ActivityIds": []string{acts.ActivitySet[0].ActivityId}}, &acts)
	check(t, "Or by id.", 1, acts.TotalCount)
}

func TestOffers(t *testing.T) {
	type price struct {
		UnitPrice, UnitPriceDiscount any
		ChargeUnit                   string
	}
	type offer struct {
		Zone, InstanceType, InstanceChargeType, Status, StatusCategory string
		Cpu, Memory                                                    int
		Price                                                          price
	}
	large := offer{
		Zone: zone, InstanceType: "S5.LARGE8", InstanceChargeType: "POSTPAID_BY_HOUR", Status: "SELL", StatusCategory: "EnoughStock", Cpu: 4, Memory: 8,
		Price: price{UnitPrice: 0.68, UnitPriceDiscount: 0.68, ChargeUnit: "HOUR"},
	}
	with := func(f func(*offer)) []offer {
		o := large
		f(&o)
		return []offer{o}
	}
	cases := map[string]struct {
		reason string
		setup  func(*sim)
		charge string
		want   []offer
	}{
		"Normal": {reason: "An offer.", want: []offer{large}},
		"Spot": {reason: "Spot has a price of its own, beside the full one.", charge: "SPOTPAID", want: with(func(o *offer) {
			o.InstanceChargeType, o.Price.UnitPriceDiscount = "SPOTPAID", 0.136
		})},
		"SoldOut": {reason: "Sold out.", setup: func(s *sim) { s.shelf("S5.LARGE8", false, 0) }, want: with(func(o *offer) { o.Status, o.StatusCategory = "SOLD_OUT", "WithoutStock" })},
		"Scarce":  {reason: "Nearly sold out.", setup: func(s *sim) { s.shelf("S5.LARGE8", false, 5) }, want: with(func(o *offer) { o.StatusCategory = "UnderStock" })},
		"NotSold": {reason: "Not on sale.", setup: func(s *sim) { s.shelf("S5.LARGE8", false, -1) }},
		"Moved": {reason: "A price that has moved.", setup: func(s *sim) {
			_ = s.Admin.SetPrice(s.t.Context(), stock.Price{Key: stock.Key{Type: "S5.LARGE8"}, Factor: 2})
		}, want: with(func(o *offer) { o.Price.UnitPrice, o.Price.UnitPriceDiscount = 1.36, 1.36 })},
		"WrongPrice": {reason: "A price that is a lie.", setup: func(s *sim) { s.fault(faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "-1"}}) }, want: with(func(o *offer) {
			o.Price.UnitPrice, o.Price.UnitPriceDiscount = -0.68, -0.68
		})},
		"NoPrice": {reason: "A price that is no number.", setup: func(s *sim) { s.fault(faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "NaN"}}) }, want: with(func(o *offer) {
			o.Price.UnitPrice, o.Price.UnitPriceDiscount = "NaN", "NaN"
		})},
		"WrongStock": {reason: "A stock that is a lie.", setup: func(s *sim) {
			s.shelf("S5.LARGE8", false, 0)
			s.fault(faults.Rule{Kind: faults.WrongStock, Selector: map[string]string{"zone": zone, "charge": "ondemand"}})
		}, want: with(func(o *offer) { o.StatusCategory = "UnderStock" })},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			if tc.setup != nil {
				tc.setup(s)
			}
			charge := tc.charge
			if charge == "" {
				charge = "POSTPAID_BY_HOUR"
			}
			var got struct{ InstanceTypeQuotaSet []offer }
			s.must("cvm", "DescribeZoneInstanceConfigInfos", map[string]any{
				"Filters": filters("zone", zone, "instance-type", "S5.LARGE8", "instance-charge-type", charge),
			}, &got)
			check(t, tc.reason, tc.want, got.InstanceTypeQuotaSet, cmpopts.EquateApprox(0, 1e-9), cmpopts.EquateEmpty())
		})
	}
	s := start(t, simtest.Options{})
	var all struct{ InstanceTypeQuotaSet []offer }
	s.must("cvm", "DescribeZoneInstanceConfigInfos", nil, &all)
	check(t, "Every type in every zone, both ways to pay.", 21*2*2, len(all.InstanceTypeQuotaSet))
}

func TestTags(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	name := "qcs::ccs:" + region + ":uin/1:cluster/" + c
	s.must("tag", "TagResources", map[string]any{"ResourceList": []string{name}, "Tags": []map[string]string{{"TagKey": "a", "TagValue": "b"}}}, nil)
	s.Step(lag)
	tagged := func(kv string) int {
		return len(s.listed(&tke.Filter{Name: p("Tags"), Values: []*string{&kv}}))
	}
	check(t, "A tag more.", []int{1, 1}, []int{tagged("a:b"), tagged("regionpool.io/uid:u1")})
	var rows struct {
		Rows []struct{ TagKey, TagValue string }
	}
	s.must("tag", "DescribeResourceTags", map[string]any{"ResourceId": c}, &rows)
	check(t, "They can be read.", 2, len(rows.Rows))
	s.must("tag", "UnTagResources", map[string]any{"ResourceList": []string{name}, "TagKeys": []string{"regionpool.io/uid"}}, nil)
	s.Step(lag)
	check(t, "And taken away.", []int{1, 0}, []int{tagged("a:b"), tagged("regionpool.io/uid:u1")})
	check(t, "An unknown resource.", "ResourceNotFound", code(s.call("tag", "TagResources", map[string]any{"ResourceList": []string{name + "x"}}, nil)))
	check(t, "No resource at all.", "InvalidParameterValue.ResourceDescriptionError", code(s.call("tag", "TagResources", map[string]any{"ResourceList": []string{c}}, nil)))
}
