package ack

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
)

// node is what the instance looks like in Kubernetes: named, labelled and sized
// as ACK does.
func (s *Server) node(p *nodePool, i *instance) backend.Node {
	k := p.cluster
	charge := i.charge
	if i.spot {
		charge = "Spot"
	}
	labels := map[string]string{
		corev1.LabelHostname:                         k.region + "." + i.ip,
		corev1.LabelOSStable:                         "linux",
		corev1.LabelArchStable:                       "amd64",
		corev1.LabelInstanceTypeStable:               i.kind,
		corev1.LabelTopologyRegion:                   k.region,
		corev1.LabelTopologyZone:                     i.zone,
		"alibabacloud.com/nodepool-id":               p.id,
		"alibabacloud.com/ecs-instance-id":           i.id,
		"ack.aliyun.com":                             k.id,
		"node.alibabacloud.com/instance-charge-type": charge,
	}
	for _, l := range p.spec.KubernetesConfig.Labels {
		labels[l.Key] = l.Value
	}
	var taints []corev1.Taint
	for _, t := range p.spec.KubernetesConfig.Taints {
		taints = append(taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
	}
	it := s.Config.InstanceTypes[i.kind]
	capacity, allocatable := resources(it, k.spec.NodeCIDRMask, k.spec.ContainerCIDR != "", s.Config.Switches.ReserveNodeResources)
	return backend.Node{
		Name: i.nodeName, ProviderID: k.region + "." + i.id, IP: i.ip, Labels: labels, Taints: taints,
		Unschedulable: p.spec.KubernetesConfig.Unschedulable, Capacity: capacity, Allocatable: allocatable,
	}
}

// resources of a node. The pod limit is the size of the node's pod CIDR with
// flannel. What is reserved follows the published formula: CPU 6 % of the first
// core, 1 % of the second, 0.5 % of the next two and 0.25 % of the rest; memory
// 255 MiB and 11 MiB for each pod, at most a quarter.
func resources(it config.InstanceType, mask string, flannel, reserve bool) (capacity, allocatable corev1.ResourceList) {
	pods := it.Pods
	if m, err := strconv.Atoi(mask); flannel && err == nil {
		pods = min(1<<(32-m), 256)
	}
	mib := it.MemoryGiB * 1024
	list := func(milli, mib int) corev1.ResourceList {
		l := corev1.ResourceList{
			corev1.ResourceCPU:              *resource.NewMilliQuantity(int64(milli), resource.DecimalSI),
			corev1.ResourceMemory:           *resource.NewQuantity(int64(mib)<<20, resource.BinarySI),
			corev1.ResourcePods:             *resource.NewQuantity(int64(pods), resource.DecimalSI),
			corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
		}
		if it.GPU > 0 {
			l["nvidia.com/gpu"] = *resource.NewQuantity(int64(it.GPU), resource.DecimalSI)
		}
		return l
	}
	capacity = list(it.CPU*1000, mib)
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
	return capacity, list(it.CPU*1000-int(cpu), mib-min(255+11*pods, mib/4))
}

// publishNode lets lists show a node after the lag. Instances that never
// registered are not listed, until they are given up.
func (s *Server) publishNode(p *nodePool, i *instance) {
	if !i.registered && !i.failed {
		return
	}
	s.nodeList.Put(i.id, s.viewNode(p, i), s.lagged())
}

func (s *Server) viewNode(p *nodePool, i *instance) nodeView {
	spot := "NoSpot"
	if i.spot {
		spot = p.spec.ScalingGroup.SpotStrategy
	}
	state := i.state
	switch {
	case i.failed:
		state = "failed"
	case i.removing:
		state = "removing"
	case !i.registered:
		state = initial
	}
	family := i.kind
	if x := strings.LastIndex(family, "."); x > 0 {
		family = family[:x]
	}
	return nodeView{
		InstanceID: i.id, InstanceName: "worker-k8s-for-cs-" + p.cluster.id, InstanceRole: "Worker", InstanceStatus: "Running", InstanceType: i.kind,
		InstanceTypeFamily: family, InstanceChargeType: i.charge, SpotStrategy: spot, NodeName: i.nodeName, NodeStatus: i.nodeStatus, NodepoolID: p.id,
		HostName: "iZ" + strings.TrimPrefix(i.id, "i-"), IPAddress: []string{i.ip}, State: state, Source: "ess_attach", ErrorMessage: i.message,
		CreationTime: i.created, IsAliyunNode: true, cluster: p.cluster.id,
	}
}

func (s *Server) describeNodes(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	state := c.query.Get("state")
	switch state {
	case "", "all", running, removing, initial, "failed":
	default:
		return 0, nil, invalid("State", "state %q is not one of all, running, removing, initial, failed", state)
	}
	wanted := strings.FieldsFunc(c.query.Get("instanceIds"), func(r rune) bool { return strings.ContainsRune(`,[]" `, r) })
	all := []nodeView{}
	for _, v := range s.nodeList.List(s.Clock.Now()) {
		if v.cluster != k.id || c.query.Get("nodepool_id") != "" && v.NodepoolID != c.query.Get("nodepool_id") {
			continue
		}
		if state != "" && state != "all" && v.State != state {
			continue
		}
		if len(wanted) > 0 && !contains(wanted, v.InstanceID) {
			continue
		}
		all = append(all, v)
	}
	page, info, err := paginate(c, all, "pageNumber", "pageSize")
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"nodes": page, "page": info}, nil
}

func contains(all []string, v string) bool {
	for _, a := range all {
		if a == v {
			return true
		}
	}
	return false
}

// NodeEvent makes something happen to a node: offline or online at once, reclaim
// after the notice of a spot instance. The node is named by instance id or by
// node name.
func (s *Server) NodeEvent(node, event string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.clusters {
		for _, p := range k.pools {
			for _, i := range p.instances {
				if i.id != node && i.nodeName != node {
					continue
				}
				if event != "reclaim" && !i.registered {
					return fmt.Errorf("node %q has not joined its cluster", node)
				}
				switch event {
				case "offline":
					s.setReady(p, i, false)
				case "online":
					s.setReady(p, i, true)
				case "reclaim":
					s.notice(p, i)
				default:
					return fmt.Errorf("unknown event %q: want offline, online or reclaim", event)
				}
				return nil
			}
		}
	}
	return fmt.Errorf("node %q does not exist", node)
}
