package estimator

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// ownKinds have pods that a snapshot recognizes as theirs, so if it shows none
// there are none. Of other kinds that is known once there is one.
var ownKinds = []string{"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "Job", "CloneSet"}

// An assigned binding is what some scheduler, whichever, promised to a workload.
// It is not changed once it is made.
type assigned struct {
	// id of the binding: namespace/name, or /name.
	id       string
	workload snapshot.WorkloadKey
	ref      workv1alpha2.ObjectReference
	// wanted replicas, and those assigned by member.
	wanted   int32
	replicas map[string]int32
	// needs of a replica, and components of a set, if it has several.
	needs      *workv1alpha2.ReplicaRequirements
	components []workv1alpha2.Component
	// over has what will not be seen any more, by member: pods of a Job that
	// succeeded. All of a Job that ended will not.
	over map[string]int32
}

// unseen returns how many replicas of a workload are assigned to a member and
// not yet among its pods, as far as that can be known.
func (a *assigned) unseen(member string, s *snapshot.Snapshot) int32 {
	if len(a.components) > 1 {
		return 0
	}
	seen, exact := a.seen(s)
	if !exact {
		return 0
	}
	return max(0, a.replicas[member]-a.over[member]-seen)
}

// seen returns how many pods a snapshot shows of the workload, and whether those
// are all it has.
func (a *assigned) seen(s *snapshot.Snapshot) (int32, bool) {
	c := s.Workload(a.workload)
	return int32(c.Total), slices.Contains(ownKinds, a.workload.Kind) || c.Total+c.Terminating > 0
}

// assignments follow all bindings.
type assignments struct {
	forget func(id string)

	mu       sync.RWMutex
	byID     map[string]*assigned
	byMember map[string]map[string]*assigned
	byObject map[object]map[string]*assigned
	// versions count the changes of what is assigned to a member.
	versions map[string]int64
	// changed is closed when a binding changes.
	changed chan struct{}
}

func newAssignments(forget func(id string)) *assignments {
	return &assignments{
		forget: forget, byID: map[string]*assigned{}, byMember: map[string]map[string]*assigned{}, byObject: map[object]map[string]*assigned{},
		versions: map[string]int64{}, changed: make(chan struct{}),
	}
}

// watch follows the bindings of a cache until the returned function is called.
func (a *assignments) watch(ctx context.Context, c cache.Informers) (func(), error) {
	var stops []func()
	stop := func() {
		for _, s := range stops {
			s()
		}
	}
	for _, o := range []client.Object{&workv1alpha2.ResourceBinding{}, &workv1alpha2.ClusterResourceBinding{}} {
		inf, err := c.GetInformer(ctx, o)
		if err != nil {
			stop()
			return nil, fmt.Errorf("cannot watch %T: %w", o, err)
		}
		reg, err := inf.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    a.set,
			UpdateFunc: func(_, o any) { a.set(o) },
			DeleteFunc: a.delete,
		})
		if err != nil {
			stop()
			return nil, fmt.Errorf("cannot watch %T: %w", o, err)
		}
		// It fails only if the informer has stopped already.
		stops = append(stops, func() { _ = inf.RemoveEventHandler(reg) })
		if !toolscache.WaitForCacheSync(ctx.Done(), reg.HasSynced) {
			return stop, nil
		}
	}
	return stop, nil
}

func idOf(o client.Object) string { return o.GetNamespace() + "/" + o.GetName() }

func (a *assignments) set(obj any) {
	switch b := obj.(type) {
	case *workv1alpha2.ResourceBinding:
		a.put(assignedOf(b, &b.Spec, &b.Status))
	case *workv1alpha2.ClusterResourceBinding:
		a.put(assignedOf(b, &b.Spec, &b.Status))
	}
}

func (a *assignments) delete(obj any) {
	if t, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = t.Obj
	}
	if o, ok := obj.(client.Object); ok {
		a.remove(idOf(o))
		a.forget(idOf(o))
	}
}

func (a *assignments) put(n *assigned) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.take(n.id)
	a.byID[n.id] = n
	for m := range n.replicas {
		index(a.byMember, m, n)
		a.versions[m]++
	}
	index(a.byObject, objectRef(n), n)
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *assignments) remove(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.take(id)
}

// take removes what is known of a binding, under the lock.
func (a *assignments) take(id string) {
	old, ok := a.byID[id]
	if !ok {
		return
	}
	delete(a.byID, id)
	for m := range old.replicas {
		unindex(a.byMember, m, old)
		a.versions[m]++
	}
	unindex(a.byObject, objectRef(old), old)
}

func index[K comparable](by map[K]map[string]*assigned, k K, n *assigned) {
	if by[k] == nil {
		by[k] = map[string]*assigned{}
	}
	by[k][n.id] = n
}

func unindex[K comparable](by map[K]map[string]*assigned, k K, n *assigned) {
	delete(by[k], n.id)
	if len(by[k]) == 0 {
		delete(by, k)
	}
}

func objectRef(n *assigned) object {
	return object{kind: n.ref.Kind, namespace: n.ref.Namespace, name: n.ref.Name}
}

// of returns what is assigned to a member, and the version of that.
func (a *assignments) of(member string) ([]*assigned, int64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]*assigned, 0, len(a.byMember[member]))
	for _, n := range a.byMember[member] {
		out = append(out, n)
	}
	return out, a.versions[member]
}

// version of what is assigned to a member.
func (a *assignments) version(member string) int64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.versions[member]
}

// find returns the binding of a workload, and waits for it until the context
// ends: karmada-scheduler may have seen it a moment before us. It returns nil if
// there is none, or several, of different API groups.
func (a *assignments) find(ctx context.Context, o object) *assigned {
	for {
		a.mu.RLock()
		found, changed := a.byObject[o], a.changed
		var one *assigned
		for _, n := range found {
			one = n
		}
		n := len(found)
		a.mu.RUnlock()
		switch n {
		case 0:
		case 1:
			return one
		default:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// ids of the bindings of a workload.
func (a *assignments) ids(o object) []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Collect(maps.Keys(a.byObject[o]))
}

// assignedOf reads a binding. A binding that is being deleted takes its replicas
// back.
func assignedOf(o client.Object, spec *workv1alpha2.ResourceBindingSpec, status *workv1alpha2.ResourceBindingStatus) *assigned {
	ref := spec.Resource
	out := &assigned{
		id: idOf(o), ref: ref, wanted: spec.Replicas, needs: spec.ReplicaRequirements, components: spec.Components,
		workload: snapshot.WorkloadKey{Namespace: ref.Namespace, Kind: ref.Kind, Name: ref.Name},
		replicas: map[string]int32{},
	}
	if o.GetDeletionTimestamp() != nil {
		return out
	}
	for _, c := range spec.Clusters {
		out.replicas[c.Name] += c.Replicas
	}
	if ref.Kind == "Job" {
		out.over = succeeded(out.replicas, status.AggregatedStatus)
	}
	return out
}

// succeeded reads from what members report of a Job how many of its pods will
// not be seen any more: snapshots have no pods that ended.
func succeeded(replicas map[string]int32, items []workv1alpha2.AggregatedStatusItem) map[string]int32 {
	out := map[string]int32{}
	for _, i := range items {
		if i.Status == nil {
			continue
		}
		st := batchv1.JobStatus{}
		if json.Unmarshal(i.Status.Raw, &st) != nil {
			continue
		}
		out[i.ClusterName] = st.Succeeded
		for _, c := range st.Conditions {
			if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
				out[i.ClusterName] = replicas[i.ClusterName]
			}
		}
	}
	return out
}
