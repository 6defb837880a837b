package function

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
)

// A word is what the fleet says of a pool.
type word struct {
	// plan is nil if it is not known.
	plan *federationv1alpha1.CapacityPlan
}

// verdict says whether an elastic cluster is composed, and why. To start one
// needs a word of the fleet or of the claim. To drop one needs a word of the
// fleet that is plain and current: silence, a status that may be of an earlier
// spec, and a status that contradicts itself all keep it.
func (w word) verdict(e platformv1alpha1.ElasticCluster, exists bool) (compose bool, why string) {
	if e.Warm {
		return true, "the claim keeps it warm"
	}
	for _, np := range e.NodePools {
		if np.Min > 0 {
			return true, fmt.Sprintf("node pool %s has min %d", np.Name, np.Min)
		}
	}
	m, ok := w.member(e.Name)
	switch {
	case ok && m.Wanted:
		return true, orElse(m.Reason, "the plan wants it")
	case !exists:
		return false, "the plan does not want it"
	case !ok:
		return true, "it exists and the plan does not speak of it"
	case !w.current():
		return true, "it exists and the plan's status may be old"
	case w.ordered(e) > 0:
		return true, "it exists and the plan wants nodes of it"
	default:
		return false, orElse(m.Reason, "the plan does not want it")
	}
}

// member returns what the fleet says of a member.
func (w word) member(name string) (fleetv1alpha1.PlanMemberStatus, bool) {
	if w.plan == nil {
		return fleetv1alpha1.PlanMemberStatus{}, false
	}
	for _, m := range w.plan.Status.AtProvider.Members {
		if m.Name == name {
			return m, true
		}
	}
	return fleetv1alpha1.PlanMemberStatus{}, false
}

// ordered returns the nodes the fleet wants of an elastic cluster, and the
// replicas on its virtual nodes.
func (w word) ordered(e platformv1alpha1.ElasticCluster) int32 {
	var n int32
	for _, o := range w.plan.Status.AtProvider.Offerings {
		for _, np := range e.NodePools {
			if o.Name == offeringName(e.Name, np.Name) {
				n += o.Nodes
			}
		}
		if e.VirtualNodes != nil && o.Name == virtualName(e) {
			n += o.Nodes
		}
	}
	return n
}

// current says whether the plan's status answers its present spec, as far as the
// host plane can know: the provider has synced this generation with the workload
// plane. The generation in the status itself is that of the twin.
func (w word) current() bool {
	if w.plan == nil || w.plan.GetDeletionTimestamp() != nil {
		return false
	}
	c := w.plan.GetCondition(xpv2.TypeSynced)
	if c.Status != corev1.ConditionTrue {
		return false
	}
	return c.ObservedGeneration == 0 || c.ObservedGeneration >= w.plan.GetGeneration()
}

// unused says that the fleet was told that an offering is withdrawn, and says
// now that no replica is on its virtual nodes.
func (w word) unused(told fleetv1alpha1.Offering) bool {
	return told.Max == 0 && w.current() && slices.ContainsFunc(w.plan.Status.AtProvider.Offerings, func(o fleetv1alpha1.OfferingStatus) bool {
		return o.Name == told.Name && o.Nodes == 0
	})
}

// lingering returns the virtual nodes of an elastic cluster that the claim no
// longer has, while they exist and the fleet has not said that they are unused.
// Without them their pods would die before they have substitutes.
func (w word) lingering(in *input, e platformv1alpha1.ElasticCluster, was []fleetv1alpha1.Offering) (*platformv1alpha1.VirtualNodes, error) {
	if e.VirtualNodes != nil {
		return nil, nil
	}
	for _, o := range was {
		if o.Member != e.Name || o.Virtual == nil || w.unused(o) {
			continue
		}
		out := &platformv1alpha1.VirtualNodes{Name: strings.TrimPrefix(o.Name, e.Name+"-")}
		switch {
		case e.ACK != nil:
			c, err := observedAs[ackv1alpha1.Cluster](in, nameCluster(e.Name))
			if err != nil || c == nil || c.Spec.ForProvider.VirtualNodes == nil {
				return nil, err
			}
			out.Subnets = c.Spec.ForProvider.VirtualNodes.VSwitchIDs
		case e.TKE != nil:
			p, err := observedAs[tkev1alpha1.VirtualNodePool](in, nameVirtualNodePool(o.Name))
			if err != nil || p == nil {
				return nil, err
			}
			out.Subnets = p.Spec.ForProvider.SubnetIDs
		}
		return out, nil
	}
	return nil, nil
}
