package virtualnodepool

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// Delete the pool, one step at each call: its cluster leaves the federation, or,
// if it stays, fleet gives the replicas on the nodes a place elsewhere; load
// balancers and volumes are given back, pods are evicted as far as their budgets
// allow, the pool goes. Observe finds out that it is gone.
func (e *external) Delete(ctx context.Context, cr *v1alpha1.VirtualNodePool) (managed.ExternalDelete, error) {
	p, unseen := e.observed, ""
	if p == nil && e.clusterID(cr) != "" {
		unseen = "Waiting for the cloud's list of virtual node pools"
	}
	return managed.ExternalDelete{}, e.Base.Delete(cr, &e.deletion, unseen, func() error {
		if p == nil {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, e.unbuildable(cr)))
			return nil
		}
		return e.delete(ctx, cr, p)
	})
}

func (e *external) delete(ctx context.Context, cr *v1alpha1.VirtualNodePool, p *tke.VirtualNodePool) error {
	if !elastic.Owned(cr, p.Labels) {
		// We created it, so to forget it would leave somebody with the bill.
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, notOwned(cr, p.ID).Error()))
		return nil
	}
	// The list of pools lags behind, that of nodes does not.
	going := len(e.nodes) > 0 && !slices.ContainsFunc(e.nodes, func(n tke.VirtualNode) bool { return n.Phase != phaseDeleting })
	if p.State == tke.NodePoolDeleting || going {
		cr.SetConditions(lifecycle.DeletionGoesOn("The cloud is deleting the virtual node pool"))
		return nil
	}
	// A typed nil would not be one.
	var cl elastic.Cluster
	if e.cluster != nil {
		cl = e.cluster
	}
	wait, stays, err := e.MembersFirst(ctx, cr, v1alpha1.ClusterGroupVersionKind, cr.Spec.ForProvider.ClusterRef.Name, cl)
	if err != nil || wait {
		return err
	}
	e.handover = e.HandOver(cr, stays, ptr.Deref(cr.Status.AtProvider.DrainingSince, metav1.Time{}).Time, elastic.DefaultDrainTimeout)
	force, wait, err := e.empty(ctx, cr)
	if err != nil || wait {
		return err
	}

	return elastic.Deleting(cr, "virtual node pool", e.api.DeleteVirtualNodePool(ctx, e.clusterID(cr), p.ID, force), func() error {
		return elastic.Unprotecting(cr, e.api.ConfigureVirtualNodePool(ctx, e.clusterID(cr), p.ID, tke.VirtualNodePoolChange{DeletionProtection: ptr.To(false)}))
	})
}

// empty the virtual nodes. It reports whether the pool has to be deleted by
// force, because pods are left that are nobody's: the cluster's own that have
// nowhere else to go, and those of DaemonSets. And it reports whether to wait.
func (e *external) empty(ctx context.Context, cr *v1alpha1.VirtualNodePool) (force, wait bool, err error) {
	switch {
	case len(e.nodes) == 0:
		return false, false, nil
	case e.cluster == nil:
		msg := fmt.Sprintf("cannot evict pods: there is no Cluster %q, which spec.forProvider.clusterRef names and whose kubeconfig it takes", cr.Spec.ForProvider.ClusterRef.Name)
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, msg))
		return false, true, nil
	}

	k, err := e.client(ctx, cr)
	if cloud.IsCode(err, tke.CodeNoEndpoint) && e.cluster.Status.AtProvider.KubeconfigExpiresAt == nil {
		// Nobody has ever had an address to put anything into it. Should a pod be
		// there all the same, the cloud refuses.
		return false, false, nil
	}
	if err == nil {
		force, wait, err = e.evict(ctx, cr, k)
	}
	if err == nil {
		if !wait {
			err = e.drain(ctx, cr)
		}
		return force, wait, err
	}
	if kerrors.IsUnauthorized(errors.Cause(err)) {
		// Revoked at the cloud. The next pass fetches another.
		e.Kubeconfigs.Forget(e.clusterID(cr))
	}
	if !meta.WasDeleted(e.cluster) {
		// Somebody may count on what runs there.
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, "Cannot evict the pods: the API server of the cluster does not answer"))
		return false, true, nil
	}
	// Its Members have left, so nothing that anybody still counts on runs on the
	// virtual nodes, and the cluster would wait for this pool for ever.
	wait = e.NotAnswered(cr, &e.deletion, "The API server of the cluster does not answer",
		"the virtual nodes are removed with the pods on them: the API server of the cluster, which is being deleted, does not answer", "NotDrained")
	return true, wait, nil
}

