package ack_test

import (
	"strings"
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

func TestClusterLife(t *testing.T) {
	s := start(t, simtest.Options{})
	r, err := s.cs.CreateCluster(clusterRequest("u1"))
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	check(t, "ACK accepts with 202.", int32(202), *r.StatusCode)
	id, task := *r.Body.ClusterId, *r.Body.TaskId
	check(t, "A cluster starts as initial.", "initial", s.state(id))
	st, _ := s.task(task)
	check(t, "Its task runs.", "running", st)
	_, err = s.cs.DescribeClusterUserKubeconfig(&id, &cs.DescribeClusterUserKubeconfigRequest{})
	check(t, "There is no kubeconfig yet.", "ErrorClusterState", code(err))
	_, err = s.cs.DeleteCluster(&id, &cs.DeleteClusterRequest{})
	check(t, "It cannot be deleted yet.", "ErrorClusterState", code(err))

	s.Step(220 * time.Second)
	check(t, "Creation takes about four minutes.", "initial", s.state(id))
	s.Step(40 * time.Second)
	check(t, "Then it runs.", "running", s.state(id))
	st, _ = s.task(task)
	check(t, "The task says so.", "success", st)
	d, err := s.cs.DescribeClusterDetail(&id)
	if err != nil {
		t.Fatalf("DescribeClusterDetail(...): %v", err)
	}
	check(t, "master_url is JSON in a string.", `{"api_server_endpoint":"","intranet_api_server_endpoint":"https://127.0.0.1:1"}`, *d.Body.MasterUrl)
	check(t, "Tags come back.", "u1", *d.Body.Tags[0].Value)
	for _, m := range []int64{14, 4321} {
		_, err = s.cs.DescribeClusterUserKubeconfig(&id, &cs.DescribeClusterUserKubeconfigRequest{TemporaryDurationMinutes: &m})
		check(t, "A temporary kubeconfig lives 15 minutes to 3 days.", "InvalidParameter.TemporaryDurationMinutes", code(err))
	}
	k, err := s.cs.DescribeClusterUserKubeconfig(&id, &cs.DescribeClusterUserKubeconfigRequest{TemporaryDurationMinutes: tea.Int64(60)})
	if err != nil || !strings.Contains(*k.Body.Config, "kind: Config") || *k.Body.Expiration == "" {
		t.Errorf("DescribeClusterUserKubeconfig(...): %v, %v", k, err)
	}

	check(t, "What a cluster costs without extras.", map[ledger.Kind]int{
		ledger.Cluster: 1, ledger.APISLB: 1, ledger.SecurityGroup: 1, ledger.RAMRole: 1, ledger.ENI: 1,
	}, live(s.books()))

	x, err := s.cs.DeleteCluster(&id, &cs.DeleteClusterRequest{})
	if err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	check(t, "Deletion is asynchronous.", "deleting", s.state(id))
	s.Step(350 * time.Second)
	check(t, "Then the cluster is gone.", "ErrorClusterNotFound", s.state(id))
	st, _ = s.task(*x.Body.TaskId)
	check(t, "The task outlives it.", "success", st)
	books := s.books()
	check(t, "Network parts are on their way out, which is no leak.", 0, len(books.Leaked))
	if n := len(books.Live); n == 0 {
		t.Errorf("Network parts should outlive the cluster for a while")
	}
	s.Step(5 * time.Minute)
	books = s.books()
	check(t, "At the end nothing is left.", 0, len(books.Live))
	if books.CostTotal <= 0 || books.CostByKind[ledger.Cluster] <= 0 {
		t.Errorf("It should have cost something: %+v", books)
	}
}

func TestCreateClusterExtras(t *testing.T) {
	cases := map[string]struct {
		reason string
		mutate func(*cs.CreateClusterRequest)
		want   map[ledger.Kind]int // besides the usual
	}{
		"SNAT":    {reason: "snat_entry is on by default and buys a NAT gateway.", mutate: func(r *cs.CreateClusterRequest) { r.SnatEntry = nil }, want: map[ledger.Kind]int{ledger.NAT: 1, ledger.NATEIP: 1}},
		"Ingress": {reason: "So is the ingress controller, which buys an SLB.", mutate: func(r *cs.CreateClusterRequest) { r.Addons = r.Addons[:1] }, want: map[ledger.Kind]int{ledger.IngressSLB: 1}},
		"Public":  {reason: "A public endpoint buys an EIP.", mutate: func(r *cs.CreateClusterRequest) { r.EndpointPublicAccess = tea.Bool(true) }, want: map[ledger.Kind]int{ledger.APIEIP: 1}},
		"Logs": {reason: "Logs go to a project.", mutate: func(r *cs.CreateClusterRequest) {
			r.Addons = append(r.Addons, &cs.Addon{Name: tea.String("logtail-ds")})
		}, want: map[ledger.Kind]int{ledger.SLSProject: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			q := clusterRequest("u1")
			tc.mutate(q)
			if _, err := s.cs.CreateCluster(q); err != nil {
				t.Fatalf("CreateCluster(...): %v", err)
			}
			got := live(s.books())
			for _, k := range []ledger.Kind{ledger.Cluster, ledger.APISLB, ledger.SecurityGroup, ledger.RAMRole, ledger.ENI} {
				delete(got, k)
			}
			check(t, tc.reason, tc.want, got)
		})
	}
}

func TestCreateClusterRefuses(t *testing.T) {
	cases := map[string]struct {
		reason    string
		configure func(*config.Config)
		mutate    func(*cs.CreateClusterRequest)
		want      string
	}{
		"Region":     {reason: "An unknown region.", mutate: func(r *cs.CreateClusterRequest) { r.RegionId = tea.String("cn-nowhere") }, want: "InvalidParameter.RegionId"},
		"Type":       {reason: "Dedicated clusters are closed.", mutate: func(r *cs.CreateClusterRequest) { r.ClusterType = tea.String("Kubernetes") }, want: "OperationDenied.DedicatedCluster"},
		"Profile":    {reason: "An unknown profile.", mutate: func(r *cs.CreateClusterRequest) { r.Profile = tea.String("Fancy") }, want: "InvalidParameter.Profile"},
		"Serverless": {reason: "ACK Serverless is closed to new users.", mutate: func(r *cs.CreateClusterRequest) { r.Profile = tea.String("Serverless") }, want: "OperationDenied.ServerlessCluster"},
		"Version":    {reason: "An unknown version.", mutate: func(r *cs.CreateClusterRequest) { r.KubernetesVersion = tea.String("1.2.3") }, want: "InvalidParameter.KubernetesVersion"},
		"VPC":        {reason: "An unknown VPC.", mutate: func(r *cs.CreateClusterRequest) { r.Vpcid = tea.String("vpc-0") }, want: "InvalidVpcId.NotFound"},
		"VSwitch":    {reason: "A vSwitch of another VPC.", mutate: func(r *cs.CreateClusterRequest) { r.VswitchIds = []*string{tea.String("vsw-3")} }, want: "InvalidVSwitchId.NotFound"},
		"CIDR":       {reason: "Not a CIDR.", mutate: func(r *cs.CreateClusterRequest) { r.ServiceCidr = tea.String("x") }, want: "InvalidParameter.ServiceCidr"},
		"Overlap":    {reason: "Pods and Services overlap.", mutate: func(r *cs.CreateClusterRequest) { r.ServiceCidr = tea.String("10.0.0.0/20") }, want: "InvalidParameter.ContainerCidr"},
		"VPCOverlap": {reason: "Pods and VPC overlap.", mutate: func(r *cs.CreateClusterRequest) { r.ContainerCidr = tea.String("192.168.0.0/16") }, want: "InvalidParameter.ContainerCidr"},
		"Quota":      {reason: "The quota of clusters.", configure: func(c *config.Config) { c.Accounts[0].Quotas.Clusters = -1 }, mutate: func(*cs.CreateClusterRequest) {}, want: "QuotaExceeded.Cluster"},
		"Deprecated": {
			reason: "Deprecated fields, once they are refused.", configure: func(c *config.Config) { c.Switches.RejectDeprecated = true },
			mutate: func(r *cs.CreateClusterRequest) { r.NumOfNodes = tea.Int64(2) }, want: "InvalidParameter.num_of_nodes",
		},
		"DeprecatedIgnored": {reason: "Deprecated fields are ignored until then.", mutate: func(r *cs.CreateClusterRequest) { r.NumOfNodes = tea.Int64(2) }, want: ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{Configure: tc.configure})
			q := clusterRequest("u1")
			tc.mutate(q)
			_, err := s.cs.CreateCluster(q)
			check(t, tc.reason, tc.want, code(err))
		})
	}
}

