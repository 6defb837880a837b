package sweeper_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/aliyun"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/sweeper"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

const (
	hangzhou  = "cn-hangzhou"
	guangzhou = "ap-guangzhou"
	grace     = 15 * time.Minute
	interval  = 10 * time.Minute
)

// events keeps what was recorded.
type events struct{ all []string }

func (e *events) Event(_ runtime.Object, ev event.Event) {
	e.all = append(e.all, string(ev.Reason)+" "+ev.Message)
}

func (e *events) WithAnnotations(...string) event.Recorder { return e }

func (e *events) count(reason string) int {
	n := 0
	for _, s := range e.all {
		if strings.HasPrefix(s, reason+" ") {
			n++
		}
	}
	return n
}

// world is a host plane, two simulated clouds and a sweeper.
type world struct {
	*simtest.Sim
	t       *testing.T
	kube    client.Client
	outage  bool
	clock   *testclock.FakeClock
	events  *events
	sweeper *sweeper.Sweeper
	options sweeper.Options
}

func newWorld(t *testing.T, objs ...client.Object) *world {
	t.Helper()
	w := &world{Sim: simtest.Start(t, simtest.Options{}), t: t, clock: testclock.NewFakeClock(time.Now()), events: &events{}}
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{apis.AddToScheme, corev1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	config := func(name string, kind v1alpha1.ProviderConfigType, url, credentials string, regions ...string) []client.Object {
		pc := &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: name}}
		pc.Spec.Type, pc.Spec.Endpoint, pc.Spec.RateLimit = kind, url, &v1alpha1.RateLimit{QPS: 1e6, Burst: 1e6}
		pc.Spec.Credentials.Source = xpv2.CredentialsSourceSecret
		pc.Spec.Credentials.SecretRef = &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Name: name}, Key: "key"}
		pc.Status.Regions = regions
		return []client.Object{pc, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: name}, Data: map[string][]byte{"key": []byte(credentials)}}}
	}
	objs = append(objs, config("aliyun", v1alpha1.TypeAlibabaCloud, w.URL, fmt.Sprintf(`{"accessKeyId":%q,"accessKeySecret":%q}`, simtest.AccessKeyID, simtest.AccessKeySecret), hangzhou)...)
	objs = append(objs, config("tencent", v1alpha1.TypeTencentCloud, w.TencentURL, fmt.Sprintf(`{"secretId":%q,"secretKey":%q}`, simtest.SecretID, simtest.SecretKey), guangzhou)...)
	w.kube = fake.NewClientBuilder().WithScheme(s).WithObjects(objs...).WithStatusSubresource(&v1alpha1.ProviderConfig{}).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if w.outage {
				return errors.New("no API server")
			}
			return c.List(ctx, l, opts...)
		},
	}).Build()

	af, tf := ack.NewFactory(clock.RealClock{}), tke.NewFactory(clock.RealClock{})
	rpc := aliyun.NewFactory(clock.RealClock{}, af.Buckets())
	w.options = sweeper.Options{
		Interval: interval, Grace: grace, Clock: w.clock,
		Inventory: sweeper.NewInventoryFn(sweeper.Clients{
			ACK: af.Inventory,
			Aliyun: func(s *v1alpha1.ProviderConfigSpec, raw []byte, region string) (aliyun.Inventory, error) {
				return rpc.Client(s, raw, region)
			},
			Tencent: func(s *v1alpha1.ProviderConfigSpec, raw []byte, region string) (tke.Inventory, error) {
				return tf.Client(s, raw, region)
			},
		}, clock.RealClock{}),
	}
	w.restart()
	return w
}

// restart the sweeper, which forgets all that is not in a status.
func (w *world) restart() {
	w.sweeper = sweeper.New(w.kube, w.kube, w.events, logging.NewNopLogger(), w.options)
}

