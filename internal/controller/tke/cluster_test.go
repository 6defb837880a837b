package tke_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

func TestClusterLife(t *testing.T) {
	w := newWorld(t, nil, newCluster(func(cr *v1alpha1.Cluster) { cr.Spec.ForProvider.DeletionProtection = true }))
	w.until("ready", w.clusterReady)
	s := &corev1.Secret{}
	w.ok(w.host.Get(context.Background(), types.NamespacedName{Namespace: "ns", Name: "kc"}, s))
	if kc := string(s.Data["kubeconfig"]); !strings.Contains(kc, "https://127.0.0.1:1") || strings.Contains(kc, "ccs.tencent-cloud") {
		t.Errorf("\nReason: the name that TKE writes does not resolve\nkubeconfig: %s", kc)
	}
	w.until("protected", func() bool { return w.cluster().Status.AtProvider.DeletionProtection })

	w.delete(w.cluster())
	w.until("gone", func() bool { return w.cluster() == nil })
	got := w.calls("CreateCluster", "CreateClusterEndpoint", "EnableClusterDeletionProtection", "DisableClusterDeletionProtection", "DeleteClusterEndpoint", "DeleteCluster")
	want := "CreateCluster CreateClusterEndpoint EnableClusterDeletionProtection DisableClusterDeletionProtection DeleteClusterEndpoint DeleteCluster"
	if joined(got) != want {
		t.Errorf("\nReason: one call of each, protection off and the endpoint gone before the cluster\nwant %s\ngot  %s", want, joined(got))
	}
	if left := w.live(); len(left) > 0 {
		t.Errorf("\nReason: the resource goes when nothing is left\nleft: %v", left)
	}
}

// slow lists show nothing new for ten seconds.
func slow(c *config.Config) { c.Tencent.Latencies.ListLag = config.Range{10, 10} }

func TestExactlyOnce(t *testing.T) {
	cases := map[string]struct {
		reason string
		action string
		rule   *faults.Rule
		crash  bool
	}{
		"Crash":       {reason: "A process that is killed between the call and writing down the id finds what it made.", crash: true},
		"LostAnswer":  {reason: "An answer that is lost is no reason to repeat the call.", rule: &faults.Rule{Kind: faults.DropAfterAccept, Times: 1}},
		"CutAnswer":   {reason: "Nor is one that is cut.", rule: &faults.Rule{Kind: faults.TruncateBody, Times: 1}},
		"Gateway":     {reason: "Nor is the failure of a gateway behind which the call was carried out.", rule: &faults.Rule{Kind: faults.HTTP502HTML, Times: 1, Args: map[string]string{"accept": "true"}}},
		"ServerError": {reason: "An error of the server after which nothing is found is.", rule: &faults.Rule{Kind: faults.HTTP500JSON, Times: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slow, newCluster(), newPool(0))
			breaks := func(action string) {
				if tc.rule != nil {
					r := *tc.rule
					r.Action = action
					w.fault(r)
				}
				w.crash = tc.crash
			}
			restart := func() {
				w.crash = false
				w.start()
			}

			breaks("CreateCluster")
			w.passes(2)
			restart()
			w.until("ready", w.clusterReady)

			// The pool waits for its cluster.
			breaks("CreateClusterNodePool")
			w.until("called", func() bool { return len(w.calls("CreateClusterNodePool")) > 0 })
			restart()
			w.until("ready", func() bool { return w.pool().GetCondition(xpv2.TypeReady).Status == corev1.ConditionTrue })

			if c, p := w.ever(ledger.Cluster), w.ever(ledger.ASGroup); c != 1 || p != 1 {
				t.Errorf("\nReason: %s\n%d clusters, %d node pools", tc.reason, c, p)
			}
		})
	}
}

