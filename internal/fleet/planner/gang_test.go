package planner

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// gang adds demand for n groups of one driver of 2 CPU and so many workers of 6.
func (w *tester) gang(n, workers int32) *scheduler.Demand {
	worker := w.demand(1, cpu("6")).Template
	w.in.Demands = w.in.Demands[:len(w.in.Demands)-1]
	d := w.demand(n, cpu("2"))
	driver := d.Template
	d.Template = scheduler.GroupOf(
		scheduler.Component{Name: "driver", Count: 1, Template: driver},
		scheduler.Component{Name: "worker", Count: workers, Template: worker},
	)
	d.Grounded = true
	return d
}

// together adds demand for n slices of a server and a worker of 4 CPU, which start
// together.
func (w *tester) together(n int32) {
	worker := w.demand(1, cpu("4")).Template
	w.in.Demands = w.in.Demands[:len(w.in.Demands)-1]
	d := w.demand(n, cpu("4"))
	d.Template = scheduler.GroupOf(scheduler.Component{Name: "server", Count: 1, Template: d.Template}, scheduler.Component{Name: "worker", Count: 1, Template: worker})
	d.Grounded, d.Together = true, true
}

func TestGang(t *testing.T) {
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   map[string]int32
		// short says that a limit keeps something without a place.
		short bool
	}{
		"OneMember": {
			reason: "A driver and three workers need three nodes of 8 CPU: the driver has room beside a worker.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 10)
				w.gang(1, 3)
			},
			want: map[string]int32{"ack-8": 3},
		},
		"NotOverTwoMembers": {
			reason: "Four nodes are needed, and each of two members may have two: nothing is ordered for a part.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.elastic("tke", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 2)
				w.offering("tke-8", "tke", "8", "1", 2)
				w.gang(1, 4)
			},
			want:  map[string]int32{"ack-8": 0, "tke-8": 0},
			short: true,
		},
		"MemberThatHasEnough": {
			reason: "The cheaper member may not have enough nodes: all of it goes to the other.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.elastic("tke", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 2)
				w.offering("tke-8", "tke", "8", "2", 4)
				w.gang(1, 4)
			},
			want: map[string]int32{"ack-8": 0, "tke-8": 4},
		},
		"CheapestMember": {
			reason: "Both members may have enough nodes: it goes where they cost less, the new cluster included.",
			build: func(w *tester) {
				w.elastic("ack", "5", scheduler.Absent)
				w.elastic("tke", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 10)
				w.offering("tke-8", "tke", "8", "2", 10)
				w.gang(1, 3)
			},
			want: map[string]int32{"ack-8": 0, "tke-8": 3},
		},
		"TwoOfferings": {
			reason: "Components may be on nodes of different offerings of the member.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-2", "ack", "2", "0.2", 10)
				w.offering("ack-6", "ack", "6", "1", 10)
				w.gang(1, 2)
			},
			want: map[string]int32{"ack-2": 1, "ack-6": 2},
		},
		"TwoGangsForOne": {
			reason: "The limit allows nodes for one gang: the second gets none.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 5)
				w.gang(2, 3)
			},
			want:  map[string]int32{"ack-8": 3},
			short: true,
		},
		"SlicesOverTwoMembers": {
			reason: "The slices of a gang that its author divides may be in several members.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.elastic("tke", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 2)
				w.offering("tke-8", "tke", "8", "2", 2)
				w.together(3)
			},
			want: map[string]int32{"ack-8": 2, "tke-8": 1},
		},
		"SlicesOrNothing": {
			reason: "For one of four slices no node may be ordered: none is ordered for the others, and who comes next gets them.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.elastic("tke", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 2)
				w.offering("tke-8", "tke", "8", "2", 1)
				w.together(4)
				w.demand(1, cpu("8"))
			},
			want:  map[string]int32{"ack-8": 1, "tke-8": 0},
			short: true,
		},
		"JobOrNothing": {
			reason: "So it is with single pods that start together.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 2)
				d := w.demand(3, cpu("8"))
				d.Together = true
				w.demand(1, cpu("4"))
			},
			want:  map[string]int32{"ack-8": 1},
			short: true,
		},
		"JobBesideOthers": {
			reason: "A Job that gets all it asks for shares nodes with others.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 2)
				d := w.demand(3, cpu("4"))
				d.Together = true
				w.demand(1, cpu("4"))
			},
			want: map[string]int32{"ack-8": 2},
		},
		"LeavesRoomToOthers": {
			reason: "A gang for which nothing may be ordered takes no node from what comes after it.",
			build: func(w *tester) {
				w.elastic("ack", "0", scheduler.Serving)
				w.offering("ack-8", "ack", "8", "1", 2)
				w.gang(1, 3)
				w.demand(2, cpu("8"))
			},
			want:  map[string]int32{"ack-8": 2},
			short: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			// The second plan sees the first one's orders as promised.
			for _, plan := range []string{"first", "second"} {
				out := w.make()
				if diff := cmp.Diff(tc.want, nodesOf(out.Status)); diff != "" {
					t.Errorf("\nReason: %s\nMake(...), %s plan: -want, +got:\n%s", tc.reason, plan, diff)
				}
				if got := out.Status.Phase == fleetv1alpha1.PhaseCapped; got != tc.short {
					t.Errorf("\nReason: %s\nMake(...), %s plan: want short %t, got phase %s", tc.reason, plan, tc.short, out.Status.Phase)
				}
			}
		})
	}
}

