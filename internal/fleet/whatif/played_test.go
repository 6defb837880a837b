package whatif

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// mostly ignores what these tests are not about.
var mostly = cmp.Options{cmpopts.IgnoreFields(Answer{}, "Moments", "HourlyCost", "Unchanged"), cmpopts.IgnoreFields(Placement{}, "Message", "Workload", "Before")}

func ask(t *testing.T, r *region, q Question) Answer {
	t.Helper()
	a, err := Ask(t.Context(), r.world(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestClusterTime: a cluster takes as long as the last one took that was seen
// being made at the same place, and one that is being made has begun already.
func TestClusterTime(t *testing.T) {
	at := epoch.Add(-24 * time.Hour)
	built := func(place string) planner.Memory {
		return planner.Memory{Built: map[string]planner.Built{place: {Member: "tke-old", At: at, Seconds: 400}}}
	}
	cases := map[string]struct {
		reason string
		memory planner.Memory
		want   Cluster
		ready  metav1.Duration
	}{
		"Unknown": {
			reason: "Nothing is known of Guangzhou", memory: built("TKE ap-shanghai"),
			want:  Cluster{Name: "tke", ReadyAfter: seconds(600), Takes: seconds(600), Because: "assumed: no cluster was seen being made in TKE ap-guangzhou"},
			ready: seconds(690),
		},
		"Seen": {
			reason: "One was made in Guangzhou before", memory: built("TKE ap-guangzhou"),
			want:  Cluster{Name: "tke", ReadyAfter: seconds(400), Takes: seconds(400), Because: "as long as tke-old took, which was there at 2026-02-28T12:00:00Z"},
			ready: seconds(490),
		},
		"Begun": {
			reason: "It was ordered three minutes ago", memory: planner.Memory{
				Building: map[string]time.Time{"tke": epoch.Add(-3 * time.Minute)}, Built: built("TKE ap-guangzhou").Built,
			},
			want:  Cluster{Name: "tke", ReadyAfter: seconds(220), Takes: seconds(400), Because: "as long as tke-old took, which was there at 2026-02-28T12:00:00Z"},
			ready: seconds(310),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := spilled(t)
			r.memory = tc.memory
			o := &r.plan.Spec.Offerings[1]
			o.Source, o.Region = &fleetv1alpha1.OfferingSource{Cloud: fleetv1alpha1.CloudTKE}, "ap-guangzhou"
			if len(tc.memory.Building) > 0 {
				r.plan.Status.Members = []fleetv1alpha1.PlanMemberStatus{{Name: "tke", Wanted: true}}
			}
			got := ask(t, r, Question{Scale: []Scale{{Binding: "default/web", Replicas: 24}}, Horizon: metav1.Duration{Duration: time.Hour}})
			if diff := cmp.Diff([]Cluster{tc.want}, got.Clusters); diff != "" || got.ReadyAfter != tc.ready {
				t.Errorf("\nReason: %s\nAsk(...): ready after %s, clusters -want, +got:\n%s", tc.reason, got.ReadyAfter.Duration, diff)
			}
		})
	}
}

// TestVirtualOfANewCluster: replicas start on the virtual nodes of a cluster as
// soon as it is made.
func TestVirtualOfANewCluster(t *testing.T) {
	r := spilled(t)
	labels := map[string]string{"regionpool.io/offering": "tke-virtual"}
	taint := corev1.Taint{Key: "eklet", Effect: corev1.TaintEffectNoSchedule}
	r.plan.Spec.Offerings = []fleetv1alpha1.Offering{r.plan.Spec.Offerings[0], {
		Name: "tke-virtual", Member: "tke", Max: 10, StartSeconds: 15, HourlyPrice: resource.MustParse("1"), Zones: []string{"ap-guangzhou-3", "ap-guangzhou-4"},
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi")}, Labels: labels, Taints: []corev1.Taint{taint},
		Virtual: &fleetv1alpha1.VirtualCapacity{
			NodeLabels: labels, Tolerations: []corev1.Toleration{{Key: "eklet", Operator: corev1.TolerationOpExists}},
			CPUHour: resource.MustParse("0.1"), MemoryGiBHour: resource.MustParse("0.05"), Moves: fleetv1alpha1.MoveNever,
		},
	}}
	v := r.plan.Spec.Offerings[1].Virtual
	r.virtual = []scheduler.Virtual{{Offering: "tke-virtual", Member: "tke", NodeLabels: v.NodeLabels, Tolerations: v.Tolerations, Largest: r.plan.Spec.Offerings[1].Allocatable}}
	for i := range r.bindings {
		r.bindings[i].Tolerates = map[string]bool{"tke": true}
	}
	got := ask(t, r, Question{Scale: []Scale{{Binding: "default/web", Replicas: 25}}, Horizon: metav1.Duration{Duration: time.Hour}})
	want := Answer{
		Placements: []Placement{{Binding: "default/web-deployment", After: Placed{Wanted: 25, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 12, "tke": 5}}}},
		Orders:     []Order{{Pool: "pool", Offering: "ack-g", Member: "ack", Before: 1, Peak: 3, After: 3, HourlyPrice: "1", StartSeconds: 90}},
		Clusters:   []Cluster{{Name: "tke", ReadyAfter: seconds(600), Takes: seconds(600), Because: "assumed: no cluster was seen being made in tke"}},
		ReadyAfter: seconds(615), SettledAfter: seconds(615), Settled: true,
	}
	if diff := cmp.Diff(want, got, mostly); diff != "" {
		t.Errorf("\nReason: Virtual nodes come with their cluster, and pods there start in 15 s\nAsk(...): -want, +got:\n%s\n%s", diff, got.Text())
	}
	// Four nodes, two clusters with a fee of 0.5, five pods of a CPU.
	if got.HourlyCost.After != "4.5" {
		t.Errorf("\nReason: What runs on virtual nodes costs\nAsk(...): got %+v", got.HourlyCost)
	}
	// Then it shrinks: what is on virtual nodes goes, and the cluster with it.
	got = ask(t, r, Question{Scale: []Scale{{Binding: "default/web", Replicas: 8}}, Horizon: metav1.Duration{Duration: 3 * time.Hour}})
	if len(got.Clusters) > 0 || got.HourlyCost.After != "0.5" {
		t.Errorf("\nReason: Nothing of the first question is left\nAsk(...): got %s", got.Text())
	}
}

// TestReservationEnds: what a reservation holds costs until it ends; what it
// brought drains then, and goes.
func TestReservationEnds(t *testing.T) {
	r := spilled(t)
	fee := resource.MustParse("0.5")
	res := &fleetv1alpha1.CapacityReservation{
		ObjectMeta: metav1.ObjectMeta{Name: "sale"},
		Spec: fleetv1alpha1.CapacityReservationSpec{
			Pool: "pool", Until: metav1.NewTime(epoch.Add(20 * time.Minute)), Amount: fleetv1alpha1.Amount{Replicas: ptr.To(int32(8))}, Prefer: []string{"tke"},
			Members:   []fleetv1alpha1.PlanMember{{Name: "tke", Tier: 2, Elastic: true, HourlyCost: &fee}},
			Offerings: []fleetv1alpha1.Offering{r.plan.Spec.Offerings[1]},
		},
	}
	r.plan.Spec.Members, r.plan.Spec.Offerings = r.plan.Spec.Members[:3], r.plan.Spec.Offerings[:1]
	r.plan.Spec.ScaleDown.ClusterIdle.Duration = 10 * time.Minute
	r.reserving = []*round.Reservation{{
		CapacityReservation: res, Targets: []round.Target{{Binding: "default/web-deployment", Name: "default/web", Template: r.bindings[1].Template}},
		Baselines: map[string]int32{"default/web-deployment": 4},
	}}
	before := res.DeepCopy()
	got := ask(t, r, Question{Horizon: metav1.Duration{Duration: 3 * time.Hour}})
	want := Answer{
		Clusters:     []Cluster{{Name: "tke", ReadyAfter: seconds(600), Takes: seconds(600), Because: "assumed: no cluster was seen being made in tke"}},
		SettledAfter: got.SettledAfter, Settled: true,
	}
	if diff := cmp.Diff(want, got, mostly, cmpopts.IgnoreFields(Answer{}, "Orders")); diff != "" {
		t.Errorf("\nReason: Nobody needs what is held\nAsk(...): -want, +got:\n%s\n%s", diff, got.Text())
	}
	if c := got.HourlyCost; c.Peak != "5" || c.After != "1.5" || got.SettledAfter.Duration < 20*time.Minute {
		t.Errorf("\nReason: Two nodes and a cluster are held for twenty minutes, and go\nAsk(...): got %s", got.Text())
	}
	// In use, what it brought drains to where there is room.
	got = ask(t, r, Question{Scale: []Scale{{Binding: "default/web", Replicas: 20}}, Horizon: metav1.Duration{Duration: 3 * time.Hour}})
	after := map[string]int32{}
	for _, p := range got.Placements {
		after = p.After.Members
	}
	if diff := cmp.Diff(placement{"idc-a": 4, "idc-b": 4, "ack": 12}, after); diff != "" || !got.Settled || got.Unplaced != 0 {
		t.Errorf("\nReason: Replicas leave what drains\nAsk(...): -want, +got:\n%s\n%s", diff, got.Text())
	}
	if diff := cmp.Diff(before, res); diff != "" {
		t.Errorf("\nReason: Nothing is written\nAsk(...): the reservation: -want, +got:\n%s", diff)
	}
}

// volumes is a region with three local volumes in each self-built member, no
// cloud, and a workload whose replicas claim one each.
func volumes(t *testing.T) *region {
	r := newRegion(t)
	wait := storagev1.VolumeBindingWaitForFirstConsumer
	r.objects = append(r.objects, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: &wait})
	for i := range 3 {
		r.objects = append(r.objects, &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pv-%d", i)},
			Spec: corev1.PersistentVolumeSpec{
				StorageClassName: "local", Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/mnt"}},
				NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"idc-a-1", "idc-b-1"}}},
				}}}},
			},
			Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
		})
	}
	for _, ns := range r.nodes {
		for _, n := range ns {
			n.Labels[corev1.LabelHostname] = n.Name
		}
	}
	r.plan.Spec.Offerings = nil
	r.deploy("db", placement{})
	claim := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: ptr.To("local"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}},
	}}
	b := &r.bindings[0]
	b.Template.Options = append(b.Template.Options, simulation.WithClaimTemplates(claim))
	return r
}

