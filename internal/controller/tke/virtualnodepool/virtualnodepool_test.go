package virtualnodepool

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
)

func (w *world) ready() bool {
	cr := w.get()
	return cr != nil && cr.GetCondition(xpv2.TypeReady).Status == corev1.ConditionTrue
}

func (w *world) isGone() bool { return w.get() == nil }

func TestLife(t *testing.T) {
	w := newWorld(t, virtual(), memberOf("c"))
	w.passes(2)
	if w.ready() {
		t.Errorf("\nReason: no virtual node is running yet\nReady: %+v", w.get().Status)
	}
	w.until("Ready", func() bool { return w.ready() && w.get().Status.AtProvider.State == tke.NodePoolNormal })
	cr := w.get()
	want := []tke.VirtualNodePool{{
		ID: meta.GetExternalName(cr), Name: "rp-01234567", State: tke.NodePoolNormal, SubnetIDs: []string{"subnet-gz1"},
		Labels: map[string]string{elasticv1alpha1.TagOwner: uid, "regionpool.io/offering": "tke-virtual"},
	}}
	if diff := cmp.Diff(want, w.pools()); diff != "" || w.calls("CreateClusterVirtualNodePool") != 1 {
		t.Errorf("\nReason: one pool with the owner's label, and the cluster's subnet\n%d calls, -want, +got:\n%s", w.calls("CreateClusterVirtualNodePool"), diff)
	}
	at := cr.Status.AtProvider
	if at.ID == "" || at.ClusterID != w.cluster || at.Region != region || at.State != tke.NodePoolNormal || len(at.Nodes) != 1 {
		t.Errorf("\nReason: the status tells what is there\natProvider: %+v", at)
	}

	// A further subnet gets a node, and one that is taken away keeps its own.
	w.update(func(cr *v1alpha1.VirtualNodePool) { cr.Spec.ForProvider.SubnetIDs = []string{"subnet-gz2"} })
	w.until("two nodes", func() bool { return len(w.get().Status.AtProvider.Nodes) == 2 })
	w.update(func(cr *v1alpha1.VirtualNodePool) {
		cr.Spec.ForProvider.Labels["a"] = "b"
		cr.Spec.ForProvider.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
	})
	w.until("labels and taints", func() bool {
		p := w.pools()[0]
		return p.Labels["a"] == "b" && p.Labels[elasticv1alpha1.TagOwner] == uid && len(p.Taints) == 1
	})
	w.passes(10)
	if w.calls("CreateClusterVirtualNode") != 1 || w.calls("ModifyClusterVirtualNodePool") != 1 || w.calls("DeleteClusterVirtualNode") != 0 {
		t.Errorf("\nReason: each change is made once, and no node is taken away\nCreateClusterVirtualNode: %d, ModifyClusterVirtualNodePool: %d",
			w.calls("CreateClusterVirtualNode"), w.calls("ModifyClusterVirtualNodePool"))
	}

	// Deletion: first the cluster leaves the federation, then pods go.
	nodes := w.get().Status.AtProvider.Nodes
	w.run("default", "web", nodes[0])
	w.delete(w.get())
	w.passes(1)
	if got := w.blocked(); !strings.HasPrefix(got, "Waiting: Waiting a moment") {
		t.Errorf("\nReason: siblings may be deleted as well\nDeletionBlocked: %s", got)
	}
	cl := &v1alpha1.Cluster{}
	w.ok(w.host.Get(context.Background(), clusterKey, cl))
	cl.Finalizers = []string{"test"}
	w.ok(w.host.Update(context.Background(), cl))
	w.delete(cl)
	w.passes(5)
	if got := w.blocked(); got != "Waiting: Waiting until Member m has left the federation" {
		t.Errorf("\nReason: replicas move away first\nDeletionBlocked: %s", got)
	}
	w.delete(memberOf("c"))
	w.protected["web"] = true
	w.passes(3)
	if got := w.blocked(); !strings.HasPrefix(got, "Blocked: virtual node "+nodes[0]+" cannot be drained: pods protected by a PodDisruptionBudget: default/web") {
		t.Errorf("\nReason: a budget holds\nDeletionBlocked: %s", got)
	}
	if w.calls("DeleteClusterVirtualNodePool")+w.calls("DrainClusterVirtualNode") > 0 {
		t.Errorf("\nReason: nothing is removed before\nDeleteClusterVirtualNodePool was called")
	}
	n, err := w.member.CoreV1().Nodes().Get(context.Background(), nodes[1], metav1.GetOptions{})
	if err != nil || !n.Spec.Unschedulable {
		t.Errorf("\nReason: all nodes are cordoned\nNode %s: %+v, %v", nodes[1], n, err)
	}
	w.protected["web"] = false
	w.until("gone", w.isGone)
	if len(w.pools()) != 0 || w.calls("DeleteClusterVirtualNodePool") != 1 || w.calls("DrainClusterVirtualNode") == 0 {
		t.Errorf("\nReason: drained, deleted once, and waited for\npools: %v", w.pools())
	}
}

