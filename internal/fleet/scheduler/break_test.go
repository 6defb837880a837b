package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestOddWorkloads: what is known of some workloads is less, or means another
// thing, than of a Deployment at rest.
func TestOddWorkloads(t *testing.T) {
	kind := func(k string) bindingOption { return func(b *Binding) { b.Workload.Kind = k } }
	// Pods of a stateful set, the first of which is not Ready.
	stateful := func(w *tester, member string, n int) {
		for i := range n {
			p := w.pod(member, "db", w.nodes[member][i].Name, "3", i > 0)
			yes := true
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", UID: "db", Controller: &yes}}
			delete(p.Labels, "pod-template-hash")
		}
	}
	waiting := func(w *tester, deployment, hash string) {
		p := w.pod("idc-a", deployment, "", "3", false)
		p.Labels["pod-template-hash"] = hash
		p.OwnerReferences[0].Name = deployment + "-" + hash
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(epoch.Add(-time.Minute))}}
	}
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   map[string]want
	}{
		"StatefulSetLosesItsLast": {
			reason: "The pods of a stateful set that go are its last, not those that are not Ready: a move waits.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.binding("db", 3, "3", targetsOf{"idc-a": 1, "ack": 3}, kind("StatefulSet"))
				stateful(w, "ack", 3)
			},
			want: map[string]want{"default/db": {Targets: targetsOf{"idc-a": 1, "ack": 3}, Moving: 1}},
		},
		"StatefulSetNotThereYet": {
			reason: "Replicas that have no pod are not Ready for sure.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.binding("db", 3, "3", targetsOf{"idc-a": 1, "ack": 3}, kind("StatefulSet"))
				stateful(w, "ack", 2)
			},
			want: map[string]want{"default/db": {Targets: targetsOf{"idc-a": 1, "ack": 2}, Changed: true}},
		},
		"StatefulSetDrains": {
			reason: "When all substitutes are Ready, the pod that is not goes as well.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...).State = Draining
				w.binding("db", 1, "3", targetsOf{"idc-a": 1, "ack": 1}, kind("StatefulSet"))
				stateful(w, "ack", 1)
				stateful(w, "idc-a", 1)
				w.pods["idc-a"][0].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			},
			want: map[string]want{"default/db": {Targets: targetsOf{"idc-a": 1}, Changed: true}},
		},
		"UnknownKindIsReady": {
			reason: "Pods that are not recognized are as Ready as their member reports: they do not go before their substitutes are.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.binding("web", 3, "3", targetsOf{"idc-a": 1, "ack": 3}, kind("Rollout"), func(b *Binding) { b.Reported = map[string]Reported{"ack": {Ready: 3}} })
				w.run("ack", "other", "3", 3, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 1, "ack": 3}, Moving: 1}},
		},
		"UnknownKindIsReservedOnce": {
			reason: "Pods that are not recognized, but reported, hold their room once.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.binding("rollout", 2, "3", targetsOf{"idc-a": 2}, kind("Rollout"), func(b *Binding) { b.Reported = map[string]Reported{"idc-a": {Ready: 2}} })
				w.run("idc-a", "other", "3", 2, true)
				w.binding("web", 2, "3", nil)
			},
			want: map[string]want{
				"default/rollout": {Targets: targetsOf{"idc-a": 2}},
				"default/web":     {Targets: targetsOf{"idc-a": 2}, Changed: true},
			},
		},
		"KnownKindIsNotBelieved": {
			reason: "What Karmada said of a Deployment, whose pods are gone, justifies no cut.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(2, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.binding("web", 2, "3", targetsOf{"idc-a": 2, "ack": 2}, func(b *Binding) { b.Reported = map[string]Reported{"idc-a": {Ready: 2}} })
				w.run("ack", "web", "3", 2, true)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 2, "ack": 2}, Moving: 2}},
		},
		"FailedJobHoldsNoRoom": {
			reason: "A Job that has failed makes no more pods.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.binding("job", 2, "3", targetsOf{"idc-a": 2}, func(b *Binding) {
					b.Movable, b.Workload = false, snapshot.WorkloadKey{Namespace: "default", Kind: "Job", Name: "job"}
					b.Reported = map[string]Reported{"idc-a": {Finished: true}}
				})
				w.binding("web", 2, "3", nil)
			},
			want: map[string]want{
				"default/job": {Targets: targetsOf{"idc-a": 2}},
				"default/web": {Targets: targetsOf{"idc-a": 2}, Changed: true},
			},
		},
		"RolloutWaits": {
			reason: "A rollout's new pod has no room while all replicas run: none is taken away for it.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.binding("web", 2, "3", targetsOf{"idc-a": 2})
				w.run("idc-a", "web", "3", 2, true)
				waiting(w, "web", "new")
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 2}}},
		},
		"RolloutMisses": {
			reason: "Two of its pods have no room, but only one replica is missing.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.member("ack", 1, nodes(4, "c", "8")...)
				w.binding("web", 3, "3", targetsOf{"idc-a": 3})
				w.run("idc-a", "web", "3", 2, true)
				waiting(w, "web", "new")
				waiting(w, "web", "newer")
			},
			want: map[string]want{"default/web": {Targets: targetsOf{"idc-a": 2, "ack": 1}, Changed: true}},
		},
		"LongGrace": {
			reason: "A pod that takes an hour to leave is not waited for: capacity is ordered.",
			build: func(w *tester) {
				w.member("idc-a", 0, nodes(1, "a", "8")...)
				w.pod("idc-a", "old", "a-0", "6", false).DeletionTimestamp = &metav1.Time{Time: epoch.Add(time.Hour)}
				w.binding("web", 1, "3", nil)
			},
			want: map[string]want{"default/web": {Targets: targetsOf{}, Unmet: 1}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			tc.build(w)
			out := w.round()
			got := map[string]want{}
			for _, d := range out.Decisions {
				got[d.Binding] = want{Targets: assigned(d), Changed: d.Changed, Waiting: d.Waiting, Moving: d.Moving}
			}
			for _, d := range out.Demands {
				g := got[d.Binding]
				g.Unmet = d.Count
				got[d.Binding] = g
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
