// Package ack simulates the OpenAPI of Alibaba Cloud Container Service for
// Kubernetes (product CS, version 2015-12-15).
//
// The RPC-style APIs of package aliyun answer at the same address.
//
// Requests pass, in this order: the signature gate, faults of the transport and
// the gateway, throttling, and the operation itself. Asynchronous operations
// answer with a task and go on in virtual time.
package ack

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/aliyun"
	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/gateway"
	"regionpool.io/provider-regionpool/test/cloudsim/lag"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/signature"
	"regionpool.io/provider-regionpool/test/cloudsim/virtual"
)

// A Server answers ACK's API.
type Server struct {
	*cloud.Cloud
	*cloud.Life
	verifier *signature.Verifier
	routes   []route
	rpc      *aliyun.Server // the RPC-style APIs at the same address
	log      *slog.Logger
	ctx      context.Context

	mu       sync.Mutex
	clusters map[string]*cluster
	tasks    map[string]*task
	addrs    map[string]map[string]bool // used addresses by region/vSwitch
	detached map[string]detached        // instances that left their pools, by id
	extra    map[string]*asset          // load balancers and volumes by cluster/key
	virtual  *virtual.Runtime           // of the pods on virtual nodes

	clusterList  *lag.Store[clusterView]
	nodePoolList *lag.Store[nodePoolView]
	nodeList     *lag.Store[nodeView]
}

// New returns a Server of the supplied cloud. The context bounds background
// work of the cloud's backend.
func New(ctx context.Context, c *cloud.Cloud, log *slog.Logger) *Server {
	s := &Server{Cloud: c, routes: routes(), log: log, ctx: ctx}
	s.Life = cloud.NewLife(ctx, c, &s.mu)
	s.verifier = signature.NewVerifier(s.secret, time.Now)
	s.init()
	s.rpc = aliyun.New(c, s.verifier, s)
	s.virtual = virtual.New(ctx, c, virtual.Options{
		Config: c.Config.Virtual, Kind: ledger.ECIPod, StockType: config.ECIType, CacheAnnotation: imageCacheAnnotation, Tags: clusterTags,
		NewID: func() string { return "eci-bp1" + s.Random.Alphanumeric("eci-id", 17) },
	}, log)
	c.Stock.OnChange(s.stockChanged)
	return s
}

func (s *Server) init() {
	s.Begin()
	s.clusters = map[string]*cluster{}
	s.tasks = map[string]*task{}
	s.addrs = map[string]map[string]bool{}
	s.detached = map[string]detached{}
	s.extra = map[string]*asset{}
	s.clusterList = lag.New[clusterView]()
	s.nodePoolList = lag.New[nodePoolView]()
	s.nodeList = lag.New[nodeView]()
}

func (s *Server) secret(akid string) (signature.Secret, bool) {
	a, ok := s.Account(akid)
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
	*route
	vars    map[string]string
	query   url.Values
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
	if aliyun.Concerns(r) {
		s.rpc.ServeHTTP(w, r, body)
		return
	}
	e := &requestlog.Entry{Time: start, Service: "ack", Method: r.Method, Path: r.URL.Path, RequestID: s.Random.RequestID()}
	rec := &gateway.Response{ResponseWriter: w, Entry: e, Log: s.Requests}
	defer rec.Finish()

	rt, vars := match(s.routes, r.Method, r.URL.Path)
	c := &call{route: rt, vars: vars, query: r.URL.Query(), body: body, entry: e, id: e.RequestID}
	if rt != nil {
		e.Action, e.Mutating = rt.action, rt.writes
		e.Cluster, e.NodePool = vars["cluster"], vars["nodePool"]
	}
	c.subject = s.describe(c, r)

	akid, refusal := s.verify(c, r, body)
	e.AccessKeyID = akid
	if refusal != nil {
		e.Code = refusal.Code
		rec.JSON(refusal.Status, gatewayBody(refusal, e.RequestID, r.Host))
		return
	}
	e.Verified = true
	if rt == nil {
		f := &signature.Failure{Status: http.StatusNotFound, Code: "InvalidAction.NotFound", Message: "Specified api is not found, please check your url and method."}
		e.Code = f.Code
		rec.JSON(f.Status, gatewayBody(f, e.RequestID, r.Host))
		return
	}
	a, _ := s.Account(akid)
	c.account = a.AccessKeyID
	if a.Parent != "" {
		c.account = a.Parent
	}

	if s.before(rec, r, c) {
		return
	}
	if !s.Throttle.Allow(akid, rt.action) {
		s.answer(rec, c, 0, nil, s.throttled("Throttling.User"))
		return
	}
	s.mu.Lock()
	status, reply, err := rt.handle(s, c)
	s.mu.Unlock()
	s.answer(rec, c, status, reply, err)
}

