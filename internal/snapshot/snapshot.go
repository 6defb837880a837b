// Package snapshot keeps a picture of every member cluster in memory, up to
// date by its watch events, and gives out immutable snapshots of it and forks
// of those, on which placements can be tried, kept or taken back.
//
// A Member is the live cache of one cluster, a Registry the set of them. A
// Snapshot is what a Member knew at one moment; it shares its content with the
// Member and with other snapshots, so it costs a pointer for each node. A Fork
// is a private, changeable view of a Snapshot, and what a kube-scheduler
// framework reads as its SharedLister.
package snapshot

import (
	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// A Snapshot is an immutable view of one cluster. It is safe for concurrent
// use. Nothing reached from it may be changed; make a Fork for that.
type Snapshot struct {
	generation int64
	// nodes by name. All are *framework.NodeInfo with a Node.
	nodes     []fwk.NodeInfo
	index     map[string]int
	devices   []string
	objects   *Objects
	workloads countsView
	pending   []*corev1.Pod
}

// New returns a snapshot of a cluster that consists of the supplied nodes, pods
// and other objects: for tests, for clusters that exist only as a template, and
// for questions. A pod whose UID is empty gets one made of its namespace and
// name. Pods that succeeded or failed are left out, as kube-scheduler does. The
// snapshot keeps the supplied objects, which must not be changed afterwards. An
// error says that an object is of a type snapshots do not hold.
func New(nodes []*corev1.Node, pods []*corev1.Pod, objs ...Object) (*Snapshot, error) {
	o, err := NewObjects(objs...)
	if err != nil {
		return nil, err
	}
	return NewWithObjects(nodes, pods, o), nil
}

// NewWithObjects is New for objects that are in order already, such as those of
// another snapshot.
func NewWithObjects(nodes []*corev1.Node, pods []*corev1.Pod, o *Objects) *Snapshot {
	c := newContent()
	for _, n := range nodes {
		c.setNode(n)
	}
	for _, p := range pods {
		c.setPod(withUID(p))
	}
	return c.snapshot(o)
}

// Generation is higher in every newer snapshot of the same Member; equal
// generations of one Member are the same snapshot.
func (s *Snapshot) Generation() int64 { return s.generation }

// NumNodes returns the number of nodes.
func (s *Snapshot) NumNodes() int { return len(s.nodes) }

// Nodes returns all nodes with the pods on them, ordered by name.
func (s *Snapshot) Nodes() []fwk.NodeInfo { return s.nodes }

// Node returns the named node with the pods on it, or nil.
func (s *Snapshot) Node(name string) *framework.NodeInfo {
	if i, ok := s.index[name]; ok {
		return s.nodes[i].(*framework.NodeInfo)
	}
	return nil
}

// WithDevices returns the names of the nodes that can allocate extended resources,
// such as GPUs, in order. The slice must not be changed.
func (s *Snapshot) WithDevices() []string { return s.devices }

// Objects returns the objects other than nodes and pods.
func (s *Snapshot) Objects() *Objects { return s.objects }

// Pending returns the pods that have no node, in the order of kube-scheduler's
// queue: by priority, then age. It includes pods held back by scheduling gates
// and pods that are terminating.
func (s *Snapshot) Pending() []*corev1.Pod { return s.pending }

// Workload returns the counts of the pods of one workload; they are zero if
// there are none.
func (s *Snapshot) Workload(k WorkloadKey) Counts { return s.workloads.get(k) }

// Workloads returns the counts of all workloads that have pods, in a new map.
func (s *Snapshot) Workloads() map[WorkloadKey]Counts { return s.workloads.all() }

// Fork returns a private view of the snapshot that can be changed. It costs one
// pointer for each node; NodeInfos are cloned when they change.
func (s *Snapshot) Fork() *Fork { return newFork(s) }
