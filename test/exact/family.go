package exact

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// apply gives a batch a rule of a family.
func (d dice) apply(f Family, b *Batch) {
	spec := &b.Template.Spec
	switch f {
	case Resources:
		d.resources(spec)
	case Extended:
		d.extended(spec)
	case Init, Sidecars:
		d.init(spec, f)
	case Overhead:
		spec.RuntimeClassName = ptr.To(classVMs)
	case Taints:
		spec.Tolerations = append(spec.Tolerations, d.toleration())
	case Cordoned:
		if d.one(2) {
			spec.Tolerations = append(spec.Tolerations, corev1.Toleration{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
		}
	case NodeAffinity:
		d.nodeAffinity(spec)
	case Anti, Affinity:
		d.podAffinity(f, b)
	case Spread, SoftSpread:
		d.spread(f, b)
	case HostPorts:
		d.hostPorts(spec)
	case Priority:
		spec.PriorityClassName = classNever
	case LimitRange:
		b.Namespace = namespaceLimited
		spec.Containers[0].Resources = corev1.ResourceRequirements{}
		if d.one(2) {
			spec.Containers[0].Resources.Limits = list("memory", d.mebibytes(100, 600))
		}
	case Gates:
		spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.org/wait"}}
	case Profiles:
		spec.SchedulerName = d.of(profilePacked, profileSpread)
	case Volumes, Attach:
		d.claim(b)
	}
}

func (d dice) resources(spec *corev1.PodSpec) {
	r := &spec.Containers[0].Resources
	switch d.IntN(6) {
	case 0:
		*r = corev1.ResourceRequirements{}
	case 1:
		*r = corev1.ResourceRequirements{Limits: list("cpu", d.millis(100, 2000), "memory", d.mebibytes(64, 3000))}
	case 2:
		r.Requests = list("cpu", d.millis(100, 1500), "memory", d.mebibytes(64, 3000), "ephemeral-storage", d.mebibytes(100, 9000))
	case 3:
		// Resources of the pod as a whole.
		spec.Resources = &corev1.ResourceRequirements{Requests: list("cpu", d.millis(400, 1500), "memory", d.mebibytes(400, 2000))}
	default:
		r.Requests = list("cpu", d.millis(100, 1500), "memory", d.mebibytes(64, 3000))
		spec.Containers = append(spec.Containers, corev1.Container{Name: "d", Image: "example.org/side:1", Resources: corev1.ResourceRequirements{
			Requests: list("cpu", d.millis(1, 300)),
		}})
	}
}

func (d dice) extended(spec *corev1.PodSpec) {
	r := &spec.Containers[0].Resources
	r.Requests = maps.Clone(r.Requests)
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	r.Limits = maps.Clone(r.Limits)
	if r.Limits == nil {
		r.Limits = corev1.ResourceList{}
	}
	if d.one(3) {
		maps.Copy(r.Limits, list("hugepages-2Mi", d.of("2Mi", "32Mi", "64Mi")))
		if len(r.Requests) == 0 {
			// Huge pages need cpu or memory beside them.
			maps.Copy(r.Requests, list("cpu", "100m"))
		}
		return
	}
	maps.Copy(r.Limits, list(string(gpu), fmt.Sprint(d.between(1, 2))))
}

func (d dice) init(spec *corev1.PodSpec, f Family) {
	for range d.between(1, 3) {
		c := corev1.Container{Name: fmt.Sprintf("i%d", len(spec.InitContainers)), Image: "example.org/init:1", Resources: corev1.ResourceRequirements{
			Requests: list("cpu", d.millis(50, 1500), "memory", d.mebibytes(32, 1500)),
		}}
		if f == Sidecars {
			c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
			c.Resources.Requests = list("cpu", d.millis(10, 400), "memory", d.mebibytes(16, 400))
		}
		// Where both families meet, what starts before a sidecar and what starts
		// after it count differently.
		spec.InitContainers = slices.Insert(spec.InitContainers, d.IntN(len(spec.InitContainers)+1), c)
	}
}

func (d dice) toleration() corev1.Toleration {
	t := corev1.Toleration{Key: d.of("dedicated", "old"), Operator: corev1.TolerationOpExists}
	switch d.IntN(5) {
	case 0:
		t.Operator, t.Value = corev1.TolerationOpEqual, d.of("a", "b")
	case 1:
		t.Effect = corev1.TaintEffectNoSchedule
	case 2:
		t.Effect, t.TolerationSeconds = corev1.TaintEffectNoExecute, ptr.To(int64(60))
	case 3:
		t.Key = ""
	}
	return t
}

func (d dice) nodeAffinity(spec *corev1.PodSpec) {
	if d.one(3) {
		spec.NodeSelector = map[string]string{"disk": d.of("ssd", "hdd")}
		return
	}
	requirement := func() corev1.NodeSelectorRequirement {
		switch d.IntN(6) {
		case 0:
			return corev1.NodeSelectorRequirement{Key: "cores", Operator: corev1.NodeSelectorOpGt, Values: []string{fmt.Sprint(d.between(1, 3))}}
		case 1:
			return corev1.NodeSelectorRequirement{Key: rackLabel, Operator: corev1.NodeSelectorOpNotIn, Values: []string{"z0-r0", "z1-r1"}}
		case 2:
			return corev1.NodeSelectorRequirement{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpExists}
		case 3:
			return corev1.NodeSelectorRequirement{Key: gpuLabel, Operator: corev1.NodeSelectorOpDoesNotExist}
		}
		return corev1.NodeSelectorRequirement{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{d.of("z0", "z1"), d.of("z1", "z2")}}
	}
	a := &corev1.NodeAffinity{}
	if !d.one(5) {
		s := &corev1.NodeSelector{}
		for range d.between(1, 2) {
			t := corev1.NodeSelectorTerm{}
			for range d.between(1, 2) {
				t.MatchExpressions = append(t.MatchExpressions, requirement())
			}
			s.NodeSelectorTerms = append(s.NodeSelectorTerms, t)
		}
		a.RequiredDuringSchedulingIgnoredDuringExecution = s
	}
	if d.one(2) {
		a.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.PreferredSchedulingTerm{{Weight: int32(d.between(1, 100)), Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{requirement()}}}}
	}
	affinity(spec).NodeAffinity = a
}

// gpuLabel is on no node.
const gpuLabel = "gpu-model"

func affinity(spec *corev1.PodSpec) *corev1.Affinity {
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	return spec.Affinity
}

// selector matches the batch's own pods in half of the cases.
func (d dice) selector(b *Batch) *metav1.LabelSelector {
	app := b.Template.Labels["app"]
	switch d.IntN(8) {
	case 0, 1, 2:
		app = d.of(apps...)
	case 3:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{app}}}}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func (d dice) term(b *Batch) corev1.PodAffinityTerm {
	t := corev1.PodAffinityTerm{TopologyKey: keys[d.IntN(len(keys))], LabelSelector: d.selector(b)}
	switch d.IntN(8) {
	case 0:
		t.Namespaces = []string{namespaceOther}
	case 1:
		t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}
	case 2:
		t.NamespaceSelector = &metav1.LabelSelector{}
	case 3:
		t.MatchLabelKeys = []string{"rev"}
	case 4:
		t.MismatchLabelKeys = []string{"rev"}
	}
	return t
}

