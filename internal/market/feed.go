// Package market knows what offerings cost at their clouds, whether they are in
// stock, and whether their subnets have addresses left.
//
// A Feed asks the clouds in the background and answers from memory: nobody waits
// for a price. What a cloud fails to say keeps its last value, whose age is
// known; what is too old, or absurd, is not believed, and the answer says so.
// Nothing is asked for that nobody wants to know.
package market

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// Options of a Feed. Zero values give the defaults.
type Options struct {
	// Prices, Stock and Subnets are how often to ask for them: ten minutes, one
	// minute and ten minutes.
	Prices, Stock, Subnets time.Duration
	// Retry after an error; it doubles up to the regular interval. Five seconds.
	Retry time.Duration
	// Stale is the age after which an answer is ignored: half an hour.
	Stale time.Duration
	// Forget is how long after somebody last asked something is refreshed: half
	// an hour.
	Forget time.Duration
	// Timeout of a round of calls: two minutes.
	Timeout time.Duration
}

func (o Options) withDefaults() Options {
	o.Prices = cmp.Or(o.Prices, 10*time.Minute)
	o.Stock = cmp.Or(o.Stock, time.Minute)
	o.Subnets = cmp.Or(o.Subnets, 10*time.Minute)
	o.Retry = cmp.Or(o.Retry, 5*time.Second)
	o.Stale = cmp.Or(o.Stale, 30*time.Minute)
	o.Forget = cmp.Or(o.Forget, 30*time.Minute)
	o.Timeout = cmp.Or(o.Timeout, 2*time.Minute)
	return o
}

// A Feed of markets. It is a manager's Runnable.
type Feed struct {
	source  SourceFn
	clock   clock.WithTicker
	log     logging.Logger
	options Options

	mu      sync.Mutex
	changed func(types.NamespacedName)
	// ctx is that of Start, or nil before it.
	ctx     context.Context // Regions are started when they are first asked for, long after Start.
	wg      sync.WaitGroup
	regions map[Account]*region
}

// NewFeed returns a Feed that is idle until it is started.
func NewFeed(source SourceFn, c clock.WithTicker, log logging.Logger, o Options) *Feed {
	return &Feed{source: source, clock: c, log: log, options: o.withDefaults(), regions: make(map[Account]*region)}
}

// OnChange sets the function that is told who asked for something that has
// changed since. It must not block.
func (f *Feed) OnChange(fn func(asker types.NamespacedName)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = fn
}

// Start asking for what is wanted, until the context is done.
func (f *Feed) Start(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = ctx
	for a, r := range f.regions {
		f.run(a, r)
	}
	f.mu.Unlock()
	<-ctx.Done()
	f.wg.Wait()
	return nil
}

// NeedLeaderElection is true: only the leader's reconcilers ask.
func (f *Feed) NeedLeaderElection() bool { return true }

// run the region's loop. The lock is held.
func (f *Feed) run(a Account, r *region) {
	if f.ctx == nil || f.ctx.Err() != nil || r.running {
		return
	}
	r.running = true
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		f.loop(f.ctx, a, r)
	}()
}

// Ask what is known about an offering, and keep knowing it. The asker is told
// through OnChange when that changes. The namespace is that of the offering's
// ProviderConfig. It never blocks: what is not known yet is not in the answer.
func (f *Feed) Ask(asker types.NamespacedName, o *fleetv1alpha1.Offering) Answer {
	if o.Source == nil || o.Region == "" {
		return Answer{Market: fleetv1alpha1.OfferingMarket{Name: o.Name}}
	}
	a := Account{
		Cloud: o.Source.Cloud, Region: o.Region,
		Config: xpv2.ProviderConfigReference{Kind: o.Source.ProviderConfigKind, Name: o.Source.ProviderConfigName},
	}
	if a.Config.Kind == elasticv1alpha1.ProviderConfigKind {
		a.Namespace = asker.Namespace
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.regions[a]
	if r == nil {
		r = newRegion()
		f.regions[a] = r
	}
	now := f.clock.Now()
	if r.want(o, asker, now) {
		r.poke()
	}
	f.run(a, r)
	return r.answer(o, now, f.options.Stale)
}

// loop asks for what is due, one thing at a time, so that one region never makes
// more than one call at once.
func (f *Feed) loop(ctx context.Context, a Account, r *region) {
	for ctx.Err() == nil {
		f.mu.Lock()
		now := f.clock.Now()
		r.forget(now, now.Add(-f.options.Forget))
		w := r.wanted()
		if len(r.wants) == 0 {
			// It is made anew when somebody asks.
			delete(f.regions, a)
			f.mu.Unlock()
			return
		}
		j, wait := r.next(now)
		f.mu.Unlock()

		if wait > 0 {
			t := f.clock.NewTimer(wait)
			select {
			case <-t.C():
			case <-r.wake:
			case <-ctx.Done():
			}
			t.Stop()
			continue
		}
		f.refresh(ctx, a, r, j, w)
	}
}

// refresh one thing, keep its last value if that fails, and tell the askers.
func (f *Feed) refresh(ctx context.Context, a Account, r *region, j *job, w Wanted) {
	// The account's calls for clusters and nodes go first.
	ctx, cancel := context.WithTimeout(cloud.Background(ctx), f.options.Timeout)
	defer cancel()
	src, err := f.source(ctx, a)
	var apply applyFn
	if err == nil {
		apply, err = j.ask(ctx, src, w)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	before := r.failures()
	j.done(now, err, f.options)
	if apply != nil {
		apply(r, now)
	}
	if err != nil {
		f.log.Debug("Cannot refresh the market", "cloud", string(a.Cloud), "region", a.Region, "config", a.Config.Name, "what", j.name, "error", err.Error())
	}
	if f.changed == nil || apply == nil && before == r.failures() {
		return
	}
	for _, who := range slices.Collect(maps.Keys(r.askers)) {
		f.changed(who)
	}
}
