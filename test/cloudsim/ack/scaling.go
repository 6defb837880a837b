package ack

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// retryNode is when a node that could not be registered is tried again.
const retryNode = 10 * time.Second

// count is the number of instances that stay, as far as is known.
func (p *nodePool) count() int {
	n := 0
	for _, i := range p.instances {
		if !i.removing && !i.replaced {
			n++
		}
	}
	return n
}

func (p *nodePool) sorted() []*instance {
	out := slices.Collect(maps.Values(p.instances))
	sort.Slice(out, func(i, j int) bool { return out[i].order < out[j].order })
	return out
}

// scaleOut starts what is missing, as far as there is stock. A lack of it makes
// the task fail once the instances that could be started are ready; the desired
// size stays, and the scaling group keeps trying.
func (s *Server) scaleOut(p *nodePool, t *task, extra bool) {
	if p.gone {
		return
	}
	p.state = scaling
	s.enter(t, "ScaleOut")
	missing := p.desired - p.count()
	if extra {
		missing++
	}
	for range missing {
		i, short := s.launch(p, t)
		if i == nil {
			t.short = short
			break
		}
		t.waiting[i.id] = true
	}
	s.publishPool(p)
	if len(t.waiting) == 0 {
		d := time.Duration(0)
		if t.short != nil {
			d = s.Latency("no-stock", s.Config.Latencies.NoStock)
		}
		s.After(d, func() { s.scaled(p, t) })
	}
}

// scaled ends a scale-out.
func (s *Server) scaled(p *nodePool, t *task) {
	if p.state == scaling {
		p.state = active
	}
	switch {
	case len(t.failed) > 0:
		s.finish(t, &taskError{Code: "NodeInitializationFailed", Message: fmt.Sprintf("nodes %v did not become ready", t.failed)})
	case t.short != nil:
		s.finish(t, t.short)
	default:
		s.finish(t, nil)
	}
	if !p.gone {
		s.publishPool(p)
		s.retire(p)
		s.retryScaling(p)
	}
}

// retryScaling lets the scaling group try again later if instances are missing.
func (s *Server) retryScaling(p *nodePool) {
	if p.retrying || p.gone || p.count() >= p.desired {
		return
	}
	p.retrying = true
	s.After(s.Latency("retry-stock", s.Config.Latencies.RetryStock), func() {
		p.retrying = false
		s.fillUp(p)
	})
}

// fillUp is the scaling group starting what it misses by itself.
func (s *Server) fillUp(p *nodePool) {
	if p.gone || p.cluster.gone || p.count() >= p.desired {
		return
	}
	if p.state == active || p.state == deleteFailed {
		if _, _, short := s.choose(p); short == nil {
			s.scaleOut(p, s.background("nodepool_scaleout", p.cluster.account, p.cluster.id, "nodepool", p.id), false)
			return
		}
	}
	s.retryScaling(p)
}

// stockChanged makes scaling groups that wait for stock try again soon.
func (s *Server) stockChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.clusters {
		for _, p := range k.sortedPools() {
			if p.count() < p.desired {
				s.After(5*time.Second, func() { s.fillUp(p) })
			}
		}
	}
}

// An offer is one way to get an instance.
type offer struct {
	key     stock.Key
	vswitch string
}

// offers in the order the pool's policy prefers them.
func (s *Server) offers(p *nodePool) []offer {
	g := p.spec.ScalingGroup
	types := slices.Clone(g.InstanceTypes)
	vsws := slices.Clone(g.VSwitchIDs)
	if g.MultiAZPolicy == "COST_OPTIMIZED" {
		slices.SortStableFunc(types, func(a, b string) int {
			return int(1000 * (s.Config.InstanceTypes[a].Hourly - s.Config.InstanceTypes[b].Hourly))
		})
	}
	if g.MultiAZPolicy != "PRIORITY" {
		used := map[string]int{}
		for _, i := range p.instances {
			used[i.vswitch]++
		}
		slices.SortStableFunc(vsws, func(a, b string) int { return used[a] - used[b] })
	}
	spot := g.SpotStrategy == "SpotAsPriceGo" || g.SpotStrategy == "SpotWithPriceLimit"
	charges := []bool{spot}
	if spot && g.CompensateWithOnDemand {
		charges = append(charges, false)
	}
	var out []offer
	for _, sp := range charges {
		for _, t := range types {
			for _, v := range vsws {
				_, vs, _ := s.VSwitch(p.cluster.region, v)
				out = append(out, offer{key: stock.Key{Region: p.cluster.region, Zone: vs.Zone, Type: t, Spot: sp}, vswitch: v})
			}
		}
	}
	return out
}

