package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

func (w *tester) reservation(name string, wanted int32) *Reservation {
	w.in.Reservations = append(w.in.Reservations, Reservation{
		CapacityReservation: &fleetv1alpha1.CapacityReservation{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       fleetv1alpha1.CapacityReservationSpec{Pool: "p", Until: metav1.NewTime(epoch.Add(6 * time.Hour))},
		},
		Targets: []string{"default/web"}, Wanted: wanted,
		Template: &scheduler.Template{Namespace: "default", Spec: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: cpu("3")}}}}}},
	})
	return &w.in.Reservations[len(w.in.Reservations)-1]
}

func (w *tester) held(name string, n int32, prefer ...string) {
	d := w.demand(n, cpu("3"))
	d.Binding, d.Reservation, d.Prefer = "", name, prefer
}

func TestReservations(t *testing.T) {
	type want struct {
		Nodes map[string]int32
		Phase map[string]fleetv1alpha1.ReservationPhase
		Cost  string
	}
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   want
	}{
		"Filling": {
			reason: "What is reserved is ordered before pods need it.",
			build: func(w *tester) {
				w.reservation("r", 4)
				w.held("r", 4)
			},
			want: want{Nodes: map[string]int32{"a": 2, "t": 0}, Phase: map[string]fleetv1alpha1.ReservationPhase{"r": fleetv1alpha1.ReservationFilling}, Cost: "2"},
		},
		"Prefer": {
			reason: "In the member that is preferred, though it costs more; the rest elsewhere.",
			build: func(w *tester) {
				w.reservation("r", 4).Spec.Prefer = []string{"tke"}
				w.in.Plan.Spec.Offerings[1].Max = 1
				w.held("r", 4, "tke", "ack")
			},
			want: want{Nodes: map[string]int32{"a": 1, "t": 1}, Phase: map[string]fleetv1alpha1.ReservationPhase{"r": fleetv1alpha1.ReservationFilling}, Cost: "6"},
		},
		"Two": {
			reason: "Two add up.",
			build: func(w *tester) {
				w.reservation("r", 4)
				w.reservation("s", 2)
				w.held("r", 4)
				w.held("s", 2)
			},
			want: want{Nodes: map[string]int32{"a": 3, "t": 0}, Phase: map[string]fleetv1alpha1.ReservationPhase{"r": fleetv1alpha1.ReservationFilling, "s": fleetv1alpha1.ReservationFilling}, Cost: "2"},
		},
		"Capped": {
			reason: "Limits are limits.",
			build: func(w *tester) {
				w.reservation("r", 4)
				w.in.Plan.Spec.Limits.Nodes = ptr.To(int32(1))
				w.held("r", 4)
			},
			want: want{Nodes: map[string]int32{"a": 1, "t": 0}, Phase: map[string]fleetv1alpha1.ReservationPhase{"r": fleetv1alpha1.ReservationCapped}, Cost: "1"},
		},
		"Filled": {
			reason: "All of it is there.",
			build: func(w *tester) {
				w.node("ack", "a", "n1", true)
				w.pod("ack", "n1", "default", "ReplicaSet")
				r := w.reservation("r", 2)
				r.Held, r.Free, r.Running = 2, 1, 1
			},
			want: want{Nodes: map[string]int32{"a": 1, "t": 0}, Phase: map[string]fleetv1alpha1.ReservationPhase{"r": fleetv1alpha1.ReservationFilled}, Cost: "1"},
		},
		"Waiting": {
			reason: "Nothing matches.",
			build: func(w *tester) {
				w.reservation("r", 0).Template = nil
			},
			want: want{Nodes: map[string]int32{"a": 0, "t": 0}, Phase: map[string]fleetv1alpha1.ReservationPhase{"r": fleetv1alpha1.ReservationWaiting}, Cost: "0"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.elastic("ack", "0", scheduler.Serving)
			w.elastic("tke", "0", scheduler.Serving)
			w.offering("a", "ack", "8", "1", 10)
			w.offering("t", "tke", "8", "3", 10)
			tc.build(w)
			out := w.make()
			got := want{Nodes: nodesOf(out.Status), Phase: map[string]fleetv1alpha1.ReservationPhase{}, Cost: out.Reservations["r"].HourlyCost}
			for name, st := range out.Reservations {
				got.Phase[name] = st.Phase
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
			again := w.make()
			if again.Urgent || len(again.Records) > 0 || !again.Memory.Equal(out.Memory) || cmp.Diff(out.Reservations, again.Reservations) != "" {
				t.Errorf("A second look at the same world decides nothing: %v %v", again.Records, cmp.Diff(out.Reservations, again.Reservations))
			}
		})
	}
}

