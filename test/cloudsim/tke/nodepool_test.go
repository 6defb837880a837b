package tke_test

import (
	"strings"
	"testing"
	"time"

	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"
	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

func TestNodePoolLife(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	q := poolRequest(c, pool{name: "general", desired: 2})
	q.Taints = []*tke.Taint{{Key: p("burst"), Value: p("yes"), Effect: p("NoSchedule")}}
	r, err := s.tke.CreateClusterNodePool(q)
	if err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	np := *r.Response.NodePoolId
	check(t, "A pool is made first.", shape{State: "creating", Desired: 2}, s.shape(c, np))
	check(t, "It takes no change meanwhile.", "ResourceUnavailable.NodePoolStateNotNormal", code(s.resize(c, np, 3)))
	s.Step(61 * time.Second)
	check(t, "Then its nodes.", "normal", s.shape(c, np).State)
	s.Step(40 * time.Second)
	check(t, "They run before they are nodes.", int64(2), s.shape(c, np).Initializing)
	s.Step(3 * time.Minute)
	check(t, "In two or three minutes they are.", shape{State: "normal", Desired: 2, Up: 2, Total: 2}, s.shape(c, np))

	names := s.Memory.Cluster(c).Nodes()
	check(t, "They are named by their addresses.", []string{"10.0.0.2", "10.0.0.3"}, names)
	n, _ := s.Memory.Cluster(c).Node(names[0])
	ids := s.nodes(c)
	for k, v := range map[string]string{
		"node.kubernetes.io/instance-type": "S5.LARGE8", "topology.kubernetes.io/zone": "100003", "topology.kubernetes.io/region": "gz",
		"cloud.tencent.com/node-instance-id": ids[0], "tke.cloud.tencent.com/nodepool-id": np, "regionpool.io/offering": "tke-general",
	} {
		check(t, "Label "+k, v, n.Labels[k])
	}
	check(t, "The number of the zone is in the provider's id as well.", "qcloud:///100003/"+ids[0], n.ProviderID)
	check(t, "Taints.", []corev1.Taint{{Key: "burst", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}, n.Taints)
	check(t, "Capacity is the type's.", []string{"4", "64"}, []string{n.Capacity.Cpu().String(), n.Capacity.Pods().String()})
	check(t, "Some of it is reserved.", []string{"3920m", "6349Mi"}, []string{n.Allocatable.Cpu().String(), n.Allocatable.Memory().String()})
	books := live(s.books())
	check(t, "All of it is in the books.", []int{2, 2, 1, 1, 1},
		[]int{books[ledger.CVM], books[ledger.CBS], books[ledger.NodePool], books[ledger.ASGroup], books[ledger.LaunchConfig]})

	in := tke.NewDescribeClusterInstancesRequest()
	in.ClusterId, in.Filters = &c, []*tke.Filter{{Name: p("nodepool-id"), Values: []*string{&np}}}
	a, err := s.tke.DescribeClusterInstances(in)
	if err != nil {
		t.Fatalf("DescribeClusterInstances(...): %v", err)
	}
	i := a.Response.InstanceSet[0]
	check(t, "Instances say where they belong.", []string{"running", "10.0.0.2", np}, []string{*i.InstanceState, *i.LanIP, *i.NodePoolId})
	acts := s.activities(c, np)
	check(t, "Scaling is an activity.", []string{"SCALE_OUT", "SUCCESSFUL"}, []string{acts[0].ActivityType, acts[0].StatusCode})

	check(t, "Deletion.", "", code(s.dropPool(c, np, false)))
	check(t, "It goes.", "deleting", s.shape(c, np).State)
	oneOf(t, "Not twice.", code(s.dropPool(c, np, false)), "ResourceUnavailable.NodePoolStateNotNormal")
	s.Step(3 * time.Minute)
	oneOf(t, "It is gone.", s.shape(c, np).State, "InternalError.DbRecordNotFound", "InternalError.UnexpectedInternal", "FailedOperation.NodePoolQueryFailed")
	oneOf(t, "For deletions too.", code(s.dropPool(c, np, false)), "FailedOperation.RecordNotFound", "InternalError.DbRecordNotFound", "InternalError.Param")
	check(t, "With everything of it.", []int{0, 0, 0, 0, 0}, func() []int {
		b := live(s.books())
		return []int{b[ledger.CVM], b[ledger.CBS], b[ledger.NodePool], b[ledger.ASGroup], b[ledger.LaunchConfig]}
	}())
	check(t, "Also in the cluster.", []string{}, s.Memory.Cluster(c).Nodes())
}

func TestNodePoolLists(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	list := func(f ...*tke.Filter) []string {
		r := tke.NewDescribeClusterNodePoolsRequest()
		r.ClusterId, r.Filters = &c, f
		a, err := s.tke.DescribeClusterNodePools(r)
		if err != nil {
			t.Fatalf("DescribeClusterNodePools(...): %v", err)
		}
		out := []string{}
		for _, np := range a.Response.NodePoolSet {
			out = append(out, *np.Name)
		}
		return out
	}
	for _, name := range []string{"a", "ab"} {
		if _, err := s.tke.CreateClusterNodePool(poolRequest(c, pool{name: name})); err != nil {
			t.Fatalf("CreateClusterNodePool(...): %v", err)
		}
	}
	check(t, "Lists trail.", []string{}, list())
	s.Step(lag)
	check(t, "But catch up.", []string{"a", "ab"}, list())
	check(t, "A part of the name is enough.", []string{"a", "ab"}, list(&tke.Filter{Name: p("NodePoolsName"), Values: []*string{p("a")}}))
	check(t, "A tag is matched in full.", []string{"ab"}, list(&tke.Filter{Name: p("Tags"), Values: []*string{p("regionpool.io/uid:uid-ab")}}))
	if _, err := s.tke.CreateClusterNodePool(poolRequest(c, pool{name: "a"})); err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	check(t, "Names need not be unique: a second create makes a second pool.", 2, len(s.books().Duplicates))
}

func TestCreateNodePoolRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*tke.CreateClusterNodePoolRequest)
		want   string
	}{
		"GroupText":    {reason: "The group must be JSON.", change: func(r *tke.CreateClusterNodePoolRequest) { r.AutoScalingGroupPara = p("x") }, want: "InvalidParameter.Param"},
		"GroupMissing": {reason: "The group is required.", change: func(r *tke.CreateClusterNodePoolRequest) { r.AutoScalingGroupPara = nil }, want: "MissingParameter"},
		"GroupUnknown": {reason: "An unknown parameter of the group.", change: func(r *tke.CreateClusterNodePoolRequest) { edit(r.AutoScalingGroupPara, "Coffee", 1) }, want: "InvalidParameter.Param"},
		"GroupVPC":     {reason: "Another VPC.", change: func(r *tke.CreateClusterNodePoolRequest) { edit(r.AutoScalingGroupPara, "VpcId", "vpc-gz2") }, want: "InvalidParameter.Param"},
		"GroupSubnet": {reason: "A subnet of another VPC.", change: func(r *tke.CreateClusterNodePoolRequest) {
			edit(r.AutoScalingGroupPara, "SubnetIds", []string{"subnet-gz3"})
		}, want: "InvalidParameter.Param"},
		"GroupMin":     {reason: "MinSize is required.", change: func(r *tke.CreateClusterNodePoolRequest) { edit(r.AutoScalingGroupPara, "MinSize", nil) }, want: "InvalidParameter.Param"},
		"GroupDesired": {reason: "DesiredCapacity above MaxSize.", change: func(r *tke.CreateClusterNodePoolRequest) { edit(r.AutoScalingGroupPara, "DesiredCapacity", 21) }, want: "InvalidParameter.Param"},
		"LaunchText":   {reason: "The launch configuration must be JSON.", change: func(r *tke.CreateClusterNodePoolRequest) { r.LaunchConfigurePara = p("{") }, want: "InvalidParameter.Param"},
		"LaunchType":   {reason: "The type is required.", change: func(r *tke.CreateClusterNodePoolRequest) { edit(r.LaunchConfigurePara, "InstanceType", nil) }, want: "InvalidParameter.Param"},
		"LaunchOther":  {reason: "The type must exist.", change: func(r *tke.CreateClusterNodePoolRequest) { edit(r.LaunchConfigurePara, "InstanceType", "X1.TINY") }, want: "InvalidParameter.Param"},
		"LaunchDisk":   {reason: "The disk is required.", change: func(r *tke.CreateClusterNodePoolRequest) { edit(r.LaunchConfigurePara, "SystemDisk", nil) }, want: "InvalidParameter.Param"},
		"LaunchNet":    {reason: "InternetAccessible is required.", change: func(r *tke.CreateClusterNodePoolRequest) { edit(r.LaunchConfigurePara, "InternetAccessible", nil) }, want: "InvalidParameter.Param"},
		"LaunchSpot": {reason: "Spot needs market options.", change: func(r *tke.CreateClusterNodePoolRequest) {
			edit(r.LaunchConfigurePara, "InstanceChargeType", "SPOTPAID")
		}, want: "InvalidParameter.Param"},
		"LaunchGroup": {reason: "An unknown security group.", change: func(r *tke.CreateClusterNodePoolRequest) {
			edit(r.LaunchConfigurePara, "SecurityGroupIds", []string{"sg-x"})
		}, want: "InvalidParameter.Param"},
		"NoAutoscale":    {reason: "EnableAutoscale is required.", change: func(r *tke.CreateClusterNodePoolRequest) { r.EnableAutoscale = nil }, want: "MissingParameter"},
		"NoName":         {reason: "The name is required.", change: func(r *tke.CreateClusterNodePoolRequest) { r.Name = nil }, want: "MissingParameter"},
		"Taint":          {reason: "An unknown effect.", change: func(r *tke.CreateClusterNodePoolRequest) { r.Taints = []*tke.Taint{{Key: p("a"), Effect: p("b")}} }, want: "InvalidParameter.Param"},
		"NothingAtFault": {reason: "As it should be.", change: func(*tke.CreateClusterNodePoolRequest) {}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			r := poolRequest(s.cluster("u1"), pool{name: "general", desired: 1})
			tc.change(r)
			_, err := s.tke.CreateClusterNodePool(r)
			check(t, tc.reason, tc.want, code(err))
		})
	}
}

