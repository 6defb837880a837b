package estimator

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"

	"regionpool.io/provider-regionpool/cluster/local/progress"
)

// workload returns a Deployment, and a policy that fills idc-a and then idc-b as
// a PlacementPolicy of mode Overflow does.
func workload(name, scheduler string, replicas int32, by func(*corev1.PodSpec)) []client.Object {
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "example.org/c:1"}}},
		}},
	}
	by(&d.Spec.Template.Spec)
	return []client.Object{policy(name, scheduler), d}
}

func policy(name, scheduler string) *policyv1alpha1.PropagationPolicy {
	return &policyv1alpha1.PropagationPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec: policyv1alpha1.PropagationSpec{
			SchedulerName:     scheduler,
			ResourceSelectors: []policyv1alpha1.ResourceSelector{{APIVersion: "apps/v1", Kind: "Deployment", Name: name}},
			Placement: policyv1alpha1.Placement{
				ClusterAffinities: []policyv1alpha1.ClusterAffinityTerm{{
					AffinityName: "own", ClusterAffinity: policyv1alpha1.ClusterAffinity{ClusterNames: []string{"idc-a"}},
					OverflowAffinities: []policyv1alpha1.OverflowClusterAffinity{{AffinityName: "more", ClusterAffinity: policyv1alpha1.ClusterAffinity{ClusterNames: []string{"idc-b"}}}},
				}},
				ReplicaScheduling: &policyv1alpha1.ReplicaSchedulingStrategy{
					ReplicaSchedulingType: policyv1alpha1.ReplicaSchedulingTypeDivided, ReplicaDivisionPreference: policyv1alpha1.ReplicaDivisionPreferenceWeighted,
					WeightPreference: &policyv1alpha1.ClusterPreferences{DynamicWeight: policyv1alpha1.DynamicWeightByAvailableReplicas},
				},
			},
		},
	}
}

func need(name corev1.ResourceName, q string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Containers[0].Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{name: resource.MustParse(q)}, Limits: corev1.ResourceList{name: resource.MustParse(q)}}
	}
}

// apart keeps the replicas of a workload on nodes of their own, which is in no
// request of karmada-scheduler: only the template says so.
func apart(name string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		}}}}
	}
}

// quotaSpace is a namespace that may use two CPU of idc-a.
const quotaSpace = "quota"

// restrict makes the namespace, and waits until its quota counts.
func restrict(ctx context.Context, p *Plane) error {
	if err := p.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: quotaSpace}}); err != nil {
		return fmt.Errorf("cannot create namespace: %w", err)
	}
	api := p.stack.Plane("idc-a").Client().CoreV1()
	if err := wait(ctx, time.Minute, "the namespace is in idc-a", func(ctx context.Context) (bool, error) {
		_, err := api.Namespaces().Get(ctx, quotaSpace, metav1.GetOptions{})
		return err == nil, client.IgnoreNotFound(err)
	}); err != nil {
		return err
	}
	q := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: quotaSpace, Name: "two"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceRequestsCPU: resource.MustParse("2")}},
	}
	if _, err := api.ResourceQuotas(quotaSpace).Create(ctx, q, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("cannot create quota: %w", err)
	}
	return wait(ctx, time.Minute, "the quota counts", func(ctx context.Context) (bool, error) {
		q, err := api.ResourceQuotas(quotaSpace).Get(ctx, q.Name, metav1.GetOptions{})
		return err == nil && len(q.Status.Hard) > 0, err
	})
}

// within puts objects into a namespace.
func within(namespace string, objs []client.Object) []client.Object {
	for _, o := range objs {
		o.SetNamespace(namespace)
	}
	return objs
}

