// Package ledger keeps account of everything that exists in a simulated cloud:
// what it is, who owns it, what it hangs on, since when, and what it costs while
// it exists. Objects that cost nothing are kept too, since they leak as well.
//
// Times are virtual. Prices are synthetic, see the config package.
package ledger

import (
	"maps"
	"math"
	"sort"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// A Kind of object.
type Kind string

// Kinds of the Alibaba cloud.
const (
	Cluster       Kind = "cluster"        // control plane fee, a root object
	NodePool      Kind = "nodepool"       // with its ESS scaling group, free
	APISLB        Kind = "api-slb"        // of the API server
	APIEIP        Kind = "api-eip"        // of the API server
	NAT           Kind = "nat"            // snat_entry:true
	NATEIP        Kind = "nat-eip"        // snat_entry:true
	ECS           Kind = "ecs"            // a node
	SystemDisk    Kind = "system-disk"    // of an ECS
	DataDisk      Kind = "data-disk"      // of an ECS, or bound to a PVC
	ECIPod        Kind = "eci-pod"        // a pod on a virtual node
	IngressSLB    Kind = "ingress-slb"    // of the ingress add-on
	ServiceSLB    Kind = "service-slb"    // of a Service of type LoadBalancer
	SLSProject    Kind = "sls-project"    // logs
	ENI           Kind = "eni"            // free
	SecurityGroup Kind = "security-group" // free
	RAMRole       Kind = "ram-role"       // free
)

// SupernodePod is a pod on a super node of the Tencent cloud, whose other kinds
// are named by their own simulator.
const SupernodePod Kind = "supernode-pod"

// An Object that exists, or existed.
type Object struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Owner is the value of the tag regionpool.io/uid, empty if there is none.
	Owner string `json:"owner,omitempty"`
	// Account is the access key that made it, Region where it is.
	Account string `json:"account,omitempty"`
	Region  string `json:"region,omitempty"`
	// Cluster it belongs to.
	Cluster string `json:"cluster,omitempty"`
	// Zone it is in, if it is in one.
	Zone string `json:"zone,omitempty"`
	// Tags it carries at the cloud.
	Tags map[string]string `json:"tags,omitempty"`
	// Attrs are details of the kind that its API shows, for example type and
	// spot of an ecs.
	Attrs map[string]string `json:"attrs,omitempty"`
	// Parent is the object without which it has no purpose. Root objects have
	// none.
	Parent string `json:"parent,omitempty"`
	Root   bool   `json:"root,omitempty"`
	// Hourly price.
	Hourly float64 `json:"hourly"`
	// Before is what earlier prices add to the cost.
	Before float64 `json:"before,omitempty"`
	// RoundUp bills every started hour in full.
	RoundUp bool      `json:"roundUp,omitempty"`
	Created time.Time `json:"created"`
	// Released is when it ceased to exist, nil while it does.
	Released *time.Time `json:"released,omitempty"`
	// Releasing is true if its release is under way.
	Releasing bool `json:"releasing,omitempty"`
	// Cost until its release, or until now.
	Cost float64 `json:"cost"`
}

// A Duplicate is a group of live objects that should be one.
type Duplicate struct {
	Kind    Kind     `json:"kind"`
	Owner   string   `json:"owner,omitempty"`
	Name    string   `json:"name,omitempty"`
	Cluster string   `json:"cluster,omitempty"`
	IDs     []string `json:"ids"`
}

// A Report is the state of the books at one virtual time.
type Report struct {
	Time       time.Time        `json:"time"`
	Live       []Object         `json:"live"`
	CostByKind map[Kind]float64 `json:"costByKind"`
	CostTotal  float64          `json:"costTotal"`
	// HourlyNow is what all live objects together cost in an hour.
	HourlyNow float64 `json:"hourlyNow"`
	// Created and Released count objects ever made and gone.
	Created  map[Kind]int `json:"created"`
	Released map[Kind]int `json:"released"`
	// Regions has the same for each region; no two clouds share the name of one.
	Regions map[string]Region `json:"regions"`
	// Leaked are live objects whose parent is gone and whose release is not
	// under way.
	Leaked []Object `json:"leaked"`
	// Duplicates are clusters with the same owner, and node pools of one
	// cluster with the same owner or the same name.
	Duplicates []Duplicate `json:"duplicates"`
}

// A Region of a Report.
type Region struct {
	CostTotal float64      `json:"costTotal"`
	Created   map[Kind]int `json:"created"`
}

// A Ledger of objects.
type Ledger struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	objects map[string]*Object
	order   []string
}

// New returns an empty Ledger on the supplied virtual clock.
func New(c clock.PassiveClock) *Ledger {
	return &Ledger{clock: c, objects: map[string]*Object{}}
}

