package simulation

import (
	"encoding/binary"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// viewLoads is after how many loads a view is made anew, which forgets what it
// keeps of nodes and workloads that are gone. It spreads the cost of that thin.
const viewLoads = 4096

// A view is what an engine remembers of the nodes of the forks it was given, in
// a form that is cheap to read node after node. It is brought up to date by what
// changed: a NodeInfo with the same generation has the same content.
type view struct {
	slots  []slot
	byName map[string]int32
	// order has the slot of each node of the fork.
	order []int32
	loads int

	classes
	topologies map[string]*topology
	judgements map[string]*judgement
}

// A slot is for a node of one name.
type slot struct {
	node *corev1.Node
	now  nodeState
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
		classes: classes{byKey: map[string]int32{}, byLabel: map[labelKey][]int32{}, byNamespace: map[string][]int32{}},
	}
}

// load brings the view up to date with a fork.
func (v *view) load(f *snapshot.Fork) {
	if v.loads++; v.loads > viewLoads {
		*v = *newView()
	}
	n := f.NumNodes()
	known := min(len(v.order), n)
	v.order = slices.Grow(v.order[:known], n-known)[:n]
	for i := range n {
		info := f.At(i).(*framework.NodeInfo)
		if i < known {
			s := &v.slots[v.order[i]]
			if s.now.info == info && s.now.generation == info.Generation {
				continue
			}
			if s.node.Name == info.Node().Name {
				s.update(info, f.Changed(i))
				continue
			}
		}
		name := info.Node().Name
		at, ok := v.byName[name]
		if !ok {
			at = int32(len(v.slots))
			v.slots = append(v.slots, slot{})
			v.byName[name] = at
		}
		v.order[i] = at
		v.slots[at].update(info, f.Changed(i))
	}
}

// update makes the slot show the node.
func (s *slot) update(info *framework.NodeInfo, changed bool) {
	if s.now.info == info && s.now.generation == info.Generation {
		return
	}
	s.node = info.Node()
	if s.kept.info == info && s.kept.generation == info.Generation {
		s.now = s.kept
		return
	}
	s.now = nodeState{}
	s.now.read(info)
	if !changed {
		s.kept = s.now
	}
}

// read what is on the node, all but the classes of pods.
func (s *nodeState) read(info *framework.NodeInfo) {
	s.info, s.generation = info, info.Generation
	s.allocated, s.requested, s.nonZero = amountsOf(info.Allocatable), amountsOf(info.Requested), amountsOf(info.NonZeroRequested)
	s.free = s.allocated.minus(s.requested)
	s.pods, s.allowed = int64(len(info.Pods)), int64(info.Allocatable.AllowedPodNumber)
	s.affine = len(info.PodsWithAffinity) > 0
}

// added notes that a pod of the class was put on the node.
func (s *slot) added(info *framework.NodeInfo, class int32) {
	s.now.read(info)
	if !s.now.classified {
		return
	}
	if !s.now.owned {
		s.now.present, s.now.owned = slices.Clone(s.now.present), true
	}
	s.now.present = count(s.now.present, class)
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
	for _, at := range v.order {
		s := &v.slots[at]
		if s.now.classified {
			continue
		}
		s.now.classified = true
		for _, pi := range s.now.info.Pods {
			s.now.present = count(s.now.present, v.classOf(pi.(*framework.PodInfo)))
		}
		if s.kept.info == s.now.info && s.kept.generation == s.now.generation {
			s.kept.present, s.kept.classified = s.now.present, true
		}
	}
}

// affine reports whether a pod on any node has affinity or anti-affinity terms.
func (v *view) affine() bool {
	return slices.ContainsFunc(v.order, func(at int32) bool { return v.slots[at].now.affine })
}

// A class is a set of pods that no term and no selector can tell apart.
type class struct {
	// pod has the namespace and the labels.
	pod *corev1.Pod
	// terminating pods are not counted by spread constraints.
	terminating bool
	// terms of the pods; nil if they have none.
	terms *framework.PodInfo
}

type classes struct {
	all         []class
	byKey       map[string]int32
	byLabel     map[labelKey][]int32
	byNamespace map[string][]int32
	// affineClasses are those with terms.
	affineClasses []int32

	key  []byte
	keys []string
}

type labelKey struct{ namespace, key, value string }

// classOf returns the class of a pod.
func (c *classes) classOf(pi *framework.PodInfo) int32 {
	p := pi.Pod
	affine := len(pi.RequiredAffinityTerms)+len(pi.RequiredAntiAffinityTerms)+len(pi.PreferredAffinityTerms)+len(pi.PreferredAntiAffinityTerms) > 0
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
	k := class{
		pod:         &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Labels: p.Labels}},
		terminating: p.DeletionTimestamp != nil,
	}
	if affine {
		k.terms = pi
		c.affineClasses = append(c.affineClasses, at)
	}
	c.all = append(c.all, k)
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
		if s.Matches(labels.Set(c.all[at].pod.Labels)) {
			fn(at)
		}
	}
}

// A topology tells by a label of the nodes which of them belong together.
type topology struct {
	values map[string]int32
	// of has the domain of each slot, for the node that was looked at.
	of []domainOf
}

type domainOf struct {
	node   *corev1.Node
	domain int32
	// labelled is false if the node does not have the label. The domain is then
	// that of the empty value.
	labelled bool
}

// topology returns the domains of a topology key, up to date.
func (v *view) topology(key string) *topology {
	t, ok := v.topologies[key]
	if !ok {
		t = &topology{values: map[string]int32{}}
		v.topologies[key] = t
	}
	if len(t.of) < len(v.slots) {
		t.of = append(t.of, make([]domainOf, len(v.slots)-len(t.of))...)
	}
	for _, at := range v.order {
		node := v.slots[at].node
		if t.of[at].node == node {
			continue
		}
		value, labelled := node.Labels[key]
		d, ok := t.values[value]
		if !ok {
			d = int32(len(t.values))
			t.values[value] = d
		}
		t.of[at] = domainOf{node: node, domain: d, labelled: labelled}
	}
	return t
}

// A domains is a topology as a run reads it: by the index of a node in the fork.
type domains struct {
	key string
	// of has the domain of each node, -1 if it lacks the label.
	of []int32
	// members has the nodes of each domain.
	members [][]int32
	// unlabelled is the domain of the empty value, to which nodes without the
	// label belong where they count.
	unlabelled int32
}

// domains returns the domains of a topology key. Members are filled in if they
// are wanted.
func (v *view) domains(key string, members bool) *domains {
	t := v.topology(key)
	d := &domains{key: key, of: make([]int32, len(v.order)), members: make([][]int32, len(t.values)), unlabelled: -1}
	sizes := make([]int32, len(t.values))
	for i, at := range v.order {
		o := &t.of[at]
		d.of[i] = o.domain
		if !o.labelled {
			d.of[i], d.unlabelled = -1, o.domain
			continue
		}
		sizes[o.domain]++
	}
	if !members {
		return d
	}
	room := make([]int32, len(v.order))
	for k, n := range sizes {
		d.members[k], room = room[:0:n], room[n:]
	}
	for i, k := range d.of {
		if k >= 0 {
			d.members[k] = append(d.members[k], int32(i))
		}
	}
	return d
}

// num returns the number of domains.
func (d *domains) num() int { return len(d.members) }
