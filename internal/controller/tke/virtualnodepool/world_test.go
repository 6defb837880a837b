package virtualnodepool

import (
	"context"
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
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
	tkecontroller "regionpool.io/provider-regionpool/internal/controller/tke"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

const (
	region = "ap-guangzhou"
	uid    = "0123456789abcdef"
	lag    = 5 * time.Second
)

var (
	key        = types.NamespacedName{Namespace: "ns", Name: "v"}
	clusterKey = types.NamespacedName{Namespace: "ns", Name: "c"}
)

// A world is a simulated cloud with a cluster, an API server that stands for the
// cluster's, and the controller, whose passes the test makes.
type world struct {
	t       *testing.T
	sim     *simtest.Sim
	tke     *tke.Client
	clock   *testclock.FakeClock
	host    client.Client
	member  *k8sfake.Clientset
	cluster string

	mu sync.Mutex
	// protected pods may not be evicted, by name.
	protected map[string]bool
	// silent says that the cluster's API server does not answer.
	silent bool

	reconciler reconcile.Reconciler
}

func newWorld(t *testing.T, objs ...client.Object) *world {
	t.Helper()
	sim := simtest.Start(t, simtest.Options{})
	spec := &elasticv1alpha1.ProviderConfigSpec{
		Type: elasticv1alpha1.TypeTencentCloud, Endpoint: sim.TencentURL, RateLimit: &elasticv1alpha1.RateLimit{QPS: 100, Burst: 200},
	}
	raw := []byte(`{"secretId":"` + simtest.SecretID + `","secretKey":"` + simtest.SecretKey + `"}`)
	factory := tke.NewFactory(clock.RealClock{})
	api, err := factory.Client(spec, raw, region)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, sim: sim, tke: api, clock: testclock.NewFakeClock(time.Now()), member: k8sfake.NewClientset(), protected: map[string]bool{},
	}
	w.member.PrependReactor("create", "pods", w.evict)
	w.member.PrependReactor("list", "nodes", func(k8stesting.Action) (bool, runtime.Object, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.silent {
			return true, nil, kerrors.NewTimeoutError("silent", 1)
		}
		return false, nil, nil
	})

	ctx := context.Background()
	w.cluster, err = api.CreateCluster(ctx, tke.ClusterInput{
		Name: "rp-c", VPCID: "vpc-gz1", SubnetID: "subnet-gz1", ClusterCIDR: "172.16.0.0/16", ServiceCIDR: "172.19.0.0/20", Level: "L50",
		Tags: map[string]string{elasticv1alpha1.TagOwner: "c"},
	})
	w.ok(err)
	sim.Step(15 * time.Minute)
	w.ok(api.CreateEndpoint(ctx, w.cluster, tke.EndpointInput{SubnetID: "subnet-gz1"}))
	sim.Step(2 * time.Minute)

	s := runtime.NewScheme()
	w.ok(clientgoscheme.AddToScheme(s))
	w.ok(apis.AddToScheme(s))
	cl := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", Annotations: map[string]string{meta.AnnotationKeyExternalName: w.cluster}},
		Spec:       v1alpha1.ClusterSpec{ForProvider: v1alpha1.ClusterParameters{Region: region, VPCID: "vpc-gz1", SubnetID: "subnet-gz1"}},
		Status:     v1alpha1.ClusterStatus{AtProvider: elasticv1alpha1.ClusterObservation{State: tke.ClusterRunning, APIEndpoint: "https://127.0.0.1:1"}},
	}
	w.host = fake.NewClientBuilder().WithScheme(s).WithObjects(cl).WithObjects(objs...).
		WithStatusSubresource(&v1alpha1.VirtualNodePool{}, &v1alpha1.Cluster{}).Build()

	base := &elastic.Base{
		Options: &elastic.Options{
			PollInProgress: time.Second, ListLag: lag, Recheck: time.Minute, Patience: time.Minute, Clock: w.clock,
			Resolve: func(context.Context, client.Client, resource.ModernManaged) (*elasticv1alpha1.ProviderConfigSpec, []byte, error) {
				return spec, raw, nil
			},
			Kubeconfigs: kube.NewKubeconfigs(w.clock),
			Kube:        kube.NewClients(w.clock, func([]byte) (kubernetes.Interface, error) { return w.member, nil }),
		},
		What: "virtual node pool", Host: w.host, Poller: &lifecycle.Poller{Clock: w.clock}, Pace: &lifecycle.Pace{},
		Holds: &lifecycle.Holds{Recheck: time.Minute, Clock: w.clock}, Record: event.NewNopRecorder(), Began: sync.OnceValue(w.clock.Now),
	}
	open := func(spec *elasticv1alpha1.ProviderConfigSpec, raw []byte, region string) (tkecontroller.Client, error) {
		return factory.Client(spec, raw, region)
	}
	w.reconciler = managed.NewReconciler(&xpfake.Manager{Client: w.host, Scheme: s}, resource.ManagedKind(v1alpha1.VirtualNodePoolGroupVersionKind),
		managed.WithTypedExternalConnector[*v1alpha1.VirtualNodePool](&connector{Base: base, open: open}),
		managed.WithInitializers(), managed.WithDeterministicExternalName(true), managed.WithCreationGracePeriod(0), managed.WithManagementPolicies(),
	)
	return w
}

