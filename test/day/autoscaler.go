package day

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// An autoscaler is a plain one for a rented member, by the rules and the defaults
// of cluster-autoscaler: every ten seconds (--scan-interval) it orders as many
// nodes as the pods that wait need, by simulation, and gives back nodes that have
// been empty for ten minutes (--scale-down-unneeded-time).
type autoscaler struct {
	world    *World
	member   *Member
	offering *fleetv1alpha1.Offering

	idle map[string]time.Time
	next time.Time
}

const (
	scanInterval = 10 * time.Second
	unneededTime = 10 * time.Minute
)

// scan the member once.
func (a *autoscaler) scan(ctx context.Context) error {
	m := a.member
	for _, name := range m.Nodes() {
		if m.load(name) > 0 {
			delete(a.idle, name)
			continue
		}
		since, ok := a.idle[name]
		if !ok {
			a.idle[name] = a.world.Now
		} else if a.world.Now.Sub(since) >= unneededTime && m.GiveBack(name) {
			delete(a.idle, name)
		}
	}
	fork := m.truth().Fork()
	exist, coming := m.Ordered(a.offering.Name)
	for i := range coming {
		if err := a.add(fork, fmt.Sprintf("coming-%d", i)); err != nil {
			return err
		}
	}
	more := 0
	for _, s := range slices.Sorted(maps.Keys(m.pods)) {
		var waiting []*pod
		for _, p := range m.pods[s] {
			if p.Spec.NodeName == "" && p.DeletionTimestamp == nil {
				waiting = append(waiting, p)
			}
		}
		for left := len(waiting); left > 0; {
			res, err := a.world.sim.Place(ctx, fork, waiting[0].Pod, left)
			if err != nil {
				return fmt.Errorf("cannot scale for %s: %w", s, err)
			}
			if left -= res.Placed; left == 0 {
				break
			}
			if exist+coming+more >= int(a.offering.Max) {
				break
			}
			if err := a.add(fork, fmt.Sprintf("more-%d", more)); err != nil {
				return err
			}
			more++
		}
	}
	a.world.Order(m, a.offering, more)
	return nil
}

func (a *autoscaler) add(f *snapshot.Fork, name string) error {
	n := newNode(name, a.offering.Allocatable, a.world.Now)
	if err := f.AddNode(n); err != nil {
		return fmt.Errorf("cannot think of one more node: %w", err)
	}
	return nil
}

// run the world until a moment. Look is called whenever time is about to pass,
// with how long nothing will change.
func (a *autoscaler) run(ctx context.Context, until time.Time, look func(time.Duration) error) error {
	w := a.world
	for w.Now.Before(until) {
		if _, err := w.Settle(ctx); err != nil {
			return err
		}
		if !a.next.After(w.Now) {
			if err := a.scan(ctx); err != nil {
				return err
			}
			a.next = w.Now.Add(scanInterval)
		}
		to := until
		for _, t := range []time.Time{w.Next(), a.next} {
			if !t.IsZero() && t.Before(to) {
				to = t
			}
		}
		if err := look(to.Sub(w.Now)); err != nil {
			return err
		}
		w.Advance(to)
	}
	return nil
}
