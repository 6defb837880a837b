// Package sweeper looks for what clusters and node pools have left behind in the
// accounts of the clouds.
//
// From time to time it lists everything that carries our tags, in every region
// in which something was ever made, and compares it with the managed resources
// that exist. What has no owner for a while, and was seen so more than once, is
// a leak: it is reported by an event, a metric and the status of the
// ProviderConfig. It is deleted only if its claim asked for that, by a tag.
//
// Nothing is concluded from an error. What cannot be listed is unknown, not
// absent; and if the managed resources cannot be listed, nothing is done at all.
package sweeper

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/credentials"
)

// Defaults of the flags.
const (
	DefaultInterval = 10 * time.Minute
	DefaultGrace    = 15 * time.Minute
)

// sweepTimeout of one region.
const sweepTimeout = 5 * time.Minute

// Events of the sweeper, on a ProviderConfig.
const (
	reasonLeak    event.Reason = "LeakedResource"
	reasonDeleted event.Reason = "DeletedLeakedResource"
	reasonFailed  event.Reason = "CannotDeleteLeakedResource"
)

// leaksGauge counts leaks. Its account is the configuration, not the key.
var leaksGauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "regionpool_leaks",
	Help: "Billed things in an account that carry our tag while their managed resource is gone.",
}, []string{"account", "region", "kind"})

var sweepsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "regionpool_sweeps_total",
	Help: "Sweeps of a region of an account, by result: complete, partial (something could not be listed) or failed.",
}, []string{"account", "region", "result"})

var register = sync.OnceFunc(func() { metrics.Registry.MustRegister(leaksGauge, sweepsTotal) })

// Options of a Sweeper.
type Options struct {
	// Interval between sweeps. The default is ten minutes.
	Interval time.Duration
	// Grace is how long something must have been without an owner before it is
	// a leak. It is deleted, if at all, when that time has passed again. The
	// default is fifteen minutes.
	Grace time.Duration
	// Inventory of a region.
	Inventory InventoryFn
	// Clock to wait by.
	Clock clock.WithTicker
}

// A Sweeper is a manager's Runnable.
type Sweeper struct {
	Options
	kube     client.Client
	live     client.Reader
	recorder event.Recorder
	log      logging.Logger

	// accounts by configuration. Only Start's goroutine uses them.
	accounts map[string]*account
}

// Setup adds a sweeper to the manager.
func Setup(mgr ctrl.Manager, log logging.Logger, o Options) error {
	register()
	//lint:ignore SA1019 crossplane-runtime has no recorder for the new API: crossplane/crossplane#7152.
	r := event.NewAPIRecorder(mgr.GetEventRecorderFor("sweeper"))
	return errors.Wrap(mgr.Add(New(mgr.GetClient(), mgr.GetAPIReader(), r, log, o)), "cannot add the sweeper to the manager")
}

// New returns a Sweeper that writes with a client and reads, uncached, with a
// reader.
func New(kube client.Client, live client.Reader, r event.Recorder, log logging.Logger, o Options) *Sweeper {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Grace <= 0 {
		o.Grace = DefaultGrace
	}
	return &Sweeper{Options: o, kube: kube, live: live, recorder: r, log: log.WithValues("controller", "sweeper"), accounts: map[string]*account{}}
}

// NeedLeaderElection is true: two sweepers would delete twice.
func (s *Sweeper) NeedLeaderElection() bool { return true }

// Start sweeping until the context is done. The first sweep is soon after the
// start.
func (s *Sweeper) Start(ctx context.Context) error {
	wait := s.Interval / 10
	for {
		t := s.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C():
		}
		s.Sweep(ctx)
		wait = s.Interval - s.Interval/20 + rand.N(s.Interval/10+1)
	}
}

// A config is a ProviderConfig or a ClusterProviderConfig.
type config struct {
	ref       xpv2.ProviderConfigReference
	namespace string
	kind      v1alpha1.ProviderConfigType
	status    v1alpha1.ProviderConfigStatus
}

// name of the configuration in metrics and logs.
func (c config) name() string {
	if c.namespace == "" {
		return c.ref.Name
	}
	return c.namespace + "/" + c.ref.Name
}

func (c config) key() string { return c.ref.Kind + "/" + c.name() }

