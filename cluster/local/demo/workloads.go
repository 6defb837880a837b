package demo

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespace of the services in the workload plane.
const namespace = "shop"

// A service of the shop.
type service struct {
	name     string
	cpu      string
	memory   string
	replicas int
	exposed  bool
}

// The services fill three quarters of two self-built clusters with four nodes of
// sixteen CPU each.
const (
	surging      = "checkout"
	normalDemand = 8
	surgeDemand  = 10 * normalDemand
	// ebbing is the service whose demand falls first, so that replicas of the
	// surging one can move home while they are still wanted.
	ebbing     = "search"
	ebbingFrom = 20
	ebbingTo   = 12
	// reserved replicas are guaranteed to the surging service by the emergency
	// claim.
	reserved = 12
)

var services = []service{
	{name: surging, cpu: "1", memory: "1Gi", replicas: normalDemand, exposed: true},
	{name: ebbing, cpu: "2", memory: "2Gi", replicas: ebbingFrom},
	{name: "catalog", cpu: "1", memory: "2Gi", replicas: 44},
}

// objects of a service: what a business team would apply, and nothing that
// knows of clusters.
func (s service) objects(pool map[string]string) []client.Object {
	app := map[string]string{"app": s.name}
	meta := func() metav1.ObjectMeta {
		labels := map[string]string{}
		for k, v := range pool {
			labels[k] = v
		}
		labels["app"] = s.name
		return metav1.ObjectMeta{Namespace: namespace, Name: s.name, Labels: labels}
	}
	out := []client.Object{
		&policyv1.PodDisruptionBudget{
			TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
			ObjectMeta: meta(),
			Spec: policyv1.PodDisruptionBudgetSpec{
				Selector:       &metav1.LabelSelector{MatchLabels: app},
				MaxUnavailable: ptr.To(intstr.FromString("25%")),
			},
		},
		&appsv1.Deployment{
			TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
			ObjectMeta: meta(),
			Spec: appsv1.DeploymentSpec{
				Replicas: ptr.To(int32(s.replicas)),
				Selector: &metav1.LabelSelector{MatchLabels: app},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: app},
					Spec: corev1.PodSpec{Containers: []corev1.Container{{
						Name: s.name, Image: "shop.example.org/" + s.name + ":1.0",
						Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
							corev1.ResourceCPU:    resource.MustParse(s.cpu),
							corev1.ResourceMemory: resource.MustParse(s.memory),
						}},
					}}},
				},
			},
		},
	}
	if s.exposed {
		out = append(out, &corev1.Service{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
			ObjectMeta: meta(),
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeClusterIP, Selector: app,
				Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
			},
		})
	}
	return out
}
