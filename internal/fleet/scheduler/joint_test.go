package scheduler

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const device = corev1.ResourceName("nvidia.com/gpu")

func staysHome(b *Binding) { b.StaysHome = "it stays at home" }

func priority(n int32) bindingOption { return func(b *Binding) { b.Priority = n } }

// asks for n devices.
func asks(n string) bindingOption {
	return func(b *Binding) {
		requests(device, n)(b)
		b.Template.Spec.Spec.Containers[0].Resources.Limits = corev1.ResourceList{device: b.Template.Spec.Spec.Containers[0].Resources.Requests[device]}
	}
}

func labelled(key, value string) nodeOption {
	return func(n *corev1.Node) { n.Labels[key] = value }
}

func selects(key, value string) bindingOption {
	return func(b *Binding) { b.Template.Spec.Spec.NodeSelector = map[string]string{key: value} }
}

func overZones(b *Binding) {
	b.Template.Spec.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway}}
}

func TestJoint(t *testing.T) {
	type want = map[string]map[string]int32
	cases := map[string]struct {
		reason string
		world  func(w *tester)
		want   want
	}{
		"HomeForWhoMustStay": {
			reason: "The older one would take the only room at home, and could run elsewhere",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "2"))
				w.member("ack", 1, node("c-0", "2"))
				w.binding("older", 2, "1", nil)
				w.binding("bound", 2, "1", nil, staysHome)
			},
			want: want{"default/older": {"ack": 2}, "default/bound": {"idc-a": 2}},
		},
		"HomeForWhoFitsNowhereElse": {
			reason: "That only nodes at home have what the younger one selects is found out by simulation",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "2", labelled("disk", "ssd")))
				w.member("ack", 1, node("c-0", "2"))
				w.binding("older", 1, "2", nil)
				w.binding("picky", 1, "2", nil, selects("disk", "ssd"))
			},
			want: want{"default/older": {"ack": 1}, "default/picky": {"idc-a": 1}},
		},
		"UncontendedAsBefore": {
			reason: "Where all get what they ask for at home, the oldest fills first",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "4"))
				w.member("ack", 1, node("c-0", "4"))
				w.binding("older", 2, "1", nil)
				w.binding("bound", 2, "1", nil, staysHome)
			},
			want: want{"default/older": {"idc-a": 2}, "default/bound": {"idc-a": 2}},
		},
		"OlderHasTheHome": {
			reason: "Of placements that are as good, the one in the order of age stays",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "2"))
				w.member("ack", 1, node("c-0", "4"))
				w.binding("older", 2, "1", nil)
				w.binding("younger", 2, "1", nil)
			},
			want: want{"default/older": {"idc-a": 2}, "default/younger": {"ack": 2}},
		},
		"PriorityIsNeverUnplaced": {
			reason: "One of a higher priority keeps its place, however many of a lower one have none for it",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "4"))
				w.binding("low", 4, "1", nil)
				w.binding("high", 1, "4", nil, priority(1))
			},
			want: want{"default/high": {"idc-a": 1}},
		},
		"PriorityMayGoElsewhere": {
			reason: "A higher priority is a right to a place, not to a place at home that another needs",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "2"))
				w.member("ack", 1, node("c-0", "2"))
				w.binding("high", 2, "1", nil, priority(1))
				w.binding("bound", 2, "1", nil, staysHome)
			},
			want: want{"default/high": {"ack": 2}, "default/bound": {"idc-a": 2}},
		},
		"FewerCoresInTheCloud": {
			reason: "One large replica fills what two small ones would break up, and the rest of which nobody could use",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "4"))
				w.member("ack", 1, node("c-0", "4"))
				w.binding("small", 2, "1", nil)
				w.binding("large", 1, "4", nil)
			},
			want: want{"default/small": {"ack": 2}, "default/large": {"idc-a": 1}},
		},
		"HolesStayWhole": {
			reason: "Most room is on the node with devices, but who needs none leaves it whole",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "8", with(device, "4")))
				w.member("idc-b", 0, node("b-0", "2"))
				w.binding("plain", 2, "1", nil)
			},
			want: want{"default/plain": {"idc-b": 2}},
		},
		"HolesForThoseWhoNeedThem": {
			reason: "The older one would break up the only node that has room for the devices' owner",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "8", with(device, "4")))
				w.member("ack", 1, node("c-0", "8"))
				w.binding("plain", 1, "2", nil)
				w.binding("trainer", 1, "8", nil, asks("4"))
			},
			want: want{"default/plain": {"ack": 1}, "default/trainer": {"idc-a": 1}},
		},
		"HolesWeighAsTold": {
			reason: "Whoever gives holes a higher weight than the cloud keeps them whole at its price",
			world: func(w *tester) {
				weights := DefaultWeights
				weights.Hole = 10 * weights.Cloud
				w.in.Pools[0].Weights = &weights
				w.member("idc-a", 0, node("a-0", "8", with(device, "4")))
				w.member("ack", 1, node("c-0", "8"))
				w.binding("plain", 1, "2", nil)
			},
			want: want{"default/plain": {"ack": 1}},
		},
		"SpreadIsAskedFor": {
			reason: "What spreads over zones is in as many members as can be, though one has more room",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "4"))
				w.member("idc-b", 0, node("b-0", "2"))
				w.run("idc-b", "neighbour", "1", 1, true)
				w.binding("other", 1, "1", nil)
				w.binding("web", 2, "1", nil, overZones)
			},
			want: want{"default/other": {"idc-a": 1}, "default/web": {"idc-a": 1, "idc-b": 1}},
		},
		"WhoRunsStays": {
			reason: "Replicas that run keep the room at home: nobody is moved for one that waits",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "2"))
				w.member("ack", 1, node("c-0", "2"))
				w.run("idc-a", "older", "1", 2, true)
				w.binding("older", 2, "1", map[string]int32{"idc-a": 2})
				w.binding("bound", 2, "1", nil, staysHome)
			},
			want: want{"default/older": {"idc-a": 2}},
		},
		"WhoRunsCanWait": {
			reason: "One that runs in a member that drains comes after one that runs nowhere, although it is older",
			world: func(w *tester) {
				w.member("idc-a", 0, node("a-0", "1"))
				w.member("idc-b", 0, node("b-0", "1")).State = Draining
				w.run("idc-b", "older", "1", 1, true)
				w.binding("older", 1, "1", map[string]int32{"idc-b": 1})
				w.binding("new", 1, "1", nil)
			},
			want: want{"default/older": {"idc-b": 1}, "default/new": {"idc-a": 1}},
		},
		"NoSearch": {
			reason: "Without steps bindings are placed one by one",
			world: func(w *tester) {
				w.in.Settings.JointSteps = 0
				w.member("idc-a", 0, node("a-0", "2"))
				w.member("ack", 1, node("c-0", "2"))
				w.binding("older", 2, "1", nil)
				w.binding("bound", 2, "1", nil, staysHome)
			},
			want: want{"default/older": {"idc-a": 2}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.in.Settings.JointTime = 0
			tc.world(w)
			out := w.round()
			if diff := cmp.Diff(tc.want, placed(out)); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
			}
			for _, m := range w.in.Pools[0].Members {
				if m.State != Serving {
					continue
				}
				promised := int32(0)
				for _, d := range out.Decisions {
					promised += assigned(d)[m.Name]
					if !m.Elastic {
						// What could return home is kept on the fork too.
						promised += d.State.Room
					}
				}
				// The neighbours are nobody's promise.
				for _, p := range w.pods[m.Name] {
					if p.Labels["app"] == "neighbour" {
						promised++
					}
				}
				if got := podsOn(out, m.Name); got != promised {
					t.Errorf("\nReason: %s\nRun(...): %d pods on the fork of %s, want %d: what is promised, once", tc.reason, got, m.Name, promised)
				}
			}
		})
	}
}

