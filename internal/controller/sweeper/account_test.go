package sweeper

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestCount(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(leaksGauge)
	gathered := func() map[string]float64 {
		out := map[string]float64{}
		fs, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs {
			for _, m := range f.GetMetric() {
				key := ""
				for _, l := range m.GetLabel() {
					key += l.GetName() + "=" + l.GetValue() + " "
				}
				out[key] = m.GetGauge().GetValue()
			}
		}
		return out
	}
	a := newAccount(config{namespace: "platform"})
	leak := func(kind, id string) *suspect { return &suspect{Thing: Thing{Kind: kind, ID: id}, region: "r"} }
	a.count([]*suspect{leak("Disk", "d-1"), leak("Disk", "d-2"), leak("Cluster", "c-1")})
	want := map[string]float64{"account=platform/ kind=Disk region=r ": 2, "account=platform/ kind=Cluster region=r ": 1}
	if diff := cmp.Diff(want, gathered()); diff != "" {
		t.Errorf("\nReason: leaks are counted by kind and region\ncount(...): -want, +got:\n%s", diff)
	}
	a.count([]*suspect{leak("Disk", "d-1")})
	want = map[string]float64{"account=platform/ kind=Disk region=r ": 1, "account=platform/ kind=Cluster region=r ": 0}
	if diff := cmp.Diff(want, gathered()); diff != "" {
		t.Errorf("\nReason: what is gone counts zero\ncount(...): -want, +got:\n%s", diff)
	}
	a.forget()
	if diff := cmp.Diff(map[string]float64{}, gathered()); diff != "" {
		t.Errorf("\nReason: an account that is gone has no metric\nforget(): -want, +got:\n%s", diff)
	}
}
