package planner

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// restart forgets all but what is in objects.
func (w *tester) restart() {
	raw, err := json.Marshal(w.in.Memory)
	if err != nil {
		w.t.Fatal(err)
	}
	w.in.Memory = Memory{}
	if err := json.Unmarshal(raw, &w.in.Memory); err != nil {
		w.t.Fatal(err)
	}
}

func (w *tester) expect(reason string, nodes int32, release ...string) {
	w.t.Helper()
	got := w.make().Status.Offerings[0]
	if len(release) == 0 {
		release = nil
	}
	if got.Nodes != nodes || cmp.Diff(release, got.Release) != "" {
		w.t.Errorf("%s: want %d nodes, release %v; got %d, %v", reason, nodes, release, got.Nodes, got.Release)
	}
}

func TestIdleNodes(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0.5", scheduler.Serving)
	o := w.offering("ack-g", "ack", "8", "1", 10)
	o.Min = 0
	w.node("ack", "ack-g", "busy", true)
	w.pod("ack", "busy", "default", "ReplicaSet")
	w.node("ack", "ack-g", "idle", true)
	w.pod("ack", "idle", "kube-system", "ReplicaSet")
	w.pod("ack", "idle", "logs", "DaemonSet")

	w.expect("Nodes that exist are taken over", 2)
	w.in.Now = w.in.Now.Add(9 * time.Minute)
	w.restart()
	w.expect("Nine minutes are not ten", 2)
	w.in.Now = w.in.Now.Add(time.Minute)
	w.restart()
	w.expect("Ten minutes idle, over a restart: released", 1, "idle")
	w.demand(2, cpu("7"))
	w.expect("Demand that comes at once takes back a node that was just released", 2)
	w.in.Demands = nil
	w.expect("It is not released again at once", 2)
	w.in.Now = w.in.Now.Add(10 * time.Minute)
	w.expect("It is after the delay", 1, "idle")
	w.expect("A node that is listed stays listed", 1, "idle")

	w.demand(2, cpu("7"))
	w.expect("Demand takes back a node that is not gone, before anything is ordered", 2)
	w.in.Demands = nil
	// It was idle since long ago, but demand was packed on it: from now on.
	w.expect("It is not released again at once", 2)
	w.in.Now = w.in.Now.Add(10 * time.Minute)
	w.expect("It is after the delay", 1, "idle")

	w.ns["ack"][1].Spec.Taints = []corev1.Taint{{Key: fleetv1alpha1.TaintReleasing, Effect: corev1.TaintEffectNoSchedule}}
	w.expect("A node that is being given back is not listed any more", 1)
	w.ns["ack"] = w.ns["ack"][:1]
	w.expect("Gone", 1)
}

func TestMinimumIsKept(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-g", "ack", "8", "1", 10).Min = 1
	w.node("ack", "ack-g", "n1", true)
	w.node("ack", "ack-g", "n2", true)
	w.expect("Taken over", 2)
	w.in.Now = w.in.Now.Add(time.Hour)
	w.expect("One of two idle nodes is kept", 1, "n1")
}

func TestListedNodeWithLoad(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-g", "ack", "8", "1", 10)
	w.node("ack", "ack-g", "n1", true)
	w.in.Plan.Status.Offerings = []fleetv1alpha1.OfferingStatus{{Name: "ack-g", Nodes: 0, Release: []string{"n1"}}}
	w.pod("ack", "n1", "default", "ReplicaSet")
	w.expect("A node that got load after it was listed is kept", 1)
}

func TestOrdersThatAreNotNeeded(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0.5", scheduler.Serving)
	w.offering("ack-g", "ack", "8", "1", 10)
	w.demand(4, cpu("3"))
	w.expect("Ordered", 2)
	w.in.Demands = nil
	w.in.Now = w.in.Now.Add(time.Second)
	w.expect("Demand may come back", 2)
	w.in.Now = w.in.Now.Add(9 * time.Minute)
	w.restart()
	w.expect("Nine minutes are not ten", 2)
	w.in.Now = w.in.Now.Add(time.Minute - time.Second)
	w.expect("The order arrives too late for its patience, or is not needed for the delay: withdrawn", 0)
}

