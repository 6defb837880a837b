// Package tke is a narrow client of Tencent Kubernetes Engine (product tke,
// version 2018-05-25) and of the few calls of its neighbours (as, cvm, vpc, clb,
// cbs, tag) that are needed beside it. It sits on the vendor's SDK and adds what
// that lacks: typed errors, a token bucket for the account, pages, exact filters
// and metrics.
package tke

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// States of a cluster. DescribeClusters does not show upgrades and the like:
// GetClusterStatus does.
const (
	ClusterTrading  = "Trading"
	ClusterCreating = "Creating"
	ClusterRunning  = "Running"
	ClusterIdling   = "Idling"
	ClusterIsolated = "Isolated"
	ClusterAbnormal = "Abnormal"
	ClusterDeleting = "Deleting"
)

// States of a node pool, and of a virtual one.
const (
	NodePoolCreating = "creating"
	NodePoolNormal   = "normal"
	NodePoolUpdating = "updating"
	NodePoolDeleting = "deleting"
	NodePoolDeleted  = "deleted"
)

// States of an instance of a node pool.
const (
	InstanceInitializing = "initializing"
	InstanceRunning      = "running"
	InstanceFailed       = "failed"
)

// States of an endpoint.
const (
	EndpointNotFound     = "NotFound"
	EndpointCreating     = "Creating"
	EndpointCreated      = "Created"
	EndpointCreateFailed = "CreateFailed"
	EndpointDeleting     = "Deleting"
	EndpointDeleted      = "Deleted"
)

// VirtualNodeRunning is the phase of a virtual node that takes pods.
const VirtualNodeRunning = "Running"

// Labels that TKE puts on nodes. The value of the second is the id of the
// machine: instances and nodes are matched by it. A node's name is the private
// address of its machine.
const (
	LabelNodePool   = "tke.cloud.tencent.com/nodepool-id"
	LabelInstanceID = "cloud.tencent.com/node-instance-id"
)

// TagCluster is put by TKE on what it makes for a cluster. Its value is the id of
// the cluster.
const TagCluster = "tke-clusterId"

