package cloud

import (
	"net"
	"net/http"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
)

// A Rule maps codes of a cloud to a class.
type Rule struct {
	Class Class
	// Codes match what equals them or continues them after a dot. One that begins
	// with "*." matches what follows the first dot: Tencent writes
	// FailedOperation, InternalError, InvalidParameter and ResourceUnavailable
	// alike before the same things.
	Codes []string
}

// Rules are tried in order.
type Rules []Rule

// ClassOf a code, or Unknown.
func (rs Rules) ClassOf(code string) Class {
	for i := range rs {
		if rs[i].matches(code) {
			return rs[i].Class
		}
	}
	return Unknown
}

func (r *Rule) matches(code string) bool {
	_, rest, _ := strings.Cut(code, ".")
	for _, c := range r.Codes {
		have := code
		if after, ok := strings.CutPrefix(c, "*."); ok {
			c, have = after, rest
		}
		if have == c || strings.HasPrefix(have, c+".") {
			return true
		}
	}
	return false
}

// ClassOfAnswer is ClassOf for clouds whose HTTP status means something, as
// Alibaba's does: it counts where no rule knows the code.
func (rs Rules) ClassOfAnswer(code string, status int) Class {
	if c := rs.ClassOf(code); c != Unknown {
		return c
	}
	switch {
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Unauthorised
	case status >= 500, status == http.StatusNotFound, status == http.StatusRequestTimeout, status < 400:
		// A 404 without a code that says what is missing may come from anything
		// between here and there.
		return Unknown
	default:
		return Invalid
	}
}

// NotConnected returns an Unreachable error if err says that no connection was
// made, so that the call cannot have been carried out, or nil.
func NotConnected(operation string, err error) *Error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		return nil
	}
	reason := "no connection"
	var dns *net.DNSError
	switch {
	case errors.As(op, &dns):
		reason = "no such host " + dns.Name
	case op.Addr != nil:
		reason = "no connection to " + op.Addr.String()
	}
	return &Error{Class: Unreachable, Operation: operation, Message: "cannot connect to the cloud's API: " + reason}
}
