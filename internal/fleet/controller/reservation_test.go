package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

func capacityReservation(fn ...func(*fleetv1alpha1.CapacityReservation)) *fleetv1alpha1.CapacityReservation {
	r := &fleetv1alpha1.CapacityReservation{
		ObjectMeta: metav1.ObjectMeta{Name: "default-burst", Generation: 3},
		Spec: fleetv1alpha1.CapacityReservationSpec{
			Pool: "pool", Amount: fleetv1alpha1.Amount{Replicas: ptr.To(int32(5))}, Until: metav1.NewTime(time.Now().Add(time.Hour)),
			Targets: []fleetv1alpha1.WorkloadTarget{{Namespace: "default", Kind: "Deployment", Name: "web"}},
		},
	}
	// Nothing of its target was on rented capacity when it began.
	r.Status.Baselines = map[string]int32{"default/web-deployment": 0}
	for _, f := range fn {
		f(r)
	}
	return r
}

func TestTargets(t *testing.T) {
	labels := map[string]string{"app": "web", "tier": "front"}
	cases := map[string]struct {
		reason string
		target fleetv1alpha1.WorkloadTarget
		want   bool
	}{
		"Name":           {"By name.", fleetv1alpha1.WorkloadTarget{Namespace: "default", Kind: "Deployment", Name: "web"}, true},
		"DefaultKind":    {"Deployments, if nothing else is said.", fleetv1alpha1.WorkloadTarget{Namespace: "default", Name: "web"}, true},
		"OtherName":      {"Another name.", fleetv1alpha1.WorkloadTarget{Namespace: "default", Name: "api"}, false},
		"OtherKind":      {"Another kind.", fleetv1alpha1.WorkloadTarget{Namespace: "default", Kind: "StatefulSet", Name: "web"}, false},
		"OtherNamespace": {"Another namespace.", fleetv1alpha1.WorkloadTarget{Namespace: "other", Name: "web"}, false},
		"Labels":         {"By labels.", fleetv1alpha1.WorkloadTarget{Namespace: "default", MatchLabels: map[string]string{"tier": "front"}}, true},
		"OtherLabels":    {"All labels must match.", fleetv1alpha1.WorkloadTarget{Namespace: "default", MatchLabels: map[string]string{"tier": "front", "app": "api"}}, false},
		"Both":           {"Name and labels.", fleetv1alpha1.WorkloadTarget{Namespace: "default", Name: "web", MatchLabels: map[string]string{"tier": "back"}}, false},
		"Neither":        {"A target without name and labels selects nothing.", fleetv1alpha1.WorkloadTarget{Namespace: "default"}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := targets(&tc.target, bindingOf(resourceBinding()), labels); got != tc.want {
				t.Errorf("%s Want %t, got %t", tc.reason, tc.want, got)
			}
		})
	}
}

