package day

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
)

// A Service is a Deployment or a StatefulSet.
type Service struct {
	Kind, Name string
	// Template of its replicas.
	Template *scheduler.Template
	// Demand for replicas, for each step of the day.
	Demand []int32

	pod *corev1.Pod
}

// NewService returns a service of a kind whose replicas ask for CPU in
// thousandths and memory in MiB. An error says that no member would store them.
func NewService(kind, name string, milliCPU, memoryMiB int64, demand ...int32) (*Service, error) {
	t := &scheduler.Template{
		Namespace: Namespace, Options: []simulation.PodOption{simulation.OwnedBy("apps/v1", kind, name)},
		Spec: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(milliCPU, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(memoryMiB<<20, resource.BinarySI),
			}}}}},
		},
	}
	p, err := t.Pod(nil)
	if err != nil {
		return nil, err
	}
	return &Service{Kind: kind, Name: name, Template: t, Demand: demand, pod: p}, nil
}

// At returns the demand in a step; after the last step it stays.
func (s *Service) At(step int) int32 { return s.Demand[min(step, len(s.Demand)-1)] }

// A shape is what services of a kind have in common: how much of their peak they
// want at which hour.
type shape struct {
	name string
	// share of all services.
	share int
	// level of the peak at an hour of the day, 0 to 1.
	level func(hour float64) float64
}

// bump is 1 at an hour and falls off within a width of hours, around midnight
// too.
func bump(hour, at, width float64) float64 {
	d := math.Abs(hour - at)
	d = min(d, 24-d)
	return math.Exp(-d * d / (2 * width * width))
}

// shapes of a consumer platform: most traffic follows the people, who come at
// noon and stay in the evening; batch work runs at night; a few live events
// treble within minutes and end as fast.
var shapes = []shape{
	{"feed", 45, func(h float64) float64 { return 0.3 + 0.25*bump(h, 12.5, 2) + 0.7*bump(h, 21, 2.5) }},
	{"trade", 25, func(h float64) float64 { return 0.25 + 0.6*bump(h, 11, 2.5) + 0.5*bump(h, 20, 2) }},
	{"batch", 12, func(h float64) float64 { return 0.15 + 0.85*bump(h, 3.5, 2) }},
	{"flat", 12, func(float64) float64 { return 0.8 }},
	{"live", 6, func(h float64) float64 {
		if h >= 20 && h < 21.5 {
			return 1
		}
		return 0.3
	}},
}

// sizes of replicas: thousandths of a CPU and MiB, with how common they are.
var sizes = []struct {
	share            int
	milliCPU, memory int64
}{{30, 500, 1024}, {30, 1000, 2048}, {20, 2000, 4096}, {10, 2000, 8192}, {7, 4000, 8192}, {3, 6000, 24576}}

// pick returns the index of one of several shares.
func pick(r *rand.Rand, shares []int) int {
	sum := 0
	for _, s := range shares {
		sum += s
	}
	n := r.IntN(sum)
	for i, s := range shares {
		if n -= s; n < 0 {
			return i
		}
	}
	return len(shares) - 1
}

// Services returns a day of services whose demand changes every step, the same
// for the same seed. Their peaks are 2 to 30 replicas, each follows the curve of
// its kind, shifted by up to an hour, with noise of up to 10 %.
func Services(seed uint64, count int, step time.Duration) ([]*Service, error) {
	r := rand.New(rand.NewPCG(seed, 24))
	kinds, weights := make([]int, 0, len(shapes)), make([]int, 0, len(sizes))
	for _, s := range shapes {
		kinds = append(kinds, s.share)
	}
	for _, s := range sizes {
		weights = append(weights, s.share)
	}
	steps := int(24 * time.Hour / step)
	out := make([]*Service, 0, count)
	for i := range count {
		kind, size := shapes[pick(r, kinds)], sizes[pick(r, weights)]
		// Few large ones, many small ones.
		peak := 2 + 28*math.Pow(r.Float64(), 2.5)
		shift := 2*r.Float64() - 1
		if kind.name == "live" {
			shift /= 2
		}
		demand := make([]int32, steps)
		for t := range demand {
			hour := math.Mod(float64(t)*step.Hours()+shift+24, 24)
			noise := 0.9 + 0.2*r.Float64()
			demand[t] = max(1, int32(math.Round(peak*kind.level(hour)*noise)))
		}
		s, err := NewService("Deployment", fmt.Sprintf("%s-%03d", kind.name, i), size.milliCPU, size.memory, demand...)
		if err != nil {
			return nil, fmt.Errorf("cannot make service %d: %w", i, err)
		}
		out = append(out, s)
	}
	return out, nil
}
