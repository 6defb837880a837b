package function

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/catalogue"
)

// Defaults of what is composed.
const (
	// defaultContainerCIDR and defaultClusterCIDR are the pod ranges when the claim
	// names no network, in ACK and in TKE.
	defaultContainerCIDR = "10.0.0.0/16"
	defaultClusterCIDR   = "172.16.0.0/16"
	defaultServiceCIDR   = "172.19.0.0/20"

	// defaultNodeCIDRMask and defaultMaxPodsPerNode are the sizes of a node's pod
	// range, in ACK and in TKE.
	defaultNodeCIDRMask   = 25
	defaultMaxPodsPerNode = 64

	defaultLevel   = "L50"
	defaultVirtual = "virtual"

	// startNode and startVirtual are seconds until a node is Ready and until a pod
	// on a virtual node runs. Published runs have 55 to 90 and 10 to 20.
	startNode    = 90
	startVirtual = 15
)

// typePrefixACK begins every instance type of ECS.
const typePrefixACK = "ecs."

// A vendor is where an elastic cluster is rented.
type vendor struct {
	catalogue.Cloud
	cloud   fleetv1alpha1.Cloud
	network catalogue.Network
	region  string
	vpc     string
	// subnetPrefix begins the ids of subnets.
	subnetPrefix string
	// zoneLabel returns the value of a node's zone label, "" if it is not known.
	zoneLabel func(zone string) string
	// regionLabel is the value of a node's region label, "" if it is not known.
	regionLabel string
}

// vendorOf returns false if the cluster is in no cloud.
func vendorOf(e platformv1alpha1.ElasticCluster) (vendor, bool) {
	switch {
	case e.ACK != nil && e.TKE == nil:
		v := vendor{
			Cloud: catalogue.Alibaba, cloud: fleetv1alpha1.CloudACK,
			region: e.ACK.Region, regionLabel: e.ACK.Region, vpc: e.ACK.VPCID, subnetPrefix: "vsw-",
			zoneLabel: func(zone string) string { return zone },
		}
		if len(e.ACK.PodVSwitchIDs) == 0 {
			v.network.NodeCIDRMask = defaultNodeCIDRMask
		}
		return v, true
	case e.TKE != nil && e.ACK == nil:
		v := vendor{
			Cloud: catalogue.Tencent, cloud: fleetv1alpha1.CloudTKE,
			region: e.TKE.Region, regionLabel: catalogue.TKERegionLabel(e.TKE.Region), vpc: e.TKE.VPCID, subnetPrefix: "subnet-",
			zoneLabel: catalogue.TKEZoneLabel,
		}
		if len(e.TKE.ENISubnetIDs) == 0 {
			v.network.MaxPods = defaultMaxPodsPerNode
		}
		return v, true
	default:
		return vendor{}, false
	}
}

// subnets complains of ids of another cloud.
func (v vendor) subnets(ids []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range ids {
		if !strings.HasPrefix(s, v.subnetPrefix) {
			errs = append(errs, field.Invalid(at.Index(i), s, fmt.Sprintf("is of another cloud: subnets of this cluster begin with %s", v.subnetPrefix)))
		}
	}
	return errs
}

// offerings returns what can be ordered, in the order of the claim, and an
// error for each node pool whose size cannot be known.
func offerings(c *platformv1alpha1.RegionPool) ([]fleetv1alpha1.Offering, field.ErrorList) {
	var out []fleetv1alpha1.Offering
	var errs field.ErrorList
	for i, e := range c.Spec.Elastic {
		os, err := offeringsOf(e, field.NewPath("spec", "elastic").Index(i))
		out, errs = append(out, os...), append(errs, err...)
	}
	return out, errs
}

// offeringsOf are those of one elastic cluster.
func offeringsOf(e platformv1alpha1.ElasticCluster, at *field.Path) ([]fleetv1alpha1.Offering, field.ErrorList) {
	v, ok := vendorOf(e)
	if !ok {
		return nil, field.ErrorList{field.Invalid(at, e.Name, "set exactly one of ack and tke")}
	}
	var out []fleetv1alpha1.Offering
	var errs field.ErrorList
	var most int32
	for j, np := range e.NodePools {
		o, err := v.offering(e, np, at.Child("nodePools").Index(j))
		out, errs = append(out, o), append(errs, err...)
		most += np.Max
	}
	if e.TKE != nil {
		// Beyond its level TKE refuses to add nodes.
		if l := cmp.Or(e.TKE.Level, defaultLevel); catalogue.TKELevelNodes(l) > 0 && most > catalogue.TKELevelNodes(l) {
			errs = append(errs, field.Invalid(at.Child("tke", "level"), l,
				fmt.Sprintf("a cluster of this level has at most %d nodes, but max of its node pools is %d together: raise the level or lower max", catalogue.TKELevelNodes(l), most)))
		}
	}
	if e.VirtualNodes != nil {
		o, err := v.virtual(e, at.Child("virtualNodes"))
		out, errs = append(out, o), append(errs, err...)
	}
	return out, errs
}