// An API is what the controllers need of TKE. All errors are *cloud.Error. No
// call blocks until the cloud has done the work, and TKE has no tasks to ask for:
// progress is the state of the things themselves. Everything that is read lags
// behind writes by up to 3 s, details as well as lists: what was just created may
// seem absent, and what was just deleted may seem to be there.
type API interface {
	// CreateCluster that is managed, without nodes.
	CreateCluster(ctx context.Context, in ClusterInput) (id string, err error)
	// GetCluster by id. TKE answers with an empty list for a cluster that does
	// not exist; that is the code CodeClusterAbsent here, of class Gone, and the
	// only proof of absence that there is.
	GetCluster(ctx context.Context, id string) (*Cluster, error)
	// GetClusterStatus shows states that GetCluster does not, such as Upgrading.
	GetClusterStatus(ctx context.Context, id string) (*ClusterStatus, error)
	// ListClusters of the region that have exactly this name and all these tags.
	// The owner tag should be among them: names are not unique.
	ListClusters(ctx context.Context, name string, tags map[string]string) ([]Cluster, error)
	// SetDeletionProtection of a cluster. Read it back.
	SetDeletionProtection(ctx context.Context, id string, on bool) error
	// TagCluster adds tags or changes their values.
	TagCluster(ctx context.Context, id string, tags map[string]string) error
	// SetClusterLevel changes the billing class of the control plane, and whether
	// TKE may raise it.
	SetClusterLevel(ctx context.Context, id, level string, auto bool) error
	// DeleteCluster with its nodes, disks and load balancers. The default of TKE
	// would be to keep the disks.
	DeleteCluster(ctx context.Context, id string) error
	// ListLevels that a cluster can have. The id may be empty.
	ListLevels(ctx context.Context, id string) ([]Level, error)

	// CreateEndpoint of the API server. A public one is refused (WrongState) while
	// the cluster has neither a node nor a running virtual node.
	CreateEndpoint(ctx context.Context, clusterID string, in EndpointInput) error
	// GetEndpoint tells the state of an endpoint, and its address once there is
	// one: a public endpoint is Created one or two minutes before that. An
	// endpoint that was never made has state NotFound, which is no error.
	GetEndpoint(ctx context.Context, clusterID string, public bool) (*Endpoint, error)
	// DeleteEndpoint and its load balancer.
	DeleteEndpoint(ctx context.Context, clusterID string, public bool) error
	// Kubeconfig of the cluster's administrator, valid for years, with the
	// address of the endpoint as its server: the name that TKE writes there may
	// not resolve. While there is no address it is refused with the code
	// CodeNoEndpoint, of class WrongState.
	Kubeconfig(ctx context.Context, clusterID string, public bool) ([]byte, error)

	// CreateNodePool with its scaling group. The vendor's autoscaler is off.
	CreateNodePool(ctx context.Context, clusterID string, in NodePoolInput) (id string, err error)
	// GetNodePool by id. The codes of pools that do not exist are several, and
	// some are used for failures as well. So absence is confirmed by lists, and
	// only then the error is of class Gone, with the code CodeNodePoolAbsent or
	// CodeClusterAbsent. The same holds for all reads of things in a cluster.
	GetNodePool(ctx context.Context, clusterID, id string) (*NodePool, error)
	// ListNodePools of a cluster that have exactly this name and all these tags.
	// An empty name means any.
	ListNodePools(ctx context.Context, clusterID, name string, tags map[string]string) ([]NodePool, error)
	// SetDesired number of nodes. It must be within the pool's bounds (SetBounds
	// travels alone, before). Lowering it below the number of nodes makes the
	// scaling group remove some at once, without drain, of its own choice: do not.
	SetDesired(ctx context.Context, clusterID, id string, n int32) error
	// SetBounds of the number of nodes. They must admit the desired number.
	SetBounds(ctx context.Context, clusterID, id string, lowest, highest int32) error
	// SetInstanceTypes in the order in which they are tried.
	SetInstanceTypes(ctx context.Context, clusterID, id string, types []string) error
	// ConfigureNodePool changes what is set and leaves the number of nodes.
	ConfigureNodePool(ctx context.Context, clusterID, id string, in NodePoolChange) error
	// DeleteNodePool with the nodes that are left in it.
	DeleteNodePool(ctx context.Context, clusterID, id string) error
	// GetScalingGroup of a node pool: what GetNodePool does not tell. It takes
	// two calls.
	GetScalingGroup(ctx context.Context, id string) (*ScalingGroup, error)
	// ListInstances of a pool, all pages. An empty pool means the whole cluster.
	ListInstances(ctx context.Context, clusterID, poolID string) ([]Instance, error)
	// TerminateInstances of a pool and lower its desired number by as many. TKE
	// does not drain them: the caller has. The result says which were accepted;
	// it may be so for some only.
	TerminateInstances(ctx context.Context, clusterID string, ids []string) (*Terminated, error)
	// ListActivities of a scaling group that began at or after a time, newest
	// first. It is the only place where TKE tells that machines are sold out: the
	// call that ordered them succeeds. The scaling group goes on trying.
	ListActivities(ctx context.Context, scalingGroupID string, since time.Time) ([]Activity, error)

	// CreateVirtualNodePool with a virtual node in each subnet.
	CreateVirtualNodePool(ctx context.Context, clusterID string, in VirtualNodePoolInput) (id string, err error)
	// ConfigureVirtualNodePool changes what is set.
	ConfigureVirtualNodePool(ctx context.Context, clusterID, id string, in VirtualNodePoolChange) error
	// ListVirtualNodePools of a cluster, all of them. Virtual pools carry no tags
	// at the cloud, and their nodes do not show theirs: the owner is in the labels.
	ListVirtualNodePools(ctx context.Context, clusterID string) ([]VirtualNodePool, error)
	// AddVirtualNodes to a pool, one for each subnet. TKE refuses subnets that
	// have one (Conflict).
	AddVirtualNodes(ctx context.Context, clusterID, poolID string, subnetIDs []string, tags map[string]string) error
	// ListVirtualNodes of a pool.
	ListVirtualNodes(ctx context.Context, clusterID, poolID string) ([]VirtualNode, error)
	// DrainVirtualNode cordons it and evicts its pods.
	DrainVirtualNode(ctx context.Context, clusterID, name string) error
	// DeleteVirtualNodes. Without force TKE refuses (WrongState) while pods run on
	// them; with force they die.
	DeleteVirtualNodes(ctx context.Context, clusterID string, names []string, force bool) error
	// DeleteVirtualNodePool with its nodes. Force as above.
	DeleteVirtualNodePool(ctx context.Context, clusterID, id string, force bool) error
}

