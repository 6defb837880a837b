package function

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/internal/catalogue"
)

// kubeconfigKey is the key of a kubeconfig in a Secret unless the claim names
// another.
const kubeconfigKey = xpv2.CredentialsSecretKubeconfigKey

// providerAlibaba is what Karmada shows as the provider of an ACK cluster.
const providerAlibaba = "alibabacloud"

// tierSelfBuilt is the name of the tier that is filled first.
const tierSelfBuilt = "self-built"

func objectMeta(c *platformv1alpha1.RegionPool, name, externalName string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Name:      name,
		Namespace: c.GetNamespace(),
		Labels:    map[string]string{LabelClaim: c.GetName()},
	}
	if externalName != "" {
		m.Annotations = map[string]string{meta.AnnotationKeyExternalName: externalName}
	}
	return m
}

func managedSpec(ref platformv1alpha1.ProviderConfigReference) xpv2.ManagedResourceSpec {
	return xpv2.ManagedResourceSpec{
		ProviderConfigReference: &xpv2.ProviderConfigReference{
			Kind: cmp.Or(ref.Kind, "ClusterProviderConfig"),
			Name: ref.Name,
		},
	}
}

func placementPolicy(c *platformv1alpha1.RegionPool, l leaving) *federationv1alpha1.PlacementPolicy {
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
		ObjectMeta: objectMeta(c, c.GetName(), poolName(c)),
		Spec: federationv1alpha1.PlacementPolicySpec{
			ManagedResourceSpec: managedSpec(c.Spec.Federation.ProviderConfigRef),
			ForProvider: federationv1alpha1.PlacementPolicyParameters{
				Pool:      poolName(c),
				Mode:      cmp.Or(c.Spec.Mode, federationv1alpha1.ModeSimulated),
				Workloads: metav1.LabelSelector{MatchLabels: c.Spec.Workloads.MatchLabels},
				Tiers:     append([]federationv1alpha1.PlacementTier{own}, rented...),
			},
		},
	}
}

func capacityPlan(c *platformv1alpha1.RegionPool, offerings []fleetv1alpha1.Offering, l leaving) *federationv1alpha1.CapacityPlan {
	spec := fleetv1alpha1.CapacityPlanSpec{
		Limits: fleetv1alpha1.PlanLimits{
			Nodes:      c.Spec.Limits.Nodes,
			Clusters:   c.Spec.Limits.Clusters,
			HourlyCost: c.Spec.Limits.HourlyCost,
		},
		ScaleDown: c.Spec.ScaleDown,
		Offerings: append(offerings, l.offerings...),
	}
	for _, s := range c.Spec.SelfBuilt {
		spec.Members = append(spec.Members, fleetv1alpha1.PlanMember{Name: s.Name})
	}
	for i, e := range c.Spec.Elastic {
		spec.Members = append(spec.Members, fleetv1alpha1.PlanMember{
			Name:       e.Name,
			Tier:       elasticTier(i),
			Elastic:    true,
			Warm:       e.Warm,
			HourlyCost: ptr.To(catalogue.ACKControlPlanePrice(e.ACK.ClusterSpec)),
		})
	}
	spec.Members = append(spec.Members, l.members...)
	return &federationv1alpha1.CapacityPlan{
		ObjectMeta: objectMeta(c, c.GetName(), poolName(c)),
		Spec: federationv1alpha1.CapacityPlanSpec{
			ManagedResourceSpec: managedSpec(c.Spec.Federation.ProviderConfigRef),
			ForProvider:         federationv1alpha1.CapacityPlanParameters{CapacityPlanSpec: spec},
		},
	}
}

// elasticTier is the tier of the i-th elastic cluster of a claim. Each is a tier
// of its own, so that replicas gather on few clusters and the others can go.
func elasticTier(i int) int32 { return int32(i) + 1 }

