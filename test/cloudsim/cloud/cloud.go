// Package cloud bundles what every simulated API shares: time, chance, the
// books, faults, limits, stock and the request log. Whatever knows a vendor's
// wire format lives elsewhere.
package cloud

import (
	"fmt"
	"sync"
	"time"

	kclock "k8s.io/utils/clock"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/clock"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/random"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
	"regionpool.io/provider-regionpool/test/cloudsim/throttle"
)

// A Cloud is the common part of a simulated cloud.
type Cloud struct {
	Config   config.Config
	Clock    *clock.Virtual
	Random   *random.Source
	Ledger   *ledger.Ledger
	Faults   *faults.Set
	Throttle *throttle.Limiter
	Requests *requestlog.Log
	Stock    *stock.Stock
	Prices   *stock.Prices
	Backend  backend.Backend

	mu sync.Mutex
	// admitted are accounts of roles that somebody has assumed, by access key id.
	admitted map[string]config.Account
}

// New returns a Cloud as configured. Throttling buckets run on the real clock.
func New(c config.Config, v *clock.Virtual, seed int64, b backend.Backend) *Cloud {
	r := random.New(seed)
	return &Cloud{
		Config:   c,
		Clock:    v,
		Random:   r,
		Ledger:   ledger.New(v),
		Faults:   faults.New(r),
		Throttle: throttle.New(kclock.RealClock{}, c.Throttle.QPS, c.Throttle.Burst),
		Requests: requestlog.New(100_000),
		Stock:    stock.New(c.Shelves()),
		Prices:   stock.NewPrices(),
		Backend:  b,
	}
}

// Latency draws a virtual duration from a range. The key names the sequence.
func (c *Cloud) Latency(key string, r config.Range) time.Duration {
	lo, hi := r.Bounds()
	return c.Random.Between(key, lo, hi)
}

// Account returns the configured account with the access key id, or the one that
// was admitted.
func (c *Cloud) Account(akid string) (config.Account, bool) {
	for _, a := range c.Config.Accounts {
		if a.AccessKeyID == akid {
			return a, true
		}
	}
	return c.Admitted(akid)
}

// Admit temporary credentials.
func (c *Cloud) Admit(a config.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.admitted == nil {
		c.admitted = map[string]config.Account{}
	}
	c.admitted[a.AccessKeyID] = a
}

// Admitted returns temporary credentials.
func (c *Cloud) Admitted(akid string) (config.Account, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.admitted[akid]
	return a, ok
}

// VSwitch finds a vSwitch of a region, with the VPC it is in.
func (c *Cloud) VSwitch(region, id string) (vpc string, v config.VSwitch, err error) {
	for vn, p := range c.Config.Regions[region].VPCs {
		if s, ok := p.VSwitches[id]; ok {
			return vn, s, nil
		}
	}
	return "", config.VSwitch{}, fmt.Errorf("vSwitch %s does not exist in region %s", id, region)
}
