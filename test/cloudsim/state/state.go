// Package state describes what is in a simulated cloud at this moment, without
// the lag of its APIs and in the same terms for each vendor.
package state

import "time"

// A Cluster that exists.
type Cluster struct {
	// Service whose API made it, for example "ack".
	Service            string     `json:"service"`
	ID                 string     `json:"id"`
	Name               string     `json:"name"`
	Owner              string     `json:"owner"`
	Region             string     `json:"region"`
	State              string     `json:"state"`
	DeletionProtection bool       `json:"deletionProtection"`
	Endpoint           string     `json:"endpoint"`
	Pools              []NodePool `json:"pools"`
}

// A NodePool that exists.
type NodePool struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Owner   string `json:"owner"`
	State   string `json:"state"`
	Desired int    `json:"desired"`
	// Total instances, and those of them that are Ready nodes.
	Total int `json:"total"`
	Ready int `json:"ready"`
}

// A Node, from the moment its instance is ordered.
type Node struct {
	Cluster    string `json:"cluster"`
	NodePool   string `json:"nodePool"`
	Instance   string `json:"instance"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Zone       string `json:"zone"`
	Spot       bool   `json:"spot"`
	State      string `json:"state"`
	NodeStatus string `json:"nodeStatus"`
	Registered bool   `json:"registered"`
	Removing   bool   `json:"removing"`
}

// A Pod on a virtual node, from its binding until it is gone.
type Pod struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	Region  string `json:"region"`
	Zone    string `json:"zone"`
	// ID of the cloud's instance, empty while there is no capacity for it.
	ID        string `json:"id,omitempty"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Account that pays, and the cluster's owner.
	Account string `json:"account,omitempty"`
	Owner   string `json:"owner,omitempty"`
	// Phase and Reason as in the pod's status.
	Phase  string `json:"phase"`
	Reason string `json:"reason,omitempty"`
	IP     string `json:"ip,omitempty"`
	// CPU in vCPU.
	CPU       float64 `json:"cpu"`
	MemoryGiB float64 `json:"memoryGiB"`
	GPU       float64 `json:"gpu,omitempty"`
	Hourly    float64 `json:"hourly"`
	// Created is the virtual time of the binding, CreatedWall the same instant
	// on the callers' clock.
	Created     time.Time `json:"created"`
	CreatedWall time.Time `json:"createdWall"`
}

// A Snapshot of a simulated cloud.
type Snapshot struct {
	Clusters []Cluster `json:"clusters"`
	Nodes    []Node    `json:"nodes"`
	// Pods on virtual nodes.
	Pods []Pod `json:"pods"`
}
