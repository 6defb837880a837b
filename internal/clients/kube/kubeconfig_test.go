package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

func TestKubeconfigs(t *testing.T) {
	c := testclock.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	k := NewKubeconfigs(c)
	fetched := 0
	get := func(endpoint string) string {
		t.Helper()
		kc, err := k.Get(context.Background(), "c1", endpoint, func(context.Context) (Kubeconfig, error) {
			fetched++
			return Kubeconfig{Config: []byte(fmt.Sprint(fetched)), Expires: c.Now().Add(72 * time.Hour)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(kc.Config)
	}
	k.Seed("c1", "a", Kubeconfig{Config: []byte("published"), Expires: c.Now().Add(48 * time.Hour)})
	for _, step := range []struct {
		reason, endpoint, want string
		after                  time.Duration
		forget                 bool
	}{
		{reason: "A restart needs no new one.", endpoint: "a", want: "published"},
		{reason: "Another address does.", endpoint: "b", want: "1"},
		{reason: "It is kept.", endpoint: "b", want: "1"},
		{reason: "And renewed well before its end.", endpoint: "b", after: 49 * time.Hour, want: "2"},
		{reason: "Or when it is not accepted.", endpoint: "b", forget: true, want: "3"},
	} {
		c.Step(step.after)
		if step.forget {
			k.Forget("c1")
		}
		if got := get(step.endpoint); got != step.want {
			t.Errorf("\nReason: %s\nGet(...): %q, want %q", step.reason, got, step.want)
		}
	}
}

func TestExpiry(t *testing.T) {
	end := time.Date(2046, 1, 2, 3, 4, 5, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	cases := map[string]struct {
		reason string
		user   string
		want   time.Time
	}{
		"Certificate": {reason: "A certificate has an end.", user: "client-certificate-data: " + cert, want: end},
		"Token":       {reason: "A token does not tell.", user: "token: secret"},
		"Garbage":     {reason: "Nor does what is none.", user: "client-certificate-data: aGVsbG8="},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Expiry([]byte("apiVersion: v1\nkind: Config\nusers:\n- name: u\n  user: {" + tc.user + "}\n"))
			if !got.Equal(tc.want) {
				t.Errorf("\nReason: %s\nExpiry(...): %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}
