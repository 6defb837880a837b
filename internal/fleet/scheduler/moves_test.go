package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestReplaceAfter: what is assigned to a member that does not answer is replaced
// after the user's own deadline, and not by silence alone.
func TestReplaceAfter(t *testing.T) {
	kind := func(k string) bindingOption { return func(b *Binding) { b.Workload.Kind = k } }
	silent := func(w *tester, since time.Duration) {
		m := w.member("idc-a", 0, nodes(2, "a", "8")...)
		m.State, m.Reason, m.Since = Frozen, "its API does not answer", epoch.Add(-since)
		w.in.Pools[0].ReplaceAfter = 10 * time.Minute
	}
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   want
		// Pending and Replaced of the decision, and when the next round is due.
		pending, replaced int32
		next              time.Duration
	}{
		"TooEarly": {
			reason: "Before the deadline nothing is added, and the deadline is not slept through.",
			build: func(w *tester) {
				silent(w, 9*time.Minute)
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("web", 4, "3", targetsOf{"idc-a": 4})
			},
			want: want{Targets: targetsOf{"idc-a": 4}}, next: time.Minute,
		},
		"Due": {
			reason: "After the deadline replicas are added elsewhere, and stay assigned where they may still run.",
			build: func(w *tester) {
				silent(w, 10*time.Minute)
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("web", 4, "3", targetsOf{"idc-a": 4})
			},
			want: want{Targets: targetsOf{"idc-a": 4, "idc-b": 4}, Changed: true}, replaced: 4,
		},
		"Done": {
			reason: "Substitutes are no excess while the member is silent, however long they take to become Ready.",
			build: func(w *tester) {
				silent(w, 5*time.Hour)
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("web", 4, "3", targetsOf{"idc-a": 4, "idc-b": 4})
				w.run("idc-b", "web", "3", 4, false)
			},
			want: want{Targets: targetsOf{"idc-a": 4, "idc-b": 4}}, replaced: 4,
		},
		"FewerWanted": {
			reason: "What is wanted no more is cut among the substitutes: the silent member hears no command.",
			build: func(w *tester) {
				silent(w, time.Hour)
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("web", 3, "3", targetsOf{"idc-a": 4, "idc-b": 4})
				w.run("idc-b", "web", "3", 4, true)
			},
			want: want{Targets: targetsOf{"idc-a": 4, "idc-b": 3}, Changed: true}, replaced: 4,
		},
		"NoneWanted": {
			reason: "What is wanted by nobody is given up everywhere.",
			build: func(w *tester) {
				silent(w, time.Hour)
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("web", 0, "3", targetsOf{"idc-a": 4, "idc-b": 4})
			},
			want: want{Targets: targetsOf{}, Changed: true},
		},
		"NowhereElse": {
			reason: "Where nothing has room the last copies are not given up (karmada#7455): they stay, and capacity is asked for.",
			build: func(w *tester) {
				silent(w, time.Hour)
				w.member("ack", 1)
				w.binding("web", 4, "3", targetsOf{"idc-a": 4})
			},
			want: want{Targets: targetsOf{"idc-a": 4}, Unmet: 4}, pending: 4, replaced: 4,
		},
		"Identity": {
			reason: "An index may run behind the broken line: a second one is never made.",
			build: func(w *tester) {
				silent(w, time.Hour)
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("db", 4, "3", targetsOf{"idc-a": 4}, kind("StatefulSet"))
			},
			want: want{Targets: targetsOf{"idc-a": 4}},
		},
		"Job": {
			reason: "Nor are the pods of a Job made twice.",
			build: func(w *tester) {
				silent(w, time.Hour)
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("job", 4, "3", targetsOf{"idc-a": 4}, kind("Job"), func(b *Binding) { b.Movable = false })
			},
			want: want{Targets: targetsOf{"idc-a": 4}},
		},
		"SinceUnknown": {
			reason: "Since when it is silent is not known: it may be since a moment ago.",
			build: func(w *tester) {
				silent(w, 0)
				w.in.Pools[0].Members[0].Since = time.Time{}
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("web", 4, "3", targetsOf{"idc-a": 4})
			},
			want: want{Targets: targetsOf{"idc-a": 4}},
		},
		"Never": {
			reason: "Without a deadline silence moves nothing.",
			build: func(w *tester) {
				silent(w, 24*time.Hour)
				w.in.Pools[0].ReplaceAfter = 0
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.binding("web", 4, "3", targetsOf{"idc-a": 4})
			},
			want: want{Targets: targetsOf{"idc-a": 4}},
		},
		"Back": {
			reason: "A member that is back is cut from no more than the substitutes that are Ready allow; those in the cloud go.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.in.Pools[0].ReplaceAfter = 10 * time.Minute
				w.member("ack", 1, nodes(2, "c", "8")...)
				w.binding("web", 4, "3", targetsOf{"idc-a": 4, "ack": 4})
				w.run("idc-a", "web", "3", 3, true)
				w.run("idc-a", "web", "3", 1, false)
				w.run("ack", "web", "3", 4, true)
			},
			want: want{Targets: targetsOf{"idc-a": 4, "ack": 1}, Changed: true, Moving: 1}, next: DefaultSettings.MoveTimeout,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			out := w.round()
			d := out.Decisions[0]
			got := want{Targets: assigned(d), Changed: d.Changed, Waiting: d.Waiting, Moving: d.Moving, Unmet: d.Unmet}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
			}
			if d.Pending != tc.pending || d.Replaced != tc.replaced {
				t.Errorf("\nReason: %s\nRun(...): want %d pending and %d replaced, got %d and %d", tc.reason, tc.pending, tc.replaced, d.Pending, d.Replaced)
			}
			if told := strings.Contains(d.Message, "are replaced"); told != (tc.replaced > 0) {
				t.Errorf("\nReason: %s\nRun(...): the message says %q", tc.reason, d.Message)
			}
			next := time.Duration(0)
			if !out.Next.IsZero() {
				next = out.Next.Sub(epoch)
			}
			if next != tc.next {
				t.Errorf("\nReason: %s\nRun(...): want the next round after %s, got %s", tc.reason, tc.next, next)
			}
		})
	}
}

