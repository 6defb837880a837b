package lifecycle

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

var (
	now     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	errBoom = errors.New("boom")
)

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := apis.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func cluster(m ...func(*v1alpha1.Cluster)) *v1alpha1.Cluster {
	cr := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "uid"}}
	for _, f := range m {
		f(cr)
	}
	return cr
}

func unknownSince(t time.Time) func(*v1alpha1.Cluster) {
	return func(cr *v1alpha1.Cluster) {
		meta.AddAnnotations(cr, map[string]string{AnnotationCreateUnknown: t.Format(time.RFC3339Nano)})
	}
}

func deleted(cr *v1alpha1.Cluster) {
	at := metav1.NewTime(now)
	cr.DeletionTimestamp, cr.Finalizers = &at, []string{"finalizer.managedresource.crossplane.io"}
}

func TestLook(t *testing.T) {
	const lag = 15 * time.Second
	type want struct {
		verdict Verdict
		name    string
		looks   int
		err     error
	}
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.Cluster
		began  time.Time
		found  []Candidate
		err    error
		want   want
	}{
		"Never": {
			reason: "A resource that no create call was made for is absent, without asking the cloud.",
			cr:     cluster(),
			want:   want{verdict: Absent},
		},
		"Crash": {
			reason: "A process that was killed between the call and writing down the id finds what it made.",
			cr:     cluster(func(cr *v1alpha1.Cluster) { meta.SetExternalCreatePending(cr, now) }),
			found:  []Candidate{{ID: "c1"}},
			want:   want{verdict: Adopted, name: "c1", looks: 1},
		},
		"CrashLag": {
			reason: "The list may not show yet what was made just before the crash.",
			cr:     cluster(func(cr *v1alpha1.Cluster) { meta.SetExternalCreatePending(cr, now.Add(-lag)) }),
			want:   want{verdict: Waiting, looks: 1},
		},
		"CrashOver": {
			reason: "After the lag it is known that nothing was made.",
			cr:     cluster(func(cr *v1alpha1.Cluster) { meta.SetExternalCreatePending(cr, now.Add(-lag-time.Second)) }),
			want:   want{verdict: Absent, looks: 1},
		},
		"CrashAgain": {
			reason: "A crash in the second attempt counts from that attempt, not from the first, whose answer was lost.",
			cr: cluster(unknownSince(now.Add(-time.Hour)), func(cr *v1alpha1.Cluster) {
				meta.SetExternalCreateFailed(cr, now.Add(-time.Hour))
				meta.SetExternalCreatePending(cr, now.Add(-time.Second))
			}),
			want: want{verdict: Waiting, looks: 1},
		},
		"CrashThrottled": {
			reason: "A call that was held back may have been made just before the crash, long after it was announced.",
			cr:     cluster(func(cr *v1alpha1.Cluster) { meta.SetExternalCreatePending(cr, now.Add(-time.Minute)) }),
			began:  now.Add(-time.Second),
			want:   want{verdict: Waiting, looks: 1},
		},
		"LostAnswer": {
			reason: "After a call whose answer was lost the lag is waited for.",
			cr:     cluster(unknownSince(now.Add(-lag + time.Millisecond))),
			want:   want{verdict: Waiting, looks: 1},
		},
		"LostAnswerOver": {
			reason: "After the lag the creation may be repeated.",
			cr:     cluster(unknownSince(now.Add(-lag))),
			want:   want{verdict: Absent, looks: 1},
		},
		"LostAnswerDeleted": {
			reason: "Before a resource is forgotten for good the lag is waited for twice.",
			cr:     cluster(unknownSince(now.Add(-lag)), deleted),
			want:   want{verdict: Waiting, looks: 1},
		},
		"Duplicates": {
			reason: "Of several the oldest is adopted.",
			cr:     cluster(unknownSince(now)),
			found:  []Candidate{{ID: "young", Created: now}, {ID: "old", Created: now.Add(-time.Hour)}},
			want:   want{verdict: Adopted, name: "old", looks: 1},
		},
		"Error": {
			reason: "A list that fails proves nothing.",
			cr:     cluster(unknownSince(now.Add(-time.Hour))),
			err:    errBoom,
			want:   want{verdict: Waiting, looks: 1, err: errBoom},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(tc.cr).Build()
			if err := kube.Get(context.Background(), client.ObjectKeyFromObject(tc.cr), tc.cr); err != nil {
				t.Fatal(err)
			}
			got := want{}
			c := &Creation{Kube: kube, Lag: lag, Began: tc.began, Clock: testclock.NewFakePassiveClock(now)}
			got.verdict, got.err = c.Look(context.Background(), tc.cr, func(context.Context) ([]Candidate, error) {
				got.looks++
				return tc.found, tc.err
			})
			saved := &v1alpha1.Cluster{}
			if err := kube.Get(context.Background(), client.ObjectKeyFromObject(tc.cr), saved); err != nil {
				t.Fatal(err)
			}
			got.name = meta.GetExternalName(saved)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nLook(...): -want, +got:\n%s", tc.reason, diff)
			}
			if meta.GetExternalName(tc.cr) != got.name {
				t.Errorf("\nReason: %s\nLook(...): %q is saved but not set", tc.reason, got.name)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	type want struct {
		name    string
		unknown string
		calls   int
		err     error
	}
	lost := &cloud.Error{Class: cloud.Unknown, Operation: "CreateCluster", Message: "lost"}
	taken := &cloud.Error{Class: cloud.Conflict, Operation: "CreateCluster", Status: 400}
	refused := &cloud.Error{Class: cloud.Quota, Operation: "CreateCluster", Status: 403}
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.Cluster
		found  []Candidate
		look   error
		create error
		want   want
	}{
		"Creates":   {reason: "Nothing is there, so it is made.", cr: cluster(), want: want{name: "new", calls: 1}},
		"Adopts":    {reason: "What is there is not made again.", cr: cluster(), found: []Candidate{{ID: "old"}}, want: want{name: "old"}},
		"Blind":     {reason: "Without a look nothing is made.", cr: cluster(), look: errBoom, want: want{err: errBoom}},
		"Lost":      {reason: "A lost answer is written down.", cr: cluster(), create: lost, want: want{calls: 1, err: lost, unknown: now.Format(time.RFC3339Nano)}},
		"NameTaken": {reason: "A name that is taken may be our own.", cr: cluster(), create: taken, want: want{calls: 1, err: taken, unknown: now.Format(time.RFC3339Nano)}},
		"Refused":   {reason: "A refusal is known to have made nothing, and ends an older doubt.", cr: cluster(unknownSince(now.Add(-time.Hour))), create: refused, want: want{calls: 1, err: refused}},
		"SecondTry": {reason: "Success ends an older doubt.", cr: cluster(unknownSince(now.Add(-time.Hour))), want: want{name: "new", calls: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := want{}
			c := &Creation{Lag: time.Second, Clock: testclock.NewFakePassiveClock(now)}
			got.err = c.Create(context.Background(), tc.cr,
				func(context.Context) ([]Candidate, error) { return tc.found, tc.look },
				func(context.Context) (string, error) {
					got.calls++
					if tc.create != nil {
						return "", tc.create
					}
					return "new", nil
				})
			got.name, got.unknown = meta.GetExternalName(tc.cr), tc.cr.GetAnnotations()[AnnotationCreateUnknown]
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nCreate(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestUntouched(t *testing.T) {
	pending := func(cr *v1alpha1.Cluster) { meta.SetExternalCreatePending(cr, now.Add(-time.Minute)) }
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.Cluster
		want   bool
	}{
		"Never":   {reason: "No call was made.", cr: cluster(), want: true},
		"Refused": {reason: "A refusal has made nothing.", cr: cluster(pending, func(cr *v1alpha1.Cluster) { meta.SetExternalCreateFailed(cr, now) }), want: true},
		"Crash":   {reason: "A call may have been made.", cr: cluster(pending)},
		"Lost":    {reason: "A call was made, and its answer lost.", cr: cluster(unknownSince(now))},
		"Created": {reason: "It has an external name.", cr: cluster(func(cr *v1alpha1.Cluster) { meta.SetExternalName(cr, "c1") })},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Untouched(tc.cr)); diff != "" {
				t.Errorf("\nReason: %s\nUntouched(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestPace(t *testing.T) {
	cr := cluster()
	cases := map[string]struct {
		reason string
		inner  reconcile.Result
		err    error
		after  time.Duration
		want   reconcile.Result
	}{
		//lint:ignore SA1019 The managed reconciler uses it.
		"Backoff": {reason: "A step of a deletion does not wait for the back-off.", inner: reconcile.Result{Requeue: true}, after: time.Second, want: reconcile.Result{RequeueAfter: time.Second}},
		"Hold":    {reason: "An error that needs a person waits longer than the poll.", inner: reconcile.Result{RequeueAfter: time.Second}, after: time.Minute, want: reconcile.Result{RequeueAfter: time.Minute}},
		"None":    {reason: "Without a wish the reconciler chooses.", inner: reconcile.Result{RequeueAfter: time.Second}, want: reconcile.Result{RequeueAfter: time.Second}},
		"Gone":    {reason: "A resource that is gone does not come back.", after: time.Second},
		"Error":   {reason: "Errors of our own API server are the controller's to retry.", inner: reconcile.Result{}, err: errBoom, after: time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := &Pace{}
			got, err := p.Wrap(reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
				if tc.after > 0 {
					p.After(cr, tc.after)
				}
				return tc.inner, tc.err
			})).Reconcile(context.Background(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(cr)})
			if diff := cmp.Diff(tc.want, got); diff != "" || !errors.Is(err, tc.err) {
				t.Errorf("\nReason: %s\nReconcile(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	c := testclock.NewFakePassiveClock(now)
	h := &Holds{Recheck: time.Minute, Clock: c}
	quota := &cloud.Error{Class: cloud.Quota}
	_ = h.Note("uid", "create/1", quota)
	if err, left := h.Held("uid", "create/1"); !errors.Is(err, quota) || left != time.Minute {
		t.Errorf("\nReason: an error that needs a person is held\nHeld(...): %v, %s", err, left)
	}
	if err, _ := h.Held("uid", "create/2"); err != nil {
		t.Errorf("\nReason: another spec may mend it\nHeld(...): %v", err)
	}
	_ = h.Note("uid", "create/1", quota)
	c.SetTime(now.Add(time.Minute))
	if err, _ := h.Held("uid", "create/1"); err != nil {
		t.Errorf("\nReason: after the recheck it is tried again\nHeld(...): %v", err)
	}
	_ = h.Note("uid", "create/1", &cloud.Error{Class: cloud.Throttled})
	if err, _ := h.Held("uid", "create/1"); err != nil {
		t.Errorf("\nReason: errors that go away by themselves are not held\nHeld(...): %v", err)
	}
}

func TestQuiet(t *testing.T) {
	writes := 0
	kube := fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(cluster()).WithStatusSubresource(&v1alpha1.Cluster{}).
		WithInterceptorFuncs(interceptor.Funcs{SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			writes++
			return c.SubResource(sub).Update(ctx, o, opts...)
		}}).Build()
	q := quietClient{Client: kube}
	get := func() *v1alpha1.Cluster {
		cr := &v1alpha1.Cluster{}
		if err := q.Get(context.Background(), types.NamespacedName{Namespace: "ns", Name: "c"}, cr); err != nil {
			t.Fatal(err)
		}
		return cr
	}

	cr := get()
	if err := q.Status().Update(context.Background(), cr); err != nil || writes != 0 {
		t.Errorf("\nReason: nothing has changed\nUpdate(...): %v, %d writes", err, writes)
	}
	cr.Status.AtProvider.State = "running"
	if err := q.Status().Update(context.Background(), cr); err != nil || writes != 1 || get().Status.AtProvider.State != "running" {
		t.Errorf("\nReason: a change is written\nUpdate(...): %v, %d writes", err, writes)
	}
}

func TestPoller(t *testing.T) {
	c := testclock.NewFakeClock(now)
	p := &Poller{Interval: time.Second, Clock: c, Requeue: NewRequeue()}
	nn := types.NamespacedName{Namespace: "ns", Name: "c"}
	done, asked := false, 0
	p.Watch(nn, "T-1", func(context.Context) (bool, error) { asked++; return done, nil })
	p.poll(context.Background())
	done = true
	p.poll(context.Background())
	p.poll(context.Background())
	if asked != 2 {
		t.Errorf("\nReason: a task that has ended is not asked for again\npoll(...): asked %d times", asked)
	}
	p.Watch(nn, "T-2", func(context.Context) (bool, error) { asked++; return false, errBoom })
	c.Step(2 * pollFor)
	p.poll(context.Background())
	if asked != 2 {
		t.Errorf("\nReason: a task that nobody names any more is forgotten\npoll(...): asked %d times", asked)
	}
}

var _ resource.Managed = &v1alpha1.Cluster{}
