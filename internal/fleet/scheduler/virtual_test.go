package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const virtualTaint = "virtual-kubelet.io/provider"

func virtualLabel(n *corev1.Node) { n.Labels["type"] = "virtual-kubelet" }

// virtual gives a member a virtual node, whose offering the pool has.
func (w *tester) virtual(member string) {
	w.nodes[member] = append(w.nodes[member], node(member+"-vk", "10000", tainted(virtualTaint), virtualLabel, with(corev1.ResourcePods, "10000")))
	w.in.Pools[0].Virtual = append(w.in.Pools[0].Virtual, Virtual{
		Offering: member + "-virtual", Member: member, Moves: true, NodeLabels: map[string]string{"type": "virtual-kubelet"},
		Tolerations: []corev1.Toleration{{Key: virtualTaint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
	})
}

func tolerates(members ...string) bindingOption {
	return func(b *Binding) {
		b.Tolerates = map[string]bool{}
		for _, m := range members {
			b.Tolerates[m] = true
		}
	}
}

func toleratesAll(b *Binding) {
	b.Template.Spec.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
}

// onVirtual puts pods of a deployment on the virtual node of a member.
func (w *tester) onVirtual(member, deployment, cpu string, n int, ready bool) {
	for range n {
		p := w.pod(member, deployment, member+"-vk", cpu, ready)
		p.Annotations = map[string]string{corev1.PodDeletionCost: DeletionCost}
	}
}

// waiting pods of a deployment tolerate the virtual node, and their
// kube-scheduler said long ago that there is no place.
func (w *tester) waiting(member, deployment, cpu string, n int, vs []Virtual) {
	for range n {
		p := w.pod(member, deployment, "", cpu, false)
		t := Tolerant(&corev1.PodTemplateSpec{Spec: p.Spec}, vs)
		p.Spec = t.Spec
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(epoch.Add(-time.Minute)),
		}}
	}
}

