package nodepool

import (
	"context"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// Delete the node pool, one step at each call: its cluster leaves the
// federation, or, if it stays, fleet gives the replicas on the nodes a place
// elsewhere; load balancers and volumes are given back while there are still
// nodes to do it, nodes are drained and removed, the empty pool goes. Observe
// finds out that it is gone.
func (e *external) Delete(ctx context.Context, cr elastic.NodePool) (managed.ExternalDelete, error) {
	s, unseen := e.observed, ""
	if s == nil && e.clusterID(cr) != "" {
		unseen = "Waiting for the cloud's list of node pools"
	}
	return managed.ExternalDelete{}, e.Base.Delete(cr, &e.deletion, unseen, func() error {
		if s == nil {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, e.unbuildable(cr)))
			return nil
		}
		return e.delete(ctx, cr, s)
	})
}

func (e *external) delete(ctx context.Context, cr elastic.NodePool, s *State) error {
	if !elastic.Owned(cr, s.Tags) {
		// We created it, so to forget it would leave somebody with the bill.
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, elastic.NotOwned(cr, e.What, s.ID).Error()))
		return nil
	}
	if s.Phase == PhaseDeleting {
		cr.SetConditions(lifecycle.DeletionGoesOn("The cloud is deleting the node pool"))
		return nil
	}
	wait, stays, err := e.waitForOthers(ctx, cr)
	if err != nil || wait {
		return err
	}
	e.handover = e.HandOver(cr, stays, leaving(cr), drainTimeout(cr))
	if e.busy(cr) {
		cr.SetConditions(lifecycle.DeletionGoesOn("Waiting for the operation that is under way"))
		return nil
	}

	if s.Protected {
		return e.unprotect(ctx, cr, s)
	}

	failed := s.Phase == PhaseDeleteFailed
	there := s.there()
	switch {
	case s.Desired > 0 && (failed || there < s.Desired):
		// Nodes that never came must not come any more. After a deletion that
		// failed the cloud has brought back nodes that nothing runs on.
		size := there
		if failed {
			size = 0
		}
		return e.order(ctx, cr, s, size)
	case there > 0 && !failed:
		if err := e.shrink(ctx, cr, there); err != nil {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, err.Error()))
			return err
		}
		e.blocked(cr)
		return nil
	case s.Total > 0:
		cr.SetConditions(lifecycle.DeletionGoesOn("Waiting until the cloud has removed the nodes"))
		return nil
	}

	task, err := e.cloud.Delete(ctx, e.clusterID(cr), s.ID)
	if err == nil {
		cr.GetObservation().Operation = e.NewOperation("Delete", task)
	}
	return elastic.Deleting(cr, "node pool", err, func() error { return e.unprotect(ctx, cr, s) })
}

// leaving returns since when all nodes of a pool that is being deleted are marked;
// zero if none is.
func leaving(cr elastic.NodePool) time.Time {
	last := time.Time{}
	for _, d := range cr.GetObservation().Draining {
		if d.StartedAt.After(last) {
			last = d.StartedAt.Time
		}
	}
	if deleted := cr.GetDeletionTimestamp().Time; !last.IsZero() && last.Before(deleted) {
		return deleted
	}
	return last
}

// unprotect switches deletion protection off.
func (e *external) unprotect(ctx context.Context, cr elastic.NodePool, s *State) error {
	return elastic.Unprotecting(cr, e.cloud.Unprotect(ctx, e.clusterID(cr), s.ID))
}

// order a number of nodes.
func (e *external) order(ctx context.Context, cr elastic.NodePool, s *State, size int32) error {
	task, err := e.cloud.SetDesired(ctx, e.clusterID(cr), s.ID, size)
	if cloud.Is(err, cloud.WrongState) {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "The order for nodes cannot be taken back yet: "+err.Error()))
		return nil
	}
	if err != nil {
		return errors.Wrap(err, "cannot take back the order for nodes")
	}
	cr.GetObservation().Operation = e.NewOperation("Scale", task)
	cr.SetConditions(lifecycle.DeletionGoesOn("Taking back the order for nodes that have not come"))
	return nil
}

// waitForOthers reports whether something else has to go first, and if not
// whether the cluster stays in the federation.
func (e *external) waitForOthers(ctx context.Context, cr elastic.NodePool) (wait, stays bool, err error) {
	wait, stays, err = e.MembersFirst(ctx, cr, e.kind.Cluster, cr.GetClusterName(), e.cluster)
	if err != nil || wait || e.cluster == nil || !meta.WasDeleted(e.cluster) || e.observed.Total == 0 || e.phase().Broken() {
		return wait, stays, err
	}
	billed, err := e.releaseBilled(ctx, cr)
	if err != nil {
		// Its Members have left, so nothing that anybody still counts on runs on
		// its nodes, and the cluster would wait for this pool for ever.
		return e.NotAnswered(cr, &e.deletion, "The API server of the cluster does not answer",
			"the nodes are removed without a drain: the API server of the cluster, which is being deleted, does not answer", "NotDrained"), false, nil
	}
	// Volumes that are in use go when the pods do, which is when nodes are
	// drained.
	if len(billed.LoadBalancers) > 0 || len(billed.Volumes) > len(billed.Mounted) {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until the cloud has taken back the cluster's load balancers and volumes"))
		return true, false, nil
	}
	return false, false, nil
}

func (e *external) releaseBilled(ctx context.Context, cr elastic.NodePool) (kube.Billed, error) {
	k, err := e.client(ctx, cr)
	if err != nil {
		return kube.Billed{}, err
	}
	return kube.ReleaseBilled(ctx, k)
}

// blocked says which pods hold a drain, if any do.
func (e *external) blocked(cr elastic.NodePool) {
	for _, d := range cr.GetObservation().Draining {
		if d.BlockedBy != "" {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, "Node "+d.Node+" cannot be drained: "+d.BlockedBy))
			return
		}
	}
	if !e.handover.Waits(cr) {
		cr.SetConditions(lifecycle.DeletionGoesOn("Draining and removing nodes"))
	}
}
