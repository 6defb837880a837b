package signature

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/google/go-cmp/cmp"
)

// rpc calls by the vendor's client for RPC-style APIs.
func rpc(t *testing.T, g *gateway, id, secret, token, method string, query, form map[string]string) {
	t.Helper()
	u, _ := url.Parse(g.URL)
	var c *sdk.Client
	var err error
	if token != "" {
		c, err = sdk.NewClientWithOptions("cn-hangzhou", sdk.NewConfig(), credentials.NewStsTokenCredential(id, secret, token))
	} else {
		c, err = sdk.NewClientWithOptions("cn-hangzhou", sdk.NewConfig(), credentials.NewAccessKeyCredential(id, secret))
	}
	if err != nil {
		t.Fatal(err)
	}
	r := requests.NewCommonRequest()
	r.Method, r.Product, r.Version, r.ApiName = method, "Ecs", "2014-05-26", "DescribeInstances"
	r.Scheme, r.Domain, r.Port = "http", u.Hostname(), u.Port()
	for k, v := range query {
		r.QueryParams[k] = v
	}
	for k, v := range form {
		r.FormParams[k] = v
	}
	_, _ = c.ProcessCommonRequest(r)
}

func TestVerifyRPC(t *testing.T) {
	type args struct {
		method      string
		query, form map[string]string
	}
	cases := map[string]struct {
		reason string
		args   args
	}{
		"Get":     {reason: "A call without parameters of its own.", args: args{method: "GET"}},
		"Tags":    {reason: "Parameters are sorted by key.", args: args{method: "POST", query: map[string]string{"Tag.2.Key": "b", "Tag.10.Key": "c", "Tag.1.Key": "a", "RegionId": "cn-hangzhou"}}},
		"Empty":   {reason: "A parameter may be empty.", args: args{method: "POST", query: map[string]string{"ZoneId": ""}}},
		"JSON":    {reason: "Lists travel as JSON.", args: args{method: "POST", query: map[string]string{"InstanceIds": `["i-1","i-2"]`}}},
		"Special": {reason: "Characters that escape differently are signed alike.", args: args{method: "GET", query: map[string]string{"Name": "a+b c*d~e/f=g&h%20"}}},
		"Unicode": {reason: "Names need not be ASCII.", args: args{method: "POST", query: map[string]string{"Name": "弹性集群"}}},
		"Form":    {reason: "A form is signed with the query.", args: args{method: "POST", query: map[string]string{"A": "1"}, form: map[string]string{"Tag.1.Value": "弹性 *~+", "B": "2"}}},
	}
	for name, tc := range cases {
		for _, token := range []string{"", testToken} {
			t.Run(fmt.Sprintf("%s/token=%t", name, token != ""), func(t *testing.T) {
				g := newGateway(t, map[string]Secret{testID: {Key: testSecret, Token: token}}, time.Now)
				rpc(t, g, testID, testSecret, token, tc.args.method, tc.args.query, tc.args.form)
				if diff := cmp.Diff("OK", g.code); diff != "" {
					t.Errorf("\n%s\nVerify(...): -want code, +got code:\n%s", tc.reason, diff)
				}
			})
		}
	}
}

