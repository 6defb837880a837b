package tke_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

// TestGatewayFaults checks what a caller sees of each fault of the transport and
// the gateway, and whether the call took effect.
func TestGatewayFaults(t *testing.T) {
	accept := map[string]string{"accept": "true"}
	cases := map[string]struct {
		reason   string
		rule     faults.Rule
		codes    []string
		accepted int
	}{
		"DropAfterAccept": {reason: "The cluster is made, the answer lost.", rule: faults.Rule{Kind: faults.DropAfterAccept}, codes: []string{"ClientError.NetworkError"}, accepted: 1},
		"TruncateBody":    {reason: "The cluster is made, the answer cut.", rule: faults.Rule{Kind: faults.TruncateBody}, codes: []string{"ClientError.ParseJsonError"}, accepted: 1},
		"TimeoutBefore":   {reason: "Nothing happens, and nothing is answered.", rule: faults.Rule{Kind: faults.TimeoutBefore, Args: map[string]string{"seconds": "0.1"}}, codes: []string{"ClientError.NetworkError"}},
		"Delay":           {reason: "It works, late.", rule: faults.Rule{Kind: faults.Delay, Args: map[string]string{"seconds": "0.1"}}, codes: []string{""}, accepted: 1},
		"HTTP500":         {reason: "A valid body counts more than the status.", rule: faults.Rule{Kind: faults.HTTP500JSON}, codes: []string{"InternalError"}},
		"HTTP500Accept":   {reason: "An error that took effect.", rule: faults.Rule{Kind: faults.HTTP500JSON, Args: accept}, codes: []string{"InternalError"}, accepted: 1},
		"HTTP502":         {reason: "A page of HTML is no answer.", rule: faults.Rule{Kind: faults.HTTP502HTML}, codes: []string{"ClientError.ParseJsonError"}},
		"HTTP502Accept":   {reason: "Even if it worked.", rule: faults.Rule{Kind: faults.HTTP502HTML, Args: accept}, codes: []string{"ClientError.ParseJsonError"}, accepted: 1},
		"HTTP503":         {reason: "Unavailable.", rule: faults.Rule{Kind: faults.HTTP503}, codes: []string{"ServiceUnavailable"}},
		"Throttle":        {reason: "Throttled.", rule: faults.Rule{Kind: faults.Throttle}, codes: []string{"RequestLimitExceeded"}},
		"ThrottleUin":     {reason: "Throttled otherwise.", rule: faults.Rule{Kind: faults.Throttle, Args: map[string]string{"code": "RequestLimitExceeded.UinLimitExceeded"}}, codes: []string{"RequestLimitExceeded.UinLimitExceeded"}},
		"Quota":           {reason: "Over quota.", rule: faults.Rule{Kind: faults.Quota}, codes: []string{"FailedOperation.QuotaMaxClsLimit", "InternalError.QuotaMaxClsLimit"}},
		"Balance":         {reason: "No money.", rule: faults.Rule{Kind: faults.Balance}, codes: []string{"FailedOperation.TradeCommon", "InternalError.TradeCommon"}},
		"AuthDenied":      {reason: "Not allowed.", rule: faults.Rule{Kind: faults.AuthDenied}, codes: []string{"UnauthorizedOperation.CamNoAuth"}},
		"AuthDeniedCam":   {reason: "In other words.", rule: faults.Rule{Kind: faults.AuthDenied, Args: map[string]string{"code": "FailedOperation.CamNoAuth"}}, codes: []string{"FailedOperation.CamNoAuth"}},
		"ClockSkew":       {reason: "The gateway's clock is wrong.", rule: faults.Rule{Kind: faults.ClockSkew}, codes: []string{"AuthFailure.SignatureExpire"}},
		"OtherCloud":      {reason: "A rule for the other cloud.", rule: faults.Rule{Kind: faults.Throttle, Selector: map[string]string{"cloud": "alibaba"}}, codes: []string{""}, accepted: 1},
		"ThisCloud":       {reason: "A rule for this cloud and product.", rule: faults.Rule{Kind: faults.Throttle, Selector: map[string]string{"cloud": "tencent", "service": "tke"}}, codes: []string{"RequestLimitExceeded"}},
		"OtherRegion":     {reason: "A rule for another region.", rule: faults.Rule{Kind: faults.Throttle, Selector: map[string]string{"region": "ap-shanghai"}}, codes: []string{""}, accepted: 1},
		"ThisName":        {reason: "A rule for this name.", rule: faults.Rule{Kind: faults.Throttle, Selector: map[string]string{"name": "rp-u1"}}, codes: []string{"RequestLimitExceeded"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			s.fault(tc.rule)
			_, err := s.tke.CreateCluster(clusterRequest("u1"))
			oneOf(t, tc.reason, code(err), tc.codes...)
			check(t, "Whether it took effect.", []int{tc.accepted, tc.accepted}, []int{s.accepted("CreateCluster"), live(s.books())[ledger.Cluster]})
		})
	}
}

