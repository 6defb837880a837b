package catalogue

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Estimates in CNY an hour, of the size of Alibaba's pay-as-you-go list prices
// in mainland China for generation 7. They are no quotation: prices differ by
// region and change. hourlyPrice in the claim overrides them.
const (
	milliCNYPerCPU = 140
	milliCNYPerGiB = 28

	// milliCNYPerOtherGPU is for a GPU whose model is not known.
	milliCNYPerOtherGPU = 20000
)

var milliCNYPerGPU = map[string]int64{"T4": 8000, "A10": 9000, "V100": 18000}

// EstimatedPrice of one hour of the machine, in CNY.
func (i Instance) EstimatedPrice() resource.Quantity {
	perGPU, ok := milliCNYPerGPU[i.gpu]
	if !ok {
		perGPU = milliCNYPerOtherGPU
	}
	return *resource.NewMilliQuantity(i.CPU*milliCNYPerCPU+i.MemoryGiB*milliCNYPerGiB+i.GPUs*perGPU, resource.DecimalSI)
}

// EstimatedPrice of one hour of a machine of the given capacity, in CNY.
func EstimatedPrice(capacity corev1.ResourceList) resource.Quantity {
	gpus := capacity[ResourceGPU]
	cpu := (capacity.Cpu().MilliValue()*milliCNYPerCPU + 999) / 1000
	mem := (capacity.Memory().Value()/mib*milliCNYPerGiB + 1023) / 1024
	return *resource.NewMilliQuantity(cpu+mem+gpus.Value()*milliCNYPerOtherGPU, resource.DecimalSI)
}

// ACKControlPlanePrice of one hour of an ACK managed control plane, in CNY: the
// basic edition is free, the Pro edition is billed by the hour.
func ACKControlPlanePrice(clusterSpec string) resource.Quantity {
	if clusterSpec == "ack.standard" {
		return *resource.NewMilliQuantity(0, resource.DecimalSI)
	}
	return *resource.NewMilliQuantity(640, resource.DecimalSI)
}
