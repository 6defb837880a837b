package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type targetsOf = map[string]int32

// A want is what a round decides about one binding.
type want struct {
	Targets targetsOf
	Changed bool
	Unmet   int32
	Waiting int32
	Moving  int32
}

func TestRound(t *testing.T) {
	// Four nodes of 8 CPU hold eight replicas of 3 CPU.
	home := func(w *tester) { w.member("idc-a", 0, nodes(4, "a", "8")...) }
	cloud := func(w *tester) *Member { return w.member("ack", 1, nodes(4, "c", "8")...) }

	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   map[string]want
	}{
		"FillOwnFirst": {
			reason: "What fits at home stays there, the rest goes to the cloud.",
			build:  func(w *tester) { home(w); cloud(w); w.binding("web", 10, "3", nil) },
			want:   map[string]want{"default/web": {Targets: targetsOf{"idc-a": 8, "ack": 2}, Changed: true}},
		},
		"PartialPlacement": {
			reason: "Without cloud capacity what fits is placed at once, the rest is demand.",
			build: func(w *tester) {
				home(w)
				w.member("ack", 1).State = Absent
				w.binding("web", 20, "3", nil)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 8}, Changed: true, Unmet: 12}},
		},
		"ScaleUp": {
			reason: "10 to 20: home is full, 4 nodes in the cloud take 8, of which 2 are taken.",
			build: func(w *tester) {
				home(w)
				cloud(w)
				w.binding("web", 20, "3", targetsOf{"idc-a": 8, "ack": 2})
				w.run("idc-a", "web", "3", 8, true)
				w.run("ack", "web", "3", 2, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 8, "ack": 8}, Changed: true, Unmet: 4}},
		},
		"ScaleDownCloudFirst": {
			reason: "20 to 6: the cloud leaves first, at home 6 stay.",
			build: func(w *tester) {
				home(w)
				w.member("ack", 1, nodes(6, "c", "8")...)
				w.binding("web", 6, "3", targetsOf{"idc-a": 8, "ack": 12})
				w.run("idc-a", "web", "3", 8, true)
				w.run("ack", "web", "3", 12, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 6}, Changed: true}},
		},
		"ScaleDownDearestFirst": {
			reason: "Of two clouds of one tier the dearer leaves first.",
			build: func(w *tester) {
				home(w)
				w.member("tke", 1, nodes(2, "t", "8")...).Price = 1
				w.member("ack", 1, nodes(2, "c", "8")...).Price = 2
				w.binding("web", 10, "3", targetsOf{"idc-a": 8, "ack": 3, "tke": 2})
				w.run("idc-a", "web", "3", 8, true)
				w.run("ack", "web", "3", 3, true)
				w.run("tke", "web", "3", 2, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 8, "tke": 2}, Changed: true}},
		},
		"ScaleDownKeepsReady": {
			reason: "When demand falls, Ready replicas in the cloud stay as long as those at home that will do are not Ready.",
			build: func(w *tester) {
				home(w)
				cloud(w)
				w.binding("web", 6, "3", targetsOf{"idc-a": 8, "ack": 2})
				w.run("idc-a", "web", "3", 5, true)
				w.run("idc-a", "web", "0", 3, false)
				w.run("ack", "web", "3", 2, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 6, "ack": 1}, Changed: true, Moving: 1}},
		},
		"ToZero": {
			reason: "When nothing is wanted, everything goes.",
			build: func(w *tester) {
				home(w)
				cloud(w)
				w.binding("web", 0, "3", targetsOf{"idc-a": 8, "ack": 2})
				w.run("idc-a", "web", "3", 8, false)
				w.run("ack", "web", "3", 2, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{}, Changed: true}},
		},
		"NothingAtRest": {
			reason: "A binding that is as it should be is not changed.",
			build: func(w *tester) {
				home(w)
				cloud(w)
				w.binding("web", 8, "3", targetsOf{"idc-a": 8})
				w.run("idc-a", "web", "3", 8, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 8}}},
		},
		"TwoCompete": {
			reason: "Two workloads are never promised the same room: the older takes it.",
			build: func(w *tester) {
				home(w)
				w.binding("old", 6, "3", nil)
				w.binding("new", 6, "3", nil)
			},
			want: map[string]want{
				"default/old": {Targets: targetsOf{"idc-a": 6}, Changed: true},
				"default/new": {Targets: targetsOf{"idc-a": 2}, Changed: true, Unmet: 4},
			},
		},
		"PriorityFirst": {
			reason: "The more important workload is placed first.",
			build: func(w *tester) {
				home(w)
				w.binding("old", 6, "3", nil)
				w.binding("new", 6, "3", nil, func(b *Binding) { b.Priority = 1 })
			},
			want: map[string]want{
				"default/new": {Targets: targetsOf{"idc-a": 6}, Changed: true},
				"default/old": {Targets: targetsOf{"idc-a": 2}, Changed: true, Unmet: 4},
			},
		},
		"PromisedHoldsUntilSeen": {
			reason: "Room of replicas that were assigned, but have no pods yet, is not given to others, however important.",
			build: func(w *tester) {
				home(w)
				w.binding("old", 6, "3", targetsOf{"idc-a": 6})
				w.run("idc-a", "old", "3", 1, true)
				w.binding("new", 6, "3", nil, func(b *Binding) { b.Priority = 1 })
			},
			want: map[string]want{
				"default/new": {Targets: targetsOf{"idc-a": 2}, Changed: true, Unmet: 4},
				"default/old": {Targets: targetsOf{"idc-a": 6}},
			},
		},
		"WaitingPodsHoldRoom": {
			reason: "Pods that wait in a member, also those that are not ours, come before new replicas.",
			build: func(w *tester) {
				home(w)
				for range 4 {
					w.pod("idc-a", "foreign", "", "3", false)
				}
				w.binding("web", 8, "3", nil)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 4}, Changed: true, Unmet: 4}},
		},
		"LeavingRoomIsWaitedFor": {
			reason: "Nothing is demanded for replicas that fit as soon as terminating pods are gone.",
			build: func(w *tester) {
				home(w)
				w.run("idc-a", "other", "3", 8, true)
				at := metav1.NewTime(epoch.Add(20 * time.Second))
				for _, p := range w.pods["idc-a"][:3] {
					p.DeletionTimestamp = &at
				}
				w.binding("web", 4, "3", nil)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{}, Unmet: 1, Waiting: 3}},
		},
		"RoomOfACutIsWaitedFor": {
			reason: "Replicas cut in this very round still hold room, and will not for long.",
			build: func(w *tester) {
				home(w)
				w.binding("other", 4, "3", targetsOf{"idc-a": 8})
				w.run("idc-a", "other", "3", 8, true)
				w.binding("web", 4, "3", nil)
			},
			want: map[string]want{
				"default/other": {Targets: targetsOf{"idc-a": 4}, Changed: true},
				"default/web":   {Targets: targetsOf{}, Waiting: 4},
			},
		},
		"SpreadInTier": {
			reason: "A tier is filled evenly.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(4, "a", "8")...)
				w.member("idc-b", 0, nodes(4, "b", "8")...)
				w.binding("web", 6, "3", nil)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 3, "idc-b": 3}, Changed: true}},
		},
		"GPU": {
			reason: "Devices are counted like any other resource.",
			build: func(w *tester) {
				w.member("idc-a", 0, node("a", "64", with("nvidia.com/gpu", "4")))
				w.binding("llm", 6, "1", nil, requests("nvidia.com/gpu", "1"))
			},
			want: map[string]want{"default/llm": {Targets: targetsOf{"idc-a": 4}, Changed: true, Unmet: 2}},
		},
		"NodeTaint": {
			reason: "Nodes with taints that the template does not tolerate are no room.",
			build: func(w *tester) {
				w.member("idc-a", 0, node("a", "8"), node("b", "8", tainted("gpu")))
				w.binding("web", 4, "3", nil)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 2}, Changed: true, Unmet: 2}},
		},
		"Refused": {
			reason: "A member that the placement does not select gets nothing.",
			build: func(w *tester) {
				home(w)
				cloud(w)
				w.binding("web", 10, "3", nil, func(b *Binding) { b.Refused = map[string]string{"ack": "not selected"} })
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 8}, Changed: true, Unmet: 2}},
		},
		"DrainMakes": {
			reason: "Replicas of a draining member get substitutes before they go.",
			build: func(w *tester) {
				home(w)
				cloud(w).State = Draining
				w.binding("web", 4, "3", targetsOf{"ack": 4})
				w.run("ack", "web", "3", 4, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 4, "ack": 4}, Changed: true, Moving: 4}},
		},
		"DrainBreaks": {
			reason: "As many leave as substitutes are Ready.",
			build: func(w *tester) {
				home(w)
				cloud(w).State = Draining
				w.binding("web", 4, "3", targetsOf{"idc-a": 4, "ack": 4})
				w.run("ack", "web", "3", 4, true)
				w.run("idc-a", "web", "3", 3, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 4, "ack": 1}, Changed: true, Moving: 1}},
		},
		"DrainIsDemand": {
			reason: "Where nothing fits, replicas of a draining member stay, and are demand.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...).State = Draining
				w.member("ack", 1).State = Absent
				w.binding("web", 2, "3", targetsOf{"idc-a": 2})
				w.run("idc-a", "web", "3", 2, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 2}, Unmet: 2}},
		},
		"FrozenStays": {
			reason: "What is assigned to a member that does not answer counts as running: nothing is added for it.",
			build: func(w *tester) {
				home(w)
				w.in.Pools[0].Members[0].State = Frozen
				cloud(w)
				w.binding("web", 8, "3", targetsOf{"idc-a": 8})
				w.run("idc-a", "web", "3", 8, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 8}}},
		},
		"FrozenJustifiesNoCut": {
			reason: "Ready replicas elsewhere are not cut because a silent member may run enough.",
			build: func(w *tester) {
				home(w)
				w.in.Pools[0].Members[0].State = Frozen
				cloud(w)
				w.binding("web", 8, "3", targetsOf{"idc-a": 8, "ack": 2})
				w.run("idc-a", "web", "3", 8, true)
				w.run("ack", "web", "3", 2, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 8, "ack": 2}, Moving: 2}},
		},
		"LostMember": {
			reason: "What was assigned to a member that left the federation is placed anew.",
			build: func(w *tester) {
				home(w)
				w.member("ack", 1).State = Absent
				w.binding("web", 4, "3", targetsOf{"ack": 4})
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 4}, Changed: true}},
		},
		"StaleReady": {
			reason: "A member that still shows more Ready pods than are assigned to it does not justify a cut.",
			build: func(w *tester) {
				home(w)
				cloud(w)
				w.binding("web", 6, "3", targetsOf{"idc-a": 4, "ack": 4})
				w.run("idc-a", "web", "3", 8, true)
				w.run("ack", "web", "3", 2, true)
			},
			// Ready are 4 and 2: the two in the cloud that are not may go.
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 4, "ack": 2}, Changed: true}},
		},
		"StuckIsPlacedAnew": {
			reason: "A pod that its kube-scheduler has found unschedulable for long, and that does not fit, is taken back.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				cloud(w)
				w.binding("web", 3, "3", targetsOf{"idc-a": 3})
				w.run("idc-a", "web", "3", 2, true)
				p := w.pod("idc-a", "web", "", "3", false)
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(epoch.Add(-time.Minute))}}
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 2, "ack": 1}, Changed: true}},
		},
		"StuckForAMoment": {
			reason: "A pod that waits only since a moment ago is left alone.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				cloud(w)
				w.binding("web", 3, "3", targetsOf{"idc-a": 3})
				w.run("idc-a", "web", "3", 2, true)
				p := w.pod("idc-a", "web", "", "3", false)
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(epoch.Add(-time.Second))}}
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 3}}},
		},
		"ReleasingNodesAreNoRoom": {
			reason: "Nothing is placed on a node that is about to be given back.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(2, "c", "8")...).Releasing = []string{"c-1"}
				w.binding("web", 4, "3", nil)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"ack": 2}, Changed: true, Unmet: 2}},
		},
		"JobIsNotMoved": {
			reason: "A Job's pods end where they run.",
			build: func(w *tester) {
				home(w)
				cloud(w).State = Draining
				w.binding("job", 2, "3", targetsOf{"ack": 2}, func(b *Binding) { b.Movable = false; b.Workload.Kind = "Job" })
			},
			want: map[string]want{"default/job": {Targets: targetsOf{"ack": 2}}},
		},
		"HeldIsReserved": {
			reason: "A suspended binding is not decided about, but keeps its room.",
			build: func(w *tester) {
				home(w)
				w.binding("held", 6, "3", targetsOf{"idc-a": 6}, func(b *Binding) { b.Held = true })
				w.binding("web", 4, "3", nil)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 2}, Changed: true, Unmet: 2}},
		},
		"WholeGoesEverywhere": {
			reason: "What has no replicas goes to every member that serves.",
			build: func(w *tester) {
				home(w)
				cloud(w)
				w.binding("config", 0, "0", nil, func(b *Binding) { b.Divided = false; b.Template = nil })
			},
			want: map[string]want{"default/config": {Targets: targetsOf{"idc-a": 0, "ack": 0}, Changed: true}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			out := w.round()
			got := map[string]want{}
			for _, d := range out.Decisions {
				got[d.Binding] = want{Targets: assigned(d), Changed: d.Changed, Waiting: d.Waiting, Moving: d.Moving}
			}
			for _, d := range out.Demands {
				g := got[d.Binding]
				g.Unmet = d.Count
				got[d.Binding] = g
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(2, "a", "8")...)
	w.member("idc-b", 0, nodes(1, "b", "8")...)
	w.binding("web", 10, "3", nil)
	got := w.round().Decisions[0].Message
	want := "6 of 10 placed: idc-a 4, idc-b 2; 4 wait for capacity (idc-a: 0/2 nodes are available: 2 Insufficient cpu"
	if !strings.HasPrefix(got, want) {
		t.Errorf("A message says what is placed, and why the rest is not: got %q, want prefix %q", got, want)
	}
}

// TestExplainKeepsWhy: why a part is in the cloud is said as long as it is there,
// although nothing is placed any more.
func TestExplainKeepsWhy(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(1, "a", "8")...)
	w.member("idc-b", 0, nodes(1, "b", "4")...)
	w.member("ack", 1, nodes(2, "c", "8")...)
	b := w.binding("web", 5, "3", nil)
	const why = "; no more fit: idc-a after 2, idc-b after 1: 0/1 nodes are available: 1 Insufficient cpu [NodeResourcesFit 1]"
	for _, when := range []string{"placed", "at rest"} {
		d := w.round().Decisions[0]
		if want := "5 of 5 placed: ack 2, idc-a 2, idc-b 1" + why; Gist(d.Message) != want {
			t.Errorf("\nReason: what limits each member is said with how many it took\nRun(...), %s: want %q, got %q", when, want, Gist(d.Message))
		}
		b.Assigned, b.State = assigned(d), d.State
	}
	b.Replicas = 3
	w.run("idc-a", "web", "3", 2, true)
	w.run("idc-b", "web", "3", 1, true)
	w.run("ack", "web", "3", 2, true)
	if d := w.round().Decisions[0]; d.State.Why != "" || d.Cloud != 0 {
		t.Errorf("\nReason: nothing is in the cloud any more\nRun(...): got %d in the cloud, because %q", d.Cloud, d.State.Why)
	}
}
