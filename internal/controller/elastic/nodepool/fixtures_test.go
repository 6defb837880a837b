package nodepool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	k8sfake "k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	k8stesting "k8s.io/client-go/testing"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const uid = "0123456789abcdef"

var ours = map[string]string{elasticv1alpha1.TagOwner: uid}

type modifier func(*v1alpha1.NodePool)

func nodePool(ms ...modifier) *v1alpha1.NodePool {
	cr := &v1alpha1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: uid, Generation: 1},
		Spec: v1alpha1.NodePoolSpec{ForProvider: v1alpha1.NodePoolParameters{
			ClusterRef: corev1.LocalObjectReference{Name: "c"}, InstanceTypes: []string{"ecs.g7.large"}, Max: 10,
			SizeFrom: &elasticv1alpha1.SizeFrom{CapacityPlanRef: corev1.LocalObjectReference{Name: "plan"}, Offering: "o"},
		}},
	}
	for _, m := range ms {
		m(cr)
	}
	return cr
}

func named(cr *v1alpha1.NodePool) { meta.SetExternalName(cr, "np1") }

func deleted(cr *v1alpha1.NodePool) {
	at := metav1.NewTime(now.Add(-time.Minute))
	cr.DeletionTimestamp, cr.Finalizers = &at, []string{"finalizer.managedresource.crossplane.io"}
}

func created(cr *v1alpha1.NodePool) {
	meta.SetExternalCreatePending(cr, now.Add(-time.Hour))
	meta.SetExternalCreateSucceeded(cr, now.Add(-time.Hour))
}

// unanswered since some time ago.
func unanswered(ago time.Duration) modifier {
	return func(cr *v1alpha1.NodePool) {
		c := lifecycle.DeletionBlocked(lifecycle.ReasonNoAnswer, "The API server of the cluster does not answer")
		c.LastTransitionTime = metav1.NewTime(now.Add(-ago))
		cr.SetConditions(c)
	}
}

func cluster(p elastic.Phase) *v1alpha1.Cluster {
	return &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", Annotations: map[string]string{meta.AnnotationKeyExternalName: "c1"}},
		Spec:       v1alpha1.ClusterSpec{ForProvider: v1alpha1.ClusterParameters{Region: "cn-test", VSwitchIDs: []string{"vsw-1"}}},
		Status:     v1alpha1.ClusterStatus{AtProvider: elasticv1alpha1.ClusterObservation{State: string(p)}},
	}
}

func plan(n int32, release ...string) *federationv1alpha1.CapacityPlan {
	p := &federationv1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "plan"}}
	p.Status.AtProvider.Offerings = []fleetv1alpha1.OfferingStatus{{Name: "o", Nodes: n, Release: release}}
	return p
}

func pool(p Phase, desired, total int32) func(string) (*State, Presence, error) {
	return func(id string) (*State, Presence, error) {
		return &State{ID: id, Phase: p, Word: string(p), Desired: desired, Total: total, Tags: ours}, Present, nil
	}
}

func node(i int, ms ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i), Labels: map[string]string{labelPool: "np1"}},
		Spec:       corev1.NodeSpec{ProviderID: fmt.Sprintf("cn-test.i-%d", i)},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	for _, m := range ms {
		m(n)
	}
	return n
}

func notReady(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }

func releasing(n *corev1.Node) {
	n.Spec.Unschedulable = true
	n.Spec.Taints = []corev1.Taint{{Key: fleetv1alpha1.TaintReleasing, Effect: corev1.TaintEffectNoSchedule}}
}

func pod(namespace, name string, on int) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{NodeName: fmt.Sprintf("n%d", on)}}
}

// machines i-1 to i-n, the last of which is the newest.
func machines(n int) func() ([]Machine, error) {
	return func() ([]Machine, error) {
		var all []Machine
		for i := 1; i <= n; i++ {
			all = append(all, Machine{ID: fmt.Sprintf("i-%d", i), Created: now.Add(time.Duration(i) * time.Minute)})
		}
		return all, nil
	}
}

// member is a cluster in which evictions of the named pods are refused.
func member(protected string, objs ...runtime.Object) *k8sfake.Clientset {
	k := k8sfake.NewClientset(objs...)
	k.PrependReactor("create", "pods", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "eviction" {
			return false, nil, nil
		}
		o := a.(k8stesting.CreateAction).GetObject().(metav1.Object)
		if protected != "" && strings.HasPrefix(o.GetName(), protected) {
			return true, nil, kerrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
		}
		return true, nil, k.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), o.GetNamespace(), o.GetName())
	})
	return k
}

// deaf is a cluster whose API server does not answer.
func deaf() *k8sfake.Clientset {
	k := k8sfake.NewClientset()
	k.PrependReactor("*", "*", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, kerrors.NewServiceUnavailable("no")
	})
	return k
}

func newExternal(t *testing.T, api Driver, k kubernetes.Interface, objs ...client.Object) *external {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apis.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	c := testclock.NewFakeClock(now)
	e := &external{
		Base: &elastic.Base{
			Options: &elastic.Options{
				PollInProgress: time.Second, ListLag: 15 * time.Second, Recheck: time.Minute, Patience: time.Minute, Clock: c,
				Kubeconfigs: kube.NewKubeconfigs(c),
				Kube:        kube.NewClients(c, func([]byte) (kubernetes.Interface, error) { return k, nil }),
			},
			What: "node pool", Host: fake.NewClientBuilder().WithScheme(s).WithObjects(objs...).Build(),
			Poller: &lifecycle.Poller{Clock: c}, Pace: &lifecycle.Pace{}, Holds: &lifecycle.Holds{Recheck: time.Minute, Clock: c},
			Record: event.NewNopRecorder(), Began: func() time.Time { return time.Time{} },
		},
		// The words of the fake cloud for the state of a cluster are the phases.
		kind:  &Kind{Cluster: v1alpha1.ClusterGroupVersionKind, Phase: func(s string) elastic.Phase { return elastic.Phase(s) }},
		cloud: api,
	}
	for _, o := range objs {
		if cl, ok := o.(*v1alpha1.Cluster); ok {
			e.cluster = cl
		}
	}
	return e
}
