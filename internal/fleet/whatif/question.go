package whatif

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

const (
	// maxNodes that a question may add in one place.
	maxNodes = 10000
	// maxReplicas of a workload: as many as the largest region has pods.
	maxReplicas = 1000000
	// maxHorizon is how far a question may look ahead.
	maxHorizon = 30 * 24 * time.Hour
)

// Read reads a question as JSON. An error names the field that is wrong.
func Read(r io.Reader) (Question, error) {
	var q Question
	var parts map[string]json.RawMessage
	d := json.NewDecoder(r)
	if err := d.Decode(&parts); err != nil {
		return q, fmt.Errorf("cannot read the question: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return q, fmt.Errorf("cannot read the question: something follows it")
	}
	var errs field.ErrorList
	// Field by field: not every error says where it is.
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		raw, err := json.Marshal(map[string]json.RawMessage{name: parts[name]})
		if err == nil {
			one := json.NewDecoder(bytes.NewReader(raw))
			one.DisallowUnknownFields()
			err = one.Decode(&q)
		}
		if err != nil {
			errs = append(errs, field.Invalid(field.NewPath(name), string(parts[name]), err.Error()))
		}
	}
	return q, errs.ToAggregate()
}

// change makes the changes that a question asks for. An error names each field
// that is wrong.
func (p *play) change(q Question) error {
	errs := contradictions(q)
	// Lost are members last: what is added to them is an error, not unknown.
	for i, a := range q.AddNodes {
		errs = append(errs, p.add(field.NewPath("addNodes").Index(i), a)...)
	}
	for i, s := range q.Scale {
		errs = append(errs, p.scale(field.NewPath("scale").Index(i), s)...)
	}
	for i, name := range q.Lose {
		errs = append(errs, p.lose(field.NewPath("lose").Index(i), name)...)
	}
	return errs.ToAggregate()
}

// contradictions in a question, whatever the world is.
func contradictions(q Question) field.ErrorList {
	var errs field.ErrorList
	if h := q.Horizon.Duration; h < 0 || h > maxHorizon {
		errs = append(errs, field.Invalid(field.NewPath("horizon"), h.String(), fmt.Sprintf("say 0s to %s", maxHorizon)))
	}
	for i, name := range q.Lose {
		if slices.Contains(q.Lose[:i], name) {
			errs = append(errs, field.Duplicate(field.NewPath("lose").Index(i), name))
		}
	}
	for i, a := range q.AddNodes {
		if a.Member != "" && slices.Contains(q.Lose, a.Member) {
			errs = append(errs, field.Invalid(field.NewPath("addNodes").Index(i).Child("member"), a.Member, "it is lost in the same question"))
		}
	}
	return errs
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

func (p *play) scale(at *field.Path, s Scale) field.ErrorList {
	var errs field.ErrorList
	if s.Replicas < 0 || s.Replicas > maxReplicas {
		errs = append(errs, field.Invalid(at.Child("replicas"), s.Replicas, fmt.Sprintf("say 0 to %d", maxReplicas)))
	}
	wrong := func(why string) field.ErrorList {
		return append(errs, field.Invalid(at.Child("binding"), s.Binding, why))
	}
	b, err := Find(p.in.Bindings, s.Binding)
	switch {
	case err != nil:
		return wrong(err.Error())
	case !b.Divided:
		return wrong("it has no replicas: it goes whole to every member")
	case b.Gang:
		return wrong("it has no replicas: it is placed whole, or not at all")
	case b.Problem != "":
		return wrong("it cannot be placed: " + b.Problem)
	case b.Held:
		return wrong("it is not placed while its scheduling is suspended")
	case p.scaled[b.ID]:
		return append(errs, field.Duplicate(at.Child("binding"), s.Binding))
	}
	p.scaled[b.ID] = true
	b.Replicas = s.Replicas
	return errs
}

// lose takes a member out of the pools and their plans.
func (p *play) lose(at *field.Path, name string) field.ErrorList {
	if p.members[name] == nil {
		return field.ErrorList{p.unknown(at, "member", name, slices.Collect(maps.Keys(p.members)))}
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
		of := func(offering string) bool {
			o := offeringOf(in.Plan, offering)
			return o != nil && o.Member == name
		}
		st := &in.Plan.Status
		st.Offerings = slices.DeleteFunc(st.Offerings, func(o fleetv1alpha1.OfferingStatus) bool { return of(o.Name) })
		st.Members = slices.DeleteFunc(st.Members, func(m fleetv1alpha1.PlanMemberStatus) bool { return m.Name == name })
		without(name, &in.Plan.Spec.Members, &in.Plan.Spec.Offerings)
		if in.Bare != nil {
			without(name, &in.Bare.Spec.Members, &in.Bare.Spec.Offerings)
		}
		for _, r := range in.Reserving {
			without(name, &r.Spec.Members, &r.Spec.Offerings)
		}
	}
	return nil
}

// without a member, and what it offers.
func without(name string, members *[]fleetv1alpha1.PlanMember, offerings *[]fleetv1alpha1.Offering) {
	*members = slices.DeleteFunc(*members, func(m fleetv1alpha1.PlanMember) bool { return m.Name == name })
	*offerings = slices.DeleteFunc(*offerings, func(o fleetv1alpha1.Offering) bool { return o.Member == name })
}

func (p *play) unknown(at *field.Path, what, name string, known []string) *field.Error {
	slices.Sort(known)
	return field.Invalid(at, name, fmt.Sprintf("there is no such %s; there are %s", what, strings.Join(slices.Compact(known), ", ")))
}

func (p *play) add(at *field.Path, a AddNodes) field.ErrorList {
	errs := a.validate(at)
	if len(errs) > 0 {
		return errs
	}
	shapes, wrong := p.shapes(at, &a)
	if wrong != nil {
		return field.ErrorList{wrong}
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
				return field.ErrorList{field.Invalid(at.Child("offering"), a.Offering, err.Error())}
			}
		}
	case s != scheduler.Serving || m.snapshot == nil:
		return field.ErrorList{field.Invalid(at.Child("member"), a.Member, "cannot add nodes: it takes no replicas now")}
	}
	for _, s := range shapes {
		p.addNode(m, s, a.Member)
	}
	p.show(m)
	return nil
}

