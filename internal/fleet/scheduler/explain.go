package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
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
	parts := make([]string, 0, len(d.Targets))
	for _, t := range d.Targets {
		sum += t.Replicas
		virtual += d.Virtual[t.Member]
		parts = append(parts, fmt.Sprintf("%s %d", t.Member, t.Replicas))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d placed", min(sum-d.Replaced, w.Replicas), w.Replicas)
	if len(parts) > 0 {
		fmt.Fprintf(&b, ": %s", strings.Join(parts, ", "))
	}
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
	if w.Movable && d.Cloud > 0 && d.Moving == 0 && d.Pending == 0 {
		b.WriteString(homeMark)
		if d.State.RoomSince == nil {
			fmt.Fprintf(&b, "%d, which wait for room at home", d.Cloud)
		} else {
			fmt.Fprintf(&b, "%d, for which there has been room at home since %s", d.Cloud, d.State.RoomSince.UTC().Format(time.RFC3339))
		}
	}
	return b.String()
}

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
