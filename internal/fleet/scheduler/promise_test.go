package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// restart makes a tester of what objects hold after a round: what bindings are
// assigned and asked to remember, and what the members show.
func (w *tester) restart(out Output) *tester {
	w.t.Helper()
	next := newTester(w.t)
	next.nodes, next.pods, next.n = w.nodes, w.pods, w.n
	next.in.Now, next.in.Settings = w.in.Now, w.in.Settings
	for _, m := range w.in.Pools[0].Members {
		m.Snapshot = nil
		next.in.Pools[0].Members = append(next.in.Pools[0].Members, m)
	}
	for _, b := range w.in.Bindings {
		for _, d := range out.Decisions {
			if d.Binding == b.ID {
				b.Assigned, b.State = assigned(d), d.State
			}
		}
		next.in.Bindings = append(next.in.Bindings, b)
	}
	return next
}

func (w *tester) find(name string) *Binding {
	w.t.Helper()
	for i := range w.in.Bindings {
		if w.in.Bindings[i].ID == "default/"+name {
			return &w.in.Bindings[i]
		}
	}
	w.t.Fatalf("There is no binding %q", name)
	return nil
}

// placed is what a round assigns of each binding that has anything.
func placed(out Output) map[string]map[string]int32 {
	got := map[string]map[string]int32{}
	for _, d := range out.Decisions {
		if len(d.Targets) > 0 {
			got[d.Binding] = assigned(d)
		}
	}
	return got
}

// urgent bindings come before all others.
func urgent(b *Binding) { b.Priority, b.Created = 100, epoch.Add(-24*time.Hour) }

// TestPromise follows one slot through the life of a promise. Between any two
// rounds fleet forgets all but what is in objects.
func TestPromise(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, node("a-0", "2"))
	expect := func(reason string, want map[string]map[string]int32) {
		t.Helper()
		out := w.round()
		if diff := cmp.Diff(want, placed(out)); diff != "" {
			t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", reason, diff)
		}
		w = w.restart(out)
	}
	w.binding("first", 2, "1", nil)
	expect("The only room is promised to who wants it", map[string]map[string]int32{"default/first": {"idc-a": 2}})
	w.binding("second", 2, "1", nil, urgent)
	expect("Nobody else is promised it before there are pods, however urgent", map[string]map[string]int32{"default/first": {"idc-a": 2}})
	w.pod("idc-a", "first", "", "1", false)
	expect("A pod that waits for its node is one of those that were promised", map[string]map[string]int32{"default/first": {"idc-a": 2}})
	w.pods["idc-a"] = nil
	w.pod("idc-a", "first", "a-0", "1", true)
	expect("One that is bound and one that is not seen yet take two slots, not three and not one", map[string]map[string]int32{"default/first": {"idc-a": 2}})
	w.pod("idc-a", "first", "a-0", "1", true)
	expect("Bound pods hold the room by themselves", map[string]map[string]int32{"default/first": {"idc-a": 2}})
	w.find("first").Replicas = 1
	expect("A promise that is withdrawn is held until the pod is gone", map[string]map[string]int32{"default/first": {"idc-a": 1}})
	w.pods["idc-a"] = w.pods["idc-a"][:1]
	expect("Then it is given to who waits", map[string]map[string]int32{"default/first": {"idc-a": 1}, "default/second": {"idc-a": 1}})
}

// TestOvercommit has the ways in which karmada-scheduler was seen to promise room
// that it does not have.
func TestOvercommit(t *testing.T) {
	cases := map[string]struct {
		reason string
		rounds []func(w *tester)
		want   map[string]map[string]int32
	}{
		"QuickSuccession": {
			reason: "karmada#1385: each workload is scheduled before there are pods of the ones before it, and all were told the same room",
			rounds: func() []func(w *tester) {
				out := []func(w *tester){func(w *tester) {
					w.member("idc-a", 0, node("a-0", "2"))
					w.member("idc-b", 0, node("b-0", "2"))
				}}
				for i := range 20 {
					out = append(out, func(w *tester) { w.binding(fmt.Sprintf("w-%02d", i), 1, "1", nil) })
				}
				return out
			}(),
			want: map[string]map[string]int32{"default/w-00": {"idc-a": 1}, "default/w-01": {"idc-a": 1}, "default/w-02": {"idc-b": 1}, "default/w-03": {"idc-b": 1}},
		},
		"AtOnce": {
			reason: "karmada#1385: the same workloads in one round",
			rounds: []func(w *tester){func(w *tester) {
				w.member("idc-a", 0, node("a-0", "2"))
				w.member("idc-b", 0, node("b-0", "2"))
				for i := range 20 {
					w.binding(fmt.Sprintf("w-%02d", i), 1, "1", nil)
				}
			}},
			want: map[string]map[string]int32{"default/w-00": {"idc-a": 1}, "default/w-01": {"idc-a": 1}, "default/w-02": {"idc-b": 1}, "default/w-03": {"idc-b": 1}},
		},
		"NoRoomAtAll": {
			reason: "karmada#2843: a member for which the estimate was zero was taken all the same; here it gets nothing, and what is left over has no place",
			rounds: []func(w *tester){func(w *tester) {
				w.member("idc-a", 0, node("a-0", "2"))
				w.member("idc-b", 0, node("b-0", "2"))
				w.run("idc-a", "neighbour", "2", 1, true)
				w.binding("web", 3, "1", nil)
			}},
			want: map[string]map[string]int32{"default/web": {"idc-b": 2}},
		},
		"NodesTooSmall": {
			reason: "karmada#2843: a member with enough in sum, but no node that takes a replica, has no room",
			rounds: []func(w *tester){func(w *tester) {
				w.member("idc-a", 0, nodes(4, "a", "1")...)
				w.binding("web", 1, "2", nil)
			}},
			want: map[string]map[string]int32{},
		},
		"ScaleUpUnseen": {
			reason: "scheduling faster than pods appear, as in karmada#4708: a workload grows while replicas that were assigned before are not seen yet; another one that comes in between must not get their room, nor they that of it",
			rounds: []func(w *tester){
				func(w *tester) {
					w.member("idc-a", 0, node("a-0", "4"))
					w.binding("web", 2, "1", nil)
				},
				func(w *tester) {
					w.pod("idc-a", "web", "a-0", "1", true)
					w.binding("other", 3, "1", nil)
				},
				func(w *tester) { w.find("web").Replicas = 4 },
			},
			want: map[string]map[string]int32{"default/web": {"idc-a": 2}, "default/other": {"idc-a": 2}},
		},
		"PendingPods": {
			reason: "what is promised already, as in karmada#4708: pods that wait in a member will take room there before any that come later, whoever made them",
			rounds: []func(w *tester){func(w *tester) {
				w.member("idc-a", 0, node("a-0", "4"))
				w.pod("idc-a", "stranger", "", "1", false)
				w.pod("idc-a", "stranger", "", "1", false)
				w.binding("web", 4, "1", nil)
			}},
			want: map[string]map[string]int32{"default/web": {"idc-a": 2}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			var out Output
			for _, change := range tc.rounds {
				change(w)
				out = w.round()
				w = w.restart(out)
			}
			if diff := cmp.Diff(tc.want, placed(out)); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
