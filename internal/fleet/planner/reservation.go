package planner

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// A Reservation is a CapacityReservation, and what the round found of it.
type Reservation struct {
	*fleetv1alpha1.CapacityReservation
	// Targets that were found, as namespace/name, and their Bindings, by ID.
	Targets, Bindings []string
	// Template of a replica of the first target; nil if there is none.
	Template *scheduler.Template
	// Wanted replicas are to be held in all, those that the targets use
	// included: see HoldReplicas.
	Wanted int32
	// Held replicas of Wanted have capacity that is there; the targets use Used
	// of them.
	Held, Used int32
	// Running replicas of the targets are on rented capacity.
	Running int32
	// Free replicas of the targets fit into what is held and not used.
	Free int32
}

// Spending is what a reservation has cost. It changes only when the rate does.
type Spending struct {
	// Spent until Since, in millionths.
	Spent int64 `json:"spent"`
	// Rate of an hour since then, in millionths.
	Rate int64 `json:"rate"`
	// Since when the rate holds.
	Since time.Time `json:"since"`
}

func (s Spending) equal(o Spending) bool {
	return s.Spent == o.Spent && s.Rate == o.Rate && s.Since.Equal(o.Since)
}

// at returns what was spent until a time.
func (s Spending) at(t time.Time) int64 {
	if !t.After(s.Since) {
		return s.Spent
	}
	return s.Spent + int64(math.Round(float64(s.Rate)*t.Sub(s.Since).Hours()))
}

// Ended says why a reservation holds nothing any more; empty if it does. Memory
// is that of the pool's plan, which counts what it has spent.
func Ended(r *fleetv1alpha1.CapacityReservation, m Memory, now time.Time) string {
	switch {
	case r.DeletionTimestamp != nil:
		return "it is being deleted"
	case !r.Spec.Until.After(now):
		return "its time was over at " + r.Spec.Until.UTC().Format(time.RFC3339)
	case r.Spec.MaxCost != nil && m.Spending[r.Name].at(now) >= micro(*r.Spec.MaxCost):
		return fmt.Sprintf("its %s are spent", r.Spec.MaxCost)
	}
	return ""
}

// Merge returns a copy of a plan with the members and offerings that its
// reservations bring. Those of a reservation that has ended stay as long as they
// are in use: nothing is ordered there, and what is there is given back by the
// usual delays. What the plan, or an older reservation, has already under the
// same name is not replaced.
func Merge(plan *fleetv1alpha1.CapacityPlan, reservations []*fleetv1alpha1.CapacityReservation, now time.Time, m Memory) *fleetv1alpha1.CapacityPlan {
	out := plan.DeepCopy()
	for _, r := range reservations {
		ended := Ended(r, m, now) != ""
		brought := map[string]bool{}
		for i := range r.Spec.Members {
			pm := r.Spec.Members[i].DeepCopy()
			if slices.ContainsFunc(out.Spec.Members, func(o fleetv1alpha1.PlanMember) bool { return o.Name == pm.Name }) {
				continue
			}
			if ended {
				if !slices.Contains(r.Status.MembersInUse, pm.Name) {
					continue
				}
				pm.Warm = false
			}
			brought[pm.Name] = true
			out.Spec.Members = append(out.Spec.Members, *pm)
		}
		for i := range r.Spec.Offerings {
			o := r.Spec.Offerings[i].DeepCopy()
			known := slices.ContainsFunc(out.Spec.Members, func(pm fleetv1alpha1.PlanMember) bool { return pm.Name == o.Member })
			if !known || slices.ContainsFunc(out.Spec.Offerings, func(x fleetv1alpha1.Offering) bool { return x.Name == o.Name }) {
				continue
			}
			if ended {
				// No more than there are: the maximum takes nodes at once, also
				// those that replicas are still on.
				o.Min, o.Max = 0, standing(&plan.Status, o.Name)
			}
			out.Spec.Offerings = append(out.Spec.Offerings, *o)
		}
		for _, om := range r.Spec.Market.Offerings {
			if !slices.ContainsFunc(out.Spec.Market.Offerings, func(x fleetv1alpha1.OfferingMarket) bool { return x.Name == om.Name }) {
				out.Spec.Market.Offerings = append(out.Spec.Market.Offerings, *om.DeepCopy())
			}
		}
		for _, mm := range r.Spec.Market.Members {
			if !slices.ContainsFunc(out.Spec.Market.Members, func(x fleetv1alpha1.MemberMarket) bool { return x.Name == mm.Name }) {
				out.Spec.Market.Members = append(out.Spec.Market.Members, mm)
			}
		}
	}
	return out
}

