package demo

import (
	"context"
	"fmt"
	"strings"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
)

// managedKinds are all kinds a claim is made of.
var managedKinds = []schema.GroupVersionKind{
	ackv1alpha1.ClusterGroupVersionKind,
	ackv1alpha1.NodePoolGroupVersionKind,
	tkev1alpha1.ClusterGroupVersionKind,
	tkev1alpha1.NodePoolGroupVersionKind,
	tkev1alpha1.VirtualNodePoolGroupVersionKind,
	federationv1alpha1.MemberGroupVersionKind,
	federationv1alpha1.PlacementPolicyGroupVersionKind,
	federationv1alpha1.CapacityPlanGroupVersionKind,
	federationv1alpha1.CapacityReservationGroupVersionKind,
}

// managedResources lists what a claim is made of, as kind/name.
func managedResources(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	var out []string
	for _, gvk := range managedKinds {
		l := &metav1.PartialObjectMetadataList{}
		l.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := c.List(ctx, l, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("cannot list %s: %w", gvk.Kind, err)
		}
		for _, o := range l.Items {
			out = append(out, gvk.Kind+"/"+o.Name)
		}
	}
	return out, nil
}

// readClaim reads a claim from a file of examples/. Only the delays differ in
// the demo, which cannot wait for minutes; no cluster is kept warm, since the
// story is that nothing is rented in the end; and so few pods may be on virtual
// nodes that machines are needed as well.
func readClaim(path string) (*unstructured.Unstructured, error) {
	objs, err := manifests.Read(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the claim: %w", err)
	}
	for _, u := range objs {
		if u.GetKind() != "RegionPool" {
			continue
		}
		for field, value := range delays {
			if err := unstructured.SetNestedField(u.Object, value, "spec", "scaleDown", field); err != nil {
				return nil, fmt.Errorf("cannot shorten the delays of %s: %w", path, err)
			}
		}
		elastic, _, err := unstructured.NestedSlice(u.Object, "spec", "elastic")
		if err != nil {
			return nil, fmt.Errorf("cannot read the elastic clusters of %s: %w", path, err)
		}
		for _, e := range elastic {
			if m, ok := e.(map[string]any); ok {
				delete(m, "warm")
				if v, ok := m["virtualNodes"].(map[string]any); ok {
					v["maxPods"] = int64(virtualPods)
				}
			}
		}
		if len(elastic) > 0 {
			if err := unstructured.SetNestedSlice(u.Object, elastic, "spec", "elastic"); err != nil {
				return nil, fmt.Errorf("cannot change the elastic clusters of %s: %w", path, err)
			}
		}
		return u, nil
	}
	return nil, fmt.Errorf("cannot find a RegionPool in %s", path)
}

// readBurst reads the emergency claim from a file of examples/. In the demo it
// is for the service that surges, and for the demo's pool.
func readBurst(path string, claim *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	objs, err := manifests.Read(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the emergency claim: %w", err)
	}
	for _, u := range objs {
		if u.GetKind() != "Burst" {
			continue
		}
		u.SetNamespace(claim.GetNamespace())
		spec, ok := u.Object["spec"].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("cannot read the emergency claim: %s has no spec", path)
		}
		spec["poolRef"] = map[string]any{"name": claim.GetName()}
		spec["amount"] = map[string]any{"replicas": int64(reserved)}
		spec["targets"] = []any{map[string]any{"namespace": namespace, "kind": "Deployment", "name": surging}}
		delete(spec, "elastic")
		delete(spec, "prefer")
		return u, nil
	}
	return nil, fmt.Errorf("cannot find a Burst in %s", path)
}

// virtualPods may be on the virtual nodes of each cluster in the demo.
const virtualPods = 8

var delays = map[string]string{"stabilizationWindow": "3s", "nodeIdle": "3s", "clusterIdle": "5s"}

// typed returns the claim as what the API server takes it for.
func typed(ctx context.Context, c client.Client, name types.NamespacedName) (*platformv1alpha1.RegionPool, error) {
	p := &platformv1alpha1.RegionPool{}
	if err := c.Get(ctx, name, p); err != nil {
		return nil, err
	}
	return p, nil
}

// apply writes objects as kubectl apply --server-side does.
func apply(ctx context.Context, c client.Client, objs ...client.Object) error {
	for _, o := range objs {
		//lint:ignore SA1019 Typed apply configurations do not exist for all of these.
		if err := c.Patch(ctx, o, client.Apply, client.FieldOwner("demo"), client.ForceOwnership); err != nil {
			return fmt.Errorf("cannot apply %s %s: %w", o.GetObjectKind().GroupVersionKind().Kind, o.GetName(), err)
		}
	}
	return nil
}

// ensureNamespace creates a namespace if it is not there.
func ensureNamespace(ctx context.Context, c client.Client, name string) error {
	err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !kerrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create namespace %s: %w", name, err)
	}
	return nil
}

// notReady says why a claim is not Ready, or nothing if it is.
func notReady(p *platformv1alpha1.RegionPool) string {
	var why []string
	for _, t := range []xpv2.ConditionType{xpv2.TypeSynced, xpv2.TypeReady} {
		if c := p.Status.GetCondition(t); c.Status != corev1.ConditionTrue {
			why = append(why, strings.TrimSpace(fmt.Sprintf("%s is %s: %s %s", t, c.Status, c.Reason, c.Message)))
		}
	}
	return strings.Join(why, "; ")
}
