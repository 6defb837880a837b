package ack_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/google/go-cmp/cmp"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

func TestNodePoolLife(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	r, err := s.cs.CreateClusterNodePool(&c, poolRequest("general", 2))
	if err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	p, task := *r.Body.NodepoolId, *r.Body.TaskId
	check(t, "A pool starts as initial.", poolShape{State: "initial", Desired: 2}, s.shape(c, p))
	s.Step(25 * time.Second)
	check(t, "Then it scales.", poolShape{State: "scaling", Desired: 2, Total: 2, Initial: 2}, s.shape(c, p))
	_, err = s.resize(c, p, 3)
	check(t, "And takes no change meanwhile.", "InvalidNodePoolStatus.Forbidden", code(err))
	check(t, "Instances that did not register are not listed.", []string{}, s.nodes(c, p))
	s.Step(90 * time.Second)
	check(t, "In a minute or so nodes are ready.", poolShape{State: "active", Desired: 2, Total: 2, Serving: 2}, s.shape(c, p))
	st, _ := s.task(task)
	check(t, "The task says so.", "success", st)

	names := s.Memory.Cluster(c).Nodes()
	check(t, "They are named after region and address.", []string{"cn-hangzhou.192.168.0.1", "cn-hangzhou.192.168.0.2"}, names)
	n, _ := s.Memory.Cluster(c).Node(names[0])
	for k, v := range map[string]string{
		"alibabacloud.com/nodepool-id": p, "node.kubernetes.io/instance-type": "ecs.g7.xlarge", "topology.kubernetes.io/region": region,
		"topology.kubernetes.io/zone": zone, "tier": "burst",
	} {
		check(t, "Label "+k, v, n.Labels[k])
	}
	check(t, "Capacity is the type's.", "4", n.Capacity.Cpu().String())
	check(t, "Pods come from the cluster's node CIDR.", "128", n.Capacity.Pods().String())
	books := live(s.books())
	check(t, "Nodes are billed with their disks.", []int{2, 2, 1}, []int{books[ledger.ECS], books[ledger.SystemDisk], books[ledger.NodePool]})

	ids := s.nodes(c, p)
	check(t, "Registered nodes are listed.", 2, len(ids))
	task, err = s.remove(c, p, true, true, ids[0])
	if err != nil {
		t.Fatalf("RemoveNodePoolNodes(...): %v", err)
	}
	check(t, "A removal lowers the desired size at once.", poolShape{State: "removing_nodes", Desired: 1, Total: 2, Serving: 1, Rem: 1}, s.shape(c, p))
	_, err = s.cs.DeleteClusterNodepool(&c, &p, &cs.DeleteClusterNodepoolRequest{Force: tea.Bool(true)})
	check(t, "The pool cannot be deleted meanwhile.", "InvalidNodePoolStatus.Forbidden", code(err))
	s.Step(2 * time.Minute)
	check(t, "The chosen node is gone.", ids[1:], s.nodes(c, p))
	st, _ = s.task(task)
	check(t, "The task says so.", "success", st)
	check(t, "The ECS is released.", 1, live(s.books())[ledger.ECS])
}

func TestRemoveLastNode(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	p := s.pool(c, "general", 1)
	ids := s.nodes(c, p)
	task, err := s.remove(c, p, true, true, ids...)
	if err != nil {
		t.Fatalf("RemoveNodePoolNodes(...): %v", err)
	}
	s.Step(10 * time.Minute)
	st, _ := s.task(task)
	check(t, "The drain of the last node hangs on coredns.", "running", st)
	check(t, "In the stage DrainNodes.", "removing_nodes", s.shape(c, p).State)
	_, err = s.cs.CancelTask(&task)
	check(t, "It cannot be cancelled.", "TaskOperationNotSupported", code(err))
	s.Step(25 * time.Minute)
	st, reason := s.task(task)
	check(t, "After half an hour it fails.", []string{"failed", "DrainNodeTimeout"}, []string{st, reason})
	check(t, "The node stays, and the desired size is back.", poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}, s.shape(c, p))

	s.Memory.Cluster(c).SetCoreDNS(false)
	if task, err = s.remove(c, p, true, true, ids...); err != nil {
		t.Fatalf("RemoveNodePoolNodes(...): %v", err)
	}
	s.Step(2 * time.Minute)
	st, _ = s.task(task)
	check(t, "Without coredns it goes.", "success", st)

	s.Memory.Cluster(c).SetCoreDNS(true)
	if _, err := s.resize(c, p, 1); err != nil {
		t.Fatalf("ModifyClusterNodePool(...): %v", err)
	}
	s.Step(2 * time.Minute)
	if _, err := s.remove(c, p, false, true, s.nodes(c, p)...); err != nil {
		t.Fatalf("RemoveNodePoolNodes(...): %v", err)
	}
	s.Step(2 * time.Minute)
	check(t, "So it does without drain.", poolShape{State: "active"}, s.shape(c, p))
}

