package tke_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	k8sfake "k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpfake "github.com/crossplane/crossplane-runtime/v2/pkg/resource/fake"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	elasticcluster "regionpool.io/provider-regionpool/internal/controller/elastic/cluster"
	elasticnodepool "regionpool.io/provider-regionpool/internal/controller/elastic/nodepool"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
	tkecontroller "regionpool.io/provider-regionpool/internal/controller/tke"
	"regionpool.io/provider-regionpool/internal/controller/tke/cluster"
	"regionpool.io/provider-regionpool/internal/controller/tke/nodepool"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

const (
	region = "ap-guangzhou"
	lag    = 15 * time.Second
	// step between two passes of the controllers.
	step = 5 * time.Second
)

var (
	clusterKey = types.NamespacedName{Namespace: "ns", Name: "c"}
	poolKey    = types.NamespacedName{Namespace: "ns", Name: "p"}
)

// A world is a simulated cloud, an API server that stands for the cluster's, and
// the controllers of clusters and node pools, whose passes the test makes.
type world struct {
	t      *testing.T
	sim    *simtest.Sim
	tke    *tke.Client
	clock  *testclock.FakeClock
	host   client.WithWatch
	member *k8sfake.Clientset
	events []string

	mu sync.Mutex
	// protected pods may not be evicted, by name.
	protected map[string]bool
	// crash says that the next external name is not saved.
	crash bool

	start              func()
	clusters, nodePool reconcile.Reconciler
}

func newWorld(t *testing.T, configure func(*config.Config), objs ...client.Object) *world {
	t.Helper()
	return seededWorld(t, 0, configure, objs...)
}

// seededWorld makes the random choices that follow from a seed.
func seededWorld(t *testing.T, seed int64, configure func(*config.Config), objs ...client.Object) *world {
	t.Helper()
	sim := simtest.Start(t, simtest.Options{Configure: configure, Seed: seed})
	spec := &elasticv1alpha1.ProviderConfigSpec{
		Type: elasticv1alpha1.TypeTencentCloud, Endpoint: sim.TencentURL, RateLimit: &elasticv1alpha1.RateLimit{QPS: 1000, Burst: 1000},
	}
	raw := []byte(`{"secretId":"` + simtest.SecretID + `","secretKey":"` + simtest.SecretKey + `"}`)
	factory := tke.NewFactory(clock.RealClock{})
	api, err := factory.Client(spec, raw, region)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, sim: sim, tke: api, clock: testclock.NewFakeClock(sim.Cloud.Clock.Now()), protected: map[string]bool{},
		member: k8sfake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem}}),
	}
	w.member.PrependReactor("create", "pods", w.evict)

	s := runtime.NewScheme()
	w.ok(clientgoscheme.AddToScheme(s))
	w.ok(apis.AddToScheme(s))
	w.host = fake.NewClientBuilder().WithScheme(s).WithObjects(objs...).
		WithStatusSubresource(&v1alpha1.Cluster{}, &v1alpha1.NodePool{}).
		WithInterceptorFuncs(interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			w.mu.Lock()
			crash := w.crash && meta.GetExternalName(o) != ""
			w.mu.Unlock()
			if crash {
				return errors.New("the process was killed")
			}
			return c.Update(ctx, o, opts...)
		}}).Build()

	open := func(spec *elasticv1alpha1.ProviderConfigSpec, raw []byte, region string) (tkecontroller.Client, error) {
		return factory.Client(spec, raw, region)
	}
	mgr := &xpfake.Manager{Client: w.host, Scheme: s}
	// Nothing but the objects survives a new start.
	w.start = func() {
		options := &elastic.Options{
			PollInProgress: time.Second, ListLag: lag, Recheck: time.Minute, Patience: 5 * time.Minute, Clock: w.clock,
			Resolve: func(context.Context, client.Client, resource.ModernManaged) (*elasticv1alpha1.ProviderConfigSpec, []byte, error) {
				return spec, raw, nil
			},
			Kubeconfigs: kube.NewKubeconfigs(w.clock),
			Kube:        kube.NewClients(w.clock, func([]byte) (kubernetes.Interface, error) { return w.member, nil }),
		}
		base := func(what string) *elastic.Base {
			return &elastic.Base{
				Options: options, What: what, Host: w.host, Poller: &lifecycle.Poller{Clock: w.clock}, Pace: &lifecycle.Pace{},
				Holds: &lifecycle.Holds{Recheck: time.Minute, Clock: w.clock}, Record: recorder{w}, Began: sync.OnceValue(w.clock.Now),
			}
		}
		ro := []managed.ReconcilerOption{managed.WithInitializers(), managed.WithDeterministicExternalName(true), managed.WithCreationGracePeriod(0)}
		w.clusters = managed.NewReconciler(mgr, resource.ManagedKind(v1alpha1.ClusterGroupVersionKind), append(ro,
			managed.WithTypedExternalConnector[elastic.Cluster](elasticcluster.NewConnector(cluster.Kind(open), base("cluster"))))...)
		w.nodePool = managed.NewReconciler(mgr, resource.ManagedKind(v1alpha1.NodePoolGroupVersionKind), append(ro,
			managed.WithTypedExternalConnector[elastic.NodePool](elasticnodepool.NewConnector(nodepool.Kind(open), base("node pool"))))...)
	}
	w.start()
	return w
}

