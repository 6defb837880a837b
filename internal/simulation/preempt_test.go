package simulation

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

func prioritized(prio int32) podMod {
	return func(p *corev1.Pod) { p.Spec.Priority = &prio }
}

// waits makes a pod one of a ReplicaSet that waits, for a node that was promised
// to it if that is not empty.
func waits(name, node string) podMod {
	return func(p *corev1.Pod) {
		p.Name, p.UID = name, types.UID(name)
		p.Labels["pod-template-hash"] = "h"
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "rs", UID: "rs", Controller: ptr.To(true)}}
		p.Status.NominatedNodeName = node
	}
}

func TestPlacePriorities(t *testing.T) {
	cpu := func(q string) podMod { return requests(corev1.ResourceCPU, q) }
	full := func(placed int, nodes map[string]int, all int, message string) Result {
		return Result{Placed: placed, Nodes: nodes, Reasons: map[string]int{"Insufficient cpu": all}, Plugins: map[string]int{"NodeResourcesFit": all}, Message: message}
	}
	a, b := node("a"), node("b")
	cases := map[string]struct {
		reason string
		nodes  []*corev1.Node
		pods   []*corev1.Pod
		pod    *corev1.Pod
		n      int
		want   Result
	}{
		"NoPreemption": {
			reason: "No place is counted that others would have to be evicted from.",
			nodes:  []*corev1.Node{a},
			pods:   []*corev1.Pod{pod(on("a", "low"), prioritized(-10), cpu("3"))},
			pod:    pod(prioritized(1000), cpu("1")), n: 2,
			want: full(1, map[string]int{"a": 1}, 1, "0/1 nodes are available: 1 Insufficient cpu."),
		},
		"RoomIsKept": {
			reason: "Room is kept for a pod of the same priority that was promised a node.",
			nodes:  []*corev1.Node{a, b},
			pods:   []*corev1.Pod{pod(waits("w", "a"), prioritized(5), cpu("3"))},
			pod:    pod(prioritized(5), cpu("1")), n: 8,
			want: full(5, map[string]int{"a": 1, "b": 4}, 2, "0/2 nodes are available: 2 Insufficient cpu."),
		},
		"NotFromHigher": {
			reason: "Pods of a higher priority take the room.",
			nodes:  []*corev1.Node{a},
			pods:   []*corev1.Pod{pod(waits("w", "a"), prioritized(5), cpu("3"))},
			pod:    pod(prioritized(6), cpu("1")), n: 8,
			want: full(4, map[string]int{"a": 4}, 1, "0/1 nodes are available: 1 Insufficient cpu."),
		},
		"NodeIsGone": {
			reason: "A promise of a node that is gone holds nothing.",
			nodes:  []*corev1.Node{a},
			pods:   []*corev1.Pod{pod(waits("w", "gone"), prioritized(5), cpu("3"))},
			pod:    pod(cpu("4")), n: 1,
			want: Result{Placed: 1, Nodes: map[string]int{"a": 1}},
		},
		"OtherScheduler": {
			reason: "What another scheduler promises is its own affair.",
			nodes:  []*corev1.Node{a},
			pods:   []*corev1.Pod{pod(waits("w", "a"), prioritized(5), cpu("3"), func(p *corev1.Pod) { p.Spec.SchedulerName = "other" })},
			pod:    pod(cpu("4")), n: 1,
			want: Result{Placed: 1, Nodes: map[string]int{"a": 1}},
		},
		"Redeemed": {
			reason: "A pod that waits gets the node it was promised, though another has more room.",
			nodes:  []*corev1.Node{a, b},
			pods:   []*corev1.Pod{pod(on("a", "x"), cpu("1")), pod(waits("w", "a"), prioritized(5), cpu("3"))},
			pod:    pod(waits("w", "a"), prioritized(5), cpu("3")), n: 1,
			want: Result{Placed: 1, Nodes: map[string]int{"a": 1}},
		},
		"RedeemedElsewhere": {
			reason: "Where its node has no room after all, it goes elsewhere.",
			nodes:  []*corev1.Node{a, b},
			pods:   []*corev1.Pod{pod(on("a", "x"), cpu("2")), pod(waits("w", "a"), prioritized(5), cpu("3"))},
			pod:    pod(waits("w", "a"), prioritized(5), cpu("3")), n: 1,
			want: Result{Placed: 1, Nodes: map[string]int{"b": 1}},
		},
		"Siblings": {
			reason: "Copies of a pod that waits stand for its siblings too, each of which redeems its own promise.",
			nodes:  []*corev1.Node{a, b},
			pods: []*corev1.Pod{
				pod(on("a", "x"), cpu("1")), pod(on("b", "y"), cpu("1")),
				pod(waits("w1", ""), prioritized(5), cpu("3")), pod(waits("w2", "a"), prioritized(5), cpu("3")), pod(waits("w3", "b"), prioritized(5), cpu("3")),
			},
			pod: pod(waits("w1", ""), prioritized(5), cpu("3")), n: 3,
			want: full(2, map[string]int{"a": 1, "b": 1}, 2, "0/2 nodes are available: 2 Insufficient cpu."),
		},
		"StillWaits": {
			reason: "A pod that waits until its node is empty keeps it from its siblings.",
			nodes:  []*corev1.Node{a},
			pods:   []*corev1.Pod{pod(on("a", "x"), cpu("2")), pod(waits("w1", ""), cpu("3")), pod(waits("w2", "a"), cpu("3"))},
			pod:    pod(waits("w1", ""), cpu("3")), n: 2,
			want: full(0, nil, 1, "0/1 nodes are available: 1 Insufficient cpu."),
		},
	}
	s := scheduler(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := fork(t, tc.nodes, tc.pods)
			got, err := s.Place(context.Background(), f, tc.pod, tc.n)
			if err != nil {
				t.Fatalf("\nReason: %s\nPlace(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Result{}, "Pods")); diff != "" {
				t.Errorf("\nReason: %s\nPlace(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestRedeemOnce: a promise is redeemed once, and again only after a Revert.
func TestRedeemOnce(t *testing.T) {
	s := scheduler(t)
	waiting := pod(waits("w", "a"), prioritized(5), requests(corev1.ResourceCPU, "3"))
	f := fork(t, []*corev1.Node{node("a")}, []*corev1.Pod{waiting})
	small := pod(prioritized(5), requests(corev1.ResourceCPU, "1"))
	place := func(p *corev1.Pod, n, want int) {
		t.Helper()
		res, err := s.Place(context.Background(), f, p, n)
		if err != nil {
			t.Fatalf("Place(...): %v", err)
		}
		if res.Placed != want {
			t.Errorf("Place(%s): want %d placed, got %d: %s", p.Name, want, res.Placed, res.Message)
		}
	}
	m := f.Mark()
	place(waiting, 1, 1)
	// Its room is taken by itself now, not kept on top.
	place(small, 4, 1)
	f.Revert(m)
	place(small, 4, 1)
}
