package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// TestBuilding: how long a cluster takes is noted from its order until it is
// there, by where it is made.
func TestBuilding(t *testing.T) {
	const took = 7 * time.Minute
	cases := map[string]struct {
		reason string
		// exists says that the cloud has the cluster already.
		exists bool
		// wanted says that its order is older than the memory.
		wanted bool
		// dropped says that nothing wants it any more before it is there.
		dropped bool
		want    map[string]Built
	}{
		"Made":     {reason: "It is made", want: map[string]Built{"ACK cn-shanghai": {Member: "ack", At: epoch.Add(took), Seconds: 420}}},
		"Imported": {reason: "It was there before", exists: true, want: map[string]Built{}},
		"Unseen":   {reason: "Nobody saw when it was ordered", wanted: true, want: map[string]Built{}},
		"Dropped":  {reason: "It is not made after all", dropped: true, want: map[string]Built{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.elastic("ack", "0.5", scheduler.Absent)
			o := w.offering("ack-g", "ack", "8", "1", 5)
			o.Source, o.Region = &fleetv1alpha1.OfferingSource{Cloud: fleetv1alpha1.CloudACK}, "cn-shanghai"
			if tc.exists {
				w.in.Plan.Spec.Market.Members = []fleetv1alpha1.MemberMarket{{Name: "ack", Exists: true}}
			}
			if tc.wanted {
				w.in.Plan.Status.Members = []fleetv1alpha1.PlanMemberStatus{{Name: "ack", Wanted: true}}
			}
			w.demand(3, corev1.ResourceList{corev1.ResourceCPU: *o.Allocatable.Cpu()})
			w.make()
			if _, building := w.in.Memory.Building["ack"]; building != (!tc.exists && !tc.wanted) {
				t.Errorf("\nReason: %s\nMake(...): building is %t", tc.reason, building)
			}
			w.in.Now = epoch.Add(took)
			if tc.dropped {
				w.in.Demands = nil
				w.in.Now = epoch.Add(3 * time.Hour)
				for range 3 {
					w.make()
					w.in.Now = w.in.Now.Add(2 * time.Hour)
				}
			}
			m := w.in.Members["ack"]
			m.State = scheduler.Serving
			w.in.Members["ack"] = m
			w.make()
			if diff := cmp.Diff(tc.want, w.in.Memory.Built); diff != "" || len(w.in.Memory.Building) > 0 {
				t.Errorf("\nReason: %s\nMake(...): still building %v; built -want, +got:\n%s", tc.reason, w.in.Memory.Building, diff)
			}
		})
	}
}
