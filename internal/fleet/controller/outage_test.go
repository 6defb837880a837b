package controller

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// TestViewOutage: a round knows since when a member has been silent, and what the
// plan says of that.
func TestViewOutage(t *testing.T) {
	since := time.Now().Add(-time.Hour).Truncate(time.Second)
	cases := map[string]struct {
		reason string
		outage *fleetv1alpha1.Outage
		want   time.Duration
	}{
		"Unset":  {reason: "Without a deadline there is none."},
		"Empty":  {reason: "Nor with an empty one.", outage: &fleetv1alpha1.Outage{}},
		"Minute": {reason: "The user's deadline.", outage: &fleetv1alpha1.Outage{ReplaceAfter: &metav1.Duration{Duration: time.Minute}}, want: time.Minute},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			plan, c := capacityPlan(), karmadaCluster("idc-a")
			plan.Spec.Outage = tc.outage
			c.Status.Conditions[0].Status, c.Status.Conditions[0].LastTransitionTime = metav1.ConditionFalse, metav1.NewTime(since)
			f, _ := newFleet(t, []client.Object{plan, c})
			v, err := f.view(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p := v.input.Pools[0]
			if p.ReplaceAfter != tc.want {
				t.Errorf("\nReason: %s\nview(...): want %s, got %s", tc.reason, tc.want, p.ReplaceAfter)
			}
			if m := p.Members[0]; m.State != scheduler.Frozen || !m.Since.Equal(since) {
				t.Errorf("\nReason: %s\nview(...): want it frozen since %s, got %v since %s", tc.reason, since, m.State, m.Since)
			}
		})
	}
}
