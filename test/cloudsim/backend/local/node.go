package local

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
)

// AddNode registers a node and returns once it is Ready.
func (c *cluster) AddNode(ctx context.Context, n backend.Node) error {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels, Annotations: map[string]string{machineAnnotation: "true"}},
		Spec:       corev1.NodeSpec{Taints: n.Taints, ProviderID: n.ProviderID, Unschedulable: n.Unschedulable},
		Status: corev1.NodeStatus{
			Capacity: n.Capacity, Allocatable: n.Allocatable,
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.IP}, {Type: corev1.NodeHostName, Address: n.Name}},
		},
	}
	if _, err := c.cp.Client().CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil && !kerrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create node %s: %w", n.Name, err)
	}
	return c.cp.WaitNode(ctx, n.Name)
}

// RemoveNode deletes a node and the pods on it, which are gone with the machine.
func (c *cluster) RemoveNode(ctx context.Context, name string) error {
	defer c.stopVirtual(name)
	return c.cp.RemoveNode(ctx, name)
}

// SetNodeReady makes a node's kubelet come back or go silent. A silent one is
// taken out of kwok's hands and reported as not ready.
func (c *cluster) SetNodeReady(ctx context.Context, name string, ready bool) error {
	value := `"true"`
	if ready {
		value = "null"
	}
	nodes := c.cp.Client().CoreV1().Nodes()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, offlineAnnotation, value)
	if _, err := nodes.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("cannot mark node %s: %w", name, err)
	}
	status, reason := corev1.ConditionUnknown, "NodeStatusUnknown"
	if ready {
		status, reason = corev1.ConditionTrue, "KubeletReady"
	}
	patch = fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q,"reason":%q,"lastTransitionTime":%q}]}}`,
		status, reason, metav1.Now().UTC().Format("2006-01-02T15:04:05Z"))
	if _, err := nodes.Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("cannot change readiness of node %s: %w", name, err)
	}
	return nil
}

// Uncordon a node. One that is gone is no error.
func (c *cluster) Uncordon(ctx context.Context, name string) error { return c.cordon(ctx, name, false) }

func (c *cluster) cordon(ctx context.Context, name string, on bool) error {
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, on)
	if _, err := c.cp.Client().CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil && !kerrors.IsNotFound(err) {
		return fmt.Errorf("cannot cordon node %s: %w", name, err)
	}
	return nil
}

// Drain cordons a node and asks for the eviction of each of its pods once, as
// ACK does: through the eviction API, which honours PodDisruptionBudgets.
// DaemonSet pods stay.
func (c *cluster) Drain(ctx context.Context, name string) (int, string, error) {
	if err := c.cordon(ctx, name, true); err != nil {
		return 0, "", err
	}
	pods, err := c.cp.Client().CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
	if err != nil {
		return 0, "", fmt.Errorf("cannot list pods of node %s: %w", name, err)
	}
	left, blocked := 0, ""
	for i := range pods.Items {
		p := &pods.Items[i]
		if !evictable(p) {
			continue
		}
		left++
		if p.DeletionTimestamp != nil {
			continue
		}
		e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace}}
		err := c.cp.Client().PolicyV1().Evictions(p.Namespace).Evict(ctx, e)
		switch {
		case err == nil, kerrors.IsNotFound(err), kerrors.IsConflict(err):
		case kerrors.IsTooManyRequests(err):
			if blocked == "" {
				blocked = fmt.Sprintf("%s/%s: %v", p.Namespace, p.Name, err)
			}
		default:
			return left, blocked, fmt.Errorf("cannot evict pod %s/%s: %w", p.Namespace, p.Name, err)
		}
	}
	return left, blocked, nil
}

func evictable(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return false
	}
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	o := metav1.GetControllerOf(p)
	return o == nil || o.Kind != "DaemonSet"
}
