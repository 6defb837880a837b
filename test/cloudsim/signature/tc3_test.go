package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"
)

// tencent verifies what the vendor's real client sends, after a man in the
// middle has had it.
type tencent struct {
	*httptest.Server
	verifier *TC3Verifier
	tamper   func(r *http.Request, body []byte) []byte
	options  Options
	code     string
	caller   TC3Caller
}

func newTencent(t *testing.T, s map[string]Secret, now func() time.Time) *tencent {
	t.Helper()
	g := &tencent{verifier: NewTC3Verifier(func(id string) (Secret, bool) { k, ok := s[id]; return k, ok }, now)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if g.tamper != nil {
			body = g.tamper(r, body)
		}
		caller, f := g.verifier.Verify(r, body, g.options)
		g.caller, g.code = caller, "OK"
		if f != nil {
			g.code = f.Code
		}
		fmt.Fprint(w, `{"Response":{"RequestId":"1"}}`)
	}))
	t.Cleanup(g.Close)
	return g
}

// send a request by the vendor's client.
func (g *tencent) send(t *testing.T, id, secret, token, service, method string, change func(*profile.ClientProfile)) {
	t.Helper()
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint, p.HttpProfile.Scheme, p.HttpProfile.ReqMethod = strings.TrimPrefix(g.URL, "http://"), "HTTP", method
	if change != nil {
		change(p)
	}
	cluster := "cls-1"
	r := tke.NewDescribeClustersRequest()
	r.WithApiInfo(service, "2018-05-25", "DescribeClusters")
	r.ClusterIds = []*string{&cluster}
	g.code = "nothing"
	_ = common.NewCommonClient(common.NewTokenCredential(id, secret, token), "ap-guangzhou", p).Send(r, tke.NewDescribeClustersResponse())
}

