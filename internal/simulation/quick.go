package simulation

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	pluginnames "k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Between two copies of one pod the cluster changes by one pod on one node. A
// quickRun keeps of every default plugin what that leaves as it was. These sets
// say how it knows what a plugin would say; a pod for which another plugin has a
// say is placed by running all plugins on all nodes for every copy.
var (
	// nodeFilter plugins judge a node by the Node object alone.
	nodeFilter = sets.New(pluginnames.NodeUnschedulable, pluginnames.NodeName, pluginnames.TaintToleration, pluginnames.NodeAffinity)
	// modelled plugins are not run: their counts are kept instead.
	modelled = sets.New(pluginnames.PodTopologySpread, pluginnames.InterPodAffinity)
	// silentFilter plugins must skip the pod.
	silentFilter = sets.New(pluginnames.VolumeRestrictions, pluginnames.NodeVolumeLimits, pluginnames.VolumeBinding,
		pluginnames.VolumeZone, pluginnames.DynamicResources, pluginnames.NodeDeclaredFeatures)
	knownFilter = nodeFilter.Union(modelled).Union(silentFilter).Insert(pluginnames.NodePorts, pluginnames.NodeResourcesFit)
	// knownScore plugins score as a quickRun does, or zero for pods without claims.
	knownScore = modelled.Union(sets.New(pluginnames.TaintToleration, pluginnames.NodeAffinity, pluginnames.NodeResourcesFit,
		pluginnames.NodeResourcesBalancedAllocation, pluginnames.ImageLocality, pluginnames.VolumeBinding, pluginnames.DynamicResources))
)

// spreadSettings are what PodTopologySpread does for pods without constraints.
type spreadSettings struct {
	defaults []corev1.TopologySpreadConstraint
	// system says that the defaults are kube-scheduler's own, which also hold
	// on nodes that lack a label.
	system bool

	services     corelisters.ServiceLister
	controllers  corelisters.ReplicationControllerLister
	replicaSets  appslisters.ReplicaSetLister
	statefulSets appslisters.StatefulSetLister
}

// systemSpread are the systemDefaultConstraints of
// k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread.
var systemSpread = []corev1.TopologySpreadConstraint{
	{TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 3},
	{TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 5},
}

// learn finds out whether quick runs know all plugins of the profile with their
// arguments, and what the arguments are.
func (p *profile) learn(f informers.SharedInformerFactory) {
	if !knownFilter.HasAll(p.filter...) || !knownFilter.HasAll(p.preFilter...) || !knownScore.HasAll(p.score...) {
		return
	}
	for _, gate := range []bool{
		utilfeature.DefaultFeatureGate.Enabled(features.DRAExtendedResource),
		!utilfeature.DefaultFeatureGate.Enabled(features.NodeInclusionPolicyInPodTopologySpread),
		!utilfeature.DefaultFeatureGate.Enabled(features.MatchLabelKeysInPodTopologySpread),
	} {
		if gate {
			return
		}
	}
	if !fitOf(p) {
		return
	}
	p.spread = spreadSettings{
		services: f.Core().V1().Services().Lister(), controllers: f.Core().V1().ReplicationControllers().Lister(),
		replicaSets: f.Apps().V1().ReplicaSets().Lister(), statefulSets: f.Apps().V1().StatefulSets().Lister(),
	}
	if raw, ok := p.args[pluginnames.PodTopologySpread]; ok {
		a, ok := raw.(*config.PodTopologySpreadArgs)
		if !ok {
			return
		}
		p.spread.defaults, p.spread.system = a.DefaultConstraints, a.DefaultingType == config.SystemDefaulting
		if p.spread.system {
			p.spread.defaults = systemSpread
		}
	}
	p.namespaces = f.Core().V1().Namespaces().Lister()
	if raw, ok := p.args[pluginnames.InterPodAffinity]; ok {
		a, ok := raw.(*config.InterPodAffinityArgs)
		if !ok {
			return
		}
		p.interPod = *a
	}
	p.quick = !p.naive
}

// A quickRun places copies of one pod like a run, at the cost of what a copy
// changes.
type quickRun struct {
	profile  *profile
	fork     *snapshot.Fork
	view     *view
	template *framework.PodInfo
	class    int32

	state  fwk.CycleState
	skip   sets.Set[string]
	judged *judgement
	fit    fit
	hard   *hardSpread
	pods   *interPod
	soft   *softSpread

	// dead nodes take no more copies, whatever else changes; ok are those that
	// are feasible, as many as feasible says.
	dead, ok []bool
	feasible int
	// local are the scores of each node that depend on nothing but that node.
	local, images []int64
	// The scores that are normalized over the feasible nodes by the highest,
	// nil where they are all zero.
	taints, preferred []int64
	totals            []int64
	scored            bool
}

