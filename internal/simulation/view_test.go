package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestClusterThatChanges proves on random clusters, from which nodes and pods come
// and go, that what a scheduler has seen of earlier snapshots and forks changes
// neither places nor reasons nor counts, against one that runs every plugin.
func TestClusterThatChanges(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	quick, naive := schedulerOf(t, configurations(t)["Default"], false), schedulerOf(t, configurations(t)["Default"], true)
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 2))
		nodes, pods := randomCluster(r)
		first, err := snapshot.New(nodes, pods, randomNamespaces...)
		if err != nil {
			t.Fatal(err)
		}
		if seed%2 == 0 {
			if err := quick.Warm(first); err != nil {
				t.Fatalf("Seed %d: Warm(...): %v", seed, err)
			}
		}
		world := first.Edit()
		known := []*snapshot.Snapshot{first}
		var p *corev1.Pod
		for i := range 20 {
			change(r, world, nodes, &pods, fmt.Sprintf("%d-%d", seed, i))
			known = append(known, world.Snapshot())
			// Mostly the last one, as in a fleet, but not always.
			s := known[len(known)-1]
			if r.IntN(4) == 0 {
				s = known[r.IntN(len(known))]
			}
			if s.NumNodes() == 0 {
				continue
			}
			if p == nil || r.IntN(3) > 0 {
				p = randomPod(r)
			}
			n := 1 + r.IntN(20)
			a, b := s.Fork(), s.Fork()
			for step := range 2 {
				room, counted, err := quick.Room(context.Background(), b, p, n)
				if err != nil {
					t.Fatalf("Seed %d, change %d: Room(...): %v", seed, i, err)
				}
				want, err := naive.Place(context.Background(), a, p, n)
				if err != nil {
					t.Fatalf("Seed %d, change %d: Place(...): %v", seed, i, err)
				}
				got, err := quick.Place(context.Background(), b, p, n)
				if err != nil {
					t.Fatalf("Seed %d, change %d: Place(...): %v", seed, i, err)
				}
				if counted && room != want.Placed {
					t.Fatalf("Seed %d, change %d, step %d: Room(...): want %d, got %d", seed, i, step, want.Placed, room)
				}
				if diff := cmp.Diff(order(want), order(got)); diff != "" {
					t.Fatalf("Seed %d, change %d, step %d: places: -every plugin, +quick:\n%s", seed, i, step, diff)
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Result{}, "Pods")); diff != "" {
					t.Fatalf("Seed %d, change %d, step %d: -every plugin, +quick:\n%s", seed, i, step, diff)
				}
			}
		}
	}
}

// change a cluster a little.
func change(r *rand.Rand, world *snapshot.Edit, nodes []*corev1.Node, pods *[]*corev1.Pod, name string) {
	for k := range 1 + r.IntN(4) {
		switch at := nodes[r.IntN(len(nodes))].Name; r.IntN(6) {
		case 0:
			world.DeleteNode(at)
		case 1:
			world.SetNode(randomNode(r, at))
		case 2:
			if n := len(*pods); n > 0 {
				i := r.IntN(n)
				world.DeletePod((*pods)[i])
				*pods = append((*pods)[:i:i], (*pods)[i+1:]...)
			}
		case 3:
			if n := len(*pods); n > 0 {
				p := (*pods)[r.IntN(n)].DeepCopy()
				p.DeletionTimestamp = &metav1.Time{}
				world.SetPod(p)
			}
		default:
			p := randomPod(r)
			on(at, fmt.Sprintf("c-%s-%d", name, k))(p)
			world.SetPod(p)
			*pods = append(*pods, p)
		}
	}
}

// TestViewIsMadeAnew lets so many workloads, or nodes, come and go that a view
// forgets those that are gone.
func TestViewIsMadeAnew(t *testing.T) {
	if testing.Short() {
		t.Skip("It takes seconds.")
	}
	cases := map[string]struct {
		reason string
		mods   []podMod
		nodes  bool
	}{
		"Nodes":      {reason: "Nodes that are gone are forgotten.", nodes: true},
		"Workloads":  {reason: "Workloads that are gone are forgotten."},
		"Classified": {reason: "So they are when the pods of others were counted.", mods: []podMod{spread(zoneLabel, 1, corev1.ScheduleAnyway)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := scheduler(t)
			f := fork(t, []*corev1.Node{node("n0", label(zoneLabel, "z0"), has(corev1.ResourceCPU, "4")), node("n1", label(zoneLabel, "z1"), has(corev1.ResourceCPU, "4"))}, nil)
			for i := range 3 * viewSlack {
				m := f.Mark()
				if tc.nodes {
					if err := f.AddNode(node(fmt.Sprintf("extra-%d", i), has(corev1.ResourceCPU, "0"))); err != nil {
						t.Fatal(err)
					}
				}
				p := pod(append(tc.mods, labelled("workload", fmt.Sprint(i)), requests(corev1.ResourceCPU, "1"))...)
				res, err := s.Place(context.Background(), f, p, 100)
				if err != nil || res.Placed != 8 {
					t.Fatalf("\nReason: %s\nPlace(...): want 8 placed of workload %d, got %d, %v", tc.reason, i, res.Placed, err)
				}
				f.Revert(m)
			}
			if v := s.free[0].view; len(v.slots) > 2*viewSlack || len(v.all) > 2*viewSlack {
				t.Errorf("\nReason: %s\nPlace(...): %d slots and %d classes are kept", tc.reason, len(v.slots), len(v.all))
			}
		})
	}
}
