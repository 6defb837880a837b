package cloud

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
)

func TestDefinite(t *testing.T) {
	cases := map[string]struct {
		reason string
		err    error
		want   bool
	}{
		"Refused":     {reason: "The API refused the call.", err: &Error{Class: Quota, Status: 403}, want: true},
		"Wrapped":     {reason: "Also if the error was wrapped.", err: errors.Wrap(&Error{Class: Invalid, Status: 400}, "cannot"), want: true},
		"Unsent":      {reason: "Nothing was sent.", err: &Error{Class: Unreachable}, want: true},
		"Held":        {reason: "Our own limit sends nothing either.", err: &Error{Class: Throttled}, want: true},
		"Lost":        {reason: "The answer was lost.", err: &Error{Class: Unknown}},
		"Gateway":     {reason: "A gateway may say this after the server has done it.", err: &Error{Class: Throttled, Code: "ServiceUnavailable", Status: 503}},
		"NameTaken":   {reason: "The name may be taken by what an earlier call has made.", err: &Error{Class: Conflict, Status: 400}},
		"NotOfACloud": {reason: "Nothing is known about other errors.", err: errors.New("boom")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Definite(tc.err)); diff != "" {
				t.Errorf("\nReason: %s\nDefinite(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestStable(t *testing.T) {
	cases := map[string]struct {
		reason string
		msg    string
		want   string
	}{
		"RequestID": {reason: "Each call has another id.", msg: "quota exceeded, request id: 5A7C-11", want: "quota exceeded"},
		"UUID":      {reason: "Also without a name.", msg: "task 0d4a5f0e-1c9b-4a39-8a5a-6a1d2f3b4c5d failed.", want: "task failed"},
		"Time":      {reason: "Nor may times make it flap.", msg: "sold out at 2026-01-02T03:04:05Z", want: "sold out at"},
		"Lines":     {reason: "A condition has one line.", msg: "a\n  b\tc", want: "a b c"},
		"Long":      {reason: "And a readable length.", msg: strings.Repeat("x", 2*maxMessage), want: strings.Repeat("x", maxMessage) + "…"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Stable(tc.msg)); diff != "" {
				t.Errorf("\nReason: %s\nStable(%s): -want, +got:\n%s", tc.reason, fmt.Sprintf("%.40q", tc.msg), diff)
			}
		})
	}
}
