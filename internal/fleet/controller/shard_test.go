package controller

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// TestShard proves that a fleet of some pools leaves alone, and does not watch
// for, what belongs to others.
func TestShard(t *testing.T) {
	type seen struct{ Plans, Bindings, Reservations, Clusters, Policies []string }
	everything := seen{
		Plans: []string{"other", "pool"}, Bindings: []string{"default/other", "default/web-deployment"}, Reservations: []string{"for-other", "for-pool"},
		Clusters: []string{"ack", "far", "idc-a"}, Policies: []string{"default/of-other", "default/of-pool"},
	}
	cases := map[string]struct {
		reason string
		pools  []string
		want   seen
	}{
		"All":   {"Without a choice a fleet serves all pools.", nil, everything},
		"Named": {"All that are named are served.", []string{"pool", "other"}, everything},
		"One": {
			"Nothing of another pool is read: neither its members.", []string{"pool"},
			seen{Plans: []string{"pool"}, Bindings: []string{"default/web-deployment"}, Reservations: []string{"for-pool"}, Clusters: []string{"ack", "idc-a"}, Policies: []string{"default/of-pool"}},
		},
		"None": {"A pool that does not exist yet has nothing.", []string{"later"}, seen{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			other, binding := capacityPlan(), resourceBinding()
			other.Name, other.Spec.Members, other.Spec.Offerings = "other", []fleetv1alpha1.PlanMember{{Name: "far"}}, nil
			binding.Name, binding.Annotations = "other", map[string]string{policyv1alpha1.ClusterPropagationPolicyAnnotation: "other"}
			objs := []client.Object{capacityPlan(), other, resourceBinding(), binding}
			for _, pool := range []string{"pool", "other"} {
				objs = append(objs,
					&fleetv1alpha1.CapacityReservation{ObjectMeta: metav1.ObjectMeta{Name: "for-" + pool}, Spec: fleetv1alpha1.CapacityReservationSpec{Pool: pool}},
					&policyv1alpha1.OverridePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "of-" + pool, Labels: map[string]string{fleetv1alpha1.LabelPool: pool}}})
			}
			f, _ := newFleet(t, objs, idcNode())
			f.Pools = tc.pools
			v := &view{known: map[string]bool{}, clusters: map[string]*cluster{}}
			ctx := context.Background()
			if err := f.readPlans(ctx, v); err != nil {
				t.Fatal(err)
			}
			if err := f.readReservations(ctx, v); err != nil {
				t.Fatal(err)
			}
			v.merge()
			bs, err := f.readBindings(ctx, v)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.readClusters(ctx, v, bs); err != nil {
				t.Fatal(err)
			}
			policies, err := f.readPolicies(ctx)
			if err != nil {
				t.Fatal(err)
			}
			got := seen{}
			for _, p := range v.plans {
				got.Plans = append(got.Plans, p.plan.Name)
			}
			for _, b := range bs {
				got.Bindings = append(got.Bindings, b.id())
			}
			for _, r := range v.reservations {
				got.Reservations = append(got.Reservations, r.Name)
			}
			for c := range v.clusters {
				got.Clusters = append(got.Clusters, c)
			}
			for p := range policies {
				got.Policies = append(got.Policies, p)
			}
			for _, s := range [][]string{got.Plans, got.Bindings, got.Reservations, got.Clusters, got.Policies} {
				slices.Sort(s)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nFleet of pools %q sees: -want, +got:\n%s", tc.reason, tc.pools, diff)
			}
		})
	}
}
