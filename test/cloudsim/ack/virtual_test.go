package ack_test

import (
	"slices"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

// virtualNodes of a cluster.
func (s *sim) virtualNodes(cluster string) []string {
	return slices.DeleteFunc(s.Memory.Cluster(cluster).Nodes(), func(name string) bool {
		n, _ := s.Memory.Cluster(cluster).Node(name)
		return n.Labels["type"] != "virtual-kubelet"
	})
}

// TestVirtualNodes: the add-on brings a virtual node for each zone, whenever it
// is installed, and takes them with it.
func TestVirtualNodes(t *testing.T) {
	const h, i = "virtual-kubelet-cn-hangzhou-h", "virtual-kubelet-cn-hangzhou-i"
	install := func(s *sim, k string) {
		_, err := s.cs.InstallClusterAddons(&k, &cs.InstallClusterAddonsRequest{Body: []*cs.InstallClusterAddonsRequestBody{{Name: tea.String("ack-virtual-node")}}})
		if err != nil {
			s.t.Fatalf("InstallClusterAddons(...): %v", err)
		}
	}
	cases := map[string]struct {
		reason string
		change func(*cs.CreateClusterRequest)
		later  func(s *sim, k string)
		want   []string
	}{
		"Without": {reason: "There are none by default.", want: []string{}},
		"Disabled": {reason: "An add-on can be switched off.", want: []string{}, change: func(q *cs.CreateClusterRequest) {
			q.Addons = append(q.Addons, &cs.Addon{Name: tea.String("ack-virtual-node"), Disabled: tea.Bool(true)})
		}},
		"Created": {reason: "It can be there from the start.", want: []string{h}, change: func(q *cs.CreateClusterRequest) {
			q.Addons = append(q.Addons, &cs.Addon{Name: tea.String("ack-virtual-node")})
		}},
		"Zones": {reason: "Each zone gets one.", want: []string{h, i}, change: func(q *cs.CreateClusterRequest) {
			q.VswitchIds = append(q.VswitchIds, tea.String("vsw-2"))
			q.Addons = append(q.Addons, &cs.Addon{Name: tea.String("ack-virtual-node")})
		}},
		"Installed": {reason: "It can be installed later.", later: install, want: []string{h}},
		"NewZone": {reason: "A zone may come later.", want: []string{h, i}, later: func(s *sim, k string) {
			install(s, k)
			s.Step(time.Minute)
			if _, err := s.cs.ModifyCluster(&k, &cs.ModifyClusterRequest{VswitchIds: []*string{tea.String("vsw-1"), tea.String("vsw-2")}}); err != nil {
				s.t.Fatalf("ModifyCluster(...): %v", err)
			}
		}},
		"Uninstalled": {reason: "The nodes go with it.", want: []string{}, later: func(s *sim, k string) {
			install(s, k)
			s.Step(time.Minute)
			_, err := s.cs.UnInstallClusterAddons(&k, &cs.UnInstallClusterAddonsRequest{Addons: []*cs.UnInstallClusterAddonsRequestAddons{{Name: tea.String("ack-virtual-node")}}})
			if err != nil {
				s.t.Fatalf("UnInstallClusterAddons(...): %v", err)
			}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			q := clusterRequest("u1")
			if tc.change != nil {
				tc.change(q)
			}
			r, err := s.cs.CreateCluster(q)
			if err != nil {
				t.Fatalf("CreateCluster(...): %v", err)
			}
			k := *r.Body.ClusterId
			s.Step(5 * time.Minute)
			if tc.later != nil {
				tc.later(s, k)
			}
			s.Step(time.Minute)
			check(t, tc.reason, tc.want, s.virtualNodes(k))
			b := s.books()
			check(t, "Empty nodes are free.", 0, b.Created[ledger.ECIPod]+b.Created[ledger.ECS])
		})
	}
}

// TestVirtualPodEnds: pods on virtual nodes cost nothing once their cluster is
// deleted.
func TestVirtualPodEnds(t *testing.T) {
	s := start(t, simtest.Options{})
	q := clusterRequest("u1")
	q.Addons = append(q.Addons, &cs.Addon{Name: tea.String("ack-virtual-node")})
	r, err := s.cs.CreateCluster(q)
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	k := *r.Body.ClusterId
	s.Step(5 * time.Minute)
	err = s.Memory.Cluster(k).BindPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: corev1.PodSpec{NodeName: s.virtualNodes(k)[0], Containers: []corev1.Container{{Image: "nginx", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi")},
		}}}},
	})
	if err != nil {
		t.Fatalf("BindPod(...): %v", err)
	}
	s.Step(time.Hour)
	b := s.books()
	check(t, "An hour of 2 vCPU and 4 GiB.", 0.45, float64(int(b.CostByKind[ledger.ECIPod]*1000+0.5))/1000)
	pod := s.Cloud.Ledger.Live(func(o ledger.Object) bool { return o.Kind == ledger.ECIPod })[0]
	check(t, "It is the cluster's.", []string{"u1", k, k}, []string{pod.Owner, pod.Cluster, pod.Tags["ack.aliyun.com"]})
	if _, err := s.cs.DeleteCluster(&k, &cs.DeleteClusterRequest{}); err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	s.Step(15 * time.Minute)
	b = s.books()
	check(t, "Nothing is left.", []int{0, 0}, []int{len(b.Live), len(b.Leaked)})
}
