package clouds_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/aliyun"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/market"
	"regionpool.io/provider-regionpool/internal/market/clouds"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

var asker = types.NamespacedName{Namespace: "platform", Name: "shanghai"}

// start both simulated clouds, and a feed of them that asks every 50 ms.
func start(t *testing.T, prepare func(s *simtest.Sim)) *market.Feed {
	t.Helper()
	sim := simtest.Start(t, simtest.Options{})
	if prepare != nil {
		prepare(sim)
	}
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{apis.AddToScheme, corev1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	b := fake.NewClientBuilder().WithScheme(s)
	for name, c := range map[string]struct {
		kind        v1alpha1.ProviderConfigType
		url, secret string
	}{
		"aliyun":  {v1alpha1.TypeAlibabaCloud, sim.URL, fmt.Sprintf(`{"accessKeyId":%q,"accessKeySecret":%q}`, simtest.AccessKeyID, simtest.AccessKeySecret)},
		"tencent": {v1alpha1.TypeTencentCloud, sim.TencentURL, fmt.Sprintf(`{"secretId":%q,"secretKey":%q}`, simtest.SecretID, simtest.SecretKey)},
	} {
		pc := &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: name}}
		pc.Spec.Type, pc.Spec.Endpoint, pc.Spec.RateLimit = c.kind, c.url, &v1alpha1.RateLimit{QPS: 1e6, Burst: 1e6}
		pc.Spec.Credentials.Source = xpv2.CredentialsSourceSecret
		pc.Spec.Credentials.SecretRef = &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Name: name}, Key: "key"}
		b = b.WithObjects(pc, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: name}, Data: map[string][]byte{"key": []byte(c.secret)}})
	}
	real := clock.RealClock{}
	ali, tencent := aliyun.NewFactory(real, cloud.NewBuckets(real)), tke.NewFactory(real)
	src := clouds.NewSource(b.Build(), real,
		func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (aliyun.Market, error) {
			return ali.Client(spec, raw, region)
		},
		func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (tke.Market, error) {
			return tencent.Client(spec, raw, region)
		})
	f := market.NewFeed(src, real, logging.NewNopLogger(), market.Options{Prices: 50 * time.Millisecond, Stock: 50 * time.Millisecond, Subnets: 50 * time.Millisecond, Retry: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Start(...): %v", err)
		}
	})
	return f
}

func ackOffering(types ...string) *fleetv1alpha1.Offering {
	return &fleetv1alpha1.Offering{
		Name: "ack", Region: "cn-hangzhou", InstanceTypes: types, HourlyPrice: resource.MustParse("1"),
		Source: &fleetv1alpha1.OfferingSource{Cloud: fleetv1alpha1.CloudACK, ProviderConfigKind: "ProviderConfig", ProviderConfigName: "aliyun", VPCID: "vpc-1", Subnets: []string{"vsw-1", "vsw-2"}},
	}
}

func tkeOffering(types ...string) *fleetv1alpha1.Offering {
	return &fleetv1alpha1.Offering{
		Name: "tke", Region: "ap-guangzhou", InstanceTypes: types, HourlyPrice: resource.MustParse("1"),
		Source: &fleetv1alpha1.OfferingSource{Cloud: fleetv1alpha1.CloudTKE, ProviderConfigKind: "ProviderConfig", ProviderConfigName: "tencent", VPCID: "vpc-gz1", Subnets: []string{"subnet-gz1"}},
	}
}

