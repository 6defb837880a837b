// Package progress tells a human what the local stack is doing, with the time
// that has passed.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A Log writes lines with the time since it was made. The zero value and nil
// write nothing. It may be used by several goroutines.
type Log struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
}

// New returns a log whose clock starts now.
func New(w io.Writer) *Log {
	return &Log{w: w, start: time.Now()}
}

// Printf writes one line.
func (l *Log) Printf(format string, args ...any) {
	if l == nil || l.w == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	elapsed := time.Since(l.start).Seconds()
	// A reader that went away is no reason to fail.
	_, _ = fmt.Fprintf(l.w, "[%6.1fs] %s\n", elapsed, fmt.Sprintf(format, args...))
}

// Step starts a step and returns the function that reports its end and how long
// it took.
func (l *Log) Step(format string, args ...any) (done func()) {
	name, start := fmt.Sprintf(format, args...), time.Now()
	return func() { l.Printf("%s (%.1fs)", name, time.Since(start).Seconds()) }
}
