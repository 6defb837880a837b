package exact

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// read returns a snapshot of what the API server says, without a cache between.
// Pods that omit wants to be left out are not in it.
func (p *Plane) read(ctx context.Context, omit func(*corev1.Pod) bool) (*snapshot.Snapshot, error) {
	all := metav1.ListOptions{}
	core, storage, devices := p.client.CoreV1(), p.client.StorageV1(), p.client.ResourceV1()
	nodes, err := core.Nodes().List(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("cannot list nodes: %w", err)
	}
	pods, err := core.Pods(metav1.NamespaceAll).List(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("cannot list pods: %w", err)
	}
	var objs []snapshot.Object
	for _, f := range []func() (runtime.Object, error){
		func() (runtime.Object, error) { return core.Namespaces().List(ctx, all) },
		func() (runtime.Object, error) { return core.Services(metav1.NamespaceAll).List(ctx, all) },
		func() (runtime.Object, error) { return core.LimitRanges(metav1.NamespaceAll).List(ctx, all) },
		func() (runtime.Object, error) { return core.PersistentVolumes().List(ctx, all) },
		func() (runtime.Object, error) { return core.PersistentVolumeClaims(metav1.NamespaceAll).List(ctx, all) },
		func() (runtime.Object, error) { return storage.StorageClasses().List(ctx, all) },
		func() (runtime.Object, error) { return storage.CSINodes().List(ctx, all) },
		func() (runtime.Object, error) {
			return p.client.AppsV1().ReplicaSets(metav1.NamespaceAll).List(ctx, all)
		},
		func() (runtime.Object, error) { return devices.ResourceClaims(metav1.NamespaceAll).List(ctx, all) },
		func() (runtime.Object, error) {
			return devices.ResourceClaimTemplates(metav1.NamespaceAll).List(ctx, all)
		},
		func() (runtime.Object, error) { return devices.ResourceSlices().List(ctx, all) },
		func() (runtime.Object, error) { return devices.DeviceClasses().List(ctx, all) },
		func() (runtime.Object, error) { return p.client.NodeV1().RuntimeClasses().List(ctx, all) },
		func() (runtime.Object, error) { return p.client.SchedulingV1().PriorityClasses().List(ctx, all) },
	} {
		l, err := f()
		if err != nil {
			return nil, fmt.Errorf("cannot list objects: %w", err)
		}
		items, err := meta.ExtractList(l)
		if err != nil {
			return nil, fmt.Errorf("cannot read list: %w", err)
		}
		for _, i := range items {
			if o, ok := i.(snapshot.Object); ok {
				objs = append(objs, o)
			}
		}
	}
	s, err := snapshot.New(pointers(nodes.Items), slices.DeleteFunc(pointers(pods.Items), omit), objs...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a snapshot: %w", err)
	}
	return s, nil
}

func pointers[T any](s []T) []*T {
	out := make([]*T, len(s))
	for i := range s {
		out[i] = &s[i]
	}
	return out
}

// live returns the member's snapshot once it has what a snapshot read from the
// API server has. An error says what it lacks in the end; the snapshot is good
// to use all the same.
func (p *Plane) live(ctx context.Context, want *snapshot.Snapshot) (*snapshot.Snapshot, error) {
	w := view(want)
	var s *snapshot.Snapshot
	diff := ""
	err := wait(ctx, watchTimeout, "the member's cache is like the API server", func(context.Context) (bool, error) {
		s = p.member.Snapshot()
		diff = cmp.Diff(w, view(s))
		return diff == "", nil
	})
	if err != nil {
		return s, fmt.Errorf("the live snapshot differs from the API server: -API server, +live:\n%s", diff)
	}
	return s, nil
}