// ok ends the test on an error.
func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// evict a pod, unless it is protected: here and in the simulator.
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
	w.end(e.Namespace, e.Name)
	return true, nil, nil
}

// end a pod.
func (w *world) end(namespace, name string) {
	w.sim.Memory.Cluster(w.cluster).DeletePod(namespace, name)
	_ = w.member.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), namespace, name)
}

// run a pod on a node.
func (w *world) run(namespace, name, node string, ms ...func(*corev1.Pod)) {
	w.t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	for _, m := range ms {
		m(p)
	}
	w.ok(w.sim.Memory.Cluster(w.cluster).BindPod(p))
	w.ok(w.member.Tracker().Add(p))
	w.sim.Step(2 * time.Minute)
}

// pass lets time go by and makes a pass of the controller.
func (w *world) pass(d time.Duration) error {
	w.sim.Step(d)
	w.clock.Step(d)
	w.mirror()
	_, err := w.reconciler.Reconcile(context.Background(), reconcile.Request{NamespacedName: key})
	return err
}

// passes of a number, two seconds apart.
func (w *world) passes(n int) {
	w.t.Helper()
	for range n {
		w.ok(w.pass(2 * time.Second))
	}
}

// until the condition holds, for at most five minutes.
func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	for range 150 {
		if cond() {
			return
		}
		w.ok(w.pass(2 * time.Second))
	}
	w.t.Fatalf("never: %s\n%+v", what, w.get())
}

// mirror the nodes of the simulator's cluster in its API server.
func (w *world) mirror() {
	c := w.sim.Memory.Cluster(w.cluster)
	if c == nil {
		return
	}
	ctx := context.Background()
	have, err := w.member.Tracker().List(corev1.SchemeGroupVersion.WithResource("nodes"), corev1.SchemeGroupVersion.WithKind("Node"), "")
	w.ok(err)
	names := c.Nodes()
	for _, n := range have.(*corev1.NodeList).Items {
		if strings.HasPrefix(n.Name, "eklet-") && !slices.Contains(names, n.Name) {
			w.ok(w.member.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("nodes"), "", n.Name))
		}
	}
	for _, name := range names {
		n, _ := c.Node(name)
		if _, err := w.member.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); kerrors.IsNotFound(err) {
			w.ok(w.member.Tracker().Add(&corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: name, Labels: n.Labels}, Spec: corev1.NodeSpec{Taints: n.Taints},
				Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
			}))
		}
	}
}

// get the resource, or nil if it is gone.
func (w *world) get() *v1alpha1.VirtualNodePool {
	cr := &v1alpha1.VirtualNodePool{}
	if err := w.host.Get(context.Background(), key, cr); err != nil {
		return nil
	}
	return cr
}

// update the resource.
func (w *world) update(f func(cr *v1alpha1.VirtualNodePool)) {
	w.t.Helper()
	cr := w.get()
	f(cr)
	w.ok(w.host.Update(context.Background(), cr))
}

// delete an object. The fake API server writes down the real time.
func (w *world) delete(o client.Object) {
	w.t.Helper()
	w.clock.SetTime(time.Now())
	w.ok(w.host.Delete(context.Background(), o))
}

// calls of an action that were accepted.
func (w *world) calls(action string) int {
	n := 0
	for _, e := range w.sim.Cloud.Requests.List(requestlog.Filter{Action: action}) {
		if e.Accepted {
			n++
		}
	}
	return n
}

// pools at the cloud.
func (w *world) pools() []tke.VirtualNodePool {
	w.t.Helper()
	all, err := w.tke.ListVirtualNodePools(context.Background(), w.cluster)
	w.ok(err)
	return all
}

// blocked says why the deletion waits.
func (w *world) blocked() string {
	if cr := w.get(); cr != nil {
		c := cr.GetCondition(lifecycle.TypeDeletionBlocked)
		return string(c.Reason) + ": " + c.Message
	}
	return "gone"
}

// all is the default, which the fake API server does not fill in.
var all = xpv2.ManagementPolicies{xpv2.ManagementActionAll}

func virtual(ms ...func(*v1alpha1.VirtualNodePool)) *v1alpha1.VirtualNodePool {
	cr := &v1alpha1.VirtualNodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: uid, Generation: 1},
		Spec: v1alpha1.VirtualNodePoolSpec{ForProvider: v1alpha1.VirtualNodePoolParameters{
			ClusterRef: corev1.LocalObjectReference{Name: "c"}, Labels: map[string]string{"regionpool.io/offering": "tke-virtual"},
		}},
	}
	cr.SetManagementPolicies(all)
	for _, m := range ms {
		m(cr)
	}
	return cr
}

func memberOf(cluster string) *federationv1alpha1.Member {
	m := &federationv1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}}
	m.Spec.ForProvider.ClusterRef = &federationv1alpha1.ClusterReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: v1alpha1.ClusterKind, Name: cluster}
	return m
}
