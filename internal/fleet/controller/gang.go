package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	configv1alpha1 "github.com/karmada-io/karmada/pkg/apis/config/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
)

// A groupKind is a kind of workload whose pods come from several templates.
type groupKind struct {
	// parts of it, as its author wrote them.
	parts func(spec map[string]any) []part
	// divided kinds have replicas, each of them a group; others are a gang.
	divided bool
	// indirect kinds have pods that belong to something in between: only their
	// status says that they run.
	indirect bool
}

// A part is the pods of a group that come from one template.
type part struct {
	name     string
	count    int64
	template map[string]any
}

// groupKinds are those of which it is known where they have their templates. Of
// others Karmada's interpreter says what a pod of each component needs.
var groupKinds = map[schema.GroupKind]groupKind{
	{Group: "batch.volcano.sh", Kind: "Job"}:                     {parts: volcanoParts},
	{Group: "ray.io", Kind: "RayCluster"}:                        {parts: rayParts},
	{Group: "ray.io", Kind: "RayJob"}:                            {parts: rayPartsIn("rayClusterSpec"), indirect: true},
	{Group: "ray.io", Kind: "RayService"}:                        {parts: rayPartsIn("rayClusterConfig"), indirect: true},
	{Group: "kubeflow.org", Kind: "PyTorchJob"}:                  {parts: roleParts("pytorchReplicaSpecs")},
	{Group: "kubeflow.org", Kind: "TFJob"}:                       {parts: roleParts("tfReplicaSpecs")},
	{Group: "kubeflow.org", Kind: "MPIJob"}:                      {parts: roleParts("mpiReplicaSpecs")},
	{Group: "kubeflow.org", Kind: "XGBoostJob"}:                  {parts: roleParts("xgbReplicaSpecs")},
	{Group: "sparkoperator.k8s.io", Kind: "SparkApplication"}:    {},
	{Group: "flink.apache.org", Kind: "FlinkDeployment"}:         {indirect: true},
	{Group: "leaderworkerset.x-k8s.io", Kind: "LeaderWorkerSet"}: {parts: leaderParts, divided: true},
}

// nativeKinds are interpreted by Karmada itself, in every installation.
var nativeKinds = []schema.GroupKind{{Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "ReplicaSet"}, {Group: "apps", Kind: "StatefulSet"}, {Group: "batch", Kind: "Job"}}

func groupKindOf(ref *workv1alpha2.ObjectReference) schema.GroupKind {
	return schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
}

// list of objects in an object.
func list(o map[string]any, field string) []map[string]any {
	items, _, _ := unstructured.NestedFieldNoCopy(o, field)
	var out []map[string]any
	all, _ := items.([]any)
	for _, item := range all {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func object(o map[string]any, fields ...string) map[string]any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, fields...)
	m, _ := v.(map[string]any)
	return m
}

func text(o map[string]any, field string) string {
	s, _, _ := unstructured.NestedString(o, field)
	return s
}

// number in a field, or a default if there is none.
func number(o map[string]any, field string, otherwise int64) int64 {
	n, ok, err := unstructured.NestedInt64(o, field)
	if !ok || err != nil {
		return otherwise
	}
	return n
}

// volcanoParts are the tasks. Volcano makes all their replicas, and starts when
// minAvailable of them have a node; Karmada's interpreter counts only these.
func volcanoParts(spec map[string]any) []part {
	var out []part
	for i, task := range list(spec, "tasks") {
		out = append(out, part{cmp.Or(text(task, "name"), fmt.Sprintf("task-%d", i)), number(task, "replicas", 1), object(task, "template")})
	}
	return out
}

func rayPartsIn(field string) func(map[string]any) []part {
	return func(spec map[string]any) []part { return rayParts(object(spec, field)) }
}

// rayParts are the head and the workers, of which each replica is one pod on
// each of numOfHosts nodes.
func rayParts(spec map[string]any) []part {
	var out []part
	if t := object(spec, "headGroupSpec", "template"); t != nil {
		out = append(out, part{"ray-head", 1, t})
	}
	for i, g := range list(spec, "workerGroupSpecs") {
		n := number(g, "replicas", number(g, "minReplicas", 0)) * number(g, "numOfHosts", 1)
		out = append(out, part{cmp.Or(text(g, "groupName"), fmt.Sprintf("worker-%d", i+1)), n, object(g, "template")})
	}
	return out
}