// podsOn counts the pods on the fork of a member.
func podsOn(out Output, member string) int32 {
	n := 0
	infos, _ := out.Forks[member].List()
	for _, ni := range infos {
		n += len(ni.GetPods())
	}
	return int32(n)
}

// TestJointMany has more bindings than are searched in full.
func TestJointMany(t *testing.T) {
	w := newTester(t)
	w.in.Settings.JointTime, w.in.Settings.JointSteps = 0, 1000
	w.member("idc-a", 0, nodes(5, "a", "8")...)
	w.member("idc-b", 0, nodes(5, "b", "8")...)
	w.member("ack", 1, nodes(10, "c", "8")...)
	for i := range 20 {
		w.binding(fmt.Sprintf("older-%02d", i), 4, "1", nil)
	}
	for i := range 10 {
		w.binding(fmt.Sprintf("bound-%02d", i), 4, "1", nil, staysHome)
	}
	for _, d := range w.round().Decisions {
		if d.Pending > 0 {
			t.Errorf("\nReason: All have a place if those who may leave home make room\nRun(...): %s", d.Message)
		}
	}
}

func TestWeightsOfEachPool(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, node("a-0", "8", with(device, "4")))
	w.member("ack", 1, node("c-0", "8"))
	w.binding("plain", 1, "2", nil)
	weights := DefaultWeights
	weights.Hole = 10 * weights.Cloud
	other := Pool{Name: "other", StabilizationWindow: 5 * time.Minute, HeadroomPercent: 5, Weights: &weights}
	for _, m := range w.in.Pools[0].Members {
		m.Name = "other-" + m.Name
		w.nodes[m.Name] = w.nodes[w.in.Pools[0].Members[len(other.Members)].Name]
		other.Members = append(other.Members, m)
	}
	w.in.Pools = append(w.in.Pools, other)
	w.binding("picky", 1, "2", nil).Pool = "other"
	got := map[string]map[string]int32{}
	for _, d := range w.round().Decisions {
		got[d.Binding] = assigned(d)
	}
	want := map[string]map[string]int32{"default/plain": {"idc-a": 1}, "default/picky": {"other-ack": 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("\nReason: each pool has weights of its own, also when its bindings wait with those of others\nRun(...): -want, +got:\n%s", diff)
	}
}

// TestClaimsThatGoElsewhere has a simulator that finds less room the second time,
// as it may where replicas bring claims.
func TestClaimsThatGoElsewhere(t *testing.T) {
	w := newTester(t)
	m := w.member("idc-a", 0, node("a-0", "8"))
	calls := 0
	m.Simulator = simulation.SimulatorFn(func(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, n int) (simulation.Result, error) {
		if calls++; calls > 1 {
			n = min(n, 1)
		}
		// Whether the claims could be met is not what is tested.
		pod = pod.DeepCopy()
		pod.Spec.Volumes = nil
		return simulator().Place(ctx, f, pod, n)
	})
	b := w.binding("claims", 3, "1", nil)
	b.Template.Spec.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{}},
	}}}
	out := w.round()
	for _, d := range out.Decisions {
		if d.Binding != "default/claims" {
			continue
		}
		if diff := cmp.Diff(map[string]int32{"idc-a": 1}, assigned(d)); diff != "" || d.Pending != 2 {
			t.Errorf("\nReason: what has a place the second time is placed, the round goes on\nRun(...): %d pending, -want, +got:\n%s", d.Pending, diff)
		}
	}
}
