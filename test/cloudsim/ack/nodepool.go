package ack

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// More states of a node pool.
const (
	active        = "active"
	scaling       = "scaling"
	removing      = "removing"
	removingNodes = "removing_nodes"
)

// A nodePool with its scaling group.
type nodePool struct {
	id, group string
	name      string
	cluster   *cluster
	raw       map[string]any // what was asked for, merged over all changes
	spec      nodePoolSpec
	desired   int
	state     string
	instances map[string]*instance
	retrying  bool
	gone      bool
	order     int
}

func (k *cluster) sortedPools() []*nodePool {
	out := slices.Collect(maps.Values(k.pools))
	slices.SortFunc(out, func(a, b *nodePool) int { return a.order - b.order })
	return out
}

func (s *Server) nodePool(c *call) (*cluster, *nodePool, error) {
	k, err := s.cluster(c)
	if err != nil {
		return nil, nil, err
	}
	p := k.pools[c.vars["nodePool"]]
	if p == nil {
		return nil, nil, nodePoolNotFound(c.vars["nodePool"])
	}
	return k, p, nil
}

// size wanted by a spec, given the size before.
func (q *nodePoolSpec) size(before int) int {
	switch {
	case q.AutoScaling.Enable:
		return min(max(before, q.AutoScaling.MinInstances), q.AutoScaling.MaxInstances)
	case q.ScalingGroup.DesiredSize != nil:
		return *q.ScalingGroup.DesiredSize
	case q.Count != nil:
		return before + *q.Count
	}
	return before
}

// createNodePool answers with the new id; nodes come later, and a lack of stock
// shows only in the task.
func (s *Server) createNodePool(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	var q nodePoolSpec
	var raw map[string]any
	if err := decode(c, &q); err != nil {
		return 0, nil, err
	}
	if err := decode(c, &raw); err != nil {
		return 0, nil, err
	}
	c.entry.Name, c.entry.Owner = q.NodepoolInfo.Name, owner(q.ScalingGroup.Tags)
	if k.state != running {
		return 0, nil, clusterState(k.state)
	}
	if err := s.validateNodePool(k, &q); err != nil {
		return 0, nil, err
	}
	for _, p := range k.pools {
		if p.name == q.NodepoolInfo.Name {
			return 0, nil, fail(http.StatusBadRequest, "NodepoolNameAlreadyExist", "nodepool name %s is already exist in cluster", p.name)
		}
	}
	quotas := s.quotas(c.account)
	if len(k.pools) >= quotas.NodePools {
		return 0, nil, quotaExceeded("NodePool", quotas.NodePools)
	}
	desired := q.size(0)
	if desired+k.wanted() > quotas.NodesPerCluster {
		return 0, nil, quotaExceeded("Node", quotas.NodesPerCluster)
	}
	c.entry.Desired = &desired

	p := s.addPool(k, q, raw, desired)
	c.entry.NodePool = p.id
	t := s.begin(c, "nodepool_create", k.id, "nodepool", p.id)
	s.enter(t, "CreateNodePool")
	extra := s.take(faults.Desired1Starts2, c) != nil
	s.later(t, s.Latency("create-nodepool", s.Config.Latencies.CreateNodePool), func() { s.poolCreated(p, t, extra) })
	return http.StatusOK, map[string]any{"nodepool_id": p.id, "request_id": c.id, "task_id": t.id}, nil
}

func (s *Server) addPool(k *cluster, q nodePoolSpec, raw map[string]any, desired int) *nodePool {
	p := &nodePool{
		id: "np" + s.Random.Hex("nodepool-id", 32), group: "asg-" + s.Random.Alphanumeric("asg-id", 20), name: q.NodepoolInfo.Name,
		cluster: k, raw: raw, spec: q, desired: desired, state: initial, instances: map[string]*instance{}, order: len(s.tasks),
	}
	k.pools[p.id] = p
	s.Ledger.Create(ledger.Object{
		Kind: ledger.NodePool, ID: p.id, Name: p.name, Owner: owner(q.ScalingGroup.Tags), Account: k.account, Region: k.region, Cluster: k.id, Parent: k.id,
	})
	s.publishPool(p)
	return p
}

func (s *Server) poolCreated(p *nodePool, t *task, extra bool) {
	if p.gone || p.state != initial {
		return
	}
	p.state = active
	if t.outcome == unchanged {
		p.desired = 0
	}
	if t.outcome != effective || p.desired == 0 {
		s.finish(t, nil)
		s.publishPool(p)
		return
	}
	s.scaleOut(p, t, extra)
}

// defaultNodePool is one nobody asked for.
func (s *Server) defaultNodePool(k *cluster, f *faults.Rule) {
	n := 1
	if f.Arg("nodes", "1") == "2" {
		n = 2
	}
	types := slices.Sorted(maps.Keys(s.Config.InstanceTypes))
	raw := map[string]any{
		"nodepool_info": map[string]any{"name": "default-nodepool", "type": "ess"},
		"scaling_group": map[string]any{"instance_types": types[:1], "vswitch_ids": k.spec.VSwitchIDs, "desired_size": n, "system_disk_size": 120},
	}
	p := s.addPool(k, toSpec(raw), raw, n)
	s.poolCreated(p, s.background("nodepool_create", k.account, k.id, "nodepool", p.id), false)
}

