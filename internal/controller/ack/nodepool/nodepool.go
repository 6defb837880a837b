// Package nodepool is the driver of the node pools of ACK clusters.
package nodepool

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/elastic/nodepool"
)

// Kind of ACK node pools.
func Kind(newClient ackcontroller.ClientFn) *nodepool.Kind {
	return &nodepool.Kind{
		GVK:        v1alpha1.NodePoolGroupVersionKind,
		Object:     &v1alpha1.NodePool{},
		List:       func() resource.ManagedList { return &v1alpha1.NodePoolList{} },
		Cluster:    v1alpha1.ClusterGroupVersionKind,
		NewCluster: func() elastic.Cluster { return &v1alpha1.Cluster{} },
		Phase:      ackcontroller.Phase,
		Open: func(spec *elasticv1alpha1.ProviderConfigSpec, raw []byte, region string, cr elastic.NodePool, cl elastic.Cluster) (nodepool.Driver, error) {
			d := &driver{}
			var ok bool
			if d.cr, ok = cr.(*v1alpha1.NodePool); !ok {
				return nil, errors.Errorf("%T is no ACK NodePool", cr)
			}
			// Without one it stays nil.
			d.cluster, _ = cl.(*v1alpha1.Cluster)
			api, err := newClient(spec, raw, region)
			d.API.API = api
			return d, err
		},
	}
}

var _ nodepool.Driver = &driver{}

// driver of one NodePool, in one reconcile.
type driver struct {
	ackcontroller.API
	cr *v1alpha1.NodePool
	// cluster is nil if it is gone.
	cluster *v1alpha1.Cluster
	// change is what Get has found to differ.
	change *ack.NodePoolChange
}

func (d *driver) Find(ctx context.Context, clusterID string) ([]elastic.Thing, error) {
	list, err := d.ListNodePools(ctx, clusterID, elastic.Name(d.cr))
	if ackcontroller.Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make([]elastic.Thing, 0, len(list))
	for _, np := range list {
		all = append(all, elastic.Thing{ID: np.ID, Tags: np.Tags})
	}
	return all, nil
}

func (d *driver) Get(ctx context.Context, clusterID, id string) (*nodepool.State, nodepool.Presence, error) {
	np, err := d.GetNodePool(ctx, clusterID, id)
	switch {
	case ackcontroller.Absent(err):
		return nil, nodepool.ClusterAbsent, nil
	case cloud.IsCode(err, ack.CodeNodePoolNotFound):
		return nil, nodepool.Absent, nil
	case err != nil:
		return nil, nodepool.Present, err
	}
	d.change = difference(d.cr, np)
	return &nodepool.State{
		ID: np.ID, Word: np.State, Phase: phase(np.State), Tags: np.Tags, Desired: np.DesiredSize, Total: np.Total, Removing: np.Removing,
		AutoScaling: np.AutoScaling, Differs: d.change != nil,
	}, nodepool.Present, nil
}

func phase(state string) nodepool.Phase {
	switch state {
	case ack.NodePoolInitial, ack.NodePoolCreating:
		return nodepool.PhaseBuilding
	case ack.NodePoolActive:
		return nodepool.PhaseActive
	case ack.NodePoolScaling:
		return nodepool.PhaseScaling
	case ack.NodePoolDeleting:
		return nodepool.PhaseDeleting
	case ack.NodePoolDeleteFailed:
		return nodepool.PhaseDeleteFailed
	default:
		return nodepool.PhaseBusy
	}
}

func (d *driver) ClusterGone(ctx context.Context, clusterID string) (bool, error) {
	_, err := d.GetCluster(ctx, clusterID)
	if ackcontroller.Absent(err) {
		return true, nil
	}
	return false, err
}

func (d *driver) Create(ctx context.Context, clusterID string, size int32) (string, string, error) {
	p := d.cr.Spec.ForProvider
	in := ack.NodePoolInput{
		Name: elastic.Name(d.cr), InstanceTypes: p.InstanceTypes, Spot: p.CapacityType == elasticv1alpha1.CapacitySpot, VSwitchIDs: p.VSwitchIDs,
		DesiredSize: size, MultiAZPolicy: p.MultiAZPolicy, Labels: p.Labels, Taints: p.Taints, Tags: elastic.Tags(d.cr, p.Tags),
	}
	if len(in.VSwitchIDs) == 0 && d.cluster != nil {
		in.VSwitchIDs = d.cluster.Spec.ForProvider.VSwitchIDs
	}
	if disk := p.SystemDisk; disk != nil {
		in.DiskCategory, in.DiskSizeGiB = disk.Category, disk.SizeGiB
	}
	out, err := d.CreateNodePool(ctx, clusterID, in)
	return out.ID, out.TaskID, err
}

