// Package member joins clusters to a Karmada federation and lets them leave
// without losing replicas.
package member

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

// Setup adds a controller of Members to the manager.
func Setup(mgr ctrl.Manager, o controller.Options, fo reconcile.Options) error {
	c := &connector{
		kube:           mgr.GetClient(),
		access:         accessReader{live: mgr.GetAPIReader()},
		connect:        fo.Connect,
		dial:           dial,
		clock:          fo.Clock,
		requeuer:       fo.Requeuer,
		pollInProgress: fo.PollInProgress,
	}
	referrers := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []ctrl.Request {
		l := &v1alpha1.MemberList{}
		if err := mgr.GetClient().List(ctx, l, client.InNamespace(o.GetNamespace())); err != nil {
			return nil
		}
		var out []ctrl.Request
		for i := range l.Items {
			if refersTo(o, &l.Items[i]) {
				out = append(out, ctrl.Request{NamespacedName: reconcile.Key(&l.Items[i])})
			}
		}
		return out
	})
	// Members that retain their replicas wait for others and for the policy.
	waiting := reconcile.Waiting(mgr.GetClient(), &v1alpha1.MemberList{})
	return reconcile.Setup(mgr, o, fo, &v1alpha1.Member{}, &v1alpha1.MemberList{}, v1alpha1.MemberGroupVersionKind,
		managed.WithTypedExternalConnector(c),
		func(b *builder.Builder) *builder.Builder {
			return b.
				WatchesMetadata(&corev1.Secret{}, referrers).
				Watches(&v1alpha1.Member{}, waiting, builder.WithPredicates(reconcile.Deleted())).
				Watches(&v1alpha1.PlacementPolicy{}, waiting, builder.WithPredicates(reconcile.Deleted()))
		})
}

// refersTo says whether a Member gets its kubeconfig from the Secret: by name,
// or because the Secret belongs to the cluster it names.
func refersTo(s client.Object, m *v1alpha1.Member) bool {
	p := m.Spec.ForProvider
	if p.KubeconfigSecretRef != nil {
		return p.KubeconfigSecretRef.Name == s.GetName()
	}
	c := metav1.GetControllerOf(s)
	// Clusters of all clouds are of kind Cluster.
	return p.ClusterRef != nil && c != nil && c.APIVersion == p.ClusterRef.APIVersion && c.Kind == p.ClusterRef.Kind && c.Name == p.ClusterRef.Name
}
