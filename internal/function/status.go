package function

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/validation/field"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/crossplane/function-sdk-go/resource"
	"github.com/crossplane/function-sdk-go/response"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// Conditions of a claim.
const (
	// conditionOfferingsValid is False if the spec cannot be composed.
	conditionOfferingsValid = "OfferingsValid"
	// conditionMembersJoined is True when all self-built clusters are in the
	// federation.
	conditionMembersJoined = "MembersJoined"
	// conditionCapacitySufficient is the fleet's word on whether all replicas
	// are placed or have capacity on its way.
	conditionCapacitySufficient = fleetv1alpha1.ConditionCapacitySufficient
	// conditionPlacementReady is True when the policy is in the federation.
	conditionPlacementReady = "PlacementReady"
	// conditionElasticHealthy is False if something that was rented cannot be
	// brought into its desired state.
	conditionElasticHealthy = "ElasticHealthy"
	// conditionCapacityAvailable is False while a cloud does not deliver what was
	// ordered.
	conditionCapacityAvailable = string(elasticv1alpha1.TypeCapacityAvailable)
)

// typeOfferingsAvailable is the condition of a CapacityPlan with a line for each
// offering that its cloud does not deliver.
const typeOfferingsAvailable xpv2.ConditionType = "OfferingsAvailable"

// Phases beside those of the fleet.
const (
	phaseJoining  = "Joining"
	phasePlanning = "Planning"
	phaseOverflow = "Overflow"
)

const (
	// maxMessage bounds a message that is quoted from another resource.
	maxMessage = 300
	// maxListed bounds how many resources a condition names.
	maxListed = 5
)

func condition(out *output, typ string, s corev1.ConditionStatus, reason, message string) {
	var c *response.ConditionOption
	switch s {
	case corev1.ConditionTrue:
		c = response.ConditionTrue(out.rsp, typ, reason)
	case corev1.ConditionFalse:
		c = response.ConditionFalse(out.rsp, typ, reason)
	default:
		c = response.ConditionUnknown(out.rsp, typ, reason)
	}
	if message != "" {
		c.WithMessage(message)
	}
	c.TargetCompositeAndClaim()
}

// reportObserved sets the conditions that follow from what is observed alone.
func (p *regionPool) reportObserved(out *output) {
	p.reportMembers(out)
	p.reportPlacement(out)
	p.reportCapacity(out)
	p.reportElastic(out)
}

func (p *regionPool) reportMembers(out *output) {
	var missing []string
	for i, s := range p.claim.Spec.SelfBuilt {
		if n := nameMember(s.Name); !p.in.ready(n) {
			missing = append(missing, fmt.Sprintf("%s (%s): %s", field.NewPath("spec", "selfBuilt").Index(i), s.Name, p.in.trouble(n)))
		}
	}
	if len(missing) == 0 {
		condition(out, conditionMembersJoined, corev1.ConditionTrue, "Joined", "")
		return
	}
	condition(out, conditionMembersJoined, corev1.ConditionFalse, "NotJoined", listed(missing))
}

func (p *regionPool) reportPlacement(out *output) {
	if p.in.ready(namePolicy) {
		condition(out, conditionPlacementReady, corev1.ConditionTrue, "Ready", "")
		return
	}
	condition(out, conditionPlacementReady, corev1.ConditionFalse, "NotReady", "spec.federation: "+p.in.trouble(namePolicy))
}

func (p *regionPool) reportCapacity(out *output) {
	if p.plan != nil {
		if c := meta.FindStatusCondition(p.plan.Status.AtProvider.Conditions, conditionCapacitySufficient); c != nil {
			condition(out, conditionCapacitySufficient, corev1.ConditionStatus(c.Status), c.Reason, oneLine(c.Message))
			return
		}
	}
	if p.claim.Spec.Mode == federationv1alpha1.ModeOverflow {
		condition(out, conditionCapacitySufficient, corev1.ConditionUnknown, "NotPlanned", "In mode Overflow no fleet counts replicas")
		return
	}
	condition(out, conditionCapacitySufficient, corev1.ConditionUnknown, "NotPlanned", "The fleet has not spoken: "+p.in.trouble(namePlan))
}

