package member

import (
	"strings"
	"testing"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles: [{schedulerName: default-scheduler, plugins: {multiPoint: {disabled: [{name: NodePorts}]}}}]
`

func TestCheckScheduling(t *testing.T) {
	cases := map[string]struct {
		reason string
		data   string
		err    string
	}{
		"Good":      {"A configuration with profiles can be simulated.", schedulerConfig, ""},
		"Field":     {"A field that does not exist is told.", schedulerConfig + "profils: []", `unknown field "profils"`},
		"NoYAML":    {"What is no YAML is told.", "{", "is not a KubeSchedulerConfiguration"},
		"Version":   {"Another version is told.", strings.Replace(schedulerConfig, "/v1", "/v1beta3", 1), `it must be a "KubeSchedulerConfiguration" of "kubescheduler.config.k8s.io/v1"`},
		"Extenders": {"Extenders cannot be simulated.", schedulerConfig + "extenders: [{urlPrefix: 'http://x'}]", "has extenders"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := checkScheduling(tc.data)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("\nReason: %s\ncheckScheduling(...): want an error with %q, got %v", tc.reason, tc.err, err)
			}
		})
	}
}

func TestMergeScheduling(t *testing.T) {
	const theirs = "set by hand"
	scheduling := func(s string) memberMod {
		return func(mg *v1alpha1.Member) { mg.Spec.ForProvider.SchedulerConfiguration = s }
	}
	cases := map[string]struct {
		reason string
		first  string
		then   *v1alpha1.Member
		want   string
	}{
		"Set":     {"What the Member says is on the Karmada Cluster, where fleet reads it.", "", newMember(scheduling(schedulerConfig)), schedulerConfig},
		"Removed": {"What the Member no longer says goes.", schedulerConfig, newMember(), ""},
		"Theirs":  {"What the Member never said is of others, and stays.", "", newMember(), theirs},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cl := &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "idc-a"}}
			if err := merge(cl, newMember(scheduling(tc.first))); err != nil {
				t.Fatalf("\nReason: %s\nmerge(...): %v", tc.reason, err)
			}
			if tc.want == theirs {
				cl.Annotations[fleetv1alpha1.AnnotationSchedulerConfiguration] = theirs
			}
			if err := merge(cl, tc.then); err != nil {
				t.Fatalf("\nReason: %s\nmerge(...): %v", tc.reason, err)
			}
			if got := cl.Annotations[fleetv1alpha1.AnnotationSchedulerConfiguration]; got != tc.want {
				t.Errorf("\nReason: %s\nmerge(...): want the annotation %q, got %q", tc.reason, tc.want, got)
			}
		})
	}
	if err := merge(&clusterv1alpha1.Cluster{}, newMember(scheduling("{}"))); err == nil {
		t.Errorf("\nReason: What cannot be simulated is told where it was written.\nmerge(...): want an error")
	}
}
