package observer

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// A member that has just joined cannot be read through the proxy until Karmada
// has given us the right to be impersonated there. Informers would back off for
// many seconds, so the first answer is waited for with a short, steady poll.
const (
	joinPoll    = 200 * time.Millisecond
	joinTimeout = 2 * time.Second
)

// watchMember follows pods, nodes, Deployments and disruption budgets of a
// member in the background until the context ends or the member leaves.
func (o *Observer) watchMember(ctx context.Context, name string, uid types.UID, cfg *rest.Config, cloud bool) error {
	kube, err := kubernetes.NewForConfig(tuned(cfg))
	if err != nil {
		return fmt.Errorf("cannot make client of member %s: %w", name, err)
	}
	ctx, stop := context.WithCancel(ctx)
	o.locked(func(t *tally) {
		o.cancel[name] = memberWatch{uid: uid, stop: stop}
		t.addMember(name, cloud)
	})
	o.wg.Go(func() {
		defer stop()
		err := wait.PollUntilContextCancel(ctx, joinPoll, true, func(ctx context.Context) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, joinTimeout)
			defer cancel()
			_, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
			return err == nil, nil
		})
		if err != nil {
			return
		}
		o.runMember(ctx, name, kube)
	})
	return nil
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
