package aliyun

import (
	"net/http"
	"net/url"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// rules for the codes of the vendor's error centre for ECS, VPC, SLB and ECI.
var rules = cloud.Rules{
	{Class: cloud.Gone, Codes: []string{
		"InvalidInstanceId.NotFound", "InvalidDiskId.NotFound", "InvalidEniId.NotFound", "InvalidSecurityGroupId.NotFound",
		"InvalidLoadBalancerId.NotFound", "InvalidNatGatewayId.NotFound", "InvalidAllocationId.NotFound",
		"ContainerGroupNotExists", "InvalidContainerGroupId.NotFound",
	}},
	// These come as 404 too, which would say nothing by itself.
	{Class: cloud.Invalid, Codes: []string{"InvalidInstanceType", "InvalidZoneId", "InvalidRegionId", "InvalidVpcId", "InvalidParameter", "InvalidAction"}},
	{Class: cloud.Throttled, Codes: []string{"Throttling", "Rejected.Throttling", "ServiceUnavailable", "SignatureNonceUsed"}},
	{Class: cloud.Protected, Codes: []string{
		"OperationDenied.DeletionProtection", "InvalidOperation.DeletionProtection", "OperationFailed.DeleteProtection",
		"OperationUnsupported.DeleteProtection", "OperationDenied.DeleteProtectionIsOn",
	}},
	{Class: cloud.WrongState, Codes: []string{
		"DependencyViolation", "IncorrectInstanceStatus", "IncorrectDiskStatus", "InvalidOperation.InvalidEniState",
		"InvalidOperation.EniServiceManaged", "IncorrectEipStatus", "IncorrectStatus", "DiskInUse", "LastTokenProcessing",
		"OperationConflict", "InvalidStatus", "TaskConflict", "ResourceNotAssociated",
	}},
	{Class: cloud.OutOfStock, Codes: []string{"OperationDenied.NoStock", "Zone.NotOnSale", "NoInstanceStock"}},
	{Class: cloud.Quota, Codes: []string{"QuotaExceeded", "QuotaExceed", "InvalidAccountStatus", "InsufficientBalance"}},
	{Class: cloud.Unauthorised, Codes: []string{
		"Forbidden", "NoPermission", "InvalidAccessKeyId", "SignatureDoesNotMatch", "IncompleteSignature",
		"InvalidSecurityToken", "MissingSecurityToken", "InvalidTimeStamp", "Unauthorized",
	}},
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

	if e := cloud.NotConnected(operation, err); e != nil {
		return e
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

func fromServer(operation string, s *sdkerrors.ServerError) error {
	e := &cloud.Error{
		Operation: operation, Status: s.HttpStatus(), Code: s.ErrorCode(), RequestID: s.RequestId(),
		Message: cloud.Stable(s.Message()),
	}
	e.Class = rules.ClassOfAnswer(e.Code, e.Status)
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
