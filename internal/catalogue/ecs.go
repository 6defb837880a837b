package catalogue

import (
	"regexp"
	"strconv"
	"strings"
)

// memoryPerCPU is the GiB of memory for each vCPU, by the letters with which an
// ECS family begins. See "Instance families" in the ECS documentation: c is
// compute optimised (1:2), g general purpose (1:4), r memory optimised (1:8);
// hfc, hfg and hfr are their high-frequency variants; sn1, sn2 and se1 their
// names before generation 5.
var memoryPerCPU = map[string]int64{
	"c": 2, "g": 4, "r": 8,
	"hfc": 2, "hfg": 4, "hfr": 8,
	"sn1": 2, "sn2": 4, "se1": 8,
}

var (
	// A family is letters, a generation, and letters for its variety: g7, c8y,
	// r7a, g5ne, hfc7, sn2ne.
	family = regexp.MustCompile(`^(c|g|r|hfc|hfg|hfr)([0-9]+)([a-z]*)$|^(sn1|sn2|se1)(ne)?$`)

	// Shared families carry their ratio in the name: u1-c1m2 has 2 GiB for
	// each vCPU.
	ratio = regexp.MustCompile(`^(?:u[0-9]+[a-z]*|e|s6|t5|t6)-c1m([0-9]+)$`)

	// large has 2 vCPUs, xlarge 4, Nxlarge 4N.
	size = regexp.MustCompile(`^([0-9]*)xlarge$`)
)

// gpuInstances are types whose size does not follow from their name, from the
// tables of the families gn6i (T4), gn6v (V100), gn6e (V100, 32 GB) and gn7i
// (A10) in the ECS documentation.
var gpuInstances = map[string]Instance{
	"ecs.gn6i-c4g1.xlarge":    {CPU: 4, MemoryGiB: 15, GPUs: 1, gpu: "T4"},
	"ecs.gn6i-c8g1.2xlarge":   {CPU: 8, MemoryGiB: 31, GPUs: 1, gpu: "T4"},
	"ecs.gn6i-c16g1.4xlarge":  {CPU: 16, MemoryGiB: 62, GPUs: 1, gpu: "T4"},
	"ecs.gn6i-c24g1.6xlarge":  {CPU: 24, MemoryGiB: 93, GPUs: 1, gpu: "T4"},
	"ecs.gn6i-c24g1.12xlarge": {CPU: 48, MemoryGiB: 186, GPUs: 2, gpu: "T4"},
	"ecs.gn6i-c24g1.24xlarge": {CPU: 96, MemoryGiB: 372, GPUs: 4, gpu: "T4"},
	"ecs.gn6v-c8g1.2xlarge":   {CPU: 8, MemoryGiB: 32, GPUs: 1, gpu: "V100"},
	"ecs.gn6v-c8g1.8xlarge":   {CPU: 32, MemoryGiB: 128, GPUs: 4, gpu: "V100"},
	"ecs.gn6v-c8g1.16xlarge":  {CPU: 64, MemoryGiB: 256, GPUs: 8, gpu: "V100"},
	"ecs.gn6e-c12g1.3xlarge":  {CPU: 12, MemoryGiB: 92, GPUs: 1, gpu: "V100"},
	"ecs.gn6e-c12g1.12xlarge": {CPU: 48, MemoryGiB: 368, GPUs: 4, gpu: "V100"},
	"ecs.gn6e-c12g1.24xlarge": {CPU: 96, MemoryGiB: 736, GPUs: 8, gpu: "V100"},
	"ecs.gn7i-c8g1.2xlarge":   {CPU: 8, MemoryGiB: 30, GPUs: 1, gpu: "A10"},
	"ecs.gn7i-c16g1.4xlarge":  {CPU: 16, MemoryGiB: 60, GPUs: 1, gpu: "A10"},
	"ecs.gn7i-c32g1.8xlarge":  {CPU: 32, MemoryGiB: 188, GPUs: 1, gpu: "A10"},
	"ecs.gn7i-c32g1.16xlarge": {CPU: 64, MemoryGiB: 376, GPUs: 2, gpu: "A10"},
	"ecs.gn7i-c32g1.32xlarge": {CPU: 128, MemoryGiB: 752, GPUs: 4, gpu: "A10"},
}

// ECS returns the size of an Alibaba Cloud instance type. The error is an
// *UnknownTypeError if the size does not follow from the name.
func ECS(instanceType string) (Instance, error) {
	if i, ok := gpuInstances[instanceType]; ok {
		i.Type, i.Arch, i.rates = instanceType, "amd64", alibabaRates
		return i, nil
	}
	p := strings.Split(instanceType, ".")
	if len(p) != 3 || p[0] != "ecs" {
		return Instance{}, &UnknownTypeError{Type: instanceType}
	}
	cpu := cpus(p[2])
	gib, arch := perCPU(p[1])
	if cpu == 0 || gib == 0 {
		return Instance{}, &UnknownTypeError{Type: instanceType}
	}
	return Instance{Type: instanceType, Arch: arch, CPU: cpu, MemoryGiB: cpu * gib, rates: alibabaRates}, nil
}

// cpus returns the vCPUs of a size, or 0 if it is unknown. Sizes below large
// are left out: they share a vCPU and cannot hold a node's own components.
func cpus(s string) int64 {
	if s == "large" {
		return 2
	}
	m := size.FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	if m[1] == "" {
		return 4
	}
	// The largest shared machine has 448 vCPUs.
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n < 2 || n > 112 {
		return 0
	}
	return 4 * n
}

// perCPU returns the GiB of memory for each vCPU of a family, or 0 if it is
// unknown, and the processor architecture.
func perCPU(f string) (gib int64, arch string) {
	if m := ratio.FindStringSubmatch(f); m != nil {
		gib, _ = strconv.ParseInt(m[1], 10, 64)
		return gib, "amd64"
	}
	m := family.FindStringSubmatch(f)
	switch {
	case m == nil:
		return 0, ""
	case m[4] != "":
		return memoryPerCPU[m[4]], "amd64"
	}
	arch = "amd64"
	// The varieties r (g6r, c6r) and y (g8y, c8y, r8y) are ARM machines.
	if m[3] == "r" || m[3] == "y" {
		arch = "arm64"
	}
	return memoryPerCPU[m[1]], arch
}
