package tke_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const region = "ap-guangzhou"

// world is a simulated cloud and our client of it.
type world struct {
	*simtest.Sim
	*tke.Client
	t   *testing.T
	ctx context.Context
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sim := simtest.Start(t, simtest.Options{})
	spec := &v1alpha1.ProviderConfigSpec{
		Type: v1alpha1.TypeTencentCloud, Endpoint: sim.TencentURL, RateLimit: &v1alpha1.RateLimit{QPS: 100, Burst: 200},
	}
	raw := []byte(`{"secretId":"` + simtest.SecretID + `","secretKey":"` + simtest.SecretKey + `"}`)
	c, err := tke.NewFactory(clock.RealClock{}).Client(spec, raw, region)
	if err != nil {
		t.Fatal(err)
	}
	return &world{Sim: sim, Client: c, t: t, ctx: context.Background()}
}

// ok ends the test on an error.
func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// cluster that runs.
func (w *world) cluster() string {
	w.t.Helper()
	id, err := w.CreateCluster(w.ctx, tke.ClusterInput{
		Name: "rp-1", VPCID: "vpc-gz1", SubnetID: "subnet-gz1", ClusterCIDR: "172.16.0.0/16", ServiceCIDR: "172.19.0.0/20", MaxPodsPerNode: 64,
		Level: "L50", DeletionProtection: true, Tags: map[string]string{v1alpha1.TagOwner: "u"},
	})
	w.ok(err)
	w.Step(15 * time.Minute)
	return id
}

func (w *world) pool(clusterID string, in tke.NodePoolInput) string {
	w.t.Helper()
	in.Name, in.VPCID, in.SubnetIDs = "rp-2", "vpc-gz1", []string{"subnet-gz1"}
	in.DiskType, in.DiskSizeGiB, in.Tags = "CLOUD_PREMIUM", 100, map[string]string{v1alpha1.TagOwner: "p"}
	id, err := w.CreateNodePool(w.ctx, clusterID, in)
	w.ok(err)
	w.Step(5 * time.Minute)
	return id
}

