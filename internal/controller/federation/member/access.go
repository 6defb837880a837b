package member

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
)

// Fields that conditions name.
const (
	fieldKubeconfig = "spec.forProvider.kubeconfigSecretRef"
	fieldCluster    = "spec.forProvider.clusterRef"
)

// Reasons why a Member is not ready.
const (
	reasonWaiting     xpv2.ConditionReason = "WaitingForKubeconfig"
	reasonInvalid     xpv2.ConditionReason = "KubeconfigInvalid"
	reasonRefused     xpv2.ConditionReason = "CredentialsRefused"
	reasonUnreachable xpv2.ConditionReason = "MemberUnreachable"
	reasonConflict    xpv2.ConditionReason = "Conflict"
	reasonNotReady    xpv2.ConditionReason = "ClusterNotReady"
)

// access to a member, from the kubeconfig the Member refers to.
type access struct {
	config *rest.Config
	// proxy through which the member is reached, if any.
	proxy string
	// digest of the kubeconfig tells when it was changed.
	digest string
	// source names field and Secret, for messages.
	source string
}

// An accessError says why there is no access. Its message names the field and
// the mend, and nothing of the kubeconfig.
type accessError struct {
	reason  xpv2.ConditionReason
	message string
	// waits means that nothing is wrong: what is missing is being made.
	waits bool
	// gone means that the cloud cluster's managed resource does not exist.
	gone bool
}

func (e *accessError) Error() string { return e.message }

func waits(format string, args ...any) *accessError {
	return &accessError{reason: reasonWaiting, message: fmt.Sprintf(format, args...), waits: true}
}

// An accessReader finds the kubeconfig of a member.
type accessReader struct {
	// live reads Secrets and clusters of any kind without caching them all.
	live client.Reader
}

func (r accessReader) read(ctx context.Context, mg *v1alpha1.Member) (*access, error) {
	p := mg.Spec.ForProvider
	field, secret, key := fieldKubeconfig, "", "kubeconfig"
	switch {
	case p.KubeconfigSecretRef != nil:
		secret, key = p.KubeconfigSecretRef.Name, p.KubeconfigSecretRef.Key
		if key == "" {
			key = "kubeconfig"
		}
	case p.ClusterRef != nil:
		field = fieldCluster
		s, err := r.connectionSecret(ctx, mg)
		if err != nil {
			return nil, err
		}
		secret = s
	default:
		return nil, &accessError{reason: reasonInvalid, message: "set " + fieldKubeconfig + " or " + fieldCluster}
	}

	s := &corev1.Secret{}
	err := r.live.Get(ctx, types.NamespacedName{Namespace: mg.GetNamespace(), Name: secret}, s)
	if kerrors.IsNotFound(err) || err == nil && len(s.Data[key]) == 0 {
		if field == fieldCluster {
			return nil, waits("Waits for %s %q, which %s names, to publish a kubeconfig in Secret %q", p.ClusterRef.Kind, p.ClusterRef.Name, field, secret)
		}
		return nil, waits("Waits for Secret %q with key %q, which %s names: create it with a kubeconfig of the member", secret, key, field)
	}
	if err != nil {
		return nil, errors.Wrapf(err, "cannot get Secret %q, which %s names", secret, field)
	}
	cfg, err := karmada.ParseKubeconfig(s.Data[key])
	if err != nil {
		return nil, &accessError{reason: reasonInvalid, message: fmt.Sprintf("%s: Secret %q, key %q: %s", field, secret, key, karmada.Reason(err))}
	}
	if cfg.ServerName != "" {
		return nil, &accessError{reason: reasonInvalid, message: fmt.Sprintf("%s: Secret %q, key %q: Karmada does not support tls-server-name", field, secret, key)}
	}
	proxy, err := proxyURL(cfg)
	if err != nil {
		return nil, &accessError{reason: reasonInvalid, message: fmt.Sprintf("%s: Secret %q, key %q: the proxy-url is no URL", field, secret, key)}
	}
	sum := sha256.Sum256(s.Data[key])
	return &access{config: cfg, proxy: proxy, digest: hex.EncodeToString(sum[:8]), source: fmt.Sprintf("%s (Secret %q)", field, secret)}, nil
}

func proxyURL(cfg *rest.Config) (string, error) {
	if cfg.Proxy == nil {
		return "", nil
	}
	host, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return "", err
	}
	u, err := cfg.Proxy(&http.Request{URL: host})
	if err != nil || u == nil {
		return "", err
	}
	return u.String(), nil
}

// connectionSecret returns the name of the Secret to which a cloud cluster of
// any kind publishes its kubeconfig.
func (r accessReader) connectionSecret(ctx context.Context, mg *v1alpha1.Member) (string, error) {
	ref := mg.Spec.ForProvider.ClusterRef
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(ref.APIVersion)
	u.SetKind(ref.Kind)
	err := r.live.Get(ctx, types.NamespacedName{Namespace: mg.GetNamespace(), Name: ref.Name}, u)
	if kerrors.IsNotFound(err) {
		e := waits("Waits for %s %q, which %s names: it does not exist", ref.Kind, ref.Name, fieldCluster)
		e.gone = true
		return "", e
	}
	if meta.IsNoMatchError(err) {
		return "", waits("%s: kind %s of %s is not installed", fieldCluster, ref.Kind, ref.APIVersion)
	}
	if err != nil {
		return "", errors.Wrapf(err, "cannot get %s %q, which %s names", ref.Kind, ref.Name, fieldCluster)
	}
	if u.GetDeletionTimestamp() != nil && !xpmeta.WasDeleted(mg) {
		// To join it now would hold up its deletion, for which nobody would ask
		// this Member to leave. It joins the next cluster of that name.
		return "", waits("Waits for %s %q, which %s names: it is being deleted", ref.Kind, ref.Name, fieldCluster)
	}
	name, _, err := unstructured.NestedString(u.Object, "spec", "writeConnectionSecretToRef", "name")
	if err != nil || name == "" {
		return "", waits("%s: %s %q publishes no kubeconfig: set its spec.writeConnectionSecretToRef", fieldCluster, ref.Kind, ref.Name)
	}
	return name, nil
}

// refused turns an error of a call to the member into one for conditions.
func (a *access) refused(err error) *accessError {
	if karmada.IsRefused(err) {
		return &accessError{reason: reasonRefused, message: fmt.Sprintf("%s: %s: give a kubeconfig of a cluster administrator", a.source, karmada.Reason(err))}
	}
	return &accessError{reason: reasonUnreachable, message: fmt.Sprintf("Member is out of reach through %s: %s", a.source, karmada.Reason(err)), waits: true}
}
