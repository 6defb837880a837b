package controller

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// A DecisionRecord is one change of the nodes wanted of an offering.
type DecisionRecord struct {
	// UnmetSeen is when fleet saw the change that led to the decision, Written
	// when the decision was in the API.
	UnmetSeen time.Time `json:"unmetSeen"`
	Written   time.Time `json:"written"`

	Plan     string `json:"plan"`
	Offering string `json:"offering"`
	// From and To are the nodes wanted before and after.
	From int32 `json:"from"`
	To   int32 `json:"to"`
	// Released nodes were chosen to be given back.
	Released []string `json:"released,omitempty"`
}

// keptDecisions is how many decisions a Decisions keeps.
const keptDecisions = 4096

// Decisions are the last decisions, oldest first. They are for measurement: a
// restart forgets them. It is safe for concurrent use and serves itself as
// JSON.
type Decisions struct {
	mu   sync.Mutex
	ring []DecisionRecord
	next int
}

// Add a decision.
func (d *Decisions) Add(r DecisionRecord) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ring) < keptDecisions {
		d.ring = append(d.ring, r)
		return
	}
	d.ring[d.next] = r
	d.next = (d.next + 1) % keptDecisions
}

// List the decisions, oldest first.
func (d *Decisions) List() []DecisionRecord {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]DecisionRecord, 0, len(d.ring))
	out = append(out, d.ring[d.next:]...)
	return append(out, d.ring[:d.next]...)
}

// ServeHTTP implements http.Handler.
func (d *Decisions) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	// The only error is that the reader went away.
	_ = json.NewEncoder(w).Encode(d.List())
}

var (
	decisionSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "regionpool", Subsystem: "fleet", Name: "decision_seconds",
		Help:    "Time from the change that led to a decision about nodes until it was written.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"plan"})
	roundSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "regionpool", Subsystem: "fleet", Name: "round_seconds",
		Help:    "Time to decide about all bindings and plans, without writing.",
		Buckets: prometheus.ExponentialBuckets(.0005, 2, 15),
	})
	placements = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "regionpool", Subsystem: "fleet", Name: "placements_total",
		Help: "Replicas assigned to members.",
	}, []string{"pool"})
	cuts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "regionpool", Subsystem: "fleet", Name: "cuts_total",
		Help: "Replicas taken from members, because fewer are wanted or their substitutes are Ready.",
	}, []string{"pool"})
	moves = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "regionpool", Subsystem: "fleet", Name: "returns_started_total",
		Help: "Times that replicas of a workload began to move home.",
	}, []string{"pool"})
	orders = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "regionpool", Subsystem: "fleet", Name: "nodes_ordered_total",
		Help: "Nodes by which what is wanted of offerings grew.",
	}, []string{"plan", "offering"})
	releases = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "regionpool", Subsystem: "fleet", Name: "nodes_released_total",
		Help: "Nodes by which what is wanted of offerings shrank.",
	}, []string{"plan", "offering"})
	conflicts = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "regionpool", Subsystem: "fleet", Name: "write_conflicts_total",
		Help: "Writes that were refused because the object had changed, and were decided anew.",
	})
)

func init() {
	metrics.Registry.MustRegister(decisionSeconds, roundSeconds, placements, cuts, moves, orders, releases, conflicts)
}
