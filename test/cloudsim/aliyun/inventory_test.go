package aliyun_test

import (
	"slices"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/eci"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/slb"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// TestInventory finds all that a cluster is made of by ACK's tag, and what a pool
// is made of by the pool's own.
func TestInventory(t *testing.T) {
	s := start(t, nil)
	k, _ := s.cluster()
	if _, err := s.ACK.EnsureLoadBalancer(k, "svc", "default/web"); err != nil {
		t.Fatalf("EnsureLoadBalancer(...): %v", err)
	}
	if _, err := s.ACK.EnsureVolume(k, "pvc", "default/data", 20); err != nil {
		t.Fatalf("EnsureVolume(...): %v", err)
	}
	s.Step(lag)
	const ackTag = "ack.aliyun.com"

	got := map[string]int{}
	di := ecs.CreateDescribeInstancesRequest()
	di.Tag = &[]ecs.DescribeInstancesTag{{Key: uidTag, Value: "uid-pool"}, {Key: ackTag}}
	instances := call(s, s.ecs.DescribeInstances, di, di.RpcRequest).Instances.Instance
	got["instances"] = len(instances)
	dd := ecs.CreateDescribeDisksRequest()
	dd.Tag = &[]ecs.DescribeDisksTag{{Key: ackTag, Value: k}}
	disks := call(s, s.ecs.DescribeDisks, dd, dd.RpcRequest).Disks.Disk
	got["disks"] = len(disks)
	dn := ecs.CreateDescribeNetworkInterfacesRequest()
	dn.Tag = &[]ecs.DescribeNetworkInterfacesTag{{Key: ackTag, Value: k}}
	got["enis"] = len(call(s, s.ecs.DescribeNetworkInterfaces, dn, dn.RpcRequest).NetworkInterfaceSets.NetworkInterfaceSet)
	dg := ecs.CreateDescribeSecurityGroupsRequest()
	dg.Tag = &[]ecs.DescribeSecurityGroupsTag{{Key: ackTag, Value: k}}
	got["groups"] = len(call(s, s.ecs.DescribeSecurityGroups, dg, dg.RpcRequest).SecurityGroups.SecurityGroup)
	vn := vpc.CreateDescribeNatGatewaysRequest()
	vn.Tag = &[]vpc.DescribeNatGatewaysTag{{Key: ackTag, Value: k}}
	got["nats"] = len(call(s, s.vpc.DescribeNatGateways, vn, vn.RpcRequest).NatGateways.NatGateway)
	ve := vpc.CreateDescribeEipAddressesRequest()
	ve.Tag = &[]vpc.DescribeEipAddressesTag{{Key: ackTag, Value: k}}
	eips := call(s, s.vpc.DescribeEipAddresses, ve, ve.RpcRequest).EipAddresses.EipAddress
	got["eips"] = len(eips)
	sb := slb.CreateDescribeLoadBalancersRequest()
	sb.Tags = `[{"TagKey":"ack.aliyun.com","TagValue":"` + k + `"}]`
	balancers := call(s, s.slb.DescribeLoadBalancers, sb, sb.RpcRequest).LoadBalancers.LoadBalancer
	got["balancers"] = len(balancers)
	check(t, "Everything of the cluster is found by its tag.", map[string]int{
		"instances": 2, "disks": 3, "enis": 2, "groups": 1, "nats": 1, "eips": 2, "balancers": 2,
	}, got)

	type instance struct {
		Status, Type, Zone, Charge, Spot, VPC, VSwitch string
		CPU, Memory                                    int
		Addresses, Groups                              int
	}
	i := instances[0]
	check(t, "An instance is shown as it is.", instance{"Running", "ecs.g7.xlarge", zone, "PostPaid", "NoSpot", "vpc-1", "vsw-1", 4, 16384, 1, 1}, instance{
		i.Status, i.InstanceType, i.ZoneId, i.InstanceChargeType, i.SpotStrategy, i.VpcAttributes.VpcId, i.VpcAttributes.VSwitchId, i.Cpu, i.Memory,
		len(i.VpcAttributes.PrivateIpAddress.IpAddress), len(i.SecurityGroupIds.SecurityGroupId),
	})
	tags := map[string]string{}
	for _, tag := range i.Tags.Tag {
		tags[tag.TagKey] = tag.TagValue
	}
	check(t, "It carries the pool's tags and ACK's.", []string{"uid-pool", k}, []string{tags[uidTag], tags[ackTag]})
	if _, err := time.Parse("2006-01-02T15:04Z", i.CreationTime); err != nil {
		t.Errorf("CreationTime: %v", err)
	}
	check(t, "A disk belongs to its instance.", []any{instances[0].InstanceId, 100, "system", "In_use"}, []any{disks[0].InstanceId, disks[0].Size, disks[0].Type, disks[0].Status})
	check(t, "A claim's disk has no instance.", []any{"", 20, "data"}, []any{disks[2].InstanceId, disks[2].Size, disks[2].Type})
	check(t, "Addresses are bound.", []string{"InUse", "InUse"}, []string{eips[0].Status, eips[1].Status})
	check(t, "Load balancers are named.", []string{"ManagedK8SSlbIntranet-" + k, "default/web"}, []string{balancers[0].LoadBalancerName, balancers[1].LoadBalancerName})
}

// TestFilters narrows lists down.
func TestFilters(t *testing.T) {
	s := start(t, nil)
	s.cluster()
	s.Step(lag)
	all := s.instances(nil).Instances.Instance
	if len(all) != 2 {
		t.Fatalf("There are %d instances", len(all))
	}
	first := all[0].InstanceId
	cases := map[string]struct {
		reason string
		change func(*ecs.DescribeInstancesRequest)
		want   int
	}{
		"Ids":        {reason: "By id.", change: func(r *ecs.DescribeInstancesRequest) { r.InstanceIds = `["` + first + `"]` }, want: 1},
		"UnknownId":  {reason: "An id nobody has is no error.", change: func(r *ecs.DescribeInstancesRequest) { r.InstanceIds = `["i-none"]` }},
		"Zone":       {reason: "By zone.", change: func(r *ecs.DescribeInstancesRequest) { r.ZoneId = zone }, want: 2},
		"OtherZone":  {reason: "By another zone.", change: func(r *ecs.DescribeInstancesRequest) { r.ZoneId = "cn-hangzhou-i" }},
		"Status":     {reason: "By status.", change: func(r *ecs.DescribeInstancesRequest) { r.Status = "Stopped" }},
		"VPC":        {reason: "By VPC.", change: func(r *ecs.DescribeInstancesRequest) { r.VpcId = "vpc-1" }, want: 2},
		"OtherVPC":   {reason: "By another VPC.", change: func(r *ecs.DescribeInstancesRequest) { r.VpcId = "vpc-2" }},
		"Type":       {reason: "By type.", change: func(r *ecs.DescribeInstancesRequest) { r.InstanceType = "ecs.g7.large" }},
		"Tag":        {reason: "By tag.", change: func(r *ecs.DescribeInstancesRequest) { r.Tag = &[]ecs.DescribeInstancesTag{{Key: uidTag}} }, want: 2},
		"OtherValue": {reason: "By another value of it.", change: func(r *ecs.DescribeInstancesRequest) { r.Tag = &[]ecs.DescribeInstancesTag{{Key: uidTag, Value: "x"}} }},
		"TwoTags": {reason: "All tags must match.", change: func(r *ecs.DescribeInstancesRequest) {
			r.Tag = &[]ecs.DescribeInstancesTag{{Key: uidTag, Value: "uid-pool"}, {Key: "none"}}
		}},
		"OtherRegion": {reason: "A list is of one region.", change: func(r *ecs.DescribeInstancesRequest) { r.RegionId = "cn-shanghai" }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := s.instances(tc.change)
			check(t, tc.reason, []int{tc.want, tc.want}, []int{len(r.Instances.Instance), r.TotalCount})
		})
	}
}

