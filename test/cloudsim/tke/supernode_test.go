package tke_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

func superPoolRequest(cluster string, subnets ...string) *tke.CreateClusterVirtualNodePoolRequest {
	r := tke.NewCreateClusterVirtualNodePoolRequest()
	r.ClusterId, r.Name, r.SubnetIds, r.SecurityGroupIds = &cluster, p("virtual"), pointers(subnets), []*string{p("sg-gz1")}
	r.Labels = []*tke.Label{{Name: p("regionpool.io/offering"), Value: p("tke-virtual")}}
	return r
}

// superPool creates super nodes and waits until they run.
func (s *sim) superPool(cluster string, subnets ...string) string {
	s.t.Helper()
	a, err := s.tke.CreateClusterVirtualNodePool(superPoolRequest(cluster, subnets...))
	if err != nil {
		s.t.Fatalf("CreateClusterVirtualNodePool(...): %v", err)
	}
	s.Step(90 * time.Second)
	return *a.Response.NodePoolId
}

// phases of the super nodes of a pool.
func (s *sim) phases(cluster, id string) (names, phases []string) {
	s.t.Helper()
	r := tke.NewDescribeClusterVirtualNodeRequest()
	r.ClusterId, r.NodePoolId = &cluster, &id
	a, err := s.tke.DescribeClusterVirtualNode(r)
	if err != nil {
		s.t.Fatalf("DescribeClusterVirtualNode(...): %v", err)
	}
	for _, n := range a.Response.Nodes {
		names, phases = append(names, *n.Name), append(phases, *n.Phase)
	}
	return names, phases
}

// superPools returns the states of the pools that are listed.
func (s *sim) superPools(cluster string) []string {
	s.t.Helper()
	r := tke.NewDescribeClusterVirtualNodePoolsRequest()
	r.ClusterId = &cluster
	a, err := s.tke.DescribeClusterVirtualNodePools(r)
	if err != nil {
		s.t.Fatalf("DescribeClusterVirtualNodePools(...): %v", err)
	}
	out := []string{}
	for _, np := range a.Response.NodePoolSet {
		out = append(out, *np.LifeState)
	}
	return out
}

func (s *sim) dropNodes(cluster string, force bool, names ...string) error {
	r := tke.NewDeleteClusterVirtualNodeRequest()
	r.ClusterId, r.NodeNames, r.Force = &cluster, pointers(names), &force
	_, err := s.tke.DeleteClusterVirtualNode(r)
	return err
}

func (s *sim) dropSuperPool(cluster, id string, force bool) error {
	r := tke.NewDeleteClusterVirtualNodePoolRequest()
	r.ClusterId, r.NodePoolIds, r.Force = &cluster, []*string{&id}, &force
	_, err := s.tke.DeleteClusterVirtualNodePool(r)
	return err
}

// bind a pod to a node.
func (s *sim) bind(cluster, node, name string) {
	s.t.Helper()
	if err := s.Memory.Cluster(cluster).BindPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "web", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi")},
		}}}},
	}); err != nil {
		s.t.Fatalf("BindPod(...): %v", err)
	}
}

