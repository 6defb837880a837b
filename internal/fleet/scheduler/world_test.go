package scheduler

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// One kube-scheduler simulation serves all tests: making one takes time.
var simulator = sync.OnceValue(func() simulation.Simulator {
	s, err := simulation.New()
	if err != nil {
		panic(err)
	}
	return s
})

type nodeOption func(*corev1.Node)

func node(name, cpu string, o ...nodeOption) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("110"),
			},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, fn := range o {
		fn(n)
	}
	return n
}

func with(name corev1.ResourceName, q string) nodeOption {
	return func(n *corev1.Node) { n.Status.Allocatable[name] = resource.MustParse(q) }
}

func tainted(key string) nodeOption {
	return func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
}

func nodes(n int, prefix, cpu string) []*corev1.Node {
	out := make([]*corev1.Node, 0, n)
	for i := range n {
		out = append(out, node(fmt.Sprintf("%s-%d", prefix, i), cpu))
	}
	return out
}

// A tester builds the input of a round.
type tester struct {
	t     *testing.T
	in    Input
	nodes map[string][]*corev1.Node
	pods  map[string][]*corev1.Pod
	n     int
}

func newTester(t *testing.T) *tester {
	t.Helper()
	s := DefaultSettings
	// TestSettle is about what waits for a moment.
	s.SettleTime = 0
	return &tester{
		t: t, nodes: map[string][]*corev1.Node{}, pods: map[string][]*corev1.Pod{},
		in: Input{Now: epoch, Settings: s, Pools: []Pool{{Name: "pool", StabilizationWindow: 5 * time.Minute, HeadroomPercent: 5}}},
	}
}

func (w *tester) member(name string, tier int32, ns ...*corev1.Node) *Member {
	p := &w.in.Pools[0]
	p.Members = append(p.Members, Member{Name: name, Tier: tier, Elastic: tier > 0, State: Serving})
	w.nodes[name] = ns
	return &p.Members[len(p.Members)-1]
}

type bindingOption func(*Binding)

func requests(name corev1.ResourceName, q string) bindingOption {
	return func(b *Binding) {
		b.Template.Spec.Spec.Containers[0].Resources.Requests[name] = resource.MustParse(q)
	}
}

func (w *tester) binding(name string, replicas int32, cpu string, assigned map[string]int32, o ...bindingOption) *Binding {
	b := Binding{
		ID: "default/" + name, Pool: "pool", Divided: true, Movable: true, Created: epoch.Add(time.Duration(len(w.in.Bindings)) * time.Second),
		Workload: snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: name},
		Replicas: replicas, Assigned: assigned,
		Template: &Template{Namespace: "default", Options: []simulation.PodOption{simulation.OwnedBy("apps/v1", "Deployment", name)}, Spec: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
			}}}},
		}},
	}
	for _, fn := range o {
		fn(&b)
	}
	w.in.Bindings = append(w.in.Bindings, b)
	return &w.in.Bindings[len(w.in.Bindings)-1]
}

// pod makes a pod of a deployment in a member; without a node it waits.
func (w *tester) pod(member, deployment, node, cpu string, ready bool) *corev1.Pod {
	w.n++
	name := fmt.Sprintf("%s-h-%d", deployment, w.n)
	yes := true
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": deployment, "pod-template-hash": "h"},
			OwnerReferences:   []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-h", UID: types.UID(deployment), Controller: &yes}},
			CreationTimestamp: metav1.NewTime(epoch.Add(-time.Hour)),
		},
		Spec: corev1.PodSpec{NodeName: node, SchedulerName: corev1.DefaultSchedulerName, Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
		}}}},
	}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	w.pods[member] = append(w.pods[member], p)
	return p
}

// run puts pods of a deployment on the nodes of a member in turn, n of them.
func (w *tester) run(member, deployment, cpu string, n int, ready bool) {
	for i := range n {
		ns := w.nodes[member]
		w.pod(member, deployment, ns[i%len(ns)].Name, cpu, ready)
	}
}

func (w *tester) round() Output {
	w.t.Helper()
	for p := range w.in.Pools {
		for i := range w.in.Pools[p].Members {
			m := &w.in.Pools[p].Members[i]
			if m.State == Absent {
				continue
			}
			s, err := snapshot.New(w.nodes[m.Name], w.pods[m.Name])
			if err != nil {
				w.t.Fatal(err)
			}
			m.Snapshot = s
			if m.Simulator == nil {
				m.Simulator = simulator()
			}
		}
	}
	out, err := Run(context.Background(), w.in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func assigned(d Decision) map[string]int32 {
	out := map[string]int32{}
	for _, t := range d.Targets {
		out[t.Member] = t.Replicas
	}
	return out
}
