package joint

import (
	"math"
	"slices"
)

// A fleet is the nodes of a member, and a kube-scheduler small enough to be read
// at once: the filters that the cases need, and the two scores that tell nodes
// apart when no pod prefers any (NodeResourcesFit by the least allocated, and
// NodeResourcesBalancedAllocation, of Kubernetes 1.35). Of equal nodes the first
// by name is taken, as the simulation of the project does.
type fleet struct {
	nodes []node
}

type node struct {
	Node
	cpu, mib, gpu int64
	pods          []int
	// bare is how many replicas came that need no device.
	bare int
}

// newFleet returns the nodes of a member with what runs there.
func newFleet(c *Case, m int) *fleet {
	f := &fleet{}
	for _, n := range c.Members[m].Nodes {
		x := node{Node: n, pods: make([]int, len(n.Running))}
		for w, k := range n.Running {
			for range k {
				x.add(&c.Workloads[w], w)
			}
		}
		x.bare = 0
		f.nodes = append(f.nodes, x)
	}
	return f
}

func (f *fleet) clone() *fleet {
	out := &fleet{nodes: slices.Clone(f.nodes)}
	for i := range out.nodes {
		out.nodes[i].pods = slices.Clone(out.nodes[i].pods)
	}
	return out
}

func (n *node) add(w *Workload, i int) {
	n.cpu += w.MilliCPU
	n.mib += w.MiB
	n.gpu += w.GPU
	n.pods[i]++
	if w.GPU == 0 {
		n.bare++
	}
}

// takes reports whether a node on its own takes a replica.
func (n *node) takes(w *Workload, i int) bool {
	return (w.Class == "" || w.Class == n.Class) && (w.Tolerates || !n.Tainted) && (!w.Apart || n.pods[i] == 0) &&
		n.cpu+w.MilliCPU <= n.MilliCPU && n.mib+w.MiB <= n.MiB && n.gpu+w.GPU <= n.GPU
}

// score of a node for a replica.
func (n *node) score(w *Workload) int64 {
	cpu, mib := n.cpu+w.MilliCPU, n.mib+w.MiB
	least := ((n.MilliCPU-cpu)*100/n.MilliCPU + (n.MiB-mib)*100/n.MiB) / 2
	deviation := math.Abs((float64(cpu)/float64(n.MilliCPU) - float64(mib)/float64(n.MiB)) / 2)
	return least + int64((1-deviation)*100)
}

// crowded reports whether one more replica in a zone would make it differ too
// much from the emptiest. Zones that the workload does not select are no zones;
// tainted nodes are in theirs.
func (f *fleet) crowded(w *Workload, i int, zone string) bool {
	if w.Skew == 0 {
		return false
	}
	zones := map[string]int{}
	for _, n := range f.nodes {
		if w.Class == "" || w.Class == n.Class {
			zones[n.Zone] += n.pods[i]
		}
	}
	fewest := math.MaxInt
	for _, n := range zones {
		fewest = min(fewest, n)
	}
	return zones[zone]+1-fewest > w.Skew
}

// place one replica, or report that it has no place.
func (f *fleet) place(c *Case, i int) bool {
	w := &c.Workloads[i]
	best := -1
	for k := range f.nodes {
		n := &f.nodes[k]
		if n.takes(w, i) && !f.crowded(w, i, n.Zone) && (best < 0 || n.score(w) > f.nodes[best].score(w)) {
			best = k
		}
	}
	if best < 0 {
		return false
	}
	f.nodes[best].add(w, i)
	return true
}

// broken is how many nodes have devices free, and replicas that came and need
// none.
func (f *fleet) broken() int {
	n := 0
	for _, x := range f.nodes {
		if x.gpu < x.GPU && x.bare > 0 {
			n++
		}
	}
	return n
}