// ClusterInput of CreateCluster.
type ClusterInput struct {
	Name     string
	VPCID    string
	SubnetID string
	// ClusterCIDR selects GlobalRouter, ENISubnetIDs selects VPC-CNI.
	ClusterCIDR        string
	ENISubnetIDs       []string
	ServiceCIDR        string
	MaxPodsPerNode     int32
	Level              string
	AutoUpgradeLevel   bool
	KubernetesVersion  string
	DeletionProtection bool
	Tags               map[string]string
}

// A Cluster as TKE describes it.
type Cluster struct {
	ID                 string
	Name               string
	State              string
	Version            string
	VPCID              string
	Level              string
	AutoUpgradeLevel   bool
	DeletionProtection bool
	// Nodes that have registered. Virtual nodes do not count.
	Nodes   int32
	Tags    map[string]string
	Created time.Time
}

// A ClusterStatus is the other view of a cluster.
type ClusterStatus struct {
	State string
	// Nodes by state.
	Initialising, Running, Failed, Closing int32
	DeletionProtection                     bool
}

// A Level of a cluster and what it admits.
type Level struct {
	Name    string
	Nodes   int32
	Pods    int32
	Enabled bool
}

// EndpointInput of CreateEndpoint.
type EndpointInput struct {
	Public bool
	// SubnetID of a private endpoint.
	SubnetID string
	// SecurityGroupID of a public one.
	SecurityGroupID string
}

// An Endpoint of an API server.
type Endpoint struct {
	State string
	// Address is a URL, or empty while there is none.
	Address string
	// Message of a failure.
	Message string
}

// NodePoolInput of CreateNodePool.
type NodePoolInput struct {
	Name             string
	VPCID            string
	SubnetIDs        []string
	SecurityGroupIDs []string
	InstanceTypes    []string
	// Spot machines may be reclaimed.
	Spot bool
	// Desired number of nodes and its bounds.
	Desired, Min, Max int32
	DiskType          string
	DiskSizeGiB       int32
	Labels            map[string]string
	Taints            []corev1.Taint
	// Tags of the pool and of its machines and disks.
	Tags map[string]string
}

// NodePoolChange of ConfigureNodePool. Nil fields stay as they are.
type NodePoolChange struct {
	Labels map[string]string
	Taints []corev1.Taint
	Tags   map[string]string
	// DeletionProtection of the pool.
	DeletionProtection *bool
	// AutoScaling hands the number of nodes to the vendor's scaler, or takes it
	// back.
	AutoScaling *bool
}

// A NodePool as TKE describes it.
type NodePool struct {
	ID             string
	Name           string
	State          string
	ScalingGroupID string
	// ScalingGroupState is enabled, enabling, disabled, disabling, updating,
	// deleting, scaledown, or unknown.
	ScalingGroupState string
	// AutoScaling says that the vendor's scaler owns the number of nodes.
	AutoScaling        bool
	Labels             map[string]string
	Taints             []corev1.Taint
	Tags               map[string]string
	DeletionProtection bool
	// Desired number of nodes that the scaling group works towards, and its
	// bounds.
	Desired, Min, Max int32
	// Joining, Initialising and Normal nodes, and Total.
	Joining, Initialising, Normal, Total int32
}

// A ScalingGroup of a node pool.
type ScalingGroup struct {
	ID               string
	InstanceTypes    []string
	SubnetIDs        []string
	Zones            []string
	Desired          int32
	Instances        int32
	DiskType         string
	DiskSizeGiB      int32
	SecurityGroupIDs []string
	Spot             bool
	// Busy while an activity is under way.
	Busy bool
}

// An Instance of a node pool.
type Instance struct {
	ID         string
	State      string
	NodePoolID string
	// Address is the private one, which is also the node's name.
	Address string
	// Message of a failure.
	Message string
	Created time.Time
}

// Terminated says what TerminateInstances has done.
type Terminated struct {
	Accepted []string
	Failed   []string
	NotFound []string
}

// States of an activity.
const (
	ActivityInit      = "INIT"
	ActivityRunning   = "RUNNING"
	ActivitySucceeded = "SUCCESSFUL"
	ActivityPartial   = "PARTIALLY_SUCCESSFUL"
	ActivityFailed    = "FAILED"
	ActivityCancelled = "CANCELLED"
)

// ActivityScaleOut is the type of activities that launch machines.
const ActivityScaleOut = "SCALE_OUT"