// recorder keeps the reasons of events.
type recorder struct{ w *world }

func (r recorder) Event(_ runtime.Object, e event.Event) {
	r.w.events = append(r.w.events, string(e.Reason))
}

func (r recorder) WithAnnotations(...string) event.Recorder { return r }

// ok ends the test on an error.
func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// evict a pod, unless it is protected.
func (w *world) evict(a k8stesting.Action) (bool, runtime.Object, error) {
	c, ok := a.(k8stesting.CreateAction)
	if !ok || c.GetSubresource() != "eviction" {
		return false, nil, nil
	}
	e := c.GetObject().(*policyv1.Eviction)
	w.mu.Lock()
	held := w.protected[e.Name]
	w.mu.Unlock()
	if held {
		return true, nil, kerrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	}
	return true, nil, w.member.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), e.Namespace, e.Name)
}

// run a pod on a node.
func (w *world) run(name, node string) {
	w.t.Helper()
	w.ok(w.member.Tracker().Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: name}, Spec: corev1.PodSpec{NodeName: node}}))
}

// pass lets time go by and makes a pass of both controllers. Their errors are in
// the conditions.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.sim.Step(d)
	w.clock.Step(d)
	w.mirror()
	ctx := context.Background()
	_, err := w.clusters.Reconcile(ctx, reconcile.Request{NamespacedName: clusterKey})
	if err == nil {
		_, err = w.nodePool.Reconcile(ctx, reconcile.Request{NamespacedName: poolKey})
	}
	if err != nil {
		w.t.Logf("a pass fails: %v", err)
	}
}

func (w *world) passes(n int) {
	w.t.Helper()
	for range n {
		w.pass(step)
	}
}

// until the condition holds, for at most an hour.
func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	for range int(time.Hour / (2 * step)) {
		if cond() {
			return
		}
		w.pass(2 * step)
	}
	w.t.Fatalf("never: %s\n%+v\n%+v", what, w.cluster(), w.pool())
}

// mirror the nodes of the simulator's cluster in its API server.
func (w *world) mirror() {
	cr := w.cluster()
	if cr == nil {
		return
	}
	var names []string
	c := w.sim.Memory.Cluster(meta.GetExternalName(cr))
	if c != nil {
		names = c.Nodes()
	}
	ctx := context.Background()
	have, err := w.member.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	w.ok(err)
	for _, n := range have.Items {
		if !slices.Contains(names, n.Name) {
			w.ok(w.member.CoreV1().Nodes().Delete(ctx, n.Name, metav1.DeleteOptions{}))
			pods, err := w.member.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
			w.ok(err)
			for _, p := range pods.Items {
				if p.Spec.NodeName == n.Name {
					w.ok(w.member.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}))
				}
			}
		}
	}
	for _, name := range names {
		n, _ := c.Node(name)
		node, err := w.member.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if kerrors.IsNotFound(err) {
			node = &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: name, Labels: n.Labels}, Spec: corev1.NodeSpec{ProviderID: n.ProviderID, Taints: n.Taints},
				Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
			}
			w.ok(w.member.Tracker().Add(node))
		}
		if cond, ok := c.NodeCondition(name, "SpotTermination"); ok && len(node.Status.Conditions) < 2 {
			node.Status.Conditions = append(node.Status.Conditions, cond)
			_, err := w.member.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
			w.ok(err)
		}
	}
}

