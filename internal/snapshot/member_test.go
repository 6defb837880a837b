package snapshot

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clocktesting "k8s.io/utils/clock/testing"
)

// eventually waits for informers, which run in the background.
func eventually(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for range 500 {
		if fn() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("Waited in vain: %s", what)
}

func deploymentPod(name, deployment, hash, node string) *corev1.Pod {
	isController := true
	p := testPod(name, node, 0)
	p.Labels["pod-template-hash"] = hash
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-" + hash, UID: types.UID(hash), Controller: &isController}}
	return p
}

func TestMember(t *testing.T) {
	ctx := t.Context()
	client := fake.NewClientset(testNode("a"), deploymentPod("web-1", "web", "5d8", "a"),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, ClusterIP: "10.0.0.1"}})
	m := NewMemberForClient("idc-a", client)
	if m.Synced() {
		t.Error("A member that was not started is not synced.")
	}
	reg := NewRegistry()
	w := reg.Watch()
	defer w.Stop()
	if err := reg.Add(m); err != nil {
		t.Fatal(err)
	}
	if err := reg.Add(m); err == nil {
		t.Error("A name that is taken: want an error, got none.")
	}
	m.Start(ctx)
	defer m.Stop()
	eventually(t, "synced", m.Synced)
	eventually(t, "reachable", func() bool { return m.Contact().Reachable })

	s := m.Snapshot()
	if diff := cmp.Diff([]string{"web-1"}, names(s.Node("a").Pods)); diff != "" {
		t.Errorf("Pods on node a: -want, +got:\n%s", diff)
	}
	svc, _ := s.Objects().Set(Services).Get("default", "web").(*corev1.Service)
	if svc == nil || svc.Spec.ClusterIP != "" || svc.Spec.Selector["app"] != "web" {
		t.Errorf("A service is kept with nothing but its selector; got %v", svc)
	}

	key := WorkloadKey{Namespace: "default", Kind: "Deployment", Name: "web"}
	pods := client.CoreV1().Pods("default")
	steps := []struct {
		reason string
		do     func() error
		want   Counts
	}{
		{
			reason: "A pod that waits for a node.",
			do: func() error {
				_, err := pods.Create(ctx, deploymentPod("web-2", "web", "5d8", ""), metav1.CreateOptions{})
				return err
			},
			want: Counts{Total: 2, Scheduled: 1},
		},
		{
			reason: "kube-scheduler found no node for it.",
			do: func() error {
				p := deploymentPod("web-2", "web", "5d8", "")
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
				_, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
				return err
			},
			want: Counts{Total: 2, Scheduled: 1, Unschedulable: 1},
		},
		{
			reason: "It got a node and is ready.",
			do: func() error {
				p := deploymentPod("web-2", "web", "5d8", "a")
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
				_, err := pods.Update(ctx, p, metav1.UpdateOptions{})
				return err
			},
			want: Counts{Total: 2, Scheduled: 2, Ready: 1},
		},
		{
			reason: "The next revision counts for the same Deployment; a gated pod waits.",
			do: func() error {
				p := deploymentPod("web-3", "web", "777", "")
				p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "hold"}}
				_, err := pods.Create(ctx, p, metav1.CreateOptions{})
				return err
			},
			want: Counts{Total: 3, Scheduled: 2, Ready: 1, Gated: 1},
		},
		{
			reason: "A terminating pod counts as nothing else.",
			do: func() error {
				p := deploymentPod("web-1", "web", "5d8", "a")
				p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
				p.Finalizers = []string{"x"}
				_, err := pods.Update(ctx, p, metav1.UpdateOptions{})
				return err
			},
			want: Counts{Total: 2, Scheduled: 1, Ready: 1, Gated: 1, Terminating: 1},
		},
		{
			reason: "A pod that succeeded is gone, as for kube-scheduler.",
			do: func() error {
				p := deploymentPod("web-2", "web", "5d8", "a")
				p.Status.Phase = corev1.PodSucceeded
				_, err := pods.Update(ctx, p, metav1.UpdateOptions{})
				return err
			},
			want: Counts{Total: 1, Gated: 1, Terminating: 1},
		},
		{
			reason: "A deleted pod is gone.",
			do:     func() error { return pods.Delete(ctx, "web-1", metav1.DeleteOptions{}) },
			want:   Counts{Total: 1, Gated: 1},
		},
	}
	for _, st := range steps {
		w.Changed()
		if err := st.do(); err != nil {
			t.Fatalf("\n%s\n%v", st.reason, err)
		}
		eventually(t, st.reason, func() bool { return m.Workload(key) == st.want && m.Snapshot().Workload(key) == st.want })
		select {
		case <-w.C():
		case <-time.After(5 * time.Second):
			t.Fatalf("\n%s\nThe watch was not woken.", st.reason)
		}
	}
	if diff := cmp.Diff([]string{"web-3"}, podNames(m.Pods(key))); diff != "" {
		t.Errorf("Pods(...): -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"web-3"}, podNames(m.Snapshot().Pending())); diff != "" {
		t.Errorf("Pending(): -want, +got:\n%s", diff)
	}
	if got := len(m.Snapshot().Node("a").Pods); got != 0 {
		t.Errorf("Node a is empty again; got %d pods", got)
	}

	if got := reg.List(); len(got) != 1 || got[0] != m {
		t.Errorf("List(): want the member, got %v", got)
	}
	if reg.Remove("idc-a") != m {
		t.Error("Remove(...): want the member.")
	}
	if _, ok := reg.Get("idc-a"); ok {
		t.Error("Get(...) after Remove(...): want none.")
	}
}

