package elastic

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// A Controller of a kind of rented resources.
type Controller struct {
	// Kind, an object of it, and a list.
	Kind   schema.GroupVersionKind
	Object client.Object
	List   resource.ManagedList
	// What the kind is, in texts: cluster or node pool.
	What string
	// Needs are further kinds that have to be served.
	Needs []schema.GroupVersionKind
	// Connect makes the option that holds the connector.
	Connect func(b *Base) managed.ReconcilerOption
	// Settled reports whether nothing is under way.
	Settled func(mg resource.Managed) bool
	// Watch adds watches of other kinds.
	Watch func(b *builder.Builder, c client.Client) *builder.Builder
}

// SetupGated adds the controller once the kinds that it needs are served.
func (c *Controller) SetupGated(mgr ctrl.Manager, o controller.Options, eo *Options) error {
	o.Gate.Register(func() {
		if err := c.Setup(mgr, o, eo); err != nil {
			// There is nobody to return it to. A restart tries again.
			panic(errors.Wrapf(err, "cannot set up the controller of %s", c.Kind.GroupKind()))
		}
	}, append([]schema.GroupVersionKind{c.Kind}, c.Needs...)...)
	return nil
}

// Setup adds the controller.
func (c *Controller) Setup(mgr ctrl.Manager, o controller.Options, eo *Options) error {
	requeue := lifecycle.NewRequeue()
	poller := &lifecycle.Poller{Interval: eo.PollInProgress, Clock: eo.Clock, Requeue: requeue}
	if err := mgr.Add(poller); err != nil {
		return errors.Wrap(err, "cannot add the poller of tasks")
	}
	b := &Base{
		Options: eo,
		What:    c.What,
		Host:    mgr.GetClient(),
		Poller:  poller,
		Pace:    &lifecycle.Pace{},
		Holds:   &lifecycle.Holds{Recheck: eo.Recheck, Clock: eo.Clock},
		Record:  lifecycle.Recorder(mgr, c.Kind, o),
		Began:   sync.OnceValue[time.Time](eo.Clock.Now),
	}
	ctl := &lifecycle.Controller{
		Kind:           c.Kind,
		Object:         c.Object,
		List:           c.List,
		Connect:        c.Connect(b),
		Settled:        c.Settled,
		PollInProgress: eo.PollInProgress,
		Pace:           b.Pace,
		Requeue:        requeue,
		Watch:          func(w *builder.Builder) *builder.Builder { return c.Watch(w, mgr.GetClient()) },
	}
	return ctl.Setup(mgr, o)
}
