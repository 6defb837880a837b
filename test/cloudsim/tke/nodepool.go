package tke

import (
	"context"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// States of a node pool, besides deleting.
const (
	poolCreating = "creating"
	poolNormal   = "normal"
	poolUpdating = "updating"
	poolDeleting = "deleting"
)

// A nodePool with its scaling group and launch configuration.
type nodePool struct {
	id, name          string
	cluster           *cluster
	group, launch     string
	spec              poolSpec
	desired, min, max int
	autoscale         bool
	protection        bool
	state             string
	created           string
	retrying, gone    bool
	order             int
}

type nodePoolView struct {
	body     map[string]any
	id, name string
	cluster  string
	tags     map[string]string
}

func (k *cluster) sortedPools() []*nodePool {
	out := []*nodePool{}
	for _, p := range k.pools {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *nodePool) int { return a.order - b.order })
	return out
}

// wanted is the number of nodes a cluster has or will have: those that belong to
// no pool, and what the pools ask for.
func (k *cluster) wanted() int {
	n := 0
	for _, i := range k.members {
		if i.pool == nil {
			n++
		}
	}
	for _, p := range k.pools {
		n += p.desired
	}
	return n
}

func (s *Server) nodePool(c *call, clusterID, id string) (*cluster, *nodePool, error) {
	k, err := s.cluster(c, clusterID)
	if err != nil {
		return nil, nil, err
	}
	if id == "" {
		return nil, nil, missing("NodePoolId")
	}
	p := k.pools[id]
	if p == nil {
		return nil, nil, s.poolNotFound(c, id)
	}
	return k, p, nil
}

// normalPool is one that takes changes.
func (s *Server) normalPool(c *call, clusterID, id string) (*nodePool, error) {
	k, p, err := s.nodePool(c, clusterID, id)
	if err != nil {
		return nil, err
	}
	if k.state != running {
		return nil, s.clusterState(c, k.state)
	}
	if p.state != poolNormal {
		return nil, poolState(p.state)
	}
	return p, nil
}

// createNodePool answers with the new id; nodes come later. Names need not be
// unique.
func (s *Server) createNodePool(c *call) (map[string]any, error) {
	var q createNodePoolRequest
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.runningCluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	spec, err := s.poolSpec(k, &q)
	if err != nil {
		return nil, err
	}
	c.entry.Owner, c.entry.Name, c.entry.Desired = spec.tags[ownerTag], q.Name, spec.group.DesiredCapacity
	if limit := s.quotas(c.account).NodePools; len(k.pools) >= limit {
		return nil, fail("LimitExceeded", "the quota of %d node pools is exceeded", limit)
	}
	desired := *spec.group.DesiredCapacity
	if err := s.fit(k, k.wanted()+desired); err != nil {
		return nil, err
	}
	p := &nodePool{
		id: s.newID("np"), name: q.Name, cluster: k, group: s.newID("asg"), launch: s.newID("asc"), spec: spec, desired: desired,
		min: *spec.group.MinSize, max: *spec.group.MaxSize, autoscale: *q.EnableAutoscale, protection: q.DeletionProtection, state: poolCreating,
		created: s.stamp(), order: s.next(),
	}
	k.pools[p.id] = p
	c.entry.NodePool = p.id
	tags := map[string]string{clusterTag: k.id}
	for key, v := range spec.tags {
		tags[key] = v
	}
	s.book(k, ledger.Object{Kind: ledger.NodePool, ID: p.id, Name: p.name, Tags: tags})
	s.book(k, ledger.Object{Kind: ledger.LaunchConfig, ID: p.launch, Name: "tke-" + p.id + "-config", Parent: p.id, Tags: tags})
	s.book(k, ledger.Object{
		Kind: ledger.ASGroup, ID: p.group, Name: "tke-" + p.id, Parent: p.id, Tags: tags, Attrs: map[string]string{"launch": p.launch},
	})
	extra := s.take(faults.Desired1Starts2, c) != nil
	if s.take(faults.StuckTask, c) == nil {
		s.After(s.latency("create-nodepool", s.conf.Latencies.CreateNodePool), func() {
			if p.state == poolCreating {
				p.state = poolNormal
				s.publishPool(p)
				s.scale(p, "node pool was created", extra)
			}
		})
	}
	s.publishPool(p)
	return map[string]any{"NodePoolId": p.id}, nil
}

