// Package config describes the simulated cloud: who may use it, what it sells
// and where, how long things take and what they cost.
package config

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"sigs.k8s.io/yaml"

	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// Config of a simulated cloud.
type Config struct {
	Accounts []Account         `json:"accounts,omitempty"`
	Regions  map[string]Region `json:"regions"`
	// InstanceTypes that exist at all.
	InstanceTypes map[string]InstanceType `json:"instanceTypes"`
	Stock         Stock                   `json:"stock"`
	// Prices are SYNTHETIC: round figures of the right order, in CNY. Only the
	// NAT gateway's has been seen on a bill.
	Prices    Prices    `json:"prices"`
	Latencies Latencies `json:"latencies"`
	// Virtual nodes of ACK, whose pods are ECI instances.
	Virtual  Virtual  `json:"virtual"`
	Throttle Throttle `json:"throttle"`
	Switches Switches `json:"switches"`
	// Versions of Kubernetes a cluster can be made with; the last is the
	// default. Empty means any.
	Versions []string `json:"versions,omitempty"`
	// Tencent is the other cloud of the simulator.
	Tencent Tencent `json:"tencent"`
}

// An Account that may call.
type Account struct {
	AccessKeyID     string `json:"accessKeyId"`
	AccessKeySecret string `json:"accessKeySecret"`
	// SecurityToken makes it a temporary (STS) credential, valid until Expires.
	SecurityToken string     `json:"securityToken,omitempty"`
	Expires       *time.Time `json:"expires,omitempty"`
	// Parent is the account a temporary credential acts for.
	Parent string `json:"parent,omitempty"`
	Quotas Quotas `json:"quotas"`
}

// Quotas of an account. 0 means the default.
type Quotas struct {
	Clusters        int `json:"clusters,omitempty"`        // default 50
	NodePools       int `json:"nodePools,omitempty"`       // in a cluster, default 100
	NodesPerCluster int `json:"nodesPerCluster,omitempty"` // default 100
}

// A Region of the cloud.
type Region struct {
	Zones []string       `json:"zones"`
	VPCs  map[string]VPC `json:"vpcs"`
}

// A VPC of a region.
type VPC struct {
	CIDR      string             `json:"cidr"`
	VSwitches map[string]VSwitch `json:"vSwitches"`
}

// A VSwitch is a subnet in one zone. Its CIDR bounds the number of nodes.
type VSwitch struct {
	Zone string `json:"zone"`
	CIDR string `json:"cidr"`
}

// An InstanceType of ECS.
type InstanceType struct {
	CPU       int `json:"cpu"`
	MemoryGiB int `json:"memoryGiB"`
	GPU       int `json:"gpu,omitempty"`
	// Pods a node of the type runs when the cluster's node CIDR mask does not
	// say.
	Pods int `json:"pods"`
	// Hourly price (synthetic).
	Hourly     float64 `json:"hourly"`
	SpotHourly float64 `json:"spotHourly"`
}

// Stock at the start: a default for every zone and type, and exceptions by
// region, zone and type. A count below 0 means not on sale.
type Stock struct {
	Default    Shelf                                  `json:"default"`
	Exceptions map[string]map[string]map[string]Shelf `json:"exceptions,omitempty"`
}

// A Shelf of one instance type in one zone.
type Shelf struct {
	OnDemand int `json:"onDemand"`
	Spot     int `json:"spot"`
}

// Prices by the hour.
type Prices struct {
	ClusterPro  float64 `json:"clusterPro"`
	SLB         float64 `json:"slb"`
	EIP         float64 `json:"eip"`
	NAT         float64 `json:"nat"`
	DiskGiB     float64 `json:"diskGiB"`
	SLSProject  float64 `json:"slsProject"`
	RoundUpFees bool    `json:"roundUpFees"` // bill started hours of fees in full
}

// A Range of virtual seconds, lower and upper bound.
type Range [2]float64

// Bounds returns the range as durations.
func (r Range) Bounds() (lo, hi time.Duration) {
	return time.Duration(r[0] * float64(time.Second)), time.Duration(r[1] * float64(time.Second))
}

// Latencies in virtual seconds.
type Latencies struct {
	CreateCluster Range `json:"createCluster"`
	DeleteCluster Range `json:"deleteCluster"`
	ModifyCluster Range `json:"modifyCluster"`
	// ModifyEndpoint is a ModifyCluster that binds or unbinds the public address.
	ModifyEndpoint Range `json:"modifyEndpoint"`
	CreateNodePool Range `json:"createNodePool"`
	ModifyNodePool Range `json:"modifyNodePool"`
	DeleteNodePool Range `json:"deleteNodePool"`
	// InstanceRunning is from the order to a running ECS, NodeReady from the
	// order to a Ready node.
	InstanceRunning Range `json:"instanceRunning"`
	NodeReady       Range `json:"nodeReady"`
	// RemoveNodes is RemoveNodePoolNodes without the time a drain waits.
	RemoveNodes Range `json:"removeNodes"`
	// EmptyByDesired is desired_size 0 until the last ECS is gone.
	EmptyByDesired Range `json:"emptyByDesired"`
	// NoStock is until a task that found no stock fails, RetryStock how often
	// the scaling group tries again.
	NoStock    Range `json:"noStock"`
	RetryStock Range `json:"retryStock"`
	// SpotNotice is from the notice that a spot instance will be reclaimed until
	// it is.
	SpotNotice Range `json:"spotNotice"`
	// DrainTimeout is how long a drain waits for PodDisruptionBudgets.
	DrainTimeout Range `json:"drainTimeout"`
	// DrainRetry is how often a blocked drain tries again.
	DrainRetry Range `json:"drainRetry"`
	// BootstrapTimeout is when a node that never registers is declared failed.
	BootstrapTimeout Range `json:"bootstrapTimeout"`
	Addon            Range `json:"addon"`
	// Tail is how long NAT, EIP, SLB, ENI and security group outlive a cluster.
	Tail Range `json:"tail"`
	// ListLag is how far list answers trail.
	ListLag Range `json:"listLag"`
}

