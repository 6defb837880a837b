package aliyun_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	util "github.com/alibabacloud-go/tea-utils/v2/service"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

// TestGateway: faults and refusals are the same as elsewhere, in the words of
// these APIs.
func TestGateway(t *testing.T) {
	type want struct {
		Code   string
		Status int
	}
	cases := map[string]struct {
		reason string
		rule   *faults.Rule
		secret string
		change func(*ecs.DescribeInstancesRequest)
		want   want
	}{
		"Fine":          {reason: "A call.", want: want{Status: 200}},
		"Secret":        {reason: "A wrong secret is noticed.", secret: "other", want: want{"SignatureDoesNotMatch", 400}},
		"Skew":          {reason: "A gateway's clock can be wrong.", rule: &faults.Rule{Kind: faults.ClockSkew}, want: want{"InvalidTimeStamp.Expired", 400}},
		"Throttle":      {reason: "Calls are throttled.", rule: &faults.Rule{Kind: faults.Throttle}, want: want{"Throttling.User", 400}},
		"Denied":        {reason: "And denied.", rule: &faults.Rule{Kind: faults.AuthDenied, Action: "DescribeInstances"}, want: want{"Forbidden.RAM", 403}},
		"OtherAction":   {reason: "A rule is for an action.", rule: &faults.Rule{Kind: faults.AuthDenied, Action: "DescribeDisks"}, want: want{Status: 200}},
		"Internal":      {reason: "It breaks.", rule: &faults.Rule{Kind: faults.HTTP500JSON}, want: want{"InternalError", 500}},
		"Unavailable":   {reason: "In another way.", rule: &faults.Rule{Kind: faults.HTTP503}, want: want{"ServiceUnavailable", 503}},
		"HTML":          {reason: "Without words.", rule: &faults.Rule{Kind: faults.HTTP502HTML}, want: want{"", 502}},
		"Drop":          {reason: "Connections break.", rule: &faults.Rule{Kind: faults.DropAfterAccept}, want: want{"unknown", 0}},
		"Truncate":      {reason: "In the middle.", rule: &faults.Rule{Kind: faults.TruncateBody}, want: want{"unknown", 200}},
		"UnknownRegion": {reason: "Regions must exist.", change: func(r *ecs.DescribeInstancesRequest) { r.RegionId = "mars" }, want: want{"InvalidRegionId.NotFound", 404}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			if tc.rule != nil {
				_, err := s.Admin.SetFault(t.Context(), *tc.rule)
				s.must(err)
			}
			client := s.ecs
			if tc.secret != "" {
				var err error
				client, err = ecs.NewClientWithOptions(region, sdk.NewConfig(), credentials.NewAccessKeyCredential(simtest.AccessKeyID, tc.secret))
				s.must(err)
			}
			r := ecs.CreateDescribeInstancesRequest()
			if tc.change != nil {
				tc.change(r)
			}
			s.Direct(r.RpcRequest)
			_, err := client.DescribeInstances(r)
			entries := s.Cloud.Requests.List(requestlog.Filter{Service: "ecs", Action: "DescribeInstances"})
			if len(entries) != 1 || (err == nil) != (tc.want.Code == "" && tc.want.Status == 200) {
				t.Fatalf("%d requests were logged, error %v", len(entries), err)
			}
			check(t, tc.reason, tc.want, want{code(err), entries[0].Status})
		})
	}
}

// TestUnknown: what does not exist is told apart from what is not signed.
func TestUnknown(t *testing.T) {
	s := start(t, nil)
	client, err := sdk.NewClientWithOptions(region, sdk.NewConfig(), s.Credential())
	s.must(err)
	u, err := url.Parse(s.URL)
	s.must(err)
	for reason, tc := range map[string]struct{ version, action, want string }{
		"An action must exist.":              {"2014-05-26", "RunInstances", "InvalidAction.NotFound"},
		"In this product.":                   {"2014-05-26", "DescribeVpcs", "InvalidAction.NotFound"},
		"So must a version.":                 {"2020-01-01", "DescribeInstances", "InvalidVersion"},
		"The same action of another product": {"2016-04-28", "DescribeVSwitches", ""},
	} {
		r := requests.NewCommonRequest()
		r.Method, r.Version, r.ApiName, r.Scheme, r.Domain, r.Port = "POST", tc.version, tc.action, u.Scheme, u.Hostname(), u.Port()
		_, err := client.ProcessCommonRequest(r)
		check(t, reason, tc.want, code(err))
	}
	res, err := http.Get(s.URL + "/?Action=DescribeInstances&Version=2014-05-26&RegionId=" + region)
	s.must(err)
	_ = res.Body.Close()
	check(t, "Nobody calls unsigned.", http.StatusBadRequest, res.StatusCode)
}

// TestNewerClient: clients of the newer family call the same APIs with headers
// instead of parameters.
func TestNewerClient(t *testing.T) {
	s := start(t, nil)
	s.cluster()
	s.Step(lag)
	u, err := url.Parse(s.URL)
	s.must(err)
	c, err := openapi.NewClient(&openapi.Config{
		AccessKeyId: tea.String(simtest.AccessKeyID), AccessKeySecret: tea.String(simtest.AccessKeySecret), Endpoint: &u.Host, Protocol: tea.String("http"),
		RegionId: tea.String(region),
	})
	s.must(err)
	out, err := c.CallApi(&openapi.Params{
		Action: tea.String("DescribeInstances"), Version: tea.String("2014-05-26"), Protocol: tea.String("HTTP"), Pathname: tea.String("/"), Method: tea.String("POST"),
		AuthType: tea.String("AK"), Style: tea.String("RPC"), ReqBodyType: tea.String("formData"), BodyType: tea.String("json"),
	}, &openapi.OpenApiRequest{Query: map[string]*string{"RegionId": tea.String(region)}}, &util.RuntimeOptions{ConnectTimeout: tea.Int(2000), ReadTimeout: tea.Int(5000)})
	s.must(err)
	body, _ := out["body"].(map[string]any)
	check(t, "It sees the same.", "2", fmt.Sprint(body["TotalCount"]))
}

// TestUnknownOutcome: a deletion whose answer is lost has happened.
func TestUnknownOutcome(t *testing.T) {
	s := start(t, nil)
	s.cluster()
	id := s.live(ledger.ECS)[0].ID
	_, err := s.Admin.SetFault(t.Context(), faults.Rule{Kind: faults.DropAfterAccept, Action: "DeleteInstance", Times: 1})
	s.must(err)
	check(t, "The answer is lost.", "unknown", s.deleteInstance(id, true))
	check(t, "The instance is gone.", "InvalidInstanceId.NotFound", s.deleteInstance(id, true))
}
