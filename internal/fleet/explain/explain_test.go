package explain

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// input is a round over idc-a with two nodes and idc-b and ack with one, of 4 CPU
// each. Workload web of pods of one CPU runs where it is assigned; busy CPU are
// taken of each node of idc-a.
func input(t *testing.T, busy int, replicas int32, assigned map[string]int32, change ...func(*scheduler.Input)) scheduler.Input {
	t.Helper()
	sim, err := simulation.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	b := scheduler.Binding{
		ID: "default/web-deployment", Pool: "pool", Divided: true, Movable: true, Replicas: replicas, Assigned: assigned,
		Workload: snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: "web"},
		Template: &scheduler.Template{Namespace: "default", Options: []simulation.PodOption{simulation.OwnedBy("apps/v1", "Deployment", "web")}, Spec: template("1")},
	}
	in := scheduler.Input{Now: epoch, Settings: scheduler.DefaultSettings, Pools: []scheduler.Pool{{Name: "pool", StabilizationWindow: 5 * time.Minute, HeadroomPercent: 5}}}
	for i, m := range []struct {
		name  string
		nodes int
	}{{"idc-a", 2}, {"idc-b", 1}, {"ack", 1}} {
		var nodes []*corev1.Node
		var pods []*corev1.Pod
		for j := range m.nodes {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", m.name, j)}}
			n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110")}
			nodes = append(nodes, n)
			if m.name == "idc-a" && busy > 0 {
				p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "busy-" + n.Name}, Spec: template(fmt.Sprint(busy)).Spec}
				p.Spec.NodeName = n.Name
				pods = append(pods, p)
			}
		}
		for j := range assigned[m.name] {
			p, err := b.Template.Pod(nil)
			if err != nil {
				t.Fatal(err)
			}
			p.Name = fmt.Sprintf("web-%s-%d", m.name, j)
			p.Spec.NodeName = nodes[int(j)%len(nodes)].Name
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			pods = append(pods, p)
		}
		s, err := snapshot.New(nodes, pods)
		if err != nil {
			t.Fatal(err)
		}
		in.Pools[0].Members = append(in.Pools[0].Members, scheduler.Member{
			Name: m.name, Tier: int32(i / 2), Elastic: i == 2, State: scheduler.Serving, Snapshot: s, Simulator: sim,
		})
	}
	in.Bindings = []scheduler.Binding{b}
	for _, fn := range change {
		fn(&in)
	}
	return in
}

func template(cpu string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}},
	}}}}
}

