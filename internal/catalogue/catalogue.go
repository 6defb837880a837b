// Package catalogue knows, without asking the cloud, how big an instance type
// is and about what it costs. The composition needs both before a node exists:
// the planner packs unmet demand onto template nodes.
//
// Sizes follow from the vendors' naming conventions. Prices are estimates, good
// enough to compare offerings and to keep a cap on the cautious side; whoever
// knows better sets hourlyPrice in the claim.
package catalogue

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ResourceGPU is the extended resource of NVIDIA's device plugin, which ACK and
// TKE install on GPU nodes.
const ResourceGPU corev1.ResourceName = "nvidia.com/gpu"

// An Instance is the size of one machine as its vendor advertises it.
type Instance struct {
	// Type is the vendor's name, such as ecs.g7.4xlarge.
	Type string
	// Arch is the Kubernetes name of the processor architecture.
	Arch string
	// CPU in vCPUs.
	CPU int64
	// MemoryGiB is the nominal memory in GiB.
	MemoryGiB int64
	// GPUs is the number of whole NVIDIA GPUs.
	GPUs int64
	// gpu is the model, which decides the price.
	gpu string
	// rates by which the price is estimated.
	rates rates
}

// An UnknownTypeError says that a type's size does not follow from its name.
type UnknownTypeError struct{ Type string }

func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("unknown instance type %q", e.Type)
}

// Capacity returns the nominal resources of the machine.
func (i Instance) Capacity() corev1.ResourceList {
	l := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(i.CPU, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(i.MemoryGiB<<30, resource.BinarySI),
	}
	if i.GPUs > 0 {
		l[ResourceGPU] = *resource.NewQuantity(i.GPUs, resource.DecimalSI)
	}
	return l
}

// A Cloud is what the catalogue knows of a vendor.
type Cloud struct {
	instance    func(instanceType string) (Instance, error)
	allocatable func(capacity corev1.ResourceList, n Network) corev1.ResourceList
	rates       rates
}

// Clouds.
var (
	Alibaba = Cloud{instance: ECS, allocatable: ackAllocatable, rates: alibabaRates}
	Tencent = Cloud{instance: CVM, allocatable: tkeAllocatable, rates: tencentRates}
)

// Instance returns the size of an instance type. The error is an
// *UnknownTypeError if the size does not follow from the name.
func (c Cloud) Instance(instanceType string) (Instance, error) { return c.instance(instanceType) }

// Allocatable returns what the pods of users can have of a node of the given
// capacity in the vendor's managed clusters.
func (c Cloud) Allocatable(capacity corev1.ResourceList, n Network) corev1.ResourceList {
	return c.allocatable(capacity, n)
}
