package simulation

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	volumeutil "k8s.io/component-helpers/storage/volume"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// RunReservePluginsReserve has the plugins reserve what the pod needs on the
// node, and leaves on the fork what would be there when the pod is bound: volumes
// that are bound to its claims, and devices that are allocated to it.
func (f *forkFramework) RunReservePluginsReserve(ctx context.Context, state fwk.CycleState, pod *corev1.Pod, node string) *fwk.Status {
	f.volumes.assumed = nil
	if f.claims != nil {
		f.claims.forget()
	}
	if s := f.Framework.RunReservePluginsReserve(ctx, state, pod, node); !s.IsSuccess() {
		return s
	}
	if err := f.volumes.keep(ctx, f.lister.fork, pod); err != nil {
		return fwk.AsStatus(err)
	}
	if f.claims != nil {
		if err := f.claims.keep(f.lister.fork, pod); err != nil {
			return fwk.AsStatus(err)
		}
	}
	return nil
}

// A volumeKeeper stands before the binder of VolumeBinding and sees which volumes
// it chose for a pod.
type volumeKeeper struct {
	volumebinding.SchedulerVolumeBinder
	client  *bindingClient
	assumed *volumebinding.PodVolumes
}

// AssumePodVolumes implements volumebinding.SchedulerVolumeBinder.
func (k *volumeKeeper) AssumePodVolumes(l klog.Logger, pod *corev1.Pod, node string, v *volumebinding.PodVolumes) (bool, error) {
	done, err := k.SchedulerVolumeBinder.AssumePodVolumes(l, pod, node, v)
	if err == nil && !done {
		k.assumed = v
	}
	return done, err
}

// keep leaves on the fork the volumes that were chosen, and the claims they are
// bound to. Claims whose volumes are yet to be made stay as they are.
func (k *volumeKeeper) keep(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod) error {
	if k.assumed == nil || len(k.assumed.StaticBindings) == 0 {
		return nil
	}
	// The binder tells only the API which volumes it took. With a context that
	// has ended it does not wait for them to be bound, which is its error.
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	k.client.volumes = nil
	_ = k.BindPodVolumes(ctx, pod, &volumebinding.PodVolumes{StaticBindings: k.assumed.StaticBindings})
	for _, v := range k.client.volumes {
		ref := v.Spec.ClaimRef
		c, ok := f.Object(snapshot.PersistentVolumeClaims, ref.Namespace, ref.Name).(*corev1.PersistentVolumeClaim)
		if !ok {
			continue
		}
		v, c = v.DeepCopy(), c.DeepCopy()
		v.Status.Phase, c.Status.Phase = corev1.VolumeBound, corev1.ClaimBound
		c.Spec.VolumeName = v.Name
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, volumeutil.AnnBindCompleted, "yes")
		for _, o := range []snapshot.Object{v, c} {
			if err := f.AddObject(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// A bindingClient is the part of the API that a binder tells of volumes. There is
// no more of it: no plugin calls the rest before a pod is bound.
type bindingClient struct {
	kubernetes.Interface
	volumes []*corev1.PersistentVolume
}

// CoreV1 implements kubernetes.Interface.
func (c *bindingClient) CoreV1() corev1client.CoreV1Interface { return coreClient{of: c} }

type coreClient struct {
	corev1client.CoreV1Interface
	of *bindingClient
}

// PersistentVolumes implements corev1client.CoreV1Interface.
func (c coreClient) PersistentVolumes() corev1client.PersistentVolumeInterface {
	return volumeClient{of: c.of}
}

type volumeClient struct {
	corev1client.PersistentVolumeInterface
	of *bindingClient
}

// Update implements corev1client.PersistentVolumeInterface.
func (c volumeClient) Update(_ context.Context, v *corev1.PersistentVolume, _ metav1.UpdateOptions) (*corev1.PersistentVolume, error) {
	c.of.volumes = append(c.of.volumes, v)
	return v, nil
}
