package scheduler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestFullestFirst: what is held goes to the fullest node that has room.
func TestFullestFirst(t *testing.T) {
	asks := func(node, cpu, memory string) *corev1.Pod {
		r := corev1.ResourceList{}
		if cpu != "" {
			r[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			r[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p-" + node, UID: types.UID("p-" + node)},
			Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: r}}}},
		}
	}
	var nodes []*corev1.Node
	for _, n := range []struct{ name, pods string }{{"empty", "10"}, {"half", "10"}, {"full", "10"}, {"crowded", "1"}, {"virtual", "10"}} {
		nodes = append(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse(n.pods),
		}}})
	}
	s, err := snapshot.New(nodes, []*corev1.Pod{asks("half", "4", "4Gi"), asks("full", "7", "15Gi"), asks("crowded", "1", "1Gi")})
	if err != nil {
		t.Fatal(err)
	}
	m := &member{fork: s.Fork(), virtualNodes: map[string]string{"virtual": "o"}}
	cases := map[string]struct {
		reason string
		pod    *corev1.Pod
		want   []string
	}{
		"CPU":     {reason: "A node with too little CPU is left out.", pod: asks("", "3", ""), want: []string{"half", "empty"}},
		"Memory":  {reason: "So is one with too little memory.", pod: asks("", "", "2Gi"), want: []string{"half", "empty"}},
		"Nothing": {reason: "A pod that asks for nothing only needs a place.", pod: asks("", "", ""), want: []string{"full", "half", "empty"}},
		"Exact":   {reason: "All of what is left is enough.", pod: asks("", "1", "1Gi"), want: []string{"full", "half", "empty"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, m.fullestFirst(tc.pod)); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
