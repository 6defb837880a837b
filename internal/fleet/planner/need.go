package planner

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
)

// A need is replicas that want nodes.
type need struct {
	scheduler.Demand
	// who wants them, for a person.
	who  string
	left int32
	// soft replicas run on virtual nodes of the member only, or will in a
	// moment: nodes are ordered for them if they cost less than outside each.
	soft bool
	only *member
	// whole needs get nodes for all of their replicas or none.
	whole   bool
	outside int64

	// pods are a replica as each member that may run it would store it, why says
	// for the others why they may not.
	pods map[*member]*corev1.Pod
	why  map[*member]string
	// plain replicas look only at the node they run on, and at what else is there.
	plain bool
	kind  string
	info  *framework.PodInfo
	// private is of what a node has one only: a place for a replica that keeps
	// its like away, or a port of the host.
	private []string
}

func (p *plan) newNeed(d scheduler.Demand) *need {
	n := &need{Demand: d, who: d.Binding, left: d.Count, pods: map[*member]*corev1.Pod{}, why: map[*member]string{}}
	if d.Reservation != "" {
		n.who = "reservation " + d.Reservation
	}
	return n
}

// prepare finds out which members may run a need, and whether it is plain.
func (p *plan) prepare(n *need) {
	n.plain = !n.Template.Grouped()
	for _, m := range p.order {
		if !m.Elastic || n.only != nil && m != n.only {
			continue
		}
		if why := m.unusable(&n.Demand); why != "" {
			n.why[m] = why
			continue
		}
		pod, err := n.Template.Pod(m.fork.Base().Objects())
		if err != nil {
			n.why[m] = err.Error()
			continue
		}
		n.pods[m] = pod
		n.plain = n.plain && isPlain(pod) && !p.repelled(m, pod)
		if n.info == nil && n.plain {
			n.kind = kindOf(pod)
			n.info, err = framework.NewPodInfo(pod)
			n.plain = err == nil
			if err == nil {
				n.info.CalculateResource()
				n.private = privateOf(n.info)
			}
			continue
		}
		// Members may add different things to a pod, such as limits of a range.
		n.plain = n.plain && kindOf(pod) == n.kind && sameRequests(n.info, pod)
	}
	n.plain = n.plain && n.info != nil
}

// unusable says why demand may not be packed on a member.
func (m *member) unusable(d *scheduler.Demand) string {
	if why := d.Refused[m.Name]; why != "" {
		return why
	}
	switch m.State {
	case scheduler.Draining:
		return "the member is leaving"
	case scheduler.Frozen:
		return "the member does not answer"
	case scheduler.Absent, scheduler.Joining, scheduler.Serving:
	}
	return ""
}

// harmless volumes do not say on which node a pod runs, or how many pods.
func harmless(v *corev1.Volume) bool {
	return v.EmptyDir != nil || v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil || v.HostPath != nil || v.NFS != nil
}

// isPlain reports whether a pod looks only at the node it runs on: not at other
// pods, nor at where other nodes are.
func isPlain(pod *corev1.Pod) bool {
	s := &pod.Spec
	if len(s.ResourceClaims) > 0 || len(s.SchedulingGates) > 0 || s.NodeName != "" {
		return false
	}
	for i := range s.Volumes {
		if !harmless(&s.Volumes[i]) {
			return false
		}
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		if slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort > 0 && p.HostIP != "" && p.HostIP != anyIP }) {
			return false
		}
	}
	if slices.ContainsFunc(s.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool { return c.WhenUnsatisfiable == corev1.DoNotSchedule }) {
		return false
	}
	for key := range s.NodeSelector {
		if isPlace(key) {
			return false
		}
	}
	a := s.Affinity
	if a == nil {
		return true
	}
	if a.PodAffinity != nil && len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 || a.PodAntiAffinity != nil && !keepsLikeAway(pod) {
		return false
	}
	if a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		if len(t.MatchFields) > 0 || slices.ContainsFunc(t.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool { return isPlace(r.Key) }) {
			return false
		}
	}
	return true
}

// anyIP is all addresses of a host.
const anyIP = "0.0.0.0"

// keepsLikeAway reports whether all that the required anti-affinity of a pod
// says is that there is one of its like on a node.
func keepsLikeAway(pod *corev1.Pod) bool {
	pi, err := framework.NewPodInfo(pod)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(pi.GetRequiredAntiAffinityTerms(), func(t fwk.AffinityTerm) bool {
		own := t.NamespaceSelector == nil || t.NamespaceSelector.Empty() || t.NamespaceSelector.String() == labels.Nothing().String()
		return t.TopologyKey != corev1.LabelHostname || !own || !t.Matches(pod, nil)
	})
}

// privateOf returns of what a pod needs the only one on its node.
func privateOf(pi *framework.PodInfo) []string {
	var out []string
	pod := pi.GetPod()
	if len(pi.GetRequiredAntiAffinityTerms()) > 0 {
		// It cannot fail: these are API types.
		raw, _ := json.Marshal([]any{pod.Namespace, pod.Labels, pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution})
		out = append(out, string(raw))
	}
	for _, port := range hostPorts(pod) {
		out = append(out, portKey(port))
	}
	return out
}

func hostPorts(pod *corev1.Pod) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				out = append(out, p)
			}
		}
	}
	return out
}

func portKey(p corev1.ContainerPort) string { return fmt.Sprintf("port %s/%d", p.Protocol, p.HostPort) }