// standing nodes of an offering are those that are wanted and there.
func standing(st *fleetv1alpha1.CapacityPlanStatus, offering string) int32 {
	for _, o := range st.Offerings {
		if o.Name == offering {
			return min(o.Nodes, o.Registered)
		}
	}
	return 0
}

// HoldReplicas expresses an amount of nodes or resources in replicas of a pod
// with the supplied requests, rounded up. Nodes are those of the offering that
// costs least for such a replica; none is if it fits none. Resources that the
// pod does not request do not count; if it requests none of them, one replica
// is held.
func HoldReplicas(a fleetv1alpha1.Amount, pod corev1.ResourceList, offerings []fleetv1alpha1.Offering) int32 {
	switch {
	case a.Replicas != nil:
		return *a.Replicas
	case a.Nodes != nil:
		best, price := int64(0), math.Inf(1)
		for i := range offerings {
			o := &offerings[i]
			if o.Virtual != nil {
				continue
			}
			n := perNode(o.Allocatable, pod)
			if each := float64(micro(o.HourlyPrice)) / float64(n); n > 0 && (each < price || each == price && n > best) {
				best, price = n, each
			}
		}
		return int32(min(best*int64(*a.Nodes), math.MaxInt32))
	}
	n := int64(1)
	for name, q := range a.Resources {
		each := pod[name]
		if each.Sign() <= 0 {
			continue
		}
		have, one := q.ScaledValue(resource.Milli), each.ScaledValue(resource.Milli)
		n = max(n, (have+one-1)/one)
	}
	return int32(min(n, math.MaxInt32))
}

// perNode returns how many pods with the supplied requests a node has room for.
func perNode(allocatable, pod corev1.ResourceList) int64 {
	n := defaultPods.Value()
	if q, ok := allocatable[corev1.ResourcePods]; ok {
		n = q.Value()
	}
	for name, each := range pod {
		if each.Sign() <= 0 || name == corev1.ResourcePods {
			continue
		}
		have := allocatable[name]
		n = min(n, have.ScaledValue(resource.Milli)/each.ScaledValue(resource.Milli))
	}
	return max(0, n)
}

// statuses of the reservations.
func (p *plan) statuses() map[string]fleetv1alpha1.CapacityReservationStatus {
	out := map[string]fleetv1alpha1.CapacityReservationStatus{}
	for name := range p.memory.Spending {
		if p.reserved[name] == nil {
			delete(p.memory.Spending, name)
		}
	}
	for i := range p.in.Reservations {
		r := &p.in.Reservations[i]
		out[r.Name] = p.reservation(r)
	}
	return out
}

func (p *plan) reservation(r *Reservation) fleetv1alpha1.CapacityReservationStatus {
	found := p.reserved[r.Name]
	st := fleetv1alpha1.CapacityReservationStatus{ObservedGeneration: r.Generation, Targets: r.Targets, Running: r.Running, MembersInUse: p.inUse(r)}
	ended := Ended(r.CapacityReservation, p.memory, p.in.Now)
	rate := int64(0)
	if ended == "" {
		each, perNode := p.replicaPrice(r)
		cost, room := p.brought(r)
		rate = cost + each*max(0, int64(r.Held+found.coming)-room)
		st.Free = r.Free
		st.Nodes = int32(len(found.nodes))
		if perNode > 0 {
			st.Nodes += int32((int64(r.Held) + perNode - 1) / perNode)
		}
		p.wake(r.Spec.Until.Time)
	}
	s := p.spend(r, rate)
	st.HourlyCost, st.Spent = money(rate), money(s.Spent)
	switch {
	case ended != "":
		st.Phase, st.Message = fleetv1alpha1.ReservationEnded, ended
	case r.Template == nil:
		st.Phase, st.Message = fleetv1alpha1.ReservationWaiting, "no workload matches its targets"
	case found.short > 0:
		st.Phase, st.Message = fleetv1alpha1.ReservationCapped, fmt.Sprintf("%d of %d replicas are not held: %s", found.short, r.Wanted, strings.Join(p.forbidden(), "; "))
	case r.Held < r.Wanted || found.coming > 0:
		st.Phase, st.Message = fleetv1alpha1.ReservationFilling, fmt.Sprintf("%d of %d replicas are held, capacity for the others is on its way", min(r.Held, r.Wanted), r.Wanted)
	default:
		st.Phase = fleetv1alpha1.ReservationFilled
	}
	return st
}

