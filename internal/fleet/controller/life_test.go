package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// A life is a fleet with a member whose Deployment controller and kube-scheduler
// are played by the test.
type life struct {
	t     *testing.T
	f     *Fleet
	count int
}

func (l *life) api(member string) corev1client.CoreV1Interface {
	return l.f.members.byName[member].Client().CoreV1()
}

func (l *life) pods(member string) []corev1.Pod {
	l.t.Helper()
	list, err := l.api(member).Pods("default").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return list.Items
}

// assigned replicas by member.
func (l *life) assigned() map[string]int32 {
	l.t.Helper()
	rb := &workv1alpha2.ResourceBinding{}
	if err := l.f.Client.Get(context.Background(), client.ObjectKey{Namespace: "default", Name: "web-deployment"}, rb); err != nil {
		l.t.Fatal(err)
	}
	out := map[string]int32{}
	for _, c := range rb.Spec.Clusters {
		out[c.Name] = c.Replicas
	}
	return out
}

// follow makes a member have as many pods as are assigned: on real nodes while
// they have room, or else on the virtual one. It deletes what costs least to
// delete.
func (l *life) follow(member string, nodes map[string]int) {
	l.t.Helper()
	ctx := context.Background()
	pods := l.pods(member)
	want := int(l.assigned()[member])
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Compare(b.Annotations[corev1.PodDeletionCost], a.Annotations[corev1.PodDeletionCost])
	})
	for i := want; i < len(pods); i++ {
		j := i - want
		if err := l.api(member).Pods("default").Delete(ctx, pods[j].Name, metav1.DeleteOptions{}); err != nil {
			l.t.Fatal(err)
		}
	}
	on := map[string]int{}
	for _, p := range pods {
		on[p.Spec.NodeName]++
	}
	for i := len(pods); i < want; i++ {
		node := "vk"
		for name, room := range nodes {
			if on[name] < room {
				node = name
			}
		}
		on[node]++
		l.count++
		name := fmt.Sprintf("web-h-%d", l.count)
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web", "pod-template-hash": "h"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-h", UID: "h", Controller: ptr.To(true)}},
			},
			Spec:   deployment().Spec.Template.Spec,
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		}
		p.Spec.NodeName = node
		if _, err := l.api(member).Pods("default").Create(ctx, p, metav1.CreateOptions{}); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *life) virtual() int {
	n := 0
	for _, p := range l.pods("ack") {
		if p.Spec.NodeName == "vk" {
			n++
		}
	}
	return n
}

// until makes rounds until something is so. What the member is asked for is
// done at once, and what must always be so is looked at each time.
func (l *life) until(what string, nodes map[string]int, fn func() bool) {
	l.t.Helper()
	for range 200 {
		if _, err := l.f.Round(context.Background(), time.Now()); err != nil {
			l.t.Fatal(err)
		}
		l.follow("idc-a", map[string]int{"n1": 2})
		l.follow("ack", nodes)
		if home, cloud := len(l.pods("idc-a")), len(l.pods("ack")); home+cloud < 4 {
			l.t.Fatalf("Before %s: fewer than 4 replicas are Ready: %d at home, %d in the cloud", what, home, cloud)
		}
		if fn() {
			return
		}
		// The member's watch and the annotations of its pods take a moment.
		time.Sleep(5 * time.Millisecond)
	}
	l.t.Fatalf("It does not come to this: %s; assigned %v, %d on virtual nodes", what, l.assigned(), l.virtual())
}

// TestVirtualLife: replicas start on virtual nodes, nodes are ordered for them,
// and they move there one after the other, without a gap.
func TestVirtualLife(t *testing.T) {
	f, _ := newFleet(t, []client.Object{deployment(), resourceBinding(), virtualPlan(), karmadaCluster("idc-a"), karmadaCluster("ack")}, idcNode())
	addMember(t, f, "ack", virtualNode())
	l := &life{t: t, f: f}
	l.until("first replicas start on virtual nodes", nil, func() bool { return l.virtual() == 2 && l.assigned()["idc-a"] == 2 })
	wanted := func() int32 {
		p := &fleetv1alpha1.CapacityPlan{}
		if err := f.Client.Get(t.Context(), client.ObjectKey{Name: "pool"}, p); err != nil {
			t.Fatal(err)
		}
		return p.Status.Offerings[0].Nodes
	}
	l.until("a node is ordered, because it is cheaper", nil, func() bool { return wanted() == 1 })
	n := idcNode()
	n.Name, n.Labels = "real", map[string]string{fleetv1alpha1.LabelOffering: "ack-g", corev1.LabelHostname: "real"}
	if _, err := l.api("ack").Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	nodes := map[string]int{"real": 2}
	l.until("both have moved to the node", nodes, func() bool { return l.virtual() == 0 && l.assigned()["ack"] == 2 && len(l.pods("ack")) == 2 })
	for range 5 {
		l.until("it stays so", nodes, func() bool { return true })
	}
	if got := wanted(); got != 1 || l.virtual() != 0 {
		t.Errorf("Nothing more is ordered: got %d nodes, %d on virtual nodes", got, l.virtual())
	}
	p := &policyv1alpha1.OverridePolicy{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "regionpool-deployment-web"}, p); err != nil {
		t.Errorf("The policy stays for the next time: %v", err)
	}
}
