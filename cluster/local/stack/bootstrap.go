package stack

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
)

// What a platform team finds in the host plane before it writes its first claim.
const (
	// PlatformNamespace is the namespace for claims. It has a Secret with the
	// kubeconfig of each self-built member, named like the member.
	PlatformNamespace = "platform"

	// SystemNamespace holds the credentials of the ClusterProviderConfigs.
	SystemNamespace = "regionpool-system"

	// KarmadaConfig is the ClusterProviderConfig of the workload plane.
	KarmadaConfig = "karmada"

	// CloudConfig and TencentConfig are the ClusterProviderConfigs of the
	// simulated cloud accounts.
	CloudConfig   = "aliyun"
	TencentConfig = "tencent"

	// kubeconfigKey and credentialsKey are the keys of the Secrets.
	kubeconfigKey  = "kubeconfig"
	credentialsKey = "credentials"

	// cloudQPS is high because the simulator throttles by itself.
	cloudQPS, cloudBurst = 50, 100
)

// bootstrap puts into the host plane what a platform team would have prepared:
// namespaces, the members' kubeconfigs, and ClusterProviderConfigs with
// credentials for the workload plane and the clouds.
func (s *Stack) bootstrap(ctx context.Context) error {
	host := s.Plane(Host)
	if host == nil {
		return nil
	}
	c, err := client.New(host.RESTConfig(), client.Options{})
	if err != nil {
		return fmt.Errorf("cannot make client of the host plane: %w", err)
	}
	objs := []*unstructured.Unstructured{namespace(PlatformNamespace), namespace(SystemNamespace)}
	if err := manifests.Apply(ctx, c, objs...); err != nil {
		return err
	}

	objs = nil
	for _, cp := range s.Planes() {
		switch cp.Name() {
		case Host:
		case Karmada:
			objs = append(objs, secret(SystemNamespace, KarmadaConfig, kubeconfigKey, cp.Kubeconfig()))
			objs = append(objs, providerConfig(KarmadaConfig, v1alpha1.TypeKarmada, kubeconfigKey, nil))
		default:
			objs = append(objs, secret(PlatformNamespace, cp.Name(), kubeconfigKey, cp.Kubeconfig()))
		}
	}
	if cloud := s.Cloud(); cloud.Endpoint != "" {
		for _, a := range []struct {
			name        string
			kind        v1alpha1.ProviderConfigType
			endpoint    string
			credentials map[string]string
		}{
			{CloudConfig, v1alpha1.TypeAlibabaCloud, cloud.Endpoint, map[string]string{"accessKeyId": cloud.AccessKeyID, "accessKeySecret": cloud.AccessKeySecret}},
			{TencentConfig, v1alpha1.TypeTencentCloud, cloud.TencentEndpoint, map[string]string{"secretId": cloud.SecretID, "secretKey": cloud.SecretKey}},
		} {
			credentials, err := json.Marshal(a.credentials)
			if err != nil {
				return fmt.Errorf("cannot encode credentials of %s: %w", a.name, err)
			}
			objs = append(objs, secret(SystemNamespace, a.name, credentialsKey, credentials))
			objs = append(objs, providerConfig(a.name, a.kind, credentialsKey, map[string]any{
				"endpoint":  a.endpoint,
				"rateLimit": map[string]any{"qps": int64(cloudQPS), "burst": int64(cloudBurst)},
			}))
		}
	}
	if err := manifests.Apply(ctx, c, objs...); err != nil {
		return fmt.Errorf("cannot bootstrap the host plane: %w", err)
	}
	return nil
}

func namespace(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Namespace",
		"metadata":   map[string]any{"name": name},
	}}
}

func secret(namespace, name, key string, value []byte) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata":   map[string]any{"namespace": namespace, "name": name},
		"stringData": map[string]any{key: string(value)},
	}}
}

// providerConfig returns a ClusterProviderConfig with its credentials in the
// Secret of the same name.
func providerConfig(name string, kind v1alpha1.ProviderConfigType, key string, extra map[string]any) *unstructured.Unstructured {
	spec := map[string]any{
		"type": string(kind),
		"credentials": map[string]any{
			"source":    string(xpv2.CredentialsSourceSecret),
			"secretRef": map[string]any{"namespace": SystemNamespace, "name": name, "key": key},
		},
	}
	for k, v := range extra {
		spec[k] = v
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(),
		"kind":       "ClusterProviderConfig",
		"metadata":   map[string]any{"name": name},
		"spec":       spec,
	}}
}
