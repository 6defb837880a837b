package simulation

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/helper"
	pluginnames "k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/utils/ptr"
)

// A spreadConstraint of one pod. It and what follows is PodTopologySpread of
// k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread, which
// counts all pods of the cluster again for every pod, over counts that one more
// copy changes in one place.
type spreadConstraint struct {
	maxSkew                    int32
	minDomains                 int32
	key                        string
	selector                   labels.Selector
	honorAffinity, honorTaints bool
	// self says that one more copy counts.
	self    bool
	domains *domains
	// counts of matching pods by domain.
	counts []int64
}

// constraints returns the pod's constraints, or those of the cluster, that ask
// for the action, and whether they are its own.
func (r *quickRun) constraints(pod *corev1.Pod, action corev1.UnsatisfiableConstraintAction) ([]spreadConstraint, error) {
	from, selector := pod.Spec.TopologySpreadConstraints, labels.Selector(nil)
	if len(from) == 0 {
		from = r.profile.spread.defaults
	}
	var out []spreadConstraint
	for i := range from {
		c := &from[i]
		if c.WhenUnsatisfiable != action {
			continue
		}
		k := spreadConstraint{
			maxSkew: c.MaxSkew, key: c.TopologyKey, minDomains: ptr.Deref(c.MinDomains, 1),
			honorAffinity: ptr.Deref(c.NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor) == corev1.NodeInclusionPolicyHonor,
			honorTaints:   ptr.Deref(c.NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore) == corev1.NodeInclusionPolicyHonor,
		}
		if len(pod.Spec.TopologySpreadConstraints) > 0 {
			s, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
			if err != nil {
				return nil, fmt.Errorf("cannot read the selector of a spread constraint: %w", err)
			}
			k.selector = withKeys(s, c.MatchLabelKeys, pod.Labels)
		} else {
			if selector == nil {
				l := r.profile.spread
				selector = helper.DefaultSelector(pod, l.services, l.controllers, l.replicaSets, l.statefulSets)
				if selector.Empty() {
					return nil, nil
				}
			}
			k.selector = selector
		}
		// An empty selector matches every pod, but none is counted.
		k.self = !k.selector.Empty() && k.selector.Matches(labels.Set(pod.Labels))
		out = append(out, k)
	}
	return out, nil
}

// withKeys adds that the values of the keys are those of the pod.
func withKeys(s labels.Selector, keys []string, have map[string]string) labels.Selector {
	same := labels.Set{}
	for _, k := range keys {
		if v, ok := have[k]; ok {
			same[k] = v
		}
	}
	requirements, selectable := s.Requirements()
	if len(same) == 0 || !selectable {
		return s
	}
	return labels.SelectorFromSet(same).Add(requirements...)
}

// count calls fn with the number of pods on each node, if any, that a spread
// constraint of the pod counts there.
func (r *quickRun) count(pod *corev1.Pod, s labels.Selector, fn func(i int, n int64)) {
	if s.Empty() {
		return
	}
	v := r.view
	v.found = v.found[:0]
	v.selected(pod.Namespace, s, func(at int32) {
		if !v.all[at].terminating {
			v.found = append(v.found, at)
		}
	})
	left := v.tallied(v.found)
	if left == 0 {
		return
	}
	v.hit = append(v.hit[:0], make([]bool, len(v.all))...)
	for _, at := range v.found {
		v.hit[at] = true
	}
	for i, at := range v.order {
		var n int32
		for _, p := range v.slots[at].now.present {
			if v.hit[p.class] {
				n += p.count
			}
		}
		if n == 0 {
			continue
		}
		fn(i, int64(n))
		if left -= n; left <= 0 {
			return
		}
	}
}

// eligible reports whether a constraint spreads over node i.
func (r *quickRun) eligible(c *spreadConstraint, i int) bool {
	j := &r.judged.of[r.view.order[i]]
	return (!c.honorAffinity || j.matches) && (!c.honorTaints || j.tolerated)
}

// haveLabels reports whether node i has the labels of all constraints.
func haveLabels[C any](cs []C, of func(*C) *spreadConstraint, i int) bool {
	for k := range cs {
		if of(&cs[k]).domains.of[i] < 0 {
			return false
		}
	}
	return true
}

// A hardSpread is the pod's constraints that must hold.
type hardSpread struct {
	constraints []hardConstraint
}

