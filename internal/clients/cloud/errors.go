// Package cloud holds what the clients of all clouds share: typed errors and
// the token bucket of an account.
package cloud

import (
	"regexp"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
)

// A Class of errors says what a caller should do about one.
type Class string

// Classes of errors.
const (
	// Gone means that the API says, by the code that it has for this, that the
	// thing does not exist. It is confirmed by a list before it is believed.
	Gone Class = "Gone"
	// Unauthorised means that the credentials were refused, or lack a right. It
	// says nothing about whether a thing exists.
	Unauthorised Class = "Unauthorised"
	// Throttled calls were not carried out and may be repeated later.
	Throttled Class = "Throttled"
	// WrongState means that something else is under way: ask again later.
	WrongState Class = "WrongState"
	// Quota or money is used up. A person has to act.
	Quota Class = "Quota"
	// OutOfStock means that the cloud has no such machines left.
	OutOfStock Class = "OutOfStock"
	// Protected means that deletion protection is on.
	Protected Class = "Protected"
	// Conflict means that the name is taken.
	Conflict Class = "Conflict"
	// Invalid requests will not succeed when repeated. A person has to act.
	Invalid Class = "Invalid"
	// Unreachable means that no connection was made: nothing was sent.
	Unreachable Class = "Unreachable"
	// Unknown means that nobody can say whether the call was carried out: the
	// answer was lost, cut or not readable, or the cloud failed in the middle.
	Unknown Class = "Unknown"
)

// An Error of a cloud's API.
type Error struct {
	Class Class
	// Operation that was called, such as CreateCluster.
	Operation string
	// Code the API answered, if it did.
	Code string
	// Message of the API, without request ids and other things that change from
	// call to call, so that conditions made from it do not flap.
	Message string
	// Status of HTTP, or 0.
	Status int
	// Field of the managed resource that is wrong, if the API's answer tells.
	Field string
	// RequestID is kept out of Error, for logs.
	RequestID string
}

// Error returns a text that is the same each time the same thing goes wrong.
func (e *Error) Error() string {
	b := &strings.Builder{}
	b.WriteString(e.Operation)
	b.WriteString(": ")
	if e.Field != "" {
		b.WriteString("spec.forProvider.")
		b.WriteString(e.Field)
		b.WriteString(" was refused: ")
	}
	if e.Code != "" {
		b.WriteString(e.Code)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if m := e.mend(); m != "" {
		b.WriteString(" (")
		b.WriteString(m)
		b.WriteString(")")
	}
	return b.String()
}

// mend tells a person what to do.
func (e *Error) mend() string {
	switch e.Class {
	case Unauthorised:
		return "check the credentials in the ProviderConfig and the rights of the account"
	case Quota:
		return "raise the quota or top up the account; this is tried again from time to time"
	case Invalid:
		if e.Field != "" {
			return "correct the field"
		}
	case Unreachable:
		return "check spec.endpoint of the ProviderConfig, spec.forProvider.region and the network"
	case Gone, Throttled, WrongState, OutOfStock, Protected, Conflict, Unknown:
	}
	return ""
}

// ClassOf an error, or the empty class if it did not come from a cloud.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ""
}

// Is reports whether an error is of one of the classes.
func Is(err error, classes ...Class) bool {
	c := ClassOf(err)
	for _, want := range classes {
		if c == want && c != "" {
			return true
		}
	}
	return false
}

// IsCode reports whether the API answered with the code.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// Definite reports whether an error proves that the call was not carried out.
// Anything else has to be looked into before the call is repeated, if repeating
// it would do the thing twice. Server errors are not definite, whatever their
// code: a gateway in front of the server may have written it.
func Definite(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Class != Unknown && e.Class != Conflict && e.Status < 500
}

// Terminal errors do not go away by themselves. They are not retried at once.
func Terminal(err error) bool {
	return Is(err, Quota, Invalid)
}

var volatile = []*regexp.Regexp{
	// "request id: 5A7C…", "RequestId=…"
	regexp.MustCompile(`(?i)[,;. ]*\brequest[-_ ]?id\b[:= ]*["']?[0-9a-z-]+["']?`),
	// UUIDs.
	regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`),
	// Times.
	regexp.MustCompile(`\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})?`),
	// Source ports of connections.
	regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}:\d+->`),
}

// maxMessage keeps conditions readable.
const maxMessage = 400

// Stable removes what changes from call to call from a message and makes it one
// line.
func Stable(msg string) string {
	for _, re := range volatile {
		msg = re.ReplaceAllString(msg, "")
	}
	msg = strings.Join(strings.Fields(msg), " ")
	msg = strings.TrimRight(msg, " .,;:")
	if len(msg) > maxMessage {
		msg = strings.ToValidUTF8(msg[:maxMessage], "") + "…"
	}
	return msg
}