// validate what can be judged without the world.
func (a *AddNodes) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if a.Count < 1 || a.Count > maxNodes {
		errs = append(errs, field.Invalid(at.Child("count"), a.Count, fmt.Sprintf("say 1 to %d", maxNodes)))
	}
	said := 0
	for _, is := range []bool{a.Offering != "", a.InstanceType != "", a.Like != "", len(a.Allocatable) > 0} {
		if is {
			said++
		}
	}
	const forms = "by one of offering, instanceType, like and allocatable"
	switch {
	case said == 0:
		errs = append(errs, field.Required(at, fmt.Sprintf("say what the nodes are like, %s", forms)))
	case said > 1:
		errs = append(errs, field.Forbidden(at, fmt.Sprintf("say what the nodes are like only once, %s", forms)))
	}
	if a.Member == "" && a.Offering == "" {
		errs = append(errs, field.Required(at.Child("member"), "say which member gets them"))
	}
	if len(a.Allocatable) == 0 {
		for name, is := range map[string]bool{"labels": len(a.Labels) > 0, "taints": len(a.Taints) > 0} {
			if is {
				errs = append(errs, field.Forbidden(at.Child(name), "it goes with allocatable only"))
			}
		}
	}
	for name, q := range a.Allocatable {
		if q.Sign() < 0 {
			errs = append(errs, field.Invalid(at.Child("allocatable").Key(string(name)), q.String(), "it is below 0"))
		}
	}
	errs = append(errs, metav1validation.ValidateLabels(a.Labels, at.Child("labels"))...)
	effects := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
	for i, t := range a.Taints {
		if t.Key == "" {
			errs = append(errs, field.Required(at.Child("taints").Index(i).Child("key"), ""))
		}
		if !slices.Contains(effects, t.Effect) {
			errs = append(errs, field.NotSupported(at.Child("taints").Index(i).Child("effect"), t.Effect, effects))
		}
	}
	return errs
}

// shapes returns what the nodes to add are like, and says to which member they
// go if the question does not.
func (p *play) shapes(at *field.Path, a *AddNodes) ([]planner.Shape, *field.Error) {
	if a.Offering != "" {
		return p.offered(at, a)
	}
	m := p.members[a.Member]
	if m == nil {
		return nil, p.unknown(at.Child("member"), "member", a.Member, slices.Collect(maps.Keys(p.members)))
	}
	switch {
	case a.Like != "":
		if n := m.node(a.Like); n != nil {
			return m.alike(n, a.Count), nil
		}
		return nil, field.Invalid(at.Child("like"), a.Like, fmt.Sprintf("%s has no such node among its %d", a.Member, len(m.nodes())))
	case a.InstanceType != "":
		types := []string{}
		for _, n := range m.nodes() {
			t := n.Labels[corev1.LabelInstanceTypeStable]
			switch {
			case t == "", scheduler.OfferingOf(n, m.virtual) != "":
			case t == a.InstanceType:
				return m.alike(n, a.Count), nil
			default:
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
		return nil, p.unknown(at.Child("instanceType"), "instance type", a.InstanceType, slices.DeleteFunc(types, func(t string) bool { return t == "" }))
	}
	return m.custom(a.Allocatable, a.Labels, a.Taints, a.Count), nil
}

func (p *play) offered(at *field.Path, a *AddNodes) ([]planner.Shape, *field.Error) {
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
				return nil, field.Invalid(at.Child("member"), a.Member, fmt.Sprintf("offering %s is of member %s", o.Name, o.Member))
			}
			a.Member = o.Member
			shapes, err := planner.Shapes(p.plans[i].Input, o.Name, a.Count)
			if err != nil {
				return nil, field.Invalid(at.Child("offering"), a.Offering, err.Error())
			}
			return shapes, nil
		}
	}
	return nil, p.unknown(at.Child("offering"), "offering of nodes", a.Offering, known)
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
	for _, have := range m.nodes() {
		if isReady(have) && scheduler.OfferingOf(have, m.virtual) == "" {
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
	for _, p := range m.podsOn(model) {
		if ofNode(p) {
			s.Daemons = append(s.Daemons, p)
		}
	}
	return slices.Repeat([]planner.Shape{s}, count)
}
