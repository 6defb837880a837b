package ack

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/state"
)

// An asset is what a cluster's controllers asked the cloud for.
type asset struct {
	id, address string
}

var resourceTypes = map[ledger.Kind]string{
	ledger.APISLB:        "ALIYUN::SLB::LoadBalancer",
	ledger.IngressSLB:    "ALIYUN::SLB::LoadBalancer",
	ledger.ServiceSLB:    "ALIYUN::SLB::LoadBalancer",
	ledger.APIEIP:        "ALIYUN::VPC::EIP",
	ledger.NATEIP:        "ALIYUN::VPC::EIP",
	ledger.NAT:           "ALIYUN::VPC::NatGateway",
	ledger.SecurityGroup: "ALIYUN::ECS::SecurityGroup",
	ledger.ENI:           "ALIYUN::ECS::NetworkInterface",
	ledger.RAMRole:       "ALIYUN::RAM::Role",
	ledger.SLSProject:    "ALIYUN::SLS::Project",
	ledger.NodePool:      "ALIYUN::ESS::ScalingGroup",
	ledger.ECS:           "ALIYUN::ECS::Instance",
	ledger.SystemDisk:    "ALIYUN::ECS::Disk",
	ledger.DataDisk:      "ALIYUN::ECS::Disk",
}

// describeResources is the inventory of what hangs on a cluster.
func (s *Server) describeResources(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	out := []any{}
	for _, o := range s.Ledger.Live(func(o ledger.Object) bool {
		return o.Cluster == k.id && o.Kind != ledger.Cluster && o.Kind != ledger.ECIPod
	}) {
		creator, byDefault := "system", true
		switch o.Kind {
		case ledger.ServiceSLB, ledger.IngressSLB:
			creator, byDefault = "addon", false
		case ledger.SLSProject:
			byDefault = false
		}
		out = append(out, map[string]any{
			"cluster_id": k.id, "instance_id": o.ID, "resource_type": resourceTypes[o.Kind], "resource_info": o.Name, "state": "CREATE_COMPLETE",
			"created": k.created, "auto_create": 1, "creator_type": creator, "dependencies": []any{},
			"delete_behavior": map[string]bool{"delete_by_default": byDefault, "changeable": !byDefault}, "extra_info": map[string]any{},
		})
	}
	return http.StatusOK, out, nil
}

// quotas of an account, with defaults.
func (s *Server) quotas(account string) config.Quotas {
	a, _ := s.Account(account)
	q := a.Quotas
	if q.Clusters == 0 {
		q.Clusters = 50
	}
	if q.NodePools == 0 {
		q.NodePools = 100
	}
	if q.NodesPerCluster == 0 {
		q.NodesPerCluster = 100
	}
	return q
}

// count of an account's clusters.
func (s *Server) count(account string) int {
	n := 0
	for _, k := range s.clusters {
		if k.account == account {
			n++
		}
	}
	return n
}

func (s *Server) describeQuota(c *call) (int, any, error) {
	q := s.quotas(c.account)
	return http.StatusOK, map[string]any{
		"amk_cluster_quota": q.Clusters, "ask_cluster_quota": 0, "cluster_quota": q.Clusters, "cluster_nodepool_quota": q.NodePools, "node_quota": q.NodesPerCluster,
	}, nil
}

// EnsureLoadBalancer gives a Service its SLB.
func (s *Server) EnsureLoadBalancer(clusterID, key, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.clusters[clusterID]
	if k == nil {
		return "", fmt.Errorf("cluster %s does not exist", clusterID)
	}
	r := s.extra["lb/"+clusterID+"/"+key]
	if r == nil {
		r = &asset{id: "lb-" + s.Random.Alphanumeric("lb-id", 22), address: s.address("internet")}
		s.extra["lb/"+clusterID+"/"+key] = r
		s.book(k, ledger.ServiceSLB, r.id, name, s.Config.Prices.SLB, map[string]string{ledger.AttrAddress: r.address, ledger.AttrAddressType: "internet"})
	}
	return r.address, nil
}

// ReleaseLoadBalancer of a Service.
func (s *Server) ReleaseLoadBalancer(clusterID, key string) {
	s.releaseExtra("lb/" + clusterID + "/" + key)
}

// EnsureVolume gives a claim its disk.
func (s *Server) EnsureVolume(clusterID, key, name string, gib int) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.clusters[clusterID]
	if k == nil {
		return "", fmt.Errorf("cluster %s does not exist", clusterID)
	}
	r := s.extra["disk/"+clusterID+"/"+key]
	if r == nil {
		r = &asset{id: "d-" + s.Random.Alphanumeric("disk-id", 20)}
		s.extra["disk/"+clusterID+"/"+key] = r
		s.book(k, ledger.DataDisk, r.id, name, float64(gib)*s.Config.Prices.DiskGiB, map[string]string{
			ledger.AttrSize: strconv.Itoa(gib), ledger.AttrCategory: "cloud_essd", ledger.AttrDiskType: "data",
		})
	}
	return r.id, nil
}

// ReleaseVolume of a claim.
func (s *Server) ReleaseVolume(clusterID, key string) {
	s.releaseExtra("disk/" + clusterID + "/" + key)
}

func (s *Server) releaseExtra(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.extra[key]; r != nil {
		s.Ledger.Release(r.id)
		delete(s.extra, key)
	}
}

// Snapshot of all clusters and nodes, without lag.
func (s *Server) Snapshot() state.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := state.Snapshot{Clusters: []state.Cluster{}, Nodes: []state.Node{}, Pods: s.virtual.Pods("", "")}
	for _, k := range s.clusters {
		c := state.Cluster{
			Service: "ack", ID: k.id, Name: k.name, Owner: owner(k.tags), Region: k.region, State: k.state,
			DeletionProtection: k.protection, Pools: []state.NodePool{},
		}
		if k.backend != nil {
			c.Endpoint = k.backend.Endpoint()
		}
		for _, p := range k.sortedPools() {
			st := p.status()
			c.Pools = append(c.Pools, state.NodePool{
				ID: p.id, Name: p.name, Owner: owner(p.spec.ScalingGroup.Tags), State: p.state, Desired: p.desired, Total: st.TotalNodes, Ready: st.ServingNodes,
			})
			for _, i := range p.sorted() {
				out.Nodes = append(out.Nodes, state.Node{
					Cluster: k.id, NodePool: p.id, Instance: i.id, Name: i.nodeName, Type: i.kind, Zone: i.zone, Spot: i.spot,
					State: i.state, NodeStatus: i.nodeStatus, Registered: i.registered, Removing: i.removing,
				})
			}
		}
		out.Clusters = append(out.Clusters, c)
	}
	sortBy(out.Clusters, func(c state.Cluster) string { return c.ID })
	sortBy(out.Nodes, func(n state.Node) string { return n.Cluster + n.Name })
	return out
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
	s.virtual.Reset()
	s.init()
}
