package sts_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/aliyun"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/sts"
)

const (
	issuer   = "https://oidc.example.org"
	audience = "sts.example.org"
	subject  = "system:serviceaccount:crossplane-system:provider-regionpool"
	role     = "role-of-the-provider"
	provider = "provider-of-tokens"
)

// key of the issuer, and one of somebody else.
var key, other = sync.OnceValue(newKey), sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// A change of the head or the claims of a token.
type change func(head, claims map[string]any)

func claim(name string, v any) change {
	return func(_, claims map[string]any) { claims[name] = v }
}

// token that the kubelet would put into a pod.
func token(t *testing.T, by *rsa.PrivateKey, changes ...change) string {
	t.Helper()
	now := time.Now()
	head := map[string]any{"alg": "RS256", "kid": "k1", "typ": "JWT"}
	claims := map[string]any{
		"iss": issuer, "sub": subject, "aud": []string{audience},
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for _, c := range changes {
		c(head, claims)
	}
	var parts []string
	for _, v := range []any{head, claims} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, ".")))
	sig, err := rsa.SignPKCS1v15(rand.Reader, by, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(parts, base64.RawURLEncoding.EncodeToString(sig)), ".")
}

// A world is both clouds with their token services, and a pod with an identity.
type world struct {
	*simtest.Sim
	file string
}

// services have a certificate that the process trusts. The roots of a process are
// read once, so all tests share them.
var services = sync.OnceValues(func() (*httptest.Server, *swap) {
	h := &swap{}
	srv := httptest.NewTLSServer(h)
	return srv, h
})

func start(t *testing.T, lifetime time.Duration) *world {
	t.Helper()
	srv, h := services()
	w := &world{Sim: simtest.Start(t, simtest.Options{}), file: filepath.Join(t.TempDir(), "token")}
	h.set(sts.New(w.Cloud, sts.Trust{
		Role: role, Provider: provider, Issuer: issuer, Audience: audience, Subject: subject,
		Keys: map[string]*rsa.PublicKey{"k1": &key().PublicKey}, Lifetime: lifetime,
	}))
	host := strings.TrimPrefix(srv.URL, "https://")
	for k, v := range map[string]string{
		"ALIBABA_CLOUD_ROLE_ARN": role, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": provider, "ALIBABA_CLOUD_OIDC_TOKEN_FILE": w.file, "ALIBABA_CLOUD_STS_ENDPOINT": host,
		"TKE_ROLE_ARN": role, "TKE_PROVIDER_ID": provider, "TKE_WEB_IDENTITY_TOKEN_FILE": w.file, "TKE_STS_ENDPOINT": host, "TKE_REGION": "ap-guangzhou",
	} {
		t.Setenv(k, v)
	}
	return w
}