func TestRemoveRefuses(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	p := s.pool(c, "general", 1)
	_, err := s.remove(c, p, true, true, "i-nobody")
	check(t, "An instance of another pool.", "InvalidParameter.InstanceIds", code(err))
	_, err = s.remove(c, p, true, true)
	check(t, "No instance at all.", "InvalidParameter.InstanceIds", code(err))
	_, err = s.cs.RemoveNodePoolNodes(&c, tea.String("np-nobody"), &cs.RemoveNodePoolNodesRequest{InstanceIds: []*string{tea.String("i")}})
	check(t, "An unknown pool.", "ErrorNodePoolNotFound", code(err))
	_, err = s.cs.RemoveNodePoolNodes(tea.String("c-nobody"), &p, &cs.RemoveNodePoolNodesRequest{InstanceIds: []*string{tea.String("i")}})
	check(t, "An unknown cluster.", "ErrorClusterNotFound", code(err))
}

func TestUnreleasedInstanceLeaks(t *testing.T) {
	cases := map[string]struct {
		reason  string
		charge  string
		release bool
		want    int
	}{
		"Released":    {reason: "A released instance is gone.", charge: "PostPaid", release: true},
		"NotReleased": {reason: "release_node false leaves it running.", charge: "PostPaid", want: 1},
		"PrePaid":     {reason: "PrePaid is never released.", charge: "PrePaid", release: true, want: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			c := s.cluster("u1")
			q := poolRequest("general", 2)
			q.ScalingGroup.InstanceChargeType = &tc.charge
			r, err := s.cs.CreateClusterNodePool(&c, q)
			if err != nil {
				t.Fatalf("CreateClusterNodePool(...): %v", err)
			}
			p := *r.Body.NodepoolId
			s.Step(2 * time.Minute)
			if _, err := s.remove(c, p, true, tc.release, s.nodes(c, p)[0]); err != nil {
				t.Fatalf("RemoveNodePoolNodes(...): %v", err)
			}
			s.Step(2 * time.Minute)
			n := 0
			for _, o := range s.books().Leaked {
				if o.Kind == ledger.ECS {
					n++
				}
			}
			check(t, tc.reason, tc.want, n)
		})
	}
}

func TestDesiredSizeDown(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	p := s.pool(c, "general", 4)
	if _, err := s.resize(c, p, 2); err != nil {
		t.Fatalf("ModifyClusterNodePool(...): %v", err)
	}
	s.Step(time.Second)
	check(t, "Nodes leave the cluster at once, without drain.", 2, len(s.Memory.Cluster(c).Nodes()))
	check(t, "The pool is removing.", poolShape{State: "removing", Desired: 2, Total: 4, Serving: 2, Rem: 2}, s.shape(c, p))
	s.Step(2 * time.Minute)
	check(t, "Then the instances are gone.", poolShape{State: "active", Desired: 2, Total: 2, Serving: 2}, s.shape(c, p))
	if _, err := s.resize(c, p, 0); err != nil {
		t.Fatalf("ModifyClusterNodePool(...): %v", err)
	}
	s.Step(5 * time.Minute)
	check(t, "The way to nothing takes six minutes.", "removing", s.shape(c, p).State)
	s.Step(3 * time.Minute)
	check(t, "Then the pool is empty.", poolShape{State: "active"}, s.shape(c, p))
}

