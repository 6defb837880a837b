package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Run makes one round. An error says that the context ended; nothing of the
// round may be used then. A replica that cannot be simulated in a member has no
// place there, and the decision says why.
func Run(ctx context.Context, in Input) (Output, error) {
	return newRound(ctx, in).decide()
}

func newRound(ctx context.Context, in Input) *round {
	return &round{ctx: ctx, in: in, members: map[string]*member{}, pools: map[string]*pool{}}
}

func (r *round) decide() (Output, error) {
	r.load()
	if err := r.reserve(); err != nil {
		return Output{}, err
	}
	if err := r.bookHolds(); err != nil {
		return Output{}, err
	}
	for _, w := range r.active {
		r.prepare(w)
	}
	if err := r.place(); err != nil {
		return Output{}, err
	}
	for _, w := range r.active {
		if err := r.settleHome(w); err != nil {
			return Output{}, err
		}
		r.settle(w)
	}
	if err := r.await(); err != nil {
		return Output{}, err
	}
	for _, w := range r.active {
		if err := r.returnHome(w); err != nil {
			return Output{}, err
		}
	}
	for _, w := range r.active {
		if err := r.toNodes(w); err != nil {
			return Output{}, err
		}
	}
	for _, w := range r.active {
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
	// work in the order in which it is done; active is what does not rest.
	work, active []*work
	holds        []*hold
	next         time.Time
	// naive rounds also do what is not to change anything, to prove that.
	naive bool
}

// A member with the fork on which the round spends its capacity.
type member struct {
	Member
	fork *snapshot.Fork
	// changes counts what was put on the fork or taken off it.
	changes int64
	// virtuals are the offerings of virtual nodes that it has, virtualNodes its
	// nodes that belong to one, with the offering, and onVirtual the pods there.
	virtuals     []Virtual
	virtualNodes map[string]string
	onVirtual    map[snapshot.WorkloadKey]virtualPods
	// onLeaving are the pods on its nodes that leave; nil if it has none.
	onLeaving map[snapshot.WorkloadKey]leavers
}

// usable members can be asked what fits.
func (m *member) usable() bool { return m.State == Serving && m.fork != nil }

type pool struct {
	*Pool
	// members ordered by tier, then price, then name.
	members []*member
	// weights are its own, or the defaults.
	weights *Weights
	// home is what was last found free at home, bound what is without that which
	// is on its way there.
	home, bound *home
}

// Work is what the round knows of a binding.
type work struct {
	*Binding
	pool *pool
	// rests says that it stays as it is. It has no maps of its own then.
	rests bool
	// target replicas by member.
	target map[string]int32
	// stuck replicas by member: pods that do not fit where they were assigned.
	stuck map[string]int32
	state State

	// missing replicas have no place where they may stay, leaving ones of them
	// still run in members that drain; placed got a place in this round.
	missing, leaving, placed int32
	// withheld replicas have room on rented nodes, and do not start because others
	// with which they start together have none.
	withheld int32

	unmet, waiting, moving int32
	// settling replicas do not go to the cloud yet.
	settling  int32
	returning bool
	// mu guards what is kept by member, up to stored, while members are simulated
	// at the same time.
	mu       sync.Mutex
	refusals map[string]string
	// own are replicas of the template as each member would store them, real
	// the same kept off virtual nodes, and stored those of the variant that runs
	// there; nil if a member would not store them.
	own, real, stored map[*member]*corev1.Pod
	// groups are the pods of a replica that is a group, as each member would
	// store them.
	groups map[*member][]Copies
	// bound are replicas by member that are not on a node yet, and will be on a
	// virtual one.
	bound map[string]int32
	// gone are replicas by member that this round cut from virtual nodes.
	gone map[string]int32
	// holds that are for the binding.
	holds   []*hold
	notes   []string
	blocked string
	outage  string
}

func (r *round) load() {
	for i := range r.in.Pools {
		p := &pool{Pool: &r.in.Pools[i], weights: cmp.Or(r.in.Pools[i].Weights, &DefaultWeights)}
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
	r.loadVirtual()
	r.loadLeavers()
	all := make([]work, len(r.in.Bindings))
	r.work = make([]*work, 0, len(all))
	chunked(len(all), func(i int) { all[i].rests = r.rests(&r.in.Bindings[i]) })
	for i := range r.in.Bindings {
		b := &r.in.Bindings[i]
		p, ok := r.pools[b.Pool]
		if !ok {
			continue
		}
		w := &all[i]
		w.Binding, w.pool, w.state = b, p, b.State
		r.work = append(r.work, w)
		if w.rests {
			w.target = b.Assigned
			continue
		}
		w.target, w.stuck, w.refusals = maps.Clone(b.Assigned), map[string]int32{}, map[string]string{}
		w.own, w.real, w.stored = map[*member]*corev1.Pod{}, map[*member]*corev1.Pod{}, map[*member]*corev1.Pod{}
		w.bound, w.gone = map[string]int32{}, map[string]int32{}
		if w.target == nil {
			w.target = map[string]int32{}
		}
		r.remember(w)
	}
	slices.SortFunc(r.work, func(a, b *work) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	for _, w := range r.work {
		if !w.rests {
			r.active = append(r.active, w)
		}
	}
	r.loadHolds()
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

// prepare finds out how many replicas of a divided binding have no place, after
// it has taken back what is lost or stuck.
func (r *round) prepare(w *work) {
	if !w.Divided || w.Held {
		return
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
	r.takeBack(w)
	staying := int32(0)
	for name, n := range w.target {
		if r.stateOf(name) == Draining && w.Movable {
			w.leaving += n
		} else {
			gone := r.leaving(w, name).total
			w.leaving += gone
			staying += n - gone - r.replaced(w, name)
		}
	}
	w.missing = max(0, w.Replicas-staying)
}

// place gives the missing replicas of all bindings a place: those of bindings
// that follow each other together, those with rules of their own alone and in
// their turn.
func (r *round) place() error {
	var together []*work
	for _, w := range r.active {
		if w.missing == 0 || w.Template == nil {
			continue
		}
		if len(w.holds) == 0 && !w.alone() {
			together = append(together, w)
			continue
		}
		if err := r.placeTogether(together); err != nil {
			return err
		}
		together = nil
		var err error
		if w.placed, err = r.fillMissing(w, w.missing); err != nil {
			return err
		}
	}
	return r.placeTogether(together)
}

// settle says what becomes of the replicas of a divided binding that have no
// place, and cuts what is too much.
func (r *round) settle(w *work) {
	if !w.Divided || w.Held {
		return
	}
	if left := w.missing - w.placed; left > 0 {
		if w.Template != nil {
			w.unmet = left
			w.outage = r.outage(w)
		}
		if w.leaving > 0 {
			w.blocked = fmt.Sprintf("%d replicas have nowhere else to go", min(left, w.leaving))
		}
	}
	if !w.Movable && r.drains(w) {
		w.blocked = "pods of a " + w.Workload.Kind + " are not moved, they run until they end"
	}
	r.cut(w)
}

// outage says which self-built member a binding waits for before capacity is
// ordered: one that became silent a moment ago.
func (r *round) outage(w *work) string {
	if w.unmet <= 0 || w.StaysHome != "" {
		return ""
	}
	for _, m := range w.pool.members {
		if m.Elastic || m.State != Frozen || m.Since.IsZero() || w.Refused[m.Name] != "" {
			continue
		}
		if due := m.Since.Add(r.in.Settings.OutageGrace); due.After(r.in.Now) {
			r.wake(due)
			return fmt.Sprintf("capacity is not ordered before %s has been silent for %s", m.Name, r.in.Settings.OutageGrace)
		}
	}
	return ""
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
	return w.whole(int32(c.Total)), w.whole(int32(c.Ready))
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

// rests reports whether a round leaves a binding as it is, whatever else it does:
// its replicas are where they are wanted, in self-built members that serve, each
// of their pods has a node, and nothing is remembered.
func (r *round) rests(b *Binding) bool {
	if r.naive || !b.Divided || b.Held || b.Gang || b.Together || b.Template == nil || b.Template.Grouped() || !b.State.IsZero() ||
		b.LastScheduled.Add(r.in.Settings.LeaveGrace).After(r.in.Now) {
		return false
	}
	sum := int32(0)
	for name, n := range b.Assigned {
		m := r.members[name]
		if n <= 0 || m == nil || m.Elastic || len(m.virtuals) > 0 || !m.usable() {
			return false
		}
		if c := m.Snapshot.Workload(b.Workload); int32(c.Total) != n || int32(c.Scheduled) != n {
			return false
		}
		sum += n
	}
	return sum == b.Replicas
}

func sorted(m map[string]int32) []string {
	if len(m) == 0 {
		return nil
	}
	// slices.Sorted would grow as it goes: it does not know how many there are.
	out := slices.AppendSeq(make([]string, 0, len(m)), maps.Keys(m))
	slices.Sort(out)
	return out
}

func total(m map[string]int32) int32 {
	sum := int32(0)
	for _, n := range m {
		sum += n
	}
	return sum
}
