package simulation

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

func TestPlace(t *testing.T) {
	gpu := corev1.ResourceName("nvidia.com/gpu")
	always := corev1.ContainerRestartPolicyAlways
	type args struct {
		nodes []*corev1.Node
		pods  []*corev1.Pod
		objs  []snapshot.Object
		pod   *corev1.Pod
		n     int
	}
	cases := map[string]struct {
		reason string
		args   args
		want   Result
	}{
		"All": {
			reason: "Copies that fit are placed on the emptier node first, ties to the first by name.",
			args:   args{nodes: []*corev1.Node{node("a"), node("b")}, pod: pod(requests(corev1.ResourceCPU, "1")), n: 3},
			want:   Result{Placed: 3, Nodes: map[string]int{"a": 2, "b": 1}},
		},
		"None": {
			reason: "Nothing is placed when nothing is asked.",
			args:   args{nodes: []*corev1.Node{node("a")}, pod: pod(), n: 0},
			want:   Result{},
		},
		"NoNodes": {
			reason: "A cluster without nodes takes nothing, which is not an error.",
			args:   args{pod: pod(), n: 1},
			want:   Result{Message: "no nodes available to schedule pods"},
		},
		"Resources": {
			reason: "What runs already counts; the rest is refused in kube-scheduler's words.",
			args: args{
				nodes: []*corev1.Node{node("a"), node("b")},
				pods:  []*corev1.Pod{pod(on("a", "x"), requests(corev1.ResourceCPU, "3"))},
				pod:   pod(requests(corev1.ResourceCPU, "1500m")), n: 10,
			},
			want: Result{
				Placed: 2, Nodes: map[string]int{"b": 2},
				Reasons: map[string]int{"Insufficient cpu": 2}, Plugins: map[string]int{"NodeResourcesFit": 2},
				Message: "0/2 nodes are available: 2 Insufficient cpu.",
			},
		},
		"Memory": {
			reason: "Memory binds as well as CPU.",
			args:   args{nodes: []*corev1.Node{node("a")}, pod: pod(requests(corev1.ResourceMemory, "5Gi")), n: 10},
			want: Result{
				Placed: 3, Nodes: map[string]int{"a": 3},
				Reasons: map[string]int{"Insufficient memory": 1}, Plugins: map[string]int{"NodeResourcesFit": 1},
				Message: "0/1 nodes are available: 1 Insufficient memory.",
			},
		},
		"PodsLimit": {
			reason: "A node takes no more pods than it allows, whatever they ask for.",
			args:   args{nodes: []*corev1.Node{node("a", has(corev1.ResourcePods, "2"))}, pod: pod(), n: 5},
			want: Result{
				Placed: 2, Nodes: map[string]int{"a": 2},
				Reasons: map[string]int{"Too many pods": 1}, Plugins: map[string]int{"NodeResourcesFit": 1},
				Message: "0/1 nodes are available: 1 Too many pods.",
			},
		},
		"GPU": {
			reason: "Extended resources count, and nodes without them take nothing.",
			args:   args{nodes: []*corev1.Node{node("a", has(gpu, "2")), node("b")}, pod: pod(requests(gpu, "1")), n: 5},
			want: Result{
				Placed: 2, Nodes: map[string]int{"a": 2},
				Reasons: map[string]int{"Insufficient nvidia.com/gpu": 2}, Plugins: map[string]int{"NodeResourcesFit": 2},
				Message: "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
			},
		},
		"InitContainers": {
			reason: "The largest init container counts when it is larger than the containers.",
			args: args{nodes: []*corev1.Node{node("a")}, n: 5, pod: pod(requests(corev1.ResourceCPU, "1"), func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "i"}}
				request(&p.Spec.InitContainers[0], corev1.ResourceCPU, "2")
			})},
			want: Result{
				Placed: 2, Nodes: map[string]int{"a": 2},
				Reasons: map[string]int{"Insufficient cpu": 1}, Plugins: map[string]int{"NodeResourcesFit": 1},
				Message: "0/1 nodes are available: 1 Insufficient cpu.",
			},
		},
		"Sidecars": {
			reason: "A restartable init container runs beside the containers.",
			args: args{nodes: []*corev1.Node{node("a")}, n: 5, pod: pod(requests(corev1.ResourceCPU, "1"), func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "s", RestartPolicy: &always}}
				request(&p.Spec.InitContainers[0], corev1.ResourceCPU, "1")
			})},
			want: Result{
				Placed: 2, Nodes: map[string]int{"a": 2},
				Reasons: map[string]int{"Insufficient cpu": 1}, Plugins: map[string]int{"NodeResourcesFit": 1},
				Message: "0/1 nodes are available: 1 Insufficient cpu.",
			},
		},
		"Overhead": {
			reason: "The overhead of a pod's runtime counts.",
			args: args{nodes: []*corev1.Node{node("a")}, n: 5, pod: pod(requests(corev1.ResourceCPU, "1"), func(p *corev1.Pod) {
				p.Spec.Overhead = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
			})},
			want: Result{
				Placed: 2, Nodes: map[string]int{"a": 2},
				Reasons: map[string]int{"Insufficient cpu": 1}, Plugins: map[string]int{"NodeResourcesFit": 1},
				Message: "0/1 nodes are available: 1 Insufficient cpu.",
			},
		},
		"Taints": {
			reason: "Tainted nodes take only pods that tolerate the taint.",
			args: args{
				nodes: []*corev1.Node{node("a", taint("gpu", corev1.TaintEffectNoSchedule)), node("b", taint("batch", corev1.TaintEffectNoExecute))},
				pod:   pod(requests(corev1.ResourceCPU, "4"), tolerates("batch")), n: 3,
			},
			want: Result{
				Placed: 1, Nodes: map[string]int{"b": 1},
				Reasons: map[string]int{"Insufficient cpu": 1, "node(s) had untolerated taint(s)": 1},
				Plugins: map[string]int{"NodeResourcesFit": 1, "TaintToleration": 1},
				Message: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s).",
			},
		},
		"PreferNoSchedule": {
			reason: "A soft taint is avoided until the other node scores lower.",
			args: args{
				nodes: []*corev1.Node{node("a", taint("soft", corev1.TaintEffectPreferNoSchedule)), node("b")},
				pod:   pod(requests(corev1.ResourceCPU, "2")), n: 3,
			},
			want: Result{Placed: 3, Nodes: map[string]int{"a": 1, "b": 2}},
		},
		"Cordoned": {
			reason: "A cordoned node takes nothing.",
			args:   args{nodes: []*corev1.Node{node("a", cordoned)}, pod: pod(), n: 1},
			want: Result{
				Reasons: map[string]int{"node(s) were unschedulable": 1}, Plugins: map[string]int{"NodeUnschedulable": 1},
				Message: "0/1 nodes are available: 1 node(s) were unschedulable.",
			},
		},
		"NodeAffinity": {
			reason: "Required node affinity is kept.",
			args: args{
				nodes: []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z2"))},
				pod:   pod(requests(corev1.ResourceCPU, "3"), nodeIn(zoneLabel, "z2")), n: 2,
			},
			want: Result{
				Placed: 1, Nodes: map[string]int{"b": 1},
				Reasons: map[string]int{"Insufficient cpu": 1, "node(s) didn't match Pod's node affinity/selector": 1},
				Plugins: map[string]int{"NodeResourcesFit": 1, "NodeAffinity": 1},
				Message: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector.",
			},
		},
		"NodeNamed": {
			reason: "A pod bound to a node by name goes there only, and PreFilter's narrowing is explained.",
			args:   args{nodes: []*corev1.Node{node("a"), node("b")}, pod: pod(requests(corev1.ResourceCPU, "3"), nodeNamed("b")), n: 2},
			want: Result{
				Placed: 1, Nodes: map[string]int{"b": 1},
				Reasons: map[string]int{"Insufficient cpu": 1, "node(s) didn't satisfy plugin(s) [NodeAffinity]": 1},
				Plugins: map[string]int{"NodeResourcesFit": 1},
				Message: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity].",
			},
		},
		"AntiAffinityHost": {
			reason: "One copy for each host, and none beside a running sibling.",
			args: args{
				nodes: []*corev1.Node{node("a"), node("b"), node("c")},
				pods:  []*corev1.Pod{pod(on("b", "x"))},
				pod:   pod(antiAffinity(corev1.LabelHostname, "web")), n: 5,
			},
			want: Result{
				Placed: 2, Nodes: map[string]int{"a": 1, "c": 1},
				Reasons: map[string]int{"node(s) didn't match pod anti-affinity rules": 3}, Plugins: map[string]int{"InterPodAffinity": 3},
				Message: "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.",
			},
		},
		"AntiAffinityOfOthers": {
			reason: "The anti-affinity of a running pod keeps copies out of its zone.",
			args: args{
				nodes: []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z1")), node("c", label(zoneLabel, "z2"))},
				pods:  []*corev1.Pod{pod(on("a", "x"), labelled("app", "db"), antiAffinity(zoneLabel, "web"))},
				pod:   pod(requests(corev1.ResourceCPU, "4")), n: 2,
			},
			want: Result{
				Placed: 1, Nodes: map[string]int{"c": 1},
				Reasons: map[string]int{"Insufficient cpu": 1, "node(s) didn't satisfy existing pods anti-affinity rules": 2},
				Plugins: map[string]int{"NodeResourcesFit": 1, "InterPodAffinity": 2},
				Message: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy existing pods anti-affinity rules.",
			},
		},
		"AffinityToItself": {
			reason: "The first copy may go anywhere, the others follow it into its zone.",
			args: args{
				nodes: []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z2")), node("c", label(zoneLabel, "z1"))},
				pod:   pod(requests(corev1.ResourceCPU, "4"), podAffinity(zoneLabel, "web")), n: 3,
			},
			want: Result{
				Placed: 2, Nodes: map[string]int{"a": 1, "c": 1},
				Reasons: map[string]int{"Insufficient cpu": 2, "node(s) didn't match pod affinity rules": 1},
				Plugins: map[string]int{"NodeResourcesFit": 2, "InterPodAffinity": 1},
				Message: "0/3 nodes are available: 1 node(s) didn't match pod affinity rules, 2 Insufficient cpu.",
			},
		},
		"SpreadHard": {
			reason: "A full zone holds up the others by the skew.",
			args: args{
				nodes: []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z2"), has(corev1.ResourceCPU, "1"))},
				pod:   pod(requests(corev1.ResourceCPU, "1"), spread(zoneLabel, 1, corev1.DoNotSchedule)), n: 5,
			},
			want: Result{
				Placed: 3, Nodes: map[string]int{"a": 2, "b": 1},
				Reasons: map[string]int{"Insufficient cpu": 1, "node(s) didn't match pod topology spread constraints": 1},
				Plugins: map[string]int{"NodeResourcesFit": 1, "PodTopologySpread": 1},
				Message: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints.",
			},
		},
		"HostPort": {
			reason: "A host port is free once for each node.",
			args: args{nodes: []*corev1.Node{node("a"), node("b")}, n: 3, pod: pod(func(p *corev1.Pod) {
				p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
			})},
			want: Result{
				Placed: 2, Nodes: map[string]int{"a": 1, "b": 1},
				Reasons: map[string]int{"node(s) didn't have free ports for the requested pod ports": 2}, Plugins: map[string]int{"NodePorts": 2},
				Message: "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.",
			},
		},
		"SchedulingGates": {
			reason: "Gated pods pass every filter, but kube-scheduler does not look at them.",
			args: args{nodes: []*corev1.Node{node("a")}, n: 1, pod: pod(func(p *corev1.Pod) {
				p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "hold"}}
			})},
			want: Result{
				Reasons: map[string]int{"pod has scheduling gates": 1}, Plugins: map[string]int{"SchedulingGates": 1},
				Message: "0/1 nodes are available: pod has scheduling gates.",
			},
		},
		"OtherScheduler": {
			reason: "Pods of a scheduler that the configuration does not know are placed by nobody.",
			args:   args{nodes: []*corev1.Node{node("a")}, pod: pod(func(p *corev1.Pod) { p.Spec.SchedulerName = "volcano" }), n: 1},
			want: Result{
				Reasons: map[string]int{`no scheduler profile is named "volcano"`: 1},
				Message: `0/1 nodes are available: no scheduler profile is named "volcano".`,
			},
		},
		"BoundVolume": {
			reason: "A bound claim keeps copies where its volume is.",
			args: args{
				nodes: []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z2"))},
				objs:  []snapshot.Object{storageClass("disk", "csi.x"), volume("v", "disk", "z2", "data"), boundClaim("data", "disk", "v")},
				pod:   pod(requests(corev1.ResourceCPU, "3"), claim("data")), n: 2,
			},
			want: Result{
				Placed: 1, Nodes: map[string]int{"b": 1},
				Reasons: map[string]int{"Insufficient cpu": 1, "node(s) didn't match PersistentVolume's node affinity": 1},
				Plugins: map[string]int{"NodeResourcesFit": 1, "VolumeBinding": 1},
				Message: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match PersistentVolume's node affinity.",
			},
		},
		"MissingClaim": {
			reason: "A claim that does not exist is a reason of the pod.",
			args:   args{nodes: []*corev1.Node{node("a")}, pod: pod(claim("data")), n: 1},
			want: Result{
				Reasons: map[string]int{`persistentvolumeclaim "data" not found`: 1}, Plugins: map[string]int{"VolumeRestrictions": 1},
				Message: `0/1 nodes are available: persistentvolumeclaim "data" not found.`,
			},
		},
		"OwnVolumes": {
			reason: "Each copy takes a volume of its own; when those that exist are used up, no more fit.",
			args: args{
				nodes: []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z2"))},
				objs: []snapshot.Object{storageClass("local", "kubernetes.io/no-provisioner"),
					volume("v1", "local", "z1", ""), volume("v2", "local", "z2", ""), volume("v3", "local", "z2", "")},
				pod: pod(requests(corev1.ResourceCPU, "1"), ownClaim("data", "local")), n: 5,
			},
			want: Result{
				Placed: 3, Nodes: map[string]int{"a": 1, "b": 2},
				Reasons: map[string]int{"node(s) didn't find available persistent volumes to bind": 2}, Plugins: map[string]int{"VolumeBinding": 2},
				Message: "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
			},
		},
		"ProvisionedVolumes": {
			reason: "Each copy gets a volume provisioned where it goes.",
			args: args{
				nodes: []*corev1.Node{node("a"), node("b")},
				objs:  []snapshot.Object{storageClass("disk", "csi.x")},
				pod:   pod(requests(corev1.ResourceCPU, "2"), ownClaim("data", "disk")), n: 4,
			},
			want: Result{Placed: 4, Nodes: map[string]int{"a": 2, "b": 2}},
		},
		"AllocatedResourceClaim": {
			reason: "A claim that is allocated keeps copies where its devices are.",
			args: args{
				nodes: []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z2"))}, n: 2,
				objs: []snapshot.Object{&resourcev1.ResourceClaim{
					ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gpus", UID: "gpus"},
					Status: resourcev1.ResourceClaimStatus{Allocation: &resourcev1.AllocationResult{NodeSelector: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
						MatchExpressions: []corev1.NodeSelectorRequirement{{Key: zoneLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{"z2"}}}}}}}},
				}},
				pod: pod(requests(corev1.ResourceCPU, "1"), func(p *corev1.Pod) {
					name := "gpus"
					p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "g", ResourceClaimName: &name}}
				}),
			},
			want: Result{Placed: 2, Nodes: map[string]int{"b": 2}},
		},
	}
	s := scheduler(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := fork(t, tc.args.nodes, tc.args.pods, tc.args.objs...)
			got, err := s.Place(context.Background(), f, tc.args.pod, tc.args.n)
			if err != nil {
				t.Fatalf("\n%s\nPlace(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Result{}, "Pods")); diff != "" {
				t.Errorf("\n%s\nPlace(...): -want, +got:\n%s", tc.reason, diff)
			}
			for _, p := range got.Pods {
				found := false
				for _, pi := range f.Node(p.Spec.NodeName).Pods {
					found = found || pi.GetPod() == p
				}
				if !found {
					t.Errorf("\n%s\nPod %s is not on the fork.", tc.reason, p.Name)
				}
			}
		})
	}
}

