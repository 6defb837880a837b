package day

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
)

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// One kube-scheduler simulation serves all tests: making one takes time.
var simulator = sync.OnceValue(func() simulation.Simulator {
	s, err := simulation.New()
	if err != nil {
		panic(err)
	}
	return s
})

// shares of CPU that the replicas of the services of a wave ask for.
var replicaMilli = []int64{1000, 2000, 1000, 500}

// A wave is a day of demand around what the self-built members can run, which
// is 1. Each service wants a quarter of it.
type wave struct {
	// period of a square wave between high and low.
	period    time.Duration
	low, high float64
	// noise by which demand differs from the wave, up or down, anew each hold.
	noise float64
	hold  time.Duration
	// others is the level of all services but the first, if they do not follow
	// the wave.
	others float64
}

// seen is what a day was like.
type seen struct {
	// Rented is how often nodes were rented when there were none, Full how
	// often the wave rose above what fits at home.
	Rented, Full int
	// Home is how often replicas moved home, and Flips how often it was less
	// than a window after replicas of the workload were sent to the cloud.
	Home, Flips int
	// Unready is how many replicas the services were short of at the end of
	// minutes in which all demand was at most what it was for five minutes: it
	// had been met, so a move broke it.
	Unready int32
}

// live a day of a wave. Flips are told by the window that is meant, whatever the
// fleet is set to.
func (v wave) live(t *testing.T, set func(*Fleet)) seen {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	w := NewWorld(epoch, DefaultDelays, simulator())
	w.AddMember("idc-a", false, 4, Allocatable("8", "64Gi"))
	w.AddMember("idc-b", false, 4, Allocatable("8", "64Gi"))
	cloud := w.AddMember("ack", true, 0, nil)
	var services []*Service
	for i, milli := range replicaMilli {
		s, err := NewService("Deployment", fmt.Sprintf("s%d", i), milli, 512)
		if err != nil {
			t.Fatal(err)
		}
		services = append(services, s)
	}
	f := NewFleet(w, services, NewOffering("ack-g", "ack", "8", "64Gi", "1", 50))
	window := f.Plan.Spec.ScaleDown.StabilizationWindow.Duration
	if set != nil {
		set(f)
	}
	var got seen
	sent, cloudy, met := map[string]time.Time{}, map[string]int32{}, map[string]time.Time{}
	f.Decided = func(out scheduler.Output) {
		for _, d := range out.Decisions {
			if d.Cloud > cloudy[d.Binding] {
				sent[d.Binding] = w.Now
			}
			cloudy[d.Binding] = d.Cloud
			if at := d.State.ExcessSince; d.Returning && d.Changed && at != nil && at.Equal(w.Now) {
				got.Home++
				if last, ok := sent[d.Binding]; ok && w.Now.Sub(last) < window {
					got.Flips++
				}
			}
		}
	}
	rented, full, noise := false, false, 0.0
	for now := time.Duration(0); now < 24*time.Hour; now += time.Minute {
		level := v.high
		if now%v.period >= v.period/2 {
			level = v.low
		}
		if level > 1 && !full {
			got.Full++
		}
		full = level > 1
		if v.noise > 0 && now%v.hold == 0 {
			noise = v.noise * (2*r.Float64() - 1)
		}
		for i, b := range f.Bindings {
			l := level * (1 + noise)
			if i > 0 && v.others > 0 {
				l = v.others
			}
			n := int32(math.Round(l * 64000 / 4 / float64(replicaMilli[i])))
			if n > b.Replicas {
				met[b.ID] = w.Now.Add(5 * time.Minute)
			}
			b.Replicas = n
		}
		f.next = w.Now
		if err := f.Run(t.Context(), epoch.Add(now+time.Minute), nil); err != nil {
			t.Fatal(err)
		}
		for i, b := range f.Bindings {
			ready := int32(0)
			for _, m := range w.Members {
				_, _, n := m.Count(services[i].Name)
				ready += n
			}
			if !met[b.ID].After(w.Now) {
				got.Unready += max(0, b.Replicas-ready)
			}
		}
		has := len(cloud.Nodes()) > 0 || len(cloud.orders) > 0
		if has && !rented {
			got.Rented++
		}
		rented = has
	}
	return got
}

// TestWaves: over a simulated day the cloud is rented at most twice for each time
// that demand really rose above what fits at home, and replicas do not come home
// in less than a window after they were sent away. Each case is lived again
// without what prevents it, and must fail then: otherwise it would prove nothing.
func TestWaves(t *testing.T) {
	noWindow := func(f *Fleet) { f.Plan.Spec.ScaleDown.StabilizationWindow.Duration = 0 }
	noDelays := func(f *Fleet) {
		noWindow(f)
		f.Plan.Spec.ScaleDown.NodeIdle.Duration = 0
	}
	cycles := func(s seen) bool { return s.Rented <= 2*s.Full }
	cases := map[string]struct {
		reason  string
		wave    wave
		without func(*Fleet)
		prove   func(seen) bool
	}{
		"NoiseThatCrosses": {
			reason:  "Demand that crosses what fits at home many times in an hour, because of noise, does not rent and give back each time.",
			wave:    wave{period: 4 * time.Hour, low: 0.85, high: 1.15, noise: 0.2, hold: 3 * time.Minute},
			without: noDelays, prove: cycles,
		},
		"Room": {
			reason:  "Room that noise makes for a moment brings nobody home who was sent away a moment ago.",
			wave:    wave{period: 2 * time.Hour, low: 0.8, high: 1.2, noise: 0.2, hold: 3 * time.Minute},
			without: noWindow, prove: func(s seen) bool { return s.Flips == 0 },
		},
		"Neighbour": {
			reason:  "A neighbour that leaves room for less than the window brings nobody home, and so sends nobody away when it is back.",
			wave:    wave{period: 8 * time.Minute, low: 0.2, high: 1.8, others: 1.1},
			without: noWindow, prove: func(s seen) bool { return s.Home == 0 },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := tc.wave.live(t, nil)
			t.Logf("With delays: %+v", got)
			if got.Rented == 0 || got.Full == 0 {
				t.Fatalf("\nReason: %s\nlive(...): the cloud was never used: %+v", tc.reason, got)
			}
			if got.Flips > 0 || got.Unready > 0 || !tc.prove(got) {
				t.Errorf("\nReason: %s\nlive(...): %+v", tc.reason, got)
			}
			if testing.Short() {
				return
			}
			without := tc.wave.live(t, tc.without)
			t.Logf("Without: %+v", without)
			if tc.prove(without) {
				t.Errorf("\nReason: %s\nlive(...) without the delays must fail: %+v", tc.reason, without)
			}
		})
	}
}
