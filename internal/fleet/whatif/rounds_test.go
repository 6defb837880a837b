package whatif

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestBesideRounds: rounds that are made while questions are answered decide what
// they would decide alone, and so do questions; run it with -race.
func TestBesideRounds(t *testing.T) {
	w := spilled(t).world()
	w.Input.Settings.JointTime = 0
	w.Input.Bindings[1].Replicas = 15
	q := Question{Scale: []Scale{{Binding: "default/web", Replicas: 19}}, Lose: []string{"idc-b"}}
	alone, err := scheduler.Run(t.Context(), w.Input)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Ask(t.Context(), w, q)
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	for range 2 {
		g.Go(func() error {
			got, err := Ask(ctx, w, q)
			if diff := cmp.Diff(answer, got); diff != "" && err == nil {
				return fmt.Errorf("\nReason: It is asked beside rounds\nAsk(...): -alone, +beside:\n%s", diff)
			}
			return err
		})
	}
	for range 20 {
		got, err := scheduler.Run(t.Context(), w.Input)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(alone.Decisions, got.Decisions); diff != "" {
			t.Fatalf("\nReason: Somebody asks meanwhile\nRun(...): -alone, +beside:\n%s", diff)
		}
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// BenchmarkAsk asks about a region of 50 members with 100 nodes and 2,000 pods
// each, and 500 workloads.
func BenchmarkAsk(b *testing.B) {
	const members, nodes, workloads = 50, 100, 500
	w := World{Input: scheduler.Input{Now: epoch, Settings: scheduler.DefaultSettings}}
	pool := scheduler.Pool{Name: "pool", StabilizationWindow: 5 * time.Minute}
	plan := newRegion(b).plan
	plan.Spec.Members = nil
	plan.Spec.Offerings[0].Member, plan.Spec.Offerings[0].Max = "m-49", 500
	plan.Spec.Offerings = plan.Spec.Offerings[:1]
	in := planner.Input{Now: epoch, SeenAt: epoch, Plan: plan, Members: map[string]planner.Member{}, Simulator: simulator(), Settings: planner.DefaultSettings}
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("24"), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("110")}
	r := &region{t: b, nodes: map[string][]*corev1.Node{}, pods: map[string][]*corev1.Pod{}, now: epoch}
	for i := range workloads {
		assigned := map[string]int32{}
		for j := range 10 {
			assigned[fmt.Sprintf("m-%d", (i+j*5)%(members-1))] += 20
		}
		r.declare(fmt.Sprintf("web-%03d", i), assigned)
	}
	w.Input.Bindings = r.bindings
	for i := range members {
		name := fmt.Sprintf("m-%d", i)
		elastic := i == members-1
		if !elastic {
			for j := range nodes {
				n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelHostname: fmt.Sprintf("%s-%d", name, j)}}}
				n.Status.Allocatable = size
				r.node(name, fmt.Sprintf("%s-%d", name, j), n)
			}
		}
		at := 0
		for k := range r.bindings {
			for range r.bindings[k].Assigned[name] {
				r.pod(name, &r.bindings[k], r.nodes[name][at%nodes].Name)
				at++
			}
		}
		s, err := snapshot.New(r.nodes[name], r.pods[name])
		if err != nil {
			b.Fatal(err)
		}
		sim, err := simulation.New()
		if err != nil {
			b.Fatal(err)
		}
		defer sim.Close()
		m := scheduler.Member{Name: name, Elastic: elastic, State: scheduler.Serving, Snapshot: s, Simulator: sim}
		if elastic {
			m.Tier = 1
		}
		in.Members[name] = planner.Member{State: m.State, Snapshot: s, Simulator: sim}
		pool.Members = append(pool.Members, m)
		plan.Spec.Members = append(plan.Spec.Members, fleetv1alpha1.PlanMember{Name: name, Tier: m.Tier, Elastic: elastic, Warm: elastic})
	}
	w.Input.Pools, w.Plans = []scheduler.Pool{pool}, []Plan{{Input: in}}
	for name, q := range map[string]Question{
		"Grows": {Scale: []Scale{{Binding: "default/web-000", Replicas: 700}}},
		"Dies":  {Lose: []string{"m-0"}},
		"Nodes": {AddNodes: []AddNodes{{Member: "m-1", Like: "m-1-0", Count: 20}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				a, err := Ask(context.Background(), w, q)
				if err != nil || !a.Settled {
					b.Fatalf("Ask(...): %v, %s", err, a.Text())
				}
			}
		})
	}
}
