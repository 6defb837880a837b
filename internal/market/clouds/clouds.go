// Package clouds has the markets of Alibaba Cloud and Tencent Cloud.
package clouds

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/aliyun"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/credentials"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/market"
)

// An AliyunFn makes a client of Alibaba Cloud for a region.
type AliyunFn func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (aliyun.Market, error)

// A TencentFn makes a client of Tencent Cloud for a region.
type TencentFn func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (tke.Market, error)

// NewSource returns a SourceFn that reads ProviderConfigs.
func NewSource(kube client.Client, c clock.Clock, ali AliyunFn, tencent TencentFn) market.SourceFn {
	return func(ctx context.Context, a market.Account) (market.Source, error) {
		spec, raw, err := credentials.Get(ctx, kube, a.Namespace, a.Config)
		if err != nil {
			return nil, err
		}
		switch a.Cloud {
		case fleetv1alpha1.CloudACK:
			m, err := ali(spec, raw, a.Region)
			return &alibaba{client: m, clock: c}, err
		case fleetv1alpha1.CloudTKE:
			m, err := tencent(spec, raw, a.Region)
			return &tencentCloud{client: m}, err
		default:
			return nil, errors.Errorf("there is no market of cloud %q", a.Cloud)
		}
	}
}

// alibaba is the market of Alibaba Cloud.
type alibaba struct {
	client aliyun.Market
	clock  clock.Clock
}

// patience is how long to wait when other calls of the account go first. There
// may be more prices to ask for than the account has calls to spare at once.
const patience = time.Second

// Prices take one call for each type, zone and way to rent. That a zone does not
// sell a type is known by the error.
func (s *alibaba) Prices(ctx context.Context, w market.Wanted) ([]market.Quote, error) {
	zones := w.Zones
	if len(zones) == 0 {
		zones = []string{""}
	}
	var todo []aliyun.PriceQuery
	for _, z := range zones {
		for _, t := range w.OnDemand {
			todo = append(todo, aliyun.PriceQuery{InstanceType: t, Zone: z})
		}
		for _, t := range w.Spot {
			todo = append(todo, aliyun.PriceQuery{InstanceType: t, Zone: z, Spot: true})
		}
	}
	var out []market.Quote
	var unclear error
	for _, q := range todo {
		p, err := s.price(ctx, q)
		if cloud.Is(err, cloud.Invalid, cloud.OutOfStock) {
			continue
		}
		if cloud.Is(err, cloud.Unknown) && ctx.Err() == nil {
			// One answer that cannot be read does not hide the others.
			unclear = err
			continue
		}
		if err != nil {
			return out, err
		}
		out = append(out, market.Quote{InstanceType: q.InstanceType, Zone: q.Zone, Spot: q.Spot, Hourly: p.Hourly})
	}
	return out, unclear
}

func (s *alibaba) price(ctx context.Context, q aliyun.PriceQuery) (aliyun.Price, error) {
	for {
		p, err := s.client.Price(ctx, q)
		if !cloud.Is(err, cloud.Throttled) {
			return p, err
		}
		select {
		case <-s.clock.After(patience):
		case <-ctx.Done():
			return p, err
		}
	}
}

// Sizes of container groups that ECI sells, with the same number of vCPUs: what
// they differ by is the price of memory.
const (
	podCPU    = 2
	podMemory = 4
	podMore   = 8
)

// PodPrices take two calls.
func (s *alibaba) PodPrices(ctx context.Context) (*market.PodPrices, error) {
	less, err := s.client.PodPrice(ctx, podCPU, podMemory)
	if err != nil {
		return nil, err
	}
	more, err := s.client.PodPrice(ctx, podCPU, podMore)
	if err != nil {
		return nil, err
	}
	memory := (more.Hourly - less.Hourly) / (podMore - podMemory)
	return &market.PodPrices{CPU: (less.Hourly - podMemory*memory) / podCPU, MemoryGiB: memory}, nil
}

func (s *alibaba) Stock(ctx context.Context, w market.Wanted) ([]market.Quote, error) {
	var out []market.Quote
	for spot, types := range map[bool][]string{false: w.OnDemand, true: w.Spot} {
		if len(types) == 0 {
			continue
		}
		l, err := s.client.Stock(ctx, spot)
		if err != nil {
			return nil, err
		}
		for _, q := range l {
			out = append(out, market.Quote{InstanceType: q.InstanceType, Zone: q.Zone, Spot: spot, Available: q.Available})
		}
	}
	return out, nil
}

func (s *alibaba) Subnets(ctx context.Context, w market.Wanted) ([]market.Subnet, error) {
	var out []market.Subnet
	for _, id := range w.VPCs {
		l, err := s.client.VSwitches(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, v := range l {
			out = append(out, market.Subnet{ID: v.ID, VPC: v.VPC, Zone: v.Zone, Free: v.Free})
		}
	}
	return out, nil
}

// tencentCloud is the market of Tencent Cloud, where one call tells prices and
// stock.
type tencentCloud struct{ client tke.Market }

func (s *tencentCloud) offers(ctx context.Context, w market.Wanted) ([]market.Quote, error) {
	l, err := s.client.ListOffers(ctx, w.Types())
	if err != nil {
		return nil, err
	}
	out := make([]market.Quote, 0, len(l))
	for _, o := range l {
		out = append(out, market.Quote{InstanceType: o.InstanceType, Zone: o.Zone, Spot: o.Spot, Hourly: o.Price, Available: o.Available})
	}
	return out, nil
}

func (s *tencentCloud) Prices(ctx context.Context, w market.Wanted) ([]market.Quote, error) {
	return s.offers(ctx, w)
}

// PodPrices are not told: the API of TKE says how a pod is charged, but not how
// much.
func (s *tencentCloud) PodPrices(context.Context) (*market.PodPrices, error) { return nil, nil }

func (s *tencentCloud) Stock(ctx context.Context, w market.Wanted) ([]market.Quote, error) {
	return s.offers(ctx, w)
}

func (s *tencentCloud) Subnets(ctx context.Context, w market.Wanted) ([]market.Subnet, error) {
	l, err := s.client.ListSubnets(ctx, w.Subnets)
	if cloud.Is(err, cloud.Gone, cloud.Invalid) && len(w.Subnets) > 0 {
		// One that does not exist fails the call for all. The others are not to
		// suffer from it.
		l, err = s.eachSubnet(ctx, w.Subnets)
	}
	if err != nil {
		return nil, err
	}
	out := make([]market.Subnet, 0, len(l))
	for _, n := range l {
		out = append(out, market.Subnet{ID: n.ID, VPC: n.VPCID, Zone: n.Zone, Free: int64(n.FreeIPs)})
	}
	return out, nil
}

func (s *tencentCloud) eachSubnet(ctx context.Context, ids []string) ([]tke.Subnet, error) {
	var out []tke.Subnet
	for _, id := range ids {
		l, err := s.client.ListSubnets(ctx, []string{id})
		if cloud.Is(err, cloud.Gone, cloud.Invalid) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, l...)
	}
	return out, nil
}
