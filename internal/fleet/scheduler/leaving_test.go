package scheduler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// goes marks a node as one of a pool that goes while its member stays.
func goes(n *corev1.Node) {
	n.Spec.Unschedulable = true
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: fleetv1alpha1.TaintReleasing, Value: fleetv1alpha1.ReleasingPool, Effect: corev1.TaintEffectNoSchedule})
}

// released marks a node that is given back alone.
func released(n *corev1.Node) {
	n.Spec.Unschedulable = true
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: fleetv1alpha1.TaintReleasing, Effect: corev1.TaintEffectNoSchedule})
}

// TestNodesLeave: a pool goes while its member stays. Nodes hold two replicas.
func TestNodesLeave(t *testing.T) {
	on := func(w *tester, member, node string, ready ...bool) {
		for _, r := range ready {
			w.pod(member, "web", node, "3", r)
		}
	}
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   want
	}{
		"SubstitutesFirst": {
			reason: "Replicas get a place on other nodes of the member, and those that leave stay until then.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes), node("new", "8"))
				w.binding("web", 2, "3", targetsOf{"ack": 2})
				on(w, "ack", "old", true, true)
			},
			want: want{Targets: targetsOf{"ack": 4}, Changed: true, Moving: 2},
		},
		"Elsewhere": {
			reason: "Or in another member, the nearest first.",
			build: func(w *tester) {
				w.member("idc", 0, nodes(1, "a", "8")...)
				w.member("ack", 1, node("old", "8", goes))
				w.binding("web", 2, "3", targetsOf{"ack": 2})
				on(w, "ack", "old", true, true)
			},
			want: want{Targets: targetsOf{"idc": 2, "ack": 2}, Changed: true, Moving: 2},
		},
		"Ordered": {
			reason: "Those that have no place elsewhere are demand for capacity, and stay.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes))
				w.binding("web", 2, "3", targetsOf{"ack": 2})
				on(w, "ack", "old", true, true)
			},
			want: want{Targets: targetsOf{"ack": 2}, Unmet: 2},
		},
		"ToleratesAll": {
			reason: "Substitutes of what tolerates everything would land on the nodes that go, and leave as well: it is evicted.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "32", goes), node("new", "8"))
				w.binding("web", 2, "3", targetsOf{"ack": 2}).Template.Spec.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
				on(w, "ack", "old", true, true)
			},
			want: want{Targets: targetsOf{"ack": 2}},
		},
		"NotReadyYet": {
			reason: "While a substitute is not Ready none is cut: its ReplicaSet would delete the substitute.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes), node("new", "8"))
				w.binding("web", 2, "3", targetsOf{"ack": 4})
				on(w, "ack", "old", true, true)
				on(w, "ack", "new", true, false)
			},
			want: want{Targets: targetsOf{"ack": 4}, Moving: 2},
		},
		"NotSeenYet": {
			reason: "Nor while there is none.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes), node("new", "8"))
				w.binding("web", 2, "3", targetsOf{"ack": 4})
				on(w, "ack", "old", true, true)
			},
			want: want{Targets: targetsOf{"ack": 4}, Moving: 2},
		},
		"CutWhenReady": {
			reason: "When all are Ready those on the nodes that leave go.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes), node("new", "8"))
				w.binding("web", 2, "3", targetsOf{"ack": 4})
				on(w, "ack", "old", true, true)
				on(w, "ack", "new", true, true)
			},
			want: want{Targets: targetsOf{"ack": 2}, Changed: true},
		},
		"CutElsewhere": {
			reason: "The dearest is not cut in their place.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes))
				w.member("tke", 2, nodes(1, "t", "8")...)
				w.binding("web", 2, "3", targetsOf{"ack": 2, "tke": 2})
				on(w, "ack", "old", true, true)
				on(w, "tke", "t-0", true, true)
			},
			want: want{Targets: targetsOf{"tke": 2}, Changed: true},
		},
		"CutNotGoneYet": {
			reason: "What was cut and still runs gets no second substitute.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes), node("new", "8"), node("more", "8"))
				w.binding("web", 2, "3", targetsOf{"ack": 2})
				on(w, "ack", "old", true, true)
				on(w, "ack", "new", true, true)
			},
			want: want{Targets: targetsOf{"ack": 2}},
		},
		"Unready": {
			reason: "A replica that is not Ready has nothing to wait for once there is a substitute.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes), node("new", "8"))
				w.binding("web", 1, "3", targetsOf{"ack": 2})
				on(w, "ack", "old", false)
				on(w, "ack", "new", true)
			},
			want: want{Targets: targetsOf{"ack": 1}, Changed: true},
		},
		"Released": {
			reason: "Nodes that are given back alone are the provider's business.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", released), node("new", "8"))
				w.binding("web", 2, "3", targetsOf{"ack": 2})
				on(w, "ack", "old", true, true)
			},
			want: want{Targets: targetsOf{"ack": 2}},
		},
		"OwnCost": {
			reason: "Where the author says which pods go first, those on the nodes would not.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes), node("new", "8"))
				w.binding("web", 1, "3", targetsOf{"ack": 1})
				w.pod("ack", "web", "old", "3", true).Annotations = map[string]string{corev1.PodDeletionCost: "7"}
			},
			want: want{Targets: targetsOf{"ack": 1}},
		},
		"StatefulSet": {
			reason: "Of a stateful set nobody chooses which pods go.",
			build: func(w *tester) {
				w.member("ack", 1, node("old", "8", goes), node("new", "8"))
				w.binding("web", 1, "3", targetsOf{"ack": 1}, func(b *Binding) { b.Workload.Kind = "StatefulSet" })
				on(w, "ack", "old", true)
			},
			want: want{Targets: targetsOf{"ack": 1}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			d := w.round().Decisions[0]
			got := want{Targets: assigned(d), Changed: d.Changed, Unmet: d.Unmet, Waiting: d.Waiting, Moving: d.Moving}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s\n%s", tc.reason, diff, d.Message)
			}
		})
	}
}

