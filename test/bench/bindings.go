package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/estimator"
)

const (
	bindingMembers = 10
	bindingNodes   = 50
	bindingSpaces  = 10

	// bindingTotal Deployments are created as fast as Karmada takes them;
	// bindingBacklog wait already when whoever places them starts. Each rung of
	// karmada-scheduler's QPS is tried with bindingRung.
	bindingTotal   = 5000
	bindingBacklog = 1000
	bindingRung    = 200

	// bindingGoal is how many times as fast as karmada-scheduler fleet is to be.
	bindingGoal = 10
	// bindingTimeout bounds each part.
	bindingTimeout = 20 * time.Minute
	// betterBy is how much faster a higher QPS must make karmada-scheduler to be
	// raised again.
	betterBy = 1.05

	accurate = "karmada-scheduler, accurate estimators"
)

// bindingQPS are the rungs of karmada-scheduler: its defaults, then more of both
// its limits, that of requests and that of its queue.
var bindingQPS = []int{0, 200, 1000, 5000}

// A pace is how fast bindings came to be, and to be placed.
type pace struct {
	// endToEnd, detected and drained are bindings a second: from the first create
	// to the last assignment, from the first create to the last binding, and from
	// the first assignment to the last.
	endToEnd, detected, drained float64
	// waited has the seconds from a binding to its assignment, sorted.
	waited []float64
	// placer and common are the CPU time, in milliseconds for each binding, of
	// who places, estimators included, and of all else in the workload plane.
	placer, common float64
}

// A region of Karmada and idle members. Both sides have one of their own, one
// after the other.
type placing struct {
	*stack.Stack
	karmada client.Client
	procs   *process.Group
	bins    *binaries.Set
	ports   []int
	rand    *rand.Rand

	mu sync.Mutex
	// sights of bindings by name.
	sights map[types.NamespacedName]sighting
	// changed is closed when there is a new one.
	changed chan struct{}
}

// A sighting is when a binding was first seen, and seen with all its replicas
// assigned.
type sighting struct{ seen, assigned time.Time }

// bindings measures how many bindings a second fleet and karmada-scheduler place.
func bindings(ctx context.Context, r *run) (outcome, error) {
	us, usBacklog, err := placeBindings(ctx, r, "ours", nil, (*placing).fleet)
	if err != nil {
		return outcome{}, fmt.Errorf("cannot measure fleet: %w", err)
	}
	without := map[stack.Part]stack.PartOptions{stack.Fleet: {Disabled: true}}
	them, themBacklog, err := placeBindings(ctx, r, "karmada", without, (*placing).climb)
	if err != nil {
		return outcome{}, fmt.Errorf("cannot measure karmada-scheduler: %w", err)
	}
	beside := func(name string, fn func(pace) float64, a, b pace) Case {
		c := ours(name, fn(a))
		c.Rivals[accurate] = round(fn(b))
		return c
	}
	of := fmt.Sprintf(" (%d Deployments, %d members)", bindingTotal, bindingMembers)
	out := outcome{cases: []Case{
		beside("bindings a second, from create to spec.clusters"+of, func(p pace) float64 { return p.endToEnd }, us, them),
		beside(fmt.Sprintf("bindings a second, from a backlog of %d", bindingBacklog), func(p pace) float64 { return p.drained }, usBacklog, themBacklog),
		beside("bindings a second that Karmada makes of them meanwhile", func(p pace) float64 { return p.detected }, us, them),
		beside("the same while nobody places", func(p pace) float64 { return p.detected }, usBacklog, themBacklog),
		beside("seconds from binding to spec.clusters, median", func(p pace) float64 { return quantile(p.waited, 0.5) }, us, them),
		beside("seconds from binding to spec.clusters, p99", func(p pace) float64 { return quantile(p.waited, 0.99) }, us, them),
		beside("CPU milliseconds a binding of who places, estimators included", func(p pace) float64 { return p.placer }, us, them),
		beside("CPU milliseconds a binding of all else, such as API servers", func(p pace) float64 { return p.common }, us, them),
	}}
	out.met = us.endToEnd >= bindingGoal*them.endToEnd
	return out, nil
}

