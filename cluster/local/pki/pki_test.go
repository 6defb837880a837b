package pki

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

// TestHandshake proves with real TLS connections which certificates are
// accepted, since that is all they are for.
func TestHandshake(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	client, err := ca.Client("kubernetes-admin", GroupMasters)
	if err != nil {
		t.Fatalf("ca.Client(...): %v", err)
	}
	stranger, err := other.Client("kubernetes-admin", GroupMasters)
	if err != nil {
		t.Fatalf("other.Client(...): %v", err)
	}

	cases := map[string]struct {
		reason     string
		hosts      []string
		serverName string
		trust      *CA
		client     Pair
		want       bool
	}{
		"Address":     {reason: "An address among the hosts is accepted.", hosts: []string{"127.0.0.1"}, serverName: "127.0.0.1", trust: ca, client: client, want: true},
		"Name":        {reason: "A name among the hosts is accepted.", hosts: []string{"127.0.0.1", "a.b.svc"}, serverName: "a.b.svc", trust: ca, client: client, want: true},
		"OtherName":   {reason: "A name that is not among the hosts is refused.", hosts: []string{"127.0.0.1"}, serverName: "a.b.svc", trust: ca, client: client},
		"OtherCA":     {reason: "A server of another authority is refused.", hosts: []string{"127.0.0.1"}, serverName: "127.0.0.1", trust: other, client: client},
		"OtherClient": {reason: "A client of another authority is refused.", hosts: []string{"127.0.0.1"}, serverName: "127.0.0.1", trust: ca, client: stranger},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server, err := ca.Server("server", tc.hosts...)
			if err != nil {
				t.Fatalf("ca.Server(...): %v", err)
			}
			err = handshake(t, &tls.Config{
				Certificates: []tls.Certificate{pair(t, server)},
				ClientAuth:   tls.RequireAndVerifyClientCert,
				ClientCAs:    pool(ca),
			}, &tls.Config{
				Certificates: []tls.Certificate{pair(t, tc.client)},
				RootCAs:      pool(tc.trust),
				ServerName:   tc.serverName,
			})
			if diff := cmp.Diff(tc.want, err == nil); diff != "" {
				t.Errorf("\n%s\nhandshake: -want, +got:\n%s\n%v", tc.reason, diff, err)
			}
		})
	}
}

func TestClientIdentity(t *testing.T) {
	p, err := newCA(t).Client("kubernetes-admin", GroupMasters)
	if err != nil {
		t.Fatalf("ca.Client(...): %v", err)
	}
	cert, err := x509.ParseCertificate(pair(t, p).Certificate[0])
	if err != nil {
		t.Fatalf("x509.ParseCertificate(...): %v", err)
	}
	if diff := cmp.Diff("kubernetes-admin", cert.Subject.CommonName); diff != "" {
		t.Errorf("user: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{GroupMasters}, cert.Subject.Organization); diff != "" {
		t.Errorf("groups: -want, +got:\n%s", diff)
	}
}

func TestKubeconfig(t *testing.T) {
	ca := newCA(t)
	admin, err := ca.Client("kubernetes-admin", GroupMasters)
	if err != nil {
		t.Fatalf("ca.Client(...): %v", err)
	}
	b, err := Kubeconfig("idc-a", "https://127.0.0.1:6443", ca.CertPEM(), admin)
	if err != nil {
		t.Fatalf("Kubeconfig(...): %v", err)
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(b)
	if err != nil {
		t.Fatalf("clientcmd.RESTConfigFromKubeConfig(...): %v", err)
	}
	if diff := cmp.Diff("https://127.0.0.1:6443", cfg.Host); diff != "" {
		t.Errorf("cfg.Host: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(ca.CertPEM(), cfg.CAData); diff != "" {
		t.Errorf("cfg.CAData: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(admin, Pair{Cert: cfg.CertData, Key: cfg.KeyData}); diff != "" {
		t.Errorf("client certificate: -want, +got:\n%s", diff)
	}
}

func TestWriteDirIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	ca := newCA(t)
	p, err := ca.Server("server", "127.0.0.1")
	if err != nil {
		t.Fatalf("ca.Server(...): %v", err)
	}
	if err := ca.WriteDir(dir, p); err != nil {
		t.Fatalf("ca.WriteDir(...): %v", err)
	}
	for _, name := range []string{CAFile, CertFile, KeyFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("os.Stat(%s): %v", name, err)
			continue
		}
		if diff := cmp.Diff(os.FileMode(0o600), info.Mode().Perm()); diff != "" {
			t.Errorf("mode of %s: -want, +got:\n%s", name, diff)
		}
	}
}

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA("test")
	if err != nil {
		t.Fatalf("NewCA(...): %v", err)
	}
	return ca
}

func pair(t *testing.T, p Pair) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatalf("tls.X509KeyPair(...): %v", err)
	}
	return c
}

func pool(ca *CA) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(ca.CertPEM())
	return p
}

// handshake connects a client to a server and sends a line, because in TLS 1.3
// a client learns only then that it was refused.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatalf("tls.Listen(...): %v", err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte("hello\n"))
		_ = conn.Close()
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("net.Dial(...): %v", err)
	}
	c := tls.Client(conn, client)
	defer c.Close()
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}
