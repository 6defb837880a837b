package estimator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	// staleness is for how many times as long as it took to make it a fork is
	// used before it is made anew: what was promised since is booked on it, so
	// it misses only what left the member, or came to it from elsewhere.
	staleness = 4
	// oldest is for how long it is used, unless it took longer to make.
	oldest = 2 * time.Second
	// hopeless is how long it may take to make.
	hopeless = 30 * time.Second
)

// A room is what is free in a member. It is used under its lock.
type room struct {
	lock      chan struct{}
	member    *snapshot.Member
	simulator *simulation.Scheduler
	// configuration of the member's kube-scheduler, as YAML.
	configuration string
	quotas        *quotas

	// leaving members get nothing more.
	leaving bool

	// fork of the member's snapshot, on which all that is promised is booked.
	fork *snapshot.Fork
	// waiting pods are not booked yet.
	waiting [][]*corev1.Pod
	// begun is when the fork was made, took how long was worked on it, complete
	// whether all is booked, and since when.
	begun    time.Time
	took     time.Duration
	complete bool
	since    time.Time
	// version of the assignments that are booked.
	version int64
	booked  map[string]*booking
	// assumed is what karmada-scheduler assumes while a call lasts.
	assumed []counted
}

// A booking is replicas of a binding that are assigned and not seen.
type booking struct {
	// version of the workload whose replicas these are.
	version string
	pods    []*corev1.Pod
	// due are all of them, with and without a place.
	due counted
	// full says that no more of them have a place.
	full bool
}

func newRoom(m *snapshot.Member, configuration string) (*room, error) {
	sim, err := simulation.NewFromYAML(configuration)
	if err != nil {
		return nil, errUnknown(fmt.Sprintf("its scheduler cannot be simulated: %v", err))
	}
	return &room{lock: make(chan struct{}, 1), member: m, simulator: sim, configuration: configuration, quotas: watchQuotas(m.Client())}, nil
}

// close ends the simulator when nobody uses it any more.
func (r *room) close() {
	r.lock <- struct{}{}
	r.simulator.Close()
	r.quotas.stop()
}

// refresh brings the fork up to date. After an error what is done is kept, so
// that the next call gets further.
func (e *Estimator) refresh(ctx context.Context, r *room) error {
	now := e.Clock.Now()
	if r.fork == nil || r.outdated(now) {
		if err := e.fork(ctx, r, now); err != nil {
			return err
		}
	}
	if r.complete && r.version == e.assignments.version(r.member.Name()) {
		return nil
	}
	defer func() { r.took += e.Clock.Since(now) }()
	for len(r.waiting) > 0 {
		b := r.waiting[0]
		pods, err := r.place(ctx, r.fork, b[0], len(b))
		if err != nil {
			r.waiting[0] = b[len(pods):]
			return err
		}
		r.waiting = r.waiting[1:]
	}
	all, version := e.assignments.of(r.member.Name())
	if err := e.bookAll(ctx, r, all); err != nil {
		return err
	}
	if !r.complete {
		r.complete, r.since = true, e.Clock.Now()
	}
	r.version = version
	return nil
}

func (r *room) outdated(now time.Time) bool {
	switch {
	case r.member.Snapshot() == r.fork.Base():
		return false
	case r.complete:
		return now.Sub(r.since) > max(r.took, min(staleness*r.took, oldest))
	}
	return now.Sub(r.begun) > hopeless
}

// fork starts anew from what the member has now.
func (e *Estimator) fork(ctx context.Context, r *room, now time.Time) error {
	f := r.member.Snapshot().Fork()
	releasing, err := e.releasing(ctx, r.member.Name())
	if err != nil {
		return err
	}
	for _, n := range releasing {
		if f.Node(n) != nil {
			// It cannot fail: the node is there.
			_ = f.RemoveNode(n)
		}
	}
	r.fork, r.waiting = f, batches(f.Base().Pending())
	r.begun, r.took, r.complete, r.booked = now, 0, false, map[string]*booking{}
	return nil
}

// releasing returns the nodes of a member that are about to be given back.
func (e *Estimator) releasing(ctx context.Context, member string) ([]string, error) {
	list := &fleetv1alpha1.CapacityPlanList{}
	if err := e.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("cannot list capacity plans: %w", err)
	}
	var out []string
	for i := range list.Items {
		p := &list.Items[i]
		for _, s := range p.Status.Offerings {
			if slices.ContainsFunc(p.Spec.Offerings, func(o fleetv1alpha1.Offering) bool { return o.Name == s.Name && o.Member == member }) {
				out = append(out, s.Release...)
			}
		}
	}
	return out, nil
}

// batches groups waiting pods of one template that follow each other, in the
// order of kube-scheduler's queue. Pods of stateful sets, whose volumes differ,
// and those without a controller stay alone.
func batches(pods []*corev1.Pod) [][]*corev1.Pod {
	var out [][]*corev1.Pod
	var last string
	for _, p := range pods {
		if p.DeletionTimestamp != nil || len(p.Spec.SchedulingGates) > 0 {
			continue
		}
		key := ""
		if w, ok := snapshot.WorkloadOf(p); ok && p.Labels["pod-template-hash"] != "" {
			key = strings.Join([]string{w.Namespace, w.Kind, w.Name, p.Labels["pod-template-hash"]}, "/")
		}
		if key != "" && key == last {
			out[len(out)-1] = append(out[len(out)-1], p)
			continue
		}
		out = append(out, []*corev1.Pod{p})
		last = key
	}
	return out
}

