package tke

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	// maxActivities of all groups are kept.
	maxActivities = 2000
	// restockDelay is until a group that waits for stock notices a change.
	restockDelay = 5 * time.Second
)

// An activity of a scaling group. A lack of stock shows nowhere else.
type activity struct {
	id, group, account, region string
	kind                       string // SCALE_OUT or SCALE_IN
	status, message            string
	cause                      string
	start, end                 string
	instances                  []string
	shortages                  []shortage
	pool                       *nodePool
	waiting                    map[string]bool
	settled                    bool // nothing more will be tried
}

// A shortage is why one way to get an instance did not work.
type shortage struct {
	code, message              string
	zone, subnet, kind, charge string
}

// instances of a pool, oldest first.
func (p *nodePool) instances() []*instance {
	out := []*instance{}
	for _, i := range p.cluster.members {
		if i.pool == p {
			out = append(out, i)
		}
	}
	sort.Slice(out, func(a, b int) bool { return out[a].order < out[b].order })
	return out
}

// count is the number of instances that stay.
func (p *nodePool) count() int {
	n := 0
	for _, i := range p.instances() {
		if !i.removing {
			n++
		}
	}
	return n
}

func (s *Server) begin(p *nodePool, kind, cause string) *activity {
	a := &activity{
		id: s.newID("asa"), group: p.group, account: p.cluster.account, region: p.cluster.region, kind: kind, status: "RUNNING", cause: cause,
		start: s.stamp(), pool: p, waiting: map[string]bool{},
	}
	s.activities = append(s.activities, a)
	if len(s.activities) > maxActivities {
		s.activities = slices.Clone(s.activities[len(s.activities)-maxActivities:])
	}
	return a
}

// scale brings a pool to its desired size, or starts to.
func (s *Server) scale(p *nodePool, cause string, extra bool) {
	if p.gone || p.cluster.gone || p.cluster.state == deleting || p.state == poolCreating || p.state == poolDeleting {
		return
	}
	missing := p.desired - p.count()
	if extra && p.desired > 0 {
		missing++
	}
	switch {
	case missing > 0:
		s.scaleOut(p, missing, cause)
	case missing < 0:
		s.scaleIn(p, -missing, cause)
	}
}

// scaleOut starts n instances, as far as there is stock. The desired size stays
// as it is, and the group keeps trying.
func (s *Server) scaleOut(p *nodePool, n int, cause string) {
	a := s.begin(p, "SCALE_OUT", fmt.Sprintf("%s, %d instances are missing", cause, n))
	for range n {
		i, short := s.launch(p, a)
		if i == nil {
			a.shortages = short
			break
		}
		a.instances = append(a.instances, i.id)
		a.waiting[i.id] = true
	}
	d := time.Duration(0)
	if len(a.shortages) > 0 {
		d = s.latency("no-stock", s.conf.Latencies.NoStock)
	}
	s.publishPool(p)
	s.After(d, func() {
		a.settled = true
		s.settle(a)
	})
}

// settle ends an activity once its instances run.
func (s *Server) settle(a *activity) {
	if !a.settled || len(a.waiting) > 0 || a.status != "RUNNING" {
		return
	}
	a.end, a.status = s.stamp(), "SUCCESSFUL"
	if len(a.shortages) > 0 {
		a.status = "FAILED"
		if len(a.instances) > 0 {
			a.status = "PARTIALLY_SUCCESSFUL"
		}
		var texts []string
		for _, f := range a.shortages {
			texts = append(texts, f.message)
		}
		a.message = strings.Join(texts, " ")
	}
	s.retry(a.pool)
}

// retry lets the group try again later if instances are missing.
func (s *Server) retry(p *nodePool) {
	if p.retrying || p.gone || p.cluster.gone || p.count() >= p.desired || p.spec.group.RetryPolicy == "NO_RETRY" {
		return
	}
	p.retrying = true
	s.After(s.latency("retry-stock", s.conf.Latencies.RetryStock), func() {
		p.retrying = false
		s.replenish(p, "the scaling group tries again")
	})
}

