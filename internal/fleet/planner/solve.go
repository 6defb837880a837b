package planner

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"regionpool.io/provider-regionpool/internal/fleet/planner/choice"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A model is a choice problem made from needs and offerings.
type model struct {
	choice.Problem
	needs []*need
	// dims are the resources that somebody asks for; pods come last.
	dims []corev1.ResourceName
	// private are what nodes have one of, after the dims.
	private []string
	kinds   []kind
	// refused says of offerings why no node of them is to be had, or is of use.
	refused map[string]string
	blocked map[string]bool
}

// A kind is what a choice.Kind stands for.
type kind struct {
	*offering
	// opened nodes by name; nil for nodes that are not on the fork yet.
	opened []string
	rented bool
}

// choose packs plain needs together onto what is promised and onto nodes to
// order, of one member or of all. It returns needs that turn out not to be
// plain.
func (p *plan) choose(needs []*need, only *member) ([]*need, error) {
	var odd []*need
	for {
		open := slices.DeleteFunc(slices.Clone(needs), func(n *need) bool { return n.left == 0 || !n.plain })
		if len(open) == 0 {
			return odd, nil
		}
		m, err := p.model(open, only, nil)
		if err != nil {
			return nil, err
		}
		s := choice.Solve(&m.Problem)
		if !s.Exact {
			if m, s, err = p.repeatable(open, only, m, s); err != nil {
				return nil, err
			}
		}
		strange, err := p.judge(m, s)
		if err != nil {
			return nil, err
		}
		if strange != nil {
			strange.plain = false
			odd = append(odd, strange)
			continue
		}
		if err := p.apply(m, s); err != nil {
			return nil, err
		}
		p.explainChoice(m, s, only)
		return odd, nil
	}
}

// slack is how many percent of its nodes a choice that is not exact does
// without, one after the other, so that the limit leaves some to add.
var slack = []int32{0, 2, 5, 10}

// repeatable adds nodes to a choice that is not exact, until the next plan will
// find room for everything on them: it sees them as promised, and must not order
// more because it packs them in another way.
func (p *plan) repeatable(needs []*need, only *member, first *model, s *choice.Solution) (*model, *choice.Solution, error) {
	limit, rented := first.Nodes, int32(0)
	for _, n := range s.Nodes {
		if first.kinds[n.Kind].rented {
			rented += n.Count
		}
	}
	m := first
	for _, percent := range slack {
		if percent > 0 {
			m.Nodes = min(limit, rented-max(1, rented*percent/100))
			if s = choice.Solve(&m.Problem); s.Short(&m.Problem) {
				break
			}
		}
		next, t, err := p.again(needs, only, m, s)
		if err != nil {
			return nil, nil, err
		}
		if !t.Short(&next.Problem) || limit < 0 || s.Short(&m.Problem) {
			return next, t, nil
		}
	}
	m.Nodes = limit
	return p.again(needs, only, m, choice.Solve(&m.Problem))
}

// again solves a problem as the next plan will see it, and adds what it misses.
func (p *plan) again(needs []*need, only *member, m *model, s *choice.Solution) (*model, *choice.Solution, error) {
	extra := map[*offering]int32{}
	for range 3 {
		more := false
		for _, n := range s.Nodes {
			if k := m.kinds[n.Kind]; k.rented {
				extra[k.offering] += n.Count
				more = true
			}
		}
		if !more {
			break
		}
		next, err := p.model(needs, only, extra)
		if err != nil {
			return nil, nil, err
		}
		m, s = next, choice.Solve(&next.Problem)
	}
	return m, s, nil
}

