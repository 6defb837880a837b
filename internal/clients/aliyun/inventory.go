package aliyun

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/eci"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/slb"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// pageSize of all lists but those of ECI, which gives at most 20.
const (
	pageSize    = 50
	eciPageSize = 20
)

// A filter is a tag to list by. The value may be empty.
type filter struct{ key, value string }

func (f filter) matches(t Thing) bool {
	v, ok := t.Tags[f.key]
	return ok && (f.value == "" || v == f.value)
}

// A page of a list.
type page struct {
	things []Thing
	// total of all pages, or next, the token of the page after this one: lists
	// have either.
	total int
	next  string
}

// A lister gets one page, by number or by the token of the page before.
type lister func(ctx context.Context, c *client, f filter, number int, token string) (page, error)

var listers = map[Kind]lister{
	KindInstance:         listInstances,
	KindContainerGroup:   listContainerGroups,
	KindLoadBalancer:     listLoadBalancers,
	KindNATGateway:       listNATGateways,
	KindAddress:          listAddresses,
	KindDisk:             listDisks,
	KindNetworkInterface: listNetworkInterfaces,
	KindSecurityGroup:    listSecurityGroups,
}

// List the things of a kind that carry a tag.
func (c *client) List(ctx context.Context, kind Kind, key, value string) ([]Thing, error) {
	list := listers[kind]
	if list == nil {
		return nil, &cloud.Error{Class: cloud.Invalid, Operation: "List" + string(kind), Message: "there is no such kind"}
	}
	f := filter{key: key, value: value}
	var all []Thing
	seen, token := 0, ""
	for number := 1; ; number++ {
		if number > maxPages {
			return nil, incomplete("List" + string(kind))
		}
		p, err := list(ctx, c, f, number, token)
		if err != nil {
			return nil, err
		}
		for _, t := range p.things {
			// We only ever act on what carries the tag, whatever the filter of
			// the API lets through.
			if t.Kind = kind; t.ID != "" && f.matches(t) {
				all = append(all, t)
			}
		}
		seen += len(p.things)
		token = p.next
		if len(p.things) == 0 || token == "" && seen >= p.total {
			break
		}
	}
	slices.SortFunc(all, func(a, b Thing) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(all, func(a, b Thing) bool { return a.ID == b.ID }), nil
}

// when parses the times of the products, or gives none.
func when(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

func ecsTags(tags []ecs.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[cmp.Or(t.TagKey, t.Key)] = cmp.Or(t.TagValue, t.Value)
	}
	return m
}

func vpcTags(tags []vpc.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[cmp.Or(t.TagKey, t.Key)] = cmp.Or(t.TagValue, t.Value)
	}
	return m
}

func slbTags(tags []slb.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.TagKey] = t.TagValue
	}
	return m
}

func listInstances(ctx context.Context, c *client, f filter, number int, _ string) (page, error) {
	req := ecs.CreateDescribeInstancesRequest()
	req.Tag = &[]ecs.DescribeInstancesTag{{Key: f.key, Value: f.value}}
	req.PageNumber, req.PageSize = requests.NewInteger(number), requests.NewInteger(pageSize)
	out := ecs.CreateDescribeInstancesResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return page{}, err
	}
	p := page{total: out.TotalCount}
	for _, i := range out.Instances.Instance {
		p.things = append(p.things, Thing{ID: i.InstanceId, Tags: ecsTags(i.Tags.Tag), Created: when(i.CreationTime), Protected: i.DeletionProtection})
	}
	return p, nil
}

func listDisks(ctx context.Context, c *client, f filter, number int, _ string) (page, error) {
	req := ecs.CreateDescribeDisksRequest()
	req.Tag = &[]ecs.DescribeDisksTag{{Key: f.key, Value: f.value}}
	req.PageNumber, req.PageSize = requests.NewInteger(number), requests.NewInteger(pageSize)
	out := ecs.CreateDescribeDisksResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return page{}, err
	}
	p := page{total: out.TotalCount}
	for _, d := range out.Disks.Disk {
		p.things = append(p.things, Thing{ID: d.DiskId, Tags: ecsTags(d.Tags.Tag), Created: when(d.CreationTime), UsedBy: d.InstanceId})
	}
	return p, nil
}

