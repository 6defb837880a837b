package member

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
)

func TestReadClusterBeingDeleted(t *testing.T) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apis.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	cl := &ackv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", DeletionTimestamp: &at, Finalizers: []string{"x"}}}
	cl.Spec.WriteConnectionSecretToReference = &xpv2.LocalSecretReference{Name: "c-kubeconfig"}
	sec := secret("c-kubeconfig", kubeconfig("https://c:6443"))
	sec.Namespace = "ns"
	r := accessReader{live: fake.NewClientBuilder().WithScheme(s).WithObjects(cl, sec).Build()}

	cases := map[string]struct {
		reason  string
		deleted bool
		waits   bool
	}{
		"Lives":  {reason: "A Member does not join a cluster that is being deleted, which would then wait for it for ever.", waits: true},
		"Leaves": {reason: "A Member that leaves still needs the way into it.", deleted: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mg := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}}
			mg.Spec.ForProvider.ClusterRef = &v1alpha1.ClusterReference{APIVersion: ackv1alpha1.SchemeGroupVersion.String(), Kind: ackv1alpha1.ClusterKind, Name: "c"}
			if tc.deleted {
				mg.DeletionTimestamp = &at
			}
			_, err := r.read(context.Background(), mg)
			var ae *accessError
			if diff := cmp.Diff(tc.waits, errors.As(err, &ae) && ae.waits); diff != "" || (!tc.waits && err != nil) {
				t.Errorf("\nReason: %s\nread(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}
