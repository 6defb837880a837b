package catalogue

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30

	// ackEvictionMiB and tkeEvictionMiB are the hard eviction thresholds
	// memory.available.
	ackEvictionMiB = 300
	tkeEvictionMiB = 100

	// systemMilliCPU, systemMiB and systemPods are set aside for the DaemonSets
	// that the clouds run on each node: kube-proxy, the CNI, the CSI plugin, the
	// node problem detector and the log agent.
	systemMilliCPU = 200
	systemMiB      = 256
	systemPods     = 10

	// ackEphemeralGiB and tkeEphemeralGiB are what is left for pods of the
	// default system disks of 120 and 100 GiB after the operating system and the
	// eviction threshold of 10 %.
	ackEphemeralGiB = 90
	tkeEphemeralGiB = 70

	// tkeReservedAddresses of a node's range are those of the network, its
	// gateway and its broadcast: 64 addresses hold 61 pods.
	tkeReservedAddresses = 3

	// interfacePodsPerCPU and interfacePodsMax bound the pods of a node from
	// below whose pods have addresses of the VPC. The real number is the product
	// of the network interfaces and their addresses, which grows with the machine
	// and differs by family.
	interfacePodsPerCPU = 5
	interfacePodsMax    = 110
)

// A Network decides how many pods a node can hold. The zero value gives pods
// addresses of the VPC: Terway, or VPC-CNI.
type Network struct {
	// NodeCIDRMask is the size of each node's pod range with Flannel.
	NodeCIDRMask int32

	// MaxPods is the number of addresses of each node's pod range with
	// GlobalRouter.
	MaxPods int32
}

// ackAllocatable returns what the pods of users can have of an ACK node of the
// given capacity. It errs on the small side: a template node that is smaller
// than the real one costs a node too many at worst, a larger one leaves pods
// pending on nodes that were bought for them.
//
//	cpu:    0.1 for the first 4 vCPUs, 2.5 % of those up to 64, 1.25 % beyond
//	memory: 6 % that firmware and kernel keep for themselves; of the rest 25 %
//	        of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of
//	        those up to 128, 2 % beyond; and 300 MiB eviction threshold
//	pods:   the addresses of the node's range (128 with mask 25)
//
// minus what ACK's DaemonSets request. These are the steps of ACK's "Resource
// reservation policy"; the example there, a node of 4 vCPUs and 8 GiB with
// 3900m and 5824732Ki allocatable, is a test case. Other resources, such as
// GPUs, pass unchanged. Pods and ephemeral storage are filled in when capacity
// lacks them.
func ackAllocatable(capacity corev1.ResourceList, n Network) corev1.ResourceList {
	pods := int64(0)
	if n.NodeCIDRMask > 0 {
		pods = 1 << (32 - n.NodeCIDRMask)
	}
	return allocatable(capacity, pods, reservedMilliCPU, ackEvictionMiB, ackEphemeralGiB)
}

// tkeAllocatable returns what the pods of users can have of a TKE node of the
// given capacity, on the small side as well. TKE's "Node resource reservation"
// has the steps of ACK, but 0.5 % of the vCPUs beyond 128, and a threshold of
// 100 MiB. With GlobalRouter a node has three pods less than its range has
// addresses.
func tkeAllocatable(capacity corev1.ResourceList, n Network) corev1.ResourceList {
	pods := int64(0)
	if n.MaxPods > 0 {
		pods = int64(n.MaxPods) - tkeReservedAddresses
	}
	return allocatable(capacity, pods, tkeReservedMilliCPU, tkeEvictionMiB, tkeEphemeralGiB)
}

func allocatable(capacity corev1.ResourceList, pods int64, reservedCPU func(int64) int64, evictionMiB, ephemeralGiB int64) corev1.ResourceList {
	out := capacity.DeepCopy()

	cpu := capacity.Cpu().MilliValue()
	out[corev1.ResourceCPU] = *resource.NewMilliQuantity(max(0, cpu-reservedCPU(cpu)-systemMilliCPU), resource.DecimalSI)

	mem := capacity.Memory().Value() / 100 * 94
	left := mem - reservedMemory(mem) - (evictionMiB+systemMiB)*mib
	// Whole MiB keep the number readable.
	out[corev1.ResourceMemory] = *resource.NewQuantity(max(0, left/mib)*mib, resource.BinarySI)

	if q, ok := capacity[corev1.ResourcePods]; ok {
		pods = q.Value()
	}
	if pods == 0 {
		pods = min(interfacePodsMax, systemPods+interfacePodsPerCPU*capacity.Cpu().Value())
	}
	out[corev1.ResourcePods] = *resource.NewQuantity(max(0, pods-systemPods), resource.DecimalSI)

	if _, ok := capacity[corev1.ResourceEphemeralStorage]; !ok {
		out[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(ephemeralGiB*gib, resource.BinarySI)
	}
	return out
}

// A step reserves a share, in parts of ten thousand, of what lies below upto.
type step struct{ upto, share int64 }

func reserved(of int64, steps []step) int64 {
	var r, from int64
	for _, s := range steps {
		upto := of
		if s.upto > 0 {
			upto = min(of, s.upto)
		}
		if upto <= from {
			break
		}
		r += (upto - from) * s.share / 10000
		from = upto
	}
	return r
}

func reservedMilliCPU(milli int64) int64 {
	return 100 + reserved(milli, []step{{4000, 0}, {64000, 250}, {0, 125}})
}

func tkeReservedMilliCPU(milli int64) int64 {
	return 100 + reserved(milli, []step{{4000, 0}, {64000, 250}, {128000, 125}, {0, 50}})
}

func reservedMemory(bytes int64) int64 {
	return reserved(bytes, []step{{4 * gib, 2500}, {8 * gib, 2000}, {16 * gib, 1000}, {128 * gib, 600}, {0, 200}})
}
