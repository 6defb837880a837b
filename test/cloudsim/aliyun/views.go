package aliyun

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// tagList is how most of these APIs show tags. ECS names the fields TagKey and
// TagValue in some places, VPC Key and Value; each ignores the others'.
func tagList(tags map[string]string) map[string]any {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, map[string]any{"TagKey": k, "TagValue": tags[k], "Key": k, "Value": tags[k]})
	}
	return map[string]any{"Tag": out}
}

// stamp of the creation, to the minute as ECS has it or to the second.
func stamp(o ledger.Object, layout string) string {
	t, err := time.Parse(time.RFC3339, o.Attrs[ledger.AttrCreated])
	if err != nil {
		return ""
	}
	return t.UTC().Format(layout)
}

const (
	minutes = "2006-01-02T15:04Z"
	seconds = "2006-01-02T15:04:05Z"
)

func (s *Server) zone(o ledger.Object) string {
	if o.Zone != "" {
		return o.Zone
	}
	_, v, _ := s.VSwitch(o.Region, o.Attrs[ledger.AttrVSwitch])
	return v.Zone
}

func (s *Server) viewInstance(o ledger.Object) map[string]any {
	a := o.Attrs
	it := s.Config.InstanceTypes[a[ledger.AttrType]]
	family := a[ledger.AttrType]
	if x := strings.LastIndex(family, "."); x > 0 {
		family = family[:x]
	}
	locks := []any{}
	if a[ledger.AttrLock] != "" {
		locks = append(locks, map[string]any{"LockReason": a[ledger.AttrLock]})
	}
	return map[string]any{
		"InstanceId": o.ID, "InstanceName": "worker-k8s-for-cs-" + o.Cluster, "HostName": "iZ" + strings.TrimPrefix(o.ID, "i-"), "RegionId": o.Region,
		"ZoneId": o.Zone, "Status": a[ledger.AttrStatus], "InstanceType": a[ledger.AttrType], "InstanceTypeFamily": family, "Cpu": it.CPU, "CPU": it.CPU,
		"Memory": it.MemoryGiB * 1024, "GPUAmount": it.GPU, "InstanceChargeType": a[ledger.AttrCharge], "SpotStrategy": a[ledger.AttrSpot], "CreationTime": stamp(o, minutes),
		"InstanceNetworkType": "vpc", "Tags": tagList(o.Tags), "OperationLocks": map[string]any{"LockReason": locks},
		"VpcAttributes": map[string]any{
			"VpcId": a[ledger.AttrVPC], "VSwitchId": a[ledger.AttrVSwitch], "PrivateIpAddress": map[string]any{"IpAddress": []string{a[ledger.AttrAddress]}},
		},
		"SecurityGroupIds": map[string]any{"SecurityGroupId": []string{a[ledger.AttrSecurityGroup]}},
	}
}

// viewDisk shows a disk: in use while what it hangs on exists.
func (s *Server) viewDisk(o ledger.Object) map[string]any {
	status, instance := "Available", ""
	if s.exists(o.Parent) {
		status, instance = "In_use", o.Attrs[ledger.AttrInstance]
	}
	size, _ := strconv.Atoi(o.Attrs[ledger.AttrSize])
	return map[string]any{
		"DiskId": o.ID, "DiskName": o.Name, "RegionId": o.Region, "ZoneId": s.zone(o), "Status": status, "Size": size, "Type": o.Attrs[ledger.AttrDiskType],
		"Category": o.Attrs[ledger.AttrCategory], "InstanceId": instance, "CreationTime": stamp(o, seconds), "DiskChargeType": "PostPaid",
		"DeleteWithInstance": o.Attrs[ledger.AttrInstance] != "", "Tags": tagList(o.Tags),
	}
}

// viewENI shows an interface of a control plane: attached to a machine the
// account does not see, while the cluster exists.
func (s *Server) viewENI(o ledger.Object) map[string]any {
	status, instance := "Available", ""
	if s.exists(o.Cluster) {
		status, instance = "InUse", "i-"+o.Cluster[:min(len(o.Cluster), 20)]
	}
	return map[string]any{
		"NetworkInterfaceId": o.ID, "NetworkInterfaceName": "ack-" + o.Cluster, "Status": status, "InstanceId": instance, "Type": "Secondary", "VpcId": o.Attrs[ledger.AttrVPC],
		"VSwitchId": o.Attrs[ledger.AttrVSwitch], "ZoneId": s.zone(o), "CreationTime": stamp(o, seconds), "ServiceManaged": false, "Tags": tagList(o.Tags),
		"SecurityGroupIds": map[string]any{"SecurityGroupId": []string{o.Attrs[ledger.AttrSecurityGroup]}},
	}
}

