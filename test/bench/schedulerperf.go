package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
)

const (
	// schedulerPerfPath is a module of its own, built as a test and run as a
	// child.
	schedulerPerfPath    = "test/bench/schedulerperf"
	schedulerPerfTimeout = 40 * time.Minute

	algorithmMetric  = "scheduler_scheduling_algorithm_duration_seconds"
	throughputMetric = "SchedulingThroughput"
)

// A rivalFigure is pods a second, and the mean seconds to find a node.
type rivalFigure struct {
	throughput, algorithm float64
}

func rivalKey(family string, nodes int) string { return family + "/" + strconv.Itoa(nodes) }

// runSchedulerPerf has scheduler_perf place many pods of each family in clusters
// of each size, and returns its figures.
func runSchedulerPerf(ctx context.Context, r *run, fs []family, sizes []int) (map[string]rivalFigure, error) {
	root, err := binaries.Root()
	if err != nil {
		return nil, err
	}
	set, err := binaries.Ensure(ctx, filepath.Join(r.dir, "simulation", "bin"), r.log, binaries.Etcd)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(r.dir, "simulation", "scheduler_perf")
	items := filepath.Join(dir, "items")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(items, 0o750)); err != nil {
		return nil, fmt.Errorf("cannot make folder of scheduler_perf: %w", err)
	}
	if err := writeWorkloads(dir, fs, sizes); err != nil {
		return nil, err
	}
	binary := filepath.Join(r.dir, "simulation", "scheduler_perf.test")
	module := filepath.Join(root, filepath.FromSlash(schedulerPerfPath))
	done := r.log.Step("scheduler_perf and karmada's estimator are built")
	for _, args := range [][]string{
		{"test", "-C", module, "-c", "-o", binary, "."},
		{"build", "-C", module, "-o", filepath.Join(r.dir, "simulation", "estimator"), "./estimator"},
	} {
		if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("cannot build scheduler_perf and karmada's estimator: %w\n%s", err, out)
		}
	}
	done()

	done = r.log.Step("scheduler_perf has placed its pods")
	ctx, cancel := context.WithTimeout(ctx, schedulerPerfTimeout)
	defer cancel()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, fmt.Errorf("cannot create log of scheduler_perf: %w", err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench=.", "-test.benchtime=1ns", "-test.timeout=0", "-data-items-dir="+items)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(set.Path(binaries.Etcd))+string(os.PathListSeparator)+os.Getenv("PATH"))
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cannot run scheduler_perf, see %s: %w", log.Name(), err)
	}
	done()
	return readItems(items)
}