// A placer prepares somebody to place bindings. It returns the name of the
// scheduler, and what starts it for a policy.
type placer func(p *placing, ctx context.Context, r *run) (scheduler string, start starter, err error)

type starter func(ctx context.Context, policy string) error

// placeBindings has one side place both loads.
func placeBindings(ctx context.Context, r *run, name string, parts map[stack.Part]stack.PartOptions, side placer) (all, backlog pace, err error) {
	p, err := startPlacing(ctx, r, name, parts)
	if err != nil {
		return all, backlog, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	scheduler, start, err := side(p, ctx, r)
	if err != nil {
		return all, backlog, err
	}
	if backlog, err = p.place(ctx, "backlog", scheduler, bindingBacklog, true, start); err != nil {
		return all, backlog, err
	}
	r.log.Printf("%s: from a backlog %.1f a second, Karmada makes %.1f a second meanwhile", name, backlog.drained, backlog.detected)
	if all, err = p.place(ctx, "all", scheduler, bindingTotal, false, start); err != nil {
		return all, backlog, err
	}
	r.log.Printf("%s: end to end %.1f a second, of which Karmada makes %.1f", name, all.endToEnd, all.detected)
	return all, backlog, nil
}

func startPlacing(ctx context.Context, r *run, name string, parts map[stack.Part]stack.PartOptions) (*placing, error) {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	ready := []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	o := stack.Options{
		Dir: filepath.Join(r.dir, "bindings-"+name), WithoutHost: true, WithoutCloud: true, Parts: parts,
		// What is measured is placement. Karmada's own controllers, which both
		// sides have, shall not be what holds it up.
		KarmadaArgs: map[string][]string{"karmada-controller-manager": {
			"--kube-api-qps=5000", "--kube-api-burst=10000", "--rate-limiter-qps=5000", "--rate-limiter-bucket-size=10000", "--concurrent-resource-template-syncs=20",
		}},
	}
	for i := range bindingMembers {
		o.Members = append(o.Members, stack.Member{Name: fmt.Sprintf("m-%d", i), Nodes: bindingNodes, Node: kube.Node{Capacity: capacity, Conditions: ready}, Idle: true})
	}
	st, err := stack.Start(ctx, o, r.log)
	if err != nil {
		return nil, fmt.Errorf("cannot start the stack: %w", err)
	}
	p := &placing{Stack: st, rand: rand.New(rand.NewPCG(r.seed, 0)), sights: map[types.NamespacedName]sighting{}, changed: make(chan struct{})}
	if err := p.prepare(ctx, o); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *placing) close() error {
	if p.procs != nil {
		p.procs.Stop()
	}
	err := p.Close()
	ports.Release(p.ports...)
	return err
}

func (p *placing) prepare(ctx context.Context, o stack.Options) error {
	var err error
	if p.bins, err = binaries.Open(filepath.Join(o.Dir, "binaries")); err != nil {
		return err
	}
	if p.procs, err = process.NewGroup(filepath.Join(o.Dir, "logs")); err != nil {
		return fmt.Errorf("cannot make process group: %w", err)
	}
	scheme := runtime.NewScheme()
	b := runtime.NewSchemeBuilder(clientgoscheme.AddToScheme, clusterv1alpha1.Install, policyv1alpha1.Install, workv1alpha2.Install, fleetv1alpha1.AddToScheme)
	if err := b.AddToScheme(scheme); err != nil {
		return fmt.Errorf("cannot build scheme: %w", err)
	}
	cfg := rest.CopyConfig(p.RESTConfig(stack.Karmada))
	cfg.QPS = -1
	if p.karmada, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("cannot make client of the workload plane: %w", err)
	}
	for i := range bindingSpaces {
		if err := ensureNamespace(ctx, p.karmada, space(i)); err != nil {
			return err
		}
	}
	for _, m := range o.Members {
		if err := estimator.Join(ctx, p.karmada, p.Plane(m.Name), "members"); err != nil {
			return err
		}
	}
	for _, m := range o.Members {
		if err := poll(ctx, lookEvery, settleTimeout, func(ctx context.Context) (string, error) {
			c := &clusterv1alpha1.Cluster{}
			err := p.karmada.Get(ctx, client.ObjectKey{Name: m.Name}, c)
			if err == nil && (!meta.IsStatusConditionTrue(c.Status.Conditions, clusterv1alpha1.ClusterConditionReady) || c.Status.ResourceSummary == nil || len(c.Status.APIEnablements) == 0) {
				return m.Name + " is not ready", nil
			}
			return "", err
		}); err != nil {
			return err
		}
	}
	return p.watch(ctx, cfg, scheme)
}

