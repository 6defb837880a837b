package whatif

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// maxNodes that a question may add in one place.
const maxNodes = 10000

// change makes the changes that a question asks for.
func (p *play) change(q Question) error {
	for _, a := range q.AddNodes {
		if err := p.add(a); err != nil {
			return err
		}
	}
	for _, name := range q.Lose {
		if err := p.lose(name); err != nil {
			return err
		}
	}
	for _, s := range q.Scale {
		if err := p.scale(s); err != nil {
			return err
		}
	}
	if q.Horizon.Duration < 0 {
		return fmt.Errorf("cannot look %s ahead", q.Horizon.Duration)
	}
	return nil
}

// Find returns the binding of an ID, or of a workload that is named
// namespace/name or namespace/kind/name, in any case of kind. An error says that
// there is none, or that there are several.
func Find(bindings []scheduler.Binding, name string) (*scheduler.Binding, error) {
	var found []*scheduler.Binding
	for i := range bindings {
		b := &bindings[i]
		if b.ID == name {
			return b, nil
		}
		k := b.Workload
		if name == k.Namespace+"/"+k.Name || strings.EqualFold(name, k.Namespace+"/"+k.Kind+"/"+k.Name) {
			found = append(found, b)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no pool places %q: name a workload as namespace/name, or its ResourceBinding", name)
	case 1:
		return found[0], nil
	}
	var kinds []string
	for _, b := range found {
		kinds = append(kinds, strings.Join([]string{b.Workload.Namespace, b.Workload.Kind, b.Workload.Name}, "/"))
	}
	return nil, fmt.Errorf("%q is several workloads: say %s", name, strings.Join(kinds, " or "))
}

func (p *play) scale(s Scale) error {
	b, err := Find(p.in.Bindings, s.Binding)
	switch {
	case err != nil:
		return err
	case s.Replicas < 0:
		return fmt.Errorf("%s cannot have %d replicas", s.Binding, s.Replicas)
	case !b.Divided:
		return fmt.Errorf("%s has no replicas: it goes whole to every member", s.Binding)
	case b.Problem != "":
		return fmt.Errorf("%s cannot be placed: %s", s.Binding, b.Problem)
	case b.Held:
		return fmt.Errorf("%s is not placed while its scheduling is suspended", s.Binding)
	}
	b.Replicas = s.Replicas
	return nil
}

// lose takes a member out of the pools and their plans.
func (p *play) lose(name string) error {
	if p.members[name] == nil {
		return p.unknown("member", name, slices.Collect(maps.Keys(p.members)))
	}
	delete(p.members, name)
	for i := range p.in.Pools {
		pool := &p.in.Pools[i]
		pool.Members = slices.DeleteFunc(pool.Members, func(m scheduler.Member) bool { return m.Name == name })
		pool.Virtual = slices.DeleteFunc(pool.Virtual, func(v scheduler.Virtual) bool { return v.Member == name })
	}
	for i := range p.plans {
		in := &p.plans[i]
		delete(in.Members, name)
		plan := in.Plan
		of := func(offering string) bool {
			o := offeringOf(plan, offering)
			return o != nil && o.Member == name
		}
		plan.Status.Offerings = slices.DeleteFunc(plan.Status.Offerings, func(o fleetv1alpha1.OfferingStatus) bool { return of(o.Name) })
		plan.Status.Members = slices.DeleteFunc(plan.Status.Members, func(m fleetv1alpha1.PlanMemberStatus) bool { return m.Name == name })
		plan.Spec.Members = slices.DeleteFunc(plan.Spec.Members, func(m fleetv1alpha1.PlanMember) bool { return m.Name == name })
		plan.Spec.Offerings = slices.DeleteFunc(plan.Spec.Offerings, func(o fleetv1alpha1.Offering) bool { return o.Member == name })
	}
	return nil
}

func (p *play) unknown(what, name string, known []string) error {
	slices.Sort(known)
	return fmt.Errorf("there is no %s %q; there are %s", what, name, strings.Join(slices.Compact(known), ", "))
}

func (p *play) add(a AddNodes) error {
	if a.Count < 1 || a.Count > maxNodes {
		return fmt.Errorf("cannot add %d nodes: say 1 to %d", a.Count, maxNodes)
	}
	said := 0
	for _, is := range []bool{a.Offering != "", a.InstanceType != "", a.Like != "", len(a.Allocatable) > 0} {
		if is {
			said++
		}
	}
	if said != 1 {
		return fmt.Errorf("say what the %d nodes are like by one of offering, instanceType, like and allocatable", a.Count)
	}
	shapes, err := p.shapes(&a)
	if err != nil {
		return err
	}
	m := p.members[a.Member]
	switch s := p.state(a.Member); {
	case s == scheduler.Absent && a.Offering != "", s == scheduler.Joining && a.Offering != "":
		// It is thought to be there with its nodes.
		for i := range p.plans {
			if offeringOf(p.plans[i].Plan, a.Offering) == nil {
				continue
			}
			if err := p.arrive(arrival{plan: i, member: a.Member}); err != nil {
				return err
			}
		}
	case s != scheduler.Serving || m.snapshot == nil:
		return fmt.Errorf("cannot add nodes to %s: it takes no replicas now", a.Member)
	}
	for _, s := range shapes {
		p.serial++
		m.addNode(s, fmt.Sprintf("whatif-%s-%d", a.Member, p.serial), p.in.Now)
	}
	p.show(m)
	return nil
}

// shapes returns what the nodes to add are like, and says to which member they
// go if the question does not.
func (p *play) shapes(a *AddNodes) ([]planner.Shape, error) {
	if a.Offering != "" {
		return p.offered(a)
	}
	m := p.members[a.Member]
	if m == nil {
		return nil, p.unknown("member", a.Member, slices.Collect(maps.Keys(p.members)))
	}
	m.open()
	switch {
	case a.Like != "":
		names := []string{}
		for _, n := range m.nodes {
			if n.Name == a.Like {
				return m.alike(n, a.Count), nil
			}
			names = append(names, n.Name)
		}
		return nil, fmt.Errorf("%s has no node %q among its %d", a.Member, a.Like, len(names))
	case a.InstanceType != "":
		types := []string{}
		for _, n := range m.nodes {
			t := n.Labels[corev1.LabelInstanceTypeStable]
			if t == a.InstanceType {
				return m.alike(n, a.Count), nil
			}
			if t != "" {
				types = append(types, t)
			}
		}
		for i := range p.plans {
			for _, o := range p.plans[i].Plan.Spec.Offerings {
				if o.Virtual != nil {
					continue
				}
				if o.InstanceType == a.InstanceType {
					return m.custom(o.Allocatable, map[string]string{corev1.LabelInstanceTypeStable: o.InstanceType}, nil, a.Count), nil
				}
				types = append(types, o.InstanceType)
			}
		}
		return nil, p.unknown("instance type", a.InstanceType, slices.DeleteFunc(types, func(t string) bool { return t == "" }))
	}
	return m.custom(a.Allocatable, a.Labels, a.Taints, a.Count), nil
}

func (p *play) offered(a *AddNodes) ([]planner.Shape, error) {
	var known []string
	for i := range p.plans {
		for _, o := range p.plans[i].Plan.Spec.Offerings {
			if o.Virtual != nil {
				continue
			}
			known = append(known, o.Name)
			if o.Name != a.Offering {
				continue
			}
			if a.Member != "" && a.Member != o.Member {
				return nil, fmt.Errorf("offering %s is of member %s, not of %s", o.Name, o.Member, a.Member)
			}
			a.Member = o.Member
			return planner.Shapes(p.plans[i], o.Name, a.Count)
		}
	}
	return nil, p.unknown("offering", a.Offering, known)
}

// alike returns nodes like one that the member has.
func (m *member) alike(n *corev1.Node, count int) []planner.Shape {
	like := n.DeepCopy()
	like.Spec.Unschedulable = false
	like.Spec.Taints = slices.DeleteFunc(like.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeUnschedulable || t.Key == fleetv1alpha1.TaintReleasing
	})
	return m.times(like, n.Name, count)
}

