package backend

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// A Change of a node's labels and taints. What is removed is removed before the
// rest is set.
type Change struct {
	SetLabels    map[string]string
	RemoveLabels []string
	SetTaints    []corev1.Taint
	RemoveTaints []corev1.Taint
}

// Apply the change to labels and taints, which are not touched.
func (c Change) Apply(labels map[string]string, taints []corev1.Taint) (map[string]string, []corev1.Taint) {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	for _, key := range c.RemoveLabels {
		delete(out, key)
	}
	maps.Copy(out, c.SetLabels)
	left := slices.DeleteFunc(slices.Clone(taints), func(t corev1.Taint) bool {
		return slices.ContainsFunc(slices.Concat(c.RemoveTaints, c.SetTaints), func(o corev1.Taint) bool { return o.MatchTaint(&t) })
	})
	return out, append(left, c.SetTaints...)
}

// ChangeNode changes the node.
func (c *MemoryCluster) ChangeNode(_ context.Context, name string, change Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.nodes[name]; ok {
		n.Labels, n.Taints = change.Apply(n.Labels, n.Taints)
		c.nodes[name] = n
	}
	return nil
}
