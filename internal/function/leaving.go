package function

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// Names of the requirements: all Members and node pools of the claim, also those
// that are on their way out. Core forgets a composed resource as soon as it is
// dropped, although its finalizers may hold it for long.
const (
	requireMembers          = "members"
	requireNodePools        = "node-pools"
	requireTKENodePools     = "tke-node-pools"
	requireVirtualNodePools = "virtual-node-pools"
)

// leaving is what the claim no longer names but what is still there. The plan
// and the policy list it until it is gone, so that the fleet still sees the
// replicas on it and moves them away. Nothing new is ordered: its offerings
// have a max of 0.
type leaving struct {
	members   []fleetv1alpha1.PlanMember
	offerings []fleetv1alpha1.Offering
}

// A listing is what a claim names, and what it last told the fleet.
type listing struct {
	// members and offerings the claim names.
	members, offerings sets.Set[string]
	// tier of rented members that only their Member knows.
	tier int32
	// wasMembers and wasOfferings are what the fleet was told.
	wasMembers   []fleetv1alpha1.PlanMember
	wasOfferings []fleetv1alpha1.Offering
}

// names an elastic cluster.
func (l *listing) elastic(e platformv1alpha1.ElasticCluster) {
	l.members.Insert(e.Name)
	for _, np := range e.NodePools {
		l.offerings.Insert(offeringName(e.Name, np.Name))
	}
	if e.VirtualNodes != nil {
		l.offerings.Insert(virtualName(e))
	}
}

// listingOf a RegionPool.
func listingOf(c *platformv1alpha1.RegionPool, plan *federationv1alpha1.CapacityPlan) listing {
	l := listing{members: sets.New[string](), offerings: sets.New[string](), tier: elasticTier(len(c.Spec.Elastic))}
	for _, s := range c.Spec.SelfBuilt {
		l.members.Insert(s.Name)
	}
	for _, e := range c.Spec.Elastic {
		l.elastic(e)
	}
	if plan != nil {
		l.wasMembers, l.wasOfferings = plan.Spec.ForProvider.Members, plan.Spec.ForProvider.Offerings
	}
	return l
}

// others are the reservations with what they bring that the fleet was not told of
// by this claim before: what it names already stays.
func (l *listing) others(rs []federationv1alpha1.CapacityReservation) []federationv1alpha1.CapacityReservation {
	var out []federationv1alpha1.CapacityReservation
	for _, r := range rs {
		r = *r.DeepCopy()
		p := &r.Spec.ForProvider
		p.Members = slices.DeleteFunc(p.Members, func(m fleetv1alpha1.PlanMember) bool {
			return slices.ContainsFunc(l.wasMembers, func(was fleetv1alpha1.PlanMember) bool { return was.Name == m.Name })
		})
		p.Offerings = slices.DeleteFunc(p.Offerings, func(o fleetv1alpha1.Offering) bool {
			return slices.ContainsFunc(l.wasOfferings, func(was fleetv1alpha1.Offering) bool { return was.Name == o.Name })
		})
		out = append(out, r)
	}
	return out
}

// requireLeaving asks core for what leaving needs to know. The kinds of a cloud
// are asked for only if it is used: where the other's are not activated, to ask
// for them would be an error.
func requireLeaving(in *input, out *output, elastic []platformv1alpha1.ElasticCluster, was []fleetv1alpha1.Offering) {
	labels := map[string]string{LabelClaim: in.xr.GetName()}
	ns := in.xr.GetNamespace()
	out.require(requireMembers, federationv1alpha1.MemberGroupVersionKind, ns, labels)

	ack, tke := false, false
	for _, e := range elastic {
		ack, tke = ack || e.ACK != nil, tke || e.TKE != nil
	}
	for _, o := range was {
		is := o.Source != nil && o.Source.Cloud == fleetv1alpha1.CloudTKE
		ack, tke = ack || !is, tke || is
	}
	// The plan may have been lost; the Members know where they are.
	for _, r := range in.required[requireMembers] {
		m := federationv1alpha1.Member{}
		if err := parse(r.Resource.Object, &m); err != nil || m.Spec.ForProvider.ClusterRef == nil {
			continue
		}
		is := m.Spec.ForProvider.ClusterRef.APIVersion == tkev1alpha1.SchemeGroupVersion.String()
		ack, tke = ack || !is, tke || is
	}
	if ack {
		out.require(requireNodePools, ackv1alpha1.NodePoolGroupVersionKind, ns, labels)
	}
	if tke {
		out.require(requireTKENodePools, tkev1alpha1.NodePoolGroupVersionKind, ns, labels)
		out.require(requireVirtualNodePools, tkev1alpha1.VirtualNodePoolGroupVersionKind, ns, labels)
	}
}

