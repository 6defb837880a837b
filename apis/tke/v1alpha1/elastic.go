package v1alpha1

import elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"

// GetObservation of the cluster, to read and to change.
func (c *Cluster) GetObservation() *elasticv1alpha1.ClusterObservation { return &c.Status.AtProvider }

// GetRegion of the cluster.
func (c *Cluster) GetRegion() string { return c.Spec.ForProvider.Region }

// GetDeletionProtection that is wanted.
func (c *Cluster) GetDeletionProtection() bool { return c.Spec.ForProvider.DeletionProtection }

// GetTags that are wanted, without the owner tag.
func (c *Cluster) GetTags() map[string]string { return c.Spec.ForProvider.Tags }

// GetObservation of the node pool, to read and to change.
func (n *NodePool) GetObservation() *elasticv1alpha1.NodePoolObservation { return &n.Status.AtProvider }

// GetClusterName of the Cluster that the pool belongs to, in its namespace.
func (n *NodePool) GetClusterName() string { return n.Spec.ForProvider.ClusterRef.Name }

// GetInstanceTypes in the order in which they are tried.
func (n *NodePool) GetInstanceTypes() []string { return n.Spec.ForProvider.InstanceTypes }

// GetCapacityType of the machines.
func (n *NodePool) GetCapacityType() elasticv1alpha1.CapacityType {
	return n.Spec.ForProvider.CapacityType
}

// GetSizing of the node pool.
func (n *NodePool) GetSizing() elasticv1alpha1.Sizing {
	p := n.Spec.ForProvider
	return elasticv1alpha1.Sizing{Size: p.Size, SizeFrom: p.SizeFrom, Min: p.Min, Max: p.Max, DrainTimeout: p.DrainTimeout}
}
