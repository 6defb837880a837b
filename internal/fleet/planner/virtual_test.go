package planner

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const vendorTaint = "virtual-kubelet.io/provider"

// virtual adds an offering of virtual nodes at 0.1 for a CPU, and its node.
func (w *tester) virtual(name, member string, pods int32) *fleetv1alpha1.Offering {
	w.in.Plan.Spec.Offerings = append(w.in.Plan.Spec.Offerings, fleetv1alpha1.Offering{
		Name: name, Member: member, Max: pods, StartSeconds: 10,
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("512Gi")},
		Virtual: &fleetv1alpha1.VirtualCapacity{
			NodeLabels: map[string]string{"virtual": name}, CPUHour: resource.MustParse("0.1"), MemoryGiBHour: resource.MustParse("0.01"),
			Tolerations: []corev1.Toleration{{Key: vendorTaint, Operator: corev1.TolerationOpExists}},
		},
	})
	if w.in.Members[member].State == scheduler.Serving {
		n := w.node(member, "", "vk-"+name, true)
		n.Labels = map[string]string{"virtual": name}
		n.Spec.Taints = []corev1.Taint{{Key: vendorTaint, Value: "x", Effect: corev1.TaintEffectNoSchedule}}
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000"), corev1.ResourceMemory: resource.MustParse("4000Gi"), corev1.ResourcePods: resource.MustParse("1000")}
	}
	return &w.in.Plan.Spec.Offerings[len(w.in.Plan.Spec.Offerings)-1]
}

// deployment is demand whose replicas may start on virtual nodes, and leave
// them.
func (w *tester) deployment(n int32, requests corev1.ResourceList) *scheduler.Demand {
	d := w.demand(n, requests)
	d.Workload = snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: "web"}
	d.Tolerates = map[string]bool{"ack": true, "tke": true}
	return d
}

