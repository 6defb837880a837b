package ack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/tea/tea"
	alicredentials "github.com/aliyun/credentials-go/credentials"
	"k8s.io/utils/clock"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// Time-outs of one call. The SDK's default is none.
const (
	connectTimeout = 5 * time.Second
	readTimeout    = 20 * time.Second
)

const userAgent = "provider-regionpool"

// Environment that RAM Roles for Service Accounts injects into a pod.
const (
	envRoleARN      = "ALIBABA_CLOUD_ROLE_ARN"
	envOIDCProvider = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN"
	envOIDCToken    = "ALIBABA_CLOUD_OIDC_TOKEN_FILE"
)

// accessKey is what the credentials of a ProviderConfig hold.
type accessKey struct {
	ID     string `json:"accessKeyId"`
	Secret string `json:"accessKeySecret"`
	Token  string `json:"securityToken"`
}

// A Factory makes clients and keeps them, with one token bucket for each
// account.
type Factory struct {
	buckets *cloud.Buckets
	clock   clock.Clock

	mu      sync.Mutex
	clients map[string]*client
}

// NewFactory returns an empty Factory.
func NewFactory(c clock.Clock) *Factory {
	return &Factory{buckets: cloud.NewBuckets(c), clock: c, clients: make(map[string]*client)}
}

// Client for a region with the credentials of a ProviderConfig. Raw credentials
// are nil for an injected identity.
func (f *Factory) Client(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (API, error) {
	if spec.Type != v1alpha1.TypeAlibabaCloud {
		return nil, errors.Errorf("spec.providerConfigRef names a configuration of type %q: name one of type %q", spec.Type, v1alpha1.TypeAlibabaCloud)
	}

	qps, burst := float64(5), 10
	if rl := spec.RateLimit; rl != nil && rl.QPS > 0 {
		qps, burst = float64(rl.QPS), int(max(rl.Burst, 1))
	}

	cfg := &openapi.Config{
		RegionId:       tea.String(region),
		ConnectTimeout: tea.Int(int(connectTimeout.Milliseconds())),
		ReadTimeout:    tea.Int(int(readTimeout.Milliseconds())),
		UserAgent:      tea.String(userAgent),
	}
	if err := endpoint(cfg, spec.Endpoint); err != nil {
		return nil, err
	}

	account, err := identity(cfg, raw)
	if err != nil {
		return nil, err
	}
	bucket := f.buckets.For(account+"@"+spec.Endpoint, qps, burst)

	sum := sha256.Sum256([]byte(strings.Join([]string{account, string(raw), spec.Endpoint, region}, "\x00")))
	key := hex.EncodeToString(sum[:])

	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[key]; c != nil {
		return c, nil
	}

	if raw == nil {
		// Made only once: it refreshes its token in the background.
		cfg.Credential, err = alicredentials.NewCredential(&alicredentials.Config{
			Type:              tea.String("oidc_role_arn"),
			RoleArn:           tea.String(os.Getenv(envRoleARN)),
			OIDCProviderArn:   tea.String(os.Getenv(envOIDCProvider)),
			OIDCTokenFilePath: tea.String(os.Getenv(envOIDCToken)),
			RoleSessionName:   tea.String(userAgent),
		})
		if err != nil {
			return nil, errors.New("cannot use the injected identity: the pod has no RRSA token")
		}
	}

	sdk, err := cs.NewClient(cfg)
	if err != nil {
		return nil, errors.New("cannot make a client of ACK: check the ProviderConfig")
	}
	// The generated client chooses HMAC-SHA1.
	sdk.SignatureAlgorithm = tea.String("ACS3-HMAC-SHA256")

	c := &client{sdk: sdk, bucket: bucket, region: region, clock: f.clock}
	f.clients[key] = c
	return c, nil
}

// identity puts credentials into a configuration and returns a name for the
// account.
func identity(cfg *openapi.Config, raw []byte) (string, error) {
	if raw == nil {
		role := os.Getenv(envRoleARN)
		if role == "" || os.Getenv(envOIDCProvider) == "" || os.Getenv(envOIDCToken) == "" {
			return "", errors.Errorf("the source of the credentials is InjectedIdentity but %s, %s or %s is not set: bind the provider's service account to a RAM role", envRoleARN, envOIDCProvider, envOIDCToken)
		}
		return role, nil
	}

	k := accessKey{}
	// The parser's error would repeat a part of the credentials.
	if err := json.Unmarshal(raw, &k); err != nil {
		return "", errors.New(`the credentials are no JSON: write {"accessKeyId":"…","accessKeySecret":"…"}`)
	}
	if k.ID == "" || k.Secret == "" {
		return "", errors.New("the credentials lack accessKeyId or accessKeySecret")
	}
	cfg.AccessKeyId, cfg.AccessKeySecret = tea.String(k.ID), tea.String(k.Secret)
	if k.Token != "" {
		cfg.SecurityToken = tea.String(k.Token)
	}
	return k.ID, nil
}

// endpoint is host:port or a URL. The SDK wants the protocol apart.
func endpoint(cfg *openapi.Config, s string) error {
	if s == "" {
		return nil
	}
	if !strings.Contains(s, "://") {
		cfg.Endpoint = tea.String(s)
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return errors.Errorf("spec.endpoint of the ProviderConfig is %q: write host:port, or an http or https URL without a path", s)
	}
	cfg.Endpoint, cfg.Protocol = tea.String(u.Host), tea.String(u.Scheme)
	return nil
}
