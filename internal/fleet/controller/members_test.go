package controller

import (
	"strings"
	"testing"
	"time"

	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// TestSchedulerConfiguration: a member is simulated with the configuration of its
// own kube-scheduler.
func TestSchedulerConfiguration(t *testing.T) {
	const header = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
	const fenced = header + `
profiles:
- schedulerName: default-scheduler
  pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: fence, operator: Exists}]}]
`
	cases := map[string]struct {
		reason string
		config string
		placed bool
		event  string
	}{
		"None":      {reason: "Without a configuration it is the default.", placed: true},
		"Default":   {reason: "A configuration that says nothing is the default.", config: header, placed: true},
		"Refuses":   {reason: "What the member's profile refuses is not placed there.", config: fenced},
		"Extenders": {reason: "Nothing is placed on a member that cannot be simulated, and an event says why.", config: header + "extenders: [{urlPrefix: 'http://x', filterVerb: filter, weight: 1}]", event: "cannot simulate a scheduler with 1 extenders"},
		"Bad":       {reason: "Nor on one whose configuration cannot be read.", config: "{", event: "cannot read scheduler configuration"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := karmadaCluster("idc-a")
			if tc.config != "" {
				c.Annotations = map[string]string{fleetv1alpha1.AnnotationSchedulerConfiguration: tc.config}
			}
			f, _ := newFleet(t, []client.Object{deployment(), resourceBinding(), capacityPlan(), c}, idcNode())
			recorder := events.NewFakeRecorder(100)
			f.members.events = recorder
			for range 2 {
				if _, err := f.Round(t.Context(), time.Now()); err != nil {
					t.Fatalf("\nReason: %s\nRound(...): %v", tc.reason, err)
				}
			}
			rb := &workv1alpha2.ResourceBinding{}
			if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "web-deployment"}, rb); err != nil {
				t.Fatal(err)
			}
			if got := len(rb.Spec.Clusters) > 0; got != tc.placed {
				t.Errorf("\nReason: %s\nRound(...): want placed %t, got %v", tc.reason, tc.placed, rb.Spec.Clusters)
			}
			close(recorder.Events)
			var told []string
			for e := range recorder.Events {
				told = append(told, e)
			}
			if tc.event == "" && len(told) > 0 || tc.event != "" && (len(told) != 1 || !strings.Contains(told[0], tc.event)) {
				t.Errorf("\nReason: %s\nRound(...): want one event with %q, got %q", tc.reason, tc.event, told)
			}
			if live := f.members.byName["idc-a"]; (live.misconfigured != "") != (tc.event != "") {
				t.Errorf("\nReason: %s\nRound(...): the reason is %q", tc.reason, live.misconfigured)
			}
		})
	}
}
