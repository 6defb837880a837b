package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// staysHome is why a workload may not leave the self-built members of a pool
// with overflow Reserved.
const staysHome = "only workloads that an active reservation targets may leave home"

// A reservation is a CapacityReservation with what a round found of it.
type reservation struct {
	*fleetv1alpha1.CapacityReservation
	// ended says why it holds nothing any more.
	ended string
	// targets that were found, by name.
	targets []binding
	// template of a replica of the first target.
	template *scheduler.Template
	// wanted replicas are to be held in all, used of them are.
	wanted, used int32
	// baselines of the targets.
	baselines map[string]int32
}

func (f *Fleet) readReservations(ctx context.Context, v *view) error {
	list := &fleetv1alpha1.CapacityReservationList{}
	if err := f.Client.List(ctx, list); err != nil {
		return fmt.Errorf("cannot list capacity reservations: %w", err)
	}
	keep := map[string]bool{}
	for i := range list.Items {
		r := &list.Items[i]
		if !f.serves(r.Spec.Pool) {
			continue
		}
		keep[r.Name] = true
		v.reservations = append(v.reservations, &reservation{CapacityReservation: f.reservations.latest(r.Name, r).(*fleetv1alpha1.CapacityReservation)})
	}
	f.reservations.keep(keep)
	maps.DeleteFunc(f.reservationWritten, func(name string, _ time.Time) bool { return !keep[name] })
	uids := map[types.UID]bool{}
	for _, r := range v.reservations {
		uids[r.UID] = true
	}
	maps.DeleteFunc(f.baselines, func(uid types.UID, _ map[string]int32) bool { return !uids[uid] })
	// The oldest first: what it brings, and what its targets use, is its own.
	slices.SortFunc(v.reservations, func(a, b *reservation) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return nil
}

// merge makes the plans what their reservations make of them.
func (v *view) merge() {
	for _, p := range v.plans {
		memory := memoryOf(p.plan)
		var rs []*fleetv1alpha1.CapacityReservation
		for _, r := range v.reservations {
			if r.Spec.Pool == p.plan.Name {
				r.ended = planner.Ended(r.CapacityReservation, memory, v.now)
				rs = append(rs, r.CapacityReservation)
				p.reservations = append(p.reservations, r)
			}
		}
		p.merged = p.plan
		if len(rs) > 0 {
			p.merged = planner.Merge(p.plan, rs, v.now, memory)
		}
	}
}

// targets reports whether a target selects a workload with the supplied labels.
func targets(t *fleetv1alpha1.WorkloadTarget, b binding, labels map[string]string) bool {
	kind := cmp.Or(t.Kind, "Deployment")
	ref := &b.spec.Resource
	if ref.Namespace != t.Namespace || ref.Kind != kind || t.Name != "" && t.Name != ref.Name || t.Name == "" && len(t.MatchLabels) == 0 {
		return false
	}
	for k, value := range t.MatchLabels {
		if have, ok := labels[k]; !ok || have != value {
			return false
		}
	}
	return true
}

// hold finds the targets of the reservations of a pool, and what is to be held
// for them. It returns the reservations that target a binding, by ID, only
// active ones.
func (f *Fleet) hold(p *poolPlan, bs []binding, pool *scheduler.Pool) map[string]bool {
	reserved := map[string]bool{}
	// What a binding has in elastic members, and how much of it older
	// reservations account for: it is used of one only.
	used, counted := map[string]int32{}, map[string]int32{}
	for _, b := range bs {
		for _, c := range b.spec.Clusters {
			if slices.ContainsFunc(pool.Members, func(m scheduler.Member) bool { return m.Elastic && m.Name == c.Name }) {
				used[b.id()] += c.Replicas
			}
		}
	}
	for _, r := range p.reservations {
		var ts []*template
		for _, b := range bs {
			t := f.templates.get(b.id())
			if t == nil || t.pods == nil || !t.divided && !b.spec.IsWorkload() {
				continue
			}
			if slices.ContainsFunc(r.Spec.Targets, func(s fleetv1alpha1.WorkloadTarget) bool { return targets(&s, b, t.labels) }) {
				r.targets = append(r.targets, b)
				ts = append(ts, t)
			}
		}
		if r.ended != "" {
			continue
		}
		f.begin(r, bs, used)
		if len(r.targets) == 0 {
			continue
		}
		r.template = ts[0].pods
		mine := map[string]int32{}
		for _, b := range r.targets {
			id := b.id()
			reserved[id] = true
			base := r.baselines[id]
			counted[id] = max(counted[id], base)
			mine[id] = max(0, used[id]-counted[id])
		}
		pool.Holds = append(pool.Holds, r.holds(p.merged, ts, mine, counted)...)
	}
	return reserved
}

// begin notes what the targets of a reservation had in elastic members when each
// was first seen. It is never counted again: by then they may use what is held,
// and as much would be held on top. So what the status says stays while the
// binding is there, also if its workload cannot be read for a moment; and what
// could not be written into the status is remembered.
func (f *Fleet) begin(r *reservation, bs []binding, used map[string]int32) {
	seen := f.baselines[r.UID]
	r.baselines = map[string]int32{}
	for _, b := range bs {
		if base, ok := r.Status.Baselines[b.id()]; ok {
			r.baselines[b.id()] = base
		} else if base, ok := seen[b.id()]; ok {
			r.baselines[b.id()] = base
		}
	}
	for _, b := range r.targets {
		if _, ok := r.baselines[b.id()]; !ok {
			r.baselines[b.id()] = used[b.id()]
		}
	}
	f.baselines[r.UID] = r.baselines
}

// holds of a reservation: one for each target if it is an amount of replicas,
// or else one for all. What the targets use of it is given; what it holds is
// added to what is accounted for.
func (r *reservation) holds(plan *fleetv1alpha1.CapacityPlan, ts []*template, used, counted map[string]int32) []scheduler.Hold {
	var out []scheduler.Hold
	if n := r.Spec.Amount.Replicas; n != nil {
		for i, b := range r.targets {
			take := min(*n, used[b.id()])
			counted[b.id()] += *n
			r.wanted += *n
			r.used += take
			out = append(out, scheduler.Hold{Reservation: r.Name, Bindings: []string{b.id()}, Template: ts[i].pods, Count: *n - take, Prefer: r.Spec.Prefer})
		}
		return out
	}
	one := r.template.Requests()
	r.wanted = planner.HoldReplicas(r.Spec.Amount, one, plan.Spec.Offerings)
	h := scheduler.Hold{Reservation: r.Name, Template: r.template, Count: r.wanted, Prefer: r.Spec.Prefer}
	for i, b := range r.targets {
		h.Bindings = append(h.Bindings, b.id())
		each := max(1, int64(planner.HoldReplicas(fleetv1alpha1.Amount{Resources: ts[i].pods.Requests()}, one, nil)))
		if ts[i].pods == r.template {
			each = 1
		}
		take := min(int64(h.Count), int64(used[b.id()])*each)
		counted[b.id()] += int32((take + each - 1) / each)
		h.Count -= int32(take)
		r.used += int32(take)
	}
	return append(out, h)
}

// names of the targets, as namespace/name.
func (r *reservation) names() []string {
	var out []string
	for _, b := range r.targets {
		out = append(out, b.spec.Resource.Namespace+"/"+b.spec.Resource.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// planned translates a reservation for the planner.
func (r *reservation) planned(v *view) planner.Reservation {
	out := planner.Reservation{
		CapacityReservation: r.CapacityReservation, Targets: r.names(), Template: r.template,
		Wanted: r.wanted, Held: r.used + v.out.Held[r.Name], Free: v.out.Held[r.Name],
	}
	out.Running = r.running(v)
	return out
}

// running returns how many replicas of the targets are on rented capacity.
func (r *reservation) running(v *view) int32 {
	ids := map[string]bool{}
	for _, b := range r.targets {
		ids[b.id()] = true
	}
	n := int32(0)
	for i := range v.out.Decisions {
		if d := &v.out.Decisions[i]; ids[d.Binding] {
			n += d.Cloud
		}
	}
	return n
}

// statusOf returns what is to be written of a reservation; it is not ok if
// nothing is known of its pool.
func (v *view) statusOf(r *reservation, made []plannedCapacity) (fleetv1alpha1.CapacityReservationStatus, bool) {
	i := slices.IndexFunc(made, func(m plannedCapacity) bool { return m.plan.Name == r.Spec.Pool })
	if i < 0 {
		if v.known[r.Spec.Pool] {
			return r.Status, false
		}
		st := fleetv1alpha1.CapacityReservationStatus{Phase: fleetv1alpha1.ReservationWaiting, Message: fmt.Sprintf("there is no pool %q", r.Spec.Pool), Spent: r.Status.Spent}
		if why := planner.Ended(r.CapacityReservation, planner.Memory{}, v.now); why != "" {
			st.Phase, st.Message = fleetv1alpha1.ReservationEnded, why
		}
		st.ObservedGeneration = r.Generation
		return st, true
	}
	st, ok := made[i].out.Reservations[r.Name]
	if !ok {
		return r.Status, false
	}
	st.ObservedGeneration = r.Generation
	st.Targets = r.names()
	st.Baselines = r.baselines
	// Those that were granted are among them.
	st.Running = r.running(v)
	if r.ended == "" && len(r.targets) == 0 {
		st.Phase, st.Message = fleetv1alpha1.ReservationWaiting, fmt.Sprintf("no workload of pool %q matches the targets", r.Spec.Pool)
	}
	return st, true
}

// writeReservation writes the status of a reservation. It returns when what it
// held back is to be written.
func (f *Fleet) writeReservation(ctx context.Context, r *reservation, st fleetv1alpha1.CapacityReservationStatus) (time.Time, error) {
	if equality.Semantic.DeepEqual(r.Status, st) {
		return time.Time{}, nil
	}
	now := f.Clock.Now()
	if last, ok := f.reservationWritten[r.Name]; ok && !reservationUrgent(&r.Status, &st) && now.Sub(last) < statusInterval {
		return last.Add(statusInterval), nil
	}
	out := r.DeepCopy()
	out.Status = st
	if err := f.Client.Status().Update(ctx, out, client.FieldOwner(FieldOwner)); err != nil {
		return time.Time{}, f.refused(err, "cannot write the status of capacity reservation "+r.Name)
	}
	f.reservations.put(r.Name, out)
	f.reservationWritten[r.Name] = now
	if f.Events != nil && r.Status.Phase != st.Phase {
		kind := corev1.EventTypeNormal
		if st.Phase == fleetv1alpha1.ReservationCapped || st.Phase == fleetv1alpha1.ReservationWaiting {
			kind = corev1.EventTypeWarning
		}
		f.Events.Eventf(out, nil, kind, string(st.Phase), "Reserve", "%s", clip(cmp.Or(st.Message, string(st.Phase))))
	}
	return time.Time{}, nil
}

// reservationUrgent reports whether someone acts on, or waits for, what changed.
func reservationUrgent(a, b *fleetv1alpha1.CapacityReservationStatus) bool {
	return a.Phase != b.Phase || a.ObservedGeneration != b.ObservedGeneration || !maps.Equal(a.Baselines, b.Baselines) || !slices.Equal(a.Targets, b.Targets) || !slices.Equal(a.MembersInUse, b.MembersInUse)
}

// writeReservations writes the statuses of all reservations.
func (f *Fleet) writeReservations(ctx context.Context, v *view, made []plannedCapacity) (time.Time, error) {
	var next time.Time
	var first error
	for _, r := range v.reservations {
		if r.Spec.Until.After(v.now) {
			next = earlier(next, r.Spec.Until.Time)
		}
		st, ok := v.statusOf(r, made)
		if !ok {
			continue
		}
		again, err := f.writeReservation(ctx, r, st)
		next = earlier(next, again)
		if first == nil {
			first = err
		}
	}
	return next, first
}
