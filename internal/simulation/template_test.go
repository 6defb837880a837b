package simulation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

func TestNewPod(t *testing.T) {
	cpu := func(q string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(q)}
	}
	seconds := int64(tolerationSeconds)
	tolerations := []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
	}
	zero, high := int32(0), int32(1000)
	kata := "kata"
	objs, err := snapshot.NewObjects(
		&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "limited", Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, DefaultRequest: cpu("200m"), Default: cpu("400m")}}}},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: kata}, Overhead: &nodev1.Overhead{PodFixed: cpu("100m")},
			Scheduling: &nodev1.Scheduling{NodeSelector: map[string]string{"kata": "yes"}}},
		&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: high},
	)
	if err != nil {
		t.Fatal(err)
	}
	type want struct {
		pod *corev1.Pod
		err bool
	}
	cases := map[string]struct {
		reason    string
		namespace string
		spec      corev1.PodSpec
		want      want
	}{
		"LimitsBecomeRequests": {
			reason:    "A limit without a request is a request; tolerations of nodes that are not ready are added.",
			namespace: "default",
			spec:      corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: cpu("1")}}}},
			want: want{pod: &corev1.Pod{Spec: corev1.PodSpec{
				SchedulerName: corev1.DefaultSchedulerName, Priority: &zero, Tolerations: tolerations,
				Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: cpu("1"), Requests: cpu("1")}}},
			}}},
		},
		"HostNetwork": {
			reason:    "On the host's network every port is a host port.",
			namespace: "default",
			spec:      corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}},
			want: want{pod: &corev1.Pod{Spec: corev1.PodSpec{
				SchedulerName: corev1.DefaultSchedulerName, Priority: &zero, Tolerations: tolerations, HostNetwork: true,
				Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80, Protocol: corev1.ProtocolTCP}}}},
			}}},
		},
		"LimitRange": {
			reason:    "A namespace's limit range fills in what is missing.",
			namespace: "limited",
			spec:      corev1.PodSpec{Containers: []corev1.Container{{}}},
			want: want{pod: &corev1.Pod{Spec: corev1.PodSpec{
				SchedulerName: corev1.DefaultSchedulerName, Priority: &zero, Tolerations: tolerations,
				Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: cpu("400m"), Requests: cpu("200m")}}},
			}}},
		},
		"Classes": {
			reason:    "The priority class gives the priority, the runtime class overhead and nodes.",
			namespace: "default",
			spec:      corev1.PodSpec{PriorityClassName: "high", RuntimeClassName: &kata, NodeSelector: map[string]string{"disk": "ssd"}},
			want: want{pod: &corev1.Pod{Spec: corev1.PodSpec{
				SchedulerName: corev1.DefaultSchedulerName, Priority: &high, PriorityClassName: "high", Tolerations: tolerations,
				RuntimeClassName: &kata, Overhead: cpu("100m"), NodeSelector: map[string]string{"disk": "ssd", "kata": "yes"},
			}}},
		},
		"NoPriorityClass": {
			reason:    "A pod with a priority class that does not exist is refused by the API server.",
			namespace: "default",
			spec:      corev1.PodSpec{PriorityClassName: "none"},
			want:      want{err: true},
		},
		"ConflictingRuntimeClass": {
			reason:    "A node selector that contradicts the runtime class is refused by the API server.",
			namespace: "default",
			spec:      corev1.PodSpec{RuntimeClassName: &kata, NodeSelector: map[string]string{"kata": "no"}},
			want:      want{err: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tmpl := &corev1.PodTemplateSpec{Spec: tc.spec}
			before := tmpl.DeepCopy()
			got, err := NewPod(tmpl, tc.namespace, objs)
			if (err != nil) != tc.want.err {
				t.Fatalf("\n%s\nNewPod(...): want error %v, got %v", tc.reason, tc.want.err, err)
			}
			if tc.want.pod != nil {
				tc.want.pod.Namespace, tc.want.pod.Name = tc.namespace, "pod"
			}
			if diff := cmp.Diff(tc.want.pod, got); diff != "" {
				t.Errorf("\n%s\nNewPod(...): -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(before, tmpl); diff != "" {
				t.Errorf("\n%s\nThe template changed: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestNewPodOwner(t *testing.T) {
	tmpl := &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}}
	p, err := NewPod(tmpl, "default", nil, OwnedBy("apps/v1", "Deployment", "web"))
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := snapshot.WorkloadOf(p); !ok || k != (snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: "web"}) {
		t.Errorf("A pod of a Deployment is counted as its; got %v", k)
	}
	q, err := NewPod(tmpl, "default", nil, SiblingOf(p))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.Labels, q.Labels); diff != "" {
		t.Errorf("A sibling is of the same revision: -want, +got:\n%s", diff)
	}
}

func TestNewPodLabelKeys(t *testing.T) {
	selector := func(more ...metav1.LabelSelectorRequirement) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}, MatchExpressions: more}
	}
	revision := func(op metav1.LabelSelectorOperator) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: "revision", Operator: op, Values: []string{"r1"}}
	}
	spec := func(match, mismatch *metav1.LabelSelector) corev1.PodSpec {
		return corev1.PodSpec{
			TopologySpreadConstraints: []corev1.TopologySpreadConstraint{
				{MatchLabelKeys: []string{"revision", "none"}, LabelSelector: match}, {MatchLabelKeys: []string{"revision"}},
			},
			Affinity: &corev1.Affinity{
				PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
					{MatchLabelKeys: []string{"revision"}, LabelSelector: match},
				}},
				PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
					{PodAffinityTerm: corev1.PodAffinityTerm{MismatchLabelKeys: []string{"revision"}, LabelSelector: mismatch}},
				}},
			},
		}
	}
	template := &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web", "revision": "r1"}}, Spec: spec(selector(), selector())}
	got, err := NewPod(template, "default", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := spec(selector(revision(metav1.LabelSelectorOpIn)), selector(revision(metav1.LabelSelectorOpNotIn)))
	if diff := cmp.Diff(want.TopologySpreadConstraints, got.Spec.TopologySpreadConstraints); diff != "" {
		t.Errorf("\nKeys that the pod has are written into the selector, if there is one.\nNewPod(...): -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(want.Affinity, got.Spec.Affinity); diff != "" {
		t.Errorf("\nInterPodAffinity reads selectors only.\nNewPod(...): -want, +got:\n%s", diff)
	}
}
