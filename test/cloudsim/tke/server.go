// Package tke simulates Tencent Cloud: the container service TKE, version
// 2018-05-25, and as much of the products around it as a user of TKE has to ask:
// auto scaling (as), virtual machines (cvm), disks (cbs), networks (vpc), load
// balancers (clb) and tags (tag). One listener serves all of them.
//
// Requests pass, in this order: the signature gate, the dispatch by product,
// version and action, faults of the transport and the gateway, throttling, and
// the operation itself. Unlike ACK there are no tasks: operations are followed
// by the state of what they change, and a lack of stock shows only in the
// activities of auto scaling.
//
// Fields, codes and states are those of the vendor's SDK and documentation. How
// long things take is partly published and partly a guess, and so are the texts
// of messages, what becomes of things when a deletion fails, and the condition of
// a node whose spot instance is to be reclaimed. Nothing here vouches for real
// stock, prices, permissions or routes.
package tke

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	kclock "k8s.io/utils/clock"

	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/gateway"
	"regionpool.io/provider-regionpool/test/cloudsim/lag"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/signature"
	"regionpool.io/provider-regionpool/test/cloudsim/throttle"
	"regionpool.io/provider-regionpool/test/cloudsim/virtual"
)

// cacheAnnotation of a pod asks for the reuse of images.
const cacheAnnotation = "eks.tke.cloud.tencent.com/use-image-cache"

// A Server answers Tencent's API.
type Server struct {
	*cloud.Cloud
	*cloud.Life
	// Runtime of the pods on super nodes.
	*virtual.Runtime
	conf     config.Tencent
	verifier *signature.TC3Verifier
	limiter  *throttle.Limiter
	log      *slog.Logger
	ctx      context.Context

	mu         sync.Mutex
	serial     int
	clusters   map[string]*cluster
	instances  map[string]*instance // all CVMs, also those of no cluster
	activities []*activity          // oldest first
	addrs      map[string]map[string]bool
	extra      map[string]string // ids of load balancers and volumes by cluster/key

	clusterList   *lag.Store[clusterView]
	nodePoolList  *lag.Store[nodePoolView]
	instanceList  *lag.Store[instanceView]
	superPoolList *lag.Store[superPoolView]
}

// New returns a Server of the supplied cloud. The context bounds background work
// of the cloud's backend.
func New(ctx context.Context, c *cloud.Cloud, log *slog.Logger) *Server {
	t := c.Config.Tencent
	s := &Server{
		Cloud: c, conf: t, log: log, ctx: ctx,
		limiter: throttle.New(kclock.RealClock{}, t.Throttle.QPS, t.Throttle.Burst),
	}
	s.Life = cloud.NewLife(ctx, c, &s.mu)
	s.Runtime = virtual.New(ctx, c, virtual.Options{
		Config: t.Virtual, Kind: ledger.SupernodePod, StockType: config.SuperNodeType, CacheAnnotation: cacheAnnotation,
		NewID: func() string { return "eks-" + s.Random.Alphanumeric("eks-id", 8) },
		Tags:  func(cluster string) map[string]string { return map[string]string{clusterTag: cluster} },
	}, log)
	s.verifier = signature.NewTC3Verifier(s.secret, time.Now)
	s.init()
	c.Stock.OnChange(s.stockChanged)
	return s
}

func (s *Server) init() {
	s.Begin()
	s.clusters = map[string]*cluster{}
	s.instances = map[string]*instance{}
	s.activities = nil
	s.addrs = map[string]map[string]bool{}
	s.extra = map[string]string{}
	s.clusterList = lag.New[clusterView]()
	s.nodePoolList = lag.New[nodePoolView]()
	s.instanceList = lag.New[instanceView]()
	s.superPoolList = lag.New[superPoolView]()
}

func (s *Server) account(secretID string) (config.Account, bool) {
	for _, a := range s.conf.Accounts {
		if a.AccessKeyID == secretID {
			return a, true
		}
	}
	return s.Admitted(secretID)
}

func (s *Server) secret(secretID string) (signature.Secret, bool) {
	a, ok := s.account(secretID)
	if !ok {
		return signature.Secret{}, false
	}
	out := signature.Secret{Key: a.AccessKeySecret, Token: a.SecurityToken}
	if a.Expires != nil {
		out.Expires = *a.Expires
	}
	return out, true
}

