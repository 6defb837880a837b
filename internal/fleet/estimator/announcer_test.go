package estimator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// certs writes a certificate for localhost that is its own authority.
func certs(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "estimator"}, DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, b := range map[string][]byte{fileCert: cert, fileCA: cert, fileKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnnouncer(t *testing.T) {
	ours := func(name, host string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: DefaultNamespace, Name: DefaultPrefix + "-" + name, Labels: map[string]string{LabelEstimator: name}},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: host},
		}
	}
	theirs := ours("a", "elsewhere")
	theirs.Labels = nil
	stranger := cluster("a")
	stranger.Labels = nil
	long := cluster("a-cluster-with-a-name-of-forty-characters")
	cases := map[string]struct {
		reason  string
		all     bool
		objs    []client.Object
		cluster string
		// want is the host that the Service leads to; none if empty.
		want string
	}{
		"Make":         {reason: "A cluster of a pool is announced", objs: []client.Object{cluster("a")}, cluster: "a", want: "fleet.example.org"},
		"Correct":      {reason: "A Service that leads elsewhere is put right", objs: []client.Object{cluster("a"), ours("a", "old")}, cluster: "a", want: "fleet.example.org"},
		"Theirs":       {reason: "An estimator of somebody else is left alone", objs: []client.Object{cluster("a"), theirs}, cluster: "a", want: "elsewhere"},
		"TheirsGone":   {reason: "Also when the cluster has left", objs: []client.Object{theirs}, cluster: "a", want: "elsewhere"},
		"Stranger":     {reason: "A cluster outside of pools is not announced", objs: []client.Object{stranger}, cluster: "a"},
		"StrangerAll":  {reason: "Unless all are to be", all: true, objs: []client.Object{stranger}, cluster: "a", want: "fleet.example.org"},
		"LeftThePool":  {reason: "One that left its pool is no longer", objs: []client.Object{stranger, ours("a", "fleet.example.org")}, cluster: "a"},
		"Gone":         {reason: "One that left the federation neither", objs: []client.Object{ours("a", "fleet.example.org")}, cluster: "a"},
		"NameTooLong":  {reason: "A name that no Service can have is no error", objs: []client.Object{long}, cluster: long.Name},
		"NeverExisted": {reason: "A cluster that never was is no error", cluster: "a"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(testScheme(t)).WithObjects(tc.objs...).Build()
			a := &Announcer{
				Client: c, Live: c, Host: "fleet.example.org", TargetPort: 1234, Namespace: DefaultNamespace, Prefix: DefaultPrefix, Port: DefaultPort,
				All: tc.all, Log: testr.New(t),
			}
			version := ""
			for range 2 {
				if _, err := a.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: tc.cluster}}); err != nil {
					t.Fatalf("\n%s\nReconcile(...): %v", tc.reason, err)
				}
				got := &corev1.Service{}
				err := c.Get(t.Context(), client.ObjectKey{Namespace: DefaultNamespace, Name: DefaultPrefix + "-" + tc.cluster}, got)
				if client.IgnoreNotFound(err) != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, got.Spec.ExternalName); diff != "" {
					t.Errorf("\n%s\nReconcile(...): -want, +got:\n%s", tc.reason, diff)
				}
				if tc.want == "fleet.example.org" && (len(got.Spec.Ports) != 1 || got.Spec.Ports[0].Port != DefaultPort || got.Spec.Ports[0].TargetPort.IntVal != 1234) {
					t.Errorf("\n%s\nReconcile(...): ports %v", tc.reason, got.Spec.Ports)
				}
				if version != "" && got.ResourceVersion != version {
					t.Errorf("\nWhat is right is not written\nReconcile(...): version %s, was %s", got.ResourceVersion, version)
				}
				version = got.ResourceVersion
			}
		})
	}
}

func TestTarget(t *testing.T) {
	cases := map[string]struct {
		reason, target, address string
		host                    string
		port                    int32
		bad                     bool
	}{
		"Host":    {reason: "The port is that of the address", target: "fleet.karmada-system.svc", address: ":10352", host: "fleet.karmada-system.svc", port: 10352},
		"Port":    {reason: "Unless there is one", target: "localhost:99", address: ":10352", host: "localhost", port: 99},
		"Address": {reason: "An address will do", target: "127.0.0.1", address: "127.0.0.1:7", host: "127.0.0.1", port: 7},
		"BadHost": {reason: "A Service cannot lead to that", target: "Not_A_Host", address: ":1", bad: true},
		"BadPort": {reason: "No port", target: "localhost:x", address: ":1", bad: true},
		"Random":  {reason: "A port that is not known yet", target: "localhost", address: ":0", bad: true},
		"NoPort":  {reason: "An address without a port", target: "localhost", address: "localhost", bad: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			host, port, err := Target(tc.target, tc.address)
			if tc.bad != (err != nil) || !tc.bad && (host != tc.host || port != tc.port) {
				t.Errorf("\n%s\nTarget(%q, %q): got %q, %d, %v", tc.reason, tc.target, tc.address, host, port, err)
			}
		})
	}
}
