// Package admin serves the simulator's control panel: time, faults, stock, prices, the
// books, the request log. It is unsigned and meant for the loopback interface.
package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/state"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// A Service is a simulated API.
type Service interface {
	// Snapshot of what exists, without lag.
	Snapshot() state.Snapshot
	// NodeEvent makes something happen to a node: offline or online at once,
	// reclaim after the notice of a spot instance.
	NodeEvent(node, event string) error
	// AdminKubeconfig of a cluster, whatever state it is in.
	AdminKubeconfig(cluster string) ([]byte, error)
	// Reset deletes everything.
	Reset()
}

// Clock is the answer of /_sim/clock.
type Clock struct {
	// Now is the virtual time, Wall the real one.
	Now  time.Time `json:"now"`
	Wall time.Time `json:"wall"`
	// Factor is virtual seconds in a real second, 0 if stepped by hand.
	Factor float64 `json:"factor"`
}

// ClockChange is the request of /_sim/clock.
type ClockChange struct {
	// Factor to run with from now on; 0 stops the clock for stepping.
	Factor *float64 `json:"factor,omitempty"`
	// StepSeconds of virtual time to jump ahead.
	StepSeconds float64 `json:"stepSeconds,omitempty"`
}

// NodeEvent is the request of /_sim/nodes.
type NodeEvent struct {
	// Node by instance id or by name.
	Node string `json:"node"`
	// Event is offline, online or reclaim.
	Event string `json:"event"`
}

// RuleAdded is the answer of a POST to /_sim/faults.
type RuleAdded struct {
	ID string `json:"id"`
}

type panel struct {
	cloud    *cloud.Cloud
	services []Service
}

// NewHandler returns the control panel of a cloud and its services.
func NewHandler(c *cloud.Cloud, services ...Service) http.Handler {
	p := &panel{cloud: c, services: services}
	m := http.NewServeMux()
	m.HandleFunc("GET /_sim/clock", p.getClock)
	m.HandleFunc("POST /_sim/clock", p.setClock)
	m.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Faults.List()) })
	m.HandleFunc("POST /_sim/faults", p.addFault)
	m.HandleFunc("DELETE /_sim/faults", p.removeFaults)
	m.HandleFunc("GET /_sim/ledger", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Ledger.Report()) })
	m.HandleFunc("GET /_sim/state", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.snapshot()) })
	m.HandleFunc("GET /_sim/requests", p.requests)
	m.HandleFunc("DELETE /_sim/requests", p.clearRequests)
	m.HandleFunc("GET /_sim/stock", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Stock.List()) })
	m.HandleFunc("POST /_sim/stock", p.setStock)
	m.HandleFunc("GET /_sim/nodes", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.snapshot().Nodes) })
	m.HandleFunc("POST /_sim/nodes", p.nodeEvent)
	m.HandleFunc("GET /_sim/pods", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.snapshot().Pods) })
	m.HandleFunc("GET /_sim/prices", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Prices.List()) })
	m.HandleFunc("POST /_sim/prices", p.setPrice)
	m.HandleFunc("GET /_sim/kubeconfig", p.kubeconfig)
	m.HandleFunc("POST /_sim/reset", p.reset)
	return m
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func bad(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusBadRequest) }

func read[T any](w http.ResponseWriter, r *http.Request, into *T) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		bad(w, err)
		return false
	}
	return true
}

func (p *panel) snapshot() state.Snapshot {
	out := state.Snapshot{Clusters: []state.Cluster{}, Nodes: []state.Node{}, Pods: []state.Pod{}}
	for _, s := range p.services {
		one := s.Snapshot()
		out.Clusters = append(out.Clusters, one.Clusters...)
		out.Nodes = append(out.Nodes, one.Nodes...)
		out.Pods = append(out.Pods, one.Pods...)
	}
	return out
}

func (p *panel) getClock(w http.ResponseWriter, _ *http.Request) {
	reply(w, Clock{Now: p.cloud.Clock.Now(), Wall: time.Now(), Factor: p.cloud.Clock.Factor()})
}

func (p *panel) setClock(w http.ResponseWriter, r *http.Request) {
	var c ClockChange
	if !read(w, r, &c) {
		return
	}
	if c.Factor != nil {
		if *c.Factor < 0 {
			bad(w, errors.New("factor must not be negative"))
			return
		}
		p.cloud.Clock.SetFactor(*c.Factor)
	}
	if c.StepSeconds > 0 {
		p.cloud.Clock.Step(time.Duration(c.StepSeconds * float64(time.Second)))
	}
	p.getClock(w, r)
}

func (p *panel) addFault(w http.ResponseWriter, r *http.Request) {
	var rule faults.Rule
	if !read(w, r, &rule) {
		return
	}
	id, err := p.cloud.Faults.Add(rule)
	if err != nil {
		bad(w, err)
		return
	}
	reply(w, RuleAdded{ID: id})
}

// removeFaults removes the rule ?id=, or all.
func (p *panel) removeFaults(w http.ResponseWriter, r *http.Request) {
	p.cloud.Faults.Remove(r.URL.Query().Get("id"))
	reply(w, p.cloud.Faults.List())
}

func (p *panel) requests(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := requestlog.Filter{Service: q.Get("service"), Action: q.Get("action"), Cluster: q.Get("cluster")}
	if v := q.Get("since"); v != "" {
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			bad(w, err)
			return
		}
		f.Since = t
	}
	if v := q.Get("mutating"); v != "" {
		b, err := strconv.ParseBool(v)
		if err != nil {
			bad(w, err)
			return
		}
		f.Mutating = b
	}
	reply(w, p.cloud.Requests.List(f))
}

func (p *panel) clearRequests(w http.ResponseWriter, _ *http.Request) {
	p.cloud.Requests.Reset()
	reply(w, struct{}{})
}

func (p *panel) setStock(w http.ResponseWriter, r *http.Request) {
	var it stock.Item
	if !read(w, r, &it) {
		return
	}
	if p.cloud.Stock.Set(it) == 0 {
		bad(w, errors.New("no shelf matches"))
		return
	}
	reply(w, struct{}{})
}

func (p *panel) setPrice(w http.ResponseWriter, r *http.Request) {
	var m stock.Price
	if !read(w, r, &m) {
		return
	}
	if m.Factor < 0 {
		bad(w, errors.New("factor must not be negative; the fault wrong_price makes feeds lie"))
		return
	}
	p.cloud.Prices.Set(m)
	reply(w, struct{}{})
}

func (p *panel) nodeEvent(w http.ResponseWriter, r *http.Request) {
	var e NodeEvent
	if !read(w, r, &e) {
		return
	}
	var err error
	for _, s := range p.services {
		if err = s.NodeEvent(e.Node, e.Event); err == nil {
			reply(w, struct{}{})
			return
		}
	}
	bad(w, err)
}

func (p *panel) kubeconfig(w http.ResponseWriter, r *http.Request) {
	err := errors.New("there is no such cluster")
	for _, s := range p.services {
		var b []byte
		if b, err = s.AdminKubeconfig(r.URL.Query().Get("cluster")); err == nil {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(b)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusNotFound)
}

// reset deletes everything and forgets everything, except the accounts.
func (p *panel) reset(w http.ResponseWriter, _ *http.Request) {
	for _, s := range p.services {
		s.Reset()
	}
	p.cloud.Faults.Remove("")
	p.cloud.Ledger.Reset()
	p.cloud.Requests.Reset()
	p.cloud.Throttle.Reset()
	p.cloud.Stock.Reset()
	p.cloud.Prices.Reset()
	reply(w, struct{}{})
}