func (w *world) write(t *testing.T, token string) {
	t.Helper()
	if err := os.WriteFile(w.file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
}

// call each cloud with clients of an injected identity, as the controllers do.
func (w *world) call(t *testing.T) map[string]error {
	t.Helper()
	real := clock.RealClock{}
	spec := func(typ v1alpha1.ProviderConfigType, url string) *v1alpha1.ProviderConfigSpec {
		return &v1alpha1.ProviderConfigSpec{Type: typ, Endpoint: url, RateLimit: &v1alpha1.RateLimit{QPS: 1e6, Burst: 1e6}}
	}
	out := map[string]error{}
	clusters := ack.NewFactory(real)
	c, err := clusters.Client(spec(v1alpha1.TypeAlibabaCloud, w.URL), nil, "cn-hangzhou")
	if err != nil {
		t.Fatal(err)
	}
	_, out["ACK"] = c.ListClusters(t.Context(), "rp-1")
	m, err := aliyun.NewFactory(real, clusters.Buckets()).Client(spec(v1alpha1.TypeAlibabaCloud, w.URL), nil, "cn-hangzhou")
	if err != nil {
		t.Fatal(err)
	}
	_, out["ECS"] = m.Stock(t.Context(), false)
	k, err := tke.NewFactory(real).Client(spec(v1alpha1.TypeTencentCloud, w.TencentURL), nil, "ap-guangzhou")
	if err != nil {
		t.Fatal(err)
	}
	_, out["TKE"] = k.ListOffers(t.Context(), []string{"S5.LARGE8"})
	return out
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sts")
	if err != nil {
		panic(err)
	}
	srv, _ := services()
	roots := filepath.Join(dir, "roots.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(roots, raw, 0o600); err != nil {
		panic(err)
	}
	// Before anything of this process verifies a certificate.
	if err := os.Setenv("SSL_CERT_FILE", roots); err != nil {
		panic(err)
	}
	code := m.Run()
	srv.Close()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// TestIdentity: with the token of its pod the provider gets temporary credentials
// of both clouds, which their APIs accept. Nothing but that very token will do.
func TestIdentity(t *testing.T) {
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	cases := map[string]struct {
		reason  string
		by      func() *rsa.PrivateKey
		changes []change
		spoil   func(string) string
		ok      bool
	}{
		"Right":      {reason: "The token of the pod.", ok: true},
		"OneAud":     {reason: "An audience may be one word.", changes: []change{claim("aud", audience)}, ok: true},
		"Audience":   {reason: "A token for somebody else.", changes: []change{claim("aud", []string{"kubernetes.default.svc"})}},
		"NoAudience": {reason: "A token for nobody.", changes: []change{claim("aud", nil)}},
		"Issuer":     {reason: "A token of another cluster.", changes: []change{claim("iss", "https://oidc.example.com")}},
		"Subject":    {reason: "The token of another service account.", changes: []change{claim("sub", "system:serviceaccount:default:default")}},
		"Expired":    {reason: "A token that has ended.", changes: []change{claim("exp", past.Unix())}},
		"Endless":    {reason: "A token without an end.", changes: []change{claim("exp", nil)}},
		"Early":      {reason: "A token of the future.", changes: []change{claim("nbf", soon.Unix())}},
		"Forged":     {reason: "A token that somebody else has signed.", by: other},
		"Key":        {reason: "A key that the issuer does not have.", changes: []change{func(head, _ map[string]any) { head["kid"] = "k2" }}},
		"None":       {reason: "A token that says it needs no signature.", changes: []change{func(head, _ map[string]any) { head["alg"] = "none" }}},
		"Unsigned":   {reason: "A token whose signature is missing.", spoil: func(s string) string { return s[:strings.LastIndex(s, ".")+1] }},
		"Changed":    {reason: "A token that was changed after it was signed.", spoil: func(s string) string { return "e30" + s[strings.Index(s, "."):] }},
		"Garbage":    {reason: "No token at all.", spoil: func(string) string { return "secret-garbage" }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, time.Hour)
			by := key()
			if tc.by != nil {
				by = tc.by()
			}
			tok := token(t, by, tc.changes...)
			if tc.spoil != nil {
				tok = tc.spoil(tok)
			}
			w.write(t, tok)
			for cloudName, err := range w.call(t) {
				switch {
				case tc.ok && err != nil:
					t.Errorf("\nReason: %s\n%s: %v", tc.reason, cloudName, err)
				case !tc.ok && !cloud.Is(err, cloud.Unauthorised):
					t.Errorf("\nReason: %s\n%s: want a refusal, got %v", tc.reason, cloudName, err)
				case err != nil && strings.Contains(err.Error(), tok):
					t.Errorf("\nReason: the token is a secret\n%s: %v", cloudName, err)
				}
			}
			for _, e := range w.Cloud.Requests.List(requestlog.Filter{}) {
				if e.Verified != tc.ok {
					t.Errorf("\nReason: %s\n%s: verified %t", tc.reason, e.Action, e.Verified)
				}
			}
		})
	}
}

// TestRotatedToken: the kubelet replaces the token before it ends, and clients
// that are made later use the new one.
func TestRotatedToken(t *testing.T) {
	w := start(t, time.Hour)
	w.write(t, token(t, key(), claim("exp", time.Now().Add(-time.Second).Unix())))
	for name, err := range w.call(t) {
		if !cloud.Is(err, cloud.Unauthorised) {
			t.Errorf("%s: a token that has ended is refused: %v", name, err)
		}
	}
	w.write(t, token(t, key()))
	for name, err := range w.call(t) {
		if err != nil {
			t.Errorf("%s: the new one is not: %v", name, err)
		}
	}
}

// TestExpiredCredentials: what the role gave ends.
func TestExpiredCredentials(t *testing.T) {
	w := start(t, -time.Minute)
	w.write(t, token(t, key()))
	for name, err := range w.call(t) {
		if !cloud.Is(err, cloud.Unauthorised) {
			t.Errorf("%s: credentials that have ended are refused: %v", name, err)
		}
	}
}