func TestDuplicate(t *testing.T) {
	cr := newCluster()
	meta.SetExternalCreatePending(cr, time.Now().Add(-time.Hour))
	w := newWorld(t, nil, cr)
	in := tke.ClusterInput{
		Name: "rp-cccccccc", VPCID: "vpc-gz1", SubnetID: "subnet-gz1", ClusterCIDR: "172.16.0.0/16", ServiceCIDR: "172.19.0.0/20", Level: "L50",
		Tags: map[string]string{elasticv1alpha1.TagOwner: string(cr.GetUID())},
	}
	first, err := w.tke.CreateCluster(context.Background(), in)
	w.ok(err)
	w.sim.Step(time.Minute)
	_, err = w.tke.CreateCluster(context.Background(), in)
	w.ok(err)
	in.Tags = map[string]string{elasticv1alpha1.TagOwner: "another"}
	other, err := w.tke.CreateCluster(context.Background(), in)
	w.ok(err)
	w.clock.Step(time.Minute)

	w.until("ready", w.clusterReady)
	if got := meta.GetExternalName(w.cluster()); got != first || !slices.Contains(w.events, "DuplicateFound") {
		t.Errorf("\nReason: the oldest is adopted, the other is told\n%s, events %v", got, w.events)
	}
	w.delete(w.cluster())
	w.until("gone", func() bool { return w.cluster() == nil })
	if left := w.live(); slices.ContainsFunc(left, func(s string) bool { return strings.HasPrefix(s, "cluster ") && s != "cluster "+other }) || !slices.Contains(left, "cluster "+other) {
		t.Errorf("\nReason: both of ours go, somebody else's stays\nleft: %v", left)
	}
}

func TestPublicEndpoint(t *testing.T) {
	w := newWorld(t, nil, newCluster(func(cr *v1alpha1.Cluster) {
		cr.Spec.ForProvider.EndpointPublicAccess, cr.Spec.ForProvider.EndpointSecurityGroupID = true, ptr.To("sg-gz1")
	}))
	w.until("ready", w.clusterReady)
	w.passes(20)
	if got := joined(w.calls("CreateClusterEndpoint")); got != "CreateClusterEndpoint" {
		t.Errorf("\nReason: TKE refuses a public address while the cluster is empty\ncalls: %s", got)
	}
	w.ok(w.host.Create(context.Background(), newPool(1)))
	public := func() *tke.Endpoint {
		e, err := w.tke.GetEndpoint(context.Background(), w.cluster().Status.AtProvider.ID, true)
		w.ok(err)
		return e
	}
	w.until("made", func() bool { return public().State == tke.EndpointCreated })
	if !w.clusterReady() || public().Address != "" || w.cluster().Status.AtProvider.APIEndpoint == "" {
		t.Errorf("\nReason: while the public address is not told the private one serves\n%+v", w.cluster().Status)
	}
	w.until("told", func() bool { return public().Address != "" })
	w.passes(2)
	if !w.clusterReady() || len(w.calls("CreateClusterEndpoint")) != 2 {
		t.Errorf("\nReason: then it is made once\n%+v, calls %v", w.cluster().Status, w.calls("CreateClusterEndpoint"))
	}
	w.delete(w.cluster())
	w.delete(w.pool())
	w.until("gone", func() bool { return w.cluster() == nil && w.pool() == nil })
	if left := w.live(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestLateAddress(t *testing.T) {
	w := newWorld(t, nil, newCluster())
	w.fault(faults.Rule{Kind: faults.EndpointAddressEmpty, Action: "CreateCluster"})
	w.until("made", func() bool { return len(w.calls("CreateClusterEndpoint")) > 0 })
	w.passes(60)
	if c := w.cluster().GetCondition(xpv2.TypeReady); c.Status == corev1.ConditionTrue || !strings.Contains(c.Message, "not told yet") {
		t.Errorf("\nReason: an endpoint that is made may have no address yet\nReady: %+v", c)
	}
	w.delete(w.cluster())
	w.until("gone", func() bool { return w.cluster() == nil })
}

func TestNotGone(t *testing.T) {
	for name, rule := range map[string]faults.Rule{
		"Denied":    {Kind: faults.AuthDenied},
		"Throttled": {Kind: faults.Throttle},
		"Failing":   {Kind: faults.HTTP500JSON},
		"Garbage":   {Kind: faults.HTTP502HTML},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, newCluster(), newPool(0))
			w.until("ready", func() bool { return w.clusterReady() && w.has(0)() })
			w.delete(w.pool())
			w.delete(w.cluster())
			w.fault(rule)
			for range 2 {
				w.pass(time.Minute)
			}
			if w.cluster() == nil || w.pool() == nil {
				t.Error("\nReason: an answer of this kind is not absence")
			}
		})
	}
}