func TestClusterFaults(t *testing.T) {
	cases := map[string]struct {
		reason string
		rule   faults.Rule
		run    func(t *testing.T, s *sim)
	}{
		"CreateFailedState": {reason: "A broken cluster is billed, and can be deleted.", rule: faults.Rule{Kind: faults.CreateFailedState}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			check(t, "It is abnormal.", "Abnormal", s.state(c))
			check(t, "It is billed.", 1, live(s.books())[ledger.Cluster])
			_, err := s.tke.CreateClusterNodePool(poolRequest(c, pool{name: "general"}))
			check(t, "It takes no node pool.", "ResourceUnavailable.ClusterState", code(err))
			check(t, "It can be deleted.", "", code(s.drop(c, nil)))
			s.Step(4 * time.Minute)
			check(t, "And goes.", "gone", s.state(c))
		}},
		"StuckCreate": {reason: "A creation that never ends.", rule: faults.Rule{Kind: faults.StuckTask, Action: "CreateCluster"}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			s.Step(time.Hour)
			check(t, "It is being created.", "Creating", s.state(c))
		}},
		"ProtectionOn": {reason: "Protection nobody asked for.", rule: faults.Rule{Kind: faults.ProtectionOn}, run: func(t *testing.T, s *sim) {
			check(t, "It is protected.", "OperationDenied.ClusterInDeletionProtection", code(s.drop(s.cluster("u1"), nil)))
		}},
		"ProtectionStays": {reason: "Success without effect.", rule: faults.Rule{Kind: faults.TaskSuccessButUnchanged, Action: "DisableClusterDeletionProtection"}, run: func(t *testing.T, s *sim) {
			s.fault(faults.Rule{Kind: faults.ProtectionOn})
			c := s.cluster("u1")
			q := tke.NewDisableClusterDeletionProtectionRequest()
			q.ClusterId = &c
			_, err := s.tke.DisableClusterDeletionProtection(q)
			check(t, "It says yes.", "", code(err))
			check(t, "And does nothing.", "OperationDenied.ClusterInDeletionProtection", code(s.drop(c, nil)))
		}},
		"DeleteUnchanged": {reason: "A deletion without effect.", rule: faults.Rule{Kind: faults.TaskSuccessButUnchanged, Action: "DeleteCluster"}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			check(t, "It says yes.", "", code(s.drop(c, nil)))
			s.Step(4 * time.Minute)
			check(t, "It runs again.", "Running", s.state(c))
		}},
		"DeleteFailed": {reason: "A deletion that fails once.", rule: faults.Rule{Kind: faults.DeleteFailed, Action: "DeleteCluster", Times: 1}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			var got []string
			for range 2 {
				check(t, "It is accepted.", "", code(s.drop(c, nil)))
				s.Step(4 * time.Minute)
				got = append(got, s.state(c))
			}
			check(t, "First and second.", []string{"Abnormal", "gone"}, got)
		}},
		"Dependency": {reason: "A deletion that is refused.", rule: faults.Rule{Kind: faults.DependencyViolation, Times: 1}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			check(t, "First and second.", []string{"FailedOperation.ClusterForbiddenToDelete", ""}, []string{code(s.drop(c, nil)), code(s.drop(c, nil))})
		}},
		"LeaveBehind": {reason: "A deletion that leaves things behind.", rule: faults.Rule{Kind: faults.LeaveBehind, Args: map[string]string{"kinds": "security-group,as-group"}}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			s.pool(c, pool{name: "general"})
			check(t, "It is accepted.", "", code(s.drop(c, nil)))
			s.Step(10 * time.Minute)
			check(t, "These.", []ledger.Kind{ledger.ASGroup, ledger.LaunchConfig, ledger.SecurityGroup}, leaked(s.books()))
		}},
		"PoolDeleteFailed": {reason: "A pool that does not go.", rule: faults.Rule{Kind: faults.DeleteFailed, Action: "DeleteClusterNodePool", Times: 1}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			np := s.pool(c, pool{name: "general", desired: 1})
			check(t, "It is accepted.", "", code(s.dropPool(c, np, false)))
			s.Step(3 * time.Minute)
			check(t, "And there.", shape{State: "normal", Desired: 1, Up: 1, Total: 1}, s.shape(c, np))
		}},
		"PoolStuck": {reason: "A pool that never goes.", rule: faults.Rule{Kind: faults.StuckTask, Action: "DeleteClusterNodePool"}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			np := s.pool(c, pool{name: "general"})
			check(t, "It is accepted.", "", code(s.dropPool(c, np, false)))
			s.Step(time.Hour)
			check(t, "It goes and goes.", "deleting", s.shape(c, np).State)
		}},
		"SizeUnchanged": {reason: "A size that is not taken.", rule: faults.Rule{Kind: faults.TaskSuccessButUnchanged, Action: "ModifyNodePoolDesiredCapacityAboutAsg"}, run: func(t *testing.T, s *sim) {
			c := s.cluster("u1")
			np := s.pool(c, pool{name: "general"})
			check(t, "It says yes.", "", code(s.resize(c, np, 2)))
			check(t, "And does nothing.", int64(0), s.shape(c, np).Desired)
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			s.fault(tc.rule)
			tc.run(t, s)
		})
	}
}

