package tke

import (
	"net"
	"net/http"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// Codes of this client. TKE has none for them.
const (
	// CodeClusterAbsent means that TKE lists no cluster of that id.
	CodeClusterAbsent = "ClusterAbsent"
	// CodeNodePoolAbsent means that TKE lists no node pool of that id.
	CodeNodePoolAbsent = "NodePoolAbsent"
	// CodeNoEndpoint means that an API server has no address yet.
	CodeNoEndpoint = "NoEndpoint"
	// CodeInUse means that an item of the inventory is attached to something.
	CodeInUse = "InUse"
)

// rules for the codes of the vendor's reference and of the SDK, and those that
// open-source clients met.
var rules = cloud.Rules{
	{Class: cloud.Throttled, Codes: []string{"RequestLimitExceeded", "ServiceUnavailable"}},
	{Class: cloud.Invalid, Codes: []string{
		// These end like codes of what is gone.
		"*.VpcRecodrNotFound", "*.ImageIdNotFound", "*.RouteTableNotFound", "*.VpcPeerNotFound",
	}},
	{Class: cloud.Gone, Codes: []string{
		"*.ClusterNotFound", "*.DbRecordNotFound", "*.RecordNotFound", "*.CvmNotFound", "*.LBIdNotFound",
		"InvalidParameter.ResourceNotFound", "ResourceNotFound",
	}},
	{Class: cloud.Unauthorised, Codes: []string{
		"AuthFailure", "UnauthorizedOperation", "*.CamNoAuth", "*.AccountUserNotAuthenticated", "*.MarketGetAuthFailed",
		"*.NotVerified", "ClientError.CredentialError",
	}},
	{Class: cloud.Protected, Codes: []string{"*.ClusterInDeletionProtection", "*.InDeletionProtection", "*.CvmDeletionProtection"}},
	{Class: cloud.OutOfStock, Codes: []string{
		"ResourceInsufficient", "ResourcesSoldOut", "InvalidParameterValue.InsufficientOffering", "*.ZoneSoldOut",
	}},
	{Class: cloud.Quota, Codes: []string{
		"*.QuotaMaxClsLimit", "*.QuotaMaxNodLimit", "*.QuotaMaxRtLimit", "*.QuotaUSGLimit", "LimitExceeded", "*.TradeCommon",
		"*.InsufficientBalance", "*.TradeInsufficientBalance", "*.NoPaymentAccess",
	}},
	{Class: cloud.Conflict, Codes: []string{"*.SubnetAlreadyExist", "*.ResourceExistAlready"}},
	{Class: cloud.WrongState, Codes: []string{
		"*.ClusterState", "*.ClusterInAbnormalStat", "*.NodePoolStateNotNormal", "*.TaskAlreadyRunning", "*.TaskLifeStateError",
		"*.EmptyClusterNotSupport", "*.ExistRunningPod", "*.CvmStatus", "*.ClusterForbiddenToDelete", "ResourceUnavailable",
		"ResourceInUse", "ResourceBusy", "OperationDenied.InstanceOperationInProgress", "InvalidDisk.Busy",
	}},
	{Class: cloud.Invalid, Codes: []string{
		"InvalidParameter", "InvalidParameterValue", "MissingParameter", "UnknownParameter", "UnsupportedOperation", "UnsupportedRegion",
		"InvalidAction", "NoSuchVersion", "NoSuchProduct", "*.Param", "*.CidrConflictWithOtherCluster", "*.CidrConflictWithVpcCidr",
		"*.CidrConflictWithVpcGlobalRoute", "*.CidrConflictWithOtherRoute", "*.CidrInvali", "*.CidrMaskSizeOutOfRange",
		"*.CidrOutOfRouteTable", "*.InvalidPrivateNetworkCidr", "*.GatewayAlreadyAssociatedCidr", "*.OsNotSupport", "*.CvmVpcidNotMatch",
	}},
}

// goneToo are codes that an API uses for what does not exist, and for other
// things as well. They prove nothing, but they are a reason to look.
var goneToo = map[string][]string{
	"DescribeClusterNodePoolDetail": {"InternalError.UnexpectedInternal", "FailedOperation.NodePoolQueryFailed"},
	"DescribeClusterVirtualNode":    {"InvalidParameter.Param"},
	"DeleteClusterNodePool":         {"InternalError.Param"},
}

// classOf a code. A plain InternalError or FailedOperation says nothing: the call
// may have been carried out.
func classOf(code string) cloud.Class {
	if c := rules.ClassOf(code); c != cloud.Unknown {
		return c
	}
	if strings.HasSuffix(code, ".NotFound") {
		// As cvm and vpc write it: InvalidInstanceId.NotFound.
		return cloud.Gone
	}
	return cloud.Unknown
}

// fields of the managed resources by what TKE calls them, compared in lower case
// and without separators. Longer names come first.
var fields = []struct{ cloud, ours string }{
	{"enisubnet", "eniSubnetIds"}, {"subnet", "subnetIds"}, {"securitygroup", "securityGroupIds"}, {"servicecidr", "serviceCIDR"},
	{"clustercidr", "clusterCIDR"}, {"cidr", "clusterCIDR"}, {"vpcrecodr", "vpcId"}, {"vpcid", "vpcId"}, {"instancetype", "instanceTypes"},
	{"insufficientoffering", "instanceTypes"}, {"clusterlevel", "level"}, {"clusterversion", "kubernetesVersion"}, {"maxnodepodnum", "maxPodsPerNode"},
	{"systemdisk", "systemDisk"}, {"disktype", "systemDisk"}, {"disksize", "systemDisk"}, {"region", "region"}, {"taint", "taints"},
	{"label", "labels"}, {"maxsize", "max"}, {"minsize", "min"}, {"desiredcapacity", "size"}, {"tag", "tags"},
}

var separators = strings.NewReplacer("_", "", "-", "", ".", "", " ", "", "`", "")

// fieldOf a refused request. The code is asked first: messages name many things.
func fieldOf(operation, code, message string) string {
	for _, text := range []string{code, message} {
		text = separators.Replace(strings.ToLower(text))
		for _, f := range fields {
			if !strings.Contains(text, f.cloud) {
				continue
			}
			if f.ours == "subnetIds" && operation == "CreateCluster" {
				return "subnetId"
			}
			return f.ours
		}
	}
	return ""
}

// A trace of a call, which the SDK does not give: it turns everything into text.
type trace struct {
	// status of HTTP, or 0.
	status int
	// err of the transport.
	err error
}

type traceKey struct{}

// tracer is a transport that fills in the trace of each call.
type tracer struct{ http.RoundTripper }

// RoundTrip does that.
func (t tracer) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(r)
	if tr, ok := r.Context().Value(traceKey{}).(*trace); ok {
		tr.err = err
		if res != nil {
			tr.status = res.StatusCode
		}
	}
	return res, err
}

