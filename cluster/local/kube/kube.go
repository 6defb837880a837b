// Package kube runs real Kubernetes control planes as child processes, with
// kwok in place of nodes. The self-built members of the local stack are such
// control planes, and so is each cluster the cloud simulator creates.
package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/etcd"
	"regionpool.io/provider-regionpool/cluster/local/pki"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
)

// MemberControllers are the controllers of a cluster that runs workloads:
// everything except what a cloud or a network plug-in would do.
const MemberControllers = "*,-node-ipam-controller,-node-route-controller,-cloud-node-lifecycle-controller,-service-lb-controller"

const (
	// AdminUser is the user of the kubeconfig.
	AdminUser = "kubernetes-admin"

	frontProxyUser = "front-proxy-client"
	serviceCIDR    = "10.0.0.0/16"

	// Clients of a local API server are not throttled below what two cores can
	// serve.
	clientQPS   = 200
	clientBurst = 400
)

// Options of a control plane.
type Options struct {
	// Name of the control plane. It is the prefix of its processes' names, of
	// its keys in etcd, and the name of its kubeconfig context.
	Name string

	// Dir is where the control plane keeps its files. It is created, and removed
	// by Stop.
	Dir string

	// Etcd is the URL of the shared etcd server.
	Etcd string

	// CA that issues all certificates. A new one is made if there is none.
	CA *pki.CA

	// Hosts are further names and addresses the API server's certificate is
	// valid for. It always is for 127.0.0.1 and localhost.
	Hosts []string

	Binaries *binaries.Set
	Procs    *process.Group

	// Controllers for kube-controller-manager's flag of that name; see
	// MemberControllers. It does not run if this is empty.
	Controllers string

	// Scheduler runs kube-scheduler.
	Scheduler bool

	// Kwok runs kwok, which makes all nodes Ready and all pods on them run.
	Kwok bool

	// APIServerArgs are added to kube-apiserver's.
	APIServerArgs []string

	// ControllerArgs are added to kube-controller-manager's.
	ControllerArgs []string
}

// A ControlPlane is a running control plane.
type ControlPlane struct {
	o          Options
	ca         *pki.CA
	port       int
	ports      []int
	kubeconfig []byte
	rest       *rest.Config
	client     kubernetes.Interface
}

// Start starts a control plane and returns when its API server, and everything
// else that was asked for, is healthy. What was started is stopped again when
// it fails.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	cp, err := StartAPIServer(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := cp.StartControllers(ctx); err != nil {
		return nil, errors.Join(err, cp.Stop(context.WithoutCancel(ctx)))
	}
	return cp, nil
}

// StartAPIServer starts only the API server. Use it instead of Start when
// something, such as CRDs, must be there before the controllers look.
func StartAPIServer(ctx context.Context, o Options) (*ControlPlane, error) {
	cp := &ControlPlane{o: o, ca: o.CA}
	if err := cp.prepare(); err != nil {
		return nil, fmt.Errorf("cannot prepare control plane %s: %w", o.Name, err)
	}
	if err := cp.startAPIServer(ctx); err != nil {
		err = fmt.Errorf("cannot start control plane %s: %w", o.Name, err)
		return nil, errors.Join(err, cp.Stop(context.WithoutCancel(ctx)))
	}
	return cp, nil
}

