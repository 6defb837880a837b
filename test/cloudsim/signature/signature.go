// Package signature verifies the signatures of Alibaba Cloud requests as the
// cloud's gateway does: ROA HMAC-SHA1 ("acs AK:sig"), RPC HMAC-SHA1 (in the
// parameters) and ACS3-HMAC-SHA256.
//
// The canonical forms were taken from the vendors' SDKs, whose real clients the
// tests run against this verifier. The texts and statuses of refusals are
// inferred; nobody documents them.
package signature

import (
	"crypto/hmac"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// MaxSkew is how far a request's date may be from the gateway's clock.
const MaxSkew = 15 * time.Minute

// A Secret belongs to an access key.
type Secret struct {
	Key string
	// Token of a temporary credential, empty for a permanent one.
	Token string
	// Expires is when a temporary credential ends, zero for never.
	Expires time.Time
}

// A Failure is why a request is refused, in the form of the gateway's answer.
type Failure struct {
	Status  int
	Code    string
	Message string
}

// Error returns code and message.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// A Verifier of requests. Skew and expiry are judged by wall time.
type Verifier struct {
	lookup func(akid string) (Secret, bool)
	now    func() time.Time

	mu     sync.Mutex
	nonces map[string]time.Time
	sweep  time.Time
}

// NewVerifier returns a Verifier that finds secrets by lookup.
func NewVerifier(lookup func(akid string) (Secret, bool), now func() time.Time) *Verifier {
	return &Verifier{lookup: lookup, now: now, nonces: map[string]time.Time{}}
}

// Options distort one verification.
type Options struct {
	// Skew of the gateway's clock.
	Skew time.Duration
	// Expired makes every session token an expired one.
	Expired bool
}

// claim is what a request says about itself.
type claim struct {
	akid      string
	date      time.Time
	signature string
	token     string
	nonce     string
	// expected signatures for a secret; more than one where clients differ in
	// how they escape. The second value is the first's string to sign.
	expected func(secret string) (signatures []string, stringToSign string)
}

// Verify checks a request whose body has been read. It returns the access key
// id the request claims, also when it refuses it.
func (v *Verifier) Verify(r *http.Request, body []byte, o Options) (string, *Failure) {
	auth := r.Header.Get("Authorization")
	var c claim
	var f *Failure
	switch {
	case strings.HasPrefix(auth, "acs "):
		c, f = parseROA(r, body, auth)
	case strings.HasPrefix(auth, "ACS3-HMAC-SHA256 "):
		c, f = parseACS3(r, body, auth)
	case auth == "" && Parameters(r, body)["Signature"] != "":
		c, f = parseRPC(r, Parameters(r, body))
	case auth == "":
		f = &Failure{Status: http.StatusBadRequest, Code: "MissingAccessKeyId", Message: "AccessKeyId is mandatory for this action."}
	default:
		f = &Failure{Status: http.StatusBadRequest, Code: "IncompleteSignature", Message: "The request signature does not conform to Aliyun standards."}
	}
	if f != nil {
		return c.akid, f
	}
	if auth != "" {
		c.token, c.nonce = r.Header.Get("X-Acs-Security-Token"), r.Header.Get("X-Acs-Signature-Nonce")
	}

	s, ok := v.lookup(c.akid)
	if !ok {
		return c.akid, &Failure{Status: http.StatusNotFound, Code: "InvalidAccessKeyId.NotFound", Message: "Specified access key is not found."}
	}
	now := v.now().Add(o.Skew)
	if d := now.Sub(c.date); d > MaxSkew || d < -MaxSkew {
		return c.akid, &Failure{Status: http.StatusBadRequest, Code: "InvalidTimeStamp.Expired", Message: "Specified time stamp or date value is expired."}
	}
	signatures, sts := c.expected(s.Key)
	matched := false
	for _, want := range signatures {
		matched = matched || hmac.Equal([]byte(want), []byte(c.signature))
	}
	if !matched {
		return c.akid, mismatch(sts)
	}
	if f := checkToken(s, c.token, now, o.Expired); f != nil {
		return c.akid, f
	}
	if c.nonce != "" && !v.fresh(c.akid+"/"+c.nonce) {
		return c.akid, &Failure{Status: http.StatusBadRequest, Code: "SignatureNonceUsed", Message: "Specified signature nonce was used already."}
	}
	return c.akid, nil
}

func checkToken(s Secret, token string, now time.Time, expired bool) *Failure {
	fail := func(suffix, text string) *Failure {
		return &Failure{Status: http.StatusForbidden, Code: "InvalidSecurityToken." + suffix, Message: text}
	}
	switch {
	case s.Token == "" && token != "", s.Token != "" && token != "" && token != s.Token:
		return fail("MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKey.")
	case s.Token != "" && token == "":
		return fail("Malformed", "Specified SecurityToken is malformed.")
	case expired, !s.Expires.IsZero() && now.After(s.Expires):
		return fail("Expired", "Specified SecurityToken is expired.")
	}
	return nil
}

// fresh reports whether a nonce is new, and remembers it for as long as a
// replay could carry a valid date.
func (v *Verifier) fresh(nonce string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if now.Sub(v.sweep) > time.Minute {
		for n, at := range v.nonces {
			if now.Sub(at) > 2*MaxSkew {
				delete(v.nonces, n)
			}
		}
		v.sweep = now
	}
	if _, used := v.nonces[nonce]; used {
		return false
	}
	v.nonces[nonce] = now
	return true
}

// mismatch has the text the older SDK compares with its own string to sign.
func mismatch(stringToSign string) *Failure {
	return &Failure{
		Status: http.StatusBadRequest, Code: "SignatureDoesNotMatch",
		Message: fmt.Sprintf("Specified signature is not matched with our calculation. server string to sign is:%s", stringToSign),
	}
}