func TestSimCluster(t *testing.T) {
	w := newWorld(t)
	id := w.cluster()
	cl, err := w.GetCluster(w.ctx, id)
	w.ok(err)
	if cl.State != tke.ClusterRunning || !cl.DeletionProtection || cl.VPCID != "vpc-gz1" || cl.Level != "L50" || cl.Tags[v1alpha1.TagOwner] != "u" || cl.Created.IsZero() {
		t.Errorf("GetCluster(...): %+v", cl)
	}
	if _, err := w.GetCluster(w.ctx, "cls-other"); !cloud.IsCode(err, tke.CodeClusterAbsent) {
		t.Errorf("GetCluster(...) of another: %v", err)
	}
	for name, want := range map[string]int{"rp-1": 1, "rp": 0} {
		list, err := w.ListClusters(w.ctx, name, map[string]string{v1alpha1.TagOwner: "u"})
		if err != nil || len(list) != want {
			t.Errorf("\nReason: the cloud's filter takes parts of names\nListClusters(%q): %v, %v", name, list, err)
		}
	}
	if list, err := w.ListClusters(w.ctx, "rp-1", map[string]string{v1alpha1.TagOwner: "v"}); err != nil || len(list) > 0 {
		t.Errorf("\nReason: names are not unique\nListClusters(...): %v, %v", list, err)
	}
	st, err := w.GetClusterStatus(w.ctx, id)
	w.ok(err)
	if st.State != tke.ClusterRunning || !st.DeletionProtection {
		t.Errorf("GetClusterStatus(...): %+v", st)
	}
	levels, err := w.ListLevels(w.ctx, id)
	w.ok(err)
	if len(levels) == 0 || levels[0].Nodes != 5 || !levels[0].Enabled {
		t.Errorf("ListLevels(...): %+v", levels)
	}
	w.ok(w.TagCluster(w.ctx, id, map[string]string{"team": "a"}))
	w.ok(w.SetClusterLevel(w.ctx, id, "L100", true))
	w.Step(10 * time.Second)
	cl, err = w.GetCluster(w.ctx, id)
	w.ok(err)
	if cl.Tags["team"] != "a" || cl.Tags[v1alpha1.TagOwner] != "u" || cl.Level != "L100" || !cl.AutoUpgradeLevel {
		t.Errorf("\nReason: tags are added, the level is changed\nGetCluster(...): %+v", cl)
	}

	if err := w.DeleteCluster(w.ctx, id); !cloud.Is(err, cloud.Protected) {
		t.Errorf("\nReason: deletion protection holds\nDeleteCluster(...): %v", err)
	}
	w.ok(w.SetDeletionProtection(w.ctx, id, false))
	w.Step(10 * time.Second)
	if cl, err = w.GetCluster(w.ctx, id); err != nil || cl.DeletionProtection {
		t.Errorf("\nReason: it is read back\nGetCluster(...): %+v, %v", cl, err)
	}
	w.ok(w.DeleteCluster(w.ctx, id))
	w.Step(10 * time.Second)
	if cl, err := w.GetCluster(w.ctx, id); err != nil || cl.State != tke.ClusterDeleting {
		t.Errorf("GetCluster(...): %+v, %v", cl, err)
	}
	w.Step(10 * time.Minute)
	if _, err := w.GetCluster(w.ctx, id); !cloud.IsCode(err, tke.CodeClusterAbsent) {
		t.Errorf("GetCluster(...): %v", err)
	}
	for name, f := range map[string]func() error{
		"GetClusterStatus":     func() error { _, err := w.GetClusterStatus(w.ctx, id); return err },
		"GetNodePool":          func() error { _, err := w.GetNodePool(w.ctx, id, "np-1"); return err },
		"ListNodePools":        func() error { _, err := w.ListNodePools(w.ctx, id, "", nil); return err },
		"ListInstances":        func() error { _, err := w.ListInstances(w.ctx, id, ""); return err },
		"GetEndpoint":          func() error { _, err := w.GetEndpoint(w.ctx, id, false); return err },
		"Kubeconfig":           func() error { _, err := w.Kubeconfig(w.ctx, id, false); return err },
		"ListVirtualNodePools": func() error { _, err := w.ListVirtualNodePools(w.ctx, id); return err },
		"ListVirtualNodes":     func() error { _, err := w.ListVirtualNodes(w.ctx, id, "np-1"); return err },
	} {
		if err := f(); !cloud.IsCode(err, tke.CodeClusterAbsent) {
			t.Errorf("\nReason: whatever code an API has for it, the absence of the cluster is proven by the list\n%s(...): %v", name, err)
		}
	}
}

