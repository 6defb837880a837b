package aliyun_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/aliyun"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	region = "cn-hangzhou"
	zone   = "cn-hangzhou-h"
	typ    = "ecs.g7.xlarge"
	lag    = 11 * time.Second
)

func spec(url string) *v1alpha1.ProviderConfigSpec {
	return &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeAlibabaCloud, Endpoint: url, RateLimit: &v1alpha1.RateLimit{QPS: 100, Burst: 200}}
}

func key(id, secret string) []byte {
	return fmt.Appendf(nil, `{"accessKeyId":%q,"accessKeySecret":%q}`, id, secret)
}

func newClient(t *testing.T, url string, raw []byte) aliyun.API {
	t.Helper()
	c, err := aliyun.NewFactory(clock.RealClock{}, cloud.NewBuckets(clock.RealClock{})).Client(spec(url), raw, region)
	if err != nil {
		t.Fatalf("Client(...): %v", err)
	}
	return c
}

func start(t *testing.T) (*simtest.Sim, aliyun.API) {
	t.Helper()
	s := simtest.Start(t, simtest.Options{})
	return s, newClient(t, s.URL, key(simtest.AccessKeyID, simtest.AccessKeySecret))
}

// cluster with everything that costs extra, and two nodes.
func cluster(t *testing.T, s *simtest.Sim) string {
	t.Helper()
	c := s.Client(t)
	k, err := c.CreateCluster(&cs.CreateClusterRequest{
		Name: tea.String("rp-1"), RegionId: tea.String(region), ClusterType: tea.String("ManagedKubernetes"), ClusterSpec: tea.String("ack.pro.small"),
		Vpcid: tea.String("vpc-1"), VswitchIds: tea.StringSlice([]string{"vsw-1"}), ServiceCidr: tea.String("172.19.0.0/20"),
		ContainerCidr: tea.String("10.0.0.0/16"), SnatEntry: tea.Bool(true), EndpointPublicAccess: tea.Bool(true),
		Tags: []*cs.Tag{{Key: tea.String(v1alpha1.TagOwner), Value: tea.String("uid-cluster")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Step(5 * time.Minute)
	_, err = c.CreateClusterNodePool(k.Body.ClusterId, &cs.CreateClusterNodePoolRequest{
		NodepoolInfo: &cs.CreateClusterNodePoolRequestNodepoolInfo{Name: tea.String("general")},
		ScalingGroup: &cs.CreateClusterNodePoolRequestScalingGroup{
			InstanceTypes: tea.StringSlice([]string{typ}), VswitchIds: tea.StringSlice([]string{"vsw-1"}), DesiredSize: tea.Int64(2), SystemDiskSize: tea.Int64(100),
			Tags: []*cs.CreateClusterNodePoolRequestScalingGroupTags{{Key: tea.String(v1alpha1.TagOwner), Value: tea.String("uid-pool")}},
		},
		KubernetesConfig: &cs.CreateClusterNodePoolRequestKubernetesConfig{},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Step(3 * time.Minute)
	return *k.Body.ClusterId
}

// TestPodPrice: the API prices the second, the client the hour.
func TestPodPrice(t *testing.T) {
	type want struct {
		Hourly float64
		Class  cloud.Class
	}
	cases := map[string]struct {
		reason      string
		cpu, memory float64
		fault       *faults.Rule
		want        want
	}{
		"Small": {reason: "2 vCPU at 0.15 and 4 GiB at 0.0375 are 0.45 an hour.", cpu: 2, memory: 4, want: want{Hourly: 0.45}},
		"More":  {reason: "Twice the memory costs 0.15 more.", cpu: 2, memory: 8, want: want{Hourly: 0.6}},
		"Size":  {reason: "A size that is not sold is the caller's mistake.", cpu: 3, memory: 4, want: want{Class: cloud.Invalid}},
		"Zero":  {reason: "An answer without a price is none.", cpu: 2, memory: 4, fault: &faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "0"}}, want: want{Class: cloud.Unknown}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, c := start(t)
			if tc.fault != nil {
				if _, err := s.Admin.SetFault(t.Context(), *tc.fault); err != nil {
					t.Fatal(err)
				}
			}
			p, err := c.PodPrice(t.Context(), tc.cpu, tc.memory)
			got := want{Hourly: math.Round(p.Hourly*1e6) / 1e6, Class: cloud.ClassOf(err)}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nPodPrice(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestPrice(t *testing.T) {
	type want struct {
		Hourly float64
		Class  cloud.Class
	}
	cases := map[string]struct {
		reason string
		fault  *faults.Rule
		query  aliyun.PriceQuery
		want   want
	}{
		"OnDemand": {reason: "A machine costs what it costs.", query: aliyun.PriceQuery{InstanceType: typ, Zone: zone}, want: want{Hourly: 0.96}},
		"NoZone":   {reason: "In any zone.", query: aliyun.PriceQuery{InstanceType: typ}, want: want{Hourly: 0.96}},
		"Spot":     {reason: "Less as a spot machine.", query: aliyun.PriceQuery{InstanceType: typ, Zone: zone, Spot: true}, want: want{Hourly: 0.24}},
		"Type":     {reason: "An unknown type is the caller's mistake.", query: aliyun.PriceQuery{InstanceType: "ecs.none", Zone: zone}, want: want{Class: cloud.Invalid}},
		"Zone":     {reason: "So is an unknown zone.", query: aliyun.PriceQuery{InstanceType: typ, Zone: "z"}, want: want{Class: cloud.Invalid}},
		"Absurd": {
			reason: "It is not for the client to judge.", fault: &faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "-1"}},
			query: aliyun.PriceQuery{InstanceType: typ, Zone: zone}, want: want{Hourly: -0.96},
		},
		"NaN": {
			reason: "What is no number is no answer.", fault: &faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "NaN"}},
			query: aliyun.PriceQuery{InstanceType: typ, Zone: zone}, want: want{Class: cloud.Unknown},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, c := start(t)
			if tc.fault != nil {
				if _, err := s.Admin.SetFault(t.Context(), *tc.fault); err != nil {
					t.Fatal(err)
				}
			}
			p, err := c.Price(t.Context(), tc.query)
			got := want{Hourly: math.Round(p.Hourly*1e6) / 1e6, Class: cloud.ClassOf(err)}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nPrice(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestStock(t *testing.T) {
	s, c := start(t)
	if err := s.Admin.SetStock(t.Context(), stock.Item{Key: stock.Key{Region: region, Zone: zone, Type: typ}, Count: 0}); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, spot := range []bool{false, true} {
		l, err := c.Stock(t.Context(), spot)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range l {
			if q.InstanceType == typ {
				got[fmt.Sprint(q.Zone, spot)] = q.Available
			}
		}
	}
	want := map[string]bool{zone + "false": false, zone + "true": true, "cn-hangzhou-ifalse": true, "cn-hangzhou-itrue": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("\nReason: stock differs by zone and by the way to rent\nStock(...): -want, +got:\n%s", diff)
	}
}

func TestVSwitches(t *testing.T) {
	_, c := start(t)
	got, err := c.VSwitches(t.Context(), "vpc-2")
	if err != nil {
		t.Fatal(err)
	}
	want := []aliyun.VSwitch{{ID: "vsw-3", VPC: "vpc-2", Zone: zone, Free: 12}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("\nReason: only those of the VPC\nVSwitches(...): -want, +got:\n%s", diff)
	}
}

func count(t *testing.T, c aliyun.API, key, value string) map[aliyun.Kind]int {
	t.Helper()
	got := map[aliyun.Kind]int{}
	for _, k := range aliyun.Kinds {
		l, err := c.List(t.Context(), k, key, value)
		if err != nil {
			t.Fatalf("List(%s): %v", k, err)
		}
		if len(l) > 0 {
			got[k] = len(l)
		}
	}
	return got
}

func TestInventory(t *testing.T) {
	s, c := start(t)
	id := cluster(t, s)
	if _, err := s.ACK.EnsureLoadBalancer(id, "svc", "default/web"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ACK.EnsureVolume(id, "pvc", "default/data", 20); err != nil {
		t.Fatal(err)
	}
	s.Step(lag)

	want := map[aliyun.Kind]int{
		aliyun.KindInstance: 2, aliyun.KindDisk: 3, aliyun.KindNetworkInterface: 1, aliyun.KindSecurityGroup: 1,
		aliyun.KindNATGateway: 1, aliyun.KindAddress: 2, aliyun.KindLoadBalancer: 3,
	}
	if diff := cmp.Diff(want, count(t, c, aliyun.TagCluster, id)); diff != "" {
		t.Errorf("\nReason: all of the cluster is found by ACK's tag\nList(...): -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(want, count(t, c, aliyun.TagCluster, "")); diff != "" {
		t.Errorf("\nReason: or by its key alone\nList(...): -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[aliyun.Kind]int{aliyun.KindInstance: 2, aliyun.KindDisk: 2}, count(t, c, v1alpha1.TagOwner, "uid-pool")); diff != "" {
		t.Errorf("\nReason: nodes and their disks carry the pool's tags\nList(...): -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[aliyun.Kind]int{}, count(t, c, v1alpha1.TagOwner, "uid-other")); diff != "" {
		t.Errorf("\nReason: the value counts\nList(...): -want, +got:\n%s", diff)
	}

	// What is in use is refused, by us or by the cloud.
	for _, k := range []aliyun.Kind{aliyun.KindDisk, aliyun.KindNetworkInterface, aliyun.KindSecurityGroup, aliyun.KindAddress} {
		l, err := c.List(t.Context(), k, aliyun.TagCluster, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Delete(t.Context(), l[0]); !cloud.Is(err, cloud.WrongState) {
			t.Errorf("\nReason: a thing in use is not deleted\nDelete(%s): %v", k, err)
		}
	}
	if err := c.Delete(t.Context(), aliyun.Thing{Kind: aliyun.KindDisk, ID: "d-none"}); err != nil {
		t.Errorf("\nReason: what is gone is deleted\nDelete(...): %v", err)
	}
	if err := c.Delete(t.Context(), aliyun.Thing{Kind: aliyun.KindInstance, ID: "i-1", Protected: true}); !cloud.Is(err, cloud.Protected) {
		t.Errorf("\nReason: protection is respected\nDelete(...): %v", err)
	}

	// A machine, and then its disk if it stays.
	l, err := c.List(t.Context(), aliyun.KindInstance, v1alpha1.TagOwner, "uid-pool")
	if err != nil {
		t.Fatal(err)
	}
	if l[0].Created.IsZero() || l[0].Tags[aliyun.TagCluster] != id {
		t.Errorf("List(...): an instance lacks its time or a tag: %+v", l[0])
	}
	for _, i := range l {
		if err := c.Delete(t.Context(), i); err != nil {
			t.Errorf("Delete(...): %v", err)
		}
	}
	for _, k := range []aliyun.Kind{aliyun.KindLoadBalancer, aliyun.KindNATGateway} {
		l, err := c.List(t.Context(), k, aliyun.TagCluster, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range l {
			if err := c.Delete(t.Context(), x); err != nil {
				t.Errorf("Delete(%s): %v", k, err)
			}
		}
	}
	s.Step(10 * time.Minute)
	got := count(t, c, aliyun.TagCluster, id)
	if got[aliyun.KindLoadBalancer]+got[aliyun.KindNATGateway] != 0 {
		t.Errorf("\nReason: they are gone\nList(...): %v", got)
	}
	left, err := c.List(t.Context(), aliyun.KindInstance, v1alpha1.TagOwner, "uid-pool")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range left {
		// The pool replaces its machines.
		if i.ID == l[0].ID || i.ID == l[1].ID {
			t.Errorf("\nReason: they are gone\nList(...): %s", i.ID)
		}
	}
}

func TestRefusals(t *testing.T) {
	s, _ := start(t)
	c := newClient(t, s.URL, key(simtest.AccessKeyID, "wrong"))
	_, err := c.List(t.Context(), aliyun.KindInstance, v1alpha1.TagOwner, "")
	if !cloud.Is(err, cloud.Unauthorised) || strings.Contains(err.Error(), simtest.AccessKeyID) {
		t.Errorf("\nReason: a wrong key is told without telling it\nList(...): %v", err)
	}

	answers := map[string]struct {
		reason string
		status int
		body   string
		want   cloud.Class
	}{
		"Page":      {reason: "A page is no answer.", status: 502, body: "<html>bad gateway</html>", want: cloud.Unknown},
		"NotFound":  {reason: "A 404 without a code proves nothing.", status: 404, body: `{"Code":"NotFound","Message":"no route"}`, want: cloud.Unknown},
		"Throttled": {reason: "Throttling has a code.", status: 400, body: `{"Code":"Throttling.User","Message":"slow down"}`, want: cloud.Throttled},
		"Forbidden": {reason: "Rights are told by their code.", status: 403, body: `{"Code":"Forbidden.RAM","Message":"no"}`, want: cloud.Unauthorised},
		"Cut":       {reason: "Half an answer is none.", status: 200, body: `{"Instances":{"Inst`, want: cloud.Unknown},
	}
	for name, tc := range answers {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer srv.Close()
			_, err := newClient(t, srv.URL, key("id", "secret")).List(t.Context(), aliyun.KindInstance, "k", "")
			if diff := cmp.Diff(tc.want, cloud.ClassOf(err)); diff != "" {
				t.Errorf("\nReason: %s\nList(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}

	t.Run("Context", func(t *testing.T) {
		release := make(chan struct{})
		srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		defer srv.Close()
		defer close(release)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := newClient(t, srv.URL, key("id", "secret")).Stock(ctx, false)
		if !cloud.Is(err, cloud.Unknown) || time.Since(begin) > time.Minute {
			t.Errorf("\nReason: a call ends with its context\nStock(...): %v after %s", err, time.Since(begin))
		}
	})
	t.Run("Unreachable", func(t *testing.T) {
		srv := httptest.NewServer(http.NotFoundHandler())
		srv.Close()
		_, err := newClient(t, srv.URL, key("id", "secret")).Stock(t.Context(), false)
		if !cloud.Is(err, cloud.Unreachable) {
			t.Errorf("\nReason: nothing was sent\nStock(...): %v", err)
		}
	})
}

// TestConcurrent runs under the race detector.
func TestConcurrent(t *testing.T) {
	_, c := start(t)
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for range cap(errs) {
		wg.Go(func() {
			_, err := c.Price(t.Context(), aliyun.PriceQuery{InstanceType: typ, Zone: zone})
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Errorf("\nReason: a client serves many at once\nPrice(...): %v", err)
		}
	}
}

func TestFactory(t *testing.T) {
	f := aliyun.NewFactory(clock.RealClock{}, cloud.NewBuckets(clock.RealClock{}))
	a, errA := f.Client(spec(""), key("id", "secret"), region)
	b, errB := f.Client(spec(""), key("id", "secret"), region)
	c, errC := f.Client(spec(""), key("id", "other"), region)
	if err := errors.Join(errA, errB, errC); err != nil || a != b || a == c {
		t.Errorf("\nReason: a client lives as long as its credentials\nClient(...): %t, %t, %v", a == b, a == c, err)
	}
	bad := map[string]struct {
		spec *v1alpha1.ProviderConfigSpec
		raw  []byte
		want string
	}{
		"Type":     {spec: &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeKarmada}, raw: key("a", "b"), want: "AlibabaCloud"},
		"JSON":     {spec: spec(""), raw: []byte("secret-text"), want: "no JSON"},
		"Lacks":    {spec: spec(""), raw: []byte(`{"accessKeyId":"a"}`), want: "lack"},
		"Endpoint": {spec: spec("ftp://x"), raw: key("a", "b"), want: "spec.endpoint"},
		"Identity": {spec: spec(""), want: "ALIBABA_CLOUD_ROLE_ARN"},
	}
	for name, tc := range bad {
		t.Run(name, func(t *testing.T) {
			_, err := f.Client(tc.spec, tc.raw, region)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret-text") {
				t.Errorf("\nReason: the error names what to mend\nClient(...): %v", err)
			}
		})
	}
}

// TestSharedBucket proves that calls to ACK and to the other products draw from
// the same tokens.
func TestSharedBucket(t *testing.T) {
	s := simtest.Start(t, simtest.Options{})
	raw := key(simtest.AccessKeyID, simtest.AccessKeySecret)
	pc := spec(s.URL)
	pc.RateLimit = &v1alpha1.RateLimit{QPS: 1, Burst: 1}
	f := ack.NewFactory(clock.RealClock{})
	clusters, err := f.Client(pc, raw, region)
	if err != nil {
		t.Fatal(err)
	}
	c, err := aliyun.NewFactory(clock.RealClock{}, f.Buckets()).Client(pc, raw, region)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clusters.ListClusters(t.Context(), "rp-1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Stock(ctx, false); !cloud.Is(err, cloud.Throttled) {
		t.Errorf("\nReason: the token of this second is used up\nStock(...): %v", err)
	}
}
