// Package explain says of a workload which members were considered, how many
// replicas fit in each and what limits it there, why it is split as it is, and
// what has to change for its cloud part to go home. It makes rounds of the
// scheduler over what the last one saw, on forks of their own, for one workload
// when somebody asks; rounds of the fleet do nothing for it.
package explain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// An Explanation of where the replicas of a workload are.
type Explanation struct {
	// Binding by ID, its Workload as kind namespace/name, and its pool.
	Binding  string `json:"binding"`
	Workload string `json:"workload"`
	Pool     string `json:"pool"`
	// Wanted replicas; Own and Cloud ones have a place, Unplaced ones have none.
	Wanted   int32 `json:"wanted"`
	Own      int32 `json:"own"`
	Cloud    int32 `json:"cloud"`
	Unplaced int32 `json:"unplaced"`
	// Message is what the condition Scheduled of the binding says.
	Message string `json:"message"`
	// Why the split is as it is.
	Why string `json:"why"`
	// GoHome says what has to change for the cloud part to return; empty if
	// nothing is there.
	GoHome string `json:"goHome,omitempty"`
	// Members of the pool, in the order in which they are filled.
	Members []Member `json:"members"`
}

// A Member as the workload sees it.
type Member struct {
	Name    string `json:"name"`
	Tier    int32  `json:"tier"`
	Elastic bool   `json:"elastic"`
	// State of the member, and why it takes nothing if it does not.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Assigned replicas are decided now, Ready ones run.
	Assigned int32 `json:"assigned"`
	Ready    int32 `json:"ready"`
	// Fits is how many more replicas would fit on the real nodes, everything that
	// is promised taken off. AtLeast says that there may be room for more.
	Fits    int32 `json:"fits"`
	AtLeast bool  `json:"atLeast,omitempty"`
	// Reasons have the number of nodes for each reason in kube-scheduler's words,
	// Plugins those that each plugin refused, Message is its own message.
	Reasons map[string]int `json:"reasons,omitempty"`
	Plugins map[string]int `json:"plugins,omitempty"`
	Message string         `json:"message,omitempty"`
}

// Explain a binding of a round, by ID. The input is not changed. An error says
// that there is no such binding, or that the context ended.
func Explain(ctx context.Context, in scheduler.Input, id string) (Explanation, error) {
	i := slices.IndexFunc(in.Bindings, func(b scheduler.Binding) bool { return b.ID == id })
	if i < 0 {
		return Explanation{}, fmt.Errorf("no pool places %q", id)
	}
	b := &in.Bindings[i]
	j := slices.IndexFunc(in.Pools, func(p scheduler.Pool) bool { return p.Name == b.Pool })
	if j < 0 {
		return Explanation{}, fmt.Errorf("there is no pool %q", b.Pool)
	}
	out, err := scheduler.Run(ctx, in)
	if err != nil {
		return Explanation{}, fmt.Errorf("cannot place workloads: %w", err)
	}
	q := &question{ctx: ctx, in: in, binding: b, pool: &in.Pools[j], out: out}
	q.decision = q.of(out)
	return q.answer()
}

// A question is about one binding of a round.
type question struct {
	ctx      context.Context
	in       scheduler.Input
	binding  *scheduler.Binding
	pool     *scheduler.Pool
	out      scheduler.Output
	decision scheduler.Decision
}

// of returns the decision about the binding. One that is held has none: it keeps
// what it has.
func (q *question) of(out scheduler.Output) scheduler.Decision {
	i := slices.IndexFunc(out.Decisions, func(d scheduler.Decision) bool { return d.Binding == q.binding.ID })
	if i >= 0 {
		return out.Decisions[i]
	}
	d := scheduler.Decision{Binding: q.binding.ID, Message: "its scheduling is suspended: it keeps what it has", State: q.binding.State}
	for _, name := range slices.Sorted(maps.Keys(q.binding.Assigned)) {
		d.Targets = append(d.Targets, scheduler.Target{Member: name, Replicas: q.binding.Assigned[name]})
	}
	return d
}

func (q *question) answer() (Explanation, error) {
	b, d := q.binding, &q.decision
	e := Explanation{
		Binding: b.ID, Workload: fmt.Sprintf("%s %s/%s", b.Workload.Kind, b.Workload.Namespace, b.Workload.Name), Pool: b.Pool,
		Wanted: b.Replicas, Own: d.Own, Cloud: d.Cloud, Unplaced: d.Pending, Message: d.Message,
	}
	out, err := q.again(100)
	if err != nil {
		return e, err
	}
	members := slices.Clone(q.pool.Members)
	slices.SortFunc(members, func(a, b scheduler.Member) int {
		return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Price, b.Price), cmp.Compare(a.Name, b.Name))
	})
	for i := range members {
		m, err := q.member(&members[i], out.Forks[members[i].Name])
		if err != nil {
			return e, err
		}
		e.Members = append(e.Members, m)
	}
	e.Why = q.why(&e)
	e.GoHome, err = q.goHome(&e)
	return e, err
}