func (v vendor) source(e platformv1alpha1.ElasticCluster, subnets []string) *fleetv1alpha1.OfferingSource {
	return &fleetv1alpha1.OfferingSource{
		Cloud:              v.cloud,
		ProviderConfigKind: cmp.Or(e.ProviderConfigRef.Kind, "ClusterProviderConfig"),
		ProviderConfigName: e.ProviderConfigRef.Name,
		VPCID:              v.vpc,
		Subnets:            unique(orSubnets(subnets, e)),
	}
}

func (v vendor) offering(e platformv1alpha1.ElasticCluster, np platformv1alpha1.ElasticNodePool, at *field.Path) (fleetv1alpha1.Offering, field.ErrorList) {
	o := fleetv1alpha1.Offering{
		Name:          offeringName(e.Name, np.Name),
		Member:        e.Name,
		InstanceTypes: np.InstanceTypes,
		CapacityType:  capacityType(np),
		StartSeconds:  startNode,
		Source:        v.source(e, np.Subnets),
		Region:        v.region,
		Zones:         unique(np.Zones),
		Labels:        nodeLabels(e, np),
		Taints:        np.Taints,
		Min:           np.Min,
		Max:           np.Max,
	}
	// A template node has these beside the labels that are asked for, so that
	// node selectors on them match before the first node exists.
	v.label(o.Labels, o.Zones)

	errs := v.subnets(np.Subnets, at.Child("subnets"))
	if n := len(orSubnets(np.Subnets, e)); len(np.Zones) > 0 && len(np.Zones) != n {
		errs = append(errs, field.Invalid(at.Child("zones"), strings.Join(np.Zones, ", "), fmt.Sprintf("name one zone for each of the %d subnets, in the same order", n)))
	}
	for k, z := range np.Zones {
		// Both clouds name zones after their region: cn-shanghai-b, ap-shanghai-2.
		if !strings.HasPrefix(z, v.region) || z == v.region {
			errs = append(errs, field.Invalid(at.Child("zones").Index(k), z, fmt.Sprintf("is no zone of region %s", v.region)))
		}
	}
	archs := sets.New[string]()
	var smallest catalogue.Instance
	for k, t := range np.InstanceTypes {
		capacity := corev1.ResourceList{}
		i, err := v.Instance(t)
		if err == nil {
			capacity = i.Capacity()
			if smallest.Type == "" || i.CPU < smallest.CPU || i.CPU == smallest.CPU && i.MemoryGiB < smallest.MemoryGiB {
				smallest = i
			}
			archs.Insert(i.Arch)
		}
		if ecs := strings.HasPrefix(t, typePrefixACK); ecs != (v.cloud == fleetv1alpha1.CloudACK) {
			errs = append(errs, field.Invalid(at.Child("instanceTypes").Index(k), t, fmt.Sprintf("is no type of the cloud that %s is in: mend the name", e.Name)))
			continue
		}
		maps.Copy(capacity, np.Capacity)
		if capacity.Cpu().Sign() <= 0 || capacity.Memory().Sign() <= 0 {
			detail := fmt.Sprintf("capacity needs cpu and memory above 0: mend %s", at.Child("capacity"))
			if err != nil {
				detail = fmt.Sprintf("unknown instance type: mend the name, or set cpu and memory in %s and a price in %s", at.Child("capacity"), at.Child("hourlyPrice"))
			}
			errs = append(errs, field.Invalid(at.Child("instanceTypes").Index(k), t, detail))
			continue
		}

		// Any of the types may be bought: pods must fit on the smallest, and
		// the cap on money must hold for the dearest.
		o.Allocatable = smaller(o.Allocatable, v.Allocatable(capacity, v.network))
		price := v.EstimatedPrice(capacity)
		if err == nil {
			price = i.EstimatedPrice()
		}
		if o.CapacityType == elasticv1alpha1.CapacitySpot {
			price = catalogue.SpotPrice(price)
		}
		if price.Cmp(o.HourlyPrice) > 0 {
			o.HourlyPrice = price
		}
	}
	o.InstanceType = smallest.Type
	if o.InstanceType == "" && len(np.InstanceTypes) > 0 {
		o.InstanceType = np.InstanceTypes[0]
	}
	// A pool of mixed machines promises no architecture.
	if archs.Len() == 1 {
		o.Labels[corev1.LabelArchStable] = archs.UnsortedList()[0]
	}
	if np.HourlyPrice != nil {
		if np.HourlyPrice.Sign() <= 0 {
			errs = append(errs, field.Invalid(at.Child("hourlyPrice"), np.HourlyPrice.String(), "must be above 0"))
		}
		o.HourlyPrice = np.HourlyPrice.DeepCopy()
	}
	return o, errs
}