// newQuickRun returns nil if the pod needs a run. Scores may be asked for only if
// they are wanted.
func (e *engine) newQuickRun(ctx context.Context, p *profile, f *snapshot.Fork, pod *corev1.Pod, template *framework.PodInfo, scores bool) (*quickRun, error) {
	if !p.quick || len(e.nominator.waiting) > 0 || hasClaims(pod) || pod.Spec.Resources != nil || len(pod.Status.ContainerStatuses)+len(pod.Status.InitContainerStatuses) > 0 {
		return nil, nil
	}
	r := &quickRun{profile: p, fork: f, view: e.view, template: template, state: framework.NewCycleState(), skip: sets.New[string](), fit: p.newFit(template)}
	nodes, _ := f.List()
	for _, name := range p.preFilter {
		if modelled.Has(name) {
			continue
		}
		res, s := p.plugins[name].(fwk.PreFilterPlugin).PreFilter(ctx, r.state, pod, nodes)
		switch {
		case s.IsSkip():
			r.skip.Insert(name)
		case !s.IsSuccess() || !res.AllNodes() || silentFilter.Has(name):
			return nil, nil
		}
	}
	for _, name := range p.filter {
		if silentFilter.Has(name) && !r.skip.Has(name) {
			return nil, nil
		}
	}
	r.view.load(f)
	r.view.reset()
	var err error
	if r.judged, err = r.judgement(ctx, pod); err != nil {
		return nil, err
	}
	if slices.Contains(p.filter, pluginnames.PodTopologySpread) {
		if r.hard, err = r.newHardSpread(pod); err != nil {
			return nil, err
		}
	}
	if scores {
		if r.soft, err = r.newSoftSpread(pod); err != nil {
			return nil, err
		}
	}
	if slices.Contains(p.filter, pluginnames.InterPodAffinity) {
		if r.pods, err = r.newInterPod(pod, template); err != nil {
			return nil, err
		}
	}
	r.class = r.view.classOf(template)
	e.quickRuns++
	return r, nil
}

// start judges all nodes.
func (r *quickRun) start(ctx context.Context, pod *corev1.Pod) error {
	b, n := &r.view.buffers, len(r.view.order)
	r.dead, r.ok, r.local = b.bools.take(n), b.bools.take(n), b.ints.take(n)
	for i, at := range r.view.order {
		takes, err := r.takes(ctx, pod, i)
		if err != nil {
			return err
		}
		if !takes {
			r.dead[i] = true
			continue
		}
		j := &r.judged.of[at]
		if j.taints != 0 {
			if r.taints == nil {
				r.taints = b.ints.take(n)
			}
			r.taints[i] = j.taints
		}
		if j.preferred != 0 {
			if r.preferred == nil {
				r.preferred = b.ints.take(n)
			}
			r.preferred[i] = j.preferred
		}
		r.judgeNode(i)
	}
	return nil
}

// takes reports whether node i takes a copy, as far as it can tell by itself and
// the pods on it.
func (r *quickRun) takes(ctx context.Context, pod *corev1.Pod, i int) (bool, error) {
	at := r.view.order[i]
	if r.judged.of[at].refused != nil || !r.fit.fits(&r.view.slots[at].now) {
		return false, nil
	}
	return r.portsFree(ctx, pod, i)
}

// refuses reports whether node i does not take a copy because of pods elsewhere.
func (r *quickRun) refuses(i int) bool {
	return r.hard != nil && r.hard.refuses(i) != "" || r.pods != nil && r.pods.refuses(i) != ""
}

// scoreAll scores all nodes that may take a copy.
func (r *quickRun) scoreAll(pod *corev1.Pod) {
	r.scored = true
	if w := r.profile.weights[pluginnames.ImageLocality]; w > 0 {
		r.images = r.view.scoreImages(pod, w)
	}
	for i, dead := range r.dead {
		if !dead {
			r.scoreNode(i)
		}
	}
}

// portsFree reports whether the host ports of the pod are free on node i.
func (r *quickRun) portsFree(ctx context.Context, pod *corev1.Pod, i int) (bool, error) {
	if r.skip.Has(pluginnames.NodePorts) || !slices.Contains(r.profile.filter, pluginnames.NodePorts) {
		return true, nil
	}
	s := r.profile.plugins[pluginnames.NodePorts].(fwk.FilterPlugin).Filter(ctx, r.state, pod, r.fork.At(i))
	if !s.IsSuccess() && !s.IsRejected() {
		return false, s.AsError()
	}
	return s.IsSuccess(), nil
}

// scoreNode computes the local score of node i.
func (r *quickRun) scoreNode(i int) {
	s := &r.view.slots[r.view.order[i]].now
	r.local[i] = r.fit.score(s)
	if r.images != nil {
		r.local[i] += r.images[i]
	}
}

// judgeNode finds out whether node i is feasible.
func (r *quickRun) judgeNode(i int) {
	feasible := !r.dead[i] && !r.refuses(i)
	if feasible == r.ok[i] {
		return
	}
	r.ok[i] = feasible
	if feasible {
		r.feasible++
	} else {
		r.feasible--
	}
	if r.soft != nil {
		r.soft.setFeasible(i, feasible)
	}
}

