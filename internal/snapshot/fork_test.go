package snapshot

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

func testNode(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourcePods: resource.MustParse("110")},
			Images:      []corev1.ContainerImage{{Names: []string{"web:1"}, SizeBytes: 10}},
		},
	}
}

func testPod(name, node string, variety int) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name:      "c",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}},
		}}},
	}
	term := []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	switch variety % 5 {
	case 1:
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term}}
	case 2:
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term}}
	case 3:
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: int32(1000 + variety), Protocol: corev1.ProtocolTCP}}
	case 4:
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim-" + name}}}}
	}
	return p
}

// A view is everything a plugin can read of a node.
type view struct {
	Name                           string
	Pods, Affinity, AntiAffinity   []string
	Requested, NonZero, Allocation framework.Resource
	Ports                          fwk.HostPortInfo
	Claims                         map[string]int
	Images                         map[string]fwk.ImageStateSummary
}

func names(pis []fwk.PodInfo) []string {
	var out []string
	for _, pi := range pis {
		out = append(out, pi.GetPod().Name)
	}
	return out
}

func viewOf(n fwk.NodeInfo) view {
	ni := n.(*framework.NodeInfo)
	v := view{
		Name: ni.GetName(), Pods: names(ni.Pods), Affinity: names(ni.PodsWithAffinity), AntiAffinity: names(ni.PodsWithRequiredAntiAffinity),
		Requested: *ni.Requested.Clone(), NonZero: *ni.NonZeroRequested.Clone(), Allocation: *ni.Allocatable.Clone(),
		Ports: fwk.HostPortInfo{}, Claims: map[string]int{}, Images: map[string]fwk.ImageStateSummary{},
	}
	for ip, ports := range ni.UsedPorts {
		v.Ports[ip] = map[fwk.ProtocolPort]struct{}{}
		for p := range ports {
			v.Ports[ip][p] = struct{}{}
		}
	}
	for c, n := range ni.PVCRefCounts {
		v.Claims[c] = n
	}
	for n, s := range ni.ImageStates {
		v.Images[n] = *s
	}
	return v
}

func views(nodes []fwk.NodeInfo) []view {
	out := make([]view, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, viewOf(n))
	}
	return out
}

type state struct {
	Nodes, Affinity, AntiAffinity []view
	Extra                         []string
}

func stateOf(f *Fork) state {
	l, _ := f.List()
	a, _ := f.HavePodsWithAffinityList()
	aa, _ := f.HavePodsWithRequiredAntiAffinityList()
	s := state{Nodes: views(l), Affinity: views(a), AntiAffinity: views(aa)}
	for _, o := range f.Extra() {
		s.Extra = append(s.Extra, o.GetName())
	}
	return s
}

