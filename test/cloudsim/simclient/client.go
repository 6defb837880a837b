// Package simclient is a client of the simulator's control panel, for tests,
// benchmarks and the demo.
package simclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/admin"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/state"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// A Client of the control panel.
type Client struct {
	base string
	http *http.Client
}

// New returns a client of the admin listener at an address such as
// "127.0.0.1:8080", or at its URL.
func New(address string) *Client {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	return &Client{base: strings.TrimRight(address, "/"), http: &http.Client{Timeout: 30 * time.Second}}
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, into any) error {
	u := c.base + "/_sim/" + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("cannot encode request: %w", err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u, r)
	if err != nil {
		return fmt.Errorf("cannot build request: %w", err)
	}
	rsp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach simulator: %w", err)
	}
	defer rsp.Body.Close()
	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		return fmt.Errorf("cannot read answer: %w", err)
	}
	if rsp.StatusCode != http.StatusOK {
		return fmt.Errorf("simulator refused %s %s: %s: %s", method, path, rsp.Status, strings.TrimSpace(string(b)))
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = b
		return nil
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("cannot decode answer of %s %s: %w", method, path, err)
	}
	return nil
}

// Ledger returns the books at this moment.
func (c *Client) Ledger(ctx context.Context) (ledger.Report, error) {
	var out ledger.Report
	return out, c.do(ctx, http.MethodGet, "ledger", nil, nil, &out)
}

// State returns what exists, without the lag of the APIs.
func (c *Client) State(ctx context.Context) (state.Snapshot, error) {
	var out state.Snapshot
	return out, c.do(ctx, http.MethodGet, "state", nil, nil, &out)
}

// Requests returns the logged requests that match, oldest first.
func (c *Client) Requests(ctx context.Context, f requestlog.Filter) ([]requestlog.Entry, error) {
	q := url.Values{}
	for k, v := range map[string]string{"service": f.Service, "action": f.Action, "cluster": f.Cluster} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	if f.Mutating {
		q.Set("mutating", strconv.FormatBool(true))
	}
	var out []requestlog.Entry
	return out, c.do(ctx, http.MethodGet, "requests", q, nil, &out)
}

// ClearRequests empties the request log.
func (c *Client) ClearRequests(ctx context.Context) error {
	return c.do(ctx, http.MethodDelete, "requests", nil, nil, nil)
}

// SetFault adds a rule, or replaces the one of the same id. It returns the id.
func (c *Client) SetFault(ctx context.Context, r faults.Rule) (string, error) {
	var out admin.RuleAdded
	err := c.do(ctx, http.MethodPost, "faults", nil, r, &out)
	return out.ID, err
}

// Faults returns the rules with their counts.
func (c *Client) Faults(ctx context.Context) ([]faults.Rule, error) {
	var out []faults.Rule
	return out, c.do(ctx, http.MethodGet, "faults", nil, nil, &out)
}

// ClearFault removes a rule by id; an empty id removes all.
func (c *Client) ClearFault(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "faults", url.Values{"id": {id}}, nil, nil)
}

// Stock returns what is left to sell.
func (c *Client) Stock(ctx context.Context) ([]stock.Item, error) {
	var out []stock.Item
	return out, c.do(ctx, http.MethodGet, "stock", nil, nil, &out)
}

// SetStock sets the count of all shelves that match; empty fields match all, the
// capacity of virtual nodes (type eci, in vCPU) included. A count below 0 takes
// the type off sale.
func (c *Client) SetStock(ctx context.Context, it stock.Item) error {
	return c.do(ctx, http.MethodPost, "stock", nil, it, nil)
}

// SetPrice moves the prices of all that matches to a factor of the configured
// price; empty fields match all. It concerns what is bought from now on, and what
// the price APIs say.
func (c *Client) SetPrice(ctx context.Context, m stock.Price) error {
	return c.do(ctx, http.MethodPost, "prices", nil, m, nil)
}

// Pods returns the pods on virtual nodes.
func (c *Client) Pods(ctx context.Context) ([]state.Pod, error) {
	var out []state.Pod
	return out, c.do(ctx, http.MethodGet, "pods", nil, nil, &out)
}

// NodeEvent makes something happen to a node, named by instance id or node name:
// offline or online at once, or reclaim, which takes the machine away after the
// notice of a spot instance.
func (c *Client) NodeEvent(ctx context.Context, node, event string) error {
	return c.do(ctx, http.MethodPost, "nodes", nil, admin.NodeEvent{Node: node, Event: event}, nil)
}

// Clock returns virtual and real time.
func (c *Client) Clock(ctx context.Context) (admin.Clock, error) {
	var out admin.Clock
	return out, c.do(ctx, http.MethodGet, "clock", nil, nil, &out)
}

// SetClockFactor changes the pace; 0 stops the clock for stepping.
func (c *Client) SetClockFactor(ctx context.Context, f float64) error {
	return c.do(ctx, http.MethodPost, "clock", nil, admin.ClockChange{Factor: &f}, nil)
}

// Step jumps ahead in virtual time.
func (c *Client) Step(ctx context.Context, d time.Duration) error {
	return c.do(ctx, http.MethodPost, "clock", nil, admin.ClockChange{StepSeconds: d.Seconds()}, nil)
}

// Kubeconfig of a cluster's administrator, whatever state the cluster is in.
func (c *Client) Kubeconfig(ctx context.Context, cluster string) ([]byte, error) {
	var out []byte
	return out, c.do(ctx, http.MethodGet, "kubeconfig", url.Values{"cluster": {cluster}}, nil, &out)
}

// Reset deletes all clusters and forgets everything except the accounts.
func (c *Client) Reset(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "reset", nil, nil, nil)
}
