package tke

import (
	"context"
	"slices"
	"strings"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// ownerTag marks what provider-regionpool made; its value is the UID of the
// managed resource.
const ownerTag = "regionpool.io/uid"

// States of a cluster.
const (
	trading  = "Trading"
	creating = "Creating"
	running  = "Running"
	deleting = "Deleting"
	abnormal = "Abnormal"
)

// A cluster that exists. One that is gone is not in Server.clusters.
type cluster struct {
	id, name, region, account string
	spec                      createClusterRequest
	state                     string
	created                   string
	protection, autoLevel     bool
	level                     string
	tags                      map[string]string
	securityGroup             string
	emptyEndpoint             bool

	intranet, public endpoint
	ca               string
	pools            map[string]*nodePool
	members          map[string]*instance
	superPools       map[string]*superPool
	gone             bool
	deletion         *deletion

	backend                  backend.Cluster
	backendDone, latencyDone bool
}

func (k *cluster) vpc() string { return k.spec.ClusterBasicSettings.VpcId }

// cluster returns the caller's cluster of that id in the region of the call.
func (s *Server) cluster(c *call, id string) (*cluster, error) {
	if id == "" {
		return nil, missing("ClusterId")
	}
	k := s.clusters[id]
	if k == nil || k.account != c.account || k.region != c.region {
		return nil, s.clusterNotFound(c, id)
	}
	return k, nil
}

// runningCluster is one that takes changes.
func (s *Server) runningCluster(c *call, id string) (*cluster, error) {
	k, err := s.cluster(c, id)
	if err != nil {
		return nil, err
	}
	if k.state != running {
		return nil, s.clusterState(c, k.state)
	}
	return k, nil
}

// book an object of a cluster.
func (s *Server) book(k *cluster, o ledger.Object) {
	o.Owner, o.Account, o.Region, o.Cluster = k.tags[ownerTag], k.account, k.region, k.id
	if o.Tags == nil {
		o.Tags = map[string]string{clusterTag: k.id}
	}
	if o.Attrs == nil {
		o.Attrs = map[string]string{}
	}
	o.Attrs["created"], o.Attrs["vpc"] = s.stamp(), k.vpc()
	if owner, ok := o.Tags[ownerTag]; ok {
		o.Owner = owner
	}
	switch {
	case o.Kind == ledger.Cluster:
		o.Root = true
	case o.Parent == "":
		o.Parent = k.id
	}
	if o.Kind != ledger.CVM && o.Kind != ledger.CBS {
		o.RoundUp = s.conf.Prices.RoundUpFees
	}
	s.Ledger.Create(o)
}

// createCluster answers with the new id; the cluster is usable ten minutes
// later. There is no client token: two calls make two clusters.
func (s *Server) createCluster(c *call) (map[string]any, error) {
	var q createClusterRequest
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for _, t := range q.ClusterBasicSettings.TagSpecification {
		for k, v := range tagMap(t.Tags) {
			tags[k] = v
		}
	}
	b := &q.ClusterBasicSettings
	c.entry.Name, c.entry.Owner = b.ClusterName, tags[ownerTag]
	if err := s.validateCluster(c, &q); err != nil {
		return nil, err
	}
	n := 0
	for _, k := range s.clusters {
		if k.account == c.account {
			n++
		}
	}
	if limit := s.quotas(c.account).Clusters; n >= limit {
		return nil, fail(s.quotaCode(c.Action), "the quota of %d clusters is exceeded", limit)
	}

	k := &cluster{
		id: s.newID("cls"), name: b.ClusterName, region: c.region, account: c.account, spec: q, state: trading, created: s.stamp(),
		protection: q.ClusterAdvancedSettings.DeletionProtection || s.take(faults.ProtectionOn, c) != nil,
		autoLevel:  b.AutoUpgradeClusterLevel.IsAutoUpgrade, level: b.ClusterLevel, tags: tags,
		emptyEndpoint: s.take(faults.EndpointAddressEmpty, c) != nil,
		pools:         map[string]*nodePool{}, members: map[string]*instance{}, superPools: map[string]*superPool{},
	}
	s.clusters[k.id] = k
	c.entry.Cluster = k.id
	level, _ := s.level(k.level)
	s.book(k, ledger.Object{Kind: ledger.Cluster, ID: k.id, Name: k.name, Hourly: level.Hourly, Tags: tags})
	k.securityGroup = s.newID("sg")
	s.book(k, ledger.Object{Kind: ledger.SecurityGroup, ID: k.securityGroup, Name: "tke-worker-security-for-" + k.id})
	s.book(k, ledger.Object{Kind: ledger.ENI, ID: s.newID("eni"), Name: "tke-master-" + k.id, Attrs: map[string]string{"subnet": b.SubnetId}})

	broken := s.take(faults.CreateFailedState, c) != nil
	s.startBackend(k, func() { s.created(k, broken) })
	s.After(s.latency("trading", s.conf.Latencies.Trading), func() {
		if k.state == trading {
			k.state = creating
			s.publish(k)
		}
	})
	if f := s.take(faults.StuckTask, c); f == nil {
		s.After(s.latency("create-cluster", s.conf.Latencies.CreateCluster), func() {
			k.latencyDone = true
			s.created(k, broken)
		})
	}
	s.publish(k)
	return map[string]any{"ClusterId": k.id}, nil
}

// startBackend makes what stands behind the cluster, while the virtual latency
// runs.
func (s *Server) startBackend(k *cluster, done func()) {
	spec := backend.Spec{
		ID: k.id, Region: k.region, Version: k.spec.ClusterBasicSettings.ClusterVersion, ServiceCIDR: k.spec.ClusterCIDRSettings.ServiceCIDR,
		PodCIDR: k.spec.ClusterCIDRSettings.ClusterCIDR, CoreDNS: s.Config.Switches.CoreDNS,
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
			if k.state == trading || k.state == creating {
				k.state = abnormal
				s.publish(k)
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
func (s *Server) created(k *cluster, broken bool) {
	if k.state != creating || !k.latencyDone || !k.backendDone {
		return
	}
	k.state = running
	if broken {
		k.state = abnormal
	}
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
	b, n, a := k.spec.ClusterBasicSettings, k.spec.ClusterCIDRSettings, k.spec.ClusterAdvancedSettings
	v := clusterView{
		ClusterId: k.id, ClusterName: k.name, ClusterDescription: b.ClusterDescription, ClusterVersion: b.ClusterVersion, ClusterOs: b.ClusterOs,
		ClusterType: k.spec.ClusterType, ClusterNodeNum: len(k.members), ProjectId: b.ProjectId, ClusterStatus: k.state, Property: "{}",
		OsCustomizeType: b.OsCustomizeType, ContainerRuntime: a.ContainerRuntime, RuntimeVersion: a.RuntimeVersion, CreatedTime: k.created,
		ClusterLevel: k.level, DeletionProtection: k.protection, AutoUpgradeClusterLevel: k.autoLevel,
		ClusterNetworkSettings: networkView{
			ClusterCIDR: n.ClusterCIDR, ServiceCIDR: n.ServiceCIDR, VpcId: b.VpcId, KubeProxyMode: a.KubeProxyMode, Ipvs: a.IPVS, Cni: true,
			IgnoreClusterCIDRConflict: n.IgnoreClusterCIDRConflict, MaxNodePodNum: n.MaxNodePodNum, MaxClusterServiceNum: n.MaxClusterServiceNum,
			Subnets: n.EniSubnetIds,
		},
		account: k.account, region: k.region,
	}
	spec := tagSpecification{ResourceType: "cluster"}
	for _, t := range tagList(k.tags, "Key", "Value") {
		spec.Tags = append(spec.Tags, tag{Key: t["Key"], Value: t["Value"]})
	}
	if len(spec.Tags) > 0 {
		v.TagSpecification = []tagSpecification{spec}
	}
	return v
}

// describeClusters trails writes. A cluster that is gone is not an error but
// missing, and the filter by name matches parts of names.
func (s *Server) describeClusters(c *call) (map[string]any, error) {
	var q struct {
		ClusterIds    []string
		Offset, Limit *number
		Filters       []filter
		ClusterType   string
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all := []clusterView{}
	for _, v := range s.clusterList.List(s.Clock.Now()) {
		tags := map[string]string{}
		for _, t := range v.TagSpecification {
			tags = tagMap(t.Tags)
		}
		ok, err := filtered(q.Filters, fields{
			"ClusterName": v.ClusterName, "ClusterType": v.ClusterType, "ClusterStatus": v.ClusterStatus, "vpc-id": v.ClusterNetworkSettings.VpcId,
		}, tags, "ClusterName")
		if err != nil {
			return nil, err
		}
		if !ok || v.account != c.account || v.region != c.region || len(q.ClusterIds) > 0 && !slices.Contains(q.ClusterIds, v.ClusterId) ||
			q.ClusterType != "" && q.ClusterType != v.ClusterType {
			continue
		}
		all = append(all, v)
	}
	page, err := paginate(all, q.Offset, q.Limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"TotalCount": len(all), "Clusters": page}, nil
}

// describeClusterStatus is up to date.
func (s *Server) describeClusterStatus(c *call) (map[string]any, error) {
	var q struct{ ClusterIds []string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	out := []any{}
	for _, k := range s.sorted() {
		if k.account != c.account || k.region != c.region || len(q.ClusterIds) > 0 && !slices.Contains(q.ClusterIds, k.id) {
			continue
		}
		initial, ready, failed, closing := 0, 0, 0, 0
		for _, i := range k.members {
			switch {
			case i.removing:
				closing++
			case i.failed:
				failed++
			case i.registered:
				ready++
			default:
				initial++
			}
		}
		state := "AllNormal"
		switch {
		case len(k.members) == 0:
			state = "Idle"
		case failed > 0:
			state = "PartialAbnormal"
		case initial > 0:
			state = "Initializing"
		}
		out = append(out, map[string]any{
			"ClusterId": k.id, "ClusterState": k.state, "ClusterInstanceState": state, "ClusterBMonitor": true, "ClusterInitNodeNum": initial,
			"ClusterRunningNodeNum": ready, "ClusterFailedNodeNum": failed, "ClusterClosedNodeNum": 0, "ClusterClosingNodeNum": closing,
			"ClusterDeletionProtection": k.protection, "ClusterAuditEnabled": k.spec.ClusterAdvancedSettings.AuditEnabled,
		})
	}
	return map[string]any{"ClusterStatusSet": out, "TotalCount": len(out)}, nil
}

func (s *Server) sorted() []*cluster {
	out := []*cluster{}
	for _, k := range s.clusters {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b *cluster) int { return strings.Compare(a.created+a.id, b.created+b.id) })
	return out
}

// modifyClusterAttribute changes name, description and level.
func (s *Server) modifyClusterAttribute(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, ClusterLevel  string
		ProjectId                *int64
		ClusterName, ClusterDesc *string
		AutoUpgradeClusterLevel  *struct{ IsAutoUpgrade bool }
		QGPUShareEnable          *bool
		ClusterProperty          ignored
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.runningCluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	if q.ClusterLevel != "" {
		level, ok := s.level(q.ClusterLevel)
		if !ok {
			return nil, invalid("ClusterLevel %q does not exist", q.ClusterLevel)
		}
		if level.Nodes < len(k.members) {
			return nil, invalid("ClusterLevel %s is too small for %d nodes", q.ClusterLevel, len(k.members))
		}
		s.setLevel(k, q.ClusterLevel)
	}
	if q.ClusterName != nil {
		k.name = *q.ClusterName
		s.Ledger.Update(k.id, func(o *ledger.Object) { o.Name = k.name })
	}
	if q.ClusterDesc != nil {
		k.spec.ClusterBasicSettings.ClusterDescription = *q.ClusterDesc
	}
	if q.AutoUpgradeClusterLevel != nil {
		k.autoLevel = q.AutoUpgradeClusterLevel.IsAutoUpgrade
	}
	s.publish(k)
	return map[string]any{"ClusterId": k.id, "ClusterName": k.name, "ClusterLevel": k.level}, nil
}

// setLevel of a cluster, and its fee from now on.
func (s *Server) setLevel(k *cluster, name string) {
	level, _ := s.level(name)
	k.level = name
	s.Ledger.Reprice(k.id, level.Hourly)
	s.publish(k)
}

// fit makes room for n nodes: the level limits a cluster, unless it rises by
// itself.
func (s *Server) fit(k *cluster, n int) error {
	if limit := s.quotas(k.account).NodesPerCluster; n > limit {
		return fail(s.quotaCode("NodePool"), "the quota of %d nodes in a cluster is exceeded", limit)
	}
	level, _ := s.level(k.level)
	if n <= level.Nodes {
		return nil
	}
	if k.autoLevel {
		for _, l := range s.conf.Levels {
			if n <= l.Nodes {
				s.setLevel(k, l.Name)
				return nil
			}
		}
	}
	return fail("LimitExceeded", "level %s allows a cluster %d nodes, not %d", k.level, level.Nodes, n)
}

func (s *Server) enableProtection(c *call) (map[string]any, error)  { return s.setProtection(c, true) }
func (s *Server) disableProtection(c *call) (map[string]any, error) { return s.setProtection(c, false) }

func (s *Server) setProtection(c *call, on bool) (map[string]any, error) {
	var q struct{ ClusterId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	if s.take(faults.TaskSuccessButUnchanged, c) == nil {
		k.protection = on
		s.publish(k)
	}
	return nil, nil
}

// describeLevels returns what levels there are and how large they are.
func (s *Server) describeLevels(c *call) (map[string]any, error) {
	var q struct{ ClusterID string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	if q.ClusterID != "" {
		if _, err := s.cluster(c, q.ClusterID); err != nil {
			return nil, err
		}
	}
	out := []any{}
	for _, l := range s.conf.Levels {
		out = append(out, map[string]any{
			"Name": l.Name, "Alias": l.Name, "NodeCount": l.Nodes, "PodCount": l.Pods, "ConfigMapCount": 128 * l.Nodes / 5, "RSCount": 150 * l.Nodes / 5,
			"CRDCount": 150 * l.Nodes / 5, "OtherCount": 1000, "Enable": true,
		})
	}
	return map[string]any{"TotalCount": len(out), "Items": out}, nil
}

func (s *Server) describeVersions(c *call) (map[string]any, error) {
	if err := decode(c, &struct{}{}); err != nil {
		return nil, err
	}
	out := []any{}
	for _, v := range s.conf.Versions {
		out = append(out, map[string]any{"Name": "Kubernetes", "Version": v, "Remark": ""})
	}
	return map[string]any{"TotalCount": len(out), "VersionInstanceSet": out}, nil
}
