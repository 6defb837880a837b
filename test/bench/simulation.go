package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	// defaultNodes are the sizes of the clusters of the benchmark simulation.
	defaultNodes = "1000,5000"

	// simulatedNamespace must not exist before: scheduler_perf creates it.
	simulatedNamespace = "simulated"

	// schedulerPerf is kube-scheduler, driven by its own benchmark. Its figure
	// includes that its pods are created and bound through its API server.
	schedulerPerf = "scheduler_perf-1.35.3"
	// schedulerAlgorithm is what of that kube-scheduler needs to find a node.
	schedulerAlgorithm = schedulerPerf + "-algorithm"
	karmadaEstimator   = "karmada-estimator-1.18.0"

	manyCopies, fewCopies = 1000, 100
	// rivalCopies are placed by scheduler_perf, which samples once a second and
	// gives no figure when it has too few samples.
	rivalCopies = 3 * manyCopies
	// crowd is the number of pods on each node of the larger cluster of ours.
	crowd              = 20
	maxCrowdMillis     = 50
	maxChangeMicros    = 100
	manyGoal, fewGoal  = 100, 20
	differentGoal      = 3
	warmGoal, coldGoal = 1000, 100
	// simulationRuns of ours, of which the best counts: what it takes when
	// nobody else takes the processors.
	simulationRuns = 7
)

// A family of pods, as scheduler_perf has them.
type family struct {
	name string
	// mods make the pods that are measured of basic ones, existing the kinds of
	// those that are there before, in equal parts.
	mods     []func(*corev1.Pod)
	existing [][]func(*corev1.Pod)
	// different pods have requests and a label of their own, exclusive ones a
	// node.
	different, exclusive bool
}

func families() []family {
	term := func(key string) corev1.PodAffinityTerm {
		return corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"color": "blue"}}}
	}
	blue := func(p *corev1.Pod) { p.Labels = map[string]string{"color": "blue"} }
	spread := func(key string, skew int32) []func(*corev1.Pod) {
		return []func(*corev1.Pod){blue, func(p *corev1.Pod) {
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
				TopologyKey: key, MaxSkew: skew, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: term(key).LabelSelector,
			}}
		}}
	}
	anti := []func(*corev1.Pod){blue, func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(corev1.LabelHostname)}}}
	}}
	attracted := []func(*corev1.Pod){blue, func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(corev1.LabelTopologyZone)}}}
	}}
	preferred := []func(*corev1.Pod){blue, func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: term(corev1.LabelTopologyZone)}}}}
	}}
	plain := [][]func(*corev1.Pod){nil}
	return []family{
		{name: "basic", existing: plain},
		{name: "spread by zone", mods: spread(corev1.LabelTopologyZone, 5), existing: plain},
		{name: "spread by host", mods: spread(corev1.LabelHostname, 1), existing: plain},
		{name: "anti-affinity by host", mods: anti, existing: plain, exclusive: true},
		{name: "affinity by zone", mods: attracted, existing: plain},
		{name: "mixed", existing: [][]func(*corev1.Pod){nil, spread(corev1.LabelTopologyZone, 5), anti, attracted, preferred}},
		{name: "different", different: true, existing: plain},
	}
}

// simulated pods are those of scheduler_perf: 100m and 500Mi.
func simulated(name string, mods ...func(*corev1.Pod)) *corev1.Pod {
	res := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("500Mi")}
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: simulatedNamespace, Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "pause", Image: "registry.k8s.io/pause:3.10.1", Resources: corev1.ResourceRequirements{Requests: res, Limits: res},
		}}},
	}
	for _, fn := range mods {
		fn(p)
	}
	return p
}

