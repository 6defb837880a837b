package tke_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// capacity says whether the cloud has machines.
func (w *world) capacity() (corev1.ConditionStatus, string) {
	c := w.pool().GetCondition(elasticv1alpha1.TypeCapacityAvailable)
	return c.Status, string(c.Reason) + ": " + c.Message
}

// nodes of the cluster, by name.
func (w *world) nodes() []string {
	return w.sim.Memory.Cluster(w.cluster().Status.AtProvider.ID).Nodes()
}

// desired size at the cloud, and machines.
func (w *world) group() (desired, total int32) {
	np, err := w.tke.GetNodePool(context.Background(), w.cluster().Status.AtProvider.ID, w.pool().Status.AtProvider.ID)
	w.ok(err)
	return np.Desired, np.Total
}

func TestGrowAndShrink(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(1))
	w.until("one", w.has(1))
	w.resize(4)
	w.until("four", w.has(4))
	if got := joined(w.calls("ModifyNodePoolDesiredCapacityAboutAsg", "ModifyClusterNodePool")); got != "ModifyNodePoolDesiredCapacityAboutAsg" {
		t.Errorf("\nReason: all nodes are ordered in one call, which has nothing else in it\ncalls: %s", got)
	}

	// Two nodes have pods.
	before := w.nodes()
	w.run("a", before[0])
	w.run("b", before[2])
	w.resize(2)
	w.until("two", w.has(2))
	if diff := cmp.Diff([]string{before[0], before[2]}, w.nodes()); diff != "" {
		t.Errorf("\nReason: empty nodes go first\n-want, +got:\n%s", diff)
	}
	if got := w.calls("DeleteClusterInstances", "ModifyNodePoolDesiredCapacityAboutAsg"); joined(got) != "ModifyNodePoolDesiredCapacityAboutAsg DeleteClusterInstances" {
		t.Errorf("\nReason: chosen machines are removed, the number is never lowered below them\ncalls: %v", got)
	}

	// The last but one goes with its pod evicted, whatever protects the other.
	w.protected["a"] = true
	w.resize(1)
	w.until("one", w.has(1))
	pods, err := w.member.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	w.ok(err)
	if len(pods.Items) != 1 || pods.Items[0].Name != "a" || !slices.Equal(w.nodes(), []string{before[0]}) {
		t.Errorf("\nReason: a pod that a budget protects is never killed\npods %v, nodes %v", pods.Items, w.nodes())
	}
	w.resize(0)
	w.passes(30)
	at := w.pool().Status.AtProvider
	if len(w.nodes()) != 1 || len(at.Draining) != 1 || !strings.Contains(at.Draining[0].BlockedBy, "app/a") {
		t.Errorf("\nReason: the status names what blocks\n%+v", at)
	}
	w.protected["a"] = false
	w.until("none", w.has(0))
	if n := w.ever(ledger.CVM); n != 4 {
		t.Errorf("\nReason: no machine was bought twice\n%d machines", n)
	}
}

func TestShrinkBlindly(t *testing.T) {
	cases := map[string]struct {
		reason    string
		configure func(*config.Config)
		// lose the status, and the process, once machines have been removed.
		lose bool
	}{
		"Lag":  {reason: "What is read is ten seconds old.", configure: slow},
		"Lost": {reason: "The status was lost with the process.", lose: true},
		"Both": {reason: "Or all of it.", configure: slow, lose: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.configure, newCluster(), newPool(4))
			w.until("four", w.has(4))
			for i, n := range w.nodes() {
				w.run(string(rune('a'+i)), n)
			}
			w.protected["a"], w.protected["b"] = true, true
			w.resize(2)
			least, lost := 4, false
			w.until("two", func() bool {
				least = min(least, len(w.nodes()))
				if tc.lose && !lost && len(w.calls("DeleteClusterInstances")) > 0 {
					lost = true
					cr := w.pool()
					cr.Status = v1alpha1.NodePoolStatus{}
					w.ok(w.host.Status().Update(context.Background(), cr))
					w.start()
				}
				return w.has(2)()
			})
			w.passes(10)
			if n := w.ever(ledger.CVM); least < 2 || n != 4 {
				t.Errorf("\nReason: %s Not a node more is removed, nor bought again\n%d nodes at least, %d machines", tc.reason, least, n)
			}
		})
	}
}