func listNetworkInterfaces(ctx context.Context, c *client, f filter, number int, _ string) (page, error) {
	req := ecs.CreateDescribeNetworkInterfacesRequest()
	req.Tag = &[]ecs.DescribeNetworkInterfacesTag{{Key: f.key, Value: f.value}}
	req.PageNumber, req.PageSize = requests.NewInteger(number), requests.NewInteger(pageSize)
	out := ecs.CreateDescribeNetworkInterfacesResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return page{}, err
	}
	p := page{total: out.TotalCount}
	for _, n := range out.NetworkInterfaceSets.NetworkInterfaceSet {
		p.things = append(p.things, Thing{ID: n.NetworkInterfaceId, Tags: ecsTags(n.Tags.Tag), Created: when(n.CreationTime), UsedBy: n.InstanceId, Protected: n.ServiceManaged})
	}
	return p, nil
}

func listSecurityGroups(ctx context.Context, c *client, f filter, number int, _ string) (page, error) {
	req := ecs.CreateDescribeSecurityGroupsRequest()
	req.Tag = &[]ecs.DescribeSecurityGroupsTag{{Key: f.key, Value: f.value}}
	req.PageNumber, req.PageSize = requests.NewInteger(number), requests.NewInteger(pageSize)
	out := ecs.CreateDescribeSecurityGroupsResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return page{}, err
	}
	p := page{total: out.TotalCount}
	for _, g := range out.SecurityGroups.SecurityGroup {
		p.things = append(p.things, Thing{ID: g.SecurityGroupId, Tags: ecsTags(g.Tags.Tag), Created: when(g.CreationTime), Protected: g.ServiceManaged})
	}
	return p, nil
}

func listLoadBalancers(ctx context.Context, c *client, f filter, number int, _ string) (page, error) {
	req := slb.CreateDescribeLoadBalancersRequest()
	req.Tag = &[]slb.DescribeLoadBalancersTag{{Key: f.key, Value: f.value}}
	req.PageNumber, req.PageSize = requests.NewInteger(number), requests.NewInteger(pageSize)
	out := slb.CreateDescribeLoadBalancersResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return page{}, err
	}
	p := page{total: out.TotalCount}
	for _, l := range out.LoadBalancers.LoadBalancer {
		p.things = append(p.things, Thing{ID: l.LoadBalancerId, Tags: slbTags(l.Tags.Tag), Created: when(l.CreateTime), Protected: l.DeleteProtection == "on"})
	}
	return p, nil
}

func listNATGateways(ctx context.Context, c *client, f filter, number int, _ string) (page, error) {
	req := vpc.CreateDescribeNatGatewaysRequest()
	req.Tag = &[]vpc.DescribeNatGatewaysTag{{Key: f.key, Value: f.value}}
	req.PageNumber, req.PageSize = requests.NewInteger(number), requests.NewInteger(pageSize)
	out := vpc.CreateDescribeNatGatewaysResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return page{}, err
	}
	p := page{total: out.TotalCount}
	for _, n := range out.NatGateways.NatGateway {
		p.things = append(p.things, Thing{ID: n.NatGatewayId, Tags: vpcTags(n.Tags.Tag), Created: when(n.CreationTime), Protected: n.DeletionProtection})
	}
	return p, nil
}

func listAddresses(ctx context.Context, c *client, f filter, number int, _ string) (page, error) {
	req := vpc.CreateDescribeEipAddressesRequest()
	req.Tag = &[]vpc.DescribeEipAddressesTag{{Key: f.key, Value: f.value}}
	req.PageNumber, req.PageSize = requests.NewInteger(number), requests.NewInteger(pageSize)
	out := vpc.CreateDescribeEipAddressesResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return page{}, err
	}
	p := page{total: out.TotalCount}
	for _, a := range out.EipAddresses.EipAddress {
		p.things = append(p.things, Thing{ID: a.AllocationId, Tags: vpcTags(a.Tags.Tag), Created: when(a.AllocationTime), UsedBy: a.InstanceId, Protected: a.DeletionProtection})
	}
	return p, nil
}

