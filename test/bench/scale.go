package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	// defaultRegion is members x nodes of each x pods on each node.
	defaultRegion = "50x1000x20"
	// scaleWorkloads of the region, spread over scaleSpread members each;
	// scaleBindings of them belong to the pool that decides.
	scaleWorkloads, scaleSpread = 20_000, 5
	scaleBindings               = 5_000
	scaleUpdates                = 2_000
	scaleDecisions              = 300
	scaleReplicas               = 100
	maxBytesPerPod              = 1 << 10
	maxBytesPerNode             = 4 << 10
	maxUpdateMicroseconds       = 1_000
	maxPlacementMilliseconds    = 100
	startPatience               = 20 * time.Minute
)

// scale holds a large region in memory through the fleet's own informers and
// caches, changes it, and places into it.
func scale(ctx context.Context, r *run) (outcome, error) {
	reg, err := parseRegion(r.region)
	if err != nil {
		return outcome{}, err
	}
	api, err := serveRegion(reg)
	if err != nil {
		return outcome{}, err
	}
	defer api.close()

	foot, err := measureFootprint(ctx, reg)
	if err != nil {
		return outcome{}, err
	}
	cases := foot.cases()
	before := heap()
	f, err := startFleet(ctx, reg, api)
	if err != nil {
		return outcome{}, err
	}
	defer f.stop()
	pods := float64(reg.members * reg.nodes * reg.podsPerNode)
	after := heap()
	resident, highest := memoryOf("VmRSS:"), memoryOf("VmHWM:")
	cases = append(cases,
		ours(fmt.Sprintf("start-up to a full set of snapshots of %d members x %d nodes x %.0f pods (s)", reg.members, reg.nodes, pods), f.took.Seconds()),
		ours("of which this process computed, serving the members' APIs included (CPU s)", f.cpu.Seconds()),
		ours("heap in use at rest, all of it (MiB)", float64(after-before)/(1<<20)),
		ours("heap in use at rest over the pods (bytes)", float64(after-before)/pods),
		ours("resident memory after start-up (MiB)", resident),
		ours("resident memory, highest (MiB)", highest),
	)
	r.log.Printf("%d members are in memory after %s", reg.members, f.took.Round(time.Second))

	updates, err := f.measureUpdates(ctx, rand.New(rand.NewPCG(r.seed, 1)))
	if err != nil {
		return outcome{}, err
	}
	cases = append(cases, updates.cases()...)

	rounds, err := f.measureDecisions(ctx, rand.New(rand.NewPCG(r.seed, 2)))
	if err != nil {
		return outcome{}, err
	}
	cases = append(cases, rounds.cases()...)
	met := foot.pod.beyond() <= maxBytesPerPod && foot.node.beyond() <= maxBytesPerNode &&
		quantile(updates.whole, 0.99) <= maxUpdateMicroseconds && quantile(rounds.deciding, 0.99) <= maxPlacementMilliseconds
	return outcome{cases: cases, met: met}, nil
}

func parseRegion(s string) (*region, error) {
	r := &region{workloads: scaleWorkloads, spread: scaleSpread}
	if _, err := fmt.Sscanf(s, "%dx%dx%d", &r.members, &r.nodes, &r.podsPerNode); err != nil {
		return nil, fmt.Errorf("a region is MEMBERSxNODESxPODS, not %q: %w", s, err)
	}
	if r.members < 1 || r.nodes < 1 || r.podsPerNode <= daemonPodsPerNode {
		return nil, fmt.Errorf("region %q needs a member, a node and more than %d pods on a node", s, daemonPodsPerNode)
	}
	r.spread = min(r.spread, r.members)
	// As many pods of a workload in a member, whatever the size.
	r.workloads = max(r.members, r.workloads*r.members*r.nodes*r.podsPerNode/1_000_000)
	return r, nil
}

// A held is what holding a member takes, in bytes of heap: the whole cache of a
// member, client-go's informers with our transform, and those without.
type held struct{ ours, transformed, plain float64 }

