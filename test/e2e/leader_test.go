package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

// leaseName is that of the provider.
const leaseName = "crossplane-leader-election-provider-regionpool"

// takeover is how long the lease of a leader that was killed is believed, and how
// soon after that another one tries.
const takeover = 90 * time.Second

// TestLeaderKilled runs two providers, and kills the one that leads while a
// cluster that it has ordered is being made. The other goes on with it, and
// orders nothing again.
func TestLeaderKilled(t *testing.T) {
	p := newPool(t, "leaders")
	p.home()

	alone := env.stack.Process(string(stack.Provider))
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", alone.PID()))
	if err != nil {
		t.Skipf("cannot find the program: %v", err)
	}
	alone.Stop()
	g, err := process.NewGroup(filepath.Join(env.stack.Dir(), "logs", "leaders"))
	if err != nil {
		t.Fatalf("cannot make a group of processes: %v", err)
	}
	t.Cleanup(func() {
		g.Stop()
		// The next tests need it.
		if err := alone.Start(context.Background()); err != nil {
			t.Errorf("cannot start the provider again: %v", err)
		}
	})

	first := startLeader(t, g, "provider-first", path)
	leader := ""
	p.eventually(soon, "the first provider to lead", func(ctx context.Context) (err error) {
		leader, err = leads(ctx)
		if err == nil && leader == "" {
			return errors.New("nobody does")
		}
		return err
	})
	startLeader(t, g, "provider-second", path)

	p.scale("web", burst)
	p.called(createCluster)
	if now, err := leads(t.Context()); err != nil || now != leader {
		t.Fatalf("%s led, and %s does now (%v)", leader, now, err)
	}
	first.Kill()
	p.eventually(takeover, "the other provider to lead", func(ctx context.Context) error {
		now, err := leads(ctx)
		if err == nil && (now == "" || now == leader) {
			return fmt.Errorf("%q leads", now)
		}
		return err
	})
	p.runs(burstTime, "web", homeCPU, burstAway)
	for _, action := range []string{createCluster, createNodePool} {
		if n, err := p.accepted(t.Context(), action); n != 1 || err != nil {
			t.Errorf("%s was accepted %d times (%v)", action, n, err)
		}
	}
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.away(awayTime)
}

// startLeader starts a provider that works only while it leads.
func startLeader(t *testing.T, g *process.Group, name, path string) *process.Process {
	t.Helper()
	metrics, health := freeAddress(t), freeAddress(t)
	proc, err := g.Start(t.Context(), process.Spec{
		Name: name, Path: path, Health: "http://" + health + "/readyz",
		Env: []string{"KUBECONFIG=" + env.stack.Plane(stack.Host).KubeconfigPath()},
		Args: append(stack.Hurried(stack.Provider), "--debug", "--metrics-bind-address="+metrics, "--health-probe-bind-address="+health,
			"--leader-election", "--leader-election-namespace="+stack.SystemNamespace),
	})
	if err != nil {
		t.Fatalf("cannot start %s: %v", name, err)
	}
	return proc
}

// leads returns who holds the lease.
func leads(ctx context.Context) (string, error) {
	l := &coordinationv1.Lease{}
	if err := env.host.Get(ctx, types.NamespacedName{Namespace: stack.SystemNamespace, Name: leaseName}, l); err != nil {
		return "", err
	}
	return ptr.Deref(l.Spec.HolderIdentity, ""), nil
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