func TestTC3(t *testing.T) {
	flip := func(s string, at int) string {
		b := []byte(s)
		b[at] ^= 1
		return string(b)
	}
	header := func(name string, f func(string) string) func(*http.Request, []byte) []byte {
		return func(r *http.Request, body []byte) []byte {
			r.Header.Set(name, f(r.Header.Get(name)))
			return body
		}
	}
	auth := func(old, new string) func(*http.Request, []byte) []byte {
		return header("Authorization", func(s string) string { return strings.Replace(s, old, new, 1) })
	}
	plain := map[string]Secret{testID: {Key: testSecret}}
	sts := map[string]Secret{testID: {Key: testSecret, Token: testToken}}
	expired := map[string]Secret{testID: {Key: testSecret, Token: testToken, Expires: time.Now().Add(-time.Second)}}
	cases := map[string]struct {
		reason  string
		secrets map[string]Secret
		id      string
		secret  string
		token   string
		method  string
		ahead   time.Duration // of the gateway's clock
		options Options
		change  func(*profile.ClientProfile)
		tamper  func(*http.Request, []byte) []byte
		want    string
	}{
		"Post":     {reason: "As the client signs it.", want: "OK"},
		"Get":      {reason: "With a query.", method: "GET", want: "OK"},
		"Unsigned": {reason: "The body may be left out, openly.", change: func(p *profile.ClientProfile) { p.UnsignedPayload = true }, want: "OK"},
		"STS":      {reason: "With a token.", secrets: sts, token: testToken, want: "OK"},
		"Late":     {reason: "Five minutes late.", ahead: 298 * time.Second, want: "OK"},
		"Body":     {reason: "A byte of the body.", tamper: func(_ *http.Request, b []byte) []byte { return []byte(flip(string(b), 5)) }, want: "AuthFailure.SignatureFailure"},
		"BodyMore": {reason: "A byte more.", tamper: func(_ *http.Request, b []byte) []byte { return append(bytes.Clone(b), ' ') }, want: "AuthFailure.SignatureFailure"},
		"Query":    {reason: "A query that was not there.", tamper: func(r *http.Request, b []byte) []byte { r.URL.RawQuery = "a=b"; return b }, want: "AuthFailure.SignatureFailure"},
		"GetQuery": {reason: "A byte of the query.", method: "GET", tamper: func(r *http.Request, b []byte) []byte {
			r.URL.RawQuery = flip(r.URL.RawQuery, len(r.URL.RawQuery)-1)
			return b
		}, want: "AuthFailure.SignatureFailure"},
		"Method":      {reason: "Another method.", tamper: func(r *http.Request, b []byte) []byte { r.Method = "PUT"; return b }, want: "AuthFailure.SignatureFailure"},
		"Host":        {reason: "Another host.", tamper: func(r *http.Request, b []byte) []byte { r.Host = flip(r.Host, 0); return b }, want: "AuthFailure.SignatureFailure"},
		"ContentType": {reason: "Another type of content.", tamper: header("Content-Type", func(string) string { return "application/jsom" }), want: "AuthFailure.SignatureFailure"},
		"Timestamp":   {reason: "A byte of the timestamp.", tamper: header("X-TC-Timestamp", func(s string) string { return flip(s, len(s)-1) }), want: "AuthFailure.SignatureFailure"},
		"Signature":   {reason: "A byte of the signature.", tamper: header("Authorization", func(s string) string { return s[:len(s)-1] + "g" }), want: "AuthFailure.SignatureFailure"},
		"Service":     {reason: "Another service.", tamper: auth("/tke/", "/cvm/"), want: "AuthFailure.SignatureFailure"},
		"Date": {reason: "Another day.", tamper: header("Authorization", func(s string) string {
			return strings.Replace(s, time.Now().UTC().Format("2006-01-02"), "2020-01-01", 1)
		}), want: "AuthFailure.SignatureFailure"},
		"Terminator":    {reason: "Another terminator.", tamper: auth("tc3_request", "tc4_request"), want: "AuthFailure.InvalidAuthorization"},
		"FewerHeaders":  {reason: "The host must be signed.", tamper: auth("content-type;host", "content-type"), want: "AuthFailure.InvalidAuthorization"},
		"MoreHeaders":   {reason: "A header that was not signed.", tamper: auth("content-type;host", "content-type;host;x-tc-action"), want: "AuthFailure.SignatureFailure"},
		"Algorithm":     {reason: "Another algorithm.", tamper: auth("TC3-HMAC-SHA256", "TC2-HMAC-SHA256"), want: "AuthFailure.InvalidAuthorization"},
		"NoSignature":   {reason: "No authorization.", tamper: func(r *http.Request, b []byte) []byte { r.Header.Del("Authorization"); return b }, want: "AuthFailure.InvalidAuthorization"},
		"NoTimestamp":   {reason: "No timestamp.", tamper: func(r *http.Request, b []byte) []byte { r.Header.Del("X-TC-Timestamp"); return b }, want: "MissingParameter"},
		"WrongSecret":   {reason: "A wrong key.", secret: "x", want: "AuthFailure.SignatureFailure"},
		"UnknownID":     {reason: "An unknown id.", id: "AKIDx", want: "AuthFailure.SecretIdNotFound"},
		"TooLate":       {reason: "More than five minutes late.", ahead: 302 * time.Second, want: "AuthFailure.SignatureExpire"},
		"TooEarly":      {reason: "More than five minutes early.", ahead: -302 * time.Second, want: "AuthFailure.SignatureExpire"},
		"Skew":          {reason: "The gateway's clock is wrong.", options: Options{Skew: 20 * time.Minute}, want: "AuthFailure.SignatureExpire"},
		"NoToken":       {reason: "The token is missing.", secrets: sts, want: "AuthFailure.TokenFailure"},
		"WrongToken":    {reason: "A byte of the token.", secrets: sts, token: flip(testToken, 1), want: "AuthFailure.TokenFailure"},
		"TokenTooMuch":  {reason: "A token nobody asked for.", token: testToken, want: "AuthFailure.TokenFailure"},
		"Expired":       {reason: "A token that has ended.", secrets: expired, token: testToken, want: "AuthFailure.TokenFailure"},
		"ExpiredByWish": {reason: "A token that is said to have ended.", secrets: sts, token: testToken, options: Options{Expired: true}, want: "AuthFailure.TokenFailure"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.secrets == nil {
				tc.secrets = plain
			}
			if tc.id == "" {
				tc.id = testID
			}
			if tc.secret == "" {
				tc.secret = testSecret
			}
			if tc.method == "" {
				tc.method = "POST"
			}
			g := newTencent(t, tc.secrets, func() time.Time { return time.Now().Add(tc.ahead) })
			g.tamper, g.options = tc.tamper, tc.options
			g.send(t, tc.id, tc.secret, tc.token, "tke", tc.method, tc.change)
			if diff := cmp.Diff(tc.want, g.code); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestTC3EveryByte flips every byte of the body and of the signature.
func TestTC3EveryByte(t *testing.T) {
	g := newTencent(t, map[string]Secret{testID: {Key: testSecret}}, time.Now)
	for at := range len(`{"ClusterIds":["cls-1"]}`) {
		g.tamper = func(_ *http.Request, b []byte) []byte {
			b[at] ^= 0x20
			return b
		}
		g.send(t, testID, testSecret, "", "tke", "POST", nil)
		if g.code != "AuthFailure.SignatureFailure" {
			t.Errorf("Byte %d of the body: want a signature failure, got %s", at, g.code)
		}
	}
	for at := range 64 {
		g.tamper = func(r *http.Request, b []byte) []byte {
			a := []byte(r.Header.Get("Authorization"))
			a[len(a)-1-at] ^= 1
			r.Header.Set("Authorization", string(a))
			return b
		}
		g.send(t, testID, testSecret, "", "tke", "POST", nil)
		if g.code != "AuthFailure.SignatureFailure" {
			t.Errorf("Byte %d from the end of the signature: want a signature failure, got %s", at, g.code)
		}
	}
}

func TestTC3Services(t *testing.T) {
	g := newTencent(t, map[string]Secret{testID: {Key: testSecret}}, time.Now)
	for _, service := range []string{"tke", "vpc", "cvm", "as", "clb", "cbs", "tag"} {
		g.send(t, testID, testSecret, "", service, "POST", nil)
		if diff := cmp.Diff([]any{"OK", TC3Caller{SecretID: testID, Service: service}}, []any{g.code, g.caller}); diff != "" {
			t.Errorf("\nThe service is that of the scope.\n-want, +got:\n%s", diff)
		}
	}
}

// TestTC3MoreHeaders signs as later clients do: they cover the action.
func TestTC3MoreHeaders(t *testing.T) {
	v := NewTC3Verifier(func(string) (Secret, bool) { return Secret{Key: testSecret}, true }, time.Now)
	body := `{}`
	now := time.Now()
	r := httptest.NewRequest(http.MethodPost, "http://tke.invalid/", strings.NewReader(body))
	for k, val := range map[string]string{"Content-Type": "application/json; charset=utf-8", "X-TC-Action": "DescribeClusters", "X-TC-Timestamp": strconv.FormatInt(now.Unix(), 10)} {
		r.Header.Set(k, val)
	}
	hash := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	signed := "content-type;host;x-tc-action"
	canonical := "POST\n/\n\ncontent-type:application/json; charset=utf-8\nhost:tke.invalid\nx-tc-action:describeclusters\n\n" + signed + "\n" + hash(body)
	date := now.UTC().Format("2006-01-02")
	scope := date + "/tke/tc3_request"
	key := hmac256(hmac256(hmac256([]byte("TC3"+testSecret), date), "tke"), "tc3_request")
	sig := hex.EncodeToString(hmac256(key, "TC3-HMAC-SHA256\n"+strconv.FormatInt(now.Unix(), 10)+"\n"+scope+"\n"+hash(canonical)))
	r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential="+testID+"/"+scope+", SignedHeaders="+signed+", Signature="+sig)
	if _, f := v.Verify(r, []byte(body), Options{}); f != nil {
		t.Errorf("A signature over the action as well should be accepted: %v", f)
	}
	r.Header.Set("X-TC-Action", "DeleteCluster")
	if _, f := v.Verify(r, []byte(body), Options{}); f == nil || f.Code != "AuthFailure.SignatureFailure" {
		t.Errorf("Another action than the signed one should be refused, got %v", f)
	}
}