func TestSimEndpoints(t *testing.T) {
	w := newWorld(t)
	id := w.cluster()
	if _, err := w.Kubeconfig(w.ctx, id, false); !cloud.IsCode(err, tke.CodeNoEndpoint) {
		t.Errorf("\nReason: its server would not resolve\nKubeconfig(...): %v", err)
	}
	public := tke.EndpointInput{Public: true, SecurityGroupID: "sg-gz1"}
	if err := w.CreateEndpoint(w.ctx, id, public); !cloud.Is(err, cloud.WrongState) {
		t.Errorf("\nReason: nothing runs in the cluster\nCreateEndpoint(...): %v", err)
	}
	w.ok(w.CreateEndpoint(w.ctx, id, tke.EndpointInput{SubnetID: "subnet-gz1"}))
	if e, err := w.GetEndpoint(w.ctx, id, false); err != nil || e.State != tke.EndpointCreating {
		t.Errorf("GetEndpoint(...): %+v, %v", e, err)
	}
	w.Step(2 * time.Minute)
	e, err := w.GetEndpoint(w.ctx, id, false)
	w.ok(err)
	if e.State != tke.EndpointCreated || e.Address != "https://127.0.0.1:1" {
		t.Errorf("GetEndpoint(...): %+v", e)
	}
	if b, err := w.Kubeconfig(w.ctx, id, false); err != nil || !strings.Contains(string(b), "server: https://127.0.0.1:1\n") {
		t.Errorf("Kubeconfig(...): %v", err)
	}

	_, err = w.CreateVirtualNodePool(w.ctx, id, tke.VirtualNodePoolInput{Name: "rp-3", SubnetIDs: []string{"subnet-gz2"}})
	w.ok(err)
	w.Step(2 * time.Minute)
	w.ok(w.CreateEndpoint(w.ctx, id, public))
	seen := false
	for range 40 {
		w.Step(10 * time.Second)
		e, err := w.GetEndpoint(w.ctx, id, true)
		w.ok(err)
		if e.State == tke.EndpointCreated && e.Address == "" {
			seen = true
			if _, err := w.Kubeconfig(w.ctx, id, true); !cloud.IsCode(err, tke.CodeNoEndpoint) {
				t.Errorf("\nReason: the endpoint has no address yet\nKubeconfig(...): %v", err)
			}
		}
	}
	if e, err := w.GetEndpoint(w.ctx, id, true); err != nil || e.Address == "" || !seen {
		t.Errorf("GetEndpoint(...): %+v, %v", e, err)
	}
	w.ok(w.DeleteEndpoint(w.ctx, id, true))
	w.Step(2 * time.Minute)
	if e, err := w.GetEndpoint(w.ctx, id, true); err != nil || e.State != tke.EndpointNotFound {
		t.Errorf("GetEndpoint(...): %+v, %v", e, err)
	}
}