// TestNodesLeaveStep by step, with a member whose ReplicaSet deletes those first
// that are not Ready, and then those that cost least.
func TestNodesLeaveStep(t *testing.T) {
	w := newTester(t)
	w.member("ack", 1, node("old-0", "8", goes), node("old-1", "8", goes), node("new-0", "8"), node("new-1", "8"))
	b := w.binding("web", 4, "3", targetsOf{"ack": 4})
	for i := range 4 {
		w.pod("ack", "web", []string{"old-0", "old-1"}[i%2], "3", true)
	}
	left := func() (old, ready int32) {
		for _, p := range w.pods["ack"] {
			if p.Spec.NodeName == "old-0" || p.Spec.NodeName == "old-1" {
				old++
			}
			if len(p.Status.Conditions) > 0 {
				ready++
			}
		}
		return old, ready
	}
	for range 12 {
		d := w.round().Decisions[0]
		b.Assigned, b.State = assigned(d), d.State
		switch want := int(b.Assigned["ack"]); {
		case want > len(w.pods["ack"]):
			for i := len(w.pods["ack"]); i < want; i++ {
				w.pod("ack", "web", []string{"new-0", "new-1"}[i%2], "3", false)
			}
		case want < len(w.pods["ack"]):
			// One at each step: those that are not Ready first, then those that leave.
			victim := 0
			for i, p := range w.pods["ack"] {
				if len(p.Status.Conditions) == 0 {
					victim = i
				}
			}
			w.pods["ack"] = append(w.pods["ack"][:victim:victim], w.pods["ack"][victim+1:]...)
		default:
			for _, p := range w.pods["ack"] {
				if len(p.Status.Conditions) == 0 {
					p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
					break
				}
			}
		}
		if _, ready := left(); ready < b.Replicas {
			t.Fatalf("Make before break: %d of %d are Ready", ready, b.Replicas)
		}
	}
	if old, _ := left(); old != 0 || b.Assigned["ack"] != 4 {
		t.Errorf("All have moved: %d have not, assigned %v", old, b.Assigned)
	}
}
