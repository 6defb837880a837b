package market

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// TestPodPrices: what a vCPU and a GiB cost on virtual nodes.
func TestPodPrices(t *testing.T) {
	type want struct {
		CPU, Memory string
		Priced      bool
		Message     string // a part of it
	}
	pods := func(cpu, memory float64) func(*region) {
		return func(r *region) { r.pods = &PodPrices{CPU: cpu, MemoryGiB: memory} }
	}
	cases := map[string]struct {
		reason string
		r      *region
		after  time.Duration
		want   want
	}{
		"Nothing":  {reason: "Before the cloud has answered nothing is said.", r: newRegion()},
		"Untold":   {reason: "Nor if the cloud has no call for it: the declared prices count.", r: known()},
		"Told":     {reason: "What the cloud says is passed on.", r: known(pods(0.2, 0.03)), want: want{CPU: "0.2", Memory: "0.03", Priced: true}},
		"Absurd":   {reason: "A price of more than tenfold is not believed.", r: known(pods(3.6, 0.03)), want: want{Message: "the price 3.6 of pods is not believed, because 0.35 is declared: correct cpuHour"}},
		"Negative": {reason: "Nor is the other then: they come from one answer.", r: known(pods(0.2, -0.01)), want: want{Message: "correct memoryGiBHour"}},
		"NaN":      {reason: "What is no number is no price.", r: known(pods(math.NaN(), 0.03)), want: want{Message: "not believed"}},
		"Old":      {reason: "What is old is ignored.", r: known(pods(0.2, 0.03)), after: 31 * time.Minute, want: want{Message: "the prices of pods are ignored"}},
		"Failing": {reason: "A failure is told.", r: known(func(r *region) {
			r.podPricing.known = time.Time{}
			r.podPricing.done(start, errors.New("no right to ask"), Options{}.withDefaults())
		}), want: want{Message: "the prices of pods are not known: no right to ask"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := offering(func(o *fleetv1alpha1.Offering) {
				o.InstanceTypes, o.Source.Subnets = nil, nil
				o.Virtual = &fleetv1alpha1.VirtualCapacity{CPUHour: resource.MustParse("0.35"), MemoryGiBHour: resource.MustParse("0.04")}
			})
			m := tc.r.answer(o, start.Add(tc.after), 30*time.Minute).Market
			got := want{Message: m.Message, Priced: m.PricedAt != nil}
			if m.CPUHour != nil && m.MemoryGiBHour != nil {
				got.CPU, got.Memory = format(m.CPUHour.AsApproximateFloat64()), format(m.MemoryGiBHour.AsApproximateFloat64())
			}
			if tc.want.Message != "" && strings.Contains(m.Message, tc.want.Message) {
				got.Message = tc.want.Message
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || m.Unavailable {
				t.Errorf("\nReason: %s\nanswer(...): unavailable %t, -want, +got:\n%s", tc.reason, m.Unavailable, diff)
			}
		})
	}
}
