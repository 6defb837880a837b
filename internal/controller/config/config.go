// Package config reconciles ProviderConfigs, ClusterProviderConfigs and the
// records of their use, and remembers in their status who made things in the
// account.
package config

import (
	"context"
	"time"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/providerconfig"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/credentials"
)

const (
	// conflictDelay before a write is tried again that someone else came before.
	conflictDelay = 100 * time.Millisecond
	// absentDelay before a configuration is looked for again.
	absentDelay = 30 * time.Second
)

// SetupGated adds the controllers once their kinds are served.
func SetupGated(mgr ctrl.Manager, o controller.Options) error {
	o.Gate.Register(func() {
		if err := Setup(mgr, o); err != nil {
			// There is nobody to return it to. A restart tries again.
			panic(errors.Wrap(err, "cannot set up the controllers of ProviderConfigs"))
		}
	}, v1alpha1.ProviderConfigGroupVersionKind, v1alpha1.ClusterProviderConfigGroupVersionKind, v1alpha1.ProviderConfigUsageGroupVersionKind)
	return setupOwners(mgr, o)
}

// Setup adds the controllers.
func Setup(mgr ctrl.Manager, o controller.Options) error {
	if o.Gate == nil {
		if err := setupOwners(mgr, o); err != nil {
			return err
		}
	}
	if err := setup(mgr, o, v1alpha1.ProviderConfigGroupVersionKind, &v1alpha1.ProviderConfig{}); err != nil {
		return err
	}
	if err := setup(mgr, o, v1alpha1.ClusterProviderConfigGroupVersionKind, &v1alpha1.ClusterProviderConfig{}); err != nil {
		return err
	}

	const name = "providerconfigusage"
	r := &usages{kube: mgr.GetClient(), live: mgr.GetAPIReader(), recheck: 5 * time.Second}
	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		For(&v1alpha1.ProviderConfigUsage{}).
		Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}

// setup a controller that counts the users of a kind of configuration. One kind
// of usage serves both kinds.
func setup(mgr ctrl.Manager, o controller.Options, kind schema.GroupVersionKind, obj client.Object) error {
	name := providerconfig.ControllerName(kind.GroupKind().String())
	r := providerconfig.NewReconciler(mgr, resource.ProviderConfigKinds{
		Config:    kind,
		Usage:     v1alpha1.ProviderConfigUsageGroupVersionKind,
		UsageList: v1alpha1.ProviderConfigUsageListGroupVersionKind,
	},
		providerconfig.WithLogger(o.Logger.WithValues("controller", name)),
		//lint:ignore SA1019 crossplane-runtime has no recorder for the new API: crossplane/crossplane#7152.
		providerconfig.WithRecorder(event.NewAPIRecorder(mgr.GetEventRecorderFor(name), o.EventFilterFunctions...)),
	)
	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		For(obj).
		Watches(&v1alpha1.ProviderConfigUsage{}, &resource.EnqueueRequestForProviderConfig{Kind: kind.Kind}).
		Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}

// usages lets go of usages whose managed resource is gone.
type usages struct {
	kube client.Client
	// live reads do not come from a cache, which would have to watch every kind.
	live    client.Reader
	recheck time.Duration
}

// Reconcile a usage that is being deleted, by hand, with its namespace, or after
// its managed resource.
func (r *usages) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	u := &v1alpha1.ProviderConfigUsage{}
	if err := r.kube.Get(ctx, req.NamespacedName, u); err != nil {
		return reconcile.Result{}, errors.Wrap(resource.IgnoreNotFound(err), "cannot get ProviderConfigUsage")
	}
	if u.DeletionTimestamp == nil || !controllerutil.ContainsFinalizer(u, credentials.FinalizerInUse) {
		return reconcile.Result{}, nil
	}

	mg := &metav1.PartialObjectMetadata{}
	mg.SetGroupVersionKind(schema.FromAPIVersionAndKind(u.ResourceReference.APIVersion, u.ResourceReference.Kind))
	err := r.live.Get(ctx, client.ObjectKey{Namespace: u.GetNamespace(), Name: u.ResourceReference.Name}, mg)
	if err != nil && !kerrors.IsNotFound(err) {
		return reconcile.Result{}, errors.Wrap(err, "cannot get the managed resource of a ProviderConfigUsage")
	}
	// Usages are named after the UID of their resource.
	if err == nil && string(mg.GetUID()) == u.GetName() {
		return reconcile.Result{RequeueAfter: r.recheck}, nil
	}

	controllerutil.RemoveFinalizer(u, credentials.FinalizerInUse)
	return reconcile.Result{}, errors.Wrap(resource.IgnoreNotFound(r.kube.Update(ctx, u)), "cannot release ProviderConfigUsage")
}
