package karmada

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"k8s.io/apimachinery/pkg/api/equality"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// bindingsDelay gathers the changes of many bindings into one look at a drain.
const bindingsDelay = 100 * time.Millisecond

// Events are where changes in a Karmada API go: the queues of the controllers.
type Events struct {
	Members              *Requeuer
	CapacityPlans        *Requeuer
	CapacityReservations *Requeuer
}

// A Conn is a connection to one Karmada API.
type Conn struct {
	// Client reads Clusters, CapacityPlans and CapacityReservations from a cache,
	// and writes.
	Client client.Client

	// Live reads from the API server.
	Live client.Reader

	hash   [sha256.Size]byte
	cache  cache.Cache
	cancel context.CancelFunc
	events Events
	log    logging.Logger

	mu       sync.Mutex
	watched  map[string]bool
	draining map[types.NamespacedName]bool
}

// NewConn returns a connection that watches nothing. Tests use it; others ask
// Connections.
func NewConn(c client.Client) *Conn { return &Conn{Client: c, Live: c} }

// Get an object, from the cache if it is one of those that are cached. That it
// does not exist is never said by the cache alone, which may not know yet what
// we have just created. A connection that has just been made is used before its
// cache has started.
func (c *Conn) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, obj, opts...)
	if unstarted := (*cache.ErrCacheNotStarted)(nil); kerrors.IsNotFound(err) || errors.As(err, &unstarted) {
		return c.Live.Get(ctx, key, obj, opts...)
	}
	return err
}

// A Getter reads an object: a Conn or its Live reader.
type Getter interface {
	Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error
}

// Connections to Karmada APIs, one for each ProviderConfig.
type Connections struct {
	log    logging.Logger
	events Events
	// newCluster is injected so that tests need no API server.
	newCluster func(cfg *rest.Config) (cluster.Cluster, error)

	mu     sync.Mutex
	conns  map[string]*Conn
	closed bool
}

// NewConnections returns an empty set of connections. Changes that they see go
// to the events.
func NewConnections(log logging.Logger, events Events) *Connections {
	return &Connections{
		log:    log,
		events: events,
		conns:  map[string]*Conn{},
		newCluster: func(cfg *rest.Config) (cluster.Cluster, error) {
			s, err := NewScheme()
			if err != nil {
				return nil, err
			}
			return cluster.New(cfg, func(o *cluster.Options) {
				o.Scheme = s
				o.Cache.DefaultTransform = cache.TransformStripManagedFields()
			})
		},
	}
}

// Start implements manager.Runnable: it closes all connections when the manager
// stops.
func (c *Connections) Start(ctx context.Context) error {
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for key, conn := range c.conns {
		conn.cancel()
		delete(c.conns, key)
	}
	return nil
}

// Get returns the connection of a ProviderConfig, which the key names. When the
// credentials are no longer those of the connection, it is made anew. Without a
// kubeconfig the identity is that of the provider's pod.
func (c *Connections) Get(key string, kubeconfig []byte) (*Conn, error) {
	hash := sha256.Sum256(kubeconfig)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.New("the provider is stopping")
	}
	old, ok := c.conns[key]
	if ok && old.hash == hash {
		return old, nil
	}
	cfg, err := config(kubeconfig)
	if err != nil {
		return nil, err
	}
	// The defaults of client-go (5 and 10) would make a drain of many bindings
	// take minutes.
	cfg.QPS, cfg.Burst = 50, 100
	cfg.UserAgent = FieldOwner
	cl, err := c.newCluster(cfg)
	if err != nil {
		return nil, errors.New("cannot make a client for the Karmada API: " + Reason(err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	conn := &Conn{
		Client: cl.GetClient(), Live: cl.GetAPIReader(),
		hash: hash, cache: cl.GetCache(), cancel: cancel, events: c.events, log: c.log.WithValues("karmada", key),
		watched: map[string]bool{}, draining: map[types.NamespacedName]bool{},
	}
	go func() {
		if err := cl.Start(ctx); err != nil {
			conn.log.Info("Connection to Karmada ended", "reason", Reason(err))
		}
	}()
	if ok {
		old.cancel()
		go func() {
			for nn := range old.drains() {
				conn.WatchBindings(ctx, nn)
			}
		}()
	}
	c.conns[key] = conn
	return conn, nil
}

func config(kubeconfig []byte) (*rest.Config, error) {
	if kubeconfig != nil {
		return ParseKubeconfig(kubeconfig)
	}
	cfg, err := rest.InClusterConfig()
	return cfg, errors.Wrap(err, "cannot use the identity of the pod")
}

// WatchClusters leads changes of Clusters to the Members that joined them. It
// may be called again and again.
func (c *Conn) WatchClusters(ctx context.Context) error {
	return c.watch(ctx, &clusterv1alpha1.Cluster{}, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { c.notify(c.events.Members, o) },
		DeleteFunc: func(o any) { c.notify(c.events.Members, o) },
		UpdateFunc: func(o, n any) {
			was, ok1 := o.(*clusterv1alpha1.Cluster)
			is, ok2 := n.(*clusterv1alpha1.Cluster)
			if ok1 && ok2 && !clusterChanged(was, is) {
				return
			}
			c.notify(c.events.Members, n)
		},
	})
}

// clusterChanged leaves out the heartbeat, which updates the resource summary
// of every Cluster every few seconds.
func clusterChanged(was, is *clusterv1alpha1.Cluster) bool {
	ready := func(c *clusterv1alpha1.Cluster) metav1.Condition {
		if r := meta.FindStatusCondition(c.Status.Conditions, clusterv1alpha1.ClusterConditionReady); r != nil {
			return metav1.Condition{Status: r.Status, Reason: r.Reason}
		}
		return metav1.Condition{}
	}
	return was.Generation != is.Generation ||
		was.UID != is.UID ||
		was.Status.KubernetesVersion != is.Status.KubernetesVersion ||
		ready(was) != ready(is) ||
		(was.DeletionTimestamp == nil) != (is.DeletionTimestamp == nil) ||
		!equality.Semantic.DeepEqual(was.Labels, is.Labels) ||
		!equality.Semantic.DeepEqual(was.Annotations, is.Annotations)
}

// WatchCapacityPlans leads changes of CapacityPlans to their twins in the host
// plane. It returns an error that meta.IsNoMatchError knows while the CRD is not
// installed.
func (c *Conn) WatchCapacityPlans(ctx context.Context) error {
	return c.watch(ctx, &fleetv1alpha1.CapacityPlan{}, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { c.notify(c.events.CapacityPlans, o) },
		DeleteFunc: func(o any) { c.notify(c.events.CapacityPlans, o) },
		UpdateFunc: func(_, n any) { c.notify(c.events.CapacityPlans, n) },
	})
}

