package function

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	corev1 "k8s.io/api/core/v1"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/crossplane/function-sdk-go/resource"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

// unsettledTTL is how soon core looks again while something is under way.
// Watches are faster, but core does not watch what it has dropped, and its
// circuit breaker ignores them for minutes after about fifty events, which a new
// claim in a surge can reach.
const unsettledTTL = 5 * time.Second

// typeResponsive is the condition of a composite by which core tells that its
// circuit breaker is open.
const typeResponsive xpv2.ConditionType = "Responsive"

// Reasons of events on the claim.
const (
	eventRenting   = "Renting"
	eventReleasing = "Releasing"
	eventRemoving  = "Removing"
	eventDecided   = "Decided"
)

// A regionPool is a claim with what was observed of it.
type regionPool struct {
	in    *input
	claim *platformv1alpha1.RegionPool
	// plan is nil if it is not observed.
	plan *federationv1alpha1.CapacityPlan
}

// composeRegionPool composes PlacementPolicy, CapacityPlan and the self-built
// Members always, and an elastic cluster with its node pools and its Member
// while it is wanted.
func composeRegionPool(in *input, out *output) error {
	p := &regionPool{in: in, claim: &platformv1alpha1.RegionPool{}}
	if err := parse(in.xr.Object, p.claim); err != nil {
		return errors.Wrap(err, "cannot parse the claim: mend its spec")
	}
	plan, err := observedAs[federationv1alpha1.CapacityPlan](in, namePlan)
	if err != nil {
		return err
	}
	p.plan = plan

	// What is observed is told even if the spec cannot be composed: core would
	// set every condition that is missing to Unknown.
	p.reportObserved(out)
	offers, errs := offerings(p.claim)
	if errs = append(checkNames(p.claim), errs...); len(errs) > 0 {
		err := errs.ToAggregate()
		condition(out, conditionOfferingsValid, corev1.ConditionFalse, "InvalidSpec", err.Error())
		return errors.Wrap(err, "cannot compose the claim: nothing is changed until this is mended")
	}
	condition(out, conditionOfferingsValid, corev1.ConditionTrue, "Valid", "")

	requireLeaving(p.claim, out)
	l, err := findLeaving(p.claim, in, plan)
	if err != nil {
		return err
	}
	if !p.settled() || !l.none() {
		out.rsp.GetMeta().Ttl = durationpb.New(unsettledTTL)
	}

	if err := out.compose(namePolicy, placementPolicy(p.claim, l), p.ready(namePolicy)); err != nil {
		return err
	}
	// Without fleet nobody answers the plan; it must not hold the claim then.
	planReady := p.ready(namePlan) || p.claim.Spec.Mode == federationv1alpha1.ModeOverflow
	if err := out.compose(namePlan, capacityPlan(p.claim, offers, l), planReady); err != nil {
		return err
	}
	if err := p.composeSelfBuilt(out); err != nil {
		return err
	}
	for _, e := range p.claim.Spec.Elastic {
		if err := p.composeElastic(out, e); err != nil {
			return err
		}
	}
	p.reportRemovals(out)
	s := p.status()
	p.reportDecision(out, s)
	out.status = s
	return nil
}

// settled says whether nothing is under way: everything observed is Ready, the
// fleet is at rest, and core listens to what it watches.
func (p *regionPool) settled() bool {
	if p.claim.Status.GetCondition(typeResponsive).Status == corev1.ConditionFalse {
		return false
	}
	for n := range p.in.observed {
		if !p.ready(n) {
			return false
		}
	}
	if p.plan == nil {
		return false
	}
	switch p.plan.Status.AtProvider.Phase {
	case fleetv1alpha1.PhaseHome, fleetv1alpha1.PhaseSpilled, fleetv1alpha1.PhaseCapped:
		return true
	default:
		return p.claim.Spec.Mode == federationv1alpha1.ModeOverflow
	}
}

func (p *regionPool) composeSelfBuilt(out *output) error {
	for _, s := range p.claim.Spec.SelfBuilt {
		n := nameMember(s.Name)
		if err := out.compose(n, selfBuiltMember(p.claim, s), p.ready(n)); err != nil {
			return err
		}
	}

	// A member that was taken out of a claim that lives on must hand over its
	// replicas, whereas one that goes with its claim keeps them. So it is told to
	// drain before it is dropped, which happens once that is observed.
	for _, n := range sortedKeys(p.in.observed) {
		if p.in.observed[n].Resource.GetKind() != federationv1alpha1.MemberKind || p.names(n) {
			continue
		}
		m, err := observedAs[federationv1alpha1.Member](p.in, n)
		if err != nil {
			return err
		}
		if m.Spec.ForProvider.Tier != federationv1alpha1.TierSelfBuilt || m.Spec.ForProvider.OnLeave == federationv1alpha1.LeaveDrain {
			continue
		}
		d := &federationv1alpha1.Member{
			ObjectMeta: objectMeta(p.claim, m.GetName(), memberName(*m)),
			Spec: federationv1alpha1.MemberSpec{
				ManagedResourceSpec: managedSpec(p.claim.Spec.Federation.ProviderConfigRef),
				ForProvider:         m.Spec.ForProvider,
			},
		}
		d.Spec.ForProvider.OnLeave = federationv1alpha1.LeaveDrain
		if err := out.compose(n, d, p.ready(n)); err != nil {
			return err
		}
	}
	return nil
}

