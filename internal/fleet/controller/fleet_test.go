package controller

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	b := runtime.NewSchemeBuilder(corev1.AddToScheme, appsv1.AddToScheme, coordinationv1.AddToScheme, clusterv1alpha1.Install, policyv1alpha1.Install, workv1alpha2.Install, fleetv1alpha1.AddToScheme)
	if err := b.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func deployment() *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web"},
		Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(4)), Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")},
			}}}},
		}},
	}
}

func resourceBinding() *workv1alpha2.ResourceBinding {
	return &workv1alpha2.ResourceBinding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "web-deployment", Generation: 7,
			Labels:      map[string]string{policyv1alpha1.ClusterPropagationPolicyPermanentIDLabel: "id"},
			Annotations: map[string]string{policyv1alpha1.ClusterPropagationPolicyAnnotation: "pool"},
		},
		Spec: workv1alpha2.ResourceBindingSpec{
			Resource: workv1alpha2.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web", UID: "web"},
			Replicas: 4, SchedulerName: fleetv1alpha1.SchedulerName,
			Placement: &policyv1alpha1.Placement{ClusterAffinity: &policyv1alpha1.ClusterAffinity{ClusterNames: []string{"idc-a", "ack"}}},
		},
	}
}

func capacityPlan() *fleetv1alpha1.CapacityPlan {
	return &fleetv1alpha1.CapacityPlan{
		ObjectMeta: metav1.ObjectMeta{Name: "pool", Generation: 1},
		Spec: fleetv1alpha1.CapacityPlanSpec{
			Members: []fleetv1alpha1.PlanMember{{Name: "idc-a"}, {Name: "ack", Tier: 1, Elastic: true}},
			Offerings: []fleetv1alpha1.Offering{{Name: "ack-g", Member: "ack", Max: 5, HourlyPrice: resource.MustParse("1.5"), Allocatable: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi"),
			}}},
			ScaleDown: fleetv1alpha1.ScaleDown{NodeIdle: metav1.Duration{Duration: 10 * time.Minute}, ClusterIdle: metav1.Duration{Duration: time.Hour}},
		},
	}
}

func karmadaCluster(name string) *clusterv1alpha1.Cluster {
	return &clusterv1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid"},
		Spec:       clusterv1alpha1.ClusterSpec{APIEndpoint: "https://127.0.0.1:1", SecretRef: &clusterv1alpha1.LocalSecretReference{Namespace: "karmada-cluster", Name: name}},
		Status:     clusterv1alpha1.ClusterStatus{Conditions: []metav1.Condition{{Type: clusterv1alpha1.ClusterConditionReady, Status: metav1.ConditionTrue}}},
	}
}