// Create books a new object.
func (l *Ledger) Create(o Object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.Created = l.clock.Now()
	if _, ok := l.objects[o.ID]; !ok {
		l.order = append(l.order, o.ID)
	}
	l.objects[o.ID] = &o
}

// Release ends an object. Unknown and already released ids are ignored.
func (l *Ledger) Release(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.objects[id]; o != nil && o.Released == nil {
		now := l.clock.Now()
		o.Released = &now
	}
}

// Update changes a live object in place.
func (l *Ledger) Update(id string, f func(*Object)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.objects[id]; o != nil && o.Released == nil {
		f(o)
	}
}

// Reprice changes what an object costs from now on.
func (l *Ledger) Reprice(id string, hourly float64) {
	now := l.clock.Now()
	l.Update(id, func(o *Object) {
		o.Before += now.Sub(o.Created).Hours() * (o.Hourly - hourly)
		o.Hourly = hourly
	})
}

// SetAttr changes a detail of a live object.
func (l *Ledger) SetAttr(id, key, value string) {
	l.Update(id, func(o *Object) {
		attrs := maps.Clone(o.Attrs) // Copies that were handed out share the map.
		if attrs == nil {
			attrs = map[string]string{}
		}
		attrs[key] = value
		o.Attrs = attrs
	})
}

// All returns the objects that match, gone ones as well, in order of creation.
func (l *Ledger) All(match func(Object) bool) []Object {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Object
	for _, id := range l.order {
		if o := l.objects[id]; match(*o) {
			out = append(out, *o)
		}
	}
	return out
}

// Releasing marks an object whose release is under way: it is still billed, but
// not leaked.
func (l *Ledger) Releasing(id string) {
	l.Update(id, func(o *Object) { o.Releasing = true })
}

// Live returns the live objects that match, in order of creation.
func (l *Ledger) Live(match func(Object) bool) []Object {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Object
	for _, id := range l.order {
		if o := l.objects[id]; o.Released == nil && match(*o) {
			out = append(out, *o)
		}
	}
	return out
}

// Report closes the books at the current virtual time.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()

	now := l.clock.Now()
	r := Report{
		Time: now, Live: []Object{}, Leaked: []Object{}, Duplicates: []Duplicate{},
		CostByKind: map[Kind]float64{}, Created: map[Kind]int{}, Released: map[Kind]int{}, Regions: map[string]Region{},
	}
	for _, id := range l.order {
		o := *l.objects[id]
		end := now
		if o.Released != nil {
			end = *o.Released
		}
		hours := max(end.Sub(o.Created), 0).Hours()
		if o.RoundUp {
			hours = math.Max(1, math.Ceil(hours))
		}
		o.Cost = o.Before + hours*o.Hourly
		r.CostByKind[o.Kind] += o.Cost
		r.CostTotal += o.Cost
		r.Created[o.Kind]++
		region := r.Regions[o.Region]
		if region.Created == nil {
			region.Created = map[Kind]int{}
		}
		region.CostTotal += o.Cost
		region.Created[o.Kind]++
		r.Regions[o.Region] = region
		if o.Released != nil {
			r.Released[o.Kind]++
			continue
		}
		r.HourlyNow += o.Hourly
		r.Live = append(r.Live, o)
		if !o.Root && !o.Releasing && !l.live(o.Parent) {
			r.Leaked = append(r.Leaked, o)
		}
	}
	r.Duplicates = append(r.Duplicates, duplicates(r.Live)...)
	return r
}

func (l *Ledger) live(id string) bool {
	o := l.objects[id]
	return o != nil && o.Released == nil
}

// A group names the objects that should be one.
type group struct {
	Kind                 Kind
	Cluster, Owner, Name string
}

func duplicates(live []Object) []Duplicate {
	groups := map[group][]string{}
	for _, o := range live {
		switch {
		case o.Kind == Cluster && o.Owner != "":
			k := group{Kind: Cluster, Owner: o.Owner}
			groups[k] = append(groups[k], o.ID)
		case o.Kind == NodePool:
			if o.Owner != "" {
				k := group{Kind: NodePool, Cluster: o.Cluster, Owner: o.Owner}
				groups[k] = append(groups[k], o.ID)
			}
			if o.Name != "" {
				k := group{Kind: NodePool, Cluster: o.Cluster, Name: o.Name}
				groups[k] = append(groups[k], o.ID)
			}
		}
	}
	var out []Duplicate
	for k, ids := range groups {
		if len(ids) > 1 {
			out = append(out, Duplicate{Kind: k.Kind, Owner: k.Owner, Name: k.Name, Cluster: k.Cluster, IDs: ids})
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return string(a.Kind)+a.Cluster+a.Owner+a.Name < string(b.Kind)+b.Cluster+b.Owner+b.Name
	})
	return out
}

// Reset forgets everything.
func (l *Ledger) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.objects, l.order = map[string]*Object{}, nil
}
