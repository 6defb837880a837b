package kube

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
)

// Billed are the objects of a cluster that the cloud bills beside its machines
// and that would outlive it.
type Billed struct {
	// LoadBalancers are Services, as namespace/name.
	LoadBalancers []string
	// Volumes are PersistentVolumeClaims, as namespace/name.
	Volumes []string
	// Mounted are those of the Volumes that a pod on a node still uses. They
	// cannot go before the pod does.
	Mounted []string
}

// All of them, for a person.
func (b Billed) All() []string {
	all := make([]string, 0, len(b.LoadBalancers)+len(b.Volumes))
	for _, s := range b.LoadBalancers {
		all = append(all, "Service "+s)
	}
	for _, v := range b.Volumes {
		all = append(all, "PersistentVolumeClaim "+v)
	}
	return all
}

// ReleaseBilled deletes Services of type LoadBalancer and
// PersistentVolumeClaims, and returns what is still there. Their finalizers hold
// them until the cloud's controllers have given back what stands behind them:
// call it again until nothing is left.
func ReleaseBilled(ctx context.Context, k kubernetes.Interface) (Billed, error) {
	b := Billed{}
	services, err := k.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return b, errors.Wrap(err, "cannot list Services")
	}
	for i := range services.Items {
		s := &services.Items[i]
		if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
			continue
		}
		b.LoadBalancers = append(b.LoadBalancers, s.Namespace+"/"+s.Name)
		if s.DeletionTimestamp != nil {
			continue
		}
		if err := k.CoreV1().Services(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !kerrors.IsNotFound(err) {
			return b, errors.Wrapf(err, "cannot delete Service %s/%s", s.Namespace, s.Name)
		}
	}

	claims, err := k.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return b, errors.Wrap(err, "cannot list PersistentVolumeClaims")
	}
	if len(claims.Items) == 0 {
		return b, nil
	}
	for i := range claims.Items {
		c := &claims.Items[i]
		b.Volumes = append(b.Volumes, c.Namespace+"/"+c.Name)
		if c.DeletionTimestamp != nil {
			continue
		}
		if err := k.CoreV1().PersistentVolumeClaims(c.Namespace).Delete(ctx, c.Name, metav1.DeleteOptions{}); err != nil && !kerrors.IsNotFound(err) {
			return b, errors.Wrapf(err, "cannot delete PersistentVolumeClaim %s/%s", c.Namespace, c.Name)
		}
	}

	pods, err := k.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return b, errors.Wrap(err, "cannot list pods")
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Spec.NodeName == "" {
			continue
		}
		for _, v := range p.Spec.Volumes {
			if v.PersistentVolumeClaim == nil {
				continue
			}
			name := p.Namespace + "/" + v.PersistentVolumeClaim.ClaimName
			if slices.Contains(b.Volumes, name) && !slices.Contains(b.Mounted, name) {
				b.Mounted = append(b.Mounted, name)
			}
		}
	}
	return b, nil
}
