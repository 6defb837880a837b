package signature

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"sort"
	"strings"
)

// parseROA reads a request signed by ROA HMAC-SHA1. The body is covered by its
// Content-MD5 if there is one: cs-20151215 sends none, alibaba-cloud-sdk-go
// always does.
func parseROA(r *http.Request, body []byte, auth string) (claim, *Failure) {
	akid, sig, ok := strings.Cut(strings.TrimPrefix(auth, "acs "), ":")
	if !ok {
		return claim{akid: akid}, &Failure{Status: http.StatusBadRequest, Code: "IncompleteSignature", Message: "The request signature does not conform to Aliyun standards."}
	}
	date, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return claim{akid: akid}, &Failure{Status: http.StatusBadRequest, Code: "InvalidTimeStamp.Format", Message: "Specified time stamp or date value is not well formatted."}
	}
	if want := r.Header.Get("Content-MD5"); want != "" {
		sum := md5.Sum(body)
		if base64.StdEncoding.EncodeToString(sum[:]) != want {
			return claim{akid: akid}, &Failure{Status: http.StatusBadRequest, Code: "ContentMD5NotMatched", Message: "Specified Content-MD5 does not match the request body."}
		}
	}
	return claim{akid: akid, date: date, signature: sig, expected: func(secret string) ([]string, string) {
		// The newer SDK signs the escaped path, the older one the raw path.
		var sigs []string
		var first string
		for _, path := range []string{r.URL.EscapedPath(), r.URL.Path} {
			sts := roaStringToSign(r, path)
			if first == "" {
				first = sts
			}
			m := hmac.New(sha1.New, []byte(secret))
			m.Write([]byte(sts))
			sigs = append(sigs, base64.StdEncoding.EncodeToString(m.Sum(nil)))
		}
		return sigs, first
	}}, nil
}

// roaStringToSign has query values decoded, not escaped.
func roaStringToSign(r *http.Request, path string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n")
	for _, h := range []string{"Accept", "Content-MD5", "Content-Type", "Date"} {
		b.WriteString(r.Header.Get(h) + "\n")
	}
	for _, h := range acsHeaders(r) {
		b.WriteString(h + ":" + strings.Join(r.Header.Values(h), ",") + "\n")
	}
	b.WriteString(path)
	query := r.URL.Query()
	keys := make([]string, 0, len(query))
	for k := range query {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	sep := "?"
	for _, k := range keys {
		for _, v := range query[k] {
			b.WriteString(sep + k)
			if v != "" {
				b.WriteString("=" + v)
			}
			sep = "&"
		}
	}
	return b.String()
}

// acsHeaders returns the lower-case names of the x-acs-* headers, sorted.
func acsHeaders(r *http.Request) []string {
	var out []string
	for k := range r.Header {
		if l := strings.ToLower(k); strings.HasPrefix(l, "x-acs-") {
			out = append(out, l)
		}
	}
	sort.Strings(out)
	return out
}
