package local_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

// TestTencentCluster takes a cluster of the other cloud through its life in the
// order that works there: a super node, then the public endpoint, then use; a
// pod is billed on the super node, and drained from it; a CVM becomes a node and
// leaves; a Service is billed; all goes in the end.
func TestTencentCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real control plane")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	sim := simulator(ctx, t)
	api := sim.TKEClient(t, "ap-guangzhou")
	id := tencentCluster(t, api)

	v := tke.NewCreateClusterVirtualNodePoolRequest()
	v.ClusterId, v.Name, v.SubnetIds = id, p("virtual"), []*string{p("subnet-gz1")}
	pool, err := api.CreateClusterVirtualNodePool(v)
	if err != nil {
		t.Fatalf("CreateClusterVirtualNodePool(...): %v", err)
	}
	var super string
	eventually(t, "the super node runs", func() bool {
		r := tke.NewDescribeClusterVirtualNodeRequest()
		r.ClusterId = id
		a, err := api.DescribeClusterVirtualNode(r)
		if err != nil || len(a.Response.Nodes) != 1 {
			return false
		}
		super = *a.Response.Nodes[0].Name
		return *a.Response.Nodes[0].Phase == "Running"
	})
	kube := tencentClient(t, api, id)

	m := tke.NewModifyClusterVirtualNodePoolRequest()
	m.ClusterId, m.NodePoolId, m.Labels = id, pool.Response.NodePoolId, []*tke.Label{{Name: p("tier"), Value: p("burst")}}
	if _, err := api.ModifyClusterVirtualNodePool(m); err != nil {
		t.Fatalf("ModifyClusterVirtualNodePool(...): %v", err)
	}
	eventually(t, "the label reaches the super node", func() bool {
		n, err := kube.CoreV1().Nodes().Get(ctx, super, metav1.GetOptions{})
		return err == nil && n.Labels["tier"] == "burst"
	})

	superPod(ctx, t, kube, sim, super)
	d := tke.NewDrainClusterVirtualNodeRequest()
	d.ClusterId, d.NodeName = id, &super
	if _, err := api.DrainClusterVirtualNode(d); err != nil {
		t.Fatalf("DrainClusterVirtualNode(...): %v", err)
	}
	eventually(t, "the super node is drained, and nothing billed", func() bool { return books(ctx, sim)[ledger.SupernodePod] == 0 })

	cvm(ctx, t, api, kube, id)

	if _, err := kube.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "lb"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("Create(service): %v", err)
	}
	eventually(t, "the Service is billed", func() bool { return books(ctx, sim)[ledger.ServiceCLB] == 1 })

	r := tke.NewDeleteClusterRequest()
	r.ClusterId, r.InstanceDeleteMode = id, p("terminate")
	r.ResourceDeleteOptions = []*tke.ResourceDeleteOption{{ResourceType: p("CLB"), DeleteMode: p("terminate")}}
	if _, err := api.DeleteCluster(r); err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	eventually(t, "nothing is left", func() bool { return len(books(ctx, sim)) == 0 })
}

func p[T any](v T) *T { return &v }

func tencentCluster(t *testing.T, api *tke.Client) *string {
	t.Helper()
	q := tke.NewCreateClusterRequest()
	q.ClusterType = p("MANAGED_CLUSTER")
	q.ClusterBasicSettings = &tke.ClusterBasicSettings{ClusterName: p("real"), VpcId: p("vpc-gz1")}
	q.ClusterCIDRSettings = &tke.ClusterCIDRSettings{ClusterCIDR: p("172.16.0.0/16")}
	a, err := api.CreateCluster(q)
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	eventually(t, "the cluster runs", func() bool {
		r := tke.NewDescribeClusterStatusRequest()
		r.ClusterIds = []*string{a.Response.ClusterId}
		b, err := api.DescribeClusterStatus(r)
		return err == nil && len(b.Response.ClusterStatusSet) == 1 && *b.Response.ClusterStatusSet[0].ClusterState == "Running"
	})
	return a.Response.ClusterId
}

