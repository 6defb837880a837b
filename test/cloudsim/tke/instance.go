package tke

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// States of a CVM.
const (
	instancePending = "PENDING"
	instanceRunning = "RUNNING"
)

// An instance is a CVM, and the node it becomes. Its cluster is nil once it was
// taken out of it, its pool once that is gone.
type instance struct {
	id, ip, subnet, zone, kind string
	region, account            string
	charge                     string
	state                      string
	cluster                    *cluster
	pool                       *nodePool
	group                      string
	registered                 bool // it is a node of the cluster
	ready                      bool
	removing, failed           bool
	protected, unschedulable   bool
	reclaiming                 bool
	message                    string
	created                    string
	tags                       map[string]string
	disks                      []string
	order                      int
}

type instanceView struct {
	body    map[string]any
	id      string
	cluster string
	pool    string
}

func (i *instance) spot() bool { return i.charge == spotpaid }

func (i *instance) shelf() stock.Key {
	return stock.Key{Region: i.region, Zone: i.zone, Type: i.kind, Spot: i.spot()}
}

func (i *instance) subject() faults.Subject {
	charge := "ondemand"
	if i.spot() {
		charge = "spot"
	}
	a := map[string]string{
		"cloud": "tencent", "region": i.region, "instanceType": i.kind, "zone": i.zone, "instance": i.id, "charge": charge,
	}
	if i.cluster != nil {
		a["cluster"] = i.cluster.id
	}
	if i.pool != nil {
		a["nodePool"], a["name"] = i.pool.id, i.pool.name
	}
	return faults.Subject{Action: faults.NodeAction, Attrs: a}
}

// there reports whether an instance still exists in its cluster and stays there.
func (s *Server) there(i *instance) bool {
	return s.instances[i.id] == i && i.cluster != nil && !i.cluster.gone && !i.removing
}

// bootstrap takes a new instance from the order to a node.
func (s *Server) bootstrap(i *instance, a *activity) {
	never := s.Faults.Take(faults.NodeNeverReady, i.subject()) != nil
	up := s.latency("instance-running", s.conf.Latencies.InstanceRunning)
	ready := max(s.latency("node-ready", s.conf.Latencies.NodeReady), up)
	s.publishInstance(i)
	s.After(up, func() {
		i.state = instanceRunning
		if s.there(i) {
			s.publishInstance(i)
		}
		delete(a.waiting, i.id)
		s.settle(a)
	})
	if !never {
		s.After(ready, func() { s.join(i) })
		return
	}
	s.After(s.latency("bootstrap", s.conf.Latencies.BootstrapTimeout), func() {
		if s.there(i) {
			i.failed, i.message = true, "node init failed: the node did not register within the time limit"
			s.publishInstance(i)
		}
	})
}

// join adds the node to the cluster, and plans the troubles it will have.
func (s *Server) join(i *instance) {
	if !s.there(i) {
		return
	}
	k := i.cluster
	b, n := k.backend, s.node(i)
	s.Work(func(ctx context.Context) error { return b.AddNode(ctx, n) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot add node", "cluster", k.id, "node", n.Name, "error", err)
			s.After(10*time.Second, func() { s.join(i) })
			return
		}
		if !s.there(i) {
			s.Work(func(ctx context.Context) error { return b.RemoveNode(ctx, n.Name) }, func(error) {})
			return
		}
		i.registered, i.ready = true, true
		s.publishInstance(i)
		s.publish(k)
		s.trouble(i)
	})
}

// trouble plans what goes wrong with a node that is Ready.
func (s *Server) trouble(i *instance) {
	sub := i.subject()
	in := func(f *faults.Rule, times float64) time.Duration {
		return time.Duration(times * f.Seconds(60) * float64(time.Second))
	}
	if f := s.Faults.Take(faults.NodeOffline, sub); f != nil {
		s.After(in(f, 1), func() { s.setReady(i, false) })
	}
	if f := s.Faults.Take(faults.NodeFlap, sub); f != nil {
		s.After(in(f, 1), func() { s.setReady(i, false) })
		s.After(in(f, 2), func() { s.setReady(i, true) })
	}
	if i.spot() {
		if f := s.Faults.Take(faults.SpotReclaim, sub); f != nil {
			s.After(in(f, 1), func() { s.notice(i) })
		}
	}
}

