package process

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parentEnv makes this test program play a parent that starts a child, writes
// its pid to the file named here, and then waits to be killed.
const parentEnv = "PROCESS_TEST_PID_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(parentEnv); file != "" {
		playParent(file)
		return
	}
	os.Exit(m.Run())
}

func playParent(file string) {
	g, err := NewGroup(filepath.Dir(file))
	if err != nil {
		panic(err)
	}
	p, err := g.Start(context.Background(), Spec{Name: "child", Path: "/bin/sleep", Args: []string{"300"}})
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(file+".tmp", []byte(strconv.Itoa(p.PID())), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		panic(err)
	}
	select {}
}

func TestKilledParentLeavesNoChild(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+file)
	if err := parent.Start(); err != nil {
		t.Fatalf("parent.Start(): %v", err)
	}
	var pid int
	eventually(t, "the parent starts its child", func() bool {
		b, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(b))
		return err == nil
	})
	child, err := IdentityOf(pid)
	if err != nil {
		t.Fatalf("IdentityOf(%d): %v", pid, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatalf("parent.Process.Kill(): %v", err)
	}
	_ = parent.Wait()
	eventually(t, "the child dies with its parent", func() bool { return !child.Alive() })
}

func TestStart(t *testing.T) {
	healthy := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(healthy.Close)
	unhealthy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprint(w, "[+]ping ok\n[-]etcd failed: reason withheld\n")
	}))
	t.Cleanup(unhealthy.Close)

	cases := map[string]struct {
		reason string
		spec   Spec
		// want are parts of the error; no error is wanted if there is none.
		want []string
	}{
		"NoGate": {
			reason: "A child without a gate is ready when it runs.",
			spec:   Spec{Path: "/bin/sleep", Args: []string{"300"}},
		},
		"Healthy": {
			reason: "A child whose health URL answers 200, with any certificate, is ready.",
			spec:   Spec{Path: "/bin/sleep", Args: []string{"300"}, Health: healthy.URL},
		},
		"DiesAtOnce": {
			reason: "The error of a child that dies during its start has the exit code and the end of its log.",
			spec:   Spec{Path: "/bin/sh", Args: []string{"-c", "echo one; echo the port is in use >&2; exit 3"}, Health: unhealthy.URL},
			want:   []string{"child did not become ready", "exit status 3", "the port is in use", "child.log"},
		},
		"NotReadyInTime": {
			reason: "A health gate that is never passed times out, and the error has the checks that failed.",
			spec:   Spec{Path: "/bin/sleep", Args: []string{"300"}, Health: unhealthy.URL, ReadyTimeout: 200 * time.Millisecond},
			want:   []string{"timed out after 200ms", "[-]etcd failed"},
		},
		"FurtherGate": {
			reason: "The further gate is tried too.",
			spec: Spec{Path: "/bin/sleep", Args: []string{"300"}, Health: healthy.URL, ReadyTimeout: 200 * time.Millisecond, Ready: func(context.Context) error {
				return fmt.Errorf("not listening")
			}},
			want: []string{"not listening"},
		},
		"NoSuchProgram": {
			reason: "A program that does not exist is an error.",
			spec:   Spec{Path: "/does/not/exist"},
			want:   []string{"cannot start child", "no such file"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t)
			tc.spec.Name = "child"
			p, err := g.Start(t.Context(), tc.spec)
			if len(tc.want) == 0 {
				if err != nil {
					t.Fatalf("\n%s\nStart(...): %v", tc.reason, err)
				}
				if diff := cmp.Diff(StateRunning, p.State()); diff != "" {
					t.Errorf("\n%s\np.State(): -want, +got:\n%s", tc.reason, diff)
				}
				return
			}
			if err == nil {
				t.Fatalf("\n%s\nStart(...): want error, got none", tc.reason)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("\n%s\nStart(...): want an error with %q, got: %v", tc.reason, part, err)
				}
			}
			if diff := cmp.Diff(0, len(g.Processes())); diff != "" {
				t.Errorf("\n%s\nA child that failed stays in the group: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestLifecycle(t *testing.T) {
	g := newGroup(t)
	p, err := g.Start(t.Context(), Spec{Name: "child", Path: "/bin/sh", Args: []string{"-c", "echo started; exec sleep 300"}})
	if err != nil {
		t.Fatalf("g.Start(...): %v", err)
	}
	first := identity(t, p)

	if _, err := g.Start(t.Context(), Spec{Name: "child", Path: "/bin/true"}); err == nil {
		t.Error("g.Start(...): want an error for a name that is taken")
	}
	if err := p.Pause(); err != nil {
		t.Errorf("p.Pause(): %v", err)
	}
	if diff := cmp.Diff(StatePaused, p.State()); diff != "" {
		t.Errorf("p.State() after Pause: -want, +got:\n%s", diff)
	}
	if err := p.Resume(); err != nil {
		t.Errorf("p.Resume(): %v", err)
	}

	p.Kill()
	if first.Alive() {
		t.Error("p.Kill(): the child still runs")
	}
	if diff := cmp.Diff(StateExited, p.State()); diff != "" {
		t.Errorf("p.State() after Kill: -want, +got:\n%s", diff)
	}
	if err := p.Pause(); err == nil {
		t.Error("p.Pause(): want an error for a child that does not run")
	}
	if err := p.Start(t.Context()); err != nil {
		t.Errorf("p.Start(...): %v", err)
	}
	second := identity(t, p)
	if err := p.Restart(t.Context()); err != nil {
		t.Errorf("p.Restart(...): %v", err)
	}
	if second.Alive() {
		t.Error("p.Restart(...): the earlier run of the child still runs")
	}
	last := identity(t, p)

	// A paused child must end as well.
	if err := p.Pause(); err != nil {
		t.Errorf("p.Pause(): %v", err)
	}
	g.Stop()
	if last.Alive() {
		t.Error("g.Stop(): the child still runs")
	}
	if err := p.Restart(t.Context()); err == nil {
		t.Error("p.Restart(...): want an error after the group was stopped")
	}
	if _, err := g.Start(t.Context(), Spec{Name: "other", Path: "/bin/true"}); err == nil {
		t.Error("g.Start(...): want an error after the group was stopped")
	}
}

func TestStopKillsWhatIgnoresSIGTERM(t *testing.T) {
	g := newGroup(t)
	trapped := filepath.Join(t.TempDir(), "trapped")
	p, err := g.Start(t.Context(), Spec{
		Name: "stubborn", Path: "/bin/sh", Grace: 100 * time.Millisecond,
		Args: []string{"-c", "trap '' TERM; touch " + trapped + "; while true; do sleep 1; done"},
		Ready: func(context.Context) error {
			_, err := os.Stat(trapped)
			return err
		},
	})
	if err != nil {
		t.Fatalf("g.Start(...): %v", err)
	}
	id := identity(t, p)
	p.Stop()
	if id.Alive() {
		t.Error("p.Stop(): the child still runs")
	}
}

func TestIDAlive(t *testing.T) {
	self, err := IdentityOf(os.Getpid())
	if err != nil {
		t.Fatalf("IdentityOf(self): %v", err)
	}
	cases := map[string]struct {
		reason string
		id     ID
		want   bool
	}{
		"Self":   {reason: "This process runs.", id: self, want: true},
		"Reused": {reason: "A process of the same pid that was started at another time is not the same.", id: ID{PID: self.PID, Started: self.Started + 1}},
		"None":   {reason: "No process has this pid.", id: ID{PID: 1 << 30}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.id.Alive()); diff != "" {
				t.Errorf("\n%s\nid.Alive(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func newGroup(t *testing.T) *Group {
	t.Helper()
	g, err := NewGroup(t.TempDir())
	if err != nil {
		t.Fatalf("NewGroup(...): %v", err)
	}
	t.Cleanup(g.Stop)
	return g
}

func identity(t *testing.T, p *Process) ID {
	t.Helper()
	id, err := IdentityOf(p.PID())
	if err != nil {
		t.Fatalf("IdentityOf(%s): %v", p.Name(), err)
	}
	return id
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("timed out waiting until %s", what)
}