// TestEstimates has an unmodified karmada-scheduler place workloads by fleet's
// estimates.
func TestEstimates(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	ctx, cancel := signal.NotifyContext(t.Context(), os.Interrupt)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	begin := time.Now()
	p, err := Start(ctx, t.TempDir(), progress.New(os.Stderr))
	if err != nil {
		t.Fatalf("Start(...): %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("p.Close(): %v", err)
		}
	})
	t.Logf("Karmada ready after %s", time.Since(begin))

	for _, m := range members() {
		if err := wait(ctx, time.Minute, m.Name+" is ready and announced", func(ctx context.Context) (bool, error) {
			c := &clusterv1alpha1.Cluster{}
			if err := p.client.Get(ctx, client.ObjectKey{Name: m.Name}, c); err != nil {
				return false, err
			}
			svc := &corev1.Service{}
			err := p.client.Get(ctx, client.ObjectKey{Namespace: "karmada-system", Name: "karmada-scheduler-estimator-" + m.Name}, svc)
			return meta.IsStatusConditionTrue(c.Status.Conditions, clusterv1alpha1.ClusterConditionReady) && c.Status.ResourceSummary != nil &&
				len(c.Status.APIEnablements) > 0 && svc.Spec.ExternalName == "localhost", err
		}); err != nil {
			t.Fatal(err)
		}
	}
	// It connects when it sees that a cluster changes, which is every few
	// seconds: Karmada writes its status.
	if err := p.connected(ctx); err != nil {
		t.Fatal(err)
	}

	if err := restrict(ctx, p); err != nil {
		t.Fatal(err)
	}

	cases := []struct {
		reason string
		objs   []client.Object
		name   string
		want   map[string]int32
	}{
		{
			reason: "Without estimates, what the template says is not seen: the third has no node",
			name:   "blind", objs: workload("blind", blind, 3, apart("blind")),
			want: map[string]int32{"idc-a": 3},
		},
		{
			reason: "Anti-affinity, which is only in the template, leaves a place on each node",
			name:   "apart", objs: workload("apart", estimated, 3, apart("apart")),
			want: map[string]int32{"idc-a": 2, "idc-b": 1},
		},
		{
			reason: "Two nodes with three GPUs have no room for three replicas with two GPUs",
			name:   "gpu", objs: workload("gpu", estimated, 3, need(gpu, "2")),
			want: map[string]int32{"idc-a": 2, "idc-b": 1},
		},
		{
			reason: "A quota of two CPU in idc-a admits two replicas of one",
			name:   "limited", objs: within(quotaSpace, workload("limited", estimated, 3, need(corev1.ResourceCPU, "1"))),
			want: map[string]int32{"idc-a": 2, "idc-b": 1},
		},
		{
			reason: "Two nodes of 8 CPU have room for four replicas of 3",
			name:   "first", objs: workload("first", estimated, 3, need(corev1.ResourceCPU, "3")),
			want: map[string]int32{"idc-a": 3},
		},
		{
			reason: "Replicas that were assigned a moment ago, and are not seen yet, have their places",
			name:   "second", objs: workload("second", estimated, 3, need(corev1.ResourceCPU, "3")),
			want: map[string]int32{"idc-a": 1, "idc-b": 2},
		},
	}
	for _, tc := range cases {
		for _, o := range tc.objs {
			if err := p.client.Create(ctx, o); err != nil {
				t.Fatalf("Cannot create %T %s: %v", o, o.GetName(), err)
			}
		}
		var got map[string]int32
		if err := wait(ctx, time.Minute, tc.name+" is placed", func(ctx context.Context) (bool, error) {
			got, err = p.clusters(ctx, tc.objs[0].GetNamespace(), tc.name)
			return got != nil, err
		}); err != nil {
			t.Errorf("\n%s\n%v", tc.reason, err)
			continue
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("\n%s\n%s: -want, +got:\n%s", tc.reason, tc.name, diff)
		}
	}
	// What was promised is true: only the one that was placed blindly waits.
	for _, tc := range cases[1:] {
		if err := wait(ctx, time.Minute, "all of "+tc.name+" run", func(ctx context.Context) (bool, error) {
			d := &appsv1.Deployment{}
			err := p.client.Get(ctx, client.ObjectKeyFromObject(tc.objs[1]), d)
			return d.Status.ReadyReplicas == 3, err
		}); err != nil {
			t.Errorf("\n%s\n%v", tc.reason, err)
		}
	}
}
