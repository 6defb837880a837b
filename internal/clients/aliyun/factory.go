package aliyun

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/slb"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
	alicredentials "github.com/aliyun/credentials-go/credentials"
	"k8s.io/utils/clock"

	"github.com/crossplane/upjet/v2/pkg/metrics"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/aliyun/account"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// Time-outs of one call, from the first byte sent to the last received.
const (
	connectTimeout = 5 * time.Second
	callTimeout    = 20 * time.Second
)

// A Factory makes clients and keeps them.
type Factory struct {
	buckets *cloud.Buckets
	clock   clock.Clock
	// transport is shared, and so are its connections.
	transport http.RoundTripper

	mu      sync.Mutex
	clients map[string]*client
}

// NewFactory returns a Factory whose clients share the buckets with those of
// ACK.
func NewFactory(c clock.Clock, b *cloud.Buckets) *Factory {
	return &Factory{
		buckets: b, clock: c, clients: make(map[string]*client),
		transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout: connectTimeout,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
		},
	}
}

// Client for a region with the credentials of a ProviderConfig. Raw credentials
// are nil for an injected identity.
func (f *Factory) Client(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (API, error) {
	a, err := account.New(spec, raw)
	if err != nil {
		return nil, err
	}
	bucket := a.Bucket(f.buckets, spec.RateLimit)

	sum := sha256.Sum256([]byte(a.Fingerprint() + "\x00" + region))
	key := hex.EncodeToString(sum[:])

	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[key]; c != nil {
		return c, nil
	}
	identity, err := identity(a)
	if err != nil {
		return nil, err
	}
	c := &client{identity: identity, endpoint: a.Endpoint, region: region, bucket: bucket, clock: f.clock, transport: f.transport}
	f.clients[key] = c
	return c, nil
}

func identity(a *account.Account) (credentials.CredentialsProvider, error) {
	if a.Key == nil {
		c, err := account.Injected()
		return &injected{Credential: c}, err
	}
	if a.Key.Token != "" {
		return credentials.NewStaticSTSCredentialsProvider(a.Key.ID, a.Key.Secret, a.Key.Token), nil
	}
	return credentials.NewStaticAKCredentialsProvider(a.Key.ID, a.Key.Secret), nil
}

// injected gives this SDK the identity of the other one: it has no provider of
// its own that refreshes an OIDC token without a profile file.
type injected struct{ alicredentials.Credential }

// GetCredentials of the role, all of one session.
func (i *injected) GetCredentials() (*credentials.Credentials, error) {
	c, err := i.GetCredential()
	if err != nil {
		return nil, err
	}
	return &credentials.Credentials{
		AccessKeyId: tea.StringValue(c.AccessKeyId), AccessKeySecret: tea.StringValue(c.AccessKeySecret),
		SecurityToken: tea.StringValue(c.SecurityToken), ProviderName: i.GetProviderName(),
	}, nil
}

// GetProviderName for the SDK's user agent.
func (i *injected) GetProviderName() string { return "oidc_role_arn" }

// client is an API on the vendor's SDK.
type client struct {
	identity  credentials.CredentialsProvider
	endpoint  account.Endpoint
	region    string
	bucket    *cloud.Bucket
	clock     clock.Clock
	transport http.RoundTripper
}

var _ API = &client{}

// endpoints of the products by region, where they are not <product>.<region>.
var endpoints = sync.OnceValue(func() map[string]map[string]string {
	return map[string]map[string]string{"Ecs": ecs.GetEndpointMap(), "Vpc": vpc.GetEndpointMap(), "Slb": slb.GetEndpointMap()}
})

// hosts of the products.
var hosts = map[string]string{"Ecs": "ecs", "Vpc": "vpc", "Slb": "slb", "Eci": "eci"}

func (c *client) host(product string) string {
	if h := endpoints()[product][c.region]; h != "" {
		return h
	}
	return hosts[product] + "." + c.region + ".aliyuncs.com"
}

// call makes a request. The SDK's own client sets its time-outs anew for every
// call, without a lock, and knows no contexts: so each call gets a client of its
// own, which costs nothing, on a shared transport that knows the context.
func (c *client) call(ctx context.Context, req rpc, out responses.AcsResponse) error {
	operation := req.GetActionName()
	if err := c.bucket.Wait(ctx, operation); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()

	cfg := sdk.NewConfig().WithUserAgent(account.UserAgent).WithScheme("https").WithTimeout(callTimeout)
	cfg.Transport = &bound{ctx: ctx, next: c.transport}
	cl, err := sdk.NewClientWithOptions(c.region, cfg, c.identity)
	if err != nil {
		return &cloud.Error{Class: cloud.Invalid, Operation: operation, Field: "region", Message: "this is no name of a region"}
	}
	req.SetDomain(c.host(req.GetProduct()))
	if c.endpoint.Host != "" {
		// The port travels apart: in the domain the SDK would add a second one.
		req.SetDomain(c.endpoint.Name())
		req.setPort(c.endpoint.Port())
		if c.endpoint.Scheme != "" {
			req.SetScheme(c.endpoint.Scheme)
		}
	}

	start := c.clock.Now()
	err = cl.DoAction(req.AcsRequest, out)
	if err != nil && ctx.Err() != nil {
		err = &cloud.Error{Class: cloud.Unknown, Operation: operation, Message: "the answer did not come in time"}
	}
	err = classify(operation, err)
	metrics.ExternalAPICalls.WithLabelValues("aliyun", operation).Inc()
	metrics.ExternalAPITime.WithLabelValues(operation).Observe(c.clock.Since(start).Seconds())
	c.bucket.Observe(err)
	return err
}

// rpc is a request together with what its interface does not reach.
type rpc struct {
	requests.AcsRequest
	base *requests.RpcRequest
}

func (r rpc) setPort(p string) { r.base.Port = p }

// bound requests end with a context.
type bound struct {
	ctx  context.Context // http.RoundTripper has no other way to get one; it lives for one call.
	next http.RoundTripper
}

// RoundTrip a request. The context is done when the call is over, so nothing
// stays behind.
func (b *bound) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	context.AfterFunc(b.ctx, cancel)
	return b.next.RoundTrip(req.WithContext(ctx))
}

// incomplete answers are as good as none.
func incomplete(operation string) error {
	return &cloud.Error{Class: cloud.Unknown, Operation: operation, Status: http.StatusOK, Message: "the answer is incomplete"}
}
