// Package whatif answers what would happen if workloads grew, members died or
// nodes were added. Nothing is applied: the question is put to a copy of what a
// round of the fleet saw, and scheduler and planner decide about that copy in
// virtual time, round after round, until nothing changes any more. Between two
// rounds the copy is played: nodes that were ordered come, replicas that were
// assigned run where the member's kube-scheduler would put them, those that were
// cut end, nodes that were released go.
//
// # What is assumed
//
// A node is there after the StartSeconds of its offering, a replica on a virtual
// node runs after those of its own, one on a real node at once: how long an
// image takes is not known. A cluster that has to be made takes ClusterTime. The
// clouds deliver what is ordered, unless they are short of it now. Demand stays
// as it is, but for what is asked.
//
// # What is not played
//
// Virtual nodes of a cluster that has to be made, claims of volumes that new
// replicas would make, and reservations that end meanwhile.
package whatif

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// ClusterTime is how long a cluster that has to be made takes if none was seen
// being made there: the middle of the 5 to 20 minutes that managed clusters of the
// clouds take.
const ClusterTime = 10 * time.Minute

// DefaultHorizon is how far a question looks ahead if it does not say: longer
// than the default delays of a pool, so that what is not needed is given back.
const DefaultHorizon = 2 * time.Hour

// maxRounds bounds the work of one question. What settles does so in a few dozen
// rounds.
const maxRounds = 500

// A World is what one round of the fleet saw. A question does not change it.
type World struct {
	// Input of the round.
	Input scheduler.Input
	// Plans of the pools.
	Plans []Plan
}

// A Plan is what a round knows of the plan of a pool.
type Plan struct {
	// Input of the plan, with what its reservations bring. What a round finds is
	// not looked at: see round.Plan.
	planner.Input
	// Bare is the plan without its reservations; nil if there are none.
	Bare *fleetv1alpha1.CapacityPlan
	// Reserving are the reservations of the pool, the oldest first.
	Reserving []*round.Reservation
}

// A Question is changes that are made all at once. One without changes asks what
// happens if everything stays as it is.
type Question struct {
	// Scale workloads.
	Scale []Scale `json:"scale,omitempty"`
	// Lose members, by name: their clusters are gone for good, and take no
	// orders. It is more than silence: a member that does not answer is frozen,
	// and nothing is moved because of that alone.
	Lose []string `json:"lose,omitempty"`
	// AddNodes to members that serve.
	AddNodes []AddNodes `json:"addNodes,omitempty"`
	// Horizon is how far to look ahead. The default is DefaultHorizon.
	Horizon metav1.Duration `json:"horizon,omitzero"`
}

// Scale sets the replicas of a workload.
type Scale struct {
	// Binding of the workload: namespace/name of its ResourceBinding, or
	// namespace/name or namespace/kind/name of the workload itself.
	Binding string `json:"binding"`
	// Replicas wanted, >= 0.
	Replicas int32 `json:"replicas"`
}

// AddNodes adds nodes that are Ready at once. What they are like is said by
// exactly one of Offering, InstanceType, Like and Allocatable.
type AddNodes struct {
	// Member that gets them. It may be left out with Offering.
	Member string `json:"member,omitempty"`
	// Count of nodes, 1 to 10,000.
	Count int `json:"count"`
	// Offering of the pool, by name.
	Offering string `json:"offering,omitempty"`
	// InstanceType of a node that the member has, or of an offering of its pool.
	InstanceType string `json:"instanceType,omitempty"`
	// Like names a node of the member.
	Like string `json:"like,omitempty"`
	// Allocatable resources, with Labels and Taints.
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	Labels      map[string]string   `json:"labels,omitempty"`
	Taints      []corev1.Taint      `json:"taints,omitempty"`
}

// An Answer compares what is decided now, without the question, with what there
// is when nothing changes any more after it.
type Answer struct {
	// Placements that differ, most important first.
	Placements []Placement `json:"placements,omitempty"`
	// Unchanged is how many workloads are placed as before.
	Unchanged int `json:"unchanged"`
	// Orders of nodes, and nodes given back, by offering.
	Orders []Order `json:"orders,omitempty"`
	// Clusters that have to be made.
	Clusters []Cluster `json:"clusters,omitempty"`
	// HourlyCost of what is wanted, in the currency of the pools.
	HourlyCost Cost `json:"hourlyCost"`
	// Unplaced replicas in the end, of all workloads.
	Unplaced int32 `json:"unplaced"`
	// ReadyAfter is when the last replica that gets a place runs.
	ReadyAfter metav1.Duration `json:"readyAfter"`
	// SettledAfter is when the last thing changed: replicas came home, nodes
	// were given back.
	SettledAfter metav1.Duration `json:"settledAfter"`
	// Settled is false if the horizon came first: something may change later.
	Settled bool `json:"settled"`
	// Moments at which the numbers changed.
	Moments []Moment `json:"moments"`
}

