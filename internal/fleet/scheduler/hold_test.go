package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hold lets a reservation hold room for replicas of a binding.
func (w *tester) hold(reservation string, count int32, b *Binding, more ...string) {
	p := &w.in.Pools[0]
	p.Holds = append(p.Holds, Hold{Reservation: reservation, Bindings: append([]string{b.ID}, more...), Template: b.Template, Count: count})
}

func TestHolds(t *testing.T) {
	type demand struct {
		For   string
		Count int32
	}
	type want struct {
		Targets map[string]targetsOf
		Demands []demand
		Held    targetsOf
		Missing targetsOf
	}
	// One node of 8 CPU holds two replicas of 3 CPU.
	home := func(w *tester, n int) { w.member("idc-a", 0, nodes(n, "a", "8")...) }
	cloud := func(w *tester, n int) { w.member("ack", 1, nodes(n, "c", "8")...) }
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   want
	}{
		"Exclusive": {
			reason: "Room that is held is not for others, whatever their priority.",
			build: func(w *tester) {
				cloud(w, 2)
				w.binding("other", 3, "3", nil).Priority = 9
				w.hold("burst", 3, w.binding("web", 0, "3", nil))
			},
			want: want{
				Targets: map[string]targetsOf{"default/other": {"ack": 1}, "default/web": {}},
				Demands: []demand{{"default/other", 2}}, Held: targetsOf{"burst": 3}, Missing: targetsOf{},
			},
		},
		"Packed": {
			reason: "What is held is on as few nodes as can be: others find whole nodes.",
			build: func(w *tester) {
				cloud(w, 2)
				w.hold("burst", 2, w.binding("web", 0, "3", nil))
				w.binding("large", 1, "8", nil)
			},
			want: want{
				Targets: map[string]targetsOf{"default/web": {}, "default/large": {"ack": 1}},
				Held:    targetsOf{"burst": 2}, Missing: targetsOf{},
			},
		},
		"TargetUsesIt": {
			reason: "The target fills what is held for it, and less is held then.",
			build: func(w *tester) {
				cloud(w, 2)
				b := w.binding("web", 2, "3", nil)
				w.hold("burst", 3, b)
				w.binding("other", 3, "3", nil)
			},
			want: want{
				Targets: map[string]targetsOf{"default/web": {"ack": 2}, "default/other": {"ack": 1}},
				Demands: []demand{{"default/other", 2}}, Held: targetsOf{"burst": 1}, Missing: targetsOf{},
			},
		},
		"HomeIsBeside": {
			reason: "What runs at home uses nothing of it.",
			build: func(w *tester) {
				home(w, 2)
				cloud(w, 1)
				w.hold("burst", 2, w.binding("web", 4, "3", nil))
			},
			want: want{Targets: map[string]targetsOf{"default/web": {"idc-a": 4}}, Held: targetsOf{"burst": 2}, Missing: targetsOf{}},
		},
		"MissingIsDemand": {
			reason: "What has no room is demand, after that of the targets and before that of others; what the targets wait for is not counted twice.",
			build: func(w *tester) {
				cloud(w, 1)
				w.binding("other", 1, "3", nil).Priority = 9
				w.hold("burst", 6, w.binding("web", 3, "3", nil))
			},
			want: want{
				Targets: map[string]targetsOf{"default/other": {}, "default/web": {"ack": 2}},
				Demands: []demand{{"default/web", 1}, {"burst", 3}, {"default/other", 1}}, Held: targetsOf{"burst": 0}, Missing: targetsOf{"burst": 3},
			},
		},
		"TwoAddUp": {
			reason: "Two reservations for one workload hold the sum.",
			build: func(w *tester) {
				cloud(w, 2)
				b := w.binding("web", 1, "3", nil)
				w.hold("first", 2, b)
				w.hold("second", 3, &w.in.Bindings[0])
			},
			want: want{
				Targets: map[string]targetsOf{"default/web": {"ack": 1}},
				Demands: []demand{{"second", 1}}, Held: targetsOf{"first": 1, "second": 2}, Missing: targetsOf{"second": 1},
			},
		},
		"GroupsExclusive": {
			reason: "For a gang room that is there is held for all its pods: a server and two workers leave two CPU of two nodes.",
			build: func(w *tester) {
				cloud(w, 2)
				w.binding("other", 3, "1", nil).Priority = 9
				b := w.gang("train", nil, component("server", 1, "2"), component("worker", 2, "6"))
				b.Replicas = 0
				w.hold("burst", 1, b)
			},
			want: want{
				Targets: map[string]targetsOf{"default/other": {"ack": 2}, "default/train": {}},
				Demands: []demand{{"default/other", 1}}, Held: targetsOf{"burst": 1}, Missing: targetsOf{},
			},
		},
		"GroupsWhole": {
			reason: "Of a gang that does not fit as a whole nothing is held: it is demand.",
			build: func(w *tester) {
				cloud(w, 2)
				w.binding("other", 2, "8", nil)
				b := w.gang("train", nil, component("worker", 3, "6"))
				b.Replicas = 0
				w.hold("burst", 1, b)
			},
			want: want{
				Targets: map[string]targetsOf{"default/other": {"ack": 2}, "default/train": {}},
				Demands: []demand{{"burst", 1}}, Held: targetsOf{"burst": 0}, Missing: targetsOf{"burst": 1},
			},
		},
		"GroupsUsed": {
			reason: "The gang starts in the room that is held for it, although an older workload wants it.",
			build: func(w *tester) {
				cloud(w, 2)
				w.binding("other", 1, "4", nil).Priority = 9
				w.hold("burst", 1, w.gang("train", nil, component("worker", 2, "6")))
			},
			want: want{
				Targets: map[string]targetsOf{"default/other": {}, "default/train": {"ack": 1}},
				Demands: []demand{{"default/other", 1}}, Held: targetsOf{"burst": 0}, Missing: targetsOf{},
			},
		},
		"UsedAlready": {
			reason: "Replicas that run there are not in the count: nothing moves because the time of a reservation does.",
			build: func(w *tester) {
				cloud(w, 2)
				b := w.binding("web", 2, "3", targetsOf{"ack": 2})
				w.run("ack", "web", "3", 2, true)
				w.hold("burst", 1, b)
			},
			want: want{Targets: map[string]targetsOf{"default/web": {"ack": 2}}, Held: targetsOf{"burst": 1}, Missing: targetsOf{}},
		},
		"OtherSize": {
			reason: "A target of twice the size uses two replicas of the hold.",
			build: func(w *tester) {
				cloud(w, 2)
				b := w.binding("web", 0, "3", nil)
				w.hold("burst", 4, b, "default/big")
				w.binding("big", 1, "6", nil)
			},
			want: want{Targets: map[string]targetsOf{"default/web": {}, "default/big": {"ack": 1}}, Held: targetsOf{"burst": 2}, Missing: targetsOf{}},
		},
		"Preferred": {
			reason: "A target fills the member that its reservation prefers, though it is dearer, but home first.",
			build: func(w *tester) {
				home(w, 1)
				cloud(w, 2)
				w.member("tke", 2, nodes(1, "t", "8")...)
				w.hold("burst", 3, w.binding("web", 5, "3", nil))
				w.in.Pools[0].Holds[0].Prefer = []string{"tke"}
			},
			want: want{Targets: map[string]targetsOf{"default/web": {"idc-a": 2, "tke": 2, "ack": 1}}, Held: targetsOf{"burst": 0}, Missing: targetsOf{}},
		},
		"NotOnVirtual": {
			reason: "Virtual nodes hold nothing: they are always there.",
			build: func(w *tester) {
				cloud(w, 0)
				w.virtual("ack")
				w.hold("burst", 2, w.binding("web", 0, "3", nil, toleratesAll))
			},
			want: want{Targets: map[string]targetsOf{"default/web": {}}, Demands: []demand{{"burst", 2}}, Held: targetsOf{"burst": 0}, Missing: targetsOf{"burst": 2}},
		},
		"StaysHome": {
			reason: "A workload that may not leave home does not, and nothing is ordered for it.",
			build: func(w *tester) {
				home(w, 1)
				cloud(w, 2)
				w.binding("web", 4, "3", nil).StaysHome = "not reserved"
			},
			want: want{Targets: map[string]targetsOf{"default/web": {"idc-a": 2}}, Held: targetsOf{}, Missing: targetsOf{}},
		},
		"StaysWhereItIs": {
			reason: "What is in the cloud already is not taken away.",
			build: func(w *tester) {
				cloud(w, 2)
				w.binding("web", 2, "3", targetsOf{"ack": 2}).StaysHome = "not reserved"
				w.run("ack", "web", "3", 2, true)
			},
			want: want{Targets: map[string]targetsOf{"default/web": {"ack": 2}}, Held: targetsOf{}, Missing: targetsOf{}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			out := w.round()
			got := want{Targets: map[string]targetsOf{}, Held: out.Held, Missing: out.Missing}
			for _, d := range out.Decisions {
				got.Targets[d.Binding] = assigned(d)
			}
			for _, d := range out.Demands {
				got.Demands = append(got.Demands, demand{d.Binding + d.Reservation, d.Count})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
			rooms := 0
			for _, h := range out.HeldRooms {
				for _, p := range h.Pods {
					if out.Forks[h.Member].Node(p.Spec.NodeName) == nil {
						t.Errorf("%s What is held in %s is on node %q, which it does not have", tc.reason, h.Member, p.Spec.NodeName)
					}
				}
				rooms += len(h.Pods)
			}
			held := int32(0)
			for _, h := range w.in.Pools[0].Holds {
				held += out.Held[h.Reservation] * h.Template.Size()
			}
			if rooms != int(held) {
				t.Errorf("%s It is told where all of it is held: got %d of %d", tc.reason, rooms, held)
			}
		})
	}
}

