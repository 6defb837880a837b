package function

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// Names of the requirements of a Burst: the pool that it is for, the pool's plan,
// and what other Bursts reserve.
const (
	requirePool         = "pool"
	requirePlan         = "plan"
	requireReservations = "reservations"
)

// A burst is a claim with what was observed of it and of its pool.
type burst struct {
	in    *input
	claim *platformv1alpha1.Burst
	// regionPool is nil if there is none, or if core has not answered yet.
	regionPool *platformv1alpha1.RegionPool
	// asked says that core has answered.
	asked bool
	// others are the reservations of the other Bursts on the pool.
	others []federationv1alpha1.CapacityReservation
	// reservation is nil if it is not observed.
	reservation *federationv1alpha1.CapacityReservation
	tenant
	word
	// cluster that the Burst brings, nil if it brings none, with virtual nodes that
	// it no longer has but that are still in use.
	cluster *platformv1alpha1.ElasticCluster
	// tier of the members that the Burst brings.
	tier int32
	// parts of the cluster.
	parts []part
}

// composeBurst composes a CapacityReservation, and an elastic cluster with its
// node pools and its Member where the claim brings one. Without its pool nothing
// new is composed, and nothing is dropped.
func composeBurst(in *input, out *output) error {
	b := &burst{in: in, claim: &platformv1alpha1.Burst{}}
	if err := parse(in.xr.Object, b.claim); err != nil {
		return errors.Wrap(err, "cannot parse the claim: mend its spec")
	}
	if err := b.gather(out); err != nil {
		return err
	}
	b.reportObserved(out)
	s := b.status()
	out.status = s
	// A Burst is Ready when its capacity is there, and has nothing to wait for
	// when it has ended.
	out.unready = s.Phase != string(fleetv1alpha1.ReservationFilled) && s.Phase != string(fleetv1alpha1.ReservationEnded)
	if !b.settled() {
		out.rsp.GetMeta().Ttl = durationpb.New(unsettledTTL)
	}

	offers, errs := b.offerings()
	if errs = append(b.check(), errs...); len(errs) > 0 {
		if !b.asked {
			// Core asks again, with the pool. After a FATAL it would not.
			return nil
		}
		err := errs.ToAggregate()
		condition(out, conditionOfferingsValid, corev1.ConditionFalse, "InvalidSpec", err.Error())
		return errors.Wrap(err, "cannot compose the claim: nothing is changed until this is mended")
	}
	fixed, err := b.build()
	if err != nil {
		return err
	}
	reportValid(out, b.unknown(), fixed)

	switch {
	case b.regionPool == nil && b.reservation == nil:
		return b.wait()
	case len(in.observed) > 0:
	case b.late():
		// The fleet would say so as well, but nothing need be made for that.
		return nil
	case b.regionPool.Spec.Mode == federationv1alpha1.ModeOverflow:
		return nil
	}

	l := b.listing()
	var elastic []platformv1alpha1.ElasticCluster
	if b.cluster != nil {
		elastic = append(elastic, *b.cluster)
	}
	requireLeaving(in, out, elastic, l.wasOfferings)
	goes, err := findLeaving(in, l)
	if err != nil {
		return err
	}
	if !goes.none() {
		out.rsp.GetMeta().Ttl = durationpb.New(unsettledTTL)
	}

	if err := out.compose(nameReservation, b.capacityReservation(offers, goes), in.ready(nameReservation)); err != nil {
		return err
	}
	if err := b.composeElastic(out); err != nil {
		return err
	}
	b.reportRemovals(out)
	return nil
}

