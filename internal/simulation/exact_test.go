package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// randomCluster is small and crowded, so that everything binds.
func randomCluster(r *rand.Rand) ([]*corev1.Node, []*corev1.Pod) {
	var nodes []*corev1.Node
	for i := range 3 + r.IntN(12) {
		mods := []nodeMod{
			label(zoneLabel, fmt.Sprintf("z%d", r.IntN(3))),
			has(corev1.ResourceCPU, fmt.Sprint(1+r.IntN(6))),
			has(corev1.ResourceMemory, fmt.Sprintf("%dGi", 2+r.IntN(14))),
		}
		if r.IntN(6) == 0 {
			mods = append(mods, taint("t", corev1.TaintEffectNoSchedule))
		}
		if r.IntN(6) == 0 {
			mods = append(mods, taint("soft", corev1.TaintEffectPreferNoSchedule))
		}
		if r.IntN(8) == 0 {
			mods = append(mods, cordoned)
		}
		if r.IntN(8) == 0 {
			mods = append(mods, func(n *corev1.Node) { delete(n.Labels, zoneLabel) })
		}
		nodes = append(nodes, node(fmt.Sprintf("n%02d", i), mods...))
	}
	var pods []*corev1.Pod
	for i := range r.IntN(15) {
		p := randomPod(r)
		on(nodes[r.IntN(len(nodes))].Name, fmt.Sprintf("p%d", i))(p)
		pods = append(pods, p)
	}
	return nodes, pods
}

func randomPod(r *rand.Rand) *corev1.Pod {
	apps := []string{"web", "db", "cache"}
	keys := []string{zoneLabel, corev1.LabelHostname}
	key := func() string { return keys[r.IntN(2)] }
	app := func() string { return apps[r.IntN(3)] }
	mods := []podMod{
		labelled("app", app()),
		requests(corev1.ResourceCPU, fmt.Sprintf("%dm", 100+r.IntN(900))),
		requests(corev1.ResourceMemory, fmt.Sprintf("%dMi", 128+r.IntN(1024))),
	}
	maybe := func(one int, m podMod) {
		if r.IntN(one) == 0 {
			mods = append(mods, m)
		}
	}
	maybe(5, antiAffinity(key(), app()))
	maybe(6, podAffinity(key(), app()))
	maybe(5, nodeIn(zoneLabel, "z0", "z1"))
	maybe(3, tolerates("t"))
	maybe(5, spread(key(), int32(1+r.IntN(3)), corev1.DoNotSchedule))
	maybe(5, spread(key(), int32(1+r.IntN(3)), corev1.ScheduleAnyway))
	maybe(8, func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
	})
	maybe(5, func(p *corev1.Pod) {
		affinity(p).PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 10, PodAffinityTerm: term(key(), app())}}}
	})
	maybe(3, func(p *corev1.Pod) { OwnedBy("apps/v1", "Deployment", "web")(p, &corev1.PodTemplateSpec{}) })
	p := pod(mods...)
	for i := range p.Spec.TopologySpreadConstraints {
		p.Spec.TopologySpreadConstraints[i].LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app()}}
	}
	return p
}

// TestReuseIsExact proves on random clusters that what is kept from one copy to
// the next changes neither places nor reasons, against running every plugin on
// every node for every copy.
func TestReuseIsExact(t *testing.T) {
	fast := scheduler(t)
	slow, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Close)
	slow.naive = true
	slow.free = nil

	const scenarios = 600
	for seed := range uint64(scenarios) {
		r := rand.New(rand.NewPCG(seed, 1))
		nodes, pods := randomCluster(r)
		a, b := fork(t, nodes, pods), fork(t, nodes, pods)
		for range 3 {
			p, n := randomPod(r), 1+r.IntN(30)
			want, err := slow.Place(context.Background(), a, p, n)
			if err != nil {
				t.Fatalf("Seed %d: %v", seed, err)
			}
			got, err := fast.Place(context.Background(), b, p, n)
			if err != nil {
				t.Fatalf("Seed %d: %v", seed, err)
			}
			if diff := cmp.Diff(order(want), order(got)); diff != "" {
				t.Fatalf("Seed %d: places: -every plugin, +reuse:\n%s", seed, diff)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Result{}, "Pods")); diff != "" {
				t.Fatalf("Seed %d: -every plugin, +reuse:\n%s", seed, diff)
			}
		}
	}
}

func order(r Result) []string {
	var out []string
	for _, p := range r.Pods {
		out = append(out, p.Spec.NodeName)
	}
	return out
}

func TestConcurrentPlace(t *testing.T) {
	s := scheduler(t)
	nodes, _ := randomCluster(rand.New(rand.NewPCG(1, 1)))
	want := -1
	results := make(chan int)
	for range 8 {
		go func() {
			res, err := s.Place(context.Background(), fork(t, nodes, nil), pod(requests(corev1.ResourceCPU, "500m")), 1000)
			if err != nil {
				t.Error(err)
			}
			results <- res.Placed
		}()
	}
	for range 8 {
		got := <-results
		if want >= 0 && got != want {
			t.Errorf("Concurrent calls on equal forks: want %d placed, got %d", want, got)
		}
		want = got
	}
}
