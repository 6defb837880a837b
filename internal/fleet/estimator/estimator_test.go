package estimator

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	estimatorclient "github.com/karmada-io/karmada/pkg/estimator/client"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

func TestMaxAvailableReplicas(t *testing.T) {
	slow := interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if o.GetObjectKind().GroupVersionKind().Kind == "Deployment" {
			<-ctx.Done()
			return ctx.Err()
		}
		return c.Get(ctx, k, o, opts...)
	}}
	cases := map[string]struct {
		reason string
		world  world
		// kind and name of the workload, in the metadata.
		kind, name string
		needs      *workv1alpha2.ReplicaRequirements
		assumed    []estimatorclient.AssumedWorkload
		want       map[string]int32
	}{
		"Requirements": {
			reason: "Without a workload, what the request says a replica needs is simulated: 3 CPU leave 2 of 8, on each node",
			world:  world{members: map[string][]runtime.Object{"a": {node("n1"), node("n2")}, "b": {node("n1")}}},
			needs:  needs("cpu", "3"), want: map[string]int32{"a": 4, "b": 2},
		},
		"NothingNeeded": {
			reason: "A replica that needs nothing needs a place among the pods of a node",
			world:  world{members: map[string][]runtime.Object{"a": {node("n1"), node("n2")}}},
			want:   map[string]int32{"a": 220},
		},
		"NodeClaim": {
			reason: "Selector, affinity and tolerations of the request count",
			world: world{members: map[string][]runtime.Object{"a": {
				node("n1", labelled("disk", "ssd"), labelled("zone", "x")), node("n2", labelled("disk", "ssd"), labelled("zone", "x"), tainted("t")),
				node("n3", labelled("disk", "ssd"), labelled("zone", "x"), tainted("other")), node("n4", labelled("disk", "ssd")), node("n5", labelled("zone", "x")),
			}}},
			needs: &workv1alpha2.ReplicaRequirements{ResourceRequest: list("cpu", "3"), NodeClaim: &workv1alpha2.NodeClaim{
				NodeSelector: map[string]string{"disk": "ssd"},
				Tolerations:  []corev1.Toleration{{Key: "t", Operator: corev1.TolerationOpExists}},
				HardNodeAffinity: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"x", "y"}},
				}}}},
			}},
			want: map[string]int32{"a": 4},
		},
		"Taint": {
			reason: "A node with a taint, or that is cordoned, is no place",
			world: world{members: map[string][]runtime.Object{"a": {node("n1", tainted("t")), node("n2"), node("n3", func(n *corev1.Node) {
				n.Spec.Unschedulable = true
			})}}},
			needs: needs("cpu", "3"), want: map[string]int32{"a": 2},
		},
		"GPU": {
			reason: "GPUs are counted node by node: three on each have room for one replica with two",
			world:  world{members: map[string][]runtime.Object{"a": {node("n1", with(gpu, "3")), node("n2", with(gpu, "3")), node("n3")}, "b": {node("n1")}}},
			needs:  needs(string(gpu), "2"), want: map[string]int32{"a": 2, "b": 0},
		},
		"Storage": {
			reason: "Other resources too",
			world:  world{members: map[string][]runtime.Object{"a": {node("n1", with(corev1.ResourceEphemeralStorage, "10Gi"))}}},
			needs:  needs("ephemeral-storage", "4Gi"), want: map[string]int32{"a": 2},
		},
		"Template": {
			reason: "What only the template says counts: replicas that keep apart have one place on each node",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1"), node("n2")}},
				objs:    []client.Object{deployment("web", "1", apart("web"))}, bindings: []*workv1alpha2.ResourceBinding{binding("web")},
			},
			kind: "Deployment", name: "web", needs: needs("cpu", "1"), want: map[string]int32{"a": 2},
		},
		"TemplateGone": {
			reason: "A workload that cannot be read is estimated by what the request says",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1"), node("n2")}}, bindings: []*workv1alpha2.ResourceBinding{binding("web")},
			},
			kind: "Deployment", name: "web", needs: needs("cpu", "3"), want: map[string]int32{"a": 4},
		},
		"TemplateSlow": {
			reason: "A workload that cannot be read in time as well",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1"), node("n2")}}, bindings: []*workv1alpha2.ResourceBinding{binding("web")},
				objs: []client.Object{deployment("web", "1", apart("web"))}, reads: slow, budget: time.Second,
			},
			kind: "Deployment", name: "web", needs: needs("cpu", "3"), want: map[string]int32{"a": 4},
		},
		"NoBinding": {
			reason: "A workload without a binding is estimated by what the request says",
			world:  world{members: map[string][]runtime.Object{"a": {node("n1")}}, budget: time.Second},
			kind:   "Deployment", name: "web", needs: needs("cpu", "3"), want: map[string]int32{"a": 2},
		},
		"Gates": {
			reason: "Scheduling gates are lifted some time",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}}, bindings: []*workv1alpha2.ResourceBinding{binding("web")},
				objs: []client.Object{deployment("web", "3", func(s *corev1.PodSpec) { s.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.org/g"}} })},
			},
			kind: "Deployment", name: "web", want: map[string]int32{"a": 2},
		},
		"ClaimComes": {
			reason: "A volume claim that is not there yet comes with the workload",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}}, bindings: []*workv1alpha2.ResourceBinding{binding("web")},
				objs: []client.Object{deployment("web", "3", func(s *corev1.PodSpec) {
					s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}
				})},
			},
			kind: "Deployment", name: "web", want: map[string]int32{"a": 2},
		},
		"OtherScheduler": {
			reason: "What a scheduler does that is not simulated is not known",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}}, bindings: []*workv1alpha2.ResourceBinding{binding("web")},
				objs: []client.Object{deployment("web", "3", func(s *corev1.PodSpec) { s.SchedulerName = "volcano" })},
			},
			kind: "Deployment", name: "web", want: map[string]int32{"a": Unknown},
		},
		"NoPriorityClass": {
			reason: "A member refuses pods of a priority class that it does not have",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}}, bindings: []*workv1alpha2.ResourceBinding{binding("web")},
				objs: []client.Object{deployment("web", "3", func(s *corev1.PodSpec) { s.PriorityClassName = "high" })},
			},
			kind: "Deployment", name: "web", want: map[string]int32{"a": 0},
		},
		"NoNodes": {
			reason: "A member without nodes has no room, and that is known",
			world:  world{members: map[string][]runtime.Object{"a": nil}},
			needs:  needs("cpu", "1"), want: map[string]int32{"a": 0},
		},
		"Running": {
			reason: "Pods that run or are leaving have their room, those that ended do not",
			world: world{members: map[string][]runtime.Object{"a": {
				node("n1"), pod("web", "p1", "n1", "2"), pod("web", "p2", "n1", "2", func(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.Now()); p.Finalizers = []string{"x"} }),
				pod("web", "p3", "n1", "2", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
			}}},
			needs: needs("cpu", "1"), want: map[string]int32{"a": 4},
		},
		"Waiting": {
			reason: "A pod that waits has the room that it will get; one that finds none has none",
			world: world{members: map[string][]runtime.Object{"a": {
				node("n1"), pod("web", "p1", "", "3"), pod("big", "p2", "", "9"),
			}}},
			needs: needs("cpu", "1"), want: map[string]int32{"a": 5},
		},
		"Unseen": {
			reason: "Replicas that are assigned, by whichever scheduler, and not seen have their room: of four, one is seen",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1"), node("n2"), pod("web", "p1", "n1", "3")}},
				objs:    []client.Object{deployment("web", "3")}, bindings: []*workv1alpha2.ResourceBinding{binding("web", workv1alpha2.TargetCluster{Name: "a", Replicas: 4})},
			},
			needs: needs("cpu", "2"), want: map[string]int32{"a": 2},
		},
		"UnseenElsewhere": {
			reason: "Replicas in another member have theirs there",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}, "b": {node("n1")}},
				objs:    []client.Object{deployment("web", "3")}, bindings: []*workv1alpha2.ResourceBinding{binding("web", workv1alpha2.TargetCluster{Name: "b", Replicas: 2})},
			},
			needs: needs("cpu", "2"), want: map[string]int32{"a": 4, "b": 1},
		},
		"UnseenRetained": {
			reason: "Where the member decides how many replicas there are, none are expected",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}},
				objs: []client.Object{func() client.Object {
					d := deployment("web", "3")
					d.Labels = map[string]string{karmadautil.RetainReplicasLabel: "true"}
					return d
				}()},
				bindings: []*workv1alpha2.ResourceBinding{binding("web", workv1alpha2.TargetCluster{Name: "a", Replicas: 2})},
			},
			needs: needs("cpu", "2"), want: map[string]int32{"a": 4},
		},
		"UnseenJob": {
			reason: "Of a Job, pods that succeeded are not expected again: two of four are",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}},
				objs: []client.Object{&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: batchv1.JobSpec{
					Parallelism: ptr.To(int32(4)), Template: deployment("web", "2").Spec.Template,
				}}},
				bindings: []*workv1alpha2.ResourceBinding{func() *workv1alpha2.ResourceBinding {
					b := binding("web", workv1alpha2.TargetCluster{Name: "a", Replicas: 4})
					b.Spec.Resource.APIVersion, b.Spec.Resource.Kind = "batch/v1", "Job"
					b.Status.AggregatedStatus = []workv1alpha2.AggregatedStatusItem{{ClusterName: "a", Status: &runtime.RawExtension{Raw: []byte(`{"succeeded":2}`)}}}
					return b
				}()},
			},
			needs: needs("cpu", "2"), want: map[string]int32{"a": 2},
		},
		"UnseenUnknownKind": {
			reason: "Of a kind whose pods are not recognized nothing is expected",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}},
				bindings: []*workv1alpha2.ResourceBinding{func() *workv1alpha2.ResourceBinding {
					b := binding("web", workv1alpha2.TargetCluster{Name: "a", Replicas: 4})
					b.Spec.Resource.APIVersion, b.Spec.Resource.Kind = "argoproj.io/v1alpha1", "Rollout"
					b.Spec.ReplicaRequirements = needs("cpu", "2")
					return b
				}()},
			},
			needs: needs("cpu", "2"), want: map[string]int32{"a": 4},
		},
		"Assumed": {
			reason: "What karmada-scheduler assumes has its room once: two of three are seen by the binding, one is not yet",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}},
				objs:    []client.Object{deployment("web", "2")}, bindings: []*workv1alpha2.ResourceBinding{binding("web", workv1alpha2.TargetCluster{Name: "a", Replicas: 2})},
			},
			needs: needs("cpu", "1"),
			assumed: []estimatorclient.AssumedWorkload{
				{Namespace: "default", Components: []workv1alpha2.Component{{Name: "web", Replicas: 3, ReplicaRequirements: &workv1alpha2.ComponentReplicaRequirements{ResourceRequest: list("cpu", "2")}}}},
			},
			want: map[string]int32{"a": 2},
		},
		"Releasing": {
			reason: "Nodes that are about to be given back are no place",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1"), node("n2")}},
				objs: []client.Object{&fleetv1alpha1.CapacityPlan{
					ObjectMeta: metav1.ObjectMeta{Name: "pool"},
					Spec:       fleetv1alpha1.CapacityPlanSpec{Offerings: []fleetv1alpha1.Offering{{Name: "o", Member: "a"}}},
					Status:     fleetv1alpha1.CapacityPlanStatus{Offerings: []fleetv1alpha1.OfferingStatus{{Name: "o", Release: []string{"n2", "gone"}}}},
				}},
			},
			needs: needs("cpu", "3"), want: map[string]int32{"a": 2},
		},
		"Draining": {
			reason: "A member that leaves gets nothing more",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1")}},
				objs: []client.Object{func() client.Object {
					c := cluster("a")
					c.Spec.Taints = []corev1.Taint{{Key: fleetv1alpha1.TaintDraining, Effect: corev1.TaintEffectNoSchedule}}
					return c
				}()},
			},
			needs: needs("cpu", "3"), want: map[string]int32{"a": 0},
		},
		"UnknownMember": {
			reason: "Of a cluster outside of pools nothing is known, and of the others all the same",
			world:  world{members: map[string][]runtime.Object{"a": {node("n1")}}, objs: []client.Object{cluster("stranger")}},
			needs:  needs("cpu", "3"), want: map[string]int32{"a": 2, "stranger": Unknown},
		},
		"Silent": {
			reason: "Of a member that does not answer nothing is known",
			world:  world{members: map[string][]runtime.Object{"a": {node("n1")}, "b": {node("n1")}}, silent: map[string]bool{"b": true}},
			needs:  needs("cpu", "3"), want: map[string]int32{"a": 2, "b": Unknown},
		},
		"NotReady": {
			reason: "Nor of one that Karmada does not find ready",
			world: world{members: map[string][]runtime.Object{"a": {node("n1")}}, objs: []client.Object{
				&clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{fleetv1alpha1.LabelPool: "pool"}}},
			}},
			needs: needs("cpu", "3"), want: map[string]int32{"a": Unknown},
		},
		"KarmadaFails": {
			reason: "What cannot be read from Karmada is not known",
			world: world{members: map[string][]runtime.Object{"a": {node("n1")}}, reads: interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
					if _, ok := l.(*fleetv1alpha1.CapacityPlanList); ok {
						return errors.New("boom")
					}
					return c.List(ctx, l, opts...)
				},
			}},
			needs: needs("cpu", "3"), want: map[string]int32{"a": Unknown},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := tc.world.start(t)
			assumed := map[string][]estimatorclient.AssumedWorkload{}
			for _, c := range w.clusters {
				assumed[c.Name] = tc.assumed
			}
			// The second answer comes from what the first one left.
			for _, nth := range []string{"first", "second"} {
				got, err := w.client.MaxAvailableReplicas(asking(t.Context(), tc.kind, tc.name), estimatorclient.ReplicaEstimationRequest{
					Clusters: w.clusters, ReplicaRequirements: tc.needs, AssumedWorkloads: assumed,
				})
				if err != nil {
					t.Fatalf("\n%s\nMaxAvailableReplicas(...): %v", tc.reason, err)
				}
				if diff := cmp.Diff(tc.want, byName(got)); diff != "" {
					t.Errorf("\n%s\nMaxAvailableReplicas(...), %s: -want, +got:\n%s", tc.reason, nth, diff)
				}
			}
		})
	}
}
