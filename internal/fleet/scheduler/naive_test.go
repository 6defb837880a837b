package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestNaive proves on random regions that a round which leaves out bindings at
// rest, counts where that is enough, simulates members at the same time and has
// seen earlier rounds decides the same as one that does nothing of that.
func TestNaive(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 8
	}
	var sims []simulation.Simulator
	for range 5 {
		s, err := simulation.New()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sims = append(sims, s)
	}
	rested := 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 3))
		w := randomRegion(t, r, sims)
		for turn := range 4 {
			quick := newRound(context.Background(), w.in)
			got, err := quick.decide()
			if err != nil {
				t.Fatal(err)
			}
			rested += len(quick.work) - len(quick.active)
			plain := newRound(context.Background(), w.in)
			plain.naive = true
			before := runtime.GOMAXPROCS(1)
			want, err := plain.decide()
			runtime.GOMAXPROCS(before)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Output{}, "Forks"), cmp.Comparer(func(a, b *Template) bool { return a == b })); diff != "" {
				t.Fatalf("\nReason: seed %d, round %d\nRun(...): -plain, +got:\n%s", seed, turn, diff)
			}
			for name, f := range want.Forks {
				if diff := cmp.Diff(placesOn(f), placesOn(got.Forks[name])); diff != "" {
					t.Fatalf("\nReason: seed %d, round %d, fork of %s\nRun(...): -plain, +got:\n%s", seed, turn, name, diff)
				}
			}
			w.follow(r, &got)
		}
	}
	if rested == 0 {
		t.Error("No binding was at rest in any round.")
	}
}

func placesOn(f *snapshot.Fork) map[string][]string {
	out := map[string][]string{}
	nodes, _ := f.List()
	for _, ni := range nodes {
		for _, pi := range ni.GetPods() {
			out[ni.Node().Name] = append(out[ni.Node().Name], pi.GetPod().Namespace+"/"+pi.GetPod().Labels["app"])
		}
	}
	return out
}

// A changingRegion is members that are read anew after each round.
type changingRegion struct {
	*tester
	worlds []*snapshot.Edit
}

func randomRegion(t *testing.T, r *rand.Rand, sims []simulation.Simulator) *changingRegion {
	t.Helper()
	w := &changingRegion{tester: newTester(t)}
	w.in.Settings.JointTime = 0
	zone := func(i int) nodeOption {
		return func(n *corev1.Node) { n.Labels[corev1.LabelTopologyZone] = fmt.Sprintf("z%d", i%3) }
	}
	for m, sim := range sims {
		name := fmt.Sprintf("m-%d", m)
		var ns []*corev1.Node
		for i := range 2 + r.IntN(6) {
			n := node(fmt.Sprintf("%s-n%d", name, i), fmt.Sprint(2+r.IntN(7)), zone(i))
			if r.IntN(5) == 0 {
				with("example.org/gpu", "2")(n)
			}
			ns = append(ns, n)
		}
		// The last one is rented.
		w.member(name, int32(m/(len(sims)-1)), ns...).Simulator = sim
	}
	for i := range 6 + r.IntN(8) {
		w.binding(fmt.Sprintf("w-%d", i), int32(r.IntN(12)), fmt.Sprintf("%dm", 200+100*r.IntN(15)), nil, randomly(r))
	}
	for i := range w.in.Pools[0].Members {
		m := &w.in.Pools[0].Members[i]
		s, err := snapshot.New(w.nodes[m.Name], nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Snapshot = s
		w.worlds = append(w.worlds, s.Edit())
	}
	return w
}

func randomly(r *rand.Rand) bindingOption {
	return func(b *Binding) {
		b.Priority = int32(r.IntN(2))
		spec := &b.Template.Spec.Spec
		same := &metav1.LabelSelector{MatchLabels: b.Template.Spec.Labels}
		switch r.IntN(7) {
		case 0:
			spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: same}}
		case 1:
			spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: same}}
		case 2:
			spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: same}}}}
		case 3:
			spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelTopologyZone, LabelSelector: same}}}}
		case 4:
			requests("example.org/gpu", "1")(b)
		}
	}
}

// follow does what was decided, most of it, and changes what is wanted.
func (w *changingRegion) follow(r *rand.Rand, out *Output) {
	w.in.Now = w.in.Now.Add(time.Minute)
	decided := map[string]Decision{}
	for _, d := range out.Decisions {
		decided[d.Binding] = d
	}
	for i := range w.in.Bindings {
		b := &w.in.Bindings[i]
		d := decided[b.ID]
		b.Assigned, b.State = assigned(d), d.State
		if d.Changed {
			b.LastScheduled = w.in.Now.Add(-time.Minute)
		}
		if r.IntN(4) == 0 {
			b.Replicas = int32(r.IntN(12))
		}
	}
	for i := range w.in.Pools[0].Members {
		m, world := &w.in.Pools[0].Members[i], w.worlds[i]
		for j := range w.in.Bindings {
			b := &w.in.Bindings[j]
			pods := world.PodsOf(b.Workload)
			for n := len(pods); n < int(b.Assigned[m.Name]); n++ {
				node := w.nodes[m.Name][r.IntN(len(w.nodes[m.Name]))].Name
				if r.IntN(12) == 0 {
					node = ""
				}
				p := w.pod(m.Name, b.Workload.Name, node, b.Template.Spec.Spec.Containers[0].Resources.Requests.Cpu().String(), r.IntN(5) > 0)
				p.Spec.Affinity, p.Spec.TopologySpreadConstraints = b.Template.Spec.Spec.Affinity, b.Template.Spec.Spec.TopologySpreadConstraints
				world.SetPod(p)
			}
			for _, p := range pods[min(len(pods), int(b.Assigned[m.Name])):] {
				if r.IntN(4) > 0 {
					world.DeletePod(p)
				}
			}
		}
		m.Snapshot = world.Snapshot()
	}
}