// pass time in all worlds, sweeping as Start would.
func (w *world) pass(d time.Duration) {
	for ; d > 0; d -= interval {
		w.Step(interval)
		w.clock.Step(interval)
		w.sweeper.Sweep(context.Background())
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// known owners of an account, as the controllers of configurations write them.
func (w *world) known(config string, owners ...v1alpha1.Owner) {
	w.t.Helper()
	pc := &v1alpha1.ProviderConfig{}
	w.ok(w.kube.Get(context.Background(), types.NamespacedName{Namespace: "platform", Name: config}, pc))
	pc.Status.Owners = append(pc.Status.Owners, owners...)
	w.ok(w.kube.Status().Update(context.Background(), pc))
}

func (w *world) status(config string) v1alpha1.ProviderConfigStatus {
	w.t.Helper()
	pc := &v1alpha1.ProviderConfig{}
	w.ok(w.kube.Get(context.Background(), types.NamespacedName{Namespace: "platform", Name: config}, pc))
	return pc.Status
}

// leaks of an account by kind.
func (w *world) leaks(config string) map[string]int {
	w.t.Helper()
	out := map[string]int{}
	for _, l := range w.status(config).Leaks {
		out[l.Kind]++
	}
	return out
}

func (w *world) check(reason string, want, got any) {
	w.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("\nReason: %s\n-want, +got:\n%s", reason, diff)
	}
}

// live objects of the clouds' books.
func (w *world) live(kinds ...ledger.Kind) int {
	return len(w.Cloud.Ledger.Live(func(o ledger.Object) bool { return len(kinds) == 0 || slices.Contains(kinds, o.Kind) }))
}

// ackCluster makes a cluster with two nodes, a Service and a volume at the cloud.
func (w *world) ackCluster(uid, poolUID string, leaks bool) string {
	w.t.Helper()
	c := w.Client(w.t)
	tag := func(uid string) map[string]string {
		m := map[string]string{v1alpha1.TagOwner: uid}
		if uid == "" {
			m = map[string]string{"team": "other"}
		}
		if leaks {
			m[v1alpha1.TagLeaks] = v1alpha1.LeaksDelete
		}
		return m
	}
	var tags []*cs.Tag
	for k, v := range tag(uid) {
		tags = append(tags, &cs.Tag{Key: tea.String(k), Value: tea.String(v)})
	}
	k, err := c.CreateCluster(&cs.CreateClusterRequest{
		Name: tea.String("rp-" + uid), RegionId: tea.String(hangzhou), ClusterType: tea.String("ManagedKubernetes"), ClusterSpec: tea.String("ack.pro.small"),
		Vpcid: tea.String("vpc-1"), VswitchIds: tea.StringSlice([]string{"vsw-1"}), ServiceCidr: tea.String("172.19.0.0/20"),
		ContainerCidr: tea.String("10.0.0.0/16"), Tags: tags, SnatEntry: tea.Bool(true),
		Addons: []*cs.Addon{{Name: tea.String("nginx-ingress-controller"), Disabled: tea.Bool(true)}},
	})
	w.ok(err)
	w.Step(5 * time.Minute)
	var pooled []*cs.CreateClusterNodePoolRequestScalingGroupTags
	for k, v := range tag(poolUID) {
		pooled = append(pooled, &cs.CreateClusterNodePoolRequestScalingGroupTags{Key: tea.String(k), Value: tea.String(v)})
	}
	_, err = c.CreateClusterNodePool(k.Body.ClusterId, &cs.CreateClusterNodePoolRequest{
		NodepoolInfo: &cs.CreateClusterNodePoolRequestNodepoolInfo{Name: tea.String("general")},
		ScalingGroup: &cs.CreateClusterNodePoolRequestScalingGroup{
			InstanceTypes: tea.StringSlice([]string{"ecs.g7.xlarge"}), VswitchIds: tea.StringSlice([]string{"vsw-1"}), DesiredSize: tea.Int64(2),
			SystemDiskSize: tea.Int64(100), Tags: pooled,
		},
		KubernetesConfig: &cs.CreateClusterNodePoolRequestKubernetesConfig{},
	})
	w.ok(err)
	w.Step(3 * time.Minute)
	return *k.Body.ClusterId
}

func mrs(clusterID string) []client.Object {
	c := &ackv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "c", UID: "uid-c"}}
	meta.SetExternalName(c, clusterID)
	return []client.Object{c, &ackv1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "p", UID: "uid-p"}}}
}

func (w *world) create(objs ...client.Object) {
	w.t.Helper()
	for _, o := range objs {
		w.ok(w.kube.Create(context.Background(), o))
	}
}

