package simulation

import (
	"context"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-helpers/storage/ephemeral"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	pluginnames "k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// localFilter plugins judge a node by that node and the pods on it. What one of
// them refused once it refuses until a pod leaves the node, since more pods only
// take more away.
var localFilter = sets.New(pluginnames.NodeUnschedulable, pluginnames.NodeName, pluginnames.TaintToleration, pluginnames.NodeAffinity,
	pluginnames.NodePorts, pluginnames.NodeResourcesFit, pluginnames.NodeDeclaredFeatures)

// reasonGates is given by the simulation rather than by a plugin.
const reasonGates = "pod has scheduling gates"

// prepare makes the engine ready for placing the pod on the fork. It returns nil
// if no node is good, and why in the result.
func (e *engine) prepare(f *snapshot.Fork, pod *corev1.Pod, res *Result) (*profile, error) {
	name := pod.Spec.SchedulerName
	if name == "" {
		name = corev1.DefaultSchedulerName
	}
	p, ok := e.profiles[name]
	if !ok {
		res.refuse(f, "", fmt.Sprintf("no scheduler profile is named %q", name))
		return nil, nil
	}
	if len(pod.Spec.SchedulingGates) > 0 {
		res.refuse(f, pluginnames.SchedulingGates, reasonGates)
		return nil, nil
	}
	if reason := missingClaims(f, pod); reason != "" {
		res.refuse(f, pluginnames.DynamicResources, reason)
		return nil, nil
	}
	if f.NumNodes() == 0 {
		res.Message = "no nodes available to schedule pods"
		return nil, nil
	}
	if o := controller(f, pod); o != nil {
		if err := f.AddObject(o); err != nil {
			return nil, fmt.Errorf("cannot add the controller of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	e.lister.fork = f
	e.feeds.load(f, nil)
	return p, nil
}

func (e *engine) place(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, n int) (Result, error) {
	res := Result{Nodes: map[string]int{}}
	if n <= 0 {
		return res, nil
	}
	p, err := e.prepare(f, pod, &res)
	if p == nil || err != nil {
		return res, err
	}
	// A pod with terms that cannot be parsed is refused by the plugins.
	template, _ := framework.NewPodInfo(pod)
	template.CalculateResource()
	r, err := e.runner(ctx, p, f, pod, template)
	if err != nil {
		return res, fmt.Errorf("cannot place pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	defer r.unreserve(ctx)

	for res.Placed < n {
		if err := ctx.Err(); err != nil {
			return res, fmt.Errorf("cannot place pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		c := replica(pod, f.Serial())
		own := append(ephemeralClaims(c), generatedClaims(f, c)...)
		if len(own) > 0 || len(pod.Spec.ResourceClaims) > 0 {
			e.feeds.load(f, own)
		}
		node, err := r.step(ctx, c)
		if err != nil {
			return res, fmt.Errorf("cannot place pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		if node < 0 {
			if err := r.explain(ctx, c, &res); err != nil {
				return res, fmt.Errorf("cannot explain why pod %s/%s has no place: %w", pod.Namespace, pod.Name, err)
			}
			return res, nil
		}
		for _, o := range own {
			if err := f.AddObject(o); err != nil {
				return res, fmt.Errorf("cannot add a claim of pod %s/%s: %w", pod.Namespace, pod.Name, err)
			}
		}
		if err := r.settle(ctx, template, c, node); err != nil {
			return res, fmt.Errorf("cannot place pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		res.Placed++
		res.Nodes[c.Spec.NodeName]++
		res.Pods = append(res.Pods, c)
	}
	return res, nil
}

// refuse notes that no node is good, for one reason.
func (r *Result) refuse(f *snapshot.Fork, plugin, reason string) {
	r.Reasons = map[string]int{reason: f.NumNodes()}
	if plugin != "" {
		r.Plugins = map[string]int{plugin: f.NumNodes()}
	}
	r.Message = fmt.Sprintf(framework.NoNodeAvailableMsg+": %s.", f.NumNodes(), reason)
}

// replica returns a copy of the pod with a name and UID of its own.
func replica(pod *corev1.Pod, serial int64) *corev1.Pod {
	c := *pod
	id := strconv.FormatInt(serial, 10)
	c.Name = pod.Name + "-" + id
	c.UID = types.UID("simulated-" + id)
	c.Spec.NodeName = pod.Spec.NodeName
	return &c
}

// A runner places copies of one pod.
type runner interface {
	// step returns the index of the node on which kube-scheduler would put the
	// next copy, or -1.
	step(ctx context.Context, pod *corev1.Pod) (int, error)
	// settle puts the copy on the node.
	settle(ctx context.Context, template *framework.PodInfo, pod *corev1.Pod, node int) error
	// explain fills in why the copy has no place.
	explain(ctx context.Context, pod *corev1.Pod, res *Result) error
	// unreserve takes back what plugins assumed.
	unreserve(ctx context.Context)
}

// runner returns the quickest runner that knows all that has a say in where the
// pod goes.
func (e *engine) runner(ctx context.Context, p *profile, f *snapshot.Fork, pod *corev1.Pod, template *framework.PodInfo) (runner, error) {
	// What a quick run knows of a node is not that room on it is kept for others.
	if len(e.nominator.waiting) == 0 {
		q, err := e.newQuickRun(ctx, p, f, pod, template, true)
		if err != nil {
			return nil, err
		}
		if q != nil {
			return q, q.start(ctx, pod)
		}
	}
	return &run{profile: p, fork: f, claims: hasClaims(pod)}, nil
}

// A run is a runner that runs all plugins on all nodes for every copy.
type run struct {
	*profile
	fork   *snapshot.Fork
	claims bool

	state fwk.CycleState
	// rejected says for each node why it is not feasible; nil if it is.
	rejected []*fwk.Status
	// refused is PreFilter's reason when it refused the pod as a whole.
	refused *fwk.Status

	reserved []reservation
	feasible []fwk.NodeInfo
	indices  []int
}

type reservation struct {
	state fwk.CycleState
	pod   *corev1.Pod
	node  string
}

func (r *run) step(ctx context.Context, pod *corev1.Pod) (int, error) {
	if ok, err := r.preFilter(ctx, pod); !ok || err != nil {
		return -1, err
	}
	if err := r.filterNodes(ctx, pod); err != nil {
		return -1, err
	}
	r.feasible, r.indices = r.feasible[:0], r.indices[:0]
	for i, s := range r.rejected {
		if s == nil {
			r.feasible = append(r.feasible, r.fork.At(i))
			r.indices = append(r.indices, i)
		}
	}
	switch len(r.feasible) {
	case 0:
		return -1, nil
	case 1:
		return r.indices[0], nil
	}
	if s := r.RunPreScorePlugins(ctx, r.state, pod, r.feasible); !s.IsSuccess() {
		return -1, s.AsError()
	}
	scores, s := r.RunScorePlugins(ctx, r.state, pod, r.feasible)
	if !s.IsSuccess() {
		return -1, s.AsError()
	}
	best := 0
	for j := range scores {
		if scores[j].TotalScore > scores[best].TotalScore {
			best = j
		}
	}
	return r.indices[best], nil
}

// preFilter starts a scheduling cycle. It returns false if PreFilter refused
// the pod as a whole.
func (r *run) preFilter(ctx context.Context, pod *corev1.Pod) (bool, error) {
	r.state = framework.NewCycleState()
	pre, s, by := r.RunPreFilterPlugins(ctx, r.state, pod)
	if !s.IsSuccess() {
		if !s.IsRejected() {
			return false, s.AsError()
		}
		r.refused = s
		return false, nil
	}
	if r.rejected == nil {
		r.rejected = make([]*fwk.Status, r.fork.NumNodes())
	}
	var out *fwk.Status
	if !pre.AllNodes() {
		out = fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", sets.List(by)))
	}
	for i := range r.rejected {
		switch {
		case out != nil && !pre.NodeNames.Has(r.fork.At(i).Node().Name):
			r.rejected[i] = out
		case r.rejected[i] != nil && r.rejected[i].Plugin() == "":
			r.rejected[i] = nil
		}
	}
	return true, nil
}

// filterNodes finds out which nodes are feasible.
func (r *run) filterNodes(ctx context.Context, pod *corev1.Pod) error {
	for i, s := range r.rejected {
		if s != nil && (s.Plugin() == "" || !r.naive && localFilter.Has(s.Plugin())) {
			continue
		}
		if err := r.filterNode(ctx, pod, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) filterNode(ctx context.Context, pod *corev1.Pod, i int) error {
	s := r.RunFilterPlugins(ctx, r.state, pod, r.fork.At(i))
	switch {
	case s.IsSuccess():
		r.rejected[i] = nil
	case s.Code() == fwk.Error:
		return s.AsError()
	default:
		r.rejected[i] = s
	}
	return nil
}

func (r *run) settle(ctx context.Context, template *framework.PodInfo, pod *corev1.Pod, node int) error {
	name := r.fork.At(node).Node().Name
	if r.claims {
		if s := r.RunReservePluginsReserve(ctx, r.state, pod, name); !s.IsSuccess() {
			return fmt.Errorf("cannot reserve volumes on node %q: %w", name, s.AsError())
		}
		r.reserved = append(r.reserved, reservation{state: r.state, pod: pod, node: name})
	}
	pod.Spec.NodeName = name
	pi := *template
	pi.Pod = pod
	return r.fork.AddPodInfo(name, &pi)
}

// unreserve takes back what volume binding assumed, so that the next call finds
// its caches as the fork has them.
func (r *run) unreserve(ctx context.Context) {
	for i := len(r.reserved) - 1; i >= 0; i-- {
		v := r.reserved[i]
		r.RunReservePluginsUnreserve(ctx, v.state, v.pod, v.node)
	}
}

func (r *run) explain(_ context.Context, pod *corev1.Pod, res *Result) error {
	all := r.fork.NumNodes()
	fit := framework.FitError{Pod: pod, NumAllNodes: all, Diagnosis: framework.Diagnosis{NodeToStatus: framework.NewDefaultNodeToStatus()}}
	res.Reasons, res.Plugins = map[string]int{}, map[string]int{}
	if r.refused != nil {
		fit.Diagnosis.PreFilterMsg = r.refused.Message()
		for _, reason := range r.refused.Reasons() {
			res.Reasons[reason] = all
		}
		if p := r.refused.Plugin(); p != "" {
			res.Plugins[p] = all
		}
		res.Message = fit.Error()
		return nil
	}
	for i, s := range r.rejected {
		if s == nil {
			continue
		}
		fit.Diagnosis.NodeToStatus.Set(r.fork.At(i).Node().Name, s)
		for _, reason := range s.Reasons() {
			res.Reasons[reason]++
		}
		if p := s.Plugin(); p != "" {
			res.Plugins[p]++
		}
	}
	res.Message = fit.Error()
	return nil
}

// hasClaims reports whether volume binding has a say in where the pod goes.
func hasClaims(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].PersistentVolumeClaim != nil || pod.Spec.Volumes[i].Ephemeral != nil {
			return true
		}
	}
	return len(pod.Spec.ResourceClaims) > 0
}

// ephemeralClaims returns the claims that the member's ephemeral volume
// controller would make for the pod. Every copy has its own.
func ephemeralClaims(pod *corev1.Pod) []snapshot.Object {
	var out []snapshot.Object
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Ephemeral == nil || v.Ephemeral.VolumeClaimTemplate == nil {
			continue
		}
		t := v.Ephemeral.VolumeClaimTemplate
		isController := true
		c := &corev1.PersistentVolumeClaim{ObjectMeta: *t.ObjectMeta.DeepCopy(), Spec: *t.Spec.DeepCopy()}
		c.Namespace, c.Name = pod.Namespace, ephemeral.VolumeClaimName(pod, v)
		c.UID = types.UID(string(pod.UID) + "-" + v.Name)
		c.Status.Phase = corev1.ClaimPending
		c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: &isController}}
		out = append(out, c)
	}
	return out
}

// controller returns the controller of the pod if the fork does not have it:
// PodTopologySpread takes the pods to spread from its selector when the pod has
// no constraints of its own. All labels of the pod are as good a selector as
// the true one, since they include the hash of the template.
func controller(f *snapshot.Fork, pod *corev1.Pod) snapshot.Object {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return nil
	}
	meta := metav1.ObjectMeta{Namespace: pod.Namespace, Name: ref.Name, UID: ref.UID}
	sel := &metav1.LabelSelector{MatchLabels: pod.Labels}
	switch ref.APIVersion + "/" + ref.Kind {
	case "apps/v1/ReplicaSet":
		if f.Object(snapshot.ReplicaSets, pod.Namespace, ref.Name) == nil {
			return &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: sel}}
		}
	case "apps/v1/StatefulSet":
		if f.Object(snapshot.StatefulSets, pod.Namespace, ref.Name) == nil {
			return &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: sel}}
		}
	}
	return nil
}