// edit a field of JSON in a string; nil removes it.
func edit(para *string, field string, value any) {
	m := decode(*para)
	m[field] = value
	if value == nil {
		delete(m, field)
	}
	*para = text(m)
}

func TestModifyNodePool(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	np := s.pool(c, pool{name: "general", desired: 2})

	err := s.call("tke", "ModifyClusterNodePool", map[string]any{"ClusterId": c, "NodePoolId": np, "MaxNodesNum": 10, "DesiredCapacity": 3}, nil)
	check(t, "The desired size has a call of its own.", "UnknownParameter", code(err))

	m := tke.NewModifyClusterNodePoolRequest()
	m.ClusterId, m.NodePoolId, m.MinNodesNum, m.MaxNodesNum = &c, &np, p(int64(3)), p(int64(4))
	m.Labels = []*tke.Label{{Name: p("a"), Value: p("b")}}
	if _, err := s.tke.ModifyClusterNodePool(m); err != nil {
		t.Fatalf("ModifyClusterNodePool(...): %v", err)
	}
	check(t, "A change takes a moment.", "updating", s.shape(c, np).State)
	check(t, "In which there is no other.", "ResourceUnavailable.NodePoolStateNotNormal", code(s.resize(c, np, 4)))
	s.Step(4 * time.Minute)
	check(t, "A higher minimum brings nodes.", shape{State: "normal", Desired: 3, Up: 3, Total: 3}, s.shape(c, np))
	names := s.Memory.Cluster(c).Nodes()
	n, _ := s.Memory.Cluster(c).Node(names[2])
	check(t, "With the new labels.", "b", n.Labels["a"])
	check(t, "Above the maximum.", "InvalidParameter.Param", code(s.resize(c, np, 5)))
	check(t, "Below the minimum.", "InvalidParameter.Param", code(s.resize(c, np, 2)))
	m = tke.NewModifyClusterNodePoolRequest()
	m.ClusterId, m.NodePoolId, m.MinNodesNum, m.MaxNodesNum = &c, &np, p(int64(3)), p(int64(2))
	_, err = s.tke.ModifyClusterNodePool(m)
	check(t, "A minimum above the maximum.", "InvalidParameter.Param", code(err))
	m.NodePoolId = p("np-nobody")
	_, err = s.tke.ModifyClusterNodePool(m)
	oneOf(t, "An unknown pool.", code(err), "FailedOperation.RecordNotFound", "ResourceNotFound")

	es := s.requests(requestlog.Filter{Action: "ModifyNodePoolDesiredCapacityAboutAsg"})
	check(t, "The log knows what was asked for.", []any{5, np, true}, []any{*es[1].Desired, es[1].NodePool, es[1].Mutating})
}