func (h held) beyond() float64 { return h.ours - h.transformed }

func (h held) less(o held, over int) held {
	n := float64(over)
	return held{(h.ours - o.ours) / n, (h.transformed - o.transformed) / n, (h.plain - o.plain) / n}
}

func (h held) named(name string) Case {
	return Case{Case: name, Ours: round(h.ours), Rivals: map[string]float64{"client-go": round(h.plain), "client-go with our transform": round(h.transformed)}}
}

// A footprint is what one more pod and one more node take, and a member without
// either.
type footprint struct{ pod, node, member held }

func (f footprint) cases() []Case {
	return []Case{
		f.pod.named("memory of a pod (bytes)"),
		f.node.named("memory of a node (bytes)"),
		f.member.named("memory of a member without nodes and pods, both ends of its connections included (bytes)"),
		ours(fmt.Sprintf("a pod beyond client-go with our transform, aim %d (bytes)", maxBytesPerPod), f.pod.beyond()),
		ours(fmt.Sprintf("a node beyond client-go with our transform, aim %d (bytes)", maxBytesPerNode), f.node.beyond()),
	}
}

// measureFootprint fills caches of one member of the region in turn: with half of
// its nodes, with all of them, and with the pods.
func measureFootprint(ctx context.Context, reg *region) (footprint, error) {
	half, nodes, pods := *reg, *reg, *reg
	half.nodes, half.podsPerNode, nodes.podsPerNode = reg.nodes/2, 0, 0
	var h [3]held
	for i, one := range []*region{&half, &nodes, &pods} {
		var err error
		if h[i], err = hold(ctx, one); err != nil {
			return footprint{}, err
		}
	}
	f := footprint{pod: h[2].less(h[1], reg.nodes*reg.podsPerNode), node: h[1].less(h[0], reg.nodes-half.nodes)}
	n := float64(reg.nodes)
	f.member = h[1].less(held{f.node.ours * n, f.node.transformed * n, f.node.plain * n}, 1)
	return f, nil
}

func hold(ctx context.Context, reg *region) (held, error) {
	api, err := serveRegion(reg)
	if err != nil {
		return held{}, err
	}
	defer api.close()
	var out [3]float64
	for i, start := range []func(context.Context) (func() bool, func(), error){
		func(ctx context.Context) (func() bool, func(), error) {
			m, err := snapshot.NewMember("sample", api.config(0))
			if err != nil {
				return nil, nil, err
			}
			m.Start(ctx)
			return func() bool { return m.Synced() && m.Snapshot().NumNodes() == reg.nodes }, m.Stop, nil
		},
		func(ctx context.Context) (func() bool, func(), error) {
			return startInformers(ctx, api.config(0), snapshot.Transform())
		},
		func(ctx context.Context) (func() bool, func(), error) {
			return startInformers(ctx, api.config(0), func(o any) (any, error) { return o, nil })
		},
	} {
		if out[i], err = sizeOf(ctx, start); err != nil {
			return held{}, err
		}
	}
	return held{out[0], out[1], out[2]}, nil
}

// sizeOf returns how much more heap is in use once what start starts is synced.
func sizeOf(ctx context.Context, start func(context.Context) (synced func() bool, stop func(), err error)) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := heap()
	synced, stop, err := start(ctx)
	if err != nil {
		return 0, err
	}
	if err := await(ctx, synced); err != nil {
		return 0, err
	}
	after := heap()
	cancel()
	stop()
	runtime.KeepAlive(synced)
	return float64(after - before), nil
}

// startInformers starts client-go's informers of nodes and pods.
func startInformers(ctx context.Context, cfg *rest.Config, t cache.TransformFunc) (func() bool, func(), error) {
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a client: %w", err)
	}
	f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(t))
	nodes, pods := f.Core().V1().Nodes().Informer(), f.Core().V1().Pods().Informer()
	f.Start(ctx.Done())
	return func() bool { return nodes.HasSynced() && pods.HasSynced() }, f.Shutdown, nil
}

