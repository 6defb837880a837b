package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWithDevices(t *testing.T) {
	node := func(name string, devices string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("8"), "hugepages-2Mi": resource.MustParse("1Gi"), "example.org/gpu": resource.MustParse(devices),
		}}}
	}
	world := NewWithObjects([]*corev1.Node{node("b", "1"), node("a", "4"), node("c", "0")}, nil, nil).Edit()
	steps := []struct {
		reason string
		change func()
		want   []string
	}{
		{"Nodes that can allocate devices are there, in order.", func() {}, []string{"a", "b"}},
		{"A node got devices.", func() { world.SetNode(node("c", "2")) }, []string{"a", "b", "c"}},
		{"A node lost its devices.", func() { world.SetNode(node("a", "0")) }, []string{"b", "c"}},
		{"A node is gone.", func() { world.DeleteNode("c") }, []string{"b"}},
		{"The last one is gone.", func() { world.DeleteNode("b") }, nil},
	}
	var taken []*Snapshot
	for _, s := range steps {
		s.change()
		taken = append(taken, world.Snapshot())
	}
	for i, s := range steps {
		if diff := cmp.Diff(s.want, taken[i].WithDevices(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("\nReason: %s\nWithDevices(): -want, +got:\n%s", s.reason, diff)
		}
	}
}