// gather finds the pool and what is observed. A pool that is gone, or that core
// has not handed over yet, is known by what was composed for it.
func (b *burst) gather(out *output) error {
	ns, pool := b.claim.GetNamespace(), b.claim.Spec.PoolRef.Name
	out.requireName(requirePool, platformv1alpha1.SchemeGroupVersion.WithKind("RegionPool"), ns, pool)
	out.requireName(requirePlan, federationv1alpha1.CapacityPlanGroupVersionKind, ns, pool)
	rs, asked := b.in.required[requirePool]
	b.asked = asked
	if len(rs) > 0 {
		b.regionPool = &platformv1alpha1.RegionPool{}
		if err := parse(rs[0].Resource.Object, b.regionPool); err != nil {
			return errors.Wrapf(err, "cannot parse RegionPool %q", pool)
		}
	}
	if rs := b.in.required[requirePlan]; len(rs) > 0 {
		b.plan = &federationv1alpha1.CapacityPlan{}
		if err := parse(rs[0].Resource.Object, b.plan); err != nil {
			return errors.Wrapf(err, "cannot parse CapacityPlan %q", pool)
		}
	}
	r, err := observedAs[federationv1alpha1.CapacityReservation](b.in, nameReservation)
	if err != nil {
		return err
	}
	b.reservation = r
	if b.regionPool != nil && b.regionPool.GetDeletionTimestamp() != nil {
		b.regionPool = nil
	}

	b.tenant = tenant{namespace: ns, claim: b.claim.GetName(), suffix: burstSuffix, planName: pool}
	switch {
	case b.regionPool != nil:
		t := poolTenant(b.regionPool)
		b.pool, b.federation, b.leaks = t.pool, t.federation, t.leaks
		b.tier = elasticTier(len(b.regionPool.Spec.Elastic))
	case r != nil:
		b.pool = r.Spec.ForProvider.Pool
		if ref := r.Spec.ProviderConfigReference; ref != nil {
			b.federation = platformv1alpha1.ProviderConfigReference{Kind: ref.Kind, Name: ref.Name}
		}
		b.leaks = b.observedLeaks()
		b.tier = elasticTier(0)
		for _, m := range r.Spec.ForProvider.Members {
			b.tier = max(b.tier, m.Tier)
		}
	}

	if e := b.claim.Spec.Elastic; e != nil {
		if b.others, err = gatherReservations(b.in, out, b.pool); err != nil {
			return err
		}
		c := *e
		v, err := b.lingering(b.in, c, b.wasOfferings())
		if err != nil {
			return err
		}
		if v != nil {
			c.VirtualNodes = v
		}
		b.cluster = &c
	}
	return nil
}

// gatherReservations finds the reservations of Bursts on a pool, but not that of
// the claim itself.
func gatherReservations(in *input, out *output, pool string) ([]federationv1alpha1.CapacityReservation, error) {
	out.require(requireReservations, federationv1alpha1.CapacityReservationGroupVersionKind, in.xr.GetNamespace(), nil)
	var rs []federationv1alpha1.CapacityReservation
	for _, r := range in.required[requireReservations] {
		if controlledBy(r.Resource, in.xr) {
			continue
		}
		x := federationv1alpha1.CapacityReservation{}
		if err := parse(r.Resource.Object, &x); err != nil {
			return nil, errors.Wrapf(err, "cannot parse CapacityReservation %q", r.Resource.GetName())
		}
		if x.Spec.ForProvider.Pool == pool {
			rs = append(rs, x)
		}
	}
	return rs, nil
}

// older reservations of other Bursts, whose names are taken. A cluster that exists
// already keeps its name: it must be able to end.
func (b *burst) older() []federationv1alpha1.CapacityReservation {
	if b.cluster == nil || b.in.exists(*b.cluster) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(b.others), func(o federationv1alpha1.CapacityReservation) bool {
		if b.reservation == nil {
			return false
		}
		mine, theirs := b.reservation.GetCreationTimestamp(), o.GetCreationTimestamp()
		return mine.Before(&theirs) || mine.Equal(&theirs) && b.reservation.GetName() < o.GetName()
	})
}

// first says that the cluster exists, and that its pool has been edited to name
// one like it since: that is told there, and must not keep the Burst from ending.
func (b *burst) first() bool {
	return b.cluster != nil && b.in.exists(*b.cluster) && b.plan != nil &&
		!slices.ContainsFunc(b.plan.Spec.ForProvider.Members, func(m fleetv1alpha1.PlanMember) bool { return m.Name == b.cluster.Name })
}

