package snapshot

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
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
	// devices are the names of the nodes that have any, in order; shared with
	// snapshots, replaced on change.
	devices []string
	// images of nodes by name, and how often they changed.
	images     map[string]*imageEntry
	imageEpoch int64

	pods map[types.UID]*podRecord
	// parts of PodInfos that pods of a template share; nil if that is not worth
	// its cost.
	parts map[partsKey]*sharedParts
	// pending pods in the order of kube-scheduler's queue; shared with the last
	// snapshot unless it changed since.
	pending   []*corev1.Pod
	workloads map[WorkloadKey]*workloadPods
	counts    countsLog

	// epoch is the number of snapshots taken.
	epoch int64
	last  *Snapshot

	nodesDirty, pendingDirty, workloadsDirty bool
}

type nodeEntry struct {
	name  string
	info  *framework.NodeInfo
	epoch int64
	// images is when its image states were made.
	images int64
}

// An imageEntry counts the nodes that have an image, and has what was last said
// of it, which the nodes share.
type imageEntry struct {
	nodes int
	state *fwk.ImageStateSummary
}

// A podRecord is a pod that is known. Its info is on a NodeInfo as soon as the
// pod has a node, and not changed any more.
type podRecord struct {
	info framework.PodInfo
	// workload of the pod, and its place there; nil if it has none.
	workload *workloadPods
	at       int32
}

// workloadPods are the pods of one workload, in no order.
type workloadPods struct {
	key    WorkloadKey
	counts Counts
	pods   []*podRecord
}

func newContent() *content {
	return &content{
		nodes:     map[string]*nodeEntry{},
		index:     map[string]int{},
		images:    map[string]*imageEntry{},
		pods:      map[types.UID]*podRecord{},
		workloads: map[WorkloadKey]*workloadPods{},
	}
}

// cloneInfo returns a copy that can be changed. NodeInfo's own clone recounts
// the nodes of each image from a set that only kube-scheduler's cache fills, so
// the image states, which nobody changes in place, are carried over.
func cloneInfo(ni *framework.NodeInfo) *framework.NodeInfo {
	bare := *ni
	bare.ImageStates = nil
	c := bare.SnapshotConcrete()
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
	var before []corev1.ContainerImage
	if e, ok := c.nodes[n.Name]; ok && e.info.Node() != nil {
		if sameNode(e.info.Node(), n) {
			return false
		}
		before = e.info.Node().Status.Images
	}
	e := c.entry(n.Name)
	if !slices.EqualFunc(before, n.Status.Images, sameImage) {
		c.countImages(before, -1)
		c.countImages(n.Status.Images, 1)
		e.images = 0
	}
	known := e.info.Node() != nil
	e.info.SetNode(n)
	c.setDevices(n.Name, hasDevices(n))
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
	c.countImages(e.info.Node().Status.Images, -1)
	e = c.entry(name)
	e.images = 0
	e.info.RemoveNode()
	c.setDevices(name, false)
	if i, ok := slices.BinarySearchFunc(c.order, name, compareEntry); ok {
		c.order = slices.Delete(c.order, i, i+1)
	}
	c.index = nil
	if len(e.info.Pods) == 0 {
		delete(c.nodes, name)
	}
	return true
}

func (c *content) setDevices(name string, has bool) {
	i, had := slices.BinarySearch(c.devices, name)
	switch {
	case has && !had:
		c.devices = slices.Insert(slices.Clone(c.devices), i, name)
	case had && !has:
		c.devices = slices.Delete(slices.Clone(c.devices), i, i+1)
	}
}

func hasDevices(n *corev1.Node) bool {
	for name, q := range n.Status.Allocatable {
		if v1helper.IsExtendedResourceName(name) && !q.IsZero() {
			return true
		}
	}
	return false
}

func sameImage(a, b corev1.ContainerImage) bool {
	return a.SizeBytes == b.SizeBytes && slices.Equal(a.Names, b.Names)
}

