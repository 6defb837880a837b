package elastic

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"regionpool.io/provider-regionpool/internal/clients/kube"
)

// Kubeconfig of a cluster: the one in memory, or the published one, so that a
// restart needs no new one, or one that is fetched from the cloud.
func (o *Options) Kubeconfig(ctx context.Context, host client.Client, cr Cluster, fetch kube.FetchFn) (kube.Kubeconfig, error) {
	at := cr.GetObservation()
	id := meta.GetExternalName(cr)
	ref, expires := cr.GetWriteConnectionSecretToReference(), at.KubeconfigExpiresAt
	if ref != nil && expires != nil && !o.Kubeconfigs.Has(id, at.APIEndpoint) {
		s := &corev1.Secret{}
		err := host.Get(ctx, types.NamespacedName{Namespace: cr.GetNamespace(), Name: ref.Name}, s)
		if err == nil && metav1.IsControlledBy(s, cr) && string(s.Data[KeyEndpoint]) == at.APIEndpoint {
			o.Kubeconfigs.Seed(id, at.APIEndpoint, kube.Kubeconfig{Config: s.Data[KeyKubeconfig], Expires: expires.Time})
		}
	}
	return o.Kubeconfigs.Get(ctx, id, at.APIEndpoint, fetch)
}

// ClusterClient is a client of the cluster itself. It fails if the cloud has no
// kubeconfig for us, not if the cluster does not answer.
func (o *Options) ClusterClient(ctx context.Context, host client.Client, cr Cluster, fetch kube.FetchFn) (kubernetes.Interface, error) {
	kc, err := o.Kubeconfig(ctx, host, cr, fetch)
	if err != nil {
		return nil, err
	}
	return o.Kube.For(kc.Config)
}
