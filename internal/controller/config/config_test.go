package config

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/credentials"
)

func TestUsages(t *testing.T) {
	s := runtime.NewScheme()
	if err := apis.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	usage := &v1alpha1.ProviderConfigUsage{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "uid", Finalizers: []string{credentials.FinalizerInUse}, DeletionTimestamp: &at},
		TypedProviderConfigUsage: xpv2.TypedProviderConfigUsage{
			ResourceReference: xpv2.TypedReference{APIVersion: ackv1alpha1.SchemeGroupVersion.String(), Kind: "Cluster", Name: "c"},
		},
	}
	user := func(uid types.UID) *ackv1alpha1.Cluster {
		return &ackv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: uid}}
	}
	cases := map[string]struct {
		reason string
		objs   []client.Object
		held   bool
		want   reconcile.Result
	}{
		"InUse":    {reason: "A usage is held while its resource exists, even if the namespace is being deleted.", objs: []client.Object{user("uid")}, held: true, want: reconcile.Result{RequeueAfter: time.Second}},
		"Gone":     {reason: "It goes when the resource is gone."},
		"Replaced": {reason: "Another resource of the same name is another user.", objs: []client.Object{user("other")}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientBuilder().WithScheme(s).WithObjects(append(tc.objs, usage.DeepCopy())...).Build()
			r := &usages{kube: kube, live: kube, recheck: time.Second}
			got, err := r.Reconcile(context.Background(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(usage)})
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("\nReason: %s\nReconcile(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
			err = kube.Get(context.Background(), client.ObjectKeyFromObject(usage), &v1alpha1.ProviderConfigUsage{})
			if kerrors.IsNotFound(err) == tc.held {
				t.Errorf("\nReason: %s\nReconcile(...): held is %t", tc.reason, !tc.held)
			}
		})
	}
}
