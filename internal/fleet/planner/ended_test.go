package planner

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// TestEndedCluster: nodes that a reservation brought stay while replicas are on
// them: their substitutes have to be Ready first. Nothing more is ordered.
func TestEndedCluster(t *testing.T) {
	w := newTester(t)
	w.elastic("extra", "0", scheduler.Draining)
	w.offering("extra-g", "extra", "8", "1", 10)
	for i := range 3 {
		name := fmt.Sprintf("n%d", i)
		w.node("extra", "extra-g", name, true)
		if i < 2 {
			w.pod("extra", name, "shop", "web")
		}
	}
	brought := w.in.Plan.DeepCopy()
	plan := w.in.Plan
	plan.Spec.Members, plan.Spec.Offerings = nil, nil
	// Two of five have not come.
	plan.Status.Offerings = []fleetv1alpha1.OfferingStatus{{Name: "extra-g", Nodes: 5, Registered: 3, Ready: 3}}
	plan.Status.Members = []fleetv1alpha1.PlanMemberStatus{{Name: "extra", Wanted: true}}
	r := &fleetv1alpha1.CapacityReservation{Spec: fleetv1alpha1.CapacityReservationSpec{Until: metav1.NewTime(w.in.Now.Add(-time.Second)), Members: brought.Spec.Members, Offerings: brought.Spec.Offerings}}
	r.Name, r.Status.MembersInUse = "r", []string{"extra"}
	merged := func() {
		status := w.in.Plan.Status
		w.in.Plan = Merge(plan, []*fleetv1alpha1.CapacityReservation{r}, w.in.Now, w.in.Memory)
		w.in.Plan.Status = status
		plan.Status = status
		w.in.Plan = Merge(plan, []*fleetv1alpha1.CapacityReservation{r}, w.in.Now, w.in.Memory)
	}
	for i, want := range []int32{3, 3, 2} {
		merged()
		out := w.make()
		got := nodesOf(out.Status)["extra-g"]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("round %d: -want, +got:\n%s", i, diff)
		}
		if i == 1 {
			w.in.Now = w.in.Now.Add(2 * time.Hour)
		}
	}
}

// TestVirtualIsSpent: what a reservation uses on virtual nodes is money too.
func TestVirtualIsSpent(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.virtual("v", "ack", 100)
	w.pod("ack", "vk-v", "default", "ReplicaSet")
	w.pod("ack", "vk-v", "default", "ReplicaSet")
	r := w.reservation("r", 2)
	r.Held, r.Running = 2, 2
	most := resource.MustParse("1.2")
	r.Spec.MaxCost = &most
	for i, want := range []fleetv1alpha1.ReservationPhase{fleetv1alpha1.ReservationFilled, fleetv1alpha1.ReservationEnded} {
		out := w.make()
		if diff := cmp.Diff(want, out.Reservations["r"].Phase); diff != "" {
			t.Errorf("round %d, %s an hour: -want, +got:\n%s", i, out.Reservations["r"].HourlyCost, diff)
		}
		w.in.Now = w.in.Now.Add(2 * time.Hour)
	}
}