// Throttle of each account and API, in real time.
type Throttle struct {
	QPS   float64 `json:"qps"` // 0 switches throttling off
	Burst int     `json:"burst"`
	// Status of the refusal: 400, or 429.
	Status int `json:"status"`
}

// Switches for behaviour that is uncertain, or changes with time.
type Switches struct {
	// RetiredListAPIs makes DescribeClusters and DescribeClustersV1 answer that
	// they are decommissioned.
	RetiredListAPIs bool `json:"retiredListAPIs"`
	// MissingAuthRole makes desired_size fail for want of a RAM role.
	MissingAuthRole bool `json:"missingAuthRole"`
	// RejectDeprecated answers 400 to the deprecated worker_* and num_of_nodes
	// fields; otherwise they are ignored.
	RejectDeprecated bool `json:"rejectDeprecated"`
	// RejectSharedPodCIDR refuses a container_cidr that another cluster of the
	// VPC uses. It is off by default, since it would hide double creates.
	RejectSharedPodCIDR bool `json:"rejectSharedPodCIDR"`
	// ServiceSLBDeletedByDefault lets DeleteCluster release the SLBs of Services
	// without being asked. The documentation says so, the field says otherwise.
	ServiceSLBDeletedByDefault bool `json:"serviceSLBDeletedByDefault"`
	// DependencyRefusals is how often DeleteCluster is refused while SLBs of
	// Services exist.
	DependencyRefusals int `json:"dependencyRefusals"`
	// CoreDNS installs coredns with 2 replicas and a PodDisruptionBudget, so
	// that draining the last node blocks as it does on ACK.
	CoreDNS bool `json:"coredns"`
	// ReserveNodeResources makes allocatable smaller than capacity.
	ReserveNodeResources bool `json:"reserveNodeResources"`
}

// Load a configuration file on top of the defaults. A map in the file replaces
// the default map's entries of the same name.
func Load(path string) (Config, error) {
	c := Default()
	b, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("cannot read config: %w", err)
	}
	if err := yaml.UnmarshalStrict(b, &c); err != nil {
		return c, fmt.Errorf("cannot parse config %s: %w", path, err)
	}
	return c, c.Validate()
}

// Validate reports the first thing that is wrong with the configuration.
func (c *Config) Validate() error {
	if len(c.Regions) == 0 {
		return fmt.Errorf("no regions")
	}
	for rn, r := range c.Regions {
		zones := map[string]bool{}
		for _, z := range r.Zones {
			zones[z] = true
		}
		for vn, v := range r.VPCs {
			for sn, s := range v.VSwitches {
				if !zones[s.Zone] {
					return fmt.Errorf("vSwitch %s of VPC %s is in zone %q, which region %s does not have", sn, vn, s.Zone, rn)
				}
				if _, err := netip.ParsePrefix(s.CIDR); err != nil {
					return fmt.Errorf("vSwitch %s of VPC %s: %w", sn, vn, err)
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, a := range c.Accounts {
		if a.AccessKeyID == "" || a.AccessKeySecret == "" {
			return fmt.Errorf("an account needs accessKeyId and accessKeySecret")
		}
		if seen[a.AccessKeyID] {
			return fmt.Errorf("account %s is given twice", a.AccessKeyID)
		}
		seen[a.AccessKeyID] = true
	}
	if err := c.Tencent.validate(); err != nil {
		return fmt.Errorf("tencent: %w", err)
	}
	return nil
}

// Shelves returns the initial stock.
func (c *Config) Shelves() map[stock.Key]int {
	out := map[stock.Key]int{}
	for rn, r := range c.Regions {
		for _, z := range r.Zones {
			out[stock.Key{Region: rn, Zone: z, Type: ECIType}] = c.Virtual.VCPU
			for t := range c.InstanceTypes {
				s := c.Stock.Default
				if e, ok := c.Stock.Exceptions[rn][z][t]; ok {
					s = e
				}
				out[stock.Key{Region: rn, Zone: z, Type: t}] = s.OnDemand
				out[stock.Key{Region: rn, Zone: z, Type: t, Spot: true}] = s.Spot
			}
		}
	}
	c.Tencent.shelves(c.Stock, out)
	return out
}
