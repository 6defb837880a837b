package scheduler

import (
	"context"
	"fmt"
	"testing"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// BenchmarkRound makes a round over workloads of four replicas of which half run
// in the cloud, because the self-built nodes are full: at rest, and when all of
// them are new.
func BenchmarkRound(b *testing.B) {
	for _, n := range []int{500, 2000} {
		for _, rest := range []bool{true, false} {
			b.Run(fmt.Sprintf("Bindings%d/Rest=%t", n, rest), func(b *testing.B) {
				w := newTester(&testing.T{})
				w.member("idc-a", 0, nodes(n/4, "a", "8500m")...)
				w.member("ack", 1, nodes(n/4, "c", "9")...)
				for i := range n {
					name := fmt.Sprintf("w-%d", i)
					if !rest {
						w.binding(name, 4, "1", nil)
						continue
					}
					w.binding(name, 4, "1", targetsOf{"idc-a": 2, "ack": 2})
					for j := range 2 {
						k := (2*i + j) % (n / 4)
						w.pod("idc-a", name, fmt.Sprintf("a-%d", k), "1", true)
						w.pod("ack", name, fmt.Sprintf("c-%d", k), "1", true)
					}
				}
				for i := range w.in.Pools[0].Members {
					m := &w.in.Pools[0].Members[i]
					s, err := snapshot.New(w.nodes[m.Name], w.pods[m.Name])
					if err != nil {
						b.Fatal(err)
					}
					sim, err := simulation.New()
					if err != nil {
						b.Fatal(err)
					}
					defer sim.Close()
					m.Snapshot, m.Simulator = s, sim
				}
				for b.Loop() {
					if _, err := Run(context.Background(), w.in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
