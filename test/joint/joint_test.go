package joint

import (
	"testing"

	"regionpool.io/provider-regionpool/internal/simulation"
)

// TestPlacementIsOptimal compares the scheduler with the optimum.
func TestPlacementIsOptimal(t *testing.T) {
	s, err := simulation.New()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cases, harder := uint64(180), 0
	if testing.Short() {
		cases = 45
	}
	for seed := range cases {
		v, err := Compare(t.Context(), seed, s)
		if err != nil {
			t.Fatalf("Seed %d: %v", seed, err)
		}
		if v.Problem != "" {
			t.Errorf("Seed %d: %s\n%s", seed, v.Problem, v.Case)
		}
		if !v.Optimal(v.Single) {
			harder++
		}
	}
	if harder < int(cases)/50 {
		t.Errorf("Binding by binding is optimal in all but %d of %d cases: they are too easy", harder, cases)
	}
}