func space(i int) string { return fmt.Sprintf("load-%d", i) }

// watch notes when bindings are seen.
func (p *placing) watch(ctx context.Context, cfg *rest.Config, scheme *runtime.Scheme) error {
	c, err := cache.New(cfg, cache.Options{Scheme: scheme, DefaultTransform: cache.TransformStripManagedFields()})
	if err != nil {
		return fmt.Errorf("cannot watch bindings: %w", err)
	}
	inf, err := c.GetInformer(ctx, &workv1alpha2.ResourceBinding{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("cannot watch bindings: %w", err)
	}
	if _, err := inf.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: p.see, UpdateFunc: func(_, o any) { p.see(o) },
	}); err != nil {
		return fmt.Errorf("cannot watch bindings: %w", err)
	}
	// It ends with the benchmark.
	go func() { _ = c.Start(ctx) }()
	return nil
}

func (p *placing) see(o any) {
	b, ok := o.(*workv1alpha2.ResourceBinding)
	if !ok {
		return
	}
	now, given := time.Now(), int32(0)
	for _, c := range b.Spec.Clusters {
		given += c.Replicas
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := types.NamespacedName{Namespace: b.Namespace, Name: b.Spec.Resource.Name}
	s := p.sights[key]
	was := s
	if s.seen.IsZero() {
		s.seen = now
	}
	if s.assigned.IsZero() && given == b.Spec.Replicas {
		s.assigned = now
	}
	if s != was {
		p.sights[key] = s
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// await waits until something is so of all Deployments, and returns their
// sightings.
func (p *placing) await(ctx context.Context, what string, of []types.NamespacedName, is func(sighting) bool) ([]sighting, error) {
	ctx, cancel := context.WithTimeout(ctx, bindingTimeout)
	defer cancel()
	for {
		p.mu.Lock()
		changed := p.changed
		var out []sighting
		for _, k := range of {
			if s := p.sights[k]; is(s) {
				out = append(out, s)
			}
		}
		p.mu.Unlock()
		if len(out) == len(of) {
			return out, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d bindings are %s: %w", len(out), len(of), what, ctx.Err())
		}
		// One look for many changes.
		if err := sleep(ctx, lookEvery); err != nil {
			return nil, fmt.Errorf("%d of %d bindings are %s: %w", len(out), len(of), what, err)
		}
	}
}

// place has Deployments placed by whoever start starts: at once, or when all of
// their bindings are there.
func (p *placing) place(ctx context.Context, load, scheduler string, n int, backlog bool, start starter) (pace, error) {
	pool := "bench-" + load
	if err := p.karmada.Create(ctx, loadPolicy(pool, scheduler)); err != nil {
		return pace{}, fmt.Errorf("cannot create the policy of %s: %w", load, err)
	}
	if !backlog {
		if err := start(ctx, pool); err != nil {
			return pace{}, err
		}
	}
	placer, common := p.spent()
	keys, began, err := p.create(ctx, pool, n)
	if err != nil {
		return pace{}, err
	}
	if backlog {
		if _, err := p.await(ctx, "there", keys, func(s sighting) bool { return !s.seen.IsZero() }); err != nil {
			return pace{}, err
		}
		if err := start(ctx, pool); err != nil {
			return pace{}, err
		}
	}
	sights, err := p.await(ctx, "placed", keys, func(s sighting) bool { return !s.assigned.IsZero() })
	if err != nil {
		return pace{}, err
	}
	out := paceOf(began, sights)
	placerNow, commonNow := p.spent()
	out.placer = float64((placerNow - placer).Milliseconds()) / float64(n)
	out.common = float64((commonNow - common).Milliseconds()) / float64(n)
	return out, nil
}

// spent returns the CPU time of all that runs now: of who places, and of all
// else.
func (p *placing) spent() (placer, common time.Duration) {
	for _, q := range p.procs.Processes() {
		// One that has ended since has no more to tell.
		d, _ := cpuTime(q.PID())
		placer += d
	}
	for _, q := range p.Processes() {
		d, _ := cpuTime(q.PID())
		if q.Name() == string(stack.Fleet) {
			placer += d
		} else {
			common += d
		}
	}
	return placer, common
}

// paceOf sightings of what was created from a time on.
func paceOf(began time.Time, sights []sighting) pace {
	out := pace{}
	firstAssigned, lastAssigned, lastSeen := sights[0].assigned, sights[0].assigned, sights[0].seen
	for _, s := range sights {
		if s.assigned.Before(firstAssigned) {
			firstAssigned = s.assigned
		}
		if s.assigned.After(lastAssigned) {
			lastAssigned = s.assigned
		}
		if s.seen.After(lastSeen) {
			lastSeen = s.seen
		}
		out.waited = append(out.waited, s.assigned.Sub(s.seen).Seconds())
	}
	slices.Sort(out.waited)
	n := float64(len(sights))
	out.endToEnd, out.detected = n/lastAssigned.Sub(began).Seconds(), n/lastSeen.Sub(began).Seconds()
	// The first is where the clock starts.
	out.drained = (n - 1) / max(lastAssigned.Sub(firstAssigned), time.Millisecond).Seconds()
	return out
}

// create makes Deployments as fast as the API server takes them.
func (p *placing) create(ctx context.Context, pool string, n int) ([]types.NamespacedName, time.Time, error) {
	var ds []*appsv1.Deployment
	var keys []types.NamespacedName
	for i := range n {
		name := fmt.Sprintf("%s-%d", pool, i)
		request := corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(100+100*p.rand.Int64N(10), resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity((1+p.rand.Int64N(8))<<28, resource.BinarySI),
		}
		pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "example.org/c:1", Resources: corev1.ResourceRequirements{Requests: request}}}}
		d := deployment(space(i%bindingSpaces), name, map[string]string{poolLabel: pool}, 1+p.rand.Int32N(4), pod)
		ds, keys = append(ds, d), append(keys, client.ObjectKeyFromObject(d))
	}
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, d := range ds {
		g.Go(func() error { return p.karmada.Create(gctx, d) })
	}
	if err := g.Wait(); err != nil {
		return nil, began, fmt.Errorf("cannot create a Deployment: %w", err)
	}
	return keys, began, nil
}