// taken names are those of what reservations bring.
func (n *names) taken(rs []federationv1alpha1.CapacityReservation) {
	for i := range rs {
		whose := fmt.Sprintf("a cluster of CapacityReservation %q", rs[i].GetName())
		for _, m := range rs[i].Spec.ForProvider.Members {
			n.members[m.Name] = whose
		}
		for _, o := range rs[i].Spec.ForProvider.Offerings {
			n.offerings[o.Name] = whose
		}
	}
}

// observedLeaks is the policy of a pool that is gone, from the tags of what was
// composed.
func (b *burst) observedLeaks() platformv1alpha1.LeakPolicy {
	for _, n := range sortedKeys(b.in.observed) {
		v, err := b.in.observed[n].Resource.GetString("spec.forProvider.tags[" + elasticv1alpha1.TagLeaks + "]")
		if err == nil && v == elasticv1alpha1.LeaksDelete {
			return platformv1alpha1.LeaksDelete
		}
	}
	return platformv1alpha1.LeaksReport
}

// wait composes nothing for a pool that is not there.
func (b *burst) wait() error {
	if len(b.in.observed) > 0 && b.asked {
		// What exists could only be composed again by guessing.
		return errors.Errorf("cannot compose the claim: neither RegionPool %q nor the CapacityReservation exists, nothing is changed until one does", b.claim.Spec.PoolRef.Name)
	}
	return nil
}

// until the Burst ends. It is counted from its creation, not from now: the same
// input gives the same answer.
func (b *burst) until() metav1.Time {
	t := b.claim.GetCreationTimestamp().Time
	switch {
	case b.claim.Spec.Until != nil:
		t = b.claim.Spec.Until.Time
	case b.claim.Spec.For != nil:
		t = t.Add(b.claim.Spec.For.Duration)
	}
	// As it is written.
	return metav1.NewTime(t.UTC().Truncate(time.Second))
}

// late says that the Burst had ended before it was made.
func (b *burst) late() bool {
	created, until := b.claim.GetCreationTimestamp(), b.until()
	return !created.IsZero() && !created.Before(&until)
}

// ended says that the fleet has ended the reservation, and was not told of a
// later end or of more money since.
func (b *burst) ended() bool {
	if b.reservation == nil || b.reservation.Status.AtProvider.Phase != fleetv1alpha1.ReservationEnded {
		return false
	}
	until, told := b.until(), b.reservation.Spec.ForProvider
	if told.Until.Before(&until) {
		return false
	}
	is, was := b.claim.Spec.MaxCost, told.MaxCost
	return was == nil || is != nil && is.Cmp(*was) <= 0
}

// inUse says whether members that the Burst brought may still have nodes or
// replicas: only a current word of the fleet says that they have none.
func (b *burst) inUse(member string) bool {
	c := b.reservation.GetCondition(xpv2.TypeSynced)
	if c.Status != corev1.ConditionTrue || c.ObservedGeneration != 0 && c.ObservedGeneration < b.reservation.GetGeneration() {
		return true
	}
	if b.reservation.GetCondition(xpv2.TypeReady).Status != corev1.ConditionTrue {
		return true
	}
	return sets.New(b.reservation.Status.AtProvider.MembersInUse...).Has(member)
}

// verdict says whether the elastic cluster is composed. It stays for the whole
// time of the Burst; to start it needs the word of the fleet, which counts the
// caps of the pool.
func (b *burst) verdict(exists bool) (compose bool, why string) {
	m, planned := b.member(b.cluster.Name)
	switch {
	case b.ended() && exists && b.inUse(b.cluster.Name):
		return true, "it is still in use"
	case b.ended():
		return false, orElse(oneLine(b.reservation.Status.AtProvider.Message), "the Burst has ended")
	case exists:
		return true, "it exists"
	case planned && m.Wanted:
		return true, orElse(m.Reason, "the plan wants it")
	default:
		return false, "the plan does not want it"
	}
}

