package day

import (
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// running replicas of a service in all members, Ready ones whether or not their
// member answers.
func running(w *World, service string) (pods, ready int32) {
	for _, m := range w.Members {
		p, _, r := m.Count(service)
		pods += p
		ready += r
	}
	return pods, ready
}

// indices of a StatefulSet that have more than one pod.
func doubled(w *World, service string) []string {
	seen := map[string]bool{}
	var out []string
	for _, m := range w.Members {
		for _, p := range m.pods[service] {
			if seen[p.Name] {
				out = append(out, p.Name)
			}
			seen[p.Name] = true
		}
	}
	return out
}

// TestSilentMember: a member that does not answer is frozen; after the user's
// deadline what can be replaced is, and when it returns there is neither a moment
// without the copies that are wanted nor one with two of an index.
func TestSilentMember(t *testing.T) {
	minutes := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Minute} }
	type state struct {
		// Web and DB replicas that are assigned to the silent member, and pods
		// of web elsewhere.
		Web, DB, Elsewhere int32
	}
	cases := map[string]struct {
		reason string
		after  *metav1.Duration
		// Before the deadline, after it, and when the member has been back.
		before, late state
	}{
		"Never":    {reason: "Silence alone moves nothing, however long.", before: state{6, 3, 10}, late: state{6, 3, 10}},
		"Deadline": {reason: "After the deadline replicas that are alike are replaced; those of a StatefulSet are not.", after: minutes(10), before: state{6, 3, 10}, late: state{6, 3, 16}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := NewWorld(epoch, DefaultDelays, simulator())
			a := w.AddMember("idc-a", false, 4, Allocatable("4", "64Gi"))
			w.AddMember("idc-b", false, 4, Allocatable("4", "64Gi"))
			w.AddMember("ack", true, 0, nil)
			web, err := NewService("Deployment", "web", 1000, 512)
			if err != nil {
				t.Fatal(err)
			}
			db, err := NewService("StatefulSet", "db", 1000, 512)
			if err != nil {
				t.Fatal(err)
			}
			f := NewFleet(w, []*Service{web, db}, NewOffering("ack-g", "ack", "8", "64Gi", "1", 50))
			f.Plan.Spec.Outage = &fleetv1alpha1.Outage{ReplaceAfter: tc.after}
			f.Bindings[0].Replicas, f.Bindings[1].Replicas = 12, 3
			f.Bindings[1].Refused = map[string]string{"idc-b": "its volumes are in idc-a"}
			met := false
			run := func(d time.Duration) {
				t.Helper()
				f.next = w.Now
				err := f.Run(t.Context(), w.Now.Add(d), func(time.Duration) error {
					pods, ready := running(w, "web")
					if _, db := running(w, "db"); met && (ready < 12 || db < 3) {
						t.Fatalf("\nReason: %s\nRun(...): at %s %d of web and %d of db run", tc.reason, w.Now.Sub(epoch), ready, db)
					}
					if d := doubled(w, "db"); len(d) > 0 {
						t.Fatalf("\nReason: %s\nRun(...): at %s there are two of %v", tc.reason, w.Now.Sub(epoch), d)
					}
					if pods > 22 {
						t.Fatalf("\nReason: %s\nRun(...): at %s there are %d pods of web", tc.reason, w.Now.Sub(epoch), pods)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			look := func() state {
				pods, _ := running(w, "web")
				there, _, _ := a.Count("web")
				return state{f.Bindings[0].Assigned["idc-a"], f.Bindings[1].Assigned["idc-a"], pods - there}
			}
			run(5 * time.Minute)
			met = true
			w.Hush(a)
			run(time.Minute)
			// karmada#1640: a scheduler that divides anew while a member is away
			// takes away what runs there, though nobody asked for failover.
			f.Bindings[0].Replicas = 16
			run(8 * time.Minute)
			if got := look(); got != tc.before {
				t.Errorf("\nReason: %s\nRun(...) before the deadline: want %+v, got %+v", tc.reason, tc.before, got)
			}
			run(6 * time.Hour)
			if got := look(); got != tc.late {
				t.Errorf("\nReason: %s\nRun(...) long after it: want %+v, got %+v", tc.reason, tc.late, got)
			}
			w.Answer(a)
			run(30 * time.Minute)
			if pods, ready := running(w, "web"); pods != 16 || ready != 16 {
				t.Errorf("\nReason: %s\nRun(...) when it is back: want 16 of web, got %d, %d of them Ready", tc.reason, pods, ready)
			}
			if pods, _ := running(w, "db"); pods != 3 {
				t.Errorf("\nReason: %s\nRun(...) when it is back: want 3 of db, got %d", tc.reason, pods)
			}
			if got := f.Bindings[0].Assigned["idc-a"]; got < 6 {
				t.Errorf("\nReason: %s\nRun(...) when it is back: what ran there all the time was cut: %d are left", tc.reason, got)
			}
		})
	}
}

// TestMovesHold: whatever demand and members do, a move takes no Ready replica
// before its substitute is Ready, so that budgets and maxUnavailable, whatever
// they are, hold over all members together; and not more than a step of a workload
// is on its way at a time.
func TestMovesHold(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	moved := int32(0)
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 5))
		w := NewWorld(epoch, DefaultDelays, simulator())
		w.AddMember("idc-a", false, 3, Allocatable("8", "64Gi"))
		w.AddMember("idc-b", false, 3, Allocatable("8", "64Gi"))
		w.AddMember("ack", true, 0, nil)
		var services []*Service
		for _, name := range []string{"x", "y", "z"} {
			s, err := NewService("Deployment", name, 1000, 512)
			if err != nil {
				t.Fatal(err)
			}
			services = append(services, s)
		}
		f := NewFleet(w, services, NewOffering("ack-g", "ack", "8", "64Gi", "1", 50))
		f.Plan.Spec.Outage = &fleetv1alpha1.Outage{ReplaceAfter: &metav1.Duration{Duration: 5 * time.Minute}}
		floor, cloud := map[string]int32{}, map[string]int32{}
		look := func(time.Duration) error {
			silent := false
			for _, m := range w.Members {
				silent = silent || !m.Silent.IsZero()
			}
			for i, s := range services {
				b := f.Bindings[i]
				_, ready := running(w, s.Name)
				if least := min(floor[s.Name], b.Replicas); ready < least {
					t.Fatalf("Seed %d, %s: %d of %s are Ready, %d were and %d are wanted", seed, w.Now.Sub(epoch), ready, s.Name, floor[s.Name], b.Replicas)
				}
				floor[s.Name] = ready
				_, _, there := w.Member("ack").Count(s.Name)
				moved += max(0, cloud[s.Name]-there)
				cloud[s.Name] = there
				excess := -b.Replicas
				for _, n := range b.Assigned {
					excess += n
				}
				if step := max(1, b.Replicas*f.Scheduler.StepPercent/100); b.State.ExcessSince != nil && b.State.ExcessSince.Equal(w.Now) && !silent && excess > step {
					t.Fatalf("Seed %d, %s: %d of %s move at a time, a step is %d", seed, w.Now.Sub(epoch), excess, s.Name, step)
				}
			}
			return nil
		}
		for range 60 {
			for _, b := range f.Bindings {
				if r.IntN(2) == 0 {
					// At 0 what a silent member runs is given up, whatever comes next.
					b.Replicas = int32(1 + r.IntN(23))
				}
			}
			for _, m := range w.Members[:2] {
				switch {
				case !m.Silent.IsZero() && r.IntN(2) == 0:
					w.Answer(m)
				case m.Silent.IsZero() && r.IntN(8) == 0:
					w.Hush(m)
				}
			}
			f.next = w.Now
			if err := f.Run(t.Context(), w.Now.Add(time.Duration(1+r.IntN(20))*time.Minute), look); err != nil {
				t.Fatal(err)
			}
		}
	}
	if moved == 0 {
		t.Error("Nothing ever left the cloud: this proves nothing")
	}
}
