package controller

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

func virtualOffering(member string) fleetv1alpha1.Offering {
	return fleetv1alpha1.Offering{
		Name: member + "-virtual", Member: member, Max: 100,
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("512Gi")},
		Virtual: &fleetv1alpha1.VirtualCapacity{
			NodeLabels:  map[string]string{"type": "virtual-kubelet"},
			Tolerations: []corev1.Toleration{{Key: "virtual-kubelet.io/provider", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
			CPUHour:     resource.MustParse("0.35"), MemoryGiBHour: resource.MustParse("0.04"),
		},
	}
}

func virtualPlan() *fleetv1alpha1.CapacityPlan {
	p := capacityPlan()
	p.Spec.Offerings = append(p.Spec.Offerings, virtualOffering("ack"))
	p.Spec.Weights.Price = ptr.To(resource.MustParse("1"))
	return p
}

// A rulesOf says which value each rule of a policy sets, by member and path.
type rulesOf map[string]map[string]string

func rulesIn(p *policyv1alpha1.OverridePolicy) rulesOf {
	out := rulesOf{}
	for i := range p.Spec.OverrideRules {
		r := &p.Spec.OverrideRules[i]
		m := map[string]string{}
		for _, o := range r.Overriders.Plaintext {
			m[string(o.Operator)+" "+o.Path] = string(o.Value.Raw)
		}
		out[ruleMember(r)] = m
	}
	return out
}

const (
	addTolerations = "add /spec/template/spec/tolerations"
	addAffinity    = "add /spec/template/spec/affinity"
	notVirtual     = `{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"preference":{"matchExpressions":[{"key":"type","operator":"NotIn","values":["virtual-kubelet"]}]}}]}}`
	virtualOnly    = `[{"key":"virtual-kubelet.io/provider","operator":"Exists","effect":"NoSchedule"}]`
	virtualAndMine = `[{"key":"mine","operator":"Exists"},{"key":"virtual-kubelet.io/provider","operator":"Exists","effect":"NoSchedule"}]`
)

// TestOverride follows the policy of a workload through its life.
func TestOverride(t *testing.T) {
	f, writes := newFleet(t, []client.Object{deployment(), resourceBinding(), virtualPlan(), karmadaCluster("idc-a")}, idcNode())
	ctx := t.Context()
	key := client.ObjectKey{Namespace: "default", Name: "regionpool-deployment-web"}
	get := func() *policyv1alpha1.OverridePolicy {
		t.Helper()
		p := &policyv1alpha1.OverridePolicy{}
		if err := f.Client.Get(ctx, key, p); apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			t.Fatal(err)
		}
		return p
	}
	view := func() *view {
		t.Helper()
		v, err := f.view(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	change := func(o client.Object, fn func()) {
		t.Helper()
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		fn()
		if err := f.Client.Update(ctx, o); err != nil {
			t.Fatal(err)
		}
	}

	v := view()
	p := get()
	if p == nil {
		t.Fatal("The policy is there before the binding has replicas: got none")
	}
	if diff := cmp.Diff(rulesOf{"ack": {addTolerations: virtualOnly, addAffinity: notVirtual}}, rulesIn(p)); diff != "" {
		t.Errorf("It tolerates virtual nodes and prefers others: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]policyv1alpha1.ResourceSelector{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web"}}, p.Spec.ResourceSelectors); diff != "" {
		t.Errorf("It is about the workload only: -want, +got:\n%s", diff)
	}
	if p.Labels[fleetv1alpha1.LabelPool] != "pool" || len(p.OwnerReferences) != 1 || p.OwnerReferences[0].UID != "web" {
		t.Errorf("It is the workload's: got labels %v, owners %v", p.Labels, p.OwnerReferences)
	}
	if got := v.input.Bindings[0].Tolerates; !got["ack"] || got["idc-a"] {
		t.Errorf("The round knows where replicas tolerate virtual nodes: got %v", got)
	}

	writes.Store(0)
	for range 3 {
		view()
	}
	if writes.Load() != 0 {
		t.Errorf("At rest it is not written: got %d writes", writes.Load())
	}

	d, rb, plan := &appsv1.Deployment{}, &workv1alpha2.ResourceBinding{}, &fleetv1alpha1.CapacityPlan{}
	d.Namespace, d.Name, rb.Namespace, rb.Name, plan.Name = "default", "web", "default", "web-deployment", "pool"
	change(d, func() { d.Spec.Template.Spec.Containers[0].Image = "new" })
	change(rb, func() { rb.Spec.Resource.ResourceVersion = "2" })
	writes.Store(0)
	view()
	if writes.Load() != 0 {
		t.Errorf("A new image is no change of it: got %d writes", writes.Load())
	}
	change(d, func() {
		d.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: "mine", Operator: corev1.TolerationOpExists}}
	})
	change(rb, func() { rb.Spec.Resource.ResourceVersion = "3" })
	view()
	if diff := cmp.Diff(rulesOf{"ack": {addTolerations: virtualAndMine, addAffinity: notVirtual}}, rulesIn(get())); diff != "" {
		t.Errorf("A change of the workload is followed: -want, +got:\n%s", diff)
	}

	change(rb, func() { rb.Spec.Clusters = []workv1alpha2.TargetCluster{{Name: "ack", Replicas: 1}} })
	change(plan, func() { plan.Spec.Offerings = plan.Spec.Offerings[:1] })
	view()
	if p := get(); p == nil || len(p.Spec.OverrideRules) != 1 {
		t.Errorf("While replicas are there it stays, for their pods would restart: got %v", p)
	}
	change(rb, func() { rb.Spec.Clusters = nil })
	view()
	if p := get(); p != nil {
		t.Errorf("What is not needed is deleted: got %v", p)
	}
	change(plan, func() { plan.Spec.Offerings = append(plan.Spec.Offerings, virtualOffering("ack")) })
	view()
	if get() == nil {
		t.Error("And made again: got none")
	}
	change(rb, func() { rb.Spec.SchedulerName = "default-scheduler" })
	view()
	if p := get(); p != nil {
		t.Errorf("A workload that fleet does not place any more needs none: got %v", p)
	}
}

