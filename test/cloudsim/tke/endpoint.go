package tke

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

const (
	// certificateLife is that of the administrator's certificate.
	certificateLife = 20 * 365 * 24 * time.Hour

	// domain under which every cluster has a name. TKE's own does not resolve
	// outside; this one never does.
	domain = ".ccs.tencent-cloud.invalid"
)

// States of an endpoint, besides creating and deleting.
const (
	endpointNone   = "NotFound"
	endpointReady  = "Created"
	endpointFailed = "CreateFailed"
)

// An endpoint is one of the two ways to a cluster's API server.
type endpoint struct {
	state, message        string
	subnet, securityGroup string
	clb                   string
	// addressed is true once the address can be read.
	addressed bool
}

func (e *endpoint) status() string {
	if e.state == "" {
		return endpointNone
	}
	return e.state
}

func (k *cluster) endpoint(public bool) *endpoint {
	if public {
		return &k.public
	}
	return &k.intranet
}

// address of an endpoint as the API shows it: without scheme.
func (k *cluster) address(public bool) string {
	e := k.endpoint(public)
	if e.state != endpointReady || !e.addressed || k.emptyEndpoint || k.backend == nil {
		return ""
	}
	return strings.TrimPrefix(k.backend.Endpoint(), "https://")
}

// inhabited reports whether a cluster has a worker or a super node that runs.
func (k *cluster) inhabited() bool {
	for _, i := range k.members {
		if i.registered && !i.removing {
			return true
		}
	}
	for _, p := range k.superPools {
		for _, n := range p.nodes {
			if n.phase == running {
				return true
			}
		}
	}
	return false
}

// createEndpoint opens a way to the API server. The public one is refused while
// nothing runs in the cluster.
func (s *Server) createEndpoint(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, SubnetId, Domain, SecurityGroup, ExtensiveParameters string
		IsExtranet                                                      bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.runningCluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	e := k.endpoint(q.IsExtranet)
	switch {
	case q.IsExtranet && q.SecurityGroup == "":
		return nil, invalid("SecurityGroup is required for the extranet")
	case q.IsExtranet && !s.securityGroupExists(k.region, q.SecurityGroup):
		return nil, invalid("security group %s does not exist", q.SecurityGroup)
	case !q.IsExtranet && q.SubnetId == "":
		return nil, invalid("SubnetId is required for the intranet")
	case e.state != "" && e.state != endpointFailed:
		return nil, fail("ResourceInUse", "the endpoint is %s", e.state)
	case q.IsExtranet && !k.inhabited():
		return nil, fail(s.pick("empty-cluster", "ResourceUnavailable.ClusterState", "InternalError.EmptyClusterNotSupport"),
			"cluster without worker Node is not allowed to enable extranet access")
	}
	if !q.IsExtranet {
		if err := s.validateSubnets(k.region, k.vpc(), []string{q.SubnetId}); err != nil {
			return nil, err
		}
	}
	*e = endpoint{state: creating, subnet: q.SubnetId, securityGroup: q.SecurityGroup}
	failure := s.take(faults.TaskFail, c)
	if s.take(faults.StuckTask, c) != nil {
		return nil, nil
	}
	d := s.latency("create-intranet-endpoint", s.conf.Latencies.CreateIntranetEndpoint)
	if q.IsExtranet {
		d = s.latency("create-public-endpoint", s.conf.Latencies.CreatePublicEndpoint)
	}
	s.After(d, func() { s.endpointCreated(k, q.IsExtranet, failure) })
	return nil, nil
}