func TestOnce(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   faults.Kind
		calls  int
	}{
		"Dropped":   {reason: "The answer was lost: what was made is found by its label.", kind: faults.DropAfterAccept, calls: 1},
		"Truncated": {reason: "So it is with half an answer.", kind: faults.TruncateBody, calls: 1},
		"Lost":      {reason: "Nothing was made: it is made after the list had its time.", kind: faults.HTTP502HTML, calls: 1},
		"Throttled": {reason: "A refused call is repeated.", kind: faults.Throttle, calls: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, virtual())
			_, err := w.sim.Cloud.Faults.Add(faults.Rule{Kind: tc.kind, Action: "CreateClusterVirtualNodePool", Times: 1})
			w.ok(err)
			for range 60 {
				_ = w.pass(2 * time.Second)
			}
			if !w.ready() || len(w.pools()) != 1 || w.calls("CreateClusterVirtualNodePool") != tc.calls || meta.GetExternalName(w.get()) != w.pools()[0].ID {
				t.Errorf("\nReason: %s\npools: %v, calls: %d\n%+v", tc.reason, w.pools(), w.calls("CreateClusterVirtualNodePool"), w.get())
			}
		})
	}
}

func TestSystemPods(t *testing.T) {
	cases := map[string]struct {
		reason string
		other  *corev1.Node
		want   string
	}{
		"Alone": {reason: "The budget of the cluster's DNS forbids what nobody needs any more.", want: "gone"},
		"Other": {
			reason: "There is another node to run on.",
			other:  &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "10.0.0.3"}},
			want:   "cannot be drained: pods protected by a PodDisruptionBudget: kube-system/coredns",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, virtual())
			if tc.other != nil {
				w.ok(w.member.Tracker().Add(tc.other))
			}
			w.until("Ready", w.ready)
			w.run("kube-system", "coredns", w.get().Status.AtProvider.Nodes[0])
			w.protected["coredns"] = true
			w.delete(w.get())
			w.passes(60)
			if got := w.blocked(); !strings.Contains(got, tc.want) {
				t.Errorf("\nReason: %s\nDeletionBlocked: %s", tc.reason, got)
			}
		})
	}
}

func TestDaemonSet(t *testing.T) {
	w := newWorld(t, virtual())
	w.until("Ready", w.ready)
	w.run("default", "agent", w.get().Status.AtProvider.Nodes[0], func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", UID: "d", Controller: ptr.To(true)}}
	})
	w.delete(w.get())
	w.until("gone", w.isGone)
	if len(w.pools()) > 0 {
		t.Errorf("\nReason: pods of DaemonSets go with their node\npools: %v", w.pools())
	}
}

// TestHandover: the pool goes and its cluster stays in the federation.
func TestHandover(t *testing.T) {
	w := newWorld(t, virtual(), &federationv1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}, Spec: federationv1alpha1.MemberSpec{ForProvider: federationv1alpha1.MemberParameters{
		ClusterRef: &federationv1alpha1.ClusterReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Cluster", Name: "c"},
	}}})
	w.until("Ready", w.ready)
	w.run("default", "web", w.get().Status.AtProvider.Nodes[0], func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "r", Controller: ptr.To(true)}}
	})
	quiet := func(silent bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.silent = silent
	}
	quiet(true)
	w.delete(w.get())
	w.passes(5)
	w.ok(w.pass(time.Hour))
	quiet(false)
	w.passes(5)
	if got := w.blocked(); !strings.HasPrefix(got, "Handover: ") {
		t.Errorf("\nReason: its time runs from when the nodes were cordoned\nDeletionBlocked: %s", got)
	}
	w.ok(w.pass(elastic.DefaultDrainTimeout))
	w.until("gone", w.isGone)
}

func TestSilentCluster(t *testing.T) {
	w := newWorld(t, virtual())
	w.until("Ready", w.ready)
	w.run("default", "web", w.get().Status.AtProvider.Nodes[0])
	w.silent = true
	w.delete(w.get())
	w.passes(10)
	if got := w.blocked(); got != "Blocked: Cannot evict the pods: the API server of the cluster does not answer" {
		t.Errorf("\nReason: the cluster stays, and somebody may count on its pods\nDeletionBlocked: %s", got)
	}
	cl := &v1alpha1.Cluster{}
	w.ok(w.host.Get(context.Background(), clusterKey, cl))
	cl.Finalizers = []string{"test"}
	w.ok(w.host.Update(context.Background(), cl))
	w.delete(cl)
	w.passes(3)
	if cr := w.get(); cr.GetCondition(lifecycle.TypeDeletionBlocked).Reason != lifecycle.ReasonNoAnswer {
		t.Errorf("\nReason: an API server may be away for a moment\nDeletionBlocked: %s", w.blocked())
	}
	w.ok(w.pass(20 * time.Minute))
	w.until("gone", w.isGone)
}

