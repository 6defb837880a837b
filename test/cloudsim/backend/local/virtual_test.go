package local_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// TestVirtualNodes runs pods on the virtual nodes of a real control plane: they
// start after a while, are billed, wait for capacity, and go quickly.
func TestVirtualNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real control plane")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	sim, id, kube := realCluster(ctx, t, &cs.Addon{Name: tea.String("ack-virtual-node")})

	const node = "virtual-kubelet-cn-hangzhou-h"
	eventually(t, "the virtual node is ready", func() bool {
		n, err := kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		return err == nil && ready(*n) && len(n.Spec.Taints) == 1 && n.Labels["type"] == "virtual-kubelet"
	})
	begin := time.Now()
	deploy(ctx, t, kube, "web", 3)
	eventually(t, "the pods are bound", func() bool { return count(ctx, kube, func(p corev1.Pod) bool { return p.Spec.NodeName == node }) == 3 })
	if n := count(ctx, kube, func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }); n != 0 {
		t.Errorf("%d pods run before their images can be there", n)
	}
	eventually(t, "the deployment is available", func() bool {
		d, err := kube.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 3
	})
	if took := time.Since(begin); took < time.Second || took > 3*time.Second {
		t.Errorf("The pods took %s, want a little more than a second (60 to 70 virtual ones)", took)
	}
	eventually(t, "the pods are billed", func() bool { return pods(ctx, sim) == 3 })

	// Longer than the grace period of a node that does not report.
	time.Sleep(time.Minute)
	if n, err := kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); err != nil || !ready(*n) {
		t.Errorf("The virtual node should stay ready: %v", err)
	}

	if err := sim.Admin.SetStock(ctx, stock.Item{Key: stock.Key{Type: "eci"}, Count: 1}); err != nil {
		t.Fatalf("SetStock(...): %v", err)
	}
	scale(ctx, t, kube, "web", 5)
	eventually(t, "one pod more runs, and one says that there is no stock", func() bool {
		waiting := count(ctx, kube, func(p corev1.Pod) bool {
			for _, c := range p.Status.Conditions {
				if c.Type == "ContainerInstanceCreated" && c.Reason == "NoStock" {
					return p.Status.Phase == corev1.PodPending
				}
			}
			return false
		})
		return waiting == 1 && count(ctx, kube, podReady) == 4
	})
	eventually(t, "there is an event", func() bool {
		l, err := kube.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "reason=NoStock"})
		return err == nil && len(l.Items) > 0
	})
	if err := sim.Admin.SetStock(ctx, stock.Item{Key: stock.Key{Type: "eci"}, Count: 100}); err != nil {
		t.Fatalf("SetStock(...): %v", err)
	}
	eventually(t, "all pods run once there is stock", func() bool { return count(ctx, kube, podReady) == 5 })

	begin = time.Now()
	scale(ctx, t, kube, "web", 0)
	eventually(t, "the pods are gone", func() bool { return count(ctx, kube, func(corev1.Pod) bool { return true }) == 0 })
	eventually(t, "nothing is billed for them", func() bool { return pods(ctx, sim) == 0 })
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("The deletion took %s", took)
	}

	scale(ctx, t, kube, "web", 2)
	eventually(t, "the pods are back", func() bool { return pods(ctx, sim) == 2 })
	if _, err := sim.Client(t).UnInstallClusterAddons(id, &cs.UnInstallClusterAddonsRequest{
		Addons: []*cs.UnInstallClusterAddonsRequestAddons{{Name: tea.String("ack-virtual-node")}},
	}); err != nil {
		t.Fatalf("UnInstallClusterAddons(...): %v", err)
	}
	eventually(t, "the virtual node is gone with its pods", func() bool {
		l, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		return err == nil && len(l.Items) == 0 && pods(ctx, sim) == 0
	})
}

// TestSpotNotice: the condition of a spot instance that will be taken away stays
// on the node until it goes.
func TestSpotNotice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real control plane")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	sim, id, kube := realCluster(ctx, t)
	if _, err := sim.Client(t).CreateClusterNodePool(id, &cs.CreateClusterNodePoolRequest{
		NodepoolInfo: &cs.CreateClusterNodePoolRequestNodepoolInfo{Name: tea.String("spot")},
		ScalingGroup: &cs.CreateClusterNodePoolRequestScalingGroup{
			InstanceTypes: []*string{tea.String("ecs.g7.xlarge")}, VswitchIds: []*string{tea.String("vsw-1")}, DesiredSize: tea.Int64(1),
			SpotStrategy: tea.String("SpotAsPriceGo"),
		},
		KubernetesConfig: &cs.CreateClusterNodePoolRequestKubernetesConfig{},
	}); err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	node := ""
	eventually(t, "the node is ready", func() bool {
		l, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil || len(l.Items) != 1 || !ready(l.Items[0]) {
			return false
		}
		node = l.Items[0].Name
		return true
	})
	eventually(t, "the notice is given", func() bool { return sim.Admin.NodeEvent(ctx, node, "reclaim") == nil })
	begin := time.Now()
	expiring := func() bool {
		n, err := kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return false
		}
		for _, c := range n.Status.Conditions {
			if c.Type == "InstanceExpired" {
				return c.Status == corev1.ConditionTrue && c.Reason == "InstanceToBeTerminated" && ready(*n)
			}
		}
		return false
	}
	eventually(t, "the node says so", expiring)
	eventually(t, "there is an event", func() bool {
		l, err := kube.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "reason=InstanceToBeTerminated,involvedObject.name=" + node})
		return err == nil && len(l.Items) == 1
	})
	time.Sleep(3 * time.Second)
	if !expiring() {
		t.Errorf("The condition should stay")
	}
	eventually(t, "the node is gone", func() bool {
		_, err := kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		return kerrors.IsNotFound(err)
	})
	if took := time.Since(begin); took < 4500*time.Millisecond || took > 8*time.Second {
		t.Errorf("The node left after %s, want five seconds (300 virtual ones)", took)
	}
}

func podReady(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func count(ctx context.Context, kube kubernetes.Interface, match func(corev1.Pod) bool) int {
	l, err := kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		return -1
	}
	n := 0
	for _, p := range l.Items {
		if match(p) {
			n++
		}
	}
	return n
}

// pods that are billed.
func pods(ctx context.Context, sim *simtest.Sim) int {
	l, err := sim.Admin.Ledger(ctx)
	if err != nil {
		return -1
	}
	n := 0
	for _, o := range l.Live {
		if o.Kind == ledger.ECIPod {
			n++
		}
	}
	return n
}

func deploy(ctx context.Context, t *testing.T, kube kubernetes.Interface, name string, replicas int32) {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := kube.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: ptr.To[int64](300),
					Tolerations:                   []corev1.Toleration{{Key: "virtual-kubelet.io/provider", Operator: corev1.TolerationOpExists}},
					Containers: []corev1.Container{{Name: "main", Image: "nginx", Resources: corev1.ResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")},
					}}},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("Cannot create deployment: %v", err)
	}
}

func scale(ctx context.Context, t *testing.T, kube kubernetes.Interface, name string, replicas int) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	if _, err := kube.AppsV1().Deployments("default").Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "scale"); err != nil {
		t.Fatalf("Cannot scale %s: %v", name, err)
	}
}
