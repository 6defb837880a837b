package simulation

import (
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity"
	pluginnames "k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// An interPod is InterPodAffinity of
// k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity for one
// pod, which matches terms with all pods of the cluster again for every pod,
// over counts that one more copy changes in one place. Terms are matched with
// classes of pods rather than with pods.
type interPod struct {
	// By topology key.
	keys []podDomains
	byID map[string]int

	// The keys of the required terms of the pod.
	affinity, antiAffinity []int
	// self says that the pod matches all of its own required affinity terms.
	self bool
	// attracted says that pods that they all match exist on nodes with labels.
	attracted bool

	// copy is what one more copy does.
	copy []effect

	weight int64
	// scoring says that a raw score can be other than zero, moved that one
	// changed since they were computed.
	scoring, moved bool
	raw            []int64

	buffers *buffers
}

// podDomains counts pods in the domains of one topology key.
type podDomains struct {
	domains *domains
	// matched pods by all required affinity terms, matched by an anti-affinity
	// term, and those with an anti-affinity term that matches the pod.
	attracting, repelled, repelling []int64
	scores                          []int64
}

// An effect of a pod on the domain it is in.
type effect struct {
	key  int
	kind effectKind
	by   int64
}

type effectKind int

const (
	attracts effectKind = iota
	repelled
	repels
	scores
)

// newInterPod returns nil if no term of the pod or of others has a say.
func (r *quickRun) newInterPod(pod *corev1.Pod, template *framework.PodInfo) (*interPod, error) {
	v := r.view
	a := pod.Spec.Affinity
	terms := a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil)
	if !terms && !v.affine() {
		return nil, nil
	}
	v.classify()
	self := v.classOf(template)
	// Not the template: namespaces are added to its terms.
	in, err := framework.NewPodInfo(pod)
	if err != nil {
		return nil, fmt.Errorf("cannot read the affinity terms of the pod: %w", err)
	}
	p := &interPod{byID: map[string]int{}, weight: r.profile.weights[pluginnames.InterPodAffinity], buffers: &v.buffers}
	effects := v.noEffects()
	if err := r.ownTerms(p, in, pod, effects); err != nil {
		return nil, err
	}
	r.termsOfOthers(p, pod, terms, effects)
	if len(p.keys) == 0 {
		return nil, nil
	}
	p.copy = slices.Clone(effects.of[self])
	for k := range p.keys {
		n := p.keys[k].domains.num()
		d := &p.keys[k]
		d.attracting, d.repelled, d.repelling, d.scores = v.ints.take(n), v.ints.take(n), v.ints.take(n), v.ints.take(n)
	}
	left := v.tallied(effects.classes)
	for i, at := range v.order {
		if left <= 0 {
			break
		}
		for _, c := range v.slots[at].now.present {
			for k, e := range effects.of[c.class] {
				p.apply(i, e, int64(c.count))
				if k == 0 {
					left -= c.count
				}
			}
		}
	}
	p.raw, p.moved = v.ints.take(len(v.order)), true
	return p, nil
}

// effects of the pods of each class, and the classes that have any.
type effects struct {
	of      [][]effect
	classes []int32
}

// noEffects returns effects that are good until it is called again.
func (v *view) noEffects() *effects {
	e := &v.effects
	for _, at := range e.classes {
		e.of[at] = e.of[at][:0]
	}
	e.classes = e.classes[:0]
	if n := len(v.all); n > len(e.of) {
		e.of = append(e.of, make([][]effect, n-len(e.of))...)
	}
	return e
}

func (e *effects) add(class int32, x effect) {
	if len(e.of[class]) == 0 {
		e.classes = append(e.classes, class)
	}
	e.of[class] = append(e.of[class], x)
}

// key returns the number of a topology key.
func (p *interPod) key(v *view, key string) int {
	at, ok := p.byID[key]
	if !ok {
		at = len(p.keys)
		p.byID[key] = at
		p.keys = append(p.keys, podDomains{domains: v.domains(key)})
	}
	return at
}

