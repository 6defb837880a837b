package estimator

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	estimatorclient "github.com/karmada-io/karmada/pkg/estimator/client"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// quota of a namespace, of which so much is used.
func quota(namespace string, hard, used corev1.ResourceList, by ...func(*corev1.ResourceQuota)) *corev1.ResourceQuota {
	q := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "q"},
		Spec:       corev1.ResourceQuotaSpec{Hard: hard},
		Status:     corev1.ResourceQuotaStatus{Hard: hard, Used: used},
	}
	for _, fn := range by {
		fn(q)
	}
	return q
}

func scoped(s corev1.ResourceQuotaScope) func(*corev1.ResourceQuota) {
	return func(q *corev1.ResourceQuota) { q.Spec.Scopes = []corev1.ResourceQuotaScope{s} }
}

func TestQuota(t *testing.T) {
	// Each has room for eight replicas of one CPU.
	with := func(q ...runtime.Object) map[string][]runtime.Object {
		return map[string][]runtime.Object{"a": append(q, node("n1")), "b": {node("n1")}}
	}
	assigned := workv1alpha2.TargetCluster{Name: "a", Replicas: 2}
	cases := map[string]struct {
		reason     string
		world      world
		components []workv1alpha2.Component
		assumed    []estimatorclient.AssumedWorkload
		want       map[string]int32
	}{
		"Left": {
			reason: "What is left of a quota of a member limits the replicas there",
			world:  world{members: with(quota("default", list("requests.cpu", "5", "pods", "10"), list("requests.cpu", "1500m", "pods", "1")))},
			want:   map[string]int32{"a": 3, "b": 8},
		},
		"Exhausted": {
			reason: "Nothing is left, and of what is used too much nothing is owed",
			world:  world{members: with(quota("default", list("pods", "3"), list("pods", "4")))},
			want:   map[string]int32{"a": 0, "b": 8},
		},
		"Fraction": {
			reason: "A whole number of replicas is not lost by rounding",
			world:  world{members: with(quota("default", list("cpu", "7.3"), list("cpu", "300m")))},
			want:   map[string]int32{"a": 7, "b": 8},
		},
		"OtherNamespace": {
			reason: "A quota is about its namespace",
			world:  world{members: with(quota("other", list("pods", "1"), nil))},
			want:   map[string]int32{"a": 8, "b": 8},
		},
		"Scope": {
			reason: "A quota for pods that ask for nothing is not about pods that ask for CPU",
			world:  world{members: with(quota("default", list("pods", "1"), nil, scoped(corev1.ResourceQuotaScopeBestEffort)))},
			want:   map[string]int32{"a": 8, "b": 8},
		},
		"Unsaid": {
			reason: "A pod that does not say what a quota is about is refused by the member",
			world:  world{members: with(quota("default", list("limits.cpu", "100"), nil))},
			want:   map[string]int32{"a": 0, "b": 8},
		},
		"Promised": {
			reason: "Replicas that were assigned, and are not there yet, will use it too; those without a place, as well",
			world: world{
				members:  with(quota("default", list("requests.cpu", "8"), list("requests.cpu", "1"))),
				objs:     []client.Object{deployment("web", "2")},
				bindings: []*workv1alpha2.ResourceBinding{binding("web", assigned)},
			},
			want: map[string]int32{"a": 3, "b": 8},
		},
		"Assumed": {
			reason:  "So will those that karmada-scheduler assumes",
			world:   world{members: with(quota("default", list("requests.cpu", "5"), nil))},
			assumed: []estimatorclient.AssumedWorkload{{Namespace: "default", Components: []workv1alpha2.Component{componentNeeds("x", 1, "cpu", "3")}}},
			want:    map[string]int32{"a": 2, "b": 8},
		},
		"Sets": {
			reason:     "A set uses what all its components do",
			world:      world{members: with(quota("default", list("requests.cpu", "7"), nil))},
			components: []workv1alpha2.Component{componentNeeds("head", 1, "cpu", "1"), componentNeeds("worker", 2, "cpu", "500m")},
			want:       map[string]int32{"a": 3, "b": 4},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := tc.world.start(t)
			assumed := map[string][]estimatorclient.AssumedWorkload{"a": tc.assumed}
			got := map[string]int32{}
			if len(tc.components) > 0 {
				sets, err := w.client.MaxAvailableComponentSets(t.Context(), estimatorclient.ComponentSetEstimationRequest{Clusters: w.clusters, Components: tc.components, Namespace: "default"})
				if err != nil {
					t.Fatalf("\n%s\nMaxAvailableComponentSets(...): %v", tc.reason, err)
				}
				for _, s := range sets {
					got[s.Name] = s.Sets
				}
			} else {
				replicas, err := w.client.MaxAvailableReplicas(t.Context(), estimatorclient.ReplicaEstimationRequest{Clusters: w.clusters, ReplicaRequirements: needs("cpu", "1"), AssumedWorkloads: assumed})
				if err != nil {
					t.Fatalf("\n%s\nMaxAvailableReplicas(...): %v", tc.reason, err)
				}
				got = byName(replicas)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nestimate: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestHeld has a reservation hold room for one workload, and asks for that and
// for another.
func TestHeld(t *testing.T) {
	w := world{
		members:  map[string][]runtime.Object{"a": {node("n1"), node("n2")}},
		objs:     []client.Object{deployment("web", "1"), deployment("other", "1")},
		bindings: []*workv1alpha2.ResourceBinding{binding("web"), binding("other")},
	}
	w.start(t)
	held := pod("web", "held", "n1", "6")
	gone := pod("web", "held-too", "gone", "6")
	w.estimator.Held = func(string) []scheduler.HeldRoom {
		return []scheduler.HeldRoom{{Member: "a", Bindings: []string{"default/web-deployment"}, Pods: []*corev1.Pod{held, gone}}}
	}
	for _, tc := range []struct {
		reason, name string
		want         int32
	}{
		{reason: "What is held is no room for others", name: "other", want: 10},
		{reason: "It is for those it is held for", name: "web", want: 16},
		{reason: "An answer leaves nothing behind", name: "other", want: 10},
	} {
		got, err := w.client.MaxAvailableReplicas(asking(t.Context(), "Deployment", tc.name), estimatorclient.ReplicaEstimationRequest{Clusters: w.clusters, ReplicaRequirements: needs("cpu", "1")})
		if err != nil {
			t.Fatalf("\n%s\nMaxAvailableReplicas(...): %v", tc.reason, err)
		}
		if diff := cmp.Diff(map[string]int32{"a": tc.want}, byName(got)); diff != "" {
			t.Errorf("\n%s\nMaxAvailableReplicas(%s): -want, +got:\n%s", tc.reason, tc.name, diff)
		}
	}
}
