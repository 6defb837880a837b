// Package manifests reads Kubernetes objects from YAML files and applies them.
package manifests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// owner of the fields we apply.
	owner = "provider-regionpool-local"

	// parallel is how many objects are applied at the same time.
	parallel = 8

	pollInterval     = 50 * time.Millisecond
	establishTimeout = 2 * time.Minute
	eventTimeout     = 5 * time.Second
)

// Read returns the objects of the YAML files in a folder and below, or of one
// file. Objects without a kind, such as a kustomization, are left out.
func Read(path string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ext := filepath.Ext(p); d.IsDir() || (ext != ".yaml" && ext != ".yml") {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		objs, err := Decode(b)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		out = append(out, objs...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read manifests: %w", err)
	}
	return out, nil
}

// Decode returns the objects of a YAML stream.
func Decode(b []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := d.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot decode manifest: %w", err)
		}
		if u.GetKind() != "" && u.GetAPIVersion() != "" && !strings.HasPrefix(u.GetAPIVersion(), "kustomize.") {
			out = append(out, u)
		}
	}
}

// Apply applies objects, several at a time. They must not depend on each other.
func Apply(ctx context.Context, c client.Client, objs ...*unstructured.Unstructured) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, o := range objs {
		g.Go(func() error {
			if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner(owner), client.ForceOwnership); err != nil {
				return fmt.Errorf("cannot apply %s %s: %w", o.GetKind(), o.GetName(), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// ApplyCRDs applies CustomResourceDefinitions and waits until the API server
// serves them.
func ApplyCRDs(ctx context.Context, c client.Client, crds ...*unstructured.Unstructured) error {
	if err := Apply(ctx, c, crds...); err != nil {
		return err
	}
	for _, crd := range crds {
		if err := WaitCondition(ctx, c, crd, string(apiextensionsv1.Established)); err != nil {
			return err
		}
	}
	return nil
}

// WaitCondition waits until an object has a condition with status True.
func WaitCondition(ctx context.Context, c client.Client, o *unstructured.Unstructured, condition string) error {
	ctx, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	for {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(o.GroupVersionKind())
		err := c.Get(ctx, types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}, u)
		if err == nil && hasCondition(u, condition) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s %s did not become %s: %w%s", o.GetKind(), o.GetName(), condition, errors.Join(ctx.Err(), err), warnings(context.WithoutCancel(ctx), c, o))
		case <-time.After(pollInterval):
		}
	}
}

// warnings returns what the warning events of an object say, ready to be put
// behind an error.
func warnings(ctx context.Context, c client.Client, o *unstructured.Unstructured) string {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	events := &corev1.EventList{}
	if err := c.List(ctx, events); err != nil {
		return ""
	}
	var out strings.Builder
	for _, e := range events.Items {
		if e.Type == corev1.EventTypeWarning && e.InvolvedObject.Kind == o.GetKind() && e.InvolvedObject.Name == o.GetName() {
			_, _ = fmt.Fprintf(&out, "\n  %s: %s", e.Reason, e.Message)
		}
	}
	return out.String()
}

func hasCondition(u *unstructured.Unstructured, condition string) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == condition && m["status"] == "True" {
			return true
		}
	}
	return false
}
