package capacityreservation

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

const (
	pool     = "platform-shanghai"
	twinName = "platform-sale"
)

var (
	errBoom = errors.New("boom")

	until   = metav1.NewTime(time.Date(2026, 11, 11, 23, 0, 0, 0, time.UTC))
	deleted = metav1.NewTime(time.Date(2026, 11, 11, 12, 0, 0, 0, time.UTC))
)

func reservation(m ...func(*v1alpha1.CapacityReservation)) *v1alpha1.CapacityReservation {
	r := &v1alpha1.CapacityReservation{ObjectMeta: metav1.ObjectMeta{
		Namespace: "platform", Name: "sale", UID: "uid-reservation",
		Annotations: map[string]string{xpmeta.AnnotationKeyExternalName: twinName},
	}}
	r.Spec.ForProvider.CapacityReservationSpec = fleetv1alpha1.CapacityReservationSpec{
		Pool:    pool,
		Amount:  fleetv1alpha1.Amount{Replicas: ptr.To[int32](20)},
		Targets: []fleetv1alpha1.WorkloadTarget{{Namespace: "shop", Kind: "Deployment", Name: "web"}},
		Until:   until,
	}
	for _, f := range m {
		f(r)
	}
	return r
}

func gone(r *v1alpha1.CapacityReservation) { r.DeletionTimestamp = &deleted }

func brings(r *v1alpha1.CapacityReservation) {
	r.Spec.ForProvider.Members = []fleetv1alpha1.PlanMember{{Name: "tke", Tier: 2, Elastic: true, Warm: true}}
	r.Spec.ForProvider.Offerings = []fleetv1alpha1.Offering{{Name: "tke-general", Member: "tke", Min: 1, Max: 3}}
}

func twin(t *testing.T, mg *v1alpha1.CapacityReservation, m ...func(*fleetv1alpha1.CapacityReservation)) *fleetv1alpha1.CapacityReservation {
	t.Helper()
	p, err := render(mg)
	if err != nil {
		t.Fatal(err)
	}
	p.Generation = 2
	p.Status = fleetv1alpha1.CapacityReservationStatus{ObservedGeneration: 2, Phase: fleetv1alpha1.ReservationFilled}
	for _, f := range m {
		f(p)
	}
	return p
}

func unknownKind(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
	return &meta.NoKindMatchError{}
}

func boom(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errBoom
}

func newClient(t *testing.T, host []client.Object, kf interceptor.Funcs, objs ...client.Object) *external {
	t.Helper()
	ks, err := karmada.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	hs := runtime.NewScheme()
	if err := apis.AddToScheme(hs); err != nil {
		t.Fatal(err)
	}
	kc := fake.NewClientBuilder().WithScheme(ks).WithObjects(objs...).WithInterceptorFuncs(kf).Build()
	hc := fake.NewClientBuilder().WithScheme(hs).WithObjects(host...).Build()
	return &external{connector: &connector{kube: hc, requeuer: &karmada.Requeuer{}, pollInProgress: time.Second}, conn: karmada.NewConn(kc)}
}

func TestConnect(t *testing.T) {
	c := &connector{connect: func(context.Context, resource.ModernManaged) (*karmada.Conn, error) { return nil, errBoom }}
	if _, err := c.Connect(context.Background(), reservation()); !errors.Is(err, errBoom) {
		t.Errorf("Connect(...): want %v, got %v", errBoom, err)
	}
	c.connect = func(context.Context, resource.ModernManaged) (*karmada.Conn, error) {
		return karmada.NewConn(fake.NewClientBuilder().Build()), nil
	}
	if _, err := c.Connect(context.Background(), reservation()); err != nil {
		t.Errorf("Connect(...): %v", err)
	}
}

