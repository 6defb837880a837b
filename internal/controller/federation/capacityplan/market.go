package capacityplan

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
	"regionpool.io/provider-regionpool/internal/market"
)

// TypeOfferingsAvailable is the condition of a CapacityPlan that is False while
// something of it cannot be rented. Its message has a line for each such
// offering, and says how old the prices are.
const TypeOfferingsAvailable xpv2.ConditionType = "OfferingsAvailable"

// Reasons of OfferingsAvailable.
const (
	ReasonAvailable   xpv2.ConditionReason = "Available"
	ReasonUnavailable xpv2.ConditionReason = "Unavailable"
)

const (
	// countDelay is the least time between two writes of mere numbers of nodes:
	// they change with every machine that comes, and fleet sees the nodes anyway.
	countDelay = 2 * time.Second
	// priceChange below which a price is as good as the one that was written.
	priceChange = 0.01
	// priceAge after which an unchanged price is written again, so that its age
	// can be seen.
	priceAge = time.Hour
	// maxLines of the condition.
	maxLines = 30
	// timeFormat of ages: the time itself, because an age would tick.
	timeFormat = "2006-01-02 15:04 MST"
)

// A Market answers what is known of offerings at their clouds.
type Market interface {
	// Ask never blocks. The asker is told when the answer changes.
	Ask(asker types.NamespacedName, o *fleetv1alpha1.Offering) market.Answer
	// OnChange sets who is told.
	OnChange(fn func(asker types.NamespacedName))
}

// offeringsOf a plan, with those that reservations bring, and the names of the
// elastic members.
func offeringsOf(mg *v1alpha1.CapacityPlan, reservations []v1alpha1.CapacityReservation) (offerings []fleetv1alpha1.Offering, members []string) {
	seen := map[string]bool{}
	add := func(os []fleetv1alpha1.Offering, ms []fleetv1alpha1.PlanMember) {
		for _, o := range os {
			if !seen["o/"+o.Name] {
				seen["o/"+o.Name] = true
				offerings = append(offerings, o)
			}
		}
		for _, m := range ms {
			if m.Elastic && !seen["m/"+m.Name] {
				seen["m/"+m.Name] = true
				members = append(members, m.Name)
			}
		}
	}
	add(mg.Spec.ForProvider.Offerings, mg.Spec.ForProvider.Members)
	for _, r := range reservations {
		if r.Spec.ForProvider.Pool == reconcile.ExternalName(mg) {
			add(r.Spec.ForProvider.Offerings, r.Spec.ForProvider.Members)
		}
	}
	return offerings, members
}

// market of a plan: what the clouds say, and what our own resources there say.
func (c *connector) marketOf(ctx context.Context, mg *v1alpha1.CapacityPlan) (fleetv1alpha1.Market, error) {
	rs, err := c.kinds.reservations(ctx, mg.GetNamespace())
	if err != nil {
		return fleetv1alpha1.Market{}, err
	}
	pools, err := c.kinds.pools(ctx, mg.GetNamespace())
	if err != nil {
		return fleetv1alpha1.Market{}, err
	}
	clusters, err := c.kinds.clusters(ctx, mg.GetNamespace())
	if err != nil {
		return fleetv1alpha1.Market{}, err
	}
	refs, err := c.clusterRefs(ctx, mg)
	if err != nil {
		return fleetv1alpha1.Market{}, err
	}

	out := fleetv1alpha1.Market{}
	offerings, members := offeringsOf(mg, rs)
	for i := range offerings {
		o := &offerings[i]
		a := market.Answer{Market: fleetv1alpha1.OfferingMarket{Name: o.Name}}
		if c.market != nil {
			a = c.market.Ask(reconcile.Key(mg), o)
		}
		m := a.Market
		for _, p := range pools {
			if p.plan != mg.GetName() || p.offering != o.Name {
				continue
			}
			m.Nodes = ptr.To(ptr.Deref(m.Nodes, 0) + p.nodes)
			m.Desired = ptr.To(ptr.Deref(m.Desired, 0) + p.desired)
			m.Shortages = append(m.Shortages, p.shortages...)
			refs[o.Member] = append(refs[o.Member], p.cluster)
			if len(p.shortages) > 0 {
				m.Message = join(m.Message, describe(p.shortages))
			}
		}
		m.Shortages = tidy(m.Shortages)
		m.Unavailable = m.Unavailable || len(m.Shortages) > 0 && market.Exhausted(a.Types, a.Zones, m.Shortages)
		out.Offerings = append(out.Offerings, m)
	}
	for _, name := range members {
		mm := fleetv1alpha1.MemberMarket{Name: name}
		for _, ref := range refs[name] {
			mm.Exists = mm.Exists || clusters[ref]
		}
		for ref, exists := range clusters {
			// A cluster whose pools and Member have not been made yet is known by
			// the name that the composition gives it.
			mm.Exists = mm.Exists || exists && ref.name == mg.GetName()+"-"+name
		}
		out.Members = append(out.Members, mm)
	}
	return out, nil
}

// clusterRefs are the clusters that members are, by the name of the member.
func (c *connector) clusterRefs(ctx context.Context, mg *v1alpha1.CapacityPlan) (map[string][]clusterKey, error) {
	l, err := c.kinds.members(ctx, mg.GetNamespace())
	if err != nil {
		return nil, err
	}
	refs := map[string][]clusterKey{}
	for i := range l {
		m := &l[i]
		if ref := m.Spec.ForProvider.ClusterRef; ref != nil && m.Spec.ForProvider.Pool == reconcile.ExternalName(mg) {
			name := memberName(m)
			refs[name] = append(refs[name], clusterKey{group: groupOf(ref.APIVersion), name: ref.Name})
		}
	}
	return refs, nil
}

