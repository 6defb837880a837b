package ack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// OwnerTag marks what provider-regionpool made; its value is the UID of the
// managed resource.
const OwnerTag = "regionpool.io/uid"

// States of a cluster.
const (
	initial      = "initial"
	running      = "running"
	updating     = "updating"
	failedState  = "failed"
	deleting     = "deleting"
	deleteFailed = "delete_failed"
)

// A cluster that exists in ACK. One that is gone is not in Server.clusters.
type cluster struct {
	id, name, region, account string
	spec                      createClusterRequest
	state                     string
	created, updated          string
	protection                bool
	rrsa                      bool
	tags                      []tag
	size                      int

	slb, eip, securityGroup string
	publicEndpoint          bool
	emptyEndpoint           bool
	autoscaling             map[string]any

	pools   map[string]*nodePool
	addons  map[string]*addon
	virtual map[string]bool // virtual nodes by zone
	gone    bool

	backend     backend.Cluster
	backendDone bool
	latencyDone bool
	refusals    int
}

func (s *Server) cluster(c *call) (*cluster, error) {
	k := s.clusters[c.vars["cluster"]]
	if k == nil || k.account != c.account {
		return nil, clusterNotFound(c.vars["cluster"])
	}
	return k, nil
}

func owner(tags []tag) string {
	for _, t := range tags {
		if t.Key == OwnerTag {
			return t.Value
		}
	}
	return ""
}

// book an object of a cluster in the ledger. Everything but the cluster itself
// carries ACK's tag.
func (s *Server) book(k *cluster, kind ledger.Kind, id, name string, hourly float64, attrs map[string]string) {
	o := ledger.Object{
		Kind: kind, ID: id, Name: name, Owner: owner(k.tags), Account: k.account, Region: k.region, Cluster: k.id, Parent: k.id, Hourly: hourly,
		Tags: clusterTags(k.id), Attrs: s.network(k, attrs),
	}
	if kind == ledger.Cluster {
		o.Parent, o.Root, o.Tags = "", true, tagMap(k.tags)
	}
	if kind != ledger.ECS && kind != ledger.SystemDisk && kind != ledger.DataDisk {
		o.RoundUp = s.Config.Prices.RoundUpFees
	}
	s.Ledger.Create(o)
}

// network adds the details that all things of a cluster have in common.
func (s *Server) network(k *cluster, attrs map[string]string) map[string]string {
	out := map[string]string{ledger.AttrVPC: k.spec.VPCID, ledger.AttrCreated: s.Clock.Wall().UTC().Format(time.RFC3339)}
	maps.Copy(out, attrs)
	return out
}

