package simulation

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	pluginnames "k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// A fit is NodeResourcesFit and NodeResourcesBalancedAllocation for one pod. It
// follows fitsRequest, leastResourceScorer and balancedResourceScorer of
// k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources, which work on
// maps and allocate.
type fit struct {
	request, nonZero amounts
	scalars          []scalar
	// bestEffort pods are not scored for balance.
	bestEffort bool

	fitWeight, balancedWeight int64
	fitOn                     []weighted
	balancedOn                []corev1.ResourceName
}

// A scalar resource that the pod requests.
type scalar struct {
	name   corev1.ResourceName
	amount int64
}

// A weighted resource of a scoring strategy.
type weighted struct {
	name   corev1.ResourceName
	weight int64
}

// scored are the resources that a fit scores. Others are left to the plugins.
func scored(rs []config.ResourceSpec) bool {
	for _, r := range rs {
		switch corev1.ResourceName(r.Name) {
		case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		default:
			return false
		}
	}
	return len(rs) > 0
}

// newFit returns the fit of a pod.
func (p *profile) newFit(template *framework.PodInfo) fit {
	res := template.CalculateResource()
	f := p.fit
	f.request = amounts{cpu: res.Resource.GetMilliCPU(), memory: res.Resource.GetMemory(), ephemeral: res.Resource.GetEphemeralStorage()}
	f.nonZero = amounts{cpu: res.Non0CPU, memory: res.Non0Mem, ephemeral: f.request.ephemeral}
	for name, n := range res.Resource.GetScalarResources() {
		if n > 0 {
			f.scalars = append(f.scalars, scalar{name: name, amount: n})
		}
	}
	f.bestEffort = true
	for _, name := range f.balancedOn {
		f.bestEffort = f.bestEffort && f.request.of(name) == 0
	}
	return f
}

func (a *amounts) of(name corev1.ResourceName) int64 {
	switch name {
	case corev1.ResourceCPU:
		return a.cpu
	case corev1.ResourceMemory:
		return a.memory
	}
	return a.ephemeral
}

// fits reports whether the node has room for one more pod.
func (f *fit) fits(s *nodeState) bool {
	if s.pods >= s.allowed || f.request.cpu > 0 && f.request.cpu > s.free.cpu ||
		f.request.memory > 0 && f.request.memory > s.free.memory ||
		f.request.ephemeral > 0 && f.request.ephemeral > s.free.ephemeral {
		return false
	}
	for i := range f.scalars {
		if f.scalars[i].lacks(s) {
			return false
		}
	}
	return true
}

func (r *scalar) lacks(s *nodeState) bool {
	return r.amount > s.info.Allocatable.ScalarResources[r.name]-s.info.Requested.ScalarResources[r.name]
}

// room returns for how many more pods the node has room, at most limit.
func (f *fit) room(s *nodeState, limit int64) int64 {
	limit = min(limit, s.allowed-s.pods)
	for _, a := range [...][2]int64{{f.request.cpu, s.free.cpu}, {f.request.memory, s.free.memory}, {f.request.ephemeral, s.free.ephemeral}} {
		if a[0] > 0 {
			limit = min(limit, a[1]/a[0])
		}
	}
	for _, r := range f.scalars {
		limit = min(limit, (s.info.Allocatable.ScalarResources[r.name]-s.info.Requested.ScalarResources[r.name])/r.amount)
	}
	return max(limit, 0)
}

// reasons calls fn with each reason why the node has no room.
func (f *fit) reasons(s *nodeState, fn func(string)) {
	if s.pods >= s.allowed {
		fn("Too many pods")
	}
	if f.request.cpu > 0 && f.request.cpu > s.free.cpu {
		fn("Insufficient cpu")
	}
	if f.request.memory > 0 && f.request.memory > s.free.memory {
		fn("Insufficient memory")
	}
	if f.request.ephemeral > 0 && f.request.ephemeral > s.free.ephemeral {
		fn("Insufficient ephemeral-storage")
	}
	for i := range f.scalars {
		if f.scalars[i].lacks(s) {
			fn("Insufficient " + string(f.scalars[i].name))
		}
	}
}

// score returns the weighted scores of both plugins.
func (f *fit) score(s *nodeState) int64 {
	var out int64
	if f.fitWeight > 0 {
		var sum, weights int64
		for _, r := range f.fitOn {
			alloc := s.allocated.of(r.name)
			if alloc == 0 {
				continue
			}
			have := &s.nonZero
			if r.name == corev1.ResourceEphemeralStorage {
				have = &s.requested
			}
			weights += r.weight
			if left := alloc - have.of(r.name) - f.nonZero.of(r.name); left >= 0 {
				sum += left * fwk.MaxNodeScore / alloc * r.weight
			}
		}
		if weights > 0 {
			out += sum / weights * f.fitWeight
		}
	}
	if f.balancedWeight > 0 && !f.bestEffort {
		out += f.balance(s) * f.balancedWeight
	}
	return out
}

func (f *fit) balance(s *nodeState) int64 {
	var fractions [3]float64
	var total float64
	n := 0
	for _, name := range f.balancedOn {
		alloc := s.allocated.of(name)
		if alloc == 0 {
			continue
		}
		fractions[n] = min(float64(s.requested.of(name)+f.request.of(name))/float64(alloc), 1)
		total += fractions[n]
		n++
	}
	std := 0.0
	switch n {
	case 2:
		std = math.Abs((fractions[0] - fractions[1]) / 2)
	case 3:
		mean := total / 3
		var sum float64
		for _, x := range fractions {
			sum += (x - mean) * (x - mean)
		}
		std = math.Sqrt(sum / 3)
	}
	return int64((1 - std) * float64(fwk.MaxNodeScore))
}

// fitOf says how a profile judges and scores resources. It returns false if it
// does so in a way that a fit does not know.
func fitOf(p *profile) bool {
	if _, filters := p.args[pluginnames.NodeResourcesFit]; filters {
		a, ok := p.args[pluginnames.NodeResourcesFit].(*config.NodeResourcesFitArgs)
		if !ok || len(a.IgnoredResources) > 0 || len(a.IgnoredResourceGroups) > 0 || a.ScoringStrategy == nil ||
			a.ScoringStrategy.Type != config.LeastAllocated || !scored(a.ScoringStrategy.Resources) {
			return false
		}
		p.fit.fitWeight = p.weights[pluginnames.NodeResourcesFit]
		for _, r := range a.ScoringStrategy.Resources {
			p.fit.fitOn = append(p.fit.fitOn, weighted{name: corev1.ResourceName(r.Name), weight: r.Weight})
		}
	}
	if raw, scores := p.args[pluginnames.NodeResourcesBalancedAllocation]; scores {
		a, ok := raw.(*config.NodeResourcesBalancedAllocationArgs)
		if !ok || !scored(a.Resources) || len(a.Resources) > 3 {
			return false
		}
		p.fit.balancedWeight = p.weights[pluginnames.NodeResourcesBalancedAllocation]
		for _, r := range a.Resources {
			p.fit.balancedOn = append(p.fit.balancedOn, corev1.ResourceName(r.Name))
		}
	}
	return true
}