func TestStockOut(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(0, func(cr *v1alpha1.NodePool) {
		cr.Spec.ForProvider.SubnetIDs = []string{"subnet-gz1", "subnet-gz2"}
	}))
	w.until("there", func() bool { return w.clusterReady() && w.has(0)() })
	w.sim.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Type: "S5.LARGE8"}, Count: 0})
	w.sim.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Zone: "ap-guangzhou-6", Type: "S5.LARGE8"}, Count: 2})
	w.resize(5)
	w.pass(step)
	ordered := w.clock.Now()
	w.until("told", func() bool { s, _ := w.capacity(); return s == corev1.ConditionFalse })
	if took := w.clock.Since(ordered); took > 4*time.Minute {
		t.Errorf("\nReason: that machines are sold out is known soon\ntook %s", took)
	}
	status, msg := w.capacity()
	if status != corev1.ConditionFalse || !strings.HasPrefix(msg, "OutOfStock: ") || !strings.Contains(msg, "S5.LARGE8") || !strings.Contains(msg, "ap-guangzhou-") {
		t.Errorf("\nReason: type and zone are named\n%s %s", status, msg)
	}
	w.until("partly filled", func() bool { return w.pool().Status.AtProvider.Ready == 2 })
	at := w.pool().Status.AtProvider
	want := []elasticv1alpha1.Shortage{
		{InstanceType: "S5.LARGE8", Zone: "ap-guangzhou-3", Reason: "OutOfStock"},
		{InstanceType: "S5.LARGE8", Zone: "ap-guangzhou-6", Reason: "OutOfStock"},
	}
	if diff := cmp.Diff(want, at.Shortages, cmpopts.IgnoreFields(elasticv1alpha1.Shortage{}, "Message", "Since")); diff != "" || at.Nodes != 2 || at.Desired != 5 {
		t.Errorf("\nReason: what came counts, what did not is written down\n%+v -want, +got:\n%s", at, diff)
	}

	// Somebody else takes over.
	w.resize(2)
	w.pass(step)
	if desired, _ := w.group(); desired != 2 {
		// The reading lags.
		w.sim.Step(step)
		if desired, _ = w.group(); desired != 2 {
			t.Errorf("\nReason: what is no longer wanted is taken back at once\ndesired %d", desired)
		}
	}
	w.sim.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Type: "S5.LARGE8"}, Count: 100})
	w.passes(60)
	status, _ = w.capacity()
	if at := w.pool().Status.AtProvider; len(w.nodes()) != 2 || status != corev1.ConditionTrue || len(at.Shortages) > 0 {
		t.Errorf("\nReason: a restock does not bring it, and what is there is enough\n%s %+v", status, at)
	}
	if n := w.ever(ledger.CVM); n != 2 || len(w.calls("DeleteClusterInstances")) > 0 {
		t.Errorf("\nReason: no node was removed for it\n%d machines", n)
	}
}

func TestRestock(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(0))
	w.until("there", func() bool { return w.clusterReady() && w.has(0)() })
	w.sim.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Type: "S5.LARGE8"}, Count: 1})
	w.resize(3)
	w.until("told", func() bool { return len(w.pool().Status.AtProvider.Shortages) > 0 })
	since := w.pool().Status.AtProvider.Shortages[0].Since
	w.passes(60)
	if at := w.pool().Status.AtProvider; len(at.Shortages) != 1 || !at.Shortages[0].Since.Equal(&since) {
		t.Errorf("\nReason: it is the same shortage however often the cloud tries\n%+v", at.Shortages)
	}
	w.sim.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Type: "S5.LARGE8"}, Count: 100})
	w.until("filled", w.has(3))
	w.passes(2)
	if status, _ := w.capacity(); status != corev1.ConditionTrue || len(w.pool().Status.AtProvider.Shortages) > 0 {
		t.Errorf("\nReason: what came is no shortage\n%s %+v", status, w.pool().Status.AtProvider.Shortages)
	}
}

func TestQuota(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(0))
	w.until("there", func() bool { return w.clusterReady() && w.has(0)() })
	w.fault(faults.Rule{Kind: faults.Quota, Action: faults.NodeAction})
	w.resize(2)
	w.until("told", func() bool { return len(w.pool().Status.AtProvider.Shortages) > 0 })
	status, msg := w.capacity()
	if sh := w.pool().Status.AtProvider.Shortages[0]; sh.Reason != "Quota" || status != corev1.ConditionFalse || !strings.HasPrefix(msg, "QuotaExceeded: ") {
		t.Errorf("\nReason: a quota is not a lack of stock\n%s %s %+v", status, msg, sh)
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(2))
	w.fault(faults.Rule{Kind: faults.Quota, Action: "CreateClusterNodePool", Times: 3, Args: map[string]string{"code": "LimitExceeded"}})
	w.until("told", func() bool { return len(w.pool().Status.AtProvider.Shortages) > 0 })
	if status, _ := w.capacity(); status != corev1.ConditionFalse {
		t.Errorf("\nReason: a call that is refused tells of a shortage as well\n%s", status)
	}
	w.until("there", w.has(2))
	w.passes(2)
	if status, _ := w.capacity(); status != corev1.ConditionTrue || len(w.pool().Status.AtProvider.Shortages) > 0 {
		t.Errorf("\nReason: it is over when the machines are there\n%s %+v", status, w.pool().Status.AtProvider.Shortages)
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(1, func(cr *v1alpha1.NodePool) { cr.Spec.ForProvider.Min = 1 }))
	w.until("one", w.has(1))
	cr := w.pool()
	size := int32(12)
	cr.Spec.ForProvider.Max, cr.Spec.ForProvider.Size = 20, &size
	w.ok(w.host.Update(context.Background(), cr))
	w.until("twelve", w.has(12))
	if got := joined(w.calls("ModifyClusterNodePool", "ModifyNodePoolDesiredCapacityAboutAsg")); got != "ModifyClusterNodePool ModifyNodePoolDesiredCapacityAboutAsg" {
		t.Errorf("\nReason: the bounds travel alone, and first\ncalls: %s", got)
	}
	np, err := w.tke.GetNodePool(context.Background(), w.cluster().Status.AtProvider.ID, w.pool().Status.AtProvider.ID)
	w.ok(err)
	if np.Min != 0 || np.Max != 20 || np.AutoScaling {
		t.Errorf("\nReason: the cloud has no lower bound, and no scaler of its own\n%+v", np)
	}

	w.delete(w.pool())
	w.until("gone", func() bool { return w.pool() == nil })
	if n := w.ever(ledger.CVM); n != 12 {
		t.Errorf("\nReason: no node came back while the pool was emptied\n%d machines", n)
	}
}

