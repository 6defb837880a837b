package snapshot

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// A Member is the live cache of one member cluster. It is safe for concurrent
// use.
type Member struct {
	name   string
	client kubernetes.Interface
	prober *prober
	clock  clock.WithTicker

	mu      sync.Mutex
	content *content
	stores  [NumKinds]cache.Store
	sets    [NumKinds]*Set
	dirty   [NumKinds]bool
	objects *Objects
	synced  []cache.InformerSynced
	started bool
	// optional is whether all is known of the kinds that not every member serves.
	optional atomic.Bool
	// heard is when the member last sent an object, in nanoseconds since 1970.
	heard atomic.Int64

	notifyMu sync.RWMutex
	notify   func()

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// A MemberOption configures a Member.
type MemberOption func(*Member)

// WithClock sets the clock; the default is the real one.
func WithClock(c clock.WithTicker) MemberOption {
	return func(m *Member) { m.clock = c }
}

// WithProbe sets how, how often and for how long the member's API is asked
// whether it answers, and after how many failures in a row it is said not to.
// Zero values and a nil function leave the defaults.
func WithProbe(fn func(context.Context) error, interval, timeout time.Duration, failures int) MemberOption {
	return func(m *Member) {
		if fn != nil {
			m.prober.probe = fn
		}
		if interval > 0 {
			m.prober.interval = interval
		}
		if timeout > 0 {
			m.prober.timeout = timeout
		}
		if failures > 0 {
			m.prober.failures = failures
		}
	}
}

// NewMember returns the cache of the cluster that the supplied configuration
// leads to. The cache is empty until Start. The configuration is copied; its
// rate limit is lifted, because a cache makes few and large requests. An error
// says what is wrong with the configuration; the cluster is not contacted.
func NewMember(name string, cfg *rest.Config, o ...MemberOption) (*Member, error) {
	c := rest.CopyConfig(cfg)
	c.QPS = -1
	if c.UserAgent == "" {
		c.UserAgent = "regionpool-snapshot"
	}
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client for member %q: %w", name, err)
	}
	return NewMemberForClient(name, client, o...), nil
}

// NewMemberForClient is NewMember for a client that exists.
func NewMemberForClient(name string, client kubernetes.Interface, o ...MemberOption) *Member {
	m := &Member{
		name:    name,
		client:  client,
		clock:   clock.RealClock{},
		content: newContent(),
		prober: &prober{
			interval: DefaultProbeInterval,
			timeout:  DefaultProbeTimeout,
			failures: DefaultProbeFailures,
			probe:    probeAPI(client),
		},
	}
	for _, fn := range o {
		fn(m)
	}
	m.content.parts = map[partsKey]*sharedParts{}
	m.prober.clock = m.clock
	m.prober.changed = m.changed
	return m
}

// Name returns the member's name.
func (m *Member) Name() string { return m.name }

// Client returns the client the cache was made with.
func (m *Member) Client() kubernetes.Interface { return m.client }

// Contact says whether the member's API answers.
func (m *Member) Contact() Contact { return m.prober.contact() }

// Synced reports whether the cache holds everything the member had when it was
// started. Nothing should be decided on the snapshots of a member before.
func (m *Member) Synced() bool {
	m.mu.Lock()
	started, synced := m.started, m.synced
	m.mu.Unlock()
	if !started {
		return false
	}
	for _, fn := range synced {
		if !fn() {
			return false
		}
	}
	return true
}

