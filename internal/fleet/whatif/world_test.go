package whatif

import (
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/round"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
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

// A region has two self-built members of two nodes of 4 CPU each, idc-a and
// idc-b, and the cloud clusters ack (there) and tke (to be made).
type region struct {
	t        testing.TB
	nodes    map[string][]*corev1.Node
	pods     map[string][]*corev1.Pod
	bindings []scheduler.Binding
	plan     *fleetv1alpha1.CapacityPlan
	memory   planner.Memory
	// reserving are the reservations, with their targets.
	reserving []*round.Reservation
	// virtual offerings of the plan, and objects of the members.
	virtual []scheduler.Virtual
	objects []snapshot.Object
	state   map[string]scheduler.MemberState
	now     time.Time
	serial  int
}

var memberNames = []string{"idc-a", "idc-b", "ack", "tke"}

func newRegion(t testing.TB) *region {
	t.Helper()
	hour := metav1.Duration{Duration: time.Hour}
	fee := resource.MustParse("0.5")
	r := &region{
		t: t, nodes: map[string][]*corev1.Node{}, pods: map[string][]*corev1.Pod{}, now: epoch,
		state: map[string]scheduler.MemberState{"idc-a": scheduler.Serving, "idc-b": scheduler.Serving, "ack": scheduler.Serving, "tke": scheduler.Absent},
		plan: &fleetv1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Name: "pool"}, Spec: fleetv1alpha1.CapacityPlanSpec{
			Members: []fleetv1alpha1.PlanMember{
				{Name: "idc-a"}, {Name: "idc-b"}, {Name: "ack", Tier: 1, Elastic: true, Warm: true, HourlyCost: &fee}, {Name: "tke", Tier: 2, Elastic: true, HourlyCost: &fee},
			},
			Offerings: []fleetv1alpha1.Offering{offering("ack-g", "ack", "1", 3), offering("tke-s", "tke", "1.5", 20)},
			ScaleDown: fleetv1alpha1.ScaleDown{NodeIdle: metav1.Duration{Duration: 10 * time.Minute}, ClusterIdle: hour},
		}},
	}
	for _, name := range []string{"idc-a", "idc-b"} {
		for i := range 2 {
			n := &corev1.Node{}
			n.Labels = map[string]string{corev1.LabelInstanceTypeStable: "rack"}
			n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110")}
			r.node(name, fmt.Sprintf("%s-%d", name, i), n)
		}
	}
	return r
}

func offering(name, member, price string, limit int32) fleetv1alpha1.Offering {
	return fleetv1alpha1.Offering{
		Name: name, Member: member, InstanceType: "type." + name, Max: limit, StartSeconds: 90, HourlyPrice: resource.MustParse(price),
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110")},
	}
}

// node makes a node Ready in a member, under a name.
func (r *region) node(member, name string, n *corev1.Node) {
	n.Name, n.UID, n.CreationTimestamp = name, types.UID(name), metav1.NewTime(r.now)
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	r.nodes[member] = append(r.nodes[member], n)
}

// deploy adds a Deployment of pods of one CPU, all of which run.
func (r *region) deploy(name string, assigned map[string]int32) {
	r.declare(name, assigned)
	r.run(&r.bindings[len(r.bindings)-1])
}

// declare a Deployment of pods of one CPU.
func (r *region) declare(name string, assigned map[string]int32) {
	b := scheduler.Binding{
		ID: "default/" + name + "-deployment", Pool: "pool", Divided: true, Movable: true, Created: epoch.Add(time.Duration(len(r.bindings)) * time.Second),
		Workload: snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: name}, Assigned: assigned,
		Template: &scheduler.Template{Namespace: "default", Options: []simulation.PodOption{simulation.OwnedBy("apps/v1", "Deployment", name)}, Spec: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
			}}}},
		}},
	}
	for _, n := range assigned {
		b.Replicas += n
	}
	r.bindings = append(r.bindings, b)
}

// run gives each member the pods of a Deployment that are assigned to it, each on
// the first node that has room.
func (r *region) run(b *scheduler.Binding) {
	for _, name := range memberNames {
		for range b.Assigned[name] {
			r.pod(name, b, r.free(name))
		}
	}
}

// pod makes one in a member. It runs, if it gets a node.
func (r *region) pod(member string, b *scheduler.Binding, node string) {
	pod, err := b.Template.Pod(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.serial++
	pod.Name = fmt.Sprintf("%s-%d", b.Workload.Name, r.serial)
	pod.UID = types.UID(member + pod.Name)
	if pod.Spec.NodeName = node; node != "" {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	r.pods[member] = append(r.pods[member], pod)
}

// free is the first node of a member that has room for a pod; empty if none has.
func (r *region) free(member string) string {
	used := map[string]int{}
	for _, p := range r.pods[member] {
		used[p.Spec.NodeName]++
	}
	for _, n := range r.nodes[member] {
		if used[n.Name] < 4 {
			return n.Name
		}
	}
	return ""
}

// world is what a round sees of the region.
func (r *region) world() World {
	r.t.Helper()
	w := World{Input: scheduler.Input{Now: r.now, Settings: scheduler.DefaultSettings, Bindings: r.bindings}}
	pool := scheduler.Pool{Name: "pool", StabilizationWindow: 5 * time.Minute, Virtual: r.virtual}
	merged := round.Merge(r.plan, r.reserving, r.now, r.memory)
	in := planner.Input{Now: r.now, SeenAt: r.now, Plan: merged, Memory: r.memory, Members: map[string]planner.Member{}, Simulator: simulator(), Settings: planner.DefaultSettings}
	for i, name := range memberNames {
		m := scheduler.Member{Name: name, Tier: int32(max(0, i-1)), Elastic: i > 1, State: r.state[name]}
		if m.State != scheduler.Absent {
			s, err := snapshot.New(r.nodes[name], r.pods[name], r.objects...)
			if err != nil {
				r.t.Fatal(err)
			}
			m.Snapshot, m.Simulator = s, simulator()
			in.Objects = s.Objects()
		}
		for _, o := range r.plan.Status.Offerings {
			if spec := offeringOf(r.plan, o.Name); spec.Member == name {
				m.Releasing = append(m.Releasing, o.Release...)
			}
		}
		in.Members[name] = planner.Member{State: m.State, Snapshot: m.Snapshot, Simulator: m.Simulator}
		pool.Members = append(pool.Members, m)
	}
	used := map[string]int32{}
	for i := range r.bindings {
		used[r.bindings[i].ID] = r.bindings[i].Assigned["ack"] + r.bindings[i].Assigned["tke"]
	}
	pool.Holds, in.Reservations = round.Hold(merged, r.reserving, used)
	w.Input.Pools = []scheduler.Pool{pool}
	w.Plans = []Plan{{Input: in, Bare: r.plan, Reserving: r.reserving}}
	return w
}