func TestModifyExistingNodes(t *testing.T) {
	cases := map[string]struct {
		reason string
		ignore bool
		labels map[string]string
		taints []corev1.Taint
	}{
		"Changed": {reason: "Labels and taints of a pool reach its nodes.", labels: map[string]string{"a": "b"}, taints: []corev1.Taint{{Key: "t", Effect: corev1.TaintEffectNoSchedule}}},
		"Ignored": {reason: "Unless the caller says otherwise.", ignore: true, labels: map[string]string{"regionpool.io/offering": "tke-general"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			c := s.cluster("u1")
			np := s.pool(c, pool{name: "general", desired: 1})
			m := tke.NewModifyClusterNodePoolRequest()
			m.ClusterId, m.NodePoolId, m.IgnoreExistedNode = &c, &np, &tc.ignore
			m.Labels = []*tke.Label{{Name: p("a"), Value: p("b")}}
			m.Taints = []*tke.Taint{{Key: p("t"), Value: p(""), Effect: p("NoSchedule")}}
			if _, err := s.tke.ModifyClusterNodePool(m); err != nil {
				t.Fatalf("ModifyClusterNodePool(...): %v", err)
			}
			s.Step(10 * time.Second)
			n, _ := s.Memory.Cluster(c).Node(s.Memory.Cluster(c).Nodes()[0])
			got := map[string]string{}
			for _, key := range []string{"a", "regionpool.io/offering"} {
				if v, ok := n.Labels[key]; ok {
					got[key] = v
				}
			}
			check(t, tc.reason, tc.labels, got)
			check(t, tc.reason, tc.taints, n.Taints)
			check(t, "Other labels stay.", np, n.Labels["tke.cloud.tencent.com/nodepool-id"])
			check(t, "A later size.", "", code(s.resize(c, np, 2)))
			s.Step(4 * time.Minute)
			n, _ = s.Memory.Cluster(c).Node(s.Memory.Cluster(c).Nodes()[1])
			check(t, "New nodes have them in any case.", "b", n.Labels["a"])
		})
	}
}

