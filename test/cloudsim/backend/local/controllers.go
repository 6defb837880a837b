package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	// serviceFinalizer is the one of Alibaba's cloud controller manager.
	serviceFinalizer = "service.k8s.alibaba/resources"

	provisionedBy = "pv.kubernetes.io/provisioned-by"

	retryInterval = 2 * time.Second
)

// controllers stand in for the cloud controller manager and the CSI driver.
type controllers struct {
	c        *cluster
	services listers.ServiceLister
	claims   listers.PersistentVolumeClaimLister
	volumes  listers.PersistentVolumeLister
}

// startControllers runs them until the cluster is deleted.
func (c *cluster) startControllers(ctx context.Context) {
	f := informers.NewSharedInformerFactory(c.cp.Client(), 0)
	k := &controllers{
		c:        c,
		services: f.Core().V1().Services().Lister(),
		claims:   f.Core().V1().PersistentVolumeClaims().Lister(),
		volumes:  f.Core().V1().PersistentVolumes().Lister(),
	}
	changed := make(chan struct{}, 1)
	kick := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	h := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { kick() },
		UpdateFunc: func(any, any) { kick() },
		DeleteFunc: func(any) { kick() },
	}
	for _, i := range []cache.SharedIndexInformer{
		f.Core().V1().Services().Informer(), f.Core().V1().PersistentVolumeClaims().Informer(), f.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := i.AddEventHandler(h); err != nil {
			c.log.Error("Cannot watch", "error", err)
		}
	}
	f.Start(ctx.Done())
	go func() {
		f.WaitForCacheSync(ctx.Done())
		var retry <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			case <-retry:
			}
			retry = nil
			if err := k.sync(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("Cannot reconcile cloud resources of cluster", "error", err)
				retry = time.After(retryInterval)
			}
		}
	}()
}

// sync everything: there is little of it.
func (k *controllers) sync(ctx context.Context) error {
	var errs []error
	services, err := k.services.List(labels.Everything())
	errs = append(errs, err)
	for _, s := range services {
		errs = append(errs, k.service(ctx, s.DeepCopy()))
	}
	claims, err := k.claims.List(labels.Everything())
	errs = append(errs, err)
	for _, p := range claims {
		errs = append(errs, k.claim(ctx, p))
	}
	volumes, err := k.volumes.List(labels.Everything())
	errs = append(errs, err)
	for _, v := range volumes {
		errs = append(errs, k.volume(ctx, v))
	}
	return errors.Join(errs...)
}

// service gives a Service of type LoadBalancer an SLB, and takes it back when
// the Service goes or changes its type.
func (k *controllers) service(ctx context.Context, s *corev1.Service) error {
	client := k.c.cp.Client().CoreV1().Services(s.Namespace)
	held := slices.Contains(s.Finalizers, serviceFinalizer)
	wanted := s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil && s.DeletionTimestamp == nil
	switch {
	case wanted && !held:
		s.Finalizers = append(s.Finalizers, serviceFinalizer)
		if _, err := client.Update(ctx, s, metav1.UpdateOptions{}); err != nil && !kerrors.IsConflict(err) {
			return fmt.Errorf("cannot add finalizer to service %s/%s: %w", s.Namespace, s.Name, err)
		}
	case wanted:
		address, err := k.c.hooks.EnsureLoadBalancer(k.c.id, string(s.UID), s.Namespace+"/"+s.Name)
		if err != nil {
			return err
		}
		if in := s.Status.LoadBalancer.Ingress; len(in) == 1 && in[0].IP == address {
			return nil
		}
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
		if _, err := client.UpdateStatus(ctx, s, metav1.UpdateOptions{}); err != nil && !kerrors.IsConflict(err) {
			return fmt.Errorf("cannot set address of service %s/%s: %w", s.Namespace, s.Name, err)
		}
	case held:
		k.c.hooks.ReleaseLoadBalancer(k.c.id, string(s.UID))
		if s.DeletionTimestamp == nil && len(s.Status.LoadBalancer.Ingress) > 0 {
			s.Status.LoadBalancer.Ingress = nil
			if _, err := client.UpdateStatus(ctx, s, metav1.UpdateOptions{}); err != nil && !kerrors.IsConflict(err) {
				return fmt.Errorf("cannot clear address of service %s/%s: %w", s.Namespace, s.Name, err)
			}
			return nil
		}
		s.Finalizers = slices.DeleteFunc(s.Finalizers, func(f string) bool { return f == serviceFinalizer })
		if _, err := client.Update(ctx, s, metav1.UpdateOptions{}); err != nil && !kerrors.IsConflict(err) && !kerrors.IsNotFound(err) {
			return fmt.Errorf("cannot remove finalizer from service %s/%s: %w", s.Namespace, s.Name, err)
		}
	}
	return nil
}

// claim provisions a disk for a pending claim of the disk class.
func (k *controllers) claim(ctx context.Context, p *corev1.PersistentVolumeClaim) error {
	if p.Spec.VolumeName != "" || p.DeletionTimestamp != nil || p.Spec.StorageClassName == nil || *p.Spec.StorageClassName != diskClass {
		return nil
	}
	size := p.Spec.Resources.Requests[corev1.ResourceStorage]
	gib := int((size.Value() + 1<<30 - 1) >> 30)
	disk, err := k.c.hooks.EnsureVolume(k.c.id, string(p.UID), p.Namespace+"/"+p.Name, max(gib, 20))
	if err != nil {
		return err
	}
	_, err = k.c.cp.Client().CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: disk, Annotations: map[string]string{provisionedBy: diskDriver}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: size}, AccessModes: p.Spec.AccessModes, StorageClassName: diskClass,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: diskDriver, VolumeHandle: disk}},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil && !kerrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create volume %s: %w", disk, err)
	}
	return nil
}

// volume deletes a released volume and its disk.
func (k *controllers) volume(ctx context.Context, v *corev1.PersistentVolume) error {
	if v.Annotations[provisionedBy] != diskDriver || v.Spec.ClaimRef == nil {
		return nil
	}
	released := v.Status.Phase == corev1.VolumeReleased && v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete
	if !released {
		return nil
	}
	k.c.hooks.ReleaseVolume(k.c.id, string(v.Spec.ClaimRef.UID))
	if err := k.c.cp.Client().CoreV1().PersistentVolumes().Delete(ctx, v.Name, metav1.DeleteOptions{}); err != nil && !kerrors.IsNotFound(err) {
		return fmt.Errorf("cannot delete volume %s: %w", v.Name, err)
	}
	return nil
}