// heap in use after a collection, in bytes. What one collection finds dead by
// weak pointers and cleanups is gone after the next.
func heap() int64 {
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// memoryOf the process by the kernel, in MiB; 0 where the kernel does not tell.
func memoryOf(field string) float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), field)
	kib, err := strconv.ParseFloat(strings.Fields(rest + " 0")[0], 64)
	if err != nil {
		return 0
	}
	return round(kib / 1024)
}

// processorTime that this process took so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	// It cannot fail for the process itself.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func await(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("caches are not full: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// A scaleFleet holds what a fleet process holds of its members.
type scaleFleet struct {
	region     *region
	api        *memberAPI
	registry   *snapshot.Registry
	members    []*snapshot.Member
	simulators []*simulation.Scheduler
	took, cpu  time.Duration
	cancel     context.CancelFunc
}

func startFleet(ctx context.Context, reg *region, api *memberAPI) (*scaleFleet, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &scaleFleet{region: reg, api: api, registry: snapshot.NewRegistry(), cancel: cancel}
	start, cpu := time.Now(), processorTime()
	for m := range reg.members {
		sim, err := simulation.New()
		if err != nil {
			f.stop()
			return nil, fmt.Errorf("cannot make a simulator: %w", err)
		}
		f.simulators = append(f.simulators, sim)
		member, err := snapshot.NewMember(reg.member(m), api.config(m))
		if err != nil {
			f.stop()
			return nil, err
		}
		if err := f.registry.Add(member); err != nil {
			f.stop()
			return nil, err
		}
		f.members = append(f.members, member)
		member.Start(ctx)
	}
	for i, m := range f.members {
		if err := await(ctx, m.Synced); err != nil {
			f.stop()
			return nil, err
		}
		if err := f.simulators[i].Warm(m.Snapshot()); err != nil {
			f.stop()
			return nil, err
		}
	}
	f.took, f.cpu = time.Since(start), processorTime()-cpu
	return f, nil
}

func (f *scaleFleet) stop() {
	f.cancel()
	for _, m := range f.members {
		m.Stop()
	}
	for _, s := range f.simulators {
		s.Close()
	}
}

// updateTimes in microseconds, each sorted.
type updateTimes struct {
	// whole is from the change written to the wire until a new snapshot with
	// it and a fork of that exist. snapshots and forks are parts of it.
	whole, snapshots, forks, allForks []float64
}

func (u updateTimes) cases() []Case {
	var out []Case
	for _, part := range []struct {
		name   string
		values []float64
	}{
		{"one pod changes, from the wire to a new snapshot and a fork of it", u.whole},
		{"of which the new snapshot", u.snapshots},
		{"of which the fork", u.forks},
		{"forks of all members", u.allForks},
	} {
		for _, p := range []struct {
			name string
			q    float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
			out = append(out, ours(fmt.Sprintf("%s, %s (µs)", part.name, p.name), quantile(part.values, p.q)))
		}
	}
	return out
}

// sample returns some pods of a member.
func (f *scaleFleet) sample(m, n int) []*corev1.Pod {
	every := max(1, f.region.nodes*f.region.podsPerNode/n)
	var out []*corev1.Pod
	i := 0
	f.region.pods(m, func(p *corev1.Pod) {
		if i++; i%every == 0 && p.OwnerReferences[0].Kind == "ReplicaSet" {
			out = append(out, p)
		}
	})
	return out
}

