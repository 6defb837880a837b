package ack

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sort"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// An instance is an ECS of a node pool, and the node it becomes.
type instance struct {
	id, ip, vswitch, zone string
	kind                  string // instance type
	charge                string // PostPaid or PrePaid
	spot                  bool
	state                 string // pending, starting, running
	nodeName, nodeStatus  string
	registered            bool // it is, or was, a node of the cluster
	removing              bool
	failed                bool
	message               string
	created               string
	disks                 []string
	order                 int
}

// count is the number of instances that stay.
func (p *nodePool) count() int {
	n := 0
	for _, i := range p.instances {
		if !i.removing {
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
		s.after(d, func() { s.scaled(p, t) })
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
		s.retryScaling(p)
	}
}

// retryScaling lets the scaling group try again later if instances are missing.
func (s *Server) retryScaling(p *nodePool) {
	if p.retrying || p.gone || p.count() >= p.desired {
		return
	}
	p.retrying = true
	s.after(s.Latency("retry-stock", s.Config.Latencies.RetryStock), func() {
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
				s.after(5*time.Second, func() { s.fillUp(p) })
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

// launch one instance, which joins the cluster by itself.
func (s *Server) launch(p *nodePool, t *task) (*instance, *taskError) {
	o, ip, short := s.choose(p)
	if short != nil {
		return nil, short
	}
	s.Stock.Take(o.key)
	k := p.cluster
	s.addrs[k.region+"/"+o.vswitch][ip] = true
	g := p.spec.ScalingGroup
	it := s.Config.InstanceTypes[o.key.Type]
	i := &instance{
		id: "i-bp1" + s.Random.Alphanumeric("instance-id", 17), ip: ip, vswitch: o.vswitch, zone: o.key.Zone, kind: o.key.Type, charge: "PostPaid",
		spot: o.key.Spot, state: "pending", created: s.stamp(), nodeName: k.region + "." + ip, order: s.nextOrder(p),
	}
	if g.InstanceChargeType == "PrePaid" {
		i.charge = "PrePaid"
	}
	p.instances[i.id] = i
	hourly := it.Hourly
	if i.spot {
		hourly = it.SpotHourly
	}
	s.bookNode(p, ledger.ECS, i.id, p.id, hourly)
	s.addDisk(p, i, ledger.SystemDisk, max(g.SystemDiskSize, 40))
	for _, d := range g.DataDisks {
		s.addDisk(p, i, ledger.DataDisk, d.Size)
	}
	sub := s.nodeSubject(p, i)
	never := s.Faults.Take(faults.NodeNeverReady, sub) != nil
	up := s.Latency("instance-running", s.Config.Latencies.InstanceRunning)
	s.after(up/4, func() { i.advance("pending", "starting"); s.publishPool(p) })
	s.after(up, func() { i.advance("starting", running); s.publishPool(p) })
	ready := max(s.Latency("node-ready", s.Config.Latencies.NodeReady), up)
	if never {
		s.after(s.Latency("bootstrap", s.Config.Latencies.BootstrapTimeout), func() {
			if p.instances[i.id] != i || i.removing {
				return
			}
			i.failed, i.message, i.nodeStatus = true, "the node did not register within the time limit", "Unknown"
			s.publishNode(p, i)
			s.arrived(p, t, i)
		})
		return i, nil
	}
	s.after(ready, func() { s.join(p, t, i) })
	return i, nil
}

func (s *Server) nextOrder(p *nodePool) int {
	n := 0
	for _, i := range p.instances {
		n = max(n, i.order)
	}
	return n + 1
}

func (i *instance) advance(from, to string) {
	if i.state == from {
		i.state = to
	}
}

func (s *Server) bookNode(p *nodePool, kind ledger.Kind, id, parent string, hourly float64) {
	s.Ledger.Create(ledger.Object{
		Kind: kind, ID: id, Owner: owner(p.spec.ScalingGroup.Tags), Account: p.cluster.account, Region: p.cluster.region,
		Cluster: p.cluster.id, Parent: parent, Hourly: hourly,
	})
}

func (s *Server) addDisk(p *nodePool, i *instance, kind ledger.Kind, gib int) {
	id := "d-" + s.Random.Alphanumeric("disk-id", 20)
	i.disks = append(i.disks, id)
	s.bookNode(p, kind, id, i.id, float64(gib)*s.Config.Prices.DiskGiB)
}

func (s *Server) nodeSubject(p *nodePool, i *instance) faults.Subject {
	charge := "ondemand"
	if i.spot {
		charge = "spot"
	}
	return faults.Subject{Action: faults.NodeAction, Attrs: map[string]string{
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
	s.work(func(ctx context.Context) error { return b.AddNode(ctx, n) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot add node", "cluster", p.cluster.id, "node", n.Name, "error", err)
			s.after(10*time.Second, func() { s.join(p, t, i) })
			return
		}
		if p.instances[i.id] != i {
			s.work(func(ctx context.Context) error { return b.RemoveNode(ctx, n.Name) }, func(error) {})
			return
		}
		i.registered, i.nodeStatus, i.state = true, "Ready", running
		p.cluster.size++
		s.touch(p.cluster)
		s.publishNode(p, i)
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

// trouble plans what goes wrong with a node that is Ready.
func (s *Server) trouble(p *nodePool, i *instance) {
	sub := s.nodeSubject(p, i)
	in := func(f *faults.Rule, times float64) time.Duration {
		return time.Duration(times * f.Seconds(60) * float64(time.Second))
	}
	if f := s.Faults.Take(faults.NodeOffline, sub); f != nil {
		s.after(in(f, 1), func() { s.setReady(p, i, false) })
	}
	if f := s.Faults.Take(faults.NodeFlap, sub); f != nil {
		s.after(in(f, 1), func() { s.setReady(p, i, false) })
		s.after(in(f, 2), func() { s.setReady(p, i, true) })
	}
	if i.spot {
		if f := s.Faults.Take(faults.SpotReclaim, sub); f != nil {
			s.after(in(f, 1), func() { s.reclaim(p, i) })
		}
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
	s.work(func(ctx context.Context) error { return b.SetNodeReady(ctx, name, ready) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot change readiness of node", "node", name, "error", err)
		}
	})
}

// reclaim takes an instance away as the market does; the group replaces it.
func (s *Server) reclaim(p *nodePool, i *instance) {
	if p.instances[i.id] != i {
		return
	}
	s.leave(p, i)
	s.drop(p, i, true)
	s.publishPool(p)
	s.retryScaling(p)
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
	s.work(func(ctx context.Context) error { return b.RemoveNode(ctx, name) }, func(err error) {
		if err != nil {
			s.log.Warn("Cannot remove node", "node", name, "error", err)
		}
	})
}

// drop takes an instance out of its pool. Released, it is gone; otherwise it
// lives on, billed, and belongs to nobody.
func (s *Server) drop(p *nodePool, i *instance, release bool) {
	delete(p.instances, i.id)
	s.nodeList.Delete(i.id, s.lagged())
	if !release {
		s.Ledger.Update(i.id, func(o *ledger.Object) { o.Parent = "detached" })
		return
	}
	delete(s.addrs[p.cluster.region+"/"+i.vswitch], i.ip)
	s.Stock.Return(stock.Key{Region: p.cluster.region, Zone: i.zone, Type: i.kind, Spot: i.spot})
	s.Ledger.Release(i.id)
	for _, d := range i.disks {
		s.Ledger.Release(d)
	}
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