func TestHold(t *testing.T) {
	type hold struct {
		Reservation string
		Bindings    []string
		Count       int32
	}
	cases := map[string]struct {
		reason   string
		assigned int32
		rs       []*fleetv1alpha1.CapacityReservation
		ended    bool
		want     []hold
		reserved bool
	}{
		"Replicas": {
			reason: "All of it is held while nothing uses it.", rs: []*fleetv1alpha1.CapacityReservation{capacityReservation()},
			want: []hold{{"default-burst", []string{"default/web-deployment"}, 5}}, reserved: true,
		},
		"Used": {
			reason: "What runs in elastic members uses it.", assigned: 2, rs: []*fleetv1alpha1.CapacityReservation{capacityReservation()},
			want: []hold{{"default-burst", []string{"default/web-deployment"}, 3}}, reserved: true,
		},
		"Two": {
			reason: "Two add up: what is used of the first is not of the second.", assigned: 6,
			rs: []*fleetv1alpha1.CapacityReservation{capacityReservation(), capacityReservation(func(r *fleetv1alpha1.CapacityReservation) {
				r.Name = "second"
			})},
			want: []hold{{"default-burst", []string{"default/web-deployment"}, 0}, {"second", []string{"default/web-deployment"}, 4}}, reserved: true,
		},
		"Begins": {
			reason: "What was there when it began uses nothing of it.", assigned: 2,
			rs: []*fleetv1alpha1.CapacityReservation{capacityReservation(func(r *fleetv1alpha1.CapacityReservation) {
				r.Status.Baselines = nil
			})},
			want: []hold{{"default-burst", []string{"default/web-deployment"}, 5}}, reserved: true,
		},
		"Baseline": {
			reason: "What came since does.", assigned: 3,
			rs: []*fleetv1alpha1.CapacityReservation{capacityReservation(func(r *fleetv1alpha1.CapacityReservation) {
				r.Status.Baselines["default/web-deployment"] = 2
			})},
			want: []hold{{"default-burst", []string{"default/web-deployment"}, 4}}, reserved: true,
		},
		"Later": {
			reason: "One that began when the first was used up guarantees more.", assigned: 5,
			rs: []*fleetv1alpha1.CapacityReservation{capacityReservation(), capacityReservation(func(r *fleetv1alpha1.CapacityReservation) {
				r.Name = "second"
				r.Status.Baselines["default/web-deployment"] = 5
			})},
			want: []hold{{"default-burst", []string{"default/web-deployment"}, 0}, {"second", []string{"default/web-deployment"}, 5}}, reserved: true,
		},
		"Nodes": {
			reason: "Two nodes of 8 CPU hold four replicas of 3.", assigned: 1,
			rs: []*fleetv1alpha1.CapacityReservation{capacityReservation(func(r *fleetv1alpha1.CapacityReservation) {
				r.Spec.Amount = fleetv1alpha1.Amount{Nodes: ptr.To(int32(2))}
			})},
			want: []hold{{"default-burst", []string{"default/web-deployment"}, 3}}, reserved: true,
		},
		"Resources": {
			reason: "10 CPU are four replicas of 3, rounded up.",
			rs: []*fleetv1alpha1.CapacityReservation{capacityReservation(func(r *fleetv1alpha1.CapacityReservation) {
				r.Spec.Amount = fleetv1alpha1.Amount{Resources: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10")}}
			})},
			want: []hold{{"default-burst", []string{"default/web-deployment"}, 4}}, reserved: true,
		},
		"NoMatch": {
			reason: "Nothing is held for nobody.",
			rs: []*fleetv1alpha1.CapacityReservation{capacityReservation(func(r *fleetv1alpha1.CapacityReservation) {
				r.Spec.Targets[0].Name = "api"
			})},
		},
		"Ended": {reason: "One that has ended holds nothing.", rs: []*fleetv1alpha1.CapacityReservation{capacityReservation()}, ended: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			if tc.assigned > 0 {
				rb.Spec.Clusters = []workv1alpha2.TargetCluster{{Name: "ack", Replicas: tc.assigned}, {Name: "idc-a", Replicas: 3}}
			}
			b := bindingOf(rb)
			f := &Fleet{baselines: map[types.UID]map[string]int32{}, templates: &templates{byID: map[string]*template{b.id(): {pods: &scheduler.Template{Spec: deployment().Spec.Template}, divided: true}}}}
			p := &poolPlan{plan: capacityPlan(), merged: capacityPlan()}
			for _, r := range tc.rs {
				x := &round.Reservation{CapacityReservation: r}
				if tc.ended {
					x.Ended = "over"
				}
				p.reservations = append(p.reservations, x)
			}
			pool := &scheduler.Pool{Members: []scheduler.Member{{Name: "idc-a"}, {Name: "ack", Elastic: true}}}
			reserved := f.hold(p, []binding{b}, pool)
			var got []hold
			for _, h := range pool.Holds {
				got = append(got, hold{h.Reservation, h.Bindings, h.Count})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
			if reserved[b.id()] != tc.reserved {
				t.Errorf("%s Want reserved %t, got %t", tc.reason, tc.reserved, reserved[b.id()])
			}
		})
	}
}

// TestBaselines: what targets had when a reservation began is counted once, or
// what they use of it would be held on top.
func TestBaselines(t *testing.T) {
	id := "default/web-deployment"
	known := &template{pods: &scheduler.Template{Spec: deployment().Spec.Template}, divided: true}
	cases := map[string]struct {
		reason string
		status map[string]int32
		// first is what it had in the first round, then what it has in the second.
		first, then int32
		unread      bool
		want        map[string]int32
		held        int32
	}{
		"NotWritten": {reason: "What the first round could not write holds in the second.", first: 0, then: 3, want: map[string]int32{id: 0}, held: 2},
		"Written":    {reason: "What is written holds.", status: map[string]int32{id: 1}, first: 2, then: 4, want: map[string]int32{id: 1}, held: 2},
		"Unread":     {reason: "It also does while the workload cannot be read.", status: map[string]int32{id: 1}, first: 2, then: 4, unread: true, want: map[string]int32{id: 1}},
		"Gone":       {reason: "What is gone is forgotten.", status: map[string]int32{id: 1, "default/api-deployment": 7}, first: 2, then: 2, want: map[string]int32{id: 1}, held: 4},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := &Fleet{baselines: map[types.UID]map[string]int32{}, templates: &templates{byID: map[string]*template{id: known}}}
			var x *round.Reservation
			pool := &scheduler.Pool{}
			for i, n := range []int32{tc.first, tc.then} {
				rb := resourceBinding()
				rb.Spec.Clusters = []workv1alpha2.TargetCluster{{Name: "ack", Replicas: n}}
				if tc.unread && i == 1 {
					f.templates.byID[id] = &template{problem: "no answer"}
				}
				r := capacityReservation()
				r.Status.Baselines = tc.status
				x = &round.Reservation{CapacityReservation: r}
				pool = &scheduler.Pool{Members: []scheduler.Member{{Name: "ack", Elastic: true}}}
				f.hold(&poolPlan{plan: capacityPlan(), merged: capacityPlan(), reservations: []*round.Reservation{x}}, []binding{bindingOf(rb)}, pool)
			}
			if diff := cmp.Diff(tc.want, x.Baselines); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
			held := int32(0)
			for _, h := range pool.Holds {
				held += h.Count
			}
			if held != tc.held {
				t.Errorf("%s Want %d held, got %d", tc.reason, tc.held, held)
			}
		})
	}
}

