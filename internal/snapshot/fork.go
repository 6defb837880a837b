package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// A Fork is a private view of a Snapshot on which pods and nodes can be added
// and removed. Every change can be taken back to an earlier Mark, exactly. The
// snapshot, and other forks of it, never see a change. A Fork is not safe for
// concurrent use.
//
// A Fork is the SharedLister that a kube-scheduler framework reads. Its lists
// are always up to date and ordered by node name.
type Fork struct {
	base  *Snapshot
	nodes []fwk.NodeInfo
	index map[string]int
	// stamps says in which era each node was last cloned. A node whose stamp
	// is the present era belongs to the fork and is changed in place.
	stamps  []int64
	era     int64
	nextEra int64

	// extra objects, on top of those of the snapshot, a serial for each that no
	// object of any fork had before, and where the objects of a name are.
	extra   []Object
	serials []int64
	named   map[objectName][]int

	journal []change
	// depth is the number of marks that are neither committed nor outdated.
	depth  int
	serial int64

	// The lists of nodes with pods that have affinity terms, made on demand.
	affinity, antiAffinity []fwk.NodeInfo
	listed                 bool
}

// An objectName tells the objects of a fork apart.
type objectName struct {
	kind            Kind
	namespace, name string
}

// extraSerial is the last serial that an extra object of any fork got.
var extraSerial atomic.Int64

// A change remembers what a change replaced.
type change struct {
	// node i had this NodeInfo and stamp, unless nodes is set.
	i     int
	info  fwk.NodeInfo
	stamp int64

	// The node list before a node was added or removed.
	nodes  []fwk.NodeInfo
	index  map[string]int
	stamps []int64
}

// A Mark is a state of a Fork to which it can be taken back.
type Mark struct {
	journal int
	extra   int
	depth   int
}

var (
	_ fwk.SharedLister      = &Fork{}
	_ fwk.NodeInfoLister    = &Fork{}
	_ fwk.StorageInfoLister = &Fork{}
)

func newFork(s *Snapshot) *Fork {
	return &Fork{
		base:   s,
		nodes:  slices.Clone(s.nodes),
		index:  s.index,
		stamps: make([]int64, len(s.nodes)),
		era:    1, nextEra: 2,
	}
}

// Base returns the snapshot that was forked.
func (f *Fork) Base() *Snapshot { return f.base }

// Serial returns a number that this fork never returned before, for names and
// UIDs of pods that exist only on the fork. It is not taken back by Revert.
func (f *Fork) Serial() int64 {
	f.serial++
	return f.serial
}

// Extra returns the objects that were added to those of the snapshot. The slice
// must not be changed.
func (f *Fork) Extra() []Object { return f.extra }

// ExtraSerials returns a serial for each of Extra: two forks, or one at different
// times, that have the same serial at the same place have the same objects up to
// there. The slice must not be changed, and is good until the next change of the
// fork.
func (f *Fork) ExtraSerials() []int64 { return f.serials }

// Object returns the object of the supplied name, the one that was added last
// or that of the snapshot, or nil if there is none.
func (f *Fork) Object(k Kind, namespace, name string) Object {
	if at := f.named[objectName{k, namespace, name}]; len(at) > 0 {
		return f.extra[at[len(at)-1]]
	}
	return f.base.Objects().Set(k).Get(namespace, name)
}

// AddObject adds an object other than a node or pod, for example the claim of a
// pod that does not exist yet. Objects must not be changed once added. An error
// says that it is of a type snapshots do not hold.
func (f *Fork) AddObject(o Object) error {
	k, ok := KindOf(o)
	if !ok {
		return fmt.Errorf("a snapshot does not hold objects of type %T", o)
	}
	if f.named == nil {
		f.named = map[objectName][]int{}
	}
	n := objectName{k, o.GetNamespace(), o.GetName()}
	f.named[n] = append(f.named[n], len(f.extra))
	f.extra = append(f.extra, o)
	f.serials = append(f.serials, extraSerial.Add(1))
	return nil
}

// Mark remembers the present state.
func (f *Fork) Mark() Mark {
	f.newEra()
	f.depth++
	return Mark{journal: len(f.journal), extra: len(f.extra), depth: f.depth}
}

