package snapshot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// sorted makes views comparable between caches that saw pods in another order.
func sorted(vs []view) []view {
	for i := range vs {
		slices.Sort(vs[i].Pods)
		slices.Sort(vs[i].Affinity)
		slices.Sort(vs[i].AntiAffinity)
		vs[i].Images = nil
		if len(vs[i].Ports["0.0.0.0"]) == 0 {
			delete(vs[i].Ports, "0.0.0.0")
		}
	}
	return vs
}

func podNames(ps []*corev1.Pod) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Name)
	}
	return out
}

// TestContentIncremental feeds random events and proves that the content equals
// one built anew from what is left, and that snapshots taken on the way never
// change.
func TestContentIncremental(t *testing.T) {
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := newContent()
		set := c.setPod
		if seed%2 == 1 {
			// As in a Member: pods share what they have in common.
			c.parts = map[partsKey]*sharedParts{}
			set = func(p *corev1.Pod) bool { return c.setPod(transformed(t, p)) }
		}
		nodes, pods := map[string]*corev1.Node{}, map[string]*corev1.Pod{}
		type taken struct {
			s     *Snapshot
			views []view
		}
		var old []taken
		for step := range 200 {
			name := fmt.Sprintf("n%d", r.IntN(6))
			pod := fmt.Sprintf("p%d", r.IntN(25))
			switch r.IntN(7) {
			case 0, 1:
				n := testNode(name)
				n.Labels["step"] = fmt.Sprint(step)
				nodes[name] = n
				c.setNode(n)
			case 2:
				delete(nodes, name)
				c.deleteNode(name)
			case 3, 4, 5:
				p := testPod(pod, "", r.IntN(100))
				if o := pods[pod]; o != nil {
					p = o.DeepCopy()
				}
				switch r.IntN(5) {
				case 0:
					p.Spec.NodeName = name
				case 1:
					p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
				case 2:
					p.Labels["step"] = fmt.Sprint(step)
				case 3:
					p.DeletionTimestamp = &metav1.Time{}
				case 4:
					isController := true
					p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "j", Controller: &isController}}
					p.UID = types.UID(fmt.Sprintf("%s-%d", pod, step))
					if o := pods[pod]; o != nil {
						c.deletePod(o.UID)
					}
				}
				pods[pod] = p
				set(p)
			case 6:
				if p := pods[pod]; p != nil {
					if r.IntN(2) == 0 {
						c.deletePod(p.UID)
					} else {
						p = p.DeepCopy()
						p.Status.Phase = corev1.PodSucceeded
						set(p)
					}
					delete(pods, pod)
				}
			}
			if r.IntN(4) == 0 {
				s := c.snapshot(nil)
				old = append(old, taken{s, views(s.Nodes())})
			}
		}
		var ns []*corev1.Node
		var ps []*corev1.Pod
		for _, n := range nodes {
			ns = append(ns, n)
		}
		for _, p := range pods {
			ps = append(ps, p)
		}
		want, err := New(ns, ps)
		if err != nil {
			t.Fatal(err)
		}
		got := c.snapshot(nil)
		if diff := cmp.Diff(sorted(views(want.Nodes())), sorted(views(got.Nodes()))); diff != "" {
			t.Fatalf("Seed %d: nodes: -built anew, +incremental:\n%s", seed, diff)
		}
		if diff := cmp.Diff(podNames(want.Pending()), podNames(got.Pending())); diff != "" {
			t.Fatalf("Seed %d: pending: -built anew, +incremental:\n%s", seed, diff)
		}
		if diff := cmp.Diff(want.Workloads(), got.Workloads()); diff != "" {
			t.Fatalf("Seed %d: workloads: -built anew, +incremental:\n%s", seed, diff)
		}
		for _, p := range pods {
			c.deletePod(p.UID)
		}
		if len(c.pods) > 0 || len(c.parts) > 0 || len(c.workloads) > 0 || len(c.pending) > 0 {
			t.Fatalf("Seed %d: all pods are gone, but something is kept: %d pods, %d parts, %d workloads, %d pending", seed, len(c.pods), len(c.parts), len(c.workloads), len(c.pending))
		}
		for i, o := range old {
			if diff := cmp.Diff(o.views, views(o.s.Nodes())); diff != "" {
				t.Fatalf("Seed %d: snapshot %d changed after it was taken:\n%s", seed, i, diff)
			}
		}
	}
}

