// Package lag models eventual consistency: what a list endpoint shows of an
// object trails what was written, for some time after each write, and a deleted
// object lingers as long.
package lag

import (
	"sort"
	"sync"
	"time"
)

// A Store of published views of objects, keyed by id.
type Store[T any] struct {
	mu      sync.Mutex
	objects map[string]*object[T]
	order   int
}

type object[T any] struct {
	order    int
	versions []version[T]
}

type version[T any] struct {
	visible time.Time
	view    T
	deleted bool
}

// New returns an empty Store.
func New[T any]() *Store[T] {
	return &Store[T]{objects: map[string]*object[T]{}}
}

// Put publishes a view of an object that lists show from the supplied time on.
// Versions of one object never overtake each other.
func (s *Store[T]) Put(id string, view T, visible time.Time) {
	s.add(id, version[T]{visible: visible, view: view})
}

// Delete makes lists drop the object from the supplied time on.
func (s *Store[T]) Delete(id string, visible time.Time) {
	s.add(id, version[T]{visible: visible, deleted: true})
}

func (s *Store[T]) add(id string, v version[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[id]
	if o == nil {
		s.order++
		o = &object[T]{order: s.order}
		s.objects[id] = o
	}
	if n := len(o.versions); n > 0 && v.visible.Before(o.versions[n-1].visible) {
		v.visible = o.versions[n-1].visible
	}
	o.versions = append(o.versions, v)
}

// List returns what is visible now, in order of creation.
func (s *Store[T]) List(now time.Time) []T {
	s.mu.Lock()
	defer s.mu.Unlock()

	type row struct {
		order int
		view  T
	}
	rows := make([]row, 0, len(s.objects))
	for id, o := range s.objects {
		i := len(o.versions) - 1
		for i >= 0 && o.versions[i].visible.After(now) {
			i--
		}
		if i < 0 {
			continue
		}
		o.versions = o.versions[i:]
		if o.versions[0].deleted {
			if len(o.versions) == 1 {
				delete(s.objects, id)
			}
			continue
		}
		rows = append(rows, row{order: o.order, view: o.versions[0].view})
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].order < rows[j].order })
	out := make([]T, len(rows))
	for i := range rows {
		out[i] = rows[i].view
	}
	return out
}

// Reset forgets everything.
func (s *Store[T]) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = map[string]*object[T]{}
}
