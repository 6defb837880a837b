package joint

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	classLabel = "class"
	taintKey   = "special"
	gpu        = corev1.ResourceName("nvidia.com/gpu")
)

func sizes(cpu, mib, gpus int64) corev1.ResourceList {
	out := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(cpu, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(mib<<20, resource.BinarySI),
	}
	if gpus > 0 {
		out[gpu] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	return out
}

// Place asks the scheduler, and returns what it adds in each member.
func Place(ctx context.Context, c *Case, settings scheduler.Settings, s simulation.Simulator) ([]counts, error) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	pool := scheduler.Pool{Name: "pool", StabilizationWindow: time.Hour}
	for i := range c.Members {
		m, err := member(c, i, s)
		if err != nil {
			return nil, err
		}
		pool.Members = append(pool.Members, m)
	}
	in := scheduler.Input{Now: now, Settings: settings, Pools: []scheduler.Pool{pool}}
	for i := range c.Workloads {
		in.Bindings = append(in.Bindings, bindingOf(c, i, now))
	}
	out, err := scheduler.Run(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("cannot place: %w", err)
	}
	placed := make([]counts, len(c.Members))
	for _, d := range out.Decisions {
		var w int
		if _, err := fmt.Sscanf(d.Binding, "default/w%d", &w); err != nil {
			return nil, fmt.Errorf("there is a decision about %q: %w", d.Binding, err)
		}
		for _, t := range d.Targets {
			var m int
			if _, err := fmt.Sscanf(t.Member, "m%d", &m); err != nil {
				return nil, fmt.Errorf("a target is %q: %w", t.Member, err)
			}
			if !c.Members[m].Draining {
				placed[m][w] = int8(int(t.Replicas) - c.assigned(m, w))
			}
		}
	}
	return placed, nil
}

func member(c *Case, i int, s simulation.Simulator) (scheduler.Member, error) {
	m := &c.Members[i]
	var nodes []*corev1.Node
	var pods []*corev1.Pod
	for j, n := range m.Nodes {
		name := fmt.Sprintf("n%d", j)
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: n.Zone, classLabel: n.Class}},
			Status:     corev1.NodeStatus{Allocatable: sizes(n.MilliCPU, n.MiB, n.GPU), Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
		}
		node.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("110")
		if n.Tainted {
			node.Spec.Taints = []corev1.Taint{{Key: taintKey, Effect: corev1.TaintEffectNoSchedule}}
		}
		nodes = append(nodes, node)
		for w, k := range n.Running {
			for range k {
				pods = append(pods, pod(c, w, name, len(pods)))
			}
		}
	}
	snap, err := snapshot.New(nodes, pods)
	if err != nil {
		return scheduler.Member{}, fmt.Errorf("cannot make member %d: %w", i, err)
	}
	out := scheduler.Member{Name: fmt.Sprintf("m%d", i), Tier: int32(m.Tier), Elastic: m.Tier > 0, State: scheduler.Serving, Snapshot: snap, Simulator: s}
	if m.Draining {
		out.State, out.Reason = scheduler.Draining, "it leaves"
	}
	return out, nil
}

// pod of a workload on a node.
func pod(c *Case, w int, node string, serial int) *corev1.Pod {
	t := templateOf(c, w)
	name := fmt.Sprintf("w%d", w)
	p := &corev1.Pod{ObjectMeta: *t.ObjectMeta.DeepCopy(), Spec: *t.Spec.DeepCopy()}
	p.Namespace, p.Name = "default", fmt.Sprintf("%s-h-%d", name, serial)
	p.UID, p.Spec.NodeName = types.UID(p.Name), node
	p.Labels["pod-template-hash"] = "h"
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name + "-h", UID: types.UID(name), Controller: ptr.To(true)}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

