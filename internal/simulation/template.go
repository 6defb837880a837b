package simulation

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	hashutil "k8s.io/kubernetes/pkg/util/hash"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// tolerationSeconds is for how long pods tolerate that their node is not ready
// or unreachable, unless they say otherwise: the default of the API server's
// flags --default-not-ready-toleration-seconds and
// --default-unreachable-toleration-seconds.
const tolerationSeconds = 300

// A PodOption changes the pod made from a template.
type PodOption func(*corev1.Pod, *corev1.PodTemplateSpec)

// OwnedBy makes the pod one of the named workload, as the workload's controller
// in the member would: a pod of a Deployment gets the label pod-template-hash
// and a ReplicaSet as its owner. The hash is the one that a Deployment
// controller of our Kubernetes version computes for a template that has its API
// defaults, as one read from an API server has, so that pods that run already
// from the same template count as siblings; where it does not match, SiblingOf
// helps. It matters to spread constraints with matchLabelKeys and to the
// default spreading of pods without constraints.
//
// A template must not change once the option was used with it: to hash it takes
// longer than all the rest.
func OwnedBy(apiVersion, kind, name string) PodOption {
	type hashed struct {
		template *corev1.PodTemplateSpec
		hash     string
	}
	var last atomic.Pointer[hashed]
	hash := func(t *corev1.PodTemplateSpec) string {
		h := last.Load()
		if h == nil || h.template != t {
			h = &hashed{t, templateHash(t)}
			last.Store(h)
		}
		return h.hash
	}
	return func(p *corev1.Pod, t *corev1.PodTemplateSpec) {
		// The option is used for many pods.
		apiVersion, kind, name := apiVersion, kind, name
		p.Name = name
		if kind == "Deployment" {
			h := hash(t)
			if p.Labels == nil {
				p.Labels = map[string]string{}
			}
			p.Labels["pod-template-hash"] = h
			apiVersion, kind, name = "apps/v1", "ReplicaSet", name+"-"+h
		}
		isController := true
		p.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: apiVersion, Kind: kind, Name: name,
			UID: types.UID("simulated-" + kind + "-" + name), Controller: &isController,
		}}
	}
}

// SiblingOf makes the pod one of the same template revision and workload as a
// pod that runs already: it takes over the owner and the labels that tell
// revisions apart.
func SiblingOf(s *corev1.Pod) PodOption {
	return func(p *corev1.Pod, _ *corev1.PodTemplateSpec) {
		p.OwnerReferences = s.OwnerReferences
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		for _, k := range []string{"pod-template-hash", "controller-revision-hash", "pod-template-generation"} {
			if v, ok := s.Labels[k]; ok {
				p.Labels[k] = v
			}
		}
	}
}

// WithClaimTemplates gives every copy of the pod claims of its own, as a
// StatefulSet with the supplied volumeClaimTemplates does. A volume of the
// template's name takes the place of one in the pod.
func WithClaimTemplates(ts ...corev1.PersistentVolumeClaim) PodOption {
	return func(p *corev1.Pod, _ *corev1.PodTemplateSpec) {
		for i := range ts {
			p.Spec.Volumes = slices.DeleteFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == ts[i].Name })
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: ts[i].Name, VolumeSource: corev1.VolumeSource{
				Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
					ObjectMeta: metav1.ObjectMeta{Labels: ts[i].Labels, Annotations: ts[i].Annotations},
					Spec:       *ts[i].Spec.DeepCopy(),
				}},
			}})
		}
	}
}

// NewPod returns the pod that a member's API server would store if a workload's
// controller made one from the template in the namespace: with the API defaults
// that matter to a scheduler, and with what the default admission plugins add (priority, overhead and
// scheduling of the runtime class, defaults of limit ranges, tolerations of
// nodes that are not ready). Objects are those of the member; nil is none. An
// error says why the API server would refuse the pod.
func NewPod(t *corev1.PodTemplateSpec, namespace string, objs *snapshot.Objects, o ...PodOption) (*corev1.Pod, error) {
	p := &corev1.Pod{ObjectMeta: *t.ObjectMeta.DeepCopy(), Spec: *t.Spec.DeepCopy()}
	p.Namespace = namespace
	if p.Name == "" {
		p.Name = "pod"
	}
	for _, fn := range o {
		fn(p, t)
	}
	setDefaults(p)
	if err := admitPriority(p, objs); err != nil {
		return nil, err
	}
	if err := admitRuntimeClass(p, objs); err != nil {
		return nil, err
	}
	admitLimitRanges(p, objs)
	admitTolerations(p)
	mergeLabelKeys(p)
	return p, nil
}

