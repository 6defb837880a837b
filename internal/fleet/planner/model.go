// Package planner turns replicas that have no place into nodes to order, and
// nodes that nobody needs into nodes to give back. Like the scheduler's, a plan
// is a pure function: from the demand, the members and the time it makes the
// status of a CapacityPlan, and it writes nothing.
//
// # The rules of a plan
//
// Capacity that is on its way is promised once: nodes that exist and are not
// Ready yet, nodes that were ordered and are not seen yet, and nodes that were
// to be released but are still there, take demand before anything is ordered.
//
// What remains is packed onto new nodes, so that as many replicas as possible
// have a place, the most important first, and the cost of Weights is lowest:
// what is left free on the nodes and the control plane of a new cluster count
// too. Replicas that look only at the node they run on are packed together,
// exactly where the numbers are small (see package choice); replicas with an
// eye on other pods, zones, ports or volumes are simulated one workload after
// the other, each onto the offering that costs least for a replica. Limits are
// hard: nodes that are leaving count until they are gone.
//
// Replicas without a place start on virtual nodes at once, within the limits of
// the offering and of the pool. Nodes are ordered for them, as for those that
// run there already, where that saves a tenth at least: otherwise they stay.
//
// An offering that the cloud cannot deliver is not ordered for a while that
// doubles each time; what was ordered of it and has not come is withdrawn, and
// ordered elsewhere in the same plan.
//
// A node that carries no load is released after its delay, an order that never
// arrived is withdrawn, a cluster without nodes and demand is let go. When a
// delay began is kept in the Memory, which survives a restart.
package planner