// TestHoldTakenOff: what is held and used leaves nothing behind on the fork.
func TestHoldTakenOff(t *testing.T) {
	w := newTester(t)
	w.member("ack", 1, nodes(2, "c", "8")...)
	b := w.binding("web", 4, "3", nil)
	w.hold("burst", 4, b)
	out := w.round()
	pods := 0
	for _, ni := range mustList(t, out) {
		pods += ni
	}
	if pods != 4 {
		t.Errorf("Each replica is on the fork once: want 4 pods, got %d", pods)
	}
}

func mustList(t *testing.T, out Output) []int {
	t.Helper()
	nodes, err := out.Forks["ack"].List()
	if err != nil {
		t.Fatal(err)
	}
	var n []int
	for _, ni := range nodes {
		n = append(n, len(ni.GetPods()))
	}
	return n
}

func TestOutage(t *testing.T) {
	cases := map[string]struct {
		reason string
		since  time.Time
		refuse bool
		want   string
	}{
		"JustNow": {reason: "A member that became silent a moment ago may be back in one.", since: epoch.Add(-5 * time.Second), want: "idc-b"},
		"ForLong": {reason: "After a while it is gone.", since: epoch.Add(-20 * time.Second)},
		"Unknown": {reason: "Since when it is silent is not known."},
		"NoMatter": {
			reason: "A workload that may not run there does not wait for it.", since: epoch.Add(-5 * time.Second), refuse: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.member("idc-a", 0, nodes(1, "a", "8")...)
			m := w.member("idc-b", 0, nodes(4, "b", "8")...)
			m.State, m.Since, m.Reason = Frozen, tc.since, "its API does not answer"
			w.member("ack", 1).State = Absent
			b := w.binding("web", 3, "3", nil)
			if tc.refuse {
				b.Refused = map[string]string{"idc-b": "no"}
			}
			out := w.round()
			if got := assigned(out.Decisions[0])["idc-a"]; got != 2 {
				t.Errorf("What fits at home is placed in any case: got %d", got)
			}
			if got := out.Demands[0].Outage; !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") {
				t.Errorf("%s Got %q", tc.reason, got)
			}
			if tc.want != "" && !out.Next.Equal(tc.since.Add(w.in.Settings.OutageGrace)) {
				t.Errorf("It is looked at again in time: got %s", out.Next)
			}
		})
	}
}
