package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSlices(t *testing.T) {
	// Four slices of a server and a worker of 4 CPU: each fills a node of 8.
	train := func(w *tester, assigned map[string]int32) *Binding {
		return w.binding("train", 4, "0", assigned, grouped(component("server", 1, "4"), component("worker", 1, "4")), func(b *Binding) {
			b.Together, b.Movable, b.Workload.Kind = true, false, "Job"
		})
	}
	long := epoch.Add(-time.Minute)
	// half is two slices that run in a member, and two that cannot in another.
	half := func(w *tester) *Binding {
		w.member("idc-a", 0, nodes(2, "a", "8")...)
		w.member("idc-b", 0, nodes(1, "b", "8")...)
		for _, n := range []string{"a-0", "a-1"} {
			w.gangPod("idc-a", "train", n, "4")
			w.gangPod("idc-a", "train", n, "4")
		}
		w.gangPod("idc-b", "train", "b-0", "4")
		w.gangPod("idc-b", "train", "b-0", "4")
		unschedulable(w.gangPod("idc-b", "train", "", "4"), long)
		unschedulable(w.gangPod("idc-b", "train", "", "4"), long)
		return train(w, targetsOf{"idc-a": 2, "idc-b": 2})
	}
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   map[string]want
	}{
		"OneMember": {
			reason: "All slices fit one member: they are not divided although there is as much room in another.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(4, "a", "8")...)
				w.member("idc-b", 0, nodes(5, "b", "8")...)
				train(w, nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"idc-a": 4}, Changed: true}},
		},
		"OverTwoMembers": {
			reason: "No member alone has the room, two together have.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("idc-b", 0, nodes(3, "b", "8")...)
				train(w, nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"idc-a": 2, "idc-b": 2}, Changed: true}},
		},
		"HomeFirst": {
			reason: "Two self-built members together come before a rented one that has room for all.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				train(w, nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"idc-a": 2, "idc-b": 2}, Changed: true}},
		},
		"CloudAlone": {
			reason: "A rented member that has room for all comes before a part of them at home.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				train(w, nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"ack": 4}, Changed: true}},
		},
		"OverTiers": {
			reason: "Where that has not, it gets what has no room at home.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(3, "c", "8")...)
				train(w, nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"idc-a": 2, "ack": 2}, Changed: true}},
		},
		"NothingStarts": {
			reason: "One slice has no place: none starts, none takes room, and capacity is asked for the one.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("idc-b", 0, nodes(1, "b", "8")...)
				train(w, nil)
				w.binding("web", 3, "8", nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{}, Unmet: 1}, "default/web": {Targets: targetsOf{"idc-a": 2, "idc-b": 1}, Changed: true}},
		},
		"OthersLeave": {
			reason: "A pod that leaves makes no room for it: the one is not waited for.",
			build: func(w *tester) {
				w.member("idc-a", 0, append(nodes(3, "a", "8"), node("small", "1"))...)
				w.pod("idc-a", "gone", "small", "1", true).DeletionTimestamp = &metav1.Time{Time: epoch.Add(time.Second)}
				train(w, nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{}, Unmet: 1}},
		},
		"SliceIsWhole": {
			reason: "Each member has room for half a slice: that is none.",
			build: func(w *tester) {
				w.member("idc-a", 0, append(nodes(3, "a", "8"), node("small", "4"))...)
				w.member("idc-b", 0, node("b", "4"))
				train(w, nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{}, Unmet: 1}},
		},
		"NeverRan": {
			reason: "One that never ran as a whole does not hold room for what cannot start: capacity is asked for the one that will not fit either when all are gone.",
			build:  func(w *tester) { half(w) },
			want:   map[string]want{"default/train": {Targets: targetsOf{}, Changed: true, Unmet: 1, Waiting: 3}},
		},
		"Ran": {
			reason: "One that ran as a whole stays: its work would be lost.",
			build:  func(w *tester) { half(w).State.Whole = true },
			want:   map[string]want{"default/train": {Targets: targetsOf{"idc-a": 2, "idc-b": 2}}},
		},
		"NeverRanAndSilent": {
			reason: "What a silent member has is not taken back.",
			build: func(w *tester) {
				half(w)
				w.in.Pools[0].Members[0].State = Frozen
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"idc-a": 2}, Changed: true, Unmet: 1, Waiting: 1}},
		},
		"LostMember": {
			reason: "Of one that ran, what is lost is placed anew, and the others stay.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("idc-b", 0).State = Absent
				w.member("ack", 1, nodes(2, "c", "8")...)
				train(w, targetsOf{"idc-a": 2, "idc-b": 2}).State.Whole = true
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"idc-a": 2, "ack": 2}, Changed: true}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			got := map[string]want{}
			for _, d := range w.round().Decisions {
				got[d.Binding] = want{Targets: assigned(d), Changed: d.Changed, Unmet: d.Unmet, Waiting: d.Waiting, Moving: d.Moving}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestSlicesRememberThatTheyRan: all slices must have had their nodes at the same
// time, wherever they are.
func TestSlicesRememberThatTheyRan(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(1, "a", "8")...)
	w.member("idc-b", 0, nodes(1, "b", "8")...)
	w.binding("train", 2, "0", targetsOf{"idc-a": 1, "idc-b": 1}, grouped(component("worker", 1, "4")), func(b *Binding) {
		b.Together, b.Movable, b.Workload.Kind = true, false, "Job"
	})
	steps := []struct {
		reason string
		change func()
		want   bool
	}{
		{"Nothing of it runs.", func() {}, false},
		{"One slice runs.", func() { w.gangPod("idc-a", "train", "a-0", "4") }, false},
		{"Both run.", func() { w.gangPod("idc-b", "train", "b-0", "4") }, true},
		{"A pod is gone.", func() { w.pods["idc-a"] = nil }, true},
	}
	for _, s := range steps {
		s.change()
		d := w.round().Decisions[0]
		if d.State.Whole != s.want {
			t.Errorf("\nReason: %s\nRun(...): want whole %t, got %t", s.reason, s.want, d.State.Whole)
		}
		w.in.Bindings[0].State = d.State
	}
}