// TestReservationEnds by time and by money, over a restart.
func TestReservationEnds(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("a", "ack", "8", "1", 10)
	w.node("ack", "a", "n1", true)
	w.pod("ack", "n1", "default", "ReplicaSet")
	r := w.reservation("r", 2)
	r.Held = 2
	r.Spec.MaxCost = ptr.To(resource.MustParse("3"))
	check := func(reason string, phase fleetv1alpha1.ReservationPhase, spent string, next time.Time) {
		t.Helper()
		out := w.make()
		st := out.Reservations["r"]
		if st.Phase != phase || st.Spent != spent {
			t.Errorf("%s: want %s, %s spent; got %s, %s", reason, phase, spent, st.Phase, st.Spent)
		}
		if !next.IsZero() && !out.Next.Equal(next) {
			t.Errorf("%s: want a plan at %s, not at %s", reason, next, out.Next)
		}
		w.restart()
	}
	check("It is filled, at 1 an hour", fleetv1alpha1.ReservationFilled, "0", epoch.Add(3*time.Hour))
	w.in.Now = w.in.Now.Add(time.Hour)
	check("Nothing is written while the rate is the same", fleetv1alpha1.ReservationFilled, "0", epoch.Add(3*time.Hour))
	r.Held = 1
	check("Half of it is lost: the rate changes", fleetv1alpha1.ReservationFilling, "1", epoch.Add(5*time.Hour))
	w.in.Now = epoch.Add(5 * time.Hour)
	check("Its money is spent", fleetv1alpha1.ReservationEnded, "3", time.Time{})
	w.in.Now = w.in.Now.Add(30 * time.Minute)
	check("And stays so", fleetv1alpha1.ReservationEnded, "3", time.Time{})
	r.Spec.MaxCost = nil
	check("Without the limit it goes on", fleetv1alpha1.ReservationFilling, "3", epoch.Add(6*time.Hour))
	w.in.Now = epoch.Add(6 * time.Hour)
	check("Its time is over", fleetv1alpha1.ReservationEnded, "3.25", time.Time{})
	r.Spec.Until = metav1.NewTime(epoch.Add(9 * time.Hour))
	check("It is extended", fleetv1alpha1.ReservationFilling, "3.25", time.Time{})
	if got := nodesOf(w.in.Plan.Status)["a"]; got != 1 {
		t.Errorf("Nothing of this moves: want 1 node, got %d", got)
	}
}

// TestReservationBringsMember checks that a member which a reservation brought is
// on its account, idle nodes and control plane included.
func TestReservationBringsMember(t *testing.T) {
	w := newTester(t)
	own := w.elastic("own", "0.5", scheduler.Serving)
	w.offering("o", "own", "8", "1", 10)
	w.node("own", "o", "n1", true)
	w.node("own", "o", "n2", true)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("a", "ack", "8", "1", 10)
	w.node("ack", "a", "n3", true)
	r := w.reservation("r", 2)
	r.Held = 2
	rate := func(reason, want string) {
		t.Helper()
		if got := w.make().Reservations["r"].HourlyCost; got != want {
			t.Errorf("\nReason: %s\nHourlyCost: %s, want %s", reason, got, want)
		}
	}
	rate("What is held is a part of nodes that others wanted as well", "1")
	r.Spec.Members = []fleetv1alpha1.PlanMember{*own}
	rate("Its own cluster has a fee and two nodes, on which the two replicas have room", "2.5")
	r.Held, r.Wanted = 6, 6
	rate("Four of six have room there, two hold half a node each elsewhere", "3.5")
}