func TestFeedOfClouds(t *testing.T) {
	type want struct {
		Priced      bool
		Price       float64
		Unavailable bool
		Message     string
	}
	cases := map[string]struct {
		reason  string
		prepare func(t *testing.T, s *simtest.Sim)
		o       *fleetv1alpha1.Offering
		want    want
	}{
		"ACK": {reason: "Alibaba Cloud tells a price", o: ackOffering("ecs.g7.xlarge"), want: want{Priced: true, Price: 0.96}},
		"TKE": {reason: "So does Tencent Cloud", o: tkeOffering("S5.LARGE8"), want: want{Priced: true}},
		"Spot": {reason: "Spot has a price of its own", o: func() *fleetv1alpha1.Offering {
			o := ackOffering("ecs.g7.xlarge")
			o.CapacityType = v1alpha1.CapacitySpot
			return o
		}(), want: want{Priced: true, Price: 0.24}},
		"SoldOut": {
			reason: "What is sold out everywhere is unavailable", o: ackOffering("ecs.g7.xlarge"),
			prepare: func(t *testing.T, s *simtest.Sim) {
				t.Helper()
				for _, z := range []string{"cn-hangzhou-h", "cn-hangzhou-i"} {
					if err := s.Admin.SetStock(t.Context(), stock.Item{Key: stock.Key{Region: "cn-hangzhou", Zone: z, Type: "ecs.g7.xlarge"}}); err != nil {
						t.Fatal(err)
					}
				}
			},
			want: want{Unavailable: true, Message: "ecs.g7.xlarge is sold out"},
		},
		"ACKUnknown": {reason: "An unknown type is named", o: ackOffering("ecs.none.large"), want: want{Unavailable: true, Message: "does not sell ecs.none.large"}},
		"TKEUnknown": {reason: "By both", o: tkeOffering("NONE"), want: want{Unavailable: true, Message: "does not sell NONE"}},
		"TKESubnet": {reason: "A subnet that is not there is named", o: func() *fleetv1alpha1.Offering {
			o := tkeOffering("S5.LARGE8")
			o.Source.Subnets = []string{"subnet-none"}
			return o
		}(), want: want{Unavailable: true, Message: "subnet subnet-none is not in VPC vpc-gz1"}},
		"Hundredfold": {
			reason: "A wrong feed is not believed", o: ackOffering("ecs.g7.xlarge"),
			prepare: func(t *testing.T, s *simtest.Sim) {
				t.Helper()
				if _, err := s.Admin.SetFault(t.Context(), faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "100"}}); err != nil {
					t.Fatal(err)
				}
			},
			want: want{Message: "not believed"},
		},
		"Credentials": {reason: "What is wrong with the account is said", o: func() *fleetv1alpha1.Offering {
			o := ackOffering("ecs.g7.xlarge")
			o.Source.ProviderConfigName = "other"
			return o
		}(), want: want{Message: `there is no ProviderConfig "other"`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := start(t, func(s *simtest.Sim) {
				if tc.prepare != nil {
					tc.prepare(t, s)
				}
			})
			var diff string
			for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				a := f.Ask(asker, tc.o).Market
				got := want{Unavailable: a.Unavailable, Message: a.Message}
				if tc.want.Priced || !tc.want.Unavailable {
					got.Priced = a.HourlyPrice != nil
				}
				if a.HourlyPrice != nil && tc.want.Price > 0 {
					got.Price = math.Round(a.HourlyPrice.AsApproximateFloat64()*1e4) / 1e4
				}
				if tc.want.Message != "" && strings.Contains(a.Message, tc.want.Message) {
					got.Message = tc.want.Message
				}
				if diff = cmp.Diff(tc.want, got); diff == "" {
					return
				}
			}
			t.Errorf("\nReason: %s\nAsk(...): -want, +got:\n%s", tc.reason, diff)
		})
	}
}

// TestPodPrices: Alibaba Cloud tells what pods on virtual nodes cost, Tencent
// Cloud does not.
func TestPodPrices(t *testing.T) {
	virtual := func(o *fleetv1alpha1.Offering) *fleetv1alpha1.Offering {
		o.Virtual = &fleetv1alpha1.VirtualCapacity{CPUHour: resource.MustParse("0.35"), MemoryGiBHour: resource.MustParse("0.04")}
		return o
	}
	f := start(t, func(s *simtest.Sim) {
		if err := s.Admin.SetPrice(t.Context(), stock.Price{Key: stock.Key{Type: config.ECIType}, Factor: 2}); err != nil {
			t.Fatal(err)
		}
	})
	ack, tke := virtual(ackOffering()), virtual(tkeOffering())
	var m fleetv1alpha1.OfferingMarket
	for deadline := time.Now().Add(10 * time.Second); m.CPUHour == nil && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		f.Ask(asker, tke)
		m = f.Ask(asker, ack).Market
	}
	if m.CPUHour == nil || m.MemoryGiBHour == nil || m.PricedAt == nil || m.Message != "" {
		t.Fatalf("Ask(...): no price of pods: %+v", m)
	}
	got := []float64{m.CPUHour.AsApproximateFloat64(), m.MemoryGiBHour.AsApproximateFloat64()}
	if diff := cmp.Diff([]float64{0.3, 0.075}, got, cmpopts.EquateApprox(0, 1e-5)); diff != "" {
		t.Errorf("\nReason: two sizes tell what a vCPU and a GiB cost\nAsk(...): -want, +got:\n%s", diff)
	}
	a := f.Ask(asker, tke)
	for deadline := time.Now().Add(10 * time.Second); a.Subnets.IsZero() && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		a = f.Ask(asker, tke)
	}
	if a.Subnets.IsZero() || a.Market.CPUHour != nil || a.Market.Message != "" {
		t.Errorf("\nReason: where the cloud has no such call the declared prices count, and nobody is blamed\nAsk(...): %+v", a)
	}
}
