package planner

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/catalogue"
)

// zoneLabel is what nodes of an offering carry as topology.kubernetes.io/zone in
// a zone. TKE writes a number there. Where that is not known the name stands for
// it: it keeps zones apart.
func (o *offering) zoneLabel(zone string) string {
	if o.Source != nil && o.Source.Cloud == fleetv1alpha1.CloudTKE {
		return cmp.Or(catalogue.TKEZoneLabel(zone), zone)
	}
	return zone
}

// regionLabel is what nodes of an offering carry as topology.kubernetes.io/region,
// "" if it is not known. TKE writes a short name there.
func (o *offering) regionLabel() string {
	if o.Source != nil && o.Source.Cloud == fleetv1alpha1.CloudTKE {
		return catalogue.TKERegionLabel(o.Region)
	}
	return o.Region
}

// zoneCounts are the nodes of a plan by zone.
type zoneCounts struct {
	names  []string
	counts []int32
}

// zones counts the nodes that are there, promised or ordered. Of an offering
// with several zones, nodes that are not there yet are thought to come in turn.
func (p *plan) zones() *zoneCounts {
	z := &zoneCounts{}
	for _, o := range p.stock {
		for _, name := range o.Zones {
			z.index(o.zoneLabel(name))
		}
	}
	for _, o := range p.stock {
		here := 0
		if o.member.Snapshot != nil {
			for _, name := range slices.Concat(o.ready, o.starting, o.broken) {
				if ni := o.member.Snapshot.Node(name); ni != nil && ni.Node().Labels[corev1.LabelTopologyZone] != "" {
					z.counts[z.index(ni.Node().Labels[corev1.LabelTopologyZone])]++
					here++
				}
			}
		}
		z.add(o, here, o.outstanding+o.ordered)
	}
	return z
}

func (z *zoneCounts) index(name string) int {
	i := slices.Index(z.names, name)
	if i < 0 {
		i = len(z.names)
		z.names, z.counts = append(z.names, name), append(z.counts, 0)
	}
	return i
}

// add nodes of an offering, of which the first is in its zone number at.
func (z *zoneCounts) add(o *offering, at int, n int32) {
	for i := range int(n) {
		if len(o.Zones) > 0 {
			z.counts[z.index(o.zoneLabel(o.Zones[(at+i)%len(o.Zones)]))]++
		}
	}
}

// imbalance is by how many nodes the fullest zone has more than the emptiest.
func (z *zoneCounts) imbalance() int64 {
	if len(z.counts) == 0 {
		return 0
	}
	return int64(slices.Max(z.counts) - slices.Min(z.counts))
}
