package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

func TestLatencies(t *testing.T) {
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	call := func(ms, desired int) requestlog.Entry {
		return requestlog.Entry{Time: at(ms), Action: "ModifyClusterNodePool", Accepted: true, NodePool: "np", Desired: ptr.To(desired)}
	}
	type want struct {
		Answered   []time.Duration
		Unanswered int
	}
	cases := map[string]struct {
		reason  string
		records []record
		calls   []requestlog.Entry
		want    want
	}{
		"Pairs": {
			reason:  "A decision is answered by the first later call for at least as many nodes.",
			records: []record{{Offering: "pool", UnmetSeen: at(0), From: 1, To: 2}, {Offering: "pool", UnmetSeen: at(100), From: 2, To: 3}},
			calls:   []requestlog.Entry{call(50, 2), call(350, 3), call(900, 4)},
			want:    want{Answered: []time.Duration{50 * time.Millisecond, 250 * time.Millisecond}},
		},
		"Together": {
			reason:  "One call may answer two decisions.",
			records: []record{{Offering: "pool", UnmetSeen: at(0), From: 1, To: 2}, {Offering: "pool", UnmetSeen: at(100), From: 2, To: 3}},
			calls:   []requestlog.Entry{call(300, 3)},
			want:    want{Answered: []time.Duration{300 * time.Millisecond, 200 * time.Millisecond}},
		},
		"Unanswered": {
			reason:  "A call that came earlier, asks for fewer nodes, was refused or is for another pool is no answer.",
			records: []record{{Offering: "pool", UnmetSeen: at(10), From: 1, To: 2}},
			calls:   []requestlog.Entry{call(5, 2), call(20, 1), {Time: at(30), NodePool: "np", Desired: ptr.To(2)}, {Time: at(40), Accepted: true, NodePool: "other", Desired: ptr.To(2)}},
			want:    want{Unanswered: 1},
		},
		"Others": {
			reason:  "Decisions for fewer nodes, and those of the warm-up, do not count.",
			records: []record{{Offering: "pool", UnmetSeen: at(-5), From: 1, To: 2}, {Offering: "pool", UnmetSeen: at(5), From: 2, To: 1}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			all, unanswered := latencies(tc.records, tc.calls, map[string]string{"pool": "np"}, begin)
			got := want{Unanswered: unanswered}
			for _, l := range all {
				got.Answered = append(got.Answered, l.answered)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nlatencies(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	cases := map[string]struct {
		reason         string
		where          places
		replicas, fits int
		want           int
	}{
		"Right":   {reason: "The self-built member is full, the rest is in the cloud.", where: places{homeName: {running: 8}, "cloud-a": {running: 2}}, replicas: 10, fits: 8},
		"Early":   {reason: "Four replicas are in the cloud that fit at home.", where: places{homeName: {running: 4}, "cloud-a": {running: 4}, "cloud-b": {running: 2}}, replicas: 10, fits: 8, want: 4},
		"Pending": {reason: "Two wait at home, where they do not fit.", where: places{homeName: {running: 8, waiting: 2}}, replicas: 10, fits: 8, want: 2},
		"Nowhere": {reason: "Nothing was placed at all.", where: places{}, replicas: 10, fits: 8, want: 10},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, mistakes(tc.where, tc.replicas, tc.fits)); diff != "" {
				t.Errorf("\n%s\nmistakes(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{1, 2, 3, 4}
	for p, want := range map[float64]float64{0: 1, 0.5: 2, 0.99: 4, 1: 4} {
		if diff := cmp.Diff(want, quantile(values, p)); diff != "" {
			t.Errorf("\nNearest rank.\nquantile(%v, %v): -want, +got:\n%s", values, p, diff)
		}
	}
}

func TestRequestMetric(t *testing.T) {
	m := requestMetric.FindStringSubmatch(`rest_client_requests_total{code="200",host="127.0.0.1:6443",method="PATCH"} 1.5e+02`)
	if m == nil {
		t.Fatal("\nThe line is client-go's.\nrequestMetric does not match")
	}
	if diff := cmp.Diff([]string{"127.0.0.1:6443", "PATCH", "1.5e+02"}, m[1:]); diff != "" {
		t.Errorf("\nHost, method and number.\nrequestMetric: -want, +got:\n%s", diff)
	}
}

func TestShapes(t *testing.T) {
	all := shapes(1)
	if diff := cmp.Diff(1+randomShapes, len(all)); diff != "" {
		t.Errorf("\nThe reference and the random ones.\nshapes(...): -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(all, shapes(1), cmp.AllowUnexported(shape{})); diff != "" {
		t.Errorf("\nThe same seed gives the same shapes.\nshapes(...): -want, +got:\n%s", diff)
	}
}
