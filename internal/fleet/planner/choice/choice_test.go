package choice

import (
	"math/rand/v2"
	"testing"
)

// random makes a problem.
func random(r *rand.Rand, shapes, kinds int, count int32) *Problem {
	p := &Problem{Nodes: Unlimited, Clusters: Unlimited, Money: Unlimited, Members: make([]Member, 1+r.IntN(2))}
	for m := range p.Members {
		if r.IntN(2) == 0 {
			p.Members[m] = Member{Fee: int64(r.IntN(200)), Clusters: 1}
			p.Members[m].Money = p.Members[m].Fee
		}
	}
	for range shapes {
		p.Shapes = append(p.Shapes, Shape{Size: []int64{1 + r.Int64N(8), 1 + r.Int64N(16), 1}, Count: 1 + r.Int32N(count)})
	}
	for range kinds {
		k := Kind{Room: []int64{4 + r.Int64N(28), 8 + r.Int64N(56), 20}, Max: 1 + r.Int32N(6), Member: r.IntN(len(p.Members))}
		k.Cost = k.Room[0]*10 + k.Room[1]*3 + r.Int64N(60)
		k.Money = k.Cost
		for range shapes {
			k.Takes = append(k.Takes, r.IntN(5) > 0)
		}
		p.Kinds = append(p.Kinds, k)
	}
	if r.IntN(3) == 0 {
		p.Nodes = r.Int32N(6)
	}
	if r.IntN(3) == 0 {
		p.Money = r.Int64N(1200)
	}
	return p
}

// check that a solution keeps all limits.
func check(t *testing.T, p *Problem, s *Solution) {
	t.Helper()
	l := newLedger(p, nil)
	for _, n := range s.Nodes {
		if l.allowed(n.Kind) < n.Count {
			t.Fatalf("Limits do not allow %d nodes of kind %d", n.Count, n.Kind)
		}
		if !p.holds(&p.Kinds[n.Kind], n.Fill) {
			t.Fatalf("A node of kind %d does not hold %v", n.Kind, n.Fill)
		}
		for i, f := range n.Fill {
			if f > 0 && !p.Kinds[n.Kind].Takes[i] {
				t.Fatalf("Kind %d does not take shape %d", n.Kind, i)
			}
		}
		l.spend(n)
	}
	for i := range l.left {
		if l.left[i] < 0 || l.left[i] != s.Left[i] {
			t.Fatalf("Shape %d: %d left, the solution says %d", i, l.left[i], s.Left[i])
		}
	}
}

func TestApproximateIsClose(t *testing.T) {
	same, worse, left, sum, n := 0, 0, 0, 0.0, 0
	for seed := range uint64(300) {
		p := random(rand.New(rand.NewPCG(seed, 1)), 1+int(seed%4), 1+int(seed%6), 8)
		e, ok := exact(p, 40*exactBudget)
		if !ok {
			t.Fatalf("Seed %d is not solved exactly", seed)
		}
		check(t, p, e)
		a := approximate(p)
		check(t, p, a)
		if p.better(a, e) {
			t.Fatalf("Seed %d: the approximation %+v is better than the optimum %+v", seed, a, e)
		}
		switch {
		case !p.better(e, a):
			same++
		case e.Cost == a.Cost || totals(e.Left) != totals(a.Left):
			left++
		default:
			worse++
		}
		if totals(e.Left) == totals(a.Left) && e.Cost > 0 {
			sum += float64(a.Cost) / float64(e.Cost)
			n++
		}
	}
	t.Logf("As good %d, dearer %d, other replicas left %d; cost over the optimum %.4f", same, worse, left, sum/float64(n))
	if sum/float64(n) > 1.02 {
		t.Errorf("Greedy packing costs %.4f of the optimum", sum/float64(n))
	}
}

func totals(n []int32) int32 {
	sum := int32(0)
	for _, x := range n {
		sum += x
	}
	return sum
}

// TestLargerProblems are solved within their limits, and what is found is found
// again on nodes that are promised.
func TestLargerProblems(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 9))
		p := random(r, 1+r.IntN(8), 1+r.IntN(12), int32(20+r.IntN(100)))
		for i := range p.Kinds {
			p.Kinds[i].Max = 100
		}
		if seed%2 == 0 {
			p.Nodes, p.Money = Unlimited, Unlimited
		}
		if seed%5 == 0 {
			p.Spread, p.Zones = 30, []int32{0, 0, 0}
			for i := range p.Kinds {
				p.Kinds[i].Zones = []int{r.IntN(3), r.IntN(3)}
			}
		}
		s := Solve(p)
		check(t, p, s)
		if p.price(s.Nodes).Cost != s.Cost {
			t.Errorf("Seed %d: the cost is %d, not %d", seed, p.price(s.Nodes).Cost, s.Cost)
		}
		q := *p
		q.Nodes, q.Money, q.Kinds = Unlimited, Unlimited, nil
		for i, k := range p.Kinds {
			q.Kinds = append(q.Kinds, k)
			k.Promised, k.Max = true, 0
			for _, n := range s.Nodes {
				if n.Kind == i {
					k.Max += n.Count
				}
			}
			q.Kinds = append(q.Kinds, k)
		}
		again := Solve(&q)
		if p.Nodes < 0 && p.Money < 0 && again.rented(&q)*50 > s.rented(p)+50 {
			t.Errorf("Seed %d: %d nodes are promised, but %d more are taken", seed, s.rented(p), again.rented(&q))
		}
	}
}
