package virtual

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/clock"
	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	testCluster = "c1"
	testNode    = "virtual-1"
	testType    = "pods"
)

var testKey = stock.Key{Region: "r", Zone: "z", Type: testType}

// hooks of a cloud that has nothing but virtual nodes.
type hooks struct{ *Runtime }

func (hooks) EnsureLoadBalancer(string, string, string) (string, error) { return "", nil }
func (hooks) ReleaseLoadBalancer(string, string)                        {}
func (hooks) EnsureVolume(string, string, string, int) (string, error)  { return "", nil }
func (hooks) ReleaseVolume(string, string)                              {}

// A world has one cluster with one virtual node, and 10 vCPU for it.
type world struct {
	cloud   *cloud.Cloud
	runtime *Runtime
	cluster *backend.MemoryCluster
}

func newWorld(t *testing.T, c config.Virtual) *world {
	t.Helper()
	m := backend.NewMemory()
	w := &world{cloud: cloud.New(config.Config{}, clock.NewManual(time.Unix(1_000_000, 0)), 1, m)}
	w.cloud.Stock.Set(stock.Item{Key: testKey, Count: 10})
	n := 0
	w.runtime = New(context.Background(), w.cloud, Options{
		Config: c, Kind: ledger.ECIPod, StockType: testType, CacheAnnotation: "cache",
		NewID: func() string { n++; return fmt.Sprintf("eci-%d", n) },
	}, slog.New(slog.DiscardHandler))
	if _, err := m.Create(t.Context(), backend.Spec{ID: testCluster}, hooks{w.runtime}); err != nil {
		t.Fatalf("Create(...): %v", err)
	}
	w.cluster = m.Cluster(testCluster)
	w.cloud.Ledger.Create(ledger.Object{Kind: ledger.Cluster, ID: testCluster, Root: true})
	err := w.runtime.Add(t.Context(), w.cluster, Node{
		Node: backend.Node{Name: testNode, Capacity: Capacity(), Allocatable: Capacity()}, Cluster: testCluster, Owner: "uid", Region: "r", Zone: "z", Parent: testCluster,
	})
	if err != nil {
		t.Fatalf("Add(...): %v", err)
	}
	return w
}

func testConfig() config.Virtual {
	return config.Virtual{
		Start: config.Range{10, 10}, PullSeconds: 50, ImageMB: 400, Images: map[string]float64{"small": 40}, Retry: config.Range{15, 15},
		CPUHour: 1, MemoryHour: 0.5, GPUHour: 10, DefaultCPU: 2, DefaultMemoryGiB: 4,
	}
}

type podOption func(*corev1.Pod)

func newPod(name, cpu, memory string, o ...podOption) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.PodSpec{NodeName: testNode, Containers: []corev1.Container{{Name: "main", Image: "app"}}},
	}
	if cpu != "" {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	for _, f := range o {
		f(p)
	}
	return p
}

func controlledBy(kind string) podOption {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: "x", UID: "x", Controller: ptr.To(true)}}
	}
}

func image(name string) podOption {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Image = name }
}

func cached(value string) podOption {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{"cache": value} }
}

func (w *world) bind(t *testing.T, p *corev1.Pod) {
	t.Helper()
	if err := w.cluster.BindPod(p); err != nil {
		t.Fatalf("BindPod(...): %v", err)
	}
}

func (w *world) phase(t *testing.T, name string) corev1.PodPhase {
	t.Helper()
	p, _, ok := w.cluster.Pod("default", name)
	if !ok {
		t.Fatalf("Pod %s does not exist", name)
	}
	return p.Status.Phase
}