func (d *driver) Configure(ctx context.Context, clusterID string, s *nodepool.State) (string, error) {
	return d.ConfigureNodePool(ctx, clusterID, s.ID, *d.change)
}

func (d *driver) SetDesired(ctx context.Context, clusterID, id string, n int32) (string, error) {
	return d.SetDesiredSize(ctx, clusterID, id, n)
}

func (d *driver) Machines(ctx context.Context, clusterID, id string) ([]nodepool.Machine, error) {
	list, err := d.ListNodes(ctx, clusterID, id)
	if err != nil {
		return nil, err
	}
	all := make([]nodepool.Machine, 0, len(list))
	for _, n := range list {
		all = append(all, nodepool.Machine{ID: n.InstanceID, Name: n.Name, Created: n.Created, Removing: n.State == "removing" || n.State == "stopping"})
	}
	return all, nil
}

func (d *driver) Remove(ctx context.Context, clusterID, id string, machines []string) (string, error) {
	return d.RemoveNodes(ctx, clusterID, id, machines)
}

// Unprotect has nothing to do: ACK protects no node pools.
func (d *driver) Unprotect(context.Context, string, string) error { return nil }

func (d *driver) Delete(ctx context.Context, clusterID, id string) (string, error) {
	return d.DeleteNodePool(ctx, clusterID, id)
}

func (d *driver) Kubeconfig(ctx context.Context, clusterID string) (kube.Kubeconfig, error) {
	return d.FetchKubeconfig(ctx, clusterID, d.cluster != nil && d.cluster.Spec.ForProvider.EndpointPublicAccess)
}

func (d *driver) NodeSelector(id string) string { return ack.LabelNodePool + "=" + id }

// Shortages are what failed tasks tell of.
func (d *driver) Shortages(context.Context, *nodepool.State, time.Time) ([]elasticv1alpha1.Shortage, error) {
	return nil, nil
}

func (d *driver) Shortage(err error) elasticv1alpha1.Shortage { return ackcontroller.Shortage(err) }

// Noticed nodes have the condition that ACK's node problem detector sets when
// ECS announces that a spot instance will be released.
func (d *driver) Noticed(n *corev1.Node) *elasticv1alpha1.Shortage {
	msg := kube.Condition(n, conditionReclaim)
	if msg == "" {
		return nil
	}
	return &elasticv1alpha1.Shortage{
		InstanceType: n.Labels[corev1.LabelInstanceTypeStable], Zone: n.Labels[corev1.LabelTopologyZone],
		Message: "the cloud takes spot instances back: " + msg,
	}
}

// conditionReclaim of a node whose instance will be released.
const conditionReclaim corev1.NodeConditionType = "InstanceExpired"

func (d *driver) Places() string {
	if vs := d.cr.Spec.ForProvider.VSwitchIDs; len(vs) > 0 {
		return "vSwitches " + strings.Join(vs, ", ")
	}
	return "vSwitches of the cluster"
}

// difference between the wanted configuration and what is. Nil if there is none.
func difference(cr *v1alpha1.NodePool, np *ack.NodePool) *ack.NodePoolChange {
	p := cr.Spec.ForProvider
	c, changed := &ack.NodePoolChange{}, false
	if !slices.Equal(p.InstanceTypes, np.InstanceTypes) {
		c.InstanceTypes, changed = p.InstanceTypes, true
	}
	if len(p.VSwitchIDs) > 0 && !elastic.SameSet(p.VSwitchIDs, np.VSwitchIDs) {
		c.VSwitchIDs, changed = p.VSwitchIDs, true
	}
	if p.MultiAZPolicy != "" && np.MultiAZPolicy != "" && p.MultiAZPolicy != np.MultiAZPolicy {
		c.MultiAZPolicy, changed = &p.MultiAZPolicy, true
	}
	if d := p.SystemDisk; d != nil {
		if d.Category != "" && np.DiskCategory != "" && d.Category != np.DiskCategory {
			c.DiskCategory, changed = &d.Category, true
		}
		if d.SizeGiB != 0 && np.DiskSizeGiB != 0 && d.SizeGiB != np.DiskSizeGiB {
			c.DiskSizeGiB, changed = &d.SizeGiB, true
		}
	}
	// ACK may add labels and tags of its own.
	if !elastic.Contains(np.Labels, p.Labels) {
		c.Labels, changed = p.Labels, true
	}
	if tags := elastic.Tags(cr, p.Tags); !elastic.Contains(np.Tags, tags) {
		c.Tags, changed = tags, true
	}
	if !elastic.SameTaints(p.Taints, np.Taints) {
		c.Taints, changed = p.Taints, true
		if c.Taints == nil {
			c.Taints = []corev1.Taint{}
		}
	}
	if !changed {
		return nil
	}
	return c
}
