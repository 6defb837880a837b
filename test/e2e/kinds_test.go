package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	workv1alpha1 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"github.com/karmada-io/karmada/pkg/util/names"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
)

// kindsTemplate is a definition of a kind of which the API server knows no more
// than its name and that it has a status.
const kindsTemplate = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %[3]s.%[1]s
  annotations: {api-approved.kubernetes.io: unapproved}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: %[4]s, plural: %[3]s, singular: %[5]s, listKind: %[4]sList}
  versions:
  - name: %[2]s
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// podsOf is a pod template whose pods ask for so much CPU.
func podsOf(cpu int) string {
	return fmt.Sprintf(`{metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: example.org/x:1, resources: {requests: {cpu: "%d"}}}]}}`, cpu)
}

// rayCluster needs seven of the eight CPU of a member: a head and two workers.
func rayCluster() string {
	return `{headGroupSpec: {template: ` + podsOf(1) + `}, workerGroupSpecs: [{groupName: gpu, replicas: 2, template: ` + podsOf(3) + `}]}`
}

// TestKinds: workloads of kinds that are not Kubernetes' own are placed by what
// their pods need, divided as Karmada divides them, and groups start as a whole
// or not at all.
func TestKinds(t *testing.T) {
	if env == nil {
		t.Skip("needs the real stack")
	}
	clusters := map[string]client.Client{"karmada": env.karmada}
	for name, c := range env.members {
		clusters[name] = c
	}
	var crds []*unstructured.Unstructured
	for _, k := range [][4]string{
		{"apps.kruise.io", "v1alpha1", "clonesets", "CloneSet"}, {"leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet"},
		{"ray.io", "v1", "rayclusters", "RayCluster"}, {"batch.volcano.sh", "v1alpha1", "jobs", "Job"},
	} {
		objs, err := manifests.Decode(fmt.Appendf(nil, kindsTemplate, k[0], k[1], k[2], k[3], strings.ToLower(k[3])))
		if err != nil {
			t.Fatal(err)
		}
		crds = append(crds, objs...)
	}
	var interpreter []*unstructured.Unstructured
	for _, name := range []string{"leaderworkerset-interpreter.yaml", "volcano-slices-interpreter.yaml"} {
		objs, err := manifests.Read(filepath.Join(env.root, "examples", name))
		if err != nil {
			t.Fatal(err)
		}
		interpreter = append(interpreter, objs...)
	}
	// Cleaned up after the pool.
	t.Cleanup(func() {
		for name, c := range clusters {
			for _, o := range append(crds, interpreter...) {
				if o.GetKind() == "CustomResourceDefinition" || name == "karmada" {
					if err := client.IgnoreNotFound(c.Delete(context.Background(), o.DeepCopy())); err != nil {
						t.Errorf("cannot delete %s from %s: %v", o.GetName(), name, err)
					}
				}
			}
		}
	})
	for name, c := range clusters {
		if err := manifests.ApplyCRDs(t.Context(), c, crds...); err != nil {
			t.Fatalf("cannot define kinds in %s: %v", name, err)
		}
	}
	if err := manifests.Apply(t.Context(), env.karmada, interpreter...); err != nil {
		t.Fatalf("cannot tell Karmada how kinds are divided: %v", err)
	}

	p := newPool(t, "kinds", func(c *platformv1alpha1.RegionPool) { c.Spec.Overflow = fleetv1alpha1.OverflowReserved })
	p.applyReady()
	ns := &corev1.Namespace{}
	ns.Name = p.workloads()
	if err := env.karmada.Create(t.Context(), ns); err != nil {
		t.Fatalf("cannot create namespace: %v", err)
	}

	// Two clusters of seven CPU fill a member each, the third fits in none.
	p.create("ray.io/v1", "RayCluster", "one", rayCluster())
	p.create("ray.io/v1", "RayCluster", "two", rayCluster())
	one := p.placed("RayCluster", "one", 0)
	two := p.placed("RayCluster", "two", 0)
	if len(one) != 1 || len(two) != 1 || cmp.Equal(one, two) {
		t.Fatalf("two RayClusters, each for one member alone: got %v and %v", one, two)
	}
	p.create("ray.io/v1", "RayCluster", "three", rayCluster())
	p.waits("RayCluster", "three")
	p.works("RayCluster", "one", one, "spec", "workerGroupSpecs")

	// What they leave is one CPU in each member.
	p.create("apps.kruise.io/v1alpha1", "CloneSet", "clones", `{replicas: 2, template: `+podsOf(1)+`}`)
	p.works("CloneSet", "clones", p.placed("CloneSet", "clones", 2, 1, 1), "spec", "replicas")
	p.create("batch.volcano.sh/v1alpha1", "Job", "train", `{tasks: [{name: worker, replicas: 2, template: `+podsOf(3)+`}]}`)
	p.waits("Job", "train")

	// The third starts as a whole in the room of the first, although the
	// training, which is younger, would have fit into a part of it.
	p.drop("ray.io/v1", "RayCluster", "one")
	if three := p.placed("RayCluster", "three", 0); !cmp.Equal(three, one) {
		t.Errorf("want the third RayCluster in the place of the first, %v, got %v", one, three)
	}
	p.waits("Job", "train")
	p.drop("ray.io/v1", "RayCluster", "two")
	if train := p.placed("Job", "train", 0); !cmp.Equal(train, two) {
		t.Errorf("want the training in the place of the second RayCluster, %v, got %v", two, train)
	}

	// A replica is two pods of three CPU, for which a member must be empty.
	p.drop("ray.io/v1", "RayCluster", "three")
	p.drop("batch.volcano.sh/v1alpha1", "Job", "train")
	p.create("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "serve", `{replicas: 2, leaderWorkerTemplate: {size: 2, workerTemplate: `+podsOf(3)+`}}`)
	p.works("LeaderWorkerSet", "serve", p.placed("LeaderWorkerSet", "serve", 2, 1, 1), "spec", "replicas")
	p.drop("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "serve")

	// Four workers of three CPU fit no member. They start as a whole when their
	// author lets them be divided: two in each.
	p.create("batch.volcano.sh/v1alpha1", "Job", "wide", `{minAvailable: 4, tasks: [{name: worker, replicas: 4, template: `+podsOf(3)+`}]}`)
	p.waits("Job", "wide")
	p.slice("batch.volcano.sh/v1alpha1", "Job", "wide", "2")
	p.parts("Job", "wide", p.placed("Job", "wide", 2, 1, 1), 2)
	p.drop("batch.volcano.sh/v1alpha1", "Job", "wide")

	// A Job for which both members are needed: its completions are divided by
	// where its pods run, and it ends.
	p.create("batch/v1", "Job", "sums", `{parallelism: 4, completions: 8, template: {spec: {restartPolicy: Never, containers: [{name: c, image: example.org/x:1, resources: {requests: {cpu: "3"}}}]}}}`)
	p.eventually(soon, "the Job to have completed", func(ctx context.Context) error {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("batch/v1")
		u.SetKind("Job")
		if err := env.karmada.Get(ctx, types.NamespacedName{Namespace: p.workloads(), Name: "sums"}, u); err != nil {
			return err
		}
		if n, _, _ := unstructured.NestedInt64(u.Object, "status", "succeeded"); n != 8 {
			return fmt.Errorf("%d of 8 completions; %v", n, u.Object["status"])
		}
		return nil
	})
	p.drop("batch/v1", "Job", "sums")
	p.drop("apps.kruise.io/v1alpha1", "CloneSet", "clones")
}

// create a workload of the pool.
func (p *pool) create(apiVersion, kind, name, spec string) {
	p.Helper()
	objs, err := manifests.Decode(fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s}\nspec: %s\n", apiVersion, kind, name, p.workloads(), spec))
	if err != nil {
		p.Fatal(err)
	}
	objs[0].SetLabels(p.claim.Spec.Workloads.MatchLabels)
	if err := env.karmada.Create(p.Context(), objs[0]); err != nil {
		p.Fatalf("cannot create %s %s: %v", kind, name, err)
	}
}

// slice lets a workload of the pool be divided.
func (p *pool) slice(apiVersion, kind, name, n string) {
	p.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(p.workloads())
	u.SetName(name)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, fleetv1alpha1.AnnotationSlices, n)
	if err := env.karmada.Patch(p.Context(), u, client.RawPatch(types.MergePatchType, patch)); err != nil {
		p.Fatalf("cannot annotate %s %s: %v", kind, name, err)
	}
}

// drop a workload of the pool.
func (p *pool) drop(apiVersion, kind, name string) {
	p.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(p.workloads())
	u.SetName(name)
	// As kubectl does it. By default the API orphans what belongs to a Job: its
	// ResourceBinding would stay, and run without it.
	if err := env.karmada.Delete(p.Context(), u, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		p.Fatalf("cannot delete %s %s: %v", kind, name, err)
	}
}

// read an object of Karmada.
func read(ctx context.Context, gvk string, namespace, name string, into any) error {
	u := &unstructured.Unstructured{}
	apiVersion, kind, _ := strings.Cut(gvk, " ")
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	if err := env.karmada.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, u); err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into)
}

