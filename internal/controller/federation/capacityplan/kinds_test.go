package capacityplan

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
)

// fakeManager has what watch needs.
type fakeManager struct {
	ctrl.Manager
	cache  *informertest.FakeInformers
	client client.Client
}

func (m *fakeManager) GetCache() cache.Cache    { return m.cache }
func (m *fakeManager) GetClient() client.Client { return m.client }

func TestWatch(t *testing.T) {
	ctx := context.Background()
	_, hs := schemes(t)
	p, other := plan(), &v1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "shanghai"}}
	c := fake.NewClientBuilder().WithScheme(hs).WithObjects(p, other).Build()
	mgr := &fakeManager{cache: &informertest.FakeInformers{Scheme: hs}, client: c}
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer q.ShutDown()
	requeuer := &karmada.Requeuer{}
	if err := requeuer.Start(ctx, q); err != nil {
		t.Fatal(err)
	}
	k := &kinds{cached: c, live: c}
	if err := k.watch(mgr, controller.Options{}, requeuer); err != nil {
		t.Fatal(err)
	}
	next := func(reason string) {
		t.Helper()
		begin := time.Now()
		for q.Len() == 0 {
			if time.Since(begin) > time.Minute {
				t.Fatalf("\nReason: %s\nThe plan was not requeued", reason)
			}
			time.Sleep(time.Millisecond)
		}
		r, _ := q.Get()
		q.Done(r)
		if r.NamespacedName != client.ObjectKeyFromObject(p) || q.Len() > 0 {
			t.Errorf("\nReason: %s\nWant only %s requeued, got %s and %d more", reason, client.ObjectKeyFromObject(p), r, q.Len())
		}
	}

	pools, err := mgr.cache.FakeInformerFor(ctx, &ackv1alpha1.NodePool{})
	if err != nil {
		t.Fatal(err)
	}
	pools.Update(ackPool("o", 1, 1), ackPool("o", 1, 1))
	pools.Update(ackPool("o", 1, 1), ackPool("o", 1, 2))
	next("a change of the desired size concerns the plan that the pool follows")
	clusters, err := mgr.cache.FakeInformerFor(ctx, &ackv1alpha1.Cluster{})
	if err != nil {
		t.Fatal(err)
	}
	clusters.Update(ackCluster("c", ""), ackCluster("c", "c1"))
	next("a cluster concerns the plans of its namespace")
	clusters.Delete(ackCluster("c", "c1"))
	next("so does its end")
	reservations, err := mgr.cache.FakeInformerFor(ctx, &v1alpha1.CapacityReservation{})
	if err != nil {
		t.Fatal(err)
	}
	reservations.Add(&v1alpha1.CapacityReservation{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "sale"}})
	next("and a reservation")
}
