package process

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// probeInterval is short, because the gates of a dozen children add up.
	probeInterval = 50 * time.Millisecond
	probeTimeout  = 2 * time.Second

	tailBytes = 4 << 10
	tailLines = 12
)

// probeClient asks the health endpoints. Their certificates are of several
// authorities and prove nothing here, so they are not verified.
var probeClient = &http.Client{
	Timeout: probeTimeout,
	Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
		Proxy:             nil,
	},
}

// Probe asks a health URL once. It returns an error unless the answer is 200.
func Probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("cannot build health request: %w", err)
	}
	rsp, err := probeClient.Do(req)
	if err != nil {
		return err
	}
	defer rsp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(rsp.Body, tailBytes))
	if rsp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", url, rsp.Status, failedChecks(string(body)))
	}
	return nil
}

// failedChecks keeps the lines of a Kubernetes health report that failed.
func failedChecks(report string) string {
	var failed []string
	for line := range strings.Lines(report) {
		if strings.HasPrefix(line, "[-]") {
			failed = append(failed, strings.TrimSpace(line))
		}
	}
	if len(failed) == 0 {
		return strings.TrimSpace(report)
	}
	return strings.Join(failed, "; ")
}

// Healthy asks the child's health URL once.
func (p *Process) Healthy(ctx context.Context) error {
	if p.PID() == 0 {
		return p.exitError()
	}
	if p.spec.Health == "" {
		return nil
	}
	return Probe(ctx, p.spec.Health)
}

// awaitReady polls the gates until they pass, the child ends, or time is up.
func (p *Process) awaitReady(ctx context.Context, exited <-chan struct{}) error {
	timeout := p.spec.ReadyTimeout
	if timeout == 0 {
		timeout = DefaultReadyTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	var last error
	for {
		err := p.probeGates(ctx)
		if ctx.Err() == nil || last == nil {
			// An attempt that time cut short says nothing.
			last = err
		}
		select {
		case <-exited:
			return p.exitError()
		default:
		}
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return p.exitError()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("health gate timed out after %s: %w", timeout, last)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (p *Process) probeGates(ctx context.Context) error {
	if p.spec.Health != "" {
		if err := Probe(ctx, p.spec.Health); err != nil {
			return err
		}
	}
	if p.spec.Ready != nil {
		return p.spec.Ready(ctx)
	}
	return nil
}

// logTail returns the end of the log, ready to be put behind an error.
func (p *Process) logTail() string {
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	tail := bytes.Join(lines, []byte("\n  "))
	if len(tail) > tailBytes {
		tail = tail[len(tail)-tailBytes:]
	}
	return fmt.Sprintf("\n  the log %s ends with:\n  %s", p.logPath, tail)
}
