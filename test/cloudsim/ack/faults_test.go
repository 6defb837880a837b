package ack_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

// TestGatewayFaults checks what a caller sees of each fault of the transport and
// the gateway, and whether the call took effect.
func TestGatewayFaults(t *testing.T) {
	type want struct {
		Code     string
		Accepted int
		Clusters int
	}
	cases := map[string]struct {
		reason string
		rule   faults.Rule
		want   want
	}{
		"DropAfterAccept": {reason: "The cluster is made, the answer lost.", rule: faults.Rule{Kind: faults.DropAfterAccept}, want: want{Code: "unknown", Accepted: 1, Clusters: 1}},
		"TruncateBody":    {reason: "The cluster is made, the answer cut.", rule: faults.Rule{Kind: faults.TruncateBody}, want: want{Code: "unknown", Accepted: 1, Clusters: 1}},
		"TimeoutBefore":   {reason: "Nothing happens, and nothing is answered.", rule: faults.Rule{Kind: faults.TimeoutBefore, Args: map[string]string{"seconds": "0.1"}}, want: want{Code: "unknown"}},
		"Delay":           {reason: "It works, late.", rule: faults.Rule{Kind: faults.Delay, Args: map[string]string{"seconds": "0.1"}}, want: want{Accepted: 1, Clusters: 1}},
		"HTTP500":         {reason: "An error with a body.", rule: faults.Rule{Kind: faults.HTTP500JSON}, want: want{Code: "InternalError"}},
		"HTTP500Accept":   {reason: "An error that took effect.", rule: faults.Rule{Kind: faults.HTTP500JSON, Args: map[string]string{"accept": "true"}}, want: want{Code: "InternalError", Accepted: 1, Clusters: 1}},
		"HTTP502":         {reason: "A page of HTML is no answer.", rule: faults.Rule{Kind: faults.HTTP502HTML}, want: want{Code: "unknown"}},
		"HTTP503":         {reason: "Unavailable.", rule: faults.Rule{Kind: faults.HTTP503}, want: want{Code: "ServiceUnavailable"}},
		"Throttle":        {reason: "Throttled.", rule: faults.Rule{Kind: faults.Throttle}, want: want{Code: "Throttling.User"}},
		"Quota":           {reason: "Over quota.", rule: faults.Rule{Kind: faults.Quota}, want: want{Code: "QuotaExceeded.Cluster"}},
		"Balance":         {reason: "No money.", rule: faults.Rule{Kind: faults.Balance}, want: want{Code: "InsufficientBalance"}},
		"AuthDenied":      {reason: "Not allowed.", rule: faults.Rule{Kind: faults.AuthDenied}, want: want{Code: "ErrorCheckAcl"}},
		"AuthDeniedRAM":   {reason: "Not allowed, in other words.", rule: faults.Rule{Kind: faults.AuthDenied, Args: map[string]string{"code": "Forbidden.RAM"}}, want: want{Code: "Forbidden.RAM"}},
		"ClockSkew":       {reason: "The gateway's clock is wrong.", rule: faults.Rule{Kind: faults.ClockSkew}, want: want{Code: "InvalidTimeStamp.Expired"}},
		"OtherAction":     {reason: "A rule for another action.", rule: faults.Rule{Kind: faults.Throttle, Action: "DeleteCluster"}, want: want{Accepted: 1, Clusters: 1}},
		"OtherName":       {reason: "A rule for another cluster.", rule: faults.Rule{Kind: faults.Throttle, Selector: map[string]string{"name": "x"}}, want: want{Accepted: 1, Clusters: 1}},
		"ThisName":        {reason: "A rule for this cluster.", rule: faults.Rule{Kind: faults.Throttle, Selector: map[string]string{"name": "rp-u1"}}, want: want{Code: "Throttling.User"}},
		"Second":          {reason: "A rule for the second call.", rule: faults.Rule{Kind: faults.Throttle, Nth: 2}, want: want{Accepted: 1, Clusters: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			s.fault(tc.rule)
			_, err := s.cs.CreateCluster(clusterRequest("u1"))
			check(t, tc.reason, tc.want, want{Code: code(err), Accepted: s.accepted("CreateCluster"), Clusters: live(s.books())[ledger.Cluster]})
		})
	}
}

func TestTimes(t *testing.T) {
	s := start(t, simtest.Options{})
	s.fault(faults.Rule{ID: "two", Kind: faults.Throttle, Times: 2})
	var got []string
	for range 3 {
		_, err := s.cs.DescribeUserQuota()
		got = append(got, code(err))
	}
	check(t, "A rule is spent after its times.", []string{"Throttling.User", "Throttling.User", ""}, got)
	rs, err := s.Admin.Faults(t.Context())
	if err != nil {
		t.Fatalf("Faults(...): %v", err)
	}
	check(t, "Its counts can be read.", []int{3, 2}, []int{rs[0].Seen, rs[0].Fired})
	if _, err := s.Admin.SetFault(t.Context(), faults.Rule{Kind: "nonsense"}); err == nil {
		t.Errorf("An unknown fault should be refused")
	}
}

