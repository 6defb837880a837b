package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/samber/lo"
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
	crossplaneNamespace = "crossplane-system"
	crossplaneProcess   = "crossplane"

	// hostControllers is all Crossplane needs: deletion of composites relies on
	// the garbage collector.
	hostControllers = "garbage-collector-controller,namespace-controller,serviceaccount-controller"

	// initAttempts bounds how often Crossplane's init is tried: it can lose a
	// race with its own new CRDs.
	initAttempts = 10
	initTimeout  = 3 * time.Minute

	functionPackage = "function-regionpool"

	providerCRDs      = "package/provider/crds"
	configurationPath = "package/configuration"
	compositionGroup  = "apiextensions.crossplane.io"
)

// startHost starts the host plane: an API server, Crossplane core, our function
// and our provider.
func (s *Stack) startHost(ctx context.Context) error {
	done := s.log.Step("host plane: API server is ready")
	o := s.planeOptions(Host)
	o.CA, o.Controllers = s.ca, hostControllers
	cp, err := kube.StartAPIServer(ctx, o)
	if err != nil {
		return err
	}
	s.addPlane(cp)
	done()
	c, err := client.New(cp.RESTConfig(), client.Options{})
	if err != nil {
		return fmt.Errorf("cannot make client of the host plane: %w", err)
	}

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if s.o.WithoutPackages {
			return nil
		}
		if err := s.applyProviderCRDs(gctx, c); err != nil {
			return err
		}
		return s.startController(gctx, Provider, nil, []string{"KUBECONFIG=" + cp.KubeconfigPath()})
	})
	g.Go(func() error { return s.startFunction(gctx) })
	g.Go(func() error {
		done := s.log.Step("host plane: Crossplane is ready")
		if err := s.startCrossplane(gctx, cp); err != nil {
			return err
		}
		done()
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if !s.o.WithoutPackages {
		if err := s.installConfiguration(ctx, c); err != nil {
			return err
		}
	}
	// The garbage collector looks for new kinds only every 30 seconds, so it
	// starts when all kinds are there.
	return cp.StartControllers(ctx)
}

// applyProviderCRDs installs the kinds of our provider, as its package would.
func (s *Stack) applyProviderCRDs(ctx context.Context, c client.Client) error {
	crds, err := readCheckout(providerCRDs)
	if err != nil {
		return err
	}
	if err := manifests.ApplyCRDs(ctx, c, crds...); err != nil {
		return fmt.Errorf("cannot install the provider's CRDs: %w", err)
	}
	return nil
}

// startCrossplane runs Crossplane's init until it succeeds, and then its core.
func (s *Stack) startCrossplane(ctx context.Context, cp *kube.ControlPlane) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: crossplaneNamespace}}
	if _, err := cp.Client().CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !kerrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create namespace of Crossplane: %w", err)
	}
	certs, cache := s.dataDir("crossplane", "client"), s.dataDir("crossplane", "xpkg")
	pair, err := s.ca.Client("crossplane")
	if err != nil {
		return err
	}
	if err := s.ca.WriteDir(certs, pair); err != nil {
		return err
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return fmt.Errorf("cannot create Crossplane's package cache: %w", err)
	}
	env := []string{
		"KUBECONFIG=" + cp.KubeconfigPath(),
		"POD_NAMESPACE=" + crossplaneNamespace,
		"TLS_CA_SECRET_NAME=crossplane-root-ca",
		"TLS_CLIENT_SECRET_NAME=crossplane-tls-client",
		"TLS_CLIENT_CERTS_DIR=" + certs,
	}
	if err := s.initCrossplane(ctx, env); err != nil {
		return err
	}

	ports, err := s.reservePorts(2)
	if err != nil {
		return err
	}
	_, err = s.procs.Start(ctx, process.Spec{
		Name: crossplaneProcess,
		Path: s.bins.Path(binaries.Crossplane),
		Args: []string{
			"core", "start",
			"--enable-webhooks=false",
			"--package-runtime=External",
			// A claim that surges right after it was made passes the default of
			// 100, see docs/install.md.
			"--circuit-breaker-burst=500",
			"--xpkg-cache-dir=" + cache,
			"--metrics-port=" + strconv.Itoa(ports[0]),
			"--health-probe-port=" + strconv.Itoa(ports[1]),
		},
		Env:    env,
		Port:   ports[0],
		Health: "http://" + loopback(ports[1]) + "/readyz",
	})
	return err
}

