package tke

import (
	"encoding/json"
	"fmt"
	"strings"
)

// An apiError is an answer that says no. Its HTTP status is 200.
type apiError struct {
	Code    string
	Message string
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func fail(code, format string, args ...any) *apiError {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *apiError {
	return fail("InvalidParameter.Param", format, args...)
}

func missing(parameter string) *apiError {
	return fail("MissingParameter", "The request is missing a required parameter `%s`.", parameter)
}

// Each API has codes of its own for what does not exist. Those with several are
// documented with several, or were seen to use them.
var (
	clusterGone = map[string][]string{
		"CreateClusterEndpoint":                 {"ResourceNotFound"},
		"CreateClusterNodePool":                 {"ResourceNotFound", "InternalError.DbRecordNotFound"},
		"CreateClusterVirtualNode":              {"InvalidParameter.Param"},
		"DeleteCluster":                         {"InternalError.ClusterNotFound", "FailedOperation.ClusterNotFound", "ResourceNotFound"},
		"DeleteClusterEndpoint":                 {"InternalError.ClusterNotFound", "ResourceNotFound"},
		"DeleteClusterInstances":                {"FailedOperation.ClusterNotFound", "InternalError.ClusterNotFound"},
		"DeleteClusterNodePool":                 {"FailedOperation.RecordNotFound", "InternalError.DbRecordNotFound", "InternalError.Param"},
		"DeleteClusterVirtualNode":              {"InvalidParameter.Param"},
		"DeleteClusterVirtualNodePool":          {"FailedOperation.RecordNotFound", "InternalError.DbRecordNotFound"},
		"DescribeClusterEndpointStatus":         {"InternalError.ClusterNotFound"},
		"DescribeClusterEndpoints":              {"ResourceNotFound.ClusterNotFound"},
		"DescribeClusterInstances":              {"InvalidParameter.ClusterNotFound"},
		"DescribeClusterKubeconfig":             {"InvalidParameter.ClusterNotFound", "ResourceNotFound.ClusterNotFound"},
		"DescribeClusterNodePoolDetail":         {"InternalError.ClusterNotFound", "ResourceNotFound.ClusterNotFound", "InternalError.DbRecordNotFound"},
		"DescribeClusterNodePools":              {"ResourceNotFound.ClusterNotFound", "InternalError.DbRecordNotFound"},
		"DescribeClusterVirtualNode":            {"InvalidParameter.Param"},
		"DescribeClusterVirtualNodePools":       {"ResourceNotFound.ClusterNotFound", "ResourceNotFound"},
		"ModifyClusterAttribute":                {"ResourceNotFound", "InternalError.DbRecordNotFound"},
		"ModifyClusterNodePool":                 {"FailedOperation.RecordNotFound", "ResourceNotFound"},
		"ModifyClusterVirtualNodePool":          {"FailedOperation.RecordNotFound", "ResourceNotFound"},
		"ModifyNodePoolDesiredCapacityAboutAsg": {"ResourceNotFound.ClusterNotFound", "FailedOperation.RecordNotFound"},
		"ModifyNodePoolInstanceTypes":           {"InternalError.ClusterNotFound"},
	}
	poolGone = map[string][]string{
		"DeleteClusterNodePool":                 {"FailedOperation.RecordNotFound", "InternalError.DbRecordNotFound", "InternalError.Param"},
		"DeleteClusterVirtualNodePool":          {"FailedOperation.RecordNotFound", "InternalError.DbRecordNotFound"},
		"DescribeClusterNodePoolDetail":         {"InternalError.DbRecordNotFound", "InternalError.UnexpectedInternal", "FailedOperation.NodePoolQueryFailed"},
		"ModifyClusterNodePool":                 {"FailedOperation.RecordNotFound", "ResourceNotFound"},
		"ModifyClusterVirtualNodePool":          {"FailedOperation.RecordNotFound", "ResourceNotFound"},
		"ModifyNodePoolDesiredCapacityAboutAsg": {"FailedOperation.RecordNotFound", "ResourceNotFound"},
		"ModifyNodePoolInstanceTypes":           {"InternalError.DbRecordNotFound", "ResourceNotFound"},
		"SetNodePoolNodeProtection":             {"ResourceNotFound", "InternalError.DbRecordNotFound"},
		"CreateClusterVirtualNode":              {"InvalidParameter.Param"},
	}
)

// pick one of several codes.
func (s *Server) pick(key string, codes ...string) string {
	if len(codes) == 0 {
		return "ResourceNotFound"
	}
	return codes[s.Random.Intn("code/"+key, len(codes))]
}

func (s *Server) clusterNotFound(c *call, id string) *apiError {
	return fail(s.pick("cluster/"+c.Action, clusterGone[c.Action]...), "Not Found: cluster %q does not exist", id)
}

func (s *Server) poolNotFound(c *call, id string) *apiError {
	return fail(s.pick("pool/"+c.Action, poolGone[c.Action]...), "Not Found: node pool %q does not exist", id)
}

// clusterState refuses a call in the words of its API.
func (s *Server) clusterState(c *call, state string) *apiError {
	codes := []string{"ResourceUnavailable.ClusterState"}
	switch c.Action {
	case "DeleteCluster", "DeleteClusterInstances":
		codes = []string{"FailedOperation.ClusterState", "InternalError.ClusterState"}
	case "CreateClusterEndpoint", "DeleteClusterEndpoint":
		codes = append(codes, "InternalError.ClusterState")
	case "DescribeClusterKubeconfig":
		codes = []string{"ResourceUnavailable.ClusterInAbnormalStat"}
	}
	return fail(s.pick("state/"+c.Action, codes...), "cluster state is %s, which does not support the operation", state)
}

func poolState(state string) *apiError {
	return fail("ResourceUnavailable.NodePoolStateNotNormal", "node pool state is %s, not normal", state)
}

// envelope of every answer.
func envelope(requestID string, reply map[string]any, e *apiError) map[string]any {
	out := map[string]any{"RequestId": requestID}
	for k, v := range reply {
		out[k] = v
	}
	if e != nil {
		out["Error"] = map[string]string{"Code": e.Code, "Message": e.Message}
	}
	return map[string]any{"Response": out}
}

// decode the parameters of a call. An unknown parameter is an error, as it is
// for the cloud.
func decode(c *call, into any) error {
	d := json.NewDecoder(strings.NewReader(string(c.body)))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		return nil
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fail("UnknownParameter", "The parameter %s is not recognized.", strings.ReplaceAll(name, `"`, "`"))
	}
	if te, ok := err.(*json.UnmarshalTypeError); ok {
		return fail("InvalidParameter", "The type of parameter `%s` is not %s.", te.Field, te.Type)
	}
	return fail("InvalidParameter", "The request is not valid JSON: %v.", err)
}