import (
	"maps"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A Member is a cluster as the planner sees it.
type Member struct {
	// State as in the scheduler's round. A Frozen member keeps what was wanted
	// of it and promises nothing.
	State scheduler.MemberState
	// Snapshot is what the member really has; nil if nothing is known.
	Snapshot *snapshot.Snapshot
	// Fork is the snapshot with everything on it that the round promised.
	Fork *snapshot.Fork
	// Simulator of the member's kube-scheduler.
	Simulator simulation.Simulator
	// Replicas assigned to the member.
	Replicas int32
}

// Settings of the planner.
type Settings struct {
	// Arrival is how long a node that was ordered may take to be seen in a
	// member, and to become Ready, before it stops to count as promised and
	// another offering is tried.
	Arrival time.Duration
	// Build is the same for members that do not exist yet: their cluster has
	// to be made first.
	Build time.Duration
	// Avoid is for how long an offering that did not deliver is not ordered.
	Avoid time.Duration
	// NodesEnd is how long ordered nodes count against the limits after their
	// order was withdrawn.
	NodesEnd time.Duration
	// ClusterEnds is how long a released cluster counts after it has left the
	// federation. Both are used only where the host does not say what exists.
	ClusterEnds time.Duration
	// Shortage is for how long an offering that the cloud could not deliver is
	// not ordered. It doubles each time, up to ShortageMax.
	Shortage, ShortageMax time.Duration
}

// DefaultSettings are the settings for real clouds, whose clusters take 5 to 20
// minutes and nodes 1 to 2. ACK deletes a node pool and a cluster in up to 13
// minutes.
var DefaultSettings = Settings{Arrival: 10 * time.Minute, Build: 45 * time.Minute, Avoid: 15 * time.Minute, NodesEnd: 2 * time.Minute, ClusterEnds: 15 * time.Minute, Shortage: 3 * time.Minute, ShortageMax: time.Hour}

// Memory is what a plan must know of earlier ones, besides its status. It
// changes only at transitions.
type Memory struct {
	// Idle says since when a node has carried no load, by member/node.
	Idle map[string]time.Time `json:"idle,omitempty"`
	// Orders that are on their way, by offering.
	Orders map[string]Order `json:"orders,omitempty"`
	// Surplus says since when ordered nodes have not been needed, by offering.
	Surplus map[string]time.Time `json:"surplus,omitempty"`
	// Avoid says until when an offering is not ordered.
	Avoid map[string]time.Time `json:"avoid,omitempty"`
	// Unused says since when an elastic member has had nothing to do.
	Unused map[string]time.Time `json:"unused,omitempty"`
	// Lessons are what real nodes taught about an offering.
	Lessons map[string]Lesson `json:"lessons,omitempty"`
	// Withdrawn orders that may still be billed, by offering.
	Withdrawn map[string]Withdrawal `json:"withdrawn,omitempty"`
	// Clusters says until when an elastic member that was released counts
	// against the limits; zero while it exists.
	Clusters map[string]time.Time `json:"clusters,omitempty"`
	// Strikes are the shortages of offerings.
	Strikes map[string]Strike `json:"strikes,omitempty"`
	// Spending is what reservations have cost, by reservation.
	Spending map[string]Spending `json:"spending,omitempty"`
	// Building says since when elastic members are being made.
	Building map[string]time.Time `json:"building,omitempty"`
	// Built has the cluster that was made last, by Place.
	Built map[string]Built `json:"built,omitempty"`
}

// An Order is nodes that are on their way.
type Order struct {
	// Count of nodes.
	Count int32 `json:"count"`
	// Since is when the first of them was ordered, the last node arrived, or
	// the member came to exist. Ordering more does not put it off: an offering
	// that delivers nothing would be waited for as long as demand grows.
	Since time.Time `json:"since"`
	// Built says that the member existed then.
	Built bool `json:"built,omitempty"`
}

func (m Memory) clone() Memory {
	out := Memory{
		Idle: maps.Clone(m.Idle), Orders: maps.Clone(m.Orders), Surplus: maps.Clone(m.Surplus), Avoid: maps.Clone(m.Avoid), Unused: maps.Clone(m.Unused), Lessons: maps.Clone(m.Lessons),
		Withdrawn: maps.Clone(m.Withdrawn), Clusters: maps.Clone(m.Clusters), Strikes: maps.Clone(m.Strikes), Spending: maps.Clone(m.Spending),
		Building: maps.Clone(m.Building), Built: maps.Clone(m.Built),
	}
	for _, p := range []*map[string]time.Time{&out.Idle, &out.Surplus, &out.Avoid, &out.Unused, &out.Clusters, &out.Building} {
		if *p == nil {
			*p = map[string]time.Time{}
		}
	}
	if out.Orders == nil {
		out.Orders = map[string]Order{}
	}
	if out.Lessons == nil {
		out.Lessons = map[string]Lesson{}
	}
	if out.Withdrawn == nil {
		out.Withdrawn = map[string]Withdrawal{}
	}
	if out.Strikes == nil {
		out.Strikes = map[string]Strike{}
	}
	if out.Built == nil {
		out.Built = map[string]Built{}
	}
	if out.Spending == nil {
		out.Spending = map[string]Spending{}
	}
	return out
}

// Equal compares two memories.
func (m Memory) Equal(o Memory) bool {
	eq := func(a, b time.Time) bool { return a.Equal(b) }
	return maps.EqualFunc(m.Idle, o.Idle, eq) && maps.EqualFunc(m.Surplus, o.Surplus, eq) &&
		maps.EqualFunc(m.Avoid, o.Avoid, eq) && maps.EqualFunc(m.Unused, o.Unused, eq) &&
		maps.EqualFunc(m.Lessons, o.Lessons, Lesson.equal) && maps.EqualFunc(m.Clusters, o.Clusters, eq) &&
		maps.EqualFunc(m.Building, o.Building, eq) && maps.EqualFunc(m.Built, o.Built, func(a, b Built) bool { return a.Member == b.Member && a.Seconds == b.Seconds && a.At.Equal(b.At) }) &&
		maps.EqualFunc(m.Withdrawn, o.Withdrawn, func(a, b Withdrawal) bool { return a.Nodes == b.Nodes && a.Until.Equal(b.Until) }) &&
		maps.EqualFunc(m.Strikes, o.Strikes, Strike.equal) && maps.EqualFunc(m.Spending, o.Spending, Spending.equal) &&
		maps.EqualFunc(m.Orders, o.Orders, func(a, b Order) bool {
			return a.Count == b.Count && a.Built == b.Built && a.Since.Equal(b.Since)
		})
}

// Input of a plan.
type Input struct {
	Now time.Time
	// SeenAt is when the change that led to this plan was seen.
	SeenAt time.Time
	// Plan has the spec, and the status that was last written.
	Plan *fleetv1alpha1.CapacityPlan
	// Memory that an earlier plan asked to keep.
	Memory Memory
	// Members of the plan by name. One that is missing is Absent.
	Members map[string]Member
	// Demands of the pool, most important first.
	Demands []scheduler.Demand
	// OnVirtual are replicas that run on virtual nodes and may move, less those
	// whose substitutes are assigned already. Nodes are ordered for them where
	// that is cheaper.
	OnVirtual []scheduler.VirtualReplicas
	// Reservations of the pool, ended ones included, by name.
	Reservations []Reservation
	// Replicas of the pool.
	Replicas fleetv1alpha1.ReplicaSummary
	// Returning says that replicas are on their way home.
	Returning bool
	// Simulator for members that do not exist yet.
	Simulator simulation.Simulator
	// Objects that members which do not exist yet are thought to have:
	// namespaces, priority and storage classes of a self-built one.
	Objects *snapshot.Objects

	Settings Settings
}

// A Record is one change of what is wanted of an offering.
type Record struct {
	Offering string `json:"offering"`
	From     int32  `json:"from"`
	To       int32  `json:"to"`
	// Released names nodes that this change gives back.
	Released []string `json:"released,omitempty"`
}

// A Grant is replicas without a place that start on virtual nodes now.
type Grant struct {
	// Binding is the ID of the binding.
	Binding string
	// Member and Offering of the virtual nodes.
	Member, Offering string
	// Count of replicas, > 0.
	Count int32
}

// Output of a plan.
type Output struct {
	Status fleetv1alpha1.CapacityPlanStatus
	// Grants are to be added to what the round assigned.
	Grants []Grant
	// Reservations are the statuses of those in the input, by name.
	Reservations map[string]fleetv1alpha1.CapacityReservationStatus
	Memory       Memory
	// Urgent says that someone acts on what changed: nodes, nodes to release,
	// members wanted.
	Urgent bool
	// Records of what changed.
	Records []Record
	// Next is when time alone changes something; zero if it does not.
	Next time.Time
}
