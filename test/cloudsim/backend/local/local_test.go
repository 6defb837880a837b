package local_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/etcd"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/test/cloudsim/backend/local"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

// TestRealCluster creates a cluster through the API and uses it: a node comes,
// goes silent and returns; a Service and a claim are billed; the last node's
// drain hangs on coredns until that is scaled away; everything is given back.
func TestRealCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real control plane")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()

	sim, id, kube := realCluster(ctx, t)
	api := sim.Client(t)

	begin := time.Now()
	p, err := api.CreateClusterNodePool(id, &cs.CreateClusterNodePoolRequest{
		NodepoolInfo: &cs.CreateClusterNodePoolRequestNodepoolInfo{Name: tea.String("general")},
		ScalingGroup: &cs.CreateClusterNodePoolRequestScalingGroup{
			InstanceTypes: []*string{tea.String("ecs.g7.xlarge")}, VswitchIds: []*string{tea.String("vsw-1")}, DesiredSize: tea.Int64(1),
		},
		KubernetesConfig: &cs.CreateClusterNodePoolRequestKubernetesConfig{Taints: []*cs.Taint{}, Labels: []*cs.Tag{{Key: tea.String("tier"), Value: tea.String("burst")}}},
	})
	if err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	pool := p.Body.NodepoolId
	var node corev1.Node
	eventually(t, "a node is ready", func() bool {
		l, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "tier=burst,alibabacloud.com/nodepool-id=" + *pool})
		if err != nil || len(l.Items) != 1 {
			return false
		}
		node = l.Items[0]
		return ready(node)
	})
	t.Logf("node ready after %s", time.Since(begin))
	if !strings.HasPrefix(node.Spec.ProviderID, "cn-hangzhou.i-") || node.Labels[corev1.LabelTopologyZone] != "cn-hangzhou-h" {
		t.Errorf("The node is not one of ACK: %s %v", node.Spec.ProviderID, node.Labels)
	}
	instance := strings.TrimPrefix(node.Spec.ProviderID, "cn-hangzhou.")

	for _, event := range []string{"offline", "online"} {
		eventually(t, "the simulator takes the node "+event, func() bool { return sim.Admin.NodeEvent(ctx, instance, event) == nil })
		eventually(t, "the node is "+event, func() bool {
			n, err := kube.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
			return err == nil && ready(*n) == (event == "online")
		})
		if event == "offline" {
			time.Sleep(3 * time.Second)
			if n, err := kube.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{}); err != nil || ready(*n) {
				t.Errorf("The node should stay offline: %v", err)
			}
		}
	}

	billed(ctx, t, kube, sim)
	lastNode(ctx, t, kube, api, id, pool, instance)

	if _, err := api.DeleteClusterNodepool(id, pool, &cs.DeleteClusterNodepoolRequest{}); err != nil {
		t.Fatalf("DeleteClusterNodepool(...): %v", err)
	}
	eventually(t, "the pool is gone", func() bool {
		_, err := api.DescribeClusterNodePoolDetail(id, pool)
		return err != nil
	})
	if _, err := api.DeleteCluster(id, &cs.DeleteClusterRequest{}); err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	eventually(t, "nothing is billed any more", func() bool {
		l, err := sim.Admin.Ledger(ctx)
		return err == nil && len(l.Live) == 0
	})
	if _, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err == nil {
		t.Errorf("The control plane should be gone")
	}
}

// simulator starts a simulator whose clusters are real.
func simulator(ctx context.Context, t *testing.T) *simtest.Sim {
	t.Helper()
	dir := t.TempDir()
	bins, err := binaries.Ensure(ctx, filepath.Join(dir, "binaries"), progress.New(os.Stderr), "etcd", "kubernetes", "kwok")
	if err != nil {
		t.Fatalf("binaries.Ensure(...): %v", err)
	}
	procs, err := process.NewGroup(filepath.Join(dir, "logs"))
	if err != nil {
		t.Fatalf("process.NewGroup(...): %v", err)
	}
	t.Cleanup(procs.Stop)
	server, err := etcd.Start(ctx, etcd.Options{Dir: dir, Binaries: bins, Procs: procs})
	if err != nil {
		t.Fatalf("etcd.Start(...): %v", err)
	}
	b, err := local.New(filepath.Join(dir, "cloudsim"), server.URL(), bins.Dir(), slog.Default())
	if err != nil {
		t.Fatalf("local.New(...): %v", err)
	}
	t.Cleanup(b.Stop)
	return simtest.Start(t, simtest.Options{Backend: b, Factor: 60})
}

