package xpkg

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkgv1 "github.com/crossplane/crossplane/apis/v2/pkg/v1"

	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
)

const (
	crossplaneNamespace = "crossplane-system"

	// serverSecret holds a server certificate. Crossplane wants each package
	// with a runtime to name one, for the webhooks it might have.
	serverSecret = "xpkg-test-server"

	runtimeInterval = 100 * time.Millisecond
)

// An external runtime of Crossplane packages: it does what Crossplane does with
// Deployments where it is not told to leave that to others. The programs it runs
// come out of the packages' images.
type external struct {
	host   *kube.ControlPlane
	client client.Client
	procs  *process.Group
	dir    string

	// function is where the function listens.
	function string
	metrics  int
}

func newExternal(host *kube.ControlPlane, c client.Client, procs *process.Group, dir string) (*external, error) {
	p, err := ports.ReserveN(2)
	if err != nil {
		return nil, err
	}
	return &external{host: host, client: c, procs: procs, dir: dir, function: loopback(p[0]), metrics: p[1]}, nil
}

// run serves active revisions until ctx is done. The last error says why it
// could not.
func (e *external) run(ctx context.Context) error {
	var last error
	for {
		if err := e.sync(ctx); ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(runtimeInterval):
		}
	}
}

// sync is one look at all revisions.
func (e *external) sync(ctx context.Context) error {
	pair, err := e.host.CA().Server("function", "127.0.0.1")
	if err != nil {
		return err
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: crossplaneNamespace, Name: serverSecret}}
	s.Data = map[string][]byte{corev1.TLSCertKey: pair.Cert}
	if err := e.client.Create(ctx, s); client.IgnoreAlreadyExists(err) != nil {
		return err
	}

	providers := &pkgv1.ProviderRevisionList{}
	if err := e.client.List(ctx, providers); err != nil {
		return err
	}
	for i := range providers.Items {
		if err := e.serve(ctx, &providers.Items[i], "provider", nil, e.startProvider); err != nil {
			return err
		}
	}
	functions := &pkgv1.FunctionRevisionList{}
	if err := e.client.List(ctx, functions); err != nil {
		return err
	}
	for i := range functions.Items {
		f := &functions.Items[i]
		if err := e.serve(ctx, f, "function", func() { f.Status.Endpoint = e.function }, e.startFunction); err != nil {
			return err
		}
	}
	return nil
}

// serve tells Crossplane what it must know before it establishes the revision's
// objects, and starts the revision's program once it has.
func (e *external) serve(ctx context.Context, r pkgv1.PackageRevisionWithRuntime, name string, prepare func(), start func(ctx context.Context, program string) error) error {
	if r.GetDesiredState() != pkgv1.PackageRevisionActive || r.GetDeletionTimestamp() != nil ||
		r.GetCondition(pkgv1.TypeRuntimeHealthy).Status == corev1.ConditionTrue {
		return nil
	}
	before := r.DeepCopyObject().(client.Object)
	if r.GetObservedTLSServerSecretName() == nil {
		r.SetObservedTLSServerSecretName(ptr.To(serverSecret))
		if prepare != nil {
			prepare()
		}
	}
	if r.GetCondition(pkgv1.TypeRevisionHealthy).Status == corev1.ConditionTrue {
		if err := e.ensure(ctx, name, r.GetSource(), start); err != nil {
			return err
		}
		r.SetConditions(pkgv1.RuntimeHealthy())
	}
	// Crossplane writes to the same status. Who loses the race tries again.
	err := e.client.Status().Patch(ctx, r, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if kerrors.IsConflict(err) {
		return nil
	}
	return err
}

// ensure starts the program of a package unless it runs.
func (e *external) ensure(ctx context.Context, name, source string, start func(ctx context.Context, program string) error) error {
	if e.procs.Process(name) != nil {
		return nil
	}
	i, err := pull(ctx, source)
	if err != nil {
		return err
	}
	program, err := i.unpack(ctx, e.dir)
	if err != nil {
		return err
	}
	return start(ctx, program)
}

func (e *external) startProvider(ctx context.Context, program string) error {
	health, err := ports.Reserve()
	if err != nil {
		return err
	}
	_, err = e.procs.Start(ctx, process.Spec{
		Name:   "provider",
		Path:   program,
		Args:   []string{"--metrics-bind-address=0", "--health-probe-bind-address=" + loopback(health)},
		Env:    []string{"KUBECONFIG=" + e.host.KubeconfigPath()},
		Health: "http://" + loopback(health) + "/readyz",
	})
	return err
}

func (e *external) startFunction(ctx context.Context, program string) error {
	pair, err := e.host.CA().Server("function", "127.0.0.1")
	if err != nil {
		return err
	}
	certs := filepath.Join(e.dir, "certs")
	if err := e.host.CA().WriteDir(certs, pair); err != nil {
		return err
	}
	_, err = e.procs.Start(ctx, process.Spec{
		Name: "function",
		Path: program,
		Args: []string{"--address=" + e.function, "--metrics-address=" + loopback(e.metrics)},
		// As Crossplane's Deployments pass it.
		Env: []string{"TLS_SERVER_CERTS_DIR=" + certs},
		Ready: func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.function)
			if err != nil {
				return fmt.Errorf("function does not listen: %w", err)
			}
			return conn.Close()
		},
	})
	return err
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
