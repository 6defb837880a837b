package member

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha1 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// pass calls Delete once.
func (w *world) pass(t *testing.T, mg *v1alpha1.Member) {
	t.Helper()
	if _, err := w.e.Delete(context.Background(), mg); err != nil {
		t.Fatal(err)
	}
}

func (w *world) cluster(t *testing.T) *clusterv1alpha1.Cluster {
	t.Helper()
	return get(t, w.karmada, &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "idc-a"}})
}

func (w *world) binding(t *testing.T, b *workv1alpha2.ResourceBinding) *workv1alpha2.ResourceBinding {
	t.Helper()
	return get(t, w.karmada, &workv1alpha2.ResourceBinding{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name}})
}

// edit what others would write in Karmada.
func edit[T client.Object](t *testing.T, w *world, o T, f func(T)) {
	t.Helper()
	o = get(t, w.karmada, o)
	f(o)
	if err := w.karmada.Update(context.Background(), o); err != nil {
		t.Fatal(err)
	}
}

func drainOf(mg *v1alpha1.Member) v1alpha1.DrainStatus { return *mg.Status.AtProvider.Drain }

func TestDrainByFleet(t *testing.T) {
	web := rb("web", on("idc-b", 2), on("idc-a", 3))
	svc := rb("web-svc", service, on("idc-a", 0), on("idc-b", 0))
	w := newWorld(t, worldOptions{karmada: []client.Object{karmadaCluster(), web, svc}})
	mg := newMember(deleted)

	w.pass(t, mg)
	want := v1alpha1.DrainStatus{
		StartedAt: ptr.To(metav1.NewTime(start)), Bindings: 2, Replicas: 3,
		BlockedBy: "Deployment default/web: 3 replicas wait until fleet has them Ready elsewhere",
	}
	if diff := cmp.Diff(want, drainOf(mg)); diff != "" {
		t.Errorf("Delete(...): drain: -want, +got:\n%s", diff)
	}
	if c := mg.GetCondition(reconcile.TypeDeletionBlocked); c.Status != corev1.ConditionTrue || c.Message != want.BlockedBy {
		t.Errorf("Delete(...): want a condition that says what blocks, got %+v", c)
	}
	if !hasTaint(w.cluster(t), fleetv1alpha1.TaintDraining) {
		t.Error("Delete(...): the draining taint is missing")
	}
	if b := w.binding(t, web); !b.Spec.TargetContains("idc-a") {
		t.Error("Delete(...): replicas of fleet's binding were cut")
	}
	if b := w.binding(t, svc); !b.Spec.TargetContains("idc-a") {
		t.Error("Delete(...): the Service went before the replicas")
	}

	// Fleet has moved the replicas.
	w.after(time.Hour)
	edit(t, w, w.binding(t, web), func(b *workv1alpha2.ResourceBinding) {
		b.Spec.Clusters = []workv1alpha2.TargetCluster{{Name: "idc-b", Replicas: 5}}
	})
	w.pass(t, mg)
	if b := w.binding(t, svc); b.Spec.TargetContains("idc-a") {
		t.Error("Delete(...): the Service stays although nothing runs there")
	}
	if cl := w.cluster(t); cl.DeletionTimestamp != nil {
		t.Error("Delete(...): the Karmada Cluster was deleted while a binding named it")
	}
	w.pass(t, mg)
	if cl := w.cluster(t); cl.DeletionTimestamp == nil {
		t.Error("Delete(...): the Karmada Cluster was not deleted")
	}
	if got := drainOf(mg).StartedAt; !got.Time.Equal(start) {
		t.Errorf("Delete(...): the start of the drain moved to %s", got)
	}
}

func hasTaint(cl *clusterv1alpha1.Cluster, key string) bool {
	for _, t := range cl.Spec.Taints {
		if t.Key == key && t.Effect == corev1.TaintEffectNoSchedule {
			return true
		}
	}
	return false
}

