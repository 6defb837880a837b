package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// pods is a pod template, as YAML in one line, that asks for so much CPU.
func pods(cpu string) string {
	return `{metadata: {labels: {app: x}}, spec: {schedulerName: volcano, nodeSelector: {zone: a}, containers: [{name: c, image: i, resources: {requests: {cpu: "` + cpu + `"}}}]}}`
}

// A pieces is what a component of a replica is, for comparison.
type pieces struct {
	Name  string
	Count int32
	CPU   string
	Zone  string
}

func TestKinds(t *testing.T) {
	needs := func(cpu string) *workv1alpha2.ComponentReplicaRequirements {
		return &workv1alpha2.ComponentReplicaRequirements{ResourceRequest: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}
	}
	interpreted := func(n int32) func(*workv1alpha2.ResourceBindingSpec) {
		return func(s *workv1alpha2.ResourceBindingSpec) {
			s.Replicas, s.ReplicaRequirements = n, &workv1alpha2.ReplicaRequirements{ResourceRequest: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("9")}}
		}
	}
	components := func(cs ...workv1alpha2.Component) func(*workv1alpha2.ResourceBindingSpec) {
		return func(s *workv1alpha2.ResourceBindingSpec) { s.Components = cs }
	}
	type want struct {
		Replicas       int32
		Divided        bool
		Gang, Together bool
		Movable        bool
		Pods           []pieces
		Problem        string
	}
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		spec             string
		binding          func(*workv1alpha2.ResourceBindingSpec)
		want             want
	}{
		"Deployment": {
			"Its replicas are single pods.", "apps/v1", "Deployment", `{replicas: 4, template: ` + pods("1") + `}`, interpreted(4),
			want{Replicas: 4, Divided: true, Movable: true, Pods: []pieces{{CPU: "1", Zone: "a"}}},
		},
		"StatefulSet": {
			"As those of a Deployment.", "apps/v1", "StatefulSet", `{replicas: 4, template: ` + pods("1") + `}`, interpreted(4),
			want{Replicas: 4, Divided: true, Movable: true, Pods: []pieces{{CPU: "1", Zone: "a"}}},
		},
		"ReplicaSet": {
			"As those of a Deployment.", "apps/v1", "ReplicaSet", `{replicas: 4, template: ` + pods("1") + `}`, interpreted(4),
			want{Replicas: 4, Divided: true, Movable: true, Pods: []pieces{{CPU: "1", Zone: "a"}}},
		},
		"DeploymentAtRest": {
			"Karmada interprets it, although it has no replicas and asks for nothing.", "apps/v1", "Deployment", `{replicas: 4, template: ` + pods("1") + `}`, nil,
			want{Divided: true, Movable: true, Pods: []pieces{{CPU: "1", Zone: "a"}}},
		},
		"CloneSet": {
			"Its pod template is where a Deployment has it.", "apps.kruise.io/v1alpha1", "CloneSet", `{replicas: 3, template: ` + pods("2") + `}`, interpreted(3),
			want{Replicas: 3, Divided: true, Movable: true, Pods: []pieces{{CPU: "2", Zone: "a"}}},
		},
		"WorkQueue": {
			"A Job without completions starts with as many as fit.", "batch/v1", "Job", `{parallelism: 4, template: ` + pods("1") + `}`, interpreted(4),
			want{Replicas: 4, Divided: true, Pods: []pieces{{CPU: "1", Zone: "a"}}},
		},
		"Completions": {
			"A Job with completions is divided once.", "batch/v1", "Job", `{parallelism: 4, completions: 20, template: ` + pods("1") + `}`, interpreted(4),
			want{Replicas: 4, Divided: true, Together: true, Pods: []pieces{{CPU: "1", Zone: "a"}}},
		},
		"Indexed": {
			"An indexed Job is not divided: every member would begin with index 0.", "batch/v1", "Job", `{parallelism: 4, completions: 4, completionMode: Indexed, template: ` + pods("1") + `}`, interpreted(4),
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"index", 4, "1", "a"}}},
		},
		"IndexedStopped": {
			"A Job of no parallelism wants nothing.", "batch/v1", "Job", `{parallelism: 0, completions: 4, completionMode: Indexed, template: ` + pods("1") + `}`, nil,
			want{Divided: true, Pods: []pieces{{CPU: "1", Zone: "a"}}},
		},
		"LeaderWorkerSet": {
			"A replica is a leader and size-1 workers.", "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet",
			`{replicas: 3, leaderWorkerTemplate: {size: 4, leaderTemplate: ` + pods("1") + `, workerTemplate: ` + pods("2") + `}}`, interpreted(3),
			want{Replicas: 3, Divided: true, Movable: true, Pods: []pieces{{"leader", 1, "1", "a"}, {"worker", 3, "2", "a"}}},
		},
		"LeaderIsWorker": {
			"Without a template of its own the leader is like the workers.", "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet",
			`{replicas: 3, leaderWorkerTemplate: {size: 2, workerTemplate: ` + pods("2") + `}}`, interpreted(3),
			want{Replicas: 3, Divided: true, Movable: true, Pods: []pieces{{"leader", 1, "2", "a"}, {"worker", 1, "2", "a"}}},
		},
		"LeaderWorkerSetWhole": {
			"Where Karmada was not told how to divide it, all groups go to one member.", "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet",
			`{replicas: 3, leaderWorkerTemplate: {size: 2, workerTemplate: ` + pods("2") + `}}`, nil,
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"leader", 3, "2", "a"}, {"worker", 3, "2", "a"}}},
		},
		"UnknownKind": {
			"Nor is a kind divided that Karmada does not interpret.", "example.org/v1", "Farm", `{replicas: 3, template: ` + pods("2") + `}`, nil,
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"replica", 3, "2", "a"}}},
		},
		"InterpretedKind": {
			"A kind whose template is elsewhere has what Karmada's interpreter says.", "example.org/v1", "Farm", `{size: 3}`, interpreted(3),
			want{Replicas: 3, Divided: true, Movable: true, Pods: []pieces{{CPU: "9"}}},
		},
		"VolcanoJob": {
			"All replicas of all tasks, not only those without which Volcano does not start.", "batch.volcano.sh/v1alpha1", "Job",
			`{minAvailable: 2, tasks: [{name: driver, template: ` + pods("1") + `}, {replicas: 3, minAvailable: 1, template: ` + pods("2") + `}]}`,
			components(workv1alpha2.Component{Name: "driver", Replicas: 1, ReplicaRequirements: needs("1")}, workv1alpha2.Component{Name: "task-1", Replicas: 1, ReplicaRequirements: needs("2")}),
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"driver", 1, "1", "a"}, {"task-1", 3, "2", "a"}}},
		},
		"WithoutGate": {
			"It is a gang too where Karmada does not look for components.", "batch.volcano.sh/v1alpha1", "Job", `{tasks: [{name: worker, replicas: 3, template: ` + pods("2") + `}]}`, nil,
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"worker", 3, "2", "a"}}},
		},
		"RayCluster": {
			"A head, and workers on several hosts each; a group without replicas has no pods.", "ray.io/v1", "RayCluster",
			`{headGroupSpec: {template: ` + pods("1") + `}, workerGroupSpecs: [{groupName: gpu, replicas: 2, numOfHosts: 2, template: ` + pods("4") + `}, {minReplicas: 1, template: ` + pods("3") + `}, {groupName: none, replicas: 0, template: ` + pods("3") + `}]}`, nil,
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"ray-head", 1, "1", "a"}, {"gpu", 4, "4", "a"}, {"worker-2", 1, "3", "a"}}},
		},
		"RayJob": {
			"Its cluster's pods.", "ray.io/v1", "RayJob", `{rayClusterSpec: {headGroupSpec: {template: ` + pods("1") + `}, workerGroupSpecs: [{groupName: gpu, replicas: 2, template: ` + pods("4") + `}]}}`, nil,
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"ray-head", 1, "1", "a"}, {"gpu", 2, "4", "a"}}},
		},
		"PyTorchJob": {
			"Its roles.", "kubeflow.org/v1", "PyTorchJob", `{pytorchReplicaSpecs: {Worker: {replicas: 2, template: ` + pods("4") + `}, Master: {template: ` + pods("1") + `}}}`, nil,
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"master", 1, "1", "a"}, {"worker", 2, "4", "a"}}},
		},
		"SparkApplication": {
			"Spark makes its pods itself: what Karmada's interpreter says they need, and what else they ask of their node.", "sparkoperator.k8s.io/v1beta2", "SparkApplication",
			`{driver: {cores: 1}, executor: {instances: 2, cores: 4, affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {a: b}}}]}}}}`,
			components(workv1alpha2.Component{Name: "driver", Replicas: 1, ReplicaRequirements: needs("1")}, workv1alpha2.Component{Name: "executor", Replicas: 2, ReplicaRequirements: needs("4")}),
			want{Replicas: 1, Divided: true, Gang: true, Pods: []pieces{{"driver", 1, "1", ""}, {"executor", 2, "4", "apart"}}},
		},
		"SparkWithoutGate": {
			"Without the feature gate it is not known what it needs: it says so, and does not go to every member.", "sparkoperator.k8s.io/v1beta2", "SparkApplication", `{driver: {cores: 1}}`, nil,
			want{Replicas: 1, Divided: true, Gang: true, Problem: "SparkApplication default/web has no pod template that fleet understands; does Karmada have the feature gate MultiplePodTemplatesScheduling?"},
		},
		"DaemonSet": {
			"It has no replicas.", "apps/v1", "DaemonSet", `{template: ` + pods("1") + `}`, nil,
			want{Movable: true, Pods: []pieces{{CPU: "1", Zone: "a"}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{Object: map[string]any{}}
			if err := yaml.Unmarshal([]byte("spec: "+tc.spec), &u.Object); err != nil {
				t.Fatal(err)
			}
			whole(u.Object)
			u.SetAPIVersion(tc.apiVersion)
			u.SetKind(tc.kind)
			u.SetNamespace("default")
			u.SetName("web")
			rb := resourceBinding()
			rb.Spec.Replicas = 0
			rb.Spec.Resource.APIVersion, rb.Spec.Resource.Kind = tc.apiVersion, tc.kind
			if tc.binding != nil {
				tc.binding(&rb.Spec)
			}
			b := bindingOf(rb)
			ts := newTemplates(fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(u).Build(), clocktesting.NewFakeClock(time.Now()))
			if err := ts.load(t.Context(), []binding{b}); err != nil {
				t.Fatal(err)
			}
			m := b.model(ts.get(b.id()), nil)
			got := want{Replicas: m.Replicas, Divided: m.Divided, Gang: m.Gang, Together: m.Together, Movable: m.Movable, Pods: piecesOf(m.Template), Problem: m.Problem}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nmodel(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// whole makes the numbers of an object from YAML what an API client makes them.
func whole(o any) any {
	switch v := o.(type) {
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case float64:
		return int64(v)
	}
	return o
}

func piecesOf(t *scheduler.Template) []pieces {
	if t == nil {
		return nil
	}
	of := func(name string, n int32, t *scheduler.Template) pieces {
		s := &t.Spec.Spec
		p := pieces{Name: name, Count: n, CPU: s.Containers[0].Resources.Requests.Cpu().String(), Zone: s.NodeSelector["zone"]}
		if s.Affinity != nil && s.Affinity.PodAntiAffinity != nil {
			p.Zone = "apart"
		}
		return p
	}
	if !t.Grouped() {
		return []pieces{of("", 0, t)}
	}
	var out []pieces
	for _, c := range t.Components {
		out = append(out, of(c.Name, c.Count, c.Template))
	}
	return out
}

// TestGangIsKnownWithoutItsTemplate: what a gang has is not cut because its
// workload cannot be read.
func TestGangIsKnownWithoutItsTemplate(t *testing.T) {
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		replicas         int32
		components       []workv1alpha2.Component
		want             scheduler.Binding
	}{
		"KnownKind":  {"A RayCluster is a gang.", "ray.io/v1", "RayCluster", 0, nil, scheduler.Binding{Gang: true, Divided: true, Replicas: 1, Assigned: map[string]int32{"idc-a": 1}}},
		"Components": {"So is what has components.", "example.org/v1", "Farm", 0, []workv1alpha2.Component{{Name: "a", Replicas: 2}}, scheduler.Binding{Gang: true, Divided: true, Replicas: 1, Assigned: map[string]int32{"idc-a": 1}}},
		"OtherKind":  {"Of another kind nothing is decided before it is known.", "example.org/v1", "Farm", 0, nil, scheduler.Binding{Held: true, Assigned: map[string]int32{"idc-a": 0}}},
		"Indexed":    {"Karmada says how many replicas a Job has.", "batch/v1", "Job", 4, nil, scheduler.Binding{Divided: true, Replicas: 4, Assigned: map[string]int32{"idc-a": 4}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			rb.Spec.Resource.APIVersion, rb.Spec.Resource.Kind = tc.apiVersion, tc.kind
			rb.Spec.Replicas, rb.Spec.Components = tc.replicas, tc.components
			rb.Spec.Clusters = []workv1alpha2.TargetCluster{{Name: "idc-a", Replicas: tc.replicas}}
			m := bindingOf(rb).model(&template{problem: "boom", retryAt: time.Now()}, nil)
			got := scheduler.Binding{Gang: m.Gang, Divided: m.Divided, Replicas: m.Replicas, Assigned: m.Assigned, Held: m.Held}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nmodel(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestClusters: what Karmada is told of a gang is the replicas it counts.
func TestClusters(t *testing.T) {
	cases := map[string]struct {
		reason   string
		gang     bool
		replicas int32
		want     []workv1alpha2.TargetCluster
	}{
		"Divided":    {"The share of the member.", false, 4, []workv1alpha2.TargetCluster{{Name: "idc-a", Replicas: 1}}},
		"Components": {"Karmada's own scheduler writes none for a workload of components.", true, 0, []workv1alpha2.TargetCluster{{Name: "idc-a"}}},
		"Indexed":    {"All of a Job's parallelism.", true, 4, []workv1alpha2.TargetCluster{{Name: "idc-a", Replicas: 4}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			rb.Spec.Replicas = tc.replicas
			got := bindingOf(rb).clusters(&scheduler.Binding{Gang: tc.gang}, []scheduler.Target{{Member: "idc-a", Replicas: 1}})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nclusters(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestReportedGang(t *testing.T) {
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		health           workv1alpha2.ResourceHealth
		status           string
		want             scheduler.Reported
	}{
		"VolcanoRuns":   {"Volcano finds a Job healthy whose pods wait: only they say that they are Ready.", "batch.volcano.sh/v1alpha1", "Job", workv1alpha2.ResourceHealthy, `{"state":{"phase":"Pending"},"succeeded":1}`, scheduler.Reported{Succeeded: 1}},
		"VolcanoEnded":  {"It has ended.", "batch.volcano.sh/v1alpha1", "Job", "", `{"state":{"phase":"Completed"}}`, scheduler.Reported{Finished: true}},
		"SparkEnded":    {"It has failed.", "sparkoperator.k8s.io/v1beta2", "SparkApplication", "", `{"applicationState":{"state":"FAILED"}}`, scheduler.Reported{Finished: true}},
		"SparkRuns":     {"It runs.", "sparkoperator.k8s.io/v1beta2", "SparkApplication", "", `{"applicationState":{"state":"RUNNING"}}`, scheduler.Reported{}},
		"PyTorch":       {"A role has ended.", "kubeflow.org/v1", "PyTorchJob", "", `{"replicaStatuses":{"Worker":{"succeeded":2}},"conditions":[{"type":"Running","status":"True"},{"type":"Failed","status":"False"}]}`, scheduler.Reported{Succeeded: 2}},
		"PyTorchEnded":  {"All have.", "kubeflow.org/v1", "PyTorchJob", "", `{"conditions":[{"type":"Succeeded","status":"True"}]}`, scheduler.Reported{Finished: true}},
		"RayJobHealthy": {"The pods of a RayJob belong to its cluster: its health says that they run.", "ray.io/v1", "RayJob", workv1alpha2.ResourceHealthy, `{"jobStatus":"RUNNING"}`, scheduler.Reported{Ready: 1}},
		"OddStatus":     {"A field of another type does not hide the others.", "ray.io/v1", "RayJob", "", `{"readyReplicas":"x","jobStatus":"SUCCEEDED"}`, scheduler.Reported{Finished: true}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rb := resourceBinding()
			rb.Spec.Replicas = 0
			gvk := schema.FromAPIVersionAndKind(tc.apiVersion, tc.kind)
			rb.Spec.Resource.APIVersion, rb.Spec.Resource.Kind = gvk.GroupVersion().String(), gvk.Kind
			rb.Status.AggregatedStatus = []workv1alpha2.AggregatedStatusItem{{ClusterName: "idc-a", Health: tc.health, Status: &runtime.RawExtension{Raw: []byte(tc.status)}}}
			if diff := cmp.Diff(tc.want, bindingOf(rb).reported()["idc-a"]); diff != "" {
				t.Errorf("\nReason: %s\nreported(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestFleetRoundOfGangs: of two gangs for the room of one the older is written
// whole; a fleet that was started anew changes nothing, and keeps its room.
func TestFleetRoundOfGangs(t *testing.T) {
	objs := []client.Object{capacityPlan(), karmadaCluster("idc-a")}
	for i, name := range []string{"old", "young"} {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		if err := yaml.Unmarshal([]byte(`{spec: {headGroupSpec: {template: `+pods("1")+`}, workerGroupSpecs: [{groupName: gpu, replicas: 2, template: `+pods("3")+`}]}}`), &u.Object); err != nil {
			t.Fatal(err)
		}
		whole(u.Object)
		u.SetAPIVersion("ray.io/v1")
		u.SetKind("RayCluster")
		u.SetNamespace("default")
		u.SetName(name)
		rb := resourceBinding()
		rb.Name, rb.CreationTimestamp = name+"-raycluster", metav1.NewTime(time.Unix(int64(i), 0))
		rb.Spec.Replicas = 0
		rb.Spec.Resource = workv1alpha2.ObjectReference{APIVersion: "ray.io/v1", Kind: "RayCluster", Namespace: "default", Name: name}
		objs = append(objs, u, rb)
	}
	n := idcNode()
	n.Labels = map[string]string{"zone": "a"}
	f, writes := newFleet(t, objs, n)
	check := func(when string) {
		t.Helper()
		for name, want := range map[string][]workv1alpha2.TargetCluster{"old": {{Name: "idc-a"}}, "young": nil} {
			rb := &workv1alpha2.ResourceBinding{}
			if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name + "-raycluster"}, rb); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, rb.Spec.Clusters); diff != "" {
				t.Errorf("\nReason: %s, %s\nRound(...): -want, +got:\n%s", name, when, diff)
			}
		}
	}
	for range 2 {
		if _, err := f.Round(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	check("at first")
	// What a fleet remembers besides what it wrote is forgotten.
	f.templates, f.bindings = newTemplates(f.Live, f.Clock), newOverlay()
	writes.Store(0)
	if _, err := f.Round(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	check("after a restart")
	if writes.Load() != 0 {
		t.Errorf("\nReason: at rest nothing is written\nRound(...): got %d writes", writes.Load())
	}
}
