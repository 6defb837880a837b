package market

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// Reasons of shortages that a feed sees, beside those of node pools.
const (
	ReasonOutOfStock  = "OutOfStock"
	ReasonNotSold     = "NotSold"
	ReasonNoAddresses = "NoAddresses"
)

// absurd is the factor by which a price may differ from the declared one before
// it is not believed.
const absurd = 10

// quantum of the times that are reported, so that answers do not tick.
const quantum = 10 * time.Minute

// An Answer is what is known of an offering.
type Answer struct {
	// Market of the offering. Nodes and Desired are not set.
	Market fleetv1alpha1.OfferingMarket
	// Types and Zones that the offering can come from, as far as is known.
	Types, Zones []string
	// Prices, Stock and Subnets are when the cloud last answered; zero if it has
	// not yet.
	Prices, Stock, Subnets time.Time
}

// instanceTypes of an offering in the order in which the cloud tries them.
func instanceTypes(o *fleetv1alpha1.Offering) []string {
	if len(o.InstanceTypes) > 0 {
		return o.InstanceTypes
	}
	if o.InstanceType != "" {
		return []string{o.InstanceType}
	}
	return nil
}

// answer about an offering, with what is not too old.
func (r *region) answer(o *fleetv1alpha1.Offering, now time.Time, stale time.Duration) Answer {
	b := &builder{region: r, offering: o, now: now, stale: stale, spot: o.CapacityType == elasticv1alpha1.CapacitySpot}
	b.answer = Answer{
		Market: fleetv1alpha1.OfferingMarket{Name: o.Name}, Prices: r.pricing.known, Stock: r.stocking.known, Subnets: r.subnetting.known,
	}
	b.subnets()
	if o.Virtual == nil {
		b.stock()
		b.price()
	} else {
		b.podPrices()
	}
	m := &b.answer.Market
	m.Shortages = b.shortages
	m.Unavailable = b.broken || Exhausted(b.answer.Types, b.answer.Zones, m.Shortages)
	m.Message = strings.Join(b.messages, "; ")
	return b.answer
}

// builder of an answer.
type builder struct {
	*region
	offering *fleetv1alpha1.Offering
	now      time.Time
	stale    time.Duration
	spot     bool

	answer    Answer
	shortages []elasticv1alpha1.Shortage
	// broken means that the cloud would refuse the offering as it is.
	broken   bool
	messages []string
}

func (b *builder) say(format string, args ...any) {
	b.messages = append(b.messages, fmt.Sprintf(format, args...))
}

// usable reports whether the last answer to a job is there and not too old. It
// says so if it is not, and the cloud is to blame.
func (b *builder) usable(j *job) bool {
	switch {
	case j.known.IsZero():
		if j.failing != "" {
			b.say("the %s are not known: %s", j.name, j.failing)
		}
		return false
	case b.now.Sub(j.known) > b.stale:
		why := ""
		if j.failing != "" {
			why = ": " + j.failing
		}
		b.say("the %s are ignored because they are of %s%s", j.name, stamp(j.known), why)
		return false
	}
	return true
}

// stamp of a time, to ten minutes.
func stamp(t time.Time) string { return t.UTC().Truncate(quantum).Format("2006-01-02 15:04 MST") }

// subnets finds the zones, and subnets that are wrong or full.
func (b *builder) subnets() {
	src := b.offering.Source
	b.answer.Zones = slices.Compact(slices.Sorted(slices.Values(b.offering.Zones)))
	if len(src.Subnets) == 0 || !b.usable(b.subnetting) {
		return
	}
	field, kind := "vSwitchIds", "vSwitch"
	if src.Cloud == fleetv1alpha1.CloudTKE {
		field, kind = "subnetIds", "subnet"
	}
	free, full := map[string]bool{}, map[string][]string{}
	for _, id := range src.Subnets {
		n, ok := b.region.subnets[id]
		switch {
		case !ok, n.VPC != src.VPCID:
			b.broken = true
			b.say("%s %s is not in VPC %s: name a %s of that VPC in subnets or %s, or correct vpcId", kind, id, src.VPCID, kind, field)
		case n.Free > 0:
			free[n.Zone] = true
		default:
			full[n.Zone] = append(full[n.Zone], id)
		}
	}
	for _, z := range slices.Sorted(maps.Keys(full)) {
		if free[z] {
			continue
		}
		ids := strings.Join(full[z], ", ")
		var since time.Time
		for _, id := range full[z] {
			if at := b.region.full[id]; at.After(since) {
				since = at
			}
		}
		b.short("", z, ReasonNoAddresses, "no address is free in "+ids, since)
		if src.Cloud == fleetv1alpha1.CloudTKE && b.offering.Virtual == nil {
			// TKE cannot change the subnets of a node pool.
			b.say("no address is free in %s: add a node pool with a larger %s of zone %s in subnets", ids, kind, z)
		} else {
			b.say("no address is free in %s: add a larger %s of zone %s to subnets or %s", ids, kind, z, field)
		}
		free[z] = true
	}
	if len(free) == 0 {
		return
	}
	real := slices.Sorted(maps.Keys(free))
	b.declared(real)
	b.answer.Zones = real
}

