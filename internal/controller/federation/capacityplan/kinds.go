package capacityplan

import (
	"context"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// kinds reads the managed resources that a plan's market is made of. Not all of
// their CRDs need be installed. Those that are watched are read from the cache.
// Before that they are asked for: a cluster must not seem absent only because
// this process has just started.
type kinds struct {
	cached, live client.Reader

	mu      sync.Mutex
	watched map[schema.GroupVersionKind]bool
}

func (k *kinds) list(ctx context.Context, gvk schema.GroupVersionKind, l client.ObjectList, namespace string) error {
	k.mu.Lock()
	r := k.live
	if k.watched[gvk] {
		r = k.cached
	}
	k.mu.Unlock()
	err := r.List(ctx, l, client.InNamespace(namespace))
	if meta.IsNoMatchError(err) {
		return nil
	}
	return errors.Wrapf(err, "cannot list %ss of %s", gvk.Kind, gvk.Group)
}

// clusterKey names a Cluster in a namespace.
type clusterKey struct{ group, name string }

func groupOf(apiVersion string) string {
	g, _, _ := strings.Cut(apiVersion, "/")
	return g
}

// A follower is a pool of nodes that follows a plan.
type follower struct {
	name           string
	plan, offering string
	cluster        clusterKey
	nodes, desired int32
	shortages      []elasticv1alpha1.Shortage
}

func (f *follower) equal(o *follower) bool {
	return f.offering == o.offering && f.cluster == o.cluster && f.nodes == o.nodes && f.desired == o.desired &&
		equality.Semantic.DeepEqual(f.shortages, o.shortages)
}

// poolOf a NodePool, or nil if it follows no plan.
func poolOf(mg resource.Managed, group, cluster string, from *elasticv1alpha1.SizeFrom, o *elasticv1alpha1.NodePoolObservation) *follower {
	if from == nil {
		return nil
	}
	p := &follower{
		name: mg.GetName(), plan: from.CapacityPlanRef.Name, offering: from.Offering, cluster: clusterKey{group, cluster},
		nodes: o.Nodes, desired: o.Desired, shortages: o.Shortages,
	}
	if c := mg.GetCondition(elasticv1alpha1.TypeCapacityAvailable); c.Status == "False" && len(p.shortages) == 0 {
		p.shortages = []elasticv1alpha1.Shortage{{Reason: string(c.Reason), Message: c.Message, Since: c.LastTransitionTime}}
	}
	return p
}

func asPool(o any) *follower {
	switch np := o.(type) {
	case *ackv1alpha1.NodePool:
		return poolOf(np, ackv1alpha1.Group, np.Spec.ForProvider.ClusterRef.Name, np.Spec.ForProvider.SizeFrom, &np.Status.AtProvider)
	case *tkev1alpha1.NodePool:
		return poolOf(np, tkev1alpha1.Group, np.Spec.ForProvider.ClusterRef.Name, np.Spec.ForProvider.SizeFrom, &np.Status.AtProvider)
	}
	return nil
}

// pools of a namespace that follow plans.
func (k *kinds) pools(ctx context.Context, namespace string) ([]follower, error) {
	a, t := &ackv1alpha1.NodePoolList{}, &tkev1alpha1.NodePoolList{}
	if err := k.list(ctx, ackv1alpha1.NodePoolGroupVersionKind, a, namespace); err != nil {
		return nil, err
	}
	if err := k.list(ctx, tkev1alpha1.NodePoolGroupVersionKind, t, namespace); err != nil {
		return nil, err
	}
	var out []follower
	for i := range a.Items {
		if p := asPool(&a.Items[i]); p != nil {
			out = append(out, *p)
		}
	}
	for i := range t.Items {
		if p := asPool(&t.Items[i]); p != nil {
			out = append(out, *p)
		}
	}
	return out, nil
}

// exists reports whether a Cluster exists at its cloud, or may.
func exists(o any) bool {
	var mg resource.Managed
	var id string
	switch c := o.(type) {
	case *ackv1alpha1.Cluster:
		mg, id = c, c.Status.AtProvider.ID
	case *tkev1alpha1.Cluster:
		mg, id = c, c.Status.AtProvider.ID
	default:
		return false
	}
	return id != "" || xpmeta.GetExternalName(mg) != "" || !xpmeta.GetExternalCreatePending(mg).IsZero() ||
		mg.GetAnnotations()[lifecycle.AnnotationCreateUnknown] != ""
}

// clusters of a namespace, and whether they exist at their clouds.
func (k *kinds) clusters(ctx context.Context, namespace string) (map[clusterKey]bool, error) {
	a, t := &ackv1alpha1.ClusterList{}, &tkev1alpha1.ClusterList{}
	if err := k.list(ctx, ackv1alpha1.ClusterGroupVersionKind, a, namespace); err != nil {
		return nil, err
	}
	if err := k.list(ctx, tkev1alpha1.ClusterGroupVersionKind, t, namespace); err != nil {
		return nil, err
	}
	out := map[clusterKey]bool{}
	for i := range a.Items {
		out[clusterKey{ackv1alpha1.Group, a.Items[i].GetName()}] = exists(&a.Items[i])
	}
	for i := range t.Items {
		out[clusterKey{tkev1alpha1.Group, t.Items[i].GetName()}] = exists(&t.Items[i])
	}
	return out, nil
}

// reservations of a namespace.
func (k *kinds) reservations(ctx context.Context, namespace string) ([]v1alpha1.CapacityReservation, error) {
	l := &v1alpha1.CapacityReservationList{}
	err := k.list(ctx, v1alpha1.CapacityReservationGroupVersionKind, l, namespace)
	return l.Items, err
}

// members of a namespace.
func (k *kinds) members(ctx context.Context, namespace string) ([]v1alpha1.Member, error) {
	l := &v1alpha1.MemberList{}
	err := k.list(ctx, v1alpha1.MemberGroupVersionKind, l, namespace)
	return l.Items, err
}

// memberName is the name of a Member in the federation.
func memberName(m *v1alpha1.Member) string {
	if n := xpmeta.GetExternalName(m); n != "" {
		return n
	}
	return m.GetName()
}

// A watch requeues the plans that a change concerns, at once. Informers serve
// better here than a source of the controller: they can be added when a CRD
// comes, and there is one for the kind anyway, which the controller of that kind
// uses.
type watch struct {
	gvk    schema.GroupVersionKind
	object client.Object
	// concerns returns the plan that a change concerns, or an empty name for all
	// of the namespace. Either object may be nil.
	concerns func(was, now any) (plan string, changed bool)
}

var watches = []watch{
	{gvk: ackv1alpha1.NodePoolGroupVersionKind, object: &ackv1alpha1.NodePool{}, concerns: poolChanged},
	{gvk: tkev1alpha1.NodePoolGroupVersionKind, object: &tkev1alpha1.NodePool{}, concerns: poolChanged},
	{gvk: ackv1alpha1.ClusterGroupVersionKind, object: &ackv1alpha1.Cluster{}, concerns: clusterChanged},
	{gvk: tkev1alpha1.ClusterGroupVersionKind, object: &tkev1alpha1.Cluster{}, concerns: clusterChanged},
	{gvk: v1alpha1.CapacityReservationGroupVersionKind, object: &v1alpha1.CapacityReservation{}, concerns: reservationChanged},
}

func poolChanged(was, now any) (string, bool) {
	a, b := asPool(was), asPool(now)
	switch {
	case a == nil && b == nil:
		return "", false
	case b == nil:
		return a.plan, true
	case a != nil && a.plan != b.plan:
		return "", true
	}
	return b.plan, a == nil || !a.equal(b)
}

func clusterChanged(was, now any) (string, bool) { return "", exists(was) != exists(now) }

func reservationChanged(was, now any) (string, bool) {
	a, _ := was.(*v1alpha1.CapacityReservation)
	b, _ := now.(*v1alpha1.CapacityReservation)
	return "", a == nil || b == nil || a.GetGeneration() != b.GetGeneration()
}

// watch the kinds, each as soon as it is served.
func (k *kinds) watch(mgr ctrl.Manager, o controller.Options, requeuer *karmada.Requeuer) error {
	for _, w := range watches {
		if o.Gate == nil {
			if err := k.start(mgr, w, requeuer); err != nil && !meta.IsNoMatchError(err) {
				return errors.Wrapf(err, "cannot watch %ss of %s", w.gvk.Kind, w.gvk.Group)
			}
			continue
		}
		o.Gate.Register(func() {
			if err := k.start(mgr, w, requeuer); err != nil {
				// There is nobody to return it to. Without the watch changes
				// would wait for a poll.
				panic(errors.Wrapf(err, "cannot watch %ss of %s", w.gvk.Kind, w.gvk.Group))
			}
		}, w.gvk)
	}
	return nil
}

func (k *kinds) start(mgr ctrl.Manager, w watch, requeuer *karmada.Requeuer) error {
	inf, err := mgr.GetCache().GetInformer(context.Background(), w.object, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	notify := func(was, now any) {
		plan, changed := w.concerns(was, now)
		o, ok := now.(client.Object)
		if !ok {
			o, ok = was.(client.Object)
		}
		if !changed || !ok {
			return
		}
		if plan != "" {
			requeuer.Now(types.NamespacedName{Namespace: o.GetNamespace(), Name: plan})
			return
		}
		l := &v1alpha1.CapacityPlanList{}
		if err := mgr.GetClient().List(context.Background(), l, client.InNamespace(o.GetNamespace())); err != nil {
			return
		}
		for i := range l.Items {
			requeuer.Now(client.ObjectKeyFromObject(&l.Items[i]))
		}
	}
	_, err = inf.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { notify(nil, o) },
		UpdateFunc: notify,
		DeleteFunc: func(o any) {
			if t, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = t.Obj
			}
			notify(o, nil)
		},
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.watched == nil {
		k.watched = map[schema.GroupVersionKind]bool{}
	}
	k.watched[w.gvk] = true
	return nil
}