func (d dice) podAffinity(f Family, b *Batch) {
	var required []corev1.PodAffinityTerm
	var preferred []corev1.WeightedPodAffinityTerm
	for range d.between(1, 2) {
		if d.one(4) {
			preferred = append(preferred, corev1.WeightedPodAffinityTerm{Weight: int32(d.between(1, 100)), PodAffinityTerm: d.term(b)})
			continue
		}
		required = append(required, d.term(b))
	}
	a := affinity(&b.Template.Spec)
	if f == Anti {
		a.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required, PreferredDuringSchedulingIgnoredDuringExecution: preferred}
		return
	}
	a.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required, PreferredDuringSchedulingIgnoredDuringExecution: preferred}
}

func (d dice) spread(f Family, b *Batch) {
	spec := &b.Template.Spec
	for range d.between(1, 2) {
		c := corev1.TopologySpreadConstraint{MaxSkew: int32(d.between(1, 3)), TopologyKey: keys[d.IntN(len(keys))], WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: d.selector(b)}
		if f == Spread {
			c.WhenUnsatisfiable = corev1.DoNotSchedule
			if d.one(5) {
				c.MinDomains = ptr.To(int32(d.between(1, 4)))
			}
		}
		if d.one(4) {
			c.NodeTaintsPolicy = ptr.To(corev1.NodeInclusionPolicyHonor)
		}
		if d.one(4) {
			c.NodeAffinityPolicy = ptr.To(corev1.NodeInclusionPolicyIgnore)
		}
		if d.one(5) {
			c.MatchLabelKeys = []string{"rev"}
		}
		// A key may be there once for each kind of constraint.
		if !slices.ContainsFunc(spec.TopologySpreadConstraints, func(o corev1.TopologySpreadConstraint) bool {
			return o.TopologyKey == c.TopologyKey && o.WhenUnsatisfiable == c.WhenUnsatisfiable
		}) {
			spec.TopologySpreadConstraints = append(spec.TopologySpreadConstraints, c)
		}
	}
}

func (d dice) hostPorts(spec *corev1.PodSpec) {
	port := corev1.ContainerPort{ContainerPort: 80, HostPort: int32(d.between(8080, 8081))}
	switch d.IntN(5) {
	case 0:
		port.HostIP = d.of("127.0.0.1", "10.0.0.1")
	case 1:
		port.Protocol = corev1.ProtocolUDP
	case 2:
		port.HostPort, port.ContainerPort = 0, port.HostPort
		spec.HostNetwork = true
	}
	spec.Containers[0].Ports = []corev1.ContainerPort{port}
}

// claim gives every pod a volume of its own, or all of them the same.
func (d dice) claim(b *Batch) {
	spec := &b.Template.Spec
	if b.Namespace != namespaceLimited && d.one(3) {
		b.Namespace = namespaceWork
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: d.of(claimShared, claimShared, claimSingle)},
		}})
		return
	}
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
		VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: ptr.To(classZonal),
			Resources: corev1.VolumeResourceRequirements{Requests: list("storage", "1Gi")},
		}},
	}}})
}
