package whatif

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Text is the answer for a person.
func (a Answer) Text() string {
	var b strings.Builder
	for _, p := range a.Placements {
		fmt.Fprintf(&b, "%s\n  before  %s\n  after   %s\n", p.Workload, p.Before, p.After)
		if p.After.Unplaced > 0 {
			fmt.Fprintf(&b, "  why     %s\n", p.Message)
		}
	}
	fmt.Fprintf(&b, "%d other workloads stay as they are\n", a.Unchanged)
	for _, c := range a.Clusters {
		fmt.Fprintf(&b, "cluster %s is made: it is there after %s, and takes %s (%s)\n", c.Name, c.ReadyAfter.Duration, c.Takes.Duration, c.Because)
	}
	for _, o := range a.Orders {
		fmt.Fprintf(&b, "nodes of %s: %d now, %d at most, %d in the end (%s an hour each, Ready %ds after the order)\n", o.Offering, o.Before, o.Peak, o.After, o.HourlyPrice, o.StartSeconds)
	}
	fmt.Fprintf(&b, "cost an hour: %s now, %s at most, %s in the end (%s)\n", a.HourlyCost.Before, a.HourlyCost.Peak, a.HourlyCost.After, signed(a.HourlyCost.Change))
	if a.Unplaced > 0 {
		fmt.Fprintf(&b, "%d replicas stay without a place; all others run after %s\n", a.Unplaced, a.ReadyAfter.Duration)
	} else {
		fmt.Fprintf(&b, "all replicas run after %s\n", a.ReadyAfter.Duration)
	}
	if a.Settled {
		fmt.Fprintf(&b, "nothing changes after %s\n", a.SettledAfter.Duration)
	} else {
		b.WriteString("more may change later: look further ahead with a longer horizon\n")
	}
	return b.String()
}

func signed(s string) string {
	if s == "0" || strings.HasPrefix(s, "-") {
		return s
	}
	return "+" + s
}

// String is the placement on one line.
func (p Placed) String() string {
	parts := make([]string, 0, len(p.Members))
	for _, name := range slices.Sorted(maps.Keys(p.Members)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, p.Members[name]))
	}
	s := fmt.Sprintf("%d wanted: %s", p.Wanted, strings.Join(parts, ", "))
	if p.Unplaced > 0 {
		s += fmt.Sprintf("; %d without a place", p.Unplaced)
	}
	return s
}