func TestSimNodePool(t *testing.T) {
	w := newWorld(t)
	id := w.cluster()
	np := w.pool(id, tke.NodePoolInput{InstanceTypes: []string{"S5.MEDIUM4"}, Desired: 2, Max: 5, Labels: map[string]string{"a": "b"}})

	got, err := w.GetNodePool(w.ctx, id, np)
	w.ok(err)
	want := &tke.NodePool{
		ID: np, Name: "rp-2", State: tke.NodePoolNormal, ScalingGroupID: got.ScalingGroupID, ScalingGroupState: "disabled", Labels: map[string]string{"a": "b"},
		Tags: map[string]string{v1alpha1.TagOwner: "p"}, Desired: 2, Max: 5, Normal: 2, Total: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GetNodePool(...): -want, +got:\n%s", diff)
	}
	if list, err := w.ListNodePools(w.ctx, id, "rp-2", map[string]string{v1alpha1.TagOwner: "p"}); err != nil || len(list) != 1 {
		t.Errorf("ListNodePools(...): %v, %v", list, err)
	}
	g, err := w.GetScalingGroup(w.ctx, got.ScalingGroupID)
	w.ok(err)
	if g.Instances != 2 || g.Desired != 2 || !slices.Equal(g.SubnetIDs, []string{"subnet-gz1"}) || !slices.Equal(g.InstanceTypes, []string{"S5.MEDIUM4"}) ||
		g.DiskType != "CLOUD_PREMIUM" || g.DiskSizeGiB != 100 || g.Spot || g.Busy {
		t.Errorf("GetScalingGroup(...): %+v", g)
	}

	w.ok(w.ConfigureNodePool(w.ctx, id, np, tke.NodePoolChange{
		Labels: map[string]string{"a": "c"}, Taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}, DeletionProtection: ptr.To(true),
	}))
	if err := w.SetDesired(w.ctx, id, np, 3); !cloud.Is(err, cloud.WrongState) {
		t.Errorf("\nReason: the pool is being changed\nSetDesired(...): %v", err)
	}
	w.Step(time.Minute)
	if err := w.SetDesired(w.ctx, id, np, 7); !cloud.Is(err, cloud.Invalid) {
		t.Errorf("\nReason: it is beyond the pool's bounds\nSetDesired(...): %v", err)
	}
	w.ok(w.SetBounds(w.ctx, id, np, 0, 8))
	w.Step(time.Minute)
	w.ok(w.SetDesired(w.ctx, id, np, 7))
	w.Step(5 * time.Minute)
	all, err := w.ListInstances(w.ctx, id, np)
	w.ok(err)
	if len(all) != 7 || all[0].State != tke.InstanceRunning || all[0].Address == "" || all[0].NodePoolID != np || all[0].Created.IsZero() {
		t.Errorf("ListInstances(...): %+v", all)
	}
	out, err := w.TerminateInstances(w.ctx, id, []string{all[0].ID, all[1].ID, "ins-other"})
	w.ok(err)
	if diff := cmp.Diff(&tke.Terminated{Accepted: []string{all[0].ID, all[1].ID}, NotFound: []string{"ins-other"}}, out); diff != "" {
		t.Errorf("TerminateInstances(...): -want, +got:\n%s", diff)
	}
	w.Step(2 * time.Minute)
	if got, err = w.GetNodePool(w.ctx, id, np); err != nil || got.Desired != 5 || got.Total != 5 || got.Labels["a"] != "c" || len(got.Taints) != 1 {
		t.Errorf("\nReason: the desired number falls with the chosen instances\nGetNodePool(...): %+v, %v", got, err)
	}

	if err := w.DeleteNodePool(w.ctx, id, np); !cloud.Is(err, cloud.Protected) {
		t.Errorf("\nReason: the pool is protected\nDeleteNodePool(...): %v", err)
	}
	w.ok(w.ConfigureNodePool(w.ctx, id, np, tke.NodePoolChange{DeletionProtection: ptr.To(false)}))
	w.Step(time.Minute)
	w.ok(w.DeleteNodePool(w.ctx, id, np))
	w.Step(5 * time.Minute)
	if _, err := w.GetNodePool(w.ctx, id, np); !cloud.IsCode(err, tke.CodeNodePoolAbsent) {
		t.Errorf("GetNodePool(...): %v", err)
	}
	if err := w.DeleteNodePool(w.ctx, id, np); !cloud.IsCode(err, tke.CodeNodePoolAbsent) {
		t.Errorf("\nReason: it is gone, whatever code says so\nDeleteNodePool(...): %v", err)
	}
}

func TestSimActivities(t *testing.T) {
	w := newWorld(t)
	id := w.cluster()
	key := stock.Key{Region: region, Zone: "ap-guangzhou-3", Type: "S5.MEDIUM4"}
	w.Cloud.Stock.Set(stock.Item{Key: key, Count: 1})
	np := w.pool(id, tke.NodePoolInput{InstanceTypes: []string{"S5.MEDIUM4"}, Desired: 3, Max: 5})
	pool, err := w.GetNodePool(w.ctx, id, np)
	w.ok(err)
	if pool.Desired != 3 || pool.Total != 1 {
		t.Fatalf("\nReason: the call that orders succeeds, and one machine comes\nGetNodePool(...): %+v", pool)
	}
	all, err := w.ListActivities(w.ctx, pool.ScalingGroupID, time.Time{})
	w.ok(err)
	first := all[len(all)-1]
	if first.State != tke.ActivityPartial || len(first.Instances) != 1 || !first.Done() {
		t.Errorf("\nReason: a part of the order is told apart from none\nListActivities(...): %+v", first)
	}
	want := []tke.Shortage{{
		InstanceType: "S5.MEDIUM4", Zone: "ap-guangzhou-3", Reason: tke.ReasonOutOfStock, Code: "ResourceInsufficient.SpecifiedInstanceType",
		Message: "Insufficient resources of S5.MEDIUM4 in ap-guangzhou-3",
	}}
	if diff := cmp.Diff(want, first.Shortages); diff != "" {
		t.Errorf("ListActivities(...): -want, +got:\n%s", diff)
	}
	later, err := w.ListActivities(w.ctx, pool.ScalingGroupID, first.Started.Add(time.Second))
	w.ok(err)
	if len(later) != len(all)-1 {
		t.Errorf("\nReason: older activities are of no interest\nListActivities(...): %d of %d", len(later), len(all))
	}

	w.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Zone: "ap-guangzhou-3", Type: "SA5.MEDIUM4"}, Count: 10})
	w.ok(w.SetInstanceTypes(w.ctx, id, np, []string{"S5.MEDIUM4", "SA5.MEDIUM4"}))
	w.Step(5 * time.Minute)
	if pool, err = w.GetNodePool(w.ctx, id, np); err != nil || pool.Total != 3 {
		t.Errorf("\nReason: another type fills the pool\nGetNodePool(...): %+v, %v", pool, err)
	}
}

