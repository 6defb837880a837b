// Package credentials finds the credentials of a managed resource: it follows
// the reference to a ProviderConfig or ClusterProviderConfig and records the
// use, so that a configuration outlives all that use it.
package credentials

import (
	"context"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

// FinalizerInUse is held on a ProviderConfigUsage until its managed resource is
// gone. The usage holds the ProviderConfig. Deletion of a namespace would
// otherwise take the configuration away before the cloud resources could be
// deleted with it.
const FinalizerInUse = "regionpool.io/in-use"

// Resolve the configuration that a managed resource refers to, record that it
// is in use, and extract the credentials. They are nil, without an error, when
// their source is InjectedIdentity: the client of that API knows what identity
// the pod has.
//
// Errors name the field to mend and never contain credentials.
func Resolve(ctx context.Context, kube client.Client, mg resource.ModernManaged) (*v1alpha1.ProviderConfigSpec, []byte, error) {
	ref := mg.GetProviderConfigReference()
	if ref == nil {
		return nil, nil, errors.New("spec.providerConfigRef is not set: name a ProviderConfig or a ClusterProviderConfig")
	}

	spec, err := configSpec(ctx, kube, mg.GetNamespace(), *ref)
	if err != nil {
		return nil, nil, err
	}

	// A namespace that is being deleted accepts no new usage. The configuration
	// is there, so a deletion can still go on.
	if err := track(ctx, kube, mg, *ref); err != nil && !meta.WasDeleted(mg) {
		return nil, nil, errors.Wrap(err, "cannot track the use of the ProviderConfig")
	}

	raw, err := extract(ctx, kube, spec, *ref)
	return spec, raw, err
}

// Get the configuration that a reference names, and its credentials, without
// recording a use. It serves what looks at an account on behalf of resources
// that record theirs. The namespace is that of a ProviderConfig.
func Get(ctx context.Context, kube client.Client, namespace string, ref xpv2.ProviderConfigReference) (*v1alpha1.ProviderConfigSpec, []byte, error) {
	spec, err := configSpec(ctx, kube, namespace, ref)
	if err != nil {
		return nil, nil, err
	}
	raw, err := extract(ctx, kube, spec, ref)
	return spec, raw, err
}

// extract the credentials, which are nil for an injected identity.
func extract(ctx context.Context, kube client.Client, spec *v1alpha1.ProviderConfigSpec, ref xpv2.ProviderConfigReference) ([]byte, error) {
	if spec.Credentials.Source == xpv2.CredentialsSourceInjectedIdentity {
		return nil, nil
	}
	raw, err := resource.CommonCredentialExtractor(ctx, spec.Credentials.Source, kube, spec.Credentials.CommonCredentialSelectors)
	if err != nil {
		return nil, errors.Wrapf(err, "cannot get the credentials of %s %q: check its spec.credentials", ref.Kind, ref.Name)
	}
	if len(raw) == 0 {
		return nil, errors.Errorf("the credentials of %s %q are empty: check its spec.credentials", ref.Kind, ref.Name)
	}
	return raw, nil
}

// configSpec returns the configuration a reference names.
func configSpec(ctx context.Context, kube client.Client, namespace string, ref xpv2.ProviderConfigReference) (*v1alpha1.ProviderConfigSpec, error) {
	switch ref.Kind {
	case v1alpha1.ProviderConfigKind:
		pc := &v1alpha1.ProviderConfig{}
		if err := kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, pc); err != nil {
			return nil, explain(err, ref)
		}
		spec := pc.Spec.DeepCopy()
		if spec.Credentials.SecretRef != nil {
			// A tenant's configuration must not reach Secrets of others.
			spec.Credentials.SecretRef.Namespace = namespace
		}
		return spec, nil
	case v1alpha1.ClusterProviderConfigKind:
		pc := &v1alpha1.ClusterProviderConfig{}
		if err := kube.Get(ctx, types.NamespacedName{Name: ref.Name}, pc); err != nil {
			return nil, explain(err, ref)
		}
		return pc.Spec.DeepCopy(), nil
	default:
		return nil, errors.Errorf("spec.providerConfigRef.kind is %q: use ProviderConfig or ClusterProviderConfig", ref.Kind)
	}
}

func explain(err error, ref xpv2.ProviderConfigReference) error {
	if kerrors.IsNotFound(err) {
		return errors.Errorf("spec.providerConfigRef: there is no %s %q: create it or correct the name", ref.Kind, ref.Name)
	}
	return errors.Wrapf(err, "cannot get %s %q", ref.Kind, ref.Name)
}

// track writes the ProviderConfigUsage of a managed resource. It differs from
// crossplane-runtime's tracker in two points. The usage has a finalizer. And its
// owner reference does not block the owner's deletion: in a foreground deletion
// the resource would wait for the usage and the usage for the resource.
func track(ctx context.Context, kube client.Client, mg resource.ModernManaged, ref xpv2.ProviderConfigReference) error {
	gvk, err := apiutil.GVKForObject(mg, kube.Scheme())
	if err != nil {
		return errors.Wrap(err, "cannot tell the kind of the managed resource")
	}

	owner := meta.AsController(meta.TypedReferenceTo(mg, gvk))
	owner.BlockOwnerDeletion = ptr.To(false)
	want := &v1alpha1.ProviderConfigUsage{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       mg.GetNamespace(),
			Name:            string(mg.GetUID()),
			Labels:          map[string]string{xpv2.LabelKeyProviderName: ref.Name, xpv2.LabelKeyProviderKind: ref.Kind},
			OwnerReferences: []metav1.OwnerReference{owner},
			Finalizers:      []string{FinalizerInUse},
		},
		TypedProviderConfigUsage: xpv2.TypedProviderConfigUsage{
			ProviderConfigReference: ref,
			ResourceReference: xpv2.TypedReference{
				APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Name: mg.GetName(), UID: mg.GetUID(),
			},
		},
	}

	got := &v1alpha1.ProviderConfigUsage{}
	err = kube.Get(ctx, client.ObjectKeyFromObject(want), got)
	if kerrors.IsNotFound(err) {
		// The cache may not have seen our own write yet.
		return resource.Ignore(kerrors.IsAlreadyExists, kube.Create(ctx, want))
	}
	if err != nil {
		return err
	}
	if got.ProviderConfigReference == ref || meta.WasDeleted(got) {
		return nil
	}
	got.ProviderConfigReference = ref
	got.Labels = want.Labels
	return kube.Update(ctx, got)
}