func tagMap(tags []tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

// createCluster answers 202 with the new id; the cluster is usable minutes
// later.
func (s *Server) createCluster(c *call) (int, any, error) {
	var q createClusterRequest
	if err := decode(c, &q); err != nil {
		return 0, nil, err
	}
	c.entry.Name, c.entry.Owner = q.Name, owner(q.Tags)
	if err := s.validateCluster(c.body, &q); err != nil {
		return 0, nil, err
	}
	if n, limit := s.count(c.account), s.quotas(c.account).Clusters; n >= limit {
		return 0, nil, quotaExceeded("Cluster", limit)
	}

	now := s.stamp()
	k := &cluster{
		id: "c" + s.Random.Hex("cluster-id", 32), name: q.Name, region: q.RegionID, account: c.account, spec: q, state: initial,
		created: now, updated: now, protection: q.DeletionProtection, rrsa: q.EnableRRSA, tags: q.Tags, publicEndpoint: q.EndpointPublicAccess,
		pools: map[string]*nodePool{}, addons: map[string]*addon{}, virtual: map[string]bool{},
	}
	if s.take(faults.ProtectionOn, c) != nil {
		k.protection = true
	}
	k.emptyEndpoint = s.take(faults.EndpointAddressEmpty, c) != nil
	s.clusters[k.id] = k
	c.entry.Cluster = k.id
	s.bill(k)
	for _, a := range q.Addons {
		if !a.Disabled {
			k.addons[a.Name] = &addon{name: a.Name, version: a.Version, config: a.Config, state: "updating"}
		}
	}

	t := s.begin(c, "cluster_create", k.id, "cluster", k.id)
	s.enter(t, "CreateCluster")
	broken := s.take(faults.CreateFailedState, c) != nil || t.outcome == failing
	extraPool := s.take(faults.DuplicateDefaultNodePool, c)
	s.startBackend(k, func() { s.created(k, t, broken, extraPool) })
	s.later(t, s.Latency("create-cluster", s.Config.Latencies.CreateCluster), func() {
		k.latencyDone = true
		s.created(k, t, broken, extraPool)
	})
	s.publish(k)
	return http.StatusAccepted, map[string]any{"cluster_id": k.id, "request_id": c.id, "task_id": t.id}, nil
}

// bill what comes with a cluster.
func (s *Server) bill(k *cluster) {
	q, p := k.spec, s.Config.Prices
	fee := 0.0
	if strings.HasPrefix(q.ClusterSpec, "ack.pro.") {
		fee = p.ClusterPro
	}
	s.book(k, ledger.Cluster, k.id, k.name, fee, nil)
	vsw := map[string]string{ledger.AttrVSwitch: q.VSwitchIDs[0]}
	balancer := func(kind ledger.Kind, name, address string) string {
		id := "lb-" + s.Random.Alphanumeric("lb-id", 22)
		s.book(k, kind, id, name, p.SLB, map[string]string{ledger.AttrVSwitch: q.VSwitchIDs[0], ledger.AttrAddress: s.address(address), ledger.AttrAddressType: address})
		return id
	}
	k.slb = balancer(ledger.APISLB, "ManagedK8SSlbIntranet-"+k.id, "intranet")
	if q.EndpointPublicAccess {
		k.eip = "eip-" + s.Random.Alphanumeric("eip-id", 22)
		s.book(k, ledger.APIEIP, k.eip, "api-server", p.EIP, map[string]string{ledger.AttrInstance: k.slb, ledger.AttrAddress: s.address("internet")})
	}
	if q.SNATEntry == nil || *q.SNATEntry {
		nat := "ngw-" + s.Random.Alphanumeric("ngw-id", 22)
		s.book(k, ledger.NAT, nat, "nat", p.NAT, vsw)
		s.book(k, ledger.NATEIP, "eip-"+s.Random.Alphanumeric("eip-id", 22), "nat", p.EIP, map[string]string{ledger.AttrInstance: nat, ledger.AttrAddress: s.address("internet")})
	}
	if k.securityGroup = q.SecurityGroupID; k.securityGroup == "" {
		k.securityGroup = "sg-" + s.Random.Alphanumeric("sg-id", 20)
		s.book(k, ledger.SecurityGroup, k.securityGroup, "alicloud-cs-auto-created-security-group-"+k.id, 0, nil)
	}
	s.book(k, ledger.RAMRole, "KubernetesWorkerRole-"+k.id, "worker", 0, nil)
	for _, v := range q.VSwitchIDs {
		s.book(k, ledger.ENI, "eni-"+s.Random.Alphanumeric("eni-id", 20), v, 0, map[string]string{ledger.AttrVSwitch: v, ledger.AttrSecurityGroup: k.securityGroup})
	}
	ingress := !slices.ContainsFunc(q.Addons, func(a addonSpec) bool { return a.Name == "nginx-ingress-controller" && a.Disabled })
	if ingress {
		balancer(ledger.IngressSLB, "nginx-ingress-lb", "internet")
	}
	logs := slices.ContainsFunc(q.Addons, func(a addonSpec) bool { return a.Name == "logtail-ds" && !a.Disabled })
	if logs || q.LoggingType == "SLS" || len(q.ControlPlaneLogComponents) > 0 {
		s.book(k, ledger.SLSProject, "k8s-log-"+k.id, "logs", p.SLSProject, nil)
	}
}

// address of something in the internet, or in the cloud's own network.
func (s *Server) address(kind string) string {
	n := s.Random.Intn(kind+"-address", 250*250)
	prefix := "192.168"
	if kind == "internet" {
		prefix = "47.96"
	}
	return fmt.Sprintf("%s.%d.%d", prefix, n/250+1, n%250+1)
}

// startBackend makes what stands behind the cluster, while the virtual latency
// runs.
func (s *Server) startBackend(k *cluster, done func()) {
	spec := backend.Spec{
		ID: k.id, Region: k.region, Version: k.spec.KubernetesVersion, ServiceCIDR: k.spec.ServiceCIDR, PodCIDR: k.spec.ContainerCIDR,
		CoreDNS: s.Config.Switches.CoreDNS,
	}
	var made backend.Cluster
	epoch := s.Epoch()
	s.Work(func(ctx context.Context) error {
		var err error
		if made, err = s.Backend.Create(ctx, spec, s); err != nil {
			return err
		}
		s.mu.Lock()
		forgotten := s.Epoch() != epoch
		s.mu.Unlock()
		if forgotten {
			return made.Delete(ctx)
		}
		return nil
	}, func(err error) {
		if err != nil {
			s.log.Error("Cannot create backend of cluster", "cluster", k.id, "error", err)
			if k.state == initial {
				k.state = failedState
				s.touch(k)
			}
			return
		}
		k.backend, k.backendDone = made, true
		if k.gone {
			s.Work(made.Delete, func(error) {})
			return
		}
		done()
	})
}

// created ends the creation once both the latency is over and the backend is
// there.
func (s *Server) created(k *cluster, t *task, broken bool, extraPool *faults.Rule) {
	if k.state != initial || !k.latencyDone || !k.backendDone {
		return
	}
	if broken {
		k.state = failedState
		s.touch(k)
		if t.outcome == failing {
			s.finish(t, t.failure)
		} else {
			s.finish(t, &taskError{Code: "ErrorCreateCluster", Message: "the cluster could not be created"})
		}
		return
	}
	k.state = running
	for _, a := range k.addons {
		a.state = "active"
	}
	s.finish(t, nil)
	s.touch(k)
	s.syncVirtual(k)
	if extraPool != nil {
		s.defaultNodePool(k, extraPool)
	}
}

// touch notes that a cluster changed.
func (s *Server) touch(k *cluster) {
	k.updated = s.stamp()
	s.publish(k)
}

// publish what lists will show of a cluster after the lag.
func (s *Server) publish(k *cluster) {
	if k.gone {
		s.clusterList.Delete(k.id, s.lagged())
		return
	}
	s.clusterList.Put(k.id, s.viewCluster(k), s.lagged())
}

func (s *Server) viewCluster(k *cluster) clusterView {
	endpoints := map[string]string{"api_server_endpoint": "", "intranet_api_server_endpoint": ""}
	if k.backend != nil && k.state != initial && !k.emptyEndpoint {
		endpoints["intranet_api_server_endpoint"] = k.backend.Endpoint()
		if k.publicEndpoint {
			endpoints["api_server_endpoint"] = k.backend.Endpoint()
		}
	}
	url, _ := json.Marshal(endpoints)
	meta, _ := json.Marshal(map[string]any{"RRSAConfig": map[string]any{"enabled": k.rrsa}, "Timezone": k.spec.Timezone, "Addons": nil})
	mode := "vpc"
	_, vsw, _ := s.VSwitch(k.region, k.spec.VSwitchIDs[0])
	return clusterView{
		ClusterID: k.id, Name: k.name, State: k.state, ClusterType: k.spec.ClusterType, ClusterSpec: k.spec.ClusterSpec, Profile: k.spec.Profile,
		CurrentVersion: k.spec.KubernetesVersion, InitVersion: k.spec.KubernetesVersion, RegionID: k.region, ZoneID: vsw.Zone, VPCID: k.spec.VPCID,
		VSwitchID: strings.Join(k.spec.VSwitchIDs, ","), VSwitchIDs: k.spec.VSwitchIDs, SecurityGroupID: k.securityGroup, ExternalLoadBalancerID: k.slb,
		WorkerRAMRoleName: "KubernetesWorkerRole-" + k.id, ServiceCIDR: k.spec.ServiceCIDR, ContainerCIDR: k.spec.ContainerCIDR, SubnetCIDR: k.spec.ContainerCIDR,
		NodeCIDRMask: k.spec.NodeCIDRMask, ProxyMode: k.spec.ProxyMode, NetworkMode: mode, ClusterDomain: "cluster.local", Timezone: k.spec.Timezone,
		ResourceGroupID: k.spec.ResourceGroupID, DeletionProtection: k.protection, Tags: append([]tag{}, k.tags...), Created: k.created, Updated: k.updated,
		Size: k.size, MasterURL: string(url), MetaData: string(meta), account: k.account,
	}
}

func (s *Server) describeCluster(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.viewCluster(k), nil
}

// retired answers for the list APIs that ACK decommissioned in 2026. The status
// and code are a guess.
func (s *Server) retired(c *call) (int, any, error) {
	if s.Config.Switches.RetiredListAPIs {
		return 0, nil, fail(http.StatusGone, "InvalidAction.Decommissioned", "%s is decommissioned, use DescribeClustersForRegion", c.action)
	}
	list := s.visible(c, "")
	if c.action == "DescribeClusters" {
		return http.StatusOK, list, nil
	}
	page, info, err := paginate(c, list, "page_number", "page_size")
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"clusters": page, "page_info": info}, nil
}

