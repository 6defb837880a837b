package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/simulation"
)

// component of a group: count pods that ask for so much CPU.
func component(name string, count int32, cpu string) Component {
	return Component{Name: name, Count: count, Template: &Template{
		Namespace: "default", Options: []simulation.PodOption{simulation.OwnedBy("batch.volcano.sh/v1alpha1", "Job", name)},
		Spec: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
		}}}}},
	}}
}

func grouped(cs ...Component) bindingOption {
	return func(b *Binding) { b.Template = GroupOf(cs...) }
}

// gang adds a whole-or-nothing workload.
func (w *tester) gang(name string, assigned map[string]int32, cs ...Component) *Binding {
	return w.binding(name, 1, "0", assigned, grouped(cs...), func(b *Binding) {
		b.Gang, b.Movable, b.Workload.Kind = true, false, "Job"
	})
}

// gangPod makes a pod of a gang in a member.
func (w *tester) gangPod(member, gang, node, cpu string) *corev1.Pod {
	p := w.pod(member, gang, node, cpu, false)
	delete(p.Labels, "pod-template-hash")
	p.OwnerReferences[0].APIVersion, p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "batch.volcano.sh/v1alpha1", "Job", gang
	return p
}

func unschedulable(p *corev1.Pod, since time.Time) {
	p.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(since),
	}}
}

