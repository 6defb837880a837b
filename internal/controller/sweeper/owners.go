package sweeper

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

// living are the managed resources that exist, those that are being deleted
// among them: they clean up themselves.
type living struct {
	uids     map[string]bool
	clusters map[string]bool
}

// owns reports whether somebody who lives owns a thing. The owner tag decides;
// what carries none belongs to its cluster. A cluster is also owned by whoever
// names it: its resource may have been made again, after a restore for example,
// and has another UID then.
func (l living) owns(t Thing) bool {
	if t.Kind == KindCluster && l.clusters[t.ID] {
		return true
	}
	if t.Owner != "" {
		return l.uids[t.Owner]
	}
	return l.clusters[t.Cluster]
}

// listLiving reads from the API server, in all namespaces. Any error means that
// it is not known who lives, also that a kind is not served: its resources may
// be there all the same.
func listLiving(ctx context.Context, live client.Reader, t v1alpha1.ProviderConfigType) (living, error) {
	out := living{uids: map[string]bool{}, clusters: map[string]bool{}}
	add := func(mg resource.Managed, clusterID string) {
		out.uids[string(mg.GetUID())] = true
		if clusterID != "" {
			out.clusters[clusterID] = true
		}
	}
	switch t {
	case v1alpha1.TypeAlibabaCloud:
		clusters, pools := &ackv1alpha1.ClusterList{}, &ackv1alpha1.NodePoolList{}
		if err := lists(ctx, live, clusters, pools); err != nil {
			return living{}, err
		}
		for i := range clusters.Items {
			c := &clusters.Items[i]
			add(c, meta.GetExternalName(c))
			add(c, c.Status.AtProvider.ID)
		}
		for i := range pools.Items {
			add(&pools.Items[i], "")
		}
	case v1alpha1.TypeTencentCloud:
		clusters, pools, virtual := &tkev1alpha1.ClusterList{}, &tkev1alpha1.NodePoolList{}, &tkev1alpha1.VirtualNodePoolList{}
		if err := lists(ctx, live, clusters, pools, virtual); err != nil {
			return living{}, err
		}
		for i := range clusters.Items {
			c := &clusters.Items[i]
			add(c, meta.GetExternalName(c))
			add(c, c.Status.AtProvider.ID)
		}
		for i := range pools.Items {
			add(&pools.Items[i], "")
		}
		for i := range virtual.Items {
			add(&virtual.Items[i], "")
		}
	case v1alpha1.TypeKarmada:
		return living{}, errors.New("a Karmada API holds no cloud resources")
	}
	return out, nil
}

func lists(ctx context.Context, live client.Reader, ls ...client.ObjectList) error {
	for _, l := range ls {
		if err := live.List(ctx, l); err != nil {
			return errors.Wrapf(err, "cannot list %T", l)
		}
	}
	return nil
}