func (w *world) remove(objs ...client.Object) {
	w.t.Helper()
	for _, o := range objs {
		w.ok(w.kube.Delete(context.Background(), o))
	}
}

func TestOwnedThingsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	id := w.ackCluster("uid-c", "uid-p", true)
	_, err := w.ACK.EnsureLoadBalancer(id, "svc", "default/web")
	w.ok(err)
	_, err = w.ACK.EnsureVolume(id, "pvc", "default/data", 20)
	w.ok(err)
	foreign := w.ackCluster("", "", true)
	_, err = w.ACK.EnsureLoadBalancer(foreign, "svc", "default/web")
	w.ok(err)
	w.create(mrs(id)...)
	w.known("aliyun", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: v1alpha1.LeaksDelete}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksDelete})
	n := w.live()
	w.pass(3 * time.Hour)
	w.check("What has an owner, and what is not ours, is no leak.", map[string]int{}, w.leaks("aliyun"))
	w.check("None of it is touched.", n, w.live())
	w.check("Nothing is said about it.", 0, len(w.events.all))
}

func TestLeakedCluster(t *testing.T) {
	for _, tc := range []struct {
		name, reason string
		leaks        bool
	}{
		{"Report", "Without the tag it is reported only.", false},
		{"Delete", "With it, it is deleted with all that it leaves.", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.ackCluster("uid-c", "uid-p", tc.leaks)
			_, err := w.ACK.EnsureLoadBalancer(id, "svc", "default/web")
			w.ok(err)
			_, err = w.ACK.EnsureVolume(id, "pvc", "default/data", 20)
			w.ok(err)
			leaks := ""
			if tc.leaks {
				leaks = v1alpha1.LeaksDelete
			}
			w.known("aliyun", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: leaks}, v1alpha1.Owner{UID: "uid-p", Leaks: leaks})
			objs := mrs(id)
			w.create(objs...)
			w.pass(interval)
			// Somebody removes the finalizers.
			w.remove(objs...)

			w.pass(interval)
			w.check("Once is not enough.", map[string]int{}, w.leaks("aliyun"))
			w.pass(2 * interval)
			got := w.leaks("aliyun")
			if got["Cluster"] != 1 || got["Instance"] != 2 || got["LoadBalancer"] != 2 || got["Disk"] != 3 || got["NATGateway"] != 1 {
				t.Errorf("\nReason: the cluster and what was made for it are leaks\nstatus.leaks: %v", got)
			}
			if n := w.events.count("LeakedResource"); n != len(w.status("aliyun").Leaks) {
				t.Errorf("\nReason: there is an event for each\n%d events, %d leaks", n, len(w.status("aliyun").Leaks))
			}
			before := len(w.events.all)
			w.restart()
			w.pass(3 * time.Hour)
			if !tc.leaks {
				w.check(tc.reason, got, w.leaks("aliyun"))
				w.check("It is said once, also after a restart.", before, len(w.events.all))
				return
			}
			w.check(tc.reason, map[string]int{}, w.leaks("aliyun"))
			w.check("Nothing is left at the cloud.", 0, w.live(ledger.ECS, ledger.SystemDisk, ledger.DataDisk, ledger.ServiceSLB, ledger.APISLB, ledger.NAT, ledger.NATEIP))
			w.pass(24 * time.Hour)
			w.check("Its owners are forgotten in the end.", 0, len(w.status("aliyun").Owners))
		})
	}
}

func TestNodeThatStayed(t *testing.T) {
	w := newWorld(t)
	id := w.ackCluster("uid-c", "uid-p", true)
	w.create(mrs(id)...)
	w.known("aliyun", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: v1alpha1.LeaksDelete}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksDelete})
	c := w.Client(t)
	pools, err := c.DescribeClusterNodePools(&id, &cs.DescribeClusterNodePoolsRequest{})
	w.ok(err)
	pool := pools.Body.Nodepools[0].NodepoolInfo.NodepoolId
	nodes, err := c.DescribeClusterNodes(&id, &cs.DescribeClusterNodesRequest{NodepoolId: pool})
	w.ok(err)
	var ids []*string
	for _, n := range nodes.Body.Nodes {
		ids = append(ids, n.InstanceId)
	}
	_, err = c.RemoveNodePoolNodes(&id, pool, &cs.RemoveNodePoolNodesRequest{InstanceIds: ids, ReleaseNode: tea.Bool(false)})
	w.ok(err)
	w.pass(2 * interval)
	w.check("While its pool is there a machine has an owner.", map[string]int{}, w.leaks("aliyun"))

	w.remove(&ackv1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "p"}})
	w.pass(3 * interval)
	w.check("Then it has none, although its cluster lives.", map[string]int{"Instance": 2, "Disk": 2}, w.leaks("aliyun"))
	w.pass(2 * time.Hour)
	w.check("It is deleted.", map[string]int{}, w.leaks("aliyun"))
	w.check("So are its disks.", 0, w.live(ledger.ECS, ledger.SystemDisk))
	w.check("The cluster is not.", 1, w.live(ledger.Cluster))
}

