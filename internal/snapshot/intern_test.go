package snapshot

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/ptr"
)

// transformed returns the pod as an informer would keep it.
func transformed(t *testing.T, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	o, err := stripForCache(p.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	return o.(*corev1.Pod)
}

// ownedPod is one of few kinds of pods, with what is its own and what is not.
func ownedPod(r *rand.Rand, i int) *corev1.Pod {
	p := testPod(fmt.Sprintf("p%d", i), fmt.Sprintf("n%d", r.IntN(5)), r.IntN(4)%3)
	p.Spec.Tolerations = []corev1.Toleration{{Key: "k", Value: fmt.Sprint(r.IntN(2))}}
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-5d8", UID: types.UID(fmt.Sprint(r.IntN(2))), Controller: ptr.To(true)}}
	p.Spec.NodeSelector = map[string]string{"a": "1", "b": fmt.Sprint(r.IntN(2))}
	switch r.IntN(4) {
	case 0:
		p.Labels[appsv1.StatefulSetPodNameLabel] = p.Name
		p.Spec.Hostname = p.Name
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: p.Name}}}}
	case 1:
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{p.Spec.NodeName}}},
		}}}}}
	case 2:
		p.Labels["app"] = "other"
	}
	return p
}

// TestInternerExact proves that sharing changes no pod.
func TestInternerExact(t *testing.T) {
	in := newInterner()
	r := rand.New(rand.NewPCG(1, 4))
	var got, want []*corev1.Pod
	for i := range 500 {
		p := ownedPod(r, i)
		stripPod(p)
		want = append(want, p.DeepCopy())
		in.pod(p)
		got = append(got, p)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("\nPods that share what they have in common are as before.\npod(...): -want, +got:\n%s", diff)
	}
	arrays := map[*corev1.Container]int{}
	for _, p := range got {
		arrays[&p.Spec.Containers[0]]++
	}
	// Three affinities (pods of daemon sets have none besides their own), two
	// tolerations and two selectors.
	if len(arrays) > 3*2*2 {
		t.Errorf("\nPods of one template share their containers.\nwant at most 12 arrays of containers, got %d", len(arrays))
	}
}

func TestTransformShares(t *testing.T) {
	cases := map[string]struct {
		reason       string
		change       func(*corev1.Pod)
		spec, labels bool
	}{
		"Sibling":    {"A replica shares spec and labels.", func(*corev1.Pod) {}, true, true},
		"OtherNode":  {"On which node it runs makes no difference.", func(p *corev1.Pod) { p.Spec.NodeName = "elsewhere" }, true, true},
		"OtherLabel": {"Other labels are its own.", func(p *corev1.Pod) { p.Labels["app"] = "other" }, true, false},
		"OtherRequests": {"Other requests make another template.", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("101m")
		}, false, true},
		"OtherNamespace": {"The namespace is not part of what is shared.", func(p *corev1.Pod) { p.Namespace = "other" }, true, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			first, second := testPod("first", "n", 0), testPod("second", "n", 0)
			tc.change(second)
			a, b := transformed(t, first), transformed(t, second)
			if got := &a.Spec.Containers[0] == &b.Spec.Containers[0]; got != tc.spec {
				t.Errorf("\n%s\nContainers shared: want %t, got %t", tc.reason, tc.spec, got)
			}
			a.Labels["mark"] = "x"
			if _, got := b.Labels["mark"]; got != tc.labels {
				t.Errorf("\n%s\nLabels shared: want %t, got %t", tc.reason, tc.labels, got)
			}
			delete(a.Labels, "mark")
			again, err := stripForCache(a)
			if err != nil || again != any(a) {
				t.Errorf("\n%s\nThe transform of what was transformed: got another object, or %v", tc.reason, err)
			}
			runtime.KeepAlive(a)
		})
	}
}

// TestInternerForgets proves that templates of pods that are gone are not kept.
func TestInternerForgets(t *testing.T) {
	in := newInterner()
	add := func(from, to int) {
		for i := from; i < to; i++ {
			p := testPod("p", "n", 0)
			p.Spec.PriorityClassName = fmt.Sprint(i)
			in.pod(p)
		}
	}
	add(0, 10*minSweep)
	runtime.GC()
	add(10*minSweep, 40*minSweep)
	runtime.GC()
	add(40*minSweep, 80*minSweep)
	if got := len(in.specs.pods); got >= 80*minSweep {
		t.Errorf("\nTemplates without pods are forgotten.\n%d templates were seen and are gone; got %d that are kept", 80*minSweep, got)
	}
}

