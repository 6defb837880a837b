package placementpolicy

import (
	"fmt"
	"slices"

	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

// defaultScheduler of Karmada.
const defaultScheduler = "default-scheduler"

// maxAffinityName is the longest name of an affinity that Karmada accepts.
const maxAffinityName = 32

func companionsName(name string) string { return name + "-companions" }

// policies renders what Karmada shall do: one policy that divides the replicas
// of workloads over the members, and one that copies their companions to all
// members, if there are kinds of them.
func policies(mg *v1alpha1.PlacementPolicy) ([]*policyv1alpha1.ClusterPropagationPolicy, error) {
	p := mg.Spec.ForProvider
	out := []*policyv1alpha1.ClusterPropagationPolicy{workloads(mg)}
	if len(p.Companions) > 0 {
		out = append(out, companions(mg))
	}
	for _, cpp := range out {
		if err := karmada.Stamp(cpp); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func policy(mg *v1alpha1.PlacementPolicy, name string, kinds []v1alpha1.KindSelector) *policyv1alpha1.ClusterPropagationPolicy {
	p := mg.Spec.ForProvider
	cpp := &policyv1alpha1.ClusterPropagationPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{fleetv1alpha1.LabelPool: p.Pool},
			Annotations: reconcile.OwnerAnnotations(mg),
		},
		Spec: policyv1alpha1.PropagationSpec{
			// What exists in a member and is not Karmada's is left alone.
			ConflictResolution: policyv1alpha1.ConflictAbort,
			SchedulerName:      defaultScheduler,
		},
	}
	for _, k := range kinds {
		cpp.Spec.ResourceSelectors = append(cpp.Spec.ResourceSelectors, policyv1alpha1.ResourceSelector{
			APIVersion: k.APIVersion, Kind: k.Kind, LabelSelector: p.Workloads.DeepCopy(),
		})
	}
	return cpp
}

func workloads(mg *v1alpha1.PlacementPolicy) *policyv1alpha1.ClusterPropagationPolicy {
	p := mg.Spec.ForProvider
	cpp := policy(mg, reconcile.ExternalName(mg), p.Kinds)
	// ConfigMaps, Secrets and the like follow the replicas, also to the
	// overflow tiers, where Karmada takes nothing else.
	cpp.Spec.PropagateDeps = true
	cpp.Spec.Placement.ReplicaScheduling = &policyv1alpha1.ReplicaSchedulingStrategy{
		ReplicaSchedulingType:     policyv1alpha1.ReplicaSchedulingTypeDivided,
		ReplicaDivisionPreference: policyv1alpha1.ReplicaDivisionPreferenceWeighted,
		WeightPreference:          &policyv1alpha1.ClusterPreferences{DynamicWeight: policyv1alpha1.DynamicWeightByAvailableReplicas},
	}
	if p.Mode != v1alpha1.ModeOverflow {
		cpp.Spec.SchedulerName = fleetv1alpha1.SchedulerName
		cpp.Spec.Placement.ClusterAffinity = all(mg)
		return cpp
	}
	names := affinityNames(p.Tiers)
	term := policyv1alpha1.ClusterAffinityTerm{
		AffinityName:    names[0],
		ClusterAffinity: policyv1alpha1.ClusterAffinity{ClusterNames: p.Tiers[0].Members},
	}
	for i, t := range p.Tiers[1:] {
		term.OverflowAffinities = append(term.OverflowAffinities, policyv1alpha1.OverflowClusterAffinity{
			AffinityName:    names[i+1],
			ClusterAffinity: policyv1alpha1.ClusterAffinity{ClusterNames: t.Members},
		})
	}
	cpp.Spec.Placement.ClusterAffinities = []policyv1alpha1.ClusterAffinityTerm{term}
	return cpp
}

func companions(mg *v1alpha1.PlacementPolicy) *policyv1alpha1.ClusterPropagationPolicy {
	p := mg.Spec.ForProvider
	cpp := policy(mg, companionsName(reconcile.ExternalName(mg)), p.Companions)
	cpp.Spec.Placement.ClusterAffinity = all(mg)
	cpp.Spec.Placement.ReplicaScheduling = &policyv1alpha1.ReplicaSchedulingStrategy{
		ReplicaSchedulingType: policyv1alpha1.ReplicaSchedulingTypeDuplicated,
	}
	return cpp
}

// all members of the pool. Where fleet knows the tiers they are selected by the
// label that each of them joins with, so that a cluster that a Burst brings is
// one of them without a change of this policy. Karmada's own scheduler goes by
// the tiers, and so by names.
func all(mg *v1alpha1.PlacementPolicy) *policyv1alpha1.ClusterAffinity {
	p := mg.Spec.ForProvider
	if p.Mode == v1alpha1.ModeOverflow {
		return &policyv1alpha1.ClusterAffinity{ClusterNames: members(p.Tiers)}
	}
	return &policyv1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{fleetv1alpha1.LabelPool: p.Pool}}}
}

// members of all tiers, each once, in the order of the tiers.
func members(tiers []v1alpha1.PlacementTier) []string {
	var out []string
	for _, t := range tiers {
		for _, m := range t.Members {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// affinityNames are the names of the tiers, or their numbers if Karmada would
// not accept the names.
func affinityNames(tiers []v1alpha1.PlacementTier) []string {
	out := make([]string, 0, len(tiers))
	for _, t := range tiers {
		if t.Name == "" || len(t.Name) > maxAffinityName || slices.Contains(out, t.Name) || len(validation.IsQualifiedName(t.Name)) > 0 {
			out = out[:0]
			for i := range tiers {
				out = append(out, fmt.Sprintf("tier-%d", i))
			}
			return out
		}
		out = append(out, t.Name)
	}
	return out
}
