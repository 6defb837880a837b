package tke

import (
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
)

// private networks a cluster's CIDR may be in.
var private = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}

// validateCluster checks the parameters of CreateCluster as far as TKE is known
// to, and fills in defaults.
func (s *Server) validateCluster(c *call, q *createClusterRequest) error {
	b := &q.ClusterBasicSettings
	switch {
	case q.ClusterType == "":
		return missing("ClusterType")
	case q.ClusterType != "MANAGED_CLUSTER":
		return fail("InvalidParameter", "ClusterType %q is not supported here, only MANAGED_CLUSTER", q.ClusterType)
	case len(q.RunInstancesForNode) > 0 || len(q.ExistedInstancesForNode) > 0:
		return fail("InvalidParameter", "the simulator makes clusters without nodes only")
	case len([]rune(b.ClusterName)) > 60:
		return fail("InvalidParameter", "ClusterName has more than 60 characters")
	}
	for _, t := range b.TagSpecification {
		if t.ResourceType != "cluster" {
			return fail("InvalidParameter", "ResourceType %q of TagSpecification is not cluster", t.ResourceType)
		}
	}
	if known := s.conf.Versions; len(known) > 0 {
		if b.ClusterVersion == "" {
			b.ClusterVersion = known[len(known)-1]
		}
		if !slices.Contains(known, b.ClusterVersion) {
			return fail("InvalidParameter", "ClusterVersion %q is not one of %s", b.ClusterVersion, strings.Join(known, ", "))
		}
	}
	if b.ClusterLevel == "" {
		b.ClusterLevel = s.conf.Levels[0].Name
	}
	if _, ok := s.level(b.ClusterLevel); !ok {
		return fail("InvalidParameter", "ClusterLevel %q does not exist", b.ClusterLevel)
	}
	if b.VpcId == "" {
		return missing("ClusterBasicSettings.VpcId")
	}
	if _, ok := s.conf.Regions[c.region].VPCs[b.VpcId]; !ok {
		return fail(s.pick("vpc", "FailedOperation.VpcRecodrNotFound", "InternalError.VpcRecodrNotFound"), "VPC %s does not exist in %s", b.VpcId, c.region)
	}
	if b.SubnetId != "" {
		if err := s.validateSubnets(c.region, b.VpcId, []string{b.SubnetId}); err != nil {
			return err
		}
	}
	return s.validateNetwork(c, q)
}

func (s *Server) validateNetwork(c *call, q *createClusterRequest) error {
	n, a := &q.ClusterCIDRSettings, &q.ClusterAdvancedSettings
	if a.NetworkType == "" {
		a.NetworkType = "GR"
	}
	if n.MaxNodePodNum == 0 {
		n.MaxNodePodNum = 256
	}
	if n.MaxClusterServiceNum == 0 {
		n.MaxClusterServiceNum = 256
	}
	if n.MaxNodePodNum < 4 || n.MaxNodePodNum > 256 {
		return fail("InvalidParameter", "MaxNodePodNum %d is not in 4..256", n.MaxNodePodNum)
	}
	n.MaxNodePodNum = 1 << bits.Len(uint(n.MaxNodePodNum-1))
	switch a.NetworkType {
	case "GR":
		if n.ClusterCIDR == "" {
			return missing("ClusterCIDRSettings.ClusterCIDR")
		}
	case "VPC-CNI":
		if len(n.EniSubnetIds) == 0 {
			return missing("ClusterCIDRSettings.EniSubnetIds")
		}
		if n.ServiceCIDR == "" {
			return missing("ClusterCIDRSettings.ServiceCIDR")
		}
		if err := s.validateSubnets(c.region, q.ClusterBasicSettings.VpcId, n.EniSubnetIds); err != nil {
			return err
		}
	default:
		return fail("InvalidParameter", "NetworkType %q is not GR or VPC-CNI", a.NetworkType)
	}
	for _, cidr := range []string{n.ClusterCIDR, n.ServiceCIDR} {
		if cidr == "" {
			continue
		}
		if err := s.validateCIDR(c, q, cidr); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) validateCIDR(c *call, q *createClusterRequest, cidr string) error {
	p, err := netip.ParsePrefix(cidr)
	if err != nil || p != p.Masked() {
		return fail("InvalidParameter.CidrInvalid", "%q is not a CIDR", cidr)
	}
	if !slices.ContainsFunc(private, func(n netip.Prefix) bool { return n.Bits() <= p.Bits() && n.Contains(p.Addr()) }) {
		return fail("InvalidParameter.InvalidPrivateNetworkCIDR", "%s is not in a private network", cidr)
	}
	if p.Bits() < 10 || p.Bits() > 24 {
		return fail("InvalidParameter.CIDRMaskSizeOutOfRange", "the mask of %s is not in 10..24", cidr)
	}
	vpc := q.ClusterBasicSettings.VpcId
	own, err := netip.ParsePrefix(s.conf.Regions[c.region].VPCs[vpc].CIDR)
	if err == nil && own.Overlaps(p) {
		return fail("InvalidParameter.CidrConflictWithVpcCidr", "%s overlaps the CIDR %s of VPC %s", cidr, own, vpc)
	}
	if !s.conf.Switches.RejectSharedCIDR || q.ClusterCIDRSettings.IgnoreClusterCIDRConflict {
		return nil
	}
	for _, k := range s.clusters {
		o, err := netip.ParsePrefix(k.spec.ClusterCIDRSettings.ClusterCIDR)
		if err == nil && k.vpc() == vpc && k.region == c.region && o.Overlaps(p) {
			return fail("InvalidParameter.CidrConflictWithOtherCluster", "%s overlaps the CIDR of cluster %s", cidr, k.id)
		}
	}
	return nil
}

// subnet finds a subnet of a region, with the VPC it is in.
func (s *Server) subnet(region, id string) (vpc string, v config.VSwitch, ok bool) {
	for vn, p := range s.conf.Regions[region].VPCs {
		if v, ok := p.VSwitches[id]; ok {
			return vn, v, true
		}
	}
	return "", config.VSwitch{}, false
}

// validateSubnets of a VPC.
func (s *Server) validateSubnets(region, vpc string, ids []string) error {
	for _, id := range ids {
		if in, _, ok := s.subnet(region, id); !ok || in != vpc {
			return invalid("subnet %s does not exist in VPC %s", id, vpc)
		}
	}
	return nil
}

// level of that name.
func (s *Server) level(name string) (config.ClusterLevel, bool) {
	for _, l := range s.conf.Levels {
		if l.Name == name {
			return l, true
		}
	}
	return config.ClusterLevel{}, false
}

// quotas of an account, with defaults.
func (s *Server) quotas(account string) config.Quotas {
	a, _ := s.account(account)
	q := a.Quotas
	if q.Clusters == 0 {
		q.Clusters = 20
	}
	if q.NodePools == 0 {
		q.NodePools = 100
	}
	if q.NodesPerCluster == 0 {
		q.NodesPerCluster = 500
	}
	return q
}
