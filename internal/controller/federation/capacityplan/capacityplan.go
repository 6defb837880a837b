// Package capacityplan keeps the two halves of a CapacityPlan alike: the spec
// goes from the host plane to the workload plane, the status comes back. On its
// way the spec gets what the clouds say of the offerings: prices, stock, nodes
// that exist.
package capacityplan

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

const (
	reasonMembers   xpv2.ConditionReason = "WaitsForMembers"
	reasonNodePools xpv2.ConditionReason = "WaitsForNodePools"
	reasonConflict  xpv2.ConditionReason = "Conflict"
	reasonNoFleet   xpv2.ConditionReason = "FleetNotInstalled"
	reasonNotSeen   xpv2.ConditionReason = "WaitsForFleet"
)

// Setup adds a controller of CapacityPlans to the manager. The market may be
// nil: then plans know only what our own resources say.
func Setup(mgr ctrl.Manager, o controller.Options, fo reconcile.Options, m Market) error {
	c := &connector{
		kube: mgr.GetClient(), live: mgr.GetAPIReader(), connect: fo.Connect, requeuer: fo.Requeuer, pollInProgress: fo.PollInProgress,
		kinds:  &kinds{cached: mgr.GetClient(), live: mgr.GetAPIReader()},
		market: m,
		pace:   &pace{now: fo.Clock.Now},
		seen:   &seen{},
	}
	if m != nil {
		m.OnChange(fo.Requeuer.Now)
	}
	if err := c.kinds.watch(mgr, o, fo.Requeuer); err != nil {
		return err
	}
	return reconcile.Setup(mgr, o, fo, &v1alpha1.CapacityPlan{}, &v1alpha1.CapacityPlanList{}, v1alpha1.CapacityPlanGroupVersionKind,
		managed.WithTypedExternalConnector(c),
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&v1alpha1.Member{}, reconcile.Waiting(mgr.GetClient(), &v1alpha1.CapacityPlanList{}), builder.WithPredicates(reconcile.Deleted()))
		})
}

// connector makes external clients of CapacityPlans.
type connector struct {
	kube client.Reader
	// live reads NodePools, whose CRD need not be installed.
	live           client.Reader
	connect        karmada.ConnectFn
	requeuer       *karmada.Requeuer
	pollInProgress time.Duration
	kinds          *kinds
	market         Market
	pace           *pace
	seen           *seen
}

// seen remembers with which spec, apart from the market, fleet has planned. The
// market changes all the time, and a plan does not become unready by that.
type seen struct {
	mu sync.Mutex
	of map[types.UID]fleetv1alpha1.CapacityPlanSpec
}

func (s *seen) planned(twin *fleetv1alpha1.CapacityPlan) bool {
	spec := *twin.Spec.DeepCopy()
	spec.Market = fleetv1alpha1.Market{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if twin.Status.ObservedGeneration == twin.GetGeneration() {
		if s.of == nil {
			s.of = map[types.UID]fleetv1alpha1.CapacityPlanSpec{}
		}
		s.of[twin.GetUID()] = spec
		return true
	}
	was, ok := s.of[twin.GetUID()]
	return ok && equality.Semantic.DeepEqual(was, spec)
}

func (s *seen) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, uid)
}

// Connect to the Karmada API of a CapacityPlan.
func (c *connector) Connect(ctx context.Context, mg *v1alpha1.CapacityPlan) (managed.TypedExternalClient[*v1alpha1.CapacityPlan], error) {
	conn, err := c.connect(ctx, mg)
	if err != nil {
		return nil, err
	}
	e := &external{connector: c, conn: conn}
	err = conn.WatchCapacityPlans(ctx)
	if meta.IsNoMatchError(err) {
		e.noFleet = true
		return e, nil
	}
	if err != nil {
		return nil, errors.New("cannot watch CapacityPlans in the Karmada API: " + karmada.Reason(err))
	}
	return e, nil
}

// external keeps the twin of a CapacityPlan.
type external struct {
	*connector
	conn *karmada.Conn
	// noFleet means that the CRD is not installed.
	noFleet bool
	// now is the market to be written.
	now fleetv1alpha1.Market
}

// Disconnect does nothing: the connection is shared.
func (e *external) Disconnect(context.Context) error { return nil }

// what the twin is, in errors.
func what(mg *v1alpha1.CapacityPlan) string {
	return fmt.Sprintf("CapacityPlan %q in the Karmada API", reconcile.ExternalName(mg))
}

// get the twin, or nil when it is proved absent.
func (e *external) get(ctx context.Context, r karmada.Getter, mg *v1alpha1.CapacityPlan) (*fleetv1alpha1.CapacityPlan, error) {
	return reconcile.Get[fleetv1alpha1.CapacityPlan](ctx, r, reconcile.ExternalName(mg), what(mg))
}

