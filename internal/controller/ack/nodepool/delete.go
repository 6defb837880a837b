package nodepool

import (
	"context"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// siblingsGrace is how long a pool waits before it believes that it goes alone.
// The resources of a claim are deleted one after the other, in any order. Pods
// must not be evicted before their replicas have moved to other members.
const siblingsGrace = 5 * time.Second

// Delete the node pool, one step at each call: its cluster leaves the
// federation, load balancers and volumes are given back while there are still
// nodes to do it, nodes are drained and removed, the empty pool goes. Observe
// finds out that it is gone.
func (e *external) Delete(ctx context.Context, cr *v1alpha1.NodePool) (managed.ExternalDelete, error) {
	e.pace.After(cr, e.PollInProgress)
	cr.SetConditions(xpv2.Deleting())
	np := e.observed
	if np == nil && e.clusterID(cr) == "" {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, e.unbuildable(cr)))
		return managed.ExternalDelete{}, nil
	}
	if np == nil {
		cr.SetConditions(lifecycle.DeletionGoesOn("Waiting for the cloud's list of node pools"))
		return managed.ExternalDelete{}, nil
	}
	was := cr.GetCondition(lifecycle.TypeDeletionBlocked)
	err := e.delete(ctx, cr, np)
	if e.unasked {
		// The next pass has to know it as well.
		cr.SetConditions(was)
	}
	return managed.ExternalDelete{}, err
}

func (e *external) delete(ctx context.Context, cr *v1alpha1.NodePool, np *ack.NodePool) error {
	if !ackcontroller.Owned(cr, np.Tags) {
		// We created it, so to forget it would leave somebody with the bill.
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, ackcontroller.NotOwned(cr, "node pool", np.ID).Error()))
		return nil
	}
	if np.State == ack.NodePoolDeleting {
		cr.SetConditions(lifecycle.DeletionGoesOn("The cloud is deleting the node pool"))
		return nil
	}
	if wait, err := e.waitForOthers(ctx, cr); err != nil || wait {
		return err
	}
	if e.busy(cr) {
		cr.SetConditions(lifecycle.DeletionGoesOn("Waiting for the operation that is under way"))
		return nil
	}

	failed := np.State == ack.NodePoolDeleteFailed
	there := np.Total - np.Removing
	switch {
	case np.DesiredSize > 0 && (failed || there < np.DesiredSize):
		// Nodes that never came must not come any more. After a deletion that
		// failed the cloud has brought back nodes that nothing runs on.
		size := there
		if failed {
			size = 0
		}
		return e.order(ctx, cr, np, size)
	case there > 0 && !failed:
		if err := e.shrink(ctx, cr, there); err != nil {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, err.Error()))
			return err
		}
		e.blocked(cr)
		return nil
	case np.Total > 0:
		cr.SetConditions(lifecycle.DeletionGoesOn("Waiting until the cloud has removed the nodes"))
		return nil
	}

	task, err := e.api.DeleteNodePool(ctx, e.clusterID(cr), np.ID)
	switch {
	case err == nil:
		cr.Status.AtProvider.Operation = e.NewOperation("Delete", task)
		cr.SetConditions(lifecycle.DeletionGoesOn("The cloud is deleting the node pool"))
		return nil
	case cloud.Is(err, cloud.Gone):
		return nil
	case cloud.Is(err, cloud.WrongState):
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "The cloud does not delete the node pool yet: "+err.Error()))
		return nil
	default:
		return errors.Wrap(err, "cannot delete the node pool")
	}
}

// order a number of nodes.
func (e *external) order(ctx context.Context, cr *v1alpha1.NodePool, np *ack.NodePool, size int32) error {
	task, err := e.api.SetDesiredSize(ctx, e.clusterID(cr), np.ID, size)
	if cloud.Is(err, cloud.WrongState) {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "The order for nodes cannot be taken back yet: "+err.Error()))
		return nil
	}
	if err != nil {
		return errors.Wrap(err, "cannot take back the order for nodes")
	}
	cr.Status.AtProvider.Operation = e.NewOperation("Scale", task)
	cr.SetConditions(lifecycle.DeletionGoesOn("Taking back the order for nodes that have not come"))
	return nil
}

// waitForOthers reports whether something else has to go first.
func (e *external) waitForOthers(ctx context.Context, cr *v1alpha1.NodePool) (bool, error) {
	var goes *metav1.Time
	if e.cluster != nil {
		goes = e.cluster.GetDeletionTimestamp()
	}
	members, err := ackcontroller.Members(ctx, e.kube, cr.GetNamespace(), cr.Spec.ForProvider.ClusterRef.Name, goes)
	if err != nil {
		return true, err
	}
	all := e.cluster == nil || meta.WasDeleted(e.cluster)
	var holding []string
	for _, m := range members {
		// If the cluster stays its Members do too, and only the pool goes.
		if all || meta.WasDeleted(&m) {
			holding = append(holding, m.GetName())
		}
	}
	if len(holding) == 0 && len(members) > 0 && e.Clock.Since(cr.GetDeletionTimestamp().Time) < siblingsGrace {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting a moment, as the Cluster may be deleted as well"))
		return true, nil
	}
	if len(holding) > 0 {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until Member "+strings.Join(holding, ", ")+" has left the federation"))
		return true, nil
	}

	if e.cluster == nil || !meta.WasDeleted(e.cluster) || e.observed.Total == 0 || broken(e.cluster.Status.AtProvider.State) {
		return false, nil
	}
	billed, err := e.releaseBilled(ctx)
	if err != nil {
		if !e.Silent(cr) {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonNoAnswer, "The API server of the cluster does not answer"))
			return true, nil
		}
		// Its Members have left, so nothing that anybody still counts on runs on
		// its nodes, and the cluster would wait for this pool for ever.
		e.unasked = true
		e.record.Event(cr, event.Warning("NotDrained", errors.New("the nodes are removed without a drain: the API server of the cluster, which is being deleted, does not answer")))
		return false, nil
	}
	// Volumes that are in use go when the pods do, which is when nodes are
	// drained.
	if len(billed.LoadBalancers) > 0 || len(billed.Volumes) > len(billed.Mounted) {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until the cloud has taken back the cluster's load balancers and volumes"))
		return true, nil
	}
	return false, nil
}

func (e *external) releaseBilled(ctx context.Context) (kube.Billed, error) {
	k, err := e.ClusterClient(ctx, e.api, e.kube, e.cluster)
	if err != nil {
		return kube.Billed{}, err
	}
	return kube.ReleaseBilled(ctx, k)
}

// blocked says which pods hold a drain, if any do.
func (e *external) blocked(cr *v1alpha1.NodePool) {
	for _, d := range cr.Status.AtProvider.Draining {
		if d.BlockedBy != "" {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, "Node "+d.Node+" cannot be drained: "+d.BlockedBy))
			return
		}
	}
	cr.SetConditions(lifecycle.DeletionGoesOn("Draining and removing nodes"))
}