func TestSnapshotShared(t *testing.T) {
	c := newContent()
	c.setNode(testNode("a"))
	c.setNode(testNode("b"))
	s1 := c.snapshot(nil)
	if c.snapshot(nil) != s1 {
		t.Error("Nothing changed: want the same snapshot, got another.")
	}
	c.setPod(testPod("x", "a", 0))
	s2 := c.snapshot(nil)
	if s1.Node("b") != s2.Node("b") {
		t.Error("Node b did not change: want it shared, got a copy.")
	}
	if len(s1.Node("a").Pods) != 0 || len(s2.Node("a").Pods) != 1 {
		t.Error("A pod on node a: want it in the new snapshot only.")
	}
	if got := s2.Node("a").ImageStates["web:1"].NumNodes; got != 2 {
		t.Errorf("Image web:1 is on 2 nodes; got %d", got)
	}
	if c.setNode(testNode("a")) {
		t.Error("A node that did not change: want no change, got one.")
	}
}

func TestWorkloadOf(t *testing.T) {
	isController := true
	owned := func(kind, name, hash string) *corev1.Pod {
		p := testPod("x", "", 0)
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, Controller: &isController}}
		if hash != "" {
			p.Labels["pod-template-hash"] = hash
		}
		return p
	}
	labelled := func(key, value string, p *corev1.Pod) *corev1.Pod {
		p.Labels[key] = value
		return p
	}
	cases := map[string]struct {
		reason string
		pod    *corev1.Pod
		want   string
	}{
		"Deployment":     {"The hash is cut off a ReplicaSet's name.", owned("ReplicaSet", "web-abc-5d8", "5d8"), "default/Deployment/web-abc"},
		"ReplicaSet":     {"A ReplicaSet without a Deployment stands for itself.", owned("ReplicaSet", "web-5d8", ""), "default/ReplicaSet/web-5d8"},
		"ForeignHash":    {"A hash that is not in the name proves no Deployment.", owned("ReplicaSet", "web-5d8", "777"), "default/ReplicaSet/web-5d8"},
		"StatefulSet":    {"Other controllers are taken as they are.", owned("StatefulSet", "db", ""), "default/StatefulSet/db"},
		"NoController":   {"A pod of nobody has no workload.", testPod("x", "", 0), ""},
		"OnlyTheHash":    {"A ReplicaSet named by its hash alone is no Deployment's.", owned("ReplicaSet", "-5d8", "5d8"), "default/ReplicaSet/-5d8"},
		"CustomWorkload": {"Kinds we do not know work as well.", owned("CloneSet", "c", ""), "default/CloneSet/c"},
		"Labelled":       {"A worker of a group belongs to the set, not to the StatefulSet of its group.", labelled("leaderworkerset.sigs.k8s.io/name", "serve", owned("StatefulSet", "serve-1", "")), "default/LeaderWorkerSet/serve"},
		"Executor":       {"An executor belongs to the application, not to its driver.", labelled("sparkoperator.k8s.io/app-name", "pi", owned("Pod", "pi-driver", "")), "default/SparkApplication/pi"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if k, ok := WorkloadOf(tc.pod); ok {
				got = strings.Join([]string{k.Namespace, k.Kind, k.Name}, "/")
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nWorkloadOf(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// BenchmarkPodUpdate is the cost of one pod that comes and goes on one of 1,000
// nodes with 20 pods each, with a snapshot taken after each event.
func BenchmarkPodUpdate(b *testing.B) {
	c := newContent()
	for i := range 1000 {
		c.setNode(testNode(fmt.Sprintf("n%d", i)))
		for j := range 20 {
			c.setPod(testPod(fmt.Sprintf("p%d-%d", i, j), fmt.Sprintf("n%d", i), 0))
		}
	}
	p := testPod("x", "n500", 0)
	b.Run("Event", func(b *testing.B) {
		for b.Loop() {
			c.setPod(p)
			c.deletePod(p.UID)
		}
	})
	b.Run("EventAndSnapshot", func(b *testing.B) {
		for b.Loop() {
			c.setPod(p)
			c.snapshot(nil)
			c.deletePod(p.UID)
			c.snapshot(nil)
		}
	})
	b.Run("Fork", func(b *testing.B) {
		s := c.snapshot(nil)
		for b.Loop() {
			s.Fork()
		}
	})
}
