package controller

import (
	"context"
	"fmt"
	"sync"

	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
)

// A template is what a binding's workload makes its pods from.
type template struct {
	// version of the workload, as the binding names it.
	version string
	pods    *scheduler.Template
	divided bool
	// problem says why there are no pods; retry that it may pass.
	problem string
	retry   bool
}

// templates keeps the pod templates of bindings. A workload is read when its
// binding names a version of it that is not known, so each change is read once.
type templates struct {
	reader client.Reader

	mu   sync.Mutex
	byID map[string]*template
}

func newTemplates(r client.Reader) *templates {
	return &templates{reader: r, byID: map[string]*template{}}
}

// load makes sure that the templates of all bindings are known, and forgets
// others.
func (t *templates) load(ctx context.Context, bs []binding) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	keep := map[string]bool{}
	for _, b := range bs {
		id := b.id()
		keep[id] = true
		version := fmt.Sprintf("%s/%s", b.spec.Resource.UID, b.spec.Resource.ResourceVersion)
		if have := t.get(id); have != nil && have.version == version && !have.retry {
			continue
		}
		g.Go(func() error {
			tpl := t.read(ctx, b.spec)
			tpl.version = version
			t.mu.Lock()
			defer t.mu.Unlock()
			t.byID[id] = tpl
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("cannot read workloads: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.byID {
		if !keep[id] {
			delete(t.byID, id)
		}
	}
	return nil
}

func (t *templates) get(id string) *template {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

func (t *templates) read(ctx context.Context, spec *workv1alpha2.ResourceBindingSpec) *template {
	ref := spec.Resource
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
	if err := t.reader.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, u); err != nil {
		what := fmt.Sprintf("cannot read %s %s/%s", ref.Kind, ref.Namespace, ref.Name)
		if apierrors.IsNotFound(err) {
			return &template{problem: what + ": it does not exist", retry: true}
		}
		return &template{problem: what + ": " + err.Error(), retry: true}
	}
	tpl, err := decode(u)
	if err != nil {
		return &template{problem: err.Error()}
	}
	if tpl == nil && spec.ReplicaRequirements != nil {
		// A kind without a pod template: what Karmada's interpreter says its
		// replicas need is all that is known.
		tpl = &scheduler.Template{Namespace: ref.Namespace, Spec: required(spec.ReplicaRequirements)}
	}
	out := &template{pods: tpl, divided: tpl != nil}
	if tpl == nil && spec.IsWorkload() {
		out.problem = fmt.Sprintf("%s %s/%s has no pod template that fleet understands", ref.Kind, ref.Namespace, ref.Name)
	}
	return out
}

// decode finds the pod template where all workload kinds of Kubernetes, and
// most others, have it. It returns nil if there is none.
func decode(u *unstructured.Unstructured) (*scheduler.Template, error) {
	raw, ok, _ := unstructured.NestedMap(u.Object, "spec", "template")
	if !ok {
		return nil, nil
	}
	out := &scheduler.Template{Namespace: u.GetNamespace()}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &out.Spec); err != nil {
		return nil, fmt.Errorf("cannot read the pod template of %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	if len(out.Spec.Spec.Containers) == 0 {
		return nil, nil
	}
	out.Options = []simulation.PodOption{simulation.OwnedBy(u.GetAPIVersion(), u.GetKind(), u.GetName())}
	claims, ok, _ := unstructured.NestedSlice(u.Object, "spec", "volumeClaimTemplates")
	if !ok {
		return out, nil
	}
	var list struct {
		Items []corev1.PersistentVolumeClaim `json:"items"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(map[string]any{"items": claims}, &list); err != nil {
		return nil, fmt.Errorf("cannot read the claim templates of %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	out.Options = append(out.Options, simulation.WithClaimTemplates(list.Items...))
	return out, nil
}

func required(r *workv1alpha2.ReplicaRequirements) corev1.PodTemplateSpec {
	out := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace},
		Spec: corev1.PodSpec{
			PriorityClassName: r.PriorityClassName,
			Containers:        []corev1.Container{{Name: "replica", Resources: corev1.ResourceRequirements{Requests: r.ResourceRequest}}},
		},
	}
	if c := r.NodeClaim; c != nil {
		out.Spec.NodeSelector = c.NodeSelector
		out.Spec.Tolerations = c.Tolerations
		if c.HardNodeAffinity != nil {
			out.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: c.HardNodeAffinity}}
		}
	}
	return out
}