// custom returns nodes with the supplied resources.
func (m *member) custom(allocatable corev1.ResourceList, labels map[string]string, taints []corev1.Taint, count int) []planner.Shape {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}}}
	maps.Copy(n.Labels, labels)
	n.Spec.Taints = taints
	n.Status.Allocatable = allocatable.DeepCopy()
	if _, ok := n.Status.Allocatable[corev1.ResourcePods]; !ok {
		n.Status.Allocatable[corev1.ResourcePods] = *resource.NewQuantity(defaultPods, resource.DecimalSI)
	}
	n.Status.Capacity = n.Status.Allocatable
	model := ""
	for _, have := range m.nodes {
		if isReady(have) {
			model = have.Name
			break
		}
	}
	return m.times(n, model, count)
}

// defaultPods is how many pods a node takes if nothing is said: kubelet's own
// default.
const defaultPods = 110

// times returns copies of a node with the daemon pods that a model has.
func (m *member) times(n *corev1.Node, model string, count int) []planner.Shape {
	s := planner.Shape{Node: n}
	for _, p := range m.pods {
		ref := metav1.GetControllerOfNoCopy(p)
		if p.Spec.NodeName == model && model != "" && ref != nil && (ref.Kind == "DaemonSet" || ref.Kind == "Node") {
			s.Daemons = append(s.Daemons, p)
		}
	}
	return slices.Repeat([]planner.Shape{s}, count)
}