// Start starts to fill the cache and to watch the member, until the context
// ends or Stop is called. It does not wait and does not need the member to be
// reachable. It may be called once.
func (m *Member) Start(ctx context.Context) {
	ctx, m.cancel = context.WithCancel(ctx)
	factory := informers.NewSharedInformerFactoryWithOptions(m.client, 0, informers.WithTransform(m.receive))

	m.watchNodes(factory.Core().V1().Nodes().Informer())
	m.watchPods(factory.InformerFor(&corev1.Pod{}, newPodInformer))
	m.watchKind(Namespaces, factory.Core().V1().Namespaces().Informer())
	m.watchKind(Services, factory.Core().V1().Services().Informer())
	m.watchKind(ReplicationControllers, factory.Core().V1().ReplicationControllers().Informer())
	m.watchKind(ReplicaSets, factory.Apps().V1().ReplicaSets().Informer())
	m.watchKind(StatefulSets, factory.Apps().V1().StatefulSets().Informer())
	m.watchKind(PersistentVolumes, factory.Core().V1().PersistentVolumes().Informer())
	m.watchKind(PersistentVolumeClaims, factory.Core().V1().PersistentVolumeClaims().Informer())
	m.watchKind(StorageClasses, factory.Storage().V1().StorageClasses().Informer())
	m.watchKind(CSINodes, factory.Storage().V1().CSINodes().Informer())
	m.watchKind(CSIDrivers, factory.Storage().V1().CSIDrivers().Informer())
	m.watchKind(CSIStorageCapacities, factory.Storage().V1().CSIStorageCapacities().Informer())
	m.watchKind(VolumeAttachments, factory.Storage().V1().VolumeAttachments().Informer())
	m.watchKind(PodDisruptionBudgets, factory.Policy().V1().PodDisruptionBudgets().Informer())
	m.watchKind(LimitRanges, factory.Core().V1().LimitRanges().Informer())
	m.watchKind(RuntimeClasses, factory.Node().V1().RuntimeClasses().Informer())
	m.watchKind(PriorityClasses, factory.Scheduling().V1().PriorityClasses().Informer())

	m.mu.Lock()
	m.started = true
	m.synced = append(m.synced, m.optional.Load)
	m.mu.Unlock()
	factory.Start(ctx.Done())

	m.done.Add(4)
	go func() { defer m.done.Done(); m.prober.run(ctx) }()
	go func() { defer m.done.Done(); m.startOptional(ctx, factory) }()
	go func() {
		defer m.done.Done()
		<-ctx.Done()
		factory.Shutdown()
	}()
	go func() {
		// One last wake-up when the cache is complete: the content may have
		// been silent since before it was.
		defer m.done.Done()
		m.mu.Lock()
		synced := m.synced
		m.mu.Unlock()
		if cache.WaitForCacheSync(ctx.Done(), synced...) {
			m.changed()
		}
	}()
}

// receive is the transform of the informers.
func (m *Member) receive(obj any) (any, error) {
	m.heard.Store(m.clock.Now().UnixNano())
	return stripForCache(obj)
}

// Heard returns when the member last sent an object, zero if it never did: a
// large member that is not synced yet may still be sending.
func (m *Member) Heard() time.Time {
	if ns := m.heard.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// newPodInformer leaves out pods that ended, which kube-scheduler does not see
// either, and has no index by namespace, which nobody asks.
func newPodInformer(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
	return coreinformers.NewFilteredPodInformer(c, metav1.NamespaceAll, resync, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.FieldSelector = "status.phase!=" + string(corev1.PodSucceeded) + ",status.phase!=" + string(corev1.PodFailed)
	})
}

// Stop ends what Start started and waits for it. The content stays readable.
func (m *Member) Stop() {
	if m.cancel != nil {
		m.cancel()
		m.done.Wait()
	}
}

// startOptional watches the kinds of dynamic resources if, and as soon as it is
// known that, the member serves them.
func (m *Member) startOptional(ctx context.Context, f informers.SharedInformerFactory) {
	t := m.clock.NewTicker(10 * DefaultProbeInterval)
	defer t.Stop()
	for {
		list, err := m.client.Discovery().ServerResourcesForGroupVersion(resourcev1.SchemeGroupVersion.String())
		if err == nil {
			m.watchDynamicResources(ctx, f, list)
		}
		if err == nil || apierrors.IsNotFound(err) {
			m.optional.Store(true)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C():
		}
	}
}

// watchDynamicResources returns when all that the member serves is known.
func (m *Member) watchDynamicResources(ctx context.Context, f informers.SharedInformerFactory, served *metav1.APIResourceList) {
	v1 := f.Resource().V1()
	var synced []cache.InformerSynced
	for _, r := range served.APIResources {
		var k Kind
		var inf cache.SharedIndexInformer
		switch r.Name {
		case "resourceclaims":
			k, inf = ResourceClaims, v1.ResourceClaims().Informer()
		case "resourceclaimtemplates":
			k, inf = ResourceClaimTemplates, v1.ResourceClaimTemplates().Informer()
		case "resourceslices":
			k, inf = ResourceSlices, v1.ResourceSlices().Informer()
		case "deviceclasses":
			k, inf = DeviceClasses, v1.DeviceClasses().Informer()
		default:
			continue
		}
		m.watchKind(k, inf)
		synced = append(synced, inf.HasSynced)
	}
	f.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), synced...)
}

