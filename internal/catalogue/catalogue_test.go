package catalogue

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestECS(t *testing.T) {
	type want struct {
		i   Instance
		err error
	}
	cases := map[string]struct {
		reason string
		typ    string
		want   want
	}{
		"GeneralPurpose": {
			reason: "g is 1:4 and 4xlarge is 16 vCPUs.",
			typ:    "ecs.g7.4xlarge",
			want:   want{i: Instance{Type: "ecs.g7.4xlarge", Arch: "amd64", CPU: 16, MemoryGiB: 64}},
		},
		"ComputeOptimised": {
			reason: "c is 1:2 and large is 2 vCPUs.",
			typ:    "ecs.c7.large",
			want:   want{i: Instance{Type: "ecs.c7.large", Arch: "amd64", CPU: 2, MemoryGiB: 4}},
		},
		"MemoryOptimised": {
			reason: "r is 1:8 and xlarge is 4 vCPUs; a is a variety.",
			typ:    "ecs.r7a.xlarge",
			want:   want{i: Instance{Type: "ecs.r7a.xlarge", Arch: "amd64", CPU: 4, MemoryGiB: 32}},
		},
		"ARM": {
			reason: "The variety y is ARM.",
			typ:    "ecs.c8y.2xlarge",
			want:   want{i: Instance{Type: "ecs.c8y.2xlarge", Arch: "arm64", CPU: 8, MemoryGiB: 16}},
		},
		"HighFrequency": {
			reason: "hfr has the ratio of r.",
			typ:    "ecs.hfr7.2xlarge",
			want:   want{i: Instance{Type: "ecs.hfr7.2xlarge", Arch: "amd64", CPU: 8, MemoryGiB: 64}},
		},
		"OldName": {
			reason: "sn2 was the name of g.",
			typ:    "ecs.sn2ne.xlarge",
			want:   want{i: Instance{Type: "ecs.sn2ne.xlarge", Arch: "amd64", CPU: 4, MemoryGiB: 16}},
		},
		"RatioInName": {
			reason: "Shared families carry their ratio.",
			typ:    "ecs.u1-c1m4.2xlarge",
			want:   want{i: Instance{Type: "ecs.u1-c1m4.2xlarge", Arch: "amd64", CPU: 8, MemoryGiB: 32}},
		},
		"GPU": {
			reason: "GPU types come from a table.",
			typ:    "ecs.gn7i-c32g1.16xlarge",
			want:   want{i: Instance{Type: "ecs.gn7i-c32g1.16xlarge", Arch: "amd64", CPU: 64, MemoryGiB: 376, GPUs: 2, gpu: "A10"}},
		},
		"UnknownGPU":     {reason: "A GPU type that is not in the table is not guessed.", typ: "ecs.gn9z-c1g1.xlarge", want: want{err: cmpopts.AnyError}},
		"UnknownFamily":  {reason: "A family without a known ratio is not guessed.", typ: "ecs.i4.xlarge", want: want{err: cmpopts.AnyError}},
		"UnknownSize":    {reason: "small shares a vCPU.", typ: "ecs.g7.small", want: want{err: cmpopts.AnyError}},
		"ImpossibleSize": {reason: "No machine is that large.", typ: "ecs.g7.9999999999999999999xlarge", want: want{err: cmpopts.AnyError}},
		"NotECS":         {reason: "Other vendors' names are refused.", typ: "S5.MEDIUM4", want: want{err: cmpopts.AnyError}},
		"Empty":          {reason: "The empty name is refused.", typ: "", want: want{err: cmpopts.AnyError}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ECS(tc.typ)
			if diff := cmp.Diff(tc.want.err, err, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nECS(%q): -want error, +got error:\n%s", tc.reason, tc.typ, diff)
			}
			if diff := cmp.Diff(tc.want.i, got, cmp.AllowUnexported(Instance{}), cmpopts.IgnoreFields(Instance{}, "rates")); diff != "" {
				t.Errorf("\nReason: %s\nECS(%q): -want, +got:\n%s", tc.reason, tc.typ, diff)
			}
		})
	}
}

func list(kv ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(kv); i += 2 {
		l[corev1.ResourceName(kv[i])] = resource.MustParse(kv[i+1])
	}
	return l
}

func mustCVM(name string) Instance {
	i, err := CVM(name)
	if err != nil {
		panic(err)
	}
	return i
}

