package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// explain says in one line what became of a binding.
func explain(w *work, d Decision) string {
	if !w.Divided {
		return fmt.Sprintf("in %d members", len(d.Targets))
	}
	if w.Problem != "" {
		return w.Problem
	}
	sum := int32(0)
	parts := make([]string, 0, len(d.Targets))
	for _, t := range d.Targets {
		sum += t.Replicas
		parts = append(parts, fmt.Sprintf("%s %d", t.Member, t.Replicas))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d placed", min(sum, w.Replicas), w.Replicas)
	if len(parts) > 0 {
		fmt.Fprintf(&b, ": %s", strings.Join(parts, ", "))
	}
	if w.moving > 0 {
		fmt.Fprintf(&b, "; %d move and wait for substitutes to become Ready", w.moving)
	}
	if w.waiting > 0 {
		fmt.Fprintf(&b, "; %d wait for pods that are leaving", w.waiting)
	}
	if w.unmet > 0 {
		fmt.Fprintf(&b, "; %d wait for capacity", w.unmet)
		if why := reasons(w.refusals); why != "" {
			fmt.Fprintf(&b, " (%s)", why)
		}
	}
	if w.blocked != "" {
		fmt.Fprintf(&b, "; drain is blocked: %s", w.blocked)
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