func TestSimVirtualNodes(t *testing.T) {
	w := newWorld(t)
	id := w.cluster()
	np, err := w.CreateVirtualNodePool(w.ctx, id, tke.VirtualNodePoolInput{
		Name: "rp-3", SubnetIDs: []string{"subnet-gz1"}, SecurityGroupIDs: []string{"sg-gz1"}, Labels: map[string]string{v1alpha1.TagOwner: "v"},
		Tags: map[string]string{v1alpha1.TagOwner: "v"},
	})
	w.ok(err)
	w.Step(2 * time.Minute)
	pools, err := w.ListVirtualNodePools(w.ctx, id)
	w.ok(err)
	want := []tke.VirtualNodePool{{ID: np, Name: "rp-3", State: tke.NodePoolNormal, SubnetIDs: []string{"subnet-gz1"}, Labels: map[string]string{v1alpha1.TagOwner: "v"}}}
	if diff := cmp.Diff(want, pools); diff != "" {
		t.Errorf("ListVirtualNodePools(...): -want, +got:\n%s", diff)
	}
	if err := w.AddVirtualNodes(w.ctx, id, np, []string{"subnet-gz1"}, nil); !cloud.Is(err, cloud.Conflict) {
		t.Errorf("\nReason: the subnet has a node\nAddVirtualNodes(...): %v", err)
	}
	w.ok(w.AddVirtualNodes(w.ctx, id, np, []string{"subnet-gz2"}, map[string]string{v1alpha1.TagOwner: "v"}))
	w.Step(2 * time.Minute)
	nodes, err := w.ListVirtualNodes(w.ctx, id, np)
	w.ok(err)
	if len(nodes) != 2 || nodes[0].Phase != tke.VirtualNodeRunning || nodes[0].SubnetID != "subnet-gz1" || nodes[0].Created.IsZero() {
		t.Fatalf("ListVirtualNodes(...): %+v", nodes)
	}
	w.ok(w.ConfigureVirtualNodePool(w.ctx, id, np, tke.VirtualNodePoolChange{Labels: map[string]string{"x": "y"}}))

	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: nodes[0].Name, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	pod.Namespace, pod.Name = "default", "p"
	w.ok(w.Memory.Cluster(id).BindPod(pod))
	w.Step(2 * time.Minute)
	if err := w.DeleteVirtualNodePool(w.ctx, id, np, false); !cloud.Is(err, cloud.WrongState) {
		t.Errorf("\nReason: a pod runs\nDeleteVirtualNodePool(...): %v", err)
	}
	if err := w.DeleteVirtualNodes(w.ctx, id, []string{nodes[0].Name}, false); !cloud.Is(err, cloud.WrongState) {
		t.Errorf("\nReason: a pod runs\nDeleteVirtualNodes(...): %v", err)
	}
	w.ok(w.DrainVirtualNode(w.ctx, id, nodes[0].Name))
	w.Step(time.Minute)
	w.ok(w.DeleteVirtualNodes(w.ctx, id, []string{nodes[0].Name}, false))
	w.Step(time.Minute)
	w.ok(w.DeleteVirtualNodePool(w.ctx, id, np, false))
	w.Step(2 * time.Minute)
	if pools, err := w.ListVirtualNodePools(w.ctx, id); err != nil || len(pools) > 0 {
		t.Errorf("ListVirtualNodePools(...): %v, %v", pools, err)
	}
	if err := w.DeleteVirtualNodePool(w.ctx, id, np, false); !cloud.IsCode(err, tke.CodeNodePoolAbsent) {
		t.Errorf("DeleteVirtualNodePool(...): %v", err)
	}
}

