// Package cluster is the driver of TKE managed clusters.
package cluster

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/elastic/cluster"
	tkecontroller "regionpool.io/provider-regionpool/internal/controller/tke"
)

// Kind of TKE clusters.
func Kind(newClient tkecontroller.ClientFn) *cluster.Kind {
	return &cluster.Kind{
		GVK:    v1alpha1.ClusterGroupVersionKind,
		Object: &v1alpha1.Cluster{},
		List:   &v1alpha1.ClusterList{},
		Pools: []cluster.Pool{
			{
				GVK:    v1alpha1.NodePoolGroupVersionKind,
				Object: &v1alpha1.NodePool{},
				List:   func() resource.ManagedList { return &v1alpha1.NodePoolList{} },
				ClusterName: func(o client.Object) string {
					np, ok := o.(*v1alpha1.NodePool)
					if !ok {
						return ""
					}
					return np.GetClusterName()
				},
			},
			{
				GVK:    v1alpha1.VirtualNodePoolGroupVersionKind,
				Object: &v1alpha1.VirtualNodePool{},
				List:   func() resource.ManagedList { return &v1alpha1.VirtualNodePoolList{} },
				ClusterName: func(o client.Object) string {
					np, ok := o.(*v1alpha1.VirtualNodePool)
					if !ok {
						return ""
					}
					return np.Spec.ForProvider.ClusterRef.Name
				},
			},
		},
		Open: func(spec *elasticv1alpha1.ProviderConfigSpec, raw []byte, cr elastic.Cluster) (cluster.Driver, error) {
			mine, ok := cr.(*v1alpha1.Cluster)
			if !ok {
				return nil, errors.Errorf("%T is no TKE Cluster", cr)
			}
			api, err := newClient(spec, raw, cr.GetRegion())
			return &driver{Client: api, cr: mine}, err
		},
	}
}

var _ cluster.Driver = &driver{}

// driver of one Cluster, in one reconcile.
type driver struct {
	tkecontroller.Client
	cr *v1alpha1.Cluster
}

// Task is never asked for: TKE has none.
func (d *driver) Task(context.Context, string, string) (*elastic.Task, error) {
	return &elastic.Task{Done: true}, nil
}

func (d *driver) Find(ctx context.Context) ([]elastic.Thing, error) {
	list, err := d.ListClusters(ctx, elastic.Name(d.cr), elastic.Tags(d.cr, nil))
	if err != nil {
		return nil, err
	}
	all := make([]elastic.Thing, 0, len(list))
	for _, cl := range list {
		all = append(all, elastic.Thing{ID: cl.ID, Tags: cl.Tags, Created: cl.Created})
	}
	return all, nil
}

// Parts of a cluster that may differ.
const (
	partEndpoint       = "endpoint"
	partPublicEndpoint = "publicEndpoint"
	partLevel          = "level"
)

