package aliyun

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// A rule maps codes to a class. A code matches if it equals the rule or
// continues it after a dot.
type rule struct {
	class cloud.Class
	codes []string
}

// rules are tried in order. The codes are those of the vendor's error centre
// for ECS, VPC, SLB and ECI.
var rules = []rule{
	{cloud.Gone, []string{
		"InvalidInstanceId.NotFound", "InvalidDiskId.NotFound", "InvalidEniId.NotFound", "InvalidSecurityGroupId.NotFound",
		"InvalidLoadBalancerId.NotFound", "InvalidNatGatewayId.NotFound", "InvalidAllocationId.NotFound",
		"ContainerGroupNotExists", "InvalidContainerGroupId.NotFound",
	}},
	// These come as 404 too, which would say nothing by itself.
	{cloud.Invalid, []string{"InvalidInstanceType", "InvalidZoneId", "InvalidRegionId", "InvalidVpcId", "InvalidParameter", "InvalidAction"}},
	{cloud.Throttled, []string{"Throttling", "Rejected.Throttling", "ServiceUnavailable", "SignatureNonceUsed"}},
	{cloud.Protected, []string{
		"OperationDenied.DeletionProtection", "InvalidOperation.DeletionProtection", "OperationFailed.DeleteProtection",
		"OperationUnsupported.DeleteProtection", "OperationDenied.DeleteProtectionIsOn",
	}},
	{cloud.WrongState, []string{
		"DependencyViolation", "IncorrectInstanceStatus", "IncorrectDiskStatus", "InvalidOperation.InvalidEniState",
		"InvalidOperation.EniServiceManaged", "IncorrectEipStatus", "IncorrectStatus", "DiskInUse", "LastTokenProcessing",
		"OperationConflict", "InvalidStatus", "TaskConflict", "ResourceNotAssociated",
	}},
	{cloud.OutOfStock, []string{"OperationDenied.NoStock", "Zone.NotOnSale", "NoInstanceStock"}},
	{cloud.Quota, []string{"QuotaExceeded", "QuotaExceed", "InvalidAccountStatus", "InsufficientBalance"}},
	{cloud.Unauthorised, []string{
		"Forbidden", "NoPermission", "InvalidAccessKeyId", "SignatureDoesNotMatch", "IncompleteSignature",
		"InvalidSecurityToken", "MissingSecurityToken", "InvalidTimeStamp", "Unauthorized",
	}},
}

func classOf(code string, status int) cloud.Class {
	for _, r := range rules {
		for _, c := range r.codes {
			if code == c || strings.HasPrefix(code, c+".") {
				return r.class
			}
		}
	}
	switch {
	case status == http.StatusTooManyRequests:
		return cloud.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return cloud.Unauthorised
	case status >= 500, status == http.StatusNotFound, status == http.StatusRequestTimeout, status < 400:
		// A 404 without a code that says what is missing may come from anything
		// between here and there.
		return cloud.Unknown
	default:
		return cloud.Invalid
	}
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

	var server *sdkerrors.ServerError
	if errors.As(err, &server) && server.ErrorCode() != "" {
		return fromServer(operation, server)
	}

	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return &cloud.Error{Class: cloud.Unreachable, Operation: operation, Message: "cannot connect to the cloud's API: " + dialReason(op)}
	}

	// The rest is a page instead of JSON, a connection that was cut, a time-out:
	// the call may have been carried out.
	e := &cloud.Error{Class: cloud.Unknown, Operation: operation, Message: "the answer was lost or is not readable"}
	var ue *url.Error
	switch {
	case errors.As(err, &ue) && ue.Timeout():
		e.Message = "the answer did not come in time"
	case server != nil:
		e.Status = server.HttpStatus()
		if e.Status == http.StatusTooManyRequests {
			e.Class = cloud.Throttled
		}
	}
	return e
}

func dialReason(op *net.OpError) string {
	var dns *net.DNSError
	if errors.As(op, &dns) {
		return "no such host " + dns.Name
	}
	if op.Addr != nil {
		return "no connection to " + op.Addr.String()
	}
	return "no connection"
}

func fromServer(operation string, s *sdkerrors.ServerError) error {
	e := &cloud.Error{
		Operation: operation, Status: s.HttpStatus(), Code: s.ErrorCode(), RequestID: s.RequestId(),
		Message: cloud.Stable(s.Message()),
	}
	e.Class = classOf(e.Code, e.Status)
	switch e.Class {
	case cloud.Unauthorised:
		// The gateway repeats keys and what it signed in its message.
		e.Message = "the cloud refused the credentials, or they lack the right to do this"
	case cloud.Unknown:
		if e.Status >= 500 {
			e.Message = "the cloud's API failed"
		}
	case cloud.Gone, cloud.Throttled, cloud.WrongState, cloud.Quota, cloud.OutOfStock, cloud.Protected, cloud.Conflict, cloud.Invalid, cloud.Unreachable:
	}
	return e
}
