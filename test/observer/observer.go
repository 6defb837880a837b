// Package observer watches a region from outside: the API of every member and
// the demand in Karmada. It counts replicas, keeps peaks and finds replicas that
// were lost. It reads nothing that this project writes about itself, so its word
// can be used to judge it.
package observer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefaultSkew is how far the watches of two clusters may be apart.
const DefaultSkew = 500 * time.Millisecond

// settleInterval is how often capacity is computed and suspicions are judged.
const settleInterval = 100 * time.Millisecond

var clusterResource = schema.GroupVersionResource{Group: "cluster.karmada.io", Version: "v1alpha1", Resource: "clusters"}

// Options of an Observer.
type Options struct {
	// Karmada API. Its Clusters are discovered; those that are not self-built
	// are cloud clusters and are watched with the credentials Karmada itself
	// uses. Its cluster proxy would do as well, but only some seconds after a
	// member joined, when Karmada has granted impersonation there.
	Karmada *rest.Config

	// SelfBuilt members by name. They are watched directly, whether or not they
	// are in the federation.
	SelfBuilt map[string]*rest.Config

	// Selector of the Deployments in Karmada that are observed. Everything by
	// default.
	Selector labels.Selector

	// Skew is how far the watches of two clusters may be apart; DefaultSkew if
	// zero. A replica that disappears in one cluster is not lost if a substitute
	// elsewhere had been Ready before, although it is seen up to a Skew later.
	Skew time.Duration

	// Clock; the real one by default.
	Clock clock.WithTicker
}

// An Observer watches a region.
type Observer struct {
	opts    Options
	karmada kubernetes.Interface
	dynamic dynamic.Interface

	mu     sync.Mutex
	tally  *tally
	cancel map[string]memberWatch
	wg     sync.WaitGroup
}

type memberWatch struct {
	uid  types.UID
	stop context.CancelFunc
}

// New returns an Observer that has not started.
func New(o Options) (*Observer, error) {
	if o.Selector == nil {
		o.Selector = labels.Everything()
	}
	if o.Skew == 0 {
		o.Skew = DefaultSkew
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Karmada == nil {
		return nil, errors.New("cannot observe a region without its Karmada API")
	}
	cfg := tuned(o.Karmada)
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot make client of Karmada: %w", err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot make dynamic client of Karmada: %w", err)
	}
	return &Observer{opts: o, karmada: kube, dynamic: dyn, tally: newTally(o.Clock, o.Skew), cancel: map[string]memberWatch{}}, nil
}

// Run observes until the context ends. It returns early only if it cannot
// start.
func (o *Observer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer o.wg.Wait()
	defer cancel()

	for _, name := range slices.Sorted(maps.Keys(o.opts.SelfBuilt)) {
		cfg := o.opts.SelfBuilt[name]
		o.watchMember(ctx, name, "", false, func(context.Context) (*rest.Config, error) { return cfg, nil })
	}
	if err := o.watchClusters(ctx); err != nil {
		return err
	}
	if err := o.watchDemand(ctx); err != nil {
		return err
	}

	tick := o.opts.Clock.NewTicker(settleInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
			o.locked(func(t *tally) { t.settle() })
		}
	}
}

// State of the region as it was last seen.
func (o *Observer) State() State {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tally.settle()
	return o.tally.state()
}

// Reset forgets peaks and violations, not what is seen now. Workloads that have
// been deleted are forgotten.
func (o *Observer) Reset() { o.locked(func(t *tally) { t.reset() }) }

func (o *Observer) locked(f func(t *tally)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o.tally)
}

// watchDemand follows the Deployments in Karmada.
func (o *Observer) watchDemand(ctx context.Context) error {
	f := informers.NewSharedInformerFactoryWithOptions(o.karmada, 0,
		informers.WithTransform(strip),
		informers.WithTweakListOptions(func(l *metav1.ListOptions) { l.LabelSelector = o.opts.Selector.String() }))
	set := func(obj any) {
		if d, ok := obj.(*appsv1.Deployment); ok {
			o.locked(func(t *tally) { t.setDemand(d) })
		}
	}
	inf := f.Apps().V1().Deployments().Informer()
	if _, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			if d, ok := final(obj).(*appsv1.Deployment); ok {
				o.locked(func(t *tally) { t.dropDemand(d) })
			}
		},
	}); err != nil {
		return fmt.Errorf("cannot watch Deployments in Karmada: %w", err)
	}
	o.start(ctx, inf)
	return nil
}

// watchClusters starts and stops the watches of cloud members.
func (o *Observer) watchClusters(ctx context.Context) error {
	inf := dynamicinformer.NewDynamicSharedInformerFactory(o.dynamic, 0).ForResource(clusterResource).Informer()
	if err := inf.SetTransform(strip); err != nil {
		return fmt.Errorf("cannot watch Clusters in Karmada: %w", err)
	}
	set := func(obj any) {
		m, ok := obj.(metav1.Object)
		if !ok {
			return
		}
		if _, own := o.opts.SelfBuilt[m.GetName()]; own {
			return
		}
		o.mu.Lock()
		w, watched := o.cancel[m.GetName()]
		o.mu.Unlock()
		switch {
		case watched && w.uid == m.GetUID():
			return
		case watched:
			o.leave(m.GetName(), w)
		}
		o.watchMember(ctx, m.GetName(), m.GetUID(), true, func(ctx context.Context) (*rest.Config, error) {
			return o.access(ctx, m.GetName())
		})
	}
	if _, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			m, ok := final(obj).(metav1.Object)
			if !ok {
				return
			}
			// A self-built cluster that leaves the federation runs on.
			if _, own := o.opts.SelfBuilt[m.GetName()]; own {
				return
			}
			o.mu.Lock()
			w, watched := o.cancel[m.GetName()]
			o.mu.Unlock()
			if watched {
				o.leave(m.GetName(), w)
			}
		},
	}); err != nil {
		return fmt.Errorf("cannot watch Clusters in Karmada: %w", err)
	}
	o.start(ctx, inf)
	return nil
}

// leave stops the watch of a cloud member that left. What was Ready there is
// gone, whether or not its API still answers.
func (o *Observer) leave(name string, w memberWatch) {
	w.stop()
	o.locked(func(t *tally) {
		delete(o.cancel, name)
		t.dropMember(name)
	})
}

func (o *Observer) start(ctx context.Context, inf cache.SharedInformer) {
	o.wg.Go(func() { inf.RunWithContext(ctx) })
}

// tuned returns a configuration that is not slowed down on the client's side.
func tuned(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.QPS, c.Burst = 200, 400
	c.UserAgent = "regionpool-observer"
	return c
}

// final unwraps what a delete handler is given.
func final(obj any) any {
	if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return d.Obj
	}
	return obj
}

// strip drops what is not looked at.
func strip(obj any) (any, error) {
	if m, ok := obj.(metav1.Object); ok {
		m.SetManagedFields(nil)
	}
	return obj, nil
}
