package karmada

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
)

// annotationDigest holds a digest of the spec as it was applied.
const annotationDigest = "regionpool.io/applied-digest"

// Apply writes the object by server-side apply as the provider's field owner.
// Only the name, labels, annotations and spec of the object are applied.
func Apply(ctx context.Context, c client.Client, obj client.Object) error {
	u, err := applied(obj, c.Scheme())
	if err != nil {
		return err
	}
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
}

func applied(obj client.Object, s *runtime.Scheme) (*unstructured.Unstructured, error) {
	gvk, err := apiutil.GVKForObject(obj, s)
	if err != nil {
		return nil, errors.Wrap(err, "cannot determine the kind")
	}
	c, err := content(obj)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": c["spec"]}}
	u.SetGroupVersionKind(gvk)
	u.SetName(obj.GetName())
	u.SetNamespace(obj.GetNamespace())
	u.SetLabels(obj.GetLabels())
	u.SetAnnotations(obj.GetAnnotations())
	return u, nil
}

func content(obj any) (map[string]any, error) {
	// Through JSON, not the unstructured converter, so that both sides of a
	// comparison have the same types of numbers and quantities.
	b, err := json.Marshal(obj)
	if err != nil {
		return nil, errors.Wrap(err, "cannot encode object")
	}
	out := map[string]any{}
	return out, errors.Wrap(json.Unmarshal(b, &out), "cannot decode object")
}

// Stamp annotates the object with a digest of what will be applied, so that
// Covers sees fields that are no longer set.
func Stamp(obj client.Object) error {
	c, err := content(obj)
	if err != nil {
		return err
	}
	b, err := json.Marshal(c["spec"])
	if err != nil {
		return errors.Wrap(err, "cannot encode object")
	}
	sum := sha256.Sum256(b)
	meta.AddAnnotations(obj, map[string]string{annotationDigest: hex.EncodeToString(sum[:8])})
	return nil
}

// Covers says whether everything the desired object's labels, annotations and
// spec set is so in the observed object. What the API server or a webhook
// defaulted beside it does not count as a difference.
func Covers(observed, desired client.Object) (bool, error) {
	o, err := content(observed)
	if err != nil {
		return false, err
	}
	d, err := content(desired)
	if err != nil {
		return false, err
	}
	for _, k := range []string{"labels", "annotations"} {
		dm, _ := d["metadata"].(map[string]any)
		om, _ := o["metadata"].(map[string]any)
		if dm[k] != nil && !covers(om[k], dm[k]) {
			return false, nil
		}
	}
	return d["spec"] == nil || covers(o["spec"], d["spec"]), nil
}

func covers(observed, desired any) bool {
	switch d := desired.(type) {
	case map[string]any:
		o, _ := observed.(map[string]any)
		for k, v := range d {
			if v == nil {
				continue
			}
			if !covers(o[k], v) {
				return false
			}
		}
		return true
	case []any:
		o, _ := observed.([]any)
		if len(o) != len(d) {
			return false
		}
		for i := range d {
			if !covers(o[i], d[i]) {
				return false
			}
		}
		return true
	default:
		return observed == desired
	}
}