func (p *pool) binding(ctx context.Context, kind, name string) (*workv1alpha2.ResourceBinding, error) {
	rb := &workv1alpha2.ResourceBinding{}
	return rb, read(ctx, "work.karmada.io/v1alpha2 ResourceBinding", p.workloads(), names.GenerateBindingName(kind, name), rb)
}

// placed waits until a workload has a place, for all its replicas, and returns
// them by member. Of a group that is not divided Karmada counts none.
func (p *pool) placed(kind, name string, replicas int32, each ...int32) map[string]int32 {
	p.Helper()
	got := map[string]int32{}
	p.eventually(soon, fmt.Sprintf("%s %s to have a place", kind, name), func(ctx context.Context) error {
		rb, err := p.binding(ctx, kind, name)
		if err != nil {
			return err
		}
		clear(got)
		sum := int32(0)
		for _, c := range rb.Spec.Clusters {
			got[c.Name] = c.Replicas
			sum += c.Replicas
		}
		switch {
		case len(got) == 0 || sum != replicas:
			return fmt.Errorf("%v; %v", got, rb.Status.Conditions)
		case len(each) > 0 && len(got) != len(each):
			return fmt.Errorf("want a share in %d members, got %v", len(each), got)
		case replicas == 0 && len(rb.Spec.Components) == 0:
			return errors.New("Karmada does not tell its components")
		}
		return nil
	})
	return got
}