// Revert takes back every change made since the mark, exactly. The mark stays
// good; marks made after it do not.
func (f *Fork) Revert(m Mark) {
	for i := len(f.journal) - 1; i >= m.journal; i-- {
		c := &f.journal[i]
		if c.nodes != nil {
			f.nodes, f.index, f.stamps = c.nodes, c.index, c.stamps
		} else {
			f.nodes[c.i], f.stamps[c.i] = c.info, c.stamp
		}
		*c = change{}
	}
	f.journal = f.journal[:m.journal]
	for _, o := range f.extra[m.extra:] {
		k, _ := KindOf(o)
		n := objectName{k, o.GetNamespace(), o.GetName()}
		if at := f.named[n]; len(at) > 1 {
			f.named[n] = at[:len(at)-1]
		} else {
			delete(f.named, n)
		}
	}
	if len(f.extra) > m.extra {
		// A later append must not write over an array that someone still reads.
		f.extra = slices.Clip(f.extra[:m.extra])
		f.serials = f.serials[:m.extra]
	}
	f.listed = false
	f.depth = m.depth
	f.newEra()
}

// Commit keeps every change made since the mark, and forgets the mark and those
// made after it. A change that is committed is taken back only by a Revert to
// an earlier mark; when no mark is left, what was needed for that is freed.
func (f *Fork) Commit(m Mark) {
	f.depth = m.depth - 1
	if f.depth == 0 {
		f.journal = nil
	}
}

func (f *Fork) newEra() {
	f.era = f.nextEra
	f.nextEra++
}

// own returns node i for change.
func (f *Fork) own(i int) *framework.NodeInfo {
	ni := f.nodes[i].(*framework.NodeInfo)
	if f.stamps[i] == f.era {
		return ni
	}
	f.journal = append(f.journal, change{i: i, info: ni, stamp: f.stamps[i]})
	ni = cloneInfo(ni)
	f.nodes[i], f.stamps[i] = ni, f.era
	f.listed = false
	return ni
}

