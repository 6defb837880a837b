package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A Result of a benchmark. Met is computed from the figures.
type Result struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Goal    string  `json:"goal"`
	Met     bool    `json:"met"`
	Cases   []Case  `json:"cases"`
	Machine Machine `json:"machine"`
	Seed    uint64  `json:"seed"`
}

// A Case has our figure, and those of others for the same thing by name.
type Case struct {
	Case   string             `json:"case"`
	Ours   float64            `json:"ours"`
	Rivals map[string]float64 `json:"rivals"`
}

// A Machine that was measured on.
type Machine struct {
	CPUs   int     `json:"cpus"`
	MemGiB float64 `json:"memGiB"`
}

// ours is a case without rivals.
func ours(name string, value float64) Case {
	return Case{Case: name, Ours: round(value), Rivals: map[string]float64{}}
}

// round to four digits after the point: more is noise.
func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

func (r Result) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode figures: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write figures: %w", err)
	}
	return nil
}

func (r Result) print(out io.Writer) {
	rivals := map[string]bool{}
	for _, c := range r.Cases {
		for name := range c.Rivals {
			rivals[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(rivals))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "\n  %s\tours\t%s\n", r.Name, strings.Join(names, "\t"))
	for _, c := range r.Cases {
		_, _ = fmt.Fprintf(w, "  %s\t%s", c.Case, figure(c.Ours))
		for _, name := range names {
			// Not every case has every rival.
			shown := "-"
			if v, ok := c.Rivals[name]; ok {
				shown = figure(v)
			}
			_, _ = fmt.Fprintf(w, "\t%s", shown)
		}
		_, _ = fmt.Fprintln(w)
	}
	_ = w.Flush()
	verdict := "met"
	if !r.Met {
		verdict = "NOT met"
	}
	_, _ = fmt.Fprintf(out, "  unit: %s\n  goal: %s: %s\n\n", r.Unit, r.Goal, verdict)
}

func figure(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// thisMachine describes the machine. Its memory is 0 where the kernel does not
// tell.
func thisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU()}
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return m
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), "MemTotal:")
		if !ok {
			continue
		}
		if kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64); err == nil {
			m.MemGiB = math.Round(kib/(1<<20)*10) / 10
		}
	}
	return m
}

// quantile by nearest rank of values that are sorted.
func quantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}