// describe the call to the rules of faults.
func (s *Server) describe(c *call, r *http.Request) faults.Subject {
	sub := faults.Subject{Attrs: map[string]string{"cloud": "alibaba", "method": r.Method}}
	if c.route == nil {
		return sub
	}
	sub.Action = c.action
	for k, v := range c.vars {
		sub.Attrs[k] = v
	}
	var peek struct {
		Name         string `json:"name"`
		RegionID     string `json:"region_id"`
		NodepoolInfo struct {
			Name string `json:"name"`
		} `json:"nodepool_info"`
	}
	if json.Unmarshal(c.body, &peek) == nil {
		if peek.RegionID != "" {
			sub.Attrs["region"] = peek.RegionID
		}
		sub.Attrs["name"] = peek.Name + peek.NodepoolInfo.Name
	}
	return sub
}

func (s *Server) verify(c *call, r *http.Request, body []byte) (string, *signature.Failure) {
	var o signature.Options
	if f := s.Faults.Take(faults.ClockSkew, c.subject); f != nil {
		c.hit(f)
		o.Skew = time.Duration(f.Seconds(1200) * float64(time.Second))
	}
	if r.Header.Get("X-Acs-Security-Token") != "" {
		if f := s.Faults.Take(faults.STSExpire, c.subject); f != nil {
			c.hit(f)
			o.Expired = true
		}
	}
	akid, failure := s.verifier.Verify(r, body, o)
	c.subject.Attrs["akid"] = akid
	return akid, failure
}

func (c *call) hit(f *faults.Rule) { c.entry.Faults = append(c.entry.Faults, string(f.Kind)) }

func (s *Server) throttled(code string) *apiError {
	status := s.Config.Throttle.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	return fail(status, code, "Request was denied due to user flow control.")
}

// take a fault of the call, and note it in the log.
func (s *Server) take(k faults.Kind, c *call) *faults.Rule {
	f := s.Faults.Take(k, c.subject)
	if f != nil {
		c.hit(f)
	}
	return f
}

// before injects the faults that come before the operation. It returns true if
// the call has been answered, or will never be.
func (s *Server) before(w *gateway.Response, r *http.Request, c *call) bool {
	take := func(k faults.Kind) *faults.Rule { return s.take(k, c) }
	if w.Held(r.Context(), take) {
		return true
	}
	var e *apiError
	if f := s.take(faults.Throttle, c); f != nil {
		e = s.throttled(f.Arg("code", "Throttling.User"))
	} else if f := s.take(faults.AuthDenied, c); f != nil {
		e = fail(http.StatusForbidden, f.Arg("code", "ErrorCheckAcl"), "You are not authorized to do this action.")
	} else if f := s.take(faults.Quota, c); f != nil && c.writes {
		code := "QuotaExceeded.Node"
		if c.action == "CreateCluster" {
			code = "QuotaExceeded.Cluster"
		}
		e = fail(http.StatusForbidden, f.Arg("code", code), "the quota is exceeded")
	} else if f := s.take(faults.Balance, c); f != nil && c.writes {
		e = fail(http.StatusForbidden, "InsufficientBalance", "Your account does not have enough balance.")
	} else if c.sizes && setsSize(c.body) {
		if s.Config.Switches.MissingAuthRole || s.take(faults.MissingAuth, c) != nil {
			e = fail(http.StatusForbidden, "MissingAuth.AliyunOOSLifecycleHook4CSRole", "the role AliyunOOSLifecycleHook4CSRole is not authorized")
		}
	}
	if e != nil {
		s.answer(w, c, 0, nil, e)
		return true
	}
	return w.Broken(take, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _, err := c.handle(s, c)
		return err
	}, func(status int, code string) {
		msg := "The request processing has failed due to some unknown error."
		if status == http.StatusServiceUnavailable {
			msg = "The request has failed due to a temporary failure of the server."
		}
		w.JSON(status, fail(status, code, "%s", msg).body(c.id))
	})
}

// answer a call, unless a fault spoils the answer.
func (s *Server) answer(w *gateway.Response, c *call, status int, reply any, err error) {
	if err != nil {
		e, ok := err.(*apiError)
		if !ok {
			e = fail(http.StatusInternalServerError, "InternalError", "%v", err)
		}
		c.entry.Code = e.Code
		w.JSON(e.Status, e.body(c.id))
		return
	}
	c.entry.Accepted = true
	if f := s.take(faults.DropAfterAccept, c); f != nil {
		w.Cut()
		return
	}
	if f := s.take(faults.TruncateBody, c); f != nil {
		b, _ := json.Marshal(reply)
		w.Truncate(status, b)
		return
	}
	w.JSON(status, reply)
}

// lagged is when lists show what is written now.
func (s *Server) lagged() time.Time {
	return s.Clock.Now().Add(s.Latency("list-lag", s.Config.Latencies.ListLag))
}

// stamp is a timestamp of an API answer.
func (s *Server) stamp() string { return s.Clock.Wall().Format(time.RFC3339) }
