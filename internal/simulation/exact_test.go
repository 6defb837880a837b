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
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	rackLabel = "example.org/rack"
	gpu       = corev1.ResourceName("example.org/gpu")
)

var randomNamespaces = []snapshot.Object{
	&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"team": "a"}}},
	&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: map[string]string{"team": "b"}}},
	&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "db"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "db"}}},
}

// randomCluster is small and crowded, so that everything binds.
func randomCluster(r *rand.Rand) ([]*corev1.Node, []*corev1.Pod) {
	var nodes []*corev1.Node
	for i := range 3 + r.IntN(12) {
		nodes = append(nodes, randomNode(r, fmt.Sprintf("n%02d", i)))
	}
	var pods []*corev1.Pod
	for i := range r.IntN(15) {
		p := randomPod(r)
		on(nodes[r.IntN(len(nodes))].Name, fmt.Sprintf("p%d", i))(p)
		if r.IntN(8) == 0 {
			p.DeletionTimestamp = &metav1.Time{}
		}
		pods = append(pods, p)
	}
	return nodes, pods
}

func randomNode(r *rand.Rand, name string) *corev1.Node {
	mods := []nodeMod{
		label(zoneLabel, fmt.Sprintf("z%d", r.IntN(3))),
		label(rackLabel, fmt.Sprintf("r%d", r.IntN(5))),
		has(corev1.ResourceCPU, fmt.Sprint(1+r.IntN(6))),
		has(corev1.ResourceMemory, fmt.Sprintf("%dGi", 2+r.IntN(14))),
	}
	maybe := func(one int, m nodeMod) {
		if r.IntN(one) == 0 {
			mods = append(mods, m)
		}
	}
	maybe(6, taint("t", corev1.TaintEffectNoSchedule))
	maybe(6, taint("soft", corev1.TaintEffectPreferNoSchedule))
	maybe(6, taint("softer", corev1.TaintEffectPreferNoSchedule))
	maybe(8, cordoned)
	maybe(8, func(n *corev1.Node) { delete(n.Labels, zoneLabel) })
	maybe(12, func(n *corev1.Node) { delete(n.Labels, corev1.LabelHostname) })
	maybe(12, label(zoneLabel, ""))
	maybe(3, has(gpu, fmt.Sprint(r.IntN(4))))
	maybe(3, has(corev1.ResourceEphemeralStorage, "2Gi"))
	maybe(6, has(corev1.ResourcePods, fmt.Sprint(1+r.IntN(5))))
	maybe(3, func(n *corev1.Node) {
		n.Status.Images = []corev1.ContainerImage{{Names: []string{"web:1"}, SizeBytes: int64(1+r.IntN(900)) << 20}}
	})
	return node(name, mods...)
}

