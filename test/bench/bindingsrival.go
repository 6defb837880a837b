package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

// bindingQPS are the rungs of karmada-scheduler: its defaults, then more of both
// its limits, that of requests and that of its queue.
var bindingQPS = []int{0, 200, 1000, 5000}

// climb finds out with which QPS karmada-scheduler is fastest.
func (p *placing) climb(ctx context.Context, r *run) (string, starter, error) {
	if err := p.startEstimators(ctx); err != nil {
		return "", nil, err
	}
	best, fastest := 0, 0.0
	for _, qps := range bindingQPS {
		name := fmt.Sprintf("qps-%d", qps)
		var started *process.Process
		got, err := p.place(ctx, name, name, bindingRung, true, func(ctx context.Context, _ string) (err error) {
			started, err = p.startScheduler(ctx, name, qps)
			return err
		})
		if err != nil {
			return "", nil, err
		}
		started.Stop()
		r.log.Printf("karmada-scheduler, QPS %d (0: its defaults): %.1f bindings a second", qps, got.drained)
		if got.drained < fastest*betterBy {
			break
		}
		best, fastest = qps, got.drained
	}
	const name = "fastest"
	once := sync.OnceValue(func() error {
		_, err := p.startScheduler(ctx, name, best)
		return err
	})
	return name, func(context.Context, string) error { return once() }, nil
}

// startScheduler starts a karmada-scheduler that asks Karmada's own estimators.
func (p *placing) startScheduler(ctx context.Context, name string, qps int) (*process.Process, error) {
	args := []string{
		"--kubeconfig=" + p.Plane(stack.Karmada).KubeconfigPath(), "--feature-gates=CustomizedClusterResourceModeling=false",
		"--leader-elect=false", "--scheduler-name=" + name, "--enable-scheduler-estimator",
	}
	if qps > 0 {
		for _, f := range []string{"kube-api-qps", "kube-api-burst", "rate-limiter-qps", "rate-limiter-bucket-size"} {
			args = append(args, fmt.Sprintf("--%s=%d", f, qps))
		}
	}
	return p.startProgram(ctx, "karmada-scheduler-"+name, binaries.KarmadaScheduler, 0, args...)
}

// startEstimators starts Karmada's own estimator of each member.
func (p *placing) startEstimators(ctx context.Context) error {
	for i := range bindingMembers {
		name := fmt.Sprintf("m-%d", i)
		reserved, err := ports.ReserveN(1)
		if err != nil {
			return fmt.Errorf("cannot reserve a port: %w", err)
		}
		p.ports = append(p.ports, reserved...)
		if _, err := p.startProgram(ctx, "estimator-"+name, binaries.KarmadaEstimator, reserved[0],
			"--kubeconfig="+p.Plane(name).KubeconfigPath(), "--cluster-name="+name, "--server-port="+strconv.Itoa(reserved[0]),
		); err != nil {
			return err
		}
		if err := p.karmada.Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "karmada-system", Name: "karmada-scheduler-estimator-" + name},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: []corev1.ServicePort{{
				Name: "grpc", Port: 10352, TargetPort: intstr.FromInt(reserved[0]),
			}}},
		}); err != nil {
			return fmt.Errorf("cannot announce the estimator of %s: %w", name, err)
		}
	}
	return nil
}

// startProgram starts one of Karmada's programs.
func (p *placing) startProgram(ctx context.Context, name, program string, port int, args ...string) (*process.Process, error) {
	reserved, err := ports.ReserveN(2)
	if err != nil {
		return nil, fmt.Errorf("cannot reserve ports: %w", err)
	}
	p.ports = append(p.ports, reserved...)
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	started, err := p.procs.Start(ctx, process.Spec{
		Name: name, Path: p.bins.Path(program), Port: port, Health: "http://" + at(reserved[1]) + "/healthz", Grace: process.NoGrace,
		Args: append([]string{"--metrics-bind-address=" + at(reserved[0]), "--health-probe-bind-address=" + at(reserved[1])}, args...),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	return started, nil
}
