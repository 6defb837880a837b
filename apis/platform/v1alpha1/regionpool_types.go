package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// A ProviderConfigReference names a ProviderConfig of the claim's namespace or
// a ClusterProviderConfig.
type ProviderConfigReference struct {
	// Kind of the configuration.
	// +kubebuilder:default=ClusterProviderConfig
	// +kubebuilder:validation:Enum=ProviderConfig;ClusterProviderConfig
	Kind string `json:"kind,omitempty"`

	// Name of the configuration.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// A Federation is a Karmada control plane.
type Federation struct {
	// ProviderConfigRef names the credentials of the Karmada API.
	ProviderConfigRef ProviderConfigReference `json:"providerConfigRef"`
}

// A SelfBuiltCluster is a cluster the platform team owns.
type SelfBuiltCluster struct {
	// Name of the member in the federation.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name"`

	// KubeconfigSecretRef gives access to the cluster.
	KubeconfigSecretRef federationv1alpha1.SecretKeyReference `json:"kubeconfigSecretRef"`

	// SchedulerConfiguration is what the cluster's kube-scheduler is started
	// with, if that is not its default: a KubeSchedulerConfiguration of
	// kubescheduler.config.k8s.io/v1 as YAML, without extenders.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	SchedulerConfiguration string `json:"schedulerConfiguration,omitempty"`
}

// An ElasticNodePool is one offering of an elastic cluster.
// +kubebuilder:validation:XValidation:rule="self.min <= self.max",message="min is above max"
// +kubebuilder:validation:XValidation:rule="!has(self.zones) || !has(self.subnets) || size(self.zones) == size(self.subnets)",message="zones: name one for each of subnets, in the same order"
type ElasticNodePool struct {
	// Name of the node pool, unique in the cluster.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=30
	Name string `json:"name"`

	// InstanceTypes in the order in which they are tried. The planner counts
	// with the smallest of them.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=64
	InstanceTypes []string `json:"instanceTypes"`

	// CapacityType says how the machines are rented. Spot machines need an
	// OnDemand pool or virtual nodes in the same claim to fall back to.
	// +kubebuilder:default=OnDemand
	CapacityType elasticv1alpha1.CapacityType `json:"capacityType,omitempty"`

	// Subnets (vSwitches in ACK) of the nodes, and so their zones. The default
	// is the cluster's.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^(vsw|subnet)-.+`
	Subnets []string `json:"subnets,omitempty"`

	// Zones of the subnets, in the same order, for what is spread over zones
	// before the first node exists. Without them nothing is known of zones until
	// there is one.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=32
	Zones []string `json:"zones,omitempty"`

	// Min and Max number of nodes.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Min int32 `json:"min,omitempty"`
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5000
	Max int32 `json:"max"`

	// Labels and Taints of the nodes.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Taints []corev1.Taint `json:"taints,omitempty"`

	// Capacity of one node. The default is derived from the instance type.
	// +optional
	Capacity corev1.ResourceList `json:"capacity,omitempty"`

	// HourlyPrice of one node, above 0. The default is an estimate from the
	// instance type.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^\+?0*\.?0*[1-9]`
	// +kubebuilder:validation:XValidation:rule="self != 0",message="hourlyPrice must be above 0"
	HourlyPrice *resource.Quantity `json:"hourlyPrice,omitempty"`
}

// ACKCluster places an elastic cluster in Alibaba Cloud.
// +kubebuilder:validation:XValidation:rule="has(self.containerCIDR) || has(self.podVSwitchIds) || !isCIDR(self.serviceCIDR) || (!cidr('10.0.0.0/16').containsCIDR(self.serviceCIDR) && !cidr(self.serviceCIDR).containsCIDR('10.0.0.0/16'))",message="serviceCIDR overlaps the default containerCIDR 10.0.0.0/16: set containerCIDR"
// +kubebuilder:validation:XValidation:rule="!(has(self.containerCIDR) && has(self.podVSwitchIds))",message="containerCIDR (Flannel) and podVSwitchIds (Terway) exclude each other"
// +kubebuilder:validation:XValidation:rule="!has(self.containerCIDR) || !isCIDR(self.containerCIDR) || !isCIDR(self.serviceCIDR) || (!cidr(self.containerCIDR).containsCIDR(self.serviceCIDR) && !cidr(self.serviceCIDR).containsCIDR(self.containerCIDR))",message="serviceCIDR and containerCIDR overlap"
type ACKCluster struct {
	// Region such as cn-shanghai.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z]{2,}-[a-z0-9-]+$`
	Region string `json:"region"`

	// VPCID of the network.
	// +kubebuilder:validation:Pattern=`^vpc-.+`
	// +kubebuilder:validation:MaxLength=64
	VPCID string `json:"vpcId"`

	// VSwitchIDs of control plane and nodes.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:Pattern=`^vsw-.+`
	VSwitchIDs []string `json:"vSwitchIds"`

	// PodVSwitchIDs selects Terway.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:Pattern=`^vsw-.+`
	PodVSwitchIDs []string `json:"podVSwitchIds,omitempty"`

	// ContainerCIDR is the range of pod addresses with Flannel, which is the
	// default network with 10.0.0.0/16.
	// +optional
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="containerCIDR is no CIDR"
	ContainerCIDR *string `json:"containerCIDR,omitempty"`

	// ServiceCIDR is the range of Service addresses.
	// +kubebuilder:default="172.19.0.0/20"
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="serviceCIDR is no CIDR"
	ServiceCIDR string `json:"serviceCIDR,omitempty"`

	// ClusterSpec is the billing class of the control plane.
	// +kubebuilder:default=ack.pro.small
	// +kubebuilder:validation:Enum=ack.standard;ack.pro.small
	ClusterSpec string `json:"clusterSpec,omitempty"`

	// KubernetesVersion of the cluster.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// DeletionProtection of the cluster.
	// +optional
	DeletionProtection bool `json:"deletionProtection,omitempty"`
}

// TKECluster places an elastic cluster in Tencent Cloud.
// +kubebuilder:validation:XValidation:rule="has(self.clusterCIDR) || has(self.eniSubnetIds) || !isCIDR(self.serviceCIDR) || (!cidr('172.16.0.0/16').containsCIDR(self.serviceCIDR) && !cidr(self.serviceCIDR).containsCIDR('172.16.0.0/16'))",message="serviceCIDR overlaps the default clusterCIDR 172.16.0.0/16: set clusterCIDR"
// +kubebuilder:validation:XValidation:rule="!(has(self.clusterCIDR) && has(self.eniSubnetIds))",message="clusterCIDR (GlobalRouter) and eniSubnetIds (VPC-CNI) exclude each other"
// +kubebuilder:validation:XValidation:rule="!has(self.clusterCIDR) || !isCIDR(self.clusterCIDR) || !isCIDR(self.serviceCIDR) || (!cidr(self.clusterCIDR).containsCIDR(self.serviceCIDR) && !cidr(self.serviceCIDR).containsCIDR(self.clusterCIDR))",message="serviceCIDR and clusterCIDR overlap"
type TKECluster struct {
	// Region such as ap-guangzhou.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z]{2,}-[a-z0-9-]+$`
	Region string `json:"region"`

	// VPCID of the network.
	// +kubebuilder:validation:Pattern=`^vpc-.+`
	// +kubebuilder:validation:MaxLength=64
	VPCID string `json:"vpcId"`

	// SubnetIDs of the nodes. The API server's private address is in the first.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:Pattern=`^subnet-.+`
	SubnetIDs []string `json:"subnetIds"`

	// ClusterCIDR is the range of pod addresses with GlobalRouter, which is the
	// default network with 172.16.0.0/16.
	// +optional
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="clusterCIDR is no CIDR"
	ClusterCIDR *string `json:"clusterCIDR,omitempty"`

	// ENISubnetIDs selects VPC-CNI.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:Pattern=`^subnet-.+`
	ENISubnetIDs []string `json:"eniSubnetIds,omitempty"`

	// ServiceCIDR is the range of Service addresses.
	// +kubebuilder:default="172.19.0.0/20"
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="serviceCIDR is no CIDR"
	ServiceCIDR string `json:"serviceCIDR,omitempty"`

	// Level is the billing class of the control plane, by the number of nodes
	// it may have.
	// +kubebuilder:default=L50
	// +kubebuilder:validation:Enum=L5;L20;L50;L100;L200;L500;L1000;L3000;L5000
	Level string `json:"level,omitempty"`

	// KubernetesVersion of the cluster.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// DeletionProtection of the cluster.
	// +optional
	DeletionProtection bool `json:"deletionProtection,omitempty"`
}

// VirtualNodes let pods start in seconds, without a machine: ECI in ACK, super
// nodes in TKE. They are billed by the pod, and nodes follow.
type VirtualNodes struct {
	// Name of the offering in the cluster.
	// +kubebuilder:default=virtual
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=30
	Name string `json:"name,omitempty"`

	// MaxPods on virtual nodes at a time.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50000
	MaxPods int32 `json:"maxPods"`

	// LargestPod that is placed there.
	// +optional
	// +kubebuilder:default={cpu: "16", memory: "64Gi"}
	LargestPod corev1.ResourceList `json:"largestPod,omitempty"`

	// Subnets (vSwitches in ACK) of the pods. The default is the cluster's.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^(vsw|subnet)-.+`
	Subnets []string `json:"subnets,omitempty"`

	// CPUHour and MemoryGiBHour are the prices of one vCPU and one GiB for an
	// hour. The defaults are estimates.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="cpuHour must be above 0"
	CPUHour *resource.Quantity `json:"cpuHour,omitempty"`
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="memoryGiBHour must be above 0"
	MemoryGiBHour *resource.Quantity `json:"memoryGiBHour,omitempty"`

	// Moves says whether replicas leave for real nodes.
	// +kubebuilder:default=WhenCheaper
	Moves fleetv1alpha1.MovePolicy `json:"moves,omitempty"`
}

// An ElasticCluster is a cloud cluster that exists while it is needed.
// +kubebuilder:validation:XValidation:rule="!has(self.nodePools) || self.nodePools.all(p, size(self.name) + size(p.name) <= 62)",message="name and a name in nodePools are together longer than 62 characters"
// +kubebuilder:validation:XValidation:rule="has(self.ack) != has(self.tke)",message="set exactly one of ack and tke"
// +kubebuilder:validation:XValidation:rule="has(self.nodePools) && size(self.nodePools) > 0 || has(self.virtualNodes)",message="set nodePools, virtualNodes or both"
// +kubebuilder:validation:XValidation:rule="!has(self.virtualNodes) || !has(self.nodePools) || self.nodePools.all(p, p.name != self.virtualNodes.name)",message="virtualNodes has the name of a node pool"
// +kubebuilder:validation:XValidation:rule="!has(self.virtualNodes) || size(self.name) + size(self.virtualNodes.name) <= 62",message="name and virtualNodes.name are together longer than 62 characters"
// +kubebuilder:validation:XValidation:rule="has(self.ack) == has(oldSelf.ack)",message="a cluster cannot move to another cloud: give the new one another name"
// +kubebuilder:validation:XValidation:rule="!has(self.nodePools) || self.nodePools.all(p, !has(p.subnets) || p.subnets.all(s, s.startsWith(has(self.ack) ? 'vsw-' : 'subnet-')))",message="subnets in nodePools are of another cloud: they begin with vsw- in ack and with subnet- in tke"
// +kubebuilder:validation:XValidation:rule="!has(self.virtualNodes) || !has(self.virtualNodes.subnets) || self.virtualNodes.subnets.all(s, s.startsWith(has(self.ack) ? 'vsw-' : 'subnet-'))",message="subnets in virtualNodes are of another cloud: they begin with vsw- in ack and with subnet- in tke"
// +kubebuilder:validation:XValidation:rule="!has(self.nodePools) || self.nodePools.all(p, p.instanceTypes.all(t, t.startsWith('ecs.') == has(self.ack)))",message="instanceTypes in nodePools are of another cloud: they begin with ecs. in ack, and in tke they do not"
// +kubebuilder:validation:XValidation:rule="!has(self.nodePools) || !(has(self.ack) || has(self.tke)) || self.nodePools.all(p, !has(p.zones) || has(p.subnets) || size(p.zones) == (has(self.ack) ? size(self.ack.vSwitchIds) : size(self.tke.subnetIds)))",message="zones in nodePools: name one for each of the cluster's subnets, in the same order"
// +kubebuilder:validation:XValidation:rule="!has(self.nodePools) || !(has(self.ack) || has(self.tke)) || self.nodePools.all(p, !has(p.zones) || p.zones.all(z, z.startsWith(has(self.ack) ? self.ack.region : self.tke.region)))",message="zones in nodePools are of another region"
type ElasticCluster struct {
	// Name of the member in the federation.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name"`

	// ProviderConfigRef names the credentials of the cloud account.
	ProviderConfigRef ProviderConfigReference `json:"providerConfigRef"`

	// ACK places the cluster in Alibaba Cloud.
	// +optional
	ACK *ACKCluster `json:"ack,omitempty"`

	// TKE places the cluster in Tencent Cloud.
	// +optional
	TKE *TKECluster `json:"tke,omitempty"`

	// NodePools of the cluster.
	// +optional
	// +kubebuilder:validation:MaxItems=20
	// +listType=map
	// +listMapKey=name
	NodePools []ElasticNodePool `json:"nodePools,omitempty"`

	// VirtualNodes of the cluster.
	// +optional
	VirtualNodes *VirtualNodes `json:"virtualNodes,omitempty"`

	// Warm keeps the control plane while the cluster is empty, so that a surge
	// need not wait for a new one.
	// +kubebuilder:default=false
	Warm bool `json:"warm,omitempty"`

	// DrainTimeout after which the cluster leaves although replicas remain on
	// it. Without it the drain waits and says what blocks it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="drainTimeout must be a duration of 0 or more, such as 10m"
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`
}

// A LeakPolicy says what is done with billed things that outlive what they were
// made for.
// +kubebuilder:validation:Enum=Report;Delete
type LeakPolicy string

const (
	// LeaksReport leaves them alone, and reports them.
	LeaksReport LeakPolicy = "Report"
	// LeaksDelete deletes them after they have been reported for a while.
	LeaksDelete LeakPolicy = "Delete"
)

// Limits are hard caps of the pool.
type Limits struct {
	// Nodes in the cloud, all clusters together.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Nodes *int32 `json:"nodes,omitempty"`

	// Clusters in the cloud.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Clusters *int32 `json:"clusters,omitempty"`

	// HourlyCost of all cloud nodes, control planes and pods on virtual nodes.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="hourlyCost must be above 0: to rent nothing set nodes and clusters to 0"
	HourlyCost *resource.Quantity `json:"hourlyCost,omitempty"`
}

// RegionPoolSpec declares a region.
// +kubebuilder:validation:XValidation:rule="!has(self.elastic) || self.elastic.all(a, self.elastic.all(b, a.name == b.name || !has(a.ack) || !has(b.ack) || a.ack.vpcId != b.ack.vpcId || has(a.ack.podVSwitchIds) || has(b.ack.podVSwitchIds) || (has(a.ack.containerCIDR) ? (has(b.ack.containerCIDR) ? !cidr(a.ack.containerCIDR).containsCIDR(b.ack.containerCIDR) : (!cidr(a.ack.containerCIDR).containsCIDR('10.0.0.0/16') && !cidr('10.0.0.0/16').containsCIDR(a.ack.containerCIDR))) : has(b.ack.containerCIDR))))",message="elastic: two clusters in one vpcId overlap in containerCIDR (default 10.0.0.0/16)"
// +kubebuilder:validation:XValidation:rule="!has(self.elastic) || self.elastic.all(a, self.elastic.all(b, a.name == b.name || !has(a.tke) || !has(b.tke) || a.tke.vpcId != b.tke.vpcId || has(a.tke.eniSubnetIds) || has(b.tke.eniSubnetIds) || (has(a.tke.clusterCIDR) ? (has(b.tke.clusterCIDR) ? !cidr(a.tke.clusterCIDR).containsCIDR(b.tke.clusterCIDR) : (!cidr(a.tke.clusterCIDR).containsCIDR('172.16.0.0/16') && !cidr('172.16.0.0/16').containsCIDR(a.tke.clusterCIDR))) : has(b.tke.clusterCIDR))))",message="elastic: two clusters in one vpcId overlap in clusterCIDR (default 172.16.0.0/16)"
// +kubebuilder:validation:XValidation:rule="!has(self.elastic) || !has(self.limits) || !has(self.limits.nodes) || self.elastic.map(e, has(e.nodePools) ? e.nodePools.map(p, p.min).sum() : 0).sum() <= self.limits.nodes",message="limits.nodes is below the sum of min in elastic[].nodePools"
// +kubebuilder:validation:XValidation:rule="!has(self.elastic) || !has(self.limits) || !has(self.limits.clusters) || self.elastic.filter(e, e.warm || (has(e.nodePools) && e.nodePools.exists(p, p.min > 0))).size() <= self.limits.clusters",message="limits.clusters is below the number of elastic clusters that are warm or have min above 0"
// +kubebuilder:validation:XValidation:rule="!has(self.elastic) || self.elastic.all(e, !self.selfBuilt.exists(s, s.name == e.name))",message="a name is used by a self-built and an elastic cluster"
// +kubebuilder:validation:XValidation:rule="size(self.workloads.matchLabels) > 0",message="workloads.matchLabels is empty: it would select every workload"
// +kubebuilder:validation:XValidation:rule="!has(self.elastic) || !self.elastic.exists(e, has(e.nodePools) && e.nodePools.exists(p, p.capacityType == 'Spot')) || self.elastic.exists(e, has(e.virtualNodes) || (has(e.nodePools) && e.nodePools.exists(p, p.capacityType != 'Spot')))",message="elastic: Spot node pools need an OnDemand node pool or virtualNodes to fall back to"
type RegionPoolSpec struct {
	// Federation that the clusters join.
	Federation Federation `json:"federation"`

	// SelfBuilt clusters are filled first.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +listType=map
	// +listMapKey=name
	SelfBuilt []SelfBuiltCluster `json:"selfBuilt"`

	// Elastic clusters are rented when the self-built ones are full, in this
	// order when prices are equal.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=map
	// +listMapKey=name
	Elastic []ElasticCluster `json:"elastic,omitempty"`

	// Workloads of the pool, by label.
	Workloads WorkloadSelector `json:"workloads"`

	// Mode of placement: Simulated needs fleet, Overflow uses Karmada's own
	// scheduler.
	// +kubebuilder:default=Simulated
	// +kubebuilder:validation:Enum=Simulated;Overflow
	Mode federationv1alpha1.PlacementMode `json:"mode,omitempty"`

	// Limits that are never passed.
	// +optional
	Limits Limits `json:"limits,omitempty"`

	// ScaleDown delays.
	// +optional
	// +kubebuilder:default={}
	ScaleDown fleetv1alpha1.ScaleDown `json:"scaleDown,omitempty"`

	// Outage says what becomes of replicas in a cluster that does not answer.
	// +optional
	Outage *fleetv1alpha1.Outage `json:"outage,omitempty"`

	// Weights by which offerings are compared.
	// +optional
	// +kubebuilder:default={}
	Weights fleetv1alpha1.Weights `json:"weights,omitempty"`

	// PlacementWeights by which placements of workloads that wait at the same time
	// are compared.
	// +optional
	// +kubebuilder:default={}
	PlacementWeights fleetv1alpha1.PlacementWeights `json:"placementWeights,omitempty"`

	// Overflow says which workloads may leave the self-built clusters: all of
	// them, or only those that a Burst targets.
	// +kubebuilder:default=Always
	Overflow fleetv1alpha1.OverflowMode `json:"overflow,omitempty"`

	// Leaks says what is done with billed things that outlive what they were
	// made for.
	// +kubebuilder:default=Report
	Leaks LeakPolicy `json:"leaks,omitempty"`
}

// A WorkloadSelector selects workloads by label.
type WorkloadSelector struct {
	// MatchLabels that a workload must carry, all of them.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=10
	MatchLabels map[string]string `json:"matchLabels"`
}

// RegionPoolStatus tells at a glance what the region does.
type RegionPoolStatus struct {
	xpv2.ConditionedStatus `json:",inline"`

	// Phase of the pool: Joining until all self-built members are in, then what
	// the fleet says.
	// +optional
	Phase string `json:"phase,omitempty"`

	// Nodes that are Ready.
	// +optional
	Nodes *fleetv1alpha1.OwnCloud `json:"nodes,omitempty"`

	// Replicas of all workloads of the pool.
	// +optional
	Replicas *fleetv1alpha1.ReplicaSummary `json:"replicas,omitempty"`

	// HourlyCost of what is wanted now.
	// +optional
	HourlyCost string `json:"hourlyCost,omitempty"`

	// LastDecision of the planner, one line.
	// +optional
	LastDecision string `json:"lastDecision,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced
// +kubebuilder:printcolumn:name="PHASE",type="string",JSONPath=".status.phase"
// +kubebuilder:printcolumn:name="NODES-OWN",type="integer",JSONPath=".status.nodes.own"
// +kubebuilder:printcolumn:name="NODES-CLOUD",type="integer",JSONPath=".status.nodes.cloud"
// +kubebuilder:printcolumn:name="OWN",type="integer",JSONPath=".status.replicas.own"
// +kubebuilder:printcolumn:name="CLOUD",type="integer",JSONPath=".status.replicas.cloud"
// +kubebuilder:printcolumn:name="PENDING",type="integer",JSONPath=".status.replicas.pending"
// +kubebuilder:printcolumn:name="COST/H",type="string",JSONPath=".status.hourlyCost"
// +kubebuilder:printcolumn:name="LAST-DECISION",type="string",JSONPath=".status.lastDecision",priority=1

// A RegionPool declares a region: the self-built clusters a platform team owns
// and the cloud clusters it may rent.
type RegionPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   RegionPoolSpec   `json:"spec"`
	Status RegionPoolStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// A RegionPoolList contains RegionPools.
type RegionPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RegionPool `json:"items"`
}

func init() { SchemeBuilder.Register(&RegionPool{}, &RegionPoolList{}) }
