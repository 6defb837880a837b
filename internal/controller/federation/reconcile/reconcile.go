// Package reconcile holds what the managed resources of the federation group
// have in common: the options of their reconcilers, and how they say that their
// deletion waits.
package reconcile

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// minPollInterval keeps an annotation on a managed resource from making it poll
// the Karmada API all the time.
const minPollInterval = 10 * time.Second

// Options of the federation's controllers.
type Options struct {
	// Connect returns the connection of a managed resource to its Karmada API.
	Connect karmada.ConnectFn

	// Requeuer of the controller that is set up.
	Requeuer *karmada.Requeuer

	// PollInProgress is how often to look while something is under way that no
	// watch tells about.
	PollInProgress time.Duration

	// Clock for time-outs.
	Clock clock.PassiveClock
}

// TypeDeletionBlocked is the type of a condition that is True while a managed
// resource is being deleted and waits. Its message says for whom.
const TypeDeletionBlocked xpv2.ConditionType = "DeletionBlocked"

// DeletionBlocked says why a deletion waits.
func DeletionBlocked(reason xpv2.ConditionReason, message string) xpv2.Condition {
	return xpv2.Condition{Type: TypeDeletionBlocked, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(), Reason: reason, Message: message}
}

// DeletionGoesOn says that a deletion waits no longer.
func DeletionGoesOn() xpv2.Condition {
	return xpv2.Condition{Type: TypeDeletionBlocked, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now(), Reason: "GoesOn"}
}

// NotReady says why a managed resource is not ready.
func NotReady(reason xpv2.ConditionReason, message string) xpv2.Condition {
	return xpv2.Condition{Type: xpv2.TypeReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now(), Reason: reason, Message: message}
}

// ObserveOnly says whether a managed resource may only be observed.
func ObserveOnly(mg resource.Managed) bool {
	p := mg.GetManagementPolicies()
	return len(p) == 1 && p[0] == xpv2.ManagementActionObserve
}

// Key of an object.
func Key(o client.Object) types.NamespacedName { return client.ObjectKeyFromObject(o) }

// Setup adds a controller for a kind of managed resource to the manager. The
// configure function may add watches.
func Setup(mgr ctrl.Manager, o controller.Options, fo Options, of client.Object, list resource.ManagedList, gvk schema.GroupVersionKind, connector managed.ReconcilerOption, configure func(*builder.Builder) *builder.Builder) error {
	name := managed.ControllerName(gvk.GroupKind().String())
	opts := []managed.ReconcilerOption{
		connector,
		managed.WithLogger(o.Logger.WithValues("controller", name)),
		managed.WithPollInterval(o.PollInterval),
		managed.WithMinPollInterval(minPollInterval),
		// While a resource is not ready, things happen that no watch tells
		// about, such as an API server that begins to answer.
		managed.WithPollIntervalHook(func(mg resource.Managed, poll time.Duration) time.Duration {
			if mg.GetCondition(xpv2.TypeReady).Status != corev1.ConditionTrue && fo.PollInProgress < poll {
				return fo.PollInProgress
			}
			return poll
		}),
		//lint:ignore SA1019 crossplane-runtime has no recorder for the new API: crossplane/crossplane#7152.
		managed.WithRecorder(event.NewAPIRecorder(mgr.GetEventRecorderFor(name), o.EventFilterFunctions...)),
		// The external name is the name in Karmada, so an interrupted creation
		// can just be repeated.
		managed.WithDeterministicExternalName(true),
		// What does not exist is asked for without a cache, so it is believed at
		// once. The default would make something that goes half a minute after
		// it came wait for the rate limiter, which may be another minute.
		managed.WithCreationGracePeriod(0),
	}
	if o.Features != nil && o.Features.Enabled(feature.EnableBetaManagementPolicies) {
		opts = append(opts, managed.WithManagementPolicies())
	}
	if o.Features != nil && o.Features.Enabled(feature.EnableAlphaChangeLogs) && o.ChangeLogOptions != nil {
		opts = append(opts, managed.WithChangeLogger(o.ChangeLogOptions.ChangeLogger))
	}
	if m := o.MetricOptions; m != nil {
		if m.MRMetrics != nil {
			opts = append(opts, managed.WithMetricRecorder(m.MRMetrics))
		}
		if m.MRStateMetrics != nil {
			r := statemetrics.NewMRStateRecorder(mgr.GetClient(), o.Logger, m.MRStateMetrics, list, m.PollStateMetricInterval)
			if err := mgr.Add(r); err != nil {
				return errors.Wrapf(err, "cannot register the state metrics of %s", gvk.Kind)
			}
		}
	}
	r := managed.NewReconciler(mgr, resource.ManagedKind(gvk), opts...)

	b := ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(lifecycle.ControllerOptions(o)).
		For(of, builder.WithPredicates(resource.DesiredStateChanged())).
		WatchesRawSource(source.Func(fo.Requeuer.Start))
	return configure(b).Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}