func TestSimMarket(t *testing.T) {
	w := newWorld(t)
	w.Cloud.Stock.Set(stock.Item{Key: stock.Key{Region: region, Zone: "ap-guangzhou-6", Type: "S5.MEDIUM4", Spot: true}})
	all, err := w.ListOffers(w.ctx, []string{"S5.MEDIUM4"})
	w.ok(err)
	type row struct {
		zone      string
		spot      bool
		available bool
		priced    bool
	}
	var got []row
	for _, o := range all {
		got = append(got, row{o.Zone, o.Spot, o.Available, o.Price > 0 && o.InstanceType == "S5.MEDIUM4" && o.CPU == 2 && o.MemoryGiB == 4})
	}
	want := []row{{"ap-guangzhou-3", false, true, true}, {"ap-guangzhou-3", true, true, true}, {"ap-guangzhou-6", false, true, true}, {"ap-guangzhou-6", true, false, true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("ListOffers(...): -want, +got:\n%s", diff)
	}
	if len(all) == 4 && all[1].Price >= all[0].Price {
		t.Errorf("\nReason: the discount of spot is in the price\nListOffers(...): %+v", all)
	}
	for factor, check := range map[string]func(float64) bool{
		"0": func(p float64) bool { return p == 0 }, "-1": func(p float64) bool { return p < 0 }, "NaN": func(p float64) bool { return p == 0 },
	} {
		_, err := w.Cloud.Faults.Add(faults.Rule{Kind: faults.WrongPrice, Times: 1, Args: map[string]string{"factor": factor}})
		w.ok(err)
		if all, err := w.ListOffers(w.ctx, []string{"S5.MEDIUM4"}); err != nil || !check(all[0].Price) || all[2].Price <= 0 {
			t.Errorf("\nReason: a price that is none does not spoil the others\nListOffers(...) with factor %s: %+v, %v", factor, all, err)
		}
	}
	subnets, err := w.ListSubnets(w.ctx, []string{"subnet-gz1", "subnet-gz2"})
	w.ok(err)
	if diff := cmp.Diff(tke.Subnet{ID: "subnet-gz1", VPCID: "vpc-gz1", Zone: "ap-guangzhou-3", CIDR: "10.0.0.0/20", FreeIPs: 4093}, subnets[0]); diff != "" || len(subnets) != 2 {
		t.Errorf("ListSubnets(...): %d, -want, +got:\n%s", len(subnets), diff)
	}
}

func TestSimInventory(t *testing.T) {
	w := newWorld(t)
	id := w.cluster()
	w.pool(id, tke.NodePoolInput{InstanceTypes: []string{"S5.MEDIUM4"}, Desired: 1, Max: 5})
	w.ok(w.CreateEndpoint(w.ctx, id, tke.EndpointInput{SubnetID: "subnet-gz1"}))
	w.Step(2 * time.Minute)
	found := map[tke.Kind][]tke.Item{}
	for _, k := range tke.Kinds {
		all, err := w.ListItems(w.ctx, k)
		if err != nil {
			t.Fatalf("ListItems(%s): %v", k, err)
		}
		found[k] = all
	}
	for k, want := range map[tke.Kind]int{
		tke.KindCluster: 1, tke.KindInstance: 1, tke.KindDisk: 1, tke.KindLoadBalancer: 1, tke.KindSecurityGroup: 1, tke.KindNATGateway: 0, tke.KindAddress: 0,
	} {
		if len(found[k]) != want {
			t.Errorf("ListItems(%s): %+v", k, found[k])
		}
	}
	if i := found[tke.KindInstance][0]; i.Tags[v1alpha1.TagOwner] != "p" || i.Tags[tke.TagCluster] != id || i.InUse || i.Created.IsZero() {
		t.Errorf("ListItems(Instance): %+v", i)
	}
	if i := found[tke.KindLoadBalancer][0]; i.Tags[tke.TagCluster] != id {
		t.Errorf("ListItems(LoadBalancer): %+v", i)
	}
	if err := w.DeleteItem(w.ctx, found[tke.KindDisk][0]); !cloud.IsCode(err, tke.CodeInUse) {
		t.Errorf("\nReason: the disk is attached\nDeleteItem(...): %v", err)
	}
	if err := w.DeleteItem(w.ctx, found[tke.KindCluster][0]); !cloud.Is(err, cloud.Protected) {
		t.Errorf("\nReason: the cluster is protected\nDeleteItem(...): %v", err)
	}
	if err := w.DeleteItem(w.ctx, tke.Item{Kind: tke.KindLoadBalancer, ID: "lb-1"}); err == nil {
		t.Errorf("\nReason: what carries no tag is not ours\nDeleteItem(...): no error")
	}
	lb := found[tke.KindLoadBalancer][0]
	w.ok(w.DeleteItem(w.ctx, lb))
	if all, err := w.ListItems(w.ctx, tke.KindLoadBalancer); err != nil || len(all) > 0 {
		t.Errorf("ListItems(LoadBalancer): %v, %v", all, err)
	}
	w.ok(w.DeleteItem(w.ctx, lb))
}

func TestSimFaults(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   faults.Kind
		class  cloud.Class
		made   int
	}{
		"Dropped":   {reason: "The answer was lost after the cloud had made it.", kind: faults.DropAfterAccept, class: cloud.Unknown, made: 1},
		"Truncated": {reason: "So is half an answer.", kind: faults.TruncateBody, class: cloud.Unknown, made: 1},
		"HTML":      {reason: "A gateway's page may hide anything.", kind: faults.HTTP502HTML, class: cloud.Unknown},
		"JSON":      {reason: "So may a server error.", kind: faults.HTTP500JSON, class: cloud.Unknown},
		"Busy":      {reason: "A busy gateway.", kind: faults.HTTP503, class: cloud.Throttled},
		"Throttled": {reason: "Throttled calls were not carried out.", kind: faults.Throttle, class: cloud.Throttled},
		"Denied":    {reason: "Nor were those without rights.", kind: faults.AuthDenied, class: cloud.Unauthorised},
		"Skew":      {reason: "Nor those with a wrong clock.", kind: faults.ClockSkew, class: cloud.Unauthorised},
		"Quota":     {reason: "A quota needs a person.", kind: faults.Quota, class: cloud.Quota},
		"Balance":   {reason: "So does money.", kind: faults.Balance, class: cloud.Quota},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.Cloud.Faults.Add(faults.Rule{Kind: tc.kind, Action: "CreateCluster", Times: 1})
			w.ok(err)
			_, err = w.CreateCluster(w.ctx, tke.ClusterInput{
				Name: "rp-1", VPCID: "vpc-gz1", SubnetID: "subnet-gz1", ClusterCIDR: "172.16.0.0/16", ServiceCIDR: "172.19.0.0/20", Level: "L50",
			})
			w.Step(time.Minute)
			list, lerr := w.ListClusters(w.ctx, "rp-1", nil)
			w.ok(lerr)
			if cloud.ClassOf(err) != tc.class || len(list) != tc.made {
				t.Errorf("\nReason: %s\nCreateCluster(...): %v (%s), %d made", tc.reason, err, cloud.ClassOf(err), len(list))
			}
			if cloud.Definite(err) && len(list) > 0 {
				t.Errorf("\nReason: a definite error proves that nothing was made\nCreateCluster(...): %v", err)
			}
		})
	}
}