// label adds what every node of the cloud carries. Nodes in several zones
// promise none.
func (v vendor) label(l map[string]string, zones []string) {
	l[corev1.LabelOSStable] = "linux"
	if v.regionLabel != "" {
		l[corev1.LabelTopologyRegion] = v.regionLabel
	}
	if len(zones) == 1 {
		if z := v.zoneLabel(zones[0]); z != "" {
			l[corev1.LabelTopologyZone] = z
		}
	}
}

// Virtual nodes in ACK and in TKE.
var (
	ackVirtualLabels = map[string]string{"type": "virtual-kubelet"}
	ackVirtualTaint  = corev1.Taint{Key: "virtual-kubelet.io/provider", Value: "alibabacloud", Effect: corev1.TaintEffectNoSchedule}

	tkeVirtualLabels = map[string]string{corev1.LabelInstanceTypeStable: "eklet"}
	tkeVirtualTaint  = corev1.Taint{Key: "eks.tke.cloud.tencent.com/eklet", Effect: corev1.TaintEffectNoSchedule}
)

// largestPod on virtual nodes if the claim does not say. It is what the schema
// has as well.
var largestPod = corev1.ResourceList{
	corev1.ResourceCPU:    resource.MustParse("16"),
	corev1.ResourceMemory: resource.MustParse("64Gi"),
}

// virtual is the offering of a cluster's virtual nodes.
func (v vendor) virtual(e platformv1alpha1.ElasticCluster, at *field.Path) (fleetv1alpha1.Offering, field.ErrorList) {
	n := e.VirtualNodes
	errs := v.subnets(n.Subnets, at.Child("subnets"))
	size := maps.Clone(largestPod)
	maps.Copy(size, n.LargestPod)
	if size.Cpu().Sign() <= 0 || size.Memory().Sign() <= 0 {
		errs = append(errs, field.Invalid(at.Child("largestPod"), fmt.Sprintf("cpu %s, memory %s", size.Cpu(), size.Memory()), "needs cpu and memory above 0"))
	}

	price := catalogue.ECIPrice()
	labels, taint := maps.Clone(ackVirtualLabels), ackVirtualTaint
	known := ackVirtualLabels
	if v.cloud == fleetv1alpha1.CloudTKE {
		price = catalogue.SuperNodePrice()
		known = map[string]string{fleetv1alpha1.LabelOffering: virtualName(e)}
		labels, taint = maps.Clone(tkeVirtualLabels), tkeVirtualTaint
		maps.Copy(labels, known)
	}
	v.label(labels, nil)
	labels[corev1.LabelArchStable] = "amd64"
	for _, p := range []struct {
		at   *field.Path
		from *resource.Quantity
		to   *resource.Quantity
	}{{at.Child("cpuHour"), n.CPUHour, &price.CPU}, {at.Child("memoryGiBHour"), n.MemoryGiBHour, &price.MemoryGiB}} {
		if p.from == nil {
			continue
		}
		if p.from.Sign() <= 0 {
			errs = append(errs, field.Invalid(p.at, p.from.String(), "must be above 0"))
		}
		*p.to = p.from.DeepCopy()
	}

	o := fleetv1alpha1.Offering{
		Name:         virtualName(e),
		Member:       e.Name,
		CapacityType: elasticv1alpha1.CapacityOnDemand,
		StartSeconds: startVirtual,
		Virtual: &fleetv1alpha1.VirtualCapacity{
			NodeLabels:    maps.Clone(known),
			Tolerations:   []corev1.Toleration{tolerate(taint)},
			CPUHour:       price.CPU,
			MemoryGiBHour: price.MemoryGiB,
			Moves:         cmp.Or(n.Moves, fleetv1alpha1.MoveWhenCheaper),
		},
		Source:      v.source(e, n.Subnets),
		Region:      v.region,
		Allocatable: size,
		Labels:      labels,
		Taints:      []corev1.Taint{taint},
		HourlyPrice: price.Pod(size),
		Max:         n.MaxPods,
	}
	if q := size[catalogue.ResourceGPU]; q.Sign() > 0 {
		o.Virtual.GPUHour = ptr.To(price.GPU)
	}
	return o, errs
}

func tolerate(t corev1.Taint) corev1.Toleration {
	out := corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpExists, Effect: t.Effect}
	if t.Value != "" {
		out.Operator, out.Value = corev1.TolerationOpEqual, t.Value
	}
	return out
}

// unique returns each once, in order.
func unique(s []string) []string {
	var out []string
	for _, x := range s {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// smaller returns the resources that both have, in the smaller amount. A nil
// list is no bound.
func smaller(a, b corev1.ResourceList) corev1.ResourceList {
	if a == nil {
		return b
	}
	out := corev1.ResourceList{}
	for name, q := range a {
		other, ok := b[name]
		if !ok {
			continue
		}
		if other.Cmp(q) < 0 {
			q = other
		}
		out[name] = q
	}
	return out
}
