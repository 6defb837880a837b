package ack

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
)

// remove takes instances away and calls done when each of them is gone or has
// turned out not to go. With lower set, the desired size falls with them.
func (s *Server) remove(p *nodePool, t *task, victims []*instance, drain, release, lower bool, done func()) {
	if drain {
		s.enter(t, "DrainNodes")
	} else {
		s.enter(t, "RemoveNodes")
	}
	left := len(victims)
	one := func() {
		left--
		if left == 0 {
			done()
		}
	}
	for _, i := range victims {
		i.removing = true
		if lower && p.desired > 0 {
			p.desired--
		}
	}
	s.publishPool(p)
	for _, i := range victims {
		total := s.Latency("remove-nodes", s.Config.Latencies.RemoveNodes)
		out := func(ok bool) {
			if p.instances[i.id] != i {
				one()
				return
			}
			if !ok {
				i.removing = false
				if lower {
					p.desired++
				}
				one()
				return
			}
			s.leave(p, i)
			s.After(total*3/4, func() {
				if p.instances[i.id] == i {
					s.drop(p, i, release && i.charge != "PrePaid")
					s.publishPool(p)
				}
				one()
			})
		}
		s.After(total/4, func() {
			if drain && i.registered {
				s.drain(p, t, i, s.Clock.Now().Add(s.Latency("drain-timeout", s.Config.Latencies.DrainTimeout)), out)
				return
			}
			out(true)
		})
	}
}

// drain evicts until the node is empty or the deadline has passed, whatever
// blocks it: a cancel is not supported.
func (s *Server) drain(p *nodePool, t *task, i *instance, deadline time.Time, out func(bool)) {
	if p.cluster.gone || p.instances[i.id] != i || !i.registered {
		out(true)
		return
	}
	var left int
	var blocked string
	b, name := p.cluster.backend, i.nodeName
	s.Work(func(ctx context.Context) error {
		var err error
		left, blocked, err = b.Drain(ctx, name)
		return err
	}, func(err error) {
		if f := s.Faults.Take(faults.PDBBlock, s.nodeSubject(p, i)); f != nil {
			left, blocked = max(left, 1), "Cannot evict pod as it would violate the pod's disruption budget"
		}
		if err != nil {
			left, blocked = max(left, 1), err.Error()
		}
		if left == 0 {
			out(true)
			return
		}
		if blocked != "" && blocked != i.message {
			i.message = blocked
			t.events = append(t.events, taskEvent{Action: "DrainNodes", Level: "Warning", Message: blocked, Reason: "DrainBlocked", Source: name, Timestamp: s.stamp()})
		}
		if !s.Clock.Now().Before(deadline) {
			t.short = &taskError{Code: "DrainNodeTimeout", Message: fmt.Sprintf("draining node %s timed out: %s", name, blocked)}
			out(false)
			return
		}
		s.After(s.Latency("drain-retry", s.Config.Latencies.DrainRetry), func() { s.drain(p, t, i, deadline, out) })
	})
}

// shrink takes n instances away as the scaling group does: any of them, at once,
// without drain. The last one goes through a lifecycle hook that takes minutes.
func (s *Server) shrink(p *nodePool, t *task, n int) {
	s.enter(t, "ScaleIn")
	var rest []*instance
	for _, i := range p.sorted() {
		if !i.removing {
			rest = append(rest, i)
		}
	}
	r := s.Config.Latencies.RemoveNodes
	if n >= len(rest) {
		r = s.Config.Latencies.EmptyByDesired
		s.enter(t, "Removing:Wait")
	}
	left := 0
	for ; n > 0 && len(rest) > 0; n-- {
		x := s.Random.Intn("victim", len(rest))
		i := rest[x]
		rest = append(rest[:x], rest[x+1:]...)
		i.removing = true
		s.leave(p, i)
		left++
		s.After(s.Latency("shrink", r), func() {
			if p.instances[i.id] == i {
				s.drop(p, i, i.charge != "PrePaid")
				s.publishPool(p)
			}
			if left--; left == 0 {
				s.removed(p, t)
			}
		})
	}
	s.publishPool(p)
	if left == 0 {
		s.removed(p, t)
	}
}

// removeAll empties a pool that is being deleted with force.
func (s *Server) removeAll(p *nodePool, t *task, drain bool, done func()) {
	var victims []*instance
	for _, i := range p.sorted() {
		if !i.removing {
			victims = append(victims, i)
		}
	}
	if len(victims) == 0 {
		done()
		return
	}
	s.remove(p, t, victims, drain, true, false, done)
}

// removeNodePoolNodes takes chosen nodes away, drained if asked, and lowers the
// desired size by as many. Unless release_node is set the instances live on; so
// do PrePaid ones in any case.
func (s *Server) removeNodePoolNodes(c *call) (int, any, error) {
	k, p, err := s.nodePool(c)
	if err != nil {
		return 0, nil, err
	}
	var ids, names []string
	if err := queryJSON(c, "instance_ids", &ids); err != nil {
		return 0, nil, err
	}
	if err := queryJSON(c, "nodes", &names); err != nil {
		return 0, nil, err
	}
	flags := map[string]bool{}
	for _, key := range []string{"drain_node", "release_node", "concurrency"} {
		if flags[key], err = queryBool(c, key, false); err != nil {
			return 0, nil, err
		}
	}
	victims := []*instance{}
	for _, i := range p.sorted() {
		if slices.Contains(ids, i.id) || slices.Contains(names, i.nodeName) {
			victims = append(victims, i)
		}
	}
	n := -len(victims)
	c.entry.Count = &n
	switch {
	case len(ids)+len(names) == 0:
		return 0, nil, invalid("InstanceIds", "instance_ids is required")
	case len(victims) != len(ids)+len(names):
		return 0, nil, invalid("InstanceIds", "some of %v are not nodes of nodepool %s", append(ids, names...), p.id)
	case k.state != running && k.state != updating:
		return 0, nil, clusterState(k.state)
	case p.state != active && p.state != deleteFailed && !(flags["concurrency"] && (p.state == removingNodes || p.state == scaling)):
		return 0, nil, nodePoolState(p.state)
	}
	for _, i := range victims {
		if i.removing || i.state != running {
			return 0, nil, fail(http.StatusBadRequest, "IncorrectInstanceStatus", "the status of instance %s does not support this operation", i.id)
		}
	}
	t := s.begin(c, "nodepool_remove_nodes", k.id, "nodepool", p.id)
	before := p.state
	p.state = removingNodes
	if t.outcome != effective {
		s.publishPool(p)
		s.later(t, s.Latency("remove-nodes", s.Config.Latencies.RemoveNodes), func() {
			p.state = before
			s.finish(t, nil)
			s.publishPool(p)
		})
	} else {
		if t.stuckWork {
			s.publishPool(p)
			return http.StatusAccepted, map[string]any{"request_id": c.id, "task_id": t.id}, nil
		}
		s.remove(p, t, victims, flags["drain_node"], flags["release_node"], true, func() { s.removed(p, t) })
	}
	return http.StatusAccepted, map[string]any{"request_id": c.id, "task_id": t.id}, nil
}

// removed ends a removal.
func (s *Server) removed(p *nodePool, t *task) {
	if p.state == removingNodes || p.state == removing {
		p.state = active
	}
	s.finish(t, t.short)
	s.publishPool(p)
	s.retryScaling(p)
}
