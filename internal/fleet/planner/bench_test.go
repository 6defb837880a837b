package planner

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// BenchmarkMake plans for 10,000 replicas of 50 shapes and 60 offerings.
func BenchmarkMake(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	w := newTester(&testing.T{})
	w.elastic("ack", "0", scheduler.Serving)
	for _, family := range []struct {
		name string
		gib  int
		base float64
	}{{"c", 2, 0.040}, {"g", 4, 0.050}, {"r", 8, 0.065}, {"hc", 1, 0.037}} {
		for gen := range 3 {
			for _, cpus := range []int{4, 8, 16, 32, 64} {
				o := w.offering(fmt.Sprintf("%s%d-%d", family.name, gen, cpus), "ack", "1", fmt.Sprintf("%.4f", family.base*float64(cpus)*(1+0.03*float64(gen))), 500)
				o.Allocatable = corev1.ResourceList{
					corev1.ResourceCPU: *resource.NewMilliQuantity(int64(cpus*1000-200), resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(int64(cpus*family.gib)<<30-(1<<30), resource.BinarySI), corev1.ResourcePods: resource.MustParse("110"),
				}
			}
		}
	}
	for i := range 50 {
		d := w.demand(200, corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(int64(100*(1+r.IntN(40))), resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(int64(128*(1+r.IntN(100)))<<20, resource.BinarySI),
		})
		d.Binding = fmt.Sprintf("default/w%d", i)
	}
	for b.Loop() {
		st, m := w.in.Plan.Status, w.in.Memory
		out := w.make()
		n := int32(0)
		for _, o := range out.Status.Offerings {
			n += o.Nodes
		}
		b.ReportMetric(float64(n), "nodes")
		b.Logf("cost %s, %s", out.Status.HourlyCost, out.Status.Phase)
		again := w.make()
		b.Logf("again: %d changes", len(again.Records))
		w.in.Plan.Status, w.in.Memory = st, m
	}
}
