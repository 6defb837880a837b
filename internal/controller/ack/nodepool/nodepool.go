// Package nodepool reconciles the node pools of ACK clusters. The number of
// nodes is ours: it grows in one call, and shrinks by draining chosen nodes.
package nodepool

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
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
			panic(errors.Wrap(err, "cannot set up the controller of ACK node pools"))
		}
	}, v1alpha1.NodePoolGroupVersionKind, v1alpha1.ClusterGroupVersionKind, federationv1alpha1.MemberGroupVersionKind, federationv1alpha1.CapacityPlanGroupVersionKind)
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
		record:  lifecycle.Recorder(mgr, v1alpha1.NodePoolGroupVersionKind, o),
		began:   sync.OnceValue(ao.Clock.Now),
	}
	ctl := &lifecycle.Controller{
		Kind:           v1alpha1.NodePoolGroupVersionKind,
		Object:         &v1alpha1.NodePool{},
		List:           &v1alpha1.NodePoolList{},
		Connect:        managed.WithTypedExternalConnector[*v1alpha1.NodePool](c),
		Settled:        settled,
		PollInProgress: ao.PollInProgress,
		Pace:           pace,
		Requeue:        requeue,
		Watch:          func(b *builder.Builder) *builder.Builder { return watch(b, mgr.GetClient()) },
	}
	return ctl.Setup(mgr, o)
}

// watch what the number of nodes follows, and what creation and deletion wait
// for.
func watch(b *builder.Builder, c client.Reader) *builder.Builder {
	return b.
		Watches(&federationv1alpha1.CapacityPlan{}, plans(c)).
		Watches(&v1alpha1.Cluster{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
			return ofCluster(ctx, c, o.GetNamespace(), o.GetName())
		}), builder.WithPredicates(predicate.Funcs{
			UpdateFunc: func(e event.UpdateEvent) bool {
				was, ok := e.ObjectOld.(*v1alpha1.Cluster)
				is, ok2 := e.ObjectNew.(*v1alpha1.Cluster)
				return ok && ok2 && (was.Status.AtProvider.State != is.Status.AtProvider.State ||
					meta.GetExternalName(was) != meta.GetExternalName(is) || meta.WasDeleted(was) != meta.WasDeleted(is))
			},
		})).
		Watches(&federationv1alpha1.Member{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
			m, ok := o.(*federationv1alpha1.Member)
			if !ok || ackcontroller.ClusterOfMember(m) == "" {
				return nil
			}
			return ofCluster(ctx, c, m.GetNamespace(), ackcontroller.ClusterOfMember(m))
		}), builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(event.CreateEvent) bool { return false },
			UpdateFunc: func(event.UpdateEvent) bool { return false },
		}))
}

// plans handles changes of CapacityPlans: each wakes the pools whose offering
// has changed, at once.
func plans(c client.Reader) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	wake := func(ctx context.Context, was, is *federationv1alpha1.CapacityPlan, q queue) {
		l := &v1alpha1.NodePoolList{}
		if err := c.List(ctx, l, client.InNamespace(is.GetNamespace())); err != nil {
			return
		}
		for i := range l.Items {
			np := &l.Items[i]
			from := np.Spec.ForProvider.SizeFrom
			if from == nil || from.CapacityPlanRef.Name != is.GetName() {
				continue
			}
			if was != nil && reflect.DeepEqual(offering(was, from.Offering), offering(is, from.Offering)) {
				continue
			}
			q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(np)})
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if is, ok := e.Object.(*federationv1alpha1.CapacityPlan); ok {
				wake(ctx, nil, is, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			was, ok := e.ObjectOld.(*federationv1alpha1.CapacityPlan)
			is, ok2 := e.ObjectNew.(*federationv1alpha1.CapacityPlan)
			if ok && ok2 {
				wake(ctx, was, is, q)
			}
		},
	}
}

// A followed part of an offering's status. What the fleet counts is not in it.
type followed struct {
	nodes   int32
	release string
}

func offering(p *federationv1alpha1.CapacityPlan, name string) *followed {
	for _, o := range p.Status.AtProvider.Offerings {
		if o.Name == name {
			return &followed{nodes: o.Nodes, release: strings.Join(o.Release, ",")}
		}
	}
	return nil
}

// ofCluster lists the pools of a cluster.
func ofCluster(ctx context.Context, c client.Reader, namespace, name string) []reconcile.Request {
	l := &v1alpha1.NodePoolList{}
	if err := c.List(ctx, l, client.InNamespace(namespace)); err != nil {
		return nil
	}
	var all []reconcile.Request
	for _, np := range l.Items {
		if np.Spec.ForProvider.ClusterRef.Name == name {
			all = append(all, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: np.Name}})
		}
	}
	return all
}

// settled reports whether nothing is under way. Machines that the cloud does not
// have are not waited for: ACK goes on trying without us.
func settled(mg resource.Managed) bool {
	cr, ok := mg.(*v1alpha1.NodePool)
	if !ok {
		return true
	}
	at := cr.Status.AtProvider
	if at.ID == "" || at.Operation != nil || len(at.Draining) > 0 || at.Desired != at.Wanted {
		// A pool that waits for its cluster is woken by a watch.
		return at.ID == "" && meta.GetExternalName(cr) == "" && meta.GetExternalCreatePending(cr).IsZero()
	}
	if cr.GetCondition(v1alpha1.TypeCapacityAvailable).Status == corev1.ConditionFalse {
		return true
	}
	return at.Nodes == at.Wanted && at.Ready >= at.Nodes
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

// Connect to ACK in the region of the pool's cluster.
func (c *connector) Connect(ctx context.Context, cr *v1alpha1.NodePool) (managed.TypedExternalClient[*v1alpha1.NodePool], error) {
	e := &external{
		Options: c.Options,
		kube:    c.kube,
		creation: &lifecycle.Creation{Kube: c.kube, Lag: c.ListLag, Clock: c.Clock, Began: c.began(), Duplicates: func(mg resource.Managed, adopted string, others []string) {
			c.record.Event(mg, xpevent.Warning("DuplicateFound", errors.Errorf("node pool %s is used; %s carry the same tag and are billed as well", adopted, strings.Join(others, ", "))))
		}},
		poller: c.poller,
		pace:   c.pace,
		holds:  c.holds,
		record: c.record,
	}
	if meta.WasDeleted(cr) && lifecycle.Untouched(cr) {
		// Nothing was created, so neither cluster nor credentials need be there.
		return e, nil
	}

	var err error
	if e.cluster, err = clusterOf(ctx, c.kube, cr); err != nil {
		return nil, err
	}
	region := cr.Status.AtProvider.Region
	if e.cluster != nil {
		region = e.cluster.Spec.ForProvider.Region
	}
	if region == "" {
		// Observe says that there is no cluster.
		return e, nil
	}
	spec, raw, err := c.Resolve(ctx, c.kube, cr)
	if err == nil {
		e.api, err = c.Client(spec, raw, region)
	}
	if err != nil {
		c.pace.After(cr, 6*c.PollInProgress)
		return nil, err
	}
	return e, nil
}
