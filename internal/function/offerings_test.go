package function

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

func resources(kv ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(kv); i += 2 {
		l[corev1.ResourceName(kv[i])] = resource.MustParse(kv[i+1])
	}
	return l
}

func TestOffering(t *testing.T) {
	ref := platformv1alpha1.ProviderConfigReference{Name: "cloud"}
	flannel := platformv1alpha1.ElasticCluster{Name: "ack", ProviderConfigRef: ref, ACK: &platformv1alpha1.ACKCluster{Region: "cn-shanghai", VPCID: "vpc-1", VSwitchIDs: []string{"vsw-1"}}}
	terway := *flannel.DeepCopy()
	terway.ACK.PodVSwitchIDs = []string{"vsw-2"}
	router := platformv1alpha1.ElasticCluster{Name: "tke", ProviderConfigRef: ref, TKE: &platformv1alpha1.TKECluster{Region: "ap-guangzhou", VPCID: "vpc-2", SubnetIDs: []string{"subnet-1", "subnet-2"}}}
	labels := func(arch string) map[string]string {
		l := map[string]string{"regionpool.io/offering": "ack-a", "topology.kubernetes.io/region": "cn-shanghai", "kubernetes.io/os": "linux"}
		if arch != "" {
			l["kubernetes.io/arch"] = arch
		}
		return l
	}
	// ack is an offering of the cluster in ACK, which differs from case to case.
	ack := func(m func(o *fleetv1alpha1.Offering)) fleetv1alpha1.Offering {
		o := fleetv1alpha1.Offering{
			Name: "ack-a", Member: "ack", Region: "cn-shanghai", CapacityType: "OnDemand", StartSeconds: 90, Max: 3,
			Source: &fleetv1alpha1.OfferingSource{Cloud: "ACK", ProviderConfigKind: "ClusterProviderConfig", ProviderConfigName: "cloud", VPCID: "vpc-1", Subnets: []string{"vsw-1"}},
		}
		m(&o)
		return o
	}
	type want struct {
		o    fleetv1alpha1.Offering
		errs []string
	}
	cases := map[string]struct {
		reason  string
		cluster platformv1alpha1.ElasticCluster
		pool    platformv1alpha1.ElasticNodePool
		want    want
	}{
		"OneType": {
			reason:  "Size and price follow from the type.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.g7.4xlarge"}, Min: 1, Max: 3},
			want: want{o: ack(func(o *fleetv1alpha1.Offering) {
				o.InstanceTypes = []string{"ecs.g7.4xlarge"}
				o.InstanceType = "ecs.g7.4xlarge"
				o.Labels = labels("amd64")
				o.Min = 1
				o.Allocatable = resources("cpu", "15400m", "memory", "55672Mi", "pods", "118", "ephemeral-storage", "90Gi")
				o.HourlyPrice = resource.MustParse("4032m")
			})},
		},
		"Mixed": {
			reason:  "Pods must fit on the smallest, the cap must hold for the dearest, and no architecture is promised.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.c7.4xlarge", "ecs.r8y.2xlarge"}, Max: 3},
			want: want{o: ack(func(o *fleetv1alpha1.Offering) {
				o.InstanceTypes = []string{"ecs.c7.4xlarge", "ecs.r8y.2xlarge"}
				o.InstanceType = "ecs.r8y.2xlarge"
				o.Labels = labels("")
				o.Allocatable = resources("cpu", "7600m", "memory", "26718Mi", "pods", "118", "ephemeral-storage", "90Gi")
				o.HourlyPrice = resource.MustParse("3136m")
			})},
		},
		"Terway": {
			reason:  "The network decides how many pods fit.",
			cluster: terway,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.c7.xlarge"}, Max: 3},
			want: want{o: ack(func(o *fleetv1alpha1.Offering) {
				o.InstanceTypes = []string{"ecs.c7.xlarge"}
				o.InstanceType = "ecs.c7.xlarge"
				o.Labels = labels("amd64")
				o.Allocatable = resources("cpu", "3700m", "memory", "5399Mi", "pods", "20", "ephemeral-storage", "90Gi")
				o.HourlyPrice = resource.MustParse("784m")
			})},
		},
		"Explicit": {
			reason:  "Capacity and price of the claim make any type known.",
			cluster: flannel,
			pool: platformv1alpha1.ElasticNodePool{
				Name: "a", InstanceTypes: []string{"ecs.new9.huge"}, Max: 3,
				Capacity: resources("cpu", "8", "memory", "32Gi"), HourlyPrice: ptr.To(resource.MustParse("7")),
			},
			want: want{o: ack(func(o *fleetv1alpha1.Offering) {
				o.InstanceTypes = []string{"ecs.new9.huge"}
				o.InstanceType = "ecs.new9.huge"
				o.Labels = labels("")
				o.Allocatable = resources("cpu", "7600m", "memory", "26718Mi", "pods", "118", "ephemeral-storage", "90Gi")
				o.HourlyPrice = resource.MustParse("7")
			})},
		},
		"EstimatedFromCapacity": {
			reason:  "Without a price it is estimated from the capacity.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.new9.huge"}, Max: 3, Capacity: resources("cpu", "8", "memory", "32Gi")},
			want: want{o: ack(func(o *fleetv1alpha1.Offering) {
				o.InstanceTypes = []string{"ecs.new9.huge"}
				o.InstanceType = "ecs.new9.huge"
				o.Labels = labels("")
				o.Allocatable = resources("cpu", "7600m", "memory", "26718Mi", "pods", "118", "ephemeral-storage", "90Gi")
				o.HourlyPrice = resource.MustParse("2016m")
			})},
		},
		"Spot": {
			reason:  "Spot is cheaper; subnets and zones of the pool come first.",
			cluster: flannel,
			pool: platformv1alpha1.ElasticNodePool{
				Name: "a", InstanceTypes: []string{"ecs.g7.4xlarge"}, CapacityType: "Spot", Max: 3, Subnets: []string{"vsw-3", "vsw-4"}, Zones: []string{"cn-shanghai-b", "cn-shanghai-b"},
			},
			want: want{o: ack(func(o *fleetv1alpha1.Offering) {
				o.InstanceType, o.InstanceTypes = "ecs.g7.4xlarge", []string{"ecs.g7.4xlarge"}
				o.CapacityType = "Spot"
				o.Source.Subnets, o.Zones = []string{"vsw-3", "vsw-4"}, []string{"cn-shanghai-b"}
				o.Labels = labels("amd64")
				o.Labels["topology.kubernetes.io/zone"] = "cn-shanghai-b"
				o.Allocatable = resources("cpu", "15400m", "memory", "55672Mi", "pods", "118", "ephemeral-storage", "90Gi")
				o.HourlyPrice = resource.MustParse("1613m")
			})},
		},
		"TKE": {
			reason:  "TKE has its own types, formula and labels.",
			cluster: router,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"S5.4XLARGE64", "SA3.4XLARGE64"}, Subnets: []string{"subnet-1"}, Zones: []string{"ap-guangzhou-3"}, Max: 3},
			want: want{o: fleetv1alpha1.Offering{
				Name: "tke-a", Member: "tke", Region: "ap-guangzhou", CapacityType: "OnDemand", StartSeconds: 90, Max: 3,
				InstanceType: "S5.4XLARGE64", InstanceTypes: []string{"S5.4XLARGE64", "SA3.4XLARGE64"}, Zones: []string{"ap-guangzhou-3"},
				Source: &fleetv1alpha1.OfferingSource{Cloud: "TKE", ProviderConfigKind: "ClusterProviderConfig", ProviderConfigName: "cloud", VPCID: "vpc-2", Subnets: []string{"subnet-1"}},
				Labels: map[string]string{
					"regionpool.io/offering": "tke-a", "topology.kubernetes.io/region": "gz", "topology.kubernetes.io/zone": "100003",
					"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
				},
				Allocatable: resources("cpu", "15400m", "memory", "55872Mi", "pods", "51", "ephemeral-storage", "70Gi"),
				HourlyPrice: resource.MustParse("3680m"),
			}},
		},
		"UnknownTKEType": {
			reason:  "A type of TKE that is not known is refused alike.",
			cluster: router,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"S5.HUGE64"}, Max: 3},
			want:    want{errs: []string{"at.instanceTypes[0]"}},
		},
		"OtherCloud": {
			reason:  "What is of the other cloud is told, also if its size is given.",
			cluster: router,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.g7.large"}, Subnets: []string{"vsw-1"}, Capacity: resources("cpu", "2", "memory", "8Gi"), Max: 3},
			want:    want{errs: []string{"at.subnets[0]", "at.instanceTypes[0]"}},
		},
		"UnknownZone": {
			reason:  "A zone is one of the region.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.g7.large"}, Subnets: []string{"vsw-1", "vsw-2", "vsw-3"}, Zones: []string{"cn-shanghai-b", "cn-hangzhou-h", "cn-shanghai"}, Max: 3},
			want:    want{errs: []string{"at.zones[1]", "at.zones[2]"}},
		},
		"ZonesAndSubnets": {
			reason:  "There is a zone for each subnet.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.g7.large"}, Subnets: []string{"vsw-1"}, Zones: []string{"cn-shanghai-a", "cn-shanghai-b"}, Max: 3},
			want:    want{errs: []string{"at.zones"}},
		},
		"ZonesAndSubnetsOfTheCluster": {
			reason:  "Also if the subnets are those of the cluster.",
			cluster: router,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"S5.LARGE8"}, Zones: []string{"ap-guangzhou-3"}, Max: 3},
			want:    want{errs: []string{"at.zones"}},
		},
		"Incomplete": {
			reason:  "Half a capacity makes no unknown type known.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.g7.large", "ecs.new9.huge"}, Max: 3, Capacity: resources("cpu", "2")},
			want:    want{errs: []string{"at.instanceTypes[1]"}},
		},
		"NoPrice": {
			reason:  "A price of 0 would make every cap void.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.g7.large"}, Max: 3, HourlyPrice: ptr.To(resource.MustParse("0"))},
			want:    want{errs: []string{"at.hourlyPrice"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v, ok := vendorOf(tc.cluster)
			if !ok {
				t.Fatal("vendorOf(...): no vendor")
			}
			o, errs := v.offering(tc.cluster, tc.pool, field.NewPath("at"))
			var got []string
			for _, err := range errs {
				got = append(got, err.Field)
			}
			if diff := cmp.Diff(tc.want.errs, got); diff != "" {
				t.Fatalf("\nReason: %s\noffering(...): -want errors, +got:\n%s", tc.reason, diff)
			}
			if len(errs) > 0 {
				return
			}
			if diff := cmp.Diff(tc.want.o, o); diff != "" {
				t.Errorf("\nReason: %s\noffering(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestVirtual(t *testing.T) {
	ref := platformv1alpha1.ProviderConfigReference{Kind: "ProviderConfig", Name: "cloud"}
	ack := platformv1alpha1.ElasticCluster{Name: "ack", ProviderConfigRef: ref, ACK: &platformv1alpha1.ACKCluster{Region: "cn-shanghai", VPCID: "vpc-1", VSwitchIDs: []string{"vsw-1"}}}
	tke := platformv1alpha1.ElasticCluster{Name: "tke", ProviderConfigRef: ref, TKE: &platformv1alpha1.TKECluster{Region: "ap-guangzhou", VPCID: "vpc-2", SubnetIDs: []string{"subnet-1"}}}
	type want struct {
		o    fleetv1alpha1.Offering
		errs []string
	}
	cases := map[string]struct {
		reason  string
		cluster platformv1alpha1.ElasticCluster
		virtual platformv1alpha1.VirtualNodes
		want    want
	}{
		"ACK": {
			reason:  "Virtual nodes of ACK are known by the label of virtual-kubelet, and have the prices of ECI.",
			cluster: ack,
			virtual: platformv1alpha1.VirtualNodes{MaxPods: 100},
			want: want{o: fleetv1alpha1.Offering{
				Name: "ack-virtual", Member: "ack", CapacityType: "OnDemand", StartSeconds: 15, Region: "cn-shanghai", Max: 100,
				Source:      &fleetv1alpha1.OfferingSource{Cloud: "ACK", ProviderConfigKind: "ProviderConfig", ProviderConfigName: "cloud", VPCID: "vpc-1", Subnets: []string{"vsw-1"}},
				Allocatable: resources("cpu", "16", "memory", "64Gi"),
				Labels:      map[string]string{"type": "virtual-kubelet", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/region": "cn-shanghai"},
				Taints:      []corev1.Taint{{Key: "virtual-kubelet.io/provider", Value: "alibabacloud", Effect: "NoSchedule"}},
				HourlyPrice: resource.MustParse("4234752u"),
				Virtual: &fleetv1alpha1.VirtualCapacity{
					NodeLabels:  map[string]string{"type": "virtual-kubelet"},
					Tolerations: []corev1.Toleration{{Key: "virtual-kubelet.io/provider", Operator: "Equal", Value: "alibabacloud", Effect: "NoSchedule"}},
					CPUHour:     resource.MustParse("176400u"), MemoryGiBHour: resource.MustParse("22068u"), Moves: "WhenCheaper",
				},
			}},
		},
		"TKE": {
			reason:  "Super nodes carry our label; the claim may give name, prices, subnets and a largest pod with a GPU.",
			cluster: tke,
			virtual: platformv1alpha1.VirtualNodes{
				Name: "fast", MaxPods: 5, Subnets: []string{"subnet-2"}, Moves: "Never", LargestPod: resources("nvidia.com/gpu", "1", "cpu", "8"),
				CPUHour: ptr.To(resource.MustParse("0.2")), MemoryGiBHour: ptr.To(resource.MustParse("0.1")),
			},
			want: want{o: fleetv1alpha1.Offering{
				Name: "tke-fast", Member: "tke", CapacityType: "OnDemand", StartSeconds: 15, Region: "ap-guangzhou", Max: 5,
				Source:      &fleetv1alpha1.OfferingSource{Cloud: "TKE", ProviderConfigKind: "ProviderConfig", ProviderConfigName: "cloud", VPCID: "vpc-2", Subnets: []string{"subnet-2"}},
				Allocatable: resources("cpu", "8", "memory", "64Gi", "nvidia.com/gpu", "1"),
				Labels: map[string]string{
					"regionpool.io/offering": "tke-fast", "node.kubernetes.io/instance-type": "eklet",
					"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/region": "gz",
				},
				Taints:      []corev1.Taint{{Key: "eks.tke.cloud.tencent.com/eklet", Effect: "NoSchedule"}},
				HourlyPrice: resource.MustParse("28"),
				Virtual: &fleetv1alpha1.VirtualCapacity{
					NodeLabels:  map[string]string{"regionpool.io/offering": "tke-fast"},
					Tolerations: []corev1.Toleration{{Key: "eks.tke.cloud.tencent.com/eklet", Operator: "Exists", Effect: "NoSchedule"}},
					CPUHour:     resource.MustParse("0.2"), MemoryGiBHour: resource.MustParse("0.1"), GPUHour: ptr.To(resource.MustParse("20")), Moves: "Never",
				},
			}},
		},
		"Bad": {
			reason:  "Prices and sizes are above 0, subnets of this cloud.",
			cluster: tke,
			virtual: platformv1alpha1.VirtualNodes{MaxPods: 5, Subnets: []string{"vsw-1"}, LargestPod: resources("cpu", "0"), CPUHour: ptr.To(resource.MustParse("0")), MemoryGiBHour: ptr.To(resource.MustParse("-1"))},
			want:    want{errs: []string{"at.subnets[0]", "at.largestPod", "at.cpuHour", "at.memoryGiBHour"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.cluster.VirtualNodes = &tc.virtual
			v, _ := vendorOf(tc.cluster)
			o, errs := v.virtual(tc.cluster, field.NewPath("at"))
			var got []string
			for _, err := range errs {
				got = append(got, err.Field)
			}
			if diff := cmp.Diff(tc.want.errs, got); diff != "" {
				t.Fatalf("\nReason: %s\nvirtual(...): -want errors, +got:\n%s", tc.reason, diff)
			}
			if len(errs) > 0 {
				return
			}
			if diff := cmp.Diff(tc.want.o, o, cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })); diff != "" {
				t.Errorf("\nReason: %s\nvirtual(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestLevel(t *testing.T) {
	e := platformv1alpha1.ElasticCluster{Name: "tke", TKE: &platformv1alpha1.TKECluster{Region: "ap-guangzhou", Level: "L5", SubnetIDs: []string{"subnet-1"}}}
	e.NodePools = []platformv1alpha1.ElasticNodePool{{Name: "a", InstanceTypes: []string{"S5.LARGE8"}, Max: 3}, {Name: "b", InstanceTypes: []string{"S5.LARGE8"}, Max: 3}}
	_, errs := offeringsOf(e, field.NewPath("at"))
	if len(errs) != 1 || errs[0].Field != "at.tke.level" {
		t.Errorf("offeringsOf(...): want an error at the level that six nodes exceed, got %v", errs.ToAggregate())
	}
	if _, errs = offeringsOf(platformv1alpha1.ElasticCluster{Name: "none"}, field.NewPath("at")); len(errs) != 1 {
		t.Errorf("offeringsOf(...): want an error for a cluster in no cloud, got %v", errs.ToAggregate())
	}
}
