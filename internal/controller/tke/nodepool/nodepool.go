// Package nodepool is the driver of the node pools of TKE clusters.
package nodepool

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/elastic/nodepool"
	tkecontroller "regionpool.io/provider-regionpool/internal/controller/tke"
)

// Kind of TKE node pools.
func Kind(newClient tkecontroller.ClientFn) *nodepool.Kind {
	seen := &compared{of: map[types.UID]int64{}}
	return &nodepool.Kind{
		GVK:        v1alpha1.NodePoolGroupVersionKind,
		Object:     &v1alpha1.NodePool{},
		List:       func() resource.ManagedList { return &v1alpha1.NodePoolList{} },
		Cluster:    v1alpha1.ClusterGroupVersionKind,
		NewCluster: func() elastic.Cluster { return &v1alpha1.Cluster{} },
		Phase:      tkecontroller.Phase,
		Open: func(spec *elasticv1alpha1.ProviderConfigSpec, raw []byte, region string, cr elastic.NodePool, cl elastic.Cluster) (nodepool.Driver, error) {
			d := &driver{region: region, compared: seen}
			var ok bool
			if d.cr, ok = cr.(*v1alpha1.NodePool); !ok {
				return nil, errors.Errorf("%T is no TKE NodePool", cr)
			}
			// Without one it stays nil.
			d.cluster, _ = cl.(*v1alpha1.Cluster)
			var err error
			d.Client, err = newClient(spec, raw, region)
			return d, err
		},
	}
}

// compared remembers for which generations of the resources the scaling group
// was found to be right: to ask for it takes two calls.
type compared struct {
	mu sync.Mutex
	of map[types.UID]int64
}

func (c *compared) is(cr *v1alpha1.NodePool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, ok := c.of[cr.GetUID()]
	return ok && g == cr.GetGeneration()
}

func (c *compared) set(cr *v1alpha1.NodePool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[cr.GetUID()] = cr.GetGeneration()
}

func (c *compared) forget(cr *v1alpha1.NodePool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, cr.GetUID())
}

var _ nodepool.Driver = &driver{}

// driver of one NodePool, in one reconcile.
type driver struct {
	tkecontroller.Client
	region string
	cr     *v1alpha1.NodePool
	// cluster is nil if it is gone.
	cluster  *v1alpha1.Cluster
	compared *compared

	// observed by Get, with the id of the cluster, and whether the instance types
	// differ.
	observed  *tke.NodePool
	clusterID string
	types     bool
}

func (d *driver) Find(ctx context.Context, clusterID string) ([]elastic.Thing, error) {
	list, err := d.ListNodePools(ctx, clusterID, elastic.Name(d.cr), elastic.Tags(d.cr, nil))
	if tkecontroller.Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make([]elastic.Thing, 0, len(list))
	for _, np := range list {
		if np.State != tke.NodePoolDeleted {
			all = append(all, elastic.Thing{ID: np.ID, Tags: np.Tags})
		}
	}
	return all, nil
}

func (d *driver) Get(ctx context.Context, clusterID, id string) (*nodepool.State, nodepool.Presence, error) {
	np, err := d.GetNodePool(ctx, clusterID, id)
	switch {
	case tkecontroller.Absent(err):
		d.compared.forget(d.cr)
		return nil, nodepool.ClusterAbsent, nil
	case cloud.IsCode(err, tke.CodeNodePoolAbsent), err == nil && np.State == tke.NodePoolDeleted:
		d.compared.forget(d.cr)
		return nil, nodepool.Absent, nil
	case err != nil:
		return nil, nodepool.Present, err
	}
	d.observed, d.clusterID = np, clusterID
	s := &nodepool.State{
		ID: np.ID, Word: np.State, Phase: phase(np.State), Tags: np.Tags, Desired: np.Desired, Total: np.Total,
		AutoScaling: np.AutoScaling, Protected: np.DeletionProtection,
	}
	if s.Phase == nodepool.PhaseActive && !d.compared.is(d.cr) {
		g, err := d.GetScalingGroup(ctx, np.ScalingGroupID)
		if err != nil {
			return nil, nodepool.Present, err
		}
		if d.types = !slices.Equal(g.InstanceTypes, d.cr.Spec.ForProvider.InstanceTypes); !d.types {
			d.compared.set(d.cr)
		}
	}
	s.Differs = d.types || d.bounds() || d.change() != nil
	return s, nodepool.Present, nil
}

