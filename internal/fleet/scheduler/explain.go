package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/internal/simulation"
)

// explain says in one line what became of a binding.
func explain(w *Binding, d *Decision) string {
	if !w.Divided {
		return fmt.Sprintf("in %d members", len(d.Targets))
	}
	if w.Problem != "" {
		return w.Problem
	}
	sum, virtual := int32(0), int32(0)
	// This much is said of every binding in every round: fmt would take longer than
	// all the rest.
	var parts []byte
	for i, t := range d.Targets {
		sum += t.Replicas
		virtual += d.Virtual[t.Member]
		parts = append(parts, [...]string{": ", ", "}[min(i, 1)]...)
		parts = append(append(parts, t.Member...), ' ')
		parts = strconv.AppendInt(parts, int64(t.Replicas), 10)
	}
	var b strings.Builder
	b.Grow(len(parts) + 32)
	b.WriteString(strconv.Itoa(int(min(sum-d.Replaced, w.Replicas))))
	b.WriteString(" of ")
	b.WriteString(strconv.Itoa(int(w.Replicas)))
	b.WriteString(" placed")
	b.Write(parts)
	if virtual > 0 {
		fmt.Fprintf(&b, " (%d on virtual nodes)", virtual)
	}
	if d.Replaced > 0 {
		fmt.Fprintf(&b, "; %d more are in members that have been silent for long, and are replaced", d.Replaced)
	}
	if d.Moving > 0 {
		fmt.Fprintf(&b, "; %d move and wait for substitutes to become Ready", d.Moving)
	}
	if d.Waiting > 0 {
		fmt.Fprintf(&b, "; %d wait for pods that are leaving", d.Waiting)
	}
	if d.Settling > 0 {
		fmt.Fprintf(&b, "; %d wait for pods on their way to the self-built members", d.Settling)
	}
	if d.Unmet > 0 {
		fmt.Fprintf(&b, "; %d wait for capacity", d.Unmet)
		if why := reasons(d.Refusals); why != "" {
			fmt.Fprintf(&b, " (%s)", why)
		}
		if d.Outage != "" {
			fmt.Fprintf(&b, "; %s", d.Outage)
		}
	}
	if d.Blocked != "" {
		fmt.Fprintf(&b, "; drain is blocked: %s", d.Blocked)
	}
	if d.State.Why != "" && d.Unmet == 0 {
		fmt.Fprintf(&b, "; no more fit: %s", d.State.Why)
	}
	if d.Cloud > 0 && d.Moving == 0 && d.Pending == 0 {
		fmt.Fprintf(&b, "%s%d, which ", homeMark, d.Cloud)
		switch {
		case !w.Movable:
			b.WriteString("are not moved")
		case d.State.RoomSince == nil:
			b.WriteString(d.Return)
		default:
			fmt.Fprintf(&b, "%s; there has been room since %s", d.Return, d.State.RoomSince.UTC().Format(time.RFC3339))
		}
	}
	return b.String()
}

// returns says what has to be so for replicas of a template to move home.
func (p *pool) returns(t *Template) string {
	return fmt.Sprintf("return when the self-built members have had room for them (%s each), and %d %% of their CPU and memory free besides, for %s", t.Each(), p.HeadroomPercent, p.StabilizationWindow)
}

// Each is what a replica asks for, for a person.
func (t *Template) Each() string {
	if t == nil {
		return "unknown"
	}
	req := t.Requests()
	parts := make([]string, 0, len(req))
	for _, name := range slices.Sorted(maps.Keys(req)) {
		q := req[name]
		parts = append(parts, fmt.Sprintf("%s %s", &q, name))
	}
	return strings.Join(parts, ", ")
}

// refusal is why a member takes no more replicas: its kube-scheduler's message,
// with the number of nodes that each plugin refused.
func refusal(res *simulation.Result) string {
	if len(res.Plugins) == 0 {
		return res.Message
	}
	parts := make([]string, 0, len(res.Plugins))
	for _, name := range slices.Sorted(maps.Keys(res.Plugins)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, res.Plugins[name]))
	}
	return fmt.Sprintf("%s [%s]", strings.TrimSuffix(res.Message, "."), strings.Join(parts, ", "))
}

// limits says what kept a binding from members that took less than was asked, and
// how many these took. It is bounded.
func limits(b *Binding, d *Decision) string {
	named := make(map[string]string, len(d.Refusals))
	for name, why := range d.Refusals {
		i, ok := slices.BinarySearchFunc(d.Targets, name, func(t Target, name string) int { return strings.Compare(t.Member, name) })
		if ok {
			// The room on its real nodes is what was limited.
			if took := d.Targets[i].Replicas - b.Assigned[name] - d.Virtual[name]; took > 0 {
				name = fmt.Sprintf("%s after %d", name, took)
			}
		}
		named[name] = why
	}
	out := reasons(named)
	if len(out) > mostWhy {
		out = strings.ToValidUTF8(out[:mostWhy], "") + " ..."
	}
	return out
}

// mostWhy bounds what is kept of the reasons of a split, in bytes.
const mostWhy = 600

// homeMark begins what a message says about the way home.
const homeMark = "; in the cloud: "

// Gist is a message without what it says about the way home, which is no
// decision and comes and goes with the room there.
func Gist(message string) string {
	gist, _, _ := strings.Cut(message, homeMark)
	return gist
}

// told is how many different reasons a message has at most.
const told = 5

// reasons says what limits which members, those with the same reason together.
func reasons(refusals map[string]string) string {
	byReason := map[string][]string{}
	var order []string
	for _, name := range slices.Sorted(maps.Keys(refusals)) {
		why := strings.TrimSuffix(refusals[name], ".")
		if len(byReason[why]) == 0 {
			order = append(order, why)
		}
		byReason[why] = append(byReason[why], name)
	}
	var out []string
	for i, why := range order {
		if i == told {
			out = append(out, fmt.Sprintf("and %d more reasons", len(order)-told))
			break
		}
		names := byReason[why]
		if n := len(names); n > told {
			names = append(slices.Clone(names[:told]), fmt.Sprintf("%d more", n-told))
		}
		out = append(out, fmt.Sprintf("%s: %s", strings.Join(names, ", "), why))
	}
	return strings.Join(out, "; ")
}

// Recognizes reports whether the pods of a kind of workload are recognized as its
// own. Pods of other kinds may belong to something in between, as those of a
// Rollout do to its ReplicaSets.
func Recognizes(kind string) bool { return slices.Contains(ownKinds, kind) }

// ReturnDue is when the room that there is at home may be used; zero if there is
// none.
func (s State) ReturnDue(window time.Duration) time.Time {
	if s.RoomSince == nil {
		return time.Time{}
	}
	return s.roomDue(window)
}
