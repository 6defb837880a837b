package tke_test

import (
	"strings"
	"testing"
	"time"

	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
)

func (s *sim) open(cluster string, public bool) error {
	s.t.Helper()
	r := tke.NewCreateClusterEndpointRequest()
	r.ClusterId, r.IsExtranet = &cluster, &public
	if public {
		r.SecurityGroup = p("sg-gz1")
	} else {
		r.SubnetId = p("subnet-gz1")
	}
	_, err := s.tke.CreateClusterEndpoint(r)
	return err
}

func (s *sim) endpoint(cluster string, public bool) string {
	s.t.Helper()
	r := tke.NewDescribeClusterEndpointStatusRequest()
	r.ClusterId, r.IsExtranet = &cluster, &public
	a, err := s.tke.DescribeClusterEndpointStatus(r)
	if err != nil {
		return code(err)
	}
	return *a.Response.Status
}

// addresses of the intranet and the public endpoint.
func (s *sim) addresses(cluster string) []string {
	s.t.Helper()
	r := tke.NewDescribeClusterEndpointsRequest()
	r.ClusterId = &cluster
	a, err := s.tke.DescribeClusterEndpoints(r)
	if err != nil {
		s.t.Fatalf("DescribeClusterEndpoints(...): %v", err)
	}
	return []string{*a.Response.ClusterIntranetEndpoint, *a.Response.ClusterExternalEndpoint}
}

// server a kubeconfig names.
func (s *sim) server(cluster string, public bool) string {
	s.t.Helper()
	r := tke.NewDescribeClusterKubeconfigRequest()
	r.ClusterId, r.IsExtranet = &cluster, &public
	a, err := s.tke.DescribeClusterKubeconfig(r)
	if err != nil {
		return code(err)
	}
	_, rest, _ := strings.Cut(*a.Response.Kubeconfig, "server: ")
	out, _, _ := strings.Cut(rest, "}")
	return strings.Trim(out, `"`)
}

const address = "127.0.0.1:1"

func TestIntranetEndpoint(t *testing.T) {
	s := start(t, simtest.Options{})
	r, err := s.tke.CreateCluster(clusterRequest("u1"))
	if err != nil {
		t.Fatalf("CreateCluster(...): %v", err)
	}
	c := *r.Response.ClusterId
	oneOf(t, "Not while the cluster is being created.", code(s.open(c, false)), "ResourceUnavailable.ClusterState", "InternalError.ClusterState")
	check(t, "Nor is there a kubeconfig.", "ResourceUnavailable.ClusterInAbnormalStat", s.server(c, false))
	s.Step(11 * time.Minute)
	check(t, "None at first.", "NotFound", s.endpoint(c, false))
	check(t, "A kubeconfig leads nowhere.", "https://"+c+".ccs.tencent-cloud.invalid", s.server(c, false))

	check(t, "An empty cluster is good enough.", "", code(s.open(c, false)))
	check(t, "It takes a while.", "Creating", s.endpoint(c, false))
	check(t, "No second one.", "ResourceInUse", code(s.open(c, false)))
	s.Step(time.Minute)
	check(t, "Then it is there.", "Created", s.endpoint(c, false))
	check(t, "With an address, without scheme.", []string{address, ""}, s.addresses(c))
	check(t, "The kubeconfig names the domain, which does not resolve.", "https://"+c+".ccs.tencent-cloud.invalid", s.server(c, false))
	check(t, "Its load balancer is billed.", 1, live(s.books())[ledger.EndpointCLB])

	d := tke.NewDeleteClusterEndpointRequest()
	d.ClusterId, d.IsExtranet = &c, p(false)
	if _, err := s.tke.DeleteClusterEndpoint(d); err != nil {
		t.Fatalf("DeleteClusterEndpoint(...): %v", err)
	}
	check(t, "It goes.", "Deleting", s.endpoint(c, false))
	check(t, "Its address first.", []string{"", ""}, s.addresses(c))
	s.Step(time.Minute)
	check(t, "It is gone.", "NotFound", s.endpoint(c, false))
	check(t, "With its load balancer.", 0, live(s.books())[ledger.EndpointCLB])
	_, err = s.tke.DeleteClusterEndpoint(d)
	check(t, "Twice is too much.", "ResourceNotFound", code(err))

	q := tke.NewCreateClusterEndpointRequest()
	q.ClusterId = &c
	_, err = s.tke.CreateClusterEndpoint(q)
	check(t, "The subnet is required.", "InvalidParameter.Param", code(err))
	q.SubnetId = p("subnet-gz3")
	_, err = s.tke.CreateClusterEndpoint(q)
	check(t, "And must be the cluster's VPC's.", "InvalidParameter.Param", code(err))
}

func TestPublicEndpoint(t *testing.T) {
	s := start(t, simtest.Options{})
	c := s.cluster("u1")
	seen := map[string]bool{}
	for range 20 {
		seen[code(s.open(c, true))] = true
	}
	check(t, "An empty cluster is refused, in both ways that are documented.",
		map[string]bool{"ResourceUnavailable.ClusterState": true, "InternalError.EmptyClusterNotSupport": true}, seen)

	q := tke.NewCreateClusterEndpointRequest()
	q.ClusterId, q.IsExtranet = &c, p(true)
	_, err := s.tke.CreateClusterEndpoint(q)
	check(t, "The security group is required.", "InvalidParameter.Param", code(err))

	s.pool(c, pool{name: "general", desired: 1})
	check(t, "With a worker it is allowed.", "", code(s.open(c, true)))
	s.Step(2 * time.Minute)
	got := []string{s.endpoint(c, true)}
	check(t, "It is created, but has no address.", []string{"Created", "", ""}, append(got, s.addresses(c)...))
	check(t, "Nor has the kubeconfig.", "https://"+c+".ccs.tencent-cloud.invalid", s.server(c, true))
	s.Step(2 * time.Minute)
	check(t, "That comes minutes later.", []string{"", address}, s.addresses(c))
	check(t, "Then the kubeconfig names it.", "https://"+address, s.server(c, true))

	s.fault(faults.Rule{ID: "k", Kind: faults.KubeconfigUnresolvable})
	check(t, "Unless a fault has it otherwise.", "https://"+c+".ccs.tencent-cloud.invalid", s.server(c, true))
}

func TestEndpointFaults(t *testing.T) {
	cases := map[string]struct {
		reason string
		rule   faults.Rule
		status string
		want   []string
	}{
		"Failed": {reason: "It can fail.", rule: faults.Rule{Kind: faults.TaskFail, Action: "CreateClusterEndpoint", Times: 1}, status: "CreateFailed", want: []string{"", ""}},
		"Stuck":  {reason: "It can take for ever.", rule: faults.Rule{Kind: faults.StuckTask, Action: "CreateClusterEndpoint"}, status: "Creating", want: []string{"", ""}},
		"Empty":  {reason: "Its address may never come.", rule: faults.Rule{Kind: faults.EndpointAddressEmpty}, status: "Created", want: []string{"", ""}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			s.fault(tc.rule)
			c := s.cluster("u1")
			check(t, "It is accepted.", "", code(s.open(c, false)))
			s.Step(time.Hour)
			check(t, tc.reason, tc.status, s.endpoint(c, false))
			check(t, "No address.", tc.want, s.addresses(c))
			if tc.status == "CreateFailed" {
				check(t, "It can be tried again.", "", code(s.open(c, false)))
				s.Step(time.Minute)
				check(t, "And comes.", "Created", s.endpoint(c, false))
			}
		})
	}
}