// measureUpdates makes pods unready and ready, deletes them and makes new ones,
// one after the other, in random members.
func (f *scaleFleet) measureUpdates(ctx context.Context, rnd *rand.Rand) (updateTimes, error) {
	u := updateTimes{}
	w := f.registry.Watch()
	defer w.Stop()
	samples := map[int][]*corev1.Pod{}
	for i := range scaleUpdates {
		m := rnd.IntN(min(8, f.region.members))
		if samples[m] == nil {
			samples[m] = f.sample(m, 500)
		}
		pods := samples[m]
		p := pods[rnd.IntN(len(pods))].DeepCopy()
		kind := watch.Modified
		switch i % 4 {
		case 0, 1:
			ready := corev1.ConditionFalse
			if i%4 == 1 {
				ready = corev1.ConditionTrue
			}
			for c := range p.Status.Conditions {
				if p.Status.Conditions[c].Type == corev1.PodReady {
					p.Status.Conditions[c].Status = ready
				}
			}
			p.Labels["changed"] = strconv.Itoa(i)
		default:
			p.Name, p.UID, kind = fmt.Sprintf("%s-new-%d", p.Name, i), types.UID(fmt.Sprintf("new-%d", i)), watch.Added
		}
		p.ResourceVersion = strconv.Itoa(4_000_000 + i)
		change, err := frame(kind, p)
		if err != nil {
			return u, err
		}
		member := f.members[m]
		last := member.Snapshot().Generation()
		start := time.Now()
		f.api.change(m, "pods", change)
		var s *snapshot.Snapshot
		for s == nil {
			select {
			case <-w.C():
			case <-ctx.Done():
				return u, ctx.Err()
			}
			t := time.Now()
			if now := member.Snapshot(); now.Generation() != last {
				s = now
				u.snapshots = append(u.snapshots, microseconds(time.Since(t)))
			}
		}
		t := time.Now()
		s.Fork()
		u.forks = append(u.forks, microseconds(time.Since(t)))
		u.whole = append(u.whole, microseconds(time.Since(start)))
		if i%100 == 0 {
			t := time.Now()
			for _, m := range f.members {
				m.Snapshot().Fork()
			}
			u.allForks = append(u.allForks, microseconds(time.Since(t)))
		}
	}
	for _, v := range [][]float64{u.whole, u.snapshots, u.forks, u.allForks} {
		slices.Sort(v)
	}
	return u, nil
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// roundTimes in milliseconds, each sorted, and the processor time that the process
// took meanwhile: others on the machine disturb that less.
type roundTimes struct {
	bindings                      int
	resting, deciding             []float64
	restingWorked, decidingWorked []float64
}

func (t roundTimes) cases() []Case {
	return []Case{
		ours(fmt.Sprintf("round with %d bindings at rest, p50 (ms)", t.bindings), quantile(t.resting, 0.5)),
		ours(fmt.Sprintf("round with %d bindings at rest, p99 (ms)", t.bindings), quantile(t.resting, 0.99)),
		ours(fmt.Sprintf("round that places a new workload of %d replicas besides, p50 (ms)", scaleReplicas), quantile(t.deciding, 0.5)),
		ours(fmt.Sprintf("round that places a new workload of %d replicas besides, p99 (ms)", scaleReplicas), quantile(t.deciding, 0.99)),
		ours("processor time during a round at rest, collector included, p50 (ms)", quantile(t.restingWorked, 0.5)),
		ours("processor time during a round at rest, collector included, p99 (ms)", quantile(t.restingWorked, 0.99)),
		ours("processor time during a round that places, collector included, p50 (ms)", quantile(t.decidingWorked, 0.5)),
		ours("processor time during a round that places, collector included, p99 (ms)", quantile(t.decidingWorked, 0.99)),
	}
}

// input of a round over the members as they are now: a pool in which all
// members are equal, and bindings whose replicas run as assigned.
func (f *scaleFleet) input(bindings []scheduler.Binding) scheduler.Input {
	p := scheduler.Pool{Name: "pool", StabilizationWindow: 5 * time.Minute, HeadroomPercent: 5}
	for m, member := range f.members {
		p.Members = append(p.Members, scheduler.Member{Name: member.Name(), State: scheduler.Serving, Snapshot: member.Snapshot(), Simulator: f.simulators[m]})
	}
	return scheduler.Input{Now: born.Add(time.Hour), Pools: []scheduler.Pool{p}, Bindings: bindings, Settings: scheduler.DefaultSettings}
}

func (f *scaleFleet) atRest(n int) []scheduler.Binding {
	var out []scheduler.Binding
	for w := range min(n, f.region.workloads) {
		b := f.binding(f.region.workload(w), w)
		b.Assigned, b.Reported = map[string]int32{}, map[string]scheduler.Reported{}
		for _, m := range f.region.runsIn(w) {
			c := f.members[m].Workload(b.Workload)
			if c.Total > 0 {
				b.Assigned[f.region.member(m)] = int32(c.Total)
				b.Reported[f.region.member(m)] = scheduler.Reported{Ready: int32(c.Ready)}
				b.Replicas += int32(c.Total)
			}
		}
		out = append(out, b)
	}
	return out
}

func (f *scaleFleet) binding(k snapshot.WorkloadKey, w int) scheduler.Binding {
	return scheduler.Binding{
		ID: k.Namespace + "/" + k.Name, Pool: "pool", Workload: k, Divided: true, Movable: true, Created: born.Time,
		Template: &scheduler.Template{
			Namespace: k.Namespace,
			Spec:      corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/name": k.Name}}, Spec: f.region.podTemplate(k, w)},
			Options:   []simulation.PodOption{simulation.OwnedBy("apps/v1", k.Kind, k.Name)},
		},
	}
}

// measureDecisions makes rounds in turn with nothing to do and with one new
// workload. Between them a pod of some member changes, as it would.
func (f *scaleFleet) measureDecisions(ctx context.Context, rnd *rand.Rand) (roundTimes, error) {
	rest := f.atRest(scaleBindings)
	t := roundTimes{bindings: len(rest)}
	for i := range scaleDecisions {
		for _, fresh := range []bool{false, true} {
			bindings := rest
			if fresh {
				w := f.region.workloads + i
				b := f.binding(snapshot.WorkloadKey{Namespace: "team-00", Kind: "Deployment", Name: fmt.Sprintf("new-%d", w)}, w)
				b.Replicas = scaleReplicas
				bindings = append(slices.Clone(rest), b)
			}
			in := f.input(bindings)
			start, cpu := time.Now(), processorTime()
			out, err := scheduler.Run(ctx, in)
			if err != nil {
				return t, fmt.Errorf("round failed: %w", err)
			}
			took := float64(time.Since(start).Microseconds()) / 1e3
			worked := float64((processorTime() - cpu).Microseconds()) / 1e3
			if !fresh {
				t.resting, t.restingWorked = append(t.resting, took), append(t.restingWorked, worked)
				continue
			}
			t.deciding, t.decidingWorked = append(t.deciding, took), append(t.decidingWorked, worked)
			if d := out.Decisions[len(out.Decisions)-1]; d.Pending > 0 {
				return t, fmt.Errorf("%d of %d replicas have no place: %s", d.Pending, scaleReplicas, d.Message)
			}
		}
		if err := f.churn(rnd, i); err != nil {
			return t, err
		}
	}
	for _, v := range [][]float64{t.resting, t.deciding, t.restingWorked, t.decidingWorked} {
		slices.Sort(v)
	}
	return t, nil
}

// churn makes a new pod of somebody else's in a few members.
func (f *scaleFleet) churn(rnd *rand.Rand, i int) error {
	for j := range 5 {
		m := rnd.IntN(f.region.members)
		shape := f.region.shape(snapshot.WorkloadKey{Namespace: "others", Kind: "Job", Name: "job"}, i, "Job")
		p := generatedPod(shape, m, 1<<24+i*5+j, fmt.Sprintf("%s-node-%04d", f.region.member(m), rnd.IntN(f.region.nodes)))
		c, err := frame(watch.Added, p)
		if err != nil {
			return err
		}
		f.api.change(m, "pods", c)
	}
	return nil
}
