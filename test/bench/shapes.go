package main

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/cluster/local/kube"
)

const (
	gpu corev1.ResourceName = "nvidia.com/gpu"

	// diskLabel is on some nodes of the self-built member, and on all in the
	// cloud.
	diskLabel, fastDisk = "bench.example.org/disk", "fast"

	randomShapes = 10

	// maxReplicas of a random shape.
	maxReplicas = 60
)

var zones = []string{"zone-a", "zone-b", "zone-c"}

// A shape is a self-built member, what runs there already, and a workload that
// is scaled.
type shape struct {
	name string
	home []kube.Node
	// load is pods that Karmada does not manage.
	load []*corev1.Pod
	pod  corev1.PodSpec
	// replicas asked for, one step after the other.
	replicas []int32
}

// shapes are the case that was first measured, and random ones. What a
// self-built member can run of each does not depend on which of equal nodes
// kube-scheduler prefers, so that one trial is enough to judge by.
func shapes(seed uint64) []shape {
	reference := shape{name: "3 CPU on 4 nodes of 8", replicas: []int32{10, 20, 6}}
	for i := range 4 {
		reference.home = append(reference.home, machine(fmt.Sprintf("home-%d", i), 8, 32, 0, nil))
	}
	reference.pod = podOf(3000, 1024, 0)
	out := []shape{reference}

	r := rand.New(rand.NewPCG(seed, 1))
	kinds := []func(r *rand.Rand, s *shape){byCPU, byMemory, byGPU, byNode, byZone, byHost, besideLoad}
	for i := range randomShapes {
		s := shape{}
		kinds[i%len(kinds)](r, &s)
		s.replicas = []int32{around(r, &s)}
		s.name = fmt.Sprintf("random %d, %s", i, s.name)
		out = append(out, s)
	}
	return out
}

// around is a number of replicas from three quarters to one and a half of what
// the sums of the nodes would hold: where it is hard to say what fits.
func around(r *rand.Rand, s *shape) int32 {
	sum := corev1.ResourceList{}
	for _, n := range s.home {
		for name, q := range n.Capacity {
			have := sum[name]
			have.Add(q)
			sum[name] = have
		}
	}
	fits := int64(maxReplicas)
	for name, q := range s.pod.Containers[0].Resources.Requests {
		have := sum[name]
		fits = min(fits, have.MilliValue()/q.MilliValue())
	}
	if s.pod.Affinity != nil && s.pod.Affinity.PodAntiAffinity != nil {
		fits = int64(len(s.home))
	}
	return int32(min(maxReplicas, max(2, fits*(75+r.Int64N(75))/100))) //nolint:gosec // At most maxReplicas.
}

// machines are 3 to 6 nodes of different sizes, over all zones.
func machines(r *rand.Rand, gpus bool) []kube.Node {
	var out []kube.Node
	for i := range 3 + r.IntN(4) {
		cpu := []int64{4, 8, 16}[r.IntN(3)]
		n := int64(0)
		if gpus && (i == 0 || r.IntN(2) == 0) {
			n = 1 + r.Int64N(4)
		}
		out = append(out, machine(fmt.Sprintf("home-%d", i), cpu, cpu*(2+2*r.Int64N(3)), n, map[string]string{corev1.LabelTopologyZone: zones[i%len(zones)]}))
	}
	return out
}

func byCPU(r *rand.Rand, s *shape) {
	s.name = "CPU"
	s.home = machines(r, false)
	s.pod = podOf(1100+100*r.Int64N(40), 256, 0)
}

func byMemory(r *rand.Rand, s *shape) {
	s.name = "CPU and memory"
	s.home = machines(r, false)
	s.pod = podOf(500+100*r.Int64N(20), 1024*(2+r.Int64N(8)), 0)
}

func byGPU(r *rand.Rand, s *shape) {
	s.name = "GPU"
	s.home = machines(r, true)
	s.pod = podOf(500+500*r.Int64N(4), 1024, 1+r.Int64N(2))
}

func byNode(r *rand.Rand, s *shape) {
	s.name = "node affinity"
	s.home = machines(r, false)
	for i := range s.home {
		if i == 0 || r.IntN(2) == 0 {
			s.home[i].Labels[diskLabel] = fastDisk
		}
	}
	s.pod = podOf(600+100*r.Int64N(20), 512, 0)
	s.pod.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: diskLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{fastDisk}}},
		}}},
	}}
}

func byZone(r *rand.Rand, s *shape) {
	s.name = "spread over zones"
	s.home = machines(r, false)
	s.pod = podOf(1000+100*r.Int64N(20), 512, 0)
	s.pod.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": workloadName}},
	}}
}

func byHost(r *rand.Rand, s *shape) {
	s.name = "anti-affinity"
	s.home = machines(r, false)
	s.pod = podOf(500+100*r.Int64N(10), 512, 0)
	s.pod.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey:   corev1.LabelHostname,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": workloadName}},
		}},
	}}
	s.replicas = []int32{int32(len(s.home)) + r.Int32N(6)}
}

func besideLoad(r *rand.Rand, s *shape) {
	s.name = "beside other load"
	s.home = machines(r, false)
	for i, n := range s.home {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("load-%d", i)}, Spec: podOf(500+100*r.Int64N(30), 512+512*r.Int64N(6), 0)}
		p.Spec.NodeName = n.Name
		s.load = append(s.load, p)
	}
	s.pod = podOf(1000+100*r.Int64N(20), 1024, 0)
}

// rentedNodes are ample for every shape.
func rentedNodes(member string) []kube.Node {
	var out []kube.Node
	for i := range 12 {
		out = append(out, machine(fmt.Sprintf("%s-%d", member, i), 64, 512, 8, map[string]string{
			corev1.LabelTopologyZone: zones[i%len(zones)], diskLabel: fastDisk,
		}))
	}
	return out
}

// machine with CPUs, GiB of memory and GPUs.
func machine(name string, cpu, gib, gpus int64, labels map[string]string) kube.Node {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(cpu, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(gib<<30, resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(110, resource.DecimalSI),
	}
	if gpus > 0 {
		capacity[gpu] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	return kube.Node{Name: name, Capacity: capacity, Labels: labels}
}

// podOf requests thousandths of a CPU, MiB of memory, and GPUs.
func podOf(milli, mib, gpus int64) corev1.PodSpec {
	requests := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(milli, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(mib<<20, resource.BinarySI),
	}
	if gpus > 0 {
		requests[gpu] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	return corev1.PodSpec{Containers: []corev1.Container{container(requests)}}
}
