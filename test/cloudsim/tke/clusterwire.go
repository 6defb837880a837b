package tke

import "encoding/json"

// ignored is a parameter the simulator takes and does nothing with.
type ignored = json.RawMessage

type createClusterRequest struct {
	ClusterType               string
	ClusterBasicSettings      basicSettings
	ClusterCIDRSettings       cidrSettings
	ClusterAdvancedSettings   advancedSettings
	InstanceAdvancedSettings  ignored
	RunInstancesForNode       []ignored
	ExistedInstancesForNode   []ignored
	InstanceDataDiskMountings ignored `json:"InstanceDataDiskMountSettings"`
	ExtensionAddons           ignored
}

type basicSettings struct {
	ClusterName, ClusterDescription, ClusterVersion, ClusterOs string
	VpcId, SubnetId, ClusterLevel, OsCustomizeType             string
	ProjectId                                                  int64
	NeedWorkSecurityGroup                                      bool
	TagSpecification                                           []tagSpecification
	AutoUpgradeClusterLevel                                    struct{ IsAutoUpgrade bool }
}

type tagSpecification struct {
	ResourceType string
	Tags         []tag
}

type cidrSettings struct {
	ClusterCIDR, ServiceCIDR                             string
	IgnoreClusterCIDRConflict, IgnoreServiceCIDRConflict bool
	MaxNodePodNum, MaxClusterServiceNum                  int
	EniSubnetIds                                         []string
	ClaimExpiredSeconds                                  int64
}

type advancedSettings struct {
	IPVS, AsEnabled, IsNonStaticIpMode, DeletionProtection, AuditEnabled bool
	EnableCustomizedPodCIDR, IsDualStack, QGPUShareEnable                bool
	ContainerRuntime, RuntimeVersion, NodeNameType, NetworkType          string
	KubeProxyMode, AuditLogsetId, AuditLogTopicId, VpcCniType            string
	CiliumMode                                                           string
	BasePodNumber                                                        int64
	ExtraArgs                                                            ignored
}

// A clusterView is what lists show of a cluster.
type clusterView struct {
	ClusterId, ClusterName, ClusterDescription, ClusterVersion, ClusterOs string
	ClusterType                                                           string
	ClusterNetworkSettings                                                networkView
	ClusterNodeNum, ClusterMaterNodeNum, ClusterEtcdNodeNum               int
	ProjectId                                                             int64
	TagSpecification                                                      []tagSpecification
	ClusterStatus, Property, ImageId, OsCustomizeType                     string
	ContainerRuntime, RuntimeVersion, CreatedTime, ClusterLevel           string
	DeletionProtection, AutoUpgradeClusterLevel                           bool
	EnableExternalNode, QGPUShareEnable                                   bool

	account, region string
}

type networkView struct {
	ClusterCIDR, ServiceCIDR, VpcId, KubeProxyMode, CiliumMode string
	IgnoreClusterCIDRConflict, Ipvs, Cni, IsDualStack          bool
	IgnoreServiceCIDRConflict                                  bool
	MaxNodePodNum, MaxClusterServiceNum                        int
	Subnets                                                    []string
	Ipv6ServiceCIDR                                            string
}