// build the parts of the cluster, and complain of changes to them that cannot be
// made.
func (b *burst) build() (field.ErrorList, error) {
	if b.cluster == nil {
		return nil, nil
	}
	b.parts = b.elastic(*b.cluster)
	return b.in.fixed(b.parts, field.NewPath("spec", "elastic"), *b.cluster)
}

func (b *burst) composeElastic(out *output) error {
	if b.cluster == nil {
		return nil
	}
	exists := b.in.exists(*b.cluster)
	compose, why := b.verdict(exists)
	switch {
	case compose && !exists:
		out.event(eventRenting, fmt.Sprintf("Renting %s: %s", b.cluster.Name, why))
	case !compose && exists:
		out.event(eventReleasing, fmt.Sprintf("Releasing %s: %s", b.cluster.Name, why))
	}
	if !compose {
		return nil
	}
	for _, part := range b.parts {
		if err := out.compose(part.name, part.object, b.in.ready(part.name)); err != nil {
			return err
		}
	}
	return nil
}

func (b *burst) wasOfferings() []fleetv1alpha1.Offering {
	if b.reservation == nil {
		return nil
	}
	return b.reservation.Spec.ForProvider.Offerings
}

func (b *burst) listing() listing {
	l := listing{members: sets.New[string](), offerings: sets.New[string](), tier: b.tier, wasOfferings: b.wasOfferings()}
	if b.reservation != nil {
		l.wasMembers = b.reservation.Spec.ForProvider.Members
	}
	if e := b.claim.Spec.Elastic; e != nil {
		l.elastic(*e)
	}
	return l
}

// offerings that the Burst brings.
func (b *burst) offerings() ([]fleetv1alpha1.Offering, field.ErrorList) {
	e := b.claim.Spec.Elastic
	if e == nil {
		return nil, nil
	}
	at := field.NewPath("spec", "elastic")
	out, errs := offeringsOf(*e, at)
	if b.regionPool == nil || b.reservation != nil {
		return out, errs
	}
	// Spot needs something to fall back to, here or in the pool.
	steady := e.VirtualNodes != nil
	for _, c := range append([]platformv1alpha1.ElasticCluster{*e}, b.regionPool.Spec.Elastic...) {
		for _, np := range c.NodePools {
			steady = steady || capacityType(np) != elasticv1alpha1.CapacitySpot
		}
		steady = steady || c.VirtualNodes != nil
	}
	if !steady {
		errs = append(errs, field.Invalid(at.Child("nodePools"), e.Name, "Spot node pools need an OnDemand node pool or virtualNodes to fall back to, here or in the pool"))
	}
	return out, errs
}

// check finds names and networks that clash with those of the pool, names that
// are too long, and amounts of nothing.
func (b *burst) check() field.ErrorList {
	n := newNames()
	if b.regionPool != nil {
		n.pool(b.regionPool, fmt.Sprintf("a cluster of RegionPool %q", b.regionPool.GetName()))
		n.errs = nil
		if b.first() {
			n.free(*b.cluster)
		}
	}
	// Two node pools of one offering would each order all of its nodes.
	n.taken(b.older())
	if e := b.claim.Spec.Elastic; e != nil {
		at := field.NewPath("spec", "elastic")
		n.elastic(at, *e, "")
		if b.regionPool != nil && b.reservation == nil {
			for _, o := range b.regionPool.Spec.Elastic {
				n.errs = append(n.errs, overlap(at, *e, o)...)
			}
		}
	}
	// The schema cannot look into a list of resources.
	for _, name := range sortedKeys(b.claim.Spec.Amount.Resources) {
		if q := b.claim.Spec.Amount.Resources[name]; q.Sign() <= 0 {
			n.errs = append(n.errs, field.Invalid(field.NewPath("spec", "amount", "resources").Key(string(name)), q.String(), "must be above 0"))
		}
	}
	if r := b.claim.GetNamespace() + "-" + b.claim.GetName(); len(r) > validation.DNS1123SubdomainMaxLength {
		n.errs = append(n.errs, field.Invalid(field.NewPath("metadata", "name"), b.claim.GetName(), "together with the namespace it is too long: shorten it"))
	}
	return n.errs
}