// TestTakenOver: the managed resources were made again, as a restore does, and
// have other UIDs than the tags of what they manage.
func TestTakenOver(t *testing.T) {
	w := newWorld(t)
	id := w.ackCluster("uid-c", "uid-p", true)
	_, err := w.ACK.EnsureLoadBalancer(id, "svc", "default/web")
	w.ok(err)
	objs := mrs(id)
	w.create(objs...)
	w.known("aliyun", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: v1alpha1.LeaksDelete}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksDelete})
	w.pass(interval)
	w.remove(objs...)
	again := mrs(id)
	for i, o := range again {
		o.SetUID(types.UID(fmt.Sprintf("uid-again-%d", i)))
	}
	w.create(again...)
	n := w.live()
	w.pass(3 * time.Hour)
	w.check("A cluster that a resource names is in use, whatever its tag says.", 0, w.leaks("aliyun")["Cluster"])
	w.check("Nothing in it is touched.", n, w.live())
}

// TestNotListed: what cannot be listed may have come into use since it was.
func TestNotListed(t *testing.T) {
	w := newWorld(t)
	id := w.ackCluster("uid-c", "uid-p", true)
	objs := mrs(id)
	w.create(objs...)
	w.known("aliyun", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: v1alpha1.LeaksDelete}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksDelete})
	w.remove(objs[1])
	w.pass(3 * interval)
	if w.leaks("aliyun")["Instance"] != 2 {
		t.Fatalf("The machines of a pool that is gone are leaks: %v", w.leaks("aliyun"))
	}
	for _, action := range []string{"DescribeInstances", "DescribeDisks"} {
		_, err := w.Admin.SetFault(t.Context(), faults.Rule{Kind: faults.HTTP502HTML, Action: action})
		w.ok(err)
	}
	w.pass(3 * time.Hour)
	w.check("Nothing is deleted by an old list.", 2, w.live(ledger.ECS))
	w.check("They are still leaks.", 2, w.leaks("aliyun")["Instance"])
}

func TestUnknownOwner(t *testing.T) {
	w := newWorld(t)
	w.ackCluster("uid-of-another-plane", "uid-of-another-pool", true)
	n := w.live()
	w.pass(3 * time.Hour)
	if w.leaks("aliyun")["Cluster"] != 1 {
		t.Errorf("\nReason: it carries our tag, so it is reported\nstatus.leaks: %v", w.leaks("aliyun"))
	}
	w.check("But another control plane may share the account, so it is not deleted.", n, w.live())
}

func TestKept(t *testing.T) {
	w := newWorld(t)
	w.ackCluster("uid-c", "uid-p", true)
	w.known("aliyun", v1alpha1.Owner{UID: "uid-c", Leaks: v1alpha1.LeaksKeep}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksKeep})
	n := w.live()
	w.pass(3 * time.Hour)
	w.check("What is meant to outlive its resource is no leak.", map[string]int{}, w.leaks("aliyun"))
	w.check("It is not touched.", n, w.live())
}

