package snapshot

import (
	"fmt"
	"slices"
	"sync"
)

// A Registry is the set of members of a region, by name. It is safe for
// concurrent use.
type Registry struct {
	mu      sync.RWMutex
	members map[string]*Member
	watches map[*Watch]struct{}
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{members: map[string]*Member{}, watches: map[*Watch]struct{}{}}
}

// Add adds a member; from now on its changes wake the registry's watches. The
// caller starts and stops the member. An error says that the name is taken.
func (r *Registry) Add(m *Member) error {
	r.mu.Lock()
	if _, ok := r.members[m.Name()]; ok {
		r.mu.Unlock()
		return fmt.Errorf("there is a member %q already", m.Name())
	}
	r.members[m.Name()] = m
	r.mu.Unlock()
	m.setNotify(func() { r.notify(m.Name()) })
	r.notify(m.Name())
	return nil
}

// Remove removes a member and returns it, or nil if there is none of that name.
func (r *Registry) Remove(name string) *Member {
	r.mu.Lock()
	m := r.members[name]
	delete(r.members, name)
	r.mu.Unlock()
	if m != nil {
		m.setNotify(nil)
		r.notify(name)
	}
	return m
}

// Get returns the named member, and false if there is none.
func (r *Registry) Get(name string) (*Member, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, ok := r.members[name]
	return m, ok
}

// List returns all members, ordered by name.
func (r *Registry) List() []*Member {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*Member, 0, len(r.members))
	for _, m := range r.members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *Member) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	return out
}

func (r *Registry) notify(name string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for w := range r.watches {
		w.add(name)
	}
}

// Watch returns a watch of all members, those present and those to come. Stop
// it when it is no longer read.
func (r *Registry) Watch() *Watch {
	w := &Watch{c: make(chan struct{}, 1), names: map[string]struct{}{}, registry: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watches[w] = struct{}{}
	return w
}

// A Watch tells of members that changed, were added or were removed. Changes
// are coalesced: a slow reader sees each changed member once.
type Watch struct {
	c        chan struct{}
	registry *Registry

	mu    sync.Mutex
	names map[string]struct{}
}

// C receives a value as soon as a member changed.
func (w *Watch) C() <-chan struct{} { return w.c }

// Changed returns the names of the members that changed since the last call,
// ordered.
func (w *Watch) Changed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]string, 0, len(w.names))
	for n := range w.names {
		out = append(out, n)
	}
	clear(w.names)
	slices.Sort(out)
	return out
}

// Stop ends the watch. Its channel is not closed.
func (w *Watch) Stop() {
	w.registry.mu.Lock()
	defer w.registry.mu.Unlock()
	delete(w.registry.watches, w)
}

func (w *Watch) add(name string) {
	w.mu.Lock()
	w.names[name] = struct{}{}
	w.mu.Unlock()
	select {
	case w.c <- struct{}{}:
	default:
	}
}
