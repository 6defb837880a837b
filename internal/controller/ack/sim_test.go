package ack_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
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
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpfake "github.com/crossplane/crossplane-runtime/v2/pkg/resource/fake"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/ack/cluster"
	"regionpool.io/provider-regionpool/internal/controller/ack/nodepool"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	elasticcluster "regionpool.io/provider-regionpool/internal/controller/elastic/cluster"
	elasticnodepool "regionpool.io/provider-regionpool/internal/controller/elastic/nodepool"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	region = "cn-hangzhou"
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
	clock  *testclock.FakeClock
	host   client.Client
	member *k8sfake.Clientset

	clusters, nodePool reconcile.Reconciler
}

func newWorld(t *testing.T, objs ...client.Object) *world {
	t.Helper()
	sim := simtest.Start(t, simtest.Options{})
	spec := &elasticv1alpha1.ProviderConfigSpec{
		Type: elasticv1alpha1.TypeAlibabaCloud, Endpoint: sim.URL, RateLimit: &elasticv1alpha1.RateLimit{QPS: 1000, Burst: 1000},
	}
	raw := []byte(`{"accessKeyId":"` + simtest.AccessKeyID + `","accessKeySecret":"` + simtest.AccessKeySecret + `"}`)
	w := &world{
		t: t, sim: sim, clock: testclock.NewFakeClock(sim.Cloud.Clock.Now()),
		member: k8sfake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem}}),
	}
	w.member.PrependReactor("create", "pods", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "eviction" {
			return false, nil, nil
		}
		o := a.(k8stesting.CreateAction).GetObject().(metav1.Object)
		return true, nil, w.member.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), o.GetNamespace(), o.GetName())
	})
	s := runtime.NewScheme()
	w.ok(clientgoscheme.AddToScheme(s))
	w.ok(apis.AddToScheme(s))
	w.host = fake.NewClientBuilder().WithScheme(s).WithObjects(objs...).WithStatusSubresource(&v1alpha1.Cluster{}, &v1alpha1.NodePool{}).Build()

	options := &elastic.Options{
		PollInProgress: time.Second, ListLag: 15 * time.Second, Recheck: time.Minute, Patience: 5 * time.Minute, Clock: w.clock,
		Resolve: func(context.Context, client.Client, resource.ModernManaged) (*elasticv1alpha1.ProviderConfigSpec, []byte, error) {
			return spec, raw, nil
		},
		Kubeconfigs: kube.NewKubeconfigs(w.clock),
		Kube:        kube.NewClients(w.clock, func([]byte) (kubernetes.Interface, error) { return w.member, nil }),
	}
	base := func(what string) *elastic.Base {
		return &elastic.Base{
			Options: options, What: what, Host: w.host, Poller: &lifecycle.Poller{Clock: w.clock}, Pace: &lifecycle.Pace{},
			Holds: &lifecycle.Holds{Recheck: time.Minute, Clock: w.clock}, Record: event.NewNopRecorder(), Began: sync.OnceValue(w.clock.Now),
		}
	}
	factory := ack.NewFactory(clock.RealClock{})
	open := func(spec *elasticv1alpha1.ProviderConfigSpec, raw []byte, region string) (ack.API, error) {
		return factory.Client(spec, raw, region)
	}
	mgr := &xpfake.Manager{Client: w.host, Scheme: s}
	ro := []managed.ReconcilerOption{managed.WithInitializers(), managed.WithDeterministicExternalName(true), managed.WithCreationGracePeriod(0)}
	w.clusters = managed.NewReconciler(mgr, resource.ManagedKind(v1alpha1.ClusterGroupVersionKind), append(ro,
		managed.WithTypedExternalConnector[elastic.Cluster](elasticcluster.NewConnector(cluster.Kind(open), base("cluster"))))...)
	w.nodePool = managed.NewReconciler(mgr, resource.ManagedKind(v1alpha1.NodePoolGroupVersionKind), append(ro,
		managed.WithTypedExternalConnector[elastic.NodePool](elasticnodepool.NewConnector(nodepool.Kind(open), base("node pool"))))...)
	return w
}