func TestVirtual(t *testing.T) {
	type want struct {
		Grants map[string]int32
		Nodes  map[string]int32
		Short  bool
	}
	cases := map[string]struct {
		reason   string
		build    func(*tester)
		want     want
		of, says string
	}{
		"StartNow": {
			reason: "Replicas start on virtual nodes while the cheaper nodes are on their way.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 100)
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 4}, Nodes: map[string]int32{"a": 2, "v": 4}},
		},
		"StayThere": {
			reason: "One small replica is cheaper there than on a node of its own: none is ordered.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 100)
				w.deployment(1, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 1}, Nodes: map[string]int32{"a": 0, "v": 1}},
		},
		"SaveATenth": {
			reason: "Nodes that save less than a tenth are not ordered: 0.56 instead of 0.6.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.56", 10)
				w.virtual("v", "ack", 100)
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 4}, Nodes: map[string]int32{"a": 0, "v": 4}},
		},
		"Never": {
			reason: "Where replicas stay where they started, no nodes are ordered for them.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.1", 10)
				w.virtual("v", "ack", 100).Virtual.Moves = fleetv1alpha1.MoveNever
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 4}, Nodes: map[string]int32{"a": 0, "v": 4}},
		},
		"Job": {
			reason: "Nor for replicas that cannot move.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.1", 10)
				w.virtual("v", "ack", 100)
				w.deployment(4, cpu("3")).Workload.Kind = "Job"
			},
			want: want{Grants: map[string]int32{"v": 4}, Nodes: map[string]int32{"a": 0, "v": 4}},
		},
		"Max": {
			reason: "No more pods than the offering has; the others wait for nodes.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.6", 10)
				w.virtual("v", "ack", 3)
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 3}, Nodes: map[string]int32{"a": 1, "v": 3}},
		},
		"Running": {
			reason: "Pods that are there count against the maximum.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 3)
				w.pod("ack", "vk-v", "default", "ReplicaSet")
				w.pod("ack", "vk-v", "default", "DaemonSet")
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 2}, Nodes: map[string]int32{"a": 2, "v": 3}},
		},
		"Cheapest": {
			reason: "The cheaper of two is used first.",
			build: func(w *tester) {
				w.virtual("v", "ack", 3)
				w.virtual("u", "ack", 3).Virtual.CPUHour = resource.MustParse("0.05")
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"u": 3, "v": 1}, Nodes: map[string]int32{"u": 3, "v": 1}},
		},
		"Sooner": {
			reason: "Or the sooner, if waiting costs more.",
			build: func(w *tester) {
				w.in.Plan.Spec.Weights = fleetv1alpha1.Weights{Price: ptr.To(resource.MustParse("1")), Wait: ptr.To(resource.MustParse("1"))}
				w.virtual("v", "ack", 3)
				u := w.virtual("u", "ack", 3)
				u.Virtual.CPUHour, u.StartSeconds = resource.MustParse("0.05"), 60
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"u": 1, "v": 3}, Nodes: map[string]int32{"u": 1, "v": 3}},
		},
		"Cap": {
			reason: "The limit on money holds, and nodes come first: they serve all replicas for it.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 100)
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("1.5"))
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 2}, Nodes: map[string]int32{"a": 2, "v": 2}},
		},
		"CapWithoutNodes": {
			reason: "Where there are only virtual nodes it holds as well.",
			build: func(w *tester) {
				w.virtual("v", "ack", 100)
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("1"))
				w.deployment(4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 3}, Nodes: map[string]int32{"v": 3}, Short: true}, of: "v", says: "limits.hourlyCost 1 is reached",
		},
		"Reservation": {
			reason: "What is only held does not start anywhere.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 100)
				d := w.deployment(4, cpu("3"))
				d.Binding, d.Reservation = "", "burst"
			},
			want: want{Nodes: map[string]int32{"a": 2, "v": 0}},
		},
		"Outage": {
			reason: "Nothing is spent while it is not known whether a member comes back.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 100)
				w.deployment(4, cpu("3")).Outage = "idc-a has been silent for 3 s"
			},
			want: want{Nodes: map[string]int32{"a": 0, "v": 0}, Short: true},
		},
		"HostNetwork": {
			reason: "Virtual nodes have no network of a host.",
			build: func(w *tester) {
				w.virtual("v", "ack", 100)
				w.deployment(4, cpu("3")).Template.Spec.Spec.HostNetwork = true
			},
			want: want{Nodes: map[string]int32{"v": 0}, Short: true}, of: "v", says: "it uses the network of the host",
		},
		"Privileged": {
			reason: "Nor privileged containers.",
			build: func(w *tester) {
				w.virtual("v", "ack", 100)
				w.deployment(4, cpu("3")).Template.Spec.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
			},
			want: want{Nodes: map[string]int32{"v": 0}, Short: true}, of: "v", says: "it is privileged",
		},
		"Device": {
			reason: "Nor devices that are not offered.",
			build: func(w *tester) {
				w.virtual("v", "ack", 100)
				w.deployment(4, corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")})
			},
			want: want{Nodes: map[string]int32{"v": 0}, Short: true}, of: "v", says: "nvidia.com/gpu is not offered",
		},
		"Largest": {
			reason: "Nor pods that are larger than the largest.",
			build: func(w *tester) {
				w.virtual("v", "ack", 100)
				w.deployment(4, cpu("65"))
			},
			want: want{Nodes: map[string]int32{"v": 0}, Short: true}, of: "v", says: "more than that of the largest pod",
		},
		"Shortage": {
			reason: "Where the cloud is short of it, nothing starts.",
			build: func(w *tester) {
				w.virtual("v", "ack", 100)
				w.short("v", epoch)
				w.deployment(4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"v": 0}, Short: true}, of: "v", says: "the cloud is short of it",
		},
		"BuildFor": {
			reason: "A cluster is made for its virtual nodes.",
			build: func(w *tester) {
				w.elastic("tke", "0.5", scheduler.Absent)
				w.virtual("v", "tke", 100)
				w.deployment(4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"v": 0}},
		},
		"Running replicas": {
			reason: "For replicas that run on virtual nodes cheaper nodes are ordered.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 100)
				d := w.deployment(1, cpu("3"))
				w.in.OnVirtual = []scheduler.VirtualReplicas{{Binding: d.Binding, Member: "ack", Offering: "v", Template: d.Template, Count: 4}}
				w.in.Demands = nil
			},
			want: want{Nodes: map[string]int32{"a": 2, "v": 0}},
		},
		"Running and new": {
			reason: "One that runs there and one that has no place share a node.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.56", 10)
				w.virtual("v", "ack", 0)
				d := w.deployment(1, cpu("3"))
				w.in.OnVirtual = []scheduler.VirtualReplicas{{Binding: d.Binding, Member: "ack", Offering: "v", Template: d.Template, Count: 1}}
			},
			want: want{Nodes: map[string]int32{"a": 1, "v": 0}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.elastic("ack", "0", scheduler.Serving)
			tc.build(w)
			out := w.make()
			got := want{Nodes: nodesOf(out.Status), Short: out.Status.Phase == fleetv1alpha1.PhaseCapped}
			for _, g := range out.Grants {
				if got.Grants == nil {
					got.Grants = map[string]int32{}
				}
				got.Grants[g.Offering] += g.Count
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
			if got := reasonOf(out.Status, tc.of) + message(out.Status); !strings.Contains(got, tc.says) {
				t.Errorf("%s Of %s it says %q, not %q", tc.reason, tc.of, got, tc.says)
			}
			if name == "BuildFor" && !wantedOf(out.Status, "tke") {
				t.Errorf("%s It is not wanted.", tc.reason)
			}
		})
	}
}

// message of the condition of a plan.
func message(st fleetv1alpha1.CapacityPlanStatus) string {
	var out []string
	for _, c := range st.Conditions {
		out = append(out, c.Message)
	}
	return strings.Join(out, "; ")
}