func TestCVM(t *testing.T) {
	type want struct {
		i   Instance
		err error
	}
	cases := map[string]struct {
		reason string
		typ    string
		want   want
	}{
		"Standard":         {reason: "The size carries vCPUs and memory.", typ: "S5.4XLARGE64", want: want{i: Instance{Type: "S5.4XLARGE64", Arch: "amd64", CPU: 16, MemoryGiB: 64}}},
		"Medium":           {reason: "MEDIUM has 2 vCPUs.", typ: "S6.MEDIUM4", want: want{i: Instance{Type: "S6.MEDIUM4", Arch: "amd64", CPU: 2, MemoryGiB: 4}}},
		"Large":            {reason: "LARGE has 4 vCPUs.", typ: "SA3.LARGE16", want: want{i: Instance{Type: "SA3.LARGE16", Arch: "amd64", CPU: 4, MemoryGiB: 16}}},
		"ComputeOptimised": {reason: "C is a family.", typ: "C6.2XLARGE16", want: want{i: Instance{Type: "C6.2XLARGE16", Arch: "amd64", CPU: 8, MemoryGiB: 16}}},
		"MemoryOptimised":  {reason: "M is a family.", typ: "M6.2XLARGE64", want: want{i: Instance{Type: "M6.2XLARGE64", Arch: "amd64", CPU: 8, MemoryGiB: 64}}},
		"Variety":          {reason: "A family may have a variety.", typ: "S5se.2XLARGE32", want: want{i: Instance{Type: "S5se.2XLARGE32", Arch: "amd64", CPU: 8, MemoryGiB: 32}}},
		"ARM":              {reason: "SR is the family of ARM machines.", typ: "SR1.2XLARGE32", want: want{i: Instance{Type: "SR1.2XLARGE32", Arch: "arm64", CPU: 8, MemoryGiB: 32}}},
		"GPU":              {reason: "GPU types come from a table.", typ: "GN7.2XLARGE32", want: want{i: Instance{Type: "GN7.2XLARGE32", Arch: "amd64", CPU: 8, MemoryGiB: 32, GPUs: 1, gpu: "T4"}}},
		"UnknownGPU":       {reason: "A GPU type that is not in the table is not guessed.", typ: "GN7.LARGE20", want: want{err: cmpopts.AnyError}},
		"Small":            {reason: "One vCPU cannot hold a node's own components.", typ: "S5.SMALL2", want: want{err: cmpopts.AnyError}},
		"Slip":             {reason: "No machine has 640 GiB with 16 vCPUs.", typ: "S5.4XLARGE640", want: want{err: cmpopts.AnyError}},
		"ImpossibleSize":   {reason: "No machine is that large.", typ: "S5.999XLARGE9999", want: want{err: cmpopts.AnyError}},
		"UnknownFamily":    {reason: "A family that is not known is not guessed.", typ: "Q9.LARGE8", want: want{err: cmpopts.AnyError}},
		"NotCVM":           {reason: "Other vendors' names are refused.", typ: "ecs.g7.4xlarge", want: want{err: cmpopts.AnyError}},
		"Empty":            {reason: "The empty name is refused.", typ: "", want: want{err: cmpopts.AnyError}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := CVM(tc.typ)
			if diff := cmp.Diff(tc.want.err, err, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nCVM(%q): -want error, +got error:\n%s", tc.reason, tc.typ, diff)
			}
			if diff := cmp.Diff(tc.want.i, got, cmp.AllowUnexported(Instance{}), cmpopts.IgnoreFields(Instance{}, "rates")); diff != "" {
				t.Errorf("\nReason: %s\nCVM(%q): -want, +got:\n%s", tc.reason, tc.typ, diff)
			}
		})
	}
}

func TestTKELabels(t *testing.T) {
	for zone, want := range map[string]string{
		"ap-guangzhou-3": "100003", "ap-shanghai-2": "200002", "ap-nanjing-1": "330001", "ap-beijing-7": "800007",
		"ap-atlantis-1": "", "ap-guangzhou": "", "": "", "ap-guangzhou-x": "",
	} {
		if got := TKEZoneLabel(zone); got != want {
			t.Errorf("TKEZoneLabel(%q): want %q, got %q", zone, want, got)
		}
	}
	if got := TKERegionLabel("ap-guangzhou"); got != "gz" {
		t.Errorf("TKERegionLabel(...): want gz, got %q", got)
	}
	if got := TKELevelNodes("L20"); got != 20 {
		t.Errorf("TKELevelNodes(...): want 20, got %d", got)
	}
}

