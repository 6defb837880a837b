package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

func (p *plan) output() Output {
	prev := &p.in.Plan.Status
	out := Output{Memory: p.memory, Next: p.next}
	st := fleetv1alpha1.CapacityPlanStatus{
		ObservedGeneration: p.in.Plan.Generation,
		Replicas:           p.in.Replicas,
		HourlyCost:         money(p.wantedCost()),
		LastDecision:       prev.LastDecision.DeepCopy(),
	}
	out.Grants, out.Reservations = p.grants, p.statuses()
	out.Memory, out.Next = p.memory, p.next
	var changes []string
	releasing, onTheWay := false, int32(0)
	for _, o := range p.stock {
		s := fleetv1alpha1.OfferingStatus{Name: o.Name, Nodes: o.want, HourlyPrice: money(o.price), AvoidUntil: p.avoidedUntil(o), Registered: o.registered(), Ready: int32(len(o.ready)), Release: o.listed, Reason: p.reason(o)}
		if len(o.listed) == 0 {
			s.Release = nil
		}
		if o.known && o.member.State == scheduler.Frozen {
			s.Nodes = o.prev
		}
		onTheWay += o.outstanding + o.ordered + int32(len(o.starting))
		releasing = releasing || len(o.listed)+len(o.leaving) > 0
		st.Offerings = append(st.Offerings, s)
		if o.known && s.Nodes == o.prev && len(o.released) == 0 {
			continue
		}
		if s.Nodes == 0 && !o.known {
			continue
		}
		out.Records = append(out.Records, Record{Offering: o.Name, From: o.prev, To: s.Nodes, Released: o.released})
		changes = append(changes, fmt.Sprintf("%s %d -> %d nodes", o.Name, o.prev, s.Nodes))
	}
	for _, o := range p.virtual {
		s, granted := p.virtualStatus(o)
		st.Offerings = append(st.Offerings, s)
		if granted > 0 {
			changes = append(changes, fmt.Sprintf("%d replicas start on %s", granted, o.Name))
		}
	}
	for _, m := range p.order {
		s := fleetv1alpha1.PlanMemberStatus{Name: m.Name, Wanted: m.wanted, Joined: m.State == scheduler.Serving || m.State == scheduler.Draining, Nodes: m.nodesReady, Replicas: m.Replicas, Reason: m.reason}
		if m.Elastic {
			st.Nodes.Cloud += m.nodesReady
		} else {
			st.Nodes.Own += m.nodesReady
		}
		st.Members = append(st.Members, s)
		switch {
		case m.wanted && m.Elastic && !m.prevWanted && m.State == scheduler.Absent:
			changes = append(changes, m.Name+" is to be made")
		case !m.wanted && m.prevWanted:
			changes = append(changes, m.Name+" is let go")
		}
	}
	st.Phase = p.phase(releasing, onTheWay)
	p.conditions(&st)
	if len(changes) > 0 {
		st.LastDecision = &fleetv1alpha1.Decision{Time: metav1.NewMicroTime(p.in.SeenAt), Summary: p.summary(changes), Refused: p.refused}
	}
	out.Urgent = p.urgent(prev, &st)
	out.Status = st
	return out
}

func (p *plan) summary(changes []string) string {
	s := strings.Join(changes, ", ")
	if p.planned > 0 {
		s += fmt.Sprintf(" for %d replicas that fit nowhere else", p.planned)
	}
	if p.short > 0 {
		s += fmt.Sprintf("; %d replicas stay without a place", p.short)
	}
	return s
}

