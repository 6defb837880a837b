package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha1 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
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

	// defaultDeployments are created as fast as Karmada takes them; of them
	// bindingBacklog at most wait already when whoever places them starts. Each
	// rung of karmada-scheduler's QPS is tried with bindingRung.
	defaultDeployments = 5000
	bindingBacklog     = 1000
	bindingRung        = 200

	// bindingGoal is how many times as fast as karmada-scheduler fleet is to be.
	bindingGoal = 10
	// bindingTimeout bounds each part, and bindingPatience how long nothing may
	// come of it.
	bindingTimeout  = 20 * time.Minute
	bindingPatience = 2 * time.Minute
	// tellEvery is how often it is said how far a part is.
	tellEvery = 15 * time.Second
	// betterBy is how much faster a higher QPS must make karmada-scheduler to be
	// raised again.
	betterBy = 1.05

	accurate = "karmada-scheduler, accurate estimators"
)

// A pace is how fast bindings came to be, and to be placed.
type pace struct {
	// endToEnd, detected and drained are bindings a second: from the first create
	// to the last assignment, from the first create to the last binding, and from
	// the first assignment to the last.
	endToEnd, detected, drained float64
	// made is the same from the first create until Karmada has made the last Work
	// of the assignments.
	made float64
	// waited has the seconds from a binding to its assignment, sorted.
	waited []float64
	// cpu is the CPU time until the last assignment, in milliseconds for each
	// binding, by role, and whole that of all until the last Work.
	cpu   map[string]float64
	whole float64
}

// of sums the CPU time of some roles, or of all.
func (p pace) of(roles ...string) float64 {
	sum := 0.0
	for role, ms := range p.cpu {
		if len(roles) == 0 || slices.Contains(roles, role) {
			sum += ms
		}
	}
	return sum
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
	// total is how many Deployments are placed while they are created.
	total int
	tell  func(format string, args ...any)

	mu sync.Mutex
	// sights of bindings by name.
	sights map[types.NamespacedName]sighting
}

// A sighting is when a binding was first seen, and seen with all its replicas
// assigned, to so many members.
type sighting struct {
	seen, assigned time.Time
	members        int
}

// bindings measures how many bindings a second fleet and karmada-scheduler place.
func bindings(ctx context.Context, r *run) (outcome, error) {
	if r.deployments < 1 {
		return outcome{}, fmt.Errorf("cannot place %d Deployments", r.deployments)
	}
	us, usBacklog, err := placeBindings(ctx, r, "ours", nil, (*placing).fleet)
	if err != nil {
		return outcome{}, fmt.Errorf("cannot measure fleet: %w", err)
	}
	without := map[stack.Part]stack.PartOptions{stack.Fleet: {Disabled: true}}
	them, themBacklog, err := placeBindings(ctx, r, "karmada", without, (*placing).climb)
	if err != nil {
		return outcome{}, fmt.Errorf("cannot measure karmada-scheduler: %w", err)
	}
	return comparePaces(r.deployments, us, them, usBacklog, themBacklog), nil
}

// comparePaces compares both sides. Karmada makes bindings no faster than while
// nobody places, so that bounds whoever does.
func comparePaces(n int, us, them, usBacklog, themBacklog pace) outcome {
	var out outcome
	beside := func(name string, fn func(pace) float64, a, b pace) {
		c := ours(name, fn(a))
		c.Rivals[accurate] = round(fn(b))
		out.cases = append(out.cases, c)
	}
	detected := func(p pace) float64 { return p.detected }
	endToEnd := func(p pace) float64 { return p.endToEnd }
	beside(fmt.Sprintf("bindings a second, from create to spec.clusters (%d Deployments, %d members)", n, bindingMembers), endToEnd, us, them)
	beside("bindings a second that Karmada makes of them meanwhile", detected, us, them)
	beside("bindings a second, from create until Karmada has made all Works", func(p pace) float64 { return p.made }, us, them)
	beside(fmt.Sprintf("bindings a second, from a backlog of %d", min(n, bindingBacklog)), func(p pace) float64 { return p.drained }, usBacklog, themBacklog)
	beside("bindings a second that Karmada makes while nobody places", detected, usBacklog, themBacklog)
	bound := (usBacklog.detected + themBacklog.detected) / 2
	beside("share of that bound (the mean of both), from create to spec.clusters", func(p pace) float64 { return p.endToEnd / bound }, us, them)
	beside("times as fast as karmada-scheduler, from create to spec.clusters", func(p pace) float64 { return p.endToEnd / them.endToEnd }, us, them)
	beside("the same from a backlog", func(p pace) float64 { return p.drained / themBacklog.drained }, usBacklog, themBacklog)
	out.cases = append(out.cases, ours("times as fast as karmada-scheduler if placing took no time at all", bound/them.endToEnd))
	for _, q := range []float64{0.5, 0.99} {
		beside(fmt.Sprintf("seconds from binding to spec.clusters, quantile %g", q), func(p pace) float64 { return quantile(p.waited, q) }, us, them)
	}
	beside("CPU milliseconds a binding of all processes until Karmada has made all Works", func(p pace) float64 { return p.whole }, us, them)
	beside("CPU milliseconds a binding until the last is placed", func(p pace) float64 { return p.of() }, us, them)
	roles := map[string]bool{}
	for _, p := range []pace{us, them} {
		for role := range p.cpu {
			roles[role] = true
		}
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		beside("of which "+role, func(p pace) float64 { return p.of(role) }, us, them)
	}
	out.met = us.endToEnd >= bindingGoal*them.endToEnd
	return out
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
	if backlog, err = p.place(ctx, "backlog", scheduler, min(p.total, bindingBacklog), true, start); err != nil {
		return all, backlog, err
	}
	r.log.Printf("%s: from a backlog %.1f a second, Karmada makes %.1f a second before", name, backlog.drained, backlog.detected)
	if all, err = p.place(ctx, "all", scheduler, p.total, false, start); err != nil {
		return all, backlog, err
	}
	r.log.Printf("%s: end to end %.1f a second, Karmada makes %.1f meanwhile, and all Works of %.1f", name, all.endToEnd, all.detected, all.made)
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
	p := &placing{
		Stack: st, rand: rand.New(rand.NewPCG(r.seed, 0)), total: r.deployments,
		tell:   func(format string, args ...any) { r.log.Printf(name+": "+format, args...) },
		sights: map[types.NamespacedName]sighting{},
	}
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
	if given == b.Spec.Replicas {
		s.members = len(b.Spec.Clusters)
		if s.assigned.IsZero() {
			s.assigned = now
		}
	}
	if s != was {
		p.sights[key] = s
	}
}

