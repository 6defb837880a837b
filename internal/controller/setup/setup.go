// Package setup puts all controllers of the provider together.
package setup

import (
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/customresourcesgate"

	pcv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/credentials"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	ackcluster "regionpool.io/provider-regionpool/internal/controller/ack/cluster"
	acknodepool "regionpool.io/provider-regionpool/internal/controller/ack/nodepool"
	"regionpool.io/provider-regionpool/internal/controller/config"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/federation"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
	tkecontroller "regionpool.io/provider-regionpool/internal/controller/tke"
	tkecluster "regionpool.io/provider-regionpool/internal/controller/tke/cluster"
	tkenodepool "regionpool.io/provider-regionpool/internal/controller/tke/nodepool"
	"regionpool.io/provider-regionpool/internal/controller/tke/virtualnodepool"
	"regionpool.io/provider-regionpool/internal/market"
)

// patience is how many polls in progress the provider has patience for: five
// minutes at the default of five seconds.
const patience = 60

// Options of the provider beside those that all Crossplane controllers have.
type Options struct {
	// PollInProgress is how often to look while something is under way.
	PollInProgress time.Duration
	// ListLag is how long lists of the cloud may lag behind writes.
	ListLag time.Duration
	// Market is how often the clouds are asked for prices, stock and addresses.
	Market market.Options
	// SweepInterval is how often accounts are searched for leaks, and LeakGrace
	// how long something has no owner before it is one.
	SweepInterval, LeakGrace time.Duration
	// Clock of everything that waits.
	Clock clock.WithTicker
}

// elastic returns the options of the controllers of rented clusters.
func (o Options) elastic() *elastic.Options {
	return &elastic.Options{
		PollInProgress: o.PollInProgress,
		ListLag:        o.ListLag,
		Recheck:        patience * o.PollInProgress,
		Patience:       patience * o.PollInProgress,
		Clock:          o.Clock,
		Resolve:        credentials.Resolve,
		Kubeconfigs:    kube.NewKubeconfigs(o.Clock),
		Kube:           kube.NewClients(o.Clock, kube.NewClient),
	}
}

func (o Options) clouds() clouds {
	return clouds{ack: ack.NewFactory(o.Clock), tke: tke.NewFactory(o.Clock)}
}

// clouds makes clients of all clouds. Each keeps one token bucket for an account,
// so there must be one of it in a process.
type clouds struct {
	ack *ack.Factory
	tke *tke.Factory
}

func (c clouds) newACK(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (ack.API, error) {
	return c.ack.Client(spec, raw, region)
}

func (c clouds) newTKE(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (tkecontroller.Client, error) {
	return c.tke.Client(spec, raw, region)
}

// rented are the controllers of what is rented, of all clouds.
func (c clouds) rented() []*elastic.Controller {
	return []*elastic.Controller{
		ackcluster.Kind(c.newACK).Controller(),
		acknodepool.Kind(c.newACK).Controller(),
		tkecluster.Kind(c.newTKE).Controller(),
		tkenodepool.Kind(c.newTKE).Controller(),
	}
}

// Gated adds all controllers to the manager. Each starts when the CRDs that it
// needs are served.
func Gated(mgr ctrl.Manager, o controller.Options, po Options) error {
	if err := customresourcesgate.Setup(mgr, o); err != nil {
		return err
	}
	if err := config.SetupGated(mgr, o); err != nil {
		return err
	}
	eo, all := po.elastic(), po.clouds()
	for _, c := range all.rented() {
		if err := c.SetupGated(mgr, o, eo); err != nil {
			return err
		}
	}
	if err := virtualnodepool.SetupGated(mgr, o, eo, all.newTKE); err != nil {
		return err
	}
	fo, err := accounts(mgr, o, po, all)
	if err != nil {
		return err
	}
	return federation.SetupGated(lifecycle.Quiet(mgr), o, fo)
}

// All adds all controllers to the manager. Their CRDs have to be there.
func All(mgr ctrl.Manager, o controller.Options, po Options) error {
	if err := config.Setup(mgr, o); err != nil {
		return err
	}
	eo, all := po.elastic(), po.clouds()
	for _, c := range all.rented() {
		if err := c.Setup(mgr, o, eo); err != nil {
			return err
		}
	}
	if err := virtualnodepool.Setup(mgr, o, eo, all.newTKE); err != nil {
		return err
	}
	fo, err := accounts(mgr, o, po, all)
	if err != nil {
		return err
	}
	return federation.Setup(lifecycle.Quiet(mgr), o, fo)
}

func (o Options) federation() federation.Options {
	return federation.Options{PollInProgress: o.PollInProgress, Clock: o.Clock}
}
