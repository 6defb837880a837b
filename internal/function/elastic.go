package function

import (
	"cmp"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/crossplane/function-sdk-go/resource"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// What Karmada shows as the provider of a rented cluster.
const (
	providerAlibaba = "alibabacloud"
	providerTencent = "tencentcloud"
)

// A tenant is a claim for which elastic clusters are composed, and the pool that
// they join.
type tenant struct {
	// namespace and claim name the claim.
	namespace, claim string
	// suffix of the names of what is composed.
	suffix string
	// pool is its name in the workload plane, planName that of its CapacityPlan.
	pool, planName string
	federation     platformv1alpha1.ProviderConfigReference
	leaks          platformv1alpha1.LeakPolicy
}

// objectName is the metadata.name of a composed resource.
func (t tenant) objectName(of string) string { return t.claim + "-" + of + t.suffix }

func (t tenant) objectMeta(name, externalName string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Name:      name,
		Namespace: t.namespace,
		Labels:    map[string]string{LabelClaim: t.claim},
	}
	if externalName != "" {
		m.Annotations = map[string]string{meta.AnnotationKeyExternalName: externalName}
	}
	return m
}

// tags of everything that is billed.
func (t tenant) tags() map[string]string {
	if t.leaks != platformv1alpha1.LeaksDelete {
		return nil
	}
	return map[string]string{elasticv1alpha1.TagLeaks: elasticv1alpha1.LeaksDelete}
}

// A part is a resource that an elastic cluster is composed of.
type part struct {
	name   resource.Name
	object runtime.Object
}

// elastic is everything an elastic cluster is composed of.
func (t tenant) elastic(e platformv1alpha1.ElasticCluster) []part {
	var out []part
	add := func(n resource.Name, o runtime.Object) { out = append(out, part{name: n, object: o}) }
	switch {
	case e.ACK != nil:
		add(nameCluster(e.Name), t.ackCluster(e))
		for _, np := range e.NodePools {
			add(nameNodePool(offeringName(e.Name, np.Name)), t.ackNodePool(e, np))
		}
	case e.TKE != nil:
		add(nameTKECluster(e.Name), t.tkeCluster(e))
		for _, np := range e.NodePools {
			add(nameTKENodePool(offeringName(e.Name, np.Name)), t.tkeNodePool(e, np))
		}
		if e.VirtualNodes != nil {
			add(nameVirtualNodePool(virtualName(e)), t.tkeVirtualNodePool(e))
		}
	}
	add(nameMember(e.Name), t.elasticMember(e))
	return out
}

// elasticNames are the names of everything an elastic cluster is composed of.
func elasticNames(e platformv1alpha1.ElasticCluster) []resource.Name {
	var out []resource.Name
	for _, p := range (tenant{}).elastic(e) {
		out = append(out, p.name)
	}
	return out
}

func (t tenant) elasticMember(e platformv1alpha1.ElasticCluster) *federationv1alpha1.Member {
	p := federationv1alpha1.MemberParameters{
		ClusterRef:   &federationv1alpha1.ClusterReference{Name: t.objectName(e.Name)},
		Pool:         t.pool,
		Tier:         federationv1alpha1.TierElastic,
		OnLeave:      federationv1alpha1.LeaveDrain,
		DrainTimeout: e.DrainTimeout,
	}
	switch {
	case e.ACK != nil:
		p.ClusterRef.APIVersion, p.ClusterRef.Kind = ackv1alpha1.SchemeGroupVersion.String(), ackv1alpha1.ClusterKind
		p.Provider, p.Region = providerAlibaba, e.ACK.Region
	case e.TKE != nil:
		p.ClusterRef.APIVersion, p.ClusterRef.Kind = tkev1alpha1.SchemeGroupVersion.String(), tkev1alpha1.ClusterKind
		p.Provider, p.Region = providerTencent, e.TKE.Region
	}
	return &federationv1alpha1.Member{
		ObjectMeta: t.objectMeta(t.objectName(e.Name), e.Name),
		Spec:       federationv1alpha1.MemberSpec{ManagedResourceSpec: managedSpec(t.federation), ForProvider: p},
	}
}

// clusterSpec is the part of a cluster's spec that no cloud differs in.
func (t tenant) clusterSpec(e platformv1alpha1.ElasticCluster) xpv2.ManagedResourceSpec {
	spec := managedSpec(e.ProviderConfigRef)
	spec.WriteConnectionSecretToReference = &xpv2.LocalSecretReference{Name: t.objectName(e.Name) + "-kubeconfig"}
	return spec
}

// sizeFrom lets a node pool follow the plan.
func (t tenant) sizeFrom(offering string) *elasticv1alpha1.SizeFrom {
	return &elasticv1alpha1.SizeFrom{CapacityPlanRef: corev1.LocalObjectReference{Name: t.planName}, Offering: offering}
}

// ackCluster has no external name: the cloud assigns it.
func (t tenant) ackCluster(e platformv1alpha1.ElasticCluster) *ackv1alpha1.Cluster {
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
		ServiceCIDR:        cmp.Or(e.ACK.ServiceCIDR, defaultServiceCIDR),
		NodeCIDRMask:       defaultNodeCIDRMask,
		ClusterSpec:        cmp.Or(e.ACK.ClusterSpec, "ack.pro.small"),
		KubernetesVersion:  e.ACK.KubernetesVersion,
		DeletionProtection: e.ACK.DeletionProtection,
		Tags:               t.tags(),
	}
	if v := e.VirtualNodes; v != nil {
		// Named in any case: an empty object would not reach the API server.
		p.VirtualNodes = &ackv1alpha1.VirtualNodes{VSwitchIDs: orSubnets(v.Subnets, e)}
	}
	return &ackv1alpha1.Cluster{
		ObjectMeta: t.objectMeta(t.objectName(e.Name), ""),
		Spec:       ackv1alpha1.ClusterSpec{ManagedResourceSpec: t.clusterSpec(e), ForProvider: p},
	}
}

