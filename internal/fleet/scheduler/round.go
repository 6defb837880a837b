package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Run makes one round. An error says that the context ended; nothing of the
// round may be used then. A replica that cannot be simulated in a member has no
// place there, and the decision says why.
func Run(ctx context.Context, in Input) (Output, error) {
	r := &round{ctx: ctx, in: in, members: map[string]*member{}, pools: map[string]*pool{}}
	r.load()
	if err := r.reserve(); err != nil {
		return Output{}, err
	}
	for _, w := range r.work {
		if err := r.decide(w); err != nil {
			return Output{}, err
		}
	}
	if err := r.await(); err != nil {
		return Output{}, err
	}
	for _, w := range r.work {
		if err := r.returnHome(w); err != nil {
			return Output{}, err
		}
	}
	for _, w := range r.work {
		if !w.Divided && !w.Held {
			r.spreadWhole(w)
		}
	}
	return r.output(), nil
}

type round struct {
	ctx     context.Context
	in      Input
	members map[string]*member
	pools   map[string]*pool
	work    []*work
	next    time.Time
}

// A member with the fork on which the round spends its capacity.
type member struct {
	Member
	fork *snapshot.Fork
}

// usable members can be asked what fits.
func (m *member) usable() bool { return m.State == Serving && m.fork != nil }

type pool struct {
	*Pool
	// members ordered by tier, then price, then name.
	members []*member
}

// Work is what the round knows of a binding.
type work struct {
	*Binding
	pool *pool
	// target replicas by member.
	target map[string]int32
	// stuck replicas by member: pods that do not fit where they were assigned.
	stuck map[string]int32
	state State

	unmet, waiting, moving int32
	returning              bool
	refusals               map[string]string
	// pods are replicas as each member would store them; nil if it would not.
	pods    map[*member]*corev1.Pod
	notes   []string
	blocked string
}

func (r *round) load() {
	for i := range r.in.Pools {
		p := &pool{Pool: &r.in.Pools[i]}
		for _, pm := range p.Pool.Members {
			m, ok := r.members[pm.Name]
			if !ok {
				m = &member{Member: pm}
				if pm.Snapshot != nil && pm.Simulator != nil {
					m.fork = pm.Snapshot.Fork()
					for _, n := range pm.Releasing {
						if m.fork.Node(n) != nil {
							// It cannot fail: the node is there.
							_ = m.fork.RemoveNode(n)
						}
					}
				}
				r.members[pm.Name] = m
			}
			p.members = append(p.members, m)
		}
		slices.SortFunc(p.members, func(a, b *member) int {
			return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Price, b.Price), cmp.Compare(a.Name, b.Name))
		})
		r.pools[p.Name] = p
	}
	for i := range r.in.Bindings {
		b := &r.in.Bindings[i]
		p, ok := r.pools[b.Pool]
		if !ok {
			continue
		}
		w := &work{Binding: b, pool: p, target: maps.Clone(b.Assigned), stuck: map[string]int32{}, state: b.State, refusals: map[string]string{}, pods: map[*member]*corev1.Pod{}}
		if w.target == nil {
			w.target = map[string]int32{}
		}
		r.work = append(r.work, w)
	}
	slices.SortFunc(r.work, func(a, b *work) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
}

// state of a member as a binding sees it. A member that no pool has is Absent.
func (r *round) stateOf(name string) MemberState {
	m, ok := r.members[name]
	if !ok {
		return Absent
	}
	if m.State == Joining {
		return Frozen
	}
	return m.State
}

// wake asks for a round at the supplied time.
func (r *round) wake(t time.Time) {
	if t.After(r.in.Now) && (r.next.IsZero() || t.Before(r.next)) {
		r.next = t
	}
}

