package choice

import (
	"math/rand/v2"
	"testing"
)

// large is 10,000 replicas of 50 shapes on 60 kinds of nodes, as clouds offer
// them: four families in five sizes, each in three generations.
func large() *Problem {
	r := rand.New(rand.NewPCG(1, 1))
	p := &Problem{Nodes: Unlimited, Clusters: Unlimited, Money: Unlimited, Members: []Member{{}}}
	for range 50 {
		p.Shapes = append(p.Shapes, Shape{Size: []int64{int64(100 * (1 + r.IntN(40))), int64(128*(1+r.IntN(100))) << 20, 1}, Count: 200})
	}
	takes := make([]bool, 50)
	for i := range takes {
		takes[i] = true
	}
	for _, family := range []struct {
		gib  int64
		base int64
	}{{2, 40_000}, {4, 50_000}, {8, 65_000}, {1, 37_000}} {
		for gen := range int64(3) {
			for _, cpus := range []int64{4, 8, 16, 32, 64} {
				cost := family.base * cpus * (100 + 3*gen) / 100
				p.Kinds = append(p.Kinds, Kind{Room: []int64{cpus*1000 - 200, cpus*family.gib<<30 - 1<<30, 110}, Takes: takes, Max: 500, Cost: cost, Money: cost})
			}
		}
	}
	return p
}

func BenchmarkLarge(b *testing.B) {
	p := large()
	for b.Loop() {
		s := Solve(p)
		b.ReportMetric(float64(s.rented(p)), "nodes")
		b.ReportMetric(float64(s.Cost)/1e6, "cost")
	}
}