// A Cluster that has to be made, or is being made.
type Cluster struct {
	// Name of the member.
	Name string `json:"name"`
	// ReadyAfter is when it is there. Takes is how long it takes in all, Because
	// why that is thought.
	ReadyAfter metav1.Duration `json:"readyAfter"`
	Takes      metav1.Duration `json:"takes"`
	Because    string          `json:"because"`
}

// A Placement is a workload whose replicas are placed differently.
type Placement struct {
	// Binding by ID, and its Workload as kind namespace/name.
	Binding  string `json:"binding"`
	Workload string `json:"workload"`
	Before   Placed `json:"before"`
	After    Placed `json:"after"`
	// Message of the last decision.
	Message string `json:"message"`
}

// Placed replicas of a workload.
type Placed struct {
	// Wanted replicas, and those of them that have no place.
	Wanted   int32 `json:"wanted"`
	Unplaced int32 `json:"unplaced"`
	// Members by name, with the replicas assigned.
	Members map[string]int32 `json:"members,omitempty"`
}

// An Order is what changes of an offering.
type Order struct {
	Pool     string `json:"pool"`
	Offering string `json:"offering"`
	Member   string `json:"member"`
	// Before, Peak and After are the nodes wanted: now, at most, and in the end.
	Before int32 `json:"before"`
	Peak   int32 `json:"peak"`
	After  int32 `json:"after"`
	// HourlyPrice of a node, StartSeconds until it is Ready.
	HourlyPrice  string `json:"hourlyPrice"`
	StartSeconds int32  `json:"startSeconds"`
}

// A Cost of an hour.
type Cost struct {
	Before string `json:"before"`
	Peak   string `json:"peak"`
	After  string `json:"after"`
	// Change is After less Before.
	Change string `json:"change"`
}

// A Moment is a time at which something changed.
type Moment struct {
	// After the question.
	After metav1.Duration `json:"after"`
	// Own and Cloud replicas that are assigned, Unplaced ones, and Starting ones
	// that are assigned and do not run yet.
	Own      int32 `json:"own"`
	Cloud    int32 `json:"cloud"`
	Unplaced int32 `json:"unplaced"`
	Starting int32 `json:"starting"`
	// Nodes that are rented, and what is paid an hour for all that is wanted.
	Nodes      int32  `json:"nodes"`
	HourlyCost string `json:"hourlyCost"`
}

// Ask answers a question. An error says what is wrong with the question, or that
// the context ended.
func Ask(ctx context.Context, w World, q Question) (Answer, error) {
	now, err := newPlay(ctx, w)
	if err != nil {
		return Answer{}, err
	}
	defer now.close()
	before, err := now.decide()
	if err != nil {
		return Answer{}, err
	}
	p, err := newPlay(ctx, w)
	if err != nil {
		return Answer{}, err
	}
	defer p.close()
	if err := p.change(q); err != nil {
		return Answer{}, err
	}
	t := newTally(p, before)
	end := p.begin.Add(horizon(q))
	for range maxRounds {
		o, err := p.decide()
		if err != nil {
			return Answer{}, err
		}
		changed, err := p.apply(o)
		if err != nil {
			return Answer{}, err
		}
		t.note(p, o)
		if changed {
			continue
		}
		next := p.next(o)
		if next.IsZero() {
			return t.answer(p, before, o, true), nil
		}
		if next.After(end) {
			return t.answer(p, before, o, false), nil
		}
		if err := p.advance(next); err != nil {
			return Answer{}, err
		}
	}
	return Answer{}, fmt.Errorf("no answer after %d rounds, %s ahead: it does not settle", maxRounds, p.in.Now.Sub(p.begin))
}

func horizon(q Question) time.Duration {
	if q.Horizon.Duration > 0 {
		return q.Horizon.Duration
	}
	return DefaultHorizon
}