// TestClusterFaults checks faults that show only in the life of a cluster.
func TestClusterFaults(t *testing.T) {
	cases := map[string]struct {
		reason string
		rule   faults.Rule
		run    func(t *testing.T, s *sim)
	}{
		"CreateFailedState": {reason: "A failed cluster is billed and can be deleted.", rule: faults.Rule{Kind: faults.CreateFailedState}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			check(t, "It failed.", "failed", s.state(c))
			check(t, "It is billed.", 1, live(s.books())[ledger.Cluster])
			if _, err := s.cs.DeleteCluster(&c, &cs.DeleteClusterRequest{}); err != nil {
				t.Fatalf("DeleteCluster(...): %v", err)
			}
			s.Step(6 * time.Minute)
			check(t, "It is gone.", "ErrorClusterNotFound", s.state(c))
		}},
		"TaskFail": {reason: "A task fails in the other spelling.", rule: faults.Rule{Kind: faults.TaskFail, Action: "CreateCluster", Args: map[string]string{"state": "fail", "code": "X"}}, run: func(t *testing.T, s *sim) {
			r, err := s.cs.CreateCluster(clusterRequest("u1"))
			if err != nil {
				t.Fatalf("CreateCluster(...): %v", err)
			}
			s.Step(5 * time.Minute)
			st, reason := s.task(*r.Body.TaskId)
			check(t, "The task.", []string{"fail", "X"}, []string{st, reason})
			check(t, "The cluster.", "failed", s.state(*r.Body.ClusterId))
		}},
		"Unchanged": {reason: "A deletion that succeeds without effect.", rule: faults.Rule{Kind: faults.TaskSuccessButUnchanged, Action: "DeleteCluster"}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			r, err := s.cs.DeleteCluster(&c, &cs.DeleteClusterRequest{})
			if err != nil {
				t.Fatalf("DeleteCluster(...): %v", err)
			}
			s.Step(6 * time.Minute)
			st, _ := s.task(*r.Body.TaskId)
			check(t, "The task succeeded, the cluster is there.", []string{"success", "running"}, []string{st, s.state(c)})
		}},
		"StuckTask": {reason: "A task that never ends, of an operation that does.", rule: faults.Rule{Kind: faults.StuckTask, Action: "CreateCluster"}, run: func(t *testing.T, s *sim) {
			r, err := s.cs.CreateCluster(clusterRequest("u1"))
			if err != nil {
				t.Fatalf("CreateCluster(...): %v", err)
			}
			s.Step(time.Hour)
			st, _ := s.task(*r.Body.TaskId)
			check(t, "Task and cluster.", []string{"running", "running"}, []string{st, s.state(*r.Body.ClusterId)})
		}},
		"StuckOperation": {reason: "An operation that never ends.", rule: faults.Rule{Kind: faults.StuckTask, Action: "CreateCluster", Args: map[string]string{"operation": "stuck"}}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			s.Step(time.Hour)
			check(t, "The cluster.", "initial", s.state(c))
		}},
		"DeleteFailed": {reason: "A deletion that fails once.", rule: faults.Rule{Kind: faults.DeleteFailed, Action: "DeleteCluster", Times: 1}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			var got []string
			for range 2 {
				if _, err := s.cs.DeleteCluster(&c, &cs.DeleteClusterRequest{}); err != nil {
					t.Fatalf("DeleteCluster(...): %v", err)
				}
				s.Step(6 * time.Minute)
				got = append(got, s.state(c))
			}
			check(t, "First and second.", []string{"delete_failed", "ErrorClusterNotFound"}, got)
		}},
		"DependencyViolation": {reason: "A deletion that is refused.", rule: faults.Rule{Kind: faults.DependencyViolation, Times: 2}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			var got []string
			for range 3 {
				_, err := s.cs.DeleteCluster(&c, &cs.DeleteClusterRequest{})
				got = append(got, code(err))
			}
			check(t, "Three tries.", []string{"DependencyViolation.Resource", "DependencyViolation.Resource", ""}, got)
		}},
		"ProtectionOn": {reason: "Protection nobody asked for.", rule: faults.Rule{Kind: faults.ProtectionOn}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			_, err := s.cs.DeleteCluster(&c, &cs.DeleteClusterRequest{})
			check(t, "It protects.", "OperationDenied.DeletionProtection", code(err))
		}},
		"DefaultNodePool": {reason: "A pool nobody asked for.", rule: faults.Rule{Kind: faults.DuplicateDefaultNodePool, Args: map[string]string{"nodes": "2"}}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			s.Step(3 * time.Minute)
			r, err := s.cs.DescribeClusterNodePools(&c, &cs.DescribeClusterNodePoolsRequest{})
			if err != nil || len(r.Body.Nodepools) != 1 {
				t.Fatalf("DescribeClusterNodePools(...): %v, %v", r, err)
			}
			check(t, "Its name.", "default-nodepool", *r.Body.Nodepools[0].NodepoolInfo.Name)
			check(t, "It is billed.", 2, live(s.books())[ledger.ECS])
		}},
		"Unresolvable": {reason: "A kubeconfig nobody can use.", rule: faults.Rule{Kind: faults.KubeconfigUnresolvable}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			r, err := s.cs.DescribeClusterUserKubeconfig(&c, &cs.DescribeClusterUserKubeconfigRequest{})
			if err != nil || !strings.Contains(*r.Body.Config, ".cs.invalid:6443") {
				t.Errorf("DescribeClusterUserKubeconfig(...): %v, %v", r, err)
			}
		}},
		"NoEndpoint": {reason: "No address of the API server.", rule: faults.Rule{Kind: faults.EndpointAddressEmpty}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			r, err := s.cs.DescribeClusterDetail(&c)
			if err != nil || strings.Contains(*r.Body.MasterUrl, "https") {
				t.Errorf("DescribeClusterDetail(...): %v, %v", r, err)
			}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			s.fault(tc.rule)
			t.Log(tc.reason)
			tc.run(t, s)
		})
	}
}

