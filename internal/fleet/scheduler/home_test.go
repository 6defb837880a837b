package scheduler

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// step applies a decision as Karmada and the member would, all replicas Ready
// at once if ready is set.
func (w *tester) apply(out Output, cpu string, ready bool) {
	for _, d := range out.Decisions {
		for i := range w.in.Bindings {
			b := &w.in.Bindings[i]
			if b.ID != d.Binding {
				continue
			}
			b.Assigned, b.State = assigned(d), d.State
			if d.Changed {
				b.LastScheduled = w.in.Now
			}
			for _, m := range w.in.Pools[0].Members {
				kept := w.pods[m.Name][:0]
				n := int32(0)
				for _, p := range w.pods[m.Name] {
					if p.Labels["app"] == b.Workload.Name {
						if n >= b.Assigned[m.Name] {
							continue
						}
						n++
					}
					kept = append(kept, p)
				}
				w.pods[m.Name] = kept
				for ; n < b.Assigned[m.Name]; n++ {
					w.place(m.Name, b.Workload.Name, cpu, ready)
				}
			}
		}
	}
}

// place puts a pod on the first node that has room for it by CPU.
func (w *tester) place(member, deployment, cpu string, ready bool) {
	want := w.pod(member, deployment, "", cpu, ready)
	need := want.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
	for _, n := range w.nodes[member] {
		free := n.Status.Allocatable.Cpu().MilliValue()
		for _, p := range w.pods[member] {
			if p.Spec.NodeName == n.Name {
				free -= p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
			}
		}
		if free >= need {
			want.Spec.NodeName = n.Name
			return
		}
	}
	want.Status.Conditions = nil
}

func TestReturnHome(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(4, "a", "8")...)
	w.member("ack", 1, nodes(4, "c", "8")...)
	w.binding("web", 4, "3", targetsOf{"ack": 4})
	w.run("ack", "web", "3", 4, true)

	type step struct {
		Targets targetsOf
		Next    time.Duration
	}
	var got []step
	look := func(after time.Duration, ready bool) {
		w.in.Now = w.in.Now.Add(after)
		out := w.round()
		s := step{Targets: assigned(out.Decisions[0])}
		if !out.Next.IsZero() {
			s.Next = out.Next.Sub(w.in.Now)
		}
		got = append(got, s)
		w.apply(out, "3", ready)
	}
	look(0, true)
	look(4*time.Minute, true)
	look(time.Minute, false)
	look(time.Second, false)
	for _, p := range w.pods["idc-a"] {
		p.Status = w.pods["ack"][0].Status
	}
	look(time.Second, true)
	look(time.Second, true)
	want := []step{
		{Targets: targetsOf{"ack": 4}, Next: 5 * time.Minute},
		{Targets: targetsOf{"ack": 4}, Next: time.Minute},
		// The window is over: a quarter is added at home.
		{Targets: targetsOf{"idc-a": 1, "ack": 4}, Next: 10 * time.Minute},
		// It is not Ready: nothing is cut.
		{Targets: targetsOf{"idc-a": 1, "ack": 4}, Next: 10*time.Minute - time.Second},
		// It is Ready: one is cut in the cloud, and the next one is added.
		{Targets: targetsOf{"idc-a": 2, "ack": 3}, Next: 10 * time.Minute},
		{Targets: targetsOf{"idc-a": 3, "ack": 2}, Next: 10 * time.Minute},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("Replicas return make before break: -want, +got:\n%s", diff)
	}
}

