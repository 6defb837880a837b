// Package capacityreservation keeps the two halves of a CapacityReservation
// alike: the spec goes from the host plane to the workload plane, the status
// comes back.
package capacityreservation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
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
	reasonMembers  xpv2.ConditionReason = "WaitsForMembers"
	reasonConflict xpv2.ConditionReason = "Conflict"
	reasonNoFleet  xpv2.ConditionReason = "FleetNotInstalled"
	reasonNotSeen  xpv2.ConditionReason = "WaitsForFleet"
)

// Setup adds a controller of CapacityReservations to the manager.
func Setup(mgr ctrl.Manager, o controller.Options, fo reconcile.Options) error {
	c := &connector{kube: mgr.GetClient(), connect: fo.Connect, requeuer: fo.Requeuer, pollInProgress: fo.PollInProgress}
	return reconcile.Setup(mgr, o, fo, &v1alpha1.CapacityReservation{}, &v1alpha1.CapacityReservationList{}, v1alpha1.CapacityReservationGroupVersionKind,
		managed.WithTypedExternalConnector(c),
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&v1alpha1.Member{}, reconcile.Waiting(mgr.GetClient(), &v1alpha1.CapacityReservationList{}), builder.WithPredicates(reconcile.Deleted()))
		})
}

// connector makes external clients of CapacityReservations.
type connector struct {
	kube           client.Reader
	connect        karmada.ConnectFn
	requeuer       *karmada.Requeuer
	pollInProgress time.Duration
}

// Connect to the Karmada API of a CapacityReservation.
func (c *connector) Connect(ctx context.Context, mg *v1alpha1.CapacityReservation) (managed.TypedExternalClient[*v1alpha1.CapacityReservation], error) {
	conn, err := c.connect(ctx, mg)
	if err != nil {
		return nil, err
	}
	e := &external{connector: c, conn: conn}
	err = conn.WatchCapacityReservations(ctx)
	if meta.IsNoMatchError(err) {
		e.noFleet = true
		return e, nil
	}
	if err != nil {
		return nil, errors.New("cannot watch CapacityReservations in the Karmada API: " + karmada.Reason(err))
	}
	return e, nil
}

// external keeps the twin of a CapacityReservation.
type external struct {
	*connector
	conn *karmada.Conn
	// noFleet means that the CRD is not installed.
	noFleet bool
}

// Disconnect does nothing: the connection is shared.
func (e *external) Disconnect(context.Context) error { return nil }

// what the twin is, in errors.
func what(mg *v1alpha1.CapacityReservation) string {
	return fmt.Sprintf("CapacityReservation %q in the Karmada API", reconcile.ExternalName(mg))
}

// get the twin, or nil when it is proved absent.
func (e *external) get(ctx context.Context, r karmada.Getter, mg *v1alpha1.CapacityReservation) (*fleetv1alpha1.CapacityReservation, error) {
	return reconcile.Get[fleetv1alpha1.CapacityReservation](ctx, r, reconcile.ExternalName(mg), what(mg))
}

// Observe the twin.
func (e *external) Observe(ctx context.Context, mg *v1alpha1.CapacityReservation) (managed.ExternalObservation, error) {
	var twin *fleetv1alpha1.CapacityReservation
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
		if twin == nil || !reconcile.Ours(twin, mg) {
			return managed.ExternalObservation{}, nil
		}
		mg.Status.AtProvider.CapacityReservationStatus = *twin.Status.DeepCopy()
		return managed.ExternalObservation{ResourceExists: true}, nil
	}
	if e.noFleet {
		// Nothing to create it in: it is tried again with every poll.
		mg.SetConditions(reconcile.NotReady(reasonNoFleet, "The Karmada API has no CapacityReservations: install fleet there"))
		return managed.ExternalObservation{ResourceExists: !reconcile.ObserveOnly(mg), ResourceUpToDate: true}, nil
	}
	if twin == nil {
		return managed.ExternalObservation{}, nil
	}
	if !reconcile.Ours(twin, mg) && !reconcile.ObserveOnly(mg) {
		err := reconcile.NotOurs(twin, what(mg), "CapacityReservation of a host plane")
		mg.SetConditions(reconcile.NotReady(reasonConflict, err.Error()))
		return managed.ExternalObservation{}, err
	}

	want, err := render(mg)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	// Not compared for equality: the twin's CRD has defaults of its own.
	same, err := karmada.Covers(twin, want)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	mg.Status.AtProvider.CapacityReservationStatus = *twin.Status.DeepCopy()
	if twin.Status.ObservedGeneration == twin.GetGeneration() {
		mg.SetConditions(xpv2.Available())
	} else {
		mg.SetConditions(reconcile.NotReady(reasonNotSeen, "Fleet has not planned with this spec yet: it runs against the Karmada API"))
	}
	return managed.ExternalObservation{
		ResourceExists:   true,
		ResourceUpToDate: twin.GetDeletionTimestamp() != nil || same || reconcile.ObserveOnly(mg),
	}, nil
}

