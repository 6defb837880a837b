// Package ack is a narrow client of Alibaba Cloud Container Service for
// Kubernetes (product CS, version 2015-12-15). It sits on the vendor's SDK and
// adds what that lacks: contexts, time-outs, typed errors, a token bucket for
// the account, pages, exact filters and metrics.
package ack

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// States of a cluster.
const (
	ClusterInitial      = "initial"
	ClusterRunning      = "running"
	ClusterUpdating     = "updating"
	ClusterScaling      = "scaling"
	ClusterWaiting      = "waiting"
	ClusterFailed       = "failed"
	ClusterDeleting     = "deleting"
	ClusterDeleteFailed = "delete_failed"
)

// States of a node pool.
const (
	NodePoolInitial      = "initial"
	NodePoolCreating     = "creating"
	NodePoolActive       = "active"
	NodePoolScaling      = "scaling"
	NodePoolDeleting     = "deleting"
	NodePoolDeleteFailed = "delete_failed"
)

// LabelNodePool is put on every node by ACK. Its value is the id of the pool.
const LabelNodePool = "alibabacloud.com/nodepool-id"

// An API is what the controllers need of ACK. All errors are *cloud.Error. No
// call blocks until the cloud has done the work: calls that start something
// return the id of a task, or an empty string if ACK made none.
type API interface {
	// CreateCluster without nodes.
	CreateCluster(ctx context.Context, in ClusterInput) (Created, error)
	// GetCluster is the authoritative read: it does not lag behind writes.
	GetCluster(ctx context.Context, id string) (*Cluster, error)
	// ListClusters of the region that have exactly this name. Lists lag behind
	// writes by up to 10 s, says the vendor.
	ListClusters(ctx context.Context, name string) ([]Cluster, error)
	// SetDeletionProtection of a cluster. The field travels alone: together with
	// others ACK has been seen to report success and to change nothing. Read it
	// back.
	SetDeletionProtection(ctx context.Context, id string, on bool) (taskID string, err error)
	// TagCluster adds tags or changes their values.
	TagCluster(ctx context.Context, id string, tags map[string]string) error
	// DeleteCluster with the load balancers and logs that belong to it.
	DeleteCluster(ctx context.Context, id string) (taskID string, err error)
	// Kubeconfig that is valid for ttl, between 15 minutes and 3 days.
	Kubeconfig(ctx context.Context, id string, ttl time.Duration, private bool) (*Kubeconfig, error)
	// GetAddon of a cluster. One that is not installed is CodeAddonNotFound.
	GetAddon(ctx context.Context, clusterID, name string) (*AddonInstance, error)
	// InstallAddon into a cluster that runs.
	InstallAddon(ctx context.Context, clusterID string, a Addon) (taskID string, err error)
	// ClusterResources is the inventory of what ACK made for a cluster.
	ClusterResources(ctx context.Context, id string) ([]Resource, error)

	// CreateNodePool with its nodes.
	CreateNodePool(ctx context.Context, clusterID string, in NodePoolInput) (Created, error)
	// GetNodePool is the authoritative read.
	GetNodePool(ctx context.Context, clusterID, id string) (*NodePool, error)
	// ListNodePools of a cluster that have exactly this name.
	ListNodePools(ctx context.Context, clusterID, name string) ([]NodePool, error)
	// SetDesiredSize of a node pool. Lowering it below the number of nodes makes
	// ACK remove some at once, without drain, of its own choice: do not.
	SetDesiredSize(ctx context.Context, clusterID, id string, n int32) (taskID string, err error)
	// ConfigureNodePool changes what is set and leaves the number of nodes.
	ConfigureNodePool(ctx context.Context, clusterID, id string, in NodePoolChange) (taskID string, err error)
	// RemoveNodes from a pool, release their machines, and lower the desired
	// size. ACK does not drain them: the caller has.
	RemoveNodes(ctx context.Context, clusterID, id string, instanceIDs []string) (taskID string, err error)
	// DeleteNodePool that has no nodes.
	DeleteNodePool(ctx context.Context, clusterID, id string) (taskID string, err error)
	// ListNodes of a pool, all pages. Machines that have not registered yet may
	// be missing.
	ListNodes(ctx context.Context, clusterID, poolID string) ([]Node, error)

	// GetTask reports how far an operation has come.
	GetTask(ctx context.Context, id string) (*Task, error)
}