func TestOrdersThatDoNotArrive(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-a", "ack", "8", "1", 10)
	w.offering("ack-b", "ack", "8", "2", 10)
	w.demand(4, cpu("3"))
	steps := []struct {
		after  time.Duration
		reason string
		want   map[string]int32
	}{
		{0, "The cheapest is ordered", map[string]int32{"ack-a": 2, "ack-b": 0}},
		{9 * time.Minute, "It may still arrive", map[string]int32{"ack-a": 2, "ack-b": 0}},
		{time.Minute, "It did not: the next is tried", map[string]int32{"ack-a": 0, "ack-b": 2}},
		{time.Minute, "It may arrive", map[string]int32{"ack-a": 0, "ack-b": 2}},
	}
	for _, s := range steps {
		w.in.Now = w.in.Now.Add(s.after)
		w.restart()
		if diff := cmp.Diff(s.want, nodesOf(w.make().Status)); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", s.reason, diff)
		}
	}
}

func TestClusterLife(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0.5", scheduler.Absent)
	w.offering("ack-g", "ack", "8", "1", 10)
	check := func(reason string, want bool) {
		t.Helper()
		if got := wantedOf(w.make().Status, "ack"); got != want {
			t.Errorf("%s: wanted is %t", reason, got)
		}
	}
	check("Nothing needs it", false)
	w.demand(2, cpu("3"))
	check("Demand", true)
	w.in.Demands = nil
	w.in.Members["ack"] = Member{State: scheduler.Joining}
	check("It is being built", true)
	w.in.Members["ack"] = Member{State: scheduler.Serving}
	w.node("ack", "ack-g", "n1", true)
	check("It has a node", true)
	w.in.Now = w.in.Now.Add(10 * time.Minute)
	check("The node is listed", true)
	w.ns["ack"] = nil
	check("Empty, but for how long?", true)
	w.in.Now = w.in.Now.Add(59 * time.Minute)
	w.restart()
	check("Not for an hour", true)
	w.in.Members["ack"] = Member{State: scheduler.Frozen}
	w.in.Now = w.in.Now.Add(time.Minute)
	check("It does not answer: who knows", true)
	w.in.Members["ack"] = Member{State: scheduler.Serving}
	check("For an hour", false)
	check("For good", false)
}

func TestLimitsThatAreLowered(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-g", "ack", "8", "1", 10)
	w.node("ack", "ack-g", "n1", true)
	w.pod("ack", "n1", "default", "ReplicaSet")
	w.demand(6, cpu("3"))
	w.expect("Ordered", 3)
	w.in.Plan.Spec.Limits.Nodes = ptr.To(int32(2))
	w.expect("What did not arrive is withdrawn", 2)
	w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("0.5"))
	w.expect("What is there and in use stays", 1)
}

func TestFrozenMemberKeepsWhatWasWanted(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-g", "ack", "8", "1", 10)
	w.node("ack", "ack-g", "n1", true)
	w.expect("Taken over", 1)
	m := w.in.Members["ack"]
	m.State = scheduler.Frozen
	w.in.Members["ack"] = m
	w.in.Now = w.in.Now.Add(time.Hour)
	w.expect("A silent member's nodes are not given back", 1)
}

// TestRandomPlans: limits hold whatever demand, nodes and prices do.
func TestRandomPlans(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := newTester(t)
		w.elastic("ack", "0.5", scheduler.Serving)
		w.elastic("tke", "0.7", scheduler.Absent)
		w.offering("ack-a", "ack", "8", "1", 5)
		w.offering("ack-b", "ack", "16", "1.9", 3)
		w.offering("tke-a", "tke", "8", "0.9", 5)
		w.in.Plan.Spec.Limits = fleetv1alpha1.PlanLimits{Nodes: ptr.To(int32(6)), HourlyCost: ptr.To(resource.MustParse("7"))}
		for step := range 40 {
			w.in.Now = w.in.Now.Add(time.Duration(r.IntN(300)) * time.Second)
			w.in.Demands = nil
			for range r.IntN(3) {
				w.demand(int32(1+r.IntN(12)), cpu(fmt.Sprint(1+r.IntN(9))))
			}
			if r.IntN(3) == 0 {
				for _, o := range w.in.Plan.Status.Offerings[:2*min(1, len(w.in.Plan.Status.Offerings))] {
					if o.Registered < o.Nodes {
						w.node("ack", o.Name, fmt.Sprintf("n%d", step)+o.Name, r.IntN(2) == 0)
					}
				}
			}
			if n := w.ns["ack"]; len(n) > 0 && r.IntN(4) == 0 {
				w.ns["ack"] = n[1:]
			}
			st := w.make().Status
			sum, leaving, price := int32(0), int32(0), map[string]float64{"ack-a": 1, "ack-b": 1.9, "tke-a": 0.9}
			cost := 0.5
			for _, o := range st.Offerings {
				sum += o.Nodes
				leaving += int32(len(o.Release))
				cost += float64(o.Nodes+int32(len(o.Release))) * price[o.Name]
				if o.Name == "tke-a" && o.Nodes > 0 {
					cost += 0.7
				}
			}
			if sum+leaving > 6 || cost > 7.0001 {
				t.Fatalf("Seed %d, step %d: %d nodes, %d leaving, cost %g pass the limits", seed, step, sum, leaving, cost)
			}
		}
	}
}

