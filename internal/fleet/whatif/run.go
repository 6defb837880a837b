package whatif

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// run lets the members have the pods that are assigned to them. It reports
// whether that changed anything.
func (p *play) run() (bool, error) {
	changed := false
	for _, name := range slices.Sorted(maps.Keys(p.members)) {
		m := p.members[name]
		if s := p.state(name); s != scheduler.Serving && s != scheduler.Draining || m.snapshot == nil || m.simulator == nil {
			continue
		}
		s := p.starts(name)
		acted := m.wake(p.in.Now, s)
		p.show(m)
		for i := range p.in.Bindings {
			did, err := p.runOne(m, &p.in.Bindings[i], s)
			if err != nil {
				return false, err
			}
			acted = acted || did
			p.show(m)
		}
		bound, err := p.bind(m, s)
		if err != nil {
			return false, err
		}
		p.show(m)
		changed = changed || acted || bound
	}
	return changed, nil
}

// runOne makes as many pods of a workload in a member as are assigned.
func (p *play) runOne(m *member, b *scheduler.Binding, s starts) (bool, error) {
	if !b.Divided || b.Held || b.Template == nil {
		return false, nil
	}
	r := b.Reported[m.name]
	if r.Finished {
		return false, nil
	}
	size := b.Template.Size()
	have := int32(m.snapshot.Workload(b.Workload).Total) / size
	want := max(0, b.Assigned[m.name]-r.Succeeded)
	if have == 0 && r.Ready > 0 && !scheduler.Recognizes(b.Workload.Kind) {
		// Its pods belong to something in between: which they are is not known.
		did := r.Ready != want
		r.Ready = want
		b.Reported[m.name] = r
		return did, nil
	}
	if have > want {
		if err := m.cut(b.Workload, int((have-want)*size)); err != nil {
			return false, fmt.Errorf("cannot play %s in %s: %w", b.ID, m.name, err)
		}
	}
	if have < want {
		if err := p.start(m, b, int(want-have), s); err != nil {
			return false, fmt.Errorf("cannot play %s in %s: %w", b.ID, m.name, err)
		}
	}
	return have != want, nil
}

// start makes pods of a workload, on the nodes to which the member's
// kube-scheduler binds them. Those that have no place wait.
func (p *play) start(m *member, b *scheduler.Binding, n int, s starts) error {
	t := b.Template
	if b.Tolerates[m.name] && len(m.virtual) > 0 && !t.Grouped() {
		tolerant := *t
		tolerant.Spec = scheduler.Tolerant(&t.Spec, m.virtual)
		t = &tolerant
	}
	f := p.fork(m)
	pods, err := p.pods(m, f, t, n)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		made := *pod
		if made.Spec.NodeName == "" {
			id := strconv.FormatInt(f.Serial(), 10)
			made.Name, made.UID = made.Name+"-"+id, types.UID(simulated+id)
		}
		made.UID = played(made.UID)
		made.CreationTimestamp = metav1.NewTime(p.in.Now)
		m.add(&made, s, p.in.Now)
	}
	return p.keep(m, f)
}

// fork of a member. What is made on it has names and UIDs that nothing in the
// play has.
func (p *play) fork(m *member) *snapshot.Fork {
	f := m.snapshot.Fork()
	for range p.serial {
		f.Serial()
	}
	return f
}

// simulated is how UIDs begin that exist only on a fork: see simulation.Scheduler.
const simulated = "simulated-"

// played is the UID of what was made on a fork when it is in the play: what is
// made on other forks must not have the same.
func played(uid types.UID) types.UID {
	if id, ok := strings.CutPrefix(string(uid), simulated); ok {
		return types.UID("played-" + id)
	}
	return uid
}

// keep what a fork was used for: serials, the claims that its pods made, and the
// volumes that they took.
func (p *play) keep(m *member, f *snapshot.Fork) error {
	p.serial = f.Serial()
	type key struct {
		kind            snapshot.Kind
		namespace, name string
	}
	last := map[key]snapshot.Object{}
	for _, o := range f.Extra() {
		k, _ := snapshot.KindOf(o)
		at := key{k, o.GetNamespace(), o.GetName()}
		switch o := o.DeepCopyObject().(type) {
		case *corev1.PersistentVolume:
			if o.Spec.ClaimRef != nil {
				o.Spec.ClaimRef.UID = played(o.Spec.ClaimRef.UID)
			}
			last[at] = o
		case *corev1.PersistentVolumeClaim:
			last[at] = owned(o)
		case *resourcev1.ResourceClaim:
			for i := range o.Status.ReservedFor {
				o.Status.ReservedFor[i].UID = played(o.Status.ReservedFor[i].UID)
			}
			last[at] = owned(o)
		}
	}
	if len(last) == 0 {
		return nil
	}
	return m.change().Put(slices.Collect(maps.Values(last))...)
}

// owned is a claim that a pod made when it is in the play.
func owned(o snapshot.Object) snapshot.Object {
	o.SetUID(played(o.GetUID()))
	refs := o.GetOwnerReferences()
	for i := range refs {
		refs[i].UID = played(refs[i].UID)
	}
	o.SetOwnerReferences(refs)
	return o
}

