package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/apis/fleet/crds"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/internal/fleet/controller"
	"regionpool.io/provider-regionpool/internal/fleet/estimator"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
	"regionpool.io/provider-regionpool/test/day"
)

const (
	// dayWrites are made at a time.
	dayWrites = 8
	// dayQuiet is for how long nothing may have happened before a binding that
	// had no place is thought to have none still: that it failed again is not
	// written anywhere.
	dayQuiet = 250 * time.Millisecond
	// dayTimeout bounds one decision of karmada-scheduler about all bindings.
	dayTimeout = time.Minute
)

// A karmadaDay has a real karmada-scheduler place the services of a day, by
// overflowAffinities as a PlacementPolicy of mode Overflow writes them. Clusters
// exist only by their status, which is written from the world before each
// decision; the cloud member has the capacity of all nodes that may be rented,
// because karmada-scheduler sends nothing to a cluster that has none yet.
type karmadaDay struct {
	day     *day.Day
	karmada client.Client
	cache   cache.Cache
	// mirrors of the members for the estimator, if there is one.
	mirrors []*mirror
	// touched counts how often bindings were offered again.
	touched int
	// last replicas wanted.
	last []int32
}

func liveWithKarmada(ctx context.Context, r *run, d *day.Day, sim simulation.Simulator, estimates bool, told func(int)) (day.Result, error) {
	st, err := stack.Start(ctx, stack.Options{
		Dir: filepath.Join(r.dir, fmt.Sprintf("day-%t", estimates)), WithoutHost: true, WithoutCloud: true, Members: []stack.Member{},
		Parts: map[stack.Part]stack.PartOptions{stack.Fleet: {Disabled: true}},
		KarmadaArgs: map[string][]string{
			// Clusters are what the bench says of them: nobody looks for members.
			"karmada-controller-manager": {"--controllers=remedy"},
			"karmada-scheduler": {
				"--kube-api-qps=5000", "--kube-api-burst=10000", "--rate-limiter-qps=5000", "--rate-limiter-bucket-size=10000",
				"--enable-scheduler-estimator=" + strconv.FormatBool(estimates),
			},
		},
	}, r.log)
	if err != nil {
		return day.Result{}, fmt.Errorf("cannot start the stack: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	out, err := func() (day.Result, error) {
		k := &karmadaDay{day: d, last: make([]int32, len(d.Services))}
		if err := k.prepare(ctx, st, estimates); err != nil {
			return day.Result{}, err
		}
		return d.Theirs(ctx, sim, k, told)
	}()
	cancel()
	return out, errors.Join(err, st.Close())
}

func (k *karmadaDay) prepare(ctx context.Context, st *stack.Stack, estimates bool) error {
	scheme := runtime.NewScheme()
	b := runtime.NewSchemeBuilder(clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, clusterv1alpha1.Install, workv1alpha2.Install, fleetv1alpha1.AddToScheme)
	if err := b.AddToScheme(scheme); err != nil {
		return fmt.Errorf("cannot build scheme: %w", err)
	}
	cfg := rest.CopyConfig(st.RESTConfig(stack.Karmada))
	cfg.QPS = -1
	var err error
	if k.karmada, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("cannot make client of the workload plane: %w", err)
	}
	if k.cache, err = cache.New(cfg, cache.Options{Scheme: scheme, DefaultTransform: cache.TransformStripManagedFields()}); err != nil {
		return fmt.Errorf("cannot make a cache of the workload plane: %w", err)
	}
	// It ends with the day.
	go func() { _ = k.cache.Start(ctx) }()
	if err := ensureNamespace(ctx, k.karmada, day.Namespace); err != nil {
		return err
	}
	names := append([]string{day.CloudMember}, day.HomeMembers...)
	if estimates {
		if err := controller.InstallCRDs(ctx, k.karmada, crds.FS); err != nil {
			return err
		}
		if err := k.startEstimator(ctx, names); err != nil {
			return err
		}
	}
	w := k.day.World(nil)
	for _, name := range names {
		c := &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: clusterv1alpha1.ClusterSpec{SyncMode: clusterv1alpha1.Push, APIEndpoint: "https://" + name + ".invalid"}}
		if err := k.karmada.Create(ctx, c); err != nil {
			return fmt.Errorf("cannot create cluster %s: %w", name, err)
		}
	}
	if err := k.describe(ctx, w); err != nil {
		return err
	}
	if estimates {
		if err := connected(ctx, st, names); err != nil {
			return err
		}
	}
	var g errgroup.Group
	g.SetLimit(dayWrites)
	for _, s := range k.day.Services {
		g.Go(func() error { return k.create(ctx, s) })
	}
	return g.Wait()
}