// TestReservationWaits: one whose pool does not exist waits and says so, once.
func TestReservationWaits(t *testing.T) {
	r := capacityReservation(func(r *fleetv1alpha1.CapacityReservation) { r.Spec.Pool = "later" })
	f, writes := newFleet(t, []client.Object{deployment(), r, karmadaCluster("idc-a")}, idcNode())
	writes.Store(0)
	for range 3 {
		if _, err := f.Round(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r); err != nil {
		t.Fatal(err)
	}
	want := fleetv1alpha1.CapacityReservationStatus{ObservedGeneration: 3, Phase: fleetv1alpha1.ReservationWaiting, Message: `there is no pool "later"`}
	if diff := cmp.Diff(want, r.Status); diff != "" {
		t.Errorf("It waits for its pool: -want, +got:\n%s", diff)
	}
	if writes.Load() != 1 {
		t.Errorf("It is said once: got %d writes", writes.Load())
	}
}

// TestReserved: in a pool with overflow Reserved only targets leave home.
func TestReserved(t *testing.T) {
	plan := capacityPlan()
	plan.Spec.Overflow = fleetv1alpha1.OverflowReserved
	f, _ := newFleet(t, []client.Object{deployment(), resourceBinding(), plan, karmadaCluster("idc-a")}, idcNode())
	v, err := f.view(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := v.input.Bindings[0].StaysHome; got != round.StaysHome {
		t.Errorf("Without a reservation it stays home: got %q", got)
	}
	if err := f.Client.Create(t.Context(), capacityReservation()); err != nil {
		t.Fatal(err)
	}
	if v, err = f.view(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := v.input.Bindings[0].StaysHome; got != "" {
		t.Errorf("Its target may leave: got %q", got)
	}
}

// TestReservationBrings: the members and offerings of a reservation are those of
// the pool while it is active.
func TestReservationBrings(t *testing.T) {
	r := capacityReservation(func(r *fleetv1alpha1.CapacityReservation) {
		r.Spec.Members = []fleetv1alpha1.PlanMember{{Name: "tke", Tier: 1, Elastic: true}}
		r.Spec.Offerings = []fleetv1alpha1.Offering{virtualOffering("tke")}
	})
	f, _ := newFleet(t, []client.Object{deployment(), resourceBinding(), capacityPlan(), r, karmadaCluster("idc-a")}, idcNode())
	v, err := f.view(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range v.input.Pools[0].Members {
		got = append(got, m.Name)
	}
	if diff := cmp.Diff([]string{"idc-a", "ack", "tke"}, got); diff != "" {
		t.Errorf("The member is in the pool: -want, +got:\n%s", diff)
	}
	if vs := v.input.Pools[0].Virtual; len(vs) != 1 || vs[0].Member != "tke" {
		t.Errorf("And what it offers: got %v", vs)
	}
	for ended, want := range map[bool]bool{false: false, true: true} {
		x := &round.Reservation{CapacityReservation: r}
		if ended {
			x.Ended = "over"
		}
		of := &poolPlan{plan: capacityPlan(), reservations: []*round.Reservation{x}}
		if got := round.Over(of.plan, of.reservations, "tke"); got != want || round.Over(of.plan, of.reservations, "ack") {
			t.Errorf("When it has ended its members drain, and only those: want %t, got %t", want, got)
		}
	}
	p := &fleetv1alpha1.CapacityPlan{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Name: "pool"}, p); err != nil {
		t.Fatal(err)
	}
	if len(p.Spec.Members) != 2 || len(v.plans[0].plan.Spec.Members) != 2 {
		t.Errorf("The plan itself is not changed: got %v", p.Spec.Members)
	}
}

// TestSelectsByLabel: a placement may name its clusters by the pool's label,
// also those that have not joined yet.
func TestSelectsByLabel(t *testing.T) {
	b := bindingOf(resourceBinding())
	b.spec.Placement.ClusterAffinity = &policyv1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{fleetv1alpha1.LabelPool: "pool"}}}
	joined := &cluster{Cluster: *karmadaCluster("idc-a"), exists: true}
	joined.Labels = map[string]string{fleetv1alpha1.LabelPool: "pool"}
	other := &cluster{Cluster: *karmadaCluster("idc-b"), exists: true}
	got := b.refused([]*cluster{joined, other, absent("ack", "pool"), absent("tke", "other")})
	want := map[string]string{"idc-b": "the placement does not select it", "tke": "the placement does not select it"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Members of the pool are selected: -want, +got:\n%s", diff)
	}
}

func virtualNode() *corev1.Node {
	n := idcNode()
	n.Name, n.Labels = "vk", map[string]string{"type": "virtual-kubelet"}
	n.Spec.Taints = []corev1.Taint{{Key: "virtual-kubelet.io/provider", Value: "alibabacloud", Effect: corev1.TaintEffectNoSchedule}}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10000"), corev1.ResourceMemory: resource.MustParse("40Ti"), corev1.ResourcePods: resource.MustParse("10000")}
	return n
}

// TestBurst: in a pool whose workloads stay home, a reservation lets its target
// start on virtual nodes in the round that sees it.
func TestBurst(t *testing.T) {
	plan := virtualPlan()
	plan.Spec.Overflow = fleetv1alpha1.OverflowReserved
	f, writes := newFleet(t, []client.Object{deployment(), resourceBinding(), plan, karmadaCluster("idc-a"), karmadaCluster("ack")}, idcNode())
	addMember(t, f, "ack", virtualNode())
	ctx := t.Context()
	rb, r := &workv1alpha2.ResourceBinding{}, capacityReservation()
	round := func() map[string]int32 {
		t.Helper()
		if _, err := f.Round(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := f.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: "web-deployment"}, rb); err != nil {
			t.Fatal(err)
		}
		out := map[string]int32{}
		for _, c := range rb.Spec.Clusters {
			out[c.Name] = c.Replicas
		}
		return out
	}
	for range 2 {
		if diff := cmp.Diff(map[string]int32{"idc-a": 2}, round()); diff != "" {
			t.Fatalf("Before, it stays home: -want, +got:\n%s", diff)
		}
	}
	if err := f.Client.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int32{"idc-a": 2, "ack": 2}, round()); diff != "" {
		t.Fatalf("The rest starts on virtual nodes at once: -want, +got:\n%s", diff)
	}
	for range 2 {
		if diff := cmp.Diff(map[string]int32{"idc-a": 2, "ack": 2}, round()); diff != "" {
			t.Fatalf("What was granted stays, seen or not: -want, +got:\n%s", diff)
		}
	}
	if err := f.Client.Get(ctx, client.ObjectKeyFromObject(r), r); err != nil {
		t.Fatal(err)
	}
	if r.Status.Running != 2 || len(r.Status.Targets) != 1 || r.Status.Phase == "" || r.Status.ObservedGeneration != r.Generation {
		t.Errorf("The reservation says how it stands: got %+v", r.Status)
	}
	// Nodes are ordered for what is reserved and not used.
	p := &fleetv1alpha1.CapacityPlan{}
	if err := f.Client.Get(ctx, client.ObjectKey{Name: "pool"}, p); err != nil {
		t.Fatal(err)
	}
	if p.Status.Offerings[0].Nodes == 0 {
		t.Errorf("Capacity is ordered for the reservation: got %+v", p.Status.Offerings)
	}
	if p.Status.Replicas.Pending != 0 || p.Status.Replicas.Cloud != 2 {
		t.Errorf("None is pending: got %+v", p.Status.Replicas)
	}
	for range 2 {
		f.statusWritten, f.reservationWritten = map[string]time.Time{}, map[string]time.Time{}
		round()
	}
	writes.Store(0)
	for range 3 {
		f.statusWritten, f.reservationWritten = map[string]time.Time{}, map[string]time.Time{}
		round()
	}
	if writes.Load() != 0 {
		t.Errorf("At rest nothing is written: got %d writes", writes.Load())
	}
}