// view is what a scheduler sees of a snapshot.
func view(s *snapshot.Snapshot) map[string][]string {
	out := map[string][]string{}
	for _, n := range s.Nodes() {
		lines := []string{
			fmt.Sprintf("allocatable %+v", resources(n.GetAllocatable())),
			fmt.Sprintf("requested %+v", resources(n.GetRequested())),
			fmt.Sprintf("at least %+v", resources(n.GetNonZeroRequested())),
			fmt.Sprintf("labels %v taints %v unschedulable %t", n.Node().Labels, n.Node().Spec.Taints, n.Node().Spec.Unschedulable),
			fmt.Sprintf("ports %v", n.GetUsedPorts()),
			fmt.Sprintf("claims %v", n.GetPVCRefCounts()),
			fmt.Sprintf("affine %d anti-affine %d", len(n.GetPodsWithAffinity()), len(n.GetPodsWithRequiredAntiAffinity())),
		}
		var pods []string
		for _, pi := range n.GetPods() {
			pods = append(pods, fmt.Sprintf("pod %s/%s %v", pi.GetPod().Namespace, pi.GetPod().Name, pi.GetPod().Labels))
		}
		slices.Sort(pods)
		out["node "+n.Node().Name] = append(lines, pods...)
	}
	for _, o := range s.Pending() {
		out["pending"] = append(out["pending"], o.Namespace+"/"+o.Name+" "+o.Status.NominatedNodeName)
	}
	slices.Sort(out["pending"])
	for _, k := range []snapshot.Kind{
		snapshot.Namespaces, snapshot.LimitRanges, snapshot.StorageClasses, snapshot.RuntimeClasses, snapshot.PriorityClasses, snapshot.CSINodes,
		snapshot.ReplicaSets, snapshot.ResourceClaimTemplates, snapshot.ResourceSlices, snapshot.DeviceClasses,
	} {
		for _, o := range s.Objects().Set(k).Items() {
			key := fmt.Sprintf("kind %d", k)
			out[key] = append(out[key], o.GetNamespace()+"/"+o.GetName())
		}
	}
	for _, o := range s.Objects().Set(snapshot.PersistentVolumeClaims).Items() {
		c := o.(*corev1.PersistentVolumeClaim)
		out["claims"] = append(out["claims"], fmt.Sprintf("%s/%s %s %s", c.Namespace, c.Name, c.Spec.VolumeName, c.Status.Phase))
	}
	for _, o := range s.Objects().Set(snapshot.PersistentVolumes).Items() {
		v := o.(*corev1.PersistentVolume)
		claim := ""
		if v.Spec.ClaimRef != nil {
			claim = v.Spec.ClaimRef.Name
		}
		out["volumes"] = append(out["volumes"], fmt.Sprintf("%s %s %s", v.Name, claim, v.Status.Phase))
	}
	out["devices"] = allocated(s)
	for k, n := range s.Workloads() {
		out[fmt.Sprintf("workload %v", k)] = []string{fmt.Sprintf("%+v", n)}
	}
	return out
}

func resources(r fwk.Resource) string {
	return fmt.Sprint(r.GetMilliCPU(), r.GetMemory(), r.GetEphemeralStorage(), r.GetAllowedPodNumber(), r.GetScalarResources())
}

// nothing omits no pod.
func nothing(*corev1.Pod) bool { return false }

// same notes where the simulation on the live snapshot differs from the one on
// a snapshot of the same things. Which of the nodes that fit are taken is only
// the same if both know as much of the images on them: a node of kube-scheduler's
// cache, and so of a live snapshot, learns of images that came to other nodes, or
// went with them, only when it changes itself.
func (r *Report) same(want, got simulation.Result, images bool) {
	if want.Placed != got.Placed || want.Message != got.Message || images && !maps.Equal(want.Nodes, got.Nodes) {
		r.problem("the simulation gives %d %v %q on a fresh snapshot, %d %v %q on the live one", want.Placed, want.Nodes, want.Message, got.Placed, got.Nodes, got.Message)
	}
}

