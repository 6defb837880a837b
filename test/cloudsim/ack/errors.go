package ack

import (
	"fmt"
	"net/http"

	"regionpool.io/provider-regionpool/test/cloudsim/signature"
)

// An apiError is an answer of the ACK backend: lower-case fields, the status
// repeated in the body.
type apiError struct {
	Status  int
	Code    string
	Message string
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func fail(status int, code, format string, args ...any) *apiError {
	return &apiError{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(field, format string, args ...any) *apiError {
	return fail(http.StatusBadRequest, "InvalidParameter."+field, format, args...)
}

func clusterNotFound(id string) *apiError {
	return fail(http.StatusNotFound, "ErrorClusterNotFound", "cluster not found: %s", id)
}

func nodePoolNotFound(id string) *apiError {
	return fail(http.StatusNotFound, "ErrorNodePoolNotFound", "nodepool not found: %s", id)
}

func clusterState(state string) *apiError {
	return fail(http.StatusBadRequest, "ErrorClusterState", "cannot operate cluster where state is %s", state)
}

func nodePoolState(state string) *apiError {
	return fail(http.StatusBadRequest, "InvalidNodePoolStatus.Forbidden", "cannot operate nodepool where state is %s", state)
}

func quotaExceeded(what string, limit int) *apiError {
	return fail(http.StatusForbidden, "QuotaExceeded."+what, "the quota of %d is exceeded", limit)
}

// body of a backend error.
func (e *apiError) body(requestID string) any {
	return map[string]any{
		"code": e.Code, "message": e.Message, "requestId": requestID, "status": e.Status, "accessDeniedDetail": nil,
	}
}

// gatewayBody of a refused signature: capitalised fields.
func gatewayBody(f *signature.Failure, requestID, host string) any {
	return map[string]any{"Code": f.Code, "Message": f.Message, "RequestId": requestID, "HostId": host}
}
