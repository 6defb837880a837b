package ack

import (
	"net/http"
	"strings"
)

// A route is resolved from method and path alone: older clients do not send
// x-acs-action.
type route struct {
	action string
	method string
	path   []string // "{x}" binds a segment
	handle func(*Server, *call) (int, any, error)
	// writes is true for calls that can change something.
	writes bool
	// sizes is true for writing calls that may set a desired size.
	sizes bool
}

func routes() []route {
	r := func(action, method, path string, h func(*Server, *call) (int, any, error)) route {
		return route{action: action, method: method, path: split(path), handle: h, writes: method != http.MethodGet}
	}
	all := []route{
		r("CreateCluster", "POST", "/clusters", (*Server).createCluster),
		r("DescribeClusters", "GET", "/clusters", (*Server).retired),
		r("DescribeClustersV1", "GET", "/api/v1/clusters", (*Server).retired),
		r("DescribeClustersForRegion", "GET", "/regions/{region}/clusters", (*Server).describeClustersForRegion),
		r("DescribeClusterDetail", "GET", "/clusters/{cluster}", (*Server).describeCluster),
		r("ModifyCluster", "PUT", "/api/v2/clusters/{cluster}", (*Server).modifyCluster),
		r("DeleteCluster", "DELETE", "/clusters/{cluster}", (*Server).deleteCluster),
		r("DescribeClusterUserKubeconfig", "GET", "/k8s/{cluster}/user_config", (*Server).describeKubeconfig),
		r("DescribeClusterResources", "GET", "/clusters/{cluster}/resources", (*Server).describeResources),
		r("CreateClusterNodePool", "POST", "/clusters/{cluster}/nodepools", (*Server).createNodePool),
		r("DescribeClusterNodePools", "GET", "/clusters/{cluster}/nodepools", (*Server).describeNodePools),
		r("DescribeClusterNodePoolDetail", "GET", "/clusters/{cluster}/nodepools/{nodePool}", (*Server).describeNodePool),
		r("ModifyClusterNodePool", "PUT", "/clusters/{cluster}/nodepools/{nodePool}", (*Server).modifyNodePool),
		r("ScaleClusterNodePool", "POST", "/clusters/{cluster}/nodepools/{nodePool}", (*Server).scaleNodePool),
		r("DeleteClusterNodepool", "DELETE", "/clusters/{cluster}/nodepools/{nodePool}", (*Server).deleteNodePool),
		r("RemoveNodePoolNodes", "DELETE", "/clusters/{cluster}/nodepools/{nodePool}/nodes", (*Server).removeNodePoolNodes),
		r("DescribeClusterNodes", "GET", "/clusters/{cluster}/nodes", (*Server).describeNodes),
		r("DescribeTaskInfo", "GET", "/tasks/{task}", (*Server).describeTask),
		r("CancelTask", "POST", "/tasks/{task}/cancel", (*Server).operateTask),
		r("PauseTask", "POST", "/tasks/{task}/pause", (*Server).operateTask),
		r("ResumeTask", "POST", "/tasks/{task}/resume", (*Server).operateTask),
		r("DescribeClusterTasks", "GET", "/clusters/{cluster}/tasks", (*Server).describeTasks),
		r("InstallClusterAddons", "POST", "/clusters/{cluster}/components/install", (*Server).installAddons),
		r("UnInstallClusterAddons", "POST", "/clusters/{cluster}/components/uninstall", (*Server).uninstallAddons),
		r("ListClusterAddonInstances", "GET", "/clusters/{cluster}/addon_instances", (*Server).listAddons),
		r("GetClusterAddonInstance", "GET", "/clusters/{cluster}/addon_instances/{addon}", (*Server).getAddon),
		r("TagResources", "PUT", "/tags", (*Server).tagResources),
		r("UntagResources", "DELETE", "/tags", (*Server).untagResources),
		r("ListTagResources", "GET", "/tags", (*Server).listTagResources),
		r("DescribeUserQuota", "GET", "/quota", (*Server).describeQuota),
		r("CreateAutoscalingConfig", "POST", "/cluster/{cluster}/autoscale/config", (*Server).createAutoscalingConfig),
	}
	for i := range all {
		switch all[i].action {
		case "CreateClusterNodePool", "ModifyClusterNodePool", "ScaleClusterNodePool":
			all[i].sizes = true
		}
	}
	return all
}

func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// match returns the route of a request and the segments its path binds.
func match(all []route, method, path string) (*route, map[string]string) {
	got := split(path)
next:
	for i := range all {
		want := all[i].path
		if all[i].method != method || len(want) != len(got) {
			continue
		}
		vars := map[string]string{}
		for j, w := range want {
			switch {
			case strings.HasPrefix(w, "{"):
				vars[strings.Trim(w, "{}")] = got[j]
			case w != got[j]:
				continue next
			}
		}
		return &all[i], vars
	}
	return nil, nil
}