func randomPod(r *rand.Rand) *corev1.Pod {
	apps := []string{"web", "db", "cache"}
	keys := []string{zoneLabel, corev1.LabelHostname, rackLabel}
	key := func() string { return keys[r.IntN(len(keys))] }
	app := func() string { return apps[r.IntN(3)] }
	when := func() corev1.UnsatisfiableConstraintAction {
		return []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}[r.IntN(2)]
	}
	randomTerm := func() corev1.PodAffinityTerm {
		t := term(key(), app())
		switch r.IntN(12) {
		case 0:
			t.LabelSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{app()}}}}
		case 1:
			t.Namespaces = []string{"other"}
		case 2:
			t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}
		case 3:
			t.NamespaceSelector = &metav1.LabelSelector{}
		case 4:
			t.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"b"}}}}
		case 5:
			t.LabelSelector = nil
		}
		return t
	}
	preferred := func() []corev1.WeightedPodAffinityTerm {
		var out []corev1.WeightedPodAffinityTerm
		for range 1 + r.IntN(2) {
			out = append(out, corev1.WeightedPodAffinityTerm{Weight: int32(1 + r.IntN(100)), PodAffinityTerm: randomTerm()})
		}
		return out
	}
	mods := []podMod{labelled("app", app()), labelled("rev", fmt.Sprint(r.IntN(2)))}
	maybe := func(one int, m podMod) {
		if r.IntN(one) == 0 {
			mods = append(mods, m)
		}
	}
	if r.IntN(10) > 0 {
		mods = append(mods, requests(corev1.ResourceCPU, fmt.Sprintf("%dm", 100+r.IntN(900))), requests(corev1.ResourceMemory, fmt.Sprintf("%dMi", 128+r.IntN(1024))))
	}
	maybe(6, func(p *corev1.Pod) { p.Namespace = "other" })
	maybe(6, func(p *corev1.Pod) {
		a := &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{randomTerm()}}
		if r.IntN(3) == 0 {
			a.RequiredDuringSchedulingIgnoredDuringExecution = append(a.RequiredDuringSchedulingIgnoredDuringExecution, randomTerm())
		}
		affinity(p).PodAntiAffinity = a
	})
	maybe(6, func(p *corev1.Pod) {
		a := &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{randomTerm()}}
		if r.IntN(3) == 0 {
			a.RequiredDuringSchedulingIgnoredDuringExecution = append(a.RequiredDuringSchedulingIgnoredDuringExecution, randomTerm())
		}
		affinity(p).PodAffinity = a
	})
	maybe(5, func(p *corev1.Pod) {
		if affinity(p).PodAntiAffinity == nil {
			affinity(p).PodAntiAffinity = &corev1.PodAntiAffinity{}
		}
		affinity(p).PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = preferred()
	})
	maybe(5, func(p *corev1.Pod) {
		if affinity(p).PodAffinity == nil {
			affinity(p).PodAffinity = &corev1.PodAffinity{}
		}
		affinity(p).PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = preferred()
	})
	maybe(5, nodeIn(zoneLabel, "z0", "z1"))
	maybe(6, func(p *corev1.Pod) {
		if affinity(p).NodeAffinity == nil {
			affinity(p).NodeAffinity = &corev1.NodeAffinity{}
		}
		affinity(p).NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.PreferredSchedulingTerm{{
			Weight:     int32(1 + r.IntN(100)),
			Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: rackLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{"r1", "r2"}}}},
		}}
	})
	maybe(3, tolerates("t"))
	maybe(6, tolerates("softer"))
	for range 3 {
		maybe(5, spread(key(), int32(1+r.IntN(3)), when()))
	}
	maybe(8, func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
	})
	maybe(8, requests(gpu, "1"))
	maybe(8, requests(corev1.ResourceEphemeralStorage, "500Mi"))
	maybe(3, func(p *corev1.Pod) { OwnedBy("apps/v1", "Deployment", "web")(p, &corev1.PodTemplateSpec{}) })
	p := pod(mods...)
	for i := range p.Spec.TopologySpreadConstraints {
		c := &p.Spec.TopologySpreadConstraints[i]
		c.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app()}}
		honor, ignore := corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore
		switch r.IntN(8) {
		case 0:
			c.NodeAffinityPolicy = &ignore
		case 1:
			c.NodeTaintsPolicy = &honor
		case 2:
			c.LabelSelector = &metav1.LabelSelector{}
		case 3:
			c.LabelSelector = nil
		case 4:
			c.MatchLabelKeys = []string{"rev"}
		case 5:
			if n := int32(1 + r.IntN(4)); c.WhenUnsatisfiable == corev1.DoNotSchedule {
				c.MinDomains = &n
			}
		}
	}
	return p
}

// configurations of kube-scheduler, the last of which quick runs do not know.
func configurations(t *testing.T) map[string]*config.KubeSchedulerConfiguration {
	out := map[string]*config.KubeSchedulerConfiguration{}
	for name, change := range map[string]func(any){
		"Default": func(any) {},
		"Arguments": func(args any) {
			switch a := args.(type) {
			case *config.InterPodAffinityArgs:
				a.HardPodAffinityWeight, a.IgnorePreferredTermsOfExistingPods = 70, true
			case *config.PodTopologySpreadArgs:
				a.DefaultingType = config.ListDefaulting
				a.DefaultConstraints = []corev1.TopologySpreadConstraint{
					{TopologyKey: rackLabel, MaxSkew: 2, WhenUnsatisfiable: corev1.DoNotSchedule},
					{TopologyKey: zoneLabel, MaxSkew: 1, WhenUnsatisfiable: corev1.ScheduleAnyway},
				}
			case *config.NodeResourcesFitArgs:
				a.ScoringStrategy.Resources = []config.ResourceSpec{{Name: "cpu", Weight: 3}, {Name: "ephemeral-storage", Weight: 2}}
			case *config.NodeResourcesBalancedAllocationArgs:
				a.Resources = append(a.Resources, config.ResourceSpec{Name: "ephemeral-storage", Weight: 1})
			}
		},
		"Other": func(args any) {
			if a, ok := args.(*config.NodeResourcesFitArgs); ok {
				a.ScoringStrategy.Type = config.MostAllocated
			}
		},
	} {
		c, err := latest.Default()
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Profiles[0].PluginConfig {
			change(c.Profiles[0].PluginConfig[i].Args)
		}
		out[name] = c
	}
	return out
}

