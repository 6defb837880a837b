package member

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
)

func TestRefersTo(t *testing.T) {
	published := func(apiVersion string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "kubeconfig", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: apiVersion, Kind: "Cluster", Name: "shanghai", Controller: ptr.To(true)},
		}}}
	}
	by := func(p v1alpha1.MemberParameters) *v1alpha1.Member {
		return &v1alpha1.Member{Spec: v1alpha1.MemberSpec{ForProvider: p}}
	}
	tke := by(v1alpha1.MemberParameters{ClusterRef: &v1alpha1.ClusterReference{APIVersion: "tke.regionpool.io/v1alpha1", Kind: "Cluster", Name: "shanghai"}})
	cases := map[string]struct {
		reason string
		secret *corev1.Secret
		member *v1alpha1.Member
		want   bool
	}{
		"ByName": {
			reason: "A Secret is named",
			secret: published("tke.regionpool.io/v1alpha1"),
			member: by(v1alpha1.MemberParameters{KubeconfigSecretRef: &v1alpha1.SecretKeyReference{Name: "kubeconfig"}}),
			want:   true,
		},
		"ByCluster":   {reason: "A Secret belongs to the cluster that is named", secret: published("tke.regionpool.io/v1alpha1"), member: tke, want: true},
		"OtherCloud":  {reason: "A cluster of another cloud may have the same name", secret: published("ack.regionpool.io/v1alpha1"), member: tke},
		"NotOfAnyone": {reason: "Other Secrets are not looked at", secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, member: tke},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := refersTo(tc.secret, tc.member); got != tc.want {
				t.Errorf("\nReason: %s\nrefersTo(...): want %t, got %t", tc.reason, tc.want, got)
			}
		})
	}
}
