// Package karmada connects the provider to the API of a Karmada control plane.
//
// One connection for each ProviderConfig is shared by all controllers. It
// caches what is small and asked for often (Clusters and CapacityPlans) and
// reads everything else live, so that the provider stays light however many
// workloads the federation has.
package karmada