// visible returns the account's clusters as lists show them now.
func (s *Server) visible(c *call, region string) []clusterView {
	out := []clusterView{}
	for _, v := range s.clusterList.List(s.Clock.Now()) {
		switch {
		case v.account != c.account, region != "" && v.RegionID != region,
			!strings.Contains(v.Name, c.query.Get("name")):
			continue
		}
		matches := true
		for key, have := range map[string]string{"cluster_id": v.ClusterID, "cluster_type": v.ClusterType, "cluster_spec": v.ClusterSpec, "profile": v.Profile} {
			if want := c.query.Get(key); want != "" && want != have {
				matches = false
			}
		}
		if matches {
			out = append(out, v)
		}
	}
	return out
}

// describeClustersForRegion trails writes; its name filter is fuzzy and there is
// none by tag.
func (s *Server) describeClustersForRegion(c *call) (int, any, error) {
	region := c.vars["region"]
	if _, ok := s.Config.Regions[region]; !ok {
		return 0, nil, invalid("RegionId", "region %q does not exist", region)
	}
	page, info, err := paginate(c, s.visible(c, region), "page_number", "page_size")
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"clusters": page, "page_info": info}, nil
}

// modifyCluster changes one thing at a time for sure: deletion protection sent
// together with another field is ignored, although the task succeeds.
func (s *Server) modifyCluster(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	var q modifyClusterRequest
	if err := decode(c, &q); err != nil {
		return 0, nil, err
	}
	if k.state != running {
		return 0, nil, clusterState(k.state)
	}
	if q.APIServerEIP != nil && *q.APIServerEIP && q.APIServerEIPID == "" {
		return 0, nil, invalid("ApiServerEipId", "api_server_eip_id is required when api_server_eip is true")
	}
	if len(q.VSwitchIDs) > 0 {
		if err := s.validateVSwitches(k.region, k.spec.VPCID, q.VSwitchIDs); err != nil {
			return 0, nil, err
		}
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(c.body, &fields)

	k.state = updating
	s.touch(k)
	t := s.begin(c, "cluster_modify", k.id, "cluster", k.id)
	s.enter(t, "ModifyCluster")
	d := s.Latency("modify-cluster", s.Config.Latencies.ModifyCluster)
	if q.APIServerEIP != nil {
		d = s.Latency("modify-endpoint", s.Config.Latencies.ModifyEndpoint)
	}
	s.later(t, d, func() {
		if k.state != updating {
			return
		}
		k.state = running
		if t.outcome == effective {
			if q.DeletionProtection != nil && len(fields) > 1 {
				q.DeletionProtection = nil
			}
			s.applyCluster(k, q)
			s.syncVirtual(k)
		}
		s.finish(t, nil)
		s.touch(k)
	})
	return http.StatusAccepted, map[string]any{"cluster_id": k.id, "request_id": c.id, "task_id": t.id}, nil
}

func (s *Server) applyCluster(k *cluster, q modifyClusterRequest) {
	if q.ClusterName != nil {
		k.name = *q.ClusterName
	}
	if q.DeletionProtection != nil {
		k.protection = *q.DeletionProtection
	}
	if q.EnableRRSA != nil {
		k.rrsa = *q.EnableRRSA
	}
	if len(q.VSwitchIDs) > 0 {
		k.spec.VSwitchIDs = q.VSwitchIDs
	}
	if q.ResourceGroupID != nil {
		k.spec.ResourceGroupID = *q.ResourceGroupID
	}
	if q.APIServerEIP != nil {
		k.publicEndpoint = *q.APIServerEIP
		if !*q.APIServerEIP && k.eip != "" {
			s.Ledger.Release(k.eip)
			k.eip = ""
		}
	}
}

// describeKubeconfig hands out a kubeconfig with a certificate that is valid for
// TemporaryDurationMinutes, or for three years.
func (s *Server) describeKubeconfig(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	ttl := 3 * 365 * 24 * time.Hour
	if v := c.query.Get("TemporaryDurationMinutes"); v != "" && v != "0" {
		m, err := strconv.Atoi(v)
		if err != nil || m < 15 || m > 4320 {
			return 0, nil, invalid("TemporaryDurationMinutes", "TemporaryDurationMinutes must be in 15..4320, not %q", v)
		}
		ttl = time.Duration(m) * time.Minute
	}
	if k.state == initial || k.state == failedState || k.backend == nil {
		return 0, nil, clusterState(k.state)
	}
	config, expires, err := k.backend.Kubeconfig(ttl)
	if err != nil {
		return 0, nil, fmt.Errorf("cannot issue kubeconfig: %w", err)
	}
	text := string(config)
	if s.take(faults.KubeconfigUnresolvable, c) != nil {
		text = strings.ReplaceAll(text, k.backend.Endpoint(), "https://"+k.id+".cs.invalid:6443")
	}
	return http.StatusOK, map[string]any{"config": text, "expiration": expires.UTC().Format(time.RFC3339)}, nil
}