type hardConstraint struct {
	spreadConstraint
	// skews says that a node's domain can have more than the lowest: whether
	// one more copy counts in judging, as it does with an empty selector.
	more int64
	// present domains are those that have eligible nodes; counting has the
	// nodes whose pods count.
	present  []bool
	counting []bool
	num      int
	// lowest count of a present domain, and how many have it.
	lowest   int64
	atLowest int
}

func constraintOf(c *hardConstraint) *spreadConstraint { return &c.spreadConstraint }

func (r *quickRun) newHardSpread(pod *corev1.Pod) (*hardSpread, error) {
	cs, err := r.constraints(pod, corev1.DoNotSchedule)
	if err != nil || len(cs) == 0 {
		return nil, err
	}
	r.view.classify()
	h := &hardSpread{}
	for _, c := range cs {
		c.domains = r.view.domains(c.key)
		c.counts = r.view.ints.take(c.domains.num())
		h.constraints = append(h.constraints, hardConstraint{spreadConstraint: c})
	}
	for k := range h.constraints {
		c := &h.constraints[k]
		if c.selector.Matches(labels.Set(pod.Labels)) {
			c.more = 1
		}
		c.present, c.counting = r.view.bools.take(len(c.counts)), r.view.bools.take(len(r.view.order))
		for i, d := range c.domains.of {
			if d >= 0 && haveLabels(h.constraints, constraintOf, i) && r.eligible(&c.spreadConstraint, i) {
				c.present[d], c.counting[i] = true, true
			}
		}
		r.count(pod, c.selector, func(i int, n int64) {
			if c.counting[i] {
				c.counts[c.domains.of[i]] += n
			}
		})
		c.findLowest()
	}
	return h, nil
}

func (c *hardConstraint) findLowest() {
	c.lowest, c.atLowest, c.num = math.MaxInt32, 0, 0
	for d, ok := range c.present {
		if !ok {
			continue
		}
		c.num++
		switch n := c.counts[d]; {
		case n < c.lowest:
			c.lowest, c.atLowest = n, 1
		case n == c.lowest:
			c.atLowest++
		}
	}
}

// floor is the count that others may not be further from than the skew.
func (c *hardConstraint) floor() int64 {
	if c.num < int(c.minDomains) {
		return 0
	}
	return c.lowest
}

// What a hardSpread says of a node.
const (
	reasonSpread      = "node(s) didn't match pod topology spread constraints"
	reasonSpreadLabel = reasonSpread + " (missing required label)"
)

// refuses returns why node i is not feasible, or nothing.
func (h *hardSpread) refuses(i int) string {
	for k := range h.constraints {
		c := &h.constraints[k]
		d := c.domains.of[i]
		if d < 0 {
			return reasonSpreadLabel
		}
		if c.counts[d]+c.more-c.floor() > int64(c.maxSkew) {
			return reasonSpread
		}
	}
	return ""
}

// placed notes a copy on node i and calls fn for each node of which something
// else may be true now.
func (h *hardSpread) placed(i int, fn func(int)) {
	all := false
	for k := range h.constraints {
		c := &h.constraints[k]
		if !c.self || !c.counting[i] {
			continue
		}
		d := c.domains.of[i]
		c.counts[d]++
		if c.counts[d] == c.lowest+1 {
			if c.atLowest--; c.atLowest == 0 {
				before := c.floor()
				c.findLowest()
				all = all || c.floor() != before
			}
		}
	}
	if all {
		for n := range h.constraints[0].domains.of {
			fn(n)
		}
		return
	}
	for k := range h.constraints {
		c := &h.constraints[k]
		if c.self && c.counting[i] {
			for _, n := range c.domains.members[c.domains.of[i]] {
				fn(int(n))
			}
		}
	}
}

// A softSpread scores nodes by the pod's constraints that need not hold.
type softSpread struct {
	constraints []softConstraint
	weight      int64
	// ignored nodes lack the label of a constraint where all are asked for.
	ignored []bool
	raw     []int64
	// feasible nodes that are not ignored.
	feasible int
	// stale says that no raw score is good.
	stale bool

	buffers *buffers
}

type softConstraint struct {
	spreadConstraint
	// host constraints are counted by node, in counts.
	host bool
	// candidates are the feasible nodes of each domain, num the domains that
	// have any.
	candidates []int32
	num        int
	factor     float64
}