// free reports whether a node has what a need wants the only one of.
func (n *need) free(ni fwk.NodeInfo) bool {
	for _, t := range n.info.GetRequiredAntiAffinityTerms() {
		if slices.ContainsFunc(ni.GetPods(), func(pi fwk.PodInfo) bool { return t.Matches(pi.GetPod(), nil) }) {
			return false
		}
	}
	used := ni.GetUsedPorts()
	return !slices.ContainsFunc(hostPorts(n.info.GetPod()), func(p corev1.ContainerPort) bool {
		return used.CheckConflict(p.HostIP, string(p.Protocol), p.HostPort)
	})
}

// disentangle finds needs that keep replicas of others away, or are kept away by
// them: they are packed alone.
func disentangle(needs []*need) {
	for _, a := range needs {
		if !a.plain || len(a.info.GetRequiredAntiAffinityTerms()) == 0 {
			continue
		}
		for _, b := range needs {
			if a == b || b.info == nil && len(b.pods) == 0 || slices.Equal(a.private, b.private) {
				continue
			}
			other := (*corev1.Pod)(nil)
			for _, pod := range b.pods {
				other = pod
			}
			if other == nil {
				continue
			}
			for _, t := range a.info.GetRequiredAntiAffinityTerms() {
				if t.Matches(other, nil) {
					a.plain = false
				}
			}
		}
	}
}

// isPlace reports whether nodes of one offering may differ in a label.
func isPlace(label string) bool {
	switch label {
	case corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaZone:
		return true
	}
	return strings.HasPrefix(label, "topology.")
}

// repelled reports whether pods of a member keep a pod away from more than the
// node they run on.
func (p *plan) repelled(m *member, pod *corev1.Pod) bool {
	// It cannot fail on a fork.
	nodes, _ := m.fork.HavePodsWithRequiredAntiAffinityList()
	return slices.ContainsFunc(nodes, func(ni fwk.NodeInfo) bool {
		return repels(ni, pod, func(key string) bool { return key != corev1.LabelHostname })
	})
}

// repels reports whether a pod on a node keeps another away by an anti-affinity
// over one of the topologies.
func repels(ni fwk.NodeInfo, pod *corev1.Pod, topology func(key string) bool) bool {
	for _, pi := range ni.GetPodsWithRequiredAntiAffinity() {
		for _, t := range pi.GetRequiredAntiAffinityTerms() {
			// Which namespaces a selector means is not looked at: all may be.
			all := t.NamespaceSelector == nil || t.NamespaceSelector.Empty() || t.NamespaceSelector.String() != labels.Nothing().String()
			if topology(t.TopologyKey) && t.Selector.Matches(labels.Set(pod.Labels)) && (all || t.Namespaces.Has(pod.Namespace)) {
				return true
			}
		}
	}
	return false
}

// kindOf returns what decides on which nodes a plain pod may run, besides its
// requests. Pods of the same kind may run on the same nodes.
func kindOf(pod *corev1.Pod) string {
	s := &pod.Spec
	k := struct {
		Selector    map[string]string
		Affinity    *corev1.Affinity
		Tolerations []corev1.Toleration
		Scheduler   string
		OS          *corev1.PodOS
		Runtime     *string
		HostNetwork bool
	}{s.NodeSelector, nil, s.Tolerations, s.SchedulerName, s.OS, s.RuntimeClassName, s.HostNetwork}
	if a := s.Affinity; a != nil && a.NodeAffinity != nil {
		k.Affinity = &corev1.Affinity{NodeAffinity: a.NodeAffinity}
	}
	// It cannot fail: these are API types.
	raw, _ := json.Marshal(k)
	return string(raw)
}

func sameRequests(pi *framework.PodInfo, pod *corev1.Pod) bool {
	other, err := framework.NewPodInfo(pod)
	if err != nil || pi == nil {
		return false
	}
	a, b := requestsOf(pi), requestsOf(other)
	return a.GetMilliCPU() == b.GetMilliCPU() && a.GetMemory() == b.GetMemory() && a.GetEphemeralStorage() == b.GetEphemeralStorage() &&
		maps.Equal(a.GetScalarResources(), b.GetScalarResources())
}

// requestsOf a pod, as its scheduler counts them.
func requestsOf(pi *framework.PodInfo) fwk.Resource {
	return pi.CalculateResource().Resource
}

// weightless returns the pod without its requests.
func weightless(pod *corev1.Pod) *corev1.Pod {
	out := pod.DeepCopy()
	out.Spec.Overhead, out.Spec.Resources = nil, nil
	for _, cs := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range cs {
			cs[i].Resources = corev1.ResourceRequirements{}
		}
	}
	return out
}

// A verdict says whether nodes take pods of a kind, and if not why.
type verdict struct {
	takes   bool
	message string
}

// verdict of a node of an offering on a plain need, whatever it requests.
func (p *plan) verdict(n *need, o *offering) (verdict, error) {
	key := o.Name + "\n" + n.kind
	if v, ok := p.takes[key]; ok {
		return v, nil
	}
	node, daemons := p.templateAt(o, 0)
	node.Status.Allocatable = maps.Clone(node.Status.Allocatable)
	node.Status.Allocatable[corev1.ResourcePods] = *defaultPods
	res, err := simulation.Capacity(p.ctx, o.member.Simulator, node, daemons, weightless(n.pods[o.member]), o.member.fork.Base().Objects(), 1)
	if err != nil {
		if p.ctx.Err() != nil {
			return verdict{}, fmt.Errorf("cannot simulate %s on a node of %s: %w", n.who, o.Name, err)
		}
		return verdict{message: "cannot be simulated: " + err.Error()}, nil
	}
	v := verdict{takes: res.Placed > 0, message: res.Message}
	p.takes[key] = v
	return v, nil
}

// movable reports whether replicas may leave virtual nodes again: those whose
// controller deletes first what costs least to delete.
func (n *need) movable() bool {
	return n.Workload.Kind == "Deployment" || n.Workload.Kind == "ReplicaSet"
}
