package day

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
)

// A placerFn satisfies Placer.
type placerFn func(slot int, wanted []int32) []map[string]int32

func (fn placerFn) Place(_ context.Context, w *World, wanted []int32) ([]map[string]int32, error) {
	return fn(int(w.Now.Sub(Begin)/Slot), wanted), nil
}

// small is two hours of three services.
func small(t *testing.T, demand ...int32) *Day {
	t.Helper()
	d := &Day{Slots: 24, Offering: NewOffering("g", CloudMember, "15500m", "60Gi", "1", 20)}
	for _, name := range []string{"a", "b", "c"} {
		s, err := NewService("Deployment", name, 1000, 512, demand...)
		if err != nil {
			t.Fatal(err)
		}
		d.Services = append(d.Services, s)
	}
	return d
}

// TestTally: the judge finds what is wrong, and only that.
func TestTally(t *testing.T) {
	all := func(member string) placerFn {
		return func(_ int, wanted []int32) []map[string]int32 {
			var out []map[string]int32
			for _, n := range wanted {
				out = append(out, map[string]int32{member: n})
			}
			return out
		}
	}
	type judged struct {
		Premature, Moves                   int32
		PrematureHours, Unplaced, Homeless float64
	}
	cases := map[string]struct {
		reason string
		demand []int32
		placer Placer
		want   judged
	}{
		"Home": {reason: "All is well at home.", demand: []int32{10}, placer: all("idc-a")},
		"Cloud": {
			reason: "What is sent to the cloud while home is empty is premature as long as it is there, and could be at home as long.",
			demand: []int32{10}, placer: all(CloudMember), want: judged{Premature: 30, PrematureHours: 60, Homeless: 60},
		},
		"Nowhere": {
			reason: "What gets no place is unplaced, but for the time in which a node would have come.",
			demand: []int32{10}, placer: all("idc-c"), want: judged{Unplaced: 59},
		},
		"Fewer": {reason: "What is cut because less is wanted is no move.", demand: []int32{10, 10, 4, 4}, placer: all("idc-a")},
		"BackAndForth": {
			reason: "What runs in one member and then in another has moved.", demand: []int32{10},
			placer: placerFn(func(slot int, wanted []int32) []map[string]int32 { return all(HomeMembers[slot/12])(slot, wanted) }), want: judged{Moves: 30},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := small(t, tc.demand...)
			r, err := d.Theirs(t.Context(), simulator(), tc.placer, func(int) {})
			if err != nil {
				t.Fatal(err)
			}
			got := judged{r.Premature, r.Moves, math.Round(r.PrematureMinutes / 60), math.Round(r.UnplacedMinutes / 60), math.Round(r.HomelessMinutes / 60)}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nTheirs(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestAutoscaler: nodes come for what waits in the cloud, and go when they have
// been empty for ten minutes.
func TestAutoscaler(t *testing.T) {
	d := small(t, 20, 0)
	nodes := map[int]int{}
	var w *World
	placer := placerFn(func(_ int, wanted []int32) []map[string]int32 {
		var out []map[string]int32
		for _, n := range wanted {
			out = append(out, map[string]int32{CloudMember: n})
		}
		return out
	})
	spy := placerWith{placer, func(of *World) { w = of }}
	if _, err := d.Theirs(t.Context(), simulator(), spy, func(slot int) { nodes[slot] = len(w.Member(CloudMember).Nodes()) }); err != nil {
		t.Fatal(err)
	}
	// 60 CPU need four nodes. The services stop one after the other until slot 8.
	want := map[int]int{0: 4, 5: 4, 8: 4, 11: 0}
	got := map[int]int{}
	for slot := range want {
		got[slot] = nodes[slot]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Nodes by slot: -want, +got:\n%s", diff)
	}
}

type placerWith struct {
	Placer
	see func(*World)
}

func (p placerWith) Place(ctx context.Context, w *World, wanted []int32) ([]map[string]int32, error) {
	p.see(w)
	return p.Placer.Place(ctx, w, wanted)
}

// cpu that services want in a step, in cores.
func cpu(services []*Service, step int) float64 {
	sum := 0.0
	for _, s := range services {
		q := s.pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU]
		sum += float64(s.At(step)) * q.AsApproximateFloat64()
	}
	return sum
}

// TestDay: the day that is published is the same each time, and fleet lives it the
// same each time, without sending anything away before home is full.
func TestDay(t *testing.T) {
	live := func(seed uint64) (*Day, Result) {
		d, err := NewDay(seed)
		if err != nil {
			t.Fatal(err)
		}
		// From midnight until half past one: home is full, and empties.
		d.Slots = 18
		r, err := d.Ours(t.Context(), simulator(), func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		return d, r
	}
	d, r := live(1)
	peak, low := 0.0, math.Inf(1)
	for i := range d.Services[0].Demand {
		peak, low = max(peak, cpu(d.Services, i)), min(low, cpu(d.Services, i))
	}
	home := float64(homeNodes*len(HomeMembers)) * 31.5
	if low > 0.9*home || peak < 1.2*home || peak > home+15.5*MaxNodes {
		t.Errorf("A day is meant to be too small for home at its low, and too large at its peak: %g to %g CPU, home has %g", low, peak, home)
	}
	if r.CloudMinutes == 0 || r.Cost == 0 {
		t.Errorf("The cloud was not used: %+v", r)
	}
	if r.PrematureMinutes > 0.01*r.CloudMinutes || r.UnplacedMinutes > 0.01*r.CloudMinutes {
		t.Errorf("Of %g replica-minutes in the cloud %g are premature, and %g were unplaced", r.CloudMinutes, r.PrematureMinutes, r.UnplacedMinutes)
	}
	if testing.Short() {
		return
	}
	_, again := live(1)
	if diff := cmp.Diff(r, again, cmpopts.IgnoreUnexported(Tally{})); diff != "" {
		t.Errorf("The same seed lives another day: -first, +second:\n%s", diff)
	}
	if other, _ := NewDay(2); other.Services[0].Demand[0] == d.Services[0].Demand[0] && other.Services[1].Demand[0] == d.Services[1].Demand[0] && other.Services[2].Demand[0] == d.Services[2].Demand[0] {
		t.Error("Another seed lives the same day")
	}
}

// TestEvening: in the hours in which home fills up nothing is sent to the cloud
// that home has room for, as replicas wait until it is known what home is left
// with. If they do not wait, some are.
func TestEvening(t *testing.T) {
	if testing.Short() {
		t.Skip("It takes seconds.")
	}
	live := func(seed uint64, set func(*Fleet)) Result {
		d, err := NewDay(seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range d.Services {
			from := int(18 * time.Hour / step)
			s.Demand = slices.Concat(s.Demand[from:], s.Demand[:from])
		}
		d.Slots, d.Set = int(time.Hour/Slot), set
		r, err := d.Ours(t.Context(), simulator(), func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, seed := range []uint64{4, 9} {
		r := live(seed, nil)
		if r.CloudMinutes == 0 {
			t.Errorf("Seed %d: the cloud was not used: %+v", seed, r)
		}
		if r.Premature > 0 {
			t.Errorf("Seed %d: %d replicas were sent to the cloud while home had room, for %g minutes", seed, r.Premature, r.PrematureMinutes)
		}
	}
	if r := live(9, func(f *Fleet) { f.Scheduler.SettleTime = 0 }); r.Premature == 0 {
		t.Error("Those who do not wait send nothing too early either: it proves nothing")
	}
}
