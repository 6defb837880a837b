package ack

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// What ACK's node problem detector says of a spot instance that is about to be
// taken away: a condition and an event, five minutes before. No taint is set.
const (
	conditionExpired = "InstanceExpired"
	reasonTerminated = "InstanceToBeTerminated"
)

// trouble plans what goes wrong with a node that is Ready.
func (s *Server) trouble(p *nodePool, i *instance) {
	sub := s.nodeSubject(p, i)
	in := func(f *faults.Rule, times float64) time.Duration {
		return time.Duration(times * f.Seconds(60) * float64(time.Second))
	}
	if f := s.Faults.Take(faults.NodeOffline, sub); f != nil {
		s.After(in(f, 1), func() { s.setReady(p, i, false) })
	}
	if f := s.Faults.Take(faults.NodeFlap, sub); f != nil {
		s.After(in(f, 1), func() { s.setReady(p, i, false) })
		s.After(in(f, 2), func() { s.setReady(p, i, true) })
	}
	if i.spot {
		if f := s.Faults.Take(faults.SpotReclaim, sub); f != nil {
			s.After(in(f, 1), func() { s.notice(p, i) })
		}
	}
}

// notice that a spot instance will be taken away. With spot_instance_remedy the
// group replaces it meanwhile.
func (s *Server) notice(p *nodePool, i *instance) {
	if p.instances[i.id] != i || i.reclaimed || i.removing {
		return
	}
	i.reclaimed = true
	s.Ledger.SetAttr(i.id, ledger.AttrLock, "Recycling")
	s.announce(p, i)
	s.After(s.Latency("spot-notice", s.Config.Latencies.SpotNotice), func() { s.reclaim(p, i) })
	if p.spec.ScalingGroup.SpotInstanceRemedy {
		i.replaced = true
		s.fillUp(p)
	}
}

// announce the end of an instance on its node, once there is one.
func (s *Server) announce(p *nodePool, i *instance) {
	if !i.registered || !i.reclaimed {
		return
	}
	b, name := p.cluster.backend, i.nodeName
	now := metav1.NewTime(s.Clock.Wall())
	cond := corev1.NodeCondition{
		Type: conditionExpired, Status: corev1.ConditionTrue, Reason: reasonTerminated, Message: reasonTerminated,
		LastHeartbeatTime: now, LastTransitionTime: now,
	}
	e := backend.Event{Type: corev1.EventTypeWarning, Reason: reasonTerminated, Message: "Node condition InstanceExpired is now: True, reason: " + reasonTerminated}
	s.Work(func(ctx context.Context) error { return b.SetNodeCondition(ctx, name, cond, e) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot announce the end of a spot instance", "node", name, "error", err)
		}
	})
}

// retire drains and removes the instances for which another one has come.
func (s *Server) retire(p *nodePool) {
	var old []*instance
	for _, i := range p.sorted() {
		if i.replaced && !i.removing {
			old = append(old, i)
		}
	}
	if len(old) == 0 || p.gone || p.state != active || p.count() < p.desired {
		return
	}
	t := s.background("nodepool_remove_nodes", p.cluster.account, p.cluster.id, "nodepool", p.id)
	p.state = removingNodes
	s.remove(p, t, old, true, true, false, func() { s.removed(p, t) })
}

// reclaim takes an instance away as the market does, which has sold it to
// somebody else; the group replaces it.
func (s *Server) reclaim(p *nodePool, i *instance) {
	if p.instances[i.id] != i {
		return
	}
	s.leave(p, i)
	s.drop(p, i, true)
	s.Stock.Take(stock.Key{Region: p.cluster.region, Zone: i.zone, Type: i.kind, Spot: i.spot})
	s.publishPool(p)
	s.retryScaling(p)
}