func (c *content) countImages(images []corev1.ContainerImage, sign int) {
	if len(images) > 0 {
		c.imageEpoch++
	}
	for _, img := range images {
		for _, name := range img.Names {
			e := c.images[name]
			if e == nil {
				e = &imageEntry{}
				c.images[name] = e
			}
			e.nodes += sign
			if e.nodes <= 0 {
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
	if r, ok := c.pods[p.UID]; ok {
		if old := r.info.Pod; sameForScheduling(old, p) && sameWorkload(old, p) {
			// The pod on its NodeInfo is as good as the new one for a scheduler,
			// but not for who looks at the pods of a node.
			changed := countsOf(old) != countsOf(p) || old.Annotations[corev1.PodDeletionCost] != p.Annotations[corev1.PodDeletionCost]
			c.replacePod(r, p, changed)
			return changed
		}
		c.deletePod(p.UID)
	}
	r := &podRecord{}
	r.info.Pod = p
	c.add(r)
	if p.Spec.NodeName == "" {
		c.insertPending(p)
		return true
	}
	c.parse(&r.info)
	c.entry(p.Spec.NodeName).info.AddPodInfo(&r.info)
	return true
}

// add makes a record known, and counts it for its workload.
func (c *content) add(r *podRecord) {
	p := r.info.Pod
	c.pods[p.UID] = r
	k, owned := WorkloadOf(p)
	if !owned {
		return
	}
	w := c.workloads[k]
	if w == nil {
		w = &workloadPods{key: k}
		c.workloads[k] = w
	}
	r.workload, r.at = w, int32(len(w.pods))
	w.pods = append(w.pods, r)
	c.count(w, Counts{}, countsOf(p))
}

// replacePod puts a pod in the place of an older one that is the same for a
// scheduler, and on its node if asked to.
func (c *content) replacePod(r *podRecord, p *corev1.Pod, onNode bool) {
	with := &podRecord{info: r.info, workload: r.workload, at: r.at}
	with.info.Pod = p
	if c.parts != nil && p.Spec.NodeName != "" {
		c.release(r.info.Pod)
		c.parse(&with.info)
	}
	c.pods[p.UID] = with
	if w := r.workload; w != nil {
		w.pods[r.at] = with
		if before, now := countsOf(r.info.Pod), countsOf(p); before != now {
			c.count(w, before, now)
		}
	}
	if p.Spec.NodeName == "" {
		c.removePending(r.info.Pod)
		c.insertPending(p)
		return
	}
	if !onNode {
		return
	}
	ni := c.entry(p.Spec.NodeName).info
	for _, list := range [][]fwk.PodInfo{ni.Pods, ni.PodsWithAffinity, ni.PodsWithRequiredAntiAffinity} {
		i := slices.IndexFunc(list, func(pi fwk.PodInfo) bool { return pi.GetPod().UID == p.UID })
		if i >= 0 {
			list[i] = &with.info
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
	p := r.info.Pod
	if w := r.workload; w != nil {
		last := len(w.pods) - 1
		w.pods[r.at] = w.pods[last]
		w.pods[r.at].at = r.at
		w.pods[last] = nil
		w.pods = w.pods[:last]
		c.count(w, countsOf(p), Counts{})
		if last == 0 {
			delete(c.workloads, w.key)
		}
	}
	name := p.Spec.NodeName
	if name == "" {
		c.removePending(p)
		return true
	}
	c.release(p)
	e := c.entry(name)
	// It cannot fail: every record with a node was added to that node.
	_ = e.info.RemovePod(klog.Background(), p)
	if e.info.Node() == nil && len(e.info.Pods) == 0 {
		delete(c.nodes, name)
	}
	return true
}

// count replaces what one pod contributes to the counts of its workload.
func (c *content) count(w *workloadPods, before, now Counts) {
	w.counts = w.counts.plus(before, -1).plus(now, 1)
	c.counts.set(w.key, w.counts)
	c.workloadsDirty = true
}

// insertPending and removePending keep the order. The slice of the last snapshot
// is left as it is.
func (c *content) insertPending(p *corev1.Pod) {
	i, _ := slices.BinarySearchFunc(c.ownPending(), p, byPriority)
	c.pending = slices.Insert(c.pending, i, p)
}

func (c *content) removePending(p *corev1.Pod) {
	if i, ok := slices.BinarySearchFunc(c.ownPending(), p, byPriority); ok {
		c.pending = slices.Delete(c.pending, i, i+1)
	}
}

func (c *content) ownPending() []*corev1.Pod {
	if !c.pendingDirty {
		c.pending = slices.Clone(c.pending)
		c.pendingDirty = true
	}
	return c.pending
}

// countsOfWorkload returns the counts of a workload as of now.
func (c *content) countsOfWorkload(k WorkloadKey) Counts {
	if w := c.workloads[k]; w != nil {
		return w.counts
	}
	return Counts{}
}

// podsOf returns the pods of a workload, oldest first.
func (c *content) podsOf(k WorkloadKey) []*corev1.Pod {
	w := c.workloads[k]
	if w == nil {
		return []*corev1.Pod{}
	}
	out := make([]*corev1.Pod, 0, len(w.pods))
	for _, r := range w.pods {
		out = append(out, r.info.Pod)
	}
	slices.SortFunc(out, byAge)
	return out
}

// snapshot returns the present content with the supplied objects.
func (c *content) snapshot(objs *Objects) *Snapshot {
	if c.last != nil && !c.nodesDirty && !c.pendingDirty && !c.workloadsDirty && c.last.objects == objs {
		return c.last
	}
	s := &Snapshot{generation: c.epoch + 1, objects: objs, devices: c.devices}
	for _, e := range c.touched {
		if n := e.info.Node(); n != nil && e.images != c.imageEpoch && (len(n.Status.Images) > 0 || len(e.info.ImageStates) > 0) {
			e.info.ImageStates, e.images = c.imageStates(n), c.imageEpoch
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
	s.pending = slices.Clip(c.pending)
	if c.last != nil && !c.workloadsDirty {
		s.workloads = c.last.workloads
	} else {
		s.workloads = c.counts.freeze()
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
	size := 0
	for i := range n.Status.Images {
		size += len(n.Status.Images[i].Names)
	}
	out := make(map[string]*fwk.ImageStateSummary, size)
	for _, img := range n.Status.Images {
		for _, name := range img.Names {
			e := c.images[name]
			if e.state == nil || e.state.Size != img.SizeBytes || e.state.NumNodes != e.nodes {
				e.state = &fwk.ImageStateSummary{Size: img.SizeBytes, NumNodes: e.nodes}
			}
			out[name] = e.state
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
