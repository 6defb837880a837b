package planner

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var simulator = sync.OnceValue(func() simulation.Simulator {
	s, err := simulation.New()
	if err != nil {
		panic(err)
	}
	return s
})

// A tester is a pool with one self-built and some elastic members, and time.
type tester struct {
	t    *testing.T
	in   Input
	pods map[string][]*corev1.Pod
	ns   map[string][]*corev1.Node
}

func newTester(t *testing.T) *tester {
	t.Helper()
	return &tester{t: t, pods: map[string][]*corev1.Pod{}, ns: map[string][]*corev1.Node{}, in: Input{
		Now: epoch, SeenAt: epoch, Simulator: simulator(), Settings: DefaultSettings, Members: map[string]Member{"idc-a": {State: scheduler.Serving}},
		Plan: &fleetv1alpha1.CapacityPlan{Spec: fleetv1alpha1.CapacityPlanSpec{
			Members: []fleetv1alpha1.PlanMember{{Name: "idc-a"}},
			ScaleDown: fleetv1alpha1.ScaleDown{
				NodeIdle: metav1.Duration{Duration: 10 * time.Minute}, ClusterIdle: metav1.Duration{Duration: time.Hour},
			},
		}},
	}}
}

func (w *tester) elastic(name string, fee string, s scheduler.MemberState) *fleetv1alpha1.PlanMember {
	q := resource.MustParse(fee)
	w.in.Plan.Spec.Members = append(w.in.Plan.Spec.Members, fleetv1alpha1.PlanMember{Name: name, Tier: 1, Elastic: true, HourlyCost: &q})
	w.in.Members[name] = Member{State: s}
	return &w.in.Plan.Spec.Members[len(w.in.Plan.Spec.Members)-1]
}

func (w *tester) offering(name, member, cpu, price string, limit int32) *fleetv1alpha1.Offering {
	w.in.Plan.Spec.Offerings = append(w.in.Plan.Spec.Offerings, fleetv1alpha1.Offering{
		Name: name, Member: member, Max: limit, HourlyPrice: resource.MustParse(price),
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("32Gi")},
	})
	return &w.in.Plan.Spec.Offerings[len(w.in.Plan.Spec.Offerings)-1]
}

func (w *tester) node(member, offering, name string, ready bool) *corev1.Node {
	status := corev1.ConditionTrue
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{fleetv1alpha1.LabelOffering: offering}, CreationTimestamp: metav1.NewTime(w.in.Now)},
		Status:     corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110")}},
	}
	if !ready {
		status = corev1.ConditionFalse
		n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	w.ns[member] = append(w.ns[member], n)
	return n
}

func (w *tester) pod(member, node, namespace, owner string) {
	name := fmt.Sprintf("p%d", len(w.pods[member]))
	yes := true
	w.pods[member] = append(w.pods[member], &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: types.UID(member + name), OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: owner, Name: "o", UID: "o", Controller: &yes}}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}},
	})
}

func (w *tester) demand(n int32, requests corev1.ResourceList) *scheduler.Demand {
	w.in.Demands = append(w.in.Demands, scheduler.Demand{Binding: "default/web", Count: n, Template: &scheduler.Template{Namespace: "default", Spec: corev1.PodTemplateSpec{
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: requests}}}},
	}}})
	return &w.in.Demands[len(w.in.Demands)-1]
}

func cpu(q string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(q)}
}

// make makes a plan and keeps what it says, as the API would.
func (w *tester) make() Output {
	w.t.Helper()
	for name, m := range w.in.Members {
		if m.State == scheduler.Absent || name == "idc-a" {
			continue
		}
		s, err := snapshot.New(w.ns[name], w.pods[name])
		if err != nil {
			w.t.Fatal(err)
		}
		m.Snapshot, m.Fork, m.Simulator = s, s.Fork(), simulator()
		// As the scheduler's round does.
		for _, o := range w.in.Plan.Status.Offerings {
			for _, n := range o.Release {
				if m.Fork.Node(n) != nil {
					_ = m.Fork.RemoveNode(n)
				}
			}
		}
		w.in.Members[name] = m
	}
	out, err := Make(context.Background(), w.in)
	if err != nil {
		w.t.Fatal(err)
	}
	w.in.Plan.Status = out.Status
	w.in.Memory = out.Memory
	return out
}

func nodesOf(st fleetv1alpha1.CapacityPlanStatus) map[string]int32 {
	out := map[string]int32{}
	for _, o := range st.Offerings {
		out[o.Name] = o.Nodes
	}
	return out
}

func wantedOf(st fleetv1alpha1.CapacityPlanStatus, name string) bool {
	for _, m := range st.Members {
		if m.Name == name {
			return m.Wanted
		}
	}
	return false
}

