package function

import (
	"cmp"
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/crossplane/function-sdk-go/resource"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

// LabelClaim is carried by every composed resource: the name of the claim it
// belongs to.
const LabelClaim = "regionpool.io/claim"

// Names of composed resources within the composition, for the resources that
// each claim has once.
const (
	namePolicy      resource.Name = "placement-policy"
	namePlan        resource.Name = "capacity-plan"
	nameReservation resource.Name = "capacity-reservation"
)

func nameMember(member string) resource.Name { return resource.Name("member-" + member) }

func nameCluster(elastic string) resource.Name { return resource.Name("cluster-" + elastic) }

func nameNodePool(offering string) resource.Name { return resource.Name("nodepool-" + offering) }

// The names of TKE's kinds are others than those of ACK: core forgets a resource
// that changes its kind under the same name, and so would never delete it.

func nameTKECluster(elastic string) resource.Name { return resource.Name("tke-cluster-" + elastic) }

func nameTKENodePool(offering string) resource.Name { return resource.Name("tke-nodepool-" + offering) }

func nameVirtualNodePool(offering string) resource.Name {
	return resource.Name("tke-virtualnodepool-" + offering)
}

// offeringName is unique in the plan and is the value of a node label.
func offeringName(elastic, nodePool string) string { return elastic + "-" + nodePool }

// virtualName is the name of the offering of virtual nodes.
func virtualName(e platformv1alpha1.ElasticCluster) string {
	return offeringName(e.Name, cmp.Or(e.VirtualNodes.Name, defaultVirtual))
}

// poolName is the name of the pool in the workload plane, where claims of all
// namespaces meet.
func poolName(c *platformv1alpha1.RegionPool) string { return c.GetNamespace() + "-" + c.GetName() }

// burstSuffix ends the names of what a Burst is composed of. Those of a
// RegionPool end with the name of a cluster or node pool, which has no dot.
const burstSuffix = ".burst"

// poolTenant is the pool that rents for itself.
func poolTenant(c *platformv1alpha1.RegionPool) tenant {
	return tenant{
		namespace: c.GetNamespace(), claim: c.GetName(),
		pool: poolName(c), planName: c.GetName(),
		federation: c.Spec.Federation.ProviderConfigRef,
		leaks:      c.Spec.Leaks,
	}
}

// names collects names that must be unique, and complains of those that are not.
type names struct {
	members, offerings map[string]string
	errs               field.ErrorList
}

func newNames() *names {
	return &names{members: map[string]string{}, offerings: map[string]string{}}
}

func (n *names) member(at *field.Path, name, whose string) {
	if other, ok := n.members[name]; ok {
		n.errs = append(n.errs, field.Invalid(at, name, fmt.Sprintf("is also the name of %s: rename one", other)))
		return
	}
	n.members[name] = cmp.Or(whose, at.String())
}

func (n *names) offering(at *field.Path, part, offering, whose string) {
	if len(offering) > validation.LabelValueMaxLength {
		n.errs = append(n.errs, field.Invalid(at, part,
			fmt.Sprintf("together with the cluster's name it is longer than %d characters: shorten one", validation.LabelValueMaxLength-1)))
	}
	// a with b-c and a-b with c are both a-b-c.
	if other, ok := n.offerings[offering]; ok {
		n.errs = append(n.errs, field.Invalid(at, part, fmt.Sprintf("makes the offering %q, as does %s: rename one", offering, other)))
		return
	}
	n.offerings[offering] = cmp.Or(whose, at.String())
}

// elastic collects the names of an elastic cluster. Whose tells of another claim
// that it belongs to.
func (n *names) elastic(at *field.Path, e platformv1alpha1.ElasticCluster, whose string) {
	n.member(at.Child("name"), e.Name, whose)
	for j, np := range e.NodePools {
		n.offering(at.Child("nodePools").Index(j).Child("name"), np.Name, offeringName(e.Name, np.Name), whose)
	}
	if e.VirtualNodes != nil {
		n.offering(at.Child("virtualNodes", "name"), cmp.Or(e.VirtualNodes.Name, defaultVirtual), virtualName(e), whose)
	}
}

// free the names of an elastic cluster.
func (n *names) free(e platformv1alpha1.ElasticCluster) {
	delete(n.members, e.Name)
	for _, np := range e.NodePools {
		delete(n.offerings, offeringName(e.Name, np.Name))
	}
	if e.VirtualNodes != nil {
		delete(n.offerings, virtualName(e))
	}
}

// overlap complains of a range of pod addresses that another cluster of the same
// network has: routes to pods belong to the network. Ranges that are none are
// left to the schema.
func overlap(at *field.Path, e, other platformv1alpha1.ElasticCluster) field.ErrorList {
	at, vpc, cidr := podRange(at, e)
	_, otherVPC, taken := podRange(nil, other)
	p, err := netip.ParsePrefix(cidr)
	if err != nil || vpc != otherVPC {
		return nil
	}
	if q, err := netip.ParsePrefix(taken); err != nil || !p.Overlaps(q) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, cidr, fmt.Sprintf("overlaps %s of %s, which is in the same VPC: set another range", taken, other.Name))}
}

// podRange of an elastic cluster that routes to pods: the field, the network and
// the range, which is empty where pods have addresses of the network.
func podRange(at *field.Path, e platformv1alpha1.ElasticCluster) (path *field.Path, vpc, cidr string) {
	switch {
	case e.ACK != nil && len(e.ACK.PodVSwitchIDs) == 0:
		return at.Child("ack", "containerCIDR"), e.ACK.VPCID, ptr.Deref(e.ACK.ContainerCIDR, defaultContainerCIDR)
	case e.TKE != nil && len(e.TKE.ENISubnetIDs) == 0:
		return at.Child("tke", "clusterCIDR"), e.TKE.VPCID, ptr.Deref(e.TKE.ClusterCIDR, defaultClusterCIDR)
	default:
		return at, "", ""
	}
}

// pool collects the names of a RegionPool.
func (n *names) pool(c *platformv1alpha1.RegionPool, whose string) {
	for i, s := range c.Spec.SelfBuilt {
		n.member(field.NewPath("spec", "selfBuilt").Index(i).Child("name"), s.Name, whose)
	}
	for i, e := range c.Spec.Elastic {
		n.elastic(field.NewPath("spec", "elastic").Index(i), e, whose)
	}
}

// checkNames finds names that clash, also with what Bursts have brought, or that
// do not fit where they are used. The schema refuses most of it; what it cannot
// see, such as the namespace, is left to this check.
func checkNames(c *platformv1alpha1.RegionPool, bursts []federationv1alpha1.CapacityReservation) field.ErrorList {
	n := newNames()
	n.taken(bursts)
	// The pool's name is the value of a label on Karmada Clusters.
	if p := poolName(c); len(p) > validation.LabelValueMaxLength {
		n.errs = append(n.errs, field.Invalid(field.NewPath("metadata", "name"), c.GetName(),
			fmt.Sprintf("together with the namespace it is longer than %d characters: shorten it", validation.LabelValueMaxLength-1)))
	}
	n.pool(c, "")
	return n.errs
}