func TestShrink(t *testing.T) {
	cases := map[string]struct {
		reason string
		policy string
		want   func(ids []string) []string
	}{
		"Oldest":    {reason: "Auto scaling takes the oldest by default.", want: func(ids []string) []string { return ids[2:] }},
		"Newest":    {reason: "Or the newest.", policy: "NEWEST_INSTANCE", want: func(ids []string) []string { return ids[:1] }},
		"Protected": {reason: "But none that is protected.", want: func(ids []string) []string { return ids[:1] }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			c := s.cluster("u1")
			np := s.pool(c, pool{name: "general", desired: 3, policy: tc.policy})
			ids := s.nodes(c)
			if name == "Protected" {
				r := tke.NewSetNodePoolNodeProtectionRequest()
				r.ClusterId, r.NodePoolId, r.InstanceIds, r.ProtectedFromScaleIn = &c, &np, []*string{&ids[0], p("ins-x")}, p(true)
				a, err := s.tke.SetNodePoolNodeProtection(r)
				if err != nil {
					t.Fatalf("SetNodePoolNodeProtection(...): %v", err)
				}
				check(t, "Protection.", []string{ids[0], "ins-x"}, []string{*a.Response.SucceedInstanceIds[0], *a.Response.FailedInstanceIds[0]})
			}
			want := tc.want(ids)
			check(t, "A lower size.", "", code(s.resize(c, np, int64(len(want)))))
			s.Step(time.Second)
			check(t, "Nodes go at once, without drain.", len(want), len(s.Memory.Cluster(c).Nodes()))
			s.Step(2 * time.Minute)
			check(t, tc.reason, want, s.nodes(c))
			check(t, "What goes is not billed.", len(want), live(s.books())[ledger.CVM])
			check(t, "It is an activity.", "SCALE_IN", s.activities(c, np)[0].ActivityType)
		})
	}
}

