package ack

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// KubeconfigTTL is the longest that ACK allows for a temporary kubeconfig.
const KubeconfigTTL = 72 * time.Hour

// renewBefore the end of a kubeconfig.
const renewBefore = KubeconfigTTL / 3

// Kubeconfigs of clusters, kept in memory and renewed well before they end.
type Kubeconfigs struct {
	clock clock.PassiveClock

	mu sync.Mutex
	of map[string]Kubeconfig
}

// NewKubeconfigs returns an empty set of kubeconfigs.
func NewKubeconfigs(c clock.PassiveClock) *Kubeconfigs {
	return &Kubeconfigs{clock: c, of: make(map[string]Kubeconfig)}
}

// Has reports whether the kubeconfig of a cluster is known and fresh.
func (k *Kubeconfigs) Has(clusterID string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.of[clusterID]
	return ok && k.fresh(c)
}

// Seed the kubeconfig of a cluster with one that was published before. Those
// about to end are not taken.
func (k *Kubeconfigs) Seed(clusterID string, c Kubeconfig) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(c.Config) > 0 && k.fresh(c) {
		k.of[clusterID] = c
	}
}

// Get the kubeconfig of a cluster, from the cloud if need be.
func (k *Kubeconfigs) Get(ctx context.Context, api API, clusterID string, private bool) (Kubeconfig, error) {
	k.mu.Lock()
	c, ok := k.of[clusterID]
	k.mu.Unlock()
	if ok && k.fresh(c) {
		return c, nil
	}
	got, err := api.Kubeconfig(ctx, clusterID, KubeconfigTTL, private)
	if err != nil {
		return Kubeconfig{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of[clusterID] = *got
	return *got, nil
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
