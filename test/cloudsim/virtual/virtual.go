// Package virtual simulates what stands behind virtual nodes: a service that
// runs every pod on its own, without a machine of the cluster, and bills it by
// the second. ACK's virtual nodes (ECI) and TKE's super nodes both use it.
//
// A simulated cloud makes one Runtime and lets it answer the two pod calls of
// backend.Hooks. All that remains is Add for each virtual node, and Remove or End
// when nodes or clusters go.
package virtual

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/state"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	// writers bounds the status writes under way.
	writers = 16
	// writeRetry is the real time until a failed write is tried again.
	writeRetry = time.Second
)

// Options of a Runtime.
type Options struct {
	// Config has prices, delays and image sizes.
	Config config.Virtual
	// Kind of the pods in the ledger.
	Kind ledger.Kind
	// StockType is the type under which the cloud's stock counts vCPU for pods.
	StockType string
	// NewID names the instance behind a pod. It and Tags must not call the
	// Runtime.
	NewID func() string
	// CacheAnnotation on a pod, with any value but "false", uses the image cache
	// for the pod.
	CacheAnnotation string
	// Tags of the instance behind a pod, by cluster; nil for none.
	Tags func(cluster string) map[string]string
}

// A Node to be added.
type Node struct {
	backend.Node
	// Cluster it is a node of.
	Cluster string
	// Account pays for the pods, Owner is the value of the cluster's tag
	// regionpool.io/uid.
	Account, Owner string
	Region, Zone   string
	// Parent in the ledger of the pods on the node: what they must not outlive,
	// for example the cluster or the pool. Nodes with one parent share an image
	// cache.
	Parent string
}

// A Runtime of the pods on a cloud's virtual nodes.
type Runtime struct {
	cloud *cloud.Cloud
	o     Options
	ctx   context.Context
	log   *slog.Logger
	slots chan struct{}

	mu     sync.Mutex
	epoch  int
	nodes  map[string]*node           // by cluster/name
	pods   map[string]*pod            // by cluster/uid
	shelf  map[stock.Key]int          // milli vCPU used
	images map[string]map[string]bool // cached, by parent in the ledger
	serial int
}

type node struct {
	Node
	backend backend.Cluster
}

// A pod, from its binding until it is gone.
type pod struct {
	state.Pod
	node   *node
	object *corev1.Pod
	milli  int // vCPU/1000 taken from the shelf
	done   bool
	order  int

	// What is to be written, and whether somebody is writing.
	status  corev1.PodStatus
	events  []backend.Event
	changed bool
	writing bool
}

// New returns a Runtime of the supplied cloud. The context bounds background
// work.
func New(ctx context.Context, c *cloud.Cloud, o Options, log *slog.Logger) *Runtime {
	r := &Runtime{cloud: c, o: o, ctx: ctx, log: log, slots: make(chan struct{}, writers)}
	r.init()
	c.Stock.OnChange(r.stockChanged)
	return r
}

func (r *Runtime) init() {
	r.epoch++
	r.nodes = map[string]*node{}
	r.pods = map[string]*pod{}
	r.shelf = map[stock.Key]int{}
	r.images = map[string]map[string]bool{}
}

// Add a virtual node to a cluster. It blocks if the backend does; call it
// without holding a lock that the hooks take.
func (r *Runtime) Add(ctx context.Context, b backend.Cluster, n Node) error {
	key := n.Cluster + "/" + n.Name
	r.mu.Lock()
	r.nodes[key] = &node{Node: n, backend: b}
	r.mu.Unlock()
	if err := b.AddVirtualNode(ctx, n.Node); err != nil {
		r.mu.Lock()
		delete(r.nodes, key)
		r.mu.Unlock()
		return fmt.Errorf("cannot add virtual node %s: %w", n.Name, err)
	}
	return nil
}

