package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// TestClaim proves that a pool is decided by one set of fleets, and that another one
// that should serve it says so.
func TestClaim(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// lease of other fleets, whose leader renewed it so long ago.
	lease := func(ago time.Duration) *coordinationv1.Lease {
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: LeaseNamespace, Name: "others"},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("x"), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: &metav1.MicroTime{Time: now.Add(-ago)}},
		}
	}
	type want struct {
		By     string
		Serves bool
		Writes int32
		Events int
	}
	cases := map[string]struct {
		reason string
		pools  []string
		by     string
		lease  *coordinationv1.Lease
		// taken says that others claim the pool after this fleet has had it.
		taken bool
		// unreadable Leases.
		unreadable bool
		want       want
	}{
		"New":     {reason: "A pool of nobody is claimed, once.", want: want{By: "ours", Serves: true, Writes: 1}},
		"Ours":    {reason: "After a restart, or a change of the leader, nothing is written.", by: "ours", want: want{By: "ours", Serves: true}},
		"Alive":   {reason: "Others serve it: it is left to them.", by: "others", lease: lease(10 * time.Second), want: want{By: "others", Events: 1}},
		"Dead":    {reason: "The others have no leader any more.", by: "others", lease: lease(time.Minute), want: want{By: "ours", Serves: true, Writes: 1}},
		"Unknown": {reason: "Whether fleets that elect no leader are alive is not known: who starts later has it.", by: "others", want: want{By: "ours", Serves: true, Writes: 1}},
		"Taken":   {reason: "One that has lost a pool leaves it alone.", taken: true, want: want{By: "others", Writes: 1, Events: 1}},
		"TakenByTheDead": {
			reason: "It has it again when the others have no leader any more.",
			lease:  lease(time.Minute), taken: true, want: want{By: "ours", Serves: true, Writes: 2},
		},
		"Unreadable": {
			reason: "Whether the others are alive cannot be read: the pool waits, and no other for it.",
			by:     "others", unreadable: true, want: want{By: "others", Events: 1},
		},
		"NotAsked": {reason: "A fleet of other pools claims nothing.", pools: []string{"other"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			plan := capacityPlan()
			if tc.by != "" {
				plan.Annotations = map[string]string{AnnotationServedBy: tc.by}
			}
			objs := []client.Object{plan}
			if tc.lease != nil {
				objs = append(objs, tc.lease)
			}
			f, writes := newFleet(t, objs, idcNode())
			recorder := events.NewFakeRecorder(8)
			f.Name, f.Pools, f.Events, f.Clock = "ours", tc.pools, recorder, clocktesting.NewFakeClock(now)
			if tc.unreadable {
				f.Live = interceptor.NewClient(f.Client.(client.WithWatch), interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
					return apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "others", errors.New("no rule"))
				}})
			}
			read := func() {
				t.Helper()
				if err := f.readPlans(t.Context(), &view{known: map[string]bool{}}); err != nil {
					t.Fatal(err)
				}
			}
			read()
			got := &fleetv1alpha1.CapacityPlan{}
			get := func() {
				t.Helper()
				if err := f.Client.Get(t.Context(), client.ObjectKey{Name: "pool"}, got); err != nil {
					t.Fatal(err)
				}
			}
			if tc.taken {
				get()
				before := writes.Load()
				withAnnotation(got, AnnotationServedBy, "others")
				if err := f.Client.Update(t.Context(), got); err != nil {
					t.Fatal(err)
				}
				writes.Store(before)
			}
			read()
			read()
			get()
			diff := cmp.Diff(tc.want, want{By: got.Annotations[AnnotationServedBy], Serves: f.serves("pool"), Writes: writes.Load(), Events: len(recorder.Events)})
			if diff != "" {
				t.Errorf("\nReason: %s\nreadPlans(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestSharedMembers: a fleet says once that others promise the room of its members
// too.
func TestSharedMembers(t *testing.T) {
	other := capacityPlan()
	other.Name = "other"
	f, _ := newFleet(t, []client.Object{capacityPlan(), other}, idcNode())
	recorder := events.NewFakeRecorder(8)
	f.Name, f.Pools, f.Events = "ours", []string{"pool"}, recorder
	for range 2 {
		if err := f.readPlans(t.Context(), &view{known: map[string]bool{}}); err != nil {
			t.Fatal(err)
		}
	}
	want := "Warning SharesMembers pool pool shares ack with pool other, which this fleet does not serve: both may promise the same room; serve them with one fleet, see --pool"
	if n := len(recorder.Events); n != 1 {
		t.Fatalf("\nReason: it is said once\nreadPlans(...): got %d events", n)
	}
	if got := <-recorder.Events; got != want {
		t.Errorf("\nReason: it is said which\nreadPlans(...): want %q, got %q", want, got)
	}
}