// simulatedNode has the given number of CPUs, and 8 GiB of memory for each.
func simulatedNode(name, zone string, cpus int64) *corev1.Node {
	list := corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewQuantity(cpus, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(cpus<<33, resource.BinarySI),
		corev1.ResourcePods: *resource.NewQuantity(110, resource.DecimalSI),
	}
	return &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: zone}},
		Status: corev1.NodeStatus{
			Capacity: list, Allocatable: list,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

// A cluster to simulate.
type simulatedCluster struct {
	nodes []*corev1.Node
	pods  []*corev1.Pod
}

// cluster returns so many nodes with so many existing pods on each.
func (f *family) cluster(nodes int, cpus int64, each int) simulatedCluster {
	var c simulatedCluster
	for i := range nodes {
		n := simulatedNode("node-"+strconv.Itoa(i), "z"+strconv.Itoa(i%3), cpus)
		c.nodes = append(c.nodes, n)
		for k := range each {
			p := simulated(fmt.Sprintf("existing-%d-%d", i, k), f.existing[(i+k)%len(f.existing)]...)
			p.UID, p.Spec.NodeName = types.UID(p.Name), n.Name
			c.pods = append(c.pods, p)
		}
	}
	return c
}

// A timed run of ours.
type timed struct {
	pods    int
	elapsed time.Duration
}

func (t timed) rate() float64 { return float64(t.pods) / t.elapsed.Seconds() }

// place n copies, or n different pods, on the fork, and takes them back.
func (f *family) place(ctx context.Context, sim *simulation.Scheduler, on *snapshot.Fork, n int) (timed, error) {
	m := on.Mark()
	defer on.Revert(m)
	template, batches, each := simulated("measured", f.mods...), 1, n
	if f.different {
		batches, each = n, 1
	}
	began, placed := time.Now(), 0
	for i := range batches {
		if f.different {
			template = simulated("measured", func(p *corev1.Pod) {
				p.Labels = map[string]string{"n": strconv.Itoa(i)}
				p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(int64(100+i%90), resource.DecimalSI), corev1.ResourceMemory: resource.MustParse("500Mi")}
			})
		}
		res, err := sim.Place(ctx, on, template, each)
		if err != nil {
			return timed{}, fmt.Errorf("cannot place: %w", err)
		}
		placed += res.Placed
	}
	out := timed{pods: placed, elapsed: time.Since(began)}
	if placed != n {
		return out, fmt.Errorf("placed %d of %d %s pods", placed, n, f.name)
	}
	return out, nil
}

// best of several runs, of which the first only warms.
func best(fn func() (timed, error)) (timed, error) {
	var all []timed
	for range simulationRuns + 1 {
		t, err := fn()
		if err != nil {
			return t, err
		}
		all = append(all, t)
	}
	return slices.MaxFunc(all[1:], func(a, b timed) int {
		if a.rate() < b.rate() {
			return -1
		}
		return 1
	}), nil
}

// parseNodes reads numbers of nodes that are separated by commas.
func parseNodes(s string) ([]int, error) {
	var out []int
	for _, field := range strings.Split(s, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number of nodes", field)
		}
		out = append(out, n)
	}
	return out, nil
}

// simulate measures the simulation beside kube-scheduler and others that find
// out where pods fit.
func simulate(ctx context.Context, r *run) (outcome, error) {
	sizes, err := parseNodes(r.nodes)
	if err != nil {
		return outcome{}, err
	}
	rivals, err := runSchedulerPerf(ctx, r, families(), sizes)
	if err != nil {
		return outcome{}, err
	}
	packs, err := karpenterRate(ctx, r)
	if err != nil {
		return outcome{}, err
	}
	m := &measured{run: r, out: outcome{met: true}, rivals: rivals, karpenter: packs}
	if m.sim, err = simulation.New(); err != nil {
		return outcome{}, fmt.Errorf("cannot make a simulator: %w", err)
	}
	defer m.sim.Close()
	for _, f := range families() {
		for _, n := range sizes {
			done := r.log.Step("%s, %d nodes", f.name, n)
			if err := m.family(ctx, &f, n); err != nil {
				return m.out, err
			}
			done()
		}
	}
	return m.out, nil
}

// measured is what was measured so far.
type measured struct {
	run       *run
	out       outcome
	sim       *simulation.Scheduler
	rivals    map[string]rivalFigure
	karpenter float64
}

// compare adds a case of pods a second, with the goal to be so many times as fast
// as scheduler_perf, or as its algorithm alone if it was too fast to be sampled.
func (m *measured) compare(name string, rate, goal float64, rival rivalFigure, others map[string]float64) {
	c := Case{Case: name, Ours: round(rate), Rivals: map[string]float64{schedulerAlgorithm: round(1 / rival.algorithm)}}
	for k, v := range others {
		c.Rivals[k] = round(v)
	}
	times, of := rate*rival.algorithm, " its algorithm"
	if rival.throughput > 0 {
		c.Rivals[schedulerPerf] = round(rival.throughput)
		times, of = rate/rival.throughput, ""
	}
	c.Case += fmt.Sprintf(", pods/s: %.0f times%s, goal %.0f: %s", times, of, goal, verdict(times >= goal))
	m.out.cases = append(m.out.cases, c)
	m.out.met = m.out.met && times >= goal
}