func (s *Server) setReady(i *instance, ready bool) {
	if !s.there(i) || !i.registered {
		return
	}
	i.ready = ready
	s.publishInstance(i)
	b, name := i.cluster.backend, i.ip
	s.Work(func(ctx context.Context) error { return b.SetNodeReady(ctx, name, ready) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot change readiness of node", "node", name, "error", err)
		}
	})
}

// notice tells a spot instance that it will be reclaimed in two minutes. The
// name of the condition is the simulator's: who looks into the metadata of the
// instance has to tell Kubernetes somehow.
func (s *Server) notice(i *instance) {
	if !s.there(i) || i.reclaiming {
		return
	}
	i.reclaiming = true
	if i.registered {
		b, name := i.cluster.backend, i.ip
		cond := corev1.NodeCondition{
			Type: SpotTermination, Status: corev1.ConditionTrue, Reason: "SpotTerminationNotice",
			Message: "the spot instance will be terminated in two minutes", LastTransitionTime: metav1.NewTime(s.Clock.Wall()),
		}
		e := backend.Event{Type: corev1.EventTypeWarning, Reason: cond.Reason, Message: cond.Message}
		s.Work(func(ctx context.Context) error { return b.SetNodeCondition(ctx, name, cond, e) }, func(err error) {
			if err != nil {
				s.log.Warn("Cannot tell node of its end", "node", name, "error", err)
			}
		})
	}
	s.After(s.latency("reclaim-notice", s.conf.Latencies.ReclaimNotice), func() { s.reclaim(i) })
}

// reclaim takes an instance away as the market does; the group replaces it.
func (s *Server) reclaim(i *instance) {
	if !s.there(i) {
		return
	}
	p := i.pool
	s.leave(i)
	s.destroy(i)
	if p != nil {
		s.publishPool(p)
		s.restock(p)
	}
}

// leave removes the node from the cluster, with its pods, and marks the instance
// as one that goes.
func (s *Server) leave(i *instance) {
	i.removing = true
	k := i.cluster
	if k == nil {
		return
	}
	if i.registered && k.backend != nil && k.state != deleting {
		b, name := k.backend, i.ip
		s.Work(func(ctx context.Context) error { return b.RemoveNode(ctx, name) }, func(err error) {
			if err != nil {
				s.log.Warn("Cannot remove node", "node", name, "error", err)
			}
		})
	}
	i.registered = false
	s.publishInstance(i)
	s.publish(k)
	if i.pool != nil {
		s.publishPool(i.pool)
	}
}

// detach takes an instance out of its cluster. It lives on, billed, and belongs
// to nobody.
func (s *Server) detach(i *instance) {
	k, p := i.cluster, i.pool
	if k == nil {
		return
	}
	if !i.removing {
		s.leave(i)
	}
	delete(k.members, i.id)
	i.cluster, i.pool, i.removing = nil, nil, false
	s.instanceList.Delete(i.id, s.lagged())
	s.Ledger.Update(i.id, func(o *ledger.Object) { o.Parent = "detached" })
	s.publish(k)
	if p != nil && !p.gone {
		s.publishPool(p)
	}
}

// destroy an instance with its disks.
func (s *Server) destroy(i *instance) {
	if s.instances[i.id] != i {
		return
	}
	if i.cluster != nil {
		s.detach(i)
	}
	delete(s.instances, i.id)
	delete(s.addrs[i.region+"/"+i.subnet], i.ip)
	s.Stock.Return(i.shelf())
	s.Ledger.Release(i.id)
	for _, d := range i.disks {
		s.Ledger.Release(d)
	}
}

// publishInstance lets lists show an instance after the lag.
func (s *Server) publishInstance(i *instance) {
	if i.cluster == nil {
		return
	}
	if i.pool != nil {
		s.publishPool(i.pool)
	}
	state, reason, drain, pool := "initializing", "", "", ""
	switch {
	case i.failed:
		state, reason = "failed", i.message
	case i.registered && !i.ready:
		state, reason = "failed", "node is NotReady"
	case i.registered || i.removing:
		state = "running"
	}
	if i.unschedulable {
		drain = "drained"
	}
	if i.pool != nil {
		pool = i.pool.id
	}
	s.instanceList.Put(i.id, instanceView{id: i.id, cluster: i.cluster.id, pool: pool, body: map[string]any{
		"InstanceId": i.id, "InstanceRole": "WORKER", "FailedReason": reason, "InstanceState": state, "DrainStatus": drain, "CreatedTime": i.created,
		"LanIP": i.ip, "NodePoolId": pool, "AutoscalingGroupId": i.group,
	}}, s.lagged())
}

