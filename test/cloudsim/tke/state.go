package tke

import (
	"fmt"
	"sort"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/state"
)

// EnsureLoadBalancer gives a Service its CLB. It is part of backend.Hooks.
func (s *Server) EnsureLoadBalancer(clusterID, key, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.clusters[clusterID]
	if k == nil {
		return "", fmt.Errorf("cluster %s does not exist", clusterID)
	}
	at := "lb/" + clusterID + "/" + key
	if s.extra[at] == "" {
		n := s.Random.Intn("clb-address", 250*250)
		s.extra[at] = s.newID("lb")
		s.book(k, ledger.Object{
			Kind: ledger.ServiceCLB, ID: s.extra[at], Name: name, Hourly: s.conf.Prices.CLB,
			Tags:  map[string]string{clusterTag: k.id, "tke-createdBy-flag": "yes", "tke-lb-serviceuuid": key},
			Attrs: map[string]string{"type": "OPEN", "address": fmt.Sprintf("43.136.%d.%d", n/250+1, n%250+1)},
		})
	}
	for _, o := range s.Ledger.Live(func(o ledger.Object) bool { return o.ID == s.extra[at] }) {
		return o.Attrs["address"], nil
	}
	return "", fmt.Errorf("load balancer %s was deleted", s.extra[at])
}

// ReleaseLoadBalancer of a Service. It is part of backend.Hooks.
func (s *Server) ReleaseLoadBalancer(clusterID, key string) {
	s.releaseExtra("lb/" + clusterID + "/" + key)
}

// EnsureVolume gives a claim its disk. It is part of backend.Hooks.
func (s *Server) EnsureVolume(clusterID, key, name string, gib int) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.clusters[clusterID]
	if k == nil {
		return "", fmt.Errorf("cluster %s does not exist", clusterID)
	}
	at := "disk/" + clusterID + "/" + key
	if s.extra[at] == "" {
		s.extra[at] = s.newID("disk")
		region := s.conf.Regions[k.region]
		s.book(k, ledger.Object{
			Kind: ledger.CBS, ID: s.extra[at], Name: name, Zone: region.Zones[0].Name, Hourly: float64(gib) * s.conf.Prices.DiskGiB,
			Attrs: map[string]string{"usage": "DATA_DISK", "claim": key, "size": fmt.Sprint(gib), "type": "CLOUD_PREMIUM"},
		})
	}
	return s.extra[at], nil
}

// ReleaseVolume of a claim. It is part of backend.Hooks.
func (s *Server) ReleaseVolume(clusterID, key string) {
	s.releaseExtra("disk/" + clusterID + "/" + key)
}

func (s *Server) releaseExtra(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := s.extra[key]; id != "" {
		s.Ledger.Release(id)
		delete(s.extra, key)
	}
}

// Snapshot of all clusters, nodes and pods on super nodes, without lag.
func (s *Server) Snapshot() state.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := state.Snapshot{Clusters: []state.Cluster{}, Nodes: []state.Node{}, Pods: s.Pods("", "")}
	for _, k := range s.sorted() {
		c := state.Cluster{
			Service: "tke", ID: k.id, Name: k.name, Owner: k.tags[ownerTag], Region: k.region, State: k.state, DeletionProtection: k.protection,
			Pools: []state.NodePool{},
		}
		if k.backend != nil {
			c.Endpoint = k.backend.Endpoint()
		}
		for _, p := range k.sortedPools() {
			ready := 0
			for _, i := range p.instances() {
				if i.ready && i.registered {
					ready++
				}
			}
			c.Pools = append(c.Pools, state.NodePool{
				ID: p.id, Name: p.name, Owner: p.spec.tags[ownerTag], State: p.state, Desired: p.desired, Total: len(p.instances()), Ready: ready,
			})
		}
		for _, i := range k.members {
			out.Nodes = append(out.Nodes, snapshot(i))
		}
		out.Clusters = append(out.Clusters, c)
	}
	sort.Slice(out.Nodes, func(a, b int) bool {
		return out.Nodes[a].Cluster+out.Nodes[a].Name < out.Nodes[b].Cluster+out.Nodes[b].Name
	})
	return out
}

func snapshot(i *instance) state.Node {
	n := state.Node{
		Cluster: i.cluster.id, Instance: i.id, Name: i.ip, Type: i.kind, Zone: i.zone, Spot: i.spot(), State: i.state, Registered: i.registered,
		Removing: i.removing,
	}
	if i.pool != nil {
		n.NodePool = i.pool.id
	}
	switch {
	case i.registered && i.ready:
		n.NodeStatus = "Ready"
	case i.registered:
		n.NodeStatus = "NotReady"
	case i.failed:
		n.NodeStatus = "Unknown"
	}
	return n
}

// AdminKubeconfig of a cluster, valid for a day, whatever state it is in.
func (s *Server) AdminKubeconfig(clusterID string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.clusters[clusterID]
	if k == nil || k.backend == nil {
		return nil, fmt.Errorf("cluster %s does not exist", clusterID)
	}
	b, _, err := k.backend.Kubeconfig(24 * time.Hour)
	return b, err
}

// Reset deletes all clusters and forgets everything.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.clusters {
		k.gone = true
		if k.backend != nil {
			b := k.backend
			if s.Backend.Blocking() {
				go b.Delete(s.ctx)
			} else {
				_ = b.Delete(s.ctx)
			}
		}
	}
	s.Runtime.Reset()
	s.limiter.Reset()
	s.init()
}