// newFleet returns a fleet over a fake Karmada, in which idc-a is a member with
// the supplied nodes, and a count of its writes.
func newFleet(t *testing.T, objs []client.Object, nodes ...runtime.Object) (*Fleet, *atomic.Int32) {
	t.Helper()
	writes := &atomic.Int32{}
	count := interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			writes.Add(1)
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			writes.Add(1)
			return c.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			writes.Add(1)
			return c.Delete(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			writes.Add(1)
			return c.Patch(ctx, o, p, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			writes.Add(1)
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			writes.Add(1)
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	}
	c := fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(objs...).
		WithStatusSubresource(&workv1alpha2.ResourceBinding{}, &fleetv1alpha1.CapacityPlan{}, &fleetv1alpha1.CapacityReservation{}).WithInterceptorFuncs(count).Build()
	f, err := New(Options{Client: c, Live: c, Log: logr.Discard(), Scheduler: scheduler.DefaultSettings, Planner: planner.DefaultSettings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.simulator.Close)
	addMember(t, f, "idc-a", nodes...)
	return f, writes
}

// addMember makes a cluster with the supplied objects a member.
func addMember(t *testing.T, f *Fleet, name string, objs ...runtime.Object) {
	t.Helper()
	sim, err := simulation.New()
	if err != nil {
		t.Fatal(err)
	}
	m := snapshot.NewMemberForClient(name, kubefake.NewClientset(objs...), snapshot.WithProbe(func(context.Context) error { return nil }, time.Hour, 0, 0))
	if err := f.members.registry.Add(m); err != nil {
		t.Fatal(err)
	}
	f.members.byName[name] = &liveMember{Member: m, simulator: sim, uid: "uid", started: time.Now(), checked: time.Now()}
	m.Start(t.Context())
	t.Cleanup(func() { m.Stop(); sim.Close() })
	for range 500 {
		if m.Synced() && m.Contact().Reachable {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the member's cache does not sync")
}

func idcNode() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110")},
		Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}}
}

func TestFleetRound(t *testing.T) {
	f, writes := newFleet(t, []client.Object{deployment(), resourceBinding(), capacityPlan(), karmadaCluster("idc-a")}, idcNode())
	ctx := t.Context()
	seen := time.Now()
	if _, err := f.Round(ctx, seen); err != nil {
		t.Fatal(err)
	}

	rb := &workv1alpha2.ResourceBinding{}
	if err := f.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: "web-deployment"}, rb); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]workv1alpha2.TargetCluster{{Name: "idc-a", Replicas: 2}}, rb.Spec.Clusters); diff != "" {
		t.Errorf("What fits is placed: -want, +got:\n%s", diff)
	}
	if rb.Annotations[karmadautil.PolicyPlacementAnnotation] == "" {
		t.Errorf("The placement that was applied is in an annotation: got %v", rb.Annotations)
	}
	c := meta.FindStatusCondition(rb.Status.Conditions, workv1alpha2.Scheduled)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != workv1alpha2.BindingReasonUnschedulable {
		t.Errorf("The status says that some wait: got %v", c)
	}
	if rb.Status.SchedulerObservedGeneration != rb.Generation || rb.Status.LastScheduledTime == nil {
		t.Errorf("The status says what was scheduled: generation %d of %d, at %v", rb.Status.SchedulerObservedGeneration, rb.Generation, rb.Status.LastScheduledTime)
	}
	p := &fleetv1alpha1.CapacityPlan{}
	if err := f.Client.Get(ctx, client.ObjectKey{Name: "pool"}, p); err != nil {
		t.Fatal(err)
	}
	if len(p.Status.Offerings) != 1 || p.Status.Offerings[0].Nodes != 1 || p.Status.HourlyCost != "1.5" {
		t.Errorf("A node for the rest is wanted: got %+v", p.Status)
	}
	if got := f.Decisions.List(); len(got) != 1 || got[0].To != 1 || !got[0].UnmetSeen.Equal(seen) {
		t.Errorf("The decision is on record: got %v", got)
	}

	if _, err := f.Round(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	writes.Store(0)
	f.statusWritten = map[string]time.Time{}
	for range 3 {
		if _, err := f.Round(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if writes.Load() != 0 {
		t.Errorf("At rest nothing is written: got %d writes", writes.Load())
	}
}

func TestFleetLeavesAlone(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*workv1alpha2.ResourceBinding)
	}{
		"OtherScheduler": {"Bindings of other schedulers are not ours.", func(b *workv1alpha2.ResourceBinding) { b.Spec.SchedulerName = "default-scheduler" }},
		"NoPermanentID":  {"Karmada's webhook has not completed the binding.", func(b *workv1alpha2.ResourceBinding) { b.Labels = nil }},
		"Suspended": {"Scheduling is suspended.", func(b *workv1alpha2.ResourceBinding) {
			b.Spec.Suspension = &workv1alpha2.Suspension{Scheduling: ptr.To(true)}
		}},
		"OtherPool": {"There is no such plan.", func(b *workv1alpha2.ResourceBinding) { b.Annotations = nil }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			tc.change(rb)
			f, _ := newFleet(t, []client.Object{deployment(), rb, capacityPlan(), karmadaCluster("idc-a")}, idcNode())
			if _, err := f.Round(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			got := &workv1alpha2.ResourceBinding{}
			if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(rb), got); err != nil {
				t.Fatal(err)
			}
			if len(got.Spec.Clusters) > 0 || len(got.Status.Conditions) > 0 {
				t.Errorf("%s Got %v", tc.reason, got.Spec.Clusters)
			}
		})
	}
}

func TestOverlay(t *testing.T) {
	o := newOverlay()
	obj := func(rv string) client.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", ResourceVersion: rv}}
	}
	o.put("a", obj("10"))
	if got := o.latest("a", obj("9")).GetResourceVersion(); got != "10" {
		t.Errorf("What was written is newer than the cache: got %s", got)
	}
	if got := o.latest("a", obj("11")).GetResourceVersion(); got != "11" {
		t.Errorf("The cache has caught up: got %s", got)
	}
	if got := o.latest("a", obj("9")).GetResourceVersion(); got != "9" {
		t.Errorf("What the cache has shown is forgotten: got %s", got)
	}
}

func TestDecisions(t *testing.T) {
	d := &Decisions{}
	for i := range keptDecisions + 2 {
		d.Add(DecisionRecord{To: int32(i)})
	}
	got := d.List()
	if len(got) != keptDecisions || got[0].To != 2 || got[len(got)-1].To != keptDecisions+1 {
		t.Errorf("The last decisions are kept in order: got %d, from %d to %d", len(got), got[0].To, got[len(got)-1].To)
	}
}

func TestRefused(t *testing.T) {
	b := bindingOf(resourceBinding())
	b.spec.GracefulEvictionTasks = []workv1alpha2.GracefulEvictionTask{{FromCluster: "evicted"}}
	b.spec.Placement.ClusterAffinity.ClusterNames = []string{"evicted", "tainted", "draining", "old", "ack"}
	mk := func(name string, fn func(*cluster)) *cluster {
		c := &cluster{Cluster: *karmadaCluster(name), exists: true}
		fn(c)
		return c
	}
	taint := func(key string) func(*cluster) {
		return func(c *cluster) { c.Spec.Taints = []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}} }
	}
	got := b.refused([]*cluster{
		mk("evicted", func(*cluster) {}), mk("other", func(*cluster) {}), mk("tainted", taint("mine")), mk("draining", taint(fleetv1alpha1.TaintDraining)),
		mk("old", func(c *cluster) {
			c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{Type: clusterv1alpha1.ClusterConditionCompleteAPIEnablements, Status: metav1.ConditionTrue})
		}),
		absent("ack", "pool"),
	})
	want := map[string]string{
		"evicted": "the workload is being evicted from it",
		"other":   "the placement does not select it",
		"tainted": "it has the taint mine:NoSchedule",
		"old":     "it does not serve apps/v1 Deployment",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Members that may get nothing are refused with reasons: -want, +got:\n%s", diff)
	}
}