// TestStart says how long pods take.
func TestStart(t *testing.T) {
	type want struct{ Before, After corev1.PodPhase }
	cases := map[string]struct {
		reason string
		config func(*config.Virtual)
		before []*corev1.Pod // whose images are pulled first
		pod    *corev1.Pod
		takes  time.Duration
	}{
		"Uncached":   {reason: "An image of unknown size counts as 400 MB.", pod: newPod("p", "1", "1Gi"), takes: 60 * time.Second},
		"Small":      {reason: "A pull takes as long as the image is large.", pod: newPod("p", "1", "1Gi", image("small")), takes: 15 * time.Second},
		"NoCache":    {reason: "Without the cache every pod pulls.", before: []*corev1.Pod{newPod("q", "1", "1Gi")}, pod: newPod("p", "1", "1Gi"), takes: 60 * time.Second},
		"CacheCold":  {reason: "The first pod pulls, cache or not.", pod: newPod("p", "1", "1Gi", cached("true")), takes: 60 * time.Second},
		"CacheWarm":  {reason: "The second finds the image.", before: []*corev1.Pod{newPod("q", "1", "1Gi", cached("true"))}, pod: newPod("p", "1", "1Gi", cached("true")), takes: 10 * time.Second},
		"CacheOther": {reason: "The cache holds what was pulled.", before: []*corev1.Pod{newPod("q", "1", "1Gi", cached("true"), image("other"))}, pod: newPod("p", "1", "1Gi", cached("true")), takes: 60 * time.Second},
		"CacheOff":   {reason: "A pod can do without the cache.", before: []*corev1.Pod{newPod("q", "1", "1Gi", cached("true"))}, pod: newPod("p", "1", "1Gi", cached("false")), takes: 60 * time.Second},
		"CacheConfigured": {
			reason: "The configuration can switch the cache on for all pods.", config: func(c *config.Virtual) { c.ImageCache = true },
			before: []*corev1.Pod{newPod("q", "1", "1Gi")}, pod: newPod("p", "1", "1Gi"), takes: 10 * time.Second,
		},
		"InitContainer": {
			reason: "Images of init containers are pulled too, each once.",
			pod: newPod("p", "1", "1Gi", func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "init"}, {Name: "again", Image: "app"}}
			}), takes: 110 * time.Second,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := testConfig()
			if tc.config != nil {
				tc.config(&c)
			}
			w := newWorld(t, c)
			for _, p := range tc.before {
				w.bind(t, p)
				w.cloud.Clock.Step(time.Hour)
			}
			w.bind(t, tc.pod)
			w.cloud.Clock.Step(tc.takes - time.Second)
			got := want{Before: w.phase(t, "p")}
			w.cloud.Clock.Step(time.Second)
			got.After = w.phase(t, "p")
			if diff := cmp.Diff(want{Before: corev1.PodPending, After: corev1.PodRunning}, got); diff != "" {
				t.Errorf("\n%s\nStart: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestRefused says which pods cannot run on virtual nodes.
func TestRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		option podOption
		want   corev1.PodPhase
	}{
		"DaemonSet":   {reason: "There is no machine for a daemon.", option: controlledBy("DaemonSet"), want: corev1.PodFailed},
		"HostNetwork": {reason: "There is no host.", option: func(p *corev1.Pod) { p.Spec.HostNetwork = true }, want: corev1.PodFailed},
		"Privileged": {reason: "There is no host to be privileged on.", want: corev1.PodFailed, option: func(p *corev1.Pod) {
			p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
		}},
		"ReplicaSet": {reason: "Other controllers' pods run.", option: controlledBy("ReplicaSet"), want: corev1.PodRunning},
		"Job":        {reason: "A Job's pod ends once it has run.", option: controlledBy("Job"), want: corev1.PodSucceeded},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			w.bind(t, newPod("p", "1", "1Gi", tc.option))
			w.cloud.Clock.Step(time.Minute)
			if diff := cmp.Diff(tc.want, w.phase(t, "p")); diff != "" {
				t.Errorf("\n%s\nphase: -want, +got:\n%s", tc.reason, diff)
			}
			p, events, _ := w.cluster.Pod("default", "p")
			if tc.want == corev1.PodFailed && (p.Status.Reason != ReasonFailed || len(events) != 1 || events[0].Reason != "ProviderCreateFailed") {
				t.Errorf("\n%s\nA refused pod does not say why: %+v, events %+v", tc.reason, p.Status, events)
			}
			if running := tc.want == corev1.PodRunning; running != (w.cloud.Stock.Count(testKey) == 9) {
				t.Errorf("\n%s\nThere are %d vCPU left", tc.reason, w.cloud.Stock.Count(testKey))
			}
		})
	}
}

