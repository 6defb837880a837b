package tke

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/virtual"
)

const (
	// superTaint keeps pods off super nodes that do not tolerate it.
	superTaint = "eks.tke.cloud.tencent.com/eklet"
	// superType is the instance type of all super nodes.
	superType = "eklet"

	phasePending  = "Pending"
	phaseDeleting = "Deleting"
)

// A superPool is a pool of super nodes: huge, free while empty, and billed by
// the pod.
type superPool struct {
	id, name       string
	cluster        *cluster
	state          string
	labels         map[string]string
	taints         []corev1.Taint
	securityGroups []string
	protection     bool
	nodes          map[string]*superNode
	order          int
}

// A superNode stands for a subnet.
type superNode struct {
	name, subnet   string
	phase, created string
	order          int
}

type superNodeSpec struct {
	DisplayName, SubnetId string
	Tags                  []tag
}

type superPoolView struct {
	body    map[string]any
	cluster string
}

func (p *superPool) sorted() []*superNode {
	out := []*superNode{}
	for _, n := range p.nodes {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *superNode) int { return a.order - b.order })
	return out
}

// superNodes is the number of super nodes in a subnet.
func (k *cluster) superNodes(subnet string) int {
	n := 0
	for _, p := range k.superPools {
		for _, v := range p.nodes {
			if v.subnet == subnet {
				n++
			}
		}
	}
	return n
}

func (s *Server) superPool(c *call, clusterID, id string) (*superPool, error) {
	k, err := s.cluster(c, clusterID)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, missing("NodePoolId")
	}
	p := k.superPools[id]
	if p == nil {
		return nil, s.poolNotFound(c, id)
	}
	return p, nil
}

// validateSuperNodes returns the subnets that are asked for. A cluster has one
// super node in a subnet.
func (s *Server) validateSuperNodes(k *cluster, subnets []string, specs []superNodeSpec) ([]string, error) {
	subnets = slices.Clone(subnets)
	for _, v := range specs {
		subnets = append(subnets, v.SubnetId)
	}
	for n, id := range subnets {
		vpc, _, ok := s.subnet(k.region, id)
		switch {
		case !ok:
			return nil, fail("InvalidParameter.SubnetNotExist", "subnet %s does not exist", id)
		case vpc != k.vpc():
			return nil, fail("InvalidParameter.SubnetInvalidError", "subnet %s is not in the VPC of the cluster", id)
		case k.superNodes(id) > 0, slices.Contains(subnets[:n], id):
			return nil, fail("ResourceInUse.SubnetAlreadyExist", "subnet %s has a super node already", id)
		}
	}
	return subnets, nil
}

func (s *Server) createVirtualNodePool(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, Name, OS         string
		SubnetIds, SecurityGroupIds []string
		Labels                      []label
		Taints                      []taint
		VirtualNodes                []superNodeSpec
		DeletionProtection          bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.runningCluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	if q.Name == "" {
		return nil, missing("Name")
	}
	if q.OS != "" && q.OS != "linux" {
		return nil, invalid("OS %q is not supported by the simulator", q.OS)
	}
	subnets, err := s.validateSuperNodes(k, q.SubnetIds, q.VirtualNodes)
	if err != nil {
		return nil, err
	}
	for _, g := range q.SecurityGroupIds {
		if !s.securityGroupExists(k.region, g) {
			return nil, invalid("security group %s does not exist", g)
		}
	}
	taints, err := kubeTaints(q.Taints)
	if err != nil {
		return nil, err
	}
	p := &superPool{
		id: s.newID("np"), name: q.Name, cluster: k, state: poolCreating, labels: map[string]string{}, taints: taints,
		securityGroups: q.SecurityGroupIds, protection: q.DeletionProtection, nodes: map[string]*superNode{}, order: s.next(),
	}
	for _, l := range q.Labels {
		p.labels[l.Name] = l.Value
	}
	k.superPools[p.id] = p
	c.entry.NodePool = p.id
	tags := map[string]string{clusterTag: k.id}
	for _, v := range q.VirtualNodes {
		for key, val := range tagMap(v.Tags) {
			tags[key] = val
		}
	}
	s.book(k, ledger.Object{Kind: ledger.SuperNodes, ID: p.id, Name: p.name, Tags: tags})
	nodes := s.addSuperNodes(p, subnets)
	if s.take(faults.StuckTask, c) == nil {
		s.After(s.latency("create-virtual-nodepool", s.conf.Latencies.CreateVirtualNodePool), func() {
			if p.state != poolCreating {
				return
			}
			p.state = poolNormal
			s.publishSuperPool(p)
			for _, n := range nodes {
				s.startSuperNode(p, n)
			}
		})
	}
	s.publishSuperPool(p)
	return map[string]any{"NodePoolId": p.id}, nil
}

