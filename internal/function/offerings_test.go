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
	flannel := platformv1alpha1.ElasticCluster{Name: "ack", ACK: platformv1alpha1.ACKCluster{Region: "cn-shanghai"}}
	terway := platformv1alpha1.ElasticCluster{Name: "ack", ACK: platformv1alpha1.ACKCluster{Region: "cn-shanghai", PodVSwitchIDs: []string{"vsw-1"}}}
	labels := func(arch string) map[string]string {
		l := map[string]string{"regionpool.io/offering": "ack-a", "topology.kubernetes.io/region": "cn-shanghai", "kubernetes.io/os": "linux"}
		if arch != "" {
			l["kubernetes.io/arch"] = arch
		}
		return l
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
			want: want{o: fleetv1alpha1.Offering{
				Name: "ack-a", Member: "ack", InstanceType: "ecs.g7.4xlarge", Region: "cn-shanghai", Labels: labels("amd64"), Min: 1, Max: 3,
				Allocatable: resources("cpu", "15400m", "memory", "55672Mi", "pods", "118", "ephemeral-storage", "90Gi"),
				HourlyPrice: resource.MustParse("4032m"),
			}},
		},
		"Mixed": {
			reason:  "Pods must fit on the smallest, the cap must hold for the dearest, and no architecture is promised.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.c7.4xlarge", "ecs.r8y.2xlarge"}, Max: 3},
			want: want{o: fleetv1alpha1.Offering{
				Name: "ack-a", Member: "ack", InstanceType: "ecs.r8y.2xlarge", Region: "cn-shanghai", Labels: labels(""), Max: 3,
				Allocatable: resources("cpu", "7600m", "memory", "26718Mi", "pods", "118", "ephemeral-storage", "90Gi"),
				HourlyPrice: resource.MustParse("3136m"),
			}},
		},
		"Terway": {
			reason:  "The network decides how many pods fit.",
			cluster: terway,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.c7.xlarge"}, Max: 3},
			want: want{o: fleetv1alpha1.Offering{
				Name: "ack-a", Member: "ack", InstanceType: "ecs.c7.xlarge", Region: "cn-shanghai", Labels: labels("amd64"), Max: 3,
				Allocatable: resources("cpu", "3700m", "memory", "5399Mi", "pods", "20", "ephemeral-storage", "90Gi"),
				HourlyPrice: resource.MustParse("784m"),
			}},
		},
		"Explicit": {
			reason:  "Capacity and price of the claim make any type known.",
			cluster: flannel,
			pool: platformv1alpha1.ElasticNodePool{
				Name: "a", InstanceTypes: []string{"ecs.new9.huge"}, Max: 3,
				Capacity: resources("cpu", "8", "memory", "32Gi"), HourlyPrice: ptr.To(resource.MustParse("7")),
			},
			want: want{o: fleetv1alpha1.Offering{
				Name: "ack-a", Member: "ack", InstanceType: "ecs.new9.huge", Region: "cn-shanghai", Labels: labels(""), Max: 3,
				Allocatable: resources("cpu", "7600m", "memory", "26718Mi", "pods", "118", "ephemeral-storage", "90Gi"),
				HourlyPrice: resource.MustParse("7"),
			}},
		},
		"EstimatedFromCapacity": {
			reason:  "Without a price it is estimated from the capacity.",
			cluster: flannel,
			pool:    platformv1alpha1.ElasticNodePool{Name: "a", InstanceTypes: []string{"ecs.new9.huge"}, Max: 3, Capacity: resources("cpu", "8", "memory", "32Gi")},
			want: want{o: fleetv1alpha1.Offering{
				Name: "ack-a", Member: "ack", InstanceType: "ecs.new9.huge", Region: "cn-shanghai", Labels: labels(""), Max: 3,
				Allocatable: resources("cpu", "7600m", "memory", "26718Mi", "pods", "118", "ephemeral-storage", "90Gi"),
				HourlyPrice: resource.MustParse("2016m"),
			}},
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
			o, errs := offering(tc.cluster, tc.pool, field.NewPath("at"))
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
