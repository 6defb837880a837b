package ack

// The shapes of requests and answers, named and typed as on the wire. Only what
// the simulator looks at is listed; unknown fields are accepted.

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

type addonSpec struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Config   string `json:"config,omitempty"`
	Disabled bool   `json:"disabled,omitempty"`
}

type createClusterRequest struct {
	Name                      string      `json:"name"`
	RegionID                  string      `json:"region_id"`
	ClusterType               string      `json:"cluster_type"`
	ClusterSpec               string      `json:"cluster_spec"`
	Profile                   string      `json:"profile"`
	KubernetesVersion         string      `json:"kubernetes_version"`
	VPCID                     string      `json:"vpcid"`
	VSwitchIDs                []string    `json:"vswitch_ids"`
	PodVSwitchIDs             []string    `json:"pod_vswitch_ids"`
	ServiceCIDR               string      `json:"service_cidr"`
	ContainerCIDR             string      `json:"container_cidr"`
	NodeCIDRMask              string      `json:"node_cidr_mask"`
	ProxyMode                 string      `json:"proxy_mode"`
	Timezone                  string      `json:"timezone"`
	SecurityGroupID           string      `json:"security_group_id"`
	IsEnterpriseSecurityGroup bool        `json:"is_enterprise_security_group"`
	SNATEntry                 *bool       `json:"snat_entry"`
	EndpointPublicAccess      bool        `json:"endpoint_public_access"`
	DeletionProtection        bool        `json:"deletion_protection"`
	EnableRRSA                bool        `json:"enable_rrsa"`
	LoggingType               string      `json:"logging_type"`
	ControlPlaneLogComponents []string    `json:"controlplane_log_components"`
	Addons                    []addonSpec `json:"addons"`
	Tags                      []tag       `json:"tags"`
	ResourceGroupID           string      `json:"resource_group_id"`
}

type modifyClusterRequest struct {
	ClusterName        *string  `json:"cluster_name"`
	DeletionProtection *bool    `json:"deletion_protection"`
	APIServerEIP       *bool    `json:"api_server_eip"`
	APIServerEIPID     string   `json:"api_server_eip_id"`
	EnableRRSA         *bool    `json:"enable_rrsa"`
	VSwitchIDs         []string `json:"vswitch_ids"`
	ResourceGroupID    *string  `json:"resource_group_id"`
}

// clusterView is a cluster as DescribeClusterDetail and the lists show it.
type clusterView struct {
	ClusterID              string   `json:"cluster_id"`
	Name                   string   `json:"name"`
	State                  string   `json:"state"`
	ClusterType            string   `json:"cluster_type"`
	ClusterSpec            string   `json:"cluster_spec"`
	Profile                string   `json:"profile"`
	CurrentVersion         string   `json:"current_version"`
	InitVersion            string   `json:"init_version"`
	NextVersion            string   `json:"next_version"`
	RegionID               string   `json:"region_id"`
	ZoneID                 string   `json:"zone_id"`
	VPCID                  string   `json:"vpc_id"`
	VSwitchID              string   `json:"vswitch_id"`
	VSwitchIDs             []string `json:"vswitch_ids"`
	SecurityGroupID        string   `json:"security_group_id"`
	ExternalLoadBalancerID string   `json:"external_loadbalancer_id"`
	WorkerRAMRoleName      string   `json:"worker_ram_role_name"`
	ServiceCIDR            string   `json:"service_cidr"`
	ContainerCIDR          string   `json:"container_cidr"`
	SubnetCIDR             string   `json:"subnet_cidr"`
	NodeCIDRMask           string   `json:"node_cidr_mask"`
	ProxyMode              string   `json:"proxy_mode"`
	NetworkMode            string   `json:"network_mode"`
	ClusterDomain          string   `json:"cluster_domain"`
	Timezone               string   `json:"timezone"`
	ResourceGroupID        string   `json:"resource_group_id"`
	DeletionProtection     bool     `json:"deletion_protection"`
	Tags                   []tag    `json:"tags"`
	Created                string   `json:"created"`
	Updated                string   `json:"updated"`
	Size                   int      `json:"size"`
	MasterURL              string   `json:"master_url"`
	MetaData               string   `json:"meta_data"`

	account string
}

type pageInfo struct {
	PageNumber int `json:"page_number"`
	PageSize   int `json:"page_size"`
	TotalCount int `json:"total_count"`
}

type dataDisk struct {
	Category string `json:"category"`
	Size     int    `json:"size"`
	// Encrypted is a string on the wire, not a boolean.
	Encrypted string `json:"encrypted"`
}

