package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// absurd is how many times more or less than the declared price a fed one may
// be. What is beyond is a mistake of the feed.
const absurd = 10

// A Strike is a time at which the cloud could not deliver an offering.
type Strike struct {
	// Count of strikes since it last delivered.
	Count int32 `json:"count"`
	// Shortage is since when the cloud has been short.
	Shortage time.Time `json:"shortage"`
	// Until when it is not ordered.
	Until time.Time `json:"until"`
}

func (s Strike) equal(o Strike) bool {
	return s.Count == o.Count && s.Shortage.Equal(o.Shortage) && s.Until.Equal(o.Until)
}

// readMarket takes over what the clouds say of an offering.
func (p *plan) readMarket(o *offering) {
	o.capPrice, o.reported = o.price, -1
	i := slices.IndexFunc(p.in.Plan.Spec.Market.Offerings, func(m fleetv1alpha1.OfferingMarket) bool { return m.Name == o.Name })
	if i < 0 {
		return
	}
	o.market = &p.in.Plan.Spec.Market.Offerings[i]
	if q := o.market.HourlyPrice; q != nil && o.Virtual == nil {
		declared := o.price
		if fed := micro(*q); fed > 0 && fed >= declared/absurd && fed/absurd <= declared {
			o.price, o.capPrice = fed, max(declared, fed)
			if h := o.market.HighestPrice; h != nil && micro(*h)/absurd <= declared {
				o.capPrice = max(o.capPrice, micro(*h))
			}
		} else {
			o.priceNote = fmt.Sprintf("the price of %s that the cloud reports is not believed", q)
		}
	}
	if o.Virtual != nil {
		if cpu, memory := o.market.CPUHour, o.market.MemoryGiBHour; cpu != nil && memory != nil {
			v := *o.Virtual
			v.CPUHour, v.MemoryGiBHour = *cpu, *memory
			o.Virtual = &v
		}
		return
	}
	for _, n := range []*int32{o.market.Nodes, o.market.Desired} {
		if n != nil {
			o.reported = max(o.reported, *n)
		}
	}
}

// strike notes shortages, and withdraws what was ordered of an offering that the
// cloud is short of and has not delivered. What it has delivered is kept.
func (p *plan) strike() {
	for name := range p.memory.Strikes {
		if p.offerings[name] == nil {
			delete(p.memory.Strikes, name)
		}
	}
	for _, o := range slices.Concat(p.stock, p.virtual) {
		s, struck := p.memory.Strikes[o.Name]
		short := o.market != nil && o.market.Unavailable
		if struck && (p.deliveredSince(o, s.Until) || !short && p.in.Now.After(s.Until.Add(p.in.Settings.ShortageMax))) {
			delete(p.memory.Strikes, o.Name)
			s, struck = Strike{}, false
		}
		if short {
			if since := lastShortage(o.market); !since.IsZero() && (!struck || since.After(s.Shortage)) {
				s = Strike{Count: s.Count + 1, Shortage: since, Until: p.in.Now.Add(p.ttl(s.Count))}
				p.memory.Strikes[o.Name] = s
			}
		}
		p.wake(s.Until)
		if s.Until.After(p.in.Now) {
			o.avoidUntil = s.Until
		} else if short && len(o.market.Shortages) == 0 {
			// Not a matter of time: the cloud knows no such thing.
			o.unknown = true
		}
		if (o.unknown || !o.avoidUntil.IsZero()) && o.member.State != scheduler.Frozen {
			p.withdraw(o)
		}
	}
}

// ttl is for how long an offering is not ordered after a strike.
func (p *plan) ttl(before int32) time.Duration {
	d := p.in.Settings.Shortage
	for range before {
		if d *= 2; d >= p.in.Settings.ShortageMax {
			return p.in.Settings.ShortageMax
		}
	}
	return d
}

func lastShortage(m *fleetv1alpha1.OfferingMarket) time.Time {
	var t time.Time
	for i := range m.Shortages {
		if s := m.Shortages[i].Since.Time; s.After(t) {
			t = s
		}
	}
	return t
}