// choose an offer that is in stock and has an address, without taking it.
func (s *Server) choose(p *nodePool) (offer, string, *taskError) {
	worst := &taskError{Code: "Zone.NotOnSale", Message: "the resource in the specified zone is no longer available for sale"}
	for _, o := range s.offers(p) {
		if !s.Stock.Sold(o.key) {
			continue
		}
		if !s.Stock.Take(o.key) {
			if worst.Code != "InvalidVSwitchId.IpNotEnough" {
				worst = &taskError{Code: "OperationDenied.NoStock", Message: fmt.Sprintf("the requested resource %s is sold out in zone %s", o.key.Type, o.key.Zone)}
			}
			continue
		}
		s.Stock.Return(o.key)
		ip := s.freeAddress(p.cluster.region, o.vswitch)
		if ip == "" {
			worst = &taskError{Code: "InvalidVSwitchId.IpNotEnough", Message: fmt.Sprintf("the specified VSwitch %s has not enough IP addresses", o.vswitch)}
			continue
		}
		return o, ip, nil
	}
	return offer{}, "", worst
}

// freeAddress of a vSwitch, empty if there is none. The first and the last three
// addresses of a vSwitch are the cloud's own.
func (s *Server) freeAddress(region, vswitch string) string {
	_, v, err := s.VSwitch(region, vswitch)
	if err != nil {
		return ""
	}
	p, err := netip.ParsePrefix(v.CIDR)
	if err != nil {
		return ""
	}
	key := region + "/" + vswitch
	used := s.addrs[key]
	if used == nil {
		used = map[string]bool{}
		s.addrs[key] = used
	}
	size := 1 << (32 - p.Bits())
	a := p.Masked().Addr().Next()
	for range size - 4 {
		if !used[a.String()] {
			return a.String()
		}
		a = a.Next()
	}
	return ""
}

func (s *Server) nodeSubject(p *nodePool, i *instance) faults.Subject {
	charge := "ondemand"
	if i.spot {
		charge = "spot"
	}
	return faults.Subject{Action: faults.NodeAction, Attrs: map[string]string{
		"cloud":  "alibaba",
		"region": p.cluster.region, "cluster": p.cluster.id, "nodePool": p.id, "name": p.name, "instanceType": i.kind, "zone": i.zone,
		"instance": i.id, "charge": charge,
	}}
}

// join adds the node to the cluster, and plans the troubles it will have.
func (s *Server) join(p *nodePool, t *task, i *instance) {
	if p.instances[i.id] != i || i.removing || p.cluster.gone {
		s.arrived(p, t, i)
		return
	}
	b := p.cluster.backend
	n := s.node(p, i)
	s.Work(func(ctx context.Context) error { return b.AddNode(ctx, n) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot add node", "cluster", p.cluster.id, "node", n.Name, "error", err)
			s.After(retryNode, func() { s.join(p, t, i) })
			return
		}
		if p.instances[i.id] != i {
			s.Work(func(ctx context.Context) error { return b.RemoveNode(ctx, n.Name) }, func(error) {})
			return
		}
		i.registered, i.nodeStatus = true, "Ready"
		s.setState(i, running)
		p.cluster.size++
		s.touch(p.cluster)
		s.publishNode(p, i)
		s.announce(p, i)
		s.arrived(p, t, i)
		s.trouble(p, i)
	})
}

// arrived notes that a task need not wait for an instance any more.
func (s *Server) arrived(p *nodePool, t *task, i *instance) {
	if !t.waiting[i.id] {
		return
	}
	delete(t.waiting, i.id)
	if i.failed {
		t.failed = append(t.failed, i.id)
	}
	if !p.gone {
		s.publishPool(p)
	}
	if len(t.waiting) == 0 {
		s.scaled(p, t)
	}
}

func (s *Server) setReady(p *nodePool, i *instance, ready bool) {
	if p.instances[i.id] != i || !i.registered {
		return
	}
	i.nodeStatus = "Offline"
	if ready {
		i.nodeStatus = "Ready"
	}
	s.publishNode(p, i)
	s.publishPool(p)
	b, name := p.cluster.backend, i.nodeName
	s.Work(func(ctx context.Context) error { return b.SetNodeReady(ctx, name, ready) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot change readiness of node", "node", name, "error", err)
		}
	})
}

// leave removes the node from the cluster, with its pods.
func (s *Server) leave(p *nodePool, i *instance) {
	if !i.registered {
		return
	}
	i.registered = false
	p.cluster.size--
	s.touch(p.cluster)
	b, name := p.cluster.backend, i.nodeName
	if b == nil || p.cluster.state == deleting {
		return
	}
	s.Work(func(ctx context.Context) error { return b.RemoveNode(ctx, name) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot remove node", "node", name, "error", err)
		}
	})
}
