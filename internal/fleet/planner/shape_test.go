package planner

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// TestVirtualNodes: they look as their offering says, one in each zone.
func TestVirtualNodes(t *testing.T) {
	w := newTester(t)
	w.elastic("tke", "0", scheduler.Absent)
	o := w.offering("tke-fast", "tke", "8", "1", 5)
	o.Region, o.Zones = "ap-guangzhou", []string{"ap-guangzhou-3", "ap-guangzhou-4"}
	o.Source = &fleetv1alpha1.OfferingSource{Cloud: fleetv1alpha1.CloudTKE}
	o.Labels = map[string]string{"node.kubernetes.io/instance-type": "eklet"}
	o.Taints = []corev1.Taint{{Key: "eklet", Effect: corev1.TaintEffectNoSchedule}}
	o.Virtual = &fleetv1alpha1.VirtualCapacity{NodeLabels: map[string]string{fleetv1alpha1.LabelOffering: "tke-fast"}}
	w.offering("tke-s", "tke", "8", "1", 5)
	nodes, err := VirtualNodes(w.in, "tke-fast")
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string]bool{}
	for _, n := range nodes {
		zones[n.Labels[corev1.LabelTopologyZone]] = true
		want := map[string]string{
			"node.kubernetes.io/instance-type": "eklet", fleetv1alpha1.LabelOffering: "tke-fast", corev1.LabelHostname: n.Name,
			corev1.LabelTopologyRegion: "gz", corev1.LabelTopologyZone: n.Labels[corev1.LabelTopologyZone],
		}
		if diff := cmp.Diff(want, n.Labels); diff != "" {
			t.Errorf("\nReason: A node has the labels of its offering, in the words of its cloud\nVirtualNodes(...): -want, +got:\n%s", diff)
		}
		if got := n.Status.Allocatable[corev1.ResourceCPU]; got.Cmp(resource.MustParse("40")) != 0 || n.Status.Allocatable.Pods().Value() != 5 || len(n.Spec.Taints) != 1 || !isReady(n) {
			t.Errorf("\nReason: It takes five pods of the largest size, from those that tolerate it\nVirtualNodes(...): got %+v %+v", n.Spec, n.Status)
		}
	}
	if len(nodes) != 2 || len(zones) != 2 {
		t.Errorf("\nReason: There is one in each zone\nVirtualNodes(...): got %d in %v", len(nodes), zones)
	}
	for _, name := range []string{"tke-s", "nope"} {
		if _, err := VirtualNodes(w.in, name); err == nil {
			t.Errorf("\nReason: It has no virtual nodes\nVirtualNodes(%s): want an error", name)
		}
	}
}
