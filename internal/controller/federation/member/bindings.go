package member

import (
	"context"
	"fmt"
	"slices"
	"strings"

	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha1 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	"github.com/karmada-io/karmada/pkg/util/names"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

const (
	// producer of our graceful eviction tasks.
	producer = "regionpool"

	pageSize = 500
)

// A binding is a ResourceBinding or a ClusterResourceBinding.
type binding struct {
	client.Object
	spec   *workv1alpha2.ResourceBindingSpec
	status *workv1alpha2.ResourceBindingStatus
}

func (b binding) String() string {
	r := b.spec.Resource
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return fmt.Sprintf("%s %s/%s", r.Kind, r.Namespace, r.Name)
}

// on says whether the binding has, or had, its objects in the cluster: an
// eviction task keeps them there.
func (b binding) on(cluster string) bool {
	return b.spec.TargetContains(cluster) || b.spec.ClusterInGracefulEvictionTasks(cluster)
}

// replicas of the binding in the cluster, evicted ones included.
func (b binding) replicas(cluster string) int32 {
	n := b.spec.AssignedReplicasForCluster(cluster)
	for _, t := range b.spec.GracefulEvictionTasks {
		if t.FromCluster == cluster {
			n += ptr.Deref(t.Replicas, 0)
		}
	}
	return n
}

// byFleet says whether fleet divides the replicas.
func (b binding) byFleet() bool { return b.spec.SchedulerName == fleetv1alpha1.SchedulerName }

// forget removes the cluster from the binding altogether.
func (b binding) forget(cluster string) {
	b.spec.RemoveCluster(cluster)
	b.spec.GracefulEvictionTasks = slices.DeleteFunc(b.spec.GracefulEvictionTasks, func(t workv1alpha2.GracefulEvictionTask) bool {
		return t.FromCluster == cluster
	})
}

// replaced says whether everything the binding asks for runs elsewhere: all
// replicas are assigned to other clusters, and all of them are healthy.
func (b binding) replaced() bool {
	// Before the scheduler has seen the eviction, the status is of the past.
	if b.status.SchedulerObservedGeneration != b.GetGeneration() || len(b.spec.Clusters) == 0 {
		return false
	}
	var sum int32
	for _, t := range b.spec.Clusters {
		sum += t.Replicas
		if !slices.ContainsFunc(b.status.AggregatedStatus, func(s workv1alpha2.AggregatedStatusItem) bool {
			return s.ClusterName == t.Name && s.Health == workv1alpha2.ResourceHealthy
		}) {
			return false
		}
	}
	return sum >= b.spec.Replicas
}

// bindings lists the bindings for which keep returns true, from the API server:
// what is decided here must not come from a cache. They are in the order of the
// API server, that is of namespace and name.
func (e *external) bindings(ctx context.Context, keep func(binding) bool) ([]binding, error) {
	var out []binding
	add := func(b binding) {
		if keep(b) {
			out = append(out, b)
		}
	}
	rbs := &workv1alpha2.ResourceBindingList{}
	err := e.pages(ctx, rbs, func() {
		for i := range rbs.Items {
			rb := rbs.Items[i].DeepCopy()
			add(binding{Object: rb, spec: &rb.Spec, status: &rb.Status})
		}
	})
	if err != nil {
		return nil, errors.Wrap(err, "cannot list ResourceBindings")
	}
	crbs := &workv1alpha2.ClusterResourceBindingList{}
	err = e.pages(ctx, crbs, func() {
		for i := range crbs.Items {
			crb := crbs.Items[i].DeepCopy()
			add(binding{Object: crb, spec: &crb.Spec, status: &crb.Status})
		}
	})
	return out, errors.Wrap(err, "cannot list ClusterResourceBindings")
}

func (e *external) pages(ctx context.Context, l client.ObjectList, each func(), opts ...client.ListOption) error {
	token := ""
	for {
		if err := e.conn.Live.List(ctx, l, append(opts, client.Limit(pageSize), client.Continue(token))...); err != nil {
			return err
		}
		each()
		if token = l.GetContinue(); token == "" {
			return nil
		}
	}
}

// change a binding, unless someone else has changed it since it was read. It
// says whether it was changed; one that was not will be looked at again.
func (e *external) change(ctx context.Context, b binding, mutate func()) (bool, error) {
	before, ok := b.DeepCopyObject().(client.Object)
	if !ok {
		return false, errors.Errorf("cannot copy %s", b)
	}
	mutate()
	err := e.conn.Client.Patch(ctx, b.Object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if kerrors.IsConflict(err) || kerrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, errors.Wrapf(err, "cannot change the binding of %s", b)
}

// evict moves the objects of a binding that fleet does not schedule off the
// cluster, make before break: Karmada keeps an evicted Work until the task goes,
// and we take the task away when everything runs elsewhere. Karmada's own time
// limit of ten minutes, after which it would cut replicas that have no
// substitute yet, is off.
func (e *external) evict(ctx context.Context, b binding, cluster string) error {
	if b.spec.TargetContains(cluster) {
		_, err := e.change(ctx, b, func() {
			b.spec.GracefulEvictCluster(cluster, workv1alpha2.NewTaskOptions(
				workv1alpha2.WithPurgeMode(policyv1alpha1.PurgeModeGracefully),
				workv1alpha2.WithProducer(producer),
				workv1alpha2.WithReason("MemberLeaves"),
				workv1alpha2.WithMessage("The member leaves the federation"),
				workv1alpha2.WithSuppressDeletion(ptr.To(true)),
			))
		})
		return err
	}
	if !b.replaced() {
		return nil
	}
	_, err := e.change(ctx, b, func() {
		b.spec.GracefulEvictionTasks = slices.DeleteFunc(b.spec.GracefulEvictionTasks, func(t workv1alpha2.GracefulEvictionTask) bool {
			return t.FromCluster == cluster && t.Producer == producer
		})
	})
	return err
}

// blockedBy says in a line what holds a drain.
func blockedBy(bs []binding, cluster string) string {
	const show = 3
	out := make([]string, 0, show+1)
	for i, b := range bs {
		if i == show {
			out = append(out, fmt.Sprintf("and %d more", len(bs)-show))
			break
		}
		switch n := b.replicas(cluster); {
		case n > 0 && b.byFleet():
			out = append(out, fmt.Sprintf("%s: %d replicas wait until fleet has them Ready elsewhere", b, n))
		case n > 0:
			out = append(out, fmt.Sprintf("%s: %d replicas wait until they are healthy elsewhere", b, n))
		default:
			out = append(out, fmt.Sprintf("%s is still bound", b))
		}
	}
	return strings.Join(out, "; ")
}

// works lists the Works of a cluster.
func (e *external) works(ctx context.Context, cluster string) ([]workv1alpha1.Work, error) {
	var out []workv1alpha1.Work
	l := &workv1alpha1.WorkList{}
	err := e.pages(ctx, l, func() { out = append(out, l.Items...) }, client.InNamespace(names.GenerateExecutionSpaceName(cluster)))
	return out, errors.Wrap(err, "cannot list Works")
}

func bound(w *workv1alpha1.Work) bool {
	l := w.GetLabels()
	return l[workv1alpha2.ResourceBindingPermanentIDLabel] != "" || l[workv1alpha2.ClusterResourceBindingPermanentIDLabel] != ""
}

// internal reports whether a Work is of Karmada itself: the role by which it
// impersonates users in the member. It must go with the member. Kept, nobody
// would manage it: Karmada would refuse it at the next join, and then fail to
// remove the Work at the next leave, which would never end.
func internal(w *workv1alpha1.Work) bool {
	o := metav1.GetControllerOf(w)
	return o != nil && o.Kind == "Cluster"
}

// preserve makes sure that the objects of Works stay in the member when the
// Works go, and returns how many Works are not so yet. Works of bindings get it
// from their binding, which only the binding controller can do without a race;
// others, such as those of namespaces, get it here.
func (e *external) preserve(ctx context.Context, ws []workv1alpha1.Work, all bool) (int, error) {
	missing := 0
	for i := range ws {
		w := &ws[i]
		if ptr.Deref(w.Spec.PreserveResourcesOnDeletion, false) || w.GetDeletionTimestamp() != nil || internal(w) {
			continue
		}
		if bound(w) && !all {
			missing++
			continue
		}
		p := client.MergeFromWithOptions(w.DeepCopy(), client.MergeFromWithOptimisticLock{})
		w.Spec.PreserveResourcesOnDeletion = ptr.To(true)
		if err := e.conn.Client.Patch(ctx, w, p); err != nil {
			if kerrors.IsConflict(err) || kerrors.IsNotFound(err) {
				missing++
				continue
			}
			return missing, errors.Wrap(err, "cannot preserve the objects of a Work")
		}
	}
	return missing, nil
}

// clear deletes the Works of a Karmada Cluster whose execution space is being
// deleted. The namespace controller would do so too, but only after five seconds
// of grace, and because Works have finalizers it would look again only after
// another five. What is to stay in the member is made sure of first.
func (e *external) clear(ctx context.Context, mg *v1alpha1.Member, ws []workv1alpha1.Work) error {
	for i := range ws {
		w := &ws[i]
		if w.GetDeletionTimestamp() != nil {
			continue
		}
		if !internal(w) && (mg.Spec.ForProvider.OnLeave == v1alpha1.LeaveRetain || keepsUnbound(mg) && !bound(w)) {
			if !ptr.Deref(w.Spec.PreserveResourcesOnDeletion, false) {
				if _, err := e.preserve(ctx, ws[i:i+1], true); err != nil {
					return err
				}
				continue
			}
		}
		err := e.conn.Client.Delete(ctx, w, client.Preconditions{UID: &w.UID, ResourceVersion: &w.ResourceVersion})
		if kerrors.IsConflict(err) || kerrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return errors.Wrap(err, "cannot delete a Work of a Karmada Cluster that goes")
		}
	}
	return nil
}

// release takes Karmada's finalizer off Works that are being deleted in a
// cluster that cannot be reached any more.
func (e *external) release(ctx context.Context, ws []workv1alpha1.Work) error {
	for i := range ws {
		w := &ws[i]
		if w.GetDeletionTimestamp() == nil {
			continue
		}
		p := client.MergeFrom(w.DeepCopy())
		if !controllerutil.RemoveFinalizer(w, karmadautil.ExecutionControllerFinalizer) {
			continue
		}
		if err := e.conn.Client.Patch(ctx, w, p); ignoreNotFound(err) != nil {
			return errors.Wrap(err, "cannot release a Work of a member that is out of reach")
		}
	}
	return nil
}