// check proves that the fork's lists and index agree with its nodes.
func check(t *testing.T, f *Fork) {
	t.Helper()
	var affinity, anti []string
	l, _ := f.List()
	for i, n := range l {
		if i > 0 && l[i-1].Node().Name >= n.Node().Name {
			t.Fatalf("Nodes out of order: %s before %s", l[i-1].Node().Name, n.Node().Name)
		}
		if got, err := f.Get(n.Node().Name); err != nil || got != n {
			t.Fatalf("Get(%s) is not what List has: %v", n.Node().Name, err)
		}
		if len(n.GetPodsWithAffinity()) > 0 {
			affinity = append(affinity, n.Node().Name)
		}
		if len(n.GetPodsWithRequiredAntiAffinity()) > 0 {
			anti = append(anti, n.Node().Name)
		}
	}
	listed := func(fn func() ([]fwk.NodeInfo, error)) []string {
		var out []string
		ns, _ := fn()
		for _, n := range ns {
			if got, _ := f.Get(n.Node().Name); got != n {
				t.Fatalf("The list has a stale %s", n.Node().Name)
			}
			out = append(out, n.Node().Name)
		}
		return out
	}
	if diff := cmp.Diff(affinity, listed(f.HavePodsWithAffinityList)); diff != "" {
		t.Fatalf("HavePodsWithAffinityList: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(anti, listed(f.HavePodsWithRequiredAntiAffinityList)); diff != "" {
		t.Fatalf("HavePodsWithRequiredAntiAffinityList: -want, +got:\n%s", diff)
	}
}

// TestForkRevert changes forks at random, with nested marks, and proves that a
// revert restores exactly, that commits keep, and that neither the snapshot nor
// another fork sees anything.
func TestForkRevert(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 7))
		var nodes []*corev1.Node
		var pods []*corev1.Pod
		for i := range 1 + r.IntN(8) {
			nodes = append(nodes, testNode(fmt.Sprintf("n%d", i)))
			for j := range r.IntN(4) {
				pods = append(pods, testPod(fmt.Sprintf("p%d-%d", i, j), fmt.Sprintf("n%d", i), r.IntN(100)))
			}
		}
		s, err := New(nodes, pods)
		if err != nil {
			t.Fatal(err)
		}
		base := views(s.Nodes())
		f, other := s.Fork(), s.Fork()

		type saved struct {
			mark  Mark
			state state
		}
		var stack []saved
		serial := 0
		for range 60 {
			l, _ := f.List()
			switch op := r.IntN(10); {
			case op < 4 && len(l) > 0:
				serial++
				if err := f.AddPod(l[r.IntN(len(l))].Node().Name, testPod(fmt.Sprintf("new-%d", serial), "", r.IntN(100))); err != nil {
					t.Fatal(err)
				}
			case op < 6 && len(l) > 0:
				n := l[r.IntN(len(l))]
				if ps := n.GetPods(); len(ps) > 0 {
					if err := f.RemovePod(n.Node().Name, ps[r.IntN(len(ps))].GetPod()); err != nil {
						t.Fatal(err)
					}
				}
			case op == 6:
				serial++
				if err := f.AddNode(testNode(fmt.Sprintf("m%d", serial)), testPod(fmt.Sprintf("daemon-%d", serial), "", 0)); err != nil {
					t.Fatal(err)
				}
				if err := f.AddObject(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(serial)}}); err != nil {
					t.Fatal(err)
				}
			case op == 7 && len(l) > 0:
				if err := f.RemoveNode(l[r.IntN(len(l))].Node().Name); err != nil {
					t.Fatal(err)
				}
			case op == 8:
				stack = append(stack, saved{mark: f.Mark(), state: stateOf(f)})
			case op == 9 && len(stack) > 0:
				top := stack[len(stack)-1]
				if r.IntN(3) == 0 {
					f.Commit(top.mark)
					stack = stack[:len(stack)-1]
					break
				}
				f.Revert(top.mark)
				if diff := cmp.Diff(top.state, stateOf(f)); diff != "" {
					t.Fatalf("Seed %d: revert: -want, +got:\n%s", seed, diff)
				}
				if r.IntN(2) == 0 {
					stack = stack[:len(stack)-1]
				}
			}
			check(t, f)
		}
		for i := len(stack) - 1; i >= 0; i-- {
			f.Revert(stack[i].mark)
			if diff := cmp.Diff(stack[i].state, stateOf(f)); diff != "" {
				t.Fatalf("Seed %d: last reverts: -want, +got:\n%s", seed, diff)
			}
		}
		if diff := cmp.Diff(base, views(s.Nodes())); diff != "" {
			t.Fatalf("Seed %d: the snapshot changed: -want, +got:\n%s", seed, diff)
		}
		if diff := cmp.Diff(base, stateOf(other).Nodes); diff != "" {
			t.Fatalf("Seed %d: another fork changed: -want, +got:\n%s", seed, diff)
		}
	}
}

func TestForkErrors(t *testing.T) {
	s, err := New([]*corev1.Node{testNode("a")}, []*corev1.Pod{testPod("x", "a", 0)})
	if err != nil {
		t.Fatal(err)
	}
	noUID := testPod("y", "", 0)
	noUID.UID = ""
	cases := map[string]struct {
		reason string
		do     func(*Fork) error
	}{
		"AddPodNoNode":      {"There is no such node.", func(f *Fork) error { return f.AddPod("b", testPod("y", "", 0)) }},
		"AddPodNoUID":       {"Pods are kept by UID.", func(f *Fork) error { return f.AddPod("a", noUID) }},
		"RemovePodNoNode":   {"There is no such node.", func(f *Fork) error { return f.RemovePod("b", testPod("x", "", 0)) }},
		"RemovePodNotThere": {"There is no such pod.", func(f *Fork) error { return f.RemovePod("a", testPod("y", "", 0)) }},
		"AddNodeTwice":      {"The name is taken.", func(f *Fork) error { return f.AddNode(testNode("a")) }},
		"RemoveNodeNone":    {"There is no such node.", func(f *Fork) error { return f.RemoveNode("b") }},
		"AddObjectOdd":      {"Secrets are not held.", func(f *Fork) error { return f.AddObject(&corev1.Secret{}) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := s.Fork()
			if err := tc.do(f); err == nil {
				t.Errorf("\n%s\nWant an error, got none.", tc.reason)
			}
			if diff := cmp.Diff(views(s.Nodes()), stateOf(f).Nodes); diff != "" {
				t.Errorf("\n%s\nThe fork changed: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
