package round

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestGrants: what the planner grants is assigned only where it would run.
func TestGrants(t *testing.T) {
	bindings := []scheduler.Binding{
		{ID: "a", Divided: true, Replicas: 5, Tolerates: map[string]bool{"ack": true}},
		{ID: "b", Divided: true, Replicas: 5},
		{ID: "c", Divided: true, Replicas: 5, Tolerates: map[string]bool{"ack": true}, Refused: map[string]string{"ack": "it has a taint"}},
	}
	out := &scheduler.Output{}
	for _, b := range bindings {
		out.Decisions = append(out.Decisions, scheduler.Decision{Binding: b.ID, Unmet: 5, Pending: 5})
	}
	grants := []planner.Grant{{Binding: "gone", Member: "ack", Count: 1}}
	for _, b := range bindings {
		grants = append(grants, planner.Grant{Binding: b.ID, Member: "ack", Count: 3})
	}
	New(bindings, out).grant(grants)
	got := map[string][]scheduler.Target{}
	for _, d := range out.Decisions {
		if d.Changed {
			got[d.Binding] = d.Targets
		}
	}
	if diff := cmp.Diff(map[string][]scheduler.Target{"a": {{Member: "ack", Replicas: 3}}}, got); diff != "" {
		t.Errorf("\nReason: Replicas that do not tolerate virtual nodes, or may not go there, get none\ngrant(...): -want, +got:\n%s", diff)
	}
}

// TestPlan: a plan sees what the round found of its pool, and nothing of others.
func TestPlan(t *testing.T) {
	bindings := []scheduler.Binding{{ID: "a", Pool: "pool", Replicas: 7}, {ID: "b", Pool: "other", Replicas: 4}}
	out := &scheduler.Output{
		Decisions: []scheduler.Decision{
			{Binding: "a", Own: 3, Cloud: 2, Pending: 2, Targets: []scheduler.Target{{Member: "ack", Replicas: 2}, {Member: "idc", Replicas: 3}}},
			{Binding: "b", Own: 4, Targets: []scheduler.Target{{Member: "idc", Replicas: 4}}},
		},
		Held: map[string]int32{"sale": 1},
	}
	in := planner.Input{
		Now: now, SeenAt: now, Plan: &fleetv1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Name: "pool"}, Spec: fleetv1alpha1.CapacityPlanSpec{
			Members: []fleetv1alpha1.PlanMember{{Name: "idc"}, {Name: "ack", Tier: 1, Elastic: true}},
		}},
		Members:      map[string]planner.Member{"idc": {State: scheduler.Absent}, "ack": {State: scheduler.Absent}},
		Reservations: []planner.Reservation{{CapacityReservation: reservation("sale", 4), Bindings: []string{"a"}, Wanted: 4, Used: 2, Template: &scheduler.Template{}}},
	}
	made, err := New(bindings, out).Plan(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := fleetv1alpha1.ReplicaSummary{OwnCloud: fleetv1alpha1.OwnCloud{Own: 3, Cloud: 2}, Pending: 2}
	if diff := cmp.Diff(want, made.Status.Replicas); diff != "" {
		t.Errorf("\nReason: Replicas of the pool are counted\nPlan(...): -want, +got:\n%s", diff)
	}
	members := map[string]int32{}
	for _, m := range made.Status.Members {
		members[m.Name] = m.Replicas
	}
	if diff := cmp.Diff(map[string]int32{"idc": 3, "ack": 2}, members); diff != "" {
		t.Errorf("\nReason: Replicas of the pool are counted by member\nPlan(...): -want, +got:\n%s", diff)
	}
	st := made.Reservations["sale"]
	if st.Running != 2 || st.Free != 1 || st.Phase != fleetv1alpha1.ReservationFilling {
		t.Errorf("\nReason: Two of four are used, one is held\nPlan(...): got running %d, free %d, %s", st.Running, st.Free, st.Phase)
	}
	if in.Members["ack"].Replicas != 0 || in.Reservations[0].Held != 0 {
		t.Errorf("\nReason: The input can be used again\nPlan(...): it was changed to %+v", in)
	}
}

func reservation(name string, replicas int32) *fleetv1alpha1.CapacityReservation {
	return &fleetv1alpha1.CapacityReservation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: fleetv1alpha1.CapacityReservationSpec{
		Pool: "pool", Until: metav1.NewTime(now.Add(time.Hour)), Amount: fleetv1alpha1.Amount{Replicas: ptr.To(replicas)},
		Members: []fleetv1alpha1.PlanMember{{Name: name, Tier: 2, Elastic: true}},
	}}
}

// TestReservations: what is held, what is reserved, and what is over, before and
// after a reservation ends.
func TestReservations(t *testing.T) {
	tpl := &scheduler.Template{Spec: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}},
	}}}}}
	target := []Target{{Binding: "default/web", Name: "default/web", Template: tpl}}
	first, second := &Reservation{CapacityReservation: reservation("first", 5), Targets: target}, &Reservation{CapacityReservation: reservation("second", 5), Targets: target}
	first.Spec.Until = metav1.NewTime(now.Add(time.Minute))
	rs := []*Reservation{first, second}
	bare := &fleetv1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Name: "pool"}}
	type state struct {
		Members []string
		Counts  []int32
		Used    []int32
		Over    map[string]bool
	}
	at := func(after time.Duration) state {
		merged := Merge(bare, rs, now.Add(after), planner.Memory{})
		holds, planned := Hold(merged, rs, map[string]int32{"default/web": 6})
		s := state{Over: map[string]bool{}}
		for _, m := range merged.Spec.Members {
			s.Members = append(s.Members, m.Name)
		}
		for _, h := range holds {
			s.Counts = append(s.Counts, h.Count)
		}
		for _, p := range planned {
			s.Used = append(s.Used, p.Used)
		}
		for _, name := range []string{"first", "second"} {
			s.Over[name] = Over(bare, rs, name)
		}
		if !Reserved(rs)["default/web"] {
			t.Errorf("\nReason: One of two still targets it\nReserved(...): it is not reserved after %s", after)
		}
		return s
	}
	want := state{Members: []string{"first", "second"}, Counts: []int32{0, 4}, Used: []int32{5, 1}, Over: map[string]bool{"first": false, "second": false}}
	if diff := cmp.Diff(want, at(0)); diff != "" {
		t.Errorf("\nReason: What is used of the older is not of the younger\nHold(...): -want, +got:\n%s", diff)
	}
	want = state{Members: []string{"second"}, Counts: []int32{0}, Used: []int32{0, 5}, Over: map[string]bool{"first": true, "second": false}}
	if diff := cmp.Diff(want, at(2*time.Minute)); diff != "" {
		t.Errorf("\nReason: One that has ended holds nothing, and what it brought is over\nHold(...): -want, +got:\n%s", diff)
	}
	if got := Merge(bare, nil, now, planner.Memory{}); got != bare {
		t.Errorf("\nReason: Without reservations a plan is what it is\nMerge(...): got a copy")
	}
}
