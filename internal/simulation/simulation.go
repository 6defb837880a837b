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
// Running every plugin on every node for every copy is slow. For pods in which
// only kube-scheduler's own plugins other than those for volumes and devices
// have a say, what the plugins count is kept from one copy to the next, and what
// they say of Node objects from one pod to the next. TestQuickIsExact proves
// that this changes no place and no reason.
//
// # What is not simulated
//
// Preemption: a pod never gets a place by evicting others; for pods that evicted
// others and wait, room is kept (docs/decisions/0013). Scheduler extenders, and
// plugins that kube-scheduler does not bring along: they are refused. Feature
// gates of a member: plugins run with those of our Kubernetes version. Volumes
// that are yet to be made: a claim for one that several copies share pins the
// later copies to the node of the first, for the time of one Place.
package simulation

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	pluginnames "k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"

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

// A Counter is a Simulator that can tell how many copies have a place without
// placing them.
type Counter interface {
	Simulator
	// Room returns how many copies of the pod, up to limit, Place would put on
	// the fork, which stays as it is. It is not ok where only placing them tells.
	Room(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, limit int) (n int, ok bool, err error)
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

var _ Counter = &Scheduler{}

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

// Sibling returns a Scheduler of the same configuration, for questions: what it
// loads does not push out what this one has loaded.
func (s *Scheduler) Sibling() (*Scheduler, error) {
	return New(func(o *Scheduler) { o.config, o.naive = s.config, s.naive })
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
	return e.placeNominated(ctx, f, pod, n)
}

// Count returns how many copies of the pod, up to limit, Place would put on the
// fork, which stays as it is. Where no order of placing copies changes how many
// there are, it costs far less than placing them.
func (s *Scheduler) Count(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, limit int) (int, error) {
	if n, ok, err := s.Room(ctx, f, pod, limit); ok || err != nil {
		return n, err
	}
	e, err := s.take()
	if err != nil {
		return 0, err
	}
	defer s.put(e)
	m := f.Mark()
	defer func() {
		f.Revert(m)
		f.Commit(m)
	}()
	res, err := e.placeNominated(ctx, f, pod, limit)
	return res.Placed, err
}

// Room implements Counter.
func (s *Scheduler) Room(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, limit int) (n int, ok bool, err error) {
	e, err := s.take()
	if err != nil {
		return 0, false, err
	}
	defer s.put(e)
	m := f.Mark()
	defer func() {
		f.Revert(m)
		f.Commit(m)
	}()
	e.nominator.load(f, pod, e.profiles)
	if len(e.nominator.waiting) > 0 {
		return 0, false, nil
	}
	n, err = e.count(ctx, f, pod, limit)
	return max(n, 0), n >= 0 && err == nil, err
}

// Warm reads a snapshot. The first Place on a fork of it, or of a later snapshot of
// the same member, does not have to read all nodes and pods then: that takes some
// milliseconds for each thousand nodes. An error changes nothing for Place.
func (s *Scheduler) Warm(sn *snapshot.Snapshot) error {
	e, err := s.take()
	if err != nil {
		return err
	}
	defer s.put(e)
	// Of a workload with a controller, so that default constraints are looked at.
	t := &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "warm"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "warm"}}}}
	pod, err := NewPod(t, metav1.NamespaceDefault, sn.Objects(), OwnedBy("apps/v1", "Deployment", "warm"))
	if err != nil {
		return err
	}
	for name := range e.profiles {
		pod.Spec.SchedulerName = name
		if _, err := e.place(s.ctx, sn.Fork(), pod, 1); err != nil {
			return fmt.Errorf("cannot warm scheduler profile %q: %w", name, err)
		}
	}
	return nil
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
	feeds     *feeds
	lister    *lister
	nominator *nominator
	view      *view
	profiles  map[string]*profile
	// quickRuns counts the pods that were placed by one.
	quickRuns int
}

