package karmada

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/credentials"
)

// A ConnectFn returns the connection of a managed resource.
type ConnectFn func(ctx context.Context, mg resource.ModernManaged) (*Conn, error)

// A ResolveFn returns the configuration and the credentials of a managed
// resource. The credentials are nil when the identity is that of the pod.
type ResolveFn func(ctx context.Context, mg resource.ModernManaged) (*v1alpha1.ProviderConfigSpec, []byte, error)

// NewResolveFn returns a ResolveFn that reads ProviderConfigs and records their
// use.
func NewResolveFn(kube client.Client) ResolveFn {
	return func(ctx context.Context, mg resource.ModernManaged) (*v1alpha1.ProviderConfigSpec, []byte, error) {
		return credentials.Resolve(ctx, kube, mg)
	}
}

// NewConnectFn returns a ConnectFn that resolves the credentials and then looks
// up the connection.
func NewConnectFn(resolve ResolveFn, conns *Connections) ConnectFn {
	return func(ctx context.Context, mg resource.ModernManaged) (*Conn, error) {
		spec, kubeconfig, err := resolve(ctx, mg)
		if err != nil {
			return nil, err
		}
		ref := mg.GetProviderConfigReference()
		if spec.Type != v1alpha1.TypeKarmada {
			return nil, errors.Errorf("spec.providerConfigRef: %s %q is of type %s: name one of type %s", ref.Kind, ref.Name, spec.Type, v1alpha1.TypeKarmada)
		}
		key := ref.Kind + "/" + ref.Name
		if ref.Kind == v1alpha1.ProviderConfigKind {
			key = ref.Kind + "/" + mg.GetNamespace() + "/" + ref.Name
		}
		conn, err := conns.Get(key, kubeconfig)
		return conn, errors.Wrapf(err, "cannot use the credentials of %s %q for a Karmada API", ref.Kind, ref.Name)
	}
}
