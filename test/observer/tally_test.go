package observer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
)

var (
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	app   = map[string]string{"app": "web"}
)

func deployment(replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: app},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app}, Spec: asking("1")},
		},
	}
}

func asking(cpu string) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
	}}}}
}

// pod returns a pod that has been Ready since so many seconds after the epoch,
// or is not Ready if that is negative.
func pod(name string, since int) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Labels: app},
		Spec:       asking("1"),
	}
	p.Spec.NodeName = "node"
	if since >= 0 {
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodReady, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(epoch.Add(time.Duration(since) * time.Second)),
		}}
	}
	return p
}

func leaving(name string, at int) *corev1.Pod {
	p := pod(name, 0)
	p.DeletionTimestamp = ptr.To(metav1.NewTime(epoch.Add(time.Duration(at+30) * time.Second)))
	p.DeletionGracePeriodSeconds = ptr.To(int64(30))
	return p
}

func node(cpu string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node"},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourcePods: resource.MustParse("110")},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, c := range change {
		c(n)
	}
	return n
}

func budgetOf(expected, healthy, desired int32) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: app}},
		Status:     policyv1.PodDisruptionBudgetStatus{ExpectedPods: expected, CurrentHealthy: healthy, DesiredHealthy: desired},
	}
}

func TestTally(t *testing.T) {
	type figures struct {
		Own, Cloud, Pending, Peak, PeakCloud, Needed, Floor, Budgets int
	}
	cases := map[string]struct {
		reason string
		// events, with the clock moved on by a fifth of the skew after each.
		events func(tl *tally, step func())
		want   figures
	}{
		"Spilled": {
			reason: "Peaks are kept, and what the home nodes cannot hold is needed in the cloud.",
			events: func(tl *tally, step func()) {
				tl.setNode("home", node("2"))
				tl.setDemand(deployment(3))
				tl.setPod("home", pod("a", 0))
				tl.setPod("home", pod("b", 0))
				tl.setPod("cloud", pod("c", 0))
				step()
				tl.setDemand(deployment(1))
				tl.setPod("cloud", leaving("c", 1))
				tl.setPod("home", leaving("b", 1))
			},
			want: figures{Own: 1, Peak: 3, PeakCloud: 1, Needed: 1},
		},
		"DemandFellButWasSeenLate": {
			reason: "The watch of Karmada may trail that of the member.",
			events: func(tl *tally, step func()) {
				tl.setDemand(deployment(2))
				tl.setPod("home", pod("a", 0))
				tl.setPod("cloud", pod("b", 0))
				tl.setPod("cloud", leaving("b", 1))
				step()
				tl.setDemand(deployment(1))
			},
			want: figures{Own: 1, Peak: 2, PeakCloud: 1, Needed: 2},
		},
		"BreakBeforeMake": {
			reason: "A substitute that turned Ready after the removal does not make up for it.",
			events: func(tl *tally, step func()) {
				tl.setDemand(deployment(1))
				tl.setPod("cloud", pod("a", 0))
				tl.setPod("cloud", leaving("a", 1))
				step()
				tl.setPod("home", pod("b", 2))
			},
			want: figures{Own: 1, Peak: 1, PeakCloud: 1, Needed: 1, Floor: 1},
		},
		"MakeBeforeBreakSeenLate": {
			reason: "A substitute elsewhere that was Ready before is no loss, although it is seen after.",
			events: func(tl *tally, step func()) {
				tl.setDemand(deployment(1))
				tl.setPod("cloud", pod("a", 0))
				tl.setPod("cloud", leaving("a", 3))
				step()
				tl.setPod("home", pod("b", 2))
			},
			want: figures{Own: 1, Peak: 1, PeakCloud: 1, Needed: 1},
		},
		"SubstituteInSameMember": {
			reason: "The events of one member come in order, so there is no excuse.",
			events: func(tl *tally, step func()) {
				tl.setDemand(deployment(1))
				tl.setPod("home", pod("a", 0))
				tl.setPod("home", leaving("a", 3))
				step()
				tl.setPod("home", pod("b", 2))
			},
			want: figures{Own: 1, Peak: 1, Needed: 1, Floor: 1},
		},
		"MemberTornDown": {
			reason: "Replicas that were Ready in a member that is gone are lost.",
			events: func(tl *tally, step func()) {
				tl.setDemand(deployment(2))
				tl.setPod("home", pod("a", 0))
				tl.setPod("cloud", pod("b", 0))
				tl.dropMember("cloud")
			},
			want: figures{Own: 1, Pending: 1, Peak: 2, PeakCloud: 1, Needed: 2, Floor: 1},
		},
		"EmptyMemberTornDown": {
			reason: "A member that leaves without replicas takes nothing with it.",
			events: func(tl *tally, step func()) {
				tl.setDemand(deployment(1))
				tl.setPod("home", pod("a", 0))
				tl.setPod("cloud", pod("b", -1))
				tl.dropMember("cloud")
			},
			want: figures{Own: 1, Peak: 1, PeakCloud: 1, Needed: 1},
		},
		"BudgetBroken": {
			reason: "Fewer are healthy than the budget demands while as many as before are wanted.",
			events: func(tl *tally, step func()) {
				tl.setLocal("home", deployment(4))
				tl.setBudget("home", budgetOf(4, 4, 3))
				tl.setBudget("home", budgetOf(4, 2, 3))
				step()
				tl.setBudget("home", budgetOf(4, 1, 3))
			},
			want: figures{Budgets: 1},
		},
		"BudgetNotReachedYet": {
			reason: "A budget whose pods come up, or whose demand rises, is not broken.",
			events: func(tl *tally, step func()) {
				tl.setLocal("home", deployment(8))
				tl.setBudget("home", budgetOf(4, 1, 3))
				tl.setBudget("home", budgetOf(4, 4, 3))
				tl.setBudget("home", budgetOf(8, 4, 6))
			},
		},
		"BudgetOfWorkloadThatShrinks": {
			reason: "A member in which fewer are wanted than the budget keeps has not broken it.",
			events: func(tl *tally, step func()) {
				tl.setLocal("home", deployment(4))
				tl.setBudget("home", budgetOf(4, 4, 3))
				tl.setBudget("home", budgetOf(0, 0, 3))
				step()
				tl.setLocal("home", deployment(0))
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := clocktesting.NewFakeClock(epoch)
			tl := newTally(c, DefaultSkew)
			tl.addMember("home", false)
			tl.addMember("cloud", true)
			tc.events(tl, func() {
				tl.settle()
				c.Step(DefaultSkew / 5)
			})
			tl.settle()
			c.Step(2 * DefaultSkew)
			tl.settle()
			s := tl.state()
			w := s.Workload("web")
			got := figures{
				Own: w.Own, Cloud: w.Cloud, Pending: w.Pending, Peak: w.PeakReplicas, PeakCloud: w.PeakCloudReplicas,
				Needed: w.NeededCloudReplicas, Floor: w.ReadyFloorViolations, Budgets: s.PDBViolations,
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nstate: -want, +got:\n%s\nviolations: %v", tc.reason, diff, s.Violations)
			}
		})
	}
}