// model makes a problem. Extra nodes are taken as promised.
func (p *plan) model(needs []*need, only *member, extra map[*offering]int32) (*model, error) {
	m := &model{needs: needs, refused: map[string]string{}, blocked: map[string]bool{}}
	l := p.in.Plan.Spec.Limits
	m.Nodes, m.Clusters, m.Money, m.Spread = choice.Unlimited, choice.Unlimited, choice.Unlimited, p.weights.spread
	nodes, clusters, _ := p.ending(nil)
	taken, spent, opens := int32(0), int64(0), int32(0)
	fresh := map[*member]bool{}
	for o, n := range extra {
		taken += n
		spent += int64(n) * o.capPrice
		if !p.occupied(o.member) && !fresh[o.member] {
			fresh[o.member] = true
			if !p.isEnding(o.member) {
				spent += o.member.fee
				opens++
			}
		}
	}
	if l.Nodes != nil {
		m.Nodes = max(0, *l.Nodes-p.billedNodes()-nodes-taken)
	}
	if l.Clusters != nil {
		m.Clusters = max(0, *l.Clusters-p.clusters()-clusters-opens)
	}
	if left, limited := p.moneyLeft(); limited {
		m.Money = max(0, left-spent)
	}
	index := map[*member]int{}
	for _, mb := range p.order {
		index[mb] = len(m.Members)
		c := choice.Member{}
		if mb.Elastic && !p.occupied(mb) && !fresh[mb] {
			c = choice.Member{Fee: p.weights.ofMoney(mb.fee, ""), Money: mb.fee, Clusters: 1}
			if p.isEnding(mb) {
				// It counts already.
				c.Money, c.Clusters = 0, 0
			}
		}
		m.Members = append(m.Members, c)
	}
	m.shapes()
	if m.Spread > 0 {
		z := p.zones()
		for o, n := range extra {
			z.add(o, int(o.outstanding), n)
		}
		m.Zones = z.counts
	}
	p.addOpened(m, only)
	for _, o := range p.stock {
		if only != nil && o.member != only {
			continue
		}
		if err := p.addOffering(m, o, index[o.member], extra[o]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// shapes fills in what the needs ask for.
func (m *model) shapes() {
	m.dims = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	for _, n := range m.needs {
		r := requestsOf(n.info)
		if r.GetEphemeralStorage() > 0 && !slices.Contains(m.dims, corev1.ResourceEphemeralStorage) {
			m.dims = append(m.dims, corev1.ResourceEphemeralStorage)
		}
		var scalars []corev1.ResourceName
		for name, q := range r.GetScalarResources() {
			if q > 0 && !slices.Contains(m.dims, name) {
				scalars = append(scalars, name)
			}
		}
		slices.Sort(scalars)
		m.dims = append(m.dims, scalars...)
	}
	m.dims = append(m.dims, corev1.ResourcePods)
	for _, n := range m.needs {
		for _, key := range n.private {
			if !slices.Contains(m.private, key) {
				m.private = append(m.private, key)
			}
		}
	}
	m.Private = len(m.private)
	for _, n := range m.needs {
		size := m.vector(requestsOf(n.info), 1)
		for i, key := range m.private {
			if slices.Contains(n.private, key) {
				size[len(m.dims)+i] = 1
			}
		}
		s := choice.Shape{Size: size, Count: n.left, Soft: n.soft, Outside: n.outside}
		m.Shapes = append(m.Shapes, s)
	}
}

// vector returns resources in the order of dims.
func (m *model) vector(r fwk.Resource, pods int64) []int64 {
	out := make([]int64, len(m.dims)+len(m.private))
	for i, name := range m.dims {
		switch name {
		case corev1.ResourceCPU:
			out[i] = r.GetMilliCPU()
		case corev1.ResourceMemory:
			out[i] = r.GetMemory()
		case corev1.ResourceEphemeralStorage:
			out[i] = r.GetEphemeralStorage()
		case corev1.ResourcePods:
			out[i] = pods
		default:
			out[i] = r.GetScalarResources()[name]
		}
	}
	return out
}

// free returns what is free on a node.
func (m *model) free(ni fwk.NodeInfo) []int64 {
	out := m.vector(ni.GetAllocatable(), int64(ni.GetAllocatable().GetAllowedPodNumber()))
	for i, used := range m.vector(ni.GetRequested(), int64(len(ni.GetPods()))) {
		out[i] -= used
	}
	for i := range m.private {
		out[len(m.dims)+i] = 1
	}
	for _, n := range m.needs {
		for i, key := range m.private {
			if slices.Contains(n.private, key) && !n.free(ni) {
				out[len(m.dims)+i] = 0
			}
		}
	}
	return out
}

// addOpened adds the nodes that this plan has packed something on.
func (p *plan) addOpened(m *model, only *member) {
	for _, x := range p.opened {
		ni := x.member.fork.Node(x.name)
		if ni == nil || only != nil && x.member != only {
			continue
		}
		k := choice.Kind{Room: m.free(ni), Max: 1, Promised: true, Takes: make([]bool, len(m.needs))}
		some := false
		for i, n := range m.needs {
			pod := n.pods[x.member]
			if pod == nil || repels(ni, pod, func(string) bool { return true }) {
				continue
			}
			v, err := p.verdict(n, x.offering)
			k.Takes[i] = err == nil && v.takes
			some = some || k.Takes[i]
		}
		if !some {
			continue
		}
		j := slices.IndexFunc(m.kinds, func(o kind) bool { return o.offering == x.offering && o.opened != nil })
		for ; j >= 0 && j < len(m.kinds); j++ {
			if m.kinds[j].offering == x.offering && slices.Equal(m.Kinds[j].Room, k.Room) && slices.Equal(m.Kinds[j].Takes, k.Takes) {
				break
			}
		}
		if j >= 0 && j < len(m.kinds) {
			m.Kinds[j].Max++
			m.kinds[j].opened = append(m.kinds[j].opened, x.name)
			continue
		}
		m.Kinds = append(m.Kinds, k)
		m.kinds = append(m.kinds, kind{offering: x.offering, opened: []string{x.name}})
	}
}

// addOffering adds the promised nodes of an offering, and those that may be
// ordered.
func (p *plan) addOffering(m *model, o *offering, index int, extra int32) error {
	promised := extra
	for c := range categories {
		used, have := o.promised(c)
		promised += max(0, have-*used)
	}
	room, by := p.room(o)
	room = max(0, room-extra)
	avoid, why := p.avoid(o)
	blank := p.blank(o)
	if len(blank) > 0 {
		p.learn(o, blank)
	}
	ni := p.template0(o)
	k := choice.Kind{
		Room: m.free(ni), Takes: make([]bool, len(m.needs)), Max: promised, Promised: true,
		Cost: p.nodeCost(o), Money: o.capPrice, Wait: p.weights.ofWaiting(o), Member: index,
	}
	rent := make([]bool, len(m.needs))
	misfit := ""
	rentable := false
	for i, n := range m.needs {
		if n.pods[o.member] == nil {
			if n.why[o.member] != "" {
				misfit = n.why[o.member]
			}
			continue
		}
		if scarce := m.scarce(k.Room, m.Shapes[i].Size); scarce != "" {
			misfit = "does not fit: Insufficient " + scarce
			continue
		}
		v, err := p.verdict(n, o)
		if err != nil {
			return err
		}
		if k.Takes[i] = v.takes; !v.takes {
			misfit = "does not fit: " + v.message
			continue
		}
		switch {
		case n.Outage != "":
			misfit = n.Outage
		case len(blank) > 0 && len(blank) >= len(o.Zones):
			// Another would be as useless, except in another zone.
			misfit = useless(blank[0].Node().Name)
		default:
			rent[i], rentable = true, true
		}
	}
	if promised > 0 && slices.Contains(k.Takes, true) {
		m.Kinds = append(m.Kinds, k)
		m.kinds = append(m.kinds, kind{offering: o})
	}
	switch {
	case misfit != "" && !rentable:
		m.refused[o.Name] = misfit
	case avoid:
		m.refused[o.Name] = why
	case room == 0:
		m.refused[o.Name] = p.describe(by) + " is reached"
		m.blocked[by] = true
	case rentable:
		k.Takes, k.Max, k.Promised = rent, room, false
		if m.Spread > 0 {
			z := p.zones()
			for i := range o.Zones {
				k.Zones = append(k.Zones, z.index(o.zoneLabel(o.Zones[(int(o.outstanding+o.ordered+extra)+i)%len(o.Zones)])))
			}
		}
		m.Kinds = append(m.Kinds, k)
		m.kinds = append(m.kinds, kind{offering: o, rented: true})
	}
	return nil
}

// scarce names the resource of which a node has less than a replica asks for.
func (m *model) scarce(room, size []int64) string {
	for i, s := range size {
		switch {
		case s <= 0 || s <= room[i]:
		case i < len(m.dims):
			return string(m.dims[i])
		default:
			return "room beside what runs on every node"
		}
	}
	return ""
}

// template0 is an empty node of an offering.
func (p *plan) template0(o *offering) *framework.NodeInfo {
	node, daemons := p.templateAt(o, 0)
	ni := framework.NewNodeInfo(daemons...)
	ni.SetNode(node)
	return ni
}

// judge asks the simulation whether new nodes can be filled as they were chosen
// to be. It returns a need for which that is not so.
func (p *plan) judge(m *model, s *choice.Solution) (*need, error) {
	for _, n := range s.Nodes {
		k := m.kinds[n.Kind]
		if k.opened != nil {
			continue
		}
		node, daemons := p.templateAt(k.offering, 0)
		bound := make([]*corev1.Pod, 0, len(daemons))
		for _, d := range daemons {
			c := *d
			c.Spec.NodeName = node.Name
			bound = append(bound, &c)
		}
		f := snapshot.NewWithObjects([]*corev1.Node{node}, bound, k.member.fork.Base().Objects()).Fork()
		for i, count := range n.Fill {
			if count == 0 {
				continue
			}
			res, err := k.member.Simulator.Place(p.ctx, f, m.needs[i].pods[k.member], int(count))
			if err != nil && p.ctx.Err() != nil {
				return nil, fmt.Errorf("cannot simulate %s on a node of %s: %w", m.needs[i].who, k.Name, err)
			}
			if err != nil || res.Placed < int(count) {
				return m.needs[i], nil
			}
		}
	}
	return nil, nil
}

// apply puts a solution onto the forks, and orders what it rents.
func (p *plan) apply(m *model, s *choice.Solution) error {
	for _, n := range s.Nodes {
		k := &m.kinds[n.Kind]
		for range n.Count {
			name, err := p.take(k)
			if err != nil {
				return err
			}
			for i, count := range n.Fill {
				if err := p.put(m.needs[i], k.offering, name, count); err != nil {
					return err
				}
				m.needs[i].left -= count
				if k.rented {
					p.planned += count
				}
			}
		}
		if k.rented {
			k.member.demanded = true
		}
	}
	return nil
}

// take returns a node of a kind that is on the fork.
func (p *plan) take(k *kind) (string, error) {
	if k.opened != nil {
		name := k.opened[0]
		k.opened = k.opened[1:]
		return name, nil
	}
	o := k.offering
	found := false
	for c := range categories {
		if used, have := o.promised(c); !k.rented && have > *used {
			*used++
			found = true
			break
		}
	}
	if !found {
		// Rented, or taken as promised only to make the choice repeatable.
		o.ordered++
		o.want++
		o.member.demanded = true
	}
	node, daemons := p.template(o)
	if err := o.member.fork.AddNode(node, daemons...); err != nil {
		return "", fmt.Errorf("cannot add a node of %s: %w", o.Name, err)
	}
	p.opened = append(p.opened, opened{node.Name, o})
	return node.Name, nil
}

// put adds replicas of a need to a node of the fork.
func (p *plan) put(n *need, o *offering, node string, count int32) error {
	f := o.member.fork
	for range count {
		pod := *n.pods[o.member]
		id := f.Serial()
		pod.Name = fmt.Sprintf("%s-%d", pod.Name, id)
		pod.UID = types.UID(fmt.Sprintf("planned-%d", id))
		pod.Spec.NodeName = node
		pi := *n.info
		pi.Pod = &pod
		if err := f.AddPodInfo(node, &pi); err != nil {
			return fmt.Errorf("cannot put %s on a node of %s: %w", n.who, o.Name, err)
		}
	}
	p.hold(n, node, count)
	return nil
}

// explainChoice notes why offerings were not chosen, and what forbade more.
func (p *plan) explainChoice(m *model, s *choice.Solution, only *member) {
	replicas, cost := choice.Rented(&m.Problem, s)
	var chosen []string
	used := map[*offering]bool{}
	for _, n := range s.Nodes {
		if k := m.kinds[n.Kind]; k.rented && !used[k.offering] {
			used[k.offering] = true
			chosen = append(chosen, k.Name)
		}
	}
	for i, k := range m.kinds {
		if !k.rented || used[k.offering] || replicas == 0 {
			continue
		}
		switch alone, all := choice.Alone(&m.Problem, s, i); {
		case !all:
			m.refused[k.Name] = "no use: it takes only a part of them, and that costs less elsewhere"
		case alone < cost:
			m.refused[k.Name] = "no use: more of them have a place on " + strings.Join(chosen, ", ")
		case alone == cost:
			m.refused[k.Name] = fmt.Sprintf("not cheaper: %s a replica, as %s", money(alone/int64(replicas)), strings.Join(chosen, ", "))
		default:
			m.refused[k.Name] = fmt.Sprintf("dearer: %s a replica, %s costs %s", money(alone/int64(replicas)), strings.Join(chosen, ", "), money(cost/int64(replicas)))
		}
	}
	short := slices.ContainsFunc(m.needs, func(n *need) bool { return n.left > 0 && !n.soft })
	if replicas > 0 || short && only == nil {
		p.note(m.refused)
	}
	if !short || only != nil {
		return
	}
	for _, n := range m.needs {
		if n.left == 0 || n.soft {
			continue
		}
		some := false
		for _, o := range p.stock {
			if n.pods[o.member] == nil || m.scarce(m.free(p.template0(o)), m.vector(requestsOf(n.info), 1)) != "" {
				p.limits[noOffering] = true
				continue
			}
			if avoid, _ := p.avoid(o); avoid {
				p.limits[noOffering] = true
				continue
			}
			some = true
			if v, err := p.verdict(n, o); err != nil || !v.takes || n.Outage != "" {
				p.limits[noOffering] = true
				continue
			}
			if blank := p.blank(o); len(blank) > 0 && len(blank) >= len(o.Zones) {
				p.limits[noOffering] = true
				continue
			}
			_, by := p.room(o)
			p.limits[by] = true
			p.note(map[string]string{o.Name: p.describe(by) + " is reached"})
		}
		if !some {
			p.limits[noOffering] = true
		}
	}
}
