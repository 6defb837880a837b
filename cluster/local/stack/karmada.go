package stack

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
	"regionpool.io/provider-regionpool/cluster/local/process"
)

const (
	karmadaNamespace  = "karmada-system"
	aggregatedService = "karmada-aggregated-apiserver"
	aggregatedHost    = aggregatedService + "." + karmadaNamespace + ".svc"

	// karmadaControllers are those of kube-controller-manager that Karmada's own
	// installation runs. The controllers of workloads must not: Karmada runs
	// workloads in members.
	karmadaControllers = "namespace-controller,garbage-collector-controller,serviceaccount-token-controller,ttl-after-finished-controller,clusterrole-aggregation-controller"

	// karmadaGates turns resource modeling off: our fleet counts exactly what
	// the models would estimate. Multiple pod templates let bindings say what
	// the pods of a Spark application, or of another group, need.
	karmadaGates = "CustomizedClusterResourceModeling=false,MultiplePodTemplatesScheduling=true"

	karmadaQPS, karmadaBurst = "200", "400"
)

// Karmada's manifests are templates.
var (
	webhookURL = regexp.MustCompile(`https://[^/\s"]*\.svc:443`)
	webhookCA  = regexp.MustCompile(`"?\{\{caBundle\}\}"?`)
)

// startKarmada starts the workload plane: an API server, Karmada, unmodified,
// and our fleet.
func (s *Stack) startKarmada(ctx context.Context) error {
	done := s.log.Step("workload plane: API server is ready")
	o := s.planeOptions(Karmada)
	o.CA, o.Hosts, o.Controllers = s.ca, []string{aggregatedHost}, karmadaControllers
	o.APIServerArgs = []string{"--disable-admission-plugins=StorageObjectInUseProtection"}
	cp, err := kube.StartAPIServer(ctx, o)
	if err != nil {
		return err
	}
	s.addPlane(cp)
	done()
	c, err := client.New(cp.RESTConfig(), client.Options{})
	if err != nil {
		return fmt.Errorf("cannot make client of Karmada: %w", err)
	}

	done = s.log.Step("workload plane: Karmada is ready")
	if err := s.installKarmada(ctx, cp, c); err != nil {
		return err
	}
	ports, err := s.reservePorts(1)
	if err != nil {
		return err
	}
	estimator := loopback(ports[0])
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.startKarmadaControllers(gctx, cp) })
	g.Go(func() error { return s.startKarmadaScheduler(gctx, cp) })
	g.Go(func() error { return cp.StartControllers(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	done()
	return s.startController(ctx, Fleet, []string{
		"--kubeconfig=" + cp.KubeconfigPath(),
		"--estimator-address=" + estimator,
		"--estimator-target=localhost",
	}, nil)
}

// installKarmada brings Karmada's API to life: its CRDs, its aggregated API
// server and its webhook.
func (s *Stack) installKarmada(ctx context.Context, cp *kube.ControlPlane, c client.Client) error {
	for _, name := range []string{karmadaNamespace, "karmada-cluster"} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := cp.Client().CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !kerrors.IsAlreadyExists(err) {
			return fmt.Errorf("cannot create namespace of Karmada: %w", err)
		}
	}
	ports, err := s.reservePorts(1)
	if err != nil {
		return err
	}
	webhook := "https://" + loopback(ports[0])

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.startAggregated(gctx, cp, c) })
	g.Go(func() error {
		if err := s.applyKarmadaCRDs(gctx, c, webhook); err != nil {
			return err
		}
		if err := s.startKarmadaWebhook(gctx, cp, ports[0]); err != nil {
			return err
		}
		objs, err := readTemplate(s.bins.Data(binaries.KarmadaWebhooks), webhook, s.ca.CertPEM())
		if err != nil {
			return err
		}
		roles, err := manifests.Read(s.bins.Data(binaries.KarmadaRoles))
		if err != nil {
			return err
		}
		return manifests.Apply(gctx, c, append(objs, roles...)...)
	})
	return g.Wait()
}

// applyKarmadaCRDs installs Karmada's CRDs with the conversion webhooks that
// Karmada's kustomization patches into them.
func (s *Stack) applyKarmadaCRDs(ctx context.Context, c client.Client, webhook string) error {
	dir := s.bins.Data(binaries.KarmadaCRDs)
	crds, err := manifests.Read(dir + "/bases")
	if err != nil {
		return err
	}
	patches, err := os.ReadDir(dir + "/patches")
	if err != nil {
		return fmt.Errorf("cannot read patches of Karmada's CRDs: %w", err)
	}
	for _, f := range patches {
		objs, err := readTemplate(dir+"/patches/"+f.Name(), webhook, s.ca.CertPEM())
		if err != nil {
			return err
		}
		for _, patch := range objs {
			conversion, _, _ := unstructured.NestedMap(patch.Object, "spec", "conversion")
			for _, crd := range crds {
				if crd.GetName() != patch.GetName() {
					continue
				}
				if err := unstructured.SetNestedMap(crd.Object, conversion, "spec", "conversion"); err != nil {
					return fmt.Errorf("cannot patch CRD %s: %w", crd.GetName(), err)
				}
			}
		}
	}
	if err := manifests.ApplyCRDs(ctx, c, crds...); err != nil {
		return fmt.Errorf("cannot install Karmada's CRDs: %w", err)
	}
	return nil
}

// readTemplate returns the objects of one of Karmada's templates, with the
// webhook's address and authority filled in.
func readTemplate(path, webhook string, ca []byte) ([]*unstructured.Unstructured, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read template: %w", err)
	}
	text := webhookURL.ReplaceAllLiteralString(string(b), webhook)
	text = webhookCA.ReplaceAllLiteralString(text, base64.StdEncoding.EncodeToString(ca))
	return manifests.Decode([]byte(text))
}