func TestThrottle(t *testing.T) {
	s := start(t, simtest.Options{Configure: func(c *config.Config) { c.Tencent.Throttle = config.Throttle{QPS: 0.001, Burst: 2} }})
	var got []string
	for range 3 {
		_, err := s.tke.DescribeVersions(tke.NewDescribeVersionsRequest())
		got = append(got, code(err))
	}
	check(t, "Each API has a bucket.", []string{"", "", "RequestLimitExceeded"}, got)
	_, err := s.tke.DescribeClusters(tke.NewDescribeClustersRequest())
	check(t, "Of its own.", "", code(err))
}

func TestAccounts(t *testing.T) {
	past := time.Now().Add(-time.Minute)
	s := start(t, simtest.Options{Configure: func(c *config.Config) {
		c.Tencent.Accounts = append(c.Tencent.Accounts,
			config.Account{AccessKeyID: "AKIDother", AccessKeySecret: "s"},
			config.Account{AccessKeyID: "AKIDsts", AccessKeySecret: "s", SecurityToken: "t", Parent: simtest.SecretID},
			config.Account{AccessKeyID: "AKIDold", AccessKeySecret: "s", SecurityToken: "t", Expires: &past},
		)
	}})
	s.cluster("u1")
	cases := map[string]struct {
		reason string
		cred   *common.Credential
		rule   *faults.Rule
		code   string
		want   int
	}{
		"Own":      {reason: "One's own clusters.", cred: s.TencentCredential(), want: 1},
		"Other":    {reason: "Others have none.", cred: common.NewCredential("AKIDother", "s")},
		"STS":      {reason: "A temporary credential acts for its parent.", cred: common.NewTokenCredential("AKIDsts", "s", "t"), want: 1},
		"NoToken":  {reason: "It needs its token.", cred: common.NewCredential("AKIDsts", "s"), code: "AuthFailure.TokenFailure"},
		"Expired":  {reason: "It ends.", cred: common.NewTokenCredential("AKIDold", "s", "t"), code: "AuthFailure.TokenFailure"},
		"Unknown":  {reason: "An unknown id.", cred: common.NewCredential("AKIDx", "s"), code: "AuthFailure.SecretIdNotFound"},
		"Wrong":    {reason: "A wrong key.", cred: common.NewCredential(simtest.SecretID, "x"), code: "AuthFailure.SignatureFailure"},
		"Alibaba":  {reason: "The other cloud's account.", cred: common.NewCredential(simtest.AccessKeyID, simtest.AccessKeySecret), code: "AuthFailure.SecretIdNotFound"},
		"EndEarly": {reason: "It may end early.", cred: common.NewTokenCredential("AKIDsts", "s", "t"), rule: &faults.Rule{ID: "sts", Kind: faults.STSExpire}, code: "AuthFailure.TokenFailure"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.rule != nil {
				s.fault(*tc.rule)
				defer func() { _ = s.Admin.ClearFault(t.Context(), tc.rule.ID) }()
			}
			c, err := tke.NewClient(tc.cred, region, s.TencentProfile())
			if err != nil {
				t.Fatalf("tke.NewClient(...): %v", err)
			}
			a, err := c.DescribeClusters(tke.NewDescribeClustersRequest())
			check(t, tc.reason, tc.code, code(err))
			if err == nil {
				check(t, tc.reason, tc.want, len(a.Response.Clusters))
			}
		})
	}
}

