package function

import (
	"cmp"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/internal/catalogue"
)

// kubeconfigKey is the key of a kubeconfig in a Secret unless the claim names
// another.
const kubeconfigKey = xpv2.CredentialsSecretKubeconfigKey

// tierSelfBuilt is the name of the tier that is filled first.
const tierSelfBuilt = "self-built"

func managedSpec(ref platformv1alpha1.ProviderConfigReference) xpv2.ManagedResourceSpec {
	return xpv2.ManagedResourceSpec{
		ProviderConfigReference: &xpv2.ProviderConfigReference{
			Kind: cmp.Or(ref.Kind, "ClusterProviderConfig"),
			Name: ref.Name,
		},
	}
}

func (t tenant) placementPolicy(c *platformv1alpha1.RegionPool, l leaving) *federationv1alpha1.PlacementPolicy {
	own := federationv1alpha1.PlacementTier{Name: tierSelfBuilt}
	for _, s := range c.Spec.SelfBuilt {
		own.Members = append(own.Members, s.Name)
	}
	var rented []federationv1alpha1.PlacementTier
	for _, e := range c.Spec.Elastic {
		rented = append(rented, federationv1alpha1.PlacementTier{Name: e.Name, Members: []string{e.Name}})
	}
	for _, m := range l.members {
		if m.Elastic {
			rented = append(rented, federationv1alpha1.PlacementTier{Name: m.Name, Members: []string{m.Name}})
			continue
		}
		own.Members = append(own.Members, m.Name)
	}
	return &federationv1alpha1.PlacementPolicy{
		ObjectMeta: t.objectMeta(t.planName, t.pool),
		Spec: federationv1alpha1.PlacementPolicySpec{
			ManagedResourceSpec: managedSpec(t.federation),
			ForProvider: federationv1alpha1.PlacementPolicyParameters{
				Pool:      t.pool,
				Mode:      cmp.Or(c.Spec.Mode, federationv1alpha1.ModeSimulated),
				Workloads: metav1.LabelSelector{MatchLabels: c.Spec.Workloads.MatchLabels},
				Tiers:     append([]federationv1alpha1.PlacementTier{own}, rented...),
			},
		},
	}
}

func (t tenant) capacityPlan(c *platformv1alpha1.RegionPool, offerings []fleetv1alpha1.Offering, l leaving) *federationv1alpha1.CapacityPlan {
	spec := fleetv1alpha1.CapacityPlanSpec{
		Limits: fleetv1alpha1.PlanLimits{
			Nodes:      c.Spec.Limits.Nodes,
			Clusters:   c.Spec.Limits.Clusters,
			HourlyCost: c.Spec.Limits.HourlyCost,
		},
		ScaleDown: c.Spec.ScaleDown,
		Outage:    c.Spec.Outage,
		Offerings: append(offerings, l.offerings...),
		Weights:   weights(c.Spec.Weights),
		// What the claim does not say has its default in the plan too.
		PlacementWeights: c.Spec.PlacementWeights,
		Overflow:         cmp.Or(c.Spec.Overflow, fleetv1alpha1.OverflowAlways),
	}
	for _, s := range c.Spec.SelfBuilt {
		spec.Members = append(spec.Members, fleetv1alpha1.PlanMember{Name: s.Name})
	}
	for i, e := range c.Spec.Elastic {
		spec.Members = append(spec.Members, planMember(e, elasticTier(i)))
	}
	spec.Members = append(spec.Members, l.members...)
	return &federationv1alpha1.CapacityPlan{
		ObjectMeta: t.objectMeta(t.planName, t.pool),
		Spec: federationv1alpha1.CapacityPlanSpec{
			ManagedResourceSpec: managedSpec(t.federation),
			ForProvider:         federationv1alpha1.CapacityPlanParameters{CapacityPlanSpec: spec},
		},
	}
}

// planMember is an elastic cluster as the planner sees it.
func planMember(e platformv1alpha1.ElasticCluster, tier int32) fleetv1alpha1.PlanMember {
	m := fleetv1alpha1.PlanMember{Name: e.Name, Tier: tier, Elastic: true, Warm: e.Warm}
	switch {
	case e.ACK != nil:
		m.HourlyCost = ptr.To(catalogue.ACKControlPlanePrice(e.ACK.ClusterSpec))
	case e.TKE != nil:
		m.HourlyCost = ptr.To(catalogue.TKEControlPlanePrice(cmp.Or(e.TKE.Level, defaultLevel)))
	}
	return m
}

// weights with the defaults of the schema.
func weights(w fleetv1alpha1.Weights) fleetv1alpha1.Weights {
	or := func(q *resource.Quantity, fallback string) *resource.Quantity {
		if q == nil {
			return ptr.To(resource.MustParse(fallback))
		}
		return q
	}
	return fleetv1alpha1.Weights{
		Price: or(w.Price, "1"), Wait: or(w.Wait, "0"), Interruption: or(w.Interruption, "0.25"), Spread: or(w.Spread, "0"),
	}
}

// elasticTier is the tier of the i-th elastic cluster of a claim. Each is a tier
// of its own, so that replicas gather on few clusters and the others can go.
func elasticTier(i int) int32 { return int32(i) + 1 }

func (t tenant) selfBuiltMember(s platformv1alpha1.SelfBuiltCluster) *federationv1alpha1.Member {
	ref := s.KubeconfigSecretRef
	ref.Key = cmp.Or(ref.Key, kubeconfigKey)
	return &federationv1alpha1.Member{
		ObjectMeta: t.objectMeta(t.objectName(s.Name), s.Name),
		Spec: federationv1alpha1.MemberSpec{
			ManagedResourceSpec: managedSpec(t.federation),
			ForProvider: federationv1alpha1.MemberParameters{
				KubeconfigSecretRef: &ref,
				Pool:                t.pool,
				Tier:                federationv1alpha1.TierSelfBuilt,

				SchedulerConfiguration: s.SchedulerConfiguration,
				// When the whole claim goes there is nowhere to move to: what
				// runs at home stays.
				OnLeave: federationv1alpha1.LeaveRetain,
			},
		},
	}
}