// TestResourceStatuses proves that what is stripped of container statuses does
// not change what a pod requests.
func TestResourceStatuses(t *testing.T) {
	list := func(cpu string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	status := func(name, actual, allocated string) corev1.ContainerStatus {
		s := corev1.ContainerStatus{Name: name}
		if actual != "" {
			s.Resources = &corev1.ResourceRequirements{Requests: list(actual)}
		}
		if allocated != "" {
			s.AllocatedResources = list(allocated)
		}
		return s
	}
	infeasible := []corev1.PodCondition{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: corev1.PodReasonInfeasible}}
	cases := map[string]struct {
		reason         string
		statuses, init []corev1.ContainerStatus
		conditions     []corev1.PodCondition
		kept           int
	}{
		"AsSpecified":    {"What kubelet reports of any container is dropped.", []corev1.ContainerStatus{status("c", "100m", "100m")}, []corev1.ContainerStatus{status("side", "50m", "50m")}, nil, 0},
		"NotAllocated":   {"Without an allocation it is the same.", []corev1.ContainerStatus{status("c", "0.1", "")}, nil, nil, 0},
		"NotRunning":     {"A container that is not there yet has no resources.", []corev1.ContainerStatus{status("c", "", "100m")}, nil, nil, 0},
		"Shrinks":        {"What is held until a resize is done counts.", []corev1.ContainerStatus{status("c", "300m", "100m")}, nil, nil, 1},
		"Grows":          {"What was asked for counts before it is there.", []corev1.ContainerStatus{status("c", "50m", "50m")}, nil, nil, 1},
		"Infeasible":     {"What cannot be granted does not count.", []corev1.ContainerStatus{status("c", "50m", "50m")}, nil, infeasible, 1},
		"SidecarShrinks": {"Sidecars are resized too.", nil, []corev1.ContainerStatus{status("side", "300m", "50m")}, nil, 1},
		"Unknown":        {"A status of no container counts nothing.", []corev1.ContainerStatus{status("gone", "3", "3")}, nil, nil, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := testPod("p", "n", 0)
			p.Spec.InitContainers = []corev1.Container{{Name: "side", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways), Resources: corev1.ResourceRequirements{Requests: list("50m")}}}
			p.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: tc.statuses, InitContainerStatuses: tc.init, Conditions: tc.conditions}
			got := transformed(t, p)
			requests := func(p *corev1.Pod) framework.Resource {
				pi, err := framework.NewPodInfo(p)
				if err != nil {
					t.Fatal(err)
				}
				return *pi.CalculateResource().Resource.(*framework.Resource)
			}
			if diff := cmp.Diff(requests(p), requests(got)); diff != "" {
				t.Errorf("\n%s\nRequests of the pod: -whole, +stripped:\n%s", tc.reason, diff)
			}
			if n := len(got.Status.ContainerStatuses) + len(got.Status.InitContainerStatuses); n != tc.kept {
				t.Errorf("\n%s\nStatuses kept: want %d, got %d", tc.reason, tc.kept, n)
			}
		})
	}
}

func TestPodConditions(t *testing.T) {
	at := metav1.Unix(1000, 0)
	cond := func(t corev1.PodConditionType, s corev1.ConditionStatus, reason string) corev1.PodCondition {
		return corev1.PodCondition{Type: t, Status: s, Reason: reason, LastTransitionTime: at}
	}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
	unschedulable := cond(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable)
	resized := cond(corev1.PodResizeInProgress, corev1.ConditionTrue, "")
	cases := map[string]struct {
		reason   string
		in, want []corev1.PodCondition
	}{
		"Ready":         {"A pod that runs is Ready, and nothing else.", []corev1.PodCondition{cond(corev1.PodScheduled, corev1.ConditionTrue, ""), cond(corev1.PodReady, corev1.ConditionTrue, ""), cond(corev1.ContainersReady, corev1.ConditionTrue, "")}, []corev1.PodCondition{ready}},
		"NotReady":      {"One that is not Ready has no condition.", []corev1.PodCondition{cond(corev1.PodReady, corev1.ConditionFalse, "")}, nil},
		"Unschedulable": {"Since when a pod has no place is kept.", []corev1.PodCondition{unschedulable}, []corev1.PodCondition{unschedulable}},
		"Resized":       {"A resize is kept.", []corev1.PodCondition{cond(corev1.PodReady, corev1.ConditionTrue, ""), resized}, []corev1.PodCondition{resized, ready}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := podConditions(&corev1.Pod{Status: corev1.PodStatus{Conditions: tc.in}})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\npodConditions(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestCountsLog proves that views are those of a plain map, and do not change.
func TestCountsLog(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	l, now := countsLog{}, map[WorkloadKey]Counts{}
	type taken struct {
		view countsView
		want map[WorkloadKey]Counts
	}
	var old []taken
	for step := range 5000 {
		k := WorkloadKey{Name: fmt.Sprint(r.IntN(400))}
		n := Counts{Total: r.IntN(3)}
		l.set(k, n)
		if n == (Counts{}) {
			delete(now, k)
		} else {
			now[k] = n
		}
		if step%7 == 0 {
			v := l.freeze()
			if got := v.get(k); got != n {
				t.Fatalf("\nA view has the last counts.\nget(%v): want %v, got %v", k, n, got)
			}
			want := map[WorkloadKey]Counts{}
			for k, n := range now {
				want[k] = n
			}
			old = append(old, taken{v, want})
		}
	}
	for i, o := range old {
		if diff := cmp.Diff(o.want, o.view.all()); diff != "" {
			t.Fatalf("\nView %d is as it was taken.\nall(): -want, +got:\n%s", i, diff)
		}
	}
}
