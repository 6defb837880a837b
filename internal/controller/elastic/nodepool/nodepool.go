package nodepool

import (
	"context"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// Controller of a kind of node pools.
func (k *Kind) Controller() *elastic.Controller {
	return &elastic.Controller{
		Kind: k.GVK, Object: k.Object, List: k.List(), What: "node pool",
		Needs: []schema.GroupVersionKind{k.Cluster, federationv1alpha1.MemberGroupVersionKind, federationv1alpha1.CapacityPlanGroupVersionKind},
		Connect: func(b *elastic.Base) managed.ReconcilerOption {
			return managed.WithTypedExternalConnector[elastic.NodePool](NewConnector(k, b))
		},
		Settled: settled,
		Watch:   k.watch,
	}
}

// watch what the number of nodes follows, and what creation and deletion wait
// for.
func (k *Kind) watch(b *builder.Builder, c client.Client) *builder.Builder {
	return b.
		Watches(&federationv1alpha1.CapacityPlan{}, k.plans(c)).
		Watches(k.NewCluster(), handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
			return k.ofCluster(ctx, c, o.GetNamespace(), o.GetName())
		}), builder.WithPredicates(predicate.Funcs{
			UpdateFunc: func(e event.UpdateEvent) bool {
				was, ok := e.ObjectOld.(elastic.Cluster)
				is, ok2 := e.ObjectNew.(elastic.Cluster)
				return ok && ok2 && (was.GetObservation().State != is.GetObservation().State ||
					meta.GetExternalName(was) != meta.GetExternalName(is) || meta.WasDeleted(was) != meta.WasDeleted(is))
			},
		})).
		Watches(&federationv1alpha1.Member{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
			m, ok := o.(*federationv1alpha1.Member)
			if !ok || elastic.ClusterOfMember(m, k.Cluster) == "" {
				return nil
			}
			return k.ofCluster(ctx, c, m.GetNamespace(), elastic.ClusterOfMember(m, k.Cluster))
		}), builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(event.CreateEvent) bool { return false },
			UpdateFunc: func(event.UpdateEvent) bool { return false },
		}))
}

// plans handles changes of CapacityPlans: each wakes the pools whose offering
// has changed, at once.
func (k *Kind) plans(c client.Reader) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	wake := func(ctx context.Context, was, is *federationv1alpha1.CapacityPlan, q queue) {
		for _, np := range k.pools(ctx, c, is.GetNamespace()) {
			from := np.GetSizing().SizeFrom
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

// pools of a namespace.
func (k *Kind) pools(ctx context.Context, c client.Reader, namespace string) []elastic.NodePool {
	l := k.List()
	if err := c.List(ctx, l, client.InNamespace(namespace)); err != nil {
		return nil
	}
	var all []elastic.NodePool
	for _, mg := range l.GetItems() {
		if np, ok := mg.(elastic.NodePool); ok {
			all = append(all, np)
		}
	}
	return all
}

// ofCluster lists the pools of a cluster.
func (k *Kind) ofCluster(ctx context.Context, c client.Reader, namespace, name string) []reconcile.Request {
	var all []reconcile.Request
	for _, np := range k.pools(ctx, c, namespace) {
		if np.GetClusterName() == name {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(np)})
		}
	}
	return all
}

// settled reports whether nothing is under way. Machines that the cloud does not
// have are not waited for: it goes on trying without us.
func settled(mg resource.Managed) bool {
	cr, ok := mg.(elastic.NodePool)
	if !ok {
		return true
	}
	at := cr.GetObservation()
	if at.ID == "" || at.Operation != nil || len(at.Draining) > 0 || at.Desired != at.Wanted {
		// A pool that waits for its cluster is woken by a watch.
		return at.ID == "" && meta.GetExternalName(cr) == "" && meta.GetExternalCreatePending(cr).IsZero()
	}
	if cr.GetCondition(xpv2.TypeReady).Reason == xpv2.ReasonCreating {
		// A cloud without tasks is asked until the pool can be used.
		return false
	}
	if cr.GetCondition(v1alpha1.TypeCapacityAvailable).Status == corev1.ConditionFalse {
		return true
	}
	return at.Nodes == at.Wanted && at.Ready >= at.Nodes
}

// A Connector makes the external clients of a kind of node pools.
type Connector struct {
	*elastic.Base
	kind *Kind
}

// NewConnector of a kind of node pools.
func NewConnector(k *Kind, b *elastic.Base) *Connector { return &Connector{Base: b, kind: k} }

// Connect to the cloud in the region of the pool's cluster.
func (c *Connector) Connect(ctx context.Context, cr elastic.NodePool) (managed.TypedExternalClient[elastic.NodePool], error) {
	e := &external{Base: c.Base, kind: c.kind}
	if elastic.Forgettable(cr) {
		return e, nil
	}

	var err error
	if e.cluster, err = c.clusterOf(ctx, cr); err != nil {
		return nil, err
	}
	region := cr.GetObservation().Region
	if e.cluster != nil {
		region = e.cluster.GetRegion()
	}
	if region == "" {
		// Observe says that there is no cluster.
		return e, nil
	}
	err = c.Open(ctx, cr, func(spec *v1alpha1.ProviderConfigSpec, raw []byte) error {
		var err error
		e.cloud, err = c.kind.Open(spec, raw, region, cr, e.cluster)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// clusterOf a node pool, or nil if there is none.
func (c *Connector) clusterOf(ctx context.Context, cr elastic.NodePool) (elastic.Cluster, error) {
	cl := c.kind.NewCluster()
	err := c.Host.Get(ctx, types.NamespacedName{Namespace: cr.GetNamespace(), Name: cr.GetClusterName()}, cl)
	if kerrors.IsNotFound(err) {
		return nil, nil
	}
	return cl, errors.Wrap(err, "cannot get the Cluster")
}