// step returns the index of the node on which kube-scheduler would put the pod,
// or -1.
func (r *quickRun) step(_ context.Context, pod *corev1.Pod) (int, error) {
	switch r.feasible {
	case 0:
		return -1, nil
	case 1:
		return slices.Index(r.ok, true), nil
	}
	if !r.scored {
		r.scoreAll(pod)
	}
	totals := r.local
	if r.taints != nil || r.preferred != nil || r.soft != nil || r.pods != nil && r.pods.scoring {
		if r.totals == nil {
			r.totals = r.view.ints.take(len(r.local))
		}
		copy(r.totals, r.local)
		totals = r.totals
		r.addNormal(r.taints, pluginnames.TaintToleration, true)
		r.addNormal(r.preferred, pluginnames.NodeAffinity, false)
		if r.soft != nil {
			r.soft.add(r.ok, totals)
		}
		if r.pods != nil {
			r.pods.add(r.ok, totals)
		}
	}
	best, most := -1, int64(math.MinInt64)
	for i, ok := range r.ok {
		if ok && totals[i] > most {
			best, most = i, totals[i]
		}
	}
	return best, nil
}

// addNormal adds scores that helper.DefaultNormalizeScore of
// k8s.io/kubernetes/pkg/scheduler/framework/plugins normalizes.
func (r *quickRun) addNormal(raw []int64, plugin string, reverse bool) {
	var highest int64
	for i, n := range raw {
		if r.ok[i] {
			highest = max(highest, n)
		}
	}
	if highest == 0 {
		// All nodes get the same.
		return
	}
	weight := r.profile.weights[plugin]
	for i, n := range raw {
		n = fwk.MaxNodeScore * n / highest
		if reverse {
			n = fwk.MaxNodeScore - n
		}
		r.totals[i] += n * weight
	}
}

// settle puts the pod on the node.
func (r *quickRun) settle(ctx context.Context, template *framework.PodInfo, pod *corev1.Pod, node int) error {
	slot := &r.view.slots[r.view.order[node]]
	pod.Spec.NodeName = slot.node.Name
	pi := *template
	pi.Pod = pod
	if err := r.fork.AddPodInfo(slot.node.Name, &pi); err != nil {
		return err
	}
	r.view.added(node, r.fork.At(node).(*framework.NodeInfo), r.class)
	if r.soft != nil {
		r.soft.placed(r, node)
	}
	free, err := r.portsFree(ctx, pod, node)
	if err != nil {
		return err
	}
	if !free || !r.fit.fits(&slot.now) {
		r.dead[node] = true
	} else if r.scored {
		r.scoreNode(node)
	}
	r.judgeNode(node)
	if r.hard != nil {
		r.hard.placed(node, r.judgeNode)
	}
	if r.pods != nil {
		r.pods.placed(node, r.judgeNode)
	}
	return nil
}

// unreserve implements runner. Nothing is reserved for pods without claims.
func (r *quickRun) unreserve(context.Context) {}

// explain fills in why the pod has no place.
func (r *quickRun) explain(ctx context.Context, pod *corev1.Pod, res *Result) error {
	res.Reasons, res.Plugins = map[string]int{}, map[string]int{}
	position := map[string]int{}
	for at, name := range r.profile.filter {
		position[name] = at
	}
	for i := range r.ok {
		if r.ok[i] {
			continue
		}
		at := r.view.order[i]
		j, s := &r.judged.of[at], &r.view.slots[at].now
		by, name := math.MaxInt, ""
		consider := func(plugin string) {
			if p, ok := position[plugin]; ok && p < by {
				by, name = p, plugin
			}
		}
		if j.refused != nil {
			by, name = j.by, j.refused.Plugin()
		}
		if !r.fit.fits(s) {
			consider(pluginnames.NodeResourcesFit)
		}
		if free, err := r.portsFree(ctx, pod, i); err != nil {
			return err
		} else if !free {
			consider(pluginnames.NodePorts)
		}
		if r.hard != nil && r.hard.refuses(i) != "" {
			consider(pluginnames.PodTopologySpread)
		}
		if r.pods != nil && r.pods.refuses(i) != "" {
			consider(pluginnames.InterPodAffinity)
		}
		res.Plugins[name]++
		switch name {
		case pluginnames.NodeResourcesFit:
			r.fit.reasons(s, func(reason string) { res.Reasons[reason]++ })
		case pluginnames.NodePorts:
			res.Reasons[reasonPorts]++
		case pluginnames.PodTopologySpread:
			res.Reasons[r.hard.refuses(i)]++
		case pluginnames.InterPodAffinity:
			res.Reasons[r.pods.refuses(i)]++
		default:
			for _, reason := range j.refused.Reasons() {
				res.Reasons[reason]++
			}
		}
	}
	res.Message = unfit(len(r.ok), res.Reasons)
	return nil
}

// reasonPorts is what NodePorts says of a node.
const reasonPorts = "node(s) didn't have free ports for the requested pod ports"

// unfit returns the message of a framework.FitError with the reasons, which it
// would make of a status for each node.
func unfit(nodes int, reasons map[string]int) string {
	all := make([]string, 0, len(reasons))
	for reason, n := range reasons {
		all = append(all, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(all)
	return fmt.Sprintf(framework.NoNodeAvailableMsg+": %s.", nodes, strings.Join(all, ", "))
}