func phase(state string) nodepool.Phase {
	switch state {
	case tke.NodePoolCreating:
		return nodepool.PhaseBuilding
	case tke.NodePoolNormal:
		return nodepool.PhaseActive
	case tke.NodePoolUpdating:
		return nodepool.PhaseScaling
	case tke.NodePoolDeleting:
		return nodepool.PhaseDeleting
	default:
		return nodepool.PhaseBusy
	}
}

func (d *driver) ClusterGone(ctx context.Context, clusterID string) (bool, error) {
	_, err := d.GetCluster(ctx, clusterID)
	if tkecontroller.Absent(err) {
		return true, nil
	}
	return false, err
}

// Create the pool. The lower bound at the cloud is always zero: the one of the
// spec holds for what is wanted, and must not bring nodes back while the pool is
// emptied.
func (d *driver) Create(ctx context.Context, clusterID string, size int32) (string, string, error) {
	p := d.cr.Spec.ForProvider
	in := tke.NodePoolInput{
		Name: elastic.Name(d.cr), SubnetIDs: p.SubnetIDs, SecurityGroupIDs: p.SecurityGroupIDs, InstanceTypes: p.InstanceTypes,
		Spot: p.CapacityType == elasticv1alpha1.CapacitySpot, Desired: size, Max: max(p.Max, size),
		Labels: p.Labels, Taints: p.Taints, Tags: elastic.Tags(d.cr, p.Tags),
	}
	if d.cluster != nil {
		in.VPCID = d.cluster.Spec.ForProvider.VPCID
		if len(in.SubnetIDs) == 0 {
			in.SubnetIDs = []string{d.cluster.Spec.ForProvider.SubnetID}
		}
	}
	if disk := p.SystemDisk; disk != nil {
		in.DiskType, in.DiskSizeGiB = disk.Type, disk.SizeGiB
	}
	id, err := d.CreateNodePool(ctx, clusterID, in)
	return id, "", err
}

// bounds reports whether the bounds of the scaling group differ from what they
// should be: as wide as needed.
func (d *driver) bounds() bool {
	return d.observed.Min != 0 || d.observed.Max != d.most()
}

func (d *driver) most() int32 { return max(d.cr.Spec.ForProvider.Max, d.observed.Desired) }

