package planner

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// deliver makes the nodes that were ordered, as the cloud really has them.
func (w *tester) deliver(change func(*corev1.Node)) {
	o := w.in.Plan.Status.Offerings[0]
	for i := o.Registered; i < o.Nodes; i++ {
		change(w.node("ack", o.Name, fmt.Sprintf("n%d-%d", i, w.in.Now.Unix()), true))
	}
}

// TestNodesThatDoNotHelp: nodes turn out not to be what the plan says, and the
// replica that they were ordered for does not run on them.
func TestNodesThatDoNotHelp(t *testing.T) {
	taint := func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: "cloud/own", Effect: corev1.TaintEffectNoSchedule}}
	}
	cases := map[string]struct {
		reason string
		zones  []string
		change func(*corev1.Node)
		// most nodes that may ever be there, and ever be ordered.
		most, ordered int32
	}{
		"TooOptimistic": {
			reason: "A node has less CPU than the offering says: one is ordered, and not again when it is gone.",
			zones:  []string{"a", "b"},
			change: func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("7") },
			most:   1, ordered: 1,
		},
		"Taint": {
			reason: "A node has a taint that the offering does not tell of: never more than one of them.",
			change: taint,
			most:   1, ordered: 8,
		},
		"Zones": {
			reason: "What is of no use in one zone may be in the other.",
			zones:  []string{"a", "b"},
			change: taint,
			most:   2, ordered: 16,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.elastic("ack", "0", scheduler.Serving)
			w.offering("ack-g", "ack", "8", "1", 10).Zones = tc.zones
			w.demand(1, cpu("7500m"))
			most, ordered := int32(0), int32(0)
			for range 30 {
				o := w.make().Status.Offerings[0]
				most = max(most, o.Nodes+int32(len(o.Release)))
				ordered += max(0, o.Nodes-o.Registered+int32(len(o.Release)))
				if len(o.Release) > 0 {
					w.ns["ack"] = nil
				} else {
					w.deliver(tc.change)
				}
				w.in.Now = w.in.Now.Add(3 * time.Minute)
				w.restart()
			}
			if most != tc.most || ordered > tc.ordered {
				t.Errorf("%s Got at most %d nodes, %d in all; want %d, %d", tc.reason, most, ordered, tc.most, tc.ordered)
			}
		})
	}
}

func TestLessonIsForgotten(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-g", "ack", "8", "1", 10)
	w.demand(1, cpu("7500m"))
	w.expect("Ordered", 1)
	w.deliver(func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("7") })
	w.expect("It does not help", 1)
	w.ns["ack"] = nil
	w.in.Plan.Status.Offerings[0].Nodes = 0
	w.expect("The lesson holds without nodes", 0)
	w.restart()
	w.expect("It survives a restart", 0)
	w.in.Plan.Spec.Offerings[0].Allocatable[corev1.ResourceCPU] = resource.MustParse("16")
	w.expect("The offering is another now", 1)
}

func TestRealNodesAreTheModel(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-g", "ack", "8", "1", 10)
	n := w.node("ack", "ack-g", "n1", true)
	n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("7")
	n.Status.Allocatable["cloud/eni"] = resource.MustParse("3")
	w.pod("ack", "n1", "default", "ReplicaSet")
	// n1 has room for one more. As the plan says, a node took two of 4 CPU.
	w.demand(5, corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), "cloud/eni": resource.MustParse("1")})
	w.expect("Nodes are ordered as they really are", 5)
}

func TestDevicesThatComeLater(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-gpu", "ack", "8", "30", 10).Allocatable["nvidia.com/gpu"] = resource.MustParse("1")
	w.demand(1, corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), "nvidia.com/gpu": resource.MustParse("1")})
	w.expect("Ordered", 1)
	n := w.node("ack", "ack-gpu", "n1", true)
	w.expect("Until the device is registered, the node is still starting", 1)
	n.Status.Allocatable["nvidia.com/gpu"] = resource.MustParse("1")
	w.expect("It takes the replica", 1)
}

func TestNodesThatDoNotBecomeReady(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-a", "ack", "8", "1", 10)
	w.offering("ack-b", "ack", "8", "2", 10)
	w.demand(1, cpu("3"))
	w.expect("The cheapest is ordered", 1)
	w.node("ack", "ack-a", "n1", false)
	w.in.Now = w.in.Now.Add(9 * time.Minute)
	w.expect("It may become Ready", 1)
	w.in.Now = w.in.Now.Add(time.Minute)
	if diff := cmp.Diff(map[string]int32{"ack-a": 1, "ack-b": 1}, nodesOf(w.make().Status)); diff != "" {
		t.Errorf("It did not: the next offering is tried: -want, +got:\n%s", diff)
	}
}

func TestGrowingDemandDoesNotPutOff(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-a", "ack", "8", "1", 10)
	w.offering("ack-b", "ack", "8", "2", 10)
	for i := range int32(5) {
		w.in.Demands = nil
		w.demand(2+2*i, cpu("3"))
		w.make()
		w.in.Now = w.in.Now.Add(2 * time.Minute)
		w.restart()
	}
	if diff := cmp.Diff(map[string]int32{"ack-a": 0, "ack-b": 5}, nodesOf(w.make().Status)); diff != "" {
		t.Errorf("Nothing arrived for ten minutes, however often more was ordered: -want, +got:\n%s", diff)
	}
}

func TestMaximumThatIsLowered(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	o := w.offering("ack-a", "ack", "8", "1", 5)
	limit := int32(5)
	w.in.Plan.Spec.Limits.Nodes = &limit
	for i := range 5 {
		w.node("ack", "ack-a", fmt.Sprintf("n%d", i), true)
		if i < 3 {
			w.pod("ack", fmt.Sprintf("n%d", i), "default", "ReplicaSet")
		}
	}
	w.expect("Taken over", 5)
	o.Max = 3
	w.in.Now = w.in.Now.Add(10 * time.Minute)
	w.expect("The idle ones go, and none in use for them", 3, "n3", "n4")
	w.in.Plan.Status.Offerings[0].Release = nil
	w.in.Memory = Memory{}
	w.offering("ack-b", "ack", "16", "1", 5)
	w.demand(1, cpu("16"))
	if diff := cmp.Diff(map[string]int32{"ack-a": 3, "ack-b": 0}, nodesOf(w.make().Status)); diff != "" {
		t.Errorf("Nodes above the maximum count until they are gone: -want, +got:\n%s", diff)
	}
}
