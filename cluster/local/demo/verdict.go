package demo

import (
	"fmt"
	"path/filepath"
	"strings"
)

// relevantLogs are those that tell why a promise was broken.
var relevantLogs = []string{"provider", "fleet", "function", "crossplane", "karmada-controller-manager", "cloudsim"}

func intro(s *screen) string {
	return "\n" + s.paint(bold, "  A region survives a surge") + "\n\n" +
		"  Two self-built clusters are nearly full. The demand on one of three services\n" +
		"  rises tenfold. What does not fit goes to a cluster that is rented for it, and\n" +
		"  comes back; what was rented is given back. Then it happens again, and the\n" +
		"  first cloud is sold out. Everything below is real except the clouds, which\n" +
		"  are simulated and run sixty times as fast.\n\n"
}

// verdict says what was promised and what happened.
func verdict(s *screen, r *Report, failed error, report, logs string) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "\n%s\n\n", s.paint(bold, "  What was promised, and what happened"))
	for _, p := range r.Promises {
		mark, colour := "ok    ", green
		if !p.Kept {
			mark, colour = "BROKEN", red
		}
		fmt.Fprintf(b, "  %s  %-52s %s\n", s.paint(colour, mark), p.Promise, s.paint(dim, p.Detail))
	}
	for i, v := range r.Violations {
		if i == 5 {
			fmt.Fprintf(b, "          and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintf(b, "          %s\n", v)
	}
	if failed != nil {
		fmt.Fprintf(b, "\n  %s %v\n", s.paint(red, "Why it ended early:"), failed)
	}
	fmt.Fprintln(b)
	if r.OK {
		fmt.Fprintf(b, "  %s  The region survived the surge, in %.0f seconds", s.paint(green+bold, "VERDICT: ok."), r.Seconds)
	} else {
		fmt.Fprintf(b, "  %s  The demo ran for %.0f seconds", s.paint(red+bold, "VERDICT: NOT ok."), r.Seconds)
	}
	for _, c := range r.Cloud {
		fmt.Fprintf(b, "; %s: %d calls, CNY %.2f", c.Name, c.APICalls, c.CostTotal)
	}
	fmt.Fprintf(b, ".\n\n  report  %s\n  logs    %s\n", report, logs)
	if !r.OK {
		for _, name := range relevantLogs {
			fmt.Fprintf(b, "          %s\n", filepath.Join(logs, name+".log"))
		}
	}
	fmt.Fprintln(b)
	return b.String()
}
