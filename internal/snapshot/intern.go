package snapshot

import (
	"crypto/sha256"
	"maps"
	"sync"
	"weak"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxTexts is how many strings are remembered. When there are more, all are
	// forgotten: those that come again are then kept twice.
	maxTexts = 1 << 18
	// minSweep is from how many templates on dead ones are looked for.
	minSweep = 1 << 10
)

// interned is what the objects of all members have in common: the replicas of a
// workload are spread over them.
var interned = newInterner()

// An interner makes objects share what is equal in them: the replicas of a
// workload their containers, terms, labels and owners, all objects their
// frequent strings. What is shared must not be changed, which holds for
// everything in a cache. It holds nothing alive but strings, and is safe for
// concurrent use.
type interner struct {
	mu                    sync.Mutex
	specs, labels, owners exemplars
	texts                 map[string]string
}

func newInterner() *interner {
	return &interner{specs: newExemplars(), labels: newExemplars(), owners: newExemplars(), texts: map[string]string{}}
}

// A digest stands for what is shared. Two that differ have the same digest less
// often than memory fails.
type digest [sha256.Size]byte

// exemplars are pods that have something first, by its digest.
type exemplars struct {
	pods  map[digest]weak.Pointer[corev1.Pod]
	sweep int
}

func newExemplars() exemplars {
	return exemplars{pods: map[digest]weak.Pointer[corev1.Pod]{}, sweep: minSweep}
}

// of returns the pod to share with, which is the supplied one if there is no
// other.
func (e *exemplars) of(d digest, p *corev1.Pod) *corev1.Pod {
	if first := e.pods[d].Value(); first != nil {
		return first
	}
	if len(e.pods) >= e.sweep {
		maps.DeleteFunc(e.pods, func(_ digest, w weak.Pointer[corev1.Pod]) bool { return w.Value() == nil })
		e.sweep = max(minSweep, 2*len(e.pods))
	}
	e.pods[d] = weak.Make(p)
	return p
}

// buffers for what is digested.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// A message is an API type in protobuf, which says all of it, in one order.
type message interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

func digestOf(m message) (digest, bool) {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	n := m.Size()
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	if _, err := m.MarshalToSizedBuffer((*b)[:n]); err != nil {
		return digest{}, false
	}
	return sha256.Sum256((*b)[:n]), true
}

// ownLabels are those of which every pod of a workload has its own value.
var ownLabels = []string{appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel, batchv1.JobCompletionIndexAnnotation}

// pod makes a stripped pod that nobody else sees yet share what it can.
func (in *interner) pod(p *corev1.Pod) {
	// What a pod of a stateful or daemon set has for itself is left out, so
	// that the rest can be shared.
	spec := p.Spec
	spec.NodeName, spec.Hostname, spec.Volumes = "", "", nil
	if namesNode(spec.Affinity) {
		spec.Affinity = nil
	}
	specDigest, specOK := digestOf(&spec)
	var labelsDigest, ownersDigest digest
	labelsOK, ownersOK := false, false
	if len(p.Labels) > 0 && !hasOwnLabel(p.Labels) {
		labelsDigest, labelsOK = digestOf(&metav1.ObjectMeta{Labels: p.Labels})
	}
	if len(p.OwnerReferences) > 0 {
		ownersDigest, ownersOK = digestOf(&metav1.ObjectMeta{OwnerReferences: p.OwnerReferences})
	}

	in.mu.Lock()
	defer in.mu.Unlock()
	p.Namespace = in.text(p.Namespace)
	if !labelsOK {
		in.textMap(p.Labels)
	} else {
		p.Labels = in.labels.of(labelsDigest, p).Labels
	}
	if ownersOK {
		p.OwnerReferences = in.owners.of(ownersDigest, p).OwnerReferences
	}
	node, host, volumes, affinity := in.text(p.Spec.NodeName), p.Spec.Hostname, p.Spec.Volumes, p.Spec.Affinity
	if !specOK {
		p.Spec.NodeName = node
		return
	}
	p.Spec = in.specs.of(specDigest, p).Spec
	p.Spec.NodeName, p.Spec.Hostname, p.Spec.Volumes = node, host, volumes
	if namesNode(affinity) || affinity == nil {
		p.Spec.Affinity = affinity
	}
}

// node makes a stripped node that nobody else sees yet share what it can.
func (in *interner) node(n *corev1.Node) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.textMap(n.Labels)
	for i := range n.Status.Images {
		names := n.Status.Images[i].Names
		for j := range names {
			names[j] = in.text(names[j])
		}
	}
	for i := range n.Status.Conditions {
		c := &n.Status.Conditions[i]
		c.Type, c.Reason = corev1.NodeConditionType(in.text(string(c.Type))), in.text(c.Reason)
	}
}

func (in *interner) text(s string) string {
	if s == "" {
		return ""
	}
	if t, ok := in.texts[s]; ok {
		return t
	}
	if len(in.texts) >= maxTexts {
		clear(in.texts)
	}
	in.texts[s] = s
	return s
}

// textMap replaces the strings of a map. A key that is assigned again is
// replaced too.
func (in *interner) textMap(m map[string]string) {
	for k, v := range m {
		m[in.text(k)] = in.text(v)
	}
}

func hasOwnLabel(m map[string]string) bool {
	for _, l := range ownLabels {
		if _, ok := m[l]; ok {
			return true
		}
	}
	return false
}

// namesNode reports whether an affinity names a node, as a daemon set's do.
func namesNode(a *corev1.Affinity) bool {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	for i := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		if len(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[i].MatchFields) > 0 {
			return true
		}
	}
	return false
}