func roleParts(field string) func(map[string]any) []part {
	return func(spec map[string]any) []part {
		roles := object(spec, field)
		var out []part
		for _, name := range slices.Sorted(maps.Keys(roles)) {
			role := object(roles, name)
			out = append(out, part{strings.ToLower(name), number(role, "replicas", 1), object(role, "template")})
		}
		return out
	}
}

// leaderParts are the pods of one group: a leader, which is like the workers
// unless it has a template of its own, and size-1 workers.
func leaderParts(spec map[string]any) []part {
	t := object(spec, "leaderWorkerTemplate")
	worker := object(t, "workerTemplate")
	leader := object(t, "leaderTemplate")
	if leader == nil {
		leader = worker
	}
	return []part{{"leader", 1, leader}, {"worker", number(t, "size", 1) - 1, worker}}
}

// A shape is how a workload starts: what a replica is, and which of them start
// together.
type shape struct {
	pods *scheduler.Template
	// gang workloads are one replica; together ones are divided when they start,
	// and then no more.
	gang, together bool
	// slices are the replicas of a workload whose author divides it; 0 if Karmada
	// says how many there are.
	slices int32
}

// slicesOf returns into how many parts its author divides a workload, 1 if he
// does not. An error says that it cannot be understood.
func slicesOf(u *unstructured.Unstructured) (int32, error) {
	raw, ok := u.GetAnnotations()[fleetv1alpha1.AnnotationSlices]
	if !ok {
		return 1, nil
	}
	n, err := strconv.ParseInt(raw, 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("annotation %s is %q, which is no number of slices", fleetv1alpha1.AnnotationSlices, raw)
	}
	return int32(n), nil
}

// divided returns the shape of a gang that its author divides into n slices. An
// error says that it cannot be.
func (s shape) divided(n int32) (shape, error) {
	cs := slices.Clone(s.pods.Components)
	for i := range cs {
		if cs[i].Count%n != 0 {
			return shape{}, fmt.Errorf("component %s has %d pods, which are no %d equal slices", cs[i].Name, cs[i].Count, n)
		}
		cs[i].Count /= n
	}
	return shape{pods: scheduler.GroupOf(cs...), together: true, slices: n}, nil
}

// revised returns an error if Karmada does not know how a member gets its share of
// a workload: it would send all of it to each.
func (t *templates) revised(ctx context.Context, u *unstructured.Unstructured, spec *workv1alpha2.ResourceBindingSpec) error {
	if !spec.IsWorkload() {
		return fmt.Errorf("%s cannot be divided: does Karmada have the feature gate MultiplePodTemplatesScheduling?", u.GetKind())
	}
	known := &unstructured.UnstructuredList{}
	known.SetGroupVersionKind(schema.GroupVersion(configv1alpha1.GroupVersion).WithKind("ResourceInterpreterCustomizationList"))
	if err := t.reader.List(ctx, known); err != nil {
		return fmt.Errorf("cannot list the interpreters of Karmada: %w", err)
	}
	for i := range known.Items {
		s := object(known.Items[i].Object, "spec")
		target := object(s, "target")
		if text(target, "apiVersion") == u.GetAPIVersion() && text(target, "kind") == u.GetKind() && object(s, "customizations", "replicaRevision") != nil {
			return nil
		}
	}
	return fmt.Errorf("%s cannot be divided: no ResourceInterpreterCustomization in Karmada has replicaRevision for %s %s", u.GetKind(), u.GetAPIVersion(), u.GetKind())
}

// shapeOf finds out how a workload starts. One is its pod template if it has one
// where most kinds have it, or else nil. An error says that a template cannot be
// understood, or that it is not divided as its author says.
func shapeOf(u *unstructured.Unstructured, spec *workv1alpha2.ResourceBindingSpec, one *scheduler.Template) (shape, error) {
	s, err := undivided(u, spec, one)
	if err != nil || !s.gang || s.pods == nil {
		return s, err
	}
	n, err := slicesOf(u)
	if err != nil || n == 1 {
		return s, err
	}
	return s.divided(n)
}