// decide about one divided binding: take back what is lost or stuck, place what
// is missing, cut what is too much.
func (r *round) decide(w *work) error {
	if !w.Divided || w.Held {
		return nil
	}
	for _, name := range sorted(w.target) {
		if r.stateOf(name) == Absent {
			if n := w.target[name]; n > 0 {
				w.notes = append(w.notes, fmt.Sprintf("%d lost with %s", n, name))
			}
			delete(w.target, name)
		}
	}
	for _, name := range sorted(w.stuck) {
		if n := min(w.stuck[name], w.target[name]); n > 0 {
			w.target[name] -= n
			w.notes = append(w.notes, fmt.Sprintf("%d taken back from %s, where they do not fit any more", n, name))
		}
	}
	staying, leaving := int32(0), int32(0)
	for name, n := range w.target {
		if r.stateOf(name) == Draining && w.Movable {
			leaving += n
		} else {
			staying += n
		}
	}
	if missing := w.Replicas - staying; missing > 0 {
		placed := int32(0)
		if w.Template != nil {
			var err error
			if placed, err = r.fill(w, missing, func(*member) bool { return true }, w.target); err != nil {
				return err
			}
			w.unmet = missing - placed
		}
		if left := missing - placed; left > 0 && leaving > 0 {
			w.blocked = fmt.Sprintf("%d replicas have nowhere else to go", min(left, leaving))
		}
	}
	if !w.Movable && r.drains(w) {
		w.blocked = "pods of a " + w.Workload.Kind + " are not moved, they run until they end"
	}
	r.cut(w)
	return nil
}

// spreadWhole sends a binding without replicas to every member. It stays on a
// draining member as long as a divided binding of the pool does: a Service must
// not leave before the pods behind it.
func (r *round) spreadWhole(w *work) {
	target := map[string]int32{}
	for _, m := range w.pool.members {
		_, assigned := w.target[m.Name]
		switch m.State {
		case Serving:
			if _, refused := w.Refused[m.Name]; !refused || assigned {
				target[m.Name] = 0
			}
		case Frozen, Joining:
			if assigned {
				target[m.Name] = 0
			}
		case Draining:
			if assigned && slices.ContainsFunc(r.work, func(o *work) bool { return o.pool == w.pool && o.target[m.Name] > 0 }) {
				target[m.Name] = 0
			}
		case Absent:
		}
	}
	w.target = target
}

// ownKinds have pods that are recognized as theirs in a snapshot, so if there
// are none there are none.
var ownKinds = []string{"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "Job"}

// seen returns how many pods of a workload a member shows, and how many of them
// are Ready. Pods of other kinds may belong to something in between, as those of
// a Rollout do to its ReplicaSets: then what the member reports counts.
func (w *work) seen(m *member) (pods, ready int32) {
	c := m.Snapshot.Workload(w.Workload)
	if c == (snapshot.Counts{}) && !slices.Contains(ownKinds, w.Workload.Kind) {
		n := w.Reported[m.Name].Ready
		return n, n
	}
	return int32(c.Total), int32(c.Ready)
}

func (r *round) output() Output {
	out := Output{Forks: map[string]*snapshot.Fork{}, Next: r.next}
	for name, m := range r.members {
		if m.fork != nil {
			out.Forks[name] = m.fork
		}
	}
	for _, w := range r.work {
		if w.Held {
			continue
		}
		d := Decision{Binding: w.ID, State: w.state, Waiting: w.waiting, Moving: w.moving, Returning: w.returning, Blocked: w.blocked, Notes: w.notes, Refusals: w.refusals}
		sum := int32(0)
		for _, name := range sorted(w.target) {
			n := w.target[name]
			if n == 0 && w.Divided {
				continue
			}
			d.Targets = append(d.Targets, Target{Member: name, Replicas: n})
			sum += n
			if m := r.members[name]; m != nil && m.Elastic {
				d.Cloud += n
			} else {
				d.Own += n
			}
		}
		if w.Divided {
			d.Pending = max(0, w.Replicas-sum)
		}
		d.Changed = changed(w.Binding, d.Targets)
		d.Message = explain(w, d)
		out.Decisions = append(out.Decisions, d)
		if w.unmet > 0 {
			out.Demands = append(out.Demands, Demand{Binding: w.ID, Pool: w.Pool, Template: w.Template, Count: w.unmet, Refused: w.Refused})
		}
	}
	return out
}

func changed(b *Binding, targets []Target) bool {
	if len(targets) != len(b.Assigned) {
		return true
	}
	for _, t := range targets {
		if n, ok := b.Assigned[t.Member]; !ok || n != t.Replicas {
			return true
		}
	}
	return false
}

func sorted(m map[string]int32) []string { return slices.Sorted(maps.Keys(m)) }

func total(m map[string]int32) int32 {
	sum := int32(0)
	for _, n := range m {
		sum += n
	}
	return sum
}
