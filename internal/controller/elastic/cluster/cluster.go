package cluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// Controller of a kind of clusters.
func (k *Kind) Controller() *elastic.Controller {
	needs := []schema.GroupVersionKind{federationv1alpha1.MemberGroupVersionKind}
	for _, p := range k.Pools {
		needs = append(needs, p.GVK)
	}
	return &elastic.Controller{
		Kind: k.GVK, Object: k.Object, List: k.List, What: "cluster", Needs: needs,
		Connect: func(b *elastic.Base) managed.ReconcilerOption {
			return managed.WithTypedExternalConnector[elastic.Cluster](NewConnector(k, b))
		},
		Settled: settled,
		Watch:   k.watch,
	}
}

// watch what the deletion of a cluster waits for.
func (k *Kind) watch(b *builder.Builder, _ client.Client) *builder.Builder {
	goes := builder.WithPredicates(predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
	cluster := func(namespace, name string) []reconcile.Request {
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
	}
	b = b.Watches(&federationv1alpha1.Member{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		m, ok := o.(*federationv1alpha1.Member)
		if !ok {
			return nil
		}
		return cluster(m.GetNamespace(), elastic.ClusterOfMember(m, k.GVK))
	}), goes)
	for _, p := range k.Pools {
		b = b.Watches(p.Object, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			return cluster(o.GetNamespace(), p.ClusterName(o))
		}), goes)
	}
	return b
}

// settled reports whether nothing is under way. A cluster that could not be
// built stays so.
func settled(mg resource.Managed) bool {
	cr, ok := mg.(elastic.Cluster)
	if !ok {
		return true
	}
	ready := cr.GetCondition(xpv2.TypeReady)
	return cr.GetObservation().Operation == nil && (ready.Status == corev1.ConditionTrue || ready.Reason == elastic.ReasonFailed)
}

// A Connector makes the external clients of a kind of clusters.
type Connector struct {
	*elastic.Base
	kind *Kind
}

// NewConnector of a kind of clusters.
func NewConnector(k *Kind, b *elastic.Base) *Connector { return &Connector{Base: b, kind: k} }

// Connect to the cloud.
func (c *Connector) Connect(ctx context.Context, cr elastic.Cluster) (managed.TypedExternalClient[elastic.Cluster], error) {
	e := &external{Base: c.Base, kind: c.kind}
	if elastic.Forgettable(cr) {
		return e, nil
	}
	err := c.Open(ctx, cr, func(spec *v1alpha1.ProviderConfigSpec, raw []byte) error {
		var err error
		e.cloud, err = c.kind.Open(spec, raw, cr)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}
