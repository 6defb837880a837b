// Package schedulerperf runs scheduler_perf, kube-scheduler's own benchmark, on
// the workloads in simulation.yaml of the working directory. The benchmark
// "simulation" writes them, and builds and runs this.
package schedulerperf

import (
	"fmt"
	"os"
	"testing"

	_ "k8s.io/component-base/logs/json/register"
	perf "k8s.io/kubernetes/test/integration/scheduler_perf"
)

func TestMain(m *testing.M) {
	if err := perf.InitTests(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func BenchmarkPerfScheduling(b *testing.B) {
	perf.RunBenchmarkPerfScheduling(b, "simulation.yaml", "simulation", nil)
}
