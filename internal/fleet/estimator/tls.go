package estimator

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Files of a folder with certificates, named as in a Secret of type
// kubernetes.io/tls.
const (
	fileCert = "tls.crt"
	fileKey  = "tls.key"
	fileCA   = "ca.crt"
)

// credentialsOf returns credentials that are read from a folder, anew for each
// connection, so that a renewed certificate is used from then on. karmada-
// scheduler connects once for each member. Without a folder there are none. An
// error says what is wrong with the folder now.
func credentialsOf(dir string) (credentials.TransportCredentials, error) {
	if dir == "" {
		return insecure.NewCredentials(), nil
	}
	if _, err := tlsConfig(dir); err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return tlsConfig(dir) },
	}), nil
}

func tlsConfig(dir string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, fileCert), filepath.Join(dir, fileKey))
	if err != nil {
		return nil, fmt.Errorf("cannot load the estimator's certificate: %w", err)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
	ca, err := os.ReadFile(filepath.Join(dir, fileCA))
	if os.IsNotExist(err) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the authority of the estimator's clients: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("cannot read the authority of the estimator's clients: no certificate in %s", fileCA)
	}
	out.ClientAuth = tls.RequireAndVerifyClientCert
	return out, nil
}
