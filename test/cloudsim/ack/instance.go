package ack

import (
	"maps"
	"strconv"
	"strings"

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
	// reclaimed is true from the notice that a spot instance will be taken away,
	// replaced if another one is to come in its place before.
	reclaimed, replaced bool
}

// A detached instance was removed from its pool without being released.
type detached struct {
	*instance
	region string
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
	s.bookNode(p, i, ledger.ECS, i.id, p.id, hourly*s.Prices.Factor(o.key), s.instanceAttrs(p, i))
	s.addDisk(p, i, ledger.SystemDisk, max(g.SystemDiskSize, 40), g.SystemDiskCategory)
	for _, d := range g.DataDisks {
		s.addDisk(p, i, ledger.DataDisk, d.Size, d.Category)
	}
	sub := s.nodeSubject(p, i)
	never := s.Faults.Take(faults.NodeNeverReady, sub) != nil
	up := s.Latency("instance-running", s.Config.Latencies.InstanceRunning)
	s.After(up/4, func() { s.advance(p, i, "pending", "starting") })
	s.After(up, func() { s.advance(p, i, "starting", running) })
	ready := max(s.Latency("node-ready", s.Config.Latencies.NodeReady), up)
	if never {
		s.After(s.Latency("bootstrap", s.Config.Latencies.BootstrapTimeout), func() {
			if p.instances[i.id] != i || i.removing {
				return
			}
			i.failed, i.message, i.nodeStatus = true, "the node did not register within the time limit", "Unknown"
			s.publishNode(p, i)
			s.arrived(p, t, i)
		})
		return i, nil
	}
	s.After(ready, func() { s.join(p, t, i) })
	return i, nil
}

func (s *Server) nextOrder(p *nodePool) int {
	n := 0
	for _, i := range p.instances {
		n = max(n, i.order)
	}
	return n + 1
}

func (s *Server) advance(p *nodePool, i *instance, from, to string) {
	if i.state == from {
		s.setState(i, to)
	}
	s.publishPool(p)
}

func (s *Server) setState(i *instance, state string) {
	i.state = state
	s.Ledger.SetAttr(i.id, ledger.AttrStatus, strings.ToUpper(state[:1])+state[1:])
}

// bookNode books an ECS or a disk of it. Both carry the pool's tags and ACK's.
func (s *Server) bookNode(p *nodePool, i *instance, kind ledger.Kind, id, parent string, hourly float64, attrs map[string]string) {
	tags := tagMap(p.spec.ScalingGroup.Tags)
	maps.Copy(tags, clusterTags(p.cluster.id))
	tags["acs:autoscaling:scalingGroupId"] = p.group
	s.Ledger.Create(ledger.Object{
		Kind: kind, ID: id, Owner: owner(p.spec.ScalingGroup.Tags), Account: p.cluster.account, Region: p.cluster.region, Zone: i.zone,
		Cluster: p.cluster.id, Parent: parent, Hourly: hourly, Tags: tags, Attrs: s.network(p.cluster, attrs),
	})
}

// instanceAttrs are the details of an instance that ECS shows.
func (s *Server) instanceAttrs(p *nodePool, i *instance) map[string]string {
	spot := "NoSpot"
	if i.spot {
		spot = p.spec.ScalingGroup.SpotStrategy
	}
	return map[string]string{
		ledger.AttrStatus: "Pending", ledger.AttrType: i.kind, ledger.AttrCharge: i.charge, ledger.AttrSpot: spot, ledger.AttrVSwitch: i.vswitch,
		ledger.AttrAddress: i.ip, ledger.AttrSecurityGroup: p.cluster.securityGroup,
	}
}

func (s *Server) addDisk(p *nodePool, i *instance, kind ledger.Kind, gib int, category string) {
	id := "d-" + s.Random.Alphanumeric("disk-id", 20)
	i.disks = append(i.disks, id)
	use := "data"
	if kind == ledger.SystemDisk {
		use = "system"
	}
	if category == "" {
		category = "cloud_essd"
	}
	s.bookNode(p, i, kind, id, i.id, float64(gib)*s.Config.Prices.DiskGiB, map[string]string{
		ledger.AttrSize: strconv.Itoa(gib), ledger.AttrCategory: category, ledger.AttrInstance: i.id, ledger.AttrDiskType: use,
	})
}

// drop takes an instance out of its pool. Released, it is gone; otherwise it
// lives on, billed, and belongs to nobody.
func (s *Server) drop(p *nodePool, i *instance, release bool) {
	delete(p.instances, i.id)
	s.nodeList.Delete(i.id, s.lagged())
	if !release {
		s.detached[i.id] = detached{instance: i, region: p.cluster.region}
		s.Ledger.Update(i.id, func(o *ledger.Object) { o.Parent = "detached" })
		return
	}
	s.release(p.cluster.region, i)
}

// release an instance with its disks, its address and its place on the shelf.
func (s *Server) release(region string, i *instance) {
	delete(s.addrs[region+"/"+i.vswitch], i.ip)
	s.Stock.Return(stock.Key{Region: region, Zone: i.zone, Type: i.kind, Spot: i.spot})
	s.Ledger.Release(i.id)
	for _, d := range i.disks {
		s.Ledger.Release(d)
	}
}