// replenish is the group starting what it misses by itself.
func (s *Server) replenish(p *nodePool, cause string) {
	if p.gone || p.cluster.gone || p.count() >= p.desired {
		return
	}
	s.scale(p, cause, false)
}

// restock makes a group that waits for stock try again soon.
func (s *Server) restock(p *nodePool) {
	if p.count() < p.desired && p.spec.group.RetryPolicy != "NO_RETRY" {
		s.After(restockDelay, func() { s.replenish(p, "the scaling group tries again") })
	}
}

func (s *Server) stockChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.sorted() {
		for _, p := range k.sortedPools() {
			s.restock(p)
		}
	}
}

// An offer is one way to get an instance.
type offer struct {
	key    stock.Key
	subnet string
}

// offers in the order the pool prefers them.
func (s *Server) offers(p *nodePool) []offer {
	subnets := slices.Clone(p.spec.group.SubnetIds)
	if p.spec.equal() {
		used := map[string]int{}
		for _, i := range p.instances() {
			used[i.subnet]++
		}
		slices.SortStableFunc(subnets, func(a, b string) int { return used[a] - used[b] })
	}
	var out []offer
	for _, t := range p.spec.types {
		for _, sn := range subnets {
			_, v, _ := s.subnet(p.cluster.region, sn)
			out = append(out, offer{key: stock.Key{Region: p.cluster.region, Zone: v.Zone, Type: t, Spot: p.spec.charge() == spotpaid}, subnet: sn})
		}
	}
	return out
}

// choose an offer and take it from the stock, or say why none could be had.
func (s *Server) choose(p *nodePool) (*offer, string, []shortage) {
	var short []shortage
	for _, o := range s.offers(p) {
		miss := shortage{zone: o.key.Zone, subnet: o.subnet, kind: o.key.Type, charge: p.spec.charge()}
		ip := s.freeAddress(p.cluster.region, o.subnet)
		switch {
		case s.Stock.Count(o.key) < 0:
			miss.code = "InvalidParameterValue.InsufficientOffering"
			miss.message = fmt.Sprintf("InvalidParameterValue.InsufficientOffering: the instance type %s is not sold in %s.", o.key.Type, o.key.Zone)
		case ip == "":
			miss.code = "ResourceInsufficient.SubnetIp"
			miss.message = fmt.Sprintf("Insufficient IP addresses in subnet %s.", o.subnet)
		case !s.Stock.Take(o.key):
			miss.code = "ResourceInsufficient.SpecifiedInstanceType"
			miss.message = fmt.Sprintf("Insufficient resources of %s in %s.", o.key.Type, o.key.Zone)
		default:
			return &o, ip, nil
		}
		short = append(short, miss)
	}
	return nil, "", short
}

// freeAddress of a subnet, empty if there is none. The first and the last two
// addresses of a subnet are the cloud's own.
func (s *Server) freeAddress(region, subnet string) string {
	_, v, _ := s.subnet(region, subnet)
	p, err := netip.ParsePrefix(v.CIDR)
	if err != nil {
		return ""
	}
	used := s.addrs[region+"/"+subnet]
	a := p.Masked().Addr().Next().Next()
	for range addresses(p) {
		if !used[a.String()] {
			return a.String()
		}
		a = a.Next()
	}
	return ""
}

// addresses of a subnet that can be used.
func addresses(p netip.Prefix) int { return 1<<(32-p.Bits()) - 3 }

func (s *Server) takeAddress(region, subnet, ip string) {
	key := region + "/" + subnet
	if s.addrs[key] == nil {
		s.addrs[key] = map[string]bool{}
	}
	s.addrs[key][ip] = true
}