// A profile is a framework and what is known of its plugins.
type profile struct {
	framework.Framework
	name  string
	naive bool
	// The names of the plugins at the extension points, the weights of those
	// that score, and the plugins themselves with their arguments.
	preFilter, filter, score []string
	weights                  map[string]int64
	plugins                  map[string]fwk.Plugin
	args                     map[string]apiruntime.Object

	// quick says that quick runs know all plugins; the rest is what they know.
	quick      bool
	fit        fit
	spread     spreadSettings
	interPod   config.InterPodAffinityArgs
	namespaces corelisters.NamespaceLister
}

// registry returns the factories of all plugins, and keeps what they make.
func (p *profile) registry() runtime.Registry {
	out := plugins.NewInTreeRegistry()
	for name, factory := range out {
		out[name] = func(ctx context.Context, args apiruntime.Object, h fwk.Handle) (fwk.Plugin, error) {
			pl, err := factory(ctx, args, h)
			p.plugins[name], p.args[name] = pl, args
			return pl, err
		}
	}
	return out
}

// A lister is what frameworks read nodes and pods through. A framework is bound
// to one lister for good, the lister to the fork of the present call.
type lister struct{ fork *snapshot.Fork }

func (l *lister) NodeInfos() fwk.NodeInfoLister       { return l.fork }
func (l *lister) StorageInfos() fwk.StorageInfoLister { return l.fork }

func newEngine(ctx context.Context, cfg *config.KubeSchedulerConfiguration, naive bool) (*engine, error) {
	e := &engine{feeds: newFeeds(), lister: &lister{}, nominator: &nominator{}, view: newView(), profiles: map[string]*profile{}}
	empty, err := snapshot.New(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make an empty snapshot: %w", err)
	}
	e.lister.fork = empty.Fork()

	// The frameworks never log: what they find is in the result.
	logger := klog.FromContext(ctx)
	client := &bindingClient{}
	opts := []runtime.Option{
		runtime.WithClientSet(client),
		runtime.WithInformerFactory(e.feeds.factory),
		runtime.WithSnapshotSharedLister(e.lister),
		runtime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(e.feeds.factory.Storage().V1().CSINodes().Lister())),
		runtime.WithPodNominator(e.nominator),
		runtime.WithParallelism(1),
		runtime.WithLogger(logger),
	}
	var claims *claimTracker
	if utilfeature.DefaultFeatureGate.Enabled(features.DynamicResourceAllocation) {
		m, err := newDRAManager(ctx, e.feeds.factory)
		if err != nil {
			return nil, err
		}
		claims = m.claims
		opts = append(opts, runtime.WithSharedDRAManager(m))
	}
	for i := range cfg.Profiles {
		c := &cfg.Profiles[i]
		p := &profile{
			name: c.SchedulerName, naive: naive,
			weights: map[string]int64{}, plugins: map[string]fwk.Plugin{}, args: map[string]apiruntime.Object{},
		}
		fw, err := runtime.NewFramework(ctx, p.registry(), c, opts...)
		if err != nil {
			return nil, fmt.Errorf("cannot make a framework for scheduler profile %q: %w", c.SchedulerName, err)
		}
		keeper := &volumeKeeper{client: client}
		if vb, ok := p.plugins[pluginnames.VolumeBinding].(*volumebinding.VolumeBinding); ok {
			keeper.SchedulerVolumeBinder, vb.Binder = vb.Binder, keeper
		}
		p.Framework = &forkFramework{Framework: fw, lister: e.lister, nominator: e.nominator, volumes: keeper, claims: claims}
		list := fw.ListPlugins()
		p.preFilter, p.filter, p.score = names(list.PreFilter), names(list.Filter), names(list.Score)
		for _, pl := range list.Score.Enabled {
			p.weights[pl.Name] = int64(pl.Weight)
		}
		p.learn(e.feeds.factory)
		e.profiles[c.SchedulerName] = p
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
