package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

const (
	// downTimeout bounds how long Down waits for the supervisor.
	downTimeout = 30 * time.Second
	waitStep    = 50 * time.Millisecond
)

// Up starts a stack that stays when Up returns, and tells how to use it. It
// reports the progress to out. If ctx ends, or this program dies, before the
// stack is ready, everything is stopped again. If the stack is running already,
// Up says so.
func Up(ctx context.Context, o stack.Options, out io.Writer) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot create folder of the stack: %w", err)
	}
	lock, err := tryLock(o.Dir)
	if err != nil {
		return err
	}
	if lock == nil {
		return tellRunning(o.Dir, out)
	}
	if err := errors.Join(sweep(o.Dir), lock.Close()); err != nil {
		return err
	}

	cmd, alive, progress, err := launch(o)
	if err != nil {
		return err
	}
	defer progress.Close()
	stop := context.AfterFunc(ctx, func() { _ = alive.Close() })
	defer stop()
	if _, err := io.Copy(out, progress); err != nil {
		return fmt.Errorf("cannot read progress: %w", err)
	}

	s, err := readState(o.Dir)
	if err == nil && s != nil && s.Ready && s.Supervisor.PID == cmd.Process.Pid {
		tellUse(s, out)
		return cmd.Process.Release()
	}
	exit := cmd.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("stopped before the stack was ready: %w", ctx.Err())
	}
	return fmt.Errorf("the stack did not start, see %s: %w", filepath.Join(o.Dir, logFile), errors.Join(err, exit))
}

// launch starts the supervisor: this program again, in a session of its own. It
// returns the pipe whose end tells the supervisor that we are gone, and the pipe
// that brings its progress.
func launch(o stack.Options) (cmd *exec.Cmd, alive, progress *os.File, err error) {
	options, err := json.Marshal(o)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot encode options: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot find this program: %w", err)
	}
	log, err := os.Create(filepath.Join(o.Dir, logFile))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot create log: %w", err)
	}
	defer log.Close()
	aliveR, aliveW, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot make pipe: %w", err)
	}
	defer aliveR.Close()
	progressR, progressW, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot make pipe: %w", err)
	}
	defer progressW.Close()

	cmd = exec.Command(self, Command, string(options))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{aliveR, progressW}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, nil, fmt.Errorf("cannot start supervisor: %w", err)
	}
	return cmd, aliveW, progressR, nil
}

// Down stops the stack in a folder and waits until it is gone. It also removes
// what a supervisor that was killed has left. That no stack runs is no error.
func Down(ctx context.Context, dir string, out io.Writer) error {
	s, err := readState(dir)
	if err != nil {
		return err
	}
	if s == nil {
		_, _ = fmt.Fprintln(out, "No stack is running.")
		return nil
	}
	if s.Supervisor.Alive() {
		_, _ = fmt.Fprintln(out, "Stopping the stack.")
		if err := end(ctx, s.Supervisor, syscall.SIGTERM, downTimeout); err != nil {
			return err
		}
	}
	if err := sweep(dir); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "The stack is down.")
	return nil
}

// sweep ends what a killed supervisor left, and removes its files. A process is
// only touched if it is the very one that was recorded.
func sweep(dir string) error {
	s, err := readState(dir)
	if err != nil || s == nil {
		return err
	}
	for _, id := range append([]process.ID{s.Supervisor}, processIDs(s)...) {
		if err := end(context.Background(), id, syscall.SIGKILL, downTimeout); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		return fmt.Errorf("cannot remove data of the stack: %w", err)
	}
	return removeState(dir)
}

// end sends a signal to a process, waits until it is gone, and kills it when
// time is up.
func end(ctx context.Context, id process.ID, sig syscall.Signal, timeout time.Duration) error {
	if !id.Alive() {
		return nil
	}
	if err := syscall.Kill(id.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot end process %d: %w", id.PID, err)
	}
	deadline := time.Now().Add(timeout)
	for id.Alive() {
		if time.Now().After(deadline) {
			if sig == syscall.SIGKILL {
				return fmt.Errorf("process %d does not end", id.PID)
			}
			return end(ctx, id, syscall.SIGKILL, timeout)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waitStep):
		}
	}
	return nil
}

func processIDs(s *state) []process.ID {
	out := make([]process.ID, 0, len(s.Processes))
	for _, p := range s.Processes {
		if p.ID.PID != 0 {
			out = append(out, p.ID)
		}
	}
	return out
}
