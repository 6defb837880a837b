package market

import (
	"context"
	"slices"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// A Quote is what a cloud says of one type in one zone, on demand or spot.
type Quote struct {
	InstanceType string
	Zone         string
	Spot         bool
	// Hourly price of a machine. It is what the cloud said, be it absurd.
	Hourly float64
	// Available says that machines are to be had.
	Available bool
}

// PodPrices of a vCPU and a GiB of memory of pods on virtual nodes, for an hour.
// They are what the cloud said, be it absurd.
type PodPrices struct{ CPU, MemoryGiB float64 }

// A Subnet of a network.
type Subnet struct {
	ID   string
	VPC  string
	Zone string
	// Free addresses.
	Free int64
}

// Wanted says what to ask a cloud for.
type Wanted struct {
	// OnDemand and Spot are types of machines, by how they are rented.
	OnDemand, Spot []string
	// Zones that prices are wanted of. Empty means any.
	Zones []string
	// Pods on virtual nodes are wanted as well.
	Pods bool
	// VPCs and Subnets that are used.
	VPCs, Subnets []string
}

// Types of machines, however they are rented.
func (w Wanted) Types() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(w.OnDemand, w.Spot))))
}

// A Source is a cloud in one region, with the rights of one account.
type Source interface {
	// Prices of what is wanted; Quote.Available means nothing. What the cloud
	// does not sell has no quote.
	Prices(ctx context.Context, w Wanted) ([]Quote, error)
	// PodPrices on virtual nodes, or nil if the cloud has no call that tells them.
	PodPrices(ctx context.Context) (*PodPrices, error)
	// Stock of the region, of all types wanted and perhaps of others, in all
	// zones; Quote.Hourly means nothing. What the cloud does not sell has no
	// quote.
	Stock(ctx context.Context, w Wanted) ([]Quote, error)
	// Subnets that exist among those wanted, and perhaps others.
	Subnets(ctx context.Context, w Wanted) ([]Subnet, error)
}

// An Account is one region of an account at a cloud.
type Account struct {
	Cloud fleetv1alpha1.Cloud
	// Namespace of a ProviderConfig; of a ClusterProviderConfig it is empty.
	Namespace string
	Config    xpv2.ProviderConfigReference
	Region    string
}

// A SourceFn finds the source of an account. It is asked before each round of
// calls, so that credentials may change.
type SourceFn func(ctx context.Context, a Account) (Source, error)
