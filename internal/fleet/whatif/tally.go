package whatif

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// A tally is what is noted while time passes.
type tally struct {
	cost, peakCost int64
	wanted, peak   map[offeringKey]int32
	moments        []Moment
	// least is the smallest number of replicas that did not run, since when it
	// has been that.
	least   int32
	ready   time.Time
	settled time.Time
}

type offeringKey struct{ pool, offering string }

func newTally(p *play, before *decided) *tally {
	t := &tally{cost: costOf(before), wanted: wantedOf(p, before), least: -1, ready: p.begin, settled: p.begin}
	t.peakCost, t.peak = t.cost, maps.Clone(t.wanted)
	return t
}

func wantedOf(p *play, d *decided) map[offeringKey]int32 {
	out := map[offeringKey]int32{}
	for i := range d.plans {
		for _, o := range d.plans[i].Status.Offerings {
			if spec := offeringOf(p.plans[i].Plan, o.Name); spec != nil && spec.Virtual == nil {
				out[offeringKey{p.plans[i].Plan.Name, o.Name}] = o.Nodes
			}
		}
	}
	return out
}

// costOf is what is wanted costs an hour, in millionths.
func costOf(d *decided) int64 {
	sum := int64(0)
	for i := range d.plans {
		if q, err := resource.ParseQuantity(cmp.Or(d.plans[i].Status.HourlyCost, "0")); err == nil {
			sum += q.ScaledValue(resource.Micro)
		}
	}
	return sum
}

// money prints millionths without needless digits.
func money(micro int64) string {
	sign := ""
	if micro < 0 {
		sign, micro = "-", -micro
	}
	s := fmt.Sprintf("%d.%06d", micro/1e6, micro%1e6)
	return sign + strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// note what there is after a round was applied.
func (t *tally) note(p *play, o *decided) {
	m := Moment{After: since(p, p.in.Now)}
	for i := range o.out.Decisions {
		d := &o.out.Decisions[i]
		b := p.binding(d.Binding)
		if !b.Divided {
			continue
		}
		m.Own += d.Own
		m.Cloud += d.Cloud
		m.Unplaced += d.Pending
		for name := range b.Assigned {
			if c := p.members[name]; c != nil && c.snapshot != nil {
				n := c.snapshot.Workload(b.Workload)
				m.Starting += int32(n.Total - n.Scheduled)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.members)) {
		if c := p.members[name]; c.snapshot != nil {
			m.Nodes += c.rented()
			m.Starting += int32(len(c.starting))
		}
	}
	cost := costOf(o)
	t.peakCost = max(t.peakCost, cost)
	for k, n := range wantedOf(p, o) {
		t.peak[k] = max(t.peak[k], n)
	}
	if lack := m.Unplaced + m.Starting; t.least < 0 || lack < t.least {
		t.least, t.ready = lack, p.in.Now
	}
	m.HourlyCost = money(cost)
	n := len(t.moments)
	if n > 0 && same(t.moments[n-1], m) {
		return
	}
	t.settled = p.in.Now
	if n > 0 && t.moments[n-1].After == m.After {
		// The last round of a moment says what it came to.
		t.moments = t.moments[:n-1]
	}
	t.moments = append(t.moments, m)
}

// same reports whether the numbers of two moments are.
func same(a, b Moment) bool {
	a.After = b.After
	return a == b
}

func since(p *play, t time.Time) metav1.Duration {
	return metav1.Duration{Duration: t.Sub(p.begin).Round(time.Millisecond)}
}

func (t *tally) answer(p *play, before, after *decided, settled bool) Answer {
	a := Answer{
		HourlyCost: Cost{Before: money(t.cost), Peak: money(t.peakCost), After: money(costOf(after)), Change: money(costOf(after) - t.cost)},
		ReadyAfter: since(p, t.ready), SettledAfter: since(p, t.settled), Settled: settled, Moments: t.moments, Clusters: p.made,
	}
	was := map[string]*scheduler.Decision{}
	for i := range before.out.Decisions {
		was[before.out.Decisions[i].Binding] = &before.out.Decisions[i]
	}
	for i := range after.out.Decisions {
		d := &after.out.Decisions[i]
		b := p.binding(d.Binding)
		if !b.Divided {
			continue
		}
		a.Unplaced += d.Pending
		pl := Placement{
			Binding: d.Binding, Workload: fmt.Sprintf("%s %s/%s", b.Workload.Kind, b.Workload.Namespace, b.Workload.Name), After: placed(d, b.Replicas), Message: d.Message,
		}
		if w := was[d.Binding]; w != nil {
			pl.Before = placed(w, p.replicas[d.Binding])
		}
		if maps.Equal(pl.Before.Members, pl.After.Members) && pl.Before.Wanted == pl.After.Wanted {
			a.Unchanged++
			continue
		}
		a.Placements = append(a.Placements, pl)
	}
	last := wantedOf(p, after)
	for i := range p.plans {
		plan := p.plans[i].Plan
		for _, o := range plan.Spec.Offerings {
			k := offeringKey{plan.Name, o.Name}
			if o.Virtual != nil || t.wanted[k] == t.peak[k] && t.wanted[k] == last[k] {
				continue
			}
			order := Order{Pool: plan.Name, Offering: o.Name, Member: o.Member, Before: t.wanted[k], Peak: t.peak[k], After: last[k], StartSeconds: o.StartSeconds}
			for _, st := range plan.Status.Offerings {
				if st.Name == o.Name {
					order.HourlyPrice = st.HourlyPrice
				}
			}
			a.Orders = append(a.Orders, order)
		}
	}
	return a
}

func placed(d *scheduler.Decision, wanted int32) Placed {
	out := Placed{Wanted: wanted, Unplaced: d.Pending, Members: map[string]int32{}}
	for _, t := range d.Targets {
		out.Members[t.Member] = t.Replicas
	}
	return out
}
