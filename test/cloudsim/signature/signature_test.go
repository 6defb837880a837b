package signature

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	util "github.com/alibabacloud-go/tea-utils/v2/service"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/google/go-cmp/cmp"
)

const (
	testID     = "LTAItest"
	testSecret = "secret-of-test"
	testToken  = "token-of-test"
)

// A gateway verifies what real clients send, after a man in the middle has had
// it.
type gateway struct {
	*httptest.Server
	verifier *Verifier
	tamper   func(r *http.Request, body []byte) []byte
	options  Options
	code     string
	replay   bool
}

func newGateway(t *testing.T, s map[string]Secret, now func() time.Time) *gateway {
	t.Helper()
	g := &gateway{verifier: NewVerifier(func(id string) (Secret, bool) { k, ok := s[id]; return k, ok }, now)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if g.tamper != nil {
			body = g.tamper(r, body)
		}
		_, f := g.verifier.Verify(r, body, g.options)
		if g.replay && f == nil {
			_, f = g.verifier.Verify(r, body, g.options)
		}
		w.Header().Set("Content-Type", "application/json")
		if f != nil {
			g.code = f.Code
			w.WriteHeader(f.Status)
			fmt.Fprintf(w, `{"Code":%q,"Message":%q}`, f.Code, f.Message)
			return
		}
		g.code = "OK"
		fmt.Fprint(w, `{}`)
	}))
	t.Cleanup(g.Close)
	return g
}

// A vendor is one of the vendors' real clients.
type vendor struct {
	name string
	// coversBody is false if the client's signature leaves the body out.
	coversBody bool
	// hasNonce is false if the client sends none.
	hasNonce bool
	call     func(t *testing.T, g *gateway, id, secret, token, method, path string, query map[string]string, body string)
}

func newer(name, algorithm string, coversBody bool) vendor {
	return vendor{name: name, coversBody: coversBody, hasNonce: true, call: func(t *testing.T, g *gateway, id, secret, token, method, path string, query map[string]string, body string) {
		t.Helper()
		u, _ := url.Parse(g.URL)
		cfg := &openapi.Config{AccessKeyId: &id, AccessKeySecret: &secret, Endpoint: &u.Host, Protocol: tea.String("http")}
		if token != "" {
			cfg.SecurityToken = &token
			cfg.Type = tea.String("sts")
		}
		c, err := cs.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if algorithm != "" {
			c.SignatureAlgorithm = &algorithm
		}
		req := &openapi.OpenApiRequest{Query: map[string]*string{}}
		for k, v := range query {
			req.Query[k] = tea.String(v)
		}
		if body != "" {
			req.Body = map[string]any{"name": body}
		}
		params := &openapi.Params{
			Action: tea.String("Test"), Version: tea.String("2015-12-15"), Protocol: tea.String("HTTP"), Pathname: &path, Method: &method,
			AuthType: tea.String("AK"), Style: tea.String("ROA"), ReqBodyType: tea.String("json"), BodyType: tea.String("json"),
		}
		_, _ = c.CallApi(params, req, runtimeOptions())
	}}
}

func older() vendor {
	return vendor{name: "alibaba-cloud-sdk-go", coversBody: true, call: func(t *testing.T, g *gateway, id, secret, token, method, path string, query map[string]string, body string) {
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
		r.Method, r.Product, r.Version, r.PathPattern = method, "CS", "2015-12-15", path
		r.Scheme, r.Domain, r.Port = "http", u.Hostname(), u.Port()
		for k, v := range query {
			r.QueryParams[k] = v
		}
		if body != "" {
			r.SetContentType("application/json")
			r.SetContent([]byte(fmt.Sprintf(`{"name":%q}`, body)))
		}
		_, _ = c.ProcessCommonRequest(r)
	}}
}

func vendors() []vendor {
	return []vendor{newer("cs-20151215 HMAC-SHA1", "", false), newer("cs-20151215 ACS3-HMAC-SHA256", "ACS3-HMAC-SHA256", true), older()}
}