// ownTerms adds the effects of pods that the pod's own terms match.
func (r *quickRun) ownTerms(p *interPod, in *framework.PodInfo, pod *corev1.Pod, effects *effects) error {
	v := r.view
	var matched map[int32]int
	for k := range in.RequiredAffinityTerms {
		t := &in.RequiredAffinityTerms[k]
		if err := r.addNamespaces(t); err != nil {
			return err
		}
		p.affinity = append(p.affinity, p.key(v, t.TopologyKey))
		if matched == nil {
			matched = map[int32]int{}
		}
		v.matched(t, func(at int32) { matched[at]++ })
	}
	p.self = len(in.RequiredAffinityTerms) > 0
	for k := range in.RequiredAffinityTerms {
		p.self = p.self && in.RequiredAffinityTerms[k].Matches(pod, nil)
	}
	for at, n := range matched {
		if n == len(in.RequiredAffinityTerms) {
			for _, key := range p.affinity {
				effects.add(at, effect{key: key, kind: attracts, by: 1})
			}
		}
	}
	for k := range in.RequiredAntiAffinityTerms {
		t := &in.RequiredAntiAffinityTerms[k]
		if err := r.addNamespaces(t); err != nil {
			return err
		}
		key := p.key(v, t.TopologyKey)
		p.antiAffinity = append(p.antiAffinity, key)
		v.matched(t, func(at int32) { effects.add(at, effect{key: key, kind: repelled, by: 1}) })
	}
	if p.weight == 0 {
		return nil
	}
	for _, side := range []struct {
		terms []fwk.WeightedAffinityTerm
		sign  int64
	}{{in.PreferredAffinityTerms, 1}, {in.PreferredAntiAffinityTerms, -1}} {
		for k := range side.terms {
			t := &side.terms[k]
			if err := r.addNamespaces(&t.AffinityTerm); err != nil {
				return err
			}
			e := effect{key: p.key(v, t.TopologyKey), kind: scores, by: side.sign * int64(t.Weight)}
			v.matched(&t.AffinityTerm, func(at int32) { effects.add(at, e) })
		}
	}
	return nil
}

// addNamespaces adds the namespaces that the term's selector matches to those it
// names, as the plugin does before it matches terms of the pod itself.
func (r *quickRun) addNamespaces(t *fwk.AffinityTerm) error {
	if t.NamespaceSelector.Empty() {
		return nil
	}
	found, err := r.profile.namespaces.List(t.NamespaceSelector)
	if err != nil {
		return fmt.Errorf("cannot list namespaces: %w", err)
	}
	for _, n := range found {
		t.Namespaces.Insert(n.Name)
	}
	return nil
}

// matched calls fn for each class that a term of the pod matches. The labels of
// namespaces are not looked at any more, as in the plugin.
func (v *view) matched(t *fwk.AffinityTerm, fn func(int32)) {
	if t.NamespaceSelector.Matches(labels.Set(nil)) {
		for ns := range v.byNamespace {
			v.selected(ns, t.Selector, fn)
		}
		return
	}
	for ns := range t.Namespaces {
		v.selected(ns, t.Selector, fn)
	}
}

