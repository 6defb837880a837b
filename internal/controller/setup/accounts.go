package setup

import (
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	pcv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/aliyun"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/federation"
	"regionpool.io/provider-regionpool/internal/controller/sweeper"
	"regionpool.io/provider-regionpool/internal/market"
	marketclouds "regionpool.io/provider-regionpool/internal/market/clouds"
)

// accounts adds what looks at whole accounts to the manager: the market, which
// the federation's options then have, and the sweeper.
func accounts(mgr ctrl.Manager, o controller.Options, po Options, c clouds) (federation.Options, error) {
	// It shares the buckets of ACK's clients.
	rpc := aliyun.NewFactory(po.Clock, c.ack.Buckets())

	feed := market.NewFeed(marketclouds.NewSource(mgr.GetClient(), po.Clock,
		func(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (aliyun.Market, error) {
			return rpc.Client(spec, raw, region)
		},
		func(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (tke.Market, error) {
			return c.tke.Client(spec, raw, region)
		}), po.Clock, o.Logger, po.Market)
	if err := mgr.Add(feed); err != nil {
		return federation.Options{}, errors.Wrap(err, "cannot add the market to the manager")
	}

	err := sweeper.Setup(mgr, o.Logger, sweeper.Options{
		Interval: po.SweepInterval, Grace: po.LeakGrace, Clock: po.Clock,
		Inventory: sweeper.NewInventoryFn(sweeper.Clients{
			ACK: func(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (ack.Inventory, error) {
				return c.ack.Inventory(spec, raw, region)
			},
			Aliyun: func(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (aliyun.Inventory, error) {
				return rpc.Client(spec, raw, region)
			},
			Tencent: func(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (tke.Inventory, error) {
				return c.tke.Client(spec, raw, region)
			},
		}, po.Clock),
	})
	fo := po.federation()
	fo.Market = feed
	return fo, err
}
