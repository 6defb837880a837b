package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

func TestFamilies(t *testing.T) {
	sim, err := simulation.New()
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			c := f.cluster(30, 4, 1)
			base, err := snapshot.New(c.nodes, c.pods)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.place(context.Background(), sim, base.Fork(), 30)
			if err != nil || got.pods != 30 {
				t.Errorf("\nEvery family can be measured.\nplace(...): want 30 pods, got %d, %v", got.pods, err)
			}
		})
	}
}

func TestWriteWorkloads(t *testing.T) {
	dir := t.TempDir()
	if err := writeWorkloads(dir, families(), []int{10, 20}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "simulation.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name             string
		WorkloadTemplate []struct{ NodeTemplatePath, PodTemplatePath string }
		Workloads        []struct{ Params map[string]int }
	}
	if err := yaml.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != len(families()) {
		t.Errorf("\nEvery family is a case.\nwriteWorkloads(...): want %d, got %d", len(families()), len(cases))
	}
	for _, c := range cases {
		for _, op := range c.WorkloadTemplate {
			if _, err := os.Stat(filepath.Join(dir, op.NodeTemplatePath+op.PodTemplatePath)); err != nil {
				t.Errorf("\nEvery template of %s is there.\nwriteWorkloads(...): %v", c.Name, err)
			}
		}
		if want := []int{10, 20}; len(c.Workloads) != 2 || c.Workloads[0].Params["nodes"] != want[0] || c.Workloads[1].Params["nodes"] != want[1] {
			t.Errorf("\nEvery size is a workload of %s.\nwriteWorkloads(...): got %v", c.Name, c.Workloads)
		}
	}
}

func TestReadItems(t *testing.T) {
	dir := t.TempDir()
	items := `{"version":"v1","dataItems":[
		{"data":{"Average":285.5},"unit":"pods/s","labels":{"Name":"BenchmarkPerfScheduling/spread_by_zone/5000/namespace-1","Metric":"SchedulingThroughput"}},
		{"data":{"Average":3.5},"unit":"ms","labels":{"Name":"BenchmarkPerfScheduling/spread_by_zone/5000","Metric":"scheduler_scheduling_algorithm_duration_seconds"}}]}`
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(items), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readItems(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]rivalFigure{"spread by zone/5000": {throughput: 285.5, algorithm: 0.0035}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(rivalFigure{})); diff != "" {
		t.Errorf("\nFigures are found by family and size.\nreadItems(...): -want, +got:\n%s", diff)
	}
	if _, err := readItems(t.TempDir()); err == nil {
		t.Error("\nNo figures are an error.\nreadItems(...): got none")
	}
}