func TestImport(t *testing.T) {
	w := newWorld(t)
	id, err := w.tke.CreateVirtualNodePool(context.Background(), w.cluster, tke.VirtualNodePoolInput{Name: "theirs", SubnetIDs: []string{"subnet-gz1"}})
	w.ok(err)
	w.sim.Step(2 * time.Minute)
	named := func(cr *v1alpha1.VirtualNodePool) {
		meta.SetExternalName(cr, id)
		cr.Spec.ForProvider.Labels = nil
	}

	observe := virtual(named)
	observe.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionObserve})
	w.ok(w.host.Create(context.Background(), observe))
	w.passes(3)
	if !w.ready() || len(w.get().Status.AtProvider.Nodes) != 1 {
		t.Errorf("\nReason: an imported pool is observed\n%+v", w.get().Status)
	}
	w.update(func(cr *v1alpha1.VirtualNodePool) {
		cr.SetManagementPolicies(all)
		cr.Spec.ForProvider.SubnetIDs = []string{"subnet-gz2"}
	})
	w.passes(3)
	if c := w.get().GetCondition(xpv2.TypeSynced); c.Status != corev1.ConditionFalse || !strings.Contains(c.Message, "does not carry the label") {
		t.Errorf("\nReason: what was not handed over is not changed\nSynced: %+v", c)
	}
	w.delete(w.get())
	w.passes(3)
	if !w.isGone() || len(w.pools()) != 1 {
		t.Errorf("\nReason: it is forgotten, not deleted\n%+v, pools %v", w.get(), w.pools())
	}
}

func TestPolicies(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(cr *v1alpha1.VirtualNodePool)
	}{
		"Paused": {reason: "A paused resource is left alone.", change: func(cr *v1alpha1.VirtualNodePool) {
			meta.AddAnnotations(cr, map[string]string{meta.AnnotationKeyReconciliationPaused: "true"})
		}},
		"ObserveOnly": {reason: "One that is only observed is not created.", change: func(cr *v1alpha1.VirtualNodePool) {
			cr.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionObserve})
		}},
		"NoCluster": {reason: "Nor is one without a cluster.", change: func(cr *v1alpha1.VirtualNodePool) { cr.Spec.ForProvider.ClusterRef.Name = "none" }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, virtual(tc.change))
			for range 3 {
				_ = w.pass(2 * time.Second)
			}
			if len(w.pools()) > 0 {
				t.Errorf("\nReason: %s\npools: %v", tc.reason, w.pools())
			}
			w.delete(w.get())
		})
	}
}

func TestOrphan(t *testing.T) {
	w := newWorld(t, virtual())
	w.until("Ready", w.ready)
	w.update(func(cr *v1alpha1.VirtualNodePool) {
		cr.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionObserve, xpv2.ManagementActionCreate, xpv2.ManagementActionUpdate})
	})
	w.delete(w.get())
	w.passes(2)
	if !w.isGone() || len(w.pools()) != 1 {
		t.Errorf("\nReason: without the right to delete, the pool stays\n%+v, pools %v", w.get(), w.pools())
	}
}

func TestClusterGone(t *testing.T) {
	w := newWorld(t, virtual())
	w.until("Ready", w.ready)
	w.ok(w.tke.DeleteCluster(context.Background(), w.cluster))
	w.sim.Step(10 * time.Minute)
	w.passes(3)
	if c := w.get().GetCondition(xpv2.TypeReady); c.Status != corev1.ConditionFalse || c.Message != "The cluster is gone" {
		t.Errorf("\nReason: it is not made anew in a cluster that is gone\nReady: %+v", c)
	}
	w.delete(w.get())
	w.passes(3)
	if !w.isGone() {
		t.Errorf("\nReason: with the cluster the pool went\n%+v", w.get())
	}
}

func TestDeniedIsNotGone(t *testing.T) {
	w := newWorld(t, virtual())
	w.until("Ready", w.ready)
	w.delete(w.get())
	_, err := w.sim.Cloud.Faults.Add(faults.Rule{Kind: faults.AuthDenied})
	w.ok(err)
	for range 5 {
		_ = w.pass(time.Minute)
	}
	if w.isGone() {
		t.Errorf("\nReason: missing rights are not absence\nthe resource is gone")
	}
}
