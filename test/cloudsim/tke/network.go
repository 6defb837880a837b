package tke

import (
	"maps"
	"net/netip"
	"slices"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// listRequest has the parameters that lists of vpc share.
type listRequest struct {
	VpcIds, SubnetIds, SecurityGroupIds, NetworkInterfaceIds, NatGatewayIds, AddressIds []string
	Filters                                                                             []filter
	Offset, Limit                                                                       *number
}

func (s *Server) describeVPCs(c *call) (map[string]any, error) {
	var q listRequest
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all := []any{}
	vpcs := s.conf.Regions[c.region].VPCs
	for _, id := range slices.Sorted(maps.Keys(vpcs)) {
		ok, err := filtered(q.Filters, fields{"vpc-id": id, "vpc-name": id, "cidr-block": vpcs[id].CIDR, "is-default": "false"}, nil)
		if err != nil {
			return nil, err
		}
		if ok && (len(q.VpcIds) == 0 || slices.Contains(q.VpcIds, id)) {
			all = append(all, map[string]any{"VpcId": id, "VpcName": id, "CidrBlock": vpcs[id].CIDR, "IsDefault": false, "TagSet": []any{}})
		}
	}
	some, err := paginate(all, q.Offset, q.Limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"TotalCount": len(all), "VpcSet": some}, nil
}

// free is the number of addresses of a subnet nobody has: neither a node nor a
// pod on a super node.
func (s *Server) free(region, id string, v config.VSwitch) (total, available int) {
	p, err := netip.ParsePrefix(v.CIDR)
	if err != nil {
		return 0, 0
	}
	total = addresses(p)
	available = total - len(s.addrs[region+"/"+id])
	for _, k := range s.clusters {
		if k.region != region {
			continue
		}
		for _, pool := range k.superPools {
			for _, n := range pool.nodes {
				if n.subnet == id {
					available -= len(s.Pods(k.id, n.name))
				}
			}
		}
	}
	return total, max(available, 0)
}

func (s *Server) describeSubnets(c *call) (map[string]any, error) {
	var q listRequest
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all := []any{}
	vpcs := s.conf.Regions[c.region].VPCs
	for _, vpc := range slices.Sorted(maps.Keys(vpcs)) {
		subnets := vpcs[vpc].VSwitches
		for _, id := range slices.Sorted(maps.Keys(subnets)) {
			v := subnets[id]
			ok, err := filtered(q.Filters, fields{"vpc-id": vpc, "subnet-id": id, "subnet-name": id, "zone": v.Zone, "cidr-block": v.CIDR}, nil)
			if err != nil {
				return nil, err
			}
			if !ok || len(q.SubnetIds) > 0 && !slices.Contains(q.SubnetIds, id) {
				continue
			}
			total, free := s.free(c.region, id, v)
			all = append(all, map[string]any{
				"VpcId": vpc, "SubnetId": id, "SubnetName": id, "CidrBlock": v.CIDR, "Zone": v.Zone, "IsDefault": false, "TotalIpAddressCount": total,
				"AvailableIpAddressCount": free, "TagSet": []any{},
			})
		}
	}
	if len(all) == 0 && len(q.SubnetIds) > 0 {
		return nil, fail("ResourceNotFound", "subnets %v do not exist", q.SubnetIds)
	}
	some, err := paginate(all, q.Offset, q.Limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"TotalCount": len(all), "SubnetSet": some}, nil
}

// describeNATGateways finds none: TKE makes none.
func (s *Server) describeNATGateways(c *call) (map[string]any, error) {
	return s.nothing(c, "NatGatewaySet", "vpc-id", "nat-gateway-id", "nat-gateway-name")
}

// describeAddresses finds none: the addresses of load balancers are their own.
func (s *Server) describeAddresses(c *call) (map[string]any, error) {
	return s.nothing(c, "AddressSet", "address-id", "address-name", "address-ip", "address-status", "instance-id")
}

func (s *Server) nothing(c *call, key string, names ...string) (map[string]any, error) {
	var q listRequest
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	known := fields{}
	for _, n := range names {
		known[n] = ""
	}
	if _, err := filtered(q.Filters, known, nil); err != nil {
		return nil, err
	}
	if _, err := paginate([]any{}, q.Offset, q.Limit); err != nil {
		return nil, err
	}
	return map[string]any{"TotalCount": 0, key: []any{}}, nil
}

func (s *Server) describeInterfaces(c *call) (map[string]any, error) {
	var q listRequest
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.inventory(c, q.NetworkInterfaceIds, q.Filters, []ledger.Kind{ledger.ENI}, func(o ledger.Object) fields {
		return fields{"vpc-id": o.Attrs["vpc"], "subnet-id": o.Attrs["subnet"], "network-interface-id": o.ID, "network-interface-name": o.Name}
	})
	if err != nil {
		return nil, err
	}
	return page("NetworkInterfaceSet", all, q.Offset, q.Limit, func(o ledger.Object) map[string]any {
		return map[string]any{
			"NetworkInterfaceId": o.ID, "NetworkInterfaceName": o.Name, "VpcId": o.Attrs["vpc"], "SubnetId": o.Attrs["subnet"], "State": "AVAILABLE",
			"Primary": false, "CreatedTime": o.Attrs["created"], "TagSet": tagList(o.Tags, "Key", "Value"),
		}
	})
}

// securityGroupExists in the region: one that was always there, or one TKE made.
func (s *Server) securityGroupExists(region, id string) bool {
	if slices.Contains(s.conf.Regions[region].SecurityGroups, id) {
		return true
	}
	return len(s.Ledger.Live(func(o ledger.Object) bool { return o.Kind == ledger.SecurityGroup && o.Region == region && o.ID == id })) > 0
}

func (s *Server) describeSecurityGroups(c *call) (map[string]any, error) {
	var q listRequest
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	name := func(o ledger.Object) fields { return fields{"security-group-id": o.ID, "security-group-name": o.Name} }
	all := []ledger.Object{}
	for _, id := range s.conf.Regions[c.region].SecurityGroups {
		o := ledger.Object{ID: id, Name: id}
		ok, err := filtered(q.Filters, name(o), nil)
		if err != nil {
			return nil, err
		}
		if ok && (len(q.SecurityGroupIds) == 0 || slices.Contains(q.SecurityGroupIds, id)) {
			all = append(all, o)
		}
	}
	made, err := s.inventory(c, q.SecurityGroupIds, q.Filters, []ledger.Kind{ledger.SecurityGroup}, name)
	if err != nil {
		return nil, err
	}
	return page("SecurityGroupSet", append(all, made...), q.Offset, q.Limit, func(o ledger.Object) map[string]any {
		return map[string]any{
			"SecurityGroupId": o.ID, "SecurityGroupName": o.Name, "SecurityGroupDesc": "", "IsDefault": false, "CreatedTime": o.Attrs["created"],
			"TagSet": tagList(o.Tags, "Key", "Value"),
		}
	})
}

// release one object of the caller that is of a kind, unless a cluster that
// exists needs it.
func (s *Server) release(c *call, kind ledger.Kind, id, notFound string) (map[string]any, error) {
	all, err := s.inventory(c, []string{id}, nil, []ledger.Kind{kind}, func(ledger.Object) fields { return nil })
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, fail(notFound, "%q does not exist", id)
	case s.clusters[all[0].Cluster] != nil:
		return nil, fail("UnsupportedOperation.InvalidState", "%s is in use by cluster %s", id, all[0].Cluster)
	}
	s.Ledger.Release(id)
	return nil, nil
}

