package tke

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Ways to pay for a CVM.
const (
	postpaid = "POSTPAID_BY_HOUR"
	prepaid  = "PREPAID"
	spotpaid = "SPOTPAID"
)

type createNodePoolRequest struct {
	ClusterId, Name, AutoScalingGroupPara, LaunchConfigurePara    string
	ContainerRuntime, RuntimeVersion, NodePoolOs, OsCustomizeType string
	EnableAutoscale                                               *bool
	DeletionProtection                                            bool
	InstanceAdvancedSettings                                      instanceSettings
	Labels                                                        []label
	Taints                                                        []taint
	Annotations                                                   ignored
	Tags                                                          []tag
}

type instanceSettings struct {
	DesiredPodNumber                                             int64
	Unschedulable                                                int64
	Labels                                                       []label
	Taints                                                       []taint
	GPUArgs, DataDisks, ExtraArgs                                ignored
	PreStartUserScript, MountTarget, DockerGraphPath, UserScript string
}

// A groupSpec is AutoScalingGroupPara: the parameters of as.CreateAutoScalingGroup
// as JSON in a string.
type groupSpec struct {
	AutoScalingGroupName, LaunchConfigurationId, VpcId  string
	MaxSize, MinSize, DesiredCapacity                   *int
	SubnetIds, Zones, TerminationPolicies               []string
	RetryPolicy, MultiZoneSubnetPolicy                  string
	Tags                                                []ignored
	DefaultCooldown, ProjectId, LoadBalancerIds         ignored
	ForwardLoadBalancers, ZonesCheckPolicy              ignored
	ServiceSettings, Ipv6AddressCount, HealthCheckType  ignored
	LoadBalancerHealthCheckGracePeriod                  ignored
	InstanceAllocationPolicy, SpotMixedAllocationPolicy ignored
	CapacityRebalance, InstanceNameIndexSettings        ignored
	HostNameIndexSettings                               ignored
	ConcurrentScaleOutForDesiredCapacity                ignored
}

// A launchSpec is LaunchConfigurePara: the parameters of
// as.CreateLaunchConfiguration as JSON in a string.
type launchSpec struct {
	LaunchConfigurationName, InstanceType, InstanceChargeType, ImageId string
	InstanceTypes, SecurityGroupIds                                    []string
	SystemDisk                                                         *disk
	DataDisks                                                          []disk
	InternetAccessible                                                 *struct {
		InternetChargeType, BandwidthPackageId string
		InternetMaxBandwidthOut                int
		PublicIpAssigned                       bool
	}
	InstanceMarketOptions *struct {
		MarketType  string
		SpotOptions struct{ MaxPrice, SpotInstanceType string }
	}
	InstanceTags                                        []tag
	ProjectId, LoginSettings, EnhancedService, UserData ignored
	CamRoleName, InstanceTypesCheckPolicy, Tags         ignored
	HostNameSettings, InstanceNameSettings              ignored
	InstanceChargePrepaid, DiskTypePolicy, HpcClusterId ignored
	IPv6InternetAccessible, DisasterRecoverGroupIds     ignored
	ImageFamily, DedicatedClusterId, Metadata           ignored
}

type disk struct {
	DiskType, SnapshotId                               string
	DiskSize                                           int
	DeleteWithInstance, Encrypt, ThroughputPerformance ignored
}

// parse JSON that came as a string.
func parse(name, text string, into any) error {
	if text == "" {
		return missing(name)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("%s is not valid: %v", name, err)
	}
	return nil
}

// A poolSpec is what a node pool was asked to be.
type poolSpec struct {
	group  groupSpec
	launch launchSpec
	labels map[string]string
	taints []corev1.Taint
	tags   map[string]string
	os     string
	types  []string
	main   string // the first type the pool was made with
	// Nodes of the pool start cordoned.
	unschedulable bool
}

// policy by which the group chooses a subnet.
func (p *poolSpec) equal() bool { return p.group.MultiZoneSubnetPolicy == "EQUALITY" }

func (p *poolSpec) charge() string {
	if p.launch.InstanceChargeType == "" {
		return postpaid
	}
	return p.launch.InstanceChargeType
}

