package credentials

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

func TestResolve(t *testing.T) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, apis.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	secret := func(ns, value string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, Data: map[string][]byte{"k": []byte(value)}}
	}
	spec := v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeAlibabaCloud, Credentials: v1alpha1.ProviderCredentials{
		Source: xpv2.CredentialsSourceSecret,
		CommonCredentialSelectors: xpv2.CommonCredentialSelectors{SecretRef: &xpv2.SecretKeySelector{
			SecretReference: xpv2.SecretReference{Namespace: "theirs", Name: "s"}, Key: "k",
		}},
	}}
	injected := v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeAlibabaCloud, Credentials: v1alpha1.ProviderCredentials{Source: xpv2.CredentialsSourceInjectedIdentity}}
	t.Setenv("TEST_TENCENT", "from the environment")
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeTencentCloud, Credentials: v1alpha1.ProviderCredentials{
		Source:                    xpv2.CredentialsSourceEnvironment,
		CommonCredentialSelectors: xpv2.CommonCredentialSelectors{Env: &xpv2.EnvSelector{Name: "TEST_TENCENT"}},
	}}
	filesystem := v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeTencentCloud, Credentials: v1alpha1.ProviderCredentials{
		Source:                    xpv2.CredentialsSourceFilesystem,
		CommonCredentialSelectors: xpv2.CommonCredentialSelectors{Fs: &xpv2.FsSelector{Path: file}},
	}}
	cases := map[string]struct {
		reason string
		ref    *xpv2.ProviderConfigReference
		objs   []client.Object
		want   string
		err    string
	}{
		"Cluster": {
			reason: "A cluster-scoped configuration may name a Secret of any namespace.",
			ref:    &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "pc"},
			objs:   []client.Object{&v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "pc"}, Spec: spec}, secret("theirs", "a")},
			want:   "a",
		},
		"Namespaced": {
			reason: "A namespaced one reads its own namespace, whatever it names.",
			ref:    &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "pc"},
			objs:   []client.Object{&v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "ours", Name: "pc"}, Spec: spec}, secret("theirs", "a"), secret("ours", "b")},
			want:   "b",
		},
		"Injected": {
			reason: "An injected identity has no value.",
			ref:    &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "pc"},
			objs:   []client.Object{&v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "pc"}, Spec: injected}},
		},
		"Environment": {
			reason: "The provider's own environment is for cluster-scoped configurations.",
			ref:    &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "pc"},
			objs:   []client.Object{&v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "pc"}, Spec: environment}},
			want:   "from the environment",
		},
		"Filesystem": {
			reason: "So are its files.",
			ref:    &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "pc"},
			objs:   []client.Object{&v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "pc"}, Spec: filesystem}},
			want:   "from a file",
		},
		"NoRef":    {reason: "The field is named.", err: "spec.providerConfigRef is not set"},
		"NoConfig": {reason: "So is what is missing.", ref: &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "pc"}, err: `there is no ProviderConfig "pc"`},
		"NoSecret": {
			reason: "And where to look.",
			ref:    &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "pc"},
			objs:   []client.Object{&v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "pc"}, Spec: spec}},
			err:    `cannot get the credentials of ClusterProviderConfig "pc"`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientBuilder().WithScheme(s).WithObjects(tc.objs...).Build()
			mg := &ackv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "ours", Name: "c", UID: "uid"}}
			mg.Spec.ProviderConfigReference = tc.ref
			_, raw, err := Resolve(context.Background(), kube, mg)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("\nReason: %s\nResolve(...): want %q, got %v", tc.reason, tc.err, err)
				}
				return
			}
			if diff := cmp.Diff(tc.want, string(raw)); diff != "" || err != nil {
				t.Errorf("\nReason: %s\nResolve(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
			u := &v1alpha1.ProviderConfigUsage{}
			if err := kube.Get(context.Background(), types.NamespacedName{Namespace: "ours", Name: "uid"}, u); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{FinalizerInUse}, u.Finalizers); diff != "" || u.ProviderConfigReference != *tc.ref {
				t.Errorf("\nReason: the use is recorded and held\nResolve(...): %v, -want, +got:\n%s", u.ProviderConfigReference, diff)
			}
			if diff := cmp.Diff(ptr.To(false), u.OwnerReferences[0].BlockOwnerDeletion); diff != "" {
				t.Errorf("\nReason: in a foreground deletion usage and resource must not wait for each other\nResolve(...): -want, +got:\n%s", diff)
			}
		})
	}
}