func TestExplain(t *testing.T) {
	full := map[string]int32{"idc-a": 6, "idc-b": 4, "ack": 2}
	cases := map[string]struct {
		reason string
		in     scheduler.Input
		// fits by member, and what the texts say.
		fits      map[string]int32
		why, home string
	}{
		"AtHome": {
			reason: "What fits at home has nothing to return",
			in:     input(t, 0, 4, map[string]int32{"idc-a": 2, "idc-b": 2}),
			fits:   map[string]int32{"idc-a": 6, "idc-b": 2, "ack": 4},
			why:    "tier 0 has idc-a 2, idc-b 2; tier 1 has none",
		},
		"Full": {
			reason: "Where home is full it says what limits each member, and what must become free",
			in:     input(t, 1, 12, full),
			fits:   map[string]int32{"idc-a": 0, "idc-b": 0, "ack": 2},
			why:    "tier 0 has idc-a 6, idc-b 4 and takes no more there (idc-a: 0/2 nodes are available: 2 Insufficient cpu; idc-b: 0/1 nodes are available: 1 Insufficient cpu); tier 1 has ack 2",
			home:   "2 replicas return when the self-built members have had room for them (1 cpu each), and 5 % of their CPU and memory free besides, for 5m0s; there is room for none now (idc-a: 0/2 nodes are available: 2 Insufficient cpu;",
		},
		"Window": {
			reason: "Where there is room it says how much of the window has passed",
			in: input(t, 0, 8, map[string]int32{"idc-a": 3, "idc-b": 3, "ack": 2}, func(in *scheduler.Input) {
				since := epoch.Add(-80 * time.Second)
				in.Bindings[0].State = scheduler.State{RoomSince: &since, Room: 2}
			}),
			fits: map[string]int32{"idc-a": 5, "idc-b": 1, "ack": 2},
			home: "there has been room for 2 for 1m20s, the first return in 3m40s",
		},
		"Headroom": {
			reason: "Where only the headroom is in the way it says so",
			in:     input(t, 1, 10, map[string]int32{"idc-a": 5, "idc-b": 4, "ack": 1}, func(in *scheduler.Input) { in.Pools[0].HeadroomPercent = 30 }),
			fits:   map[string]int32{"idc-a": 1, "idc-b": 0, "ack": 3},
			home:   "1 would fit now, but not with 30 % left free",
		},
		"Job": {
			reason: "Pods of a Job are not moved",
			in: input(t, 0, 2, map[string]int32{"ack": 2}, func(in *scheduler.Input) {
				in.Bindings[0].Movable, in.Bindings[0].Workload.Kind = false, "Job"
				in.Bindings[0].Reported = map[string]scheduler.Reported{"ack": {Ready: 2}}
			}),
			fits: map[string]int32{"idc-a": 8, "idc-b": 4, "ack": 0},
			home: "replicas of a Job are not moved",
		},
		"Unplaced": {
			reason: "Replicas without a place are told, and come first",
			in:     input(t, 1, 20, map[string]int32{"idc-a": 6, "idc-b": 4, "ack": 4}),
			fits:   map[string]int32{"idc-a": 0, "idc-b": 0, "ack": 0},
			why:    "takes no more there (ack: 0/1 nodes are available: 1 Insufficient cpu); 6 have no place",
			home:   "the 6 replicas without a place come first",
		},
		"Refused": {
			reason: "A member that may not be used says why, one that does not answer too",
			in: input(t, 0, 4, map[string]int32{"idc-b": 4}, func(in *scheduler.Input) {
				in.Bindings[0].Refused = map[string]string{"ack": "the placement does not select it"}
				in.Pools[0].Members[0].State, in.Pools[0].Members[0].Reason = scheduler.Frozen, "its API does not answer"
			}),
			fits: map[string]int32{"idc-a": 0, "idc-b": 0, "ack": 0},
			why:  "tier 0 has idc-b 4 and takes no more there (idc-a: its API does not answer; idc-b: 0/1 nodes are available: 1 Insufficient cpu); tier 1 has none and takes no more there (ack: the placement does not select it)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Explain(context.Background(), tc.in, "default/web-deployment")
			if err != nil {
				t.Fatal(err)
			}
			fits := map[string]int32{}
			for _, m := range got.Members {
				fits[m.Name] = m.Fits
			}
			if diff := cmp.Diff(tc.fits, fits); diff != "" {
				t.Errorf("\nReason: %s\nExplain(...).Members: -want, +got:\n%s\n%s", tc.reason, diff, got.Text())
			}
			if !strings.Contains(got.Why, tc.why) {
				t.Errorf("\nReason: %s\nExplain(...).Why: want %q in it, got %q", tc.reason, tc.why, got.Why)
			}
			if !strings.Contains(got.GoHome, tc.home) || (tc.home == "") != (got.GoHome == "") {
				t.Errorf("\nReason: %s\nExplain(...).GoHome: want %q in it, got %q", tc.reason, tc.home, got.GoHome)
			}
			again, err := Explain(context.Background(), tc.in, "default/web-deployment")
			if diff := cmp.Diff(got, again); diff != "" || err != nil {
				t.Errorf("\nReason: To ask changes nothing\nExplain(...) again (%v): -want, +got:\n%s", err, diff)
			}
		})
	}
	if _, err := Explain(context.Background(), input(t, 0, 1, nil), "default/nope"); err == nil {
		t.Errorf("\nReason: There is no such binding\nExplain(...): want an error")
	}
}

func TestReasonsByPlugin(t *testing.T) {
	got, err := Explain(context.Background(), input(t, 1, 12, map[string]int32{"idc-a": 6, "idc-b": 4, "ack": 2}), "default/web-deployment")
	if err != nil {
		t.Fatal(err)
	}
	m := got.Members[0]
	want := Member{
		Name: "idc-a", State: "Serving", Assigned: 6, Ready: 6, Reasons: map[string]int{"Insufficient cpu": 2}, Plugins: map[string]int{"NodeResourcesFit": 2},
		Message: m.Message,
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("\nReason: Counts by reason and by plugin are those of kube-scheduler\nExplain(...).Members[0]: -want, +got:\n%s", diff)
	}
}
