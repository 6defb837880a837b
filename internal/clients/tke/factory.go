package tke

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	"k8s.io/utils/clock"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// Time-outs of one call. The SDK's default is a minute.
const (
	connectTimeout = 5 * time.Second
	callTimeout    = 20 * time.Second
)

const userAgent = "provider-regionpool"

// Environment that the identity of a pod is injected with.
const (
	envRegion = "TKE_REGION"
	// envSTS is the host of the token service, where that of the internet cannot be
	// reached.
	envSTS      = "TKE_STS_ENDPOINT"
	envProvider = "TKE_PROVIDER_ID"
	envToken    = "TKE_WEB_IDENTITY_TOKEN_FILE"
	envRole     = "TKE_ROLE_ARN"
)

// secretKey is what the credentials of a ProviderConfig hold.
type secretKey struct {
	ID    string `json:"secretId"`
	Key   string `json:"secretKey"`
	Token string `json:"token"`
}

// A Factory makes clients and keeps them, with one token bucket for each
// account.
type Factory struct {
	buckets   *cloud.Buckets
	clock     clock.Clock
	transport http.RoundTripper

	mu       sync.Mutex
	clients  map[string]*Client
	injected *injected
}

// NewFactory returns an empty Factory.
func NewFactory(c clock.Clock) *Factory {
	return &Factory{
		buckets: cloud.NewBuckets(c), clock: c, clients: make(map[string]*Client),
		transport: tracer{&http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   connectTimeout,
			ResponseHeaderTimeout: callTimeout,
			MaxIdleConnsPerHost:   8,
			IdleConnTimeout:       90 * time.Second,
			ForceAttemptHTTP2:     true,
		}},
	}
}

// Client for a region with the credentials of a ProviderConfig. Raw credentials
// are nil for an injected identity.
func (f *Factory) Client(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (*Client, error) {
	if spec.Type != v1alpha1.TypeTencentCloud {
		return nil, errors.Errorf("spec.providerConfigRef names a configuration of type %q: name one of type %q", spec.Type, v1alpha1.TypeTencentCloud)
	}
	qps, burst := float64(5), 10
	if rl := spec.RateLimit; rl != nil && rl.QPS > 0 {
		qps, burst = float64(rl.QPS), int(max(rl.Burst, 1))
	}
	p := profile.NewClientProfile()
	p.Language = "en-US"
	p.HttpProfile.ReqTimeout = int(callTimeout.Seconds())
	if err := endpoint(p.HttpProfile, spec.Endpoint); err != nil {
		return nil, err
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	account, cred, err := f.identity(raw)
	if err != nil {
		return nil, err
	}
	bucket := f.buckets.For(account+"@"+spec.Endpoint, qps, burst)
	sum := sha256.Sum256([]byte(strings.Join([]string{account, string(raw), spec.Endpoint, region}, "\x00")))
	key := hex.EncodeToString(sum[:])
	if c := f.clients[key]; c != nil {
		return c, nil
	}
	sdk := common.NewCommonClient(cred, region, p).WithHttpTransport(f.transport).WithRequestClient(userAgent)
	c := &Client{sdk: sdk, bucket: bucket, region: region, clock: f.clock}
	f.clients[key] = c
	return c, nil
}

// identity of raw credentials, and a name for the account. It is called with the
// lock held.
func (f *Factory) identity(raw []byte) (string, common.CredentialIface, error) {
	if raw != nil {
		return static(raw)
	}
	role := os.Getenv(envRole)
	if role == "" || os.Getenv(envProvider) == "" || os.Getenv(envToken) == "" || os.Getenv(envRegion) == "" {
		return "", nil, errors.Errorf("the source of the credentials is InjectedIdentity but %s, %s, %s or %s is not set: bind the provider's service account to a CAM role", envRole, envProvider, envToken, envRegion)
	}
	if f.injected == nil || f.injected.role != role {
		p, err := common.DefaultTkeOIDCRoleArnProvider()
		if err != nil {
			return "", nil, errors.New("cannot use the injected identity: the token of the pod cannot be read")
		}
		p.Endpoint = os.Getenv(envSTS)
		f.injected = &injected{role: role, provider: p, clock: f.clock}
	}
	return role, f.injected, nil
}

// static credentials.
func static(raw []byte) (string, common.CredentialIface, error) {
	k := secretKey{}
	// The parser's error would repeat a part of the credentials.
	if err := json.Unmarshal(raw, &k); err != nil {
		return "", nil, errors.New(`the credentials are no JSON: write {"secretId":"…","secretKey":"…"}`)
	}
	if k.ID == "" || k.Key == "" {
		return "", nil, errors.New("the credentials lack secretId or secretKey")
	}
	return k.ID, common.NewTokenCredential(k.ID, k.Key, k.Token), nil
}

// refreshEvery is how often the credentials of an injected identity are renewed.
// They are valid for two hours.
const refreshEvery = time.Hour

// injected credentials are those of the pod. The SDK's own are not safe for use
// by several goroutines, and print their errors.
type injected struct {
	role     string
	provider common.Provider
	clock    clock.PassiveClock

	mu    sync.Mutex
	got   time.Time
	asked time.Time
	cred  common.Credential
}

// GetCredential returns the id, the key and the token, renewed if need be. They
// are empty if there are none: the cloud refuses them, and says so.
func (i *injected) GetCredential() (string, string, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.clock.Now()
	// Failures are not repeated with each call.
	if (i.got.IsZero() || now.Sub(i.got) > refreshEvery) && (i.asked.IsZero() || now.Sub(i.asked) > 5*time.Second) {
		i.asked = now
		if c, err := i.provider.GetCredential(); err == nil {
			i.cred.SecretId, i.cred.SecretKey, i.cred.Token = c.GetCredential()
			i.got = now
		}
	}
	return i.cred.SecretId, i.cred.SecretKey, i.cred.Token
}

// GetSecretId returns the id.
func (i *injected) GetSecretId() string { //nolint:revive,stylecheck // The SDK's interface.
	id, _, _ := i.GetCredential()
	return id
}

// GetSecretKey returns the key.
func (i *injected) GetSecretKey() string {
	_, key, _ := i.GetCredential()
	return key
}

// GetToken returns the token.
func (i *injected) GetToken() string {
	_, _, token := i.GetCredential()
	return token
}

// endpoint is host:port or a URL. The SDK wants the protocol apart.
func endpoint(p *profile.HttpProfile, s string) error {
	if s == "" {
		return nil
	}
	if !strings.Contains(s, "://") {
		p.Endpoint = s
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return errors.Errorf("spec.endpoint of the ProviderConfig is %q: write host:port, or an http or https URL without a path", s)
	}
	p.Endpoint, p.Scheme = u.Host, strings.ToUpper(u.Scheme)
	return nil
}