func (s *Server) deleteInterface(c *call) (map[string]any, error) {
	var q struct{ NetworkInterfaceId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	return s.release(c, ledger.ENI, q.NetworkInterfaceId, "ResourceNotFound")
}

func (s *Server) deleteSecurityGroup(c *call) (map[string]any, error) {
	var q struct{ SecurityGroupId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	return s.release(c, ledger.SecurityGroup, q.SecurityGroupId, "ResourceNotFound")
}

// deleteNATGateway finds none to delete.
func (s *Server) deleteNATGateway(c *call) (map[string]any, error) {
	var q struct{ NatGatewayId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	return nil, fail("ResourceNotFound", "%q does not exist", q.NatGatewayId)
}

// releaseAddresses finds none to release.
func (s *Server) releaseAddresses(c *call) (map[string]any, error) {
	var q struct{ AddressIds []string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	return nil, fail("InvalidAddressId.NotFound", "%v do not exist", q.AddressIds)
}

var balancers = []ledger.Kind{ledger.EndpointCLB, ledger.ServiceCLB}

func (s *Server) describeLoadBalancers(c *call) (map[string]any, error) {
	var q struct {
		LoadBalancerIds                    []string
		LoadBalancerType, LoadBalancerName string
		VpcId                              string
		Filters                            []filter
		Offset, Limit                      *number
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.inventory(c, q.LoadBalancerIds, q.Filters, balancers, func(o ledger.Object) fields {
		return fields{"vpc-id": o.Attrs["vpc"]}
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(o ledger.Object) bool {
		return q.LoadBalancerType != "" && q.LoadBalancerType != o.Attrs["type"] || q.VpcId != "" && q.VpcId != o.Attrs["vpc"] ||
			q.LoadBalancerName != "" && q.LoadBalancerName != o.Name
	})
	return page("LoadBalancerSet", all, q.Offset, q.Limit, func(o ledger.Object) map[string]any {
		return map[string]any{
			"LoadBalancerId": o.ID, "LoadBalancerName": o.Name, "LoadBalancerType": o.Attrs["type"], "Status": 1, "VpcId": o.Attrs["vpc"],
			"SubnetId": o.Attrs["subnet"], "LoadBalancerVips": []string{o.Attrs["address"]}, "CreateTime": o.Attrs["created"],
			"Tags": tagList(o.Tags, "TagKey", "TagValue"),
		}
	})
}

func (s *Server) deleteLoadBalancer(c *call) (map[string]any, error) {
	var q struct {
		LoadBalancerIds []string
		ForceDelete     bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	if len(q.LoadBalancerIds) == 0 {
		return nil, missing("LoadBalancerIds")
	}
	all, err := s.inventory(c, q.LoadBalancerIds, nil, balancers, func(ledger.Object) fields { return nil })
	if err != nil {
		return nil, err
	}
	if len(all) < len(q.LoadBalancerIds) {
		return nil, fail("InvalidParameter.LBIdNotFound", "some of %v do not exist", q.LoadBalancerIds)
	}
	for _, o := range all {
		s.Ledger.Release(o.ID)
		s.forget(o.ID)
	}
	return nil, nil
}

// forget what a cluster's controllers asked for and somebody else deleted.
func (s *Server) forget(id string) {
	maps.DeleteFunc(s.extra, func(_, v string) bool { return v == id })
}