// TestVolumes: replicas that claim volumes take those that are there, each once,
// and give them back when they go.
func TestVolumes(t *testing.T) {
	r := volumes(t)
	for _, tc := range []struct {
		reason       string
		replicas     int32
		placed, left int32
	}{
		{"There are volumes for all", 5, 5, 0},
		{"A volume is taken once", 9, 6, 3},
	} {
		got := ask(t, r, Question{Scale: []Scale{{Binding: "default/db", Replicas: tc.replicas}}})
		n := int32(0)
		for _, p := range got.Placements {
			n += p.After.Members["idc-a"] + p.After.Members["idc-b"]
		}
		if n != tc.placed || got.Unplaced != tc.left || !got.Settled {
			t.Errorf("\nReason: %s\nAsk(...): want %d placed and %d not, got %s", tc.reason, tc.placed, tc.left, got.Text())
		}
	}
	p, err := newPlay(t.Context(), r.world())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	m := p.members["idc-a"]
	bound := func() int {
		n := 0
		for _, o := range m.snapshot.Objects().Set(snapshot.PersistentVolumes).Items() {
			if o.(*corev1.PersistentVolume).Spec.ClaimRef != nil {
				n++
			}
		}
		return n
	}
	for _, n := range []int32{2, 3} {
		p.in.Bindings[0].Assigned = map[string]int32{"idc-a": n}
		if _, err := p.run(); err != nil {
			t.Fatal(err)
		}
		if got := bound(); got != int(n) {
			t.Errorf("\nReason: Claims outlive the fork on which they were made\nrun(): %d volumes are bound with %d replicas", got, n)
		}
	}
	p.in.Bindings[0].Assigned = map[string]int32{}
	if _, err := p.run(); err != nil {
		t.Fatal(err)
	}
	if claims := m.snapshot.Objects().Set(snapshot.PersistentVolumeClaims).Items(); len(claims) > 0 {
		t.Errorf("\nReason: Claims of a Deployment's pods go with them\nrun(): %d are left", len(claims))
	}
}
