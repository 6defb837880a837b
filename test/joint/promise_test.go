package joint

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// objects is all that survives a restart of fleet: nodes of the members, bindings
// with what they are assigned, and the plan with its status and annotation.
type objects struct {
	nodes    map[string][]*corev1.Node
	bindings []scheduler.Binding
	plan     []byte
	memory   []byte
}

// round makes a round of the scheduler and a plan, as a fleet does that was
// started a moment ago, and writes what they decided. It returns the nodes that
// are wanted, and how many replicas are assigned to each member.
func (o *objects) round(t *testing.T, s simulation.Simulator, now time.Time) (int32, map[string]int32) {
	t.Helper()
	in := scheduler.Input{Now: now, Settings: Settings(), Bindings: o.bindings, Pools: []scheduler.Pool{{Name: "pool", StabilizationWindow: time.Hour}}}
	plan := planner.Input{Now: now, SeenAt: now, Simulator: s, Settings: planner.DefaultSettings, Members: map[string]planner.Member{}, Plan: &fleetv1alpha1.CapacityPlan{}}
	decode(t, o.plan, plan.Plan)
	decode(t, o.memory, &plan.Memory)
	snaps := map[string]*snapshot.Snapshot{}
	for i, m := range plan.Plan.Spec.Members {
		snap, err := snapshot.New(o.nodes[m.Name], nil)
		if err != nil {
			t.Fatal(err)
		}
		snaps[m.Name] = snap
		in.Pools[0].Members = append(in.Pools[0].Members, scheduler.Member{Name: m.Name, Tier: int32(i), Elastic: m.Elastic, State: scheduler.Serving, Snapshot: snap, Simulator: s})
	}
	out, err := scheduler.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	replicas := map[string]int32{}
	for _, d := range out.Decisions {
		for i := range o.bindings {
			b := &o.bindings[i]
			if b.ID != d.Binding {
				continue
			}
			b.Assigned = map[string]int32{}
			for _, target := range d.Targets {
				b.Assigned[target.Member] = target.Replicas
				replicas[target.Member] += target.Replicas
			}
		}
	}
	plan.Demands = out.Demands
	for name, snap := range snaps {
		plan.Members[name] = planner.Member{State: scheduler.Serving, Snapshot: snap, Fork: out.Forks[name], Simulator: s, Replicas: replicas[name]}
	}
	made, err := planner.Make(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	plan.Plan.Status = made.Status
	o.plan, o.memory = encode(t, plan.Plan), encode(t, made.Memory)
	return made.Status.Offerings[0].Nodes, replicas
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func decode(t *testing.T, raw []byte, into any) {
	t.Helper()
	if len(raw) == 0 {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

// TestPromisesSurvive follows slots and ordered nodes over restarts: every round
// starts from objects alone.
func TestPromisesSurvive(t *testing.T) {
	s, err := simulation.New()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	label := map[string]string{fleetv1alpha1.LabelOffering: "general"}
	o := &objects{
		nodes:    map[string][]*corev1.Node{"idc": {newNode("idc-0", 2000, nil)}},
		bindings: []scheduler.Binding{newBinding("web", 6, 1000, now)},
	}
	plan := &fleetv1alpha1.CapacityPlan{}
	plan.Spec.Members = []fleetv1alpha1.PlanMember{{Name: "idc"}, {Name: "ack", Tier: 1, Elastic: true, Warm: true}}
	plan.Spec.Offerings = []fleetv1alpha1.Offering{{
		Name: "general", Member: "ack", Allocatable: sizes(4000, 64<<10, 0), HourlyPrice: hundredths(100), Max: 10, StartSeconds: 120,
		CapacityType: elasticv1alpha1.CapacityOnDemand,
	}}
	o.plan = encode(t, plan)
	expect := func(reason string, nodes int32, own, cloud int32) {
		t.Helper()
		gotNodes, replicas := o.round(t, s, now)
		if got, want := fmt.Sprint(gotNodes, replicas["idc"], replicas["ack"]), fmt.Sprint(nodes, own, cloud); got != want {
			t.Errorf("\nReason: %s\nround(...): nodes wanted, replicas at home and in the cloud: want %s, got %s", reason, want, got)
		}
		now = now.Add(10 * time.Second)
	}
	expect("Two have a place at home, four need a node", 1, 2, 0)
	for range 5 {
		expect("The node is on its way: nothing is ordered again, and the places at home are kept", 1, 2, 0)
	}
	urgent := newBinding("urgent", 1, 1000, now)
	urgent.Priority = 10
	o.bindings = append(o.bindings, urgent)
	expect("A newcomer that comes first gets neither the places at home nor the ordered node for nothing: one more is ordered", 2, 2, 0)
	expect("And only one", 2, 2, 0)
	o.nodes["ack"] = append(o.nodes["ack"], newNode("ack-0", 4000, label))
	expect("The first node is there and filled, the second is still on its way", 2, 2, 4)
	expect("No pod of the four is seen yet: the node is not filled again", 2, 2, 4)
	o.nodes["ack"] = append(o.nodes["ack"], newNode("ack-1", 4000, label))
	expect("All have a place", 2, 2, 5)
}

func hundredths(n int64) resource.Quantity {
	return *resource.NewMilliQuantity(n*10, resource.DecimalSI)
}
