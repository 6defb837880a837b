package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestPaceOf(t *testing.T) {
	began := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(seen, assigned float64) sighting {
		return sighting{seen: began.Add(time.Duration(seen * float64(time.Second))), assigned: began.Add(time.Duration(assigned * float64(time.Second)))}
	}
	cases := map[string]struct {
		reason string
		sights []sighting
		want   pace
	}{
		"Meanwhile": {
			reason: "The last of four is there after two seconds and placed after eight; the first was placed after five",
			sights: []sighting{at(1, 5), at(2, 8), at(0.5, 7), at(1.5, 6)},
			want:   pace{endToEnd: 0.5, detected: 2, drained: 1, waited: []float64{4, 4.5, 6, 6.5}},
		},
		"AtOnce": {
			reason: "What is seen at once took no less than can be told apart",
			sights: []sighting{at(1, 2), at(1, 2)},
			want:   pace{endToEnd: 1, detected: 2, drained: 1000, waited: []float64{1, 1}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, paceOf(began, tc.sights), cmp.AllowUnexported(pace{})); diff != "" {
				t.Errorf("\nReason: %s\npaceOf(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSee(t *testing.T) {
	p := &placing{sights: map[types.NamespacedName]sighting{}}
	b := &workv1alpha2.ResourceBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "load-0", Name: "w-deployment"}}
	b.Spec.Resource.Name, b.Spec.Replicas = "w", 3
	key := types.NamespacedName{Namespace: "load-0", Name: "w"}
	p.see(b)
	first := p.sights[key]
	if first.seen.IsZero() || !first.assigned.IsZero() {
		t.Errorf("\nReason: a binding without clusters is seen, and not placed\nsee(...): got %v", first)
	}
	b.Spec.Clusters = []workv1alpha2.TargetCluster{{Name: "m-0", Replicas: 2}}
	p.see(b)
	if got := p.sights[key]; got != first {
		t.Errorf("\nReason: a part of the replicas is not all\nsee(...): got %v", got)
	}
	b.Spec.Clusters = append(b.Spec.Clusters, workv1alpha2.TargetCluster{Name: "m-1", Replicas: 1})
	p.see(b)
	if got := p.sights[key]; got.assigned.IsZero() || got.seen != first.seen {
		t.Errorf("\nReason: with all replicas it is placed, once\nsee(...): got %v", got)
	}
}

func TestComparePaces(t *testing.T) {
	side := func(endToEnd, drained, detected, api float64) (all, backlog pace) {
		all = pace{endToEnd: endToEnd, detected: endToEnd, made: endToEnd / 2, waited: []float64{1, 2}, cpu: map[string]float64{"etcd": 1, "api": api}, whole: 2 * api}
		return all, pace{drained: drained, detected: detected}
	}
	them, themBacklog := side(10, 10, 90, 20)
	cases := map[string]struct {
		reason  string
		speed   float64
		drained float64
		met     bool
		want    map[string]float64
	}{
		"Met": {
			reason: "Ten times as fast is the goal, and what Karmada makes the bound", speed: 100, drained: 50, met: true,
			want: map[string]float64{
				"share of that bound (the mean of both), from create to spec.clusters": 1,
				"times as fast as karmada-scheduler, from create to spec.clusters":     10,
				"the same from a backlog": 5,
				"times as fast as karmada-scheduler if placing took no time at all":            10,
				"CPU milliseconds a binding until the last is placed":                          31,
				"CPU milliseconds a binding of all processes until Karmada has made all Works": 60,
				"of which api": 30,
				"bindings a second, from create until Karmada has made all Works":               50,
				"seconds from binding to spec.clusters, quantile 0.99":                          2,
				"bindings a second that Karmada makes while nobody places":                      110,
				"bindings a second, from a backlog of 700":                                      50,
				"bindings a second, from create to spec.clusters (700 Deployments, 10 members)": 100,
				"bindings a second that Karmada makes of them meanwhile":                        100,
				"seconds from binding to spec.clusters, quantile 0.5":                           1,
				"of which etcd": 1,
			},
		},
		"Missed": {reason: "Less is not", speed: 99, drained: 500},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			us, usBacklog := side(tc.speed, tc.drained, 110, 30)
			out := comparePaces(700, us, them, usBacklog, themBacklog)
			if out.met != tc.met {
				t.Errorf("\nReason: %s\ncomparePaces(...): got met %t, want %t", tc.reason, out.met, tc.met)
			}
			got := map[string]float64{}
			for _, c := range out.cases {
				got[c.Case] = c.Ours
			}
			if tc.want == nil {
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\ncomparePaces(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRoleOf(t *testing.T) {
	cases := map[string]struct{ reason, name, want string }{
		"Member":    {"Processes of members count together.", "m-3-kube-apiserver", "members"},
		"Estimator": {"So do estimators.", "estimator-m-3", "estimators"},
		"Other":     {"Others count alone.", "karmada-kube-apiserver", "karmada-kube-apiserver"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := roleOf(tc.name); got != tc.want {
				t.Errorf("\nReason: %s\nroleOf(%q): got %q, want %q", tc.reason, tc.name, got, tc.want)
			}
		})
	}
}