// undivided is how a workload starts if its author does not divide it.
func undivided(u *unstructured.Unstructured, spec *workv1alpha2.ResourceBindingSpec, one *scheduler.Template) (shape, error) {
	gk := u.GroupVersionKind().GroupKind()
	kind, grouped := groupKinds[gk]
	if grouped && kind.parts != nil {
		group, err := groupFrom(u, kind.parts(object(u.Object, "spec")))
		if err != nil {
			return shape{}, err
		}
		if group == nil || kind.divided && (interpreted(spec) || wants(u) == 0) {
			return shape{pods: group}, nil
		}
		if kind.divided {
			group = times(group, wants(u))
		}
		return shape{pods: group, gang: true}, nil
	}
	switch n := wants(u); {
	case len(spec.Components) > 0:
		return shape{pods: fromComponents(u, spec.Components), gang: true}, nil
	case one == nil:
		return shape{}, nil
	case gk == schema.GroupKind{Group: batchv1.GroupName, Kind: "Job"}:
		return jobShape(u, spec, one), nil
	case n > 0 && !interpreted(spec) && !slices.Contains(nativeKinds, gk):
		// Nobody can tell Karmada how to divide it: all of it goes to one member.
		return shape{pods: scheduler.GroupOf(scheduler.Component{Name: "replica", Count: n, Template: one}), gang: true}, nil
	}
	return shape{pods: one}, nil
}

// jobShape of a Job. Karmada gives each member completions by its share of the
// replicas, and a Job's completions cannot be changed once it is made: so it is
// divided once. The pods of an indexed Job would have the same indices in each
// member: so it is not divided at all.
func jobShape(u *unstructured.Unstructured, spec *workv1alpha2.ResourceBindingSpec, one *scheduler.Template) shape {
	s := object(u.Object, "spec")
	switch {
	case spec.Replicas > 1 && text(s, "completionMode") == string(batchv1.IndexedCompletion):
		return shape{pods: scheduler.GroupOf(scheduler.Component{Name: "index", Count: spec.Replicas, Template: one}), gang: true}
	case spec.Replicas > 1 && number(s, "completions", 0) > 0:
		return shape{pods: one, together: true}
	}
	return shape{pods: one}
}

// interpreted reports whether Karmada knows of replicas of a workload.
func interpreted(spec *workv1alpha2.ResourceBindingSpec) bool {
	return spec.Replicas > 0 || spec.ReplicaRequirements != nil
}

// wants returns the replicas that a workload says it wants.
func wants(u *unstructured.Unstructured) int32 {
	return int32(number(object(u.Object, "spec"), "replicas", 0))
}

// times returns a group of n groups.
func times(group *scheduler.Template, n int32) *scheduler.Template {
	cs := slices.Clone(group.Components)
	for i := range cs {
		cs[i].Count *= n
	}
	return scheduler.GroupOf(cs...)
}

// groupFrom returns the template of a group of the supplied parts, or nil if it
// has no pods.
func groupFrom(u *unstructured.Unstructured, parts []part) (*scheduler.Template, error) {
	var cs []scheduler.Component
	for _, p := range parts {
		if p.count <= 0 {
			continue
		}
		t, err := podTemplate(u, p.template)
		if err != nil {
			return nil, err
		}
		if t == nil {
			return nil, fmt.Errorf("component %s of %s %s/%s has no pod template", p.name, u.GetKind(), u.GetNamespace(), u.GetName())
		}
		// A scheduler for groups places what kube-scheduler has room for.
		t.Spec.Spec.SchedulerName = ""
		cs = append(cs, scheduler.Component{Name: p.name, Count: int32(p.count), Template: t})
	}
	if len(cs) == 0 {
		return nil, nil
	}
	return scheduler.GroupOf(cs...), nil
}

