package joint

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A Surge is what a round made of many new workloads.
type Surge struct {
	// Nowhere is how many replicas have no place.
	Nowhere int32
	// Cloud replicas.
	Cloud int32
	// Took is the time of the round.
	Took time.Duration
}

// Rush makes a round over so many new workloads of four replicas. The older two
// thirds would fill the members at home, and could run elsewhere; the others may
// not. Each member has a simulator, as those of a fleet have.
func Rush(ctx context.Context, workloads int, settings scheduler.Settings) (Surge, error) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	in := scheduler.Input{Now: now, Settings: settings, Pools: []scheduler.Pool{{Name: "pool", StabilizationWindow: time.Hour}}}
	for i, m := range []struct {
		tier, nodes int
		milli       int64
	}{{0, workloads / 8, 16_000}, {0, workloads / 8, 8000}, {1, workloads / 4, 16_000}} {
		var nodes []*corev1.Node
		for k := range m.nodes {
			nodes = append(nodes, newNode(fmt.Sprintf("n%d", k), m.milli, nil))
		}
		sim, err := simulation.New()
		if err != nil {
			return Surge{}, fmt.Errorf("cannot make a simulator: %w", err)
		}
		defer sim.Close()
		snap, err := snapshot.New(nodes, nil)
		if err != nil {
			return Surge{}, fmt.Errorf("cannot make member %d: %w", i, err)
		}
		in.Pools[0].Members = append(in.Pools[0].Members, scheduler.Member{
			Name: fmt.Sprintf("m%d", i), Tier: int32(m.tier), Elastic: m.tier > 0, State: scheduler.Serving, Snapshot: snap, Simulator: sim,
		})
	}
	for i := range workloads {
		b := newBinding(fmt.Sprintf("w%d", i), 4, int64(500*(1+i%3)), now.Add(time.Duration(i)*time.Second))
		if i >= workloads-workloads/3 {
			b.StaysHome = "it stays at home"
		}
		in.Bindings = append(in.Bindings, b)
	}
	began := time.Now()
	out, err := scheduler.Run(ctx, in)
	if err != nil {
		return Surge{}, fmt.Errorf("cannot place: %w", err)
	}
	s := Surge{Took: time.Since(began)}
	for _, d := range out.Decisions {
		s.Nowhere += d.Pending
		s.Cloud += d.Cloud
	}
	return s, nil
}

func newNode(name string, milli int64, labels map[string]string) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status:     corev1.NodeStatus{Allocatable: sizes(milli, 64<<10, 0), Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	maps.Copy(n.Labels, labels)
	n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("110")
	return n
}

func newBinding(name string, replicas int32, milli int64, created time.Time) scheduler.Binding {
	return scheduler.Binding{
		ID: "default/" + name, Pool: "pool", Divided: true, Movable: true, Created: created, Replicas: replicas,
		Workload: snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: name},
		Template: &scheduler.Template{Namespace: "default", Options: []simulation.PodOption{simulation.OwnedBy("apps/v1", "Deployment", name)}, Spec: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: sizes(milli, 1024, 0)}}}},
		}},
	}
}