func TestListLagAndPages(t *testing.T) {
	s := start(t, simtest.Options{})
	list := func(name string, number, size int64) (ids []string, total int64) {
		t.Helper()
		r, err := s.cs.DescribeClustersForRegion(tea.String(region), &cs.DescribeClustersForRegionRequest{Name: &name, PageNumber: &number, PageSize: &size})
		if err != nil {
			t.Fatalf("DescribeClustersForRegion(...): %v", err)
		}
		for _, c := range r.Body.Clusters {
			ids = append(ids, *c.Name)
		}
		return ids, int64(*r.Body.PageInfo.TotalCount)
	}
	r, err := s.cs.CreateCluster(clusterRequest("a1"))
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	_, n := list("", 1, 10)
	check(t, "A list trails a create.", int64(0), n)
	check(t, "The detail does not.", "initial", s.state(*r.Body.ClusterId))
	s.Step(lag)
	_, n = list("", 1, 10)
	check(t, "In the end the list shows it.", int64(1), n)
	for _, uid := range []string{"a2", "b1"} {
		if _, err := s.cs.CreateCluster(clusterRequest(uid)); err != nil {
			t.Fatalf("CreateCluster(...): %v", err)
		}
	}
	s.Step(lag)
	ids, n := list("", 2, 2)
	check(t, "The second page.", []string{"rp-b1"}, ids)
	check(t, "The total is of all pages.", int64(3), n)
	ids, _ = list("rp-a", 1, 10)
	check(t, "The name filter is fuzzy.", []string{"rp-a1", "rp-a2"}, ids)
	_, err = s.cs.DescribeClustersForRegion(tea.String(region), &cs.DescribeClustersForRegionRequest{PageSize: tea.Int64(101)})
	check(t, "A page has at most 100.", "InvalidParameter.page_size", code(err))
	_, err = s.cs.DescribeClustersV1(&cs.DescribeClustersV1Request{})
	check(t, "The old list is gone.", "InvalidAction.Decommissioned", code(err))

	s.Step(5 * time.Minute)
	if _, err := s.cs.DeleteCluster(r.Body.ClusterId, &cs.DeleteClusterRequest{}); err != nil {
		t.Fatalf("DeleteCluster(...): %v", err)
	}
	for s.state(*r.Body.ClusterId) != "ErrorClusterNotFound" {
		s.Step(500 * time.Millisecond)
	}
	_, n = list("", 1, 10)
	check(t, "A deleted cluster lingers in lists.", int64(3), n)
	s.Step(lag)
	_, n = list("", 1, 10)
	check(t, "And goes.", int64(2), n)
}

