package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Sizing is what says how many nodes a node pool shall have, whatever its cloud.
// +kubebuilder:object:generate=false
type Sizing struct {
	// Size that is wanted, or SizeFrom where to follow one.
	Size     *int32
	SizeFrom *SizeFrom
	// Min and Max bound both.
	Min, Max int32
	// DrainTimeout after which another node is tried. Nil means the default.
	DrainTimeout *metav1.Duration
}