func TestNodePoolDeletion(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	p := s.pool(c, "general", 1)
	del := func(force bool) {
		t.Helper()
		if _, err := s.cs.DeleteClusterNodepool(&c, &p, &cs.DeleteClusterNodepoolRequest{Force: &force}); err != nil {
			t.Fatalf("DeleteClusterNodepool(...): %v", err)
		}
	}
	del(false)
	check(t, "The pool is deleting.", "deleting", s.shape(c, p).State)
	s.Step(time.Minute)
	check(t, "With a node left it fails.", poolShape{State: "delete_failed", Desired: 1, Total: 1, Serving: 1}, s.shape(c, p))
	if _, err := s.resize(c, p, 0); err != nil {
		t.Fatalf("ModifyClusterNodePool(...): %v", err)
	}
	s.Step(8 * time.Minute)
	del(false)
	s.Step(time.Minute)
	check(t, "Emptied, it can be deleted.", "ErrorNodePoolNotFound", s.shape(c, p).State)

	p = s.pool(c, "other", 1)
	del(true)
	s.Step(5 * time.Minute)
	check(t, "Even force drains first, and hangs on the last node.", "deleting", s.shape(c, p).State)
	s.Memory.Cluster(c).SetCoreDNS(false)
	s.Step(5 * time.Minute)
	check(t, "Once coredns is out of the way it goes.", "ErrorNodePoolNotFound", s.shape(c, p).State)
	check(t, "Nothing leaks.", 0, len(s.books().Leaked))
}

func TestStock(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	s.stock(stock.Item{Key: stock.Key{Region: region, Zone: zone, Type: "ecs.g7.xlarge"}, Count: 2})
	r, err := s.cs.CreateClusterNodePool(&c, poolRequest("general", 5))
	if err != nil {
		t.Fatalf("A lack of stock is no API error: %v", err)
	}
	p := *r.Body.NodepoolId
	s.Step(2 * time.Minute)
	st, reason := s.task(*r.Body.TaskId)
	check(t, "The task fails.", []string{"failed", "OperationDenied.NoStock"}, []string{st, reason})
	check(t, "What there was is used, and the desired size stays.", poolShape{State: "active", Desired: 5, Total: 2, Serving: 2}, s.shape(c, p))
	s.Step(10 * time.Minute)
	check(t, "The group keeps trying, in vain.", poolShape{State: "active", Desired: 5, Total: 2, Serving: 2}, s.shape(c, p))
	s.stock(stock.Item{Key: stock.Key{Region: region, Zone: zone, Type: "ecs.g7.xlarge"}, Count: 10})
	s.Step(10 * time.Second)
	check(t, "Restocked, it fills up by itself.", poolShape{State: "scaling", Desired: 5, Total: 5, Serving: 2, Initial: 3}, s.shape(c, p))
	s.Step(2 * time.Minute)
	check(t, "To the desired size.", poolShape{State: "active", Desired: 5, Total: 5, Serving: 5}, s.shape(c, p))

	s.stock(stock.Item{Key: stock.Key{Type: "ecs.c7.large"}, Count: -1})
	q := poolRequest("unsold", 1)
	q.ScalingGroup.InstanceTypes = []*string{tea.String("ecs.c7.large")}
	if r, err = s.cs.CreateClusterNodePool(&c, q); err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	s.Step(2 * time.Minute)
	_, reason = s.task(*r.Body.TaskId)
	check(t, "A type that is off sale.", "Zone.NotOnSale", reason)
}