func TestInstanceTypes(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(0))
	w.until("there", w.has(0))
	cr := w.pool()
	cr.Generation++
	cr.Spec.ForProvider.InstanceTypes = []string{"S5.LARGE8", "SA5.LARGE8"}
	cr.Spec.ForProvider.Labels = map[string]string{"regionpool.io/offering": "tke-general"}
	w.ok(w.host.Update(context.Background(), cr))
	w.passes(10)
	np, err := w.tke.GetNodePool(context.Background(), w.cluster().Status.AtProvider.ID, w.pool().Status.AtProvider.ID)
	w.ok(err)
	g, err := w.tke.GetScalingGroup(context.Background(), np.ScalingGroupID)
	w.ok(err)
	if diff := cmp.Diff(cr.Spec.ForProvider.InstanceTypes, g.InstanceTypes); diff != "" || np.Labels["regionpool.io/offering"] != "tke-general" {
		t.Errorf("\nReason: the pool is changed in place\n%+v -want, +got:\n%s", np.Labels, diff)
	}
	n := len(w.calls("ModifyNodePoolInstanceTypes", "ModifyClusterNodePool"))
	w.passes(10)
	if m := len(w.calls("ModifyNodePoolInstanceTypes", "ModifyClusterNodePool")); n != m {
		t.Errorf("\nReason: once\n%d calls, then %d", n, m)
	}
}

func TestSpotReclaim(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(2, func(cr *v1alpha1.NodePool) {
		cr.Spec.ForProvider.CapacityType = elasticv1alpha1.CapacitySpot
	}))
	w.until("two", w.has(2))
	list, err := w.tke.ListInstances(context.Background(), w.cluster().Status.AtProvider.ID, w.pool().Status.AtProvider.ID)
	w.ok(err)
	victim := list[0]
	w.run("a", victim.Address)
	w.ok(w.sim.Admin.NodeEvent(context.Background(), victim.Address, "reclaim"))
	// The notice is two minutes long.
	w.passes(3)
	sh := w.pool().Status.AtProvider.Shortages
	want := []elasticv1alpha1.Shortage{{InstanceType: "S5.LARGE8", Zone: "ap-guangzhou-3", Reason: "Reclaimed"}}
	if diff := cmp.Diff(want, sh, cmpopts.IgnoreFields(elasticv1alpha1.Shortage{}, "Message", "Since")); diff != "" {
		t.Errorf("\nReason: what the cloud takes back is written down\n-want, +got:\n%s", diff)
	}
	n, err := w.member.CoreV1().Nodes().Get(context.Background(), victim.Address, metav1.GetOptions{})
	w.ok(err)
	if !n.Spec.Unschedulable || len(n.Spec.Taints) != 1 || n.Spec.Taints[0].Key != "regionpool.io/releasing" {
		t.Errorf("\nReason: nothing new is placed on it\n%+v", n.Spec)
	}
	pods, err := w.member.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	w.ok(err)
	if len(pods.Items) > 0 || w.ever(ledger.CVM) != 3 {
		t.Errorf("\nReason: it is drained, and replaced, before it goes\npods %v, %d machines", pods.Items, w.ever(ledger.CVM))
	}
	w.until("replaced", func() bool { return w.has(2)() && !slices.Contains(w.nodes(), victim.Address) })
	w.passes(3)
	if status, msg := w.capacity(); status != corev1.ConditionTrue || len(w.pool().Status.AtProvider.Shortages) > 0 || w.ever(ledger.CVM) != 3 {
		t.Errorf("\nReason: then it is over\n%s %s, %d machines", status, msg, w.ever(ledger.CVM))
	}
}

func TestNeverReady(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(0))
	w.until("there", w.has(0))
	w.fault(faults.Rule{Kind: faults.NodeNeverReady, Action: faults.NodeAction, Times: 1})
	w.resize(2)
	w.until("there", func() bool { return w.pool().Status.AtProvider.Ready == 1 && w.pool().Status.AtProvider.Nodes == 2 })
	w.resize(1)
	w.until("one", w.has(1))
	if n := w.ever(ledger.CVM); n != 2 {
		t.Errorf("\nReason: the machine that never became a node goes, not the other\n%d machines", n)
	}
}