const poolLabel = "regionpool.io/pool"

// loadPolicy divides Deployments over all members by what they have room for.
// Nothing of it is sent to them.
func loadPolicy(pool, scheduler string) *policyv1alpha1.ClusterPropagationPolicy {
	return &policyv1alpha1.ClusterPropagationPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: pool},
		Spec: policyv1alpha1.PropagationSpec{
			SchedulerName: scheduler,
			Suspension:    &policyv1alpha1.Suspension{Dispatching: ptr.To(true)},
			ResourceSelectors: []policyv1alpha1.ResourceSelector{{
				APIVersion: "apps/v1", Kind: "Deployment", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{poolLabel: pool}},
			}},
			Placement: policyv1alpha1.Placement{
				ClusterAffinity: &policyv1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{fleetv1alpha1.LabelPool: "members"}}},
				ReplicaScheduling: &policyv1alpha1.ReplicaSchedulingStrategy{
					ReplicaSchedulingType: policyv1alpha1.ReplicaSchedulingTypeDivided, ReplicaDivisionPreference: policyv1alpha1.ReplicaDivisionPreferenceWeighted,
					WeightPreference: &policyv1alpha1.ClusterPreferences{DynamicWeight: policyv1alpha1.DynamicWeightByAvailableReplicas},
				},
			},
		},
	}
}

