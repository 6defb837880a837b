package observer

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// A member may be there before its credentials are, and before it answers.
// Informers would back off for many seconds, so the first answer is waited for
// with a short, steady poll.
const (
	joinPoll    = 200 * time.Millisecond
	joinTimeout = 2 * time.Second
)

// access returns the credentials with which Karmada reaches a member.
func (o *Observer) access(ctx context.Context, name string) (*rest.Config, error) {
	u, err := o.dynamic.Resource(clusterResource).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("cannot get Cluster %s: %w", name, err)
	}
	field := func(path ...string) string {
		v, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, path...)...)
		return v
	}
	s, err := o.karmada.CoreV1().Secrets(field("secretRef", "namespace")).Get(ctx, field("secretRef", "name"), metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("cannot get credentials of Cluster %s: %w", name, err)
	}
	cfg := &rest.Config{Host: field("apiEndpoint"), BearerToken: string(s.Data["token"])}
	cfg.CAData = s.Data["caBundle"]
	if insecure, _, _ := unstructured.NestedBool(u.Object, "spec", "insecureSkipTLSVerification"); insecure {
		cfg.Insecure, cfg.CAData = true, nil
	}
	return cfg, nil
}

// watchMember follows pods, nodes, Deployments and disruption budgets of a
// member in the background until the context ends or the member leaves.
func (o *Observer) watchMember(ctx context.Context, name string, uid types.UID, cloud bool, access func(context.Context) (*rest.Config, error)) {
	ctx, stop := context.WithCancel(ctx)
	o.locked(func(t *tally) {
		o.cancel[name] = memberWatch{uid: uid, stop: stop}
		t.addMember(name, cloud)
	})
	o.wg.Go(func() {
		defer stop()
		var kube kubernetes.Interface
		err := wait.PollUntilContextCancel(ctx, joinPoll, true, func(ctx context.Context) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, joinTimeout)
			defer cancel()
			cfg, err := access(ctx)
			if err != nil {
				return false, nil
			}
			if kube, err = kubernetes.NewForConfig(tuned(cfg)); err != nil {
				return false, nil
			}
			_, err = kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
			return err == nil, nil
		})
		if err != nil {
			return
		}
		o.runMember(ctx, name, kube)
	})
}

func (o *Observer) runMember(ctx context.Context, name string, kube kubernetes.Interface) {
	f := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTransform(strip))
	// Events that come after the member left concern nobody.
	now := func(do func(t *tally)) {
		o.locked(func(t *tally) {
			if ctx.Err() == nil {
				do(t)
			}
		})
	}
	follow(f.Core().V1().Pods().Informer(),
		func(p *corev1.Pod) { now(func(t *tally) { t.setPod(name, p) }) },
		func(p *corev1.Pod) { now(func(t *tally) { t.dropPod(name, p) }) })
	follow(f.Core().V1().Nodes().Informer(),
		func(n *corev1.Node) { now(func(t *tally) { t.setNode(name, n) }) },
		func(n *corev1.Node) { now(func(t *tally) { t.dropNode(name, n) }) })
	follow(f.Apps().V1().Deployments().Informer(),
		func(d *appsv1.Deployment) { now(func(t *tally) { t.setLocal(name, d) }) },
		func(d *appsv1.Deployment) { now(func(t *tally) { t.dropLocal(name, d) }) })
	follow(f.Policy().V1().PodDisruptionBudgets().Informer(),
		func(b *policyv1.PodDisruptionBudget) { now(func(t *tally) { t.setBudget(name, b) }) },
		func(b *policyv1.PodDisruptionBudget) { now(func(t *tally) { t.dropBudget(name, b) }) })
	f.Start(ctx.Done())
	synced := true
	for _, ok := range f.WaitForCacheSync(ctx.Done()) {
		synced = synced && ok
	}
	if synced {
		now(func(t *tally) { t.connected(name) })
	}
	<-ctx.Done()
	f.Shutdown()
}

// follow calls set for each object that is there or changes, and drop for each
// that is gone.
func follow[T any](inf cache.SharedIndexInformer, set, drop func(T)) {
	// The handler of an informer that has not started cannot be refused.
	_, _ = inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if o, ok := obj.(T); ok {
				set(o)
			}
		},
		UpdateFunc: func(_, obj any) {
			if o, ok := obj.(T); ok {
				set(o)
			}
		},
		DeleteFunc: func(obj any) {
			if o, ok := final(obj).(T); ok {
				drop(o)
			}
		},
	})
}