// again makes the round with another headroom. With all of it nothing returns
// home, and the forks hold nothing for that.
func (q *question) again(headroom int32) (scheduler.Output, error) {
	in := q.in
	in.Pools = slices.Clone(in.Pools)
	for i := range in.Pools {
		in.Pools[i].HeadroomPercent = headroom
	}
	out, err := scheduler.Run(q.ctx, in)
	if err != nil {
		return out, fmt.Errorf("cannot place workloads: %w", err)
	}
	return out, nil
}

var states = map[scheduler.MemberState]string{
	scheduler.Absent: "Absent", scheduler.Serving: "Serving", scheduler.Draining: "Draining", scheduler.Frozen: "Frozen", scheduler.Joining: "Joining",
}

// looked is for how many replicas room is looked at least.
const looked = 100

func (q *question) member(of *scheduler.Member, f *snapshot.Fork) (Member, error) {
	m := Member{Name: of.Name, Tier: of.Tier, Elastic: of.Elastic, State: states[of.State], Reason: of.Reason}
	for _, t := range q.decision.Targets {
		if t.Member == m.Name {
			m.Assigned = t.Replicas
		}
	}
	m.Ready = q.binding.Reported[m.Name].Ready
	if of.Snapshot != nil {
		if c := of.Snapshot.Workload(q.binding.Workload); c != (snapshot.Counts{}) || scheduler.Recognizes(q.binding.Workload.Kind) {
			m.Ready = int32(c.Ready) / q.binding.Template.Size()
		}
	}
	switch {
	case of.State != scheduler.Serving || f == nil:
		return m, nil
	case q.binding.Refused[m.Name] != "":
		m.Reason = q.binding.Refused[m.Name]
		return m, nil
	case of.Elastic && q.binding.StaysHome != "":
		m.Reason = q.binding.StaysHome
		return m, nil
	case q.binding.Template == nil || !q.binding.Divided:
		m.Reason = q.binding.Problem
		return m, nil
	}
	n := max(looked, int(q.binding.Replicas))
	res, err := q.place(of, f, n)
	if err != nil {
		if q.ctx.Err() != nil {
			return m, fmt.Errorf("cannot simulate %s in %s: %w", q.binding.ID, m.Name, err)
		}
		m.Reason = err.Error()
		return m, nil
	}
	m.Fits, m.AtLeast = int32(res.Placed), res.Placed == n
	m.Reasons, m.Plugins, m.Message = res.Reasons, res.Plugins, res.Message
	return m, nil
}

// place replicas on the real nodes of a fork. The fork is the round's own, and
// nobody looks at it afterwards.
func (q *question) place(of *scheduler.Member, f *snapshot.Fork, n int) (simulation.Result, error) {
	var vs []scheduler.Virtual
	for _, v := range q.pool.Virtual {
		if v.Member == of.Name {
			vs = append(vs, v)
		}
	}
	for _, ni := range of.Snapshot.Nodes() {
		if name := ni.Node().Name; scheduler.OfferingOf(ni.Node(), vs) != "" && f.Node(name) != nil {
			if err := f.RemoveNode(name); err != nil {
				return simulation.Result{}, err
			}
		}
	}
	t := q.binding.Template
	if t.Grouped() {
		group, err := t.Group(of.Snapshot.Objects())
		if err != nil {
			return simulation.Result{}, err
		}
		return scheduler.PlaceGroups(q.ctx, of.Simulator, f, group, n)
	}
	pod, err := t.Pod(of.Snapshot.Objects())
	if err != nil {
		return simulation.Result{}, err
	}
	return of.Simulator.Place(q.ctx, f, pod, n)
}

