package ack

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/alibabacloud-go/tea/tea"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// Codes that say that a thing does not exist.
const (
	CodeClusterNotFound  = "ErrorClusterNotFound"
	CodeNodePoolNotFound = "ErrorNodePoolNotFound"
	CodeTaskNotFound     = "ErrorTaskNotFound"
	CodeAddonNotFound    = "AddonNotFound"
)

// rules for the codes of the vendor's error centre and of open-source clients
// that met them.
var rules = cloud.Rules{
	{Class: cloud.Gone, Codes: []string{CodeClusterNotFound, CodeNodePoolNotFound, CodeTaskNotFound, CodeAddonNotFound}},
	{Class: cloud.Throttled, Codes: []string{
		"Throttling", "Rejected.Throttling", "QPS Limit Exceeded", "ServiceUnavailable", "SignatureNonceUsed",
	}},
	{Class: cloud.Protected, Codes: []string{"OperationDenied.DeletionProtection", "DeletionProtection", "ErrorDeletionProtection"}},
	{Class: cloud.OutOfStock, Codes: []string{
		"OperationDenied.NoStock", "Zone.NotOnSale", "NoInstanceStock", "NoStock", "InvalidVSwitchId.IpNotEnough",
		"InvalidResourceType.NotSupported", "InvalidInstanceType.NotSupported", "InstanceType.Offline",
		"OperationDenied.ZoneNotAvailable",
	}},
	{Class: cloud.Quota, Codes: []string{
		"QuotaExceeded", "QuotaExceed", "InsufficientBalance", "InvalidAccountStatus.NotEnoughBalance",
		"InvalidAccountStatus", "NotEnoughBalance",
	}},
	{Class: cloud.WrongState, Codes: []string{
		"ErrorClusterState", "InvalidStatus.Forbidden", "InvalidStatus.Unsupported", "InvalidNodePoolStatus",
		"IncorrectInstanceStatus", "DependencyViolation", "OperationConflict", "TaskConflict",
	}},
	{Class: cloud.Conflict, Codes: []string{"ClusterNameAlreadyExist", "NodePoolNameAlreadyExist", "NodepoolNameAlreadyExist", "NameAlreadyExist"}},
	{Class: cloud.Unauthorised, Codes: []string{
		"ErrorCheckAcl", "Forbidden", "StatusForbidden", "MissingAuth", "NoPermission", "InvalidAccessKeyId",
		"SignatureDoesNotMatch", "IncompleteSignature", "InvalidSecurityToken", "InvalidTimeStamp", "Unauthorized",
		"MissingSecurityToken", "InvalidCredentials",
	}},
}

// fields of the managed resources by what ACK calls them, compared in lower
// case and without separators. Longer names come first.
var fields = []struct{ cloud, ours string }{
	{"podvswitchids", "podVSwitchIds"}, {"podvswitch", "podVSwitchIds"}, {"vswitchids", "vSwitchIds"}, {"vswitch", "vSwitchIds"},
	{"vpc", "vpcId"}, {"region", "region"}, {"instancetype", "instanceTypes"}, {"containercidr", "containerCIDR"},
	{"podcidr", "containerCIDR"}, {"servicecidr", "serviceCIDR"}, {"nodecidrmask", "nodeCIDRMask"},
	{"kubernetesversion", "kubernetesVersion"}, {"clusterversion", "kubernetesVersion"}, {"clusterspec", "clusterSpec"},
	{"addon", "addons"}, {"component", "addons"}, {"systemdisk", "systemDisk"}, {"multiaz", "multiAZPolicy"},
	{"taint", "taints"}, {"label", "labels"}, {"tag", "tags"}, {"desiredsize", "size"}, {"zone", "vSwitchIds"},
}

var separators = strings.NewReplacer("_", "", "-", "", ".", "", " ", "")

// fieldOf a refused request. The code is asked first: messages name many things.
func fieldOf(code, message string) string {
	for _, text := range []string{code, message} {
		text = separators.Replace(strings.ToLower(text))
		for _, f := range fields {
			if strings.Contains(text, f.cloud) {
				return f.ours
			}
		}
	}
	return ""
}

// body of an error. The backend writes lower case, the gateway capitals;
// encoding/json takes either.
type body struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	RequestID  string `json:"requestId"`
	RequestID2 string `json:"request_id"`
	Status     int    `json:"status"`
}

// classify what a call returned.
func classify(operation string, err error) error {
	if err == nil {
		return nil
	}
	var done *cloud.Error
	if errors.As(err, &done) {
		return err
	}

	var sdk *tea.SDKError
	if errors.As(err, &sdk) {
		return fromSDK(operation, sdk)
	}

	if e := cloud.NotConnected(operation, err); e != nil {
		return e
	}

	// The rest is an HTML page instead of JSON, a connection that was cut, a
	// time-out: the call may have been carried out.
	msg := "the answer was lost or is not readable"
	var ue *url.Error
	if errors.As(err, &ue) && ue.Timeout() {
		msg = "the answer did not come in time"
	}
	return &cloud.Error{Class: cloud.Unknown, Operation: operation, Message: msg}
}

func fromSDK(operation string, sdk *tea.SDKError) error {
	b := body{}
	if data := tea.StringValue(sdk.Data); data != "" {
		// What cannot be parsed leaves the SDK's own reading.
		_ = json.Unmarshal([]byte(data), &b)
	}
	e := &cloud.Error{Operation: operation, Status: tea.IntValue(sdk.StatusCode), Code: b.Code, Message: b.Message, RequestID: b.RequestID}
	if e.RequestID == "" {
		e.RequestID = b.RequestID2
	}
	if e.Code == "" {
		e.Code = tea.StringValue(sdk.Code)
	}
	if e.Message == "" {
		e.Message = tea.StringValue(sdk.Message)
	}
	if e.Status == 0 {
		e.Status = b.Status
	}
	e.Message = cloud.Stable(strings.TrimPrefix(e.Message, "code: "))
	e.Class = rules.ClassOfAnswer(e.Code, e.Status)
	switch e.Class {
	case cloud.Unauthorised:
		// The gateway repeats keys and what it signed in its message.
		e.Message = "the cloud refused the credentials, or they lack the right to do this"
	case cloud.Invalid:
		e.Field = fieldOf(e.Code, e.Message)
	case cloud.Unknown:
		if e.Status >= 500 {
			e.Message = "the cloud's API failed"
		}
	case cloud.Gone, cloud.Throttled, cloud.WrongState, cloud.Quota, cloud.OutOfStock, cloud.Protected, cloud.Conflict, cloud.Unreachable:
	}
	return e
}

// TaskError turns what a failed task says into an error.
func TaskError(operation string, t *Task) *cloud.Error {
	class := rules.ClassOfAnswer(t.Code, http.StatusBadRequest)
	if class == cloud.Invalid {
		// Codes of the machines' own service also travel inside the message.
		for _, r := range rules {
			if r.Class != cloud.OutOfStock && r.Class != cloud.Quota {
				continue
			}
			for _, c := range r.Codes {
				if strings.Contains(t.Message, c) {
					class = r.Class
				}
			}
		}
	}
	msg := cloud.Stable(t.Message)
	if msg == "" {
		msg = "the task failed and gives no reason"
	}
	return &cloud.Error{Class: class, Operation: operation, Code: t.Code, Message: msg}
}
