// Package federation sets up the controllers of what lives in a Karmada control
// plane.
package federation

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/capacityplan"
	"regionpool.io/provider-regionpool/internal/controller/federation/capacityreservation"
	"regionpool.io/provider-regionpool/internal/controller/federation/member"
	"regionpool.io/provider-regionpool/internal/controller/federation/placementpolicy"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

// DefaultPollInProgress is how often to look at something that is under way.
const DefaultPollInProgress = 5 * time.Second

// Options of the federation's controllers.
type Options struct {
	// PollInProgress is how often to look while something is under way, such as
	// a drain or a cluster whose API does not answer yet. The default is 5 s.
	PollInProgress time.Duration

	// Clock for time-outs. The default is the real one.
	Clock clock.PassiveClock

	// Market of the offerings of CapacityPlans. May be nil.
	Market capacityplan.Market
}

type setupFn func(ctrl.Manager, controller.Options, reconcile.Options) error

type kind struct {
	gvk     schema.GroupVersionKind
	setup   setupFn
	options reconcile.Options
	// needs are kinds that the controller watches beside its own.
	needs []schema.GroupVersionKind
}

// kinds of the group, which share their connections to Karmada.
func kinds(mgr ctrl.Manager, o controller.Options, fo Options) ([]kind, error) {
	if fo.PollInProgress <= 0 {
		fo.PollInProgress = DefaultPollInProgress
	}
	if fo.Clock == nil {
		fo.Clock = clock.RealClock{}
	}
	members, policies, plans, reservations := &karmada.Requeuer{}, &karmada.Requeuer{}, &karmada.Requeuer{}, &karmada.Requeuer{}
	conns := karmada.NewConnections(o.Logger, karmada.Events{Members: members, CapacityPlans: plans, CapacityReservations: reservations})
	if err := mgr.Add(conns); err != nil {
		return nil, errors.Wrap(err, "cannot add the connections to Karmada to the manager")
	}
	connect := karmada.NewConnectFn(karmada.NewResolveFn(mgr.GetClient()), conns)
	with := func(r *karmada.Requeuer) reconcile.Options {
		return reconcile.Options{Connect: connect, Requeuer: r, PollInProgress: fo.PollInProgress, Clock: fo.Clock}
	}
	m, p, c, r := v1alpha1.MemberGroupVersionKind, v1alpha1.PlacementPolicyGroupVersionKind, v1alpha1.CapacityPlanGroupVersionKind, v1alpha1.CapacityReservationGroupVersionKind
	plan := func(mgr ctrl.Manager, o controller.Options, ro reconcile.Options) error {
		return capacityplan.Setup(mgr, o, ro, fo.Market)
	}
	return []kind{
		{gvk: m, setup: member.Setup, options: with(members), needs: []schema.GroupVersionKind{m, p}},
		{gvk: p, setup: placementpolicy.Setup, options: with(policies), needs: []schema.GroupVersionKind{p, m}},
		{gvk: c, setup: plan, options: with(plans), needs: []schema.GroupVersionKind{c, m}},
		{gvk: r, setup: capacityreservation.Setup, options: with(reservations), needs: []schema.GroupVersionKind{r, m}},
	}, nil
}

// Setup adds the controllers to the manager.
func Setup(mgr ctrl.Manager, o controller.Options, fo Options) error {
	ks, err := kinds(mgr, o, fo)
	if err != nil {
		return err
	}
	for _, k := range ks {
		if err := k.setup(mgr, o, k.options); err != nil {
			return errors.Wrapf(err, "cannot set up the controller of %s", k.gvk.Kind)
		}
	}
	return nil
}

// SetupGated adds each controller once the CRDs it watches are served.
func SetupGated(mgr ctrl.Manager, o controller.Options, fo Options) error {
	ks, err := kinds(mgr, o, fo)
	if err != nil {
		return err
	}
	for _, k := range ks {
		o.Gate.Register(func() {
			if err := k.setup(mgr, o, k.options); err != nil {
				// Going on would leave resources of this kind without anyone
				// who reconciles them.
				panic(errors.Wrapf(err, "cannot set up the controller of %s", k.gvk.Kind))
			}
		}, k.needs...)
	}
	return nil
}
