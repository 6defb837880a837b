package lifecycle

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Quiet returns a manager whose client leaves out status updates that would
// change nothing. The managed reconciler makes one at every poll.
func Quiet(mgr manager.Manager) manager.Manager {
	return quietManager{Manager: mgr}
}

type quietManager struct{ manager.Manager }

func (m quietManager) GetClient() client.Client {
	return quietClient{Client: m.Manager.GetClient()}
}

type quietClient struct{ client.Client }

func (c quietClient) Status() client.SubResourceWriter {
	return quietStatus{SubResourceWriter: c.Client.Status(), reader: c.Client}
}

type quietStatus struct {
	client.SubResourceWriter
	reader client.Reader
}

func (s quietStatus) Update(ctx context.Context, obj client.Object, opts ...client.SubResourceUpdateOption) error {
	was := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(client.Object)
	// The read is from the cache. It says nothing if it is older or newer than
	// what was reconciled.
	err := s.reader.Get(ctx, client.ObjectKeyFromObject(obj), was)
	if err == nil && was.GetResourceVersion() == obj.GetResourceVersion() && equality.Semantic.DeepEqual(was, withMeta(obj, was)) {
		return nil
	}
	return s.SubResourceWriter.Update(ctx, obj, opts...)
}

// withMeta returns a copy of obj with the metadata of was: an update of the
// status does not change metadata.
func withMeta(obj, was client.Object) client.Object {
	c := obj.DeepCopyObject().(client.Object)
	c.GetObjectKind().SetGroupVersionKind(was.GetObjectKind().GroupVersionKind())
	c.SetLabels(was.GetLabels())
	c.SetAnnotations(was.GetAnnotations())
	c.SetFinalizers(was.GetFinalizers())
	c.SetOwnerReferences(was.GetOwnerReferences())
	c.SetManagedFields(was.GetManagedFields())
	return c
}
