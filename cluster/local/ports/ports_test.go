package ports

import (
	"net"
	"strconv"
	"testing"
)

func TestReserve(t *testing.T) {
	const n = 50
	got, err := ReserveN(n)
	if err != nil {
		t.Fatalf("ReserveN(%d): %v", n, err)
	}
	t.Cleanup(func() { Release(got...) })
	seen := map[int]bool{}
	for _, p := range got {
		if seen[p] {
			t.Errorf("ReserveN(%d): port %d was given twice", n, p)
		}
		seen[p] = true
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			t.Errorf("net.Listen(%d): %v", p, err)
			continue
		}
		_ = l.Close()
	}
}
