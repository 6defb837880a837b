package observer

import "time"

// A State is a picture of the region at one time.
type State struct {
	Time      time.Time  `json:"time"`
	Workloads []Workload `json:"workloads"`
	Members   []Member   `json:"members"`
	// Nodes that are Ready, without virtual ones.
	Nodes OwnCloud `json:"nodes"`
	// PDBViolations counts how often the healthy pods of a disruption budget
	// fell below what it demands, after they had been there, although no fewer
	// were wanted.
	PDBViolations int `json:"pdbViolations"`
	// Violations of floors and budgets, in words, oldest first.
	Violations []Violation `json:"violations,omitempty"`
}

// OwnCloud is a number split into its self-built and its rented part.
type OwnCloud struct {
	Own   int `json:"own"`
	Cloud int `json:"cloud"`
}

// A Workload is a Deployment of the region.
type Workload struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Desired replicas, by its author. 0 once it is deleted.
	Desired int `json:"desired"`
	// Own and Cloud replicas that are Ready, Pending ones that are not.
	Own     int `json:"own"`
	Cloud   int `json:"cloud"`
	Pending int `json:"pending"`
	// Virtual pods of those in the cloud are on virtual nodes, Ready or not.
	Virtual int `json:"virtual,omitempty"`
	// Ready replicas by member.
	Ready map[string]int `json:"ready,omitempty"`
	// Pods by member, Ready or not, without those that are being deleted.
	Pods map[string]int `json:"pods,omitempty"`
	// PeakReplicas is the most that were Ready at one time, PeakCloudReplicas
	// the most pods that were in the cloud, without substitutes of pods that
	// leave virtual nodes.
	PeakReplicas      int `json:"peakReplicas"`
	PeakCloudReplicas int `json:"peakCloudReplicas"`
	// NeededCloudReplicas is the most that the self-built clusters could not
	// hold, computed from their nodes and from what else runs there.
	NeededCloudReplicas int `json:"neededCloudReplicas"`
	// ReadyFloorViolations counts replicas that were Ready and disappeared
	// before a substitute was, while no fewer were wanted.
	ReadyFloorViolations int `json:"readyFloorViolations"`
}

// A Member is a cluster of the region.
type Member struct {
	Name  string `json:"name"`
	Cloud bool   `json:"cloud"`
	// Connected is true once its objects have been listed.
	Connected bool `json:"connected"`
	Nodes     int  `json:"nodes"`
	Pods      int  `json:"pods"`
}

// A Violation is something that must not happen.
type Violation struct {
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"`
	Detail  string    `json:"detail"`
}

// Workload returns a workload by name, or an empty one.
func (s State) Workload(name string) Workload {
	for _, w := range s.Workloads {
		if w.Name == name {
			return w
		}
	}
	return Workload{Name: name}
}
