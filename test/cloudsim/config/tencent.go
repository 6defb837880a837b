package config

import (
	"fmt"
	"net/netip"

	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// SuperNodeType is the stock type of the capacity of super nodes, counted in
// vCPU.
const SuperNodeType = "eklet"

// Tencent is the part of the simulated cloud that is Tencent's. Stock is shared:
// its exceptions name regions, and no two clouds share the name of one.
type Tencent struct {
	// Accounts that may call; accessKeyId is what Tencent names SecretId.
	Accounts []Account                `json:"accounts,omitempty"`
	Regions  map[string]TencentRegion `json:"regions"`
	// InstanceTypes of CVM that exist at all.
	InstanceTypes map[string]InstanceType `json:"instanceTypes"`
	// Levels a cluster can have, in ascending order; the first is the default.
	Levels []ClusterLevel `json:"levels"`
	// Versions of Kubernetes; the last is the default. Empty means any.
	Versions  []string         `json:"versions,omitempty"`
	Prices    TencentPrices    `json:"prices"`
	Latencies TencentLatencies `json:"latencies"`
	// Virtual nodes are super nodes here.
	Virtual  Virtual         `json:"virtual"`
	Throttle Throttle        `json:"throttle"`
	Switches TencentSwitches `json:"switches"`
}

// A TencentRegion has zones that have a name and a number. The API speaks of
// names, the labels of nodes of numbers.
type TencentRegion struct {
	// Short name, which is the value of the region label of nodes.
	Short string        `json:"short"`
	Zones []TencentZone `json:"zones"`
	// VPCs with their subnets, which the shared type calls vSwitches.
	VPCs map[string]VPC `json:"vpcs"`
	// SecurityGroups that were there before any cluster.
	SecurityGroups []string `json:"securityGroups,omitempty"`
}

// A TencentZone of a region.
type TencentZone struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// Zone returns the zone of that name.
func (r TencentRegion) Zone(name string) (TencentZone, bool) {
	for _, z := range r.Zones {
		if z.Name == name {
			return z, true
		}
	}
	return TencentZone{}, false
}

// A ClusterLevel bounds the size of a cluster and sets its fee.
type ClusterLevel struct {
	Name   string  `json:"name"`
	Nodes  int     `json:"nodes"`
	Pods   int     `json:"pods"`
	Hourly float64 `json:"hourly"`
}

// TencentPrices by the hour, in CNY and synthetic.
type TencentPrices struct {
	CLB         float64 `json:"clb"`
	DiskGiB     float64 `json:"diskGiB"`
	RoundUpFees bool    `json:"roundUpFees"` // bill started hours of fees in full
}

// TencentLatencies in virtual seconds.
type TencentLatencies struct {
	// Trading is how long a new cluster is in state Trading; CreateCluster is
	// until it is Running.
	Trading       Range `json:"trading"`
	CreateCluster Range `json:"createCluster"`
	DeleteCluster Range `json:"deleteCluster"`
	// CreateIntranetEndpoint and CreatePublicEndpoint are until Created,
	// PublicAddress from then until the address can be read.
	CreateIntranetEndpoint Range `json:"createIntranetEndpoint"`
	CreatePublicEndpoint   Range `json:"createPublicEndpoint"`
	PublicAddress          Range `json:"publicAddress"`
	DeleteEndpoint         Range `json:"deleteEndpoint"`
	CreateNodePool         Range `json:"createNodePool"`
	ModifyNodePool         Range `json:"modifyNodePool"`
	DeleteNodePool         Range `json:"deleteNodePool"`
	// InstanceRunning is from the order to a running CVM, NodeReady from the
	// order to a Ready node.
	InstanceRunning Range `json:"instanceRunning"`
	NodeReady       Range `json:"nodeReady"`
	// BootstrapTimeout is when a node that never registers is declared failed.
	BootstrapTimeout Range `json:"bootstrapTimeout"`
	RemoveInstances  Range `json:"removeInstances"`
	// NoStock is until an activity that found no stock fails, RetryStock how
	// often the scaling group tries again.
	NoStock    Range `json:"noStock"`
	RetryStock Range `json:"retryStock"`
	// ReclaimNotice is how long before its end a spot instance is told.
	ReclaimNotice         Range `json:"reclaimNotice"`
	CreateVirtualNodePool Range `json:"createVirtualNodePool"`
	DeleteVirtualNode     Range `json:"deleteVirtualNode"`
	// Tail is how long CLBs, ENIs and security groups outlive a cluster.
	Tail Range `json:"tail"`
	// ListLag is how far list answers trail.
	ListLag Range `json:"listLag"`
}

// TencentSwitches for behaviour that is uncertain, or would hide mistakes.
type TencentSwitches struct {
	// RejectSharedCIDR refuses a ClusterCIDR that another cluster of the VPC
	// uses. It is off by default, since it would hide double creates.
	RejectSharedCIDR bool `json:"rejectSharedCIDR"`
}

// DefaultTencent returns two regions with two zones each. Latencies are
// documented or published figures where there are any, and guesses elsewhere;
// prices are synthetic.
func DefaultTencent() Tencent {
	return Tencent{
		Regions: map[string]TencentRegion{
			"ap-guangzhou": tencentRegion("gz", 0, TencentZone{Name: "ap-guangzhou-3", ID: "100003"}, TencentZone{Name: "ap-guangzhou-6", ID: "100006"}),
			"ap-shanghai":  tencentRegion("sh", 2, TencentZone{Name: "ap-shanghai-2", ID: "200002"}, TencentZone{Name: "ap-shanghai-4", ID: "200004"}),
		},
		InstanceTypes: tencentInstanceTypes(),
		Levels: []ClusterLevel{
			{Name: "L5", Nodes: 5, Pods: 150, Hourly: 0.13}, {Name: "L20", Nodes: 20, Pods: 600, Hourly: 0.4},
			{Name: "L50", Nodes: 50, Pods: 1500, Hourly: 0.67}, {Name: "L100", Nodes: 100, Pods: 3000, Hourly: 1.02},
			{Name: "L200", Nodes: 200, Pods: 6000, Hourly: 1.78}, {Name: "L500", Nodes: 500, Pods: 15000, Hourly: 3.39},
		},
		Versions: []string{"1.30.0", "1.32.2", "1.34.1"},
		Prices:   TencentPrices{CLB: 0.2, DiskGiB: 0.0017},
		Latencies: TencentLatencies{
			Trading:                Range{5, 5},
			CreateCluster:          Range{570, 630},
			DeleteCluster:          Range{60, 180},
			CreateIntranetEndpoint: Range{30, 60},
			CreatePublicEndpoint:   Range{60, 120},
			PublicAddress:          Range{60, 120},
			DeleteEndpoint:         Range{20, 40},
			CreateNodePool:         Range{30, 60},
			ModifyNodePool:         Range{3, 8},
			DeleteNodePool:         Range{30, 120},
			InstanceRunning:        Range{20, 40},
			NodeReady:              Range{90, 180},
			BootstrapTimeout:       Range{900, 900},
			RemoveInstances:        Range{30, 60},
			NoStock:                Range{10, 20},
			RetryStock:             Range{60, 60},
			ReclaimNotice:          Range{120, 120},
			CreateVirtualNodePool:  Range{30, 85},
			DeleteVirtualNode:      Range{10, 30},
			Tail:                   Range{60, 300},
			ListLag:                Range{1, 3},
		},
		Virtual: Virtual{
			VCPU: 1000, Start: Range{10, 20}, PullSeconds: 50, ImageMB: 400, Retry: Range{10, 20},
			CPUHour: 0.14, MemoryHour: 0.04, GPUHour: 10, DefaultCPU: 1, DefaultMemoryGiB: 2,
		},
		Throttle: Throttle{QPS: 20, Burst: 40},
	}
}

// tencentRegion has a VPC with a subnet in each zone, and a second VPC whose
// subnet is too small for more than a few nodes. Networks begin at 10.<net>.0.0:
// no two regions share addresses.
func tencentRegion(short string, net int, a, b TencentZone) TencentRegion {
	cidr := func(n, host, bits int) string { return fmt.Sprintf("10.%d.%d.0/%d", net+n, host, bits) }
	return TencentRegion{
		Short: short,
		Zones: []TencentZone{a, b},
		VPCs: map[string]VPC{
			"vpc-" + short + "1": {CIDR: cidr(0, 0, 16), VSwitches: map[string]VSwitch{
				"subnet-" + short + "1": {Zone: a.Name, CIDR: cidr(0, 0, 20)},
				"subnet-" + short + "2": {Zone: b.Name, CIDR: cidr(0, 16, 20)},
			}},
			"vpc-" + short + "2": {CIDR: cidr(1, 0, 16), VSwitches: map[string]VSwitch{
				"subnet-" + short + "3": {Zone: a.Name, CIDR: cidr(1, 0, 28)},
			}},
		},
		SecurityGroups: []string{"sg-" + short + "1"},
	}
}

// tencentInstanceTypes are the standard families; the number at the end of a
// name is the memory in GiB.
func tencentInstanceTypes() map[string]InstanceType {
	out := map[string]InstanceType{}
	sizes := map[string]int{"MEDIUM": 2, "LARGE": 4, "2XLARGE": 8, "4XLARGE": 16, "8XLARGE": 32}
	for family, core := range map[string]float64{"S5": 0.11, "SA5": 0.1} {
		for size, cpu := range sizes {
			for _, ratio := range []int{2, 4} {
				hourly := core*float64(cpu) + 0.03*float64(cpu*ratio)
				out[fmt.Sprintf("%s.%s%d", family, size, cpu*ratio)] = InstanceType{
					CPU: cpu, MemoryGiB: cpu * ratio, Pods: 256, Hourly: hourly, SpotHourly: hourly / 5,
				}
			}
		}
	}
	out["GN7.2XLARGE32"] = InstanceType{CPU: 8, MemoryGiB: 32, GPU: 1, Pods: 256, Hourly: 9, SpotHourly: 3}
	return out
}

func (t *Tencent) validate() error {
	for rn, r := range t.Regions {
		for vn, v := range r.VPCs {
			for sn, s := range v.VSwitches {
				if _, ok := r.Zone(s.Zone); !ok {
					return fmt.Errorf("subnet %s of VPC %s is in zone %q, which region %s does not have", sn, vn, s.Zone, rn)
				}
				if _, err := netip.ParsePrefix(s.CIDR); err != nil {
					return fmt.Errorf("subnet %s of VPC %s: %w", sn, vn, err)
				}
			}
		}
	}
	if len(t.Regions) > 0 && len(t.Levels) == 0 {
		return fmt.Errorf("no cluster levels")
	}
	seen := map[string]bool{}
	for _, a := range t.Accounts {
		if a.AccessKeyID == "" || a.AccessKeySecret == "" {
			return fmt.Errorf("an account needs accessKeyId and accessKeySecret")
		}
		if seen[a.AccessKeyID] {
			return fmt.Errorf("account %s is given twice", a.AccessKeyID)
		}
		seen[a.AccessKeyID] = true
	}
	return nil
}

// shelves adds Tencent's part of the initial stock.
func (t *Tencent) shelves(s Stock, out map[stock.Key]int) {
	for rn, r := range t.Regions {
		for _, z := range r.Zones {
			out[stock.Key{Region: rn, Zone: z.Name, Type: SuperNodeType}] = t.Virtual.VCPU
			for it := range t.InstanceTypes {
				shelf := s.Default
				if e, ok := s.Exceptions[rn][z.Name][it]; ok {
					shelf = e
				}
				out[stock.Key{Region: rn, Zone: z.Name, Type: it}] = shelf.OnDemand
				out[stock.Key{Region: rn, Zone: z.Name, Type: it, Spot: true}] = shelf.Spot
			}
		}
	}
}