func TestGang(t *testing.T) {
	// A driver and three workers of 4 CPU need 14 CPU on two nodes of 8.
	train := func(w *tester, name string, assigned map[string]int32) *Binding {
		return w.gang(name, assigned, component("driver", 1, "2"), component("worker", 3, "4"))
	}
	long := epoch.Add(-time.Minute)
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   map[string]want
	}{
		"FitsWhole": {
			reason: "All components fit one member.",
			build:  func(w *tester) { w.member("idc-a", 0, nodes(2, "a", "8")...); train(w, "train", nil) },
			want:   map[string]want{"default/train": {Targets: targetsOf{"idc-a": 1}, Changed: true}},
		},
		"NotOverTwoMembers": {
			reason: "Two members together have the room, none alone has: nothing starts.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.member("idc-b", 0, nodes(1, "b", "8")...)
				train(w, "train", nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{}, Unmet: 1}},
		},
		"NextTier": {
			reason: "Where a part of it has no place the whole goes to the next tier.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.member("ack", 1, nodes(2, "c", "8")...)
				train(w, "train", nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"ack": 1}, Changed: true}},
		},
		"LeavesNothingBehind": {
			reason: "A gang that has no place takes none: the younger workload gets all of it.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				train(w, "train", nil)
				w.binding("web", 2, "4", nil)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{}, Unmet: 1}, "default/web": {Targets: targetsOf{"idc-a": 2}, Changed: true}},
		},
		"TwoForRoomOfOne": {
			reason: "Of two gangs for the room of one the older starts, as a whole.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				train(w, "old", nil)
				train(w, "young", nil)
			},
			want: map[string]want{"default/old": {Targets: targetsOf{"idc-a": 1}, Changed: true}, "default/young": {Targets: targetsOf{}, Unmet: 1}},
		},
		"PromiseUnseen": {
			reason: "A gang that was assigned keeps its room while none of its pods is seen, also in a fleet that knows only what is written.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				train(w, "young", nil).Priority = 10
				train(w, "old", targetsOf{"idc-a": 1})
			},
			want: map[string]want{"default/old": {Targets: targetsOf{"idc-a": 1}}, "default/young": {Targets: targetsOf{}, Unmet: 1}},
		},
		"PromiseHalfSeen": {
			reason: "Of the pods that are seen the driver is one: three workers are still to come, and have their room.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				train(w, "old", targetsOf{"idc-a": 1})
				w.gangPod("idc-a", "old", "a-0", "2")
				w.binding("web", 3, "2", nil)
			},
			want: map[string]want{"default/old": {Targets: targetsOf{"idc-a": 1}}, "default/web": {Targets: targetsOf{"idc-a": 1}, Changed: true, Unmet: 2}},
		},
		"Succeeded": {
			reason: "Pods that have succeeded are not seen any more, and hold no room.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				train(w, "old", targetsOf{"idc-a": 1}).Reported = map[string]Reported{"idc-a": {Succeeded: 4}}
				w.binding("web", 4, "4", nil)
			},
			want: map[string]want{"default/old": {Targets: targetsOf{"idc-a": 1}}, "default/web": {Targets: targetsOf{"idc-a": 4}, Changed: true}},
		},
		"NotMovedHome": {
			reason: "A gang that runs in the cloud stays there although there is room at home.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(2, "c", "8")...)
				w.in.Pools[0].StabilizationWindow = 0
				train(w, "train", targetsOf{"ack": 1})
				w.gangPod("ack", "train", "c-0", "2")
				for i := range 3 {
					w.gangPod("ack", "train", fmt.Sprintf("c-%d", i%2), "4")
				}
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"ack": 1}}},
		},
		"NotMovedFromSilence": {
			reason: "The word of a member that is silent for a moment is what it was.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...).State = Frozen
				w.member("ack", 1, nodes(2, "c", "8")...)
				train(w, "train", targetsOf{"idc-a": 1})
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"idc-a": 1}}},
		},
		"MovedWhenLost": {
			reason: "A gang whose member is gone starts elsewhere.",
			build: func(w *tester) {
				w.member("idc-a", 0).State = Absent
				w.member("ack", 1, nodes(2, "c", "8")...)
				train(w, "train", targetsOf{"idc-a": 1}).State.Whole = true
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"ack": 1}, Changed: true}},
		},
		"HalfStarted": {
			reason: "A gang that cannot start as a whole where it is, and never did, is placed anew.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.member("ack", 1, nodes(2, "c", "8")...)
				train(w, "train", targetsOf{"idc-a": 1})
				w.gangPod("idc-a", "train", "a-0", "2")
				w.gangPod("idc-a", "train", "a-0", "4")
				unschedulable(w.gangPod("idc-a", "train", "", "4"), long)
				unschedulable(w.gangPod("idc-a", "train", "", "4"), long)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"ack": 1}, Changed: true}},
		},
		"HalfLeft": {
			reason: "A gang that has run as a whole stays, although a node is gone: its work would be lost.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.member("ack", 1, nodes(2, "c", "8")...)
				train(w, "train", targetsOf{"idc-a": 1}).State.Whole = true
				w.gangPod("idc-a", "train", "a-0", "2")
				unschedulable(w.gangPod("idc-a", "train", "", "8"), long)
			},
			want: map[string]want{"default/train": {Targets: targetsOf{"idc-a": 1}}},
		},
		"Divided": {
			reason: "Replicas that are groups of pods are divided; each is whole in its member.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.binding("serve", 3, "0", nil, grouped(component("leader", 1, "2"), component("worker", 2, "6")))
			},
			want: map[string]want{"default/serve": {Targets: targetsOf{"idc-a": 1, "ack": 2}, Changed: true}},
		},
		"DividedComesHome": {
			reason: "One that serves moves home as a whole when there is room, and its substitute runs before it goes.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(2, "c", "8")...)
				w.in.Pools[0].StabilizationWindow = 0
				w.in.Pools[0].HeadroomPercent = 0
				w.binding("serve", 1, "0", targetsOf{"ack": 1}, grouped(component("leader", 1, "2"), component("worker", 2, "6")), func(b *Binding) {
					b.Workload.Kind, b.Reported = "LeaderWorkerSet", map[string]Reported{"ack": {Ready: 1}}
				})
			},
			want: map[string]want{"default/serve": {Targets: targetsOf{"idc-a": 1, "ack": 1}, Changed: true, Moving: 1}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			got := map[string]want{}
			for _, d := range w.round().Decisions {
				got[d.Binding] = want{Targets: assigned(d), Changed: d.Changed, Unmet: d.Unmet, Waiting: d.Waiting, Moving: d.Moving}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestGangRemembersThatItRan: that a gang ran as a whole is remembered when all
// its pods have nodes, and forgotten when its member is lost.
func TestGangRemembersThatItRan(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(1, "a", "8")...)
	w.gang("train", targetsOf{"idc-a": 1}, component("driver", 1, "2"), component("worker", 1, "4"))
	steps := []struct {
		reason string
		change func()
		want   bool
	}{
		{"Nothing of it runs.", func() {}, false},
		{"A part of it runs.", func() { w.gangPod("idc-a", "train", "a-0", "2") }, false},
		{"All of it runs.", func() { w.gangPod("idc-a", "train", "a-0", "4") }, true},
		{"A pod is gone.", func() { w.pods["idc-a"] = w.pods["idc-a"][:1] }, true},
		{"Its member is gone.", func() { w.in.Pools[0].Members[0].State = Absent }, false},
	}
	for _, s := range steps {
		s.change()
		d := w.round().Decisions[0]
		if d.State.Whole != s.want {
			t.Errorf("\nReason: %s\nRun(...): want whole %t, got %t", s.reason, s.want, d.State.Whole)
		}
		w.in.Bindings[0].State = d.State
	}
}

// TestGangsThatBlockEachOther: two gangs that each started half in one member do
// not wait for each other for ever.
func TestGangsThatBlockEachOther(t *testing.T) {
	w := newTester(t)
	w.member("idc-a", 0, nodes(1, "a", "8")...)
	for _, name := range []string{"old", "young"} {
		w.gang(name, targetsOf{"idc-a": 1}, component("worker", 2, "4"))
		w.gangPod("idc-a", name, "a-0", "4")
		unschedulable(w.gangPod("idc-a", name, "", "4"), epoch.Add(-time.Minute))
	}
	var got []map[string]int32
	for range 3 {
		out := w.round()
		last := map[string]int32{}
		for i, d := range out.Decisions {
			w.in.Bindings[i].Assigned, w.in.Bindings[i].State, w.in.Bindings[i].LastScheduled = assigned(d), d.State, w.in.Now
			last[d.Binding] = int32(len(d.Targets))
		}
		got = append(got, last)
		// The member deletes the pods of what was taken back.
		w.pods["idc-a"] = nil
		w.in.Now = w.in.Now.Add(time.Second)
	}
	if diff := cmp.Diff(map[string]int32{"default/old": 1, "default/young": 0}, got[len(got)-1]); diff != "" {
		t.Errorf("\nReason: the older gets the room as a whole\nRun(...): -want, +got:\n%s\nall rounds: %v", diff, got)
	}
}

func TestTogether(t *testing.T) {
	job := func(w *tester, replicas int32, assigned map[string]int32) {
		w.binding("job", replicas, "4", assigned, func(b *Binding) { b.Together, b.Movable, b.Workload.Kind = true, false, "Job" })
	}
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   map[string]want
	}{
		"OverTwoMembers": {
			reason: "All replicas have a place, in two members.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.member("ack", 1, nodes(1, "c", "8")...)
				job(w, 4, nil)
			},
			want: map[string]want{"default/job": {Targets: targetsOf{"idc-a": 2, "ack": 2}, Changed: true}},
		},
		"Waits": {
			reason: "One replica has no place: none starts, and capacity is asked for the one.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				job(w, 3, nil)
				w.binding("web", 2, "4", nil)
			},
			want: map[string]want{"default/job": {Targets: targetsOf{}, Unmet: 1}, "default/web": {Targets: targetsOf{"idc-a": 2}, Changed: true}},
		},
		"Started": {
			reason: "What has started stays as it was divided.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(4, "a", "8")...)
				w.member("ack", 1, nodes(1, "c", "8")...)
				job(w, 4, targetsOf{"idc-a": 2, "ack": 2})
			},
			want: map[string]want{"default/job": {Targets: targetsOf{"idc-a": 2, "ack": 2}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			got := map[string]want{}
			for _, d := range w.round().Decisions {
				got[d.Binding] = want{Targets: assigned(d), Changed: d.Changed, Unmet: d.Unmet, Waiting: d.Waiting, Moving: d.Moving}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRun(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestGrantApart(t *testing.T) {
	whole := Binding{Replicas: 4, Together: true, Template: &Template{}}
	cases := map[string]struct {
		reason  string
		binding Binding
		d       Decision
		n, want int32
	}{
		"Plain":  {"Single replicas start where they may.", Binding{Replicas: 4, Template: &Template{}}, Decision{Unmet: 4}, 1, 1},
		"Whole":  {"All of them start at once.", whole, Decision{Unmet: 4}, 4, 4},
		"Part":   {"A part does not start.", whole, Decision{Unmet: 4}, 3, 0},
		"Others": {"Those that fit elsewhere have no place yet.", whole, Decision{Unmet: 2}, 2, 0},
		"Rest":   {"The others run already.", whole, Decision{Unmet: 2, Targets: []Target{{"ack", 2}}}, 2, 2},
		"Group":  {"Groups are not granted.", Binding{Replicas: 1, Gang: true, Template: GroupOf(component("worker", 2, "1"))}, Decision{Unmet: 1}, 1, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.d.Grant(&tc.binding, "tke", tc.n); got != tc.want {
				t.Errorf("\nReason: %s\nGrant(...): want %d, got %d", tc.reason, tc.want, got)
			}
		})
	}
}

func TestGroupTemplate(t *testing.T) {
	group := GroupOf(component("driver", 1, "2"), component("worker", 3, "4"))
	cases := map[string]struct {
		reason string
		t      *Template
		size   int32
		cpu    int64
	}{
		"Group":  {"A replica is all pods of the group.", group, 4, 14},
		"Single": {"A replica is one pod.", group.Components[0].Template, 1, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			need := tc.t.Requests()
			if tc.t.Size() != tc.size || need.Cpu().Value() != tc.cpu {
				t.Errorf("\nReason: %s\nSize(), Requests(): want %d and %d CPU, got %d and %s", tc.reason, tc.size, tc.cpu, tc.t.Size(), need.Cpu())
			}
		})
	}
}
