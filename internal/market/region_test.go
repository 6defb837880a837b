package market

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// lists is a source that lists what it has.
type lists struct {
	stock   []Quote
	subnets []Subnet
}

func (l lists) Prices(context.Context, Wanted) ([]Quote, error)   { return nil, nil }
func (l lists) PodPrices(context.Context) (*PodPrices, error)     { return nil, nil }
func (l lists) Stock(context.Context, Wanted) ([]Quote, error)    { return l.stock, nil }
func (l lists) Subnets(context.Context, Wanted) ([]Subnet, error) { return l.subnets, nil }

// TestEmptyLists: an API that lists nothing although nothing has failed must not
// make everything unavailable.
func TestEmptyLists(t *testing.T) {
	spot := func(o *fleetv1alpha1.Offering) { o.CapacityType = elasticv1alpha1.CapacitySpot }
	odd := func(o *fleetv1alpha1.Offering) { o.InstanceTypes = []string{"odd"} }
	small := []Quote{{InstanceType: "small", Zone: "a", Available: true}}
	subnets := []Subnet{{ID: "vsw-a", VPC: "vpc-1", Zone: "a", Free: 9}, {ID: "vsw-b", VPC: "vpc-1", Zone: "b", Free: 9}}
	cases := map[string]struct {
		reason      string
		offering    *fleetv1alpha1.Offering
		first, then lists
		unavailable bool
		// known is how old what is known of stock and subnets is.
		stock, subnets time.Duration
	}{
		"Stock":      {reason: "Nobody stops selling everything at once.", offering: offering(), first: lists{small, subnets}, then: lists{nil, subnets}, stock: time.Minute},
		"Subnets":    {reason: "Nor do all subnets go at once.", offering: offering(), first: lists{small, subnets}, then: lists{small, nil}, subnets: time.Minute},
		"Spot":       {reason: "Spot machines have a list of their own.", offering: offering(spot), first: lists{[]Quote{{InstanceType: "small", Zone: "a", Spot: true, Available: true}}, subnets}, then: lists{small, subnets}, stock: time.Minute},
		"SoldOut":    {reason: "What is listed as sold out is.", offering: offering(), first: lists{small, subnets}, then: lists{[]Quote{{InstanceType: "small", Zone: "a"}}, subnets}, unavailable: true},
		"NeverSold":  {reason: "What was never listed is not sold.", offering: offering(odd), first: lists{nil, subnets}, then: lists{nil, subnets}, unavailable: true},
		"NeverThere": {reason: "Subnets that were never listed do not exist.", offering: offering(), first: lists{small, nil}, then: lists{small, nil}, unavailable: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRegion()
			r.want(tc.offering, asker, start)
			for i, s := range []lists{tc.first, tc.then} {
				now := start.Add(time.Duration(i) * time.Minute)
				for _, j := range r.jobs() {
					apply, err := j.ask(t.Context(), s, r.wanted())
					j.done(now, err, Options{}.withDefaults())
					if apply != nil {
						apply(r, now)
					}
				}
			}
			now := start.Add(time.Minute)
			a := r.answer(tc.offering, now, 30*time.Minute)
			if a.Market.Unavailable != tc.unavailable {
				t.Errorf("\nReason: %s\nunavailable: %t: %s", tc.reason, a.Market.Unavailable, a.Market.Message)
			}
			if diff := cmp.Diff([]time.Duration{tc.stock, tc.subnets}, []time.Duration{now.Sub(a.Stock), now.Sub(a.Subnets)}); diff != "" {
				t.Errorf("\nReason: %s\nages: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