// startAggregated starts the server of Karmada's Cluster kind and registers it.
func (s *Stack) startAggregated(ctx context.Context, cp *kube.ControlPlane, c client.Client) error {
	ports, err := s.reservePorts(1)
	if err != nil {
		return err
	}
	if _, err := s.procs.Start(ctx, process.Spec{
		Name: aggregatedService,
		Path: s.bins.Path(binaries.KarmadaAggregated),
		Args: []string{
			"--kubeconfig=" + cp.KubeconfigPath(),
			"--authentication-kubeconfig=" + cp.KubeconfigPath(),
			"--authorization-kubeconfig=" + cp.KubeconfigPath(),
			"--etcd-servers=" + s.etcd.URL(),
			"--etcd-prefix=/" + Karmada + "-aggregated",
			"--bind-address=127.0.0.1",
			"--secure-port=" + strconv.Itoa(ports[0]),
			"--tls-cert-file=" + cp.File("tls.crt"),
			"--tls-private-key-file=" + cp.File("tls.key"),
			"--enable-priority-and-fairness=false",
			"--kube-api-qps=" + karmadaQPS,
			"--kube-api-burst=" + karmadaBurst,
			"--feature-gates=" + karmadaGates,
		},
		Port:   ports[0],
		Health: "https://" + loopback(ports[0]) + "/readyz",
		Grace:  process.NoGrace,
	}); err != nil {
		return err
	}

	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Service",
		"metadata":   map[string]any{"name": aggregatedService, "namespace": karmadaNamespace},
		"spec":       map[string]any{"type": string(corev1.ServiceTypeExternalName), "externalName": "localhost"},
	}}
	api := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1",
		"kind":       "APIService",
		"metadata": map[string]any{
			"name":   "v1alpha1.cluster.karmada.io",
			"labels": map[string]any{"app": aggregatedService, "apiserver": "true"},
		},
		"spec": map[string]any{
			"caBundle":             base64.StdEncoding.EncodeToString(s.ca.CertPEM()),
			"group":                "cluster.karmada.io",
			"groupPriorityMinimum": int64(2000),
			"version":              "v1alpha1",
			"versionPriority":      int64(10),
			"service":              map[string]any{"name": aggregatedService, "namespace": karmadaNamespace, "port": int64(ports[0])},
		},
	}}
	if err := manifests.Apply(ctx, c, service); err != nil {
		return err
	}
	if err := manifests.Apply(ctx, c, api); err != nil {
		return err
	}
	return manifests.WaitCondition(ctx, c, api, "Available")
}

func (s *Stack) startKarmadaWebhook(ctx context.Context, cp *kube.ControlPlane, port int) error {
	certs := s.dataDir("karmada-webhook")
	pair, err := s.ca.Server("karmada-webhook", "127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	if err := s.ca.WriteDir(certs, pair); err != nil {
		return err
	}
	return s.startKarmadaComponent(ctx, cp, "karmada-webhook", binaries.KarmadaWebhook, "https://"+loopback(port)+"/readyz/",
		"--bind-address=127.0.0.1",
		"--secure-port="+strconv.Itoa(port),
		"--cert-dir="+certs,
		"--allow-no-execute-taint-policy=true",
	)
}

// startKarmadaControllers starts karmada-controller-manager, with periods that
// suit a demo: a member that comes or goes is noticed in seconds.
func (s *Stack) startKarmadaControllers(ctx context.Context, cp *kube.ControlPlane) error {
	return s.startKarmadaComponent(ctx, cp, "karmada-controller-manager", binaries.KarmadaControllerManager, "",
		"--leader-elect=false",
		"--cluster-status-update-frequency=3s",
		"--cluster-success-threshold=3s",
		"--cluster-failure-threshold=10s",
		"--cluster-api-qps="+karmadaQPS,
		"--cluster-api-burst="+karmadaBurst,
		"--concurrent-work-syncs=10",
		"--concurrent-resourcebinding-syncs=10",
	)
}

// startKarmadaScheduler starts karmada-scheduler, which asks our fleet how many
// replicas fit.
func (s *Stack) startKarmadaScheduler(ctx context.Context, cp *kube.ControlPlane) error {
	return s.startKarmadaComponent(ctx, cp, "karmada-scheduler", binaries.KarmadaScheduler, "",
		"--leader-elect=false",
		"--enable-scheduler-estimator",
	)
}

// startKarmadaComponent starts one of Karmada's programs. Its health URL is the
// usual one unless another is given.
func (s *Stack) startKarmadaComponent(ctx context.Context, cp *kube.ControlPlane, name, program, health string, args ...string) error {
	ports, err := s.reservePorts(2)
	if err != nil {
		return err
	}
	if health == "" {
		health = "http://" + loopback(ports[1]) + "/healthz"
	}
	_, err = s.procs.Start(ctx, process.Spec{
		Name: name,
		Path: s.bins.Path(program),
		Args: append([]string{
			"--kubeconfig=" + cp.KubeconfigPath(),
			"--metrics-bind-address=" + loopback(ports[0]),
			"--health-probe-bind-address=" + loopback(ports[1]),
			"--kube-api-qps=" + karmadaQPS,
			"--kube-api-burst=" + karmadaBurst,
			"--feature-gates=" + karmadaGates,
		}, slices.Concat(args, s.o.KarmadaArgs[name])...),
		Port:   ports[0],
		Health: health,
		Grace:  process.NoGrace,
	})
	return err
}
