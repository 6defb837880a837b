package member

import (
	"context"
	"fmt"
	"testing"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha1 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	"github.com/karmada-io/karmada/pkg/util/names"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	kfake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	ktesting "k8s.io/client-go/testing"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
)

const (
	pool = "platform-shanghai"
	// secretToken is in every kubeconfig of the tests, and must be nowhere else.
	secretToken = "s3cr3t-t0k3n"
	uid         = "uid-member"
	id          = "uid-kube-system"
)

var (
	errBoom = errors.New("boom")
	start   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func kubeconfig(server string) []byte {
	return []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: u, user: {token: %s}}]
`, server, secretToken))
}

func secret(name string, data []byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: name}, Data: map[string][]byte{"kubeconfig": data}}
}

type memberMod func(*v1alpha1.Member)

func newMember(m ...memberMod) *v1alpha1.Member {
	mg := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{
		Namespace: "platform", Name: "shanghai-idc-a", UID: uid,
		Annotations: map[string]string{xpmeta.AnnotationKeyExternalName: "idc-a"},
	}}
	mg.Spec.ForProvider = v1alpha1.MemberParameters{
		KubeconfigSecretRef: &v1alpha1.SecretKeyReference{Name: "idc-a", Key: "kubeconfig"},
		Pool:                pool,
		Tier:                v1alpha1.TierSelfBuilt,
		OnLeave:             v1alpha1.LeaveDrain,
	}
	for _, f := range m {
		f(mg)
	}
	return mg
}

func deleted(mg *v1alpha1.Member) {
	mg.DeletionTimestamp = ptr.To(metav1.NewTime(start))
}

func retains(mg *v1alpha1.Member) { mg.Spec.ForProvider.OnLeave = v1alpha1.LeaveRetain }

func ofCloud(mg *v1alpha1.Member) {
	mg.Spec.ForProvider.KubeconfigSecretRef = nil
	mg.Spec.ForProvider.ClusterRef = &v1alpha1.ClusterReference{APIVersion: "ack.regionpool.io/v1alpha1", Kind: "Cluster", Name: "shanghai-ack"}
	mg.Spec.ForProvider.Tier = v1alpha1.TierElastic
}

func cloudCluster() *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"writeConnectionSecretToRef": map[string]any{"name": "shanghai-ack-kubeconfig"}},
	}}
	u.SetAPIVersion("ack.regionpool.io/v1alpha1")
	u.SetKind("Cluster")
	u.SetNamespace("platform")
	u.SetName("shanghai-ack")
	return u
}

type clusterMod func(*clusterv1alpha1.Cluster)

// karmadaCluster as join would have made it for newMember.
func karmadaCluster(m ...clusterMod) *clusterv1alpha1.Cluster {
	cl := &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "idc-a", UID: "uid-cluster", Finalizers: []string{karmadautil.ClusterControllerFinalizer}}}
	mg := newMember()
	if err := merge(cl, mg); err != nil {
		panic(err)
	}
	r := accessReader{live: fake.NewClientBuilder().WithObjects(secret("idc-a", kubeconfig("https://idc-a:6443"))).Build()}
	a, err := r.read(context.Background(), mg)
	if err != nil {
		panic(err)
	}
	mergeAccess(cl, a, id)
	ready(true)(cl)
	for _, f := range m {
		f(cl)
	}
	return cl
}

func ready(is bool) clusterMod {
	return func(cl *clusterv1alpha1.Cluster) {
		c := metav1.Condition{Type: clusterv1alpha1.ClusterConditionReady, Status: metav1.ConditionFalse, Reason: "ClusterNotReachable"}
		if is {
			c.Status, c.Reason = metav1.ConditionTrue, "ClusterReady"
		}
		cl.Status.Conditions = []metav1.Condition{c}
	}
}

// unseen by Karmada since it was created so long ago.
func unseen(age time.Duration) clusterMod {
	return func(cl *clusterv1alpha1.Cluster) {
		cl.Status.Conditions = nil
		cl.CreationTimestamp = metav1.NewTime(start.Add(-age))
	}
}

func terminating(at time.Time) clusterMod {
	return func(cl *clusterv1alpha1.Cluster) { cl.DeletionTimestamp = ptr.To(metav1.NewTime(at)) }
}

func ownedBy(o string) clusterMod {
	return func(cl *clusterv1alpha1.Cluster) {
		cl.Annotations[karmada.AnnotationMemberUID] = o
		cl.Annotations[karmada.AnnotationManagedBy] = "other/member"
	}
}

type rbMod func(*workv1alpha2.ResourceBinding)

func rb(name string, m ...rbMod) *workv1alpha2.ResourceBinding {
	b := &workv1alpha2.ResourceBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name + "-deployment", Generation: 1}}
	b.Spec.Resource = workv1alpha2.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: name}
	b.Spec.SchedulerName = fleetv1alpha1.SchedulerName
	b.Status.SchedulerObservedGeneration = 1
	for _, f := range m {
		f(b)
	}
	return b
}

func on(cluster string, n int32) rbMod {
	return func(b *workv1alpha2.ResourceBinding) {
		b.Spec.Replicas += n
		if n > 0 {
			b.Spec.ReplicaRequirements = &workv1alpha2.ReplicaRequirements{}
		}
		b.Spec.Clusters = append(b.Spec.Clusters, workv1alpha2.TargetCluster{Name: cluster, Replicas: n})
	}
}

func byKarmada(b *workv1alpha2.ResourceBinding) { b.Spec.SchedulerName = "default-scheduler" }

func service(b *workv1alpha2.ResourceBinding) {
	byKarmada(b)
	b.Spec.Resource.Kind = "Service"
}

func work(name string, bound, preserve bool, finalizers ...string) *workv1alpha1.Work {
	w := &workv1alpha1.Work{ObjectMeta: metav1.ObjectMeta{Namespace: names.GenerateExecutionSpaceName("idc-a"), Name: name, Finalizers: finalizers}}
	if bound {
		w.Labels = map[string]string{workv1alpha2.ResourceBindingPermanentIDLabel: "x"}
	}
	if preserve {
		w.Spec.PreserveResourcesOnDeletion = ptr.To(true)
	}
	return w
}

// ownWork is one that Karmada makes for itself.
func ownWork(name string) *workv1alpha1.Work {
	w := work(name, false, false)
	w.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(karmadaCluster(), schema.GroupVersion(clusterv1alpha1.GroupVersion).WithKind("Cluster"))}
	return w
}

// executionSpace is the namespace in Karmada with the Works of a member.
func executionSpace(terminating bool) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: names.GenerateExecutionSpaceName("idc-a")}}
	if terminating {
		// The fake client has no namespace controller: a finalizer holds it.
		ns.Finalizers = []string{"kubernetes"}
		ns.DeletionTimestamp = ptr.To(metav1.NewTime(start))
	}
	return ns
}

// A world is a host plane, a Karmada API and a member.
type world struct {
	host, karmada client.Client
	member        *kfake.Clientset
	clock         *testclock.FakePassiveClock
	e             *external
}

type worldOptions struct {
	host    []client.Object
	karmada []client.Object
	funcs   interceptor.Funcs
	// member answers with this error, if any.
	memberErr error
	// memberID is the UID of kube-system.
	memberID types.UID
}

func newWorld(t *testing.T, o worldOptions) *world {
	t.Helper()
	ks, err := karmada.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	hs := runtime.NewScheme()
	if err := apis.AddToScheme(hs); err != nil {
		t.Fatal(err)
	}
	if err := corev1.AddToScheme(hs); err != nil {
		t.Fatal(err)
	}
	if o.memberID == "" {
		o.memberID = id
	}
	w := &world{
		host:    fake.NewClientBuilder().WithScheme(hs).WithObjects(o.host...).Build(),
		karmada: fake.NewClientBuilder().WithScheme(ks).WithObjects(o.karmada...).WithInterceptorFuncs(o.funcs).Build(),
		member:  kfake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: o.memberID}}),
		clock:   testclock.NewFakePassiveClock(start),
	}
	// The token controller.
	w.member.PrependReactor("create", "secrets", func(a ktesting.Action) (bool, runtime.Object, error) {
		if c, ok := a.(ktesting.CreateAction); ok {
			if s, ok := c.GetObject().(*corev1.Secret); ok {
				s.Data = map[string][]byte{corev1.ServiceAccountTokenKey: []byte("token-of-" + s.Name)}
			}
		}
		return false, nil, nil
	})
	if o.memberErr != nil {
		w.member.PrependReactor("*", "*", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, o.memberErr })
	}
	w.e = &external{
		connector: &connector{
			kube:           w.host,
			access:         accessReader{live: w.host},
			dial:           func(*rest.Config) (kubernetes.Interface, error) { return w.member, nil },
			clock:          w.clock,
			requeuer:       &karmada.Requeuer{},
			pollInProgress: time.Second,
		},
		conn: karmada.NewConn(w.karmada),
	}
	return w
}

// after lets time pass.
func (w *world) after(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

// get reads an object of Karmada back; nil means that it is gone.
func get[T client.Object](t *testing.T, c client.Client, o T) T {
	t.Helper()
	var zero T
	err := c.Get(context.Background(), client.ObjectKeyFromObject(o), o)
	if ignoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return zero
	}
	return o
}