// TestRandomMarkets: the limit on money holds with virtual nodes too, their
// maximum as well, and a second look at the same world changes nothing.
func TestRandomMarkets(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		w := newTester(t)
		w.elastic("ack", "0.5", scheduler.Serving)
		w.elastic("tke", "0.7", scheduler.Absent)
		w.offering("a", "ack", "8", "1", 5)
		w.offering("b", "ack", "16", "1.9", 3)
		w.offering("t", "tke", "8", "0.9", 5)
		w.virtual("v", "ack", 8)
		price := map[string]float64{"a": 1, "b": 1.9, "t": 0.9}
		if r.IntN(2) == 0 {
			w.fed("b", "2.5")
			price["b"] = 2.5
		}
		w.fed("t", "0.3")
		w.in.Plan.Spec.Limits = fleetv1alpha1.PlanLimits{Nodes: ptr.To(int32(6)), HourlyCost: ptr.To(resource.MustParse("8"))}
		pods := 0
		for step := range 30 {
			w.in.Now = w.in.Now.Add(time.Duration(r.IntN(300)) * time.Second)
			w.in.Demands, w.in.OnVirtual = nil, nil
			for i := range r.IntN(3) {
				d := w.deployment(int32(1+r.IntN(9)), cpu(fmt.Sprint(1+r.IntN(9))))
				d.Binding = fmt.Sprintf("default/w%d", i)
				if r.IntN(3) == 0 {
					d.Workload.Kind, d.Together = "Job", true
				}
			}
			if r.IntN(6) == 0 {
				w.short([]string{"a", "b", "t"}[r.IntN(3)], w.in.Now)
			}
			if r.IntN(3) == 0 {
				for _, o := range w.in.Plan.Status.Offerings {
					if o.Registered < o.Nodes && (o.Name == "a" || o.Name == "b") {
						n := w.node("ack", o.Name, fmt.Sprintf("n%d", step)+o.Name, r.IntN(2) == 0)
						if o.Name == "b" {
							n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("16")
						}
					}
				}
			}
			out := w.make()
			cost, sum := 0.5, int32(0)
			for _, o := range out.Status.Offerings {
				if o.Name == "v" {
					if o.Nodes > 8 {
						t.Fatalf("Seed %d, step %d: %d pods on virtual nodes", seed, step, o.Nodes)
					}
					continue
				}
				sum += o.Nodes + int32(len(o.Release))
				cost += float64(o.Nodes+int32(len(o.Release))) * price[o.Name]
				if o.Name == "t" && o.Nodes > 0 {
					cost += 0.7
				}
			}
			again := w.make()
			if diff := cmp.Diff(nodesOf(out.Status), nodesOf(again.Status)); diff != "" {
				t.Fatalf("Seed %d, step %d: a second look changes what is wanted: -first, +second:\n%s", seed, step, diff)
			}
			for _, p := range w.pods["ack"] {
				cost += p.Spec.Containers[0].Resources.Requests.Cpu().AsApproximateFloat64() * 0.1
			}
			for _, g := range out.Grants {
				for _, d := range w.in.Demands {
					if d.Binding != g.Binding {
						continue
					}
					if d.Together && g.Count != d.Count {
						t.Fatalf("Seed %d, step %d: %d of %d that start together are granted", seed, step, g.Count, d.Count)
					}
					for range g.Count {
						w.pod("ack", "vk-v", "default", "ReplicaSet")
						p := w.pods["ack"][len(w.pods["ack"])-1]
						p.UID = types.UID(fmt.Sprintf("granted-%d", pods))
						p.Spec.Containers = d.Template.Spec.Spec.Containers
						pods++
						cost += p.Spec.Containers[0].Resources.Requests.Cpu().AsApproximateFloat64() * 0.1
					}
				}
			}
			if sum > 6 || cost > 8.0001 {
				t.Fatalf("Seed %d, step %d: %d nodes, cost %g pass the limits", seed, step, sum, cost)
			}
			if n := len(w.pods["ack"]); n > 0 && r.IntN(3) == 0 {
				w.pods["ack"] = w.pods["ack"][r.IntN(n):]
			}
		}
	}
}