// classify what a call returned.
func classify(operation string, err error, tr *trace) error {
	if err == nil {
		return nil
	}
	var sdk *tcerr.TencentCloudSDKError
	if !errors.As(err, &sdk) {
		// The SDK could not even write the request, or not read the answer.
		return lost(operation, tr)
	}
	e := &cloud.Error{Operation: operation, Status: tr.status, Code: sdk.Code, Message: cloud.Stable(sdk.Message), RequestID: sdk.RequestId}
	e.Class = classOf(e.Code)
	if strings.HasPrefix(e.Code, "ClientError.") && e.Class == cloud.Unknown {
		// Their texts repeat addresses, ports and bodies.
		return lost(operation, tr)
	}
	switch e.Class {
	case cloud.Unauthorised:
		// The message may repeat keys and what was signed.
		e.Message = "the cloud refused the credentials, or they lack the right to do this"
	case cloud.Invalid:
		e.Field = fieldOf(operation, e.Code, e.Message)
	case cloud.Unknown:
		if e.Status >= 500 {
			e.Message = "the cloud's API failed"
		}
	case cloud.Gone, cloud.Throttled, cloud.WrongState, cloud.Quota, cloud.OutOfStock, cloud.Protected, cloud.Conflict, cloud.Unreachable:
	}
	return e
}

// lost is the error of a call without a readable answer.
func lost(operation string, tr *trace) error {
	e := &cloud.Error{Class: cloud.Unknown, Operation: operation, Status: tr.status, Message: "the answer was lost or is not readable"}
	if tr.status == http.StatusTooManyRequests {
		// Of a gateway, which let nothing through.
		e.Class, e.Message = cloud.Throttled, "the cloud asked to slow down"
		return e
	}
	if e := cloud.NotConnected(operation, tr.err); e != nil {
		e.Status = tr.status
		return e
	}
	var ne net.Error
	if errors.As(tr.err, &ne) && ne.Timeout() {
		e.Message = "the answer did not come in time"
	}
	return e
}

// incomplete answers are as good as none.
func incomplete(operation string) error {
	return &cloud.Error{Class: cloud.Unknown, Operation: operation, Status: http.StatusOK, Message: "the answer is incomplete"}
}

func absent(operation, code, message string) error {
	return &cloud.Error{Class: cloud.Gone, Operation: operation, Code: code, Message: message}
}

// maybeGone reports whether an error is a reason to look whether a thing is gone.
func maybeGone(err error) bool {
	var e *cloud.Error
	if !errors.As(err, &e) {
		return false
	}
	if e.Class == cloud.Gone {
		return e.Code != CodeClusterAbsent && e.Code != CodeNodePoolAbsent
	}
	for _, c := range goneToo[e.Operation] {
		if e.Code == c {
			return true
		}
	}
	return false
}

// unproven turns an error that may mean absence into one that does not.
func unproven(err error) error {
	var e *cloud.Error
	if !errors.As(err, &e) || e.Class != cloud.Gone {
		return err
	}
	u := *e
	u.Class = cloud.Unknown
	return &u
}