// Snapshot returns what the cache holds now. If nothing changed since the last
// call, it is the same snapshot.
func (m *Member) Snapshot() *Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if objs, ok := m.freshObjects(); ok {
		m.objects = objs
	}
	return m.content.snapshot(m.objects)
}

// freshObjects returns new objects if any kind changed.
func (m *Member) freshObjects() (*Objects, bool) {
	changed := false
	for k := range m.dirty {
		if !m.dirty[k] {
			continue
		}
		m.dirty[k] = false
		changed = true
		list := m.stores[k].List()
		items := make([]Object, 0, len(list))
		for _, o := range list {
			items = append(items, o.(Object))
		}
		m.sets[k] = newSet(items)
	}
	if !changed {
		return nil, false
	}
	return &Objects{sets: m.sets}, true
}

// Workload returns the counts of the pods of one workload as of now.
func (m *Member) Workload(k WorkloadKey) Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.content.countsOfWorkload(k)
}

// Pods returns the pods of one workload as of now, terminating ones included,
// the oldest first. What no kube-scheduler plugin reads is stripped from them.
// They must not be changed.
func (m *Member) Pods(k WorkloadKey) []*corev1.Pod {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.content.podsOf(k)
}

func (m *Member) setNotify(fn func()) {
	m.notifyMu.Lock()
	defer m.notifyMu.Unlock()
	m.notify = fn
}

func (m *Member) changed() {
	m.notifyMu.RLock()
	fn := m.notify
	m.notifyMu.RUnlock()
	if fn != nil {
		fn()
	}
}

// update runs one change under the lock and wakes who waits for changes.
func (m *Member) update(fn func(*content) bool) {
	m.mu.Lock()
	changed := fn(m.content)
	m.mu.Unlock()
	if changed {
		m.changed()
	}
}

// register adds handlers to an informer that is not started yet, which cannot
// fail, and makes Synced wait for it.
func (m *Member) register(inf cache.SharedIndexInformer, h cache.ResourceEventHandler) {
	reg, err := inf.AddEventHandler(h)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = append(m.synced, reg.HasSynced)
}

func (m *Member) watchNodes(inf cache.SharedIndexInformer) {
	set := func(obj any) {
		if n, ok := obj.(*corev1.Node); ok {
			m.update(func(c *content) bool { return c.setNode(n) })
		}
	}
	m.register(inf, cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			if n, ok := last(obj).(*corev1.Node); ok {
				m.update(func(c *content) bool { return c.deleteNode(n.Name) })
			}
		},
	})
}

func (m *Member) watchPods(inf cache.SharedIndexInformer) {
	set := func(obj any) {
		if p, ok := obj.(*corev1.Pod); ok {
			m.update(func(c *content) bool { return c.setPod(withUID(p)) })
		}
	}
	m.register(inf, cache.ResourceEventHandlerFuncs{
		AddFunc: set,
		UpdateFunc: func(old, obj any) {
			// A watch that was interrupted can show a pod that was deleted
			// and made anew under its name as an update.
			if o, ok := old.(*corev1.Pod); ok {
				if n, ok := obj.(*corev1.Pod); ok && withUID(o).UID != withUID(n).UID {
					m.update(func(c *content) bool { return c.deletePod(withUID(o).UID) })
				}
			}
			set(obj)
		},
		DeleteFunc: func(obj any) {
			if p, ok := last(obj).(*corev1.Pod); ok {
				m.update(func(c *content) bool { return c.deletePod(withUID(p).UID) })
			}
		},
	})
}

func (m *Member) watchKind(k Kind, inf cache.SharedIndexInformer) {
	m.mu.Lock()
	m.stores[k] = inf.GetStore()
	m.mu.Unlock()
	mark := func() {
		m.mu.Lock()
		m.dirty[k] = true
		m.mu.Unlock()
		m.changed()
	}
	m.register(inf, cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { mark() },
		UpdateFunc: func(old, obj any) {
			o, ok1 := old.(Object)
			n, ok2 := obj.(Object)
			if ok1 && ok2 && sameObject(o, n) {
				return
			}
			mark()
		},
		DeleteFunc: func(any) { mark() },
	})
}

// last returns the last known state of a deleted object.
func last(obj any) any {
	if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return t.Obj
	}
	return obj
}
