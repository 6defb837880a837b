package simulation

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// BenchmarkPlace places 1,000 copies on nodes of 32 CPU that have 20 pods each,
// warm: the snapshot exists, every iteration is taken back. Different places
// pods of which no two are alike, Count only counts.
func BenchmarkPlace(b *testing.B) {
	size := []podMod{requests(corev1.ResourceCPU, "100m"), requests(corev1.ResourceMemory, "200Mi")}
	preferred := func(p *corev1.Pod) {
		affinity(p).PodAffinity = &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 10, PodAffinityTerm: term(zoneLabel, "web")}}}
	}
	families := []struct {
		name string
		mods []podMod
	}{
		{"Basic", nil},
		{"Deployment", []podMod{func(p *corev1.Pod) { OwnedBy("apps/v1", "Deployment", "web")(p, &corev1.PodTemplateSpec{}) }}},
		{"SpreadZone", []podMod{spread(zoneLabel, 5, corev1.DoNotSchedule)}},
		{"SpreadHost", []podMod{spread(corev1.LabelHostname, 1, corev1.DoNotSchedule)}},
		{"SoftSpreadZone", []podMod{spread(zoneLabel, 5, corev1.ScheduleAnyway)}},
		{"AntiAffinityHost", []podMod{antiAffinity(corev1.LabelHostname, "web")}},
		{"AffinityZone", []podMod{podAffinity(zoneLabel, "web")}},
		{"PreferredAffinityZone", []podMod{preferred}},
	}
	for _, nodes := range []int{1000, 5000} {
		base := benchmarkSnapshot(b, nodes)
		for _, fam := range families {
			template := pod(append(size, fam.mods...)...)
			for _, copies := range []int{1, 100, 1000} {
				b.Run(fmt.Sprintf("%s/%d/%d", fam.name, nodes, copies), func(b *testing.B) {
					s, f := scheduler(b), base.Fork()
					m := f.Mark()
					for b.Loop() {
						res, err := s.Place(context.Background(), f, template, copies)
						if err != nil || res.Placed != copies {
							b.Fatalf("Placed %d of %d: %s %v", res.Placed, copies, res.Message, err)
						}
						f.Revert(m)
					}
					b.ReportMetric(float64(copies*b.N)/b.Elapsed().Seconds(), "pods/s")
				})
			}
			b.Run(fmt.Sprintf("%s/%d/Count", fam.name, nodes), func(b *testing.B) {
				s, f := scheduler(b), base.Fork()
				total := 0
				for b.Loop() {
					n, err := s.Count(context.Background(), f, template, 1_000_000)
					if err != nil {
						b.Fatal(err)
					}
					total += n
				}
				b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "pods/s")
			})
			b.Run(fmt.Sprintf("%s/%d/Different", fam.name, nodes), func(b *testing.B) {
				s, f := scheduler(b), base.Fork()
				m := f.Mark()
				k := 0
				for b.Loop() {
					p := pod(append([]podMod{
						requests(corev1.ResourceCPU, fmt.Sprintf("%dm", 50+k%1000)), requests(corev1.ResourceMemory, fmt.Sprintf("%dMi", 100+k%100)), labelled("n", fmt.Sprint(k)),
					}, fam.mods...)...)
					if _, err := s.Place(context.Background(), f, p, 1); err != nil {
						b.Fatal(err)
					}
					if k++; k%1000 == 0 {
						f.Revert(m)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pods/s")
			})
		}
	}
}

func benchmarkSnapshot(b *testing.B, nodes int) *snapshot.Snapshot {
	b.Helper()
	var ns []*corev1.Node
	var ps []*corev1.Pod
	for i := range nodes {
		n := node(fmt.Sprintf("node-%04d", i), label(zoneLabel, fmt.Sprintf("z%d", i%3)), has(corev1.ResourceCPU, "32"), has(corev1.ResourceMemory, "128Gi"))
		ns = append(ns, n)
		for j := range 20 {
			ps = append(ps, pod(on(n.Name, fmt.Sprintf("p-%d-%d", i, j)), labelled("app", fmt.Sprintf("old-%d", (i*20+j)%500)), requests(corev1.ResourceCPU, "500m"), requests(corev1.ResourceMemory, "1Gi")))
		}
	}
	s, err := snapshot.New(ns, ps)
	if err != nil {
		b.Fatal(err)
	}
	return s
}
