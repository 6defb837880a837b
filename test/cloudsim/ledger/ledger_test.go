package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regionpool.io/provider-regionpool/test/cloudsim/clock"
)

func TestReport(t *testing.T) {
	type want struct {
		Cost       float64
		Leaked     []string
		Duplicates [][]string
	}
	cases := map[string]struct {
		reason string
		run    func(l *Ledger, v *clock.Virtual)
		want   want
	}{
		"Cost": {
			reason: "An object costs by the time it exists.",
			run: func(l *Ledger, v *clock.Virtual) {
				l.Create(Object{Kind: Cluster, ID: "c", Root: true, Hourly: 2})
				v.Step(30 * time.Minute)
				l.Release("c")
				v.Step(time.Hour)
			},
			want: want{Cost: 1},
		},
		"RoundUp": {
			reason: "Some fees are for started hours.",
			run: func(l *Ledger, v *clock.Virtual) {
				l.Create(Object{Kind: Cluster, ID: "c", Root: true, Hourly: 2, RoundUp: true})
				v.Step(61 * time.Minute)
			},
			want: want{Cost: 4},
		},
		"Leak": {
			reason: "What hangs on something that is gone leaks, also if it is free, unless it is about to go.",
			run: func(l *Ledger, _ *clock.Virtual) {
				l.Create(Object{Kind: Cluster, ID: "c", Root: true})
				l.Create(Object{Kind: NAT, ID: "n", Parent: "c"})
				l.Create(Object{Kind: SecurityGroup, ID: "s", Parent: "c"})
				l.Create(Object{Kind: ECS, ID: "i", Parent: "detached"})
				l.Releasing("n")
				l.Release("c")
			},
			want: want{Leaked: []string{"s", "i"}},
		},
		"Duplicates": {
			reason: "Two clusters of one owner, or two pools of one name in a cluster, are one too many.",
			run: func(l *Ledger, _ *clock.Virtual) {
				l.Create(Object{Kind: Cluster, ID: "c1", Root: true, Owner: "u"})
				l.Create(Object{Kind: Cluster, ID: "c2", Root: true, Owner: "u"})
				l.Create(Object{Kind: Cluster, ID: "c3", Root: true})
				l.Create(Object{Kind: Cluster, ID: "c4", Root: true})
				l.Create(Object{Kind: NodePool, ID: "p1", Parent: "c1", Cluster: "c1", Name: "general", Owner: "a"})
				l.Create(Object{Kind: NodePool, ID: "p2", Parent: "c2", Cluster: "c2", Name: "general", Owner: "a"})
				l.Create(Object{Kind: NodePool, ID: "p3", Parent: "c2", Cluster: "c2", Name: "general", Owner: "b"})
			},
			want: want{Duplicates: [][]string{{"c1", "c2"}, {"p2", "p3"}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
			l := New(v)
			tc.run(l, v)
			r := l.Report()
			got := want{Cost: r.CostTotal}
			for _, o := range r.Leaked {
				got.Leaked = append(got.Leaked, o.ID)
			}
			for _, d := range r.Duplicates {
				got.Duplicates = append(got.Duplicates, d.IDs)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nReport(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