func TestModifyCluster(t *testing.T) {
	s := start(t, simtest.Options{})
	id := s.cluster("u1")
	protected := func() bool {
		d, err := s.cs.DescribeClusterDetail(&id)
		if err != nil {
			t.Fatalf("DescribeClusterDetail(...): %v", err)
		}
		return *d.Body.DeletionProtection
	}
	modify := func(q *cs.ModifyClusterRequest) (string, error) {
		r, err := s.cs.ModifyCluster(&id, q)
		if err != nil {
			return "", err
		}
		return *r.Body.TaskId, nil
	}
	if _, err := modify(&cs.ModifyClusterRequest{DeletionProtection: tea.Bool(true)}); err != nil {
		t.Fatalf("ModifyCluster(...): %v", err)
	}
	check(t, "The cluster is updating.", "updating", s.state(id))
	_, err := modify(&cs.ModifyClusterRequest{DeletionProtection: tea.Bool(true)})
	check(t, "And takes no other change.", "ErrorClusterState", code(err))
	s.Step(15 * time.Second)
	check(t, "Alone, protection is set.", true, protected())
	_, err = s.cs.DeleteCluster(&id, &cs.DeleteClusterRequest{})
	check(t, "It protects.", "OperationDenied.DeletionProtection", code(err))

	task, err := modify(&cs.ModifyClusterRequest{DeletionProtection: tea.Bool(false), ClusterName: tea.String("rp-u1")})
	if err != nil {
		t.Fatalf("ModifyCluster(...): %v", err)
	}
	s.Step(15 * time.Second)
	st, _ := s.task(task)
	check(t, "With another field the task succeeds.", "success", st)
	check(t, "But protection is unchanged.", true, protected())

	_, err = modify(&cs.ModifyClusterRequest{ApiServerEip: tea.Bool(true)})
	check(t, "A public address must be named.", "InvalidParameter.ApiServerEipId", code(err))
	if _, err = modify(&cs.ModifyClusterRequest{ApiServerEip: tea.Bool(true), ApiServerEipId: tea.String("eip-1")}); err != nil {
		t.Fatalf("ModifyCluster(...): %v", err)
	}
	s.Step(60 * time.Second)
	check(t, "Binding it takes two minutes.", "updating", s.state(id))
	s.Step(80 * time.Second)
	check(t, "Then it runs again.", "running", s.state(id))
}

