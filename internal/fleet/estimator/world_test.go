package estimator

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	estimatorclient "github.com/karmada-io/karmada/pkg/estimator/client"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	"github.com/karmada-io/karmada/pkg/util/grpcconnection"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const gpu = corev1.ResourceName("nvidia.com/gpu")

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	b := runtime.NewSchemeBuilder(corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, clusterv1alpha1.Install, workv1alpha2.Install, fleetv1alpha1.AddToScheme)
	if err := b.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A world is a Karmada with members, fleet's estimator and karmada-scheduler's
// own client of it, connected the way karmada-scheduler does it.
type world struct {
	t *testing.T
	// members and what is in them.
	members map[string][]runtime.Object
	// objs in Karmada: workloads, plans, and clusters that are not as usual.
	objs     []client.Object
	bindings []*workv1alpha2.ResourceBinding
	budget   time.Duration
	// timeout of karmada-scheduler.
	timeout time.Duration
	certDir string
	tls     grpcconnection.ClientConfig
	reads   interceptor.Funcs
	// silent members do not answer.
	silent map[string]bool

	estimator *Estimator
	client    *estimatorclient.SchedulerEstimator
	clusters  []*clusterv1alpha1.Cluster
}

// patient is for how long answers are waited for where it is not time that is
// tested: a busy machine is no failure.
const patient = 20 * time.Second

func (w *world) start(t *testing.T) *world {
	t.Helper()
	w.t = t
	ctx := t.Context()
	if w.budget == 0 {
		w.budget = patient
	}
	objs := w.objs
	have := map[string]bool{}
	for _, o := range objs {
		if c, ok := o.(*clusterv1alpha1.Cluster); ok {
			have[c.Name] = true
			w.clusters = append(w.clusters, c)
		}
	}
	for name := range w.members {
		if !have[name] {
			c := cluster(name)
			objs = append(objs, c)
			w.clusters = append(w.clusters, c)
		}
	}
	c := fake.NewClientBuilder().WithScheme(testScheme(t)).WithObjects(objs...).WithInterceptorFuncs(w.reads).Build()
	registry := snapshot.NewRegistry()
	for name, in := range w.members {
		w.member(registry, name, in)
	}
	w.estimator = New(Options{Members: registry, Client: c, Live: c, Budget: w.budget, CertDir: w.certDir, Log: testr.NewWithOptions(t, testr.Options{Verbosity: 1})})
	for _, b := range w.bindings {
		w.estimator.assignments.set(b)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	creds, err := credentialsOf(w.certDir)
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.estimator.serve(serving, l, creds) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		w.estimator.closeRooms()
	})
	w.connect(c, l.Addr().String())
	return w
}

func (w *world) member(registry *snapshot.Registry, name string, in []runtime.Object) {
	w.t.Helper()
	probe := func(context.Context) error {
		if w.silent[name] {
			return fmt.Errorf("no answer")
		}
		return nil
	}
	m := snapshot.NewMemberForClient(name, kubefake.NewClientset(in...), snapshot.WithProbe(probe, 10*time.Millisecond, 0, 1))
	if err := registry.Add(m); err != nil {
		w.t.Fatal(err)
	}
	m.Start(w.t.Context())
	w.t.Cleanup(m.Stop)
	for range 1000 {
		if m.Synced() && !m.Contact().Since.IsZero() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatal("the member's cache does not sync")
}

// connect does what karmada-scheduler does when it sees a cluster, by the
// Services that the Announcer makes.
func (w *world) connect(c client.Client, address string) {
	w.t.Helper()
	ctx := w.t.Context()
	_, raw, err := net.SplitHostPort(address)
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := strconv.ParseInt(raw, 10, 32)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &Announcer{Client: c, Live: c, Host: "localhost", TargetPort: int32(port), Namespace: DefaultNamespace, Prefix: DefaultPrefix, Port: DefaultPort, All: true, Log: testr.New(w.t)}
	cfg := w.tls
	cfg.TargetPort = DefaultPort
	cache := estimatorclient.NewSchedulerEstimatorCache()
	for _, cl := range w.clusters {
		if _, err := a.Reconcile(ctx, reconcile.Request{NamespacedName: types.NamespacedName{Name: cl.Name}}); err != nil {
			w.t.Fatal(err)
		}
	}
	list := &corev1.ServiceList{}
	if err := c.List(ctx, list); err != nil {
		w.t.Fatal(err)
	}
	services := make([]runtime.Object, 0, len(list.Items))
	for i := range list.Items {
		services = append(services, &list.Items[i])
	}
	kube := kubefake.NewClientset(services...)
	for _, cl := range w.clusters {
		info := estimatorclient.SchedulerEstimatorServiceInfo{Name: cl.Name, Namespace: DefaultNamespace, NamePrefix: DefaultPrefix}
		if err := estimatorclient.EstablishConnection(kube, info, cache, &cfg); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { cache.DeleteCluster(cl.Name) })
	}
	if w.timeout == 0 {
		w.timeout = patient
	}
	w.client = estimatorclient.NewSchedulerEstimator(cache, w.timeout)
}

