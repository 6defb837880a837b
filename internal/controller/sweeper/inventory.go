package sweeper

import (
	"context"
	"time"

	"k8s.io/utils/clock"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/aliyun"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/tke"
)

// KindCluster is the kind of clusters. While a cluster exists, what was made for
// it is its own business.
const KindCluster = "Cluster"

// A Thing in an account that carries one of our tags, or the tag of a cluster.
type Thing struct {
	Kind, ID string
	// Owner is the value of the owner tag, or empty.
	Owner string
	// Cluster is the id of the cluster that the cloud made it for, or empty.
	Cluster string
	// Leaks is the value of the tag that says what to do with leaks.
	Leaks string
	// Ends says that the cloud is deleting it.
	Ends bool

	remove func(ctx context.Context) error
}

// An Inventory lists the things of one region.
type Inventory interface {
	// Kinds in the order in which they can be deleted.
	Kinds() []string
	// List the things of a kind that carry the owner tag or that of a cluster. An
	// error means that nothing is known about the kind.
	List(ctx context.Context, kind string) ([]Thing, error)
	// Delete a thing that was listed. Things in use and protected things are
	// refused.
	Delete(ctx context.Context, t Thing) error
}

// An InventoryFn makes the inventory of a region with the credentials of a
// configuration.
type InventoryFn func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (Inventory, error)

// Clients of the clouds.
type Clients struct {
	ACK     func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (ack.Inventory, error)
	Aliyun  func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (aliyun.Inventory, error)
	Tencent func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (tke.Inventory, error)
}

// NewInventoryFn returns an InventoryFn for both clouds.
func NewInventoryFn(c Clients, clk clock.Clock) InventoryFn {
	return func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (Inventory, error) {
		switch spec.Type {
		case v1alpha1.TypeAlibabaCloud:
			clusters, err := c.ACK(spec, raw, region)
			if err != nil {
				return nil, err
			}
			things, err := c.Aliyun(spec, raw, region)
			return patient{Inventory: &alibaba{clusters: clusters, things: things}, clock: clk}, err
		case v1alpha1.TypeTencentCloud:
			items, err := c.Tencent(spec, raw, region)
			return patient{Inventory: &tencent{items: items}, clock: clk}, err
		case v1alpha1.TypeKarmada:
		}
		return nil, errors.Errorf("a configuration of type %q is no cloud", spec.Type)
	}
}

// Patience with other calls of the account, which go first.
const (
	patience    = time.Second
	maxPatience = time.Minute
)

// patient inventories wait for their turn.
type patient struct {
	Inventory
	clock clock.Clock
}

func (p patient) List(ctx context.Context, kind string) ([]Thing, error) {
	for deadline := p.clock.Now().Add(maxPatience); ; {
		l, err := p.Inventory.List(ctx, kind)
		if !cloud.Is(err, cloud.Throttled) || p.clock.Now().After(deadline) {
			return l, err
		}
		select {
		case <-p.clock.After(patience):
		case <-ctx.Done():
			return l, err
		}
	}
}

// alibaba is an inventory of Alibaba Cloud.
type alibaba struct {
	clusters ack.Inventory
	things   aliyun.Inventory
}

func (a *alibaba) Kinds() []string {
	kinds := []string{KindCluster}
	for _, k := range aliyun.Kinds {
		kinds = append(kinds, string(k))
	}
	return kinds
}

func (a *alibaba) List(ctx context.Context, kind string) ([]Thing, error) {
	if kind == KindCluster {
		return a.listClusters(ctx)
	}
	var out []Thing
	seen := map[string]bool{}
	// One call with both keys would find what has both tags.
	for _, key := range []string{v1alpha1.TagOwner, aliyun.TagCluster} {
		l, err := a.things.List(ctx, aliyun.Kind(kind), key, "")
		if err != nil {
			return nil, err
		}
		for _, t := range l {
			if seen[t.ID] {
				continue
			}
			seen[t.ID] = true
			out = append(out, Thing{
				Kind: kind, ID: t.ID, Owner: t.Tags[v1alpha1.TagOwner], Cluster: t.Tags[aliyun.TagCluster], Leaks: t.Tags[v1alpha1.TagLeaks],
				remove: func(ctx context.Context) error { return a.things.Delete(ctx, t) },
			})
		}
	}
	return out, nil
}

func (a *alibaba) listClusters(ctx context.Context) ([]Thing, error) {
	l, err := a.clusters.ListTagged(ctx, v1alpha1.TagOwner)
	if err != nil {
		return nil, err
	}
	out := make([]Thing, 0, len(l))
	for _, c := range l {
		out = append(out, Thing{
			Kind: KindCluster, ID: c.ID, Owner: c.Tags[v1alpha1.TagOwner], Leaks: c.Tags[v1alpha1.TagLeaks], Ends: c.State == ack.ClusterDeleting,
			remove: func(ctx context.Context) error {
				if c.DeletionProtection {
					return &cloud.Error{Class: cloud.Protected, Operation: "DeleteCluster", Message: c.ID + " is protected against deletion: switch that off"}
				}
				_, err := a.clusters.DeleteCluster(ctx, c.ID)
				if cloud.Is(err, cloud.Gone) {
					return nil
				}
				return err
			},
		})
	}
	return out, nil
}

func (a *alibaba) Delete(ctx context.Context, t Thing) error { return t.remove(ctx) }

// tencent is an inventory of Tencent Cloud.
type tencent struct{ items tke.Inventory }

func (t *tencent) Kinds() []string {
	kinds := make([]string, 0, len(tke.Kinds))
	for _, k := range tke.Kinds {
		kinds = append(kinds, string(k))
	}
	return kinds
}

func (t *tencent) List(ctx context.Context, kind string) ([]Thing, error) {
	l, err := t.items.ListItems(ctx, tke.Kind(kind))
	if err != nil {
		return nil, err
	}
	out := make([]Thing, 0, len(l))
	for _, i := range l {
		out = append(out, Thing{
			Kind: kind, ID: i.ID, Owner: i.Tags[v1alpha1.TagOwner], Cluster: i.Tags[tke.TagCluster], Leaks: i.Tags[v1alpha1.TagLeaks],
			Ends:   i.Kind == tke.KindCluster && i.State == tke.ClusterDeleting,
			remove: func(ctx context.Context) error { return t.items.DeleteItem(ctx, i) },
		})
	}
	return out, nil
}

func (t *tencent) Delete(ctx context.Context, x Thing) error { return x.remove(ctx) }
