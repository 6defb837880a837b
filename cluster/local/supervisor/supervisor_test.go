package supervisor

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"regionpool.io/provider-regionpool/cluster/local/process"
)

// TestDownAfterKill cleans up after a supervisor that was killed: what it
// recorded is ended, and a process that merely has a recorded pid is not
// touched.
func TestDownAfterKill(t *testing.T) {
	dir := t.TempDir()
	ours, foreign := sleeper(t), sleeper(t)
	recorded := foreign
	recorded.Started++
	s := state{
		Supervisor: recorded,
		Ready:      true,
		Processes:  []processState{{Name: "etcd", ID: ours}, {Name: "crossplane", ID: recorded}, {Name: "ended"}},
	}
	if err := s.write(dir); err != nil {
		t.Fatalf("s.write(...): %v", err)
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatalf("os.Mkdir(...): %v", err)
	}

	var out bytes.Buffer
	if err := Status(t.Context(), dir, &out); err != nil {
		t.Errorf("Status(...): %v", err)
	}
	if want := "The supervisor was killed"; !strings.Contains(out.String(), want) {
		t.Errorf("Status(...): want %q, got %q", want, out.String())
	}
	if err := Down(t.Context(), dir, &out); err != nil {
		t.Errorf("Down(...): %v", err)
	}
	if ours.Alive() {
		t.Error("Down(...): a recorded process still runs")
	}
	if !foreign.Alive() {
		t.Error("Down(...): ended a process that is not ours")
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Error("Down(...): the data is still there")
	}

	out.Reset()
	if err := Down(t.Context(), dir, &out); err != nil {
		t.Errorf("Down(...) again: %v", err)
	}
	if want := "No stack is running."; !strings.Contains(out.String(), want) {
		t.Errorf("Down(...) again: want %q, got %q", want, out.String())
	}
}

func sleeper(t *testing.T) process.ID {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Fatalf("cmd.Start(): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	id, err := process.IdentityOf(cmd.Process.Pid)
	if err != nil {
		t.Fatalf("process.IdentityOf(...): %v", err)
	}
	return id
}