// evict the pods of all virtual nodes through the eviction API, so that their
// budgets hold.
func (e *external) evict(ctx context.Context, cr *v1alpha1.VirtualNodePool, k kubernetes.Interface) (force, wait bool, err error) {
	if meta.WasDeleted(e.cluster) {
		billed, err := kube.ReleaseBilled(ctx, k)
		if err != nil {
			return false, false, err
		}
		// Volumes that are in use go when the pods do.
		if len(billed.LoadBalancers) > 0 || len(billed.Volumes) > len(billed.Mounted) {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until the cloud has taken back the cluster's load balancers and volumes"))
			return false, true, nil
		}
	}

	all, err := kube.Nodes(ctx, k, "")
	if err != nil {
		return false, false, err
	}
	ours := func(n *corev1.Node) bool { return slices.Contains(cr.Status.AtProvider.Nodes, n.Name) }
	others := 0
	for i := range all {
		n := &all[i]
		if ours(n) {
			// All are cordoned first, so that the pods of one do not land on the next.
			if err := kube.Cordon(ctx, k, n, fleetv1alpha1.TaintReleasing, e.handover.Taint()); err != nil {
				return false, false, err
			}
		} else if !n.Spec.Unschedulable && !kube.IsVirtual(n) {
			others++
		}
	}

	if at := &cr.Status.AtProvider; at.DrainingSince == nil {
		at.DrainingSince = ptr.To(metav1.NewTime(e.Clock.Now()))
	}

	left, system := 0, 0
	var blocked []string
	for i := range all {
		n := &all[i]
		if !ours(n) {
			continue
		}
		d, err := kube.Evict(ctx, k, n.Name, kube.IsReady(n), e.Clock.Now(), e.handover.Keep)
		if err != nil {
			return false, false, err
		}
		if d.Kept > 0 {
			e.handover.Kept(n.Name)
		}
		left += d.Left
		system += d.SystemLeft
		if d.BlockedBy != "" {
			blocked = append(blocked, "virtual node "+n.Name+" cannot be drained: "+d.BlockedBy)
		}
	}
	switch {
	case left == 0 && (system == 0 || others == 0):
		// The budgets of the cluster's own pods (DNS has one) forbid to evict them
		// if there is no other node to run on. Nobody is left to use them either.
		// Nor do pods of DaemonSets ever go by themselves.
		force, err = occupied(ctx, k, cr.Status.AtProvider.Nodes)
		return force, false, err
	case len(blocked) > 0:
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, strings.Join(blocked, "; ")))
	case e.handover.Waits(cr):
	default:
		cr.SetConditions(lifecycle.DeletionGoesOn(fmt.Sprintf("Waiting until %d pods on the virtual nodes have ended", left+system)))
	}
	return false, true, nil
}

// occupied reports whether any pod that has not ended is on one of the nodes.
func occupied(ctx context.Context, k kubernetes.Interface, nodes []string) (bool, error) {
	for _, name := range nodes {
		l, err := k.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", name).String()})
		if err != nil {
			return false, errors.Wrapf(err, "cannot list the pods of node %q", name)
		}
		if slices.ContainsFunc(l.Items, func(p corev1.Pod) bool {
			return p.Spec.NodeName == name && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
		}) {
			return true, nil
		}
	}
	return false, nil
}

// drain the empty nodes at the cloud as well, which keeps it from placing
// further pods on them. Nodes that it does not know are none.
func (e *external) drain(ctx context.Context, cr *v1alpha1.VirtualNodePool) error {
	for _, n := range e.nodes {
		if n.Phase != tke.VirtualNodeRunning {
			continue
		}
		if err := e.api.DrainVirtualNode(ctx, e.clusterID(cr), n.Name); err != nil && !cloud.Is(err, cloud.Gone, cloud.WrongState) {
			return errors.Wrapf(err, "cannot drain virtual node %s", n.Name)
		}
	}
	return nil
}