func TestDrainByKarmada(t *testing.T) {
	web := rb("web", byKarmada, on("idc-a", 3))
	w := newWorld(t, worldOptions{karmada: []client.Object{karmadaCluster(), web}})
	mg := newMember(deleted)

	w.pass(t, mg)
	b := w.binding(t, web)
	if b.Spec.TargetContains("idc-a") || !b.Spec.ClusterInGracefulEvictionTasks("idc-a") {
		t.Fatalf("Delete(...): want an eviction task, got %+v", b.Spec)
	}
	if task := b.Spec.GracefulEvictionTasks[0]; !ptr.Deref(task.SuppressDeletion, false) || ptr.Deref(task.Replicas, 0) != 3 {
		t.Errorf("Delete(...): Karmada may cut the replicas by itself: %+v", task)
	}

	cases := []struct {
		reason string
		edit   func(b *workv1alpha2.ResourceBinding)
		kept   bool
	}{
		{reason: "No other cluster has room", edit: func(*workv1alpha2.ResourceBinding) {}, kept: true},
		{reason: "The scheduler has not seen the eviction", kept: true, edit: func(b *workv1alpha2.ResourceBinding) {
			b.Generation = 2
			b.Spec.Clusters = []workv1alpha2.TargetCluster{{Name: "idc-b", Replicas: 3}}
			b.Status.AggregatedStatus = []workv1alpha2.AggregatedStatusItem{{ClusterName: "idc-b", Health: workv1alpha2.ResourceHealthy}}
		}},
		{reason: "The new replicas are not healthy", kept: true, edit: func(b *workv1alpha2.ResourceBinding) {
			b.Status.SchedulerObservedGeneration = 2
			b.Status.AggregatedStatus[0].Health = workv1alpha2.ResourceUnhealthy
		}},
		{reason: "Some replicas are placed nowhere", kept: true, edit: func(b *workv1alpha2.ResourceBinding) {
			b.Spec.Clusters[0].Replicas = 2
			b.Status.AggregatedStatus[0].Health = workv1alpha2.ResourceHealthy
		}},
		{reason: "All replicas are healthy elsewhere", edit: func(b *workv1alpha2.ResourceBinding) {
			b.Spec.Clusters[0].Replicas = 3
		}},
	}
	for _, tc := range cases {
		edit(t, w, w.binding(t, web), tc.edit)
		w.pass(t, mg)
		if got := w.binding(t, web).Spec.ClusterInGracefulEvictionTasks("idc-a"); got != tc.kept {
			t.Fatalf("\nReason: %s\nDelete(...): task kept: want %t, got %t", tc.reason, tc.kept, got)
		}
		if cl := w.cluster(t); cl.DeletionTimestamp != nil {
			t.Fatalf("\nReason: %s\nDelete(...): the Karmada Cluster was deleted too early", tc.reason)
		}
	}
	w.pass(t, mg)
	if cl := w.cluster(t); cl.DeletionTimestamp == nil {
		t.Error("Delete(...): the Karmada Cluster was not deleted")
	}
}