// tencentClient opens the public endpoint, waits for its address, and puts that
// into the kubeconfig, whose own server need not resolve.
func tencentClient(t *testing.T, api *tke.Client, id *string) kubernetes.Interface {
	t.Helper()
	q := tke.NewCreateClusterEndpointRequest()
	q.ClusterId, q.IsExtranet, q.SecurityGroup = id, p(true), p("sg-gz1")
	if _, err := api.CreateClusterEndpoint(q); err != nil {
		t.Fatalf("CreateClusterEndpoint(...): %v", err)
	}
	var address, ca string
	eventually(t, "the endpoint has an address", func() bool {
		r := tke.NewDescribeClusterEndpointsRequest()
		r.ClusterId = id
		a, err := api.DescribeClusterEndpoints(r)
		if err != nil {
			return false
		}
		address, ca = *a.Response.ClusterExternalEndpoint, *a.Response.CertificationAuthority
		return address != ""
	})
	k := tke.NewDescribeClusterKubeconfigRequest()
	k.ClusterId = id
	a, err := api.DescribeClusterKubeconfig(k)
	if err != nil {
		t.Fatalf("DescribeClusterKubeconfig(...): %v", err)
	}
	rc, err := clientcmd.RESTConfigFromKubeConfig([]byte(*a.Response.Kubeconfig))
	if err != nil {
		t.Fatalf("The kubeconfig is not valid: %v", err)
	}
	if string(rc.CAData) != ca {
		t.Errorf("The CA of the endpoints is not that of the kubeconfig")
	}
	rc.Host = "https://" + address
	kube, err := kubernetes.NewForConfig(rc)
	if err != nil {
		t.Fatalf("kubernetes.NewForConfig(...): %v", err)
	}
	return kube
}

// books counts the live objects by kind.
func books(ctx context.Context, sim *simtest.Sim) map[ledger.Kind]int {
	l, err := sim.Admin.Ledger(ctx)
	if err != nil {
		return map[ledger.Kind]int{"unknown": 1}
	}
	out := map[ledger.Kind]int{}
	for _, o := range l.Live {
		out[o.Kind]++
	}
	return out
}

// superPod runs one pod that tolerates super nodes; there is no other node.
func superPod(ctx context.Context, t *testing.T, kube kubernetes.Interface, sim *simtest.Sim, super string) {
	t.Helper()
	labels := map[string]string{"app": "burst"}
	if _, err := kube.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "burst"},
		Spec: appsv1.DeploymentSpec{Replicas: p(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{
				Tolerations: []corev1.Toleration{{Key: "eks.tke.cloud.tencent.com/eklet", Operator: corev1.TolerationOpExists}},
				Containers: []corev1.Container{{Name: "c", Image: "web", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("2Gi"),
				}}}},
			},
		}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("Create(deployment): %v", err)
	}
	eventually(t, "the pod is ready on the super node", func() bool {
		l, err := kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=burst"})
		return err == nil && len(l.Items) == 1 && l.Items[0].Spec.NodeName == super && podReady(l.Items[0])
	})
	if n := books(ctx, sim)[ledger.SupernodePod]; n != 1 {
		t.Errorf("One pod on a super node should be billed, not %d", n)
	}
}

// cvm brings a node of a node pool and takes it away.
func cvm(ctx context.Context, t *testing.T, api *tke.Client, kube kubernetes.Interface, id *string) {
	t.Helper()
	group, _ := json.Marshal(map[string]any{"VpcId": "vpc-gz1", "SubnetIds": []string{"subnet-gz1"}, "MinSize": 0, "MaxSize": 5, "DesiredCapacity": 1})
	launch, _ := json.Marshal(map[string]any{
		"InstanceType": "S5.LARGE8", "SystemDisk": map[string]any{"DiskType": "CLOUD_PREMIUM", "DiskSize": 50}, "InternetAccessible": map[string]any{},
	})
	q := tke.NewCreateClusterNodePoolRequest()
	q.ClusterId, q.Name, q.EnableAutoscale, q.AutoScalingGroupPara, q.LaunchConfigurePara = id, p("general"), p(false), p(string(group)), p(string(launch))
	a, err := api.CreateClusterNodePool(q)
	if err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	var node corev1.Node
	eventually(t, "a node is ready", func() bool {
		l, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "tke.cloud.tencent.com/nodepool-id=" + *a.Response.NodePoolId})
		if err != nil || len(l.Items) != 1 {
			return false
		}
		node = l.Items[0]
		return ready(node)
	})
	for k, v := range map[string]string{"node.kubernetes.io/instance-type": "S5.LARGE8", "topology.kubernetes.io/zone": "100003"} {
		if node.Labels[k] != v {
			t.Errorf("Label %s: want %q, got %q", k, v, node.Labels[k])
		}
	}
	d := tke.NewDeleteClusterInstancesRequest()
	d.ClusterId, d.InstanceDeleteMode = id, p("terminate")
	d.InstanceIds = []*string{p(node.Labels["cloud.tencent.com/node-instance-id"])}
	b, err := api.DeleteClusterInstances(d)
	if err != nil || len(b.Response.SuccInstanceIds) != 1 {
		t.Fatalf("DeleteClusterInstances(...): %v", err)
	}
	eventually(t, "the node is gone", func() bool {
		_, err := kube.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
		return kerrors.IsNotFound(err)
	})
}
