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
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

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
		v.reservations = append(v.reservations, &round.Reservation{CapacityReservation: f.reservations.latest(r.Name, r).(*fleetv1alpha1.CapacityReservation)})
	}
	f.reservations.keep(keep)
	maps.DeleteFunc(f.reservationWritten, func(name string, _ time.Time) bool { return !keep[name] })
	uids := map[types.UID]bool{}
	for _, r := range v.reservations {
		uids[r.UID] = true
	}
	maps.DeleteFunc(f.baselines, func(uid types.UID, _ map[string]int32) bool { return !uids[uid] })
	// The oldest first: what it brings, and what its targets use, is its own.
	slices.SortFunc(v.reservations, func(a, b *round.Reservation) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return nil
}

// merge makes the plans what their reservations make of them.
func (v *view) merge() {
	for _, p := range v.plans {
		for _, r := range v.reservations {
			if r.Spec.Pool == p.plan.Name {
				p.reservations = append(p.reservations, r)
			}
		}
		p.merged = round.Merge(p.plan, p.reservations, v.now, memoryOf(p.plan))
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
	used := map[string]int32{}
	for _, b := range bs {
		for _, c := range b.spec.Clusters {
			if slices.ContainsFunc(pool.Members, func(m scheduler.Member) bool { return m.Elastic && m.Name == c.Name }) {
				used[b.id()] += b.share(f.templates.get(b.id()), c)
			}
		}
	}
	for _, r := range p.reservations {
		r.Targets = nil
		for _, b := range bs {
			t := f.templates.get(b.id())
			if t == nil || t.pods == nil || !t.divided && !b.spec.IsWorkload() {
				continue
			}
			if slices.ContainsFunc(r.Spec.Targets, func(s fleetv1alpha1.WorkloadTarget) bool { return targets(&s, b, t.labels) }) {
				r.Targets = append(r.Targets, round.Target{Binding: b.id(), Name: b.spec.Resource.Namespace + "/" + b.spec.Resource.Name, Template: t.pods})
			}
		}
		if r.Ended == "" {
			f.begin(r, bs, used)
		}
	}
	pool.Holds, p.planned = round.Hold(p.merged, p.reservations, used)
	return round.Reserved(p.reservations)
}

// begin notes what the targets of a reservation had in elastic members when each
// was first seen. It is never counted again: by then they may use what is held,
// and as much would be held on top. So what the status says stays while the
// binding is there, also if its workload cannot be read for a moment; and what
// could not be written into the status is remembered.
func (f *Fleet) begin(r *round.Reservation, bs []binding, used map[string]int32) {
	seen := f.baselines[r.UID]
	r.Baselines = map[string]int32{}
	for _, b := range bs {
		if base, ok := r.Status.Baselines[b.id()]; ok {
			r.Baselines[b.id()] = base
		} else if base, ok := seen[b.id()]; ok {
			r.Baselines[b.id()] = base
		}
	}
	for _, t := range r.Targets {
		if _, ok := r.Baselines[t.Binding]; !ok {
			r.Baselines[t.Binding] = used[t.Binding]
		}
	}
	f.baselines[r.UID] = r.Baselines
}

// statusOf returns what is to be written of a reservation; it is not ok if
// nothing is known of its pool.
func (v *view) statusOf(r *round.Reservation, made []plannedCapacity) (fleetv1alpha1.CapacityReservationStatus, bool) {
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
	st.Targets = r.Names()
	st.Baselines = r.Baselines
	if r.Ended == "" && len(r.Targets) == 0 {
		st.Phase, st.Message = fleetv1alpha1.ReservationWaiting, fmt.Sprintf("no workload of pool %q matches the targets", r.Spec.Pool)
	}
	return st, true
}

// writeReservation writes the status of a reservation. It returns when what it
// held back is to be written.
func (f *Fleet) writeReservation(ctx context.Context, r *round.Reservation, st fleetv1alpha1.CapacityReservationStatus) (time.Time, error) {
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
