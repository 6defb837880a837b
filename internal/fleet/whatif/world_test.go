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
	t        *testing.T
	nodes    map[string][]*corev1.Node
	pods     map[string][]*corev1.Pod
	bindings []scheduler.Binding
	plan     *fleetv1alpha1.CapacityPlan
	memory   planner.Memory
	state    map[string]scheduler.MemberState
	now      time.Time
	serial   int
}

var memberNames = []string{"idc-a", "idc-b", "ack", "tke"}

func newRegion(t *testing.T) *region {
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
	r.follow()
}

// follow gives each member the pods that are assigned to it, each on the first
// node that has room, and takes away the newest.
func (r *region) follow() {
	for i := range r.bindings {
		b := &r.bindings[i]
		for _, name := range memberNames {
			mine := []int{}
			for j, p := range r.pods[name] {
				if p.Labels["app"] == b.Workload.Name {
					mine = append(mine, j)
				}
			}
			want := int(b.Assigned[name])
			for len(mine) > want {
				j := mine[len(mine)-1]
				r.pods[name] = append(r.pods[name][:j:j], r.pods[name][j+1:]...)
				mine = mine[:len(mine)-1]
			}
			for range want - len(mine) {
				r.pod(name, b)
			}
		}
	}
}

func (r *region) pod(member string, b *scheduler.Binding) {
	used := map[string]int{}
	for _, p := range r.pods[member] {
		used[p.Spec.NodeName]++
	}
	pod, err := b.Template.Pod(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.serial++
	pod.Name = fmt.Sprintf("%s-%d", b.Workload.Name, r.serial)
	pod.UID = types.UID(member + pod.Name)
	for _, n := range r.nodes[member] {
		if used[n.Name] < 4 {
			pod.Spec.NodeName = n.Name
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			break
		}
	}
	r.pods[member] = append(r.pods[member], pod)
}

// world is what a round sees of the region.
func (r *region) world() World {
	r.t.Helper()
	w := World{Input: scheduler.Input{Now: r.now, Settings: scheduler.DefaultSettings, Bindings: r.bindings}}
	pool := scheduler.Pool{Name: "pool", StabilizationWindow: 5 * time.Minute}
	in := planner.Input{Now: r.now, SeenAt: r.now, Plan: r.plan, Memory: r.memory, Members: map[string]planner.Member{}, Simulator: simulator(), Settings: planner.DefaultSettings}
	for i, name := range memberNames {
		m := scheduler.Member{Name: name, Tier: int32(max(0, i-1)), Elastic: i > 1, State: r.state[name]}
		if m.State != scheduler.Absent {
			s, err := snapshot.New(r.nodes[name], r.pods[name])
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
	w.Input.Pools = []scheduler.Pool{pool}
	w.Plans = []planner.Input{in}
	return w
}
