package process

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
)

// A Group holds the children of one stack, in the order they were started.
type Group struct {
	logDir string

	mu       sync.Mutex
	closed   bool
	children []*Process
}

// NewGroup returns a group that keeps its log files in a folder, which is
// created.
func NewGroup(logDir string) (*Group, error) {
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create log folder: %w", err)
	}
	return &Group{logDir: logDir}, nil
}

// LogDir is the folder of the log files.
func (g *Group) LogDir() string { return g.logDir }

// Start starts a child and waits until it is ready. A child that fails to
// become ready is stopped and does not stay in the group.
func (g *Group) Start(ctx context.Context, s Spec) (*Process, error) {
	// The child is locked before others can see it, so that a Stop of the group
	// waits for the start to end and cannot miss the child.
	p := newProcess(g.logDir, s)
	p.op.Lock()
	defer p.op.Unlock()

	g.mu.Lock()
	switch {
	case g.closed:
		g.mu.Unlock()
		return nil, fmt.Errorf("cannot start %s: the group is stopped", s.Name)
	case slices.ContainsFunc(g.children, func(c *Process) bool { return c.Name() == s.Name }):
		g.mu.Unlock()
		return nil, fmt.Errorf("cannot start %s: there is a process of that name", s.Name)
	}
	g.children = append(g.children, p)
	g.mu.Unlock()

	if err := p.start(ctx); err != nil {
		g.drop(p)
		return nil, err
	}
	return p, nil
}

// Process returns a child by name, or nil.
func (g *Group) Process(name string) *Process {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.children {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// Processes returns the children in the order they were started.
func (g *Group) Processes() []*Process {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.children)
}

// Remove stops a child and forgets it, so that its name can be used again. An
// unknown name is no error.
func (g *Group) Remove(name string) {
	if p := g.Process(name); p != nil {
		p.Stop()
		g.drop(p)
	}
}

// Stop stops all children at the same time, and refuses to start more. It
// returns when all are gone. Cancel the contexts of pending starts first, or Stop
// waits for them.
func (g *Group) Stop() {
	g.mu.Lock()
	g.closed = true
	children := slices.Clone(g.children)
	g.mu.Unlock()

	var wg sync.WaitGroup
	for _, p := range children {
		wg.Go(p.retire)
	}
	wg.Wait()
}

func (g *Group) drop(p *Process) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.children = slices.DeleteFunc(g.children, func(c *Process) bool { return c == p })
}
