package simulation

import (
	"cmp"
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// annotationNominated is on a copy that stands for a waiting pod to which
// kube-scheduler promised a node: the UID of that pod, whose promise it redeems.
const annotationNominated = "simulation.regionpool.io/nominated"

// A nominator knows the pods that wait for a node which kube-scheduler promised
// to them (status.nominatedNodeName), mostly because it evicted others there.
// Room is kept for them from pods of the same and of lower priority, until they
// are on the fork.
type nominator struct {
	// The rest of the interface is about a queue, which a fork does not have.
	fwk.PodNominator

	base *snapshot.Snapshot
	// all has the nominated pods of base, in the order of kube-scheduler's
	// queue.
	all []*framework.PodInfo
	// waiting has those that are not on the fork and to which the pod at hand
	// must yield, by node.
	waiting map[string][]fwk.PodInfo
}

// NominatedPodsForNode implements fwk.PodNominator.
func (n *nominator) NominatedPodsForNode(node string) []fwk.PodInfo { return n.waiting[node] }

// load makes the nominator know who waits on a fork for nodes that one of the
// profiles promised, and comes before the pod.
func (n *nominator) load(f *snapshot.Fork, pod *corev1.Pod, profiles map[string]*profile) {
	if n.base != f.Base() {
		n.base, n.all = f.Base(), nil
		for _, p := range n.base.Pending() {
			if p.Status.NominatedNodeName == "" || profiles[cmp.Or(p.Spec.SchedulerName, corev1.DefaultSchedulerName)] == nil {
				continue
			}
			// What cannot be parsed takes room all the same.
			pi, _ := framework.NewPodInfo(p)
			n.all = append(n.all, pi)
		}
	}
	n.waiting = nil
	if len(n.all) == 0 {
		return
	}
	n.waiting = map[string][]fwk.PodInfo{}
	redeemed := redeemed(f)
	for _, pi := range n.all {
		if _, ok := redeemed[pi.Pod.UID]; !ok && corev1helpers.PodPriority(pi.Pod) >= corev1helpers.PodPriority(pod) {
			n.add(pi)
		}
	}
}

// redeemed returns the UIDs of nominated pods that have copies on the fork.
func redeemed(f *snapshot.Fork) map[types.UID]struct{} {
	out := map[types.UID]struct{}{}
	for i := range f.NumNodes() {
		ni := f.At(i)
		if base := f.Base().Node(ni.Node().Name); base != nil && fwk.NodeInfo(base) == ni {
			continue
		}
		for _, pi := range ni.GetPods() {
			if uid, ok := pi.GetPod().Annotations[annotationNominated]; ok {
				out[types.UID(uid)] = struct{}{}
			}
		}
	}
	return out
}

func (n *nominator) add(pi *framework.PodInfo) {
	node := pi.Pod.Status.NominatedNodeName
	n.waiting[node] = append(n.waiting[node], pi)
}

func (n *nominator) drop(pi *framework.PodInfo) {
	node := pi.Pod.Status.NominatedNodeName
	n.waiting[node] = slices.DeleteFunc(slices.Clone(n.waiting[node]), func(o fwk.PodInfo) bool { return o == fwk.PodInfo(pi) })
}

// kin returns the nominated pods that wait and are like the pod, which waits
// too, itself among them.
func (n *nominator) kin(pod *corev1.Pod) []*framework.PodInfo {
	if pod.UID == "" || pod.Spec.NodeName != "" {
		return nil
	}
	var out []*framework.PodInfo
	for _, pi := range n.all {
		if slices.Contains(n.waiting[pi.Pod.Status.NominatedNodeName], fwk.PodInfo(pi)) && (pi.Pod.UID == pod.UID || siblings(pi.Pod, pod)) {
			out = append(out, pi)
		}
	}
	return out
}

// siblings reports whether two pods are of one revision of one workload.
func siblings(a, b *corev1.Pod) bool {
	x, y := metav1.GetControllerOfNoCopy(a), metav1.GetControllerOfNoCopy(b)
	const hash = "pod-template-hash"
	return x != nil && y != nil && x.UID == y.UID && a.Namespace == b.Namespace && a.Labels[hash] != "" && a.Labels[hash] == b.Labels[hash]
}

// placeNominated is place, with room kept for the pods that kube-scheduler
// nominated. When the pod is one that waits, the copies stand for it and those
// like it: each that was promised a node is tried there first, as
// kube-scheduler does, and then anywhere.
func (e *engine) placeNominated(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, n int) (Result, error) {
	e.nominator.load(f, pod, e.profiles)
	all := Result{Nodes: map[string]int{}}
	var refused *Result
	for _, pi := range e.nominator.kin(pod) {
		if n == 0 {
			break
		}
		n--
		e.nominator.drop(pi)
		res, err := e.redeem(ctx, f, pi.Pod)
		all.add(res)
		if err != nil {
			return all, err
		}
		if res.Placed == 0 {
			// It waits on, and so do those like it that were promised nothing.
			e.nominator.add(pi)
			refused = &res
		}
	}
	if refused != nil {
		all.Reasons, all.Plugins, all.Message = refused.Reasons, refused.Plugins, refused.Message
		return all, nil
	}
	res, err := e.place(ctx, f, pod, n)
	if len(all.Pods) == 0 {
		return res, err
	}
	all.add(res)
	all.Reasons, all.Plugins, all.Message = res.Reasons, res.Plugins, res.Message
	return all, err
}

// redeem places a nominated pod.
func (e *engine) redeem(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod) (Result, error) {
	c := *pod
	c.Annotations = maps.Clone(pod.Annotations)
	metav1.SetMetaDataAnnotation(&c.ObjectMeta, annotationNominated, string(pod.UID))
	if f.Node(pod.Status.NominatedNodeName) != nil {
		there := c
		there.Spec.NodeName = pod.Status.NominatedNodeName
		if res, err := e.place(ctx, f, &there, 1); err != nil || res.Placed > 0 {
			return res, err
		}
	}
	return e.place(ctx, f, &c, 1)
}

// add adds the copies that were placed.
func (r *Result) add(o Result) {
	r.Placed += o.Placed
	for n, k := range o.Nodes {
		r.Nodes[n] += k
	}
	r.Pods = append(r.Pods, o.Pods...)
}

// A forkFramework is a framework that finds on the fork what a kube-scheduler
// has in its queue and under way: the pods that are nominated, and the volumes
// and devices that are being bound.
type forkFramework struct {
	framework.Framework
	lister    *lister
	nominator *nominator
	volumes   *volumeKeeper
	// claims is nil where dynamic resources are not enabled.
	claims *claimTracker
}

// RunFilterPlugins judges the node with and without the pods that are nominated
// to it.
func (f *forkFramework) RunFilterPlugins(ctx context.Context, state fwk.CycleState, pod *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	if len(f.nominator.waiting) == 0 {
		return f.Framework.RunFilterPlugins(ctx, state, pod, node)
	}
	return f.Framework.RunFilterPluginsWithNominatedPods(ctx, state, pod, node)
}