func TestMemberObjects(t *testing.T) {
	ctx := t.Context()
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", ResourceVersion: "1"},
		Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	client := fake.NewClientset(rs)
	m := NewMemberForClient("idc-a", client)
	m.Start(ctx)
	defer m.Stop()
	eventually(t, "synced", m.Synced)
	before := m.Snapshot()

	up := rs.DeepCopy()
	up.Status.Replicas, up.ResourceVersion = 5, "2"
	if _, err := client.AppsV1().ReplicaSets("default").UpdateStatus(ctx, up, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().PersistentVolumeClaims("default").Create(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the claim", func() bool {
		return m.Snapshot().Objects().Set(PersistentVolumeClaims).Get("default", "data") != nil
	})
	if m.Snapshot().Objects().Set(ReplicaSets) != before.Objects().Set(ReplicaSets) {
		t.Error("The status of a ReplicaSet is no change: want the set shared.")
	}
	if before.Objects().Set(PersistentVolumeClaims).Get("default", "data") != nil {
		t.Error("An older snapshot must not see a newer claim.")
	}
}

func TestContact(t *testing.T) {
	start := time.Unix(1000, 0)
	boom := errors.New("boom")
	type step struct {
		after time.Duration
		err   error
		want  Contact
	}
	cases := map[string]struct {
		reason string
		steps  []step
	}{
		"NeverAnswered": {
			reason: "A member that never answered is unreachable since we asked first.",
			steps: []step{
				{0, boom, Contact{Since: start, Reason: "boom"}},
				{time.Second, boom, Contact{Since: start, Reason: "boom"}},
			},
		},
		"LostAndFound": {
			reason: "One failure is forgiven, the second makes it unreachable since the last answer, the next answer makes it reachable.",
			steps: []step{
				{0, nil, Contact{Reachable: true, Since: start, Last: start}},
				{time.Second, nil, Contact{Reachable: true, Since: start, Last: start.Add(time.Second)}},
				{time.Second, boom, Contact{Reachable: true, Since: start, Last: start.Add(time.Second)}},
				{time.Second, boom, Contact{Since: start.Add(time.Second), Last: start.Add(time.Second), Reason: "boom"}},
				{time.Second, nil, Contact{Reachable: true, Since: start.Add(4 * time.Second), Last: start.Add(4 * time.Second)}},
			},
		},
		"Blip": {
			reason: "Failures that are not in a row do not add up.",
			steps: []step{
				{0, nil, Contact{Reachable: true, Since: start, Last: start}},
				{time.Second, boom, Contact{Reachable: true, Since: start, Last: start}},
				{time.Second, nil, Contact{Reachable: true, Since: start, Last: start.Add(2 * time.Second)}},
				{time.Second, boom, Contact{Reachable: true, Since: start, Last: start.Add(2 * time.Second)}},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clk := clocktesting.NewFakeClock(start)
			var err error
			flips := 0
			m := NewMemberForClient("m", fake.NewClientset(), WithClock(clk), WithProbe(func(context.Context) error { return err }, 0, 0, 2))
			m.setNotify(func() { flips++ })
			was := Contact{}
			want := 0
			for i, st := range tc.steps {
				clk.Step(st.after)
				err = st.err
				m.prober.once(context.Background())
				if diff := cmp.Diff(st.want, m.Contact()); diff != "" {
					t.Fatalf("\n%s\nStep %d: -want, +got:\n%s", tc.reason, i, diff)
				}
				if i == 0 || was.Reachable != st.want.Reachable {
					want++
				}
				was = st.want
			}
			if flips != want {
				t.Errorf("\n%s\nWant %d wake-ups, got %d", tc.reason, want, flips)
			}
		})
	}
}

func TestPendingOrder(t *testing.T) {
	var pods []*corev1.Pod
	for i, prio := range []int32{0, 10, 0, 10} {
		p := testPod(fmt.Sprintf("p%d", i), "", 0)
		p.Spec.Priority = &prio
		p.CreationTimestamp = metav1.Unix(int64(100-i), 0)
		pods = append(pods, p)
	}
	s, err := New(nil, pods)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"p3", "p1", "p2", "p0"}, podNames(s.Pending())); diff != "" {
		t.Errorf("By priority, then age: -want, +got:\n%s", diff)
	}
}
