package cloud

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRules(t *testing.T) {
	rules := Rules{
		{Gone, []string{"NotFound", "*.RecordNotFound"}},
		{Invalid, []string{"InvalidParameter"}},
	}
	cases := map[string]struct {
		reason string
		code   string
		status int
		want   Class
	}{
		"Equal":         {"A code is known", "NotFound", http.StatusOK, Gone},
		"Continued":     {"A code may say more after a dot", "InvalidParameter.Zone", http.StatusInternalServerError, Invalid},
		"Longer":        {"A longer word is another code", "NotFoundElsewhere", http.StatusNotFound, Unknown},
		"AnyPrefix":     {"What stands before the first dot does not count", "FailedOperation.RecordNotFound", http.StatusOK, Gone},
		"FirstRule":     {"The first rule that matches counts", "InvalidParameter.RecordNotFound", http.StatusOK, Gone},
		"Throttled":     {"A status counts where the code is not known", "X", http.StatusTooManyRequests, Throttled},
		"Unauthorised":  {"A status counts where the code is not known", "", http.StatusForbidden, Unauthorised},
		"OtherRefusal":  {"A refusal with an unknown code is one", "X", http.StatusConflict, Invalid},
		"NobodyIsThere": {"A 404 alone proves no absence", "X", http.StatusNotFound, Unknown},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := rules.ClassOfAnswer(tc.code, tc.status); got != tc.want {
				t.Errorf("\nReason: %s\nClassOfAnswer(%q, %d): %q, want %q", tc.reason, tc.code, tc.status, got, tc.want)
			}
		})
	}
}

func TestNotConnected(t *testing.T) {
	dial := &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, Err: io.EOF}
	if got := NotConnected("Create", &net.OpError{Op: "read", Err: io.EOF}); got != nil {
		t.Errorf("\nReason: the call may have been carried out\nNotConnected(...): %v", got)
	}
	want := &Error{Class: Unreachable, Operation: "Create", Message: "cannot connect to the cloud's API: no connection to 127.0.0.1:1"}
	if diff := cmp.Diff(want, NotConnected("Create", fmt.Errorf("wrapped: %w", &url.Error{Op: "Post", Err: dial}))); diff != "" {
		t.Errorf("\nReason: nothing was sent\nNotConnected(...): -want, +got:\n%s", diff)
	}
	want.Message = "cannot connect to the cloud's API: no such host cs.example"
	if diff := cmp.Diff(want, NotConnected("Create", &net.OpError{Op: "dial", Err: &net.DNSError{Name: "cs.example"}})); diff != "" {
		t.Errorf("\nReason: nothing was sent\nNotConnected(...): -want, +got:\n%s", diff)
	}
}
