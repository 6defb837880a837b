package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"regionpool.io/provider-regionpool/internal/fleet/explain"
	"regionpool.io/provider-regionpool/internal/fleet/whatif"
)

const (
	// answerTimeout is how long an answer may take.
	answerTimeout = 30 * time.Second
	// maxQuestion is the size of a question, in bytes.
	maxQuestion = 1 << 20
	// maxWaiting questions wait for the one that is being answered.
	maxWaiting = 8
)

// errNoRound is returned by questions that come too early, or to a fleet that is
// not the leader.
var errNoRound = errors.New("this fleet has made no round yet: it has just started, or another one leads")

// world is what a round saw, for questions.
func (v *view) world() *whatif.World { return &whatif.World{Input: v.input, Plans: v.planned} }

// World is what the last round saw, as of now. It may be called while rounds are
// made, and must not be changed. An error says that there was no round.
func (f *Fleet) World() (whatif.World, error) {
	w := f.seen.Load()
	if w == nil {
		return whatif.World{}, errNoRound
	}
	out := *w
	out.Input.Now = f.Clock.Now()
	return out, nil
}

// Explain says where the replicas of a workload are, and why. The name is that of
// its ResourceBinding, or its own: see whatif.Find.
func (f *Fleet) Explain(ctx context.Context, name string) (explain.Explanation, error) {
	w, err := f.World()
	if err != nil {
		return explain.Explanation{}, err
	}
	b, err := whatif.Find(w.Input.Bindings, name)
	if err != nil {
		return explain.Explanation{}, err
	}
	return explain.Explain(ctx, w.Input, b.ID)
}

// WhatIf answers a question about the region as it is now.
func (f *Fleet) WhatIf(ctx context.Context, q whatif.Question) (whatif.Answer, error) {
	w, err := f.World()
	if err != nil {
		return whatif.Answer{}, err
	}
	return whatif.Ask(ctx, w, q)
}

// Questions serves /explain and /whatif. Nothing is written. Only callers on the
// same machine, or in the same pod, are answered, which port-forwarding is: what
// runs where is not for everybody who may scrape metrics. One question is
// answered at a time, and takes no lock that a round takes: it only shares the
// processors with rounds. A few wait; more are sent away.
func (f *Fleet) Questions() map[string]http.Handler {
	one, waiting := make(chan struct{}, 1), make(chan struct{}, 1+maxWaiting)
	serve := func(method string, fn func(ctx context.Context, r *http.Request) (texter, error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
				http.Error(w, "questions are answered on the same machine only: use kubectl port-forward", http.StatusForbidden)
				return
			}
			if r.Method != method {
				w.Header().Set("Allow", method)
				http.Error(w, "use "+method, http.StatusMethodNotAllowed)
				return
			}
			select {
			case waiting <- struct{}{}:
				defer func() { <-waiting }()
			default:
				http.Error(w, fmt.Sprintf("%d questions wait already", maxWaiting), http.StatusTooManyRequests)
				return
			}
			ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
			defer cancel()
			select {
			case one <- struct{}{}:
				defer func() { <-one }()
			case <-ctx.Done():
				http.Error(w, "another question is being answered", http.StatusServiceUnavailable)
				return
			}
			answer, err := fn(ctx, r)
			switch {
			case errors.Is(err, errNoRound), ctx.Err() != nil:
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			case err != nil:
				http.Error(w, err.Error(), http.StatusBadRequest)
			case r.URL.Query().Get("o") == "text":
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				// The only error is that the reader went away.
				_, _ = fmt.Fprint(w, answer.Text())
			default:
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(answer)
			}
		})
	}
	return map[string]http.Handler{
		"/explain": serve(http.MethodGet, func(ctx context.Context, r *http.Request) (texter, error) {
			return f.Explain(ctx, r.URL.Query().Get("binding"))
		}),
		"/whatif": serve(http.MethodPost, func(ctx context.Context, r *http.Request) (texter, error) {
			q, err := whatif.Read(http.MaxBytesReader(nil, r.Body, maxQuestion))
			if err != nil {
				return nil, err
			}
			return f.WhatIf(ctx, q)
		}),
	}
}

// A texter can be read by a person, too.
type texter interface{ Text() string }