// Create the twin.
func (e *external) Create(ctx context.Context, mg *v1alpha1.CapacityReservation) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, e.apply(ctx, mg)
}

// Update the twin.
func (e *external) Update(ctx context.Context, mg *v1alpha1.CapacityReservation) (managed.ExternalUpdate, error) {
	return managed.ExternalUpdate{}, e.apply(ctx, mg)
}

func (e *external) apply(ctx context.Context, mg *v1alpha1.CapacityReservation) error {
	// Apply would overwrite a reservation that someone else has made since we
	// observed.
	got, err := e.get(ctx, e.conn.Live, mg)
	if err != nil {
		return err
	}
	if got != nil && !reconcile.Ours(got, mg) {
		return reconcile.NotOurs(got, what(mg), "CapacityReservation of a host plane")
	}
	twin, err := render(mg)
	if err != nil {
		return err
	}
	return errors.Wrap(karmada.Apply(ctx, e.conn.Client, twin), "cannot apply the CapacityReservation in the Karmada API")
}

// render the twin. One that is deleted ends there and then, and keeps none of
// the members that it brought.
func render(mg *v1alpha1.CapacityReservation) (*fleetv1alpha1.CapacityReservation, error) {
	spec := mg.Spec.ForProvider.CapacityReservationSpec.DeepCopy()
	// What the clouds say of its offerings is in the plan of the pool.
	spec.Market = fleetv1alpha1.Market{}
	if t := mg.GetDeletionTimestamp(); t != nil {
		if t.Before(&spec.Until) {
			spec.Until = *t
		}
		for i := range spec.Members {
			spec.Members[i].Warm = false
		}
		for i := range spec.Offerings {
			spec.Offerings[i].Min = 0
		}
	}
	twin := &fleetv1alpha1.CapacityReservation{
		ObjectMeta: metav1.ObjectMeta{
			Name:        reconcile.ExternalName(mg),
			Annotations: reconcile.OwnerAnnotations(mg),
		},
		Spec: *spec,
	}
	return twin, karmada.Stamp(twin)
}

// Delete the twin. While members that it brought are still there it only ends:
// without it the fleet would not know them, nor move away what runs on them.
func (e *external) Delete(ctx context.Context, mg *v1alpha1.CapacityReservation) (managed.ExternalDelete, error) {
	e.requeuer.After(reconcile.Key(mg), e.pollInProgress)
	twin, err := e.get(ctx, e.conn.Live, mg)
	if err != nil || twin == nil || !reconcile.Ours(twin, mg) {
		return managed.ExternalDelete{}, err
	}
	names, err := e.inUse(ctx, mg, twin)
	if err != nil {
		return managed.ExternalDelete{}, err
	}
	if len(names) > 0 {
		mg.SetConditions(reconcile.DeletionBlocked(reasonMembers, "Waits for members that it brought: "+strings.Join(names, ", ")))
		want, err := render(mg)
		if err != nil {
			return managed.ExternalDelete{}, err
		}
		if same, err := karmada.Covers(twin, want); err != nil || same {
			return managed.ExternalDelete{}, err
		}
		return managed.ExternalDelete{}, errors.Wrap(karmada.Apply(ctx, e.conn.Client, want), "cannot end the CapacityReservation in the Karmada API")
	}
	mg.SetConditions(reconcile.DeletionGoesOn())
	return managed.ExternalDelete{}, reconcile.Delete(ctx, e.conn.Client, twin, what(mg))
}

// inUse returns the sorted names of the members that the reservation brought and
// that have not left: their Member exists, or the fleet sees nodes or replicas of
// them while Karmada still knows them.
func (e *external) inUse(ctx context.Context, mg *v1alpha1.CapacityReservation, twin *fleetv1alpha1.CapacityReservation) ([]string, error) {
	var brought []string
	for _, m := range slices.Concat(twin.Spec.Members, mg.Spec.ForProvider.Members) {
		if !slices.Contains(brought, m.Name) {
			brought = append(brought, m.Name)
		}
	}
	if len(brought) == 0 {
		return nil, nil
	}
	l := &v1alpha1.MemberList{}
	if err := e.kube.List(ctx, l, client.InNamespace(mg.GetNamespace())); err != nil {
		return nil, errors.Wrap(err, "cannot list Members")
	}
	var out []string
	for _, name := range brought {
		if slices.ContainsFunc(l.Items, func(m v1alpha1.Member) bool {
			n := xpmeta.GetExternalName(&m)
			return (n == name || n == "" && m.GetName() == name) && m.Spec.ForProvider.Pool == twin.Spec.Pool
		}) {
			out = append(out, name)
			continue
		}
		if !slices.Contains(twin.Status.MembersInUse, name) {
			continue
		}
		err := e.conn.Live.Get(ctx, types.NamespacedName{Name: name}, &clusterv1alpha1.Cluster{})
		if kerrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, errors.Wrapf(err, "cannot get Karmada Cluster %q", name)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}