// TestNodeFaults checks faults of node pools and nodes.
func TestNodeFaults(t *testing.T) {
	cases := map[string]struct {
		reason string
		rule   faults.Rule
		spot   bool
		after  time.Duration
		want   poolShape
		status string // of the first listed node
	}{
		"Twins":      {reason: "One asked for, two started.", rule: faults.Rule{Kind: faults.Desired1Starts2}, want: poolShape{State: "active", Desired: 1, Total: 2, Serving: 2}, status: "Ready"},
		"NeverReady": {reason: "A node that never registers is given up after a quarter of an hour.", rule: faults.Rule{Kind: faults.NodeNeverReady}, after: 15 * time.Minute, want: poolShape{State: "active", Desired: 1, Total: 1, Fail: 1}, status: "Unknown"},
		"Booting":    {reason: "Until then the pool scales.", rule: faults.Rule{Kind: faults.NodeNeverReady}, after: 10 * time.Minute, want: poolShape{State: "scaling", Desired: 1, Total: 1, Initial: 1}},
		"Offline":    {reason: "A node goes away.", rule: faults.Rule{Kind: faults.NodeOffline}, after: 3 * time.Minute, want: poolShape{State: "active", Desired: 1, Total: 1}, status: "Offline"},
		"Flap":       {reason: "A node goes away and returns.", rule: faults.Rule{Kind: faults.NodeFlap}, after: 5 * time.Minute, want: poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}, status: "Ready"},
		"Reclaim":    {reason: "A spot instance is reclaimed after notice, and replaced.", rule: faults.Rule{Kind: faults.SpotReclaim, Times: 1}, spot: true, after: 10 * time.Minute, want: poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}, status: "Ready"},
		"TaskFail":   {reason: "A scale-out that fails for no reason.", rule: faults.Rule{Kind: faults.TaskFail, Action: "CreateClusterNodePool"}, want: poolShape{State: "active", Desired: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			c := s.cluster("u1")
			s.fault(tc.rule)
			q := poolRequest("general", 1)
			if tc.spot {
				q.ScalingGroup.SpotStrategy = tea.String("SpotAsPriceGo")
			}
			r, err := s.cs.CreateClusterNodePool(&c, q)
			if err != nil {
				t.Fatalf("CreateClusterNodePool(...): %v", err)
			}
			p := *r.Body.NodepoolId
			s.Step(2*time.Minute + tc.after)
			check(t, tc.reason, tc.want, s.shape(c, p))
			status := ""
			s.Step(lag)
			l, err := s.cs.DescribeClusterNodes(&c, &cs.DescribeClusterNodesRequest{NodepoolId: &p})
			if err != nil {
				t.Fatalf("DescribeClusterNodes(...): %v", err)
			}
			if len(l.Body.Nodes) > 0 {
				status = *l.Body.Nodes[0].NodeStatus
			}
			check(t, tc.reason, tc.status, status)
			if name == "Reclaim" {
				b := s.books()
				check(t, "The first instance was released.", []int{2, 1}, []int{b.Created[ledger.ECS], b.Released[ledger.ECS]})
			}
		})
	}
}