func TestGoneByAnyCode(t *testing.T) {
	// Which of the codes the APIs answer with is the simulator's random choice.
	for seed := range int64(4) {
		w := seededWorld(t, seed, nil, newCluster(), newPool(1))
		w.until("there", w.has(1))
		w.ok(w.tke.DeleteCluster(context.Background(), w.cluster().Status.AtProvider.ID))
		w.sim.Step(10 * time.Minute)
		w.passes(3)
		if c := w.pool().GetCondition(xpv2.TypeReady); c.Status != corev1.ConditionFalse {
			t.Errorf("\nReason: a pool goes with its cluster\nReady: %+v", c)
		}
		w.delete(w.pool())
		w.delete(w.cluster())
		w.until("gone", func() bool { return w.cluster() == nil && w.pool() == nil })
	}
}

func TestLeftovers(t *testing.T) {
	w := newWorld(t, nil, newCluster(), newPool(1))
	w.until("there", w.has(1))
	w.fault(faults.Rule{Kind: faults.LeaveBehind, Action: "DeleteCluster", Args: map[string]string{"kinds": "eni"}})
	w.delete(w.cluster())
	w.delete(w.pool())
	w.until("deleted", func() bool { return strings.Contains(blocked(w.cluster()), "Remains") })
	w.passes(120)
	if cr := w.cluster(); cr == nil || !strings.Contains(joined(cr.Status.AtProvider.Leftovers), "NetworkInterface") {
		t.Fatalf("\nReason: what the cloud leaves behind is waited for, and named\n%+v", cr)
	}
	w.until("gone", func() bool { return w.cluster() == nil })
	if !slices.Contains(w.events, "Leftovers") {
		t.Errorf("\nReason: not for ever, and not in silence\nevents: %v", w.events)
	}
}

func TestDisks(t *testing.T) {
	w := newWorld(t, nil, newCluster())
	w.until("ready", w.clusterReady)
	id := w.cluster().Status.AtProvider.ID
	// A disk of a claim that nobody has deleted in the cluster.
	w.sim.Cloud.Ledger.Create(ledger.Object{
		Kind: ledger.CBS, ID: "disk-claim", Account: simtest.SecretID, Region: region, Cluster: id, Parent: id, Tags: map[string]string{tke.TagCluster: id},
		Attrs: map[string]string{"usage": "DATA_DISK", "claim": "app/data"},
	})
	w.delete(w.cluster())
	w.until("gone", func() bool { return w.cluster() == nil })
	if left := w.live(); len(left) > 0 {
		t.Errorf("\nReason: TKE keeps disks unless it is told not to\nleft: %v", left)
	}
}

func TestWaitsForPools(t *testing.T) {
	virtual := &v1alpha1.VirtualNodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "v", Annotations: map[string]string{meta.AnnotationKeyExternalName: "np-v"}},
		Spec:       v1alpha1.VirtualNodePoolSpec{ForProvider: v1alpha1.VirtualNodePoolParameters{ClusterRef: corev1.LocalObjectReference{Name: "c"}}},
	}
	w := newWorld(t, nil, newCluster(), newPool(2), virtual)
	w.until("there", w.has(2))
	on := true
	w.ok(w.tke.ConfigureNodePool(context.Background(), w.cluster().Status.AtProvider.ID, w.pool().Status.AtProvider.ID, tke.NodePoolChange{DeletionProtection: &on}))
	w.delete(w.cluster())
	w.passes(3)
	if got := blocked(w.cluster()); got != "Waiting: Waiting until NodePool p is gone" {
		t.Errorf("\nReason: node pools go first\n%s", got)
	}
	w.delete(w.pool())
	w.until("pool gone", func() bool { return w.pool() == nil })
	w.passes(2)
	if got := blocked(w.cluster()); got != "Waiting: Waiting until VirtualNodePool v is gone" {
		t.Errorf("\nReason: virtual node pools too\n%s", got)
	}
	w.delete(virtual)
	w.until("gone", func() bool { return w.cluster() == nil })
	// The first ModifyClusterNodePool is the test's own.
	want := "ModifyClusterNodePool ModifyClusterNodePool DeleteClusterInstances DeleteClusterNodePool DeleteClusterEndpoint DeleteCluster"
	if got := joined(w.calls(strings.Fields(want)...)); got != want {
		t.Errorf("\nReason: protection, nodes, pool, endpoint, cluster\nwant %s\ngot  %s", want, got)
	}
	if left := w.live(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