func TestObserve(t *testing.T) {
	type want struct {
		o     managed.ExternalObservation
		err   error
		ready xpv2.ConditionReason
		phase fleetv1alpha1.ReservationPhase
	}
	cases := map[string]struct {
		reason string
		mg     *v1alpha1.CapacityReservation
		objs   []client.Object
		funcs  interceptor.Funcs
		want   want
	}{
		"Absent": {
			reason: "A twin that does not exist is created",
			mg:     reservation(),
			want:   want{},
		},
		"Seen": {
			reason: "Once fleet has planned with this spec it is Available, and carries the twin's status",
			mg:     reservation(),
			objs:   []client.Object{twin(t, reservation())},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: xpv2.ReasonAvailable, phase: "Filled"},
		},
		"NotSeen": {
			reason: "Until then it waits for fleet",
			mg:     reservation(),
			objs:   []client.Object{twin(t, reservation(), func(p *fleetv1alpha1.CapacityReservation) { p.Generation = 3 })},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: reasonNotSeen, phase: "Filled"},
		},
		"Extended": {
			reason: "A later end is applied",
			mg: reservation(func(r *v1alpha1.CapacityReservation) {
				r.Spec.ForProvider.Until = metav1.NewTime(until.Add(time.Hour))
			}),
			objs: []client.Object{twin(t, reservation())},
			want: want{o: managed.ExternalObservation{ResourceExists: true}, ready: xpv2.ReasonAvailable, phase: "Filled"},
		},
		"FieldRemoved": {
			reason: "A field that is no longer set is applied too",
			mg:     reservation(),
			objs:   []client.Object{twin(t, reservation(brings))},
			want:   want{o: managed.ExternalObservation{ResourceExists: true}, ready: xpv2.ReasonAvailable, phase: "Filled"},
		},
		"Imported": {
			reason: "A twin of someone else may be observed",
			mg: reservation(func(r *v1alpha1.CapacityReservation) {
				r.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionObserve})
			}),
			objs: []client.Object{twin(t, reservation(), func(p *fleetv1alpha1.CapacityReservation) {
				p.Annotations[karmada.AnnotationUID] = "other"
			})},
			want: want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: xpv2.ReasonAvailable, phase: "Filled"},
		},
		"Conflict": {
			reason: "A twin of someone else is left alone",
			mg:     reservation(),
			objs: []client.Object{twin(t, reservation(), func(p *fleetv1alpha1.CapacityReservation) {
				p.Annotations = map[string]string{karmada.AnnotationUID: "other", karmada.AnnotationManagedBy: "a/b"}
			})},
			want: want{err: cmpopts.AnyError, ready: reasonConflict},
		},
		"Deleted": {
			reason: "While it is deleted the twin's status is still told",
			mg:     reservation(gone),
			objs:   []client.Object{twin(t, reservation())},
			want:   want{o: managed.ExternalObservation{ResourceExists: true}, phase: "Filled"},
		},
		"DeletedNotOurs": {
			reason: "When it is deleted, a twin of someone else counts as absent",
			mg:     reservation(gone),
			objs:   []client.Object{twin(t, reservation(), func(p *fleetv1alpha1.CapacityReservation) { p.Annotations = nil })},
			want:   want{},
		},
		"NoFleet": {
			reason: "Without the CRD the condition says so, and nothing is created",
			mg:     reservation(),
			funcs:  interceptor.Funcs{Get: unknownKind},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: reasonNoFleet},
		},
		"NoFleetDeleted": {
			reason: "Without the CRD there is nothing to delete",
			mg:     reservation(gone),
			funcs:  interceptor.Funcs{Get: unknownKind},
			want:   want{},
		},
		"Error": {
			reason: "Other errors prove nothing",
			mg:     reservation(),
			funcs:  interceptor.Funcs{Get: boom},
			want:   want{err: errBoom},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newClient(t, nil, tc.funcs, tc.objs...)
			o, err := e.Observe(context.Background(), tc.mg)
			got := want{o: o, err: err, ready: tc.mg.GetCondition(xpv2.TypeReady).Reason, phase: tc.mg.Status.AtProvider.Phase}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nObserve(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestApply(t *testing.T) {
	ctx := context.Background()
	e := newClient(t, nil, interceptor.Funcs{})
	mg := reservation()
	if _, err := e.Create(ctx, mg); err != nil {
		t.Fatal(err)
	}
	brings(mg)
	if _, err := e.Update(ctx, mg); err != nil {
		t.Fatal(err)
	}
	got := &fleetv1alpha1.CapacityReservation{}
	if err := e.conn.Live.Get(ctx, types.NamespacedName{Name: twinName}, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mg.Spec.ForProvider.CapacityReservationSpec, got.Spec); diff != "" {
		t.Errorf("Update(...): the twin's spec: -want, +got:\n%s", diff)
	}
	o, err := e.Observe(ctx, mg)
	if err != nil || !o.ResourceUpToDate {
		t.Errorf("Observe(...) after Update(...): want up to date, got %+v, %v", o, err)
	}

	e = newClient(t, nil, interceptor.Funcs{}, twin(t, mg, func(p *fleetv1alpha1.CapacityReservation) { p.Annotations = nil }))
	if _, err := e.Update(ctx, reservation()); err == nil {
		t.Error("Update(...): a twin of someone else was overwritten")
	}
}

func TestDelete(t *testing.T) {
	member := func(external, pool string) client.Object {
		m := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "sale-tke.burst", Annotations: map[string]string{xpmeta.AnnotationKeyExternalName: external}}}
		m.Spec.ForProvider.Pool = pool
		return m
	}
	inUse := func(p *fleetv1alpha1.CapacityReservation) { p.Status.MembersInUse = []string{"tke"} }
	cluster := &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "tke"}}

	type want struct {
		err     error
		blocked xpv2.ConditionReason
		gone    bool
		until   time.Time
		warm    bool
	}
	cases := map[string]struct {
		reason  string
		mg      *v1alpha1.CapacityReservation
		host    []client.Object
		karmada []client.Object
		funcs   interceptor.Funcs
		want    want
	}{
		"Alone": {
			reason:  "One that brought nothing just goes",
			mg:      reservation(gone),
			karmada: []client.Object{twin(t, reservation())},
			want:    want{blocked: "GoesOn", gone: true},
		},
		"Member": {
			reason:  "While a member that it brought is there, it ends and stays known to the fleet",
			mg:      reservation(gone, brings),
			host:    []client.Object{member("tke", pool)},
			karmada: []client.Object{twin(t, reservation(brings))},
			want:    want{blocked: reasonMembers, until: deleted.Time},
		},
		"Ended": {
			reason: "One that ended before keeps its end",
			mg: reservation(gone, brings, func(r *v1alpha1.CapacityReservation) {
				r.Spec.ForProvider.Until = metav1.NewTime(deleted.Add(-time.Hour))
			}),
			host:    []client.Object{member("tke", pool)},
			karmada: []client.Object{twin(t, reservation(brings))},
			want:    want{blocked: reasonMembers, until: deleted.Add(-time.Hour)},
		},
		"InUse": {
			reason:  "Nodes that the fleet sees count, also without a Member",
			mg:      reservation(gone, brings),
			karmada: []client.Object{twin(t, reservation(brings), inUse), cluster},
			want:    want{blocked: reasonMembers, until: deleted.Time},
		},
		"Left": {
			reason:  "What the fleet said of a cluster that Karmada no longer knows counts no more",
			mg:      reservation(gone, brings),
			host:    []client.Object{member("other", pool)},
			karmada: []client.Object{twin(t, reservation(brings), inUse)},
			want:    want{blocked: "GoesOn", gone: true},
		},
		"OtherPool": {
			reason:  "A member of that name in another pool is another",
			mg:      reservation(gone, brings),
			host:    []client.Object{member("tke", "another-pool")},
			karmada: []client.Object{twin(t, reservation(brings))},
			want:    want{blocked: "GoesOn", gone: true},
		},
		"NotOurs": {
			reason:  "A twin of someone else stays",
			mg:      reservation(gone),
			karmada: []client.Object{twin(t, reservation(), func(p *fleetv1alpha1.CapacityReservation) { p.Annotations = nil })},
			want:    want{until: until.Time},
		},
		"Error": {
			reason:  "Errors prove nothing",
			mg:      reservation(gone),
			karmada: []client.Object{twin(t, reservation())},
			funcs: interceptor.Funcs{Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
				return errBoom
			}},
			want: want{err: errBoom, blocked: "GoesOn", until: until.Time},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			e := newClient(t, tc.host, tc.funcs, tc.karmada...)
			_, err := e.Delete(ctx, tc.mg)
			left := &fleetv1alpha1.CapacityReservation{}
			absent := kerrors.IsNotFound(e.conn.Live.Get(ctx, types.NamespacedName{Name: twinName}, left))
			got := want{err: err, blocked: tc.mg.GetCondition(reconcile.TypeDeletionBlocked).Reason, gone: absent}
			if !absent {
				got.until = left.Spec.Until.UTC()
				for _, m := range left.Spec.Members {
					got.warm = got.warm || m.Warm
				}
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nDelete(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
