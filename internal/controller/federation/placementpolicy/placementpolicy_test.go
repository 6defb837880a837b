package placementpolicy

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"github.com/karmada-io/karmada/pkg/util/validation"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

const pool = "platform-shanghai"

var (
	errBoom = errors.New("boom")
	update  = flag.Bool("update", false, "write the golden files")
)

func placement(m ...func(*v1alpha1.PlacementPolicy)) *v1alpha1.PlacementPolicy {
	p := &v1alpha1.PlacementPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: "platform", Name: "shanghai", UID: "uid-policy",
		Annotations: map[string]string{xpmeta.AnnotationKeyExternalName: pool},
	}}
	p.Spec.ForProvider = v1alpha1.PlacementPolicyParameters{
		Pool:       pool,
		Mode:       v1alpha1.ModeSimulated,
		Workloads:  metav1.LabelSelector{MatchLabels: map[string]string{"regionpool.io/pool": "shanghai"}},
		Kinds:      []v1alpha1.KindSelector{{APIVersion: "apps/v1", Kind: "Deployment"}, {APIVersion: "apps/v1", Kind: "StatefulSet"}},
		Companions: []v1alpha1.KindSelector{{APIVersion: "v1", Kind: "Service"}, {APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}},
		Tiers: []v1alpha1.PlacementTier{
			{Name: "self-built", Members: []string{"idc-a", "idc-b"}},
			{Name: "elastic", Members: []string{"ack-shanghai"}},
		},
	}
	for _, f := range m {
		f(p)
	}
	return p
}

func overflow(p *v1alpha1.PlacementPolicy)     { p.Spec.ForProvider.Mode = v1alpha1.ModeOverflow }
func noCompanions(p *v1alpha1.PlacementPolicy) { p.Spec.ForProvider.Companions = nil }
func deleted(p *v1alpha1.PlacementPolicy) {
	now := metav1.Now()
	p.DeletionTimestamp = &now
}

func rendered(t *testing.T, mg *v1alpha1.PlacementPolicy) []client.Object {
	t.Helper()
	cpps, err := policies(mg)
	if err != nil {
		t.Fatal(err)
	}
	var out []client.Object
	for _, cpp := range cpps {
		xpmeta.AddLabels(cpp, map[string]string{policyv1alpha1.ClusterPropagationPolicyPermanentIDLabel: "id-" + cpp.GetName()})
		out = append(out, cpp)
	}
	return out
}

