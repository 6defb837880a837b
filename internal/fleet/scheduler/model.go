// Package scheduler decides how many replicas of each workload run in each
// member of its pool. A round is a pure function: from bindings, member
// snapshots and the time it makes decisions, and it writes nothing.
//
// # The rules of a round
//
// Capacity is spent in this order: pods that wait in a member, replicas that
// were assigned to a member and are not seen there yet, and only then replicas
// that have no place. So no two workloads are promised the same room, and
// because everything is read from objects, a restart forgets no promise.
//
// Missing replicas fill tier by tier and what fits is placed at once. What does
// not is demand for cloud capacity, unless it fits as soon as pods that are
// about to leave are gone.
//
// Bindings that wait are placed together: first one after the other, by priority
// and age, and where that is not the best for all of them, a search for better
// follows. Weights say what is better. Inside a member the pods of a placement
// are taken to come in the order of priority and age, and to go where its
// kube-scheduler puts them then, never to where they would fit best.
//
// Excess replicas are cut from members that drain first, then from the dearest
// tier down. Ready replicas are cut only as long as enough others are Ready, so
// a move is: add (the sum is above the demand), wait until Ready, cut.
//
// A member that does not answer is frozen: what was assigned to it counts as
// running, but justifies no cut elsewhere. Once it has been silent for as long as
// the pool says, replicas that are interchangeable are replaced elsewhere; they
// stay assigned to it, and what is too many when it answers again is cut.
//
// Virtual nodes are never filled by a round: the planner grants them, and the
// replicas it granted are booked there by the tolerations that they carry in
// such members. They are cut before others, and move to real nodes of their
// member that have room.
//
// Holds keep room in elastic members for their targets. They are booked after
// what is promised already, and released for a target that fills.
package scheduler

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A MemberState says what may be done with a member.
type MemberState int

const (
	// Absent members are not in the federation: nothing can run there, and
	// what was assigned is lost.
	Absent MemberState = iota
	// Serving members take replicas.
	Serving
	// Draining members get no replicas, and theirs move elsewhere.
	Draining
	// Frozen members do not answer, or are not ours to change: what is
	// assigned there stays as it is.
	Frozen
	// Joining members do not answer yet, and nothing was ever assigned to them.
	// The scheduler treats them as Frozen; what was ordered for them is on its
	// way.
	Joining
)

// A Member is a cluster as one round sees it.
type Member struct {
	// Name of the Karmada Cluster.
	Name string
	// Tier in which it is filled, 0 first.
	Tier int32
	// Elastic members are rented.
	Elastic bool
	// Price orders members of a tier when replicas are cut: the dearer goes
	// first. Only the order counts.
	Price float64
	// State says what may be done.
	State MemberState
	// Reason of a State other than Serving, for a person.
	Reason string
	// Since is when a Frozen member was last known to answer; zero if that is
	// not known.
	Since time.Time
	// Snapshot of the member; nil if nothing is known.
	Snapshot *snapshot.Snapshot
	// Simulator of the member's kube-scheduler. Those of different members are
	// used at the same time.
	Simulator simulation.Simulator
	// Releasing nodes are about to be given back: nothing is placed on them.
	Releasing []string
}

// A Pool is the members that share workloads, and how they return home.
type Pool struct {
	// Name of the pool, which is that of its CapacityPlan.
	Name string
	// Members by name.
	Members []Member
	// StabilizationWindow, HeadroomPercent: see the CapacityPlan.
	StabilizationWindow time.Duration
	HeadroomPercent     int32
	// ReplaceAfter is how long a member must have been silent before its
	// replicas are replaced elsewhere; never if zero.
	ReplaceAfter time.Duration
	// Virtual offerings of the pool.
	Virtual []Virtual
	// Holds of active reservations.
	Holds []Hold
	// Weights by which placements of its waiting bindings are compared, each with
	// its own pool's; DefaultWeights if nil.
	Weights *Weights
}

// A Virtual is an offering of virtual nodes in a member. They are always there,
// and huge: what they take is granted by the planner, not found by simulation.
type Virtual struct {
	// Offering by name, and the Member whose nodes these are.
	Offering, Member string
	// NodeLabels by which its nodes are known in the member.
	NodeLabels map[string]string
	// Tolerations that a pod needs there.
	Tolerations []corev1.Toleration
	// Largest pod that is offered.
	Largest corev1.ResourceList
	// Moves says that replicas leave it for real nodes that have room.
	Moves bool
}

