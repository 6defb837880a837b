package tke

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
)

// SpotTermination is the condition of a node whose spot instance will be
// reclaimed.
const SpotTermination corev1.NodeConditionType = "SpotTermination"

// node is what the instance looks like in Kubernetes: named by its address,
// labelled and sized as TKE does. Zones are numbers there.
func (s *Server) node(i *instance) backend.Node {
	k := i.cluster
	region := s.conf.Regions[k.region]
	zone, _ := region.Zone(i.zone)
	labels := map[string]string{
		corev1.LabelHostname:                   i.ip,
		corev1.LabelOSStable:                   "linux",
		corev1.LabelArchStable:                 "amd64",
		corev1.LabelInstanceTypeStable:         i.kind,
		corev1.LabelTopologyRegion:             region.Short,
		corev1.LabelTopologyZone:               zone.ID,
		"cloud.tencent.com/node-instance-id":   i.id,
		"node.tke.cloud.tencent.com/type":      "cvm",
		"cloud.tencent.com/auto-scaling-group": i.group,
	}
	var taints []corev1.Taint
	if p := i.pool; p != nil {
		labels["tke.cloud.tencent.com/nodepool-id"] = p.id
		for key, v := range p.spec.labels {
			labels[key] = v
		}
		taints = p.spec.taints
	}
	capacity, allocatable := resources(s.conf.InstanceTypes[i.kind], k.spec.ClusterCIDRSettings.MaxNodePodNum, s.Config.Switches.ReserveNodeResources)
	return backend.Node{
		Name: i.ip, ProviderID: "qcloud:///" + zone.ID + "/" + i.id, IP: i.ip, Labels: labels, Taints: taints, Unschedulable: i.unschedulable,
		Capacity: capacity, Allocatable: allocatable,
	}
}

// resources of a node. What is reserved follows the formula TKE shares with
// other vendors: CPU 6 % of the first core, 1 % of the second, 0.5 % of the next
// two and 0.25 % of the rest; memory a quarter of the first 4 GiB, a fifth of
// the next 4, a tenth of the next 8 and 6 % of the rest.
func resources(it config.InstanceType, pods int, reserve bool) (capacity, allocatable corev1.ResourceList) {
	list := func(milli, mib int) corev1.ResourceList {
		l := corev1.ResourceList{
			corev1.ResourceCPU:              *resource.NewMilliQuantity(int64(milli), resource.DecimalSI),
			corev1.ResourceMemory:           *resource.NewQuantity(int64(mib)<<20, resource.BinarySI),
			corev1.ResourcePods:             *resource.NewQuantity(int64(min(pods, it.Pods)), resource.DecimalSI),
			corev1.ResourceEphemeralStorage: resource.MustParse("50Gi"),
		}
		if it.GPU > 0 {
			l["nvidia.com/gpu"] = *resource.NewQuantity(int64(it.GPU), resource.DecimalSI)
		}
		return l
	}
	capacity = list(it.CPU*1000, it.MemoryGiB*1024)
	if !reserve {
		return capacity, capacity.DeepCopy()
	}
	cpu := 60.0
	for core := 2; core <= it.CPU; core++ {
		switch {
		case core == 2:
			cpu += 10
		case core <= 4:
			cpu += 5
		default:
			cpu += 2.5
		}
	}
	mib, left := 0.0, float64(it.MemoryGiB*1024)
	for _, step := range []struct{ size, share float64 }{{4096, 0.25}, {4096, 0.2}, {8192, 0.1}, {left, 0.06}} {
		part := min(left, step.size)
		mib += part * step.share
		left -= part
	}
	return capacity, list(it.CPU*1000-int(cpu), it.MemoryGiB*1024-int(mib))
}