// launch one instance, which joins the cluster by itself.
func (s *Server) launch(p *nodePool, a *activity) (*instance, []shortage) {
	k := p.cluster
	sub := faults.Subject{Action: faults.NodeAction, Attrs: map[string]string{
		"cloud": "tencent", "region": k.region, "cluster": k.id, "nodePool": p.id, "name": p.name, "charge": p.spec.chargeName(),
	}}
	if f := s.Faults.Take(faults.Quota, sub); f != nil {
		code := f.Arg("code", "LimitExceeded.SpotQuota")
		return nil, []shortage{{code: code, message: code + ": the quota of instances is exceeded.", charge: p.spec.charge()}}
	}
	o, ip, short := s.choose(p)
	if o == nil {
		return nil, short
	}
	s.takeAddress(k.region, o.subnet, ip)
	i := &instance{
		id: s.newID("ins"), ip: ip, subnet: o.subnet, zone: o.key.Zone, kind: o.key.Type, charge: p.spec.charge(), region: k.region, account: k.account,
		state: instancePending, created: s.stamp(), cluster: k, pool: p, group: p.group, order: s.next(), tags: map[string]string{clusterTag: k.id},
		unschedulable: p.spec.unschedulable,
	}
	for _, more := range []map[string]string{p.spec.tags, tagMap(p.spec.launch.InstanceTags)} {
		for key, v := range more {
			i.tags[key] = v
		}
	}
	k.members[i.id], s.instances[i.id] = i, i
	it := s.conf.InstanceTypes[i.kind]
	hourly := it.Hourly
	if i.spot() {
		hourly = it.SpotHourly
	}
	s.book(k, ledger.Object{
		Kind: ledger.CVM, ID: i.id, Name: "tke_" + k.id + "_worker", Parent: p.id, Zone: i.zone, Hourly: hourly * s.Prices.Factor(o.key), Tags: i.tags,
	})
	s.addDisk(i, *p.spec.launch.SystemDisk, "SYSTEM_DISK")
	for _, d := range p.spec.launch.DataDisks {
		s.addDisk(i, d, "DATA_DISK")
	}
	s.bootstrap(i, a)
	return i, nil
}

func (p *poolSpec) chargeName() string {
	if p.charge() == spotpaid {
		return "spot"
	}
	return "ondemand"
}

func (s *Server) addDisk(i *instance, d disk, usage string) {
	size, kind := max(d.DiskSize, 50), d.DiskType
	if kind == "" {
		kind = "CLOUD_PREMIUM"
	}
	id := s.newID("disk")
	i.disks = append(i.disks, id)
	s.book(i.cluster, ledger.Object{
		Kind: ledger.CBS, ID: id, Name: "tke_" + i.cluster.id, Parent: i.id, Zone: i.zone, Hourly: float64(size) * s.conf.Prices.DiskGiB, Tags: i.tags,
		Attrs: map[string]string{"usage": usage, "instance": i.id, "size": fmt.Sprint(size), "type": kind},
	})
}

// scaleIn takes n instances away: those the group's policy names, but none that
// is protected, at once and without drain.
func (s *Server) scaleIn(p *nodePool, n int, cause string) {
	var rest []*instance
	for _, i := range p.instances() {
		if !i.removing && !i.protected {
			rest = append(rest, i)
		}
	}
	if slices.Contains(p.spec.group.TerminationPolicies, "NEWEST_INSTANCE") {
		slices.Reverse(rest)
	}
	a := s.begin(p, "SCALE_IN", fmt.Sprintf("%s, %d instances are too many", cause, n))
	for _, i := range rest[:min(n, len(rest))] {
		a.instances = append(a.instances, i.id)
		a.waiting[i.id] = true
		s.leave(i)
		s.After(s.latency("remove-instances", s.conf.Latencies.RemoveInstances), func() {
			if s.instances[i.id] == i && i.removing {
				s.destroy(i)
			}
			delete(a.waiting, i.id)
			s.settle(a)
		})
	}
	a.settled = true
	if len(a.waiting) == 0 {
		a.shortages = []shortage{{code: "ResourceUnavailable", message: "All instances are protected from scale-in."}}
		s.settle(a)
	}
}