func TestOrder(t *testing.T) {
	type want struct {
		Nodes  map[string]int32
		Wanted bool
		Phase  fleetv1alpha1.PlanPhase
		Reason string
		Cost   string
	}
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   want
	}{
		"NoDemand": {
			reason: "Nothing is ordered without demand.",
			build: func(w *tester) {
				w.elastic("ack", "0.5", scheduler.Absent)
				w.offering("ack-g", "ack", "8", "1", 10)
			},
			want: want{Nodes: map[string]int32{"ack-g": 0}, Phase: fleetv1alpha1.PhaseHome, Reason: "Sufficient", Cost: "0"},
		},
		"Pack": {
			reason: "12 replicas of 3 CPU need 6 nodes of 8 CPU, and the cluster.",
			build: func(w *tester) {
				w.elastic("ack", "0.5", scheduler.Absent)
				w.offering("ack-g", "ack", "8", "1.25", 10)
				w.demand(12, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 6}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "8"},
		},
		"CheapestForEachReplica": {
			reason: "8 CPU at 1 waste 2; 12 CPU at 1.4 hold 4, so a replica costs 0.35 instead of 0.5.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 10)
				w.offering("ack-12", "ack", "12", "1.4", 10)
				w.demand(8, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-8": 0, "ack-12": 2}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "2.8"},
		},
		"WasteCounts": {
			reason: "For one replica the small node is the cheaper, whatever a CPU costs.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 10)
				w.offering("ack-64", "ack", "64", "4", 10)
				w.demand(1, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-8": 1, "ack-64": 0}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "1"},
		},
		"NewClusterCosts": {
			reason: "A cluster that exists beats a cheaper node that needs a new one.",
			build: func(w *tester) {
				w.elastic("tke", "3", scheduler.Absent)
				w.elastic("ack", "3", scheduler.Serving).Warm = true
				w.offering("tke-g", "tke", "8", "0.9", 10)
				w.offering("ack-g", "ack", "8", "1", 10)
				w.demand(2, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"tke-g": 0, "ack-g": 1}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "4"},
		},
		"SecondOfferingTakesTheRest": {
			reason: "What the cheapest may not give, the next does.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-a", "ack", "8", "1", 1)
				w.offering("ack-b", "ack", "8", "2", 5)
				w.demand(6, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-a": 1, "ack-b": 2}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "5"},
		},
		"OfferingMax": {
			reason: "The maximum of an offering is never passed.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-g", "ack", "8", "1", 2)
				w.demand(6, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 2}, Wanted: true, Phase: fleetv1alpha1.PhaseCapped, Reason: "OfferingMax", Cost: "2"},
		},
		"LimitNodes": {
			reason: "Nodes of all offerings together are limited.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-g", "ack", "8", "1", 10)
				w.in.Plan.Spec.Limits.Nodes = ptr.To(int32(2))
				w.demand(6, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 2}, Wanted: true, Phase: fleetv1alpha1.PhaseCapped, Reason: "LimitNodes", Cost: "2"},
		},
		"LimitCost": {
			reason: "Money is limited, the control plane included.",
			build: func(w *tester) {
				w.elastic("ack", "0.5", scheduler.Absent)
				w.offering("ack-g", "ack", "8", "1", 10)
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("2.4"))
				w.demand(6, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 1}, Wanted: true, Phase: fleetv1alpha1.PhaseCapped, Reason: "LimitHourlyCost", Cost: "1.5"},
		},
		"LimitClusters": {
			reason: "No cluster is made beyond the limit, not even a warm one.",
			build: func(w *tester) {
				w.elastic("ack", "0.5", scheduler.Absent).Warm = true
				w.offering("ack-g", "ack", "8", "1", 10)
				w.in.Plan.Spec.Limits.Clusters = ptr.To(int32(0))
				w.demand(6, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 0}, Phase: fleetv1alpha1.PhaseCapped, Reason: "LimitClusters", Cost: "0"},
		},
		"NothingFits": {
			reason: "A replica that is larger than any node is not ordered for.",
			build: func(w *tester) {
				w.elastic("ack", "0.5", scheduler.Absent)
				w.offering("ack-g", "ack", "8", "1", 10)
				w.demand(1, cpu("9"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 0}, Phase: fleetv1alpha1.PhaseCapped, Reason: "NoOfferingFits", Cost: "0"},
		},
		"GPU": {
			reason: "Only the offering with the device will do.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-g", "ack", "64", "1", 10)
				w.offering("ack-gpu", "ack", "64", "30", 10).Allocatable["nvidia.com/gpu"] = resource.MustParse("8")
				w.demand(10, corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), "nvidia.com/gpu": resource.MustParse("1")})
			},
			want: want{Nodes: map[string]int32{"ack-g": 0, "ack-gpu": 2}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "60"},
		},
		"Taint": {
			reason: "Tainted nodes are for those who tolerate them.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-t", "ack", "8", "0.1", 10).Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
				w.offering("ack-g", "ack", "8", "1", 10)
				w.demand(2, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-t": 0, "ack-g": 1}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "1"},
		},
		"Zones": {
			reason: "A replica that must run in the second zone gets a node there.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-g", "ack", "8", "1", 10).Zones = []string{"a", "b"}
				w.demand(2, cpu("3")).Template.Spec.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: "b"}
			},
			want: want{Nodes: map[string]int32{"ack-g": 1}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "1"},
		},
		"ZonesOfTKE": {
			reason: "Nodes of TKE carry the number of their zone and a short name of their region, also before there is one.",
			build: func(w *tester) {
				w.elastic("tke", "0", scheduler.Serving)
				o := w.offering("tke-g", "tke", "8", "1", 10)
				o.Source, o.Region, o.Zones = &fleetv1alpha1.OfferingSource{Cloud: fleetv1alpha1.CloudTKE}, "ap-guangzhou", []string{"ap-guangzhou-3", "ap-guangzhou-6"}
				w.demand(2, cpu("3")).Template.Spec.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: "100006", corev1.LabelTopologyRegion: "gz"}
			},
			want: want{Nodes: map[string]int32{"tke-g": 1}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "1"},
		},
		"SpreadOverZonesOfTKE": {
			reason: "A node that is there and one that is to come are in zones by the same names.",
			build: func(w *tester) {
				w.elastic("tke", "0", scheduler.Serving)
				o := w.offering("tke-g", "tke", "8", "1", 10)
				o.Source, o.Region, o.Zones = &fleetv1alpha1.OfferingSource{Cloud: fleetv1alpha1.CloudTKE}, "ap-guangzhou", []string{"ap-guangzhou-3", "ap-guangzhou-6"}
				w.node("tke", "tke-g", "n1", true).Labels[corev1.LabelTopologyZone] = "100003"
				d := w.demand(2, cpu("3"))
				d.Template.Spec.Labels = map[string]string{"app": "spread"}
				d.Template.Spec.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
					MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
					MinDomains: ptr.To(int32(2)), LabelSelector: &metav1.LabelSelector{MatchLabels: d.Template.Spec.Labels},
				}}
			},
			want: want{Nodes: map[string]int32{"tke-g": 2}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "2"},
		},
		"Minimum": {
			reason: "A minimum is kept without demand, and takes demand first.",
			build: func(w *tester) {
				w.elastic("ack", "0.5", scheduler.Absent)
				w.offering("ack-g", "ack", "8", "1", 10).Min = 2
				w.demand(4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 2}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "2.5"},
		},
		"Starting": {
			reason: "A node that exists and is not Ready yet is promised, not ordered again.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-g", "ack", "8", "1", 10)
				w.node("ack", "ack-g", "n1", false)
				w.demand(2, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 1}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "1"},
		},
		"DaemonSets": {
			reason: "What runs on every node takes room on new ones.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-g", "ack", "8", "1", 10)
				w.node("ack", "ack-g", "n1", true)
				w.pod("ack", "n1", "default", "ReplicaSet")
				w.pod("ack", "n1", "logs", "DaemonSet")
				w.demand(4, cpu("4"))
			},
			// One replica fits n1; with 1 CPU for the daemon, a new node takes one.
			want: want{Nodes: map[string]int32{"ack-g": 4}, Wanted: true, Phase: fleetv1alpha1.PhaseBursting, Reason: "Sufficient", Cost: "4"},
		},
		"Leaving": {
			reason: "Nothing is ordered for a member that is leaving.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Draining)
				w.offering("ack-g", "ack", "8", "1", 10)
				w.demand(4, cpu("4"))
			},
			want: want{Nodes: map[string]int32{"ack-g": 0}, Wanted: true, Phase: fleetv1alpha1.PhaseCapped, Reason: "NoOfferingFits", Cost: "0"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			out := w.make()
			wanted := false
			for _, m := range out.Status.Members {
				wanted = wanted || m.Name != "idc-a" && m.Wanted
			}
			got := want{Nodes: nodesOf(out.Status), Wanted: wanted, Phase: out.Status.Phase, Cost: out.Status.HourlyCost}
			got.Reason = meta.FindStatusCondition(out.Status.Conditions, fleetv1alpha1.ConditionCapacitySufficient).Reason
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			again := w.make()
			if diff := cmp.Diff(nodesOf(out.Status), nodesOf(again.Status)); diff != "" {
				t.Errorf("What was ordered is promised and not ordered again: -first, +second:\n%s", diff)
			}
			if again.Urgent || len(again.Records) > 0 {
				t.Errorf("A second look at the same world decides nothing: urgent %t, %v", again.Urgent, again.Records)
			}
		})
	}
}

func TestRefusalsAreNamed(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-a", "ack", "8", "1", 10)
	w.offering("ack-b", "ack", "8", "2", 10)
	w.offering("ack-c", "ack", "2", "0.1", 10)
	w.demand(2, cpu("3"))
	d := w.make().Status.LastDecision
	if d.Summary != "ack-a 0 -> 1 nodes for 2 replicas that fit nowhere else" {
		t.Errorf("Summary: got %q", d.Summary)
	}
	got := map[string]string{}
	for _, r := range d.Refused {
		got[r.Name], _, _ = strings.Cut(r.Reason, ":")
	}
	if diff := cmp.Diff(map[string]string{"ack-b": "dearer", "ack-c": "does not fit"}, got); diff != "" {
		t.Errorf("Alternatives are refused with reasons: -want, +got:\n%s", diff)
	}
}