func TestDeleteClusterLeaks(t *testing.T) {
	type want struct {
		First  string
		Leaked map[ledger.Kind]int
	}
	cases := map[string]struct {
		reason  string
		options []*cs.DeleteClusterRequestDeleteOptions
		want    want
	}{
		"Default": {
			reason: "A Service's SLB refuses the first deletion and leaks after the second; the disk of a claim leaks too.",
			want:   want{First: "DependencyViolation.Resource", Leaked: map[ledger.Kind]int{ledger.ServiceSLB: 1, ledger.DataDisk: 1}},
		},
		"Options": {
			reason:  "Asked for, the SLB goes with the cluster.",
			options: []*cs.DeleteClusterRequestDeleteOptions{{ResourceType: tea.String("SLB"), DeleteMode: tea.String("delete")}},
			want:    want{Leaked: map[ledger.Kind]int{ledger.DataDisk: 1}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			id := s.cluster("u1")
			h := s.Memory.Cluster(id).Hooks
			if _, err := h.EnsureLoadBalancer(id, "svc", "default/web"); err != nil {
				t.Fatalf("EnsureLoadBalancer(...): %v", err)
			}
			if _, err := h.EnsureVolume(id, "pvc", "default/data", 40); err != nil {
				t.Fatalf("EnsureVolume(...): %v", err)
			}
			q := &cs.DeleteClusterRequest{DeleteOptions: tc.options}
			_, err := s.cs.DeleteCluster(&id, q)
			got := want{First: code(err)}
			if err != nil {
				if _, err := s.cs.DeleteCluster(&id, q); err != nil {
					t.Fatalf("DeleteCluster(...): %v", err)
				}
			}
			s.Step(20 * time.Minute)
			got.Leaked = map[ledger.Kind]int{}
			for _, o := range s.books().Leaked {
				got.Leaked[o.Kind]++
			}
			check(t, tc.reason, tc.want, got)
		})
	}
}

func TestDuplicates(t *testing.T) {
	s := start(t, simtest.Options{})
	s.fault(faults.Rule{Kind: faults.DropAfterAccept, Action: "CreateCluster", Times: 1})
	_, err := s.cs.CreateCluster(clusterRequest("u1"))
	check(t, "The answer is lost.", "unknown", code(err))
	check(t, "But the cluster is created.", 1, s.accepted("CreateCluster"))
	check(t, "One cluster is no duplicate.", 0, len(s.books().Duplicates))
	if _, err := s.cs.CreateCluster(clusterRequest("u1")); err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	d := s.books().Duplicates
	if len(d) != 1 || d[0].Owner != "u1" || d[0].Kind != ledger.Cluster || len(d[0].IDs) != 2 {
		t.Errorf("A second create of the same owner is a duplicate: %+v", d)
	}
}

