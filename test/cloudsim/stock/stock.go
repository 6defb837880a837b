// Package stock counts the instances a simulated cloud has left to sell, by
// region, zone, instance type and charge, and knows how their prices have moved.
// The capacity of virtual nodes is a type of its own, counted in vCPU.
package stock

import (
	"sync"
)

// A Key names one shelf.
type Key struct {
	Region string `json:"region"`
	Zone   string `json:"zone"`
	Type   string `json:"type"`
	// Spot or on-demand.
	Spot bool `json:"spot,omitempty"`
}

// An Item is what is left on a shelf.
type Item struct {
	Key `json:",inline"`
	// Count of instances left. A negative count means the type is not sold in
	// the zone.
	Count int `json:"count"`
}

// A Stock of instances.
type Stock struct {
	mu      sync.Mutex
	counts  map[Key]int
	initial map[Key]int
	changed []func()
}

// New returns a Stock with the supplied counts. Keys that are not in it are not
// sold.
func New(counts map[Key]int) *Stock {
	s := &Stock{initial: map[Key]int{}}
	for k, n := range counts {
		s.initial[k] = n
	}
	s.Reset()
	return s
}

// Sold reports whether the zone sells the type at all.
func (s *Stock) Sold(k Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.counts[k]
	return ok && n >= 0
}

// Take removes one instance from the shelf and reports whether there was one.
func (s *Stock) Take(k Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[k] <= 0 {
		return false
	}
	s.counts[k]--
	return true
}

// TakeN removes n from the shelf and reports whether there were as many.
func (s *Stock) TakeN(k Key, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[k] < n {
		return false
	}
	s.counts[k] -= n
	return true
}

// Return puts a released instance back.
func (s *Stock) Return(k Key) { s.ReturnN(k, 1) }

// ReturnN puts n back.
func (s *Stock) ReturnN(k Key, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.counts[k]; ok && have >= 0 {
		s.counts[k] = have + n
	}
}

// Count returns what is left on a shelf, below 0 if it is not on sale.
func (s *Stock) Count(k Key) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.counts[k]; ok {
		return n
	}
	return -1
}

// Set the counts of all shelves that match the item's region, zone and type,
// where an empty field matches every shelf. It returns how many matched; a
// shelf that is named in full is made if it does not exist.
func (s *Stock) Set(it Item) int {
	s.mu.Lock()
	matched := 0
	for k := range s.counts {
		if k.Spot == it.Spot && (it.Region == "" || it.Region == k.Region) && (it.Zone == "" || it.Zone == k.Zone) && (it.Type == "" || it.Type == k.Type) {
			s.counts[k] = it.Count
			matched++
		}
	}
	if matched == 0 && it.Region != "" && it.Zone != "" && it.Type != "" {
		s.counts[it.Key] = it.Count
		matched = 1
	}
	notify := append([]func(){}, s.changed...)
	s.mu.Unlock()
	for _, f := range notify {
		f()
	}
	return matched
}

// OnChange calls f after each Set, so that those who wait for stock try again.
func (s *Stock) OnChange(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = append(s.changed, f)
}

// List returns all shelves, in no particular order.
func (s *Stock) List() []Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Item, 0, len(s.counts))
	for k, n := range s.counts {
		out = append(out, Item{Key: k, Count: n})
	}
	return out
}

// Reset restores the counts New was given.
func (s *Stock) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts = map[Key]int{}
	for k, n := range s.initial {
		s.counts[k] = n
	}
}
