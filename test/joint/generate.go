// Package joint judges whether the scheduler places waiting bindings right. It
// makes small cases at random, finds the optimum of each by an exhaustive search,
// which shares no code with the scheduler, and compares.
//
// # What a placement is
//
// Numbers of replicas of each workload in each member. Which node a replica gets
// is not for the placement to say: the member's kube-scheduler decides, pod by
// pod in the order of priority and age, and what it cannot place then has no
// place, even if another packing had room for all. The search has a small
// kube-scheduler of its own for that: see node.
//
// # What may differ
//
// Nothing, in the cases that are made: up to four workloads of up to four
// replicas and up to four members of up to four nodes, with tiers, sizes, node
// classes, taints, devices, replicas that keep off each other or spread over
// zones, priorities, replicas that run, that are promised, or that have to leave
// a member. Not made are reservations and groups that start as a whole, which are
// placed alone and in their turn, virtual nodes, which the planner grants, and
// pods that are drawn to others.
package joint

import (
	"fmt"
	"math/rand/v2"
)

// A Case is what waits, and where it could go.
type Case struct {
	Family    string
	Members   []Member
	Workloads []Workload
}

// A Member of the region. Draining members take nothing.
type Member struct {
	Tier     int
	Draining bool
	Nodes    []Node
}

// A Node of a member, and the replicas of each workload that run on it.
type Node struct {
	MilliCPU, MiB, GPU int64
	Class              string
	Zone               string
	Tainted            bool
	Running            []int
}

// A Workload has replicas that are alike. The older comes first.
type Workload struct {
	MilliCPU, MiB, GPU int64
	Replicas           int
	Priority           int
	// Class of nodes that it needs; any if empty. Tolerates says that it may run
	// on tainted ones.
	Class     string
	Tolerates bool
	// Apart replicas share no node with each other.
	Apart bool
	// Skew is the most by which two zones of a member may differ; 0 for any.
	Skew int
	// StaysHome workloads leave tier 0 never.
	StaysHome bool
	// Refused members take none.
	Refused []bool
	// Promised replicas by member: assigned, and not seen there yet. Leaving ones
	// run in a draining member.
	Promised []int
	Leaving  int
}

// Families of cases.
var Families = []string{
	"home or cloud", "some may not leave home", "priorities", "devices", "keep off each other", "spread over zones", "running and promised", "a member drains", "all of it",
}

// Generate makes the case of a seed. Its family goes by the seed.
func Generate(seed uint64) Case {
	r := rand.New(rand.NewPCG(seed, 41))
	family := int(seed % uint64(len(Families)))
	mixed := family == 8
	is := func(f int) bool { return family == f || mixed && r.IntN(3) == 0 }
	c := Case{Family: Families[family]}
	members := 2 + r.IntN(3)
	devices := is(3)
	for i := range members {
		m := Member{Tier: min(i, r.IntN(3))}
		if i == 0 {
			m.Tier = 0
		}
		for range 1 + r.IntN(4) {
			n := Node{
				MilliCPU: 1000*(2+r.Int64N(5)) - 100*r.Int64N(3), Class: []string{"x", "y"}[r.IntN(2)], Zone: []string{"a", "b", "c"}[r.IntN(3)], Tainted: r.IntN(8) == 0,
				Running: make([]int, 4),
			}
			n.MiB = n.MilliCPU / 1000 * 1024 * (2 + r.Int64N(4))
			if devices && r.IntN(3) == 0 {
				n.GPU = 1 + r.Int64N(3)
			}
			m.Nodes = append(m.Nodes, n)
		}
		c.Members = append(c.Members, m)
	}
	stays, priorities, apart, zones, running := is(1) || family == 2, is(2), is(4), is(5), is(6)
	for range 2 + r.IntN(3) {
		w := Workload{
			MilliCPU: 250 * (1 + r.Int64N(12)), MiB: 512 * (1 + r.Int64N(12)), Replicas: 1 + r.IntN(4), Tolerates: r.IntN(3) == 0,
			Refused: make([]bool, members), Promised: make([]int, members),
		}
		if r.IntN(4) == 0 {
			w.Class = []string{"x", "y"}[r.IntN(2)]
		}
		w.StaysHome = stays && r.IntN(2) == 0
		if r.IntN(6) == 0 {
			w.Refused[r.IntN(members)] = true
		}
		if priorities {
			w.Priority = r.IntN(3)
		}
		if devices && r.IntN(2) == 0 {
			w.GPU = 1 + r.Int64N(2)
		}
		w.Apart = apart && r.IntN(2) == 0
		if zones && r.IntN(2) == 0 {
			w.Skew = 1 + r.IntN(2)
		}
		c.Workloads = append(c.Workloads, w)
	}
	if running {
		c.start(r)
	}
	if is(7) {
		c.Members[r.IntN(members)].Draining = true
		for i := range c.Workloads {
			c.Workloads[i].Leaving = r.IntN(c.Workloads[i].Replicas + 1)
		}
		c.settle()
	}
	return c
}

// start lets some replicas run, and promises others a place.
func (c *Case) start(r *rand.Rand) {
	for i := range c.Workloads {
		w := &c.Workloads[i]
		left := w.Replicas
		for range r.IntN(w.Replicas + 1) {
			m := r.IntN(len(c.Members))
			if r.IntN(2) == 0 {
				w.Promised[m]++
				left--
				continue
			}
			n := r.IntN(len(c.Members[m].Nodes))
			if f := newFleet(c, m); f.nodes[n].takes(w, i) {
				c.Members[m].Nodes[n].Running[i]++
				left--
			}
		}
	}
}

// settle keeps what runs in a draining member, and what leaves it, within the
// replicas that are wanted.
func (c *Case) settle() {
	for i := range c.Workloads {
		w := &c.Workloads[i]
		assigned := 0
		for m := range c.Members {
			if c.Members[m].Draining {
				// What is there leaves: it is counted in Leaving.
				for n := range c.Members[m].Nodes {
					c.Members[m].Nodes[n].Running[i] = 0
				}
				w.Promised[m] = 0
			}
			assigned += c.assigned(m, i)
		}
		w.Leaving = min(w.Leaving, w.Replicas-assigned)
	}
}

// assigned is what a workload has in a member that takes replicas.
func (c *Case) assigned(m, w int) int {
	n := c.Workloads[w].Promised[m]
	for _, node := range c.Members[m].Nodes {
		n += node.Running[w]
	}
	return n
}

// Missing replicas of a workload have no place where they may stay.
func (c *Case) Missing(w int) int {
	n := c.Workloads[w].Replicas
	for m := range c.Members {
		n -= c.assigned(m, w)
	}
	return n
}

// open reports whether a member may get replicas of a workload.
func (c *Case) open(m, w int) bool {
	x := &c.Workloads[w]
	return !c.Members[m].Draining && !x.Refused[m] && !(x.StaysHome && c.Members[m].Tier > 0)
}

// String describes a case for a person.
func (c Case) String() string {
	s := c.Family + "\n"
	for i, m := range c.Members {
		s += fmt.Sprintf("  m%d tier %d draining %t\n", i, m.Tier, m.Draining)
		for j, n := range m.Nodes {
			s += fmt.Sprintf("    n%d %+v\n", j, n)
		}
	}
	for i, w := range c.Workloads {
		s += fmt.Sprintf("  w%d %+v missing %d\n", i, w, c.Missing(i))
	}
	return s
}
