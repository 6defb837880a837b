package day

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A Tally judges how workloads were placed over a day. It looks only at the
// world, and so judges whoever places them by the same rules.
type Tally struct {
	// PrematureMinutes are replica-minutes in the cloud of replicas for which a
	// self-built member's kube-scheduler, as the simulation knows it, had room
	// at the moment at which they were sent to the cloud.
	PrematureMinutes float64
	// Premature replicas, each counted once.
	Premature int32
	// HomelessMinutes are replica-minutes in the cloud while the self-built
	// members had room for them, whatever was the case when they were sent: what
	// an ideal scheduler that moves at once, and at no cost, would save.
	HomelessMinutes float64
	// UnplacedMinutes are replica-minutes without a node, beyond the time that
	// a node takes from its order until it is Ready, and a minute.
	UnplacedMinutes float64
	// WaitingMinutes are those within that time.
	WaitingMinutes float64
	// CloudMinutes are all replica-minutes in the cloud.
	CloudMinutes float64
	// Moves of replicas: Ready pods that were deleted in one member while as
	// many as before were wanted.
	Moves int32

	world    *World
	services []*Service
	states   []tallied
}

// tallied is what is known of a service.
type tallied struct {
	cloud, early int32
	// deficits that last, the oldest first.
	deficits []deficit
	// met is the smaller of what was wanted and what there was; credit is how
	// many pods may be cut because fewer are wanted.
	met, credit int32
	// cut and cutWaiting pods so far.
	cut, cutWaiting int32
}

type deficit struct {
	since time.Time
	n     int32
}

// NewTally returns a tally of the services of a world.
func NewTally(w *World, services []*Service) *Tally {
	return &Tally{world: w, services: services, states: make([]tallied, len(services))}
}

// Look at the world, in which nothing will change for a while, and at what is
// wanted of each service. An error says that the context ended.
func (t *Tally) Look(ctx context.Context, wanted []int32, lasts time.Duration) error {
	var grown []sent
	var there []sent
	for i, s := range t.services {
		st := &t.states[i]
		placed, pods, cloud, cut, cutWaiting := int32(0), int32(0), int32(0), int32(0), int32(0)
		for _, m := range t.world.Members {
			all, on, _ := m.Count(s.Name)
			pods += all
			placed += on
			if m.Elastic {
				cloud += all
			}
			cut += m.cut[s.Name]
			cutWaiting += m.cutWaiting[s.Name]
		}
		t.countMoves(st, min(wanted[i], pods), cut, cutWaiting)
		t.countDeficit(st, max(0, wanted[i]-placed), lasts)
		if cloud > st.cloud {
			grown = append(grown, sent{i, cloud - st.cloud})
		}
		if cloud > 0 {
			there = append(there, sent{i, cloud})
		}
		st.cloud = cloud
		st.early = min(st.early, cloud)
	}
	early, err := t.fitHome(ctx, grown)
	if err != nil {
		return err
	}
	for i, n := range early {
		t.states[i].early += n
		t.Premature += n
	}
	fit, err := t.fitHome(ctx, there)
	if err != nil {
		return err
	}
	minutes := lasts.Minutes()
	for i := range t.states {
		t.PrematureMinutes += float64(t.states[i].early) * minutes
		t.CloudMinutes += float64(t.states[i].cloud) * minutes
		t.HomelessMinutes += float64(fit[i]) * minutes
	}
	return nil
}

// countMoves counts cuts that no fall of what is wanted explains.
func (t *Tally) countMoves(st *tallied, met, cut, cutWaiting int32) {
	st.credit += max(0, st.met-met)
	st.met = met
	running, waiting := cut-st.cut, cutWaiting-st.cutWaiting
	st.cut, st.cutWaiting = cut, cutWaiting
	st.credit -= min(st.credit, waiting)
	explained := min(st.credit, running)
	st.credit -= explained
	t.Moves += running - explained
}

// countDeficit counts replicas without a place, by how long each has had none.
func (t *Tally) countDeficit(st *tallied, n int32, lasts time.Duration) {
	now := t.world.Now
	have := int32(0)
	for _, d := range st.deficits {
		have += d.n
	}
	if n > have {
		st.deficits = append(st.deficits, deficit{now, n - have})
	}
	for have > n {
		gone := min(have-n, st.deficits[0].n)
		st.deficits[0].n -= gone
		have -= gone
		if st.deficits[0].n == 0 {
			st.deficits = st.deficits[1:]
		}
	}
	for _, d := range st.deficits {
		due := d.since.Add(t.world.Delays.NodeStart + time.Minute)
		over := now.Add(lasts).Sub(due)
		over = max(0, min(over, lasts))
		t.UnplacedMinutes += float64(d.n) * over.Minutes()
		t.WaitingMinutes += float64(d.n) * (lasts - over).Minutes()
	}
}

// sent replicas of a service, by its index.
type sent struct {
	service int
	n       int32
}

// fitHome returns how many of the replicas the self-built members could run all
// together, the small ones first, so that it is as many as can be.
func (t *Tally) fitHome(ctx context.Context, replicas []sent) (map[int]int32, error) {
	out := map[int]int32{}
	if len(replicas) == 0 {
		return out, nil
	}
	cpu := func(s sent) int64 {
		return t.services[s.service].pod.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
	}
	slices.SortStableFunc(replicas, func(a, b sent) int { return cmp.Compare(cpu(a), cpu(b)) })
	var homes []*snapshot.Fork
	for _, m := range t.world.Members {
		if !m.Elastic {
			homes = append(homes, m.truth().Fork())
		}
	}
	for _, r := range replicas {
		for _, f := range homes {
			left := r.n - out[r.service]
			if left == 0 {
				break
			}
			res, err := t.world.sim.Place(ctx, f, t.services[r.service].pod, int(left))
			if err != nil {
				return nil, fmt.Errorf("cannot judge %s: %w", t.services[r.service].Name, err)
			}
			out[r.service] += int32(res.Placed)
		}
	}
	return out, nil
}