func TestVerifyRPCRefuses(t *testing.T) {
	now := time.Now()
	set := func(key, value string) func(*http.Request, []byte) []byte {
		return func(r *http.Request, b []byte) []byte {
			q := r.URL.Query()
			if value == "" {
				q.Del(key)
			} else {
				q.Set(key, value)
			}
			r.URL.RawQuery = q.Encode()
			return b
		}
	}
	cases := map[string]struct {
		reason  string
		id      string
		secret  string
		token   string
		secrets map[string]Secret
		options Options
		now     time.Time
		replay  bool
		tamper  func(*http.Request, []byte) []byte
		want    string
	}{
		"Secret":         {reason: "A wrong secret does not match.", secret: "other", want: "SignatureDoesNotMatch"},
		"UnknownKey":     {reason: "An unknown access key is told so.", id: "LTAInobody", want: "InvalidAccessKeyId.NotFound"},
		"Query":          {reason: "Another value is noticed.", tamper: set("Name", "b"), want: "SignatureDoesNotMatch"},
		"Added":          {reason: "So is another parameter.", tamper: set("Force", "true"), want: "SignatureDoesNotMatch"},
		"Removed":        {reason: "And one that is missing.", tamper: set("Name", ""), want: "SignatureDoesNotMatch"},
		"Action":         {reason: "The action is signed.", tamper: set("Action", "DeleteInstances"), want: "SignatureDoesNotMatch"},
		"Form":           {reason: "So is the form.", tamper: func(_ *http.Request, b []byte) []byte { return []byte(strings.Replace(string(b), "x", "y", 1)) }, want: "SignatureDoesNotMatch"},
		"Method":         {reason: "And the method.", tamper: func(r *http.Request, b []byte) []byte { r.Method = http.MethodPut; return b }, want: "SignatureDoesNotMatch"},
		"Header":         {reason: "Headers are not.", tamper: func(r *http.Request, b []byte) []byte { r.Header.Set("X-Acs-Extra", "1"); return b }, want: "OK"},
		"Nonce":          {reason: "A nonce is mandatory.", tamper: set("SignatureNonce", ""), want: "MissingSignatureNonce"},
		"Unsigned":       {reason: "So is the signature.", tamper: set("Signature", ""), want: "MissingAccessKeyId"},
		"OtherMethod":    {reason: "There is one method.", tamper: set("SignatureMethod", "HMAC-SHA256"), want: "InvalidParameter.SignatureMethod"},
		"OtherVersion":   {reason: "And one version of it.", tamper: set("SignatureVersion", "2.0"), want: "InvalidParameter.SignatureMethod"},
		"DateFormat":     {reason: "The date has one form.", tamper: set("Timestamp", "yesterday"), want: "InvalidTimeStamp.Format"},
		"OldDate":        {reason: "A request older than 15 minutes is refused.", now: now.Add(MaxSkew + time.Minute), want: "InvalidTimeStamp.Expired"},
		"FutureDate":     {reason: "So is one from the future.", now: now.Add(-MaxSkew - time.Minute), want: "InvalidTimeStamp.Expired"},
		"AlmostOld":      {reason: "Not one that is a little late.", now: now.Add(MaxSkew - time.Minute), want: "OK"},
		"Replay":         {reason: "A nonce serves once.", replay: true, want: "SignatureNonceUsed"},
		"ExpiredToken":   {reason: "A session token ends.", token: testToken, secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken, Expires: now.Add(-time.Minute)}}, want: "InvalidSecurityToken.Expired"},
		"ForcedExpiry":   {reason: "A fault can end it.", token: testToken, secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken}}, options: Options{Expired: true}, want: "InvalidSecurityToken.Expired"},
		"OtherToken":     {reason: "A token belongs to its key.", token: "another", secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken}}, want: "InvalidSecurityToken.MismatchWithAccessKey"},
		"MissingToken":   {reason: "A temporary key needs its token.", secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken}}, want: "InvalidSecurityToken.Malformed"},
		"TokenAsHeader":  {reason: "A token in a header is none.", secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken}}, tamper: func(r *http.Request, b []byte) []byte { r.Header.Set("X-Acs-Security-Token", testToken); return b }, want: "InvalidSecurityToken.Malformed"},
		"UnexpectedSkew": {reason: "A gateway whose clock is wrong refuses good requests.", options: Options{Skew: 20 * time.Minute}, want: "InvalidTimeStamp.Expired"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clock := time.Now
			if !tc.now.IsZero() {
				clock = func() time.Time { return tc.now }
			}
			if tc.secrets == nil {
				tc.secrets = map[string]Secret{testID: {Key: testSecret}}
			}
			g := newGateway(t, tc.secrets, clock)
			g.tamper, g.options, g.replay = tc.tamper, tc.options, tc.replay
			id, secret := testID, testSecret
			if tc.id != "" {
				id = tc.id
			}
			if tc.secret != "" {
				secret = tc.secret
			}
			rpc(t, g, id, secret, tc.token, "POST", map[string]string{"Name": "a"}, map[string]string{"Tag.1.Value": "x"})
			if diff := cmp.Diff(tc.want, g.code); diff != "" {
				t.Errorf("\n%s\nVerify(...): -want code, +got code:\n%s", tc.reason, diff)
			}
		})
	}
}
