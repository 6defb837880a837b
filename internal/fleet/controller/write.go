package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// write writes what a round decided: first, and at the same time, the plans
// that someone waits for and the bindings. It returns when what it held back is
// to be written. It does not wait for the bindings, see flights.
func (f *Fleet) write(ctx context.Context, v *view, made []plannedCapacity, seen time.Time) (time.Time, error) {
	var next time.Time
	var mu sync.Mutex
	var errs []error
	fail := func(err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	models := map[string]*scheduler.Binding{}
	for i := range v.input.Bindings {
		models[v.input.Bindings[i].ID] = &v.input.Bindings[i]
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, p := range made {
		mu.Lock()
		last, ok := f.statusWritten[p.plan.Name]
		mu.Unlock()
		if ok && !p.out.Urgent && f.Clock.Since(last) < statusInterval {
			if !equality.Semantic.DeepEqual(p.plan.Status, p.out.Status) || !p.out.Memory.Equal(memoryOf(p.plan)) {
				next = earlier(next, last.Add(statusInterval))
			}
			continue
		}
		g.Go(func() error {
			wrote, err := f.writePlan(ctx, p, seen)
			if wrote {
				mu.Lock()
				f.statusWritten[p.plan.Name] = f.Clock.Now()
				mu.Unlock()
			}
			fail(err)
			return nil
		})
	}
	for i := range v.out.Decisions {
		d := &v.out.Decisions[i]
		fail(f.writeBinding(ctx, v.bindings[d.Binding], models[d.Binding], d))
	}
	again, err := f.writeReservations(ctx, v, made)
	next = earlier(next, again)
	fail(err)
	_ = g.Wait()
	if len(errs) > 0 {
		return next, fmt.Errorf("cannot write %d decisions, the first: %w", len(errs), errs[0])
	}
	return next, nil
}

// writeBinding starts to write a decision about a binding: the assignment, then
// the status that says so.
func (f *Fleet) writeBinding(ctx context.Context, b binding, model *scheduler.Binding, d *scheduler.Decision) error {
	d.Changed = d.Changed || model.Gang && !slices.Equal(b.clusters(model, d.Targets), b.spec.Clusters)
	assigned, err := b.assigned(model, d)
	if err != nil {
		return err
	}
	expected := f.told(assigned, model, d)
	if expected.Object == b.Object || f.flights.again(d.Binding) {
		return nil
	}
	if b.expected {
		// The flight that was to make it what was decided about has landed since,
		// and may not have.
		f.Kick()
		return nil
	}
	f.flights.start(d.Binding, b.Object, expected.Object)
	go func() {
		again, first := f.flights.land(d.Binding, f.fly(ctx, b, assigned.Object != b.Object, model, d))
		if again {
			f.Kick()
		}
		if first {
			select {
			case <-f.Clock.After(retryAfter):
				f.Kick()
			case <-ctx.Done():
			}
		}
	}()
	return nil
}

// fly writes a decision: to the status only, unless there is something to assign.
func (f *Fleet) fly(ctx context.Context, b binding, assigns bool, model *scheduler.Binding, d *scheduler.Decision) error {
	now := b
	if assigns {
		err := in(ctx, f.flights.assigning, func() (err error) {
			now, err = f.assign(ctx, b, model, d)
			return err
		})
		if err != nil {
			return f.refused(err, "cannot assign replicas of "+d.Binding)
		}
		f.bindings.put(d.Binding, now.Object)
		f.flights.advance(d.Binding, now.Object, f.told(now, model, d).Object)
	}
	return in(ctx, f.flights.telling, func() error {
		told, err := f.tell(ctx, now, model, d)
		if err != nil {
			return f.refused(err, "cannot write the status of "+d.Binding)
		}
		f.bindings.put(d.Binding, told.Object)
		return nil
	})
}

// current returns a binding as the cache has it, if that is newer: Karmada may
// have written its status. An error says that something else was written, too.
func (f *Fleet) current(ctx context.Context, b binding) (binding, error) {
	o := reflect.New(reflect.TypeOf(b.Object).Elem()).Interface().(client.Object)
	if err := f.Client.Get(ctx, client.ObjectKeyFromObject(b.Object), o); err != nil {
		return b, err
	}
	if !older(b.Object, o) {
		return b, nil
	}
	if moved(b.Object, o) {
		return b, errMoved
	}
	return bindingOf(o), nil
}

// refused turns a conflict into no error: the change that caused it brings the
// next round.
func (f *Fleet) refused(err error, what string) error {
	switch {
	case apierrors.IsConflict(err), errors.Is(err, errMoved):
		conflicts.Inc()
		f.Kick()
		return nil
	case apierrors.IsNotFound(err):
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// assigned returns a binding with what was decided in its spec and annotations:
// the same one if that is there already.
func (b binding) assigned(model *scheduler.Binding, d *scheduler.Decision) (binding, error) {
	placement := b.placement()
	if !d.Changed && b.GetAnnotations()[karmadautil.PolicyPlacementAnnotation] == placement && d.State.Equal(model.State) {
		return b, nil
	}
	state, err := encode(d.State)
	if err != nil {
		return b, err
	}
	out := b.copy()
	withAnnotation(out.Object, karmadautil.PolicyPlacementAnnotation, placement)
	withAnnotation(out.Object, AnnotationPlacement, state)
	if d.Changed {
		out.spec.Clusters = b.clusters(model, d.Targets)
		// As the API will count it.
		out.SetGeneration(b.GetGeneration() + 1)
	}
	return out, nil
}

// assign writes spec.clusters and the placement it was made for in one patch.
func (f *Fleet) assign(ctx context.Context, b binding, model *scheduler.Binding, d *scheduler.Decision) (binding, error) {
	b, err := f.current(ctx, b)
	if err != nil {
		return b, err
	}
	out, err := b.assigned(model, d)
	if err != nil {
		return b, err
	}
	out.SetGeneration(b.GetGeneration())
	patch := client.MergeFromWithOptions(b.Object, client.MergeFromWithOptimisticLock{})
	if err := f.Client.Patch(ctx, out.Object, patch, client.FieldOwner(FieldOwner)); err != nil {
		return b, err
	}
	if d.Changed {
		f.count(b, model, d)
	}
	return out, nil
}

func (f *Fleet) count(b binding, model *scheduler.Binding, d *scheduler.Decision) {
	added, taken := int32(0), int32(0)
	targets := map[string]int32{}
	for _, t := range d.Targets {
		targets[t.Member] = t.Replicas
		added += max(0, t.Replicas-model.Assigned[t.Member])
	}
	for name, n := range model.Assigned {
		taken += max(0, n-targets[name])
	}
	pool := b.pool()
	placements.WithLabelValues(pool).Add(float64(added))
	cuts.WithLabelValues(pool).Add(float64(taken))
	if d.Returning && added > 0 {
		moves.WithLabelValues(pool).Inc()
	}
}

// told returns a binding with the status that says what was decided: the same one
// if it does already.
func (f *Fleet) told(b binding, model *scheduler.Binding, d *scheduler.Decision) binding {
	c := condition(model, d)
	timed := d.Changed || model.Rebalance || b.status.LastScheduledTime == nil
	have := meta.FindStatusCondition(b.status.Conditions, c.Type)
	if !timed && have != nil && have.Status == c.Status && have.Reason == c.Reason && have.Message == c.Message && b.status.SchedulerObservedGeneration == b.GetGeneration() {
		return b
	}
	out := b.copy()
	meta.SetStatusCondition(&out.status.Conditions, c)
	out.status.SchedulerObservedGeneration = b.GetGeneration()
	if timed {
		// Truncated as it is stored, so that it compares equal later.
		now := metav1.NewTime(f.Clock.Now()).Rfc3339Copy()
		out.status.LastScheduledTime = &now
	}
	return out
}

// tell writes the status by which Karmada's controllers know that the binding
// was scheduled, and by which a person knows why so.
func (f *Fleet) tell(ctx context.Context, b binding, model *scheduler.Binding, d *scheduler.Decision) (binding, error) {
	b, err := f.current(ctx, b)
	if err != nil {
		return b, err
	}
	was := before(b.status.Conditions)
	out := f.told(b, model, d)
	if out.Object == b.Object {
		return b, nil
	}
	patch := client.MergeFromWithOptions(b.Object, client.MergeFromWithOptimisticLock{})
	if err := f.Client.Status().Patch(ctx, out.Object, patch, client.FieldOwner(FieldOwner)); err != nil {
		return b, err
	}
	f.announce(out, d, was)
	return out, nil
}

func before(cs []metav1.Condition) string {
	if c := meta.FindStatusCondition(cs, workv1alpha2.Scheduled); c != nil {
		return c.Message
	}
	return ""
}

// condition says whether all replicas have a place. Messages of conditions are
// bounded by the API.
func condition(model *scheduler.Binding, d *scheduler.Decision) metav1.Condition {
	c := metav1.Condition{Type: workv1alpha2.Scheduled, Status: metav1.ConditionTrue, Reason: workv1alpha2.BindingReasonSuccess, Message: d.Message}
	switch {
	case model.Problem != "":
		c.Status, c.Reason = metav1.ConditionFalse, workv1alpha2.BindingReasonSchedulerError
	case d.Pending > 0 && len(d.Targets) == 0 && len(d.Refusals) == 0:
		c.Status, c.Reason = metav1.ConditionFalse, workv1alpha2.BindingReasonNoClusterFit
	case d.Pending > 0:
		c.Status, c.Reason = metav1.ConditionFalse, workv1alpha2.BindingReasonUnschedulable
	}
	if len(c.Message) > 4096 {
		c.Message = c.Message[:4096]
	}
	return c
}

// announce writes an event on the workload, where its author looks. The binding
// says the same in its condition.
func (f *Fleet) announce(b binding, d *scheduler.Decision, was string) {
	c := meta.FindStatusCondition(b.status.Conditions, workv1alpha2.Scheduled)
	if f.Events == nil || scheduler.Gist(c.Message) == scheduler.Gist(was) && len(d.Notes) == 0 {
		return
	}
	note := strings.Join(append([]string{d.Message}, d.Notes...), "; ")
	if len(note) > 1000 {
		// The API takes 1024 bytes.
		note = strings.ToValidUTF8(note[:1000], "")
	}
	kind, reason := corev1.EventTypeNormal, "Placed"
	switch {
	case d.Blocked != "":
		kind, reason = corev1.EventTypeWarning, "DrainBlocked"
	case c.Reason == workv1alpha2.BindingReasonSchedulerError:
		kind, reason = corev1.EventTypeWarning, "CannotPlace"
	case d.Pending > 0:
		reason = "WaitingForCapacity"
	case d.Returning:
		reason = "ReturningHome"
	}
	ref := &corev1.ObjectReference{
		APIVersion: b.spec.Resource.APIVersion, Kind: b.spec.Resource.Kind,
		Namespace: b.spec.Resource.Namespace, Name: b.spec.Resource.Name, UID: b.spec.Resource.UID,
	}
	f.Events.Eventf(ref, b.Object, kind, reason, "Place", "%s", note)
}

// writePlan writes the status of a plan, and what later plans must know.
func (f *Fleet) writePlan(ctx context.Context, p plannedCapacity, seen time.Time) (bool, error) {
	wrote := false
	cur := p.plan
	if !equality.Semantic.DeepEqual(cur.Status, p.out.Status) {
		out := cur.DeepCopy()
		out.Status = p.out.Status
		if err := f.Client.Status().Update(ctx, out, client.FieldOwner(FieldOwner)); err != nil {
			return false, f.refused(err, "cannot write the status of capacity plan "+cur.Name)
		}
		wrote = true
		written := f.Clock.Now()
		for _, r := range p.out.Records {
			f.Decisions.Add(DecisionRecord{UnmetSeen: seen, Written: written, Plan: cur.Name, Offering: r.Offering, From: r.From, To: r.To, Released: r.Released})
			if r.To > r.From {
				decisionSeconds.WithLabelValues(cur.Name).Observe(written.Sub(seen).Seconds())
				orders.WithLabelValues(cur.Name, r.Offering).Add(float64(r.To - r.From))
			} else {
				releases.WithLabelValues(cur.Name, r.Offering).Add(float64(r.From - r.To))
			}
		}
		if f.Events != nil && len(p.out.Records) > 0 && out.Status.LastDecision != nil {
			f.Events.Eventf(out, nil, corev1.EventTypeNormal, "Planned", "Plan", "%s", clip(out.Status.LastDecision.Summary))
		}
		cur = out
		f.plans.put(p.plan.Name, out)
	}
	if p.out.Memory.Equal(memoryOf(p.plan)) {
		return wrote, nil
	}
	raw, err := json.Marshal(p.out.Memory)
	if err != nil {
		return wrote, fmt.Errorf("cannot encode the memory of capacity plan %s: %w", cur.Name, err)
	}
	value := string(raw)
	if value == "{}" {
		value = ""
	}
	out := cur.DeepCopy()
	withAnnotation(out, AnnotationMemory, value)
	if err := f.Client.Patch(ctx, out, client.MergeFrom(cur), client.FieldOwner(FieldOwner)); err != nil {
		return wrote, f.refused(err, "cannot write the memory of capacity plan "+cur.Name)
	}
	f.plans.put(p.plan.Name, out)
	return true, nil
}

func clip(s string) string {
	if len(s) > 1000 {
		return s[:1000]
	}
	return s
}