// unknown are preferred clusters that neither the pool nor the claim has. The
// fleet passes over them: a pool that is edited must not keep its Bursts from
// ending.
func (b *burst) unknown() field.ErrorList {
	if b.regionPool == nil {
		return nil
	}
	known := sets.New[string]()
	for _, e := range b.regionPool.Spec.Elastic {
		known.Insert(e.Name)
	}
	if b.cluster != nil {
		known.Insert(b.cluster.Name)
	}
	var errs field.ErrorList
	for i, p := range b.claim.Spec.Prefer {
		if !known.Has(p) {
			errs = append(errs, field.Invalid(field.NewPath("spec", "prefer").Index(i), p,
				fmt.Sprintf("is no elastic cluster of RegionPool %q nor of this claim", b.regionPool.GetName())))
		}
	}
	return errs
}

func (b *burst) capacityReservation(offers []fleetv1alpha1.Offering, goes leaving) *federationv1alpha1.CapacityReservation {
	s := b.claim.Spec
	spec := fleetv1alpha1.CapacityReservationSpec{
		Pool:      b.pool,
		Amount:    s.Amount,
		Prefer:    s.Prefer,
		Until:     b.until(),
		MaxCost:   s.MaxCost,
		Offerings: append(offers, goes.offerings...),
	}
	for _, t := range s.Targets {
		t.Kind = orElse(t.Kind, "Deployment")
		spec.Targets = append(spec.Targets, t)
	}
	if e := s.Elastic; e != nil {
		m := planMember(*e, b.tier)
		// It is there for the whole time of the Burst, and not longer.
		m.Warm = !b.ended()
		spec.Members = append(spec.Members, m)
	}
	spec.Members = append(spec.Members, goes.members...)
	return &federationv1alpha1.CapacityReservation{
		ObjectMeta: b.objectMeta(b.tenant.claim, b.namespace+"-"+b.tenant.claim),
		Spec: federationv1alpha1.CapacityReservationSpec{
			ManagedResourceSpec: managedSpec(b.federation),
			ForProvider:         federationv1alpha1.CapacityReservationParameters{CapacityReservationSpec: spec},
		},
	}
}

// settled says whether nothing is under way that core would not see.
func (b *burst) settled() bool {
	if b.claim.Status.GetCondition(typeResponsive).Status == corev1.ConditionFalse {
		return false
	}
	for n := range b.in.observed {
		if !b.in.ready(n) {
			return false
		}
	}
	if b.regionPool == nil || b.reservation == nil {
		return false
	}
	switch b.reservation.Status.AtProvider.Phase {
	case fleetv1alpha1.ReservationFilled, fleetv1alpha1.ReservationCapped:
		return b.cluster == nil || b.in.exists(*b.cluster)
	case fleetv1alpha1.ReservationEnded:
		return b.cluster == nil || !b.in.exists(*b.cluster)
	default:
		return false
	}
}

// reportRemovals tells of observed resources that the claim names no longer and
// that this answer drops.
func (b *burst) reportRemovals(out *output) {
	named := sets.New[string]()
	if b.cluster != nil {
		for _, n := range elasticNames(*b.cluster) {
			named.Insert(string(n))
		}
	}
	for _, n := range sortedKeys(b.in.observed) {
		if _, ok := out.desired[n]; ok || named.Has(string(n)) {
			continue
		}
		o := b.in.observed[n].Resource
		out.event(eventRemoving, fmt.Sprintf("Removing %s %s: the claim no longer names it", o.GetKind(), o.GetName()))
	}
}

// targets in words.
func (b *burst) targets() string {
	var out []string
	for _, t := range b.claim.Spec.Targets {
		s := orElse(t.Kind, "Deployment") + " " + t.Namespace + "/" + orElse(t.Name, "*")
		if len(t.MatchLabels) > 0 {
			s += " with " + metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: t.MatchLabels})
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