func TestOutages(t *testing.T) {
	w := newWorld(t)
	id := w.ackCluster("uid-c", "uid-p", true)
	objs := mrs(id)
	w.create(objs...)
	w.known("aliyun", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: v1alpha1.LeaksDelete}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksDelete})
	n := w.live()

	w.outage = true
	w.pass(3 * time.Hour)
	w.outage = false
	w.check("Without an API server nobody knows who lives: nothing happens.", 0, len(w.events.all))
	w.check("Nothing is touched.", n, w.live())

	w.remove(objs...)
	w.pass(interval)
	for _, action := range []string{"DescribeInstances", "DescribeClustersForRegion"} {
		_, err := w.Admin.SetFault(t.Context(), faults.Rule{Kind: faults.HTTP502HTML, Action: action})
		w.ok(err)
	}
	w.pass(time.Hour)
	got := w.leaks("aliyun")
	if got["Instance"] != 0 || got["Cluster"] != 0 || got["Disk"] == 0 {
		t.Errorf("\nReason: what cannot be listed is not known; the rest is\nstatus.leaks: %v", got)
	}
	w.check("While it is not known which clusters exist, what was made for them stays.", n, w.live())
}

func TestReturnedOwner(t *testing.T) {
	w := newWorld(t)
	id := w.ackCluster("uid-c", "uid-p", true)
	w.known("aliyun", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: v1alpha1.LeaksDelete}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksDelete})
	w.pass(2 * interval)
	if len(w.leaks("aliyun")) != 0 {
		t.Fatalf("The leaks are believed too early: %v", w.leaks("aliyun"))
	}
	w.create(mrs(id)...)
	n := w.live()
	w.pass(2 * time.Hour)
	w.check("What has an owner again is no leak.", map[string]int{}, w.leaks("aliyun"))
	w.check("It is not touched.", n, w.live())
	for _, o := range w.status("aliyun").Owners {
		if o.Gone != nil {
			t.Errorf("\nReason: an owner that lives is not gone\nstatus.owners: %+v", o)
		}
	}
}

func TestTencent(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	pc := &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeTencentCloud, Endpoint: w.TencentURL, RateLimit: &v1alpha1.RateLimit{QPS: 1e6, Burst: 1e6}}
	c, err := tke.NewFactory(clock.RealClock{}).Client(pc, fmt.Appendf(nil, `{"secretId":%q,"secretKey":%q}`, simtest.SecretID, simtest.SecretKey), guangzhou)
	w.ok(err)
	tags := func(uid string) map[string]string {
		return map[string]string{v1alpha1.TagOwner: uid, v1alpha1.TagLeaks: v1alpha1.LeaksDelete}
	}
	id, err := c.CreateCluster(ctx, tke.ClusterInput{
		Name: "rp-1", VPCID: "vpc-gz1", SubnetID: "subnet-gz1", ClusterCIDR: "172.16.0.0/16", ServiceCIDR: "172.19.0.0/20", MaxPodsPerNode: 64, Level: "L50", Tags: tags("uid-c"),
	})
	w.ok(err)
	w.Step(15 * time.Minute)
	_, err = c.CreateNodePool(ctx, id, tke.NodePoolInput{
		Name: "rp-2", VPCID: "vpc-gz1", SubnetIDs: []string{"subnet-gz1"}, InstanceTypes: []string{"S5.LARGE8"}, Desired: 2, Max: 5,
		DiskType: "CLOUD_PREMIUM", DiskSizeGiB: 100, Tags: tags("uid-p"),
	})
	w.ok(err)
	w.Step(5 * time.Minute)

	cl := &tkev1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "c", UID: "uid-c"}}
	meta.SetExternalName(cl, id)
	np := &tkev1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "p", UID: "uid-p"}}
	w.create(cl, np)
	w.known("tencent", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: v1alpha1.LeaksDelete}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksDelete})
	w.pass(time.Hour)
	w.check("What has an owner is no leak.", map[string]int{}, w.leaks("tencent"))

	w.remove(cl, np)
	w.pass(3 * interval)
	got := w.leaks("tencent")
	if got["Cluster"] != 1 || got["Instance"] != 2 || got["Disk"] == 0 {
		t.Errorf("\nReason: the cluster, its machines and their disks are leaks\nstatus.leaks: %v", got)
	}
	w.pass(4 * time.Hour)
	w.check("They are deleted.", map[string]int{}, w.leaks("tencent"))
	for _, k := range tke.Kinds {
		l, err := c.ListItems(ctx, k)
		w.ok(err)
		w.check("Nothing of kind "+string(k)+" is left.", 0, len(l))
	}
}

