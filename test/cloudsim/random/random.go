// Package random gives the simulator reproducible randomness.
//
// Every draw is named by a key and numbered within it, so the sequence seen by
// one kind of decision does not depend on how other decisions interleave: two
// runs with the same seed and the same requests behave alike.
package random

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"time"
)

// A Source of named random sequences.
type Source struct {
	seed int64

	mu sync.Mutex
	n  map[string]uint64
}

// New returns a Source. Equal seeds give equal sequences.
func New(seed int64) *Source {
	return &Source{seed: seed, n: map[string]uint64{}}
}

func (s *Source) draw(key string) [32]byte {
	s.mu.Lock()
	n := s.n[key]
	s.n[key] = n + 1
	s.mu.Unlock()

	b := binary.BigEndian.AppendUint64(nil, uint64(s.seed))
	b = binary.BigEndian.AppendUint64(b, n)
	return sha256.Sum256(append(b, key...))
}

// Float returns a number in [0,1).
func (s *Source) Float(key string) float64 {
	b := s.draw(key)
	return float64(binary.BigEndian.Uint64(b[:8])>>11) / (1 << 53)
}

// Intn returns a number in [0,n).
func (s *Source) Intn(key string, n int) int {
	return int(s.Float(key) * float64(n))
}

// Between returns a duration in [lo,hi).
func (s *Source) Between(key string, lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(s.Float(key)*float64(hi-lo))
}

// Hex returns n lower-case hexadecimal digits, n at most 64.
func (s *Source) Hex(key string, n int) string {
	b := s.draw(key)
	return hex.EncodeToString(b[:])[:n]
}

// Alphanumeric returns n digits and lower-case letters, n at most 32.
func (s *Source) Alphanumeric(key string, n int) string {
	const set = "0123456789abcdefghijklmnopqrstuvwxyz"
	b := s.draw(key)
	out := make([]byte, n)
	for i := range out {
		out[i] = set[int(b[i])%len(set)]
	}
	return string(out)
}

// RequestID returns an upper-case UUID, the form of Alibaba's request ids.
func (s *Source) RequestID() string {
	h := strings.ToUpper(s.Hex("request-id", 32))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
