package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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
	fmt.Fprintf(&b, "%d of %d placed", min(sum, w.Replicas), w.Replicas)
	if len(parts) > 0 {
		fmt.Fprintf(&b, ": %s", strings.Join(parts, ", "))
	}
	if virtual > 0 {
		fmt.Fprintf(&b, " (%d on virtual nodes)", virtual)
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
	return b.String()
}

func reasons(refusals map[string]string) string {
	out := make([]string, 0, len(refusals))
	for _, name := range slices.Sorted(maps.Keys(refusals)) {
		out = append(out, fmt.Sprintf("%s: %s", name, strings.TrimSuffix(refusals[name], ".")))
	}
	return strings.Join(out, "; ")
}
