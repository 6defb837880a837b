package config

import "fmt"

// Default returns a small cloud of two regions with two zones each. It has no
// account. Latencies are calibrations from one logged run on a real account and
// from documentation; prices are synthetic.
func Default() Config {
	return Config{
		Regions:       map[string]Region{"cn-hangzhou": region("cn-hangzhou", "h", "i"), "cn-shanghai": region("cn-shanghai", "a", "b")},
		InstanceTypes: instanceTypes(),
		Stock:         Stock{Default: Shelf{OnDemand: 1000, Spot: 200}},
		Prices:        Prices{ClusterPro: 0.64, SLB: 0.1, EIP: 0.02, NAT: 0.5, DiskGiB: 0.0015, SLSProject: 0.01},
		Latencies: Latencies{
			CreateCluster:    Range{225, 255},
			DeleteCluster:    Range{287, 347},
			ModifyCluster:    Range{5, 10},
			ModifyEndpoint:   Range{120, 135},
			CreateNodePool:   Range{10, 20},
			ModifyNodePool:   Range{5, 10},
			DeleteNodePool:   Range{20, 60},
			InstanceRunning:  Range{20, 30},
			NodeReady:        Range{55, 90},
			RemoveNodes:      Range{60, 110},
			EmptyByDesired:   Range{360, 420},
			NoStock:          Range{15, 30},
			RetryStock:       Range{60, 60},
			SpotNotice:       Range{300, 300},
			DrainTimeout:     Range{1800, 1800},
			DrainRetry:       Range{5, 5},
			BootstrapTimeout: Range{900, 900},
			Addon:            Range{20, 40},
			Tail:             Range{60, 300},
			ListLag:          Range{1, 10},
		},
		Virtual:  eci(),
		Throttle: Throttle{QPS: 10, Burst: 20, Status: 400},
		Switches: Switches{RetiredListAPIs: true, DependencyRefusals: 1, CoreDNS: true, ReserveNodeResources: true},
		Versions: []string{"1.32.7-aliyun.1", "1.33.3-aliyun.1", "1.34.3-aliyun.1", "1.35.3-aliyun.1"},
		Tencent:  DefaultTencent(),
	}
}

// region has the zones named by the suffixes, a VPC with a vSwitch in each of
// the first two, and a second VPC that is too small for more than a few nodes.
func region(name, a, b string) Region {
	za, zb := name+"-"+a, name+"-"+b
	return Region{
		Zones: []string{za, zb},
		VPCs: map[string]VPC{
			"vpc-1": {CIDR: "192.168.0.0/16", VSwitches: map[string]VSwitch{
				"vsw-1": {Zone: za, CIDR: "192.168.0.0/20"},
				"vsw-2": {Zone: zb, CIDR: "192.168.16.0/20"},
			}},
			"vpc-2": {CIDR: "172.16.0.0/16", VSwitches: map[string]VSwitch{
				"vsw-3": {Zone: za, CIDR: "172.16.0.0/28"},
			}},
		},
	}
}

func instanceTypes() map[string]InstanceType {
	out := map[string]InstanceType{}
	sizes := map[string]int{"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32}
	for family, ratio := range map[string]int{"c7": 2, "g7": 4, "r7": 8} {
		for size, cpu := range sizes {
			hourly := 0.12*float64(cpu) + 0.03*float64(cpu*ratio)
			out[fmt.Sprintf("ecs.%s.%s", family, size)] = InstanceType{
				CPU: cpu, MemoryGiB: cpu * ratio, Pods: 128, Hourly: hourly, SpotHourly: hourly / 4,
			}
		}
	}
	out["ecs.gn7i-c8g1.2xlarge"] = InstanceType{CPU: 8, MemoryGiB: 30, GPU: 1, Pods: 128, Hourly: 10, SpotHourly: 4}
	return out
}
