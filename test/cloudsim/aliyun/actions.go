package aliyun

import (
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// Versions of the APIs, by which they are told apart.
const (
	versionECS = "2014-05-26"
	versionVPC = "2016-04-28"
	versionSLB = "2014-05-15"
	versionECI = "2018-08-08"
)

var products = map[string]string{versionECS: "ecs", versionVPC: "vpc", versionSLB: "slb", versionECI: "eci"}

// An action of an API.
type action struct {
	handle func(*Server, *call) (map[string]any, *apiError)
	writes bool

	// Of lists: the kinds shown, how, and under which names.
	kinds        []ledger.Kind
	view         func(*Server, ledger.Object) map[string]any
	outer, inner string
	// id is the field with the id; ids is the parameter that names several.
	id, ids string
	// filters are parameters that must equal the field or attribute of the same
	// name.
	filters []string
	maxPage int
	// limitKey is set for lists that know no page numbers.
	limitKey string

	// Of releases: the parameter with the id, the code if there is none, and
	// what may refuse it.
	notFound string
	refuse   func(*Server, *call, ledger.Object) *apiError
}

// actions by version and name.
var actions map[string]*action

func init() {
	list := func(a action) *action { a.handle = (*Server).list; return &a }
	release := func(id, notFound string, kinds []ledger.Kind, refuse func(*Server, *call, ledger.Object) *apiError) *action {
		return &action{handle: (*Server).release, writes: true, id: id, notFound: notFound, kinds: kinds, refuse: refuse}
	}
	var (
		instances = []ledger.Kind{ledger.ECS}
		disks     = []ledger.Kind{ledger.SystemDisk, ledger.DataDisk}
		enis      = []ledger.Kind{ledger.ENI}
		groups    = []ledger.Kind{ledger.SecurityGroup}
		nats      = []ledger.Kind{ledger.NAT}
		eips      = []ledger.Kind{ledger.APIEIP, ledger.NATEIP}
		balancers = []ledger.Kind{ledger.APISLB, ledger.IngressSLB, ledger.ServiceSLB}
	)
	actions = map[string]*action{
		versionECS + "/DescribePrice":             {handle: (*Server).describePrice},
		versionECS + "/DescribeAvailableResource": {handle: (*Server).describeAvailableResource},
		versionECS + "/DescribeInstances": list(action{
			kinds: instances, view: (*Server).viewInstance, outer: "Instances", inner: "Instance", id: "InstanceId", ids: "InstanceIds", maxPage: 100,
			filters: []string{"VpcId", "VSwitchId", "ZoneId", "Status", "InstanceType", "InstanceChargeType", "SecurityGroupId", "InstanceName"},
		}),
		versionECS + "/DescribeDisks": list(action{
			kinds: disks, view: (*Server).viewDisk, outer: "Disks", inner: "Disk", id: "DiskId", ids: "DiskIds", maxPage: 100,
			filters: []string{"InstanceId", "ZoneId", "Status", "Category", "DiskName"},
		}),
		versionECS + "/DescribeNetworkInterfaces": list(action{
			kinds: enis, view: (*Server).viewENI, outer: "NetworkInterfaceSets", inner: "NetworkInterfaceSet", id: "NetworkInterfaceId",
			ids: "NetworkInterfaceId", maxPage: 500, filters: []string{"VpcId", "VSwitchId", "SecurityGroupId", "Status", "NetworkInterfaceName"},
		}),
		versionECS + "/DescribeSecurityGroups": list(action{
			kinds: groups, view: (*Server).viewSecurityGroup, outer: "SecurityGroups", inner: "SecurityGroup", id: "SecurityGroupId",
			ids: "SecurityGroupIds", maxPage: 100, filters: []string{"VpcId", "SecurityGroupId", "SecurityGroupName"},
		}),
		versionECS + "/DeleteInstance":         release("InstanceId", "InvalidInstanceId.NotFound", instances, (*Server).keepInstance),
		versionECS + "/DeleteInstances":        release("InstanceId", "InvalidInstanceId.NotFound", instances, (*Server).keepInstance),
		versionECS + "/DeleteDisk":             release("DiskId", "InvalidDiskId.NotFound", disks, (*Server).keepDisk),
		versionECS + "/DeleteNetworkInterface": release("NetworkInterfaceId", "InvalidEniId.NotFound", enis, (*Server).keepENI),
		versionECS + "/DeleteSecurityGroup":    release("SecurityGroupId", "InvalidSecurityGroupId.NotFound", groups, (*Server).keepSecurityGroup),

		versionVPC + "/DescribeVpcs":      {handle: (*Server).describeVPCs, maxPage: 50},
		versionVPC + "/DescribeVSwitches": {handle: (*Server).describeVSwitches, maxPage: 50},
		versionVPC + "/DescribeNatGateways": list(action{
			kinds: nats, view: (*Server).viewNAT, outer: "NatGateways", inner: "NatGateway", id: "NatGatewayId", ids: "NatGatewayId", maxPage: 50,
			filters: []string{"VpcId", "Name", "Status"},
		}),
		versionVPC + "/DescribeEipAddresses": list(action{
			kinds: eips, view: (*Server).viewEIP, outer: "EipAddresses", inner: "EipAddress", id: "AllocationId", ids: "AllocationId", maxPage: 100,
			filters: []string{"Status", "EipAddress", "AssociatedInstanceId"},
		}),
		versionVPC + "/DeleteNatGateway":  release("NatGatewayId", "InvalidNatGatewayId.NotFound", nats, (*Server).keepNAT),
		versionVPC + "/ReleaseEipAddress": release("AllocationId", "InvalidAllocationId.NotFound", eips, (*Server).keepEIP),

		versionSLB + "/DescribeLoadBalancers": list(action{
			kinds: balancers, view: (*Server).viewBalancer, outer: "LoadBalancers", inner: "LoadBalancer", id: "LoadBalancerId", ids: "LoadBalancerId",
			maxPage: 100, filters: []string{"VpcId", "VSwitchId", "LoadBalancerName", "AddressType", "Address", "LoadBalancerStatus"},
		}),
		versionSLB + "/DeleteLoadBalancer": release("LoadBalancerId", "InvalidLoadBalancerId.NotFound", balancers, nil),

		versionECI + "/DescribeContainerGroupPrice": {handle: (*Server).describeContainerGroupPrice},
		versionECI + "/DeleteContainerGroup":        release("ContainerGroupId", "ContainerGroupNotExists", []ledger.Kind{ledger.ECIPod}, nil),
		versionECI + "/DescribeContainerGroups": list(action{
			kinds: []ledger.Kind{ledger.ECIPod}, view: (*Server).viewContainerGroup, outer: "ContainerGroups", id: "ContainerGroupId",
			ids: "ContainerGroupIds", maxPage: 20, limitKey: "Limit", filters: []string{"ZoneId", "Status", "ContainerGroupName"},
		}),
	}
}