// A HeldRoom is what a hold has in one member.
type HeldRoom struct {
	// Member by name, and the Bindings that may use it, by ID.
	Member   string
	Bindings []string
	// Pods of a target, on the nodes where they have room. They may not be
	// changed.
	Pods []*corev1.Pod
}

// A Hold is room in elastic members that a reservation keeps for its targets.
type Hold struct {
	// Reservation by name.
	Reservation string
	// Bindings that may use it, by ID.
	Bindings []string
	// Template of a replica of a target.
	Template *Template
	// Count of replicas of Template still to be held, beyond what its targets
	// use in elastic members.
	Count int32
	// Prefer these members, in this order.
	Prefer []string
}

// Reported is what a member's control plane said of a workload through
// Karmada's aggregated status.
type Reported struct {
	// Ready replicas.
	Ready int32
	// Succeeded pods of a Job: they are not seen in a snapshot any more.
	Succeeded int32
	// Finished Jobs have completed or failed, and make no more pods.
	Finished bool
}

// A Binding is a workload that wants replicas somewhere.
type Binding struct {
	// ID is namespace/name of a ResourceBinding, /name of a
	// ClusterResourceBinding.
	ID string
	// Pool it belongs to.
	Pool string
	// Workload whose pods these are.
	Workload snapshot.WorkloadKey
	// Divided bindings have replicas; others go whole to every member.
	Divided bool
	// Movable workloads may have replicas moved between members. Jobs may not:
	// a running pod's work would be lost.
	Movable bool
	// Gang says that the whole workload is one replica, which is in one member
	// or nowhere. It is placed anew only as long as it has not run as a whole.
	Gang bool
	// Together says that the first replicas start all at once, wherever they
	// are, or not at all. If each is a group of pods, they are the slices of a
	// gang: they are in one member if one has room for all of them, and until all
	// have run they are placed anew together.
	Together bool
	// Priority and Created order bindings: higher, then older first.
	Priority int32
	Created  time.Time
	// Replicas wanted.
	Replicas int32
	// Assigned replicas by member: spec.clusters.
	Assigned map[string]int32
	// Template of one replica. Nil if Problem says why there is none.
	Template *Template
	Problem  string
	// Refused members get no new replicas, with reasons: the placement does
	// not select them, a taint, an eviction task, an API they do not have.
	Refused map[string]string
	// Reported status by member.
	Reported map[string]Reported
	// State that an earlier round asked to keep.
	State State
	// LastScheduled is when the assignment last changed.
	LastScheduled time.Time
	// Held bindings keep what they have: their scheduling is suspended.
	Held bool
	// Rebalance is set if a person asked for it: replicas return home without
	// waiting for the window.
	Rebalance bool
	// Tolerates has the members in which the replicas tolerate the virtual
	// nodes of the pool: what runs there is the template's Tolerant variant.
	Tolerates map[string]bool
	// StaysHome is not empty if the binding may not leave the self-built
	// members, and says why.
	StaysHome string
}

// State is what a round must know of earlier ones. It is kept with the binding,
// so that it survives a restart, and changes only at transitions.
type State struct {
	// RoomSince is since when the self-built members have had room for
	// replicas that run in the cloud, without a break.
	RoomSince *time.Time `json:"roomSince,omitempty"`
	// Room is the smallest number of replicas there was room for since then.
	Room int32 `json:"room,omitempty"`
	// GrownSince and Grown are the same for room that became free later: Grown
	// is more than Room.
	GrownSince *time.Time `json:"grownSince,omitempty"`
	Grown      int32      `json:"grown,omitempty"`
	// ExcessSince is since when more replicas are assigned than wanted,
	// waiting for substitutes to become Ready.
	ExcessSince *time.Time `json:"excessSince,omitempty"`
	// NotBefore is when replicas may return home again after a move that was
	// undone.
	NotBefore *time.Time `json:"notBefore,omitempty"`
	// SettlingSince is since when replicas that would go to the cloud wait for
	// what is on its way to the self-built members.
	SettlingSince *time.Time `json:"settlingSince,omitempty"`
	// ToNodes says that the excess is substitutes for replicas on virtual
	// nodes.
	ToNodes bool `json:"toNodes,omitempty"`
	// Whole says that all pods of a gang have had a node at the same time.
	Whole bool `json:"whole,omitempty"`
	// Why some replicas are in the cloud: what limited other members when they
	// were placed.
	Why string `json:"why,omitempty"`
}

