package config

import (
	"context"
	"slices"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// An ownerKind is a kind of managed resource that makes things in an account.
type ownerKind struct {
	name   string
	kind   schema.GroupVersionKind
	object func() resource.ModernManaged
}

// ownerKinds of all clouds.
var ownerKinds = []ownerKind{
	{"owners-ack-cluster", ackv1alpha1.ClusterGroupVersionKind, func() resource.ModernManaged { return &ackv1alpha1.Cluster{} }},
	{"owners-ack-nodepool", ackv1alpha1.NodePoolGroupVersionKind, func() resource.ModernManaged { return &ackv1alpha1.NodePool{} }},
	{"owners-tke-cluster", tkev1alpha1.ClusterGroupVersionKind, func() resource.ModernManaged { return &tkev1alpha1.Cluster{} }},
	{"owners-tke-nodepool", tkev1alpha1.NodePoolGroupVersionKind, func() resource.ModernManaged { return &tkev1alpha1.NodePool{} }},
	{"owners-tke-virtualnodepool", tkev1alpha1.VirtualNodePoolGroupVersionKind, func() resource.ModernManaged { return &tkev1alpha1.VirtualNodePool{} }},
}

// setupOwners adds a controller for each kind of owner, once it is served.
func setupOwners(mgr ctrl.Manager, o controller.Options) error {
	for _, k := range ownerKinds {
		if o.Gate == nil {
			if err := k.setup(mgr, o); err != nil {
				return err
			}
			continue
		}
		o.Gate.Register(func() {
			if err := k.setup(mgr, o); err != nil {
				panic(errors.Wrapf(err, "cannot set up the controller %s", k.name))
			}
		}, k.kind, v1alpha1.ProviderConfigGroupVersionKind, v1alpha1.ClusterProviderConfigGroupVersionKind)
	}
	return nil
}

func (k ownerKind) setup(mgr ctrl.Manager, o controller.Options) error {
	r := &owners{kube: mgr.GetClient(), object: k.object}
	return ctrl.NewControllerManagedBy(mgr).
		Named(k.name).
		WithOptions(lifecycle.ControllerOptions(o)).
		For(k.object(), builder.WithPredicates(predicate.Funcs{
			UpdateFunc: func(e event.UpdateEvent) bool {
				a, b := describe(e.ObjectOld), describe(e.ObjectNew)
				return a != b
			},
			DeleteFunc: func(event.DeleteEvent) bool { return false },
		})).
		Complete(ratelimiter.NewReconciler(k.name, r, o.GlobalRateLimiter))
}

// A description is what is remembered of an owner.
type description struct {
	config xpv2.ProviderConfigReference
	region string
	owner  v1alpha1.Owner
}

// describe an owner.
func describe(o client.Object) description {
	d := description{}
	var tags map[string]string
	switch mg := o.(type) {
	case *ackv1alpha1.Cluster:
		d.region, tags, d.owner.ClusterID = mg.Spec.ForProvider.Region, mg.Spec.ForProvider.Tags, clusterID(mg, mg.Status.AtProvider.ID)
	case *tkev1alpha1.Cluster:
		d.region, tags, d.owner.ClusterID = mg.Spec.ForProvider.Region, mg.Spec.ForProvider.Tags, clusterID(mg, mg.Status.AtProvider.ID)
	case *ackv1alpha1.NodePool:
		d.region, tags = mg.Status.AtProvider.Region, mg.Spec.ForProvider.Tags
	case *tkev1alpha1.NodePool:
		d.region, tags = mg.Status.AtProvider.Region, mg.Spec.ForProvider.Tags
	case *tkev1alpha1.VirtualNodePool:
		d.region, tags = mg.Status.AtProvider.Region, mg.Spec.ForProvider.Tags
	}
	mg, ok := o.(resource.ModernManaged)
	if !ok || mg.GetProviderConfigReference() == nil {
		return description{}
	}
	d.config = *mg.GetProviderConfigReference()
	d.owner.UID = string(mg.GetUID())
	if tags[v1alpha1.TagLeaks] == v1alpha1.LeaksDelete {
		d.owner.Leaks = v1alpha1.LeaksDelete
	}
	p := mg.GetManagementPolicies()
	if len(p) > 0 && !slices.Contains(p, xpv2.ManagementActionAll) && !slices.Contains(p, xpv2.ManagementActionDelete) {
		// Whoever keeps us from deleting it wants it to outlive its resource, and
		// what was made for it.
		d.owner.ClusterID, d.owner.Leaks = "", v1alpha1.LeaksKeep
	}
	return d
}

func clusterID(mg resource.Managed, observed string) string {
	if observed != "" {
		return observed
	}
	return meta.GetExternalName(mg)
}

// owners remembers managed resources in the status of the configuration that
// they use, with the region they are in. It is how the sweeper knows where to
// look, and what was ours, when they are gone.
type owners struct {
	kube   client.Client
	object func() resource.ModernManaged
}

// Reconcile an owner.
func (r *owners) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	mg := r.object()
	if err := r.kube.Get(ctx, req.NamespacedName, mg); err != nil {
		return reconcile.Result{}, errors.Wrap(resource.IgnoreNotFound(err), "cannot get managed resource")
	}
	d := describe(mg)
	if d.owner.UID == "" {
		return reconcile.Result{}, nil
	}
	pc, status, err := Get(ctx, r.kube, mg.GetNamespace(), d.config)
	if kerrors.IsNotFound(err) {
		// It may come after its users.
		return reconcile.Result{RequeueAfter: absentDelay}, nil
	}
	if err != nil {
		return reconcile.Result{}, errors.Wrap(err, "cannot get the configuration of a managed resource")
	}
	was := pc.DeepCopyObject().(client.Object)
	if !remember(status, d) {
		return reconcile.Result{}, nil
	}
	err = r.kube.Status().Patch(ctx, pc, client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{}))
	if kerrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: conflictDelay}, nil
	}
	return reconcile.Result{}, errors.Wrap(err, "cannot remember the owner in the status of its configuration")
}

// Get a configuration by reference, and its status, which may be changed in
// place. The namespace is that of a ProviderConfig.
func Get(ctx context.Context, c client.Reader, namespace string, ref xpv2.ProviderConfigReference) (client.Object, *v1alpha1.ProviderConfigStatus, error) {
	switch ref.Kind {
	case v1alpha1.ProviderConfigKind:
		pc := &v1alpha1.ProviderConfig{}
		err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, pc)
		return pc, &pc.Status, err
	case v1alpha1.ClusterProviderConfigKind:
		pc := &v1alpha1.ClusterProviderConfig{}
		err := c.Get(ctx, client.ObjectKey{Name: ref.Name}, pc)
		return pc, &pc.Status, err
	}
	return nil, nil, errors.Errorf("spec.providerConfigRef.kind is %q: use ProviderConfig or ClusterProviderConfig", ref.Kind)
}

// remember an owner in a status. It reports whether that changed anything.
func remember(s *v1alpha1.ProviderConfigStatus, d description) bool {
	changed := false
	if d.region != "" && !slices.Contains(s.Regions, d.region) {
		s.Regions = append(s.Regions, d.region)
		slices.Sort(s.Regions)
		changed = true
	}
	i := slices.IndexFunc(s.Owners, func(o v1alpha1.Owner) bool { return o.UID == d.owner.UID })
	if i < 0 {
		s.Owners = append(s.Owners, d.owner)
		return true
	}
	if s.Owners[i] != d.owner {
		s.Owners[i] = d.owner
		changed = true
	}
	return changed
}
