package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	helpers "k8s.io/component-helpers/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// savingPercent of what replicas cost on virtual nodes must be saved at least by
// the nodes that are ordered for them: to move them costs something too, and
// prices that are about equal must not start a move.
const savingPercent = 10

func (o *offering) asVirtual() scheduler.Virtual {
	return scheduler.Virtual{Offering: o.Name, Member: o.Offering.Member, NodeLabels: o.Virtual.NodeLabels, Tolerations: o.Virtual.Tolerations, Largest: o.Allocatable}
}

// isVirtual reports whether a node of the member is a virtual one.
func (m *member) isVirtual(n *corev1.Node) bool { return scheduler.OfferingOf(n, m.virtuals) != "" }

func requests(pod *corev1.Pod) corev1.ResourceList {
	return helpers.PodRequests(pod, helpers.PodResourcesOptions{})
}

// countPods counts the pods on the virtual nodes of an offering, those included
// that were assigned and are not seen yet, and what they cost.
func (p *plan) countPods(o *offering) {
	nodes, _ := o.member.fork.List()
	for _, ni := range nodes {
		if scheduler.OfferingOf(ni.Node(), o.member.virtuals) != o.Name {
			continue
		}
		for _, pi := range ni.GetPods() {
			if !onEveryNode(pi.GetPod()) {
				o.pods++
				o.podsCost += o.podPrice(requests(pi.GetPod()))
			}
		}
	}
}

// unsuitable says why a replica may not run on virtual nodes of an offering.
func (o *offering) unsuitable(n *need, pod *corev1.Pod) string {
	s := &pod.Spec
	switch {
	case n.Workload.Kind == "DaemonSet":
		return "daemon sets do not run on virtual nodes"
	case s.HostNetwork:
		return "it uses the network of the host"
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		if sc := c.SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
			return "it is privileged"
		}
	}
	for name, q := range requests(pod) {
		largest, ok := o.Allocatable[name]
		switch {
		case q.IsZero():
		case !ok && strings.Contains(string(name), "/"):
			return fmt.Sprintf("%s is not offered", name)
		case ok && q.Cmp(largest) > 0:
			return fmt.Sprintf("its %s of %s is more than that of the largest pod", &q, name)
		}
	}
	return ""
}

// An allowance is replicas of a need that may start on virtual nodes.
type allowance struct {
	*offering
	need  *need
	count int32
	// money of one replica an hour.
	money int64
	// soft is the same replicas, as a need of nodes.
	soft *need
}

// allow finds out how many replicas of a need may start on virtual nodes, the
// cheapest first, and puts them on the forks. Those that start together do so on
// one offering: it takes all of them, or none.
func (p *plan) allow(n *need) ([]allowance, error) {
	if n.Reservation != "" || n.Outage != "" || n.Grounded {
		return nil, nil
	}
	type candidate struct {
		*offering
		cost, money int64
	}
	var candidates []candidate
	for _, o := range p.virtual {
		m := o.member
		pod := n.pods[m]
		if pod == nil || m.State != scheduler.Serving || !n.Tolerates[m.Name] {
			continue
		}
		if avoid, why := p.avoid(o); avoid {
			p.note(map[string]string{o.Name: why})
			continue
		}
		if why := o.unsuitable(n, pod); why != "" {
			p.note(map[string]string{o.Name: why})
			continue
		}
		money := o.podPrice(requests(pod))
		candidates = append(candidates, candidate{o, p.weights.ofMoney(money, o.CapacityType) + p.weights.ofWaiting(o), money})
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.cost, b.cost) })
	var out []allowance
	for _, c := range candidates {
		missing := n.left - total(out)
		want := min(missing, c.Max-c.pods-c.allowed)
		if want <= 0 || n.Together && want < missing {
			if missing > 0 {
				p.note(map[string]string{c.Name: p.describe(limitMax) + " is reached"})
			}
			continue
		}
		if n.Together && p.affordable(c.offering, c.money, want) < want {
			continue
		}
		got, err := p.startOn(n, c.offering, want)
		if err != nil {
			return nil, err
		}
		if got > 0 {
			c.allowed += got
			out = append(out, allowance{offering: c.offering, need: n, count: got, money: c.money})
		}
	}
	return out, nil
}

func total(as []allowance) int32 {
	sum := int32(0)
	for _, a := range as {
		sum += a.count
	}
	return sum
}

// startOn simulates replicas on the virtual nodes of an offering. Of those that
// start together it leaves all on the fork, or none.
func (p *plan) startOn(n *need, o *offering, count int32) (int32, error) {
	m := o.member
	t := *n.Template
	t.Spec = scheduler.Tolerant(&n.Template.Spec, []scheduler.Virtual{o.asVirtual()})
	pod, err := t.Pod(m.fork.Base().Objects())
	if err != nil {
		p.note(map[string]string{o.Name: err.Error()})
		return 0, nil
	}
	// Nowhere else.
	na := pod.Spec.Affinity.NodeAffinity
	if na.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		na.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
	}
	terms := na.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	for i := range terms {
		for k, v := range o.Virtual.NodeLabels {
			terms[i].MatchExpressions = append(terms[i].MatchExpressions, corev1.NodeSelectorRequirement{Key: k, Operator: corev1.NodeSelectorOpIn, Values: []string{v}})
		}
	}
	mark := m.fork.Mark()
	res, err := m.Simulator.Place(p.ctx, m.fork, pod, int(count))
	part := n.Together && res.Placed < int(count)
	if err != nil || part {
		m.fork.Revert(mark)
	}
	m.fork.Commit(mark)
	switch {
	case p.ctx.Err() != nil:
		return 0, fmt.Errorf("cannot simulate %s on %s: %w", n.who, o.Name, p.ctx.Err())
	case err != nil:
		p.note(map[string]string{o.Name: "cannot be simulated: " + err.Error()})
		return 0, nil
	case res.Placed == 0 || part:
		p.note(map[string]string{o.Name: "does not fit: " + res.Message})
		return 0, nil
	}
	return int32(res.Placed), nil
}

