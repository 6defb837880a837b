package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

func TestPause(t *testing.T) {
	cases := map[string]struct {
		reason    string
		took, ago time.Duration
		want      time.Duration
	}{
		"Rest":    {reason: "The first change after a while waits for those that come with it.", took: time.Second, ago: time.Minute, want: coalesce},
		"Quick":   {reason: "After a quick round nothing is gained by waiting longer.", took: time.Millisecond, want: coalesce},
		"Slow":    {reason: "While changes keep coming, as long as a round takes nothing is decided.", took: 100 * time.Millisecond, want: 100 * time.Millisecond},
		"Slower":  {reason: "The longer a round takes, the less of the time is for rounds.", took: 350 * time.Millisecond, want: 550 * time.Millisecond},
		"Partly":  {reason: "The time since the last round counts.", took: 100 * time.Millisecond, ago: 60 * time.Millisecond, want: 40 * time.Millisecond},
		"Bounded": {reason: "Nobody waits for long.", took: time.Minute, want: breath},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := pause(tc.took, tc.ago); got != tc.want {
				t.Errorf("\nReason: %s\npause(%s, %s): got %s, want %s", tc.reason, tc.took, tc.ago, got, tc.want)
			}
		})
	}
}

// TestParallelWrites has many bindings written at a time, some of which conflict,
// while the cache shows none of it. What was promised stays promised, and is
// written once.
func TestParallelWrites(t *testing.T) {
	const workloads, nodes = 60, 20
	plan := capacityPlan()
	plan.Spec.Members, plan.Spec.Offerings = []fleetv1alpha1.PlanMember{{Name: "idc-a"}}, nil
	objs := []client.Object{plan, karmadaCluster("idc-a")}
	for i := range workloads {
		d, b := deployment(), resourceBinding()
		d.Name, d.UID, d.Spec.Replicas = fmt.Sprintf("web-%d", i), types.UID(fmt.Sprintf("web-%d", i)), ptr.To(int32(1))
		b.Name, b.UID, b.Spec.Replicas = d.Name+"-deployment", "b-"+d.UID, 1
		b.Spec.Resource.Name, b.Spec.Resource.UID = d.Name, d.UID
		objs = append(objs, d, b)
	}
	var in []runtime.Object
	for i := range nodes {
		n := idcNode()
		n.Name = fmt.Sprintf("n-%d", i)
		in = append(in, n)
	}
	f, _ := newFleet(t, objs, in...)
	ctx := t.Context()
	old := &workv1alpha2.ResourceBindingList{}
	if err := f.Client.List(ctx, old); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	assigned, refused := map[string]int{}, map[string]int{}
	behind := true
	under := f.Client.(client.WithWatch)
	f.Client = interceptor.NewClient(under, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if rbs, ok := l.(*workv1alpha2.ResourceBindingList); ok && behind {
				old.DeepCopyInto(rbs)
				return nil
			}
			return c.List(ctx, l, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			rb, ok := o.(*workv1alpha2.ResourceBinding)
			if !ok {
				return c.Patch(ctx, o, p, opts...)
			}
			mu.Lock()
			given := len(rb.Spec.Clusters) > 0
			fails := given && len(refused) < 10 && refused[rb.Name] == 0
			if fails {
				refused[rb.Name]++
			}
			mu.Unlock()
			if fails {
				return apierrors.NewConflict(schema.GroupResource{Resource: "resourcebindings"}, rb.Name, nil)
			}
			err := c.Patch(ctx, o, p, opts...)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && given {
				assigned[rb.Name]++
			}
			return err
		},
	})
	placed := func() int {
		t.Helper()
		rbs := &workv1alpha2.ResourceBindingList{}
		if err := under.List(ctx, rbs); err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range rbs.Items {
			for _, c := range rbs.Items[i].Spec.Clusters {
				n += int(c.Replicas)
			}
		}
		return n
	}
	const room = 2 * nodes
	for i, want := range []int{room - 10, room, room} {
		if i == 2 {
			behind = false
		}
		if _, err := f.Round(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := placed(); got != want {
			t.Errorf("\nReason: what is promised is not promised again, and what could not be written is decided anew\nRound %d: %d replicas have a place, want %d", i, got, want)
		}
	}
	for name, n := range assigned {
		if n != 1 {
			t.Errorf("\nReason: what the cache does not show yet is not written again\n%s was assigned %d times", name, n)
		}
	}
	if len(assigned) != room || len(refused) != 10 {
		t.Errorf("\nReason: there is room for %d, and ten conflicted\n%d were assigned, %d refused", room, len(assigned), len(refused))
	}
}

func TestAllClusters(t *testing.T) {
	cases := map[string]struct {
		reason string
		all    bool
		want   []string
	}{
		"Pools": {reason: "Only the clusters of pools are watched."},
		"All":   {reason: "Others are watched, too, where estimates of them are wanted.", all: true, want: []string{"stranger"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f, _ := newFleet(t, []client.Object{capacityPlan(), karmadaCluster("idc-a"), karmadaCluster("stranger")}, idcNode())
			f.AllClusters = tc.all
			var got []string
			f.members.connect = func(_ context.Context, c *clusterv1alpha1.Cluster) (*rest.Config, error) {
				got = append(got, c.Name)
				return nil, errors.New("not now")
			}
			if _, err := f.Round(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nclusters that a round connects to: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
