package ack

import (
	"context"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

// An Inventory of the clusters of a region. All errors are *cloud.Error.
type Inventory interface {
	// ListTagged are the clusters that carry a tag with the key, whatever its
	// value. The list lags behind writes by up to 10 s.
	ListTagged(ctx context.Context, key string) ([]Cluster, error)
	// DeleteCluster with the load balancers and logs that belong to it.
	DeleteCluster(ctx context.Context, id string) (taskID string, err error)
}

var _ Inventory = &client{}

// Inventory of a region with the credentials of a ProviderConfig, as Client.
func (f *Factory) Inventory(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (Inventory, error) {
	return f.client(spec, raw, region)
}

// ListTagged has to look at all clusters: the API cannot filter by tag.
func (c *client) ListTagged(ctx context.Context, key string) ([]Cluster, error) {
	return c.listClusters(ctx, "", func(cl *wireCluster) bool {
		_, ok := cl.cluster().Tags[key]
		return ok
	})
}