func selfBuiltMember(c *platformv1alpha1.RegionPool, s platformv1alpha1.SelfBuiltCluster) *federationv1alpha1.Member {
	ref := s.KubeconfigSecretRef
	ref.Key = cmp.Or(ref.Key, kubeconfigKey)
	return &federationv1alpha1.Member{
		ObjectMeta: objectMeta(c, objectName(c, s.Name), s.Name),
		Spec: federationv1alpha1.MemberSpec{
			ManagedResourceSpec: managedSpec(c.Spec.Federation.ProviderConfigRef),
			ForProvider: federationv1alpha1.MemberParameters{
				KubeconfigSecretRef: &ref,
				Pool:                poolName(c),
				Tier:                federationv1alpha1.TierSelfBuilt,
				// When the whole claim goes there is nowhere to move to: what
				// runs at home stays.
				OnLeave: federationv1alpha1.LeaveRetain,
			},
		},
	}
}

func elasticMember(c *platformv1alpha1.RegionPool, e platformv1alpha1.ElasticCluster) *federationv1alpha1.Member {
	return &federationv1alpha1.Member{
		ObjectMeta: objectMeta(c, objectName(c, e.Name), e.Name),
		Spec: federationv1alpha1.MemberSpec{
			ManagedResourceSpec: managedSpec(c.Spec.Federation.ProviderConfigRef),
			ForProvider: federationv1alpha1.MemberParameters{
				ClusterRef: &federationv1alpha1.ClusterReference{
					APIVersion: ackv1alpha1.SchemeGroupVersion.String(),
					Kind:       ackv1alpha1.ClusterKind,
					Name:       objectName(c, e.Name),
				},
				Pool:         poolName(c),
				Tier:         federationv1alpha1.TierElastic,
				Provider:     providerAlibaba,
				Region:       e.ACK.Region,
				OnLeave:      federationv1alpha1.LeaveDrain,
				DrainTimeout: e.DrainTimeout,
			},
		},
	}
}

// ackCluster has no external name: the cloud assigns it.
func ackCluster(c *platformv1alpha1.RegionPool, e platformv1alpha1.ElasticCluster) *ackv1alpha1.Cluster {
	spec := managedSpec(e.ProviderConfigRef)
	spec.WriteConnectionSecretToReference = &xpv2.LocalSecretReference{Name: objectName(c, e.Name) + "-kubeconfig"}
	cidr := e.ACK.ContainerCIDR
	if cidr == nil && len(e.ACK.PodVSwitchIDs) == 0 {
		cidr = ptr.To(defaultContainerCIDR)
	}
	p := ackv1alpha1.ClusterParameters{
		Region:             e.ACK.Region,
		VPCID:              e.ACK.VPCID,
		VSwitchIDs:         e.ACK.VSwitchIDs,
		PodVSwitchIDs:      e.ACK.PodVSwitchIDs,
		ContainerCIDR:      cidr,
		ServiceCIDR:        cmp.Or(e.ACK.ServiceCIDR, "172.19.0.0/20"),
		NodeCIDRMask:       defaultNodeCIDRMask,
		ClusterSpec:        cmp.Or(e.ACK.ClusterSpec, "ack.pro.small"),
		KubernetesVersion:  e.ACK.KubernetesVersion,
		DeletionProtection: e.ACK.DeletionProtection,
	}
	return &ackv1alpha1.Cluster{
		ObjectMeta: objectMeta(c, objectName(c, e.Name), ""),
		Spec:       ackv1alpha1.ClusterSpec{ManagedResourceSpec: spec, ForProvider: p},
	}
}

func ackNodePool(c *platformv1alpha1.RegionPool, e platformv1alpha1.ElasticCluster, np platformv1alpha1.ElasticNodePool) *ackv1alpha1.NodePool {
	o := offeringName(e.Name, np.Name)
	return &ackv1alpha1.NodePool{
		ObjectMeta: objectMeta(c, objectName(c, o), ""),
		Spec: ackv1alpha1.NodePoolSpec{
			ManagedResourceSpec: managedSpec(e.ProviderConfigRef),
			ForProvider: ackv1alpha1.NodePoolParameters{
				ClusterRef:    corev1.LocalObjectReference{Name: objectName(c, e.Name)},
				InstanceTypes: np.InstanceTypes,
				SizeFrom: &ackv1alpha1.SizeFrom{
					CapacityPlanRef: corev1.LocalObjectReference{Name: c.GetName()},
					Offering:        o,
				},
				Min:    np.Min,
				Max:    np.Max,
				Labels: nodeLabels(e, np),
				Taints: np.Taints,
			},
		},
	}
}