// bridge decides which replicas may start on virtual nodes. Those that cannot
// leave again stay there for good, and need no nodes; for the others nodes are
// wanted, if they are cheaper.
func (p *plan) bridge(needs []*need) (soft []*need, allowed []allowance, err error) {
	for _, n := range needs {
		as, err := p.allow(n)
		if err != nil {
			return nil, nil, err
		}
		for _, a := range as {
			if !n.movable() || a.Virtual.Moves == fleetv1alpha1.MoveNever {
				n.left -= p.grant(a, a.count)
				continue
			}
			n.left -= a.count
			a.soft = p.softNeed(n.Demand, a.member, a.outside(p, a.money), a.count)
			soft, allowed = append(soft, a.soft), append(allowed, a)
		}
	}
	for i := range p.in.OnVirtual {
		v := &p.in.OnVirtual[i]
		o := p.offerings[v.Offering]
		if o == nil || o.Virtual == nil || o.Virtual.Moves == fleetv1alpha1.MoveNever || v.Template == nil {
			continue
		}
		n := p.softNeed(scheduler.Demand{Binding: v.Binding, Pool: v.Pool, Template: v.Template, Count: v.Count, Refused: v.Refused}, o.member, 0, v.Count)
		if pod := n.pods[o.member]; pod != nil {
			n.outside = o.outside(p, o.podPrice(requests(pod)))
			soft = append(soft, n)
		}
	}
	return soft, allowed, nil
}

func (p *plan) softNeed(d scheduler.Demand, m *member, outside int64, count int32) *need {
	n := p.newNeed(d)
	n.soft, n.only, n.outside, n.left = true, m, outside, count
	p.prepare(n)
	return n
}

// outside is what a replica on virtual nodes may cost elsewhere, at most, for
// nodes to be ordered for it.
func (o *offering) outside(p *plan, money int64) int64 {
	return p.weights.ofMoney(money, o.CapacityType) * (100 - savingPercent) / 100
}

// affordable returns how many of count replicas, each for so much money an hour,
// the limit on money allows on virtual nodes of an offering.
func (p *plan) affordable(o *offering, money int64, count int32) int32 {
	left, limited := p.moneyLeft()
	if limited && !p.occupied(o.member) {
		left -= o.member.fee
	}
	if !limited || money <= 0 || max(0, left)/money >= int64(count) {
		return count
	}
	p.limits[limitCost] = true
	p.note(map[string]string{o.Name: p.describe(limitCost) + " is reached"})
	return int32(max(0, left) / money)
}

// grant replicas as far as the limit on money allows, and return how many.
func (p *plan) grant(a allowance, count int32) int32 {
	count = p.affordable(a.offering, a.money, count)
	if count <= 0 {
		return 0
	}
	p.granted += int64(count) * a.money
	a.grantCost += int64(count) * a.money
	for i := range p.grants {
		if g := &p.grants[i]; g.Binding == a.need.Binding && g.Offering == a.Name {
			g.Count += count
			return count
		}
	}
	p.grants = append(p.grants, Grant{Binding: a.need.Binding, Member: a.member.Name, Offering: a.Name, Count: count})
	return count
}

// startThere grants what was allowed: first to replicas for which no nodes are
// on their way, and then, with the money that is left, to those that only wait
// for them. Replicas of the first sort that get nothing need nodes after all; it
// returns them.
func (p *plan) startThere(allowed []allowance) ([]*need, error) {
	var rest []*need
	for _, a := range allowed {
		stay := a.soft.left
		if missing := stay - p.grant(a, stay); missing > 0 {
			n := p.newNeed(a.need.Demand)
			n.left = missing
			p.prepare(n)
			rest = append(rest, n)
		}
	}
	if err := p.pack(rest); err != nil {
		return nil, err
	}
	for _, a := range allowed {
		p.grant(a, a.count-a.soft.left)
	}
	return rest, nil
}

// buildFor makes clusters for replicas that could only run on their virtual
// nodes, which are there as soon as the cluster is.
func (p *plan) buildFor(n *need) {
	if n.soft || n.Reservation != "" || n.Outage != "" || n.Grounded {
		return
	}
	for _, o := range p.virtual {
		m := o.member
		pod := n.pods[m]
		if n.left == 0 || pod == nil || m.State != scheduler.Absent && m.State != scheduler.Joining || o.unsuitable(n, pod) != "" {
			continue
		}
		if avoid, _ := p.avoid(o); avoid {
			continue
		}
		if !p.occupied(m) {
			if by := p.forbids(m); by != "" {
				p.limits[by] = true
				p.note(map[string]string{o.Name: p.describe(by) + " is reached"})
				continue
			}
		}
		money := o.podPrice(requests(pod))
		count := min(n.left, o.Max-o.pods-o.expected)
		if count < n.left {
			p.note(map[string]string{o.Name: p.describe(limitMax) + " is reached"})
		}
		count = p.affordable(o, money, count)
		if count <= 0 || n.Together && count < n.left {
			continue
		}
		o.expected += count
		p.awaited += int64(count) * money
		n.left -= count
		m.demanded = true
		p.planned += count
	}
}
