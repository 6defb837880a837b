package function

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

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
	tenant
	word
	// clusters that are elastic, with virtual nodes that it no longer has
	// but that are still in use.
	clusters []platformv1alpha1.ElasticCluster
	// parts of each of them.
	parts [][]part
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
	p.tenant, p.word = poolTenant(p.claim), word{plan: plan}
	l := listingOf(p.claim, plan)
	for _, e := range p.claim.Spec.Elastic {
		v, err := p.lingering(in, e, l.wasOfferings)
		if err != nil {
			return err
		}
		if v != nil {
			e.VirtualNodes = v
		}
		p.clusters = append(p.clusters, e)
	}

	// What is observed is told even if the spec cannot be composed: core would
	// set every condition that is missing to Unknown.
	p.reportObserved(out)
	bursts, err := gatherReservations(in, out, p.pool)
	if err != nil {
		return err
	}
	offers, errs := offerings(p.claim)
	if errs = append(checkNames(p.claim, l.others(bursts)), errs...); len(errs) > 0 {
		err := errs.ToAggregate()
		condition(out, conditionOfferingsValid, corev1.ConditionFalse, "InvalidSpec", err.Error())
		return errors.Wrap(err, "cannot compose the claim: nothing is changed until this is mended")
	}
	fixed, err := p.build()
	if err != nil {
		return err
	}
	reportValid(out, nil, fixed)

	requireLeaving(in, out, p.claim.Spec.Elastic, l.wasOfferings)
	goes, err := findLeaving(in, l)
	if err != nil {
		return err
	}
	if !p.settled() || !goes.none() {
		out.rsp.GetMeta().Ttl = durationpb.New(unsettledTTL)
	}

	if err := out.compose(namePolicy, p.placementPolicy(p.claim, goes), p.in.ready(namePolicy)); err != nil {
		return err
	}
	// Without fleet nobody answers the plan; it must not hold the claim then.
	planReady := p.in.ready(namePlan) || p.claim.Spec.Mode == federationv1alpha1.ModeOverflow
	if err := out.compose(namePlan, p.capacityPlan(p.claim, offers, goes), planReady); err != nil {
		return err
	}
	if err := p.composeSelfBuilt(out); err != nil {
		return err
	}
	for i, e := range p.clusters {
		if err := p.composeElastic(out, e, p.parts[i]); err != nil {
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
		if !p.in.ready(n) {
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
		if err := out.compose(n, p.selfBuiltMember(s), p.in.ready(n)); err != nil {
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
			ObjectMeta: p.objectMeta(m.GetName(), memberName(*m)),
			Spec: federationv1alpha1.MemberSpec{
				ManagedResourceSpec: managedSpec(p.claim.Spec.Federation.ProviderConfigRef),
				ForProvider:         m.Spec.ForProvider,
			},
		}
		d.Spec.ForProvider.OnLeave = federationv1alpha1.LeaveDrain
		if err := out.compose(n, d, p.in.ready(n)); err != nil {
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

// build the parts of the elastic clusters, and complain of changes to them that
// cannot be made.
func (p *regionPool) build() (field.ErrorList, error) {
	var all field.ErrorList
	for i, e := range p.clusters {
		parts := p.elastic(e)
		errs, err := p.in.fixed(parts, field.NewPath("spec", "elastic").Index(i), e)
		if err != nil {
			return nil, err
		}
		p.parts, all = append(p.parts, parts), append(all, errs...)
	}
	return all, nil
}

func (p *regionPool) composeElastic(out *output, e platformv1alpha1.ElasticCluster, parts []part) error {
	exists := p.in.exists(e)
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

	for _, part := range parts {
		if err := out.compose(part.name, part.object, p.in.ready(part.name)); err != nil {
			return err
		}
	}
	return nil
}

// exists says whether anything of the elastic cluster is observed.
func (in *input) exists(e platformv1alpha1.ElasticCluster) bool {
	for _, n := range elasticNames(e) {
		if _, ok := in.observed[n]; ok {
			return true
		}
	}
	return false
}

// ready says whether a composed resource is observed to be Ready.
func (in *input) ready(n resource.Name) bool {
	o, ok := in.observed[n]
	return ok && o.Resource.GetCondition(xpv2.TypeReady).Status == corev1.ConditionTrue
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