func (s *Stack) initCrossplane(ctx context.Context, env []string) error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	args := []string{"core", "init", "--cr-ds-path=" + s.bins.Data(binaries.CrossplaneCRDs), "--enable-webhooks=false"}
	if !s.o.WithoutPackages {
		args = append(args, "--activation=*")
	}
	var last error
	for range initAttempts {
		cmd := exec.CommandContext(ctx, s.bins.Path(binaries.Crossplane), args...)
		out, err := process.Run(cmd, env)
		if err == nil {
			return nil
		}
		last = fmt.Errorf("%w: %s", err, lastLine(out))
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("cannot initialize Crossplane: %w", last)
}

// startFunction starts our function, with a certificate Crossplane trusts.
func (s *Stack) startFunction(ctx context.Context) error {
	if !s.own.has(Function) {
		return nil
	}
	certs := s.dataDir("function")
	pair, err := s.ca.Server(functionPackage, "127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	if err := s.ca.WriteDir(certs, pair); err != nil {
		return err
	}
	ports, err := s.reservePorts(2)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.functionAddress = loopback(ports[0])
	s.mu.Unlock()
	return s.startPart(ctx, Function, process.Spec{
		Args:  []string{"--address=" + loopback(ports[0]), "--tls-server-certs-dir=" + certs, "--metrics-address=" + loopback(ports[1])},
		Port:  ports[0],
		Ready: listening(loopback(ports[0])),
	})
}

// installConfiguration makes Crossplane know our function, and applies our XRDs
// and Compositions.
func (s *Stack) installConfiguration(ctx context.Context, c client.Client) error {
	if s.own.has(Function) {
		if err := s.registerFunction(ctx, c); err != nil {
			return err
		}
	}
	objs, err := readCheckout(configurationPath)
	if err != nil {
		return err
	}
	// The folder also holds the package's own metadata.
	objs = lo.Filter(objs, func(o *unstructured.Unstructured, _ int) bool { return o.GroupVersionKind().Group == compositionGroup })
	if err := manifests.Apply(ctx, c, objs...); err != nil {
		return fmt.Errorf("cannot install the configuration: %w", err)
	}
	for _, o := range objs {
		if o.GetKind() != "CompositeResourceDefinition" {
			continue
		}
		if err := manifests.WaitCondition(ctx, c, o, "Established"); err != nil {
			return fmt.Errorf("cannot install the configuration: %w", err)
		}
	}
	return nil
}

// registerFunction makes Crossplane call our function without a package: an
// active revision that says where the function is. It is paused, so that
// Crossplane does not try to fetch its image.
func (s *Stack) registerFunction(ctx context.Context, c client.Client) error {
	revision := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "pkg.crossplane.io/v1",
		"kind":       "FunctionRevision",
		"metadata": map[string]any{
			"name":        functionPackage + "-local",
			"labels":      map[string]any{"pkg.crossplane.io/package": functionPackage},
			"annotations": map[string]any{"crossplane.io/paused": "true"},
		},
		"spec": map[string]any{
			"desiredState": "Active",
			"image":        "local.invalid/" + functionPackage + ":local",
			"revision":     int64(1),
		},
	}}
	if err := manifests.Apply(ctx, c, revision); err != nil {
		return fmt.Errorf("cannot register our function: %w", err)
	}
	status := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": revision.GetAPIVersion(),
		"kind":       revision.GetKind(),
		"metadata":   map[string]any{"name": revision.GetName()},
		"status": map[string]any{
			"endpoint":     s.functionAddress,
			"capabilities": []any{"composition"},
		},
	}}
	if err := c.Status().Patch(ctx, status, client.Merge); err != nil {
		return fmt.Errorf("cannot register our function: %w", err)
	}
	return nil
}

// readCheckout returns the objects in a folder of the checkout, none if there is
// no such folder.
func readCheckout(path string) ([]*unstructured.Unstructured, error) {
	root, err := binaries.Root()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, filepath.FromSlash(path))
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil, nil
	}
	return manifests.Read(dir)
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