func (r *quickRun) newSoftSpread(pod *corev1.Pod) (*softSpread, error) {
	cs, err := r.constraints(pod, corev1.ScheduleAnyway)
	weight := r.profile.weights[pluginnames.PodTopologySpread]
	if err != nil || len(cs) == 0 || weight == 0 {
		return nil, err
	}
	r.view.classify()
	n := len(r.view.order)
	s := &softSpread{weight: weight, raw: r.view.ints.take(n), stale: true, buffers: &r.view.buffers}
	for _, c := range cs {
		k := softConstraint{spreadConstraint: c, host: c.key == corev1.LabelHostname}
		k.domains = r.view.domains(c.key)
		if k.host {
			k.counts = r.view.ints.take(n)
		} else {
			k.counts, k.candidates = r.view.ints.take(k.domains.num()), make([]int32, k.domains.num())
		}
		s.constraints = append(s.constraints, k)
	}
	if len(pod.Spec.TopologySpreadConstraints) > 0 || !r.profile.spread.system {
		s.ignored = r.view.bools.take(n)
		for i := range n {
			s.ignored[i] = !haveLabels(s.constraints, func(c *softConstraint) *spreadConstraint { return &c.spreadConstraint }, i)
		}
	}
	for k := range s.constraints {
		c := &s.constraints[k]
		r.count(pod, c.selector, func(i int, m int64) {
			if c.host {
				c.counts[i] = m
			} else if s.counts(i) && r.eligible(&c.spreadConstraint, i) {
				c.counts[c.domain(i)] += m
			}
		})
	}
	return s, nil
}

// counts reports whether pods on node i count.
func (s *softSpread) counts(i int) bool { return s.ignored == nil || !s.ignored[i] }

// domain of node i; the one of the empty value if it lacks the label.
func (c *softConstraint) domain(i int) int32 {
	if d := c.domains.of[i]; d >= 0 {
		return d
	}
	return c.domains.unlabelled
}

// setFeasible notes that node i became feasible, or ceased to be.
func (s *softSpread) setFeasible(i int, feasible bool) {
	by := int32(-1)
	if feasible {
		// Nothing is scored while it is not feasible.
		by, s.stale = 1, true
	}
	if !s.counts(i) {
		return
	}
	s.feasible += int(by)
	for k := range s.constraints {
		c := &s.constraints[k]
		if c.host {
			s.stale = true
			continue
		}
		d := c.domain(i)
		c.candidates[d] += by
		switch {
		case by > 0 && c.candidates[d] == 1:
			c.num++
		case by < 0 && c.candidates[d] == 0:
			c.num--
			s.stale = true
		}
	}
}

// placed notes a copy on node i.
func (s *softSpread) placed(r *quickRun, i int) {
	for k := range s.constraints {
		c := &s.constraints[k]
		switch {
		case !c.self:
		case c.host:
			c.counts[i]++
			s.score(i)
		case s.counts(i) && r.eligible(&c.spreadConstraint, i):
			d := c.domain(i)
			c.counts[d]++
			for _, n := range c.domains.members[d] {
				s.score(int(n))
			}
		}
	}
}

// score computes the raw score of node i.
func (s *softSpread) score(i int) {
	if s.stale {
		return
	}
	var score float64
	for k := range s.constraints {
		c := &s.constraints[k]
		d := c.domains.of[i]
		if d < 0 {
			continue
		}
		at := d
		if c.host {
			at = int32(i)
		}
		score += float64(c.counts[at])*c.factor + float64(c.maxSkew-1)
	}
	s.raw[i] = int64(math.Round(score))
}

// refresh computes what is not good any more.
func (s *softSpread) refresh(ok []bool) {
	if !s.stale {
		return
	}
	s.stale = false
	for k := range s.constraints {
		c := &s.constraints[k]
		num := c.num
		if c.host {
			num = s.feasible
		}
		c.factor = math.Log(float64(num + 2))
	}
	for i := range ok {
		if ok[i] && s.counts(i) {
			s.score(i)
		}
	}
}

// add adds the weighted scores of the feasible nodes.
func (s *softSpread) add(ok []bool, totals []int64) {
	s.refresh(ok)
	lowest, highest := int64(math.MaxInt64), int64(0)
	for i, good := range ok {
		if good && s.counts(i) {
			lowest, highest = min(lowest, s.raw[i]), max(highest, s.raw[i])
		}
	}
	normal := func(raw int64) int64 {
		if highest == 0 {
			return fwk.MaxNodeScore * s.weight
		}
		return fwk.MaxNodeScore * (highest + lowest - raw) / highest * s.weight
	}
	table := s.buffers.tabulate(lowest, highest, normal)
	for i, good := range ok {
		switch {
		case !good || !s.counts(i):
		case table != nil:
			totals[i] += table[s.raw[i]-lowest]
		default:
			totals[i] += normal(s.raw[i])
		}
	}
}