// TestPages walks lists by number and by token.
func TestPages(t *testing.T) {
	s := start(t, nil)
	s.cluster()
	s.Step(lag)
	var byNumber, byToken []string
	for n := 1; n <= 3; n++ {
		r := s.instances(func(r *ecs.DescribeInstancesRequest) { r.PageSize, r.PageNumber = "1", requests.NewInteger(n) })
		check(t, "The total is that of all pages.", []int{2, n, 1}, []int{r.TotalCount, r.PageNumber, r.PageSize})
		for _, i := range r.Instances.Instance {
			byNumber = append(byNumber, i.InstanceId)
		}
	}
	for token := ""; ; {
		r := s.instances(func(r *ecs.DescribeInstancesRequest) { r.MaxResults, r.NextToken = "1", token })
		for _, i := range r.Instances.Instance {
			byToken = append(byToken, i.InstanceId)
		}
		if token = r.NextToken; token == "" {
			break
		}
	}
	if len(byNumber) != 2 || byNumber[0] == byNumber[1] {
		t.Errorf("The pages have %v", byNumber)
	}
	check(t, "Both ways lead through the same list.", byNumber, byToken)
	for reason, change := range map[string]func(*ecs.DescribeInstancesRequest){
		"A page has a largest size.":       func(r *ecs.DescribeInstancesRequest) { r.PageSize = "101" },
		"Pages are counted from 1.":        func(r *ecs.DescribeInstancesRequest) { r.PageNumber = "0" },
		"A number is a number.":            func(r *ecs.DescribeInstancesRequest) { r.PageSize = "ten" },
		"A token is one that was given.":   func(r *ecs.DescribeInstancesRequest) { r.NextToken = "x" },
		"There are no tags without shape.": func(r *ecs.DescribeInstancesRequest) { r.QueryParams["Tags"] = "x" },
	} {
		r := ecs.CreateDescribeInstancesRequest()
		change(r)
		s.Direct(r.RpcRequest)
		_, err := s.ecs.DescribeInstances(r)
		check(t, reason, "InvalidParameter", code(err))
	}
}