func TestMerge(t *testing.T) {
	plan := &fleetv1alpha1.CapacityPlan{Spec: fleetv1alpha1.CapacityPlanSpec{
		Members:   []fleetv1alpha1.PlanMember{{Name: "ack", Elastic: true}},
		Offerings: []fleetv1alpha1.Offering{{Name: "ack-g", Member: "ack", Max: 5}},
	}}
	r := &fleetv1alpha1.CapacityReservation{Spec: fleetv1alpha1.CapacityReservationSpec{
		Until:     metav1.NewTime(epoch.Add(time.Hour)),
		Members:   []fleetv1alpha1.PlanMember{{Name: "ack", Elastic: true, Warm: true}, {Name: "extra", Elastic: true, Warm: true}},
		Offerings: []fleetv1alpha1.Offering{{Name: "ack-g", Member: "ack", Max: 50}, {Name: "extra-g", Member: "extra", Min: 1, Max: 7}, {Name: "lost-g", Member: "lost", Max: 7}},
		Market:    fleetv1alpha1.Market{Offerings: []fleetv1alpha1.OfferingMarket{{Name: "extra-g", Nodes: ptr.To(int32(2))}}, Members: []fleetv1alpha1.MemberMarket{{Name: "extra", Exists: true}}},
	}}
	r.Name = "r"
	ack := fleetv1alpha1.PlanMember{Name: "ack", Elastic: true}
	g := fleetv1alpha1.Offering{Name: "ack-g", Member: "ack", Max: 5}
	cases := map[string]struct {
		reason    string
		at        time.Time
		use       []string
		members   []fleetv1alpha1.PlanMember
		offerings []fleetv1alpha1.Offering
	}{
		"Active": {
			reason:    "What it brings is in the plan; what the plan has is not replaced.",
			at:        epoch,
			members:   []fleetv1alpha1.PlanMember{ack, {Name: "extra", Elastic: true, Warm: true}},
			offerings: []fleetv1alpha1.Offering{g, {Name: "extra-g", Member: "extra", Min: 1, Max: 7}},
		},
		"EndedInUse": {
			reason: "What is still in use stays, and shrinks.",
			at:     epoch.Add(time.Hour), use: []string{"extra"},
			members:   []fleetv1alpha1.PlanMember{ack, {Name: "extra", Elastic: true}},
			offerings: []fleetv1alpha1.Offering{g, {Name: "extra-g", Member: "extra"}},
		},
		"Ended": {
			reason:    "What is not is gone.",
			at:        epoch.Add(time.Hour),
			members:   []fleetv1alpha1.PlanMember{ack},
			offerings: []fleetv1alpha1.Offering{g},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r.Status.MembersInUse = tc.use
			got := Merge(plan, []*fleetv1alpha1.CapacityReservation{r}, tc.at, Memory{})
			if diff := cmp.Diff(tc.members, got.Spec.Members); diff != "" {
				t.Errorf("%s Members: -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.offerings, got.Spec.Offerings); diff != "" {
				t.Errorf("%s Offerings: -want, +got:\n%s", tc.reason, diff)
			}
			if len(got.Spec.Market.Offerings) != 1 || len(plan.Spec.Market.Offerings) != 0 || len(plan.Spec.Members) != 1 {
				t.Errorf("The market is merged and the plan itself is not changed")
			}
		})
	}
}

func TestHoldReplicas(t *testing.T) {
	offerings := []fleetv1alpha1.Offering{
		{Name: "small", HourlyPrice: resource.MustParse("1"), Allocatable: cpu("7")},
		{Name: "large", HourlyPrice: resource.MustParse("1.8"), Allocatable: cpu("15")},
		{Name: "virtual", Virtual: &fleetv1alpha1.VirtualCapacity{}, Allocatable: cpu("1000")},
	}
	pod := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3"), corev1.ResourceMemory: resource.MustParse("0")}
	cases := map[string]struct {
		amount fleetv1alpha1.Amount
		pod    corev1.ResourceList
		want   int32
	}{
		"Replicas":         {fleetv1alpha1.Amount{Replicas: ptr.To(int32(7))}, pod, 7},
		"Nodes":            {fleetv1alpha1.Amount{Nodes: ptr.To(int32(2))}, pod, 10},
		"NodesTooSmall":    {fleetv1alpha1.Amount{Nodes: ptr.To(int32(2))}, cpu("16"), 0},
		"Resources":        {fleetv1alpha1.Amount{Resources: cpu("10")}, pod, 4},
		"ResourcesUnasked": {fleetv1alpha1.Amount{Resources: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("4")}}, pod, 1},
		"Most": {fleetv1alpha1.Amount{Resources: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10"), corev1.ResourceMemory: resource.MustParse("64Gi")}},
			corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3"), corev1.ResourceMemory: resource.MustParse("4Gi")}, 16},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := corev1.ResourceList{}
			for k, v := range tc.pod {
				r[k] = v
			}
			for i := range offerings {
				if offerings[i].Virtual == nil {
					offerings[i].Allocatable[corev1.ResourceMemory] = resource.MustParse("64Gi")
				}
			}
			if got := HoldReplicas(tc.amount, r, offerings); got != tc.want {
				t.Errorf("Want %d replicas, got %d", tc.want, got)
			}
		})
	}
}