func TestSuperNodes(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	a, err := s.tke.CreateClusterVirtualNodePool(superPoolRequest(c, "subnet-gz1", "subnet-gz2"))
	if err != nil {
		t.Fatalf("CreateClusterVirtualNodePool(...): %v", err)
	}
	np := *a.Response.NodePoolId
	names, phases := s.phases(c, np)
	check(t, "One node for a subnet.", []string{"Pending", "Pending"}, phases)
	if !strings.HasPrefix(names[0], "eklet-subnet-gz1-") {
		t.Errorf("The name %q does not have the form of the vendor's", names[0])
	}
	oneOf(t, "Which is not enough for a public endpoint.", code(s.open(c, true)), "ResourceUnavailable.ClusterState", "InternalError.EmptyClusterNotSupport")
	s.Step(lag)
	check(t, "The pool is being made.", []string{"creating"}, s.superPools(c))
	s.Step(90 * time.Second)
	_, phases = s.phases(c, np)
	check(t, "Then they run.", []string{"Running", "Running"}, phases)
	check(t, "The pool is there.", []string{"normal"}, s.superPools(c))
	check(t, "A public endpoint is possible with a super node alone.", "", code(s.open(c, true)))

	n, _ := s.Memory.Cluster(c).Node(names[0])
	for k, v := range map[string]string{
		"node.kubernetes.io/instance-type": "eklet", "topology.kubernetes.io/zone": "100003", "tke.cloud.tencent.com/nodepool-id": np,
		"regionpool.io/offering": "tke-virtual",
	} {
		check(t, "Label "+k, v, n.Labels[k])
	}
	check(t, "Nobody gets there by accident.", []corev1.Taint{{Key: "eks.tke.cloud.tencent.com/eklet", Effect: corev1.TaintEffectNoSchedule}}, n.Taints)
	check(t, "Empty, they cost nothing.", 0.0, s.books().CostByKind[ledger.SupernodePod])

	s.bind(c, names[0], "web-0")
	s.Step(2 * time.Minute)
	pod, _, _ := s.Memory.Cluster(c).Pod("default", "web-0")
	check(t, "A pod runs.", corev1.PodRunning, pod.Status.Phase)
	r := s.books()
	check(t, "It is billed by the second.", []any{1, (2*0.14 + 4*0.04) / 30}, []any{live(r)[ledger.SupernodePod], r.CostByKind[ledger.SupernodePod]}, cmpopts.EquateApprox(0, 1e-9))
	check(t, "A node in use stays.", "ResourceInUse.ExistRunningPod", code(s.dropNodes(c, false, names[0])))
	check(t, "So does its pool.", "ResourceInUse.ExistRunningPod", code(s.dropSuperPool(c, np, false)))
	check(t, "The other does not.", "", code(s.dropNodes(c, false, names[1])))
	s.Step(time.Minute)
	left, _ := s.phases(c, np)
	check(t, "It is gone.", names[:1], left)
	check(t, "In the cluster too.", names[:1], s.Memory.Cluster(c).Nodes())

	d := tke.NewDrainClusterVirtualNodeRequest()
	d.ClusterId, d.NodeName = &c, &names[0]
	if _, err := s.tke.DrainClusterVirtualNode(d); err != nil {
		t.Fatalf("DrainClusterVirtualNode(...): %v", err)
	}
	s.Step(time.Second)
	check(t, "Drained, nothing is billed.", 0, live(s.books())[ledger.SupernodePod])
	check(t, "The pool goes.", "", code(s.dropSuperPool(c, np, false)))
	s.Step(time.Minute + lag)
	check(t, "With its node.", []string{}, s.superPools(c))
	oneOf(t, "It is gone.", code(s.dropSuperPool(c, np, true)), "FailedOperation.RecordNotFound", "InternalError.DbRecordNotFound")
	check(t, "From the books as well.", 0, live(s.books())[ledger.SuperNodes])
}

func TestSuperNodesForce(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	np := s.superPool(c, "subnet-gz1")
	names, _ := s.phases(c, np)
	s.bind(c, names[0], "web-0")
	s.Step(2 * time.Minute)
	check(t, "Force takes the pods as well.", "", code(s.dropSuperPool(c, np, true)))
	s.Step(time.Minute)
	r := s.books()
	check(t, "All of it.", []int{0, 0}, []int{live(r)[ledger.SupernodePod], live(r)[ledger.SuperNodes]})
	check(t, "In the cluster too.", []string{}, s.Memory.Cluster(c).Nodes())

	np = s.superPool(c, "subnet-gz1")
	names, _ = s.phases(c, np)
	s.bind(c, names[0], "web-1")
	s.Step(time.Minute)
	check(t, "A cluster goes with its super nodes.", "", code(s.drop(c, nil)))
	s.Step(10 * time.Minute)
	check(t, "And the pods on them.", map[ledger.Kind]int{}, live(s.books()))
}