func (s *Server) viewSecurityGroup(o ledger.Object) map[string]any {
	return map[string]any{
		"SecurityGroupId": o.ID, "SecurityGroupName": o.Name, "VpcId": o.Attrs[ledger.AttrVPC], "SecurityGroupType": "enterprise", "ServiceManaged": false,
		"CreationTime": stamp(o, seconds), "Tags": tagList(o.Tags),
	}
}

func (s *Server) viewNAT(o ledger.Object) map[string]any {
	ips := []any{}
	for _, e := range s.Ledger.Live(func(x ledger.Object) bool { return x.Attrs[ledger.AttrInstance] == o.ID }) {
		ips = append(ips, map[string]any{"AllocationId": e.ID, "IpAddress": e.Attrs[ledger.AttrAddress], "UsingStatus": "UsedBySnatTable"})
	}
	return map[string]any{
		"NatGatewayId": o.ID, "Name": o.Name, "RegionId": o.Region, "VpcId": o.Attrs[ledger.AttrVPC], "Status": "Available", "NatType": "Enhanced",
		"BusinessStatus": "Normal", "InstanceChargeType": "PostPaid", "InternetChargeType": "PayByLcu", "CreationTime": stamp(o, seconds),
		"NatGatewayPrivateInfo": map[string]any{"VswitchId": o.Attrs[ledger.AttrVSwitch], "IzNo": s.zone(o)}, "IpLists": map[string]any{"IpList": ips}, "Tags": tagList(o.Tags),
	}
}

// viewEIP shows an address: in use while what it is bound to exists.
func (s *Server) viewEIP(o ledger.Object) map[string]any {
	status, instance, kind := "Available", "", ""
	if s.exists(o.Attrs[ledger.AttrInstance]) {
		status, instance, kind = "InUse", o.Attrs[ledger.AttrInstance], "SlbInstance"
		if o.Kind == ledger.NATEIP {
			kind = "Nat"
		}
	}
	return map[string]any{
		"AllocationId": o.ID, "IpAddress": o.Attrs[ledger.AttrAddress], "Name": o.Name, "RegionId": o.Region, "Status": status, "InstanceId": instance, "InstanceType": kind,
		"AllocationTime": stamp(o, seconds), "ChargeType": "PostPaid", "InternetChargeType": "PayByTraffic", "BusinessStatus": "Normal", "Tags": tagList(o.Tags),
	}
}

func (s *Server) viewBalancer(o ledger.Object) map[string]any {
	return map[string]any{
		"LoadBalancerId": o.ID, "LoadBalancerName": o.Name, "RegionId": o.Region, "MasterZoneId": s.zone(o), "VpcId": o.Attrs[ledger.AttrVPC], "VSwitchId": o.Attrs[ledger.AttrVSwitch],
		"Address": o.Attrs[ledger.AttrAddress], "AddressType": o.Attrs[ledger.AttrAddressType], "NetworkType": "vpc", "LoadBalancerStatus": "active", "PayType": "PayOnDemand",
		"CreateTime": stamp(o, minutes), "DeleteProtection": "off", "Tags": tagList(o.Tags),
	}
}

func (s *Server) viewContainerGroup(o ledger.Object) map[string]any {
	number := func(key string) float64 { f, _ := strconv.ParseFloat(o.Attrs[key], 64); return f }
	return map[string]any{
		"ContainerGroupId": o.ID, "ContainerGroupName": strings.ReplaceAll(o.Name, "/", "-"), "RegionId": o.Region, "ZoneId": o.Zone, "Status": o.Attrs[ledger.AttrStatus],
		"Cpu": number(ledger.AttrCPU), "Memory": number(ledger.AttrMemory), "IntranetIp": o.Attrs[ledger.AttrAddress], "CreationTime": stamp(o, seconds),
		"Tags": tagList(o.Tags)["Tag"], "Containers": []any{}, "Events": []any{},
	}
}
