package lifecycle

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crcontroller "sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"
	"github.com/crossplane/upjet/v2/pkg/controller/handler"
)

const (
	// minPollInterval that a resource may ask for by annotation: a tenant must
	// not use up the account's calls.
	minPollInterval = 10 * time.Second
	// reconcileTimeout of all calls of one pass. Time-outs of single calls are
	// shorter, and nothing waits for the cloud's work.
	reconcileTimeout = time.Minute

	// retryBase and retryMax bound the back-off of a resource that is to be
	// looked at again. crossplane-runtime's own starts at a second, which a mere
	// conflict with a stale cache would cost; calls to the cloud have a budget
	// of their own.
	retryBase = 50 * time.Millisecond
	retryMax  = time.Minute
)

// ControllerOptions are those of crossplane-runtime with a quicker first retry.
func ControllerOptions(o controller.Options) crcontroller.Options {
	co := o.ForControllerRuntime()
	co.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryBase, retryMax)
	return co
}

// A Controller of one kind of managed resource in a cloud.
type Controller struct {
	// Kind, an object of it, and a list.
	Kind   schema.GroupVersionKind
	Object client.Object
	List   resource.ManagedList
	// Connect is the option that holds the connector.
	Connect managed.ReconcilerOption
	// Settled reports whether nothing is under way, so that the resource need
	// not be looked at before the poll interval ends.
	Settled func(mg resource.Managed) bool
	// PollInProgress is the poll interval while something is.
	PollInProgress time.Duration
	// Pace of reconciles.
	Pace *Pace
	// Requeue handles events of the kind.
	Requeue *handler.EventHandler
	// Watch adds watches of other kinds. May be nil.
	Watch func(b *builder.Builder) *builder.Builder
}

// NewRequeue returns a handler of events that can also requeue resources.
func NewRequeue() *handler.EventHandler {
	return handler.NewEventHandler(handler.WithLogger(logging.NewNopLogger()))
}

// Recorder of events of a controller.
func Recorder(mgr ctrl.Manager, kind schema.GroupVersionKind, o controller.Options) event.Recorder {
	name := managed.ControllerName(kind.GroupKind().String())
	//lint:ignore SA1019 crossplane-runtime has no recorder for the new API: crossplane/crossplane#7152.
	return event.NewAPIRecorder(mgr.GetEventRecorderFor(name), o.EventFilterFunctions...)
}

// Setup adds the controller to the manager.
func (c *Controller) Setup(mgr ctrl.Manager, o controller.Options) error {
	mgr = Quiet(mgr)
	name := managed.ControllerName(c.Kind.GroupKind().String())
	opts := []managed.ReconcilerOption{
		c.Connect,
		managed.WithLogger(o.Logger.WithValues("controller", name)),
		managed.WithRecorder(Recorder(mgr, c.Kind, o)),
		managed.WithTimeout(reconcileTimeout),
		managed.WithPollInterval(o.PollInterval),
		managed.WithMinPollInterval(minPollInterval),
		managed.WithPollIntervalHook(func(mg resource.Managed, poll time.Duration) time.Duration {
			if !c.Settled(mg) {
				return min(poll, Jitter(c.PollInProgress))
			}
			return Jitter(poll)
		}),
		// The default initializer would make the resource's name the external
		// name, which is the cloud's to choose.
		managed.WithInitializers(),
		// The name is not deterministic, but Creation finds what was created.
		managed.WithDeterministicExternalName(true),
		// Creation waits for lists itself.
		managed.WithCreationGracePeriod(0),
	}
	if o.Features.Enabled(feature.EnableBetaManagementPolicies) {
		opts = append(opts, managed.WithManagementPolicies())
	}
	if o.Features.Enabled(feature.EnableAlphaChangeLogs) && o.ChangeLogOptions != nil {
		opts = append(opts, managed.WithChangeLogger(o.ChangeLogOptions.ChangeLogger))
	}
	if m := o.MetricOptions; m != nil {
		if m.MRMetrics != nil {
			opts = append(opts, managed.WithMetricRecorder(m.MRMetrics))
		}
		if m.MRStateMetrics != nil {
			r := statemetrics.NewMRStateRecorder(mgr.GetClient(), o.Logger, m.MRStateMetrics, c.List, m.PollStateMetricInterval)
			if err := mgr.Add(r); err != nil {
				return errors.Wrapf(err, "cannot register the state metrics of %s", c.Kind.Kind)
			}
		}
	}

	r := c.Pace.Wrap(managed.NewReconciler(mgr, resource.ManagedKind(c.Kind), opts...))
	b := ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(ControllerOptions(o)).
		Watches(c.Object, c.Requeue, builder.WithPredicates(resource.DesiredStateChanged()))
	if c.Watch != nil {
		b = c.Watch(b)
	}
	return b.Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}