func TestSuperNodesRefuse(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	create := func(change func(*tke.CreateClusterVirtualNodePoolRequest)) string {
		r := superPoolRequest(c, "subnet-gz1")
		change(r)
		_, err := s.tke.CreateClusterVirtualNodePool(r)
		return code(err)
	}
	check(t, "An unknown subnet.", "InvalidParameter.SubnetNotExist", create(func(r *tke.CreateClusterVirtualNodePoolRequest) { r.SubnetIds = []*string{p("subnet-x")} }))
	check(t, "Another VPC's subnet.", "InvalidParameter.SubnetInvalidError", create(func(r *tke.CreateClusterVirtualNodePoolRequest) { r.SubnetIds = []*string{p("subnet-gz3")} }))
	check(t, "An unknown security group.", "InvalidParameter.Param", create(func(r *tke.CreateClusterVirtualNodePoolRequest) { r.SecurityGroupIds = []*string{p("sg-x")} }))
	check(t, "An unknown cluster.", "ResourceNotFound", create(func(r *tke.CreateClusterVirtualNodePoolRequest) { r.ClusterId = p("cls-x") }))

	r := superPoolRequest(c)
	r.VirtualNodes = []*tke.VirtualNodeSpec{{DisplayName: p("v"), SubnetId: p("subnet-gz1"), Tags: []*tke.Tag{{Key: p("regionpool.io/uid"), Value: p("u2")}}}}
	r.DeletionProtection = p(true)
	a, err := s.tke.CreateClusterVirtualNodePool(r)
	if err != nil {
		t.Fatalf("CreateClusterVirtualNodePool(...): %v", err)
	}
	np := *a.Response.NodePoolId
	check(t, "A subnet has one super node.", "ResourceInUse.SubnetAlreadyExist", create(func(*tke.CreateClusterVirtualNodePoolRequest) {}))
	add := func() (string, error) {
		q := tke.NewCreateClusterVirtualNodeRequest()
		q.ClusterId, q.NodePoolId, q.SubnetId = &c, &np, p("subnet-gz2")
		b, err := s.tke.CreateClusterVirtualNode(q)
		if err != nil {
			return "", err
		}
		return *b.Response.NodeName, nil
	}
	_, err = add()
	check(t, "A pool that is being made takes no node.", "ResourceUnavailable.NodePoolStateNotNormal", code(err))
	s.Step(90 * time.Second)
	name, err := add()
	check(t, "Later it does.", "", code(err))
	s.Step(90 * time.Second)
	names, phases := s.phases(c, np)
	check(t, "It runs.", []string{name, "Running"}, []string{names[1], phases[1]})
	check(t, "A tag of a node is the pool's.", "u2", func() string {
		for _, o := range s.books().Live {
			if o.Kind == ledger.SuperNodes {
				return o.Owner
			}
		}
		return ""
	}())
	check(t, "A protected pool stays.", "OperationDenied.InDeletionProtection", code(s.dropSuperPool(c, np, true)))
	m := tke.NewModifyClusterVirtualNodePoolRequest()
	m.ClusterId, m.NodePoolId, m.DeletionProtection = &c, &np, p(false)
	_, err = s.tke.ModifyClusterVirtualNodePool(m)
	check(t, "Protection can be switched off.", "", code(err))
	m.Labels, m.Taints = []*tke.Label{{Name: p("a"), Value: p("b")}}, []*tke.Taint{{Key: p("t"), Value: p(""), Effect: p("NoSchedule")}}
	_, err = s.tke.ModifyClusterVirtualNodePool(m)
	check(t, "Labels and taints can be changed.", "", code(err))
	s.Step(time.Second)
	v, _ := s.Memory.Cluster(c).Node(name)
	check(t, "Also of nodes that are there, whose own taint stays.", []any{"b", 2}, []any{v.Labels["a"], len(v.Taints)})
	check(t, "Then it goes.", "", code(s.dropSuperPool(c, np, false)))
	check(t, "An unknown node.", "InvalidParameter.Param", code(s.dropNodes(c, true, "eklet-x")))
	d := tke.NewDrainClusterVirtualNodeRequest()
	d.ClusterId, d.NodeName = &c, p("eklet-x")
	_, err = s.tke.DrainClusterVirtualNode(d)
	check(t, "Drained.", "ResourceNotFound", code(err))
}