// TestReturnHomeGrowth: what became free together moves together, and what
// became free later when it has been so for a window.
func TestReturnHomeGrowth(t *testing.T) {
	type look struct {
		After time.Duration
		// Busy nodes of the self-built member, each with room for two.
		Busy int
		// Home replicas after the look.
		Home int32
	}
	cases := map[string]struct {
		reason string
		looks  []look
	}{
		"Soon": {
			reason: "Room that grows soon after the first is waited for, and all move at once",
			looks:  []look{{0, 3, 0}, {time.Minute, 0, 0}, {4 * time.Minute, 0, 0}, {time.Minute, 0, 6}},
		},
		"Later": {
			reason: "What became free later does not hold what was free before, and is not waited for twice",
			looks:  []look{{0, 3, 0}, {2 * time.Minute, 0, 0}, {3 * time.Minute, 0, 2}, {time.Minute, 0, 2}, {time.Minute, 0, 6}},
		},
		"Passing": {
			reason: "Room that went again is not used",
			looks:  []look{{0, 3, 0}, {2 * time.Minute, 0, 0}, {2 * time.Minute, 3, 0}, {time.Minute, 3, 2}, {2 * time.Minute, 3, 2}},
		},
		"Waves": {
			reason: "Room that comes and goes has its window from the last time it came, and holds nothing up",
			looks:  []look{{0, 3, 0}, {time.Minute, 0, 0}, {time.Minute, 3, 0}, {time.Minute, 0, 0}, {2 * time.Minute, 0, 2}, {3 * time.Minute, 0, 6}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.in.Settings.StepPercent = 100
			w.in.Pools[0].HeadroomPercent = 0
			w.member("idc-a", 0, nodes(4, "a", "8")...)
			w.member("ack", 1, nodes(4, "c", "8")...)
			w.binding("web", 6, "3", targetsOf{"ack": 6})
			w.run("ack", "web", "3", 6, true)
			var got []look
			for _, l := range tc.looks {
				w.in.Now = w.in.Now.Add(l.After)
				var kept []*corev1.Pod
				for _, p := range w.pods["idc-a"] {
					if p.Labels["app"] == "web" {
						kept = append(kept, p)
					}
				}
				w.pods["idc-a"] = nil
				for range l.Busy {
					w.place("idc-a", "neighbour", "8", true)
				}
				for range kept {
					w.place("idc-a", "web", "3", true)
				}
				// The second look after the move sees it done.
				for range 2 {
					out := w.round()
					w.apply(out, "3", true)
				}
				l.Home = w.in.Bindings[0].Assigned["idc-a"]
				got = append(got, l)
			}
			if diff := gocmp.Diff(tc.looks, got); diff != "" {
				t.Errorf("\nReason: %s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestReturnHomeHeadroom(t *testing.T) {
	w := newTester(t)
	w.in.Pools[0].HeadroomPercent = 50
	w.member("idc-a", 0, nodes(4, "a", "8")...)
	w.member("ack", 1, nodes(4, "c", "8")...)
	b := w.binding("web", 8, "3", targetsOf{"ack": 8})
	w.run("ack", "web", "3", 8, true)
	since := epoch.Add(-time.Hour)
	b.State = State{RoomSince: &since, Room: 8}
	w.in.Settings.StepPercent = 100
	got := assigned(w.round().Decisions[0])
	if diff := gocmp.Diff(targetsOf{"idc-a": 5, "ack": 8}, got); diff != "" {
		t.Errorf("Half of 32 CPU stay free, so 5 replicas of 3 CPU return: -want, +got:\n%s", diff)
	}
}

func TestUndo(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(4, "a", "8")...)
	w.member("ack", 1, nodes(4, "c", "8")...)
	b := w.binding("web", 4, "3", targetsOf{"idc-a": 1, "ack": 4})
	w.run("ack", "web", "3", 4, true)
	w.run("idc-a", "web", "3", 1, false)
	since := epoch.Add(-11 * time.Minute)
	b.State = State{ExcessSince: &since}
	out := w.round()
	if diff := gocmp.Diff(targetsOf{"ack": 4}, assigned(out.Decisions[0])); diff != "" {
		t.Errorf("Substitutes that do not become Ready go, and the others stay: -want, +got:\n%s", diff)
	}
	if nb := out.Decisions[0].State.NotBefore; nb == nil || !nb.Equal(epoch.Add(10*time.Minute)) {
		t.Errorf("A move that was undone is not tried again at once: got %v", nb)
	}
}

// TestSquareWave: a neighbour that comes and goes faster than the window keeps
// replicas where they are.
func TestSquareWave(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(4, "a", "8")...)
	w.member("ack", 1, nodes(4, "c", "8")...)
	w.binding("web", 4, "3", targetsOf{"ack": 4})
	w.run("ack", "web", "3", 4, true)
	for i := range 240 {
		w.in.Now = w.in.Now.Add(time.Minute)
		w.pods["idc-a"] = nil
		if i/4%2 == 0 {
			w.run("idc-a", "neighbour", "8", 4, true)
		}
		out := w.round()
		if diff := gocmp.Diff(targetsOf{"ack": 4}, assigned(out.Decisions[0])); diff != "" {
			t.Fatalf("Minute %d: room for 4 minutes is not room for 5: -want, +got:\n%s", i, diff)
		}
		w.in.Bindings[0].State = out.Decisions[0].State
	}
}

// TestRandomRounds: whatever happens, Ready replicas do not fall below what is
// wanted unless fewer are wanted, and no member is given more than it holds.
func TestRandomRounds(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newTester(t)
		w.in.Pools[0].StabilizationWindow = time.Minute
		w.member("idc-a", 0, nodes(2, "a", "8")...)
		w.member("idc-b", 0, nodes(2, "b", "8")...)
		w.member("ack", 1, nodes(3, "c", "8")...)
		names := []string{"x", "y"}
		for _, n := range names {
			w.binding(n, int32(r.IntN(8)), "3", nil)
		}
		for step := range 60 {
			w.in.Now = w.in.Now.Add(time.Duration(r.IntN(90)) * time.Second)
			if r.IntN(3) == 0 {
				w.in.Bindings[r.IntN(2)].Replicas = int32(r.IntN(9))
			}
			for i := range w.in.Pools[0].Members {
				m := &w.in.Pools[0].Members[i]
				m.State = Serving
				switch r.IntN(10) {
				case 0:
					m.State = Frozen
				case 1:
					m.State = Draining
				}
			}
			for _, m := range w.in.Pools[0].Members {
				for _, p := range w.pods[m.Name] {
					if p.Spec.NodeName != "" && r.IntN(2) == 0 {
						p.Status = readyStatus
					}
				}
			}
			wasReady := map[string]int32{}
			for _, m := range w.in.Pools[0].Members {
				for _, p := range w.pods[m.Name] {
					if len(p.Status.Conditions) > 0 {
						wasReady[p.Labels["app"]]++
					}
				}
			}
			out := w.round()
			w.applyKeepingReady(out)
			isReady := map[string]int32{}
			for _, m := range w.in.Pools[0].Members {
				for _, p := range w.pods[m.Name] {
					if len(p.Status.Conditions) > 0 {
						isReady[p.Labels["app"]]++
					}
					if p.Spec.NodeName == "" {
						t.Fatalf("Seed %d, step %d: %s was given a replica it has no room for", seed, step, m.Name)
					}
				}
			}
			for _, b := range w.in.Bindings {
				n := b.Workload.Name
				if floor := min(b.Replicas, wasReady[n]); isReady[n] < floor {
					t.Fatalf("Seed %d, step %d: %d of %s are Ready, %d were and %d are wanted", seed, step, isReady[n], n, wasReady[n], b.Replicas)
				}
			}
		}
	}
}

// applyKeepingReady applies decisions; like a ReplicaSet, a member takes pods
// that are not Ready first, and of those that are alike the ones on virtual
// nodes.
func (w *tester) applyKeepingReady(out Output) {
	for m := range w.pods {
		var ready, others []*corev1.Pod
		for _, p := range w.pods[m] {
			if len(p.Status.Conditions) > 0 {
				ready = append(ready, p)
			} else {
				others = append(others, p)
			}
		}
		cheap := func(a, b *corev1.Pod) int {
			return cmp.Compare(len(a.Annotations), len(b.Annotations))
		}
		slices.SortStableFunc(ready, cheap)
		slices.SortStableFunc(others, cheap)
		w.pods[m] = append(ready, others...)
	}
	// First what goes, then what comes.
	for pass := range 2 {
		for _, d := range out.Decisions {
			for i := range w.in.Bindings {
				b := &w.in.Bindings[i]
				if b.ID != d.Binding {
					continue
				}
				b.State = d.State
				for _, m := range w.in.Pools[0].Members {
					n, kept := int32(0), []*corev1.Pod{}
					for _, p := range w.pods[m.Name] {
						if p.Labels["app"] == b.Workload.Name {
							if n >= assigned(d)[m.Name] {
								continue
							}
							n++
						}
						kept = append(kept, p)
					}
					w.pods[m.Name] = kept
					for ; pass == 1 && n < assigned(d)[m.Name]; n++ {
						w.place(m.Name, b.Workload.Name, "3", false)
					}
				}
				if pass == 1 {
					b.Assigned = assigned(d)
				}
			}
		}
	}
}

var readyStatus = corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
