package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// DefaultReadyTimeout bounds the health gate of a child.
	DefaultReadyTimeout = 2 * time.Minute

	// DefaultGrace is how long a child may take to end after SIGTERM.
	DefaultGrace = 5 * time.Second

	// NoGrace makes Stop use SIGKILL at once. It suits servers such as
	// kube-apiserver, which drain connections for a minute.
	NoGrace time.Duration = -1
)

// A Spec describes a child process.
type Spec struct {
	// Name of the child, unique in its group. The log file is named after it.
	Name string

	// Path of the executable.
	Path string

	// Args of the executable, without its name.
	Args []string

	// Env is added to the environment of this process.
	Env []string

	// Dir is the child's working directory.
	Dir string

	// Port is the child's main port. It is only reported, never used.
	Port int

	// Health is the http or https URL that answers 200 once the child is ready.
	// It is polled, without verifying certificates, before Start returns, and
	// by Healthy. A child without one is ready when it runs.
	Health string

	// Ready is a further gate, tried after Health answered.
	Ready func(ctx context.Context) error

	// ReadyTimeout bounds the gates; DefaultReadyTimeout if zero.
	ReadyTimeout time.Duration

	// Grace is the time from SIGTERM to SIGKILL when the child is stopped;
	// DefaultGrace if zero.
	Grace time.Duration
}

// A State is what a child is doing.
type State string

// States of a child.
const (
	StateStarting State = "Starting"
	StateRunning  State = "Running"
	StatePaused   State = "Paused"
	StateExited   State = "Exited"
)

// A Process is a supervised child. It survives the restarts of the program it
// stands for.
type Process struct {
	spec    Spec
	logPath string

	// op serialises Start, Stop, Kill and Restart. It guards retired.
	op sync.Mutex

	// retired is set when the group is stopped: no start may follow.
	retired bool

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
	state  State
}

// spawner hands functions to the one goroutine that forks children. The parent
// death signal is sent when the THREAD that forked ends, so that goroutine is
// locked to its thread for the life of the program.
var spawner = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	started := make(chan struct{})
	go forkLoop(calls, started)
	<-started
	return calls
})

func spawn(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	spawner() <- func() { done <- cmd.Start() }
	return <-done
}

// Name of the child.
func (p *Process) Name() string { return p.spec.Name }

// Port of the child, or zero.
func (p *Process) Port() int { return p.spec.Port }

// Health URL of the child, if it has one.
func (p *Process) Health() string { return p.spec.Health }

// LogPath is the file that holds everything the child wrote, over restarts.
func (p *Process) LogPath() string { return p.logPath }

// PID of the running child, or zero.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.state == StateExited {
		return 0
	}
	return p.cmd.Process.Pid
}

// State of the child.
func (p *Process) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Exited is closed when the current run of the child ends.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// Start starts the child and waits until it is ready. It fails, with the tail
// of the log, if the child ends before that or is not ready in time; the child
// is then stopped.
func (p *Process) Start(ctx context.Context) error {
	p.op.Lock()
	defer p.op.Unlock()
	return p.start(ctx)
}

// Stop ends the child with SIGTERM, and with SIGKILL after its grace period. A
// child that has ended already is no error.
func (p *Process) Stop() {
	p.op.Lock()
	defer p.op.Unlock()
	p.stop(p.spec.Grace)
}

// retire stops the child for good.
func (p *Process) retire() {
	p.op.Lock()
	defer p.op.Unlock()
	p.stop(p.spec.Grace)
	p.retired = true
}

// Kill ends the child with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	p.op.Lock()
	defer p.op.Unlock()
	p.stop(NoGrace)
}

// Restart kills the child if it runs and starts it again with the same
// arguments.
func (p *Process) Restart(ctx context.Context) error {
	p.op.Lock()
	defer p.op.Unlock()
	p.stop(NoGrace)
	return p.start(ctx)
}

// Pause freezes the child with SIGSTOP: its connections stay open and nothing
// answers, as behind a partitioned network.
func (p *Process) Pause() error {
	return p.signal(syscall.SIGSTOP, StatePaused)
}

// Resume ends a Pause.
func (p *Process) Resume() error {
	return p.signal(syscall.SIGCONT, StateRunning)
}

func (p *Process) signal(sig syscall.Signal, s State) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.state == StateExited {
		return fmt.Errorf("cannot send %s to %s: it is not running", sig, p.spec.Name)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("cannot send %s to %s: %w", sig, p.spec.Name, err)
	}
	p.state = s
	return nil
}

func (p *Process) start(ctx context.Context) error {
	if p.retired {
		return fmt.Errorf("cannot start %s: its group is stopped", p.spec.Name)
	}
	if p.PID() != 0 {
		return fmt.Errorf("cannot start %s: it is running", p.spec.Name)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cannot start %s: %w", p.spec.Name, err)
	}

	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open log of %s: %w", p.spec.Name, err)
	}
	defer log.Close()

	cmd := exec.Command(p.spec.Path, p.spec.Args...)
	cmd.Env = append(os.Environ(), p.spec.Env...)
	cmd.Dir = p.spec.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttr()
	if err := spawn(cmd); err != nil {
		return fmt.Errorf("cannot start %s: %w", p.spec.Name, err)
	}

	exited := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.exited, p.err, p.state = cmd, exited, nil, StateStarting
	p.mu.Unlock()
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err, p.state = err, StateExited
		p.mu.Unlock()
		close(exited)
	}()

	if err := p.awaitReady(ctx, exited); err != nil {
		p.stop(NoGrace)
		return fmt.Errorf("%s did not become ready: %w%s", p.spec.Name, err, p.logTail())
	}
	p.mu.Lock()
	if p.state == StateStarting {
		p.state = StateRunning
	}
	p.mu.Unlock()
	return nil
}

func (p *Process) stop(grace time.Duration) {
	p.mu.Lock()
	cmd, exited, state := p.cmd, p.exited, p.state
	p.mu.Unlock()
	if cmd == nil || state == StateExited {
		return
	}
	if grace == 0 {
		grace = DefaultGrace
	}
	// Signals go to the child's process group. Errors mean that it is gone.
	if grace > 0 {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT)
		select {
		case <-exited:
			return
		case <-time.After(grace):
		}
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-exited
}

// exitError says how the child ended.
func (p *Process) exitError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("the process ended: %w", p.err)
	}
	return errors.New("the process ended with exit code 0")
}

// newProcess returns a child that has not been started.
func newProcess(logDir string, s Spec) *Process {
	exited := make(chan struct{})
	close(exited)
	return &Process{spec: s, logPath: filepath.Join(logDir, s.Name+".log"), exited: exited, state: StateExited}
}