// Remove a virtual node and the pods on it, without drain. One that does not
// exist is no error. It blocks if the backend does.
func (r *Runtime) Remove(ctx context.Context, cluster, name string) error {
	key := cluster + "/" + name
	r.mu.Lock()
	n := r.nodes[key]
	r.mu.Unlock()
	if n == nil {
		return nil
	}
	if err := n.backend.RemoveNode(ctx, name); err != nil {
		return fmt.Errorf("cannot remove virtual node %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, key)
	r.endWhere(func(p *pod) bool { return p.node == n })
	return nil
}

// End forgets a cluster's virtual nodes and ends all pods on them, without a
// call to its backend.
func (r *Runtime) End(cluster string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(cluster)
	r.endWhere(func(p *pod) bool { return p.Cluster == cluster })
}

func (r *Runtime) forget(cluster string) {
	maps.DeleteFunc(r.nodes, func(_ string, n *node) bool {
		if n.Cluster == cluster {
			delete(r.images, n.Parent)
		}
		return n.Cluster == cluster
	})
}

// Abandon forgets a cluster's virtual nodes like End, but leaves what runs for
// their pods behind, billed until Kill.
func (r *Runtime) Abandon(cluster string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(cluster)
	for _, p := range r.pods {
		if p.Cluster == cluster {
			p.done = true
		}
	}
}

// Kill the instance behind a pod, by its id. A pod that is still in its cluster
// fails. An unknown id is ignored.
func (r *Runtime) Kill(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, p := range r.pods {
		if p.ID != id || id == "" {
			continue
		}
		r.stop(p)
		if r.nodes[p.Cluster+"/"+p.Pod.Node] != p.node {
			delete(r.pods, key)
			return
		}
		why := "the instance " + id + " was deleted"
		r.report(p, failed(why), backend.Event{Type: corev1.EventTypeWarning, Reason: ReasonFailed, Message: why})
		return
	}
}

// Reset forgets everything.
func (r *Runtime) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.init()
}

// Pods of a cluster's virtual node, in the order of their binding. An empty
// cluster or node matches every one.
func (r *Runtime) Pods(cluster, node string) []state.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Collect(maps.Values(r.pods))
	sort.Slice(all, func(i, j int) bool { return all[i].order < all[j].order })
	out := []state.Pod{}
	for _, p := range all {
		if (cluster == "" || p.Cluster == cluster) && (node == "" || p.Pod.Node == node) {
			out = append(out, p.Pod)
		}
	}
	return out
}

// PodBound starts a pod. It is part of backend.Hooks.
func (r *Runtime) PodBound(cluster string, object *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.nodes[cluster+"/"+object.Spec.NodeName]
	key := cluster + "/" + string(object.UID)
	if n == nil || r.pods[key] != nil || object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed {
		return
	}
	cpu, memory, gpu := requests(object, &r.o.Config)
	r.serial++
	p := &pod{node: n, object: object, order: r.serial, milli: int(math.Ceil(cpu * 1000))}
	p.Pod = state.Pod{
		Cluster: cluster, Node: n.Name, Region: n.Region, Zone: n.Zone, Namespace: object.Namespace, Name: object.Name, UID: string(object.UID),
		Account: n.Account, Owner: n.Owner, Phase: string(corev1.PodPending), CPU: cpu, MemoryGiB: memory, GPU: gpu,
		Hourly: r.o.Config.Hourly(cpu, memory, gpu), Created: r.cloud.Clock.Now(), CreatedWall: r.cloud.Clock.Wall(),
	}
	p.Hourly *= r.cloud.Prices.Factor(r.key(p))
	r.pods[key] = p
	if why := unsupported(object); why != "" {
		p.done = true
		r.report(p, failed(why), backend.Event{Type: corev1.EventTypeWarning, Reason: "ProviderCreateFailed", Message: why})
		return
	}
	r.try(p)
}

// PodGone ends a pod. It is part of backend.Hooks.
func (r *Runtime) PodGone(cluster string, uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endWhere(func(p *pod) bool {
		return p.Cluster == cluster && p.UID == string(uid) && r.nodes[cluster+"/"+p.Pod.Node] == p.node
	})
}

func (r *Runtime) endWhere(match func(*pod) bool) {
	for key, p := range r.pods {
		if match(p) {
			r.stop(p)
			delete(r.pods, key)
		}
	}
}

func (r *Runtime) key(p *pod) stock.Key {
	return stock.Key{Region: p.Region, Zone: p.Zone, Type: r.o.StockType}
}

// take capacity for a pod. The shelf counts whole vCPU, which pods share.
func (r *Runtime) take(p *pod) bool {
	k := r.key(p)
	used := r.shelf[k]
	if !r.cloud.Stock.TakeN(k, vcpu(used+p.milli)-vcpu(used)) {
		return false
	}
	r.shelf[k] = used + p.milli
	return true
}

func vcpu(milli int) int { return (milli + 999) / 1000 }

// stop what runs for a pod, and its bill.
func (r *Runtime) stop(p *pod) {
	p.done = true
	if p.ID == "" {
		return
	}
	k := r.key(p)
	used := r.shelf[k]
	r.shelf[k] = used - p.milli
	r.cloud.Stock.ReturnN(k, vcpu(used)-vcpu(used-p.milli))
	r.cloud.Ledger.Release(p.ID)
	p.ID = ""
}

