// Package simtest runs the simulator inside a test, with both of its listeners
// and a client of the vendor's SDK.
package simtest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	tkesdk "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/test/cloudsim/ack"
	"regionpool.io/provider-regionpool/test/cloudsim/admin"
	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/clock"
	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/simclient"
	"regionpool.io/provider-regionpool/test/cloudsim/tke"
)

// Accounts of the simulated clouds.
const (
	AccessKeyID     = "LTAIsimtest"
	AccessKeySecret = "simtest-secret"

	// SecretID and SecretKey are those of the Tencent account.
	SecretID  = "AKIDsimtest"
	SecretKey = "simtest-secret-key"
)

// Options of a simulator. Zero values give the default configuration, clusters
// in memory, and a clock that is stepped by hand.
type Options struct {
	// Configure changes the default configuration.
	Configure func(*config.Config)
	Backend   backend.Backend
	// Factor of the clock; 0 to step by hand.
	Factor float64
	Seed   int64
}

// A Sim is a running simulator.
type Sim struct {
	Cloud  *cloud.Cloud
	ACK    *ack.Server
	TKE    *tke.Server
	Memory *backend.Memory // nil if another backend was given
	// Admin is a client of the control panel.
	Admin *simclient.Client
	// URL of the ACK API, and of the control panel.
	URL, AdminURL string
	// TencentURL is that of the Tencent API, for all its products.
	TencentURL string
}

// Start a simulator that ends with the test.
func Start(t testing.TB, o Options) *Sim {
	t.Helper()
	cfg := config.Default()
	cfg.Accounts = []config.Account{{AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret}}
	cfg.Throttle.QPS = 0
	cfg.Tencent.Accounts = []config.Account{{AccessKeyID: SecretID, AccessKeySecret: SecretKey}}
	cfg.Tencent.Throttle.QPS = 0
	if o.Configure != nil {
		o.Configure(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatalf("The configuration is not valid: %v", err)
	}
	s := &Sim{}
	if o.Backend == nil {
		s.Memory = backend.NewMemory()
		o.Backend = s.Memory
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	v := clock.NewManual(time.Now().Truncate(time.Second))
	if o.Factor > 0 {
		v = clock.New(o.Factor)
		go v.Run(ctx)
	}
	s.Cloud = cloud.New(cfg, v, o.Seed, o.Backend)
	s.ACK = ack.New(ctx, s.Cloud, slog.New(slog.DiscardHandler))
	api := httptest.NewServer(s.ACK)
	t.Cleanup(api.Close)
	s.TKE = tke.New(ctx, s.Cloud, slog.New(slog.DiscardHandler))
	tencent := httptest.NewServer(s.TKE)
	t.Cleanup(tencent.Close)
	s.TencentURL = tencent.URL
	panel := httptest.NewServer(admin.NewHandler(s.Cloud, s.ACK, s.TKE))
	t.Cleanup(panel.Close)
	s.URL, s.AdminURL = api.URL, panel.URL
	s.Admin = simclient.New(panel.URL)
	return s
}

// Client of the vendor's SDK for the simulator's account.
func (s *Sim) Client(t testing.TB) *cs.Client { return s.ClientFor(t, AccessKeyID, AccessKeySecret) }

// ClientFor an account.
func (s *Sim) ClientFor(t testing.TB, id, secret string) *cs.Client {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatalf("url.Parse(...): %v", err)
	}
	c, err := cs.NewClient(&openapi.Config{
		AccessKeyId: &id, AccessKeySecret: &secret, Endpoint: &u.Host, Protocol: tea.String("http"),
		ConnectTimeout: tea.Int(2000), ReadTimeout: tea.Int(10000),
	})
	if err != nil {
		t.Fatalf("cs.NewClient(...): %v", err)
	}
	return c
}

// TencentEndpoint returns host and port of the Tencent API.
func (s *Sim) TencentEndpoint() string { return strings.TrimPrefix(s.TencentURL, "http://") }

// TencentProfile of the vendor's SDK that leads to the simulator.
func (s *Sim) TencentProfile() *profile.ClientProfile {
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint, p.HttpProfile.Scheme, p.HttpProfile.ReqTimeout = s.TencentEndpoint(), "HTTP", 10
	return p
}

// TencentCredential of the simulator's account.
func (s *Sim) TencentCredential() *common.Credential {
	return common.NewCredential(SecretID, SecretKey)
}

// TKEClient of the vendor's SDK for the simulator's account.
func (s *Sim) TKEClient(t testing.TB, region string) *tkesdk.Client {
	t.Helper()
	c, err := tkesdk.NewClient(s.TencentCredential(), region, s.TencentProfile())
	if err != nil {
		t.Fatalf("tke.NewClient(...): %v", err)
	}
	return c
}

// TencentClient of the vendor's SDK for the products it has no types of.
func (s *Sim) TencentClient(region string) *common.Client {
	return common.NewCommonClient(s.TencentCredential(), region, s.TencentProfile())
}

// Credential of the simulator's account, for clients of the vendor's older SDK.
func (s *Sim) Credential() *credentials.AccessKeyCredential {
	return credentials.NewAccessKeyCredential(AccessKeyID, AccessKeySecret)
}

// Direct a request of the vendor's older SDK to the simulator. The port must not
// be part of the domain.
func (s *Sim) Direct(r *requests.RpcRequest) {
	u, err := url.Parse(s.URL)
	if err != nil {
		panic(err)
	}
	r.Scheme, r.Domain, r.Port = u.Scheme, u.Hostname(), u.Port()
}

// Step the clock. Answers of list calls are up to date after ten more seconds.
func (s *Sim) Step(d time.Duration) { s.Cloud.Clock.Step(d) }
