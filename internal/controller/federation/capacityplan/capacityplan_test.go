package capacityplan

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

const pool = "platform-shanghai"

var errBoom = errors.New("boom")

func plan(m ...func(*v1alpha1.CapacityPlan)) *v1alpha1.CapacityPlan {
	p := &v1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{
		Namespace: "platform", Name: "shanghai", UID: "uid-plan",
		Annotations: map[string]string{xpmeta.AnnotationKeyExternalName: pool},
	}}
	p.Spec.ForProvider.Members = []fleetv1alpha1.PlanMember{{Name: "idc-a"}}
	for _, f := range m {
		f(p)
	}
	return p
}

func deleted(p *v1alpha1.CapacityPlan) {
	now := metav1.Now()
	p.DeletionTimestamp = &now
}

func twin(t *testing.T, m ...func(*fleetv1alpha1.CapacityPlan)) *fleetv1alpha1.CapacityPlan {
	t.Helper()
	p, err := render(plan(), fleetv1alpha1.Market{})
	if err != nil {
		t.Fatal(err)
	}
	p.Generation = 2
	p.Status = fleetv1alpha1.CapacityPlanStatus{ObservedGeneration: 2, Phase: fleetv1alpha1.PhaseHome}
	for _, f := range m {
		f(p)
	}
	return p
}

func schemes(t *testing.T) (*runtime.Scheme, *runtime.Scheme) {
	t.Helper()
	k, err := karmada.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	h := runtime.NewScheme()
	if err := apis.AddToScheme(h); err != nil {
		t.Fatal(err)
	}
	return k, h
}

func newExternal(t *testing.T, host []client.Object, kf interceptor.Funcs, objs ...client.Object) *external {
	t.Helper()
	ks, hs := schemes(t)
	kc := fake.NewClientBuilder().WithScheme(ks).WithObjects(objs...).WithInterceptorFuncs(kf).Build()
	hc := fake.NewClientBuilder().WithScheme(hs).WithObjects(host...).Build()
	c := &connector{
		kube: hc, live: hc, requeuer: &karmada.Requeuer{}, pollInProgress: time.Second,
		kinds: &kinds{cached: hc, live: hc}, pace: &pace{now: time.Now}, seen: &seen{},
	}
	return &external{connector: c, conn: karmada.NewConn(kc)}
}

func TestConnect(t *testing.T) {
	c := &connector{connect: func(context.Context, resource.ModernManaged) (*karmada.Conn, error) { return nil, errBoom }}
	if _, err := c.Connect(context.Background(), plan()); !errors.Is(err, errBoom) {
		t.Errorf("Connect(...): want %v, got %v", errBoom, err)
	}
	c.connect = func(context.Context, resource.ModernManaged) (*karmada.Conn, error) {
		return karmada.NewConn(fake.NewClientBuilder().Build()), nil
	}
	if _, err := c.Connect(context.Background(), plan()); err != nil {
		t.Errorf("Connect(...): %v", err)
	}
}

