package ack

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

var profiles = []string{"Default", "Edge", "Serverless", "Lingjun", "Acs"}

// validateCluster checks the body of CreateCluster as far as ACK is known to,
// and fills in defaults.
func (s *Server) validateCluster(raw []byte, q *createClusterRequest) error {
	if s.Config.Switches.RejectDeprecated {
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(raw, &fields)
		for k := range fields {
			if k == "num_of_nodes" || strings.HasPrefix(k, "worker_") || strings.HasPrefix(k, "master_") {
				return invalid(k, "%s is deprecated, use node pools", k)
			}
		}
	}
	if q.Name == "" || len([]rune(q.Name)) > 63 {
		return invalid("Name", "name must have 1 to 63 characters")
	}
	if _, ok := s.Config.Regions[q.RegionID]; !ok {
		return invalid("RegionId", "region %q does not exist", q.RegionID)
	}
	switch q.ClusterType {
	case "ManagedKubernetes":
	case "":
		return invalid("ClusterType", "cluster_type is required")
	case "Kubernetes":
		return fail(http.StatusBadRequest, "OperationDenied.DedicatedCluster", "dedicated clusters can no longer be created")
	default:
		return invalid("ClusterType", "cluster_type %q is not supported", q.ClusterType)
	}
	if q.Profile == "" {
		q.Profile = "Default"
	}
	if !slices.Contains(profiles, q.Profile) {
		return invalid("Profile", "profile %q is not one of %s", q.Profile, strings.Join(profiles, ", "))
	}
	if q.Profile == "Serverless" {
		return fail(http.StatusBadRequest, "OperationDenied.ServerlessCluster", "serverless clusters are no longer open to new users, use ACS")
	}
	if q.ClusterSpec == "" {
		q.ClusterSpec = "ack.standard"
	}
	if q.ClusterSpec != "ack.standard" && !strings.HasPrefix(q.ClusterSpec, "ack.pro.") {
		return invalid("ClusterSpec", "cluster_spec %q is not supported", q.ClusterSpec)
	}
	if err := s.validateVersion(q); err != nil {
		return err
	}
	if err := s.validateVSwitches(q.RegionID, q.VPCID, q.VSwitchIDs); err != nil {
		return err
	}
	if len(q.PodVSwitchIDs) > 0 {
		if err := s.validateVSwitches(q.RegionID, q.VPCID, q.PodVSwitchIDs); err != nil {
			return err
		}
	}
	return s.validateCIDRs(q)
}

func (s *Server) validateVersion(q *createClusterRequest) error {
	known := s.Config.Versions
	if q.KubernetesVersion == "" && len(known) > 0 {
		q.KubernetesVersion = known[len(known)-1]
	}
	if len(known) > 0 && !slices.Contains(known, q.KubernetesVersion) {
		return invalid("KubernetesVersion", "kubernetes_version %q is not one of %s", q.KubernetesVersion, strings.Join(known, ", "))
	}
	return nil
}

func (s *Server) validateVSwitches(region, vpc string, ids []string) error {
	if _, ok := s.Config.Regions[region].VPCs[vpc]; !ok {
		return fail(http.StatusBadRequest, "InvalidVpcId.NotFound", "VPC %q does not exist in region %s", vpc, region)
	}
	if len(ids) == 0 {
		return invalid("VSwitchIds", "vswitch_ids is required")
	}
	for _, id := range ids {
		in, _, err := s.VSwitch(region, id)
		if err != nil {
			return fail(http.StatusBadRequest, "InvalidVSwitchId.NotFound", "%v", err)
		}
		if in != vpc {
			return fail(http.StatusBadRequest, "InvalidVSwitchId.NotFound", "vSwitch %s is not in VPC %s", id, vpc)
		}
	}
	return nil
}

func (s *Server) validateCIDRs(q *createClusterRequest) error {
	terway := slices.ContainsFunc(q.Addons, func(a addonSpec) bool { return strings.HasPrefix(a.Name, "terway") })
	if !terway && q.ContainerCIDR == "" {
		return invalid("ContainerCidr", "container_cidr is required with flannel")
	}
	vpc, err := netip.ParsePrefix(s.Config.Regions[q.RegionID].VPCs[q.VPCID].CIDR)
	if err != nil {
		return invalid("VpcId", "VPC %s has no CIDR", q.VPCID)
	}
	taken := map[string]netip.Prefix{"the VPC": vpc}
	for _, f := range []struct{ field, cidr string }{{"ServiceCidr", q.ServiceCIDR}, {"ContainerCidr", q.ContainerCIDR}} {
		if f.cidr == "" {
			if f.field == "ServiceCidr" {
				return invalid(f.field, "service_cidr is required")
			}
			continue
		}
		p, err := netip.ParsePrefix(f.cidr)
		if err != nil {
			return invalid(f.field, "%q is not a CIDR block", f.cidr)
		}
		for what, o := range taken {
			if p.Overlaps(o) {
				return invalid(f.field, "%s overlaps %s %s", f.cidr, what, o)
			}
		}
		taken[f.field] = p
	}
	if q.NodeCIDRMask != "" && q.ContainerCIDR != "" {
		if n, err := strconv.Atoi(q.NodeCIDRMask); err != nil || n < 24 || n > 28 {
			return invalid("NodeCidrMask", "node_cidr_mask must be in 24..28, not %q", q.NodeCIDRMask)
		}
	}
	if !s.Config.Switches.RejectSharedPodCIDR || q.ContainerCIDR == "" {
		return nil
	}
	for _, o := range s.clusters {
		if o.region == q.RegionID && o.spec.VPCID == q.VPCID && o.spec.ContainerCIDR != "" {
			if p, err := netip.ParsePrefix(o.spec.ContainerCIDR); err == nil && p.Overlaps(taken["ContainerCidr"]) {
				return invalid("ContainerCidr", "%s overlaps that of cluster %s", q.ContainerCIDR, o.id)
			}
		}
	}
	return nil
}