// reportValid tells of what is wrong with a spec that can be composed all the
// same: clusters that it names and that are unknown, and changes that cannot be
// made.
func reportValid(out *output, unknown, fixed field.ErrorList) {
	switch {
	case len(unknown) > 0:
		condition(out, conditionOfferingsValid, corev1.ConditionFalse, "UnknownCluster", append(unknown, fixed...).ToAggregate().Error())
	case len(fixed) > 0:
		condition(out, conditionOfferingsValid, corev1.ConditionFalse, "CannotChange", fixed.ToAggregate().Error())
	default:
		condition(out, conditionOfferingsValid, corev1.ConditionTrue, "Valid", "")
	}
}

// reportElastic names what cannot be synced. What is merely not Ready yet is no
// trouble: a cluster takes many minutes.
func (p *regionPool) reportElastic(out *output) {
	var parts []elasticPart
	for i, e := range p.clusters {
		parts = append(parts, elasticPart{at: field.NewPath("spec", "elastic").Index(i), cluster: e})
	}
	p.in.reportElastic(out, parts)
	p.in.reportStock(out, p.word, parts)
}

// An elasticPart is where an elastic cluster stands in a claim.
type elasticPart struct {
	at      *field.Path
	cluster platformv1alpha1.ElasticCluster
}

func (in *input) reportElastic(out *output, parts []elasticPart) {
	var bad []string
	rented := false
	for _, p := range parts {
		for _, n := range elasticNames(p.cluster) {
			o, ok := in.observed[n]
			if !ok {
				continue
			}
			rented = true
			if c := o.Resource.GetCondition(xpv2.TypeSynced); c.Status == corev1.ConditionFalse {
				bad = append(bad, fmt.Sprintf("%s (%s): %s %s: %s", p.at, p.cluster.Name,
					o.Resource.GetKind(), o.Resource.GetName(), oneLine(orElse(c.Message, string(c.Reason)))))
			}
		}
	}
	switch {
	case len(bad) > 0:
		condition(out, conditionElasticHealthy, corev1.ConditionFalse, "NotSynced", listed(bad))
	case rented:
		condition(out, conditionElasticHealthy, corev1.ConditionTrue, "Synced", "")
	default:
		condition(out, conditionElasticHealthy, corev1.ConditionTrue, "NothingRented", "")
	}
}

// reportStock tells of offerings that the clouds do not deliver: no stock, no
// quota, no such type or zone, no free address. The plan knows of all of them;
// where it does not speak, the node pools do.
func (in *input) reportStock(out *output, w word, parts []elasticPart) {
	notes, available := w.market(parts)
	short := notes
	if available {
		short = in.short(parts)
	}
	if len(short) > 0 {
		condition(out, conditionCapacityAvailable, corev1.ConditionFalse, "Short", listed(short))
		return
	}
	// One type of several may be unknown or sold out, and a price not believed.
	condition(out, conditionCapacityAvailable, corev1.ConditionTrue, "Available", listed(notes))
}

// market is what the plan says of offerings that are not as the claim has them,
// and whether all can be had. What the claim has is named as it stands there.
func (w word) market(parts []elasticPart) (notes []string, available bool) {
	if w.plan == nil {
		return nil, true
	}
	at := map[string]*field.Path{}
	for _, p := range parts {
		for j, np := range p.cluster.NodePools {
			at[offeringName(p.cluster.Name, np.Name)] = p.at.Child("nodePools").Index(j)
		}
		if p.cluster.VirtualNodes != nil {
			at[virtualName(p.cluster)] = p.at.Child("virtualNodes")
		}
	}
	c := w.plan.GetCondition(typeOfferingsAvailable)
	for line := range strings.Lines(c.Message) {
		line = oneLine(line)
		// The age of prices is no trouble, and it changes.
		if line == "" || strings.HasPrefix(line, "Prices are") {
			continue
		}
		if name, what, ok := strings.Cut(line, ": "); ok && at[name] != nil {
			line = fmt.Sprintf("%s (%s): %s", at[name], name, what)
		}
		notes = append(notes, line)
	}
	return notes, c.Status != corev1.ConditionFalse
}