// StartControllers starts the controllers, the scheduler and kwok, as the
// options say, after StartAPIServer.
func (cp *ControlPlane) StartControllers(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if cp.o.Controllers != "" {
		g.Go(func() error { return cp.startControllerManager(ctx) })
	}
	if cp.o.Scheduler {
		g.Go(func() error { return cp.startScheduler(ctx) })
	}
	if cp.o.Kwok {
		g.Go(func() error { return cp.startKwok(ctx) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("cannot start controllers of control plane %s: %w", cp.o.Name, err)
	}
	return nil
}

// Stop stops the control plane and removes its files and its data in etcd, so
// that the name can be used for a new one.
func (cp *ControlPlane) Stop(ctx context.Context) error {
	return errors.Join(
		cp.Discard(),
		etcd.DeletePrefix(ctx, cp.o.Etcd, cp.etcdPrefix()+"/"),
	)
}

// Discard is Stop without a clean-up of etcd, for when etcd goes as well.
func (cp *ControlPlane) Discard() error {
	var wg sync.WaitGroup
	for _, c := range []string{componentScheduler, componentControllers, componentKwok, componentAPIServer} {
		wg.Go(func() { cp.o.Procs.Remove(cp.processName(c)) })
	}
	wg.Wait()
	ports.Release(cp.ports...)
	return os.RemoveAll(cp.o.Dir)
}

// Name of the control plane.
func (cp *ControlPlane) Name() string { return cp.o.Name }

// CA that issued the control plane's certificates.
func (cp *ControlPlane) CA() *pki.CA { return cp.ca }

// Endpoint is the URL of the API server.
func (cp *ControlPlane) Endpoint() string { return "https://127.0.0.1:" + strconv.Itoa(cp.port) }

// Kubeconfig of an administrator.
func (cp *ControlPlane) Kubeconfig() []byte { return slices.Clone(cp.kubeconfig) }

// KubeconfigPath is a file with the Kubeconfig.
func (cp *ControlPlane) KubeconfigPath() string { return filepath.Join(cp.o.Dir, "kubeconfig") }

// RESTConfig of an administrator. The caller may change it.
func (cp *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(cp.rest) }

// Client of an administrator.
func (cp *ControlPlane) Client() kubernetes.Interface { return cp.client }

// Process returns one of the control plane's processes: "kube-apiserver",
// "kube-controller-manager", "kube-scheduler" or "kwok"; nil if it does not run.
func (cp *ControlPlane) Process(component string) *process.Process {
	return cp.o.Procs.Process(cp.processName(component))
}

// File is the path of a file of the control plane's folder, such as the
// certificate files that further servers of this plane share.
func (cp *ControlPlane) File(name string) string { return filepath.Join(cp.o.Dir, name) }

func (cp *ControlPlane) processName(component string) string { return cp.o.Name + "-" + component }

func (cp *ControlPlane) etcdPrefix() string { return "/" + cp.o.Name }

// prepare makes the files and reserves the ports.
func (cp *ControlPlane) prepare() error {
	if cp.o.Name == "" || strings.ContainsAny(cp.o.Name, "/ ") {
		return fmt.Errorf("the name %q is not valid", cp.o.Name)
	}
	if cp.ca == nil {
		ca, err := pki.NewCA(cp.o.Name)
		if err != nil {
			return err
		}
		cp.ca = ca
	}
	server, err := cp.ca.Server("kube-apiserver", slices.Concat([]string{"localhost", "127.0.0.1", "kubernetes.default.svc"}, cp.o.Hosts)...)
	if err != nil {
		return err
	}
	proxy, err := cp.ca.Client(frontProxyUser)
	if err != nil {
		return err
	}
	admin, err := cp.ca.Client(AdminUser, pki.GroupMasters)
	if err != nil {
		return err
	}
	saPublic, saPrivate, err := pki.NewKeyPair()
	if err != nil {
		return err
	}
	if cp.port, err = cp.reservePort(); err != nil {
		return err
	}
	if cp.kubeconfig, err = pki.Kubeconfig(cp.o.Name, cp.Endpoint(), cp.ca.CertPEM(), admin); err != nil {
		return err
	}
	if cp.rest, err = clientcmd.RESTConfigFromKubeConfig(cp.kubeconfig); err != nil {
		return fmt.Errorf("cannot parse kubeconfig: %w", err)
	}
	cp.rest.QPS, cp.rest.Burst = clientQPS, clientBurst
	cp.rest.Timeout = 0
	if cp.client, err = kubernetes.NewForConfig(cp.rest); err != nil {
		return fmt.Errorf("cannot make client: %w", err)
	}
	return pki.WriteFiles(cp.o.Dir, map[string][]byte{
		"ca.crt": cp.ca.CertPEM(), "ca.key": cp.ca.KeyPEM(),
		"tls.crt": server.Cert, "tls.key": server.Key,
		"front-proxy.crt": proxy.Cert, "front-proxy.key": proxy.Key,
		"sa.pub": saPublic, "sa.key": saPrivate,
		"kubeconfig":     cp.kubeconfig,
		"scheduler.yaml": []byte(fmt.Sprintf(schedulerConfig, filepath.Join(cp.o.Dir, "kubeconfig"), clientQPS, clientBurst)),
	})
}

// reservePort reserves a port until Stop.
func (cp *ControlPlane) reservePort() (int, error) {
	p, err := ports.Reserve()
	if err != nil {
		return 0, err
	}
	cp.ports = append(cp.ports, p)
	return p, nil
}

// poll calls f until it returns true, an error, or time is up.
func poll(ctx context.Context, timeout time.Duration, f func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		done, err := f(ctx)
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