func TestRoomFor(t *testing.T) {
	other := func(cpu string) *corev1.Pod {
		p := pod("other", 0)
		p.Spec = asking(cpu)
		p.Spec.NodeName = "node"
		return p
	}
	cases := map[string]struct {
		reason string
		cpu    string
		nodes  []*corev1.Node
		others []*corev1.Pod
		want   int
	}{
		"WholePods": {
			reason: "Two pods of three CPU fit on a node of eight.",
			cpu:    "3", nodes: []*corev1.Node{node("8")}, want: 2,
		},
		"BesideOthers": {
			reason: "What other workloads ask for is taken.",
			cpu:    "3", nodes: []*corev1.Node{node("8")}, others: []*corev1.Pod{other("2500m")}, want: 1,
		},
		"Unschedulable": {
			reason: "A cordoned node takes nothing.",
			cpu:    "3", nodes: []*corev1.Node{node("8", func(n *corev1.Node) { n.Spec.Unschedulable = true })}, want: 0,
		},
		"Tainted": {
			reason: "Nor does one with a taint that is not tolerated.",
			cpu:    "3", nodes: []*corev1.Node{node("8", func(n *corev1.Node) {
				n.Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
			})}, want: 0,
		},
		"ByNumber": {
			reason: "The number of pods bounds as well.",
			cpu:    "100m", nodes: []*corev1.Node{node("8", func(n *corev1.Node) {
				n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("5")
			})}, others: []*corev1.Pod{other("0")}, want: 4,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			like := asking(tc.cpu)
			if diff := cmp.Diff(tc.want, roomFor(&like, tc.nodes, tc.others)); diff != "" {
				t.Errorf("\n%s\nroomFor(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