// TestRunningClock has callers in parallel while time runs by itself.
func TestRunningClock(t *testing.T) {
	s := start(t, simtest.Options{Factor: 3600})
	r, err := s.tke.CreateCluster(clusterRequest("u1"))
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	c := *r.Response.ClusterId
	until := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("Waited in vain until %s", what)
			}
		}
	}
	until("the cluster runs", func() bool { return s.state(c) == "Running" })
	q, err := s.tke.CreateClusterNodePool(poolRequest(c, pool{name: "general"}))
	if err != nil {
		t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	np := *q.Response.NodePoolId
	until("the pool is there", func() bool { return s.shape(c, np).State == "normal" })
	done := make(chan struct{})
	for n := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			client := s.TKEClient(t, region)
			for round := range 20 {
				m := tke.NewModifyNodePoolDesiredCapacityAboutAsgRequest()
				m.ClusterId, m.NodePoolId, m.DesiredCapacity = &c, &np, p(int64((n+round)%5))
				_, _ = client.ModifyNodePoolDesiredCapacityAboutAsg(m)
				d := tke.NewDescribeClusterInstancesRequest()
				d.ClusterId = &c
				_, _ = client.DescribeClusterInstances(d)
				_, _ = s.Admin.State(t.Context())
			}
		}()
	}
	for range 4 {
		<-done
	}
	check(t, "A last word.", "", code(s.resize(c, np, 2)))
	until("it is followed", func() bool { return s.shape(c, np) == shape{State: "normal", Desired: 2, Up: 2, Total: 2} })
	until("nothing else is billed", func() bool { return live(s.books())[ledger.CVM] == 2 })
}

func TestReset(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	s.pool(c, pool{name: "general", desired: 1})
	st, err := s.Admin.State(t.Context())
	if err != nil {
		t.Fatalf("State(...): %v", err)
	}
	check(t, "The control panel knows.", []any{"tke", c, 1, "Ready"}, []any{st.Clusters[0].Service, st.Clusters[0].ID, st.Clusters[0].Pools[0].Ready, st.Nodes[0].NodeStatus})
	if b, err := s.Admin.Kubeconfig(t.Context(), c); err != nil || len(b) == 0 {
		t.Errorf("Kubeconfig(...): %q, %v", b, err)
	}
	if err := s.Admin.Reset(t.Context()); err != nil {
		t.Fatalf("Reset(...): %v", err)
	}
	check(t, "Everything is forgotten.", []int{0, 0}, []int{len(s.listed()), len(s.books().Live)})
	s.Step(time.Hour)
	check(t, "And does not come back.", map[ledger.Kind]int{}, live(s.books()), cmpopts.EquateEmpty())
	check(t, "The log begins anew.", 1, len(s.requests(requestlog.Filter{})))
}
