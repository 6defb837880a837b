package function

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
)

// fixed keeps what no cloud can change of the parts of an elastic cluster as it
// is, and complains of it. The API server would refuse the whole part, also what
// can be changed of it. A claim may say something else all the same: that holds
// when the cluster is rented again.
func (in *input) fixed(parts []part, at *field.Path, e platformv1alpha1.ElasticCluster) (field.ErrorList, error) {
	var errs field.ErrorList
	for _, p := range parts {
		f := &fixer{in: in, at: at, cluster: e}
		var err error
		switch d := p.object.(type) {
		case *ackv1alpha1.Cluster:
			err = f.ackCluster(p, d)
		case *ackv1alpha1.NodePool:
			err = f.ackNodePool(p, d)
		case *tkev1alpha1.Cluster:
			err = f.tkeCluster(p, d)
		case *tkev1alpha1.NodePool:
			err = f.tkeNodePool(p, d)
		}
		if err != nil {
			return nil, err
		}
		errs = append(errs, f.errs...)
	}
	return errs, nil
}

// A fixer keeps the fields of one part.
type fixer struct {
	in      *input
	at      *field.Path
	cluster platformv1alpha1.ElasticCluster
	errs    field.ErrorList
}

func (f *fixer) complain(at *field.Path, kind, has string) {
	mend := "add an elastic cluster with another name"
	if kind == "node pool" {
		mend = "add another node pool"
	}
	f.errs = append(f.errs, field.Forbidden(at, fmt.Sprintf("cannot be changed while the %s exists, which has %s: set that, or %s", kind, orElse(has, "none"), mend)))
}

// word that a part has. What the API server has no word of is not kept.
func (f *fixer) word(at *field.Path, kind, was string, is *string) {
	if was != *is {
		f.complain(at, kind, was)
		*is = was
	}
}

// words in any order.
func (f *fixer) words(at *field.Path, kind string, was []string, is *[]string) {
	sorted := func(s []string) []string { return slices.Sorted(slices.Values(s)) }
	if !slices.Equal(sorted(was), sorted(*is)) {
		f.complain(at, kind, strings.Join(was, ", "))
	}
	*is = was
}

// optional word.
func (f *fixer) optional(at *field.Path, kind string, was *string, is **string) {
	if !ptr.Equal(was, *is) {
		f.complain(at, kind, ptr.Deref(was, ""))
		*is = was
	}
}

func (f *fixer) ackCluster(p part, d *ackv1alpha1.Cluster) error {
	o, err := observedAs[ackv1alpha1.Cluster](f.in, p.name)
	if o == nil || err != nil || o.Spec.ForProvider.Region == "" {
		return err
	}
	const kind = "cluster"
	at, was, is := f.at.Child("ack"), o.Spec.ForProvider, &d.Spec.ForProvider
	// It is looked for there, also if it is not known whether it exists.
	f.word(at.Child("region"), kind, was.Region, &is.Region)
	if o.Status.AtProvider.ID == "" {
		return nil
	}
	f.word(at.Child("vpcId"), kind, was.VPCID, &is.VPCID)
	// The claim means the vSwitches of nodes as well, which follow it. So to add
	// one is no mistake.
	is.VSwitchIDs = was.VSwitchIDs
	f.words(at.Child("podVSwitchIds"), kind, was.PodVSwitchIDs, &is.PodVSwitchIDs)
	f.optional(at.Child("containerCIDR"), kind, was.ContainerCIDR, &is.ContainerCIDR)
	f.word(at.Child("serviceCIDR"), kind, was.ServiceCIDR, &is.ServiceCIDR)
	f.word(at.Child("clusterSpec"), kind, was.ClusterSpec, &is.ClusterSpec)
	f.word(at.Child("kubernetesVersion"), kind, was.KubernetesVersion, &is.KubernetesVersion)
	if was.VirtualNodes != nil && is.VirtualNodes != nil {
		f.words(f.at.Child("virtualNodes", "subnets"), kind, was.VirtualNodes.VSwitchIDs, &is.VirtualNodes.VSwitchIDs)
	}
	// Nobody asked for it, but another version of this function may have another.
	is.NodeCIDRMask = was.NodeCIDRMask
	return nil
}

func (f *fixer) tkeCluster(p part, d *tkev1alpha1.Cluster) error {
	o, err := observedAs[tkev1alpha1.Cluster](f.in, p.name)
	if o == nil || err != nil || o.Spec.ForProvider.Region == "" {
		return err
	}
	const kind = "cluster"
	at, was, is := f.at.Child("tke"), o.Spec.ForProvider, &d.Spec.ForProvider
	f.word(at.Child("region"), kind, was.Region, &is.Region)
	if o.Status.AtProvider.ID == "" {
		return nil
	}
	f.word(at.Child("vpcId"), kind, was.VPCID, &is.VPCID)
	f.word(at.Child("subnetIds").Index(0), kind, was.SubnetID, &is.SubnetID)
	f.optional(at.Child("clusterCIDR"), kind, was.ClusterCIDR, &is.ClusterCIDR)
	f.words(at.Child("eniSubnetIds"), kind, was.ENISubnetIDs, &is.ENISubnetIDs)
	f.word(at.Child("serviceCIDR"), kind, was.ServiceCIDR, &is.ServiceCIDR)
	f.word(at.Child("kubernetesVersion"), kind, was.KubernetesVersion, &is.KubernetesVersion)
	is.MaxPodsPerNode = was.MaxPodsPerNode
	return nil
}

// pool of the claim that a node pool is composed for.
func (f *fixer) pool(of func(offering string) bool) *field.Path {
	j := slices.IndexFunc(f.cluster.NodePools, func(np platformv1alpha1.ElasticNodePool) bool { return of(offeringName(f.cluster.Name, np.Name)) })
	return f.at.Child("nodePools").Index(j)
}

func (f *fixer) ackNodePool(p part, d *ackv1alpha1.NodePool) error {
	o, err := observedAs[ackv1alpha1.NodePool](f.in, p.name)
	if o == nil || err != nil || o.Spec.ForProvider.CapacityType == "" {
		return err
	}
	at := f.pool(func(offering string) bool { return nameNodePool(offering) == p.name })
	was, is := string(o.Spec.ForProvider.CapacityType), string(d.Spec.ForProvider.CapacityType)
	f.word(at.Child("capacityType"), "node pool", was, &is)
	d.Spec.ForProvider.CapacityType = o.Spec.ForProvider.CapacityType
	return nil
}

func (f *fixer) tkeNodePool(p part, d *tkev1alpha1.NodePool) error {
	o, err := observedAs[tkev1alpha1.NodePool](f.in, p.name)
	if o == nil || err != nil || o.Spec.ForProvider.CapacityType == "" {
		return err
	}
	at := f.pool(func(offering string) bool { return nameTKENodePool(offering) == p.name })
	was, is := string(o.Spec.ForProvider.CapacityType), string(d.Spec.ForProvider.CapacityType)
	f.word(at.Child("capacityType"), "node pool", was, &is)
	d.Spec.ForProvider.CapacityType = o.Spec.ForProvider.CapacityType
	if o.Status.AtProvider.ID != "" {
		f.words(at.Child("subnets"), "node pool", o.Spec.ForProvider.SubnetIDs, &d.Spec.ForProvider.SubnetIDs)
	}
	return nil
}