// TestGangOnVirtualNodes: groups are not granted on virtual nodes.
func TestGangOnVirtualNodes(t *testing.T) {
	for name, tc := range map[string]struct {
		reason   string
		grounded bool
		want     int
	}{
		"Single":   {"Single replicas start there.", false, 1},
		"Grounded": {"Those that start with others do not.", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.elastic("ack", "0", scheduler.Serving)
			w.virtual("v", "ack", 100)
			w.deployment(1, cpu("3")).Grounded = tc.grounded
			if got := len(w.make().Grants); got != tc.want {
				t.Errorf("\nReason: %s\nMake(...): want %d grants, got %d", tc.reason, tc.want, got)
			}
		})
	}
}

// job adds demand for a Job whose n pods start together, and may do so on virtual
// nodes.
func (w *tester) job(name string, n int32, requests corev1.ResourceList) {
	d := w.deployment(n, requests)
	d.Binding, d.Workload.Kind, d.Workload.Name, d.Together = "default/"+name, "Job", name, true
}

// TestTogetherOnVirtualNodes: of replicas that start together all are granted on
// virtual nodes of one offering, or none: then nodes are ordered for all of them.
func TestTogetherOnVirtualNodes(t *testing.T) {
	type want struct {
		Grants map[string]int32
		Nodes  map[string]int32
		Cost   string
		Made   bool
		Short  bool
	}
	cases := map[string]struct {
		reason   string
		build    func(*tester)
		want     want
		of, says string
	}{
		"All": {
			reason: "They start there if all can.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 4)
				w.job("sum", 4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 4}, Nodes: map[string]int32{"a": 0, "v": 4}, Cost: "1.2"},
		},
		"Max": {
			reason: "The offering has pods for a part of them: nodes are ordered for all.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 3)
				w.job("sum", 4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"a": 2, "v": 0}, Cost: "0.8"},
		},
		"TwoHalves": {
			reason: "Two offerings have pods for a half each: both grants would be refused.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 2)
				w.virtual("u", "ack", 2)
				w.job("sum", 4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"a": 2, "u": 0, "v": 0}, Cost: "0.8"},
		},
		"Dearer": {
			reason: "The cheaper offering takes a part of them, the dearer all.",
			build: func(w *tester) {
				w.virtual("v", "ack", 4)
				w.virtual("u", "ack", 3).Virtual.CPUHour = resource.MustParse("0.05")
				w.job("sum", 4, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 4}, Nodes: map[string]int32{"u": 0, "v": 4}, Cost: "1.2"},
		},
		"Money": {
			reason: "There is money for three of four: nothing is spent.",
			build: func(w *tester) {
				w.virtual("v", "ack", 4)
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("1"))
				w.job("sum", 4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"v": 0}, Cost: "0", Short: true}, of: "v", says: "limits.hourlyCost 1 is reached",
		},
		"MoneyForNodes": {
			reason: "It is enough for nodes.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "0.4", 10)
				w.virtual("v", "ack", 4)
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("1"))
				w.job("sum", 4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"a": 2, "v": 0}, Cost: "0.8"},
		},
		"NoRoom": {
			reason: "The virtual node has room for three: they are for who needs no more.",
			build: func(w *tester) {
				w.virtual("v", "ack", 100)
				w.ns["ack"][0].Status.Allocatable = cpu("10")
				w.ns["ack"][0].Status.Allocatable[corev1.ResourcePods] = resource.MustParse("1000")
				w.job("sum", 4, cpu("3"))
				w.job("max", 3, cpu("3"))
			},
			want: want{Grants: map[string]int32{"v": 3}, Nodes: map[string]int32{"v": 3}, Cost: "0.9", Short: true},
		},
		"NewCluster": {
			reason: "A cluster is made if all can start there.",
			build: func(w *tester) {
				w.virtual("v", "tke", 4)
				w.job("sum", 4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"v": 0}, Cost: "0.5", Made: true},
		},
		"NewClusterMax": {
			reason: "None is made for a part of them.",
			build: func(w *tester) {
				w.virtual("v", "tke", 3)
				w.job("sum", 4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"v": 0}, Cost: "0", Short: true}, of: "v", says: "the maximum of the offering is reached",
		},
		"NewClusterMoney": {
			reason: "Nor if the money beside its fee is enough for a part.",
			build: func(w *tester) {
				w.virtual("v", "tke", 4)
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("1.6"))
				w.job("sum", 4, cpu("3"))
			},
			want: want{Nodes: map[string]int32{"v": 0}, Cost: "0", Short: true}, of: "v", says: "limits.hourlyCost 1600m is reached",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.elastic("ack", "0", scheduler.Serving)
			w.elastic("tke", "0.5", scheduler.Absent)
			tc.build(w)
			out := w.make()
			got := want{Nodes: nodesOf(out.Status), Cost: out.Status.HourlyCost, Made: wantedOf(out.Status, "tke"), Short: out.Status.Phase == fleetv1alpha1.PhaseCapped}
			for _, g := range out.Grants {
				if got.Grants == nil {
					got.Grants = map[string]int32{}
				}
				got.Grants[g.Offering] += g.Count
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nMake(...): -want, +got:\n%s", tc.reason, diff)
			}
			if got := reasonOf(out.Status, tc.of) + message(out.Status); !strings.Contains(got, tc.says) {
				t.Errorf("\nReason: %s\nMake(...): of %s it says %q, not %q", tc.reason, tc.of, got, tc.says)
			}
		})
	}
}

