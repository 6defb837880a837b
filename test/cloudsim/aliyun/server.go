// Package aliyun simulates those RPC-style APIs of Alibaba Cloud that show and
// release what a container cluster is made of, and say what is for sale: ECS
// (version 2014-05-26), VPC (2016-04-28), SLB (2014-05-15) and ECI (2018-08-08).
//
// All of them answer at the address of the container service. What they show is
// what the books say, with the lag of a list; what they release goes through the
// service that made it.
package aliyun

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/gateway"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/signature"
)

// A Backing is the service that makes what these APIs show.
type Backing interface {
	// Discard releases an object with all that follows from it. It is
	// idempotent.
	Discard(o ledger.Object)
	// UsedAddresses of a vSwitch.
	UsedAddresses(region, vswitch string) int
}

// A Server answers the RPC-style APIs.
type Server struct {
	*cloud.Cloud
	verifier *signature.Verifier
	backing  Backing
}

// New returns a Server of the supplied cloud. The verifier is shared with the
// other APIs at the address, since a nonce serves once.
func New(c *cloud.Cloud, v *signature.Verifier, b Backing) *Server {
	return &Server{Cloud: c, verifier: v, backing: b}
}

// Concerns reports whether a request is in the RPC style, which has no path.
func Concerns(r *http.Request) bool { return r.URL.Path == "/" || r.URL.Path == "" }

// A call is one request on its way through the server.
type call struct {
	*action
	name      string
	params    params
	account   string
	subject   faults.Subject
	entry     *requestlog.Entry
	requestID string
	host      string
}

// An apiError is an answer of an RPC-style API.
type apiError struct {
	Status  int
	Code    string
	Message string
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func fail(status int, code, format string, args ...any) *apiError {
	return &apiError{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func (c *call) body(e *apiError) any {
	return map[string]any{
		"Code": e.Code, "Message": e.Message, "RequestId": c.requestID, "HostId": c.host, "Recommend": "https://api.aliyun.com/troubleshoot?q=" + e.Code,
	}
}

// ServeHTTP handles one request whose body has been read.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request, body []byte) {
	start := time.Now()
	c := s.call(r, body)
	c.entry.Time = start
	w := &gateway.Response{ResponseWriter: rw, Entry: c.entry, Log: s.Requests}
	defer w.Finish()

	akid, refusal := s.verify(c, r, body)
	c.entry.AccessKeyID = akid
	if refusal != nil {
		s.refuse(w, c, fail(refusal.Status, refusal.Code, "%s", refusal.Message))
		return
	}
	c.entry.Verified = true
	a, _ := s.Account(akid)
	if c.account = a.AccessKeyID; a.Parent != "" {
		c.account = a.Parent
	}
	if c.action == nil {
		s.refuse(w, c, unknownAction(c.params["Version"]))
		return
	}
	if s.before(w, r, c) {
		return
	}
	if !s.Throttle.Allow(akid, c.name) {
		s.refuse(w, c, s.throttled("Throttling.User"))
		return
	}
	reply, err := c.handle(s, c)
	s.answer(w, c, reply, err)
}

// call reads what a request wants. Newer clients put action and version into
// headers, older ones into the parameters.
func (s *Server) call(r *http.Request, body []byte) *call {
	c := &call{params: signature.Parameters(r, body), requestID: s.Random.RequestID(), host: r.Host}
	for param, header := range map[string]string{"Action": "X-Acs-Action", "Version": "X-Acs-Version"} {
		if c.params[param] == "" {
			c.params[param] = r.Header.Get(header)
		}
	}
	c.name = c.params["Action"]
	c.action = actions[c.params["Version"]+"/"+c.name]
	c.entry = &requestlog.Entry{Service: products[c.params["Version"]], Method: r.Method, Path: r.URL.Path, RequestID: c.requestID, Action: c.name}
	charge := "ondemand"
	if c.params.spot() {
		charge = "spot"
	}
	c.subject = faults.Subject{Action: c.name, Attrs: map[string]string{
		"cloud": "alibaba", "method": r.Method, "region": c.params["RegionId"], "zone": c.params["ZoneId"], "instanceType": c.params["InstanceType"], "charge": charge,
	}}
	if c.action != nil {
		c.entry.Mutating = c.writes
	}
	return c
}

func unknownAction(version string) *apiError {
	if products[version] == "" {
		return fail(http.StatusBadRequest, "InvalidVersion", "Specified parameter Version is not valid.")
	}
	return fail(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
}

func (s *Server) verify(c *call, r *http.Request, body []byte) (string, *signature.Failure) {
	var o signature.Options
	if f := s.take(faults.ClockSkew, c); f != nil {
		o.Skew = time.Duration(f.Seconds(1200) * float64(time.Second))
	}
	if c.params["SecurityToken"] != "" || r.Header.Get("X-Acs-Security-Token") != "" {
		o.Expired = s.take(faults.STSExpire, c) != nil
	}
	akid, failure := s.verifier.Verify(r, body, o)
	c.subject.Attrs["akid"] = akid
	return akid, failure
}

// take a fault of the call, and note it in the log.
func (s *Server) take(k faults.Kind, c *call) *faults.Rule {
	f := s.Faults.Take(k, c.subject)
	if f != nil {
		c.entry.Faults = append(c.entry.Faults, string(f.Kind))
	}
	return f
}

func (s *Server) throttled(code string) *apiError {
	status := s.Config.Throttle.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	return fail(status, code, "Request was denied due to user flow control.")
}

// before injects the faults that come before the operation. It returns true if
// the call has been answered, or will never be.
func (s *Server) before(w *gateway.Response, r *http.Request, c *call) bool {
	take := func(k faults.Kind) *faults.Rule { return s.take(k, c) }
	if w.Held(r.Context(), take) {
		return true
	}
	if f := s.take(faults.Throttle, c); f != nil {
		s.refuse(w, c, s.throttled(f.Arg("code", "Throttling.User")))
		return true
	}
	if f := s.take(faults.AuthDenied, c); f != nil {
		s.refuse(w, c, fail(http.StatusForbidden, f.Arg("code", "Forbidden.RAM"), "User not authorized to operate on the specified resource, or this API doesn't support RAM."))
		return true
	}
	return w.Broken(take, func() error {
		_, err := c.handle(s, c)
		if err != nil {
			return err
		}
		return nil
	}, func(status int, code string) {
		msg := "The request processing has failed due to some unknown error."
		if status == http.StatusServiceUnavailable {
			msg = "The request has failed due to a temporary failure of the server."
		}
		s.refuse(w, c, fail(status, code, "%s", msg))
	})
}

func (s *Server) refuse(w *gateway.Response, c *call, e *apiError) {
	c.entry.Code = e.Code
	w.JSON(e.Status, c.body(e))
}

// answer a call, unless a fault spoils the answer.
func (s *Server) answer(w *gateway.Response, c *call, reply map[string]any, err *apiError) {
	if err != nil {
		s.refuse(w, c, err)
		return
	}
	c.entry.Accepted = true
	reply["RequestId"] = c.requestID
	if s.take(faults.DropAfterAccept, c) != nil {
		w.Cut()
		return
	}
	if s.take(faults.TruncateBody, c) != nil {
		b, _ := json.Marshal(reply)
		w.Truncate(http.StatusOK, b)
		return
	}
	w.JSON(http.StatusOK, reply)
}
