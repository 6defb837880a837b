package simulation

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// viewSlack is how many nodes and workloads that are gone a view keeps at least
// before it is made anew, and forgets them.
const viewSlack = 4096

// A view is what an engine remembers of the nodes of the forks it was given, in
// a form that is cheap to read node after node. It is brought up to date by what
// changed: a NodeInfo with the same generation has the same content.
type view struct {
	slots  []slot
	byName map[string]int32
	// order has the slot of each node of the fork, shown the state in which the
	// slot has it. Reordered counts how often the order changed.
	order     []int32
	shown     []shown
	reordered int
	// moved are the slots whose Node, images or place in the order changed, one after the
	// other, for those who read them. It begins anew in each era.
	moved []int32
	era   int
	// mostSlots and mostClasses are how many it has before it is made anew. Full
	// says that all pods were classified once.
	mostSlots, mostClasses int
	full                   bool

	classes
	topologies map[string]*topology
	judgements map[string]*judgement
	images     imageIndex
	buffers
}

// shown is a state of a node.
type shown struct {
	info       *framework.NodeInfo
	generation int64
}

// A slot is for a node of one name.
type slot struct {
	node *corev1.Node
	// index in the order, if that has the slot.
	index int32
	// indexed are the images of the node that the index of images has.
	indexed imageStates
	now     nodeState
	// kept is the node as its snapshot has it, for when a fork is taken back.
	kept nodeState
}

// A nodeState is a node with the pods on it.
type nodeState struct {
	info       *framework.NodeInfo
	generation int64

	free                 amounts
	pods, allowed        int64
	requested, allocated amounts
	nonZero              amounts
	affine               bool

	// present are the classes of the pods, if classified. The slice is shared
	// unless it is owned.
	present    []presence
	classified bool
	owned      bool
}

// amounts of the resources that every node has: milli-CPU and bytes.
type amounts struct{ cpu, memory, ephemeral int64 }

func amountsOf(r *framework.Resource) amounts {
	return amounts{cpu: r.MilliCPU, memory: r.Memory, ephemeral: r.EphemeralStorage}
}

func (a amounts) minus(b amounts) amounts {
	return amounts{cpu: a.cpu - b.cpu, memory: a.memory - b.memory, ephemeral: a.ephemeral - b.ephemeral}
}

// presence of a class of pods on a node.
type presence struct{ class, count int32 }

func newView() *view {
	return &view{
		byName: map[string]int32{}, topologies: map[string]*topology{}, judgements: map[string]*judgement{},
		// Views that were made together are not made anew together: it takes time.
		era: 1, mostSlots: math.MaxInt, mostClasses: viewSlack + rand.IntN(viewSlack),
		classes: classes{byKey: map[string]int32{}, byLabel: map[labelKey][]int32{}, byNamespace: map[string][]int32{}},
	}
}

// load brings the view up to date with a fork.
func (v *view) load(f *snapshot.Fork) {
	n := f.NumNodes()
	if len(v.slots) > v.mostSlots || len(v.all) > v.mostClasses {
		*v = *newView()
	}
	known := min(len(v.order), n)
	if n != len(v.order) {
		v.reordered++
	}
	v.order = slices.Grow(v.order[:known], n-known)[:n]
	v.shown = slices.Grow(v.shown[:known], n-known)[:n]
	// List cannot fail on a fork.
	nodes, _ := f.List()
	for i := range nodes {
		info := nodes[i].(*framework.NodeInfo)
		if i < known {
			// What a fork did not change nobody does.
			s, changed := &v.shown[i], f.Changed(i)
			if s.info == info && (!changed || s.generation == info.Generation) {
				continue
			}
			if v.slots[v.order[i]].node.Name == info.Node().Name {
				v.update(i, info, changed)
				continue
			}
		}
		v.place(i, info, f.Changed(i))
	}
	if v.mostSlots == math.MaxInt {
		v.mostSlots = 2*len(v.slots) + viewSlack
	}
	if len(v.moved) > 2*len(v.slots)+viewSlack {
		v.moved, v.era = v.moved[:0], v.era+1
	}
}

