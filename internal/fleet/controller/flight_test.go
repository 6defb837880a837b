package controller

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

func TestFlights(t *testing.T) {
	obj := func(version, note string) client.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", ResourceVersion: version, Annotations: map[string]string{"note": note}}}
	}
	cases := map[string]struct {
		reason   string
		fly      func(*flights)
		newest   client.Object
		want     string
		expected bool
	}{
		"None":   {reason: "What is not in flight is as it is.", fly: func(*flights) {}, newest: obj("1", "cached"), want: "cached"},
		"Behind": {reason: "What is being written counts as written.", fly: func(f *flights) { f.start("a", obj("1", "base"), obj("1", "expected")) }, newest: obj("1", "cached"), want: "expected", expected: true},
		"Newer":  {reason: "What the API has since then is known better.", fly: func(f *flights) { f.start("a", obj("1", "base"), obj("1", "expected")) }, newest: obj("2", "cached"), want: "cached"},
		"Status": {reason: "A newer status lets the decision stand.", fly: func(f *flights) { f.start("a", obj("1", "base"), obj("1", "expected")) }, newest: obj("2", "base"), want: "expected", expected: true},
		"Advanced": {reason: "What was written in part becomes the rest.", fly: func(f *flights) {
			f.start("a", obj("1", "base"), obj("1", "expected"))
			f.advance("a", obj("2", "written"), obj("2", "told"))
		}, newest: obj("2", "written"), want: "told", expected: true},
		"Landed": {reason: "After it nothing is expected.", fly: func(f *flights) { f.start("a", obj("1", "base"), obj("1", "expected")); f.land("a", nil) }, newest: obj("1", "cached"), want: "cached"},
		"Other": {reason: "One that was made anew is another.", fly: func(f *flights) {
			base := obj("1", "base")
			base.SetUID("v")
			f.start("a", base, base)
		}, newest: obj("1", "cached"), want: "cached"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFlights()
			tc.fly(f)
			got, expected := f.over("a", func() client.Object { return tc.newest })
			if got.GetAnnotations()["note"] != tc.want || expected != tc.expected {
				t.Errorf("\nReason: %s\nover(...): got %s, expected %t; want %s, %t", tc.reason, got.GetAnnotations()["note"], expected, tc.want, tc.expected)
			}
		})
	}
}

