package exact

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"regionpool.io/provider-regionpool/cluster/local/progress"
)

// worlds is the number of worlds a test runs; make bench BENCH=exact runs more.
const worlds = 16

// TestExact runs a few dozen scenarios.
func TestExact(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	ctx, cancel := signal.NotifyContext(t.Context(), os.Interrupt)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	begin := time.Now()
	p, err := Start(ctx, t.TempDir(), progress.New(os.Stderr))
	if err != nil {
		t.Fatalf("Start(...): %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("p.Close(): %v", err)
		}
	})
	t.Logf("Control plane ready after %s", time.Since(begin))

	n, ordered := 0, 0
	for seed := range uint64(worlds) {
		err := p.Run(ctx, NewWorld(seed), func(r Report) {
			n++
			if r.Batch.Ordered {
				ordered++
			}
			if len(r.Problems) > 0 {
				t.Errorf("Batch %s %v:\n%s", r.Batch.Name, r.Batch.Families, strings.Join(r.Problems, "\n"))
			}
		})
		if err != nil {
			t.Fatalf("p.Run(...): %v", err)
		}
	}
	t.Logf("%d scenarios in %s, %d of them without a number to agree on", n, time.Since(begin), ordered)
	testPreemption(ctx, t, p)
	testContact(ctx, t, p)
}

// testPreemption is the one disagreement that is meant (decision 0013): where
// kube-scheduler evicts others to place a pod, the simulation has no place.
func testPreemption(ctx context.Context, t *testing.T, p *Plane) {
	t.Helper()
	cases := map[string]struct {
		reason    string
		class     string
		simulated int
		real      int
	}{
		"Preempts": {reason: "Room that others would have to be evicted from is not counted, though kube-scheduler makes it.", class: classHigh, simulated: 2, real: 4},
		"Never":    {reason: "Pods that never preempt get the same from both.", class: classEqual, simulated: 2, real: 2},
	}
	for name, tc := range cases {
		ran := 0
		err := p.Run(ctx, preemption(name, tc.class), func(r Report) {
			ran++
			if r.Simulated != tc.simulated || r.Real != tc.real {
				t.Errorf("\nReason: %s\nRun(%s): want %d placed by the simulation and %d by kube-scheduler, got %d and %d", tc.reason, name, tc.simulated, tc.real, r.Simulated, r.Real)
			}
			if disagree := tc.simulated != tc.real; disagree != (len(r.Problems) > 0) {
				t.Errorf("\nReason: %s\nRun(%s): the problems are %q", tc.reason, name, r.Problems)
			}
		})
		if err != nil || ran != 1 {
			t.Errorf("Run(%s): ran %d batches: %v", name, ran, err)
		}
	}
}

// testContact stops the API server for a while.
func testContact(ctx context.Context, t *testing.T, p *Plane) {
	t.Helper()
	server := p.control.Process("kube-apiserver")
	nodes := p.member.Snapshot().NumNodes()
	if err := server.Pause(); err != nil {
		t.Fatalf("server.Pause(): %v", err)
	}
	begin := time.Now()
	if err := wait(ctx, 20*time.Second, "the member is unreachable", func(context.Context) (bool, error) {
		return !p.member.Contact().Reachable, nil
	}); err != nil {
		t.Errorf("\nAn API server that hangs is found out.\n%v", err)
	}
	t.Logf("unreachable after %s: %s", time.Since(begin), p.member.Contact().Reason)
	if got := p.member.Snapshot().NumNodes(); got != nodes {
		t.Errorf("\nThe cache keeps what it knew.\nwant %d nodes, got %d", nodes, got)
	}
	if err := server.Resume(); err != nil {
		t.Fatalf("server.Resume(): %v", err)
	}
	if err := wait(ctx, 20*time.Second, "the member is reachable", func(context.Context) (bool, error) {
		return p.member.Contact().Reachable, nil
	}); err != nil {
		t.Errorf("\nAn API server that is back is found out.\n%v", err)
	}
	if err := p.Run(ctx, NewWorld(worlds), func(r Report) {
		if len(r.Problems) > 0 {
			t.Errorf("Batch %s %v, after the API server came back:\n%s", r.Batch.Name, r.Batch.Families, strings.Join(r.Problems, "\n"))
		}
	}); err != nil {
		t.Errorf("p.Run(...): %v", err)
	}
}