// Created names a new thing and the task that builds it.
type Created struct {
	ID     string
	TaskID string
}

// ClusterInput of CreateCluster.
type ClusterInput struct {
	Name               string
	VPCID              string
	VSwitchIDs         []string
	PodVSwitchIDs      []string
	ContainerCIDR      string
	ServiceCIDR        string
	NodeCIDRMask       int32
	Spec               string
	KubernetesVersion  string
	Addons             []Addon
	PublicEndpoint     bool
	SNATEntry          bool
	DeletionProtection bool
	Tags               map[string]string
}

// An Addon to install or to leave out.
type Addon struct {
	Name     string
	Config   string
	Disabled bool
}

// An AddonInstance is an add-on that is installed.
type AddonInstance struct {
	Name string
	// State is active, updating, upgrading or deleting.
	State string
}

// A Cluster as ACK describes it.
type Cluster struct {
	ID                 string
	Name               string
	State              string
	Version            string
	Endpoint           string
	SecurityGroupID    string
	VSwitchIDs         []string
	DeletionProtection bool
	Tags               map[string]string
	Created            time.Time
}

// A Kubeconfig and the time at which it ends.
type Kubeconfig struct {
	Config  []byte
	Expires time.Time
}

// A Resource that ACK made for a cluster.
type Resource struct {
	ID    string
	Type  string
	State string
}

// NodePoolInput of CreateNodePool.
type NodePoolInput struct {
	Name          string
	InstanceTypes []string
	// Spot machines may be reclaimed. They are rented at the price of the market.
	Spot          bool
	VSwitchIDs    []string
	DesiredSize   int32
	MultiAZPolicy string
	DiskCategory  string
	DiskSizeGiB   int32
	Labels        map[string]string
	Taints        []corev1.Taint
	Tags          map[string]string
}

// NodePoolChange of ConfigureNodePool. Nil fields stay as they are.
type NodePoolChange struct {
	InstanceTypes []string
	VSwitchIDs    []string
	MultiAZPolicy *string
	DiskCategory  *string
	DiskSizeGiB   *int32
	Labels        map[string]string
	Taints        []corev1.Taint
	Tags          map[string]string
}

// A NodePool as ACK describes it.
type NodePool struct {
	ID            string
	Name          string
	State         string
	Region        string
	InstanceTypes []string
	VSwitchIDs    []string
	MultiAZPolicy string
	DiskCategory  string
	DiskSizeGiB   int32
	Labels        map[string]string
	Taints        []corev1.Taint
	Tags          map[string]string
	// AutoScaling says that ACK's own scaler owns the number of nodes.
	AutoScaling bool
	// DesiredSize that ACK works towards, and Total machines there are.
	DesiredSize int32
	Total       int32
	// Healthy counts machines in service, not Ready nodes.
	Healthy  int32
	Removing int32
	Failed   int32
}

// A Node of a pool as ACK describes it.
type Node struct {
	InstanceID   string
	Name         string
	InstanceType string
	// State of the machine: pending, running, starting, stopping, stopped, or of
	// its membership: initial, removing, failed.
	State string
	// Status of the node as ACK sees it: Ready, NotReady, Unknown, Offline.
	Status  string
	Message string
	Created time.Time
}

// A Task of the cloud.
type Task struct {
	ID    string
	State string
	Stage string
	// Code and Message of a task that failed.
	Code    string
	Message string
}

// Done reports whether the task has ended.
func (t *Task) Done() bool { return t.State == "success" || t.Failed() || t.State == "canceled" }

// Failed reports whether the task has failed. ACK uses both words.
func (t *Task) Failed() bool { return t.State == "failed" || t.State == "fail" }
