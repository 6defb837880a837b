package local

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
)

const (
	// A node's lease is renewed well within the grace period of the node
	// lifecycle controller.
	leaseSeconds = 40
	leaseRenewal = 10 * time.Second

	// component is the source of events.
	component = "cloudsim"
)

// AddVirtualNode registers a node that this process is the kubelet of.
func (c *cluster) AddVirtualNode(ctx context.Context, n backend.Node) error {
	now := metav1.Now()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels},
		Spec:       corev1.NodeSpec{Taints: n.Taints, ProviderID: n.ProviderID, Unschedulable: n.Unschedulable},
		Status: corev1.NodeStatus{
			Capacity: n.Capacity, Allocatable: n.Allocatable,
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.IP}, {Type: corev1.NodeHostName, Address: n.Name}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now}},
		},
	}
	made, err := c.cp.Client().CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if kerrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot create node %s: %w", n.Name, err)
	}
	if err := c.createLease(ctx, made); err != nil {
		return err
	}
	watch, stop := context.WithCancel(c.ctx)
	c.mu.Lock()
	c.virtual[n.Name] = stop
	c.mu.Unlock()
	go c.renewLease(watch, n.Name)
	c.watchPods(watch, n.Name)
	return nil
}

// stopVirtual ends the kubelet of a virtual node, if there is one.
func (c *cluster) stopVirtual(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stop := c.virtual[name]; stop != nil {
		stop()
		delete(c.virtual, name)
	}
}

// createLease of a node, which goes with the node.
func (c *cluster) createLease(ctx context.Context, n *corev1.Node) error {
	now := metav1.NowMicro()
	_, err := c.cp.Client().CoordinationV1().Leases(corev1.NamespaceNodeLease).Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &n.Name, LeaseDurationSeconds: ptr.To[int32](leaseSeconds), RenewTime: &now},
	}, metav1.CreateOptions{})
	if err != nil && !kerrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create lease of node %s: %w", n.Name, err)
	}
	return nil
}

func (c *cluster) renewLease(ctx context.Context, node string) {
	t := time.NewTicker(leaseRenewal)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		patch := fmt.Sprintf(`{"spec":{"renewTime":%q}}`, time.Now().UTC().Format(metav1.RFC3339Micro))
		_, err := c.cp.Client().CoordinationV1().Leases(corev1.NamespaceNodeLease).Patch(ctx, node, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil && ctx.Err() == nil {
			c.log.Warn("Cannot renew lease of virtual node", "node", node, "error", err)
		}
	}
}

// watchPods of a virtual node until the context is done. What is deleted is gone
// at once: there is no process that could want a grace period.
func (c *cluster) watchPods(ctx context.Context, node string) {
	f := informers.NewSharedInformerFactoryWithOptions(c.cp.Client(), 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", node).String()
	}))
	seen := func(o any) {
		p, ok := o.(*corev1.Pod)
		if !ok {
			return
		}
		if p.DeletionTimestamp != nil {
			go c.finish(ctx, p)
			return
		}
		c.hooks.PodBound(c.id, p)
	}
	_, err := f.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    seen,
		UpdateFunc: func(_, o any) { seen(o) },
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			if p, ok := o.(*corev1.Pod); ok {
				c.hooks.PodGone(c.id, p.UID)
			}
		},
	})
	if err != nil {
		c.log.Error("Cannot watch pods of virtual node", "node", node, "error", err)
		return
	}
	f.Start(ctx.Done())
}

// finish the deletion of a pod, as its kubelet would.
func (c *cluster) finish(ctx context.Context, p *corev1.Pod) {
	err := c.cp.Client().CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	if err != nil && !kerrors.IsNotFound(err) && !kerrors.IsConflict(err) && ctx.Err() == nil {
		c.log.Warn("Cannot delete pod of virtual node", "pod", p.Namespace+"/"+p.Name, "error", err)
	}
}

// SetPodStatus merges a status into that of a pod on a virtual node.
func (c *cluster) SetPodStatus(ctx context.Context, namespace, name string, uid types.UID, s corev1.PodStatus, events ...backend.Event) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": uid}, "status": s})
	if err != nil {
		return fmt.Errorf("cannot encode status of pod %s/%s: %w", namespace, name, err)
	}
	_, err = c.cp.Client().CoreV1().Pods(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if kerrors.IsNotFound(err) || kerrors.IsConflict(err) {
		return nil // Gone, or another one of that name.
	}
	if err != nil {
		return fmt.Errorf("cannot set status of pod %s/%s: %w", namespace, name, err)
	}
	for _, e := range events {
		c.event(ctx, namespace, corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: namespace, Name: name, UID: uid}, e)
	}
	return nil
}

// SetNodeCondition sets a condition of a node, and records an event for it.
func (c *cluster) SetNodeCondition(ctx context.Context, name string, cond corev1.NodeCondition, e backend.Event) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{cond}}})
	if err != nil {
		return fmt.Errorf("cannot encode condition of node %s: %w", name, err)
	}
	_, err = c.cp.Client().CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if kerrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot set condition of node %s: %w", name, err)
	}
	// Events of nodes carry the node's name as UID, as those of a kubelet do.
	c.event(ctx, metav1.NamespaceDefault, corev1.ObjectReference{Kind: "Node", Name: name, UID: types.UID(name)}, e)
	return nil
}

func (c *cluster) event(ctx context.Context, namespace string, about corev1.ObjectReference, e backend.Event) {
	now := metav1.Now()
	_, err := c.cp.Client().CoreV1().Events(namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: about.Name + ".", Namespace: namespace},
		InvolvedObject: about, Type: e.Type, Reason: e.Reason, Message: e.Message, Source: corev1.EventSource{Component: component},
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}, metav1.CreateOptions{})
	if err != nil && ctx.Err() == nil {
		c.log.Warn("Cannot record event", "about", about.Name, "error", err)
	}
}
