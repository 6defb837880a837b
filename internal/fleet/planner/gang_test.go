package planner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
