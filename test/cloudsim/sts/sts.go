// Package sts is the simulated token services of both clouds: they give temporary
// credentials of a role to who has a token of an OpenID Connect issuer that the
// role trusts. Both look at all of the token, as the real ones do.
package sts

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/gateway"
)

// A Trust says whose tokens give the credentials of a role.
type Trust struct {
	// Role and Provider as the calls name them: ARNs at Alibaba Cloud, an ARN and a
	// name at Tencent Cloud.
	Role, Provider string
	// Issuer, Audience and Subject that the token must have.
	Issuer, Audience, Subject string
	// Keys of the issuer, by id.
	Keys map[string]*rsa.PublicKey
	// Lifetime of the credentials, of the real clock.
	Lifetime time.Duration
}

// A Server answers AssumeRoleWithOIDC and AssumeRoleWithWebIdentity.
type Server struct {
	cloud *cloud.Cloud
	trust Trust
}

// New returns a Server whose credentials the cloud's APIs accept.
func New(c *cloud.Cloud, t Trust) *Server { return &Server{cloud: c, trust: t} }

// A refusal of a token, in the words of each cloud.
type refusal struct{ alibaba, tencent, message string }

var (
	badToken    = &refusal{"AuthenticationFail.OIDCToken.Invalid", "InvalidParameter.WebIdentityTokenError", "This OIDC Token is invalid."}
	badSign     = &refusal{"AuthenticationFail.OIDCToken.SignatureInvalid", "InvalidParameter.WebIdentityTokenError", "The signature of the OIDC Token does not match."}
	badIssuer   = &refusal{"AuthenticationFail.OIDCToken.IssuerMismatch", "InvalidParameter.WebIdentityTokenError", "The issuer of the OIDC Token is not that of the provider."}
	badAudience = &refusal{"AuthenticationFail.OIDCToken.AudienceNotMatch", "InvalidParameter.WebIdentityTokenError", "The audience of the OIDC Token is not one of the provider's."}
	expired     = &refusal{"AuthenticationFail.OIDCToken.Expired", "InvalidParameter.WebIdentityTokenError", "This OIDC Token is expired or not yet valid."}
	noRight     = &refusal{"NoPermission", "UnauthorizedOperation", "You are not authorized to assume the role."}
)

// check a token.
func (s *Server) check(token string, now time.Time) *refusal {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return badToken
	}
	var head struct{ Alg, Kid string }
	var claims struct {
		Iss, Sub string
		Aud      json.RawMessage
		Exp, Nbf *float64
	}
	for i, to := range []any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, to) != nil {
			return badToken
		}
	}
	key := s.trust.Keys[head.Kid]
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if head.Alg != "RS256" || key == nil || err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) != nil {
		return badSign
	}
	// The audience is a string or a list of them.
	var one string
	audience := []string{}
	if json.Unmarshal(claims.Aud, &one) == nil {
		audience = append(audience, one)
	} else if json.Unmarshal(claims.Aud, &audience) != nil {
		return badToken
	}
	at := float64(now.Unix())
	switch {
	case claims.Exp == nil:
		return badToken
	case claims.Iss != s.trust.Issuer:
		return badIssuer
	case !slices.Contains(audience, s.trust.Audience):
		return badAudience
	case at >= *claims.Exp, claims.Nbf != nil && at < *claims.Nbf:
		return expired
	case claims.Sub != s.trust.Subject:
		return noRight
	}
	return nil
}

// assume the role, or say why not.
func (s *Server) assume(role, provider, token string) (config.Account, *refusal) {
	now := time.Now()
	if role != s.trust.Role || provider != s.trust.Provider {
		return config.Account{}, noRight
	}
	if f := s.check(token, now); f != nil {
		return config.Account{}, f
	}
	until := now.Add(s.trust.Lifetime).Truncate(time.Second)
	a := config.Account{
		AccessKeyID:     "STS." + s.cloud.Random.Alphanumeric("sts-id", 20),
		AccessKeySecret: s.cloud.Random.Alphanumeric("sts-secret", 30), SecurityToken: s.cloud.Random.Alphanumeric("sts-token", 32),
		Expires: &until,
	}
	s.cloud.Admit(a)
	return a, nil
}

// ServeHTTP handles one request. They are not signed: the token is what counts.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, gateway.MaxBody))
	if err != nil {
		return
	}
	if r.Header.Get("X-TC-Action") != "" {
		s.tencent(w, r, body)
		return
	}
	s.alibaba(w, r, body)
}

func (s *Server) alibaba(w http.ResponseWriter, r *http.Request, body []byte) {
	form, err := url.ParseQuery(string(body))
	q := r.URL.Query()
	if err != nil || r.Method != http.MethodPost || q.Get("Action") != "AssumeRoleWithOIDC" || q.Get("Version") != "2015-04-01" {
		answer(w, http.StatusNotFound, map[string]any{"Code": "InvalidAction.NotFound", "Message": "Specified api is not found.", "RequestId": s.cloud.Random.RequestID()})
		return
	}
	a, f := s.assume(form.Get("RoleArn"), form.Get("OIDCProviderArn"), form.Get("OIDCToken"))
	if f != nil {
		answer(w, http.StatusBadRequest, map[string]any{"Code": f.alibaba, "Message": f.message, "RequestId": s.cloud.Random.RequestID()})
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"RequestId": s.cloud.Random.RequestID(),
		"Credentials": map[string]any{
			"AccessKeyId": a.AccessKeyID, "AccessKeySecret": a.AccessKeySecret, "SecurityToken": a.SecurityToken, "Expiration": a.Expires.UTC().Format(time.RFC3339),
		},
	})
}

func (s *Server) tencent(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		ProviderId, WebIdentityToken, RoleArn string //nolint:revive,stylecheck // The API's name.
	}
	fail := func(code, message string) {
		answer(w, http.StatusOK, map[string]any{"Response": map[string]any{"Error": map[string]any{"Code": code, "Message": message}, "RequestId": s.cloud.Random.RequestID()}})
	}
	if r.Header.Get("X-TC-Action") != "AssumeRoleWithWebIdentity" || r.Header.Get("X-TC-Version") != "2018-08-13" {
		fail("InvalidAction", "The action is not valid.")
		return
	}
	if err := json.Unmarshal(body, &in); err != nil {
		fail("InvalidParameter", "The body is no JSON.")
		return
	}
	a, f := s.assume(in.RoleArn, in.ProviderId, in.WebIdentityToken)
	if f != nil {
		fail(f.tencent, f.message)
		return
	}
	answer(w, http.StatusOK, map[string]any{"Response": map[string]any{
		"Credentials": map[string]any{"TmpSecretId": a.AccessKeyID, "TmpSecretKey": a.AccessKeySecret, "Token": a.SecurityToken},
		"ExpiredTime": a.Expires.Unix(), "Expiration": a.Expires.UTC().Format(time.RFC3339), "RequestId": s.cloud.Random.RequestID(),
	}})
}

func answer(w http.ResponseWriter, status int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}