func (s *Server) endpointCreated(k *cluster, public bool, failure *faults.Rule) {
	e := k.endpoint(public)
	if k.gone || e.state != creating {
		return
	}
	if failure != nil {
		e.state, e.message = endpointFailed, failure.Arg("message", "the load balancer could not be created")
		return
	}
	kind, vip := "INTERNAL", ""
	if public {
		kind = "OPEN"
	}
	if k.backend != nil {
		vip, _, _ = strings.Cut(strings.TrimPrefix(k.backend.Endpoint(), "https://"), ":")
	}
	e.state, e.clb = endpointReady, s.newID("lb")
	s.book(k, ledger.Object{
		Kind: ledger.EndpointCLB, ID: e.clb, Name: k.id + "_" + strings.ToLower(kind), Hourly: s.conf.Prices.CLB,
		Attrs: map[string]string{"type": kind, "address": vip, "subnet": e.subnet},
	})
	if !public {
		e.addressed = true
		return
	}
	s.After(s.latency("public-address", s.conf.Latencies.PublicAddress), func() { e.addressed = e.state == endpointReady })
}

func (s *Server) deleteEndpoint(c *call) (map[string]any, error) {
	var q struct {
		ClusterId  string
		IsExtranet bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	e := k.endpoint(q.IsExtranet)
	switch e.state {
	case "":
		return nil, fail("ResourceNotFound", "the endpoint of cluster %s does not exist", k.id)
	case deleting, creating:
		return nil, fail("ResourceInUse", "the endpoint is %s", e.state)
	}
	e.state, e.addressed = deleting, false
	s.Ledger.Releasing(e.clb)
	s.After(s.latency("delete-endpoint", s.conf.Latencies.DeleteEndpoint), func() {
		s.Ledger.Release(e.clb)
		*e = endpoint{}
	})
	return nil, nil
}

func (s *Server) describeEndpointStatus(c *call) (map[string]any, error) {
	var q struct {
		ClusterId  string
		IsExtranet bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	e := k.endpoint(q.IsExtranet)
	return map[string]any{"Status": e.status(), "ErrorMsg": e.message}, nil
}

func (s *Server) describeEndpoints(c *call) (map[string]any, error) {
	var q struct{ ClusterId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"CertificationAuthority": s.authority(k), "ClusterExternalEndpoint": k.address(true), "ClusterIntranetEndpoint": k.address(false),
		"ClusterDomain": k.id + domain, "ClusterExternalDomain": k.id + domain, "ClusterIntranetDomain": k.id + domain, "ClusterExternalACL": nil,
		"SecurityGroup": k.public.securityGroup, "ClusterIntranetSubnetId": k.intranet.subnet,
	}, nil
}

// authority is the cluster's CA certificate, in PEM. It is read once.
func (s *Server) authority(k *cluster) string {
	if k.backend == nil || k.state != running || k.ca != "" {
		return k.ca
	}
	b, _, err := k.backend.Kubeconfig(time.Hour)
	if err != nil {
		s.log.Warn("Cannot read the CA of a cluster", "cluster", k.id, "error", err)
		return ""
	}
	config, err := clientcmd.Load(b)
	if err != nil {
		s.log.Warn("Cannot read the CA of a cluster", "cluster", k.id, "error", err)
		return ""
	}
	for _, o := range config.Clusters {
		k.ca = string(o.CertificateAuthorityData)
	}
	return k.ca
}

// describeKubeconfig hands out the administrator's kubeconfig. Its server is the
// cluster's domain, which does not resolve, unless the public endpoint has an
// address.
func (s *Server) describeKubeconfig(c *call) (map[string]any, error) {
	var q struct {
		ClusterId  string
		IsExtranet bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	if k.state != running || k.backend == nil {
		return nil, s.clusterState(c, k.state)
	}
	config, _, err := k.backend.Kubeconfig(certificateLife)
	if err != nil {
		return nil, fmt.Errorf("cannot issue kubeconfig: %w", err)
	}
	text := string(config)
	if unresolvable := s.take(faults.KubeconfigUnresolvable, c) != nil; unresolvable || !q.IsExtranet || k.address(true) == "" {
		text = strings.ReplaceAll(text, k.backend.Endpoint(), "https://"+k.id+domain)
	}
	return map[string]any{"Kubeconfig": text}, nil
}