func TestPDBBlock(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	p := s.pool(c, "general", 3)
	ids := s.nodes(c, p)
	s.fault(faults.Rule{ID: "pdb", Kind: faults.PDBBlock, Selector: map[string]string{"instance": ids[0]}})
	task, err := s.remove(c, p, true, true, ids[0], ids[1])
	if err != nil {
		t.Fatalf("RemoveNodePoolNodes(...): %v", err)
	}
	s.Step(5 * time.Minute)
	check(t, "One node goes, the other's drain is blocked.", poolShape{State: "removing_nodes", Desired: 1, Total: 2, Serving: 1, Rem: 1}, s.shape(c, p))
	if err := s.Admin.ClearFault(t.Context(), "pdb"); err != nil {
		t.Fatalf("ClearFault(...): %v", err)
	}
	s.Step(2 * time.Minute)
	st, _ := s.task(task)
	check(t, "Unblocked, it goes on.", []any{"success", poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}}, []any{st, s.shape(c, p)})
}

func TestMissingAuth(t *testing.T) {
	s := start(t, simtest.Options{Configure: func(c *config.Config) { c.Switches.MissingAuthRole = true }})
	c := s.cluster("u1")
	_, err := s.cs.CreateClusterNodePool(&c, poolRequest("general", 1))
	check(t, "A desired size needs a role.", "MissingAuth.AliyunOOSLifecycleHook4CSRole", code(err))
	q := poolRequest("general", 1)
	q.ScalingGroup.DesiredSize = nil
	_, err = s.cs.CreateClusterNodePool(&c, q)
	check(t, "A pool without one does not.", "", code(err))
}

func TestThrottle(t *testing.T) {
	s := start(t, simtest.Options{Configure: func(c *config.Config) { c.Throttle = config.Throttle{QPS: 0.01, Burst: 3, Status: 429} }})
	got := map[string]int{}
	var status int
	for range 5 {
		_, err := s.cs.DescribeUserQuota()
		got[code(err)]++
		if e, ok := err.(*tea.SDKError); ok {
			status = tea.IntValue(e.StatusCode)
		}
	}
	check(t, "A burst passes, the rest is throttled.", map[string]int{"": 3, "Throttling.User": 2}, got)
	check(t, "With the configured status.", http.StatusTooManyRequests, status)
	_, err := s.cs.DescribeClusterDetail(tea.String("c"))
	check(t, "Each API has its own bucket.", "ErrorClusterNotFound", code(err))
}

func TestAccounts(t *testing.T) {
	past := time.Now().Add(-time.Hour)
	s := start(t, simtest.Options{Configure: func(c *config.Config) {
		c.Accounts = append(c.Accounts,
			config.Account{AccessKeyID: "LTAIother", AccessKeySecret: "other"},
			config.Account{AccessKeyID: "LTAIsecond", AccessKeySecret: "second", Parent: simtest.AccessKeyID},
			config.Account{AccessKeyID: "LTAIpast", AccessKeySecret: "past", SecurityToken: "t", Expires: &past})
	}})
	c := s.cluster("u1")
	see := func(id, secret string) string {
		_, err := s.ClientFor(t, id, secret).DescribeClusterDetail(&c)
		return code(err)
	}
	check(t, "Another account sees nothing.", "ErrorClusterNotFound", see("LTAIother", "other"))
	check(t, "Another key of the account sees it.", "", see("LTAIsecond", "second"))
	check(t, "A wrong secret is refused.", "SignatureDoesNotMatch", see("LTAIsecond", "wrong"))
	check(t, "A stranger is refused.", "InvalidAccessKeyId.NotFound", see("LTAInobody", "x"))
	es, err := s.Admin.Requests(t.Context(), requestlog.Filter{Action: "DescribeClusterDetail"})
	if err != nil {
		t.Fatalf("Requests(...): %v", err)
	}
	got := map[string]bool{}
	for _, e := range es {
		got[e.AccessKeyID] = e.Verified
	}
	check(t, "The log knows who was verified.", map[string]bool{"LTAIother": true, "LTAIsecond": false, "LTAInobody": false}, got)
}

func TestReset(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	s.pool(c, "general", 1)
	if err := s.Admin.Reset(t.Context()); err != nil {
		t.Fatalf("Reset(...): %v", err)
	}
	s.Step(time.Hour)
	check(t, "Nothing is left.", []any{"ErrorClusterNotFound", 0, 0.0}, []any{s.state(c), len(s.books().Live), s.books().CostTotal})
}