// try to start a pod. Without capacity it stays Pending, says so, and tries
// again.
func (r *Runtime) try(p *pod) {
	if p.done || p.ID != "" {
		return
	}
	if !r.take(p) {
		if p.Reason == "" {
			why := fmt.Sprintf("Create instance failed because the specified instance is out of stock: %g vCPU in zone %s", p.CPU, p.Zone)
			r.report(p, pending(ReasonNoStock, why, r.cloud.Clock.Wall()), backend.Event{Type: corev1.EventTypeWarning, Reason: ReasonNoStock, Message: why})
		}
		r.after(r.cloud.Latency("virtual-retry", r.o.Config.Retry), func() { r.try(p) })
		return
	}
	p.ID = r.o.NewID()
	p.IP = fmt.Sprintf("10.%d.%d.%d", 64+p.order/62500%64, p.order/250%250+1, p.order%250+1)
	var tags map[string]string
	if r.o.Tags != nil {
		tags = r.o.Tags(p.Cluster)
	}
	r.cloud.Ledger.Create(ledger.Object{
		Kind: r.o.Kind, ID: p.ID, Name: p.Namespace + "/" + p.Name, Owner: p.Owner, Account: p.Account, Region: p.Region, Zone: p.Zone, Cluster: p.Cluster,
		Parent: p.node.Parent, Hourly: p.Hourly, Tags: tags, Attrs: map[string]string{
			ledger.AttrCPU: fmt.Sprint(p.CPU), ledger.AttrMemory: fmt.Sprint(p.MemoryGiB), ledger.AttrAddress: p.IP, ledger.AttrCreated: p.CreatedWall.UTC().Format(time.RFC3339),
		},
	})
	r.report(p, pending("", "", r.cloud.Clock.Wall()), backend.Event{Type: corev1.EventTypeNormal, Reason: "Scheduled", Message: "Successfully created instance " + p.ID})
	r.after(r.cloud.Latency("virtual-start", r.o.Config.Start)+r.pull(p), func() { r.run(p) })
}

// pull returns how long the images of a pod take that are not cached. With the
// cache they are in it from then on.
func (r *Runtime) pull(p *pod) time.Duration {
	v, seen := p.object.Annotations[r.o.CacheAnnotation]
	cache := r.o.Config.ImageCache || r.o.CacheAnnotation != "" && seen && v != "false"
	var d time.Duration
	for _, image := range images(p.object) {
		if cache && r.images[p.node.Parent][image] {
			continue
		}
		d += r.o.Config.Pull(image)
	}
	if cache {
		r.after(d, func() {
			if r.images[p.node.Parent] == nil {
				r.images[p.node.Parent] = map[string]bool{}
			}
			for _, image := range images(p.object) {
				r.images[p.node.Parent][image] = true
			}
		})
	}
	return d
}

// run a pod that has everything. One of a Job has nothing to do and ends.
func (r *Runtime) run(p *pod) {
	if p.done {
		return
	}
	if ofKind(p.object, "Job") {
		r.report(p, succeeded(p.object, p.IP, r.cloud.Clock.Wall()))
		r.stop(p)
		return
	}
	r.report(p, started(p.object, p.IP, r.cloud.Clock.Wall()), backend.Event{Type: corev1.EventTypeNormal, Reason: "Started", Message: "Started containers of instance " + p.ID})
}

// stockChanged makes pods that wait for capacity try again soon.
func (r *Runtime) stockChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pods {
		if !p.done && p.ID == "" {
			r.after(time.Second, func() { r.try(p) })
		}
	}
}

// after runs f under the lock once d of virtual time has passed, unless the
// Runtime was reset in between.
func (r *Runtime) after(d time.Duration, f func()) {
	epoch := r.epoch
	r.cloud.Clock.AfterFunc(d, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.epoch == epoch {
			f()
		}
	})
}

// report a status and events of a pod to its cluster. Statuses that come while
// one is being written overtake each other; events do not.
func (r *Runtime) report(p *pod, s corev1.PodStatus, events ...backend.Event) {
	p.Phase, p.Reason = string(s.Phase), reason(s)
	p.status, p.changed = s, true
	if p.ID != "" {
		r.cloud.Ledger.SetAttr(p.ID, ledger.AttrStatus, p.Phase)
	}
	p.events = append(p.events, events...)
	if !r.cloud.Backend.Blocking() {
		r.write(p)
		return
	}
	if !p.writing {
		p.writing = true
		go r.writeAll(p, r.epoch)
	}
}

// write what is to be written of a pod; it holds the lock.
func (r *Runtime) write(p *pod) {
	events := p.events
	p.events, p.changed = nil, false
	if err := p.node.backend.SetPodStatus(r.ctx, p.Namespace, p.Name, types.UID(p.UID), p.status, events...); err != nil {
		r.log.Warn("Cannot set status of pod", "pod", p.Namespace+"/"+p.Name, "error", err)
	}
}

// writeAll writes until nothing is left to be written.
func (r *Runtime) writeAll(p *pod, epoch int) {
	r.slots <- struct{}{}
	defer func() { <-r.slots }()
	for {
		r.mu.Lock()
		if _, exists := r.pods[p.Cluster+"/"+p.UID]; !p.changed || !exists || r.epoch != epoch || r.ctx.Err() != nil {
			p.writing = false
			r.mu.Unlock()
			return
		}
		s, events := p.status, p.events
		p.events, p.changed = nil, false
		r.mu.Unlock()
		err := p.node.backend.SetPodStatus(r.ctx, p.Namespace, p.Name, types.UID(p.UID), s, events...)
		if err == nil {
			continue
		}
		r.log.Warn("Cannot set status of pod", "pod", p.Namespace+"/"+p.Name, "error", err)
		r.mu.Lock()
		p.changed = true
		r.mu.Unlock()
		select {
		case <-r.ctx.Done():
		case <-time.After(writeRetry):
		}
	}
}