// Sweep all accounts once.
func (s *Sweeper) Sweep(ctx context.Context) {
	configs, err := s.configs(ctx)
	if err != nil {
		s.log.Info("Cannot sweep", "error", err.Error())
		return
	}
	known := map[string]v1alpha1.Owner{}
	byCluster := map[string]v1alpha1.Owner{}
	for _, c := range configs {
		for _, o := range c.status.Owners {
			known[o.UID] = careful(known, o.UID, o)
			if o.ClusterID != "" {
				byCluster[o.ClusterID] = careful(byCluster, o.ClusterID, o)
			}
		}
	}
	for key := range s.accounts {
		if !slices.ContainsFunc(configs, func(c config) bool { return c.key() == key }) {
			s.accounts[key].forget()
			delete(s.accounts, key)
		}
	}
	for _, c := range configs {
		if ctx.Err() != nil {
			return
		}
		a := s.accounts[c.key()]
		if a == nil {
			a = newAccount(c)
			s.accounts[c.key()] = a
		}
		if err := s.sweep(ctx, a, c, known, byCluster); err != nil {
			s.log.Info("Cannot sweep", "config", c.name(), "error", err.Error())
		}
	}
}

// careful returns what is known of an owner that several configurations
// remember, because it changed from one to another: what spares its things most
// counts.
func careful(known map[string]v1alpha1.Owner, key string, o v1alpha1.Owner) v1alpha1.Owner {
	have, ok := known[key]
	spares := map[string]int{v1alpha1.LeaksDelete: 0, "": 1, v1alpha1.LeaksKeep: 2}
	if ok && spares[have.Leaks] > spares[o.Leaks] {
		return have
	}
	return o
}

// configs of clouds, from the API server.
func (s *Sweeper) configs(ctx context.Context) ([]config, error) {
	pcs, cpcs := &v1alpha1.ProviderConfigList{}, &v1alpha1.ClusterProviderConfigList{}
	if err := lists(ctx, s.live, pcs, cpcs); err != nil {
		return nil, err
	}
	var out []config
	for _, pc := range pcs.Items {
		out = append(out, config{
			ref: xpv2.ProviderConfigReference{Kind: v1alpha1.ProviderConfigKind, Name: pc.GetName()}, namespace: pc.GetNamespace(),
			kind: pc.Spec.Type, status: pc.Status,
		})
	}
	for _, pc := range cpcs.Items {
		out = append(out, config{
			ref:  xpv2.ProviderConfigReference{Kind: v1alpha1.ClusterProviderConfigKind, Name: pc.GetName()},
			kind: pc.Spec.Type, status: pc.Status,
		})
	}
	return slices.DeleteFunc(out, func(c config) bool {
		return c.kind != v1alpha1.TypeAlibabaCloud && c.kind != v1alpha1.TypeTencentCloud || len(c.status.Regions) == 0
	}), nil
}

// sweep one account.
func (s *Sweeper) sweep(ctx context.Context, a *account, c config, known, byCluster map[string]v1alpha1.Owner) error {
	spec, raw, err := credentials.Get(ctx, s.kube, c.namespace, c.ref)
	if err != nil {
		return err
	}
	found := map[place][]Thing{}
	inventories := map[string]Inventory{}
	complete := true
	for _, region := range c.status.Regions {
		inv, err := s.Inventory(spec, raw, region)
		if err != nil {
			return err
		}
		inventories[region] = inv
		complete = s.list(ctx, c, region, inv, found) && complete
	}

	// The owners are listed after what they own: whoever made a thing was there
	// before it.
	alive, err := listLiving(ctx, s.live, c.kind)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	a.compare(found, judge{living: alive, known: known, byCluster: byCluster}, now)
	leaks := a.leaks(now, s.Grace)
	s.report(ctx, a, c, leaks)
	s.remove(ctx, c, inventories, judge{known: known, byCluster: byCluster}, found, leaks)
	return s.write(ctx, a, c, alive, found, complete)
}

// list a region. It reports whether all of it could be listed.
func (s *Sweeper) list(ctx context.Context, c config, region string, inv Inventory, found map[place][]Thing) bool {
	ctx, cancel := context.WithTimeout(cloud.Background(ctx), sweepTimeout)
	defer cancel()
	result, listed := "complete", 0
	for _, kind := range inv.Kinds() {
		l, err := inv.List(ctx, kind)
		if err != nil {
			s.log.Info("Cannot list what is in an account: nothing is concluded", "config", c.name(), "region", region, "kind", kind, "error", err.Error())
			result = "partial"
			continue
		}
		found[place{region: region, kind: kind}] = l
		listed++
	}
	if listed == 0 {
		result = "failed"
	}
	sweepsTotal.WithLabelValues(c.name(), region, result).Inc()
	return result == "complete"
}

// object of a configuration for events and for its status.
func (s *Sweeper) object(ctx context.Context, c config) (client.Object, *v1alpha1.ProviderConfigStatus, error) {
	nn := client.ObjectKey{Namespace: c.namespace, Name: c.ref.Name}
	if c.ref.Kind == v1alpha1.ProviderConfigKind {
		pc := &v1alpha1.ProviderConfig{}
		err := s.live.Get(ctx, nn, pc)
		return pc, &pc.Status, err
	}
	pc := &v1alpha1.ClusterProviderConfig{}
	err := s.live.Get(ctx, nn, pc)
	return pc, &pc.Status, err
}