// writeWorkloads writes the configuration of scheduler_perf and the templates of
// nodes and pods, which are those of ours.
func writeWorkloads(dir string, fs []family, sizes []int) error {
	type object = map[string]any
	write := func(name string, v any, replace ...string) error {
		raw, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("cannot encode %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(replace...).Replace(string(raw))), 0o600); err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
		return nil
	}
	if err := write("node.yaml", simulatedNode("node-{{.Index}}", "z{{mod .Index 3}}", 4)); err != nil {
		return err
	}
	var cases []object
	for i, f := range fs {
		ops := []object{{"opcode": "createNodes", "countParam": "$nodes", "nodeTemplatePath": "node.yaml"}}
		for k, mods := range f.existing {
			name := fmt.Sprintf("existing-%d-%d.yaml", i, k)
			p := simulated("", mods...)
			p.GenerateName = "existing-"
			if err := write(name, p); err != nil {
				return err
			}
			ops = append(ops, object{"opcode": "createPods", "countParam": "$existing", "podTemplatePath": name, "namespace": simulatedNamespace})
		}
		name := fmt.Sprintf("measured-%d.yaml", i)
		p := simulated("", f.mods...)
		p.GenerateName = "measured-"
		var replace []string
		if f.different {
			p.Labels = map[string]string{"n": "p{{.Index}}"}
			replace = []string{"cpu: 100m", `cpu: '{{printf "1%02dm" (mod .Index 90)}}'`}
		}
		if err := write(name, p, replace...); err != nil {
			return err
		}
		ops = append(ops, object{"opcode": "createPods", "countParam": "$measured", "podTemplatePath": name, "namespace": simulatedNamespace, "collectMetrics": true})
		var workloads []object
		for _, n := range sizes {
			copies := rivalCopies
			if f.exclusive {
				copies = min(copies, n)
			}
			workloads = append(workloads, object{
				"name": strconv.Itoa(n), "labels": []string{"performance"},
				"params": map[string]int{"nodes": n, "existing": n / len(f.existing), "measured": copies},
			})
		}
		cases = append(cases, object{
			"name": f.name, "workloadTemplate": ops, "workloads": workloads,
			"metricsCollectorConfig": object{"metrics": object{algorithmMetric: nil}},
		})
	}
	return write("simulation.yaml", cases)
}

// readItems reads the figures that scheduler_perf wrote.
func readItems(dir string) (map[string]rivalFigure, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(errors.New("scheduler_perf wrote no figures"), err)
	}
	out := map[string]rivalFigure{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read figures of scheduler_perf: %w", err)
		}
		var items struct {
			DataItems []struct {
				Data   map[string]float64
				Unit   string
				Labels map[string]string
			}
		}
		if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&items); err != nil {
			return nil, fmt.Errorf("cannot decode figures of scheduler_perf: %w", err)
		}
		for _, item := range items.DataItems {
			// The name is that of the benchmark: BenchmarkPerfScheduling/FAMILY/NODES/...
			parts := strings.Split(item.Labels["Name"], "/")
			if len(parts) < 3 {
				continue
			}
			key := strings.ReplaceAll(parts[1], "_", " ") + "/" + strings.SplitN(parts[2], "-", 2)[0]
			f := out[key]
			switch item.Labels["Metric"] {
			case throughputMetric:
				f.throughput = item.Data["Average"]
			case algorithmMetric:
				f.algorithm = item.Data["Average"]
				if item.Unit == "ms" {
					f.algorithm /= 1000
				}
			}
			out[key] = f
		}
	}
	return out, nil
}

// karpenterRate is how many identical pods a second karpenter's provisioning
// scheduler packs onto nodes of one type, which it thinks up as it goes.
func karpenterRate(ctx context.Context, r *run) (float64, error) {
	root, err := binaries.Root()
	if err != nil {
		return 0, err
	}
	rival := filepath.Join(r.dir, "karpenter")
	done := r.log.Step("karpenter is built")
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(root, filepath.FromSlash(packerPath)), "-o", rival, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cannot build karpenter: %w\n%s", err, out)
	}
	done()
	res, err := packWith(ctx, rival, &packing{
		Types:  []packedType{{Name: "node", MilliCPU: 4000, Memory: 4 << 33, Pods: 110, Price: 1}},
		Shapes: []packedShape{{MilliCPU: 100, Memory: 500 << 20, Count: manyCopies}},
	})
	if err != nil {
		return 0, fmt.Errorf("cannot pack pods with karpenter: %w", err)
	}
	if res.Unplaced > 0 {
		return 0, fmt.Errorf("karpenter left %d pods without a place", res.Unplaced)
	}
	return manyCopies / res.Seconds, nil
}

// karmadaEstimate counts with the node estimator of karmada-scheduler-estimator,
// in a process of its own and without gRPC.
func karmadaEstimate(ctx context.Context, r *run, c simulatedCluster, template *corev1.Pod) (timed, error) {
	binary := filepath.Join(r.dir, "simulation", "estimator")
	in, err := json.Marshal(map[string]any{"nodes": c.nodes, "pods": c.pods, "request": template.Spec.Containers[0].Resources.Requests, "runs": simulationRuns})
	if err != nil {
		return timed{}, fmt.Errorf("cannot encode a cluster: %w", err)
	}
	cmd := exec.CommandContext(ctx, binary)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return timed{}, fmt.Errorf("cannot run karmada's estimator: %w", err)
	}
	var out struct {
		Count   int     `json:"count"`
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return timed{}, fmt.Errorf("cannot read the result of karmada's estimator: %w", err)
	}
	return timed{pods: out.Count, elapsed: time.Duration(out.Seconds * float64(time.Second))}, nil
}