// TestRoundsWhileWriting: a fleet whose writes hang goes on to decide. What is on
// its way is neither promised to others nor written again, and becomes free if it
// is refused.
func TestRoundsWhileWriting(t *testing.T) {
	cases := map[string]struct {
		reason string
		refuse error
		// meanwhile is done to the binding in flight.
		meanwhile func(*workv1alpha2.ResourceBinding)
		// important says that the second goes before the first, and queued that
		// nothing of that was sent yet.
		important, queued bool
		// want replicas of both while the first is in flight, and after that.
		during, after map[string]int32
		kicked        bool
		err           bool
	}{
		"Written": {
			reason: "The second gets what the first leaves",
			during: map[string]int32{"web": 0, "late": 0}, after: map[string]int32{"web": 2, "late": 0},
		},
		"Conflict": {
			reason: "What was refused is decided anew at once",
			refuse: apierrors.NewConflict(schema.GroupResource{}, "web", errors.New("changed")), kicked: true,
			during: map[string]int32{"web": 0, "late": 0}, after: map[string]int32{"web": 2, "late": 0},
		},
		"Failed": {
			reason: "A write that failed is said, and tried again",
			refuse: errors.New("boom"), err: true,
			during: map[string]int32{"web": 0, "late": 0}, after: map[string]int32{"web": 2, "late": 0},
		},
		"Scaled": {
			reason: "A binding that was changed while it was in flight is decided anew when that has landed, and the rest is for others",
			refuse: apierrors.NewConflict(schema.GroupResource{}, "web", errors.New("changed")), kicked: true,
			meanwhile: func(b *workv1alpha2.ResourceBinding) { b.Spec.Replicas, b.Generation = 1, b.Generation+1 },
			during:    map[string]int32{"web": 0, "late": 1}, after: map[string]int32{"web": 1, "late": 1},
		},
		"Told": {
			reason: "What Karmada says of a binding in flight does not take its place from it, not even for one that is more important",
			meanwhile: func(b *workv1alpha2.ResourceBinding) {
				b.Status.AggregatedStatus = []workv1alpha2.AggregatedStatusItem{{ClusterName: "idc-a"}}
			},
			important: true, queued: true,
			during: map[string]int32{"web": 0, "late": 0}, after: map[string]int32{"web": 2, "late": 0},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			rb.UID = "web"
			plan := capacityPlan()
			plan.Spec.Members, plan.Spec.Offerings = []fleetv1alpha1.PlanMember{{Name: "idc-a"}}, nil
			f, _ := newFleet(t, []client.Object{deployment(), rb, plan, karmadaCluster("idc-a")}, idcNode())
			ctx := t.Context()
			under := f.Client.(client.WithWatch)
			var sent atomic.Int32
			fly := make(chan struct{})
			f.Client = interceptor.NewClient(under, interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if tc.queued && key.Name == rb.Name {
						<-fly
					}
					return c.Get(ctx, key, o, opts...)
				},
				Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
					if o.GetName() != rb.Name || sent.Add(1) > 1 {
						return c.Patch(ctx, o, p, opts...)
					}
					<-fly
					if tc.refuse != nil {
						return tc.refuse
					}
					return c.Patch(ctx, o, p, opts...)
				},
			})
			round := func() {
				t.Helper()
				if _, err := f.round(ctx, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			check := func(when string, want map[string]int32) {
				t.Helper()
				got := map[string]int32{}
				for name := range want {
					b := &workv1alpha2.ResourceBinding{}
					if err := under.Get(ctx, client.ObjectKey{Namespace: "default", Name: name + "-deployment"}, b); err != nil {
						t.Fatal(err)
					}
					got[name] = 0
					for _, c := range b.Spec.Clusters {
						got[name] += c.Replicas
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("\nReason: %s\nreplicas %s: -want, +got:\n%s", tc.reason, when, diff)
				}
			}
			round()
			late, d := resourceBinding(), deployment()
			late.Name, late.UID, late.Spec.Resource.Name, late.Spec.Resource.UID, late.Spec.Replicas = "late-deployment", "late", "late", "late", 1
			late.CreationTimestamp = metav1.NewTime(time.Now().Add(time.Minute))
			d.Name, d.UID, d.Spec.Replicas = "late", "late", ptr.To(int32(1))
			if tc.important {
				late.Spec.SchedulePriority = &workv1alpha2.SchedulePriority{Priority: 10}
			}
			for _, o := range []client.Object{d, late} {
				if err := under.Create(ctx, o); err != nil {
					t.Fatal(err)
				}
			}
			if tc.meanwhile != nil {
				b := &workv1alpha2.ResourceBinding{}
				if err := under.Get(ctx, client.ObjectKeyFromObject(rb), b); err != nil {
					t.Fatal(err)
				}
				tc.meanwhile(b)
				if err := under.Update(ctx, b); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				round()
			}
			// The second has landed when its status says so.
			for range 500 {
				b := &workv1alpha2.ResourceBinding{}
				if err := under.Get(ctx, client.ObjectKeyFromObject(late), b); err != nil {
					t.Fatal(err)
				}
				if meta.FindStatusCondition(b.Status.Conditions, workv1alpha2.Scheduled) != nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			check("while the first is in flight", tc.during)
			if n := sent.Load(); (n == 0) != tc.queued || n > 1 {
				t.Errorf("\nReason: %s\nsent %d times while in flight", tc.reason, n)
			}
			select {
			case <-f.trigger:
			default:
			}
			close(fly)
			f.flights.wg.Wait()
			if err := f.flights.failed(); (err != nil) != tc.err {
				t.Errorf("\nReason: %s\nfailed(): got %v", tc.reason, err)
			}
			select {
			case <-f.trigger:
				if !tc.kicked {
					t.Errorf("\nReason: %s\na round was asked for", tc.reason)
				}
			default:
				if tc.kicked {
					t.Errorf("\nReason: %s\nno round was asked for", tc.reason)
				}
			}
			if _, err := f.Round(ctx, time.Now()); err != nil {
				t.Fatal(err)
			}
			check("at last", tc.after)
		})
	}
}
