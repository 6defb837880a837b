package cluster

import (
	"context"
	"fmt"
	"slices"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// Delete the cluster, one step at each call, in this order: its Members leave
// the federation, load balancers and volumes are given back, its node pools go,
// deletion protection is off, the cluster goes. Observe finds out that it is
// gone. A step that has to wait is no error: the condition says what for.
func (e *external) Delete(ctx context.Context, cr *v1alpha1.Cluster) (managed.ExternalDelete, error) {
	e.pace.After(cr, e.PollInProgress)
	cr.SetConditions(xpv2.Deleting())
	cl := e.observed
	if cl == nil {
		cr.SetConditions(lifecycle.DeletionGoesOn("Waiting for the cloud's list of clusters"))
		return managed.ExternalDelete{}, nil
	}
	was := cr.GetCondition(lifecycle.TypeDeletionBlocked)
	err := e.delete(ctx, cr, cl)
	if e.unasked {
		// The next pass has to know it as well.
		cr.SetConditions(was)
	}
	return managed.ExternalDelete{}, err
}

func (e *external) delete(ctx context.Context, cr *v1alpha1.Cluster, cl *ack.Cluster) error {
	if !ackcontroller.Owned(cr, cl.Tags) {
		// We created it, so to forget it would leave somebody with the bill.
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, ackcontroller.NotOwned(cr, "cluster", cl.ID).Error()))
		return nil
	}
	if cl.State == ack.ClusterDeleting {
		cr.SetConditions(lifecycle.DeletionGoesOn("The cloud is deleting the cluster"))
		return nil
	}

	if wait, err := e.waitForOthers(ctx, cr, cl); err != nil || wait {
		return err
	}
	// Deletion is tried on a cluster that is being built; one that failed waits
	// for no task. Nor is a task that does not end although the cluster is at
	// rest believed for ever.
	underWay := cl.State != ack.ClusterInitial && cl.State != ack.ClusterFailed && cl.State != ack.ClusterDeleteFailed
	if op := cr.Status.AtProvider.Operation; op != nil && underWay && (cl.State != ack.ClusterRunning || e.Clock.Since(op.StartedAt.Time) < e.Patience) {
		cr.SetConditions(lifecycle.DeletionGoesOn("Waiting for the operation that is under way"))
		return nil
	}
	if cl.DeletionProtection {
		return e.unprotect(ctx, cr, cl)
	}
	e.inventory(ctx, cr, cl)

	task, err := e.api.DeleteCluster(ctx, cl.ID)
	switch {
	case err == nil:
		cr.Status.AtProvider.Operation = e.NewOperation("Delete", task)
		msg := "The cloud is deleting the cluster"
		if e.taskErr != nil {
			msg += " once more: " + e.taskErr.Error()
		}
		cr.SetConditions(lifecycle.DeletionGoesOn(msg))
		return nil
	case cloud.Is(err, cloud.Gone):
		return nil
	case cloud.Is(err, cloud.WrongState):
		// It is being built, or load balancers and network interfaces are still
		// detaching.
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "The cloud does not delete the cluster yet: "+err.Error()))
		return nil
	case cloud.Is(err, cloud.Protected):
		return e.unprotect(ctx, cr, cl)
	default:
		return errors.Wrap(err, "cannot delete the cluster")
	}
}

// waitForOthers reports whether something else has to go first.
func (e *external) waitForOthers(ctx context.Context, cr *v1alpha1.Cluster, cl *ack.Cluster) (bool, error) {
	members, err := ackcontroller.Members(ctx, e.kube, cr.GetNamespace(), cr.GetName(), cr.GetDeletionTimestamp())
	if err != nil {
		return true, err
	}
	if len(members) > 0 {
		var all []string
		for _, m := range members {
			all = append(all, m.GetName())
		}
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until Member "+names(all)+" has left the federation"))
		return true, nil
	}

	billed, err := e.releaseBilled(ctx, cr, cl)
	if err != nil {
		if !e.Silent(cr) {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonNoAnswer, "The cluster cannot be asked for its load balancers and volumes: its API server does not answer"))
			return true, nil
		}
		e.unasked = true
		e.record.Event(cr, event.Warning("LeftoversUnknown", errors.New("the cluster is deleted although its API server could not be asked for load balancers and volumes")))
	}

	pools, err := pools(ctx, e.kube, cr)
	if err != nil {
		return true, err
	}
	if len(pools) > 0 {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until NodePool "+names(pools)+" is gone"))
		return true, nil
	}

	if left := billed.All(); len(left) > 0 {
		cr.Status.AtProvider.Leftovers = left
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until the cloud has taken back "+names(left)))
		return true, nil
	}
	return false, nil
}

// releaseBilled deletes what in the cluster is billed. Clusters that never
// worked, or work no more, have nothing.
func (e *external) releaseBilled(ctx context.Context, cr *v1alpha1.Cluster, cl *ack.Cluster) (kube.Billed, error) {
	switch cl.State {
	case ack.ClusterInitial, ack.ClusterFailed, ack.ClusterDeleteFailed:
		return kube.Billed{}, nil
	}
	k, err := e.ClusterClient(ctx, e.api, e.kube, cr)
	if err != nil {
		return kube.Billed{}, err
	}
	billed, err := kube.ReleaseBilled(ctx, k)
	if kerrors.IsUnauthorized(err) {
		// Revoked at the cloud. The next pass fetches another.
		e.Kubeconfigs.Forget(cl.ID)
		cr.Status.AtProvider.KubeconfigExpiresAt = nil
	}
	return billed, err
}

// unprotect switches deletion protection off. The next pass reads it back, and
// does this again if nothing has changed although the task succeeded.
func (e *external) unprotect(ctx context.Context, cr *v1alpha1.Cluster, cl *ack.Cluster) error {
	task, err := e.api.SetDeletionProtection(ctx, cl.ID, false)
	if cloud.Is(err, cloud.WrongState) {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Deletion protection cannot be switched off yet: "+err.Error()))
		return nil
	}
	if err != nil {
		return errors.Wrap(err, "cannot switch deletion protection off")
	}
	cr.Status.AtProvider.Operation = e.NewOperation("Unprotect", task)
	cr.SetConditions(lifecycle.DeletionGoesOn("Switching deletion protection off"))
	return nil
}

// inventory writes down what ACK made for the cluster while it can still be
// asked. It is for people, so errors do not matter.
func (e *external) inventory(ctx context.Context, cr *v1alpha1.Cluster, cl *ack.Cluster) {
	all, err := e.api.ClusterResources(ctx, cl.ID)
	if err != nil {
		return
	}
	left := make([]string, 0, len(all))
	for _, r := range all {
		left = append(left, fmt.Sprintf("%s %s", r.Type, r.ID))
	}
	slices.Sort(left)
	cr.Status.AtProvider.Leftovers = left
}

// pools that refer to the cluster, by name.
func pools(ctx context.Context, c client.Reader, cr *v1alpha1.Cluster) ([]string, error) {
	l := &v1alpha1.NodePoolList{}
	if err := c.List(ctx, l, client.InNamespace(cr.GetNamespace())); err != nil {
		return nil, errors.Wrap(err, "cannot list NodePools")
	}
	var all []string
	for _, np := range l.Items {
		// A pool that nothing was created for does not hold the cluster up. It
		// will not be created while the cluster is being deleted.
		untouched := lifecycle.Untouched(&np) && !meta.WasDeleted(&np)
		if np.Spec.ForProvider.ClusterRef.Name == cr.GetName() && !untouched {
			all = append(all, np.GetName())
		}
	}
	return all, nil
}