// place puts the slot of a node at place i of the order.
func (v *view) place(i int, info *framework.NodeInfo, changed bool) {
	name := info.Node().Name
	at, ok := v.byName[name]
	if !ok {
		at = int32(len(v.slots))
		v.slots = append(v.slots, slot{node: info.Node()})
		v.byName[name] = at
	}
	v.order[i], v.slots[at].index = at, int32(i)
	v.reordered++
	v.moved = append(v.moved, at)
	v.update(i, info, changed)
}

// update makes the slot at place i of the order show the node.
func (v *view) update(i int, info *framework.NodeInfo, changed bool) {
	at := v.order[i]
	s := &v.slots[at]
	v.shown[i] = shown{info, info.Generation}
	if s.now.info == info && s.now.generation == info.Generation {
		return
	}
	if n := info.Node(); s.node != n || s.now.info == nil || !imageStates(s.now.info.ImageStates).same(info.ImageStates) {
		s.node = n
		v.moved = append(v.moved, at)
	}
	if s.now.classified {
		v.tally(s.now.present, -1)
	}
	if s.kept.info == info && s.kept.generation == info.Generation {
		s.now = s.kept
		if s.now.classified {
			v.tally(s.now.present, 1)
		}
		return
	}
	s.now = nodeState{}
	s.now.read(info)
	if !changed {
		s.kept = s.now
	}
}

// A reader has read what moved up to a point.
type reader struct{ era, at int }

// news calls fn with the place in the order and the slot of each node that may be
// another one, have other images or be elsewhere than when the reader was here
// last.
func (v *view) news(r *reader, fn func(i int, at int32) error) error {
	from := *r
	*r = reader{v.era, len(v.moved)}
	if from.era != v.era {
		for i, at := range v.order {
			if err := fn(i, at); err != nil {
				return err
			}
		}
		return nil
	}
	for _, at := range v.moved[from.at:] {
		// One that is not in the order moves when it comes back.
		if i := v.slots[at].index; int(i) < len(v.order) && v.order[i] == at {
			if err := fn(int(i), at); err != nil {
				return err
			}
		}
	}
	return nil
}

// read what is on the node, all but the classes of pods.
func (s *nodeState) read(info *framework.NodeInfo) {
	s.info, s.generation = info, info.Generation
	s.allocated, s.requested, s.nonZero = amountsOf(info.Allocatable), amountsOf(info.Requested), amountsOf(info.NonZeroRequested)
	s.free = s.allocated.minus(s.requested)
	s.pods, s.allowed = int64(len(info.Pods)), int64(info.Allocatable.AllowedPodNumber)
	s.affine = len(info.PodsWithAffinity) > 0
}

// added notes that a pod of the class was put on the node at place i of the order.
func (v *view) added(i int, info *framework.NodeInfo, class int32) {
	s := &v.slots[v.order[i]]
	s.now.read(info)
	v.shown[i] = shown{info, info.Generation}
	if !s.now.classified {
		return
	}
	if !s.now.owned {
		s.now.present, s.now.owned = slices.Clone(s.now.present), true
	}
	s.now.present = count(s.now.present, class)
	v.totals[class]++
}

func count(p []presence, class int32) []presence {
	for j := range p {
		if p[j].class == class {
			p[j].count++
			return p
		}
	}
	return append(p, presence{class: class, count: 1})
}

// classify finds out of which classes the pods are.
func (v *view) classify() {
	var known map[kin]int32
	for _, at := range v.order {
		s := &v.slots[at]
		if s.now.classified {
			continue
		}
		if known == nil {
			known = map[kin]int32{}
		}
		s.now.classified = true
		s.now.present = make([]presence, 0, len(s.now.info.Pods))
		for _, pi := range s.now.info.Pods {
			s.now.present = count(s.now.present, v.classOfKin(pi.(*framework.PodInfo), known))
		}
		v.tally(s.now.present, 1)
		if s.kept.info == s.now.info && s.kept.generation == s.now.generation {
			s.kept.present, s.kept.classified = s.now.present, true
		}
	}
	if !v.full {
		v.full, v.mostClasses = true, v.mostClasses+2*len(v.all)
	}
}

// tally counts pods of the classes.
func (v *view) tally(p []presence, sign int32) {
	for j := range p {
		v.totals[p[j].class] += sign * p[j].count
	}
}

// tallied returns how many pods of the classes there are at most.
func (v *view) tallied(classes []int32) int32 {
	n := int32(0)
	for _, at := range classes {
		n += v.totals[at]
	}
	return n
}

