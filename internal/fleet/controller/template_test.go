package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// TestTemplatesUnread: a workload that cannot be read for a while is not one
// without replicas, and is not read in every round.
func TestTemplatesUnread(t *testing.T) {
	reads, asked, fail := 0, "", error(nil)
	c := fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(deployment()).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			reads++
			asked = (&client.GetOptions{}).ApplyOptions(opts).AsGetOptions().ResourceVersion
			if fail != nil {
				return fail
			}
			return c.Get(ctx, k, o, opts...)
		},
	}).Build()
	clk := clocktesting.NewFakeClock(time.Now())
	ts := newTemplates(c, clk)
	rb := resourceBinding()
	steps := []struct {
		reason  string
		after   time.Duration
		version string
		fail    error
		reads   int
		known   bool
		// asked is the version that the API server's cache must have.
		asked string
	}{
		{reason: "It is read", version: "1", reads: 1, known: true, asked: "1"},
		{reason: "It is not read again", version: "1", known: true},
		{reason: "A new version that cannot be read: what was known holds", version: "2", fail: errors.New("boom"), reads: 1, known: true, asked: "2"},
		{reason: "It is not read in the next round", version: "2", fail: errors.New("boom"), known: true},
		{reason: "It is after a while, past the cache", after: retryAfter, version: "2", fail: errors.New("boom"), reads: 1, known: true},
		{reason: "The while gets longer", after: retryAfter, version: "2", fail: errors.New("boom"), known: true},
		{reason: "It is read at last", after: retryAfter, version: "2", reads: 1, known: true},
		{reason: "It is left alone then", after: time.Hour, version: "2", known: true},
	}
	for _, s := range steps {
		clk.Step(s.after)
		rb.Spec.Resource.ResourceVersion = s.version
		fail, reads, asked = s.fail, 0, ""
		b := bindingOf(rb)
		if err := ts.load(t.Context(), []binding{b}); err != nil {
			t.Fatal(err)
		}
		got := ts.get(b.id())
		if reads != s.reads || asked != s.asked || (got.pods != nil) != s.known || !got.divided || got.problem != "" {
			t.Errorf("\nReason: %s\nload(...): got %d reads, of version %q, known %t, divided %t, problem %q", s.reason, reads, asked, got.pods != nil, got.divided, got.problem)
		}
	}
}

func TestDivided(t *testing.T) {
	d := deployment()
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: appsv1.DaemonSetSpec{Template: d.Spec.Template}}
	cases := map[string]struct {
		reason string
		kind   string
		obj    client.Object
		want   bool
	}{
		"Deployment": {"It has replicas, even while they are none.", "Deployment", d, true},
		"DaemonSet":  {"It runs wherever it is: it goes to every member.", "DaemonSet", ds, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			rb.Spec.Replicas, rb.Spec.Resource.Kind = 0, tc.kind
			ts := newTemplates(fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(tc.obj).Build(), clocktesting.NewFakeClock(time.Now()))
			b := bindingOf(rb)
			if err := ts.load(t.Context(), []binding{b}); err != nil {
				t.Fatal(err)
			}
			if got := b.model(ts.get(b.id()), nil).Divided; got != tc.want {
				t.Errorf("%s Got divided %t", tc.reason, got)
			}
		})
	}
}

func TestReported(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   string
		status string
		want   scheduler.Reported
	}{
		"Deployment": {"Ready replicas are reported.", "Deployment", `{"readyReplicas":3,"conditions":[{"type":"Failed","status":"True"}]}`, scheduler.Reported{Ready: 3}},
		"Job":        {"A Job that runs.", "Job", `{"succeeded":1,"conditions":[{"type":"Suspended","status":"False"}]}`, scheduler.Reported{Succeeded: 1}},
		"FailedJob":  {"A Job that has failed makes no more pods.", "Job", `{"conditions":[{"type":"Failed","status":"True"}]}`, scheduler.Reported{Finished: true}},
		"NoStatus":   {"A status of another shape says nothing.", "Odd", `{"readyReplicas":"x"}`, scheduler.Reported{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			rb.Spec.Resource.Kind = tc.kind
			rb.Status.AggregatedStatus = []workv1alpha2.AggregatedStatusItem{{ClusterName: "idc-a", Status: &runtime.RawExtension{Raw: []byte(tc.status)}}}
			if diff := cmp.Diff(tc.want, bindingOf(rb).reported()["idc-a"]); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMembersThatCannotBeWatched(t *testing.T) {
	tries := 0
	clk := clocktesting.NewFakeClock(time.Now())
	m := newMembers(func(context.Context, *clusterv1alpha1.Cluster) (*rest.Config, error) {
		tries++
		return nil, errors.New("boom")
	}, clk, logr.Discard(), nil)
	wanted := map[string]*cluster{"idc-a": {Cluster: *karmadaCluster("idc-a"), exists: true}}
	for range 3 {
		m.ensure(t.Context(), wanted)
	}
	if tries != 1 {
		t.Errorf("Rounds that follow each other do not all try: want 1 try, got %d", tries)
	}
	clk.Step(connectAgain)
	m.ensure(t.Context(), wanted)
	if tries != 2 {
		t.Errorf("After a while it is tried again: want 2 tries, got %d", tries)
	}
}
