package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	tc3 = "TC3-HMAC-SHA256"

	// MaxTC3Skew is how far the timestamp of a Tencent request may be from the
	// gateway's clock.
	MaxTC3Skew = 300 * time.Second
)

// A TC3Verifier checks requests to Tencent Cloud, which are signed by
// TC3-HMAC-SHA256. There is no nonce, so replays within the skew pass.
type TC3Verifier struct {
	lookup func(secretID string) (Secret, bool)
	now    func() time.Time
}

// NewTC3Verifier returns a TC3Verifier that finds secrets by lookup.
func NewTC3Verifier(lookup func(secretID string) (Secret, bool), now func() time.Time) *TC3Verifier {
	return &TC3Verifier{lookup: lookup, now: now}
}

// A TC3Caller is who a request says it is from, and which product it is for.
type TC3Caller struct {
	SecretID string
	// Service of the credential scope, for example "tke".
	Service string
}

// Verify checks a request whose body has been read. It returns what the request
// claims also when it refuses it. Refusals have status 200, as all of Tencent's
// answers.
func (v *TC3Verifier) Verify(r *http.Request, body []byte, o Options) (TC3Caller, *Failure) {
	auth := r.Header.Get("Authorization")
	if auth == "" {
		return TC3Caller{}, refuse("AuthFailure.InvalidAuthorization", "The request does not have the `Authorization` header.")
	}
	fields, ok := strings.CutPrefix(auth, tc3+" ")
	if !ok {
		return TC3Caller{}, refuse("AuthFailure.InvalidAuthorization", "The `Authorization` header does not start with "+tc3+".")
	}
	values := map[string]string{}
	for _, f := range strings.Split(fields, ",") {
		k, val, _ := strings.Cut(strings.TrimSpace(f), "=")
		values[k] = val
	}
	scope := strings.Split(values["Credential"], "/")
	signed := strings.Split(values["SignedHeaders"], ";")
	if len(scope) != 4 || scope[3] != "tc3_request" || values["Signature"] == "" {
		return TC3Caller{}, refuse("AuthFailure.InvalidAuthorization", "The `Authorization` header is not well formed.")
	}
	c := TC3Caller{SecretID: scope[0], Service: scope[2]}
	for _, h := range []string{"content-type", "host"} {
		if !slices.Contains(signed, h) {
			return c, refuse("AuthFailure.InvalidAuthorization", "`SignedHeaders` lacks "+h+".")
		}
	}

	stamp := r.Header.Get("X-TC-Timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return c, refuse("MissingParameter", "The request is missing a valid `X-TC-Timestamp`.")
	}
	at, now := time.Unix(seconds, 0).UTC(), v.now().Add(o.Skew)
	if d := now.Sub(at); d > MaxTC3Skew || d < -MaxTC3Skew {
		return c, refuse("AuthFailure.SignatureExpire", "The provided signature has expired: "+stamp+" is too far from the server's time.")
	}
	if scope[1] != at.Format(time.DateOnly) {
		return c, refuse("AuthFailure.SignatureFailure", "The date of the credential scope is not that of `X-TC-Timestamp`.")
	}
	s, ok := v.lookup(c.SecretID)
	if !ok {
		return c, refuse("AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that your SecretId is correct.")
	}
	sum := sha256.Sum256([]byte(tc3Canonical(r, body, signed)))
	sts := tc3 + "\n" + stamp + "\n" + strings.Join(scope[1:], "/") + "\n" + hex.EncodeToString(sum[:])
	key := []byte("TC3" + s.Key)
	for _, part := range scope[1:] {
		key = hmac256(key, part)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(hmac256(key, sts))), []byte(values["Signature"])) {
		return c, refuse("AuthFailure.SignatureFailure", "The provided credentials could not be validated. Please check your signature is correct.")
	}
	token := r.Header.Get("X-TC-Token")
	if token != s.Token || token != "" && (o.Expired || !s.Expires.IsZero() && now.After(s.Expires)) {
		return c, refuse("AuthFailure.TokenFailure", "The token is not valid or has expired.")
	}
	return c, nil
}

// tc3Canonical is the canonical request. Later clients may sign more headers, so
// the list is the request's; a client may leave the body out and say so.
func tc3Canonical(r *http.Request, body []byte, signed []string) string {
	if r.Header.Get("X-TC-Content-SHA256") == "UNSIGNED-PAYLOAD" {
		body = []byte("UNSIGNED-PAYLOAD")
	}
	hash := sha256.Sum256(body)
	var b strings.Builder
	b.WriteString(r.Method + "\n/\n" + r.URL.RawQuery + "\n")
	for _, h := range signed {
		v := r.Header.Get(h)
		if h == "host" {
			v = r.Host
		}
		b.WriteString(h + ":" + strings.ToLower(strings.TrimSpace(v)) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + hex.EncodeToString(hash[:]))
	return b.String()
}

func refuse(code, text string) *Failure {
	return &Failure{Status: http.StatusOK, Code: code, Message: text}
}

func hmac256(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
