package karmada

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"syscall"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
)

// Reason says in stable words why a call to an API server failed. Unlike the
// error it has no addresses of sockets and nothing from credentials, so it can
// be a condition that does not flap.
func Reason(err error) string {
	var (
		kc      *KubeconfigError
		dns     *net.DNSError
		ua      x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		timeout net.Error
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &kc):
		return kc.Reason
	case kerrors.IsUnauthorized(err):
		return "the API server does not accept the credentials (401)"
	case kerrors.IsForbidden(err):
		return "the credentials do not permit what is needed (403)"
	case errors.As(err, &dns):
		return "the name of the API server is unknown"
	case errors.As(err, &ua), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verify):
		return "the certificate of the API server is not trusted"
	case errors.As(err, &record):
		return "the API server does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the API server refuses connections"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), kerrors.IsTimeout(err), kerrors.IsServerTimeout(err):
		return "the API server did not answer in time"
	case kerrors.ReasonForError(err) != "":
		return "the API server answered " + string(kerrors.ReasonForError(err))
	default:
		return "the API server cannot be reached"
	}
}

// IsRefused says whether an API server answered, and did not accept the
// credentials or what was asked with them.
func IsRefused(err error) bool {
	return kerrors.IsUnauthorized(err) || kerrors.IsForbidden(err)
}