func TestTKEAllocatable(t *testing.T) {
	cases := map[string]struct {
		reason   string
		capacity corev1.ResourceList
		network  Network
		want     corev1.ResourceList
	}{
		"GlobalRouter": {
			reason:   "A range of 64 addresses holds 61 pods, ten of them the system's.",
			capacity: list("cpu", "16", "memory", "64Gi"),
			network:  Network{MaxPods: 64},
			want:     list("cpu", "15400m", "memory", "55872Mi", "pods", "51", "ephemeral-storage", "70Gi"),
		},
		"Large": {
			reason:   "Beyond 128 vCPUs little is reserved.",
			capacity: list("cpu", "228", "memory", "8Gi", "pods", "100"),
			network:  Network{MaxPods: 256},
			want:     list("cpu", "224900m", "memory", "5599Mi", "pods", "90", "ephemeral-storage", "70Gi"),
		},
		"VPC-CNI": {
			reason:   "With VPC-CNI the pods follow the size of the machine.",
			capacity: list("cpu", "4", "memory", "16Gi"),
			want:     list("cpu", "3700m", "memory", "12480Mi", "pods", "20", "ephemeral-storage", "70Gi"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Tencent.Allocatable(tc.capacity, tc.network)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nAllocatable(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestACKAllocatable(t *testing.T) {
	cases := map[string]struct {
		reason   string
		capacity corev1.ResourceList
		network  Network
		want     corev1.ResourceList
	}{
		"Documented": {
			reason:   "ACK documents 3900m and 5824732Ki (5688Mi) for 4 vCPUs and 8 GiB; ours is that minus the DaemonSets' 200m and 256Mi, and not above it.",
			capacity: list("cpu", "4", "memory", "8Gi"),
			network:  Network{NodeCIDRMask: 25},
			want:     list("cpu", "3700m", "memory", "5399Mi", "pods", "118", "ephemeral-storage", "90Gi"),
		},
		"Large": {
			reason:   "Each step takes its own share.",
			capacity: list("cpu", "104", "memory", "768Gi"),
			network:  Network{NodeCIDRMask: 24},
			want:     list("cpu", "101700m", "memory", "716982Mi", "pods", "246", "ephemeral-storage", "90Gi"),
		},
		"Terway": {
			reason:   "With Terway the pods follow the size of the machine.",
			capacity: list("cpu", "4", "memory", "16Gi"),
			want:     list("cpu", "3700m", "memory", "12280Mi", "pods", "20", "ephemeral-storage", "90Gi"),
		},
		"Explicit": {
			reason:   "Pods, disks and GPUs that the claim names are taken from it.",
			capacity: list("cpu", "8", "memory", "32Gi", "pods", "64", "ephemeral-storage", "500Gi", "nvidia.com/gpu", "1"),
			network:  Network{NodeCIDRMask: 25},
			want:     list("cpu", "7600m", "memory", "26718Mi", "pods", "54", "ephemeral-storage", "500Gi", "nvidia.com/gpu", "1"),
		},
		"Tiny": {
			reason:   "Nothing is left of a machine that is too small; nothing is negative.",
			capacity: list("cpu", "100m", "memory", "128Mi", "pods", "3"),
			want:     list("cpu", "0", "memory", "0", "pods", "0", "ephemeral-storage", "90Gi"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Alibaba.Allocatable(tc.capacity, tc.network)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nAllocatable(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestPrices(t *testing.T) {
	cases := map[string]struct {
		reason string
		got    resource.Quantity
		want   string
	}{
		"Instance":        {reason: "vCPUs and GiB are priced.", got: Instance{CPU: 16, MemoryGiB: 64, rates: alibabaRates}.EstimatedPrice(), want: "4032m"},
		"GPU":             {reason: "The model decides the price of a GPU.", got: Instance{CPU: 4, MemoryGiB: 15, GPUs: 1, gpu: "T4", rates: alibabaRates}.EstimatedPrice(), want: "8980m"},
		"Capacity":        {reason: "A capacity is priced like a machine of that size.", got: Alibaba.EstimatedPrice(list("cpu", "16", "memory", "64Gi")), want: "4032m"},
		"Standard":        {reason: "The basic control plane is free.", got: ACKControlPlanePrice("ack.standard"), want: "0"},
		"Tencent":         {reason: "Each vendor has its own rates.", got: mustCVM("S5.4XLARGE64").EstimatedPrice(), want: "3680m"},
		"TencentCapacity": {reason: "Also for machines that are not known.", got: Tencent.EstimatedPrice(list("cpu", "16", "memory", "64Gi")), want: "3680m"},
		"Spot":            {reason: "Spot is estimated from the price on demand.", got: SpotPrice(resource.MustParse("3681m")), want: "1473m"},
		"ECI":             {reason: "A pod on virtual nodes is billed by its size.", got: ECIPrice().Pod(list("cpu", "2", "memory", "4Gi")), want: "441072u"},
		"SuperNode":       {reason: "So it is on super nodes, and a GPU has its price.", got: SuperNodePrice().Pod(list("cpu", "500m", "memory", "1Gi", "nvidia.com/gpu", "1")), want: "20110m"},
		"Level":           {reason: "A level of TKE has its fee.", got: TKEControlPlanePrice("L5"), want: "130m"},
		"NoLevel":         {reason: "A level that is not known counts as the dearest.", got: TKEControlPlanePrice("L9"), want: "20830m"},
		"Pro":             {reason: "The Pro control plane is billed.", got: ACKControlPlanePrice("ack.pro.small"), want: "640m"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if want := resource.MustParse(tc.want); want.Cmp(tc.got) != 0 {
				t.Errorf("\nReason: %s\nwant %s, got %s", tc.reason, tc.want, tc.got.String())
			}
		})
	}
}