// TestBill: pods are billed by their requests and by the second, from the making
// of the instance until they are gone.
func TestBill(t *testing.T) {
	cases := map[string]struct {
		reason string
		pod    *corev1.Pod
		want   float64 // hourly
	}{
		"Requests": {reason: "vCPU and GiB are priced.", pod: newPod("p", "500m", "3Gi"), want: 0.5 + 1.5},
		"Nothing":  {reason: "A pod without requests gets the default size.", pod: newPod("p", "", ""), want: 2 + 2},
		"GPU": {reason: "GPUs come on top, also as limits only.", want: 1 + 0.5 + 20, pod: newPod("p", "1", "1Gi", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{gpuResource: resource.MustParse("2")}
		})},
		"InitContainer": {reason: "A larger init container counts.", want: 4 + 0.5, pod: newPod("p", "1", "1Gi", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Image: "app", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}}}}
		})},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			w.bind(t, tc.pod)
			w.cloud.Clock.Step(90 * time.Second)
			w.cluster.DeletePod("default", "p")
			w.cloud.Clock.Step(time.Hour)
			r := w.cloud.Ledger.Report()
			if got, want := r.CostByKind[ledger.ECIPod], tc.want/40; math.Abs(got-want) > 1e-9 {
				t.Errorf("\n%s\ncost of 90 seconds: want %v, got %v", tc.reason, want, got)
			}
			if len(r.Leaked) > 0 || w.cloud.Stock.Count(testKey) != 10 || len(w.runtime.Pods("", "")) != 0 {
				t.Errorf("\n%s\nA pod that is gone left something: %+v, %d vCPU", tc.reason, r.Leaked, w.cloud.Stock.Count(testKey))
			}
		})
	}
}

// TestNoStock: what finds no capacity stays Pending, says so, costs nothing, and
// starts when there is some again.
func TestNoStock(t *testing.T) {
	w := newWorld(t, testConfig())
	for i := range 21 {
		w.bind(t, newPod(fmt.Sprintf("p%d", i), "500m", "1Gi"))
	}
	w.cloud.Clock.Step(10 * time.Minute)
	if got := w.phase(t, "p19"); got != corev1.PodRunning {
		t.Errorf("10 vCPU are not enough for 20 pods of half of one: %s", got)
	}
	p, events, _ := w.cluster.Pod("default", "p20")
	want := corev1.PodCondition{Type: ConditionCreated, Status: corev1.ConditionFalse, Reason: ReasonNoStock}
	got := p.Status.Conditions[0]
	got.Message, got.LastTransitionTime = "", metav1.Time{}
	if diff := cmp.Diff(want, got); diff != "" || p.Status.Phase != corev1.PodPending {
		t.Errorf("A pod without capacity is %s: -want, +got:\n%s", p.Status.Phase, diff)
	}
	if len(events) != 1 || events[0].Reason != ReasonNoStock {
		t.Errorf("A pod without capacity has events %+v", events)
	}
	if live := w.cloud.Ledger.Live(func(o ledger.Object) bool { return o.Kind == ledger.ECIPod }); len(live) != 20 {
		t.Errorf("%d pods are billed, want 20", len(live))
	}

	w.cloud.Stock.Set(stock.Item{Key: testKey, Count: 5})
	w.cloud.Clock.Step(61 * time.Second)
	if got := w.phase(t, "p20"); got != corev1.PodRunning {
		t.Errorf("A minute after the restock the pod is %s", got)
	}
	if left := w.cloud.Stock.Count(testKey); left != 4 {
		t.Errorf("%d vCPU are left, want 4", left)
	}
	for i := range 21 {
		w.cluster.DeletePod("default", fmt.Sprintf("p%d", i))
	}
	if left := w.cloud.Stock.Count(testKey); left != 15 {
		t.Errorf("%d vCPU are left without pods, want 15", left)
	}
}

// TestEnds: pods end with their node, their cluster, and when evicted.
func TestEnds(t *testing.T) {
	cases := map[string]struct {
		reason string
		end    func(w *world)
	}{
		"Node":    {reason: "A node takes its pods with it.", end: func(w *world) { _ = w.runtime.Remove(context.Background(), testCluster, testNode) }},
		"Cluster": {reason: "So does a cluster.", end: func(w *world) { w.runtime.End(testCluster) }},
		"Drain":   {reason: "Drained pods are gone.", end: func(w *world) { _, _, _ = w.cluster.Drain(context.Background(), testNode) }},
		"Gone": {reason: "The news of a deletion may come twice.", end: func(w *world) {
			for range 2 {
				w.runtime.PodGone(testCluster, types.UID("uid-default-p"))
			}
		}},
		"NodeTwice": {reason: "A node can be removed again.", end: func(w *world) {
			for range 2 {
				_ = w.runtime.Remove(context.Background(), testCluster, testNode)
			}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			w.bind(t, newPod("p", "1", "1Gi"))
			w.cloud.Clock.Step(30 * time.Second)
			tc.end(w)
			w.cloud.Clock.Step(time.Hour)
			live := w.cloud.Ledger.Live(func(o ledger.Object) bool { return o.Kind == ledger.ECIPod })
			if len(live) > 0 || w.cloud.Stock.Count(testKey) != 10 {
				t.Errorf("\n%s\n%d pods are billed, %d vCPU are left", tc.reason, len(live), w.cloud.Stock.Count(testKey))
			}
		})
	}
}
