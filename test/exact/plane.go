// Package exact compares internal/simulation and internal/snapshot with a real
// kube-scheduler on a real kube-apiserver, scenario by scenario. A scenario is
// a batch of identical pods that meets a world of nodes, pods and volumes; all
// of it is random and follows from a seed.
package exact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/etcd"
	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Names of what is in every world.
const (
	namespaceWork    = "work"
	namespaceOther   = "other"
	namespaceLimited = "limited"

	classNever = "never"
	classEqual = "equal"
	classTop   = "top"
	classHigh  = "high"
	classLow   = "low"
	classVMs   = "vms"
	classZonal = "zonal"
	driver     = "disk.example.org"

	claimShared = "shared"
	claimSingle = "single"

	schedulerName = "exact-kube-scheduler"

	profilePacked = "packed"
	profileSpread = "spread"
	// profileSpreadKey is over what a profile spreads pods that do not say.
	profileSpreadKey = rackLabel
)

var namespaces = []string{namespaceWork, namespaceOther, namespaceLimited}

// priorities are the classes of pods. All but the high one never preempt.
var priorities = map[string]int32{classLow: -10, classNever: 1000, classHigh: 2000, classEqual: 2000, classTop: 3000}

// The controllers that pods with volumes and devices need. No other runs: nothing but the
// scheduler and the scenarios changes nodes and pods.
const controllers = "persistentvolume-binder-controller,ephemeral-volume-controller,resourceclaim-controller"

// schedulerConfig looks at all nodes, as the simulation does, and tries again
// soon.
const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %q, qps: 5000, burst: 5000}
leaderElection: {leaderElect: false}
enableProfiling: false
percentageOfNodesToScore: 100
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 1
profiles:
- schedulerName: default-scheduler
- schedulerName: packed
  plugins:
    multiPoint:
      disabled: [{name: TaintToleration}, {name: NodePorts}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 3}, {name: memory, weight: 1}]}
