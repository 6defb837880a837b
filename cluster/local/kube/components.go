package kube

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/process"
)

// Components of a control plane, as Process takes them.
const (
	componentAPIServer   = "kube-apiserver"
	componentControllers = "kube-controller-manager"
	componentScheduler   = "kube-scheduler"
	componentKwok        = "kwok"
)

// schedulerConfig retries pods that did not fit every second, so that they are
// placed as soon as a node comes.
const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %q, qps: %d, burst: %d}
leaderElection: {leaderElect: false}
enableProfiling: false
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 2
`

func (cp *ControlPlane) startAPIServer(ctx context.Context) error {
	_, err := cp.o.Procs.Start(ctx, process.Spec{
		Name:   cp.processName(componentAPIServer),
		Path:   cp.o.Binaries.Path(binaries.KubeAPIServer),
		Port:   cp.port,
		Health: cp.Endpoint() + "/readyz",
		Grace:  process.NoGrace,
		Args: slices.Concat([]string{
			"--etcd-servers=" + cp.o.Etcd,
			"--etcd-prefix=" + cp.etcdPrefix(),
			"--bind-address=127.0.0.1",
			"--advertise-address=127.0.0.1",
			"--secure-port=" + strconv.Itoa(cp.port),
			"--endpoint-reconciler-type=none",
			"--tls-cert-file=" + cp.File("tls.crt"),
			"--tls-private-key-file=" + cp.File("tls.key"),
			"--client-ca-file=" + cp.File("ca.crt"),
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + cp.File("sa.pub"),
			"--service-account-signing-key-file=" + cp.File("sa.key"),
			"--requestheader-client-ca-file=" + cp.File("ca.crt"),
			"--requestheader-allowed-names=" + frontProxyUser,
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--requestheader-group-headers=X-Remote-Group",
			"--requestheader-username-headers=X-Remote-User",
			"--proxy-client-cert-file=" + cp.File("front-proxy.crt"),
			"--proxy-client-key-file=" + cp.File("front-proxy.key"),
			"--authorization-mode=Node,RBAC",
			"--service-cluster-ip-range=" + serviceCIDR,
			"--disable-admission-plugins=ServiceAccount",
			"--allow-privileged=true",
			// One machine runs all of this: fairness between clients costs more
			// than it gives.
			"--enable-priority-and-fairness=false",
			"--profiling=false",
			"--v=1",
		}, cp.o.APIServerArgs),
	})
	return err
}

func (cp *ControlPlane) startControllerManager(ctx context.Context) error {
	port, err := cp.reservePort()
	if err != nil {
		return err
	}
	_, err = cp.o.Procs.Start(ctx, process.Spec{
		Name:   cp.processName(componentControllers),
		Path:   cp.o.Binaries.Path(binaries.KubeControllerManager),
		Port:   port,
		Health: fmt.Sprintf("https://127.0.0.1:%d/healthz", port),
		Grace:  process.NoGrace,
		Args: slices.Concat([]string{
			"--kubeconfig=" + cp.KubeconfigPath(),
			"--authentication-kubeconfig=" + cp.KubeconfigPath(),
			"--authorization-kubeconfig=" + cp.KubeconfigPath(),
			"--bind-address=127.0.0.1",
			"--secure-port=" + strconv.Itoa(port),
			"--tls-cert-file=" + cp.File("tls.crt"),
			"--tls-private-key-file=" + cp.File("tls.key"),
			"--root-ca-file=" + cp.File("ca.crt"),
			"--service-account-private-key-file=" + cp.File("sa.key"),
			"--cluster-signing-cert-file=" + cp.File("ca.crt"),
			"--cluster-signing-key-file=" + cp.File("ca.key"),
			"--controllers=" + cp.o.Controllers,
			"--allocate-node-cidrs=false",
			"--leader-elect=false",
			"--use-service-account-credentials=false",
			"--kube-api-qps=" + strconv.Itoa(clientQPS),
			"--kube-api-burst=" + strconv.Itoa(clientBurst),
			"--node-monitor-period=2s",
			"--pvclaimbinder-sync-period=5s",
			"--profiling=false",
			"--v=1",
		}, cp.o.ControllerArgs),
	})
	return err
}

func (cp *ControlPlane) startScheduler(ctx context.Context) error {
	port, err := cp.reservePort()
	if err != nil {
		return err
	}
	_, err = cp.o.Procs.Start(ctx, process.Spec{
		Name:   cp.processName(componentScheduler),
		Path:   cp.o.Binaries.Path(binaries.KubeScheduler),
		Port:   port,
		Health: fmt.Sprintf("https://127.0.0.1:%d/healthz", port),
		Grace:  process.NoGrace,
		Args: []string{
			"--config=" + cp.File("scheduler.yaml"),
			"--authentication-kubeconfig=" + cp.KubeconfigPath(),
			"--authorization-kubeconfig=" + cp.KubeconfigPath(),
			"--bind-address=127.0.0.1",
			"--secure-port=" + strconv.Itoa(port),
			"--tls-cert-file=" + cp.File("tls.crt"),
			"--tls-private-key-file=" + cp.File("tls.key"),
			"--v=1",
		},
	})
	return err
}

func (cp *ControlPlane) startKwok(ctx context.Context) error {
	port, err := cp.reservePort()
	if err != nil {
		return err
	}
	stages, err := filepath.Glob(filepath.Join(cp.o.Binaries.Data(binaries.KwokStages), "*.yaml"))
	if err != nil {
		return fmt.Errorf("cannot list stages of kwok: %w", err)
	}
	args := []string{
		"--kubeconfig=" + cp.KubeconfigPath(),
		"--manage-all-nodes=true",
		"--node-lease-duration-seconds=40",
		"--server-address=127.0.0.1:" + strconv.Itoa(port),
	}
	for _, s := range stages {
		args = append(args, "--config="+s)
	}
	_, err = cp.o.Procs.Start(ctx, process.Spec{
		Name:   cp.processName(componentKwok),
		Path:   cp.o.Binaries.Path(binaries.Kwok),
		Port:   port,
		Health: fmt.Sprintf("http://127.0.0.1:%d/healthz", port),
		Grace:  process.NoGrace,
		Args:   args,
		// kwok reads its configuration from the user's home too, unless told
		// that this is the home.
		Env: []string{"KWOK_WORKDIR=" + cp.o.Dir},
	})
	return err
}
