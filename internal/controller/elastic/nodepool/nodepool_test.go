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

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

func TestWanted(t *testing.T) {
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.NodePool
		plan   *federationv1alpha1.CapacityPlan
		have   int32
		want   int32
	}{
		"Size":       {reason: "A pool outside a plan has a size.", cr: nodePool(func(cr *v1alpha1.NodePool) { cr.Spec.ForProvider.Size = ptr.To[int32](3) }), want: 3},
		"Plan":       {reason: "A pool follows its plan.", cr: nodePool(), plan: plan(4), have: 1, want: 4},
		"Max":        {reason: "The cap holds whatever the plan says.", cr: nodePool(), plan: plan(40), want: 10},
		"Min":        {reason: "So does the minimum.", cr: nodePool(func(cr *v1alpha1.NodePool) { cr.Spec.ForProvider.Min = 2 }), plan: plan(0), want: 2},
		"NoPlan":     {reason: "Without a plan nothing is given back.", cr: nodePool(), have: 7, want: 7},
		"NoOffering": {reason: "Nor if the plan does not know the pool yet.", cr: nodePool(), plan: &federationv1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "plan"}}, have: 7, want: 7},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var objs []client.Object
			if tc.plan != nil {
				objs = append(objs, tc.plan)
			}
			got, err := wanted(context.Background(), newExternal(t, nil, nil, objs...).Host, tc.cr, tc.have)
			if diff := cmp.Diff(tc.want, got.nodes); diff != "" || err != nil {
				t.Errorf("\nReason: %s\nwanted(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	np := func(p Phase, desired, total int32) *State {
		return &State{Phase: p, Desired: desired, Total: total}
	}
	cases := map[string]struct {
		reason    string
		np        *State
		situation situation
		want      decision
	}{
		"Rest":         {reason: "Nothing to do.", np: np(PhaseActive, 3, 3), situation: situation{want: 3, most: 20}},
		"Grow":         {reason: "All missing nodes are ordered in one call.", np: np(PhaseActive, 3, 3), situation: situation{want: 9, most: 20}, want: decision{step: stepGrow, size: 9}},
		"GrowScaling":  {reason: "More demand is ordered while nodes are on their way.", np: np(PhaseScaling, 3, 1), situation: situation{want: 9, most: 20, busy: true}, want: decision{step: stepGrow, size: 9}},
		"Partial":      {reason: "What the cloud could not bring is not ordered again.", np: np(PhaseActive, 9, 4), situation: situation{want: 9, most: 20}},
		"Lower":        {reason: "An order that was not filled is taken back without touching nodes.", np: np(PhaseActive, 9, 4), situation: situation{want: 6, most: 20}, want: decision{step: stepLower, size: 6}},
		"LowerToThere": {reason: "Never below what is there: the cloud would remove without a drain.", np: np(PhaseActive, 9, 4), situation: situation{want: 2, most: 20}, want: decision{step: stepLower, size: 4}},
		"Shrink":       {reason: "Nodes that are there are drained.", np: np(PhaseActive, 4, 4), situation: situation{want: 1, most: 20}, want: decision{step: stepShrink, excess: 3}},
		"ShrinkBusy":   {reason: "Not while a task is running.", np: np(PhaseActive, 4, 4), situation: situation{want: 1, most: 20, busy: true}},
		"Removing":     {reason: "Not while the cloud removes nodes.", np: np(PhaseBusy, 4, 4), situation: situation{want: 9, most: 20}},
		"Extra":        {reason: "A node too many is the cloud's to take back.", np: np(PhaseActive, 1, 2), situation: situation{want: 1, most: 20}},
		"LowerShort":   {reason: "What is known to be sold out is taken back at once, also while the cloud is trying.", np: np(PhaseScaling, 9, 4), situation: situation{want: 2, most: 20, short: true}, want: decision{step: stepLower, size: 4}},
		"LowerOnWay":   {reason: "What is on its way is not: the cloud would choose what to remove.", np: np(PhaseScaling, 9, 4), situation: situation{want: 2, most: 20}},
		"Notice":       {reason: "A node that the cloud will take is replaced first.", np: np(PhaseActive, 3, 3), situation: situation{want: 3, most: 20, noticed: 1}, want: decision{step: stepGrow, size: 4}},
		"NoticeDrain":  {reason: "Then it is drained, while its substitute is on its way.", np: np(PhaseScaling, 4, 3), situation: situation{want: 3, most: 20, noticed: 1, busy: true}, want: decision{step: stepShrink, excess: 1}},
		"NoticeMax":    {reason: "A substitute never passes the cap.", np: np(PhaseActive, 3, 3), situation: situation{want: 3, most: 3, noticed: 1}, want: decision{step: stepShrink, excess: 1}},
		"NoticeShrink": {reason: "Nor is there one for a node too many.", np: np(PhaseActive, 4, 4), situation: situation{want: 1, most: 20, noticed: 1}, want: decision{step: stepShrink, excess: 3}},
		"Configure":    {reason: "The configuration comes first: new nodes get it.", np: &State{Phase: PhaseActive, Desired: 1, Total: 1, Differs: true}, situation: situation{want: 5, most: 20}, want: decision{step: stepConfigure}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, decide(tc.np, tc.situation), cmp.AllowUnexported(decision{})); diff != "" {
				t.Errorf("\nReason: %s\ndecide(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestCapacity(t *testing.T) {
	is := func(s corev1.ConditionStatus, r xpv2.ConditionReason, ago time.Duration) modifier {
		return func(cr *v1alpha1.NodePool) {
			cr.SetConditions(xpv2.Condition{Type: elasticv1alpha1.TypeCapacityAvailable, Status: s, Reason: r, LastTransitionTime: metav1.NewTime(now.Add(-ago))})
		}
	}
	wants := func(cr *v1alpha1.NodePool) { cr.Status.AtProvider.Wanted = 5 }
	sold := &cloud.Error{Class: cloud.OutOfStock, Operation: "Scale", Code: "OperationDenied.NoStock", Message: "ecs.g7.large is sold out in cn-test-b"}
	type want struct {
		status corev1.ConditionStatus
		reason xpv2.ConditionReason
	}
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.NodePool
		total  int32
		failed error
		want   want
	}{
		"OnItsWay":  {reason: "Machines take a while.", cr: nodePool(wants), total: 1, want: want{corev1.ConditionUnknown, reasonOnItsWay}},
		"Patience":  {reason: "They may take a minute.", cr: nodePool(wants, is(corev1.ConditionUnknown, reasonOnItsWay, time.Minute)), total: 1},
		"Stalled":   {reason: "But not longer.", cr: nodePool(wants, is(corev1.ConditionUnknown, reasonOnItsWay, 2*time.Minute)), total: 1, want: want{corev1.ConditionFalse, reasonStalled}},
		"SoldOut":   {reason: "A failed task tells why at once.", cr: nodePool(wants), total: 4, failed: sold, want: want{corev1.ConditionFalse, reasonOutOfStock}},
		"StillSold": {reason: "It stays so until they come.", cr: nodePool(wants, is(corev1.ConditionFalse, reasonOutOfStock, time.Hour)), total: 4},
		"Refused":   {reason: "An order that was refused is not filled because nothing was ordered.", cr: nodePool(func(cr *v1alpha1.NodePool) { cr.Status.AtProvider.Wanted = 9 }, is(corev1.ConditionFalse, reasonQuota, time.Minute)), total: 5},
		"Filled":    {reason: "They came.", cr: nodePool(wants, is(corev1.ConditionFalse, reasonOutOfStock, time.Hour)), total: 5, want: want{corev1.ConditionTrue, reasonFilled}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newExternal(t, &fakeDriver{}, nil)
			var lacks []lack
			if tc.failed != nil {
				lacks = append(lacks, *e.lackOf(tc.cr, tc.failed))
			}
			got := want{}
			if c := e.capacity(tc.cr, &State{Desired: 5, Total: tc.total}, lacks); c != nil {
				got = want{c.Status, c.Reason}
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\ncapacity(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestObserve(t *testing.T) {
	goneAs := func(p Presence) func(string) (*State, Presence, error) {
		return func(string) (*State, Presence, error) { return nil, p, nil }
	}
	type want struct {
		exists, current bool
		diff            string
		ready           xpv2.ConditionReason
		class           cloud.Class
	}
	cases := map[string]struct {
		reason  string
		cr      *v1alpha1.NodePool
		cluster *v1alpha1.Cluster
		plan    *federationv1alpha1.CapacityPlan
		api     *fakeDriver
		nodes   []runtime.Object
		want    want
	}{
		"NoCluster":     {reason: "A reference to nothing is no error of the cloud.", cr: nodePool(), api: &fakeDriver{}, want: want{exists: true, current: true, ready: xpv2.ReasonCreating}},
		"ClusterBuilt":  {reason: "The pool waits for its cluster.", cr: nodePool(), cluster: cluster(elastic.PhaseBuilding), api: &fakeDriver{}, want: want{exists: true, current: true, ready: xpv2.ReasonCreating}},
		"Create":        {reason: "Then it is created.", cr: nodePool(), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{}},
		"NeverDeleted":  {reason: "A pool that was never created is just forgotten.", cr: nodePool(deleted), api: nil},
		"Rest":          {reason: "Nothing to do.", cr: nodePool(named), cluster: cluster(elastic.PhaseRunning), plan: plan(1), api: &fakeDriver{MockGet: pool(PhaseActive, 1, 1)}, nodes: []runtime.Object{node(1)}, want: want{exists: true, current: true, ready: xpv2.ReasonAvailable}},
		"Grow":          {reason: "The plan wants more.", cr: nodePool(named), cluster: cluster(elastic.PhaseRunning), plan: plan(3), api: &fakeDriver{MockGet: pool(PhaseActive, 1, 1)}, nodes: []runtime.Object{node(1)}, want: want{exists: true, diff: "grow", ready: xpv2.ReasonAvailable}},
		"Min":           {reason: "Machines are not Ready nodes.", cr: nodePool(named, func(cr *v1alpha1.NodePool) { cr.Spec.ForProvider.Min = 1 }), cluster: cluster(elastic.PhaseRunning), plan: plan(1), api: &fakeDriver{MockGet: pool(PhaseActive, 1, 1)}, nodes: []runtime.Object{node(1, notReady)}, want: want{exists: true, current: true, ready: xpv2.ReasonUnavailable}},
		"Rescue":        {reason: "A node that is wanted again is uncordoned.", cr: nodePool(named), cluster: cluster(elastic.PhaseRunning), plan: plan(1), api: &fakeDriver{MockGet: pool(PhaseActive, 1, 1)}, nodes: []runtime.Object{node(1, releasing)}, want: want{exists: true, diff: "uncordon", ready: xpv2.ReasonAvailable}},
		"Gone":          {reason: "Gone when code and list agree.", cr: nodePool(named, deleted), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{MockGet: goneAs(Absent)}},
		"GoneCluster":   {reason: "Gone with its cluster.", cr: nodePool(named, deleted), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{MockGet: goneAs(ClusterAbsent), MockClusterGone: func() (bool, error) { return true, nil }}},
		"GoneUnsure":    {reason: "Not gone if the cluster is there after all.", cr: nodePool(named, deleted), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{MockGet: goneAs(ClusterAbsent)}, want: want{exists: true, current: true}},
		"GoneListLags":  {reason: "Not gone while the list shows it.", cr: nodePool(named, deleted), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{MockGet: goneAs(Absent), MockFind: func() ([]elastic.Thing, error) { return []elastic.Thing{{ID: "np1", Tags: ours}}, nil }}, want: want{exists: true, current: true}},
		"JustCreated":   {reason: "Not found right after the creation is normal, also if it is deleted by then.", cr: nodePool(named, deleted, func(cr *v1alpha1.NodePool) { meta.SetExternalCreateSucceeded(cr, now) }), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{MockGet: goneAs(Absent)}, want: want{exists: true, current: true}},
		"Untagged":      {reason: "A pool that we created is not forgotten because its tag is missing.", cr: nodePool(named, deleted, created), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{}, want: want{exists: true, current: true}},
		"NeverSeen":     {reason: "A pool that was to be imported into a cluster that is not there can be deleted.", cr: nodePool(named, deleted), api: nil},
		"Throttled":     {reason: "Throttling is not absence.", cr: nodePool(named, deleted), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{MockGet: func(string) (*State, Presence, error) { return nil, Present, &cloud.Error{Class: cloud.Throttled} }}, want: want{class: cloud.Throttled}},
		"ForeignDelete": {reason: "What is not ours is not deleted.", cr: nodePool(named, deleted), cluster: cluster(elastic.PhaseRunning), api: &fakeDriver{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objs := []client.Object{tc.cr.DeepCopy()}
			if tc.cluster != nil {
				objs = append(objs, tc.cluster)
			}
			if tc.plan != nil {
				objs = append(objs, tc.plan)
			}
			e := newExternal(t, tc.api, member("", tc.nodes...), objs...)
			o, err := e.Observe(context.Background(), tc.cr)
			got := want{o.ResourceExists, o.ResourceUpToDate, o.Diff, tc.cr.GetCondition(xpv2.TypeReady).Reason, cloud.ClassOf(err)}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nObserve(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	coredns := pod(metav1.NamespaceSystem, "coredns", 1)
	draining := func(id, blocked string, ago time.Duration) modifier {
		return func(cr *v1alpha1.NodePool) {
			cr.Status.AtProvider.ID = "np1"
			cr.Status.AtProvider.Draining = append(cr.Status.AtProvider.Draining, elasticv1alpha1.NodeDrain{Node: "n" + id, InstanceID: "i-" + id, BlockedBy: blocked, StartedAt: metav1.NewTime(now.Add(-ago))})
		}
	}
	type want struct {
		calls    []string
		draining map[string]bool // node to whether it is blocked
		cordoned []string
		class    cloud.Class
	}
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.NodePool
		plan   *federationv1alpha1.CapacityPlan
		have   int32
		api    *fakeDriver
		member *k8sfake.Clientset
		want   want
	}{
		"Grow": {
			reason: "One call orders all.", cr: nodePool(named), plan: plan(5), have: 1, api: &fakeDriver{}, member: member("", node(1)),
			want: want{calls: []string{"SetDesired 5"}},
		},
		"GrowWrongState": {
			reason: "A refusal because of the state is no error.", cr: nodePool(named), plan: plan(5), have: 1, member: member("", node(1)),
			api:  &fakeDriver{MockSetDesired: func(int32) (string, error) { return "", &cloud.Error{Class: cloud.WrongState} }},
			want: want{calls: []string{"SetDesired 5"}},
		},
		"GrowQuota": {
			reason: "A quota is an error, which is held.", cr: nodePool(named), plan: plan(5), have: 1, member: member("", node(1)),
			api:  &fakeDriver{MockSetDesired: func(int32) (string, error) { return "", &cloud.Error{Class: cloud.Quota, Status: 403} }},
			want: want{calls: []string{"SetDesired 5"}, class: cloud.Quota},
		},
		"ReleaseEmpty": {
			reason: "The plan's choice goes first, at once if it is empty.", cr: nodePool(named), plan: plan(2, "n1"), have: 3, api: &fakeDriver{},
			member: member("", node(1), node(2), node(3), pod("app", "a", 2)),
			want:   want{calls: []string{"Remove [i-1]"}, draining: map[string]bool{"n1": false}, cordoned: []string{"n1"}},
		},
		"ReleaseBusy": {
			reason: "A node that has got pods since is not given back: another empty one is.", cr: nodePool(named), plan: plan(2, "n1"), have: 3, api: &fakeDriver{},
			member: member("", node(1), node(2), node(3), pod("app", "a", 1), pod("app", "b", 3)),
			want:   want{calls: []string{"Remove [i-2]"}, draining: map[string]bool{"n2": false}, cordoned: []string{"n2"}},
		},
		"NotReady": {
			reason: "A node that is not Ready is the first to go.", cr: nodePool(named), plan: plan(2), have: 3, api: &fakeDriver{},
			member: member("", node(1), node(2, notReady), node(3)),
			want:   want{calls: []string{"Remove [i-2]"}, draining: map[string]bool{"n2": false}, cordoned: []string{"n2"}},
		},
		"Unregistered": {
			reason: "A machine that never became a node needs no drain.", cr: nodePool(named), plan: plan(2), have: 3, api: &fakeDriver{},
			member: member("", node(1), node(3)),
			want:   want{calls: []string{"Remove [i-2]"}, draining: map[string]bool{"": false}},
		},
		"Unlabelled": {
			reason: "A node that has lost the label of its pool is drained like any other, and not before others.", cr: nodePool(named), plan: plan(1), have: 2, api: &fakeDriver{},
			member: member("", node(1), node(2, func(n *corev1.Node) { n.Labels = nil }), pod("app", "b", 2)),
			want:   want{calls: []string{"Remove [i-1]"}, draining: map[string]bool{"n1": false}, cordoned: []string{"n1"}},
		},
		"UnlabelledDrain": {
			reason: "It is not removed with its pods.", cr: nodePool(named), plan: plan(0), have: 1, api: &fakeDriver{},
			member: member("b", node(1, func(n *corev1.Node) { n.Labels = nil }), pod("app", "b", 1)),
			want:   want{draining: map[string]bool{"n1": true}, cordoned: []string{"n1"}},
		},
		"Newest": {
			reason: "If all have pods the newest goes, and its pods are evicted first.", cr: nodePool(named), plan: plan(1), have: 2, api: &fakeDriver{},
			member: member("", node(1), node(2), pod("app", "a", 1), pod("app", "b", 2)),
			want:   want{draining: map[string]bool{"n2": false}, cordoned: []string{"n2"}},
		},
		"Blocked": {
			reason: "Pods that a budget protects are never killed.", cr: nodePool(named), plan: plan(0), have: 1, api: &fakeDriver{},
			member: member("a", node(1), pod("app", "a", 1)),
			want:   want{draining: map[string]bool{"n1": true}, cordoned: []string{"n1"}},
		},
		"LastNode": {
			reason: "The budget of DNS forbids to drain the last node: it goes undrained.", cr: nodePool(named), plan: plan(0), have: 1, api: &fakeDriver{},
			member: member("coredns", node(1), coredns.DeepCopy()),
			want:   want{calls: []string{"Remove [i-1]"}, draining: map[string]bool{"n1": false}, cordoned: []string{"n1"}},
		},
		"NotLastNode": {
			reason: "With other nodes left the budget of DNS holds.", cr: nodePool(named), plan: plan(1, "n1"), have: 2, api: &fakeDriver{},
			member: member("coredns", node(1), node(2), coredns.DeepCopy()),
			want:   want{draining: map[string]bool{"n1": true}, cordoned: []string{"n1"}},
		},
		"GivesUp": {
			reason: "After the time-out the node is in use again, and another is tried.", cr: nodePool(named, draining("2", "pods", time.Hour)), plan: plan(1), have: 2, api: &fakeDriver{},
			member: member("b", node(1), node(2, releasing), pod("app", "b", 2)),
			want:   want{calls: []string{"Remove [i-1]"}, draining: map[string]bool{"n1": false, "n2": true}, cordoned: []string{"n1"}},
		},
		"GaveUpWaits": {
			reason: "One that was given up is not tried again while there is another to try.", cr: nodePool(named, draining("2", gaveUp+"pods", time.Hour)), plan: plan(1), have: 2, api: &fakeDriver{},
			member: member("b", node(1), node(2), pod("app", "b", 2)),
			want:   want{calls: []string{"Remove [i-1]"}, draining: map[string]bool{"n1": false, "n2": true}, cordoned: []string{"n1"}},
		},
		"GaveUpRetry": {
			reason: "If there is none it is, after a rest.", cr: nodePool(named, draining("1", gaveUp+"pods", time.Minute), draining("2", gaveUp+"pods", time.Hour)), plan: plan(1), have: 2, api: &fakeDriver{},
			member: member("b", node(1), node(2), pod("app", "b", 2)),
			want:   want{draining: map[string]bool{"n1": true, "n2": true}, cordoned: []string{"n2"}},
		},
		"FewerExcess": {
			reason: "If more are wanted again the last that was started is kept.", cr: nodePool(named, draining("1", "", 2*time.Minute), draining("2", "", time.Minute)), plan: plan(2), have: 3, api: &fakeDriver{},
			member: member("", node(1, releasing), node(2, releasing), node(3), pod("app", "a", 1)),
			want:   want{draining: map[string]bool{"n1": false}, cordoned: []string{"n1"}},
		},
		"LostStatus": {
			reason: "A drain whose status was lost in a crash goes on.", cr: nodePool(named), plan: plan(1), have: 2, api: &fakeDriver{},
			member: member("", node(1, releasing), node(2)),
			want:   want{calls: []string{"Remove [i-1]"}, draining: map[string]bool{"n1": false}, cordoned: []string{"n1"}},
		},
		"Starting": {
			reason: "A machine that starts cannot be removed yet, which is no error.", cr: nodePool(named), plan: plan(0), have: 1,
			api:    &fakeDriver{MockRemove: func([]string) (string, error) { return "", &cloud.Error{Class: cloud.WrongState} }},
			member: member(""),
			want:   want{calls: []string{"Remove [i-1]"}, draining: map[string]bool{"": false}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.api.MockGet = pool(PhaseActive, tc.have, tc.have)
			tc.api.MockMachines = machines(int(tc.have))
			e := newExternal(t, tc.api, tc.member, tc.cr.DeepCopy(), cluster(elastic.PhaseRunning), tc.plan)
			o, err := e.Observe(context.Background(), tc.cr)
			if err != nil || o.ResourceUpToDate {
				t.Fatalf("\nReason: %s\nObserve(...): %+v, %v", tc.reason, o, err)
			}
			_, err = e.Update(context.Background(), tc.cr)
			for _, c := range tc.cr.Status.Conditions {
				if c.LastTransitionTime.IsZero() {
					t.Errorf("\nReason: %s\nUpdate(...): condition %s has no time, which the API server refuses", tc.reason, c.Type)
				}
			}
			got := want{calls: tc.api.Calls, class: cloud.ClassOf(err), draining: map[string]bool{}}
			for _, d := range tc.cr.Status.AtProvider.Draining {
				got.draining[d.Node] = d.BlockedBy != ""
			}
			nodes, _ := tc.member.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
			for i := range nodes.Items {
				if n := &nodes.Items[i]; n.Spec.Unschedulable && marked(n) {
					got.cordoned = append(got.cordoned, n.Name)
				}
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("\nReason: %s\nUpdate(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

// TestLower: the cloud goes on bringing machines while an order is taken back.
func TestLower(t *testing.T) {
	cases := map[string]struct {
		reason string
		// total machines when the order is taken back.
		total int32
		want  []string
	}{
		"Same": {reason: "What has not come is taken back.", total: 4, want: []string{"SetDesired 4"}},
		"More": {reason: "What has come meanwhile stays, or the cloud would remove others.", total: 6, want: []string{"SetDesired 6"}},
		"All":  {reason: "If all have come there is nothing to take back.", total: 9},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			api := &fakeDriver{MockGet: pool(PhaseActive, 9, 4)}
			cr := nodePool(named)
			e := newExternal(t, api, member("", node(1)), cr.DeepCopy(), cluster(elastic.PhaseRunning), plan(2))
			if _, err := e.Observe(context.Background(), cr); err != nil {
				t.Fatal(err)
			}
			api.MockGet = pool(PhaseActive, 9, tc.total)
			if _, err := e.Update(context.Background(), cr); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, api.Calls); diff != "" {
				t.Errorf("\nReason: %s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestRefusedConfiguration: what the cloud does not let us change is told, and
// the number of nodes is changed all the same.
func TestRefusedConfiguration(t *testing.T) {
	refused := &cloud.Error{Class: cloud.Invalid, Status: 400}
	cases := map[string]struct {
		reason string
		plan   int32
		want   []string
		class  cloud.Class
	}{
		"Rest":   {reason: "The error is told while there is nothing else to do.", plan: 1, want: []string{"Configure"}, class: cloud.Invalid},
		"Grow":   {reason: "Nodes that are needed are ordered.", plan: 3, want: []string{"Configure", "SetDesired 3"}},
		"Shrink": {reason: "Nodes that are not are given back.", plan: 0, want: []string{"Configure", "Remove [i-1]"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			api := &fakeDriver{MockConfigure: func() (string, error) { return "", refused }, MockMachines: machines(1)}
			api.MockGet = func(id string) (*State, Presence, error) {
				return &State{ID: id, Phase: PhaseActive, Desired: 1, Total: 1, Tags: ours, Differs: true}, Present, nil
			}
			cr := nodePool(named)
			e := newExternal(t, api, member("", node(1)), cr.DeepCopy(), cluster(elastic.PhaseRunning), plan(tc.plan))
			var err error
			for range 2 {
				o := managed.ExternalObservation{}
				if o, err = e.Observe(context.Background(), cr); err == nil && !o.ResourceUpToDate {
					_, err = e.Update(context.Background(), cr)
				}
			}
			if diff := cmp.Diff(tc.want, api.Calls); diff != "" {
				t.Errorf("\nReason: %s\n-want, +got:\n%s", tc.reason, diff)
			}
			if cloud.ClassOf(err) != tc.class {
				t.Errorf("\nReason: %s\nerror: %v", tc.reason, err)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	m := &federationv1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}, Spec: federationv1alpha1.MemberSpec{ForProvider: federationv1alpha1.MemberParameters{
		ClusterRef: &federationv1alpha1.ClusterReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Cluster", Name: "c"},
	}}}
	leaving := m.DeepCopy()
	at := metav1.NewTime(now)
	leaving.DeletionTimestamp, leaving.Finalizers = &at, []string{"x"}
	dying := cluster(elastic.PhaseRunning)
	dying.DeletionTimestamp, dying.Finalizers = &at, []string{"x"}
	next := m.DeepCopy()
	next.CreationTimestamp = metav1.NewTime(now.Add(time.Minute))
	just := func(cr *v1alpha1.NodePool) { cr.DeletionTimestamp = &at }
	untagged := func(string) (*State, Presence, error) {
		return &State{ID: "np1", Phase: PhaseActive}, Present, nil
	}
	type want struct {
		calls   []string
		blocked corev1.ConditionStatus
	}
	cases := map[string]struct {
		reason   string
		cr       []modifier
		cluster  *v1alpha1.Cluster
		objs     []client.Object
		np       func(string) (*State, Presence, error)
		machines int
		member   *k8sfake.Clientset
		want     want
	}{
		"MemberStays":   {reason: "If only the pool goes its cluster stays in the federation.", cluster: cluster(elastic.PhaseRunning), objs: []client.Object{m}, np: pool(PhaseActive, 0, 0), member: member(""), want: want{calls: []string{"Delete np1"}, blocked: corev1.ConditionFalse}},
		"MemberUnsure":  {reason: "Right after the deletion it is not known yet whether the cluster goes too: no pod is evicted.", cr: []modifier{just}, cluster: cluster(elastic.PhaseRunning), objs: []client.Object{m}, np: pool(PhaseActive, 1, 1), machines: 1, member: member("", node(1), pod("app", "a", 1)), want: want{blocked: corev1.ConditionTrue}},
		"Untagged":      {reason: "What does not carry our tag is not touched.", cr: []modifier{created}, cluster: cluster(elastic.PhaseRunning), np: untagged, member: member(""), want: want{blocked: corev1.ConditionTrue}},
		"NoAnswer":      {reason: "An API server that does not answer is waited for.", cr: []modifier{unanswered(time.Minute)}, cluster: dying, np: pool(PhaseActive, 1, 1), machines: 1, member: deaf(), want: want{blocked: corev1.ConditionTrue}},
		"Silent":        {reason: "But not for ever, if the cluster goes too, lest each waits for the other.", cr: []modifier{unanswered(7 * time.Minute)}, cluster: dying, np: pool(PhaseActive, 1, 1), machines: 1, member: deaf(), want: want{calls: []string{"Remove [i-1]"}, blocked: corev1.ConditionTrue}},
		"MemberLeaves":  {reason: "A Member that is leaving drains first.", cluster: cluster(elastic.PhaseRunning), objs: []client.Object{leaving}, np: pool(PhaseActive, 0, 0), member: member(""), want: want{blocked: corev1.ConditionTrue}},
		"ClusterGoes":   {reason: "If the cluster goes every Member leaves first.", cluster: dying, objs: []client.Object{m}, np: pool(PhaseActive, 0, 0), member: member(""), want: want{blocked: corev1.ConditionTrue}},
		"NextMember":    {reason: "A Member that was created after that waits for the next cluster.", cluster: dying, objs: []client.Object{next}, np: pool(PhaseActive, 0, 0), member: member(""), want: want{calls: []string{"Delete np1"}, blocked: corev1.ConditionFalse}},
		"Nodes":         {reason: "Nodes are removed first.", cluster: cluster(elastic.PhaseRunning), np: pool(PhaseActive, 2, 2), machines: 2, member: member("", node(1), node(2)), want: want{calls: []string{"Remove [i-1 i-2]"}, blocked: corev1.ConditionFalse}},
		"NeverCame":     {reason: "Nodes that never came must not come any more.", cluster: cluster(elastic.PhaseRunning), np: pool(PhaseActive, 5, 2), machines: 2, member: member("", node(1), node(2)), want: want{calls: []string{"SetDesired 2"}, blocked: corev1.ConditionFalse}},
		"Blocked":       {reason: "The condition names what holds the drain.", cluster: cluster(elastic.PhaseRunning), np: pool(PhaseActive, 1, 1), machines: 1, member: member("a", node(1), pod("app", "a", 1)), want: want{blocked: corev1.ConditionTrue}},
		"Failed":        {reason: "A deletion that failed has brought nodes back: the order is taken back.", cluster: cluster(elastic.PhaseRunning), np: pool(PhaseDeleteFailed, 1, 1), member: member(""), want: want{calls: []string{"SetDesired 0"}, blocked: corev1.ConditionFalse}},
		"FailedWait":    {reason: "Then they have to go.", cluster: cluster(elastic.PhaseRunning), np: pool(PhaseDeleteFailed, 0, 1), member: member(""), want: want{blocked: corev1.ConditionFalse}},
		"FailedEmpty":   {reason: "Then it is deleted again.", cluster: cluster(elastic.PhaseRunning), np: pool(PhaseDeleteFailed, 0, 0), member: member(""), want: want{calls: []string{"Delete np1"}, blocked: corev1.ConditionFalse}},
		"BrokenCluster": {reason: "A cluster that could not be built has nothing to drain.", cluster: cluster(elastic.PhaseFailed), np: pool(PhaseActive, 1, 1), machines: 1, member: member(""), want: want{calls: []string{"Remove [i-1]"}, blocked: corev1.ConditionFalse}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			api := &fakeDriver{MockGet: tc.np, MockMachines: machines(tc.machines)}
			cr := nodePool(append([]modifier{named, deleted}, tc.cr...)...)
			e := newExternal(t, api, tc.member, append(tc.objs, cr.DeepCopy(), tc.cluster)...)
			if o, err := e.Observe(context.Background(), cr); err != nil || !o.ResourceExists {
				t.Fatalf("\nReason: %s\nObserve(...): %+v, %v", tc.reason, o, err)
			}
			_, err := e.Delete(context.Background(), cr)
			got := want{calls: api.Calls, blocked: cr.GetCondition(lifecycle.TypeDeletionBlocked).Status}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" || err != nil {
				t.Errorf("\nReason: %s\nDelete(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	d := &fakeDriver{MockCreate: func(int32) (string, string, error) { return "np1", "T-1", nil }}
	cr := nodePool()
	e := newExternal(t, d, nil, cluster(elastic.PhaseRunning), plan(4))
	if _, err := e.Create(context.Background(), cr); err != nil || meta.GetExternalName(cr) != "np1" {
		t.Fatalf("Create(...): %v", err)
	}
	if diff := cmp.Diff([]string{"Create 4"}, d.Calls); diff != "" {
		t.Errorf("\nReason: the pool comes with its nodes\nCreate(...): -want, +got:\n%s", diff)
	}
}
