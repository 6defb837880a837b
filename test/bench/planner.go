package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	// packer is karpenter's provisioning scheduler. It is a module of its own in
	// packerPath, run as a child.
	packer     = "karpenter-1.11.1"
	packerPath = "test/bench/karpenter"

	plannedShapes   = 50
	plannedReplicas = 200
	// plannerRuns of ours, of which the median counts. Those of the rival take
	// much longer: it has one.
	plannerRuns = 5
)

// A packing is a problem for planner and rival alike.
type packing struct {
	Types  []packedType  `json:"types"`
	Shapes []packedShape `json:"shapes"`

	name string
}

type packedType struct {
	Name     string  `json:"name"`
	MilliCPU int64   `json:"milliCPU"`
	Memory   int64   `json:"memory"`
	Pods     int64   `json:"pods"`
	Price    float64 `json:"price"`
}

type packedShape struct {
	MilliCPU int64 `json:"milliCPU"`
	Memory   int64 `json:"memory"`
	Count    int   `json:"count"`
}

// A packed problem: what it took and what came out.
type packed struct {
	Seconds  float64 `json:"seconds"`
	Bytes    uint64  `json:"bytes"`
	Nodes    int     `json:"nodes"`
	Cost     float64 `json:"cost"`
	Unplaced int     `json:"unplaced"`
}

// plannerBench gives unmet replicas and offerings to the planner, and the same
// pods and instance types to karpenter's provisioning scheduler.
func plannerBench(ctx context.Context, r *run) (outcome, error) {
	root, err := binaries.Root()
	if err != nil {
		return outcome{}, err
	}
	rival := filepath.Join(r.dir, "karpenter")
	done := r.log.Step("the rival is built")
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(root, filepath.FromSlash(packerPath)), "-o", rival, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return outcome{}, fmt.Errorf("cannot build the rival: %w\n%s", err, out)
	}
	done()
	sim, err := simulation.New()
	if err != nil {
		return outcome{}, fmt.Errorf("cannot make a simulator: %w", err)
	}
	defer sim.Close()
	out := outcome{met: true}
	for _, p := range packings(r.seed) {
		b, err := packWith(ctx, rival, &p)
		if err != nil {
			return out, fmt.Errorf("cannot pack %s with the rival: %w", p.name, err)
		}
		a, err := plan(ctx, &p, sim, nil)
		if err != nil {
			return out, fmt.Errorf("cannot plan %s: %w", p.name, err)
		}
		limit := int32(b.Nodes)
		few, err := plan(ctx, &p, sim, &limit)
		if err != nil {
			return out, fmt.Errorf("cannot plan %s with %d nodes: %w", p.name, limit, err)
		}
		beside := func(what string, a, b float64) {
			out.cases = append(out.cases, Case{Case: p.name + ": " + what, Ours: round(a), Rivals: map[string]float64{packer: round(b)}})
		}
		beside("seconds", a.Seconds, b.Seconds)
		beside("MiB allocated", float64(a.Bytes)/(1<<20), float64(b.Bytes)/(1<<20))
		beside("cost an hour", a.Cost, b.Cost)
		beside("nodes", float64(a.Nodes), float64(b.Nodes))
		const limited = " (limits.nodes as many as the rival's)"
		beside("seconds"+limited, few.Seconds, b.Seconds)
		beside("cost an hour"+limited, few.Cost, b.Cost)
		beside("nodes"+limited, float64(few.Nodes), float64(b.Nodes))
		beside("replicas without a place", float64(a.Unplaced+few.Unplaced), float64(b.Unplaced))
		out.met = out.met && a.Unplaced+few.Unplaced == 0 && max(a.Seconds, few.Seconds) < b.Seconds && few.Nodes <= b.Nodes && max(a.Cost, few.Cost) <= b.Cost
	}
	return out, nil
}

// packings are 50 shapes, and 60 types: four families in five sizes, each in
// three generations. The price of a type is in proportion to its size, and in
// one of them it is not.
func packings(seed uint64) []packing {
	var out []packing
	for i, v := range []struct {
		name               string
		milli, mib, noises int
	}{
		{"mixed replicas", 4000, 12800, 0},
		{"small replicas", 1000, 3200, 0},
		{"large replicas", 16000, 51200, 0},
		{"uneven prices", 4000, 12800, 10},
	} {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		p := packing{name: v.name}
		for _, f := range []struct {
			name string
			gib  int64
			cpu  float64
		}{{"hc", 1, 0.037}, {"c", 2, 0.040}, {"g", 4, 0.050}, {"r", 8, 0.065}} {
			for generation := range 3 {
				for _, cpus := range []int64{4, 8, 16, 32, 64} {
					price := f.cpu * float64(cpus) * (1 + 0.03*float64(generation)) * (1 + float64(r.IntN(v.noises+1))/100)
					// The planner counts in millionths.
					price = float64(int64(price*1e6)) / 1e6
					p.Types = append(p.Types, packedType{
						Name: f.name + strconv.Itoa(generation) + "-" + strconv.FormatInt(cpus, 10), MilliCPU: cpus*1000 - 200, Memory: cpus*f.gib<<30 - 1<<29, Pods: 110, Price: price,
					})
				}
			}
		}
		for range plannedShapes {
			p.Shapes = append(p.Shapes, packedShape{MilliCPU: int64(v.milli / 40 * (1 + r.IntN(40))), Memory: int64(v.mib/100*(1+r.IntN(100))) << 20, Count: plannedReplicas})
		}
		out = append(out, p)
	}
	return out
}

