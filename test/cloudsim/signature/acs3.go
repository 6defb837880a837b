package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"
)

const acs3 = "ACS3-HMAC-SHA256"

// parseACS3 reads a request signed by ACS3-HMAC-SHA256. Body, path, query and
// all x-acs-* headers are covered; a request that leaves one of them unsigned is
// refused.
func parseACS3(r *http.Request, body []byte, auth string) (claim, *Failure) {
	fields := map[string]string{}
	for _, f := range strings.Split(strings.TrimPrefix(auth, acs3+" "), ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		fields[k] = v
	}
	c := claim{akid: fields["Credential"], signature: fields["Signature"]}
	signed := strings.Split(fields["SignedHeaders"], ";")
	if c.akid == "" || c.signature == "" {
		return c, &Failure{Status: http.StatusBadRequest, Code: "IncompleteSignature", Message: "The request signature does not conform to Aliyun standards."}
	}
	date, err := time.Parse("2006-01-02T15:04:05Z", r.Header.Get("X-Acs-Date"))
	if err != nil {
		return c, &Failure{Status: http.StatusBadRequest, Code: "InvalidTimeStamp.Format", Message: "Specified time stamp or date value is not well formatted."}
	}
	c.date = date
	must := append(acsHeaders(r), "host")
	if r.Header.Get("Content-Type") != "" {
		must = append(must, "content-type")
	}
	for _, h := range must {
		if !slices.Contains(signed, h) {
			return c, &Failure{Status: http.StatusBadRequest, Code: "IncompleteSignature", Message: "The header " + h + " is not signed."}
		}
	}
	hash := sha256.Sum256(body)
	payload := hex.EncodeToString(hash[:])
	if r.Header.Get("X-Acs-Content-Sha256") != payload {
		return c, mismatch("x-acs-content-sha256 is not the hash of the body")
	}
	canonical := acs3Canonical(r, signed, payload)
	c.expected = func(secret string) ([]string, string) {
		sum := sha256.Sum256([]byte(canonical))
		sts := acs3 + "\n" + hex.EncodeToString(sum[:])
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte(sts))
		return []string{hex.EncodeToString(m.Sum(nil))}, sts
	}
	return c, nil
}

func acs3Canonical(r *http.Request, signed []string, payload string) string {
	query := r.URL.Query()
	keys := make([]string, 0, len(query))
	for k := range query {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var pairs []string
	for _, k := range keys {
		for _, v := range query[k] {
			pairs = append(pairs, escape(k)+"="+escape(v))
		}
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + strings.Join(pairs, "&") + "\n")
	for _, h := range signed {
		v := r.Host
		if h != "host" {
			values := slices.Clone(r.Header.Values(h))
			sort.Strings(values)
			v = strings.Join(values, ",")
		}
		b.WriteString(h + ":" + strings.TrimSpace(v) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + payload)
	return b.String()
}

// escape as RFC 3986 wants it, which is not quite what QueryEscape does.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(s))
}