// TestQuickIsExact proves on random clusters that what is kept from one copy to
// the next, and from one pod to the next, changes neither places nor reasons,
// against running every plugin on every node for every copy.
func TestQuickIsExact(t *testing.T) {
	scenarios := uint64(500)
	if testing.Short() {
		scenarios = 200
	}
	for name, cfg := range configurations(t) {
		t.Run(name, func(t *testing.T) {
			quick, naive := schedulerOf(t, cfg, false), schedulerOf(t, cfg, true)
			for seed := range scenarios {
				r := rand.New(rand.NewPCG(seed, 1))
				nodes, pods := randomCluster(r)
				p := randomPod(r)
				for i := range r.IntN(4) {
					sibling := *p
					on(nodes[r.IntN(len(nodes))].Name, fmt.Sprintf("s%d", i))(&sibling)
					pods = append(pods, &sibling)
				}
				a, b := fork(t, nodes, pods, randomNamespaces...), fork(t, nodes, pods, randomNamespaces...)
				ma, mb := a.Mark(), b.Mark()
				for i := range 8 {
					if r.IntN(3) > 0 {
						p = randomPod(r)
					}
					n := 1 + r.IntN(30)
					switch extra := randomNode(r, fmt.Sprintf("n%02da", r.IntN(12))); r.IntN(5) {
					case 0:
						a.Revert(ma)
						b.Revert(mb)
					case 1:
						errA, errB := a.AddNode(extra), b.AddNode(extra)
						if (errA == nil) != (errB == nil) {
							t.Fatalf("Seed %d: AddNode: %v, %v", seed, errA, errB)
						}
					case 2:
						gone := a.At(r.IntN(a.NumNodes())).Node().Name
						if a.NumNodes() > 1 && (a.RemoveNode(gone) != nil || b.RemoveNode(gone) != nil) {
							t.Fatalf("Seed %d: RemoveNode failed", seed)
						}
					}
					counted, err := quick.Count(context.Background(), b, p, n)
					if err != nil {
						t.Fatalf("Seed %d: %v", seed, err)
					}
					want, err := naive.Place(context.Background(), a, p, n)
					if err != nil {
						t.Fatalf("Seed %d: %v", seed, err)
					}
					got, err := quick.Place(context.Background(), b, p, n)
					if err != nil {
						t.Fatalf("Seed %d: %v", seed, err)
					}
					if counted != want.Placed {
						t.Fatalf("Seed %d, pod %d: Count(): want %d, got %d", seed, i, want.Placed, counted)
					}
					if diff := cmp.Diff(order(want), order(got)); diff != "" {
						t.Fatalf("Seed %d, pod %d: places: -every plugin, +quick:\n%s", seed, i, diff)
					}
					if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Result{}, "Pods")); diff != "" {
						t.Fatalf("Seed %d, pod %d: -every plugin, +quick:\n%s", seed, i, diff)
					}
				}
			}
			if some := quick.free[0].quickRuns > 0; some != (name != "Other") || naive.free[0].quickRuns > 0 {
				t.Errorf("Quick runs: %d, of the naive scheduler %d", quick.free[0].quickRuns, naive.free[0].quickRuns)
			}
		})
	}
}

func schedulerOf(t *testing.T, cfg *config.KubeSchedulerConfiguration, naive bool) *Scheduler {
	t.Helper()
	s, err := New(WithConfiguration(cfg), func(s *Scheduler) { s.naive = naive })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
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
