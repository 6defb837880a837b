package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/cluster/local/stack"
)

// minSecret is the length below which a value is no secret worth looking for.
const minSecret = 12

// shapes of secrets, whoever's they are.
var shapes = map[string]*regexp.Regexp{
	"a private key":      regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`),
	"a token":            regexp.MustCompile(`eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}`),
	"part of kubeconfig": regexp.MustCompile(`(client-key-data|client-certificate-data):\s*\S{20,}`),
}

// TestSecretsNeverLeak burns through a burst and then looks for every secret
// there is, and for things shaped like one, in everything that people read: logs,
// events, conditions, metrics, and what the demo wrote. The logs are those of
// all tests that ran before.
func TestSecretsNeverLeak(t *testing.T) {
	p := newPool(t, "secrets")
	p.home()
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)

	secrets := map[string]string{
		env.stack.Cloud().AccessKeySecret: "the account's secret",
		env.stack.Cloud().SecretKey:       "the Tencent account's secret",
		wrongSecret:                       "the wrong secret of another test",
		"garbage-that-may-be-a-secret":    "the broken kubeconfig of another test",
	}
	for plane, c := range map[string]client.Client{"host": env.host, "karmada": env.karmada} {
		if err := collect(t.Context(), c, plane, secrets); err != nil {
			t.Fatalf("cannot collect secrets: %v", err)
		}
	}
	if len(secrets) < 10 {
		t.Fatalf("only %d secrets were found: this test would prove nothing", len(secrets))
	}

	texts := 0
	look := func(where string, text []byte) {
		texts++
		for s, what := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s shows %s", where, what)
			}
		}
		for what, shape := range shapes {
			if shape.Match(text) {
				t.Errorf("%s shows %s", where, what)
			}
		}
	}
	for _, dir := range []string{filepath.Join(env.stack.Dir(), "logs"), filepath.Join(env.root, "_output", "demo")} {
		if err := files(dir, look); err != nil {
			t.Fatalf("cannot read %s: %v", dir, err)
		}
	}
	for plane, c := range map[string]client.Client{"host": env.host, "karmada": env.karmada} {
		events := &corev1.EventList{}
		if err := c.List(t.Context(), events); err != nil {
			t.Fatalf("cannot list events of %s: %v", plane, err)
		}
		for _, e := range events.Items {
			look(fmt.Sprintf("event %s of %s in %s", e.Reason, e.InvolvedObject.Name, plane), []byte(e.Message))
		}
	}
	if err := p.each(t.Context(), func(u *unstructured.Unstructured) {
		look(u.GetKind()+" "+u.GetName(), []byte(compact(u.Object)))
	}); err != nil {
		t.Fatalf("cannot list managed resources: %v", err)
	}
	claim, err := p.read(t.Context())
	if err != nil {
		t.Fatalf("cannot read the claim: %v", err)
	}
	look("the claim", []byte(compact(claim)))
	for _, part := range []stack.Part{stack.Provider, stack.Fleet} {
		b, err := get(t.Context(), fmt.Sprintf("http://127.0.0.1:%d/metrics", env.stack.Process(string(part)).Port()))
		if err != nil {
			t.Fatalf("cannot read metrics of %s: %v", part, err)
		}
		look("metrics of "+string(part), b)
	}
	b, err := get(t.Context(), fmt.Sprintf("http://127.0.0.1:%d/debug/decisions", env.stack.Process(string(stack.Fleet)).Port()))
	if err != nil {
		t.Fatalf("cannot read fleet's decisions: %v", err)
	}
	look("fleet's decisions", b)
	t.Logf("looked for %d secrets in %d texts", len(secrets), texts)

	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
}

// collect adds what the Secrets of a plane hold: their values as they are and in
// base64, and the parts of a kubeconfig or of JSON one by one.
func collect(ctx context.Context, c client.Client, plane string, into map[string]string) error {
	l := &corev1.SecretList{}
	if err := c.List(ctx, l); err != nil {
		return fmt.Errorf("cannot list Secrets of %s: %w", plane, err)
	}
	note := func(value []byte, what string) {
		// Surrounding space may be lost where a value is shown.
		value = bytes.TrimSpace(value)
		if len(value) < minSecret {
			return
		}
		into[string(value)] = what
		into[base64.StdEncoding.EncodeToString(value)] = what + " in base64"
	}
	for _, s := range l.Items {
		for key, value := range s.Data {
			what := fmt.Sprintf("%s of Secret %s/%s in %s", key, s.Namespace, s.Name, plane)
			switch {
			// Certificates, addresses and the names of a service account are public.
			case strings.HasSuffix(key, ".crt"), key == "caBundle", key == "namespace", key == "endpoint":
				continue
			}
			note(value, what)
			object := map[string]string{}
			if json.Unmarshal(value, &object) == nil {
				for k, v := range object {
					if k != "accessKeyId" {
						note([]byte(v), what+", "+k)
					}
				}
			}
			cfg, err := clientcmd.Load(value)
			if err != nil {
				continue
			}
			for _, a := range cfg.AuthInfos {
				note(a.ClientKeyData, what+", the client's key")
				note([]byte(a.Token), what+", the token")
				note([]byte(a.Password), what+", the password")
			}
		}
	}
	return nil
}

// files looks at every file of a folder, which need not exist.
func files(dir string, look func(where string, text []byte)) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch ext := filepath.Ext(path); {
		case d.IsDir() && (d.Name() == "bin" || d.Name() == "binaries" || d.Name() == "data"):
			// Programs and a running stack's own keys are not read by people.
			return fs.SkipDir
		case d.IsDir(), ext != ".log" && ext != ".json" && ext != ".txt":
			return nil
		}
		b, err := os.ReadFile(filepath.Clean(path))
		if err == nil {
			look(path, b)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer rsp.Body.Close()
	if rsp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, rsp.Status)
	}
	return io.ReadAll(rsp.Body)
}