// reason says in a line why this many nodes of an offering are wanted.
func (p *plan) reason(o *offering) string {
	var parts []string
	add := func(n int32, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(int32(len(o.ready)), "in use or kept")
	add(int32(len(o.starting)), "starting")
	add(o.outstanding+o.ordered, "on the way")
	add(int32(len(o.broken)), "broken")
	add(int32(len(o.listed)+len(o.leaving)), "being given back")
	if avoid, why := p.avoid(o); avoid {
		parts = append(parts, why)
	}
	if o.priceNote != "" {
		parts = append(parts, o.priceNote)
	}
	if o.member.State == scheduler.Frozen {
		parts = append(parts, "the member does not answer: nothing changes")
	}
	return strings.Join(parts, ", ")
}

// phase says in a word what the pool is doing.
func (p *plan) phase(releasing bool, onTheWay int32) fleetv1alpha1.PlanPhase {
	r := p.in.Replicas
	switch {
	case p.short > 0:
		return fleetv1alpha1.PhaseCapped
	case len(p.in.Demands) > 0:
		return fleetv1alpha1.PhaseBursting
	case p.in.Returning:
		return fleetv1alpha1.PhaseReturning
	case releasing, r.Cloud == 0 && p.letGo():
		return fleetv1alpha1.PhaseReleasing
	case r.Cloud > 0:
		return fleetv1alpha1.PhaseSpilled
	}
	return fleetv1alpha1.PhaseHome
}

// letGo reports whether capacity beyond what is always kept is still there.
func (p *plan) letGo() bool {
	return slices.ContainsFunc(p.stock, func(o *offering) bool { return o.want > o.Min || o.registered() > o.Min }) || len(p.memory.Unused) > 0
}

// avoidedUntil is until when an offering is not ordered, as its status has it.
func (p *plan) avoidedUntil(o *offering) *metav1.Time {
	until := p.avoidUntil(o)
	if until.IsZero() {
		return nil
	}
	t := metav1.NewTime(until).Rfc3339Copy()
	return &t
}

// virtualStatus of an offering of virtual nodes, and how many replicas were
// granted.
func (p *plan) virtualStatus(o *offering) (fleetv1alpha1.OfferingStatus, int32) {
	granted := int32(0)
	for _, g := range p.grants {
		if g.Offering == o.Name {
			granted += g.Count
		}
	}
	var parts []string
	if o.pods > 0 {
		parts = append(parts, fmt.Sprintf("%d pods run there", o.pods))
	}
	if granted > 0 {
		parts = append(parts, fmt.Sprintf("%d start", granted))
	}
	if o.expected > 0 {
		parts = append(parts, fmt.Sprintf("%d will when its cluster is there", o.expected))
	}
	if avoid, why := p.avoid(o); avoid {
		parts = append(parts, why)
	}
	return fleetv1alpha1.OfferingStatus{
		Name: o.Name, Nodes: o.pods + granted, HourlyPrice: money(o.podsCost + o.grantCost), AvoidUntil: p.avoidedUntil(o), Reason: strings.Join(parts, ", "),
	}, granted
}

// forbidden says what allows no more capacity, the limits of the pool first.
func (p *plan) forbidden() []string {
	var why []string
	for _, limit := range []string{limitCost, limitNodes, limitClusters, limitMax} {
		if p.limits[limit] {
			why = append(why, p.describe(limit)+" is reached")
		}
	}
	if p.limits[noOffering] || len(p.limits) == 0 {
		why = append(why, "no offering can run them")
	}
	return why
}

func (p *plan) conditions(st *fleetv1alpha1.CapacityPlanStatus) {
	c := metav1.Condition{
		Type: fleetv1alpha1.ConditionCapacitySufficient, Status: metav1.ConditionTrue, ObservedGeneration: p.in.Plan.Generation,
		Reason: "Sufficient", Message: "all replicas have a place, or capacity for them is on its way",
	}
	if p.short > 0 {
		c.Reason = noOffering
		// The limit of the pool says more than that of one offering.
		for _, limit := range []string{limitMax, limitClusters, limitNodes, limitCost} {
			if p.limits[limit] {
				c.Reason = limit
			}
		}
		why := p.forbidden()
		for _, r := range p.refused {
			why = append(why, r.Name+": "+r.Reason)
		}
		c.Status = metav1.ConditionFalse
		c.Message = fmt.Sprintf("%d replicas stay without a place: %s", p.short, strings.Join(why, "; "))
	}
	st.Conditions = slices.Clone(p.in.Plan.Status.Conditions)
	p.setCondition(st, c)

	c = metav1.Condition{
		Type: ConditionCapacityAvailable, Status: metav1.ConditionTrue, ObservedGeneration: p.in.Plan.Generation,
		Reason: "Available", Message: "the clouds deliver all offerings",
	}
	var why []string
	for _, o := range slices.Concat(p.stock, p.virtual) {
		if avoid, reason := p.avoid(o); avoid && (o.unknown || !o.avoidUntil.IsZero()) {
			why = append(why, o.Name+": "+reason)
		}
	}
	if len(why) > 0 {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, "Shortage", strings.Join(why, "; ")
	}
	p.setCondition(st, c)
}

// ConditionCapacityAvailable of a plan is False while a cloud is short of an
// offering; the message names it, and the types and zones that are short.
const ConditionCapacityAvailable = string(elasticv1alpha1.TypeCapacityAvailable)

// setCondition replaces a condition. The transition is that of its status.
func (p *plan) setCondition(st *fleetv1alpha1.CapacityPlanStatus, c metav1.Condition) {
	before := meta.FindStatusCondition(st.Conditions, c.Type)
	c.LastTransitionTime = metav1.NewTime(p.in.Now).Rfc3339Copy()
	if before != nil && before.Status == c.Status {
		c.LastTransitionTime = before.LastTransitionTime
	}
	meta.RemoveStatusCondition(&st.Conditions, c.Type)
	st.Conditions = append(st.Conditions, c)
}

// wantedCost is the cost of an hour of what is wanted, in millionths.
func (p *plan) wantedCost() int64 {
	sum := int64(0)
	for _, o := range p.stock {
		sum += int64(o.want) * o.price
	}
	for _, o := range p.virtual {
		sum += o.podsCost + o.grantCost
	}
	for _, m := range p.order {
		if m.Elastic && m.wanted {
			sum += m.fee
		}
	}
	return sum
}

// money prints millionths without needless digits.
func money(micro int64) string {
	s := fmt.Sprintf("%d.%06d", micro/1e6, micro%1e6)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// urgent reports whether someone acts on what changed. Nobody does on how many
// pods there are on virtual nodes: grants travel with the bindings.
func (p *plan) urgent(a, b *fleetv1alpha1.CapacityPlanStatus) bool {
	type key struct {
		nodes   int32
		release string
	}
	nodes := func(st *fleetv1alpha1.CapacityPlanStatus) map[string]key {
		out := map[string]key{}
		for _, o := range st.Offerings {
			if known := p.offerings[o.Name]; known != nil && known.Virtual != nil {
				continue
			}
			out[o.Name] = key{o.Nodes, strings.Join(slices.Sorted(slices.Values(o.Release)), " ")}
		}
		return out
	}
	wanted := func(st *fleetv1alpha1.CapacityPlanStatus) map[string]bool {
		out := map[string]bool{}
		for _, m := range st.Members {
			out[m.Name] = m.Wanted
		}
		return out
	}
	return a.ObservedGeneration != b.ObservedGeneration || !maps.Equal(nodes(a), nodes(b)) || !maps.Equal(wanted(a), wanted(b))
}
