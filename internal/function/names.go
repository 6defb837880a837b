package function

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/crossplane/function-sdk-go/resource"

	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

// LabelClaim is carried by every composed resource: the name of the claim it
// belongs to.
const LabelClaim = "regionpool.io/claim"

// Names of composed resources within the composition, for the resources that
// each claim has once.
const (
	namePolicy resource.Name = "placement-policy"
	namePlan   resource.Name = "capacity-plan"
)

func nameMember(member string) resource.Name { return resource.Name("member-" + member) }

func nameCluster(elastic string) resource.Name { return resource.Name("cluster-" + elastic) }

func nameNodePool(offering string) resource.Name { return resource.Name("nodepool-" + offering) }

// offeringName is unique in the plan and is the value of a node label.
func offeringName(elastic, nodePool string) string { return elastic + "-" + nodePool }

// poolName is the name of the pool in the workload plane, where claims of all
// namespaces meet.
func poolName(c *platformv1alpha1.RegionPool) string { return c.GetNamespace() + "-" + c.GetName() }

// objectName is the metadata.name of a composed resource.
func objectName(c *platformv1alpha1.RegionPool, of string) string { return c.GetName() + "-" + of }

// checkNames finds names that clash or that do not fit where they are used. The
// schema refuses most of it; what it cannot see, such as the namespace, is left
// to this check.
func checkNames(c *platformv1alpha1.RegionPool) field.ErrorList {
	var errs field.ErrorList

	// The pool's name is the value of a label on Karmada Clusters.
	if n := poolName(c); len(n) > validation.LabelValueMaxLength {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.GetName(),
			fmt.Sprintf("together with the namespace it is longer than %d characters: shorten it", validation.LabelValueMaxLength-1)))
	}

	members := map[string]*field.Path{}
	claimName := func(at *field.Path, n string) {
		if other, ok := members[n]; ok {
			errs = append(errs, field.Invalid(at, n, fmt.Sprintf("is also the name of %s: rename one", other)))
			return
		}
		members[n] = at
	}
	for i, s := range c.Spec.SelfBuilt {
		claimName(field.NewPath("spec", "selfBuilt").Index(i).Child("name"), s.Name)
	}
	offerings := map[string]*field.Path{}
	for i, e := range c.Spec.Elastic {
		at := field.NewPath("spec", "elastic").Index(i)
		claimName(at.Child("name"), e.Name)
		for j, np := range e.NodePools {
			at := at.Child("nodePools").Index(j).Child("name")
			o := offeringName(e.Name, np.Name)
			if len(o) > validation.LabelValueMaxLength {
				errs = append(errs, field.Invalid(at, np.Name,
					fmt.Sprintf("together with the cluster's name it is longer than %d characters: shorten one", validation.LabelValueMaxLength-1)))
			}
			// a with b-c and a-b with c are both a-b-c.
			if other, ok := offerings[o]; ok {
				errs = append(errs, field.Invalid(at, np.Name, fmt.Sprintf("makes the offering %q, as does %s: rename one", o, other)))
				continue
			}
			offerings[o] = at
		}
	}
	return errs
}