func newExternal(t *testing.T, host []client.Object, kf interceptor.Funcs, objs ...client.Object) *external {
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

func TestPolicies(t *testing.T) {
	cases := map[string]struct {
		reason string
		mg     *v1alpha1.PlacementPolicy
	}{
		"simulated": {reason: "Fleet's scheduler divides the replicas over all members", mg: placement()},
		"overflow":  {reason: "Karmada's scheduler fills tier by tier", mg: placement(overflow)},
		"overflow-unnamed": {
			reason: "Tiers whose names Karmada does not accept are numbered, and one tier overflows nowhere",
			mg: placement(overflow, noCompanions, func(p *v1alpha1.PlacementPolicy) {
				p.Spec.ForProvider.Tiers = []v1alpha1.PlacementTier{{Name: "a name with spaces", Members: []string{"idc-a"}}}
			}),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cpps, err := policies(tc.mg)
			if err != nil {
				t.Fatal(err)
			}
			var buf bytes.Buffer
			for _, cpp := range cpps {
				if errs := validation.ValidatePropagationSpec(cpp.Spec, ""); len(errs) > 0 {
					t.Errorf("\nReason: %s\nKarmada refuses the policy: %v", tc.reason, errs)
				}
				b, err := yaml.Marshal(cpp)
				if err != nil {
					t.Fatal(err)
				}
				buf.WriteString("---\n")
				buf.Write(b)
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, buf.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), buf.String()); diff != "" {
				t.Errorf("\nReason: %s\npolicies(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestConnect(t *testing.T) {
	c := &connector{connect: func(context.Context, resource.ModernManaged) (*karmada.Conn, error) { return nil, errBoom }}
	if _, err := c.Connect(context.Background(), placement()); !errors.Is(err, errBoom) {
		t.Errorf("Connect(...): want %v, got %v", errBoom, err)
	}
}

func TestObserve(t *testing.T) {
	type want struct {
		o        managed.ExternalObservation
		err      error
		ready    xpv2.ConditionReason
		bindings int32
	}
	exists := managed.ExternalObservation{ResourceExists: true}
	good := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}
	binding := func(name, id string) client.Object {
		return &workv1alpha2.ResourceBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{policyv1alpha1.ClusterPropagationPolicyPermanentIDLabel: id}}}
	}
	cases := map[string]struct {
		reason string
		mg     *v1alpha1.PlacementPolicy
		objs   []client.Object
		funcs  interceptor.Funcs
		want   want
	}{
		"Absent": {
			reason: "A policy that does not exist is created",
			mg:     placement(),
		},
		"UpToDate": {
			reason: "What is as it should be is Available, and the bindings that follow the policy are counted",
			mg:     placement(),
			objs:   append(rendered(t, placement()), binding("a", "id-"+pool), binding("b", "id-"+pool), binding("c", "other")),
			want:   want{o: good, ready: xpv2.ReasonAvailable, bindings: 2},
		},
		"TierChanged": {
			reason: "A changed tier is applied",
			mg:     placement(overflow, func(p *v1alpha1.PlacementPolicy) { p.Spec.ForProvider.Tiers[1].Members = []string{"ack-2"} }),
			objs:   rendered(t, placement(overflow)),
			want:   want{o: exists, ready: xpv2.ReasonAvailable},
		},
		"TierChangedSimulated": {
			reason: "Fleet knows the tiers from the plan: the policy selects the pool's members by label and stays as it is",
			mg:     placement(func(p *v1alpha1.PlacementPolicy) { p.Spec.ForProvider.Tiers[1].Members = []string{"ack-2"} }),
			objs:   rendered(t, placement()),
			want:   want{o: good, ready: xpv2.ReasonAvailable},
		},
		"SelectorWidened": {
			reason: "A label that is no longer asked for is applied",
			mg:     placement(),
			objs: rendered(t, placement(func(p *v1alpha1.PlacementPolicy) {
				p.Spec.ForProvider.Workloads.MatchLabels = map[string]string{"regionpool.io/pool": "shanghai", "a": "b"}
			})),
			want: want{o: exists, ready: xpv2.ReasonAvailable},
		},
		"CompanionsMissing": {
			reason: "A missing second policy is applied",
			mg:     placement(),
			objs:   rendered(t, placement(noCompanions)),
			want:   want{o: exists, ready: xpv2.ReasonAvailable},
		},
		"CompanionsUnwanted": {
			reason: "A second policy that is not wanted is removed",
			mg:     placement(noCompanions),
			objs:   rendered(t, placement()),
			want:   want{o: exists, ready: xpv2.ReasonAvailable},
		},
		"Conflict": {
			reason: "A policy of someone else is left alone, and the condition says so",
			mg:     placement(),
			objs:   rendered(t, placement(func(p *v1alpha1.PlacementPolicy) { p.UID = "other" })),
			want:   want{err: cmpopts.AnyError, ready: reasonConflict},
		},
		"DeletedNotOurs": {
			reason: "When it is deleted, a policy of someone else counts as absent",
			mg:     placement(deleted),
			objs:   rendered(t, placement(func(p *v1alpha1.PlacementPolicy) { p.UID = "other" })),
		},
		"Deleted": {
			reason: "When it is deleted, either policy counts",
			mg:     placement(deleted),
			objs:   rendered(t, placement())[1:],
			want:   want{o: exists},
		},
		"Error": {
			reason: "Errors prove nothing",
			mg:     placement(),
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
			got := want{o: o, err: err, ready: tc.mg.GetCondition(xpv2.TypeReady).Reason, bindings: tc.mg.Status.AtProvider.Bindings}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nObserve(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func names(t *testing.T, e *external) []string {
	t.Helper()
	l := &policyv1alpha1.ClusterPropagationPolicyList{}
	if err := e.conn.Live.List(context.Background(), l); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range l.Items {
		out = append(out, i.Name)
	}
	return out
}

func TestApply(t *testing.T) {
	ctx := context.Background()
	e := newExternal(t, nil, interceptor.Funcs{})
	mg := placement()
	if _, err := e.Create(ctx, mg); err != nil {
		t.Fatal(err)
	}
	if o, err := e.Observe(ctx, mg); err != nil || !o.ResourceUpToDate {
		t.Fatalf("Observe(...) after Create(...): want up to date, got %+v, %v", o, err)
	}

	// A change of mode changes the scheduler, which Karmada does not allow: the
	// policy is removed, and made again.
	overflow(mg)
	if _, err := e.Update(ctx, mg); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{companionsName(pool)}, names(t, e)); diff != "" {
		t.Errorf("Update(...) to another scheduler: -want, +got:\n%s", diff)
	}
	if o, err := e.Observe(ctx, mg); err != nil || o.ResourceExists {
		t.Fatalf("Observe(...): want absent, got %+v, %v", o, err)
	}
	if _, err := e.Create(ctx, mg); err != nil {
		t.Fatal(err)
	}
	cpp := &policyv1alpha1.ClusterPropagationPolicy{}
	if err := e.conn.Live.Get(ctx, types.NamespacedName{Name: pool}, cpp); err != nil {
		t.Fatal(err)
	}
	if cpp.Spec.SchedulerName != defaultScheduler {
		t.Errorf("Create(...): want scheduler %q, got %q", defaultScheduler, cpp.Spec.SchedulerName)
	}

	noCompanions(mg)
	if _, err := e.Update(ctx, mg); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{pool}, names(t, e)); diff != "" {
		t.Errorf("Update(...) without companions: -want, +got:\n%s", diff)
	}

	other := placement(func(p *v1alpha1.PlacementPolicy) { p.UID = "other" })
	if _, err := e.Update(ctx, other); err == nil {
		t.Error("Update(...): a policy of someone else was overwritten")
	}
}

func TestDelete(t *testing.T) {
	member := func(name string, leave v1alpha1.LeavePolicy) client.Object {
		m := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: name}}
		m.Spec.ForProvider.Pool = pool
		m.Spec.ForProvider.OnLeave = leave
		return m
	}
	type want struct {
		err     error
		reason  xpv2.ConditionReason
		message string
		gone    bool
	}
	cases := map[string]struct {
		reason string
		host   []client.Object
		objs   []client.Object
		want   want
	}{
		"Drains": {
			reason: "While Members drain, the policy says where their replicas may go",
			host:   []client.Object{member("b", v1alpha1.LeaveDrain), member("a", v1alpha1.LeaveDrain), member("c", v1alpha1.LeaveRetain)},
			objs:   rendered(t, placement()),
			want:   want{reason: reasonMembers, message: "Waits for Members that drain: a, b"},
		},
		"Free": {
			reason: "Members that retain their replicas do not hold it",
			host:   []client.Object{member("c", v1alpha1.LeaveRetain)},
			objs:   rendered(t, placement()),
			want:   want{reason: "GoesOn", gone: true},
		},
		"NotOurs": {
			reason: "A policy of someone else stays",
			objs:   rendered(t, placement(func(p *v1alpha1.PlacementPolicy) { p.UID = "other" })),
			want:   want{reason: "GoesOn"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newExternal(t, tc.host, interceptor.Funcs{}, tc.objs...)
			mg := placement(deleted)
			_, err := e.Delete(context.Background(), mg)
			c := mg.GetCondition(reconcile.TypeDeletionBlocked)
			gone := kerrors.IsNotFound(e.conn.Live.Get(context.Background(), types.NamespacedName{Name: pool}, &policyv1alpha1.ClusterPropagationPolicy{}))
			got := want{err: err, reason: c.Reason, message: c.Message, gone: gone}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nDelete(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