// fleet places a pool when it has a plan.
func (p *placing) fleet(context.Context, *run) (string, starter, error) {
	return fleetv1alpha1.SchedulerName, func(ctx context.Context, pool string) error {
		plan := &fleetv1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Name: pool}}
		for i := range bindingMembers {
			plan.Spec.Members = append(plan.Spec.Members, fleetv1alpha1.PlanMember{Name: fmt.Sprintf("m-%d", i)})
		}
		if err := p.karmada.Create(ctx, plan); err != nil {
			return fmt.Errorf("cannot create the plan of %s: %w", pool, err)
		}
		return nil
	}, nil
}

// climb finds out with which QPS karmada-scheduler is fastest.
func (p *placing) climb(ctx context.Context, r *run) (string, starter, error) {
	if err := p.startEstimators(ctx); err != nil {
		return "", nil, err
	}
	best, fastest := 0, 0.0
	for _, qps := range bindingQPS {
		name := fmt.Sprintf("qps-%d", qps)
		var started *process.Process
		got, err := p.place(ctx, name, name, bindingRung, true, func(ctx context.Context, _ string) (err error) {
			started, err = p.startScheduler(ctx, name, qps)
			return err
		})
		if err != nil {
			return "", nil, err
		}
		started.Stop()
		r.log.Printf("karmada-scheduler, QPS %d (0: its defaults): %.1f bindings a second", qps, got.drained)
		if got.drained < fastest*betterBy {
			break
		}
		best, fastest = qps, got.drained
	}
	const name = "fastest"
	once := sync.OnceValue(func() error {
		_, err := p.startScheduler(ctx, name, best)
		return err
	})
	return name, func(context.Context, string) error { return once() }, nil
}

// startScheduler starts a karmada-scheduler that asks Karmada's own estimators.
func (p *placing) startScheduler(ctx context.Context, name string, qps int) (*process.Process, error) {
	args := []string{
		"--kubeconfig=" + p.Plane(stack.Karmada).KubeconfigPath(), "--feature-gates=CustomizedClusterResourceModeling=false",
		"--leader-elect=false", "--scheduler-name=" + name, "--enable-scheduler-estimator",
	}
	if qps > 0 {
		for _, f := range []string{"kube-api-qps", "kube-api-burst", "rate-limiter-qps", "rate-limiter-bucket-size"} {
			args = append(args, fmt.Sprintf("--%s=%d", f, qps))
		}
	}
	return p.startProgram(ctx, "karmada-scheduler-"+name, binaries.KarmadaScheduler, 0, args...)
}

// startEstimators starts Karmada's own estimator of each member.
func (p *placing) startEstimators(ctx context.Context) error {
	for i := range bindingMembers {
		name := fmt.Sprintf("m-%d", i)
		reserved, err := ports.ReserveN(1)
		if err != nil {
			return fmt.Errorf("cannot reserve a port: %w", err)
		}
		p.ports = append(p.ports, reserved...)
		if _, err := p.startProgram(ctx, "estimator-"+name, binaries.KarmadaEstimator, reserved[0],
			"--kubeconfig="+p.Plane(name).KubeconfigPath(), "--cluster-name="+name, "--server-port="+strconv.Itoa(reserved[0]),
		); err != nil {
			return err
		}
		if err := p.karmada.Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "karmada-system", Name: "karmada-scheduler-estimator-" + name},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: []corev1.ServicePort{{
				Name: "grpc", Port: 10352, TargetPort: intstr.FromInt(reserved[0]),
			}}},
		}); err != nil {
			return fmt.Errorf("cannot announce the estimator of %s: %w", name, err)
		}
	}
	return nil
}

// startProgram starts one of Karmada's programs.
func (p *placing) startProgram(ctx context.Context, name, program string, port int, args ...string) (*process.Process, error) {
	reserved, err := ports.ReserveN(2)
	if err != nil {
		return nil, fmt.Errorf("cannot reserve ports: %w", err)
	}
	p.ports = append(p.ports, reserved...)
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	started, err := p.procs.Start(ctx, process.Spec{
		Name: name, Path: p.bins.Path(program), Port: port, Health: "http://" + at(reserved[1]) + "/healthz", Grace: process.NoGrace,
		Args: append([]string{"--metrics-bind-address=" + at(reserved[0]), "--health-probe-bind-address=" + at(reserved[1])}, args...),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	return started, nil
}