// TestLag: lists trail what is written, and what is deleted lingers.
func TestLag(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Latencies.ListLag = config.Range{5, 10} })
	k, p := s.cluster()
	count := func() int { return len(s.instances(nil).Instances.Instance) }
	s.Step(lag)
	check(t, "Two instances.", 2, count())
	_, err := s.cs.ScaleClusterNodePool(&k, &p, &cs.ScaleClusterNodePoolRequest{Count: tea.Int64(1)})
	s.must(err)
	s.Step(4 * time.Second)
	check(t, "A third exists, and is not shown.", []int{3, 2}, []int{len(s.live(ledger.ECS)), count()})
	s.Step(7 * time.Second)
	check(t, "Then it is.", 3, count())

	s.Step(3 * time.Minute)
	id := s.instances(nil).Instances.Instance[0].InstanceId
	check(t, "An instance is deleted.", "", s.deleteInstance(id, true))
	s.Step(4 * time.Second)
	check(t, "It is gone, and still shown.", []int{2, 3}, []int{len(s.live(ledger.ECS)), count()})
	s.Step(7 * time.Second)
	check(t, "Then it is not.", 2, count())
	s.Step(3 * time.Minute)
	check(t, "The scaling group replaces it.", 3, count())
}

// TestNetworks shows what was there before.
func TestNetworks(t *testing.T) {
	s := start(t, nil)
	s.cluster()
	r := vpc.CreateDescribeVSwitchesRequest()
	r.VpcId = "vpc-1"
	l := call(s, s.vpc.DescribeVSwitches, r, r.RpcRequest)
	type vsw struct {
		ID, Zone, VPC string
		Free          int64
	}
	var got []vsw
	for _, v := range l.VSwitches.VSwitch {
		got = append(got, vsw{v.VSwitchId, v.ZoneId, v.VpcId, v.AvailableIpAddressCount})
	}
	check(t, "Nodes use up the addresses of their vSwitch.", []vsw{{"vsw-1", zone, "vpc-1", 4096 - 4 - 2}, {"vsw-2", "cn-hangzhou-i", "vpc-1", 4096 - 4}}, got)
	r = vpc.CreateDescribeVSwitchesRequest()
	r.ZoneId = zone
	check(t, "By zone.", 2, len(call(s, s.vpc.DescribeVSwitches, r, r.RpcRequest).VSwitches.VSwitch))
	q := vpc.CreateDescribeVpcsRequest()
	q.VpcId = "vpc-2"
	vs := call(s, s.vpc.DescribeVpcs, q, q.RpcRequest).Vpcs.Vpc
	if len(vs) != 1 || !slices.Equal(vs[0].VSwitchIds.VSwitchId, []string{"vsw-3"}) {
		t.Errorf("The VPC is %+v", vs)
	}
}

