package choice

import (
	"testing"

	"regionpool.io/provider-regionpool/internal/simulation"
)

// TestChoiceIsOptimal compares the planner with the optimum.
func TestChoiceIsOptimal(t *testing.T) {
	s, err := simulation.New()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cases := uint64(1000)
	if testing.Short() {
		cases = 200
	}
	for seed := range cases {
		v, err := Compare(t.Context(), seed, s)
		if err != nil {
			t.Fatalf("Seed %d: %v", seed, err)
		}
		if v.Problem != "" {
			t.Errorf("Seed %d: %s\n%s", seed, v.Problem, v.Case)
		}
	}
}