// connected waits until karmada-scheduler says that it has found the estimators.
func connected(ctx context.Context, st *stack.Stack, names []string) error {
	return poll(ctx, lookEvery, settleTimeout, func(context.Context) (string, error) {
		b, err := os.ReadFile(st.Process("karmada-scheduler").LogPath())
		if err != nil {
			return "", fmt.Errorf("cannot read what karmada-scheduler says: %w", err)
		}
		for _, name := range names {
			if !strings.Contains(string(b), "of cluster("+name+") has been established") {
				return "the estimator of " + name, nil
			}
		}
		return "", nil
	})
}

// create a service: the workload, which the estimator reads, and its binding as
// Karmada's detector makes it.
func (k *karmadaDay) create(ctx context.Context, s *day.Service) error {
	labels := map[string]string{"app": s.Name}
	dep := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: day.Namespace, Name: s.Name},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: s.Template.Spec},
	}
	if err := k.karmada.Create(ctx, dep); err != nil {
		return fmt.Errorf("cannot create %s: %w", s.Name, err)
	}
	rb := &workv1alpha2.ResourceBinding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: day.Namespace, Name: bindingOf(s),
			Labels: map[string]string{policyv1alpha1.ClusterPropagationPolicyPermanentIDLabel: "day"},
		},
		Spec: workv1alpha2.ResourceBindingSpec{
			Resource: workv1alpha2.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: day.Namespace, Name: s.Name, UID: dep.UID},
			Replicas: 0, SchedulerName: "default-scheduler",
			ReplicaRequirements: &workv1alpha2.ReplicaRequirements{Namespace: day.Namespace, ResourceRequest: s.Template.Spec.Spec.Containers[0].Resources.Requests},
			Placement: &policyv1alpha1.Placement{
				ClusterAffinities: []policyv1alpha1.ClusterAffinityTerm{{
					AffinityName: "self-built", ClusterAffinity: policyv1alpha1.ClusterAffinity{ClusterNames: day.HomeMembers},
					OverflowAffinities: []policyv1alpha1.OverflowClusterAffinity{{AffinityName: "cloud", ClusterAffinity: policyv1alpha1.ClusterAffinity{ClusterNames: []string{day.CloudMember}}}},
				}},
				ReplicaScheduling: &policyv1alpha1.ReplicaSchedulingStrategy{
					ReplicaSchedulingType: policyv1alpha1.ReplicaSchedulingTypeDivided, ReplicaDivisionPreference: policyv1alpha1.ReplicaDivisionPreferenceWeighted,
					WeightPreference: &policyv1alpha1.ClusterPreferences{DynamicWeight: policyv1alpha1.DynamicWeightByAvailableReplicas},
				},
			},
		},
	}
	if err := k.karmada.Create(ctx, rb); err != nil {
		return fmt.Errorf("cannot create the binding of %s: %w", s.Name, err)
	}
	return nil
}

func bindingOf(s *day.Service) string { return s.Name + "-deployment" }

// describe the members in the status of their clusters, as Karmada's own
// controller does.
func (k *karmadaDay) describe(ctx context.Context, w *day.World) error {
	for _, m := range w.Members {
		c := &clusterv1alpha1.Cluster{}
		if err := k.karmada.Get(ctx, client.ObjectKey{Name: m.Name}, c); err != nil {
			return fmt.Errorf("cannot read cluster %s: %w", m.Name, err)
		}
		nodes, pods := m.Objects()
		have := corev1.ResourceList{}
		count := len(nodes)
		if m.Elastic {
			count = int(k.day.Offering.Max)
			have = times(k.day.Offering.Allocatable, count)
		}
		for _, n := range nodes {
			if !m.Elastic {
				have = times(n.Status.Allocatable, count)
				break
			}
		}
		on, waiting := corev1.ResourceList{}, corev1.ResourceList{}
		for name := range have {
			a, b := day.Sum(pods, name)
			on[name], waiting[name] = quantity(name, a), quantity(name, b)
		}
		base := c.DeepCopy()
		c.Status.ResourceSummary = &clusterv1alpha1.ResourceSummary{Allocatable: have, Allocated: on, Allocating: waiting}
		c.Status.NodeSummary = &clusterv1alpha1.NodeSummary{TotalNum: int32(count), ReadyNum: int32(count)}
		c.Status.APIEnablements = []clusterv1alpha1.APIEnablement{{GroupVersion: "apps/v1", Resources: []clusterv1alpha1.APIResource{{Name: "deployments", Kind: "Deployment"}}}}
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: clusterv1alpha1.ClusterConditionReady, Status: metav1.ConditionTrue, Reason: "ClusterReady", Message: "simulated"})
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: clusterv1alpha1.ClusterConditionCompleteAPIEnablements, Status: metav1.ConditionTrue, Reason: "Complete", Message: "simulated"})
		if err := k.karmada.Status().Patch(ctx, c, client.MergeFrom(base)); err != nil {
			return fmt.Errorf("cannot describe cluster %s: %w", m.Name, err)
		}
	}
	return nil
}