// validateNodePool checks a node pool's wanted state.
func (s *Server) validateNodePool(c *cluster, q *nodePoolSpec) error {
	g := &q.ScalingGroup
	if q.NodepoolInfo.Name == "" || len([]rune(q.NodepoolInfo.Name)) > 63 {
		return invalid("NodepoolInfo.Name", "name must have 1 to 63 characters")
	}
	switch q.NodepoolInfo.Type {
	case "", "ess":
	default:
		return invalid("NodepoolInfo.Type", "type %q is not supported in this cluster", q.NodepoolInfo.Type)
	}
	if n := len(g.InstanceTypes); n < 1 || n > 10 {
		return invalid("ScalingGroup.InstanceTypes", "instance_types must have 1 to 10 entries, not %d", n)
	}
	for _, t := range g.InstanceTypes {
		if _, ok := s.Config.InstanceTypes[t]; !ok {
			return fail(http.StatusBadRequest, "InvalidInstanceType.NotSupported", "instance type %s is not supported", t)
		}
	}
	if n := len(g.VSwitchIDs); n < 1 || n > 8 {
		return invalid("ScalingGroup.VswitchIds", "vswitch_ids must have 1 to 8 entries, not %d", n)
	}
	if err := s.validateVSwitches(c.region, c.spec.VPCID, g.VSwitchIDs); err != nil {
		return err
	}
	switch g.InstanceChargeType {
	case "", "PostPaid", "PrePaid":
	default:
		return invalid("ScalingGroup.InstanceChargeType", "instance_charge_type %q is not PostPaid or PrePaid", g.InstanceChargeType)
	}
	if err := oneOf("ScalingGroup.SpotStrategy", g.SpotStrategy, "NoSpot", "SpotAsPriceGo", "SpotWithPriceLimit"); err != nil {
		return err
	}
	if err := oneOf("ScalingGroup.MultiAzPolicy", g.MultiAZPolicy, "PRIORITY", "COST_OPTIMIZED", "BALANCE"); err != nil {
		return err
	}
	if err := oneOf("ScalingGroup.ScalingPolicy", g.ScalingPolicy, "release", "recycle"); err != nil {
		return err
	}
	for _, d := range g.DataDisks {
		if err := oneOf("ScalingGroup.DataDisks.Encrypted", d.Encrypted, "true", "false"); err != nil {
			return err
		}
	}
	for _, t := range q.KubernetesConfig.Taints {
		if err := oneOf("KubernetesConfig.Taints.Effect", t.Effect, "NoSchedule", "PreferNoSchedule", "NoExecute"); err != nil {
			return err
		}
	}
	return validateSize(q)
}

func validateSize(q *nodePoolSpec) error {
	a := q.AutoScaling
	if a.Enable && (q.ScalingGroup.DesiredSize != nil || q.Count != nil) {
		return fail(http.StatusBadRequest, "InvalidDesiredSizeOrCount.NotNull", "desired_size/count not supported for autoscaling-enabled nodepool")
	}
	if a.Enable && (a.MinInstances < 0 || a.MaxInstances < a.MinInstances) {
		return invalid("AutoScaling.MaxInstances", "max_instances %d is below min_instances %d", a.MaxInstances, a.MinInstances)
	}
	if d := q.ScalingGroup.DesiredSize; d != nil && *d < 0 {
		return invalid("ScalingGroup.DesiredSize", "desired_size must not be negative")
	}
	if q.Count != nil && *q.Count < 0 {
		return invalid("Count", "count must not be negative")
	}
	return nil
}

func oneOf(field, v string, allowed ...string) error {
	if v != "" && !slices.Contains(allowed, v) {
		return invalid(field, "%q is not one of %s", v, strings.Join(allowed, ", "))
	}
	return nil
}

// setsSize reports whether a body sets the size of a node pool.
func setsSize(body []byte) bool {
	var q nodePoolSpec
	return json.Unmarshal(body, &q) == nil && (q.ScalingGroup.DesiredSize != nil || q.Count != nil)
}