// short are the node pools that say that the cloud does not fill them.
func (in *input) short(parts []elasticPart) []string {
	var out []string
	for _, p := range parts {
		for _, n := range elasticNames(p.cluster) {
			o, ok := in.observed[n]
			if !ok {
				continue
			}
			if c := o.Resource.GetCondition(elasticv1alpha1.TypeCapacityAvailable); c.Status == corev1.ConditionFalse {
				out = append(out, fmt.Sprintf("%s (%s): %s %s: %s", p.at, p.cluster.Name,
					o.Resource.GetKind(), o.Resource.GetName(), oneLine(orElse(c.Message, string(c.Reason)))))
			}
		}
	}
	return out
}

// trouble says in one line why a composed resource is not Ready. While it is
// merely being made it always says the same, for each change of the text is a
// write of the claim.
func (in *input) trouble(n resource.Name) string {
	const young = "not ready yet"
	o, ok := in.observed[n]
	if !ok {
		return young
	}
	if c := o.Resource.GetCondition(xpv2.TypeSynced); c.Status == corev1.ConditionFalse {
		return oneLine(orElse(c.Message, string(c.Reason)))
	}
	if c := o.Resource.GetCondition(xpv2.TypeReady); c.Status != corev1.ConditionUnknown && c.Reason != xpv2.ReasonCreating {
		return oneLine(orElse(c.Message, orElse(string(c.Reason), young)))
	}
	return young
}

// reportRemovals tells of observed resources that the claim names no longer and
// that this answer drops.
func (p *regionPool) reportRemovals(out *output) {
	for _, n := range sortedKeys(p.in.observed) {
		if _, ok := out.desired[n]; ok {
			continue
		}
		if o := p.in.observed[n].Resource; !p.released(n) {
			out.event(eventRemoving, fmt.Sprintf("Removing %s %s: the claim no longer names it", o.GetKind(), o.GetName()))
		}
	}
}

// released says whether a resource belongs to an elastic cluster that the claim
// still names: then its release was told already.
func (p *regionPool) released(n resource.Name) bool {
	for _, e := range p.clusters {
		for _, en := range elasticNames(e) {
			if en == n {
				return true
			}
		}
	}
	return false
}

// reportDecision tells of a decision that the claim's status does not show yet.
func (p *regionPool) reportDecision(out *output, s platformv1alpha1.RegionPoolStatus) {
	if s.LastDecision != "" && s.LastDecision != p.claim.Status.LastDecision {
		out.event(eventDecided, s.LastDecision)
	}
}

// status of the claim, from what the fleet says in the plan.
func (p *regionPool) status() platformv1alpha1.RegionPoolStatus {
	s := platformv1alpha1.RegionPoolStatus{Phase: p.phase()}
	if p.plan == nil || p.plan.Status.AtProvider.Phase == "" {
		return s
	}
	at := p.plan.Status.AtProvider
	s.Nodes = &at.Nodes
	s.Replicas = &at.Replicas
	s.HourlyCost = at.HourlyCost
	if at.LastDecision != nil {
		s.LastDecision = oneLine(at.LastDecision.Summary)
	}
	return s
}

func (p *regionPool) phase() string {
	joined := true
	for _, s := range p.claim.Spec.SelfBuilt {
		joined = joined && p.in.ready(nameMember(s.Name))
	}
	// A member that is lost for a while does not take the pool back to Joining:
	// the condition tells of it.
	if past := p.claim.Status.Phase; !joined && (past == "" || past == phaseJoining) {
		return phaseJoining
	}
	if p.plan != nil && p.plan.Status.AtProvider.Phase != "" {
		return string(p.plan.Status.AtProvider.Phase)
	}
	if p.claim.Spec.Mode == federationv1alpha1.ModeOverflow {
		return phaseOverflow
	}
	return phasePlanning
}

// listed joins the first few.
func listed(s []string) string {
	if n := len(s) - maxListed; n > 0 {
		s = append(s[:maxListed:maxListed], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(s, "; ")
}

// oneLine makes a quoted message fit for a condition.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxMessage {
		s = string(r[:maxMessage-1]) + "…"
	}
	return s
}
