package planner

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	fwk "k8s.io/kube-scheduler/framework"
)

// A Lesson is learned when an empty node of an offering does not take a replica
// that the plan's picture of such a node takes. Without it the next node would
// be ordered, and the next.
type Lesson struct {
	// Spec is the allocatable that the plan said, and that was wrong. When the
	// plan says something else, the lesson is forgotten.
	Spec corev1.ResourceList `json:"spec"`
	// Free is what an empty node really has for replicas, daemon pods deducted.
	Free corev1.ResourceList `json:"free"`
	// Until when it holds.
	Until time.Time `json:"until"`
}

// lessonHolds is for how long a lesson holds: what took the room, such as a
// daemon set, may have gone. To try again costs a node for a while.
const lessonHolds = 24 * time.Hour

func (l Lesson) equal(o Lesson) bool {
	return l.Until.Equal(o.Until) && equality.Semantic.DeepEqual(l.Spec, o.Spec) && equality.Semantic.DeepEqual(l.Free, o.Free)
}

// forget drops lessons that are old, or about offerings that are no more what
// they were.
func (p *plan) forget() {
	for name, l := range p.memory.Lessons {
		if o := p.offerings[name]; o == nil || !l.Until.After(p.in.Now) || !equality.Semantic.DeepEqual(l.Spec, o.Allocatable) {
			delete(p.memory.Lessons, name)
		}
	}
}

// avoid tells whether an offering is not ordered, and why: the cloud is short of
// it, or what was ordered before did not arrive or is broken.
func (p *plan) avoid(o *offering) (bool, string) {
	not := func(why string, until time.Time) string {
		return why + "; not tried before " + until.UTC().Format("2006-01-02T15:04:05Z")
	}
	until := p.avoidUntil(o)
	switch {
	case o.unknown:
		return true, o.scarcity()
	case until.IsZero():
		return false, ""
	case until.Equal(o.avoidUntil):
		return true, not(o.scarcity(), until)
	}
	return true, not("what was ordered did not arrive", until)
}

func (p *plan) avoidUntil(o *offering) time.Time {
	until := o.avoidUntil
	for _, t := range []time.Time{p.memory.Avoid[o.Name], o.failing} {
		if t.After(until) {
			until = t
		}
	}
	return until
}

// blank returns the nodes of an offering that take pods and have none but those
// that belong to the node. Demand was offered to them before anything is
// ordered, so what is left of it they do not take.
func (p *plan) blank(o *offering) []fwk.NodeInfo {
	var out []fwk.NodeInfo
	for _, name := range o.ready {
		ni := o.member.fork.Node(name)
		if ni == nil || ni.Node().Spec.Unschedulable {
			continue
		}
		passing := slices.ContainsFunc(ni.Node().Spec.Taints, func(t corev1.Taint) bool {
			// Pressure, for example, passes.
			return strings.HasPrefix(t.Key, "node.kubernetes.io/")
		})
		loaded := slices.ContainsFunc(ni.GetPods(), func(pi fwk.PodInfo) bool { return !onEveryNode(pi.GetPod()) })
		if !passing && !loaded {
			out = append(out, ni)
		}
	}
	return out
}

// learn takes note of what is free on blank nodes; of several the most counts.
// It reports whether that is news.
func (p *plan) learn(o *offering, blank []fwk.NodeInfo) bool {
	free := corev1.ResourceList{}
	for _, ni := range blank {
		used := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(int64(len(ni.GetPods())), resource.DecimalSI)}
		r := ni.GetRequested()
		used[corev1.ResourceCPU] = *resource.NewMilliQuantity(r.GetMilliCPU(), resource.DecimalSI)
		used[corev1.ResourceMemory] = *resource.NewQuantity(r.GetMemory(), resource.BinarySI)
		used[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(r.GetEphemeralStorage(), resource.BinarySI)
		for name, n := range r.GetScalarResources() {
			used[name] = *resource.NewQuantity(n, resource.DecimalSI)
		}
		for name, q := range ni.Node().Status.Allocatable {
			q = q.DeepCopy()
			q.Sub(used[name])
			if have, ok := free[name]; !ok || q.Cmp(have) > 0 {
				free[name] = q
			}
		}
	}
	if old, ok := p.memory.Lessons[o.Name]; ok && equality.Semantic.DeepEqual(old.Free, free) {
		return false
	}
	p.memory.Lessons[o.Name] = Lesson{Spec: o.Allocatable.DeepCopy(), Free: free, Until: p.in.Now.Add(lessonHolds)}
	return true
}

// limit lowers what a node is thought to have to what one really has, and adds
// what was not known of.
func limit(have, real corev1.ResourceList) {
	for name := range maps.Clone(have) {
		q, ok := real[name]
		if !ok {
			q = resource.Quantity{}
		}
		if h := have[name]; q.Cmp(h) < 0 {
			have[name] = q.DeepCopy()
		}
	}
	for name, q := range real {
		if _, ok := have[name]; !ok {
			have[name] = q.DeepCopy()
		}
	}
}

// hasDevices reports whether the devices that an offering promises are on a
// node. A device plugin registers them some time after the node is Ready; until
// then the node is still starting, and no reason to order another.
func hasDevices(n *corev1.Node, promised corev1.ResourceList) bool {
	for name, q := range promised {
		if !strings.Contains(string(name), "/") || q.IsZero() {
			continue
		}
		if have := n.Status.Allocatable[name]; have.IsZero() {
			return false
		}
	}
	return true
}
