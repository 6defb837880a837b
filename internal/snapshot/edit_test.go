package snapshot

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestEdit: snapshots of an edit are those of the same content, the one that was
// edited stays as it is, and what did not change is shared.
func TestEdit(t *testing.T) {
	yes := true
	node := func(name string) *corev1.Node { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	pod := func(name, node string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "web", Controller: &yes}}},
			Spec:       corev1.PodSpec{NodeName: node},
		}
	}
	claim := func(name, volume string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: volume}}
	}
	// content of a snapshot.
	content := func(s *Snapshot) map[string][]string {
		out := map[string][]string{"counts": {fmt.Sprint(s.Workload(WorkloadKey{"default", "StatefulSet", "web"}))}}
		for _, ni := range s.Nodes() {
			out[ni.Node().Name] = []string{}
			for _, pi := range ni.GetPods() {
				out[ni.Node().Name] = append(out[ni.Node().Name], pi.GetPod().Name)
			}
		}
		for _, p := range s.Pending() {
			out["pending"] = append(out["pending"], p.Name)
		}
		for _, o := range s.Objects().Set(PersistentVolumeClaims).Items() {
			out["claims"] = append(out["claims"], o.GetName()+"="+o.(*corev1.PersistentVolumeClaim).Spec.VolumeName)
		}
		return out
	}
	base, err := New([]*corev1.Node{node("a"), node("b"), node("c")}, []*corev1.Pod{pod("p1", "a"), pod("p2", "b"), pod("p3", "c"), pod("p4", "")}, claim("x", ""), claim("y", "v1"))
	if err != nil {
		t.Fatal(err)
	}
	before := content(base)
	e := base.Edit()
	if diff := cmp.Diff(before, content(e.Snapshot())); diff != "" {
		t.Errorf("\nReason: Nothing was edited\nSnapshot(): -want, +got:\n%s", diff)
	}
	first := e.Snapshot()
	e.DeleteNode("b")
	e.SetNode(node("d"))
	e.SetPod(pod("p5", "d"))
	e.DeletePod(pod("p3", "c"))
	e.DeletePod(pod("p4", ""))
	if err := e.Put(claim("x", "v2"), claim("z", "")); err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(claim("y", "")); err != nil {
		t.Fatal(err)
	}
	got := e.Snapshot()
	want, err := New([]*corev1.Node{node("a"), node("c"), node("d")}, []*corev1.Pod{pod("p1", "a"), pod("p5", "d")}, claim("x", "v2"), claim("z", ""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(content(want), content(got)); diff != "" {
		t.Errorf("\nReason: It is as if it had been made so\nSnapshot(): -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(before, content(base)); diff != "" {
		t.Errorf("\nReason: What was edited is immutable\nEdit(): -want, +got:\n%s", diff)
	}
	if got.Node("a") != first.Node("a") || got.Node("c") == first.Node("c") {
		t.Errorf("\nReason: Nodes on which nothing changed are shared\nSnapshot(): a is shared: %t, c is: %t", got.Node("a") == first.Node("a"), got.Node("c") == first.Node("c"))
	}
	var names []string
	for _, p := range e.PodsOf(WorkloadKey{"default", "StatefulSet", "web"}) {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"p1", "p5"}, names); diff != "" {
		t.Errorf("\nReason: Pods are found by their workload\nPodsOf(...): -want, +got:\n%s", diff)
	}
}
