package main

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A region is members of equal size whose nodes and pods are generated, not
// run. They look as kube-apiserver returns them: with all that kubelet, the
// controllers and admission write into them.
type region struct {
	members, nodes, podsPerNode int
	// workloads of the region, each a Deployment that runs in spread members.
	workloads, spread int
}

const (
	regionNamespaces  = 40
	regionNodeImages  = 40
	regionImages      = 400
	daemonPodsPerNode = 3
)

// born is when all of the region was made.
var born = metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

func (r *region) member(m int) string { return fmt.Sprintf("member-%02d", m) }

// workload w of the region.
func (r *region) workload(w int) snapshot.WorkloadKey {
	return snapshot.WorkloadKey{Namespace: fmt.Sprintf("team-%02d", w%regionNamespaces), Kind: "Deployment", Name: fmt.Sprintf("service-%05d", w)}
}

// runsIn returns the members in which workload w runs.
func (r *region) runsIn(w int) []int {
	out := make([]int, 0, r.spread)
	for i := range r.spread {
		out = append(out, (w*7+i)%r.members)
	}
	return out
}

// localWorkloads are the workloads that run in a member.
func (r *region) localWorkloads(m int) []int {
	var out []int
	for w := range r.workloads {
		for _, in := range r.runsIn(w) {
			if in == m {
				out = append(out, w)
			}
		}
	}
	return out
}

func image(i int) (name string, bytes int64) {
	return fmt.Sprintf("registry.example.org/platform/component-%03d", i%regionImages), int64(20+i%regionImages) << 20
}

// node i of member m: 30 labels, five conditions and 40 images with two names
// each, and a lease of managed fields.
func (r *region) node(m, i int) *corev1.Node {
	name := fmt.Sprintf("%s-node-%04d", r.member(m), i)
	labels := map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3), corev1.LabelTopologyRegion: "region-1",
		corev1.LabelInstanceTypeStable: "general-64",
	}
	for l := len(labels); l < 30; l++ {
		labels[fmt.Sprintf("feature.node.example.org/property-%02d", l)] = fmt.Sprintf("value-%d", (i+l)%5)
	}
	n := &corev1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(fmt.Sprintf("%08d-0000-4000-8000-%012d", m, i)), ResourceVersion: fmt.Sprint(1_000_000 + i), CreationTimestamp: born, Labels: labels,
			Annotations: map[string]string{
				"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true",
				"csi.volume.kubernetes.io/nodeid": fmt.Sprintf(`{"disk.csi.example.org":"i-%012d"}`, i),
			},
			ManagedFields: managed("kubelet", 2500),
		},
		Spec: corev1.NodeSpec{ProviderID: fmt.Sprintf("example://zone-%d/i-%012d", i%3, i), PodCIDR: fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), PodCIDRs: []string{fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)}},
		Status: corev1.NodeStatus{
			Capacity:    list("64", "256Gi", "400Gi", "110"),
			Allocatable: list("63500m", "250Gi", "380Gi", "110"),
			Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.0.%d.%d", i/256, i%256)}, {Type: corev1.NodeHostName, Address: name}},
			NodeInfo:    corev1.NodeSystemInfo{KernelVersion: "6.6.0", KubeletVersion: "v1.35.3", ContainerRuntimeVersion: "containerd://2.1.0", OperatingSystem: "linux", Architecture: "amd64"},
		},
	}
	for _, t := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeNetworkUnavailable} {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, Reason: "KubeletHasEnough", Message: "kubelet has enough of it", LastHeartbeatTime: born, LastTransitionTime: born})
	}
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status", LastHeartbeatTime: born, LastTransitionTime: born})
	for k := range regionNodeImages {
		repository, bytes := image(i*13 + k*7)
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{
			Names:     []string{fmt.Sprintf("%s@sha256:%064d", repository, bytes), repository + ":v1.4.2"},
			SizeBytes: bytes,
		})
	}
	return n
}

func list(cpu, memory, storage, pods string) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		corev1.ResourceEphemeralStorage: resource.MustParse(storage), corev1.ResourcePods: resource.MustParse(pods),
	}
}