// A call is one request on its way through the server.
type call struct {
	action
	region  string
	body    []byte
	account string
	subject faults.Subject
	entry   *requestlog.Entry
	id      string // of the request
}

// ServeHTTP handles one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	body, err := io.ReadAll(io.LimitReader(r.Body, gateway.MaxBody))
	if err != nil {
		return
	}
	e := &requestlog.Entry{
		Time: start, Service: "tencent", Action: r.Header.Get("X-TC-Action"), Method: r.Method, Path: r.URL.Path, RequestID: strings.ToLower(s.Random.RequestID()),
	}
	rec := &gateway.Response{ResponseWriter: w, Entry: e, Log: s.Requests}
	defer rec.Finish()
	c := &call{region: r.Header.Get("X-TC-Region"), body: body, entry: e, id: e.RequestID}
	c.subject = faults.Subject{Action: e.Action, Attrs: map[string]string{"cloud": "tencent", "method": r.Method, "region": c.region}}
	c.describe()

	caller, refusal := s.verify(c, r)
	e.AccessKeyID = caller.SecretID
	if caller.Service != "" {
		e.Service = caller.Service
	}
	if refusal != nil {
		s.answer(rec, c, nil, fail(refusal.Code, "%s", refusal.Message))
		return
	}
	e.Verified = true
	a, err := s.resolve(r, caller.Service, c.region)
	if err != nil {
		s.answer(rec, c, nil, err)
		return
	}
	c.action = a
	e.Mutating = a.writes
	owner, _ := s.account(caller.SecretID)
	c.account = owner.AccessKeyID
	if owner.Parent != "" {
		c.account = owner.Parent
	}

	if s.before(rec, r, c) {
		return
	}
	if !s.limiter.Allow(caller.SecretID, a.product+"/"+a.Action) {
		s.answer(rec, c, nil, throttled("RequestLimitExceeded"))
		return
	}
	reply, err := s.run(c)
	s.answer(rec, c, reply, err)
}

// run the operation under the lock.
func (s *Server) run(c *call) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.handle(s, c)
}

// describe the call to the log and to the rules of faults.
func (c *call) describe() {
	var peek struct {
		ClusterID, ClusterId, NodePoolId, Name string
		ClusterBasicSettings                   struct{ ClusterName string }
	}
	if json.Unmarshal(c.body, &peek) != nil {
		return
	}
	c.entry.Cluster, c.entry.NodePool = peek.ClusterId+peek.ClusterID, peek.NodePoolId
	for k, v := range map[string]string{
		"cluster": c.entry.Cluster, "nodePool": peek.NodePoolId, "name": peek.Name + peek.ClusterBasicSettings.ClusterName,
	} {
		if v != "" {
			c.subject.Attrs[k] = v
		}
	}
}

func (s *Server) verify(c *call, r *http.Request) (signature.TC3Caller, *signature.Failure) {
	var o signature.Options
	if f := s.take(faults.ClockSkew, c); f != nil {
		o.Skew = time.Duration(f.Seconds(1200) * float64(time.Second))
	}
	if r.Header.Get("X-TC-Token") != "" {
		o.Expired = s.take(faults.STSExpire, c) != nil
	}
	caller, failure := s.verifier.Verify(r, c.body, o)
	c.subject.Attrs["akid"], c.subject.Attrs["service"] = caller.SecretID, caller.Service
	return caller, failure
}

// lagged is when lists show what is written now.
func (s *Server) lagged() time.Time {
	return s.Clock.Now().Add(s.latency("list-lag", s.conf.Latencies.ListLag))
}

// latency draws from a range, in a sequence apart from ACK's.
func (s *Server) latency(key string, r config.Range) time.Duration {
	return s.Latency("tencent/"+key, r)
}

// stamp is a timestamp of an API answer.
func (s *Server) stamp() string { return s.Clock.Wall().UTC().Format(time.RFC3339) }

// next is a number that orders what is made.
func (s *Server) next() int {
	s.serial++
	return s.serial
}

// newID has the form of Tencent's ids: a prefix, a dash and eight characters.
func (s *Server) newID(prefix string) string {
	return prefix + "-" + s.Random.Alphanumeric("tencent-id/"+prefix, 8)
}