// termsOfOthers adds the effects of pods whose terms match the pod.
func (r *quickRun) termsOfOthers(p *interPod, pod *corev1.Pod, terms bool, effects *effects) {
	v := r.view
	if len(v.affineClasses) == 0 {
		return
	}
	args := r.profile.interPod
	preferred := false
	if a := pod.Spec.Affinity; terms {
		preferred = a.PodAffinity != nil && len(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 ||
			a.PodAntiAffinity != nil && len(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0
	}
	scored := p.weight > 0 && (preferred || !args.IgnorePreferredTermsOfExistingPods)
	ns := interpodaffinity.GetNamespaceLabelsSnapshot(klog.Background(), pod.Namespace, r.profile.namespaces)
	for _, at := range v.affineClasses {
		pi := v.all[at].terms
		add := func(t *fwk.AffinityTerm, kind effectKind, by int64) {
			if t.Matches(pod, ns) {
				effects.add(at, effect{key: p.key(v, t.TopologyKey), kind: kind, by: by})
			}
		}
		for k := range pi.RequiredAntiAffinityTerms {
			add(&pi.RequiredAntiAffinityTerms[k], repels, 1)
		}
		if !scored {
			continue
		}
		if args.HardPodAffinityWeight > 0 {
			for k := range pi.RequiredAffinityTerms {
				add(&pi.RequiredAffinityTerms[k], scores, int64(args.HardPodAffinityWeight))
			}
		}
		for k := range pi.PreferredAffinityTerms {
			add(&pi.PreferredAffinityTerms[k].AffinityTerm, scores, int64(pi.PreferredAffinityTerms[k].Weight))
		}
		for k := range pi.PreferredAntiAffinityTerms {
			add(&pi.PreferredAntiAffinityTerms[k].AffinityTerm, scores, -int64(pi.PreferredAntiAffinityTerms[k].Weight))
		}
	}
}

// apply notes the effect of pods on node i. It reports whether that changed for
// which nodes the pod is feasible.
func (p *interPod) apply(i int, e effect, pods int64) bool {
	k := &p.keys[e.key]
	d := k.domains.of[i]
	if d < 0 {
		return false
	}
	var counts []int64
	switch e.kind {
	case attracts:
		counts, p.attracted = k.attracting, true
	case repelled:
		counts = k.repelled
	case repels:
		counts = k.repelling
	case scores:
		k.scores[d] += e.by * pods
		p.scoring, p.moved = true, true
		return false
	}
	counts[d] += e.by * pods
	return counts[d] == e.by*pods
}

// What InterPodAffinity says of a node.
const (
	reasonAffinity         = "node(s) didn't match pod affinity rules"
	reasonAntiAffinity     = "node(s) didn't match pod anti-affinity rules"
	reasonExistingAffinity = "node(s) didn't satisfy existing pods anti-affinity rules"
)

// refuses returns why node i is not feasible, or nothing.
func (p *interPod) refuses(i int) string {
	here := true
	for _, k := range p.affinity {
		d := p.keys[k].domains.of[i]
		if d < 0 {
			return reasonAffinity
		}
		here = here && p.keys[k].attracting[d] > 0
	}
	// The first of a series that has affinity to itself may go anywhere.
	if !here && (p.attracted || !p.self) {
		return reasonAffinity
	}
	for _, k := range p.antiAffinity {
		if d := p.keys[k].domains.of[i]; d >= 0 && p.keys[k].repelled[d] > 0 {
			return reasonAntiAffinity
		}
	}
	for k := range p.keys {
		if d := p.keys[k].domains.of[i]; d >= 0 && p.keys[k].repelling[d] > 0 {
			return reasonExistingAffinity
		}
	}
	return ""
}

// placed notes a copy on node i and calls fn for each node of which something
// else may be true now.
func (p *interPod) placed(i int, fn func(int)) {
	first := !p.attracted
	for _, e := range p.copy {
		if p.apply(i, e, 1) && !(first && e.kind == attracts) {
			for _, n := range p.keys[e.key].domains.members[p.keys[e.key].domains.of[i]] {
				fn(int(n))
			}
		}
	}
	if first && p.attracted {
		for n := range p.raw {
			fn(n)
		}
	}
}

// add adds the weighted scores of the feasible nodes.
func (p *interPod) add(ok []bool, totals []int64) {
	if !p.scoring {
		return
	}
	if p.moved {
		p.moved = false
		clear(p.raw)
		for k := range p.keys {
			for i, d := range p.keys[k].domains.of {
				if d >= 0 {
					p.raw[i] += p.keys[k].scores[d]
				}
			}
		}
	}
	lowest, highest := int64(math.MaxInt64), int64(math.MinInt64)
	for i, good := range ok {
		if good {
			lowest, highest = min(lowest, p.raw[i]), max(highest, p.raw[i])
		}
	}
	if highest == lowest {
		return
	}
	normal := func(raw int64) int64 {
		return int64(float64(fwk.MaxNodeScore)*(float64(raw-lowest)/float64(highest-lowest))) * p.weight
	}
	table := p.buffers.tabulate(lowest, highest, normal)
	for i, good := range ok {
		switch {
		case !good:
		case table != nil:
			totals[i] += table[p.raw[i]-lowest]
		default:
			totals[i] += normal(p.raw[i])
		}
	}
}
