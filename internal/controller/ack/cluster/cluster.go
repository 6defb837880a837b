// Package cluster reconciles ACK managed clusters.
package cluster

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpevent "github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// SetupGated adds the controller once the kinds that it needs are served.
func SetupGated(mgr ctrl.Manager, o controller.Options, ao *ackcontroller.Options) error {
	o.Gate.Register(func() {
		if err := Setup(mgr, o, ao); err != nil {
			// There is nobody to return it to. A restart tries again.
			panic(errors.Wrap(err, "cannot set up the controller of ACK clusters"))
		}
	}, v1alpha1.ClusterGroupVersionKind, v1alpha1.NodePoolGroupVersionKind, federationv1alpha1.MemberGroupVersionKind)
	return nil
}

// Setup adds the controller.
func Setup(mgr ctrl.Manager, o controller.Options, ao *ackcontroller.Options) error {
	requeue := lifecycle.NewRequeue()
	poller := &lifecycle.Poller{Interval: ao.PollInProgress, Clock: ao.Clock, Requeue: requeue}
	if err := mgr.Add(poller); err != nil {
		return errors.Wrap(err, "cannot add the poller of tasks")
	}
	pace := &lifecycle.Pace{}
	c := &connector{
		Options: ao,
		kube:    mgr.GetClient(),
		poller:  poller,
		pace:    pace,
		holds:   &lifecycle.Holds{Recheck: ao.Recheck, Clock: ao.Clock},
		record:  lifecycle.Recorder(mgr, v1alpha1.ClusterGroupVersionKind, o),
		began:   sync.OnceValue(ao.Clock.Now),
	}
	ctl := &lifecycle.Controller{
		Kind:           v1alpha1.ClusterGroupVersionKind,
		Object:         &v1alpha1.Cluster{},
		List:           &v1alpha1.ClusterList{},
		Connect:        managed.WithTypedExternalConnector[*v1alpha1.Cluster](c),
		Settled:        settled,
		PollInProgress: ao.PollInProgress,
		Pace:           pace,
		Requeue:        requeue,
		Watch:          watch,
	}
	return ctl.Setup(mgr, o)
}

// watch what the deletion of a cluster waits for.
func watch(b *builder.Builder) *builder.Builder {
	goes := builder.WithPredicates(predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
	return b.
		Watches(&federationv1alpha1.Member{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			m, ok := o.(*federationv1alpha1.Member)
			if !ok || ackcontroller.ClusterOfMember(m) == "" {
				return nil
			}
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: m.GetNamespace(), Name: ackcontroller.ClusterOfMember(m)}}}
		}), goes).
		Watches(&v1alpha1.NodePool{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			np, ok := o.(*v1alpha1.NodePool)
			if !ok {
				return nil
			}
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: np.GetNamespace(), Name: np.Spec.ForProvider.ClusterRef.Name}}}
		}), goes)
}

// settled reports whether nothing is under way. A cluster that could not be
// built stays so.
func settled(mg resource.Managed) bool {
	cr, ok := mg.(*v1alpha1.Cluster)
	if !ok {
		return true
	}
	ready := cr.GetCondition(xpv2.TypeReady)
	return cr.Status.AtProvider.Operation == nil && (ready.Status == corev1.ConditionTrue || ready.Reason == reasonFailed)
}

// connector makes externals.
type connector struct {
	*ackcontroller.Options
	kube   client.Client
	poller *lifecycle.Poller
	pace   *lifecycle.Pace
	holds  *lifecycle.Holds
	record xpevent.Recorder
	// began is when the first resource was reconciled.
	began func() time.Time
}

// Connect to ACK.
func (c *connector) Connect(ctx context.Context, cr *v1alpha1.Cluster) (managed.TypedExternalClient[*v1alpha1.Cluster], error) {
	e := &external{
		Options: c.Options,
		kube:    c.kube,
		creation: &lifecycle.Creation{Kube: c.kube, Lag: c.ListLag, Clock: c.Clock, Began: c.began(), Duplicates: func(mg resource.Managed, adopted string, others []string) {
			c.record.Event(mg, xpevent.Warning("DuplicateFound", errors.Errorf("cluster %s is used; %s carry the same tag and are billed as well", adopted, names(others))))
		}},
		poller: c.poller,
		pace:   c.pace,
		holds:  c.holds,
		record: c.record,
	}
	if meta.WasDeleted(cr) && lifecycle.Untouched(cr) {
		// Nothing was created, so the credentials need not be there any more.
		return e, nil
	}

	spec, raw, err := c.Resolve(ctx, c.kube, cr)
	if err == nil {
		e.api, err = c.Client(spec, raw, cr.Spec.ForProvider.Region)
	}
	if err != nil {
		c.pace.After(cr, 6*c.PollInProgress)
		return nil, err
	}
	return e, nil
}