// TestTogetherHoldsNoNodes: nodes with room for a part of what starts together are
// kept only if the others get a place.
func TestTogetherHoldsNoNodes(t *testing.T) {
	job := func(w *tester) { w.job("sum", 3, cpu("8")) }
	cases := map[string]struct {
		reason string
		limit  int32
		build  func(*tester)
		want   []string
		says   string
	}{
		"Waits":  {"Nothing may be ordered for the third: the two nodes are idle.", 2, job, []string{"n1", "n2"}, "3 replicas stay without a place"},
		"Comes":  {"A node for the third is on its way: the two are needed.", 3, job, nil, ""},
		"Slices": {"So it is with the slices of a gang.", 2, func(w *tester) { w.together(3) }, []string{"n1", "n2"}, "3 replicas stay without a place"},
		"Others": {"What comes after it uses a node, and only the other is idle.", 2, func(w *tester) {
			job(w)
			w.demand(1, cpu("8"))
		}, []string{"n2"}, "3 replicas stay without a place"},
		"OtherJob": {"So does a Job that has room for all of it there.", 2, func(w *tester) {
			job(w)
			w.job("max", 2, cpu("8"))
		}, nil, "3 replicas stay without a place"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.elastic("ack", "0", scheduler.Serving)
			w.offering("a", "ack", "8", "1", tc.limit)
			w.node("ack", "a", "n1", true)
			w.node("ack", "a", "n2", true)
			tc.build(w)
			w.make()
			w.in.Now = w.in.Now.Add(10 * time.Minute)
			st := w.make().Status
			if diff := cmp.Diff(tc.want, st.Offerings[0].Release); diff != "" {
				t.Errorf("\nReason: %s\nMake(...): to release: -want, +got:\n%s", tc.reason, diff)
			}
			if got := message(st); !strings.Contains(got, tc.says) {
				t.Errorf("\nReason: %s\nMake(...): it says %q, not %q", tc.reason, got, tc.says)
			}
		})
	}
}
