package simulation

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Capacity finds out how many copies of a pod, up to limit, fit on one fresh
// node of a template that carries only the supplied daemon pods. The node is
// alone in the world: constraints between nodes, such as topology spread over
// zones or anti-affinity to pods elsewhere, do not show; to see those, add the
// node to a fork of the member's snapshot and place there. Objects are those of
// the member the node would join, so that claims and classes are found; nil is
// none.
func Capacity(ctx context.Context, s Simulator, node *corev1.Node, daemons []*corev1.Pod, pod *corev1.Pod, objs *snapshot.Objects, limit int) (Result, error) {
	f := snapshot.NewWithObjects([]*corev1.Node{node}, onNode(daemons, node.Name), objs).Fork()
	res, err := s.Place(ctx, f, pod, limit)
	if err != nil {
		return res, fmt.Errorf("cannot find the capacity of node template %q: %w", node.Name, err)
	}
	return res, nil
}

func onNode(pods []*corev1.Pod, node string) []*corev1.Pod {
	out := make([]*corev1.Pod, 0, len(pods))
	for _, p := range pods {
		c := *p
		c.Spec.NodeName = node
		out = append(out, &c)
	}
	return out
}