// declared zones of the claim are compared with those of the subnets: nodes that
// are ordered for a zone would come in another. Some that are right may be
// enough; if none is, no node is what it was ordered for.
func (b *builder) declared(real []string) {
	var wrong []string
	for _, z := range b.answer.Zones {
		if !slices.Contains(real, z) {
			wrong = append(wrong, z)
		}
	}
	if len(wrong) == 0 {
		return
	}
	b.broken = b.broken || len(wrong) == len(b.answer.Zones)
	b.say("no subnet is in %s, they are in %s: correct zones", strings.Join(wrong, ", "), strings.Join(real, ", "))
}

func (b *builder) short(instanceType, zone, reason, message string, since time.Time) {
	b.shortages = append(b.shortages, elasticv1alpha1.Shortage{
		InstanceType: instanceType, Zone: zone, Reason: reason, Message: message, Since: metav1.NewTime(since.Truncate(time.Second)),
	})
}

// stock finds what is sold out, and what the cloud does not know.
func (b *builder) stock() {
	b.answer.Types = instanceTypes(b.offering)
	if !b.usable(b.stocking) {
		return
	}
	sold, zones := map[string]bool{}, map[string]bool{}
	for m := range b.region.stock {
		zones[m.zone] = true
		if m.spot == b.spot {
			sold[m.instanceType] = true
		}
	}
	if len(b.answer.Zones) == 0 {
		b.answer.Zones = slices.Sorted(maps.Keys(zones))
	}
	var types, in []string
	for _, z := range b.answer.Zones {
		if zones[z] {
			in = append(in, z)
			continue
		}
		b.short("", z, ReasonNotSold, "the region has no such zone", b.stocked)
		b.say("%s has no zone %s: correct zones", b.offering.Region, z)
	}
	for _, t := range b.answer.Types {
		if sold[t] {
			types = append(types, t)
			continue
		}
		b.short(t, "", ReasonNotSold, "the region does not sell this type", b.stocked)
		b.say("%s does not sell %s%s: correct instanceTypes", b.offering.Region, t, b.charge())
	}

	gone := map[string][]string{} // zones without a type
	for _, t := range types {
		for _, z := range in {
			if s, ok := b.region.stock[machine{t, z, b.spot}]; !ok || !s.available {
				gone[t] = append(gone[t], z)
			}
		}
	}
	for _, t := range types {
		if len(gone[t]) == 0 {
			continue
		}
		if len(gone[t]) == len(in) {
			b.short(t, "", ReasonOutOfStock, "sold out"+b.charge(), b.since(t, in))
			b.say("%s is sold out%s", t, b.charge())
			continue
		}
		for _, z := range gone[t] {
			b.short(t, z, ReasonOutOfStock, "sold out"+b.charge(), b.since(t, []string{z}))
		}
	}
}

func (b *builder) charge() string {
	if b.spot {
		return " as spot machine"
	}
	return ""
}

// since is the last time at which a type was to be had in one of the zones.
func (b *builder) since(t string, zones []string) time.Time {
	at := b.stocked
	for _, z := range zones {
		if s, ok := b.region.stock[machine{t, z, b.spot}]; ok && s.since.After(at) {
			at = s.since
		}
	}
	return at
}