func toSpec(raw map[string]any) nodePoolSpec {
	var q nodePoolSpec
	b, _ := json.Marshal(raw)
	_ = json.Unmarshal(b, &q) // Validated before.
	return q
}

// merge a change into what was asked for before: objects field by field,
// everything else as a whole.
func merge(into, from map[string]any) map[string]any {
	out := maps.Clone(into)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range from {
		if sub, ok := v.(map[string]any); ok {
			have, _ := out[k].(map[string]any)
			out[k] = merge(have, sub)
			continue
		}
		out[k] = v
	}
	return out
}

// wanted is the number of nodes all pools of a cluster ask for.
func (k *cluster) wanted() int {
	n := 0
	for _, p := range k.pools {
		n += p.desired
	}
	return n
}

// publishPool lets lists show the pool after the lag.
func (s *Server) publishPool(p *nodePool) {
	if p.gone {
		s.nodePoolList.Delete(p.id, s.lagged())
		return
	}
	s.nodePoolList.Put(p.id, s.viewPool(p), s.lagged())
}

func (s *Server) viewPool(p *nodePool) nodePoolView {
	body := merge(p.raw, map[string]any{
		"nodepool_info": map[string]any{"nodepool_id": p.id, "type": "ess", "is_default": p.name == "default-nodepool", "region_id": p.cluster.region},
		"scaling_group": map[string]any{"scaling_group_id": p.group, "security_group_id": p.cluster.securityGroup},
	})
	delete(body, "count")
	group := body["scaling_group"].(map[string]any)
	delete(group, "login_password")
	delete(group, "desired_size")
	if !p.spec.AutoScaling.Enable {
		group["desired_size"] = p.desired
	}
	defaults := map[string]any{"instance_charge_type": "PostPaid", "multi_az_policy": "BALANCE", "scaling_policy": "release", "spot_strategy": "NoSpot"}
	for k, v := range defaults {
		if cur, ok := group[k]; !ok || cur == "" {
			group[k] = v
		}
	}
	if _, ok := body["auto_scaling"]; !ok {
		body["auto_scaling"] = map[string]any{"enable": false}
	}
	body["status"] = p.status()
	return nodePoolView{id: p.id, cluster: p.cluster.id, name: p.name, body: body}
}

// status counts nodes. healthy_nodes is the scaling group's notion, not
// Kubernetes'; serving_nodes are Ready ones.
func (p *nodePool) status() nodePoolStatus {
	st := nodePoolStatus{State: p.state, TotalNodes: len(p.instances)}
	for _, i := range p.instances {
		switch {
		case i.removing:
			st.RemovingNode++
		case i.failed:
			st.FailedNodes++
		case !i.registered:
			st.InitialNodes++
		case i.nodeStatus == "Ready":
			st.ServingNodes++
		default:
			st.OfflineNodes++
		}
		if i.state == running && !i.removing {
			st.HealthyNodes++
		}
	}
	return st
}

func (s *Server) describeNodePool(c *call) (int, any, error) {
	_, p, err := s.nodePool(c)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.viewPool(p).body, nil
}

// describeNodePools is not paged, and trails writes.
func (s *Server) describeNodePools(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	out := []any{}
	for _, v := range s.nodePoolList.List(s.Clock.Now()) {
		if v.cluster == k.id && strings.Contains(v.name, c.query.Get("NodepoolName")) {
			out = append(out, v.body)
		}
	}
	return http.StatusOK, map[string]any{"nodepools": out}, nil
}

// modifiable returns an error unless a pool takes changes now.
func modifiable(k *cluster, p *nodePool) error {
	if k.state != running && k.state != updating {
		return clusterState(k.state)
	}
	if p.state != active && p.state != deleteFailed {
		return nodePoolState(p.state)
	}
	return nil
}

// modifyNodePool merges a partial body. A lower desired_size takes nodes away at
// once, in random order and without drain.
func (s *Server) modifyNodePool(c *call) (int, any, error) {
	k, p, err := s.nodePool(c)
	if err != nil {
		return 0, nil, err
	}
	var change map[string]any
	if err := decode(c, &change); err != nil {
		return 0, nil, err
	}
	var asked nodePoolSpec
	if err := decode(c, &asked); err != nil {
		return 0, nil, err
	}
	if err := modifiable(k, p); err != nil {
		return 0, nil, err
	}
	raw := merge(p.raw, change)
	if g, ok := raw["scaling_group"].(map[string]any); ok && asked.ScalingGroup.DesiredSize == nil {
		delete(g, "desired_size") // An earlier one is in p.desired.
	}
	delete(raw, "count")
	q := toSpec(raw)
	if err := s.validateNodePool(k, &q); err != nil {
		return 0, nil, err
	}
	desired := q.size(p.desired)
	if limit := s.quotas(c.account).NodesPerCluster; desired > p.desired && desired-p.desired+k.wanted() > limit {
		return 0, nil, quotaExceeded("Node", limit)
	}
	if asked.ScalingGroup.DesiredSize != nil || asked.AutoScaling.Enable {
		c.entry.Desired = &desired
	}

	t := s.begin(c, "nodepool_modify", k.id, "nodepool", p.id)
	s.enter(t, "ModifyNodePool")
	if t.outcome == effective {
		p.raw, p.spec, p.name = raw, q, q.NodepoolInfo.Name
		s.Ledger.Update(p.id, func(o *ledger.Object) { o.Name, o.Owner = p.name, owner(q.ScalingGroup.Tags) })
	} else {
		desired = p.desired
	}
	s.resize(c, p, t, desired)
	return http.StatusOK, map[string]any{"nodepool_id": p.id, "request_id": c.id, "task_id": t.id}, nil
}