// why the replicas are split as they are, tier by tier.
func (q *question) why(e *Explanation) string {
	if q.binding.Problem != "" || !q.binding.Divided || q.binding.Held {
		return e.Message
	}
	var parts []string
	for i := 0; i < len(e.Members); {
		j := i
		var in, out []string
		for ; j < len(e.Members) && e.Members[j].Tier == e.Members[i].Tier; j++ {
			m := &e.Members[j]
			if m.Assigned > 0 {
				in = append(in, fmt.Sprintf("%s %d", m.Name, m.Assigned))
			}
			if why := m.limit(); why != "" {
				out = append(out, fmt.Sprintf("%s: %s", m.Name, why))
			}
		}
		part := fmt.Sprintf("tier %d has none", e.Members[i].Tier)
		if len(in) > 0 {
			part = fmt.Sprintf("tier %d has %s", e.Members[i].Tier, strings.Join(in, ", "))
		}
		if len(out) > 0 {
			part += " and takes no more there (" + strings.Join(out, "; ") + ")"
		}
		parts = append(parts, part)
		i = j
	}
	s := "tiers are filled in their order, each evenly by the room of its members: " + strings.Join(parts, "; ")
	if e.Unplaced > 0 {
		s += fmt.Sprintf("; %d have no place", e.Unplaced)
	}
	if was := q.decision.State.Why; was != "" {
		s += "; when those in the cloud were placed no more fit: " + was
	}
	return s
}

// limit says why a member takes no more replicas; empty if it does.
func (m *Member) limit() string {
	switch {
	case m.Fits > 0:
		return ""
	case m.Message != "":
		return strings.TrimSuffix(m.Message, ".")
	case m.Reason != "":
		return m.Reason
	}
	return "it is " + strings.ToLower(m.State)
}

// goHome says what has to change for the cloud part to return.
func (q *question) goHome(e *Explanation) (string, error) {
	b, d := q.binding, &q.decision
	window, s := q.pool.StabilizationWindow, d.State
	now := q.in.Now
	switch {
	case e.Cloud == 0:
		return "", nil
	case b.Held:
		return "nothing moves while its scheduling is suspended", nil
	case !b.Movable:
		return fmt.Sprintf("replicas of a %s are not moved: they run until they end", b.Workload.Kind), nil
	case d.Returning:
		return fmt.Sprintf("%d are on their way: they are cut in the cloud when their substitutes at home are Ready", d.Moving), nil
	case d.Moving > 0:
		return fmt.Sprintf("%d replicas move elsewhere first", d.Moving), nil
	case e.Unplaced > 0:
		return fmt.Sprintf("the %d replicas without a place come first", e.Unplaced), nil
	}
	need := fmt.Sprintf("%d replicas return when the self-built members have had room for them (%s each), and %d %% of their CPU and memory free besides, for %s", e.Cloud, b.Template.Each(), q.pool.HeadroomPercent, window)
	if s.NotBefore != nil && s.NotBefore.After(now) {
		return fmt.Sprintf("%s; not before %s, because an earlier return was undone", need, s.NotBefore.UTC().Format(time.RFC3339)), nil
	}
	if s.RoomSince != nil {
		return fmt.Sprintf("%s; there has been room for %d for %s, the first return in %s", need, max(s.Room, s.Grown), now.Sub(*s.RoomSince).Round(time.Second), max(0, s.ReturnDue(window).Sub(now)).Round(time.Second)), nil
	}
	fits := int32(0)
	var full []string
	for i := range e.Members {
		m := &e.Members[i]
		if m.Elastic {
			continue
		}
		fits += m.Fits
		if why := m.limit(); why != "" {
			full = append(full, fmt.Sprintf("%s: %s", m.Name, why))
		}
	}
	if fits == 0 {
		return fmt.Sprintf("%s; there is room for none now (%s)", need, strings.Join(full, "; ")), nil
	}
	out, err := q.again(0)
	if err != nil {
		return "", err
	}
	if q.of(out).State.RoomSince != nil {
		return fmt.Sprintf("%s; %d would fit now, but not with %d %% left free", need, fits, q.pool.HeadroomPercent), nil
	}
	return fmt.Sprintf("%s; %d would fit now, but other workloads return first", need, fits), nil
}

// Text is the explanation for a person.
func (e Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (pool %s): %s\n", e.Workload, e.Pool, e.Message)
	for _, m := range e.Members {
		more := ""
		if m.AtLeast {
			more = " or more"
		}
		fmt.Fprintf(&b, "  tier %d  %-20s %-9s assigned %d, ready %d, room for %d%s", m.Tier, m.Name, m.State, m.Assigned, m.Ready, m.Fits, more)
		if why := cmp.Or(m.Message, m.Reason); why != "" {
			b.WriteString(": " + why)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "why: %s\n", e.Why)
	if e.GoHome != "" {
		fmt.Fprintf(&b, "home: %s\n", e.GoHome)
	}
	return b.String()
}
