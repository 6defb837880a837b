package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"regionpool.io/provider-regionpool/test/exact"
)

// minScenarios is how many scenarios at least are compared.
const minScenarios = 1000

// A tally of scenarios.
type tally struct{ agree, all int }

func (t *tally) add(agrees bool) {
	t.all++
	if agrees {
		t.agree++
	}
}

func (t *tally) caseOf(name string) Case {
	return ours(fmt.Sprintf("%s (%d scenarios)", name, t.all), float64(t.agree)/float64(max(1, t.all)))
}

// exactness gives random scenarios to a real kube-scheduler and to the
// simulation, and prints every one in which they do not agree.
func exactness(ctx context.Context, r *run) (outcome, error) {
	p, err := exact.Start(ctx, filepath.Join(r.dir, "exact"), r.log)
	if err != nil {
		return outcome{}, fmt.Errorf("cannot start the control plane: %w", err)
	}
	out, err := compareWorlds(ctx, r, p)
	return out, errors.Join(err, p.Close())
}

func compareWorlds(ctx context.Context, r *run, p *exact.Plane) (outcome, error) {
	var total, numbers tally
	families := map[exact.Family]*tally{}
	for _, f := range exact.Families {
		families[f] = &tally{}
	}
	worlds := uint64(0)
	for ; total.all < minScenarios; worlds++ {
		err := p.Run(ctx, exact.NewWorld(r.seed<<32+worlds), func(rep exact.Report) {
			agrees := len(rep.Problems) == 0
			total.add(agrees)
			if !rep.Batch.Ordered {
				numbers.add(agrees)
			}
			for _, f := range rep.Batch.Families {
				families[f].add(agrees)
			}
			if !agrees {
				r.log.Printf("Batch %s %q: %s", rep.Batch.Name, rep.Batch.Families, strings.Join(rep.Problems, "\n  "))
			}
		})
		if err != nil {
			return outcome{}, fmt.Errorf("cannot compare: %w", err)
		}
		if worlds%50 == 49 {
			r.log.Printf("%d of %d scenarios agree", total.agree, total.all)
		}
	}
	cases := []Case{total.caseOf("all"), numbers.caseOf("number placed does not depend on ties")}
	for _, f := range exact.Families {
		if families[f].all > 0 {
			cases = append(cases, families[f].caseOf(string(f)))
		}
	}
	return outcome{cases: cases, met: total.agree == total.all}, nil
}