// An Activity of a scaling group.
type Activity struct {
	ID    string
	Type  string
	State string
	// Message of the cloud, without what changes from call to call.
	Message string
	Started time.Time
	Ended   time.Time
	// Instances that came of it.
	Instances []string
	// Shortages that it tells of; none if it succeeded.
	Shortages []Shortage
}

// Done reports whether the activity has ended.
func (a *Activity) Done() bool {
	return a.State != ActivityInit && a.State != ActivityRunning
}

// Reasons of shortages, as in the status of node pools.
const (
	ReasonOutOfStock = "OutOfStock"
	ReasonQuota      = "Quota"
	ReasonFailed     = "Failed"
)

// A Shortage is machines that the cloud did not deliver.
type Shortage struct {
	// InstanceType and Zone that are short; empty if the cloud did not say.
	InstanceType string
	Zone         string
	// Reason is one of the above.
	Reason  string
	Code    string
	Message string
}

// VirtualNodePoolInput of CreateVirtualNodePool.
type VirtualNodePoolInput struct {
	Name             string
	SubnetIDs        []string
	SecurityGroupIDs []string
	Labels           map[string]string
	Taints           []corev1.Taint
	// Tags of the virtual nodes.
	Tags map[string]string
}

// VirtualNodePoolChange of ConfigureVirtualNodePool. Nil fields stay as they are.
type VirtualNodePoolChange struct {
	Labels map[string]string
	Taints []corev1.Taint
	// DeletionProtection of the pool.
	DeletionProtection *bool
}

// A VirtualNodePool as TKE describes it.
type VirtualNodePool struct {
	ID        string
	Name      string
	State     string
	SubnetIDs []string
	Labels    map[string]string
	Taints    []corev1.Taint
}

// A VirtualNode takes pods of one subnet.
type VirtualNode struct {
	Name     string
	SubnetID string
	Phase    string
	Created  time.Time
}

// A Market tells what machines cost and where they are to be had.
type Market interface {
	// ListOffers of all zones of the region for some types of machines, rented by
	// the hour, on demand and spot.
	ListOffers(ctx context.Context, types []string) ([]Offer, error)
	// ListSubnets by id.
	ListSubnets(ctx context.Context, ids []string) ([]Subnet, error)
}

// An Offer of machines in a zone.
type Offer struct {
	Zone         string
	InstanceType string
	Spot         bool
	// Price by the hour in CNY after discount, or 0 if the cloud did not say.
	Price float64
	// Available says that it is on sale, and Status how many there are
	// (EnoughStock, NormalStock, UnderStock, WithoutStock), if the cloud says.
	Available bool
	Status    string
	// CPU cores and memory.
	CPU       int32
	MemoryGiB int32
}

// A Subnet of a VPC.
type Subnet struct {
	ID      string
	VPCID   string
	Zone    string
	CIDR    string
	FreeIPs int32
}

// A Kind of things that are billed, or that block others' deletion. The words
// are those of Leak in the status of a ProviderConfig.
type Kind string

// Kinds of things.
const (
	KindCluster          Kind = "Cluster"
	KindInstance         Kind = "Instance"
	KindDisk             Kind = "Disk"
	KindLoadBalancer     Kind = "LoadBalancer"
	KindNATGateway       Kind = "NATGateway"
	KindAddress          Kind = "Address"
	KindNetworkInterface Kind = "NetworkInterface"
	KindSecurityGroup    Kind = "SecurityGroup"
)

// Kinds in the order in which they can be deleted: users before what they use.
var Kinds = []Kind{
	KindCluster, KindInstance, KindLoadBalancer, KindNATGateway, KindAddress,
	KindDisk, KindNetworkInterface, KindSecurityGroup,
}

// An Inventory of what exists in a region of an account.
type Inventory interface {
	// ListItems of a kind that carry the owner tag, or that TKE made for a
	// cluster.
	ListItems(ctx context.Context, k Kind) ([]Item, error)
	// DeleteItem. It is refused (WrongState) if the item is in use, by what it
	// says itself or by what the cloud says; a cluster is refused (Protected)
	// while its deletion protection is on. An item that is gone is no error.
	DeleteItem(ctx context.Context, i Item) error
}

// An Item of the inventory.
type Item struct {
	Kind  Kind
	ID    string
	Name  string
	State string
	// Tags, with the owner tag or TagCluster among them.
	Tags map[string]string
	// InUse says that it is attached to something, or that it is in transition.
	InUse bool
	// Created is zero if the cloud does not say.
	Created time.Time
}