// TestVirtualLife: replicas start on virtual nodes, nodes come, replicas move.
// Nothing is ordered twice, and nothing flaps.
func TestVirtualLife(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("a", "ack", "8", "0.4", 10)
	w.virtual("v", "ack", 100)
	d := *w.deployment(4, cpu("3"))
	check := func(reason string, nodes, granted int32) {
		t.Helper()
		out := w.make()
		got := int32(0)
		for _, g := range out.Grants {
			got += g.Count
		}
		if n := nodesOf(out.Status)["a"]; n != nodes || got != granted {
			t.Errorf("%s: want %d nodes and %d granted, got %d and %d", reason, nodes, granted, n, got)
		}
		if out.Status.Phase == fleetv1alpha1.PhaseCapped {
			t.Errorf("%s: nothing is short, but %s", reason, message(out.Status))
		}
	}
	check("They start on virtual nodes", 2, 4)
	w.in.Demands = nil
	check("They are assigned, and not seen yet", 2, 0)
	run := func(node string, n int) {
		for i := range n {
			w.pod("ack", node, "default", "ReplicaSet")
			p := w.pods["ack"][len(w.pods["ack"])-1]
			p.Name = fmt.Sprintf("%s-%d", node, i)
			p.UID = types.UID(p.Name)
			p.Spec.Containers = d.Template.Spec.Spec.Containers
		}
	}
	run("vk-v", 4)
	w.in.OnVirtual = []scheduler.VirtualReplicas{{Binding: d.Binding, Member: "ack", Offering: "v", Template: d.Template, Count: 4}}
	for range 3 {
		w.in.Now = w.in.Now.Add(time.Minute)
		w.restart()
		check("They run there: the nodes are what they wait for", 2, 0)
	}
	w.node("ack", "a", "n1", true)
	check("One has come", 2, 0)
	w.node("ack", "a", "n2", true)
	check("Both", 2, 0)
	run("n1", 2)
	w.in.OnVirtual[0].Count = 2
	check("Two move", 2, 0)
	w.pods["ack"] = w.pods["ack"][2:]
	run("n2", 2)
	w.in.OnVirtual = nil
	check("The others move", 2, 0)
	if w.in.Plan.Status.HourlyCost != "1.4" {
		t.Errorf("Two pods on virtual nodes and two nodes cost 1.4, not %s", w.in.Plan.Status.HourlyCost)
	}
	w.pods["ack"] = w.pods["ack"][2:]
	w.in.Now = w.in.Now.Add(time.Hour)
	check("The nodes are in use", 2, 0)
	if w.in.Plan.Status.HourlyCost != "0.8" {
		t.Errorf("Two nodes cost 0.8, not %s", w.in.Plan.Status.HourlyCost)
	}
}

func TestPodPrice(t *testing.T) {
	o := &offering{Offering: fleetv1alpha1.Offering{Virtual: &fleetv1alpha1.VirtualCapacity{
		CPUHour: resource.MustParse("0.1"), MemoryGiBHour: resource.MustParse("0.01"), GPUHour: ptr.To(resource.MustParse("5")),
	}}}
	always := corev1.ContainerRestartPolicyAlways
	requests := requests(&corev1.Pod{Spec: corev1.PodSpec{
		Overhead:       cpu("500m"),
		InitContainers: []corev1.Container{{RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: cpu("1")}}, {Resources: corev1.ResourceRequirements{Requests: cpu("4")}}},
		Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("8Gi"), "nvidia.com/gpu": resource.MustParse("1"),
		}}}},
	}})
	// The init container needs 4 beside the sidecar's 1; the overhead 0.5.
	if got := money(o.podPrice(requests)); got != "5.63" {
		t.Errorf("Want 0.55 for 5.5 CPU, 0.08 for 8 GiB and 5 for the device, got %s", got)
	}
}

func TestMarketOfPods(t *testing.T) {
	declared := &fleetv1alpha1.VirtualCapacity{CPUHour: resource.MustParse("0.1"), MemoryGiBHour: resource.MustParse("0.01")}
	cases := map[string]struct {
		reason string
		market fleetv1alpha1.OfferingMarket
		want   string
	}{
		"Declared": {reason: "Without the cloud's word the declared prices count.", want: "0.24"},
		"Told":     {reason: "What the cloud asks now counts.", market: fleetv1alpha1.OfferingMarket{CPUHour: ptr.To(resource.MustParse("0.2")), MemoryGiBHour: ptr.To(resource.MustParse("0.02"))}, want: "0.48"},
		"Half":     {reason: "Half a word is none.", market: fleetv1alpha1.OfferingMarket{CPUHour: ptr.To(resource.MustParse("0.2"))}, want: "0.24"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.market.Name = "virtual"
			p := &plan{in: Input{Plan: &fleetv1alpha1.CapacityPlan{}}}
			p.in.Plan.Spec.Market.Offerings = []fleetv1alpha1.OfferingMarket{tc.market}
			o := &offering{Offering: fleetv1alpha1.Offering{Name: "virtual", Virtual: declared}}
			p.readMarket(o)
			got := money(o.podPrice(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi")}))
			if got != tc.want || declared.CPUHour.String() != "100m" {
				t.Errorf("\nReason: %s\nreadMarket(...): want %s, got %s; the plan has %s", tc.reason, tc.want, got, &declared.CPUHour)
			}
		})
	}
}
