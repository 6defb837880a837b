package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/test/joint"
)

// jointCases is how many cases are placed.
const jointCases = 1800

// rushRounds is how often each round over many workloads is made: the fastest
// counts, and the most replicas without a place.
const rushRounds = 3

// oneByOne is the rival: the same scheduler without its search, which places one
// binding after the other.
const oneByOne = "one by one"

// joints compares what the scheduler places with the optimum of an exhaustive
// search.
func joints(ctx context.Context, r *run) (outcome, error) {
	s, err := simulation.New()
	if err != nil {
		return outcome{}, fmt.Errorf("cannot make a simulator: %w", err)
	}
	defer s.Close()
	type sum struct {
		ratio                  float64
		n, optimal, oneOptimal int
		nowhere, oneNowhere    int64
	}
	all, worst := &sum{}, 1.0
	families := map[string]*sum{}
	for _, name := range joint.Families {
		families[name] = &sum{}
	}
	for i := range uint64(jointCases) {
		v, err := joint.Compare(ctx, r.seed<<32+i, s)
		if err != nil {
			return outcome{}, fmt.Errorf("cannot place case %d: %w", i, err)
		}
		if v.Problem != "" {
			r.log.Printf("Case %d: %s\n%s", i, v.Problem, v.Case)
		}
		ratio := v.Ratio(v.Ours)
		worst = max(worst, ratio)
		for _, t := range []*sum{all, families[v.Case.Family]} {
			t.n++
			t.ratio += ratio
			t.nowhere += v.Ours.Nowhere - v.Optimum.Nowhere
			t.oneNowhere += v.Single.Nowhere - v.Optimum.Nowhere
			if v.Optimal(v.Ours) {
				t.optimal++
			}
			if v.Optimal(v.Single) {
				t.oneOptimal++
			}
		}
	}
	with := func(name string, ours, rival float64) Case {
		return Case{Case: name, Ours: round(ours), Rivals: map[string]float64{oneByOne: round(rival)}}
	}
	cases := []Case{
		ours(fmt.Sprintf("objective over the optimum, mean of %d cases", all.n), all.ratio/float64(all.n)),
		ours("objective over the optimum, worst case", worst),
		with("share of cases that are optimal", float64(all.optimal)/float64(all.n), float64(all.oneOptimal)/float64(all.n)),
		with("replicas without a place, beyond those of the optimum", float64(all.nowhere), float64(all.oneNowhere)),
	}
	for _, name := range joint.Families {
		f := families[name]
		cases = append(cases,
			ours(fmt.Sprintf("objective over the optimum, %s (%d cases)", name, f.n), f.ratio/float64(f.n)),
			with("share that is optimal, "+name, float64(f.optimal)/float64(f.n), float64(f.oneOptimal)/float64(f.n)))
	}
	rushes, err := rush(ctx)
	return outcome{cases: append(cases, rushes...), met: all.optimal == all.n}, err
}

// rush measures rounds over many new workloads, with the settings of a fleet.
func rush(ctx context.Context) ([]Case, error) {
	var out []Case
	for _, n := range []int{200, 2000} {
		took, nowhere := map[bool]float64{}, map[bool]float64{}
		for _, together := range []bool{true, false} {
			settings := scheduler.DefaultSettings
			settings.SettleTime = 0
			if !together {
				settings.JointSteps = 0
			}
			took[together] = math.Inf(1)
			for range rushRounds {
				got, err := joint.Rush(ctx, n, settings)
				if err != nil {
					return nil, err
				}
				took[together] = min(took[together], got.Took.Seconds())
				nowhere[together] = max(nowhere[together], float64(got.Nowhere))
			}
		}
		for name, by := range map[string]map[bool]float64{"replicas without a place": nowhere, "seconds for the round": took} {
			out = append(out, Case{
				Case: fmt.Sprintf("%s, %d contended workloads", name, n), Ours: round(by[true]), Rivals: map[string]float64{oneByOne: round(by[false])},
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Case) int { return strings.Compare(a.Case, b.Case) })
	return out, nil
}
