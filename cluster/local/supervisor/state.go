// Package supervisor keeps a stack running behind the terminal: `up` starts a
// detached supervisor, which owns the stack, `down` ends it, `status` looks at
// it.
package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

// Names of files in the folder of a stack.
const (
	stateFile = "state.json"
	lockFile  = "lock"
	logFile   = "supervisor.log"
)

// A state is what the supervisor tells others about its stack.
type state struct {
	Supervisor process.ID     `json:"supervisor"`
	Ready      bool           `json:"ready"`
	Kubectl    string         `json:"kubectl,omitempty"`
	Planes     []planeState   `json:"planes,omitempty"`
	Cloud      *cloudState    `json:"cloud,omitempty"`
	Processes  []processState `json:"processes,omitempty"`
}

type planeState struct {
	Name       string `json:"name"`
	Kubeconfig string `json:"kubeconfig"`
}

type cloudState struct {
	Endpoint      string `json:"endpoint"`
	AdminEndpoint string `json:"adminEndpoint"`
	// TencentEndpoint is the URL of Tencent's APIs.
	TencentEndpoint string `json:"tencentEndpoint"`
}

type processState struct {
	Name   string     `json:"name"`
	ID     process.ID `json:"id"`
	Port   int        `json:"port,omitempty"`
	Health string     `json:"health,omitempty"`
	State  string     `json:"state"`
}

// stateOf describes a running stack.
func stateOf(self process.ID, s *stack.Stack) state {
	out := state{Supervisor: self, Ready: true, Kubectl: s.Binaries().Path(binaries.Kubectl)}
	for _, cp := range s.Planes() {
		out.Planes = append(out.Planes, planeState{Name: cp.Name(), Kubeconfig: cp.KubeconfigPath()})
	}
	if c := s.Cloud(); c.Endpoint != "" {
		out.Cloud = &cloudState{Endpoint: c.Endpoint, AdminEndpoint: c.AdminEndpoint, TencentEndpoint: c.TencentEndpoint}
	}
	for _, p := range s.Processes() {
		ps := processState{Name: p.Name(), Port: p.Port(), Health: p.Health(), State: string(p.State())}
		if pid := p.PID(); pid != 0 {
			// A process that ends right now has no identity, and is told as such.
			ps.ID, _ = process.IdentityOf(pid)
		}
		out.Processes = append(out.Processes, ps)
	}
	return out
}

// write puts the state in place at once, so that nobody reads half of it.
func (s state) write(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode state: %w", err)
	}
	tmp := filepath.Join(dir, stateFile+".tmp")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("cannot write state: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("cannot write state: %w", err)
	}
	return nil
}

// readState returns the state of the stack in a folder, nil if there is none.
func readState(dir string) (*state, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read state: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("cannot decode state %s: %w", filepath.Join(dir, stateFile), err)
	}
	return s, nil
}

func removeState(dir string) error {
	if err := os.Remove(filepath.Join(dir, stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove state: %w", err)
	}
	return nil
}

// tryLock takes the lock of a stack's folder, which the supervisor holds as long
// as it lives. It returns nil if somebody else holds it.
func tryLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("cannot take lock: %w", err)
}
