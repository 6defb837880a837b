package estimator

import (
	"context"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/fleet/controller"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// maxAvailableReplicas answers how many more replicas of a workload fit into a
// member.
func (e *Estimator) maxAvailableReplicas(ctx context.Context, req *replicasRequest) *response {
	var t *scheduler.Template
	limit := most
	prepare := func(work context.Context) error {
		if t, limit = e.template(work, objectOf(ctx)); t != nil {
			return nil
		}
		namespace := ""
		if req.needs != nil {
			namespace = req.needs.Namespace
		}
		t = controller.TemplateFor(namespace, req.needs)
		return req.err
	}
	n := e.answer(ctx, "MaxAvailableReplicas", req.cluster, prepare, func(work context.Context, r *room) (out estimate, err error) {
		if r.leaving {
			return estimate{}, nil
		}
		err = e.with(work, r, objectOf(ctx), req.assumed, func() error {
			out, err = r.count(work, t, limit)
			return err
		})
		return out, err
	})
	return &response{n: n}
}

// maxAvailableComponentSets answers how many more whole sets of a workload with
// several components fit into a member.
func (e *Estimator) maxAvailableComponentSets(ctx context.Context, req *setsRequest) *response {
	var cs []component
	prepare := func(context.Context) error {
		if cs = components(req.namespace, req.components); req.err == nil && len(cs) == 0 {
			return errUnknown("a set of nothing fits everywhere")
		}
		return req.err
	}
	n := e.answer(ctx, "MaxAvailableComponentSets", req.cluster, prepare, func(work context.Context, r *room) (out estimate, err error) {
		if r.leaving {
			return estimate{}, nil
		}
		err = e.with(work, r, objectOf(ctx), req.assumed, func() error {
			out, err = r.countSets(work, cs)
			return err
		})
		return out, err
	})
	return &response{n: n}
}

// getUnschedulableReplicas answers how many replicas of a workload have had no
// place in a member for a while, and would be better off elsewhere. karmada-
// descheduler takes as many away. Those of kinds that would lose another replica
// than the one that waits are not told.
func (e *Estimator) getUnschedulableReplicas(ctx context.Context, req *unschedulableRequest) *response {
	k := snapshot.WorkloadKey{Namespace: req.ref.Namespace, Kind: req.ref.Kind, Name: req.ref.Name}
	var a *assigned
	prepare := func(work context.Context) error {
		if req.err != nil {
			return req.err
		}
		if !slices.Contains(exchangeable, k.Kind) {
			return errUnknown("which replica of a " + k.Kind + " would go is not known")
		}
		a = e.find(work, object{kind: k.Kind, namespace: k.Namespace, name: k.Name})
		return nil
	}
	n := e.answer(ctx, "GetUnschedulableReplicas", req.cluster, prepare, func(_ context.Context, r *room) (estimate, error) {
		before := e.Clock.Now().Add(-max(0, req.threshold))
		n := int32(0)
		for _, p := range r.member.Pods(k) {
			if since, ok := unschedulableSince(p); ok && p.DeletionTimestamp == nil && since.Before(before) {
				n++
			}
		}
		if a != nil {
			// Where as many have a node as are assigned, it is a rollout that
			// waits, and one that runs would go.
			n = min(n, max(0, a.replicas[req.cluster]-int32(r.member.Workload(k).Scheduled)))
		}
		return estimate{n: n}, nil
	})
	return &response{n: n}
}

// exchangeable kinds lose the replica that waits when they have one too many.
var exchangeable = []string{"Deployment", "ReplicaSet", "CloneSet"}

// unschedulableSince tells since when a member's kube-scheduler says that a pod
// has no place.
func unschedulableSince(p *corev1.Pod) (time.Time, bool) {
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return c.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// template of the workload that a request is for, or nil if it is not known soon
// enough, and how many replicas of it to count.
func (e *Estimator) template(ctx context.Context, o object) (*scheduler.Template, int) {
	if o == (object{}) {
		return nil, most
	}
	a := e.find(ctx, o)
	if a == nil {
		return nil, most
	}
	ctx, cancel := context.WithTimeout(ctx, e.Budget/4)
	defer cancel()
	limit := min(most, max(many, manyTimes*int(a.wanted)))
	if w := e.templates.get(ctx, a); w.known {
		return w.template, limit
	}
	return nil, limit
}

// find the binding of a workload, or nil if it is not known soon.
func (e *Estimator) find(ctx context.Context, o object) *assigned {
	ctx, cancel := context.WithTimeout(ctx, e.Budget/10)
	defer cancel()
	return e.assignments.find(ctx, o)
}

// with calls fn while all that is promised is booked in a member: also what
// karmada-scheduler assumes and we have not seen yet, and what reservations hold
// for others than the workload asked for.
func (e *Estimator) with(ctx context.Context, r *room, o object, assumed []assumption, fn func() error) error {
	if err := e.refresh(ctx, r); err != nil {
		return err
	}
	mark := r.fork.Mark()
	defer func() { r.fork.Revert(mark); r.fork.Commit(mark); r.assumed = nil }()
	if e.Held != nil {
		r.hold(e.Held(r.member.Name()), e.assignments.ids(o))
	}
	all, _ := e.assignments.of(r.member.Name())
	for _, w := range assumed {
		for _, c := range e.unaccounted(r, all, w.namespace, components(w.namespace, w.components)) {
			pod, err := c.template.Pod(r.fork.Base().Objects())
			if err != nil {
				continue
			}
			r.assumed = append(r.assumed, counted{pod: pod, n: int(c.replicas)})
			if _, err := r.place(ctx, r.fork, pod, int(c.replicas)); err != nil {
				return err
			}
		}
	}
	return fn()
}

// hold puts on the fork what reservations hold, except for the supplied bindings.
func (r *room) hold(rooms []scheduler.HeldRoom, except []string) {
	for _, h := range rooms {
		if slices.ContainsFunc(except, func(id string) bool { return slices.Contains(h.Bindings, id) }) {
			continue
		}
		for _, p := range h.Pods {
			c := *p
			c.UID = "held-" + p.UID
			// It fails if the node is gone, and the room with it.
			_ = r.fork.AddPod(p.Spec.NodeName, &c)
		}
	}
}

// unaccounted returns what of an assumed workload is neither among the pods of
// the member nor booked. An assumption does not name its workload, but for one
// without components its only component has the workload's name
// (singleTemplateAsComponents of pkg/scheduler/scheduler.go).
func (e *Estimator) unaccounted(r *room, all []*assigned, namespace string, cs []component) []component {
	if len(cs) == 1 {
		have := int32(0)
		for _, a := range all {
			if a.ref.Namespace == namespace && a.ref.Name == cs[0].name && len(a.components) <= 1 {
				seen, exact := a.seen(r.fork.Base())
				have = max(have, seen)
				if exact {
					have = max(have, a.replicas[r.member.Name()])
				}
			}
		}
		cs[0].replicas = max(0, cs[0].replicas-have)
		return cs
	}
	for _, a := range all {
		if a.ref.Namespace == namespace && alike(a, cs) && r.fork.Base().Workload(a.workload) != (snapshot.Counts{}) {
			return nil
		}
	}
	return cs
}

// alike reports whether a binding is for a set of the supplied components.
func alike(a *assigned, cs []component) bool {
	return slices.EqualFunc(components(a.ref.Namespace, a.components), cs, func(x, y component) bool { return x.name == y.name && x.replicas == y.replicas })
}

// manySets are so many that it does not matter whether some more of them come one
// after the other, or each component of all of them.
const manySets = 8

// countSets counts how many whole sets fit, and takes them away again. The first
// come one after the other, then ever more at a time, and fewer when those do not
// fit.
func (r *room) countSets(ctx context.Context, cs []component) (estimate, error) {
	pods := make([]*corev1.Pod, len(cs))
	size := int32(0)
	for i, c := range cs {
		p, err := r.pod(c.template)
		if err != nil {
			// The member would not store it.
			return estimate{}, nil
		}
		pods[i] = p
		size += min(c.replicas, math.MaxInt32/int32(len(cs)))
	}
	set := make([]counted, len(cs))
	for i, c := range cs {
		set[i] = counted{pod: pods[i], n: int(c.replicas)}
	}
	counts := max(1, most/size)
	limit := int32(r.quotas.admits(set, r.promised(), int(counts)))
	mark := r.fork.Mark()
	defer func() { r.fork.Revert(mark); r.fork.Commit(mark) }()
	out := estimate{}
	for step, growing := int32(1), true; step > 0 && out.n < limit; {
		step = min(step, limit-out.n)
		ok, err := r.addSets(ctx, cs, pods, step)
		switch {
		case err != nil && ctx.Err() != nil && out.n > 0:
			out.atLeast = true
			return out, nil
		case err != nil:
			return estimate{}, err
		case !ok:
			growing = false
			step /= 2
		default:
			out.n += step
			switch {
			case !growing:
				step = max(1, step/2)
			case out.n >= manySets*step:
				step *= 2
			}
		}
	}
	out.atLeast = out.n == counts
	return out, nil
}

// addSets puts n whole sets on the fork, or nothing.
func (r *room) addSets(ctx context.Context, cs []component, pods []*corev1.Pod, n int32) (bool, error) {
	mark := r.fork.Mark()
	for i, c := range cs {
		want := int(c.replicas) * int(n)
		res, err := r.simulator.Place(ctx, r.fork, pods[i], want)
		if err == nil {
			err = understood(pods[i], res, r.fork)
		}
		if err != nil || res.Placed < want {
			r.fork.Revert(mark)
			r.fork.Commit(mark)
			return false, err
		}
	}
	r.fork.Commit(mark)
	return true, nil
}