// A kin are pods that share their labels and terms, as those of one template in a
// snapshot do.
type kin struct {
	labels      uintptr
	affinity    *corev1.Affinity
	namespace   string
	terminating bool
}

// classOfKin is classOf, which looks at each kin once.
func (c *classes) classOfKin(pi *framework.PodInfo, known map[kin]int32) int32 {
	p := pi.Pod
	k := kin{labels: reflect.ValueOf(p.Labels).Pointer(), namespace: p.Namespace, terminating: p.DeletionTimestamp != nil}
	if affine(pi) {
		k.affinity = p.Spec.Affinity
	}
	at, ok := known[k]
	if !ok {
		at = c.classOf(pi)
		known[k] = at
	}
	return at
}

// affine reports whether a pod on any node has affinity or anti-affinity terms.
func (v *view) affine() bool {
	return slices.ContainsFunc(v.order, func(at int32) bool { return v.slots[at].now.affine })
}

// A class is a set of pods that no term and no selector can tell apart.
type class struct {
	labels labels.Set
	// terminating pods are not counted by spread constraints.
	terminating bool
	// terms of the pods; nil if they have none.
	terms *framework.PodInfo
}

type classes struct {
	all []class
	// totals are the pods of each class on the nodes that are in the order, or
	// were, as far as these are classified: there may be fewer, but not more.
	totals      []int32
	byKey       map[string]int32
	byLabel     map[labelKey][]int32
	byNamespace map[string][]int32
	// affineClasses are those with terms.
	affineClasses []int32

	key  []byte
	keys []string
}

type labelKey struct{ namespace, key, value string }

// affine reports whether a pod has terms about other pods.
func affine(pi *framework.PodInfo) bool {
	return len(pi.RequiredAffinityTerms)+len(pi.RequiredAntiAffinityTerms)+len(pi.PreferredAffinityTerms)+len(pi.PreferredAntiAffinityTerms) > 0
}

// classOf returns the class of a pod.
func (c *classes) classOf(pi *framework.PodInfo) int32 {
	p := pi.Pod
	affine := affine(pi)
	c.keys = c.keys[:0]
	for k := range p.Labels {
		c.keys = append(c.keys, k)
	}
	slices.Sort(c.keys)
	// Lengths keep names apart that would be the same one after the other.
	put := func(s string) {
		c.key = binary.AppendUvarint(c.key, uint64(len(s)))
		c.key = append(c.key, s...)
	}
	c.key = c.key[:0]
	put(p.Namespace)
	for _, k := range c.keys {
		put(k)
		put(p.Labels[k])
	}
	if p.DeletionTimestamp != nil {
		c.key = append(c.key, 0, 1)
	}
	if affine {
		// It cannot fail: the object is valid, or its terms had not been parsed.
		raw, _ := p.Spec.Affinity.Marshal()
		c.key = append(c.key, 0, 2)
		c.key = append(c.key, raw...)
	}
	if at, ok := c.byKey[string(c.key)]; ok {
		return at
	}
	at := int32(len(c.all))
	k := class{labels: p.Labels, terminating: p.DeletionTimestamp != nil}
	if affine {
		k.terms = pi
		c.affineClasses = append(c.affineClasses, at)
	}
	c.all, c.totals = append(c.all, k), append(c.totals, 0)
	c.byKey[string(c.key)] = at
	c.byNamespace[p.Namespace] = append(c.byNamespace[p.Namespace], at)
	for key, value := range p.Labels {
		l := labelKey{p.Namespace, key, value}
		c.byLabel[l] = append(c.byLabel[l], at)
	}
	return at
}

// selected calls fn for each class of the namespace that the selector matches.
func (c *classes) selected(namespace string, s labels.Selector, fn func(int32)) {
	requirements, selectable := s.Requirements()
	if !selectable {
		return
	}
	from := c.byNamespace[namespace]
	for i := range requirements {
		r := &requirements[i]
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			values := r.ValuesUnsorted()
			if len(values) != 1 {
				continue
			}
			if fewer := c.byLabel[labelKey{namespace, r.Key(), values[0]}]; len(fewer) < len(from) {
				from = fewer
			}
		}
	}
	for _, at := range from {
		if s.Matches(c.all[at].labels) {
			fn(at)
		}
	}
}
