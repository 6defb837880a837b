package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
)

// A Cloud is a vendor.
// +kubebuilder:validation:Enum=ACK;TKE
type Cloud string

// Clouds.
const (
	CloudACK Cloud = "ACK"
	CloudTKE Cloud = "TKE"
)

// An OfferingSource says where an offering is rented, so that the provider can
// ask that cloud for prices and stock. The fleet does not use it.
type OfferingSource struct {
	// Cloud that rents it.
	Cloud Cloud `json:"cloud"`

	// ProviderConfigKind and ProviderConfigName name the credentials, on the
	// host plane.
	ProviderConfigKind string `json:"providerConfigKind"`
	ProviderConfigName string `json:"providerConfigName"`

	// VPCID and Subnets (vSwitches in ACK) of the nodes or pods.
	VPCID string `json:"vpcId"`
	// +listType=set
	Subnets []string `json:"subnets"`
}

// A MovePolicy says whether replicas leave virtual nodes for real ones.
// +kubebuilder:validation:Enum=WhenCheaper;Never
type MovePolicy string

const (
	// MoveWhenCheaper orders nodes for replicas on virtual nodes where those
	// cost less, and moves the replicas when the nodes are Ready.
	MoveWhenCheaper MovePolicy = "WhenCheaper"
	// MoveNever leaves replicas where they started.
	MoveNever MovePolicy = "Never"
)

// VirtualCapacity makes an offering one of virtual nodes: pods on them start in
// seconds, are billed one by one, and cannot be of DaemonSets, use the host's
// network, be privileged, or use devices that are not offered. The offering's
// HourlyPrice is not used, its Max is a number of pods, and its Allocatable is
// the largest pod.
type VirtualCapacity struct {
	// NodeLabels by which virtual nodes are known in the member. They are there
	// as soon as the member is.
	NodeLabels map[string]string `json:"nodeLabels"`

	// Tolerations that a pod needs to run there.
	// +optional
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// CPUHour and MemoryGiBHour are the prices of one vCPU and one GiB, GPUHour
	// of one device, for an hour.
	CPUHour       resource.Quantity `json:"cpuHour"`
	MemoryGiBHour resource.Quantity `json:"memoryGiBHour"`
	// +optional
	GPUHour *resource.Quantity `json:"gpuHour,omitempty"`

	// Moves says whether replicas leave for real nodes.
	// +kubebuilder:default=WhenCheaper
	Moves MovePolicy `json:"moves,omitempty"`
}

// Weights of the one function by which offerings are compared. The cost of a
// choice, in money an hour, is
//
//	price x nodes x price
//	+ wait x minutes until Ready x replicas
//	+ interruption x price of the spot nodes
//	+ spread x nodes by which the fullest zone has more than the emptiest
//
// and the choice with the lowest cost for each replica placed wins.
type Weights struct {
	// Price is the weight of money. 1 counts it as it is.
	// +kubebuilder:default="1"
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="price is below 0"
	// +optional
	Price *resource.Quantity `json:"price,omitempty"`

	// Wait is what a minute without a replica costs.
	// +kubebuilder:default="0"
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="wait is below 0"
	// +optional
	Wait *resource.Quantity `json:"wait,omitempty"`

	// Interruption is the part of its price that is added to that of a spot node
	// because the cloud may take it away. 0.5 lets spot win only when it costs
	// less than two thirds of the alternative.
	// +kubebuilder:default="0.25"
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="interruption is below 0"
	// +optional
	Interruption *resource.Quantity `json:"interruption,omitempty"`

	// Spread is what a node too many in one zone costs an hour.
	// +kubebuilder:default="0"
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="spread is below 0"
	// +optional
	Spread *resource.Quantity `json:"spread,omitempty"`
}

// OfferingMarket is what the provider knows of an offering at its cloud.
type OfferingMarket struct {
	// Name of the offering.
	Name string `json:"name"`

	// HourlyPrice of a node that the cloud asks now: of the first type, in the
	// order in which they are tried, that is in stock, in the dearest of its
	// zones. Absent if it is not known, or if what the cloud says is absurd.
	// +optional
	HourlyPrice *resource.Quantity `json:"hourlyPrice,omitempty"`

	// HighestPrice of a node of any type of the offering in any of its zones, if
	// it is above HourlyPrice: the cloud may take that type when others are sold
	// out. Limits count with it.
	// +optional
	HighestPrice *resource.Quantity `json:"highestPrice,omitempty"`

	// CPUHour and MemoryGiBHour are what the cloud asks now for a vCPU and a GiB of
	// pods on virtual nodes, for an hour. Absent like HourlyPrice, and if the cloud
	// cannot be asked.
	// +optional
	CPUHour *resource.Quantity `json:"cpuHour,omitempty"`
	// +optional
	MemoryGiBHour *resource.Quantity `json:"memoryGiBHour,omitempty"`

	// PricedAt is when the price last changed or was confirmed, to ten minutes.
	// A confirmation alone is written once an hour.
	// +optional
	PricedAt *metav1.Time `json:"pricedAt,omitempty"`

	// Shortages of the offering. While there are any it is not ordered, unless
	// they name types or zones and others of the offering are left.
	// +optional
	// +listType=atomic
	Shortages []elasticv1alpha1.Shortage `json:"shortages,omitempty"`

	// Unavailable says that nothing of the offering can be had, because of
	// Shortages or because the cloud knows no such type, zone or subnet.
	// +optional
	Unavailable bool `json:"unavailable,omitempty"`

	// Message for a person: why it is unavailable, or why the price is not
	// believed.
	// +optional
	Message string `json:"message,omitempty"`

	// Nodes that exist at the cloud, Ready or not, and how many the cloud was
	// asked for. Absent if there is no node pool.
	// +optional
	Nodes *int32 `json:"nodes,omitempty"`
	// +optional
	Desired *int32 `json:"desired,omitempty"`
}

// MemberMarket is what the provider knows of an elastic member at its cloud.
type MemberMarket struct {
	// Name of the member.
	Name string `json:"name"`

	// Exists says that the cluster exists at the cloud, or may.
	Exists bool `json:"exists"`
}

// Market is what the clouds say. The provider writes it, into the twin only; in
// a CapacityPlan of the host plane it is ignored.
type Market struct {
	// Offerings at their clouds.
	// +optional
	// +listType=map
	// +listMapKey=name
	Offerings []OfferingMarket `json:"offerings,omitempty"`

	// Members at their clouds.
	// +optional
	// +listType=map
	// +listMapKey=name
	Members []MemberMarket `json:"members,omitempty"`
}

// An OverflowMode says which workloads may leave the self-built clusters.
// +kubebuilder:validation:Enum=Always;Reserved
type OverflowMode string

const (
	// OverflowAlways lets every workload of the pool use rented capacity.
	OverflowAlways OverflowMode = "Always"
	// OverflowReserved lets only workloads use it that an active
	// CapacityReservation targets; the others stay home and wait.
	OverflowReserved OverflowMode = "Reserved"
)
