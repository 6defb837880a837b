// Package state describes what is in a simulated cloud at this moment, without
// the lag of its APIs and in the same terms for each vendor.
package state

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

// A Snapshot of a simulated cloud.
type Snapshot struct {
	Clusters []Cluster `json:"clusters"`
	Nodes    []Node    `json:"nodes"`
}