func templateOf(c *Case, i int) corev1.PodTemplateSpec {
	w := &c.Workloads[i]
	app := map[string]string{"app": fmt.Sprintf("w%d", i)}
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app["app"]}}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: sizes(w.MilliCPU, w.MiB, w.GPU)}}},
	}}
	if w.GPU > 0 {
		t.Spec.Containers[0].Resources.Limits = corev1.ResourceList{gpu: *resource.NewQuantity(w.GPU, resource.DecimalSI)}
	}
	if w.Class != "" {
		t.Spec.NodeSelector = map[string]string{classLabel: w.Class}
	}
	if w.Tolerates {
		t.Spec.Tolerations = []corev1.Toleration{{Key: taintKey, Operator: corev1.TolerationOpExists}}
	}
	if w.Apart {
		t.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: app}},
		}}}
	}
	if w.Skew > 0 {
		t.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: int32(w.Skew), TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: app},
		}}
	}
	return t
}

func bindingOf(c *Case, i int, now time.Time) scheduler.Binding {
	w := &c.Workloads[i]
	name := fmt.Sprintf("w%d", i)
	b := scheduler.Binding{
		ID: "default/" + name, Pool: "pool", Divided: true, Movable: true, Priority: int32(w.Priority), Created: now.Add(time.Duration(i-10) * time.Minute),
		Workload: snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: name},
		Replicas: int32(w.Replicas), Assigned: map[string]int32{}, Refused: map[string]string{},
		Template: &scheduler.Template{Namespace: "default", Spec: templateOf(c, i)},
	}
	if w.StaysHome {
		b.StaysHome = "it stays at home"
	}
	drains := false
	for m := range c.Members {
		n := c.assigned(m, i)
		if c.Members[m].Draining && !drains {
			// Where they are there does not matter, they are not simulated.
			n, drains = w.Leaving, true
		}
		if n > 0 {
			b.Assigned[fmt.Sprintf("m%d", m)] = int32(n)
		}
		if w.Refused[m] {
			b.Refused[fmt.Sprintf("m%d", m)] = "the placement does not select it"
		}
	}
	return b
}

// A Verdict on a placement.
type Verdict struct {
	Case Case
	// Ours is the scheduler's, Single what it does binding by binding.
	Ours, Single, Optimum *Score
	// Problem is why the scheduler's placement is not as good; empty if it is.
	Problem string
	weights scheduler.Weights
}

// Ratio of a score to the optimum.
func (v *Verdict) Ratio(s *Score) float64 {
	return (1 + s.Figure(v.weights)) / (1 + v.Optimum.Figure(v.weights))
}

// Optimal reports whether a score is that of the optimum.
func (v *Verdict) Optimal(s *Score) bool { return s.compare(v.Optimum) == 0 }

// Settings for cases: the bound is on what is tried, not on time, and all is
// decided in one round.
func Settings() scheduler.Settings {
	s := scheduler.DefaultSettings
	s.JointTime, s.SettleTime = 0, 0
	return s
}

// Compare the scheduler with the optimum, on the case of a seed.
func Compare(ctx context.Context, seed uint64, sim simulation.Simulator) (*Verdict, error) {
	settings := Settings()
	v := &Verdict{Case: Generate(seed), weights: scheduler.DefaultWeights}
	r := newReferee(&v.Case, scheduler.DefaultWeights)
	v.Optimum = r.Optimum()
	var placed []counts
	ask := func(s scheduler.Settings) (*Score, error) {
		var err error
		if placed, err = Place(ctx, &v.Case, s, sim); err != nil {
			return nil, err
		}
		score, ok := r.Judge(placed)
		if !ok {
			return nil, fmt.Errorf("%v does not fit\n%s", placed, v.Case)
		}
		return score, nil
	}
	single := settings
	single.JointSteps = 0
	var err error
	if v.Single, err = ask(single); err != nil {
		return nil, err
	}
	if v.Ours, err = ask(settings); err != nil {
		return nil, err
	}
	switch d := v.Ours.compare(v.Optimum); {
	case d > 0:
		v.Problem = fmt.Sprintf("%v costs %+v, the optimum %+v", placed, *v.Ours, *v.Optimum)
	case d < 0:
		v.Problem = fmt.Sprintf("%v costs %+v, which is better than the optimum %+v: the search is wrong", placed, *v.Ours, *v.Optimum)
	}
	return v, nil
}
