package day

import (
	"context"
	"fmt"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/simulation"
)

const (
	// step is how often what is wanted of a service changes, Slot how often that
	// of some service does: not all change at the same moment.
	step = 30 * time.Minute
	Slot = 5 * time.Minute
	// count of services.
	count = 200
	// homeNodes of each self-built member. Together they run what is wanted at
	// night and in most of the day, and two thirds of it in the evening.
	homeNodes = 25
	// Price of a cloud node an hour, and the most nodes that are rented.
	Price    = 0.8
	MaxNodes = 120

	// The members, and the offering of the cloud.
	CloudMember  = "cloud"
	offeringName = "cloud-16"
)

// HomeMembers are self-built.
var HomeMembers = []string{"idc-a", "idc-b"}

// Begin of a day.
var Begin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// A Day is a workload and the region that it runs in, the same for the same seed.
type Day struct {
	Services []*Service
	// Slots of the day.
	Slots    int
	Offering fleetv1alpha1.Offering
	// Set changes how fleet is set before it lives the day; nil for its defaults.
	Set func(*Fleet)
}

// NewDay returns a day.
func NewDay(seed uint64) (*Day, error) {
	s, err := Services(seed, count, step)
	if err != nil {
		return nil, err
	}
	return &Day{Services: s, Slots: int(24 * time.Hour / Slot), Offering: NewOffering(offeringName, CloudMember, "15500m", "60Gi", fmt.Sprint(Price), MaxNodes)}, nil
}

// World of the day at its beginning: nothing runs, and nothing is rented.
func (d *Day) World(s simulation.Simulator) *World {
	w := NewWorld(Begin, DefaultDelays, s)
	for _, name := range HomeMembers {
		w.AddMember(name, false, homeNodes, Allocatable("31500m", "120Gi"))
	}
	w.AddMember(CloudMember, true, 0, nil)
	for _, s := range d.Services {
		w.AddService(s)
	}
	return w
}

// Wanted replicas of the services in a slot.
func (d *Day) Wanted(slot int) []int32 {
	each := int(step / Slot)
	out := make([]int32, 0, len(d.Services))
	for i, s := range d.Services {
		out = append(out, s.At(max(0, slot-i%each)/each))
	}
	return out
}

// A Result is what a day was like.
type Result struct {
	Tally
	// Cost of the nodes, in the currency of Price.
	Cost float64
}

// Ours lives the day with fleet. Told is called after each slot.
func (d *Day) Ours(ctx context.Context, s simulation.Simulator, told func(slot int)) (Result, error) {
	w := d.World(s)
	f := NewFleet(w, d.Services, d.Offering)
	if d.Set != nil {
		d.Set(f)
	}
	t := NewTally(w, d.Services)
	for slot := range d.Slots {
		wanted := d.Wanted(slot)
		for i, b := range f.Bindings {
			b.Replicas = wanted[i]
		}
		f.next = w.Now
		look := func(lasts time.Duration) error { return t.Look(ctx, wanted, lasts) }
		if err := f.Run(ctx, Begin.Add(time.Duration(slot+1)*Slot), look); err != nil {
			return Result{}, err
		}
		told(slot)
	}
	return Result{Tally: *t, Cost: w.NodeHours() * Price}, nil
}

// A Placer says in which members replicas shall run.
type Placer interface {
	// Place returns the replicas of each service by member, given what the
	// members show and how many replicas are wanted. Not all need have a place.
	Place(ctx context.Context, w *World, wanted []int32) ([]map[string]int32, error)
}

// retries are when a placer is asked again about replicas that it gave no place,
// after the beginning of a slot: when pods that left are gone, and when nodes have
// come.
var retries = []time.Duration{40 * time.Second, 150 * time.Second}

// Theirs lives the day with another placer, and an autoscaler for its cloud nodes.
func (d *Day) Theirs(ctx context.Context, s simulation.Simulator, p Placer, told func(slot int)) (Result, error) {
	w := d.World(s)
	a := &autoscaler{world: w, member: w.Member(CloudMember), offering: &d.Offering, idle: map[string]time.Time{}}
	t := NewTally(w, d.Services)
	for slot := range d.Slots {
		wanted := d.Wanted(slot)
		look := func(lasts time.Duration) error { return t.Look(ctx, wanted, lasts) }
		all := false
		place := func() error {
			places, err := p.Place(ctx, w, wanted)
			if err != nil {
				return fmt.Errorf("cannot place in slot %d: %w", slot, err)
			}
			all = true
			for i, s := range d.Services {
				sum := int32(0)
				for _, m := range w.Members {
					w.Tell(m.Name, s.Name, places[i][m.Name])
					sum += places[i][m.Name]
				}
				all = all && sum == wanted[i]
			}
			return nil
		}
		if err := place(); err != nil {
			return Result{}, err
		}
		begin := w.Now
		for _, after := range retries {
			if err := a.run(ctx, begin.Add(after), look); err != nil {
				return Result{}, err
			}
			if all {
				continue
			}
			if err := place(); err != nil {
				return Result{}, err
			}
		}
		if err := a.run(ctx, begin.Add(Slot), look); err != nil {
			return Result{}, err
		}
		told(slot)
	}
	return Result{Tally: *t, Cost: w.NodeHours() * Price}, nil
}
