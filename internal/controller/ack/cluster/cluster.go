// Package cluster is the driver of ACK managed clusters.
package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/elastic/cluster"
)

// Kind of ACK clusters.
func Kind(newClient ackcontroller.ClientFn) *cluster.Kind {
	return &cluster.Kind{
		GVK:    v1alpha1.ClusterGroupVersionKind,
		Object: &v1alpha1.Cluster{},
		List:   &v1alpha1.ClusterList{},
		Pools: []cluster.Pool{{
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
		}},
		Open: func(spec *elasticv1alpha1.ProviderConfigSpec, raw []byte, cr elastic.Cluster) (cluster.Driver, error) {
			mine, ok := cr.(*v1alpha1.Cluster)
			if !ok {
				return nil, errors.Errorf("%T is no ACK Cluster", cr)
			}
			api, err := newClient(spec, raw, cr.GetRegion())
			return &driver{API: ackcontroller.API{API: api}, cr: mine}, err
		},
	}
}

var _ cluster.Driver = &driver{}

// driver of one Cluster, in one reconcile.
type driver struct {
	ackcontroller.API
	cr *v1alpha1.Cluster
}

func (d *driver) Find(ctx context.Context) ([]elastic.Thing, error) {
	list, err := d.ListClusters(ctx, elastic.Name(d.cr))
	if err != nil {
		return nil, err
	}
	all := make([]elastic.Thing, 0, len(list))
	for _, cl := range list {
		all = append(all, elastic.Thing{ID: cl.ID, Tags: cl.Tags, Created: cl.Created})
	}
	return all, nil
}

func (d *driver) Get(ctx context.Context, id string) (*cluster.State, error) {
	cl, err := d.GetCluster(ctx, id)
	if ackcontroller.Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &cluster.State{
		ID: cl.ID, Word: cl.State, Phase: ackcontroller.Phase(cl.State), Version: cl.Version, Endpoint: cl.Endpoint,
		SecurityGroupID: cl.SecurityGroupID, DeletionProtection: cl.DeletionProtection, Tags: cl.Tags, Created: cl.Created,
	}
	if d.cr.Spec.ForProvider.VirtualNodes != nil && s.Phase == elastic.PhaseRunning {
		_, err := d.GetAddon(ctx, id, addonVirtualNode)
		if cloud.IsCode(err, ack.CodeAddonNotFound) {
			s.Differs, err = "virtualNodes", nil
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (d *driver) Create(ctx context.Context) (string, string, error) {
	out, err := d.CreateCluster(ctx, input(d.cr))
	return out.ID, out.TaskID, err
}

func (d *driver) Kubeconfig(ctx context.Context, id string) (kube.Kubeconfig, error) {
	return d.FetchKubeconfig(ctx, id, d.cr.Spec.ForProvider.EndpointPublicAccess)
}

func (d *driver) Protect(ctx context.Context, id string, on bool) (string, error) {
	return d.SetDeletionProtection(ctx, id, on)
}

func (d *driver) Tag(ctx context.Context, id string, tags map[string]string) error {
	return d.TagCluster(ctx, id, tags)
}

// Change installs the add-on of virtual nodes, the only thing that may differ.
func (d *driver) Change(ctx context.Context, s *cluster.State) (string, error) {
	return d.InstallAddon(ctx, s.ID, virtualNode(d.cr.Spec.ForProvider.VirtualNodes))
}

// Dismantle has nothing to do: what ACK made for a cluster goes with it.
func (d *driver) Dismantle(context.Context, *cluster.State) (string, error) { return "", nil }

func (d *driver) Delete(ctx context.Context, id string) (string, error) {
	return d.DeleteCluster(ctx, id)
}

func (d *driver) Inventory(ctx context.Context, id string) ([]string, error) {
	all, err := d.ClusterResources(ctx, id)
	left := make([]string, 0, len(all))
	for _, r := range all {
		left = append(left, fmt.Sprintf("%s %s", r.Type, r.ID))
	}
	return left, err
}

// Remains are not known: ACK's own API has no inventory of a cluster that is
// gone. The sweeper asks the products behind it.
func (d *driver) Remains(context.Context, string) ([]string, error) { return nil, nil }

// Add-ons that a cluster needs or may have, and one that ACK would install, with
// a load balancer to pay for.
const (
	addonFlannel     = "flannel"
	addonTerway      = "terway-eniip"
	addonIngress     = "nginx-ingress-controller"
	addonVirtualNode = "ack-virtual-node"
)

// virtualNode is the add-on of virtual nodes. Its pods take addresses of the
// cluster's vSwitches unless others are named.
func virtualNode(v *v1alpha1.VirtualNodes) ack.Addon {
	a := ack.Addon{Name: addonVirtualNode}
	if len(v.VSwitchIDs) > 0 {
		// A map of strings can always be encoded.
		b, _ := json.Marshal(map[string]string{"vSwitchIds": strings.Join(v.VSwitchIDs, ",")})
		a.Config = string(b)
	}
	return a
}

// input of CreateCluster. There are no nodes in it: ACK would put them into a
// pool of its own. Deletion protection follows when the cluster runs: one that
// could not be built takes no changes, and could never be deleted.
func input(cr *v1alpha1.Cluster) ack.ClusterInput {
	p := cr.Spec.ForProvider
	in := ack.ClusterInput{
		Name: elastic.Name(cr), VPCID: p.VPCID, VSwitchIDs: p.VSwitchIDs, PodVSwitchIDs: p.PodVSwitchIDs,
		ServiceCIDR: p.ServiceCIDR, NodeCIDRMask: p.NodeCIDRMask, Spec: p.ClusterSpec, KubernetesVersion: p.KubernetesVersion,
		PublicEndpoint: p.EndpointPublicAccess, SNATEntry: p.SNATEntry, Tags: elastic.Tags(cr, p.Tags),
	}
	network := addonTerway
	if len(p.PodVSwitchIDs) == 0 {
		network = addonFlannel
		if p.ContainerCIDR != nil {
			in.ContainerCIDR = *p.ContainerCIDR
		}
	}

	named := map[string]bool{}
	for _, a := range p.Addons {
		named[a.Name] = true
		in.Addons = append(in.Addons, ack.Addon{Name: a.Name, Config: a.Config, Disabled: a.Disabled})
	}
	for _, a := range []ack.Addon{{Name: network}, {Name: "csi-plugin"}, {Name: "csi-provisioner"}, {Name: addonIngress, Disabled: true}} {
		if named[a.Name] || a.Name == addonTerway && named["terway"] {
			continue
		}
		in.Addons = append(in.Addons, a)
	}
	if p.VirtualNodes != nil && !named[addonVirtualNode] {
		in.Addons = append(in.Addons, virtualNode(p.VirtualNodes))
	}
	return in
}
