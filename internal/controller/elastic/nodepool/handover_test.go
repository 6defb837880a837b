package nodepool

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8sfake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// TestHandover: a pool goes while its cluster stays in the federation. Replicas
// that fleet can move are not evicted before it has moved them.
func TestHandover(t *testing.T) {
	m := &federationv1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}, Spec: federationv1alpha1.MemberSpec{ForProvider: federationv1alpha1.MemberParameters{
		ClusterRef: &federationv1alpha1.ClusterReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Cluster", Name: "c"},
	}}}
	owned := func(kind string, p *corev1.Pod) *corev1.Pod {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: "x", Controller: ptr.To(true)}}
		return p
	}
	handing := func(cr *v1alpha1.NodePool) {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonHandover, "before"))
	}
	ago := func(d time.Duration) modifier {
		return func(cr *v1alpha1.NodePool) { cr.DeletionTimestamp.Time = now.Add(-d) }
	}
	since := func(d time.Duration) modifier {
		return func(cr *v1alpha1.NodePool) {
			cr.Status.AtProvider.Draining = []elasticv1alpha1.NodeDrain{{Node: "n1", InstanceID: "i-1", StartedAt: metav1.NewTime(now.Add(-d))}}
		}
	}
	type want struct {
		calls  []string
		pods   []string
		taint  string
		reason xpv2.ConditionReason
		events int
	}
	cases := map[string]struct {
		reason string
		cr     []modifier
		objs   []client.Object
		member *k8sfake.Clientset
		want   want
	}{
		"Replicas": {
			reason: "Pods of a ReplicaSet stay, and the taint tells fleet to move them.", objs: []client.Object{m},
			member: member("", node(1), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{pods: []string{"a"}, taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonHandover},
		},
		"Others": {
			reason: "No substitute can be made for those of other controllers, before they are gone.", objs: []client.Object{m},
			member: member("", node(1), owned("ReplicaSet", pod("app", "a", 1)), owned("StatefulSet", pod("app", "b", 1)), pod("app", "c", 1)),
			want:   want{pods: []string{"a"}, taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonHandover},
		},
		"Moved": {
			reason: "An empty node goes at once.", objs: []client.Object{m},
			member: member("", node(1)),
			want:   want{calls: []string{"Remove [i-1]"}, taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonGoesOn},
		},
		"NotReady": {
			reason: "Nobody counts on what a dead node runs.", objs: []client.Object{m},
			member: member("", node(1, notReady), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonGoesOn},
		},
		"TimeOver": {
			reason: "After the drain time-out what is left is evicted, and an event says so.", cr: []modifier{ago(time.Hour), since(16 * time.Minute), handing}, objs: []client.Object{m},
			member: member("", node(1), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonGoesOn, events: 1},
		},
		"TimeOverBudget": {
			reason: "Budgets hold then as well.", cr: []modifier{ago(time.Hour), since(16 * time.Minute)}, objs: []client.Object{m},
			member: member("a", node(1), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{pods: []string{"a"}, taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonBlocked},
		},
		"OwnTimeout": {
			reason: "The pool says how long.", objs: []client.Object{m},
			cr: []modifier{since(time.Minute), func(cr *v1alpha1.NodePool) {
				cr.Spec.ForProvider.DrainTimeout = &metav1.Duration{Duration: 30 * time.Second}
			}},
			member: member("", node(1), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonGoesOn},
		},
		"LateStart": {
			reason: "The time runs from when fleet could see which nodes go.", cr: []modifier{ago(time.Hour)}, objs: []client.Object{m},
			member: member("", node(1), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{pods: []string{"a"}, taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonHandover},
		},
		"EarlierDrain": {
			reason: "A node that was drained before the pool was deleted says nothing of the others.", cr: []modifier{ago(time.Minute), since(time.Hour)}, objs: []client.Object{m},
			member: member("", node(1), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{pods: []string{"a"}, taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonHandover},
		},
		"NoMember": {
			reason: "Outside a federation nobody would move them.",
			member: member("", node(1), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{reason: lifecycle.ReasonGoesOn},
		},
		"Marked": {
			reason: "A node that was released alone before gets the other mark.", objs: []client.Object{m},
			member: member("", node(1, releasing), owned("ReplicaSet", pod("app", "a", 1))),
			want:   want{pods: []string{"a"}, taint: fleetv1alpha1.ReleasingPool, reason: lifecycle.ReasonHandover},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			api := &fakeDriver{MockGet: pool(PhaseActive, 1, 1), MockMachines: machines(1)}
			cr := nodePool(append([]modifier{named, deleted}, tc.cr...)...)
			e := newExternal(t, api, tc.member, append(tc.objs, cr.DeepCopy(), cluster(elastic.PhaseRunning))...)
			events := &recorder{}
			e.Record = events
			if o, err := e.Observe(context.Background(), cr); err != nil || !o.ResourceExists {
				t.Fatalf("\nReason: %s\nObserve(...): %+v, %v", tc.reason, o, err)
			}
			if _, err := e.Delete(context.Background(), cr); err != nil {
				t.Fatalf("\nReason: %s\nDelete(...): %v", tc.reason, err)
			}
			got := want{calls: api.Calls, reason: cr.GetCondition(lifecycle.TypeDeletionBlocked).Reason, events: events.n}
			n, err := tc.member.CoreV1().Nodes().Get(context.Background(), "n1", metav1.GetOptions{})
			if err != nil || !marked(n) || !n.Spec.Unschedulable || len(n.Spec.Taints) != 1 {
				t.Fatalf("\nReason: %s\nthe node has to be cordoned once: %+v, %v", tc.reason, n.Spec, err)
			}
			got.taint = n.Spec.Taints[0].Value
			left, err := tc.member.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range left.Items {
				got.pods = append(got.pods, left.Items[i].Name)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("\nReason: %s\nDelete(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// recorder counts events.
type recorder struct {
	event.NopRecorder
	n int
}

func (r *recorder) Event(runtime.Object, event.Event) { r.n++ }
