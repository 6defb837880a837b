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
)

// Names of the requirements: all Members and NodePools of the claim, also those
// that are on their way out. Core forgets a composed resource as soon as it is
// dropped, although its finalizers may hold it for long.
const (
	requireMembers   = "members"
	requireNodePools = "node-pools"
)

// leaving is what the claim no longer names but what is still there. The plan
// and the policy list it until it is gone, so that the fleet still sees the
// replicas on it and moves them away. Nothing new is ordered: its offerings
// have a max of 0.
type leaving struct {
	members   []fleetv1alpha1.PlanMember
	offerings []fleetv1alpha1.Offering
}

// require asks core for what leaving needs to know.
func requireLeaving(c *platformv1alpha1.RegionPool, out *output) {
	labels := map[string]string{LabelClaim: c.GetName()}
	out.require(requireMembers, federationv1alpha1.MemberGroupVersionKind, c.GetNamespace(), labels)
	out.require(requireNodePools, ackv1alpha1.NodePoolGroupVersionKind, c.GetNamespace(), labels)
}

// findLeaving compares the claim with what exists. Until core has resolved the
// requirements, whatever the observed plan lists counts as existing.
func findLeaving(c *platformv1alpha1.RegionPool, in *input, plan *federationv1alpha1.CapacityPlan) (leaving, error) {
	var was fleetv1alpha1.CapacityPlanSpec
	if plan != nil {
		was = plan.Spec.ForProvider.CapacityPlanSpec
	}
	members, resolved, err := existing[federationv1alpha1.Member](c, in, requireMembers)
	if err != nil {
		return leaving{}, err
	}
	pools, poolsResolved, err := existing[ackv1alpha1.NodePool](c, in, requireNodePools)
	if err != nil {
		return leaving{}, err
	}

	named := sets.New[string]()
	offered := sets.New[string]()
	for _, s := range c.Spec.SelfBuilt {
		named.Insert(s.Name)
	}
	for _, e := range c.Spec.Elastic {
		named.Insert(e.Name)
		for _, np := range e.NodePools {
			offered.Insert(offeringName(e.Name, np.Name))
		}
	}

	l := leaving{}
	listed := sets.New[string]()
	for _, m := range was.Members {
		if named.Has(m.Name) {
			continue
		}
		if !resolved || slices.ContainsFunc(members, func(x federationv1alpha1.Member) bool { return memberName(x) == m.Name }) {
			l.members = append(l.members, m)
			listed.Insert(m.Name)
		}
	}
	// The plan may have been lost; the Members themselves know enough.
	for _, m := range members {
		if n := memberName(m); !named.Has(n) && !listed.Has(n) {
			elastic := m.Spec.ForProvider.Tier == federationv1alpha1.TierElastic
			pm := fleetv1alpha1.PlanMember{Name: n, Elastic: elastic}
			if elastic {
				pm.Tier = elasticTier(len(c.Spec.Elastic))
			}
			l.members = append(l.members, pm)
			listed.Insert(n)
		}
	}
	for i := range l.members {
		l.members[i].Warm = false
	}
	slices.SortFunc(l.members, func(a, b fleetv1alpha1.PlanMember) int { return cmp.Compare(a.Name, b.Name) })

	for _, o := range was.Offerings {
		if offered.Has(o.Name) {
			continue
		}
		// An offering goes with its member, or, if only the node pool was taken
		// out of the claim, with that. The plan may not list an offering without
		// its member.
		exists := slices.ContainsFunc(pools, func(x ackv1alpha1.NodePool) bool {
			return x.Spec.ForProvider.SizeFrom != nil && x.Spec.ForProvider.SizeFrom.Offering == o.Name
		})
		if listed.Has(o.Member) || named.Has(o.Member) && (exists || !poolsResolved) {
			o.Min, o.Max = 0, 0
			l.offerings = append(l.offerings, o)
		}
	}
	slices.SortFunc(l.offerings, func(a, b fleetv1alpha1.Offering) int { return cmp.Compare(a.Name, b.Name) })
	return l, nil
}

// none says that nothing is leaving.
func (l leaving) none() bool { return len(l.members) == 0 && len(l.offerings) == 0 }

// existing returns the resources of a requirement that the claim controls, and
// whether core has resolved the requirement.
func existing[T any](c *platformv1alpha1.RegionPool, in *input, requirement string) ([]T, bool, error) {
	rs, ok := in.required[requirement]
	var out []T
	for _, r := range rs {
		// A claim that was deleted and made again may find the remains of the
		// first: they are not ours.
		if !controlledBy(r.Resource, c) {
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

func controlledBy(u *unstructured.Unstructured, c *platformv1alpha1.RegionPool) bool {
	ref := metav1.GetControllerOf(u)
	return ref != nil && ref.UID == c.GetUID()
}

// memberName is the name in the federation.
func memberName(m federationv1alpha1.Member) string {
	return cmp.Or(meta.GetExternalName(&m), m.GetName())
}
