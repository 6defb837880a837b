// Package v1alpha1 holds the managed resources of Tencent Kubernetes Engine (TKE).
// +kubebuilder:object:generate=true
// +groupName=tke.regionpool.io
// +versionName=v1alpha1
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/scheme"
)

// Group and version of this API.
const (
	Group   = "tke.regionpool.io"
	Version = "v1alpha1"
)

var (
	// SchemeGroupVersion is the group and version used to register these types.
	SchemeGroupVersion = schema.GroupVersion{Group: Group, Version: Version}

	// SchemeBuilder registers the types of this package.
	SchemeBuilder = &scheme.Builder{GroupVersion: SchemeGroupVersion}

	// AddToScheme adds the types of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)
