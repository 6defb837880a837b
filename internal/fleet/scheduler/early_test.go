package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSettle: replicas wait before they go to the cloud as long as home has room
// for them that others on their way will take, and no longer.
func TestSettle(t *testing.T) {
	ago := func(d time.Duration) *time.Time { return at(epoch.Add(-d)) }
	type want struct {
		Targets  map[string]int32
		Settling int32
		Unmet    int32
		Since    *time.Time
		Next     time.Time
	}
	waits := func(n int32, since time.Duration) want {
		return want{Targets: map[string]int32{}, Settling: n, Since: ago(since), Next: epoch.Add(DefaultSettings.SettleTime - since)}
	}
	// Home has two nodes of 4 CPU, and ack one of 16. Other is promised 3 CPU of
	// each of home's nodes, so that web's replicas of 2 CPU have none there.
	cases := map[string]struct {
		reason string
		// bound says that the pods of other have their nodes, alone that there is
		// nothing but web.
		bound, alone bool
		set          func(*tester, *Binding)
		want         want
	}{
		"OthersOnTheirWay": {reason: "What is on its way may go elsewhere, or be refused.", want: waits(2, 0)},
		"Second":           {reason: "The time runs from the first round.", set: func(_ *tester, b *Binding) { b.State.SettlingSince = ago(time.Second) }, want: waits(2, time.Second)},
		"Over": {
			reason: "However much is on its way, nobody waits for longer.", set: func(_ *tester, b *Binding) { b.State.SettlingSince = ago(2 * time.Second) },
			want: want{Targets: map[string]int32{"ack": 2}},
		},
		"Bound": {
			reason: "When all have their nodes, it is known that home has no room.", bound: true,
			set: func(_ *tester, b *Binding) { b.State.SettlingSince = ago(time.Second) }, want: want{Targets: map[string]int32{"ack": 2}},
		},
		"Full": {
			reason: "What home has no room for, whoever comes, goes at once.", set: func(_ *tester, b *Binding) { requests("cpu", "5")(b) },
			want: want{Targets: map[string]int32{"ack": 2}},
		},
		"OwnOnTheirWay": {
			reason: "Replicas that are alike may come in any order.", alone: true,
			set: func(_ *tester, b *Binding) { b.Replicas = 6 }, want: want{Targets: map[string]int32{"idc": 4, "ack": 2}},
		},
		"NoRoomInTheCloud": {
			reason: "Nodes are ordered at once.", set: func(_ *tester, b *Binding) { b.Replicas = 9 },
			want: want{Targets: map[string]int32{}, Settling: 8, Unmet: 1, Since: at(epoch), Next: epoch.Add(DefaultSettings.SettleTime)},
		},
		"Refused": {
			reason: "Room in a member that it may not use is none.", set: func(_ *tester, b *Binding) { b.Refused = map[string]string{"idc": "tainted"} },
			want: want{Targets: map[string]int32{"ack": 2}},
		},
		"Reserved": {
			reason: "A reservation is for emergencies: its targets do not wait.",
			set: func(w *tester, b *Binding) {
				w.in.Pools[0].Holds = []Hold{{Reservation: "burst", Bindings: []string{b.ID}, Template: b.Template, Count: 2}}
			},
			want: want{Targets: map[string]int32{"ack": 2}},
		},
		"Never": {reason: "Without a time nobody waits.", set: func(w *tester, _ *Binding) { w.in.Settings.SettleTime = 0 }, want: want{Targets: map[string]int32{"ack": 2}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.in.Settings.SettleTime = DefaultSettings.SettleTime
			w.member("idc", 0, nodes(2, "idc", "4")...)
			w.member("ack", 1, nodes(1, "ack", "16")...)
			if !tc.alone {
				w.binding("other", 2, "3", map[string]int32{"idc": 2})
			}
			if tc.bound {
				w.run("idc", "other", "3", 2, true)
			}
			b := w.binding("web", 2, "2", nil)
			if tc.set != nil {
				tc.set(w, b)
			}
			out := w.round()
			d := out.Decisions[len(out.Decisions)-1]
			got := want{Targets: assigned(d), Settling: d.Settling, Unmet: d.Unmet, Since: d.State.SettlingSince}
			if d.Settling > 0 {
				got.Next = out.Next
				if n := free(t, out, "ack"); n != 16-2*int64(d.Settling) {
					t.Errorf("\nReason: the place of those that wait is promised to nobody else\nRun(...): ack has %d CPU free", n)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// free CPU on the fork of a member.
func free(t *testing.T, out Output, member string) int64 {
	t.Helper()
	nodes, err := out.Forks[member].List()
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, ni := range nodes {
		sum += ni.GetAllocatable().GetMilliCPU() - ni.GetRequested().GetMilliCPU()
	}
	return sum / 1000
}
