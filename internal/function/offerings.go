package function

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/internal/catalogue"
)

// defaultContainerCIDR is the pod range when the claim names no network.
const defaultContainerCIDR = "10.0.0.0/16"

// defaultNodeCIDRMask is the NodePool's default size of a node's pod range.
const defaultNodeCIDRMask = 25

// offerings returns what can be ordered, in the order of the claim, and an
// error for each node pool whose size cannot be known.
func offerings(c *platformv1alpha1.RegionPool) ([]fleetv1alpha1.Offering, field.ErrorList) {
	var out []fleetv1alpha1.Offering
	var errs field.ErrorList
	for i, e := range c.Spec.Elastic {
		for j, np := range e.NodePools {
			o, err := offering(e, np, field.NewPath("spec", "elastic").Index(i).Child("nodePools").Index(j))
			errs = append(errs, err...)
			out = append(out, o)
		}
	}
	return out, errs
}

func offering(e platformv1alpha1.ElasticCluster, np platformv1alpha1.ElasticNodePool, at *field.Path) (fleetv1alpha1.Offering, field.ErrorList) {
	network := catalogue.Network{NodeCIDRMask: defaultNodeCIDRMask}
	if len(e.ACK.PodVSwitchIDs) > 0 {
		network = catalogue.Network{}
	}
	o := fleetv1alpha1.Offering{
		Name:   offeringName(e.Name, np.Name),
		Member: e.Name,
		Region: e.ACK.Region,
		Labels: nodeLabels(e, np),
		Taints: np.Taints,
		Min:    np.Min,
		Max:    np.Max,
	}
	// A template node has these beside the labels that are asked for, so that
	// node selectors on them match before the first node exists.
	o.Labels[corev1.LabelTopologyRegion] = e.ACK.Region
	o.Labels[corev1.LabelOSStable] = "linux"

	var errs field.ErrorList
	archs := sets.New[string]()
	var smallest catalogue.Instance
	for k, t := range np.InstanceTypes {
		capacity := corev1.ResourceList{}
		i, err := catalogue.ECS(t)
		if err == nil {
			capacity = i.Capacity()
			if smallest.Type == "" || i.CPU < smallest.CPU || i.CPU == smallest.CPU && i.MemoryGiB < smallest.MemoryGiB {
				smallest = i
			}
			archs.Insert(i.Arch)
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
		o.Allocatable = smaller(o.Allocatable, catalogue.ACKAllocatable(capacity, network))
		price := catalogue.EstimatedPrice(capacity)
		if err == nil {
			price = i.EstimatedPrice()
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

// nodeLabels are put on the nodes of a pool.
func nodeLabels(e platformv1alpha1.ElasticCluster, np platformv1alpha1.ElasticNodePool) map[string]string {
	l := make(map[string]string, len(np.Labels)+1)
	maps.Copy(l, np.Labels)
	l[fleetv1alpha1.LabelOffering] = offeringName(e.Name, np.Name)
	return l
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