// price finds what the next node will cost: one of the first type, in the order
// in which the cloud tries them, that is to be had; and the dearest of its
// zones, since nodes are spread over them and a cap must hold wherever they go.
func (b *builder) price() {
	if len(b.answer.Types) == 0 {
		return
	}
	declared := b.offering.HourlyPrice.AsApproximateFloat64()
	t, zones := b.next()
	var best *price
	var doubt string
	for _, z := range zones {
		p, ok := b.prices[machine{t, z, b.spot}]
		if !ok {
			p, ok = b.prices[machine{t, "", b.spot}]
		}
		switch {
		case !ok:
		case b.now.Sub(p.at) > b.stale:
			doubt = fmt.Sprintf("the price of %s is ignored because it is of %s", t, stamp(p.at))
		case !believable(p.hourly, declared):
			doubt = fmt.Sprintf("the price %s of %s is not believed, because %s is declared: correct hourlyPrice if it is right", format(p.hourly), t, format(declared))
		case best == nil || p.hourly > best.hourly || p.hourly == best.hourly && p.at.Before(best.at):
			best = &p
		}
	}
	if doubt != "" {
		b.messages = append(b.messages, doubt)
	}
	if best == nil {
		if doubt == "" && b.pricing.failing != "" {
			b.say("the prices are not known: %s", b.pricing.failing)
		}
		return
	}
	q, err := resource.ParseQuantity(format(best.hourly))
	if err != nil {
		return
	}
	at := metav1.NewTime(best.at.Truncate(quantum))
	b.answer.Market.HourlyPrice, b.answer.Market.PricedAt = &q, &at
	if highest := b.highest(declared); highest > best.hourly {
		if q, err := resource.ParseQuantity(format(highest)); err == nil {
			b.answer.Market.HighestPrice = &q
		}
	}
}

// podPrices are believed both or not at all.
func (b *builder) podPrices() {
	if !b.usable(b.podPricing) || b.pods == nil {
		return
	}
	m := &b.answer.Market
	of := []struct {
		field          string
		said, declared float64
		to             **resource.Quantity
	}{
		{"cpuHour", b.pods.CPU, b.offering.Virtual.CPUHour.AsApproximateFloat64(), &m.CPUHour},
		{"memoryGiBHour", b.pods.MemoryGiB, b.offering.Virtual.MemoryGiBHour.AsApproximateFloat64(), &m.MemoryGiBHour},
	}
	for _, p := range of {
		if !believable(p.said, p.declared) {
			b.say("the price %s of pods is not believed, because %s is declared: correct %s if it is right", format(p.said), format(p.declared), p.field)
			return
		}
	}
	for _, p := range of {
		*p.to = ptr.To(resource.MustParse(format(p.said)))
	}
	m.PricedAt = ptr.To(metav1.NewTime(b.podPricing.known.Truncate(quantum)))
}

// highest of the prices that are believed, of all types in all zones.
func (b *builder) highest(declared float64) float64 {
	zones := append(slices.Clone(b.answer.Zones), "")
	out := 0.0
	for _, t := range b.answer.Types {
		for _, z := range zones {
			if p, ok := b.prices[machine{t, z, b.spot}]; ok && b.now.Sub(p.at) <= b.stale && believable(p.hourly, declared) {
				out = max(out, p.hourly)
			}
		}
	}
	return out
}

// next is the first type that is to be had, and its zones. If none is, it is the
// first of all.
func (b *builder) next() (string, []string) {
	zones := b.answer.Zones
	if len(zones) == 0 {
		zones = []string{""}
	}
	for _, t := range b.answer.Types {
		var in []string
		for _, z := range zones {
			if !covered(t, z, b.shortages) {
				in = append(in, z)
			}
		}
		if len(in) > 0 {
			return t, in
		}
	}
	return b.answer.Types[0], zones
}

// believable prices are positive numbers that differ from the declared one by no
// more than a factor of ten.
func believable(p, declared float64) bool {
	if math.IsNaN(p) || math.IsInf(p, 0) || p <= 0 {
		return false
	}
	return declared <= 0 || p >= declared/absurd && p <= declared*absurd
}

func format(p float64) string { return strconv.FormatFloat(math.Round(p*1e6)/1e6, 'f', -1, 64) }

// covered reports whether shortages leave nothing of a type in a zone.
func covered(t, zone string, shortages []elasticv1alpha1.Shortage) bool {
	for _, s := range shortages {
		if (s.InstanceType == "" || s.InstanceType == t) && (s.Zone == "" || s.Zone == zone) {
			return true
		}
	}
	return false
}

// Exhausted reports whether shortages leave nothing of the types in the zones.
// Either may be empty, which stands for one that no shortage names.
func Exhausted(types, zones []string, shortages []elasticv1alpha1.Shortage) bool {
	if len(types) == 0 {
		types = []string{""}
	}
	if len(zones) == 0 {
		zones = []string{""}
	}
	for _, t := range types {
		for _, z := range zones {
			if !covered(t, z, shortages) {
				return false
			}
		}
	}
	return true
}