func (d *driver) Get(ctx context.Context, id string) (*cluster.State, error) {
	cl, err := d.GetCluster(ctx, id)
	if tkecontroller.Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &cluster.State{
		ID: cl.ID, Word: cl.State, Phase: tkecontroller.Phase(cl.State), Version: cl.Version,
		DeletionProtection: cl.DeletionProtection, Tags: cl.Tags, Created: cl.Created,
	}
	p := d.cr.Spec.ForProvider
	if cl.AutoUpgradeLevel != p.AutoUpgradeLevel || !p.AutoUpgradeLevel && cl.Level != "" && cl.Level != cmp.Or(p.Level, cl.Level) {
		s.Differs = partLevel
	}
	if s.Phase.Usable() || s.Phase == elastic.PhaseOther {
		err := d.reach(ctx, cl, s)
		if cloud.Is(err, cloud.WrongState) {
			s.NoEndpoint, err = "The cloud does not tell the address of the API server: "+err.Error(), nil
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// reach the API server: TKE makes no address for it unless asked. The private
// one works in a cluster without nodes, the public one is refused there.
func (d *driver) reach(ctx context.Context, cl *tke.Cluster, s *cluster.State) error {
	if d.cr.Spec.ForProvider.EndpointPublicAccess {
		if err := d.reachPublic(ctx, cl, s); err != nil || s.Endpoint != "" {
			return err
		}
	}
	at := d.cr.Status.AtProvider
	if at.ID == s.ID && at.APIEndpoint != "" && d.cr.GetCondition(xpv2.TypeReady).Status == corev1.ConditionTrue {
		// It answers there.
		s.Endpoint = at.APIEndpoint
		return nil
	}
	e, err := d.GetEndpoint(ctx, s.ID, false)
	if err != nil {
		return err
	}
	s.Endpoint = e.Address
	switch {
	case e.State == tke.EndpointCreated && e.Address != "":
	case e.State == tke.EndpointCreated:
		s.NoEndpoint = "The private address of the API server is made but not told yet"
	case absent(e):
		s.Differs, s.Unaddressed = partEndpoint, true
		fallthrough
	default:
		s.NoEndpoint = "The private address of the API server is being made"
		if e.Message != "" {
			s.NoEndpoint = "The private address of the API server could not be made, which is tried again: " + e.Message
		}
	}
	return nil
}

func (d *driver) reachPublic(ctx context.Context, cl *tke.Cluster, s *cluster.State) error {
	e, err := d.GetEndpoint(ctx, s.ID, true)
	if err != nil {
		return err
	}
	s.Endpoint = e.Address
	if !absent(e) {
		// Its address comes a minute or two after it is made.
		s.Pending = e.Address == ""
		return nil
	}
	lives, err := d.inhabited(ctx, cl)
	if lives && s.Differs == "" && !meta.WasDeleted(d.cr) {
		s.Differs = partPublicEndpoint
	}
	return err
}

// absent endpoints may be made, also after a failure.
func absent(e *tke.Endpoint) bool {
	switch e.State {
	case tke.EndpointNotFound, tke.EndpointDeleted, tke.EndpointCreateFailed:
		return true
	default:
		return false
	}
}

// inhabited clusters have a node, or a virtual node that takes pods.
func (d *driver) inhabited(ctx context.Context, cl *tke.Cluster) (bool, error) {
	if cl.Nodes > 0 {
		return true, nil
	}
	pools, err := d.ListVirtualNodePools(ctx, cl.ID)
	if err != nil {
		return false, err
	}
	for _, p := range pools {
		nodes, err := d.ListVirtualNodes(ctx, cl.ID, p.ID)
		if err != nil {
			return false, err
		}
		for _, n := range nodes {
			if n.Phase == tke.VirtualNodeRunning {
				return true, nil
			}
		}
	}
	return false, nil
}

// Create the cluster. Deletion protection follows when it runs: one that could
// not be built takes no changes, and could never be deleted.
func (d *driver) Create(ctx context.Context) (string, string, error) {
	p := d.cr.Spec.ForProvider
	in := tke.ClusterInput{
		Name: elastic.Name(d.cr), VPCID: p.VPCID, SubnetID: p.SubnetID, ENISubnetIDs: p.ENISubnetIDs, ServiceCIDR: p.ServiceCIDR,
		MaxPodsPerNode: p.MaxPodsPerNode, Level: p.Level, AutoUpgradeLevel: p.AutoUpgradeLevel, KubernetesVersion: p.KubernetesVersion,
		Tags: elastic.Tags(d.cr, p.Tags),
	}
	if p.ClusterCIDR != nil {
		in.ClusterCIDR = *p.ClusterCIDR
	}
	id, err := d.CreateCluster(ctx, in)
	return id, "", err
}

func (d *driver) Kubeconfig(ctx context.Context, id string) (kube.Kubeconfig, error) {
	return tkecontroller.FetchKubeconfig(ctx, d.Client, id, d.cr.Spec.ForProvider.EndpointPublicAccess)
}

func (d *driver) Protect(ctx context.Context, id string, on bool) (string, error) {
	return "", d.SetDeletionProtection(ctx, id, on)
}

func (d *driver) Tag(ctx context.Context, id string, tags map[string]string) error {
	return d.TagCluster(ctx, id, tags)
}

func (d *driver) Change(ctx context.Context, s *cluster.State) (string, error) {
	p := d.cr.Spec.ForProvider
	switch s.Differs {
	case partEndpoint:
		return "", d.CreateEndpoint(ctx, s.ID, tke.EndpointInput{SubnetID: p.SubnetID})
	case partPublicEndpoint:
		in := tke.EndpointInput{Public: true}
		if p.EndpointSecurityGroupID != nil {
			in.SecurityGroupID = *p.EndpointSecurityGroupID
		}
		return "", d.CreateEndpoint(ctx, s.ID, in)
	default:
		return "", d.SetClusterLevel(ctx, s.ID, p.Level, p.AutoUpgradeLevel)
	}
}

// Dismantle the addresses of the API server, whose load balancers are billed.
func (d *driver) Dismantle(ctx context.Context, s *cluster.State) (string, error) {
	wait := ""
	for _, public := range []bool{true, false} {
		e, err := d.GetEndpoint(ctx, s.ID, public)
		if err != nil {
			return "", err
		}
		switch e.State {
		case tke.EndpointNotFound, tke.EndpointDeleted:
			continue
		case tke.EndpointDeleting:
		default:
			if err := d.DeleteEndpoint(ctx, s.ID, public); err != nil && !cloud.Is(err, cloud.Gone) {
				return "", err
			}
		}
		wait = "Waiting until the cloud has taken back the addresses of the API server"
	}
	return wait, nil
}

func (d *driver) Delete(ctx context.Context, id string) (string, error) {
	return "", d.DeleteCluster(ctx, id)
}

func (d *driver) Inventory(ctx context.Context, id string) ([]string, error) {
	var left []string
	for _, k := range tke.Kinds {
		if k == tke.KindCluster {
			continue
		}
		items, err := d.ListItems(ctx, k)
		if err != nil {
			return nil, err
		}
		for _, i := range items {
			if i.Tags[tke.TagCluster] == id || elastic.Owned(d.cr, i.Tags) {
				left = append(left, fmt.Sprintf("%s %s", i.Kind, i.ID))
			}
		}
	}
	return left, nil
}

// Remains are what still carries the tag of the cluster.
func (d *driver) Remains(ctx context.Context, id string) ([]string, error) {
	return d.Inventory(ctx, id)
}