// ok ends the test on an error.
func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// passes of both controllers. Their errors are in the conditions.
func (w *world) passes(n int) {
	w.t.Helper()
	for range n {
		w.sim.Step(step)
		w.clock.Step(step)
		w.mirror()
		_, err := w.clusters.Reconcile(context.Background(), reconcile.Request{NamespacedName: clusterKey})
		if err == nil {
			_, err = w.nodePool.Reconcile(context.Background(), reconcile.Request{NamespacedName: poolKey})
		}
		if err != nil {
			w.t.Logf("a pass fails: %v", err)
		}
	}
}

// until the condition holds, for at most an hour.
func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	for range int(time.Hour / step) {
		if cond() {
			return
		}
		w.passes(1)
	}
	w.t.Fatalf("never: %s\n%+v\n%+v", what, w.cluster(), w.pool())
}

// mirror the nodes of the simulator's cluster in its API server.
func (w *world) mirror() {
	ctx := context.Background()
	names := w.nodes()
	have, err := w.member.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	w.ok(err)
	for _, n := range have.Items {
		if !slices.Contains(names, n.Name) {
			w.ok(w.member.CoreV1().Nodes().Delete(ctx, n.Name, metav1.DeleteOptions{}))
		}
	}
	for _, name := range names {
		c := w.sim.Memory.Cluster(meta.GetExternalName(w.cluster()))
		n, _ := c.Node(name)
		node, err := w.member.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if kerrors.IsNotFound(err) {
			node = &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: name, Labels: n.Labels}, Spec: corev1.NodeSpec{ProviderID: n.ProviderID, Taints: n.Taints},
				Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
			}
			w.ok(w.member.Tracker().Add(node))
		}
		if cond, ok := c.NodeCondition(name, "InstanceExpired"); ok && len(node.Status.Conditions) < 2 {
			node.Status.Conditions = append(node.Status.Conditions, cond)
			_, err := w.member.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
			w.ok(err)
		}
	}
}

// nodes of the cluster, virtual ones as well.
func (w *world) nodes() []string {
	cr := w.cluster()
	if cr == nil || w.sim.Memory.Cluster(meta.GetExternalName(cr)) == nil {
		return nil
	}
	return w.sim.Memory.Cluster(meta.GetExternalName(cr)).Nodes()
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

// has reports whether the pool has so many Ready nodes.
func (w *world) has(n int32) func() bool {
	return func() bool {
		at := w.pool().Status.AtProvider
		return at.State == ack.NodePoolActive && at.Ready == n && at.Nodes == n && at.Desired == n
	}
}

func (w *world) resize(n int32) {
	w.t.Helper()
	cr := w.pool()
	cr.Spec.ForProvider.Size = &n
	w.ok(w.host.Update(context.Background(), cr))
}

// ever is how many machines there ever were.
func (w *world) ever() int {
	return len(w.sim.Cloud.Ledger.All(func(o ledger.Object) bool { return o.Kind == ledger.ECS }))
}

// all is the default, which the fake API server does not fill in.
var all = xpv2.ManagementPolicies{xpv2.ManagementActionAll}

func newCluster(ms ...func(*v1alpha1.Cluster)) *v1alpha1.Cluster {
	cr := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "cccccccc-0000", Generation: 1},
		Spec: v1alpha1.ClusterSpec{ForProvider: v1alpha1.ClusterParameters{
			Region: region, VPCID: "vpc-1", VSwitchIDs: []string{"vsw-1"}, ContainerCIDR: ptr.To("172.20.0.0/16"), ServiceCIDR: "172.19.0.0/20",
			NodeCIDRMask: 25, ClusterSpec: "ack.pro.small",
		}},
	}
	cr.SetManagementPolicies(all)
	for _, m := range ms {
		m(cr)
	}
	return cr
}

func newPool(size int32, ms ...func(*v1alpha1.NodePool)) *v1alpha1.NodePool {
	cr := &v1alpha1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "pppppppp-0000", Generation: 1},
		Spec: v1alpha1.NodePoolSpec{ForProvider: v1alpha1.NodePoolParameters{
			ClusterRef: corev1.LocalObjectReference{Name: "c"}, InstanceTypes: []string{"ecs.g7.large"}, Size: &size, Max: 10,
			SystemDisk: &v1alpha1.Disk{Category: "cloud_essd", SizeGiB: 120}, MultiAZPolicy: "BALANCE",
		}},
	}
	cr.SetManagementPolicies(all)
	for _, m := range ms {
		m(cr)
	}
	return cr
}

