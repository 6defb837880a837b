// Package simulation answers what the kube-scheduler of a member cluster would
// do with pods that do not exist yet. It runs the scheduler's own framework with
// its own plugins on a fork of the member's snapshot; nothing leaves the process.
//
// # What is exact
//
// Which nodes are feasible for a pod, and the scores of the feasible nodes, come
// from the plugins themselves. Two things differ from a running kube-scheduler,
// and neither changes whether a single pod fits: a running one breaks ties
// between equal scores at random, here the first node by name wins; and in a
// cluster of more than 100 nodes a running one scores a sample of the feasible
// nodes, here all are scored. test/exact compares with a running one.
//
// # What is not simulated
//
// Preemption: a pod never gets a place by evicting others. Nominated nodes:
// room that another pod's preemption made is not kept for it. Scheduler
// extenders: they are refused. Dynamic resource claims that are not allocated
// yet: pods with such claims are refused with a reason. A persistent volume
// claim that is not bound and that several copies share pins the later copies
// to what the first one chose, for the time of one Place.
package simulation

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/dynamic-resource-allocation/resourceslice/tracker"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	"k8s.io/kubernetes/pkg/scheduler/util/assumecache"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A Simulator answers what a member's kube-scheduler would do.
type Simulator interface {
	// Place puts up to n copies of the pod on the fork, one after the other,
	// each where kube-scheduler would put it, and leaves them there. It stops
	// at the first copy that has no place: all copies are alike, so none of
	// the others would have one. That fewer than n were placed is not an
	// error; the result says why. After an error the copies placed so far are
	// still on the fork; a Revert to a mark takes them away.
	Place(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, n int) (Result, error)
}

// A SimulatorFn is a function that satisfies the Simulator interface.
type SimulatorFn func(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, n int) (Result, error)

// Place calls the function.
func (fn SimulatorFn) Place(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, n int) (Result, error) {
	return fn(ctx, f, pod, n)
}

// A Result says where copies of a pod were placed, and why no more were.
type Result struct {
	// Placed is the number of copies placed, 0 <= Placed <= n.
	Placed int
	// Nodes has the number of copies on each node that got any.
	Nodes map[string]int
	// Pods are the copies, in the order in which they were placed. They are on
	// the fork; spec.nodeName says where. They must not be changed.
	Pods []*corev1.Pod

	// The rest is about the first copy that had no place. It is empty if all
	// copies were placed.

	// Reasons has the number of nodes for each reason that a plugin gave, in
	// kube-scheduler's words, e.g. "Insufficient cpu". A node can have several.
	// A reason that is about the pod rather than about nodes counts all nodes.
	Reasons map[string]int
	// Plugins has the number of nodes that each plugin refused.
	Plugins map[string]int
	// Message is what kube-scheduler would write into the pod's condition, e.g.
	// "0/3 nodes are available: 3 Insufficient cpu."
	Message string
}

// A Scheduler simulates one kube-scheduler configuration. It is safe for
// concurrent use; concurrent calls of Place work on separate frameworks, which
// are kept and used again. Use one Scheduler for each member: what a framework
// has loaded of one member it need not load again.
type Scheduler struct {
	config *config.KubeSchedulerConfiguration
	// naive runs every plugin on every node for every copy, to prove that what
	// is kept from one copy to the next changes nothing.
	naive bool

	ctx    context.Context
	cancel context.CancelFunc

	mu   sync.Mutex
	free []*engine
}

var _ Simulator = &Scheduler{}

// An Option configures a Scheduler.
type Option func(*Scheduler)

// WithConfiguration sets the configuration of the kube-scheduler to simulate:
// its profiles and their plugins. The default is kube-scheduler's own default.
// A pod is placed by the profile that its spec.schedulerName names. The
// configuration must have been defaulted and must not be changed afterwards.
func WithConfiguration(c *config.KubeSchedulerConfiguration) Option {
	return func(s *Scheduler) { s.config = c }
}