func TestOffers(t *testing.T) {
	cases := map[string]struct {
		reason string
		stock  []stock.Item
		mutate func(*cs.CreateClusterNodePoolRequestScalingGroup)
		want   map[string]int // nodes by type and zone
	}{
		"Balance": {
			reason: "By default zones are balanced.",
			want:   map[string]int{"ecs.g7.xlarge/cn-hangzhou-h": 2, "ecs.g7.xlarge/cn-hangzhou-i": 2},
		},
		"Priority": {
			reason: "PRIORITY fills the first vSwitch.",
			mutate: func(g *cs.CreateClusterNodePoolRequestScalingGroup) { g.MultiAzPolicy = tea.String("PRIORITY") },
			want:   map[string]int{"ecs.g7.xlarge/cn-hangzhou-h": 4},
		},
		"Fallback": {
			reason: "Sold out in one zone, the other serves.",
			stock:  []stock.Item{{Key: stock.Key{Region: region, Zone: zone, Type: "ecs.g7.xlarge"}, Count: 1}},
			want:   map[string]int{"ecs.g7.xlarge/cn-hangzhou-h": 1, "ecs.g7.xlarge/cn-hangzhou-i": 3},
		},
		"NextType": {
			reason: "Sold out everywhere, the next type serves.",
			stock:  []stock.Item{{Key: stock.Key{Type: "ecs.g7.xlarge"}, Count: 0}},
			want:   map[string]int{"ecs.c7.xlarge/cn-hangzhou-h": 2, "ecs.c7.xlarge/cn-hangzhou-i": 2},
		},
		"Cost": {
			reason: "COST_OPTIMIZED takes the cheapest type.",
			mutate: func(g *cs.CreateClusterNodePoolRequestScalingGroup) { g.MultiAzPolicy = tea.String("COST_OPTIMIZED") },
			want:   map[string]int{"ecs.c7.xlarge/cn-hangzhou-h": 2, "ecs.c7.xlarge/cn-hangzhou-i": 2},
		},
		"Spot": {
			reason: "Spot is made up for by on-demand if asked.",
			stock:  []stock.Item{{Key: stock.Key{Spot: true}, Count: 0}},
			mutate: func(g *cs.CreateClusterNodePoolRequestScalingGroup) {
				g.SpotStrategy, g.CompensateWithOnDemand = tea.String("SpotAsPriceGo"), tea.Bool(true)
			},
			want: map[string]int{"ecs.g7.xlarge/cn-hangzhou-h": 2, "ecs.g7.xlarge/cn-hangzhou-i": 2},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			c := s.cluster("u1")
			for _, it := range tc.stock {
				s.stock(it)
			}
			q := poolRequest("general", 4)
			q.ScalingGroup.VswitchIds = tea.StringSlice([]string{"vsw-1", "vsw-2"})
			q.ScalingGroup.InstanceTypes = tea.StringSlice([]string{"ecs.g7.xlarge", "ecs.c7.xlarge"})
			if tc.mutate != nil {
				tc.mutate(q.ScalingGroup)
			}
			if _, err := s.cs.CreateClusterNodePool(&c, q); err != nil {
				t.Fatalf("CreateClusterNodePool(...): %v", err)
			}
			s.Step(2 * time.Minute)
			st, err := s.Admin.State(t.Context())
			if err != nil {
				t.Fatalf("State(...): %v", err)
			}
			got := map[string]int{}
			for _, n := range st.Nodes {
				got[n.Type+"/"+n.Zone]++
			}
			check(t, tc.reason, tc.want, got)
		})
	}
}

func TestAddressesRunOut(t *testing.T) {
	s := start(t, simtest.Options{})
	q := clusterRequest("u1")
	q.Vpcid, q.VswitchIds = tea.String("vpc-2"), []*string{tea.String("vsw-3")}
	q.ServiceCidr = tea.String("172.20.0.0/20")
	r, err := s.cs.CreateCluster(q)
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	c := *r.Body.ClusterId
	s.Step(5 * time.Minute)
	pq := poolRequest("general", 20)
	pq.ScalingGroup.VswitchIds = q.VswitchIds
	pr, err := s.cs.CreateClusterNodePool(&c, pq)
	if err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	s.Step(3 * time.Minute)
	_, reason := s.task(*pr.Body.TaskId)
	check(t, "A small vSwitch has few addresses.", "InvalidVSwitchId.IpNotEnough", reason)
	check(t, "A /28 has 12 for nodes.", int64(12), s.shape(c, *pr.Body.NodepoolId).Serving)
}

