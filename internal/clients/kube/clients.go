// Package kube looks into the Kubernetes clusters that the managed resources
// stand for: whether they answer, which nodes they have, what keeps a node from
// being given back, and what in them is billed by the cloud.
package kube

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/internal/clients/karmada"
)

const (
	// timeout of one call. Clusters whose address cannot be reached must not
	// hold up a reconcile.
	timeout = 5 * time.Second
	// unusedFor is when a client is forgotten.
	unusedFor = time.Hour

	qps   = 50
	burst = 100
)

// A ClientFn makes a client from a kubeconfig.
type ClientFn func(kubeconfig []byte) (kubernetes.Interface, error)

// Clients are kept as long as their kubeconfig stays the same and is in use.
type Clients struct {
	clock clock.PassiveClock
	build ClientFn

	mu sync.Mutex
	of map[[sha256.Size]byte]*cached
}

type cached struct {
	client kubernetes.Interface
	used   time.Time
}

// NewClients returns an empty set of clients that the function makes, usually
// NewClient.
func NewClients(c clock.PassiveClock, build ClientFn) *Clients {
	return &Clients{clock: c, build: build, of: make(map[[sha256.Size]byte]*cached)}
}

// For a kubeconfig. Errors do not contain it.
func (c *Clients) For(kubeconfig []byte) (kubernetes.Interface, error) {
	key := sha256.Sum256(kubeconfig)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if e := c.of[key]; e != nil {
		e.used = now
		return e.client, nil
	}
	k, err := c.build(kubeconfig)
	if err != nil {
		return nil, err
	}
	for key, e := range c.of {
		if now.Sub(e.used) > unusedFor {
			delete(c.of, key)
		}
	}
	c.of[key] = &cached{client: k, used: now}
	return k, nil
}

// NewClient makes a client from a kubeconfig. It runs no programs and reads no
// files that the kubeconfig names.
func NewClient(kubeconfig []byte) (kubernetes.Interface, error) {
	cfg, err := karmada.ParseKubeconfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	cfg.Timeout, cfg.QPS, cfg.Burst = timeout, qps, burst
	cfg.UserAgent = "provider-regionpool"
	k, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, errors.New("the kubeconfig does not make a client")
	}
	return k, nil
}

// Answers reports whether the API server of a cluster lets us in. Its version
// would also be told to strangers, so a namespace is asked for.
func Answers(ctx context.Context, k kubernetes.Interface) error {
	_, err := k.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	return err
}
