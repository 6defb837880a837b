// Package virtualnodepool reconciles pools of TKE's super nodes: virtual nodes,
// one for each subnet, that cost nothing while no pod runs on them.
package virtualnodepool

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	tkecontroller "regionpool.io/provider-regionpool/internal/controller/tke"
)

// SetupGated adds the controller once the kinds that it needs are served.
func SetupGated(mgr ctrl.Manager, o controller.Options, eo *elastic.Options, open tkecontroller.ClientFn) error {
	return newController(open).SetupGated(mgr, o, eo)
}

// Setup adds the controller.
func Setup(mgr ctrl.Manager, o controller.Options, eo *elastic.Options, open tkecontroller.ClientFn) error {
	return newController(open).Setup(mgr, o, eo)
}

func newController(open tkecontroller.ClientFn) *elastic.Controller {
	return &elastic.Controller{
		Kind: v1alpha1.VirtualNodePoolGroupVersionKind, Object: &v1alpha1.VirtualNodePool{}, List: &v1alpha1.VirtualNodePoolList{},
		What:  "virtual node pool",
		Needs: []schema.GroupVersionKind{v1alpha1.ClusterGroupVersionKind, federationv1alpha1.MemberGroupVersionKind},
		Connect: func(b *elastic.Base) managed.ReconcilerOption {
			return managed.WithTypedExternalConnector[*v1alpha1.VirtualNodePool](&connector{Base: b, open: open})
		},
		Settled: settled,
		Watch:   watch,
	}
}

// watch what creation and deletion wait for.
func watch(b *builder.Builder, c client.Client) *builder.Builder {
	return b.
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
			if !ok {
				return nil
			}
			name := elastic.ClusterOfMember(m, v1alpha1.ClusterGroupVersionKind)
			if name == "" {
				return nil
			}
			return ofCluster(ctx, c, m.GetNamespace(), name)
		}), builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(event.CreateEvent) bool { return false },
			UpdateFunc: func(event.UpdateEvent) bool { return false },
		}))
}

// ofCluster lists the pools of a cluster.
func ofCluster(ctx context.Context, c client.Reader, namespace, name string) []reconcile.Request {
	l := &v1alpha1.VirtualNodePoolList{}
	if err := c.List(ctx, l, client.InNamespace(namespace)); err != nil {
		return nil
	}
	var all []reconcile.Request
	for i := range l.Items {
		if l.Items[i].Spec.ForProvider.ClusterRef.Name == name {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&l.Items[i])})
		}
	}
	return all
}

// settled reports whether nothing is under way. A pool that waits for its
// cluster is woken by a watch.
func settled(mg resource.Managed) bool {
	if mg.GetCondition(xpv2.TypeReady).Status == corev1.ConditionTrue {
		return true
	}
	cr, ok := mg.(*v1alpha1.VirtualNodePool)
	return ok && cr.Status.AtProvider.ID == "" && meta.GetExternalName(cr) == "" && meta.GetExternalCreatePending(cr).IsZero()
}

// connector makes externals.
type connector struct {
	*elastic.Base
	open tkecontroller.ClientFn
}

// Connect to TKE in the region of the pool's cluster.
func (c *connector) Connect(ctx context.Context, cr *v1alpha1.VirtualNodePool) (managed.TypedExternalClient[*v1alpha1.VirtualNodePool], error) {
	e := &external{Base: c.Base}
	if elastic.Forgettable(cr) {
		return e, nil
	}

	cl := &v1alpha1.Cluster{}
	err := c.Host.Get(ctx, types.NamespacedName{Namespace: cr.GetNamespace(), Name: cr.Spec.ForProvider.ClusterRef.Name}, cl)
	if err != nil && !kerrors.IsNotFound(err) {
		return nil, errors.Wrap(err, "cannot get the Cluster")
	}
	region := cr.Status.AtProvider.Region
	if err == nil {
		e.cluster, region = cl, cl.Spec.ForProvider.Region
	}
	if region == "" {
		// Observe says that there is no cluster.
		return e, nil
	}
	err = c.Open(ctx, cr, func(spec *elasticv1alpha1.ProviderConfigSpec, raw []byte) error {
		var err error
		e.api, err = c.open(spec, raw, region)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}
