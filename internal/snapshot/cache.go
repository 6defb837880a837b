package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// A content is the changing picture of one cluster. Snapshots are taken of it
// without copying: a NodeInfo that a snapshot holds is cloned when it changes
// next, so that a change costs the pods of one node and a snapshot one pointer
// for each node. It is not safe for concurrent use.
type content struct {
	// nodes by name, also those that are known only from the pods on them.
	nodes map[string]*nodeEntry
	// order has the nodes whose Node object is known, by name.
	order []*nodeEntry
	// index of nodes in order; shared with snapshots, replaced on change.
	index map[string]int
	// touched since the last snapshot.
	touched []*nodeEntry
	// images counts the nodes that have an image, by image name.
	images map[string]int

	pods      map[types.UID]*podRecord
	pending   map[types.UID]*corev1.Pod
	workloads map[WorkloadKey]Counts
	members   map[WorkloadKey]map[types.UID]struct{}

	// epoch is the number of snapshots taken.
	epoch int64
	last  *Snapshot

	nodesDirty, pendingDirty, workloadsDirty bool
}

type nodeEntry struct {
	name  string
	info  *framework.NodeInfo
	epoch int64
}

type podRecord struct {
	pod      *corev1.Pod
	counts   Counts
	workload WorkloadKey
	owned    bool
}

func newContent() *content {
	return &content{
		nodes:     map[string]*nodeEntry{},
		index:     map[string]int{},
		images:    map[string]int{},
		pods:      map[types.UID]*podRecord{},
		pending:   map[types.UID]*corev1.Pod{},
		workloads: map[WorkloadKey]Counts{},
		members:   map[WorkloadKey]map[types.UID]struct{}{},
	}
}

// cloneInfo returns a copy that can be changed. NodeInfo's own clone recounts
// the nodes of each image from a set that only kube-scheduler's cache fills, so
// the image states, which nobody changes in place, are carried over.
func cloneInfo(ni *framework.NodeInfo) *framework.NodeInfo {
	c := ni.SnapshotConcrete()
	c.ImageStates = ni.ImageStates
	return c
}

// entry returns the named node for change.
func (c *content) entry(name string) *nodeEntry {
	e, ok := c.nodes[name]
	switch {
	case !ok:
		e = &nodeEntry{name: name, info: framework.NewNodeInfo(), epoch: c.epoch}
		c.nodes[name] = e
		c.touched = append(c.touched, e)
	case e.epoch != c.epoch:
		e.info = cloneInfo(e.info)
		e.epoch = c.epoch
		c.touched = append(c.touched, e)
	}
	c.nodesDirty = true
	return e
}

func compareEntry(e *nodeEntry, name string) int { return strings.Compare(e.name, name) }

// setNode adds or updates a node. It reports whether that changes anything for
// a scheduler.
func (c *content) setNode(n *corev1.Node) bool {
	if e, ok := c.nodes[n.Name]; ok && e.info.Node() != nil {
		if sameNode(e.info.Node(), n) {
			return false
		}
		c.countImages(e.info.Node(), -1)
	}
	c.countImages(n, 1)
	e := c.entry(n.Name)
	known := e.info.Node() != nil
	e.info.SetNode(n)
	if !known {
		i, _ := slices.BinarySearchFunc(c.order, n.Name, compareEntry)
		c.order = slices.Insert(c.order, i, e)
		c.index = nil
	}
	return true
}

// deleteNode removes a node. Its pods stay known until they are deleted too,
// but no snapshot shows them on a node.
func (c *content) deleteNode(name string) bool {
	e, ok := c.nodes[name]
	if !ok || e.info.Node() == nil {
		return false
	}
	c.countImages(e.info.Node(), -1)
	e = c.entry(name)
	e.info.RemoveNode()
	if i, ok := slices.BinarySearchFunc(c.order, name, compareEntry); ok {
		c.order = slices.Delete(c.order, i, i+1)
	}
	c.index = nil
	if len(e.info.Pods) == 0 {
		delete(c.nodes, name)
	}
	return true
}

func (c *content) countImages(n *corev1.Node, sign int) {
	for _, img := range n.Status.Images {
		for _, name := range img.Names {
			c.images[name] += sign
			if c.images[name] <= 0 {
				delete(c.images, name)
			}
		}
	}
}

// setPod adds or updates a pod. It reports whether that changes anything for a
// scheduler, or a workload's counts.
func (c *content) setPod(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return c.deletePod(p.UID)
	}
	counts := countsOf(p)
	if old, ok := c.pods[p.UID]; ok {
		if sameForScheduling(old.pod, p) {
			// The pod on its NodeInfo is as good as the new one for a scheduler,
			// but not for who looks at the pods of a node.
			steered := old.pod.Annotations[corev1.PodDeletionCost] != p.Annotations[corev1.PodDeletionCost]
			old.pod = p
			changed := old.counts != counts || steered
			if changed && p.Spec.NodeName != "" {
				c.replacePod(p)
			}
			if changed {
				c.count(old, -1)
				old.counts = counts
				c.count(old, 1)
			}
			if p.Spec.NodeName == "" {
				c.pending[p.UID] = p
				c.pendingDirty = true
			}
			return changed
		}
		c.deletePod(p.UID)
	}
	r := &podRecord{pod: p, counts: counts}
	r.workload, r.owned = WorkloadOf(p)
	c.pods[p.UID] = r
	c.count(r, 1)
	if p.Spec.NodeName == "" {
		c.pending[p.UID] = p
		c.pendingDirty = true
		return true
	}
	c.entry(p.Spec.NodeName).info.AddPod(p)
	return true
}

