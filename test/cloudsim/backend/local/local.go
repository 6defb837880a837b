// Package local makes simulated clusters real: each is a Kubernetes control
// plane of its own, with kwok for nodes and the parts of a cloud controller
// manager and of a CSI driver that cost money.
package local

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/etcd"
	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/pki"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/test/cloudsim/backend"
)

const (
	// offlineAnnotation makes kwok leave a node's status alone.
	offlineAnnotation = "cloudsim.regionpool.io/offline"
	// machineAnnotation gives a node into kwok's hands. Virtual nodes stay out of
	// them: kwok would start the pods on them at once.
	machineAnnotation = "cloudsim.regionpool.io/machine"
)

// A Backend of real control planes.
type Backend struct {
	dir   string
	etcd  string
	bins  *binaries.Set
	procs *process.Group
	log   *slog.Logger
}

var _ backend.Backend = &Backend{}

// New returns a Backend that keeps its files in dir and the clusters' data in
// the etcd at a URL.
func New(dir, etcdURL, bins string, log *slog.Logger) (*Backend, error) {
	set, err := binaries.Open(bins)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(dir, "clusters")); err != nil {
		return nil, fmt.Errorf("cannot remove clusters of an earlier run: %w", err)
	}
	procs, err := process.NewGroup(filepath.Join(dir, "logs"))
	if err != nil {
		return nil, err
	}
	return &Backend{dir: dir, etcd: etcdURL, bins: set, procs: procs, log: log}, nil
}

// Stop all control planes.
func (b *Backend) Stop() { b.procs.Stop() }

// Blocking is true.
func (b *Backend) Blocking() bool { return true }

// Create starts a control plane.
func (b *Backend) Create(ctx context.Context, s backend.Spec, h backend.Hooks) (backend.Cluster, error) {
	name := controlPlane(s.ID)
	// The same seed gives the same ids: an earlier run may have left data.
	if err := etcd.DeletePrefix(ctx, b.etcd, "/"+name+"/"); err != nil {
		return nil, err
	}
	cp, err := kube.Start(ctx, kube.Options{
		Name: name, Dir: filepath.Join(b.dir, "clusters", name), Etcd: b.etcd, Binaries: b.bins, Procs: b.procs,
		Controllers: kube.MemberControllers, Scheduler: true,
	})
	if err != nil {
		return nil, err
	}
	c := &cluster{id: s.ID, cp: cp, hooks: h, log: b.log.With("cluster", s.ID), virtual: map[string]context.CancelFunc{}}
	c.ctx, c.stop = context.WithCancel(ctx)
	if err := errors.Join(b.startKwok(ctx, c), c.installSystem(ctx, s.CoreDNS)); err != nil {
		return nil, errors.Join(err, c.Delete(context.WithoutCancel(ctx)))
	}
	c.startControllers(c.ctx)
	return c, nil
}

// controlPlane names the control plane of a cluster.
func controlPlane(id string) string {
	if id, ok := strings.CutPrefix(id, "cls-"); ok {
		return "tke-" + id
	}
	return "ack-" + id[1:11]
}

// startKwok starts kwok with two differences to the control plane's own: nodes
// can be taken out of its hands, to play those whose kubelet went silent, and
// virtual nodes never get there.
func (b *Backend) startKwok(ctx context.Context, c *cluster) error {
	port, err := ports.Reserve()
	if err != nil {
		return err
	}
	c.kwokPort = port
	stages, err := filepath.Glob(filepath.Join(b.bins.Data(binaries.KwokStages), "*.yaml"))
	if err != nil {
		return fmt.Errorf("cannot list stages of kwok: %w", err)
	}
	args := []string{
		"--kubeconfig=" + c.cp.KubeconfigPath(),
		"--manage-nodes-with-annotation-selector=" + machineAnnotation + "=true",
		"--disregard-status-with-annotation-selector=" + offlineAnnotation + "=true",
		"--node-lease-duration-seconds=40",
		"--server-address=127.0.0.1:" + strconv.Itoa(port),
	}
	for _, s := range stages {
		args = append(args, "--config="+s)
	}
	_, err = b.procs.Start(ctx, process.Spec{
		Name: c.cp.Name() + "-kwok", Path: b.bins.Path(binaries.Kwok), Args: args, Port: port,
		Health: fmt.Sprintf("http://127.0.0.1:%d/healthz", port), Grace: process.NoGrace,
		Env: []string{"KWOK_WORKDIR=" + c.cp.File("")},
	})
	return err
}

// A cluster with a control plane of its own.
type cluster struct {
	id       string
	cp       *kube.ControlPlane
	hooks    backend.Hooks
	log      *slog.Logger
	ctx      context.Context // until the cluster is deleted
	stop     context.CancelFunc
	kwokPort int

	mu      sync.Mutex
	virtual map[string]context.CancelFunc // by node
}

// Endpoint of the API server.
func (c *cluster) Endpoint() string { return c.cp.Endpoint() }

// Delete stops the control plane and removes its data. It does not wait for the
// controllers to tidy up: what Services and claims hold in the cloud stays.
func (c *cluster) Delete(ctx context.Context) error {
	c.stop()
	err := c.cp.Stop(ctx)
	ports.Release(c.kwokPort)
	return err
}

// Kubeconfig of a cluster administrator.
func (c *cluster) Kubeconfig(ttl time.Duration) ([]byte, time.Time, error) {
	user, expires, err := issue(c.cp.CA(), ttl)
	if err != nil {
		return nil, expires, err
	}
	b, err := pki.Kubeconfig("kubernetes-admin-"+c.id, c.cp.Endpoint(), c.cp.CA().CertPEM(), user)
	return b, expires, err
}

// issue a client certificate of limited life.
func issue(ca *pki.CA, ttl time.Duration) (pki.Pair, time.Time, error) {
	fail := func(err error) (pki.Pair, time.Time, error) {
		return pki.Pair{}, time.Time{}, fmt.Errorf("cannot issue client certificate: %w", err)
	}
	cb, _ := pem.Decode(ca.CertPEM())
	kb, _ := pem.Decode(ca.KeyPEM())
	if cb == nil || kb == nil {
		return fail(errors.New("the CA is not PEM"))
	}
	parent, err := x509.ParseCertificate(cb.Bytes)
	if err != nil {
		return fail(err)
	}
	var signer any
	if signer, err = x509.ParseECPrivateKey(kb.Bytes); err != nil {
		if signer, err = x509.ParsePKCS8PrivateKey(kb.Bytes); err != nil {
			return fail(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fail(err)
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: kube.AdminUser, Organization: []string{pki.GroupMasters}},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(ttl),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return fail(err)
	}
	kd, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fail(err)
	}
	return pki.Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kd}),
	}, t.NotAfter, nil
}