// ackNodePool names its vSwitches in any case, so that those of a claim that no
// longer does are taken back.
func (t tenant) ackNodePool(e platformv1alpha1.ElasticCluster, np platformv1alpha1.ElasticNodePool) *ackv1alpha1.NodePool {
	o := offeringName(e.Name, np.Name)
	return &ackv1alpha1.NodePool{
		ObjectMeta: t.objectMeta(t.objectName(o), ""),
		Spec: ackv1alpha1.NodePoolSpec{
			ManagedResourceSpec: managedSpec(e.ProviderConfigRef),
			ForProvider: ackv1alpha1.NodePoolParameters{
				ClusterRef:    corev1.LocalObjectReference{Name: t.objectName(e.Name)},
				InstanceTypes: np.InstanceTypes,
				CapacityType:  capacityType(np),
				VSwitchIDs:    orSubnets(np.Subnets, e),
				SizeFrom:      t.sizeFrom(o),
				Min:           np.Min,
				Max:           np.Max,
				Labels:        nodeLabels(e, np),
				Taints:        np.Taints,
				Tags:          t.tags(),
			},
		},
	}
}

// tkeCluster has no external name: the cloud assigns it.
func (t tenant) tkeCluster(e platformv1alpha1.ElasticCluster) *tkev1alpha1.Cluster {
	cidr := e.TKE.ClusterCIDR
	if cidr == nil && len(e.TKE.ENISubnetIDs) == 0 {
		cidr = ptr.To(defaultClusterCIDR)
	}
	p := tkev1alpha1.ClusterParameters{
		Region:             e.TKE.Region,
		VPCID:              e.TKE.VPCID,
		ClusterCIDR:        cidr,
		ENISubnetIDs:       e.TKE.ENISubnetIDs,
		ServiceCIDR:        cmp.Or(e.TKE.ServiceCIDR, defaultServiceCIDR),
		MaxPodsPerNode:     defaultMaxPodsPerNode,
		Level:              cmp.Or(e.TKE.Level, defaultLevel),
		KubernetesVersion:  e.TKE.KubernetesVersion,
		DeletionProtection: e.TKE.DeletionProtection,
		Tags:               t.tags(),
	}
	if len(e.TKE.SubnetIDs) > 0 {
		p.SubnetID = e.TKE.SubnetIDs[0]
	}
	return &tkev1alpha1.Cluster{
		ObjectMeta: t.objectMeta(t.objectName(e.Name), ""),
		Spec:       tkev1alpha1.ClusterSpec{ManagedResourceSpec: t.clusterSpec(e), ForProvider: p},
	}
}

// tkeNodePool names its subnets in any case: the cluster has only the one of its
// API server.
func (t tenant) tkeNodePool(e platformv1alpha1.ElasticCluster, np platformv1alpha1.ElasticNodePool) *tkev1alpha1.NodePool {
	o := offeringName(e.Name, np.Name)
	return &tkev1alpha1.NodePool{
		ObjectMeta: t.objectMeta(t.objectName(o), ""),
		Spec: tkev1alpha1.NodePoolSpec{
			ManagedResourceSpec: managedSpec(e.ProviderConfigRef),
			ForProvider: tkev1alpha1.NodePoolParameters{
				ClusterRef:    corev1.LocalObjectReference{Name: t.objectName(e.Name)},
				InstanceTypes: np.InstanceTypes,
				CapacityType:  capacityType(np),
				SubnetIDs:     orSubnets(np.Subnets, e),
				SizeFrom:      t.sizeFrom(o),
				Min:           np.Min,
				Max:           np.Max,
				Labels:        nodeLabels(e, np),
				Taints:        np.Taints,
				Tags:          t.tags(),
			},
		},
	}
}

func (t tenant) tkeVirtualNodePool(e platformv1alpha1.ElasticCluster) *tkev1alpha1.VirtualNodePool {
	o := virtualName(e)
	return &tkev1alpha1.VirtualNodePool{
		ObjectMeta: t.objectMeta(t.objectName(o), ""),
		Spec: tkev1alpha1.VirtualNodePoolSpec{
			ManagedResourceSpec: managedSpec(e.ProviderConfigRef),
			ForProvider: tkev1alpha1.VirtualNodePoolParameters{
				ClusterRef: corev1.LocalObjectReference{Name: t.objectName(e.Name)},
				SubnetIDs:  orSubnets(e.VirtualNodes.Subnets, e),
				Labels:     map[string]string{fleetv1alpha1.LabelOffering: o},
				Tags:       t.tags(),
			},
		},
	}
}

func capacityType(np platformv1alpha1.ElasticNodePool) elasticv1alpha1.CapacityType {
	return cmp.Or(np.CapacityType, elasticv1alpha1.CapacityOnDemand)
}

// orSubnets returns the subnets, or those of the cluster if there are none.
func orSubnets(subnets []string, e platformv1alpha1.ElasticCluster) []string {
	switch {
	case len(subnets) > 0:
		return subnets
	case e.ACK != nil:
		return e.ACK.VSwitchIDs
	case e.TKE != nil:
		return e.TKE.SubnetIDs
	default:
		return nil
	}
}

// nodeLabels are put on the nodes of a pool.
func nodeLabels(e platformv1alpha1.ElasticCluster, np platformv1alpha1.ElasticNodePool) map[string]string {
	l := make(map[string]string, len(np.Labels)+1)
	maps.Copy(l, np.Labels)
	l[fleetv1alpha1.LabelOffering] = offeringName(e.Name, np.Name)
	return l
}
