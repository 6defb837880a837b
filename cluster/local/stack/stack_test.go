package stack

import (
	"os"
	"testing"
	"time"

	"regionpool.io/provider-regionpool/cluster/local/progress"
)

// TestStack starts the whole stack as the checkout has it, proves that its
// planes answer, and that nothing is left of it.
func TestStack(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	begin := time.Now()
	s, err := Start(t.Context(), Options{Dir: t.TempDir()}, progress.New(os.Stderr))
	if err != nil {
		t.Fatalf("Start(...): %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	t.Logf("stack ready after %s", time.Since(begin))

	ids := identities(t, s.procs)
	for _, p := range s.Processes() {
		if err := p.Healthy(t.Context()); err != nil {
			t.Errorf("%s is not healthy: %v", p.Name(), err)
		}
	}
	begin = time.Now()
	if err := s.Close(); err != nil {
		t.Errorf("s.Close(): %v", err)
	}
	t.Logf("stack stopped in %s", time.Since(begin))
	for name, id := range ids {
		if id.Alive() {
			t.Errorf("%s still runs as process %d", name, id.PID)
		}
	}
}