// describeClusterInstances trails writes.
func (s *Server) describeClusterInstances(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, InstanceRole string
		Offset, Limit           *number
		InstanceIds             []string
		Filters                 []filter
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	all := []any{}
	for _, v := range s.instanceList.List(s.Clock.Now()) {
		if v.cluster != k.id || len(q.InstanceIds) > 0 && !slices.Contains(q.InstanceIds, v.id) {
			continue
		}
		if q.InstanceRole != "" && q.InstanceRole != "WORKER" && q.InstanceRole != "ALL" {
			continue
		}
		ok, err := filtered(q.Filters, fields{"nodepool-id": v.pool, "nodepool-instance-type": "AUTOSCALING_ADDED"}, nil)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, v.body)
		}
	}
	page, err := paginate(all, q.Offset, q.Limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"TotalCount": len(all), "InstanceSet": page}, nil
}

// deleteClusterInstances takes chosen nodes away, without drain. The desired
// size of their pool falls with them.
func (s *Server) deleteClusterInstances(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, InstanceDeleteMode string
		InstanceIds                   []string
		ForceDelete                   bool
		ResourceDeleteOptions         []resourceOption
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	n := -len(q.InstanceIds)
	c.entry.Count = &n
	switch {
	case k.state != running:
		return nil, s.clusterState(c, k.state)
	case len(q.InstanceIds) == 0:
		return nil, missing("InstanceIds")
	case q.InstanceDeleteMode != "terminate" && q.InstanceDeleteMode != "retain":
		return nil, fail("InvalidParameter", "InstanceDeleteMode %q is not terminate or retain", q.InstanceDeleteMode)
	case len(q.InstanceIds) > 100:
		return nil, fail("LimitExceeded", "at most 100 instances in a call")
	}
	ok, failed, unknown := []string{}, []string{}, []string{}
	falls := map[*nodePool]int{}
	for _, id := range q.InstanceIds {
		i := k.members[id]
		switch {
		case i == nil:
			unknown = append(unknown, id)
			continue
		case i.removing, !i.registered && !i.failed && !q.ForceDelete, i.charge == prepaid && q.InstanceDeleteMode == "terminate":
			failed = append(failed, id)
			continue
		}
		ok = append(ok, id)
		if i.pool != nil {
			falls[i.pool]++
		}
	}
	for p, n := range falls {
		if p.desired-n < p.min {
			return nil, fail(s.pick("as-min", "FailedOperation.AsCommon", "InternalError.AsCommon"),
				"the scaling group %s would have fewer than %d instances", p.group, p.min)
		}
	}
	for p, n := range falls {
		p.desired -= n
	}
	for _, id := range ok {
		s.removeInstance(k.members[id], q.InstanceDeleteMode == "terminate")
	}
	return map[string]any{"SuccInstanceIds": ok, "FailedInstanceIds": failed, "NotFoundInstanceIds": unknown}, nil
}

func (s *Server) removeInstance(i *instance, terminate bool) {
	s.leave(i)
	s.After(s.latency("remove-instances", s.conf.Latencies.RemoveInstances), func() {
		switch {
		case s.instances[i.id] != i || !i.removing:
		case terminate:
			s.destroy(i)
		default:
			s.detach(i)
		}
	})
}

// NodeEvent makes something happen to a node: offline or online at once, reclaim
// after the notice of a spot instance. The node is named by instance id or by
// node name.
func (s *Server) NodeEvent(node, event string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.instances {
		if i.id != node && i.ip != node || i.cluster == nil {
			continue
		}
		switch event {
		case "offline", "online":
			if !i.registered {
				return fmt.Errorf("node %q has not joined its cluster", node)
			}
			s.setReady(i, event == "online")
		case "reclaim":
			if i.spot() {
				s.notice(i)
			} else {
				s.reclaim(i)
			}
		default:
			return fmt.Errorf("unknown event %q: want offline, online or reclaim", event)
		}
		return nil
	}
	return fmt.Errorf("node %q does not exist", node)
}