// TestLastCopies: karmada#7455. A workload that is sent away from where it runs,
// and may run nowhere else, keeps running there: no place to go is no sign that it
// has arrived.
func TestLastCopies(t *testing.T) {
	cases := map[string]struct {
		reason string
		build  func(*tester)
	}{
		"Refused": {
			reason: "The only other member is not one that the placement selects.",
			build: func(w *tester) {
				w.member("idc-b", 0, nodes(2, "b", "8")...)
				w.in.Bindings[0].Refused = map[string]string{"idc-b": "the placement does not select it"}
			},
		},
		"Full": {
			reason: "The only other member is full.",
			build: func(w *tester) {
				w.member("idc-b", 0, nodes(1, "b", "8")...)
				w.run("idc-b", "neighbour", "8", 1, true)
			},
		},
		"Silent": {
			reason: "The only other member does not answer.",
			build: func(w *tester) {
				m := w.member("idc-b", 0, nodes(2, "b", "8")...)
				m.State, m.Since = Frozen, epoch.Add(-time.Hour)
			},
		},
		"Alone": {reason: "There is no other member.", build: func(*tester) {}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.member("idc-a", 0, nodes(2, "a", "8")...).State = Draining
			w.binding("web", 4, "3", targetsOf{"idc-a": 4})
			w.run("idc-a", "web", "3", 4, true)
			tc.build(w)
			// Days pass: no time-out gives the copies up either.
			for range 3 {
				out := w.round()
				if diff := cmp.Diff(targetsOf{"idc-a": 4}, targetsOf(assigned(out.Decisions[0]))); diff != "" {
					t.Fatalf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
				}
				if out.Decisions[0].Blocked == "" {
					t.Errorf("\nReason: %s\nRun(...): the decision does not say what blocks the drain", tc.reason)
				}
				w.in.Bindings[0].State = out.Decisions[0].State
				w.in.Now = w.in.Now.Add(24 * time.Hour)
			}
		})
	}
}

// TestScaleDuringOutage: karmada#1640. A change of what is wanted while a member
// is away divides only the change.
func TestScaleDuringOutage(t *testing.T) {
	cases := map[string]struct {
		reason   string
		replicas int32
		want     targetsOf
	}{
		"Up":   {reason: "What was added goes elsewhere, and what runs in the silent member stays.", replicas: 8, want: targetsOf{"idc-a": 4, "idc-b": 4}},
		"Down": {reason: "What is wanted no more goes where commands arrive, as far as as many as are wanted stay Ready there.", replicas: 5, want: targetsOf{"idc-a": 4, "idc-b": 2}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			m := w.member("idc-a", 0, nodes(2, "a", "8")...)
			m.State, m.Since = Frozen, epoch.Add(-time.Hour)
			w.member("idc-b", 0, nodes(2, "b", "8")...)
			w.binding("web", tc.replicas, "3", targetsOf{"idc-a": 4, "idc-b": 2})
			w.run("idc-a", "web", "3", 4, true)
			w.run("idc-b", "web", "3", 2, true)
			out := w.round()
			if diff := cmp.Diff(tc.want, targetsOf(assigned(out.Decisions[0]))); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