// cluster, or nil if it is gone.
func (w *world) cluster() *v1alpha1.Cluster {
	cr := &v1alpha1.Cluster{}
	if err := w.host.Get(context.Background(), clusterKey, cr); err != nil {
		return nil
	}
	return cr
}

// pool, or nil if it is gone.
func (w *world) pool() *v1alpha1.NodePool {
	cr := &v1alpha1.NodePool{}
	if err := w.host.Get(context.Background(), poolKey, cr); err != nil {
		return nil
	}
	return cr
}

func (w *world) clusterReady() bool {
	cr := w.cluster()
	return cr != nil && cr.GetCondition(xpv2.TypeReady).Status == corev1.ConditionTrue
}

// has reports whether the pool has so many Ready nodes.
func (w *world) has(n int32) func() bool {
	return func() bool {
		cr := w.pool()
		return cr != nil && cr.Status.AtProvider.State == tke.NodePoolNormal && cr.Status.AtProvider.Ready == n && cr.Status.AtProvider.Nodes == n && cr.Status.AtProvider.Desired == n
	}
}

// resize the pool.
func (w *world) resize(n int32) {
	w.t.Helper()
	cr := w.pool()
	cr.Spec.ForProvider.Size = &n
	cr.Generation++
	w.ok(w.host.Update(context.Background(), cr))
}

func (w *world) delete(o client.Object) {
	w.t.Helper()
	w.ok(w.host.Delete(context.Background(), o))
}

// calls of actions that were accepted, in order.
func (w *world) calls(actions ...string) []string {
	var all []string
	for _, e := range w.sim.Cloud.Requests.List(requestlog.Filter{}) {
		if e.Accepted && slices.Contains(actions, e.Action) {
			all = append(all, e.Action)
		}
	}
	return all
}

// fault in the simulator.
func (w *world) fault(r faults.Rule) {
	w.t.Helper()
	_, err := w.sim.Cloud.Faults.Add(r)
	w.ok(err)
}

// ever is how many things of a kind there ever were at the cloud.
func (w *world) ever(k ledger.Kind) int {
	return len(w.sim.Cloud.Ledger.All(func(o ledger.Object) bool { return o.Kind == k }))
}

// live things at the cloud, whatever they are.
func (w *world) live() []string {
	var all []string
	for _, o := range w.sim.Cloud.Ledger.Live(func(ledger.Object) bool { return true }) {
		all = append(all, fmt.Sprintf("%s %s", o.Kind, o.ID))
	}
	return all
}

// blocked says why a deletion waits.
func blocked(cr resource.Managed) string {
	c := cr.GetCondition(lifecycle.TypeDeletionBlocked)
	return string(c.Reason) + ": " + c.Message
}

// all is the default, which the fake API server does not fill in.
var all = xpv2.ManagementPolicies{xpv2.ManagementActionAll}

func newCluster(ms ...func(*v1alpha1.Cluster)) *v1alpha1.Cluster {
	cr := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "cccccccc-0000", Generation: 1},
		Spec: v1alpha1.ClusterSpec{ForProvider: v1alpha1.ClusterParameters{
			Region: region, VPCID: "vpc-gz1", SubnetID: "subnet-gz1", ClusterCIDR: ptr.To("172.16.0.0/16"), ServiceCIDR: "172.19.0.0/20",
			MaxPodsPerNode: 64, Level: "L50",
		}},
	}
	cr.SetManagementPolicies(all)
	cr.SetWriteConnectionSecretToReference(&xpv2.LocalSecretReference{Name: "kc"})
	for _, m := range ms {
		m(cr)
	}
	return cr
}

func newPool(size int32, ms ...func(*v1alpha1.NodePool)) *v1alpha1.NodePool {
	cr := &v1alpha1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "pppppppp-0000", Generation: 1},
		Spec: v1alpha1.NodePoolSpec{ForProvider: v1alpha1.NodePoolParameters{
			ClusterRef: corev1.LocalObjectReference{Name: "c"}, InstanceTypes: []string{"S5.LARGE8"}, Size: &size, Max: 10,
			SystemDisk: &v1alpha1.Disk{Type: "CLOUD_PREMIUM", SizeGiB: 100},
		}},
	}
	cr.SetManagementPolicies(all)
	for _, m := range ms {
		m(cr)
	}
	return cr
}

// joined lists are compared as texts.
func joined(all []string) string { return strings.Join(all, " ") }