// suffix of the names of pods in the play, and so of their claims: others made on
// forks have the same without.
const suffix = "-whatif"

// pods of n replicas, with the nodes where they have a place.
func (p *play) pods(m *member, f *snapshot.Fork, t *scheduler.Template, n int) ([]*corev1.Pod, error) {
	if t.Grouped() {
		group, err := t.Group(m.snapshot.Objects())
		if err != nil {
			return nil, err
		}
		for _, c := range group {
			c.Pod.Name += suffix
		}
		res, err := scheduler.PlaceGroups(p.ctx, m.simulator, f, group, n)
		if err != nil {
			return nil, err
		}
		for range n - res.Placed {
			for _, c := range group {
				res.Pods = append(res.Pods, slices.Repeat([]*corev1.Pod{c.Pod}, c.Count)...)
			}
		}
		return res.Pods, nil
	}
	pod, err := t.Pod(m.snapshot.Objects())
	if err != nil {
		return nil, err
	}
	pod.Name += suffix
	res, err := m.simulator.Place(p.ctx, f, pod, n)
	if err != nil {
		return nil, err
	}
	return append(res.Pods, slices.Repeat([]*corev1.Pod{pod}, n-res.Placed)...), nil
}

// add a pod: one on a real node runs at once, one on a virtual node soon.
func (m *member) add(pod *corev1.Pod, s starts, now time.Time) {
	if pod.Spec.NodeName == "" {
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(now),
		}}
		m.change().SetPod(pod)
		return
	}
	of := scheduler.OfferingOf(m.node(pod.Spec.NodeName), m.virtual)
	if of == "" {
		m.change().SetPod(ready(pod))
		return
	}
	pod.Annotations = maps.Clone(pod.Annotations)
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, corev1.PodDeletionCost, scheduler.DeletionCost)
	m.starting[pod.UID] = start{pod: pod, due: now.Add(s.seconds[of])}
	m.change().SetPod(pod)
}

// cut ends pods of a workload, in about the order of its controller: those
// without a node, those that do not run, those that cost least to delete, and
// the newest.
func (m *member) cut(k snapshot.WorkloadKey, n int) error {
	of := m.change().PodsOf(k)
	rank := func(p *corev1.Pod) int {
		switch {
		case p.Spec.NodeName == "":
			return 0
		case !isRunning(p):
			return 1
		case p.Annotations[corev1.PodDeletionCost] == scheduler.DeletionCost:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(of, func(a, b *corev1.Pod) int {
		return cmp.Or(rank(a)-rank(b), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
	})
	for _, p := range of[:min(n, len(of))] {
		delete(m.starting, p.UID)
		m.change().DeletePod(p)
		if err := m.forget(p); err != nil {
			return err
		}
	}
	return nil
}

// forget the claims that a pod made for itself. Those of a StatefulSet stay, as
// they do by default.
func (m *member) forget(pod *corev1.Pod) error {
	var mine []snapshot.Object
	note := func(o snapshot.Object) {
		if metav1.IsControlledBy(o, pod) {
			mine = append(mine, o)
		}
	}
	objs := m.snapshot.Objects()
	if ref := metav1.GetControllerOfNoCopy(pod); ref == nil || ref.Kind != "StatefulSet" {
		for _, v := range pod.Spec.Volumes {
			if v.Ephemeral == nil {
				continue
			}
			if c, ok := objs.Set(snapshot.PersistentVolumeClaims).Get(pod.Namespace, pod.Name+"-"+v.Name).(*corev1.PersistentVolumeClaim); ok {
				note(c)
			}
		}
	}
	for _, st := range pod.Status.ResourceClaimStatuses {
		if st.ResourceClaimName == nil {
			continue
		}
		if c, ok := objs.Set(snapshot.ResourceClaims).Get(pod.Namespace, *st.ResourceClaimName).(*resourcev1.ResourceClaim); ok {
			note(c)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	return m.change().Remove(mine...)
}

// bind gives pods that wait a node, in the order of the member's queue.
func (p *play) bind(m *member, s starts) (bool, error) {
	bound := false
	f := p.fork(m)
	for _, pod := range m.snapshot.Pending() {
		if len(pod.Spec.SchedulingGates) > 0 {
			continue
		}
		res, err := m.simulator.Place(p.ctx, f, pod, 1)
		if err != nil && p.ctx.Err() != nil {
			return false, fmt.Errorf("cannot play a pod that waits in %s: %w", m.name, err)
		}
		if err != nil || res.Placed == 0 {
			// Its own kube-scheduler has no place for it either.
			continue
		}
		// The claims of the copy are those that were made.
		now := *res.Pods[0]
		now.UID, now.CreationTimestamp = played(now.UID), pod.CreationTimestamp
		m.change().DeletePod(pod)
		m.add(&now, s, p.in.Now)
		bound = true
	}
	if !bound {
		return false, nil
	}
	return true, p.keep(m, f)
}
