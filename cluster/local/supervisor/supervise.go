package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

// Command is the name of the hidden command that runs Supervise.
const Command = "supervise"

// File descriptors Up hands to the supervisor.
const (
	aliveFD    = 3
	progressFD = 4
)

const refreshInterval = time.Second

// errTaken says that another supervisor has the folder.
var errTaken = errors.New("another stack is running in this folder")

// Supervise starts the stack that options, in JSON, describe, and keeps it until
// SIGTERM. It tears everything down if Up, its parent, goes away before the
// stack is ready.
func Supervise(options string) error {
	var o stack.Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return fmt.Errorf("cannot decode options: %w", err)
	}
	// The children must not inherit the pipes, or they would never end.
	syscall.CloseOnExec(aliveFD)
	syscall.CloseOnExec(progressFD)
	alive, out := os.NewFile(aliveFD, "alive"), os.NewFile(progressFD, "progress")
	err := supervise(o, alive, out)
	if err != nil {
		// The parent may be gone, so nothing can be done about an error here.
		_, _ = fmt.Fprintln(out, err)
	}
	_ = out.Close()
	return err
}

func supervise(o stack.Options, alive io.Reader, out *os.File) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()

	lock, err := tryLock(o.Dir)
	if err != nil {
		return err
	}
	if lock == nil {
		return errTaken
	}
	defer lock.Close()

	self, err := process.IdentityOf(os.Getpid())
	if err != nil {
		return err
	}
	if err := (state{Supervisor: self}).write(o.Dir); err != nil {
		return err
	}
	defer removeState(o.Dir)

	starting, abort := context.WithCancel(ctx)
	defer abort()
	go func() {
		// The pipe ends when the parent does.
		_, _ = io.Copy(io.Discard, alive)
		abort()
	}()

	s, err := stack.Start(starting, o, progress.New(out))
	if err != nil {
		return err
	}
	if err := keep(ctx, o.Dir, self, s, out); err != nil {
		return errors.Join(err, s.Close())
	}
	return s.Close()
}

// keep tells that the stack is ready, and keeps its state up to date until ctx
// ends.
func keep(ctx context.Context, dir string, self process.ID, s *stack.Stack, out io.Closer) error {
	told := stateOf(self, s)
	if err := told.write(dir); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("cannot end progress: %w", err)
	}
	t := time.NewTicker(refreshInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			now := stateOf(self, s)
			if reflect.DeepEqual(now, told) {
				continue
			}
			if err := now.write(dir); err != nil {
				return err
			}
			told = now
		}
	}
}
