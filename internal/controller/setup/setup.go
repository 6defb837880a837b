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
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/ack/cluster"
	"regionpool.io/provider-regionpool/internal/controller/ack/nodepool"
	"regionpool.io/provider-regionpool/internal/controller/config"
	"regionpool.io/provider-regionpool/internal/controller/federation"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
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
	// Clock of everything that waits.
	Clock clock.WithTicker
}

// ack returns the options of the ack controllers.
func (o Options) ack() *ackcontroller.Options {
	factory := ack.NewFactory(o.Clock)
	return &ackcontroller.Options{
		PollInProgress: o.PollInProgress,
		ListLag:        o.ListLag,
		Recheck:        patience * o.PollInProgress,
		Patience:       patience * o.PollInProgress,
		Clock:          o.Clock,
		Resolve:        credentials.Resolve,
		Client: func(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (ack.API, error) {
			return factory.Client(spec, raw, region)
		},
		Kubeconfigs: ack.NewKubeconfigs(o.Clock),
		Kube:        kube.NewClients(o.Clock, kube.NewClient),
	}
}

// Gated adds all controllers to the manager. Each starts when the CRDs that it
// needs are served.
func Gated(mgr ctrl.Manager, o controller.Options, po Options) error {
	ao := po.ack()
	for _, f := range []func() error{
		func() error { return customresourcesgate.Setup(mgr, o) },
		func() error { return config.SetupGated(mgr, o) },
		func() error { return cluster.SetupGated(mgr, o, ao) },
		func() error { return nodepool.SetupGated(mgr, o, ao) },
		func() error { return federation.SetupGated(lifecycle.Quiet(mgr), o, po.federation()) },
	} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// All adds all controllers to the manager. Their CRDs have to be there.
func All(mgr ctrl.Manager, o controller.Options, po Options) error {
	ao := po.ack()
	for _, f := range []func() error{
		func() error { return config.Setup(mgr, o) },
		func() error { return cluster.Setup(mgr, o, ao) },
		func() error { return nodepool.Setup(mgr, o, ao) },
		func() error { return federation.Setup(lifecycle.Quiet(mgr), o, po.federation()) },
	} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (o Options) federation() federation.Options {
	return federation.Options{PollInProgress: o.PollInProgress, Clock: o.Clock}
}
