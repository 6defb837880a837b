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
	p := &placing{sights: map[types.NamespacedName]sighting{}, changed: make(chan struct{})}
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