func TestDrainForced(t *testing.T) {
	timeout := func(mg *v1alpha1.Member) {
		mg.Spec.ForProvider.DrainTimeout = &metav1.Duration{Duration: time.Minute}
	}
	cases := map[string]struct {
		reason string
		mg     *v1alpha1.Member
		world  worldOptions
		wait   time.Duration
		forced bool
	}{
		"NoTimeout": {
			reason: "Without a time-out it waits for ever",
			mg:     newMember(deleted),
			wait:   1000 * time.Hour,
		},
		"Before": {
			reason: "Before the time-out nothing is cut",
			mg:     newMember(deleted, timeout),
			wait:   59 * time.Second,
		},
		"After": {
			reason: "After the time-out the bindings are rewritten",
			mg:     newMember(deleted, timeout),
			wait:   61 * time.Second,
			forced: true,
		},
		"Silence": {
			reason: "A cluster that does not answer is not proved gone",
			mg:     newMember(deleted, ofCloud),
			world: worldOptions{
				host:      []client.Object{cloudCluster(), secret("shanghai-ack-kubeconfig", kubeconfig("https://ack"))},
				karmada:   []client.Object{karmadaCluster(ready(false))},
				memberErr: errRefused,
			},
			wait: time.Hour,
		},
		"Gone": {
			reason: "A cloud cluster whose managed resource is gone, and that Karmada does not reach, is gone",
			mg:     newMember(deleted, ofCloud),
			world:  worldOptions{karmada: []client.Object{karmadaCluster(ready(false))}},
			forced: true,
		},
		"Orphaned": {
			reason: "A cloud cluster that outlives its managed resource is not",
			mg:     newMember(deleted, ofCloud),
		},
		"Replaced": {
			reason: "A cluster that was made anew has nothing of the old one",
			mg:     newMember(deleted, ofCloud),
			world: worldOptions{
				host:     []client.Object{cloudCluster(), secret("shanghai-ack-kubeconfig", kubeconfig("https://ack"))},
				memberID: "another",
			},
			forced: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			web := rb("web", on("idc-a", 3))
			if tc.world.karmada == nil {
				tc.world.karmada = []client.Object{karmadaCluster()}
			}
			tc.world.karmada = append(tc.world.karmada, web)
			w := newWorld(t, tc.world)
			w.pass(t, tc.mg)
			w.after(tc.wait)
			w.pass(t, tc.mg)
			if got := !w.binding(t, web).Spec.TargetContains("idc-a"); got != tc.forced {
				t.Errorf("\nReason: %s\nDelete(...): forced: want %t, got %t", tc.reason, tc.forced, got)
			}
			w.pass(t, tc.mg)
			if got := w.cluster(t).DeletionTimestamp != nil; got != tc.forced {
				t.Errorf("\nReason: %s\nDelete(...): Karmada Cluster deleted: want %t, got %t", tc.reason, tc.forced, got)
			}
		})
	}
}