// bookAll books what bindings have assigned to the member and it does not show.
func (e *Estimator) bookAll(ctx context.Context, r *room, all []*assigned) error {
	type due struct {
		*assigned
		n       int
		reading *reading
	}
	var dues []due
	known := map[string]bool{}
	for _, a := range all {
		known[a.id] = true
		n := int(a.unseen(r.member.Name(), r.fork.Base()))
		if n == 0 {
			r.unbook(a.id, 0)
			continue
		}
		dues = append(dues, due{assigned: a, n: n, reading: e.templates.prefetch(a)})
	}
	for id := range r.booked {
		if !known[id] {
			r.unbook(id, 0)
		}
	}
	slices.SortFunc(dues, func(a, b due) int { return strings.Compare(a.id, b.id) })
	for _, d := range dues {
		select {
		case <-d.reading.ready:
		case <-ctx.Done():
			return errUnknown("there was no time to read workloads")
		}
		if err := r.book(ctx, d.assigned, d.n, d.reading); err != nil {
			return err
		}
	}
	return nil
}

// book makes the bookings of a binding n replicas, or as many as have a place.
func (r *room) book(ctx context.Context, a *assigned, n int, w *reading) error {
	b := r.booked[a.id]
	if b != nil && (b.version != w.version || w.workload.silent) {
		r.unbook(a.id, 0)
		b = nil
	}
	if w.workload.silent {
		return nil
	}
	if b == nil {
		b = &booking{version: w.version}
		r.booked[a.id] = b
	}
	r.unbook(a.id, n)
	b.due.n = n
	if len(b.pods) == n || b.full {
		return nil
	}
	pod, err := w.workload.template.Pod(r.fork.Base().Objects())
	if err != nil {
		// The member would not store it.
		b.full, b.due = true, counted{}
		return nil
	}
	b.due.pod = pod
	pods, err := r.place(ctx, r.fork, pod, n-len(b.pods))
	b.pods = append(b.pods, pods...)
	b.full = err == nil && len(b.pods) < n
	return err
}

// unbook takes bookings of a binding off the fork until n are left.
func (r *room) unbook(id string, n int) {
	b := r.booked[id]
	if b == nil || len(b.pods) <= n {
		if b != nil && n == 0 {
			delete(r.booked, id)
		}
		return
	}
	for _, p := range b.pods[n:] {
		// It cannot fail: nobody else takes them off.
		_ = r.fork.RemovePod(p.Spec.NodeName, p)
	}
	// Others may have a place now.
	for _, o := range r.booked {
		o.full = false
	}
	b.pods = b.pods[:n]
	if n == 0 {
		delete(r.booked, id)
	}
}

// place puts up to n copies of a pod where the member's kube-scheduler will, and
// returns them. Copies that cannot be simulated take no room. An error says that
// the time is over; what was placed by then stays.
func (r *room) place(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, n int) ([]*corev1.Pod, error) {
	mark := f.Mark()
	res, err := r.simulator.Place(ctx, f, pod, n)
	if err != nil && ctx.Err() == nil {
		f.Revert(mark)
		f.Commit(mark)
		return nil, nil
	}
	f.Commit(mark)
	if err != nil {
		return res.Pods, errUnknown("there was no time: " + err.Error())
	}
	return res.Pods, nil
}

// count counts how many replicas of a template fit, up to a limit.
func (r *room) count(ctx context.Context, t *scheduler.Template, limit int) (estimate, error) {
	pod, err := r.pod(t)
	if err != nil {
		// The member would not store it.
		return estimate{}, nil
	}
	admitted := r.quotas.admits([]counted{{pod: pod, n: 1}}, r.promised(), limit)
	if admitted == 0 {
		return estimate{}, nil
	}
	n, err := r.simulator.Count(ctx, r.fork, pod, admitted)
	switch {
	case err != nil && ctx.Err() != nil && n > 0:
		return estimate{n: int32(n), atLeast: true}, nil
	case err != nil:
		return estimate{}, fmt.Errorf("cannot simulate a replica: %w", err)
	case n > 0:
		return estimate{n: int32(n), atLeast: n == limit}, nil
	}
	mark := r.fork.Mark()
	defer func() { r.fork.Revert(mark); r.fork.Commit(mark) }()
	res, err := r.simulator.Place(ctx, r.fork, pod, 1)
	if err != nil {
		return estimate{}, fmt.Errorf("cannot simulate a replica: %w", err)
	}
	return estimate{}, understood(pod, res, r.fork)
}

// promised are the replicas that come to the member beside the pods that are
// there.
func (r *room) promised() []counted {
	out := slices.Clone(r.assumed)
	for _, b := range r.booked {
		if b.due.pod != nil {
			out = append(out, b.due)
		}
	}
	return out
}

// pod returns a replica as the member would store it, except that nothing holds
// it back which is to come with the workload, or is to be lifted: scheduling
// gates, and claims of volumes that are not there yet.
func (r *room) pod(t *scheduler.Template) (*corev1.Pod, error) {
	p, err := t.Pod(r.fork.Base().Objects())
	if err != nil {
		return nil, err
	}
	p.Spec.SchedulingGates = nil
	p.Spec.Volumes = slices.DeleteFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		c := v.PersistentVolumeClaim
		return c != nil && r.fork.Object(snapshot.PersistentVolumeClaims, p.Namespace, c.ClaimName) == nil
	})
	return p, nil
}

// understood returns an error if a pod was refused because it cannot be
// simulated: no plugin has anything against it.
func understood(pod *corev1.Pod, res simulation.Result, f *snapshot.Fork) error {
	if res.Placed > 0 || f.NumNodes() == 0 {
		return nil
	}
	if len(res.Plugins) == 0 || len(pod.Spec.ResourceClaims) > 0 {
		return errUnknown("the pod cannot be simulated: " + res.Message)
	}
	return nil
}