// IsZero reports whether there is nothing to remember.
func (s State) IsZero() bool {
	return s.Equal(State{})
}

// Equal compares two states.
func (s State) Equal(o State) bool {
	return same(s.RoomSince, o.RoomSince) && s.Room == o.Room && same(s.GrownSince, o.GrownSince) && s.Grown == o.Grown && same(s.ExcessSince, o.ExcessSince) && same(s.SettlingSince, o.SettlingSince) && same(s.NotBefore, o.NotBefore) && s.ToNodes == o.ToNodes && s.Whole == o.Whole && s.Why == o.Why
}

func same(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// Settings of the rounds.
type Settings struct {
	// StuckAfter is how long a member's kube-scheduler must have said that a
	// pod is unschedulable, and the simulation agree, before its replica is
	// placed anew.
	StuckAfter time.Duration
	// MoveTimeout is how long substitutes may take to become Ready before the
	// move is undone.
	MoveTimeout time.Duration
	// LeaveGrace is how long room held by replicas that were cut, but are
	// still running, counts as about to be free.
	LeaveGrace time.Duration
	// StepPercent of a workload's replicas move home at a time, at least one.
	StepPercent int32
	// OutageGrace is how long a self-built member must have been silent before
	// capacity is ordered for replicas that could run there.
	OutageGrace time.Duration
	// SettleTime is how long replicas wait before they go to the cloud, as long
	// as a self-built member has room for them that only pods on their way will
	// take. Nobody waits if it is zero.
	SettleTime time.Duration
	// JointTime and JointSteps bound the search for a better placement of one
	// batch of waiting bindings than binding by binding: the time it takes, zero
	// for no bound, and the placements that are tried, zero for no search. If
	// replicas have no place it may take five times as long as placing binding by
	// binding did, if that is longer. With a bound on time the
	// outcome of a round depends on the machine too.
	JointTime  time.Duration
	JointSteps int
}

// Weights of the one function by which two placements of the bindings that wait
// are compared. A placement that leaves fewer replicas of a higher priority
// without a place is better whatever the rest costs; what remains is a sum, and
// the lowest is best. Weights are not negative. The defaults put the terms in
// order: a hundred times the next one.
//
// Replicas that have a place are no term. They keep it: they move only when
// their member drains, or home.
type Weights struct {
	// Unplaced is for each replica of the lowest priority that waits in the
	// batch, and runs nowhere. Those of higher priorities come before any sum.
	Unplaced int64
	// Moving is for each running replica whose member drains, and for which
	// there is no substitute: it runs on, but it can not move.
	Moving int64
	// Cloud is for each core and each tier that a replica is away from tier 0.
	// 4 GiB of memory count as a core, as in the general instance types of the
	// clouds, and a device, such as a GPU, as ten; a replica is the most of its
	// cores, its memory and its devices, and at least a tenth.
	Cloud int64
	// Spread is for each replica in the member that has most of a workload whose
	// template spreads its pods over zones or regions.
	Spread int64
	// Hole is for each node with free devices that gets replicas that need none.
	Hole int64
}

// DefaultWeights are those of the schema of a CapacityPlan.
var DefaultWeights = Weights{Unplaced: 100_000_000, Moving: 1_000_000, Cloud: 10_000, Spread: 100, Hole: 1}

// DefaultSettings are the settings for real clusters. StepPercent is
// Deployment's own default for maxSurge.
var DefaultSettings = Settings{
	StuckAfter:  10 * time.Second,
	MoveTimeout: 10 * time.Minute,
	LeaveGrace:  30 * time.Second,
	StepPercent: 25,
	OutageGrace: 20 * time.Second,
	SettleTime:  2 * time.Second,
	JointTime:   50 * time.Millisecond,
	JointSteps:  50_000,
}

// Input of a round.
type Input struct {
	Now      time.Time
	Pools    []Pool
	Bindings []Binding
	Settings Settings
}

// A Target is a number of replicas in a member.
type Target struct {
	Member   string
	Replicas int32
}

// A Demand is replicas that have no place, and would run on cloud capacity.
type Demand struct {
	// Binding is the ID of the binding, Pool its pool. Binding is empty if
	// Reservation is set.
	Binding, Pool string
	// Workload whose replicas these are.
	Workload snapshot.WorkloadKey
	// Reservation that wants room held, by name.
	Reservation string
	// Prefer these members, in this order, whatever they cost.
	Prefer []string
	// Template of one replica.
	Template *Template
	// Count of replicas, > 0.
	Count int32
	// Refused members, as in the binding.
	Refused map[string]string
	// Tolerates has the members whose virtual nodes its replicas may use: in
	// others a grant would not run.
	Tolerates map[string]bool
	// Grounded replicas are not granted on virtual nodes: they are groups of
	// pods, or start together with others that fit elsewhere.
	Grounded bool
	// Together says that nothing should be ordered, or kept, for a part of the
	// replicas: they start all at once. Those that have room on rented nodes are
	// counted too, for else others would get it, or the nodes be given back.
	Together bool
	// Outage is not empty if a self-built member became silent a moment ago:
	// nothing more should be ordered for the demand before it is known whether
	// the member comes back.
	Outage string
}

// VirtualReplicas are replicas of a workload that run on virtual nodes of a
// member, and may move to real ones.
type VirtualReplicas struct {
	// Binding, by ID, and its pool.
	Binding, Pool string
	// Member and Offering of the virtual nodes.
	Member, Offering string
	// Template of one replica.
	Template *Template
	// Count of replicas, > 0.
	Count int32
	// Refused members, as in the binding.
	Refused map[string]string
}

// A Decision is what a round decided about a binding.
type Decision struct {
	// Binding is the ID of the binding.
	Binding string
	// Targets by member name. Members with no replicas are not in it, unless
	// the binding is not divided.
	Targets []Target
	// Changed says that Targets differ from what is assigned.
	Changed bool
	// State to keep.
	State State
	// Pending replicas are assigned nowhere. Waiting of them fit as soon as
	// pods that are leaving are gone, and Settling ones have a place in the
	// cloud, but wait for what is on its way to the self-built members.
	Pending, Waiting, Settling int32
	// Unmet replicas need capacity that is not there: the rest of Pending, and
	// substitutes of replicas on members that leave.
	Unmet int32
	// Own and Cloud replicas assigned.
	Own, Cloud int32
	// Virtual replicas by member: assigned there, and on virtual nodes or not
	// seen yet and bound for them.
	Virtual map[string]int32
	// Moving replicas were added and wait for Ready, or are still to be cut.
	Moving int32
	// Replaced replicas are assigned to members that have been silent for as
	// long as the pool says, and count no more.
	Replaced int32
	// Returning says that replicas are on their way home.
	Returning bool
	// Return says what has to be so for replicas in the cloud to move home.
	Return string
	// Message for a person: what is placed where, what is not and why.
	Message string
	// Notes say what happened in this round besides: replicas lost, taken back,
	// moves undone.
	Notes []string
	// Blocked says what keeps a draining member from becoming empty.
	Blocked string
	// Outage as in the demand.
	Outage string
	// Refusals has for each member that was considered and took less than was
	// asked the reason that its kube-scheduler would give.
	Refusals map[string]string
}

// Output of a round.
type Output struct {
	// Decisions for all bindings that are not held, in the order in which they were made.
	Decisions []Decision
	// Demands that the members cannot meet, in the same order.
	Demands []Demand
	// OnVirtual are the replicas that run on virtual nodes and may move.
	OnVirtual []VirtualReplicas
	// Held and Missing replicas by reservation: those for which room is held,
	// and those for which there is none.
	Held, Missing map[string]int32
	// HeldRooms are where it is held.
	HeldRooms []HeldRoom
	// Forks of the members' snapshots with everything on them that was
	// promised. Those of self-built members also hold replicas that could
	// return home.
	Forks map[string]*snapshot.Fork
	// Next is when time alone changes something; zero if it does not.
	Next time.Time
}