func (s *Server) publishPool(p *nodePool) {
	if p.gone {
		s.nodePoolList.Delete(p.id, s.lagged())
		return
	}
	s.nodePoolList.Put(p.id, nodePoolView{body: s.viewPool(p), id: p.id, name: p.name, cluster: p.cluster.id, tags: p.spec.tags}, s.lagged())
}

func (s *Server) viewPool(p *nodePool) map[string]any {
	joining, initializing, normal, total := 0, 0, 0, 0
	for _, i := range p.cluster.members {
		if i.pool != p {
			continue
		}
		total++
		switch {
		case i.registered:
			normal++
		case i.state == instanceRunning:
			initializing++
		default:
			joining++
		}
	}
	labels, taints := []label{}, []taint{}
	for _, l := range tagList(p.spec.labels, "Name", "Value") {
		labels = append(labels, label{Name: l["Name"], Value: l["Value"]})
	}
	for _, t := range p.spec.taints {
		taints = append(taints, taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	status := "disabled"
	if p.autoscale {
		status = "enabled"
	}
	none := map[string]int{"Joining": 0, "Initializing": 0, "Normal": 0, "Total": 0}
	return map[string]any{
		"NodePoolId": p.id, "Name": p.name, "ClusterInstanceId": p.cluster.id, "LifeState": p.state, "LaunchConfigurationId": p.launch,
		"AutoscalingGroupId": p.group, "AutoscalingGroupStatus": status, "Labels": labels, "Taints": taints, "Annotations": []any{},
		"NodeCountSummary": map[string]any{
			"ManuallyAdded": none, "AutoscalingAdded": map[string]int{"Joining": joining, "Initializing": initializing, "Normal": normal, "Total": total},
		},
		"MaxNodesNum": p.max, "MinNodesNum": p.min, "DesiredNodesNum": p.desired, "NodePoolOs": p.spec.os, "OsCustomizeType": "GENERAL",
		"Tags": tagList(p.spec.tags, "Key", "Value"), "DeletionProtection": p.protection, "DesiredPodNum": 0,
	}
}

// describeNodePools is not paged, and trails writes.
func (s *Server) describeNodePools(c *call) (map[string]any, error) {
	var q struct {
		ClusterId string
		Filters   []filter
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, v := range s.nodePoolList.List(s.Clock.Now()) {
		ok, err := filtered(q.Filters, fields{"NodePoolsName": v.name, "NodePoolsId": v.id}, v.tags, "NodePoolsName")
		if err != nil {
			return nil, err
		}
		if ok && v.cluster == k.id {
			out = append(out, v.body)
		}
	}
	return map[string]any{"NodePoolSet": out, "TotalCount": len(out)}, nil
}

// describeNodePool is up to date.
func (s *Server) describeNodePool(c *call) (map[string]any, error) {
	var q struct{ ClusterId, NodePoolId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	_, p, err := s.nodePool(c, q.ClusterId, q.NodePoolId)
	if err != nil {
		return nil, err
	}
	return map[string]any{"NodePool": s.viewPool(p)}, nil
}

// modifyNodePool changes everything but the desired capacity, which has a call
// of its own. Labels and taints reach the nodes that are there as well, unless
// the caller wants otherwise.
func (s *Server) modifyNodePool(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, NodePoolId                 string
		Name                                  *string
		MaxNodesNum, MinNodesNum              *int
		Labels                                *[]label
		Taints                                *[]taint
		Tags                                  *[]tag
		EnableAutoscale, DeletionProtection   *bool
		Unschedulable                         *int64
		OsName                                *string
		Annotations, OsCustomizeType, GPUArgs ignored
		UserScript, ExtraArgs                 ignored
		IgnoreExistedNode                     bool
		DockerGraphPath, PreStartUserScript   ignored
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	p, err := s.normalPool(c, q.ClusterId, q.NodePoolId)
	if err != nil {
		return nil, err
	}
	low, high := p.min, p.max
	if q.MinNodesNum != nil {
		low = *q.MinNodesNum
	}
	if q.MaxNodesNum != nil {
		high = *q.MaxNodesNum
	}
	if low < 0 || high < low || high > 2000 {
		return nil, invalid("MinNodesNum %d and MaxNodesNum %d are not 0 <= min <= max <= 2000", low, high)
	}
	var taints []corev1.Taint
	if q.Taints != nil {
		if taints, err = kubeTaints(*q.Taints); err != nil {
			return nil, err
		}
	}
	desired := min(max(p.desired, low), high)
	if desired > p.desired {
		if err := s.fit(p.cluster, p.cluster.wanted()+desired-p.desired); err != nil {
			return nil, err
		}
	}
	p.state = poolUpdating
	unchanged := s.take(faults.TaskSuccessButUnchanged, c) != nil
	s.After(s.latency("modify-nodepool", s.conf.Latencies.ModifyNodePool), func() {
		if p.state == poolUpdating {
			p.state = poolNormal
			s.publishPool(p)
		}
	})
	s.publishPool(p)
	if unchanged {
		return nil, nil
	}
	if q.Name != nil {
		p.name = *q.Name
	}
	before, beforeTaints := p.spec.labels, p.spec.taints
	if q.Labels != nil {
		p.spec.labels = map[string]string{}
		for _, l := range *q.Labels {
			p.spec.labels[l.Name] = l.Value
		}
	}
	if q.Taints != nil {
		p.spec.taints = taints
	}
	if change := difference(before, p.spec.labels, beforeTaints, p.spec.taints); !q.IgnoreExistedNode {
		for _, i := range p.instances() {
			if i.registered {
				s.changeNode(p.cluster, i.ip, change)
			}
		}
	}
	if q.Tags != nil {
		p.spec.tags = tagMap(*q.Tags)
	}
	if q.EnableAutoscale != nil {
		p.autoscale = *q.EnableAutoscale
	}
	if q.DeletionProtection != nil {
		p.protection = *q.DeletionProtection
	}
	if q.Unschedulable != nil {
		p.spec.unschedulable = *q.Unschedulable != 0
	}
	if q.OsName != nil {
		p.spec.os = *q.OsName
	}
	tags := maps.Clone(p.spec.tags)
	tags[clusterTag] = p.cluster.id
	s.Ledger.Update(p.id, func(o *ledger.Object) { o.Name, o.Owner, o.Tags = p.name, tags[ownerTag], tags })
	p.min, p.max, p.desired = low, high, desired
	s.publishPool(p)
	s.scale(p, "the limits of the scaling group were changed", false)
	return nil, nil
}

// difference between what nodes of a pool had and what they are to have.
func difference(before, after map[string]string, taintsBefore, taintsAfter []corev1.Taint) backend.Change {
	c := backend.Change{SetLabels: after, RemoveTaints: taintsBefore, SetTaints: taintsAfter}
	for key := range before {
		if _, stays := after[key]; !stays {
			c.RemoveLabels = append(c.RemoveLabels, key)
		}
	}
	return c
}

func (s *Server) changeNode(k *cluster, name string, change backend.Change) {
	b := k.backend
	s.Work(func(ctx context.Context) error { return b.ChangeNode(ctx, name, change) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot change node", "cluster", k.id, "node", name, "error", err)
		}
	})
}

// modifyDesired sets the size. More nodes come if there is stock; fewer nodes
// means that auto scaling takes some away, without drain.
func (s *Server) modifyDesired(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, NodePoolId string
		DesiredCapacity       *int
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	c.entry.Desired = q.DesiredCapacity
	p, err := s.normalPool(c, q.ClusterId, q.NodePoolId)
	if err != nil {
		return nil, err
	}
	if q.DesiredCapacity == nil {
		return nil, missing("DesiredCapacity")
	}
	if *q.DesiredCapacity < p.min || *q.DesiredCapacity > p.max {
		return nil, invalid("DesiredCapacity %d is not in %d..%d", *q.DesiredCapacity, p.min, p.max)
	}
	if more := *q.DesiredCapacity - p.desired; more > 0 {
		if err := s.fit(p.cluster, p.cluster.wanted()+more); err != nil {
			return nil, err
		}
	}
	if s.take(faults.TaskSuccessButUnchanged, c) != nil {
		return nil, nil
	}
	p.desired = *q.DesiredCapacity
	s.scale(p, "the desired capacity was changed", s.take(faults.Desired1Starts2, c) != nil)
	s.publishPool(p)
	return nil, nil
}

// modifyInstanceTypes replaces the types of a pool, in order of preference. The
// first type it was made with must stay. A group that waits for stock tries them
// soon.
func (s *Server) modifyInstanceTypes(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, NodePoolId string
		InstanceTypes         []string
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	p, err := s.normalPool(c, q.ClusterId, q.NodePoolId)
	if err != nil {
		return nil, err
	}
	if err := s.validateTypes(q.InstanceTypes); err != nil {
		return nil, err
	}
	if first := p.spec.main; !slices.Contains(q.InstanceTypes, first) {
		return nil, invalid("the main instance type %s cannot be taken from the pool", first)
	}
	p.spec.types = q.InstanceTypes
	s.restock(p)
	s.publishPool(p)
	return nil, nil
}

// setNodeProtection keeps auto scaling from choosing instances as victims.
func (s *Server) setNodeProtection(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, NodePoolId string
		InstanceIds           []string
		ProtectedFromScaleIn  bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, p, err := s.nodePool(c, q.ClusterId, q.NodePoolId)
	if err != nil {
		return nil, err
	}
	ok, failed := []string{}, []string{}
	for _, id := range q.InstanceIds {
		if i := k.members[id]; i != nil && i.pool == p {
			i.protected = q.ProtectedFromScaleIn
			ok = append(ok, id)
		} else {
			failed = append(failed, id)
		}
	}
	return map[string]any{"SucceedInstanceIds": ok, "FailedInstanceIds": failed}, nil
}

// deleteNodePool destroys the nodes, or leaves them in the cluster, where they
// belong to no pool and cost as before.
func (s *Server) deleteNodePool(c *call) (map[string]any, error) {
	var q struct {
		ClusterId    string
		NodePoolIds  []string
		KeepInstance *bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	c.entry.NodePool = strings.Join(q.NodePoolIds, ",")
	switch {
	case len(q.NodePoolIds) == 0:
		return nil, missing("NodePoolIds")
	case q.KeepInstance == nil:
		return nil, missing("KeepInstance")
	}
	var pools []*nodePool
	for _, id := range q.NodePoolIds {
		p := k.pools[id]
		switch {
		case p == nil:
			return nil, s.poolNotFound(c, id)
		case p.state == poolDeleting:
			return nil, poolState(p.state)
		case p.protection:
			return nil, fail("OperationDenied.InDeletionProtection", "deletion protection of node pool %s is on", id)
		}
		pools = append(pools, p)
	}
	broken := s.take(faults.DeleteFailed, c) != nil
	stuck := s.take(faults.StuckTask, c) != nil
	for _, p := range pools {
		s.startDeletion(p, *q.KeepInstance, broken, stuck)
	}
	return nil, nil
}

func (s *Server) startDeletion(p *nodePool, keep, broken, stuck bool) {
	p.state = poolDeleting
	s.publishPool(p)
	if stuck {
		return
	}
	s.After(s.latency("delete-nodepool", s.conf.Latencies.DeleteNodePool), func() {
		if p.gone {
			return
		}
		if broken {
			p.state = poolNormal
			s.publishPool(p)
			return
		}
		for _, i := range p.instances() {
			i.pool = nil
			if !keep && i.charge != prepaid {
				s.destroy(i)
				continue
			}
			s.publishInstance(i)
		}
		s.removePool(p, true)
	})
}

// removePool ends a pool; with release its scaling group and launch
// configuration go as well.
func (s *Server) removePool(p *nodePool, release bool) {
	p.gone = true
	delete(p.cluster.pools, p.id)
	s.Ledger.Release(p.id)
	if release {
		s.Ledger.Release(p.group)
		s.Ledger.Release(p.launch)
	}
	s.publishPool(p)
	s.publish(p.cluster)
}