func TestVerifyVendors(t *testing.T) {
	type args struct {
		method, path string
		query        map[string]string
		body         string
	}
	cases := map[string]struct {
		reason string
		args   args
	}{
		"Get":     {reason: "A call without query and body.", args: args{method: "GET", path: "/clusters/c1"}},
		"Paged":   {reason: "Several parameters are sorted by key.", args: args{method: "GET", path: "/regions/cn-hangzhou/clusters", query: map[string]string{"page_size": "50", "name": "rp-1", "page_number": "2"}}},
		"Empty":   {reason: "A parameter may be empty.", args: args{method: "GET", path: "/clusters/c1/nodes", query: map[string]string{"state": "", "pageSize": "10"}}},
		"JSON":    {reason: "Lists travel as JSON in the query.", args: args{method: "DELETE", path: "/clusters/c1/nodepools/np1/nodes", query: map[string]string{"instance_ids": `["i-1","i-2"]`, "drain_node": "true"}}},
		"Options": {reason: "So do objects.", args: args{method: "DELETE", path: "/clusters/c1", query: map[string]string{"delete_options": `[{"resource_type":"SLB","delete_mode":"delete"}]`}}},
		"Special": {reason: "Characters that escape differently are signed alike.", args: args{method: "GET", path: "/tags", query: map[string]string{"tags": "a+b c*d~e/f=g&h%20"}}},
		"Unicode": {reason: "Names need not be ASCII.", args: args{method: "POST", path: "/clusters", query: map[string]string{"name": "弹性集群"}, body: "弹性集群 – 测试"}},
		"Slash":   {reason: "A path may end in a slash.", args: args{method: "POST", path: "/cluster/c1/autoscale/config/", body: "x"}},
		"Put":     {reason: "A call with a body.", args: args{method: "PUT", path: "/api/v2/clusters/c1", body: "false"}},
	}
	for name, tc := range cases {
		for _, v := range vendors() {
			for _, token := range []string{"", testToken} {
				t.Run(fmt.Sprintf("%s/%s/token=%t", name, v.name, token != ""), func(t *testing.T) {
					g := newGateway(t, map[string]Secret{testID: {Key: testSecret, Token: token}}, time.Now)
					v.call(t, g, testID, testSecret, token, tc.args.method, tc.args.path, tc.args.query, tc.args.body)
					if diff := cmp.Diff("OK", g.code); diff != "" {
						t.Errorf("\n%s\nVerify(...): -want code, +got code:\n%s", tc.reason, diff)
					}
				})
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	flip := func(s string) string { return strings.Replace(s, "1", "2", 1) }
	now := time.Now()
	expired := now.Add(-time.Minute)

	type want struct{ code string }
	cases := map[string]struct {
		reason  string
		secret  string
		id      string
		token   string
		secrets map[string]Secret
		options Options
		now     time.Time
		replay  bool
		tamper  func(r *http.Request, body []byte) []byte
		want    func(v vendor) want
	}{
		"Secret": {
			reason: "A wrong secret does not match.", secret: "other",
			want: func(vendor) want { return want{"SignatureDoesNotMatch"} },
		},
		"UnknownKey": {
			reason: "An unknown access key is told so.", id: "LTAInobody",
			want: func(vendor) want { return want{"InvalidAccessKeyId.NotFound"} },
		},
		"Body": {
			reason: "A flipped byte of the body is noticed, except where the client signs no body: cs-20151215 in its default mode sends no Content-MD5.",
			tamper: func(_ *http.Request, b []byte) []byte { return bytes.Replace(b, []byte("pool"), []byte("pooI"), 1) },
			want: func(v vendor) want {
				switch {
				case !v.coversBody:
					return want{"OK"}
				case v.hasNonce:
					return want{"SignatureDoesNotMatch"}
				}
				return want{"ContentMD5NotMatched"}
			},
		},
		"Query": {
			reason: "A flipped byte of the query is noticed.",
			tamper: func(r *http.Request, b []byte) []byte { r.URL.RawQuery = flip(r.URL.RawQuery); return b },
			want:   func(vendor) want { return want{"SignatureDoesNotMatch"} },
		},
		"AddedParameter": {
			reason: "A parameter that was added is noticed.",
			tamper: func(r *http.Request, b []byte) []byte { r.URL.RawQuery += "&force=true"; return b },
			want:   func(vendor) want { return want{"SignatureDoesNotMatch"} },
		},
		"Path": {
			reason: "A flipped byte of the path is noticed.",
			tamper: func(r *http.Request, b []byte) []byte { r.URL.Path = flip(r.URL.Path); return b },
			want:   func(vendor) want { return want{"SignatureDoesNotMatch"} },
		},
		"Method": {
			reason: "Another method is noticed.",
			tamper: func(r *http.Request, b []byte) []byte { r.Method = "POST"; return b },
			want:   func(vendor) want { return want{"SignatureDoesNotMatch"} },
		},
		"Header": {
			reason: "A flipped byte of a signed header is noticed.",
			tamper: func(r *http.Request, b []byte) []byte { r.Header.Set("X-Acs-Version", "2015-12-16"); return b },
			want:   func(vendor) want { return want{"SignatureDoesNotMatch"} },
		},
		"AddedHeader": {
			reason: "An x-acs header that was added is not signed.",
			tamper: func(r *http.Request, b []byte) []byte { r.Header.Set("X-Acs-Extra", "1"); return b },
			want: func(v vendor) want {
				if strings.Contains(v.name, "ACS3") {
					return want{"IncompleteSignature"}
				}
				return want{"SignatureDoesNotMatch"}
			},
		},
		"UnsignedHeader": {
			reason: "Headers that are never signed may change on the way.",
			tamper: func(r *http.Request, b []byte) []byte { r.Header.Set("User-Agent", "proxy"); return b },
			want:   func(vendor) want { return want{"OK"} },
		},
		"OldDate": {
			reason: "A request older than 15 minutes is refused.", now: now.Add(MaxSkew + time.Minute),
			want: func(vendor) want { return want{"InvalidTimeStamp.Expired"} },
		},
		"FutureDate": {
			reason: "So is one from the future.", now: now.Add(-MaxSkew - time.Minute),
			want: func(vendor) want { return want{"InvalidTimeStamp.Expired"} },
		},
		"Skew": {
			reason: "A gateway whose clock is wrong refuses good requests.", options: Options{Skew: 20 * time.Minute},
			want: func(vendor) want { return want{"InvalidTimeStamp.Expired"} },
		},
		"Replay": {
			reason: "A nonce serves once. The older client sends none.", replay: true,
			want: func(v vendor) want {
				if !v.hasNonce {
					return want{"OK"}
				}
				return want{"SignatureNonceUsed"}
			},
		},
		"ExpiredToken": {
			reason: "A session token ends.", token: testToken, secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken, Expires: expired}},
			want: func(vendor) want { return want{"InvalidSecurityToken.Expired"} },
		},
		"ForcedExpiry": {
			reason: "A fault can end it.", token: testToken, secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken}}, options: Options{Expired: true},
			want: func(vendor) want { return want{"InvalidSecurityToken.Expired"} },
		},
		"OtherToken": {
			reason: "A token belongs to its key.", token: "another", secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken}},
			want: func(vendor) want { return want{"InvalidSecurityToken.MismatchWithAccessKey"} },
		},
		"MissingToken": {
			reason: "A temporary key needs its token.", secrets: map[string]Secret{testID: {Key: testSecret, Token: testToken}},
			want: func(vendor) want { return want{"InvalidSecurityToken.Malformed"} },
		},
		"NoAuthorization": {
			reason: "A request without signature is refused.",
			tamper: func(r *http.Request, b []byte) []byte { r.Header.Del("Authorization"); return b },
			want:   func(vendor) want { return want{"MissingAccessKeyId"} },
		},
	}
	for name, tc := range cases {
		for _, v := range vendors() {
			t.Run(name+"/"+v.name, func(t *testing.T) {
				clock := time.Now
				if !tc.now.IsZero() {
					clock = func() time.Time { return tc.now }
				}
				secrets := tc.secrets
				if secrets == nil {
					secrets = map[string]Secret{testID: {Key: testSecret}}
				}
				g := newGateway(t, secrets, clock)
				g.tamper, g.options, g.replay = tc.tamper, tc.options, tc.replay
				id, secret := testID, testSecret
				if tc.id != "" {
					id = tc.id
				}
				if tc.secret != "" {
					secret = tc.secret
				}
				v.call(t, g, id, secret, tc.token, "PUT", "/clusters/c1/nodepools/np1", map[string]string{"a": "1", "list": `["i-1"]`}, "pool 1")
				if diff := cmp.Diff(tc.want(v), want{g.code}, cmp.AllowUnexported(want{})); diff != "" {
					t.Errorf("\n%s\nVerify(...): -want, +got:\n%s", tc.reason, diff)
				}
			})
		}
	}
}

// runtimeOptions with time-outs: the client's default is none.
func runtimeOptions() *util.RuntimeOptions {
	return &util.RuntimeOptions{ConnectTimeout: tea.Int(5000), ReadTimeout: tea.Int(10000), Autoretry: tea.Bool(false)}
}