// TestLeftBehind: the clusters are deleted as they should be, and the clouds
// leave things behind that carry nothing but the clusters' ids.
func TestLeftBehind(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	id := w.ackCluster("uid-c", "uid-p", true)
	foreign := w.ackCluster("", "", true)
	for _, c := range []string{id, foreign} {
		_, err := w.ACK.EnsureLoadBalancer(c, "svc", "default/web")
		w.ok(err)
		_, err = w.ACK.EnsureVolume(c, "pvc", "default/data", 20)
		w.ok(err)
	}
	pc := &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeTencentCloud, Endpoint: w.TencentURL, RateLimit: &v1alpha1.RateLimit{QPS: 1e6, Burst: 1e6}}
	c, err := tke.NewFactory(clock.RealClock{}).Client(pc, fmt.Appendf(nil, `{"secretId":%q,"secretKey":%q}`, simtest.SecretID, simtest.SecretKey), guangzhou)
	w.ok(err)
	tid, err := c.CreateCluster(ctx, tke.ClusterInput{
		Name: "rp-1", VPCID: "vpc-gz1", SubnetID: "subnet-gz1", ClusterCIDR: "172.16.0.0/16", ServiceCIDR: "172.19.0.0/20", MaxPodsPerNode: 64, Level: "L50",
		Tags: map[string]string{v1alpha1.TagOwner: "uid-t", v1alpha1.TagLeaks: v1alpha1.LeaksDelete},
	})
	w.ok(err)
	w.Step(15 * time.Minute)
	_, err = w.TKE.EnsureLoadBalancer(tid, "svc", "default/web")
	w.ok(err)
	_, err = w.TKE.EnsureVolume(tid, "pvc", "default/data", 20)
	w.ok(err)
	w.known("aliyun", v1alpha1.Owner{UID: "uid-c", ClusterID: id, Leaks: v1alpha1.LeaksDelete}, v1alpha1.Owner{UID: "uid-p", Leaks: v1alpha1.LeaksDelete})
	w.known("tencent", v1alpha1.Owner{UID: "uid-t", ClusterID: tid, Leaks: v1alpha1.LeaksDelete})

	_, err = w.Admin.SetFault(ctx, faults.Rule{Kind: faults.LeaveBehind, Args: map[string]string{"kinds": "service-slb,data-disk,nat,nat-eip,eni,security-group,service-clb,cbs"}})
	w.ok(err)
	cl := w.Client(t)
	for _, k := range []string{id, foreign} {
		// The first try may meet dependencies that are still being detached.
		if _, err := cl.DeleteCluster(&k, &cs.DeleteClusterRequest{}); err != nil {
			w.Step(time.Minute)
			_, err = cl.DeleteCluster(&k, &cs.DeleteClusterRequest{})
			w.ok(err)
		}
	}
	w.ok(c.DeleteCluster(ctx, tid))
	w.Step(30 * time.Minute)
	if w.live(ledger.Cluster) != 0 {
		t.Fatalf("The clusters still exist")
	}

	w.pass(3 * interval)
	got := w.leaks("aliyun")
	w.check("A vanished cluster of ours leaks.", []int{0, 1, 1}, []int{got["Cluster"], got["LoadBalancer"], got["Disk"]})
	got = w.leaks("tencent")
	w.check("In both clouds.", []int{0, 1, 1}, []int{got["Cluster"], got["LoadBalancer"], got["Disk"]})
	w.pass(3 * time.Hour)
	w.check("It is all deleted.", map[string]int{}, w.leaks("aliyun"))
	w.check("In both clouds.", map[string]int{}, w.leaks("tencent"))
	for _, o := range w.Cloud.Ledger.Live(func(ledger.Object) bool { return true }) {
		switch o.Kind {
		case ledger.ServiceSLB, ledger.DataDisk, ledger.ServiceCLB, ledger.CBS, ledger.NAT, ledger.NATEIP, ledger.SecurityGroup, ledger.ENI:
			if o.Cluster != foreign {
				t.Errorf("\nReason: nothing of ours is left\n%s %s", o.Kind, o.ID)
			}
		}
	}
	w.check("What a cluster of somebody else left stays.", 2, w.live(ledger.ServiceSLB, ledger.DataDisk))
}