// packWith runs the rival.
func packWith(ctx context.Context, binary string, p *packing) (packed, error) {
	in, err := json.Marshal(p)
	if err != nil {
		return packed{}, fmt.Errorf("cannot encode the problem: %w", err)
	}
	cmd := exec.CommandContext(ctx, binary)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return packed{}, fmt.Errorf("cannot run it: %w", err)
	}
	var out packed
	if err := json.Unmarshal(raw, &out); err != nil {
		return packed{}, fmt.Errorf("cannot read its result: %w", err)
	}
	return out, nil
}

// plan has the planner decide, with a limit of nodes if there is one, and
// returns the median of several runs.
func plan(ctx context.Context, p *packing, sim simulation.Simulator, limit *int32) (packed, error) {
	var runs []packed
	for range plannerRuns {
		in, err := p.input(sim)
		if err != nil {
			return packed{}, err
		}
		in.Plan.Spec.Limits.Nodes = limit
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		made, err := planner.Make(ctx, in)
		if err != nil {
			return packed{}, fmt.Errorf("cannot make a plan: %w", err)
		}
		out := packed{Seconds: time.Since(began).Seconds()}
		runtime.ReadMemStats(&after)
		out.Bytes = after.TotalAlloc - before.TotalAlloc
		for i, o := range made.Status.Offerings {
			out.Nodes += int(o.Nodes)
			out.Cost += float64(o.Nodes) * p.Types[i].Price
		}
		if c := meta.FindStatusCondition(made.Status.Conditions, fleetv1alpha1.ConditionCapacitySufficient); c.Status != "True" {
			out.Unplaced = unplaced(c.Message)
		}
		runs = append(runs, out)
	}
	slices.SortFunc(runs, func(a, b packed) int {
		if a.Seconds < b.Seconds {
			return -1
		}
		return 1
	})
	return runs[len(runs)/2], nil
}

// unplaced reads from the condition of a plan how many replicas have no place.
func unplaced(message string) int {
	n := 1
	if _, err := fmt.Sscanf(message, "%d replicas", &n); err != nil {
		return 1
	}
	return n
}

// input is the problem as the planner is given it: an elastic member without
// nodes, and a demand for each shape.
func (p *packing) input(sim simulation.Simulator) (planner.Input, error) {
	empty, err := snapshot.New(nil, nil)
	if err != nil {
		return planner.Input{}, fmt.Errorf("cannot make an empty member: %w", err)
	}
	now := time.Now()
	in := planner.Input{
		Now: now, SeenAt: now, Simulator: sim, Settings: planner.DefaultSettings,
		Plan:    &fleetv1alpha1.CapacityPlan{Spec: fleetv1alpha1.CapacityPlanSpec{Members: []fleetv1alpha1.PlanMember{{Name: "cloud", Tier: 1, Elastic: true}}}},
		Members: map[string]planner.Member{"cloud": {State: scheduler.Serving, Snapshot: empty, Fork: empty.Fork(), Simulator: sim}},
	}
	for _, t := range p.Types {
		in.Plan.Spec.Offerings = append(in.Plan.Spec.Offerings, fleetv1alpha1.Offering{
			Name: t.Name, Member: "cloud", Max: 10_000, HourlyPrice: *resource.NewScaledQuantity(int64(t.Price*1e6+0.5), resource.Micro),
			Allocatable: corev1.ResourceList{
				corev1.ResourceCPU: *resource.NewMilliQuantity(t.MilliCPU, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(t.Memory, resource.BinarySI),
				corev1.ResourcePods: *resource.NewQuantity(t.Pods, resource.DecimalSI),
			},
		})
	}
	for i, s := range p.Shapes {
		name := fmt.Sprintf("w%d", i)
		in.Demands = append(in.Demands, scheduler.Demand{
			Binding: "default/" + name, Count: int32(s.Count), Workload: snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: name},
			Template: &scheduler.Template{Namespace: "default", Spec: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: *resource.NewMilliQuantity(s.MilliCPU, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(s.Memory, resource.BinarySI),
				}},
			}}}}},
		})
	}
	return in, nil
}