func (s *Server) addSuperNodes(p *superPool, subnets []string) []*superNode {
	var out []*superNode
	for _, id := range subnets {
		n := &superNode{
			name: "eklet-" + id + "-" + s.Random.Alphanumeric("super-node", 8), subnet: id, phase: phasePending, created: s.stamp(), order: s.next(),
		}
		p.nodes[n.name] = n
		out = append(out, n)
	}
	return out
}

// startSuperNode registers the node in the cluster.
func (s *Server) startSuperNode(p *superPool, n *superNode) {
	k := p.cluster
	if k.gone || k.state == deleting || k.backend == nil || p.nodes[n.name] != n || n.phase != phasePending {
		return
	}
	b, v := k.backend, s.superNode(p, n)
	s.Work(func(ctx context.Context) error { return s.Add(ctx, b, v) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot add super node", "cluster", k.id, "node", n.name, "error", err)
			s.After(10*time.Second, func() { s.startSuperNode(p, n) })
			return
		}
		if p.nodes[n.name] != n || n.phase != phasePending {
			s.Work(func(ctx context.Context) error { return s.Remove(ctx, k.id, n.name) }, func(error) {})
			return
		}
		n.phase = running
	})
}

func (s *Server) superNode(p *superPool, n *superNode) virtual.Node {
	k := p.cluster
	region := s.conf.Regions[k.region]
	_, subnet, _ := s.subnet(k.region, n.subnet)
	zone, _ := region.Zone(subnet.Zone)
	labels := map[string]string{
		corev1.LabelHostname: n.name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64", corev1.LabelInstanceTypeStable: superType,
		corev1.LabelTopologyRegion: region.Short, corev1.LabelTopologyZone: zone.ID, "tke.cloud.tencent.com/nodepool-id": p.id,
		"eks.tke.cloud.tencent.com/subnet-id": n.subnet,
	}
	for key, v := range p.labels {
		labels[key] = v
	}
	return virtual.Node{
		Node: backend.Node{
			Name: n.name, Labels: labels, Taints: append([]corev1.Taint{{Key: superTaint, Effect: corev1.TaintEffectNoSchedule}}, p.taints...),
			Capacity: virtual.Capacity(), Allocatable: virtual.Capacity(),
		},
		Cluster: k.id, Account: k.account, Owner: k.tags[ownerTag], Region: k.region, Zone: subnet.Zone, Parent: p.id,
	}
}