// findLeaving compares the claim with what exists. Until core has resolved the
// requirements, whatever the fleet was told counts as existing.
func findLeaving(in *input, c listing) (leaving, error) {
	members, resolved, err := existing[federationv1alpha1.Member](in, requireMembers)
	if err != nil {
		return leaving{}, err
	}
	ordered, known, err := orderable(in)
	if err != nil {
		return leaving{}, err
	}

	l := leaving{}
	listed := sets.New[string]()
	for _, m := range c.wasMembers {
		if c.members.Has(m.Name) {
			continue
		}
		if !resolved || slices.ContainsFunc(members, func(x federationv1alpha1.Member) bool { return memberName(x) == m.Name }) {
			l.members = append(l.members, m)
			listed.Insert(m.Name)
		}
	}
	// The plan may have been lost; the Members themselves know enough.
	for _, m := range members {
		if n := memberName(m); !c.members.Has(n) && !listed.Has(n) {
			elastic := m.Spec.ForProvider.Tier == federationv1alpha1.TierElastic
			pm := fleetv1alpha1.PlanMember{Name: n, Elastic: elastic}
			if elastic {
				pm.Tier = c.tier
			}
			l.members = append(l.members, pm)
			listed.Insert(n)
		}
	}
	for i := range l.members {
		l.members[i].Warm = false
	}
	slices.SortFunc(l.members, func(a, b fleetv1alpha1.PlanMember) int { return cmp.Compare(a.Name, b.Name) })

	for _, o := range c.wasOfferings {
		if c.offerings.Has(o.Name) {
			continue
		}
		// An offering goes with its member, or, if only the node pool was taken
		// out of the claim, with that. The plan may not list an offering without
		// its member.
		exists := ordered.Has(o.Name) || !known[requirementFor(o)]
		if o.Virtual != nil && requirementFor(o) == requireNodePools {
			if exists, err = ackVirtual(in, o, c); err != nil {
				return leaving{}, err
			}
		}
		if listed.Has(o.Member) || c.members.Has(o.Member) && exists {
			o.Min, o.Max = 0, 0
			l.offerings = append(l.offerings, o)
		}
	}
	slices.SortFunc(l.offerings, func(a, b fleetv1alpha1.Offering) int { return cmp.Compare(a.Name, b.Name) })
	return l, nil
}

// none says that nothing is leaving.
func (l leaving) none() bool { return len(l.members) == 0 && len(l.offerings) == 0 }

// requirementFor is the requirement that tells whether the node pool of an
// offering exists.
func requirementFor(o fleetv1alpha1.Offering) string {
	switch {
	case o.Source == nil || o.Source.Cloud != fleetv1alpha1.CloudTKE:
		return requireNodePools
	case o.Virtual != nil:
		return requireVirtualNodePools
	default:
		return requireTKENodePools
	}
}

// orderable returns the offerings of which a node pool exists, and which
// requirements core has resolved.
func orderable(in *input) (sets.Set[string], map[string]bool, error) {
	out, known := sets.New[string](), map[string]bool{}
	follow := func(s *elasticv1alpha1.SizeFrom) {
		if s != nil {
			out.Insert(s.Offering)
		}
	}
	acks, ok, err := existing[ackv1alpha1.NodePool](in, requireNodePools)
	if err != nil {
		return nil, nil, err
	}
	known[requireNodePools] = ok
	for i := range acks {
		follow(acks[i].Spec.ForProvider.SizeFrom)
	}
	tkes, ok, err := existing[tkev1alpha1.NodePool](in, requireTKENodePools)
	if err != nil {
		return nil, nil, err
	}
	known[requireTKENodePools] = ok
	for i := range tkes {
		follow(tkes[i].Spec.ForProvider.SizeFrom)
	}
	virtual, ok, err := existing[tkev1alpha1.VirtualNodePool](in, requireVirtualNodePools)
	if err != nil {
		return nil, nil, err
	}
	known[requireVirtualNodePools] = ok
	for i := range virtual {
		out.Insert(virtual[i].Spec.ForProvider.Labels[fleetv1alpha1.LabelOffering])
	}
	return out, known, nil
}

// ackVirtual says whether an ACK cluster still has the virtual nodes of an
// offering that the claim names no longer. Under a new name they are another
// offering.
func ackVirtual(in *input, o fleetv1alpha1.Offering, c listing) (bool, error) {
	for _, was := range c.wasOfferings {
		if was.Member == o.Member && was.Virtual != nil && c.offerings.Has(was.Name) {
			return false, nil
		}
	}
	cl, err := observedAs[ackv1alpha1.Cluster](in, nameCluster(o.Member))
	return cl != nil && cl.Spec.ForProvider.VirtualNodes != nil, err
}

// existing returns the resources of a requirement that the claim controls, and
// whether core has resolved the requirement.
func existing[T any](in *input, requirement string) ([]T, bool, error) {
	rs, ok := in.required[requirement]
	var out []T
	for _, r := range rs {
		// A claim that was deleted and made again may find the remains of the
		// first: they are not ours.
		if !controlledBy(r.Resource, in.xr) {
			continue
		}
		var x T
		if err := parse(r.Resource.Object, &x); err != nil {
			return nil, false, errors.Wrapf(err, "cannot parse %s %q", r.Resource.GetKind(), r.Resource.GetName())
		}
		out = append(out, x)
	}
	return out, ok, nil
}

func controlledBy(u *unstructured.Unstructured, c metav1.Object) bool {
	ref := metav1.GetControllerOf(u)
	return ref != nil && ref.UID == c.GetUID()
}

// memberName is the name in the federation.
func memberName(m federationv1alpha1.Member) string {
	return cmp.Or(meta.GetExternalName(&m), m.GetName())
}