func TestRetain(t *testing.T) {
	ctx := context.Background()
	policy := &v1alpha1.PlacementPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "shanghai"}}
	policy.Spec.ForProvider.Pool = pool
	policy.Spec.ForProvider.Tiers = []v1alpha1.PlacementTier{{Members: []string{"idc-a"}}}
	cloud := newMember(ofCloud, func(mg *v1alpha1.Member) { mg.Name = "shanghai-ack" })

	web := rb("web", on("idc-a", 3))
	cfg := rb("cfg", func(b *workv1alpha2.ResourceBinding) {
		b.Spec.RequiredBy = []workv1alpha2.BindingSnapshot{{Clusters: []workv1alpha2.TargetCluster{{Name: "idc-a"}}}}
	})
	w := newWorld(t, worldOptions{
		host:    []client.Object{policy, cloud},
		karmada: []client.Object{karmadaCluster(), web, cfg, work("web", true, false), work("namespace", false, false), ownWork("impersonator")},
	})
	mg := newMember(deleted, retains)

	w.pass(t, mg)
	if c := mg.GetCondition(reconcile.TypeDeletionBlocked); c.Reason != reasonMembers || !strings.Contains(c.Message, "shanghai-ack") {
		t.Fatalf("Delete(...): want it to wait for the Member that drains, got %+v", c)
	}
	if err := w.host.Delete(ctx, cloud); err != nil {
		t.Fatal(err)
	}
	w.pass(t, mg)
	if c := mg.GetCondition(reconcile.TypeDeletionBlocked); c.Reason != reasonPolicy {
		t.Fatalf("Delete(...): want it to wait for the policy, got %+v", c)
	}
	if b := w.binding(t, web); b.Spec.PreserveResourcesOnDeletion != nil {
		t.Error("Delete(...): it began before its turn")
	}
	if err := w.host.Delete(ctx, policy); err != nil {
		t.Fatal(err)
	}

	w.pass(t, mg)
	for _, b := range []*workv1alpha2.ResourceBinding{w.binding(t, web), w.binding(t, cfg)} {
		if !ptr.Deref(b.Spec.PreserveResourcesOnDeletion, false) {
			t.Errorf("Delete(...): binding %s does not preserve its objects", b.Name)
		}
	}
	w.pass(t, mg)
	if b := w.binding(t, web); !b.Spec.TargetContains("idc-a") {
		t.Fatal("Delete(...): the binding was released before its Work preserves the object")
	}
	if hasTaint(w.cluster(t), fleetv1alpha1.TaintDraining) {
		t.Error("Delete(...): fleet would move the replicas away")
	}

	// The binding controller follows.
	edit(t, w, work("web", true, false), func(o *workv1alpha1.Work) { o.Spec.PreserveResourcesOnDeletion = ptr.To(true) })
	// But the detector undoes the binding: then it must be marked again first.
	edit(t, w, w.binding(t, web), func(b *workv1alpha2.ResourceBinding) { b.Spec.PreserveResourcesOnDeletion = nil })
	w.pass(t, mg)
	if b := w.binding(t, web); !b.Spec.TargetContains("idc-a") {
		t.Fatal("Delete(...): a binding that does not preserve its objects was released")
	}
	w.pass(t, mg)
	if b := w.binding(t, web); b.Spec.TargetContains("idc-a") {
		t.Fatal("Delete(...): the binding was not released")
	}
	w.pass(t, mg)
	if cl := w.cluster(t); cl.DeletionTimestamp == nil {
		t.Fatal("Delete(...): the Karmada Cluster was not deleted")
	}
	if own := get(t, w.karmada, ownWork("impersonator")); ptr.Deref(own.Spec.PreserveResourcesOnDeletion, false) {
		t.Error("Delete(...): Karmada's own role would stay, and be in the way of the next join")
	}
	if ns := get(t, w.karmada, work("namespace", false, false)); !ptr.Deref(ns.Spec.PreserveResourcesOnDeletion, false) {
		t.Error("Delete(...): Karmada would delete the namespace, and all in it")
	}

	// Karmada lets go; the bindings are as they were.
	edit(t, w, w.cluster(t), func(cl *clusterv1alpha1.Cluster) { cl.Finalizers = nil })
	if o, err := w.e.Observe(ctx, mg); err != nil || o.ResourceExists {
		t.Fatalf("Observe(...): want absent, got %+v, %v", o, err)
	}
	for _, b := range []*workv1alpha2.ResourceBinding{w.binding(t, web), w.binding(t, cfg)} {
		if b.Spec.PreserveResourcesOnDeletion != nil || len(b.Annotations) != 0 {
			t.Errorf("Observe(...): binding %s keeps marks: %v", b.Name, b.Annotations)
		}
	}
}

func TestRetainGrace(t *testing.T) {
	policy := &v1alpha1.PlacementPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "shanghai"}}
	policy.Spec.ForProvider.Pool = pool
	policy.Spec.ForProvider.Tiers = []v1alpha1.PlacementTier{{Members: []string{"idc-a"}}}
	w := newWorld(t, worldOptions{host: []client.Object{policy}, karmada: []client.Object{karmadaCluster()}})
	mg := newMember(deleted, retains)
	w.pass(t, mg)
	w.after(policyGrace + time.Second)
	w.pass(t, mg)
	if cl := w.cluster(t); cl.DeletionTimestamp == nil {
		t.Error("Delete(...): a policy that stays holds the member for ever")
	}
}

func TestRetainMarks(t *testing.T) {
	b := rb("web")
	b.Spec.PreserveResourcesOnDeletion = ptr.To(false)
	was := b.DeepCopy()
	x := binding{Object: b, spec: &b.Spec, status: &b.Status}
	markRetained(x, "idc-a")
	markRetained(x, "idc-b")
	markRetained(x, "idc-a")
	unmarkRetained(x, "idc-a")
	if !ptr.Deref(b.Spec.PreserveResourcesOnDeletion, false) || !retainedBy(x, "idc-b") || retainedBy(x, "idc-a") {
		t.Errorf("unmarkRetained(...): want the mark of the other member kept, got %+v", b)
	}
	unmarkRetained(x, "idc-b")
	b.Annotations = nil
	if diff := cmp.Diff(was, b); diff != "" {
		t.Errorf("unmarkRetained(...): -want, +got:\n%s", diff)
	}
}

