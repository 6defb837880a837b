// Package requestlog records every call that reaches a simulated cloud, so that
// tests can count accepted creates and measure how soon a decision became a
// call.
package requestlog

import (
	"sync"
	"time"
)

// An Entry is one request. Times are wall time: they are compared with
// timestamps of the processes under test.
type Entry struct {
	// Time the request arrived, RFC3339 with nanoseconds in JSON.
	Time time.Time `json:"ts"`
	// Seconds the answer took.
	Seconds float64 `json:"seconds"`
	// Service is the simulated API, for example "ack".
	Service string `json:"service"`
	// Action as resolved from method and path, never from a header.
	Action string `json:"action"`
	Method string `json:"method"`
	Path   string `json:"path"`
	// AccessKeyID the caller claims.
	AccessKeyID string `json:"akid,omitempty"`
	// Verified is true if the signature matched.
	Verified bool `json:"verified"`
	// Status of the HTTP answer, 0 if the connection was cut.
	Status int `json:"status"`
	// Code of the API error, empty on success.
	Code      string `json:"code,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	// Accepted is true if the call took effect, whether or not the caller was
	// told so.
	Accepted bool `json:"accepted"`
	// Mutating is true for calls that can change something.
	Mutating bool   `json:"mutating"`
	Cluster  string `json:"cluster,omitempty"`
	NodePool string `json:"nodePool,omitempty"`
	// Name and Owner of a thing to be created.
	Name  string `json:"name,omitempty"`
	Owner string `json:"owner,omitempty"`
	// Desired size asked for by a call that sets it.
	Desired *int `json:"desired,omitempty"`
	// Count of nodes to add (positive) or to remove (negative).
	Count *int `json:"count,omitempty"`
	// Faults that were injected into this call.
	Faults []string `json:"faults,omitempty"`
}

// A Filter selects entries. Zero fields match everything.
type Filter struct {
	Service, Action, Cluster string
	Since                    time.Time
	Mutating                 bool
}

func (f Filter) match(e *Entry) bool {
	switch {
	case f.Service != "" && f.Service != e.Service,
		f.Action != "" && f.Action != e.Action,
		f.Cluster != "" && f.Cluster != e.Cluster,
		f.Mutating && !e.Mutating,
		!f.Since.IsZero() && e.Time.Before(f.Since):
		return false
	}
	return true
}

// A Log keeps the last entries.
type Log struct {
	mu      sync.Mutex
	max     int
	entries []Entry
	dropped int
}

// New returns a Log that keeps about the last max entries.
func New(max int) *Log { return &Log{max: max} }

// Add appends an entry.
func (l *Log) Add(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) >= 2*l.max {
		n := copy(l.entries, l.entries[len(l.entries)-l.max:])
		l.dropped += len(l.entries) - n
		l.entries = l.entries[:n]
	}
	l.entries = append(l.entries, e)
}

// List returns the entries that match, oldest first.
func (l *Log) List(f Filter) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Entry{}
	for i := range l.entries {
		if f.match(&l.entries[i]) {
			out = append(out, l.entries[i])
		}
	}
	return out
}

// Total returns the number of entries ever added since the last Reset.
func (l *Log) Total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped + len(l.entries)
}

// Reset forgets all entries.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.dropped = nil, 0
}
