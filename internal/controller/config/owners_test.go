package config

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

func TestOwners(t *testing.T) {
	own := func(m ...func(*ackv1alpha1.Cluster)) *ackv1alpha1.Cluster {
		c := &ackv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "c", UID: "uid-c"}}
		c.Spec.ForProvider.Region = "cn-shanghai"
		c.SetProviderConfigReference(&xpv2.ProviderConfigReference{Kind: v1alpha1.ProviderConfigKind, Name: "aliyun"})
		for _, f := range m {
			f(c)
		}
		return c
	}
	named := func(c *ackv1alpha1.Cluster) { meta.SetExternalName(c, "c1") }
	deletes := func(c *ackv1alpha1.Cluster) {
		c.Spec.ForProvider.Tags = map[string]string{v1alpha1.TagLeaks: v1alpha1.LeaksDelete}
	}
	config := func(s v1alpha1.ProviderConfigStatus) *v1alpha1.ProviderConfig {
		return &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "aliyun"}, Status: s}
	}
	type want struct {
		status  v1alpha1.ProviderConfigStatus
		requeue bool
		writes  int
	}
	cases := map[string]struct {
		reason   string
		mg       resource.ModernManaged
		config   *v1alpha1.ProviderConfig
		conflict bool
		want     want
	}{
		"New": {
			reason: "A new owner is remembered with its region, before anything exists",
			mg:     own(deletes), config: config(v1alpha1.ProviderConfigStatus{}),
			want: want{writes: 1, status: v1alpha1.ProviderConfigStatus{Regions: []string{"cn-shanghai"}, Owners: []v1alpha1.Owner{{UID: "uid-c", Leaks: "delete"}}}},
		},
		"Named": {
			reason: "So is its cluster",
			mg:     own(named), config: config(v1alpha1.ProviderConfigStatus{Regions: []string{"cn-beijing"}, Owners: []v1alpha1.Owner{{UID: "uid-c"}}}),
			want: want{writes: 1, status: v1alpha1.ProviderConfigStatus{Regions: []string{"cn-beijing", "cn-shanghai"}, Owners: []v1alpha1.Owner{{UID: "uid-c", ClusterID: "c1"}}}},
		},
		"Rest": {
			reason: "At rest nothing is written",
			mg:     own(named, deletes), config: config(v1alpha1.ProviderConfigStatus{Regions: []string{"cn-shanghai"}, Owners: []v1alpha1.Owner{{UID: "uid-c", ClusterID: "c1", Leaks: "delete"}}}),
			want: want{status: v1alpha1.ProviderConfigStatus{Regions: []string{"cn-shanghai"}, Owners: []v1alpha1.Owner{{UID: "uid-c", ClusterID: "c1", Leaks: "delete"}}}},
		},
		"Orphan": {
			reason: "What may not be deleted is meant to outlive its resource: it is no leak then",
			mg: own(named, deletes, func(c *ackv1alpha1.Cluster) {
				c.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionObserve, xpv2.ManagementActionCreate})
			}),
			config: config(v1alpha1.ProviderConfigStatus{Regions: []string{"cn-shanghai"}, Owners: []v1alpha1.Owner{{UID: "uid-c", ClusterID: "c1", Leaks: "delete"}}}),
			want:   want{writes: 1, status: v1alpha1.ProviderConfigStatus{Regions: []string{"cn-shanghai"}, Owners: []v1alpha1.Owner{{UID: "uid-c", Leaks: "keep"}}}},
		},
		"Pool": {
			reason: "A pool has a region when it is observed",
			mg: func() resource.ModernManaged {
				np := &tkev1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "c", UID: "uid-p"}}
				np.SetProviderConfigReference(&xpv2.ProviderConfigReference{Kind: v1alpha1.ProviderConfigKind, Name: "aliyun"})
				return np
			}(),
			config: config(v1alpha1.ProviderConfigStatus{}),
			want:   want{writes: 1, status: v1alpha1.ProviderConfigStatus{Owners: []v1alpha1.Owner{{UID: "uid-p"}}}},
		},
		"NoConfig": {
			reason: "A configuration may come after its users",
			mg:     own(), want: want{requeue: true},
		},
		"NoRef": {
			reason: "Without a reference there is nothing to remember it in",
			mg:     own(func(c *ackv1alpha1.Cluster) { c.SetProviderConfigReference(nil) }),
		},
		"Conflict": {
			reason: "A conflict is tried again soon",
			mg:     own(), config: config(v1alpha1.ProviderConfigStatus{}), conflict: true,
			want: want{requeue: true, writes: 1},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := runtime.NewScheme()
			if err := apis.AddToScheme(s); err != nil {
				t.Fatal(err)
			}
			objs := []client.Object{tc.mg}
			if tc.config != nil {
				objs = append(objs, tc.config)
			}
			got := want{}
			kube := fake.NewClientBuilder().WithScheme(s).WithObjects(objs...).WithStatusSubresource(&v1alpha1.ProviderConfig{}).WithInterceptorFuncs(interceptor.Funcs{
				SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
					got.writes++
					if tc.conflict {
						return kerrors.NewConflict(v1alpha1.SchemeGroupVersion.WithResource("providerconfigs").GroupResource(), obj.GetName(), nil)
					}
					return c.SubResource(sub).Patch(ctx, obj, p, opts...)
				},
			}).Build()
			r := &owners{kube: kube, object: func() resource.ModernManaged {
				return tc.mg.DeepCopyObject().(resource.ModernManaged)
			}}
			nn := types.NamespacedName{Namespace: "platform", Name: "c"}
			res, err := r.Reconcile(context.Background(), reconcile.Request{NamespacedName: nn})
			if err != nil {
				t.Fatal(err)
			}
			got.requeue = res.RequeueAfter > 0
			if tc.config != nil {
				pc := &v1alpha1.ProviderConfig{}
				if err := kube.Get(context.Background(), types.NamespacedName{Namespace: "platform", Name: "aliyun"}, pc); err != nil {
					t.Fatal(err)
				}
				got.status = pc.Status
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nReconcile(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