// TestContainerGroups shows the pods on virtual nodes.
func TestContainerGroups(t *testing.T) {
	s := start(t, nil)
	k, _ := s.cluster()
	m := s.Memory.Cluster(k)
	for _, name := range []string{"virtual-kubelet-cn-hangzhou-h", "virtual-kubelet-cn-hangzhou-i"} {
		n, ok := m.Node(name)
		if !ok || n.Labels["type"] != "virtual-kubelet" || len(n.Taints) != 1 || n.Taints[0].Key != "virtual-kubelet.io/provider" {
			t.Errorf("The add-on made node %s: %t %+v", name, ok, n)
		}
	}
	check(t, "Empty virtual nodes cost nothing.", 0, len(s.live(ledger.ECIPod)))
	err := m.BindPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: corev1.PodSpec{NodeName: "virtual-kubelet-cn-hangzhou-h", Containers: []corev1.Container{{Image: "nginx", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("2Gi")},
		}}}},
	})
	s.must(err)
	groups := func() []eci.DescribeContainerGroupsContainerGroup0 {
		r := eci.CreateDescribeContainerGroupsRequest()
		r.Tag = &[]eci.DescribeContainerGroupsTag{{Key: "ack.aliyun.com", Value: k}}
		return call(s, s.eci.DescribeContainerGroups, r, r.RpcRequest).ContainerGroups
	}
	type group struct {
		Name, Status, Zone string
		CPU, Memory        float32
	}
	show := func() (out []group) {
		for _, g := range groups() {
			out = append(out, group{g.ContainerGroupName, g.Status, g.ZoneId, g.Cpu, g.Memory})
		}
		return out
	}
	s.Step(lag)
	check(t, "A pod whose image is pulled is pending.", []group{{"default-web", "Pending", zone, 1, 2}}, show())
	s.Step(time.Minute)
	check(t, "Then it runs.", []group{{"default-web", "Running", zone, 1, 2}}, show())
	pods, err := s.Admin.Pods(t.Context())
	if err != nil || len(pods) != 1 || pods[0].Phase != "Running" || pods[0].ID != groups()[0].ContainerGroupId {
		t.Errorf("The panel shows %+v: %v", pods, err)
	}
	id := groups()[0].ContainerGroupId
	check(t, "Its instance can be deleted.", "", s.deleteContainerGroup(id))
	s.Step(lag)
	check(t, "Then it is gone.", []group(nil), show())
	p, _, _ := m.Pod("default", "web")
	check(t, "The pod has failed.", corev1.PodFailed, p.Status.Phase)
	check(t, "It cannot be deleted twice.", "ContainerGroupNotExists", s.deleteContainerGroup(id))
	m.DeletePod("default", "web")
	check(t, "Nothing is left.", 0, len(s.ACK.Snapshot().Pods))
}

