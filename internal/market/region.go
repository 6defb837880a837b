package market

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// machine is a type in a zone, on demand or spot.
type machine struct {
	instanceType, zone string
	spot               bool
}

// price of a machine, and when the cloud said so.
type price struct {
	hourly float64
	at     time.Time
}

// stock of a machine. Since is since when it is sold out.
type stock struct {
	available bool
	since     time.Time
}

// want is something that is asked about.
type want struct {
	kind  wantKind
	value string
}

type wantKind int

const (
	wantOnDemand wantKind = iota // an instance type
	wantSpot                     // an instance type
	wantZone
	wantVPC
	wantSubnet
	wantPods
)

// A region is what is known of one, and what is wanted.
type region struct {
	running bool
	wake    chan struct{}
	// wants and askers by when they last asked.
	wants  map[want]time.Time
	askers map[types.NamespacedName]time.Time

	prices map[machine]price
	// pods is nil as long as the cloud has not told what they cost.
	pods  *PodPrices
	stock map[machine]stock
	// stocked is when the first answer about stock came.
	stocked time.Time
	// heard is when an answer that can be believed last came to a job.
	heard   map[*job]time.Time
	subnets map[string]Subnet
	// full is since when subnets have had no free address.
	full map[string]time.Time

	pricing, podPricing, stocking, subnetting *job
}

func newRegion() *region {
	return &region{
		wake:       make(chan struct{}, 1),
		wants:      make(map[want]time.Time),
		askers:     make(map[types.NamespacedName]time.Time),
		prices:     make(map[machine]price),
		stock:      make(map[machine]stock),
		subnets:    make(map[string]Subnet),
		full:       make(map[string]time.Time),
		heard:      make(map[*job]time.Time),
		pricing:    &job{name: "prices", ask: askPrices, every: func(o Options) time.Duration { return o.Prices }},
		podPricing: &job{name: "prices of pods", ask: askPodPrices, every: func(o Options) time.Duration { return o.Prices }},
		stocking:   &job{name: "stock levels", ask: askStock, every: func(o Options) time.Duration { return o.Stock }},
		subnetting: &job{name: "subnets", ask: askSubnets, every: func(o Options) time.Duration { return o.Subnets }},
	}
}

// An applyFn keeps an answer. It is called with the lock held.
type applyFn func(r *region, now time.Time)

// A job is one thing that is asked for regularly.
type job struct {
	name  string
	every func(Options) time.Duration
	ask   func(ctx context.Context, s Source, w Wanted) (applyFn, error)

	due     time.Time
	retry   time.Duration
	known   time.Time // when an answer last came
	err     error     // of the last try
	failing string    // what a person is told about it
}

// done notes the outcome of a try.
func (j *job) done(now time.Time, err error, o Options) {
	every := j.every(o)
	j.err = err
	if err == nil {
		j.retry, j.known, j.failing = 0, now, ""
		// Jitter keeps the regions of an account out of step.
		j.due = now.Add(every - every/10 + rand.N(every/5+1))
		return
	}
	j.retry = min(max(2*j.retry, o.Retry), every)
	if cloud.Is(err, cloud.Throttled) {
		// Others went first. That is no failure.
		j.retry = o.Retry
	} else {
		j.failing = err.Error()
	}
	j.due = now.Add(j.retry/2 + rand.N(j.retry/2+1))
}

func (r *region) jobs() []*job { return []*job{r.subnetting, r.stocking, r.pricing, r.podPricing} }

// next job, and how long until it is due. Subnets come first, because the zones
// to price come from them.
func (r *region) next(now time.Time) (*job, time.Duration) {
	first := slices.MinFunc(r.jobs(), func(a, b *job) int { return a.due.Compare(b.due) })
	return first, first.due.Sub(now)
}

// failures in a form that can be compared.
func (r *region) failures() [4]string {
	return [4]string{r.pricing.failing, r.podPricing.failing, r.stocking.failing, r.subnetting.failing}
}

func (r *region) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// want to know about an offering. It reports whether that is something new, and
// then makes what has to be asked for due.
func (r *region) want(o *fleetv1alpha1.Offering, asker types.NamespacedName, now time.Time) bool {
	r.askers[asker] = now
	var stale bool
	add := func(k wantKind, value string, due ...*job) {
		w := want{k, value}
		if _, ok := r.wants[w]; !ok && value != "" {
			stale = true
			for _, j := range due {
				j.due = time.Time{}
			}
		}
		if value != "" {
			r.wants[w] = now
		}
	}
	add(wantVPC, o.Source.VPCID, r.subnetting)
	for _, s := range o.Source.Subnets {
		add(wantSubnet, s, r.subnetting)
	}
	if o.Virtual != nil {
		add(wantPods, "pods", r.podPricing)
		return stale
	}
	kind := wantOnDemand
	if o.CapacityType == elasticv1alpha1.CapacitySpot {
		kind = wantSpot
	}
	for _, t := range instanceTypes(o) {
		add(kind, t, r.stocking, r.pricing)
	}
	for _, z := range o.Zones {
		add(wantZone, z, r.pricing)
	}
	return stale
}