func times(l corev1.ResourceList, n int) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range l {
		q = q.DeepCopy()
		q.Mul(int64(n))
		out[name] = q
	}
	return out
}

func quantity(name corev1.ResourceName, n int64) resource.Quantity {
	if name == corev1.ResourcePods {
		return *resource.NewQuantity(n, resource.DecimalSI)
	}
	return *resource.NewMilliQuantity(n, resource.DecimalSI)
}

// Place has karmada-scheduler divide what changed, and what it gave no place.
func (k *karmadaDay) Place(ctx context.Context, w *day.World, wanted []int32) ([]map[string]int32, error) {
	if err := k.describe(ctx, w); err != nil {
		return nil, err
	}
	for _, m := range k.mirrors {
		if err := m.follow(ctx, w.Member(m.name)); err != nil {
			return nil, err
		}
	}
	before, err := k.bindings(ctx)
	if err != nil {
		return nil, err
	}
	// The status of the clusters is on its way to karmada-scheduler.
	if err := sleep(ctx, dayQuiet/5); err != nil {
		return nil, err
	}
	k.touched++
	var mu sync.Mutex
	generations, again := map[string]int64{}, false
	var g errgroup.Group
	g.SetLimit(dayWrites)
	for i, s := range k.day.Services {
		rb := before[bindingOf(s)]
		if rb == nil {
			return nil, fmt.Errorf("there is no binding of %s", s.Name)
		}
		patch := ""
		switch {
		case k.last[i] != wanted[i]:
			patch = fmt.Sprintf(`{"spec":{"replicas":%d}}`, wanted[i])
		case given(rb) != wanted[i]:
			// Karmada's detector would do so as the workload's status changes.
			patch = fmt.Sprintf(`{"spec":{"resource":{"resourceVersion":"%d"}}}`, k.touched)
			again = true
		default:
			continue
		}
		k.last[i] = wanted[i]
		g.Go(func() error {
			out := &workv1alpha2.ResourceBinding{ObjectMeta: metav1.ObjectMeta{Namespace: rb.Namespace, Name: rb.Name}}
			if err := k.karmada.Patch(ctx, out, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
				return fmt.Errorf("cannot say what is wanted of %s: %w", rb.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			generations[out.Name] = out.Generation
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	after, err := k.decided(ctx, generations, again)
	if err != nil {
		return nil, err
	}
	out := make([]map[string]int32, 0, len(k.day.Services))
	for _, s := range k.day.Services {
		places := map[string]int32{}
		for _, c := range after[bindingOf(s)].Spec.Clusters {
			places[c.Name] += c.Replicas
		}
		out = append(out, places)
	}
	return out, nil
}

func given(rb *workv1alpha2.ResourceBinding) int32 {
	n := int32(0)
	for _, c := range rb.Spec.Clusters {
		n += c.Replicas
	}
	return n
}

func (k *karmadaDay) bindings(ctx context.Context) (map[string]*workv1alpha2.ResourceBinding, error) {
	list := &workv1alpha2.ResourceBindingList{}
	if err := k.cache.List(ctx, list, client.InNamespace(day.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("cannot list bindings: %w", err)
	}
	out := make(map[string]*workv1alpha2.ResourceBinding, len(list.Items))
	for i := range list.Items {
		out[list.Items[i].Name] = &list.Items[i]
	}
	return out, nil
}

// decided waits until karmada-scheduler has decided about bindings of the given
// generations, and about those it was offered again.
func (k *karmadaDay) decided(ctx context.Context, generations map[string]int64, again bool) (map[string]*workv1alpha2.ResourceBinding, error) {
	var out map[string]*workv1alpha2.ResourceBinding
	versions, since := map[string]string{}, time.Now()
	err := poll(ctx, dayQuiet/10, dayTimeout, func(ctx context.Context) (string, error) {
		var err error
		if out, err = k.bindings(ctx); err != nil {
			return "", err
		}
		now := make(map[string]string, len(out))
		failed := again
		for name, rb := range out {
			now[name] = rb.ResourceVersion
			g := generations[name]
			if g == 0 {
				continue
			}
			if rb.Generation < g {
				return "the cache sees " + name, nil
			}
			c := meta.FindStatusCondition(rb.Status.Conditions, workv1alpha2.Scheduled)
			switch {
			case rb.Status.SchedulerObservedGeneration >= g:
			case c != nil && c.Status == metav1.ConditionFalse:
				failed = true
			default:
				return "karmada-scheduler looks at " + name, nil
			}
		}
		if !maps.Equal(now, versions) {
			versions, since = now, time.Now()
		}
		if failed && time.Since(since) < dayQuiet {
			return "nothing happens", nil
		}
		return "", nil
	})
	return out, err
}

// A mirror shows a member of the world to the estimator, by an API that is only
// thought of.
type mirror struct {
	name   string
	api    *fake.Clientset
	member *snapshot.Member
	spare  []*corev1.Node
	nodes  map[string]*corev1.Node
	pods   map[string]*corev1.Pod
}

// startEstimator starts fleet's estimator over mirrors of the members, and tells
// karmada-scheduler where it is.
func (k *karmadaDay) startEstimator(ctx context.Context, names []string) error {
	reserved, err := ports.ReserveN(1)
	if err != nil {
		return fmt.Errorf("cannot reserve a port: %w", err)
	}
	// The port is the estimator's until the day ends.
	context.AfterFunc(ctx, func() { ports.Release(reserved...) })
	registry := snapshot.NewRegistry()
	for _, name := range names {
		m := &mirror{name: name, api: fake.NewClientset(), nodes: map[string]*corev1.Node{}, pods: map[string]*corev1.Pod{}}
		m.member = snapshot.NewMemberForClient(name, m.api, snapshot.WithProbe(func(context.Context) error { return nil }, time.Second, time.Second, 3))
		if name == day.CloudMember {
			for i := range k.day.Offering.Max {
				m.spare = append(m.spare, &corev1.Node{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("spare-%03d", i)},
					Status: corev1.NodeStatus{
						Allocatable: k.day.Offering.Allocatable, Capacity: k.day.Offering.Allocatable,
						Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
					},
				})
			}
		}
		if err := registry.Add(m.member); err != nil {
			return err
		}
		m.member.Start(ctx)
		k.mirrors = append(k.mirrors, m)
	}
	e := estimator.New(estimator.Options{
		Members: registry, Client: k.cache, Live: k.karmada, Cache: k.cache,
		Address: fmt.Sprintf("localhost:%d", reserved[0]), Log: logr.Discard(),
	})
	// It ends with the day.
	go func() { _ = e.Start(ctx) }()
	for _, name := range names {
		if err := k.karmada.Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: estimator.DefaultNamespace, Name: estimator.DefaultPrefix + "-" + name},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: []corev1.ServicePort{{
				Name: "grpc", Port: estimator.DefaultPort, TargetPort: intstr.FromInt(reserved[0]),
			}}},
		}); err != nil {
			return fmt.Errorf("cannot announce the estimator of %s: %w", name, err)
		}
	}
	return nil
}

// follow a member of the world, and wait until the estimator can see it. Nodes
// that may be rented are there as if they were.
func (m *mirror) follow(ctx context.Context, of *day.Member) error {
	nodes, pods := of.Objects()
	nodes = maps.Clone(nodes)
	for _, n := range m.spare[min(len(m.spare), len(nodes)):] {
		nodes[n.Name] = n
	}
	if err := conform(nodes, m.nodes, func(n *corev1.Node) error {
		_, err := m.api.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{})
		return err
	}, func(n *corev1.Node) error {
		_, err := m.api.CoreV1().Nodes().Update(ctx, n, metav1.UpdateOptions{})
		return err
	}, func(n *corev1.Node) error {
		return m.api.CoreV1().Nodes().Delete(ctx, n.Name, metav1.DeleteOptions{})
	}); err != nil {
		return fmt.Errorf("cannot mirror the nodes of %s: %w", m.name, err)
	}
	inNamespace := m.api.CoreV1().Pods(day.Namespace)
	if err := conform(pods, m.pods, func(p *corev1.Pod) error {
		_, err := inNamespace.Create(ctx, p, metav1.CreateOptions{})
		return err
	}, func(p *corev1.Pod) error {
		_, err := inNamespace.Update(ctx, p, metav1.UpdateOptions{})
		return err
	}, func(p *corev1.Pod) error {
		return inNamespace.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
	}); err != nil {
		return fmt.Errorf("cannot mirror the pods of %s: %w", m.name, err)
	}
	want := of.Snapshot()
	return poll(ctx, dayQuiet/50, settleTimeout, func(context.Context) (string, error) {
		if s := m.member.Snapshot(); s == nil || s.NumNodes() != len(nodes) || !maps.Equal(s.Workloads(), want.Workloads()) {
			return "the mirror of " + m.name, nil
		}
		return "", nil
	})
}

// conform brings what there is to what there should be.
func conform[T comparable](want, have map[string]T, create, update, remove func(T) error) error {
	for name, o := range have {
		if _, ok := want[name]; !ok {
			if err := remove(o); err != nil {
				return err
			}
			delete(have, name)
		}
	}
	for name, o := range want {
		was, ok := have[name]
		fn := update
		if !ok {
			fn = create
		}
		if was == o {
			continue
		}
		if err := fn(o); err != nil {
			return err
		}
		have[name] = o
	}
	return nil
}