func TestObserve(t *testing.T) {
	type want struct {
		o     managed.ExternalObservation
		err   error
		ready xpv2.ConditionReason
		phase fleetv1alpha1.PlanPhase
	}
	cases := map[string]struct {
		reason string
		mg     *v1alpha1.CapacityPlan
		objs   []client.Object
		funcs  interceptor.Funcs
		want   want
	}{
		"Absent": {
			reason: "A twin that does not exist is created",
			mg:     plan(),
			want:   want{},
		},
		"Seen": {
			reason: "Once fleet has planned with this spec the plan is Available, and carries its status",
			mg:     plan(),
			objs:   []client.Object{twin(t)},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: xpv2.ReasonAvailable, phase: fleetv1alpha1.PhaseHome},
		},
		"NotSeen": {
			reason: "Until then it waits for fleet",
			mg:     plan(),
			objs:   []client.Object{twin(t, func(p *fleetv1alpha1.CapacityPlan) { p.Generation = 3 })},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: reasonNotSeen, phase: fleetv1alpha1.PhaseHome},
		},
		"Changed": {
			reason: "A changed spec is applied",
			mg:     plan(func(p *v1alpha1.CapacityPlan) { p.Spec.ForProvider.Members[0].Tier = 1 }),
			objs:   []client.Object{twin(t)},
			want:   want{o: managed.ExternalObservation{ResourceExists: true}, ready: xpv2.ReasonAvailable, phase: fleetv1alpha1.PhaseHome},
		},
		"FieldRemoved": {
			reason: "A field that is no longer set is applied too",
			mg:     plan(),
			objs: []client.Object{func() client.Object {
				n := int32(3)
				p, err := render(plan(func(p *v1alpha1.CapacityPlan) { p.Spec.ForProvider.Limits.Nodes = &n }), fleetv1alpha1.Market{})
				if err != nil {
					t.Fatal(err)
				}
				return p
			}()},
			want: want{o: managed.ExternalObservation{ResourceExists: true}, ready: xpv2.ReasonAvailable},
		},
		"Conflict": {
			reason: "A twin of someone else is left alone",
			mg:     plan(),
			objs: []client.Object{twin(t, func(p *fleetv1alpha1.CapacityPlan) {
				p.Annotations = map[string]string{karmada.AnnotationUID: "other", karmada.AnnotationManagedBy: "a/b"}
			})},
			want: want{err: cmpopts.AnyError, ready: reasonConflict},
		},
		"DeletedNotOurs": {
			reason: "When it is deleted, a twin of someone else counts as absent",
			mg:     plan(deleted),
			objs:   []client.Object{twin(t, func(p *fleetv1alpha1.CapacityPlan) { p.Annotations = nil })},
			want:   want{},
		},
		"NoFleet": {
			reason: "Without the CRD the condition says so, and nothing is created",
			mg:     plan(),
			funcs: interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return &meta.NoKindMatchError{}
			}},
			want: want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: reasonNoFleet},
		},
		"NoFleetDeleted": {
			reason: "Without the CRD there is nothing to delete",
			mg:     plan(deleted),
			funcs: interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return &meta.NoKindMatchError{}
			}},
			want: want{},
		},
		"Error": {
			reason: "Other errors prove nothing",
			mg:     plan(),
			funcs: interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return errBoom
			}},
			want: want{err: errBoom},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newExternal(t, nil, tc.funcs, tc.objs...)
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
	e := newExternal(t, nil, interceptor.Funcs{})
	mg := plan()
	if _, err := e.Create(ctx, mg); err != nil {
		t.Fatal(err)
	}
	mg.Spec.ForProvider.Members = append(mg.Spec.ForProvider.Members, fleetv1alpha1.PlanMember{Name: "ack", Tier: 1, Elastic: true})
	if o, err := e.Observe(ctx, mg); err != nil || o.ResourceUpToDate {
		t.Fatalf("Observe(...): want not up to date, got %+v, %v", o, err)
	}
	if _, err := e.Update(ctx, mg); err != nil {
		t.Fatal(err)
	}
	got := &fleetv1alpha1.CapacityPlan{}
	if err := e.conn.Live.Get(ctx, types.NamespacedName{Name: pool}, got); err != nil {
		t.Fatal(err)
	}
	want := mg.Spec.ForProvider.CapacityPlanSpec
	want.Market.Members = []fleetv1alpha1.MemberMarket{{Name: "ack"}}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("Update(...): the twin's spec: -want, +got:\n%s", diff)
	}
	o, err := e.Observe(ctx, mg)
	if err != nil || !o.ResourceUpToDate {
		t.Errorf("Observe(...) after Update(...): want up to date, got %+v, %v", o, err)
	}

	e = newExternal(t, nil, interceptor.Funcs{}, twin(t, func(p *fleetv1alpha1.CapacityPlan) { p.Annotations = nil }))
	if _, err := e.Update(ctx, plan()); err == nil {
		t.Error("Update(...): a twin of someone else was overwritten")
	}
}

func TestDelete(t *testing.T) {
	member := func(leave v1alpha1.LeavePolicy) client.Object {
		m := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "ack"}}
		m.Spec.ForProvider.Pool = pool
		m.Spec.ForProvider.OnLeave = leave
		return m
	}
	nodePool := func(ref string) client.Object {
		n := &ackv1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "general"}}
		n.Spec.ForProvider.SizeFrom = &elasticv1alpha1.SizeFrom{CapacityPlanRef: corev1.LocalObjectReference{Name: ref}}
		return n
	}
	type want struct {
		err     error
		blocked xpv2.ConditionReason
		gone    bool
	}
	cases := map[string]struct {
		reason string
		host   []client.Object
		twin   *fleetv1alpha1.CapacityPlan
		want   want
	}{
		"Drains": {
			reason: "While a Member drains, fleet needs the plan",
			host:   []client.Object{member(v1alpha1.LeaveDrain)},
			twin:   twin(t),
			want:   want{blocked: reasonMembers},
		},
		"NodePools": {
			reason: "A NodePool that follows the plan goes first",
			host:   []client.Object{member(v1alpha1.LeaveRetain), nodePool("shanghai")},
			twin:   twin(t),
			want:   want{blocked: reasonNodePools},
		},
		"Free": {
			reason: "When nobody needs it, it goes",
			host:   []client.Object{member(v1alpha1.LeaveRetain), nodePool("other")},
			twin:   twin(t),
			want:   want{blocked: "GoesOn", gone: true},
		},
		"NotOurs": {
			reason: "A twin of someone else stays",
			twin:   twin(t, func(p *fleetv1alpha1.CapacityPlan) { p.Annotations = nil }),
			want:   want{blocked: "GoesOn"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newExternal(t, tc.host, interceptor.Funcs{}, tc.twin)
			mg := plan(deleted)
			_, err := e.Delete(context.Background(), mg)
			gone := kerrors.IsNotFound(e.conn.Live.Get(context.Background(), types.NamespacedName{Name: pool}, &fleetv1alpha1.CapacityPlan{}))
			got := want{err: err, blocked: mg.GetCondition(reconcile.TypeDeletionBlocked).Reason, gone: gone}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nDelete(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
