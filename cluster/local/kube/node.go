package kube

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// nodeTimeout bounds how long kwok may take to make a node Ready.
const nodeTimeout = time.Minute

// volumeClass is the storage class whose volumes kwok provides, and its
// provisioner.
const (
	volumeClass       = "kwok-volume"
	volumeProvisioner = "kwok.x-k8s.io/volume"
)

// A Node is a node played by kwok.
type Node struct {
	Name string

	// Capacity of the node, all of it allocatable. There should be cpu, memory
	// and pods.
	Capacity corev1.ResourceList

	// Allocatable is less than the capacity, if it is given.
	Allocatable corev1.ResourceList

	// Labels besides the usual ones for hostname, architecture and system.
	Labels      map[string]string
	Annotations map[string]string
	Taints      []corev1.Taint
	ProviderID  string

	// Conditions besides those of kwok. They are set once.
	Conditions []corev1.NodeCondition
}

// AddNode creates a node, or updates one of that name. It does not wait until
// the node is Ready, which takes kwok a moment.
func (cp *ControlPlane) AddNode(ctx context.Context, n Node) error {
	labels := map[string]string{
		corev1.LabelHostname:   n.Name,
		corev1.LabelArchStable: "amd64",
		corev1.LabelOSStable:   "linux",
	}
	maps.Copy(labels, n.Labels)
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels, Annotations: n.Annotations},
		Spec:       corev1.NodeSpec{Taints: n.Taints, ProviderID: n.ProviderID},
		Status:     corev1.NodeStatus{Capacity: n.Capacity, Allocatable: n.Allocatable, Conditions: n.Conditions},
	}
	if node.Status.Allocatable == nil {
		node.Status.Allocatable = n.Capacity
	}
	_, err := cp.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if kerrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot create node %s: %w", n.Name, err)
	}
	return nil
}

// RemoveNode deletes a node and everything that ran on it, as when its machine
// is gone. An unknown node is no error.
func (cp *ControlPlane) RemoveNode(ctx context.Context, name string) error {
	if err := cp.client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !kerrors.IsNotFound(err) {
		return fmt.Errorf("cannot delete node %s: %w", name, err)
	}
	pods, err := cp.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
	if err != nil {
		return fmt.Errorf("cannot list pods of node %s: %w", name, err)
	}
	for _, p := range pods.Items {
		err := cp.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &p.UID}})
		if err != nil && !kerrors.IsNotFound(err) && !kerrors.IsConflict(err) {
			return fmt.Errorf("cannot delete pod %s/%s: %w", p.Namespace, p.Name, err)
		}
	}
	return nil
}

// WaitNode waits until a node is Ready.
func (cp *ControlPlane) WaitNode(ctx context.Context, name string) error {
	err := poll(ctx, nodeTimeout, func(ctx context.Context) (bool, error) {
		n, err := cp.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("cannot get node: %w", err)
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.Status == corev1.ConditionTrue, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("node %s did not become ready: %w", name, err)
	}
	return nil
}

// AddStorageClass adds a default storage class whose volumes kwok provides.
func (cp *ControlPlane) AddStorageClass(ctx context.Context) error {
	_, err := cp.client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        volumeClass,
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner: volumeProvisioner,
	}, metav1.CreateOptions{})
	if err != nil && !kerrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create storage class: %w", err)
	}
	return nil
}