- schedulerName: spread
  pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}]
  - name: PodTopologySpread
    args:
      defaultingType: List
      defaultConstraints: [{maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]
`

// A Plane is a real control plane with a kube-scheduler, and the simulation
// that is to agree with it.
type Plane struct {
	client    kubernetes.Interface
	control   *kube.ControlPlane
	procs     *process.Group
	port      int
	member    *snapshot.Member
	simulator *simulation.Scheduler
}

// Start starts a plane that keeps its files in a folder.
func Start(ctx context.Context, dir string, log *progress.Log) (*Plane, error) {
	bins, err := binaries.Ensure(ctx, filepath.Join(dir, "binaries"), log, "etcd", "kubernetes")
	if err != nil {
		return nil, fmt.Errorf("cannot provide binaries: %w", err)
	}
	procs, err := process.NewGroup(filepath.Join(dir, "logs"))
	if err != nil {
		return nil, fmt.Errorf("cannot make process group: %w", err)
	}
	p := &Plane{procs: procs}
	if err := p.start(ctx, dir, bins); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Plane) start(ctx context.Context, dir string, bins *binaries.Set) error {
	data := filepath.Join(dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return fmt.Errorf("cannot remove data of an earlier run: %w", err)
	}
	server, err := etcd.Start(ctx, etcd.Options{Dir: data, Binaries: bins, Procs: p.procs})
	if err != nil {
		return fmt.Errorf("cannot start etcd: %w", err)
	}
	p.control, err = kube.Start(ctx, kube.Options{
		Name: "exact", Dir: filepath.Join(data, "exact"), Etcd: server.URL(), Binaries: bins, Procs: p.procs,
		Controllers: controllers,
		// Nodes are as the scenario says from the start, and what it deletes is
		// gone at once.
		APIServerArgs: []string{"--disable-admission-plugins=TaintNodesByCondition,StorageObjectInUseProtection", "--event-ttl=1m"},
	})
	if err != nil {
		return fmt.Errorf("cannot start control plane: %w", err)
	}
	cfg := p.control.RESTConfig()
	cfg.QPS = -1
	if p.client, err = kubernetes.NewForConfig(cfg); err != nil {
		return fmt.Errorf("cannot make client: %w", err)
	}
	if err := p.furnish(ctx); err != nil {
		return err
	}
	if err := p.startScheduler(ctx, bins); err != nil {
		return err
	}
	scheduling, err := simulation.ParseConfiguration(p.configuration())
	if err != nil {
		return fmt.Errorf("cannot use configuration of kube-scheduler: %w", err)
	}
	if p.simulator, err = simulation.New(simulation.WithConfiguration(scheduling)); err != nil {
		return fmt.Errorf("cannot make simulator: %w", err)
	}
	if p.member, err = snapshot.NewMember("exact", p.control.RESTConfig()); err != nil {
		return fmt.Errorf("cannot make member: %w", err)
	}
	p.member.Start(context.WithoutCancel(ctx))
	return wait(ctx, 30*time.Second, "the member's cache is complete", func(context.Context) (bool, error) {
		return p.member.Synced() && p.member.Contact().Reachable, nil
	})
}

// configuration is that of kube-scheduler and of the simulation.
func (p *Plane) configuration() []byte {
	return fmt.Appendf(nil, schedulerConfig, p.control.KubeconfigPath())
}

func (p *Plane) startScheduler(ctx context.Context, bins *binaries.Set) error {
	var err error
	if p.port, err = ports.Reserve(); err != nil {
		return fmt.Errorf("cannot reserve port of kube-scheduler: %w", err)
	}
	path := p.control.File("exact-scheduler.yaml")
	if err := os.WriteFile(path, p.configuration(), 0o600); err != nil {
		return fmt.Errorf("cannot write configuration of kube-scheduler: %w", err)
	}
	_, err = p.procs.Start(ctx, process.Spec{
		Name: schedulerName, Path: bins.Path(binaries.KubeScheduler), Port: p.port, Grace: process.NoGrace,
		Health: fmt.Sprintf("https://127.0.0.1:%d/healthz", p.port),
		Args: []string{
			"--config=" + path,
			"--authentication-kubeconfig=" + p.control.KubeconfigPath(),
			"--authorization-kubeconfig=" + p.control.KubeconfigPath(),
			"--bind-address=127.0.0.1",
			"--secure-port=" + strconv.Itoa(p.port),
			"--tls-cert-file=" + p.control.File("tls.crt"),
			"--tls-private-key-file=" + p.control.File("tls.key"),
		},
	})
	if err != nil {
		return fmt.Errorf("cannot start kube-scheduler: %w", err)
	}
	return nil
}

// Close stops everything that Start started.
func (p *Plane) Close() error {
	if p.member != nil {
		p.member.Stop()
	}
	if p.simulator != nil {
		p.simulator.Close()
	}
	p.procs.Remove(schedulerName)
	var err error
	if p.control != nil {
		err = p.control.Discard()
	}
	p.procs.Stop()
	if p.port != 0 {
		ports.Release(p.port)
	}
	return err
}

// furnish creates what is in every world.
func (p *Plane) furnish(ctx context.Context) error {
	var errs []error
	for name, team := range map[string]string{namespaceWork: "a", namespaceOther: "b", namespaceLimited: "b"} {
		_, err := p.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": team}}}, metav1.CreateOptions{})
		errs = append(errs, err)
	}
	_, err := p.client.CoreV1().LimitRanges(namespaceLimited).Create(ctx, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "defaults"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, DefaultRequest: list("cpu", "300m"), Default: list("cpu", "2", "memory", "700Mi"),
		}}},
	}, metav1.CreateOptions{})
	errs = append(errs, err)
	for name, value := range priorities {
		c := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, PreemptionPolicy: ptr.To(corev1.PreemptNever)}
		if name == classHigh {
			c.PreemptionPolicy = nil
		}
		_, err := p.client.SchedulingV1().PriorityClasses().Create(ctx, c, metav1.CreateOptions{})
		errs = append(errs, err)
	}
	for _, c := range deviceClasses() {
		_, err := p.client.ResourceV1().DeviceClasses().Create(ctx, c, metav1.CreateOptions{})
		errs = append(errs, err)
	}
	_, err = p.client.NodeV1().RuntimeClasses().Create(ctx, &nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: classVMs}, Handler: classVMs,
		Overhead:   &nodev1.Overhead{PodFixed: list("cpu", "250m", "memory", "120Mi")},
		Scheduling: &nodev1.Scheduling{Tolerations: []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}},
	}, metav1.CreateOptions{})
	errs = append(errs, err)
	// Volumes exist or they do not: no topology allows to make new ones.
	_, err = p.client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: classZonal}, Provisioner: driver, VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer),
		AllowedTopologies: []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: corev1.LabelTopologyZone, Values: []string{"nowhere"}}}}},
	}, metav1.CreateOptions{})
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot furnish the cluster: %w", err)
	}
	return nil
}

// wait calls f until it says true or fails.
func wait(ctx context.Context, within time.Duration, what string, f func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		ok, err := f(ctx)
		if ok && err == nil {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("cannot wait until %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w", what, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