func TestLetGo(t *testing.T) {
	dying := func(name string, preserve bool) *workv1alpha1.Work {
		o := work(name, true, preserve, karmadautil.ExecutionControllerFinalizer)
		o.DeletionTimestamp = ptr.To(metav1.NewTime(start))
		return o
	}
	host := []client.Object{secret("idc-a", kubeconfig("https://idc-a:6443"))}
	cases := map[string]struct {
		reason   string
		mg       *v1alpha1.Member
		world    worldOptions
		cluster  *clusterv1alpha1.Cluster
		wait     time.Duration
		released bool
	}{
		"Alive": {
			reason:  "A member that answers is Karmada's to clean up",
			mg:      newMember(deleted, retains),
			world:   worldOptions{host: host},
			cluster: karmadaCluster(terminating(start), ready(false)),
			wait:    time.Hour,
		},
		"Early": {
			reason:  "A dead member may be Karmada's too",
			mg:      newMember(deleted, retains),
			world:   worldOptions{host: host, memberErr: errRefused},
			cluster: karmadaCluster(terminating(start), ready(false)),
		},
		"Dead": {
			reason:   "But it does not hold its Works for ever",
			mg:       newMember(deleted, retains),
			world:    worldOptions{host: host, memberErr: errRefused},
			cluster:  karmadaCluster(terminating(start), ready(false)),
			wait:     2 * time.Minute,
			released: true,
		},
		"Ready": {
			reason:  "A member that Karmada reaches is not dead, whatever we see",
			mg:      newMember(deleted, retains),
			world:   worldOptions{host: host, memberErr: errRefused},
			cluster: karmadaCluster(terminating(start)),
			wait:    time.Hour,
		},
		"Gone": {
			reason:   "A cloud cluster that is gone holds nothing",
			mg:       newMember(deleted, ofCloud),
			cluster:  karmadaCluster(terminating(start), ready(false)),
			released: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			// Someone has deleted the Karmada Cluster although a binding named it.
			web := rb("web", on("idc-a", 3))
			tc.world.karmada = []client.Object{tc.cluster, executionSpace(true), dying("web", true), web}
			w := newWorld(t, tc.world)
			w.after(tc.wait)
			w.pass(t, tc.mg)
			if got := get(t, w.karmada, work("web", true, true)) == nil; got != tc.released {
				t.Errorf("\nReason: %s\nDelete(...): released: want %t, got %t", tc.reason, tc.released, got)
			}
			if w.binding(t, web).Spec.TargetContains("idc-a") {
				t.Error("Delete(...): Karmada would wait for the binding for ever")
			}
		})
	}
}

