package ack

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/tea/tea"
	"k8s.io/utils/clock"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/aliyun/account"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// Time-outs of one call. The SDK's default is none.
const (
	connectTimeout = 5 * time.Second
	readTimeout    = 20 * time.Second
)

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

// Buckets of the accounts, for clients of other products that share them.
func (f *Factory) Buckets() *cloud.Buckets { return f.buckets }

// Client for a region with the credentials of a ProviderConfig. Raw credentials
// are nil for an injected identity.
func (f *Factory) Client(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (API, error) {
	c, err := f.client(spec, raw, region)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (f *Factory) client(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (*client, error) {
	a, err := account.New(spec, raw)
	if err != nil {
		return nil, err
	}
	cfg := &openapi.Config{
		RegionId:       tea.String(region),
		ConnectTimeout: tea.Int(int(connectTimeout.Milliseconds())),
		ReadTimeout:    tea.Int(int(readTimeout.Milliseconds())),
		UserAgent:      tea.String(account.UserAgent),
	}
	// The SDK wants the protocol apart.
	if e := a.Endpoint; e.Host != "" {
		cfg.Endpoint = tea.String(e.Host)
		if e.Scheme != "" {
			cfg.Protocol = tea.String(e.Scheme)
		}
	}
	if k := a.Key; k != nil {
		cfg.AccessKeyId, cfg.AccessKeySecret = tea.String(k.ID), tea.String(k.Secret)
		if k.Token != "" {
			cfg.SecurityToken = tea.String(k.Token)
		}
	}
	bucket := a.Bucket(f.buckets, spec.RateLimit)

	sum := sha256.Sum256([]byte(a.Fingerprint() + "\x00" + region))
	key := hex.EncodeToString(sum[:])

	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[key]; c != nil {
		return c, nil
	}

	if a.Key == nil {
		if cfg.Credential, err = account.Injected(); err != nil {
			return nil, err
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