func (s *sim) deleteContainerGroup(id string) string {
	r := eci.CreateDeleteContainerGroupRequest()
	r.RegionId, r.ContainerGroupId = region, id
	s.Direct(r.RpcRequest)
	_, err := s.eci.DeleteContainerGroup(r)
	return code(err)
}

// TestAbandonedPods: pods on virtual nodes can outlive their cluster, which is
// what makes them leak.
func TestAbandonedPods(t *testing.T) {
	s := start(t, nil)
	k, _ := s.cluster()
	s.must(s.Memory.Cluster(k).BindPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec:       corev1.PodSpec{NodeName: "virtual-kubelet-cn-hangzhou-h", Containers: []corev1.Container{{Image: "nginx"}}},
	}))
	_, err := s.Admin.SetFault(t.Context(), faults.Rule{Kind: faults.LeaveBehind, Args: map[string]string{"kinds": "eci-pod"}})
	s.must(err)
	s.Step(2 * time.Minute)
	s.deleteCluster(k)
	left := s.Cloud.Ledger.Report().Leaked
	if len(left) != 1 || left[0].Kind != ledger.ECIPod {
		t.Fatalf("There is left %+v", left)
	}
	check(t, "It can be deleted.", "", s.deleteContainerGroup(left[0].ID))
	check(t, "Then nothing is left.", 0, len(s.Cloud.Ledger.Report().Live))
	check(t, "Not even capacity.", 1000, s.Cloud.Stock.Count(stock.Key{Region: region, Zone: zone, Type: config.ECIType}))
}