// AddPod puts a pod on a node, whatever is there already. The pod must have a
// UID that no pod of the fork has, and must not be changed afterwards; its
// spec.nodeName is not looked at. An error says that there is no such node, or
// that the UID is missing.
func (f *Fork) AddPod(node string, p *corev1.Pod) error {
	pi, err := framework.NewPodInfo(p)
	if err != nil {
		return fmt.Errorf("cannot add pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return f.AddPodInfo(node, pi)
}

// AddPodInfo is AddPod for a pod whose terms are parsed already.
func (f *Fork) AddPodInfo(node string, pi *framework.PodInfo) error {
	i, ok := f.index[node]
	if !ok {
		return fmt.Errorf("cannot add pod %s/%s: there is no node %q", pi.Pod.Namespace, pi.Pod.Name, node)
	}
	if pi.Pod.UID == "" {
		return fmt.Errorf("cannot add pod %s/%s: it has no UID", pi.Pod.Namespace, pi.Pod.Name)
	}
	ni := f.own(i)
	ni.AddPodInfo(pi)
	if a := pi.Pod.Spec.Affinity; a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil) {
		f.listed = false
	}
	return nil
}

// RemovePod takes the pod with the supplied pod's UID from a node. An error
// says that there is no such node, or no such pod on it.
func (f *Fork) RemovePod(node string, p *corev1.Pod) error {
	i, ok := f.index[node]
	if !ok {
		return fmt.Errorf("cannot remove pod %s/%s: there is no node %q", p.Namespace, p.Name, node)
	}
	has := slices.ContainsFunc(f.nodes[i].GetPods(), func(pi fwk.PodInfo) bool { return pi.GetPod().UID == p.UID })
	if !has {
		return fmt.Errorf("cannot remove pod %s/%s: it is not on node %q", p.Namespace, p.Name, node)
	}
	if err := f.own(i).RemovePod(klog.Background(), p); err != nil {
		return fmt.Errorf("cannot remove pod %s/%s from node %q: %w", p.Namespace, p.Name, node, err)
	}
	f.listed = false
	return nil
}

// AddNode adds a node that does not exist yet, for example one that is ordered,
// with the supplied pods on it (what runs on every node: daemon sets). Pods
// need UIDs that no pod of the fork has. An error says that the name is taken.
func (f *Fork) AddNode(n *corev1.Node, pods ...*corev1.Pod) error {
	if _, ok := f.index[n.Name]; ok {
		return fmt.Errorf("cannot add node %q: it exists", n.Name)
	}
	ni := framework.NewNodeInfo()
	ni.SetNode(n)
	for _, p := range pods {
		pi, err := framework.NewPodInfo(p)
		if err != nil {
			return fmt.Errorf("cannot add pod %s/%s with node %q: %w", p.Namespace, p.Name, n.Name, err)
		}
		if p.UID == "" {
			return fmt.Errorf("cannot add pod %s/%s with node %q: it has no UID", p.Namespace, p.Name, n.Name)
		}
		ni.AddPodInfo(pi)
	}
	ni.ImageStates = map[string]*fwk.ImageStateSummary{}
	for _, img := range n.Status.Images {
		for _, name := range img.Names {
			ni.ImageStates[name] = &fwk.ImageStateSummary{Size: img.SizeBytes, NumNodes: 1}
		}
	}
	i, _ := slices.BinarySearchFunc(f.nodes, n.Name, func(ni fwk.NodeInfo, name string) int {
		return strings.Compare(ni.Node().Name, name)
	})
	f.restructure()
	f.nodes = slices.Insert(f.nodes, i, fwk.NodeInfo(ni))
	f.stamps = slices.Insert(f.stamps, i, f.era)
	for name, at := range f.index {
		if at >= i {
			f.index[name] = at + 1
		}
	}
	f.index[n.Name] = i
	return nil
}

// RemoveNode removes a node and the pods on it. An error says that there is no
// such node.
func (f *Fork) RemoveNode(name string) error {
	i, ok := f.index[name]
	if !ok {
		return fmt.Errorf("cannot remove node %q: there is no such node", name)
	}
	f.restructure()
	f.nodes = slices.Delete(f.nodes, i, i+1)
	f.stamps = slices.Delete(f.stamps, i, i+1)
	delete(f.index, name)
	for n, at := range f.index {
		if at > i {
			f.index[n] = at - 1
		}
	}
	return nil
}

// restructure remembers the node list and continues on a copy.
func (f *Fork) restructure() {
	f.journal = append(f.journal, change{nodes: f.nodes, index: f.index, stamps: f.stamps})
	f.nodes = slices.Clone(f.nodes)
	f.stamps = slices.Clone(f.stamps)
	f.index = maps.Clone(f.index)
	if f.index == nil {
		f.index = map[string]int{}
	}
	f.listed = false
}

// Node returns the named node with the pods on it, or nil.
func (f *Fork) Node(name string) *framework.NodeInfo {
	if i, ok := f.index[name]; ok {
		return f.nodes[i].(*framework.NodeInfo)
	}
	return nil
}

// At returns node i of List.
func (f *Fork) At(i int) fwk.NodeInfo { return f.nodes[i] }

// Changed reports whether node i of List is other than in the snapshot.
func (f *Fork) Changed(i int) bool { return f.stamps[i] != 0 }

// NumNodes returns the number of nodes.
func (f *Fork) NumNodes() int { return len(f.nodes) }

// NodeInfos implements fwk.SharedLister.
func (f *Fork) NodeInfos() fwk.NodeInfoLister { return f }

// StorageInfos implements fwk.SharedLister.
func (f *Fork) StorageInfos() fwk.StorageInfoLister { return f }

// List returns all nodes, ordered by name. The slice is good until the next
// change of the fork.
func (f *Fork) List() ([]fwk.NodeInfo, error) { return f.nodes, nil }

// Get returns the named node.
func (f *Fork) Get(name string) (fwk.NodeInfo, error) {
	if i, ok := f.index[name]; ok {
		return f.nodes[i], nil
	}
	return nil, fmt.Errorf("there is no node %q", name)
}

// HavePodsWithAffinityList returns the nodes that have pods with affinity or
// anti-affinity terms, ordered by name.
func (f *Fork) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	f.list()
	return f.affinity, nil
}

// HavePodsWithRequiredAntiAffinityList returns the nodes that have pods with
// required anti-affinity terms, ordered by name.
func (f *Fork) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	f.list()
	return f.antiAffinity, nil
}

func (f *Fork) list() {
	if f.listed {
		return
	}
	f.affinity, f.antiAffinity = f.affinity[:0], f.antiAffinity[:0]
	for _, n := range f.nodes {
		ni := n.(*framework.NodeInfo)
		if len(ni.PodsWithAffinity) > 0 {
			f.affinity = append(f.affinity, n)
		}
		if len(ni.PodsWithRequiredAntiAffinity) > 0 {
			f.antiAffinity = append(f.antiAffinity, n)
		}
	}
	f.listed = true
}

// IsPVCUsedByPods reports whether a pod on a node uses the claim, which is
// named namespace/name. kube-scheduler asks this only for claims with access
// mode ReadWriteOncePod.
func (f *Fork) IsPVCUsedByPods(key string) bool {
	for _, n := range f.nodes {
		if n.GetPVCRefCounts()[key] > 0 {
			return true
		}
	}
	return false
}