// realCluster starts a simulator that makes real control planes, and creates a
// cluster with it through the API.
func realCluster(ctx context.Context, t *testing.T, addons ...*cs.Addon) (*simtest.Sim, *string, kubernetes.Interface) {
	t.Helper()
	sim := simulator(ctx, t)
	api := sim.Client(t)

	begin := time.Now()
	r, err := api.CreateCluster(&cs.CreateClusterRequest{
		Name: tea.String("real"), RegionId: tea.String("cn-hangzhou"), ClusterType: tea.String("ManagedKubernetes"), Vpcid: tea.String("vpc-1"),
		VswitchIds: []*string{tea.String("vsw-1")}, ServiceCidr: tea.String("172.19.0.0/20"), ContainerCidr: tea.String("10.0.0.0/16"),
		SnatEntry: tea.Bool(false), Addons: append(addons, &cs.Addon{Name: tea.String("nginx-ingress-controller"), Disabled: tea.Bool(true)}),
	})
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	id := r.Body.ClusterId
	eventually(t, "the cluster runs", func() bool {
		d, err := api.DescribeClusterDetail(id)
		return err == nil && *d.Body.State == "running"
	})
	t.Logf("cluster running after %s", time.Since(begin))

	k, err := api.DescribeClusterUserKubeconfig(id, &cs.DescribeClusterUserKubeconfigRequest{TemporaryDurationMinutes: tea.Int64(60)})
	if err != nil {
		t.Fatalf("DescribeClusterUserKubeconfig(...): %v", err)
	}
	rc, err := clientcmd.RESTConfigFromKubeConfig([]byte(*k.Body.Config))
	if err != nil {
		t.Fatalf("The kubeconfig is not valid: %v", err)
	}
	kube, err := kubernetes.NewForConfig(rc)
	if err != nil {
		t.Fatalf("kubernetes.NewForConfig(...): %v", err)
	}
	return sim, id, kube
}

// billed makes a Service and a claim, sees them in the books, and deletes them.
func billed(ctx context.Context, t *testing.T, kube kubernetes.Interface, sim *simtest.Sim) {
	t.Helper()
	has := func(want ...ledger.Kind) func() bool {
		return func() bool {
			l, err := sim.Admin.Ledger(ctx)
			if err != nil {
				return false
			}
			got := []ledger.Kind{}
			for _, o := range l.Live {
				if o.Kind == ledger.ServiceSLB || o.Kind == ledger.DataDisk {
					got = append(got, o.Kind)
				}
			}
			slices.Sort(got)
			return slices.Equal(got, want)
		}
	}
	if _, err := kube.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("Cannot create service: %v", err)
	}
	if _, err := kube.CoreV1().PersistentVolumeClaims("default").Create(ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("20Gi")}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("Cannot create claim: %v", err)
	}
	eventually(t, "the service has an address and the claim is bound", func() bool {
		s, err := kube.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
		if err != nil || len(s.Status.LoadBalancer.Ingress) != 1 {
			return false
		}
		p, err := kube.CoreV1().PersistentVolumeClaims("default").Get(ctx, "data", metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.ClaimBound
	})
	eventually(t, "both are billed", has(ledger.DataDisk, ledger.ServiceSLB))
	if err := kube.CoreV1().Services("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatalf("Cannot delete service: %v", err)
	}
	if err := kube.CoreV1().PersistentVolumeClaims("default").Delete(ctx, "data", metav1.DeleteOptions{}); err != nil {
		t.Fatalf("Cannot delete claim: %v", err)
	}
	eventually(t, "neither is billed any more", has())
	eventually(t, "the service is gone", func() bool {
		_, err := kube.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
		return kerrors.IsNotFound(err)
	})
}

// lastNode drains the only node: it hangs until coredns is scaled to nothing.
func lastNode(ctx context.Context, t *testing.T, kube kubernetes.Interface, api *cs.Client, id, pool *string, instance string) {
	t.Helper()
	eventually(t, "coredns is available", func() bool {
		d, err := kube.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 2
	})
	eventually(t, "the budget allows one disruption", func() bool {
		p, err := kube.PolicyV1().PodDisruptionBudgets("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
		return err == nil && p.Status.DisruptionsAllowed == 1
	})
	r, err := api.RemoveNodePoolNodes(id, pool, &cs.RemoveNodePoolNodesRequest{
		InstanceIds: []*string{&instance}, DrainNode: tea.Bool(true), ReleaseNode: tea.Bool(true),
	})
	if err != nil {
		t.Fatalf("RemoveNodePoolNodes(...): %v", err)
	}
	eventually(t, "the drain says what blocks it", func() bool {
		i, err := api.DescribeTaskInfo(r.Body.TaskId)
		return err == nil && len(i.Body.Events) > 0 && strings.Contains(*i.Body.Events[0].Message, "coredns")
	})
	time.Sleep(4 * time.Second)
	i, err := api.DescribeTaskInfo(r.Body.TaskId)
	if err != nil || *i.Body.State != "running" || *i.Body.CurrentStage != "DrainNodes" {
		t.Errorf("The last node's drain should hang: %v %v", i, err)
	}
	if _, err := kube.AppsV1().Deployments("kube-system").Patch(ctx, "coredns", types.MergePatchType, []byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{}, "scale"); err != nil {
		t.Fatalf("Cannot scale coredns: %v", err)
	}
	eventually(t, "the node is gone", func() bool {
		d, err := api.DescribeClusterNodePoolDetail(id, pool)
		return err == nil && *d.Body.Status.TotalNodes == 0 && *d.Body.Status.State == "active" && *d.Body.ScalingGroup.DesiredSize == 0
	})
	l, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil || len(l.Items) != 0 {
		t.Errorf("The node should have left the cluster: %v %v", l, err)
	}
}

func ready(n corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("It did not happen that %s", what)
}
