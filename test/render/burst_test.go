package render

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	saysReserved = `
observedGeneration: 1
phase: Filled
targets: [shop/web, shop/search]
nodes: 14
running: 40
free: 160
hourlyCost: "51.5"
spent: "103"
`
	saysEndedInUse = `
observedGeneration: 1
phase: Ended
message: its time was over at 2030-11-12T00:00:00Z
targets: [shop/web, shop/search]
running: 4
hourlyCost: "51.5"
spent: "4120"
membersInUse: [tke-guangzhou]
`
	saysEnded = `
observedGeneration: 1
phase: Ended
message: its time was over at 2030-11-12T00:00:00Z
targets: [shop/web, shop/search]
spent: "4130"
`
	saysWanted = `
observedGeneration: 1
phase: Bursting
members: [{name: idc-a, wanted: true, joined: true}, {name: tke-guangzhou, wanted: true, reason: it is kept warm}]
`
	saysNothingMatches = `
observedGeneration: 1
phase: Waiting
message: no workload of the pool matches
`
)

var brought = []string{
	"Cluster/singles-day-tke-guangzhou.burst", "NodePool/singles-day-tke-guangzhou-general.burst",
	"VirtualNodePool/singles-day-tke-guangzhou-virtual.burst", "Member/singles-day-tke-guangzhou.burst",
}

// TestBurst tells the life of an emergency claim that brings a cluster.
func TestBurst(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the crossplane binary")
	}
	s := newStage(t)
	pool := s.example("regionpool-two-clouds.yaml")
	pool.SetUID("8a4a4b6c-0000-4000-8000-000000000002")
	s.kinds.Default(pool)
	region := s.render(scene{claim: pool.DeepCopy()})
	s.compare("two-clouds", region)
	plan := only(says(ready(region.Composed), saysWanted), "CapacityPlan/shanghai")
	there := append([]*unstructured.Unstructured{pool}, plan...)

	claim := func() *unstructured.Unstructured {
		c := s.example("burst-with-cluster.yaml")
		set(c, "2030-11-05T00:00:00Z", "metadata", "creationTimestamp")
		return c
	}
	emergency := s.example("emergency-burst.yaml")
	set(emergency, "2030-11-05T20:00:00Z", "metadata", "creationTimestamp")
	s.compare("burst-emergency", s.render(scene{claim: emergency, required: there}))

	s.compare("burst-no-pool", s.render(scene{claim: claim()}))
	asked := s.render(scene{claim: claim(), required: []*unstructured.Unstructured{pool}})
	s.compare("burst-asked", asked)
	s.compare("burst-nothing-matches", s.render(scene{claim: claim(), required: there, observed: saysOf("CapacityReservation", ready(asked.Composed), saysNothingMatches)}))

	rented := s.render(scene{claim: claim(), required: there, observed: saysOf("CapacityReservation", ready(asked.Composed), saysReserved)})
	s.compare("burst-rented", rented)

	filled := saysOf("CapacityReservation", ready(rented.Composed), saysReserved)
	s.compare("burst-filled", s.render(scene{claim: claim(), required: there, observed: filled}))

	extended := claim()
	set(extended, "2030-11-13T00:00:00Z", "spec", "until")
	s.compare("burst-extended", s.render(scene{claim: extended, required: there, observed: filled}))

	s.compare("burst-pool-gone", s.render(scene{claim: claim(), observed: filled}))
	s.compare("burst-ended-in-use", s.render(scene{claim: claim(), required: there, observed: saysOf("CapacityReservation", filled, saysEndedInUse)}))
	s.compare("burst-ended", s.render(scene{claim: claim(), required: there, observed: saysOf("CapacityReservation", filled, saysEnded)}))

	cut := claim()
	unstructured.RemoveNestedField(cut.Object, "spec", "elastic")
	s.compare("burst-elastic-removed", s.render(scene{claim: cut, required: append(there, only(filled, brought...)...), observed: filled}))

	bad := claim()
	set(bad, "shanghai-tke", "spec", "elastic", "name")
	set(bad, []any{map[string]any{"name": "general", "instanceTypes": []any{"S5.NONSENSE"}, "max": int64(5)}}, "spec", "elastic", "nodePools")
	s.compare("burst-unknown-instance-type", s.render(scene{claim: bad, required: there, observed: filled}))
}
