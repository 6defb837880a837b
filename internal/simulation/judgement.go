package simulation

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	fwk "k8s.io/kube-scheduler/framework"
	pluginnames "k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// maxJudgements is how many kinds of pods a view remembers judgements of. Most
// workloads of a region tolerate and select the same.
const maxJudgements = 32

// A judgement is what the plugins that look at the Node object only say of each
// node, for all pods with the same tolerations, node selector and node affinity.
type judgement struct {
	// of has it by slot.
	of   []judged
	read reader
}

// judged is what they say of one node.
type judged struct {
	node *corev1.Node
	// refused is why the node is not feasible, and by the how manieth Filter
	// plugin; nil if it is.
	refused *fwk.Status
	by      int
	// matches says that required node affinity does, tolerated that the pod
	// tolerates all taints that keep pods away: what spread constraints ask.
	matches, tolerated bool
	// The raw scores of TaintToleration and NodeAffinity.
	taints, preferred int64
}

// judgement returns what is known of each node for pods like this one, up to
// date. The state must have what PreFilter left there.
func (r *quickRun) judgement(ctx context.Context, pod *corev1.Pod) (*judgement, error) {
	v := r.view
	spec := corev1.PodSpec{NodeName: pod.Spec.NodeName, Tolerations: pod.Spec.Tolerations, NodeSelector: pod.Spec.NodeSelector}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		spec.Affinity = &corev1.Affinity{NodeAffinity: a.NodeAffinity}
	}
	raw, err := spec.Marshal()
	if err != nil {
		return nil, fmt.Errorf("cannot encode what the pod asks of nodes: %w", err)
	}
	key := r.profile.name + "\x00" + string(raw)
	j, ok := v.judgements[key]
	if !ok {
		if len(v.judgements) >= maxJudgements {
			clear(v.judgements)
		}
		j = &judgement{}
		v.judgements[key] = j
	}
	if len(j.of) < len(v.slots) {
		j.of = append(j.of, make([]judged, len(v.slots)-len(j.of))...)
	}
	var judge func(i int) (judged, error)
	before := j.read
	err = v.news(&j.read, func(i int, at int32) (err error) {
		if j.of[at].node == v.slots[at].node {
			return nil
		}
		if judge == nil {
			if judge, err = r.judge(ctx, pod); err != nil {
				return err
			}
		}
		j.of[at], err = judge(i)
		return err
	})
	if err != nil {
		j.read = before
		return nil, err
	}
	return j, nil
}

// judge returns a function that judges node i.
func (r *quickRun) judge(ctx context.Context, pod *corev1.Pod) (func(i int) (judged, error), error) {
	for _, name := range []string{pluginnames.TaintToleration, pluginnames.NodeAffinity} {
		if pl, ok := r.profile.plugins[name].(fwk.PreScorePlugin); ok && r.profile.weights[name] > 0 {
			if s := pl.PreScore(ctx, r.state, pod, nil); !s.IsSuccess() && !s.IsSkip() {
				return nil, s.AsError()
			}
		}
	}
	required := nodeaffinity.GetRequiredNodeAffinity(pod)
	taints, _ := r.profile.plugins[pluginnames.TaintToleration].(fwk.FilterPlugin)
	score := func(name string, info fwk.NodeInfo, out *int64) error {
		pl, ok := r.profile.plugins[name].(fwk.ScorePlugin)
		if !ok || r.profile.weights[name] == 0 {
			return nil
		}
		n, s := pl.Score(ctx, r.state, pod, info)
		*out = n
		return s.AsError()
	}
	return func(i int) (judged, error) {
		info := r.fork.At(i)
		out := judged{node: info.Node(), tolerated: true}
		for at, name := range r.profile.filter {
			if !nodeFilter.Has(name) || r.skip.Has(name) {
				continue
			}
			s := r.profile.plugins[name].(fwk.FilterPlugin).Filter(ctx, r.state, pod, info)
			if s.IsSuccess() {
				continue
			}
			if !s.IsRejected() {
				return out, s.AsError()
			}
			s.SetPlugin(name)
			out.refused, out.by = s, at
			break
		}
		// Parse errors are ignored as the plugins do.
		out.matches, _ = required.Match(out.node)
		if taints != nil {
			out.tolerated = taints.Filter(ctx, r.state, pod, info).IsSuccess()
		}
		if err := score(pluginnames.TaintToleration, info, &out.taints); err != nil {
			return out, err
		}
		return out, score(pluginnames.NodeAffinity, info, &out.preferred)
	}, nil
}