// Observe the twin.
func (e *external) Observe(ctx context.Context, mg *v1alpha1.CapacityPlan) (managed.ExternalObservation, error) {
	var twin *fleetv1alpha1.CapacityPlan
	var err error
	if !e.noFleet {
		twin, err = e.get(ctx, e.conn, mg)
	}
	if meta.IsNoMatchError(err) {
		e.noFleet, err = true, nil
	}
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	if xpmeta.WasDeleted(mg) {
		return managed.ExternalObservation{ResourceExists: twin != nil && reconcile.Ours(twin, mg)}, nil
	}
	if e.noFleet {
		// Nothing to create it in: it is tried again with every poll.
		mg.SetConditions(reconcile.NotReady(reasonNoFleet, "The Karmada API has no CapacityPlans: install fleet there"))
		return managed.ExternalObservation{ResourceExists: !reconcile.ObserveOnly(mg), ResourceUpToDate: true}, nil
	}
	if e.now, err = e.marketOf(ctx, mg); err != nil {
		return managed.ExternalObservation{}, err
	}
	if twin == nil {
		return managed.ExternalObservation{}, nil
	}
	if !reconcile.Ours(twin, mg) && !reconcile.ObserveOnly(mg) {
		err := reconcile.NotOurs(twin, what(mg), "CapacityPlan of a host plane")
		mg.SetConditions(reconcile.NotReady(reasonConflict, err.Error()))
		return managed.ExternalObservation{}, err
	}

	var again time.Duration
	if e.now, again = e.steady(reconcile.Key(mg), twin.Spec.Market, e.now); again > 0 {
		e.requeuer.After(reconcile.Key(mg), again)
	}
	mg.SetConditions(offeringsAvailable(e.now))
	want, err := render(mg, e.now)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	// Not compared for equality: the twin's CRD has defaults of its own.
	same, err := karmada.Covers(twin, want)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	mg.Status.AtProvider.CapacityPlanStatus = *twin.Status.DeepCopy()
	if e.seen.planned(twin) {
		mg.SetConditions(xpv2.Available())
	} else {
		mg.SetConditions(reconcile.NotReady(reasonNotSeen, "Fleet has not planned with this spec yet: it runs against the Karmada API"))
	}
	return managed.ExternalObservation{
		ResourceExists:   true,
		ResourceUpToDate: twin.GetDeletionTimestamp() != nil || same,
	}, nil
}

// Create the twin.
func (e *external) Create(ctx context.Context, mg *v1alpha1.CapacityPlan) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, e.apply(ctx, mg)
}

// Update the twin.
func (e *external) Update(ctx context.Context, mg *v1alpha1.CapacityPlan) (managed.ExternalUpdate, error) {
	return managed.ExternalUpdate{}, e.apply(ctx, mg)
}

func (e *external) apply(ctx context.Context, mg *v1alpha1.CapacityPlan) error {
	// Apply would overwrite a plan that someone else has made since we observed.
	got, err := e.get(ctx, e.conn.Live, mg)
	if err != nil {
		return err
	}
	if got != nil && !reconcile.Ours(got, mg) {
		return reconcile.NotOurs(got, what(mg), "CapacityPlan of a host plane")
	}
	twin, err := render(mg, e.now)
	if err != nil {
		return err
	}
	if err := karmada.Apply(ctx, e.conn.Client, twin); err != nil {
		return errors.Wrap(err, "cannot apply the CapacityPlan in the Karmada API")
	}
	e.pace.wrote(reconcile.Key(mg))
	return nil
}

// render the twin. What a composition writes into the market is ignored.
func render(mg *v1alpha1.CapacityPlan, m fleetv1alpha1.Market) (*fleetv1alpha1.CapacityPlan, error) {
	twin := &fleetv1alpha1.CapacityPlan{
		ObjectMeta: metav1.ObjectMeta{
			Name:        reconcile.ExternalName(mg),
			Annotations: reconcile.OwnerAnnotations(mg),
		},
		Spec: *mg.Spec.ForProvider.CapacityPlanSpec.DeepCopy(),
	}
	twin.Spec.Market = m
	return twin, karmada.Stamp(twin)
}

// Delete the twin, once nobody follows the plan any more.
func (e *external) Delete(ctx context.Context, mg *v1alpha1.CapacityPlan) (managed.ExternalDelete, error) {
	e.requeuer.After(reconcile.Key(mg), e.pollInProgress)
	names, err := reconcile.DrainMembers(ctx, e.kube, mg.GetNamespace(), reconcile.ExternalName(mg))
	if err != nil {
		return managed.ExternalDelete{}, err
	}
	if len(names) > 0 {
		mg.SetConditions(reconcile.DeletionBlocked(reasonMembers, "Waits for Members that drain: "+strings.Join(names, ", ")))
		return managed.ExternalDelete{}, nil
	}
	pools, err := e.followers(ctx, mg)
	if err != nil {
		return managed.ExternalDelete{}, err
	}
	if len(pools) > 0 {
		mg.SetConditions(reconcile.DeletionBlocked(reasonNodePools, "Waits for NodePools that follow the plan: "+strings.Join(pools, ", ")))
		return managed.ExternalDelete{}, nil
	}
	mg.SetConditions(reconcile.DeletionGoesOn())

	twin, err := e.get(ctx, e.conn.Live, mg)
	if err != nil || twin == nil || !reconcile.Ours(twin, mg) {
		return managed.ExternalDelete{}, err
	}
	e.pace.forget(reconcile.Key(mg))
	e.seen.forget(twin.GetUID())
	return managed.ExternalDelete{}, reconcile.Delete(ctx, e.conn.Client, twin, what(mg))
}

// followers are the NodePools whose size comes from the plan. They are asked
// for, not read from a cache, which may not know the latest.
func (e *external) followers(ctx context.Context, mg *v1alpha1.CapacityPlan) ([]string, error) {
	live := &kinds{live: e.live}
	pools, err := live.pools(ctx, mg.GetNamespace())
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range pools {
		if p.plan == mg.GetName() {
			out = append(out, p.name)
		}
	}
	return out, nil
}
