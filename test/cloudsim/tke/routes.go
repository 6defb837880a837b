package tke

import (
	"net/http"
	"strings"
)

// An action of a product's API.
type action struct {
	// Action is its name.
	Action  string
	product string
	handle  func(*Server, *call) (map[string]any, error)
	// writes is true for calls that can change something.
	writes bool
}

// A product of the cloud. All its actions have one version.
type product struct {
	version string
	actions map[string]func(*Server, *call) (map[string]any, error)
}

var products = map[string]product{
	"tke": {version: "2018-05-25", actions: map[string]func(*Server, *call) (map[string]any, error){
		"CreateCluster":                         (*Server).createCluster,
		"DescribeClusters":                      (*Server).describeClusters,
		"DescribeClusterStatus":                 (*Server).describeClusterStatus,
		"ModifyClusterAttribute":                (*Server).modifyClusterAttribute,
		"DeleteCluster":                         (*Server).deleteCluster,
		"EnableClusterDeletionProtection":       (*Server).enableProtection,
		"DisableClusterDeletionProtection":      (*Server).disableProtection,
		"DescribeClusterLevelAttribute":         (*Server).describeLevels,
		"DescribeVersions":                      (*Server).describeVersions,
		"CreateClusterEndpoint":                 (*Server).createEndpoint,
		"DeleteClusterEndpoint":                 (*Server).deleteEndpoint,
		"DescribeClusterEndpoints":              (*Server).describeEndpoints,
		"DescribeClusterEndpointStatus":         (*Server).describeEndpointStatus,
		"DescribeClusterKubeconfig":             (*Server).describeKubeconfig,
		"CreateClusterNodePool":                 (*Server).createNodePool,
		"DescribeClusterNodePools":              (*Server).describeNodePools,
		"DescribeClusterNodePoolDetail":         (*Server).describeNodePool,
		"ModifyClusterNodePool":                 (*Server).modifyNodePool,
		"ModifyNodePoolDesiredCapacityAboutAsg": (*Server).modifyDesired,
		"ModifyNodePoolInstanceTypes":           (*Server).modifyInstanceTypes,
		"SetNodePoolNodeProtection":             (*Server).setNodeProtection,
		"DeleteClusterNodePool":                 (*Server).deleteNodePool,
		"DescribeClusterInstances":              (*Server).describeClusterInstances,
		"DeleteClusterInstances":                (*Server).deleteClusterInstances,
		"CreateClusterVirtualNodePool":          (*Server).createVirtualNodePool,
		"DescribeClusterVirtualNodePools":       (*Server).describeVirtualNodePools,
		"ModifyClusterVirtualNodePool":          (*Server).modifyVirtualNodePool,
		"DeleteClusterVirtualNodePool":          (*Server).deleteVirtualNodePool,
		"CreateClusterVirtualNode":              (*Server).createVirtualNode,
		"DescribeClusterVirtualNode":            (*Server).describeVirtualNodes,
		"DrainClusterVirtualNode":               (*Server).drainVirtualNode,
		"DeleteClusterVirtualNode":              (*Server).deleteVirtualNode,
	}},
	"as": {version: "2018-04-19", actions: map[string]func(*Server, *call) (map[string]any, error){
		"DescribeAutoScalingActivities": (*Server).describeActivities,
		"DescribeAutoScalingGroups":     (*Server).describeScalingGroups,
		"DeleteAutoScalingGroup":        (*Server).deleteScalingGroup,
		"DescribeLaunchConfigurations":  (*Server).describeLaunchConfigurations,
		"DeleteLaunchConfiguration":     (*Server).deleteLaunchConfiguration,
	}},
	"vpc": {version: "2017-03-12", actions: map[string]func(*Server, *call) (map[string]any, error){
		"DescribeVpcs":              (*Server).describeVPCs,
		"DescribeSubnets":           (*Server).describeSubnets,
		"DescribeNatGateways":       (*Server).describeNATGateways,
		"DescribeAddresses":         (*Server).describeAddresses,
		"DescribeNetworkInterfaces": (*Server).describeInterfaces,
		"DescribeSecurityGroups":    (*Server).describeSecurityGroups,
		"DeleteNetworkInterface":    (*Server).deleteInterface,
		"DeleteSecurityGroup":       (*Server).deleteSecurityGroup,
		"DeleteNatGateway":          (*Server).deleteNATGateway,
		"ReleaseAddresses":          (*Server).releaseAddresses,
	}},
	"clb": {version: "2018-03-17", actions: map[string]func(*Server, *call) (map[string]any, error){
		"DescribeLoadBalancers": (*Server).describeLoadBalancers,
		"DeleteLoadBalancer":    (*Server).deleteLoadBalancer,
	}},
	"cbs": {version: "2017-03-12", actions: map[string]func(*Server, *call) (map[string]any, error){
		"DescribeDisks":  (*Server).describeDisks,
		"TerminateDisks": (*Server).terminateDisks,
	}},
	"cvm": {version: "2017-03-12", actions: map[string]func(*Server, *call) (map[string]any, error){
		"DescribeInstances":               (*Server).describeInstances,
		"TerminateInstances":              (*Server).terminateInstances,
		"DescribeZoneInstanceConfigInfos": (*Server).describeOffers,
	}},
	"tag": {version: "2018-08-13", actions: map[string]func(*Server, *call) (map[string]any, error){
		"TagResources":         (*Server).tagResources,
		"UnTagResources":       (*Server).untagResources,
		"DescribeResourceTags": (*Server).describeResourceTags,
	}},
}

// resolve what a request asks for. The product is the service its signature
// names, since one listener has all of them.
func (s *Server) resolve(r *http.Request, service, region string) (action, error) {
	p, ok := products[service]
	if !ok {
		return action{}, fail("NoSuchProduct", "The product `%s` does not exist.", service)
	}
	if r.Method != http.MethodPost {
		return action{}, fail("UnsupportedProtocol", "The simulator takes POST only.")
	}
	if v := r.Header.Get("X-TC-Version"); v != p.version {
		return action{}, fail("NoSuchVersion", "The specified version `%s` of `%s` does not exist.", v, service)
	}
	name := r.Header.Get("X-TC-Action")
	h, ok := p.actions[name]
	if !ok {
		return action{}, fail("InvalidAction", "The request action=`%s` is invalid or not found.", name)
	}
	// Tags are the same in all regions.
	if _, known := s.conf.Regions[region]; service != "tag" && !known {
		if region == "" {
			return action{}, missing("Region")
		}
		return action{}, fail("UnsupportedRegion", "The product `%s` does not support the region `%s`.", service, region)
	}
	return action{Action: name, product: service, handle: h, writes: !strings.HasPrefix(name, "Describe")}, nil
}