func TestDeleteClusterInstances(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	np := s.pool(c, pool{name: "general", desired: 3})
	ids := s.nodes(c)
	remove := func(mode string, force bool, ids ...string) (ok, failed, unknown []string, err error) {
		r := tke.NewDeleteClusterInstancesRequest()
		r.ClusterId, r.InstanceDeleteMode, r.ForceDelete, r.InstanceIds = &c, &mode, &force, pointers(ids)
		a, err := s.tke.DeleteClusterInstances(r)
		if err != nil {
			return nil, nil, nil, err
		}
		return values(a.Response.SuccInstanceIds), values(a.Response.FailedInstanceIds), values(a.Response.NotFoundInstanceIds), nil
	}
	ok, failed, unknown, err := remove("terminate", false, ids[1], "ins-nobody")
	check(t, "Each instance has a result of its own.", [][]string{{ids[1]}, {}, {"ins-nobody"}}, [][]string{ok, failed, unknown})
	check(t, "No error.", "", code(err))
	check(t, "The desired size falls at once.", int64(2), s.shape(c, np).Desired)
	_, failed, _, _ = remove("terminate", false, ids[1])
	check(t, "Not twice.", []string{ids[1]}, failed)
	s.Step(2 * time.Minute)
	check(t, "The chosen one is gone, and is not replaced.", []string{ids[0], ids[2]}, s.nodes(c))
	check(t, "Nor is it billed.", 2, live(s.books())[ledger.CVM])

	_, _, _, err = remove("retain", false, ids[0])
	check(t, "It can be kept.", "", code(err))
	s.Step(2 * time.Minute)
	check(t, "Out of the cluster.", ids[2:], s.nodes(c))
	check(t, "But billed, disk and all, and nobody's.", []ledger.Kind{ledger.CVM}, leaked(s.books()))

	_, _, _, err = remove("x", false, ids[2])
	check(t, "An unknown mode.", "InvalidParameter", code(err))
	check(t, "One more.", "", code(s.resize(c, np, 2)))
	s.Step(20 * time.Second)
	young := s.nodes(c)[1]
	_, failed, _, _ = remove("terminate", false, young)
	check(t, "One that is not a node yet needs force.", []string{young}, failed)
	ok, _, _, _ = remove("terminate", true, young)
	check(t, "Which helps.", []string{young}, ok)

	m := tke.NewModifyClusterNodePoolRequest()
	m.ClusterId, m.NodePoolId, m.MinNodesNum = &c, &np, p(int64(1))
	if _, err := s.tke.ModifyClusterNodePool(m); err != nil {
		t.Fatalf("ModifyClusterNodePool(...): %v", err)
	}
	_, _, _, err = remove("terminate", false, ids[2])
	oneOf(t, "The minimum of the group is kept.", code(err), "FailedOperation.AsCommon", "InternalError.AsCommon")
}

func values(all []*string) []string {
	out := []string{}
	for _, v := range all {
		out = append(out, *v)
	}
	return out
}

func TestKeepInstance(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	np := s.pool(c, pool{name: "general", desired: 2})
	check(t, "The pool goes, the nodes stay.", "", code(s.dropPool(c, np, true)))
	s.Step(3 * time.Minute)
	check(t, "In the cluster.", 2, len(s.nodes(c)))
	check(t, "They are nobody's.", []ledger.Kind{ledger.CVM, ledger.CVM}, leaked(s.books()))
	if err := s.drop(c, nil); err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	s.Step(10 * time.Minute)
	check(t, "They go with the cluster.", map[ledger.Kind]int{}, live(s.books()))
}