func TestRules(t *testing.T) {
	privileged := corev1.SecurityContext{Privileged: ptr.To(true)}
	cases := map[string]struct {
		reason   string
		change   func(*workv1alpha2.ResourceBinding, *template)
		have     bool
		assigned int32
		want     []string
	}{
		"Usual":       {reason: "A Deployment may use them.", want: []string{"ack"}},
		"HostNetwork": {reason: "Virtual nodes have no host.", change: func(_ *workv1alpha2.ResourceBinding, t *template) { t.pods.Spec.Spec.HostNetwork = true }},
		"Privileged": {reason: "Nor are pods privileged there.", change: func(_ *workv1alpha2.ResourceBinding, t *template) {
			t.pods.Spec.Spec.Containers[0].SecurityContext = &privileged
		}},
		"GPU": {reason: "A device that is not offered.", change: func(_ *workv1alpha2.ResourceBinding, t *template) {
			t.pods.Spec.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"] = resource.MustParse("1")
		}},
		"TooLarge": {reason: "It is larger than the largest pod.", change: func(_ *workv1alpha2.ResourceBinding, t *template) {
			t.pods.Spec.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("65")
		}},
		"DaemonSet":   {reason: "It runs on every node, and nodes these are not.", change: func(_ *workv1alpha2.ResourceBinding, t *template) { t.divided = false }},
		"NoTemplate":  {reason: "Where the pod template is, is not known.", change: func(_ *workv1alpha2.ResourceBinding, t *template) { t.templated = false }},
		"NewJob":      {reason: "A Job that does not run yet.", change: func(b *workv1alpha2.ResourceBinding, _ *template) { b.Spec.Resource.Kind = "Job" }, want: []string{"ack"}},
		"RunningJob":  {reason: "The template of a Job that runs cannot change.", change: func(b *workv1alpha2.ResourceBinding, _ *template) { b.Spec.Resource.Kind = "Job" }, assigned: 1},
		"RunsAlready": {reason: "A Deployment is rolled over once.", assigned: 1, want: []string{"ack"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			if tc.assigned > 0 {
				rb.Spec.Clusters = []workv1alpha2.TargetCluster{{Name: "ack", Replicas: tc.assigned}}
			}
			tpl := &template{pods: &scheduler.Template{Namespace: "default", Spec: *deployment().Spec.Template.DeepCopy()}, divided: true, templated: true}
			if tc.change != nil {
				tc.change(rb, tpl)
			}
			rs, err := rules(bindingOf(rb), tpl, byMember(virtuals(virtualPlan())), nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range rs {
				got = append(got, ruleMember(&rs[i]))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSteer(t *testing.T) {
	pod := func(name, node string, annotations map[string]string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: name, Annotations: annotations, Labels: map[string]string{"pod-template-hash": "h"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-h", Controller: ptr.To(true)}},
			},
			Spec: corev1.PodSpec{NodeName: node},
		}
	}
	vk := idcNode()
	vk.Name, vk.Labels = "vk", map[string]string{"type": "virtual-kubelet"}
	goes := idcNode()
	goes.Name, goes.Spec.Taints = "goes", []corev1.Taint{{Key: fleetv1alpha1.TaintReleasing, Value: fleetv1alpha1.ReleasingPool, Effect: corev1.TaintEffectNoSchedule}}
	pods := []*corev1.Pod{pod("virtual", "vk", nil), pod("real", "n1", nil), pod("own", "vk", map[string]string{corev1.PodDeletionCost: "7"}), pod("leaving", "goes", nil)}
	for i, p := range pods {
		p.UID = types.UID(strconv.Itoa(i))
	}
	snap, err := snapshot.New([]*corev1.Node{idcNode(), vk, goes}, pods)
	if err != nil {
		t.Fatal(err)
	}
	c := kubefake.NewClientset(pods[0], pods[1], pods[2], pods[3], idcNode(), vk, goes)
	s := newSteerer(clocktesting.NewFakeClock(time.Now()), logr.Discard())
	ours := map[snapshot.WorkloadKey]bool{{Namespace: "default", Kind: "Deployment", Name: "web"}: true}
	for range 3 {
		s.steer(t.Context(), c, snap, virtuals(virtualPlan()), func() map[snapshot.WorkloadKey]bool { return ours })
	}
	want := map[string]string{"virtual": scheduler.DeletionCost, "real": "", "own": "7", "leaving": scheduler.DeletionCost}
	var got map[string]string
	for range 200 {
		got = map[string]string{}
		for _, p := range pods {
			now, err := c.CoreV1().Pods("default").Get(context.Background(), p.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got[p.Name] = now.Annotations[corev1.PodDeletionCost]
		}
		if cmp.Equal(want, got) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Pods on virtual nodes and on those that leave are the first to go, unless their author says otherwise: -want, +got:\n%s", diff)
	}
	for name, want := range map[string]bool{"vk": true, "n1": false, "goes": false} {
		var n *corev1.Node
		for range 200 {
			if n, err = c.CoreV1().Nodes().Get(context.Background(), name, metav1.GetOptions{}); err != nil {
				t.Fatal(err)
			}
			if isTainted(n) == want {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if isTainted(n) != want {
			t.Errorf("Virtual nodes are the last choice: got taints %v on %s", n.Spec.Taints, name)
		}
	}
	patches := 0
	for _, a := range c.Actions() {
		if a.GetVerb() == "patch" {
			patches++
		}
	}
	if patches != 2 {
		t.Errorf("Each is written once: want 2 patches, got %d", patches)
	}
}