// names says whether the claim names the member that is composed as n.
func (p *regionPool) names(n resource.Name) bool {
	return slices.ContainsFunc(p.claim.Spec.SelfBuilt, func(s platformv1alpha1.SelfBuiltCluster) bool { return nameMember(s.Name) == n }) ||
		slices.ContainsFunc(p.claim.Spec.Elastic, func(e platformv1alpha1.ElasticCluster) bool { return nameMember(e.Name) == n })
}

func (p *regionPool) composeElastic(out *output, e platformv1alpha1.ElasticCluster) error {
	exists := p.exists(e)
	compose, why := p.verdict(e, exists)
	switch {
	case compose && !exists:
		out.event(eventRenting, fmt.Sprintf("Renting %s: %s", e.Name, why))
	case !compose && exists:
		out.event(eventReleasing, fmt.Sprintf("Releasing %s: %s", e.Name, why))
	}
	if !compose {
		return nil
	}

	n := nameCluster(e.Name)
	if err := out.compose(n, ackCluster(p.claim, e), p.ready(n)); err != nil {
		return err
	}
	for _, np := range e.NodePools {
		n := nameNodePool(offeringName(e.Name, np.Name))
		if err := out.compose(n, ackNodePool(p.claim, e, np), p.ready(n)); err != nil {
			return err
		}
	}
	n = nameMember(e.Name)
	return out.compose(n, elasticMember(p.claim, e), p.ready(n))
}

// exists says whether anything of the elastic cluster is observed.
func (p *regionPool) exists(e platformv1alpha1.ElasticCluster) bool {
	for _, n := range elasticNames(e) {
		if _, ok := p.in.observed[n]; ok {
			return true
		}
	}
	return false
}

// elasticNames are the names of everything an elastic cluster is composed of.
func elasticNames(e platformv1alpha1.ElasticCluster) []resource.Name {
	ns := []resource.Name{nameCluster(e.Name)}
	for _, np := range e.NodePools {
		ns = append(ns, nameNodePool(offeringName(e.Name, np.Name)))
	}
	return append(ns, nameMember(e.Name))
}

// verdict says whether an elastic cluster is composed, and why. To start one
// needs a word of the fleet or of the claim. To drop one needs a word of the
// fleet that is plain and current: silence, a status that may be of an earlier
// spec, and a status that contradicts itself all keep it.
func (p *regionPool) verdict(e platformv1alpha1.ElasticCluster, exists bool) (compose bool, why string) {
	if e.Warm {
		return true, "the claim keeps it warm"
	}
	for _, np := range e.NodePools {
		if np.Min > 0 {
			return true, fmt.Sprintf("node pool %s has min %d", np.Name, np.Min)
		}
	}
	m, ok := p.planned(e.Name)
	switch {
	case ok && m.Wanted:
		return true, orElse(m.Reason, "the plan wants it")
	case !exists:
		return false, "the plan does not want it"
	case !ok:
		return true, "it exists and the plan does not speak of it"
	case !p.planCurrent():
		return true, "it exists and the plan's status may be old"
	case p.ordered(e) > 0:
		return true, "it exists and the plan wants nodes of it"
	default:
		return false, orElse(m.Reason, "the plan does not want it")
	}
}

// planned returns what the fleet says of a member.
func (p *regionPool) planned(member string) (fleetv1alpha1.PlanMemberStatus, bool) {
	if p.plan == nil {
		return fleetv1alpha1.PlanMemberStatus{}, false
	}
	for _, m := range p.plan.Status.AtProvider.Members {
		if m.Name == member {
			return m, true
		}
	}
	return fleetv1alpha1.PlanMemberStatus{}, false
}

// ordered returns the nodes the fleet wants of an elastic cluster.
func (p *regionPool) ordered(e platformv1alpha1.ElasticCluster) int32 {
	var n int32
	for _, o := range p.plan.Status.AtProvider.Offerings {
		for _, np := range e.NodePools {
			if o.Name == offeringName(e.Name, np.Name) {
				n += o.Nodes
			}
		}
	}
	return n
}

// planCurrent says whether the plan's status answers its present spec, as far
// as the host plane can know: the provider has synced this generation with the
// workload plane. The generation in the status itself is that of the twin.
func (p *regionPool) planCurrent() bool {
	if p.plan == nil || p.plan.GetDeletionTimestamp() != nil {
		return false
	}
	c := p.plan.GetCondition(xpv2.TypeSynced)
	if c.Status != corev1.ConditionTrue {
		return false
	}
	return c.ObservedGeneration == 0 || c.ObservedGeneration >= p.plan.GetGeneration()
}

// ready says whether a composed resource is observed to be Ready.
func (p *regionPool) ready(n resource.Name) bool {
	o, ok := p.in.observed[n]
	return ok && o.Resource.GetCondition(xpv2.TypeReady).Status == corev1.ConditionTrue
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