func TestPoolProtection(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	r := poolRequest(c, pool{name: "general"})
	r.DeletionProtection = p(true)
	a, err := s.tke.CreateClusterNodePool(r)
	if err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	s.Step(time.Minute)
	check(t, "A protected pool stays.", "OperationDenied.InDeletionProtection", code(s.dropPool(c, *a.Response.NodePoolId, false)))
	check(t, "And keeps its cluster.", "FailedOperation.ClusterForbiddenToDelete", code(s.drop(c, nil)))
	m := tke.NewModifyClusterNodePoolRequest()
	m.ClusterId, m.NodePoolId, m.DeletionProtection = &c, a.Response.NodePoolId, p(false)
	if _, err := s.tke.ModifyClusterNodePool(m); err != nil {
		t.Fatalf("ModifyClusterNodePool(...): %v", err)
	}
	s.Step(10 * time.Second)
	check(t, "Without, it goes.", "", code(s.dropPool(c, *a.Response.NodePoolId, false)))
}

func TestDeleteClusterLeaves(t *testing.T) {
	opts := func(pairs ...string) func(*tke.DeleteClusterRequest) {
		return func(r *tke.DeleteClusterRequest) {
			for i := 0; i < len(pairs); i += 2 {
				r.ResourceDeleteOptions = append(r.ResourceDeleteOptions, &tke.ResourceDeleteOption{ResourceType: &pairs[i], DeleteMode: &pairs[i+1]})
			}
		}
	}
	cases := map[string]struct {
		reason string
		change func(*tke.DeleteClusterRequest)
		want   map[ledger.Kind]int
	}{
		"Default": {reason: "Disks of claims and balancers of Services stay by default.", want: map[ledger.Kind]int{ledger.CBS: 1, ledger.ServiceCLB: 1}},
		"CBS":     {reason: "Disks go if asked.", change: opts("CBS", "terminate"), want: map[ledger.Kind]int{ledger.ServiceCLB: 1}},
		"Both":    {reason: "So do balancers.", change: opts("CBS", "terminate", "CLB", "terminate"), want: map[ledger.Kind]int{}},
		"Retain": {reason: "Nodes stay if asked, with their disks, and so do scaling group and launch configuration.", change: func(r *tke.DeleteClusterRequest) {
			r.InstanceDeleteMode = p("retain")
			opts("CBS", "terminate", "CLB", "terminate")(r)
		}, want: map[ledger.Kind]int{ledger.CVM: 1, ledger.CBS: 1, ledger.ASGroup: 1, ledger.LaunchConfig: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			c := s.cluster("u1")
			s.pool(c, pool{name: "general", desired: 1})
			h := s.Memory.Cluster(c).Hooks
			ip, err := h.EnsureLoadBalancer(c, "svc", "default/web")
			if err != nil || !strings.HasPrefix(ip, "43.136.") {
				t.Fatalf("EnsureLoadBalancer(...): %q, %v", ip, err)
			}
			if _, err := h.EnsureVolume(c, "pvc", "default/data", 20); err != nil {
				t.Fatalf("EnsureVolume(...): %v", err)
			}
			if err := s.drop(c, tc.change); err != nil {
				t.Fatalf("DeleteCluster(...): %v", err)
			}
			s.Step(10 * time.Minute)
			r := s.books()
			check(t, tc.reason, tc.want, live(r))
			if name == "Default" {
				check(t, "These are leaks.", []ledger.Kind{ledger.CBS, ledger.ServiceCLB}, leaked(r))
			}
		})
	}
	t.Run("Refused", func(t *testing.T) {
		s := start(t, simtest.Options{})
		c := s.cluster("u1")
		check(t, "An unknown resource.", "InvalidParameter", code(s.drop(c, opts("SLB", "terminate"))))
		check(t, "An unknown mode.", "InvalidParameter", code(s.drop(c, opts("CLB", "delete"))))
		check(t, "No mode for the instances.", "InvalidParameter", code(s.drop(c, func(r *tke.DeleteClusterRequest) { r.InstanceDeleteMode = nil })))
	})
}
