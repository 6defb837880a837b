// Package account reads the credentials and the endpoint of an Alibaba Cloud
// account, once for all SDKs that use them.
package account

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/alibabacloud-go/tea/tea"
	alicredentials "github.com/aliyun/credentials-go/credentials"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// UserAgent of all calls.
const UserAgent = "provider-regionpool"

// Environment that RAM Roles for Service Accounts injects into a pod.
const (
	envRoleARN      = "ALIBABA_CLOUD_ROLE_ARN"
	envOIDCProvider = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN"
	envOIDCToken    = "ALIBABA_CLOUD_OIDC_TOKEN_FILE"
	// envSTS is the host of the token service, where that of the internet cannot be
	// reached.
	envSTS = "ALIBABA_CLOUD_STS_ENDPOINT"
)

// Limits of an account whose ProviderConfig sets none.
const (
	defaultQPS   = 5
	defaultBurst = 10
)

// A Key is what the credentials of a ProviderConfig hold.
type Key struct {
	ID     string `json:"accessKeyId"`
	Secret string `json:"accessKeySecret"`
	Token  string `json:"securityToken"`
}

// An Account as a ProviderConfig describes it.
type Account struct {
	// Name of the account: the id of its key, or the role.
	Name string
	// Key of the account, or nil for an injected identity.
	Key *Key
	// Endpoint that replaces those of all products, or empty.
	Endpoint Endpoint

	raw string
}

// An Endpoint of the API. The empty one stands for the vendor's own.
type Endpoint struct {
	// Scheme is http or https, or empty if the configuration does not say.
	Scheme string
	// Host, with the port if there is one.
	Host string

	raw string
}

// Name is the host without the port, and Port the port or empty. The SDK of the
// RPC products wants them apart: it refuses a port in the host.
func (e Endpoint) Name() string {
	if h, _, err := net.SplitHostPort(e.Host); err == nil {
		return h
	}
	return e.Host
}

// Port of the endpoint, or empty.
func (e Endpoint) Port() string {
	_, p, err := net.SplitHostPort(e.Host)
	if err != nil {
		return ""
	}
	return p
}

// New reads a ProviderConfig. Raw credentials are nil for an injected identity.
// Errors name the field to mend and never contain credentials.
func New(spec *v1alpha1.ProviderConfigSpec, raw []byte) (*Account, error) {
	if spec.Type != v1alpha1.TypeAlibabaCloud {
		return nil, errors.Errorf("spec.providerConfigRef names a configuration of type %q: name one of type %q", spec.Type, v1alpha1.TypeAlibabaCloud)
	}
	e, err := endpoint(spec.Endpoint)
	if err != nil {
		return nil, err
	}
	a := &Account{Endpoint: e, raw: string(raw)}
	if raw == nil {
		role := os.Getenv(envRoleARN)
		if role == "" || os.Getenv(envOIDCProvider) == "" || os.Getenv(envOIDCToken) == "" {
			return nil, errors.Errorf("the source of the credentials is InjectedIdentity but %s, %s or %s is not set: bind the provider's service account to a RAM role", envRoleARN, envOIDCProvider, envOIDCToken)
		}
		a.Name = role
		return a, nil
	}

	k := &Key{}
	// The parser's error would repeat a part of the credentials.
	if err := json.Unmarshal(raw, k); err != nil {
		return nil, errors.New(`the credentials are no JSON: write {"accessKeyId":"…","accessKeySecret":"…"}`)
	}
	if k.ID == "" || k.Secret == "" {
		return nil, errors.New("the credentials lack accessKeyId or accessKeySecret")
	}
	a.Name, a.Key = k.ID, k
	return a, nil
}

// Fingerprint changes whenever a client made of the account would no longer be
// the right one. It holds credentials: hash it.
func (a *Account) Fingerprint() string {
	return strings.Join([]string{a.Name, a.raw, a.Endpoint.raw}, "\x00")
}

// Bucket of the account: all its clients share one, whatever their SDK.
func (a *Account) Bucket(b *cloud.Buckets, limit *v1alpha1.RateLimit) *cloud.Bucket {
	qps, burst := float64(defaultQPS), defaultBurst
	if limit != nil && limit.QPS > 0 {
		qps, burst = float64(limit.QPS), int(max(limit.Burst, 1))
	}
	return b.For(a.Name+"@"+a.Endpoint.raw, qps, burst)
}

// Injected is the identity that the pod got. It refreshes its token in the
// background: make it once.
func Injected() (alicredentials.Credential, error) {
	c, err := alicredentials.NewCredential(&alicredentials.Config{
		Type:              tea.String("oidc_role_arn"),
		RoleArn:           tea.String(os.Getenv(envRoleARN)),
		OIDCProviderArn:   tea.String(os.Getenv(envOIDCProvider)),
		OIDCTokenFilePath: tea.String(os.Getenv(envOIDCToken)),
		RoleSessionName:   tea.String(UserAgent),
		STSEndpoint:       tea.String(os.Getenv(envSTS)),
	})
	if err != nil {
		return nil, errors.New("cannot use the injected identity: the pod has no RRSA token")
	}
	return &injected{c}, nil
}

// injected credentials have errors that a client can tell from a lost answer: as
// long as there are none, no call was made. The vendor's name the token.
type injected struct{ alicredentials.Credential }

// GetCredential of the role.
func (i *injected) GetCredential() (*alicredentials.CredentialModel, error) {
	c, err := i.Credential.GetCredential()
	if err != nil {
		return nil, &cloud.Error{Class: cloud.Unauthorised, Operation: "AssumeRoleWithOIDC", Message: "the token of the pod was not accepted"}
	}
	return c, nil
}

// endpoint is host:port or a URL.
func endpoint(s string) (Endpoint, error) {
	if s == "" || !strings.Contains(s, "://") {
		return Endpoint{Host: s, raw: s}, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return Endpoint{}, errors.Errorf("spec.endpoint of the ProviderConfig is %q: write host:port, or an http or https URL without a path", s)
	}
	return Endpoint{Scheme: u.Scheme, Host: u.Host, raw: s}, nil
}
