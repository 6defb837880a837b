package tke

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// owned are the keys of tags that say whose a thing is.
var owned = []string{v1alpha1.TagOwner, TagCluster}

// itoa is for vpc, which takes the numbers of pages as strings in some calls.
func itoa(n int) string { return strconv.Itoa(n) }

// wireItem has the fields of all kinds: each product has names of its own.
type wireItem struct {
	InstanceId, InstanceName, InstanceState  string
	DiskId, DiskName, DiskState              string
	LoadBalancerId, LoadBalancerName         string
	NatGatewayId, NatGatewayName             string
	AddressId, AddressName, AddressStatus    string
	NetworkInterfaceId, NetworkInterfaceName string
	SecurityGroupId, SecurityGroupName       string
	State                                    string
	CreatedTime, CreateTime                  string
	Attached, Primary                        bool
	Attachment                               *struct{ InstanceId string }
	Tags, TagSet                             []wireTag
}

// wireTag of any product. clb says TagKey, the others Key.
type wireTag struct{ Key, Value, TagKey, TagValue string }

func (w *wireItem) tags() map[string]string {
	m := map[string]string{}
	for _, t := range slices.Concat(w.Tags, w.TagSet) {
		m[t.Key+t.TagKey] = t.Value + t.TagValue
	}
	return m
}

// A catalogue says how a kind is listed and deleted.
type catalogue struct {
	product, list, set string
	// words says that numbers of pages are strings.
	words bool
	id    func(*wireItem) string
	item  func(*wireItem) Item
	// delete is the action that does it, and parameter what names the things: a
	// list of ids, or one id.
	delete, parameter string
	one               bool
}

var catalogues = map[Kind]catalogue{
	KindInstance: {
		product: "cvm", list: "DescribeInstances", set: "InstanceSet", delete: "TerminateInstances", parameter: "InstanceIds",
		id: func(w *wireItem) string { return w.InstanceId },
		item: func(w *wireItem) Item {
			// Whether its cluster still needs it is for the caller to know.
			busy := w.InstanceState == "PENDING" || w.InstanceState == "TERMINATING" || w.InstanceState == "SHUTDOWN"
			return Item{Name: w.InstanceName, State: w.InstanceState, InUse: busy}
		},
	},
	KindDisk: {
		product: "cbs", list: "DescribeDisks", set: "DiskSet", delete: "TerminateDisks", parameter: "DiskIds",
		id: func(w *wireItem) string { return w.DiskId },
		item: func(w *wireItem) Item {
			return Item{Name: w.DiskName, State: w.DiskState, InUse: w.Attached || w.DiskState != "UNATTACHED"}
		},
	},
	KindLoadBalancer: {
		product: "clb", list: "DescribeLoadBalancers", set: "LoadBalancerSet", delete: "DeleteLoadBalancer", parameter: "LoadBalancerIds",
		id:   func(w *wireItem) string { return w.LoadBalancerId },
		item: func(w *wireItem) Item { return Item{Name: w.LoadBalancerName} },
	},
	KindNATGateway: {
		product: "vpc", list: "DescribeNatGateways", set: "NatGatewaySet", delete: "DeleteNatGateway", parameter: "NatGatewayId", one: true,
		id: func(w *wireItem) string { return w.NatGatewayId },
		item: func(w *wireItem) Item {
			return Item{Name: w.NatGatewayName, State: w.State, InUse: w.State == "PENDING" || w.State == "DELETING" || w.State == "UPDATING"}
		},
	},
	KindAddress: {
		product: "vpc", list: "DescribeAddresses", set: "AddressSet", delete: "ReleaseAddresses", parameter: "AddressIds",
		id: func(w *wireItem) string { return w.AddressId },
		item: func(w *wireItem) Item {
			return Item{Name: w.AddressName, State: w.AddressStatus, InUse: w.AddressStatus != "UNBIND"}
		},
	},
	KindNetworkInterface: {
		product: "vpc", list: "DescribeNetworkInterfaces", set: "NetworkInterfaceSet", delete: "DeleteNetworkInterface", parameter: "NetworkInterfaceId", one: true,
		id: func(w *wireItem) string { return w.NetworkInterfaceId },
		item: func(w *wireItem) Item {
			attached := w.Attachment != nil && w.Attachment.InstanceId != ""
			return Item{Name: w.NetworkInterfaceName, State: w.State, InUse: w.Primary || attached || w.State != "AVAILABLE"}
		},
	},
	KindSecurityGroup: {
		product: "vpc", list: "DescribeSecurityGroups", set: "SecurityGroupSet", delete: "DeleteSecurityGroup", parameter: "SecurityGroupId", one: true,
		words: true,
		id:    func(w *wireItem) string { return w.SecurityGroupId },
		// Whether it is in use is for the cloud to say.
		item: func(w *wireItem) Item { return Item{Name: w.SecurityGroupName} },
	},
}