// asking is the context in which karmada-scheduler asks for a workload.
func asking(ctx context.Context, kind, name string) context.Context {
	if kind == "" {
		return ctx
	}
	return context.WithValue(ctx, karmadautil.ContextKeyObject, fmt.Sprintf("kind=%s, name=%s/%s", kind, "default", name))
}

func byName(in []workv1alpha2.TargetCluster) map[string]int32 {
	out := map[string]int32{}
	for _, c := range in {
		out[c.Name] = c.Replicas
	}
	return out
}

func cluster(name string) *clusterv1alpha1.Cluster {
	return &clusterv1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{fleetv1alpha1.LabelPool: "pool"}},
		Status:     clusterv1alpha1.ClusterStatus{Conditions: []metav1.Condition{{Type: clusterv1alpha1.ClusterConditionReady, Status: metav1.ConditionTrue}}},
	}
}

func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

// node has 8 CPU, 32 GiB and 110 pods, and what else is said.
func node(name string, by ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status:     corev1.NodeStatus{Allocatable: list("cpu", "8", "memory", "32Gi", "pods", "110"), Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	for _, fn := range by {
		fn(n)
	}
	return n
}

func with(name corev1.ResourceName, q string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Status.Allocatable[name] = resource.MustParse(q) }
}

func labelled(k, v string) func(*corev1.Node) { return func(n *corev1.Node) { n.Labels[k] = v } }

func tainted(key string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
}

// deployment has replicas of so much CPU, and what else is said.
func deployment(name, cpu string, by ...func(*corev1.PodSpec)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)},
		Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(4)), Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: list("cpu", cpu)}}}},
		}},
	}
	for _, fn := range by {
		fn(&d.Spec.Template.Spec)
	}
	return d
}

// apart keeps the replicas of a workload on nodes of their own.
func apart(name string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		}}}}
	}
}

// binding of a Deployment, with what is assigned to clusters.
func binding(name string, clusters ...workv1alpha2.TargetCluster) *workv1alpha2.ResourceBinding {
	return &workv1alpha2.ResourceBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name + "-deployment"},
		Spec: workv1alpha2.ResourceBindingSpec{
			Resource: workv1alpha2.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: name, UID: types.UID(name)},
			Replicas: 4, Clusters: clusters,
		},
	}
}

// pod of a Deployment. One without a node waits.
func pod(of, name, node, cpu string, by ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": of, "pod-template-hash": "1"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: of + "-1", UID: types.UID(of), Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{NodeName: node, SchedulerName: corev1.DefaultSchedulerName, Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: list("cpu", cpu)}}}},
	}
	for _, fn := range by {
		fn(p)
	}
	return p
}

// unschedulable since so long.
func unschedulable(since time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(time.Now().Add(-since)),
		}}
	}
}

func needs(pairs ...string) *workv1alpha2.ReplicaRequirements {
	return &workv1alpha2.ReplicaRequirements{Namespace: "default", ResourceRequest: list(pairs...)}
}