func TestVirtual(t *testing.T) {
	type want struct {
		Targets   targetsOf
		Virtual   targetsOf
		Pending   int32
		Demand    int32
		Moving    int32
		OnVirtual targetsOf
	}
	// One node of 8 CPU holds two replicas of 3 CPU.
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   want
	}{
		"NotFilled": {
			reason: "A round fills real nodes only: what virtual nodes take is granted by the planner.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(1, "c", "8")...)
				w.virtual("ack")
				w.binding("web", 5, "3", nil, tolerates("ack"))
			},
			want: want{Targets: targetsOf{"ack": 2}, Pending: 3, Demand: 3},
		},
		"ToleratesByItself": {
			reason: "A workload that tolerates everything is kept off virtual nodes as well.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(1, "c", "8")...)
				w.virtual("ack")
				w.binding("web", 5, "3", nil, toleratesAll)
			},
			want: want{Targets: targetsOf{"ack": 2}, Pending: 3, Demand: 3},
		},
		"GrantsAreKept": {
			reason: "Replicas that were granted and are not seen yet are neither pending nor taken back.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(1, "c", "8")...)
				w.virtual("ack")
				w.binding("web", 5, "3", targetsOf{"ack": 5}, tolerates("ack"))
				w.run("ack", "web", "3", 2, true)
				w.pods["ack"][1].Spec.NodeName = "c-0"
			},
			want: want{Targets: targetsOf{"ack": 5}, Virtual: targetsOf{"ack": 3}},
		},
		"NotStuck": {
			reason: "Pods that wait and will be put on virtual nodes are not stuck.",
			build: func(w *tester) {
				w.member("ack", 1)
				w.virtual("ack")
				w.binding("web", 3, "3", targetsOf{"ack": 3}, tolerates("ack"))
				w.waiting("ack", "web", "3", 3, w.in.Pools[0].Virtual)
			},
			want: want{Targets: targetsOf{"ack": 3}, Virtual: targetsOf{"ack": 3}},
		},
		"Stuck": {
			reason: "Those that do not tolerate virtual nodes are.",
			build: func(w *tester) {
				w.member("ack", 1)
				w.virtual("ack")
				w.binding("web", 3, "3", targetsOf{"ack": 3})
				w.waiting("ack", "web", "3", 3, nil)
			},
			want: want{Pending: 3, Demand: 3},
		},
		"BookedForOthers": {
			reason: "Room on real nodes is promised once, also to replicas that tolerate virtual ones.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(1, "c", "8")...)
				w.virtual("ack")
				w.binding("new", 2, "3", nil, tolerates("ack"))
				w.binding("web", 2, "3", targetsOf{"ack": 2}, tolerates("ack"))
			},
			want: want{Pending: 2, Demand: 2},
		},
		"OnVirtual": {
			reason: "What runs on virtual nodes and could move is reported.",
			build: func(w *tester) {
				w.member("ack", 1)
				w.virtual("ack")
				w.binding("web", 3, "3", targetsOf{"ack": 3}, tolerates("ack"))
				w.onVirtual("ack", "web", "3", 3, true)
			},
			want: want{Targets: targetsOf{"ack": 3}, Virtual: targetsOf{"ack": 3}, OnVirtual: targetsOf{"ack-virtual": 3}},
		},
		"OwnCost": {
			reason: "Pods whose deletion cost the user chose cannot be moved: which of them goes is not ours to say.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.virtual("ack")
				w.binding("web", 3, "3", targetsOf{"ack": 3}, tolerates("ack"))
				w.onVirtual("ack", "web", "3", 3, true)
				for _, p := range w.pods["ack"] {
					p.Annotations[corev1.PodDeletionCost] = "5"
				}
			},
			want: want{Targets: targetsOf{"ack": 3}, Virtual: targetsOf{"ack": 3}},
		},
		"StatefulSet": {
			reason: "The pods of a stateful set stay where they started.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.virtual("ack")
				b := w.binding("db", 2, "3", targetsOf{"ack": 2}, tolerates("ack"))
				b.Workload.Kind = "StatefulSet"
				w.onVirtual("ack", "db", "3", 2, true)
				for _, p := range w.pods["ack"] {
					delete(p.Labels, "pod-template-hash")
					p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "StatefulSet", "db"
				}
			},
			want: want{Targets: targetsOf{"ack": 2}, Virtual: targetsOf{"ack": 2}},
		},
		"CutFirst": {
			reason: "Replicas on virtual nodes are the dearest: they are cut before those of a dearer member.",
			build: func(w *tester) {
				w.member("ack", 1)
				w.virtual("ack")
				w.member("tke", 1, nodes(2, "t", "8")...).Price = 9
				w.binding("web", 4, "3", targetsOf{"ack": 4, "tke": 2}, tolerates("ack"))
				w.onVirtual("ack", "web", "3", 4, true)
				w.run("tke", "web", "3", 2, true)
			},
			want: want{Targets: targetsOf{"ack": 2, "tke": 2}, Virtual: targetsOf{"ack": 2}, OnVirtual: targetsOf{"ack-virtual": 2}},
		},
		"UnreadyOnVirtualCut": {
			reason: "Those that are not Ready go at once, also if others are.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(1, "c", "8")...)
				w.virtual("ack")
				w.binding("web", 2, "3", targetsOf{"ack": 4}, tolerates("ack"))
				w.onVirtual("ack", "web", "3", 2, false)
				w.pod("ack", "web", "c-0", "3", true)
				w.pod("ack", "web", "c-0", "3", true)
			},
			want: want{Targets: targetsOf{"ack": 2}},
		},
		"WouldGoBack": {
			reason: "Where the member's kube-scheduler prefers virtual nodes after all, nothing moves for ever.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(1, "c", "8")...)
				w.nodes["ack"][0].Spec.Taints = []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectPreferNoSchedule}}
				w.virtual("ack")
				w.binding("web", 2, "3", targetsOf{"ack": 2}, tolerates("ack"))
				w.onVirtual("ack", "web", "3", 2, true)
			},
			want: want{Targets: targetsOf{"ack": 2}, Virtual: targetsOf{"ack": 2}, OnVirtual: targetsOf{"ack-virtual": 2}},
		},
		"NotReady": {
			reason: "While some on virtual nodes are not Ready none moves: the member could delete the substitutes instead. For one that never will be no node is wanted.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.virtual("ack")
				w.binding("web", 2, "3", targetsOf{"ack": 2}, tolerates("ack"))
				w.onVirtual("ack", "web", "3", 1, true)
				w.onVirtual("ack", "web", "3", 1, false)
			},
			want: want{Targets: targetsOf{"ack": 2}, Virtual: targetsOf{"ack": 2}, OnVirtual: targetsOf{"ack-virtual": 1}},
		},
		"New": {
			reason: "One that has just started will be Ready soon.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.virtual("ack")
				w.binding("web", 1, "3", targetsOf{"ack": 1}, tolerates("ack"))
				w.onVirtual("ack", "web", "3", 1, false)
				w.pods["ack"][0].CreationTimestamp = metav1.NewTime(epoch)
			},
			want: want{Targets: targetsOf{"ack": 1}, Virtual: targetsOf{"ack": 1}, OnVirtual: targetsOf{"ack-virtual": 1}},
		},
		"NeverMoves": {
			reason: "The offering says that replicas stay.",
			build: func(w *tester) {
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.virtual("ack")
				w.in.Pools[0].Virtual[0].Moves = false
				w.binding("web", 2, "3", targetsOf{"ack": 2}, tolerates("ack"))
				w.onVirtual("ack", "web", "3", 2, true)
			},
			want: want{Targets: targetsOf{"ack": 2}, Virtual: targetsOf{"ack": 2}, OnVirtual: targetsOf{"ack-virtual": 2}},
		},
		"NoHeadroom": {
			reason: "A virtual node at home is no room at home.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.virtual("idc-a")
				w.run("idc-a", "other", "3", 1, true)
				w.pod("idc-a", "other", "a-0", "4", true)
				w.member("ack", 1, nodes(2, "c", "8")...)
				w.binding("web", 2, "1", targetsOf{"ack": 2}, tolerates("idc-a"))
				w.run("ack", "web", "1", 2, true)
				w.in.Bindings[0].Rebalance = true
				w.in.Pools[0].HeadroomPercent = 20
			},
			want: want{Targets: targetsOf{"ack": 2}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			out := w.round()
			d := out.Decisions[0]
			got := want{Targets: assigned(d), Virtual: d.Virtual, Pending: d.Pending, Moving: d.Moving}
			if len(got.Targets) == 0 {
				got.Targets = nil
			}
			for _, x := range out.Demands {
				if x.Binding == d.Binding {
					got.Demand += x.Count
				}
			}
			for _, o := range out.OnVirtual {
				if got.OnVirtual == nil {
					got.OnVirtual = targetsOf{}
				}
				got.OnVirtual[o.Offering] += o.Count
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestToNodes: replicas leave virtual nodes for real ones, make before break.
func TestToNodes(t *testing.T) {
	w := newTester(t)
	w.member("ack", 1)
	w.virtual("ack")
	w.binding("web", 8, "3", targetsOf{"ack": 8}, tolerates("ack"))
	w.onVirtual("ack", "web", "3", 8, true)
	d := w.round().Decisions[0]
	if d.Changed || d.Moving > 0 {
		t.Fatalf("Without real nodes nothing moves: got %v", d)
	}

	w.nodes["ack"] = append(w.nodes["ack"], nodes(2, "c", "8")...)
	out := w.round()
	d = out.Decisions[0]
	if got := assigned(d); got["ack"] != 10 || d.Moving != 2 || d.Returning || !d.State.ToNodes {
		t.Fatalf("A quarter of the replicas gets substitutes: got %v, moving %d, returning %t", got, d.Moving, d.Returning)
	}
	if got := out.OnVirtual[0].Count; got != 6 {
		t.Errorf("Nodes are not ordered again for those that move: got %d", got)
	}
	b := &w.in.Bindings[0]
	b.Assigned, b.State, b.LastScheduled = assigned(d), d.State, w.in.Now
	d = w.round().Decisions[0]
	if got := assigned(d); got["ack"] != 10 || d.Changed {
		t.Fatalf("Before they are seen nothing is cut: got %v", got)
	}
	s1, s2 := w.pod("ack", "web", "c-0", "3", false), w.pod("ack", "web", "c-1", "3", false)
	d = w.round().Decisions[0]
	if got := assigned(d); got["ack"] != 10 || d.Changed {
		t.Fatalf("Before they are Ready nothing is cut: got %v", got)
	}
	ready := []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	s1.Status.Conditions, s2.Status.Conditions = ready, ready
	d = w.round().Decisions[0]
	if got := assigned(d); got["ack"] != 8 || d.State.ToNodes || d.State.ExcessSince != nil {
		t.Fatalf("Then as many go: got %v, state %v", got, d.State)
	}
	b.Assigned, b.State = assigned(d), d.State
	w.pods["ack"] = w.pods["ack"][2:]
	d = w.round().Decisions[0]
	if got := assigned(d); got["ack"] != 10 {
		t.Fatalf("The next two follow: got %v", got)
	}

	b.Assigned, b.State = assigned(d), d.State
	w.in.Now = w.in.Now.Add(w.in.Settings.MoveTimeout)
	d = w.round().Decisions[0]
	if got := assigned(d); got["ack"] != 8 || d.State.NotBefore == nil {
		t.Fatalf("Substitutes that do not become Ready are taken back: got %v, state %v", got, d.State)
	}
	b.Assigned, b.State = assigned(d), d.State
	d = w.round().Decisions[0]
	if d.Changed {
		t.Errorf("It is not tried again at once: got %v", assigned(d))
	}
}

// TestRandomVirtual: whatever comes, with nodes that come and go, grants, holds
// and moves, no Ready replica that is wanted is lost.
func TestRandomVirtual(t *testing.T) {
	moved := 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := newTester(t)
		w.in.Pools[0].StabilizationWindow = 10 * time.Minute
		w.member("idc-a", 0, nodes(1, "a", "8")...)
		w.member("ack", 1, nodes(3, "c", "8")...)
		w.virtual("ack")
		all := w.nodes["ack"]
		for _, n := range []string{"x", "y"} {
			w.binding(n, int32(r.IntN(8)), "3", nil, tolerates("ack"))
		}
		for step := range 60 {
			w.in.Now = w.in.Now.Add(time.Duration(r.IntN(90)) * time.Second)
			if r.IntN(4) == 0 {
				w.in.Bindings[r.IntN(2)].Replicas = int32(r.IntN(9))
			}
			w.in.Pools[0].Holds = nil
			if r.IntN(2) == 0 {
				w.hold("burst", int32(r.IntN(3)), &w.in.Bindings[r.IntN(2)])
			}
			if step%10 == 0 {
				// Nodes that have pods stay.
				n := r.IntN(4)
				w.nodes["ack"] = slices.DeleteFunc(slices.Clone(all), func(x *corev1.Node) bool {
					used := slices.ContainsFunc(w.pods["ack"], func(p *corev1.Pod) bool { return p.Spec.NodeName == x.Name })
					return !used && x.Name != "ack-vk" && x.Name >= fmt.Sprintf("c-%d", n)
				})
			}
			before := map[string]int32{}
			for _, list := range w.pods {
				for _, p := range list {
					if r.IntN(2) == 0 {
						p.Status = readyStatus
					}
					if p.Spec.NodeName == "ack-vk" {
						p.Annotations = map[string]string{corev1.PodDeletionCost: DeletionCost}
					}
					if len(p.Status.Conditions) > 0 {
						before[p.Labels["app"]]++
					}
				}
			}
			out := w.round()
			for i := range out.Decisions {
				d := &out.Decisions[i]
				if d.State.ToNodes {
					moved++
				}
				for j := range w.in.Bindings {
					if w.in.Bindings[j].ID == d.Binding && r.IntN(2) == 0 {
						d.Grant(&w.in.Bindings[j], "ack", int32(r.IntN(4)))
					}
				}
			}
			w.applyKeepingReady(out)
			after := map[string]int32{}
			for _, list := range w.pods {
				for _, p := range list {
					if len(p.Status.Conditions) > 0 {
						after[p.Labels["app"]]++
					}
				}
			}
			for _, b := range w.in.Bindings {
				n := b.Workload.Name
				if floor := min(b.Replicas, before[n]); after[n] < floor {
					t.Fatalf("Seed %d, step %d: %d of %s are Ready, %d were and %d are wanted", seed, step, after[n], n, before[n], b.Replicas)
				}
				if sum := total(b.Assigned); sum > 2*b.Replicas+8 {
					t.Fatalf("Seed %d, step %d: %d of %s are assigned, %d are wanted", seed, step, sum, n, b.Replicas)
				}
			}
		}
	}
	if moved == 0 {
		t.Error("Replicas moved to nodes: got none")
	}
}

func TestGrant(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(1, "a", "8")...)
	w.member("ack", 1)
	w.virtual("ack")
	b := w.binding("web", 5, "3", nil, tolerates("ack"))
	d := w.round().Decisions[0]
	if got := d.Grant(b, "ack", 7); got != 3 {
		t.Errorf("No more is granted than is unmet: got %d", got)
	}
	want := Decision{Targets: []Target{{"ack", 3}, {"idc-a", 2}}, Own: 2, Cloud: 3, Virtual: targetsOf{"ack": 3}, Changed: true, Message: "5 of 5 placed: ack 3, idc-a 2 (3 on virtual nodes); no more fit: ack: 0/1 nodes are available: 1 node(s) had untolerated taint(s) [TaintToleration 1]; idc-a after 2: 0/1 nodes are available: 1 Insufficient cpu [NodeResourcesFit 1]; in the cloud: 3, which return when the self-built members have had room for them (3 cpu each), and 5 % of their CPU and memory free besides, for 5m0s"}
	got := Decision{Targets: d.Targets, Own: d.Own, Cloud: d.Cloud, Virtual: d.Virtual, Changed: d.Changed, Message: d.Message, Pending: d.Pending, Unmet: d.Unmet}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("What is granted is assigned: -want, +got:\n%s", diff)
	}
}

func TestTolerant(t *testing.T) {
	vs := []Virtual{
		{NodeLabels: map[string]string{"type": "virtual-kubelet"}, Tolerations: []corev1.Toleration{{Key: "v", Operator: corev1.TolerationOpExists}}},
		{NodeLabels: map[string]string{"type": "virtual-kubelet"}, Tolerations: []corev1.Toleration{{Key: "v", Operator: corev1.TolerationOpExists}, {Key: "w"}}},
	}
	own := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Tolerations: []corev1.Toleration{{Key: "mine"}},
		Affinity:    &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}},
	}}
	got := Tolerant(&own, vs).Spec
	want := corev1.PodSpec{
		Tolerations: []corev1.Toleration{{Key: "mine"}, {Key: "v", Operator: corev1.TolerationOpExists}, {Key: "w"}},
		Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}, NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
			Weight: 100, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "type", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"virtual-kubelet"}}}},
		}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("The workload's own stays, and is said once: -want, +got:\n%s", diff)
	}
	if len(own.Spec.Tolerations) != 1 || own.Spec.Affinity.NodeAffinity != nil {
		t.Errorf("The template itself is not changed: got %v", own.Spec)
	}
}
