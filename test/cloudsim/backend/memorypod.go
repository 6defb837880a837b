package backend

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// AddVirtualNode remembers the node. Pods come by BindPod.
func (c *MemoryCluster) AddVirtualNode(_ context.Context, n Node) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[n.Name] = n
	c.virtual[n.Name] = true
	return nil
}

// BindPod plays a pod that the scheduler has bound to the virtual node in its
// spec. A pod without UID gets one.
func (c *MemoryCluster) BindPod(p *corev1.Pod) error {
	c.mu.Lock()
	if !c.virtual[p.Spec.NodeName] {
		c.mu.Unlock()
		return fmt.Errorf("there is no virtual node %q", p.Spec.NodeName)
	}
	p = p.DeepCopy()
	if p.UID == "" {
		p.UID = types.UID("uid-" + p.Namespace + "-" + p.Name)
	}
	c.pods[p.UID] = p
	bound := p.DeepCopy()
	c.mu.Unlock()
	c.Hooks.PodBound(c.Spec.ID, bound)
	return nil
}

// DeletePod plays the deletion of a pod. One that does not exist is no error.
func (c *MemoryCluster) DeletePod(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(func(p *corev1.Pod) bool { return p.Namespace == namespace && p.Name == name })
}

// drop pods and tell the cloud. The lock is held, except while the cloud is
// told: it may want to know the cluster's state.
func (c *MemoryCluster) drop(match func(*corev1.Pod) bool) {
	var gone []types.UID
	for uid, p := range c.pods {
		if match(p) {
			gone = append(gone, uid)
			delete(c.pods, uid)
			delete(c.events, uid)
		}
	}
	slices.Sort(gone)
	c.mu.Unlock()
	defer c.mu.Lock()
	for _, uid := range gone {
		c.Hooks.PodGone(c.Spec.ID, uid)
	}
}

// Pod returns a pod and the events of it.
func (c *MemoryCluster) Pod(namespace, name string) (*corev1.Pod, []Event, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid, p := range c.pods {
		if p.Namespace == namespace && p.Name == name {
			return p.DeepCopy(), slices.Clone(c.events[uid]), true
		}
	}
	return nil, nil, false
}

// SetPodStatus replaces a pod's status.
func (c *MemoryCluster) SetPodStatus(_ context.Context, _, _ string, uid types.UID, s corev1.PodStatus, events ...Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pods[uid]; p != nil {
		p.Status = *s.DeepCopy()
		c.events[uid] = append(c.events[uid], events...)
	}
	return nil
}

// SetNodeCondition remembers the condition.
func (c *MemoryCluster) SetNodeCondition(_ context.Context, name string, cond corev1.NodeCondition, _ Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.nodes[name]; ok {
		rest := slices.DeleteFunc(c.conditions[name], func(o corev1.NodeCondition) bool { return o.Type == cond.Type })
		c.conditions[name] = append(rest, cond)
	}
	return nil
}

// NodeCondition returns a condition that was set, or false.
func (c *MemoryCluster) NodeCondition(name string, t corev1.NodeConditionType) (corev1.NodeCondition, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.conditions[name] {
		if o.Type == t {
			return o, true
		}
	}
	return corev1.NodeCondition{}, false
}
