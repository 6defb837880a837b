package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
)

const (
	// coreMiB is how much memory counts as a core, deviceCores how many cores a
	// device counts as: about what they cost at the clouds.
	coreMiB     = 4096
	deviceCores = 10
	// leastMilli is the least that a replica counts as, in thousandths of a core.
	leastMilli = 100
)

// milliCores is what a replica costs, in thousandths of a core.
func milliCores(s *corev1.PodSpec) int64 {
	size := int64(leastMilli)
	for name, q := range requested(s) {
		switch {
		case name == corev1.ResourceCPU:
			size = max(size, q.MilliValue())
		case name == corev1.ResourceMemory:
			size = max(size, (q.Value()>>20)*1000/coreMiB)
		case v1helper.IsExtendedResourceName(name):
			size = max(size, q.Value()*deviceCores*1000)
		}
	}
	return size
}

// spreads reports whether a template spreads its pods over zones or regions.
func spreads(s *corev1.PodSpec) bool {
	return slices.ContainsFunc(s.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.TopologyKey == corev1.LabelTopologyZone || c.TopologyKey == corev1.LabelTopologyRegion
	})
}

// sociable pods may find more room when others are there.
func sociable(s *corev1.PodSpec) bool {
	return len(s.TopologySpreadConstraints) > 0 || s.Affinity != nil && s.Affinity.PodAffinity != nil || claims(s)
}

// claims reports whether pods bring claims, or use some.
func claims(s *corev1.PodSpec) bool {
	return len(s.ResourceClaims) > 0 || slices.ContainsFunc(s.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil || v.Ephemeral != nil })
}

// A cost has the replicas without a place of each priority but the lowest, the
// highest first, and the weighted sum of everything else.
type cost []int64

func (c cost) less(o cost) bool { return slices.Compare(c, o) < 0 }

func (c cost) add(o cost) {
	for i := range c {
		c[i] += o[i]
	}
}

func (c cost) sub(o cost) {
	for i := range c {
		c[i] -= o[i]
	}
}

// cost of giving the members of an entry these counts, but for the holes that
// are broken.
func (j *joint) cost(e *entry, counts []int32) cost {
	c, wt := make(cost, j.classes), e.pool.weights
	left, most := e.missing, e.elsewhere
	sum := int64(0)
	for i, n := range counts {
		left -= n
		most = max(most, e.have[i]+n)
		sum += wt.Cloud * e.milli / 1000 * int64(n) * int64(j.lanes[e.lanes[i]].Tier)
	}
	if e.spreads {
		sum += wt.Spread * int64(most)
	}
	// Those that still run wait longest.
	running := min(left, e.leaving)
	sum += wt.Moving * int64(running)
	if e.class < j.classes-1 {
		c[e.class] = int64(left - running)
	} else {
		sum += wt.Unplaced * int64(left-running)
	}
	c[j.classes-1] = sum
	return c
}

// total cost of a placement, but for the holes that are broken.
func (j *joint) total(counts [][]int32) cost {
	sum := make(cost, j.classes)
	for i, e := range j.entries {
		sum.add(j.cost(e, counts[i]))
	}
	return sum
}

// addHoles adds the holes that are broken where at stands.
func (j *joint) addHoles(c cost, at []*spot) error {
	for k, l := range j.lanes {
		if len(l.gifted) == 0 {
			continue
		}
		n, _, err := j.holes(l, at[k])
		if err != nil {
			return err
		}
		c[len(c)-1] += n * l.hole
	}
	return nil
}

// least cost of the batch, as far as it is known. Before anything is known of an
// entry, it is that of having all that it asks for in its first tier.
func (j *joint) least() cost {
	sum := make(cost, j.classes)
	for _, e := range j.entries {
		if e.least == nil {
			e.least = j.ideal(e)
		}
		sum.add(e.least)
	}
	return sum
}

// ideal is what an entry costs that gets all it asks for in its first tier.
func (j *joint) ideal(e *entry) cost {
	counts := make([]int32, len(e.lanes))
	if len(counts) == 0 {
		return j.cost(e, counts)
	}
	counts[0] = e.missing
	c := j.cost(e, counts)
	if !e.spreads {
		return c
	}
	// As even as can be over all members.
	sum, most := e.missing, e.elsewhere
	for _, n := range e.have {
		sum += n
		most = max(most, n)
	}
	even := max(most, (sum+int32(len(counts))-1)/int32(len(counts)))
	c[len(c)-1] -= e.pool.weights.Spread * int64(max(most, e.have[0]+e.missing)-even)
	return c
}