// replacePod puts a pod in the place of an older one that is the same for a
// scheduler.
func (c *content) replacePod(p *corev1.Pod) {
	ni := c.entry(p.Spec.NodeName).info
	for _, list := range [][]fwk.PodInfo{ni.Pods, ni.PodsWithAffinity, ni.PodsWithRequiredAntiAffinity} {
		for i := range list {
			if pi, ok := list[i].(*framework.PodInfo); ok && pi.Pod.UID == p.UID {
				with := *pi
				with.Pod = p
				list[i] = &with
				break
			}
		}
	}
}

// deletePod forgets a pod. It reports whether it was known.
func (c *content) deletePod(uid types.UID) bool {
	r, ok := c.pods[uid]
	if !ok {
		return false
	}
	delete(c.pods, uid)
	c.count(r, -1)
	name := r.pod.Spec.NodeName
	if name == "" {
		delete(c.pending, uid)
		c.pendingDirty = true
		return true
	}
	e := c.entry(name)
	// It cannot fail: every record with a node was added to that node.
	_ = e.info.RemovePod(klog.Background(), r.pod)
	if e.info.Node() == nil && len(e.info.Pods) == 0 {
		delete(c.nodes, name)
	}
	return true
}

func (c *content) count(r *podRecord, sign int) {
	if !r.owned {
		return
	}
	c.workloadsDirty = true
	n := c.workloads[r.workload].plus(r.counts, sign)
	if n == (Counts{}) {
		delete(c.workloads, r.workload)
	} else {
		c.workloads[r.workload] = n
	}
	m := c.members[r.workload]
	if sign < 0 {
		delete(m, r.pod.UID)
		if len(m) == 0 {
			delete(c.members, r.workload)
		}
		return
	}
	if m == nil {
		m = map[types.UID]struct{}{}
		c.members[r.workload] = m
	}
	m[r.pod.UID] = struct{}{}
}

// podsOf returns the pods of a workload, oldest first.
func (c *content) podsOf(k WorkloadKey) []*corev1.Pod {
	out := make([]*corev1.Pod, 0, len(c.members[k]))
	for uid := range c.members[k] {
		out = append(out, c.pods[uid].pod)
	}
	slices.SortFunc(out, byAge)
	return out
}

// snapshot returns the present content with the supplied objects.
func (c *content) snapshot(objs *Objects) *Snapshot {
	if c.last != nil && !c.nodesDirty && !c.pendingDirty && !c.workloadsDirty && c.last.objects == objs {
		return c.last
	}
	s := &Snapshot{generation: c.epoch + 1, objects: objs}
	for _, e := range c.touched {
		if n := e.info.Node(); n != nil && (len(n.Status.Images) > 0 || len(e.info.ImageStates) > 0) {
			e.info.ImageStates = c.imageStates(n)
		}
	}
	c.touched = nil
	if c.index == nil {
		c.index = make(map[string]int, len(c.order))
		for i, e := range c.order {
			c.index[e.name] = i
		}
	}
	s.index = c.index
	if c.last != nil && !c.nodesDirty {
		s.nodes = c.last.nodes
	} else {
		s.nodes = make([]fwk.NodeInfo, len(c.order))
		for i, e := range c.order {
			s.nodes[i] = e.info
		}
	}
	if c.last != nil && !c.pendingDirty {
		s.pending = c.last.pending
	} else {
		s.pending = slices.SortedFunc(maps.Values(c.pending), byPriority)
	}
	if c.last != nil && !c.workloadsDirty {
		s.workloads = c.last.workloads
	} else {
		s.workloads = maps.Clone(c.workloads)
	}
	c.nodesDirty, c.pendingDirty, c.workloadsDirty = false, false, false
	c.epoch++
	c.last = s
	return s
}

// imageStates says, like kube-scheduler's cache, on how many nodes each image
// of a node is. As there, a node learns of images that came to other nodes only
// when it changes itself.
func (c *content) imageStates(n *corev1.Node) map[string]*fwk.ImageStateSummary {
	out := make(map[string]*fwk.ImageStateSummary, len(n.Status.Images))
	for _, img := range n.Status.Images {
		for _, name := range img.Names {
			out[name] = &fwk.ImageStateSummary{Size: img.SizeBytes, NumNodes: c.images[name]}
		}
	}
	return out
}

func byAge(a, b *corev1.Pod) int {
	if d := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); d != 0 {
		return d
	}
	if d := strings.Compare(a.Namespace, b.Namespace); d != 0 {
		return d
	}
	if d := strings.Compare(a.Name, b.Name); d != 0 {
		return d
	}
	return strings.Compare(string(a.UID), string(b.UID))
}

// byPriority orders pods as kube-scheduler's queue does: the higher priority
// first, then the older.
func byPriority(a, b *corev1.Pod) int {
	pa, pb := priority(a), priority(b)
	switch {
	case pa > pb:
		return -1
	case pa < pb:
		return 1
	}
	return byAge(a, b)
}

func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// withUID returns the pod, or if it has no UID a copy with one made of its
// name: NodeInfo keeps pods by UID.
func withUID(p *corev1.Pod) *corev1.Pod {
	if p.UID != "" {
		return p
	}
	c := *p
	c.UID = types.UID(fmt.Sprintf("%s/%s", p.Namespace, p.Name))
	return &c
}