func admitPriority(p *corev1.Pod, objs *snapshot.Objects) error {
	var prio int32
	var policy *corev1.PreemptionPolicy
	switch name := p.Spec.PriorityClassName; name {
	case "":
		found := false
		for _, o := range objs.Set(snapshot.PriorityClasses).Items() {
			// Of several global defaults the API server takes the lowest.
			if c, ok := o.(*schedulingv1.PriorityClass); ok && c.GlobalDefault && (!found || c.Value < prio) {
				found, prio, policy = true, c.Value, c.PreemptionPolicy
				p.Spec.PriorityClassName = c.Name
			}
		}
	case "system-cluster-critical":
		prio = 2000000000
	case "system-node-critical":
		prio = 2000001000
	default:
		c, ok := objs.Set(snapshot.PriorityClasses).Get("", name).(*schedulingv1.PriorityClass)
		if !ok {
			return fmt.Errorf("cannot make a pod in namespace %q: there is no priority class %q", p.Namespace, name)
		}
		prio, policy = c.Value, c.PreemptionPolicy
	}
	p.Spec.Priority = &prio
	if p.Spec.PreemptionPolicy == nil {
		p.Spec.PreemptionPolicy = policy
	}
	return nil
}

func admitRuntimeClass(p *corev1.Pod, objs *snapshot.Objects) error {
	if p.Spec.RuntimeClassName == nil || *p.Spec.RuntimeClassName == "" {
		return nil
	}
	c, ok := objs.Set(snapshot.RuntimeClasses).Get("", *p.Spec.RuntimeClassName).(*nodev1.RuntimeClass)
	if !ok {
		return fmt.Errorf("cannot make a pod in namespace %q: there is no runtime class %q", p.Namespace, *p.Spec.RuntimeClassName)
	}
	if c.Overhead != nil {
		p.Spec.Overhead = c.Overhead.PodFixed
	}
	if c.Scheduling == nil {
		return nil
	}
	sel := maps.Clone(c.Scheduling.NodeSelector)
	for k, v := range p.Spec.NodeSelector {
		if have, ok := sel[k]; ok && have != v {
			return fmt.Errorf("cannot make a pod in namespace %q: its node selector %s=%s conflicts with runtime class %q", p.Namespace, k, v, c.Name)
		}
		if sel == nil {
			sel = map[string]string{}
		}
		sel[k] = v
	}
	p.Spec.NodeSelector = sel
	p.Spec.Tolerations = append(p.Spec.Tolerations, c.Scheduling.Tolerations...)
	return nil
}

// admitLimitRanges gives containers without requests or limits those of the
// namespace. API defaults come first: a limit has become a request already.
func admitLimitRanges(p *corev1.Pod, objs *snapshot.Objects) {
	for _, o := range objs.Set(snapshot.LimitRanges).Items() {
		lr, ok := o.(*corev1.LimitRange)
		if !ok || lr.Namespace != p.Namespace {
			continue
		}
		for i := range lr.Spec.Limits {
			item := &lr.Spec.Limits[i]
			if item.Type != corev1.LimitTypeContainer {
				continue
			}
			for _, cs := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
				for j := range cs {
					fill(&cs[j].Resources.Requests, item.DefaultRequest)
					fill(&cs[j].Resources.Limits, item.Default)
				}
			}
		}
	}
}

func fill(have *corev1.ResourceList, defaults corev1.ResourceList) {
	for k, v := range defaults {
		if _, ok := (*have)[k]; ok {
			continue
		}
		if *have == nil {
			*have = corev1.ResourceList{}
		}
		(*have)[k] = v.DeepCopy()
	}
}

func admitTolerations(p *corev1.Pod) {
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		tolerated := slices.ContainsFunc(p.Spec.Tolerations, func(t corev1.Toleration) bool {
			return (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "")
		})
		if tolerated {
			continue
		}
		seconds := int64(tolerationSeconds)
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{
			Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
		})
	}
}

// templateHash is the hash by which a Deployment controller tells templates
// apart (k8s.io/kubernetes/pkg/controller.ComputeHash without collisions).
func templateHash(t *corev1.PodTemplateSpec) string {
	h := fnv.New32a()
	hashutil.DeepHashObject(h, *t)
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}
