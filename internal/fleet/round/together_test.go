package round

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestTogether: of replicas that start together those that have room on rented
// nodes do not start before the others have it too, and need their nodes.
func TestTogether(t *testing.T) {
	sim, err := simulation.New()
	if err != nil {
		t.Fatal(err)
	}
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110")}
	type want struct {
		Nodes   int32
		Release []string
		Phase   fleetv1alpha1.PlanPhase
	}
	for name, tc := range map[string]struct {
		reason string
		limit  int32
		want   want
	}{
		"Orders": {"Two of three have idle nodes, which are kept, and one is ordered.", 3, want{3, nil, fleetv1alpha1.PhaseBursting}},
		"Waits":  {"None may be ordered for the third: the two are given back.", 2, want{0, []string{"n0", "n1"}, fleetv1alpha1.PhaseCapped}},
	} {
		t.Run(name, func(t *testing.T) {
			var nodes []*corev1.Node
			for i := range 2 {
				nodes = append(nodes, &corev1.Node{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i), Labels: map[string]string{fleetv1alpha1.LabelOffering: "g"}, CreationTimestamp: metav1.NewTime(now)},
					Status:     corev1.NodeStatus{Allocatable: size, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
				})
			}
			s, err := snapshot.New(nodes, nil)
			if err != nil {
				t.Fatal(err)
			}
			bindings := []scheduler.Binding{{
				ID: "default/sum", Pool: "pool", Divided: true, Together: true, Replicas: 3, Workload: snapshot.WorkloadKey{Namespace: "default", Kind: "Job", Name: "sum"},
				Template: &scheduler.Template{Namespace: "default", Spec: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8")}},
				}}}}},
			}}
			out, err := scheduler.Run(t.Context(), scheduler.Input{Now: now, Settings: scheduler.DefaultSettings, Bindings: bindings, Pools: []scheduler.Pool{{
				Name: "pool", Members: []scheduler.Member{{Name: "ack", Tier: 1, Elastic: true, State: scheduler.Serving, Snapshot: s, Simulator: sim}},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			made, err := New(bindings, &out).Plan(t.Context(), planner.Input{
				Now: now, SeenAt: now, Simulator: sim, Settings: planner.DefaultSettings,
				Plan: &fleetv1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Name: "pool"}, Spec: fleetv1alpha1.CapacityPlanSpec{
					Members:   []fleetv1alpha1.PlanMember{{Name: "ack", Tier: 1, Elastic: true}},
					Offerings: []fleetv1alpha1.Offering{{Name: "g", Member: "ack", Max: tc.limit, HourlyPrice: resource.MustParse("1"), Allocatable: size}},
				}},
				Members: map[string]planner.Member{"ack": {State: scheduler.Serving, Snapshot: s, Simulator: sim}},
			})
			if err != nil {
				t.Fatal(err)
			}
			o := made.Status.Offerings[0]
			if diff := cmp.Diff(tc.want, want{o.Nodes, o.Release, made.Status.Phase}); diff != "" {
				t.Errorf("\nReason: %s\nPlan(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