// ListItems of a kind that carry the owner tag, or that TKE made for a cluster.
func (c *Client) ListItems(ctx context.Context, k Kind) ([]Item, error) {
	if k == KindCluster {
		return c.listClusterItems(ctx)
	}
	cat, ok := catalogues[k]
	if !ok {
		return nil, errors.Errorf("unknown kind %q", k)
	}
	found := map[string]Item{}
	// One filter with both keys would do for some of the products only.
	for _, key := range owned {
		all, err := pages(cat.list, cat.id, func(offset, limit int) ([]*wireItem, *int, error) {
			return c.items(ctx, cat, key, offset, limit)
		})
		if err != nil {
			return nil, err
		}
		for _, w := range all {
			i := cat.item(w)
			i.Kind, i.ID, i.Tags = k, cat.id(w), w.tags()
			i.Created = parseTime(w.CreatedTime + w.CreateTime)
			if i.tagged() {
				found[i.ID] = i
			}
		}
	}
	out := make([]Item, 0, len(found))
	for _, id := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[id])
	}
	return out, nil
}

func (i *Item) tagged() bool {
	return slices.ContainsFunc(owned, func(key string) bool { return i.Tags[key] != "" })
}

// items is a page of those that carry a tag of the key.
func (c *Client) items(ctx context.Context, cat catalogue, key string, offset, limit int) ([]*wireItem, *int, error) {
	parameters := map[string]any{"Filters": []map[string]any{{"Name": "tag-key", "Values": []string{key}}}, "Offset": offset, "Limit": limit}
	if cat.words {
		parameters["Offset"], parameters["Limit"] = itoa(offset), itoa(limit)
	}
	out, err := ask[map[string]any](ctx, c, cat.product, cat.list, parameters)
	if err != nil {
		return nil, nil, err
	}
	var body struct {
		Total *int
		Set   []*wireItem
	}
	if err := convert(map[string]any{"Total": (*out)["TotalCount"], "Set": (*out)[cat.set]}, &body); err != nil {
		return nil, nil, incomplete(cat.list)
	}
	return body.Set, body.Total, nil
}

func (c *Client) listClusterItems(ctx context.Context) ([]Item, error) {
	all, err := c.clusters(ctx, nil, []*tke.Filter{filter("tag-key", v1alpha1.TagOwner)})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, w := range all {
		cl := cluster(w)
		i := Item{Kind: KindCluster, ID: cl.ID, Name: cl.Name, State: cl.State, Tags: cl.Tags, Created: cl.Created, InUse: cl.State == ClusterDeleting}
		if i.tagged() {
			out = append(out, i)
		}
	}
	return out, nil
}

// DeleteItem that is not in use. One that is gone is no error.
func (c *Client) DeleteItem(ctx context.Context, i Item) error {
	if !i.tagged() {
		return errors.Errorf("%s %s carries no tag that says whose it is", i.Kind, i.ID)
	}
	if i.InUse {
		msg := string(i.Kind) + " " + i.ID + " is in use"
		if i.State != "" {
			msg += ": its state is " + i.State
		}
		return &cloud.Error{Class: cloud.WrongState, Operation: "DeleteItem", Code: CodeInUse, Message: msg}
	}
	if i.Kind == KindCluster {
		return ignoreGone(c.DeleteCluster(ctx, i.ID))
	}
	cat, ok := catalogues[i.Kind]
	if !ok {
		return errors.Errorf("unknown kind %q", i.Kind)
	}
	var ids any = []string{i.ID}
	if cat.one {
		ids = i.ID
	}
	_, err := ask[struct{ RequestId string }](ctx, c, cat.product, cat.delete, map[string]any{cat.parameter: ids})
	return ignoreGone(err)
}

func ignoreGone(err error) error {
	if cloud.Is(err, cloud.Gone) {
		return nil
	}
	return err
}
