package simulation

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// BenchmarkPlace places 1,000 copies on 1,000 nodes of 32 CPU that have 20 pods
// each, warm: the snapshot exists, every iteration is taken back.
func BenchmarkPlace(b *testing.B) {
	const nodes, perNode, copies = 1000, 20, 1000
	var ns []*corev1.Node
	var ps []*corev1.Pod
	for i := range nodes {
		n := node(fmt.Sprintf("node-%04d", i), label(zoneLabel, fmt.Sprintf("z%d", i%3)), has(corev1.ResourceCPU, "32"), has(corev1.ResourceMemory, "128Gi"))
		ns = append(ns, n)
		for j := range perNode {
			ps = append(ps, pod(on(n.Name, fmt.Sprintf("p-%d-%d", i, j)), labelled("app", "old"), requests(corev1.ResourceCPU, "500m"), requests(corev1.ResourceMemory, "1Gi")))
		}
	}
	base, err := snapshot.New(ns, ps)
	if err != nil {
		b.Fatal(err)
	}
	size := []podMod{requests(corev1.ResourceCPU, "100m"), requests(corev1.ResourceMemory, "200Mi")}
	families := []struct {
		name string
		pod  *corev1.Pod
	}{
		{"Basic", pod(size...)},
		{"Deployment", pod(append(size, func(p *corev1.Pod) { OwnedBy("apps/v1", "Deployment", "web")(p, &corev1.PodTemplateSpec{}) })...)},
		{"SpreadZone", pod(append(size, spread(zoneLabel, 5, corev1.DoNotSchedule))...)},
		{"AntiAffinityHost", pod(append(size, antiAffinity(corev1.LabelHostname, "web"))...)},
		{"AffinityZone", pod(append(size, podAffinity(zoneLabel, "web"))...)},
	}
	for _, fam := range families {
		b.Run(fam.name, func(b *testing.B) {
			s := scheduler(b)
			f := base.Fork()
			m := f.Mark()
			n := copies
			if fam.name != "Basic" {
				n = copies / 10
			}
			for b.Loop() {
				res, err := s.Place(context.Background(), f, fam.pod, n)
				if err != nil || res.Placed != n {
					b.Fatalf("Placed %d of %d: %s %v", res.Placed, n, res.Message, err)
				}
				f.Revert(m)
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}
