package market

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

var (
	start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	asker = types.NamespacedName{Namespace: "platform", Name: "shanghai"}
)

func offering(m ...func(*fleetv1alpha1.Offering)) *fleetv1alpha1.Offering {
	o := &fleetv1alpha1.Offering{
		Name: "ack-general", Region: "cn-shanghai", InstanceTypes: []string{"small", "big"}, CapacityType: elasticv1alpha1.CapacityOnDemand,
		HourlyPrice: resource.MustParse("1"),
		Source: &fleetv1alpha1.OfferingSource{
			Cloud: fleetv1alpha1.CloudACK, ProviderConfigKind: elasticv1alpha1.ProviderConfigKind, ProviderConfigName: "aliyun",
			VPCID: "vpc-1", Subnets: []string{"vsw-a", "vsw-b"},
		},
	}
	for _, f := range m {
		f(o)
	}
	return o
}

// known is a region where everything went well at the start.
func known(m ...func(*region)) *region {
	r := newRegion()
	for _, j := range r.jobs() {
		j.known = start
	}
	r.stocked = start
	r.subnets = map[string]Subnet{"vsw-a": {ID: "vsw-a", VPC: "vpc-1", Zone: "a", Free: 9}, "vsw-b": {ID: "vsw-b", VPC: "vpc-1", Zone: "b", Free: 9}, "vsw-x": {ID: "vsw-x", VPC: "vpc-2", Zone: "a", Free: 9}}
	for _, z := range []string{"a", "b", "c"} {
		for _, t := range []string{"small", "big"} {
			r.stock[machine{t, z, false}] = stock{available: true, since: start}
		}
		r.prices[machine{"small", z, false}] = price{hourly: 1.1, at: start}
		r.prices[machine{"big", z, false}] = price{hourly: 2.2, at: start}
	}
	for _, f := range m {
		f(r)
	}
	return r
}

func soldOut(t string, zones ...string) func(*region) {
	return func(r *region) {
		for _, z := range zones {
			r.stock[machine{t, z, false}] = stock{since: start.Add(time.Minute)}
		}
	}
}

func priced(t string, p float64, zones ...string) func(*region) {
	return func(r *region) {
		for _, z := range zones {
			r.prices[machine{t, z, false}] = price{hourly: p, at: start}
		}
	}
}

