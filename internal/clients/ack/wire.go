package ack

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	corev1 "k8s.io/api/core/v1"
)

// wireCluster is what the list and the detail of clusters have in common.
type wireCluster struct {
	ID                 string    `json:"cluster_id"`
	Name               string    `json:"name"`
	State              string    `json:"state"`
	Version            string    `json:"current_version"`
	MasterURL          string    `json:"master_url"`
	SecurityGroupID    string    `json:"security_group_id"`
	VSwitchIDs         []string  `json:"vswitch_ids"`
	DeletionProtection bool      `json:"deletion_protection"`
	Tags               []wireTag `json:"tags"`
	Created            string    `json:"created"`
}

type wireTag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type wireTaint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

type wirePage struct {
	Total int `json:"total_count"`
}

func (w *wireCluster) cluster() *Cluster {
	// The URLs come as JSON in a string.
	urls := struct {
		Public  string `json:"api_server_endpoint"`
		Private string `json:"intranet_api_server_endpoint"`
	}{}
	if w.MasterURL != "" {
		_ = json.Unmarshal([]byte(w.MasterURL), &urls)
	}
	endpoint := urls.Public
	if endpoint == "" {
		endpoint = urls.Private
	}
	return &Cluster{
		ID: w.ID, Name: w.Name, State: w.State, Version: w.Version, Endpoint: endpoint, SecurityGroupID: w.SecurityGroupID,
		VSwitchIDs: w.VSwitchIDs, DeletionProtection: w.DeletionProtection, Tags: tagMap(w.Tags), Created: parseTime(w.Created),
	}
}

// wireNodePool is what the list and the detail of node pools have in common.
type wireNodePool struct {
	Info struct {
		ID     string `json:"nodepool_id"`
		Name   string `json:"name"`
		Region string `json:"region_id"`
	} `json:"nodepool_info"`
	AutoScaling struct {
		Enable bool `json:"enable"`
	} `json:"auto_scaling"`
	ScalingGroup struct {
		InstanceTypes []string  `json:"instance_types"`
		VSwitchIDs    []string  `json:"vswitch_ids"`
		MultiAZPolicy string    `json:"multi_az_policy"`
		DiskCategory  string    `json:"system_disk_category"`
		DiskSizeGiB   int32     `json:"system_disk_size"`
		DesiredSize   int32     `json:"desired_size"`
		Tags          []wireTag `json:"tags"`
	} `json:"scaling_group"`
	Kubernetes struct {
		Labels []wireTag   `json:"labels"`
		Taints []wireTaint `json:"taints"`
	} `json:"kubernetes_config"`
	Status struct {
		State    string `json:"state"`
		Total    int32  `json:"total_nodes"`
		Healthy  int32  `json:"healthy_nodes"`
		Removing int32  `json:"removing_nodes"`
		Failed   int32  `json:"failed_nodes"`
	} `json:"status"`
}

func (w *wireNodePool) nodePool() *NodePool {
	np := &NodePool{
		ID: w.Info.ID, Name: w.Info.Name, Region: w.Info.Region, State: w.Status.State,
		InstanceTypes: w.ScalingGroup.InstanceTypes, VSwitchIDs: w.ScalingGroup.VSwitchIDs, MultiAZPolicy: w.ScalingGroup.MultiAZPolicy,
		DiskCategory: w.ScalingGroup.DiskCategory, DiskSizeGiB: w.ScalingGroup.DiskSizeGiB,
		Labels: tagMap(w.Kubernetes.Labels), Tags: tagMap(w.ScalingGroup.Tags), AutoScaling: w.AutoScaling.Enable,
		DesiredSize: w.ScalingGroup.DesiredSize, Total: w.Status.Total, Healthy: w.Status.Healthy, Removing: w.Status.Removing, Failed: w.Status.Failed,
	}
	for _, t := range w.Kubernetes.Taints {
		np.Taints = append(np.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
	}
	return np
}

// convert between the SDK's types, which repeat everything for list and detail.
func convert(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	return json.Unmarshal(b, to)
}

func tags(m map[string]string) []*cs.Tag {
	out := make([]*cs.Tag, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, &cs.Tag{Key: tea.String(k), Value: tea.String(m[k])})
	}
	return out
}

func taints(ts []corev1.Taint) []*cs.Taint {
	out := make([]*cs.Taint, 0, len(ts))
	for _, t := range ts {
		out = append(out, &cs.Taint{Key: tea.String(t.Key), Value: tea.String(t.Value), Effect: tea.String(string(t.Effect))})
	}
	return out
}

func tagMap(ts []wireTag) map[string]string {
	m := make(map[string]string, len(ts))
	for _, t := range ts {
		m[t.Key] = t.Value
	}
	return m
}

// parseTime returns the zero time for what it cannot read.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