// deliveredSince reports whether a node of the offering came after a time.
func (p *plan) deliveredSince(o *offering, t time.Time) bool {
	if o.member.Snapshot == nil {
		return false
	}
	return slices.ContainsFunc(slices.Concat(o.ready, o.starting), func(name string) bool {
		ni := o.member.Snapshot.Node(name)
		return ni != nil && ni.Node().CreationTimestamp.After(t)
	})
}

// withdraw gives up the nodes of an offering that were ordered and that the
// cloud does not have.
func (p *plan) withdraw(o *offering) {
	coming := int32(0)
	if o.market != nil && o.market.Nodes != nil {
		// They exist, and will be seen in the member.
		coming = max(0, *o.market.Nodes-o.registered())
	}
	n := o.outstanding - min(o.outstanding, coming)
	if n <= 0 {
		return
	}
	o.outstanding -= n
	o.want -= n
	o.cancelled += n
	// The host tried to order them: it has seen the order, and says what of it
	// exists.
	o.seen += n
}

// scarcity says why an offering is not ordered because of the market.
func (o *offering) scarcity() string {
	if o.market == nil {
		return "the cloud was short of it"
	}
	var parts []string
	for _, s := range o.market.Shortages {
		what := strings.TrimSpace(strings.Join([]string{s.InstanceType, s.Zone}, " "))
		if what != "" {
			what = " (" + what + ")"
		}
		parts = append(parts, s.Reason+what)
	}
	switch {
	case len(parts) > 0:
		return "the cloud is short of it: " + strings.Join(parts, ", ")
	case o.market.Message != "":
		return "the cloud cannot deliver it: " + o.market.Message
	}
	return "the cloud was short of it"
}

// existsAtCloud tells whether the cluster of a member exists, if the host says.
func (p *plan) existsAtCloud(m *member) (exists, known bool) {
	i := slices.IndexFunc(p.in.Plan.Spec.Market.Members, func(mm fleetv1alpha1.MemberMarket) bool { return mm.Name == m.Name })
	if i < 0 {
		return false, false
	}
	return p.in.Plan.Spec.Market.Members[i].Exists, true
}

// weights are spec.weights in millionths.
type weights struct{ price, wait, interruption, spread int64 }

// readWeights returns the weights of a plan. Where nothing is said the defaults
// of the API hold.
func readWeights(w fleetv1alpha1.Weights) weights {
	or := func(q *resource.Quantity, fallback int64) int64 {
		if q == nil {
			return fallback
		}
		return micro(*q)
	}
	return weights{price: or(w.Price, 1e6), wait: or(w.Wait, 0), interruption: or(w.Interruption, 25e4), spread: or(w.Spread, 0)}
}

// ofMoney is what an amount costs when it is compared, by the way it is rented.
func (w weights) ofMoney(amount int64, capacity elasticv1alpha1.CapacityType) int64 {
	f := w.price
	if capacity == elasticv1alpha1.CapacitySpot {
		f += w.interruption
	}
	return int64(float64(amount) * float64(f) / 1e6)
}

// ofWaiting is what it costs to place one replica on an offering.
func (w weights) ofWaiting(o *offering) int64 {
	return int64(float64(w.wait) * float64(o.StartSeconds) / 60)
}

// podPrice is what an hour of a pod with the supplied requests costs on virtual
// nodes, in millionths, rounded up.
func (o *offering) podPrice(requests corev1.ResourceList) int64 {
	v := o.Virtual
	price := func(q resource.Quantity, unit, of float64) float64 {
		return q.AsApproximateFloat64() / unit * of
	}
	sum := 0.0
	for name, q := range requests {
		switch {
		case name == corev1.ResourceCPU:
			sum += price(q, 1, v.CPUHour.AsApproximateFloat64())
		case name == corev1.ResourceMemory:
			sum += price(q, 1<<30, v.MemoryGiBHour.AsApproximateFloat64())
		case strings.Contains(string(name), "/") && v.GPUHour != nil:
			sum += price(q, 1, v.GPUHour.AsApproximateFloat64())
		}
	}
	return int64(sum*1e6 + 0.999)
}
