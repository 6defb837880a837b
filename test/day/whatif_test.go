package day

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/whatif"
)

// TestWhatIf asks, then does what was asked about, lives on, and compares what
// happened with the answer: where replicas are in the end, how many nodes were
// wanted at most and in the end, what that costs, and when all replicas ran.
func TestWhatIf(t *testing.T) {
	const home, horizon = 4, 90 * time.Minute
	type truth struct {
		Placements            map[string]map[string]int32
		NodesAtMost, NodesEnd int32
		Cost                  string
	}
	cases := map[string]struct {
		reason string
		// wanted replicas of each service before, and after.
		before, after []int32
		// nodes added to the first self-built member.
		nodes int
		// dies is a member that is lost for good.
		dies string
	}{
		"FitsAtHome":  {reason: "What grows fits at home.", before: []int32{20, 10, 5}, after: []int32{30, 12, 5}},
		"Spills":      {reason: "What grows spills.", before: []int32{60, 40, 10}, after: []int32{300, 40, 10}},
		"FiveHundred": {reason: "A service of 20 has 500 replicas.", before: []int32{20, 60, 20}, after: []int32{500, 60, 20}},
		"Falls":       {reason: "Demand falls: what is in the cloud goes, and its nodes.", before: []int32{200, 100, 50}, after: []int32{100, 60, 20}},
		"Nodes":       {reason: "There is more at home: what is in the cloud returns.", before: []int32{200, 100, 30}, after: []int32{200, 100, 30}, nodes: 4},
		"Dies":        {reason: "A member is lost for good: what ran there runs elsewhere.", before: []int32{100, 60, 20}, after: []int32{100, 60, 20}, dies: HomeMembers[1]},
		"CloudDies":   {reason: "The cloud is lost for good: what ran there has no place.", before: []int32{200, 100, 30}, after: []int32{200, 100, 30}, dies: CloudMember},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := NewWorld(Begin, DefaultDelays, simulator())
			for _, m := range HomeMembers {
				w.AddMember(m, false, home, Allocatable("31500m", "120Gi"))
			}
			w.AddMember(CloudMember, true, 0, nil)
			var services []*Service
			for i, cpu := range []int64{1000, 500, 2000} {
				s, err := NewService("Deployment", fmt.Sprintf("s%d", i), cpu, 1024)
				if err != nil {
					t.Fatal(err)
				}
				services = append(services, s)
			}
			f := NewFleet(w, services, NewOffering(offeringName, CloudMember, "15500m", "60Gi", "0.8", MaxNodes))
			live := func(wanted []int32, lasts time.Duration, look func(time.Duration) error) {
				t.Helper()
				for i, b := range f.Bindings {
					b.Replicas = wanted[i]
				}
				f.next = w.Now
				if err := f.Run(t.Context(), w.Now.Add(lasts), look); err != nil {
					t.Fatal(err)
				}
			}
			live(tc.before, time.Hour, nil)

			q := whatif.Question{Horizon: metav1.Duration{Duration: horizon}}
			for i, b := range f.Bindings {
				q.Scale = append(q.Scale, whatif.Scale{Binding: b.ID, Replicas: tc.after[i]})
			}
			first := w.Member(HomeMembers[0])
			if tc.nodes > 0 {
				q.AddNodes = []whatif.AddNodes{{Member: first.Name, Like: first.Nodes()[0], Count: tc.nodes}}
			}
			if tc.dies != "" {
				q.Lose = []string{tc.dies}
			}
			in, planned := f.Seen()
			a, err := whatif.Ask(t.Context(), whatif.World{Input: in, Plans: []whatif.Plan{{Input: planned}}}, q)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(a.Text())
			want := truth{Placements: map[string]map[string]int32{}, NodesAtMost: f.status(offeringName).Nodes, NodesEnd: f.status(offeringName).Nodes, Cost: a.HourlyCost.After}
			for _, b := range f.Bindings {
				want.Placements[b.ID] = b.Assigned
			}
			for _, p := range a.Placements {
				want.Placements[p.Binding] = p.After.Members
			}
			for _, o := range a.Orders {
				want.NodesAtMost, want.NodesEnd = o.Peak, o.After
			}
			if tc.dies == CloudMember {
				// Nothing is ordered of what is not there.
				want.NodesAtMost, want.NodesEnd = 0, 0
			}

			for i := range tc.nodes {
				n := newNode(fmt.Sprintf("%s-more-%d", first.Name, i), Allocatable("31500m", "120Gi"), w.Now)
				first.nodes[n.Name], first.fresh = n, false
			}
			if tc.dies != "" {
				w.Members = slices.DeleteFunc(w.Members, func(m *Member) bool { return m.Name == tc.dies })
				f.Plan.Spec.Members = slices.DeleteFunc(f.Plan.Spec.Members, func(m fleetv1alpha1.PlanMember) bool { return m.Name == tc.dies })
				f.Plan.Spec.Offerings = slices.DeleteFunc(f.Plan.Spec.Offerings, func(o fleetv1alpha1.Offering) bool { return o.Member == tc.dies })
				for _, b := range f.Bindings {
					delete(b.Assigned, tc.dies)
				}
			}
			got, begin, least, ready := truth{Placements: map[string]map[string]int32{}}, w.Now, int32(-1), time.Duration(0)
			live(tc.after, horizon, func(time.Duration) error {
				got.NodesAtMost = max(got.NodesAtMost, f.status(offeringName).Nodes)
				lack := int32(0)
				for i, s := range services {
					lack += tc.after[i]
					for _, m := range w.Members {
						_, _, r := m.Count(s.Name)
						lack -= r
					}
				}
				if lack = max(0, lack); least < 0 || lack < least {
					least, ready = lack, w.Now.Sub(begin)
				}
				return nil
			})
			for _, b := range f.Bindings {
				got.Placements[b.ID] = b.Assigned
			}
			got.NodesEnd, got.Cost = f.status(offeringName).Nodes, f.Plan.Status.HourlyCost
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("\nReason: %s\nAsk(...): -what happened, +what was answered:\n%s\n%s", tc.reason, diff, a.Text())
			}
			// A question does not know how long images take, and pods end.
			if late := ready - a.ReadyAfter.Duration; late < 0 || late > DefaultDelays.PodStart+DefaultDelays.PodStop+5*quantum {
				t.Errorf("\nReason: %s\nAsk(...): all ran after %s, %s was answered", tc.reason, ready, a.ReadyAfter.Duration)
			}
			if least != a.Unplaced {
				t.Errorf("\nReason: %s\nAsk(...): %d did not run, %d was answered", tc.reason, least, a.Unplaced)
			}
		})
	}
}
