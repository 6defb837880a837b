// Command bench measures what the project promises, on the real stack. It takes
// the name of a benchmark, or "all", prints a table and writes the figures to
// _output/bench/NAME.json in the checkout.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/progress"
)

// outputPath of the figures and of the stacks' logs, in the checkout.
const outputPath = "_output/bench"

// A benchmark measures one thing.
type benchmark struct {
	name string
	unit string
	goal string
	run  func(ctx context.Context, r *run) (outcome, error)
}

// An outcome is what was measured, and whether the goal is met by it.
type outcome struct {
	cases []Case
	met   bool
}

// A run is what benchmarks are given.
type run struct {
	dir  string
	seed uint64
	// region of the benchmark scale: members x nodes of each x pods on each node.
	region string
	// nodes of the clusters of the benchmark simulation, separated by commas.
	nodes string
	// deployments of the benchmark bindings.
	deployments int
	log         *progress.Log
}

var benchmarks = []benchmark{
	{
		name: "decision", unit: "seconds", run: decision,
		goal: fmt.Sprintf("p99 of at least %d decisions is at most %g", minDecisions, maxDecisionSeconds),
	},
	{
		name: "provider-at-rest", unit: "as each case says", run: atRest,
		goal: "no writes to API servers, and no object that changes, in two minutes",
	},
	{
		name: "placement", unit: "replicas wrongly in the cloud or without a place", run: placement,
		goal: "ours is 0 in every case",
	},
	{
		name: "burst", unit: "seconds", run: emergency,
		goal: fmt.Sprintf("the next cloud is called within %g s, the first replica is Ready within %.1f s", maxNextCloudSeconds, maxFirstReplicaSeconds),
	},
	{
		name: "bindings", unit: "as each case says", run: bindings,
		goal: fmt.Sprintf("from create to spec.clusters %d times as fast as karmada-scheduler", bindingGoal),
	},
	{
		name: "exact", unit: "share of scenarios in which the simulation agrees with kube-scheduler", run: exactness,
		goal: fmt.Sprintf("all of at least %d scenarios agree", minScenarios),
	},
	{
		name: "simulation", unit: "as each case says", run: simulate,
		goal: fmt.Sprintf("%d times scheduler_perf for %d identical pods, %d times for %d, %d times for different ones, %d times for counting, %d times with the snapshot built cold; at most %d ms for %d on a crowded cluster",
			manyGoal, manyCopies, fewGoal, fewCopies, differentGoal, warmGoal, coldGoal, maxCrowdMillis, manyCopies),
	},
	{
		name: "choice", unit: "as each case says", run: choices,
		goal: fmt.Sprintf("1.00 in all of %d cases", choiceCases),
	},
	{
		name: "joint", unit: "as each case says", run: joints,
		goal: fmt.Sprintf("1.00 in all of %d cases", jointCases),
	},
	{
		name: "planner", unit: "as each case says", run: plannerBench,
		goal: "no higher cost than the rival, in less time, with all replicas placed; also when it may use no more nodes than the rival",
	},
	{
		name: "day", unit: "as each case says", run: simulatedDay,
		goal: "of ours no replica is premature, and none unplaced while there is capacity",
	},
	{
		name: "scale", unit: "as each case says", run: scale,
		goal: fmt.Sprintf("at most %d bytes a pod and %d bytes a node beyond client-go, p99 of updates at most %d µs and of placements %d ms",
			maxBytesPerPod, maxBytesPerNode, maxUpdateMicroseconds, maxPlacementMilliseconds),
	},
}

func main() {
	if err := command(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

func command(args []string) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	seed := fs.Uint64("seed", 1, "seed of everything random")
	region := fs.String("region", defaultRegion, "size of the region of the benchmark scale: members x nodes of each x pods on each node")
	nodes := fs.String("nodes", defaultNodes, "nodes of the clusters of the benchmark simulation, separated by commas")
	deployments := fs.Int("deployments", defaultDeployments, "how many the benchmark bindings has placed")
	fs.Usage = func() {
		_, _ = fmt.Fprintf(fs.Output(), "Usage: bench [flags] all|%s\n", strings.Join(names(), "|"))
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return flag.ErrHelp
	}
	chosen, err := choose(fs.Args())
	if err != nil {
		fs.Usage()
		return err
	}
	root, err := binaries.Root()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, filepath.FromSlash(outputPath))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("cannot create folder of the figures: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	// Watches of what is being taken down end with errors: no news.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	log.SetLogger(logr.Discard())
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	var errs []error
	for _, b := range chosen {
		if ctx.Err() != nil {
			break
		}
		fmt.Printf("Benchmark %s: %s\n", b.name, b.goal)
		out, err := b.run(ctx, &run{dir: dir, seed: *seed, region: *region, nodes: *nodes, deployments: *deployments, log: progress.New(os.Stdout)})
		if err != nil {
			errs = append(errs, fmt.Errorf("benchmark %s failed: %w", b.name, err))
			continue
		}
		r := Result{Name: b.name, Unit: b.unit, Goal: b.goal, Met: out.met, Cases: out.cases, Machine: thisMachine(), Seed: *seed}
		r.print(os.Stdout)
		errs = append(errs, r.write(filepath.Join(dir, b.name+".json")))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func names() []string {
	out := make([]string, 0, len(benchmarks))
	for _, b := range benchmarks {
		out = append(out, b.name)
	}
	return out
}

// choose the benchmarks with the given names, in the order they are given.
func choose(args []string) ([]benchmark, error) {
	if len(args) == 0 {
		return nil, errors.New("name a benchmark")
	}
	var out []benchmark
	for _, a := range args {
		if a == "all" {
			return benchmarks, nil
		}
		found := false
		for _, b := range benchmarks {
			if b.name == a {
				out, found = append(out, b), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no benchmark %q", a)
		}
	}
	return out, nil
}