// await waits until something is so of all Deployments, and returns their
// sightings. An error says that nothing more came of it, or that it took too long.
func (p *placing) await(ctx context.Context, what string, of []types.NamespacedName, is func(sighting) bool) ([]sighting, error) {
	ctx, cancel := context.WithTimeout(ctx, bindingTimeout)
	defer cancel()
	told, moved, had := time.Now(), time.Now(), 0
	for {
		p.mu.Lock()
		var out []sighting
		for _, k := range of {
			if s := p.sights[k]; is(s) {
				out = append(out, s)
			}
		}
		p.mu.Unlock()
		now := time.Now()
		switch {
		case len(out) == len(of):
			return out, nil
		case len(out) > had:
			moved, had = now, len(out)
		case now.Sub(moved) > bindingPatience:
			return nil, fmt.Errorf("%d of %d bindings are %s, and no more for %s", len(out), len(of), what, bindingPatience)
		}
		if now.Sub(told) > tellEvery {
			told = now
			p.tell("%d of %d bindings are %s", len(out), len(of), what)
		}
		// One look for many changes.
		if err := sleep(ctx, lookEvery); err != nil {
			return nil, fmt.Errorf("%d of %d bindings are %s: %w", len(out), len(of), what, err)
		}
	}
}

// awaitWorks waits until Karmada has a Work for each member of each binding that
// was ever placed.
func (p *placing) awaitWorks(ctx context.Context) error {
	want := 0
	p.mu.Lock()
	for _, s := range p.sights {
		want += s.members
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, bindingTimeout)
	defer cancel()
	told, moved, had := time.Now(), time.Now(), 0
	for {
		works := &metav1.PartialObjectMetadataList{}
		works.SetGroupVersionKind(schema.GroupVersion(workv1alpha1.GroupVersion).WithKind("WorkList"))
		// From the API server's cache: it has enough to do.
		if err := p.karmada.List(ctx, works, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}}); err != nil {
			return fmt.Errorf("cannot list Works: %w", err)
		}
		have, now := len(works.Items), time.Now()
		switch {
		case have >= want:
			return nil
		case have > had:
			moved, had = now, have
		case now.Sub(moved) > bindingPatience:
			return fmt.Errorf("there are %d of %d Works, and no more for %s", have, want, bindingPatience)
		}
		if now.Sub(told) > tellEvery {
			told = now
			p.tell("there are %d of %d Works", have, want)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return fmt.Errorf("there are %d of %d Works: %w", have, want, err)
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
	before := p.spent()
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
	since := func() map[string]float64 {
		out := map[string]float64{}
		for role, d := range p.spent() {
			if ms := float64((d - before[role]).Milliseconds()) / float64(n); ms >= 0.05 {
				out[role] = ms
			}
		}
		return out
	}
	out.cpu = since()
	if err := p.awaitWorks(ctx); err != nil {
		return pace{}, err
	}
	out.made = float64(n) / time.Since(began).Seconds()
	out.whole = pace{cpu: since()}.of()
	return out, nil
}

// spent returns the CPU time by role of all that runs now, and of the benchmark
// itself, which creates and watches.
func (p *placing) spent() map[string]time.Duration {
	out := map[string]time.Duration{}
	add := func(name string, pid int) {
		// One that has ended since has no more to tell.
		d, _ := cpuTime(pid)
		out[roleOf(name)] += d
	}
	for _, q := range slices.Concat(p.procs.Processes(), p.Processes()) {
		add(q.Name(), q.PID())
	}
	add("the benchmark itself", os.Getpid())
	return out
}

// roleOf a process: those of all members, and all estimators, count together.
func roleOf(name string) string {
	switch {
	case strings.HasPrefix(name, "m-"):
		return "members"
	case strings.HasPrefix(name, "estimator-"):
		return "estimators"
	}
	return name
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