func TestAnswer(t *testing.T) {
	nan := func() float64 { var z float64; return z / z }()
	type want struct {
		Price       string
		Unavailable bool
		Shortages   []string
		Message     string // a part of it
	}
	cases := map[string]struct {
		reason string
		r      *region
		o      *fleetv1alpha1.Offering
		after  time.Duration
		want   want
	}{
		"Nothing":     {reason: "Before the cloud has answered nothing is said.", r: newRegion(), o: offering(), want: want{}},
		"Plenty":      {reason: "The first type is what the next node will be.", r: known(), o: offering(), want: want{Price: "1.1"}},
		"DearestZone": {reason: "A cap must hold wherever the node goes.", r: known(priced("small", 1.5, "b")), o: offering(), want: want{Price: "1.5"}},
		"OtherZones":  {reason: "Zones without a subnet of ours do not matter.", r: known(priced("small", 1.5, "c"), soldOut("small", "c")), o: offering(), want: want{Price: "1.1"}},
		"OneZone": {reason: "A type that is sold out in one zone comes from the other.", r: known(soldOut("small", "b"), priced("small", 1.5, "b")), o: offering(),
			want: want{Price: "1.1", Shortages: []string{"small/b OutOfStock"}}},
		"OneType": {reason: "If the first is sold out the next one counts, and its price.", r: known(soldOut("small", "a", "b")), o: offering(),
			want: want{Price: "2.2", Shortages: []string{"small/ OutOfStock"}, Message: "small is sold out"}},
		"All": {reason: "If all are sold out nothing can be had.", r: known(soldOut("small", "a", "b"), soldOut("big", "a", "b")), o: offering(),
			want: want{Price: "1.1", Unavailable: true, Shortages: []string{"small/ OutOfStock", "big/ OutOfStock"}, Message: "big is sold out"}},
		"Crosswise": {reason: "Also if each zone lacks everything for itself.", r: known(soldOut("small", "a", "b"), soldOut("big", "a")), o: offering(func(o *fleetv1alpha1.Offering) { o.Source.Subnets = []string{"vsw-a"} }),
			want: want{Price: "1.1", Unavailable: true, Shortages: []string{"small/ OutOfStock", "big/ OutOfStock"}, Message: "sold out"}},
		"UnknownType": {reason: "A type that no zone sells is named, with the field.", r: known(), o: offering(func(o *fleetv1alpha1.Offering) { o.InstanceTypes = []string{"odd"} }),
			want: want{Unavailable: true, Shortages: []string{"odd/ NotSold"}, Message: "cn-shanghai does not sell odd: correct instanceTypes"}},
		"UnknownZone": {reason: "So is a zone that the region has not.", r: known(), o: offering(func(o *fleetv1alpha1.Offering) { o.Source.Subnets, o.Zones = nil, []string{"z"} }),
			want: want{Unavailable: true, Shortages: []string{"/z NotSold"}, Message: "cn-shanghai has no zone z: correct zones"}},
		"ZoneOfNoSubnet": {reason: "A zone that none of the subnets is in is named, with the field.", r: known(), o: offering(func(o *fleetv1alpha1.Offering) { o.Zones = []string{"a", "c"} }),
			want: want{Price: "1.1", Message: "no subnet is in c, they are in a, b: correct zones"}},
		"ZonesOfNoSubnet": {reason: "If that is true of all of them no node would be what it was ordered for.", r: known(), o: offering(func(o *fleetv1alpha1.Offering) { o.Zones = []string{"c", "z"} }),
			want: want{Price: "1.1", Unavailable: true, Message: "no subnet is in c, z, they are in a, b: correct zones"}},
		"ZonesOfSubnets": {reason: "A zone may be full and is still one.", r: known(func(r *region) { r.subnets["vsw-b"] = Subnet{ID: "vsw-b", VPC: "vpc-1", Zone: "b"} }), o: offering(func(o *fleetv1alpha1.Offering) { o.Zones = []string{"a", "b"} }),
			want: want{Price: "1.1", Shortages: []string{"/b NoAddresses"}, Message: "no address is free in vsw-b: add a larger vSwitch of zone b to subnets or vSwitchIds"}},
		"OneTypeUnknown": {reason: "A type that no zone sells is named also if others are there.", r: known(), o: offering(func(o *fleetv1alpha1.Offering) { o.InstanceTypes = []string{"odd", "big"} }),
			want: want{Price: "2.2", Shortages: []string{"odd/ NotSold"}, Message: "cn-shanghai does not sell odd: correct instanceTypes"}},
		"SpotNotSold": {reason: "Spot machines have a stock of their own.", r: known(), o: offering(func(o *fleetv1alpha1.Offering) { o.CapacityType = elasticv1alpha1.CapacitySpot }),
			want: want{Unavailable: true, Shortages: []string{"small/ NotSold", "big/ NotSold"}, Message: "as spot machine"}},
		"OtherVPC": {reason: "A vSwitch of another VPC would be refused.", r: known(), o: offering(func(o *fleetv1alpha1.Offering) { o.Source.Subnets = []string{"vsw-a", "vsw-x"} }),
			want: want{Price: "1.1", Unavailable: true, Message: "vSwitch vsw-x is not in VPC vpc-1: name a vSwitch of that VPC in subnets or vSwitchIds, or correct vpcId"}},
		"Full": {reason: "A zone whose subnets are full is short.", r: known(func(r *region) { r.subnets["vsw-b"] = Subnet{ID: "vsw-b", VPC: "vpc-1", Zone: "b"} }), o: offering(),
			want: want{Price: "1.1", Shortages: []string{"/b NoAddresses"}, Message: "no address is free in vsw-b: add a larger vSwitch of zone b"}},
		"FullTKE": {reason: "Node pools of TKE keep their subnets.", r: known(func(r *region) { r.subnets["vsw-b"] = Subnet{ID: "vsw-b", VPC: "vpc-1", Zone: "b"} }), o: offering(func(o *fleetv1alpha1.Offering) { o.Source.Cloud = fleetv1alpha1.CloudTKE }),
			want: want{Price: "1.1", Shortages: []string{"/b NoAddresses"}, Message: "no address is free in vsw-b: add a node pool with a larger subnet of zone b in subnets"}},
		"AllFull": {reason: "Without addresses nothing can be had.", r: known(func(r *region) {
			r.subnets["vsw-a"] = Subnet{ID: "vsw-a", VPC: "vpc-1", Zone: "a"}
		}), o: offering(func(o *fleetv1alpha1.Offering) { o.Source.Subnets = []string{"vsw-a"} }),
			want: want{Price: "1.1", Unavailable: true, Shortages: []string{"/a NoAddresses"}, Message: "no address"}},
		"VirtualFull": {reason: "Pods on virtual nodes need addresses too, and nothing else.", r: known(func(r *region) {
			r.subnets["vsw-a"] = Subnet{ID: "vsw-a", VPC: "vpc-1", Zone: "a"}
		}), o: offering(func(o *fleetv1alpha1.Offering) {
			o.Source.Subnets, o.Virtual = []string{"vsw-a"}, &fleetv1alpha1.VirtualCapacity{}
		}), want: want{Unavailable: true, Shortages: []string{"/a NoAddresses"}, Message: "no address"}},
		"Zero":     {reason: "Nothing is free.", r: known(priced("small", 0, "a", "b")), o: offering(), want: want{Message: "the price 0 of small is not believed"}},
		"Negative": {reason: "Nobody pays us.", r: known(priced("small", -1, "a", "b")), o: offering(), want: want{Message: "not believed"}},
		"NaN":      {reason: "Nor is this a price.", r: known(priced("small", nan, "a", "b")), o: offering(), want: want{Message: "not believed"}},
		"Tenth":    {reason: "Less than a tenth is a mistake.", r: known(priced("small", 0.099, "a", "b")), o: offering(), want: want{Message: "because 1 is declared"}},
		"Tenfold":  {reason: "More than tenfold as well.", r: known(priced("small", 10.1, "a", "b")), o: offering(), want: want{Message: "not believed"}},
		"OneWrong": {reason: "A good price of another zone counts.", r: known(priced("small", 100, "b")), o: offering(), want: want{Price: "1.1", Message: "not believed"}},
		"Old":      {reason: "What is old is ignored.", r: known(), o: offering(), after: 31 * time.Minute, want: want{Message: "the stock levels are ignored"}},
		"NoSource": {reason: "Offerings of older claims have no source.", r: known(), o: offering(func(o *fleetv1alpha1.Offering) { o.Source.Subnets = nil; o.InstanceTypes = nil }), want: want{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := tc.r.answer(tc.o, start.Add(tc.after), 30*time.Minute).Market
			got := want{Unavailable: a.Unavailable}
			if a.HourlyPrice != nil {
				got.Price = a.HourlyPrice.String()
				if got.Price == "1100m" {
					got.Price = "1.1"
				}
				if q := resource.MustParse(tc.want.Price + "0"); tc.want.Price != "" && q.Cmp(*a.HourlyPrice) == 0 {
					got.Price = tc.want.Price
				}
			}
			for _, s := range a.Shortages {
				got.Shortages = append(got.Shortages, s.InstanceType+"/"+s.Zone+" "+s.Reason)
			}
			got.Message = a.Message
			if tc.want.Message != "" && strings.Contains(a.Message, tc.want.Message) {
				got.Message = tc.want.Message
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nanswer(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// fakeSource answers from maps and counts.
type fakeSource struct {
	mu     sync.Mutex
	calls  map[string]int
	err    error
	hourly float64
	wanted Wanted
}

func (s *fakeSource) note(what string, w Wanted) (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[what]++
	s.wanted = w
	return s.hourly, s.err
}

func (s *fakeSource) set(hourly float64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hourly, s.err = hourly, err
}

func (s *fakeSource) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[what]
}

func (s *fakeSource) Prices(_ context.Context, w Wanted) ([]Quote, error) {
	p, err := s.note("prices", w)
	if err != nil {
		return nil, err
	}
	var out []Quote
	for _, z := range w.Zones {
		for _, t := range w.OnDemand {
			out = append(out, Quote{InstanceType: t, Zone: z, Hourly: p})
		}
	}
	return out, nil
}

func (s *fakeSource) PodPrices(context.Context) (*PodPrices, error) {
	p, err := s.note("pods", Wanted{})
	return &PodPrices{CPU: p, MemoryGiB: p / 4}, err
}

func (s *fakeSource) Stock(_ context.Context, w Wanted) ([]Quote, error) {
	_, err := s.note("stock", w)
	return []Quote{{InstanceType: "small", Zone: "a", Available: true}, {InstanceType: "big", Zone: "a", Available: true}}, err
}

func (s *fakeSource) Subnets(_ context.Context, w Wanted) ([]Subnet, error) {
	_, err := s.note("subnets", w)
	return []Subnet{{ID: "vsw-a", VPC: "vpc-1", Zone: "a", Free: 9}}, err
}

func until(t *testing.T, reason string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("\nReason: %s\nIt did not happen", reason)
		}
	}
}

func TestFeed(t *testing.T) {
	c := testclock.NewFakeClock(start)
	src := &fakeSource{calls: map[string]int{}, hourly: 1.25}
	var mu sync.Mutex
	var accounts []Account
	f := NewFeed(func(_ context.Context, a Account) (Source, error) {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(accounts, a) {
			accounts = append(accounts, a)
		}
		return src, nil
	}, c, logging.NewNopLogger(), Options{})
	told := make(chan types.NamespacedName, 1000)
	f.OnChange(func(nn types.NamespacedName) { told <- nn })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Start(ctx) }()

	o := offering(func(o *fleetv1alpha1.Offering) { o.Source.Subnets = []string{"vsw-a"} })
	if a := f.Ask(asker, o); a.Market.HourlyPrice != nil {
		t.Errorf("\nReason: nobody waits for the first answer\nAsk(...): %+v", a)
	}
	until(t, "the first question makes the feed ask", func() bool { return f.Ask(asker, o).Market.HourlyPrice != nil })
	a := f.Ask(asker, o)
	if got := a.Market.HourlyPrice.AsApproximateFloat64(); got != 1.25 || a.Market.Unavailable {
		t.Errorf("\nReason: the zone is that of the subnet\nAsk(...): want 1.25, got %v: %+v", got, a)
	}
	select {
	case nn := <-told:
		if nn != asker {
			t.Errorf("OnChange(...): want %s, got %s", asker, nn)
		}
	case <-time.After(10 * time.Second):
		t.Error("\nReason: who asked is told of the answer\nOnChange(...): nothing")
	}

	// Errors keep the last values until they are stale.
	src.set(1.25, errors.New("boom"))
	step := func(d time.Duration) {
		for ; d > 0; d -= 5 * time.Second {
			until(t, "the feed waits", c.HasWaiters)
			c.Step(5 * time.Second)
			f.Ask(asker, o)
		}
	}
	step(20 * time.Minute)
	if a := f.Ask(asker, o); a.Market.HourlyPrice == nil {
		t.Errorf("\nReason: an error keeps the last value\nAsk(...): %+v", a)
	}
	step(20 * time.Minute)
	until(t, "then it is too old, and the answer says so", func() bool {
		a := f.Ask(asker, o)
		return a.Market.HourlyPrice == nil && strings.Contains(a.Market.Message, "boom")
	})
	if n := src.count("stock"); n > 80 {
		t.Errorf("\nReason: failures back off\nStock(...): %d calls in 40 minutes", n)
	}

	// It recovers by itself.
	src.set(2.5, nil)
	step(12 * time.Minute)
	until(t, "it recovers by itself", func() bool {
		a := f.Ask(asker, o)
		return a.Market.HourlyPrice != nil && a.Market.HourlyPrice.AsApproximateFloat64() == 2.5
	})

	// Nothing is asked for that nobody wants.
	for range 60 {
		c.Step(time.Minute)
		time.Sleep(2 * time.Millisecond)
	}
	until(t, "what nobody asks for is forgotten", func() bool {
		c.Step(time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.regions) == 0
	})
	n := src.count("stock")
	c.Step(time.Hour)
	if got := src.count("stock"); got != n {
		t.Errorf("\nReason: an idle feed makes no calls\nStock(...): %d calls", got-n)
	}
	if diff := cmp.Diff([]string{"platform"}, slices.Collect(maps.Keys(map[string]bool{accounts[0].Namespace: true}))); diff != "" || len(accounts) != 1 {
		t.Errorf("\nReason: a ProviderConfig is that of the asker's namespace\nSourceFn(...): %v", accounts)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Start(...): %v", err)
	}
}

func TestThrottledIsNoFailure(t *testing.T) {
	j := &job{every: func(Options) time.Duration { return time.Minute }}
	j.done(start, &cloud.Error{Class: cloud.Throttled, Message: "other calls go first"}, Options{}.withDefaults())
	if j.failing != "" || j.due.Sub(start) > 6*time.Second {
		t.Errorf("\nReason: a call that others went before is just made a little later\ndone(...): %+v", j)
	}
}

// TestQuiet proves that an answer does not change while the cloud says the same,
// except for the time of the price.
func TestQuiet(t *testing.T) {
	r := newRegion()
	o := offering(func(o *fleetv1alpha1.Offering) { o.Source.Subnets = []string{"vsw-a"} })
	r.want(o, asker, start)
	src := fullSource{}
	refresh := func(now time.Time) fleetv1alpha1.OfferingMarket {
		for _, j := range r.jobs() {
			apply, err := j.ask(context.Background(), src, r.wanted())
			j.done(now, err, Options{}.withDefaults())
			if apply != nil {
				apply(r, now)
			}
		}
		m := r.answer(o, now, 30*time.Minute).Market
		m.PricedAt = nil
		return m
	}
	first := refresh(start)
	if !first.Unavailable || len(first.Shortages) != 2 {
		t.Fatalf("\nReason: the subnet is full and a type sold out\nanswer(...): %+v", first)
	}
	for i := range 30 {
		if diff := cmp.Diff(first, refresh(start.Add(time.Duration(i)*7*time.Minute))); diff != "" {
			t.Fatalf("\nReason: nothing has changed\nanswer(...): -first, +later:\n%s", diff)
		}
	}
}

// fullSource has a full subnet, and sells one type only.
type fullSource struct{}

func (fullSource) Prices(context.Context, Wanted) ([]Quote, error) {
	return []Quote{{InstanceType: "big", Zone: "a", Hourly: 2}}, nil
}

func (fullSource) PodPrices(context.Context) (*PodPrices, error) { return nil, nil }

func (fullSource) Stock(context.Context, Wanted) ([]Quote, error) {
	return []Quote{{InstanceType: "small", Zone: "a"}, {InstanceType: "big", Zone: "a", Available: true}}, nil
}

func (fullSource) Subnets(context.Context, Wanted) ([]Subnet, error) {
	return []Subnet{{ID: "vsw-a", VPC: "vpc-1", Zone: "a"}}, nil
}

func TestHighestPrice(t *testing.T) {
	a := known().answer(offering(), start, 30*time.Minute).Market
	if a.HighestPrice == nil || a.HighestPrice.Cmp(resource.MustParse("2.2")) != 0 {
		t.Errorf("The dearest type that may come is told, since a cap must hold with it: %v", a.HighestPrice)
	}
	one := known().answer(offering(func(o *fleetv1alpha1.Offering) { o.InstanceTypes = o.InstanceTypes[:1] }), start, 30*time.Minute).Market
	if one.HighestPrice != nil {
		t.Errorf("With one type there is nothing dearer: %v", one.HighestPrice)
	}
}