// TestRelease: what a deleted cluster left behind can be released, and what is
// in use cannot.
func TestRelease(t *testing.T) {
	s := start(t, nil)
	k, p := s.cluster()
	_, err := s.ACK.EnsureLoadBalancer(k, "svc", "default/web")
	s.must(err)
	_, err = s.ACK.EnsureVolume(k, "pvc", "default/data", 20)
	s.must(err)
	id := func(kind ledger.Kind, nth int) string {
		t.Helper()
		l := s.live(kind)
		if len(l) <= nth {
			t.Fatalf("There are %d of %s", len(l), kind)
		}
		return l[nth].ID
	}
	deletions := func(ids map[ledger.Kind]string) map[ledger.Kind]string {
		out := map[ledger.Kind]string{}
		for kind, id := range ids {
			var err error
			switch kind {
			case ledger.DataDisk:
				r := ecs.CreateDeleteDiskRequest()
				r.DiskId = id
				s.Direct(r.RpcRequest)
				_, err = s.ecs.DeleteDisk(r)
			case ledger.ENI:
				r := ecs.CreateDeleteNetworkInterfaceRequest()
				r.NetworkInterfaceId = id
				s.Direct(r.RpcRequest)
				_, err = s.ecs.DeleteNetworkInterface(r)
			case ledger.SecurityGroup:
				r := ecs.CreateDeleteSecurityGroupRequest()
				r.SecurityGroupId = id
				s.Direct(r.RpcRequest)
				_, err = s.ecs.DeleteSecurityGroup(r)
			case ledger.NATEIP, ledger.APIEIP:
				r := vpc.CreateReleaseEipAddressRequest()
				r.AllocationId = id
				s.Direct(r.RpcRequest)
				_, err = s.vpc.ReleaseEipAddress(r)
			case ledger.NAT:
				r := vpc.CreateDeleteNatGatewayRequest()
				r.NatGatewayId = id
				s.Direct(r.RpcRequest)
				_, err = s.vpc.DeleteNatGateway(r)
			case ledger.ServiceSLB:
				r := slb.CreateDeleteLoadBalancerRequest()
				r.LoadBalancerId = id
				s.Direct(r.RpcRequest)
				_, err = s.slb.DeleteLoadBalancer(r)
			}
			out[kind] = code(err)
		}
		return out
	}
	disk, eni, group, natEIP, nat, lb := id(ledger.DataDisk, 0), id(ledger.ENI, 0), id(ledger.SecurityGroup, 0), id(ledger.NATEIP, 0), id(ledger.NAT, 0), id(ledger.ServiceSLB, 0)
	check(t, "What a cluster uses stays.", map[ledger.Kind]string{
		ledger.DataDisk: "IncorrectDiskStatus", ledger.ENI: "InvalidOperation.InvalidEniState", ledger.SecurityGroup: "DependencyViolation",
		ledger.NATEIP: "IncorrectEipStatus", ledger.NAT: "DependencyViolation.EIPS",
	}, deletions(map[ledger.Kind]string{ledger.DataDisk: disk, ledger.ENI: eni, ledger.SecurityGroup: group, ledger.NATEIP: natEIP, ledger.NAT: nat}))

	// One node leaves its pool and lives on.
	stray := id(ledger.ECS, 0)
	_, err = s.cs.RemoveNodePoolNodes(&k, &p, &cs.RemoveNodePoolNodesRequest{InstanceIds: []*string{&stray}, ReleaseNode: tea.Bool(false)})
	s.must(err)
	s.Step(5 * time.Minute)
	_, err = s.Admin.SetFault(t.Context(), faults.Rule{Kind: faults.LeaveBehind})
	s.must(err)
	_, err = s.cs.DeleteCluster(&k, &cs.DeleteClusterRequest{})
	check(t, "Load balancers of Services make ACK refuse once.", true, err != nil)
	s.deleteCluster(k)
	leaks := func() map[ledger.Kind]int {
		out := map[ledger.Kind]int{}
		for _, o := range s.Cloud.Ledger.Report().Leaked {
			out[o.Kind]++
		}
		return out
	}
	check(t, "Things are left behind.", map[ledger.Kind]int{
		ledger.DataDisk: 1, ledger.ENI: 2, ledger.SecurityGroup: 1, ledger.NAT: 1, ledger.NATEIP: 1, ledger.APIEIP: 1, ledger.APISLB: 1, ledger.ServiceSLB: 1, ledger.ECS: 1,
	}, leaks())
	di := ecs.CreateDescribeInstancesRequest()
	di.Tag = &[]ecs.DescribeInstancesTag{{Key: uidTag, Value: "uid-pool"}}
	left := call(s, s.ecs.DescribeInstances, di, di.RpcRequest).Instances.Instance
	if len(left) != 1 || left[0].InstanceId != stray {
		t.Errorf("By the pool's tag there is left %+v", left)
	}
	check(t, "A running instance needs force.", "IncorrectInstanceStatus", s.deleteInstance(stray, false))
	check(t, "With force it goes, with its disk.", "", s.deleteInstance(stray, true))
	check(t, "Once.", "InvalidInstanceId.NotFound", s.deleteInstance(stray, true))
	check(t, "The group is still used by interfaces.", map[ledger.Kind]string{ledger.SecurityGroup: "DependencyViolation"}, deletions(map[ledger.Kind]string{ledger.SecurityGroup: group}))
	eni2, apiEIP := id(ledger.ENI, 1), id(ledger.APIEIP, 0)
	done := map[ledger.Kind]string{ledger.DataDisk: "", ledger.ENI: "", ledger.ServiceSLB: ""}
	check(t, "The rest goes in its order.", done, deletions(map[ledger.Kind]string{ledger.DataDisk: disk, ledger.ENI: eni, ledger.ServiceSLB: lb}))
	check(t, "Then what they used.", map[ledger.Kind]string{ledger.ENI: ""}, deletions(map[ledger.Kind]string{ledger.ENI: eni2}))
	for _, o := range s.live(ledger.APISLB) {
		check(t, "The API server's load balancer too.", map[ledger.Kind]string{ledger.ServiceSLB: ""}, deletions(map[ledger.Kind]string{ledger.ServiceSLB: o.ID}))
	}
	q := vpc.CreateDeleteNatGatewayRequest()
	q.NatGatewayId, q.Force = nat, "true"
	call(s, s.vpc.DeleteNatGateway, q, q.RpcRequest)
	check(t, "Addresses go when nothing uses them.", map[ledger.Kind]string{ledger.NATEIP: "", ledger.APIEIP: "", ledger.SecurityGroup: ""},
		deletions(map[ledger.Kind]string{ledger.NATEIP: natEIP, ledger.APIEIP: apiEIP, ledger.SecurityGroup: group}))
	check(t, "Nothing is left.", map[ledger.Kind]int{}, leaks())
	check(t, "What is gone is not found.", map[ledger.Kind]string{
		ledger.DataDisk: "InvalidDiskId.NotFound", ledger.ENI: "InvalidEniId.NotFound", ledger.SecurityGroup: "InvalidSecurityGroupId.NotFound",
		ledger.NATEIP: "InvalidAllocationId.NotFound", ledger.NAT: "InvalidNatGatewayId.NotFound", ledger.ServiceSLB: "InvalidLoadBalancerId.NotFound",
	}, deletions(map[ledger.Kind]string{ledger.DataDisk: disk, ledger.ENI: eni, ledger.SecurityGroup: group, ledger.NATEIP: natEIP, ledger.NAT: nat, ledger.ServiceSLB: lb}))

	log := s.Cloud.Requests.List(requestlog.Filter{Service: "ecs", Action: "DeleteDisk"})
	check(t, "The log says what was asked.", []any{"IncorrectDiskStatus", true, disk, k}, []any{log[0].Code, log[0].Mutating, log[0].Name, log[0].Cluster})
}

