package apis

import (
	"k8s.io/apimachinery/pkg/runtime"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

// AddToScheme adds the kinds of the host plane to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	b := runtime.NewSchemeBuilder(v1alpha1.AddToScheme, ackv1alpha1.AddToScheme, tkev1alpha1.AddToScheme, federationv1alpha1.AddToScheme)
	return b.AddToScheme(s)
}
