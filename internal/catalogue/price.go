package catalogue

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Estimates in CNY an hour, of the size of the vendors' pay-as-you-go list
// prices in mainland China. They are no quotation: prices differ by region and
// change. What the cloud says, or hourlyPrice in the claim, overrides them.
const (
	// milliCNYPerOtherGPU is for a GPU whose model is not known.
	milliCNYPerOtherGPU = 20000

	// spotPercent of the on-demand price is what a spot machine is estimated to
	// cost. Both vendors advertise 10 to 20 %; what is paid over days is more, and
	// an estimate that is too low would let spot win where it should not.
	spotPercent = 40
)

var milliCNYPerGPU = map[string]int64{"T4": 8000, "A10": 9000, "V100": 18000}

// rates are prices in thousandths of a CNY an hour.
type rates struct{ cpu, gib int64 }

var (
	// alibabaRates are of ECS generation 7, tencentRates of CVM S5 and S6, both
	// without disks.
	alibabaRates = rates{cpu: 140, gib: 28}
	tencentRates = rates{cpu: 110, gib: 30}
)

// EstimatedPrice of one hour of the machine on demand, in CNY.
func (i Instance) EstimatedPrice() resource.Quantity {
	perGPU, ok := milliCNYPerGPU[i.gpu]
	if !ok {
		perGPU = milliCNYPerOtherGPU
	}
	return milliCNY(i.CPU*i.rates.cpu + i.MemoryGiB*i.rates.gib + i.GPUs*perGPU)
}

// EstimatedPrice of one hour of a machine of the given capacity on demand, in
// CNY.
func (c Cloud) EstimatedPrice(capacity corev1.ResourceList) resource.Quantity {
	gpus := capacity[ResourceGPU]
	cpu := (capacity.Cpu().MilliValue()*c.rates.cpu + 999) / 1000
	mem := (capacity.Memory().Value()/mib*c.rates.gib + 1023) / 1024
	return milliCNY(cpu + mem + gpus.Value()*milliCNYPerOtherGPU)
}

// SpotPrice is an estimate of what a spot machine costs an hour, from its price
// on demand.
func SpotPrice(onDemand resource.Quantity) resource.Quantity {
	return milliCNY((onDemand.MilliValue()*spotPercent + 99) / 100)
}

// VirtualPrice is the price of an hour on virtual nodes, in CNY: of one vCPU, of
// one GiB of memory, and of one GPU.
type VirtualPrice struct {
	CPU, MemoryGiB, GPU resource.Quantity
}

// ECIPrice is an estimate for pods on ACK's virtual nodes. Elastic Container
// Instances are billed by the second: 0.000049 CNY for a vCPU and 0.00000613 CNY
// for a GiB, by the vendor's list for mainland China. A GPU is priced as that of
// a machine whose model is not known.
func ECIPrice() VirtualPrice {
	return VirtualPrice{CPU: microCNY(176400), MemoryGiB: microCNY(22068), GPU: milliCNY(milliCNYPerOtherGPU)}
}

// SuperNodePrice is an estimate for pods on TKE's super nodes, of the size of
// the vendor's list for Intel pods in mainland China: 0.12 CNY for a vCPU and
// 0.05 CNY for a GiB, billed by the second.
func SuperNodePrice() VirtualPrice {
	return VirtualPrice{CPU: milliCNY(120), MemoryGiB: milliCNY(50), GPU: milliCNY(milliCNYPerOtherGPU)}
}

// Pod returns the price of an hour of a pod of the size.
func (v VirtualPrice) Pod(size corev1.ResourceList) resource.Quantity {
	gpus := size[ResourceGPU]
	micro := size.Cpu().MilliValue()*v.CPU.ScaledValue(resource.Micro)/1000 +
		size.Memory().Value()/mib*v.MemoryGiB.ScaledValue(resource.Micro)/1024 +
		gpus.Value()*v.GPU.ScaledValue(resource.Micro)
	return microCNY(micro)
}

// ACKControlPlanePrice of one hour of an ACK managed control plane, in CNY: the
// basic edition is free, the Pro edition is billed by the hour.
func ACKControlPlanePrice(clusterSpec string) resource.Quantity {
	if clusterSpec == "ack.standard" {
		return milliCNY(0)
	}
	return milliCNY(640)
}

// A level is a billing class of TKE control planes.
type level struct {
	// nodes that a cluster of the level may have.
	nodes int32
	// milliCNY an hour.
	milliCNY int64
}

// levels of TKE, from "Purchase instructions" in its documentation. The fees are
// estimates of the list prices in mainland China.
var levels = map[string]level{
	"L5": {5, 130}, "L20": {20, 400}, "L50": {50, 670}, "L100": {100, 1020}, "L200": {200, 1780},
	"L500": {500, 3390}, "L1000": {1000, 6170}, "L3000": {3000, 10330}, "L5000": {5000, 20830},
}

// TKEControlPlanePrice of one hour of a TKE managed control plane, in CNY. A
// level that is not known counts as the dearest.
func TKEControlPlanePrice(name string) resource.Quantity {
	l, ok := levels[name]
	if !ok {
		l = levels["L5000"]
	}
	return milliCNY(l.milliCNY)
}

// TKELevelNodes returns how many nodes a cluster of a level may have, 0 if the
// level is not known.
func TKELevelNodes(name string) int32 { return levels[name].nodes }

func milliCNY(n int64) resource.Quantity {
	return *resource.NewMilliQuantity(n, resource.DecimalSI)
}

func microCNY(n int64) resource.Quantity {
	return *resource.NewScaledQuantity(n, resource.Micro)
}