func listContainerGroups(ctx context.Context, c *client, f filter, _ int, token string) (page, error) {
	req := eci.CreateDescribeContainerGroupsRequest()
	req.RegionId = c.region
	req.Tag = &[]eci.DescribeContainerGroupsTag{{Key: f.key, Value: f.value}}
	req.Limit, req.NextToken = requests.NewInteger(eciPageSize), token
	out := eci.CreateDescribeContainerGroupsResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return page{}, err
	}
	p := page{next: out.NextToken}
	for _, g := range out.ContainerGroups {
		t := Thing{ID: g.ContainerGroupId, Tags: make(map[string]string, len(g.Tags)), Created: when(g.CreationTime)}
		for _, tag := range g.Tags {
			t.Tags[tag.Key] = tag.Value
		}
		p.things = append(p.things, t)
	}
	return p, nil
}

// Delete a thing that nothing uses.
func (c *client) Delete(ctx context.Context, t Thing) error {
	op := "Delete" + string(t.Kind)
	if t.Protected {
		return &cloud.Error{Class: cloud.Protected, Operation: op, Message: t.ID + " is protected against deletion: switch that off"}
	}
	if t.UsedBy != "" {
		return &cloud.Error{Class: cloud.WrongState, Operation: op, Message: t.ID + " is attached to " + t.UsedBy}
	}
	err := c.delete(ctx, t)
	if cloud.Is(err, cloud.Gone) {
		return nil
	}
	return err
}

func (c *client) delete(ctx context.Context, t Thing) error {
	switch t.Kind {
	case KindInstance:
		req := ecs.CreateDeleteInstanceRequest()
		req.InstanceId = t.ID
		// Without it only machines are deleted that were stopped before.
		req.Force = requests.NewBoolean(true)
		return c.call(ctx, rpc{req, req.RpcRequest}, ecs.CreateDeleteInstanceResponse())
	case KindDisk:
		req := ecs.CreateDeleteDiskRequest()
		req.DiskId = t.ID
		return c.call(ctx, rpc{req, req.RpcRequest}, ecs.CreateDeleteDiskResponse())
	case KindNetworkInterface:
		req := ecs.CreateDeleteNetworkInterfaceRequest()
		req.NetworkInterfaceId = t.ID
		return c.call(ctx, rpc{req, req.RpcRequest}, ecs.CreateDeleteNetworkInterfaceResponse())
	case KindSecurityGroup:
		req := ecs.CreateDeleteSecurityGroupRequest()
		req.SecurityGroupId = t.ID
		return c.call(ctx, rpc{req, req.RpcRequest}, ecs.CreateDeleteSecurityGroupResponse())
	case KindLoadBalancer:
		req := slb.CreateDeleteLoadBalancerRequest()
		req.LoadBalancerId = t.ID
		return c.call(ctx, rpc{req, req.RpcRequest}, slb.CreateDeleteLoadBalancerResponse())
	case KindNATGateway:
		req := vpc.CreateDeleteNatGatewayRequest()
		req.NatGatewayId = t.ID
		// It also deletes the gateway's own entries, and unbinds its addresses.
		req.Force = requests.NewBoolean(true)
		return c.call(ctx, rpc{req, req.RpcRequest}, vpc.CreateDeleteNatGatewayResponse())
	case KindAddress:
		req := vpc.CreateReleaseEipAddressRequest()
		req.AllocationId = t.ID
		return c.call(ctx, rpc{req, req.RpcRequest}, vpc.CreateReleaseEipAddressResponse())
	case KindContainerGroup:
		req := eci.CreateDeleteContainerGroupRequest()
		req.RegionId, req.ContainerGroupId = c.region, t.ID
		return c.call(ctx, rpc{req, req.RpcRequest}, eci.CreateDeleteContainerGroupResponse())
	default:
		return &cloud.Error{Class: cloud.Invalid, Operation: "Delete" + string(t.Kind), Message: "there is no such kind"}
	}
}