func (s *Server) publishSuperPool(p *superPool) {
	labels, taints, subnets := []label{}, []taint{}, []string{}
	for _, l := range tagList(p.labels, "Name", "Value") {
		labels = append(labels, label{Name: l["Name"], Value: l["Value"]})
	}
	for _, t := range p.taints {
		taints = append(taints, taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	for _, n := range p.sorted() {
		subnets = append(subnets, n.subnet)
	}
	s.superPoolList.Put(p.id, superPoolView{cluster: p.cluster.id, body: map[string]any{
		"NodePoolId": p.id, "Name": p.name, "LifeState": p.state, "SubnetIds": subnets, "Labels": labels, "Taints": taints,
	}}, s.lagged())
}

// describeVirtualNodePools is not paged, and trails writes.
func (s *Server) describeVirtualNodePools(c *call) (map[string]any, error) {
	var q struct{ ClusterId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, v := range s.superPoolList.List(s.Clock.Now()) {
		if v.cluster == k.id {
			out = append(out, v.body)
		}
	}
	return map[string]any{"TotalCount": len(out), "NodePoolSet": out}, nil
}

// modifyVirtualNodePool changes labels and taints of the nodes that are there as
// well.
func (s *Server) modifyVirtualNodePool(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, NodePoolId string
		Name                  *string
		SecurityGroupIds      []string
		Labels                *[]label
		Taints                *[]taint
		DeletionProtection    *bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	p, err := s.superPool(c, q.ClusterId, q.NodePoolId)
	if err != nil {
		return nil, err
	}
	if p.state != poolNormal {
		return nil, poolState(p.state)
	}
	before, beforeTaints := p.labels, p.taints
	if q.Taints != nil {
		taints, err := kubeTaints(*q.Taints)
		if err != nil {
			return nil, err
		}
		p.taints = taints
	}
	if q.Labels != nil {
		p.labels = map[string]string{}
		for _, l := range *q.Labels {
			p.labels[l.Name] = l.Value
		}
	}
	for _, n := range p.sorted() {
		if n.phase == running {
			s.changeNode(p.cluster, n.name, difference(before, p.labels, beforeTaints, p.taints))
		}
	}
	if q.Name != nil {
		p.name = *q.Name
	}
	if q.SecurityGroupIds != nil {
		p.securityGroups = q.SecurityGroupIds
	}
	if q.DeletionProtection != nil {
		p.protection = *q.DeletionProtection
	}
	s.publishSuperPool(p)
	return nil, nil
}

// createVirtualNode adds nodes to a pool; it answers with their names, separated
// by commas.
func (s *Server) createVirtualNode(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, NodePoolId, SubnetId string
		SubnetIds                       []string
		VirtualNodes                    []superNodeSpec
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	p, err := s.superPool(c, q.ClusterId, q.NodePoolId)
	if err != nil {
		return nil, err
	}
	if p.state != poolNormal {
		return nil, poolState(p.state)
	}
	if q.SubnetId != "" {
		q.SubnetIds = append(q.SubnetIds, q.SubnetId)
	}
	subnets, err := s.validateSuperNodes(p.cluster, q.SubnetIds, q.VirtualNodes)
	if err != nil {
		return nil, err
	}
	if len(subnets) == 0 {
		return nil, invalid("one of SubnetId, SubnetIds and VirtualNodes is required")
	}
	var names []string
	for _, n := range s.addSuperNodes(p, subnets) {
		names = append(names, n.name)
		s.After(s.latency("create-virtual-node", s.conf.Latencies.CreateVirtualNodePool), func() { s.startSuperNode(p, n) })
	}
	s.publishSuperPool(p)
	return map[string]any{"NodeName": strings.Join(names, ",")}, nil
}

// describeVirtualNodes is up to date.
func (s *Server) describeVirtualNodes(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, NodePoolId string
		NodeNames             []string
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	var nodes []*superNode
	for _, p := range k.superPools {
		if q.NodePoolId == "" || q.NodePoolId == p.id {
			nodes = append(nodes, p.sorted()...)
		}
	}
	slices.SortFunc(nodes, func(a, b *superNode) int { return a.order - b.order })
	out := []any{}
	for _, n := range nodes {
		if len(q.NodeNames) == 0 || slices.Contains(q.NodeNames, n.name) {
			out = append(out, map[string]any{"Name": n.name, "SubnetId": n.subnet, "Phase": n.phase, "CreatedTime": n.created})
		}
	}
	return map[string]any{"Nodes": out, "TotalCount": len(out)}, nil
}

// find a super node of a cluster by name.
func (k *cluster) findSuperNode(name string) (*superPool, *superNode) {
	for _, p := range k.superPools {
		if n := p.nodes[name]; n != nil {
			return p, n
		}
	}
	return nil, nil
}

// drainVirtualNode answers at once, and goes on evicting until the node is empty
// or half an hour has passed.
func (s *Server) drainVirtualNode(c *call) (map[string]any, error) {
	var q struct{ ClusterId, NodeName string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	p, n := k.findSuperNode(q.NodeName)
	if n == nil {
		return nil, fail("ResourceNotFound", "super node %q does not exist", q.NodeName)
	}
	s.drain(p, n, s.Clock.Now().Add(s.latency("drain-timeout", s.Config.Latencies.DrainTimeout)))
	return nil, nil
}

func (s *Server) drain(p *superPool, n *superNode, deadline time.Time) {
	k := p.cluster
	if k.gone || k.backend == nil || p.nodes[n.name] != n || !s.Clock.Now().Before(deadline) {
		return
	}
	left := 0
	s.Work(func(ctx context.Context) error {
		var err error
		left, _, err = k.backend.Drain(ctx, n.name)
		return err
	}, func(err error) {
		if err == nil && left == 0 {
			return
		}
		s.After(s.latency("drain-retry", s.Config.Latencies.DrainRetry), func() { s.drain(p, n, deadline) })
	})
}

// occupied returns an error if a pod that has not ended is on a super node.
func (s *Server) occupied(k *cluster, n *superNode) error {
	for _, p := range s.Pods(k.id, n.name) {
		if p.Phase != string(corev1.PodSucceeded) && p.Phase != string(corev1.PodFailed) {
			return fail("ResourceInUse.ExistRunningPod", "pod %s/%s is on node %s", p.Namespace, p.Name, n.name)
		}
	}
	return nil
}

func (s *Server) deleteVirtualNode(c *call) (map[string]any, error) {
	var q struct {
		ClusterId string
		NodeNames []string
		Force     bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	if len(q.NodeNames) == 0 {
		return nil, missing("NodeNames")
	}
	for _, name := range q.NodeNames {
		_, n := k.findSuperNode(name)
		if n == nil {
			return nil, invalid("super node %q does not exist", name)
		}
		if err := s.occupied(k, n); err != nil && !q.Force {
			return nil, err
		}
	}
	for _, name := range q.NodeNames {
		p, n := k.findSuperNode(name)
		s.endSuperNode(p, n, func() {})
	}
	return nil, nil
}

// endSuperNode removes a node, with the pods on it.
func (s *Server) endSuperNode(p *superPool, n *superNode, done func()) {
	k := p.cluster
	n.phase = phaseDeleting
	s.After(s.latency("delete-virtual-node", s.conf.Latencies.DeleteVirtualNode), func() {
		if k.gone || p.nodes[n.name] != n {
			return
		}
		s.Work(func(ctx context.Context) error { return s.Remove(ctx, k.id, n.name) }, func(err error) {
			if err != nil {
				s.log.Warn("Cannot remove super node", "cluster", k.id, "node", n.name, "error", err)
				s.endSuperNode(p, n, done)
				return
			}
			delete(p.nodes, n.name)
			if k.superPools[p.id] == p {
				s.publishSuperPool(p)
			}
			done()
		})
	})
}

func (s *Server) deleteVirtualNodePool(c *call) (map[string]any, error) {
	var q struct {
		ClusterId   string
		NodePoolIds []string
		Force       bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	c.entry.NodePool = strings.Join(q.NodePoolIds, ",")
	if len(q.NodePoolIds) == 0 {
		return nil, missing("NodePoolIds")
	}
	for _, id := range q.NodePoolIds {
		p := k.superPools[id]
		if p == nil {
			return nil, s.poolNotFound(c, id)
		}
		if p.protection {
			return nil, fail("OperationDenied.InDeletionProtection", "deletion protection of super node pool %s is on", id)
		}
		for _, n := range p.nodes {
			if err := s.occupied(k, n); err != nil && !q.Force {
				return nil, err
			}
		}
	}
	for _, id := range q.NodePoolIds {
		p := k.superPools[id]
		p.state = poolDeleting
		s.publishSuperPool(p)
		if len(p.nodes) == 0 {
			s.After(s.latency("delete-virtual-node", s.conf.Latencies.DeleteVirtualNode), func() { s.removeSuperPool(p) })
			continue
		}
		for _, n := range p.sorted() {
			s.endSuperNode(p, n, func() {
				if len(p.nodes) == 0 {
					s.removeSuperPool(p)
				}
			})
		}
	}
	return nil, nil
}

func (s *Server) removeSuperPool(p *superPool) {
	delete(p.cluster.superPools, p.id)
	s.Ledger.Release(p.id)
	s.superPoolList.Delete(p.id, s.lagged())
}
