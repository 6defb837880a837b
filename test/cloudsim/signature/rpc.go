package signature

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

// Parameters of an RPC-style request: those of the query and of a form in the
// body, which the signature covers alike. A form overrides the query.
func Parameters(r *http.Request, body []byte) map[string]string {
	out := map[string]string{}
	for k, v := range r.URL.Query() {
		out[k] = v[0]
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return out
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return out
	}
	for k, v := range form {
		out[k] = v[0]
	}
	return out
}

// parseRPC reads a request signed as RPC-style APIs want it: version 1.0 with
// HMAC-SHA1, everything in the parameters. Headers are not covered.
func parseRPC(r *http.Request, p map[string]string) (claim, *Failure) {
	c := claim{akid: p["AccessKeyId"], signature: p["Signature"], token: p["SecurityToken"], nonce: p["SignatureNonce"]}
	bad := func(code, message string) (claim, *Failure) {
		return c, &Failure{Status: http.StatusBadRequest, Code: code, Message: message}
	}
	for _, k := range []string{"AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"} {
		if p[k] == "" {
			return bad("Missing"+k, k+" is mandatory for this action.")
		}
	}
	if p["SignatureMethod"] != "HMAC-SHA1" || p["SignatureVersion"] != "1.0" {
		return bad("InvalidParameter.SignatureMethod", "Specified signature method or version is not supported.")
	}
	date, err := time.Parse("2006-01-02T15:04:05Z", p["Timestamp"])
	if err != nil {
		return bad("InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
	}
	c.date = date
	c.expected = func(secret string) ([]string, string) {
		sts := rpcStringToSign(r.Method, p)
		m := hmac.New(sha1.New, []byte(secret+"&"))
		m.Write([]byte(sts))
		return []string{base64.StdEncoding.EncodeToString(m.Sum(nil))}, sts
	}
	return c, nil
}

func rpcStringToSign(method string, p map[string]string) string {
	keys := make([]string, 0, len(p))
	for k := range p {
		if k != "Signature" {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	pairs := make([]string, len(keys))
	for i, k := range keys {
		pairs[i] = escape(k) + "=" + escape(p[k])
	}
	return method + "&%2F&" + escape(strings.Join(pairs, "&"))
}
