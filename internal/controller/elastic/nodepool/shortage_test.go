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

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// noticed nodes will be taken back by the cloud.
func noticed(n *corev1.Node) {
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: conditionNotice, Status: corev1.ConditionTrue, Message: "in two minutes"})
}

func TestShortages(t *testing.T) {
	short := elasticv1alpha1.Shortage{InstanceType: "ecs.g7.large", Zone: "cn-test-b", Reason: ShortOutOfStock, Message: "old", Since: metav1.NewTime(now.Add(-time.Hour))}
	is := func(status corev1.ConditionStatus, r xpv2.ConditionReason, ago time.Duration) modifier {
		return func(cr *v1alpha1.NodePool) {
			cr.SetConditions(xpv2.Condition{Type: elasticv1alpha1.TypeCapacityAvailable, Status: status, Reason: r, LastTransitionTime: metav1.NewTime(now.Add(-ago))})
		}
	}
	operating := func(cr *v1alpha1.NodePool) {
		cr.Status.AtProvider.ID = "np1"
		cr.Status.AtProvider.Operation = &elasticv1alpha1.Operation{Type: "Scale", TaskID: "T-1", StartedAt: metav1.NewTime(now)}
	}
	had := func(cr *v1alpha1.NodePool) {
		is(corev1.ConditionFalse, reasonOutOfStock, time.Hour)(cr)
		cr.Status.AtProvider.Shortages = []elasticv1alpha1.Shortage{short}
	}
	fails := func(class cloud.Class, msg string) func(string) (*elastic.Task, error) {
		return func(string) (*elastic.Task, error) {
			return &elastic.Task{Done: true, Failed: &cloud.Error{Class: class, Operation: "Scale", Message: msg}}, nil
		}
	}
	activities := func(since time.Time) ([]elasticv1alpha1.Shortage, error) {
		if !since.Equal(now.Add(-time.Minute)) {
			return nil, nil
		}
		return []elasticv1alpha1.Shortage{
			{InstanceType: "ecs.g7.large", Zone: "cn-test-b", Reason: ShortOutOfStock, Message: "sold out"},
			{InstanceType: "ecs.g7.large", Zone: "cn-test-a", Reason: ShortOutOfStock, Message: "sold out"},
			{Reason: "Failed", Message: "odd"},
		}, nil
	}
	type want struct {
		shortages []elasticv1alpha1.Shortage
		reason    xpv2.ConditionReason
		message   string
	}
	at := metav1.NewTime(now)
	cases := map[string]struct {
		reason string
		cr     []modifier
		driver fakeDriver
		nodes  []runtime.Object
		want   want
	}{
		"TaskFailed": {
			reason: "A failed task tells what is short, and where.", cr: []modifier{operating},
			driver: fakeDriver{MockTask: fails(cloud.OutOfStock, "ecs.g7.large is sold out in cn-test-b"), MockGet: pool(PhaseActive, 5, 2)},
			want: want{
				shortages: []elasticv1alpha1.Shortage{{InstanceType: "ecs.g7.large", Zone: "cn-test-b", Reason: ShortOutOfStock, Message: "Scale: ecs.g7.large is sold out in cn-test-b", Since: at}},
				reason:    reasonOutOfStock, message: "Scale: ecs.g7.large is sold out in cn-test-b",
			},
		},
		"Unnamed": {
			reason: "If the cloud names nothing the condition says what was asked for.", cr: []modifier{operating},
			driver: fakeDriver{MockTask: fails(cloud.OutOfStock, "no"), MockGet: pool(PhaseActive, 5, 2)},
			want: want{
				shortages: []elasticv1alpha1.Shortage{{Reason: ShortOutOfStock, Message: "Scale: no", Since: at}},
				reason:    reasonOutOfStock, message: "Scale: no; instance types ecs.g7.large; vSwitches of the cluster",
			},
		},
		"OtherFailure": {
			reason: "A failure of another kind is no shortage.", cr: []modifier{operating},
			driver: fakeDriver{MockTask: fails(cloud.Unknown, "no"), MockGet: pool(PhaseActive, 5, 2)},
			want:   want{reason: reasonFailed, message: "Scale: no; instance types ecs.g7.large; vSwitches of the cluster"},
		},
		"Activities": {
			reason: "So do activities since the order, each type and zone once.", cr: []modifier{is(corev1.ConditionUnknown, reasonOnItsWay, time.Minute)},
			driver: fakeDriver{MockShortages: activities, MockGet: pool(PhaseActive, 5, 2)},
			want: want{
				shortages: []elasticv1alpha1.Shortage{
					{InstanceType: "ecs.g7.large", Zone: "cn-test-a", Reason: ShortOutOfStock, Message: "sold out", Since: at},
					{InstanceType: "ecs.g7.large", Zone: "cn-test-b", Reason: ShortOutOfStock, Message: "sold out", Since: at},
				},
				reason: reasonOutOfStock, message: "sold out; instance type ecs.g7.large; zone cn-test-a",
			},
		},
		"NewPool": {
			reason: "Those of a new pool began before it was first seen.", cr: []modifier{func(cr *v1alpha1.NodePool) { meta.SetExternalCreatePending(cr, now.Add(-time.Minute)) }},
			driver: fakeDriver{MockShortages: activities, MockGet: pool(PhaseActive, 5, 2)},
			want: want{
				shortages: []elasticv1alpha1.Shortage{
					{InstanceType: "ecs.g7.large", Zone: "cn-test-a", Reason: ShortOutOfStock, Message: "sold out", Since: at},
					{InstanceType: "ecs.g7.large", Zone: "cn-test-b", Reason: ShortOutOfStock, Message: "sold out", Since: at},
				},
				reason: reasonOutOfStock, message: "sold out; instance type ecs.g7.large; zone cn-test-a",
			},
		},
		"Again": {
			reason: "The same shortage keeps its time.", cr: []modifier{had},
			driver: fakeDriver{MockGet: pool(PhaseActive, 5, 2), MockShortages: func(time.Time) ([]elasticv1alpha1.Shortage, error) {
				return []elasticv1alpha1.Shortage{{InstanceType: "ecs.g7.large", Zone: "cn-test-b", Reason: ShortOutOfStock, Message: "old"}}, nil
			}},
			want: want{shortages: []elasticv1alpha1.Shortage{short}, reason: reasonOutOfStock, message: "old; instance type ecs.g7.large; zone cn-test-b"},
		},
		"Quiet":  {reason: "While the cloud is silent it stays.", cr: []modifier{had}, driver: fakeDriver{MockGet: pool(PhaseActive, 5, 2)}, want: want{shortages: []elasticv1alpha1.Shortage{short}, reason: reasonOutOfStock}},
		"Filled": {reason: "It is over when the machines are there.", cr: []modifier{had}, driver: fakeDriver{MockGet: pool(PhaseActive, 5, 5)}, want: want{reason: reasonFilled}},
		"Given up": {
			reason: "Or no longer wanted.", cr: []modifier{had, func(cr *v1alpha1.NodePool) { cr.Spec.ForProvider.Max = 2 }},
			driver: fakeDriver{MockGet: pool(PhaseActive, 2, 2)}, want: want{reason: reasonFilled},
		},
		"Refused": {
			reason: "Not when the order itself was refused.", cr: []modifier{had},
			driver: fakeDriver{MockGet: pool(PhaseActive, 2, 2)}, want: want{shortages: []elasticv1alpha1.Shortage{short}, reason: reasonOutOfStock},
		},
		"Notice": {
			reason: "What the cloud takes back is short as well.", driver: fakeDriver{MockGet: pool(PhaseActive, 5, 5)}, nodes: []runtime.Object{node(1, noticed), node(2)},
			want: want{
				shortages: []elasticv1alpha1.Shortage{{InstanceType: "ecs.g7.large", Zone: "cn-test-b", Reason: ShortReclaimed, Message: "in two minutes", Since: at}},
				reason:    reasonReclaimed, message: "in two minutes; instance type ecs.g7.large; zone cn-test-b",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cr := nodePool(append([]modifier{named}, tc.cr...)...)
			e := newExternal(t, &tc.driver, member("", tc.nodes...), cr.DeepCopy(), cluster(elastic.PhaseRunning), plan(5))
			if _, err := e.Observe(context.Background(), cr); err != nil {
				t.Fatalf("\nReason: %s\nObserve(...): %v", tc.reason, err)
			}
			c := cr.GetCondition(elasticv1alpha1.TypeCapacityAvailable)
			got := want{shortages: cr.Status.AtProvider.Shortages, reason: c.Reason, message: c.Message}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("\nReason: %s\nObserve(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestNotice(t *testing.T) {
	type want struct {
		calls    []string
		draining map[string]bool // node to whether it is blocked
		marked   []string
	}
	cases := map[string]struct {
		reason  string
		phase   Phase
		desired int32
		total   int32
		nodes   []runtime.Object
		protect string
		want    want
	}{
		"Replaced":   {reason: "A substitute is ordered first.", phase: PhaseActive, desired: 2, total: 2, nodes: []runtime.Object{node(1, noticed), node(2)}, want: want{calls: []string{"SetDesired 3"}}},
		"Drained":    {reason: "Then the node is drained and given back, while the substitute is on its way.", phase: PhaseScaling, desired: 3, total: 2, nodes: []runtime.Object{node(1, noticed), node(2), pod("app", "a", 1)}, want: want{draining: map[string]bool{"n1": false}, marked: []string{"n1"}}},
		"GivenBack":  {reason: "When it is empty.", phase: PhaseScaling, desired: 3, total: 2, nodes: []runtime.Object{node(1, noticed, releasing), node(2)}, want: want{calls: []string{"Remove [i-1]"}, draining: map[string]bool{"n1": false}, marked: []string{"n1"}}},
		"Blocked":    {reason: "Budgets hold to the last minute.", phase: PhaseScaling, desired: 3, total: 2, nodes: []runtime.Object{node(1, noticed), node(2), pod("app", "a", 1)}, protect: "a", want: want{draining: map[string]bool{"n1": true}, marked: []string{"n1"}}},
		"Taken":      {reason: "Once it is gone the order is as large as the wish.", phase: PhaseActive, desired: 3, total: 2, nodes: []runtime.Object{node(2), node(3)}, want: want{calls: []string{"SetDesired 2"}}},
		"NotRescued": {reason: "It is not put to use again.", phase: PhaseActive, desired: 3, total: 3, nodes: []runtime.Object{node(1, noticed, releasing), node(2), node(3), pod("app", "a", 1)}, want: want{draining: map[string]bool{"n1": false}, marked: []string{"n1"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &fakeDriver{MockGet: pool(tc.phase, tc.desired, tc.total), MockMachines: machines(int(tc.total))}
			cr := nodePool(named)
			m := member(tc.protect, tc.nodes...)
			e := newExternal(t, d, m, cr.DeepCopy(), cluster(elastic.PhaseRunning), plan(2))
			if _, err := e.Observe(context.Background(), cr); err != nil {
				t.Fatalf("\nReason: %s\nObserve(...): %v", tc.reason, err)
			}
			if _, err := e.Update(context.Background(), cr); err != nil {
				t.Fatalf("\nReason: %s\nUpdate(...): %v", tc.reason, err)
			}
			got := want{calls: d.Calls, draining: map[string]bool{}}
			for _, n := range cr.Status.AtProvider.Draining {
				got.draining[n.Node] = n.BlockedBy != ""
			}
			nodes, _ := m.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
			for i := range nodes.Items {
				if marked(&nodes.Items[i]) {
					got.marked = append(got.marked, nodes.Items[i].Name)
				}
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("\nReason: %s\nUpdate(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestStaleRead(t *testing.T) {
	// The list of machines is newer than what is read of the pool: one has gone.
	d := &fakeDriver{MockGet: pool(PhaseActive, 3, 3), MockMachines: machines(2)}
	cr := nodePool(named)
	e := newExternal(t, d, member("", node(1), node(2)), cr.DeepCopy(), cluster(elastic.PhaseRunning), plan(2))
	if _, err := e.Observe(context.Background(), cr); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Update(context.Background(), cr); err != nil || len(d.Calls) > 0 || len(cr.Status.AtProvider.Draining) > 0 {
		t.Errorf("\nReason: a machine that has gone meanwhile must not cost another one\nUpdate(...): %v, calls %v, draining %v", err, d.Calls, cr.Status.AtProvider.Draining)
	}
}
