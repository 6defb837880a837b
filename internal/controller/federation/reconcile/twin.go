package reconcile

import (
	"context"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"regionpool.io/provider-regionpool/internal/clients/karmada"
)

// ExternalName is the name in Karmada: the external name, or else the object's.
func ExternalName(mg client.Object) string {
	if n := meta.GetExternalName(mg); n != "" {
		return n
	}
	return mg.GetName()
}

// OwnerAnnotations tell in Karmada which managed resource an object belongs to.
func OwnerAnnotations(mg client.Object) map[string]string {
	return map[string]string{karmada.AnnotationUID: string(mg.GetUID()), karmada.AnnotationManagedBy: mg.GetNamespace() + "/" + mg.GetName()}
}

// Ours reports whether an object in Karmada belongs to the managed resource.
func Ours(o, mg client.Object) bool {
	return o.GetAnnotations()[karmada.AnnotationUID] == string(mg.GetUID())
}

// NotOurs says of an object, described by what, to whom it belongs instead, or
// that it was not made by what we would make it by.
func NotOurs(o client.Object, what, by string) error {
	if owner := o.GetAnnotations()[karmada.AnnotationManagedBy]; owner != "" {
		by = owner
	} else {
		by = "not made by a " + by
	}
	return errors.Errorf("%s belongs to someone else (%s): delete it or choose another external name", what, by)
}

// Get a cluster-scoped object, described by what, or nil when it is proved absent.
func Get[T any, P interface {
	*T
	client.Object
}](ctx context.Context, r karmada.Getter, name, what string) (P, error) {
	o := P(new(T))
	err := r.Get(ctx, types.NamespacedName{Name: name}, o)
	if kerrors.IsNotFound(err) {
		return nil, nil
	}
	return o, errors.Wrapf(err, "cannot get %s", what)
}

// Delete an object, described by what, unless another has its name by now. One
// that is gone is no error.
func Delete(ctx context.Context, c client.Writer, o client.Object, what string) error {
	uid := o.GetUID()
	err := client.IgnoreNotFound(c.Delete(ctx, o, client.Preconditions{UID: &uid}))
	return errors.Wrapf(err, "cannot delete %s", what)
}

// Waiting requeues the managed resources in the namespace of what has changed
// that are being deleted. The list says of which kind.
func Waiting(c client.Reader, list client.ObjectList) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []ctrl.Request {
		l := list.DeepCopyObject().(client.ObjectList)
		if err := c.List(ctx, l, client.InNamespace(o.GetNamespace())); err != nil {
			return nil
		}
		var out []ctrl.Request
		// It cannot fail: a typed list has objects with metadata.
		_ = apimeta.EachListItem(l, func(item runtime.Object) error {
			if mg := item.(client.Object); meta.WasDeleted(mg) {
				out = append(out, ctrl.Request{NamespacedName: Key(mg)})
			}
			return nil
		})
		return out
	})
}
