package main

import (
	"context"
	"fmt"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/test/choice"
)

// choiceCases is how many cases are decided.
const choiceCases = 1000

// choices compares what the planner chooses with the optimum of an exhaustive
// search.
func choices(ctx context.Context, r *run) (outcome, error) {
	s, err := simulation.New()
	if err != nil {
		return outcome{}, fmt.Errorf("cannot make a simulator: %w", err)
	}
	defer s.Close()
	type sum struct {
		ratio    float64
		n, equal int
	}
	all, worst := sum{}, 1.0
	names := []string{"nothing is scarce", "some replicas stay without a place", "spread over zones has a weight", "waiting has a weight"}
	groups := make([]sum, len(names))
	for i := range uint64(choiceCases) {
		v, err := choice.Compare(ctx, r.seed<<32+i, s)
		if err != nil {
			return outcome{}, fmt.Errorf("cannot decide case %d: %w", i, err)
		}
		equal, ratio := 1, v.Ratio()
		if v.Problem != "" {
			r.log.Printf("Case %d: %s\n%s", i, v.Problem, v.Case)
			equal = 0
		}
		group := 0
		switch {
		case v.Case.Wait > 0:
			group = 3
		case v.Case.Spread > 0:
			group = 2
		case v.Short():
			group = 1
		}
		for _, g := range []*sum{&all, &groups[group]} {
			g.ratio += ratio
			g.n++
			g.equal += equal
		}
		worst = max(worst, ratio)
	}
	cases := []Case{
		ours(fmt.Sprintf("cost over the optimum, mean of %d cases", all.n), all.ratio/float64(all.n)),
		ours("cost over the optimum, worst case", worst),
		ours("share of cases that are optimal, replicas placed included", float64(all.equal)/float64(all.n)),
	}
	for i, g := range groups {
		if g.n > 0 {
			cases = append(cases, ours(fmt.Sprintf("cost over the optimum, %s (%d cases)", names[i], g.n), g.ratio/float64(g.n)))
		}
	}
	return outcome{cases: cases, met: all.equal == all.n}, nil
}
