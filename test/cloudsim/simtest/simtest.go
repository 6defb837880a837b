// Package simtest runs the simulator inside a test, with both of its listeners
// and a client of the vendor's SDK.
package simtest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"regionpool.io/provider-regionpool/test/cloudsim/ack"
	"regionpool.io/provider-regionpool/test/cloudsim/admin"
	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/clock"
	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/simclient"
)

// Account of the simulated cloud.
const (
	AccessKeyID     = "LTAIsimtest"
	AccessKeySecret = "simtest-secret"
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
	Memory *backend.Memory // nil if another backend was given
	// Admin is a client of the control panel.
	Admin *simclient.Client
	// URL of the ACK API, and of the control panel.
	URL, AdminURL string
}

// Start a simulator that ends with the test.
func Start(t testing.TB, o Options) *Sim {
	t.Helper()
	cfg := config.Default()
	cfg.Accounts = []config.Account{{AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret}}
	cfg.Throttle.QPS = 0
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
	panel := httptest.NewServer(admin.NewHandler(s.Cloud, s.ACK))
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

// Step the clock. Answers of list calls are up to date after ten more seconds.
func (s *Sim) Step(d time.Duration) { s.Cloud.Clock.Step(d) }
