package backend

import (
	"context"
	"fmt"
	"maps"
	"sort"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Memory is a Backend without control planes, for tests of the API and for
// benchmarks. Its kubeconfigs point nowhere.
type Memory struct {
	mu       sync.Mutex
	clusters map[string]*MemoryCluster
}

// NewMemory returns a Memory backend.
func NewMemory() *Memory {
	return &Memory{clusters: map[string]*MemoryCluster{}}
}

// Blocking is false.
func (m *Memory) Blocking() bool { return false }

// Create a cluster, which is there at once.
func (m *Memory) Create(_ context.Context, s Spec, h Hooks) (Cluster, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &MemoryCluster{
		backend: m, Spec: s, Hooks: h, nodes: map[string]Node{}, virtual: map[string]bool{}, cordoned: map[string]bool{},
		conditions: map[string][]corev1.NodeCondition{}, pods: map[types.UID]*corev1.Pod{}, events: map[types.UID][]Event{},
	}
	m.clusters[s.ID] = c
	return c, nil
}

// Cluster returns a cluster by id, nil if there is none.
func (m *Memory) Cluster(id string) *MemoryCluster {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clusters[id]
}

// A MemoryCluster remembers its nodes and runs nothing but the pods that a test
// binds to virtual nodes. If its Spec has CoreDNS,
// draining the last node that can be scheduled to never ends, as the
// PodDisruptionBudget of coredns makes it.
type MemoryCluster struct {
	Spec  Spec
	Hooks Hooks

	backend *Memory

	mu         sync.Mutex
	nodes      map[string]Node
	virtual    map[string]bool
	cordoned   map[string]bool
	conditions map[string][]corev1.NodeCondition
	pods       map[types.UID]*corev1.Pod
	events     map[types.UID][]Event
}

// Nodes returns the names of the nodes, sorted.
func (c *MemoryCluster) Nodes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]string, 0, len(c.nodes))
	for n := range maps.Keys(c.nodes) {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// Node returns a node by name.
func (c *MemoryCluster) Node(name string) (Node, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.nodes[name]
	return n, ok
}

// SetCoreDNS scales the pretended coredns to two replicas or to none.
func (c *MemoryCluster) SetCoreDNS(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Spec.CoreDNS = on
}

// Endpoint is an address nobody listens on.
func (c *MemoryCluster) Endpoint() string { return "https://127.0.0.1:1" }

// Kubeconfig that points nowhere.
func (c *MemoryCluster) Kubeconfig(ttl time.Duration) ([]byte, time.Time, error) {
	return []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster: {server: %q}
contexts:
- name: admin
  context: {cluster: kubernetes, user: admin}
current-context: admin
users:
- name: admin
  user: {token: %q}
`, c.Endpoint(), "none-"+c.Spec.ID)), time.Now().Add(ttl), nil
}

// AddNode remembers the node.
func (c *MemoryCluster) AddNode(_ context.Context, n Node) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[n.Name] = n
	return nil
}

// RemoveNode forgets the node.
func (c *MemoryCluster) RemoveNode(_ context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, name)
	delete(c.virtual, name)
	delete(c.cordoned, name)
	delete(c.conditions, name)
	maps.DeleteFunc(c.pods, func(_ types.UID, p *corev1.Pod) bool { return p.Spec.NodeName == name })
	return nil
}

// SetNodeReady does nothing.
func (c *MemoryCluster) SetNodeReady(context.Context, string, bool) error { return nil }

// Drain succeeds at once, unless coredns has nowhere else to go. Pods on virtual
// nodes go.
func (c *MemoryCluster) Drain(_ context.Context, name string) (int, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cordoned[name] = true
	if c.virtual[name] {
		c.drop(func(p *corev1.Pod) bool { return p.Spec.NodeName == name })
		return 0, "", nil
	}
	if c.Spec.CoreDNS && len(c.cordoned) >= len(c.nodes)-len(c.virtual) {
		return 1, "Cannot evict pod as it would violate the pod's disruption budget: kube-system/coredns", nil
	}
	return 0, "", nil
}

// Uncordon the node.
func (c *MemoryCluster) Uncordon(_ context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cordoned, name)
	return nil
}

// Delete the cluster.
func (c *MemoryCluster) Delete(context.Context) error {
	c.backend.mu.Lock()
	defer c.backend.mu.Unlock()
	delete(c.backend.clusters, c.Spec.ID)
	return nil
}
