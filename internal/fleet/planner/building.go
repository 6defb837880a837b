package planner

import (
	"maps"
	"slices"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// A Built is how long a cluster took to be made.
type Built struct {
	// Member that it is.
	Member string `json:"member"`
	// At is when it was there: its API answered, and it had joined.
	At time.Time `json:"at"`
	// Seconds since the plan first wanted it.
	Seconds int64 `json:"seconds"`
}

// Place returns where the cluster of a member is made: its cloud and region, which
// clusters that take about as long have in common, or its own name if the plan does
// not say.
func Place(plan *fleetv1alpha1.CapacityPlan, member string) string {
	for i := range plan.Spec.Offerings {
		if o := &plan.Spec.Offerings[i]; o.Member == member && o.Source != nil {
			return string(o.Source.Cloud) + " " + o.Region
		}
	}
	return member
}

// rememberBuilding notes since when clusters are being made, and how long those
// took that are there. Only one whose order was seen counts: a cluster that is
// imported only has to join.
func (p *plan) rememberBuilding() {
	maps.DeleteFunc(p.memory.Building, func(name string, _ time.Time) bool { return p.members[name] == nil })
	for _, m := range p.order {
		since, building := p.memory.Building[m.Name]
		exists, _ := p.existsAtCloud(m)
		switch {
		case building && m.built():
			p.memory.Built[Place(p.in.Plan, m.Name)] = Built{Member: m.Name, At: p.in.Now, Seconds: int64(p.in.Now.Sub(since).Seconds())}
			delete(p.memory.Building, m.Name)
		case !m.Elastic || !m.wanted || m.built():
			delete(p.memory.Building, m.Name)
		case !building && !m.prevWanted && !exists:
			p.memory.Building[m.Name] = p.in.Now
		}
	}
	// What is known of places that the plan has no more is kept: they may come
	// again with the next Burst. It does not grow without bound.
	for len(p.memory.Built) > maxBuilt {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(p.memory.Built)), func(a, b string) int {
			return p.memory.Built[a].At.Compare(p.memory.Built[b].At)
		})
		delete(p.memory.Built, oldest)
	}
}

// maxBuilt places are remembered.
const maxBuilt = 20