// fromComponents returns the template of a group of what Karmada's interpreter
// says of a workload, or nil if it has no pods. What a pod of the component of
// the same name asks of its node besides, as those of Spark do, is added.
func fromComponents(u *unstructured.Unstructured, components []workv1alpha2.Component) *scheduler.Template {
	var cs []scheduler.Component
	for _, c := range components {
		if c.Replicas <= 0 {
			continue
		}
		need := &workv1alpha2.ReplicaRequirements{}
		if r := c.ReplicaRequirements; r != nil {
			need.NodeClaim, need.ResourceRequest, need.PriorityClassName = r.NodeClaim, r.ResourceRequest, r.PriorityClassName
		}
		t := TemplateFor(u.GetNamespace(), need)
		t.Options = []simulation.PodOption{simulation.OwnedBy(u.GetAPIVersion(), u.GetKind(), u.GetName())}
		var more struct {
			Labels   map[string]string `json:"labels"`
			Affinity *corev1.Affinity  `json:"affinity"`
		}
		if o := object(u.Object, "spec", c.Name); o != nil && runtime.DefaultUnstructuredConverter.FromUnstructured(o, &more) == nil {
			t.Spec.Labels = more.Labels
			if more.Affinity != nil {
				t.Spec.Spec.Affinity = more.Affinity
			}
		}
		cs = append(cs, scheduler.Component{Name: c.Name, Count: c.Replicas, Template: t})
	}
	if len(cs) == 0 {
		return nil
	}
	return scheduler.GroupOf(cs...)
}

// grouped reports whether a workload surely starts as a whole.
func (b binding) grouped() bool {
	kind, ok := groupKinds[groupKindOf(&b.spec.Resource)]
	return len(b.spec.Components) > 0 || ok && !kind.divided
}

// gang reports whether the whole workload of a binding is one replica. What
// surely is one is so too while its template is not known: nothing of it may be
// cut then.
func (b binding) gang(t *template) bool {
	return (t == nil || t.slices == 0) && (t != nil && t.gang || b.grouped())
}

// sliced reports whether members have slices of a workload: what is written of
// one that is a gang is the same for each.
func (b binding) sliced() bool {
	return b.grouped() && slices.ContainsFunc(b.spec.Clusters, func(c workv1alpha2.TargetCluster) bool { return c.Replicas != b.spec.Replicas })
}

// share is how many replicas a member has, as a round counts them: a gang is
// one, whatever Karmada writes for it.
func (b binding) share(t *template, c workv1alpha2.TargetCluster) int32 {
	if b.gang(t) {
		return 1
	}
	return c.Replicas
}

// clusters are the targets of a decision as Karmada has them. It makes the pods
// of a gang without being told how many: so what is written is what it counts.
func (b binding) clusters(model *scheduler.Binding, targets []scheduler.Target) []workv1alpha2.TargetCluster {
	var out []workv1alpha2.TargetCluster
	for _, t := range targets {
		n := t.Replicas
		if model.Gang {
			n = b.spec.Replicas
		}
		out = append(out, workv1alpha2.TargetCluster{Name: t.Member, Replicas: n})
	}
	return out
}

// ended reports whether the status of a workload of another kind than those of
// Kubernetes says that it makes no more pods.
func ended(group string, status map[string]any) bool {
	var word string
	switch group {
	case "batch.volcano.sh":
		word = text(object(status, "state"), "phase")
	case "sparkoperator.k8s.io":
		word = text(object(status, "applicationState"), "state")
	case "ray.io":
		word = text(status, "jobStatus")
	case "kubeflow.org":
		for _, c := range list(status, "conditions") {
			if text(c, "status") == string(corev1.ConditionTrue) && slices.Contains(endings, strings.ToUpper(text(c, "type"))) {
				return true
			}
		}
	}
	return slices.Contains(endings, strings.ToUpper(word))
}

// endings are the words for it.
var endings = []string{"COMPLETED", "SUCCEEDED", "FAILED", "ABORTED", "TERMINATED", "STOPPED"}

// reportedGang adds to what was reported of a gang what only its own kind says.
func (b binding) reportedGang(r *scheduler.Reported, item *workv1alpha2.AggregatedStatusItem) {
	gk := groupKindOf(&b.spec.Resource)
	var status map[string]any
	if json.Unmarshal(item.Status.Raw, &status) != nil {
		return
	}
	r.Finished = r.Finished || ended(gk.Group, status)
	for _, role := range object(status, "replicaStatuses") {
		if m, ok := role.(map[string]any); ok {
			n, _ := m["succeeded"].(float64)
			r.Succeeded += int32(n)
		}
	}
	if kind, known := groupKinds[gk]; (!known || kind.indirect) && item.Health == workv1alpha2.ResourceHealthy {
		r.Ready = 1
	}
}