func TestSizeRules(t *testing.T) {
	s := start(t, simtest.Options{Configure: func(c *config.Config) { c.Accounts[0].Quotas.NodesPerCluster = 10 }})
	c := s.cluster("u1")
	p := s.pool(c, "general", 1)

	cases := map[string]struct {
		reason string
		mutate func(*cs.CreateClusterNodePoolRequest)
		want   string
	}{
		"Exclusive": {reason: "Either we or the vendor's scaler owns the size.", mutate: func(r *cs.CreateClusterNodePoolRequest) {
			r.AutoScaling = &cs.CreateClusterNodePoolRequestAutoScaling{Enable: tea.Bool(true), MaxInstances: tea.Int64(5)}
		}, want: "InvalidDesiredSizeOrCount.NotNull"},
		"MinMax": {reason: "min above max.", mutate: func(r *cs.CreateClusterNodePoolRequest) {
			r.ScalingGroup.DesiredSize = nil
			r.AutoScaling = &cs.CreateClusterNodePoolRequestAutoScaling{Enable: tea.Bool(true), MinInstances: tea.Int64(6), MaxInstances: tea.Int64(5)}
		}, want: "InvalidParameter.AutoScaling.MaxInstances"},
		"Quota":   {reason: "The quota of nodes.", mutate: func(r *cs.CreateClusterNodePoolRequest) { r.ScalingGroup.DesiredSize = tea.Int64(10) }, want: "QuotaExceeded.Node"},
		"NoTypes": {reason: "At least one type.", mutate: func(r *cs.CreateClusterNodePoolRequest) { r.ScalingGroup.InstanceTypes = nil }, want: "InvalidParameter.ScalingGroup.InstanceTypes"},
		"AnyType": {reason: "A type that exists.", mutate: func(r *cs.CreateClusterNodePoolRequest) {
			r.ScalingGroup.InstanceTypes = tea.StringSlice([]string{"ecs.x"})
		}, want: "InvalidInstanceType.NotSupported"},
		"VSwitch": {reason: "A vSwitch of the cluster's VPC.", mutate: func(r *cs.CreateClusterNodePoolRequest) {
			r.ScalingGroup.VswitchIds = tea.StringSlice([]string{"vsw-3"})
		}, want: "InvalidVSwitchId.NotFound"},
		"Name": {reason: "Names are unique in a cluster.", mutate: func(r *cs.CreateClusterNodePoolRequest) { r.NodepoolInfo.Name = tea.String("general") }, want: "NodepoolNameAlreadyExist"},
		"Disks": {reason: "encrypted is a string of two values.", mutate: func(r *cs.CreateClusterNodePoolRequest) {
			r.ScalingGroup.DataDisks = []*cs.DataDisk{{Encrypted: tea.String("yes")}}
		}, want: "InvalidParameter.ScalingGroup.DataDisks.Encrypted"},
		"Accepted": {reason: "A good one.", mutate: func(*cs.CreateClusterNodePoolRequest) {}, want: ""},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		tc := cases[name]
		t.Run(name, func(t *testing.T) {
			q := poolRequest("p-"+name, 0)
			tc.mutate(q)
			_, err := s.cs.CreateClusterNodePool(&c, q)
			check(t, tc.reason, tc.want, code(err))
		})
	}

	_, err := s.resize(c, p, 11)
	check(t, "The quota holds for changes too.", "QuotaExceeded.Node", code(err))
	r, err := s.cs.ScaleClusterNodePool(&c, &p, &cs.ScaleClusterNodePoolRequest{Count: tea.Int64(2)})
	if err != nil {
		t.Fatalf("ScaleClusterNodePool(...): %v", err)
	}
	s.Step(2 * time.Minute)
	st, _ := s.task(*r.Body.TaskId)
	check(t, "A count is added.", []any{"success", int64(3)}, []any{st, s.shape(c, p).Serving})

	es, err := s.Admin.Requests(t.Context(), requestlog.Filter{Action: "ScaleClusterNodePool"})
	if err != nil || len(es) != 1 {
		t.Fatalf("Requests(...): %v, %v", es, err)
	}
	got := es[0]
	check(t, "The log says what was asked for.", requestlog.Entry{
		Service: "ack", Action: "ScaleClusterNodePool", Method: "POST", Path: "/clusters/" + c + "/nodepools/" + p, AccessKeyID: simtest.AccessKeyID, Verified: true,
		Status: 202, Accepted: true, Mutating: true, Cluster: c, NodePool: p, Desired: tea.Int(3), Count: tea.Int(2),
	}, got, cmp.FilterPath(func(p cmp.Path) bool {
		return slices.Contains([]string{"Time", "Seconds", "RequestID"}, p.Last().String()[1:])
	}, cmp.Ignore()))
}

func TestListLagOfPools(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	if _, err := s.cs.CreateClusterNodePool(&c, poolRequest("general", 0)); err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	count := func() int {
		r, err := s.cs.DescribeClusterNodePools(&c, &cs.DescribeClusterNodePoolsRequest{})
		if err != nil {
			t.Fatalf("DescribeClusterNodePools(...): %v", err)
		}
		return len(r.Body.Nodepools)
	}
	check(t, "The list of pools trails.", 0, count())
	s.Step(lag)
	check(t, "And catches up.", 1, count())
}