// most adds a case without a rival that must not be more than a limit.
func (m *measured) most(name string, value, limit float64) {
	m.out.cases = append(m.out.cases, ours(fmt.Sprintf("%s, goal at most %g: %s", name, limit, verdict(value <= limit)), value))
	m.out.met = m.out.met && value <= limit
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

func (m *measured) family(ctx context.Context, f *family, nodes int) error {
	name := fmt.Sprintf("%s, %d nodes", f.name, nodes)
	rival, ok := m.rivals[rivalKey(f.name, nodes)]
	if !ok || rival.algorithm == 0 {
		return fmt.Errorf("scheduler_perf has no figure for %s", name)
	}
	c := f.cluster(nodes, 4, 1)
	base, err := snapshot.New(c.nodes, c.pods)
	if err != nil {
		return fmt.Errorf("cannot make a cluster: %w", err)
	}
	others := map[string]float64{}
	if f.name == "basic" {
		others[packer] = m.karpenter
	}
	fork := base.Fork()
	many, err := best(func() (timed, error) { return f.place(ctx, m.sim, fork, manyCopies) })
	if err != nil {
		return err
	}
	if f.different {
		m.compare(name+", "+strconv.Itoa(manyCopies)+" pods", many.rate(), differentGoal, rival, nil)
		return nil
	}
	m.compare(name+", "+strconv.Itoa(manyCopies)+" identical", many.rate(), manyGoal, rival, others)
	few, err := best(func() (timed, error) { return f.place(ctx, m.sim, fork, fewCopies) })
	if err != nil {
		return err
	}
	m.compare(name+", "+strconv.Itoa(fewCopies)+" identical", few.rate(), fewGoal, rival, nil)
	if err := m.count(ctx, f, name, base, c, rival); err != nil {
		return err
	}
	return m.crowded(ctx, f, nodes, name)
}

// count measures counting what fits, with a warm snapshot and with a new one.
func (m *measured) count(ctx context.Context, f *family, name string, base *snapshot.Snapshot, c simulatedCluster, rival rivalFigure) error {
	template := simulated("measured", f.mods...)
	fork := base.Fork()
	warm, err := best(func() (timed, error) {
		began := time.Now()
		n, err := m.sim.Count(ctx, fork, template, 1_000_000)
		return timed{pods: n, elapsed: time.Since(began)}, err
	})
	if err != nil {
		return fmt.Errorf("cannot count: %w", err)
	}
	others := map[string]float64{}
	if f.name == "basic" {
		n, err := karmadaEstimate(ctx, m.run, c, template)
		if err != nil {
			return err
		}
		if n.pods != warm.pods {
			return fmt.Errorf("karmada's estimator counts %d %s pods, ours %d", n.pods, f.name, warm.pods)
		}
		others[karmadaEstimator] = n.rate()
	}
	m.compare(fmt.Sprintf("%s, counting all %d that fit, warm", name, warm.pods), warm.rate(), warmGoal, rival, others)
	built, err := best(func() (timed, error) {
		began := time.Now()
		fresh, err := snapshot.New(c.nodes, c.pods)
		if err != nil {
			return timed{}, fmt.Errorf("cannot make a cluster: %w", err)
		}
		n, err := m.sim.Count(ctx, fresh.Fork(), template, 1_000_000)
		return timed{pods: n, elapsed: time.Since(began)}, err
	})
	if err != nil {
		return fmt.Errorf("cannot count: %w", err)
	}
	m.compare(fmt.Sprintf("%s, counting all %d that fit, snapshot built cold", name, built.pods), built.rate(), coldGoal, rival, nil)
	return nil
}

// crowded measures many copies on large nodes with many pods, and what one
// change of one pod costs there.
func (m *measured) crowded(ctx context.Context, f *family, nodes int, name string) error {
	c := f.cluster(nodes, 32, crowd)
	base, err := snapshot.New(c.nodes, c.pods)
	if err != nil {
		return fmt.Errorf("cannot make a cluster: %w", err)
	}
	fork := base.Fork()
	t, err := best(func() (timed, error) { return f.place(ctx, m.sim, fork, manyCopies) })
	if err != nil {
		return err
	}
	m.most(fmt.Sprintf("%s x %d pods, %d identical, ms", name, crowd, manyCopies), float64(t.elapsed.Microseconds())/1000, maxCrowdMillis)
	if f.name != "basic" {
		return nil
	}
	template := simulated("measured", f.mods...)
	changes, err := best(func() (timed, error) {
		began := time.Now()
		for _, p := range c.pods[:fewCopies] {
			if err := fork.RemovePod(p.Spec.NodeName, p); err != nil {
				return timed{}, err
			}
			if err := fork.AddPod(p.Spec.NodeName, p); err != nil {
				return timed{}, err
			}
		}
		out := timed{pods: 2 * fewCopies, elapsed: time.Since(began)}
		_, err := m.sim.Count(ctx, fork, template, 1)
		return out, err
	})
	if err != nil {
		return fmt.Errorf("cannot change pods: %w", err)
	}
	m.most(fmt.Sprintf("%s x %d pods, one change of one pod, µs", name, crowd), 1e6/changes.rate(), maxChangeMicros)
	return nil
}
