package tke

import (
	"encoding/json"
	"net/http"
	"strings"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/gateway"
)

// take a fault of the call, and note it in the log.
func (s *Server) take(k faults.Kind, c *call) *faults.Rule {
	f := s.Faults.Take(k, c.subject)
	if f != nil {
		c.entry.Faults = append(c.entry.Faults, string(f.Kind))
	}
	return f
}

func throttled(code string) *apiError {
	return fail(code, "Your current request times equals to `21` in a second, which exceeds the frequency limit `20` for a second. Please reduce the frequency of calls.")
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
		e = throttled(f.Arg("code", "RequestLimitExceeded"))
	} else if f := s.take(faults.AuthDenied, c); f != nil {
		e = fail(f.Arg("code", "UnauthorizedOperation.CamNoAuth"), "you are not authorized to perform the operation %s", c.Action)
	} else if f := s.take(faults.Quota, c); f != nil && c.writes {
		e = fail(f.Arg("code", s.quotaCode(c.Action)), "the quota is exceeded")
	} else if f := s.take(faults.Balance, c); f != nil && c.writes {
		e = fail(f.Arg("code", s.pick("balance", "FailedOperation.TradeCommon", "InternalError.TradeCommon")), "the balance of the account is insufficient")
	}
	if e != nil {
		s.answer(w, c, nil, e)
		return true
	}
	return w.Broken(take, func() error {
		_, err := s.run(c)
		return err
	}, func(status int, code string) {
		msg := "An internal error has occurred. Retry your request."
		if status == http.StatusServiceUnavailable {
			msg = "The service is unavailable for now."
		}
		w.JSON(status, envelope(c.id, nil, fail(code, "%s", msg)))
	})
}

func (s *Server) quotaCode(action string) string {
	switch {
	case action == "CreateCluster":
		return s.pick("quota-cluster", "FailedOperation.QuotaMaxClsLimit", "InternalError.QuotaMaxClsLimit")
	case strings.Contains(action, "NodePool"):
		return s.pick("quota-node", "FailedOperation.QuotaMaxNodLimit", "InternalError.QuotaMaxNodLimit")
	}
	return "LimitExceeded"
}

// answer a call, unless a fault spoils the answer.
func (s *Server) answer(w *gateway.Response, c *call, reply map[string]any, err error) {
	if err != nil {
		e, ok := err.(*apiError)
		if !ok {
			e = fail("InternalError", "%v", err)
		}
		c.entry.Code = e.Code
		w.JSON(http.StatusOK, envelope(c.id, nil, e))
		return
	}
	c.entry.Accepted = true
	if s.take(faults.DropAfterAccept, c) != nil {
		w.Cut()
		return
	}
	if s.take(faults.TruncateBody, c) != nil {
		b, _ := json.Marshal(envelope(c.id, reply, nil))
		w.Truncate(http.StatusOK, b)
		return
	}
	w.JSON(http.StatusOK, envelope(c.id, reply, nil))
}