// New returns a Scheduler. Close it to free what its frameworks hold. An error
// says what in the configuration cannot be simulated.
func New(o ...Option) (*Scheduler, error) {
	s := &Scheduler{}
	for _, fn := range o {
		fn(s)
	}
	if s.config == nil {
		c, err := latest.Default()
		if err != nil {
			return nil, fmt.Errorf("cannot get the default scheduler configuration: %w", err)
		}
		s.config = c
	}
	if len(s.config.Extenders) > 0 {
		return nil, fmt.Errorf("cannot simulate a scheduler with %d extenders", len(s.config.Extenders))
	}
	// Plugins count in these metrics; without them they crash. It registers
	// once, however often it is called.
	metrics.Register()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	// Make one framework now, so that a bad configuration is an error here.
	e, err := s.take()
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.put(e)
	return s, nil
}

// Close ends the goroutines of the frameworks. Place must not be called after.
func (s *Scheduler) Close() { s.cancel() }

// Place implements Simulator.
func (s *Scheduler) Place(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, n int) (Result, error) {
	e, err := s.take()
	if err != nil {
		return Result{}, err
	}
	defer s.put(e)
	return e.place(ctx, f, pod, n)
}

func (s *Scheduler) take() (*engine, error) {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		e := s.free[n-1]
		s.free = s.free[:n-1]
		s.mu.Unlock()
		return e, nil
	}
	s.mu.Unlock()
	return newEngine(s.ctx, s.config, s.naive)
}

func (s *Scheduler) put(e *engine) {
	e.lister.fork = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, e)
}

// An engine is a set of frameworks, one for each profile, that read one fork at
// a time.
type engine struct {
	feeds    *feeds
	lister   *lister
	profiles map[string]*profile
}

// A profile is a framework and what is known of its plugins.
type profile struct {
	framework.Framework
	naive bool
	// The names of the plugins at the extension points.
	preFilter, filter, score []string
}

// A lister is what frameworks read nodes and pods through. A framework is bound
// to one lister for good, the lister to the fork of the present call.
type lister struct{ fork *snapshot.Fork }

func (l *lister) NodeInfos() fwk.NodeInfoLister       { return l.fork }
func (l *lister) StorageInfos() fwk.StorageInfoLister { return l.fork }

func newEngine(ctx context.Context, cfg *config.KubeSchedulerConfiguration, naive bool) (*engine, error) {
	e := &engine{feeds: newFeeds(), lister: &lister{}, profiles: map[string]*profile{}}
	empty, err := snapshot.New(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make an empty snapshot: %w", err)
	}
	e.lister.fork = empty.Fork()

	// The frameworks never log: what they find is in the result.
	logger := klog.FromContext(ctx)
	opts := []runtime.Option{
		runtime.WithInformerFactory(e.feeds.factory),
		runtime.WithSnapshotSharedLister(e.lister),
		runtime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(e.feeds.factory.Storage().V1().CSINodes().Lister())),
		runtime.WithParallelism(1),
		runtime.WithLogger(logger),
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.DynamicResourceAllocation) {
		f := e.feeds.factory
		t, err := tracker.StartTracker(ctx, tracker.Options{SliceInformer: f.Resource().V1().ResourceSlices()})
		if err != nil {
			return nil, fmt.Errorf("cannot start the resource slice tracker: %w", err)
		}
		claims := assumecache.NewAssumeCache(logger, f.Resource().V1().ResourceClaims().Informer(), "ResourceClaim", "", nil)
		opts = append(opts, runtime.WithSharedDRAManager(dynamicresources.NewDRAManager(ctx, claims, t, f)))
	}
	for i := range cfg.Profiles {
		p := &cfg.Profiles[i]
		fw, err := runtime.NewFramework(ctx, plugins.NewInTreeRegistry(), p, opts...)
		if err != nil {
			return nil, fmt.Errorf("cannot make a framework for scheduler profile %q: %w", p.SchedulerName, err)
		}
		list := fw.ListPlugins()
		e.profiles[p.SchedulerName] = &profile{
			Framework: fw,
			naive:     naive,
			preFilter: names(list.PreFilter),
			filter:    names(list.Filter),
			score:     names(list.Score),
		}
	}
	return e, nil
}

func names(s config.PluginSet) []string {
	out := make([]string, 0, len(s.Enabled))
	for _, p := range s.Enabled {
		out = append(out, p.Name)
	}
	return out
}