// waits until fleet has said of a workload that it has no place, and has given
// it none.
func (p *pool) waits(kind, name string) {
	p.Helper()
	p.eventually(soon, fmt.Sprintf("%s %s to wait", kind, name), func(ctx context.Context) error {
		rb, err := p.binding(ctx, kind, name)
		if err != nil {
			return err
		}
		for _, c := range rb.Status.Conditions {
			if c.Type == workv1alpha2.Scheduled && len(rb.Spec.Clusters) == 0 && strings.Contains(c.Message, "of component") {
				return nil
			}
		}
		return fmt.Errorf("it is in %v; %v", rb.Spec.Clusters, rb.Status.Conditions)
	})
}

// works waits until Karmada has made of a workload what a placement says, in
// these members and in no others. The field is one that the workload must have.
func (p *pool) works(kind, name string, placed map[string]int32, field ...string) {
	p.Helper()
	p.eventually(soon, fmt.Sprintf("the Works of %s %s", kind, name), func(ctx context.Context) error {
		for _, member := range memberNames {
			u, err := p.work(ctx, member, kind, name)
			n, in := placed[member]
			if !in {
				if client.IgnoreNotFound(err) != nil || err == nil {
					return fmt.Errorf("%s has a Work of it, or cannot be read: %w", member, err)
				}
				continue
			}
			if err != nil {
				return err
			}
			have, ok, _ := unstructured.NestedFieldNoCopy(u.Object, field...)
			if count, is := have.(int64); !ok || is && count != int64(n) {
				return fmt.Errorf("%s has %v, want %d", member, have, n)
			}
		}
		return nil
	})
}

// work is what Karmada sends of a workload to a member.
func (p *pool) work(ctx context.Context, member, kind, name string) (*unstructured.Unstructured, error) {
	w := &workv1alpha1.Work{}
	if err := read(ctx, "work.karmada.io/v1alpha1 Work", names.GenerateExecutionSpaceName(member), names.GenerateWorkName(kind, name, p.workloads()), w); err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	return u, u.UnmarshalJSON(w.Spec.Workload.Manifests[0].Raw)
}

// parts waits until each member has so many pods of the first task of a Volcano Job,
// all of which start together.
func (p *pool) parts(kind, name string, placed map[string]int32, want int64) {
	p.Helper()
	p.eventually(soon, fmt.Sprintf("the parts of %s %s", kind, name), func(ctx context.Context) error {
		for member := range placed {
			u, err := p.work(ctx, member, kind, name)
			if err != nil {
				return err
			}
			tasks, _, _ := unstructured.NestedSlice(u.Object, "spec", "tasks")
			task, _ := tasks[0].(map[string]any)
			least, _, _ := unstructured.NestedInt64(u.Object, "spec", "minAvailable")
			if task["replicas"] != want || least != want {
				return fmt.Errorf("%s has %v pods, of which %d start together, want %d", member, task["replicas"], least, want)
			}
		}
		return nil
	})
}