func TestTagsAddonsQuotaResources(t *testing.T) {
	s := start(t, simtest.Options{})
	id := s.cluster("u1")
	ids := []*string{&id}
	if _, err := s.cs.TagResources(&cs.TagResourcesRequest{RegionId: tea.String(region), ResourceType: tea.String("CLUSTER"), ResourceIds: ids, Tags: []*cs.Tag{{Key: tea.String("a"), Value: tea.String("b")}}}); err != nil {
		t.Fatalf("TagResources(...): %v", err)
	}
	tags := func() map[string]string {
		s.Step(lag)
		r, err := s.cs.ListTagResources(&cs.ListTagResourcesRequest{RegionId: tea.String(region), ResourceType: tea.String("CLUSTER"), ResourceIds: ids})
		if err != nil {
			t.Fatalf("ListTagResources(...): %v", err)
		}
		out := map[string]string{}
		for _, x := range r.Body.TagResources.TagResource {
			out[*x.TagKey] = *x.TagValue
		}
		return out
	}
	check(t, "A tag was added.", map[string]string{"a": "b", "regionpool.io/uid": "u1"}, tags())
	if _, err := s.cs.UntagResources(&cs.UntagResourcesRequest{RegionId: tea.String(region), ResourceType: tea.String("CLUSTER"), ResourceIds: ids, TagKeys: []*string{tea.String("a")}}); err != nil {
		t.Fatalf("UntagResources(...): %v", err)
	}
	check(t, "And removed.", map[string]string{"regionpool.io/uid": "u1"}, tags())

	if _, err := s.cs.InstallClusterAddons(&id, &cs.InstallClusterAddonsRequest{Body: []*cs.InstallClusterAddonsRequestBody{{Name: tea.String("ack-virtual-node")}}}); err != nil {
		t.Fatalf("InstallClusterAddons(...): %v", err)
	}
	addon := func() string {
		r, err := s.cs.GetClusterAddonInstance(&id, tea.String("ack-virtual-node"))
		if err != nil {
			return code(err)
		}
		return *r.Body.State
	}
	check(t, "An add-on is installed in the background.", "updating", addon())
	s.Step(time.Minute)
	check(t, "And active.", "active", addon())
	if _, err := s.cs.UnInstallClusterAddons(&id, &cs.UnInstallClusterAddonsRequest{Addons: []*cs.UnInstallClusterAddonsRequestAddons{{Name: tea.String("ack-virtual-node")}}}); err != nil {
		t.Fatalf("UnInstallClusterAddons(...): %v", err)
	}
	s.Step(time.Minute)
	check(t, "And gone.", "AddonNotFound", addon())

	q, err := s.cs.DescribeUserQuota()
	if err != nil {
		t.Fatalf("DescribeUserQuota(...): %v", err)
	}
	check(t, "The quota of clusters.", int64(50), *q.Body.ClusterQuota)

	r, err := s.cs.DescribeClusterResources(&id, &cs.DescribeClusterResourcesRequest{})
	if err != nil {
		t.Fatalf("DescribeClusterResources(...): %v", err)
	}
	got := map[string]int{}
	for _, x := range r.Body {
		got[*x.ResourceType]++
	}
	check(t, "The inventory.", map[string]int{
		"ALIYUN::SLB::LoadBalancer": 1, "ALIYUN::ECS::SecurityGroup": 1, "ALIYUN::RAM::Role": 1, "ALIYUN::ECS::NetworkInterface": 1,
	}, got)
	ts, err := s.cs.DescribeClusterTasks(&id, &cs.DescribeClusterTasksRequest{})
	if err != nil {
		t.Fatalf("DescribeClusterTasks(...): %v", err)
	}
	check(t, "All tasks of the cluster, newest first.", "addon_uninstall", *ts.Body.Tasks[0].TaskType)
	if _, err := s.cs.CancelTask(ts.Body.Tasks[0].TaskId); code(err) != "TaskOperationNotSupported" {
		t.Errorf("CancelTask(...): %v", err)
	}
}