type nodePoolSpec struct {
	NodepoolInfo struct {
		Name            string `json:"name"`
		Type            string `json:"type"`
		ResourceGroupID string `json:"resource_group_id"`
	} `json:"nodepool_info"`
	AutoScaling struct {
		Enable       bool   `json:"enable"`
		MinInstances int    `json:"min_instances"`
		MaxInstances int    `json:"max_instances"`
		Type         string `json:"type"`
	} `json:"auto_scaling"`
	ScalingGroup struct {
		InstanceTypes          []string   `json:"instance_types"`
		VSwitchIDs             []string   `json:"vswitch_ids"`
		InstanceChargeType     string     `json:"instance_charge_type"`
		DesiredSize            *int       `json:"desired_size"`
		MultiAZPolicy          string     `json:"multi_az_policy"`
		ScalingPolicy          string     `json:"scaling_policy"`
		SpotStrategy           string     `json:"spot_strategy"`
		CompensateWithOnDemand bool       `json:"compensate_with_on_demand"`
		SpotInstanceRemedy     bool       `json:"spot_instance_remedy"`
		SystemDiskCategory     string     `json:"system_disk_category"`
		SystemDiskSize         int        `json:"system_disk_size"`
		DataDisks              []dataDisk `json:"data_disks"`
		Tags                   []tag      `json:"tags"`
	} `json:"scaling_group"`
	KubernetesConfig struct {
		Labels        []tag   `json:"labels"`
		Taints        []taint `json:"taints"`
		Unschedulable bool    `json:"unschedulable"`
	} `json:"kubernetes_config"`
	Count *int `json:"count"`
}

// nodePoolView is a node pool as on the wire: what was asked for, with ids,
// sizes and status filled in.
type nodePoolView struct {
	id, cluster, name string
	body              map[string]any
}

type nodePoolStatus struct {
	State        string `json:"state"`
	TotalNodes   int    `json:"total_nodes"`
	HealthyNodes int    `json:"healthy_nodes"`
	ServingNodes int    `json:"serving_nodes"`
	InitialNodes int    `json:"initial_nodes"`
	OfflineNodes int    `json:"offline_nodes"`
	RemovingNode int    `json:"removing_nodes"`
	FailedNodes  int    `json:"failed_nodes"`
}

// nodeView is a node as DescribeClusterNodes shows it.
type nodeView struct {
	InstanceID         string   `json:"instance_id"`
	InstanceName       string   `json:"instance_name"`
	InstanceRole       string   `json:"instance_role"`
	InstanceStatus     string   `json:"instance_status"`
	InstanceType       string   `json:"instance_type"`
	InstanceTypeFamily string   `json:"instance_type_family"`
	InstanceChargeType string   `json:"instance_charge_type"`
	SpotStrategy       string   `json:"spot_strategy"`
	NodeName           string   `json:"node_name"`
	NodeStatus         string   `json:"node_status"`
	NodepoolID         string   `json:"nodepool_id"`
	HostName           string   `json:"host_name"`
	IPAddress          []string `json:"ip_address"`
	State              string   `json:"state"`
	Source             string   `json:"source"`
	ErrorMessage       string   `json:"error_message"`
	CreationTime       string   `json:"creation_time"`
	IsAliyunNode       bool     `json:"is_aliyun_node"`

	cluster string
}

type taskError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type taskStage struct {
	State     string         `json:"state"`
	Message   string         `json:"message"`
	StartTime string         `json:"start_time"`
	EndTime   string         `json:"end_time"`
	Outputs   map[string]any `json:"outputs"`
}

type taskEvent struct {
	Action    string `json:"action"`
	Level     string `json:"level"`
	Message   string `json:"message"`
	Reason    string `json:"reason"`
	Source    string `json:"source"`
	Timestamp string `json:"timestamp"`
}

type taskView struct {
	TaskID       string              `json:"task_id"`
	TaskType     string              `json:"task_type"`
	State        string              `json:"state"`
	ClusterID    string              `json:"cluster_id"`
	Created      string              `json:"created"`
	Updated      string              `json:"updated"`
	CurrentStage string              `json:"current_stage"`
	Target       map[string]string   `json:"target"`
	Stages       []taskStage         `json:"stages"`
	Events       []taskEvent         `json:"events"`
	Parameters   map[string]any      `json:"parameters"`
	TaskResult   []map[string]string `json:"task_result"`
	Error        *taskError          `json:"error,omitempty"`
}