// change of the rest of the configuration. Nil if there is none.
func (d *driver) change() *tke.NodePoolChange {
	p, np := d.cr.Spec.ForProvider, d.observed
	c, changed := &tke.NodePoolChange{}, false
	if !elastic.Contains(np.Labels, p.Labels) {
		c.Labels, changed = p.Labels, true
	}
	if tags := elastic.Tags(d.cr, p.Tags); !elastic.Contains(np.Tags, tags) {
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

// Configure one thing. The bounds travel alone.
func (d *driver) Configure(ctx context.Context, clusterID string, s *nodepool.State) (string, error) {
	switch {
	case d.bounds():
		return "", d.SetBounds(ctx, clusterID, s.ID, 0, d.most())
	case d.types:
		err := d.SetInstanceTypes(ctx, clusterID, s.ID, d.cr.Spec.ForProvider.InstanceTypes)
		if err == nil {
			// The scaling group may keep them in an order of its own.
			d.compared.set(d.cr)
		}
		return "", err
	default:
		return "", d.ConfigureNodePool(ctx, clusterID, s.ID, *d.change())
	}
}

// SetDesired number of nodes. If it falls, machines that the scaling group has
// started, and that the pool does not show yet, are not cut off.
func (d *driver) SetDesired(ctx context.Context, clusterID, id string, n int32) (string, error) {
	if d.observed != nil && n < d.observed.Desired {
		g, err := d.GetScalingGroup(ctx, d.observed.ScalingGroupID)
		if err != nil {
			return "", err
		}
		n = max(n, g.Instances)
	}
	return "", d.Client.SetDesired(ctx, clusterID, id, n)
}

func (d *driver) Machines(ctx context.Context, clusterID, id string) ([]nodepool.Machine, error) {
	list, err := d.ListInstances(ctx, clusterID, id)
	if err != nil {
		return nil, err
	}
	all := make([]nodepool.Machine, 0, len(list))
	for _, i := range list {
		all = append(all, nodepool.Machine{ID: i.ID, Name: i.Address, Created: i.Created})
	}
	return all, nil
}

// separator of ids in what stands for a task.
const separator = ","

// Remove machines. TKE has no task for it: the ids of those that go stand for
// one, so that no other is chosen, and none is used again, until they are gone.
func (d *driver) Remove(ctx context.Context, clusterID, _ string, machines []string) (string, error) {
	t, err := d.TerminateInstances(ctx, clusterID, machines)
	if t == nil || len(t.Accepted) == 0 {
		if err == nil && len(t.Failed) > 0 {
			err = &cloud.Error{Class: cloud.WrongState, Operation: "DeleteClusterInstances", Message: "the cloud does not remove " + strings.Join(t.Failed, ", ") + " yet"}
		}
		return "", err
	}
	// What was not accepted is tried again.
	return strings.Join(t.Accepted, separator), nil
}

// Task of a removal.
func (d *driver) Task(ctx context.Context, kind, id string) (*elastic.Task, error) {
	if kind != nodepool.OpRemoveNodes || d.observed == nil {
		return &elastic.Task{Done: true}, nil
	}
	list, err := d.ListInstances(ctx, d.clusterID, d.observed.ID)
	if err != nil {
		return nil, err
	}
	gone := strings.Split(id, separator)
	left := slices.DeleteFunc(list, func(i tke.Instance) bool { return !slices.Contains(gone, i.ID) })
	if len(left) > 0 {
		return &elastic.Task{Stage: fmt.Sprintf("%d of %d are there", len(left), len(gone))}, nil
	}
	return &elastic.Task{Done: true}, nil
}

func (d *driver) Unprotect(ctx context.Context, clusterID, id string) error {
	off := false
	return d.ConfigureNodePool(ctx, clusterID, id, tke.NodePoolChange{DeletionProtection: &off})
}

func (d *driver) Delete(ctx context.Context, clusterID, id string) (string, error) {
	return "", d.DeleteNodePool(ctx, clusterID, id)
}

func (d *driver) Kubeconfig(ctx context.Context, clusterID string) (kube.Kubeconfig, error) {
	return tkecontroller.FetchKubeconfig(ctx, d.Client, clusterID, d.cluster != nil && d.cluster.Spec.ForProvider.EndpointPublicAccess)
}

func (d *driver) NodeSelector(id string) string { return tke.LabelNodePool + "=" + id }

// skew of our clock and the cloud's.
const skew = 2 * time.Second

// Shortages are in the activities of the scaling group, and nowhere else: the
// call that ordered the machines succeeds. A success is newer news.
func (d *driver) Shortages(ctx context.Context, _ *nodepool.State, since time.Time) ([]elasticv1alpha1.Shortage, error) {
	list, err := d.ListActivities(ctx, d.observed.ScalingGroupID, since.Add(-skew))
	if err != nil {
		return nil, err
	}
	var all []elasticv1alpha1.Shortage
	for _, a := range list {
		if a.Type != tke.ActivityScaleOut {
			continue
		}
		if a.State == tke.ActivitySucceeded {
			break
		}
		for _, s := range a.Shortages {
			known := slices.ContainsFunc(all, func(o elasticv1alpha1.Shortage) bool {
				return o.InstanceType == s.InstanceType && o.Zone == s.Zone && o.Reason == s.Reason
			})
			if !known {
				all = append(all, elasticv1alpha1.Shortage{InstanceType: s.InstanceType, Zone: s.Zone, Reason: s.Reason, Message: s.Message})
			}
		}
	}
	return all, nil
}

func (d *driver) Shortage(err error) elasticv1alpha1.Shortage {
	t, z := tke.Named(err.Error())
	return elasticv1alpha1.Shortage{InstanceType: t, Zone: z}
}

// conditionReclaim of a node whose spot instance will be terminated. Tencent
// tells it in the metadata of the instance only; a termination handler on the
// node says so in Kubernetes.
const conditionReclaim corev1.NodeConditionType = "SpotTermination"

func (d *driver) Noticed(n *corev1.Node) *elasticv1alpha1.Shortage {
	msg := kube.Condition(n, conditionReclaim)
	if msg == "" {
		return nil
	}
	return &elasticv1alpha1.Shortage{
		InstanceType: n.Labels[corev1.LabelInstanceTypeStable], Zone: d.zone(n.Labels[corev1.LabelTopologyZone]),
		Message: "the cloud takes spot instances back: " + msg,
	}
}

// zone of a node by name. Its label has a number: 200002 is ap-shanghai-2.
func (d *driver) zone(label string) string {
	n, err := strconv.Atoi(label)
	if err != nil || n <= 10000 {
		return label
	}
	return fmt.Sprintf("%s-%d", d.region, n%10000)
}

func (d *driver) Places() string {
	if ids := d.cr.Spec.ForProvider.SubnetIDs; len(ids) > 0 {
		return "subnets " + strings.Join(ids, ", ")
	}
	return "subnet of the cluster"
}
