package simulation

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/resourceslice/tracker"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/util/assumecache"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// podClaimAnnotation is what the resource claim controller of
// k8s.io/kubernetes/pkg/controller/resourceclaim notes in a claim it makes for a
// pod.
const podClaimAnnotation = "resource.kubernetes.io/pod-claim-name"

// A draManager is kube-scheduler's own manager of dynamic resources over the
// feeds, without its memory of allocations that are under way: what a copy gets
// is kept on the fork instead, where a Revert takes it back.
type draManager struct {
	fwk.SharedDRAManager
	claims *claimTracker
}

// newDRAManager starts the manager with kube-scheduler's default features.
func newDRAManager(ctx context.Context, f informers.SharedInformerFactory) (*draManager, error) {
	t, err := tracker.StartTracker(ctx, tracker.Options{SliceInformer: f.Resource().V1().ResourceSlices()})
	if err != nil {
		return nil, fmt.Errorf("cannot start the resource slice tracker: %w", err)
	}
	c := assumecache.NewAssumeCache(klog.FromContext(ctx), f.Resource().V1().ResourceClaims().Informer(), "ResourceClaim", "", nil)
	m := dynamicresources.NewDRAManager(ctx, c, t, f)
	return &draManager{SharedDRAManager: m, claims: &claimTracker{ResourceClaimTracker: m.ResourceClaims()}}, nil
}

// ResourceClaims implements fwk.SharedDRAManager.
func (m *draManager) ResourceClaims() fwk.ResourceClaimTracker { return m.claims }

// A claimTracker collects what DynamicResources allocates when it reserves.
type claimTracker struct {
	fwk.ResourceClaimTracker
	allocated map[types.UID]*resourcev1.ResourceClaim
}

// Get implements fwk.ResourceClaimTracker. A claim that cannot take one more pod
// is an error, which refuses the pod: kube-scheduler would find out only when it
// binds, and try for ever.
func (t *claimTracker) Get(namespace, name string) (*resourcev1.ResourceClaim, error) {
	c, err := t.ResourceClaimTracker.Get(namespace, name)
	if err == nil && len(c.Status.ReservedFor) >= resourcev1.ResourceClaimReservedForMaxSize {
		return nil, fmt.Errorf("resourceclaim %q is reserved for %d pods, which is the most there can be", name, len(c.Status.ReservedFor))
	}
	return c, err
}

// SignalClaimPendingAllocation implements fwk.ResourceClaimTracker.
func (t *claimTracker) SignalClaimPendingAllocation(uid types.UID, c *resourcev1.ResourceClaim) error {
	t.allocated[uid] = c
	return nil
}

// ClaimHasPendingAllocation implements fwk.ResourceClaimTracker. Copies are
// placed one after the other, so no allocation is ever under way.
func (t *claimTracker) ClaimHasPendingAllocation(types.UID) bool { return false }

// RemoveClaimPendingAllocation implements fwk.ResourceClaimTracker.
func (t *claimTracker) RemoveClaimPendingAllocation(types.UID) bool { return false }

// forget makes the tracker ready for the next pod.
func (t *claimTracker) forget() { t.allocated = map[types.UID]*resourcev1.ResourceClaim{} }

// keep leaves on the fork the claims of the pod as they are when it is bound:
// allocated, and reserved for it.
func (t *claimTracker) keep(f *snapshot.Fork, pod *corev1.Pod) error {
	for i := range pod.Spec.ResourceClaims {
		name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil {
			return err
		}
		if name == nil {
			continue
		}
		c, err := t.Get(pod.Namespace, *name)
		if err != nil {
			return err
		}
		if a := t.allocated[c.UID]; a != nil {
			c = a
		}
		c = c.DeepCopy()
		c.Status.ReservedFor = append(c.Status.ReservedFor, resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: pod.Name, UID: pod.UID})
		if err := f.AddObject(c); err != nil {
			return err
		}
	}
	return nil
}

// missingClaims says which object that the pod takes devices from is not there,
// for example because the cluster does not serve resource.k8s.io. It is empty if
// all are.
func missingClaims(f *snapshot.Fork, pod *corev1.Pod) string {
	for _, c := range pod.Spec.ResourceClaims {
		switch {
		case c.ResourceClaimName != nil && f.Object(snapshot.ResourceClaims, pod.Namespace, *c.ResourceClaimName) == nil:
			return fmt.Sprintf("there is no resource claim %q", *c.ResourceClaimName)
		case c.ResourceClaimTemplateName != nil && f.Object(snapshot.ResourceClaimTemplates, pod.Namespace, *c.ResourceClaimTemplateName) == nil:
			return fmt.Sprintf("there is no resource claim template %q", *c.ResourceClaimTemplateName)
		}
	}
	return ""
}

// generatedClaims returns the resource claims that the member's controller would
// make for the pod from its templates, and notes them in the pod's status. Every
// copy has its own.
func generatedClaims(f *snapshot.Fork, pod *corev1.Pod) []snapshot.Object {
	if len(pod.Spec.ResourceClaims) == 0 {
		return nil
	}
	var out []snapshot.Object
	pod.Status.ResourceClaimStatuses = nil
	for _, pc := range pod.Spec.ResourceClaims {
		if pc.ResourceClaimTemplateName == nil {
			continue
		}
		t, ok := f.Object(snapshot.ResourceClaimTemplates, pod.Namespace, *pc.ResourceClaimTemplateName).(*resourcev1.ResourceClaimTemplate)
		if !ok {
			continue
		}
		name, isController := pod.Name+"-"+pc.Name, true
		annotations := maps.Clone(t.Spec.Annotations)
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[podClaimAnnotation] = pc.Name
		out = append(out, &resourcev1.ResourceClaim{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: pod.Namespace, Name: name, UID: types.UID(string(pod.UID) + "-" + pc.Name),
				Labels: t.Spec.Labels, Annotations: annotations,
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: &isController}},
			},
			Spec: t.Spec.Spec,
		})
		pod.Status.ResourceClaimStatuses = append(pod.Status.ResourceClaimStatuses, corev1.PodResourceClaimStatus{Name: pc.Name, ResourceClaimName: &name})
	}
	return out
}
