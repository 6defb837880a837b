package main

import (
	"context"
	"fmt"
	"time"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/test/day"
)

const (
	withoutEstimators = "karmada-1.18"
	withEstimators    = "karmada-1.18, accurate estimators"

	hoursOf = "replica-hours "
)

// simulatedDay has fleet, and then karmada-scheduler without and with accurate
// estimators, place the same services in the same region over a simulated day.
func simulatedDay(ctx context.Context, r *run) (outcome, error) {
	d, err := day.NewDay(r.seed)
	if err != nil {
		return outcome{}, err
	}
	sim, err := simulation.New()
	if err != nil {
		return outcome{}, fmt.Errorf("cannot make a simulator: %w", err)
	}
	defer sim.Close()
	told := func(who string) func(int) {
		began := time.Now()
		return func(slot int) {
			if hours := time.Duration(slot+1) * day.Slot; hours%(6*time.Hour) == 0 {
				r.log.Printf("%s: %s of the day in %s", who, hours, time.Since(began).Round(time.Second))
			}
		}
	}
	us, err := d.Ours(ctx, sim, told("ours"))
	if err != nil {
		return outcome{}, fmt.Errorf("cannot live the day with fleet: %w", err)
	}
	them := map[string]day.Result{}
	for _, name := range []string{withoutEstimators, withEstimators} {
		if them[name], err = liveWithKarmada(ctx, r, d, sim, name == withEstimators, told(name)); err != nil {
			return outcome{}, fmt.Errorf("cannot live the day with %s: %w", name, err)
		}
	}
	var out outcome
	for _, row := range []struct {
		name string
		of   func(day.Result) float64
	}{
		{"premature: " + hoursOf + "in the cloud, sent there while home had room", func(r day.Result) float64 { return r.PrematureMinutes / 60 }},
		{"replicas sent so", func(r day.Result) float64 { return float64(r.Premature) }},
		{hoursOf + "in the cloud while home had room, whenever sent", func(r day.Result) float64 { return r.HomelessMinutes / 60 }},
		{"unplaced: " + hoursOf + "without a node, beyond a node's own start", func(r day.Result) float64 { return r.UnplacedMinutes / 60 }},
		{hoursOf + "without a node within that", func(r day.Result) float64 { return r.WaitingMinutes / 60 }},
		{"moves of running replicas", func(r day.Result) float64 { return float64(r.Moves) }},
		{hoursOf + "in the cloud", func(r day.Result) float64 { return r.CloudMinutes / 60 }},
		{"money for cloud nodes", func(r day.Result) float64 { return r.Cost }},
	} {
		c := ours(row.name, row.of(us))
		for name, t := range them {
			c.Rivals[name] = round(row.of(t))
		}
		out.cases = append(out.cases, c)
	}
	out.met = us.Premature == 0 && us.UnplacedMinutes == 0
	return out, nil
}