// spend keeps the account of a reservation.
func (p *plan) spend(r *Reservation, rate int64) Spending {
	s, ok := p.memory.Spending[r.Name]
	if rate != s.Rate || !ok && rate > 0 {
		s = Spending{Spent: s.at(p.in.Now), Rate: rate, Since: p.in.Now}
		p.memory.Spending[r.Name] = s
	}
	if r.Spec.MaxCost != nil && s.Rate > 0 {
		if left := micro(*r.Spec.MaxCost) - s.Spent; left > 0 {
			p.wake(s.Since.Add(time.Duration(math.Ceil(float64(left) / float64(s.Rate) * float64(time.Hour)))))
		}
	}
	return s
}

// replicaPrice is what a replica that is held costs an hour: its part of a node
// of the cheapest offering of which there are nodes, in the first preferred
// member that has any. Where there are no nodes it is the price of a pod on virtual
// ones. It also returns how many a node holds.
func (p *plan) replicaPrice(r *Reservation) (each, perNodes int64) {
	if r.Template == nil {
		return 0, 0
	}
	pod := r.Template.Requests()
	rank := math.MaxInt
	for _, o := range p.stock {
		n := perNode(o.Allocatable, pod)
		if n == 0 || o.want == 0 {
			continue
		}
		at := slices.Index(r.Spec.Prefer, o.member.Name)
		if at < 0 {
			at = len(r.Spec.Prefer)
		}
		if price := (o.capPrice + n - 1) / n; at < rank || at == rank && price < each {
			each, perNodes, rank = price, n, at
		}
	}
	if perNodes > 0 {
		return each, perNodes
	}
	// Those that it holds can only be on virtual nodes.
	for _, o := range p.virtual {
		if o.pods > 0 || o.grantCost > 0 {
			each = max(each, o.podPrice(pod))
		}
	}
	return each, 0
}

// brought returns what the members that a reservation brought cost an hour, all of
// them: nobody else wanted them. It also returns how many replicas they have room
// for, which cost nothing besides.
func (p *plan) brought(r *Reservation) (cost, room int64) {
	var pod corev1.ResourceList
	if r.Template != nil {
		pod = r.Template.Requests()
	}
	for i := range r.Spec.Members {
		m := p.members[r.Spec.Members[i].Name]
		if m == nil || !p.occupied(m) {
			continue
		}
		cost += m.fee
		for _, o := range p.stock {
			if o.member == m {
				cost += int64(o.billed()) * o.capPrice
				room += int64(o.billed()) * perNode(o.Allocatable, pod)
			}
		}
		for _, o := range p.virtual {
			if o.member == m {
				cost += o.podsCost + o.grantCost
				room += int64(o.pods)
			}
		}
	}
	return cost, room
}

// inUse returns the members that a reservation brought and that have nodes,
// replicas, or orders.
func (p *plan) inUse(r *Reservation) []string {
	var out []string
	for i := range r.Spec.Members {
		m := p.members[r.Spec.Members[i].Name]
		if m == nil {
			continue
		}
		used := m.Replicas > 0 || m.nodes > 0
		for _, o := range p.stock {
			used = used || o.member == m && (o.billed() > 0 || p.withdrawn(o) > 0)
		}
		if used {
			out = append(out, m.Name)
		}
	}
	return out
}