func TestPlaceTwice(t *testing.T) {
	s := scheduler(t)
	f := fork(t, []*corev1.Node{node("a", label(zoneLabel, "z1"))}, nil,
		storageClass("local", "kubernetes.io/no-provisioner"), volume("v1", "local", "z1", ""), volume("v2", "local", "z1", ""))
	m := f.Mark()
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			got, err := s.Place(context.Background(), f, pod(ownClaim("data", "local")), 5)
			if err != nil {
				t.Fatal(err)
			}
			if got.Placed != 2 {
				t.Errorf("After a revert, as many are placed as before: want 2, got %d (%s)", got.Placed, got.Message)
			}
			f.Revert(m)
		})
	}
}

func TestPlaceCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := scheduler(t).Place(ctx, fork(t, []*corev1.Node{node("a")}, nil), pod(), 1); err == nil {
		t.Error("A cancelled context is an error; got none.")
	}
}

func TestCapacity(t *testing.T) {
	cases := map[string]struct {
		reason string
		pod    *corev1.Pod
		want   int
	}{
		"DaemonsTakeRoom": {
			reason: "Of 4 CPU a daemon takes half of one.",
			pod:    pod(requests(corev1.ResourceCPU, "500m")),
			want:   7,
		},
		"Port": {
			reason: "A port that the daemon has is taken.",
			pod:    pod(func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 9100}} }),
			want:   0,
		},
	}
	daemon := pod(requests(corev1.ResourceCPU, "500m"), func(p *corev1.Pod) {
		p.Name = "exporter"
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 9100}}
	})
	s := scheduler(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Capacity(context.Background(), s, node("template"), []*corev1.Pod{daemon}, tc.pod, nil, 100)
			if err != nil {
				t.Fatalf("\n%s\nCapacity(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got.Placed); diff != "" {
				t.Errorf("\n%s\nCapacity(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