// TestDeleteInstances deletes several or none.
func TestDeleteInstances(t *testing.T) {
	s := start(t, nil)
	s.cluster()
	a, b := s.live(ledger.ECS)[0].ID, s.live(ledger.ECS)[1].ID
	del := func(ids ...string) string {
		r := ecs.CreateDeleteInstancesRequest()
		r.InstanceId, r.Force = &ids, "true"
		s.Direct(r.RpcRequest)
		_, err := s.ecs.DeleteInstances(r)
		return code(err)
	}
	check(t, "One that is unknown keeps all.", []any{"InvalidInstanceId.NotFound", 2}, []any{del(a, "i-none"), len(s.live(ledger.ECS))})
	check(t, "None named is an error.", "MissingParameter", del())
	r := ecs.CreateDeleteInstanceRequest()
	r.InstanceId, r.Force, r.DryRun = a, "true", "true"
	s.Direct(r.RpcRequest)
	_, err := s.ecs.DeleteInstance(r)
	check(t, "A dry run changes nothing.", []any{"DryRunOperation", 2}, []any{code(err), len(s.live(ledger.ECS))})
	check(t, "Both go, with their disks.", []any{"", 0, 0}, []any{del(a, b), len(s.live(ledger.ECS)), len(s.live(ledger.SystemDisk))})
	s.Step(4 * time.Minute)
	fresh := s.live(ledger.ECS)
	if len(fresh) != 2 || fresh[0].ID == a {
		t.Errorf("The scaling group should replace them: %+v", fresh)
	}
}

// TestYoungInstance: an instance that is starting cannot be deleted.
func TestYoungInstance(t *testing.T) {
	s := start(t, nil)
	k, p := s.cluster()
	_, err := s.cs.ScaleClusterNodePool(&k, &p, &cs.ScaleClusterNodePoolRequest{Count: tea.Int64(1)})
	s.must(err)
	s.Step(2 * time.Second)
	check(t, "It is not ready for that.", "IncorrectInstanceStatus.Initializing", s.deleteInstance(s.live(ledger.ECS)[2].ID, true))
}
