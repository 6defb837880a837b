package kube

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
)

// renewBefore the end of a kubeconfig. ACK's, which end soonest, are valid for
// three times as long.
const renewBefore = 24 * time.Hour

// A Kubeconfig and the time at which it ends.
type Kubeconfig struct {
	Config  []byte
	Expires time.Time
}

// A FetchFn gets the kubeconfig of a cluster from its cloud.
type FetchFn func(ctx context.Context) (Kubeconfig, error)

// Kubeconfigs of clusters, kept in memory and renewed well before they end.
type Kubeconfigs struct {
	clock clock.PassiveClock

	mu sync.Mutex
	of map[string]held
}

type held struct {
	Kubeconfig
	// endpoint of the API server that the cloud told at that time.
	endpoint string
}

// NewKubeconfigs returns an empty set of kubeconfigs.
func NewKubeconfigs(c clock.PassiveClock) *Kubeconfigs {
	return &Kubeconfigs{clock: c, of: make(map[string]held)}
}

// Has reports whether the kubeconfig of a cluster at this endpoint is known and
// fresh.
func (k *Kubeconfigs) Has(clusterID, endpoint string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	h, ok := k.of[clusterID]
	return ok && h.endpoint == endpoint && k.fresh(h.Kubeconfig)
}

// Seed the kubeconfig of a cluster with one that was published before. Those
// about to end are not taken.
func (k *Kubeconfigs) Seed(clusterID, endpoint string, c Kubeconfig) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(c.Config) > 0 && k.fresh(c) {
		k.of[clusterID] = held{c, endpoint}
	}
}

// Get the kubeconfig of a cluster, from the cloud if need be.
func (k *Kubeconfigs) Get(ctx context.Context, clusterID, endpoint string, fetch FetchFn) (Kubeconfig, error) {
	k.mu.Lock()
	h, ok := k.of[clusterID]
	k.mu.Unlock()
	if ok && h.endpoint == endpoint && k.fresh(h.Kubeconfig) {
		return h.Kubeconfig, nil
	}
	got, err := fetch(ctx)
	if err != nil {
		return Kubeconfig{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of[clusterID] = held{got, endpoint}
	return got, nil
}

// Forget the kubeconfig of a cluster, because it is gone or because it is not
// accepted.
func (k *Kubeconfigs) Forget(clusterID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.of, clusterID)
}

func (k *Kubeconfigs) fresh(c Kubeconfig) bool {
	return k.clock.Now().Add(renewBefore).Before(c.Expires)
}

// Expiry of the client certificate in a kubeconfig. It is zero if there is none:
// a token does not tell.
func Expiry(kubeconfig []byte) time.Time {
	cfg, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return time.Time{}
	}
	first := time.Time{}
	for _, a := range cfg.AuthInfos {
		block, _ := pem.Decode(a.ClientCertificateData)
		if block == nil {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (first.IsZero() || cert.NotAfter.Before(first)) {
			first = cert.NotAfter
		}
	}
	return first
}
