// Package backend is what stands behind a simulated cluster: a real Kubernetes
// control plane, or for tests of the API alone a pretence of one.
package backend

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A Spec of a cluster to be created.
type Spec struct {
	ID          string
	Region      string
	Version     string
	ServiceCIDR string
	PodCIDR     string
	// CoreDNS asks for the coredns Deployment with 2 replicas and its
	// PodDisruptionBudget.
	CoreDNS bool
}

// A Node to be added to a cluster.
type Node struct {
	Name          string
	ProviderID    string
	IP            string
	Labels        map[string]string
	Taints        []corev1.Taint
	Unschedulable bool
	Capacity      corev1.ResourceList
	Allocatable   corev1.ResourceList
}

// Hooks are the simulated cloud as seen by a cluster's cloud controller manager
// and CSI driver.
type Hooks interface {
	// EnsureLoadBalancer returns the address of the load balancer of a Service,
	// which it creates at the first call. Key is the Service's UID.
	EnsureLoadBalancer(cluster, key, name string) (address string, err error)
	// ReleaseLoadBalancer of a Service. It is idempotent.
	ReleaseLoadBalancer(cluster, key string)
	// EnsureVolume returns the id of the disk of a PersistentVolumeClaim.
	EnsureVolume(cluster, key, name string, gib int) (disk string, err error)
	// ReleaseVolume of a claim. It is idempotent.
	ReleaseVolume(cluster, key string)
	// PodBound tells of a pod that is bound to a virtual node. It may be called
	// more than once for a pod, and does not block.
	PodBound(cluster string, p *corev1.Pod)
	// PodGone tells that a pod of a virtual node has been deleted. It is
	// idempotent, and does not block.
	PodGone(cluster string, uid types.UID)
}

// An Event of a pod or a node.
type Event struct {
	Type, Reason, Message string
}

// A Backend makes clusters.
type Backend interface {
	// Create a cluster. It may take as long as a control plane takes to start.
	Create(ctx context.Context, s Spec, h Hooks) (Cluster, error)
	// Blocking reports whether calls take real time. Those of a backend that
	// does not block are made in the clock's goroutine, so that a stepped clock
	// gives reproducible results.
	Blocking() bool
}

// A Cluster that was created.
type Cluster interface {
	// Endpoint of the API server, for example "https://127.0.0.1:6443".
	Endpoint() string
	// Kubeconfig of a cluster administrator whose certificate is valid for the
	// supplied real time, and when it expires.
	Kubeconfig(ttl time.Duration) (config []byte, expires time.Time, err error)
	AddNode(ctx context.Context, n Node) error
	// AddVirtualNode registers a node that is no machine. It is Ready as long as
	// it exists. The pods bound to it are told to the Hooks and run only as far
	// as SetPodStatus says; deleted, they are gone at once.
	AddVirtualNode(ctx context.Context, n Node) error
	// SetPodStatus merges a status into that of a pod on a virtual node, and
	// records events for it. A pod that is gone is no error.
	SetPodStatus(ctx context.Context, namespace, name string, uid types.UID, s corev1.PodStatus, events ...Event) error
	// RemoveNode, virtual or not, and the pods on it, without drain. A node that
	// does not exist is no error.
	RemoveNode(ctx context.Context, name string) error
	// SetNodeReady makes a node's kubelet come back or go silent.
	SetNodeReady(ctx context.Context, name string, ready bool) error
	// SetNodeCondition sets a condition of a node, and records an event for it.
	// A node that is gone is no error.
	SetNodeCondition(ctx context.Context, name string, c corev1.NodeCondition, e Event) error
	// ChangeNode sets and removes labels and taints of a node. A node that is gone
	// is no error.
	ChangeNode(ctx context.Context, name string, c Change) error
	// Drain cordons a node and makes one pass of evictions over it. It returns
	// the number of pods that are left, and what blocks the first of them.
	Drain(ctx context.Context, name string) (left int, blocked string, err error)
	// Uncordon a node.
	Uncordon(ctx context.Context, name string) error
	// Delete the cluster with everything in it.
	Delete(ctx context.Context) error
}
