// Package choice judges whether the planner chooses right. It makes small cases
// at random, finds the optimum of each by exhaustive search, which shares no
// code with the planner, and compares.
//
// # What may differ
//
// Nothing, in the cases that are made: up to four workloads whose replicas look
// only at the node they run on, or keep their like off it, up to six offerings of
// up to three clusters, with fees, spot prices, zones, shortages and all limits.
// Not made, because the planner has other rules for them, are:
//
//   - replicas with an eye on other pods or on zones: they are packed one
//     workload after the other, each onto what costs least for a replica;
//   - orders that are on their way, or nodes that are there: both are used as
//     they are, and no running replica is moved to save money;
//   - replicas on virtual nodes: nodes must save a tenth of what they cost there.
package choice

import (
	"fmt"
	"math/rand/v2"
)

// A Case is a decision to make.
type Case struct {
	Workloads []Workload
	Offerings []Offering
	Clusters  []Cluster
	// Limits; negative if there is none. Money is in hundredths an hour.
	MaxNodes, MaxClusters, MaxMoney int
	// Weights in hundredths.
	Price, Interruption, Wait, Spread int
}

// A Workload has replicas that are alike.
type Workload struct {
	MilliCPU, MiB, GPU int64
	Replicas           int
	// Class of nodes that it needs; any if empty. Tolerates says that it may run
	// on tainted ones.
	Class     string
	Tolerates bool
	// Apart replicas share no node with each other.
	Apart bool
}

// An Offering is nodes to rent.
type Offering struct {
	Cluster            int
	MilliCPU, MiB, GPU int64
	// Price in hundredths an hour.
	Price        int
	Max          int
	StartMinutes int
	Zones        []int
	Class        string
	Tainted      bool
	Spot         bool
	// OutOfStock offerings must not be ordered.
	OutOfStock bool
}

// A Cluster has nodes. Its fee in hundredths is due if it has to be made.
type Cluster struct {
	Exists bool
	Fee    int
}

var zoneNames = []string{"zone-a", "zone-b", "zone-c"}

// Generate makes the case of a seed.
func Generate(seed uint64) Case {
	r := rand.New(rand.NewPCG(seed, 20))
	c := Case{MaxNodes: -1, MaxClusters: -1, MaxMoney: -1, Price: 100, Interruption: 25}
	for range 1 + r.IntN(3) {
		c.Clusters = append(c.Clusters, Cluster{Exists: r.IntN(2) == 0, Fee: r.IntN(3) * r.IntN(200)})
	}
	classes := []string{"", "", "", "", "", "", "x", "y"}
	for range 1 + r.IntN(4) {
		w := Workload{MilliCPU: 250 * (1 + r.Int64N(16)), MiB: 512 * (1 + r.Int64N(16)), Replicas: 1 + r.IntN(6), Class: classes[r.IntN(len(classes))], Tolerates: r.IntN(2) == 0}
		if r.IntN(10) == 0 {
			w.GPU = 1 + r.Int64N(2)
		}
		w.Apart = r.IntN(6) == 0
		c.Workloads = append(c.Workloads, w)
	}
	for range 2 + r.IntN(5) {
		cpus := []int64{2, 4, 4, 8, 8, 16}[r.IntN(6)]
		perCPU := []int64{1, 2, 2, 4, 4, 8}[r.IntN(6)]
		o := Offering{
			Cluster: r.IntN(len(c.Clusters)), MilliCPU: cpus*1000 - 100*r.Int64N(4), MiB: cpus*perCPU*1024 - 256*r.Int64N(4),
			Max: 1 + r.IntN(4), StartMinutes: 1 + r.IntN(5), Class: []string{"x", "y"}[r.IntN(2)], Tainted: r.IntN(5) == 0, Spot: r.IntN(4) == 0, OutOfStock: r.IntN(10) == 0,
		}
		o.Price = int(cpus*20+cpus*perCPU*5) + r.IntN(40)
		if r.IntN(5) == 0 {
			o.GPU = []int64{1, 2, 4}[r.IntN(3)]
			o.Price += int(o.GPU) * 300
		}
		if o.Spot {
			o.Price = o.Price * (4 + r.IntN(5)) / 10
		}
		o.Zones = r.Perm(len(zoneNames))[:1+r.IntN(2)]
		c.Offerings = append(c.Offerings, o)
	}
	if r.IntN(3) == 0 {
		c.MaxNodes = 1 + r.IntN(6)
	}
	if r.IntN(4) == 0 {
		c.MaxClusters = r.IntN(len(c.Clusters) + 1)
		for _, cl := range c.Clusters {
			if cl.Exists {
				c.MaxClusters++
			}
		}
	}
	if r.IntN(3) == 0 {
		c.MaxMoney = 200 + r.IntN(1500)
		for _, cl := range c.Clusters {
			if cl.Exists {
				c.MaxMoney += cl.Fee
			}
		}
	}
	switch r.IntN(6) {
	case 0:
		c.Spread = 1 + r.IntN(60)
	case 1:
		// Who waits for what is a choice too, so the search is larger.
		c.Wait = 1 + r.IntN(40)
		c.Workloads = c.Workloads[:min(2, len(c.Workloads))]
		c.Offerings = c.Offerings[:min(3, len(c.Offerings))]
		for i := range c.Workloads {
			c.Workloads[i].Replicas = min(c.Workloads[i].Replicas, 4)
		}
	}
	if r.IntN(5) == 0 {
		c.Interruption = r.IntN(200)
	}
	return c
}

// runs reports whether a replica of a workload may run on a node of an offering.
func (c *Case) runs(w, o int) bool {
	a, b := &c.Workloads[w], &c.Offerings[o]
	return (a.Class == "" || a.Class == b.Class) && (a.Tolerates || !b.Tainted) && a.MilliCPU <= b.MilliCPU && a.MiB <= b.MiB && a.GPU <= b.GPU
}

// String describes a case for a person.
func (c Case) String() string {
	s := fmt.Sprintf("limits: nodes %d, clusters %d, money %d; weights: price %d, interruption %d, wait %d, spread %d\n", c.MaxNodes, c.MaxClusters, c.MaxMoney, c.Price, c.Interruption, c.Wait, c.Spread)
	for i, w := range c.Workloads {
		s += fmt.Sprintf("  w%d %+v\n", i, w)
	}
	for i, o := range c.Offerings {
		s += fmt.Sprintf("  o%d %+v\n", i, o)
	}
	for i, cl := range c.Clusters {
		s += fmt.Sprintf("  c%d %+v\n", i, cl)
	}
	return s
}