// tidy shortages: sorted, each once, the oldest of equal ones.
func tidy(l []elasticv1alpha1.Shortage) []elasticv1alpha1.Shortage {
	order := func(a, b elasticv1alpha1.Shortage) int {
		return cmp.Or(strings.Compare(a.InstanceType, b.InstanceType), strings.Compare(a.Zone, b.Zone), strings.Compare(a.Reason, b.Reason))
	}
	slices.SortStableFunc(l, func(a, b elasticv1alpha1.Shortage) int { return cmp.Or(order(a, b), a.Since.Compare(b.Since.Time)) })
	return slices.CompactFunc(l, func(a, b elasticv1alpha1.Shortage) bool { return order(a, b) == 0 })
}

// describe the shortages of a node pool in a line.
func describe(l []elasticv1alpha1.Shortage) string {
	var out []string
	for _, s := range l {
		what := strings.Join(slices.DeleteFunc([]string{s.InstanceType, s.Zone}, func(s string) bool { return s == "" }), " in ")
		line := strings.TrimSpace(what + " " + s.Reason)
		if s.Message != "" {
			line += ": " + s.Message
		}
		out = append(out, line)
	}
	return strings.Join(slices.Compact(out), "; ")
}

func join(a, b string) string {
	if a == "" || b == "" || strings.Contains(a, b) {
		return a + strings.TrimPrefix(b, a)
	}
	return a + "; " + b
}

// steady keeps of the market that was written what has not changed enough to be
// written again. The duration is after which to look again, or 0.
func (c *connector) steady(key types.NamespacedName, was, now fleetv1alpha1.Market) (fleetv1alpha1.Market, time.Duration) {
	old := map[string]*fleetv1alpha1.OfferingMarket{}
	for i := range was.Offerings {
		old[was.Offerings[i].Name] = &was.Offerings[i]
	}
	for i := range now.Offerings {
		if o := old[now.Offerings[i].Name]; o != nil {
			keepPrice(o, &now.Offerings[i])
		}
	}

	held := *now.DeepCopy()
	for i := range held.Offerings {
		if o := old[held.Offerings[i].Name]; o != nil && o.Nodes != nil && held.Offerings[i].Nodes != nil {
			held.Offerings[i].Nodes = ptr.To(*o.Nodes)
		}
	}
	if equality.Semantic.DeepEqual(held, now) || !equality.Semantic.DeepEqual(held, was) {
		return now, 0
	}
	// Nothing but numbers of nodes has changed.
	if wait := c.pace.left(key); wait > 0 {
		return held, wait
	}
	return now, 0
}

// keepPrice keeps prices that are as good as the new ones.
func keepPrice(was, now *fleetv1alpha1.OfferingMarket) {
	if was.PricedAt == nil || now.PricedAt == nil || now.PricedAt.Sub(was.PricedAt.Time) >= priceAge ||
		!alike(was.HourlyPrice, now.HourlyPrice) || !alike(was.CPUHour, now.CPUHour) || !alike(was.MemoryGiBHour, now.MemoryGiBHour) {
		return
	}
	now.HourlyPrice, now.CPUHour, now.MemoryGiBHour, now.PricedAt = was.HourlyPrice, was.CPUHour, was.MemoryGiBHour, was.PricedAt
	if was.HighestPrice != nil && now.HighestPrice != nil && alike(was.HighestPrice, now.HighestPrice) {
		now.HighestPrice = was.HighestPrice
	}
}

// alike are prices that differ too little to be written, or are both absent.
func alike(a, b *resource.Quantity) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := a.AsApproximateFloat64(), b.AsApproximateFloat64()
	return math.Abs(x-y) < priceChange*math.Abs(x)
}

// A pace remembers when plans were last written.
type pace struct {
	now func() time.Time

	mu sync.Mutex
	at map[types.NamespacedName]time.Time
}

func (p *pace) wrote(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[types.NamespacedName]time.Time{}
	}
	p.at[key] = p.now()
}

func (p *pace) left(key types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[key]
	if !ok {
		return 0
	}
	return countDelay - p.now().Sub(at)
}

func (p *pace) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, key)
}

// offeringsAvailable is the condition that a market makes.
func offeringsAvailable(m fleetv1alpha1.Market) xpv2.Condition {
	c := xpv2.Condition{Type: TypeOfferingsAvailable, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(), Reason: ReasonAvailable}
	var lines []string
	var oldest *metav1.Time
	unpriced := 0
	for _, o := range m.Offerings {
		if o.Unavailable {
			c.Status, c.Reason = corev1.ConditionFalse, ReasonUnavailable
		}
		if o.Unavailable || o.Message != "" {
			lines = append(lines, o.Name+": "+cmp.Or(o.Message, describe(o.Shortages), "not available"))
		}
		switch {
		case o.PricedAt == nil:
			unpriced++
		case oldest == nil || o.PricedAt.Before(oldest):
			oldest = o.PricedAt
		}
	}
	if len(lines) > maxLines {
		lines = append(lines[:maxLines], "…")
	}
	switch {
	case oldest == nil && unpriced > 0:
		lines = append(lines, "Prices are those of the claim")
	case oldest != nil:
		line := "Prices are of " + oldest.UTC().Format(timeFormat)
		if unpriced > 0 {
			line += ", and those of the claim where the cloud named none"
		}
		lines = append(lines, line)
	}
	c.Message = strings.Join(lines, "\n")
	return c
}