// keep is how long a price is remembered, so that it can be said how old the one
// is that is not believed any more.
const keep = 24 * time.Hour

// forget what nobody has asked for since.
func (r *region) forget(now, since time.Time) {
	maps.DeleteFunc(r.wants, func(_ want, at time.Time) bool { return at.Before(since) })
	maps.DeleteFunc(r.askers, func(_ types.NamespacedName, at time.Time) bool { return at.Before(since) })
	maps.DeleteFunc(r.prices, func(_ machine, p price) bool { return now.Sub(p.at) > keep })
}

// wanted is what to ask the cloud for.
func (r *region) wanted() Wanted {
	w := Wanted{}
	zones := map[string]bool{}
	for k := range r.wants {
		switch k.kind {
		case wantOnDemand:
			w.OnDemand = append(w.OnDemand, k.value)
		case wantSpot:
			w.Spot = append(w.Spot, k.value)
		case wantZone:
			zones[k.value] = true
		case wantPods:
			w.Pods = true
		case wantVPC:
			w.VPCs = append(w.VPCs, k.value)
		case wantSubnet:
			w.Subnets = append(w.Subnets, k.value)
			if s, ok := r.subnets[k.value]; ok {
				zones[s.Zone] = true
			}
		}
	}
	w.Zones = slices.Sorted(maps.Keys(zones))
	for _, l := range [][]string{w.OnDemand, w.Spot, w.VPCs, w.Subnets} {
		slices.Sort(l)
	}
	return w
}

func askPrices(ctx context.Context, s Source, w Wanted) (applyFn, error) {
	if len(w.OnDemand)+len(w.Spot) == 0 {
		return nil, nil
	}
	l, err := s.Prices(ctx, w)
	if len(l) == 0 {
		return nil, err
	}
	// A part of the prices is better than none.
	return func(r *region, now time.Time) {
		for _, q := range l {
			r.prices[machine{q.InstanceType, q.Zone, q.Spot}] = price{hourly: q.Hourly, at: now}
		}
	}, err
}

func askPodPrices(ctx context.Context, s Source, w Wanted) (applyFn, error) {
	if !w.Pods {
		return nil, nil
	}
	p, err := s.PodPrices(ctx)
	if err != nil || p == nil {
		return nil, err
	}
	return func(r *region, _ time.Time) { r.pods = p }, nil
}

// doubt an empty list of what the cloud listed a moment ago. A cloud that sells
// nothing any more, or a network without subnets, would end all that is rented at
// once, and is a mistake of the API. What was known stays, and grows old.
func (r *region) doubt(j *job) {
	j.known, j.failing = r.heard[j], "the cloud lists none at all, which is not believed"
}

// sells reports whether any of the types was listed.
func sells(have map[machine]stock, types []string, spot bool) bool {
	for m := range have {
		if m.spot == spot && slices.Contains(types, m.instanceType) {
			return true
		}
	}
	return false
}

func askStock(ctx context.Context, s Source, w Wanted) (applyFn, error) {
	if len(w.OnDemand)+len(w.Spot) == 0 {
		return nil, nil
	}
	l, err := s.Stock(ctx, w)
	if err != nil {
		return nil, err
	}
	return func(r *region, now time.Time) {
		for spot, types := range map[bool][]string{false: w.OnDemand, true: w.Spot} {
			if len(types) > 0 && sells(r.stock, types, spot) && !slices.ContainsFunc(l, func(q Quote) bool { return q.Spot == spot }) {
				r.doubt(r.stocking)
				return
			}
		}
		r.heard[r.stocking] = now
		was := r.stock
		r.stock = make(map[machine]stock, len(l))
		for _, q := range l {
			m := machine{q.InstanceType, q.Zone, q.Spot}
			n := stock{available: q.Available, since: now}
			if o, ok := was[m]; ok && o.available == n.available {
				n.since = o.since
			}
			r.stock[m] = n
		}
		r.stocked = cmp.Or(r.stocked, now)
	}, nil
}

func askSubnets(ctx context.Context, s Source, w Wanted) (applyFn, error) {
	if len(w.Subnets) == 0 {
		return nil, nil
	}
	l, err := s.Subnets(ctx, w)
	if err != nil {
		return nil, err
	}
	return func(r *region, now time.Time) {
		if len(l) == 0 && slices.ContainsFunc(w.Subnets, func(id string) bool { return r.subnets[id].ID != "" }) {
			r.doubt(r.subnetting)
			return
		}
		r.heard[r.subnetting] = now
		was, full := r.subnets, r.full
		r.subnets, r.full = make(map[string]Subnet, len(l)), make(map[string]time.Time)
		for _, n := range l {
			r.subnets[n.ID] = n
			if n.Free <= 0 {
				r.full[n.ID] = cmp.Or(full[n.ID], now)
			}
			if was[n.ID].Zone != n.Zone {
				// Perhaps a zone that has not been priced.
				r.pricing.due = time.Time{}
			}
		}
	}, nil
}
