package snapshot

import (
	"context"
	"testing"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// TestDynamicResources: a member is synced only when its devices are known, or it
// is known that it serves none.
func TestDynamicResources(t *testing.T) {
	meta := metav1.ObjectMeta{Name: "x"}
	named := metav1.ObjectMeta{Namespace: "default", Name: "x"}
	cases := map[string]struct {
		reason string
		serves []string
		want   map[Kind]int
	}{
		"Served":    {"All kinds that are served are watched.", []string{"resourceclaims", "resourceclaims/status", "resourceclaimtemplates", "resourceslices", "deviceclasses"}, map[Kind]int{ResourceClaims: 1, ResourceClaimTemplates: 1, ResourceSlices: 1, DeviceClasses: 1}},
		"Partly":    {"Kinds that are not served are not waited for.", []string{"resourceclaims"}, map[Kind]int{ResourceClaims: 1}},
		"NotServed": {"A member without the API has none.", nil, map[Kind]int{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientset(
				&resourcev1.ResourceClaim{ObjectMeta: named}, &resourcev1.ResourceClaimTemplate{ObjectMeta: named},
				&resourcev1.ResourceSlice{ObjectMeta: meta}, &resourcev1.DeviceClass{ObjectMeta: meta},
			)
			if tc.serves != nil {
				l := &metav1.APIResourceList{GroupVersion: resourcev1.SchemeGroupVersion.String()}
				for _, n := range tc.serves {
					l.APIResources = append(l.APIResources, metav1.APIResource{Name: n})
				}
				c.Resources = append(c.Resources, l)
			}
			m := NewMemberForClient("a", c, WithProbe(func(context.Context) error { return nil }, time.Hour, 0, 0))
			m.Start(t.Context())
			defer m.Stop()
			deadline := time.Now().Add(10 * time.Second)
			for !m.Synced() {
				if time.Now().After(deadline) {
					t.Fatalf("\nReason: %s\nSynced(): it never is", tc.reason)
				}
				time.Sleep(time.Millisecond)
			}
			objs := m.Snapshot().Objects()
			for _, k := range []Kind{ResourceClaims, ResourceClaimTemplates, ResourceSlices, DeviceClasses} {
				if got := len(objs.Set(k).Items()); got != tc.want[k] {
					t.Errorf("\nReason: %s\nSnapshot(): want %d objects of kind %d, got %d", tc.reason, tc.want[k], k, got)
				}
			}
		})
	}
}