// sameImages reports whether two snapshots of the same nodes say the same of the
// images on them.
func sameImages(a, b *snapshot.Snapshot) bool {
	return slices.EqualFunc(a.Nodes(), b.Nodes(), func(x, y fwk.NodeInfo) bool {
		return maps.EqualFunc(x.GetImageStates(), y.GetImageStates(), func(i, j *fwk.ImageStateSummary) bool {
			return i.Size == j.Size && i.NumNodes == j.NumNodes
		})
	})
}

// judge compares what kube-scheduler did with a batch with what the simulation
// said, and asks the simulation about what kube-scheduler left.
func (p *Plane) judge(ctx context.Context, r *Report, pod *corev1.Pod) error {
	after, err := p.read(ctx, nothing)
	if err != nil {
		return err
	}
	// Pods that wait may have been promised a node after their siblings came: from
	// 1.35 on kube-scheduler nominates a node before it binds slowly, as with
	// devices, and leaves that when binding fails.
	settled, err := p.read(ctx, func(o *corev1.Pod) bool { return o.Spec.NodeName == "" && o.Labels[batchLabel] == r.Batch.Name })
	if err != nil {
		return err
	}
	if _, err := p.live(ctx, after); err != nil {
		r.problem("after: %v", err)
	}
	pods, err := p.client.CoreV1().Pods(pod.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchLabel + "=" + r.Batch.Name})
	if err != nil {
		return fmt.Errorf("cannot list pods of batch %s: %w", r.Batch.Name, err)
	}
	var waiting *corev1.Pod
	for i := range pods.Items {
		o := &pods.Items[i]
		if o.Spec.NodeName == "" {
			waiting = o
			continue
		}
		r.Real++
		if !ownsVolumes(r.Batch) {
			if err := p.again(ctx, r, settled, o); err != nil {
				return err
			}
		}
	}
	if len(pods.Items) != r.Batch.Replicas {
		r.problem("%d pods were created, %d are there", r.Batch.Replicas, len(pods.Items))
	}
	if !r.Batch.Ordered && r.Real != r.Simulated {
		r.problem("kube-scheduler placed %d of %d, the simulation %d", r.Real, r.Batch.Replicas, r.Simulated)
	}
	if waiting == nil {
		return nil
	}
	res, err := p.simulator.Place(ctx, after.Fork(), pod, 1)
	if err != nil {
		return fmt.Errorf("cannot simulate one more pod of batch %s: %w", r.Batch.Name, err)
	}
	if res.Placed > 0 {
		r.problem("kube-scheduler has no place for %s, the simulation %v: %s", waiting.Name, slices.Collect(maps.Keys(res.Nodes)), said(waiting))
	} else if msg := said(waiting); !r.Batch.Has(Gates) && !strings.HasPrefix(msg, strings.TrimSuffix(res.Message, ".")) {
		r.problem("kube-scheduler says %q, the simulation %q", msg, res.Message)
	}
	return nil
}

// again takes a pod that kube-scheduler placed away from its node, and asks the
// simulation whether it could go back there. It always could: what its siblings
// need of each other is there whatever the order in which they came.
func (p *Plane) again(ctx context.Context, r *Report, settled *snapshot.Snapshot, pod *corev1.Pod) error {
	f := settled.Fork()
	if err := f.RemovePod(pod.Spec.NodeName, pod); err != nil {
		return fmt.Errorf("cannot take away pod %s: %w", pod.Name, err)
	}
	if err := release(f, pod); err != nil {
		return fmt.Errorf("cannot release the devices of pod %s: %w", pod.Name, err)
	}
	// With a node name, the simulation allows no other node.
	res, err := p.simulator.Place(ctx, f, pod, 1)
	if err != nil {
		return fmt.Errorf("cannot simulate pod %s: %w", pod.Name, err)
	}
	if res.Placed == 0 {
		r.problem("kube-scheduler put %s on %s, the simulation refuses: %s", pod.Name, pod.Spec.NodeName, res.Message)
	}
	return nil
}

// said is what kube-scheduler says about a pod that waits.
func said(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Message
		}
	}
	return ""
}