// resize a pool to a new desired size, or just note a change of the rest.
func (s *Server) resize(c *call, p *nodePool, t *task, desired int) {
	p.desired = desired
	switch have := p.count(); {
	case t.outcome == effective && desired > have:
		p.state = scaling
		extra := s.take(faults.Desired1Starts2, c) != nil
		s.later(t, 0, func() { s.scaleOut(p, t, extra) })
	case t.outcome == effective && desired < have:
		p.state = removing
		s.later(t, 0, func() { s.shrink(p, t, have-desired) })
	default:
		before := p.state
		p.state = updating
		s.later(t, s.Latency("modify-nodepool", s.Config.Latencies.ModifyNodePool), func() {
			if p.state == updating {
				p.state = active
				if before == deleteFailed && len(p.instances) > 0 {
					p.state = before
				}
			}
			s.finish(t, nil)
			s.publishPool(p)
		})
	}
	s.publishPool(p)
}

// scaleNodePool adds count nodes.
func (s *Server) scaleNodePool(c *call) (int, any, error) {
	k, p, err := s.nodePool(c)
	if err != nil {
		return 0, nil, err
	}
	var q struct {
		Count *int `json:"count"`
	}
	if err := decode(c, &q); err != nil {
		return 0, nil, err
	}
	if q.Count == nil || *q.Count < 1 {
		return 0, nil, invalid("Count", "count must be at least 1")
	}
	if p.spec.AutoScaling.Enable {
		return 0, nil, fail(http.StatusBadRequest, "InvalidDesiredSizeOrCount.NotNull", "desired_size/count not supported for autoscaling-enabled nodepool")
	}
	if err := modifiable(k, p); err != nil {
		return 0, nil, err
	}
	if limit := s.quotas(c.account).NodesPerCluster; *q.Count+k.wanted() > limit {
		return 0, nil, quotaExceeded("Node", limit)
	}
	c.entry.Count = q.Count
	desired := p.desired + *q.Count
	c.entry.Desired = &desired
	t := s.begin(c, "nodepool_scaleout", k.id, "nodepool", p.id)
	s.enter(t, "ScaleOut")
	if t.outcome != effective {
		desired = p.desired
	}
	s.resize(c, p, t, desired)
	return http.StatusAccepted, map[string]any{"task_id": t.id}, nil
}

// deleteNodePool works on an empty pool. With nodes left it ends in
// delete_failed; with force the nodes are drained first, which can block.
func (s *Server) deleteNodePool(c *call) (int, any, error) {
	k, p, err := s.nodePool(c)
	if err != nil {
		return 0, nil, err
	}
	force, err := queryBool(c, "force", false)
	if err != nil {
		return 0, nil, err
	}
	drain, err := queryBool(c, "drain_node", true)
	if err != nil {
		return 0, nil, err
	}
	if err := modifiable(k, p); err != nil {
		return 0, nil, err
	}
	p.state = deleting
	s.publishPool(p)
	t := s.begin(c, "nodepool_delete", k.id, "nodepool", p.id)
	s.enter(t, "DeleteNodePool")
	broken := s.take(faults.DeleteFailed, c) != nil || t.outcome == failing
	end := func() {
		switch {
		case t.outcome == unchanged:
			p.state = active
			s.finish(t, nil)
		case broken, len(p.instances) > 0:
			p.state = deleteFailed
			s.finish(t, &taskError{Code: "ErrorDeleteNodePool", Message: "the scaling group still has instances, or its desired size is above 0"})
			s.retryScaling(p)
		default:
			s.removePool(p)
			s.finish(t, nil)
			return
		}
		s.publishPool(p)
	}
	d := s.Latency("delete-nodepool", s.Config.Latencies.DeleteNodePool)
	if force && !broken && t.outcome == effective && len(p.instances) > 0 {
		p.desired = 0
		s.later(t, 0, func() { s.removeAll(p, t, drain, func() { s.After(d, end) }) })
	} else {
		s.later(t, d, end)
	}
	return http.StatusOK, map[string]any{"request_id": c.id, "task_id": t.id}, nil
}

// removePool ends a pool whose instances are gone.
func (s *Server) removePool(p *nodePool) {
	p.gone = true
	delete(p.cluster.pools, p.id)
	s.Ledger.Release(p.id)
	s.publishPool(p)
}
