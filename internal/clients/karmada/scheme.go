package karmada

import (
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha1 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// Annotations by which the provider knows what it made in a Karmada API, and
// for whom.
const (
	// AnnotationMemberUID is carried by a Karmada Cluster: the UID of the
	// Member that joined it.
	AnnotationMemberUID = "regionpool.io/member-uid"

	// AnnotationUID is carried by policies and CapacityPlans: the UID of the
	// managed resource that wrote them.
	AnnotationUID = "regionpool.io/uid"

	// AnnotationManagedBy is the namespace/name of the managed resource. It
	// leads changes in Karmada back to it, and a person to the other owner.
	AnnotationManagedBy = "regionpool.io/managed-by"
)

// FieldOwner of the provider's server-side applies.
const FieldOwner = "regionpool-provider"

// AddToScheme adds the kinds of a Karmada API that the provider uses.
func AddToScheme(s *runtime.Scheme) error {
	b := runtime.NewSchemeBuilder(
		corev1.AddToScheme,
		clusterv1alpha1.Install,
		policyv1alpha1.Install,
		workv1alpha1.Install,
		workv1alpha2.Install,
		fleetv1alpha1.AddToScheme,
	)
	return b.AddToScheme(s)
}

// NewScheme returns a scheme with the kinds of a Karmada API.
func NewScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, AddToScheme(s)
}