// poolSpec checks the parameters of CreateClusterNodePool.
func (s *Server) poolSpec(k *cluster, q *createNodePoolRequest) (poolSpec, error) {
	out := poolSpec{labels: map[string]string{}, tags: tagMap(q.Tags), os: q.NodePoolOs}
	if q.Name == "" {
		return out, missing("Name")
	}
	if len([]rune(q.Name)) > 60 {
		return out, invalid("Name has more than 60 characters")
	}
	if q.EnableAutoscale == nil {
		return out, missing("EnableAutoscale")
	}
	if err := parse("AutoScalingGroupPara", q.AutoScalingGroupPara, &out.group); err != nil {
		return out, err
	}
	if err := parse("LaunchConfigurePara", q.LaunchConfigurePara, &out.launch); err != nil {
		return out, err
	}
	if err := s.validateGroup(k, &out.group); err != nil {
		return out, err
	}
	if err := s.validateLaunch(k, &out.launch); err != nil {
		return out, err
	}
	out.types = out.launch.InstanceTypes
	if out.launch.InstanceType != "" && !slices.Contains(out.types, out.launch.InstanceType) {
		out.types = append([]string{out.launch.InstanceType}, out.types...)
	}
	out.main = out.types[0]
	for _, l := range append(q.InstanceAdvancedSettings.Labels, q.Labels...) {
		out.labels[l.Name] = l.Value
	}
	var err error
	out.taints, err = kubeTaints(append(q.InstanceAdvancedSettings.Taints, q.Taints...))
	out.unschedulable = q.InstanceAdvancedSettings.Unschedulable != 0
	return out, err
}

func (s *Server) validateGroup(k *cluster, g *groupSpec) error {
	switch {
	case g.VpcId == "":
		return invalid("VpcId is missing in AutoScalingGroupPara")
	case g.VpcId != k.vpc():
		return invalid("VpcId %s of AutoScalingGroupPara is not that of the cluster", g.VpcId)
	case len(g.SubnetIds) == 0:
		return invalid("SubnetIds is missing in AutoScalingGroupPara")
	case g.MinSize == nil || g.MaxSize == nil:
		return invalid("MinSize or MaxSize is missing in AutoScalingGroupPara")
	case *g.MinSize < 0 || *g.MaxSize < *g.MinSize || *g.MaxSize > 2000:
		return invalid("MinSize %d and MaxSize %d are not 0 <= MinSize <= MaxSize <= 2000", *g.MinSize, *g.MaxSize)
	}
	if g.DesiredCapacity == nil {
		g.DesiredCapacity = g.MinSize
	}
	if *g.DesiredCapacity < *g.MinSize || *g.DesiredCapacity > *g.MaxSize {
		return invalid("DesiredCapacity %d is not in %d..%d", *g.DesiredCapacity, *g.MinSize, *g.MaxSize)
	}
	for name, allowed := range map[string][]string{
		g.RetryPolicy:           {"", "IMMEDIATE_RETRY", "INCREMENTAL_INTERVALS", "NO_RETRY"},
		g.MultiZoneSubnetPolicy: {"", "PRIORITY", "EQUALITY"},
	} {
		if !slices.Contains(allowed, name) {
			return invalid("%q in AutoScalingGroupPara is not one of %v", name, allowed[1:])
		}
	}
	for _, p := range g.TerminationPolicies {
		if p != "OLDEST_INSTANCE" && p != "NEWEST_INSTANCE" {
			return invalid("TerminationPolicy %q is not OLDEST_INSTANCE or NEWEST_INSTANCE", p)
		}
	}
	return s.validateSubnets(k.region, k.vpc(), g.SubnetIds)
}

func (s *Server) validateLaunch(k *cluster, l *launchSpec) error {
	switch {
	case l.InstanceType == "" && len(l.InstanceTypes) == 0:
		return invalid("InstanceType is missing in LaunchConfigurePara")
	case l.SystemDisk == nil:
		return invalid("SystemDisk is missing in LaunchConfigurePara")
	case l.InternetAccessible == nil:
		return invalid("InternetAccessible is missing in LaunchConfigurePara")
	case l.SystemDisk.DiskSize != 0 && l.SystemDisk.DiskSize < 20:
		return invalid("the system disk must have 20 GiB at least")
	}
	switch l.InstanceChargeType {
	case "", postpaid, prepaid:
		if l.InstanceMarketOptions != nil {
			return invalid("InstanceMarketOptions needs InstanceChargeType %s", spotpaid)
		}
	case spotpaid:
		if l.InstanceMarketOptions == nil || l.InstanceMarketOptions.MarketType != "spot" {
			return invalid("InstanceChargeType %s needs InstanceMarketOptions of MarketType spot", spotpaid)
		}
	default:
		return invalid("InstanceChargeType %q is not %s, %s or %s", l.InstanceChargeType, postpaid, prepaid, spotpaid)
	}
	if l.InstanceType != "" {
		if err := s.validateTypes([]string{l.InstanceType}); err != nil {
			return err
		}
	}
	for _, g := range l.SecurityGroupIds {
		if !s.securityGroupExists(k.region, g) {
			return invalid("security group %s does not exist", g)
		}
	}
	if len(l.InstanceTypes) > 0 {
		return s.validateTypes(l.InstanceTypes)
	}
	return nil
}

func (s *Server) validateTypes(types []string) error {
	if len(types) < 1 || len(types) > 10 {
		return invalid("there must be 1 to 10 instance types, not %d", len(types))
	}
	for _, t := range types {
		if _, ok := s.conf.InstanceTypes[t]; !ok {
			return invalid("instance type %s does not exist", t)
		}
	}
	return nil
}
