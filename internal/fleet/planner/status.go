package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
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
	var changes []string
	releasing, onTheWay := false, int32(0)
	for _, o := range p.stock {
		s := fleetv1alpha1.OfferingStatus{Name: o.Name, Nodes: o.want, Registered: o.registered(), Ready: int32(len(o.ready)), Release: o.listed, Reason: p.reason(o)}
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
	out.Urgent = urgent(prev, &st)
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
	if until, ok := p.avoid(o); ok {
		parts = append(parts, "what was ordered did not arrive; not tried before "+until.UTC().Format("2006-01-02T15:04:05Z"))
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

func (p *plan) conditions(st *fleetv1alpha1.CapacityPlanStatus) {
	c := metav1.Condition{
		Type: fleetv1alpha1.ConditionCapacitySufficient, Status: metav1.ConditionTrue, ObservedGeneration: p.in.Plan.Generation,
		Reason: "Sufficient", Message: "all replicas have a place, or capacity for them is on its way",
	}
	if p.short > 0 {
		var why []string
		c.Reason = noOffering
		// The limit of the pool says more than that of one offering.
		for _, limit := range []string{limitCost, limitNodes, limitClusters, limitMax, noOffering} {
			if !p.limits[limit] {
				continue
			}
			if len(why) == 0 {
				c.Reason = limit
			}
			if limit != noOffering {
				why = append(why, p.describe(limit)+" is reached")
			}
		}
		if p.limits[noOffering] || len(p.limits) == 0 {
			why = append(why, "no offering can run them")
		}
		for _, r := range p.refused {
			why = append(why, r.Name+": "+r.Reason)
		}
		c.Status = metav1.ConditionFalse
		c.Message = fmt.Sprintf("%d replicas stay without a place: %s", p.short, strings.Join(why, "; "))
	}
	st.Conditions = slices.Clone(p.in.Plan.Status.Conditions)
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

// urgent reports whether someone acts on what changed.
func urgent(a, b *fleetv1alpha1.CapacityPlanStatus) bool {
	type key struct {
		nodes   int32
		release string
	}
	nodes := func(st *fleetv1alpha1.CapacityPlanStatus) map[string]key {
		out := map[string]key{}
		for _, o := range st.Offerings {
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
