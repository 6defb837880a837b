package catalogue

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	// cvmSize carries both: 4XLARGE64 has 16 vCPUs and 64 GiB.
	cvmSize = regexp.MustCompile(`^(MEDIUM|LARGE|[0-9]+XLARGE)([0-9]+)$`)

	// cvmFamily is a family of machines without devices: standard (S5, SA3, S5se,
	// SN3ne, SK1, SR1), compute optimised (C6, CN3), memory optimised (M6, MA5)
	// and high IO (IT5, ITA5).
	cvmFamily = regexp.MustCompile(`^(S|SA|SK|SN|SR|C|CN|M|MA|IT|ITA)[0-9]+[a-z]*$`)
)

// cvmGPUInstances are types whose size does not follow from their name, from the
// tables of the families GN7 and GI3X (T4), GN10X and GN10Xp (V100) and PNV4
// (A10) in the CVM documentation. Types with a part of a GPU are left out: they
// need the vendor's own driver and resource name.
var cvmGPUInstances = map[string]Instance{
	"GN7.2XLARGE32":      {CPU: 8, MemoryGiB: 32, GPUs: 1, gpu: "T4"},
	"GN7.5XLARGE80":      {CPU: 20, MemoryGiB: 80, GPUs: 1, gpu: "T4"},
	"GN7.8XLARGE128":     {CPU: 32, MemoryGiB: 128, GPUs: 1, gpu: "T4"},
	"GN7.10XLARGE160":    {CPU: 40, MemoryGiB: 160, GPUs: 2, gpu: "T4"},
	"GN7.20XLARGE320":    {CPU: 80, MemoryGiB: 320, GPUs: 4, gpu: "T4"},
	"GI3X.8XLARGE64":     {CPU: 32, MemoryGiB: 64, GPUs: 1, gpu: "T4"},
	"GI3X.22XLARGE226":   {CPU: 90, MemoryGiB: 226, GPUs: 2, gpu: "T4"},
	"GI3X.45XLARGE452":   {CPU: 180, MemoryGiB: 452, GPUs: 4, gpu: "T4"},
	"GN10X.2XLARGE40":    {CPU: 8, MemoryGiB: 40, GPUs: 1, gpu: "V100"},
	"GN10X.9XLARGE160":   {CPU: 36, MemoryGiB: 160, GPUs: 4, gpu: "V100"},
	"GN10X.18XLARGE320":  {CPU: 72, MemoryGiB: 320, GPUs: 8, gpu: "V100"},
	"GN10Xp.2XLARGE40":   {CPU: 10, MemoryGiB: 40, GPUs: 1, gpu: "V100"},
	"GN10Xp.5XLARGE80":   {CPU: 20, MemoryGiB: 80, GPUs: 2, gpu: "V100"},
	"GN10Xp.10XLARGE160": {CPU: 40, MemoryGiB: 160, GPUs: 4, gpu: "V100"},
	"GN10Xp.20XLARGE320": {CPU: 80, MemoryGiB: 320, GPUs: 8, gpu: "V100"},
	"PNV4.7XLARGE116":    {CPU: 28, MemoryGiB: 116, GPUs: 1, gpu: "A10"},
	"PNV4.14XLARGE232":   {CPU: 56, MemoryGiB: 232, GPUs: 2, gpu: "A10"},
	"PNV4.28XLARGE466":   {CPU: 112, MemoryGiB: 466, GPUs: 4, gpu: "A10"},
}

// CVM returns the size of a Tencent Cloud instance type. The error is an
// *UnknownTypeError if the size does not follow from the name.
func CVM(instanceType string) (Instance, error) {
	if i, ok := cvmGPUInstances[instanceType]; ok {
		i.Type, i.Arch, i.rates = instanceType, "amd64", tencentRates
		return i, nil
	}
	family, size, ok := strings.Cut(instanceType, ".")
	m := cvmSize.FindStringSubmatch(size)
	if !ok || m == nil || !cvmFamily.MatchString(family) {
		return Instance{}, &UnknownTypeError{Type: instanceType}
	}
	cpu := cvmCPUs(m[1])
	gib, err := strconv.ParseInt(m[2], 10, 64)
	// No machine has less than 1 or more than 16 GiB for each vCPU: such a name
	// is a slip.
	if cpu == 0 || err != nil || gib < cpu || gib > 16*cpu {
		return Instance{}, &UnknownTypeError{Type: instanceType}
	}
	arch := "amd64"
	// SR is the only family of ARM machines.
	if strings.HasPrefix(family, "SR") {
		arch = "arm64"
	}
	return Instance{Type: instanceType, Arch: arch, CPU: cpu, MemoryGiB: gib, rates: tencentRates}, nil
}

// cvmCPUs returns the vCPUs of a size, or 0 if it is unknown. SMALL is left out:
// one vCPU cannot hold a node's own components.
func cvmCPUs(s string) int64 {
	switch s {
	case "MEDIUM":
		return 2
	case "LARGE":
		return 4
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(s, "XLARGE"), 10, 64)
	// The largest machine has 464 vCPUs.
	if err != nil || n < 2 || n > 116 {
		return 0
	}
	return 4 * n
}

// tencentRegions are the short names and the numbers of regions, as they appear
// in the labels of TKE nodes: region gz and zone 100003 for zone ap-guangzhou-3.
var tencentRegions = map[string]struct {
	short  string
	number int
}{
	"ap-guangzhou": {"gz", 10}, "ap-shanghai": {"sh", 20}, "ap-nanjing": {"nj", 33}, "ap-beijing": {"bj", 80},
	"ap-chengdu": {"cd", 16}, "ap-chongqing": {"cq", 19}, "ap-hongkong": {"hk", 30}, "ap-singapore": {"sg", 90},
	"ap-seoul": {"kr", 18}, "ap-tokyo": {"jp", 25}, "ap-bangkok": {"th", 23}, "ap-jakarta": {"jkt", 72},
	"na-siliconvalley": {"usw", 15}, "na-ashburn": {"use", 22}, "eu-frankfurt": {"de", 17},
}

// TKERegionLabel returns the value of the label topology.kubernetes.io/region of
// nodes in a Tencent region, "" if it is not known.
func TKERegionLabel(region string) string { return tencentRegions[region].short }

// TKEZoneLabel returns the value of the label topology.kubernetes.io/zone of
// nodes in a Tencent zone, "" if it is not known.
func TKEZoneLabel(zone string) string {
	at := strings.LastIndexByte(zone, '-')
	if at < 0 {
		return ""
	}
	r, ok := tencentRegions[zone[:at]]
	n, err := strconv.Atoi(zone[at+1:])
	if !ok || err != nil || n < 1 || n > 99 {
		return ""
	}
	return strconv.Itoa(r.number*10000 + n)
}
