package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Report says what happened, in figures. OK is computed from them.
type Report struct {
	OK      bool    `json:"ok"`
	Phases  []Phase `json:"phases"`
	Seconds float64 `json:"seconds"`
	// DecisionSeconds is the real time from unmet demand, as fleet saw it, until
	// the cloud call that answers it arrived at the cloud.
	DecisionSeconds Quantiles  `json:"decisionSeconds"`
	Decisions       []Decision `json:"decisions"`
	Workloads       []Workload `json:"workloads"`
	Cloud           []Cloud    `json:"cloud"`
	PDBViolations   int        `json:"pdbViolations"`
	// Promises that were made, each kept or not.
	Promises []Promise `json:"promises"`
	// Violations in words.
	Violations []string `json:"violations,omitempty"`
}

// A Phase of the story.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	// Reached is false for the phase that failed.
	Reached bool `json:"reached"`
}

// Quantiles of a latency in seconds.
type Quantiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// A Decision of fleet and the cloud call that carried it out.
type Decision struct {
	Offering string  `json:"offering"`
	Nodes    int     `json:"nodes"`
	Call     string  `json:"call"`
	Seconds  float64 `json:"seconds"`
}

// A Workload as the observer saw it.
type Workload struct {
	Name                 string `json:"name"`
	PeakReplicas         int    `json:"peakReplicas"`
	PeakCloudReplicas    int    `json:"peakCloudReplicas"`
	NeededCloudReplicas  int    `json:"neededCloudReplicas"`
	ReadyFloorViolations int    `json:"readyFloorViolations"`
}

// Cloud is what a cloud account saw.
type Cloud struct {
	Name string `json:"name"`
	// APICalls that reached it.
	APICalls int `json:"apiCalls"`
	// Created objects by kind.
	Created    map[string]int `json:"created"`
	Leaked     []string       `json:"leaked"`
	Duplicates []string       `json:"duplicates"`
	// CostTotal of everything, in simulated CNY.
	CostTotal float64 `json:"costTotal"`
}

// A Promise is kept or not. Detail says what was seen.
type Promise struct {
	Promise string `json:"promise"`
	Kept    bool   `json:"kept"`
	Detail  string `json:"detail"`
}

// guaranteedWithin bounds the time that reserved replicas take, in seconds: no
// machine has to come for them.
const guaranteedWithin = 10

// facts are what is known when the story ends, beside what is in the report.
type facts struct {
	// surging is the workload whose demand rises, to so many replicas.
	surging string
	surge   int
	// phases that were to be reached.
	phases int
	// live objects in the cloud, and managed resources, at the end.
	live, managed []string
	// missing is what the observer says of the workloads at the end.
	missing []string
	// guaranteed is how many seconds reserved replicas took to be Ready.
	guaranteed float64
}

// judge computes the promises and OK.
func (r *Report) judge(f facts) {
	r.Promises = nil
	promise := func(kept bool, promise, format string, args ...any) {
		r.Promises = append(r.Promises, Promise{Promise: promise, Kept: kept, Detail: fmt.Sprintf(format, args...)})
	}

	reached, last := 0, "nothing"
	for _, p := range r.Phases {
		if p.Reached {
			reached++
		}
		last = p.Name
	}
	promise(reached == f.phases, "the whole story is told", "%d of %d phases reached, the last was %q", reached, f.phases, last)

	for _, w := range r.Workloads {
		if w.Name != f.surging {
			promise(w.PeakCloudReplicas == 0, w.Name+" stays at home", "%d replicas in the cloud at most", w.PeakCloudReplicas)
			continue
		}
		promise(w.PeakReplicas >= f.surge, w.Name+" gets all it asks for", "%d of %d replicas Ready, and up to %d while some moved", min(w.PeakReplicas, f.surge), f.surge, w.PeakReplicas)
		promise(w.PeakCloudReplicas == w.NeededCloudReplicas && w.NeededCloudReplicas > 0, "only what does not fit goes to the cloud",
			"%d replicas of %s in the cloud at the peak, %d had no room at home", w.PeakCloudReplicas, w.Name, w.NeededCloudReplicas)
	}
	lost := 0
	for _, w := range r.Workloads {
		lost += w.ReadyFloorViolations
	}
	promise(lost == 0 && len(r.Workloads) > 0, "no replica leaves before its substitute is Ready", "%d replicas lost", lost)
	promise(r.PDBViolations == 0, "disruption budgets hold", "%d broken", r.PDBViolations)
	promise(r.DecisionSeconds.Count > 0 && r.DecisionSeconds.P99 <= 1, "the cloud is called within a second",
		"%d decisions, p99 %.2f s", r.DecisionSeconds.Count, r.DecisionSeconds.P99)

	promise(f.guaranteed > 0 && f.guaranteed <= guaranteedWithin, "what was reserved is there when it is needed", "%d replicas Ready after %.1f s", reserved, f.guaranteed)
	for _, c := range r.Cloud {
		promise(c.Created["cluster"] > 0, "the pool rents from "+c.Name, "%d clusters, CNY %.2f", c.Created["cluster"], c.CostTotal)
		promise(len(c.Leaked) == 0, "nothing leaks in "+c.Name, "%s", orNothing(c.Leaked))
		promise(len(c.Duplicates) == 0, "nothing is made twice in "+c.Name, "%s", orNothing(c.Duplicates))
	}
	promise(len(r.Cloud) > 0 && len(f.live) == 0, "both cloud accounts are empty in the end", "%s", orNothing(f.live))
	promise(len(f.managed) == 0, "no managed resource is left", "%s", orNothing(f.managed))
	promise(len(f.missing) == 0, "the self-built clusters go on running what they ran", "%s", orNothing(f.missing))

	r.OK = true
	for _, p := range r.Promises {
		r.OK = r.OK && p.Kept
	}
}

func orNothing(s []string) string {
	switch {
	case len(s) == 0:
		return "nothing found"
	case len(s) > 5:
		return fmt.Sprintf("%s and %d more", strings.Join(s[:5], ", "), len(s)-5)
	}
	return strings.Join(s, ", ")
}

// write the report as JSON.
func (r *Report) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("cannot create folder of the report: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the report: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}