func TestLetGoHastens(t *testing.T) {
	bound, kept, free, own := "bound", "kept", "free", "impersonator"
	type want struct {
		// Works that are left, and whether they preserve their objects.
		Works map[string]bool
		// Nudges of the Cluster in three passes, one second apart.
		Nudges int
	}
	cases := map[string]struct {
		reason string
		mg     *v1alpha1.Member
		space  *corev1.Namespace
		want   want
	}{
		"Lives": {
			reason: "Before Karmada has deleted the execution space, it would make Works anew",
			mg:     newMember(deleted),
			space:  executionSpace(false),
			want:   want{Works: map[string]bool{bound: false, kept: true, free: false, own: false}},
		},
		"Rented": {
			reason: "In a cloud cluster nothing is kept",
			mg:     newMember(deleted, ofCloud),
			space:  executionSpace(true),
			want:   want{Works: map[string]bool{}},
		},
		"SelfBuilt": {
			reason: "A self-built cluster keeps what no binding made, such as namespaces: it is marked before its Work goes",
			mg:     newMember(deleted),
			space:  executionSpace(true),
			want:   want{Works: map[string]bool{free: true}},
		},
		"Retain": {
			reason: "A member with Retain keeps all, even that of a Work which Karmada has not marked, but not what is Karmada's own",
			mg:     newMember(deleted, retains),
			space:  executionSpace(true),
			want:   want{Works: map[string]bool{bound: true, free: true}},
		},
		"Gone": {
			reason: "Without an execution space, Karmada is made to look again every two seconds",
			mg:     newMember(deleted),
			want:   want{Works: map[string]bool{}, Nudges: 2},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := worldOptions{
				host:    []client.Object{secret("idc-a", kubeconfig("https://idc-a:6443"))},
				karmada: []client.Object{karmadaCluster(terminating(start))},
			}
			if tc.space != nil {
				o.karmada = append(o.karmada, tc.space, work(bound, true, false), work(kept, true, true), work(free, false, false), ownWork(own))
			}
			w := newWorld(t, o)
			w.pass(t, tc.mg)
			got := want{Works: map[string]bool{}}
			l := &workv1alpha1.WorkList{}
			if err := w.karmada.List(context.Background(), l); err != nil {
				t.Fatal(err)
			}
			for _, x := range l.Items {
				got.Works[x.Name] = ptr.Deref(x.Spec.PreserveResourcesOnDeletion, false)
			}
			last := ""
			for range 3 {
				if at := w.cluster(t).Annotations[annotationNudged]; at != last {
					last = at
					got.Nudges++
				}
				w.after(time.Second)
				w.pass(t, tc.mg)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nDelete(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestLeft(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, worldOptions{host: []client.Object{secret("idc-a", kubeconfig("https://idc-a:6443"))}})
	if _, err := w.e.Create(ctx, newMember()); err != nil {
		t.Fatal(err)
	}
	mg := newMember(deleted)
	w.pass(t, mg)
	if cl := w.cluster(t); cl != nil {
		t.Fatal("Delete(...): a Karmada Cluster without bindings was not deleted")
	}
	if o, err := w.e.Observe(ctx, mg); err != nil || o.ResourceExists {
		t.Fatalf("Observe(...): want absent, got %+v, %v", o, err)
	}
	ss := &corev1.SecretList{}
	if err := w.karmada.List(ctx, ss); err != nil || len(ss.Items) != 0 {
		t.Errorf("Observe(...): credentials stay in Karmada: %d, %v", len(ss.Items), err)
	}
	sas, err := w.member.CoreV1().ServiceAccounts(memberNamespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(sas.Items) != 0 {
		t.Errorf("Observe(...): service accounts stay in the member: %d, %v", len(sas.Items), err)
	}
	crs, err := w.member.RbacV1().ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil || len(crs.Items) != 0 {
		t.Errorf("Observe(...): roles stay in the member: %d, %v", len(crs.Items), err)
	}
}

// TestLeftUnmarks has someone else write to a binding while its mark is taken away.
func TestLeftUnmarks(t *testing.T) {
	marked := rb("web")
	markRetained(binding{Object: marked, spec: &marked.Spec, status: &marked.Status}, "idc-a")
	cases := map[string]struct {
		reason    string
		conflicts int
		left      bool
	}{
		"Once":   {"Who comes second tries again at once", 1, true},
		"Always": {"It is not tried for ever", 1000, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := 0
			w := newWorld(t, worldOptions{
				host: []client.Object{secret("idc-a", kubeconfig("https://idc-a:6443"))}, karmada: []client.Object{marked.DeepCopy()},
				funcs: interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
					if n++; n <= tc.conflicts {
						return kerrors.NewConflict(schema.GroupResource{Resource: "resourcebindings"}, o.GetName(), nil)
					}
					return c.Patch(ctx, o, p, opts...)
				}},
			})
			_, err := w.e.Observe(context.Background(), newMember(deleted))
			b := get(t, w.karmada, rb("web"))
			if (err == nil) != tc.left || retainedBy(binding{Object: b, spec: &b.Spec}, "idc-a") == tc.left {
				t.Errorf("\nReason: %s\nObserve(...): %v, the binding has %v", tc.reason, err, b.GetAnnotations())
			}
		})
	}
}