func managed(manager string, size int) []metav1.ManagedFieldsEntry {
	return []metav1.ManagedFieldsEntry{{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &born, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:status":"` + strings.Repeat("f", size) + `"}`)}}}
}

// podTemplate of a workload: a main container and a sidecar with env, probes
// and mounts, config, secret and token volumes. One in eight has host
// anti-affinity, one in four is spread over zones.
func (r *region) podTemplate(k snapshot.WorkloadKey, w int) corev1.PodSpec {
	labels := map[string]string{"app.kubernetes.io/name": k.Name}
	spec := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SchedulerName: corev1.DefaultSchedulerName, ServiceAccountName: k.Name,
		DeprecatedServiceAccount: k.Name, TerminationGracePeriodSeconds: ptr.To[int64](30), EnableServiceLinks: ptr.To(true), Priority: ptr.To[int32](0),
		PreemptionPolicy: ptr.To(corev1.PreemptLowerPriority), SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), FSGroup: ptr.To[int64](1000)},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}},
		Tolerations: []corev1.Toleration{
			{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](300)},
			{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](300)},
			{Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "services", Effect: corev1.TaintEffectNoSchedule},
		},
		Volumes: []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: k.Name}}}},
			{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: k.Name}}},
			{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}},
		},
	}
	if w%4 == 1 {
		spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchLabels: labels}}}
	}
	if w%8 == 3 {
		spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: labels}},
		}}}}
	}
	for i, name := range []string{"main", "sidecar"} {
		repository, _ := image(w*3 + i)
		c := corev1.Container{
			Name: name, Image: repository + ":v1.4.2", ImagePullPolicy: corev1.PullIfNotPresent, Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: int32(8080 + i), Protocol: corev1.ProtocolTCP}},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(fmt.Sprintf("%dm", 100+100*(w%5))), corev1.ResourceMemory: resource.MustParse(fmt.Sprintf("%dMi", 256+128*(w%7)))},
				Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("2Gi")},
			},
			LivenessProbe:  &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz"}}, PeriodSeconds: 10},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz"}}, PeriodSeconds: 5},
			VolumeMounts:   []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config"}, {Name: "secret", MountPath: "/etc/secret"}, {Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
		}
		for e := range 8 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", e), Value: fmt.Sprintf("value of setting %d of %s", e, k.Name)})
		}
		spec.Containers = append(spec.Containers, c)
	}
	return spec
}

// pods calls yield for each pod of member m, as its API server has it.
func (r *region) pods(m int, yield func(*corev1.Pod)) {
	local := r.localWorkloads(m)
	shapes := make([]*corev1.Pod, len(local))
	for i, w := range local {
		shapes[i] = r.shape(r.workload(w), w, "ReplicaSet")
	}
	daemons := make([]*corev1.Pod, daemonPodsPerNode)
	for d := range daemons {
		daemons[d] = r.shape(snapshot.WorkloadKey{Namespace: "kube-system", Kind: "DaemonSet", Name: fmt.Sprintf("agent-%d", d)}, d*8, "DaemonSet")
	}
	for i := range r.nodes {
		node := fmt.Sprintf("%s-node-%04d", r.member(m), i)
		for j := range r.podsPerNode {
			serial := i*r.podsPerNode + j
			if j >= daemonPodsPerNode {
				yield(generatedPod(shapes[(i*(r.podsPerNode-daemonPodsPerNode)+j)%len(shapes)], m, serial, node))
				continue
			}
			p := generatedPod(daemons[j], m, serial, node)
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
			}}}}}
			yield(p)
		}
	}
}

// shape is what the pods of a workload have in common.
func (r *region) shape(k snapshot.WorkloadKey, w int, owner string) *corev1.Pod {
	hash := fmt.Sprintf("%09x", 0x5b8f4c000+w)
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: k.Namespace, GenerateName: k.Name + "-", Generation: 1, CreationTimestamp: born,
			Labels: map[string]string{
				"app.kubernetes.io/name": k.Name, "app.kubernetes.io/part-of": "platform", "app.kubernetes.io/version": "v1.4.2", "team": k.Namespace,
			},
			Annotations:     map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "kubectl.kubernetes.io/restartedAt": "2026-03-01T12:00:00Z"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: owner, Name: k.Name, UID: types.UID(fmt.Sprintf("%08d-1111-4000-8000-%012d", w, w)), Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}},
			ManagedFields:   append(managed("kube-controller-manager", 1800), managed("kubelet", 900)...),
		},
		Spec: r.podTemplate(k, w),
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, QOSClass: corev1.PodQOSBurstable, StartTime: &born, ObservedGeneration: 1,
		},
	}
	if owner == "ReplicaSet" {
		p.OwnerReferences[0].Name = k.Name + "-" + hash
		p.Labels["pod-template-hash"] = hash
	} else {
		p.Labels["controller-revision-hash"], p.Labels["pod-template-generation"] = hash, "1"
	}
	for _, t := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: born, ObservedGeneration: 1})
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image + fmt.Sprintf("@sha256:%064d", i), ContainerID: fmt.Sprintf("containerd://%064d", i), Ready: true, Started: ptr.To(true),
			State:              corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: born}},
			AllocatedResources: c.Resources.Requests, Resources: &c.Resources,
		})
	}
	return p
}

// generatedPod returns a pod of the supplied shape, with which it shares all that does
// not differ.
func generatedPod(shape *corev1.Pod, m, serial int, node string) *corev1.Pod {
	p := *shape
	p.Name = fmt.Sprintf("%s-%05x", p.OwnerReferences[0].Name, serial)
	p.UID = types.UID(fmt.Sprintf("%08d-2222-4000-8000-%012d", m, serial))
	p.ResourceVersion = fmt.Sprint(2_000_000 + serial)
	p.Spec.NodeName = node
	ip := fmt.Sprintf("10.%d.%d.%d", serial>>16, serial>>8&255, serial&255)
	p.Status.PodIP, p.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	p.Status.HostIP = "10.0.0.1"
	return &p
}