// WatchCapacityReservations leads changes of CapacityReservations to their twins
// in the host plane, as WatchCapacityPlans does.
func (c *Conn) WatchCapacityReservations(ctx context.Context) error {
	return c.watch(ctx, &fleetv1alpha1.CapacityReservation{}, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { c.notify(c.events.CapacityReservations, o) },
		DeleteFunc: func(o any) { c.notify(c.events.CapacityReservations, o) },
		UpdateFunc: func(_, n any) { c.notify(c.events.CapacityReservations, n) },
	})
}

func (c *Conn) watch(ctx context.Context, obj client.Object, h toolscache.ResourceEventHandler) error {
	if c.cache == nil {
		return nil
	}
	key := kindKey(obj)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched[key] {
		return nil
	}
	i, err := c.cache.GetInformer(ctx, obj, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	if _, err := i.AddEventHandler(h); err != nil {
		return err
	}
	c.watched[key] = true
	return nil
}

func kindKey(obj client.Object) string {
	switch o := obj.(type) {
	case *clusterv1alpha1.Cluster:
		return "Cluster"
	case *fleetv1alpha1.CapacityPlan:
		return "CapacityPlan"
	case *fleetv1alpha1.CapacityReservation:
		return "CapacityReservation"
	default:
		return o.GetObjectKind().GroupVersionKind().String()
	}
}

// notify requeues the managed resource that an object is annotated with.
func (c *Conn) notify(r *Requeuer, o any) {
	if d, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = d.Obj
	}
	obj, ok := o.(client.Object)
	if !ok || r == nil {
		return
	}
	ns, name, ok := strings.Cut(obj.GetAnnotations()[AnnotationManagedBy], "/")
	if !ok {
		return
	}
	r.Now(types.NamespacedName{Namespace: ns, Name: name})
}

func bindingKinds() []*metav1.PartialObjectMetadata {
	out := make([]*metav1.PartialObjectMetadata, 0, 2)
	for _, kind := range []string{workv1alpha2.ResourceKindResourceBinding, workv1alpha2.ResourceKindClusterResourceBinding} {
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(schema.GroupVersion(workv1alpha2.GroupVersion).WithKind(kind))
		out = append(out, m)
	}
	return out
}

// WatchBindings requeues a draining Member when a binding changes. Only the
// metadata of bindings is watched, and only while a Member drains.
func (c *Conn) WatchBindings(ctx context.Context, member types.NamespacedName) {
	if c.cache == nil {
		return
	}
	c.mu.Lock()
	c.draining[member] = true
	c.mu.Unlock()
	changed := func() {
		for nn := range c.drains() {
			c.events.Members.After(nn, bindingsDelay)
		}
	}
	for _, m := range bindingKinds() {
		err := c.watch(ctx, m, toolscache.ResourceEventHandlerFuncs{
			// Existing bindings arrive as additions at the start.
			AddFunc:    func(any) { changed() },
			UpdateFunc: func(any, any) { changed() },
			DeleteFunc: func(any) { changed() },
		})
		if err != nil {
			// The drain is polled too, so it is only slower.
			c.log.Debug("Cannot watch bindings", "kind", m.Kind, "reason", Reason(err))
		}
	}
}

// UnwatchBindings ends WatchBindings of a Member that has left.
func (c *Conn) UnwatchBindings(ctx context.Context, member types.NamespacedName) {
	if c.cache == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.draining, member)
	if len(c.draining) > 0 {
		return
	}
	for _, m := range bindingKinds() {
		if !c.watched[kindKey(m)] {
			continue
		}
		if err := c.cache.RemoveInformer(ctx, m); err != nil {
			c.log.Debug("Cannot end the watch of bindings", "kind", m.Kind, "reason", Reason(err))
			continue
		}
		delete(c.watched, kindKey(m))
	}
}

func (c *Conn) drains() map[types.NamespacedName]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[types.NamespacedName]bool, len(c.draining))
	for nn := range c.draining {
		out[nn] = true
	}
	return out
}