func TestStockOut(t *testing.T) {
	w := newWorld(t, newCluster(), newPool(0))
	w.until("there", w.has(0))
	w.sim.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Type: "ecs.g7.large"}, Count: 2})
	w.resize(5)
	w.until("told", func() bool { return len(w.pool().Status.AtProvider.Shortages) > 0 })
	at := w.pool().Status.AtProvider
	c := w.pool().GetCondition(elasticv1alpha1.TypeCapacityAvailable)
	sh := at.Shortages[0]
	if len(at.Shortages) != 1 || sh.Reason != "OutOfStock" || sh.InstanceType != "ecs.g7.large" || sh.Zone == "" || at.Nodes != 2 || at.Desired != 5 ||
		c.Status != corev1.ConditionFalse || !strings.Contains(c.Message, sh.Zone) {
		t.Errorf("\nReason: what came counts, what did not is written down, with type and zone\n%+v\n%+v", at, c)
	}
	w.resize(2)
	w.passes(1)
	w.sim.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Type: "ecs.g7.large"}, Count: 100})
	w.until("enough", w.has(2))
	w.passes(60)
	if c := w.pool().GetCondition(elasticv1alpha1.TypeCapacityAvailable); w.ever() != 2 || c.Status != corev1.ConditionTrue || len(w.pool().Status.AtProvider.Shortages) > 0 {
		t.Errorf("\nReason: a restock does not bring what is no longer wanted, and no node was removed\n%d machines, %+v", w.ever(), c)
	}
}

func TestSpotReclaim(t *testing.T) {
	w := newWorld(t, newCluster(), newPool(2, func(cr *v1alpha1.NodePool) { cr.Spec.ForProvider.CapacityType = elasticv1alpha1.CapacitySpot }))
	w.until("two", w.has(2))
	if spot := w.sim.Cloud.Ledger.Live(func(o ledger.Object) bool { return o.Kind == ledger.ECS && o.Attrs["spot"] != "SpotAsPriceGo" }); len(spot) > 0 {
		t.Errorf("\nReason: they are spot instances\n%+v", spot)
	}
	victim := w.nodes()[0]
	w.ok(w.member.Tracker().Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "a"}, Spec: corev1.PodSpec{NodeName: victim}}))
	w.ok(w.sim.ACK.NodeEvent(victim, "reclaim"))
	// The notice is five minutes long.
	w.passes(4)
	want := []elasticv1alpha1.Shortage{{InstanceType: "ecs.g7.large", Zone: "cn-hangzhou-b", Reason: "Reclaimed"}}
	if diff := cmp.Diff(want, w.pool().Status.AtProvider.Shortages, cmpopts.IgnoreFields(elasticv1alpha1.Shortage{}, "Message", "Since", "Zone")); diff != "" {
		t.Errorf("\nReason: what the cloud takes back is written down\n-want, +got:\n%s", diff)
	}
	pods, err := w.member.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	w.ok(err)
	if len(pods.Items) > 0 || w.ever() != 3 {
		t.Errorf("\nReason: it is drained, and replaced, before it goes\npods %v, %d machines", pods.Items, w.ever())
	}
	w.until("replaced", func() bool { return w.has(2)() && !slices.Contains(w.nodes(), victim) })
	w.passes(60)
	if c := w.pool().GetCondition(elasticv1alpha1.TypeCapacityAvailable); !w.has(2)() || c.Status != corev1.ConditionTrue || len(w.pool().Status.AtProvider.Shortages) > 0 || w.ever() != 3 {
		t.Errorf("\nReason: then it is over\n%+v, %d machines", c, w.ever())
	}
}

func TestVirtualNodes(t *testing.T) {
	w := newWorld(t, newCluster())
	virtual := func() bool {
		return slices.ContainsFunc(w.nodes(), func(n string) bool { return strings.HasPrefix(n, "virtual-kubelet-") })
	}
	w.until("ready", func() bool { return w.cluster().GetCondition(xpv2.TypeReady).Status == corev1.ConditionTrue })
	if virtual() {
		t.Error("\nReason: virtual nodes are an add-on")
	}
	cr := w.cluster()
	cr.Spec.ForProvider.VirtualNodes = &v1alpha1.VirtualNodes{}
	w.ok(w.host.Update(context.Background(), cr))
	w.until("installed", virtual)
}
