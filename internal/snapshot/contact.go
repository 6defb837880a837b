package snapshot

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

// Defaults of the probe that finds out whether a member's API answers. A member
// that stops answering is found out after at most
// interval + failures x (interval + timeout), which is 7 seconds.
const (
	DefaultProbeInterval = 1 * time.Second
	DefaultProbeTimeout  = 2 * time.Second
	DefaultProbeFailures = 2
)

// A Contact says whether a member's API answers.
type Contact struct {
	// Reachable is true if the API answered lately. While it is false, the
	// member's cache keeps what it last knew.
	Reachable bool
	// Since is when Reachable got its present value. For a member that became
	// unreachable it is the time of the last answer. It is zero for a member
	// that was not probed yet.
	Since time.Time
	// Last is when the API last answered; zero if it never did.
	Last time.Time
	// Reason says why the API does not answer; empty while it does.
	Reason string
}

// A prober finds out whether an API answers. Its state changes by observe only.
type prober struct {
	clock    clock.WithTicker
	interval time.Duration
	timeout  time.Duration
	failures int
	probe    func(context.Context) error
	changed  func()

	mu     sync.Mutex
	state  Contact
	failed int
}

// probeAPI asks for the kube-system namespace: it is in every cluster, small,
// and unlike /readyz the answer proves that the API server reaches its storage.
// An answer of forbidden or not found is an answer.
func probeAPI(c kubernetes.Interface) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot get namespace %s: %w", metav1.NamespaceSystem, err)
		}
		return nil
	}
}

func (p *prober) contact() Contact {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// run probes until the context ends.
func (p *prober) run(ctx context.Context) {
	t := p.clock.NewTicker(p.interval)
	defer t.Stop()
	for {
		p.once(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C():
		}
	}
}

func (p *prober) once(ctx context.Context) {
	pctx, cancel := context.WithTimeout(ctx, p.timeout)
	err := p.probe(pctx)
	cancel()
	if ctx.Err() != nil {
		return
	}
	p.observe(err)
}

// observe takes note of the outcome of one probe.
func (p *prober) observe(err error) {
	now := p.clock.Now()
	p.mu.Lock()
	was, first := p.state.Reachable, p.state.Since.IsZero()
	if err == nil {
		p.failed = 0
		p.state.Last = now
		p.state.Reason = ""
		if !was {
			p.state.Reachable, p.state.Since = true, now
		}
	} else {
		p.failed++
		if first || !was || p.failed >= p.failures {
			p.state.Reason = err.Error()
		}
		switch {
		case first:
			p.state.Since = now
		case was && p.failed >= p.failures:
			p.state.Reachable, p.state.Since = false, p.state.Last
		}
	}
	flipped := first || was != p.state.Reachable
	p.mu.Unlock()
	if flipped && p.changed != nil {
		p.changed()
	}
}
